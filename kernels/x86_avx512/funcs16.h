/* funcs16.h - exp and tanh of sixteen floats: lane by lane the results of ref/funcs.h. */
#ifndef QS_KERNELS_X86_AVX512_FUNCS16_H
#define QS_KERNELS_X86_AVX512_FUNCS16_H

#include "kernels/ref/funcs.h"
#include "kernels/x86_avx2/dots.h"

QS_INLINE __m512 qs_step16(__m512 p, __m512 r, float c) { return _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(c)); }

/* Where x is NaN, min and max hand out their second operand. Scaling by 2^n at once rounds as its two factors do:
 * the first of them changes no digit. */
QS_INLINE __m512 qs_exp16(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(QS_EXP_BOTTOM), _mm512_min_ps(_mm512_set1_ps(QS_EXP_TOP), x));
    const __m512 z = qs_step16(x, _mm512_set1_ps(QS_LOG2E), QS_ROUNDER), n = _mm512_sub_ps(z, _mm512_set1_ps(QS_ROUNDER));
    __m512 r = _mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(QS_LN2_HIGH)));
    r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(QS_LN2_LOW)));
    __m512 p = qs_step16(_mm512_set1_ps(QS_EXP_P0), r, QS_EXP_P1);
    p = qs_step16(p, r, QS_EXP_P2);
    p = qs_step16(p, r, QS_EXP_P3);
    p = qs_step16(p, r, QS_EXP_P4);
    p = qs_step16(p, r, QS_EXP_P5);
    p = _mm512_add_ps(_mm512_add_ps(_mm512_mul_ps(p, _mm512_mul_ps(r, r)), r), _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

QS_INLINE __m512 qs_tanh16(__m512 x)
{
    const __m512 sign = _mm512_set1_ps(-0.0f), a = _mm512_andnot_ps(sign, x), z = _mm512_mul_ps(x, x);
    __m512 p = qs_step16(_mm512_set1_ps(QS_TANH_P0), z, QS_TANH_P1);
    p = qs_step16(p, z, QS_TANH_P2);
    p = qs_step16(p, z, QS_TANH_P3);
    p = qs_step16(p, z, QS_TANH_P4);
    p = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(p, z), x), x);
    const __m512 e = _mm512_add_ps(qs_exp16(_mm512_add_ps(a, a)), _mm512_set1_ps(1));
    const __m512 far = _mm512_sub_ps(_mm512_set1_ps(1), _mm512_div_ps(_mm512_set1_ps(2), e));
    const __m512 signed_far = _mm512_or_ps(_mm512_andnot_ps(sign, far), _mm512_and_ps(sign, x));
    return _mm512_mask_mov_ps(signed_far, _mm512_cmp_ps_mask(a, _mm512_set1_ps(QS_TANH_NEAR), _CMP_LT_OQ), p);
}

#endif
