/* stats.c - owns the scratch of one pass over a tensor; see stats.h for what is measured and how.
 *
 * Work items are chunks of whole rows whose size depends on the row length alone. Every chunk and every row has its own
 * place for results; column maxima are kept per thread and joined by max, which does not care about order. Tensors in which
 * no row or column stands out are read once; the others once or twice more.
 */
#include "core/quant/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_WEIGHTS 32768
#define SLICE_WEIGHTS (1u << 20) /* of one region of the pool, and between two looks at the job: some ms */
#define LANES 4
#define ROUNDS 4                 /* of telling outliers from what only crosses them */
#define NEAR_RATIO 2.0           /* where no channel reaches that, none is an outlier behind others either */
#define TRIM 8                   /* the largest 1/8 of the channels is left out of the first yardstick */
#define MAX_CANDIDATES (1u << 18) /* rows or columns that stand out; beyond, all of them are named */
#define MAX_CROSSINGS (UINT64_C(1) << 27)

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
    float *row_max;         /* largest of each row outside of outlier columns, of each column outside of outlier rows; */
    float *col_max;         /* there are none at first */
    struct chunk *chunk;
    double low, high;       /* second look */
    float *sorted;          /* room for as many as there are rows or columns */
    bool *row_out, *col_out; /* outliers so far */
    struct crossing *x;     /* while it is decided which channel explains a weight */
};

