/* test_awq.c - scales and clipping against a plainly written search in double precision; a matrix with damaged columns
 * is repaired; the same bits for any thread count. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq.h"
#include "kernels/format.h"
#include "tests/lib/qs_test.h"

#define COLS 256
#define ROWS 48
#define TOKENS 512

static uint64_t state_of_random;

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

/* A matrix, inputs with loud and quiet channels that depend on each other, and what is known of them. */
struct layer {
    float w[ROWS * COLS], x[TOKENS * COLS];
    struct qs_hessian h;
    float hh[COLS * COLS];
    struct qs_input_stats stats;
    double sum2[COLS], sum[COLS];
    float max[COLS];
    uint64_t count;
};

static void know(struct layer *l)
{
    l->count = TOKENS;
    l->h = (struct qs_hessian){ .cols = COLS, .rows = TOKENS, .h = l->hh };
    l->stats = (struct qs_input_stats){ .cols = COLS, .experts = 1, .sum2 = l->sum2, .sum = l->sum, .max = l->max,
                                        .count = &l->count, .row = l->x, .n_rows = TOKENS };
    for (size_t i = 0; i < COLS; i++) {
        l->sum2[i] = l->sum[i] = l->max[i] = 0;
        for (size_t t = 0; t < TOKENS; t++) {
            const double v = (double)l->x[t * COLS + i];
            l->sum2[i] += v * v;
            l->sum[i] += v;
            l->max[i] = fabsf(l->x[t * COLS + i]) > l->max[i] ? fabsf(l->x[t * COLS + i]) : l->max[i];
        }
        for (size_t j = 0; j < COLS; j++) {
            double s = 0;
            for (size_t t = 0; t < TOKENS; t++)
                s += (double)l->x[t * COLS + i] * (double)l->x[t * COLS + j];
            l->hh[i * COLS + j] = (float)(s / TOKENS);
        }
    }
}

static struct layer *layer_new(uint64_t seed)
{
    struct layer *l = qs_calloc(1, sizeof *l);
    assert_non_null(l);
    state_of_random = seed;
    for (size_t i = 0; i < ROWS * COLS; i++)
        l->w[i] = (float)(0.02 * normal());
    for (size_t t = 0; t < TOKENS; t++) {
        const double common = normal();
        for (size_t j = 0; j < COLS; j++)
            l->x[t * COLS + j] = (float)((0.3 * common + normal()) * (1 + 0.5 * sin(0.37 * (double)j)));
    }
    know(l);
    return l;
}

static const size_t loud[] = { 17, 64, 65, 130, 201, 255 };
#define N_LOUD (sizeof loud / sizeof *loud)

/* The same function: channels 30 times as loud, their columns 30 times as small. */
static void damage(struct layer *l)
{
    for (size_t k = 0; k < N_LOUD; k++) {
        for (size_t t = 0; t < TOKENS; t++)
            l->x[t * COLS + loud[k]] *= 30;
        for (size_t r = 0; r < ROWS; r++)
            l->w[r * COLS + loud[k]] /= 30;
    }
    know(l);
}

/* ---- plainly written ---- */

static void oracle_round_trip(int type, const float *x, size_t rows, const float *weight, float *out)
{
    const struct qs_format *f = qs_format_by_id(type);
    uint8_t *bytes = qs_malloc(rows * qs_format_row_bytes(f, COLS));
    void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, rows, COLS));
    assert_true(bytes && scratch);
    qs_format_encode(f, &(struct qs_rows){ x, rows, COLS, COLS, weight }, &(struct qs_parts){ { bytes } }, scratch);
    qs_format_ops(type)->decode(&(struct qs_const_parts){ { bytes } }, rows, COLS, out, COLS);
    qs_free(bytes);
    qs_free(scratch);
}

