/* lanes.c - the scale searches with one group of weights per lane: see lanes.h.
 *
 * Each function mirrors one of kernels/ref (search.c, kquant_symmetric.c); the order of operations within a lane is
 * theirs, `if` becomes a mask. Comparisons are the ordered ones, so NaN never wins here either.
 */
#include "kernels/x86_avx2/lanes.h"

#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define DIV _mm256_div_ps
#define AND _mm256_and_ps
#define PICK(no, yes, mask) _mm256_blendv_ps(no, yes, mask)
#define ALL(x) _mm256_set1_ps(x)

static inline __m256 magnitude(__m256 v) { return _mm256_andnot_ps(ALL(-0.f), v); }
static inline __m256 less(__m256 a, __m256 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline __m256 more(__m256 a, __m256 b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline unsigned bits(__m256 mask) { return (unsigned)_mm256_movemask_ps(mask); }

static inline __m256 rounded(__m256 v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Lanes whose rounding is not that of qs_nearest_int: too large, infinite, NaN. */
static inline __m256 out_of_range(__m256 v) { return _mm256_cmp_ps(magnitude(v), ALL(4194303.f), _CMP_NLE_UQ); }
static inline __m256 not_finite(__m256 v) { return _mm256_cmp_ps(magnitude(v), ALL(3.402823466e38f), _CMP_NLE_UQ); }

/* ---- affine */

struct affine {
    const __m256 *x, *w;
    __m256 *code;
    __m256 smallest, max, sum_w, sum_x, best;
    __m256 suspect, flat, first_min;
    __m256 scale, min;        /* of the best candidate */
    __m256 best_inv, best_low;
    __m256 inv;               /* of the candidate at hand */
    __m256 sum_l, sum_l2, sum_xl;
    __m256 s, m, err;
};

static inline __m256 affine_code(const struct affine *g, __m256 x, __m256 top)
{
    __m256 q = rounded(MUL(g->inv, SUB(x, g->min)));
    return _mm256_max_ps(_mm256_min_ps(q, top), _mm256_setzero_ps());
}

/* The candidate 1/s = numerator / range. The codes grow with x, so its two ends tell whether all are in range. */
static inline void affine_candidate(struct affine *g, float numerator)
{
    __m256 range = SUB(g->max, g->min);
    g->inv = DIV(ALL(numerator), range);
    __m256 bad = _mm256_or_ps(out_of_range(MUL(g->inv, range)),
                              out_of_range(MUL(g->inv, SUB(g->smallest, g->min))));
    g->suspect = _mm256_or_ps(g->suspect, bad);
}

static inline __m256 affine_term(const struct affine *g, int i, __m256 q, int absolute)
{
    __m256 diff = SUB(ADD(MUL(g->s, q), g->m), g->x[i]);
    return MUL(g->w[i], absolute ? magnitude(diff) : MUL(diff, diff));
}

static inline void affine_start(struct affine *g, const struct qs_lanes_affine *io, int n)
{
    const __m256 *x = g->x = io->x, *w = g->w = io->w;
    g->code = io->code;
    g->min = x[0];
    g->max = x[0];
    g->sum_w = w[0];
    g->sum_x = MUL(w[0], x[0]);
    for (int i = 1; i < n; i++) {
        g->min = _mm256_min_ps(x[i], g->min); /* a NaN on the left leaves the right one */
        g->max = _mm256_max_ps(x[i], g->max);
        g->sum_w = ADD(g->sum_w, w[i]);
        g->sum_x = ADD(g->sum_x, MUL(w[i], x[i]));
    }
    g->smallest = g->min;
    g->min = PICK(g->min, _mm256_setzero_ps(), more(g->min, _mm256_setzero_ps()));
    g->first_min = g->min;
    g->flat = _mm256_cmp_ps(g->max, g->min, _CMP_LE_OQ);
    g->suspect = _mm256_setzero_ps();
}

static inline void affine_first_guess(struct affine *g, int n, int nmax, int absolute)
{
    affine_candidate(g, (float)nmax);
    g->s = g->scale = DIV(ALL(1.f), g->inv);
    g->m = g->best_low = g->min;
    g->best_inv = g->inv;
    g->best = _mm256_setzero_ps();
    for (int i = 0; i < n; i++)
        g->best = ADD(g->best, affine_term(g, i, affine_code(g, g->x[i], ALL((float)nmax)), absolute));
}

static inline void affine_add(struct affine *g, int i, __m256 top)
{
    __m256 x = g->x[i], q = affine_code(g, x, top), wq = MUL(g->w[i], q);
    g->sum_l = ADD(g->sum_l, wq);
    g->sum_l2 = ADD(g->sum_l2, MUL(wq, q));
    g->sum_xl = ADD(g->sum_xl, MUL(wq, x));
    g->code[i] = q;
}

/* Least-squares scale and minimum of the candidate; returns the lanes where there are any. */
static inline __m256 affine_solve(struct affine *g)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 det = SUB(MUL(g->sum_w, g->sum_l2), MUL(g->sum_l, g->sum_l));
    __m256 s = DIV(SUB(MUL(g->sum_w, g->sum_xl), MUL(g->sum_x, g->sum_l)), det);
    __m256 m = DIV(SUB(MUL(g->sum_l2, g->sum_x), MUL(g->sum_l, g->sum_xl)), det);
    __m256 above = more(m, zero);
    g->m = PICK(m, zero, above);
    g->s = PICK(s, DIV(g->sum_xl, g->sum_l2), above);
    g->err = zero;
    return more(det, zero);
}

static inline void affine_keep(struct affine *g, __m256 solvable)
{
    __m256 take = AND(solvable, less(g->err, g->best));
    g->best = PICK(g->best, g->err, take);
    g->scale = PICK(g->scale, g->s, take);
    g->best_inv = PICK(g->best_inv, g->inv, take);
    g->best_low = PICK(g->best_low, g->min, take);
    g->min = PICK(g->min, g->m, take); /* later candidates start from this minimum, as in the plain search */
}

static inline void affine_end(const struct affine *g, struct qs_lanes_affine *io)
{
    io->scale = _mm256_andnot_ps(g->flat, g->scale);
    io->min = _mm256_xor_ps(PICK(g->min, g->first_min, g->flat), ALL(-0.f));
    io->sum_w = g->sum_w;
    io->inv = g->best_inv;
    io->low = g->best_low;
    io->flat = bits(g->flat);
    /* One NaN or Inf among x or w shows in the sum of w*x; a flat lane divides by zero on the way, to no effect. */
    io->suspect = bits(_mm256_or_ps(_mm256_andnot_ps(g->flat, g->suspect),
                                    _mm256_or_ps(not_finite(g->sum_x), not_finite(g->sum_w))));
}

static inline void affine_pair(const struct qs_affine_search *how, int n, struct qs_lanes_affine *ioa,
                               struct qs_lanes_affine *iob, int absolute)
{
    struct affine a, b;
    const __m256 zero = _mm256_setzero_ps(), top = ALL((float)how->nmax);
    affine_start(&a, ioa, n);
    affine_start(&b, iob, n);
    affine_first_guess(&a, n, how->nmax, absolute);
    affine_first_guess(&b, n, how->nmax, absolute);
    for (int k = 0; k <= how->steps; k++) {
        float numerator = how->first + how->step * (float)k + (float)how->nmax;
        affine_candidate(&a, numerator);
        affine_candidate(&b, numerator);
        a.sum_l = a.sum_l2 = a.sum_xl = b.sum_l = b.sum_l2 = b.sum_xl = zero;
        for (int i = 0; i < n; i++) {
            affine_add(&a, i, top);
            affine_add(&b, i, top);
        }
        __m256 solvable_a = affine_solve(&a), solvable_b = affine_solve(&b);
        for (int i = 0; i < n; i++) {
            a.err = ADD(a.err, affine_term(&a, i, a.code[i], absolute));
            b.err = ADD(b.err, affine_term(&b, i, b.code[i], absolute));
        }
        affine_keep(&a, solvable_a);
        affine_keep(&b, solvable_b);
    }
    affine_end(&a, ioa);
    affine_end(&b, iob);
}

void qs_lanes_affine(const struct qs_affine_search *how, int n, struct qs_lanes_affine *a, struct qs_lanes_affine *b)
{
    if (how->absolute)
        affine_pair(how, n, a, b, 1);
    else
        affine_pair(how, n, a, b, 0);
}

/* ---- symmetric */

static inline __m256 symmetric_code(__m256 x, __m256 inv, __m256 lo, __m256 hi)
{
    return _mm256_max_ps(_mm256_min_ps(rounded(MUL(inv, x)), hi), lo);
}

struct symmetric {
    __m256 scale, best, inv;
};

static inline void symmetric_keep(struct symmetric *s, __m256 inv, __m256 lx, __m256 l2)
{
    __m256 take = AND(more(l2, _mm256_setzero_ps()), more(MUL(lx, lx), MUL(s->best, l2)));
    __m256 scale = DIV(lx, l2);
    s->scale = PICK(s->scale, scale, take);
    s->best = PICK(s->best, MUL(scale, lx), take);
    s->inv = PICK(s->inv, inv, take);
}

/* The first value of largest magnitude of each lane; *amax its magnitude (0: there is none, no matter the value). */
static inline __m256 largest(int n, const __m256 *x, __m256 *amax)
{
    __m256 top = _mm256_setzero_ps(), max = top;
    for (int i = 0; i < n; i++)
        top = _mm256_max_ps(magnitude(x[i]), top); /* a NaN on the left leaves the right one */
    for (int i = n - 1; i >= 0; i--)
        max = PICK(max, x[i], _mm256_cmp_ps(magnitude(x[i]), top, _CMP_EQ_OQ));
    *amax = top;
    return max;
}

void qs_lanes_symmetric(int n, int nmax, struct qs_lanes_symmetric *g)
{
    __m256 w[LANES_MAX], wx[LANES_MAX], amax, lx = _mm256_setzero_ps(), l2 = lx;
    const __m256 *x = g->x, lo = ALL((float)-nmax), hi = ALL((float)(nmax - 1));
    const __m256 max = largest(n, x, &amax);
    struct symmetric s;
    s.inv = DIV(lo, max);
    for (int i = 0; i < n; i++) {
        w[i] = g->w ? g->w[i] : MUL(x[i], x[i]);
        wx[i] = MUL(w[i], x[i]);
        __m256 l = symmetric_code(x[i], s.inv, lo, hi);
        lx = ADD(lx, MUL(wx[i], l));
        l2 = ADD(l2, MUL(MUL(w[i], l), l));
    }
    __m256 some = _mm256_cmp_ps(l2, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    s.scale = AND(some, DIV(lx, l2));
    s.best = MUL(s.scale, lx);
    /* Two candidates at a time: they are independent until the better one is kept. */
    static const int8_t step[18] = { -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    for (int k = 0; k < 18; k += 2) {
        __m256 inv1 = DIV(ALL(-((float)nmax + 0.1f * (float)step[k])), max);
        __m256 inv2 = DIV(ALL(-((float)nmax + 0.1f * (float)step[k + 1])), max);
        __m256 lx1 = _mm256_setzero_ps(), l21 = lx1, lx2 = lx1, l22 = lx1;
        for (int i = 0; i < n; i++) {
            __m256 p = symmetric_code(x[i], inv1, lo, hi), q = symmetric_code(x[i], inv2, lo, hi);
            lx1 = ADD(lx1, MUL(wx[i], p));
            l21 = ADD(l21, MUL(MUL(w[i], p), p));
            lx2 = ADD(lx2, MUL(wx[i], q));
            l22 = ADD(l22, MUL(MUL(w[i], q), q));
        }
        symmetric_keep(&s, inv1, lx1, l21);
        symmetric_keep(&s, inv2, lx2, l22);
    }
    __m256 zero = less(amax, ALL(QS_SEARCH_EPS));
    g->scale = _mm256_andnot_ps(zero, s.scale);
    g->inv = s.inv;
    g->zero = bits(zero);
    __m256 wild = _mm256_or_ps(not_finite(lx), not_finite(l2));
    g->suspect = bits(_mm256_or_ps(_mm256_andnot_ps(zero, wild), not_finite(amax)));
}

/* ---- positive */

static inline __m256i at_most(__m256i l, int nmax) { return _mm256_min_epi32(l, _mm256_set1_epi32(nmax)); }

static __m256 positive_error(int n, int nmax, const __m256 *x, const __m256 *w, __m256 inv)
{
    __m256 scale = DIV(ALL(1.f), inv), sum = _mm256_setzero_ps();
    for (int i = 0; i < n; i++) {
        __m256i l = at_most(qs_lanes_nearest_any(MUL(inv, x[i])), nmax);
        __m256 diff = SUB(x[i], MUL(scale, _mm256_cvtepi32_ps(l)));
        sum = ADD(sum, MUL(MUL(w[i], diff), diff));
    }
    return sum;
}

static __m256 positive_first_error(int n, const __m256 *x, const __m256 *w, __m256 inv)
{
    __m256 scale = DIV(ALL(1.f), inv), sum = _mm256_setzero_ps();
    for (int i = 0; i < n; i++) {
        __m256i l = _mm256_and_si256(qs_lanes_nearest_any(MUL(inv, x[i])), _mm256_set1_epi32(255));
        __m256 diff = SUB(x[i], MUL(scale, _mm256_cvtepi32_ps(l)));
        sum = ADD(sum, MUL(MUL(w[i], diff), diff));
    }
    return sum;
}

/* One pass of moving single codes; returns whether any lane moved. */
static int positive_pass(int n, int nmax, const __m256 *x, const __m256 *w, __m256i *code, __m256 *sumlx, __m256 *suml2)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 moved = zero, slx = *sumlx, sl2 = *suml2;
    for (int i = 0; i < n; i++) {
        __m256 old = _mm256_cvtepi32_ps(code[i]), wx = MUL(w[i], x[i]);
        __m256 lx = SUB(slx, MUL(wx, old)), l2 = SUB(sl2, MUL(MUL(w[i], old), old));
        __m256 take = AND(more(lx, zero), more(l2, zero));
        __m256i to = at_most(qs_lanes_nearest_any(DIV(MUL(x[i], l2), lx)), nmax);
        __m256 l = _mm256_cvtepi32_ps(to);
        take = _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(to, code[i])), take);
        lx = ADD(lx, MUL(wx, l));
        l2 = ADD(l2, MUL(MUL(w[i], l), l));
        take = AND(take, more(MUL(MUL(lx, lx), sl2), MUL(MUL(slx, slx), l2)));
        to = _mm256_and_si256(to, _mm256_set1_epi32(255));
        code[i] = _mm256_blendv_epi8(code[i], to, _mm256_castps_si256(take));
        slx = PICK(slx, lx, take);
        sl2 = PICK(sl2, l2, take);
        moved = _mm256_or_ps(moved, take);
    }
    *sumlx = slx;
    *suml2 = sl2;
    return bits(moved) != 0;
}

__m256 qs_lanes_positive(int n, int nmax, const __m256 *x, const __m256 *w, __m256i *code)
{
    __m256 max = _mm256_setzero_ps(), lx = max, l2 = max;
    for (int i = 0; i < n; i++)
        max = _mm256_max_ps(max, x[i]);
    __m256 some = _mm256_cmp_ps(max, ALL(QS_SEARCH_EPS), _CMP_NLT_UQ);
    __m256 inv = DIV(ALL((float)nmax), max), best = positive_first_error(n, x, w, inv);
    for (int k = -4; k <= 4; k++) {
        if (k == 0)
            continue;
        __m256 trial = DIV(ALL(0.1f * (float)k + (float)nmax), max);
        __m256 err = positive_error(n, nmax, x, w, trial), take = less(err, best);
        best = PICK(best, err, take);
        inv = PICK(inv, trial, take);
    }
    for (int i = 0; i < n; i++) {
        __m256i to = at_most(qs_lanes_nearest_any(MUL(inv, x[i])), nmax);
        __m256 l = _mm256_cvtepi32_ps(to);
        code[i] = _mm256_and_si256(to, _mm256_set1_epi32(255));
        lx = ADD(lx, MUL(MUL(w[i], x[i]), l));
        l2 = ADD(l2, MUL(MUL(w[i], l), l));
    }
    /* A pass that moves nothing in a lane would move nothing again, so lanes need not stop one by one. */
    for (int pass = 0; pass < 5; pass++)
        if (!positive_pass(n, nmax, x, w, code, &lx, &l2))
            break;
    for (int i = 0; i < n; i++)
        code[i] = _mm256_and_si256(code[i], _mm256_castps_si256(some));
    return AND(some, AND(more(l2, _mm256_setzero_ps()), DIV(lx, l2)));
}

/* ---- Q3_K without importance weights */

struct q3 {
    const __m256 *x;
    __m256 *code;                           /* -4 .. 3 */
    __m256 w[16], wx[16], wxl[16], wll[16]; /* x^2 and its products with x and the code, as far as summed */
    __m256 lx, l2, suspect;
};

/* Try to move code i of each lane; returns whether one moved. Few do: the way out after the comparison is the usual
 * one, and lets the processor start on the next code before this quotient is known. */
static inline int q3_step(struct q3 *s, int i)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 old = s->code[i], lx = SUB(s->lx, s->wxl[i]), l2 = SUB(s->l2, s->wll[i]);
    __m256 target = DIV(MUL(s->x[i], l2), lx), free = more(lx, zero);
    __m256 l = _mm256_max_ps(_mm256_min_ps(rounded(target), ALL(3.f)), ALL(-4.f));
    s->suspect = _mm256_or_ps(s->suspect, AND(free, out_of_range(target)));
    __m256 take = AND(free, _mm256_cmp_ps(l, old, _CMP_NEQ_UQ));
    if (!bits(take))
        return 0;
    __m256 wxl = MUL(s->wx[i], l), wll = MUL(MUL(s->w[i], l), l);
    lx = ADD(lx, wxl);
    l2 = ADD(l2, wll);
    take = AND(take, AND(more(l2, zero), more(MUL(MUL(lx, lx), s->l2), MUL(MUL(s->lx, s->lx), l2))));
    s->code[i] = PICK(old, l, take);
    s->wxl[i] = PICK(s->wxl[i], wxl, take);
    s->wll[i] = PICK(s->wll[i], wll, take);
    s->lx = PICK(s->lx, lx, take);
    s->l2 = PICK(s->l2, l2, take);
    return bits(take) != 0;
}

