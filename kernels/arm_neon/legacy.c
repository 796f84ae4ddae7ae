/* legacy.c - `fit` of Q4_0 .. Q5_1 by NEON: kernels/lanes/legacy_text.h with the vectors of this folder; and that of Q8_0.
 * Q8_0 blocks that are not finite or nearly zero are done by the plain code.
 */
#include <math.h>

#include "kernels/arm_neon/vec.h"

#include "kernels/arm_neon/fits.h"
#include "kernels/lanes/legacy_text.h"

/* Codes of 16 weights, rounded with ties away from zero. */
static int8x16_t codes_q8_0(const float *x, float32x4_t id)
{
    int16x8_t half[2];
    for (int i = 0; i < 2; i++) {
        const int32x4_t low = vcvtaq_s32_f32(vmulq_f32(vld1q_f32(x + 8 * i), id));
        const int32x4_t high = vcvtaq_s32_f32(vmulq_f32(vld1q_f32(x + 8 * i + 4), id));
        half[i] = vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
    }
    return vcombine_s8(vqmovn_s16(half[0]), vqmovn_s16(half[1]));
}

static void fit_q8_0(const float *x, struct qs_grid_q8_0 *grid, uint8_t *code)
{
    float32x4_t most = vdupq_n_f32(0); /* or NaN */
    for (int i = 0; i < 32; i += 4)
        most = vmaxq_f32(most, vabsq_f32(vld1q_f32(x + i)));
    const float amax = vmaxvq_f32(most);
    if (!(amax > 1e-30f && amax < 3e38f)) { /* rare, or with an inverse that may overflow */
        const struct qs_rows one = {x, 1, 32, 32, NULL};
        qs_ref_q8_0_fit(&one, grid, code);
        return;
    }
    const float d = amax / 127;
    for (int i = 0; i < 32; i += 16) {
        const int8x16_t q = codes_q8_0(x + i, vdupq_n_f32(1.0f / d));
        vst1q_u8(code + i, veorq_u8(vreinterpretq_u8_s8(q), vdupq_n_u8(128)));
    }
    *grid = (struct qs_grid_q8_0){.d = qs_f16_scale(d)};
}

void qs_neon_q8_0_fit(const struct qs_rows *in, void *grid, void *codes)
{
    struct qs_grid_q8_0 *g = grid;
    uint8_t *code = codes;
    for (size_t row = 0; row < in->rows; row++)
        for (size_t col = 0; col + 32 <= in->cols; col += 32, code += 32)
            fit_q8_0(in->x + row * in->stride + col, g++, code);
}
