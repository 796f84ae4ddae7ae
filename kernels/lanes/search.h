/* search.h - the scale searches of kernels/ref/search.h, LANES groups of weights at a time: one group per float lane.
 *
 * Common text of the levels: a file includes the vec.h of its folder, then this. Weights lie transposed: vector i holds
 * weight i of each group. Every lane does the float operations of the plain search in the same order (no fused
 * multiply-add), so results are the same bits. The plain searches define rounding for any float; here it is defined for
 * |x| <= 4194303 only. Where a lane leaves that range, or meets NaN or Inf, its bit in `suspect` is set and its results
 * mean nothing: the caller then takes the plain search.
 *
 * No state, no allocation. n is at most LANES_MAX.
 */
#ifndef QS_KERNELS_LANES_SEARCH_H
#define QS_KERNELS_LANES_SEARCH_H

#include <stdbool.h>

#include "kernels/ref/search.h"

enum { LANES_MAX = 32 };

/* Groups of the affine search. */
struct qs_lanes_affine {
    const vf *x, *w;       /* n vectors each */
    vf *code;              /* scratch, n vectors */
    vf scale, min;         /* result: x ~ scale * code - min */
    vf sum_w;              /* result: sum of the weights */
    vf inv, low;           /* result: code = clamp(round(inv * (x - low)), 0, nmax) */
    unsigned flat;         /* result, a bit per lane: constant group, all codes 0 */
    unsigned suspect;
};
/* Two sets at once: one alone would wait for its own sums half of the time. */
void QS_LANES(affine)(const struct qs_affine_search *how, int n, struct qs_lanes_affine *a, struct qs_lanes_affine *b);

/* Groups of the symmetric search. */
struct qs_lanes_symmetric {
    const vf *x;
    const vf *w;           /* NULL: x^2 */
    vf scale;              /* result: x ~ scale * (code - nmax) */
    vf inv;                /* result: code = nmax + clamp(round(inv * x), -nmax, nmax - 1) */
    unsigned zero;         /* result: as good as zero, all codes 0 (not nmax) */
    unsigned suspect;
};
void QS_LANES(symmetric)(int n, int nmax, struct qs_lanes_symmetric *g);

/* Groups of the search for scales of scales. Never suspect for finite input. code: n vectors, each 0..255. */
vf QS_LANES(positive)(int n, int nmax, const vf *x, const vf *w, vi *code);

/* Groups of 16 of the unweighted search of Q3_K (kernels/ref/kquant_symmetric.c). */
struct qs_lanes_q3 {
    const vf *x;           /* 16 vectors */
    vf code[16];           /* result: -4 .. 3 */
    vf scale;
    unsigned zero;         /* all codes are byte 0 (that is -4) */
    unsigned suspect;
};
void QS_LANES(q3)(struct qs_lanes_q3 *g);

/* qs_nearest_int for every float there is. */
static inline vi v_nearest_any(vf v)
{
    vi bits = i_and(i_bits(v_add(v, v_all(12582912.f))), i_all(0x007fffff));
    return i_sub(bits, i_all(0x00400000));
}

#endif
