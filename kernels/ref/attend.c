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

static float kv_q8_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q8_0 *b = (const void *)row;
    return qs_f16_to_f32(b[i / 32].d) * (float)b[i / 32].qs[i % 32];
}

static float kv_q4_0(const uint8_t *row, size_t i)
{
    const struct qs_block_q4_0 *b = (const struct qs_block_q4_0 *)(const void *)row + i / 32;
    const size_t k = i % 32;
    return (float)((k < 16 ? b->qs[k] & 15 : b->qs[k - 16] >> 4) - 8) * qs_f16_to_f32(b->d);
}

/* ---- pieces */

static inline void logits(const struct qs_logits *j, qs_ref_kv_fn *value)
{
    for (size_t i = 0; i < j->queries; i++)
        for (size_t k = 0; k < j->keys; k++) {
            float s = 0;
            for (size_t d = 0; d < j->n; d++)
                s = fmaf(j->q[i * j->n + d], value(j->k + k * j->stride, d), s);
            j->out[i * QS_ATTEND_TILE + k] = s;
        }
}

static void logits_f32(const struct qs_logits *j) { logits(j, qs_ref_kv_f32); }
static void logits_f16(const struct qs_logits *j) { logits(j, qs_ref_kv_f16); }

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
        .logits = { logits_f32, logits_f16 },
        .softmax = softmax,
        .mix = { mix_f32, mix_f16, mix_q8_0, mix_q4_0 },
    };
}
