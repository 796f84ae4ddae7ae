/* app.c - owns the app's state: workbench, screens, theme; takes events, draws frames.
 *
 * Nothing here waits or knows a terminal. One thread.
 */
#include "ui/app_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/library.h"

const struct qs_screen *const qs_screens[] = {
    &qs_screen_overview, &qs_screen_map, &qs_screen_tensors, &qs_screen_recipe, &qs_screen_calibrate,
    &qs_screen_evaluate, &qs_screen_chat, &qs_screen_jobs, &qs_screen_log, &qs_screen_help, &qs_screen_zoom, NULL
};

_Static_assert(sizeof qs_screens / sizeof *qs_screens <= QS_SCREENS_MAX, "there is room for every screen");

size_t qs_screen_index(const struct qs_screen *s)
{
    size_t i = 0;
    while (qs_screens[i] && qs_screens[i] != s)
        i++;
    return i;
}

/* ---- what screens ask for ---- */

void *qs_app_state(struct qs_app *a, const struct qs_screen *s) { return a->state[qs_screen_index(s)]; }
struct qs_workbench *qs_app_bench(struct qs_app *a) { return a->bench; }
const struct qs_doc *qs_app_doc(struct qs_app *a) { return qs_workbench_doc(a->bench); }
const struct qs_theme *qs_app_theme(const struct qs_app *a) { return &a->theme; }
struct qs_style qs_app_look(const struct qs_app *a, enum qs_look l) { return qs_look(&a->theme, l); }
bool qs_app_ascii(const struct qs_app *a) { return a->ascii; }
const struct qs_regex *qs_app_search(const struct qs_app *a) { return a->search; }
const struct qs_screen *qs_app_screen(const struct qs_app *a) { return a->screen; }
void qs_app_touch(struct qs_app *a) { a->dirty = true; }
bool qs_app_quits(const struct qs_app *a) { return a->quit; }
bool qs_app_dirty(const struct qs_app *a) { return a->dirty; }

static void show(struct qs_app *a, const struct qs_screen *s)
{
    a->screen = s;
    a->dirty = true;
    if (s->enter && (qs_app_doc(a) || !s->needs_document))
        s->enter(a);
}

static void forget_before(struct qs_app *a, const struct qs_screen *s)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_before; i++)
        if (a->before[i] != s)
            a->before[n++] = a->before[i];
    a->n_before = n;
}

void qs_app_go(struct qs_app *a, const struct qs_screen *s)
{
    a->dirty = true;
    if (a->screen == s)
        return;
    forget_before(a, s); /* each screen stands there once, so that Esc comes to an end */
    forget_before(a, a->screen);
    a->before[a->n_before++] = a->screen;
    show(a, s);
}

const struct qs_screen *qs_app_before(const struct qs_app *a)
{
    return a->n_before ? a->before[a->n_before - 1] : NULL;
}

void qs_app_back(struct qs_app *a)
{
    if (a->n_before)
        show(a, a->before[--a->n_before]);
}

uint64_t qs_app_file_bytes(struct qs_app *a)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_writer_forecast f;
    if (a->file_of != d->model || a->file_version != d->version) {
        const bool known = qs_workbench_forecast(a->bench, &(struct qs_write_request){ .path = NULL }, &f, NULL, NULL) == QS_OK;
        a->file_bytes = known ? f.bytes : d->plan->bytes;
        a->file_of = d->model;
        a->file_version = d->version;
    }
    return a->file_bytes;
}

struct qs_pool *qs_app_pool(struct qs_app *a) { return a->pool; }
int qs_app_wake_fd(const struct qs_app *a) { return a->args.wake_fd; }

void qs_app_cursor(struct qs_app *a, const struct qs_canvas *c, int row, int col)
{
    a->cursor_row = c->at.y + row;
    a->cursor_col = c->at.x + col;
}

bool qs_app_private(const struct qs_app *a) { return a->args.private; }

void qs_screen_refresh(struct qs_app *a)
{
    if (a->screen->refresh && (qs_app_doc(a) || !a->screen->needs_document))
        a->screen->refresh(a);
}

/* ---- messages ---- */

static void message(struct qs_app *a, enum qs_log_level level, const char *text)
{
    struct qs_str clean = QS_STR_INIT;
    qs_text_clean(&clean, text, a->ascii);
    snprintf(a->message, sizeof a->message, "%s", clean.failed ? "out of memory" : clean.data);
    qs_str_free(&clean);
    a->message_level = level;
    a->dirty = true;
}

