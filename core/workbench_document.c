/* workbench_document.c - owns the document: sources shared with jobs, recipe with its undo, plan, and what is told of
 * it.
 *
 * Everything that may fail is made before anything is put in place, so a call that fails leaves the document as it was.
 * qs_wb_doc_open runs on a job's thread, on memory that nobody else sees yet; the rest belongs to the owner's thread.
 */
#include "core/workbench_internal.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/inputs.h"
#include "core/calib/output.h"
#include "core/quant/store.h"

int qs_wb_no_document(struct qs_err *e)
{
    return qs_fail(e, QS_EINVAL, "no model is open");
}

/* ---- sources ------------------------------------------------------------------------------------------------- */

void qs_wb_model_unref(struct qs_wb_model *m)
{
    if (!m || --m->refs > 0)
        return;
    qs_model_close(m->model);
    qs_free(m);
}

struct qs_wb_sources *qs_wb_sources_ref(struct qs_wb_sources *s)
{
    s->refs++;
    return s;
}

static void sources_free(struct qs_wb_sources *s)
{
    qs_survey_free(s->survey);
    for (size_t i = 0; i < QS_WB_LANES; i++)
        qs_free(s->lane[i].want);
    pthread_mutex_destroy(&s->lock);
    qs_free(s->imatrix_path);
    qs_outputs_free(s->outputs);
    qs_statistics_free(s->statistics);
    qs_inputs_free(s->inputs);
    qs_free(s);
}

void qs_wb_sources_unref(struct qs_wb_sources *s)
{
    if (!s || --s->refs > 0)
        return;
    struct qs_wb_model *m = s->model;
    struct qs_imatrix *imatrix = s->imatrix;
    sources_free(s);
    qs_imatrix_free(imatrix);
    qs_wb_model_unref(m);
}

int qs_wb_sources_new(const struct qs_model *m, struct qs_imatrix *imatrix, const char *imatrix_path,
                      const struct qs_survey *known, struct qs_wb_sources **out, struct qs_err *e)
{
    const struct qs_survey_args args = { .imatrix = imatrix, .errors = true };
    struct qs_wb_sources *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a document");
    pthread_mutex_init(&s->lock, NULL);
    s->refs = 1;
    int rc = qs_survey_new(m, &args, &s->survey, e);
    if (!rc && imatrix_path && !(s->imatrix_path = qs_strdup(imatrix_path)))
        rc = qs_fail_mem(e, strlen(imatrix_path), "a document");
    if (rc) {
        sources_free(s);
        return rc;
    }
    if (known)
        qs_survey_take_over(s->survey, known);
    s->imatrix = imatrix;
    *out = s;
    return QS_OK;
}

void qs_wb_sources_attach(struct qs_wb_sources *s, struct qs_wb_model *m)
{
    s->model = m;
    m->refs++;
}

/* ---- plans --------------------------------------------------------------------------------------------------- */

void qs_wb_plans_free(struct qs_wb_plans *p)
{
    qs_plan_free(p->plan);
    qs_plan_free(p->baseline);
    qs_free(p->type);
    *p = (struct qs_wb_plans){ 0 };
}

static int preset_alone(const struct qs_wb_sources *src, const struct qs_preset *preset,
                        const struct qs_plan_args *args,
                        struct qs_plan **out, struct qs_err *e)
{
    struct qs_recipe *alone = NULL;
    struct qs_err why = QS_ERR_INIT;
    int rc = qs_recipe_new(preset->name, &alone, &why);
    if (!rc)
        rc = qs_plan_make(src->model->model, alone, args, out, &why);
    qs_recipe_free(alone);
    return rc == QS_ENOMEM ? qs_fail(e, why.code, "%s", why.msg) : QS_OK; /* else there is none */
}

