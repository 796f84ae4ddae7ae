/* screen_log.c - what happened, the newest at the end; follows it while the cursor is there. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ui/app.h"
#include "ui/list.h"
#include "ui/match.h"

struct log_view { struct qs_list list; bool behind; /* the person looks at older lines */ };

static struct log_view *view_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_log); }
static struct qs_log *log_of(struct qs_app *a) { return qs_workbench_log(qs_app_bench(a)); }

static void draw_line(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_log_line *l, bool here)
{
    static const char *const marks[] = { [QS_LOG_NOTE] = " ", [QS_LOG_WARNING] = "!", [QS_LOG_ERROR] = "E" };
    static const enum qs_look looks[] = {
        [QS_LOG_NOTE] = QS_LOOK_TEXT, [QS_LOG_WARNING] = QS_LOOK_WARNING, [QS_LOG_ERROR] = QS_LOOK_ERROR
    };
    char when[16];
    struct tm tm;
    const time_t t = (time_t)l->time;
    const struct qs_style style = qs_app_look(a, here ? QS_LOOK_CURSOR : looks[l->level]);
    strftime(when, sizeof when, "%H:%M:%S", localtime_r(&t, &tm));
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, qs_canvas_cols(c) }, style);
    const int n = qs_draw_text(c, y, 0, here ? style : qs_app_look(a, QS_LOOK_MUTED), when, -1);
    qs_draw_text(c, y, n + 1, style, marks[l->level], 1);
    qs_draw_text(c, y, n + 3, style, l->text, -1);
    qs_draw_matches(c, y, n + 3, l->text, qs_canvas_cols(c) - n - 3, qs_app_search(a), qs_app_look(a, QS_LOOK_MATCH));
}

/* The line under the cursor in full, below. */
static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct log_view *v = view_of(a);
    struct qs_log *log = log_of(a);
    const size_t n = qs_log_count(log);
    const int all = qs_canvas_rows(c), detail = all >= 12 ? 3 : 0, rows = all - detail - (detail > 0);
    qs_list_set(&v->list, n, rows > 0 ? (size_t)rows : 1);
    if (!v->behind)
        qs_list_to(&v->list, n ? n - 1 : 0);
    v->list.at = (struct qs_rect){ c->at.y, c->at.x, rows, qs_canvas_cols(c) };
    for (int y = 0; y < rows && v->list.top + (size_t)y < n; y++) {
        const size_t i = v->list.top + (size_t)y;
        draw_line(a, c, y, qs_log_at(log, i), i == v->list.cursor);
    }
    if (!n)
        qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "nothing has happened yet", -1);
    if (detail && n) {
        const struct qs_canvas below = qs_canvas_part(c, (struct qs_rect){ rows + 1, 0, detail, qs_canvas_cols(c) });
        qs_draw_hline(c, rows, 0, qs_canvas_cols(c), qs_app_look(a, QS_LOOK_FRAME));
        qs_draw_wrapped(&below, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), qs_log_at(log, v->list.cursor)->text);
    }
}

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct log_view *v = view_of(a);
    qs_list_move(&v->list, m);
    v->behind = v->list.n > 0 && v->list.cursor + 1 < v->list.n;
}

static void last(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_END); }

static void copy(struct qs_app *a, const char *arg)
{
    const struct log_view *v = view_of(a);
    (void)arg;
    if (v->list.cursor < qs_log_count(log_of(a)))
        qs_app_wants(a, QS_WISH_CLIPBOARD, qs_log_at(log_of(a), v->list.cursor)->text);
}

static bool matches(void *ctx, size_t line)
{
    const struct qs_app_find *f = ctx;
    const char *text = qs_log_at(log_of(f->app), line)->text;
    return qs_regex_find(f->re, text, strlen(text), 0, NULL, NULL) == 1;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct log_view *v = view_of(a);
    const bool found = qs_list_find(&v->list, step, matches, &(struct qs_app_find){ a, re });
    v->behind = v->list.n > 0 && v->list.cursor + 1 < v->list.n;
    return found;
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct log_view *v = view_of(a);
    struct qs_event screen = *ev;
    qs_app_to_screen(a, &screen);
    if (ev->kind != QS_EVENT_MOUSE || !qs_list_mouse(&v->list, &screen))
        return false;
    v->behind = v->list.n > 0 && v->list.cursor + 1 < v->list.n;
    return true;
}

static const struct qs_action actions[] = {
    { .name = "newest", .keys = "G End", .brief = "newest", .rank = 4,
      .help = "the newest line, and follow", .run = last },
    { .name = "copy-line", .keys = "y", .help = "send the line to the terminal's clipboard", .run = copy },
    { .name = NULL }
};

const struct qs_screen qs_screen_log = {
    .name = "Log",
    .about = "what happened, the newest at the end",
    .actions = actions,
    .state_size = sizeof(struct log_view),
    .draw = draw,
    .move = move,
    .event = event,
    .find = find,
};
