/* unpack.h - blocks and super-blocks taken apart into signed bytes, integer scales and floats: what products and decoders of this
 * folder begin with. Layouts: blocks.h.
 */
#ifndef QS_KERNELS_ARM_NEON_UNPACK_H
#define QS_KERNELS_ARM_NEON_UNPACK_H

#include <stdbool.h>

#include "kernels/arm_neon/vec.h"
#include "kernels/blocks.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/kquant.h"
#include "kernels/ref/tables_iq.h"

/* ---- blocks of 32: weight k = d * code k + m */

typedef struct { int8x16_t low, high; } codes32; /* of weights 0 to 15 and 16 to 31 of a block */

QS_INLINE codes32 nibbles(const uint8_t *qs)
{
    const uint8x16_t v = vld1q_u8(qs);
    return (codes32){ vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8(v, 4)) };
}

QS_INLINE codes32 add_to(codes32 c, int8_t n) { return (codes32){ vaddq_s8(c.low, vdupq_n_s8(n)), vaddq_s8(c.high, vdupq_n_s8(n)) }; }

/* Bit k of two bytes as 16 in byte k, or 0. */
QS_INLINE int8x16_t fifth_bits(const uint8_t *qh)
{
    static const uint8_t bit[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(qh[0]), vdup_n_u8(qh[1]));
    return vreinterpretq_s8_u8(vandq_u8(vtstq_u8(spread, vld1q_u8(bit)), vdupq_n_u8(16)));
}
QS_INLINE codes32 with_fifth(codes32 c, const uint8_t *qh)
{
    return (codes32){ vorrq_s8(c.low, fifth_bits(qh)), vorrq_s8(c.high, fifth_bits(qh + 2)) };
}

QS_INLINE codes32 by_table(codes32 c, const int8_t table[16])
{
    const int8x16_t t = vld1q_s8(table);
    return (codes32){ vqtbl1q_s8(t, vreinterpretq_u8_s8(c.low)), vqtbl1q_s8(t, vreinterpretq_u8_s8(c.high)) };
}

#define FIELD(name, field) (((const struct qs_block_##name *)(const void *)b)->field)

QS_INLINE codes32 codes_q4_0(const uint8_t *b) { return add_to(nibbles(FIELD(q4_0, qs)), -8); }
QS_INLINE codes32 codes_q4_1(const uint8_t *b) { return nibbles(FIELD(q4_1, qs)); }
QS_INLINE codes32 codes_q5_0(const uint8_t *b) { return add_to(with_fifth(nibbles(FIELD(q5_0, qs)), FIELD(q5_0, qh)), -16); }
QS_INLINE codes32 codes_q5_1(const uint8_t *b) { return with_fifth(nibbles(FIELD(q5_1, qs)), FIELD(q5_1, qh)); }
QS_INLINE codes32 codes_q8_0(const uint8_t *b)
{
    return (codes32){ vld1q_s8(FIELD(q8_0, qs)), vld1q_s8(FIELD(q8_0, qs) + 16) };
}
QS_INLINE codes32 codes_iq4_nl(const uint8_t *b) { return by_table(nibbles(FIELD(iq4_nl, qs)), qs_iq4_values); }
QS_INLINE codes32 codes_mxfp4(const uint8_t *b) { return by_table(nibbles(FIELD(mxfp4, qs)), qs_e2m1); }

/* A float16 at the start of a block: the scale of all but MXFP4; and behind it, the minimum. */
QS_INLINE float half_at(const uint8_t *b)
{
    float16x4_t h = vreinterpret_f16_u16(vld1_dup_u16((const uint16_t *)(const void *)b));
    return vgetq_lane_f32(vcvt_f32_f16(h), 0);
}
QS_INLINE float scale_mxfp4(const uint8_t *b) { return qs_e8m0_half(FIELD(mxfp4, e)); }

static_assert(offsetof(struct qs_block_q4_0, d) == 0 && offsetof(struct qs_block_q4_1, d) == 0, "half_at");
static_assert(offsetof(struct qs_block_q5_0, d) == 0 && offsetof(struct qs_block_q5_1, d) == 0, "half_at");
static_assert(offsetof(struct qs_block_q8_0, d) == 0 && offsetof(struct qs_block_iq4_nl, d) == 0, "half_at");
static_assert(offsetof(struct qs_block_q4_1, m) == 2 && offsetof(struct qs_block_q5_1, m) == 2, "minima");

/* ---- super-blocks of 256 */

