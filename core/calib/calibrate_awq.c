/* calibrate_awq.c - half a block encoded twice, with scales folded through it and without; the one whose last matrix
 * loses less of its outputs on the held-out rows is kept.
 *
 * Owns scales and the results of both ways meanwhile. Folding changes no function: the engine of the original gets the
 * folded weights too while the half is tried, so that both models show the same inputs. Inputs of routed experts are
 * not scaled. What the fold changes and the recipe leaves (norms, biases, routers) is kept in its own type with the
 * rest, as one group.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq.h"
#include "core/calib/calibrate_internal.h"

enum { FOLDS = 4 };

struct qs_calib_folds {
    struct qs_awq_fold fold[FOLDS];
    float *scale[FOLDS];
    size_t n;
};

/* ---- what a way of encoding came to ---- */

static void trial_free(struct qs_calib_trial *t)
{
    for (size_t i = 0; i < t->n; i++)
        qs_weight_unref(t->kept[i].weight);
    qs_free(t->kept);
    t->kept = NULL;
    t->n = t->cap = 0;
}

int qs_calib_trial_put(struct qs_calibration *c, size_t tensor, const struct qs_calib_made *made, const uint8_t *bytes,
                       struct qs_err *e)
{
    struct qs_calib_trial *t = c->trial;
    const struct qs_tensor *x = &c->args.model->tensor[tensor];
    const int type = qs_calibrate_type(c, tensor) == QS_TYPE_NONE ? x->type : qs_calibrate_type(c, tensor);
    uint64_t ne[4] = { 1, 1, 1, 1 };
    struct qs_weight *w;
    struct qs_parts parts;
    for (unsigned d = 0; d < x->n_dims && d < 4; d++)
        ne[d] = x->ne[d];
    if (!qs_grow(&t->kept, &t->cap, t->n + 1, sizeof *t->kept))
        return qs_fail_mem(e, (t->n + 1) * sizeof *t->kept, "the tensors of a half block");
    int rc = qs_weight_heap(qs_format_by_id(type), ne, &w, &parts, e);
    if (rc)
        return rc;
    memcpy(parts.p[0], bytes, (size_t)w->bytes);
    t->kept[t->n++] = (struct qs_calib_kept){ tensor, *made, w };
    return qs_engine_set(c->made, tensor, w, e);
}

/* What the last matrix loses; where that is not known, all of them on average. */
static double loss_of(const struct qs_calib_trial *t)
{
    double sum = 0, n = 0;
    for (size_t i = t->n; i-- > 0;) {
        const struct qs_calib_made *m = &t->kept[i].made;
        if (!(m->norm > 0))
            continue;
        if (i + 1 == t->n)
            return m->lost / m->norm;
        sum += m->lost / m->norm;
        n++;
    }
    return n > 0 ? sum / n : (double)INFINITY;
}

/* ---- scales ---- */

static int decode_all(const struct qs_weight *w, float **out, struct qs_err *e)
{
    *out = qs_malloc((size_t)(w->rows * w->ne[0]) * sizeof **out);
    return *out ? qs_weight_decode(w, 0, w->rows, *out, e)
                : qs_fail_mem(e, w->rows * w->ne[0] * sizeof **out, "a matrix");
}

static int search(struct qs_calibration *c, struct qs_calib_look *k, const struct qs_awq_fold *f, float *scale,
                  bool *useful, struct qs_err *e)
{
    const struct qs_input *in = k->input;
    struct qs_awq_matrix m[8];
    struct qs_awq_result r = { .after = 0 };
    size_t n = 0;
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < in->n_tensors && n < 8; i++) {
        const int type = qs_calibrate_type(c, in->tensor[i]);
        float *w;
        if (type == QS_TYPE_NONE)
            continue;
        rc = decode_all(qs_engine_weight(c->origin, in->tensor[i]), &w, e);
        m[n++] =
            (struct qs_awq_matrix){ .w = w, .rows = (size_t)c->args.model->tensor[in->tensor[i]].ne[1], .type = type };
    }
    const struct qs_awq_search a = { .stats = qs_statistics_of(c->statistics, in->layer, in->point), .h = k->slice[0].h,
                                     .type = n ? m[0].type : QS_TYPE_NONE, .duo = true, .pool = c->args.pool,
                                     .prio = c->args.prio };
    if (!rc && n && a.stats)
        rc = qs_awq_scales(&a, m, n, in->cols, f->heads, f->kv_heads, scale, &r, e);
    *useful = !rc && n && a.stats && r.after < r.before;
    for (size_t i = 0; i < n; i++)
        qs_free((void *)(uintptr_t)m[i].w);
    return rc ? rc : qs_job_step(c->job, 0, e);
}