static int fill_types(struct qs_wb_plans *p, struct qs_err *e)
{
    p->type = qs_calloc(p->plan->n + 1, sizeof *p->type);
    if (!p->type)
        return qs_fail_mem(e, p->plan->n * sizeof *p->type, "the types of a plan");
    for (size_t i = 0; i < p->plan->n; i++)
        p->type[i] = p->plan->enc[i].copy ? QS_TYPE_NONE : p->plan->enc[i].type;
    return QS_OK;
}

int qs_wb_doc_plan(const struct qs_wb_doc *d, const struct qs_wb_sources *src, const struct qs_recipe *r,
                   bool allow_requantize,
                bool baseline, struct qs_wb_plans *out, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = src->imatrix, .allow_requantize = allow_requantize,
                                       .foretell = true, .store = d->store };
    struct qs_wb_plans p = { 0 };
    p.keep_baseline = !baseline && r->preset == d->made.plan->recipe->preset;
    int rc = qs_plan_make(src->model->model, r, &args, &p.plan, e);
    if (!rc && !p.keep_baseline)
        rc = preset_alone(src, r->preset, &args, &p.baseline, e);
    if (!rc)
        rc = fill_types(&p, e);
    if (rc)
        qs_wb_plans_free(&p);
    else
        *out = p;
    return rc;
}

void qs_wb_doc_refresh(struct qs_wb_doc *d)
{
    struct qs_doc *x = &d->pub;
    x->model = d->src->model->model;
    x->imatrix = d->src->imatrix;
    x->imatrix_path = d->src->imatrix_path;
    x->statistics = d->src->statistics;
    x->outputs = d->src->outputs;
    x->store = d->store;
    x->store_path = d->store_path;
    x->survey = d->src->survey;
    x->recipe = qs_history_current(d->history);
    x->plan = d->made.plan;
    x->baseline = d->made.baseline;
    x->type = d->made.type;
    x->recipe_path = qs_history_path(d->history);
    x->recipe_changed = qs_history_changed(d->history);
    x->undos = qs_history_undos(d->history);
    x->redos = qs_history_redos(d->history);
}

void qs_wb_doc_take(struct qs_workbench *w, struct qs_wb_plans *p)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_plans before = d->made;
    if (p->keep_baseline) {
        p->baseline = before.baseline;
        before.baseline = NULL;
    }
    d->made = *p;
    d->pub.version++;
    qs_wb_doc_refresh(d);
    qs_wb_measure_changed(w, before.plan);
    qs_wb_plans_free(&before);
    qs_wb_candidate_changed(w);
    *p = (struct qs_wb_plans){ 0 };
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

void qs_wb_doc_free(struct qs_wb_doc *d)
{
    if (!d)
        return;
    qs_wb_candidate_drop(d);
    qs_history_free(d->history);
    qs_wb_plans_free(&d->made);
    qs_wb_sources_unref(d->src);
    qs_store_unref(d->store);
    qs_free(d->store_path);
    qs_free(d);
}

static int start_recipe(struct qs_wb_doc *d, const char *preset, struct qs_err *e)
{
    struct qs_recipe *r = NULL;
    int rc = qs_recipe_new(preset, &r, e);
    if (!rc) /* who sets one cell of the map means no other */
        rc = qs_recipe_set_option(r, QS_SET_STEADY, true, e);
    if (!rc)
        rc = qs_history_new(r, &d->history, e);
    if (rc) {
        qs_recipe_free(r);
        return rc;
    }
    return qs_wb_doc_plan(d, d->src, qs_history_current(d->history), d->pub.allow_requantize, true, &d->made, e);
}

/* The model belongs to the result, failed or not. */
static int wrap_model(struct qs_model *model, struct qs_wb_sources **out, struct qs_err *e)
{
    struct qs_wb_model *m = qs_calloc(1, sizeof *m);
    if (!m) {
        qs_model_close(model);
        return qs_fail_mem(e, sizeof *m, "a document");
    }
    *m = (struct qs_wb_model){ .refs = 1, .model = model };
    const int rc = qs_wb_sources_new(model, NULL, NULL, NULL, out, e);
    if (!rc)
        qs_wb_sources_attach(*out, m);
    qs_wb_model_unref(m); /* the sources have their own */
    return rc;
}

