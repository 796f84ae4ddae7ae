/* swap.c - the measured KL divergence of each tensor's change, put into the statistics.
 *
 * Owns the encoded tensor while it is in the engine. Tensors of which the statistics have a swap of the same type and
 * as many windows are passed over; what is measured is put in when a tensor is through with all windows, so that a run
 * that is stopped goes on where it was (in groups of windows, where memory is short, all tensors end with the last
 * group). Refuses tensors that cannot be quantized. One thread.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/swap_internal.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "core/quant/preset.h"

#define SLICE_WEIGHTS ((uint64_t)4 << 20)   /* encoded between two looks at the job */
#define SAMPLE_WEIGHTS ((uint64_t)1 << 20)  /* of a matrix for its output error, about; rows evenly spread */

struct todo {                /* one tensor */
    size_t tensor;
    int type;
    const struct qs_imatrix_entry *importance;
    struct qs_moment kld;
    uint64_t n, bad;
    double error;            /* of the weights, as encoded */
};

struct run {
    const struct qs_swap_args *a;
    struct qs_job *job;
    const struct qs_model *m;
    struct todo *todo; size_t n;
    uint64_t skipped;        /* block passes of tensors known already */
    struct qs_encoder *encoder;
    struct qs_swap_pass *pass;
};

/* ---- what is to be done -------------------------------------------------------------------------------------- */

static int type_for(const struct qs_swap_args *a, const struct qs_tensor *t)
{
    const struct qs_format *f = qs_format_by_id(a->type == QS_TYPE_NONE ? QS_Q3_K : a->type);
    while (f && t->ne[0] % f->block)
        f = qs_format_by_id(qs_preset_fallback(f->id));
    return f && f->n_components == 1 && !(f->flags & QS_NO_ENCODE) ? f->id : QS_TYPE_NONE;
}

static bool can_swap(const struct qs_swap_args *a, size_t i)
{
    const struct qs_model *m = qs_engine_model(a->engine);
    return qs_preset_settable(m, &m->tensor[i]) && qs_engine_weight(a->engine, i) &&
           type_for(a, &m->tensor[i]) != QS_TYPE_NONE;
}

/* Tokens times blocks, the head as one. */
static uint64_t passes_of(const struct qs_swap_args *a, const struct qs_swap_sizes *s, size_t i)
{
    const int n_layer = (int)qs_engine_config(a->engine)->n_layer, first = qs_swap_first_block(a, i);
    const int start = first < 0 ? 0 : first == n_layer ? first : first - first % (int)s->stride;
    return (uint64_t)s->n_windows * s->n_ctx * (uint64_t)(n_layer - start + 1);
}

static bool known(const struct qs_swap_args *a, const struct qs_swap_sizes *s, size_t i)
{
    const struct qs_tensor *t = &qs_engine_model(a->engine)->tensor[i];
    for (size_t k = 0; a->statistics && k < a->statistics->n_swaps; k++) {
        const struct qs_swap_cell *c = &a->statistics->swap[k];
        if (c->type == type_for(a, t) && c->windows == s->n_windows && strcmp(c->tensor, t->name) == 0)
            return true;
    }
    return false;
}

static size_t listed(const struct qs_swap_args *a, size_t k) { return a->tensor ? a->tensor[k] : k; }

static size_t n_listed(const struct qs_swap_args *a)
{
    return a->tensor ? a->n_tensors : qs_engine_model(a->engine)->n_tensors;
}

/* Rows of one expert that its output error is measured on. */
static uint64_t sample_rows(const uint64_t ne[4])
{
    const uint64_t experts = ne[2] ? ne[2] : 1, most = SAMPLE_WEIGHTS / experts / ne[0] + 1;
    return ne[1] < most ? ne[1] : most;
}

static uint64_t encoded_bytes(const struct qs_swap_args *a, size_t i)
{
    const struct qs_tensor *t = &qs_engine_model(a->engine)->tensor[i];
    const uint64_t sample = sample_rows(t->ne) * (t->ne[2] ? t->ne[2] : 1) * t->ne[0];
    return qs_tensor_bytes_as(t, type_for(a, t)) + 2 * sample * sizeof(float);
}

uint64_t qs_swap_need(const struct qs_swap_args *a, uint64_t *tokens)
{
    struct qs_swap_sizes s;
    struct qs_session_args args = QS_SESSION_ARGS_INIT;
    uint64_t passes = 0, largest = 0, cols = 0;
    qs_swap_choose_sizes(a, &s);
    for (size_t k = 0; k < n_listed(a); k++) {
        const size_t i = listed(a, k);
        if (!can_swap(a, i) || known(a, &s, i))
            continue;
        const uint64_t bytes = encoded_bytes(a, i), width = qs_engine_model(a->engine)->tensor[i].ne[0];
        passes += passes_of(a, &s, i);
        largest = bytes > largest ? bytes : largest;
        cols = width > cols ? width : cols;
    }
    if (passes)
        passes += (uint64_t)s.n_windows * s.n_ctx * (qs_engine_config(a->engine)->n_layer + 1);
    if (tokens)
        *tokens = passes;
    args.n_ctx = s.n_ctx;
    return s.bytes + qs_session_need(a->engine, &args) + largest +
           qs_encoder_memory(qs_pool_threads(a->pool), cols);
}

