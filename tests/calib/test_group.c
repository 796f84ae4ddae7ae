/* test_group.c - plain group grids: numbers as files store them, ranges, the weighted search, GPTQ on them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq.h"
#include "core/calib/group.h"
#include "kernels/half.h"
#include "tests/lib/qs_test.h"

#define ROWS 24
#define COLS 512

static uint64_t state_of_random;
static float w[ROWS * COLS], back[ROWS * COLS];

static double uniform(void)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (double)(state_of_random >> 11) * 0x1p-53;
}

static double normal(void)
{
    double s = -6;
    for (int i = 0; i < 12; i++)
        s += uniform();
    return s;
}

static void fill(uint64_t seed, double mean)
{
    state_of_random = seed;
    for (size_t i = 0; i < ROWS * COLS; i++)
        w[i] = (float)(0.02 * (normal() + mean) * (uniform() < 0.01 ? 4 : 1));
}

static struct qs_group_rows *fit(const struct qs_group_grid *g, const float *importance, struct qs_pool *pool)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_group_rows *r;
    if (qs_group_rows_new(g, ROWS, COLS, &r, &e) != QS_OK ||
        qs_group_fit(g, w, importance, r, pool, QS_PRIO_JOB, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return r;
}

static const unsigned bits[] = { 2, 3, 4, 8 };
static const size_t groups[] = { 32, 64, 128, 256, 512, 0 };

/* Every grid there is: calls fn with it. */
static void each_grid(void (*fn)(const struct qs_group_grid *g))
{
    for (size_t b = 0; b < 4; b++)
        for (size_t k = 0; k < 6; k++)
            for (unsigned kind = 0; kind < 6; kind++) {
                const struct qs_group_grid g = { bits[b], groups[k], kind % 3 == 0, kind % 3 == 2, kind >= 3 };
                fn(&g);
            }
}

/* Codes are in range and nearest, stored numbers are those of the file, by the range no weight is off by more than half
 * a step (symmetric: the top code misses the largest weight by half a step; an integer zero may shift as much). */
static void check_numbers(const struct qs_group_grid *g)
{
    fill(g->bits, 0.5);
    struct qs_group_rows *r = fit(g, NULL, NULL);
    const size_t n = g->group ? g->group : COLS;
    const double top = (double)(1u << g->bits) - 1;
    assert_int_equal(r->groups, COLS / n);
    qs_group_decode(r, back);
    for (size_t i = 0; i < ROWS * COLS; i++) {
        const double scale = (double)r->scale[i / n], zero = (double)r->zero[i / n], q = r->code[i];
        assert_true(q <= top && scale > 0);
        assert_true(fabs((double)back[i] - (q - zero) * scale) <= 1e-6 * scale * top);
        const double off = fabs((double)back[i] - (double)w[i]);
        assert_true(off <= scale * (g->float_zero ? 0.5 : 1.0) * 1.01 + (g->half_scale ? 2e-3 * scale * top : 0));
        for (double other = fmax(q - 1, 0); other <= fmin(q + 1, top); other++)
            assert_true(off <= fabs((other - zero) * scale - (double)w[i]) + 1e-4 * scale);
        if (g->half_scale)
            assert_true((float)scale == qs_f16_to_f32(qs_f32_to_f16((float)scale)));
        if (g->half_scale && g->float_zero)
            assert_true((float)zero == qs_f16_to_f32(qs_f32_to_f16((float)zero)));
        if (g->symmetric)
            assert_true(zero == (double)(1u << (g->bits - 1)));
        else if (!g->float_zero)
            assert_true(zero >= 0 && zero <= top && zero == floor(zero));
    }
    qs_group_rows_free(r);
}

static void test_numbers(void **state)
{
    (void)state;
    each_grid(check_numbers);
}

static double weighted_error(const struct qs_group_rows *r, const float *importance)
{
    double sum = 0;
    qs_group_decode(r, back);
    for (size_t i = 0; i < ROWS * COLS; i++)
        sum += (double)importance[i % COLS] * ((double)back[i] - (double)w[i]) * ((double)back[i] - (double)w[i]);
    return sum;
}

/* The lowest weighted error of one group over a fine net of ranges, in double precision. */
static double oracle_group(const struct qs_group_grid *g, const float *x, const float *importance, size_t n)
{
    const double top = (double)(1u << g->bits) - 1;
    double low = 0, high = 0, least = INFINITY;
    for (size_t j = 0; j < n; j++) {
        low = fmin(low, (double)x[j]);
        high = fmax(high, (double)x[j]);
    }
    const double most = fmax(-low, high);
    for (int k = 100; k > 20; k--) {
        const double p = k / 100.0;
        const double scale = (g->symmetric ? 2 * most : high - low) * p / top;
        const double zero = g->symmetric ? (top + 1) / 2 : floor(-low * p / scale + 0.5);
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double q = fmin(fmax(floor((double)x[j] / scale + zero + 0.5), 0), top);
            sum += (double)importance[j] * pow((q - zero) * scale - (double)x[j], 2);
        }
        least = fmin(least, sum);
    }
    return least;
}

