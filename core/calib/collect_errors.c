/* collect_errors.c - what every type would cost every matrix of an input: the weighted fit and GPTQ, both measured under
 * the Hessian of the windows held out, while it is there.
 *
 * Rows go in slices whose size depends on the columns alone, so that the sums have the same bits in any memory. Experts
 * count by their rows; one whose Hessian does not factor counts with its weighted fit. Leaves out types that a matrix
 * cannot have, and matrices with weights that are not finite. One thread calls.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/collect_internal.h"
#include "core/calib/gptq.h"
#include "kernels/lattice.h"

#define SLICE_WEIGHTS ((size_t)1 << 22)
#define SLICE_ROWS 64 /* slices are a multiple of it */

enum way { WAY_IMATRIX, WAY_GPTQ, WAYS };
static const enum qs_calib_method method_of[WAYS] = { QS_CALIB_IMATRIX, QS_CALIB_GPTQ };

struct cost { double fit[WAYS], held[WAYS], seconds[WAYS]; bool made[WAYS]; };
struct sums { size_t tensor; double fit, held; bool unfit; struct cost *cost; /* per type */ };

struct qs_errors {
    const struct qs_collect_args *a;
    struct qs_encoder *encoder;
    float *w, *d;               /* a slice: as it is, and how what was made of it differs */
    uint8_t *bytes;
    float *importance;          /* experts * cols */
    struct sums *sums; size_t n, cap;
    struct cost *cost;          /* cap * n_types */
    uint64_t weights, did, steps, told;
};

/* ---- sizes ---- */

static size_t slice_rows(size_t cols)
{
    const size_t n = SLICE_WEIGHTS / cols / SLICE_ROWS * SLICE_ROWS;
    return n ? n : SLICE_ROWS;
}

struct sizes { size_t weights, cols, bytes, importance, tensors; uint64_t gptq; };

static size_t row_bytes(int type, size_t cols)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f && cols % f->block == 0 ? qs_format_row_bytes(f, cols) : 0;
}

static void size_tensor(const struct qs_collect_args *a, size_t tensor, struct sizes *z)
{
    const struct qs_tensor *t = &qs_engine_model(a->engine)->tensor[tensor];
    const size_t cols = (size_t)t->ne[0], all = (size_t)t->ne[1];
    const size_t rows = slice_rows(cols) < all ? slice_rows(cols) : all;
    const unsigned threads = qs_pool_threads(a->pool);
    const uint64_t gptq = qs_gptq_need(cols, rows, threads) + qs_hessian_energy_need(cols, rows, threads);
    z->weights = rows * cols > z->weights ? rows * cols : z->weights;
    z->cols = cols > z->cols ? cols : z->cols;
    z->gptq = gptq > z->gptq ? gptq : z->gptq;
    for (size_t i = 0; i < a->n_types; i++)
        z->bytes = rows * row_bytes(a->type[i], cols) > z->bytes ? rows * row_bytes(a->type[i], cols) : z->bytes;
}

static struct sizes sizes_of(const struct qs_collect_args *a)
{
    struct sizes z = { 0 };
    size_t tensors = 0;
    for (size_t i = 0; i < a->inputs->n; i++) {
        const struct qs_input *in = &a->inputs->input[i];
        tensors = in->n_tensors + (i && in[-1].layer == in->layer ? tensors : 0);
        z.tensors = tensors > z.tensors ? tensors : z.tensors;
        z.importance = in->experts * in->cols > z.importance ? in->experts * in->cols : z.importance;
        for (size_t k = 0; k < in->n_tensors; k++)
            size_tensor(a, in->tensor[k], &z);
    }
    return z;
}

uint64_t qs_errors_need(const struct qs_collect_args *a)
{
    const struct sizes z = sizes_of(a);
    if (a->n_types == 0)
        return 0;
    return sizeof(struct qs_errors) + (2 * z.weights + z.importance) * sizeof(float) + z.bytes + z.gptq +
           qs_encoder_memory(qs_pool_threads(a->pool), z.cols) +
           z.tensors * (sizeof(struct sums) + a->n_types * sizeof(struct cost));
}

/* ---- life ---- */

