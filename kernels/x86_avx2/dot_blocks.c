/* dot_blocks.c - products of types in blocks of 32 with Q8 activations (AVX2, FMA).
 *
 * The eight sums of dot.h are the lanes of one vector. A block is unpacked once for up to eight tokens. Bytes are multiplied as
 * |code| (unsigned) times sign(code) * q; neither the pairs nor their sums leave 16 and 32 bits: |code| <= 128, |q| <= 127.
 */
#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avx2/dots.h"

/* One type: how a block is taken apart. */
struct kind {
    size_t bytes;
    bool is_signed; /* codes may be negative */
    bool minima;
    __m256i (*codes)(const uint8_t *block);
    __m256 (*scales)(const uint8_t *block, size_t bytes, size_t count); /* of up to eight blocks, then zeros */
};

/* ---- unpacking */

QS_INLINE __m256i nibbles(const uint8_t *qs)
{
    const __m128i v = _mm_loadu_si128((const void *)qs);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

/* Bit k of four bytes as 16 in byte k, or 0. */
QS_INLINE __m256i fifth_bits(const uint8_t *qh)
{
    uint32_t bits;
    memcpy(&bits, qh, 4);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits),
                                               _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                                                  0x0303030303030303));
    const __m256i one = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, one), one);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

QS_INLINE __m256i by_table(__m256i places, const int8_t table[16])
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table)), places);
}

/* One float16 of each of `count` (1 to 8) blocks, `bytes` apart, as floats; zeros behind them. (Inserted one by one: a
 * vector loaded from memory that was just written in pieces has to wait for it.) */
QS_INLINE __m256 halves(const uint8_t *p, size_t bytes, size_t count)
{
    __m128i v = _mm_setzero_si128();
    uint16_t h;
#define INSERT(i)                                                                                                      \
    if (count > (i)) {                                                                                                 \
        memcpy(&h, p + (i) * bytes, 2);                                                                                \
        v = _mm_insert_epi16(v, h, (i));                                                                               \
    }
    INSERT(0)
    INSERT(1)
    INSERT(2)
    INSERT(3)
    INSERT(4)
    INSERT(5)
    INSERT(6)
    INSERT(7)
    return _mm256_cvtph_ps(v);
}

#define FIELD(name, field) (((const struct qs_block_##name *)(const void *)b)->field)

QS_INLINE __m256i codes_q4_0(const uint8_t *b) { return _mm256_sub_epi8(nibbles(FIELD(q4_0, qs)), _mm256_set1_epi8(8)); }
QS_INLINE __m256i codes_q4_1(const uint8_t *b) { return nibbles(FIELD(q4_1, qs)); }
QS_INLINE __m256i codes_q5_0(const uint8_t *b)
{
    return _mm256_sub_epi8(_mm256_or_si256(nibbles(FIELD(q5_0, qs)), fifth_bits(FIELD(q5_0, qh))), _mm256_set1_epi8(16));
}
QS_INLINE __m256i codes_q5_1(const uint8_t *b)
{
    return _mm256_or_si256(nibbles(FIELD(q5_1, qs)), fifth_bits(FIELD(q5_1, qh)));
}
QS_INLINE __m256i codes_q8_0(const uint8_t *b) { return _mm256_loadu_si256((const void *)FIELD(q8_0, qs)); }
QS_INLINE __m256i codes_iq4_nl(const uint8_t *b) { return by_table(nibbles(FIELD(iq4_nl, qs)), qs_iq4_values); }
QS_INLINE __m256i codes_mxfp4(const uint8_t *b) { return by_table(nibbles(FIELD(mxfp4, qs)), qs_e2m1); }

/* The first field of all but MXFP4. */
QS_INLINE __m256 scales_half(const uint8_t *b, size_t bytes, size_t count) { return halves(b, bytes, count); }

