/* test_survey.c - errors against a slow recomputation, samples within their stated error, cache, resume, cancel. */
#include "tests/lib/qs_test.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/bad_weights.h"
#include "core/quant/survey.h"
#include "core/quant/survey_cache.h"
#include "core/report/report_map.h"
#include "tests/quant/made_tensors.h"

static struct made_tensor tensors[] = {
    { "token_embd.weight", { 256, 400 }, NULL },
    { "blk.0.attn_norm.weight", { 256 }, NULL },
    { "blk.0.attn_q.weight", { 256, 256 }, NULL },
    { "blk.0.ffn_down.weight", { 512, 256 }, NULL },
    { "blk.1.ffn_up_exps.weight", { 256, 96, 4 }, NULL },
    { "blk.1.odd.weight", { 96, 120 }, NULL },
};
enum { N = sizeof tensors / sizeof *tensors };

static char model_path[512];
static struct qs_pool *pool;

static struct qs_model *open_model(void)
{
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_model_open(model_path, &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

static struct qs_survey *survey(struct qs_model *m, const struct qs_survey_args *args, struct qs_pool *p)
{
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_survey_run(m, args, p, NULL, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static struct qs_survey_cell cell_at(const struct qs_survey *s, size_t row, size_t type)
{
    struct qs_survey_cell c;
    const bool known = qs_survey_cell(s, s->tensor[row], s->type[type], &c);
    assert_int_equal(known, c.known);
    return c;
}

static struct qs_survey_cell cell_of(const struct qs_survey *s, const struct qs_tensor *t, int type)
{
    struct qs_survey_cell c;
    qs_survey_cell(s, t, type, &c);
    return c;
}

static uint64_t measured(const struct qs_survey *s)
{
    return qs_survey_counts(s).measured;
}

static uint64_t reused(const struct qs_survey *s)
{
    return qs_survey_counts(s).reused;
}

static bool same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void assert_same_survey(const struct qs_survey *a, const struct qs_survey *b)
{
    assert_int_equal(a->n_tensors, b->n_tensors);
    assert_int_equal(a->n_types, b->n_types);
    for (size_t i = 0; i < a->n_tensors; i++) {
        struct qs_survey_stats p, q;
        enum qs_how how[2];
        assert_string_equal(a->tensor[i]->name, b->tensor[i]->name);
        assert_int_equal(qs_survey_stats(a, a->tensor[i], &p), qs_survey_stats(b, b->tensor[i], &q));
        assert_memory_equal(&p, &q, sizeof p);
        assert_true(same_double(qs_survey_mean_square(a, a->tensor[i], &how[0]),
                                qs_survey_mean_square(b, b->tensor[i], &how[1])));
        assert_int_equal(how[0], how[1]);
        for (size_t k = 0; k < a->n_types; k++) {
            const struct qs_survey_cell x = cell_at(a, i, k), y = cell_at(b, i, k);
            assert_true(x.known == y.known && x.gap == y.gap && x.how == y.how && x.sample == y.sample &&
                        x.bytes == y.bytes);
            assert_true(same_double(x.error, y.error) && same_double(x.error_se, y.error_se) &&
                        same_double(x.max_error, y.max_error) && same_double(x.weighted, y.weighted));
        }
    }
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

/* Encodes row by row and adds up in plain double. */
static void slow_error(const struct made_tensor *t, const struct qs_format *f, const float *importance, double out[3])
{
    const size_t cols = (size_t)t->ne[0], rows = (size_t)(made_weights(t) / cols);
    void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, 1, cols));
    uint8_t *bytes = malloc(qs_format_row_bytes(f, cols));
    float *back = malloc(cols * sizeof *back);
    double err = 0, ref = 0, werr = 0, wref = 0, most = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *w = importance;
        if (w && t->ne[2])
            w += r / t->ne[1] * cols;
        const struct qs_rows in = { t->x + r * cols, 1, cols, cols, w };
        const struct qs_parts to = { { bytes } };
        const struct qs_const_parts from = { { bytes } };
        qs_format_encode(f, &in, &to, scratch);
        qs_format_ops(f->id)->decode(&from, 1, cols, back, cols);
        for (size_t c = 0; c < cols; c++) {
            const double v = t->x[r * cols + c], d = v - (double)back[c];
            err += d * d;
            ref += v * v;
            werr += w ? (double)w[c] * d * d : 0;
            wref += w ? (double)w[c] * v * v : 0;
            most = fmax(most, fabs(d));
        }
    }
    out[0] = sqrt(err / ref);
    out[1] = most;
    out[2] = importance ? sqrt(werr / wref) : (double)NAN;
    qs_free(scratch);
    free(bytes);
    free(back);
}

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-10 * fabs(want)) && !(isnan(got) && isnan(want)))
        fail_msg("%.17g is not %.17g", got, want);
}

