/* test_hessian.c - Hessians, their products with the difference to another model, and energies, against plain loops in
 * double; the same bits for every number of threads and every cut of the rows. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/hessian.h"
#include "kernels/level.h"

#define COLS 300    /* more than one tile, no multiple of one */
#define ROWS 1300   /* more than two chunks */
#define STRIDE 310

static float x[ROWS * STRIDE], x0[ROWS * STRIDE];
static uint64_t seed = 7;

static float draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 11) / 9007199254740992.0 * 2 - 1);
}

static void fill(void)
{
    for (size_t i = 0; i < ROWS * STRIDE; i++) {
        x[i] = draw() * (i % STRIDE % 17 == 3 ? 20.0f : 1.0f);
        x0[i] = x[i] + 0.1f * draw();
    }
    for (size_t i = 0; i < ROWS; i++) /* a dead channel */
        x[i * STRIDE + 40] = x0[i * STRIDE + 40] = 0;
}

/* Adds rows [0, n) in calls of `step` rows (0: of growing length). */
static struct qs_hessian *made(size_t cols, bool cross, struct qs_pool *pool, size_t n, size_t step)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_hessian *h = NULL;
    assert_int_equal(qs_hessian_new(cols, cross, pool, QS_PRIO_JOB, &h, &e), QS_OK);
    for (size_t at = 0, k = 1; at < n; k++) {
        size_t now = step ? step : k;
        now = n - at < now ? n - at : now;
        assert_int_equal(qs_hessian_add(h, x + at * STRIDE, cross ? x0 + at * STRIDE : NULL, now, STRIDE, &e), QS_OK);
        at += now;
    }
    assert_int_equal(qs_hessian_end(h, &e), QS_OK);
    return h;
}

static bool all_finite(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

static double want_h[COLS * COLS], want_cross[COLS * COLS], size[COLS * COLS];

/* Both matrices from the definition, and how large what is added up is. */
static void plain(size_t cols, size_t n)
{
    size_t count = 0;
    memset(want_h, 0, sizeof want_h);
    memset(want_cross, 0, sizeof want_cross);
    memset(size, 0, sizeof size);
    for (size_t r = 0; r < n; r++) {
        const float *a = x + r * STRIDE, *a0 = x0 + r * STRIDE;
        if (!all_finite(a, cols) || !all_finite(a0, cols))
            continue;
        count++;
        for (size_t i = 0; i < cols; i++)
            for (size_t j = 0; j < cols; j++) {
                want_h[i * cols + j] += (double)a[i] * (double)a[j];
                want_cross[i * cols + j] += ((double)a0[i] - (double)a[i]) * (double)a[j];
                size[i * cols + j] += fabs((double)a[i] * (double)a[j]);
            }
    }
    for (size_t i = 0; i < cols * cols && count; i++) {
        want_h[i] /= (double)count;
        want_cross[i] /= (double)count;
        size[i] /= (double)count;
    }
}

/* Where H is made of inputs in bfloat16: each to half of its last bit. */
static bool rounds(size_t cols) { return qs_row_ops()->outer && cols >= QS_PAIR_COLS; }

static void compare(const struct qs_hessian *h, size_t n)
{
    const double most = rounds(h->cols) ? 0x1p-7 + 0x1p-15 : 2e-6;
    double error = 0, all = 0;
    plain(h->cols, n);
    for (size_t i = 0; i < h->cols * h->cols; i++) {
        const double d = (double)h->h[i] - want_h[i];
        assert_true(fabs(d) <= most * size[i]);
        error += d * d;
        all += want_h[i] * want_h[i];
        if (h->cross)
            assert_true(fabs((double)h->cross[i] - want_cross[i]) <= 2e-6 * size[i]);
    }
    assert_true(sqrt(error) <= (n < 100 ? 4e-3 : 1e-3) * sqrt(all)); /* to either side, they cancel */
}

/* The same at a level without the instruction: to single precision. */
static void test_library(void **state)
{
    (void)state;
    qs_level_limit(QS_LEVEL_REF);
    assert_false(rounds(COLS));
    fill();
    struct qs_hessian *h = made(COLS, true, NULL, ROWS, 100);
    compare(h, ROWS);
    qs_hessian_free(h);
    qs_level_limit(QS_LEVEL_COUNT);
}

static void test_definition(void **state)
{
    const size_t rows[] = { 1, 5, QS_HESSIAN_CHUNK, QS_HESSIAN_CHUNK + 1, ROWS };
    (void)state;
    fill();
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct qs_hessian *h = made(COLS, true, NULL, rows[k], 100);
        assert_int_equal(h->rows, rows[k]);
        assert_int_equal(h->nonfinite, 0);
        compare(h, rows[k]);
        qs_hessian_free(h);
    }
    struct qs_hessian *h = made(1, false, NULL, ROWS, 0);
    compare(h, ROWS);
    qs_hessian_free(h);
    h = made(COLS, false, NULL, 0, 1); /* nothing was added: zeros, no division by them */
    for (size_t i = 0; i < COLS * COLS; i++)
        assert_true(fabsf(h->h[i]) <= 0);
    qs_hessian_free(h);
}

