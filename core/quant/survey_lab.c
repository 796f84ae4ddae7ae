/* survey_lab.c - owns the measuring of one tensor: its sample, and what every type makes of it.
 *
 * On all cores inside one tensor. A sampled tensor is gathered once as floats and encoded to all types from there.
 */
#include "core/quant/survey_lab.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/bad_weights.h"
#include "core/quant/encode.h"
#include "core/quant/stats.h"

#define MIN_ROWS 8                  /* below that a standard error means little */
#define SLICE_WEIGHTS (1u << 20)    /* of a whole tensor between two looks at the job */

struct qs_lab {
    const struct qs_model *model;
    struct qs_pool *pool;
    struct qs_job *job;
    uint64_t seed;
    struct qs_encoder *encoder;
    uint64_t encoder_cols;
    uint8_t *dst;                   size_t dst_cap;
    struct qs_error_sums *per_row;  size_t per_row_cap;
    uint64_t *picked;               size_t picked_cap; /* sampled rows, ascending */
    size_t n_picked;
    const struct qs_tensor *tensor; /* at work, NULL: none */
    struct qs_weight *source;       /* its weights */
    struct qs_weight *sample;       /* its picked rows as F32, NULL until needed */
    uint64_t sample_rows;
};

int qs_lab_new(const struct qs_model *m, uint64_t seed, struct qs_pool *pool, struct qs_job *job, struct qs_lab **out,
               struct qs_err *e)
{
    struct qs_lab *l = qs_calloc(1, sizeof *l);
    if (!l)
        return qs_fail_mem(e, sizeof *l, "a survey");
    *l = (struct qs_lab){ .model = m, .seed = seed, .pool = pool, .job = job };
    *out = l;
    return QS_OK;
}

static void leave_tensor(struct qs_lab *l)
{
    qs_weight_unref(l->source);
    qs_weight_unref(l->sample);
    l->source = l->sample = NULL;
    l->tensor = NULL;
}

void qs_lab_free(struct qs_lab *l)
{
    if (!l)
        return;
    leave_tensor(l);
    qs_encoder_free(l->encoder);
    qs_free(l->dst);
    qs_free(l->per_row);
    qs_free(l->picked);
    qs_free(l);
}

static int enter_tensor(struct qs_lab *l, const struct qs_tensor *t, struct qs_err *e)
{
    if (l->tensor == t)
        return QS_OK;
    leave_tensor(l);
    const int rc = qs_model_weight(l->model, t, &l->source, e);
    l->tensor = rc ? NULL : t;
    return rc;
}

static int need_encoder(struct qs_lab *l, uint64_t cols, struct qs_err *e)
{
    if (l->encoder && l->encoder_cols >= cols)
        return QS_OK;
    qs_encoder_free(l->encoder);
    l->encoder = NULL;
    l->encoder_cols = cols;
    return qs_encoder_new(l->pool, cols, &l->encoder, e);
}

static int need_dst(struct qs_lab *l, const struct qs_format *f, uint64_t rows, uint64_t cols, struct qs_err *e)
{
    const uint64_t bytes = rows * qs_format_row_bytes(f, (size_t)cols);
    if (!qs_grow(&l->dst, &l->dst_cap, (size_t)bytes, 1))
        return qs_fail_mem(e, bytes, "encoded rows");
    return QS_OK;
}

/* ---- the sample ---------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15)); /* SplitMix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* A number below n: high half of the 128-bit product. */
static uint64_t random_below(uint64_t *state, uint64_t n)
{
    const uint64_t r = next_random(state);
    const uint64_t low = (r & UINT32_MAX) * (n & UINT32_MAX), mid1 = (r >> 32) * (n & UINT32_MAX),
                   mid2 = (r & UINT32_MAX) * (n >> 32), carry = (low >> 32) + (mid1 & UINT32_MAX) + (mid2 & UINT32_MAX);
    return (r >> 32) * (n >> 32) + (mid1 >> 32) + (mid2 >> 32) + (carry >> 32);
}

