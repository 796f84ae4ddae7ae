/* iq_text.h - the inner searches of the IQ2 and IQ3 encoders (struct qs_iq_fns): common text, compiled once per level
 * (iq.c of its folder, after its vec.h). The rest of these encoders is in kernels/ref.
 *
 * Same bits as the plain functions they stand for: every sum that decides runs over the weights in the same order, one
 * sum per lane. A lane is a scale to try or a point of a neighbour list; where the plain loop takes the first of
 * several, the lanes are looked at in that order. No state, no allocation.
 */
#include <math.h>
#include <string.h>

#include "kernels/lanes/search.h"
#include "kernels/ref/iq_search.h"
#include "kernels/ref/tables_iq.h"

#include "kernels/lanes/near_text.h"

enum { TRIES_MAX = 32 };

/* ---- rounding and moving to points */

/* One group on one scale, after the row of scales. */
INLINE uint16_t group_point(const struct qs_iq_book *b, const float *x, const float *root_w, float inv, float scale,
                            unsigned dim)
{
    unsigned point = 0;
    for (unsigned i = 0; i < dim; i++) {
        int l = qs_nearest_int(0.5f * (inv * x[i] - 1));
        point |= (unsigned)qs_clamp_int(l, 0, dim == 8 ? 2 : 7) << bits_of(dim) * i;
    }
    const struct qs_iq_near *near = &b->near[rank_of(point, dim)];
    if (near->index >= 0)
        return (uint16_t)point;
    return nearest_listed(b->list + near->first, near->count, x, root_w, scale, dim);
}

/* Round one group on a vector of scales; `inv` are their inverses. */
INLINE vi round_group(const float *x, vf inv, unsigned dim)
{
    const vi zero = i_all(0x400000), top = i_all(0x400000 + (dim == 8 ? 2 : 7));
    vi point = i_all(0);
    QS_UNROLL_SOME
    for (unsigned i = dim; i-- > 0;) {
        vf v = v_sub(v_mul(inv, v_all(x[i])), v_all(1));
        v = v_add(v_mul(v_all(0.5f), v), v_all(12582912.f));
        vi l = i_and(i_bits(v), i_all(0x007fffff));
        l = i_sub(i_min(i_max(l, zero), top), zero);
        point = i_or(i_shift_left(point, bits_of(dim)), l);
    }
    return point;
}

struct tries {
    uint32_t point[QS_IQ_GROUPS_MAX][TRIES_MAX + LANES]; /* of each group on each scale */
    uint32_t on_grid[QS_IQ_GROUPS_MAX];          /* bit t: rounding alone found it */
    float scale[TRIES_MAX], qx[TRIES_MAX], q2[TRIES_MAX];
};

/* Sums of w*x*q and w*q*q for all scales. */
INLINE void sum_tries(struct tries *t, unsigned vectors, unsigned sub, const float *x, const float *w, unsigned dim)
{
    vf qx[TRIES_MAX / LANES], q2[TRIES_MAX / LANES], q = all_q(dim);
    QS_UNROLL_SOME
    for (unsigned v = 0; v < vectors; v++)
        qx[v] = q2[v] = v_all(0);
    for (unsigned k = 0; k < sub / dim; k++) {
        vi p[TRIES_MAX / LANES];
    QS_UNROLL_SOME
        for (unsigned v = 0; v < vectors; v++)
            p[v] = i_load(&t->point[k][LANES * v]);
        for (unsigned i = dim * k; i < dim * (k + 1); i++) {
            vf wi = v_all(w[i]), wx = v_mul(wi, v_all(x[i]));
            vf table_x = v_mul(wx, q), table_2 = v_mul(v_mul(wi, q), q);
    QS_UNROLL_SOME
            for (unsigned v = 0; v < vectors; v++) {
                qx[v] = v_add(qx[v], pick(table_x, p[v], dim));
                q2[v] = v_add(q2[v], pick(table_2, p[v], dim));
                p[v] = i_shift_right(p[v], bits_of(dim));
            }
        }
    }
    QS_UNROLL_SOME
    for (unsigned v = 0; v < vectors; v++) {
        v_store(t->qx + LANES * v, qx[v]);
        v_store(t->q2 + LANES * v, q2[v]);
    }
}

