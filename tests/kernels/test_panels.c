/* test_panels.c - panels of every type at every level that has them: the way back is exact, and products are those of rows
 * at ref, bit for bit, whatever the number of rows and tokens.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/level.h"
#include "tests/kernels/dot_data.h"

enum { MAX_ROWS = 100, MAX_TOKENS = 67 };

struct data {
    const struct qs_format *f;
    size_t cols, row, x_stride; /* bytes */
    uint8_t *w, *x;
    float *want;                /* MAX_ROWS of every token */
};

static uint8_t *random_bytes(size_t n, uint64_t *s)
{
    uint8_t *b = malloc(n);
    assert_non_null(b);
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)golden_next(s);
    return b;
}

/* Subnormal, very large, NaN and infinity, and tokens of zeros, among ordinary ones. */
static void make_hostile(float *x, size_t cols)
{
    for (size_t k = 0; k < 4 * cols; k++)
        x[k] = k % 64 < 32 ? 1e-40f * (float)(k % 7) : k % 512 == 40 ? 3e38f : 1.0f;
    memset(x + 4 * cols, 0, cols * sizeof *x);
    x[5 * cols + 3] = NAN;
    x[6 * cols + 3] = -INFINITY;
    for (size_t k = 0; k < cols; k++)
        x[7 * cols + k] = k % 3 ? 2.5f : -2.5f; /* all as large as can be */
}

static struct data make_data(const struct qs_format *f, size_t cols, bool hostile, uint64_t seed)
{
    struct data d = { .f = f, .cols = cols, .row = qs_format_row_bytes(f, cols) };
    float *x = random_floats(MAX_TOKENS * cols, hostile ? 1e-20f : 1.0f, &seed);
    qs_level_limit(QS_LEVEL_REF);
    const struct qs_dot_ops *ops = qs_dot_ops(f->id);
    if (hostile) {
        make_hostile(x, cols);
        d.w = random_bytes(MAX_ROWS * d.row, &seed);
    } else {
        float *weights = random_floats(MAX_ROWS * cols, 0.1f, &seed);
        d.w = stored_rows(f, weights, MAX_ROWS, cols);
        free(weights);
    }
    d.x_stride = qs_act_bytes(ops->act, cols);
    d.x = aligned_alloc(QS_ACT_ALIGN, MAX_TOKENS * d.x_stride);
    d.want = need(MAX_TOKENS * MAX_ROWS * sizeof *d.want);
    assert_non_null(d.x);
    for (size_t t = 0; t < MAX_TOKENS; t++)
        qs_row_ops()->quantize[ops->act](x + t * cols, cols, d.x + t * d.x_stride);
    free(x);
    ops->quant(&(struct qs_dot){ d.w, d.row, MAX_ROWS, cols, d.x, d.x_stride, MAX_TOKENS, d.want, MAX_ROWS });
    return d;
}

static void free_data(struct data *d)
{
    free(d->w);
    free(d->x);
    free(d->want);
}

static uint8_t *packed(const struct qs_panel_ops *ops, const struct data *d, size_t rows)
{
    const size_t bytes = QS_PANEL_ROWS * d->row;
    uint8_t *panels = need(qs_panel_count(rows) * bytes);
    memset(panels, 0x99, qs_panel_count(rows) * bytes);
    for (size_t r = 0; r < rows; r += QS_PANEL_ROWS)
        ops->pack(d->w + r * d->row, d->row, rows - r < QS_PANEL_ROWS ? rows - r : QS_PANEL_ROWS, d->cols,
                  panels + r / QS_PANEL_ROWS * bytes);
    return panels;
}

static void check_way_back(const struct qs_panel_ops *ops, const struct data *d, const uint8_t *panels, size_t rows)
{
    uint8_t *again = malloc(rows * d->row);
    for (size_t r = 0; r < rows; r += QS_PANEL_ROWS)
        ops->unpack(panels + r * d->row, rows - r < QS_PANEL_ROWS ? rows - r : QS_PANEL_ROWS, d->cols, again + r * d->row,
                    d->row);
    assert_memory_equal(again, d->w, rows * d->row);
    free(again);
}

/* Nothing but the outputs asked for is written. */
static void check_product(const struct qs_panel_ops *ops, const struct data *d, const uint8_t *panels, size_t rows,
                          size_t tokens)
{
    const size_t stride = rows + 3;
    float *out = malloc(tokens * stride * sizeof *out);
    void *local = need(ops->local ? ops->local(d->cols) : 0);
    for (size_t i = 0; i < tokens * stride; i++)
        out[i] = -77;
    ops->product(&(struct qs_panel_job){ panels, rows, d->cols, d->x, d->x_stride, tokens, out, stride, local });
    for (size_t i = 0; i < tokens * stride; i++) {
        const size_t r = i % stride, t = i / stride;
        const float x = r < rows ? d->want[t * MAX_ROWS + r] : -77, y = out[i];
        if (!(x != x ? y != y : memcmp(&x, &y, sizeof x) == 0))
            fail_msg("%s at %s, %zu columns, row %zu of %zu, token %zu of %zu: %.9g is not %.9g", d->f->name,
                     qs_level_name(qs_level_now()), d->cols, r, rows, t, tokens, y, x);
    }
    free(local);
    free(out);
}

static void check_level(const struct data *d)
{
    static const size_t rows[] = { 1, 15, 16, 17, 32, 33, 47, 48, MAX_ROWS };
    static const size_t tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 33, 64, MAX_TOKENS };
    const struct qs_panel_ops *ops = qs_panel_ops(d->f->id);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint8_t *panels = packed(ops, d, rows[r]);
        check_way_back(ops, d, panels, rows[r]);
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
            if (t % 4 == r % 4 || rows[r] == 33)
                check_product(ops, d, panels, rows[r], tokens[t]);
        free(panels);
    }
}

static size_t every_level(const struct qs_format *f, size_t blocks, bool hostile)
{
    size_t seen = 0;
    struct data d = { 0 };
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        qs_level_limit((enum qs_level)l);
        if (!qs_level_available((enum qs_level)l) || !qs_panel_ops(f->id))
            continue;
        if (!seen++)
            d = make_data(f, blocks * f->block, hostile, (uint64_t)f->id * 10 + blocks);
        qs_level_limit((enum qs_level)l);
        check_level(&d);
    }
    free_data(&d);
    return seen;
}

static void every_type(bool hostile)
{
    static const size_t blocks[] = { 1, 2, 3, 5, 8 };
    size_t seen = 0;
    for (size_t i = 0; i < qs_format_count(); i++)
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
            seen += every_level(qs_format_at(i), qs_format_at(i)->block == 32 ? blocks[k] * 3 : blocks[k], hostile);
    if (!seen)
        skip(); /* no level here has panels */
}

static void test_products(void **state)
{
    (void)state;
    every_type(false);
}

/* Any bytes at all as weights, and hostile activations. */
static void test_any_bits(void **state)
{
    (void)state;
    every_type(true);
}

static int any_level(void **state)
{
    (void)state;
    qs_level_limit(QS_LEVEL_COUNT);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_products, any_level),
        cmocka_unit_test_teardown(test_any_bits, any_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