int qs_errors_new(const struct qs_collect_args *a, struct qs_errors **out, struct qs_err *e)
{
    const struct sizes z = sizes_of(a);
    struct qs_errors *x = qs_calloc(1, sizeof *x);
    if (!x)
        return qs_fail_mem(e, sizeof *x, "errors of types");
    x->a = a;
    x->cap = z.tensors;
    x->w = qs_malloc(z.weights * sizeof *x->w);
    x->d = qs_malloc(z.weights * sizeof *x->d);
    x->bytes = qs_malloc(z.bytes);
    x->importance = qs_malloc(z.importance * sizeof *x->importance);
    x->sums = qs_calloc(z.tensors, sizeof *x->sums);
    x->cost = qs_calloc(z.tensors, a->n_types * sizeof *x->cost);
    int rc = x->w && x->d && x->bytes && x->importance && x->sums && x->cost
                 ? qs_encoder_new(a->pool, z.cols, &x->encoder, e)
                 : qs_fail_mem(e, qs_errors_need(a), "errors of types");
    if (rc == QS_OK)
        *out = x;
    else
        qs_errors_free(x);
    return rc;
}

void qs_errors_free(struct qs_errors *x)
{
    if (!x)
        return;
    qs_encoder_free(x->encoder);
    qs_free(x->w);
    qs_free(x->d);
    qs_free(x->bytes);
    qs_free(x->importance);
    qs_free(x->sums);
    qs_free(x->cost);
    qs_free(x);
}

static uint64_t tensor_weights(const struct qs_errors *x, size_t tensor)
{
    return qs_engine_model(x->a->engine)->tensor[tensor].n;
}

void qs_errors_begin(struct qs_errors *x, size_t layer, enum qs_half half, uint64_t steps)
{
    x->n = 0;
    x->weights = x->did = x->told = 0;
    x->steps = steps;
    for (size_t i = 0; i < x->a->inputs->n; i++) {
        const struct qs_input *in = &x->a->inputs->input[i];
        for (size_t k = 0; (size_t)in->layer == layer && qs_point_half(in->point) == half && k < in->n_tensors; k++)
            x->weights += tensor_weights(x, in->tensor[k]);
    }
}

static struct sums *sums_of(struct qs_errors *x, size_t tensor)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->sums[i].tensor == tensor)
            return &x->sums[i];
    struct sums *s = &x->sums[x->n];
    *s = (struct sums){ .tensor = tensor, .cost = x->cost + x->n * x->a->n_types };
    memset(s->cost, 0, x->a->n_types * sizeof *s->cost);
    x->n++;
    return s;
}

/* n weights have been through all types. */
static int tell(struct qs_errors *x, uint64_t n, struct qs_job *job, struct qs_err *e)
{
    x->did += n;
    const uint64_t now = x->weights ? (uint64_t)((double)x->steps * ((double)x->did / (double)x->weights)) : 0;
    const uint64_t more = now > x->told ? now - x->told : 0;
    x->told += more;
    return qs_job_step(job, more, e);
}

/* ---- one slice ---- */

struct slice {
    const struct qs_collect_slot *slot;
    const struct qs_gptq_factor *factor;  /* NULL: there is none */
    const struct qs_weight *weight;
    struct qs_imatrix_entry importance;
    uint64_t row;                         /* of the tensor */
    size_t rows, cols;
};

struct differ { const struct qs_errors *x; const struct slice *s; const struct qs_format *f; };

static void differ_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct differ *g = ctx;
    const size_t cols = g->s->cols, bytes = qs_format_row_bytes(g->f, cols);
    const struct qs_const_parts made = { .p = { g->x->bytes + begin * bytes } };
    float *d = g->x->d + begin * cols;
    const float *w = g->x->w + begin * cols;
    (void)thread;
    qs_format_ops(g->f->id)->decode(&made, end - begin, cols, d, cols);
    for (size_t i = 0; i < (end - begin) * cols; i++)
        d[i] -= w[i];
}

