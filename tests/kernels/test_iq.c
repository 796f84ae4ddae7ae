/* test_iq.c - the IQ formats: codebooks and their lists, exactness of `round`, equal bits on all levels.
 *
 * That encoding gives the reference's bytes is tested with all other formats in test_format.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/format.h"
#include "kernels/level.h"
#include "kernels/ref/iq_search.h"
#include "kernels/ref/tables_iq.h"
#include "tests/kernels/golden_input.h"

static const int types[] = {QS_IQ1_S, QS_IQ1_M, QS_IQ2_XXS, QS_IQ2_XS, QS_IQ2_S,
                            QS_IQ3_XXS, QS_IQ3_S, QS_IQ4_NL, QS_IQ4_XS};
enum { TYPES = sizeof types / sizeof *types, COLS = 512, ROWS = 4 };

/* ---- codebooks */

static int distance(unsigned a, unsigned b, unsigned dim, unsigned bits)
{
    int sum = 0;
    for (unsigned i = 0; i < dim; i++) {
        int d = (int)(a >> bits * i & ((1u << bits) - 1)) - (int)(b >> bits * i & ((1u << bits) - 1));
        sum += d * d;
    }
    return sum;
}

/* Number `n` of the combinations of levels. */
static unsigned combination(const struct qs_iq_book *b, unsigned n)
{
    unsigned point = 0;
    for (unsigned i = 0; i < b->dim; i++, n /= b->levels)
        point |= n % b->levels << b->bits * i;
    return point;
}

/* A list holds exactly the points of the smallest `shells` distances, by distance, then by place. */
static void check_list(const struct qs_iq_book *b, unsigned point, unsigned shells)
{
    const struct qs_iq_near *near = &b->near[qs_iq_rank(b, point)];
    unsigned at = 0, found = 0;
    for (int d = 1; d < 200 && found < shells; d++) {
        unsigned before = at;
        for (unsigned j = 0; j < b->count; j++) {
            if (distance(point, b->points[j], b->dim, b->bits) != d)
                continue;
            assert_true(at < near->count);
            assert_int_equal(b->list[near->first + at], b->points[j]);
            at++;
        }
        found += at > before;
    }
    assert_int_equal(at, near->count);
    assert_int_equal(near->first % 8, 0);
    for (; at % 8 != 0; at++)
        assert_int_equal(b->list[near->first + at], b->list[near->first]);
}

static void books_are_complete(void **state)
{
    (void)state;
    static const unsigned shells[QS_BOOK_COUNT] = {[QS_BOOK_IQ2_XXS] = 2, [QS_BOOK_IQ2_XS] = 2, [QS_BOOK_IQ2_S] = 1,
                                                   [QS_BOOK_IQ1] = 3, [QS_BOOK_IQ3_XXS] = 2, [QS_BOOK_IQ3_S] = 3};
    for (int id = 0; id < QS_BOOK_COUNT; id++) {
        const struct qs_iq_book *b = qs_iq_book((enum qs_iq_book_id)id);
        unsigned ranks = b->dim == 8 ? 6561 : 4096, on = 0;
        assert_int_equal(b->list_used, b->list_room);
        assert_int_equal(b->points[0], 0);
        for (unsigned j = 0; j < b->count; j++)
            assert_int_equal(qs_iq_place(b, b->points[j]), j);
        for (unsigned n = 0; n < ranks; n++) {
            unsigned point = combination(b, n);
            assert_int_equal(qs_iq_rank(b, point), n);
            on += b->near[n].index >= 0;
            if (b->near[n].index < 0 && n % 37 == 0)
                check_list(b, point, shells[id]);
        }
        assert_int_equal(on, b->count);
    }
}

/* Around each middle between two values of IQ4, and far from it, the choice is that of comparing distances in float. */
static void iq4_middles_are_exact(void **state)
{
    (void)state;
    for (int i = 0; i < 15; i++) {
        float low = qs_iq4_values[i], high = qs_iq4_values[i + 1], x = qs_iq4_middle[i], v[32] = {0};
        uint8_t code[32];
        for (int k = 0; k < 500; k++)
            x = nextafterf(x, -1000);
        for (int k = 0; k < 1000; k++, x = nextafterf(x, 1000)) {
            v[k % 32] = x;
            qs_iq4_ref.index(v, 1, code);
            assert_int_equal(code[k % 32], x - low < high - x ? i : i + 1);
        }
    }
}

/* ---- round */

static size_t code_count(int type)
{
    switch (type) {
    case QS_IQ1_S: return 1u << 11;
    case QS_IQ1_M: return 1u << 12;
    case QS_IQ2_XXS: return 1u << 15;
    case QS_IQ2_XS: return 1u << 16;
    case QS_IQ2_S: return 1u << 18;
    case QS_IQ3_XXS: return 1u << 23;
    case QS_IQ3_S: return 1u << 13;
    default: return 16;
    }
}