/* Shown now and kept in the log. */
static void tell(struct qs_app *a, enum qs_log_level level, const char *text)
{
    message(a, level, text);
    qs_log_add(qs_workbench_log(a->bench), level, "%s", a->message);
}

void qs_app_say(struct qs_app *a, const char *fmt, ...)
{
    char text[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    message(a, QS_LOG_NOTE, text);
}

void qs_app_warn(struct qs_app *a, const char *fmt, ...)
{
    char text[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    message(a, QS_LOG_WARNING, text);
}

/* What to do about it, in the words of the screen (src/cli.c has those of the command line). */
static const char *advice_text(enum qs_advice advice)
{
    static const char *const text[] = {
        [QS_ADVISE_NONE] = "",
        [QS_ADVISE_OVERWRITE] = "allow that it is overwritten",
        [QS_ADVISE_OVERWRITE_OR_OTHER] = "overwrite it, or name another output",
        [QS_ADVISE_OTHER_OUTPUT] = "name another output",
        [QS_ADVISE_DISCARD] = "discard it, or name another output",
        [QS_ADVISE_RESTART] = "write it again from the beginning",
        [QS_ADVISE_REQUANTIZE] = ":requantize on allows it",
        [QS_ADVISE_IMATRIX] = ":imatrix FILE gives an importance matrix",
        [QS_ADVISE_SMALLER_PARTS] = "write smaller parts (:write-parts SIZE)",
    };
    return (size_t)advice < sizeof text / sizeof *text && text[advice] ? text[advice] : "";
}

void qs_app_tell_failed(struct qs_app *a, const struct qs_err *e)
{
    char text[QS_ERR_MAX + 96];
    const char *advice = advice_text(e->advice);
    snprintf(text, sizeof text, "%s%s%s", e->msg, *advice ? ": " : "", advice);
    message(a, QS_LOG_ERROR, text);
}

void qs_app_fail(struct qs_app *a, const struct qs_err *e)
{
    qs_app_tell_failed(a, e);
    qs_log_add(qs_workbench_log(a->bench), QS_LOG_ERROR, "%s", e->msg);
}

void qs_app_stray(struct qs_app *a, const char *text)
{
    struct qs_str clean = QS_STR_INIT;
    while (*text) {
        const size_t n = strcspn(text, "\n");
        char line[QS_ERR_MAX];
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line - 1 ? n : sizeof line - 1), text);
        qs_str_clear(&clean);
        qs_text_clean(&clean, line, a->ascii);
        if (n && !clean.failed)
            qs_log_add(qs_workbench_log(a->bench), QS_LOG_WARNING, "standard error: %s", clean.data);
        text += n + (text[n] == '\n');
    }
    qs_str_free(&clean);
    a->dirty = true;
}

/* ---- settings ---- */

const char *qs_app_setting(const struct qs_app *a, const char *key)
{
    enum qs_setting s;
    return qs_setting_find(key, &s) ? qs_settings_text(a->config, s) : NULL;
}

static void apply_unicode(struct qs_app *a)
{
    const unsigned u = qs_settings_choice(a->config, QS_CONF_UNICODE);
    a->ascii = u == QS_CONF_UNICODE_OFF || !a->args.unicode; /* what the locale cannot print is not sent */
}

static void apply_mouse(struct qs_app *a)
{
    a->mouse = qs_settings_bool(a->config, QS_CONF_MOUSE);
    qs_app_wants(a, a->mouse ? QS_WISH_MOUSE_ON : QS_WISH_MOUSE_OFF, NULL);
}

static void apply_preset(struct qs_app *a)
{
    qs_workbench_preset(a->bench, qs_settings_text(a->config, QS_CONF_PRESET), NULL); /* the settings know it */
}

/* What takes effect at once; the theme does too, but may be refused. */
static void (*const apply[QS_CONF_COUNT])(struct qs_app *a) = {
    [QS_CONF_UNICODE] = apply_unicode, [QS_CONF_MOUSE] = apply_mouse, [QS_CONF_PRESET] = apply_preset,
};

bool qs_setting_at_once(enum qs_setting s)
{
    return apply[s] || s == QS_CONF_THEME || s == QS_CONF_CELLS || s == QS_CONF_CONFIRM_QUIT; /* asked for when used */
}