static void test_whole_against_slow(void **state)
{
    (void)state;
    static const int types[] = { QS_Q8_0, QS_Q4_0, QS_Q4_K, QS_Q6_K, QS_Q2_K, QS_IQ4_NL, QS_F16 };
    struct qs_model *m = open_model();
    float value[256 * 4];
    uint64_t seed = 5;
    for (size_t i = 0; i < 256 * 4; i++)
        value[i] = (float)(0.1 + made_uniform(&seed));
    struct qs_imatrix_entry entry[2] = { { .name = (char *)(uintptr_t)"blk.0.attn_q.weight", .value = value, .n = 256,
                                         .experts = 1, .count = 1 },
                                         { .name = (char *)(uintptr_t)"blk.1.ffn_up_exps.weight", .value = value, .n = 1024,
                                         .experts = 4, .count = 1 } };
    const struct qs_imatrix im = { .entry = entry, .n_entries = 2 };
    const struct qs_survey_args args = { .whole = true, .errors = true, .types = types, .n_types = 7, .no_cache = true,
                                         .imatrix = &im };
    struct qs_survey *s = survey(m, &args, pool);
    unsigned compared = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < 7; k++) {
            const struct qs_format *f = qs_format_by_id(types[k]);
            const struct qs_survey_cell c = cell_of(s, qs_model_find(m, tensors[i].name), types[k]);
            const float *imp = i == 2 || i == 4 ? value : NULL;
            double want[3];
            if (tensors[i].ne[0] % f->block || (!tensors[i].ne[1] && f->kind != QS_KIND_FLOAT)) {
                assert_false(c.known);
                assert_int_equal(c.gap, tensors[i].ne[0] % f->block ? QS_GAP_SHAPE : QS_GAP_ONE_DIM);
                continue;
            }
            slow_error(&tensors[i], f, imp, want);
            assert_true(c.known && c.how == QS_HOW_WHOLE && c.gap == QS_GAP_NONE);
            assert_int_equal(c.sample, made_weights(&tensors[i]));
            assert_int_equal(c.bytes, made_weights(&tensors[i]) / f->block * f->component[0].bytes_per_block);
            close_to(c.error, want[0]);
            close_to(c.max_error, want[1]);
            close_to(c.weighted, want[2]);
            compared++;
        }
    assert_true(compared > 30);
    qs_survey_free(s);
    qs_model_close(m);
}

/* Over all tensors and types: |sampled - whole| below 4 standard errors always, below 2 for most. */
static void within_stated_error(struct qs_model *m, uint64_t sample, uint64_t seed, unsigned *cells, unsigned *near,
                                unsigned *far)
{
    static const int types[] = { QS_Q8_0, QS_Q6_K, QS_Q5_K, QS_Q4_K, QS_Q3_K, QS_Q2_K, QS_Q4_0, QS_Q5_1 };
    struct qs_survey_args args = { .errors = true, .types = types, .n_types = 8, .no_cache = true, .whole = true };
    struct qs_survey *whole = survey(m, &args, pool);
    args.whole = false;
    args.sample_weights = sample;
    args.seed = seed;
    struct qs_survey *part = survey(m, &args, pool);
    for (size_t i = 0; i < whole->n_tensors; i++)
        for (size_t k = 0; k < whole->n_types; k++) {
            const struct qs_survey_cell w = cell_at(whole, i, k), p = cell_at(part, i, k);
            if (!p.known || p.how != QS_HOW_SAMPLED)
                continue;
            assert_true(p.error_se > 0 && p.sample < w.sample && p.sample >= sample);
            const double off = fabs(p.error - w.error) / p.error_se;
            ++*cells;
            *near += off < 2;
            *far += off >= 4;
        }
    qs_survey_free(whole);
    qs_survey_free(part);
}

/* Over all matrices of the bundled model that are sampled by default, types and seeds: about 95 % of the sampled values lie within two of the standard
 * errors they state. Halved standard errors would give some 68 %, doubled ones nearly all. */
static void test_bundled_model_within_two(void **state)
{
    (void)state;
    static const int types[] = { QS_Q8_0, QS_Q6_K, QS_Q4_K, QS_Q3_K, QS_Q4_0 };
    enum { N_TYPES = sizeof types / sizeof *types };
    const uint64_t seeds = getenv("QS_REDUCED") ? 9 : 24;
    char path[700];
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    unsigned cells = 0, one = 0, two = 0, four = 0;
    snprintf(path, sizeof path, "%s/demo/storyteller-9m-f16.gguf", getenv("QS_SRCDIR") ? getenv("QS_SRCDIR") : ".");
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    struct qs_survey_args args = { .errors = true, .types = types, .n_types = N_TYPES, .no_cache = true, .whole = true };
    struct qs_survey *whole = survey(m, &args, pool);
    args.whole = false;
    args.sample_weights = 0; /* the default */
    for (uint64_t seed = 0; seed < seeds; seed++) {
        args.seed = seed;
        struct qs_survey *part = survey(m, &args, pool);
        for (size_t i = 0; i < whole->n_tensors; i++)
            for (size_t k = 0; k < whole->n_types; k++) {
                const struct qs_survey_cell w = cell_at(whole, i, k), p = cell_at(part, i, k);
                if (!p.known || p.how != QS_HOW_SAMPLED)
                    continue;
                assert_true(p.error_se > 0);
                const double off = fabs(p.error - w.error) / p.error_se;
                cells++;
                one += off < 1;
                two += off < 2;
                four += off < 4;
            }
        qs_survey_free(part);
    }
    qs_survey_free(whole);
    qs_model_close(m);
    print_message("%u cells: %.1f %% within 1, %.1f %% within 2, %.1f %% within 4 standard errors\n", cells, 100.0 * one / cells,
                  100.0 * two / cells, 100.0 * four / cells);
    assert_true(cells > 1000);
    assert_true(two * 100 >= cells * 93 && two * 100 <= cells * 97);
    assert_true(one * 100 >= cells * 63 && one * 100 <= cells * 74);
    assert_true(four * 1000 >= cells * 995);
}