/* || (W^ diag(1/s) - W) X ||^2 / tokens, by the inputs themselves. */
static double oracle_error(const struct layer *l, int type, const float *s)
{
    static float ws[ROWS * COLS], made[ROWS * COLS], weight[COLS];
    for (size_t j = 0; j < COLS; j++)
        weight[j] = l->hh[j * COLS + j] / (s[j] * s[j]);
    for (size_t i = 0; i < ROWS * COLS; i++)
        ws[i] = l->w[i] * s[i % COLS];
    oracle_round_trip(type, ws, ROWS, weight, made);
    double sum = 0;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t r = 0; r < ROWS; r++) {
            double y = 0;
            for (size_t j = 0; j < COLS; j++) {
                const double d = (double)made[r * COLS + j] / (double)s[j] - (double)l->w[r * COLS + j];
                y += d * (double)l->x[t * COLS + j];
            }
            sum += y * y;
        }
    return sum / TOKENS;
}

static double oracle_norm(const struct layer *l)
{
    double sum = 0;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t r = 0; r < ROWS; r++) {
            double y = 0;
            for (size_t j = 0; j < COLS; j++)
                y += (double)l->w[r * COLS + j] * (double)l->x[t * COLS + j];
            sum += y * y;
        }
    return sum / TOKENS;
}

static void oracle_scales(const struct layer *l, int type, double r, bool duo, float *s)
{
    const size_t group = qs_format_by_id(type)->block > 64 ? 32 : qs_format_by_id(type)->block;
    double least = 1e300, most = 0, v[COLS];
    for (size_t j = 0; j < COLS; j++) {
        double xm = 0, wm = 0;
        for (size_t t = 0; t < TOKENS; t++)
            xm += fabs((double)l->x[t * COLS + j]) / TOKENS;
        for (size_t i = 0; i < ROWS; i++) {
            double top = 0;
            for (size_t k = j / group * group; k < (j / group + 1) * group; k++)
                top = fmax(top, fabs((double)l->w[i * COLS + k]));
            wm += fabs((double)l->w[i * COLS + j]) / top / ROWS;
        }
        v[j] = fmax(pow(xm, r) / (duo ? pow(wm, 1 - r) + 1e-4 : 1), 1e-4);
        least = fmin(least, v[j]);
        most = fmax(most, v[j]);
    }
    for (size_t j = 0; j < COLS; j++)
        s[j] = (float)(v[j] / sqrt(least * most));
}

/* ---- the search ---- */