int qs_app_change_setting(struct qs_app *a, const char *key, const char *value, struct qs_err *e)
{
    enum qs_setting s;
    if (!qs_setting_find(key, &s))
        return qs_settings_set(a->config, key, value, e); /* which says so */
    int rc = s == QS_CONF_THEME ? qs_app_set_theme(a, value, e) : QS_OK;
    if (!rc)
        rc = qs_settings_set(a->config, key, value, e);
    if (!rc && apply[s])
        apply[s](a);
    return rc || a->args.private ? rc : qs_settings_save(a->config, e);
}

const struct qs_settings *qs_app_config(const struct qs_app *a) { return a->config; }

int qs_app_set_theme(struct qs_app *a, const char *name, struct qs_err *e)
{
    struct qs_theme theme;
    const int rc = qs_theme_load(name, a->args.tier, a->light, &theme, e);
    if (!rc)
        a->theme = theme;
    a->dirty = true;
    return rc;
}

bool qs_app_set_search(struct qs_app *a, const char *pattern)
{
    struct qs_regex *re = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (*pattern && qs_regex_compile(pattern, QS_REGEX_ICASE, &re, &e)) {
        qs_app_fail(a, &e);
        return false;
    }
    qs_regex_free(a->search);
    a->search = re;
    snprintf(a->pattern, sizeof a->pattern, "%s", pattern);
    a->dirty = true;
    return true;
}

/* ---- life ---- */

static int load_settings(struct qs_app *a, struct qs_err *e)
{
    struct qs_err bad = QS_ERR_INIT;
    const char *problem;
    for (size_t i = 0; (problem = qs_settings_problem(a->config, i)) != NULL; i++)
        tell(a, QS_LOG_WARNING, problem);
    const char *theme = a->args.theme ? a->args.theme : qs_settings_text(a->config, QS_CONF_THEME);
    a->mouse = qs_settings_bool(a->config, QS_CONF_MOUSE);
    apply_unicode(a);
    if (qs_app_set_theme(a, theme, &bad) == QS_OK)
        return QS_OK;
    if (a->args.theme) /* asked for here and now: it is no use to go on with another */
        return qs_fail(e, bad.code, "%s", bad.msg);
    const int rc = qs_app_set_theme(a, "auto", e);
    if (!rc)
        qs_app_fail(a, &bad);
    return rc;
}

static int make_screens(struct qs_app *a, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && qs_screens[i]; i++) {
        a->state[i] = qs_calloc(1, qs_screens[i]->state_size + 1);
        if (!a->state[i])
            rc = qs_fail_mem(e, qs_screens[i]->state_size, "a screen");
        else if (qs_screens[i]->init)
            rc = qs_screens[i]->init(a, a->state[i], e);
    }
    return rc;
}

int qs_app_new(const struct qs_app_args *args, struct qs_app **out, struct qs_err *e)
{
    struct qs_app *a = qs_calloc(1, sizeof *a);
    *out = NULL;
    if (!a)
        return qs_fail_mem(e, sizeof *a, "the screen");
    a->args = *args;
    a->clipboard = a->ask_title = a->ask_text = a->write.path = a->opening = (struct qs_str)QS_STR_INIT;
    a->dirty = true;
    int rc = args->config ? QS_OK : qs_settings_load("", &a->config, e); /* no file: all defaults */
    if (!rc)
        rc = qs_pool_new(args->threads, &a->pool, e);
    if (args->config)
        a->config = args->config;
    if (!rc)
        rc = qs_workbench_new(&(struct qs_workbench_args) { .pool = a->pool, .private = args->private,
                                                            .wake_fd = args->wake_fd,
                                                            .preset = qs_settings_text(a->config, QS_CONF_PRESET) },
                              &a->bench, e);
    if (!rc)
        rc = load_settings(a, e);
    if (!rc)
        rc = make_screens(a, e);
    if (!rc) {
        a->screen = &qs_screen_overview;
        if (a->screen->enter)
            a->screen->enter(a);
        if (args->path)
            rc = qs_app_open(a, args->path, e);
    }
    if (rc) {
        if (a->args.config && a->config == a->args.config)
            a->config = NULL; /* the caller's still */
        qs_app_free(a);
    } else {
        *out = a;
    }
    return rc;
}

