/* survey.c - owns the measuring of every tensor at every type, and the table it fills.
 *
 * One tensor after the other, on all cores inside each: its distribution, then every type asked for. A sampled tensor is
 * gathered once as floats and encoded to all types from there. Results go to the cache as soon as they exist, and what
 * the cache has is not measured again, so an interrupted survey continues and a repeated one is free. Numbers depend on
 * the weights, the seed and the arguments, never on threads, order or interruption.
 */
#include "core/quant/survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "core/quant/bad_weights.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "core/quant/stats.h"
#include "core/quant/survey_cache.h"

#define DEFAULT_SAMPLE 65536
#define MIN_ROWS 8                  /* below that a standard error means little */
#define SLICE_WEIGHTS (1u << 20)    /* of a whole tensor between two looks at the job */

const char *qs_gap_text(enum qs_gap g)
{
    static const char *const text[] = {
        [QS_GAP_NONE] = "", [QS_GAP_NOT_MEASURED] = "not measured",
        [QS_GAP_SHAPE] = "rows are no multiple of the block",
        [QS_GAP_ONE_DIM] = "one-dimensional tensors are not quantized",
        [QS_GAP_NO_ENCODER] = "this type cannot be written",
        [QS_GAP_OVERFLOW] = "overflows: weights are too large for it",
    };
    return (size_t)g < sizeof text / sizeof *text ? text[g] : "?";
}

/* What one survey (or one cell) works with; scratch grows to the largest tensor met. */
struct lab {
    struct qs_pool *pool;
    struct qs_job *job;
    struct qs_encoder *encoder;
    uint64_t encoder_cols;
    uint8_t *dst;                   size_t dst_cap;
    struct qs_error_sums *per_row;  size_t per_row_cap;
    uint64_t *picked;               size_t picked_cap; /* sampled rows, ascending */
    size_t n_picked;
    struct qs_weight *source;       /* of the tensor at work */
    struct qs_weight *sample;       /* its picked rows as F32, NULL until needed */
};

static void lab_leave_tensor(struct lab *l)
{
    qs_weight_unref(l->source);
    qs_weight_unref(l->sample);
    l->source = l->sample = NULL;
}

static void lab_free(struct lab *l)
{
    lab_leave_tensor(l);
    qs_encoder_free(l->encoder);
    qs_free(l->dst);
    qs_free(l->per_row);
    qs_free(l->picked);
}

static int need_encoder(struct lab *l, uint64_t cols, struct qs_err *e)
{
    if (l->encoder && l->encoder_cols >= cols)
        return QS_OK;
    qs_encoder_free(l->encoder);
    l->encoder = NULL;
    l->encoder_cols = cols;
    return qs_encoder_new(l->pool, cols, &l->encoder, e);
}

