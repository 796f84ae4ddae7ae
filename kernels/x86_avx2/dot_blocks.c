/* dot_blocks.c - products of types in blocks of 32 with Q8 activations (AVX2, FMA).
 *
 * Eight blocks are unpacked at a time for up to eight tokens; their integers are added up together. Bytes are multiplied as
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

enum { GROUP = 8 /* blocks that are unpacked and added up together */ };

struct group {
    __m256i codes[GROUP], size[GROUP]; /* size: |codes| */
    __m256 d, m;
    size_t at, count;
};

QS_INLINE void unpack(const struct kind kind, const uint8_t *w, size_t at, size_t count, struct group *g)
{
    g->at = at;
    g->count = count;
    g->d = count == GROUP ? kind.scales(w, kind.bytes, GROUP) : kind.scales(w, kind.bytes, count);
    if (kind.minima)
        g->m = count == GROUP ? halves(w + 2, kind.bytes, GROUP) : halves(w + 2, kind.bytes, count);
    for (size_t i = 0; i < count; i++) {
        g->codes[i] = kind.codes(w + i * kind.bytes);
        g->size[i] = kind.is_signed ? _mm256_abs_epi8(g->codes[i]) : g->codes[i];
    }
    for (size_t i = count; i < GROUP; i++)
        g->codes[i] = g->size[i] = _mm256_setzero_si256();
}

/* Sums of four products each. */
QS_INLINE __m256i multiply(bool is_signed, const struct group *g, size_t i, const uint8_t *q)
{
    const __m256i x = _mm256_load_si256((const void *)(q + (i < g->count ? 32 * i : 0)));
    const __m256i pairs = _mm256_maddubs_epi16(g->size[i], is_signed ? _mm256_sign_epi8(x, g->codes[i]) : x);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* The steps of dot.h for the blocks of a group. */
QS_INLINE float add_group(const struct kind kind, const struct group *g, const uint8_t *x, size_t cols, float a)
{
    _Alignas(32) float d[GROUP], sum[GROUP], m[GROUP];
    const uint8_t *q = x + 32 * g->at;
#define TWO(i) _mm256_hadd_epi32(multiply(kind.is_signed, g, i, q), multiply(kind.is_signed, g, (i) + 1, q))
    const __m256i low = _mm256_hadd_epi32(TWO(0), TWO(2)), high = _mm256_hadd_epi32(TWO(4), TWO(6));
#undef TWO
    const __m256i all = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
    _mm256_store_ps(sum, _mm256_cvtepi32_ps(all));
    _mm256_store_ps(d, _mm256_mul_ps(g->d, _mm256_load_ps(qs_q8_scales(x, cols) + g->at)));
    if (kind.minima)
        _mm256_store_ps(m, g->m);
    for (size_t i = 0; i < g->count; i++) {
        a = fmaf(d[i], sum[i], a);
        a = kind.minima ? fmaf(m[i], qs_q8_sums(x, cols)[g->at + i], a) : a;
    }
    return a;
}

enum { TOKENS = 8 /* that share an unpacked group */ };

QS_INLINE void products(const struct qs_dot *j, const struct kind kind)
{
    const size_t n = j->cols / 32;
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t += TOKENS) {
            const size_t some = j->tokens - t < TOKENS ? j->tokens - t : TOKENS;
            float a[TOKENS] = { 0 };
            struct group g;
            for (size_t at = 0; at < n; at += GROUP) {
                unpack(kind, j->w + r * j->w_stride + at * kind.bytes, at, n - at < GROUP ? n - at : GROUP, &g);
                for (size_t i = 0; i < some; i++)
                    a[i] = add_group(kind, &g, j->x + (t + i) * j->x_stride, j->cols, a[i]);
            }
            for (size_t i = 0; i < some; i++)
                j->out[(t + i) * j->out_stride + r] = a[i];
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