void qs_app_free(struct qs_app *a)
{
    if (!a)
        return;
    qs_modal_close(a);
    qs_workbench_free(a->bench); /* jobs end before the screens free what they work on */
    for (size_t i = 0; qs_screens[i]; i++) {
        if (a->state[i] && qs_screens[i]->done)
            qs_screens[i]->done(a->state[i]);
        qs_free(a->state[i]);
    }
    qs_pool_free(a->pool);
    qs_settings_free(a->config);
    qs_regex_free(a->search);
    qs_typed_free(&a->command_history);
    qs_typed_free(&a->search_history);
    qs_typed_free(&a->text_history);
    qs_str_free(&a->clipboard);
    qs_str_free(&a->ask_title);
    qs_str_free(&a->write.path);
    qs_str_free(&a->opening);
    qs_free(a->marks.bit);
    qs_picking_end(&a->picking);
    qs_str_free(&a->ask_text);
    qs_free(a);
}

int qs_app_open(struct qs_app *a, const char *path, struct qs_err *e)
{
    const int rc = qs_workbench_open(a->bench, path, e);
    a->dirty = true;
    return rc;
}

/* ---- jobs ---- */

/* A document came, or went: screens forget what they knew of the one before. */
static void take_document(struct qs_app *a)
{
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_model *m = d ? d->model : NULL;
    if (m == a->document)
        return;
    a->document = m;
    if (a->modal == QS_MODAL_PICK || a->modal == QS_MODAL_ASK)
        qs_modal_close(a); /* it was about the one before; what is being typed goes on */
    qs_marks_clear(a);
    forget_before(a, &qs_screen_zoom);
    for (size_t i = 0; qs_screens[i]; i++)
        if (qs_screens[i]->document)
            qs_screens[i]->document(a);
    if (m && !a->args.private)
        qs_library_remember(m->path, NULL);
}

static void tell_failed_opening(struct qs_app *a)
{
    const struct qs_err *e = qs_workbench_open_error(a->bench);
    const bool failed = e && e->code != QS_OK;
    if (failed && !a->open_failed) {
        message(a, QS_LOG_ERROR, e->msg); /* the log has it */
        if (!qs_app_doc(a))
            qs_app_go(a, &qs_screen_overview);
    }
    a->open_failed = failed;
}

/* A matrix is read by a job: what came of it is told when it is there. */
static void tell_imatrix(struct qs_app *a)
{
    const bool reading = qs_workbench_imatrix_reading(a->bench);
    if (a->reading_imatrix && !reading) {
        const struct qs_err *e = qs_workbench_imatrix_error(a->bench);
        const struct qs_doc *d = qs_app_doc(a);
        if (e->code)
            message(a, QS_LOG_ERROR, e->msg); /* the log has it */
        else if (d && d->imatrix_path)
            qs_app_say(a, "importance matrix: %s", d->imatrix_path);
    }
    a->reading_imatrix = reading;
}

bool qs_app_poll(struct qs_app *a)
{
    a->dirty |= qs_workbench_poll(a->bench);
    take_document(a);
    tell_failed_opening(a);
    tell_imatrix(a);
    a->dirty |= qs_write_poll(a);
    for (size_t i = 0; qs_screens[i]; i++)
        if (qs_screens[i]->poll)
            a->dirty |= qs_screens[i]->poll(a);
    return a->dirty;
}

bool qs_app_busy(struct qs_app *a)
{
    bool busy = qs_workbench_busy(a->bench);
    for (size_t i = 0; qs_screens[i] && !busy; i++)
        busy = qs_screens[i]->busy && qs_screens[i]->busy(a);
    return busy;
}

bool qs_app_idle(struct qs_app *a)
{
    return !a->dirty && !qs_app_busy(a);
}

/* ---- events ---- */

void qs_app_wants(struct qs_app *a, enum qs_app_wish wish, const char *clipboard)
{
    a->wish = wish;
    if (wish == QS_WISH_CLIPBOARD) {
        qs_str_clear(&a->clipboard);
        qs_str_add(&a->clipboard, clipboard);
    }
}

enum qs_app_wish qs_app_wish(struct qs_app *a, const char **clipboard)
{
    const enum qs_app_wish wish = a->wish;
    a->wish = QS_WISH_NONE;
    *clipboard = a->clipboard.data;
    return wish;
}

