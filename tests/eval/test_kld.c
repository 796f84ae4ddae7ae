/* test_kld.c - the statistics of logits against a case computed by hand, and against plain sums over random rows. */
#include "tests/lib/qs_test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/eval/kld.h"

static void close_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fmax(fabs(want), 1e-3)))
        fail_msg("%.17g is not %.17g", got, want);
}

static uint64_t seed = 1;
static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}
static float normal(void) { return (float)(sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform())); }

/* Four tokens. The reference gives 1/2 1/4 1/8 1/8, the model 1/4 1/2 1/8 1/8; then the other way round for another
 * token. kld = 1/2 ln 2 + 1/4 ln(1/2) = 1/4 ln 2 in both. */
static void test_by_hand(void **state)
{
    (void)state;
    const double l2 = log(2);
    const float b[4] = { 3, 3 - (float)l2, 3 - 2 * (float)l2, 3 - 2 * (float)l2 };
    const float q[4] = { -1 - (float)l2, -1, -1 - 2 * (float)l2, -1 - 2 * (float)l2 };
    struct qs_kld_row x, y;
    qs_kld_row(b, q, 4, 0, &x); /* token 0: b 1/2, q 1/4 */
    close_to(x.kld, l2 / 4, 1e-6);
    close_to(x.nll, 2 * l2, 1e-6);
    close_to(x.nll_base, l2, 1e-6);
    close_to(x.dp, -0.25, 1e-6);
    assert_int_equal(x.top, 1);
    assert_int_equal(x.top_base, 0);
    qs_kld_row(b, b, 4, 2, &y); /* the reference itself, token 2: 1/8 */
    assert_true(y.kld >= 0 && !(y.kld > 0) && !(y.dp > 0) && !(y.dp < 0));
    close_to(y.nll, 3 * l2, 1e-6);

    struct qs_kld k;
    struct qs_err e = QS_ERR_INIT;
    double n[QS_KLD_NUMBERS];
    qs_kld_init(&k, true);
    assert_int_equal(qs_kld_add(&k, &x, 5, &e), QS_OK);
    assert_int_equal(qs_kld_add(&k, &y, 6, &e), QS_OK);
    qs_kld_numbers(&k, n);
    /* nll: 2, 3 (times ln 2); of the reference: 1, 3. Means 2.5 and 2; variances (of n) 1/4 and 1; covariance 1/2. */
    close_to(n[QS_KLD_PPL], exp(2.5 * l2), 1e-6);
    close_to(n[QS_KLD_PPL_BASE], exp(2 * l2), 1e-6);
    close_to(n[QS_KLD_NLL_SE], 0.5 * l2, 1e-6);
    close_to(n[QS_KLD_PPL_BASE_SE], 4 * l2, 1e-6);
    close_to(n[QS_KLD_LN_RATIO], 0.5 * l2, 1e-6);
    close_to(n[QS_KLD_LN_RATIO_SE], l2 * sqrt(0.25 + 1 - 2 * 0.5), 1e-6);
    close_to(n[QS_KLD_CORRELATION], 1, 1e-6);
    close_to(n[QS_KLD_RATIO], sqrt(2), 1e-6);
    close_to(n[QS_KLD_MEAN], l2 / 8, 1e-6);
    close_to(n[QS_KLD_MEAN_SE], l2 / 8, 1e-6);
    close_to(n[QS_KLD_MAX], l2 / 4, 1e-6);
    close_to(n[QS_KLD_MEDIAN], l2 / 8, 1e-6);
    close_to(n[QS_KLD_90], 0.9 * l2 / 4, 1e-6);
    close_to(n[QS_KLD_DP], -0.125, 1e-6);
    close_to(n[QS_KLD_DP_RMS], 0.25 / sqrt(2), 1e-6);
    /* squares 1/16 and 0: mean 1/32, its error 1/32: 0.5 / RMS / 32 */
    close_to(n[QS_KLD_DP_RMS_SE], 0.5 / (0.25 / sqrt(2)) / 32, 1e-6);
    close_to(n[QS_KLD_SAME_TOP], 0.5, 1e-12);
    close_to(n[QS_KLD_SAME_TOP_SE], 0.5, 1e-12);
    qs_kld_free(&k);
}

#define VOCAB 777
#define ROWS 300

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void mean_of(const double *x, size_t n, double *mean, double *error)
{
    double sum = 0, off = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    for (size_t i = 0; i < n; i++)
        off += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
    *mean = sum / (double)n;
    *error = sqrt(off / (double)n / (double)(n - 1));
}