QS_INLINE __m256 scales_mxfp4(const uint8_t *b, size_t bytes, size_t count)
{
    float d[8];
    for (size_t i = 0; i < 8; i++)
        d[i] = i < count ? qs_e8m0_half(b[i * bytes + offsetof(struct qs_block_mxfp4, e)]) : 0;
    return _mm256_setr_ps(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
}

static_assert(offsetof(struct qs_block_q4_0, d) == 0 && offsetof(struct qs_block_q4_1, d) == 0, "scales_half");
static_assert(offsetof(struct qs_block_q5_0, d) == 0 && offsetof(struct qs_block_q5_1, d) == 0, "scales_half");
static_assert(offsetof(struct qs_block_q8_0, d) == 0 && offsetof(struct qs_block_iq4_nl, d) == 0, "scales_half");
static_assert(offsetof(struct qs_block_q4_1, m) == 2 && offsetof(struct qs_block_q5_1, m) == 2, "minima");

/* ---- one row, some tokens */

/* Sums of four products each, as floats. size: |codes|. */
QS_INLINE __m256 multiply(bool is_signed, __m256i size, __m256i codes, const uint8_t *q)
{
    const __m256i x = _mm256_load_si256((const void *)q);
    const __m256i pairs = _mm256_maddubs_epi16(size, is_signed ? _mm256_sign_epi8(x, codes) : x);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#define TOKENS(M) M(0) if (T > 1) { M(1) M(2) M(3) } if (T > 4) { M(4) M(5) M(6) M(7) }

/* T is 1, 4 or 8. Eight blocks at a time: their products of scales are made together. */
QS_INLINE void tile(const int T, const struct kind kind, const uint8_t *w, const uint8_t *const x[8], size_t cols,
                    float out[8])
{
    const size_t n = cols / 32;
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    __m256 b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0, b6 = a0, b7 = a0;
    const uint8_t *const x0 = x[0], *const x1 = x[1], *const x2 = x[2], *const x3 = x[3];
    const uint8_t *const x4 = x[4], *const x5 = x[5], *const x6 = x[6], *const x7 = x[7];
    _Alignas(32) float d0[8], d1[8], d2[8], d3[8], d4[8], d5[8], d6[8], d7[8];
    for (size_t at = 0; at < n; at += 8) {
        const size_t count = n - at < 8 ? n - at : 8;
        const __m256 d = count == 8 ? kind.scales(w, kind.bytes, 8) : kind.scales(w, kind.bytes, count);
#define SCALES(t) _mm256_store_ps(d##t, _mm256_mul_ps(d, _mm256_load_ps(qs_q8_scales(x##t, cols) + at)));
        TOKENS(SCALES)
        if (kind.minima) {
            const __m256 m = count == 8 ? halves(w + 2, kind.bytes, 8) : halves(w + 2, kind.bytes, count);
#define ADD_MINIMA(t) b##t = _mm256_fmadd_ps(m, _mm256_load_ps(qs_q8_sums(x##t, cols) + at), b##t);
            TOKENS(ADD_MINIMA)
        }
        for (size_t i = 0; i < count; i++, w += kind.bytes) {
            const __m256i codes = kind.codes(w), size = kind.is_signed ? _mm256_abs_epi8(codes) : codes;
            const size_t k = 32 * (at + i);
#define ADD(t)                                                                                                         \
            a##t = _mm256_fmadd_ps(_mm256_broadcast_ss(d##t + i), multiply(kind.is_signed, size, codes, x##t + k), a##t);
            TOKENS(ADD)
        }
    }
#define FINISH(t) out[t] = kind.minima ? qs_avx2_sum8(a##t) + qs_avx2_sum8(b##t) : qs_avx2_sum8(a##t);
    TOKENS(FINISH)
}

QS_INLINE void one_token(const struct qs_dot *j, const struct kind kind)
{
    const uint8_t *const x[8] = { j->x, j->x, j->x, j->x, j->x, j->x, j->x, j->x };
    for (size_t r = 0; r < j->rows; r++)
        tile(1, kind, j->w + r * j->w_stride, x, j->cols, &j->out[r]);
}

QS_INLINE void products(const struct qs_dot *j, const struct kind kind)
{
    if (j->tokens == 1) {
        one_token(j, kind);
        return;
    }
    for (size_t r = 0; r < j->rows; r++) {
        const uint8_t *w = j->w + r * j->w_stride;
        for (size_t t = 0; t < j->tokens; t += 8) { /* where a tile holds more, the last token is done again */
            const size_t n = j->tokens - t < 8 ? j->tokens - t : 8;
            const uint8_t *x[8];
            float sums[8];
            for (size_t i = 0; i < 8; i++)
                x[i] = j->x + (t + (i < n ? i : n - 1)) * j->x_stride;
            if (n <= 4)
                tile(4, kind, w, x, j->cols, sums);
            else
                tile(8, kind, w, x, j->cols, sums);
            for (size_t i = 0; i < n; i++)
                j->out[(t + i) * j->out_stride + r] = sums[i];
        }
    }
}

#define DOT(name, is_signed, minima, scales)                                                                           \
    static void dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        products(j, (struct kind){ sizeof(struct qs_block_##name), is_signed, minima, codes_##name, scales });         \
    }
DOT(q4_0, true, false, scales_half)
DOT(q4_1, false, true, scales_half)
DOT(q5_0, true, false, scales_half)
DOT(q5_1, false, true, scales_half)
DOT(q8_0, true, false, scales_half)
DOT(iq4_nl, true, false, scales_half)
DOT(mxfp4, true, false, scales_mxfp4)

void qs_avx2_dots_of_blocks(struct qs_dot_ops *ops)
{
    static const struct {
        int id;
        qs_dot_fn *fn;
    } all[] = {
        { QS_Q4_0, dot_q4_0 }, { QS_Q4_1, dot_q4_1 },     { QS_Q5_0, dot_q5_0 },   { QS_Q5_1, dot_q5_1 },
        { QS_Q8_0, dot_q8_0 }, { QS_IQ4_NL, dot_iq4_nl }, { QS_MXFP4, dot_mxfp4 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        qs_avx2_dot_entry(ops, all[i].id)->quant = all[i].fn;
}