int qs_calib_fold_search(struct qs_calibration *c, struct qs_calib_look *k, struct qs_err *e)
{
    struct qs_calib_folds *fs = c->trial->folds;
    struct qs_awq_fold *f = &fs->fold[fs->n];
    bool useful = false;
    if (k->input->experts > 1 || fs->n == FOLDS)
        return QS_OK;
    int rc = qs_awq_fold_of(c->origin, k->input, f, e);
    if (rc || f->refused || f->sets != 1)
        return rc;
    float *scale = qs_malloc(f->cols * sizeof *scale);
    if (!scale)
        return qs_fail_mem(e, f->cols * sizeof *scale, "scales");
    rc = search(c, k, f, scale, &useful, e);
    if (rc || !useful)
        qs_free(scale);
    else
        fs->scale[fs->n++] = scale;
    return rc;
}

/* ---- putting scales in, and taking them out ---- */

/* Calls fn once for every tensor that the folds change. */
typedef int tensor_fn(struct qs_calibration *c, size_t tensor, struct qs_err *e);
static int each_tensor(struct qs_calibration *c, const struct qs_calib_folds *fs, tensor_fn *fn, struct qs_err *e)
{
    bool *done = qs_calloc(c->args.model->n_tensors, sizeof *done);
    int rc = done ? QS_OK : qs_fail_mem(e, c->args.model->n_tensors, "a list of tensors");
    for (size_t i = 0; !rc && i < fs->n; i++) {
        const struct qs_awq_fold *f = &fs->fold[i];
        for (size_t k = 0; !rc && k < f->n_before + f->n_after; k++) {
            const size_t t = k < f->n_before ? f->before[k].tensor : f->after[k - f->n_before];
            if (!done[t])
                rc = fn(c, t, e);
            done[t] = true;
        }
    }
    qs_free(done);
    return rc;
}

static int put_back(struct qs_calibration *c, size_t tensor, struct qs_err *e)
{
    const int rc = qs_engine_set(c->origin, tensor, NULL, e);
    return rc ? rc : qs_engine_set(c->made, tensor, NULL, e);
}

/* What the recipe leaves as it is: folded, and rounded as its own type stores it. */
static int put_left(struct qs_calibration *c, size_t tensor, struct qs_err *e)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    const struct qs_calib_made made = { .n = { [QS_CALIB_AWQ] = 1 }, .note = "holds folded scales" };
    float *x = NULL;
    if (qs_calibrate_type(c, tensor) != QS_TYPE_NONE)
        return QS_OK;
    uint8_t *bytes = qs_malloc((size_t)qs_tensor_bytes_as(t, t->type));
    int rc = bytes ? decode_all(qs_engine_weight(c->origin, tensor), &x, e)
                   : qs_fail_mem(e, t->size, "a folded tensor");
    if (!rc)
        rc = qs_calib_fit_rows(c, t->type, x, (size_t)t->rows, (size_t)t->ne[0], NULL, bytes, e);
    if (!rc)
        rc = qs_calib_trial_put(c, tensor, &made, bytes, e);
    qs_free(x);
    qs_free(bytes);
    return rc;
}

static int fold_all(struct qs_calibration *c, const struct qs_calib_folds *fs, struct qs_err *e)
{
    int rc = each_tensor(c, fs, put_back, e);
    for (size_t i = 0; !rc && i < fs->n; i++) {
        rc = qs_awq_fold_engine(c->origin, &fs->fold[i], fs->scale[i], e);
        if (!rc)
            rc = qs_awq_fold_engine(c->made, &fs->fold[i], fs->scale[i], e);
    }
    return rc ? rc : each_tensor(c, fs, put_left, e);
}

/* ---- both ways ---- */

