/* panel_vec.h - what the texts of panels (kernels/panel_blocks_text.h) are written in, for vectors of 512 bits: sixteen rows
 * are one vector. Loads take any address.
 */
#ifndef QS_KERNELS_X86_AVX512_PANEL_VEC_H
#define QS_KERNELS_X86_AVX512_PANEL_VEC_H

#include "kernels/x86_avx2/panel_any.h"

typedef __m512i qs_pv; /* integers: 16 of 32 bits, or 64 bytes */
typedef __m512 qs_pf;

enum { QS_PV_LANES = 16, QS_PV_SIGNED = 0 /* dot products take codes without signs */ };

QS_INLINE qs_pv qs_pv_load(const void *p) { return _mm512_loadu_si512(p); }
QS_INLINE qs_pv qs_pv_zero(void) { return _mm512_setzero_si512(); }
QS_INLINE qs_pv qs_pv_all32(int32_t x) { return _mm512_set1_epi32(x); }
QS_INLINE qs_pv qs_pv_all8(int x) { return _mm512_set1_epi8((char)x); }
QS_INLINE qs_pv qs_pv_and(qs_pv a, qs_pv b) { return _mm512_and_si512(a, b); }
QS_INLINE qs_pv qs_pv_or(qs_pv a, qs_pv b) { return _mm512_or_si512(a, b); }
QS_INLINE qs_pv qs_pv_add32(qs_pv a, qs_pv b) { return _mm512_add_epi32(a, b); }
QS_INLINE qs_pv qs_pv_add8(qs_pv a, qs_pv b) { return _mm512_add_epi8(a, b); }
QS_INLINE qs_pv qs_pv_max32(qs_pv a, qs_pv b) { return _mm512_max_epi32(a, b); }
QS_INLINE qs_pv qs_pv_min32(qs_pv a, qs_pv b) { return _mm512_min_epi32(a, b); }
QS_INLINE qs_pv qs_pv_left32(qs_pv a, unsigned n) { return _mm512_slli_epi32(a, n); }
QS_INLINE qs_pv qs_pv_left16(qs_pv a, unsigned n) { return _mm512_slli_epi16(a, n); }
QS_INLINE qs_pv qs_pv_right16(qs_pv a, unsigned n) { return _mm512_srli_epi16(a, n); }
/* Bytes of a table of 16 by the low four bits of each byte of v (whose top bit is clear). */
QS_INLINE qs_pv qs_pv_table(const void *table16)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table16));
}
QS_INLINE qs_pv qs_pv_pick(qs_pv table, qs_pv v) { return _mm512_shuffle_epi8(table, v); }
/* a + four products of unsigned bytes u and signed ones x. */
QS_INLINE qs_pv qs_pv_dot(qs_pv a, qs_pv u, qs_pv x) { return _mm512_dpbusd_epi32(a, u, x); }
QS_INLINE qs_pv qs_pv_bytes32(const uint8_t *p) /* each to 32 bits */
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Shifts of 32 bits by what is a constant once loops are unrolled. */
QS_INLINE qs_pv qs_pv_right32(qs_pv a, unsigned n) { return _mm512_srli_epi32(a, n); }
QS_INLINE qs_pv qs_pv_right32_signed(qs_pv a, unsigned n) { return _mm512_srai_epi32(a, n); }
QS_INLINE qs_pv qs_pv_shift32(qs_pv a, int left)
{
    return left < 0 ? qs_pv_right32(a, (unsigned)-left) : qs_pv_left32(a, (unsigned)left);
}
QS_INLINE qs_pv qs_pv_or_and(qs_pv a, qs_pv b, qs_pv c) { return _mm512_ternarylogic_epi32(a, b, c, 0xf8); } /* a | (b & c) */
QS_INLINE qs_pv qs_pv_mul32(qs_pv a, qs_pv b) { return _mm512_mullo_epi32(a, b); }
QS_INLINE qs_pv qs_pv_sub8(qs_pv a, qs_pv b) { return _mm512_sub_epi8(a, b); }
/* a + two products of int16. */
QS_INLINE qs_pv qs_pv_dot2(qs_pv a, qs_pv x, qs_pv y) { return _mm512_dpwssd_epi32(a, x, y); }
QS_INLINE qs_pv qs_pv_words32(const void *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(p)); }
QS_INLINE qs_pv qs_pv_spread(const void *four) /* bytes, to every row */
{
    int32_t x;
    memcpy(&x, four, 4);
    return qs_pv_all32(x);
}

/* The same of u and, for every row, of the four bytes from x + 4 * i on. */
QS_INLINE qs_pv qs_pv_dot_four(qs_pv a, qs_pv u, const uint8_t *x, int i) { return qs_pv_dot(a, u, qs_pv_spread(x + 4 * i)); }

QS_INLINE qs_pf qs_pf_load(const float *p) { return _mm512_loadu_ps(p); }
QS_INLINE void qs_pf_store(float *p, qs_pf v) { _mm512_storeu_ps(p, v); }
QS_INLINE qs_pf qs_pf_zero(void) { return _mm512_setzero_ps(); }
QS_INLINE qs_pf qs_pf_all(float x) { return _mm512_set1_ps(x); }
QS_INLINE qs_pf qs_pf_mul(qs_pf a, qs_pf b) { return _mm512_mul_ps(a, b); }
QS_INLINE qs_pf qs_pf_fma(qs_pf a, qs_pf b, qs_pf c) { return _mm512_fmadd_ps(a, b, c); }
QS_INLINE qs_pf qs_pf_fma_less(qs_pf a, qs_pf b, qs_pf c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a * b */
QS_INLINE qs_pf qs_pf_from(qs_pv a) { return _mm512_cvtepi32_ps(a); }
QS_INLINE qs_pf qs_pf_bits(qs_pv a) { return _mm512_castsi512_ps(a); }
QS_INLINE qs_pf qs_pf_halves(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }


/* Sums of 16 activations (Q8K), sixteen of them, each times its own of `by`; `out` is aligned. */
QS_INLINE void qs_p_sums_times(const int16_t *sums, const int32_t *by, int32_t *out)
{
    const __m512i s = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)sums));
    _mm512_store_si512(out, _mm512_mullo_epi32(s, _mm512_loadu_si512(by)));
}

#endif
