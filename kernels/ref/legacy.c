/* legacy.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 with one float16 scale (and minimum).
 *
 * Without importance the unweighted rule is plain: the scale comes from the extreme weight, codes from dividing by the
 * scale *before* it was rounded to float16. With importance Q4_0 and Q5_0 use the symmetric search, Q4_1 and Q5_1 the
 * affine one, with weights q * sqrt(mean square of the row + x^2); Q8_0 does not look at importance. `round` works on
 * the stored scale; of two equally near codes it takes the one that dividing and rounding to even gives. A scale of
 * zero gives the code of zero.
 *
 * Not finite input: the block gets some scale (perhaps not finite; scan finds it) and in-range codes; a NaN weight takes
 * no part in the choice of the scale where its place allows it and gets code 0. So does a weight whose quotient
 * overflows (blocks whose largest magnitude is below 2^-125). Also here: the readers of the activation formats Q8_1 and
 * Q8_K, which are never stored in files.
 */
#include <float.h>
#include <math.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/legacy.h"

/* ---- what the five have in common */

/* Codes of a byte each -> two nibbles per byte, weight k beside weight k + 16. */
static void pack_nibbles(const uint8_t *code, uint8_t *qs)
{
    for (int k = 0; k < 16; k++)
        qs[k] = (uint8_t)((code[k] & 15) | (code[k + 16] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t *code, uint8_t *qh)
{
    for (int k = 0; k < 32; k++)
        qh[k / 8] = (uint8_t)((k % 8 ? qh[k / 8] : 0) | (code[k] >> 4 & 1) << k % 8);
}

static int nibble(const uint8_t *qs, int k) { return k < 16 ? qs[k] & 15 : qs[k - 16] >> 4; }

static int five_bits(const uint8_t *qs, const uint8_t *qh, int k)
{
    return nibble(qs, k) | (qh[k / 8] >> k % 8 & 1) << 4;
}

/* The weight of largest magnitude, with its sign; the first of equals. */
static float signed_extreme(const float *x)
{
    float amax = 0, max = 0;
    for (int k = 0; k < 32; k++)
        if (amax < fabsf(x[k])) {
            amax = fabsf(x[k]);
            max = x[k];
        }
    return max;
}

static float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

/* x / d + offset, truncated to a signed byte, at most `top`. */
static uint8_t truncated_code(float x, float id, float offset, int top)
{
    int8_t v = (int8_t)qs_trunc_int(x * id + offset);
    return (uint8_t)(v < top ? v : top);
}

/* Mean square of the row: the constant part of every weight's importance. */
static float row_mean_square(const float *x, size_t cols)
{
    float sum = 0;
    for (size_t i = 0; i < cols; i++)
        sum += x[i] * x[i];
    return sum / (float)cols;
}

/* The block itself, or a copy in which every NaN has the same bits, so that no code depends on which of two NaN operands
 * a compiler lets through. */
static const float *tame_nans(const float *x, float *copy)
{
    int found = 0;
    for (int k = 0; k < 32; k++) {
        copy[k] = isnan(x[k]) ? qs_bits_f32(0x7fc00000) : x[k];
        found |= isnan(x[k]);
    }
    return found ? copy : x;
}

static void block_weights(const float *x, const float *importance, float mean_square, float *w)
{
    for (int k = 0; k < 32; k++)
        w[k] = importance[k] * sqrtf(mean_square + x[k] * x[k]);
}

float qs_legacy_symmetric(const float *x, const float *importance, float mean_square, int half, uint8_t *code)
{
    float w[32], copy[32];
    x = tame_nans(x, copy);
    block_weights(x, importance, mean_square, w);
    return qs_search_symmetric(32, half, x, w, code);
}

float qs_legacy_affine(const float *x, const float *importance, float mean_square, int top, uint8_t *code, float *min)
{
    const struct qs_affine_search how = QS_LEGACY_SEARCH(top);
    float w[32], copy[32], minus_min;
    x = tame_nans(x, copy);
    block_weights(x, importance, mean_square, w);
    float d = qs_search_affine(&how, 32, x, w, code, &minus_min);
    *min = -minus_min;
    return d;
}

/* Symmetric row (Q4_0: half = 8, Q5_0: half = 16). Grids are pairs of float16: scale and nothing. */
static void fit_symmetric(const float *x, size_t cols, const float *importance, int half, uint16_t (*grid)[2],
                          uint8_t *code)
{
    const float mean_square = importance ? row_mean_square(x, cols) : 0;
    for (size_t i = 0; i < cols; i += 32, x += 32, code += 32, grid++) {
        float d;
        if (importance) {
            d = qs_legacy_symmetric(x, importance + i, mean_square, half, code);
        } else {
            d = signed_extreme(x) / (float)-half;
            const float id = inverse(d);
            for (int k = 0; k < 32; k++)
                code[k] = truncated_code(x[k], id, (float)half + 0.5f, 2 * half - 1);
        }
        (*grid)[0] = qs_f16_scale(d);
        (*grid)[1] = 0;
    }
}

static float plain_affine(const float *x, int top, float *min_out, uint8_t *code)
{
    float min = FLT_MAX, max = -FLT_MAX;
    for (int k = 0; k < 32; k++) {
        if (x[k] < min)
            min = x[k];
        if (x[k] > max)
            max = x[k];
    }
    const float d = (max - min) / (float)top, id = inverse(d);
    for (int k = 0; k < 32; k++)
        code[k] = truncated_code(x[k] - min, id, 0.5f, top);
    *min_out = min;
    return d;
}

/* Affine row (Q4_1: top = 15, Q5_1: top = 31). Grids are pairs of float16: scale and minimum. */
static void fit_affine(const float *x, size_t cols, const float *importance, int top, uint16_t (*grid)[2],
                       uint8_t *code)
{
    const float mean_square = importance ? row_mean_square(x, cols) : 0;
    for (size_t i = 0; i < cols; i += 32, x += 32, code += 32, grid++) {
        float d, min;
        if (importance)
            d = qs_legacy_affine(x, importance + i, mean_square, top, code, &min);
        else
            d = plain_affine(x, top, &min, code);
        (*grid)[0] = qs_f16_scale(d);
        (*grid)[1] = qs_f16_scale(min);
    }
}

static void round_line(const float *x, uint16_t d, uint16_t m, int lo, int hi, uint8_t *code)
{
    const float df = qs_f16_to_f32(d), mf = qs_f16_to_f32(m);
    for (int k = 0; k < 32; k++)
        code[k] = (uint8_t)(qs_nearest_on_line(x[k], df, mf, lo, hi) - lo);
}

/* ---- Q4_0 */

static void decode_q4_0(const struct qs_block_q4_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 16; k++) {
        y[k] = (float)((b->qs[k] & 15) - 8) * d;
        y[k + 16] = (float)((b->qs[k] >> 4) - 8) * d;
    }
}

static void fit_q4_0(const float *x, size_t cols, const float *w, struct qs_grid_q4_0 *g, uint8_t *code)
{
    fit_symmetric(x, cols, w, 8, (uint16_t (*)[2])(void *)g, code);
}

static void round_q4_0(const float *x, const struct qs_grid_q4_0 *g, uint8_t *code)
{
    round_line(x, g->d, 0, -8, 7, code);
}

static void pack_q4_0(const struct qs_grid_q4_0 *g, const uint8_t *code, struct qs_block_q4_0 *b)
{
    b->d = g->d;
    pack_nibbles(code, b->qs);
}

static bool bad_q4_0(const struct qs_block_q4_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(q4_0, 32)

/* ---- Q4_1 */

static void decode_q4_1(const struct qs_block_q4_1 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d), m = qs_f16_to_f32(b->m);
    for (int k = 0; k < 16; k++) {
        y[k] = (float)(b->qs[k] & 15) * d + m;
        y[k + 16] = (float)(b->qs[k] >> 4) * d + m;
    }
}

static void fit_q4_1(const float *x, size_t cols, const float *w, struct qs_grid_q4_1 *g, uint8_t *code)
{
    fit_affine(x, cols, w, 15, (uint16_t (*)[2])(void *)g, code);
}

static void round_q4_1(const float *x, const struct qs_grid_q4_1 *g, uint8_t *code)
{
    round_line(x, g->d, g->m, 0, 15, code);
}

static void pack_q4_1(const struct qs_grid_q4_1 *g, const uint8_t *code, struct qs_block_q4_1 *b)
{
    b->d = g->d;
    b->m = g->m;
    pack_nibbles(code, b->qs);
}

static bool bad_q4_1(const struct qs_block_q4_1 *b) { return qs_f16_is_bad(b->d) || qs_f16_is_bad(b->m); }

QS_BLOCKWISE(q4_1, 32)

/* ---- Q5_0 */

static void decode_q5_0(const struct qs_block_q5_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 32; k++)
        y[k] = (float)(five_bits(b->qs, b->qh, k) - 16) * d;
}

