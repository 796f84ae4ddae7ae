/* rows.c - operations on rows, and activations, by NEON.
 *
 * Every lane does the float operations of kernels/ref/rows.c and funcs.h in their order: same bits. Ends of rows that fill
 * no whole vector are done by plain C. What gains little from vectors is left to it.
 */
#include <math.h>

#include "kernels/arm_neon/dots.h"
#include "kernels/arm_neon/funcs8.h"
#include "kernels/level.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/rows.h"

/* ---- norms */

QS_INLINE float64x2_t add_squares(float64x2_t sum, float64x2_t v) { return vaddq_f64(sum, vmulq_f64(v, v)); }

static void norm_rms(const float *x, size_t n, const float *weight, float eps, float *y)
{
    float64x2_t p = vdupq_n_f64(0), q = p, r = p, t = p;
    const size_t full = n / 8 * 8;
    for (size_t k = 0; k < full; k += 8) {
        const vf v = v_load(x + k);
        p = add_squares(p, vcvt_f64_f32(vget_low_f32(v.a)));
        q = add_squares(q, vcvt_high_f64_f32(v.a));
        r = add_squares(r, vcvt_f64_f32(vget_low_f32(v.b)));
        t = add_squares(t, vcvt_high_f64_f32(v.b));
    }
    double s[8];
    vst1q_f64(s, p);
    vst1q_f64(s + 2, q);
    vst1q_f64(s + 4, r);
    vst1q_f64(s + 6, t);
    for (size_t k = full; k < n; k++)
        s[k % 8] += (double)x[k] * (double)x[k];
    const double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    const float scale = (float)(1 / sqrt(sum / (double)n + (double)eps));
    for (size_t k = 0; k < full; k += 8) {
        const vf v = v_mul(v_load(x + k), v_all(scale));
        v_store(y + k, weight ? v_mul(v, v_load(weight + k)) : v);
    }
    for (size_t k = full; k < n; k++)
        y[k] = weight ? x[k] * scale * weight[k] : x[k] * scale;
}

/* ---- gates and sums */

/* out = expression of g and u, eight at a time; the rest by plain C. */
#define GLU(name, expression)                                                                                          \
    static void glu_##name(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)          \
    {                                                                                                                  \
        size_t k = 0;                                                                                                  \
        for (; k + 8 <= n; k += 8) {                                                                                   \
            const vf g = v_load(gate + k), u = v_load(up + k);                                                         \
            v_store(out + k, (expression));                                                                            \
        }                                                                                                              \
        qs_ref_glu_##name(gate + k, up + k, n - k, alpha, limit, out + k);                                             \
    }

/* g / (1 + exp(-u)) */
QS_INLINE vf gated(vf g, vf u) { return v_div(g, v_add(v_all(1), exp8(v_minus(u)))); }

QS_INLINE vf gelu_of(vf g)
{
    const vf square = step(v_mul(v_all(QS_GELU_B), g), g, 1);
    return gated(g, v_mul(v_mul(v_all(QS_GELU_A), g), square));
}

QS_INLINE vf oai(vf g, vf u, float alpha, float limit)
{
    g = at_most(g, limit);
    u = at_least(at_most(u, limit), -limit);
    return v_mul(gated(g, v_mul(v_all(alpha), g)), v_add(u, v_all(1)));
}

GLU(silu, v_mul(gated(g, g), u))
GLU(gelu, v_mul(gelu_of(g), u))
GLU(oai, oai(g, u, alpha, limit))

static void add(float *x, const float *y, size_t n, float scale)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8)
        v_store(x + k, v_fused(v_all(scale), v_load(y + k), v_load(x + k)));
    qs_ref_add(x + k, y + k, n - k, scale);
}

static void softcap(float *x, size_t n, float cap, float scale)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8) {
        const vf v = v_mul(v_load(x + k), v_all(scale));
        v_store(x + k, cap != 0 ? v_mul(v_all(cap), tanh8(v_div(v, v_all(cap)))) : v);
    }
    qs_ref_softcap(x + k, n - k, cap, scale);
}

static void merge(float *x, float a, const float *y, float b, size_t n)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8)
        v_store(x + k, v_add(v_mul(v_load(x + k), v_all(a)), v_mul(v_load(y + k), v_all(b))));
    qs_ref_merge(x + k, a, y + k, b, n - k);
}

/* ---- Gram matrix */

/* Columns [j, j + 32) in registers over all rows. */
static void gram(const float *x, size_t stride, size_t rows, size_t i, size_t cols, float *g)
{
    size_t j = i;
    for (; j + 32 <= cols; j += 32) {
        vf a = v_load(g + j), b = v_load(g + j + 8), c = v_load(g + j + 16), d = v_load(g + j + 24);
        const float *row = x;
        for (size_t t = 0; t < rows; t++, row += stride) {
            const vf w = v_all(row[i]);
            a = v_fused(w, v_load(row + j), a);
            b = v_fused(w, v_load(row + j + 8), b);
            c = v_fused(w, v_load(row + j + 16), c);
            d = v_fused(w, v_load(row + j + 24), d);
        }
        v_store(g + j, a);
        v_store(g + j + 8, b);
        v_store(g + j + 16, c);
        v_store(g + j + 24, d);
    }
    for (; j < cols; j++)
        for (size_t t = 0; t < rows; t++)
            g[j] = fmaf(x[t * stride + i], x[t * stride + j], g[j]);
}

