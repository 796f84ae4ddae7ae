/* kquant.c - what Q2_K .. Q6_K share: the walk over super-blocks, the packed 6-bit scales, and the choice of the stored
 * scales of a super-block.
 *
 * Owns no state and allocates nothing. Integer results are narrowed to a byte before they are limited wherever the
 * reference encoder does so: for sane input this changes nothing, for denormal scales it decides the bytes.
 */
#include "kernels/ref/kquant.h"

static float plain_nan(float x) { return x != x ? qs_bits_f32(0x7fc00000) : x; }

void qs_k_fit_rows(const struct qs_rows *in, size_t grid_bytes, void *grid, void *codes, qs_k_fit_block_fn *fit)
{
    uint8_t *g = grid, *c = codes;
    float x[QS_SUPER], w[QS_SUPER];
    for (size_t row = 0; row < in->rows; row++) {
        for (size_t col = 0; col + QS_SUPER <= in->cols; col += QS_SUPER) {
            const float *from = in->x + row * in->stride + col;
            for (size_t k = 0; k < QS_SUPER; k++)
                x[k] = plain_nan(from[k]);
            for (size_t k = 0; in->weight && k < QS_SUPER; k++)
                w[k] = plain_nan(in->weight[col + k]);
            fit(x, in->weight ? w : NULL, g, c);
            g += grid_bytes;
            c += QS_SUPER;
        }
    }
}

size_t qs_k_scan(const uint8_t *blocks, size_t count, size_t bytes, size_t a, size_t b)
{
    size_t bad = 0;
    for (size_t i = 0; i < count; i++, blocks += bytes) {
        uint16_t d, m;
        memcpy(&d, blocks + a, 2);
        memcpy(&m, blocks + b, 2);
        bad += (d & 0x7c00) == 0x7c00 || (m & 0x7c00) == 0x7c00;
    }
    return bad;
}

void qs_k_pack_6bit(const uint8_t scale[8], const uint8_t min[8], uint8_t out[12])
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((scale[j + 4] & 15) | min[j + 4] << 4);
    }
}

void qs_k_unpack_6bit(const uint8_t in[12], uint8_t scale[8], uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = in[j] & 63;
        min[j] = in[j + 4] & 63;
        scale[j + 4] = (uint8_t)((in[j + 8] & 15) | in[j] >> 6 << 4);
        min[j + 4] = (uint8_t)(in[j + 8] >> 4 | in[j + 4] >> 6 << 4);
    }
}

static float largest(const float *v, int n)
{
    float max = 0;
    for (int i = 0; i < n; i++)
        if (v[i] > max)
            max = v[i];
    return max;
}

/* v[i] ~ d * code[i], the largest being d * top; returns d as float16. */
static uint16_t scale_by_largest(const float *v, int n, int top, uint8_t *code)
{
    float max = largest(v, n);
    float inv = max > 0 ? (float)top / max : 0;
    for (int i = 0; i < n; i++)
        code[i] = (uint8_t)qs_nearest_int(inv * v[i]);
    return qs_f32_to_f16(max / (float)top);
}

static void q2_fields(const uint8_t *scale, const uint8_t *min, struct qs_grid_q2_k *g)
{
    for (int j = 0; j < 16; j++) {
        uint8_t both = (uint8_t)(scale[j] | min[j] << 4); /* the stored byte */
        g->scale[j] = both & 15;
        g->min[j] = both >> 4;
    }
}

static void at_most_63(const uint8_t *v, uint8_t *out)
{
    for (int j = 0; j < 8; j++)
        out[j] = v[j] < 63 ? v[j] : 63;
}

void qs_k_q2_grid_plain(const float *scale, const float *min, struct qs_grid_q2_k *g)
{
    uint8_t s[16], m[16];
    g->d = scale_by_largest(scale, 16, 15, s);
    g->dmin = scale_by_largest(min, 16, 15, m);
    q2_fields(s, m, g);
}

void qs_k_q45_grid_plain(const float *scale, const float *min, struct qs_grid_k8 *g)
{
    uint8_t s[8], m[8];
    g->d = scale_by_largest(scale, 8, 63, s);
    g->dmin = scale_by_largest(min, 8, 63, m);
    at_most_63(s, g->scale);
    at_most_63(m, g->min);
}

void qs_k_q2_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_q2_k *g)
{
    g->d = qs_f32_to_f16(d);
    g->dmin = qs_f32_to_f16(dmin);
    q2_fields(scale, min, g);
}

void qs_k_q4_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_k8 *g)
{
    uint8_t stored[12];
    g->d = qs_f32_to_f16(d);
    g->dmin = qs_f32_to_f16(dmin);
    qs_k_pack_6bit(scale, min, stored);
    qs_k_unpack_6bit(stored, g->scale, g->min);
}

void qs_k_q5_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_k8 *g)
{
    g->d = qs_f32_to_f16(d);
    g->dmin = qs_f32_to_f16(dmin);
    at_most_63(scale, g->scale);
    at_most_63(min, g->min);
}

/* The value of largest magnitude, sign kept; 0 when all are zero (or NaN). */
static float largest_signed(const float *v, int n)
{
    float amax = 0, max = 0;
    for (int i = 0; i < n; i++) {
        if (fabsf(v[i]) > amax) {
            amax = fabsf(v[i]);
            max = v[i];
        }
    }
    return max;
}

void qs_k_q3_grid_plain(const float *scale, struct qs_grid_k16 *g)
{
    float max = largest_signed(scale, 16);
    *g = (struct qs_grid_k16){ 0 };
    if (max == 0) { /* the reference leaves the twelve bytes zero: scales of -32 on d = 0 */
        memset(g->scale, -32, sizeof g->scale);
        return;
    }
    float inv = -32.f / max;
    g->d = qs_f32_to_f16(1 / inv);
    for (int j = 0; j < 16; j++)
        g->scale[j] = (int8_t)qs_clamp_int((int8_t)qs_nearest_int(inv * scale[j]), -32, 31);
}

void qs_k_q3_grid_searched(float d, const uint8_t *code, struct qs_grid_k16 *g)
{
    *g = (struct qs_grid_k16){ .d = qs_f32_to_f16(d) };
    for (int j = 0; j < 16; j++)
        g->scale[j] = (int8_t)(code[j] - 32);
}

bool qs_k_q6_grid(const float *scale, struct qs_grid_k16 *g)
{
    float max = largest_signed(scale, 16);
    *g = (struct qs_grid_k16){ 0 };
    if (fabsf(max) < QS_SEARCH_EPS)
        return false;
    float inv = -128.f / max;
    g->d = qs_f32_to_f16(1 / inv);
    for (int j = 0; j < 16; j++) {
        int l = qs_nearest_int(inv * scale[j]);
        g->scale[j] = (int8_t)(l < 127 ? l : 127);
    }
    return true;
}