/* The tensors of the way that is kept; of an earlier run that got so far some may be there. */
static int keep_all(struct qs_calibration *c, const struct qs_calib_trial *t, uint32_t group, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < t->n; i++) {
        const struct qs_calib_kept *x = &t->kept[i];
        bool there;
        rc = qs_calib_take_kept(c, x->tensor, &there, e);
        if (!rc && !there)
            rc = qs_calib_keep(c, x->tensor, group, &x->made, x->weight->parts.p[0], e);
    }
    return rc;
}

static bool half_kept(const struct qs_calibration *c, size_t layer, enum qs_half half)
{
    for (size_t i = 0; i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        for (size_t k = 0; (size_t)in->layer == layer && qs_point_half(in->point) == half && k < in->n_tensors; k++)
            if (qs_calibrate_type(c, in->tensor[k]) != QS_TYPE_NONE &&
                !qs_store_find(c->store, c->args.model->tensor[in->tensor[k]].name))
                return false;
    }
    return true;
}

/* A half that is whole in the store, with the norms and the like that go with it. */
static int take_half(struct qs_calibration *c, size_t layer, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->args.model->n_tensors; i++) {
        bool there;
        if (c->args.model->tensor[i].layer == (int)layer)
            rc = qs_calib_take_kept(c, i, &there, e);
    }
    return rc;
}

static int try_folded(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_calib_folds *fs,
                      struct qs_calib_trial *out, struct qs_err *e)
{
    out->folded = true;
    c->trial = out;
    int rc = fold_all(c, fs, e);
    if (!rc)
        rc = qs_calib_encode_inputs(c, layer, half, e);
    c->trial = NULL;
    struct qs_err again = QS_ERR_INIT;
    const int back = each_tensor(c, fs, put_back, rc ? &again : e);
    return rc ? rc : back;
}

int qs_calib_encode_folded(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_err *e)
{
    struct qs_calib_folds fs = { .n = 0 };
    struct qs_calib_trial plain = { .folds = &fs }, folded = { .folded = true };
    if (half_kept(c, layer, half))
        return take_half(c, layer, e);
    c->trial = &plain;
    int rc = qs_calib_encode_inputs(c, layer, half, e);
    c->trial = NULL;
    if (!rc && fs.n)
        rc = try_folded(c, layer, half, &fs, &folded, e);
    if (!rc) {
        const bool better = fs.n && loss_of(&folded) < loss_of(&plain);
        rc = keep_all(c, better ? &folded : &plain, better ? (uint32_t)(1 + layer * 2 + (half == QS_HALF_FFN)) : 0, e);
    }
    trial_free(&plain);
    trial_free(&folded);
    for (size_t i = 0; i < fs.n; i++)
        qs_free(fs.scale[i]);
    return rc;
}

/* Where scales cannot be folded, and why: each reason once, with the first input that it holds for. */
int qs_calib_fold_warn(struct qs_calibration *c, struct qs_err *e)
{
    const char *told[QS_POINTS] = { NULL };
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        struct qs_awq_fold f;
        if (in->point == QS_POINT_HEAD)
            continue;
        rc = qs_awq_fold_of(c->origin, in, &f, e);
        const char *why = rc ? NULL : in->experts > 1 ? "inputs of routed experts are not scaled" : f.refused;
        if (!why || (told[in->point] && !strcmp(told[in->point], why)))
            continue;
        told[in->point] = why;
        rc = qs_calibrate_warn(c, e, "no AWQ at %s (layer %d ...): %s", qs_point_name(in->point), in->layer, why);
    }
    return rc;
}

/* Float32 weights of half a block in both engines, and both ways' results. */
uint64_t qs_calib_fold_need(const struct qs_calibration *c)
{
    uint64_t most = 0;
    for (size_t l = 0; c->args.methods.awq && l < qs_engine_config(c->origin)->n_layer; l++)
        for (int half = 0; half < 2; half++) {
            uint64_t n = 0;
            for (size_t i = 0; i < c->inputs->n; i++)
                for (size_t k = 0; k < c->inputs->input[i].n_tensors; k++)
                    if ((size_t)c->inputs->input[i].layer == l && (int)qs_point_half(c->inputs->input[i].point) == half)
                        n += c->args.model->tensor[c->inputs->input[i].tensor[k]].n *
                             (2 * sizeof(float) + 2 + sizeof(float));
            most = n > most ? n : most;
        }
    return most;
}
