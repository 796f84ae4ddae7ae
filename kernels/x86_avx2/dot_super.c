/* dot_super.c - products of types in super-blocks of 256 with Q8K activations (AVX2, FMA).
 *
 * A super-block is unpacked once for one or four tokens: eight vectors of codes, sixteen scales of 16 bits. A token's
 * integers are added up in the lanes of one vector, then across them. Neither pairs nor sums leave 16 and 32 bits: |code| <= 127, |q| <= 127,
 * |scale| <= 128, and 127 * 127 * 128 * 32 < 2^31.
 */
#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avx2/dots.h"

struct super {
    __m256i codes[8];
    __m256i scale, min; /* sixteen int16 */
    float d, dmin;
};
typedef void unpack_fn(const uint8_t *at, struct super *u);

QS_INLINE __m256i bytes32(const uint8_t *p) { return _mm256_loadu_si256((const void *)p); }
QS_INLINE __m256i low_bits(__m256i v, int mask) { return _mm256_and_si256(v, _mm256_set1_epi8((char)mask)); }
QS_INLINE float half_of(uint16_t h) { return _cvtsh_ss(h); }

/* ---- scales */

QS_INLINE __m256i eight_twice(uint64_t bytes) /* 16 bits each, every one twice */
{
    const __m128i v = _mm_cvtsi64_si128((long long)bytes);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(v, v));
}

/* The 6-bit scales and minima of Q4_K and Q5_K: eight bytes each. */
QS_INLINE void scales_6bit(const uint8_t packed[12], struct super *u)
{
    uint32_t p[3];
    memcpy(p, packed, 12);
    const uint32_t scale = (p[2] & 0x0f0f0f0f) | (p[0] >> 6 & 0x03030303) << 4;
    const uint32_t min = (p[2] >> 4 & 0x0f0f0f0f) | (p[1] >> 6 & 0x03030303) << 4;
    u->scale = eight_twice((p[0] & 0x3f3f3f3f) | (uint64_t)scale << 32);
    u->min = eight_twice((p[1] & 0x3f3f3f3f) | (uint64_t)min << 32);
}

/* The 6-bit scales of Q3_K, less 32. */
QS_INLINE __m256i scales_q3_k(const uint8_t packed[12])
{
    uint32_t p[3];
    memcpy(p, packed, 12);
    const uint32_t low = 0x0f0f0f0f, two = 0x03030303;
    const __m128i v = _mm_setr_epi32((int)((p[0] & low) | (p[2] & two) << 4), (int)((p[1] & low) | (p[2] >> 2 & two) << 4),
                                     (int)((p[0] >> 4 & low) | (p[2] >> 4 & two) << 4),
                                     (int)((p[1] >> 4 & low) | (p[2] >> 6 & two) << 4));
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(v, _mm_set1_epi8(32)));
}

/* ---- unpacking */

QS_INLINE void unpack_q2_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q2_k *b = (const void *)at;
    for (int n = 0; n < 2; n++) {
        const __m256i v = bytes32(b->qs + 32 * n);
        u->codes[4 * n] = low_bits(v, 3);
        u->codes[4 * n + 1] = low_bits(_mm256_srli_epi16(v, 2), 3);
        u->codes[4 * n + 2] = low_bits(_mm256_srli_epi16(v, 4), 3);
        u->codes[4 * n + 3] = low_bits(_mm256_srli_epi16(v, 6), 3);
    }
    const __m128i s = _mm_loadu_si128((const void *)b->scales), low = _mm_set1_epi8(15);
    u->scale = _mm256_cvtepu8_epi16(_mm_and_si128(s, low));
    u->min = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(s, 4), low));
    u->d = half_of(b->d);
    u->dmin = half_of(b->dmin);
}

/* Bit `bit` of the bytes as 4 or 0. */
#define BIT_AS_4(v, bit) low_bits((bit) < 2 ? _mm256_slli_epi16(v, 2 - (bit)) : _mm256_srli_epi16(v, (bit) < 2 ? 0 : (bit) - 2), 4)
#define CODES_Q3(n, j)                                                                                                 \
    u->codes[4 * (n) + (j)] = _mm256_sub_epi8(                                                                         \
        _mm256_or_si256(low_bits(_mm256_srli_epi16(v, 2 * (j)), 3), BIT_AS_4(high, 4 * (n) + (j))), four)