/* Finite weights that become infinite are a gap with its reason at every type, sampled or whole; NaN in the file is not. */
static void test_overflow(void **state)
{
    (void)state;
    static const int types[] = { QS_F16, QS_Q8_0, QS_Q6_K, QS_Q4_K, QS_Q4_0, QS_IQ4_NL, QS_BF16, QS_F32 };
    struct made_tensor t[] = { { "blk.0.attn_q.weight", { 256, 64 }, NULL }, { "blk.0.attn_k.weight", { 256, 64 }, NULL },
                               { "blk.0.attn_v.weight", { 256, 64 }, NULL }, { "blk.1.attn_q.weight", { 256, 64 }, NULL } };
    made_fill(t, 4, 6);
    for (size_t i = 0; i < 256 * 64; i++) {
        t[0].x[i] *= 1e37f;
        t[3].x[i] *= 1e37f;
    }
    t[2].x[5] = NAN;
    for (size_t r = 0; r < 64; r += 2) /* one NaN hides no overflow in other rows */
        t[3].x[r * 256 + 5] = NAN;
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_model_open(made_file("huge.gguf", t, 4), &m, &e), QS_OK);
    for (int whole = 0; whole < 2; whole++) {
        const struct qs_survey_args args = { .errors = true, .types = types, .n_types = 8, .no_cache = true, .whole = whole,
                                             .sample_weights = 4096 };
        struct qs_survey *s = survey(m, &args, pool);
        for (size_t k = 0; k < 8; k++) {
            const struct qs_survey_cell c = cell_of(s, &m->tensor[0], types[k]);
            const bool fits = types[k] == QS_BF16 || types[k] == QS_F32;
            if (c.known != fits || c.gap != (fits ? QS_GAP_NONE : QS_GAP_OVERFLOW))
                fail_msg("%s: known %d, gap %d", qs_type_name(types[k]), c.known, c.gap);
            assert_true(cell_of(s, &m->tensor[1], types[k]).known);
            assert_int_not_equal(cell_of(s, &m->tensor[2], types[k]).gap, QS_GAP_OVERFLOW);
            assert_int_equal(cell_of(s, &m->tensor[3], types[k]).gap, c.gap);
        }
        qs_survey_free(s);
    }
    qs_model_close(m);
    made_free(t, 4);
}

/* What writing would say to the whole tensor: the rules of bad_weights.h on what the encoder made. */
static bool writing_refuses(struct qs_model *m, const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    struct qs_weight *w = NULL;
    struct qs_encoder *x = NULL;
    struct qs_error_sums sums = { 0 };
    struct qs_err e = QS_ERR_INIT;
    uint8_t *dst = malloc(t->rows * qs_format_row_bytes(f, (size_t)t->ne[0]));
    assert_int_equal(qs_model_weight(m, t, &w, &e), QS_OK);
    assert_int_equal(qs_encoder_new(pool, t->ne[0], &x, &e), QS_OK);
    assert_int_equal(qs_encode_rows(x, QS_PRIO_JOB, w, 0, t->rows, type, NULL, dst, &sums, NULL, &e), QS_OK);
    qs_encoder_free(x);
    qs_weight_unref(w);
    free(dst);
    return sums.nonfinite || qs_bad_lost(f, sums.max_abs);
}

/* At every type and magnitude the survey says "overflows" exactly where writing refuses. */
static void test_overflow_as_written(void **state)
{
    (void)state;
    static const double magnitude[] = { 1e4, 1e8, 1e9, 1e10, 3e10, 1e12, 1e15, 1e20, 1e25, 1e30, 1e35, 1e38 };
    enum { MAGNITUDES = sizeof magnitude / sizeof *magnitude };
    struct made_tensor t[MAGNITUDES];
    char name[MAGNITUDES][32];
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    unsigned refused = 0, written = 0;
    for (size_t i = 0; i < MAGNITUDES; i++) {
        uint64_t seed = i + 1;
        snprintf(name[i], sizeof name[i], "blk.%zu.attn_q.weight", i);
        t[i] = (struct made_tensor){ name[i], { 512, 8 }, malloc(512 * 8 * sizeof(float)) };
        for (size_t k = 0; k < 512 * 8; k++)
            t[i].x[k] = (float)(magnitude[i] * (2 * made_uniform(&seed) - 1));
    }
    assert_int_equal(qs_model_open(made_file("magnitudes.gguf", t, MAGNITUDES), &m, &e), QS_OK);
    const struct qs_survey_args args = { .errors = true, .whole = true, .no_cache = true };
    struct qs_survey *s = survey(m, &args, pool);
    for (size_t i = 0; i < MAGNITUDES; i++)
        for (size_t k = 0; k < s->n_types; k++) {
            const struct qs_survey_cell c = cell_at(s, i, k);
            if (s->type[k] == QS_F32 || (qs_format_by_id(s->type[k])->flags & QS_LOSSLESS_F32))
                continue;
            const bool refuses = writing_refuses(m, s->tensor[i], s->type[k]);
            if (c.known == refuses || c.gap != (refuses ? QS_GAP_OVERFLOW : QS_GAP_NONE))
                fail_msg("%g as %s: survey %s, writing %s", magnitude[i], qs_type_name(s->type[k]), qs_gap_text(c.gap),
                         refuses ? "refuses" : "writes");
            refused += refuses;
            written += !refuses;
        }
    assert_true(refused > 100 && written > 50);
    qs_survey_free(s);
    qs_model_close(m);
    made_free(t, MAGNITUDES);
}

