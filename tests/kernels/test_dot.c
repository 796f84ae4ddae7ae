/* test_dot.c - products of every type against sums in double, and against each other: levels and tiles of tokens give
 * the same bits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/dot.h"
#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/rows.h"
#include "tests/kernels/dot_data.h"

enum { ROWS = 7, MAX_TOKENS = 17 };

/* One matrix and a batch, and what they are in double. */
struct data {
    const struct qs_format *f;
    size_t cols;
    uint8_t *w;
    float *x, *decoded; /* MAX_TOKENS and ROWS rows */
};

static struct data make_data(const struct qs_format *f, size_t cols, float scale, uint64_t seed)
{
    struct data d = { .f = f, .cols = cols, .x = random_floats(MAX_TOKENS * cols, scale, &seed) };
    float *weights = random_floats(ROWS * cols, 0.1f, &seed);
    memset(d.x + cols, 0, cols * sizeof *d.x); /* one token of zeros */
    d.w = stored_rows(f, weights, ROWS, cols);
    d.decoded = need(ROWS * cols * sizeof *d.decoded);
    qs_format_ops(f->id)->decode(&(struct qs_const_parts){ { d.w } }, ROWS, cols, d.decoded, cols);
    free(weights);
    return d;
}

static void free_data(struct data *d)
{
    free(d->w);
    free(d->x);
    free(d->decoded);
}

/* Quantized rows; malloc for the sake of the sanitizer, aligned as they must be. */
static uint8_t *quantized(const struct data *d, enum qs_act a, size_t tokens)
{
    const size_t bytes = qs_act_bytes(a, d->cols);
    uint8_t *q = aligned_alloc(QS_ACT_ALIGN, bytes * tokens);
    assert_non_null(q);
    assert_int_equal(bytes % QS_ACT_ALIGN, 0);
    memset(q, 0x77, bytes * tokens);
    for (size_t t = 0; t < tokens; t++)
        qs_row_ops()->quantize[a](d->x + t * d->cols, d->cols, q + t * bytes);
    return q;
}

static float act_value(const uint8_t *row, enum qs_act a, size_t cols, size_t k)
{
    if (a == QS_ACT_BF16)
        return qs_bf16_to_f32(((const uint16_t *)(const void *)row)[k]);
    return a == QS_ACT_Q8 ? qs_q8_scales(row, cols)[k / 32] * (float)(int8_t)row[k]
                          : qs_q8k_scales(row, cols)[k / 256] * (float)(int8_t)row[k];
}

/* Twice the most that quantizing may change a value. */
static double act_step(const uint8_t *row, enum qs_act a, size_t cols, size_t k)
{
    if (a == QS_ACT_BF16)
        return fabs(act_value(row, a, cols, k)) / 128 + 0x1p-126;
    return a == QS_ACT_Q8 ? qs_q8_scales(row, cols)[k / 32] : qs_q8k_scales(row, cols)[k / 256];
}

static void run_dot(const struct data *d, qs_dot_fn *dot, const void *x, size_t x_stride, size_t tokens, float *out)
{
    for (size_t i = 0; i < MAX_TOKENS * ROWS; i++)
        out[i] = -77;
    const struct qs_dot j = { d->w, qs_format_row_bytes(d->f, d->cols), ROWS, d->cols, x, x_stride, tokens, out, ROWS };
    dot(&j);
    for (size_t i = tokens * ROWS; i < MAX_TOKENS * ROWS; i++)
        assert_true(out[i] == -77);
}

static void check_f32(const struct data *d, float *out)
{
    run_dot(d, qs_dot_ops(d->f->id)->f32, d->x, d->cols * 4, MAX_TOKENS, out);
    for (size_t i = 0; i < MAX_TOKENS * ROWS; i++) {
        double sum = 0, size = 0;
        for (size_t k = 0; k < d->cols; k++) {
            const double p = (double)d->decoded[i % ROWS * d->cols + k] * (double)d->x[i / ROWS * d->cols + k];
            sum += p;
            size += fabs(p);
        }
        if (!(fabs(out[i] - sum) <= size * 1e-6))
            fail_msg("%s: %g is not %g", d->f->name, out[i], sum);
    }
}