/* Everything again in the plainest way, with probabilities written out. */
static void test_random(void **state)
{
    (void)state;
    static float b[VOCAB], q[VOCAB];
    static double pb[VOCAB], pq[VOCAB], kld[ROWS], nll[ROWS], nll_base[ROWS], dp[ROWS], dp2[ROWS], ratio[ROWS];
    struct qs_kld k;
    struct qs_err e = QS_ERR_INIT;
    double same = 0;
    qs_kld_init(&k, true);
    for (size_t r = 0; r < ROWS; r++) {
        const int32_t token = (int32_t)(uniform() * VOCAB);
        double sb = 0, sq = 0;
        size_t tb = 0, tq = 0;
        for (size_t i = 0; i < VOCAB; i++) {
            b[i] = 4 * normal();
            q[i] = b[i] + 0.3f * normal() + 7;
            sb += pb[i] = exp(b[i]);
            sq += pq[i] = exp(q[i]);
            tb = b[i] > b[tb] ? i : tb;
            tq = q[i] > q[tq] ? i : tq;
        }
        kld[r] = 0;
        for (size_t i = 0; i < VOCAB; i++)
            kld[r] += pb[i] / sb * log((pb[i] / sb) / (pq[i] / sq));
        nll[r] = -log(pq[token] / sq);
        nll_base[r] = -log(pb[token] / sb);
        ratio[r] = nll[r] - nll_base[r];
        dp[r] = pq[token] / sq - pb[token] / sb;
        dp2[r] = dp[r] * dp[r];
        same += tb == tq;
        struct qs_kld_row row;
        qs_kld_row(b, q, VOCAB, token, &row);
        close_to(row.kld, kld[r], 1e-10);
        assert_int_equal(qs_kld_add(&k, &row, r, &e), QS_OK);
    }
    double n[QS_KLD_NUMBERS], mean, error;
    qs_kld_numbers(&k, n);
    mean_of(kld, ROWS, &mean, &error);
    close_to(n[QS_KLD_MEAN], mean, 1e-10);
    close_to(n[QS_KLD_MEAN_SE], error, 1e-10);
    mean_of(nll, ROWS, &mean, &error);
    close_to(n[QS_KLD_PPL], exp(mean), 1e-10);
    close_to(n[QS_KLD_PPL_SE], exp(mean) * error, 1e-10);
    const double ppl = exp(mean);
    mean_of(nll_base, ROWS, &mean, &error);
    close_to(n[QS_KLD_DIFFERENCE], ppl - exp(mean), 1e-9);
    mean_of(ratio, ROWS, &mean, &error); /* the error of a difference of means is that of the mean difference */
    close_to(n[QS_KLD_LN_RATIO], mean, 1e-10);
    close_to(n[QS_KLD_LN_RATIO_SE], error, 1e-8);
    close_to(n[QS_KLD_RATIO_SE], exp(mean) * error, 1e-8);
    mean_of(dp, ROWS, &mean, &error);
    close_to(n[QS_KLD_DP], mean, 1e-10);
    close_to(n[QS_KLD_DP_SE], error, 1e-10);
    mean_of(dp2, ROWS, &mean, &error);
    close_to(n[QS_KLD_DP_RMS], sqrt(mean), 1e-10);
    close_to(n[QS_KLD_DP_RMS_SE], 0.5 / sqrt(mean) * error, 1e-10);
    close_to(n[QS_KLD_SAME_TOP], same / ROWS, 1e-12);
    qsort(kld, ROWS, sizeof *kld, by_value);
    qsort(dp, ROWS, sizeof *dp, by_value);
    const double at = 0.95 * (ROWS - 1), part = at - floor(at);
    close_to(n[QS_KLD_95], (1 - part) * kld[(size_t)at] + part * kld[(size_t)at + 1], 1e-10);
    close_to(n[QS_KLD_MEDIAN], (kld[ROWS / 2] + kld[ROWS / 2 - 1]) / 2, 1e-10);
    close_to(n[QS_KLD_MIN], kld[0], 1e-9);
    close_to(n[QS_KLD_DP_25], 0.25 * dp[74] + 0.75 * dp[75] + (0.25 * 299 - 74.75) * (dp[75] - dp[74]), 1e-9);
    close_to(n[QS_KLD_DP_MAX], dp[ROWS - 1], 1e-10);
    qs_kld_free(&k);
}

