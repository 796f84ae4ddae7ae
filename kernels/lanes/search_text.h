/* search_text.h - the text of search.h's functions, compiled once per level (lanes.c of its folder).
 *
 * Each function mirrors one of kernels/ref (search.c, kquant_symmetric.c); the order of operations within a lane is
 * theirs, `if` becomes a mask. Comparisons are the ordered ones, so NaN never wins here either.
 */
#include "kernels/lanes/search.h"

/* Inlined so that counts and switches are constants in every copy and the loops over them come apart. */
#define INLINE static inline __attribute__((always_inline))

/* Lanes whose rounding is not that of qs_nearest_int: too large, infinite, NaN. */
INLINE vm out_of_range(vf v) { return v_not_at_most(v_abs(v), v_all(4194303.f)); }
INLINE vm not_finite(vf v) { return v_not_at_most(v_abs(v), v_all(3.402823466e38f)); }

/* ---- affine */

struct affine {
    const vf *x, *w;
    vf *code;
    vf smallest, max, min, sum_w, sum_x, best;
    vm suspect, flat;
    vf first_min, scale;      /* scale: of the best candidate */
    vf best_inv, best_low;
    vf inv, range;            /* of the candidate at hand */
    vf sum_l, sum_l2, sum_xl;
    vf s, m, err;
    vm solvable;
};

/* The range of the candidates on this minimum. The limits keep the rounding inside the ground that search.h covers: no
 * quotient overflows or is denormal, and what is below the minimum is at most 10000 ranges below. */
INLINE void affine_stand_on(struct affine *g)
{
    g->range = v_sub(g->max, g->min);
    vm bad = m_or(v_not_less(v_all(1e-30f), g->range), v_not_less(g->range, v_all(1e30f)));
    bad = m_or(bad, v_not_at_most(v_sub(g->min, g->smallest), v_mul(g->range, v_all(1e4f))));
    g->suspect = m_or(g->suspect, bad);
}

enum { LIMIT_LOW = 1, LIMIT_HIGH = 2 };

/* Where the codes of the candidate can leave 0..nmax: above when the largest, near `numerator`, is rounded to more;
 * below when the minimum is above the smallest weight by half a step in some lane. (Minus zero is as good as zero.) */
INLINE int affine_limits(const struct affine *g, float numerator, int nmax)
{
    vm below = v_more(v_mul(g->inv, v_sub(g->min, g->smallest)), v_all(0.49f));
    return (numerator < (float)nmax + 0.49f ? 0 : LIMIT_HIGH) | (m_bits(below) ? LIMIT_LOW : 0);
}

INLINE vf affine_code(const struct affine *g, int i, vf top, int limits)
{
    vf q = v_round(v_mul(g->inv, v_sub(g->x[i], g->min)));
    q = limits & LIMIT_HIGH ? v_min(q, top) : q;
    return limits & LIMIT_LOW ? v_max(q, v_all(0)) : q;
}

INLINE vf affine_term(const struct affine *g, int i, vf q, int absolute)
{
    vf diff = v_sub(v_add(v_mul(g->s, q), g->m), g->x[i]);
    return v_mul(g->w[i], absolute ? v_abs(diff) : v_mul(diff, diff));
}

INLINE void affine_start(struct affine *g, const struct qs_lanes_affine *io, int n)
{
    const vf *x = g->x = io->x, *w = g->w = io->w;
    g->code = io->code;
    g->min = x[0];
    g->max = x[0];
    g->sum_w = w[0];
    g->sum_x = v_mul(w[0], x[0]);
    for (int i = 1; i < n; i++) {
        g->min = v_min(x[i], g->min); /* a NaN on the left leaves the right one */
        g->max = v_max(x[i], g->max);
        g->sum_w = v_add(g->sum_w, w[i]);
        g->sum_x = v_add(g->sum_x, v_mul(w[i], x[i]));
    }
    g->smallest = g->min;
    g->min = v_pick(g->min, v_all(0), v_more(g->min, v_all(0)));
    g->first_min = g->min;
    g->flat = v_at_most(g->max, g->min);
    g->suspect = m_none();
    affine_stand_on(g);
}