/* Where the rows and columns that stand out cross: bits of [row][column], and what each has outside. */
struct crossing {
    double row_from, col_from;  /* from there on a weight makes its row, its column stand out */
    size_t n[2];                /* candidates: rows, columns */
    uint32_t *place[2];         /* of every row, column: number among the candidates + 1; 0: none */
    size_t *index[2];           /* the other way */
    uint64_t *own[2];           /* weights that stand out where no candidate crosses */
    uint64_t *left[2];          /* weights that nothing named explains */
    bool *named[2];
    size_t words;               /* of one row of bits */
    uint64_t *bits[2];          /* weights that make their row, their column stand out */
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

/* ---- outliers ------------------------------------------------------------------------------------------------ */

static double median_of(const float *v, float *sorted, size_t n)
{
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n ? ((double)sorted[(n - 1) / 2] + (double)sorted[n / 2]) / 2 : 0;
}

static bool stands_out(double largest, double median)
{
    return largest > 0 && largest >= QS_OUTLIER_RATIO * median;
}

/* Marks every weight that stands out: in the bits where candidates cross, as a count where only one of them is there. */
static void cross_look(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct pass *p = ctx;
    const struct crossing *x = p->x;
    float *const w = p->scratch + thread * p->per_thread;
    const double least = fmin(x->row_from, x->col_from);
    for (uint64_t i = p->first_chunk + begin; i < p->first_chunk + end; i++) {
        if (fmax(-p->chunk[i].min, p->chunk[i].max) < least)
            continue;
        chunk_weights(p, i, w);
        const size_t rows = chunk_rows(p, i);
        for (size_t r = 0; r < rows; r++) {
            const size_t row = (size_t)(i * p->rows_per_chunk) + r, at = x->place[0][row];
            for (size_t c = 0; c < p->cols && !p->row_out[row]; c++) {
                const double a = fabsf(w[r * p->cols + c]);
                if (!isfinite(a) || !(a > 0) || a < least || p->col_out[c])
                    continue;
                const size_t col = x->place[1][c];
                const size_t word = at && col ? (at - 1) * x->words + (col - 1) / 64 : 0;
                const uint64_t bit = at && col ? UINT64_C(1) << (col - 1) % 64 : 0;
                if (at && a >= x->row_from)
                    col ? (void)(x->bits[0][word] |= bit) : (void)x->own[0][at - 1]++;
                if (col && a >= x->col_from)
                    at ? (void)(x->bits[1][word] |= bit)
                       : (void)__atomic_add_fetch(&x->own[1][col - 1], 1, __ATOMIC_RELAXED);
            }
        }
    }
}

/* Largest of each row outside of outlier columns, of each column outside of outlier rows. */
static void left_look(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct pass *p = ctx;
    float *const x = p->scratch + thread * p->per_thread, *const col_max = x + p->rows_per_chunk * p->cols;
    for (uint64_t i = p->first_chunk + begin; i < p->first_chunk + end; i++) {
        const size_t rows = chunk_rows(p, i);
        chunk_weights(p, i, x);
        for (size_t r = 0; r < rows; r++) {
            const size_t row = (size_t)(i * p->rows_per_chunk) + r;
            float most = 0;
            for (size_t c = 0; c < p->cols; c++) {
                const float a = fabsf(x[r * p->cols + c]);
                if (!isfinite(a))
                    continue;
                most = a > most && !p->col_out[c] ? a : most;
                col_max[c] = a > col_max[c] && !p->row_out[row] ? a : col_max[c];
            }
            p->row_max[row] = most;
        }
    }
}

/* Column maxima of all threads; the threads' own are cleared for the next look. */
static void join_columns(struct pass *p, unsigned threads)
{
    memset(p->col_max, 0, p->cols * sizeof *p->col_max);
    for (unsigned t = 0; t < threads; t++) {
        float *const one = p->scratch + t * p->per_thread + p->rows_per_chunk * p->cols;
        for (size_t c = 0; c < p->cols; c++)
            p->col_max[c] = one[c] > p->col_max[c] ? one[c] : p->col_max[c];
        memset(one, 0, p->cols * sizeof *one);
    }
}

static bool has_bit(const struct crossing *x, int axis, size_t row, size_t col)
{
    return x->bits[axis][row * x->words + col / 64] >> col % 64 & 1;
}

/* Bits of candidate i of an axis whose other channel is (not) named. */
static uint64_t count_bits(const struct crossing *x, int axis, size_t i, bool named)
{
    uint64_t n = 0;
    for (size_t k = 0; k < x->n[!axis]; k++)
        n += x->named[!axis][k] == named && (axis ? has_bit(x, axis, k, i) : has_bit(x, axis, i, k));
    return n;
}

/* The candidate that explains most, then those that explain most of the rest; those that turn out not to be needed are
 * taken back. */
static void name_channels(struct crossing *x)
{
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < x->n[axis]; i++)
            x->left[axis][i] = x->own[axis][i] + count_bits(x, axis, i, false);
    for (;;) {
        int axis = 0;
        size_t at = 0;
        uint64_t most = 0;
        for (int a = 1; a >= 0; a--)
            for (size_t i = 0; i < x->n[a]; i++)
                if (!x->named[a][i] && x->left[a][i] > most) {
                    axis = a;
                    at = i;
                    most = x->left[a][i];
                }
        if (!most)
            break;
        x->named[axis][at] = true;
        for (size_t k = 0; k < x->n[!axis]; k++) /* what crosses it is explained */
            x->left[!axis][k] -= axis ? has_bit(x, 0, k, at) : has_bit(x, 1, at, k);
    }
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < x->n[axis]; i++)
            if (x->named[axis][i] && !x->own[axis][i] && !count_bits(x, axis, i, false))
                x->named[axis][i] = false;
}

static void crossing_free(struct crossing *x)
{
    for (int axis = 0; axis < 2; axis++) {
        qs_free(x->place[axis]);
        qs_free(x->index[axis]);
        qs_free(x->own[axis]);
        qs_free(x->left[axis]);
        qs_free(x->named[axis]);
        qs_free(x->bits[axis]);
    }
}

