/* formats.c - decoders by AVX2 and F16C, and the list of what this level does better than plain C.
 *
 * Same bits as kernels/ref: every float operation there has its single counterpart here, in the same order, and nothing
 * is fused. Loads and stores stay inside the rows given. The encoders of this level are in their own files; this one
 * only enters them into the table.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/ref/kquant.h"
#include "kernels/x86_avx2/iq.h"
#include "kernels/x86_avx2/kquant.h"
#include "kernels/x86_avx2/legacy.h"

/* Eight bytes at p as floats. */
static inline __m256 floats_of_u8(__m128i v) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)); }
static inline __m256 floats_of_i8(__m128i v) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)); }
static inline __m128i upper(__m128i v) { return _mm_unpackhi_epi64(v, v); }

/* ---- F16, BF16 */

static void decode_f16(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const uint8_t *p = src->p[0];
    for (size_t r = 0; r < rows; r++, dst += stride) {
        size_t c = 0;
        for (; c + 8 <= cols; c += 8, p += 16)
            _mm256_storeu_ps(dst + c, _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)));
        for (; c < cols; c++, p += 2) {
            uint16_t h;
            memcpy(&h, p, 2);
            dst[c] = qs_f16_to_f32(h);
        }
    }
}

static void decode_bf16(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const uint8_t *p = src->p[0];
    for (size_t r = 0; r < rows; r++, dst += stride) {
        size_t c = 0;
        for (; c + 8 <= cols; c += 8, p += 16) {
            __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
            _mm256_storeu_si256((void *)(dst + c), _mm256_slli_epi32(v, 16));
        }
        for (; c < cols; c++, p += 2) {
            uint16_t h;
            memcpy(&h, p, 2);
            dst[c] = qs_bf16_to_f32(h);
        }
    }
}

/* Codes of F16: rounding to nearest even. NaN loses its payload in kernels/ref, so lanes with NaN are redone there. */
static void round_f16(const struct qs_rows *in, const void *grid, void *codes)
{
    uint16_t *code = codes;
    (void)grid;
    for (size_t r = 0; r < in->rows; r++) {
        const float *x = in->x + r * in->stride;
        size_t c = 0;
        for (; c + 8 <= in->cols; c += 8, code += 8) {
            __m256 v = _mm256_loadu_ps(x + c);
            if (_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)))
                for (int k = 0; k < 8; k++)
                    code[k] = qs_f32_to_f16(x[c + (size_t)k]);
            else
                _mm_storeu_si128((void *)code, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        }
        for (; c < in->cols; c++)
            *code++ = qs_f32_to_f16(x[c]);
    }
}

static void fit_f16(const struct qs_rows *in, void *grid, void *codes) { round_f16(in, grid, codes); }

/* ---- blocks */

/* A decoder of rows from a decoder of one block. */
#define DECODER(name, BLOCK)                                                                                           \
    static void decode_##name(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)    \
    {                                                                                                                  \
        const struct qs_block_##name *b = (const void *)src->p[0];                                                     \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t i = 0; i < cols / (BLOCK); i++)                                                                \
                block_##name(b++, dst + r * stride + i * (BLOCK));                                                     \
    }

static inline void block_q8_0(const struct qs_block_q8_0 *b, float *y)
{
    const __m256 d = _mm256_set1_ps(qs_f16_to_f32(b->d));
    for (int k = 0; k < 32; k += 8) {
        __m128i q = _mm_loadl_epi64((const void *)(b->qs + k));
        _mm256_storeu_ps(y + k, _mm256_mul_ps(floats_of_i8(q), d));
    }
}

static inline void block_q4_0(const struct qs_block_q4_0 *b, float *y)
{
    const __m256 d = _mm256_set1_ps(qs_f16_to_f32(b->d));
    const __m128i low = _mm_set1_epi8(15), eight = _mm_set1_epi8(8), q = _mm_loadu_si128((const void *)b->qs);
    const __m128i lo = _mm_sub_epi8(_mm_and_si128(q, low), eight);
    const __m128i hi = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(q, 4), low), eight);
    _mm256_storeu_ps(y, _mm256_mul_ps(floats_of_i8(lo), d));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(floats_of_i8(upper(lo)), d));
    _mm256_storeu_ps(y + 16, _mm256_mul_ps(floats_of_i8(hi), d));
    _mm256_storeu_ps(y + 24, _mm256_mul_ps(floats_of_i8(upper(hi)), d));
}

