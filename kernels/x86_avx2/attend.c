/* attend.c - the pieces of attention (attend.h) by AVX2 and FMA. */
#include <math.h>

#include "kernels/blocks.h"
#include "kernels/x86_avx2/funcs8.h"

typedef __m256 vec;

#define W 8
#define NV 2

QS_INLINE vec v_zero(void) { return _mm256_setzero_ps(); }
QS_INLINE vec v_set1(float x) { return _mm256_set1_ps(x); }
QS_INLINE vec v_load(const float *p) { return _mm256_loadu_ps(p); }
QS_INLINE void v_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
QS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
QS_INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
QS_INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
QS_INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
QS_INLINE vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
QS_INLINE vec v_exp(vec x) { return exp8(x); }
QS_INLINE float v_sum16(vec low, vec high) { return qs_avx2_sum8(_mm256_add_ps(low, high)); }

/* The largest; no NaNs. */
QS_INLINE float v_most(vec v)
{
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

QS_INLINE vec load_f32(const uint8_t *row, size_t i) { return _mm256_loadu_ps((const float *)(const void *)row + i); }

QS_INLINE vec load_f16(const uint8_t *row, size_t i)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)(row + 2 * i)));
}

QS_INLINE vec scaled(uint16_t d, __m256i codes)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(codes), _mm256_cvtph_ps(_mm_set1_epi16((short)d)));
}

QS_INLINE vec load_q8_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q8_0 *b = (const struct qs_block_q8_0 *)(const void *)row + i / 32;
    return scaled(b->d, _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(b->qs + i % 32))));
}

QS_INLINE vec load_q4_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q4_0 *b = (const struct qs_block_q4_0 *)(const void *)row + i / 32;
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(b->qs + i % 16)));
    const __m256i codes = _mm256_and_si256(i % 32 < 16 ? bytes : _mm256_srli_epi32(bytes, 4), _mm256_set1_epi32(15));
    return scaled(b->d, _mm256_sub_epi32(codes, _mm256_set1_epi32(8)));
}

QS_INLINE void put16(float *to, __m256i h)
{
    _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm256_castsi256_si128(h)));
    _mm256_storeu_ps(to + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)));
}

/* ---- codes: two in 32 bits, as int16 */

typedef __m256i ivec;

#define CODES 2
#define NQ_CODES 3
#define OFFSET_Q8_0 0
#define OFFSET_Q4_0 0

QS_INLINE ivec v_izero(void) { return _mm256_setzero_si256(); }
QS_INLINE ivec v_iset1(int32_t x) { return _mm256_set1_epi32(x); }
QS_INLINE ivec v_iload(const float *p) { return _mm256_loadu_si256((const void *)p); }
QS_INLINE vec v_join(ivec high, ivec low)
{
    (void)low;
    return _mm256_cvtepi32_ps(high);
}
QS_INLINE ivec v_dot(ivec sum, ivec a, ivec b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }

QS_INLINE __m128i pick_q8_0(const uint8_t *block, int quad)
{
    return _mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)(block + 2 + 8 * quad)));
}

QS_INLINE __m128i pick_q4_0(const uint8_t *block, int quad)
{
    const __m128i bytes = _mm_cvtepu8_epi16(_mm_loadl_epi64((const void *)(block + 2 + 8 * (quad % 2))));
    const __m128i codes = quad < 2 ? _mm_and_si128(bytes, _mm_set1_epi16(15)) : _mm_srli_epi16(bytes, 4);
    return _mm_sub_epi16(codes, _mm_set1_epi16(8));
}

#include "kernels/x86_avx2/attend_turn.h"

#include "kernels/attend_text.h"

void qs_avx2_attend(struct qs_attend_ops *ops) { fill(ops); }
