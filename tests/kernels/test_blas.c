/* test_blas.c - the five operations of kernels/blas.h against plain loops in double, with strides larger than rows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "kernels/blas.h"

int openblas_get_num_threads(void); /* of the library itself */

#define N 37  /* not a multiple of any panel */
#define M 11
#define K 53
#define LD 64

static uint64_t seed = 42;

static double draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0 * 2 - 1;
}

static void fill(double *d, float *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double v = draw();
        f[i] = (float)v;
        d[i] = (double)f[i];
    }
}

static double a[K * LD], b[N * LD], c[N * LD], want[N * LD];
static float fa[K * LD], fb[N * LD], fc[N * LD];

#define NEAR(x, y, tolerance) assert_true(fabs((double)(x) - (y)) <= (tolerance) * (1 + fabs(y)))

static void test_syrk(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    fill(a, fa, K * LD);
    fill(c, fc, N * LD);
    memcpy(want, c, sizeof want);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += a[k * LD + i] * a[k * LD + j];
            want[i * LD + j] = 0.5 * c[i * LD + j] + 2 * sum;
        }
    assert_int_equal(qs_blas_syrk(N, K, 2, a, LD, 0.5, c, LD, &e), QS_OK);
    assert_int_equal(qs_blas_syrk_f32(N, K, 2, fa, LD, 0.5f, fc, LD, &e), QS_OK);
    for (size_t i = 0; i < N * LD; i++) { /* the upper triangle and the gaps too: untouched */
        NEAR(c[i], want[i], 1e-12);
        NEAR(fc[i], want[i], 2e-5);
    }
}

/* b = a^T a + N on the diagonal: well conditioned. */
static void make_definite(void)
{
    fill(a, fa, K * LD);
    memset(b, 0, sizeof b);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double sum = i == j ? N : 0;
            for (size_t k = 0; k < K; k++)
                sum += a[k * LD + i] * a[k * LD + j];
            b[i * LD + j] = j <= i ? sum : 999; /* the upper triangle must not be read */
        }
    for (size_t i = 0; i < N * LD; i++)
        fb[i] = (float)b[i];
}

static void test_cholesky(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    size_t minor = 99;
    (void)state;
    make_definite();
    memcpy(want, b, sizeof want);
    assert_int_equal(qs_blas_cholesky(N, b, LD, &minor, &e), QS_OK);
    assert_int_equal(minor, 0);
    assert_int_equal(qs_blas_cholesky_f32(N, fb, LD, NULL, &e), QS_OK);
    for (size_t i = 0; i < N; i++) {
        assert_true(b[i * LD + i] > 0);
        for (size_t j = 0; j <= i; j++) {
            double sum = 0, fsum = 0;
            for (size_t k = 0; k <= j; k++) {
                sum += b[i * LD + k] * b[j * LD + k];
                fsum += (double)fb[i * LD + k] * (double)fb[j * LD + k];
            }
            NEAR(sum, want[i * LD + j], 1e-12);
            NEAR(fsum, want[i * LD + j], 1e-4);
        }
        for (size_t j = i + 1; j < N; j++)
            assert_true(b[i * LD + j] == 999);
    }
}

static void test_not_definite(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    size_t minor = 0;
    (void)state;
    make_definite();
    b[5 * LD + 5] = -1;
    assert_int_equal(qs_blas_cholesky(N, b, LD, &minor, &e), QS_EINVAL);
    assert_int_equal(minor, 6);
    assert_non_null(strstr(e.msg, "minor 6"));
    fb[0] = 0;
    assert_int_equal(qs_blas_cholesky_f32(N, fb, LD, &minor, NULL), QS_EINVAL);
    assert_int_equal(minor, 1);
}

static void solve_once(bool transposed)
{
    struct qs_err e = QS_ERR_INIT;
    fill(c, fc, N * LD);
    memcpy(want, c, sizeof want);
    assert_int_equal(qs_blas_solve(N, M, b, LD, transposed, c, LD, &e), QS_OK);
    assert_int_equal(qs_blas_solve_f32(N, M, fb, LD, transposed, fc, LD, &e), QS_OK);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < LD; j++) {
            double sum = j < M ? 0 : c[i * LD + j], fsum = j < M ? 0 : (double)fc[i * LD + j];
            for (size_t k = transposed ? i : 0; j < M && k < (transposed ? N : i + 1); k++) {
                sum += (transposed ? b[k * LD + i] : b[i * LD + k]) * c[k * LD + j];
                fsum += (double)(transposed ? fb[k * LD + i] : fb[i * LD + k]) * (double)fc[k * LD + j];
            }
            NEAR(sum, want[i * LD + j], 1e-11);
            NEAR(fsum, want[i * LD + j], 1e-3);
        }
}

static void test_solve(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    make_definite();
    assert_int_equal(qs_blas_cholesky(N, b, LD, NULL, &e), QS_OK);
    assert_int_equal(qs_blas_cholesky_f32(N, fb, LD, NULL, &e), QS_OK);
    solve_once(false);
    solve_once(true);
}

static void test_gemm(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    fill(a, fa, K * LD); /* K x N */
    fill(b, fb, N * LD); /* M x K */
    fill(c, fc, N * LD); /* M x N */
    memcpy(want, c, sizeof want);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += b[i * LD + k] * a[k * LD + j];
            want[i * LD + j] = 3 * sum - c[i * LD + j];
        }
    assert_int_equal(qs_blas_gemm_f32(M, N, K, 3, fb, LD, fa, LD, -1, fc, LD, &e), QS_OK);
    for (size_t i = 0; i < N * LD; i++)
        NEAR(fc[i], want[i], 2e-5);
}

static void test_limits(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    double x = 3;
    (void)state;
    assert_int_equal(qs_blas_cholesky((size_t)INT_MAX + 1, &x, LD, NULL, &e), QS_ELIMIT);
    assert_int_equal(qs_blas_syrk(1, 0, 1, &x, 0, 1, &x, 1, &e), QS_OK); /* no rows: C stays */
    assert_true(x == 3);
    assert_int_equal(openblas_get_num_threads(), 1); /* the pool is ours, not the library's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syrk), cmocka_unit_test(test_cholesky), cmocka_unit_test(test_not_definite),
        cmocka_unit_test(test_solve), cmocka_unit_test(test_gemm), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
