/* vec.h - eight lanes: the vector primitives of AVX2 under the names that the common text of kernels/lanes uses.
 *
 * vf: floats, vi: 32-bit integers, vm: a lane's yes or no. Comparisons are the ordered ones (NaN says no) unless their
 * name begins with not_. Every operation is rounded once; nothing is fused. For the files of this folder.
 */
#ifndef QS_KERNELS_X86_AVX2_VEC_H
#define QS_KERNELS_X86_AVX2_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 8 };
#define QS_LANES(name) qs_avx2_lanes_##name /* functions that several files of this folder share */
#define QS_LEVEL(name) qs_avx2_##name

typedef __m256 vf, vm;
typedef __m256i vi;

static inline vf v_all(float x) { return _mm256_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); } /* b where one is NaN */
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.f), a); }
static inline vf v_minus(vf a) { return _mm256_xor_ps(_mm256_set1_ps(-0.f), a); }
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_trunc(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }

static inline vf v_fused(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); } /* for what no result depends on */
static inline vf v_repeat_8(const float *p) { return _mm256_loadu_ps(p); }
/* Entry of a table that repeats: by the lowest 2 bits of every lane, or 3. */
static inline vf v_lookup_4(vf table, vi at) { return _mm256_permutevar_ps(table, at); }
static inline vf v_lookup_8(vf table, vi at) { return _mm256_permutevar8x32_ps(table, at); }
static inline vf v_lookup_lanes(vf table, vi at) { return _mm256_permutevar8x32_ps(table, at); }
static inline float v_least(vf a)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}

static inline vm v_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm v_at_most(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline vm v_more(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline vm v_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vm v_not_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
static inline vm v_not_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NLT_UQ); }
static inline vm v_not_at_most(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NLE_UQ); }

static inline vm m_none(void) { return _mm256_setzero_ps(); }
static inline vm m_and(vm a, vm b) { return _mm256_and_ps(a, b); }
static inline vm m_or(vm a, vm b) { return _mm256_or_ps(a, b); }
static inline vm m_but(vm a, vm not) { return _mm256_andnot_ps(not, a); }
static inline unsigned m_bits(vm a) { return (unsigned)_mm256_movemask_ps(a); }
static inline vf v_pick(vf no, vf yes, vm m) { return _mm256_blendv_ps(no, yes, m); }
static inline vf v_where(vm m, vf a) { return _mm256_and_ps(m, a); } /* 0 elsewhere */

static inline vi i_ramp(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline vi i_load(const void *p) { return _mm256_loadu_si256(p); }
/* Numbers of 16 bits, of which n are left: lists are filled up to a multiple of 8. */
static inline vi i_load_u16(const uint16_t *p, unsigned n)
{
    (void)n;
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
}
static inline vi i_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi i_shift_left(vi a, unsigned n) { return _mm256_slli_epi32(a, (int)n); }
static inline vi i_shift_right(vi a, unsigned n) { return _mm256_srli_epi32(a, (int)n); }
static inline vm i_more(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)); }
static inline int i_least(vi a)
{
    __m128i m = _mm_min_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_min_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_min_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
static inline vi i_all(int x) { return _mm256_set1_epi32(x); }
static inline void i_store(int32_t *p, vi a) { _mm256_storeu_si256((void *)p, a); }
static inline vi i_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi i_min(vi a, vi b) { return _mm256_min_epi32(a, b); }
static inline vi i_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vi i_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf v_bits(vi a) { return _mm256_castsi256_ps(a); }
static inline vf v_of(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vm i_equal(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
static inline vi i_pick(vi no, vi yes, vm m) { return i_bits(v_pick(v_bits(no), v_bits(yes), m)); }
static inline vi i_where(vm m, vi a) { return _mm256_and_si256(_mm256_castps_si256(m), a); }

/* The lanes, 0 .. 255 each, as bytes. */
static inline void i_store_bytes(uint8_t *p, vi a)
{
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((void *)p, _mm_packus_epi16(words, words));
}

/* out[i] lane r = float at + i of row r, for i < 8. (Written out: compilers keep arrays of vectors in memory.) */
static inline void v_transpose(const float *const row[LANES], size_t at, vf out[LANES])
{
    __m256 a = _mm256_loadu_ps(row[0] + at), b = _mm256_loadu_ps(row[1] + at), c = _mm256_loadu_ps(row[2] + at);
    __m256 d = _mm256_loadu_ps(row[3] + at), e = _mm256_loadu_ps(row[4] + at), f = _mm256_loadu_ps(row[5] + at);
    __m256 g = _mm256_loadu_ps(row[6] + at), h = _mm256_loadu_ps(row[7] + at);
    __m256 ab0 = _mm256_unpacklo_ps(a, b), ab2 = _mm256_unpackhi_ps(a, b), cd0 = _mm256_unpacklo_ps(c, d);
    __m256 cd2 = _mm256_unpackhi_ps(c, d), ef0 = _mm256_unpacklo_ps(e, f), ef2 = _mm256_unpackhi_ps(e, f);
    __m256 gh0 = _mm256_unpacklo_ps(g, h), gh2 = _mm256_unpackhi_ps(g, h);
    a = _mm256_shuffle_ps(ab0, cd0, 0x44); /* columns 0 and 4 of rows 0 to 3 */
    b = _mm256_shuffle_ps(ab0, cd0, 0xee);
    c = _mm256_shuffle_ps(ab2, cd2, 0x44);
    d = _mm256_shuffle_ps(ab2, cd2, 0xee);
    e = _mm256_shuffle_ps(ef0, gh0, 0x44); /* and of rows 4 to 7 */
    f = _mm256_shuffle_ps(ef0, gh0, 0xee);
    g = _mm256_shuffle_ps(ef2, gh2, 0x44);
    h = _mm256_shuffle_ps(ef2, gh2, 0xee);
    out[0] = _mm256_permute2f128_ps(a, e, 0x20);
    out[1] = _mm256_permute2f128_ps(b, f, 0x20);
    out[2] = _mm256_permute2f128_ps(c, g, 0x20);
    out[3] = _mm256_permute2f128_ps(d, h, 0x20);
    out[4] = _mm256_permute2f128_ps(a, e, 0x31);
    out[5] = _mm256_permute2f128_ps(b, f, 0x31);
    out[6] = _mm256_permute2f128_ps(c, g, 0x31);
    out[7] = _mm256_permute2f128_ps(d, h, 0x31);
}

#endif
