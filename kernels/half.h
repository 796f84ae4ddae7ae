/* half.h - float16 and bfloat16, to and from float32, by integer arithmetic: the same bits everywhere. */
#ifndef QS_KERNELS_HALF_H
#define QS_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float qs_bits_f32(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline uint32_t qs_f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

/* IEEE 754 binary16 -> binary32, exact; NaN payloads are kept. */
static inline float qs_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 0x1f, man = h & 0x3ff;
    if (exp == 0x1f)
        return qs_bits_f32(sign | 0x7f800000u | man << 13 | (man ? 0x400000u : 0)); /* NaN becomes quiet, as F16C does */
    if (exp == 0) { /* zero or subnormal: man * 2^-24 is exact */
        float f = (float)man * 0x1p-24f;
        return qs_bits_f32(qs_f32_bits(f) | sign);
    }
    return qs_bits_f32(sign | (exp + 112) << 23 | man << 13);
}

/* binary32 -> binary16, round to nearest even, overflow to infinity, NaN quiet. */
static inline uint16_t qs_f32_to_f16(float f)
{
    uint32_t u = qs_f32_bits(f), sign = u >> 16 & 0x8000, abs = u & 0x7fffffff;
    if (abs > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (abs >= 0x477ff000) /* 65520 and above */
        return (uint16_t)(sign | 0x7c00);
    if (abs < 0x38800000) { /* result is subnormal: let the adder round at 2^-24 */
        float r = qs_bits_f32(abs) + 0.5f;
        return (uint16_t)(sign | (qs_f32_bits(r) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((abs - 0x38000000u + 0xfff + (abs >> 13 & 1)) >> 13));
}

static inline float qs_bf16_to_f32(uint16_t h) { return qs_bits_f32((uint32_t)h << 16); }

/* binary32 -> bfloat16, round to nearest even, NaN quiet. */
static inline uint16_t qs_f32_to_bf16(float f)
{
    uint32_t u = qs_f32_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 64);
    return (uint16_t)((u + (0x7fff + (u >> 16 & 1))) >> 16);
}

#endif
