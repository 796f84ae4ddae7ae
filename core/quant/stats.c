/* stats.c - owns the scratch of one pass over a tensor; see stats.h for what is measured and how.
 *
 * Work items are chunks of whole rows whose size depends on the row length alone. Every chunk and every row has its own
 * place for results; column maxima are kept per thread and joined by max, which does not care about order.
 */
#include "core/quant/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_WEIGHTS 32768
#define SLICE_WEIGHTS (1u << 20) /* of one region of the pool, and between two looks at the job: some ms */
#define LANES 4

struct moments { double n, mean, m2, m3, m4; };

struct chunk {
    struct moments m;
    double min, max;
    uint64_t zeros, nan, inf, beyond;
};

struct pass {
    const struct qs_weight *w;
    const struct qs_format_ops *ops;
    size_t cols;
    uint64_t rows, rows_per_chunk, n_chunks;
    uint64_t first_chunk, slice; /* chunks of one region of the pool */
    size_t per_thread;      /* floats of scratch per thread: decoded rows, column maxima */
    float *scratch;
    float *row_max;
    struct chunk *chunk;
    double low, high;       /* second look */
};

/* ---- one chunk ----------------------------------------------------------------------------------------------- */

static void count_and_sum(const float *x, size_t n, struct chunk *c)
{
    double sum[LANES] = { 0 };
    uint64_t finite = 0;
    c->min = INFINITY;
    c->max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        const double v = x[i];
        if (!isfinite(v)) {
            c->nan += isnan(v) != 0;
            c->inf += isnan(v) == 0;
            continue;
        }
        finite++;
        sum[i % LANES] += v;
        c->zeros += !(v < 0 || v > 0);
        c->min = v < c->min ? v : c->min;
        c->max = v > c->max ? v : c->max;
    }
    c->m.n = (double)finite;
    c->m.mean = finite ? ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (double)finite : 0;
}

static void central_moments(const float *x, size_t n, struct moments *m)
{
    double m1[LANES] = { 0 }, m2[LANES] = { 0 }, m3[LANES] = { 0 }, m4[LANES] = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        const double d = x[i] - m->mean, d2 = d * d;
        const size_t l = i % LANES;
        m1[l] += d;
        m2[l] += d2;
        m3[l] += d2 * d;
        m4[l] += d2 * d2;
    }
    const double rest = (m1[0] + m1[1]) + (m1[2] + m1[3]); /* what rounding left of the mean */
    m->m2 = (m2[0] + m2[1]) + (m2[2] + m2[3]);
    m->m3 = (m3[0] + m3[1]) + (m3[2] + m3[3]);
    m->m4 = (m4[0] + m4[1]) + (m4[2] + m4[3]);
    if (m->n > 0)
        m->m2 -= rest * rest / m->n;
}

static void channel_maxima(const float *x, size_t rows, size_t cols, float *row_max, float *col_max)
{
    for (size_t r = 0; r < rows; r++, x += cols) {
        float most = 0;
        for (size_t c = 0; c < cols; c++) {
            const float a = fabsf(x[c]);
            if (!isfinite(a))
                continue;
            most = a > most ? a : most;
            col_max[c] = a > col_max[c] ? a : col_max[c];
        }
        row_max[r] = most;
    }
}

static size_t chunk_rows(const struct pass *p, uint64_t chunk)
{
    const uint64_t first = chunk * p->rows_per_chunk, left = p->rows - first;
    return (size_t)(left < p->rows_per_chunk ? left : p->rows_per_chunk);
}

static const float *chunk_weights(const struct pass *p, uint64_t chunk, float *x)
{
    const struct qs_const_parts from = qs_weight_row(p->w, chunk * p->rows_per_chunk);
    p->ops->decode(&from, chunk_rows(p, chunk), p->cols, x, p->cols);
    return x;
}

static void first_look(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct pass *p = ctx;
    float *const x = p->scratch + thread * p->per_thread, *const col_max = x + p->rows_per_chunk * p->cols;
    for (uint64_t i = p->first_chunk + begin; i < p->first_chunk + end; i++) {
        const size_t rows = chunk_rows(p, i);
        chunk_weights(p, i, x);
        count_and_sum(x, rows * p->cols, &p->chunk[i]);
        central_moments(x, rows * p->cols, &p->chunk[i].m);
        channel_maxima(x, rows, p->cols, p->row_max + i * p->rows_per_chunk, col_max);
    }
}