QS_INLINE void unpack_q3_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q3_k *b = (const void *)at;
    const __m256i high = bytes32(b->hmask), four = _mm256_set1_epi8(4);
    __m256i v = bytes32(b->qs);
    CODES_Q3(0, 0);
    CODES_Q3(0, 1);
    CODES_Q3(0, 2);
    CODES_Q3(0, 3);
    v = bytes32(b->qs + 32);
    CODES_Q3(1, 0);
    CODES_Q3(1, 1);
    CODES_Q3(1, 2);
    CODES_Q3(1, 3);
    u->scale = scales_q3_k(b->scales);
    u->d = half_of(b->d);
}

QS_INLINE void unpack_q4_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q4_k *b = (const void *)at;
    for (int j = 0; j < 4; j++) {
        const __m256i v = bytes32(b->qs + 32 * j);
        u->codes[2 * j] = low_bits(v, 15);
        u->codes[2 * j + 1] = low_bits(_mm256_srli_epi16(v, 4), 15);
    }
    scales_6bit(b->scales, u);
    u->d = half_of(b->d);
    u->dmin = half_of(b->dmin);
}

/* Bit 2j of the bytes of `high` as 16, then bit 2j + 1. */
#define CODES_Q5(j)                                                                                                    \
    do {                                                                                                               \
        const __m256i v = bytes32(b->qs + 32 * (j)), h = _mm256_srli_epi16(high, 2 * (j));                             \
        const __m256i odd = low_bits(_mm256_slli_epi16(h, 3), 16);                                                     \
        u->codes[2 * (j)] = _mm256_or_si256(low_bits(v, 15), low_bits(_mm256_slli_epi16(h, 4), 16));                   \
        u->codes[2 * (j) + 1] = _mm256_or_si256(low_bits(_mm256_srli_epi16(v, 4), 15), odd);                           \
    } while (0)

QS_INLINE void unpack_q5_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q5_k *b = (const void *)at;
    const __m256i high = bytes32(b->qh);
    CODES_Q5(0);
    CODES_Q5(1);
    CODES_Q5(2);
    CODES_Q5(3);
    scales_6bit(b->scales, u);
    u->d = half_of(b->d);
    u->dmin = half_of(b->dmin);
}

QS_INLINE __m256i q6_codes(__m256i low, __m256i high) /* high: two bits, in place */
{
    return _mm256_sub_epi8(_mm256_or_si256(low_bits(low, 15), low_bits(high, 48)), _mm256_set1_epi8(32));
}

QS_INLINE void unpack_q6_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q6_k *b = (const void *)at;
    for (int n = 0; n < 2; n++) {
        const __m256i v = bytes32(b->ql + 64 * n), w = bytes32(b->ql + 64 * n + 32), h = bytes32(b->qh + 32 * n);
        u->codes[4 * n] = q6_codes(v, _mm256_slli_epi16(h, 4));
        u->codes[4 * n + 1] = q6_codes(w, _mm256_slli_epi16(h, 2));
        u->codes[4 * n + 2] = q6_codes(_mm256_srli_epi16(v, 4), h);
        u->codes[4 * n + 3] = q6_codes(_mm256_srli_epi16(w, 4), _mm256_srli_epi16(h, 2));
    }
    u->scale = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)b->scales));
    u->d = half_of(b->d);
}

QS_INLINE void unpack_iq4_xs(const uint8_t *at, struct super *u)
{
    const struct qs_block_iq4_xs *b = (const void *)at;
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)qs_iq4_values));
    uint64_t scales = 0;
    for (int j = 0; j < 8; j++) {
        const __m128i v = _mm_loadu_si128((const void *)(b->qs + 16 * j));
        u->codes[j] = _mm256_shuffle_epi8(table, low_bits(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), 15));
        const int s = ((b->scales_l[j / 2] >> j % 2 * 4 & 15) | (b->scales_h >> 2 * j & 3) << 4) - 32;
        scales |= (uint64_t)(uint8_t)s << 8 * j;
    }
    u->scale = eight_twice(scales);
    u->d = half_of(b->d);
}

/* ---- one row, one or four tokens */

/* Scales 2j (low half) and 2j + 1 (high half) of sixteen, eight times each. */
QS_INLINE __m256i scales_of(__m256i eight, int j) /* both halves hold the eight of which 2j % 8 is one */
{
    const int at = j % 4 * 4;
    const __m256i low = _mm256_set1_epi16((short)(at | (at + 1) << 8)), high = _mm256_set1_epi16((short)((at + 2) | (at + 3) << 8));
    return _mm256_shuffle_epi8(eight, _mm256_blend_epi32(low, high, 0xf0));
}