/* The 32 codes of a block whose byte k holds those of weights k and k + 16. */
static inline __m256i nibbles(const uint8_t *qs)
{
    const __m128i q = _mm_loadu_si128((const void *)qs);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(q, 4), q), _mm256_set1_epi8(15));
}

/* 16 for each weight k whose bit k is set. */
static inline __m256i fifth_bits(const uint8_t *qh)
{
    const __m256i bit = _mm256_set1_epi64x((int64_t)UINT64_C(0x8040201008040201));
    const __m256i from = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    int32_t all;
    memcpy(&all, qh, sizeof all);
    const __m256i its = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(all), from), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(its, bit), _mm256_set1_epi8(16));
}

/* 32 codes times scale plus minimum. */
static inline void store_plus(__m256i codes, float scale, float min, float *y)
{
    const __m256 s = _mm256_set1_ps(scale), m = _mm256_set1_ps(min);
    const __m128i a = _mm256_castsi256_si128(codes), b = _mm256_extracti128_si256(codes, 1);
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_mul_ps(floats_of_u8(a), s), m));
    _mm256_storeu_ps(y + 8, _mm256_add_ps(_mm256_mul_ps(floats_of_u8(upper(a)), s), m));
    _mm256_storeu_ps(y + 16, _mm256_add_ps(_mm256_mul_ps(floats_of_u8(b), s), m));
    _mm256_storeu_ps(y + 24, _mm256_add_ps(_mm256_mul_ps(floats_of_u8(upper(b)), s), m));
}

static inline void block_q4_1(const struct qs_block_q4_1 *b, float *y)
{
    store_plus(nibbles(b->qs), qs_f16_to_f32(b->d), qs_f16_to_f32(b->m), y);
}

static inline void block_q5_1(const struct qs_block_q5_1 *b, float *y)
{
    const __m256i codes = _mm256_or_si256(nibbles(b->qs), fifth_bits(b->qh));
    store_plus(codes, qs_f16_to_f32(b->d), qs_f16_to_f32(b->m), y);
}

/* 32 codes times scale minus minimum. */
static inline void store_affine(__m256i codes, float scale, float min, float *y)
{
    const __m256 s = _mm256_set1_ps(scale), m = _mm256_set1_ps(min);
    const __m128i a = _mm256_castsi256_si128(codes), b = _mm256_extracti128_si256(codes, 1);
    _mm256_storeu_ps(y, _mm256_sub_ps(_mm256_mul_ps(s, floats_of_u8(a)), m));
    _mm256_storeu_ps(y + 8, _mm256_sub_ps(_mm256_mul_ps(s, floats_of_u8(upper(a))), m));
    _mm256_storeu_ps(y + 16, _mm256_sub_ps(_mm256_mul_ps(s, floats_of_u8(b)), m));
    _mm256_storeu_ps(y + 24, _mm256_sub_ps(_mm256_mul_ps(s, floats_of_u8(upper(b))), m));
}

static inline void block_q4_k(const struct qs_block_q4_k *b, float *y)
{
    const float d = qs_f16_to_f32(b->d), dmin = qs_f16_to_f32(b->dmin);
    const __m256i low = _mm256_set1_epi8(15);
    uint8_t scale[8], min[8];
    qs_k_unpack_6bit(b->scales, scale, min);
    for (int j = 0; j < 8; j += 2, y += 64) {
        __m256i q = _mm256_loadu_si256((const void *)(b->qs + 16 * j)), h = _mm256_srli_epi16(q, 4);
        store_affine(_mm256_and_si256(q, low), d * (float)scale[j], dmin * (float)min[j], y);
        store_affine(_mm256_and_si256(h, low), d * (float)scale[j + 1], dmin * (float)min[j + 1], y + 32);
    }
}