/* The points for tries from..to-1 of a group, all of which round to the same place beside the points. */
INLINE void find_run(uint32_t *point, unsigned from, unsigned to, const float *scale, const uint16_t *list,
                     unsigned count, const struct slopes *slopes, const float *x, const float *root_w,
                     const struct extent *e, unsigned dim)
{
    struct parabolas c;
    make_parabolas(list, count, slopes, dim, &c);
    c.all = count <= SHORT_LIST && bounded(scale[from], e) && bounded(scale[to - 1], e);
    c.rivals = count;
    if (!c.all)
        find_rivals(&c, scale[from], scale[to - 1], e);
    for (unsigned at = from / LANES * LANES; at < to; at += LANES) {
        unsigned open;
        const vi place = i_add(i_all((int)at), i_ramp());
        const vi found = c.all ? nearest_rivals(&c, true, v_load(scale + at), e, &open)
                               : nearest_rivals(&c, false, v_load(scale + at), e, &open);
        const vm in = m_but(i_more(i_all((int)to), place), i_more(i_all((int)from), place));
        i_store((int32_t *)point + at, i_pick(i_load(point + at), found, in));
        for (open &= m_bits(in); open; open &= open - 1) {
            const unsigned j = at + (unsigned)__builtin_ctz(open);
            point[j] = nearest_listed(list, count, x, root_w, scale[j], dim);
        }
    }
}

/* Bit t: try t rounds a group otherwise than the one before. */
INLINE uint32_t changes(const uint32_t *point, unsigned n)
{
    uint32_t same = 0;
    for (unsigned t = 0; t < n; t += LANES)
        same |= (uint32_t)m_bits(i_equal(i_load(point + t), i_load(point + t + 1))) << t;
    return ~same << 1;
}

/* Move to points what rounding left beside them. Neighbouring tries mostly round a group alike. */
INLINE void find_points(struct tries *t, unsigned n, unsigned groups, const struct qs_iq_book *b, const float *x,
                        const float *root_w, unsigned dim)
{
    for (unsigned k = 0; k < groups; k++, x += dim, root_w += dim) {
        const struct extent e = extent_of(x, root_w, dim);
        uint32_t *point = t->point[k], starts = changes(point, n) | UINT32_C(1) << n;
        struct slopes slopes;
        make_slopes(x, root_w, dim, &slopes);
        t->on_grid[k] = 0;
        for (unsigned j = 0, to; j < n; j = to) {
            starts &= ~UINT32_C(0) << j << 1;
            to = (unsigned)__builtin_ctz(starts);
            const struct qs_iq_near *near = &b->near[rank_of(point[j], dim)];
            if (near->index >= 0)
                t->on_grid[k] |= (UINT32_C(1) << to) - (UINT32_C(1) << j);
            else
                find_run(point, j, to, t->scale, b->list + near->first, near->count, &slopes, x, root_w, &e, dim);
        }
    }
}

INLINE void fit_tries(struct tries *t, const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x,
                      const float *w, const float *root_w, float max, unsigned dim, unsigned vectors)
{
    unsigned n = 2u * (unsigned)kind->tries + 1, groups = kind->sub / dim;
    for (unsigned v = 0; v < vectors; v++) {
        vi step = i_add(i_all((int)(LANES * v) - kind->tries), i_ramp());
        vf inv = v_mul(v_of(step), v_all(kind->step));
        inv = v_div(v_add(v_all(dim == 8 ? 5 : 15), inv), v_all(max));
        v_store(t->scale + LANES * v, v_div(v_all(1), inv));
        for (unsigned k = 0; k < groups; k++)
            i_store((int32_t *)&t->point[k][LANES * v], round_group(x + dim * k, inv, dim));
    }
    find_points(t, n, groups, b, x, root_w, dim);
    sum_tries(t, vectors, kind->sub, x, w, dim);
}