QS_INLINE __m256i multiply(bool is_signed, __m256i size, __m256i codes, __m256i scale, const uint8_t *q, __m256i sum)
{
    const __m256i x = _mm256_load_si256((const void *)q);
    const __m256i pairs = _mm256_maddubs_epi16(size, is_signed ? _mm256_sign_epi8(x, codes) : x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, scale));
}

/* The sums of each of four vectors. */
QS_INLINE __m128i sums_of_ints(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

struct kind {
    size_t bytes;
    bool is_signed, minima;
    unpack_fn *unpack;
};

#define TOKENS(M) M(0) if (T > 1) { M(1) M(2) M(3) }

/* One step of dot.h for each token. */
QS_INLINE __m128 add_sums(__m128 scale, __m128i sums, __m128 a) { return _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sums), a); }

/* T is 1 or 4. */
QS_INLINE void tile(const int T, const struct kind kind, const uint8_t *w, const uint8_t *const x[4], size_t cols,
                    float out[4])
{
    __m128 a = _mm_setzero_ps(); /* a lane per token */
    const uint8_t *const x0 = x[0], *const x1 = x[1], *const x2 = x[2], *const x3 = x[3];
    for (size_t i = 0; i < cols / QS_SUPER; i++, w += kind.bytes) {
        struct super u;
        kind.unpack(w, &u);
        const __m256i first = _mm256_permute2x128_si256(u.scale, u.scale, 0x00);
        const __m256i second = _mm256_permute2x128_si256(u.scale, u.scale, 0x11);
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
#define ADD(t) s##t = multiply(kind.is_signed, size, codes, scale, x##t + QS_SUPER * i + 32 * j, s##t);
#define PART(part)                                                                                                     \
        do {                                                                                                           \
            enum { j = (part) };                                                                                       \
            const __m256i codes = u.codes[j], size = kind.is_signed ? _mm256_abs_epi8(codes) : codes;                  \
            const __m256i scale = scales_of(j < 4 ? first : second, j);                                                \
            TOKENS(ADD)                                                                                                \
        } while (0)
        PART(0);
        PART(1);
        PART(2);
        PART(3);
        PART(4);
        PART(5);
        PART(6);
        PART(7);
        const __m128 dx = T == 1 ? _mm_set1_ps(qs_q8k_scales(x0, cols)[i])
                                 : _mm_setr_ps(qs_q8k_scales(x0, cols)[i], qs_q8k_scales(x1, cols)[i],
                                               qs_q8k_scales(x2, cols)[i], qs_q8k_scales(x3, cols)[i]);
        a = add_sums(_mm_mul_ps(_mm_set1_ps(u.d), dx), sums_of_ints(s0, s1, s2, s3), a);
        if (kind.minima) {
#define MINIMA(t) s##t = _mm256_madd_epi16(u.min, bytes32((const uint8_t *)(qs_q8k_sums(x##t, cols) + 16 * i)));
            TOKENS(MINIMA)
            const __m128 scale = _mm_mul_ps(_mm_set1_ps(u.dmin), dx);
            a = add_sums(_mm_xor_ps(scale, _mm_set1_ps(-0.0f)), sums_of_ints(s0, s1, s2, s3), a);
        }
    }
    _mm_storeu_ps(out, a);
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

#define DOT(name, is_signed, minima)                                                                                   \
    static void dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        products(j, (struct kind){ sizeof(struct qs_block_##name), is_signed, minima, unpack_##name });                \
    }
DOT(q2_k, false, true)
DOT(q3_k, true, false)
DOT(q4_k, false, true)
DOT(q5_k, false, true)
DOT(q6_k, true, false)
DOT(iq4_xs, true, false)

void qs_avx2_dots_of_super_blocks(struct qs_dot_ops *ops)
{
    static const struct {
        int id;
        qs_dot_fn *fn;
    } all[] = {
        { QS_Q2_K, dot_q2_k }, { QS_Q3_K, dot_q3_k }, { QS_Q4_K, dot_q4_k },
        { QS_Q5_K, dot_q5_k }, { QS_Q6_K, dot_q6_k }, { QS_IQ4_XS, dot_iq4_xs },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        qs_avx2_dot_entry(ops, all[i].id)->quant = all[i].fn;
}
