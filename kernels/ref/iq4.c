/* iq4.c - IQ4_NL and IQ4_XS: 4 bits name one of 16 unevenly spaced values.
 *
 * A weight is d * value (IQ4_NL, 32 weights) or d * (scale - 32) * value (IQ4_XS, 256 weights, a 6-bit scale per 32).
 * The encoder tries 16 scales, takes the best least-squares fit, and rounds on that. Non-finite weights, and
 * importances that are not finite or negative, count as zero.
 */
#include "kernels/ref/iq_search.h"

#include <math.h>
#include <string.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"

/* Between two neighbours the reference takes the lower one when x - low < high - x in float. Near the middle both
 * differences are exact, and they are monotonic elsewhere, so this is x < middle (tests walk the neighbourhood). */
const float qs_iq4_middle[15] = {-115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f, 7, 19, 31.5f, 45.5f, 61, 79, 101};

/* Place of the value nearest to x; NaN gives 15, as in the reference. */
static inline unsigned place_of(float x)
{
    unsigned l = !(x < qs_iq4_middle[7]) ? 8 : 0;
    l += !(x < qs_iq4_middle[l + 3]) ? 4 : 0;
    l += !(x < qs_iq4_middle[l + 1]) ? 2 : 0;
    l += !(x < qs_iq4_middle[l]) ? 1 : 0;
    return l;
}

static float scale_ref(const float *x, const float *w)
{
    float size = 0, max = 0, d = 0, best = 0;
    for (int i = 0; i < 32; i++) {
        if (fabsf(x[i]) > size) {
            size = fabsf(x[i]);
            max = x[i];
        }
    }
    if (size < QS_SEARCH_EPS)
        return 0;
    for (int t = -8; t <= 7; t++) { /* -8: the scale that maps the largest weight onto -127, then steps around it */
        float inv = t == -8 ? 1 / (-max / -127) : (float)(t - 127) / max;
        float qx = 0, q2 = 0;
        for (int i = 0; i < 32; i++) {
            float q = qs_iq4_values[place_of(inv * x[i])];
            qx += w[i] * q * x[i];
            q2 += w[i] * q * q;
        }
        if (t == -8) {
            d = q2 > 0 ? qx / q2 : 0;
            best = d * qx;
        } else if (q2 > 0 && qx * qx > best * q2) {
            d = qx / q2;
            best = d * qx;
        }
    }
    return d;
}

static void scales_ref(const float *x, const float *w, int n, float *scale)
{
    for (int g = 0; g < n; g++)
        scale[g] = scale_ref(x + 32 * g, w + 32 * g);
}

static void index_ref(const float *x, float inv, uint8_t *code)
{
    for (int i = 0; i < 32; i++)
        code[i] = (uint8_t)place_of(inv * x[i]);
}

static void weigh_ref(const float *x, const float *importance, float sigma2, int n, float *w)
{
    if (importance) {
        qs_iq_weights(x, importance, sigma2, n, w);
        return;
    }
    for (int i = 0; i < n; i++)
        w[i] = x[i] * x[i];
}

const struct qs_iq4_fns qs_iq4_ref = {scales_ref, index_ref, weigh_ref};

/* sigma2 is the sum times 2/n, where the other formats divide. */
static float sigma2_of(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum * (2.0f / (float)n);
}

static void round32(const float *x, float dl, uint8_t *code)
{
    for (int i = 0; i < 32; i++)
        code[i] = (uint8_t)qs_nearest_of_table(isfinite(x[i]) ? x[i] : 0, dl, qs_iq4_values, 16);
}

static void decode32(const uint8_t *qs, float dl, float *y)
{
    float value[16];
    for (int l = 0; l < 16; l++)
        value[l] = dl * (float)qs_iq4_values[l];
    for (int i = 0; i < 16; i++) {
        y[i] = value[qs[i] & 15];
        y[i + 16] = value[qs[i] >> 4];
    }
}

static void pack32(const uint8_t *code, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(code[i] | code[i + 16] << 4);
}

/* ---- IQ4_NL */

static void decode_iq4_nl(const struct qs_block_iq4_nl *b, float *y) { decode32(b->qs, qs_f16_to_f32(b->d), y); }

static bool bad_iq4_nl(const struct qs_block_iq4_nl *b) { return qs_f16_is_bad(b->d); }

static void fit_row_nl(const struct qs_iq4_fns *fn, const float *row, size_t cols, const float *weight,
                       struct qs_grid_iq4_nl *g, uint8_t *code)
{
    for (size_t i = 0; i < cols; i += 256) { /* eight blocks, or what is left */
        const int n = cols - i < 256 ? (int)(cols - i) : 256;
        float x_room[256], importance_room[256], w[256], scale[8];
        const float *x = qs_iq_finite(row + i, (size_t)n, x_room);
        const float *importance = qs_iq_importance(weight ? weight + i : NULL, (size_t)n, importance_room);
        for (int k = 0; k < n; k += 32)
            fn->weigh(x + k, importance ? importance + k : NULL, sigma2_of(x + k, 32), 32, w + k);
        fn->scales(x, w, n / 32, scale);
        for (int k = 0; k < n / 32; k++, g++, code += 32) {
            *g = (struct qs_grid_iq4_nl){.d = qs_f32_to_f16(scale[k])};
            fn->index(x + 32 * k, fabsf(scale[k]) > 0 ? 1 / scale[k] : 0, code);
        }
    }
}

