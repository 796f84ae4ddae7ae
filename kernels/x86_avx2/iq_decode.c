/* iq_decode.c - decoders of the codebook and ternary types by AVX2: IQ1, IQ2, IQ3, TQ1_0, TQ2_0.
 *
 * A point of a codebook is a word with a few bits for each weight, which say which of the values it has (tables_iq.h): eight
 * shifts of that word choose from a vector of values times scale, another eight put the signs on. Same bits as kernels/ref.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avx2/iq.h"

#define DECODER(name)                                                                                                  \
    static void decode_##name(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)    \
    {                                                                                                                  \
        const struct qs_block_##name *b = (const void *)src->p[0];                                                     \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t i = 0; i < cols / QS_SUPER; i++)                                                               \
                block_##name(b++, dst + r * stride + i * QS_SUPER);                                                    \
    }

/* Of eight weights with two bits each, which of the values (three are used). */
static inline __m256 pick2(__m256 values, unsigned point)
{
    const __m256i by = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i at = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)point), by), _mm256_set1_epi32(3));
    return _mm256_permutevar8x32_ps(values, at);
}

/* Of two points with three bits for each of their four weights. */
static inline __m256 pick3(__m256 values, unsigned point, unsigned next)
{
    const __m256i by = _mm256_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21); /* what is above three bits is not looked at */
    return _mm256_permutevar8x32_ps(values, _mm256_srlv_epi32(_mm256_set1_epi32((int)(point | next << 12)), by));
}

/* Bit i of signs: weight i is negative. */
static inline __m256 signed_by(__m256 v, unsigned signs)
{
    const __m256i by = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i s = _mm256_and_si256(_mm256_sllv_epi32(_mm256_set1_epi32((int)signs), by), _mm256_set1_epi32(INT32_MIN));
    return _mm256_xor_ps(v, _mm256_castsi256_ps(s));
}

/* Seven signs, and an eighth that makes the number of minus signs even. */
static inline unsigned with_parity(unsigned signs7)
{
    return signs7 | (unsigned)__builtin_parity(signs7) << 7;
}

/* ---- IQ2: d * (scale + 1/2) / 4 * value */

static inline __m256 magnitudes2(uint16_t d, unsigned scale)
{
    const float db = qs_f16_to_f32(d) * (0.5f + (float)scale) * 0.25f;
    const __m256 values = _mm256_setr_ps((float)qs_iq2_values[0], (float)qs_iq2_values[1], (float)qs_iq2_values[2], 0, 0, 0, 0, 0);
    return _mm256_mul_ps(_mm256_set1_ps(db), values);
}

static inline void block_iq2_xxs(const struct qs_block_iq2_xxs *b, float *y)
{
    for (size_t j = 0; j < 8; j++) {
        uint32_t word[2];
        memcpy(word, b->qs + 4 * j, 8);
        const __m256 m = magnitudes2(b->d, word[1] >> 28);
        for (unsigned k = 0; k < 4; k++, y += 8)
            _mm256_storeu_ps(y, signed_by(pick2(m, qs_iq2_xxs_points[word[0] >> 8 * k & 255]),
                                          with_parity(word[1] >> 7 * k & 127)));
    }
}
DECODER(iq2_xxs)

static inline void block_iq2_xs(const struct qs_block_iq2_xs *b, float *y)
{
    for (size_t j = 0; j < 16; j++) {
        const __m256 m = magnitudes2(b->d, b->scales[j / 2] >> 4 * (j % 2) & 15);
        for (size_t k = 0; k < 2; k++, y += 8) {
            const unsigned q = b->qs[2 * j + k];
            _mm256_storeu_ps(y, signed_by(pick2(m, qs_iq2_xs_points[q & 511]), with_parity(q >> 9)));
        }
    }
}
DECODER(iq2_xs)

static inline void block_iq2_s(const struct qs_block_iq2_s *b, float *y)
{
    for (size_t j = 0; j < 16; j++) {
        const __m256 m = magnitudes2(b->d, b->scales[j / 2] >> 4 * (j % 2) & 15);
        for (size_t k = 2 * j; k < 2 * j + 2; k++, y += 8) {
            const unsigned place = b->qs[k] | (b->qh[k / 4] >> 2 * (k % 4) & 3u) << 8;
            _mm256_storeu_ps(y, signed_by(pick2(m, qs_iq2_s_points[place]), b->qs[32 + k]));
        }
    }
}
DECODER(iq2_s)

/* ---- IQ3 */

static inline __m256 magnitudes3(float scale, const uint8_t values[8])
{
    const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)values));
    return _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(v));
}

static inline void block_iq3_xxs(const struct qs_block_iq3_xxs *b, float *y)
{
    for (size_t j = 0; j < 8; j++) {
        uint32_t word;
        memcpy(&word, b->qs + 64 + 4 * j, 4);
        const __m256 m = magnitudes3(qs_f16_to_f32(b->d) * (0.5f + (float)(word >> 28)) * 0.5f, qs_iq3_xxs_values);
        for (unsigned k = 0; k < 4; k++, y += 8) {
            const uint8_t *q = b->qs + 8 * j + 2 * k;
            _mm256_storeu_ps(y, signed_by(pick3(m, qs_iq3_xxs_points[q[0]], qs_iq3_xxs_points[q[1]]),
                                          with_parity(word >> 7 * k & 127)));
        }
    }
}
DECODER(iq3_xxs)

