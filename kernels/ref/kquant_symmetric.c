/* kquant_symmetric.c - Q3_K and Q6_K: x ~ d*scale*(code - half), with one signed scale per sub-block of 16.
 *
 * Encoding gives the bytes of llama.cpp's encoder (see ref.h). Codes are one byte per weight in the order of the
 * weights: 0..7 means -4..3 (Q3_K), 0..63 means -32..31 (Q6_K). Owns nothing, allocates nothing, thread-safe.
 *
 * A super-block whose weights are not finite gets some valid block; an infinite weight usually makes d infinite or NaN,
 * which `scan` finds.
 *
 * Round: the code whose decoded float lies nearest; when two are equally near, the one that x/s rounds to, ties to
 * even; NaN gets the code of zero. Where a sub-block's scale is zero all codes decode alike: round gives 0, fit leaves
 * what its search had.
 */
#include "kernels/ref/kquant.h"
#include "kernels/ref/ref.h"

enum { SUB = 16, Q3_HALF = 4, Q6_HALF = 32 };

/* ---- fit */

/* The unweighted search of Q3_K: round once on -4/max, then up to five passes that move one code at a time to where the
 * scale fitted to all others would put it, when that raises (sum w x l)^2 / sum w l^2 with w = x^2. Returns the scale.
 */
static float search_q3_plain(const float *x, uint8_t *code)
{
    float max = 0, amax = 0, sumlx = 0, suml2 = 0;
    int l[SUB];
    for (int i = 0; i < SUB; i++) {
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            max = x[i];
        }
    }
    memset(code, 0, SUB);
    if (amax < QS_SEARCH_EPS)
        return 0;
    float inv = -(float)Q3_HALF / max;
    for (int i = 0; i < SUB; i++) {
        l[i] = qs_clamp_int(qs_nearest_int(inv * x[i]), -Q3_HALF, Q3_HALF - 1);
        float w = x[i] * x[i];
        sumlx += w * x[i] * (float)l[i];
        suml2 += w * (float)l[i] * (float)l[i];
    }
    for (int pass = 0, moved = 1; pass < 5 && moved; pass++) {
        moved = 0;
        for (int i = 0; i < SUB; i++) {
            float w = x[i] * x[i];
            float slx = sumlx - w * x[i] * (float)l[i], sl2 = suml2 - w * (float)l[i] * (float)l[i];
            if (!(slx > 0))
                continue;
            int to = qs_clamp_int(qs_nearest_int(x[i] * sl2 / slx), -Q3_HALF, Q3_HALF - 1);
            if (to == l[i])
                continue;
            slx += w * x[i] * (float)to;
            sl2 += w * (float)to * (float)to;
            if (sl2 > 0 && slx * slx * suml2 > sumlx * sumlx * sl2) {
                l[i] = to;
                sumlx = slx;
                suml2 = sl2;
                moved = 1;
            }
        }
    }
    for (int i = 0; i < SUB; i++)
        code[i] = (uint8_t)(l[i] + Q3_HALF);
    return suml2 > 0 ? sumlx / suml2 : 0;
}

/* The search's codes belong to real scales; with the stored ones every code is rounded again. */
static void round_to_stored(const float *x, const struct qs_grid_k16 *g, int half, uint8_t *codes)
{
    float d = qs_f16_to_f32(g->d);
    for (int j = 0; j < QS_SUPER / SUB; j++) {
        float s = d * (float)g->scale[j];
        if (s == 0)
            continue;
        for (int k = j * SUB; k < (j + 1) * SUB; k++)
            codes[k] = (uint8_t)(half + qs_clamp_int(qs_nearest_int(x[k] / s), -half, half - 1));
    }
}

static void q3_k_fit_block(const float *x, const float *w, void *grid, uint8_t *codes)
{
    struct qs_grid_k16 *g = grid;
    float scale[16];
    if (w) {
        float weight[SUB], sum[16], sumx2 = 0;
        uint8_t of_scale[16];
        for (int k = 0; k < QS_SUPER; k++)
            sumx2 += x[k] * x[k];
        float sigma2 = 2 * sumx2 / QS_SUPER;
        for (int j = 0; j < 16; j++) {
            const float *xs = x + j * SUB, *ws = w + j * SUB;
            sum[j] = 0;
            for (int k = 0; k < SUB; k++) {
                weight[k] = ws[k] * sqrtf(sigma2 + xs[k] * xs[k]);
                sum[j] += weight[k];
            }
            scale[j] = qs_search_symmetric(SUB, Q3_HALF, xs, weight, codes + j * SUB);
        }
        float d = qs_search_symmetric(16, 32, scale, sum, of_scale);
        qs_k_q3_grid_searched(d, of_scale, g);
    } else {
        for (int j = 0; j < 16; j++)
            scale[j] = search_q3_plain(x + j * SUB, codes + j * SUB);
        qs_k_q3_grid_plain(scale, g);
    }
    round_to_stored(x, g, Q3_HALF, codes);
}

