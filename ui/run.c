/* run.c - the app on a terminal: the loop that waits, hands events in and shows frames.
 *
 * The one thread that owns the terminal. It waits for events, signals and jobs, never for work. At most as many frames a
 * second as the settings say; nothing is drawn where nothing changed.
 */
#include "ui/ui.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/pool.h"
#include "base/text.h"
#include "ui/app.h"
#include "ui/config.h"
#include "ui/term.h"

#define LOOK_AGAIN_MS 100 /* while a job runs: its time left moves by itself */

struct loop {
    struct qs_app *app;
    struct qs_cells cells;
    int row, col;         /* of the typing cursor in them */
    int pipe[2];
    int idle_fd;          /* QS_IDLE_FD of the environment; -1: none */
    unsigned long long told;
    bool all;
    double last_frame, frame_time;
    double gap_from, gap_max; /* longest time between two waits */
    struct qs_err err;
};

/* For tests: all that was typed has been acted upon and is on the screen. */
static void tell_idle(struct loop *l)
{
    char line[32];
    const unsigned long long taken = qs_term_taken() + 1; /* the first mark too, when nothing was typed */
    if (l->idle_fd < 0 || qs_app_dirty(l->app) || taken == l->told)
        return;
    const ssize_t n = write(l->idle_fd, line, (size_t)snprintf(line, sizeof line, "%llu\n", taken - 1));
    l->told = n > 0 ? taken : l->told;
}

static int idle_descriptor(void)
{
    const char *text = getenv("QS_IDLE_FD");
    return text && *text ? (int)strtol(text, NULL, 10) : -1;
}

static void show(struct loop *l)
{
    unsigned rows, cols;
    qs_term_size(&rows, &cols);
    if (rows != l->cells.rows || cols != l->cells.cols) {
        if (qs_cells_resize(&l->cells, rows, cols, &l->err))
            return;
        l->all = true;
    }
    qs_app_draw(l->app, &l->cells, &l->row, &l->col);
    qs_term_show(&l->cells, l->all, l->row, l->col);
    l->all = false;
    l->last_frame = qs_now();
}

static void fulfil(struct loop *l)
{
    const char *clipboard;
    switch (qs_app_wish(l->app, &clipboard)) {
    case QS_WISH_SUSPEND:
        qs_term_suspend();
        l->all = true;
        qs_app_touch(l->app);
        break;
    case QS_WISH_REDRAW:
        l->all = true;
        qs_app_touch(l->app);
        break;
    case QS_WISH_MOUSE_ON: qs_term_mouse(true); break;
    case QS_WISH_MOUSE_OFF: qs_term_mouse(false); break;
    case QS_WISH_CLIPBOARD:
        if (qs_term_clipboard(clipboard))
            qs_app_say(l->app, "sent to the terminal's clipboard");
        else
            qs_app_warn(l->app, "too long for the terminal's clipboard: save it to a file");
        break;
    case QS_WISH_NONE: break;
    }
}

static bool resized(struct loop *l)
{
    unsigned rows, cols;
    qs_term_size(&rows, &cols);
    return rows != l->cells.rows || cols != l->cells.cols;
}

static int wait_time(const struct loop *l)
{
    if (qs_app_dirty(l->app)) {
        const double left = l->frame_time - (qs_now() - l->last_frame);
        return left > 0 ? (int)(left * 1000) + 1 : 0;
    }
    return qs_app_busy(l->app) ? LOOK_AGAIN_MS : -1;
}

static void loop(struct loop *l)
{
    struct qs_event ev;
    while (!qs_app_quits(l->app) && !qs_term_ending() && !l->err.code) {
        if (resized(l))
            qs_app_touch(l->app);
        if (qs_app_dirty(l->app) && qs_now() - l->last_frame >= l->frame_time)
            show(l);
        tell_idle(l);
        const double gap = qs_now() - l->gap_from;
        l->gap_max = l->gap_from > 0 && gap > l->gap_max ? gap : l->gap_max;
        qs_term_wait(l->pipe[0], wait_time(l));
        if (l->cells.glyph)
            qs_term_show(&l->cells, false, l->row, l->col); /* after a stop all of it, else nothing */
        l->gap_from = qs_now();
        while (qs_term_event(&ev) && !qs_app_quits(l->app)) {
            qs_app_event(l->app, &ev);
            fulfil(l);
        }
        qs_app_poll(l->app);
        const char *stray = qs_term_stray();
        if (*stray)
            qs_app_stray(l->app, stray);
        if (qs_app_busy(l->app) && qs_now() - l->last_frame >= LOOK_AGAIN_MS / 1000.0)
            qs_app_touch(l->app);
    }
}

