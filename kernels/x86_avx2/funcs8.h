/* funcs8.h - exp and tanh of eight floats: lane by lane the operations of ref/funcs.h. */
#ifndef QS_KERNELS_X86_AVX2_FUNCS8_H
#define QS_KERNELS_X86_AVX2_FUNCS8_H

#include "kernels/ref/funcs.h"
#include "kernels/x86_avx2/dots.h"

QS_INLINE __m256 set(float x) { return _mm256_set1_ps(x); }
QS_INLINE __m256 negate(__m256 x) { return _mm256_xor_ps(x, set(-0.0f)); }

/* Where x is NaN, min and max hand out their second operand. */
QS_INLINE __m256 at_most(__m256 x, float top) { return _mm256_min_ps(set(top), x); }
QS_INLINE __m256 at_least(__m256 x, float bottom) { return _mm256_max_ps(set(bottom), x); }

QS_INLINE __m256 step(__m256 p, __m256 r, float c) { return _mm256_add_ps(_mm256_mul_ps(p, r), set(c)); }

QS_INLINE __m256 exp8(__m256 x)
{
    x = at_least(at_most(x, QS_EXP_TOP), QS_EXP_BOTTOM);
    const __m256 z = step(x, set(QS_LOG2E), QS_ROUNDER), n = _mm256_sub_ps(z, set(QS_ROUNDER));
    __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, set(QS_LN2_HIGH)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, set(QS_LN2_LOW)));
    __m256 p = step(set(QS_EXP_P0), r, QS_EXP_P1);
    p = step(p, r, QS_EXP_P2);
    p = step(p, r, QS_EXP_P3);
    p = step(p, r, QS_EXP_P4);
    p = step(p, r, QS_EXP_P5);
    p = _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r), set(1));
    const __m256i m = _mm256_add_epi32(_mm256_sub_epi32(_mm256_castps_si256(z), _mm256_castps_si256(set(QS_ROUNDER))),
                                       _mm256_set1_epi32(256));
    const __m256i a = _mm256_srli_epi32(m, 1), b = _mm256_sub_epi32(m, a), one = _mm256_set1_epi32(1);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(a, one), 23)));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(b, one), 23)));
}

QS_INLINE __m256 tanh8(__m256 x)
{
    const __m256 sign = set(-0.0f), a = _mm256_andnot_ps(sign, x), z = _mm256_mul_ps(x, x);
    __m256 p = step(set(QS_TANH_P0), z, QS_TANH_P1);
    p = step(p, z, QS_TANH_P2);
    p = step(p, z, QS_TANH_P3);
    p = step(p, z, QS_TANH_P4);
    p = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(p, z), x), x);
    const __m256 e = _mm256_add_ps(exp8(_mm256_add_ps(a, a)), set(1));
    const __m256 far = _mm256_sub_ps(set(1), _mm256_div_ps(set(2), e));
    const __m256 signed_far = _mm256_or_ps(_mm256_andnot_ps(sign, far), _mm256_and_ps(sign, x));
    return _mm256_blendv_ps(signed_far, p, _mm256_cmp_ps(a, set(QS_TANH_NEAR), _CMP_LT_OQ));
}

#endif
