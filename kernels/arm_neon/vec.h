/* vec.h - eight lanes as two vectors of NEON, under the names that the common text of kernels/lanes uses; and what the other
 * files of this folder need besides.
 *
 * vf: floats, vi: 32-bit integers, vm: a lane's yes or no. Comparisons are the ordered ones (NaN says no) unless their name
 * begins with not_. Every operation is rounded once; nothing is fused but what says so.
 */
#ifndef QS_KERNELS_ARM_NEON_VEC_H
#define QS_KERNELS_ARM_NEON_VEC_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/inline.h"

enum { LANES = 8 };
#define QS_LANES(name) qs_neon_lanes_##name /* functions that several files of this folder share */
#define QS_LEVEL(name) qs_neon_##name

typedef struct { float32x4_t a, b; } vf;
typedef struct { int32x4_t a, b; } vi;
typedef struct { uint32x4_t a, b; } vm;

/* A function of both halves alike. */
#define QS_BOTH1(name, R, A, op) QS_INLINE R name(A x) { return (R){ op(x.a), op(x.b) }; }
#define QS_BOTH2(name, R, A, B, op) QS_INLINE R name(A x, B y) { return (R){ op(x.a, y.a), op(x.b, y.b) }; }
#define QS_BOTH3(name, R, A, B, C, op)                                                                                 \
    QS_INLINE R name(A x, B y, C z) { return (R){ op(x.a, y.a, z.a), op(x.b, y.b, z.b) }; }

/* ---- floats */

QS_INLINE vf v_all(float x) { return (vf){ vdupq_n_f32(x), vdupq_n_f32(x) }; }
QS_INLINE vf v_load(const float *p) { return (vf){ vld1q_f32(p), vld1q_f32(p + 4) }; }
QS_INLINE void v_store(float *p, vf v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
}
QS_BOTH2(v_add, vf, vf, vf, vaddq_f32)
QS_BOTH2(v_sub, vf, vf, vf, vsubq_f32)
QS_BOTH2(v_mul, vf, vf, vf, vmulq_f32)
QS_BOTH2(v_div, vf, vf, vf, vdivq_f32)
QS_BOTH1(v_sqrt, vf, vf, vsqrtq_f32)
QS_BOTH1(v_abs, vf, vf, vabsq_f32)
QS_BOTH1(v_minus, vf, vf, vnegq_f32)
QS_BOTH1(v_round, vf, vf, vrndnq_f32)
QS_BOTH1(v_trunc, vf, vf, vrndq_f32)

/* b where one is NaN. */
QS_INLINE float32x4_t v_min4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
QS_INLINE float32x4_t v_max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
QS_BOTH2(v_min, vf, vf, vf, v_min4)
QS_BOTH2(v_max, vf, vf, vf, v_max4)

