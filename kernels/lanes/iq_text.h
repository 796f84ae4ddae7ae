/* iq_text.h - the inner searches of the IQ2 and IQ3 encoders (struct qs_iq_fns): common text, compiled once per level
 * (iq.c of its folder, after its vec.h). The rest of these encoders is in kernels/ref.
 *
 * Same bits as the plain functions they stand for: every sum that decides runs over the weights in the same order, one
 * sum per lane. A lane is a scale to try or a point of a neighbour list; where the plain loop takes the first of
 * several, the lanes are looked at in that order. No state, no allocation.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/lanes/search.h"
#include "kernels/ref/iq_search.h"
#include "kernels/ref/tables_iq.h"

/* Inlined so that `dim` and `vectors` are constants in every copy and the loops over them come apart. */
#define INLINE static inline __attribute__((always_inline))

enum { TRIES_MAX = 32 };

/* q = 2*level+1 of all levels, as often as they go into a vector (with three levels the fourth is not used). */
INLINE vf all_q(unsigned dim)
{
    static const float q[2][8] = {{1, 3, 5, 7, 1, 3, 5, 7}, {1, 3, 5, 7, 9, 11, 13, 15}};
    return v_repeat_8(q[dim == 4]);
}

/* The table's entry for the lowest level of each lane's point. */
INLINE vf pick(vf table, vi point, unsigned dim)
{
    return dim == 8 ? v_lookup_4(table, point) : v_lookup_8(table, point);
}

INLINE unsigned bits_of(unsigned dim) { return dim == 8 ? 2 : 3; }

INLINE unsigned rank_of(unsigned point, unsigned dim)
{
    return dim == 8 ? qs_iq_rank4[point & 255] + 81u * qs_iq_rank4[point >> 8] : point;
}

/* ---- the nearest of a list of points, as the plain search finds it */

/* table[i]: what weight i costs on each level; the sum over the weights, for the points of lanes at.. of a list. */
INLINE vf list_sums(const uint16_t *list, unsigned count, unsigned at, const vf *table, unsigned dim)
{
    vi p = i_load_u16(list + at, count - at);
    vf s = pick(table[0], p, dim);
#pragma GCC unroll 8
    for (unsigned i = 1; i < dim; i++) {
        p = i_shift_right(p, bits_of(dim));
        s = v_add(s, pick(table[i], p, dim));
    }
    return s;
}

INLINE vm beyond(unsigned count, unsigned at) { return i_more(i_add(i_ramp(), i_all((int)at)), i_all((int)count - 1)); }

/* The first point with the smallest sum; sums that are no ordinary numbers do not count. */
INLINE uint16_t nearest_listed(const uint16_t *list, unsigned count, const float *x, const float *root_w, float scale,
                               unsigned dim)
{
    vf cost[8], best = v_all(FLT_MAX);
    vi place = i_all(0);
    const vf decoded = v_mul(v_all(scale), all_q(dim));
#pragma GCC unroll 8
    for (unsigned i = 0; i < dim; i++) {
        vf diff = v_sub(decoded, v_all(x[i]));
        cost[i] = v_mul(v_mul(v_all(root_w[i]), diff), diff);
    }
    for (unsigned at = 0; at < count; at += LANES) {
        vf s = list_sums(list, count, at, cost, dim);
        vm less = m_but(v_less(s, best), beyond(count, at));
        best = v_pick(best, s, less);
        place = i_pick(place, i_add(i_ramp(), i_all((int)at)), less);
    }
    float least = v_least(best);
    return least < FLT_MAX ? list[i_least(i_pick(i_all(65535), place, v_equal(best, v_all(least))))] : list[0];
}

/* ---- the same for many scales
 *
 * The points of a list as parabolas: on the scale s the cost of point p, sum of w * (s*q - x)^2, is s * (s*b + a) plus
 * what all points share, with b = sum of w*q*q and a = -2 * sum of w*x*q. So a and b serve all scales on which a group
 * rounds to the same place, and two operations rank a vector of points. That ranking is not that of the plain search
 * bit by bit, but close: with u = 2^-24 and size = s*s*W + X (W: sum of w times the largest q*q, X: sum of w*x*x)
 *  - the plain sum is within 25u * size of its true value: 2u of it for each product and 7u for the sum, and
 *    2 * |s*q - x| * (2*|s*q| + |x|) * u for the difference that is squared;
 *  - s * (s*b + a) is within 20u * size of its own: 9u of s*s*b and of s*a for products and sums, 2u for the last two.
 * So a point whose value is smallest by more than 90u * size is the plain search's choice (taken here: 128u); if
 * another is closer than that, the plain search runs. The bounds on size and s keep out overflow, and underflow that would show
 * beside that.
 */
enum { PARABOLAS_MAX = 320 }; /* longer lists than those of the books */

struct parabolas {
    vf a[PARABOLAS_MAX / LANES], b[PARABOLAS_MAX / LANES];
    unsigned vectors;
};

struct extent {
    float w, x; /* W and X above */
};

INLINE struct extent extent_of(const float *x, const float *root_w, unsigned dim)
{
    struct extent e = {0, 0};
    for (unsigned i = 0; i < dim; i++) {
        e.w += root_w[i];
        e.x += root_w[i] * x[i] * x[i];
    }
    e.w *= dim == 8 ? 25 : 225;
    return e;
}