void qs_app_to_screen(const struct qs_app *a, struct qs_event *ev)
{
    ev->row += a->body.y;
    ev->col += a->body.x;
}

/* Tabs and the keys of the footer are buttons; the rest is the screen's. */
static void mouse(struct qs_app *a, const struct qs_event *ev)
{
    const bool press = ev->mouse == QS_MOUSE_PRESS && ev->button == 1;
    for (size_t i = 0; press && i < a->n_tabs; i++)
        if (ev->row == a->tab[i].row && ev->col >= a->tab[i].x0 && ev->col < a->tab[i].x1) {
            qs_app_go(a, a->tab[i].screen);
            return;
        }
    for (size_t i = 0; press && i < a->n_buttons; i++)
        if (ev->row == a->button[i].row && ev->col >= a->button[i].x0 && ev->col < a->button[i].x1) {
            qs_action_do(a, a->button[i].action, NULL);
            return;
        }
    if (qs_rect_has(a->body, ev->row, ev->col) && a->screen->event && (qs_app_doc(a) || !a->screen->needs_document)) {
        struct qs_event local = *ev;
        qs_screen_refresh(a);
        local.row -= a->body.y;
        local.col -= a->body.x;
        a->screen->event(a, &local);
    }
}

static void key(struct qs_app *a, const struct qs_event *ev)
{
    const bool usable = qs_app_doc(a) || !a->screen->needs_document;
    qs_screen_refresh(a);
    if (usable && a->screen->event && a->screen->event(a, ev))
        return;
    const struct qs_action *t = ev->kind == QS_EVENT_KEY ? qs_action_by_key(a, ev->key) : NULL;
    if (t)
        qs_action_do(a, t, NULL);
}

/* Too small to show anything: no key acts unseen. i goes on all the same, and so does q, which may have to ask. */
static bool refused_as_too_small(struct qs_app *a, const struct qs_event *ev)
{
    if (a->small_ignored || !a->rows || qs_layout_frame((int)a->rows, (int)a->cols).kind != QS_LAYOUT_TOO_SMALL)
        return false;
    const bool key = ev->kind == QS_EVENT_KEY, quit = key && (ev->key == 'q' || ev->key == (QS_CTRL | 'c'));
    if (quit)
        qs_modal_close(a);
    a->small_ignored = quit || (key && ev->key == 'i');
    return !quit && !(key && ev->key & QS_CTRL);
}

void qs_app_event(struct qs_app *a, const struct qs_event *ev)
{
    a->dirty = true;
    if (ev->kind == QS_EVENT_BACKGROUND) {
        const char *theme = a->args.theme ? a->args.theme : qs_settings_text(a->config, QS_CONF_THEME);
        if (a->light != ev->light && strcmp(theme, "auto") == 0) {
            a->light = ev->light;
            qs_app_set_theme(a, "auto", NULL);
        }
        return;
    }
    if (refused_as_too_small(a, ev))
        return;
    if (ev->kind != QS_EVENT_MOUSE || ev->mouse == QS_MOUSE_PRESS)
        a->message[0] = 0;
    if (ev->kind == QS_EVENT_KEY && ev->key == (QS_CTRL | 'z')) { /* at any time, whatever is open */
        qs_app_wants(a, QS_WISH_SUSPEND, NULL);
        return;
    }
    if (a->modal != QS_MODAL_NONE && qs_modal_event(a, ev))
        return;
    if (ev->kind == QS_EVENT_KEY || ev->kind == QS_EVENT_PASTE)
        key(a, ev);
    else if (ev->kind == QS_EVENT_MOUSE)
        mouse(a, ev);
}

/* ---- drawing ---- */

void qs_app_draw(struct qs_app *a, struct qs_cells *cells, int *row, int *col)
{
    const struct qs_canvas all = qs_canvas_of(cells, a->ascii);
    *row = *col = a->cursor_row = a->cursor_col = -1;
    a->dirty = false;
    a->rows = cells->rows;
    a->cols = cells->cols;
    qs_draw_fill(&all, (struct qs_rect) { 0, 0, qs_canvas_rows(&all), qs_canvas_cols(&all) },
                 qs_app_look(a, QS_LOOK_TEXT));
    qs_frame_draw(a, &all, row, col);
    if (a->modal == QS_MODAL_NONE) {
        *row = a->cursor_row;
        *col = a->cursor_col;
    }
}
