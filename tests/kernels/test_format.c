/* test_format.c - every number format: the table, the bytes of the reference, and the laws of fit, round and pack.
 *
 * The goldens come from ggml's own quantizers (tests/oracle/make_goldens.sh). Laws are tried on rows of the same kinds.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/format.h"
#include "kernels/level.h"
#include "tests/kernels/golden_read.h"

enum { COLS = GOLDEN_COLS, MAX_BYTES = COLS * 8, GUARD = 64 };

static struct goldens goldens;

/* Room for grid and codes of a few rows of any format. */
static _Alignas(16) uint8_t scratch[4 * COLS * 16];

static bool encodes(const struct qs_format *f) { return !(f->flags & QS_NO_ENCODE); }

static size_t grid_size(const struct qs_format *f, size_t rows) { return rows * (COLS / f->block) * f->grid_bytes; }

static size_t code_size(const struct qs_format *f, size_t rows)
{
    return rows * (COLS / f->block) * f->codes_per_block * f->code_bytes;
}

static void encode_rows(const struct qs_format *f, const float *x, size_t rows, size_t stride, const float *w,
                        uint8_t *out)
{
    const struct qs_rows in = {x, rows, COLS, stride, w};
    const struct qs_parts dst = {{out}};
    assert_true(qs_format_scratch(f, rows, COLS) <= sizeof scratch);
    qs_format_encode(f, &in, &dst, scratch);
}

static void decode_rows(const struct qs_format *f, const uint8_t *src, size_t rows, float *y, size_t stride)
{
    const struct qs_const_parts parts = {{src}};
    qs_format_ops(f->id)->decode(&parts, rows, COLS, y, stride);
}

/* The weights that a search without importance is to be tried with: none, or some where the format insists. */
static const float *weights_if_needed(const struct qs_format *f, int row)
{
    static float w[COLS];
    golden_importance(row, w);
    return f->flags & QS_NEEDS_IMATRIX ? w : NULL;
}

/* ---- the table */

static const struct { const char *name; int id; double bpw; unsigned block; } expected[] = {
    {"F32", 0, 32, 1},          {"F16", 1, 16, 1},           {"Q4_0", 2, 4.5, 32},        {"Q4_1", 3, 5, 32},
    {"Q5_0", 6, 5.5, 32},       {"Q5_1", 7, 6, 32},          {"Q8_0", 8, 8.5, 32},        {"Q8_1", 9, 9, 32},
    {"Q2_K", 10, 2.625, 256},   {"Q3_K", 11, 3.4375, 256},   {"Q4_K", 12, 4.5, 256},      {"Q5_K", 13, 5.5, 256},
    {"Q6_K", 14, 6.5625, 256},  {"Q8_K", 15, 9.125, 256},    {"IQ2_XXS", 16, 2.0625, 256}, {"IQ2_XS", 17, 2.3125, 256},
    {"IQ3_XXS", 18, 3.0625, 256}, {"IQ1_S", 19, 1.5625, 256}, {"IQ4_NL", 20, 4.5, 32},     {"IQ3_S", 21, 3.4375, 256},
    {"IQ2_S", 22, 2.5625, 256}, {"IQ4_XS", 23, 4.25, 256},   {"I8", 24, 8, 1},            {"I16", 25, 16, 1},
    {"I32", 26, 32, 1},         {"I64", 27, 64, 1},          {"F64", 28, 64, 1},          {"IQ1_M", 29, 1.75, 256},
    {"BF16", 30, 16, 1},        {"TQ1_0", 34, 1.6875, 256},  {"TQ2_0", 35, 2.0625, 256},  {"MXFP4", 39, 4.25, 32},
    {"NVFP4", 40, 4.5, 64},     {"Q1_0", 41, 1.125, 128},    {"Q2_0", 42, 2.25, 64},
};

