/* kquant_affine.c - Q2_K, Q4_K, Q5_K: x ~ d*scale*code - dmin*min, with one (scale, min) per sub-block of 16 or 32.
 *
 * Encoding gives the bytes of llama.cpp's encoder (see ref.h). Codes are the stored numbers, one byte per weight in the
 * order of the weights. Owns nothing, allocates nothing, thread-safe.
 *
 * A super-block whose weights are not finite gets some valid block: NaN weights get the code of the minimum, an
 * infinite one makes d or dmin of its block infinite or NaN, which `scan` finds.
 *
 * Round: the code whose decoded float lies nearest; when two are equally near, the one that (x + m)/s rounds to, ties
 * to even. Where a sub-block's scale is zero all codes decode alike: round gives 0, fit leaves what its search had.
 */
#include "kernels/ref/kquant.h"
#include "kernels/ref/ref.h"

/* Ranges of 1/scale tried, per format, without and with importance weights. */
const struct qs_k_affine qs_k_q2 = {
    .sub = 16, .top = 15, .sigma = 1,
    .plain = { .nmax = 3, .first = -0.5f, .step = 0.1f, .steps = 15, .absolute = 1 },
    .weighted = { .nmax = 3, .first = -0.9f, .step = 0.05f, .steps = 36 },
};
const struct qs_k_affine qs_k_q4 = {
    .sub = 32, .top = 63, .sigma = 2,
    .plain = { .nmax = 15, .first = -1.f, .step = 0.1f, .steps = 20 },
    .weighted = { .nmax = 15, .first = -0.9f, .step = 0.05f, .steps = 36 },
};
const struct qs_k_affine qs_k_q5 = {
    .sub = 32, .top = 63, .sigma = 2,
    .plain = { .nmax = 31, .first = -0.5f, .step = 0.1f, .steps = 15 },
    .weighted = { .nmax = 31, .first = -0.9f, .step = 0.05f, .steps = 36 },
};

/* ---- fit */

static float sum_squares(const float *x, int n)
{
    float sum = 0;
    for (int k = 0; k < n; k++)
        sum += x[k] * x[k];
    return sum;
}

/* Weights of one sub-block when nothing is known about the inputs: large weights matter more. */
static void weigh_plain(const struct qs_k_affine *f, const float *x, float *weight)
{
    float mean = f->plain.absolute ? 0 : sqrtf(sum_squares(x, f->sub) / (float)f->sub);
    for (int k = 0; k < f->sub; k++)
        weight[k] = mean + fabsf(x[k]);
}

/* Real scales and minima of all sub-blocks, and the codes the search ended with. */
static void search_plain(const struct qs_k_affine *f, const float *x, float *scale, float *min, uint8_t *codes)
{
    float weight[32];
    for (int j = 0; j < QS_SUPER / f->sub; j++) {
        const float *xs = x + j * f->sub;
        weigh_plain(f, xs, weight);
        scale[j] = qs_search_affine(&f->plain, f->sub, xs, weight, codes + j * f->sub, &min[j]);
    }
}

struct stored_scales {
    float d, dmin;
    uint8_t scale[16], min[16];
};

static void search_weighted(const struct qs_k_affine *f, const float *x, const float *w, struct stored_scales *out,
                            uint8_t *codes)
{
    float scale[16], min[16], sum[16], weight[32];
    const int n = QS_SUPER / f->sub;
    float sigma2 = f->sigma * sum_squares(x, QS_SUPER) / QS_SUPER;
    for (int j = 0; j < n; j++) {
        const float *xs = x + j * f->sub, *ws = w + j * f->sub;
        sum[j] = 0;
        for (int k = 0; k < f->sub; k++) {
            weight[k] = ws[k] * sqrtf(sigma2 + xs[k] * xs[k]);
            sum[j] += weight[k];
        }
        scale[j] = qs_search_affine(&f->weighted, f->sub, xs, weight, codes + j * f->sub, &min[j]);
    }
    out->d = qs_search_positive(n, f->top, scale, sum, out->scale);
    out->dmin = qs_search_positive(n, f->top, min, sum, out->min);
}