/* ---- progress ------------------------------------------------------------------------------------------------ */

struct surveyed { struct qs_model *m; struct qs_survey_args args; struct qs_survey *s; };

static int survey_in_job(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct surveyed *x = ctx;
    return qs_survey_run(x->m, &x->args, pool, job, &x->s, e);
}

/* Runs a survey in a job: what is done is what was announced, no more and no less. */
static uint64_t measured_in_job(struct surveyed *x)
{
    struct qs_job *job = NULL;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("survey", survey_in_job, x, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_status(job, &st);
    qs_job_free(job);
    assert_true(st.total > 0);
    assert_int_equal(st.done, st.total);
    const uint64_t n = measured(x->s);
    enum qs_how how;
    for (size_t i = 0; i < x->s->n_tensors; i++)
        assert_false(x->s->tensor[i]->n_dims > 1 && isnan(qs_survey_mean_square(x->s, x->s->tensor[i], &how)));
    qs_survey_free(x->s);
    x->s = NULL;
    return n;
}

/* Every type measured overflows, and one keeps the weights: their mean square is found all the same, from the same sample,
 * and the second time all of it is known. */
static void test_progress(void **state)
{
    (void)state;
    static const int types[] = { QS_F32, QS_Q4_K };
    struct made_tensor t[] = { { "blk.0.attn_q.weight", { 256, 300 }, NULL }, { "blk.0.attn_k.weight", { 256, 8 }, NULL },
                               { "blk.0.attn_norm.weight", { 256 }, NULL } };
    struct surveyed x = { .args = { .errors = true, .types = types, .n_types = 2, .sample_weights = 4096 } };
    struct qs_err e = QS_ERR_INIT;
    made_fill(t, 3, 12);
    for (size_t i = 0; i < 256 * 300; i++)
        t[0].x[i] *= 1e38f;
    assert_int_equal(qs_model_open(made_file("progress.gguf", t, 3), &x.m, &e), QS_OK);
    for (int round = 0; round < 8; round++) {
        x.args.whole = round & 1;
        x.args.stats = round & 4;
        assert_int_equal(measured_in_job(&x) > 0, (round & 2) == 0 && round != 5);
    }
    qs_model_close(x.m);
    made_free(t, 3);
    x.args = (struct qs_survey_args){ .errors = true, .stats = true, .no_cache = true };
    x.m = open_model();
    assert_true(measured_in_job(&x) > 0);
    qs_model_close(x.m);
}

static void test_samples_within_stated_error(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    unsigned cells = 0, near = 0, far = 0;
    for (uint64_t seed = 0; seed < 8; seed++)
        within_stated_error(m, 16384, seed, &cells, &near, &far);
    qs_model_close(m);
    assert_true(cells > 150);
    assert_int_equal(far, 0);
    assert_true(near * 100 >= cells * 85);
    if (!qs_test_has_data("models/storyteller-9m-f16.gguf"))
        return;
    struct qs_err e = QS_ERR_INIT;
    cells = near = far = 0;
    assert_int_equal(qs_model_open(qs_test_data("models/storyteller-9m-f16.gguf"), &m, &e), QS_OK);
    within_stated_error(m, 32768, 1, &cells, &near, &far);
    qs_model_close(m);
    assert_true(cells > 100);
    assert_int_equal(far, 0);
    assert_true(near * 100 >= cells * 85);
}

static void test_same_for_any_threads(void **state)
{
    (void)state;
    static const int types[] = { QS_Q4_K, QS_IQ4_NL, QS_Q8_0 };
    struct qs_model *m = open_model();
    const struct qs_survey_args args = { .errors = true, .stats = true, .types = types, .n_types = 3, .no_cache = true,
                                         .sample_weights = 8192 };
    struct qs_survey *one = NULL;
    for (unsigned threads = 1; threads < 5; threads++) {
        struct qs_pool *p = NULL;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_pool_new(threads, &p, &e), QS_OK);
        struct qs_survey *s = survey(m, &args, p);
        if (one)
            assert_same_survey(one, s);
        else
            one = s;
        if (s != one)
            qs_survey_free(s);
        qs_pool_free(p);
    }
    qs_survey_free(one);
    qs_model_close(m);
}