static struct qs_awq_result search(const struct layer *l, int type, bool duo, struct qs_pool *pool, float *s)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_awq_result out;
    const struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = type, .duo = duo, .pool = pool };
    const struct qs_awq_matrix m = { l->w, ROWS, QS_TYPE_NONE, NULL };
    if (qs_awq_scales(&a, &m, 1, COLS, 1, 1, s, &out, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return out;
}

static void test_against_oracle(void **state)
{
    (void)state;
    static const int types[] = { QS_Q4_0, QS_Q4_K, QS_Q2_K, QS_IQ4_NL };
    struct layer *l = layer_new(11);
    damage(l);
    for (size_t i = 0; i < 4; i++) {
        float s[COLS], try[COLS], ones[COLS];
        for (size_t j = 0; j < COLS; j++)
            ones[j] = 1;
        const struct qs_awq_result got = search(l, types[i], true, NULL, s);
        double least = oracle_error(l, types[i], ones), r = 0;
        const double before = least;
        bool duo = false;
        for (int k = 1; k < 40; k++) {
            oracle_scales(l, types[i], 0.05 * (k % 20), k >= 20, try);
            const double now = oracle_error(l, types[i], try);
            if (now < least) {
                least = now;
                r = 0.05 * (k % 20);
                duo = k >= 20;
            }
        }
        print_message("%-6s before %.4g after %.4g (oracle %.4g) r %.2f (%.2f) duo %d (%d)\n", qs_type_name(types[i]),
                      got.before, got.after, least, got.r, r, got.duo, duo);
        assert_true(fabs(got.before / before - 1) < 1e-3);
        assert_true(fabs(got.after / least - 1) < 0.01); /* powers in single precision: a code may fall otherwise */
        assert_true(fabs(oracle_error(l, types[i], s) / got.after - 1) < 1e-3);
        assert_int_equal(got.tried, 39);
    }
    qs_free(l);
}

static void test_repair(void **state)
{
    (void)state;
    static const int types[] = { QS_Q4_0, QS_Q4_K, QS_Q3_K, QS_Q2_K };
    struct layer *good = layer_new(23), *bad = layer_new(23);
    damage(bad);
    const double norm = oracle_norm(good);
    for (size_t i = 0; i < 4; i++) {
        float s[COLS], ones[COLS];
        for (size_t j = 0; j < COLS; j++)
            ones[j] = 1;
        const double was = sqrt(oracle_error(good, types[i], ones) / norm);
        const double broken = sqrt(oracle_error(bad, types[i], ones) / norm);
        (void)search(bad, types[i], true, NULL, s);
        const double mended = sqrt(oracle_error(bad, types[i], s) / norm);
        (void)search(bad, types[i], false, NULL, s);
        const double single = sqrt(oracle_error(bad, types[i], s) / norm);
        print_message("%-6s undamaged %.4f damaged %.4f mended %.4f (without duo %.4f)\n", qs_type_name(types[i]), was,
                      broken, mended, single);
        assert_true(broken > 1.2 * was);
        assert_true(mended < 1.05 * was);
    }
    qs_free(good);
    qs_free(bad);
}

/* Heads that share a KV head share scales, and the search still gains. */
static void test_heads(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct layer *l = layer_new(31);
    float s[COLS], ones[COLS];
    for (size_t t = 0; t < TOKENS; t++) /* the same channel of both heads of each KV head: heads of 32 */
        for (size_t k = 0; k < COLS; k += 64)
            l->x[t * COLS + k + 5] *= 25, l->x[t * COLS + k + 37] *= 25;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < COLS; k += 64)
            l->w[r * COLS + k + 5] /= 25, l->w[r * COLS + k + 37] /= 25;
    know(l);
    for (size_t j = 0; j < COLS; j++)
        ones[j] = 1;
    const struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = QS_Q4_0, .duo = true };
    const struct qs_awq_matrix m = { l->w, ROWS, QS_TYPE_NONE, NULL };
    struct qs_awq_result out;
    assert_int_equal(qs_awq_scales(&a, &m, 1, COLS, 8, 4, s, &out, &e), QS_OK);
    for (size_t j = 0; j < COLS; j++)
        assert_true(s[j] == s[j / 64 * 64 + j % 32]);
    assert_true(oracle_error(l, QS_Q4_0, s) < 0.7 * oracle_error(l, QS_Q4_0, ones));
    qs_free(l);
}

/* Several matrices of one input: what is chosen is best for all, and experts count by what they see. */
static void test_together(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct layer *l = layer_new(5), *k = layer_new(6);
    damage(l);
    damage(k);
    k->h.rows = TOKENS / 4;
    float s[COLS], ones[COLS];
    const struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = QS_Q4_0, .duo = true };
    const struct qs_awq_matrix m[] = { { l->w, ROWS, QS_TYPE_NONE, NULL }, { k->w, ROWS, QS_Q4_K, &k->h } };
    struct qs_awq_result out;
    assert_int_equal(qs_awq_scales(&a, m, 2, COLS, 1, 1, s, &out, &e), QS_OK);
    for (size_t j = 0; j < COLS; j++)
        ones[j] = 1;
    const double before = oracle_error(l, QS_Q4_0, ones) + oracle_error(k, QS_Q4_K, ones) / 4;
    const double after = oracle_error(l, QS_Q4_0, s) + oracle_error(k, QS_Q4_K, s) / 4;
    assert_true(fabs(out.before / before - 1) < 1e-3 && fabs(out.after / after - 1) < 1e-3 && after < before);
    qs_free(l);
    qs_free(k);
}