/* As refit() of kernels/ref/iq_search.c. */
INLINE float refit(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x, const float *w,
                   const float *root_w, float scale, unsigned on_grid, uint16_t *points, unsigned dim)
{
    unsigned groups = kind->sub / dim, bits = bits_of(dim), mask = (1u << bits) - 1;
    if ((on_grid == (1u << groups) - 1 && kind->refit != QS_REFIT_ALWAYS) || !(scale > 0))
        return scale;
    float qx = 0, q2 = 0;
    for (unsigned k = 0; k < groups; k++) {
        if (!((on_grid >> k & 1) && kind->refit == QS_REFIT_OFF_GRID))
            points[k] = group_point(b, x + dim * k, root_w + dim * k, 1 / scale, scale, dim);
        unsigned p = points[k];
        for (unsigned i = dim * k; i < dim * (k + 1); i++, p >>= bits) {
            float q = (float)(2 * (p & mask) + 1);
            qx += w[i] * x[i] * q;
            q2 += w[i] * q * q;
        }
    }
    return q2 > 0 ? qx / q2 : scale;
}

INLINE float scale_search(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x, const float *w,
                          float max, float start, uint16_t *points, unsigned dim, unsigned tries)
{
    struct tries t;
    unsigned n = 2u * (unsigned)kind->tries + 1, groups = kind->sub / dim, best_try = n, on_grid = 0;
    float root_w[QS_IQ_SUB_MAX], scale = start, best = 0;
    for (unsigned i = 0; i < kind->sub; i += LANES)
        v_store(root_w + i, v_sqrt(v_load(w + i)));
    fit_tries(&t, kind, b, x, w, root_w, max, dim, (2 * tries + LANES) / LANES);
    for (unsigned j = 0; j < n; j++) {
        if (t.q2[j] > 0 && t.qx[j] * t.qx[j] > best * t.q2[j]) {
            scale = t.qx[j] / t.q2[j];
            best = scale * t.qx[j];
            best_try = j;
        }
    }
    for (unsigned k = 0; k < groups; k++) {
        bool on = best_try < n ? t.on_grid[k] >> best_try & 1 : kind->refit != QS_REFIT_ALL_IF_OFF;
        points[k] = (uint16_t)(best_try < n ? t.point[k][best_try] : 0);
        on_grid |= (unsigned)on << k;
    }
    return refit(kind, b, x, w, root_w, scale, on_grid, points, dim);
}

/* qs_iq_scale_fn. The last number: no fewer than kind->tries, which is at most 6, 9 or 15. */
static float scale_lanes(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x, const float *w,
                         float max, float start, uint16_t *points)
{
    if (b->dim == 8)
        return kind->tries <= 6 ? scale_search(kind, b, x, w, max, start, points, 8, 6)
                                : scale_search(kind, b, x, w, max, start, points, 8, 9);
    return kind->tries <= 9 ? scale_search(kind, b, x, w, max, start, points, 4, 9)
                            : scale_search(kind, b, x, w, max, start, points, 4, 15);
}

/* qs_iq_starts_fn, the start of IQ2_XXS: the eight searches of a super-block beside each other. */
static void starts_lanes(const float *x, const float *w, float start[8])
{
    const float *rows_x[LANES], *rows_w[LANES];
    vf vx[32], vw[32];
    vi code[32];
    vm large = m_none();
    float all[LANES];
    for (int j = 0; j < LANES; j++) {
        rows_x[j] = x + 32 * (j % 8);
        rows_w[j] = w + 32 * (j % 8);
    }
    for (size_t at = 0; at < 32; at += LANES) {
        v_transpose(rows_x, at, vx + at);
        v_transpose(rows_w, at, vw + at);
    }
    for (int i = 0; i < 32; i++) {
        large = m_or(large, v_not_less(v_abs(vx[i]), v_all(1e15f)));
        large = m_or(large, v_not_less(vw[i], v_all(1e15f)));
    }
    if (m_bits(large)) { /* or NaN: sums may overflow, and then lanes differ from the plain search */
        qs_iq_ref.starts(x, w, start);
        return;
    }
    v_store(all, QS_LANES(positive)(32, 4, vx, vw, code));
    memcpy(start, all, 8 * sizeof start[0]);
}

/* ---- a super-block made ready */

