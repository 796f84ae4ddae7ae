/* test_hqq.c - HQQ against the published steps, plainly written in double precision; it lowers what it is to lower. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/group.h"
#include "kernels/format.h"
#include "kernels/lattice.h"
#include "tests/lib/qs_test.h"

#define ROWS 32
#define COLS 512

static uint64_t state_of_random;
static float w[ROWS * COLS], back[ROWS * COLS];

static double uniform(void)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (double)(state_of_random >> 11) * 0x1p-53;
}

/* Heavy tails, as weights have them. */
static void fill(uint64_t seed, double size)
{
    state_of_random = seed;
    for (size_t i = 0; i < ROWS * COLS; i++) {
        const double u = uniform() - 0.5;
        w[i] = (float)(size * (copysign(-log(1 - 2 * fabs(u)), u) + 0.1));
    }
}

static double sum_p(const float *made, double p)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS * COLS; i++)
        sum += pow(fabs((double)made[i] - (double)w[i]), p);
    return sum;
}

/* ---- the published steps (hqq's optimize_weights_proximal), one group ---- */

static double oracle_sum(const float *x, size_t n, double scale, double zero, double top, double p)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        const double q = fmin(fmax(floor((double)x[j] / scale + zero + 0.5), 0), top);
        sum += pow(fabs((q - zero) * scale - (double)x[j]), p);
    }
    return sum;
}

static void oracle(const float *x, size_t n, unsigned bits, const struct qs_hqq_args *a, bool whole, double *scale,
                   double *zero)
{
    const double top = (double)(1u << bits) - 1;
    double low = (double)x[0], high = low, beta = a->beta;
    for (size_t j = 0; j < n; j++) {
        low = fmin(low, (double)x[j]);
        high = fmax(high, (double)x[j]);
    }
    if (whole) {
        low = fmin(low, 0);
        high = fmax(high, 0);
    }
    *scale = (high - low) / top;
    double z = -low / *scale;
    z = whole ? floor(z + 0.5) : z;
    *zero = z;
    double best = oracle_sum(x, n, *scale, z, top, a->p);
    for (unsigned i = 0; i < a->iterations; i++) {
        double mean = 0;
        for (size_t j = 0; j < n; j++) {
            const double q = fmin(fmax(floor((double)x[j] / *scale + z + 0.5), 0), top);
            const double d = (double)x[j] - (q - z) * *scale;
            const double u = a->absolute ? 1 : *scale;
            const double e = u * (d > 0 ? 1 : -1) * fmax(fabs(d / u) - pow(fabs(d / u), a->p - 1) / beta, 0);
            mean += (q - ((double)x[j] - e) / *scale) / (double)n;
        }
        z = whole ? fmin(fmax(floor(mean + 0.5), 0), top) : mean;
        beta *= a->kappa;
        const double now = oracle_sum(x, n, *scale, z, top, a->p);
        if (now < best)
            *zero = z;
        best = fmin(best, now);
    }
}