static void test_small_requests(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_tensor *t = qs_model_find(m, "blk.0.ffn_down.weight");
    struct qs_survey_args args = { .errors = true, .match = "nothing_has_this", .no_cache = true };
    assert_int_equal(qs_survey_run(m, &args, pool, NULL, &s, &e), QS_EINVAL);
    args.match = "([";
    assert_int_equal(qs_survey_run(m, &args, pool, NULL, &s, &e), QS_EINVAL);
    float wrong[3] = { 1, 1, 1 };
    struct qs_imatrix_entry entry = { .name = (char *)(uintptr_t)"blk.0.attn_q.weight", .value = wrong, .n = 3,
                                         .experts = 1, .count = 1 };
    const struct qs_imatrix im = { .entry = &entry, .n_entries = 1 };
    const struct qs_survey_args bad = { .errors = true, .imatrix = &im, .no_cache = true };
    assert_int_equal(qs_survey_run(m, &bad, pool, NULL, &s, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "blk.0.attn_q.weight"));
    /* One type per tensor: the others stay unknown, with the reason. */
    int only[N];
    for (size_t i = 0; i < N; i++)
        only[i] = i == 3 ? QS_Q4_K : QS_TYPE_NONE;
    const struct qs_survey_args some = { .errors = true, .only_type = only, .no_cache = true };
    s = survey(m, &some, pool);
    assert_true(cell_of(s, t, QS_Q4_K).known);
    assert_int_equal(cell_of(s, t, QS_Q6_K).gap, QS_GAP_NOT_MEASURED);
    assert_true(cell_of(s, t, QS_F32).known && !(cell_of(s, t, QS_F32).error > 0)); /* its own type */
    qs_survey_free(s);
    qs_model_close(m);
}

/* ---- cache --------------------------------------------------------------------------------------------------- */

static const int cache_types[] = { QS_Q8_0, QS_Q4_K, QS_Q5_0 };

static struct qs_survey_args cache_args(void)
{
    return (struct qs_survey_args){ .errors = true, .stats = true, .types = cache_types, .n_types = 3, .sample_weights = 8192 };
}

static void cache_file(struct qs_model *m, char *path, size_t n)
{
    struct qs_key key;
    struct qs_err e = QS_ERR_INIT;
    struct qs_str s = QS_STR_INIT;
    assert_int_equal(qs_model_key(m, &key, &e), QS_OK);
    assert_true(qs_survey_cache_path(key, (struct qs_key){ 0, 0 }, &s));
    snprintf(path, n, "%s", s.data);
    qs_str_free(&s);
}

static void replace(const char *path, const void *data, size_t n)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_file_write_atomic(path, data, n, true, &e), QS_OK);
}

/* A survey killed at any byte of its cache goes on to the same table; damage anywhere costs time, never numbers. */
static void test_resume_and_damage(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    const struct qs_survey_args args = cache_args();
    char path[1024], *data = NULL;
    size_t len = 0;
    struct qs_err e = QS_ERR_INIT;
    cache_file(m, path, sizeof path);
    unlink(path);
    struct qs_survey *first = survey(m, &args, pool);
    assert_true(measured(first) > 10 && reused(first) == 0);
    assert_int_equal(qs_file_read(path, 1 << 20, &data, &len, &e), QS_OK);
    uint64_t seed = 1;
    for (int round = 0; round < 40; round++) {
        const size_t cut = round == 0 ? len : (size_t)(made_uniform(&seed) * (double)len);
        char *copy = malloc(len);
        memcpy(copy, data, len);
        if (round % 2 && cut < len)
            copy[cut] = (char)(copy[cut] ^ 0x41);
        replace(path, copy, round % 2 ? len : cut);
        free(copy);
        struct qs_survey *again = survey(m, &args, pool);
        assert_same_survey(first, again);
        assert_int_equal(measured(again) + reused(again), measured(first));
        if (round == 0)
            assert_int_equal(measured(again), 0);
        else
            assert_true(measured(again) > 0);
        qs_survey_free(again);
        struct qs_survey *third = survey(m, &args, pool); /* what was lost has been stored again */
        assert_int_equal(measured(third), 0);
        assert_same_survey(first, third);
        qs_survey_free(third);
    }
    qs_free(data);
    qs_survey_free(first);
    qs_model_close(m);
}

/* What cannot be read is not thrown away: a cache met while memory is short is whole afterwards. */
static void test_unreadable_cache(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    const struct qs_survey_args args = cache_args();
    char path[1024], *before = NULL, *after = NULL;
    size_t n_before, n_after;
    struct qs_key key;
    struct qs_err e = QS_ERR_INIT;
    qs_survey_free(survey(m, &args, pool));
    cache_file(m, path, sizeof path);
    assert_int_equal(qs_model_key(m, &key, &e), QS_OK);
    assert_int_equal(qs_file_read(path, 1 << 20, &before, &n_before, &e), QS_OK);
    for (uint64_t nth = 1; nth < 40; nth++) {
        qs_mem_fail_after(nth);
        struct qs_survey_cache *c = qs_survey_cache_open(key, (struct qs_key){ 0, 0 });
        qs_mem_fail_after(0);
        qs_survey_cache_free(c);
        assert_int_equal(qs_file_read(path, 1 << 20, &after, &n_after, &e), QS_OK);
        assert_int_equal(n_after, n_before);
        assert_memory_equal(after, before, n_before);
        qs_free(after);
    }
    qs_free(before);
    qs_model_close(m);
}

