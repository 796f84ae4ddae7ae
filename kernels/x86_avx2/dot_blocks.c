/* dot_blocks.c - products of types in blocks of 32 with Q8 activations (AVX2, FMA).
 *
 * The eight sums of dot.h are the lanes of one vector. A block is unpacked once for four tokens. Bytes are multiplied as
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
    float (*scale)(const uint8_t *block);
    float (*minimum)(const uint8_t *block);
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

QS_INLINE float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
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
QS_INLINE float scale_half(const uint8_t *b) { return half_at(b); } /* the first field of all but MXFP4 */
QS_INLINE float scale_mxfp4(const uint8_t *b) { return qs_e8m0_half(FIELD(mxfp4, e)); }
QS_INLINE float minimum_half(const uint8_t *b) { return half_at(b + 2); }

static_assert(offsetof(struct qs_block_q4_0, d) == 0 && offsetof(struct qs_block_q4_1, d) == 0, "scale_half");
static_assert(offsetof(struct qs_block_q5_0, d) == 0 && offsetof(struct qs_block_q5_1, d) == 0, "scale_half");
static_assert(offsetof(struct qs_block_q8_0, d) == 0 && offsetof(struct qs_block_iq4_nl, d) == 0, "scale_half");
static_assert(offsetof(struct qs_block_q4_1, m) == 2 && offsetof(struct qs_block_q5_1, m) == 2, "minimum_half");

/* ---- one row, one or four tokens */

/* Sums of four products each, as floats. size: |codes|. */
QS_INLINE __m256 multiply(bool is_signed, __m256i size, __m256i codes, const uint8_t *q)
{
    const __m256i x = _mm256_load_si256((const void *)q);
    const __m256i pairs = _mm256_maddubs_epi16(size, is_signed ? _mm256_sign_epi8(x, codes) : x);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#define TOKENS(M) M(0) if (T > 1) { M(1) M(2) M(3) }

/* T is 1 or 4. */
QS_INLINE void tile(const int T, const struct kind kind, const uint8_t *w, const uint8_t *const x[4], size_t cols,
                    float out[4])
{
    const size_t n = cols / 32;
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    const uint8_t *const x0 = x[0], *const x1 = x[1], *const x2 = x[2], *const x3 = x[3];
    float m[8] = { 0 };
    for (size_t i = 0; i < n; i++, w += kind.bytes) {
        const __m256i codes = kind.codes(w), size = kind.is_signed ? _mm256_abs_epi8(codes) : codes;
        const __m256 d = _mm256_set1_ps(kind.scale(w));
#define ADD(t)                                                                                                         \
        a##t = _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_broadcast_ss(qs_q8_scales(x##t, cols) + i)),                    \
                               multiply(kind.is_signed, size, codes, x##t + 32 * i), a##t);
        TOKENS(ADD)
        if (kind.minima) {
            m[i % 8] = kind.minimum(w);
            if (i % 8 == 7 || i + 1 == n) {
                for (size_t k = i % 8 + 1; k < 8; k++)
                    m[k] = 0;
                const __m256 v = _mm256_loadu_ps(m);
#define ADD_MINIMA(t) b##t = _mm256_fmadd_ps(v, _mm256_load_ps(qs_q8_sums(x##t, cols) + i / 8 * 8), b##t);
                TOKENS(ADD_MINIMA)
            }
        }
    }
#define FINISH(t) out[t] = kind.minima ? qs_avx2_sum8(a##t) + qs_avx2_sum8(b##t) : qs_avx2_sum8(a##t);
    TOKENS(FINISH)
}

QS_INLINE void products(const struct qs_dot *j, const struct kind kind)
{
    for (size_t r = 0; r < j->rows; r++) {
        const uint8_t *w = j->w + r * j->w_stride;
        float sums[4];
        if (j->tokens == 1) {
            const uint8_t *const one[4] = { j->x, j->x, j->x, j->x };
            tile(1, kind, w, one, j->cols, sums);
            j->out[r] = sums[0];
            continue;
        }
        for (size_t t = 0; t < j->tokens; t += 4) { /* where four are too many, the last is done again */
            const size_t n = j->tokens - t < 4 ? j->tokens - t : 4;
            const uint8_t *x[4];
            for (size_t i = 0; i < 4; i++)
                x[i] = j->x + (t + (i < n ? i : n - 1)) * j->x_stride;
            tile(4, kind, w, x, j->cols, sums);
            for (size_t i = 0; i < n; i++)
                j->out[(t + i) * j->out_stride + r] = sums[i];
        }
    }
}

#define DOT(name, is_signed, minima, scale)                                                                            \
    static void dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        products(j, (struct kind){ sizeof(struct qs_block_##name), is_signed, minima, codes_##name, scale,             \
                                   minimum_half });                                                                    \
    }
DOT(q4_0, true, false, scale_half)
DOT(q4_1, false, true, scale_half)
DOT(q5_0, true, false, scale_half)
DOT(q5_1, false, true, scale_half)
DOT(q8_0, true, false, scale_half)
DOT(iq4_nl, true, false, scale_half)
DOT(mxfp4, true, false, scale_mxfp4)

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