static void table_is_complete(void **state)
{
    (void)state;
    assert_int_equal(qs_format_count(), sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct qs_format *f = qs_format_by_id(expected[i].id);
        assert_non_null(f);
        assert_string_equal(f->name, expected[i].name);
        assert_ptr_equal(qs_format_by_name(expected[i].name), f);
        assert_int_equal(f->block, expected[i].block);
        assert_true(fabs(qs_format_bpw(f) - expected[i].bpw) < 1e-9);
        assert_int_equal(qs_format_row_bytes(f, 1024), (size_t)(1024 * expected[i].bpw / 8));
        assert_true(f->n_components == 1 && f->grid_bytes % 4 == 0);
        assert_true(f->code_bytes == 1 || f->code_bytes == 2 || f->code_bytes == 4);
        assert_true(f->good_for && f->good_for[0]);
    }
}

static void names_and_ids_are_found(void **state)
{
    (void)state;
    assert_ptr_equal(qs_format_by_name("q4_k"), qs_format_by_id(QS_Q4_K));
    assert_ptr_equal(qs_format_by_name("iQ2_xXs"), qs_format_by_id(QS_IQ2_XXS));
    assert_null(qs_format_by_name("Q4_K_M"));
    assert_null(qs_format_by_name("Q4_"));
    assert_null(qs_format_by_name(""));
    assert_null(qs_format_by_name(NULL));
    const int unknown[] = {QS_TYPE_NONE, 4, 5, 31, 36, 43, 1000, -7};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_null(qs_format_by_id(unknown[i]));
        assert_null(qs_format_ops(unknown[i]));
    }
    assert_null(qs_format_at(qs_format_count()));
}

static void operations_are_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        const struct qs_format_ops *ops = qs_format_ops(f->id);
        assert_true(ops && ops->decode && ops->scan);
        assert_true((ops->fit && ops->round && ops->pack) == encodes(f));
    }
}

/* ---- the bytes of the reference */

/* The one place where we do not follow the reference (see kernels/ref/ref.h): IQ3_S super-blocks in which some groups of
 * 32 weights are zero and others are not. */
static bool mixes_zero_groups(const float *x)
{
    int zero = 0;
    for (int j = 0; j < 256; j += 32) {
        int k = j;
        while (k < j + 32 && !(fabsf(x[k]) > 0))
            k++;
        zero += k == j + 32;
    }
    return zero > 0 && zero < 8;
}

static double squared_error(const float *x, const float *y, int n)
{
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    return sum;
}

/* There ours must be nearer than the reference's; the other blocks of the row must be the same. */
static void check_better(const struct qs_format *f, const struct golden *g, const float *x, const uint8_t *bytes)
{
    static float mine[COLS], theirs[COLS];
    const size_t block = qs_format_row_bytes(f, f->block);
    if (g->r.bytes == 0)
        return;
    decode_rows(f, bytes, 1, mine, COLS);
    decode_rows(f, g->bytes, 1, theirs, COLS);
    for (int i = 0; i < COLS / f->block; i++) {
        const int at = i * f->block;
        if (mixes_zero_groups(x + at))
            assert_true(squared_error(x + at, mine + at, f->block) <= squared_error(x + at, theirs + at, f->block));
        else
            assert_memory_equal(bytes + (size_t)i * block, g->bytes + (size_t)i * block, block);
    }
}

static void check_golden(const struct golden *g)
{
    static uint8_t bytes[GOLDEN_RANDOM_BLOCKS * 512];
    static float x[COLS], w[COLS], y[GOLDEN_RANDOM_BLOCKS * 256];
    const struct qs_format *f = qs_format_by_id(g->r.type);
    assert_non_null(f);
    size_t n = COLS;
    if (g->r.what == 2) {
        n = (size_t)GOLDEN_RANDOM_BLOCKS * f->block;
        golden_random_bytes(g->r.type, bytes, qs_format_row_bytes(f, n));
    } else {
        golden_row(g->r.row, x);
        golden_importance(g->r.row, w);
        encode_rows(f, x, 1, COLS, g->r.what == 1 ? w : NULL, bytes);
        if (f->id == QS_IQ3_S && (mixes_zero_groups(x) || mixes_zero_groups(x + 256))) {
            check_better(f, g, x, bytes);
            return;
        }
    }
    for (size_t i = 0; i < g->r.bytes; i++)
        if (bytes[i] != g->bytes[i])
            fail_msg("%s row %d%s: byte %zu is %02x, not %02x", f->name, g->r.row, g->r.what ? " weighted" : "", i,
                     bytes[i], g->bytes[i]);
    if (golden_hash(bytes, qs_format_row_bytes(f, n)) != g->r.encoded)
        fail_msg("%s row %d, what %d: encoded bytes differ", f->name, g->r.row, g->r.what);
    const struct qs_const_parts src = {{bytes}};
    qs_format_ops(f->id)->decode(&src, 1, n, y, n);
    if (golden_hash_floats(y, n) != g->r.decoded)
        fail_msg("%s row %d, what %d: decoded floats differ", f->name, g->r.row, g->r.what);
}

