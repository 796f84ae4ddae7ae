/* attend.c - the pieces of attention (attend.h) by AVX-512. */
#include <math.h>

#include "kernels/blocks.h"
#include "kernels/x86_avx512/funcs16.h"

typedef __m512 vec;

#define W 16
#define NV 4

QS_INLINE vec v_zero(void) { return _mm512_setzero_ps(); }
QS_INLINE vec v_set1(float x) { return _mm512_set1_ps(x); }
QS_INLINE vec v_load(const float *p) { return _mm512_loadu_ps(p); }
QS_INLINE void v_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
QS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
QS_INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
QS_INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
QS_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
QS_INLINE vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
QS_INLINE vec v_exp(vec x) { return qs_exp16(x); }

QS_INLINE float v_sum16(vec low, vec none)
{
    (void)none;
    return qs_avx2_sum8(_mm256_add_ps(_mm512_castps512_ps256(low), _mm512_extractf32x8_ps(low, 1)));
}

/* The largest; no NaNs. */
QS_INLINE float v_most(vec v)
{
    const __m256 y = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

QS_INLINE vec load_f32(const uint8_t *row, size_t i) { return _mm512_loadu_ps((const float *)(const void *)row + i); }

QS_INLINE vec load_f16(const uint8_t *row, size_t i)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(row + 2 * i)));
}

QS_INLINE vec scaled(uint16_t d, __m512i codes)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(codes), _mm512_cvtph_ps(_mm256_set1_epi16((short)d)));
}

QS_INLINE vec load_q8_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q8_0 *b = (const struct qs_block_q8_0 *)(const void *)row + i / 32;
    return scaled(b->d, _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(b->qs + i % 32))));
}

QS_INLINE vec load_q4_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q4_0 *b = (const struct qs_block_q4_0 *)(const void *)row + i / 32;
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)b->qs));
    const __m512i codes = _mm512_and_si512(i % 32 == 0 ? bytes : _mm512_srli_epi32(bytes, 4), _mm512_set1_epi32(15));
    return scaled(b->d, _mm512_sub_epi32(codes, _mm512_set1_epi32(8)));
}

QS_INLINE void put16(float *to, __m256i h) { _mm512_storeu_ps(to, _mm512_cvtph_ps(h)); }

/* ---- codes: four in 32 bits, without sign */

typedef __m512i ivec;

#define CODES 4
#define NQ_CODES 2
#define OFFSET_Q8_0 128
#define OFFSET_Q4_0 8

QS_INLINE ivec v_izero(void) { return _mm512_setzero_si512(); }
QS_INLINE ivec v_iset1(int32_t x) { return _mm512_set1_epi32(x); }
QS_INLINE ivec v_iload(const float *p) { return _mm512_loadu_si512(p); }
QS_INLINE vec v_join(ivec high, ivec low)
{
    return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low));
}
QS_INLINE ivec v_dot(ivec sum, ivec a, ivec b) { return _mm512_dpbusd_epi32(sum, a, b); }

QS_INLINE __m128i pick_q8_0(const uint8_t *block, int quad)
{
    return _mm_xor_si128(_mm_loadu_si128((const void *)(block + 2 + 16 * quad)), _mm_set1_epi8((char)128));
}

QS_INLINE __m128i pick_q4_0(const uint8_t *block, int quad)
{
    const __m128i bytes = _mm_loadu_si128((const void *)(block + 2));
    return _mm_and_si128(quad == 0 ? bytes : _mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
}

#include "kernels/x86_avx2/attend_turn.h"

#include "kernels/attend_text.h"

void qs_avx512_attend(struct qs_attend_ops *ops) { fill(ops); }