static void test_search(void **state)
{
    (void)state;
    float importance[COLS];
    fill(9, 0.2);
    for (size_t j = 0; j < COLS; j++)
        importance[j] = (float)exp(2 * normal());
    for (size_t b = 0; b < 4; b++)
        for (unsigned kind = 0; kind < 3; kind++) {
            const struct qs_group_grid g = { bits[b], 64, kind == 0, kind == 2, false };
            struct qs_group_rows *range = fit(&g, NULL, NULL), *search = fit(&g, importance, NULL);
            const double was = weighted_error(range, importance), now = weighted_error(search, importance);
            double net = 0;
            for (size_t i = 0; i < ROWS * COLS; i += 64)
                net += oracle_group(&g, w + i, importance + i % COLS, 64);
            print_message("%u bit, %-14s range %.4g search %.4g net of ranges %.4g\n", g.bits,
                          kind == 0 ? "symmetric" : kind == 1 ? "integer zeros" : "real zeros", was, now, net);
            assert_true(now < 0.95 * was || g.bits == 8);
            assert_true(now <= was && now <= net * (1 + 1e-5));
            qs_group_rows_free(range);
            qs_group_rows_free(search);
        }
}

/* Zeros, constants, one spike, huge and tiny weights: finite numbers that decode to something near. */
static void check_odd(const struct qs_group_grid *g)
{
    float importance[COLS];
    const size_t n = g->group ? g->group : COLS;
    for (size_t j = 0; j < COLS; j++)
        importance[j] = 1;
    memset(w, 0, sizeof w);
    for (size_t j = 0; j < COLS; j++) {
        w[COLS + j] = 0.37f;
        w[2 * COLS + j] = -3e4f * (float)(1 + j % 2);
        w[3 * COLS + j] = 1e-9f * (float)(j % 7);
        w[4 * COLS + j] = j % n == 5 ? 1 : 0;
        w[5 * COLS + j] = 100 + 0.001f * (float)(j % 16);
    }
    for (int k = 0; k < 2; k++) {
        struct qs_group_rows *r = fit(g, k ? importance : NULL, NULL);
        qs_group_decode(r, back);
        const double step[] = { 0, 0.37, 6e4, 0, 1, 100.02 };
        for (size_t i = 0; i < 6 * COLS; i++) {
            assert_true(isfinite(back[i]) && r->scale[i / n] > 0);
            /* half a step of a range that has 0 in it; float16 has 11 bits; its least scale is 2^-24 */
            const double range = step[i / COLS] * (g->symmetric ? 2 : 1);
            const double most = range / ((1u << g->bits) - 1) + 1e-3 * range + (g->half_scale ? 0x1p-24 : 1e-8);
            if (fabs((double)back[i] - (double)w[i]) > most)
                fail_msg("%u bit group %zu sym %d real %d half %d: %g became %g", g->bits, g->group, g->symmetric,
                         g->float_zero, g->half_scale, (double)w[i], (double)back[i]);
        }
        qs_group_rows_free(r);
    }
}

static void test_odd(void **state)
{
    (void)state;
    each_grid(check_odd);
}