static void check_fit(unsigned bits, size_t group, bool real, double size, const struct qs_hqq_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_group_grid g = { bits, group, false, real, false };
    const size_t n = group ? group : COLS;
    struct qs_group_rows *r, *range;
    fill(bits * 100 + group, size);
    assert_int_equal(qs_group_rows_new(&g, ROWS, COLS, &r, &e), QS_OK);
    assert_int_equal(qs_group_rows_new(&g, ROWS, COLS, &range, &e), QS_OK);
    assert_int_equal(qs_hqq_fit(&g, a, w, r, NULL, QS_PRIO_JOB, &e), QS_OK);
    assert_int_equal(qs_group_fit(&g, w, NULL, range, NULL, QS_PRIO_JOB, &e), QS_OK);
    size_t same = 0;
    double sum = 0;
    for (size_t i = 0; i < ROWS * r->groups; i++) {
        double scale, zero;
        oracle(w + i * n, n, bits, a, !real || a->round_zero, &scale, &zero);
        sum += oracle_sum(w + i * n, n, scale, zero, (double)(1u << bits) - 1, a->p);
        same += fabs(scale / (double)r->scale[i] - 1) < 1e-6 && fabs(zero - (double)r->zero[i]) < 1e-4;
    }
    qs_group_decode(range, back);
    const double was = sum_p(back, a->p);
    qs_group_decode(r, back);
    const double now = sum_p(back, a->p);
    print_message("%u bit, group %3zu, %s zeros, weights of %g, beta %g%s: sum |w-w^|^%g %.5g -> %.5g, plainly %.5g, "
                  "%zu of %zu alike\n", bits, group, real ? "real   " : "integer", size, a->beta,
                  a->absolute ? " absolute" : "", a->p, was, now, sum, same, ROWS * r->groups);
    /* A weight on the edge between two codes may fall otherwise in single precision, and the turns with it. */
    assert_true((double)same >= 0.95 * (double)(ROWS * r->groups) && fabs(now / sum - 1) < 1e-3);
    if (!real || !a->round_zero) /* else the range had the freer zeros */
        assert_true(now <= was && (now < 0.99 * was || bits == 8 || !real));
    qs_group_rows_free(r);
    qs_group_rows_free(range);
}

static void test_published(void **state)
{
    (void)state;
    const struct qs_hqq_args usual = QS_HQQ_ARGS_INIT, published = { 0.7, 10, 1.01, 20, false, true },
                             sharp = { 0.7, 400, 1.01, 20, false, true }, whole = { 0.7, 10, 1.01, 20, true, false };
    static const unsigned bits[] = { 2, 3, 4, 8 };
    for (size_t i = 0; i < 4; i++) {
        check_fit(bits[i], 64, true, 0.02, &usual);
        check_fit(bits[i], 128, false, 0.02, &usual);
    }
    check_fit(4, 64, true, 0.02, &published);
    check_fit(4, 64, true, 1, &published); /* weights large enough for the proximal step to leave something */
    check_fit(4, 64, true, 0.02, &sharp);
    check_fit(3, 0, true, 0.02, &usual);
    check_fit(4, 64, true, 0.02, &whole);
}

/* ---- GGUF types ---- */

static void fit_type(const struct qs_format *f, const float *importance, uint8_t *bytes)
{
    void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, ROWS, COLS));
    assert_non_null(scratch);
    qs_format_encode(f, &(struct qs_rows){ w, ROWS, COLS, COLS, importance }, &(struct qs_parts){ { bytes } }, scratch);
    qs_free(scratch);
}

static double type_sum(const struct qs_format *f, const uint8_t *bytes, double p)
{
    qs_format_ops(f->id)->decode(&(struct qs_const_parts){ { bytes } }, ROWS, COLS, back, COLS);
    return sum_p(back, p);
}

static bool no_block_worse(const struct qs_format *f, const uint8_t *plain, const uint8_t *made, double p)
{
    static float was[ROWS * COLS];
    bool ok = true;
    qs_format_ops(f->id)->decode(&(struct qs_const_parts){ { plain } }, ROWS, COLS, was, COLS);
    qs_format_ops(f->id)->decode(&(struct qs_const_parts){ { made } }, ROWS, COLS, back, COLS);
    for (size_t b = 0; b < ROWS * COLS; b += f->block) {
        double more = 0;
        for (size_t j = b; j < b + f->block; j++)
            more += pow(fabs((double)(back[j] - w[j])), p) - pow(fabs((double)(was[j] - w[j])), p);
        ok = ok && more <= 1e-9;
    }
    return ok;
}

