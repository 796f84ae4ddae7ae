/* codes_text.h - codes.h with the vectors of a level: its codes.c includes vec.h, then this.
 *
 * Every lane does the operations of kernels/ref/codes.c in their order. A level is found without its code: the nearest one
 * follows from the cuts that the number lies above.
 */
#include "kernels/ref/rows.h"

#define INLINE static inline __attribute__((always_inline))

INLINE vf nearest(const struct qs_rounder *r, vf t)
{
    if (r->line) {
        const vf first = v_all(r->level[0]);
        t = v_min(v_max(v_sub(t, first), v_all(0)), v_all((float)(r->n - 1))); /* NaN becomes 0 */
        return v_add(first, v_trunc(v_add(t, v_all(0.5f))));
    }
    vf level = v_all(r->sorted[0]);
    for (int k = 0; k < r->cuts; k++)
        level = v_pick(level, v_all(r->sorted[k + 1]), v_more(t, v_all(r->cut[k])));
    return level;
}

/* COUNT vectors of y stay in registers. */
enum { COUNT = 8 };

static void combine(float *y, const float *x, size_t stride, const float *a, size_t m, size_t n)
{
    size_t at = 0;
    for (; at + COUNT * LANES <= n; at += COUNT * LANES) {
        vf sum[COUNT];
        for (int i = 0; i < COUNT; i++)
            sum[i] = v_load(y + at + i * LANES);
        for (size_t k = 0; k < m; k++) {
            const float *row = x + k * stride + at;
            const vf v = v_all(a[k]);
            if (a[k] == 0)
                continue;
            for (int i = 0; i < COUNT; i++)
                sum[i] = v_add(sum[i], v_mul(v, v_load(row + i * LANES)));
        }
        for (int i = 0; i < COUNT; i++)
            v_store(y + at + i * LANES, sum[i]);
    }
    for (; at < n; at += LANES) {
        vf sum = v_load(y + at);
        for (size_t k = 0; k < m; k++)
            if (a[k] != 0)
                sum = v_add(sum, v_mul(v_all(a[k]), v_load(x + k * stride + at)));
        v_store(y + at, sum);
    }
}

static void feed(float (*to)[16], const float *error, const float *ratio, size_t m)
{
    for (size_t i = 0; i < 16; i += LANES) {
        const vf e = v_load(error + i);
        for (size_t k = 0; k < m; k++)
            v_store(to[k] + i, v_add(v_load(to[k] + i), v_mul(e, v_all(ratio[k]))));
    }
}

static size_t mover(const struct qs_code_row *r, size_t from)
{
    for (size_t at = from / LANES * LANES; at < r->n; at += LANES) {
        const float scale = r->scale[at / r->sub];
        if (scale == 0)
            continue;
        const vf offset = v_all(r->offset[at / r->sub]), level = v_load(r->level + at), h = v_load(r->h + at);
        const vf now = v_add(offset, v_mul(v_all(scale), level));
        const vf wish = v_sub(now, v_div(v_load(r->push + at), h));
        const vf best = nearest(r->round, v_div(v_sub(wish, offset), v_all(scale)));
        unsigned moves = m_bits(m_and(v_not_equal(best, level), v_more(h, v_all(0))));
        moves &= at < from ? ~0u << (from - at) : ~0u;
        if (moves)
            return at + (size_t)__builtin_ctz(moves);
    }
    return r->n;
}

/* Trials [at, at + LANES). */
static void settle_some(struct qs_code_trials *t, size_t at)
{
    const vf scale = v_load(t->scale + at), offset = v_load(t->offset + at);
    vf push[QS_TRIAL_SUB];
    double gain[LANES] = { 0 };
    for (size_t k = 0; k < t->n; k++) {
        push[k] = v_all(t->push[k]);
        v_store(t->step[k] + at, v_all(0));
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < t->n; k++) {
            const float *row = t->h + k * t->stride;
            const vf step = v_load(t->step[k] + at), now = v_add(v_all(t->value[k]), step);
            const vf wish = row[k] > 0 ? v_sub(now, v_div(push[k], v_all(row[k]))) : now;
            const vf level = nearest(t->round, v_div(v_sub(wish, offset), scale));
            const vf move = v_sub(v_add(offset, v_mul(scale, level)), now);
            v_store(t->level[k] + at, level);
            v_store(t->step[k] + at, v_add(step, move));
            for (size_t j = 0; j < t->n; j++)
                push[j] = v_add(push[j], v_mul(move, v_all(row[j])));
        }
    for (size_t k = 0; k < t->n; k++) {
        float after[LANES];
        v_store(after, push[k]);
        for (size_t i = 0; i < LANES; i++)
            gain[i] += (double)t->step[k][at + i] * ((double)t->push[k] + (double)after[i]);
    }
    for (size_t i = 0; i < LANES; i++)
        t->gain[at + i] = gain[i];
}

static void settle(struct qs_code_trials *t)
{
    for (size_t at = 0; at < t->count; at += LANES)
        settle_some(t, at);
}

void QS_LEVEL(codes)(struct qs_code_ops *ops) { *ops = (struct qs_code_ops){ combine, feed, mover, settle }; }
