/* workbench_calib_order.c - the order of a calibration: a copy of all that was asked for, made and given back. */
#include "core/workbench_calib_order.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

void qs_wb_told_free(struct qs_calib_told *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_mix; i++)
        qs_free(t->mix[i].path);
    for (size_t i = 0; i < t->n_warnings; i++)
        qs_free(t->warning[i]);
    qs_free(t->mix);
    qs_free(t->warning);
    qs_free(t);
}

void qs_wb_calib_unref(struct qs_wb_calib *v)
{
    if (!v || --v->refs > 0)
        return;
    qs_wb_left_free(&v->left);
    qs_recipe_free(v->recipe);
    qs_wb_sources_unref(v->src);
    for (size_t i = 0; v->source && i < v->q.n_sources; i++)
        qs_free((char *)(uintptr_t)v->source[i].path);
    char *const texts[] = { v->evaluation, v->statistics_in, v->statistics_out, v->store, v->title };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        qs_free(texts[i]);
    qs_free(v->source);
    qs_wb_told_free(v->told);
    qs_wb_told_free(v->first);
    qs_calib_view_free(&v->view);
    qs_calib_watch_free(v->watch);
    pthread_mutex_destroy(&v->lock);
    qs_free(v);
}

static int copy_text(const char *from, char **to, const char **in, struct qs_err *e)
{
    *in = NULL;
    if (!from || !from[0])
        return QS_OK;
    *in = *to = qs_strdup(from);
    return *to ? QS_OK : qs_fail_mem(e, strlen(from), "a file name");
}

static int copy_sources(const struct qs_calib_request *q, struct qs_wb_calib *v, struct qs_err *e)
{
    v->source = qs_calloc(q->n_sources + 1, sizeof *v->source);
    if (!v->source)
        return qs_fail_mem(e, q->n_sources * sizeof *v->source, "a calibration");
    v->q.source = v->source;
    for (size_t i = 0; i < q->n_sources; i++) {
        v->source[i] = (struct qs_corpus_source){ qs_strdup(q->source[i].path), q->source[i].weight };
        if (!v->source[i].path)
            return qs_fail_mem(e, strlen(q->source[i].path), "a file name");
    }
    return QS_OK;
}

static int name_all(struct qs_wb_calib *v, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    qs_str_add(&s, qs_path_base(v->src->model->model->path));
    if (v->recipe)
        qs_str_addf(&s, " as %s", v->recipe->preset->name);
    if (v->q.n_sources)
        qs_str_addf(&s, " on %s", qs_path_base(v->source[0].path));
    if (v->q.n_sources > 1)
        qs_str_addf(&s, " and %zu more", v->q.n_sources - 1);
    v->title = qs_str_take(&s);
    return v->title ? QS_OK : qs_fail_mem(e, 0, "a name");
}

static int copy_request(const struct qs_calib_request *q, struct qs_wb_calib *v, struct qs_err *e)
{
    v->q = *q;
    int rc = copy_sources(q, v, e);
    rc = rc ? rc : copy_text(q->evaluation, &v->evaluation, &v->q.evaluation, e);
    rc = rc ? rc : copy_text(q->statistics_in, &v->statistics_in, &v->q.statistics_in, e);
    rc = rc ? rc : copy_text(q->statistics_out, &v->statistics_out, &v->q.statistics_out, e);
    return rc ? rc : copy_text(q->store, &v->store, &v->q.store, e);
}

static int fill(struct qs_wb_calib *v, const struct qs_calib_request *q, const struct qs_recipe *recipe,
                struct qs_err *e)
{
    const struct qs_model *m = v->src->model->model;
    size_t layers = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensor[i].layer >= 0 && (size_t)m->tensor[i].layer >= layers)
            layers = (size_t)m->tensor[i].layer + 1;
    int rc = copy_request(q, v, e);
    if (!rc && recipe && q->encode)
        rc = qs_recipe_copy(recipe, &v->recipe, e);
    rc = rc ? rc : qs_calib_watch_new(layers, m->n_tensors, &v->watch, e);
    return rc ? rc : name_all(v, e);
}

int qs_wb_calib_order(struct qs_workbench *w, const struct qs_calib_request *q, struct qs_wb_sources *src,
                      const struct qs_recipe *recipe, bool allow_requantize, struct qs_wb_calib **out, struct qs_err *e)
{
    struct qs_wb_calib *v = qs_calloc(1, sizeof *v);
    if (!v)
        return qs_fail_mem(e, sizeof *v, "a calibration");
    v->refs = 1;
    pthread_mutex_init(&v->lock, NULL);
    v->src = qs_wb_sources_ref(src);
    v->pool = w->args.pool;
    v->allow_requantize = allow_requantize;
    const int rc = fill(v, q, recipe, e);
    if (rc)
        qs_wb_calib_unref(v);
    else
        *out = v;
    return rc;
}
