/* iq4.c - the inner searches of IQ4_NL and IQ4_XS at AVX-512; the rest of these encoders is in kernels/ref/iq4.c.
 *
 * Same bits as the plain functions: a lane is one of eight groups of 32 weights on one of two scales, and its sums run
 * over the weights in their order. Groups whose numbers are too large for the look-up are done by the plain code.
 * Nothing is fused but the choice of a row of the tables. No state, no allocation.
 */
#include "kernels/x86_avx512/vec.h"

#include <math.h>

#include "kernels/ref/iq_search.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avx512/iq.h"

/* The line from -139 to 139 in 32 stretches of 1/0.115, each of which one border between two values (or none) crosses:
 * the border, the value and its place below it, the value above. Borders are at least 11.5 apart, so a stretch has none
 * in its neighbour's last 0.2 either: rounding may pick any of the two there. */
#define STRETCHES_PER_UNIT 0.115f
static const float border[32] = {
    1000, 1000, 1000, -115.5f, 1000, -93.5f, 1000, -74, -74, -57, 1000, -42, 1000, -28.5f, -16, -4.5f, -4.5f,
    7, 19, 1000, 31.5f, 45.5f, 1000, 61, 1000, 79, 1000, 1000, 101, 1000, 1000, 1000
};
static const float below[32] = {
    -127, -127, -127, -127, -104, -104, -83, -83, -83, -65, -49, -49, -35, -35, -22, -10, -10, 1, 13, 25, 25,
    38, 53, 53, 69, 69, 89, 89, 89, 113, 113, 113
};
static const float above[32] = {
    -104, -104, -104, -104, -83, -83, -65, -65, -65, -49, -35, -35, -22, -22, -10, 1, 1, 13, 25, 38, 38, 53,
    69, 69, 89, 89, 113, 113, 113, 113, 113, 113
};
static const int32_t place_below[32] = {
    0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 10, 10, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15,
    15
};
enum { FARTHEST = 134 }; /* the numbers looked up are of no greater magnitude but for rounding */

static inline vi stretch_of(vf v)
{
    return i_bits(v_fused(v, v_all(STRETCHES_PER_UNIT), v_all(12582912.f + 16))); /* the lowest 5 bits */
}

static inline vf look_up(const float table[32], vi at)
{
    return _mm512_permutex2var_ps(v_load(table), at, v_load(table + 16));
}

enum { GROUPS = 8, STEPS = 8 };

struct sums {
    float qx[STEPS][LANES], q2[STEPS][LANES];
};

