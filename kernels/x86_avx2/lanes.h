/* lanes.h - the scale searches of kernels/ref/search.h, eight groups of weights at a time: one group per float lane.
 *
 * Weights lie transposed: vector i holds weight i of each of the eight groups. Every lane does the float operations of
 * the plain search in the same order (no fused multiply-add), so results are the same bits. The plain searches define
 * rounding for any float; here it is defined for |x| <= 4194303 only. Where a lane leaves that range, or meets NaN or
 * Inf, its bit in `suspect` is set and its results mean nothing: the caller then takes the plain search.
 *
 * For the encoders of this folder. No state, no allocation. n is at most LANES_MAX.
 */
#ifndef QS_KERNELS_X86_AVX2_LANES_H
#define QS_KERNELS_X86_AVX2_LANES_H

#include <immintrin.h>
#include "kernels/ref/search.h"

enum { LANES = 8, LANES_MAX = 32 };

/* out[i] lane r = float at + i of row r, for i < 8. (Written out: compilers keep arrays of vectors in memory.) */
static inline void qs_lanes_transpose(const float *const row[LANES], size_t at, __m256 out[LANES])
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

/* Eight groups of the affine search. */
struct qs_lanes_affine {
    const __m256 *x, *w;   /* n vectors each */
    __m256 *code;          /* scratch, n vectors */
    __m256 scale, min;     /* result: x ~ scale * code - min */
    __m256 sum_w;          /* result: sum of the weights */
    __m256 inv, low;       /* result: code = clamp(round(inv * (x - low)), 0, nmax) */
    unsigned flat;         /* result, a bit per lane: constant group, all codes 0 */
    unsigned suspect;
};
/* Two sets of eight at once: one alone would wait for its own sums half of the time. */
void qs_lanes_affine(const struct qs_affine_search *how, int n, struct qs_lanes_affine *a, struct qs_lanes_affine *b);

/* Eight groups of the symmetric search. */
struct qs_lanes_symmetric {
    const __m256 *x;
    const __m256 *w;       /* NULL: x^2 */
    __m256 scale;          /* result: x ~ scale * (code - nmax) */
    __m256 inv;            /* result: code = nmax + clamp(round(inv * x), -nmax, nmax - 1) */
    unsigned zero;         /* result: as good as zero, all codes 0 (not nmax) */
    unsigned suspect;
};
void qs_lanes_symmetric(int n, int nmax, struct qs_lanes_symmetric *g);

/* Eight groups of the search for scales of scales. Never suspect for finite input. code: n vectors, each 0..255. */
__m256 qs_lanes_positive(int n, int nmax, const __m256 *x, const __m256 *w, __m256i *code);

/* Eight groups of 16 of the unweighted search of Q3_K (kernels/ref/kquant_symmetric.c). */
struct qs_lanes_q3 {
    const __m256 *x;       /* 16 vectors */
    __m256 code[16];       /* result: -4 .. 3 */
    __m256 scale;
    unsigned zero;         /* all codes are byte 0 (that is -4) */
    unsigned suspect;
};
void qs_lanes_q3(struct qs_lanes_q3 *g);

/* qs_nearest_int for every float there is. */
static inline __m256i qs_lanes_nearest_any(__m256 v)
{
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.f)));
    bits = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
    return _mm256_sub_epi32(bits, _mm256_set1_epi32(0x00400000));
}

#endif
