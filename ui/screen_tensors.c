/* screen_tensors.c - all tensors as a table to sort, filter and mark, with their types, sizes and errors under the recipe.
 *
 * Owns the table's report, made anew when the document has changed, and at most twice a second while it is measured.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "core/report/report_choice.h"
#include "ui/choose.h"
#include "ui/layout.h"
#include "ui/table_view.h"
#include "ui/zoom.h"

struct tensors {
    struct qs_table_view view;
    struct qs_report *report;
    uint64_t doc_version, survey_version;
    double made;                 /* when; 0: not yet */
    char filter[256];
    struct qs_regex *regex;      /* of the filter */
    bool marked_only;
};

static struct tensors *tensors_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_tensors); }

/* ---- the table ---- */

static struct qs_report *make_report(const struct qs_doc *d)
{
    const struct qs_choice_view view = { .survey = d->survey, .brief = true };
    struct qs_report *r = qs_report_new("tensors");
    if (r)
        qs_report_choice(r, d->plan, &view);
    if (r && qs_report_failed(r)) {
        qs_report_free(r);
        r = NULL;
    }
    return r;
}

static bool keep(void *ctx, size_t row)
{
    struct qs_app *a = ctx;
    const struct tensors *t = tensors_of(a);
    const char *name = qs_app_doc(a)->model->tensor[row].name;
    return (!t->marked_only || qs_marked(a, row)) &&
           (!t->regex || qs_regex_find(t->regex, name, strlen(name), 0, NULL, NULL) == 1);
}

static void apply_filter(struct qs_app *a)
{
    struct tensors *t = tensors_of(a);
    qs_table_view_keep(&t->view, t->regex || t->marked_only ? keep : NULL, a);
}

static void refresh(struct qs_app *a)
{
    struct tensors *t = tensors_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    const uint64_t survey = qs_survey_version(d->survey);
    struct qs_err e = QS_ERR_INIT;
    if (t->report && t->doc_version == d->version && (t->survey_version == survey || (qs_workbench_busy(qs_app_bench(a)) && qs_now() - t->made < 0.5)))
        return;
    struct qs_report *r = make_report(d);
    if (!r)
        return;
    if (qs_table_view_set(&t->view, qs_report_section(r, 0), &e))
        qs_app_fail(a, &e);
    qs_report_free(t->report);
    t->report = r;
    t->doc_version = d->version;
    t->survey_version = survey;
    t->made = qs_now();
    apply_filter(a);
}

/* ---- drawing ---- */

static enum qs_look row_look(void *ctx, size_t row)
{
    const struct qs_doc *d = qs_app_doc(ctx);
    if (d->plan->enc[row].problem)
        return QS_LOOK_WARNING;
    if (d->baseline && d->baseline->enc[row].type != d->plan->enc[row].type)
        return QS_LOOK_CHANGED;
    return d->plan->enc[row].copy ? QS_LOOK_MUTED : QS_LOOK_TEXT;
}

static void draw_filter(struct qs_app *a, const struct qs_canvas *c, int y)
{
    const struct tensors *t = tensors_of(a);
    char place[80];
    const int x = qs_draw_textf(c, y, 0, qs_app_look(a, QS_LOOK_MUTED), "%s%s%s%s", t->filter[0] ? "filter: " : "", t->filter,
                                t->marked_only ? " marked only" : "", t->filter[0] || t->marked_only ? "  " : "");
    const int n = qs_draw_text(c, y, x, qs_app_look(a, QS_LOOK_MUTED), qs_list_position(&t->view.list, place, sizeof place), -1);
    if (qs_marks(a)->n)
        qs_draw_textf(c, y, x + n, qs_app_look(a, QS_LOOK_MARK), "  %zu marked ", qs_marks(a)->n);
}