static int need_dst(struct lab *l, const struct qs_format *f, uint64_t rows, uint64_t cols, struct qs_err *e)
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
static int pick_rows(struct lab *l, const struct qs_tensor *t, uint64_t k, uint64_t seed, struct qs_err *e)
{
    uint64_t state = qs_hash_bytes(t->name, strlen(t->name)).lo ^ next_random(&seed);
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
static int need_sample(struct lab *l, const struct qs_tensor *t, uint64_t k, uint64_t seed, struct qs_err *e)
{
    if (l->sample)
        return QS_OK;
    struct qs_parts parts = { { NULL } };
    const uint64_t ne[4] = { t->ne[0], k, 1, 1 };
    int rc = pick_rows(l, t, k, seed, e);
    if (!rc)
        rc = qs_weight_heap(qs_format_by_id(QS_F32), ne, &l->sample, &parts, e);
    for (size_t i = 0; !rc && i < l->n_picked; i++)
        rc = qs_weight_decode(l->source, l->picked[i], 1, (float *)(void *)parts.p[0] + i * t->ne[0], e);
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

static int measure_sample(struct lab *l, const struct qs_tensor *t, const struct qs_format *f,
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

static int measure_whole(struct lab *l, const struct qs_tensor *t, const struct qs_format *f,
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

/* Copied byte for byte, or as good as. */
static bool keeps(const struct qs_tensor *t, const struct qs_format *f)
{
    return f->id == t->type || (f->flags & QS_LOSSLESS_F32);
}

static uint64_t weights_to_measure(const struct qs_tensor *t, uint64_t sample_weights)
{
    const uint64_t k = sample_rows(t, sample_weights);
    return k ? k * t->ne[0] : t->n;
}

/* The weights that measuring takes; 0 when the cell's state is plain without (see out). */
static uint64_t cell_start(const struct qs_tensor *t, int type, bool weighted, uint64_t sample_weights,
                           struct qs_survey_cell *out)
{
    const struct qs_format *f = qs_format_by_id(type);
    *out = (struct qs_survey_cell){ .gap = QS_GAP_NOT_MEASURED, .error = NAN, .error_se = NAN, .max_error = NAN,
                                    .weighted = NAN, .mean_square = NAN };
    if (t->ne[0] % f->block) {
        out->gap = QS_GAP_SHAPE;
        return 0;
    }
    out->bytes = t->rows * qs_format_row_bytes(f, (size_t)t->ne[0]);
    if (keeps(t, f)) {
        *out = (struct qs_survey_cell){ .known = true, .how = QS_HOW_WHOLE, .sample = t->n, .bytes = out->bytes,
                                        .weighted = weighted ? 0 : (double)NAN, .mean_square = NAN };
        return 0;
    }
    if (t->n_dims < 2 && f->kind != QS_KIND_FLOAT)
        out->gap = QS_GAP_ONE_DIM;
    else if (!qs_format_ops(type)->fit || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
        out->gap = QS_GAP_NO_ENCODER;
    else
        return weights_to_measure(t, sample_weights);
    return 0;
}

static int measure(struct lab *l, const struct qs_model *m, const struct qs_tensor *t, int type,
                   const struct qs_imatrix_entry *imp, uint64_t sample_weights, uint64_t seed, struct qs_survey_cell *out,
                   struct qs_err *e)
{
    const uint64_t k = sample_rows(t, sample_weights), bytes = out->bytes;
    int rc = need_encoder(l, t->ne[0], e);
    if (!rc && !l->source)
        rc = qs_model_weight(m, t, &l->source, e);
    if (!rc && k)
        rc = need_sample(l, t, k, seed, e);
    if (!rc)
        rc = k ? measure_sample(l, t, qs_format_by_id(type), imp, out, e)
               : measure_whole(l, t, qs_format_by_id(type), imp, out, e);
    if (!rc)
        rc = qs_weight_intact(l->source, e);
    out->bytes = bytes;
    return rc;
}

/* The mean square alone, as a cell of the tensor's own type. counted: the job has been told of these weights. */
static int measure_square(struct lab *l, const struct qs_model *m, const struct qs_tensor *t, uint64_t sample_weights,
                          uint64_t seed, bool counted, struct qs_survey_cell *out, struct qs_err *e)
{
    const uint64_t k = sample_rows(t, sample_weights);
    double sum = 0;
    uint64_t n = 0;
    *out = (struct qs_survey_cell){ .known = true, .how = k ? QS_HOW_SAMPLED : QS_HOW_WHOLE, .weighted = NAN };
    out->sample = weights_to_measure(t, sample_weights);
    int rc = l->source ? QS_OK : qs_model_weight(m, t, &l->source, e);
    if (!rc && !k)
        return qs_stats_mean_square(l->source, l->pool, l->job, counted, &out->mean_square, e);
    if (!rc)
        rc = need_sample(l, t, k, seed, e);
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

/* ---- the table ----------------------------------------------------------------------------------------------- */

struct run {
    struct qs_model *m;
    const struct qs_survey_args *args;
    struct qs_survey *s;
    struct lab lab;
    struct qs_survey_cache *cache;
    bool *square_counted; /* per row: its mean square is measured by itself, and is in the job's total */
};

static int by_bpw(const void *a, const void *b)
{
    const struct qs_format *x = qs_format_by_id(*(const int *)a), *y = qs_format_by_id(*(const int *)b);
    const double p = qs_format_bpw(x), q = qs_format_bpw(y);
    return p < q ? -1 : p > q ? 1 : x->id < y->id ? -1 : x->id > y->id;
}

static int choose_types(const struct qs_survey_args *args, struct qs_survey *s, struct qs_err *e)
{
    const size_t most = args->types ? args->n_types : qs_format_count();
    int *type = qs_calloc(most + 1, sizeof *type);
    if (!type)
        return qs_fail_mem(e, most * sizeof *type, "a survey");
    s->type = type;
    for (size_t i = 0; i < most; i++) {
        const struct qs_format *f = args->types ? qs_format_by_id(args->types[i]) : qs_format_at(i);
        if (!f)
            return qs_fail(e, QS_EINVAL, "type number %d is unknown", args->types[i]);
        bool there = false;
        for (size_t k = 0; k < s->n_types; k++)
            there |= type[k] == f->id;
        if (there || (!args->types && ((f->flags & (QS_NO_ENCODE | QS_INTERNAL)) || !qs_format_ops(f->id)->fit)))
            continue;
        type[s->n_types++] = f->id;
    }
    qsort(type, s->n_types, sizeof *type, by_bpw);
    return QS_OK;
}

static int choose_rows(struct run *r, struct qs_err *e)
{
    struct qs_survey *s = r->s;
    struct qs_regex *re = NULL;
    int rc = r->args->match ? qs_regex_compile(r->args->match, 0, &re, e) : QS_OK;
    s->row = qs_calloc(r->m->n_tensors + 1, sizeof *s->row);
    if (!rc && !s->row)
        rc = qs_fail_mem(e, r->m->n_tensors * sizeof *s->row, "a survey");
    for (size_t i = 0; !rc && i < r->m->n_tensors; i++) {
        const struct qs_tensor *t = &r->m->tensor[i];
        if (!t->format || !qs_format_ops(t->format->id)->decode || (t->marks & (QS_TENSOR_BAD_RANGE | QS_TENSOR_BAD_SHAPE)) ||
            !t->n)
            continue;
        const int found = re ? qs_regex_find(re, t->name, strlen(t->name), 0, NULL, e) : 1;
        if (found < 0)
            rc = e && e->code ? (int)e->code : QS_ELIMIT;
        if (found != 1)
            continue;
        struct qs_survey_row *row = &s->row[s->n_rows++];
        row->tensor = t;
        row->cell = qs_calloc(s->n_types + 1, sizeof *row->cell);
        if (!row->cell)
            rc = qs_fail_mem(e, s->n_types * sizeof *row->cell, "a survey");
    }
    qs_regex_free(re);
    if (!rc && !s->n_rows && r->args->match)
        rc = qs_fail(e, QS_EINVAL, "%s: --match '%s' matches none of the %zu tensors", r->m->path,
                     r->args->match, r->m->n_tensors);
    return rc;
}

/* What a number about a tensor depends on, besides the file's content. */
static struct qs_key tensor_key(const struct qs_tensor *t)
{
    uint64_t facts[6] = { (uint64_t)t->type, t->ne[0], t->ne[1], t->ne[2], t->ne[3] };
    const struct qs_key name = qs_hash_bytes(t->name, strlen(t->name));
    facts[5] = name.lo;
    struct qs_key k = qs_hash_bytes(facts, sizeof facts);
    k.hi ^= name.hi;
    return k;
}

struct qs_cell_id qs_survey_cell_id(const struct qs_survey *s, const struct qs_tensor *t, int type)
{
    const struct qs_survey_row *row = qs_survey_row_of(s, t);
    const bool whole = !sample_rows(t, s->sample_weights);
    return (struct qs_cell_id){
        .tensor = tensor_key(t), .type = type, .method = QS_METHOD_REFERENCE,
        .statistics = row ? row->statistics : (struct qs_key){ 0, 0 }, .sample_weights = whole ? 0 : s->sample_weights,
        .seed = whole ? 0 : s->seed, .encoder = QS_ENCODER_VERSION,
    };
}

/* Of the mean square alone, which has no statistics: a cell of the tensor's own type, for that is never measured. */
static struct qs_cell_id square_id(const struct run *r, const struct qs_tensor *t)
{
    struct qs_cell_id id = qs_survey_cell_id(r->s, t, t->type);
    id.statistics = (struct qs_key){ 0, 0 };
    return id;
}

static bool wanted(const struct run *r, const struct qs_tensor *t, int type)
{
    if (!r->args->errors)
        return false;
    return !r->args->only_type || r->args->only_type[qs_model_index(r->m, t)] == type;
}

static bool needs_measuring(const struct run *r, const struct qs_survey_row *row, size_t i)
{
    const struct qs_survey_cell *c = &row->cell[i];
    return !c->known && c->gap == QS_GAP_NOT_MEASURED && wanted(r, row->tensor, r->s->type[i]);
}

/* A matrix that is kept at every type asked for is encoded nowhere: its mean square has to be measured by itself. */
static bool lacks_square(const struct run *r, const struct qs_survey_row *row)
{
    const struct qs_tensor *t = row->tensor;
    bool kept = false;
    if (r->args->stats || t->n_dims < 2)
        return false;
    for (size_t i = 0; i < r->s->n_types; i++) {
        if (!wanted(r, t, r->s->type[i]))
            continue;
        if (needs_measuring(r, row, i) || (row->cell[i].known && !keeps(t, qs_format_by_id(r->s->type[i]))))
            return false;
        kept |= row->cell[i].known;
    }
    return kept;
}

static void set_square(struct qs_survey_row *row, double mean_square, enum qs_how how)
{
    row->mean_square = mean_square;
    row->square_how = how;
}

/* From whatever was measured of the row. */
static void find_square(struct qs_survey_row *row, size_t n_types)
{
    const struct qs_survey_stats *x = &row->stats;
    if (x->known)
        set_square(row, x->sd * x->sd + x->mean * x->mean, QS_HOW_WHOLE);
    for (size_t i = 0; i < n_types && isnan(row->mean_square); i++)
        if (row->cell[i].known && !isnan(row->cell[i].mean_square))
            set_square(row, row->cell[i].mean_square, row->cell[i].how);
}

/* Fills in what needs no measuring and what the cache has; adds the weights that are to be measured in all, and those
 * that are left. */
static int start_row(struct run *r, size_t n, uint64_t *total, uint64_t *left, struct qs_err *e)
{
    struct qs_survey_row *const row = &r->s->row[n];
    const struct qs_tensor *t = row->tensor;
    const struct qs_imatrix_entry *imp;
    struct qs_survey_cell square;
    const int rc = qs_importance_for(r->args->imatrix, t, &imp, e);
    if (rc)
        return rc;
    set_square(row, NAN, QS_HOW_WHOLE);
    if (imp)
        row->statistics = r->args->imatrix->key;
    if (r->args->stats) {
        const bool have = qs_survey_cache_stats(r->cache, tensor_key(t), &row->stats);
        r->s->cells_reused += have;
        *total += t->n;
        *left += have ? 0 : t->n;
    }
    for (size_t i = 0; i < r->s->n_types; i++) {
        const uint64_t weights = cell_start(t, r->s->type[i], imp != NULL, r->s->sample_weights, &row->cell[i]);
        const struct qs_cell_id id = qs_survey_cell_id(r->s, t, r->s->type[i]);
        if (!weights || !wanted(r, t, r->s->type[i]))
            continue;
        const bool have = qs_survey_cache_cell(r->cache, &id, &row->cell[i]);
        r->s->cells_reused += have;
        *total += weights;
        *left += have ? 0 : weights;
    }
    r->square_counted[n] = lacks_square(r, row);
    if (r->square_counted[n]) {
        const struct qs_cell_id id = square_id(r, t);
        const bool have = qs_survey_cache_cell(r->cache, &id, &square);
        r->s->cells_reused += have;
        *total += weights_to_measure(t, r->s->sample_weights);
        *left += have ? 0 : weights_to_measure(t, r->s->sample_weights);
        if (have)
            set_square(row, square.mean_square, square.how);
    }
    return QS_OK;
}

/* One that turned out to be missing only now, because every type measured overflowed, is not in the job's total. */
static int run_square(struct run *r, size_t n, struct qs_err *e)
{
    struct qs_survey_row *const row = &r->s->row[n];
    const struct qs_tensor *t = row->tensor;
    const struct qs_cell_id id = square_id(r, t);
    struct qs_survey_cell c;
    if (!r->square_counted[n] && qs_survey_cache_cell(r->cache, &id, &c)) {
        set_square(row, c.mean_square, c.how);
        return QS_OK;
    }
    qs_job_item(r->lab.job, "%s", t->name);
    const int rc = measure_square(&r->lab, r->m, t, r->s->sample_weights, r->s->seed, r->square_counted[n], &c, e);
    if (rc)
        return rc;
    set_square(row, c.mean_square, c.how);
    if (!isnan(c.mean_square))
        qs_survey_cache_put_cell(r->cache, &id, &c);
    r->s->cells_measured++;
    return QS_OK;
}

static int run_row(struct run *r, size_t n, struct qs_err *e)
{
    struct qs_survey_row *const row = &r->s->row[n];
    const struct qs_tensor *t = row->tensor;
    const struct qs_imatrix_entry *imp = NULL;
    int rc = qs_importance_for(r->args->imatrix, t, &imp, e);
    if (!rc && r->args->stats && !row->stats.known) {
        qs_job_item(r->lab.job, "%s", t->name);
        rc = qs_model_weight(r->m, t, &r->lab.source, e);
        if (!rc)
            rc = qs_stats_run(r->lab.source, r->lab.pool, r->lab.job, &row->stats, e);
        if (!rc) {
            qs_survey_cache_put_stats(r->cache, tensor_key(t), &row->stats);
            r->s->cells_measured++;
        }
    }
    for (size_t i = 0; !rc && i < r->s->n_types; i++) {
        const int type = r->s->type[i];
        if (!needs_measuring(r, row, i))
            continue;
        qs_job_item(r->lab.job, "%s -> %s", t->name, qs_format_by_id(type)->name);
        rc = measure(&r->lab, r->m, t, type, imp, r->s->sample_weights, r->s->seed, &row->cell[i], e);
        if (!rc) {
            const struct qs_cell_id id = qs_survey_cell_id(r->s, t, type);
            qs_survey_cache_put_cell(r->cache, &id, &row->cell[i]);
            r->s->cells_measured++;
        }
    }
    find_square(row, r->s->n_types);
    if (!rc && isnan(row->mean_square) && lacks_square(r, row))
        rc = run_square(r, n, e);
    lab_leave_tensor(&r->lab);
    return rc;
}

/* Without a key of the model nothing is cached. */
static void open_cache(struct run *r)
{
    struct qs_key model, imatrix = { 0, 0 };
    if (r->args->no_cache || qs_model_key(r->m, &model, NULL))
        return;
    if (r->args->imatrix)
        imatrix = r->args->imatrix->key;
    r->cache = qs_survey_cache_open(model, imatrix);
}

static int run_all(struct run *r, struct qs_err *e)
{
    uint64_t total = 0, left = 0;
    int rc = choose_types(r->args, r->s, e);
    if (!rc)
        rc = choose_rows(r, e);
    if (rc)
        return rc;
    r->square_counted = qs_calloc(r->s->n_rows + 1, sizeof *r->square_counted);
    if (!r->square_counted)
        return qs_fail_mem(e, r->s->n_rows, "a survey");
    open_cache(r);
    for (size_t i = 0; !rc && i < r->s->n_rows; i++)
        rc = start_row(r, i, &total, &left, e);
    if (rc)
        return rc;
    qs_job_phase(r->lab.job, "survey", "weights", total);
    qs_job_skip(r->lab.job, total - left);
    for (size_t i = 0; !rc && i < r->s->n_rows; i++)
        rc = run_row(r, i, e);
    return rc;
}

int qs_survey_run(struct qs_model *m, const struct qs_survey_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_survey **out, struct qs_err *e)
{
    struct run r = { .m = m, .args = args, .lab = { .pool = pool, .job = job } };
    r.s = qs_calloc(1, sizeof *r.s);
    if (!r.s)
        return qs_fail_mem(e, sizeof *r.s, "a survey");
    r.s->model = m;
    r.s->sample_weights = args->whole ? 0 : args->sample_weights ? args->sample_weights : DEFAULT_SAMPLE;
    r.s->seed = args->seed;
    r.s->weighted = args->imatrix != NULL;
    r.s->errors = args->errors;
    const int rc = run_all(&r, e);
    lab_free(&r.lab);
    qs_free(r.square_counted);
    qs_survey_cache_free(r.cache);
    if (rc)
        qs_survey_free(r.s);
    else
        *out = r.s;
    return rc;
}

void qs_survey_free(struct qs_survey *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_rows; i++)
        qs_free(s->row[i].cell);
    qs_free(s->row);
    qs_free((int *)(uintptr_t)s->type);
    qs_free(s);
}

const struct qs_survey_row *qs_survey_row_of(const struct qs_survey *s, const struct qs_tensor *t)
{
    size_t low = 0, high = s->n_rows; /* rows stand in the order of the model's tensors */
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (s->row[mid].tensor < t)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n_rows && s->row[low].tensor == t ? &s->row[low] : NULL;
}

const struct qs_survey_cell *qs_survey_cell(const struct qs_survey *s, const struct qs_tensor *t, int type)
{
    const struct qs_survey_row *row = qs_survey_row_of(s, t);
    for (size_t i = 0; row && i < s->n_types; i++)
        if (s->type[i] == type)
            return &row->cell[i];
    return NULL;
}