/* a * b + c and c - a * b, rounded once. */
QS_INLINE float32x4_t v_fma4(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
QS_INLINE float32x4_t v_fma_less4(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmsq_f32(c, a, b); }
QS_BOTH3(v_fused, vf, vf, vf, vf, v_fma4)
QS_BOTH3(v_fused_less, vf, vf, vf, vf, v_fma_less4)

QS_INLINE float v_least(vf v)
{
    const float32x4_t m = vminnmq_f32(v.a, v.b);
    return vminnmvq_f32(m);
}
QS_INLINE float v_most(vf v) /* no NaNs */
{
    const float32x4_t m = vmaxq_f32(v.a, v.b);
    return vmaxvq_f32(m);
}
/* The sum of eight of dot.h. */
QS_INLINE float v_sum8(vf v)
{
    const float32x4_t u = vaddq_f32(v.a, v.b);
    const float32x2_t s = vadd_f32(vget_low_f32(u), vget_high_f32(u));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}

/* ---- yes and no */

QS_INLINE uint32x4_t v_not_equal4(float32x4_t a, float32x4_t b) { return vmvnq_u32(vceqq_f32(a, b)); }
QS_INLINE uint32x4_t v_not_less4(float32x4_t a, float32x4_t b) { return vmvnq_u32(vcltq_f32(a, b)); }
QS_INLINE uint32x4_t v_not_at_most4(float32x4_t a, float32x4_t b) { return vmvnq_u32(vcleq_f32(a, b)); }
QS_BOTH2(v_less, vm, vf, vf, vcltq_f32)
QS_BOTH2(v_at_most, vm, vf, vf, vcleq_f32)
QS_BOTH2(v_more, vm, vf, vf, vcgtq_f32)
QS_BOTH2(v_equal, vm, vf, vf, vceqq_f32)
QS_BOTH2(v_not_equal, vm, vf, vf, v_not_equal4)
QS_BOTH2(v_not_less, vm, vf, vf, v_not_less4)
QS_BOTH2(v_not_at_most, vm, vf, vf, v_not_at_most4)

QS_INLINE vm m_none(void) { return (vm){ vdupq_n_u32(0), vdupq_n_u32(0) }; }
QS_BOTH2(m_and, vm, vm, vm, vandq_u32)
QS_BOTH2(m_or, vm, vm, vm, vorrq_u32)
QS_BOTH2(m_but, vm, vm, vm, vbicq_u32)
QS_INLINE unsigned m_bits(vm m)
{
    static const uint32_t bit[8] = { 1, 2, 4, 8, 16, 32, 64, 128 };
    return vaddvq_u32(vorrq_u32(vandq_u32(m.a, vld1q_u32(bit)), vandq_u32(m.b, vld1q_u32(bit + 4))));
}
QS_INLINE float32x4_t v_pick4(float32x4_t no, float32x4_t yes, uint32x4_t m) { return vbslq_f32(m, yes, no); }
QS_INLINE float32x4_t v_where4(uint32x4_t m, float32x4_t a) { return vbslq_f32(m, a, vdupq_n_f32(0)); }
QS_BOTH3(v_pick, vf, vf, vf, vm, v_pick4)
QS_BOTH2(v_where, vf, vm, vf, v_where4) /* 0 elsewhere */

/* ---- integers */

QS_INLINE vi i_ramp(void)
{
    static const int32_t ramp[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    return (vi){ vld1q_s32(ramp), vld1q_s32(ramp + 4) };
}
QS_INLINE vi i_all(int x) { return (vi){ vdupq_n_s32(x), vdupq_n_s32(x) }; }
QS_INLINE vi i_load(const void *p)
{
    const uint8_t *at = p;
    return (vi){ vreinterpretq_s32_u8(vld1q_u8(at)), vreinterpretq_s32_u8(vld1q_u8(at + 16)) };
}
QS_INLINE void i_store(void *p, vi v)
{
    vst1q_u8(p, vreinterpretq_u8_s32(v.a));
    vst1q_u8((uint8_t *)p + 16, vreinterpretq_u8_s32(v.b));
}
/* Numbers of 16 bits, of which n are left: lists are filled up to a multiple of 8. */
QS_INLINE vi i_load_u16(const uint16_t *p, unsigned n)
{
    (void)n;
    const uint16x8_t v = vld1q_u16(p);
    return (vi){ vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(v))), vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(v))) };
}
QS_BOTH2(i_or, vi, vi, vi, vorrq_s32)
QS_BOTH2(i_and, vi, vi, vi, vandq_s32)
QS_BOTH2(i_add, vi, vi, vi, vaddq_s32)
QS_BOTH2(i_sub, vi, vi, vi, vsubq_s32)
QS_BOTH2(i_mul, vi, vi, vi, vmulq_s32)
QS_BOTH2(i_min, vi, vi, vi, vminq_s32)
QS_BOTH2(i_max, vi, vi, vi, vmaxq_s32)
QS_BOTH2(i_more, vm, vi, vi, vcgtq_s32)
QS_BOTH2(i_equal, vm, vi, vi, vceqq_s32)

/* Shifts by what is a constant once loops are unrolled: operators, because intrinsics want it in the text. */
QS_INLINE vi i_shift_left(vi x, unsigned n)
{
    return (vi){ (int32x4_t)((uint32x4_t)x.a << n), (int32x4_t)((uint32x4_t)x.b << n) };
}
QS_INLINE vi i_shift_right(vi x, unsigned n)
{
    return (vi){ (int32x4_t)((uint32x4_t)x.a >> n), (int32x4_t)((uint32x4_t)x.b >> n) };
}

