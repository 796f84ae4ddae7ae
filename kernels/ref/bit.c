/* bit.c - Q1_0 (sign and mean magnitude of 128 weights) and Q2_0 (64 weights of -d, 0, d, 2d).
 *
 * Q1_0: d is the mean magnitude, the bit is set for x >= 0 (so a tie at zero gives +d, NaN gives -d). Q2_0: d is the
 * largest magnitude, x/d is rounded half away from zero; the code for 2d is never chosen by this encoder, but `round`
 * may. Importance is ignored. Not finite input: in-range codes; the scale may come out not finite. Q2_0 weights whose
 * quotient overflows (largest magnitude below 2^-127) get code 0, as in the reference.
 */
#include <math.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/search.h"

/* ---- Q1_0 */

static void decode_q1_0(const struct qs_block_q1_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 128; k++)
        y[k] = b->qs[k / 8] >> k % 8 & 1 ? d : -d;
}

static void round_q1_0(const float *x, const struct qs_grid_q1_0 *g, uint8_t *code)
{
    (void)g; /* d is never negative: the nearer of -d and +d has the sign of x */
    for (int k = 0; k < 128; k++)
        code[k] = x[k] >= 0;
}

static void fit_q1_0(const float *x, size_t cols, const float *w, struct qs_grid_q1_0 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += 128, x += 128, code += 128, g++) {
        float sum = 0;
        for (int k = 0; k < 128; k++)
            sum += fabsf(x[k]);
        *g = (struct qs_grid_q1_0){.d = qs_f16_scale(sum / 128)};
        round_q1_0(x, g, code);
    }
}

static void pack_q1_0(const struct qs_grid_q1_0 *g, const uint8_t *code, struct qs_block_q1_0 *b)
{
    b->d = g->d;
    for (int i = 0; i < 16; i++, code += 8) {
        int byte = 0;
        for (int k = 0; k < 8; k++)
            byte |= (code[k] & 1) << k;
        b->qs[i] = (uint8_t)byte;
    }
}

static bool bad_q1_0(const struct qs_block_q1_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(q1_0, 128)

/* ---- Q2_0 */

static void decode_q2_0(const struct qs_block_q2_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 64; k++)
        y[k] = (float)((b->qs[k / 4] >> k % 4 * 2 & 3) - 1) * d;
}

static void fit_q2_0(const float *x, size_t cols, const float *w, struct qs_grid_q2_0 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += 64, x += 64, code += 64, g++) {
        float amax = 0;
        for (int k = 0; k < 64; k++)
            amax = fabsf(x[k]) > amax ? fabsf(x[k]) : amax;
        const float id = amax > 0 ? 1.0f / amax : 0.0f;
        for (int k = 0; k < 64; k++)
            code[k] = (uint8_t)qs_clamp_int(qs_trunc_int(roundf(x[k] * id)) + 1, 0, 3);
        *g = (struct qs_grid_q2_0){.d = qs_f16_scale(amax)};
    }
}

static void round_q2_0(const float *x, const struct qs_grid_q2_0 *g, uint8_t *code)
{
    const float d = qs_f16_to_f32(g->d);
    for (int k = 0; k < 64; k++)
        code[k] = (uint8_t)(qs_nearest_on_line(x[k], d, 0, -1, 2) + 1);
}

static void pack_q2_0(const struct qs_grid_q2_0 *g, const uint8_t *code, struct qs_block_q2_0 *b)
{
    b->d = g->d;
    for (int i = 0; i < 16; i++, code += 4)
        b->qs[i] = (uint8_t)((code[0] & 3) | (code[1] & 3) << 2 | (code[2] & 3) << 4 | (code[3] & 3) << 6);
}

static bool bad_q2_0(const struct qs_block_q2_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(q2_0, 64)
