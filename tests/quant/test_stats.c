/* test_stats.c - distributions against a slow recomputation, the same bits for any thread count, planted outliers. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/quant/stats.h"

#include "tests/quant/made_tensors.h"

static struct qs_weight *weight_of(const float *x, uint64_t cols, uint64_t rows, uint64_t experts)
{
    const uint64_t ne[4] = { cols, rows, experts, 1 };
    struct qs_weight *w = NULL;
    struct qs_parts parts;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_weight_heap(qs_format_by_id(QS_F32), ne, &w, &parts, &e), QS_OK);
    memcpy(parts.p[0], x, cols * rows * experts * sizeof *x);
    return w;
}

static struct qs_survey_stats stats_of(const struct qs_weight *w, unsigned threads)
{
    struct qs_survey_stats s;
    struct qs_pool *pool = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_pool_new(threads, &pool, &e), QS_OK);
    assert_int_equal(qs_stats_run(w, pool, NULL, &s, &e), QS_OK);
    qs_pool_free(pool);
    return s;
}

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * (fabs(want) + 1e-12)))
        fail_msg("%.17g is not %.17g", got, want);
}

/* Plain passes over everything in double, one weight after the other. */
static void check_slowly(const struct qs_survey_stats *s, const float *x, uint64_t n)
{
    double sum = 0, m2 = 0, m4 = 0, min = INFINITY, max = -INFINITY, finite = 0, beyond = 0;
    uint64_t zeros = 0, nan = 0, inf = 0;
    for (uint64_t i = 0; i < n; i++) {
        nan += isnan(x[i]) != 0;
        inf += isinf(x[i]) != 0;
        if (!isfinite(x[i]))
            continue;
        sum += x[i];
        finite++;
        zeros += fabsf(x[i]) < 1e-45f;
        min = fmin(min, x[i]);
        max = fmax(max, x[i]);
    }
    const double mean = sum / finite;
    for (uint64_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            m2 += pow(x[i] - mean, 2);
            m4 += pow(x[i] - mean, 4);
        }
    const double sd = sqrt(m2 / finite);
    for (uint64_t i = 0; i < n; i++)
        beyond += isfinite(x[i]) && fabs(x[i] - mean) > 6 * sd;
    assert_true(s->known);
    assert_int_equal(s->n, n);
    assert_int_equal(s->zeros, zeros);
    assert_int_equal(s->nan, nan);
    assert_int_equal(s->inf, inf);
    close_to(s->mean, mean);
    close_to(s->sd, sd);
    close_to(s->min, min);
    close_to(s->max, max);
    close_to(s->max_abs, fmax(-min, max));
    close_to(s->kurtosis, finite * m4 / (m2 * m2));
    close_to(s->max_sigma, fmax(-min, max) / sd);
    close_to(s->beyond6, beyond / finite);
}

static void test_against_slow(void **state)
{
    (void)state;
    static const uint64_t shape[][3] = { { 256, 300, 1 }, { 1, 1, 1 }, { 7, 5, 3 }, { 40000, 3, 1 }, { 96, 700, 4 } };
    for (size_t k = 0; k < sizeof shape / sizeof *shape; k++) {
        const uint64_t n = shape[k][0] * shape[k][1] * shape[k][2];
        uint64_t seed = k + 7;
        float *x = malloc(n * sizeof *x);
        for (uint64_t i = 0; i < n; i++)
            x[i] = (float)(3.0 + made_gauss(&seed) * (made_uniform(&seed) < 0.001 ? 20 : 1));
        if (n > 1000) {
            x[3] = NAN;
            x[n - 2] = INFINITY;
            x[n / 2] = -INFINITY;
            x[17] = x[900] = 0;
        }
        struct qs_weight *w = weight_of(x, shape[k][0], shape[k][1], shape[k][2]);
        const struct qs_survey_stats s = stats_of(w, 2);
        if (n > 1) {
            check_slowly(&s, x, n);
        } else {
            assert_true(isnan(s.kurtosis) && isnan(s.max_sigma)); /* one weight has no spread */
            close_to(s.mean, x[0]);
        }
        qs_weight_unref(w);
        free(x);
    }
}

