/* rows.h - what is done to rows of float32 between products: norms, rotations, softmax, gates, and activations.
 *
 * One table per level (level.h). All levels give the same bits, but for `outer`, which not all have: every function is written as
 * a fixed sequence of float operations without contraction (ref/funcs.h has exp and tanh, at most 2 ulp from the true value;
 * the exact GELU asks the C library for erf); where `fma` is said, it is meant. Sums have a fixed order. Rows may lie at any multiple of 4 bytes. Nothing allocates. NaN in, NaN out.
 */
#ifndef QS_KERNELS_ROWS_H
#define QS_KERNELS_ROWS_H

#include <stddef.h>

#include "kernels/attend.h"
#include "kernels/codes.h"
#include "kernels/dot.h"
#include "kernels/measure.h"

struct qs_row_ops {
    /* Activations of one token (dot.h); NULL for F32. */
    void (*quantize[QS_ACT_COUNT])(const float *x, size_t cols, void *row);

    /* y = x / sqrt(mean(x^2) + eps) * weight. Squares are summed in double, k % 8 apart. weight NULL: 1. y may be x. */
    void (*norm_rms)(const float *x, size_t n, const float *weight, float eps, float *y);
    /* y = (x - mean) / sqrt(variance + eps) * weight + bias; sums in double as above. weight, bias NULL: 1, 0. */
    void (*norm_layer)(const float *x, size_t n, const float *weight, const float *bias, float eps, float *y);

    /* Rotates n_rot (even) floats: pair i by angle[2i] = cos, angle[2i + 1] = sin. Pairs (2i, 2i+1), or (i, i + n_rot/2). */
    void (*rope_norm)(float *x, const float *angle, size_t n_rot);
    void (*rope_neox)(float *x, const float *angle, size_t n_rot);

    /* The orthonormal Hadamard transform of n (a power of two) floats, in place. */
    void (*hadamard)(float *x, size_t n);

    /* Indexed by enum qs_glu_kind (op.h); out may be gate. alpha, limit: the last kind only. */
    void (*glu[4])(const float *gate, const float *up, size_t n, float alpha, float limit, float *out);

    void (*add)(float *x, const float *y, size_t n, float scale);        /* x = fma(scale, y, x) */
    void (*softcap)(float *x, size_t n, float cap, float scale);         /* cap * tanh(x * scale / cap); cap 0: x * scale */

    void (*merge)(float *x, float a, const float *y, float b, size_t n); /* x = x * a + y * b */

    /* g[j] = fma(x[t * stride + i], x[t * stride + j], g[j]) for j in [i, cols), rows t in order: row i of a Gram matrix. */
    void (*gram)(const float *x, size_t stride, size_t rows, size_t i, size_t cols, float *g);

    /* For j < n, rows in order, all in double: sum2[j] += x^2, sum[j] += x; max[j] becomes |x| where that is more. */
    void (*moments)(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max);

    struct qs_attend_ops attend;
    struct qs_code_ops codes;
    struct qs_measure_ops measure;

    /* Sums of outer products in bfloat16, NULL where there is no instruction for them. pair puts the n values of two rows side by
     * side (b NULL: zeros), as QS_ACT_BF16 has them, into panels of QS_PAIR_COLS columns that are `stride` pairs of rows apart:
     * to[k / 16 * stride * 16 + k % 16] holds a[k] below, b[k] above; the last panel is filled with zeros.
     * outer: c[i * ldc + j] += s for i < m, j < n. s is one sum from 0: for each pair in order that of BF16 in dot.h (above,
     * then below) of column i of a and column j of b. */
    void (*pair)(const float *a, const float *b, size_t n, uint32_t *to, size_t stride);
    void (*outer)(const uint32_t *a, const uint32_t *b, size_t pairs, size_t stride, size_t m, size_t n, float *c, size_t ldc);
};
enum { QS_PAIR_COLS = 16 };

const struct qs_row_ops *qs_row_ops(void); /* those in force */

#endif