/* Rows of a sample of about `weights` weights; 0: the whole tensor is measured. */
static uint64_t sample_rows(const struct qs_tensor *t, uint64_t weights)
{
    if (!weights)
        return 0;
    uint64_t k = weights / t->ne[0] + (weights % t->ne[0] != 0);
    k = k < MIN_ROWS ? MIN_ROWS : k;
    return k < t->rows ? k : 0;
}

/* A simple random sample without replacement, in ascending order (Knuth's algorithm S). */
static int pick_rows(struct qs_lab *l, const struct qs_tensor *t, uint64_t k, struct qs_err *e)
{
    uint64_t seed = l->seed, state = qs_hash_bytes(t->name, strlen(t->name)).lo ^ next_random(&seed);
    if (!qs_grow(&l->picked, &l->picked_cap, (size_t)k, sizeof *l->picked) ||
        !qs_grow(&l->per_row, &l->per_row_cap, (size_t)k, sizeof *l->per_row))
        return qs_fail_mem(e, k * sizeof *l->per_row, "a sample of rows");
    l->n_picked = 0;
    for (uint64_t row = 0; l->n_picked < k; row++)
        if (random_below(&state, t->rows - row) < k - l->n_picked)
            l->picked[l->n_picked++] = row;
    return QS_OK;
}

/* The k picked rows of the source as floats, taken once. */
static int need_sample(struct qs_lab *l, const struct qs_tensor *t, uint64_t k, struct qs_err *e)
{
    if (l->sample && l->sample_rows == k)
        return QS_OK;
    qs_weight_unref(l->sample);
    l->sample = NULL;
    struct qs_parts parts = { { NULL } };
    const uint64_t ne[4] = { t->ne[0], k, 1, 1 };
    int rc = pick_rows(l, t, k, e);
    if (!rc)
        rc = qs_weight_heap(qs_format_by_id(QS_F32), ne, &l->sample, &parts, e);
    for (size_t i = 0; !rc && i < l->n_picked; i++)
        rc = qs_weight_decode(l->source, l->picked[i], 1, (float *)(void *)parts.p[0] + i * t->ne[0], e);
    l->sample_rows = rc ? 0 : k; /* one cut short is made anew */
    return rc;
}

/* ---- one cell ------------------------------------------------------------------------------------------------ */

static double weighted_rms(const struct qs_error_sums *s)
{
    return s->wref2 > 0 ? sqrt(s->werr2 / s->wref2) : (double)NAN;
}

static void cell_from_sums(struct qs_survey_cell *c, const struct qs_error_sums *s, enum qs_how how)
{
    c->known = true;
    c->gap = QS_GAP_NONE;
    c->how = how;
    c->sample = s->n;
    c->error = qs_error_rms(s);
    c->error_se = 0;
    c->max_error = s->max_abs;
    c->weighted = weighted_rms(s);
    c->mean_square = s->n > s->nonfinite ? s->ref2 / (double)(s->n - s->nonfinite) : (double)NAN;
}

/* Standard error of sqrt(R), R = sum err2 / sum ref2 over a simple random sample of k of N rows: Var(R) by linearisation
 * is (1 - k/N) / k * s^2 / (mean ref2)^2 with s^2 the variance of err2 - R ref2 (Cochran, Sampling Techniques, 6.4);
 * that of its root follows by the delta method. */
static double error_se(const struct qs_error_sums *row, size_t k, uint64_t n_rows, const struct qs_error_sums *total)
{
    if (k < 2 || !(total->ref2 > 0) || !(total->err2 > 0))
        return 0;
    const double ratio = total->err2 / total->ref2, mean_ref = total->ref2 / (double)k;
    double s2 = 0;
    for (size_t i = 0; i < k; i++) {
        const double d = row[i].err2 - ratio * row[i].ref2;
        s2 += d * d;
    }
    s2 /= (double)(k - 1);
    const double unseen = 1 - (double)k / (double)n_rows;
    const double var = unseen / (double)k * s2 / (mean_ref * mean_ref);
    return sqrt(var) / (2 * sqrt(ratio));
}