int qs_wb_doc_open(const char *path, const char *preset, struct qs_job *job, struct qs_wb_doc **out, struct qs_err *e)
{
    struct qs_model *model = NULL;
    struct qs_wb_doc *d = qs_calloc(1, sizeof *d);
    if (!d)
        return qs_fail_mem(e, sizeof *d, "a document");
    qs_job_phase(job, "headers", "", 0);
    int rc = qs_model_open(path, &model, e);
    if (!rc)
        rc = wrap_model(model, &d->src, e);
    if (!rc)
        rc = qs_job_step(job, 0, e);
    if (!rc)
        rc = start_recipe(d, preset, e);
    if (rc) {
        qs_wb_doc_free(d);
        return rc;
    }
    d->pub.version = 1;
    qs_wb_doc_refresh(d);
    *out = d;
    return QS_OK;
}

/* ---- the total ----------------------------------------------------------------------------------------------- */

/* Sums over tensors, each weighed by the sum of its squares, as the map's total does it. */
struct sums { double err2, ref2, spread2, encoded, encoded_known; };

static void add_tensor(const struct qs_wb_doc *d, size_t i, struct sums *x, struct qs_total_error *total)
{
    const struct qs_encoding *enc = &d->made.plan->enc[i];
    const struct qs_tensor *t = enc->tensor;
    struct qs_survey_cell c = { .error = 0, .how = QS_HOW_WHOLE };
    enum qs_how how;
    if (t->n_dims < 2 || !t->format)
        return;
    const double n = (double)t->n, squares = qs_survey_mean_square(d->src->survey, t, &how) * n;
    const bool known = enc->copy || qs_survey_cell(d->src->survey, t, enc->type, &c);
    if (!enc->copy) {
        total->tensors++;
        x->encoded += n;
    }
    if (!known || isnan(squares))
        return;
    if (!enc->copy) {
        total->known++;
        x->encoded_known += n;
    }
    x->err2 += c.error * c.error * squares;
    x->ref2 += squares;
    x->spread2 += c.error * squares * c.error_se * c.error * squares * c.error_se;
    total->sampled |= c.how == QS_HOW_SAMPLED || how == QS_HOW_SAMPLED;
}

static struct qs_total_error add_up(const struct qs_wb_doc *d)
{
    struct qs_total_error total = { .rms = NAN };
    struct sums x = { 0 };
    for (size_t i = 0; i < d->made.plan->n; i++)
        add_tensor(d, i, &x, &total);
    total.sampled &= x.err2 > 0;
    if (x.ref2 > 0 && 2 * x.encoded_known >= x.encoded)
        total.rms = sqrt(x.err2 / x.ref2);
    if (total.sampled && total.rms > 0) /* d sqrt(sum e^2 s / S) = sum e s de / (S rms), tensors independent */
        total.std_error = sqrt(x.spread2) / (x.ref2 * total.rms);
    return total;
}

struct qs_total_error qs_workbench_error(const struct qs_workbench *w)
{
    struct qs_wb_doc *d = w->doc;
    if (!d)
        return (struct qs_total_error){ .rms = NAN };
    const uint64_t version = qs_survey_version(d->src->survey);
    if (d->error_doc != d->pub.version || d->error_survey != version) {
        d->error = add_up(d);
        d->error_doc = d->pub.version;
        d->error_survey = version;
    }
    return d->error;
}

/* ---- permission ------------------------------------------------------------------------------------------------- */

int qs_workbench_requantize(struct qs_workbench *w, bool allowed, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_plans made;
    if (!d)
        return qs_wb_no_document(e);
    if (allowed == d->pub.allow_requantize)
        return QS_OK;
    const int rc = qs_wb_doc_plan(d, d->src, d->pub.recipe, allowed, true, &made, e);
    if (rc)
        return rc;
    d->pub.allow_requantize = allowed;
    qs_wb_doc_take(w, &made);
    return QS_OK;
}