static void set_age(const char *path, long days)
{
    const struct timespec at = { .tv_sec = time(NULL) - days * 24 * 3600 }, times[2] = { at, at };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Opening a cache keeps it, and removes those that nobody opened for 90 days; other files are no business of ours. */
static void test_old_caches_go(void **state)
{
    (void)state;
    static const struct { const char *name; long days; bool stays; } others[] = {
        { "0123456789abcdef0123456789abcdef.survey", 91, false },
        { "1123456789abcdef0123456789abcdef.survey", 89, true },
        { "notes.txt", 1000, true },
    };
    struct qs_model *m = open_model();
    const struct qs_survey_args args = cache_args();
    char path[1024], other[sizeof others / sizeof *others][1100];
    qs_survey_free(survey(m, &args, pool));
    cache_file(m, path, sizeof path);
    set_age(path, 1000);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(other[i], sizeof other[i], "%.*s/%s", (int)(strrchr(path, '/') - path), path, others[i].name);
        qs_test_write(other[i], "x", 1);
        set_age(other[i], others[i].days);
    }
    for (int i = 0; i < 2; i++) { /* the second look finds it used today */
        struct qs_survey *s = survey(m, &args, pool);
        assert_int_equal(measured(s), 0);
        qs_survey_free(s);
        assert_true(qs_file_exists(path));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(qs_file_exists(other[i]), others[i].stays);
        unlink(other[i]);
    }
    qs_model_close(m);
}

struct cancelled { struct qs_model *m; struct qs_survey_args args; struct qs_survey *s; };

static int cancelled_work(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct cancelled *c = ctx;
    return qs_survey_run(c->m, &c->args, pool, job, &c->s, e);
}

static void test_cancel(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    struct cancelled c = { .m = m, .args = cache_args() };
    char path[1024];
    cache_file(m, path, sizeof path);
    c.args.no_cache = true;
    struct qs_survey *want = survey(m, &c.args, pool);
    c.args.no_cache = false;
    unlink(path);
    unsigned stopped = 0;
    for (int tries = 0; tries < 50 && !c.s; tries++) { /* cancelled again and again, a little later each time */
        struct qs_job *job = NULL;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_job_start("survey", cancelled_work, &c, -1, &job, &e), QS_OK);
        qs_job_wait_for(job, 0.0005 * (tries % 20));
        qs_job_cancel(job);
        const int rc = qs_job_wait(job, &e);
        assert_true(rc == QS_OK || rc == QS_ECANCELLED);
        stopped += rc == QS_ECANCELLED;
        qs_job_free(job);
    }
    assert_true(stopped > 0);
    if (!c.s)
        c.s = survey(m, &c.args, pool);
    assert_same_survey(want, c.s);
    qs_survey_free(c.s);
    qs_survey_free(want);
    qs_model_close(m);
}

/* Another sample, seed or importance matrix, or another file under the same name: nothing old is shown. */
static void test_stale_keys(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    struct qs_survey_args args = cache_args();
    args.stats = false;
    qs_survey_free(survey(m, &args, pool));
    struct qs_survey *s = survey(m, &args, pool);
    const uint64_t all = reused(s);
    assert_true(all > 0 && measured(s) == 0);
    qs_survey_free(s);

    args.seed = 1;
    s = survey(m, &args, pool); /* only tensors small enough to be measured whole are the same for every seed */
    uint64_t whole = 0;
    for (size_t i = 0; i < s->n_tensors; i++)
        for (size_t k = 0; k < s->n_types; k++)
            whole += cell_at(s, i, k).known && cell_at(s, i, k).how == QS_HOW_WHOLE;
    assert_int_equal(reused(s), whole);
    qs_survey_free(s);

    float value[256];
    for (size_t i = 0; i < 256; i++)
        value[i] = 1.0f + (float)(i % 7);
    struct qs_imatrix_entry entry = { .name = (char *)(uintptr_t)"blk.0.attn_q.weight", .value = value, .n = 256,
                                         .experts = 1, .count = 1 };
    const struct qs_imatrix im = { .entry = &entry, .n_entries = 1, .key = { 1, 2 } };
    args.seed = 0;
    args.imatrix = &im;
    s = survey(m, &args, pool);
    assert_int_equal(reused(s), 0);
    qs_survey_free(s);
    args.imatrix = NULL;
    qs_model_close(m);

    struct made_tensor other[N];
    memcpy(other, tensors, sizeof other);
    made_fill(other, N, 99);
    made_file("model.gguf", other, N);
    m = open_model();
    s = survey(m, &args, pool);
    assert_int_equal(reused(s), 0);
    qs_survey_free(s);
    qs_model_close(m);
    made_free(other, N);
    made_file("model.gguf", tensors, N);
}

