/* calibrate_tensor.c - one matrix (or expert) encoded in every way that was asked for; the one that loses least of the
 * outputs on held-out rows is taken.
 *
 * Owns the rooms of one matrix while it works. Without enough held-out rows nothing is judged, and the weighted fit
 * stands.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "core/calib/group.h"
#include "kernels/lattice.h"

#define FIT_WEIGHTS 32768                  /* that one thread fits at a time */
#define CHUNK_WEIGHTS ((size_t)16 << 20)   /* of a matrix under work */

enum { TRY_PLAIN, TRY_FIT, TRY_FIT_CORRECTED, TRY_GPTQ, TRY_HQQ, TRY_GPTQ_OWN /* of the weights as they were */ };
_Static_assert((int)TRY_GPTQ_OWN < (int)QS_TRIES, "room for all");

/* ---- the weighted fit ---- */

struct fitting { const struct qs_format *format; struct qs_rows in; uint8_t *dst, *room; size_t rows_per, per_thread; };

static void fit_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct fitting *f = ctx;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * f->rows_per, left = f->in.rows - at;
        struct qs_rows in = f->in;
        in.x += at * in.stride;
        in.rows = left < f->rows_per ? left : f->rows_per;
        const struct qs_parts to = { .p = { f->dst + at * qs_format_row_bytes(f->format, in.cols) } };
        qs_format_encode(f->format, &in, &to, f->room + thread * f->per_thread);
    }
}

int qs_calib_fit_rows(const struct qs_calibration *c, int type, const float *w, size_t rows, size_t cols,
                      const float *weight, uint8_t *dst, struct qs_err *e)
{
    struct fitting f = { .format = qs_format_by_id(type), .in = { w, rows, cols, cols, weight }, .dst = dst };
    f.rows_per = cols < FIT_WEIGHTS ? FIT_WEIGHTS / cols : 1;
    f.per_thread = (qs_format_scratch(f.format, f.rows_per, cols) + 127) / 64 * 64;
    f.room = qs_alloc_aligned(64, f.per_thread * qs_pool_threads(c->args.pool));
    if (!f.room)
        return qs_fail_mem(e, f.per_thread * qs_pool_threads(c->args.pool), "the encoders' scratch");
    qs_pool_run(c->args.pool, c->args.prio, (rows + f.rows_per - 1) / f.rows_per, 1, fit_rows, &f);
    qs_free(f.room);
    return qs_job_step(c->job, 0, e);
}

/* ---- rows under work ---- */

struct work {
    struct qs_calib_look *k;
    struct qs_calib_slice *s;
    size_t tensor, expert, rows, cols, row_bytes; /* rows of the slice */
    int type;
    size_t chunk;              /* rows at a time */
    float *w, *target;         /* chunk * cols; target: corrected, NULL: none is */
    struct qs_calib_try t[QS_TRIES];
    double norm;
};

static const struct qs_tensor *tensor_of(const struct work *x)
{
    return &qs_engine_model(x->k->c->origin)->tensor[x->tensor];
}

static bool tries(const struct work *x, int which)
{
    const struct qs_calib_methods *m = &x->k->c->args.methods;
    const struct qs_format *f = qs_format_by_id(x->type);
    const bool lattice = qs_lattice_of(x->type) != NULL, own = x->s->h && !x->s->few;
    switch (which) {
    case TRY_PLAIN: return !(f->flags & QS_NEEDS_IMATRIX) && (f->flags & QS_USES_IMATRIX);
    case TRY_FIT: return true;
    case TRY_FIT_CORRECTED: return own && m->correct;
    case TRY_GPTQ: return own && m->gptq && lattice && x->s->factor;
    default: return m->hqq && lattice && qs_lattice_of(x->type)->offset;
    }
}

static size_t chunk_rows(const struct qs_calib_look *k, size_t rows, size_t cols)
{
    const size_t n = CHUNK_WEIGHTS / cols / 128 * 128;
    return k->width || n >= rows ? rows : n < 128 ? 128 : n; /* a hidden state is pulled as a whole */
}

static int work_new(struct work *x, struct qs_err *e)
{
    static const enum qs_calib_method methods[QS_TRIES] = { QS_CALIB_PLAIN, QS_CALIB_IMATRIX, QS_CALIB_IMATRIX,
                                                            QS_CALIB_GPTQ,  QS_CALIB_HQQ,     QS_CALIB_GPTQ };
    const size_t weights = x->chunk * x->cols;
    x->w = qs_malloc(weights * sizeof *x->w);
    x->target = tries(x, TRY_FIT_CORRECTED) ? qs_malloc(weights * sizeof *x->target) : NULL;
    bool ok = x->w && (x->target || !tries(x, TRY_FIT_CORRECTED));
    for (int i = 0; ok && i < QS_TRIES; i++) {
        x->t[i].method = methods[i];
        if (i != TRY_GPTQ_OWN && tries(x, i))
            ok = (x->t[i].bytes = qs_malloc(x->rows * x->row_bytes)) != NULL;
    }
    return ok ? QS_OK : qs_fail_mem(e, weights * 2 * sizeof *x->w, "a matrix under work");
}