/* x, w: transposed; inv[s]: of step s, two scales for each group. */
static void sum_steps(const vf *x, const vf *w, const vf inv[STEPS], struct sums *out)
{
    vf qx[STEPS], q2[STEPS];
#pragma GCC unroll 8
    for (int s = 0; s < STEPS; s++)
        qx[s] = q2[s] = v_all(0);
    for (int i = 0; i < 32; i++) {
#pragma GCC unroll 8
        for (int s = 0; s < STEPS; s++) {
            vf v = v_mul(inv[s], x[i]);
            vi at = stretch_of(v);
            vf q = v_pick(look_up(below, at), look_up(above, at), v_not_less(v, look_up(border, at)));
            vf wq = v_mul(w[i], q);
            qx[s] = v_add(qx[s], v_mul(wq, x[i]));
            q2[s] = v_add(q2[s], v_mul(wq, q));
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < STEPS; s++) {
        v_store(out->qx[s], qx[s]);
        v_store(out->q2[s], q2[s]);
    }
}

/* The best scale of each group: its sixteen sums in the order of the plain search. */
static vm choose(const struct sums *t, float scale[LANES])
{
    vf d = v_all(0), best = d;
    vm wild = m_none();
    for (int k = 0; k < 2 * STEPS; k++) {
        const vf qx = v_load(t->qx[k % STEPS]), q2 = v_load(t->q2[k % STEPS]);
        const vf lx = k < STEPS ? qx : _mm512_shuffle_f32x4(qx, qx, 0xee); /* the groups on their second scale */
        const vf l2 = k < STEPS ? q2 : _mm512_shuffle_f32x4(q2, q2, 0xee);
        vf its = v_div(lx, l2);
        vm take = v_more(l2, v_all(0));
        if (k > 0)
            take = m_and(take, v_more(v_mul(lx, lx), v_mul(best, l2)));
        d = v_pick(d, its, take);
        best = v_pick(best, v_mul(its, lx), take);
        wild = m_or(wild, m_or(v_not_at_most(v_abs(lx), v_all(1e30f)), v_not_at_most(l2, v_all(1e30f))));
    }
    v_store(scale, d);
    return wild;
}

static void scales(const float *x, const float *w, int n, float *scale)
{
    const float *rows_x[LANES], *rows_w[LANES];
    vf vx[32], vw[32], inv[STEPS], size = v_all(0), max = size;
    struct sums t;
    float found[LANES];
    for (int r = 0; r < LANES; r++) {
        rows_x[r] = x + 32 * (r % GROUPS < n ? r % GROUPS : 0);
        rows_w[r] = w + 32 * (r % GROUPS < n ? r % GROUPS : 0);
    }
    for (size_t at = 0; at < 32; at += LANES) {
        v_transpose(rows_x, at, vx + at);
        v_transpose(rows_w, at, vw + at);
    }
    for (int i = 0; i < 32; i++) {
        vm larger = v_more(v_abs(vx[i]), size);
        size = v_pick(size, v_abs(vx[i]), larger);
        max = v_pick(max, vx[i], larger);
    }
    for (int s = 0; s < STEPS; s++) /* -135..-128 for the first scales (-135 is another), -127..-120 for the second */
        inv[s] = v_div(_mm512_mask_blend_ps(0xff00, v_all((float)(s - 8 - 127)), v_all((float)(s - 127))), max);
    inv[0] = _mm512_mask_blend_ps(0x00ff, inv[0], v_div(v_all(1), v_div(v_minus(max), v_all(-127))));
    sum_steps(vx, vw, inv, &t);
    vm some = v_not_less(size, v_all(QS_SEARCH_EPS)), wild = m_or(choose(&t, found), v_more(size, v_all(1e30f)));
    if (m_bits(m_and(wild, some)) & 0xff) {
        qs_iq4_ref.scales(x, w, n, scale);
        return;
    }
    for (int g = 0; g < n; g++)
        scale[g] = m_bits(some) >> g & 1 ? found[g] : 0;
}

static void weigh(const float *x, const float *importance, float sigma2, int n, float *w)
{
    const vf s = v_all(sigma2);
    for (int i = 0; i < n; i += LANES) {
        vf v = v_load(x + i), square = v_mul(v, v);
        v_store(w + i, importance ? v_mul(v_load(importance + i), v_sqrt(v_add(s, square))) : square);
    }
}

static void place(const float *x, float inv, uint8_t *code)
{
    for (int i = 0; i < 32; i += LANES) {
        vf v = v_min(v_mul(v_all(inv), v_load(x + i)), v_all(FARTHEST)); /* the second where one is NaN */
        v = v_max(v, v_all(-FARTHEST));
        vi at = stretch_of(v);
        vi l = _mm512_permutex2var_epi32(i_load(place_below), at, i_load(place_below + 16));
        vm up = v_not_less(v, look_up(border, at));
        i_store_bytes(code + i, i_pick(l, i_add(l, i_all(1)), up));
    }
}

static const struct qs_iq4_fns iq4_fns = {scales, place, weigh};

void qs_avx512_iq4_nl_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq4_nl_fit_with(&iq4_fns, in, grid, codes);
}

void qs_avx512_iq4_xs_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq4_xs_fit_with(&iq4_fns, in, grid, codes);
}