static void q6_k_fit_block(const float *x, const float *w, void *grid, uint8_t *codes)
{
    float scale[16];
    for (int j = 0; j < 16; j++)
        scale[j] = qs_search_symmetric(SUB, Q6_HALF, x + j * SUB, w ? w + j * SUB : NULL, codes + j * SUB);
    if (qs_k_q6_grid(scale, grid))
        round_to_stored(x, grid, Q6_HALF, codes);
    else
        memset(codes, 0, QS_SUPER);
}

void qs_ref_q3_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_k_fit_rows(in, sizeof(struct qs_grid_k16), grid, codes, q3_k_fit_block);
}

void qs_ref_q6_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_k_fit_rows(in, sizeof(struct qs_grid_k16), grid, codes, q6_k_fit_block);
}

/* ---- round */

static void round_k16(const struct qs_rows *in, const void *grid, int half, void *codes)
{
    const struct qs_grid_k16 *g = grid;
    uint8_t *c = codes;
    for (size_t row = 0; row < in->rows; row++) {
        for (size_t col = 0; col + QS_SUPER <= in->cols; col += QS_SUPER, g++, c += QS_SUPER) {
            const float *x = in->x + row * in->stride + col;
            float d = qs_f16_to_f32(g->d);
            for (int k = 0; k < QS_SUPER; k++) {
                float s = d * (float)g->scale[k / SUB];
                c[k] = s == 0 ? 0 : (uint8_t)(half + qs_nearest_on_line(x[k], s, 0, -half, half - 1));
            }
        }
    }
}

void qs_ref_q3_k_round(const struct qs_rows *in, const void *grid, void *codes) { round_k16(in, grid, Q3_HALF, codes); }
void qs_ref_q6_k_round(const struct qs_rows *in, const void *grid, void *codes) { round_k16(in, grid, Q6_HALF, codes); }

/* ---- pack */

/* Sixteen 6-bit scales in twelve bytes: nibbles j and j + 8 in byte j, the upper two bits of 4i + j in byte 8 + j. */
static void pack_q3_scales(const int8_t scale[16], uint8_t out[12])
{
    for (int j = 0; j < 8; j++)
        out[j] = (uint8_t)(((scale[j] + 32) & 15) | ((scale[j + 8] + 32) & 15) << 4);
    for (int j = 0; j < 4; j++) {
        int bits = 0;
        for (int i = 0; i < 4; i++)
            bits |= ((scale[4 * i + j] + 32) >> 4 & 3) << (2 * i);
        out[8 + j] = (uint8_t)bits;
    }
}