static void work_free(struct work *x)
{
    for (int i = 0; i < QS_TRIES; i++)
        qs_free(x->t[i].bytes);
    qs_free(x->w);
    qs_free(x->target);
}

/* Rows of the original (its engine may hold folded ones). */
static int load(const struct work *x, size_t at, size_t n, struct qs_err *e)
{
    const struct qs_weight *w = qs_engine_weight(x->k->c->origin, x->tensor);
    const size_t first = x->expert * x->rows + at;
    int rc = qs_weight_decode(w, first, n, x->w, e);
    if (!rc)
        rc = qs_weight_intact(w, e);
    for (size_t i = 0; !rc && i < n * x->cols; i++)
        if (!isfinite(x->w[i]))
            rc = qs_fail(e, QS_EFORMAT, "%s: the weight at row %zu, column %zu is %s", tensor_of(x)->name,
                         first + i / x->cols, i % x->cols, isnan(x->w[i]) ? "NaN" : "infinite");
    return rc;
}

/* *target: what is to be encoded instead of w. A correction that does not factor leaves w. */
static int correct(struct work *x, size_t n, const float **target, struct qs_err *e)
{
    const struct qs_calibration *c = x->k->c;
    struct qs_err why = QS_ERR_INIT;
    *target = x->w;
    if (!x->target)
        return QS_OK;
    const int rc = qs_gptq_correct(x->s->h, c->args.methods.damp, c->args.methods.strength, x->k->pull, x->w, n,
                                   x->target, c->args.pool, c->args.prio, &why);
    if (rc == QS_EINVAL) {
        snprintf(x->s->note, sizeof x->s->note, "not corrected: the Hessian does not factor");
        return QS_OK;
    }
    if (rc && e)
        *e = why;
    *target = x->target;
    return rc;
}

static int encode_gptq(struct work *x, const float *target, size_t n, uint8_t *dst, struct qs_err *e)
{
    const struct qs_calibration *c = x->k->c;
    const struct qs_gptq_args a = { .h = x->s->h,
                                    .factor = x->s->factor,
                                    .type = x->type,
                                    .importance = x->s->importance,
                                    .sweeps = c->args.methods.sweeps,
                                    .refits = c->args.methods.refits,
                                    .pool = c->args.pool,
                                    .prio = c->args.prio };
    struct qs_gptq_result r;
    return qs_gptq_encode(&a, target, n, x->cols, dst, &r, c->job, e);
}

/* Tries [from, to) of rows [at, at + n). */
static int encode_chunk(struct work *x, size_t at, size_t n, int from, int to, struct qs_err *e)
{
    static const struct qs_hqq_args hqq = QS_HQQ_ARGS_INIT;
    const struct qs_calibration *c = x->k->c;
    const float *target = x->w;
    double norm = 0;
    int rc = load(x, at, n, e);
    if (!rc && from < TRY_GPTQ_OWN)
        rc = correct(x, n, &target, e);
    struct qs_calib_try now[QS_TRIES] = { { .bytes = NULL } };
    for (int i = from; !rc && i < to; i++) {
        now[i] = (struct qs_calib_try){ x->t[i].method, x->t[i].bytes ? x->t[i].bytes + at * x->row_bytes : NULL, 0 };
        if (!now[i].bytes)
            continue;
        if (i == TRY_GPTQ || i == TRY_GPTQ_OWN)
            rc = encode_gptq(x, i == TRY_GPTQ ? target : x->w, n, now[i].bytes, e);
        else if (i == TRY_HQQ)
            rc = qs_hqq_encode(x->type, &hqq, x->w, n, x->cols, x->s->importance, now[i].bytes, c->args.pool,
                               c->args.prio, e);
        else
            rc = qs_calib_fit_rows(c, x->type, i == TRY_FIT_CORRECTED ? target : x->w, n, x->cols,
                                   i == TRY_PLAIN ? NULL : x->s->importance, now[i].bytes, e);
    }
    if (!rc)
        rc = qs_calib_judge(x->k, x->s, x->type, x->w, n, now, QS_TRIES, &norm, e);
    for (int i = from; !rc && i < to; i++)
        x->t[i].lost += now[i].lost;
    x->norm += from == 0 ? norm : 0;
    return rc;
}

/* ---- the choice ---- */

static int best(const struct work *x)
{
    int at = TRY_FIT;
    if (x->s->n_held < QS_HELD_LEAST || !(x->norm > 0)) /* nobody can tell */
        return x->s->h && !x->s->few && x->t[TRY_GPTQ].bytes && x->k->input->experts == 1 ? TRY_GPTQ : TRY_FIT;
    for (int i = 0; i < QS_TRIES; i++)
        if (x->t[i].bytes && x->t[i].lost < x->t[at].lost)
            at = i;
    return at;
}

static int encode_tries(struct work *x, int from, int to, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t at = 0; !rc && at < x->rows; at += x->chunk)
        rc = encode_chunk(x, at, x->rows - at < x->chunk ? x->rows - at : x->chunk, from, to, e);
    return rc;
}