/* Channels that stand out and are not outliers yet. */
static int find_candidates(struct pass *p, int axis, struct crossing *x, double from, struct qs_err *e)
{
    const size_t n = axis ? p->cols : (size_t)p->rows;
    const float *const largest = axis ? p->col_max : p->row_max;
    const bool *const out = axis ? p->col_out : p->row_out;
    for (size_t i = 0; i < n; i++)
        x->n[axis] += !out[i] && largest[i] > 0 && (double)largest[i] >= from;
    x->place[axis] = qs_calloc(n, sizeof *x->place[axis]);
    x->index[axis] = qs_calloc(x->n[axis] + 1, sizeof *x->index[axis]);
    x->own[axis] = qs_calloc(x->n[axis] + 1, sizeof *x->own[axis]);
    x->left[axis] = qs_calloc(x->n[axis] + 1, sizeof *x->left[axis]);
    x->named[axis] = qs_calloc(x->n[axis] + 1, sizeof *x->named[axis]);
    if (!x->place[axis] || !x->index[axis] || !x->own[axis] || !x->left[axis] || !x->named[axis])
        return qs_fail_mem(e, n * sizeof *x->place[axis], "the outliers of a tensor");
    for (size_t i = 0, k = 0; i < n && k < x->n[axis]; i++)
        if (!out[i] && largest[i] > 0 && (double)largest[i] >= from) {
            x->index[axis][k] = i;
            x->place[axis][i] = (uint32_t)++k;
        }
    return QS_OK;
}

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

/* Largest weight of the median row and column. */
struct yardstick { double row, col; };

static struct yardstick yardstick_of(const struct pass *p)
{
    return (struct yardstick){ median_of(p->row_max, p->sorted, (size_t)p->rows), median_of(p->col_max, p->sorted, p->cols) };
}

static bool any_reaches(const float *v, size_t n, double from)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] > 0 && (double)v[i] >= from)
            return true;
    return false;
}

/* Marks the largest channels of an axis. */
static void trim(const float *v, float *sorted, size_t n, bool *out)
{
    median_of(v, sorted, n);
    const float from = n > TRIM ? sorted[n - n / TRIM] : INFINITY;
    for (size_t i = 0; i < n; i++)
        out[i] = v[i] >= from;
}

/* Outlier columns make every row larger, outlier rows every column: the first yardstick is taken without the largest of
 * both. The maxima stay those of everything. */
static int trimmed_yardstick(struct pass *p, struct qs_pool *pool, struct qs_job *job, struct yardstick *y, struct qs_err *e)
{
    const size_t rows = (size_t)p->rows, bytes = (rows + p->cols) * sizeof *p->row_max;
    float *all = qs_malloc(bytes);
    if (!all)
        return qs_fail_mem(e, bytes, "the outliers of a tensor");
    memcpy(all, p->row_max, rows * sizeof *all);
    memcpy(all + rows, p->col_max, p->cols * sizeof *all);
    trim(p->row_max, p->sorted, rows, p->row_out);
    trim(p->col_max, p->sorted, p->cols, p->col_out);
    const int rc = look(p, left_look, false, pool, job, e);
    join_columns(p, qs_pool_threads(pool));
    *y = yardstick_of(p);
    memcpy(p->row_max, all, rows * sizeof *all);
    memcpy(p->col_max, all + rows, p->cols * sizeof *all);
    memset(p->row_out, 0, rows * sizeof *p->row_out);
    memset(p->col_out, 0, p->cols * sizeof *p->col_out);
    qs_free(all);
    return rc;
}

/* One round: which of the channels that stand out are outliers. *more: there were any, and the largest of all rows and
 * columns have been taken again without them. Where far too many stand out nothing is decided: all of them are named. */