static void fit_q5_0(const float *x, size_t cols, const float *w, struct qs_grid_q5_0 *g, uint8_t *code)
{
    fit_symmetric(x, cols, w, 16, (uint16_t (*)[2])(void *)g, code);
}

static void round_q5_0(const float *x, const struct qs_grid_q5_0 *g, uint8_t *code)
{
    round_line(x, g->d, 0, -16, 15, code);
}

static void pack_q5_0(const struct qs_grid_q5_0 *g, const uint8_t *code, struct qs_block_q5_0 *b)
{
    b->d = g->d;
    pack_fifth_bits(code, b->qh);
    pack_nibbles(code, b->qs);
}

static bool bad_q5_0(const struct qs_block_q5_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(q5_0, 32)

/* ---- Q5_1 */

static void decode_q5_1(const struct qs_block_q5_1 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d), m = qs_f16_to_f32(b->m);
    for (int k = 0; k < 32; k++)
        y[k] = (float)five_bits(b->qs, b->qh, k) * d + m;
}

static void fit_q5_1(const float *x, size_t cols, const float *w, struct qs_grid_q5_1 *g, uint8_t *code)
{
    fit_affine(x, cols, w, 31, (uint16_t (*)[2])(void *)g, code);
}

static void round_q5_1(const float *x, const struct qs_grid_q5_1 *g, uint8_t *code)
{
    round_line(x, g->d, g->m, 0, 31, code);
}