INLINE void affine_first_guess(struct affine *g, int n, int nmax, int absolute)
{
    g->inv = v_div(v_all((float)nmax), g->range);
    g->s = g->scale = v_div(v_all(1.f), g->inv);
    g->m = g->best_low = g->min;
    g->best_inv = g->inv;
    g->best = v_all(0);
    for (int i = 0; i < n; i++)
        g->best = v_add(g->best, affine_term(g, i, affine_code(g, i, v_all(0), 0), absolute));
}

INLINE void affine_sums(struct affine *g, int n, vf top, int limits)
{
    vf sum_l = v_all(0), sum_l2 = sum_l, sum_xl = sum_l;
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) {
        vf q = affine_code(g, i, top, limits), wq = v_mul(g->w[i], q);
        sum_l = v_add(sum_l, wq);
        sum_l2 = v_add(sum_l2, v_mul(wq, q));
        sum_xl = v_add(sum_xl, v_mul(wq, g->x[i]));
        g->code[i] = q;
    }
    g->sum_l = sum_l;
    g->sum_l2 = sum_l2;
    g->sum_xl = sum_xl;
}

/* Least-squares scale and minimum of the candidate, where there are any. */
INLINE void affine_solve(struct affine *g)
{
    const vf zero = v_all(0);
    vf det = v_sub(v_mul(g->sum_w, g->sum_l2), v_mul(g->sum_l, g->sum_l));
    vf s = v_div(v_sub(v_mul(g->sum_w, g->sum_xl), v_mul(g->sum_x, g->sum_l)), det);
    vf m = v_div(v_sub(v_mul(g->sum_l2, g->sum_x), v_mul(g->sum_l, g->sum_xl)), det);
    vm above = v_more(m, zero);
    if (m_bits(above)) {
        s = v_pick(s, v_div(g->sum_xl, g->sum_l2), above);
        m = v_pick(m, zero, above);
    }
    g->s = s;
    g->m = m;
    g->solvable = v_more(det, zero);
}

INLINE void affine_candidate(struct affine *g, const int n, int nmax, float numerator)
{
    const vf top = v_all((float)nmax);
    g->inv = v_div(v_all(numerator), g->range);
    switch (affine_limits(g, numerator, nmax)) {
    case 0: affine_sums(g, n, top, 0); break;
    case LIMIT_LOW: affine_sums(g, n, top, LIMIT_LOW); break;
    case LIMIT_HIGH: affine_sums(g, n, top, LIMIT_HIGH); break;
    default: affine_sums(g, n, top, LIMIT_LOW | LIMIT_HIGH);
    }
    affine_solve(g);
}

INLINE void affine_error(struct affine *g, int n, int absolute)
{
    vf err = v_all(0);
#pragma GCC unroll 4
    for (int i = 0; i < n; i++)
        err = v_add(err, affine_term(g, i, g->code[i], absolute));
    g->err = err;
}

INLINE void affine_keep(struct affine *g)
{
    vm take = m_and(g->solvable, v_less(g->err, g->best));
    if (!m_bits(take))
        return;
    g->best = v_pick(g->best, g->err, take);
    g->scale = v_pick(g->scale, g->s, take);
    g->best_inv = v_pick(g->best_inv, g->inv, take);
    g->best_low = v_pick(g->best_low, g->min, take);
    g->min = v_pick(g->min, g->m, take); /* later candidates start from this minimum, as in the plain search */
    affine_stand_on(g);
}

INLINE void affine_end(const struct affine *g, struct qs_lanes_affine *io)
{
    io->scale = v_pick(g->scale, v_all(0), g->flat);
    io->min = v_minus(v_pick(g->min, g->first_min, g->flat));
    io->sum_w = g->sum_w;
    io->inv = g->best_inv;
    io->low = g->best_low;
    io->flat = m_bits(g->flat);
    /* One NaN or Inf among x or w shows in the sum of w*x; a flat lane divides by zero on the way, to no effect. */
    io->suspect = m_bits(m_or(m_but(g->suspect, g->flat), m_or(not_finite(g->sum_x), not_finite(g->sum_w))));
}

