/* screen_evaluate.c - how much a candidate still is the model: perplexity, KL divergence, layers, history; the table of
 * what can be done, keys, mouse.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/evaluate.h"

struct evaluate *evaluate_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_evaluate); }

/* ---- views ---- */

static void to_view(struct qs_app *a, enum evaluate_view view)
{
    evaluate_of(a)->view = view;
    qs_app_touch(a);
}

static void step_view(struct qs_app *a, int step)
{
    to_view(a, (enum evaluate_view)(((int)evaluate_of(a)->view + step + EVALUATE_VIEWS) % EVALUATE_VIEWS));
}

static void view_before(struct qs_app *a, const char *arg) { (void)arg; step_view(a, -1); }
static void view_after(struct qs_app *a, const char *arg) { (void)arg; step_view(a, 1); }

static void view_named(struct qs_app *a, const char *arg)
{
    static const char *const names[] = { "setup", "progress", "result", "layers", "history" };
    for (int i = 0; i < EVALUATE_VIEWS; i++)
        if (strcmp(arg, names[i]) == 0) {
            to_view(a, (enum evaluate_view)i);
            return;
        }
    qs_app_warn(a, "there is no view %.40s: setup, progress, result, layers or history", arg);
}

static void leave(struct qs_app *a, const char *arg)
{
    struct evaluate *v = evaluate_of(a);
    (void)arg;
    if (v->view == EVALUATE_HISTORY && v->compared)
        evaluate_compare_end(v);
    else if (v->view == EVALUATE_HISTORY && v->first[0])
        v->first[0] = 0;
    else
        qs_app_back(a);
}

/* ---- setting up ---- */

static const char *not_in_setup(struct qs_app *a)
{
    return evaluate_of(a)->view == EVALUATE_SETUP ? NULL : "Setup has what can be changed: h leads there";
}

static void change(struct qs_app *a, const char *arg)
{
    (void)arg;
    evaluate_change(a, (enum evaluate_field)evaluate_of(a)->fields.cursor);
}

static void enter_key(struct qs_app *a, const char *arg)
{
    if (evaluate_of(a)->view == EVALUATE_HISTORY)
        evaluate_compare(a);
    else if (not_in_setup(a))
        to_view(a, EVALUATE_SETUP);
    else
        change(a, arg);
}

static void text(struct qs_app *a, const char *arg)
{
    if (arg)
        evaluate_set(a, EVALUATE_TEXT, arg);
    else
        evaluate_change(a, EVALUATE_TEXT);
}

static void what(struct qs_app *a, const char *arg)
{
    if (arg)
        evaluate_set(a, EVALUATE_WHAT, arg);
    else
        evaluate_change(a, EVALUATE_WHAT);
}

static void with_file(struct qs_app *a, const char *arg) { evaluate_set(a, EVALUATE_FILE, arg); }
static void held_out(struct qs_app *a, const char *arg) { evaluate_set(a, EVALUATE_HELD_OUT, arg); }
static void calibration(struct qs_app *a, const char *arg) { evaluate_set(a, EVALUATE_CALIBRATION, arg); }
static void set(struct qs_app *a, const char *arg) { evaluate_set_named(a, arg); }

/* ---- running ---- */

static unsigned running(struct qs_app *a)
{
    struct qs_eval_state s;
    qs_workbench_eval(qs_app_bench(a), &s);
    return s.runs ? s.job : 0;
}

static const char *not_running(struct qs_app *a) { return running(a) ? NULL : "no evaluation runs"; }
static const char *runs_already(struct qs_app *a)
{
    return running(a) ? "an evaluation runs: x cancels it" : qs_app_doc(a) ? NULL : "no model is open";
}

static void start(struct qs_app *a, const char *arg)
{
    if (arg)
        evaluate_set(a, EVALUATE_TEXT, arg);
    evaluate_start(a);
}

static void pause_it(struct qs_app *a, const char *arg)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), running(a));
    (void)arg;
    if (w)
        qs_workbench_job_pause(qs_app_bench(a), w->id, !w->pause_wanted);
}

static void cancel(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_workbench_job_cancel(qs_app_bench(a), running(a));
}

/* Its end is told once, wherever the person is. */
static bool poll(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_eval_state s;
    qs_workbench_eval(qs_app_bench(a), &s);
    if (s.runs || !s.job || s.job == v->told)
        return false;
    v->told = s.job;
    if (s.err.code == QS_ECANCELLED) {
        qs_app_say(a, "the evaluation was cancelled");
    } else if (s.err.code) {
        qs_app_fail(a, &s.err);
    } else {
        qs_app_say(a, "evaluated: %s%s", s.title, s.unremembered.code ? "; the history was not written" : "");
        if (v->view <= EVALUATE_PROGRESS)
            v->view = EVALUATE_RESULT;
    }
    return true;
}