/* Experts stored one by one share a cell of the map: it says how many they are, and that one of them is not known. */
static void test_folded_experts(void **state)
{
    (void)state;
    static const int types[] = { QS_Q8_0 };
    enum { EXPERTS = 8, ALL = EXPERTS + 1 };
    struct made_tensor t[ALL];
    char name[ALL][48], note[160];
    int type[ALL];
    struct qs_model *m = NULL;
    struct qs_heat *h = NULL;
    struct qs_report *r = NULL;
    struct qs_str json = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    for (int i = 0; i < ALL; i++) {
        if (i < EXPERTS)
            snprintf(name[i], sizeof name[i], "blk.0.ffn_gate.%d.weight", i);
        else
            snprintf(name[i], sizeof name[i], "blk.0.attn_q.weight");
        t[i] = (struct made_tensor){ name[i], { 256, 8 }, NULL };
        type[i] = QS_Q8_0;
    }
    made_fill(t, ALL, 3);
    for (size_t i = 0; i < 256 * 8; i++)
        t[5].x[i] *= 1e38f;
    assert_int_equal(qs_model_open(made_file("experts.gguf", t, ALL), &m, &e), QS_OK);
    const struct qs_survey_args args = { .errors = true, .whole = true, .types = types, .n_types = 1, .no_cache = true };
    const struct qs_heat_args heat = { .measure = QS_MAP_ERROR, .scale = -1, .type = type };
    struct qs_survey *s = survey(m, &args, pool);
    assert_int_equal(qs_heat_make(m, s, &heat, &h, &e), QS_OK);
    unsigned folded = 0;
    for (size_t k = 0; k < h->n_rows; k++) {
        const struct qs_heat_cell *c = &h->row[k].cell[0];
        qs_heat_cell_note(c, note, sizeof note);
        if (c->tensors == 1) {
            assert_true(c->known == 1 && !note[0]);
            continue;
        }
        folded++;
        assert_true(c->tensors == EXPERTS && c->known == EXPERTS - 1 && c->value > 0);
        assert_string_equal(note, "worst of 7, 1 of 8 unknown");
        for (size_t i = 0; i < EXPERTS; i++)
            assert_true(isnan(h->item[i].value) || h->item[i].value <= c->value);
    }
    assert_int_equal(folded, 1);
    assert_true(h->folded == 1 && h->folded_unknown == 1 && h->unknown == 1);
    assert_string_equal(qs_heat_folded_note(h, note, sizeof note),
                        "1 cell stands for several tensors, the worst of those known shown; in 1 of them some are unknown");
    assert_int_equal(qs_report_map(h, &r, &e), QS_OK);
    assert_true(qs_report_json(r, &json));
    assert_non_null(strstr(json.data, "1 of 8 unknown"));
    qs_str_free(&json);
    qs_report_free(r);
    qs_heat_free(h);
    qs_survey_free(s);
    qs_model_close(m);
    made_free(t, ALL);
}

static struct qs_survey_cache *open_cache_of(struct qs_model *m)
{
    struct qs_key key;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_model_key(m, &key, &e), QS_OK);
    struct qs_survey_cache *c = qs_survey_cache_open(key, (struct qs_key){ 0, 0 });
    assert_non_null(c);
    return c;
}

/* A writer beside one that holds the file's lock (another process: any other open file) measures without storing, and
 * reads what is there. */
static void test_locked_by_another(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    struct qs_err e = QS_ERR_INIT;
    char path[1024];
    const struct qs_survey_args args = cache_args();
    cache_file(m, path, sizeof path);
    unlink(path);
    const int held = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(qs_file_lock(held, path, &e), QS_OK);
    struct qs_survey *a = survey(m, &args, pool);
    struct qs_survey *b = survey(m, &args, pool);
    assert_int_equal(reused(b), 0);
    assert_same_survey(a, b);
    close(held);
    qs_survey_free(b);
    b = survey(m, &args, pool);
    assert_int_equal(reused(b), 0);
    qs_survey_free(b);
    b = survey(m, &args, pool);
    assert_int_equal(measured(b), 0);
    assert_same_survey(a, b);
    qs_survey_free(a);
    qs_survey_free(b);
    qs_model_close(m);
}

/* Users within one process share the file: each finds at once what the other has stored. */
static void test_two_at_once(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    char path[1024];
    const struct qs_survey_args args = cache_args();
    cache_file(m, path, sizeof path);
    unlink(path);
    struct qs_survey_cache *first = open_cache_of(m), *second = open_cache_of(m);
    assert_ptr_equal(first, second);
    qs_survey_cache_free(first);
    struct qs_survey *a = survey(m, &args, pool), *b = survey(m, &args, pool);
    assert_int_equal(reused(a), 0);
    assert_int_equal(measured(b), 0);
    assert_same_survey(a, b);
    qs_survey_cache_free(second);
    qs_survey_free(b);
    b = survey(m, &args, pool); /* from the file */
    assert_int_equal(measured(b), 0);
    assert_same_survey(a, b);
    qs_survey_free(a);
    qs_survey_free(b);
    qs_model_close(m);
}

