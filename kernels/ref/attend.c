/* attend.c - the pieces of attention (attend.h) in plain C: their definition. */
#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/ref/attend.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/funcs.h"

/* ---- value i of a row */

float qs_ref_kv_f32(const uint8_t *row, size_t i)
{
    float f;
    memcpy(&f, row + 4 * i, 4);
    return f;
}

float qs_ref_kv_f16(const uint8_t *row, size_t i)
{
    uint16_t h;
    memcpy(&h, row + 2 * i, 2);
    return qs_f16_to_f32(h);
}

static int code_q8_0(const uint8_t *block, size_t i) { return (int8_t)block[2 + i]; }
static int code_q4_0(const uint8_t *block, size_t i) { return (i < 16 ? block[2 + i] & 15 : block[i - 14] >> 4) - 8; }

static float scale_of(const uint8_t *block)
{
    uint16_t d;
    memcpy(&d, block, sizeof d);
    return qs_f16_to_f32(d);
}

static float kv_q8_0(const uint8_t *row, size_t i)
{
    const uint8_t *b = row + i / 32 * sizeof(struct qs_block_q8_0);
    return (float)code_q8_0(b, i % 32) * scale_of(b);
}

static float kv_q4_0(const uint8_t *row, size_t i)
{
    const uint8_t *b = row + i / 32 * sizeof(struct qs_block_q4_0);
    return (float)code_q4_0(b, i % 32) * scale_of(b);
}

/* ---- queries */

static float scale_of_query(const float *x)
{
    float most = 0;
    for (int k = 0; k < 32; k++) {
        if (!(fabsf(x[k]) < INFINITY))
            return NAN;
        most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
    }
    return most < QS_ACT_TINY ? 0 : most / 32512;
}

static void query(const float *x, size_t n, void *row)
{
    int8_t *high = row, *low = high + n;
    for (size_t b = 0; b < n / 32; b++, x += 32, high += 32, low += 32) {
        const float d = scale_of_query(x), inv = d > 0 ? 1 / d : 0;
        int32_t sum = 0;
        for (int k = 0; k < 32; k++) {
            const float f = d > 0 ? x[k] * inv + QS_ROUNDER : QS_ROUNDER;
            const int32_t q = (int32_t)(qs_f32_bits(f) - qs_f32_bits(QS_ROUNDER));
            high[k] = (int8_t)((q + 32896) / 256 - 128);
            low[k] = (int8_t)(q - 256 * high[k]);
            sum += q;
        }
        qs_query_scales(row, n)[b] = d;
        qs_query_minus(row, n)[b] = -sum;
    }
}

/* ---- pieces */

static inline void logits(const struct qs_logits *j, qs_ref_kv_fn *value)
{
    for (size_t i = 0; i < j->queries; i++)
        for (size_t k = 0; k < j->keys; k++) {
            float s = 0;
            for (size_t d = 0; d < j->n; d++)
                s = fmaf(qs_ref_kv_f32(j->q + i * j->q_stride, d), value(j->k + k * j->stride, d), s);
            j->out[i * QS_ATTEND_TILE + k] = s;
        }
}

static void logits_f32(const struct qs_logits *j) { logits(j, qs_ref_kv_f32); }
static void logits_f16(const struct qs_logits *j) { logits(j, qs_ref_kv_f16); }

static inline void logits_codes(const struct qs_logits *j, int (*code)(const uint8_t *block, size_t i), size_t bytes)
{
    for (size_t i = 0; i < j->queries; i++)
        for (size_t k = 0; k < j->keys; k++) {
            const int8_t *high = (const void *)(j->q + i * j->q_stride), *low = high + j->n;
            const uint8_t *block = j->k + k * j->stride;
            float s = 0;
            for (size_t b = 0; b < j->n / 32; b++, block += bytes, high += 32, low += 32) {
                int32_t sum = 0;
                for (size_t d = 0; d < 32; d++)
                    sum += code(block, d) * (256 * high[d] + low[d]);
                s = fmaf(scale_of(block) * qs_query_scales(j->q + i * j->q_stride, j->n)[b], (float)sum, s);
            }
            j->out[i * QS_ATTEND_TILE + k] = s;
        }
}

static void logits_q8_0(const struct qs_logits *j) { logits_codes(j, code_q8_0, sizeof(struct qs_block_q8_0)); }
static void logits_q4_0(const struct qs_logits *j) { logits_codes(j, code_q4_0, sizeof(struct qs_block_q4_0)); }

static void softmax(const struct qs_softmax *j)
{
    for (size_t i = 0; i < j->queries; i++) {
        float *s = j->s + i * QS_ATTEND_TILE, most = j->max[i], part[16] = { 0 };
        for (size_t k = j->from; k < j->to; k++)
            most = s[k] > most ? s[k] : most;
        most += 0.0f; /* one zero of the two */
        for (size_t k = j->from; k < j->to; k++) {
            s[k] = qs_exp(s[k] - most);
            part[k % 16] += s[k];
        }
        for (int k = 0; k < 8; k++)
            part[k] += part[k + 8];
        j->scale[i] = j->max[i] == most ? 1 : qs_exp(j->max[i] - most);
        j->sum[i] = j->sum[i] * j->scale[i] + qs_sum8(part);
        j->max[i] = most;
    }
}

void qs_ref_mix_rest(const struct qs_mix *j, size_t first, qs_ref_kv_fn *value)
{
    for (size_t i = 0; i < j->queries; i++)
        for (size_t d = first; d < j->n; d++) {
            float y = j->y[i * j->y_stride + d] * j->scale[i];
            for (size_t k = j->from; k < j->to; k++)
                y = fmaf(j->p[i * QS_ATTEND_TILE + k], value(j->v + k * j->stride, d), y);
            j->y[i * j->y_stride + d] = y;
        }
}

static void mix_f32(const struct qs_mix *j) { qs_ref_mix_rest(j, 0, qs_ref_kv_f32); }
static void mix_f16(const struct qs_mix *j) { qs_ref_mix_rest(j, 0, qs_ref_kv_f16); }
static void mix_q8_0(const struct qs_mix *j) { qs_ref_mix_rest(j, 0, kv_q8_0); }
static void mix_q4_0(const struct qs_mix *j) { qs_ref_mix_rest(j, 0, kv_q4_0); }

void qs_ref_attend(struct qs_attend_ops *ops)
{
    *ops = (struct qs_attend_ops){
        .query = query,
        .logits = { logits_f32, logits_f16, logits_q8_0, logits_q4_0 },
        .softmax = softmax,
        .mix = { mix_f32, mix_f16, mix_q8_0, mix_q4_0 },
    };
}
