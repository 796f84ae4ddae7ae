/* panel_vec.h - what the texts of panels (kernels/panel_blocks_text.h) are written in, for vectors of 256 bits: a panel's rows
 * are two vectors. The integer dot products are those of AVX-VNNI, or of AVX-512 where the compiler's flags have it. Loads
 * take any address.
 */
#ifndef QS_KERNELS_X86_AVXVNNI_PANEL_VEC_H
#define QS_KERNELS_X86_AVXVNNI_PANEL_VEC_H

#include "kernels/x86_avx2/panel_any.h"

typedef __m256i qs_pv; /* integers: 8 of 32 bits, or 32 bytes */
typedef __m256 qs_pf;

enum { QS_PV_LANES = 8, QS_PV_SIGNED = 0 /* dot products take codes without signs */ };

QS_INLINE qs_pv qs_pv_load(const void *p) { return _mm256_loadu_si256(p); }
QS_INLINE qs_pv qs_pv_zero(void) { return _mm256_setzero_si256(); }
QS_INLINE qs_pv qs_pv_all32(int32_t x) { return _mm256_set1_epi32(x); }
QS_INLINE qs_pv qs_pv_all8(int x) { return _mm256_set1_epi8((char)x); }
QS_INLINE qs_pv qs_pv_and(qs_pv a, qs_pv b) { return _mm256_and_si256(a, b); }
QS_INLINE qs_pv qs_pv_or(qs_pv a, qs_pv b) { return _mm256_or_si256(a, b); }
QS_INLINE qs_pv qs_pv_add32(qs_pv a, qs_pv b) { return _mm256_add_epi32(a, b); }
QS_INLINE qs_pv qs_pv_add8(qs_pv a, qs_pv b) { return _mm256_add_epi8(a, b); }
QS_INLINE qs_pv qs_pv_sub8(qs_pv a, qs_pv b) { return _mm256_sub_epi8(a, b); }
QS_INLINE qs_pv qs_pv_max32(qs_pv a, qs_pv b) { return _mm256_max_epi32(a, b); }
QS_INLINE qs_pv qs_pv_min32(qs_pv a, qs_pv b) { return _mm256_min_epi32(a, b); }
QS_INLINE qs_pv qs_pv_mul32(qs_pv a, qs_pv b) { return _mm256_mullo_epi32(a, b); }
QS_INLINE qs_pv qs_pv_or_and(qs_pv a, qs_pv b, qs_pv c) { return qs_pv_or(a, qs_pv_and(b, c)); } /* a | (b & c) */
QS_INLINE qs_pv qs_pv_left16(qs_pv a, unsigned n) { return _mm256_slli_epi16(a, (int)n); }
QS_INLINE qs_pv qs_pv_right16(qs_pv a, unsigned n) { return _mm256_srli_epi16(a, (int)n); }
/* Shifts of 32 bits by what is a constant once loops are unrolled. */
QS_INLINE qs_pv qs_pv_left32(qs_pv a, unsigned n) { return _mm256_slli_epi32(a, (int)n); }
QS_INLINE qs_pv qs_pv_right32(qs_pv a, unsigned n) { return _mm256_srli_epi32(a, (int)n); }
QS_INLINE qs_pv qs_pv_right32_signed(qs_pv a, unsigned n) { return _mm256_srai_epi32(a, (int)n); }
QS_INLINE qs_pv qs_pv_shift32(qs_pv a, int left)
{
    return left < 0 ? qs_pv_right32(a, (unsigned)-left) : qs_pv_left32(a, (unsigned)left);
}
/* Bytes of a table of 16 by the low four bits of each byte of v (whose top bit is clear). */
QS_INLINE qs_pv qs_pv_table(const void *table16) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(table16)); }
QS_INLINE qs_pv qs_pv_pick(qs_pv table, qs_pv v) { return _mm256_shuffle_epi8(table, v); }

/* a + four products of unsigned bytes u and signed ones x; a + two products of int16. */
#ifdef __AVX512VNNI__
QS_INLINE qs_pv qs_pv_dot(qs_pv a, qs_pv u, qs_pv x) { return _mm256_dpbusd_epi32(a, u, x); }
QS_INLINE qs_pv qs_pv_dot2(qs_pv a, qs_pv x, qs_pv y) { return _mm256_dpwssd_epi32(a, x, y); }
#else
QS_INLINE qs_pv qs_pv_dot(qs_pv a, qs_pv u, qs_pv x) { return _mm256_dpbusd_avx_epi32(a, u, x); }
QS_INLINE qs_pv qs_pv_dot2(qs_pv a, qs_pv x, qs_pv y) { return _mm256_dpwssd_avx_epi32(a, x, y); }
#endif

QS_INLINE qs_pv qs_pv_bytes32(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)); }
QS_INLINE qs_pv qs_pv_words32(const void *p) { return _mm256_cvtepu16_epi32(_mm_loadu_si128(p)); }
QS_INLINE qs_pv qs_pv_spread(const void *four) /* bytes, to every row */
{
    int32_t x;
    memcpy(&x, four, 4);
    return qs_pv_all32(x);
}

/* The same of u and, for every row, of the four bytes from x + 4 * i on. */
QS_INLINE qs_pv qs_pv_dot_four(qs_pv a, qs_pv u, const uint8_t *x, int i) { return qs_pv_dot(a, u, qs_pv_spread(x + 4 * i)); }

QS_INLINE qs_pf qs_pf_load(const float *p) { return _mm256_loadu_ps(p); }
QS_INLINE void qs_pf_store(float *p, qs_pf v) { _mm256_storeu_ps(p, v); }
QS_INLINE qs_pf qs_pf_zero(void) { return _mm256_setzero_ps(); }
QS_INLINE qs_pf qs_pf_all(float x) { return _mm256_set1_ps(x); }
QS_INLINE qs_pf qs_pf_mul(qs_pf a, qs_pf b) { return _mm256_mul_ps(a, b); }
QS_INLINE qs_pf qs_pf_fma(qs_pf a, qs_pf b, qs_pf c) { return _mm256_fmadd_ps(a, b, c); }
QS_INLINE qs_pf qs_pf_fma_less(qs_pf a, qs_pf b, qs_pf c) { return _mm256_fnmadd_ps(a, b, c); } /* c - a * b */
QS_INLINE qs_pf qs_pf_from(qs_pv a) { return _mm256_cvtepi32_ps(a); }
QS_INLINE qs_pf qs_pf_bits(qs_pv a) { return _mm256_castsi256_ps(a); }
QS_INLINE qs_pf qs_pf_halves(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }


/* Sums of 16 activations (Q8K), sixteen of them, each times its own of `by`; `out` is aligned. */
QS_INLINE void qs_p_sums_times(const int16_t *sums, const int32_t *by, int32_t *out)
{
    for (int i = 0; i < 16; i += 8) {
        const __m256i s = _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(sums + i)));
        _mm256_store_si256((void *)(out + i), _mm256_mullo_epi32(s, _mm256_loadu_si256((const void *)(by + i))));
    }
}

#endif