/* ---- activations */

/* Codes of 16 values. */
QS_INLINE int8x16_t codes_of(const float *x, float32x4_t inv)
{
    int16x8_t half[2];
    for (int i = 0; i < 2; i++) {
        const int32x4_t low = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 8 * i), inv));
        const int32x4_t high = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 8 * i + 4), inv));
        half[i] = vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
    }
    return vcombine_s8(vqmovn_s16(half[0]), vqmovn_s16(half[1]));
}

/* The scale of n values (a multiple of 8), and its inverse: 0 for codes that are all zero. */
static float scale_of(const float *x, size_t n, float *inv)
{
    float32x4_t low = vdupq_n_f32(0), high = low; /* the larger one, or NaN */
    for (size_t k = 0; k < n; k += 8) {
        low = vmaxq_f32(low, vabsq_f32(vld1q_f32(x + k)));
        high = vmaxq_f32(high, vabsq_f32(vld1q_f32(x + k + 4)));
    }
    const float amax = vmaxvq_f32(vmaxq_f32(low, high));
    *inv = 0;
    if (!(amax < INFINITY))
        return NAN;
    if (amax < QS_ACT_TINY)
        return 0;
    const float d = amax / 127;
    *inv = 1 / d;
    return d;
}

/* Where inv is 0, x may hold anything. The sum of the codes. */
QS_INLINE int store_codes(const float *x, float inv, int8_t *q)
{
    const int8x16_t v = inv > 0 ? codes_of(x, vdupq_n_f32(inv)) : vdupq_n_s8(0);
    vst1q_s8(q, v);
    return vaddlvq_s8(v);
}

static void quantize_q8(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 32, room = qs_act_pad8(n);
    float *d = (float *)qs_q8_scales(row, cols), *s = (float *)qs_q8_sums(row, cols);
    int32_t *minus = (int32_t *)qs_q8_minus(row, cols);
    for (size_t i = 0; i < n; i++) {
        int8_t *q = (int8_t *)row + 32 * i;
        float inv;
        d[i] = scale_of(x + 32 * i, 32, &inv);
        const int sum = store_codes(x + 32 * i, inv, q) + store_codes(x + 32 * i + 16, inv, q + 16);
        s[i] = d[i] * (float)sum;
        minus[i] = -sum;
    }
    for (size_t i = n; i < room; i++) {
        d[i] = s[i] = 0;
        minus[i] = 0;
    }
}

static void quantize_q8k(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 256, room = qs_act_pad8(n);
    float *d = (float *)qs_q8k_scales(row, cols);
    int16_t *s = (int16_t *)qs_q8k_sums(row, cols);
    for (size_t i = 0; i < n; i++) {
        float inv;
        d[i] = scale_of(x + 256 * i, 256, &inv);
        for (size_t k = 256 * i; k < 256 * i + 256; k += 16)
            s[k / 16] = (int16_t)store_codes(x + k, inv, (int8_t *)row + k);
    }
    for (size_t i = n; i < room; i++)
        d[i] = 0;
}

/* ---- moments */

/* Columns [j, j + 8) in registers over all rows; squares are exact in double, so fusing changes no bit. */
static void moments(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max)
{
    enum { PARTS = 4, PART = 2 };
    size_t j = 0;
    for (; j + PARTS * PART <= n; j += PARTS * PART) {
        float64x2_t two[PARTS], one[PARTS];
        vf most = v_load(max + j);
        for (int i = 0; i < PARTS; i++) {
            two[i] = vld1q_f64(sum2 + j + i * PART);
            one[i] = vld1q_f64(sum + j + i * PART);
        }
        const float *row = x + j;
        for (size_t t = 0; t < rows; t++, row += stride) {
            for (int i = 0; i < PARTS; i++) {
                const float64x2_t v = vcvt_f64_f32(vld1_f32(row + i * PART));
                two[i] = vfmaq_f64(two[i], v, v);
                one[i] = vaddq_f64(one[i], v);
            }
            most = v_max(v_abs(v_load(row)), most); /* NaN is no more */
        }
        v_store(max + j, most);
        for (int i = 0; i < PARTS; i++) {
            vst1q_f64(sum2 + j + i * PART, two[i]);
            vst1q_f64(sum + j + i * PART, one[i]);
        }
    }
    qs_ref_moments(x + j, stride, rows, n - j, sum2 + j, sum + j, max + j);
}

void qs_neon_rows(struct qs_row_ops *ops)
{
    ops->quantize[QS_ACT_Q8] = quantize_q8;
    ops->quantize[QS_ACT_Q8K] = quantize_q8k;
    ops->quantize[QS_ACT_BF16] = qs_neon_quantize_bf16;
    ops->norm_rms = norm_rms;
    ops->glu[0] = glu_silu;
    ops->glu[1] = glu_gelu;
    ops->glu[3] = glu_oai;
    ops->add = add;
    ops->softcap = softcap;
    ops->merge = merge;
    ops->gram = gram;
    ops->moments = moments;
    qs_neon_attend(&ops->attend);
    qs_neon_codes(&ops->codes);
}