/* Against the quantized activations; and those are not farther from the true ones than half a step. */
static void check_quant(const struct data *d, enum qs_act a, const uint8_t *q, float *out)
{
    const size_t bytes = qs_act_bytes(a, d->cols);
    run_dot(d, qs_dot_ops(d->f->id)->quant, q, bytes, MAX_TOKENS, out);
    for (size_t i = 0; i < MAX_TOKENS * ROWS; i++) {
        double sum = 0, size = 0;
        for (size_t k = 0; k < d->cols; k++) {
            const double x = d->x[i / ROWS * d->cols + k], y = act_value(q + i / ROWS * bytes, a, d->cols, k);
            const double step = act_step(q + i / ROWS * bytes, a, d->cols, k);
            const double w = d->decoded[i % ROWS * d->cols + k];
            assert_true(fabs(x - y) <= step * 0.5001);
            sum += w * y;
            size += fabs(w * y) + 0.5 * fabs(w) * step;
        }
        if (!(fabs(out[i] - sum) <= size * 4e-6))
            fail_msg("%s: %g is not %g", d->f->name, out[i], sum);
    }
}

/* Any number of tokens, any level: the same bits as `want`. */
static void check_same(const struct data *d, qs_dot_fn *dot, const void *x, size_t stride, const float *want)
{
    static const size_t counts[] = { 1, 2, 3, 4, 5, 8, 13, MAX_TOKENS };
    float out[MAX_TOKENS * ROWS];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        run_dot(d, dot, x, stride, counts[i], out);
        if (memcmp(out, want, counts[i] * ROWS * sizeof *out) != 0)
            fail_msg("%s at %s, %zu columns: other bits with %zu tokens", d->f->name, qs_level_name(qs_level_now()), d->cols,
                     counts[i]);
    }
}

static void every_level(const struct data *d)
{
    float want[MAX_TOKENS * ROWS], plain[MAX_TOKENS * ROWS];
    const struct qs_dot_ops *ops = qs_dot_ops(d->f->id);
    const enum qs_act a = ops->act;
    assert_true((a == QS_ACT_F32) == (ops->quant == NULL));
    qs_level_limit(QS_LEVEL_REF);
    uint8_t *q = a != QS_ACT_F32 ? quantized(d, a, MAX_TOKENS) : NULL;
    if (q)
        check_quant(d, a, q, want);
    if (qs_dot_ops(d->f->id)->f32)
        check_f32(d, plain);
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        ops = qs_dot_ops(d->f->id);
        assert_int_equal(ops->act, a);
        if (q) {
            uint8_t *again = quantized(d, a, MAX_TOKENS);
            assert_memory_equal(again, q, MAX_TOKENS * qs_act_bytes(a, d->cols));
            check_same(d, ops->quant, q, qs_act_bytes(a, d->cols), want);
            free(again);
        }
        if (ops->f32)
            check_same(d, ops->f32, d->x, d->cols * 4, plain);
    }
    free(q);
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!can_be_made(f))
            continue;
        static const size_t blocks[] = { 1, 3, 8, 9 }, floats[] = { 1, 15, 16, 67, 100 };
        for (size_t k = 0; k < (f->block == 1 ? 5 : 4); k++) {
            struct data d = make_data(f, f->block == 1 ? floats[k] : blocks[k] * f->block, k == 3 ? 1e3f : 1.0f, i * 10 + k);
            every_level(&d);
            free_data(&d);
        }
    }
}