static void same_as_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < goldens.count; i++)
        check_golden(&goldens.at[i]);
}

static void goldens_cover_every_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        size_t seen[3] = {0, 0, 0};
        for (size_t k = 0; k < goldens.count; k++)
            if (goldens.at[k].r.type == f->id && goldens.at[k].r.what < 3)
                seen[goldens.at[k].r.what]++;
        if (!encodes(f))
            continue;
        assert_int_equal(seen[0], f->flags & QS_NEEDS_IMATRIX ? 0 : GOLDEN_ROWS);
        assert_int_equal(seen[1], f->flags & QS_USES_IMATRIX ? GOLDEN_ROWS : 0);
        assert_int_equal(seen[2], 1);
    }
}

/* ---- laws */

/* Rows do not influence each other, gaps between rows are neither read nor written, nothing beyond the end is touched. */
static void rows_are_independent(void **state)
{
    (void)state;
    enum { ROWS = 3, STRIDE = COLS + 7 };
    static float x[ROWS * STRIDE], y[ROWS * STRIDE], one[COLS];
    static uint8_t all[ROWS * MAX_BYTES + GUARD], single[MAX_BYTES];
    for (size_t i = 0; i < ROWS * STRIDE; i++)
        x[i] = NAN;
    for (int r = 0; r < ROWS; r++)
        golden_row(r, x + r * STRIDE);
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!encodes(f))
            continue;
        const size_t row = qs_format_row_bytes(f, COLS);
        const float *w = weights_if_needed(f, 1);
        memset(all, 0xa5, sizeof all);
        encode_rows(f, x, ROWS, STRIDE, w, all);
        for (int k = 0; k < GUARD; k++)
            assert_int_equal(all[ROWS * row + (size_t)k], 0xa5);
        for (size_t k = 0; k < ROWS * STRIDE; k++)
            y[k] = -77;
        decode_rows(f, all, ROWS, y, STRIDE);
        for (int r = 0; r < ROWS; r++) {
            encode_rows(f, x + r * STRIDE, 1, COLS, w, single);
            assert_memory_equal(single, all + (size_t)r * row, row);
            decode_rows(f, single, 1, one, COLS);
            assert_memory_equal(one, y + r * STRIDE, sizeof one);
            for (int k = COLS; k < STRIDE; k++)
                assert_true(y[r * STRIDE + k] == -77);
        }
    }
}

/* Rounding what a block decodes to, on its own grid, decodes to the same numbers. */
static void rounding_keeps_decoded_values(void **state)
{
    (void)state;
    static uint8_t bytes[MAX_BYTES], again[MAX_BYTES];
    static float x[COLS], y[COLS], z[COLS];
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!encodes(f))
            continue;
        const struct qs_format_ops *ops = qs_format_ops(f->id);
        uint8_t *grid = scratch, *codes = scratch + grid_size(f, 1) + 16 - grid_size(f, 1) % 16;
        const struct qs_parts dst = {{bytes}}, dst2 = {{again}};
        for (int row = 0; row < GOLDEN_KINDS; row++) {
            golden_row(row, x);
            const struct qs_rows in = {x, 1, COLS, COLS, weights_if_needed(f, row)};
            ops->fit(&in, grid, codes);
            ops->pack(1, COLS, grid, codes, &dst);
            decode_rows(f, bytes, 1, y, COLS);
            const struct qs_rows moved = {y, 1, COLS, COLS, NULL}; /* importance of zero would leave codes free */
            ops->round(&moved, grid, codes);
            ops->pack(1, COLS, grid, codes, &dst2);
            decode_rows(f, again, 1, z, COLS);
            for (int k = 0; k < COLS; k++)
                if (y[k] != z[k])
                    fail_msg("%s row %d weight %d: %a became %a", f->name, row, k, (double)y[k], (double)z[k]);
        }
    }
}

