/* test_kquant.c - Q2_K .. Q6_K: where each code lies in a block, what round promises beyond fit, and the corner cases
 * of their scales. That encoding and decoding give the reference's bytes and floats is shown by test_format.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/kquant.h"
#include "kernels/ref/ref.h"
#include "tests/kernels/golden_input.h"

enum { ROWS = 3, COLS = 2 * QS_SUPER, BLOCKS = ROWS * COLS / QS_SUPER, MAX_BLOCK = 210 };

/* A format with what a test must know: bytes, largest code, code of zero, and where its float16 lie. */
struct kind {
    const char *name;
    size_t bytes, grid_bytes, d, dmin;
    int sub, top, zero;
    qs_decode_fn *decode;
    qs_fit_fn *fit;
    qs_round_fn *round;
    qs_pack_fn *pack;
    qs_scan_fn *scan;
};

#define KIND(l, m, sub, top, zero)                                                                                     \
    { #l, sizeof(struct qs_block_##l), sizeof(struct qs_grid_##l), offsetof(struct qs_block_##l, d),                   \
      offsetof(struct qs_block_##l, m), sub, top, zero, qs_ref_##l##_decode, qs_ref_##l##_fit, qs_ref_##l##_round,     \
      qs_ref_##l##_pack, qs_ref_##l##_scan }
static const struct kind kinds[] = {
    KIND(q2_k, dmin, 16, 3, 0), KIND(q3_k, d, 16, 7, 4), KIND(q4_k, dmin, 32, 15, 0), KIND(q5_k, dmin, 32, 31, 0),
    KIND(q6_k, d, 16, 63, 32),
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static float x[ROWS * COLS], y[ROWS * COLS], y2[ROWS * COLS], weight[COLS];
static uint8_t codes[ROWS * COLS], codes2[ROWS * COLS], blocks[BLOCKS * MAX_BLOCK];
static _Alignas(16) uint8_t grid[BLOCKS * 64];

static void fill_bell(uint64_t seed, float scale)
{
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = golden_bell(&seed) * scale;
    for (size_t i = 0; i < COLS; i++)
        weight[i] = golden_uniform(&seed) + 0.01f;
}

static void fit_pack_decode(const struct kind *k, const float *w, float *out)
{
    const struct qs_rows in = { x, ROWS, COLS, COLS, w };
    k->fit(&in, grid, codes);
    k->pack(ROWS, COLS, grid, codes, &(struct qs_parts){ { blocks } });
    k->decode(&(struct qs_const_parts){ { blocks } }, ROWS, COLS, out, COLS);
}

/* One code set apart from the others moves exactly its own weight. */
static void every_code_has_its_place(void **state)
{
    (void)state;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        fill_bell(1, 0.02f);
        fit_pack_decode(k, NULL, y2); /* a grid without zero scales */
        memset(codes, k->zero, QS_SUPER);
        k->pack(1, QS_SUPER, grid, codes, &(struct qs_parts){ { blocks } });
        k->decode(&(struct qs_const_parts){ { blocks } }, 1, QS_SUPER, y2, QS_SUPER);
        for (int at = 0; at < QS_SUPER; at++) {
            for (int bit = 1; bit <= k->top; bit *= 2) {
                codes[at] = (uint8_t)(k->zero ^ bit);
                k->pack(1, QS_SUPER, grid, codes, &(struct qs_parts){ { blocks } });
                k->decode(&(struct qs_const_parts){ { blocks } }, 1, QS_SUPER, y, QS_SUPER);
                for (int i = 0; i < QS_SUPER; i++)
                    if ((y[i] != y2[i]) != (i == at))
                        fail_msg("%s: code %d, bit %d shows at weight %d", k->name, at, bit, i);
            }
            codes[at] = (uint8_t)k->zero;
        }
    }
}

static void six_bit_scales_keep_all_bits(void **state)
{
    (void)state;
    uint8_t in[12], out[12], scale[8], min[8];
    for (uint64_t seed = 0; seed < 200; seed++) {
        golden_random_bytes(seed, in, sizeof in);
        qs_k_unpack_6bit(in, scale, min);
        for (int j = 0; j < 8; j++)
            assert_true(scale[j] < 64 && min[j] < 64);
        qs_k_pack_6bit(scale, min, out);
        assert_memory_equal(in, out, sizeof in);
    }
}

/* No code decodes nearer than the one round chose, for weights on, between and far off the grid. */
static void round_is_never_worse_than_any_code(void **state)
{
    (void)state;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        fill_bell(2, 0.02f);
        fit_pack_decode(k, weight, y);
        for (size_t i = 0; i < ROWS * COLS; i++)
            x[i] = i % 3 == 0 ? y[i] : i % 3 == 1 ? x[i] * 1.5f : x[i] * 1e6f;
        const struct qs_rows in = { x, ROWS, COLS, COLS, NULL };
        k->round(&in, grid, codes);
        k->pack(ROWS, COLS, grid, codes, &(struct qs_parts){ { blocks } });
        k->decode(&(struct qs_const_parts){ { blocks } }, ROWS, COLS, y, COLS);
        for (int other = 0; other <= k->top; other++) {
            memset(codes2, other, sizeof codes2);
            k->pack(ROWS, COLS, grid, codes2, &(struct qs_parts){ { blocks } });
            k->decode(&(struct qs_const_parts){ { blocks } }, ROWS, COLS, y2, COLS);
            for (size_t i = 0; i < ROWS * COLS; i++)
                if (fabs((double)y2[i] - (double)x[i]) < fabs((double)y[i] - (double)x[i]))
                    fail_msg("%s: %zu: %g becomes %g (code %d), but code %d is %g", k->name, i, (double)x[i],
                             (double)y[i], codes[i], other, (double)y2[i]);
        }
    }
}

static double error(const float *w)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS * COLS; i++)
        sum += (w ? (double)w[i % COLS] : 1) * ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    return sum;
}

