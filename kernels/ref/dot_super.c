/* dot_super.c - products of types in super-blocks of 256 (Q2_K .. Q6_K, IQ4_XS) with Q8K activations.
 *
 * A super-block is unpacked to 256 integers, sixteen integer scales and minima, and two floats; dot.h says in which
 * order the parts are added. Layouts: blocks.h. No state, no allocation; any bits are accepted.
 */
#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/kquant.h"
#include "kernels/ref/tables_iq.h"

struct codes { /* weight k = d * scale[k / 16] * c[k] - dmin * min[k / 16] */
    int c[QS_SUPER], scale[16], min[16];
    float d, dmin;
};

static void unpack_q2_k(const uint8_t *at, struct codes *u)
{
    const struct qs_block_q2_k *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++)
        u->c[k] = b->qs[k / 128 * 32 + k % 32] >> k / 32 % 4 * 2 & 3;
    for (int i = 0; i < 16; i++) {
        u->scale[i] = b->scales[i] & 15;
        u->min[i] = b->scales[i] >> 4;
    }
    u->d = qs_f16_to_f32(b->d);
    u->dmin = qs_f16_to_f32(b->dmin);
}

static void unpack_q3_k(const uint8_t *at, struct codes *u)
{
    const struct qs_block_q3_k *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++)
        u->c[k] = (b->qs[k / 128 * 32 + k % 32] >> k / 32 % 4 * 2 & 3) - (b->hmask[k % 32] >> k / 32 & 1 ? 0 : 4);
    for (int i = 0; i < 16; i++)
        u->scale[i] = ((b->scales[i % 8] >> i / 8 * 4 & 15) | (b->scales[8 + i % 4] >> i / 4 * 2 & 3) << 4) - 32;
    u->d = qs_f16_to_f32(b->d);
}

/* The 6-bit scales and minima of 32 weights each. */
static void scales_6bit(const uint8_t packed[12], struct codes *u)
{
    uint8_t scale[8], min[8];
    qs_k_unpack_6bit(packed, scale, min);
    for (int i = 0; i < 16; i++) {
        u->scale[i] = scale[i / 2];
        u->min[i] = min[i / 2];
    }
}

static void unpack_q4_k(const uint8_t *at, struct codes *u)
{
    const struct qs_block_q4_k *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++)
        u->c[k] = b->qs[k / 64 * 32 + k % 32] >> k / 32 % 2 * 4 & 15;
    scales_6bit(b->scales, u);
    u->d = qs_f16_to_f32(b->d);
    u->dmin = qs_f16_to_f32(b->dmin);
}

static void unpack_q5_k(const uint8_t *at, struct codes *u)
{
    const struct qs_block_q5_k *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++)
        u->c[k] = (b->qs[k / 64 * 32 + k % 32] >> k / 32 % 2 * 4 & 15) | (b->qh[k % 32] >> k / 32 & 1) << 4;
    scales_6bit(b->scales, u);
    u->d = qs_f16_to_f32(b->d);
    u->dmin = qs_f16_to_f32(b->dmin);
}

static void unpack_q6_k(const uint8_t *at, struct codes *u)
{
    const struct qs_block_q6_k *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++) {
        const int low = b->ql[k / 128 * 64 + k % 64] >> k / 64 % 2 * 4 & 15;
        u->c[k] = (low | (b->qh[k / 128 * 32 + k % 32] >> k / 32 % 4 * 2 & 3) << 4) - 32;
    }
    for (int i = 0; i < 16; i++)
        u->scale[i] = b->scales[i];
    u->d = qs_f16_to_f32(b->d);
}

static void unpack_iq4_xs(const uint8_t *at, struct codes *u)
{
    const struct qs_block_iq4_xs *b = (const void *)at;
    for (int k = 0; k < QS_SUPER; k++)
        u->c[k] = qs_iq4_values[b->qs[k / 32 * 16 + k % 16] >> k / 16 % 2 * 4 & 15];
    for (int i = 0; i < 16; i++) {
        const int j = i / 2;
        u->scale[i] = ((b->scales_l[j / 2] >> j % 2 * 4 & 15) | (b->scales_h >> 2 * j & 3) << 4) - 32;
    }
    u->d = qs_f16_to_f32(b->d);
}

typedef void unpack_fn(const uint8_t *at, struct codes *u);

static float add_block(const struct codes *u, size_t i, const uint8_t *x, size_t cols, bool minima, float a)
{
    const int8_t *q = (const int8_t *)x + QS_SUPER * i;
    const int16_t *sums = qs_q8k_sums(x, cols) + 16 * i;
    const float dx = qs_q8k_scales(x, cols)[i];
    int sum = 0, min = 0;
    for (int k = 0; k < QS_SUPER; k++)
        sum += u->scale[k / 16] * (u->c[k] * q[k]);
    a = fmaf(u->d * dx, (float)sum, a);
    for (int g = 0; minima && g < 16; g++)
        min += u->min[g] * sums[g];
    return minima ? fmaf(-(u->dmin * dx), (float)min, a) : a;
}

struct way { /* of a type */
    size_t bytes;
    unpack_fn *unpack;
    bool minima;
};

static void some_tokens(const struct qs_dot *j, size_t r, size_t t, size_t n, const void *how)
{
    const struct way *way = how;
    float a[QS_REF_TILE] = { 0 };
    struct codes u;
    for (size_t i = 0; i < j->cols / QS_SUPER; i++) {
        way->unpack(j->w + r * j->w_stride + i * way->bytes, &u);
        for (size_t k = 0; k < n; k++)
            a[k] = add_block(&u, i, j->x + (t + k) * j->x_stride, j->cols, way->minima, a[k]);
    }
    for (size_t k = 0; k < n; k++)
        j->out[(t + k) * j->out_stride + r] = a[k];
}

#define DOT(name, minima)                                                                                              \
    void qs_ref_dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        qs_ref_tiles(j, some_tokens, &(struct way){ sizeof(struct qs_block_##name), unpack_##name, minima });          \
    }
DOT(q2_k, true)
DOT(q3_k, false)
DOT(q4_k, true)
DOT(q5_k, true)
DOT(q6_k, false)
DOT(iq4_xs, false)