/* The search's codes belong to real scales; with the stored ones every code is rounded again. */
static void round_to_stored(const struct qs_k_affine *f, const float *x, float d, float dmin, const uint8_t *scale,
                            const uint8_t *min, uint8_t *codes)
{
    for (int j = 0; j < QS_SUPER / f->sub; j++) {
        float s = d * (float)scale[j], m = dmin * (float)min[j];
        if (s == 0)
            continue;
        for (int k = j * f->sub; k < (j + 1) * f->sub; k++)
            codes[k] = (uint8_t)qs_clamp_int(qs_nearest_int((x[k] + m) / s), 0, f->plain.nmax);
    }
}

static void q2_k_fit_block(const float *x, const float *w, void *grid, uint8_t *codes)
{
    struct qs_grid_q2_k *g = grid;
    float scale[16], min[16];
    struct stored_scales s;
    if (w) {
        search_weighted(&qs_k_q2, x, w, &s, codes);
        qs_k_q2_grid_searched(s.d, s.dmin, s.scale, s.min, g);
    } else {
        search_plain(&qs_k_q2, x, scale, min, codes);
        qs_k_q2_grid_plain(scale, min, g);
    }
    round_to_stored(&qs_k_q2, x, qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale, g->min, codes);
}

static void q4_k_fit_block(const float *x, const float *w, void *grid, uint8_t *codes)
{
    struct qs_grid_k8 *g = grid;
    float scale[8], min[8];
    struct stored_scales s;
    if (w) {
        search_weighted(&qs_k_q4, x, w, &s, codes);
        qs_k_q4_grid_searched(s.d, s.dmin, s.scale, s.min, g);
    } else {
        search_plain(&qs_k_q4, x, scale, min, codes);
        qs_k_q45_grid_plain(scale, min, g);
    }
    round_to_stored(&qs_k_q4, x, qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale, g->min, codes);
}

static void q5_k_fit_block(const float *x, const float *w, void *grid, uint8_t *codes)
{
    struct qs_grid_k8 *g = grid;
    float scale[8], min[8];
    struct stored_scales s;
    if (w) {
        search_weighted(&qs_k_q5, x, w, &s, codes);
        qs_k_q5_grid_searched(s.d, s.dmin, s.scale, s.min, g);
    } else {
        search_plain(&qs_k_q5, x, scale, min, codes);
        qs_k_q45_grid_plain(scale, min, g);
    }
    round_to_stored(&qs_k_q5, x, qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale, g->min, codes);
}

void qs_ref_q2_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_k_fit_rows(in, sizeof(struct qs_grid_q2_k), grid, codes, q2_k_fit_block);
}

void qs_ref_q4_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_k_fit_rows(in, sizeof(struct qs_grid_k8), grid, codes, q4_k_fit_block);
}

void qs_ref_q5_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_k_fit_rows(in, sizeof(struct qs_grid_k8), grid, codes, q5_k_fit_block);
}

/* ---- round */

static void round_block(const struct qs_k_affine *f, const float *x, float d, float dmin, const uint8_t *scale,
                        const uint8_t *min, uint8_t *codes)
{
    for (int k = 0; k < QS_SUPER; k++) {
        float s = d * (float)scale[k / f->sub], m = dmin * (float)min[k / f->sub];
        codes[k] = s == 0 ? 0 : (uint8_t)qs_nearest_on_line(x[k], s, -m, 0, f->plain.nmax);
    }
}

void qs_ref_q2_k_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_q2_k *g = grid;
    uint8_t *c = codes;
    for (size_t row = 0; row < in->rows; row++)
        for (size_t col = 0; col + QS_SUPER <= in->cols; col += QS_SUPER, g++, c += QS_SUPER)
            round_block(&qs_k_q2, in->x + row * in->stride + col, qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin),
                        g->scale, g->min, c);
}

