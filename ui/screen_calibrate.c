/* screen_calibrate.c - learning from text which weights count, and encoding them with measured error: the table of what
 * can be done, keys, mouse.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/calibrate.h"

struct calibrate *calibrate_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_calibrate); }

/* ---- views ---- */

static void to_view(struct qs_app *a, enum calibrate_view view)
{
    calibrate_of(a)->view = view;
    qs_app_touch(a);
}

static void step_view(struct qs_app *a, int step)
{
    to_view(a, (enum calibrate_view)(((int)calibrate_of(a)->view + step + CALIBRATE_VIEWS) % CALIBRATE_VIEWS));
}

static void view_before(struct qs_app *a, const char *arg) { (void)arg; step_view(a, -1); }
static void view_after(struct qs_app *a, const char *arg) { (void)arg; step_view(a, 1); }

static void view_named(struct qs_app *a, const char *arg)
{
    static const char *const names[] = { "setup", "progress", "tensors", "outliers", "log" };
    for (int i = 0; i < CALIBRATE_VIEWS; i++)
        if (strcmp(arg, names[i]) == 0) {
            to_view(a, (enum calibrate_view)i);
            return;
        }
    qs_app_warn(a, "there is no view %.40s: setup, progress, tensors, outliers or log", arg);
}

/* ---- setting up ---- */

static void change(struct qs_app *a, const char *arg)
{
    (void)arg;
    if (calibrate_of(a)->view == CALIBRATE_SETUP)
        calibrate_change(a);
    else
        to_view(a, CALIBRATE_SETUP);
}

static const char *no_text_here(struct qs_app *a)
{
    const struct calibrate *v = calibrate_of(a);
    return v->view == CALIBRATE_SETUP && v->rows.cursor < v->n_text ? NULL : "the cursor is on no text";
}

static void add_text(struct qs_app *a, const char *arg) { calibrate_add_text(a, arg); }
static void remove_text(struct qs_app *a, const char *arg) { (void)arg; calibrate_remove(a); }
static void set(struct qs_app *a, const char *arg) { calibrate_set_named(a, arg); }

/* ---- running ---- */

static unsigned running(struct qs_app *a)
{
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    return s.runs ? s.job : 0;
}

static const char *not_running(struct qs_app *a) { return running(a) ? NULL : "no calibration runs"; }

static const char *runs_already(struct qs_app *a)
{
    return running(a) ? "a calibration runs: x cancels it" : qs_app_doc(a) ? NULL : "no model is open";
}

static unsigned stopped(struct qs_app *a)
{
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    return s.job && !s.runs && s.err.code ? s.job : 0;
}

static const char *cannot_resume(struct qs_app *a)
{
    if (running(a))
        return "a calibration runs";
    return stopped(a) || qs_workbench_calib_stopped(qs_app_bench(a)) ? NULL : "no calibration was stopped";
}

static const char *cannot_forget(struct qs_app *a)
{
    if (running(a))
        return "a calibration runs: x cancels it";
    return stopped(a) || qs_workbench_calib_stopped(qs_app_bench(a)) ? NULL : "no calibration was stopped";
}

static void forget_it(struct qs_app *a, size_t answer, void *ctx)
{
    struct qs_err e = QS_ERR_INIT;
    (void)answer, (void)ctx;
    if (qs_workbench_calib_forget(qs_app_bench(a), &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "forgotten");
    calibrate_of(a)->ask = true;
}

static void forget(struct qs_app *a, const char *arg)
{
    static const struct qs_app_answer answers[] = { { 'f', "forget" } };
    (void)arg;
    qs_app_ask(a, "Calibrate", "What the stopped calibration has done so far is thrown away; statistics that are whole, and "
               "weights of one that ended well, stay.", answers, 1, forget_it, NULL);
}

static void start(struct qs_app *a, const char *arg) { (void)arg; calibrate_start(a, false); }
static void start_anew(struct qs_app *a, const char *arg) { (void)arg; calibrate_start(a, true); }

static void pause_it(struct qs_app *a, const char *arg)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), running(a));
    (void)arg;
    if (!w)
        return;
    const bool paused = !w->pause_wanted;
    qs_workbench_job_pause(qs_app_bench(a), w->id, paused);
    qs_app_say(a, paused ? "the calibration pauses: p on this screen lets it go on" : "the calibration goes on");
}

static void cancel(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_workbench_job_cancel(qs_app_bench(a), running(a));
}

static void resume(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    if (qs_workbench_calib_stopped(qs_app_bench(a)))
        calibrate_go_on(a, false);
    else if (qs_workbench_job_resume(qs_app_bench(a), stopped(a), &e))
        qs_app_fail(a, &e);
    else
        to_view(a, CALIBRATE_PROGRESS);
}

/* Its end is told once, wherever the person is. */
static bool poll(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (s.runs || !s.job || s.job == v->told)
        return false;
    v->told = s.job;
    v->ask = true;
    if (s.err.code == QS_ECANCELLED)
        qs_app_say(a, "the calibration was cancelled: r goes on from where it stopped");
    else if (s.err.code == QS_EEXISTS)
        calibrate_ask_overwrite(a, s.err.msg);
    else if (s.err.code)
        qs_app_tell_failed(a, &s.err);
    else
        qs_app_say(a, "calibrated: %s", s.title);
    return true;
}

static void on_map(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_app_run(a, "map");
    qs_app_run(a, "measure output");
}