static void second_look(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct pass *p = ctx;
    float *const x = p->scratch + thread * p->per_thread;
    for (uint64_t i = p->first_chunk + begin; i < p->first_chunk + end; i++) {
        struct chunk *const c = &p->chunk[i];
        if (c->min >= p->low && c->max <= p->high)
            continue;
        const size_t n = chunk_rows(p, i) * p->cols;
        chunk_weights(p, i, x);
        for (size_t k = 0; k < n; k++)
            c->beyond += isfinite(x[k]) && (x[k] < p->low || x[k] > p->high);
    }
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

static void merge(struct moments *a, const struct moments *b)
{
    if (!(b->n > 0))
        return;
    if (!(a->n > 0)) {
        *a = *b;
        return;
    }
    const double na = a->n, nb = b->n, n = na + nb, d = b->mean - a->mean, d2 = d * d;
    a->m4 += b->m4 + d2 * d2 * na * nb * (na * na - na * nb + nb * nb) / (n * n * n) +
             6 * d2 * (na * na * b->m2 + nb * nb * a->m2) / (n * n) + 4 * d * (na * b->m3 - nb * a->m3) / n;
    a->m3 += b->m3 + d2 * d * na * nb * (na - nb) / (n * n) + 3 * d * (na * b->m2 - nb * a->m2) / n;
    a->m2 += b->m2 + d2 * na * nb / n;
    a->mean += d * nb / n;
    a->n = n;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The channels with the largest weights, worst first, the lower index first among equals. Sorts v afterwards for its
 * median. */
static unsigned worst_channels(float *v, size_t n, struct qs_worst out[QS_WORST])
{
    unsigned k = 0;
    for (size_t i = 0; i < n; i++) {
        if (k == QS_WORST && !((double)v[i] > out[k - 1].max_abs))
            continue;
        unsigned at = k < QS_WORST ? k++ : k - 1;
        for (; at > 0 && (double)v[i] > out[at - 1].max_abs; at--)
            out[at] = out[at - 1];
        out[at] = (struct qs_worst){ .index = i, .max_abs = v[i] };
    }
    qsort(v, n, sizeof *v, by_value);
    const double median = n ? ((double)v[(n - 1) / 2] + (double)v[n / 2]) / 2 : 0;
    for (unsigned i = 0; i < k; i++)
        out[i].ratio = median > 0 ? out[i].max_abs / median : out[i].max_abs > 0 ? (double)INFINITY : 1;
    return k;
}

static void finish(struct pass *p, unsigned threads, struct qs_survey_stats *s)
{
    float *col = p->scratch + p->rows_per_chunk * p->cols;
    for (unsigned t = 1; t < threads; t++) {
        const float *other = p->scratch + t * p->per_thread + p->rows_per_chunk * p->cols;
        for (size_t c = 0; c < p->cols; c++)
            col[c] = other[c] > col[c] ? other[c] : col[c];
    }
    for (uint64_t i = 0; i < p->n_chunks; i++)
        s->beyond6 += (double)p->chunk[i].beyond;
    const double finite = (double)(s->n - s->nan - s->inf);
    s->beyond6 = finite > 0 ? s->beyond6 / finite : 0;
    s->n_cols_worst = worst_channels(col, p->cols, s->col);
    s->n_rows_worst = worst_channels(p->row_max, (size_t)p->rows, s->row);
    s->col_ratio = s->n_cols_worst ? s->col[0].ratio : 0;
    s->row_ratio = s->n_rows_worst ? s->row[0].ratio : 0;
    s->known = true;
}

static void join_chunks(const struct pass *p, struct qs_survey_stats *s)
{
    struct moments m = { 0 };
    double min = INFINITY, max = -INFINITY;
    for (uint64_t i = 0; i < p->n_chunks; i++) {
        const struct chunk *c = &p->chunk[i];
        merge(&m, &c->m);
        min = c->min < min ? c->min : min;
        max = c->max > max ? c->max : max;
        s->zeros += c->zeros;
        s->nan += c->nan;
        s->inf += c->inf;
    }
    s->n = p->rows * p->cols;
    if (!(m.n > 0)) {
        s->mean = s->sd = s->min = s->max = s->max_abs = s->kurtosis = s->max_sigma = NAN;
        return;
    }
    s->mean = m.mean;
    s->sd = sqrt(m.m2 > 0 ? m.m2 / m.n : 0);
    s->min = min;
    s->max = max;
    s->max_abs = fmax(fabs(min), fabs(max));
    s->kurtosis = m.m2 > 0 ? m.n * m.m4 / (m.m2 * m.m2) : (double)NAN;
    s->max_sigma = s->sd > 0 ? s->max_abs / s->sd : (double)NAN;
}

/* ---- the pass ------------------------------------------------------------------------------------------------ */

/* One look at all chunks, slice by slice; `counts`: its weights are progress. */
static int look(struct pass *p, qs_work_fn *fn, bool counts, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    int rc = QS_OK;
    for (p->first_chunk = 0; !rc && p->first_chunk < p->n_chunks; p->first_chunk += p->slice) {
        const uint64_t left = p->n_chunks - p->first_chunk, n = left < p->slice ? left : p->slice;
        qs_pool_run(pool, QS_PRIO_JOB, (size_t)n, 1, fn, p);
        const uint64_t from = p->first_chunk * p->rows_per_chunk, to = from + n * p->rows_per_chunk;
        rc = qs_job_step(job, counts ? ((to < p->rows ? to : p->rows) - from) * p->cols : 0, e);
    }
    return rc;
}

static int pass_run(struct pass *p, struct qs_pool *pool, struct qs_job *job, struct qs_survey_stats *out, struct qs_err *e)
{
    int rc = look(p, first_look, true, pool, job, e);
    if (rc)
        return rc;
    join_chunks(p, out);
    p->low = out->mean - 6 * out->sd;
    p->high = out->mean + 6 * out->sd;
    if (out->min < p->low || out->max > p->high)
        rc = look(p, second_look, false, pool, job, e);
    if (rc)
        return rc;
    finish(p, qs_pool_threads(pool), out);
    return qs_weight_intact(p->w, e);
}

int qs_stats_run(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_survey_stats *out,
                 struct qs_err *e)
{
    struct pass p = { .w = w, .cols = (size_t)w->ne[0], .rows = w->rows };
    *out = (struct qs_survey_stats){ 0 };
    p.ops = w->format ? qs_format_ops(w->format->id) : NULL;
    if (!p.ops || !p.ops->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s cannot be decoded", w->format ? w->format->name : "?");
    if (!p.cols || !p.rows)
        return qs_fail(e, QS_EFORMAT, "the tensor is empty");
    p.rows_per_chunk = p.cols >= CHUNK_WEIGHTS ? 1 : CHUNK_WEIGHTS / p.cols;
    p.slice = SLICE_WEIGHTS / (p.rows_per_chunk * p.cols);
    p.slice = p.slice ? p.slice : 1;
    p.n_chunks = (p.rows + p.rows_per_chunk - 1) / p.rows_per_chunk;
    p.per_thread = (size_t)(p.rows_per_chunk + 1) * p.cols;
    p.per_thread = (p.per_thread + 63) / 64 * 64; /* no cache line shared by two threads */
    p.scratch = qs_calloc(qs_pool_threads(pool), p.per_thread * sizeof *p.scratch);
    p.row_max = qs_calloc((size_t)p.rows, sizeof *p.row_max);
    p.chunk = qs_calloc((size_t)p.n_chunks, sizeof *p.chunk);
    int rc;
    if (!p.scratch || !p.row_max || !p.chunk)
        rc = qs_fail_mem(e, qs_pool_threads(pool) * p.per_thread * sizeof *p.scratch, "the scratch of a distribution");
    else
        rc = pass_run(&p, pool, job, out, e);
    qs_free(p.scratch);
    qs_free(p.row_max);
    qs_free(p.chunk);
    return rc;
}