static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct tensors *t = tensors_of(a);
    const struct qs_rect all = { 0, 0, qs_canvas_rows(c), qs_canvas_cols(c) };
    struct qs_split s = qs_layout_right(all, 46, 0, 96, 40, true);
    const bool side = s.both;
    if (!side)
        s = qs_layout_bottom(all, 8, 12, 4, true);
    const struct qs_canvas main = qs_canvas_part(c, s.main), rest = qs_canvas_part(c, s.side);
    const struct qs_canvas table = qs_canvas_part(&main, (struct qs_rect){ 0, 0, s.main.rows - 1, s.main.cols });
    t->view.marks = qs_marks(a)->n ? qs_marks(a)->bit : NULL;
    t->view.look = row_look;
    t->view.look_ctx = a;
    t->view.search = qs_app_search(a);
    qs_table_view_draw(&t->view, &table, qs_app_theme(a));
    draw_filter(a, &main, s.main.rows - 1);
    const size_t row = qs_table_view_row(&t->view);
    if (!s.both || row == QS_NO_ROW)
        return;
    if (side)
        qs_draw_vline(c, s.rule.y, s.rule.x, s.rule.rows, qs_app_look(a, QS_LOOK_FRAME));
    else
        qs_draw_hline(c, s.rule.y, s.rule.x, s.rule.cols, qs_app_look(a, QS_LOOK_FRAME));
    qs_choose_draw(a, &rest, &qs_app_doc(a)->model->tensor[row]);
}

/* ---- moving, sorting, filtering ---- */

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct tensors *t = tensors_of(a);
    qs_list_move(&t->view.list, m);
    if (qs_table_view_row(&t->view) != QS_NO_ROW)
        qs_workbench_focus(qs_app_bench(a), qs_table_view_row(&t->view));
}

static void columns_left(struct qs_app *a, const char *arg) { (void)arg; qs_table_view_scroll(&tensors_of(a)->view, -1); }
static void columns_right(struct qs_app *a, const char *arg) { (void)arg; qs_table_view_scroll(&tensors_of(a)->view, 1); }

static void sort(struct qs_app *a, const char *arg)
{
    struct tensors *t = tensors_of(a);
    const bool down_first = arg && *arg == '-';
    if (!arg) {
        qs_table_view_sort_step(&t->view, 1);
        move(a, QS_LIST_HOME);
        return;
    }
    const struct qs_section *s = t->report ? qs_report_section(t->report, 0) : NULL;
    for (size_t i = 0; s && i < qs_section_columns(s); i++)
        if (strcmp(qs_section_column(s, i)->key, arg + down_first) == 0) {
            qs_table_view_sort(&t->view, i, down_first);
            move(a, QS_LIST_HOME);
            return;
        }
    qs_app_warn(a, "there is no column %.40s", arg);
}

static void sort_reverse(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_table_view_sort_reverse(&tensors_of(a)->view);
    move(a, QS_LIST_HOME);
}