/* Where too little text makes the correction lose, the weights as they were are rounded instead. */
static int try_own(struct work *x, struct qs_err *e)
{
    const int at = best(x);
    if (!x->target || !x->t[TRY_GPTQ].bytes || at == TRY_GPTQ)
        return QS_OK;
    x->t[TRY_GPTQ_OWN].bytes = qs_malloc(x->rows * x->row_bytes);
    if (!x->t[TRY_GPTQ_OWN].bytes)
        return qs_fail_mem(e, x->rows * x->row_bytes, "a matrix under work");
    return encode_tries(x, TRY_GPTQ_OWN, TRY_GPTQ_OWN + 1, e);
}

static void settle(const struct work *x, uint8_t *dst, struct qs_calib_made *made)
{
    const int at = best(x), plain = qs_format_by_id(x->type)->flags & QS_USES_IMATRIX ? TRY_PLAIN : TRY_FIT;
    const bool folded = x->k->c->trial && x->k->c->trial->folded;
    const enum qs_calib_method method = x->t[at].method;
    memcpy(dst, x->t[at].bytes, x->rows * x->row_bytes);
    made->n[!folded ? method : method == QS_CALIB_GPTQ ? QS_CALIB_AWQ_GPTQ : QS_CALIB_AWQ]++;
    made->few += x->s->few;
    if (x->s->n_held >= QS_HELD_LEAST) {
        made->norm += x->norm;
        made->lost += x->t[at].lost;
        made->before += x->t[TRY_FIT].lost;
        made->plain += x->t[plain].bytes ? x->t[plain].lost : NAN;
    }
    if (x->s->note[0])
        memcpy(made->note, x->s->note, sizeof made->note);
}

/* The factor serves all tensors on the input. */
static int factor(struct work *x, struct qs_err *e)
{
    const struct qs_calib_methods *m = &x->k->c->args.methods;
    const struct qs_gptq_factor_args a = { .damp = m->damp, .natural_order = m->natural_order };
    struct qs_gptq_factor_facts facts;
    struct qs_err why = QS_ERR_INIT;
    if (x->s->factor || x->s->note[0] || !x->s->h || x->s->few || !m->gptq || !qs_lattice_of(x->type))
        return QS_OK;
    const int rc = qs_gptq_factor_new(x->s->h, &a, &x->s->factor, &facts, &why);
    if (rc == QS_EINVAL) {
        snprintf(x->s->note, sizeof x->s->note, "GPTQ did not factor: weighted fit");
        return QS_OK;
    }
    if (rc && e)
        *e = why;
    return rc;
}

int qs_calib_encode_slice(struct qs_calib_look *k, struct qs_calib_slice *s, size_t tensor, size_t expert, uint8_t *dst,
                          struct qs_calib_made *made, struct qs_err *e)
{
    struct work x = { .k = k, .s = s, .tensor = tensor, .expert = expert, .cols = k->input->cols,
                      .type = qs_calibrate_type(k->c, tensor) };
    x.rows = (size_t)tensor_of(&x)->ne[1];
    x.row_bytes = qs_format_row_bytes(qs_format_by_id(x.type), x.cols);
    x.chunk = chunk_rows(k, x.rows, x.cols);
    int rc = factor(&x, e);
    if (!rc)
        rc = work_new(&x, e);
    if (!rc)
        rc = encode_tries(&x, 0, TRY_GPTQ_OWN, e);
    if (!rc)
        rc = try_own(&x, e);
    if (!rc)
        settle(&x, dst, made);
    work_free(&x);
    return rc;
}

uint64_t qs_calib_encode_need(const struct qs_calibration *c, const struct qs_input *in, size_t tensor)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    const struct qs_format *f = qs_format_by_id(qs_calibrate_type(c, tensor));
    const struct qs_calib_look k = { .width = in->point == QS_POINT_ATTN_OUT || in->point == QS_POINT_FFN_DOWN };
    const unsigned threads = qs_pool_threads(c->args.pool);
    const size_t cols = in->cols, rows = (size_t)t->ne[1], chunk = chunk_rows(&k, rows, cols);
    const uint64_t bytes = (uint64_t)rows * qs_format_row_bytes(f, cols);
    const uint64_t held = in->experts > 1 ? QS_HELD_EXPERT_ROWS : QS_HELD_ROWS;
    const uint64_t correct = c->args.methods.correct ? (uint64_t)cols * cols * 8 + threads * 64 * cols * 12 : 0;
    const uint64_t gptq = c->args.methods.gptq ? qs_gptq_need(cols, chunk, threads) : 0;
    const uint64_t judge = threads * 64 * (cols + 2 * held) * 4;
    const uint64_t fit = threads * (qs_format_scratch(f, cols < FIT_WEIGHTS ? FIT_WEIGHTS / cols : 1, cols) + 128);
    return (uint64_t)chunk * cols * 8 + 6 * bytes + bytes * in->experts + correct + gptq + judge + fit;
}
