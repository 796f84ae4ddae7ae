/* workbench_calibrated.c - calibrated weights and statistics of the document: read from files or left by a calibration.
 *
 * Statistics are an importance matrix that knows more: they live with the sources, as jobs read them. The store belongs
 * to the document; every plan that is made takes a reference. Output errors are told from the running calibration, else
 * from the store.
 */
#include "core/workbench_calibrated.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/inputs.h"
#include "core/calib/output.h"
#include "core/calib/places.h"
#include "core/format/gguf.h"
#include "core/workbench_calib.h"

int qs_workbench_calib_places(const struct qs_workbench *w, struct qs_str *statistics, struct qs_str *store,
                              struct qs_err *e)
{
    if (!w->doc)
        return qs_wb_no_document(e);
    const char *model = w->doc->pub.model->path;
    struct qs_str name = QS_STR_INIT;
    int rc = statistics ? qs_calib_statistics_place(model, statistics, e) : QS_OK;
    rc = rc || !store ? rc : qs_calib_recipe_name(w->doc->pub.recipe, &name, e);
    rc = rc || !store ? rc : qs_calib_store_place(model, name.data, store, e);
    qs_str_free(&name);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Whether a file has our part: an importance matrix of others needs no more than being one. */
static bool is_ours(const char *path)
{
    struct qs_gguf *g = NULL;
    struct qs_err why = QS_ERR_INIT;
    bool ours = false;
    if (qs_gguf_open(path, &g, &why))
        return false;
    for (size_t i = 0; !ours && i < g->n_kv; i++)
        ours = strncmp(g->kv[i].key, "quantscape.", 11) == 0;
    qs_gguf_close(g);
    return ours;
}

/* The rest of such a file. A model that cannot be run has no inputs, and so no statistics but the matrix. */
static void read_rest(const char *path, const struct qs_model *m, struct qs_wb_sources *out)
{
    const struct qs_engine_args args = { .precision = QS_EXACT, .prio = QS_PRIO_JOB };
    struct qs_engine *x = NULL;
    struct qs_inputs *in = NULL;
    struct qs_err why = QS_ERR_INIT;
    if (is_ours(path) && !qs_engine_new(m, &args, &x, &why) && !qs_inputs_new(x, &in, &why))
        (void)qs_statistics_open(path, in, m, &out->statistics, &why);
    if (out->statistics)
        out->inputs = in;
    if (out->statistics && !qs_outputs_new(m, out->statistics, &out->outputs, &why) && !qs_outputs_any(out->outputs)) {
        qs_outputs_free(out->outputs);
        out->outputs = NULL;
    }
    if (!out->statistics)
        qs_inputs_free(in);
    qs_engine_free(x);
}

int qs_wb_statistics_read(const char *path, struct qs_wb_sources *like, struct qs_wb_sources **out, struct qs_err *e)
{
    const struct qs_model *m = like->model->model;
    struct qs_imatrix *imatrix = NULL;
    int rc = qs_imatrix_open(path, &imatrix, e);
    if (!rc)
        rc = qs_wb_sources_new(m, imatrix, path, like->survey, out, e);
    if (rc) {
        qs_imatrix_free(imatrix);
        return rc;
    }
    read_rest(path, m, *out);
    return QS_OK;
}

int qs_wb_left_read(struct qs_wb_left *l, const char *statistics, struct qs_wb_sources *like, struct qs_err *e)
{
    return statistics ? qs_wb_statistics_read(statistics, like, &l->made, e) : QS_OK;
}

void qs_wb_left_free(struct qs_wb_left *l)
{
    qs_wb_sources_unref(l->made);
    qs_store_unref(l->store);
    qs_free(l->store_path);
    *l = (struct qs_wb_left){ 0 };
}

/* ---- into the document --------------------------------------------------------------------------------------- */

/* Takes store and path over, whatever happens. */
static int install_store(struct qs_workbench *w, struct qs_store *store, char *path, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_store *before = d->store;
    struct qs_wb_plans made;
    d->store = store;
    const int rc = qs_wb_doc_plan(d, d->src, d->pub.recipe, d->pub.allow_requantize, true, &made, e);
    if (rc) {
        d->store = before;
        qs_store_unref(store);
        qs_free(path);
        return rc;
    }
    qs_free(d->store_path);
    d->store_path = path;
    if (store)
        qs_log_add(w->log, QS_LOG_NOTE, "calibrated weights %s: %zu tensors", path, qs_store_count(store));
    else
        qs_log_add(w->log, QS_LOG_NOTE, "no calibrated weights any more");
    qs_wb_doc_take(w, &made);
    qs_store_unref(before);
    w->changed = true;
    return QS_OK;
}

void qs_wb_left_install(struct qs_workbench *w, struct qs_wb_left *l, const struct qs_wb_model *of)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_wb_left x = *l;
    if (!w->doc || w->doc->src->model != of)
        return;
    *l = (struct qs_wb_left){ 0 };
    if (x.made && qs_wb_sources_install(w, x.made, &e))
        qs_log_add(w->log, QS_LOG_ERROR, "the importance matrix of the calibration: %s", e.msg);
    if (x.store && install_store(w, x.store, x.store_path, &e))
        qs_log_add(w->log, QS_LOG_ERROR, "the calibrated weights: %s", e.msg);
}