static void test_nothing_finite(void **state)
{
    (void)state;
    const float x[4] = { NAN, INFINITY, NAN, -INFINITY };
    struct qs_weight *w = weight_of(x, 2, 2, 1);
    const struct qs_survey_stats s = stats_of(w, 1);
    assert_true(s.known && isnan(s.mean) && isnan(s.sd) && isnan(s.max_abs));
    assert_int_equal(s.nan, 2);
    assert_int_equal(s.inf, 2);
    assert_true(s.beyond6 >= 0 && s.beyond6 <= 0);
    qs_weight_unref(w);
}

static void test_same_bits_for_any_threads(void **state)
{
    (void)state;
    struct made_tensor t = { "t", { 320, 900, 2 }, NULL };
    made_fill(&t, 1, 3);
    struct qs_weight *w = weight_of(t.x, 320, 900, 2);
    const struct qs_survey_stats one = stats_of(w, 1);
    for (unsigned threads = 2; threads < 6; threads++) {
        const struct qs_survey_stats more = stats_of(w, threads);
        assert_memory_equal(&one, &more, sizeof one);
    }
    qs_weight_unref(w);
    made_free(&t, 1);
}

/* Exactly the planted channels reach the ratio at which channels are named, in order of their largest weight. */
static void check_named(const struct qs_worst *w, unsigned n, const uint64_t *planted, size_t n_planted)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(w[i].ratio >= QS_OUTLIER_RATIO, i < n_planted);
        if (i < n_planted)
            assert_int_equal(w[i].index, planted[i]);
    }
    assert_true(n >= n_planted);
}

static void test_planted_outliers(void **state)
{
    (void)state;
    static const uint64_t columns[] = { 200, 3, 77 }, rows[] = { 599, 0 };
    struct made_tensor t = { "t", { 256, 300, 2 }, NULL };
    made_fill(&t, 1, 9);
    for (uint64_t r = 0; r < 600; r += 40) /* in a few rows only: a column is what stands out, over all experts */
        for (size_t c = 0; c < 3; c++)
            t.x[r * 256 + columns[c]] = (float)(9.0 - (double)c);
    struct qs_weight *w = weight_of(t.x, 256, 300, 2);
    struct qs_survey_stats s = stats_of(w, 2);
    check_named(s.col, s.n_cols_worst, columns, 3);
    qs_weight_unref(w);
    made_free(&t, 1);

    made_fill(&t, 1, 9);
    for (uint64_t c = 0; c < 256; c += 40)
        for (size_t r = 0; r < 2; r++)
            t.x[rows[r] * 256 + c] = -(float)(5.0 - (double)r);
    w = weight_of(t.x, 256, 300, 2);
    s = stats_of(w, 2);
    check_named(s.row, s.n_rows_worst, rows, 2);
    qs_weight_unref(w);
    made_free(&t, 1);

    made_fill(&t, 1, 9); /* nothing planted: nothing named */
    w = weight_of(t.x, 256, 300, 2);
    s = stats_of(w, 2);
    check_named(s.row, s.n_rows_worst, rows, 0);
    check_named(s.col, s.n_cols_worst, columns, 0);
    qs_weight_unref(w);
    made_free(&t, 1);
}

/* Whole rows and columns made larger: exactly those are named, never what they cross. */
static void check_planted(uint64_t cols, uint64_t rows, uint64_t seed, unsigned n_rows, unsigned n_cols)
{
    struct made_tensor t = { "t", { cols, rows }, NULL };
    uint64_t state = seed * 77 + cols;
    bool *row = calloc(rows, sizeof *row), *col = calloc(cols, sizeof *col);
    t.x = malloc(cols * rows * sizeof *t.x);
    assert_non_null(t.x);
    for (uint64_t i = 0; i < cols * rows; i++)
        t.x[i] = (float)(0.02 * made_gauss(&state));
    for (unsigned i = 0; i < n_rows; i++)
        row[(uint64_t)(made_uniform(&state) * (double)rows)] = true;
    for (unsigned i = 0; i < n_cols; i++)
        col[(uint64_t)(made_uniform(&state) * (double)cols)] = true;
    uint64_t want_rows = 0, want_cols = 0;
    for (uint64_t r = 0; r < rows; r++)
        want_rows += row[r];
    for (uint64_t c = 0; c < cols; c++)
        want_cols += col[c];
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            t.x[r * cols + c] *= (row[r] ? 15.0f : 1.0f) * (col[c] ? 12.0f : 1.0f);
    struct qs_weight *w = weight_of(t.x, cols, rows, 1);
    const struct qs_survey_stats s = stats_of(w, 2), one = stats_of(w, 1);
    assert_memory_equal(&s, &one, sizeof s);
    if (s.outlier_rows != want_rows || s.outlier_cols != want_cols)
        fail_msg("%u x %u, seed %u: %u rows and %u columns, not %u and %u", (unsigned)cols, (unsigned)rows, (unsigned)seed,
                 (unsigned)s.outlier_rows, (unsigned)s.outlier_cols, (unsigned)want_rows, (unsigned)want_cols);
    for (unsigned i = 0; i < s.n_rows_worst; i++)
        assert_int_equal(s.row[i].ratio >= QS_OUTLIER_RATIO, row[s.row[i].index]);
    for (unsigned i = 0; i < s.n_cols_worst; i++)
        assert_int_equal(s.col[i].ratio >= QS_OUTLIER_RATIO, col[s.col[i].index]);
    qs_weight_unref(w);
    made_free(&t, 1);
    free(row);
    free(col);
}