static void use(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    const bool none = strcmp(arg, "none") == 0;
    struct qs_str path = QS_STR_INIT;
    qs_app_expand_home(arg, &path);
    if (path.failed)
        qs_app_warn(a, "out of memory");
    else if (qs_workbench_calibration(qs_app_bench(a), none ? NULL : path.data, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, none ? "no calibrated weights any more" : "reading the calibrated weights %s", arg);
    qs_str_free(&path);
}

static const char *needs_document(struct qs_app *a) { return qs_app_doc(a) ? NULL : "no model is open"; }

/* ---- moving, searching ---- */

static void sort(struct qs_app *a, const char *arg)
{
    (void)arg;
    if (calibrate_of(a)->view == CALIBRATE_TENSORS)
        qs_table_view_sort_step(&calibrate_of(a)->tensors, 1);
    else
        qs_app_say(a, "tensors can be sorted");
}

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct calibrate *v = calibrate_of(a);
    switch (v->view) {
    case CALIBRATE_SETUP: qs_list_move(&v->rows, m); break;
    case CALIBRATE_TENSORS: qs_list_move(&v->tensors.list, m); break;
    case CALIBRATE_LOG: qs_list_move(&v->log, m); break;
    case CALIBRATE_PROGRESS: case CALIBRATE_OUTLIERS: case CALIBRATE_VIEWS: break;
    }
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_event screen = *ev;
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    qs_app_to_screen(a, &screen);
    if (v->view == CALIBRATE_SETUP)
        return qs_list_mouse(&v->rows, &screen);
    return v->view == CALIBRATE_TENSORS && qs_table_view_mouse(&v->tensors, &screen, NULL) != QS_TABLE_ELSEWHERE;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct calibrate *v = calibrate_of(a);
    v->view = CALIBRATE_TENSORS;
    return qs_table_view_find(&v->tensors, re, step < 0) > 0;
}

/* ---- the screen ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    struct calibrate *v = state;
    (void)a, (void)e;
    v->beside = CALIBRATE_OUTLIERS;
    v->q.methods = (struct qs_calib_methods)QS_CALIB_METHODS_INIT;
    v->q.held_out = -1;
    v->q.encode = true;
    v->doc = UINT64_MAX;
    v->tensors = (struct qs_table_view)QS_TABLE_VIEW_INIT;
    return QS_OK;
}

static void done(void *state)
{
    struct calibrate *v = state;
    for (size_t i = 0; i < v->n_text; i++)
        qs_free(v->text[i].path);
    for (size_t i = 0; i < sizeof v->file / sizeof *v->file; i++)
        qs_free(v->file[i]);
    qs_free((void *)(uintptr_t)v->q.source);
    qs_free(v->text);
    qs_table_view_free(&v->tensors);
    qs_report_free(v->report);
}

static void document(struct qs_app *a)
{
    calibrate_of(a)->ask = true;
    calibrate_take_stopped(a);
}

static void refresh(struct qs_app *a)
{
    calibrate_look(a);
    calibrate_refresh(a);
}

static const struct qs_action actions[] = {
    { .name = "calib-change", .keys = "Enter", .brief = "change", .rank = 2,
      .help = "change the setting under the cursor; a text's weight; add a text", .run = change },
    { .name = "calib-start", .keys = "c", .brief = "calibrate", .rank = 1,
      .help = "start what Setup says; goes on with one that was interrupted", .refuse = runs_already, .run = start },
    { .name = "calib-restart", .help = "start, and throw away what an interrupted one has left",
      .refuse = runs_already, .run = start_anew },
    { .name = "calib-pause", .keys = "p", .brief = "pause/go on", .rank = 1,
      .help = "pause the calibration, or let it go on", .refuse = not_running, .run = pause_it },
    { .name = "calib-cancel", .keys = "x", .brief = "cancel", .rank = 1,
      .help = "cancel the calibration; what is done is kept", .refuse = not_running, .run = cancel },
    { .name = "calib-resume", .keys = "r", .brief = "resume", .rank = 1,
      .help = "go on with the calibration that was stopped", .refuse = cannot_resume, .run = resume },
    { .name = "calib-forget", .help = "throw away what the calibration that was stopped has left",
      .refuse = cannot_forget, .run = forget },
    { .name = "calib-text", .keys = "t", .brief = "text", .rank = 3, .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "add a text, FILE or FILE:WEIGHT: plain, or lines of JSON", .run = add_text },
    { .name = "calib-remove", .keys = "d Delete", .help = "take the text under the cursor away",
      .refuse = no_text_here, .run = remove_text },
    { .name = "calib-set", .arg = QS_ARG_TEXT,
      .help = "change a setting: NAME VALUE (windows, ctx, seed, gptq, awq, memory ...)", .run = set },
    { .name = "calibration", .arg = QS_ARG_FILE,
      .help = "use the calibrated weights in FILE.qscal where the recipe has their types, or none",
      .refuse = needs_document, .run = use },
    { .name = "calib-view-before", .keys = "h Left", .help = "the view before", .run = view_before },
    { .name = "calib-view-next", .keys = "l Right", .brief = "view", .rank = 3,
      .help = "the next view: setup, progress, tensors, outliers, log", .run = view_after },
    { .name = "calib-view", .arg = QS_ARG_WORDS, .words = "setup progress tensors outliers log",
      .help = "show this view", .run = view_named },
    { .name = "calib-on-map", .keys = "m", .brief = "on map", .rank = 5,
      .help = "show measured output errors on the map, which fills as it runs", .run = on_map },
    { .name = "calib-sort", .keys = "s", .help = "sort tensors by the next column", .run = sort },
    { .name = NULL }
};

const struct qs_screen qs_screen_calibrate = {
    .name = "Calibrate",
    .tab = "Calib",
    .about = "learns from text which weights count, and encodes them with measured error",
    .actions = actions,
    .state_size = sizeof(struct calibrate),
    .init = init,
    .done = done,
    .document = document,
    .refresh = refresh,
    .draw = calibrate_draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = poll,
};
