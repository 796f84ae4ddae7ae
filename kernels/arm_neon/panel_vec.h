/* panel_vec.h - what the texts of panels (kernels/panel_blocks_text.h) are written in, for eight rows in two vectors of NEON: a
 * panel's rows are two of these pairs, and a broadcast number serves two products. Loads take any address.
 *
 * The integer dot product (sdot) takes bytes with signs on both sides, hence QS_PV_SIGNED.
 */
#ifndef QS_KERNELS_ARM_NEON_PANEL_VEC_H
#define QS_KERNELS_ARM_NEON_PANEL_VEC_H

#include "kernels/arm_neon/vec.h"

typedef vi qs_pv; /* integers: 8 of 32 bits, or 32 bytes */
typedef vf qs_pf;

enum { QS_PV_LANES = 8, QS_PV_SIGNED = 1 };

QS_INLINE qs_pv qs_pv_load(const void *p) { return i_load(p); }
QS_INLINE qs_pv qs_pv_zero(void) { return i_all(0); }
QS_INLINE qs_pv qs_pv_all32(int32_t x) { return i_all(x); }
QS_INLINE qs_pv qs_pv_all8(int x) { return i_all((int)(0x01010101u * (uint8_t)x)); }
QS_INLINE qs_pv qs_pv_and(qs_pv a, qs_pv b) { return i_and(a, b); }
QS_INLINE qs_pv qs_pv_or(qs_pv a, qs_pv b) { return i_or(a, b); }
QS_INLINE qs_pv qs_pv_or_and(qs_pv a, qs_pv b, qs_pv c) { return i_or(a, i_and(b, c)); } /* a | (b & c) */
QS_INLINE qs_pv qs_pv_add32(qs_pv a, qs_pv b) { return i_add(a, b); }
QS_INLINE qs_pv qs_pv_max32(qs_pv a, qs_pv b) { return i_max(a, b); }
QS_INLINE qs_pv qs_pv_min32(qs_pv a, qs_pv b) { return i_min(a, b); }
QS_INLINE qs_pv qs_pv_mul32(qs_pv a, qs_pv b) { return i_mul(a, b); }
QS_INLINE qs_pv qs_pv_add8(qs_pv x, qs_pv y)
{
    return (qs_pv){ (int32x4_t)((uint8x16_t)x.a + (uint8x16_t)y.a), (int32x4_t)((uint8x16_t)x.b + (uint8x16_t)y.b) };
}
QS_INLINE qs_pv qs_pv_sub8(qs_pv x, qs_pv y)
{
    return (qs_pv){ (int32x4_t)((uint8x16_t)x.a - (uint8x16_t)y.a), (int32x4_t)((uint8x16_t)x.b - (uint8x16_t)y.b) };
}

/* Shifts by what is a constant once loops are unrolled. */
QS_INLINE qs_pv qs_pv_left16(qs_pv x, unsigned n)
{
    return (qs_pv){ (int32x4_t)((uint16x8_t)x.a << (uint16_t)n), (int32x4_t)((uint16x8_t)x.b << (uint16_t)n) };
}
QS_INLINE qs_pv qs_pv_right16(qs_pv x, unsigned n)
{
    return (qs_pv){ (int32x4_t)((uint16x8_t)x.a >> (uint16_t)n), (int32x4_t)((uint16x8_t)x.b >> (uint16_t)n) };
}
QS_INLINE qs_pv qs_pv_left32(qs_pv a, unsigned n) { return i_shift_left(a, n); }
QS_INLINE qs_pv qs_pv_right32(qs_pv a, unsigned n) { return i_shift_right(a, n); }
QS_INLINE qs_pv qs_pv_right32_signed(qs_pv x, unsigned n) { return (qs_pv){ x.a >> (int)n, x.b >> (int)n }; }
QS_INLINE qs_pv qs_pv_shift32(qs_pv a, int left)
{
    return left < 0 ? qs_pv_right32(a, (unsigned)-left) : qs_pv_left32(a, (unsigned)left);
}

/* Bytes of a table of 16 by the low four bits of each byte of v (whose other bits are clear). */
QS_INLINE qs_pv qs_pv_table(const void *table16)
{
    const int32x4_t t = vreinterpretq_s32_u8(vld1q_u8(table16));
    return (qs_pv){ t, t };
}
QS_INLINE int32x4_t qs_pv_pick4(int32x4_t table, int32x4_t v)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(table), vreinterpretq_u8_s32(v)));
}
QS_BOTH2(qs_pv_pick, qs_pv, qs_pv, qs_pv, qs_pv_pick4)

/* a + four products of signed bytes of u and, for every row, of the four from x + 4 * i on: sixteen of those are loaded for four
 * constants i that follow one another. */