static int codes_of(const struct qs_format *f) { return f->kind == QS_KIND_TERNARY ? 3 : 1 << f->levels_bits; }

/* For formats with one code per weight: no other code is nearer than the one that `round` picks. */
static void check_nearest(const struct qs_format *f, int row)
{
    static float x[COLS], value[256][COLS];
    static uint8_t codes[COLS], trial[COLS], grid[COLS * 16], bytes[MAX_BYTES];
    const struct qs_format_ops *ops = qs_format_ops(f->id);
    const struct qs_parts dst = {{bytes}};
    uint64_t seed = 5 + (uint64_t)row;
    golden_row(row, x);
    const struct qs_rows in = {x, 1, COLS, COLS, weights_if_needed(f, row)};
    ops->fit(&in, grid, codes);
    for (int c = 0; c < codes_of(f); c++) {
        memset(trial, c, sizeof trial);
        ops->pack(1, COLS, grid, trial, &dst);
        decode_rows(f, bytes, 1, value[c], COLS);
    }
    for (int k = 0; k < COLS; k++) /* move the weights: round must not depend on what fit saw */
        x[k] = x[k] * (0.5f + golden_uniform(&seed)) + (k % 5 == 0 ? value[codes_of(f) / 2][k] * 0.5f : 0);
    ops->round(&in, grid, codes);
    for (int k = 0; k < COLS; k++) {
        assert_in_range(codes[k], 0, codes_of(f) - 1);
        double mine = fabs((double)value[codes[k]][k] - (double)x[k]);
        for (int c = 0; c < codes_of(f); c++)
            if (fabs((double)value[c][k] - (double)x[k]) < mine)
                fail_msg("%s row %d weight %d: %a goes to code %d, %d is nearer", f->name, row, k, (double)x[k], codes[k],
                         c);
    }
}

static void round_takes_the_nearest_code(void **state)
{
    int tried = 0;
    (void)state;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!encodes(f) || f->code_bytes != 1 || f->codes_per_block != f->block)
            continue;
        tried++;
        for (int row = 0; row < GOLDEN_KINDS; row++)
            check_nearest(f, row);
    }
    assert_true(tried >= 18);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    static const float x[COLS];
    static float y[COLS], w[COLS];
    static uint8_t bytes[MAX_BYTES];
    golden_importance(0, w);
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        for (int weighted = 0; encodes(f) && weighted < 2; weighted++) {
            if (!weighted && (f->flags & QS_NEEDS_IMATRIX))
                continue;
            encode_rows(f, x, 1, COLS, weighted ? w : NULL, bytes);
            decode_rows(f, bytes, 1, y, COLS);
            for (int k = 0; k < COLS; k++)
                assert_true(fabsf(y[k]) <= 0);
        }
    }
}

/* Nothing breaks on input that is not finite or overflows every scale; a sanitizer build sees more of this test. */
static void strange_input_is_survived(void **state)
{
    (void)state;
    static const uint32_t odd[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff, 1, 0x80000001, 0x7f800001,
                                   0x00800000, 0x7f000000};
    enum { N = sizeof odd / sizeof *odd };
    static float x[COLS], y[COLS], w[COLS];
    static uint8_t bytes[MAX_BYTES + GUARD];
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        for (int t = 0; encodes(f) && t < 4 * N; t++) {
            golden_row(t % GOLDEN_KINDS, x);
            golden_importance(t, w);
            for (int k = 0; k < COLS; k++)
                if (t < N || (t < 2 * N && k % 37 == 3) || (t >= 2 * N && k == t))
                    memcpy(&x[k], &odd[t % N], 4);
            const bool weighted = t >= 3 * N || (f->flags & QS_NEEDS_IMATRIX);
            const struct qs_rows in = {x, 1, COLS, COLS, weighted ? w : NULL};
            memset(bytes, 0x5a, sizeof bytes);
            encode_rows(f, x, 1, COLS, in.weight, bytes);
            decode_rows(f, bytes, 1, y, COLS);
            uint8_t *codes = scratch + (grid_size(f, 1) + 15) / 16 * 16;
            qs_format_ops(f->id)->round(&in, scratch, codes);
            assert_true(code_size(f, 1) + (grid_size(f, 1) + 15) / 16 * 16 == qs_format_scratch(f, 1, COLS));
            for (int k = 0; k < GUARD; k++)
                assert_int_equal(bytes[qs_format_row_bytes(f, COLS) + (size_t)k], 0x5a);
        }
    }
}