/* Few important columns: told which, the weighted search serves them better than when told that all are alike. */
static void importance_moves_the_error(void **state)
{
    (void)state;
    float alike[COLS];
    for (size_t i = 0; i < COLS; i++)
        alike[i] = 1;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        fill_bell(3, 0.02f);
        for (size_t i = 0; i < COLS; i++)
            weight[i] = i % 8 == 3 ? 100.0f : 1.0f;
        fit_pack_decode(k, alike, y);
        double untold = error(weight);
        fit_pack_decode(k, weight, y);
        if (!(error(weight) < untold * 0.97))
            fail_msg("%s: %g against %g", k->name, error(weight), untold);
    }
}

/* Relative RMS error of bell-shaped weights, about 2^-bits; a misplaced scale or minimum would be far above. */
static void error_is_in_its_class(void **state)
{
    (void)state;
    static const double limit[KINDS] = { 0.36, 0.19, 0.083, 0.042, 0.024 };
    for (int i = 0; i < KINDS; i++) {
        fill_bell(4, 0.02f);
        memset(y, 0, sizeof y);
        double whole = error(NULL);
        for (int weighted = 0; weighted < 2; weighted++) {
            fit_pack_decode(&kinds[i], weighted ? weight : NULL, y);
            double e = sqrt(error(NULL) / whole);
            if (e > limit[i] || e < limit[i] / 4)
                fail_msg("%s: %g", kinds[i].name, e);
        }
    }
}

/* A sub-block too small for the scale step of its super-block: all its codes mean the same, round gives 0. */
static void lost_sub_blocks_round_to_zero(void **state)
{
    (void)state;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        fill_bell(5, 1.0f);
        for (int i = 0; i < k->sub; i++)
            x[i] = x[i] * 1e-5f;
        fit_pack_decode(k, NULL, y);
        const struct qs_rows in = { x, 1, QS_SUPER, QS_SUPER, NULL };
        k->round(&in, grid, codes2);
        for (int i = 0; i < k->sub; i++) {
            assert_int_equal(codes2[i], 0);
            assert_true(fabsf(y[i]) < 1e-2f);
        }
        int used = 0;
        for (int i = k->sub; i < QS_SUPER; i++)
            used += codes2[i] != 0;
        assert_true(used > QS_SUPER / 4);
    }
}

/* A constant negative block is all minimum; NaN must not reach the codes, whatever its bits. */
static void constants_and_nan(void **state)
{
    (void)state;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        for (size_t i = 0; i < ROWS * COLS; i++)
            x[i] = -0.75f;
        fit_pack_decode(k, NULL, y);
        for (size_t i = 0; i < ROWS * COLS; i++)
            assert_true(fabsf(y[i] + 0.75f) < 0.75f * 0.002f);
        fill_bell(6, 0.02f);
        x[5] = qs_bits_f32(0x7fc00001);
        fit_pack_decode(k, weight, y);
        memcpy(codes2, codes, sizeof codes);
        x[5] = qs_bits_f32(0xff812345);
        fit_pack_decode(k, weight, y);
        assert_memory_equal(codes2, codes, sizeof codes);
        for (size_t i = 0; i < ROWS * COLS; i++)
            assert_true(codes[i] <= k->top);
    }
}

static void scan_sees_both_scales(void **state)
{
    (void)state;
    static const uint16_t bad[] = { 0x7c00, 0xfc00, 0x7e01 };
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        const struct qs_const_parts src = { { blocks } };
        fill_bell(7, 0.02f);
        fit_pack_decode(k, NULL, y);
        assert_int_equal(k->scan(&src, ROWS, COLS), 0);
        memcpy(blocks + k->bytes + k->d, &bad[0], 2);
        assert_int_equal(k->scan(&src, ROWS, COLS), 1);
        memcpy(blocks + k->bytes + k->dmin, &bad[1], 2); /* the same block is counted once */
        assert_int_equal(k->scan(&src, ROWS, COLS), 1);
        memcpy(blocks + (BLOCKS - 1) * k->bytes + k->dmin, &bad[2], 2);
        assert_int_equal(k->scan(&src, ROWS, COLS), 2);
        assert_int_equal(k->scan(&src, 1, QS_SUPER), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_place),           cmocka_unit_test(six_bit_scales_keep_all_bits),
        cmocka_unit_test(round_is_never_worse_than_any_code), cmocka_unit_test(importance_moves_the_error),
        cmocka_unit_test(error_is_in_its_class),              cmocka_unit_test(lost_sub_blocks_round_to_zero),
        cmocka_unit_test(constants_and_nan),                  cmocka_unit_test(scan_sees_both_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
