/* codes.c - codes.h in plain C: what the other levels are held to. */
#include <string.h>

#include "kernels/ref/rows.h"

static void combine(float *y, const float *x, size_t stride, const float *a, size_t m, size_t n)
{
    for (size_t k = 0; k < m; k++)
        for (size_t i = 0; a[k] != 0 && i < n; i++)
            y[i] += a[k] * x[k * stride + i];
}

static void feed(float (*to)[16], const float *error, const float *ratio, size_t m)
{
    for (size_t k = 0; k < m; k++)
        for (size_t i = 0; i < 16; i++)
            to[k][i] += error[i] * ratio[k];
}

static size_t mover(const struct qs_code_row *r, size_t from)
{
    for (size_t k = from; k < r->n; k++) {
        const float scale = r->scale[k / r->sub], offset = r->offset[k / r->sub], now = offset + scale * r->level[k];
        if (!(r->h[k] > 0) || scale == 0)
            continue;
        if (r->round->level[qs_rounder_code(r->round, (now - r->push[k] / r->h[k] - offset) / scale)] != r->level[k])
            return k;
    }
    return r->n;
}

static void settle_one(struct qs_code_trials *t, size_t at)
{
    float push[QS_TRIAL_SUB], step[QS_TRIAL_SUB] = { 0 };
    const float scale = t->scale[at], offset = t->offset[at];
    memcpy(push, t->push, t->n * sizeof *push);
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < t->n; k++) {
            const float *row = t->h + k * t->stride, now = t->value[k] + step[k];
            const float wish = row[k] > 0 ? now - push[k] / row[k] : now;
            const float level = t->round->level[qs_rounder_code(t->round, (wish - offset) / scale)];
            const float move = offset + scale * level - now;
            t->level[k][at] = level;
            step[k] = step[k] + move;
            combine(push, row, 0, &move, 1, t->n);
        }
    t->gain[at] = 0;
    for (size_t k = 0; k < t->n; k++) {
        t->step[k][at] = step[k];
        t->gain[at] += (double)step[k] * ((double)t->push[k] + (double)push[k]);
    }
}

static void settle(struct qs_code_trials *t)
{
    for (size_t i = 0; i < t->count; i++)
        settle_one(t, i);
}

void qs_ref_codes(struct qs_code_ops *ops) { *ops = (struct qs_code_ops){ combine, feed, mover, settle }; }