QS_INLINE int i_least(vi v) { return vminvq_s32(vminq_s32(v.a, v.b)); }
QS_BOTH1(i_bits, vi, vf, vreinterpretq_s32_f32)
QS_BOTH1(v_bits, vf, vi, vreinterpretq_f32_s32)
QS_BOTH1(v_of, vf, vi, vcvtq_f32_s32)
QS_INLINE int32x4_t i_pick4(int32x4_t no, int32x4_t yes, uint32x4_t m) { return vbslq_s32(m, yes, no); }
QS_INLINE int32x4_t i_where4(uint32x4_t m, int32x4_t a) { return vandq_s32(vreinterpretq_s32_u32(m), a); }
QS_BOTH3(i_pick, vi, vi, vi, vm, i_pick4)
QS_BOTH2(i_where, vi, vm, vi, i_where4)

/* The lanes, 0 .. 255 each, as bytes. */
QS_INLINE void i_store_bytes(uint8_t *p, vi v)
{
    vst1_u8(p, vqmovun_s16(vcombine_s16(vqmovn_s32(v.a), vqmovn_s32(v.b))));
}

/* ---- places */

QS_INLINE vf v_repeat_8(const float *p) { return v_load(p); }

/* Lanes of a table, by the lowest bits of every lane of `at`, of which `mask` leaves those that count. */
QS_INLINE vf v_lookup(vf table, vi at, int mask)
{
    const uint8x16x2_t bytes = { { vreinterpretq_u8_f32(table.a), vreinterpretq_u8_f32(table.b) } };
    const vi place = i_add(i_mul(i_and(at, i_all(mask)), i_all(0x04040404)), i_all(0x03020100));
    return (vf){ vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_s32(place.a))),
                 vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_s32(place.b))) };
}
/* Entry of a table that repeats: by the lowest 2 bits of every lane, or 3. */
QS_INLINE vf v_lookup_4(vf table, vi at) { return v_lookup(table, at, 3); }
QS_INLINE vf v_lookup_8(vf table, vi at) { return v_lookup(table, at, 7); }
QS_INLINE vf v_lookup_lanes(vf table, vi at) { return v_lookup(table, at, 7); }

/* Four rows of four become columns. */
QS_INLINE void v_turn4(const float32x4_t in[4], float32x4_t out[4])
{
    const float64x2_t ab0 = vreinterpretq_f64_f32(vtrn1q_f32(in[0], in[1])), ab1 = vreinterpretq_f64_f32(vtrn2q_f32(in[0], in[1]));
    const float64x2_t cd0 = vreinterpretq_f64_f32(vtrn1q_f32(in[2], in[3])), cd1 = vreinterpretq_f64_f32(vtrn2q_f32(in[2], in[3]));
    out[0] = vreinterpretq_f32_f64(vtrn1q_f64(ab0, cd0));
    out[1] = vreinterpretq_f32_f64(vtrn1q_f64(ab1, cd1));
    out[2] = vreinterpretq_f32_f64(vtrn2q_f64(ab0, cd0));
    out[3] = vreinterpretq_f32_f64(vtrn2q_f64(ab1, cd1));
}

/* out[i] lane r = float at + i of row r, for i < 8. */
QS_INLINE void v_transpose(const float *const row[LANES], size_t at, vf out[LANES])
{
    for (size_t h = 0; h < 8; h += 4) {
        float32x4_t in[4], turned[4];
        for (int r = 0; r < 4; r++)
            in[r] = vld1q_f32(row[r] + at + h);
        v_turn4(in, turned);
        for (size_t i = 0; i < 4; i++)
            out[h + i].a = turned[i];
        for (int r = 0; r < 4; r++)
            in[r] = vld1q_f32(row[4 + r] + at + h);
        v_turn4(in, turned);
        for (size_t i = 0; i < 4; i++)
            out[h + i].b = turned[i];
    }
}

#endif