static void test_planted_channels(void **state)
{
    (void)state;
    static const uint64_t shape[][2] = { { 256, 256 }, { 512, 256 }, { 64, 1000 }, { 1024, 300 }, { 96, 40 } };
    for (size_t k = 0; k < sizeof shape / sizeof *shape; k++)
        for (uint64_t seed = 1; seed <= 8; seed++) {
            check_planted(shape[k][0], shape[k][1], seed, 0, 0);
            check_planted(shape[k][0], shape[k][1], seed, 2, 0);
            check_planted(shape[k][0], shape[k][1], seed, 0, 1);
            check_planted(shape[k][0], shape[k][1], seed, 0, 3);
            check_planted(shape[k][0], shape[k][1], seed, 2, 1);
            check_planted(shape[k][0], shape[k][1], seed, 3, 3);
        }
}

/* More outliers than are listed are counted all the same, and one weight alone is named once: by its column. */
static void test_many_and_single(void **state)
{
    (void)state;
    struct made_tensor t = { "t", { 128, 700 }, NULL };
    made_fill(&t, 1, 4);
    for (uint64_t r = 0; r < 200; r++)
        for (uint64_t c = 0; c < 128; c++)
            t.x[r * 128 + c] *= 20;
    struct qs_weight *w = weight_of(t.x, 128, 700, 1);
    struct qs_survey_stats s = stats_of(w, 2);
    assert_int_equal(s.outlier_rows, 200);
    assert_int_equal(s.n_rows_worst, QS_WORST);
    assert_int_equal(s.outlier_cols, 0);
    assert_int_equal(s.n_cols_worst, QS_WORST_LEAST);
    qs_weight_unref(w);
    made_free(&t, 1);
    made_fill(&t, 1, 4);
    t.x[300 * 128 + 5] = 8;
    w = weight_of(t.x, 128, 700, 1);
    s = stats_of(w, 2);
    assert_int_equal(s.outlier_rows, 0);
    assert_int_equal(s.outlier_cols, 1);
    assert_int_equal(s.col[0].index, 5);
    qs_weight_unref(w);
    made_free(&t, 1);
    made_fill(&t, 1, 4); /* most rows empty: they are no measure of the others */
    memset(t.x + 128 * 100, 0, 600 * 128 * sizeof *t.x);
    for (uint64_t c = 0; c < 128; c++)
        t.x[128 * 42 + c] *= 20;
    w = weight_of(t.x, 128, 700, 1);
    s = stats_of(w, 2);
    assert_int_equal(s.outlier_rows, 1);
    assert_int_equal(s.row[0].index, 42);
    assert_true(isfinite(s.row[0].ratio) && s.row[0].ratio > QS_OUTLIER_RATIO);
    assert_int_equal(s.outlier_cols, 0);
    qs_weight_unref(w);
    memset(t.x, 0, 700 * 128 * sizeof *t.x);
    w = weight_of(t.x, 128, 700, 1);
    s = stats_of(w, 2);
    assert_int_equal(s.outlier_rows + s.outlier_cols, 0);
    qs_weight_unref(w);
    made_free(&t, 1);
}

/* ---- many candidates, and the job ---------------------------------------------------------------------------- */

struct in_job { const struct qs_weight *w; struct qs_survey_stats s; bool cancel; };