INLINE void affine_pair(const struct qs_affine_search *how, int n, struct qs_lanes_affine *ioa,
                        struct qs_lanes_affine *iob, int absolute)
{
    struct affine a, b;
    affine_start(&a, ioa, n);
    affine_start(&b, iob, n);
    affine_first_guess(&a, n, how->nmax, absolute);
    affine_first_guess(&b, n, how->nmax, absolute);
    for (int k = 0; k <= how->steps; k++) {
        float numerator = how->first + how->step * (float)k + (float)how->nmax;
        affine_candidate(&a, n, how->nmax, numerator);
        affine_candidate(&b, n, how->nmax, numerator);
        affine_error(&a, n, absolute);
        affine_error(&b, n, absolute);
        affine_keep(&a);
        affine_keep(&b);
    }
    affine_end(&a, ioa);
    affine_end(&b, iob);
}

void QS_LANES(affine)(const struct qs_affine_search *how, int n, struct qs_lanes_affine *a, struct qs_lanes_affine *b)
{
    if (how->absolute)
        affine_pair(how, 16, a, b, 1); /* Q2_K alone */
    else if (n == 16)
        affine_pair(how, 16, a, b, 0);
    else
        affine_pair(how, 32, a, b, 0);
}

/* ---- symmetric */

struct symmetric {
    vf scale, best, inv;
};

INLINE void symmetric_keep(struct symmetric *s, vf inv, vf lx, vf l2)
{
    vm take = m_and(v_more(l2, v_all(0)), v_more(v_mul(lx, lx), v_mul(s->best, l2)));
    vf scale = v_div(lx, l2);
    s->scale = v_pick(s->scale, scale, take);
    s->best = v_pick(s->best, v_mul(scale, lx), take);
    s->inv = v_pick(s->inv, inv, take);
}

/* The first value of largest magnitude of each lane; *amax its magnitude (0: there is none, no matter the value). */
INLINE vf largest(int n, const vf *x, vf *amax)
{
    vf top = v_all(0), max = top;
    for (int i = 0; i < n; i++)
        top = v_max(v_abs(x[i]), top); /* a NaN on the left leaves the right one */
    for (int i = n - 1; i >= 0; i--)
        max = v_pick(max, x[i], v_equal(v_abs(x[i]), top));
    *amax = top;
    return max;
}

INLINE vf symmetric_code(vf x, vf inv, vf lo, vf hi) { return v_max(v_min(v_round(v_mul(inv, x)), hi), lo); }