/* What is not finite is counted with its place and leaves the means alone. */
static void test_not_finite(void **state)
{
    (void)state;
    float good[3] = { 1, 2, 3 }, nan_row[3] = { 1, NAN, 3 }, inf_row[3] = { 1, 2, -INFINITY };
    struct qs_kld k;
    struct qs_kld_row row;
    struct qs_err e = QS_ERR_INIT;
    qs_kld_init(&k, true);
    qs_kld_row(good, good, 3, 1, &row);
    assert_int_equal(qs_kld_add(&k, &row, 10, &e), QS_OK);
    qs_kld_row(good, nan_row, 3, 1, &row);
    assert_true(row.bad && !row.bad_base && isnan(row.nll) && row.top == -1);
    assert_true(row.nll_base > 0);
    assert_int_equal(qs_kld_add(&k, &row, 12, &e), QS_OK);
    assert_int_equal(qs_kld_add(&k, &row, 11, &e), QS_OK);
    qs_kld_row(inf_row, good, 3, 1, &row);
    assert_true(!row.bad && row.bad_base && isnan(row.kld));
    assert_int_equal(qs_kld_add(&k, &row, 13, &e), QS_OK);
    assert_int_equal(k.n, 1);
    assert_int_equal(k.n_bad, 2);
    assert_int_equal(k.first_bad, 11);
    assert_int_equal(k.n_bad_base, 1);
    assert_int_equal(k.first_bad_base, 13);
    double n[QS_KLD_NUMBERS];
    qs_kld_numbers(&k, n);
    assert_true(!(n[QS_KLD_MEAN] > 0) && isnan(n[QS_KLD_MEAN_SE]) && isnan(n[QS_KLD_LN_RATIO_SE]));
    qs_kld_free(&k);

    /* Large logits neither overflow nor lose the answer; without a reference there is no divergence. */
    const float large[3] = { FLT_MAX, 0, -FLT_MAX };
    qs_kld_row(NULL, large, 3, 0, &row);
    assert_true(!row.bad && !(row.nll > 0) && isnan(row.kld) && row.top_base == -1);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < QS_KLD_NUMBERS; i++) {
        assert_non_null(qs_kld_names[i].key);
        assert_true(qs_kld_names[i].label || i > 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(qs_kld_names[i].key, qs_kld_names[k].key);
    }
}

/* Beyond what is kept: every order statistic within the stated error, both signs, zeros, ends exact. */
static void test_sketch(void **state)
{
    (void)state;
    enum { N = 20000 };
    static double x[N];
    struct qs_sketch s, exact;
    struct qs_err e = QS_ERR_INIT;
    qs_sketch_init(&s, 1000);
    qs_sketch_init(&exact, N);
    assert_true(isnan(qs_sketch_at(&s, 0.5)));
    for (size_t i = 0; i < N; i++) {
        x[i] = i % 10 == 0 ? 0 : exp(8 * (double)normal() - 4) * (i % 3 ? 1 : -1);
        assert_int_equal(qs_sketch_add(&s, x[i], &e), QS_OK);
        assert_int_equal(qs_sketch_add(&exact, x[i], &e), QS_OK);
        assert_int_equal(qs_sketch_exact(&s), i < 1000);
        if (i == 999)
            close_to(qs_sketch_at(&s, 0.3), qs_sketch_at(&exact, 0.3), 1e-15);
    }
    qsort(x, N, sizeof *x, by_value);
    for (int i = 0; i <= 1000; i++) {
        const double share = i / 1000.0, at = share * (N - 1), part = at - floor(at);
        const double a = x[(size_t)at], b = x[(size_t)at + (at < N - 1)], want = (1 - part) * a + part * b;
        assert_true(fabs(qs_sketch_at(&exact, share) - want) <= 1e-9 * fabs(want));
        assert_true(fabs(qs_sketch_at(&s, share) - want) <= QS_SKETCH_ERROR * 1.0001 * fmax(fabs(a), fabs(b)) + 1e-12);
    }
    close_to(qs_sketch_at(&s, 0), x[0], 1e-15);
    close_to(qs_sketch_at(&s, 1), x[N - 1], 1e-15);
    qs_sketch_free(&s);
    qs_sketch_free(&exact);
}

static int body(void *ctx, struct qs_err *e)
{
    (void)ctx;
    struct qs_sketch s;
    int rc = QS_OK;
    qs_sketch_init(&s, 8);
    for (int i = 0; i < 12 && !rc; i++)
        rc = qs_sketch_add(&s, i, e);
    qs_sketch_free(&s);
    return rc;
}
static void test_memory(void **state) { (void)state; qs_test_each_alloc(body, NULL); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_random), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_names), cmocka_unit_test(test_sketch), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
