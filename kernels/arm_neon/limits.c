/* limits.c - the loops of limits.h by NEON: reading, the dot product of bytes, multiply-add of floats.
 *
 * The empty assembler statements keep the compiler from noticing that the factors never change. */
#include <arm_neon.h>

#include "kernels/limits.h"

static uint64_t read_plain(const uint8_t *p, size_t bytes)
{
    uint64x2_t sum[4] = { vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0) };
    for (const uint8_t *end = p + bytes; p < end; p += 64)
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            sum[k] = vaddq_u64(sum[k], vreinterpretq_u64_u8(vld1q_u8(p + 16 * k)));
    return vaddvq_u64(vaddq_u64(vaddq_u64(sum[0], sum[1]), vaddq_u64(sum[2], sum[3])));
}

static volatile int kept; /* the work must be done */

static void multiply_bytes(size_t rounds)
{
    int8x16_t a = vdupq_n_s8(1);
    const int8x16_t b = vdupq_n_s8(2);
#define SUM(k) int32x4_t s##k = vdupq_n_s32(0);
#define STEP(k) __asm__ volatile("" : "+w"(a)); s##k = vdotq_s32(s##k, a, b);
#define ADD(k) all = vaddq_s32(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    int32x4_t all = vdupq_n_s32(0);
    QS_LIMIT_EACH(ADD)
    kept = vgetq_lane_s32(all, 0);
#undef SUM
#undef STEP
#undef ADD
}

static void multiply_floats(size_t rounds)
{
    float32x4_t a = vdupq_n_f32(0.5f);
    const float32x4_t b = vdupq_n_f32(0x1p-20f);
#define SUM(k) float32x4_t s##k = vdupq_n_f32(0);
#define STEP(k) __asm__ volatile("" : "+w"(a)); s##k = vfmaq_f32(s##k, a, b);
#define ADD(k) all = vaddq_f32(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    float32x4_t all = vdupq_n_f32(0);
    QS_LIMIT_EACH(ADD)
    kept = (int)vgetq_lane_f32(all, 0);
#undef SUM
#undef STEP
#undef ADD
}

static const struct qs_limit_loop loops[] = {
    { QS_LIMIT_READ, "128-bit loads", 0, NULL, read_plain },
    { QS_LIMIT_INT8, "sdot, 128 bits", 32 * QS_LIMIT_SUMS, multiply_bytes, NULL },
    { QS_LIMIT_F32, "fmla, 128 bits", 8 * QS_LIMIT_SUMS, multiply_floats, NULL },
};

size_t qs_neon_limits(const struct qs_limit_loop **out)
{
    *out = loops;
    return sizeof loops / sizeof *loops;
}