/* The terminal first: it knows its colours. */
static int start(struct loop *l, const struct qs_ui_args *args, struct qs_err *e)
{
    struct qs_settings *config = NULL;
    struct qs_file_stat st;
    if (args->path && qs_file_stat(args->path, &st, e)) /* a slip of the finger belongs to the shell */
        return e->code;
    if (pipe2(l->pipe, O_CLOEXEC | O_NONBLOCK))
        return qs_fail_errno(e, errno, "cannot make a pipe");
    int rc = qs_settings_load(NULL, &config, e);
    if (rc)
        return rc;
    const struct qs_term_args term = { .tier = qs_tier_by_name(args->color ? args->color
                                                                           : qs_settings_text(config, QS_CONF_COLOR)),
                                       .mouse = qs_settings_bool(config, QS_CONF_MOUSE),
                                       .sync = qs_settings_bool(config, QS_CONF_SYNC) };
    if (qs_settings_choice(config, QS_CONF_UNICODE) == QS_CONF_UNICODE_ON && !qs_locale_utf8())
        setlocale(LC_CTYPE, "C.UTF-8"); /* the person knows the terminal better than the locale does */
    l->frame_time = 1.0 / qs_settings_number(config, QS_CONF_FRAME_RATE);
    rc = qs_term_open(&term, e);
    const unsigned threads = args->threads ? args->threads : qs_settings_number(config, QS_CONF_THREADS);
    const struct qs_app_args app = { .path = args->path,
                                     .threads = threads,
                                     .wake_fd = l->pipe[1],
                                     .theme = args->theme,
                                     .config = config,
                                     .tier = rc ? QS_TIER_MONO : qs_term_tier(),
                                     .unicode = !args->ascii && qs_locale_utf8() };
    if (!rc)
        rc = qs_app_new(&app, &l->app, e);
    if (rc)
        qs_settings_free(config);
    return rc;
}

static void measure_gap(const struct loop *l)
{
    const char *name = getenv("QUANTSCAPE_GAP_FILE"); /* bench/: the longest time the screen did not listen */
    FILE *f = name && *name ? fopen(name, "w") : NULL;
    if (f) {
        fprintf(f, "%.6f\n", l->gap_max);
        fclose(f);
    }
}

int qs_ui_run(const struct qs_ui_args *args, struct qs_err *e)
{
    struct loop l = {
        .cells = QS_CELLS_INIT, .pipe = { -1, -1 }, .idle_fd = idle_descriptor(), .all = true, .err = QS_ERR_INIT
    };
    qs_term_guard();
    int rc = start(&l, args, e);
    if (!rc)
        loop(&l);
    qs_term_close();
    measure_gap(&l);
    const bool finishing = l.app && qs_app_busy(l.app);
    if (finishing && isatty(STDERR_FILENO))
        fputs("quantscape: ending what is under way ...\n", stderr);
    qs_app_free(l.app);
    qs_cells_free(&l.cells);
    for (int i = 0; i < 2; i++)
        if (l.pipe[i] >= 0)
            close(l.pipe[i]);
    const int ending = qs_term_ending();
    if (ending > 0) { /* die of the signal, as the sender expects, now that the terminal is itself again */
        signal(ending, SIG_DFL);
        raise(ending);
    }
    if (!rc && l.err.code) {
        *e = l.err;
        rc = l.err.code;
    }
    if (!rc && ending == QS_TERM_GONE)
        rc = qs_fail(e, QS_EIO, "the terminal is gone");
    return rc;
}
