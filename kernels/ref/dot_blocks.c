/* dot_blocks.c - products of types in blocks of 32 with Q8 activations, and the making of quantized activations.
 *
 * A block is unpacked to 32 integers, a scale and a minimum; dot.h says in which order the parts are added. Layouts:
 * blocks.h. No state, no allocation; any bits are accepted.
 */
#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"

struct codes { /* weight k = d * c[k] + m */
    int c[32];
    float d, m;
};

static inline int nibble(const uint8_t *qs, int k) { return k < 16 ? qs[k] & 15 : qs[k - 16] >> 4; }
static inline int bit(const uint8_t *qh, int k) { return qh[k / 8] >> k % 8 & 1; }

/* unpack_<name>: EXPR is the code of weight k of block b, D its scale and M its minimum. */
#define UNPACK(name, EXPR, D, M)                                                                                       \
    static void unpack_##name(const uint8_t *at, struct codes *u)                                                      \
    {                                                                                                                  \
        const struct qs_block_##name *b = (const void *)at;                                                            \
        for (int k = 0; k < 32; k++)                                                                                   \
            u->c[k] = (EXPR);                                                                                          \
        u->d = (D);                                                                                                    \
        u->m = (M);                                                                                                    \
    }

UNPACK(q4_0, nibble(b->qs, k) - 8, qs_f16_to_f32(b->d), 0)
UNPACK(q4_1, nibble(b->qs, k), qs_f16_to_f32(b->d), qs_f16_to_f32(b->m))
UNPACK(q5_0, (nibble(b->qs, k) | bit(b->qh, k) << 4) - 16, qs_f16_to_f32(b->d), 0)
UNPACK(q5_1, nibble(b->qs, k) | bit(b->qh, k) << 4, qs_f16_to_f32(b->d), qs_f16_to_f32(b->m))
UNPACK(q8_0, b->qs[k], qs_f16_to_f32(b->d), 0)
UNPACK(iq4_nl, qs_iq4_values[nibble(b->qs, k)], qs_f16_to_f32(b->d), 0)
UNPACK(mxfp4, qs_e2m1[nibble(b->qs, k)], qs_e8m0_half(b->e), 0)

typedef void unpack_fn(const uint8_t *at, struct codes *u);

static float add_block(const struct codes *u, size_t i, const uint8_t *x, size_t cols, bool minima, float a)
{
    const int8_t *q = (const int8_t *)x + 32 * i;
    int sum = 0;
    for (int k = 0; k < 32; k++)
        sum += u->c[k] * q[k];
    a = fmaf(u->d * qs_q8_scales(x, cols)[i], (float)sum, a);
    return minima ? fmaf(u->m, qs_q8_sums(x, cols)[i], a) : a;
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
    for (size_t i = 0; i < j->cols / 32; i++) {
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
DOT(q4_0, false)
DOT(q4_1, true)
DOT(q5_0, false)
DOT(q5_1, true)
DOT(q8_0, false)
DOT(iq4_nl, false)
DOT(mxfp4, false)

/* ---- activations */

/* Scale of n values; *inv is what a value is multiplied by to get its code. */
static float scale_of(const float *x, size_t n, float *inv)
{
    float most = 0;
    bool finite = true;
    for (size_t k = 0; k < n; k++) {
        const float a = fabsf(x[k]);
        finite = finite && a < INFINITY;
        most = a > most ? a : most;
    }
    *inv = 0;
    if (!finite)
        return NAN;
    if (most < QS_ACT_TINY)
        return 0;
    const float d = most / 127;
    *inv = 1 / d;
    return d;
}

/* inv 0: zeros, whatever x is. */
static int quantize(const float *x, size_t n, float inv, int8_t *q)
{
    int sum = 0;
    for (size_t k = 0; k < n; k++) {
        q[k] = (int8_t)(inv > 0 ? qs_nearest_int(x[k] * inv) : 0);
        sum += q[k];
    }
    return sum;
}

void qs_ref_quantize_q8(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 32, room = qs_act_pad8(n);
    float *d = (float *)qs_q8_scales(row, cols), *s = (float *)qs_q8_sums(row, cols);
    int32_t *minus = (int32_t *)qs_q8_minus(row, cols);
    for (size_t i = 0; i < n; i++) {
        float inv;
        d[i] = scale_of(x + 32 * i, 32, &inv);
        const int sum = quantize(x + 32 * i, 32, inv, (int8_t *)row + 32 * i);
        s[i] = d[i] * (float)sum;
        minus[i] = -sum;
    }
    for (size_t i = n; i < room; i++) {
        d[i] = s[i] = 0;
        minus[i] = 0;
    }
}

void qs_ref_quantize_q8k(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 256, room = qs_act_pad8(n);
    float *d = (float *)qs_q8k_scales(row, cols);
    int16_t *s = (int16_t *)qs_q8k_sums(row, cols);
    for (size_t i = 0; i < n; i++) {
        float inv;
        d[i] = scale_of(x + 256 * i, 256, &inv);
        for (size_t k = 256 * i; k < 256 * i + 256; k += 16)
            s[k / 16] = (int16_t)quantize(x + k, 16, inv, (int8_t *)row + k);
    }
    for (size_t i = n; i < room; i++)
        d[i] = 0;
}

size_t qs_act_bytes(enum qs_act a, size_t cols)
{
    switch (a) {
    case QS_ACT_Q8: return cols + 3 * sizeof(float) * qs_act_pad8(cols / 32);
    case QS_ACT_Q8K: return cols + cols / 16 * sizeof(int16_t) + sizeof(float) * qs_act_pad8(cols / 256);
    case QS_ACT_BF16: return qs_bf16_padded(cols) * sizeof(uint16_t);
    default: return cols * sizeof(float);
    }
}