static void round_k8(const struct qs_k_affine *f, const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_k8 *g = grid;
    uint8_t *c = codes;
    for (size_t row = 0; row < in->rows; row++)
        for (size_t col = 0; col + QS_SUPER <= in->cols; col += QS_SUPER, g++, c += QS_SUPER)
            round_block(f, in->x + row * in->stride + col, qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale,
                        g->min, c);
}

void qs_ref_q4_k_round(const struct qs_rows *in, const void *grid, void *codes) { round_k8(&qs_k_q4, in, grid, codes); }
void qs_ref_q5_k_round(const struct qs_rows *in, const void *grid, void *codes) { round_k8(&qs_k_q5, in, grid, codes); }

/* ---- pack */

/* Byte l of each half of a block: weights l, l + 32, l + 64, l + 96 of it. */
static void pack_2bit(const uint8_t *codes, uint8_t *restrict out)
{
    for (int half = 0; half < 2; half++, codes += 128, out += 32)
        for (int l = 0; l < 32; l++)
            out[l] = (uint8_t)(codes[l] | codes[l + 32] << 2 | codes[l + 64] << 4 | codes[l + 96] << 6);
}

/* Two sub-blocks of 32 weights share 32 bytes. */
static void pack_nibbles(const uint8_t *codes, uint8_t *restrict out)
{
    for (int pair = 0; pair < 4; pair++, codes += 64, out += 32)
        for (int l = 0; l < 32; l++)
            out[l] = (uint8_t)((codes[l] & 15) | codes[l + 32] << 4);
}

/* Bit j of byte l: fifth bit of weight 32j + l. */
static void pack_fifth_bit(const uint8_t *codes, uint8_t *restrict out)
{
    memset(out, 0, 32);
    for (int j = 0; j < 8; j++, codes += 32)
        for (int l = 0; l < 32; l++)
            out[l] = (uint8_t)(out[l] | (codes[l] >> 4 & 1) << j);
}

void qs_ref_q2_k_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_q2_k *g = grid;
    const uint8_t *c = codes;
    struct qs_block_q2_k *b = (struct qs_block_q2_k *)dst->p[0];
    for (size_t i = 0; i < rows * (cols / QS_SUPER); i++, g++, b++, c += QS_SUPER) {
        b->d = g->d;
        b->dmin = g->dmin;
        for (int j = 0; j < 16; j++)
            b->scales[j] = (uint8_t)(g->scale[j] | g->min[j] << 4);
        pack_2bit(c, b->qs);
    }
}

void qs_ref_q4_k_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_k8 *g = grid;
    const uint8_t *c = codes;
    struct qs_block_q4_k *b = (struct qs_block_q4_k *)dst->p[0];
    for (size_t i = 0; i < rows * (cols / QS_SUPER); i++, g++, b++, c += QS_SUPER) {
        b->d = g->d;
        b->dmin = g->dmin;
        qs_k_pack_6bit(g->scale, g->min, b->scales);
        pack_nibbles(c, b->qs);
    }
}

void qs_ref_q5_k_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_k8 *g = grid;
    const uint8_t *c = codes;
    struct qs_block_q5_k *b = (struct qs_block_q5_k *)dst->p[0];
    for (size_t i = 0; i < rows * (cols / QS_SUPER); i++, g++, b++, c += QS_SUPER) {
        b->d = g->d;
        b->dmin = g->dmin;
        qs_k_pack_6bit(g->scale, g->min, b->scales);
        pack_nibbles(c, b->qs);
        pack_fifth_bit(c, b->qh);
    }
}

/* ---- decode */