static void fit_iq4_nl(const float *x, size_t cols, const float *w, struct qs_grid_iq4_nl *g, uint8_t *code)
{
    fit_row_nl(&qs_iq4_ref, x, cols, w, g, code);
}

static void round_iq4_nl(const float *x, const struct qs_grid_iq4_nl *g, uint8_t *code)
{
    round32(x, qs_f16_to_f32(g->d), code);
}

static void pack_iq4_nl(const struct qs_grid_iq4_nl *g, const uint8_t *code, struct qs_block_iq4_nl *b)
{
    b->d = g->d;
    pack32(code, b->qs);
}

QS_BLOCKWISE(iq4_nl, 32)

void qs_iq4_nl_fit_with(const struct qs_iq4_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    for (size_t r = 0; r < in->rows; r++)
        fit_row_nl(fn, in->x + r * in->stride, in->cols, in->weight,
                   (struct qs_grid_iq4_nl *)grid + r * (in->cols / 32), (uint8_t *)codes + r * in->cols);
}

/* ---- IQ4_XS: scales of 6 bits, 4 in scales_l and 2 in scales_h */

static void decode_iq4_xs(const struct qs_block_iq4_xs *b, float *y)
{
    float d = qs_f16_to_f32(b->d);
    for (int j = 0; j < 8; j++) {
        int scale = (b->scales_l[j / 2] >> 4 * (j % 2) & 15) | (b->scales_h >> 2 * j & 3) << 4;
        decode32(b->qs + 16 * j, d * (float)(scale - 32), y + 32 * j);
    }
}

static bool bad_iq4_xs(const struct qs_block_iq4_xs *b) { return qs_f16_is_bad(b->d); }

static void fit_super_xs(const struct qs_iq4_fns *fn, const float *x, const float *importance,
                         struct qs_grid_iq4_xs *g, uint8_t *code)
{
    float x_room[256], importance_room[256], scale[8], w[256], size = 0, max = 0;
    x = qs_iq_finite(x, 256, x_room);
    importance = qs_iq_importance(importance, 256, importance_room);
    fn->weigh(x, importance, importance ? sigma2_of(x, 256) : 0, 256, w);
    fn->scales(x, w, 8, scale);
    for (int j = 0; j < 8; j++) {
        if (fabsf(scale[j]) > size) {
            size = fabsf(scale[j]);
            max = scale[j];
        }
    }
    float d = -max / 32, inv = fabsf(d) > 0 ? 1 / d : 0;
    *g = (struct qs_grid_iq4_xs){.d = qs_f32_to_f16(d)};
    for (int j = 0; j < 8; j++) {
        int l = qs_clamp_int(qs_nearest_int(inv * scale[j]), -32, 31);
        float dl = d * (float)l;
        fn->index(x + 32 * j, fabsf(dl) > 0 ? 1 / dl : 0, code + 32 * j);
        g->scale[j] = (uint8_t)(l + 32);
    }
}

static void fit_row_xs(const struct qs_iq4_fns *fn, const float *x, size_t cols, const float *w,
                       struct qs_grid_iq4_xs *g, uint8_t *code)
{
    for (size_t i = 0; i < cols; i += 256)
        fit_super_xs(fn, x + i, w ? w + i : NULL, g + i / 256, code + i);
}

static void fit_iq4_xs(const float *x, size_t cols, const float *w, struct qs_grid_iq4_xs *g, uint8_t *code)
{
    fit_row_xs(&qs_iq4_ref, x, cols, w, g, code);
}

static void round_iq4_xs(const float *x, const struct qs_grid_iq4_xs *g, uint8_t *code)
{
    for (int j = 0; j < 8; j++)
        round32(x + 32 * j, qs_f16_to_f32(g->d) * (float)(g->scale[j] - 32), code + 32 * j);
}

static void pack_iq4_xs(const struct qs_grid_iq4_xs *g, const uint8_t *code, struct qs_block_iq4_xs *b)
{
    *b = (struct qs_block_iq4_xs){.d = g->d};
    for (int j = 0; j < 8; j++) {
        b->scales_l[j / 2] = (uint8_t)(b->scales_l[j / 2] | (g->scale[j] & 15) << 4 * (j % 2));
        b->scales_h = (uint16_t)(b->scales_h | g->scale[j] >> 4 << 2 * j);
        pack32(code + 32 * j, b->qs + 16 * j);
    }
}

QS_BLOCKWISE(iq4_xs, 256)

void qs_iq4_xs_fit_with(const struct qs_iq4_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    for (size_t r = 0; r < in->rows; r++)
        fit_row_xs(fn, in->x + r * in->stride, in->cols, in->weight,
                   (struct qs_grid_iq4_xs *)grid + r * (in->cols / 256), (uint8_t *)codes + r * in->cols);
}