/* Energy of rows of weights or of their errors, under both Hessians, times what they were made of. */
static int energies(const struct slice *s, const float *d, double *fit, double *held, struct qs_err *e)
{
    const struct qs_hessian *h = s->slot->fit, *t = s->slot->held;
    int rc = qs_hessian_energy(h, d, s->rows, fit, e);
    *fit *= (double)h->rows;
    *held = 0;
    if (rc == QS_OK && t && t->rows) {
        rc = qs_hessian_energy(t, d, s->rows, held, e);
        *held *= (double)t->rows;
    }
    return rc;
}

/* bytes become rows of the type; QS_EUNSUPPORTED: not in this way. */
static int encode(struct qs_errors *x, const struct slice *s, int type, enum way way, struct qs_job *job, struct qs_err *e)
{
    const struct qs_collect_args *a = x->a;
    if (way == WAY_IMATRIX)
        return qs_encode_rows(x->encoder, a->prio, s->weight, s->row, s->rows, type, &s->importance, x->bytes, NULL, NULL,
                              e);
    if (!s->factor || !qs_lattice_of(type))
        return QS_EUNSUPPORTED;
    struct qs_gptq_result result;
    const struct qs_gptq_args g = { .h = s->slot->fit, .factor = s->factor, .type = type,
                                    .importance = s->importance.value + s->slot->expert * s->cols, .sweeps = a->sweeps,
                                    .pool = a->pool, .prio = a->prio };
    return qs_gptq_encode(&g, x->w, s->rows, s->cols, x->bytes, &result, job, e);
}