INLINE void make_parabolas(const uint16_t *list, unsigned count, const float *x, const float *root_w, unsigned dim,
                           struct parabolas *out)
{
    const vf q = all_q(dim), q2 = v_mul(q, q);
    vf a[8], b[8];
#pragma GCC unroll 8
    for (unsigned i = 0; i < dim; i++) {
        a[i] = v_mul(v_all(root_w[i] * (-2 * x[i])), q);
        b[i] = v_mul(v_all(root_w[i]), q2);
    }
    out->vectors = 0;
    for (unsigned at = 0; at < count && at < PARABOLAS_MAX; at += LANES, out->vectors++) {
        out->a[at / LANES] = v_pick(list_sums(list, count, at, a, dim), v_all(FLT_MAX / 2), beyond(count, at));
        out->b[at / LANES] = list_sums(list, count, at, b, dim);
    }
}

/* The place in the list of the point nearest on this scale; -1 where that is too close to call. */
INLINE int nearest_parabola(const struct parabolas *c, float scale, const struct extent *e)
{
    const float size = scale * scale * e->w + e->x;
    if (!(size > 1e-20f && size < 1e30f && scale > 1e-10f && scale < 1e10f))
        return -1;
    const vf s = v_all(scale);
    vf least = v_all(FLT_MAX);
    for (unsigned v = 0; v < c->vectors; v++)
        least = v_min(v_fused(s, c->b[v], c->a[v]), least);
    const vf limit = v_all(v_least(least) + 128 * 0x1p-24f * size / scale);
    unsigned at = 0, several = 0, found = 0;
    for (unsigned v = 0; v < c->vectors; v++) {
        unsigned close = m_bits(v_at_most(v_fused(s, c->b[v], c->a[v]), limit));
        several |= (close & (close - 1)) | (close ? found : 0);
        found |= close;
        at = close ? v * LANES + (unsigned)__builtin_ctz(close) : at;
    }
    return several || !found ? -1 : (int)at;
}

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
#pragma GCC unroll 8
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
    uint32_t point[QS_IQ_GROUPS_MAX][TRIES_MAX]; /* of each group on each scale */
    uint32_t on_grid[QS_IQ_GROUPS_MAX];          /* bit t: rounding alone found it */
    float scale[TRIES_MAX], qx[TRIES_MAX], q2[TRIES_MAX];
};

/* Sums of w*x*q and w*q*q for all scales. */
INLINE void sum_tries(struct tries *t, unsigned vectors, unsigned sub, const float *x, const float *w, unsigned dim)
{
    vf qx[TRIES_MAX / LANES], q2[TRIES_MAX / LANES], q = all_q(dim);
#pragma GCC unroll 8
    for (unsigned v = 0; v < vectors; v++)
        qx[v] = q2[v] = v_all(0);
    for (unsigned k = 0; k < sub / dim; k++) {
        vi p[TRIES_MAX / LANES];
#pragma GCC unroll 8
        for (unsigned v = 0; v < vectors; v++)
            p[v] = i_load(&t->point[k][LANES * v]);
        for (unsigned i = dim * k; i < dim * (k + 1); i++) {
            vf wi = v_all(w[i]), wx = v_mul(wi, v_all(x[i]));
            vf table_x = v_mul(wx, q), table_2 = v_mul(v_mul(wi, q), q);
#pragma GCC unroll 8
            for (unsigned v = 0; v < vectors; v++) {
                qx[v] = v_add(qx[v], pick(table_x, p[v], dim));
                q2[v] = v_add(q2[v], pick(table_2, p[v], dim));
                p[v] = i_shift_right(p[v], bits_of(dim));
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned v = 0; v < vectors; v++) {
        v_store(t->qx + LANES * v, qx[v]);
        v_store(t->q2 + LANES * v, q2[v]);
    }
}

/* The points for tries from..to-1 of a group, all of which round to the same place beside the points. */
INLINE void find_run(uint32_t *point, unsigned from, unsigned to, const float *scale, const struct qs_iq_book *b,
                     const struct qs_iq_near *near, const float *x, const float *root_w, const struct extent *e,
                     unsigned dim)
{
    struct parabolas c;
    const uint16_t *list = b->list + near->first;
    make_parabolas(list, near->count, x, root_w, dim, &c);
    for (unsigned j = from; j < to; j++) {
        int at = nearest_parabola(&c, scale[j], e);
        point[j] = at >= 0 ? list[at] : nearest_listed(list, near->count, x, root_w, scale[j], dim);
    }
}

/* Move to points what rounding left beside them. Neighbouring tries mostly round a group alike. */
INLINE void find_points(struct tries *t, unsigned n, unsigned groups, const struct qs_iq_book *b, const float *x,
                        const float *root_w, unsigned dim)
{
    for (unsigned k = 0; k < groups; k++, x += dim, root_w += dim) {
        const struct extent e = extent_of(x, root_w, dim);
        uint32_t *point = t->point[k];
        t->on_grid[k] = 0;
        for (unsigned j = 0, to; j < n; j = to) {
            for (to = j + 1; to < n && point[to] == point[j];)
                to++;
            const struct qs_iq_near *near = &b->near[rank_of(point[j], dim)];
            if (near->index >= 0)
                t->on_grid[k] |= (UINT32_C(1) << to) - (UINT32_C(1) << j);
            else
                find_run(point, j, to, t->scale, b, near, x, root_w, &e, dim);
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

static const struct qs_iq_fns iq_fns = {scale_lanes, starts_lanes};
