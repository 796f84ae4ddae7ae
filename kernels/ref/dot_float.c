/* dot_float.c - products of F32, F16 and BF16 rows with float32 activations, and the table of all products in plain C.
 *
 * The order of sums is that of dot.h; nothing needs alignment. No state, no allocation.
 */
#include <math.h>
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

/* ---- the table */

#define FLOAT(lower, upper) case QS_##upper: return (struct qs_dot_ops){ qs_ref_dot_##lower, NULL, QS_ACT_F32 };
#define QUANT(lower, upper, form) case QS_##upper: return (struct qs_dot_ops){ NULL, qs_ref_dot_##lower, QS_ACT_##form };

static struct qs_dot_ops ops_of(int id)
{
    switch (id) {
        FLOAT(f32, F32)
        FLOAT(f16, F16)
        FLOAT(bf16, BF16)
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