static void test_refusals(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_group_rows *r;
    const struct qs_group_grid five = { 5, 32, false, false, false }, odd = { 4, 48, false, false, false },
                               both = { 4, 32, true, true, false }, wide = { 4, 512, false, false, false },
                               good = { 4, 32, false, false, false };
    assert_int_equal(qs_group_rows_new(&five, 1, 64, &r, &e), QS_EINVAL);
    assert_int_equal(qs_group_rows_new(&odd, 1, 96, &r, &e), QS_EINVAL);
    assert_int_equal(qs_group_rows_new(&both, 1, 64, &r, &e), QS_EINVAL);
    assert_int_equal(qs_group_rows_new(&wide, 1, 768, &r, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "768"));
    assert_int_equal(qs_group_rows_new(&good, ROWS, COLS, &r, &e), QS_OK);
    assert_int_equal(qs_group_fit(&wide, w, NULL, r, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    fill(1, 0);
    w[2 * COLS + 7] = NAN;
    assert_int_equal(qs_group_fit(&good, w, NULL, r, NULL, QS_PRIO_JOB, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "weight 7 of row 2 is NaN"));
    qs_group_rows_free(r);
}

static void test_threads(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    float importance[COLS];
    const struct qs_group_grid g = { 3, 128, false, true, true };
    fill(4, 0);
    for (size_t j = 0; j < COLS; j++)
        importance[j] = (float)uniform();
    assert_int_equal(qs_pool_new(3, &pool, &e), QS_OK);
    struct qs_group_rows *a = fit(&g, importance, NULL), *b = fit(&g, importance, pool);
    assert_memory_equal(a->code, b->code, ROWS * COLS * sizeof *a->code);
    assert_memory_equal(a->scale, b->scale, ROWS * a->groups * sizeof *a->scale);
    assert_memory_equal(a->zero, b->zero, ROWS * a->groups * sizeof *a->zero);
    qs_group_rows_free(a);
    qs_group_rows_free(b);
    qs_pool_free(pool);
}

/* ---- GPTQ ---- */

#define N 128 /* columns */

static float h[N * N];
static struct qs_hessian hessian = { .cols = N, .rows = 300, .h = h };

static void fill_hessian(void)
{
    static double x[300][N];
    for (size_t t = 0; t < 300; t++) {
        double drift = 0;
        for (size_t j = 0; j < N; j++) {
            drift = 0.8 * drift + normal();
            x[t][j] = drift * (1 + 0.7 * sin((double)j));
        }
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0;
            for (size_t t = 0; t < 300; t++)
                s += x[t][i] * x[t][j] / 300;
            h[i * N + j] = (float)s;
        }
}

static double energy(const struct qs_group_rows *r)
{
    double sum = 0;
    qs_group_decode(r, back);
    for (size_t row = 0; row < r->rows; row++)
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++)
                sum += ((double)back[row * N + i] - (double)w[row * N + i]) * (double)h[i * N + j] *
                       ((double)back[row * N + j] - (double)w[row * N + j]);
    return sum;
}

/* Upper triangular u with u^T u = the inverse of a, in place, by elimination. */
static void inverse_factor(double a[N][N])
{
    static double inv[N][N];
    memset(inv, 0, sizeof inv);
    for (size_t i = 0; i < N; i++)
        inv[i][i] = 1;
    for (size_t p = 0; p < N; p++) {
        const double by = a[p][p];
        for (size_t j = 0; j < N; j++) {
            a[p][j] /= by;
            inv[p][j] /= by;
        }
        for (size_t i = 0; i < N; i++) {
            const double f = a[i][p];
            for (size_t j = 0; i != p && j < N; j++) {
                a[i][j] -= f * a[p][j];
                inv[i][j] -= f * inv[p][j];
            }
        }
    }
    memset(a, 0, sizeof inv);
    for (size_t i = 0; i < N; i++)
        for (size_t j = i; j < N; j++) {
            double s = inv[i][j];
            for (size_t k = 0; k < i; k++)
                s -= a[k][i] * a[k][j];
            a[i][j] = j == i ? sqrt(s) : s / a[i][i];
        }
}

/* GPTQ as published, in double precision, columns by falling diag(H), on the grids of r. */
static void oracle_gptq(const struct qs_group_grid *g, const struct qs_group_rows *r, uint16_t *code)
{
    static double u[N][N];
    size_t order[N];
    double mean = 0;
    for (size_t i = 0; i < N; i++) {
        size_t at = i;
        for (; at > 0 && h[order[at - 1] * (N + 1)] < h[i * (N + 1)]; at--)
            order[at] = order[at - 1];
        order[at] = i;
        mean += (double)h[i * (N + 1)] / N;
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            u[i][j] = (double)h[order[i] * N + order[j]] + (i == j ? 0.01 * mean : 0);
    inverse_factor(u);
    for (size_t row = 0; row < r->rows; row++) {
        double x[N];
        for (size_t j = 0; j < N; j++)
            x[j] = (double)w[row * N + order[j]];
        for (size_t i = 0; i < N; i++) {
            const size_t col = order[i], at = row * r->groups + col / (N / r->groups);
            const double scale = (double)r->scale[at], zero = (double)r->zero[at], top = (double)(1u << g->bits) - 1;
            const double q = fmin(fmax(floor(x[i] / scale + zero + 0.5), 0), top);
            const double e = (x[i] - (q - zero) * scale) / u[i][i];
            code[row * N + col] = (uint16_t)q;
            for (size_t j = i; j < N; j++)
                x[j] -= e * u[i][j];
        }
    }
}

static void check_gptq(const struct qs_group_grid *g)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_group_rows *r;
    struct qs_gptq_factor *f;
    struct qs_gptq_factor_facts facts;
    static uint16_t code[ROWS * N];
    float importance[N];
    if (g->group > N)
        return;
    for (size_t j = 0; j < N; j++)
        importance[j] = h[j * (N + 1)];
    assert_int_equal(qs_group_rows_new(g, ROWS, N, &r, &e), QS_OK);
    assert_int_equal(qs_group_fit(g, w, importance, r, NULL, QS_PRIO_JOB, &e), QS_OK);
    assert_int_equal(qs_gptq_factor_new(&hessian, &(struct qs_gptq_factor_args){ 0.01, false, -1 }, &f, &facts, &e), QS_OK);
    const double plain = energy(r);
    oracle_gptq(g, r, code);
    if (qs_group_gptq(g, &hessian, f, w, r, 0, NULL, QS_PRIO_JOB, &e) != QS_OK)
        fail_msg("%s", e.msg);
    size_t same = 0;
    for (size_t i = 0; i < ROWS * N; i++)
        same += code[i] == r->code[i];
    const double gptq = energy(r);
    memcpy(r->code, code, sizeof code);
    const double oracle = energy(r);
    if (qs_group_gptq(g, &hessian, NULL, w, r, 8, NULL, QS_PRIO_JOB, &e) != QS_OK)
        fail_msg("%s", e.msg);
    const double descent = energy(r);
    if (g->group == 32 && !g->half_scale)
        print_message("%u bit %-9s weighted fit %.4g GPTQ %.4g (plainly %.4g, %.1f %% of codes alike) descent %.4g\n",
                      g->bits, g->symmetric ? "symmetric" : g->float_zero ? "real" : "integer", plain, gptq, oracle,
                      100.0 * (double)same / (ROWS * N), descent);
    /* Rows that did not gain are the fit's; a weight between two codes may fall otherwise, its row's rest with it. */
    assert_true(gptq < 0.8 * plain && gptq < 1.02 * oracle && descent <= oracle * (1 + 1e-6));
    assert_true((double)same > 0.9 * ROWS * N);
    qs_gptq_factor_free(f);
    qs_group_rows_free(r);
}

static void test_gptq(void **state)
{
    (void)state;
    fill(77, 0.2);
    fill_hessian();
    each_grid(check_gptq);
}

/* Dead columns, fewer rows than columns, threads; what does not fit is refused. */
static void test_gptq_odd(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_group_rows *r[2];
    struct qs_gptq_factor *f;
    struct qs_gptq_factor_facts facts;
    struct qs_pool *pool;
    const struct qs_group_grid g = { 4, 64, false, false, true };
    assert_int_equal(qs_pool_new(3, &pool, &e), QS_OK);
    for (size_t j = 0; j < N; j++)
        h[j * N + 9] = h[9 * N + j] = 0;
    assert_int_equal(qs_gptq_factor_new(&hessian, &(struct qs_gptq_factor_args){ 0.01, true, -1 }, &f, &facts, &e), QS_OK);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(qs_group_rows_new(&g, ROWS, N, &r[k], &e), QS_OK);
        assert_int_equal(qs_group_fit(&g, w, NULL, r[k], pool, QS_PRIO_JOB, &e), QS_OK);
        assert_int_equal(qs_group_gptq(&g, &hessian, f, w, r[k], 4, k ? pool : NULL, QS_PRIO_JOB, &e), QS_OK);
    }
    assert_memory_equal(r[0]->code, r[1]->code, ROWS * N * sizeof *r[0]->code);
    for (size_t i = 0; i < ROWS * N; i++)
        assert_true(r[0]->code[i] < 16);
    struct qs_hessian thin = hessian;
    thin.cols = N / 2;
    assert_int_equal(qs_group_gptq(&g, &thin, NULL, w, r[0], 1, NULL, QS_PRIO_JOB, &e), QS_EINVAL);
    qs_gptq_factor_free(f);
    qs_group_rows_free(r[0]);
    qs_group_rows_free(r[1]);
    qs_pool_free(pool);
}

static int alloc_body(void *ctx, struct qs_err *e)
{
    const struct qs_group_grid g = { 4, 64, false, false, true };
    struct qs_group_rows *r;
    (void)ctx;
    int rc = qs_group_rows_new(&g, ROWS, N, &r, e);
    if (rc == QS_OK)
        rc = qs_group_fit(&g, w, NULL, r, NULL, QS_PRIO_JOB, e);
    if (rc == QS_OK)
        rc = qs_group_gptq(&g, &hessian, NULL, w, r, 1, NULL, QS_PRIO_JOB, e);
    qs_group_rows_free(r);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(alloc_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_search), cmocka_unit_test(test_odd),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_gptq), cmocka_unit_test(test_gptq_odd), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