static size_t scan(const struct qs_format *f, const uint8_t *bytes, size_t cols)
{
    const struct qs_const_parts src = {{bytes}};
    return qs_format_ops(f->id)->scan(&src, 1, cols);
}

static void scan_counts_broken_scales(void **state)
{
    (void)state;
    static float x[COLS];
    static uint8_t bytes[MAX_BYTES];
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        memset(bytes, 0xff, sizeof bytes);
        if (f->id == QS_NVFP4) /* every other byte is a number there; 0x7f is NaN */
            memset(bytes, 0x7f, sizeof bytes);
        assert_int_equal(scan(f, bytes, COLS), f->kind == QS_KIND_INT ? 0 : COLS / f->block);
        memset(bytes, 0, sizeof bytes);
        assert_int_equal(scan(f, bytes, COLS), 0);
        if (!encodes(f))
            continue;
        for (int row = 0; row < GOLDEN_KINDS; row++) {
            golden_row(row, x);
            encode_rows(f, x, 1, COLS, weights_if_needed(f, row), bytes);
            assert_int_equal(scan(f, bytes, COLS), 0);
        }
    }
}

static void floats_are_exact(void **state)
{
    (void)state;
    static float x[COLS], y[COLS];
    static uint8_t bytes[MAX_BYTES];
    golden_random_bytes(9, (uint8_t *)x, sizeof x);
    const struct qs_format *f = qs_format_by_name("F32");
    assert_true(f->flags & QS_LOSSLESS_F32);
    encode_rows(f, x, 1, COLS, NULL, bytes);
    decode_rows(f, bytes, 1, y, COLS);
    assert_memory_equal(x, y, sizeof x);
    const int32_t ints[4] = {0, -1, INT32_MAX, INT32_MIN};
    const double doubles[4] = {0.1, -1e300, 1e-300, 3};
    const struct qs_const_parts pi = {{(const uint8_t *)ints}}, pd = {{(const uint8_t *)doubles}};
    qs_format_ops(QS_I32)->decode(&pi, 1, 4, y, 4);
    assert_true(y[1] == -1 && y[2] == 2147483648.0f && y[3] == -2147483648.0f);
    qs_format_ops(QS_F64)->decode(&pd, 1, 4, y, 4);
    assert_true(y[0] == 0.1f && isinf(y[1]) && y[2] == 0 && y[3] == 3);
}

static int open_goldens(void **state)
{
    (void)state;
    return goldens_open(&goldens);
}

static int close_goldens(void **state)
{
    (void)state;
    goldens_close(&goldens);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_complete),          cmocka_unit_test(names_and_ids_are_found),
        cmocka_unit_test(operations_are_there),       cmocka_unit_test(goldens_cover_every_format),
        cmocka_unit_test(same_as_the_reference),      cmocka_unit_test(rows_are_independent),
        cmocka_unit_test(rounding_keeps_decoded_values), cmocka_unit_test(round_takes_the_nearest_code),
        cmocka_unit_test(zeros_stay_zeros),           cmocka_unit_test(strange_input_is_survived),
        cmocka_unit_test(scan_counts_broken_scales),  cmocka_unit_test(floats_are_exact),
    };
    return cmocka_run_group_tests(tests, open_goldens, close_goldens);
}