static void test_threads_and_cuts(void **state)
{
    const size_t steps[] = { 1, 64, 511, 513, ROWS, 0 };
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    fill();
    struct qs_hessian *want = made(COLS, true, NULL, ROWS, ROWS);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct qs_pool *pool = NULL;
        assert_int_equal(qs_pool_new(threads, &pool, &e), QS_OK);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            struct qs_hessian *h = made(COLS, true, pool, ROWS, steps[k]);
            assert_memory_equal(h->h, want->h, COLS * COLS * sizeof *h->h);
            assert_memory_equal(h->cross, want->cross, COLS * COLS * sizeof *h->cross);
            double a = 0, b = 0;
            assert_int_equal(qs_hessian_energy(want, x0, 180, &a, &e), QS_OK);
            assert_int_equal(qs_hessian_energy(h, x0, 180, &b, &e), QS_OK);
            assert_memory_equal(&a, &b, sizeof a);
            qs_hessian_free(h);
        }
        qs_pool_free(pool);
    }
    qs_hessian_free(want);
}

static void test_not_finite(void **state)
{
    (void)state;
    fill();
    x[700 * STRIDE + 299] = NAN;
    x[701 * STRIDE] = -INFINITY;
    x0[900 * STRIDE + 5] = INFINITY;
    x[20 * STRIDE + COLS] = NAN; /* between the rows */
    struct qs_hessian *h = made(COLS, true, NULL, ROWS, 77);
    assert_int_equal(h->rows, ROWS - 3);
    assert_int_equal(h->nonfinite, 3);
    assert_int_equal(h->first_bad, 700);
    compare(h, ROWS);
    qs_hessian_free(h);
    fill();
}

static void test_energy(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    fill();
    struct qs_hessian *h = made(COLS, false, NULL, ROWS, 200);
    static float d[130 * COLS];
    for (size_t i = 0; i < 130 * COLS; i++)
        d[i] = draw();
    for (size_t rows = 1; rows <= 130; rows += 43) {
        double want = 0, got = 0;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < COLS; i++)
                for (size_t j = 0; j < COLS; j++)
                    want += (double)d[r * COLS + i] * h->h[i * COLS + j] * d[r * COLS + j];
        assert_int_equal(qs_hessian_energy(h, d, rows, &got, &e), QS_OK);
        assert_true(want > 0 && fabs(got - want) <= 1e-5 * want);
    }
    qs_hessian_free(h);
}

