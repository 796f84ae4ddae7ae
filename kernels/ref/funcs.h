/* funcs.h - exp and tanh of float32, the same bits everywhere.
 *
 * Plain float operations in a fixed order (polynomials of the Cephes library, S. Moshier): vector levels do the same
 * operations lane by lane. At most 2 ulp from the true value over the whole range, subnormal results included. NaN stays
 * NaN.
 */
#ifndef QS_KERNELS_REF_FUNCS_H
#define QS_KERNELS_REF_FUNCS_H

#include <math.h>

#include "kernels/half.h"

#define QS_EXP_TOP 89.0f      /* results are infinite from 88.72 on, and zero below the bottom */
#define QS_EXP_BOTTOM -104.0f
#define QS_LOG2E 1.44269504088896341f
#define QS_LN2_HIGH 0.693359375f /* few bits: its product with a small integer is exact */
#define QS_LN2_LOW -2.12194440e-4f
#define QS_EXP_P0 1.9875691500e-4f
#define QS_EXP_P1 1.3981999507e-3f
#define QS_EXP_P2 8.3334519073e-3f
#define QS_EXP_P3 4.1665795894e-2f
#define QS_EXP_P4 1.6666665459e-1f
#define QS_EXP_P5 5.0000001201e-1f
#define QS_ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */

static inline float qs_exp(float x)
{
    x = x > QS_EXP_TOP ? QS_EXP_TOP : x;
    x = x < QS_EXP_BOTTOM ? QS_EXP_BOTTOM : x;
    const float z = x * QS_LOG2E + QS_ROUNDER, n = z - QS_ROUNDER;
    const float r = x - n * QS_LN2_HIGH - n * QS_LN2_LOW;
    float p = QS_EXP_P0 * r + QS_EXP_P1;
    p = p * r + QS_EXP_P2;
    p = p * r + QS_EXP_P3;
    p = p * r + QS_EXP_P4;
    p = p * r + QS_EXP_P5;
    p = p * (r * r) + r + 1.0f;
    /* 2^n as two factors, so that the ends of the range are reached with one rounding; +256 keeps the halves positive. */
    const uint32_t m = qs_f32_bits(z) - qs_f32_bits(QS_ROUNDER) + 256, a = m >> 1, b = m - a;
    return p * qs_bits_f32((a - 1) << 23) * qs_bits_f32((b - 1) << 23);
}

#define QS_TANH_NEAR 0.625f
#define QS_TANH_P0 -5.70498872745e-3f
#define QS_TANH_P1 2.06390887954e-2f
#define QS_TANH_P2 -5.37397155531e-2f
#define QS_TANH_P3 1.33314422036e-1f
#define QS_TANH_P4 -3.33332819422e-1f

static inline float qs_tanh(float x)
{
    const float a = fabsf(x);
    if (a < QS_TANH_NEAR) {
        const float z = x * x;
        float p = QS_TANH_P0 * z + QS_TANH_P1;
        p = p * z + QS_TANH_P2;
        p = p * z + QS_TANH_P3;
        p = p * z + QS_TANH_P4;
        return p * z * x + x;
    }
    return copysignf(1.0f - 2.0f / (qs_exp(a + a) + 1.0f), x);
}

static inline float qs_sigmoid(float x) { return 1.0f / (1.0f + qs_exp(-x)); }

#endif