struct super { /* weight k = d * scale[k / 16] * code k - dmin * min[k / 16] */
    int8x16_t c[16];
    int16_t scale[16], min[16];
    float d, dmin;
};
QS_INLINE uint8x16_t bits(uint8x16_t v, int mask) { return vandq_u8(v, vdupq_n_u8((uint8_t)mask)); }
QS_INLINE uint8x16_t down(uint8x16_t v, int n) { return vshlq_u8(v, vdupq_n_s8((int8_t)-n)); }
QS_INLINE uint8x16_t up(uint8x16_t v, int n) { return vshlq_u8(v, vdupq_n_s8((int8_t)n)); }
QS_INLINE int8x16_t less(uint8x16_t v, int n) { return vsubq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8((int8_t)n)); }

/* The 6-bit scales and minima of Q4_K and Q5_K. */
QS_INLINE void scales_6bit(const uint8_t packed[12], struct super *u)
{
    uint8_t scale[8], min[8];
    qs_k_unpack_6bit(packed, scale, min);
    for (int i = 0; i < 16; i++) {
        u->scale[i] = scale[i / 2];
        u->min[i] = min[i / 2];
    }
}

QS_INLINE void unpack_q2_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q2_k *b = (const void *)at;
    for (int i = 0; i < 16; i++) {
        u->c[i] = less(bits(down(vld1q_u8(b->qs + i / 8 * 32 + i % 2 * 16), i / 2 % 4 * 2), 3), 0);
        u->scale[i] = b->scales[i] & 15;
        u->min[i] = b->scales[i] >> 4;
    }
    u->d = half_at((const uint8_t *)&b->d);
    u->dmin = half_at((const uint8_t *)&b->dmin);
}

QS_INLINE void unpack_q3_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q3_k *b = (const void *)at;
    for (int i = 0; i < 16; i++) {
        const uint8x16_t low = bits(down(vld1q_u8(b->qs + i / 8 * 32 + i % 2 * 16), i / 2 % 4 * 2), 3);
        const uint8x16_t high = up(bits(down(vld1q_u8(b->hmask + i % 2 * 16), i / 2), 1), 2);
        u->c[i] = less(vorrq_u8(low, high), 4);
        u->scale[i] = (int16_t)(((b->scales[i % 8] >> i / 8 * 4 & 15) | (b->scales[8 + i % 4] >> i / 4 * 2 & 3) << 4) - 32);
    }
    u->d = half_at((const uint8_t *)&b->d);
}

QS_INLINE void unpack_q4_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q4_k *b = (const void *)at;
    for (int i = 0; i < 16; i++)
        u->c[i] = less(bits(down(vld1q_u8(b->qs + i / 4 * 32 + i % 2 * 16), i / 2 % 2 * 4), 15), 0);
    scales_6bit(b->scales, u);
    u->d = half_at((const uint8_t *)&b->d);
    u->dmin = half_at((const uint8_t *)&b->dmin);
}

QS_INLINE void unpack_q5_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q5_k *b = (const void *)at;
    for (int i = 0; i < 16; i++) {
        const uint8x16_t low = bits(down(vld1q_u8(b->qs + i / 4 * 32 + i % 2 * 16), i / 2 % 2 * 4), 15);
        u->c[i] = less(vorrq_u8(low, up(bits(down(vld1q_u8(b->qh + i % 2 * 16), i / 2), 1), 4)), 0);
    }
    scales_6bit(b->scales, u);
    u->d = half_at((const uint8_t *)&b->d);
    u->dmin = half_at((const uint8_t *)&b->dmin);
}

QS_INLINE void unpack_q6_k(const uint8_t *at, struct super *u)
{
    const struct qs_block_q6_k *b = (const void *)at;
    for (int i = 0; i < 16; i++) {
        const uint8x16_t low = bits(down(vld1q_u8(b->ql + i / 8 * 64 + i % 4 * 16), i / 4 % 2 * 4), 15);
        const uint8x16_t high = bits(down(vld1q_u8(b->qh + i / 8 * 32 + i % 2 * 16), i / 2 % 4 * 2), 3);
        u->c[i] = less(vorrq_u8(low, up(high, 4)), 32);
        u->scale[i] = b->scales[i];
    }
    u->d = half_at((const uint8_t *)&b->d);
}

QS_INLINE void unpack_iq4_xs(const uint8_t *at, struct super *u)
{
    const struct qs_block_iq4_xs *b = (const void *)at;
    const int8x16_t table = vld1q_s8(qs_iq4_values);
    for (int i = 0; i < 16; i++) {
        const int j = i / 2;
        u->c[i] = vqtbl1q_s8(table, bits(down(vld1q_u8(b->qs + 16 * j), i % 2 * 4), 15));
        u->scale[i] = (int16_t)(((b->scales_l[j / 2] >> j % 2 * 4 & 15) | (b->scales_h >> 2 * j & 3) << 4) - 32);
    }
    u->d = half_at((const uint8_t *)&b->d);
}

#endif