/* Rows beyond those that are looked at, threads, dead channels; floats need no scales. */
static void test_same_and_safe(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct layer *l = layer_new(41);
    const size_t many = 1500;
    float *w = qs_malloc(many * COLS * sizeof *w), s[3][COLS];
    struct qs_awq_result out[3];
    assert_non_null(w);
    for (size_t t = 0; t < TOKENS; t++)
        l->x[t * COLS + 9] = 0;
    damage(l);
    for (size_t i = 0; i < many * COLS; i++)
        w[i] = l->w[i % (ROWS * COLS)] * (float)(1 + 0.1 * normal());
    for (unsigned n = 1; n <= 3; n++) {
        struct qs_pool *pool = NULL;
        assert_int_equal(qs_pool_new(n, &pool, &e), QS_OK);
        const struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = QS_Q3_K, .duo = true, .pool = pool };
        const struct qs_awq_matrix m = { w, many, QS_TYPE_NONE, NULL };
        assert_int_equal(qs_awq_scales(&a, &m, 1, COLS, 1, 1, s[n - 1], &out[n - 1], &e), QS_OK);
        assert_memory_equal(s[0], s[n - 1], sizeof s[0]);
        assert_true(out[n - 1].before == out[0].before && out[n - 1].after == out[0].after);
        qs_pool_free(pool);
    }
    assert_true(out[0].after < out[0].before);
    for (size_t j = 0; j < COLS; j++)
        assert_true(isfinite(s[0][j]) && s[0][j] > 0);
    const struct qs_awq_result none = search(l, QS_F32, true, NULL, s[0]);
    assert_true(none.after <= 0 && s[0][3] == 1 && none.r <= 0);
    qs_free(w);
    qs_free(l);
}

static void test_refusals(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct layer *l = layer_new(2);
    struct qs_hessian thin = l->h;
    float s[COLS];
    struct qs_awq_result out;
    struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = QS_Q8_K };
    const struct qs_awq_matrix m = { l->w, ROWS, QS_TYPE_NONE, NULL };
    thin.cols = 128;
    assert_int_equal(qs_awq_scales(&a, &m, 1, COLS, 1, 1, s, &out, &e), QS_EUNSUPPORTED);
    a.type = QS_Q4_0;
    assert_int_equal(qs_awq_scales(&a, &m, 1, COLS, 8, 3, s, &out, &e), QS_EINVAL);
    assert_int_equal(qs_awq_clip(&a, l->w, ROWS, COLS, 48, NULL, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "multiple of 32"));
    a.h = &thin;
    assert_int_equal(qs_awq_scales(&a, &m, 1, COLS, 1, 1, s, &out, &e), QS_EINVAL);
    assert_int_equal(qs_awq_clip(&a, l->w, ROWS, COLS, 32, NULL, &e), QS_EINVAL);
    qs_free(l);
}

/* What is known of scaled inputs is what would be known had they been scaled. */
static void test_rescale(void **state)
{
    (void)state;
    struct layer *l = layer_new(8), *k = layer_new(8);
    float s[COLS];
    static float cross[COLS * COLS];
    for (size_t j = 0; j < COLS; j++)
        s[j] = (float)exp2(2 * uniform() - 1);
    memcpy(cross, l->hh, sizeof cross);
    l->h.cross = cross;
    float drift[2 * COLS];
    for (size_t j = 0; j < 2 * COLS; j++)
        drift[j] = s[j % COLS] * (float)(1 + j);
    l->h.drift = drift;
    l->h.width = 2;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t j = 0; j < COLS; j++)
            k->x[t * COLS + j] /= s[j];
    know(k);
    qs_awq_rescale_hessian(&l->h, s);
    qs_awq_rescale_stats(&l->stats, 0, s);
    for (size_t j = 0; j < 2 * COLS; j++)
        assert_true(fabsf(drift[j] - (float)(1 + j)) < 1e-5f * (float)(1 + j));
    for (size_t i = 0; i < COLS; i++) {
        assert_true(fabs(l->sum2[i] / k->sum2[i] - 1) < 1e-5 && fabs(l->sum[i] - k->sum[i]) < 1e-3);
        assert_true(fabsf(l->max[i] / k->max[i] - 1) < 1e-5f);
        for (size_t j = 0; j < COLS; j++) {
            assert_true(fabsf(l->hh[i * COLS + j] - k->hh[i * COLS + j]) < 1e-5f * (1 + k->hh[i * COLS + i]));
            assert_true(fabsf(cross[i * COLS + j] - k->hh[i * COLS + j]) < 1e-5f * (1 + k->hh[i * COLS + i]));
        }
    }
    for (size_t i = 0; i < TOKENS * COLS; i++)
        assert_true(fabsf(l->x[i] - k->x[i]) <= 1e-6f * fabsf(k->x[i]));
    qs_free(l);
    qs_free(k);
}

