/* play.c - the screen without a terminal: a script presses keys, waits, and says what must be seen.
 *
 *     # a comment
 *     :command ARGUMENT       as typed after ':'
 *     j j Enter "text" F1     keys by name; text in quotes is typed, "" is one quote
 *     burst j j Enter         keys that come all at once, before the screen is drawn again
 *     click ROW COL           also drag, release, wheel-up, wheel-down; from 0
 *     size COLSxROWS
 *     wait                    until nothing is under way
 *     expect REGEX            the screen must show it (one line of it)
 *     print                   appends the screen to the output
 *
 * The screen is drawn after every step but those of a burst, as a person would see it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/app.h"
#include "ui/ui.h"

struct play {
    struct qs_app *app;
    struct qs_cells cells;
    int pipe[2];
    const char *name;
    unsigned line;
    bool burst;              /* keys follow each other without a frame between them */
    struct qs_str *out;
};

static int bad(const struct play *p, struct qs_err *e, const char *what, const char *word)
{
    return qs_fail(e, QS_EINVAL, "%s:%u: %s%s%s", p->name, p->line, what, word ? " " : "", word ? word : "");
}

static void show(struct play *p)
{
    int row, col;
    qs_app_poll(p->app);
    qs_app_draw(p->app, &p->cells, &row, &col);
}

static void press(struct play *p, uint32_t key)
{
    qs_app_event(p->app, &(struct qs_event){ .kind = QS_EVENT_KEY, .key = key });
    if (!p->burst)
        show(p);
}

/* Sleeps until a job has news, or a moment. */
static void doze(struct play *p)
{
    struct pollfd f = { .fd = p->pipe[0], .events = POLLIN };
    char drop[64];
    poll(&f, 1, 20);
    while (read(p->pipe[0], drop, sizeof drop) == (ssize_t)sizeof drop)
        ;
}

/* The model that was named has to open, or the script is about nothing. */
static int opened(struct play *p, struct qs_err *e)
{
    struct qs_workbench *w = qs_app_bench(p->app);
    for (show(p); qs_workbench_opening(w); show(p))
        doze(p);
    const struct qs_err *why = qs_workbench_open_error(w);
    if (why && why->code) {
        *e = *why;
        return why->code;
    }
    return QS_OK;
}

/* ---- one kind of line each ---- */

static int do_command(struct play *p, const char *rest, struct qs_err *e)
{
    (void)e;
    qs_app_run(p->app, rest);
    show(p);
    return QS_OK;
}

static int do_wait(struct play *p, const char *rest, struct qs_err *e)
{
    (void)rest, (void)e;
    for (show(p); !qs_app_idle(p->app); show(p))
        doze(p);
    return QS_OK;
}

static int do_size(struct play *p, const char *rest, struct qs_err *e)
{
    unsigned cols = 0, rows = 0;
    if (sscanf(rest, "%ux%u", &cols, &rows) != 2 || !cols || !rows || cols > QS_CELLS_MAX || rows > QS_CELLS_MAX)
        return bad(p, e, "a size is COLSxROWS, not", rest);
    const int rc = qs_cells_resize(&p->cells, rows, cols, e);
    if (!rc)
        show(p);
    return rc;
}

static int do_expect(struct play *p, const char *rest, struct qs_err *e)
{
    struct qs_regex *re;
    struct qs_str text = QS_STR_INIT;
    int rc = qs_regex_compile(rest, 0, &re, e);
    if (rc)
        return qs_err_prefix(e, "%s:%u", p->name, p->line);
    qs_cells_text(&p->cells, &text);
    const int hit = qs_regex_find(re, text.data, text.len, 0, NULL, NULL);
    qs_regex_free(re);
    if (hit != 1) {
        qs_str_add(p->out, text.data);
        rc = bad(p, e, "the screen does not show", rest);
    }
    qs_str_free(&text);
    return rc;
}

static int do_print(struct play *p, const char *rest, struct qs_err *e)
{
    (void)rest, (void)e;
    qs_cells_text(&p->cells, p->out);
    return QS_OK;
}

static int do_mouse(struct play *p, const char *rest, enum qs_mouse kind, struct qs_err *e)
{
    int row, col;
    if (sscanf(rest, "%d %d", &row, &col) != 2)
        return bad(p, e, "a place is ROW COL, not", rest);
    qs_app_event(p->app,
                 &(struct qs_event) { .kind = QS_EVENT_MOUSE, .mouse = kind, .button = 1, .row = row, .col = col });
    show(p);
    return QS_OK;
}

