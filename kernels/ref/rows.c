/* rows.c - the operations of rows.h in plain C: their definition.
 *
 * Every float operation and its order is what the other levels repeat. No state, no allocation.
 */
#include <math.h>

#include "kernels/level.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/funcs.h"
#include "kernels/ref/rows.h"

/* ---- norms */

static double sum8(const double *s) { return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])); }

static void norm_rms(const float *x, size_t n, const float *weight, float eps, float *y)
{
    double s[8] = { 0 };
    for (size_t k = 0; k < n; k++)
        s[k % 8] += (double)x[k] * (double)x[k];
    const float scale = (float)(1 / sqrt(sum8(s) / (double)n + (double)eps));
    for (size_t k = 0; k < n; k++)
        y[k] = weight ? x[k] * scale * weight[k] : x[k] * scale;
}

void qs_ref_norm_layer(const float *x, size_t n, const float *weight, const float *bias, float eps, float *y)
{
    double s[8] = { 0 }, v[8] = { 0 };
    for (size_t k = 0; k < n; k++)
        s[k % 8] += (double)x[k];
    const double mean = sum8(s) / (double)n;
    for (size_t k = 0; k < n; k++)
        v[k % 8] += ((double)x[k] - mean) * ((double)x[k] - mean);
    const double scale = 1 / sqrt(sum8(v) / (double)n + (double)eps);
    for (size_t k = 0; k < n; k++) {
        const float f = (float)(((double)x[k] - mean) * scale);
        y[k] = (weight ? f * weight[k] : f) + (bias ? bias[k] : 0);
    }
}

/* ---- rotations */

static inline void rotate(float *a, float *b, const float *angle)
{
    const float x = *a, y = *b;
    *a = x * angle[0] - y * angle[1];
    *b = x * angle[1] + y * angle[0];
}

void qs_ref_rope_norm(float *x, const float *angle, size_t n_rot)
{
    for (size_t i = 0; i < n_rot; i += 2)
        rotate(x + i, x + i + 1, angle + i);
}

void qs_ref_rope_neox(float *x, const float *angle, size_t n_rot)
{
    for (size_t i = 0; i < n_rot / 2; i++)
        rotate(x + i, x + i + n_rot / 2, angle + 2 * i);
}

void qs_ref_hadamard(float *x, size_t n)
{
    for (size_t h = 1; h < n; h *= 2)
        for (size_t i = 0; i < n; i += 2 * h)
            for (size_t k = i; k < i + h; k++) {
                const float a = x[k], b = x[k + h];
                x[k] = a + b;
                x[k + h] = a - b;
            }
    const float scale = 1 / sqrtf((float)n);
    for (size_t k = 0; k < n; k++)
        x[k] *= scale;
}

/* ---- gates */

void qs_ref_glu_silu(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)
{
    (void)alpha, (void)limit;
    for (size_t k = 0; k < n; k++)
        out[k] = gate[k] / (1 + qs_exp(-gate[k])) * up[k];
}

void qs_ref_glu_gelu(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)
{
    (void)alpha, (void)limit;
    for (size_t k = 0; k < n; k++) {
        const float g = gate[k], u = QS_GELU_A * g * (QS_GELU_B * g * g + 1); /* (1 + tanh(u / 2)) / 2 = sigmoid(u) */
        out[k] = g / (1 + qs_exp(-u)) * up[k];
    }
}

void qs_ref_glu_gelu_erf(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)
{
    (void)alpha, (void)limit;
    for (size_t k = 0; k < n; k++)
        out[k] = 0.5f * gate[k] * erfcf(gate[k] * -0.70710678f) * up[k];
}

void qs_ref_glu_oai(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)
{
    for (size_t k = 0; k < n; k++) {
        const float g = gate[k] > limit ? limit : gate[k];
        const float low = up[k] > limit ? limit : up[k], u = low < -limit ? -limit : low;
        out[k] = g / (1 + qs_exp(-(alpha * g))) * (u + 1);
    }
}

/* ---- sums */

void qs_ref_add(float *x, const float *y, size_t n, float scale)
{
    for (size_t k = 0; k < n; k++)
        x[k] = fmaf(scale, y[k], x[k]);
}

void qs_ref_softcap(float *x, size_t n, float cap, float scale)
{
    for (size_t k = 0; k < n; k++)
        x[k] = cap != 0 ? cap * qs_tanh(x[k] * scale / cap) : x[k] * scale;
}

void qs_ref_merge(float *x, float a, const float *y, float b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = x[k] * a + y[k] * b;
}

static void gram(const float *x, size_t stride, size_t rows, size_t i, size_t cols, float *g)
{
    for (size_t t = 0; t < rows; t++)
        for (size_t j = i; j < cols; j++)
            g[j] = fmaf(x[t * stride + i], x[t * stride + j], g[j]);
}

void qs_ref_moments(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max)
{
    for (size_t t = 0; t < rows; t++, x += stride)
        for (size_t j = 0; j < n; j++) {
            const double v = (double)x[j];
            sum2[j] += v * v;
            sum[j] += v;
            max[j] = fabsf(x[j]) > max[j] ? fabsf(x[j]) : max[j];
        }
}

void qs_ref_rows(struct qs_row_ops *ops)
{
    *ops = (struct qs_row_ops){
        .quantize = { [QS_ACT_Q8] = qs_ref_quantize_q8, [QS_ACT_Q8K] = qs_ref_quantize_q8k,
                      [QS_ACT_BF16] = qs_ref_quantize_bf16 },
        .norm_rms = norm_rms,
        .norm_layer = qs_ref_norm_layer,
        .rope_norm = qs_ref_rope_norm,
        .rope_neox = qs_ref_rope_neox,
        .hadamard = qs_ref_hadamard,
        .glu = { qs_ref_glu_silu, qs_ref_glu_gelu, qs_ref_glu_gelu_erf, qs_ref_glu_oai },
        .add = qs_ref_add,
        .softcap = qs_ref_softcap,
        .merge = qs_ref_merge,
        .gram = gram,
        .moments = qs_ref_moments,
    };
    qs_ref_attend(&ops->attend);
    qs_ref_codes(&ops->codes);
    qs_ref_measure(&ops->measure);
}
