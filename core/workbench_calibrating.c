/* workbench_calibrating.c - calibrations: the job that carries an order out (workbench_calib_order.h), and what is
 * seen of it.
 *
 * While the job runs its thread owns the calibration; what is told of it is made whole before it is published under the
 * lock, and stays until the order ends. What it leaves is opened on the job's thread and put in place by
 * workbench_calibrated.c.
 */
#include "core/workbench_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/workbench_calib_order.h"
#include "core/workbench_stopped.h"

/* ---- on the job's thread ------------------------------------------------------------------------------------- */

static int copy_mix(const struct qs_corpus *c, struct qs_calib_told *t, struct qs_err *e)
{
    if (!c)
        return QS_OK;
    t->n_fit = c->n_fit;
    t->n_held = c->n_held;
    t->n_ctx = c->n_ctx;
    t->mix = qs_calloc(c->n_mix + 1, sizeof *t->mix);
    for (size_t i = 0; t->mix && i < c->n_mix; i++) {
        t->mix[i] = c->mix[i];
        t->n_mix++;
        if (!(t->mix[i].path = qs_strdup(c->mix[i].path)))
            return qs_fail_mem(e, 0, "the mix of a calibration");
    }
    return t->mix ? QS_OK : qs_fail_mem(e, c->n_mix * sizeof *t->mix, "the mix of a calibration");
}

static int copy_warnings(const struct qs_calibration *x, struct qs_calib_told *t, struct qs_err *e)
{
    size_t n = 0;
    const char *const *w = qs_calibrate_warnings(x, &n);
    t->warning = qs_calloc(n + 1, sizeof *t->warning);
    if (!t->warning)
        return qs_fail_mem(e, n * sizeof *t->warning, "warnings");
    for (; t->n_warnings < n; t->n_warnings++)
        if (!(t->warning[t->n_warnings] = qs_strdup(w[t->n_warnings])))
            return qs_fail_mem(e, 0, "warnings");
    return QS_OK;
}

/* What is known of the calibration now, for the owner: twice at most, once opened and at the end. */
static int tell(struct qs_wb_calib *v, struct qs_calibration *x, struct qs_err *e)
{
    struct qs_calib_told *t = qs_calloc(1, sizeof *t);
    if (!t)
        return qs_fail_mem(e, sizeof *t, "what a calibration takes");
    int rc = v->told ? QS_OK : qs_calibrate_need(x, &t->need, e);
    rc = rc ? rc : copy_mix(qs_calibrate_corpus(x), t, e);
    rc = rc ? rc : copy_warnings(x, t, e);
    if (rc) {
        qs_wb_told_free(t);
        return rc;
    }
    pthread_mutex_lock(&v->lock);
    if (v->told)
        t->need = v->told->need;
    v->first = v->told;
    v->told = t;
    pthread_mutex_unlock(&v->lock);
    return QS_OK;
}

static struct qs_calibrate_args args_of(struct qs_wb_calib *v)
{
    const struct qs_model *m = v->src->model->model;
    return (struct qs_calibrate_args){
        .model = v->src->model->model, .pool = v->pool, .prio = QS_PRIO_JOB,
        .text = { .source = v->source, .n_sources = v->q.n_sources, .n_ctx = v->q.n_ctx, .n_windows = v->q.n_windows,
                  .held_out = v->q.held_out, .seed = v->q.seed, .special = v->q.special, .bos = true,
                  .model_ctx = (size_t)m->hp.n_ctx, .evaluation = v->evaluation },
        .statistics_in = v->statistics_in, .statistics_out = v->statistics_in ? NULL : v->statistics_out,
        .errors = v->q.errors, .precision = v->q.precision, .swap_windows = v->q.swap_windows, .recipe = v->recipe, .store = v->store,
        .restart = v->q.restart, .overwrite = v->q.overwrite, .allow_requantize = v->allow_requantize,
        .methods = v->q.methods, .memory = v->q.memory, .watch = v->watch,
    };
}

