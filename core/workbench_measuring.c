/* workbench_measuring.c - owns the agenda: what is measured by itself, and what goes before it; and the zoom.
 *
 * One job measures a document at a time. Its list is made when it starts; what is wanted later goes into lanes (under a
 * lock), from which the measuring thread is served between two cells. When nothing runs, a job is started for the lanes
 * alone. A want that finds no memory is dropped: it is asked for again by the next movement, and nothing is wrong
 * meanwhile.
 */
#include "core/workbench_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/importance.h"

/* ---- wants --------------------------------------------------------------------------------------------------- */

static bool add_want(struct qs_wb_wants *x, const struct qs_tensor *t, int type, bool whole)
{
    if (!qs_grow(&x->want, &x->cap, x->n + 1, sizeof *x->want))
        return false;
    x->want[x->n++] = (struct qs_survey_want){ .tensor = t, .type = type, .whole = whole };
    return true;
}

/* Measuring would tell something new. */
static bool is_open(const struct qs_wb_sources *s, const struct qs_tensor *t, int type)
{
    struct qs_survey_cell c;
    return !qs_survey_cell(s->survey, t, type, &c) && c.gap == QS_GAP_NOT_MEASURED;
}

/* All that is open of one tensor. */
static bool add_types(struct qs_wb_wants *x, const struct qs_wb_sources *s, const struct qs_tensor *t)
{
    for (size_t k = 0; k < s->survey->n_types; k++)
        if (is_open(s, t, s->survey->type[k]) && !add_want(x, t, s->survey->type[k], false))
            return false;
    return true;
}

/* A list in place of what a lane holds, or behind it. The list is taken over. */
static void post(struct qs_workbench *w, enum qs_wb_lane lane, struct qs_wb_wants *x, bool replace)
{
    struct qs_wb_sources *s = w->doc->src;
    bool waiting = false;
    s->failed = false;
    pthread_mutex_lock(&s->lock);
    struct qs_wb_wants *to = &s->lane[lane];
    if (replace || to->at == to->n) {
        qs_free(to->want);
        *to = *x;
        *x = (struct qs_wb_wants){ 0 };
    } else if (qs_grow(&to->want, &to->cap, to->n + x->n, sizeof *to->want)) {
        if (x->n)
            memcpy(to->want + to->n, x->want, x->n * sizeof *x->want);
        to->n += x->n;
    }
    waiting = to->at < to->n;
    pthread_mutex_unlock(&s->lock);
    qs_free(x->want);
    struct qs_err e = QS_ERR_INIT;
    if (waiting && qs_wb_measure_again(w, s, &e))
        qs_log_add(w->log, QS_LOG_ERROR, "measuring: %s", e.msg);
}

static void lanes_clear(struct qs_wb_sources *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < QS_WB_LANES; i++)
        s->lane[i].at = s->lane[i].n = 0;
    pthread_mutex_unlock(&s->lock);
    s->stats_wanted = false;
}

static bool lanes_wait(struct qs_wb_sources *s)
{
    bool some = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < QS_WB_LANES; i++)
        some |= s->lane[i].at < s->lane[i].n;
    pthread_mutex_unlock(&s->lock);
    return some;
}

/* On the measuring thread. */
static bool urgent(void *ctx, struct qs_survey_want *out)
{
    struct qs_wb_sources *s = ctx;
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < QS_WB_LANES && !found; i++) {
        struct qs_wb_wants *lane = &s->lane[i];
        found = lane->at < lane->n;
        if (found)
            *out = lane->want[lane->at++];
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* ---- the job ------------------------------------------------------------------------------------------------- */

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    return qs_survey_measure(j->src->survey, j->wants.want, j->wants.n, urgent, j->src, j->pool, job, e);
}