static int list(struct run *r, struct qs_err *e)
{
    const struct qs_swap_args *a = r->a;
    struct qs_swap_sizes s;
    qs_swap_choose_sizes(a, &s);
    if (s.n_windows == 0 || s.scored == 0)
        return qs_fail(e, QS_EINVAL, "swaps take at least one window of 4 tokens or more to fit; there are %zu of %zu",
                       a->corpus->n_fit, a->corpus->n_ctx);
    if (!(r->todo = qs_calloc(n_listed(a) + 1, sizeof *r->todo)))
        return qs_fail_mem(e, n_listed(a) * sizeof *r->todo, "swaps");
    for (size_t k = 0; k < n_listed(a); k++) {
        const size_t i = listed(a, k);
        const struct qs_tensor *t = i < r->m->n_tensors ? &r->m->tensor[i] : NULL;
        if (!t || (a->tensor && !can_swap(a, i)))
            return qs_fail(e, QS_EINVAL, "%s is not quantized, or not run: there is nothing to swap",
                           t ? t->name : "?");
        if (!can_swap(a, i))
            continue;
        if (known(a, &s, i)) {
            r->skipped += passes_of(a, &s, i);
            continue;
        }
        struct todo *x = &r->todo[r->n++];
        *x = (struct todo){ .tensor = i, .type = type_for(a, t) };
        const int rc = qs_importance_for(a->statistics ? a->statistics->imatrix : NULL, t, &x->importance, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

/* ---- one tensor ---------------------------------------------------------------------------------------------- */

/* As the writer would make it with this importance. */
static int encode(struct run *r, struct todo *x, struct qs_weight **out, struct qs_err *e)
{
    const struct qs_weight *from = qs_engine_weight(r->a->engine, x->tensor);
    const struct qs_format *f = qs_format_by_id(x->type);
    const size_t row_bytes = qs_format_row_bytes(f, from->ne[0]);
    const uint64_t slice = SLICE_WEIGHTS / from->ne[0] + 1;
    struct qs_error_sums sums = { 0 }, all = { 0 };
    struct qs_parts parts;
    int rc = qs_weight_heap(f, from->ne, out, &parts, e);
    for (uint64_t row = 0; row < from->rows && !rc; row += slice) {
        const uint64_t n = from->rows - row < slice ? from->rows - row : slice;
        rc = qs_encode_rows(r->encoder, r->a->prio, from, row, n, x->type, x->importance, parts.p[0] + row * row_bytes,
                            &sums, NULL, e);
        qs_error_sums_add(&all, &sums);
        rc = rc ? rc : qs_job_step(r->job, 0, e);
    }
    x->error = all.wref2 > 0 ? sqrt(all.werr2 / all.wref2) : qs_error_rms(&all);
    return rc;
}

/* Of the output, on the sample of rows. QS_ENOTFOUND: there is none. */
static int output_error(struct run *r, const struct todo *x, const struct qs_weight *made, double *out,
                        struct qs_err *e)
{
    const struct qs_weight *from = qs_engine_weight(r->a->engine, x->tensor);
    const struct qs_input *in = qs_inputs_of(r->a->inputs, x->tensor);
    const struct qs_input_stats *s =
        in && r->a->statistics ? qs_statistics_of(r->a->statistics, in->layer, in->point) : NULL;
    const uint64_t cols = from->ne[0], each = sample_rows(from->ne), rows = each * (from->ne[2] ? from->ne[2] : 1);
    if (!s || !s->n_rows)
        return QS_ENOTFOUND;
    float *w = qs_malloc(2 * rows * cols * sizeof *w);
    if (!w)
        return qs_fail_mem(e, 2 * rows * cols * sizeof *w, "rows of a tensor");
    int rc = QS_OK;
    for (uint64_t k = 0; k < rows && !rc; k++) {
        const uint64_t row = k / each * from->ne[1] + k % each * from->ne[1] / each;
        rc = qs_weight_decode(from, row, 1, w + k * cols, e);
        rc = rc ? rc : qs_weight_decode(made, row, 1, w + (rows + k) * cols, e);
    }
    rc = rc ? rc : qs_output_error(s, w, w + rows * cols, rows, out, e);
    qs_free(w);
    return rc;
}

/* The best that is known of the encoding's error: measured with its Hessian, on the sample of rows, of the weights. */
static int find_error(struct run *r, struct todo *x, const struct qs_weight *made, struct qs_err *e)
{
    const enum qs_calib_method method = x->importance ? QS_CALIB_IMATRIX : QS_CALIB_PLAIN;
    const struct qs_error_cell *c =
        r->a->statistics ? qs_statistics_error(r->a->statistics, r->m->tensor[x->tensor].name, x->type, method) : NULL;
    double error = c ? (isfinite(c->error) ? c->error : c->fitted) : NAN;
    if (isfinite(error)) {
        x->error = error;
        return QS_OK;
    }
    struct qs_err none = QS_ERR_INIT;
    const int rc = output_error(r, x, made, &error, &none);
    if (rc && rc != QS_ENOTFOUND) {
        if (e)
            *e = none;
        return rc;
    }
    if (!rc && isfinite(error))
        x->error = error;
    return QS_OK;
}

static int put(struct run *r, const struct todo *x, struct qs_err *e)
{
    const double n = (double)x->n, se = x->n > 1 ? sqrt(x->kld.m2 / n / (n - 1)) : NAN;
    const struct qs_swap_cell cell = { .tensor = (char *)(uintptr_t)r->m->tensor[x->tensor].name,
                                       .type = x->type,
                                       .method = x->importance ? QS_CALIB_IMATRIX : QS_CALIB_PLAIN,
                                       .kld = x->kld.mean,
                                       .kld_se = se,
                                       .windows = qs_swap_pass_sizes(r->pass)->n_windows,
                                       .error = x->error };
    if (x->bad || !x->n) { /* the type breaks the model: that is no number */
        qs_calib_watch_tensor_state(r->a->watch, x->tensor, QS_CALIB_FAILED);
        return QS_OK;
    }
    qs_calib_watch_tensor_state(r->a->watch, x->tensor, QS_CALIB_DONE);
    return r->a->statistics ? qs_statistics_put_swap(r->a->statistics, &cell, e) : QS_OK;
}

static int swap_one(struct run *r, struct todo *x, bool last, struct qs_err *e)
{
    struct qs_weight *made = NULL;
    const struct qs_tensor *t = &r->m->tensor[x->tensor];
    qs_job_item(r->job, "%s alone in %s", t->name, qs_type_name(x->type));
    qs_calib_watch_tensor_state(r->a->watch, x->tensor, QS_CALIB_ENCODING);
    int rc = encode(r, x, &made, e);
    if (!rc && last)
        rc = find_error(r, x, made, e);
    if (!rc)
        rc = qs_swap_pass_changed(r->pass, x->tensor, made, &x->kld, &x->n, &x->bad, e);
    if (!rc && last)
        rc = put(r, x, e);
    else if (rc)
        qs_calib_watch_tensor_state(r->a->watch, x->tensor, QS_CALIB_WAITING);
    qs_weight_unref(made);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int measure(struct run *r, struct qs_err *e)
{
    const struct qs_swap_sizes *s = qs_swap_pass_sizes(r->pass);
    int rc = QS_OK;
    for (size_t w = 0; w < s->n_windows && !rc; w += s->group) {
        const size_t n = s->n_windows - w < s->group ? s->n_windows - w : s->group;
        qs_job_item(r->job, "windows %zu to %zu of the original", w + 1, w + n);
        rc = qs_swap_pass_original(r->pass, w, n, e);
        for (size_t i = 0; i < r->n && !rc; i++)
            rc = swap_one(r, &r->todo[i], w + n == s->n_windows, e);
        rc = rc ? rc : qs_model_intact(r->m, e);
    }
    return rc;
}

static int prepare(struct run *r, struct qs_err *e)
{
    uint64_t cols = 1;
    for (size_t i = 0; i < r->n; i++) {
        const uint64_t width = r->m->tensor[r->todo[i].tensor].ne[0];
        cols = width > cols ? width : cols;
    }
    const int rc = qs_encoder_new(r->a->pool, cols, &r->encoder, e);
    return rc ? rc : qs_swap_pass_new(r->a, r->job, &r->pass, e);
}

int qs_swap_run(const struct qs_swap_args *a, struct qs_job *job, struct qs_err *e)
{
    struct run r = { .a = a, .job = job, .m = qs_engine_model(a->engine) };
    uint64_t tokens = 0;
    int rc = list(&r, e);
    if (!rc)
        (void)qs_swap_need(a, &tokens);
    qs_calib_watch_stage(a->watch, QS_STAGE_SWAP);
    if (!rc)
        qs_job_phase(job, "swap", "block passes", tokens + r.skipped);
    if (!rc && r.skipped)
        qs_job_skip(job, r.skipped);
    if (!rc && r.n)
        rc = prepare(&r, e);
    if (!rc && r.n)
        rc = measure(&r, e);
    qs_swap_pass_free(r.pass);
    qs_encoder_free(r.encoder);
    qs_free(r.todo);
    return rc;
}