/* Whether all of x is finite, and so is the importance, without a minus sign. */
INLINE bool ordinary(const float *x, const float *importance)
{
    const vi none = i_all(0x7f7fffff);
    vm bad = m_none();
    for (size_t i = 0; i < 256; i += LANES) {
        bad = m_or(bad, i_more(i_and(i_load(x + i), i_all(0x7fffffff)), none));
        if (importance)
            bad = m_or(bad, m_or(i_more(i_load(importance + i), none), i_more(i_all(0), i_load(importance + i))));
    }
    return !m_bits(bad);
}

/* Where the number of minus signs is odd, the least of w*x*x turns. x, w: place i of LANES eights; first: the number of
 * the first of them, step: to the next. */
INLINE void make_even(const vf *x, const vf *w, unsigned first, unsigned step, vi *signs, float *magnitude)
{
    vf least = v_mul(v_mul(w[0], x[0]), x[0]);
    vi at = i_all(0), odd = i_and(*signs, i_all(1));
    for (int i = 1; i < 8; i++) {
        const vf v = v_mul(v_mul(w[i], x[i]), x[i]);
        const vm less = v_less(v, least);
        least = v_pick(least, v, less);
        at = i_pick(at, i_all(i), less);
        odd = i_add(odd, i_shift_right(*signs, (unsigned)i)); /* its lowest bit */
    }
    odd = i_and(odd, i_all(1));
    int32_t place[LANES], bits[LANES];
    i_store(place, at);
    i_store(bits, *signs);
    for (unsigned turn = m_bits(i_equal(odd, i_all(1))); turn; turn &= turn - 1) {
        const unsigned r = (unsigned)__builtin_ctz(turn);
        float *m = magnitude + 8 * (first + step * r) + place[r];
        *m = -*m;
        bits[r] ^= 1 << place[r];
    }
    *signs = i_and(i_load(bits), i_all(127));
}

/* Signs of the eights that begin in columns 8 * half.. of LANES rows of LANES weights. */
INLINE void split_signs(const vf *x, const vf *w, bool even, unsigned first, struct qs_iq_ready *out)
{
    enum { STEP = LANES / 8 };
    for (unsigned half = 0; half < STEP; half++, x += 8, w += 8) {
        vi signs = i_all(0);
        int32_t bits[LANES];
        for (int i = 0; i < 8; i++)
            signs = i_or(signs, i_pick(i_all(0), i_all(1 << i), v_less(x[i], v_all(0))));
        if (even)
            make_even(x, w, first + half, STEP, &signs, out->magnitude);
        i_store(bits, signs);
        for (unsigned r = 0; r < LANES; r++)
            out->signs[first + half + STEP * r] = (uint8_t)bits[r];
    }
}

/* qs_iq_ready_fn */
static void ready_lanes(const struct qs_iq_kind *kind, const float *x, const float *importance, struct qs_iq_ready *out)
{
    if (!ordinary(x, importance)) {
        qs_iq_ref.ready(kind, x, importance, out);
        return;
    }
    const float sigma2 = qs_iq_sigma2(x, 256, kind->sigma_factor);
    for (size_t i = 0; i < 256; i += LANES) {
        const vf v = v_load(x + i), square = v_mul(v, v);
        v_store(out->w + i, importance ? v_mul(v_load(importance + i), v_sqrt(v_add(v_all(sigma2), square)))
                                       : v_add(v_all(kind->flat_factor * sigma2), square));
        v_store(out->magnitude + i, v_pick(v, v_minus(v), v_less(v, v_all(0))));
    }
    for (unsigned b = 0; b < 256; b += LANES * LANES) {
        const float *rows_x[LANES], *rows_w[LANES];
        vf vx[LANES], vw[LANES];
        for (unsigned r = 0; r < LANES; r++) {
            rows_x[r] = x + b + LANES * r;
            rows_w[r] = out->w + b + LANES * r;
        }
        v_transpose(rows_x, 0, vx);
        v_transpose(rows_w, 0, vw);
        split_signs(vx, vw, kind->even_signs, b / 8, out);
    }
}

static const struct qs_iq_fns iq_fns = {scale_lanes, starts_lanes, ready_lanes};