static inline void block_q5_k(const struct qs_block_q5_k *b, float *y)
{
    const float d = qs_f16_to_f32(b->d), dmin = qs_f16_to_f32(b->dmin);
    const __m256i low = _mm256_set1_epi8(15), one = _mm256_set1_epi8(1);
    __m256i high = _mm256_loadu_si256((const void *)b->qh);
    uint8_t scale[8], min[8];
    qs_k_unpack_6bit(b->scales, scale, min);
    for (int j = 0; j < 8; j++, y += 32) {
        __m256i q = _mm256_loadu_si256((const void *)(b->qs + j / 2 * 32));
        q = _mm256_and_si256(j % 2 ? _mm256_srli_epi16(q, 4) : q, low);
        q = _mm256_or_si256(q, _mm256_slli_epi16(_mm256_and_si256(high, one), 4));
        high = _mm256_srli_epi16(high, 1);
        store_affine(q, d * (float)scale[j], dmin * (float)min[j], y);
    }
}

/* 16 signed codes times scale. */
static inline void store_scaled(__m128i codes, float scale, float *y)
{
    const __m256 s = _mm256_set1_ps(scale);
    _mm256_storeu_ps(y, _mm256_mul_ps(s, floats_of_i8(codes)));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(s, floats_of_i8(upper(codes))));
}

static inline void block_q5_0(const struct qs_block_q5_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    const __m256i codes = _mm256_or_si256(nibbles(b->qs), fifth_bits(b->qh));
    const __m256i q = _mm256_sub_epi8(codes, _mm256_set1_epi8(16));
    store_scaled(_mm256_castsi256_si128(q), d, y);
    store_scaled(_mm256_extracti128_si256(q, 1), d, y + 16);
}

static inline void block_q6_k(const struct qs_block_q6_k *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    const __m256i low = _mm256_set1_epi8(15), two = _mm256_set1_epi8(3), middle = _mm256_set1_epi8(32);
    for (int half = 0; half < 2; half++) {
        __m256i high = _mm256_loadu_si256((const void *)(b->qh + 32 * half));
        for (int quarter = 0; quarter < 4; quarter++, y += 32) {
            __m256i q = _mm256_loadu_si256((const void *)(b->ql + 64 * half + quarter % 2 * 32));
            q = _mm256_and_si256(quarter < 2 ? q : _mm256_srli_epi16(q, 4), low);
            q = _mm256_or_si256(q, _mm256_slli_epi16(_mm256_and_si256(high, two), 4));
            q = _mm256_sub_epi8(q, middle);
            high = _mm256_srli_epi16(high, 2);
            const int8_t *scale = b->scales + 8 * half + 2 * quarter;
            store_scaled(_mm256_castsi256_si128(q), d * (float)scale[0], y);
            store_scaled(_mm256_extracti128_si256(q, 1), d * (float)scale[1], y + 16);
        }
    }
}

DECODER(q8_0, 32)
DECODER(q4_0, 32)
DECODER(q4_1, 32)
DECODER(q5_0, 32)
DECODER(q5_1, 32)
DECODER(q4_k, QS_SUPER)
DECODER(q5_k, QS_SUPER)
DECODER(q6_k, QS_SUPER)

/* ---- the table */

static struct qs_format_ops *row_of(struct qs_format_ops *ops, int id)
{
    return &ops[qs_format_index(id)];
}

void qs_avx2_formats(struct qs_format_ops *ops)
{
    static const struct { int id; qs_decode_fn *decode; } decoders[] = {
        {QS_F16, decode_f16},   {QS_BF16, decode_bf16}, {QS_Q8_0, decode_q8_0}, {QS_Q4_0, decode_q4_0},
        {QS_Q4_1, decode_q4_1}, {QS_Q5_0, decode_q5_0}, {QS_Q5_1, decode_q5_1}, {QS_Q4_K, decode_q4_k},
        {QS_Q5_K, decode_q5_k}, {QS_Q6_K, decode_q6_k},
    };
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        row_of(ops, decoders[i].id)->decode = decoders[i].decode;
    static const struct { int id; qs_fit_fn *fit; } encoders[] = {
        {QS_F16, fit_f16},           {QS_Q8_0, qs_avx2_q8_0_fit}, {QS_Q4_0, qs_avx2_q4_0_fit},
        {QS_Q4_1, qs_avx2_q4_1_fit}, {QS_Q5_0, qs_avx2_q5_0_fit}, {QS_Q5_1, qs_avx2_q5_1_fit},
    };
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        row_of(ops, encoders[i].id)->fit = encoders[i].fit;
    row_of(ops, QS_F16)->round = round_f16;
    qs_avx2_kquant_formats(ops);
    qs_avx2_iq_formats(ops);
    qs_avx2_iq_decoders(ops);
}