void qs_lanes_q3(struct qs_lanes_q3 *g)
{
    struct q3 s;
    s.x = g->x;
    s.code = g->code;
    __m256 amax, inv = DIV(ALL(-4.f), largest(16, g->x, &amax));
    s.lx = s.l2 = s.suspect = _mm256_setzero_ps();
    for (int i = 0; i < 16; i++) {
        __m256 l = symmetric_code(g->x[i], inv, ALL(-4.f), ALL(3.f));
        s.w[i] = MUL(g->x[i], g->x[i]);
        s.wx[i] = MUL(s.w[i], g->x[i]);
        s.wxl[i] = MUL(s.wx[i], l);
        s.wll[i] = MUL(MUL(s.w[i], l), l);
        s.lx = ADD(s.lx, s.wxl[i]);
        s.l2 = ADD(s.l2, s.wll[i]);
        s.code[i] = l;
    }
    s.suspect = _mm256_or_ps(not_finite(amax), _mm256_or_ps(not_finite(s.lx), not_finite(s.l2)));
    /* A pass that moves nothing in a lane would move nothing again, so lanes need not stop one by one. */
    for (int pass = 0, moved = 1; pass < 5 && moved; pass++) {
        moved = 0;
        for (int i = 0; i < 16; i++)
            moved |= q3_step(&s, i);
    }
    __m256 zero = less(amax, ALL(QS_SEARCH_EPS));
    g->scale = _mm256_andnot_ps(zero, AND(more(s.l2, _mm256_setzero_ps()), DIV(s.lx, s.l2)));
    g->zero = bits(zero);
    g->suspect = bits(_mm256_andnot_ps(zero, s.suspect));
}