static void pack_q5_1(const struct qs_grid_q5_1 *g, const uint8_t *code, struct qs_block_q5_1 *b)
{
    b->d = g->d;
    b->m = g->m;
    pack_fifth_bits(code, b->qh);
    pack_nibbles(code, b->qs);
}

static bool bad_q5_1(const struct qs_block_q5_1 *b) { return qs_f16_is_bad(b->d) || qs_f16_is_bad(b->m); }

QS_BLOCKWISE(q5_1, 32)

/* ---- Q8_0: codes are the stored bytes plus 128 */

static void decode_q8_0(const struct qs_block_q8_0 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 32; k++)
        y[k] = (float)b->qs[k] * d;
}

static void fit_q8_0(const float *x, size_t cols, const float *w, struct qs_grid_q8_0 *g, uint8_t *code)
{
    (void)w;
    for (size_t i = 0; i < cols; i += 32, x += 32, code += 32, g++) {
        float amax = 0;
        for (int k = 0; k < 32; k++)
            amax = amax > fabsf(x[k]) ? amax : fabsf(x[k]);
        const float d = amax / 127, id = inverse(d);
        for (int k = 0; k < 32; k++)
            code[k] = (uint8_t)(qs_trunc_int(roundf(x[k] * id)) + 128);
        *g = (struct qs_grid_q8_0){.d = qs_f16_scale(d)};
    }
}

static void round_q8_0(const float *x, const struct qs_grid_q8_0 *g, uint8_t *code)
{
    round_line(x, g->d, 0, -128, 127, code);
}

static void pack_q8_0(const struct qs_grid_q8_0 *g, const uint8_t *code, struct qs_block_q8_0 *b)
{
    b->d = g->d;
    for (int k = 0; k < 32; k++)
        b->qs[k] = (int8_t)(code[k] - 128);
}

static bool bad_q8_0(const struct qs_block_q8_0 *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE(q8_0, 32)

/* ---- activation formats, read only */

static void decode_q8_1(const struct qs_block_q8_1 *b, float *y)
{
    const float d = qs_f16_to_f32(b->d);
    for (int k = 0; k < 32; k++)
        y[k] = (float)b->qs[k] * d;
}

static bool bad_q8_1(const struct qs_block_q8_1 *b) { return qs_f16_is_bad(b->d) || qs_f16_is_bad(b->s); }

QS_BLOCKWISE_READ(q8_1, 32)

static void decode_q8_k(const struct qs_block_q8_k *b, float *y)
{
    for (int k = 0; k < QS_SUPER; k++)
        y[k] = b->d * (float)b->qs[k];
}

static bool bad_q8_k(const struct qs_block_q8_k *b) { return !(b->d - b->d <= 0); }

QS_BLOCKWISE_READ(q8_k, QS_SUPER)