/* ---- a store from a file ------------------------------------------------------------------------------------- */

static int read_store(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    qs_job_phase(job, "calibrated weights", "", 0);
    int rc = qs_store_open(j->path, &j->store, e);
    return rc ? rc : qs_store_fits(j->store, j->src->model->model, e);
}

static void store_read(struct qs_workbench *w, struct qs_wb_job *j)
{
    struct qs_err e = j->pub.status.err;
    if (j->pub.id != w->storing) /* another one was asked for meanwhile */
        return;
    w->storing = 0;
    w->changed = true;
    if (j->passing || !w->doc || w->doc->src->model != j->src->model)
        return;
    if (j->pub.status.state == QS_JOB_DONE) {
        e = (struct qs_err)QS_ERR_INIT;
        (void)install_store(w, j->store, j->path, &e);
        j->store = NULL;
        j->path = NULL;
    }
    w->store_error = e;
    if (e.code && e.code != QS_ECANCELLED)
        qs_log_add(w->log, QS_LOG_ERROR, "%s", e.msg);
}

static const struct qs_wb_kind store_kind = { .kind = QS_WORK_OTHER, .word = "reading weights", .run = read_store,
                                              .ended = store_read };

int qs_workbench_calibration(struct qs_workbench *w, const char *path, struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    if (!w->doc)
        return qs_wb_no_document(e);
    if (!path)
        return install_store(w, NULL, NULL, e);
    struct qs_wb_job *j = qs_wb_job_new(w->doc->src);
    if (!j || !(j->path = qs_strdup(path))) {
        qs_wb_job_free(j);
        return qs_fail_mem(e, strlen(path), "a job");
    }
    qs_str_addf(&title, "read %s", qs_path_base(path));
    const unsigned before = w->storing;
    const int rc = qs_wb_job_start(w, &store_kind, j, title.failed ? "read" : title.data, e);
    qs_str_free(&title);
    if (rc)
        return rc;
    w->storing = w->last_id;
    w->store_error = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

bool qs_workbench_calibration_reading(const struct qs_workbench *w)
{
    return w->storing != 0;
}

const struct qs_err *qs_workbench_calibration_error(const struct qs_workbench *w)
{
    return &w->store_error;
}

/* ---- output errors ------------------------------------------------------------------------------------------- */

static bool from_view(const struct qs_calib_view *v, size_t tensor, bool running, struct qs_made_output *out)
{
    const struct qs_calib_tensor *t = v && tensor < v->n_tensors ? &v->tensor[tensor] : NULL;
    const bool works = t && running && t->state > QS_CALIB_WAITING && t->state < QS_CALIB_DONE;
    if (!t || (isnan(t->before) && isnan(t->after) && !works))
        return false;
    *out = (struct qs_made_output){ .before = t->before, .after = t->after, .plain = t->plain, .state = t->state,
                               .running = running, .type = t->type };
    snprintf(out->method, sizeof out->method, "%s", qs_calib_method_name(t->method));
    snprintf(out->note, sizeof out->note, "%s", t->note);
    return true;
}

static bool from_store(struct qs_wb_doc *d, size_t tensor, struct qs_made_output *out)
{
    const struct qs_stored *s = d->store ? qs_store_find(d->store, d->pub.model->tensor[tensor].name) : NULL;
    if (!s || s->type != d->pub.type[tensor])
        return false;
    *out = (struct qs_made_output){ .before = s->before, .after = s->after, .plain = NAN, .state = QS_CALIB_DONE,
                               .type = s->type };
    snprintf(out->method, sizeof out->method, "%s", s->method);
    snprintf(out->note, sizeof out->note, "%s", s->note);
    return true;
}

bool qs_workbench_output(struct qs_workbench *w, size_t tensor, struct qs_made_output *out)
{
    bool running = false;
    if (!w->doc || tensor >= w->doc->pub.model->n_tensors)
        return false;
    const struct qs_calib_view *v = qs_wb_calib_view(w, w->doc->src->model, &running);
    return (running && from_view(v, tensor, true, out)) || from_store(w->doc, tensor, out) ||
           (!running && from_view(v, tensor, false, out) && out->type == w->doc->pub.type[tensor]);
}

bool qs_workbench_channels(const struct qs_workbench *w, size_t tensor, struct qs_channel_facts *out)
{
    const struct qs_wb_sources *s = w->doc ? w->doc->src : NULL;
    const struct qs_input *in = s && s->inputs ? qs_inputs_of(s->inputs, tensor) : NULL;
    const struct qs_input_stats *x = in ? qs_statistics_of(s->statistics, in->layer, in->point) : NULL;
    if (!x || !x->max)
        return false;
    qs_channel_facts(x, s->statistics->tokens, out);
    return true;
}

uint64_t qs_workbench_output_version(struct qs_workbench *w)
{
    bool running = false;
    const struct qs_calib_view *v = w->doc ? qs_wb_calib_view(w, w->doc->src->model, &running) : NULL;
    const uint64_t outputs = w->doc && w->doc->src->outputs ? qs_outputs_version(w->doc->src->outputs) : 0;
    return w->doc ? (w->doc->pub.version * 1000003 + (v ? v->version : 0)) * 1000003 + outputs * 2 + running : 0;
}
