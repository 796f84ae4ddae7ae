/* test_lattice.c - grids as numbers: bit for bit what decode makes of them, and back. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/lattice.h"
#include "tests/calib/gptq_oracle.h"

enum { ROWS = 5, COLS = 512, N = ROWS * COLS };

static const int types[] = { QS_Q2_K, QS_Q3_K, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q4_0, QS_Q4_1, QS_Q5_0, QS_Q5_1, QS_Q8_0,
                             QS_IQ4_NL, QS_IQ4_XS, QS_TQ1_0, QS_TQ2_0, QS_MXFP4, QS_NVFP4, QS_Q1_0, QS_Q2_0 };
enum { TYPES = sizeof types / sizeof *types };

static float x[N], y[N], value[N], scale[N], offset[N], scale2[N], offset2[N], importance[COLS];
static uint8_t code[N], packed[N * 2];
static _Alignas(16) uint8_t grid[N], grid2[N];

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(0.02 * gptq_bell(&seed) + (i < COLS ? 0.05 : 0));
    for (size_t i = 0; i < 300; i++)
        x[2 * COLS + i] = 0;                                      /* blocks of nothing */
    for (size_t i = 0; i < COLS; i++)
        importance[i] = (float)(1.1 + gptq_uniform(&seed));
}

static void decode(const struct qs_format_ops *ops, const void *g)
{
    ops->pack(ROWS, COLS, g, code, &(struct qs_parts){ { packed } });
    ops->decode(&(struct qs_const_parts){ { packed } }, ROWS, COLS, y, COLS);
}

static void make_values(const struct qs_lattice *l)
{
    for (size_t i = 0; i < N; i++)
        value[i] = offset[i / l->sub] + scale[i / l->sub] * l->level[code[i]];
}

/* The codes of the search, then every code at every place. */
static void test_equals_decode(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct qs_lattice *l = qs_lattice_of(types[t]);
        const struct qs_format_ops *ops = qs_format_ops(types[t]);
        assert_non_null(l);
        assert_int_equal(l->type, types[t]);
        for (int weighted = 0; weighted < 2; weighted++) {
            fill(7 + t);
            ops->fit(&(struct qs_rows){ x, ROWS, COLS, COLS, weighted ? importance : NULL }, grid, code);
            l->spread(grid, ROWS, COLS, scale, offset);
            for (int c = -1; c < l->n_levels; c++) {
                if (c >= 0)
                    memset(code, c, sizeof code);
                decode(ops, grid);
                make_values(l);
                for (size_t i = 0; i < N; i++)
                    if (memcmp(&y[i], &value[i], sizeof *y) != 0)
                        fail_msg("%s: code %d at weight %zu: decode gives %a, the lattice %a", qs_type_name(types[t]),
                                 c, i, (double)y[i], (double)value[i]);
            }
        }
    }
}

static void test_none(void **state)
{
    (void)state;
    const int none[] = { QS_F32, QS_F16, QS_BF16, QS_IQ2_XXS, QS_IQ2_S, QS_IQ3_S, QS_IQ1_M, QS_Q8_1, -1, 12345 };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(qs_lattice_of(none[i]));
}

/* What is taken and put is the same grid; the grid nearest to numbers of a grid has these numbers. */
static void test_round_trips(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct qs_lattice *l = qs_lattice_of(types[t]);
        const struct qs_format_ops *ops = qs_format_ops(types[t]);
        fill(70 + t);
        ops->fit(&(struct qs_rows){ x, ROWS, COLS, COLS, importance }, grid, code);
        l->spread(grid, ROWS, COLS, scale, offset);
        memset(grid2, 0, sizeof grid2);
        for (size_t i = 0; i < N / l->super; i++) {
            struct qs_lattice_super s;
            l->take(grid, i, &s);
            l->put(&s, grid2, i);
        }
        l->spread(grid2, ROWS, COLS, scale2, offset2);
        assert_memory_equal(scale, scale2, N / l->sub * sizeof *scale);
        assert_memory_equal(offset, offset2, N / l->sub * sizeof *offset);
        l->gather(scale, offset, NULL, ROWS, COLS, grid2);
        l->spread(grid2, ROWS, COLS, scale2, offset2);
        for (size_t i = 0; i < N / l->sub; i++) {
            assert_float_equal(scale[i], scale2[i], 2e-3f * fabsf(scale[i]) + 2e-6f);
            assert_float_equal(offset[i], offset2[i], 2e-3f * fabsf(offset[i]) + 2e-6f);
        }
    }
}

static double miss(const struct qs_lattice *l, const float *weight)
{
    double sum = 0;
    for (size_t i = 0; i < N / l->sub; i++)
        sum += (double)weight[i] * pow((double)scale[i] - (double)scale2[i], 2);
    return sum;
}

/* Wished scales that no grid has: gather comes nearer to them, as weighted, than a grid whose largest scale is met. */
static void test_gather_searches(void **state)
{
    (void)state;
    const int supers[] = { QS_Q2_K, QS_Q3_K, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_IQ4_XS };
    for (size_t t = 0; t < sizeof supers / sizeof *supers; t++) {
        const struct qs_lattice *l = qs_lattice_of(supers[t]);
        const size_t n = (size_t)l->super / l->sub;
        static float weight[N];
        uint64_t seed = 5 + t;
        for (size_t i = 0; i < N / l->sub; i++) {
            scale[i] = (float)(0.01 * (1.3 + gptq_uniform(&seed)));
            offset[i] = l->offset ? -scale[i] * 3 : 0;
            weight[i] = (float)(1.01 + gptq_uniform(&seed));
        }
        double plain = 0;
        for (size_t i = 0; i < N / l->super; i++) {
            float top = 0;
            for (size_t j = 0; j < n; j++)
                top = fmaxf(top, scale[i * n + j]);
            for (size_t j = 0; j < n; j++) {
                const float q = rintf(scale[i * n + j] / top * (float)l->scale_hi) * top / (float)l->scale_hi;
                plain += (double)weight[i * n + j] * pow((double)(q - scale[i * n + j]), 2);
            }
        }
        l->gather(scale, offset, weight, ROWS, COLS, grid2);
        l->spread(grid2, ROWS, COLS, scale2, offset2);
        const double searched = miss(l, weight);
        if (!(searched < 0.8 * plain))
            fail_msg("%s: the search misses by %g, the plain rule by %g", qs_type_name(supers[t]), searched, plain);
    }
}

/* Wishes that cannot be met give numbers all the same. */
static void test_gather_hostile(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct qs_lattice *l = qs_lattice_of(types[t]);
        const float odd[] = { NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0, 1e-40f, -1 };
        for (size_t i = 0; i < N / l->sub; i++) {
            scale[i] = odd[i % 8];
            offset[i] = odd[(i * 3 + 1) % 8];
        }
        l->gather(scale, offset, scale, ROWS, COLS, grid2);
        l->spread(grid2, ROWS, COLS, scale2, offset2);
        for (size_t i = 0; i < N / l->sub; i++) {
            assert_true(isfinite(scale2[i]) && isfinite(offset2[i]));
            assert_true(!l->offset_negative || offset2[i] <= 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_decode), cmocka_unit_test(test_none), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_gather_searches), cmocka_unit_test(test_gather_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