/* ---- history, files ---- */

static const char *not_in_history(struct qs_app *a)
{
    return evaluate_of(a)->view == EVALUATE_HISTORY ? NULL : "History has the runs to be compared";
}

static void compare(struct qs_app *a, const char *arg) { (void)arg; evaluate_compare(a); }
static void save(struct qs_app *a, const char *arg) { evaluate_save(a, arg, false); }
static void save_over(struct qs_app *a, const char *arg) { evaluate_save(a, arg, true); }

static void sort(struct qs_app *a, const char *arg)
{
    struct evaluate *v = evaluate_of(a);
    (void)arg;
    if (v->view == EVALUATE_LAYERS)
        qs_table_view_sort_step(&v->layers, 1);
    else if (v->view == EVALUATE_HISTORY)
        qs_table_view_sort_step(&v->table, 1);
    else
        qs_app_say(a, "layers and history can be sorted");
}

static void columns(struct qs_app *a, int step)
{
    struct evaluate *v = evaluate_of(a);
    if (v->view == EVALUATE_LAYERS)
        qs_table_view_scroll(&v->layers, step);
    else if (v->view == EVALUATE_HISTORY)
        qs_table_view_scroll(&v->table, step);
}

static void columns_left(struct qs_app *a, const char *arg) { (void)arg; columns(a, -1); }
static void columns_right(struct qs_app *a, const char *arg) { (void)arg; columns(a, 1); }

static void on_map(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_app_run(a, "map");
    qs_app_run(a, "measure divergence");
}

/* ---- moving, searching ---- */

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct evaluate *v = evaluate_of(a);
    switch (v->view) {
    case EVALUATE_SETUP: qs_list_move(&v->fields, m); break;
    case EVALUATE_RESULT: qs_facts_view_move(&v->facts, m); break;
    case EVALUATE_LAYERS: qs_list_move(&v->layers.list, m); break;
    case EVALUATE_HISTORY:
        if (v->compared)
            qs_facts_view_move(&v->compare, m);
        else
            qs_list_move(&v->table.list, m);
        break;
    case EVALUATE_PROGRESS:
    case EVALUATE_VIEWS: break;
    }
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_event screen = *ev;
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    qs_app_to_screen(a, &screen);
    switch (v->view) {
    case EVALUATE_SETUP: return qs_list_mouse(&v->fields, &screen);
    case EVALUATE_RESULT: return qs_facts_view_mouse(&v->facts, &screen);
    case EVALUATE_LAYERS: return qs_table_view_mouse(&v->layers, &screen, NULL) != QS_TABLE_ELSEWHERE;
    case EVALUATE_HISTORY:
        return v->compared ? qs_facts_view_mouse(&v->compare, &screen)
                           : qs_table_view_mouse(&v->table, &screen, NULL) != QS_TABLE_ELSEWHERE;
    case EVALUATE_PROGRESS:
    case EVALUATE_VIEWS: break;
    }
    return false;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct evaluate *v = evaluate_of(a);
    if (v->view == EVALUATE_LAYERS)
        return qs_table_view_find(&v->layers, re, step < 0) > 0;
    if (v->view == EVALUATE_HISTORY && !v->compared)
        return qs_table_view_find(&v->table, re, step < 0) > 0;
    return qs_facts_view_find(v->view == EVALUATE_HISTORY ? &v->compare : &v->facts, re, step < 0) > 0;
}