static int do_click(struct play *p, const char *rest, struct qs_err *e) { return do_mouse(p, rest, QS_MOUSE_PRESS, e); }
static int do_drag(struct play *p, const char *rest, struct qs_err *e) { return do_mouse(p, rest, QS_MOUSE_DRAG, e); }
static int do_release(struct play *p, const char *rest, struct qs_err *e)
{
    return do_mouse(p, rest, QS_MOUSE_RELEASE, e);
}
static int do_wheel_up(struct play *p, const char *rest, struct qs_err *e)
{
    return do_mouse(p, rest, QS_MOUSE_WHEEL_UP, e);
}
static int do_wheel_down(struct play *p, const char *rest, struct qs_err *e)
{
    return do_mouse(p, rest, QS_MOUSE_WHEEL_DOWN, e);
}

/* Types the text in quotes at *at, which is left behind it. */
static int type_text(struct play *p, const char **at, struct qs_err *e)
{
    const char *s = *at + 1;
    for (;;) {
        size_t pos = 0;
        if (!*s)
            return bad(p, e, "a quote is missing", NULL);
        if (*s == '"' && s[1] != '"')
            break;
        s += *s == '"';
        press(p, qs_utf8_next(s, strlen(s), &pos));
        s += pos;
    }
    *at = s + 1;
    return QS_OK;
}

static int do_keys(struct play *p, const char *at, struct qs_err *e)
{
    char word[32];
    int rc = QS_OK;
    while (!rc && *(at += strspn(at, " "))) {
        if (*at == '"' && at[1]) {
            rc = type_text(p, &at, e);
            continue;
        }
        const size_t n = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        const uint32_t key = qs_key_parse(word);
        at += n;
        if (key == QS_KEY_NONE)
            rc = bad(p, e, "there is no key", word);
        else
            press(p, key);
    }
    return rc;
}

static int do_burst(struct play *p, const char *at, struct qs_err *e)
{
    p->burst = true;
    const int rc = do_keys(p, at, e);
    p->burst = false;
    show(p);
    return rc;
}

static const struct { const char *word; int (*run)(struct play *, const char *, struct qs_err *);
} steps[] = {
    { "wait", do_wait },       { "size", do_size },         { "expect", do_expect },
    { "print", do_print },     { "click", do_click },       { "drag", do_drag },
    { "release", do_release }, { "wheel-up", do_wheel_up }, { "wheel-down", do_wheel_down },
    { "burst", do_burst },
};

static int do_line(struct play *p, const char *line, struct qs_err *e)
{
    line += strspn(line, " \t");
    if (!*line || (*line == '#' && (line[1] == ' ' || !line[1])))
        return QS_OK;
    if (*line == ':' && line[1] && line[1] != ' ')
        return do_command(p, line + 1, e);
    const size_t n = strcspn(line, " ");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strlen(steps[i].word) == n && strncmp(steps[i].word, line, n) == 0)
            return steps[i].run(p, line + n + strspn(line + n, " "), e);
    return do_keys(p, line, e);
}

static int play(struct play *p, const char *script, size_t n, struct qs_err *e)
{
    struct qs_str line = QS_STR_INIT;
    int rc = QS_OK;
    for (size_t at = 0; at < n && !rc && !qs_app_quits(p->app);) {
        const char *end = memchr(script + at, '\n', n - at);
        const size_t len = end ? (size_t)(end - script) - at : n - at;
        qs_str_clear(&line);
        qs_str_addn(&line, script + at, len);
        p->line++;
        rc = line.failed ? qs_fail_mem(e, len, "a line") : do_line(p, line.data, e);
        at += len + 1;
    }
    qs_str_free(&line);
    return rc;
}

int qs_ui_play(const struct qs_ui_args *args, const char *name, const char *script, size_t n, unsigned rows,
               unsigned cols, struct qs_str *out, struct qs_err *e)
{
    struct play p = { .cells = QS_CELLS_INIT, .pipe = { -1, -1 }, .name = name, .out = out };
    struct qs_app_args app = { .path = args->path, .threads = args->threads, .theme = args->theme, .tier = QS_TIER_RGB,
                               .unicode = !args->ascii, .private = true };
    if (args->color && qs_tier_by_name(args->color) >= 0)
        app.tier = (enum qs_tier)qs_tier_by_name(args->color);
    int rc = pipe2(p.pipe, O_CLOEXEC | O_NONBLOCK) ? qs_fail_errno(e, errno, "cannot make a pipe") : QS_OK;
    app.wake_fd = p.pipe[1];
    if (!rc)
        rc = qs_cells_resize(&p.cells, rows, cols, e);
    if (!rc)
        rc = qs_app_new(&app, &p.app, e);
    if (!rc && args->path)
        rc = opened(&p, e);
    if (!rc) {
        show(&p);
        rc = play(&p, script, n, e);
    }
    qs_app_free(p.app);
    qs_cells_free(&p.cells);
    for (int i = 0; i < 2; i++)
        if (p.pipe[i] >= 0)
            close(p.pipe[i]);
    return rc;
}