/* Any bytes at all as weights, and hostile activations: levels agree where the result is a number. */
static void test_any_bits(void **state)
{
    (void)state;
    uint64_t s = 5;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        const struct qs_dot_ops *ops = qs_dot_ops(f->id);
        const enum qs_act a = ops->act;
        const size_t cols = 512;
        if (!ops->f32 && !ops->quant)
            continue;
        struct data d = { .f = f, .cols = cols, .x = random_floats(MAX_TOKENS * cols, 1e-20f, &s) };
        d.w = malloc(ROWS * qs_format_row_bytes(f, cols));
        for (size_t k = 0; k < ROWS * qs_format_row_bytes(f, cols); k++)
            d.w[k] = (uint8_t)golden_next(&s);
        for (size_t k = 0; k < 4 * cols; k++)
            d.x[k] = k % 64 < 32 ? 1e-40f * (float)(k % 7) : k % 512 == 40 ? 3e38f : 1.0f; /* subnormal; very large */
        d.x[5 * cols + 3] = NAN;
        d.x[6 * cols + 3] = -INFINITY;
        float out[QS_LEVEL_COUNT][MAX_TOKENS * ROWS];
        for (int l = 0; l < QS_LEVEL_COUNT; l++) {
            if (!qs_level_available((enum qs_level)l))
                continue;
            qs_level_limit((enum qs_level)l);
            uint8_t *q = a != QS_ACT_F32 ? quantized(&d, a, MAX_TOKENS) : NULL;
            if (q)
                run_dot(&d, qs_dot_ops(f->id)->quant, q, qs_act_bytes(a, cols), MAX_TOKENS, out[l]);
            else
                run_dot(&d, qs_dot_ops(f->id)->f32, d.x, cols * 4, MAX_TOKENS, out[l]);
            free(q);
            for (size_t k = 0; k < MAX_TOKENS * ROWS; k++) {
                const float x = out[0][k], y = out[l][k];
                if (!(x != x ? y != y : memcmp(&x, &y, 4) == 0))
                    fail_msg("%s: %g at ref, %g at %s", f->name, x, y, qs_level_name((enum qs_level)l));
            }
            for (size_t k = 5 * ROWS; k < 7 * ROWS; k++)
                assert_false(isfinite(out[l][k]));
        }
        free(d.w);
        free(d.x);
    }
}

/* The order of sums of dot.h, by hand: 1e8 swallows a 1 in the same partial sum only. */
static void test_order(void **state)
{
    (void)state;
    float w[33] = { 0 }, x[33], out;
    for (int k = 0; k < 33; k++)
        x[k] = 1;
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        qs_level_limit((enum qs_level)l);
        const struct qs_dot j = { (const uint8_t *)w, sizeof w, 1, 33, (const uint8_t *)x, sizeof x, 1, &out, 1 };
        memset(w, 0, sizeof w);
        w[0] = 1e8f, w[16] = 1, w[32] = -1e8f; /* all in sum 0: the 1 is lost */
        qs_dot_ops(QS_F32)->f32(&j);
        assert_true(out == 0);
        w[16] = 0, w[17] = 1, w[1] = 2; /* sum 1 keeps it */
        qs_dot_ops(QS_F32)->f32(&j);
        assert_true(out == 3);
    }
}

/* ---- bfloat16 on both sides */

static const uint16_t bf16_edges[] = { 0, 0x8000, 1, 0x8001, 0x7f, 0x80ff, 0x80, 0x8080, 0x81, 0x3f80, 0xbf80, 0x1a80, 0x9a80,
                                       0x1a00, 0x7f7f, 0xff7f, 0x5f80, 0x2000, 0xa07f, 0x0100, 0x4001, 0xc07f };

/* One step of a partial sum, by a way of its own: double has the exponents that float32 lacks. */
static float once(float a, float b, float c)
{
    const float r = fmaf(a, b, c);
    const double exact = (double)a * b + (double)c; /* of tiny results: they have few bits */
    return !isfinite(r) ? r : fabs(exact) >= 0x1p-120 ? r : fabs(exact) < 0x1p-126 - 0x1p-151 ? copysignf(0, r) : r;
}

static float flushed(uint16_t h) { return qs_bf16_to_f32(h & 0x7f80 ? h : h & 0x8000); }