/* ---- the screen ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    struct evaluate *v = state;
    (void)a, (void)e;
    v->beside = EVALUATE_RESULT;
    v->fields.n = EVALUATE_FIELDS;
    v->q.what = QS_EVAL_CANDIDATE;
    v->q.cache = (struct qs_session_args)QS_SESSION_ARGS_INIT;
    v->q.precision = QS_EXACT;
    v->q.noise = true;
    v->candidate.doc = UINT64_MAX;
    v->history_err = (struct qs_err)QS_ERR_INIT;
    v->facts = (struct qs_facts_view)QS_FACTS_VIEW_INIT;
    v->compare = (struct qs_facts_view)QS_FACTS_VIEW_INIT;
    v->layers = (struct qs_table_view)QS_TABLE_VIEW_INIT;
    v->table = (struct qs_table_view)QS_TABLE_VIEW_INIT;
    return QS_OK;
}

static void done(void *state)
{
    struct evaluate *v = state;
    qs_facts_view_free(&v->facts);
    qs_facts_view_free(&v->compare);
    qs_table_view_free(&v->layers);
    qs_table_view_free(&v->table);
    qs_report_free(v->report);
    qs_report_free(v->runs);
    qs_report_free(v->compared);
    qs_eval_history_free(v->history);
    for (size_t i = 0; i < v->n_recent; i++)
        qs_free(v->recent[i]);
    char *const texts[] = { v->file, v->text, v->held_out, v->calibration };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        qs_free(texts[i]);
    qs_free(v->error);
}

static void enter(struct qs_app *a)
{
    evaluate_of(a)->loaded = false; /* others may have written it */
}

static const struct qs_action actions[] = {
    { .name = "eval-change", .keys = "Enter", .brief = "change", .rank = 2,
      .help = "change the setting under the cursor; among runs: choose two to be compared", .run = enter_key },
    { .name = "eval-start", .keys = "e", .brief = "evaluate", .rank = 1, .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "evaluate what Setup says, on its text or on FILE", .refuse = runs_already, .run = start },
    { .name = "eval-pause", .keys = "p", .brief = "pause", .rank = 1,
      .help = "pause the evaluation, or let it go on", .refuse = not_running, .run = pause_it },
    { .name = "eval-cancel", .keys = "x", .brief = "cancel", .rank = 1,
      .help = "cancel the evaluation", .refuse = not_running, .run = cancel },
    { .name = "eval-text", .keys = "t", .brief = "text", .rank = 3, .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "the text to evaluate on; without FILE: one of those used before", .run = text },
    { .name = "eval-what", .arg = QS_ARG_WORDS, .arg_optional = true, .words = "alone candidate file against",
      .help = "the model alone; its candidate, or another file, against it; or it against another file", .run = what },
    { .name = "eval-file", .arg = QS_ARG_FILE, .help = "the other file", .run = with_file },
    { .name = "eval-held-out", .arg = QS_ARG_FILE, .help = "a second text to measure on, or none", .run = held_out },
    { .name = "eval-calibration", .arg = QS_ARG_FILE,
      .help = "the text that was calibrated with, or none: warns of overlap", .run = calibration },
    { .name = "eval-set", .arg = QS_ARG_TEXT,
      .help = "change a setting: NAME VALUE (ctx, chunks, precision, cache, rotate, noise ...)", .run = set },
    { .name = "eval-view-before", .keys = "h Left", .help = "the view before", .run = view_before },
    { .name = "eval-view-next", .keys = "l Right", .brief = "view", .rank = 3,
      .help = "the next view: setup, progress, result, layers, history", .run = view_after },
    { .name = "eval-view", .arg = QS_ARG_WORDS, .words = "setup progress result layers history",
      .help = "show this view", .run = view_named },
    { .name = "eval-on-map", .keys = "m", .brief = "on map", .rank = 6,
      .help = "show the divergence of layers on the map", .run = on_map },
    { .name = "eval-compare", .keys = "c", .brief = "compare", .rank = 5,
      .help = "choose this run; on another one: compare the two", .refuse = not_in_history, .run = compare },
    { .name = "eval-sort", .keys = "s", .help = "sort layers or runs by the next column", .run = sort },
    { .name = "eval-columns-left", .keys = "<", .help = "columns to the left", .run = columns_left },
    { .name = "eval-columns-right", .keys = ">", .help = "columns to the right", .run = columns_right },
    { .name = "eval-save", .arg = QS_ARG_FILE,
      .help = "write the result, the layers, the runs or the comparison that is seen: FILE.csv, .json or .txt",
      .run = save },
    { .name = "eval-save!", .arg = QS_ARG_FILE, .help = "the same, over a file that exists", .run = save_over },
    { .name = "eval-leave", .keys = "Esc", .help = "from a comparison to the runs, or back", .run = leave },
    { .name = NULL }
};

const struct qs_screen qs_screen_evaluate = {
    .name = "Evaluate",
    .tab = "Eval",
    .about = "perplexity, KL divergence and layers of a model or candidate, on a text; earlier runs",
    .actions = actions,
    .state_size = sizeof(struct evaluate),
    .init = init,
    .done = done,
    .enter = enter,
    .document = evaluate_document,
    .refresh = evaluate_refresh,
    .draw = evaluate_draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = poll,
};