QS_INLINE int32x4_t qs_pv_dot_four4(int32x4_t a, int32x4_t u, int8x16_t x, int lane)
{
    switch (lane) {
    case 0: return vdotq_laneq_s32(a, vreinterpretq_s8_s32(u), x, 0);
    case 1: return vdotq_laneq_s32(a, vreinterpretq_s8_s32(u), x, 1);
    case 2: return vdotq_laneq_s32(a, vreinterpretq_s8_s32(u), x, 2);
    default: return vdotq_laneq_s32(a, vreinterpretq_s8_s32(u), x, 3);
    }
}
QS_INLINE qs_pv qs_pv_dot_four(qs_pv a, qs_pv u, const uint8_t *x, int i)
{
    const int8x16_t q = vreinterpretq_s8_u8(vld1q_u8(x + i / 4 * 16));
    return (qs_pv){ qs_pv_dot_four4(a.a, u.a, q, i % 4), qs_pv_dot_four4(a.b, u.b, q, i % 4) };
}

/* a + two products of int16. */
QS_INLINE int32x4_t qs_pv_dot24(int32x4_t a, int32x4_t x, int32x4_t y)
{
    const int16x8_t u = vreinterpretq_s16_s32(x), v = vreinterpretq_s16_s32(y);
    return vaddq_s32(a, vpaddq_s32(vmull_s16(vget_low_s16(u), vget_low_s16(v)), vmull_high_s16(u, v)));
}
QS_BOTH3(qs_pv_dot2, qs_pv, qs_pv, qs_pv, qs_pv, qs_pv_dot24)

QS_INLINE qs_pv qs_pv_words32(const void *p)
{
    const uint16x8_t v = vreinterpretq_u16_u8(vld1q_u8(p));
    return (qs_pv){ vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(v))), vreinterpretq_s32_u32(vmovl_high_u16(v)) };
}
QS_INLINE qs_pv qs_pv_bytes32(const uint8_t *p)
{
    const uint16x8_t v = vmovl_u8(vld1_u8(p));
    return (qs_pv){ vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(v))), vreinterpretq_s32_u32(vmovl_high_u16(v)) };
}
QS_INLINE qs_pv qs_pv_spread(const void *four) /* bytes, to every row */
{
    int32_t x;
    memcpy(&x, four, 4);
    return i_all(x);
}

QS_INLINE qs_pf qs_pf_load(const float *p) { return v_load(p); }
QS_INLINE void qs_pf_store(float *p, qs_pf v) { v_store(p, v); }
QS_INLINE qs_pf qs_pf_zero(void) { return v_all(0); }
QS_INLINE qs_pf qs_pf_all(float x) { return v_all(x); }
QS_INLINE qs_pf qs_pf_mul(qs_pf a, qs_pf b) { return v_mul(a, b); }
QS_INLINE qs_pf qs_pf_fma(qs_pf a, qs_pf b, qs_pf c) { return v_fused(a, b, c); }
QS_INLINE qs_pf qs_pf_fma_less(qs_pf a, qs_pf b, qs_pf c) { return v_fused_less(a, b, c); } /* c - a * b */
QS_INLINE qs_pf qs_pf_from(qs_pv a) { return v_of(a); }
QS_INLINE qs_pf qs_pf_bits(qs_pv a) { return v_bits(a); }
QS_INLINE qs_pf qs_pf_halves(const void *p)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (qs_pf){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}

/* Sums of 16 activations (Q8K), sixteen of them; `out` is aligned. Each times its own of `by`; */
QS_INLINE void qs_p_sums_times(const int16_t *sums, const int32_t *by, int32_t *out)
{
    for (int i = 0; i < 16; i += 4)
        vst1q_s32(out + i, vmulq_s32(vmovl_s16(vld1_s16(sums + i)), vld1q_s32(by + i)));
}
/* the sums of two neighbours times `by`; */
QS_INLINE void qs_p_pair_sums_times(const int16_t *sums, int16_t by, int32_t *out)
{
    for (int i = 0; i < 16; i += 8)
        vst1q_s32(out + i / 2, vmulq_n_s32(vpaddlq_s16(vld1q_s16(sums + i)), by));
}
/* as pairs of int16: (0, 2), (1, 3), (4, 6), (5, 7) ...; */
QS_INLINE int16x8_t qs_p_cross(int16x8_t s)
{
    static const uint8_t place[16] = { 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15 };
    return vreinterpretq_s16_u8(vqtbl1q_u8(vreinterpretq_u8_s16(s), vld1q_u8(place)));
}
QS_INLINE void qs_p_crossed(const int16_t *sums, int32_t *out)
{
    for (int i = 0; i < 16; i += 8)
        vst1q_s32(out + i / 2, vreinterpretq_s32_s16(qs_p_cross(vld1q_s16(sums + i))));
}
/* the sums of two neighbours as such pairs. */
QS_INLINE void qs_p_crossed_pairs(const int16_t *sums, int32_t *out)
{
    const int32x4_t low = vpaddlq_s16(vld1q_s16(sums)), high = vpaddlq_s16(vld1q_s16(sums + 8));
    vst1q_s32(out, vreinterpretq_s32_s16(qs_p_cross(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)))));
}

/* Memory is read in the order of the text, here. */
QS_INLINE void qs_p_in_order(void) { __asm__ volatile("" ::: "memory"); }
/* Asks for a line; into the second cache. */
QS_INLINE void qs_p_ahead(const uint8_t *p) { __builtin_prefetch(p, 0, 3); }
QS_INLINE void qs_p_far_ahead(const uint8_t *p) { __builtin_prefetch(p, 0, 2); }

#endif