static int take_left(struct qs_wb_calib *v, struct qs_calibration *x, struct qs_job *job, struct qs_err *e)
{
    struct qs_store *store = qs_calibrate_store(x);
    qs_job_phase(job, "taking in", "", 0);
    if (store && v->recipe) {
        v->left.store = qs_store_ref(store);
        if (!(v->left.store_path = qs_strdup(v->store)))
            return qs_fail_mem(e, strlen(v->store), "a file name");
    }
    if (!qs_calibrate_statistics(x))
        return QS_OK;
    return qs_wb_left_read(&v->left, v->statistics_in ? v->statistics_in : v->statistics_out, v->src, e);
}

static int calibrate(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_calib *v = ((struct qs_wb_job *)ctx)->calib;
    const struct qs_calibrate_args args = args_of(v);
    struct qs_calibration *x = NULL;
    qs_job_phase(job, "reading", "", 0);
    qs_calib_watch_stage(v->watch, QS_STAGE_TEXT);
    int rc = qs_calibrate_open(&args, &x, e);
    rc = rc ? rc : tell(v, x, e);
    if (!rc && !v->only_look) {
        rc = qs_calibrate_run(x, job, e);
        rc = rc ? rc : tell(v, x, e);
        rc = rc ? rc : take_left(v, x, job, e);
    }
    qs_calibrate_free(x);
    return rc;
}

/* Of the document as it is now, with its usual places where none are named. */
static int order_of_document(struct qs_workbench *w, const struct qs_calib_request *q, struct qs_wb_calib **out,
                             struct qs_err *e)
{
    struct qs_calib_request full = *q;
    struct qs_str statistics = QS_STR_INIT, store = QS_STR_INIT;
    int rc = qs_workbench_calib_places(w, &statistics, &store, e);
    if (!rc && (!full.statistics_out || !full.statistics_out[0]))
        full.statistics_out = statistics.data;
    if (!rc && (!full.store || !full.store[0]))
        full.store = store.data;
    if (!rc)
        rc = qs_wb_calib_order(w, &full, w->doc->src, w->doc->pub.recipe, w->doc->pub.allow_requantize, out, e);
    qs_str_free(&statistics);
    qs_str_free(&store);
    return rc;
}

/* ---- on the owner's ------------------------------------------------------------------------------------------ */

static void say_result(struct qs_workbench *w, const struct qs_wb_job *j)
{
    const struct qs_wb_calib *v = j->calib;
    char took[48];
    qs_fmt_seconds(took, sizeof took, j->pub.status.elapsed);
    qs_log_add(w->log, QS_LOG_NOTE, "calibrated %s in %s", v->title, took);
    for (size_t i = 0; v->told && i < v->told->n_warnings; i++)
        qs_log_add(w->log, QS_LOG_WARNING, "calibration: %s", v->told->warning[i]);
}

static void ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    struct qs_wb_calib *v = j->calib;
    w->changed = true;
    if (v->only_look) {
        if (j->pub.id == w->look_job && st->state != QS_JOB_DONE)
            w->look_err = st->err;
        return;
    }
    if (j->pub.id == w->calib_job)
        qs_wb_stopped_unlock(w);
    if (st->state == QS_JOB_FAILED && st->err.code == QS_EEXISTS) /* a question before the start: nothing was stopped */
        qs_wb_stopped_remove(w, v->src->model->model->path);
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "calibrating %s: %s", v->title, st->err.msg);
    if (st->state == QS_JOB_CANCELLED)
        qs_log_add(w->log, QS_LOG_NOTE,
                   "calibrating %s was cancelled: what is done is kept, resuming goes on from there", v->title);
    if (st->state != QS_JOB_DONE)
        return;
    v->well = true;
    qs_wb_stopped_remove(w, v->src->model->model->path);
    say_result(w, j);
    qs_wb_left_install(w, &v->left, v->src->model);
}