static void set_filter(struct qs_app *a, const char *pattern)
{
    struct tensors *t = tensors_of(a);
    struct qs_regex *re = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (*pattern && qs_regex_compile(pattern, QS_REGEX_ICASE, &re, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    qs_regex_free(t->regex);
    t->regex = re;
    snprintf(t->filter, sizeof t->filter, "%s", pattern);
    apply_filter(a);
}

static void filter_typed(struct qs_app *a, const char *text, void *ctx) { (void)ctx; set_filter(a, text); }

static void filter(struct qs_app *a, const char *arg)
{
    if (arg)
        set_filter(a, arg);
    else
        qs_app_prompt(a, "filter: ", tensors_of(a)->filter, QS_ARG_REGEX, NULL, filter_typed, NULL);
}

static void only_marked(struct qs_app *a, const char *arg)
{
    struct tensors *t = tensors_of(a);
    (void)arg;
    t->marked_only = !t->marked_only;
    apply_filter(a);
}

static void clear(struct qs_app *a, const char *arg)
{
    struct tensors *t = tensors_of(a);
    (void)arg;
    if (t->filter[0] || t->marked_only) {
        t->marked_only = false;
        set_filter(a, "");
    } else if (qs_marks(a)->n) {
        qs_marks_clear(a);
    } else {
        qs_app_back(a);
    }
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct tensors *t = tensors_of(a);
    const size_t row = qs_table_view_row(&t->view);
    if (row == QS_NO_ROW)
        return false;
    const char *name = qs_app_doc(a)->model->tensor[row].name;
    if (step == 0 && qs_regex_find(re, name, strlen(name), 0, NULL, NULL) == 1)
        return true;
    return qs_table_view_find(&t->view, re, step < 0) > 0;
}

/* ---- marks and types ---- */

static void mark(struct qs_app *a, const char *arg)
{
    struct tensors *t = tensors_of(a);
    const size_t row = qs_table_view_row(&t->view);
    (void)arg;
    if (row == QS_NO_ROW)
        return;
    qs_mark(a, row, !qs_marked(a, row));
    move(a, QS_LIST_DOWN);
}

static void mark_shown(struct qs_app *a, const char *arg)
{
    const struct tensors *t = tensors_of(a);
    bool all = true;
    (void)arg;
    for (size_t i = 0; i < t->view.list.n; i++)
        all &= qs_marked(a, qs_table_view_row_at(&t->view, i));
    for (size_t i = 0; i < t->view.list.n; i++)
        qs_mark(a, qs_table_view_row_at(&t->view, i), !all);
    qs_app_say(a, "%zu tensors marked", qs_marks(a)->n);
}

static const char *nothing_here(struct qs_app *a)
{
    return qs_marks(a)->n || qs_table_view_row(&tensors_of(a)->view) != QS_NO_ROW ? NULL : "there is no tensor here";
}

static struct qs_chosen chosen(struct qs_app *a)
{
    const size_t row = qs_table_view_row(&tensors_of(a)->view);
    struct qs_chosen c = { .tensor = NULL };
    for (size_t i = 0; qs_marks(a)->n && i < qs_app_doc(a)->model->n_tensors; i++)
        if (qs_marked(a, i))
            qs_chosen_add(&c, i);
    if (!qs_marks(a)->n && row != QS_NO_ROW)
        qs_chosen_add(&c, row);
    return c;
}

static void step(struct qs_app *a, int direction)
{
    struct qs_chosen c = chosen(a);
    qs_choose_step(a, &c, direction);
    qs_chosen_free(&c);
}

static void raise_type(struct qs_app *a, const char *arg) { (void)arg; step(a, 1); }
static void lower_type(struct qs_app *a, const char *arg) { (void)arg; step(a, -1); }

static void set_type(struct qs_app *a, const char *arg)
{
    struct qs_chosen c = chosen(a);
    qs_choose_set(a, &c, arg);
    qs_chosen_free(&c);
}

static void reset_type(struct qs_app *a, const char *arg)
{
    struct qs_chosen c = chosen(a);
    (void)arg;
    qs_choose_reset(a, &c);
    qs_chosen_free(&c);
}

static void pick_type(struct qs_app *a, const char *arg)
{
    struct qs_chosen c = chosen(a);
    (void)arg;
    qs_choose_pick(a, &c);
    qs_chosen_free(&c);
}

static void stats(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_workbench_want_stats(qs_app_bench(a));
    qs_app_say(a, "measuring every tensor's distribution: all weights are read");
}

static void zoom(struct qs_app *a, const char *arg)
{
    const size_t row = qs_table_view_row(&tensors_of(a)->view);
    (void)arg;
    if (row != QS_NO_ROW)
        qs_zoom_into(a, row);
}

static void copy(struct qs_app *a, const char *arg)
{
    const size_t row = qs_table_view_row(&tensors_of(a)->view);
    (void)arg;
    if (row != QS_NO_ROW)
        qs_app_wants(a, QS_WISH_CLIPBOARD, qs_app_doc(a)->model->tensor[row].name);
}

/* ---- life ---- */

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct tensors *t = tensors_of(a);
    struct qs_event screen = *ev;
    size_t where = 0;
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    qs_app_to_screen(a, &screen);
    const enum qs_table_hit hit = qs_table_view_mouse(&t->view, &screen, &where);
    if (hit == QS_TABLE_HEAD)
        qs_table_view_sort(&t->view, where, t->view.sort_column == where && !t->view.sort_down);
    return hit != QS_TABLE_ELSEWHERE;
}

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    (void)a, (void)e;
    ((struct tensors *)state)->view = (struct qs_table_view)QS_TABLE_VIEW_INIT;
    return QS_OK;
}

