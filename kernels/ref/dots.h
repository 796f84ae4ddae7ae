/* dots.h - between the files of this folder that make products: their entries, rows unpacked to integers, and the fixed
 * order of sums (dot.h). For kernels/ref and the products of other levels.
 */
#ifndef QS_KERNELS_REF_DOTS_H
#define QS_KERNELS_REF_DOTS_H

#include "kernels/dot.h"
#include "kernels/rows.h"

static inline float qs_sum8(const float *a)
{
    const float u0 = a[0] + a[4], u1 = a[1] + a[5], u2 = a[2] + a[6], u3 = a[3] + a[7];
    return (u0 + u2) + (u1 + u3);
}

#define QS_REF_TILE 8 /* tokens that share one unpacking of a row */

/* Row r with tokens [t, t + n), n <= QS_REF_TILE. */
typedef void qs_ref_tile_fn(const struct qs_dot *j, size_t r, size_t t, size_t n, const void *how);

/* Every row with all tokens, some of them at a time. */
static inline void qs_ref_tiles(const struct qs_dot *j, qs_ref_tile_fn *fn, const void *how)
{
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t += QS_REF_TILE)
            fn(j, r, t, j->tokens - t < QS_REF_TILE ? j->tokens - t : QS_REF_TILE, how);
}

/* Magnitudes below count as zero when activations are quantized. */
#define QS_ACT_TINY 0x1p-100f

qs_dot_fn qs_ref_dot_f32, qs_ref_dot_f16, qs_ref_dot_bf16, qs_ref_dot_bf16_bf16;
qs_dot_fn qs_ref_dot_q4_0, qs_ref_dot_q4_1, qs_ref_dot_q5_0, qs_ref_dot_q5_1, qs_ref_dot_q8_0, qs_ref_dot_iq4_nl;
qs_dot_fn qs_ref_dot_mxfp4;
qs_dot_fn qs_ref_dot_q2_k, qs_ref_dot_q3_k, qs_ref_dot_q4_k, qs_ref_dot_q5_k, qs_ref_dot_q6_k, qs_ref_dot_iq4_xs;

void qs_ref_quantize_q8(const float *x, size_t cols, void *row);
void qs_ref_quantize_q8k(const float *x, size_t cols, void *row);
void qs_ref_quantize_bf16(const float *x, size_t cols, void *row);

#endif