INLINE void symmetric_search(int n, int nmax, struct qs_lanes_symmetric *g)
{
    vf w[LANES_MAX], wx[LANES_MAX], amax, lx = v_all(0), l2 = lx;
    const vf *x = g->x, lo = v_all((float)-nmax), hi = v_all((float)(nmax - 1));
    const vf max = largest(n, x, &amax);
    struct symmetric s;
    s.inv = v_div(lo, max);
    for (int i = 0; i < n; i++) {
        w[i] = g->w ? g->w[i] : v_mul(x[i], x[i]);
        wx[i] = v_mul(w[i], x[i]);
        vf l = symmetric_code(x[i], s.inv, lo, hi);
        lx = v_add(lx, v_mul(wx[i], l));
        l2 = v_add(l2, v_mul(v_mul(w[i], l), l));
    }
    vm some = v_not_equal(l2, v_all(0));
    s.scale = v_where(some, v_div(lx, l2));
    s.best = v_mul(s.scale, lx);
    /* Two candidates at a time: they are independent until the better one is kept. */
    static const int8_t step[18] = { -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    for (int k = 0; k < 18; k += 2) {
        vf inv1 = v_div(v_all(-((float)nmax + 0.1f * (float)step[k])), max);
        vf inv2 = v_div(v_all(-((float)nmax + 0.1f * (float)step[k + 1])), max);
        vf lx1 = v_all(0), l21 = lx1, lx2 = lx1, l22 = lx1;
#pragma GCC unroll 2
        for (int i = 0; i < n; i++) {
            vf p = symmetric_code(x[i], inv1, lo, hi), q = symmetric_code(x[i], inv2, lo, hi);
            lx1 = v_add(lx1, v_mul(wx[i], p));
            l21 = v_add(l21, v_mul(v_mul(w[i], p), p));
            lx2 = v_add(lx2, v_mul(wx[i], q));
            l22 = v_add(l22, v_mul(v_mul(w[i], q), q));
        }
        symmetric_keep(&s, inv1, lx1, l21);
        symmetric_keep(&s, inv2, lx2, l22);
    }
    vm zero = v_less(amax, v_all(QS_SEARCH_EPS));
    g->scale = v_pick(s.scale, v_all(0), zero);
    g->inv = s.inv;
    g->zero = m_bits(zero);
    vm wild = m_or(not_finite(lx), not_finite(l2));
    g->suspect = m_bits(m_or(m_but(wild, zero), not_finite(amax)));
}

void QS_LANES(symmetric)(int n, int nmax, struct qs_lanes_symmetric *g)
{
    if (n == 16)
        symmetric_search(16, nmax, g);
    else
        symmetric_search(32, nmax, g);
}

/* ---- positive */

INLINE vi at_most(vi l, int nmax) { return i_min(l, i_all(nmax)); }

static vf positive_error(int n, int nmax, const vf *x, const vf *w, vf inv)
{
    vf scale = v_div(v_all(1.f), inv), sum = v_all(0);
    for (int i = 0; i < n; i++) {
        vi l = at_most(v_nearest_any(v_mul(inv, x[i])), nmax);
        vf diff = v_sub(x[i], v_mul(scale, v_of(l)));
        sum = v_add(sum, v_mul(v_mul(w[i], diff), diff));
    }
    return sum;
}

static vf positive_first_error(int n, const vf *x, const vf *w, vf inv)
{
    vf scale = v_div(v_all(1.f), inv), sum = v_all(0);
    for (int i = 0; i < n; i++) {
        vi l = i_and(v_nearest_any(v_mul(inv, x[i])), i_all(255));
        vf diff = v_sub(x[i], v_mul(scale, v_of(l)));
        sum = v_add(sum, v_mul(v_mul(w[i], diff), diff));
    }
    return sum;
}

/* One pass of moving single codes; returns whether any lane moved. */
static int positive_pass(int n, int nmax, const vf *x, const vf *w, vi *code, vf *sumlx, vf *suml2)
{
    const vf zero = v_all(0);
    vf slx = *sumlx, sl2 = *suml2;
    vm moved = m_none();
    for (int i = 0; i < n; i++) {
        vf old = v_of(code[i]), wx = v_mul(w[i], x[i]);
        vf lx = v_sub(slx, v_mul(wx, old)), l2 = v_sub(sl2, v_mul(v_mul(w[i], old), old));
        vm take = m_and(v_more(lx, zero), v_more(l2, zero));
        vi to = at_most(v_nearest_any(v_div(v_mul(x[i], l2), lx)), nmax);
        vf l = v_of(to);
        take = m_but(take, i_equal(to, code[i]));
        lx = v_add(lx, v_mul(wx, l));
        l2 = v_add(l2, v_mul(v_mul(w[i], l), l));
        take = m_and(take, v_more(v_mul(v_mul(lx, lx), sl2), v_mul(v_mul(slx, slx), l2)));
        to = i_and(to, i_all(255));
        code[i] = i_pick(code[i], to, take);
        slx = v_pick(slx, lx, take);
        sl2 = v_pick(sl2, l2, take);
        moved = m_or(moved, take);
    }
    *sumlx = slx;
    *suml2 = sl2;
    return m_bits(moved) != 0;
}

vf QS_LANES(positive)(int n, int nmax, const vf *x, const vf *w, vi *code)
{
    vf max = v_all(0), lx = max, l2 = max;
    for (int i = 0; i < n; i++)
        max = v_max(max, x[i]);
    vm some = v_not_less(max, v_all(QS_SEARCH_EPS));
    vf inv = v_div(v_all((float)nmax), max), best = positive_first_error(n, x, w, inv);
    for (int k = -4; k <= 4; k++) {
        if (k == 0)
            continue;
        vf trial = v_div(v_all(0.1f * (float)k + (float)nmax), max);
        vf err = positive_error(n, nmax, x, w, trial);
        vm take = v_less(err, best);
        best = v_pick(best, err, take);
        inv = v_pick(inv, trial, take);
    }
    for (int i = 0; i < n; i++) {
        vi to = at_most(v_nearest_any(v_mul(inv, x[i])), nmax);
        vf l = v_of(to);
        code[i] = i_and(to, i_all(255));
        lx = v_add(lx, v_mul(v_mul(w[i], x[i]), l));
        l2 = v_add(l2, v_mul(v_mul(w[i], l), l));
    }
    /* A pass that moves nothing in a lane would move nothing again, so lanes need not stop one by one. */
    for (int pass = 0; pass < 5; pass++)
        if (!positive_pass(n, nmax, x, w, code, &lx, &l2))
            break;
    for (int i = 0; i < n; i++)
        code[i] = i_where(some, code[i]);
    return v_where(m_and(some, v_more(l2, v_all(0))), v_div(lx, l2));
}

/* ---- Q3_K without importance weights */

struct q3 {
    const vf *x;
    vf *code;                           /* -4 .. 3 */
    vf w[16], wx[16], wxl[16], wll[16]; /* x^2 and its products with x and the code, as far as summed */
    vf lx, l2;
    vm suspect;
};

/* Try to move code i of each lane; returns whether one moved. Few do: the way out after the comparison is the usual
 * one, and lets the processor start on the next code before this quotient is known. */
INLINE int q3_step(struct q3 *s, int i)
{
    const vf zero = v_all(0);
    vf old = s->code[i], lx = v_sub(s->lx, s->wxl[i]), l2 = v_sub(s->l2, s->wll[i]);
    vf target = v_div(v_mul(s->x[i], l2), lx);
    vm free = v_more(lx, zero);
    vf l = v_max(v_min(v_round(target), v_all(3.f)), v_all(-4.f));
    s->suspect = m_or(s->suspect, m_and(free, out_of_range(target)));
    vm take = m_and(free, v_not_equal(l, old));
    if (!m_bits(take))
        return 0;
    vf wxl = v_mul(s->wx[i], l), wll = v_mul(v_mul(s->w[i], l), l);
    lx = v_add(lx, wxl);
    l2 = v_add(l2, wll);
    take = m_and(take, m_and(v_more(l2, zero),
                             v_more(v_mul(v_mul(lx, lx), s->l2), v_mul(v_mul(s->lx, s->lx), l2))));
    s->code[i] = v_pick(old, l, take);
    s->wxl[i] = v_pick(s->wxl[i], wxl, take);
    s->wll[i] = v_pick(s->wll[i], wll, take);
    s->lx = v_pick(s->lx, lx, take);
    s->l2 = v_pick(s->l2, l2, take);
    return m_bits(take) != 0;
}

void QS_LANES(q3)(struct qs_lanes_q3 *g)
{
    struct q3 s = { .x = g->x, .code = g->code };
    vf amax, inv = v_div(v_all(-4.f), largest(16, g->x, &amax));
    s.lx = s.l2 = v_all(0);
    for (int i = 0; i < 16; i++) {
        vf l = symmetric_code(g->x[i], inv, v_all(-4.f), v_all(3.f));
        s.w[i] = v_mul(g->x[i], g->x[i]);
        s.wx[i] = v_mul(s.w[i], g->x[i]);
        s.wxl[i] = v_mul(s.wx[i], l);
        s.wll[i] = v_mul(v_mul(s.w[i], l), l);
        s.lx = v_add(s.lx, s.wxl[i]);
        s.l2 = v_add(s.l2, s.wll[i]);
        s.code[i] = l;
    }
    s.suspect = m_or(not_finite(amax), m_or(not_finite(s.lx), not_finite(s.l2)));
    /* A pass that moves nothing in a lane would move nothing again, so lanes need not stop one by one. */
    for (int pass = 0, moved = 1; pass < 5 && moved; pass++) {
        moved = 0;
        for (int i = 0; i < 16; i++)
            moved |= q3_step(&s, i);
    }
    vm zero = v_less(amax, v_all(QS_SEARCH_EPS));
    vf scale = v_where(v_more(s.l2, v_all(0)), v_div(s.lx, s.l2));
    g->scale = v_pick(scale, v_all(0), zero);
    g->zero = m_bits(zero);
    g->suspect = m_bits(m_but(s.suspect, zero));
}
