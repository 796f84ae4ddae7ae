/* vec.h - sixteen lanes: the vector primitives of AVX-512 under the names that the common text of kernels/lanes uses;
 * see x86_avx2/vec.h. For the files of this folder.
 */
#ifndef QS_KERNELS_X86_AVX512_VEC_H
#define QS_KERNELS_X86_AVX512_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 16 };
#define QS_LANES(name) qs_avx512_lanes_##name
#define QS_LEVEL(name) qs_avx512_##name

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

static inline vf v_all(float x) { return _mm512_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_abs(vf a) { return _mm512_abs_ps(a); }
static inline vf v_minus(vf a) { return _mm512_xor_ps(_mm512_set1_ps(-0.f), a); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_trunc(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }

static inline vf v_fused(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_repeat_8(const float *p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
static inline vf v_lookup_4(vf table, vi at) { return _mm512_permutevar_ps(table, at); }
static inline vf v_lookup_8(vf table, vi at) { return _mm512_permutexvar_ps(at, table); }
static inline vf v_lookup_lanes(vf table, vi at) { return _mm512_permutexvar_ps(at, table); }
static inline float v_least(vf a) { return _mm512_reduce_min_ps(a); }

static inline vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm v_at_most(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline vm v_more(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline vm v_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm v_not_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
static inline vm v_not_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
static inline vm v_not_at_most(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ); }

static inline vm m_none(void) { return 0; }
static inline vm m_and(vm a, vm b) { return (vm)(a & b); }
static inline vm m_or(vm a, vm b) { return (vm)(a | b); }
static inline vm m_but(vm a, vm not) { return (vm)(a & ~not); }
static inline unsigned m_bits(vm a) { return a; }
static inline vf v_pick(vf no, vf yes, vm m) { return _mm512_mask_blend_ps(m, no, yes); }
static inline vf v_where(vm m, vf a) { return _mm512_maskz_mov_ps(m, a); }

static inline vi i_ramp(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
static inline vi i_load(const void *p) { return _mm512_loadu_si512(p); }
static inline vi i_load_u16(const uint16_t *p, unsigned n)
{
    const __mmask16 some = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, p));
}
static inline vi i_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi i_shift_left(vi a, unsigned n) { return _mm512_slli_epi32(a, n); }
static inline vi i_shift_right(vi a, unsigned n) { return _mm512_srli_epi32(a, n); }
static inline vm i_more(vi a, vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
static inline int i_least(vi a) { return _mm512_reduce_min_epi32(a); }
static inline vi i_all(int x) { return _mm512_set1_epi32(x); }
static inline void i_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
static inline vi i_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi i_min(vi a, vi b) { return _mm512_min_epi32(a, b); }
static inline vi i_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vi i_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf v_bits(vi a) { return _mm512_castsi512_ps(a); }
static inline vf v_of(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vm i_equal(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
static inline vi i_pick(vi no, vi yes, vm m) { return _mm512_mask_blend_epi32(m, no, yes); }
static inline vi i_where(vm m, vi a) { return _mm512_maskz_mov_epi32(m, a); }

static inline void i_store_bytes(uint8_t *p, vi a)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(a));
}

/* Four rows into four columns of each quarter: out[c] = columns c, c + 4, c + 8, c + 12 of the rows. */
static inline void v_transpose_4(const float *const row[4], size_t at, vf out[4])
{
    __m512 a = _mm512_loadu_ps(row[0] + at), b = _mm512_loadu_ps(row[1] + at);
    __m512 c = _mm512_loadu_ps(row[2] + at), d = _mm512_loadu_ps(row[3] + at);
    __m512 ab0 = _mm512_unpacklo_ps(a, b), ab2 = _mm512_unpackhi_ps(a, b);
    __m512 cd0 = _mm512_unpacklo_ps(c, d), cd2 = _mm512_unpackhi_ps(c, d);
    out[0] = _mm512_shuffle_ps(ab0, cd0, 0x44);
    out[1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
    out[2] = _mm512_shuffle_ps(ab2, cd2, 0x44);
    out[3] = _mm512_shuffle_ps(ab2, cd2, 0xee);
}

/* out[i] lane r = float at + i of row r, for i < 16. */
static inline void v_transpose(const float *const row[LANES], size_t at, vf out[LANES])
{
    vf p[4], q[4], r[4], s[4];
    v_transpose_4(row, at, p);
    v_transpose_4(row + 4, at, q);
    v_transpose_4(row + 8, at, r);
    v_transpose_4(row + 12, at, s);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* quarters 0 and 1, then 2 and 3, of eight rows */
        __m512 lo = _mm512_shuffle_f32x4(p[c], q[c], 0x44), hi = _mm512_shuffle_f32x4(p[c], q[c], 0xee);
        __m512 lo2 = _mm512_shuffle_f32x4(r[c], s[c], 0x44), hi2 = _mm512_shuffle_f32x4(r[c], s[c], 0xee);
        out[c] = _mm512_shuffle_f32x4(lo, lo2, 0x88);
        out[c + 4] = _mm512_shuffle_f32x4(lo, lo2, 0xdd);
        out[c + 8] = _mm512_shuffle_f32x4(hi, hi2, 0x88);
        out[c + 12] = _mm512_shuffle_f32x4(hi, hi2, 0xdd);
    }
}

#endif
