/* attend_turn.h - rows to columns, for the attention of the x86 levels (attend_text.h says what of): the file that includes this
 * has defined put16(float *, __m256i), which stores 16 float16 as floats.
 */
#include "kernels/attend.h"
#include "kernels/x86_avx2/dots.h"

enum { TILE = QS_ATTEND_TILE };

QS_INLINE __m256i two_16(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)low)),
                                   _mm_loadu_si128((const void *)high), 1);
}

/* Eight float16 of each of sixteen rows, from byte `at` on. */
QS_INLINE void turn_f16(const uint8_t *const *row, size_t at, float *to)
{
    const __m256i r0 = two_16(row[0] + at, row[8] + at), r1 = two_16(row[1] + at, row[9] + at);
    const __m256i r2 = two_16(row[2] + at, row[10] + at), r3 = two_16(row[3] + at, row[11] + at);
    const __m256i r4 = two_16(row[4] + at, row[12] + at), r5 = two_16(row[5] + at, row[13] + at);
    const __m256i r6 = two_16(row[6] + at, row[14] + at), r7 = two_16(row[7] + at, row[15] + at);
    const __m256i a0 = _mm256_unpacklo_epi16(r0, r1), a1 = _mm256_unpackhi_epi16(r0, r1);
    const __m256i a2 = _mm256_unpacklo_epi16(r2, r3), a3 = _mm256_unpackhi_epi16(r2, r3);
    const __m256i a4 = _mm256_unpacklo_epi16(r4, r5), a5 = _mm256_unpackhi_epi16(r4, r5);
    const __m256i a6 = _mm256_unpacklo_epi16(r6, r7), a7 = _mm256_unpackhi_epi16(r6, r7);
    const __m256i b0 = _mm256_unpacklo_epi32(a0, a2), b1 = _mm256_unpackhi_epi32(a0, a2);
    const __m256i b2 = _mm256_unpacklo_epi32(a1, a3), b3 = _mm256_unpackhi_epi32(a1, a3);
    const __m256i b4 = _mm256_unpacklo_epi32(a4, a6), b5 = _mm256_unpackhi_epi32(a4, a6);
    const __m256i b6 = _mm256_unpacklo_epi32(a5, a7), b7 = _mm256_unpackhi_epi32(a5, a7);
    put16(to, _mm256_unpacklo_epi64(b0, b4));
    put16(to + TILE, _mm256_unpackhi_epi64(b0, b4));
    put16(to + 2 * TILE, _mm256_unpacklo_epi64(b1, b5));
    put16(to + 3 * TILE, _mm256_unpackhi_epi64(b1, b5));
    put16(to + 4 * TILE, _mm256_unpacklo_epi64(b2, b6));
    put16(to + 5 * TILE, _mm256_unpackhi_epi64(b2, b6));
    put16(to + 6 * TILE, _mm256_unpacklo_epi64(b3, b7));
    put16(to + 7 * TILE, _mm256_unpackhi_epi64(b3, b7));
}

/* Four numbers of 32 bits of each of eight rows; r0 .. r3: rows 0 and 4, 1 and 5, 2 and 6, 3 and 7. */
QS_INLINE void turn_32(__m256i r0, __m256i r1, __m256i r2, __m256i r3, float *to)
{
    const __m256i a0 = _mm256_unpacklo_epi32(r0, r1), a1 = _mm256_unpackhi_epi32(r0, r1);
    const __m256i a2 = _mm256_unpacklo_epi32(r2, r3), a3 = _mm256_unpackhi_epi32(r2, r3);
    _mm256_storeu_si256((void *)to, _mm256_unpacklo_epi64(a0, a2));
    _mm256_storeu_si256((void *)(to + TILE), _mm256_unpackhi_epi64(a0, a2));
    _mm256_storeu_si256((void *)(to + 2 * TILE), _mm256_unpacklo_epi64(a1, a3));
    _mm256_storeu_si256((void *)(to + 3 * TILE), _mm256_unpackhi_epi64(a1, a3));
}

QS_INLINE void turn_f32(const uint8_t *const *row, size_t at, float *to)
{
    turn_32(two_16(row[0] + at, row[4] + at), two_16(row[1] + at, row[5] + at), two_16(row[2] + at, row[6] + at),
            two_16(row[3] + at, row[7] + at), to);
}

/* ---- codes */

typedef __m128i pick_fn(const uint8_t *block, int quad);

QS_INLINE void turn_picked(pick_fn *pick, const uint8_t *const *row, size_t at, int i, float *to)
{
    turn_32(_mm256_set_m128i(pick(row[4] + at, i), pick(row[0] + at, i)),
            _mm256_set_m128i(pick(row[5] + at, i), pick(row[1] + at, i)),
            _mm256_set_m128i(pick(row[6] + at, i), pick(row[2] + at, i)),
            _mm256_set_m128i(pick(row[7] + at, i), pick(row[3] + at, i)), to);
}

QS_INLINE void put_halves(float *to, const uint16_t *d) { put16(to, _mm256_loadu_si256((const void *)d)); }

QS_INLINE void join16(const uint8_t *row, size_t apart, int16_t *to)
{
    const __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)row));
    const __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(row + apart)));
    _mm256_storeu_si256((void *)to, _mm256_add_epi16(_mm256_slli_epi16(high, 8), low));
}
