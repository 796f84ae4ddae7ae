/* attend.c - the pieces of attention (attend.h) by NEON: kernels/attend_text.h with the vectors of this folder. */
#include <math.h>

#include "kernels/arm_neon/funcs8.h"
#include "kernels/attend.h"
#include "kernels/blocks.h"

typedef vf vec;

#define W 8
#define NV 2

enum { TILE = QS_ATTEND_TILE };

QS_INLINE vec v_zero(void) { return v_all(0); }
QS_INLINE vec v_set1(float x) { return v_all(x); }
QS_INLINE vec v_fma(vec a, vec b, vec c) { return v_fused(a, b, c); }
QS_INLINE vec v_exp(vec x) { return exp8(x); }
QS_INLINE float v_sum16(vec low, vec high) { return v_sum8(v_add(low, high)); }

QS_INLINE vec load_f32(const uint8_t *row, size_t i) { return v_bits(i_load(row + 4 * i)); }

QS_INLINE vec halves(const uint8_t *p)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (vec){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}
QS_INLINE vec load_f16(const uint8_t *row, size_t i) { return halves(row + 2 * i); }

QS_INLINE vec scaled(uint16_t d, int8x8_t codes)
{
    const int16x8_t v = vmovl_s8(codes);
    const float scale = vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(d))), 0);
    return v_mul(v_of((vi){ vmovl_s16(vget_low_s16(v)), vmovl_high_s16(v) }), v_all(scale));
}

QS_INLINE vec load_q8_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q8_0 *b = (const struct qs_block_q8_0 *)(const void *)row + i / 32;
    return scaled(b->d, vld1_s8(b->qs + i % 32));
}

QS_INLINE vec load_q4_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q4_0 *b = (const struct qs_block_q4_0 *)(const void *)row + i / 32;
    const uint8x8_t bytes = vld1_u8(b->qs + i % 16);
    const uint8x8_t codes = i % 32 < 16 ? vand_u8(bytes, vdup_n_u8(15)) : vshr_n_u8(bytes, 4);
    return scaled(b->d, vsub_s8(vreinterpret_s8_u8(codes), vdup_n_s8(8)));
}

/* ---- codes: four in 32 bits */

typedef vi ivec;

#define CODES 4
#define NQ_CODES 2
#define OFFSET_Q8_0 0
#define OFFSET_Q4_0 0

QS_INLINE ivec v_izero(void) { return i_all(0); }
QS_INLINE ivec v_iset1(int32_t x) { return i_all(x); }
QS_INLINE ivec v_iload(const float *p) { return i_load(p); }
QS_INLINE vec v_join(ivec high, ivec low) { return v_of(i_add(i_shift_left(high, 8), low)); }
QS_INLINE int32x4_t v_dot4(int32x4_t sum, int32x4_t a, int32x4_t b)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}
QS_BOTH3(v_dot, ivec, ivec, ivec, ivec, v_dot4)

typedef uint8x16_t pick_fn(const uint8_t *block, int quad);

QS_INLINE uint8x16_t pick_q8_0(const uint8_t *block, int quad) { return vld1q_u8(block + 2 + 16 * quad); }

QS_INLINE uint8x16_t pick_q4_0(const uint8_t *block, int quad)
{
    const uint8x16_t bytes = vld1q_u8(block + 2);
    return vsubq_u8(quad == 0 ? vandq_u8(bytes, vdupq_n_u8(15)) : vshrq_n_u8(bytes, 4), vdupq_n_u8(8));
}

/* ---- rows to columns */

/* Four numbers of each of four rows. */
QS_INLINE void turn_four(const float32x4_t rows[4], float *to)
{
    float32x4_t columns[4];
    v_turn4(rows, columns);
    for (int i = 0; i < 4; i++)
        vst1q_f32(to + i * TILE, columns[i]);
}

QS_INLINE void turn_f32(const uint8_t *const *row, size_t at, float *to)
{
    for (int k = 0; k < 8; k += 4) {
        float32x4_t rows[4];
        for (int i = 0; i < 4; i++)
            rows[i] = vreinterpretq_f32_u8(vld1q_u8(row[k + i] + at));
        turn_four(rows, to + k);
    }
}

QS_INLINE void turn_picked(pick_fn *pick, const uint8_t *const *row, size_t at, int quad, float *to)
{
    for (int k = 0; k < 8; k += 4) {
        float32x4_t rows[4];
        for (int i = 0; i < 4; i++)
            rows[i] = vreinterpretq_f32_u8(pick(row[k + i] + at, quad));
        turn_four(rows, to + k);
    }
}

QS_INLINE void turn_f16(const uint8_t *const *row, size_t at, float *to)
{
    for (int k = 0; k < 16; k += 4) {
        float32x4_t low[4], high[4];
        for (int i = 0; i < 4; i++) {
            const vec v = halves(row[k + i] + at);
            low[i] = v.a;
            high[i] = v.b;
        }
        turn_four(low, to + k);
        turn_four(high, to + 4 * TILE + k);
    }
}

QS_INLINE void put_halves(float *to, const uint16_t *d)
{
    v_store(to, halves((const uint8_t *)d));
    v_store(to + 8, halves((const uint8_t *)(d + 8)));
}

QS_INLINE void join16(const uint8_t *row, size_t apart, int16_t *to)
{
    for (int i = 0; i < 16; i += 8) {
        const int16x8_t high = vmovl_s8(vreinterpret_s8_u8(vld1_u8(row + i)));
        vst1q_s16(to + i, vaddw_s8(vshlq_n_s16(high, 8), vreinterpret_s8_u8(vld1_u8(row + apart + i))));
    }
}

#include "kernels/attend_text.h"

void qs_neon_attend(struct qs_attend_ops *ops) { fill(ops); }