static void test_types(void **state)
{
    (void)state;
    static const int types[] = { QS_Q4_1, QS_Q5_1, QS_Q2_K, QS_Q4_K, QS_Q5_K };
    const struct qs_hqq_args a = QS_HQQ_ARGS_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    float importance[COLS];
    assert_int_equal(qs_pool_new(3, &pool, &e), QS_OK);
    for (size_t j = 0; j < COLS; j++)
        importance[j] = (float)(0.1 + uniform());
    for (size_t i = 0; i < 5; i++)
        for (int mean = 0; mean < 2; mean++) { /* all weights above 0: a K type has no minimum for them */
            const struct qs_format *f = qs_format_by_id(types[i]);
            const size_t bytes = ROWS * qs_format_row_bytes(f, COLS);
            uint8_t *plain = qs_malloc(bytes), *made = qs_malloc(bytes), *again = qs_malloc(bytes);
            assert_true(plain && made && again);
            fill(50 + i, 0.02);
            for (size_t k = 0; mean && k < ROWS * COLS; k++)
                w[k] = fabsf(w[k]) + 0.03f;
            fit_type(f, mean ? NULL : importance, plain);
            for (int k = 0; k < 2; k++)
                if (qs_hqq_encode(types[i], &a, w, ROWS, COLS, mean ? NULL : importance, k ? again : made,
                                  k ? pool : NULL, QS_PRIO_JOB, &e) != QS_OK)
                    fail_msg("%s", e.msg);
            assert_memory_equal(made, again, bytes);
            const double was = type_sum(f, plain, a.p), now = type_sum(f, made, a.p);
            print_message("%-5s%s: sum |w-w^|^0.7 %.5g -> %.5g\n", f->name, mean ? ", all above 0" : "", was, now);
            assert_true(now <= was && (mean || now < 0.99 * was));
            assert_true(no_block_worse(f, plain, made, a.p));
            qs_free(plain);
            qs_free(made);
            qs_free(again);
        }
    qs_pool_free(pool);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct qs_hqq_args a = QS_HQQ_ARGS_INIT, bad = { 1.5, 10, 1, 20, false, false };
    const struct qs_group_grid sym = { 4, 64, true, false, false }, good = { 4, 64, false, true, false };
    struct qs_group_rows *r;
    struct qs_err e = QS_ERR_INIT;
    uint8_t to[64];
    assert_int_equal(qs_hqq_encode(QS_Q4_0, &a, w, 1, 32, NULL, to, NULL, QS_PRIO_JOB, &e), QS_EUNSUPPORTED);
    assert_non_null(strstr(e.msg, "Q4_0 has none"));
    assert_int_equal(qs_hqq_encode(QS_IQ2_XS, &a, w, 1, 256, NULL, to, NULL, QS_PRIO_JOB, &e), QS_EUNSUPPORTED);
    assert_int_equal(qs_hqq_encode(QS_Q4_K, &a, w, 1, 128, NULL, to, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    assert_int_equal(qs_hqq_encode(QS_Q4_1, &bad, w, 1, 32, NULL, to, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    w[3] = INFINITY;
    assert_int_equal(qs_hqq_encode(QS_Q4_1, &a, w, 1, 32, NULL, to, NULL, QS_PRIO_JOB, &e), QS_EFORMAT);
    w[3] = 0;
    assert_int_equal(qs_group_rows_new(&sym, ROWS, COLS, &r, &e), QS_OK);
    assert_int_equal(qs_hqq_fit(&sym, &a, w, r, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    assert_int_equal(qs_hqq_fit(&good, &bad, w, r, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    qs_group_rows_free(r);
}

static int alloc_body(void *ctx, struct qs_err *e)
{
    const struct qs_hqq_args a = QS_HQQ_ARGS_INIT;
    uint8_t to[4096];
    (void)ctx;
    return qs_hqq_encode(QS_Q4_K, &a, w, 4, COLS, NULL, to, NULL, QS_PRIO_JOB, e);
}

static void test_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(alloc_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_published), cmocka_unit_test(test_types),
                                        cmocka_unit_test(test_refusals), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