static inline void block_iq3_s(const struct qs_block_iq3_s *b, float *y)
{
    for (size_t k = 0; k < 64; k += 8) {
        const unsigned scale = b->scales[k / 16] >> 4 * (k / 8 % 2) & 15, high = b->qh[k / 8];
        const __m256 m = magnitudes3(qs_f16_to_f32(b->d) * (float)(1 + 2 * scale), qs_iq3_s_values);
        for (size_t i = 0; i < 8; i += 2, y += 8) {
            const unsigned a = b->qs[k + i] | (high >> i & 1u) << 8, c = b->qs[k + i + 1] | (high >> (i + 1) & 1u) << 8;
            _mm256_storeu_ps(y, signed_by(pick3(m, qs_iq3_s_points[a], qs_iq3_s_points[c]), b->signs[(k + i) / 2]));
        }
    }
}
DECODER(iq3_s)

/* ---- IQ1: -1, 0 and 1, all an eighth more or less */

static inline __m256 magnitudes1(float d, unsigned scale, bool less)
{
    const __m256 more = _mm256_setr_ps(-0.875f, 0.125f, 1.125f, 0, 0, 0, 0, 0);
    const __m256 fewer = _mm256_setr_ps(-1.125f, -0.125f, 0.875f, 0, 0, 0, 0, 0);
    return _mm256_mul_ps(_mm256_set1_ps(d * (float)(2 * scale + 1)), less ? fewer : more);
}

static inline void block_iq1_s(const struct qs_block_iq1_s *b, float *y)
{
    for (size_t j = 0; j < 8; j++) {
        const unsigned h = b->qh[j];
        const __m256 m = magnitudes1(qs_f16_to_f32(b->d), h >> 12 & 7, h >> 15);
        for (unsigned k = 0; k < 4; k++, y += 8)
            _mm256_storeu_ps(y, pick2(m, qs_iq1_points[b->qs[4 * j + k] | (h >> 3 * k & 7) << 8]));
    }
}
DECODER(iq1_s)

static inline void block_iq1_m(const struct qs_block_iq1_m *b, float *y)
{
    uint16_t sc[4];
    memcpy(sc, b->scales, 8);
    const float d = qs_f16_to_f32((uint16_t)(sc[0] >> 12 | (sc[1] >> 8 & 0xf0) | (sc[2] >> 4 & 0xf00) | (sc[3] & 0xf000)));
    for (size_t j = 0; j < 16; j++)
        for (size_t k = 0; k < 2; k++, y += 8) {
            const unsigned h = b->qh[j] >> 4 * k & 15;
            const __m256 m = magnitudes1(d, sc[j / 4] >> 3 * (j % 4) & 7, h >> 3);
            _mm256_storeu_ps(y, pick2(m, qs_iq1_points[b->qs[2 * j + k] | (h & 7) << 8]));
        }
}
DECODER(iq1_m)

/* ---- ternary: codes 0, 1, 2 less one, times d */

static inline void store_trits(__m256i codes16, __m256 d, float *y)
{
    const __m256i t = _mm256_sub_epi16(codes16, _mm256_set1_epi16(1));
    _mm256_storeu_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(t))), d));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_extracti128_si256(t, 1))), d));
}

/* Sixteen bytes of five trits each, from `bytes` bytes of a group: trit n of byte m is weight m + n * bytes. */
static inline void five_trits(const uint8_t *p, size_t bytes, __m256 d, float *y)
{
    const __m256i byte = _mm256_set1_epi16(255), three = _mm256_set1_epi16(3);
    __m256i q = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
    for (int n = 0; n < 5; n++, y += bytes) {
        store_trits(_mm256_srli_epi16(_mm256_mullo_epi16(q, three), 8), d, y);
        q = _mm256_and_si256(_mm256_mullo_epi16(q, three), byte);
    }
}

static inline void block_tq1_0(const struct qs_block_tq1_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    const __m256 all = _mm256_set1_ps(d);
    five_trits(b->qs, 32, all, y);
    five_trits(b->qs + 16, 32, all, y + 16);
    five_trits(b->qs + 32, 16, all, y + 160);
    for (int m = 0; m < 4; m++) {
        uint8_t q = b->qh[m];
        for (int n = 0; n < 4; n++, q = (uint8_t)(q * 3))
            y[240 + 4 * n + m] = (float)((q * 3 >> 8) - 1) * d;
    }
}
DECODER(tq1_0)

static inline void block_tq2_0(const struct qs_block_tq2_0 *b, float *y)
{
    const __m256 d = _mm256_set1_ps(qs_f16_to_f32(b->d));
    for (int half = 0; half < 64; half += 32)
        for (int m = 0; m < 32; m += 16) {
            const __m256i q = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b->qs + half + m)));
            for (int n = 0; n < 4; n++)
                store_trits(_mm256_and_si256(_mm256_srli_epi16(q, 2 * n), _mm256_set1_epi16(3)), d, y + 4 * half + 32 * n + m);
        }
}
DECODER(tq2_0)

void qs_avx2_iq_decoders(struct qs_format_ops *ops)
{
    static const struct { int id; qs_decode_fn *decode; } all[] = {
        { QS_IQ1_S, decode_iq1_s },     { QS_IQ1_M, decode_iq1_m },   { QS_IQ2_XXS, decode_iq2_xxs },
        { QS_IQ2_XS, decode_iq2_xs },   { QS_IQ2_S, decode_iq2_s },   { QS_IQ3_XXS, decode_iq3_xxs },
        { QS_IQ3_S, decode_iq3_s },     { QS_TQ1_0, decode_tq1_0 },   { QS_TQ2_0, decode_tq2_0 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops[qs_format_index(all[i].id)].decode = all[i].decode;
}