/* ---- clipping ---- */

/* Outliers of weights that their inputs do not need are cut, and the whole error falls in every row that changed. */
static void test_clip(void **state)
{
    (void)state;
    static const int types[] = { QS_Q4_0, QS_Q4_K, QS_Q2_K };
    struct qs_err e = QS_ERR_INIT;
    float ones[COLS];
    for (size_t j = 0; j < COLS; j++)
        ones[j] = 1;
    for (size_t i = 0; i < 3; i++) {
        static float before[ROWS * COLS], made[ROWS * COLS], weight[COLS];
        struct layer *l = layer_new(77 + i);
        for (size_t r = 0; r < ROWS; r++)
            l->w[r * COLS + (r * 37) % COLS] *= 4;
        memcpy(before, l->w, sizeof before);
        uint64_t cut = 0;
        const double plain = oracle_error(l, types[i], ones);
        const size_t group = qs_format_by_id(types[i])->block;
        const struct qs_awq_search a = { .h = &l->h, .type = types[i] };
        assert_int_equal(qs_awq_clip(&a, l->w, ROWS, COLS, group, &cut, &e), QS_OK);
        for (size_t j = 0; j < COLS; j++)
            weight[j] = l->hh[j * COLS + j];
        oracle_round_trip(types[i], l->w, ROWS, weight, made);
        double after = 0;
        uint64_t differ = 0;
        for (size_t t = 0; t < TOKENS; t++)
            for (size_t r = 0; r < ROWS; r++) {
                double y = 0;
                for (size_t j = 0; j < COLS; j++)
                    y += ((double)made[r * COLS + j] - (double)before[r * COLS + j]) * (double)l->x[t * COLS + j];
                after += y * y / TOKENS;
            }
        for (size_t k = 0; k < ROWS * COLS; k++) {
            const bool other = fabsf(l->w[k] - before[k]) > 0;
            differ += other;
            assert_true(!other || (fabsf(l->w[k]) < fabsf(before[k]) && fabsf(l->w[k]) > 0.5f * fabsf(before[k])));
        }
        print_message("%-6s %4llu weights cut, error %.4g -> %.4g\n", qs_type_name(types[i]), (unsigned long long)cut,
                      plain, after);
        assert_true(differ == cut && cut > 0 && after < plain);
        qs_free(l);
    }
}

static int alloc_body(void *ctx, struct qs_err *e)
{
    struct layer *l = ctx;
    float s[COLS];
    struct qs_awq_result out;
    const struct qs_awq_search a = { .stats = &l->stats, .h = &l->h, .type = QS_Q8_0 };
    const struct qs_awq_matrix m = { l->w, ROWS, QS_TYPE_NONE, NULL };
    const int rc = qs_awq_scales(&a, &m, 1, COLS, 1, 1, s, &out, e);
    return rc == QS_OK ? qs_awq_clip(&a, l->w, ROWS, COLS, 32, NULL, e) : rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct layer *l = layer_new(3);
    qs_test_each_alloc(alloc_body, l);
    qs_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_oracle), cmocka_unit_test(test_repair), cmocka_unit_test(test_heads),
        cmocka_unit_test(test_together), cmocka_unit_test(test_same_and_safe), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_rescale), cmocka_unit_test(test_clip), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