static void done(void *state)
{
    struct tensors *t = state;
    qs_table_view_free(&t->view);
    qs_report_free(t->report);
    qs_regex_free(t->regex);
}

static void document(struct qs_app *a)
{
    struct tensors *t = tensors_of(a);
    done(t);
    *t = (struct tensors){ .view = QS_TABLE_VIEW_INIT };
}

static const struct qs_action actions[] = {
    { .name = "columns-left", .keys = "h Left", .help = "columns that are out of view on the left", .run = columns_left },
    { .name = "columns-right", .keys = "l Right", .help = "columns that are out of view on the right", .run = columns_right },
    { .name = "sort", .keys = "s", .arg = QS_ARG_WORDS, .arg_optional = true, .brief = "sort", .rank = 4,
      .words = "name role layer shape from to bytes bpw error kurtosis outliers reason -bytes -bpw -error -kurtosis -outliers",
      .help = "sort by the next column, or by one named (-NAME: largest first)", .run = sort },
    { .name = "sort-reverse", .keys = "S", .help = "reverse the order", .run = sort_reverse },
    { .name = "filter", .keys = "f", .arg = QS_ARG_REGEX, .arg_optional = true, .brief = "filter", .rank = 3,
      .help = "show only the tensors whose name matches", .run = filter },
    { .name = "only-marked", .keys = "F", .help = "show only what is marked, or all again", .run = only_marked },
    { .name = "clear", .keys = "Esc", .help = "remove the filter, then the marks, then back", .run = clear },
    { .name = "mark", .keys = "Space", .brief = "mark", .rank = 5, .help = "mark the tensor, and go on to the next", .run = mark },
    { .name = "mark-shown", .keys = "a", .help = "mark all that is shown, or none of it", .run = mark_shown },
    { .name = "raise", .keys = "+ =", .brief = "raise", .rank = 2, .help = "one step more bits for the tensor or the marks", .refuse = nothing_here, .run = raise_type },
    { .name = "lower", .keys = "-", .brief = "lower", .rank = 3, .help = "one step fewer bits", .refuse = nothing_here, .run = lower_type },
    { .name = "types", .keys = "t", .brief = "type", .rank = 3, .help = "pick from the list of types", .refuse = nothing_here, .run = pick_type },
    { .name = "set-type", .arg = QS_ARG_TYPE, .help = "give this type", .refuse = nothing_here, .run = set_type },
    { .name = "reset", .keys = "x Delete", .help = "remove the pins", .refuse = nothing_here, .run = reset_type },
    { .name = "distributions", .keys = "D", .help = "measure kurtosis and outliers of every tensor (reads all weights)", .run = stats },
    { .name = "zoom", .keys = "Enter z", .brief = "zoom", .rank = 6, .help = "look into the tensor", .run = zoom },
    { .name = "copy-name", .keys = "y", .help = "send the tensor's name to the terminal's clipboard", .run = copy },
    { .name = NULL }
};

const struct qs_screen qs_screen_tensors = {
    .name = "Tensors", .about = "all tensors as a table", .actions = actions, .needs_document = true, .state_size = sizeof(struct tensors),
    .init = init, .done = done, .document = document, .refresh = refresh, .draw = draw, .move = move,
    .event = event, .find = find,
};