static void test_refusals(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_hessian *h = NULL;
    (void)state;
    assert_int_equal(qs_hessian_new(0, false, NULL, QS_PRIO_JOB, &h, &e), QS_ELIMIT);
    assert_int_equal(qs_hessian_new((size_t)1 << 40, false, NULL, QS_PRIO_JOB, &h, &e), QS_ELIMIT);
    assert_int_equal(qs_hessian_new(COLS, false, NULL, QS_PRIO_JOB, &h, &e), QS_OK);
    assert_int_equal(qs_hessian_add(h, x, x0, 1, STRIDE, &e), QS_EINVAL);
    assert_int_equal(qs_hessian_add(h, x, NULL, 1, COLS - 1, &e), QS_EINVAL);
    assert_int_equal(qs_hessian_end(h, &e), QS_OK);
    assert_int_equal(qs_hessian_add(h, x, NULL, 1, STRIDE, &e), QS_EINVAL);
    qs_hessian_free(h);
}

static int with_little_memory(void *ctx, struct qs_err *e)
{
    struct qs_hessian *h = NULL;
    double energy = 0;
    (void)ctx;
    int rc = qs_hessian_new(64, true, NULL, QS_PRIO_JOB, &h, e);
    if (rc == QS_OK)
        rc = qs_hessian_add(h, x, x0, 600, STRIDE, e);
    if (rc == QS_OK)
        rc = qs_hessian_end(h, e);
    if (rc == QS_OK)
        rc = qs_hessian_energy(h, x, 5, &energy, e);
    qs_hessian_free(h);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    fill();
    for (size_t cols = 64; cols <= 1024; cols *= 4)
        for (int cross = 0; cross < 2; cross++) {
            struct qs_err e = QS_ERR_INIT;
            struct qs_hessian *h = NULL;
            const uint64_t before = qs_mem_in_use();
            assert_int_equal(qs_hessian_new(cols, cross, NULL, QS_PRIO_JOB, &h, &e), QS_OK);
            assert_true(qs_mem_in_use() - before <= qs_hessian_need(cols, cross) + 5 * 4096); /* rounded up, each */
            qs_hessian_free(h);
        }
    qs_test_each_alloc(with_little_memory, NULL);
}

/* The drift is the product of the states' differences with the rows; nothing else changes for it. */
static void test_drift(void **state)
{
    (void)state;
    enum { W = 270, N = 1100, C = 60 };
    static float s[N * W], s0[N * W];
    struct qs_err e = QS_ERR_INIT;
    struct qs_hessian *h = NULL, *without;
    fill();
    for (size_t i = 0; i < N * W; i++) {
        s[i] = draw();
        s0[i] = s[i] + 0.3f * draw();
    }
    assert_int_equal(qs_hessian_new(C, true, NULL, QS_PRIO_JOB, &h, &e), QS_OK);
    assert_int_equal(qs_hessian_add_states(h, x, x0, s, s0, 1, STRIDE, &e), QS_EINVAL);
    assert_int_equal(qs_hessian_follow(h, W, &e), QS_OK);
    assert_int_equal(qs_hessian_add(h, x, x0, 1, STRIDE, &e), QS_EINVAL);
    for (size_t at = 0; at < N; at += 100)
        assert_int_equal(qs_hessian_add_states(h, x + at * STRIDE, x0 + at * STRIDE, s + at * W, s0 + at * W, 100, STRIDE, &e),
                         QS_OK);
    assert_int_equal(qs_hessian_end(h, &e), QS_OK);
    for (size_t i = 0; i < W; i++)
        for (size_t j = 0; j < C; j++) {
            double want = 0, all = 0;
            for (size_t r = 0; r < N; r++) {
                const double one = ((double)s0[r * W + i] - (double)s[r * W + i]) * (double)x[r * STRIDE + j];
                want += one / N;
                all += fabs(one) / N;
            }
            assert_true(fabs((double)h->drift[i * C + j] - want) <= 1e-6 * all);
        }
    without = made(C, true, NULL, N, 0);
    assert_memory_equal(h->h, without->h, C * C * sizeof *h->h);
    assert_memory_equal(h->cross, without->cross, C * C * sizeof *h->h);
    qs_hessian_free(h);
    qs_hessian_free(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_threads_and_cuts), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_energy),     cmocka_unit_test(test_refusals),         cmocka_unit_test(test_memory),
        cmocka_unit_test(test_drift),      cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