static int measure_type(struct qs_errors *x, const struct slice *s, int type, struct cost *c, struct qs_job *job,
                        struct qs_err *e)
{
    double fit = 0, held = 0;
    for (int way = 0; way < WAYS; way++) {
        const double start = qs_now();
        int rc = encode(x, s, type, (enum way)way, job, e);
        const bool other = way != WAY_IMATRIX && rc == QS_EUNSUPPORTED; /* counts as it was encoded before */
        if (!other && rc != QS_OK)
            return rc;
        if (!other) {
            struct differ g = { x, s, qs_format_by_id(type) };
            qs_pool_run(x->a->pool, x->a->prio, s->rows, 16, differ_rows, &g);
            c->seconds[way] += qs_now() - start;
            c->made[way] = true;
            rc = energies(s, x->d, &fit, &held, e);
        }
        c->fit[way] += fit;
        c->held[way] += held;
        if (!other && rc == QS_OK)
            rc = qs_job_step(job, 0, e);
        if (!other && rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

static bool can_have(const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f && f->n_components == 1 && !(f->flags & (QS_NO_ENCODE | QS_INTERNAL)) && t->ne[0] % f->block == 0;
}

static int measure_slice(struct qs_errors *x, const struct slice *s, const struct qs_tensor *t, struct sums *sums,
                         struct qs_job *job, struct qs_err *e)
{
    double fit = 0, held = 0;
    int rc = qs_weight_decode(s->weight, s->row, s->rows, x->w, e);
    if (rc == QS_OK)
        rc = energies(s, x->w, &fit, &held, e);
    if (rc != QS_OK)
        return rc;
    if (!isfinite(fit) || !isfinite(held)) {
        sums->unfit = true;
        return QS_OK;
    }
    sums->fit += fit;
    sums->held += held;
    for (size_t i = 0; rc == QS_OK && fit > 0 && i < x->a->n_types; i++)
        if (can_have(t, x->a->type[i]))
            rc = measure_type(x, s, x->a->type[i], &sums->cost[i], job, e);
    return rc;
}

/* ---- a slot ---- */

/* As a file of statistics has it: means of squares, in single precision; an expert without a row is not asked for. */
static void fill_importance(struct qs_errors *x, const struct qs_collect_slot *s, struct qs_imatrix_entry *out)
{
    const struct qs_input_stats *t = s->stats;
    const float rows = (float)t->count[s->expert];
    float *to = x->importance + s->expert * t->cols;
    for (size_t j = 0; j < t->cols; j++)
        to[j] = (float)t->sum2[s->expert * t->cols + j] / rows;
    *out = (struct qs_imatrix_entry){ .value = x->importance, .n = t->experts * t->cols, .experts = (unsigned)t->experts,
                                      .count = (double)rows };
}

static int measure_tensor(struct qs_errors *x, struct slice *s, size_t tensor, struct qs_job *job, struct qs_err *e)
{
    const struct qs_tensor *t = &qs_engine_model(x->a->engine)->tensor[tensor];
    struct sums *sums = sums_of(x, tensor);
    const uint64_t rows = t->ne[1], first = s->slot->expert * rows;
    const size_t most = slice_rows(s->cols);
    int rc = QS_OK;
    s->weight = qs_engine_weight(x->a->engine, tensor);
    qs_calib_watch_tensor_state(x->a->watch, tensor, QS_CALIB_ENCODING);
    for (uint64_t at = 0; rc == QS_OK && at < rows; at += most) {
        s->row = first + at;
        s->rows = rows - at < most ? (size_t)(rows - at) : most;
        if (!sums->unfit)
            rc = measure_slice(x, s, t, sums, job, e);
        if (rc == QS_OK)
            rc = tell(x, s->rows * s->cols, job, e);
    }
    return rc;
}

int qs_errors_slot(struct qs_errors *x, const struct qs_collect_slot *slot, struct qs_job *job, struct qs_err *e)
{
    const struct qs_input *in = slot->input;
    struct slice s = { .slot = slot, .cols = in->cols };
    struct qs_gptq_factor *factor = NULL;
    struct qs_gptq_factor_facts facts;
    const struct qs_gptq_factor_args args = { 0 };
    int rc = QS_OK;
    if (slot->fit->rows == 0) { /* an expert that no row was sent through: nothing can be said of it */
        for (size_t k = 0; rc == QS_OK && k < in->n_tensors; k++)
            rc = tell(x, tensor_weights(x, in->tensor[k]) / in->experts, job, e);
        return rc;
    }
    for (size_t k = 0; k < in->n_tensors; k++)
        qs_calib_watch_tensor_state(x->a->watch, in->tensor[k], QS_CALIB_FACTORING);
    fill_importance(x, slot, &s.importance);
    rc = qs_gptq_factor_new(slot->fit, &args, &factor, &facts, e);
    if (rc == QS_OK)
        s.factor = factor;
    else if (rc == QS_EINVAL)
        rc = QS_OK;
    for (size_t k = 0; rc == QS_OK && k < in->n_tensors; k++)
        rc = measure_tensor(x, &s, in->tensor[k], job, e);
    qs_gptq_factor_free(factor);
    return rc;
}

/* ---- what came of it ---- */

int qs_errors_shown(const struct qs_collect_args *a)
{
    for (size_t i = 0; i < a->n_types; i++)
        if (a->type[i] == QS_Q4_K)
            return QS_Q4_K;
    return a->n_types ? a->type[0] : QS_TYPE_NONE;
}

static int put_type(struct qs_errors *x, const struct sums *s, size_t type, struct qs_statistics *to, struct qs_err *e)
{
    const char *name = qs_engine_model(x->a->engine)->tensor[s->tensor].name;
    const struct cost *c = &s->cost[type];
    int rc = QS_OK;
    for (int way = 0; rc == QS_OK && way < WAYS; way++) {
        if (!c->made[way] || !(s->fit > 0) || !isfinite(c->fit[way]) || !isfinite(c->held[way]))
            continue;
        const double fitted = sqrt(fmax(c->fit[way], 0) / s->fit);
        const double error = s->held > 0 ? sqrt(fmax(c->held[way], 0) / s->held) : fitted;
        const struct qs_error_cell cell = { (char *)name, x->a->type[type], method_of[way], error, fitted, c->seconds[way] };
        rc = qs_statistics_put_error(to, &cell, e);
    }
    return rc;
}

int qs_errors_put(struct qs_errors *x, const struct qs_input *in, struct qs_statistics *to, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t k = 0; rc == QS_OK && k < in->n_tensors; k++) {
        const struct sums *s = sums_of(x, in->tensor[k]);
        for (size_t i = 0; rc == QS_OK && !s->unfit && i < x->a->n_types; i++)
            rc = put_type(x, s, i, to, e);
    }
    return rc;
}