static int find_outliers(struct pass *p, struct yardstick y, struct qs_pool *pool, struct qs_job *job, bool *more,
                         struct qs_err *e)
{
    struct crossing x = { .row_from = QS_OUTLIER_RATIO * y.row, .col_from = QS_OUTLIER_RATIO * y.col };
    int rc = find_candidates(p, 0, &x, x.row_from, e);
    if (!rc)
        rc = find_candidates(p, 1, &x, x.col_from, e);
    *more = !rc && x.n[0] + x.n[1] > 0 && x.n[0] <= MAX_CANDIDATES && x.n[1] <= MAX_CANDIDATES &&
            (uint64_t)x.n[0] * x.n[1] <= MAX_CROSSINGS;
    x.words = (x.n[1] + 63) / 64;
    for (int axis = 0; *more && axis < 2; axis++) {
        x.bits[axis] = qs_calloc(x.n[0] * x.words + 1, sizeof *x.bits[axis]);
        if (!x.bits[axis])
            rc = qs_fail_mem(e, x.n[0] * x.words * sizeof *x.bits[axis], "the outliers of a tensor");
    }
    if (!rc && *more) {
        p->x = &x;
        rc = look(p, cross_look, false, pool, job, e);
        p->x = NULL;
    }
    if (!rc && *more) {
        name_channels(&x);
        for (int axis = 0; axis < 2; axis++)
            for (size_t i = 0; i < x.n[axis]; i++)
                (axis ? p->col_out : p->row_out)[x.index[axis][i]] = x.named[axis][i];
        rc = look(p, left_look, false, pool, job, e);
        join_columns(p, qs_pool_threads(pool));
    }
    crossing_free(&x);
    return rc;
}

/* ---- the result ---------------------------------------------------------------------------------------------- */

/* The channels with the largest weights, worst first, the lower index first among equals; outliers as far as there is
 * room. Sorts `sorted`, a copy of v, for its median. Returns how many are outliers. */
static uint64_t worst_channels(const float *v, float *sorted, size_t n, struct qs_worst out[QS_WORST], unsigned *n_out)
{
    const double median = median_of(v, sorted, n);
    uint64_t outliers = 0;
    unsigned k = 0;
    for (size_t i = 0; i < n; i++) {
        outliers += stands_out(v[i], median);
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

static void finish(struct pass *p, struct qs_survey_stats *s)
{
    for (uint64_t i = 0; i < p->n_chunks; i++)
        s->beyond6 += (double)p->chunk[i].beyond;
    const double finite = (double)(s->n - s->nan - s->inf);
    s->beyond6 = finite > 0 ? s->beyond6 / finite : 0;
    s->outlier_cols = worst_channels(p->col_max, p->sorted, p->cols, s->col, &s->n_cols_worst);
    s->outlier_rows = worst_channels(p->row_max, p->sorted, (size_t)p->rows, s->row, &s->n_rows_worst);
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
    join_columns(p, qs_pool_threads(pool));
    struct yardstick y = yardstick_of(p);
    bool more = !rc && (any_reaches(p->row_max, (size_t)p->rows, NEAR_RATIO * y.row) ||
                        any_reaches(p->col_max, p->cols, NEAR_RATIO * y.col));
    if (more)
        rc = trimmed_yardstick(p, pool, job, &y, e);
    for (int round = 0; !rc && more && round < ROUNDS; round++) {
        rc = find_outliers(p, y, pool, job, &more, e);
        y = yardstick_of(p);
    }
    if (rc)
        return rc;
    finish(p, out);
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
    p.col_max = qs_calloc(p.cols, sizeof *p.col_max);
    p.row_out = qs_calloc((size_t)p.rows, sizeof *p.row_out);
    p.col_out = qs_calloc(p.cols, sizeof *p.col_out);
    p.sorted = qs_calloc(p.rows > p.cols ? (size_t)p.rows : p.cols, sizeof *p.sorted);
    p.chunk = qs_calloc((size_t)p.n_chunks, sizeof *p.chunk);
    int rc;
    if (!p.scratch || !p.row_max || !p.col_max || !p.row_out || !p.col_out || !p.sorted || !p.chunk)
        rc = qs_fail_mem(e, qs_pool_threads(pool) * p.per_thread * sizeof *p.scratch, "the scratch of a distribution");
    else
        rc = pass_run(&p, pool, job, out, e);
    qs_free(p.scratch);
    qs_free(p.row_max);
    qs_free(p.col_max);
    qs_free(p.row_out);
    qs_free(p.col_out);
    qs_free(p.sorted);
    qs_free(p.chunk);
    return rc;
}