/* Whether finite weights of rows that were just encoded are finite no more (per_row: their sums). A number that leaves
 * those out would look good where the result is useless. Only rows that have such weights are decoded again, to see
 * whether they had them before: one NaN makes its block NaN, and in some encoders its row, so that of a row of a block type
 * with NaN or Inf in it nothing is said here; the distribution counts those. */
static int find_overflow(const struct qs_weight *src, const struct qs_format *f, uint64_t row, size_t rows,
                         const struct qs_error_sums *per_row, bool *found, struct qs_err *e)
{
    const size_t cols = (size_t)src->ne[0];
    float *x = NULL;
    int rc = QS_OK;
    for (size_t r = 0; !rc && !*found && r < rows; r++) {
        uint64_t before = 0;
        if (!per_row[r].nonfinite)
            continue;
        if (!x && !(x = qs_malloc(cols * sizeof *x)))
            return qs_fail_mem(e, cols * sizeof *x, "a row of weights");
        rc = qs_weight_decode(src, row + r, 1, x, e);
        for (size_t c = 0; !rc && c < cols; c++)
            before += !isfinite(x[c]);
        *found = !rc && (before == 0 || (f->block == 1 && per_row[r].nonfinite > before));
    }
    qs_free(x);
    return rc;
}

static void overflows(struct qs_survey_cell *c, enum qs_how how)
{
    *c = (struct qs_survey_cell){ .gap = QS_GAP_OVERFLOW, .how = how, .error = NAN, .error_se = NAN, .max_error = NAN, .weighted = NAN,
                                  .mean_square = NAN };
}

static int measure_sample(struct qs_lab *l, const struct qs_tensor *t, const struct qs_format *f,
                          const struct qs_imatrix_entry *imp, struct qs_survey_cell *out, struct qs_err *e)
{
    struct qs_error_sums total = { 0 };
    bool overflow = false;
    int rc = need_dst(l, f, l->n_picked, t->ne[0], e);
    /* Importance weights belong to an expert: one call for the rows of each; without them one call for all. */
    for (size_t from = 0, to; !rc && from < l->n_picked; from = to) {
        const uint64_t expert = l->picked[from] / t->ne[1];
        struct qs_imatrix_entry own;
        to = l->n_picked;
        if (imp) {
            own = *imp;
            if (imp->n > t->ne[0]) {
                own.value = imp->value + expert % t->ne[2] * t->ne[0];
                own.n = (size_t)t->ne[0];
                for (to = from; to < l->n_picked && l->picked[to] / t->ne[1] == expert;)
                    to++;
            }
        }
        rc = qs_encode_rows(l->encoder, QS_PRIO_JOB, l->sample, from, to - from, f->id, imp ? &own : NULL, l->dst, &total,
                            l->per_row + from, e);
        if (!rc)
            rc = find_overflow(l->sample, f, from, to - from, l->per_row + from, &overflow, e);
    }
    if (rc)
        return rc;
    cell_from_sums(out, &total, QS_HOW_SAMPLED);
    out->error_se = error_se(l->per_row, l->n_picked, t->rows, &total);
    if (overflow || qs_bad_lost(f, total.max_abs))
        overflows(out, QS_HOW_SAMPLED);
    return qs_job_step(l->job, l->n_picked * t->ne[0], e);
}