static void decode_q2_k(const struct qs_block_q2_k *b, float *restrict y)
{
    float d = qs_f16_to_f32(b->d), dmin = qs_f16_to_f32(b->dmin);
    for (int j = 0; j < 16; j++, y += 16) {
        const uint8_t *q = b->qs + j / 8 * 32 + j % 2 * 16;
        const int shift = j % 8 / 2 * 2;
        float s = d * (float)(b->scales[j] & 15), m = dmin * (float)(b->scales[j] >> 4);
        for (int l = 0; l < 16; l++)
            y[l] = s * (float)(q[l] >> shift & 3) - m;
    }
}

static void decode_q4_k(const struct qs_block_q4_k *b, float *restrict y)
{
    uint8_t scale[8], min[8];
    float d = qs_f16_to_f32(b->d), dmin = qs_f16_to_f32(b->dmin);
    qs_k_unpack_6bit(b->scales, scale, min);
    for (int j = 0; j < 8; j++, y += 32) {
        const uint8_t *q = b->qs + j / 2 * 32;
        const int shift = j % 2 * 4;
        float s = d * (float)scale[j], m = dmin * (float)min[j];
        for (int l = 0; l < 32; l++)
            y[l] = s * (float)(q[l] >> shift & 15) - m;
    }
}

static void decode_q5_k(const struct qs_block_q5_k *b, float *restrict y)
{
    uint8_t scale[8], min[8];
    float d = qs_f16_to_f32(b->d), dmin = qs_f16_to_f32(b->dmin);
    qs_k_unpack_6bit(b->scales, scale, min);
    for (int j = 0; j < 8; j++, y += 32) {
        const uint8_t *q = b->qs + j / 2 * 32;
        const int shift = j % 2 * 4;
        float s = d * (float)scale[j], m = dmin * (float)min[j];
        for (int l = 0; l < 32; l++)
            y[l] = s * (float)((q[l] >> shift & 15) | (b->qh[l] >> j & 1) << 4) - m;
    }
}

void qs_ref_q2_k_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const struct qs_block_q2_k *b = (const struct qs_block_q2_k *)src->p[0];
    for (size_t row = 0; row < rows; row++)
        for (size_t col = 0; col + QS_SUPER <= cols; col += QS_SUPER)
            decode_q2_k(b++, dst + row * stride + col);
}

void qs_ref_q4_k_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const struct qs_block_q4_k *b = (const struct qs_block_q4_k *)src->p[0];
    for (size_t row = 0; row < rows; row++)
        for (size_t col = 0; col + QS_SUPER <= cols; col += QS_SUPER)
            decode_q4_k(b++, dst + row * stride + col);
}

void qs_ref_q5_k_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    const struct qs_block_q5_k *b = (const struct qs_block_q5_k *)src->p[0];
    for (size_t row = 0; row < rows; row++)
        for (size_t col = 0; col + QS_SUPER <= cols; col += QS_SUPER)
            decode_q5_k(b++, dst + row * stride + col);
}

/* ---- scan */

size_t qs_ref_q2_k_scan(const struct qs_const_parts *src, size_t rows, size_t cols)
{
    return qs_k_scan(src->p[0], rows * (cols / QS_SUPER), sizeof(struct qs_block_q2_k),
                     offsetof(struct qs_block_q2_k, d), offsetof(struct qs_block_q2_k, dmin));
}

size_t qs_ref_q4_k_scan(const struct qs_const_parts *src, size_t rows, size_t cols)
{
    return qs_k_scan(src->p[0], rows * (cols / QS_SUPER), sizeof(struct qs_block_q4_k),
                     offsetof(struct qs_block_q4_k, d), offsetof(struct qs_block_q4_k, dmin));
}

size_t qs_ref_q5_k_scan(const struct qs_const_parts *src, size_t rows, size_t cols)
{
    return qs_k_scan(src->p[0], rows * (cols / QS_SUPER), sizeof(struct qs_block_q5_k),
                     offsetof(struct qs_block_q5_k, d), offsetof(struct qs_block_q5_k, dmin));
}
