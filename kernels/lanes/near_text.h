/* near_text.h - which point of a neighbour list is nearest to a group of weights, on one scale or on a row of them: common
 * text for iq_text.h, which says what holds. No state, no allocation.
 */
#include <float.h>

#include "kernels/inline.h"
#include "kernels/lanes/search.h"
#include "kernels/ref/iq_search.h"

/* Inlined so that `dim` and `vectors` are constants in every copy and the loops over them come apart. */
#define INLINE static inline __attribute__((always_inline))

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
    QS_UNROLL_SOME
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
    QS_UNROLL_SOME
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
 * another is closer than that, the plain search runs. The bounds on size and s keep out overflow, and underflow that
 * would show beside that.
 */
enum { PARABOLAS_MAX = 320, SHORT_LIST = 24 }; /* longer lists than those of the books; where leaving points out pays */

struct parabolas {
    float a[PARABOLAS_MAX], b[PARABOLAS_MAX];
    int32_t point[PARABOLAS_MAX];
    unsigned count;       /* filled up to whole vectors with what is never least */
    uint16_t rival[PARABOLAS_MAX];
    unsigned rivals;      /* those that may be nearest on a scale of the run; all: all that are listed */
    bool all;
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

/* The a and b of a group's weights on each level; of two weights where a vector has room for the pairs of their levels. */
struct slopes {
    vf a[8], b[8];
};

INLINE bool paired(unsigned dim) { return dim == 8 && LANES == 16; }

INLINE void make_slopes(const float *x, const float *root_w, unsigned dim, struct slopes *out)
{
    static const float q_of_upper[16] = {1, 1, 1, 1, 3, 3, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7};
    const vf q = all_q(dim), q2 = v_mul(q, q), upper = v_load(q_of_upper), upper2 = v_mul(upper, upper);
    const unsigned step = paired(dim) ? 2 : 1;
    QS_UNROLL_SOME
    for (unsigned k = 0; k < dim; k += step) {
        vf a = v_mul(v_all(root_w[k] * (-2 * x[k])), q), b = v_mul(v_all(root_w[k]), q2);
        if (paired(dim)) {
            a = v_fused(v_all(root_w[k + 1] * (-2 * x[k + 1])), upper, a);
            b = v_fused(v_all(root_w[k + 1]), upper2, b);
        }
        out->a[k / step] = a;
        out->b[k / step] = b;
    }
}

INLINE vf slope_of(vf table, vi point, unsigned dim)
{
    return paired(dim) ? v_lookup_lanes(table, point) : pick(table, point, dim);
}

INLINE void make_parabolas(const uint16_t *list, unsigned count, const struct slopes *of, unsigned dim,
                           struct parabolas *out)
{
    const unsigned step = paired(dim) ? 2 : 1;
    for (out->count = 0; out->count < count && out->count < PARABOLAS_MAX; out->count += LANES) {
        const unsigned at = out->count;
        vi p = i_load_u16(list + at, count - at);
        i_store(out->point + at, p);
        vf a = slope_of(of->a[0], p, dim), b = slope_of(of->b[0], p, dim);
    QS_UNROLL_SOME
        for (unsigned k = 1; k < dim / step; k++) {
            p = i_shift_right(p, bits_of(dim) * step);
            a = v_add(a, slope_of(of->a[k], p, dim));
            b = v_add(b, slope_of(of->b[k], p, dim));
        }
        v_store(out->a + at, v_pick(a, v_all(FLT_MAX / 2), beyond(count, at)));
        v_store(out->b + at, b);
    }
}

INLINE vf parabola(const struct parabolas *c, unsigned at, vf s)
{
    return v_fused(s, v_load(c->b + at), v_load(c->a + at));
}

/* What must lie between the values of two points on this scale, and whether the bounds above hold there. */
INLINE float margin(float scale, const struct extent *e)
{
    return 128 * 0x1p-24f * (scale * scale * e->w + e->x) / scale;
}

INLINE bool bounded(float scale, const struct extent *e)
{
    const float size = scale * scale * e->w + e->x;
    return size > 1e-20f && size < 1e30f && scale > 1e-10f && scale < 1e10f;
}

/* Leave out the points that another beats by the margin on both ends of a row of scales: lines cross once and the
 * margin is a convex function of the scale, so it beats them all the way. None are left where the bounds do not hold. */
INLINE void find_rivals(struct parabolas *c, float one, float other, const struct extent *e)
{
    const vf s = v_all(one), t = v_all(other);
    vf least = v_all(FLT_MAX);
    unsigned first = 0;
    c->rivals = 0;
    if (!bounded(one, e) || !bounded(other, e))
        return;
    for (unsigned at = 0; at < c->count; at += LANES)
        least = v_min(parabola(c, at, s), least);
    const float low = v_least(least);
    for (unsigned at = 0; at < c->count; at += LANES) {
        const unsigned is = m_bits(v_at_most(parabola(c, at, s), v_all(low)));
        first = is ? at + (unsigned)__builtin_ctz(is) : first;
    }
    const vf near = v_all(low + margin(one, e)), far = v_all(other * c->b[first] + c->a[first] + margin(other, e));
    for (unsigned at = 0; at < c->count; at += LANES) {
        unsigned in = m_bits(m_or(v_at_most(parabola(c, at, s), near), v_at_most(parabola(c, at, t), far)));
        for (; in; in &= in - 1)
            c->rival[c->rivals++] = (uint16_t)(at + (unsigned)__builtin_ctz(in));
    }
}

/* The nearest points on the scales s; bits of `open`: too close to call. */
INLINE vi nearest_rivals(const struct parabolas *c, bool all, vf s, const struct extent *e, unsigned *open)
{
    vf least = v_all(FLT_MAX), second = least;
    vi point = i_all(0);
    for (unsigned i = 0; i < c->rivals; i++) {
        const unsigned at = all ? i : c->rival[i];
        const vf value = v_fused(s, v_all(c->b[at]), v_all(c->a[at]));
        point = i_pick(point, i_all(c->point[at]), v_less(value, least));
        second = v_min(second, v_max(value, least));
        least = v_min(value, least);
    }
    const vf size = v_add(v_mul(v_mul(s, s), v_all(e->w)), v_all(e->x));
    const vf between = v_div(v_mul(v_all(128 * 0x1p-24f), size), s);
    *open = c->rivals ? m_bits(v_at_most(second, v_add(least, between))) : ~0u;
    return point;
}
