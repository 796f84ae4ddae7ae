/* panel_any.h - of what the texts of panels are written in, that which does not depend on the width of vectors; for the
 * panel_vec.h of each level (AVX2 at least).
 */
#ifndef QS_KERNELS_X86_AVX2_PANEL_ANY_H
#define QS_KERNELS_X86_AVX2_PANEL_ANY_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/inline.h"

/* Sums of 16 activations (Q8K), sixteen of them; `out` is aligned. The sums of two neighbours times `by`; */
QS_INLINE void qs_p_pair_sums_times(const int16_t *sums, int16_t by, int32_t *out)
{
    const __m256i s = _mm256_loadu_si256((const void *)sums);
    _mm256_store_si256((void *)out, _mm256_madd_epi16(s, _mm256_set1_epi16(by)));
}
/* as pairs of int16: (0, 2), (1, 3), (4, 6), (5, 7) ...; */
QS_INLINE void qs_p_crossed(const int16_t *sums, int32_t *out)
{
    const __m256i s = _mm256_loadu_si256((const void *)sums);
    _mm256_store_si256((void *)out, _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(s, 0xd8), 0xd8));
}
/* the sums of two neighbours as such pairs. */
QS_INLINE void qs_p_crossed_pairs(const int16_t *sums, int32_t *out)
{
    const __m256i s = _mm256_loadu_si256((const void *)sums);
    const __m256i two = _mm256_shuffle_epi32(_mm256_madd_epi16(s, _mm256_set1_epi16(1)), 0xd8);
    const __m256i p = _mm256_permute4x64_epi64(_mm256_packs_epi32(two, two), 0x08);
    _mm_store_si128((void *)out, _mm256_castsi256_si128(p));
}

/* Memory is read in the order of the text, here. */
QS_INLINE void qs_p_in_order(void) { __asm__ volatile("" ::: "memory"); }
/* Asks for a line. */
QS_INLINE void qs_p_ahead(const uint8_t *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
/* The same into the second cache: more of these can be under way, which memory needs. */
QS_INLINE void qs_p_far_ahead(const uint8_t *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }

#endif