static void unpack_q3_scales(const uint8_t in[12], int8_t scale[16])
{
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? in[j] & 15 : in[j - 8] >> 4;
        scale[j] = (int8_t)((low | (in[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32);
    }
}

/* Low two bits of four weights to a byte: byte l of each half of a block holds weights l, l + 32, l + 64, l + 96. */
static void pack_low_bits(const uint8_t *codes, uint8_t *restrict out)
{
    for (int half = 0; half < 2; half++, codes += 128, out += 32)
        for (int l = 0; l < 32; l++)
            out[l] = (uint8_t)((codes[l] & 3) | (codes[l + 32] & 3) << 2 | (codes[l + 64] & 3) << 4 |
                               codes[l + 96] << 6);
}

/* Bit j of byte l: third bit of weight 32j + l. */
static void pack_third_bit(const uint8_t *codes, uint8_t *restrict out)
{
    memset(out, 0, 32);
    for (int j = 0; j < 8; j++, codes += 32)
        for (int l = 0; l < 32; l++)
            out[l] = (uint8_t)(out[l] | (codes[l] >> 2 & 1) << j);
}

/* Of each half of a block: low nibbles of quarters 0 and 2, then 1 and 3, two to a byte; upper bits of all four. */
static void pack_6bit(const uint8_t *c, uint8_t *restrict low, uint8_t *restrict high)
{
    for (int half = 0; half < 2; half++, c += 128, low += 64, high += 32) {
        for (int l = 0; l < 64; l++)
            low[l] = (uint8_t)((c[l] & 15) | c[l + 64] << 4);
        for (int l = 0; l < 32; l++)
            high[l] = (uint8_t)(c[l] >> 4 | c[l + 32] >> 4 << 2 | c[l + 64] >> 4 << 4 | c[l + 96] >> 4 << 6);
    }
}

void qs_ref_q3_k_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_k16 *g = grid;
    const uint8_t *c = codes;
    struct qs_block_q3_k *b = (struct qs_block_q3_k *)dst->p[0];
    for (size_t i = 0; i < rows * (cols / QS_SUPER); i++, g++, b++, c += QS_SUPER) {
        b->d = g->d;
        pack_q3_scales(g->scale, b->scales);
        pack_third_bit(c, b->hmask);
        pack_low_bits(c, b->qs);
    }
}

void qs_ref_q6_k_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_k16 *g = grid;
    const uint8_t *c = codes;
    struct qs_block_q6_k *b = (struct qs_block_q6_k *)dst->p[0];
    for (size_t i = 0; i < rows * (cols / QS_SUPER); i++, g++, b++, c += QS_SUPER) {
        b->d = g->d;
        memcpy(b->scales, g->scale, 16);
        pack_6bit(c, b->ql, b->qh);
    }
}

/* ---- decode */

static void decode_q3_k(const struct qs_block_q3_k *b, float *restrict y)
{
    int8_t scale[16];
    float d = qs_f16_to_f32(b->d);
    unpack_q3_scales(b->scales, scale);
    for (int j = 0; j < 16; j++, y += SUB) {
        const uint8_t *q = b->qs + j / 8 * 32 + j % 2 * SUB, *high = b->hmask + j % 2 * SUB;
        const int shift = j % 8 / 2 * 2, bit = j / 2;
        float s = d * (float)scale[j];
        for (int l = 0; l < SUB; l++)
            y[l] = s * (float)(((q[l] >> shift & 3) | (high[l] >> bit & 1) << 2) - Q3_HALF);
    }
}

static void decode_q6_k(const struct qs_block_q6_k *b, float *restrict y)
{
    float d = qs_f16_to_f32(b->d);
    for (int j = 0; j < 16; j++, y += SUB) {
        const int quarter = j % 8 / 2, at = j % 2 * SUB; /* quarters of 32 weights in each half of the block */
        const uint8_t *low = b->ql + j / 8 * 64 + quarter % 2 * 32 + at, *high = b->qh + j / 8 * 32 + at;
        const int shift = quarter / 2 * 4, bits = quarter * 2;
        float s = d * (float)b->scales[j];
        for (int l = 0; l < SUB; l++)
            y[l] = s * (float)(((low[l] >> shift & 15) | (high[l] >> bits & 3) << 4) - Q6_HALF);
    }
}

void qs_ref_q3_k_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const struct qs_block_q3_k *b = (const struct qs_block_q3_k *)src->p[0];
    for (size_t row = 0; row < rows; row++)
        for (size_t col = 0; col + QS_SUPER <= cols; col += QS_SUPER)
            decode_q3_k(b++, dst + row * stride + col);
}

void qs_ref_q6_k_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const struct qs_block_q6_k *b = (const struct qs_block_q6_k *)src->p[0];
    for (size_t row = 0; row < rows; row++)
        for (size_t col = 0; col + QS_SUPER <= cols; col += QS_SUPER)
            decode_q6_k(b++, dst + row * stride + col);
}

/* ---- scan */

size_t qs_ref_q3_k_scan(const struct qs_const_parts *src, size_t rows, size_t cols)
{
    size_t d = offsetof(struct qs_block_q3_k, d);
    return qs_k_scan(src->p[0], rows * (cols / QS_SUPER), sizeof(struct qs_block_q3_k), d, d);
}

size_t qs_ref_q6_k_scan(const struct qs_const_parts *src, size_t rows, size_t cols)
{
    size_t d = offsetof(struct qs_block_q6_k, d);
    return qs_k_scan(src->p[0], rows * (cols / QS_SUPER), sizeof(struct qs_block_q6_k), d, d);
}