static void tell_survey(struct qs_workbench *w, const struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    const struct qs_survey_counts now = qs_survey_counts(j->src->survey);
    const unsigned long long measured = now.measured - j->before.measured, reused = now.reused - j->before.reused;
    const char *name = qs_path_base(j->src->model->model->path);
    char took[48];
    qs_fmt_seconds(took, sizeof took, st->elapsed);
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "measuring %s: %s", name, st->err.msg);
    else if (st->state == QS_JOB_CANCELLED)
        qs_log_add(w->log, QS_LOG_NOTE, "measuring %s stopped after %s; the %llu cells measured stay", name, took,
                   measured);
    else if (measured || reused)
        qs_log_add(w->log, QS_LOG_NOTE, "measured %llu cells of %s in %s, %llu were known from before", measured, name,
                   took,
                   reused);
}

static void survey_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    struct qs_err e = QS_ERR_INIT;
    tell_survey(w, j);
    if (!w->doc || w->doc->src != j->src)
        return;
    if (j->pub.status.state == QS_JOB_FAILED) {
        lanes_clear(j->src);
        j->src->failed = true;
    } else if (lanes_wait(j->src) && qs_wb_measure_again(w, j->src, &e))
        qs_log_add(w->log, QS_LOG_ERROR, "measuring: %s", e.msg);
}

static void survey_cancelled(struct qs_workbench *w, struct qs_wb_job *j)
{
    (void)w;
    lanes_clear(j->src); /* what is wanted from now on is for the next one */
}

static int survey_resume(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e);

const struct qs_wb_kind qs_wb_survey_kind = { .kind = QS_WORK_SURVEY, .word = "measuring", .run = measure,
                                              .ended = survey_ended, .cancelled = survey_cancelled,
                                              .resume = survey_resume, .of_document = true };

static bool is_measured(const struct qs_workbench *w, const struct qs_wb_sources *src)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->pub.kind == QS_WORK_SURVEY && w->job[i]->src == src && w->job[i]->job)
            return true;
    return false;
}

/* The list is taken over, whatever happens. */
static int start(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_wb_wants *x, struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    struct qs_wb_job *j = qs_wb_job_new(src);
    if (!j) {
        qs_free(x->want);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    j->wants = *x;
    j->before = qs_survey_counts(src->survey);
    qs_str_addf(&title, "measure %s", qs_path_base(src->model->model->path));
    const int rc = qs_wb_job_start(w, &qs_wb_survey_kind, j, title.data, e);
    qs_str_free(&title);
    return rc;
}

int qs_wb_measure_again(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_err *e)
{
    struct qs_wb_wants none = { 0 };
    return is_measured(w, src) ? QS_OK : start(w, src, &none, e);
}

/* ---- what is measured ---------------------------------------------------------------------------------------- */

/* Every tensor as the recipe has it: kept ones too, whose mean squares the total needs. */
static bool add_recipe(struct qs_wb_wants *x, const struct qs_wb_doc *d)
{
    for (size_t i = 0; i < d->made.plan->n; i++) {
        const struct qs_encoding *enc = &d->made.plan->enc[i];
        if (enc->tensor->n_dims >= 2 && !add_want(x, enc->tensor, enc->type, false))
            return false;
    }
    return true;
}

/* Every type of every tensor, unless that comes to more than anybody would wait for. */
static bool add_rest(struct qs_wb_wants *x, const struct qs_wb_doc *d)
{
    const size_t before = x->n;
    for (size_t i = 0; i < d->made.plan->n; i++) {
        if (!add_types(x, d->src, d->made.plan->enc[i].tensor))
            return false;
        if (x->n - before > QS_WORKBENCH_CELLS) {
            x->n = before;
            return true;
        }
    }
    return true;
}

static int measure_all(struct qs_workbench *w, struct qs_err *e)
{
    struct qs_wb_wants x = { 0 };
    if (add_recipe(&x, w->doc) && add_rest(&x, w->doc))
        return start(w, w->doc->src, &x, e);
    qs_free(x.want);
    return qs_fail_mem(e, x.n * sizeof *x.want, "what is to be measured");
}

void qs_wb_measure_all(struct qs_workbench *w)
{
    struct qs_err e = QS_ERR_INIT;
    if (!qs_model_is_quantized(w->doc->pub.model) && measure_all(w, &e))
        qs_log_add(w->log, QS_LOG_ERROR, "measuring: %s", e.msg);
}

static int survey_resume(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e)
{
    (void)j; /* not what it had: all of the document there is */
    if (!w->doc)
        return qs_wb_no_document(e);
    if (is_measured(w, w->doc->src))
        return qs_fail(e, QS_EBUSY, "this model is being measured");
    w->doc->src->failed = false;
    return measure_all(w, e);
}

/* What edits before have asked for stays where the plan still says so. */
static bool add_waiting(struct qs_wb_wants *x, struct qs_wb_doc *d)
{
    bool fits = true;
    pthread_mutex_lock(&d->src->lock);
    const struct qs_wb_wants *lane = &d->src->lane[QS_WB_LANE_RECIPE];
    for (size_t i = lane->at; i < lane->n && fits; i++) {
        const struct qs_tensor *t = lane->want[i].tensor;
        if (d->made.plan->enc[qs_model_index(d->pub.model, t)].type == lane->want[i].type)
            fits = add_want(x, t, lane->want[i].type, false);
    }
    pthread_mutex_unlock(&d->src->lock);
    return fits;
}

void qs_wb_measure_changed(struct qs_workbench *w, const struct qs_plan *before)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_wants x = { 0 };
    if (before->imatrix != d->made.plan->imatrix) /* another survey: all of it begins anew */
        return;
    bool fits = add_waiting(&x, d);
    for (size_t i = 0; i < d->made.plan->n && fits; i++) {
        const struct qs_encoding *enc = &d->made.plan->enc[i];
        if (enc->type != before->enc[i].type && is_open(d->src, enc->tensor, enc->type))
            fits = add_want(&x, enc->tensor, enc->type, false);
    }
    post(w, QS_WB_LANE_RECIPE, &x, true);
}