/* One group: lane 0 has all that is not zero. Every pair of pairs of edges, in every level. */
static void test_bf16_edges(void **state)
{
    (void)state;
    enum { N = sizeof bf16_edges / sizeof *bf16_edges };
    uint16_t w[64] = { 0 }, x[96] = { 0 };
    float out;
    const struct qs_dot j = { (const uint8_t *)w, sizeof w, 1, 64, (const uint8_t *)x, sizeof x, 1, &out, 1 };
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        for (size_t i = 0; i < N * N * N * N; i++) {
            w[1] = bf16_edges[i % N], x[1] = bf16_edges[i / N % N];
            w[32] = bf16_edges[i / N / N % N], x[32] = bf16_edges[i / N / N / N];
            const float first = once(flushed(w[1]), flushed(x[1]), 0), want = once(flushed(w[32]), flushed(x[32]), first);
            qs_dot_ops(QS_BF16)->quant(&j);
            if (want != want ? out == out : out != want)
                fail_msg("%s: %04x * %04x + %04x * %04x is %a, not %a", qs_level_name((enum qs_level)l), w[1], x[1], w[32],
                         x[32], out, want);
        }
    }
}

/* Odd columns come first, and each product is added by itself. */
static void test_bf16_order(void **state)
{
    (void)state;
    uint16_t w[64], x[96];
    float out;
    const struct qs_dot j = { (const uint8_t *)w, sizeof w, 1, 64, (const uint8_t *)x, sizeof x, 1, &out, 1 };
    for (int k = 0; k < 64; k++)
        x[k] = 0x3f80; /* 1 */
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        qs_level_limit((enum qs_level)l);
        memset(w, 0, sizeof w);
        w[1] = 0xcc80, w[32] = 0x3f80, w[33] = 0x4c80; /* -2^26; then 2^26, and a 1 that stays */
        qs_dot_ops(QS_BF16)->quant(&j);
        assert_true(out == 1);
        w[32] = 0x4c80, w[33] = 0x3f80; /* the 1 is lost before the 2^26 */
        qs_dot_ops(QS_BF16)->quant(&j);
        assert_true(out == 0);
        w[1] = 0xbf80, w[32] = 0, w[33] = 0x3f81; /* fused: (1 + 2^-7)^2 - 1 has all its bits */
        x[33] = 0x3f81;
        qs_dot_ops(QS_BF16)->quant(&j);
        assert_true(out == 0x1p-6f + 0x1p-14f);
        x[33] = 0x3f80;
    }
}

/* Activations: rounding, subnormals, NaN, the zeros behind. */
static void test_bf16_activations(void **state)
{
    (void)state;
    const float x[] = { 1, 0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, -0x1p-127f, 0x1.fffffcp-127f, 0x1p-126f, INFINITY, -3.4028234e38f,
                        -0.0f, 1e-40f, 5, 6, 7, 8, 9, 10 };
    const uint16_t want[] = { 0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x8000, 0, 0x80, 0x7f80, 0xff80, 0x8000, 0, 0x40a0, 0x40c0, 0x40e0,
                              0x4100, 0x4110, 0x4120 };
    enum { N = sizeof x / sizeof *x };
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        uint16_t q[32];
        const float bad[17] = { NAN, -NAN };
        qs_level_limit((enum qs_level)l);
        memset(q, 0x77, sizeof q);
        qs_row_ops()->quantize[QS_ACT_BF16](x, N, q);
        assert_memory_equal(q, want, sizeof want);
        for (size_t k = N; k < 32; k++)
            assert_int_equal(q[k], 0);
        qs_row_ops()->quantize[QS_ACT_BF16](bad, 17, q);
        assert_true(qs_bf16_to_f32(q[0]) != qs_bf16_to_f32(q[0]) && qs_bf16_to_f32(q[1]) != qs_bf16_to_f32(q[1]));
    }
    assert_int_equal(qs_act_bytes(QS_ACT_BF16, 33), 3 * 64);
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
        cmocka_unit_test_teardown(test_order, any_level),
        cmocka_unit_test_teardown(test_bf16_edges, any_level),
        cmocka_unit_test_teardown(test_bf16_order, any_level),
        cmocka_unit_test_teardown(test_bf16_activations, any_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
