/* stats.c - owns the chunks and channels of one tensor's distribution; see stats.h for what is measured and how.
 *
 * The first look takes moments, extremes and the largest weight of each channel. A second one counts weights beyond 6
 * standard deviations, in just those chunks that have any; the search for outliers (outliers.h) takes up to
 * QS_OUTLIER_LOOKS more where a channel stands out. A tensor without either is read once.
 */
#include "core/quant/stats.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/outliers.h"
#include "core/quant/stats_pass.h"

#define LANES 4
#define LATER_LOOKS (1 + QS_OUTLIER_LOOKS)

struct moments { double n, mean, m2, m3, m4; };

struct chunk {
    struct moments m;
    double min, max;
    uint64_t zeros, nan, inf, beyond;
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

/* ---- looks --------------------------------------------------------------------------------------------------- */

struct stats {
    struct qs_pass pass;
    struct chunk *chunk;
    float *chunk_max;            /* largest weight of each */
    float *row_all, *col_all;    /* largest weight of each row and column; */
    float *row_rest, *col_rest;  /* outside of outlier columns, outside of outlier rows */
    float *sorted;               /* room for as many as there are rows or columns */
    double low, high;            /* 6 standard deviations from the mean */
};

static void read_all(void *ctx, uint64_t i, const float *x, float *col_max)
{
    const struct stats *t = ctx;
    struct chunk *const c = &t->chunk[i];
    const size_t rows = qs_pass_chunk_rows(&t->pass, i), cols = t->pass.cols;
    count_and_sum(x, rows * cols, c);
    central_moments(x, rows * cols, &c->m);
    channel_maxima(x, rows, cols, t->row_all + i * t->pass.rows_per_chunk, col_max);
    t->chunk_max[i] = c->m.n > 0 ? (float)fmax(-c->min, c->max) : 0; /* both came from floats */
}

static bool has_none_beyond(const void *ctx, uint64_t i)
{
    const struct stats *t = ctx;
    return t->chunk[i].min >= t->low && t->chunk[i].max <= t->high;
}

static void count_beyond(void *ctx, uint64_t i, const float *x, float *col_max)
{
    const struct stats *t = ctx;
    const size_t n = qs_pass_chunk_rows(&t->pass, i) * t->pass.cols;
    (void)col_max;
    for (size_t k = 0; k < n; k++)
        t->chunk[i].beyond += isfinite(x[k]) && (x[k] < t->low || x[k] > t->high);
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

/* ---- the result ---------------------------------------------------------------------------------------------- */

/* The channels with the largest weights, worst first, the lower index first among equals; outliers as far as there is
 * room. Returns how many are outliers. */
static uint64_t worst_channels(const float *v, float *sorted, size_t n, struct qs_worst out[QS_WORST], unsigned *n_out)
{
    const double median = qs_outlier_yardstick(v, sorted, n);
    uint64_t outliers = 0;
    unsigned k = 0;
    for (size_t i = 0; i < n; i++) {
        outliers += qs_outlier_stands_out(v[i], median);
        if (k == QS_WORST && !((double)v[i] > out[k - 1].max_abs))
            continue;
        unsigned at = k < QS_WORST ? k++ : k - 1;
        for (; at > 0 && (double)v[i] > out[at - 1].max_abs; at--)
            out[at] = out[at - 1];
        out[at] = (struct qs_worst){ .index = i, .max_abs = v[i] };
    }
    for (unsigned i = 0; i < k; i++)
        out[i].ratio = median > 0 ? out[i].max_abs / median : out[i].max_abs > 0 ? (double)INFINITY : 1;
    const uint64_t keep = outliers > QS_WORST_LEAST ? outliers : QS_WORST_LEAST;
    *n_out = k < keep ? k : (unsigned)keep;
    memset(out + *n_out, 0, (QS_WORST - *n_out) * sizeof *out);
    return outliers;
}

static void finish(const struct stats *t, struct qs_survey_stats *s)
{
    for (uint64_t i = 0; i < t->pass.n_chunks; i++)
        s->beyond6 += (double)t->chunk[i].beyond;
    const double finite = (double)(s->n - s->nan - s->inf);
    s->beyond6 = finite > 0 ? s->beyond6 / finite : 0;
    s->outlier_cols = worst_channels(t->col_rest, t->sorted, t->pass.cols, s->col, &s->n_cols_worst);
    s->outlier_rows = worst_channels(t->row_rest, t->sorted, (size_t)t->pass.rows, s->row, &s->n_rows_worst);
    s->col_ratio = s->n_cols_worst ? s->col[0].ratio : 0;
    s->row_ratio = s->n_rows_worst ? s->row[0].ratio : 0;
    s->known = true;
}

static void join_chunks(const struct stats *t, struct qs_survey_stats *s)
{
    struct moments m = { 0 };
    double min = INFINITY, max = -INFINITY;
    for (uint64_t i = 0; i < t->pass.n_chunks; i++) {
        const struct chunk *c = &t->chunk[i];
        merge(&m, &c->m);
        min = c->min < min ? c->min : min;
        max = c->max > max ? c->max : max;
        s->zeros += c->zeros;
        s->nan += c->nan;
        s->inf += c->inf;
    }
    s->n = t->pass.rows * t->pass.cols;
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

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static int measure(struct stats *t, struct qs_survey_stats *out, struct qs_err *e)
{
    struct qs_pass *const p = &t->pass;
    const uint64_t n = p->rows * p->cols, later = n / 2 / LATER_LOOKS;
    const struct qs_channels channels = { t->row_all, t->col_all, t->row_rest, t->col_rest };
    int rc = qs_pass_look(p, NULL, read_all, t, n / 2, e);
    if (rc)
        return rc;
    qs_pass_join_columns(p, t->col_all);
    join_chunks(t, out);
    t->low = out->mean - 6 * out->sd;
    t->high = out->mean + 6 * out->sd;
    if (out->min < t->low || out->max > t->high)
        rc = qs_pass_look(p, has_none_beyond, count_beyond, t, later, e);
    if (!rc)
        rc = qs_outliers_find(p, t->chunk_max, &channels, later, e);
    if (!rc)
        rc = qs_job_step(p->job, n - p->counted, e); /* the looks that were not needed */
    if (rc)
        return rc;
    finish(t, out);
    return qs_weight_intact(p->w, e);
}

static int allocate(struct stats *t, struct qs_err *e)
{
    const struct qs_pass *p = &t->pass;
    const size_t rows = (size_t)p->rows, most = rows > p->cols ? rows : p->cols;
    t->row_all = qs_calloc(rows, sizeof *t->row_all);
    t->row_rest = qs_calloc(rows, sizeof *t->row_rest);
    t->col_all = qs_calloc(p->cols, sizeof *t->col_all);
    t->col_rest = qs_calloc(p->cols, sizeof *t->col_rest);
    t->sorted = qs_calloc(most, sizeof *t->sorted);
    t->chunk = qs_calloc((size_t)p->n_chunks, sizeof *t->chunk);
    t->chunk_max = qs_calloc((size_t)p->n_chunks, sizeof *t->chunk_max);
    if (t->row_all && t->row_rest && t->col_all && t->col_rest && t->sorted && t->chunk && t->chunk_max)
        return QS_OK;
    return qs_fail_mem(e, most * sizeof *t->sorted, "the channels of a distribution");
}

int qs_stats_run(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_survey_stats *out,
                 struct qs_err *e)
{
    struct stats t = { .chunk = NULL };
    *out = (struct qs_survey_stats){ 0 };
    int rc = qs_pass_open(&t.pass, w, pool, job, e);
    if (!rc)
        rc = allocate(&t, e);
    if (!rc)
        rc = measure(&t, out, e);
    qs_pass_close(&t.pass);
    qs_free(t.row_all);
    qs_free(t.row_rest);
    qs_free(t.col_all);
    qs_free(t.col_rest);
    qs_free(t.sorted);
    qs_free(t.chunk);
    qs_free(t.chunk_max);
    return rc;
}

/* ---- the mean square alone ----------------------------------------------------------------------------------- */

struct squares { const struct qs_pass *p; struct square_sum { double sum; uint64_t n; } *chunk; };

static void sum_squares(void *ctx, uint64_t i, const float *x, float *col_max)
{
    const struct squares *q = ctx;
    const size_t n = qs_pass_chunk_rows(q->p, i) * q->p->cols;
    double sum[LANES] = { 0 };
    (void)col_max;
    for (size_t k = 0; k < n; k++) {
        const double v = x[k];
        if (!isfinite(v))
            continue;
        sum[k % LANES] += v * v;
        q->chunk[i].n++;
    }
    q->chunk[i].sum = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

int qs_stats_mean_square(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, bool counted, double *out,
                         struct qs_err *e)
{
    struct qs_pass p;
    struct squares q = { .p = &p };
    struct square_sum total = { 0 };
    int rc = qs_pass_open(&p, w, pool, job, e);
    if (!rc && !(q.chunk = qs_calloc((size_t)p.n_chunks, sizeof *q.chunk)))
        rc = qs_fail_mem(e, p.n_chunks * sizeof *q.chunk, "sums of squares");
    if (!rc)
        rc = qs_pass_look(&p, NULL, sum_squares, &q, counted ? p.rows * p.cols : 0, e);
    for (uint64_t i = 0; !rc && i < p.n_chunks; i++) {
        total.sum += q.chunk[i].sum;
        total.n += q.chunk[i].n;
    }
    *out = total.n ? total.sum / (double)total.n : (double)NAN;
    qs_pass_close(&p);
    qs_free(q.chunk);
    return rc ? rc : qs_weight_intact(w, e);
}
