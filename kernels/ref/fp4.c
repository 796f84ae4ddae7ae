/* fp4.c - MXFP4 (32 E2M1 weights, power-of-two scale) and NVFP4 (groups of 16 with an UE4M3 scale).
 *
 * Layouts after the OCP Microscaling specification 1.0 and NVIDIA's NVFP4, as stored by llama.cpp. The scale follows
 * from the largest magnitude; each weight takes the nearest of the 16 values, the lower index winning ties in the
 * reference's order (so -0 is never chosen). Importance is ignored. `round` measures distances in double.
 *
 * Not finite input: NaN weights get code 0; an infinite one makes the whole MXFP4 block (NVFP4: group at the largest
 * scale) finite but meaningless. MXFP4 blocks whose largest magnitude is below 2^-125 would need a negative exponent
 * field: the reference converts a negative float to an unsigned byte there, which C leaves undefined; here they get the
 * smallest scale, 0.
 */
#include <math.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/search.h"

const int8_t qs_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* The reference's choice: distance in float, first of equals. */
static uint8_t e2m1_code(float x, float d)
{
    int best = 0;
    float best_err = fabsf(0 * d - x);
    for (int i = 1; i < 16; i++) {
        float err = fabsf((float)qs_e2m1[i] * d - x);
        if (err < best_err) {
            best = i;
            best_err = err;
        }
    }
    return (uint8_t)best;
}

static float magnitude(const float *x, int n)
{
    float amax = 0;
    for (int k = 0; k < n; k++)
        amax = amax < fabsf(x[k]) ? fabsf(x[k]) : amax;
    return amax;
}

/* ---- MXFP4 */

/* floor(log2 of amax) with the logarithm rounded to float first: just below a power of two that rounds up. */
static uint8_t e8m0_for(float amax)
{
    float v = floorf((float)log2((double)amax)) - 2 + 127;
    return v > 0 && v < 256 ? (uint8_t)v : 0;
}

static void decode_mxfp4(const struct qs_block_mxfp4 *b, float *y)
{
    const float d = qs_e8m0_half(b->e);
    for (int k = 0; k < 16; k++) {
        y[k] = (float)qs_e2m1[b->qs[k] & 15] * d;
        y[k + 16] = (float)qs_e2m1[b->qs[k] >> 4] * d;
    }
}

static void fit_mxfp4(const float *x, size_t cols, const float *w, struct qs_grid_mxfp4 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += 32, x += 32, code += 32, g++) {
        const float amax = magnitude(x, 32);
        *g = (struct qs_grid_mxfp4){.e = amax > 0 ? e8m0_for(amax) : 0};
        const float d = qs_e8m0_half(g->e);
        for (int k = 0; k < 32; k++)
            code[k] = e2m1_code(x[k], d);
    }
}

static void round_mxfp4(const float *x, const struct qs_grid_mxfp4 *g, uint8_t *code)
{
    const float d = qs_e8m0_half(g->e);
    for (int k = 0; k < 32; k++)
        code[k] = (uint8_t)qs_nearest_of_table(x[k], d, qs_e2m1, 16);
}

static void pack_mxfp4(const struct qs_grid_mxfp4 *g, const uint8_t *code, struct qs_block_mxfp4 *b)
{
    b->e = g->e;
    for (int k = 0; k < 16; k++)
        b->qs[k] = (uint8_t)((code[k] & 15) | (code[k + 16] & 15) << 4);
}

static bool bad_mxfp4(const struct qs_block_mxfp4 *b) { return b->e == 0xff; }

QS_BLOCKWISE(mxfp4, 32)

/* ---- NVFP4 */

/* Half of the UE4M3 value: exponent bias 7, three bits of mantissa; 0x7f (NaN) reads as zero, the top bit is ignored. */
static float ue4m3_half(uint8_t v)
{
    const uint32_t exp = v >> 3 & 15, man = v & 7;
    if (v == 0x7f)
        return 0;
    if (exp == 0)
        return (float)man * 0x1p-10f;
    return qs_bits_f32((exp + 119) << 23 | man << 20);
}

/* Nearest UE4M3 (ties away from zero), at most 448 = 0x7e; from 256 on everything becomes 448, as in the reference. */
static uint8_t ue4m3_for(float x)
{
    if (!(x > 0))
        return 0;
    if (x >= 256)
        return 0x7e;
    if (x < 0x1p-6f) {
        int man = (int)(x * 512 + 0.5f);
        return (uint8_t)(man > 7 ? 7 : man);
    }
    /* Adding half a unit carries into the exponent by itself. */
    uint32_t v = (qs_f32_bits(x) + (1u << 19)) >> 20;
    v -= 120u << 3;
    return (uint8_t)(v >= 15u << 3 ? 0x7e : v);
}

static void decode_nvfp4(const struct qs_block_nvfp4 *b, float *y)
{
    for (int s = 0; s < 4; s++, y += 16) {
        const float d = ue4m3_half(b->d[s]);
        for (int k = 0; k < 8; k++) {
            y[k] = (float)qs_e2m1[b->qs[8 * s + k] & 15] * d;
            y[k + 8] = (float)qs_e2m1[b->qs[8 * s + k] >> 4] * d;
        }
    }
}

static void fit_nvfp4(const float *x, size_t cols, const float *w, struct qs_grid_nvfp4 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += 64, g++)
        for (int s = 0; s < 4; s++, x += 16, code += 16) {
            g->d[s] = ue4m3_for(magnitude(x, 16) / 6.0f);
            const float d = ue4m3_half(g->d[s]);
            for (int k = 0; k < 16; k++)
                code[k] = e2m1_code(x[k], d);
        }
}

static void round_nvfp4(const float *x, const struct qs_grid_nvfp4 *g, uint8_t *code)
{
    for (int k = 0; k < 64; k++)
        code[k] = (uint8_t)qs_nearest_of_table(x[k], ue4m3_half(g->d[k / 16]), qs_e2m1, 16);
}

static void pack_nvfp4(const struct qs_grid_nvfp4 *g, const uint8_t *code, struct qs_block_nvfp4 *b)
{
    for (int s = 0; s < 4; s++, code += 16) {
        b->d[s] = g->d[s];
        for (int k = 0; k < 8; k++)
            b->qs[8 * s + k] = (uint8_t)((code[k] & 15) | (code[k + 8] & 15) << 4);
    }
}

static bool bad_nvfp4(const struct qs_block_nvfp4 *b)
{
    return b->d[0] == 0x7f || b->d[1] == 0x7f || b->d[2] == 0x7f || b->d[3] == 0x7f;
}

QS_BLOCKWISE(nvfp4, 64)