static int stats_in_job(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct in_job *x = ctx;
    struct qs_pool *pool = NULL;
    int rc = qs_pool_new(2, &pool, e);
    qs_job_phase(job, "stats", "weights", x->w->rows * x->w->ne[0]);
    if (x->cancel)
        qs_job_cancel(job);
    if (!rc)
        rc = qs_stats_run(x->w, pool, job, &x->s, e);
    qs_pool_free(pool);
    return rc;
}

/* An embedding of 200,000 rows: of the others just over half are empty, or just under half are large; in either case a
 * search that compares all with all would take some 10^10 steps. */
static void test_many_candidates(void **state)
{
    (void)state;
    enum { ROWS = 200000, COLS = 8, LARGE = 90000 };
    float *x = malloc((size_t)ROWS * COLS * sizeof *x);
    assert_non_null(x);
    for (int large = 0; large < 2; large++) {
        uint64_t seed = 8;
        for (uint64_t i = 0; i < (uint64_t)ROWS * COLS; i++)
            x[i] = (float)(0.5 + made_uniform(&seed)) * (i / COLS % ROWS >= LARGE ? (large ? 1.0f : 0.0f) : 20.0f);
        struct in_job j = { .w = weight_of(x, COLS, ROWS, 1) };
        struct qs_err e = QS_ERR_INIT;
        for (int cancel = 0; cancel < 2; cancel++) {
            struct qs_job *job = NULL;
            struct qs_job_status st;
            j.cancel = cancel;
            assert_int_equal(qs_job_start("stats", stats_in_job, &j, -1, &job, &e), QS_OK);
            assert_int_equal(qs_job_wait(job, &e), cancel ? QS_ECANCELLED : QS_OK);
            qs_job_status(job, &st);
            assert_true(cancel ? st.done < st.total : st.done == st.total);
            qs_job_free(job);
            if (cancel)
                continue;
            assert_int_equal(j.s.outlier_rows, large ? LARGE : 0);
            assert_int_equal(j.s.outlier_cols, 0);
            assert_int_equal(j.s.zeros, large ? 0 : (uint64_t)(ROWS - LARGE) * COLS);
        }
        qs_weight_unref((struct qs_weight *)(uintptr_t)j.w);
    }
    free(x);
}

static void test_mean_square(void **state)
{
    (void)state;
    struct made_tensor t = { "t", { 320, 900 }, NULL };
    struct qs_err e = QS_ERR_INIT;
    double got[3], sum = 0;
    made_fill(&t, 1, 3);
    t.x[5] = NAN;
    t.x[70000] = INFINITY;
    for (uint64_t i = 0; i < 320 * 900; i++)
        sum += isfinite(t.x[i]) ? (double)t.x[i] * (double)t.x[i] : 0;
    struct qs_weight *w = weight_of(t.x, 320, 900, 1);
    for (unsigned threads = 1; threads < 4; threads++) {
        struct qs_pool *pool = NULL;
        assert_int_equal(qs_pool_new(threads, &pool, &e), QS_OK);
        assert_int_equal(qs_stats_mean_square(w, pool, NULL, true, &got[threads - 1], &e), QS_OK);
        qs_pool_free(pool);
    }
    close_to(got[0], sum / (320 * 900 - 2));
    assert_memory_equal(&got[0], &got[1], sizeof *got);
    assert_memory_equal(&got[0], &got[2], sizeof *got);
    qs_weight_unref(w);
    made_free(&t, 1);
}

static int stats_body(void *ctx, struct qs_err *e)
{
    struct qs_survey_stats s;
    struct qs_pool *pool = NULL;
    int rc = qs_pool_new(1, &pool, e);
    if (!rc)
        rc = qs_stats_run(ctx, pool, NULL, &s, e);
    qs_pool_free(pool);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    struct made_tensor t = { "t", { 64, 64 }, NULL };
    made_fill(&t, 1, 1);
    t.x[70] = 9;
    struct qs_weight *w = weight_of(t.x, 64, 64, 1);
    qs_test_each_alloc(stats_body, w);
    qs_weight_unref(w);
    made_free(&t, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_slow), cmocka_unit_test(test_nothing_finite),
        cmocka_unit_test(test_same_bits_for_any_threads), cmocka_unit_test(test_planted_outliers),
        cmocka_unit_test(test_planted_channels), cmocka_unit_test(test_many_and_single),
        cmocka_unit_test(test_many_candidates), cmocka_unit_test(test_mean_square), cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