static void put_code(const struct qs_format *f, void *codes, size_t i, size_t code)
{
    uint32_t c = (uint32_t)code;
    memcpy((uint8_t *)codes + i * f->code_bytes, &c, f->code_bytes); /* little-endian, as the program is */
}

static size_t get_code(const struct qs_format *f, const void *codes, size_t i)
{
    uint32_t c = 0;
    memcpy(&c, (const uint8_t *)codes + i * f->code_bytes, f->code_bytes);
    return c;
}

static double group_error(const float *x, const float *w, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i] * (((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]));
    return sum;
}

/* No code of the first `group` weights of a block has a smaller error than round's. All codes are tried, a block of
 * them at a time, with the scale of that group everywhere. */
static void round_is_exact(int type, int row, size_t step)
{
    const struct qs_format *f = qs_format_by_id(type);
    const struct qs_format_ops *ops = qs_format_ops(type);
    float x[COLS], w[COLS], y[256];
    _Alignas(16) uint8_t grid[256], codes[1024], block[256];
    struct qs_parts dst = {{block}};
    struct qs_const_parts src = {{block}};
    size_t group = f->block / f->codes_per_block, n = f->codes_per_block;
    golden_row(row, x);
    golden_importance(row, w);
    size_t period = group > 1 ? group : 32;
    for (size_t i = period; i < f->block; i++) { /* the same weights again and again: the same scale everywhere */
        x[i] = x[i % period];
        w[i] = w[i % period];
    }
    const struct qs_rows in = {x, 1, f->block, COLS, w};
    ops->fit(&in, grid, codes);
    ops->round(&in, grid, codes);
    ops->pack(1, f->block, grid, codes, &dst);
    ops->decode(&src, 1, f->block, y, f->block);
    double ours = group_error(x, w, y, group), best = INFINITY;
    for (size_t code = 0; code < code_count(type); code += n * step) {
        for (size_t i = 0; i < n; i++)
            put_code(f, codes, i, (code + i) % code_count(type));
        ops->pack(1, f->block, grid, codes, &dst);
        ops->decode(&src, 1, f->block, y, f->block);
        for (size_t i = 0; i < n; i++) {
            double e = group_error(x, w, y + i * group, group);
            best = e < best ? e : best;
        }
    }
    if (step == 1)
        assert_true(ours <= best * (1 + 1e-12) && best <= ours * (1 + 1e-12));
    else
        assert_true(ours <= best * (1 + 1e-12));
}

static void rounding_finds_the_nearest(void **state)
{
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (int row = 0; row < 12; row++)
            if (row != 3) /* zeros */
                round_is_exact(types[t], row, types[t] == QS_IQ3_XXS && row % 4 != 0 ? 37 : 1);
}

/* With a zero scale all codes decode alike: the lowest one is taken. */
static void ties_go_to_the_lowest(void **state)
{
    (void)state;
    static const float zero[256];
    float x[256];
    for (int i = 0; i < 256; i++)
        x[i] = 1;
    for (int t = 0; t < TYPES; t++) {
        const struct qs_format *f = qs_format_by_id(types[t]);
        _Alignas(16) uint8_t grid[256], codes[1024];
        const struct qs_rows nothing = {zero, 1, 256, 256, NULL}, ones = {x, 1, 256, 256, NULL};
        qs_format_ops(types[t])->fit(&nothing, grid, codes);
        qs_format_ops(types[t])->round(&ones, grid, codes);
        for (size_t i = 0; i < f->codes_per_block * (256u / f->block); i++)
            assert_int_equal(get_code(f, codes, i), 0);
    }
}

/* ---- levels */

static void strange_row(int kind, uint64_t *seed, float *x)
{
    for (int i = 0; i < COLS; i++) {
        uint64_t r = golden_next(seed);
        uint32_t bits = (uint32_t)r;
        float any;
        memcpy(&any, &bits, 4);
        switch (kind) {
        case 0: x[i] = any; break;
        case 1: x[i] = r >> 32 & 15 ? golden_bell(seed) : NAN; break;
        case 2: x[i] = r >> 32 & 15 ? golden_bell(seed) : INFINITY; break;
        case 3: x[i] = golden_bell(seed) * 1e37f; break;
        case 4: x[i] = golden_bell(seed) * 1e19f; break;
        case 5: x[i] = golden_bell(seed) * 1e-40f; break;
        case 6: x[i] = r % 61 == 0 ? 3e38f : golden_bell(seed); break;
        case 7: x[i] = golden_bell(seed) * 1e-12f; break;
        default: x[i] = golden_bell(seed); break;
        }
    }
}

