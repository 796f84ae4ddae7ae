/* formats.c - decoders by NEON, and the list of what this level does better than plain C.
 *
 * Same bits as kernels/ref: every float operation there has its single counterpart here, in the same order, and nothing is
 * fused. Loads and stores stay inside the rows given. The encoders of this level are in their own files; this one only
 * enters them into the table.
 */
#include <string.h>

#include "kernels/arm_neon/fits.h"
#include "kernels/arm_neon/unpack.h"
#include "kernels/half.h"
#include "kernels/level.h"

/* ---- F16, BF16 */

static void decode_f16(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const uint8_t *p = src->p[0];
    for (size_t r = 0; r < rows; r++, dst += stride) {
        size_t c = 0;
        for (; c + 8 <= cols; c += 8, p += 16) {
            const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
            v_store(dst + c, (vf){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) });
        }
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
            const uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(p));
            vst1q_u32((uint32_t *)(void *)(dst + c), vshll_n_u16(vget_low_u16(h), 16));
            vst1q_u32((uint32_t *)(void *)(dst + c + 4), vshll_high_n_u16(h, 16));
        }
        for (; c < cols; c++, p += 2) {
            uint16_t h;
            memcpy(&h, p, 2);
            dst[c] = qs_bf16_to_f32(h);
        }
    }
}

/* Codes of F16: rounding to nearest even. NaN loses its payload in kernels/ref, so groups with NaN are done there. */
static void round_f16(const struct qs_rows *in, const void *grid, void *codes)
{
    uint16_t *code = codes;
    (void)grid;
    for (size_t r = 0; r < in->rows; r++) {
        const float *x = in->x + r * in->stride;
        size_t c = 0;
        for (; c + 8 <= in->cols; c += 8, code += 8) {
            const vf v = v_load(x + c);
            if (m_bits(v_not_equal(v, v)))
                for (size_t k = 0; k < 8; k++)
                    code[k] = qs_f32_to_f16(x[c + k]);
            else
                vst1q_u16(code, vreinterpretq_u16_f16(vcombine_f16(vcvt_f16_f32(v.a), vcvt_f16_f32(v.b))));
        }
        for (; c < in->cols; c++)
            *code++ = qs_f32_to_f16(x[c]);
    }
}

static void fit_f16(const struct qs_rows *in, void *grid, void *codes) { round_f16(in, grid, codes); }

/* ---- blocks */

/* y = scale * code + (or -) what is added, for sixteen codes; added: NULL for nothing. */
QS_INLINE void store16(int8x16_t c, float scale, const float *added, bool less, float *y)
{
    const float32x4_t s = vdupq_n_f32(scale), m = vdupq_n_f32(added ? *added : 0);
    const int16x8_t half[2] = { vmovl_s8(vget_low_s8(c)), vmovl_high_s8(c) };
    for (int i = 0; i < 4; i++) {
        const int32x4_t v = i % 2 ? vmovl_high_s16(half[i / 2]) : vmovl_s16(vget_low_s16(half[i / 2]));
        const float32x4_t f = vmulq_f32(s, vcvtq_f32_s32(v));
        vst1q_f32(y + 4 * i, !added ? f : less ? vsubq_f32(f, m) : vaddq_f32(f, m));
    }
}

QS_INLINE void store_block(codes32 c, float scale, const float *added, float *y)
{
    store16(c.low, scale, added, false, y);
    store16(c.high, scale, added, false, y + 16);
}

QS_INLINE void store_super(const struct super *u, bool minima, float *y)
{
    for (int g = 0; g < 16; g++) {
        const float min = minima ? u->dmin * (float)u->min[g] : 0;
        store16(u->c[g], u->d * (float)u->scale[g], minima ? &min : NULL, true, y + 16 * g);
    }
}

/* A decoder of rows: EXPR decodes the block at b to y. */
#define DECODER(name, BLOCK, EXPR)                                                                                     \
    static void decode_##name(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)    \
    {                                                                                                                  \
        const uint8_t *b = src->p[0];                                                                                  \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t i = 0; i < cols / (BLOCK); i++, b += sizeof(struct qs_block_##name)) {                         \
                float *const y = dst + r * stride + i * (BLOCK);                                                       \
                EXPR                                                                                                   \
            }                                                                                                          \
    }
#define PLAIN(name) DECODER(name, 32, store_block(codes_##name(b), half_at(b), NULL, y);)
#define WITH_MINIMUM(name) DECODER(name, 32, const float m = half_at(b + 2); store_block(codes_##name(b), half_at(b), &m, y);)
#define SUPER(name, minima) DECODER(name, QS_SUPER, struct super u; unpack_##name(b, &u); store_super(&u, minima, y);)

PLAIN(q8_0)
PLAIN(q4_0)
PLAIN(q5_0)
PLAIN(iq4_nl)
DECODER(mxfp4, 32, store_block(codes_mxfp4(b), scale_mxfp4(b), NULL, y);)
WITH_MINIMUM(q4_1)
WITH_MINIMUM(q5_1)
SUPER(q2_k, true)
SUPER(q3_k, false)
SUPER(q4_k, true)
SUPER(q5_k, true)
SUPER(q6_k, false)
SUPER(iq4_xs, false)

/* ---- the table */

void qs_neon_formats(struct qs_format_ops *ops)
{
    static const struct { int id; qs_decode_fn *decode; } decoders[] = {
        {QS_F16, decode_f16},     {QS_BF16, decode_bf16},   {QS_Q8_0, decode_q8_0}, {QS_Q4_0, decode_q4_0},
        {QS_Q4_1, decode_q4_1},   {QS_Q5_0, decode_q5_0},   {QS_Q5_1, decode_q5_1}, {QS_IQ4_NL, decode_iq4_nl},
        {QS_MXFP4, decode_mxfp4}, {QS_Q2_K, decode_q2_k},   {QS_Q3_K, decode_q3_k}, {QS_Q4_K, decode_q4_k},
        {QS_Q5_K, decode_q5_k},   {QS_Q6_K, decode_q6_k},   {QS_IQ4_XS, decode_iq4_xs},
    };
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        ops[qs_format_index(decoders[i].id)].decode = decoders[i].decode;
    static const struct { int id; qs_fit_fn *fit; } encoders[] = {
        {QS_F16, fit_f16},                 {QS_Q8_0, qs_neon_q8_0_fit},       {QS_Q4_0, qs_neon_q4_0_fit},
        {QS_Q4_1, qs_neon_q4_1_fit},       {QS_Q5_0, qs_neon_q5_0_fit},       {QS_Q5_1, qs_neon_q5_1_fit},
        {QS_IQ2_XXS, qs_neon_iq2_xxs_fit}, {QS_IQ2_XS, qs_neon_iq2_xs_fit},   {QS_IQ2_S, qs_neon_iq2_s_fit},
        {QS_IQ3_XXS, qs_neon_iq3_xxs_fit}, {QS_IQ3_S, qs_neon_iq3_s_fit},
    };
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        ops[qs_format_index(encoders[i].id)].fit = encoders[i].fit;
    ops[qs_format_index(QS_F16)].round = round_f16;
    qs_neon_kquant_formats(ops);
}