static int resume(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e);

const struct qs_wb_kind qs_wb_calib_kind = { .kind = QS_WORK_CALIBRATE, .word = "calibrating", .run = calibrate,
                                             .ended = ended, .resume = resume };
static const struct qs_wb_kind look_kind = { .kind = QS_WORK_OTHER, .word = "looking", .run = calibrate,
                                             .ended = ended };

static bool runs(const struct qs_workbench *w, unsigned id)
{
    const struct qs_wb_job *j = qs_wb_job_find(w, id);
    return j && j->job;
}

/* The job gets a reference of its own; the one that is handed in stays the caller's. */
static int start(struct qs_workbench *w, const struct qs_wb_kind *kind, struct qs_wb_calib *v, struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    struct qs_wb_job *j = qs_wb_job_new(v->src);
    if (!j)
        return qs_fail_mem(e, sizeof *j, "a job");
    v->refs++;
    j->calib = v;
    j->passing = v->only_look;
    qs_str_addf(&title, "%s %s", v->only_look ? "look at calibrating" : "calibrate", v->title);
    const int rc = qs_wb_job_start(w, kind, j, title.failed ? "calibrate" : title.data, e);
    qs_str_free(&title);
    return rc;
}

static int start_newest(struct qs_workbench *w, struct qs_wb_calib *v, struct qs_err *e)
{
    const int rc = start(w, &qs_wb_calib_kind, v, e);
    if (rc) {
        qs_wb_calib_unref(v);
        return rc;
    }
    qs_wb_calib_unref(w->calib);
    w->calib = v;
    w->calib_job = w->last_id;
    qs_wb_stopped_keep(w, v->src, &v->q, v->recipe, v->allow_requantize);
    qs_log_add(w->log, QS_LOG_NOTE, "calibrating %s", v->title);
    return QS_OK;
}

static int refuse_second(const struct qs_workbench *w, struct qs_err *e)
{
    return runs(w, w->calib_job) ? qs_fail(e, QS_EBUSY, "a calibration runs: cancel it, or wait for its end") : QS_OK;
}

static int refuse_elsewhere(struct qs_workbench *w, const struct qs_wb_sources *src, struct qs_err *e)
{
    const int rc = qs_wb_stopped_elsewhere(w, src->model->model->path, e);
    if (w->doc && w->doc->src->model == src->model)
        w->calib_elsewhere = rc != QS_OK;
    return rc;
}

static int resume(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e)
{
    struct qs_wb_calib *v = NULL;
    struct qs_calib_request q = j->calib->q;
    int rc = refuse_second(w, e);
    if (rc)
        return rc;
    q.restart = false;
    q.overwrite = true; /* it was asked for, or nothing was there, when it began */
    rc = qs_wb_calib_order(w, &q, j->calib->src, j->calib->recipe, j->calib->allow_requantize, &v, e);
    return rc ? rc : start_newest(w, v, e);
}

static int refuse(const struct qs_workbench *w, const struct qs_calib_request *q, struct qs_err *e)
{
    if (!w->doc)
        return qs_wb_no_document(e);
    if (!q->n_sources && !(q->statistics_in && q->statistics_in[0]))
        return qs_fail(e, QS_EINVAL, "there is no text to calibrate on: add a file");
    return QS_OK;
}

static int refuse_places(const struct qs_wb_calib *v, struct qs_err *e)
{
    if (!v->q.overwrite && v->recipe && qs_file_exists(v->store))
        return qs_fail(e, QS_EEXISTS, "%s exists", v->store);
    return QS_OK;
}

/* Takes the order over, whatever happens. */
static int begin(struct qs_workbench *w, struct qs_wb_calib *v, unsigned *id, struct qs_err *e)
{
    int rc = refuse_elsewhere(w, v->src, e);
    rc = rc ? rc : refuse_places(v, e);
    if (rc) {
        qs_wb_calib_unref(v);
        return rc;
    }
    rc = start_newest(w, v, e);
    if (!rc && id)
        *id = w->last_id;
    return rc;
}