/* A number is found under exactly what it depends on; a whole one also answers for samples. */
static void test_cell_ids(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    char path[1024];
    cache_file(m, path, sizeof path);
    unlink(path);
    const struct qs_survey_cell known = { .known = true, .how = QS_HOW_SAMPLED, .sample = 7, .error = 0.5 };
    const struct qs_survey_cell lost = { .gap = QS_GAP_OVERFLOW, .how = QS_HOW_WHOLE };
    const struct qs_survey_cell unasked = { .gap = QS_GAP_NOT_MEASURED };
    const struct qs_cell_id id = { .tensor = { 1, 2 }, .type = QS_Q4_K, .statistics = { 3, 4 }, .sample_weights = 100, .seed = 5,
                                   .encoder = QS_ENCODER_VERSION };
    struct qs_cell_id other[7];
    for (size_t i = 0; i < 7; i++)
        other[i] = id;
    other[0].tensor.hi++;
    other[1].type = QS_Q5_K;
    other[2].statistics.lo = 0;
    other[3].sample_weights++;
    other[4].seed++;
    other[5].encoder++;
    other[6].sample_weights = other[6].seed = 0;
    struct qs_survey_cache *c = open_cache_of(m);
    qs_survey_cache_put_cell(c, &id, &known);
    for (int again = 0; again < 2; again++) { /* in memory, then from the file */
        struct qs_survey_cell got = { .bytes = 9 };
        assert_true(qs_survey_cache_cell(c, &id, &got));
        assert_true(got.known && got.bytes == 9 && got.sample == 7 && got.how == QS_HOW_SAMPLED);
        for (size_t i = 0; i < 7; i++)
            assert_false(qs_survey_cache_cell(c, &other[i], &got));
        qs_survey_cache_free(c);
        c = open_cache_of(m);
    }
    qs_survey_cache_put_cell(c, &id, &lost);
    qs_survey_cache_put_cell(c, &other[1], &unasked);
    struct qs_survey_stats stats = { .known = true, .n = 1 };
    for (uint64_t i = 0; i < 3000; i++) { /* more than the first table holds */
        stats.zeros = i;
        qs_survey_cache_put_stats(c, (struct qs_key){ i, 7 }, &stats);
    }
    for (int again = 0; again < 2; again++) {
        struct qs_survey_cell got = { .bytes = 9 };
        const size_t same[] = { 3, 4, 6 };
        for (size_t i = 0; i < 3; i++) {
            assert_true(qs_survey_cache_cell(c, &other[same[i]], &got));
            assert_true(!got.known && got.gap == QS_GAP_OVERFLOW && got.bytes == 9);
        }
        assert_false(qs_survey_cache_cell(c, &other[1], &got));
        for (uint64_t i = 0; i < 3000; i++) {
            assert_true(qs_survey_cache_stats(c, (struct qs_key){ i, 7 }, &stats));
            assert_int_equal(stats.zeros, i);
        }
        assert_false(qs_survey_cache_stats(c, (struct qs_key){ 5, 8 }, &stats));
        qs_survey_cache_free(c);
        c = open_cache_of(m);
    }
    qs_survey_cache_free(c);
    unlink(path);
    qs_model_close(m);
}

static int survey_body(void *ctx, struct qs_err *e)
{
    struct qs_survey *s = NULL;
    struct qs_survey_args args = cache_args();
    args.match = "attn_q";
    const int rc = qs_survey_run(ctx, &args, pool, NULL, &s, e);
    qs_survey_free(s);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    struct qs_model *m = open_model();
    char path[1024];
    cache_file(m, path, sizeof path);
    unlink(path);
    qs_test_each_alloc(survey_body, m);
    unlink(path);
    qs_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_against_slow), cmocka_unit_test(test_samples_within_stated_error),
        cmocka_unit_test(test_bundled_model_within_two), cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_same_for_any_threads), cmocka_unit_test(test_small_requests),
        cmocka_unit_test(test_resume_and_damage), cmocka_unit_test(test_unreadable_cache),
        cmocka_unit_test(test_old_caches_go), cmocka_unit_test(test_cancel), cmocka_unit_test(test_stale_keys),
        cmocka_unit_test(test_two_at_once), cmocka_unit_test(test_locked_by_another), cmocka_unit_test(test_cell_ids),
        cmocka_unit_test(test_overflow_as_written), cmocka_unit_test(test_progress),
        cmocka_unit_test(test_folded_experts), cmocka_unit_test(test_failing_memory),
    };
    struct qs_err e = QS_ERR_INIT;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    made_fill(tensors, N, 1);
    snprintf(model_path, sizeof model_path, "%s", made_file("model.gguf", tensors, N));
    if (qs_pool_new(2, &pool, &e))
        return 1;
    const int rc = cmocka_run_group_tests_name("survey", tests, NULL, NULL);
    qs_pool_free(pool);
    made_free(tensors, N);
    return rc;
}