static int measure_whole(struct qs_lab *l, const struct qs_tensor *t, const struct qs_format *f,
                         const struct qs_imatrix_entry *imp, struct qs_survey_cell *out, struct qs_err *e)
{
    struct qs_error_sums total = { 0 };
    const uint64_t slice = t->ne[0] >= SLICE_WEIGHTS ? 1 : SLICE_WEIGHTS / t->ne[0];
    bool overflow = false;
    const uint64_t most = slice < t->rows ? slice : t->rows;
    int rc = need_dst(l, f, most, t->ne[0], e);
    if (!rc && !qs_grow(&l->per_row, &l->per_row_cap, (size_t)most, sizeof *l->per_row))
        rc = qs_fail_mem(e, most * sizeof *l->per_row, "errors of rows");
    for (uint64_t row = 0; !rc && row < t->rows; row += slice) {
        const uint64_t n = t->rows - row < slice ? t->rows - row : slice;
        rc = qs_encode_rows(l->encoder, QS_PRIO_JOB, l->source, row, n, f->id, imp, l->dst, &total, l->per_row, e);
        if (!rc)
            rc = find_overflow(l->source, f, row, (size_t)n, l->per_row, &overflow, e);
        if (!rc)
            rc = qs_job_step(l->job, n * t->ne[0], e);
    }
    if (!rc)
        cell_from_sums(out, &total, QS_HOW_WHOLE);
    if (!rc && (overflow || qs_bad_lost(f, total.max_abs)))
        overflows(out, QS_HOW_WHOLE);
    return rc;
}

uint64_t qs_lab_weights(const struct qs_tensor *t, uint64_t sample_weights)
{
    const uint64_t k = sample_rows(t, sample_weights);
    return k ? k * t->ne[0] : t->n;
}

bool qs_lab_is_whole(const struct qs_tensor *t, uint64_t sample_weights)
{
    return !sample_rows(t, sample_weights);
}

int qs_lab_cell(struct qs_lab *l, const struct qs_tensor *t, int type, const struct qs_imatrix_entry *importance,
                uint64_t sample_weights, struct qs_survey_cell *out, struct qs_err *e)
{
    const uint64_t k = sample_rows(t, sample_weights), bytes = out->bytes;
    int rc = need_encoder(l, t->ne[0], e);
    if (!rc)
        rc = enter_tensor(l, t, e);
    if (!rc && k)
        rc = need_sample(l, t, k, e);
    if (!rc)
        rc = k ? measure_sample(l, t, qs_format_by_id(type), importance, out, e)
               : measure_whole(l, t, qs_format_by_id(type), importance, out, e);
    if (!rc)
        rc = qs_weight_intact(l->source, e);
    out->bytes = bytes;
    return rc;
}

int qs_lab_stats(struct qs_lab *l, const struct qs_tensor *t, struct qs_survey_stats *out, struct qs_err *e)
{
    const int rc = enter_tensor(l, t, e);
    return rc ? rc : qs_stats_run(l->source, l->pool, l->job, out, e);
}

int qs_lab_square(struct qs_lab *l, const struct qs_tensor *t, uint64_t sample_weights, bool counted,
                  struct qs_survey_cell *out, struct qs_err *e)
{
    const uint64_t k = sample_rows(t, sample_weights);
    double sum = 0;
    uint64_t n = 0;
    *out = (struct qs_survey_cell){ .known = true, .how = k ? QS_HOW_SAMPLED : QS_HOW_WHOLE, .weighted = NAN };
    out->sample = qs_lab_weights(t, sample_weights);
    int rc = enter_tensor(l, t, e);
    if (!rc && !k)
        return qs_stats_mean_square(l->source, l->pool, l->job, counted, &out->mean_square, e);
    if (!rc)
        rc = need_sample(l, t, k, e);
    if (rc)
        return rc;
    const float *x = (const float *)(const void *)l->sample->parts.p[0];
    for (uint64_t i = 0; i < out->sample; i++)
        if (isfinite(x[i])) {
            sum += (double)x[i] * (double)x[i];
            n++;
        }
    out->mean_square = n ? sum / (double)n : (double)NAN;
    rc = qs_weight_intact(l->source, e);
    return rc ? rc : qs_job_step(l->job, counted ? out->sample : 0, e);
}