int qs_workbench_calib_start(struct qs_workbench *w, const struct qs_calib_request *q, unsigned *id, struct qs_err *e)
{
    struct qs_wb_calib *v = NULL;
    int rc = refuse(w, q, e);
    rc = rc ? rc : refuse_second(w, e);
    rc = rc ? rc : order_of_document(w, q, &v, e);
    return rc ? rc : begin(w, v, id, e);
}

int qs_workbench_calib_go_on(struct qs_workbench *w, bool overwrite, unsigned *id, struct qs_err *e)
{
    struct qs_wb_calib *v = NULL;
    const struct qs_wb_stopped *s = w->stopped;
    if (!qs_workbench_calib_stopped(w))
        return qs_fail(e, QS_ENOTFOUND, "no calibration of this model was stopped");
    struct qs_calib_request q = s->q;
    q.restart = false;
    q.overwrite |= overwrite;
    int rc = refuse_second(w, e);
    rc = rc ? rc : qs_wb_calib_order(w, &q, w->doc->src, s->recipe, s->allow_requantize, &v, e);
    return rc ? rc : begin(w, v, id, e);
}

/* ---- what is told -------------------------------------------------------------------------------------------- */

int qs_workbench_calib_look(struct qs_workbench *w, const struct qs_calib_request *q, struct qs_err *e)
{
    struct qs_wb_calib *v = NULL;
    int rc = refuse(w, q, e);
    rc = rc ? rc : order_of_document(w, q, &v, e);
    if (rc)
        return rc;
    const unsigned before = w->look_job;
    v->only_look = v->q.overwrite = true; /* that is a question for the start */
    rc = start(w, &look_kind, v, e);
    if (rc) {
        qs_wb_calib_unref(v);
        return rc;
    }
    qs_wb_calib_unref(w->look);
    w->look = v;
    w->look_job = w->last_id;
    w->look_err = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

static const struct qs_calib_told *told_of(struct qs_wb_calib *v)
{
    pthread_mutex_lock(&v->lock);
    const struct qs_calib_told *t = v->told;
    pthread_mutex_unlock(&v->lock);
    return t;
}

void qs_workbench_calib_outlook(const struct qs_workbench *w, struct qs_calib_outlook *out)
{
    *out = (struct qs_calib_outlook){ .err = QS_ERR_INIT };
    if (!w->look)
        return;
    out->looking = runs(w, w->look_job);
    out->told = told_of(w->look);
    if (!out->looking && !out->told)
        out->err = w->look_err;
}

void qs_workbench_calib(struct qs_workbench *w, struct qs_calibrating *out)
{
    struct qs_wb_calib *v = w->calib;
    const struct qs_wb_job *j = v ? qs_wb_job_find(w, w->calib_job) : NULL;
    *out = (struct qs_calibrating){ .err = QS_ERR_INIT };
    if (!v)
        return;
    out->job = j ? w->calib_job : 0;
    out->runs = j && j->job;
    out->ended_well = v->well;
    if (j && !j->job && j->pub.status.state != QS_JOB_DONE)
        out->err = j->pub.status.err;
    out->request = &v->q;
    out->title = v->title;
    out->statistics = v->statistics_in ? NULL : v->statistics_out;
    out->store = v->recipe ? v->store : NULL;
    out->told = told_of(v);
    out->view = v->view.layer ? &v->view : NULL;
    out->model = v->src->model->model;
    out->of_document = w->doc && w->doc->src->model == v->src->model;
}

/* ---- as it goes on ------------------------------------------------------------------------------------------- */

static void say_layer(struct qs_workbench *w, const struct qs_calib_view *now, size_t i)
{
    char before[QS_FMT_MAX], after[QS_FMT_MAX], name[32] = "the head";
    const struct qs_calib_layer *x = &now->layer[i];
    if (i + 1 < now->n_layers)
        snprintf(name, sizeof name, "layer %zu", i);
    if (x->state == QS_CALIB_FAILED)
        qs_log_add(w->log, QS_LOG_WARNING, "calibration: %s failed", name);
    else if (x->state == QS_CALIB_DONE && x->after == x->after)
        qs_log_add(w->log, QS_LOG_NOTE, "calibration: %s is done, output error %s before, %s after", name,
                   qs_fmt_percent(before, sizeof before, x->before, 2),
                   qs_fmt_percent(after, sizeof after, x->after, 2));
}

bool qs_wb_calib_poll(struct qs_workbench *w)
{
    struct qs_wb_calib *v = w->calib;
    struct qs_calib_view now, before;
    struct qs_err e = QS_ERR_INIT;
    if (!v || (v->view.layer && v->view.version == qs_calib_watch_version(v->watch)) ||
        qs_calib_watch_copy(v->watch, &now, &e))
        return false;
    before = v->view;
    v->view = now;
    if (before.stage != v->view.stage)
        qs_log_add(w->log, QS_LOG_NOTE, "calibration: %s", qs_calib_stage_name(v->view.stage));
    for (size_t i = 0; before.layer && i < v->view.n_layers; i++)
        if (before.layer[i].state != v->view.layer[i].state)
            say_layer(w, &v->view, i);
    qs_calib_view_free(&before);
    return true;
}

const struct qs_calib_view *qs_wb_calib_view(const struct qs_workbench *w, const struct qs_wb_model *of, bool *running)
{
    *running = runs(w, w->calib_job);
    return w->calib && w->calib->src->model == of && w->calib->view.layer ? &w->calib->view : NULL;
}

bool qs_workbench_calib_elsewhere(const struct qs_workbench *w) { return w->doc && w->calib_elsewhere; }

/* ---- forgetting ---------------------------------------------------------------------------------------------- */

static void remove_rest(const char *store, const char *statistics)
{
    struct qs_str path = QS_STR_INIT;
    qs_str_addf(&path, "%s.collect", statistics ? statistics : store);
    if (!path.failed)
        qs_collect_forget(path.data);
    if (store)
        qs_store_forget(store);
    qs_str_free(&path);
}

int qs_workbench_calib_forget(struct qs_workbench *w, struct qs_err *e)
{
    struct qs_calibrating now;
    struct qs_wb_stopped *s = w->stopped;
    qs_workbench_calib(w, &now);
    const bool own = now.job && !now.runs && now.err.code && now.of_document;
    if (!w->doc)
        return qs_wb_no_document(e);
    if (now.runs && now.of_document)
        return refuse_second(w, e);
    int rc = refuse_elsewhere(w, w->doc->src, e);
    if (!rc && !s && !own)
        rc = qs_fail(e, QS_ENOTFOUND, "no calibration of this model was stopped");
    if (rc)
        return rc;
    if (s)
        remove_rest(s->q.encode ? s->q.store : NULL, s->q.statistics_out ? s->q.statistics_out : s->q.store);
    if (own)
        remove_rest(w->calib->recipe ? w->calib->store : NULL,
                    w->calib->statistics_out ? w->calib->statistics_out : w->calib->store);
    if (own) {
        qs_wb_calib_unref(w->calib);
        w->calib = NULL;
        w->calib_job = 0;
    }
    qs_wb_stopped_remove(w, w->doc->pub.model->path);
    qs_wb_stopped_free(s);
    w->stopped = NULL;
    w->changed = true;
    qs_log_add(w->log, QS_LOG_NOTE, "calibration: the one that was stopped is forgotten");
    return QS_OK;
}

void qs_wb_calib_free(struct qs_workbench *w)
{
    qs_wb_stopped_unlock(w);
    qs_wb_stopped_free(w->stopped);
    qs_wb_calib_unref(w->calib);
    qs_wb_calib_unref(w->look);
}