/* Asked for by looking somewhere: not where measuring has failed, as it would at every step. */
static bool can_look(const struct qs_workbench *w)
{
    return w->doc && !w->doc->src->failed;
}

void qs_workbench_focus(struct qs_workbench *w, size_t tensor)
{
    struct qs_wb_wants x = { 0 };
    if (!can_look(w) || tensor >= w->doc->pub.model->n_tensors)
        return;
    (void)add_types(&x, w->doc->src, &w->doc->pub.model->tensor[tensor]);
    post(w, QS_WB_LANE_FOCUS, &x, true);
}

void qs_workbench_want_recipe(struct qs_workbench *w)
{
    struct qs_wb_wants x = { 0 };
    bool fits = can_look(w);
    for (size_t i = 0; fits && i < w->doc->made.plan->n; i++) {
        const struct qs_encoding *enc = &w->doc->made.plan->enc[i];
        if (enc->tensor->n_dims >= 2 && is_open(w->doc->src, enc->tensor, enc->type))
            fits = add_want(&x, enc->tensor, enc->type, false);
    }
    if (can_look(w))
        post(w, QS_WB_LANE_RECIPE, &x, true);
}

void qs_workbench_want_type(struct qs_workbench *w, int type)
{
    struct qs_wb_wants x = { 0 };
    bool fits = can_look(w);
    for (size_t i = 0; fits && i < w->doc->pub.model->n_tensors; i++) {
        const struct qs_tensor *t = &w->doc->pub.model->tensor[i];
        const struct qs_format *f = qs_format_by_id(type);
        const int as = f && t->ne[0] % f->block ? qs_preset_fallback(type) : type; /* what it would get in its place */
        if (as != QS_TYPE_NONE && is_open(w->doc->src, t, as))
            fits = add_want(&x, t, as, false);
    }
    if (can_look(w))
        post(w, QS_WB_LANE_TYPE, &x, true);
}

void qs_workbench_want_stats(struct qs_workbench *w)
{
    struct qs_wb_wants x = { 0 };
    if (!can_look(w) || w->doc->src->stats_wanted)
        return;
    const struct qs_survey *s = w->doc->src->survey;
    bool fits = true;
    for (size_t i = 0; i < s->n_tensors && fits; i++)
        fits = add_want(&x, s->tensor[i], QS_TYPE_NONE, true);
    w->doc->src->stats_wanted = fits;
    post(w, QS_WB_LANE_STATS, &x, false);
}

