/* dot_float.c - products of F32, F16 and BF16 rows with float32 activations, of BF16 rows with BF16 ones, and the table of all
 * products in plain C.
 *
 * The order of sums is that of dot.h; nothing needs alignment. No state, no allocation.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/ref/dots.h"

typedef float load_fn(const uint8_t *row, size_t k);

static float load_f32(const uint8_t *row, size_t k)
{
    float f;
    memcpy(&f, row + 4 * k, 4);
    return f;
}

static float load_f16(const uint8_t *row, size_t k)
{
    uint16_t h;
    memcpy(&h, row + 2 * k, 2);
    return qs_f16_to_f32(h);
}

static float load_bf16(const uint8_t *row, size_t k)
{
    uint16_t h;
    memcpy(&h, row + 2 * k, 2);
    return qs_bf16_to_f32(h);
}

static float product(const uint8_t *row, const uint8_t *x, size_t cols, load_fn *load)
{
    float s[16] = { 0 };
    for (size_t k = 0; k < (cols + 15) / 16 * 16; k++)
        s[k % 16] = k < cols ? fmaf(load(row, k), load_f32(x, k), s[k % 16]) : fmaf(0, 0, s[k % 16]);
    for (int i = 0; i < 8; i++)
        s[i] += s[i + 8];
    return qs_sum8(s);
}

static void products(const struct qs_dot *j, load_fn *load)
{
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t++)
            j->out[t * j->out_stride + r] = product(j->w + r * j->w_stride, j->x + t * j->x_stride, j->cols, load);
}

void qs_ref_dot_f32(const struct qs_dot *j) { products(j, load_f32); }
void qs_ref_dot_f16(const struct qs_dot *j) { products(j, load_f16); }
void qs_ref_dot_bf16(const struct qs_dot *j) { products(j, load_bf16); }

/* ---- bfloat16 on both sides */

static float without_subnormals(float f) { return fabsf(f) < 0x1p-126f ? copysignf(0, f) : f; }

/* fma of values without subnormals, as a CPU rounds that flushes results to zero: a result is tiny when it is so before the
 * lowest normal exponent costs it a bit. Only a magnitude of 2^-126 leaves that open: then all is done again 2^64 larger. */
static float fma_flushed(float a, float b, float c)
{
    const float r = fmaf(a, b, c);
    if (fabsf(r) != 0x1p-126f)
        return without_subnormals(r);
    const bool a_less = fabsf(a) < fabsf(b);
    const float large = fmaf(a_less ? a * 0x1p64f : a, a_less ? b : b * 0x1p64f, c * 0x1p64f);
    return fabsf(large) < 0x1p-62f ? copysignf(0, r) : r;
}

static float load_flushed(const uint8_t *row, size_t k, size_t cols)
{
    return k < cols ? without_subnormals(load_bf16(row, k)) : 0;
}

static float product_bf16(const uint8_t *row, const uint8_t *x, size_t cols)
{
    float s[16] = { 0 };
    for (size_t k = 0; k < (cols + 31) / 32 * 32; k += 2)
        for (size_t i = 2; i-- > 0; )
            s[k / 2 % 16] = fma_flushed(load_flushed(row, k + i, cols), load_flushed(x, k + i, cols), s[k / 2 % 16]);
    for (int i = 0; i < 8; i++)
        s[i] += s[i + 8];
    return qs_sum8(s);
}

void qs_ref_dot_bf16_bf16(const struct qs_dot *j)
{
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t++)
            j->out[t * j->out_stride + r] = product_bf16(j->w + r * j->w_stride, j->x + t * j->x_stride, j->cols);
}

void qs_ref_quantize_bf16(const float *x, size_t cols, void *row)
{
    uint16_t *h = row;
    for (size_t k = 0; k < cols; k++)
        h[k] = qs_f32_to_bf16(without_subnormals(x[k]));
    memset(h + cols, 0, (qs_bf16_padded(cols) - cols) * sizeof *h);
}

/* ---- the table */

#define FLOAT(lower, upper) case QS_##upper: return (struct qs_dot_ops){ qs_ref_dot_##lower, NULL, QS_ACT_F32 };
#define QUANT(lower, upper, form) case QS_##upper: return (struct qs_dot_ops){ NULL, qs_ref_dot_##lower, QS_ACT_##form };

static struct qs_dot_ops ops_of(int id)
{
    switch (id) {
        FLOAT(f32, F32)
        FLOAT(f16, F16)
    case QS_BF16: return (struct qs_dot_ops){ qs_ref_dot_bf16, qs_ref_dot_bf16_bf16, QS_ACT_BF16 };
        QUANT(q4_0, Q4_0, Q8)
        QUANT(q4_1, Q4_1, Q8)
        QUANT(q5_0, Q5_0, Q8)
        QUANT(q5_1, Q5_1, Q8)
        QUANT(q8_0, Q8_0, Q8)
        QUANT(iq4_nl, IQ4_NL, Q8)
        QUANT(mxfp4, MXFP4, Q8)
        QUANT(q2_k, Q2_K, Q8K)
        QUANT(q3_k, Q3_K, Q8K)
        QUANT(q4_k, Q4_K, Q8K)
        QUANT(q5_k, Q5_K, Q8K)
        QUANT(q6_k, Q6_K, Q8K)
        QUANT(iq4_xs, IQ4_XS, Q8K)
    default:
        return (struct qs_dot_ops){ 0 };
    }
}

void qs_ref_dots(struct qs_dot_ops *ops)
{
    for (size_t i = 0; i < qs_format_count(); i++)
        ops[i] = ops_of(qs_format_at(i)->id);
}
