/* dot.h - products of stored rows with activations: what a linear layer is made of.
 *
 * ACTIVATIONS. A row of activations (one token) has one of four forms. Which one a type of weights pairs with in fast
 * precision belongs to the type and is the same on every level; in exact precision it is always F32.
 *
 *   QS_ACT_F32  float32 as they are.
 *   QS_ACT_Q8   blocks of 32: int8 q = nearest(x * (1 / d)), ties to even, d = largest magnitude / 127 as float32. A row of
 *               `cols` values: cols int8; then one float d per block; then one float d * (sum of q) per block; then one
 *               int32 -(sum of q) per block. The three arrays are padded with zeros to a multiple of 8.
 *               Types: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL MXFP4.
 *   QS_ACT_Q8K  the same with blocks of 256: cols int8; then int16 sums of 16 q; then one float d per block, padded with
 *               zeros to a multiple of 8. Types: Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_XS.
 *   QS_ACT_BF16 bfloat16, nearest, ties to even; float32 subnormals become zeros of their sign, NaN stays one. A row is padded
 *               with zeros to a multiple of 32 values, then to an odd number of these groups, so that rows of a batch do not fall
 *               on the same sets of a cache. Type: BF16.
 *   All other types pair with F32 (in both precisions; where they have no product of their own, their rows are decoded).
 *   A block whose largest magnitude is below 2^-100 is zero. One that holds a NaN or an infinity has d = NaN and q = 0, so
 *   that results show it. (llama.cpp's activations differ: float16 scales for blocks of 32, ties away from zero; for 256
 *   the value of largest magnitude maps to -127.)
 *
 * BITS. A product depends on its row and its token alone, and is the same on every level:
 *   F32:  16 partial sums, s[k % 16] = fma(w[k], x[k], s[k % 16]) for ascending k; the last group is filled with zeros.
 *         Then s[i] += s[i + 8] for i < 8, and the sum of eight below.
 *   BF16: 16 partial sums from 0. For each group of 32 columns in order, the last one filled with zeros: s[l] = f(w[2l + 1],
 *         x[2l + 1], s[l]), then s[l] = f(w[2l], x[2l], s[l]), where f is fma with subnormals of either bfloat16 read as zeros of
 *         their sign, and a result that is subnormal when rounded to 24 bits with unbounded exponent replaced by a zero of its
 *         sign: what vdpbf16ps does. Then the sum of sixteen as for F32.
 *   Q8:   a weight is d * c + m with an integer c. One sum a, from 0; for each block in order a = fma(d * dx, float(sum of
 *         c * q), a), and with minima a = fma(m, s, a) after it. dx is the d of the activations, s their d * (sum of q).
 *   Q8K:  a weight is d * scale * c - dmin * min, scale and min integers for each 16 weights. One sum a, from 0; for each
 *         block in order a = fma(d * dx, float(sum of scale * c * q), a), and with minima
 *         a = fma(-(dmin * dx), float(sum of min * sum of 16 q), a) after it.
 *         So rows can be the lanes of a vector (panel.h), or their integers be added up in any way.
 *   Sum of eight: u[i] = a[i] + a[i + 4] for i < 4; (u[0] + u[2]) + (u[1] + u[3]).
 * Integer sums are exact and fit 32 bits. Which NaN comes out of several is not promised.
 */
#ifndef QS_KERNELS_DOT_H
#define QS_KERNELS_DOT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/format.h"

enum qs_act { QS_ACT_F32, QS_ACT_Q8, QS_ACT_Q8K, QS_ACT_BF16, QS_ACT_COUNT };

enum { QS_ACT_ALIGN = 32 }; /* alignment of quantized activation rows */

/* Bytes of a row of activations; cols a multiple of 32 (Q8) or 256 (Q8K), or any (F32, BF16). Quantized rows are a multiple of QS_ACT_ALIGN. */
size_t qs_act_bytes(enum qs_act a, size_t cols);

/* Bfloat16 values of a row of activations, with the zeros behind them. */
static inline size_t qs_bf16_padded(size_t cols) { return ((cols + 31) / 32 | 1) * 32; }

/* Where the parts of a quantized row lie. */
static inline size_t qs_act_pad8(size_t n) { return (n + 7) / 8 * 8; }
static inline const float *qs_q8_scales(const void *row, size_t cols) { return (const float *)((const char *)row + cols); }
static inline const float *qs_q8_sums(const void *row, size_t cols)
{
    return qs_q8_scales(row, cols) + qs_act_pad8(cols / 32);
}
static inline const int32_t *qs_q8_minus(const void *row, size_t cols)
{
    return (const int32_t *)(const void *)(qs_q8_sums(row, cols) + qs_act_pad8(cols / 32));
}
static inline const int16_t *qs_q8k_sums(const void *row, size_t cols) { return (const int16_t *)((const char *)row + cols); }
static inline const float *qs_q8k_scales(const void *row, size_t cols)
{
    return (const float *)(qs_q8k_sums(row, cols) + cols / 16);
}

/* out[t * out_stride + r] = row r of w times token t, for rows of `cols` weights. */
struct qs_dot {
    const uint8_t *w;   /* stored rows; blocks need an even address, floats none */
    size_t w_stride;    /* bytes between rows */
    size_t rows, cols;  /* cols: a multiple of the type's block */
    const uint8_t *x;   /* activations; quantized ones lie at multiples of QS_ACT_ALIGN */
    size_t x_stride;    /* bytes between tokens */
    size_t tokens;
    float *out;
    size_t out_stride;  /* floats between tokens */
};
typedef void qs_dot_fn(const struct qs_dot *job);

/* The products of one type at one level. */
struct qs_dot_ops {
    qs_dot_fn *f32;     /* with F32 activations; NULL: decode rows, then use those of QS_F32 */
    qs_dot_fn *quant;   /* with activations of form `act`; NULL: there are none */
    enum qs_act act;    /* QS_ACT_F32 where quant is NULL */
};

/* The operations in force (level.h); never NULL for a known id. */
const struct qs_dot_ops *qs_dot_ops(int id);

#endif