void qs_workbench_want_whole(struct qs_workbench *w, size_t tensor, int type)
{
    struct qs_wb_wants x = { 0 };
    if (!w->doc || tensor >= w->doc->pub.model->n_tensors)
        return;
    (void)add_want(&x, &w->doc->pub.model->tensor[tensor], type, true);
    post(w, QS_WB_LANE_WHOLE, &x, false);
}

/* ---- zoom ---------------------------------------------------------------------------------------------------- */

void qs_wb_zoom_unref(struct qs_wb_zoom *z)
{
    if (!z || --z->refs > 0)
        return;
    qs_zoom_free(z->zoom);
    qs_wb_sources_unref(z->src);
    qs_free(z);
}

static int zoom(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    return qs_zoom_run(j->zoom->zoom, j->src->model->model, j->pool, job, e);
}

static void zoom_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    if (j->pub.status.state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "%s: %s", j->pub.status.title, j->pub.status.err.msg);
}

const struct qs_wb_kind qs_wb_zoom_kind = { .kind = QS_WORK_ZOOM, .word = "zoom", .run = zoom, .ended = zoom_ended,
                                            .of_document = true };

void qs_workbench_zoom_end(struct qs_workbench *w)
{
    struct qs_wb_job *j = qs_wb_job_find(w, w->zoom_job);
    if (j && j->job) {
        j->passing = true;
        qs_workbench_job_cancel(w, w->zoom_job);
    }
    qs_wb_zoom_unref(w->zoom);
    w->zoom = NULL;
    w->zoom_job = 0;
}

/* An empty zoom and its job, not yet started; each has a reference. */
static int zoom_new(struct qs_wb_doc *d, const struct qs_zoom_args *args, struct qs_wb_zoom **zoom_out,
                    struct qs_wb_job **job_out,
                    struct qs_err *e)
{
    struct qs_wb_zoom *z = qs_calloc(1, sizeof *z);
    struct qs_wb_job *j = z ? qs_wb_job_new(d->src) : NULL;
    const int rc = j ? qs_zoom_new(args, &z->zoom, e) : qs_fail_mem(e, sizeof *z, "a zoom");
    if (rc) {
        qs_wb_job_free(j);
        qs_free(z);
        return rc;
    }
    z->refs = 2;
    z->src = qs_wb_sources_ref(d->src);
    j->zoom = z;
    *zoom_out = z;
    *job_out = j;
    return QS_OK;
}

struct qs_zoom *qs_workbench_zoom(struct qs_workbench *w, size_t tensor, int type, unsigned tile_rows,
                                  unsigned tile_cols,
                                  struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_zoom *z;
    struct qs_wb_job *j;
    struct qs_survey_stats stats;
    struct qs_str title = QS_STR_INIT;
    if (!d || tensor >= d->pub.model->n_tensors) {
        qs_fail(e, QS_EINVAL, d ? "the model has no such tensor" : "no model is open");
        return NULL;
    }
    const struct qs_tensor *t = &d->pub.model->tensor[tensor];
    struct qs_zoom_args args = { .tensor = t, .type = type, .expert = QS_ZOOM_ALL, .tile_rows = tile_rows,
                                 .tile_cols = tile_cols, .bins = QS_WORKBENCH_ZOOM_BINS };
    if (qs_survey_stats(d->src->survey, t, &stats))
        args.stats = &stats;
    if (qs_importance_for(d->src->imatrix, t, &args.importance, e) || zoom_new(d, &args, &z, &j, e))
        return NULL;
    qs_str_addf(&title, type == QS_TYPE_NONE ? "zoom into %s" : "zoom into %s as %s", t->name, qs_type_name(type));
    const int rc = qs_wb_job_start(w, &qs_wb_zoom_kind, j, title.data, e);
    qs_str_free(&title);
    if (rc) {
        qs_wb_zoom_unref(z);
        return NULL;
    }
    const unsigned id = w->last_id;
    qs_workbench_zoom_end(w);
    w->zoom = z;
    w->zoom_job = id;
    w->seen_zoom = 0;
    return z->zoom;
}
