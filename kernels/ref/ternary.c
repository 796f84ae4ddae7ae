/* ternary.c - TQ1_0 and TQ2_0: super-blocks of 256 trits with one float16 scale.
 *
 * The scale is the largest magnitude; every weight becomes -d, 0 or +d by rounding x/d half away from zero (meant for
 * models trained that way; importance is ignored). TQ1_0 stores five trits in a byte as the fraction trits / 243 of 256,
 * rounded up, so that a decoder gets each trit by multiplying with 3 and taking the carry. `round` works on the stored
 * scale; ties go to zero (rounding to even). Not finite input: in-range codes, NaN gives 0; the scale may come out not
 * finite.
 */
#include <math.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/search.h"

static uint16_t fit_trits(const float *x, uint8_t *code)
{
    float amax = 0;
    for (int k = 0; k < QS_SUPER; k++)
        amax = amax > fabsf(x[k]) ? amax : fabsf(x[k]);
    const float id = amax != 0 ? 1.0f / amax : 0.0f;
    for (int k = 0; k < QS_SUPER; k++) {
        float q = roundf(x[k] * id);
        code[k] = (uint8_t)(fabsf(q) <= 1 ? (int)q + 1 : 1);
    }
    return qs_f16_scale(amax);
}

static void round_trits(const float *x, uint16_t d, uint8_t *code)
{
    const float df = qs_f16_to_f32(d);
    for (int k = 0; k < QS_SUPER; k++)
        code[k] = (uint8_t)(qs_nearest_on_line(x[k], df, 0, -1, 1) + 1);
}

/* ---- TQ1_0: bytes 0..31 hold weights m + 32n, bytes 32..47 weights 160 + m + 16n, qh weights 240 + m + 4n */

static const struct trit_group { uint8_t byte0, bytes, trits, weight0; } trit_groups[] = {
    {0, 32, 5, 0}, {32, 16, 5, 160}, {48, 4, 4, 240},
};

static uint8_t *trit_byte(struct qs_block_tq1_0 *b, int i) { return i < 48 ? &b->qs[i] : &b->qh[i - 48]; }

static void decode_tq1_0(const struct qs_block_tq1_0 *b, float *y)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    const float d = qs_f16_to_f32(b->d);
    for (size_t i = 0; i < sizeof trit_groups / sizeof *trit_groups; i++) {
        const struct trit_group *t = &trit_groups[i];
        for (int n = 0; n < t->trits; n++)
            for (int m = 0; m < t->bytes; m++) {
                int at = t->byte0 + m;
                uint8_t q = (uint8_t)((at < 48 ? b->qs[at] : b->qh[at - 48]) * pow3[n]);
                y[t->weight0 + n * t->bytes + m] = (float)((q * 3 >> 8) - 1) * d;
            }
    }
}

static void fit_tq1_0(const float *x, size_t cols, const float *w, struct qs_grid_tq1_0 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += QS_SUPER)
        *g++ = (struct qs_grid_tq1_0){.d = fit_trits(x + i, code + i)};
}

static void round_tq1_0(const float *x, const struct qs_grid_tq1_0 *g, uint8_t *code) { round_trits(x, g->d, code); }

static void pack_tq1_0(const struct qs_grid_tq1_0 *g, const uint8_t *code, struct qs_block_tq1_0 *b)
{
    b->d = g->d;
    for (size_t i = 0; i < sizeof trit_groups / sizeof *trit_groups; i++) {
        const struct trit_group *t = &trit_groups[i];
        for (int m = 0; m < t->bytes; m++) {
            int q = 0;
            for (int n = 0; n < 5; n++)
                q = q * 3 + (n < t->trits ? code[t->weight0 + n * t->bytes + m] : 0);
            *trit_byte(b, t->byte0 + m) = (uint8_t)((q * 256 + 242) / 243);
        }
    }
}

static bool bad_tq1_0(const struct qs_block_tq1_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(tq1_0, QS_SUPER)

/* ---- TQ2_0: byte m of each half of 128 holds weights m + 32n */

static void decode_tq2_0(const struct qs_block_tq2_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < QS_SUPER; k++)
        y[k] = (float)((b->qs[k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3) - 1) * d;
}

static void fit_tq2_0(const float *x, size_t cols, const float *w, struct qs_grid_tq2_0 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += QS_SUPER)
        *g++ = (struct qs_grid_tq2_0){.d = fit_trits(x + i, code + i)};
}

static void round_tq2_0(const float *x, const struct qs_grid_tq2_0 *g, uint8_t *code) { round_trits(x, g->d, code); }

static void pack_tq2_0(const struct qs_grid_tq2_0 *g, const uint8_t *code, struct qs_block_tq2_0 *b)
{
    b->d = g->d;
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = code + i / 32 * 128 + i % 32;
        b->qs[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

static bool bad_tq2_0(const struct qs_block_tq2_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(tq2_0, QS_SUPER)