static void same_on_all_levels(const float *x, size_t rows, const float *w, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    static _Alignas(16) uint8_t grid[2][ROWS * COLS], codes[2][ROWS * COLS];
    const struct qs_rows in = {x, rows, COLS, COLS, w};
    size_t blocks = rows * COLS / f->block;
    qs_level_limit(QS_LEVEL_REF);
    qs_format_ops(type)->fit(&in, grid[0], codes[0]);
    for (int l = QS_LEVEL_REF + 1; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        qs_format_ops(type)->fit(&in, grid[1], codes[1]);
        assert_memory_equal(grid[0], grid[1], blocks * f->grid_bytes);
        assert_memory_equal(codes[0], codes[1], blocks * f->codes_per_block * f->code_bytes);
    }
    qs_level_limit((enum qs_level)(QS_LEVEL_COUNT - 1));
}

static void levels_agree(void **state)
{
    (void)state;
    uint64_t seed = 99;
    float x[ROWS * COLS], w[COLS], odd[COLS];
    for (int t = 0; t < TYPES; t++) {
        for (int row = 0; row < 48; row += ROWS) {
            for (int r = 0; r < ROWS; r++)
                golden_row(row + r, x + r * COLS);
            golden_importance(row, w);
            same_on_all_levels(x, ROWS, w, types[t]);
            same_on_all_levels(x, ROWS, NULL, types[t]);
        }
        for (int kind = 0; kind < 9; kind++) {
            strange_row(kind, &seed, x);
            strange_row((kind * 5 + 2) % 9, &seed, odd);
            same_on_all_levels(x, 1, w, types[t]);
            same_on_all_levels(x, 1, odd, types[t]);
            same_on_all_levels(x, 1, NULL, types[t]);
        }
    }
}

/* ---- particular cases */

/* Non-finite weights and importances that make no sense count as zero. */
static void strange_values_count_as_zero(void **state)
{
    (void)state;
    float x[COLS], clean_x[COLS], w[COLS], clean_w[COLS];
    golden_row(0, x);
    golden_importance(0, w);
    memcpy(clean_x, x, sizeof x);
    memcpy(clean_w, w, sizeof w);
    for (int i = 0; i < COLS; i += 19) {
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        w[(i + 7) % COLS] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -1;
        clean_x[i] = 0;
        clean_w[(i + 7) % COLS] = 0;
    }
    for (int t = 0; t < TYPES; t++) {
        const struct qs_format *f = qs_format_by_id(types[t]);
        static _Alignas(16) uint8_t grid[2][COLS], codes[2][COLS];
        const struct qs_rows in[2] = {{x, 1, COLS, COLS, w}, {clean_x, 1, COLS, COLS, clean_w}};
        size_t blocks = COLS / f->block;
        for (int i = 0; i < 2; i++)
            qs_format_ops(types[t])->fit(&in[i], grid[i], codes[i]);
        assert_memory_equal(grid[0], grid[1], blocks * f->grid_bytes);
        assert_memory_equal(codes[0], codes[1], blocks * f->codes_per_block * f->code_bytes);
    }
}

/* 32 zeros do not disturb the weights after them (they do in the reference's IQ3_S, which is a mistake). */
static void zeros_do_not_shift_codes(void **state)
{
    (void)state;
    const int row = 0;
    float x[COLS], y[256];
    golden_row(row, x);
    memset(x + 32, 0, 32 * sizeof *x);
    for (int t = 0; t < TYPES; t++) {
        if (types[t] == QS_IQ1_S || types[t] == QS_IQ1_M) /* too coarse for this measure */
            continue;
        const struct qs_format *f = qs_format_by_id(types[t]);
        _Alignas(16) uint8_t scratch[4096], block[256];
        const struct qs_rows in = {x, 1, 256, COLS, NULL};
        struct qs_parts dst = {{block}};
        struct qs_const_parts src = {{block}};
        assert_true(qs_format_scratch(f, 1, 256) <= sizeof scratch);
        qs_format_encode(f, &in, &dst, scratch);
        qs_format_ops(types[t])->decode(&src, 1, 256, y, 256);
        double error = 0, size = 0;
        for (int i = 64; i < 256; i++) {
            error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
            size += (double)x[i] * (double)x[i];
        }
        assert_true(error < 0.2 * size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(books_are_complete),
        cmocka_unit_test(iq4_middles_are_exact),
        cmocka_unit_test(rounding_finds_the_nearest),
        cmocka_unit_test(ties_go_to_the_lowest),
        cmocka_unit_test(levels_agree),
        cmocka_unit_test(strange_values_count_as_zero),
        cmocka_unit_test(zeros_do_not_shift_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
