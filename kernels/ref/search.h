/* search.h - the scale searches that several formats share, and rounding as they do it.
 *
 * All give the same bits as the searches of ggml-quants.c (llama.cpp 0c1e57098): the order of every float operation is
 * part of the contract. n is at most QS_SEARCH_MAX. See also Kawrakow's descriptions in llama.cpp pull requests 1684
 * (K formats) and 4861 (importance weights).
 */
#ifndef QS_KERNELS_REF_SEARCH_H
#define QS_KERNELS_REF_SEARCH_H

#include <math.h>
#include <stdint.h>
#include "kernels/half.h"

#define QS_SEARCH_MAX 256
#define QS_SEARCH_EPS 1e-15f /* groups whose largest magnitude is below count as zero */

/* Nearest integer, ties to even, for |x| <= 4194303; anything else gives some integer in [-4194304, 4194303]. */
static inline int qs_nearest_int(float x)
{
    return (int)(qs_f32_bits(x + 12582912.f) & 0x007fffff) - 0x00400000;
}

static inline int qs_clamp_int(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

/* The l in [lo, hi] whose decoded value (float)l * d + m lies nearest to x. Ties go to the l found by rounding
 * (x - m) / d to even. d = 0 or any NaN gives 0 (clamped to the range); infinite x gives an end of the range. */
int qs_nearest_on_line(float x, float d, float m, int lo, int hi);

/* The i for which d * values[i] lies nearest to x; the first of equals wins, NaN gives 0. */
int qs_nearest_of_table(float x, float d, const int8_t *values, int n);

/* Symmetric: x[i] ~ s * (code[i] - nmax), codes 0 .. 2*nmax-1. Weights w, or x^2 where w is NULL. Returns s; it is
 * negative when the largest magnitude is positive, so that this one gets code 0. Zero group: s = 0, codes 0. */
float qs_search_symmetric(int n, int nmax, const float *x, const float *w, uint8_t *code);

/* Affine with minimum <= 0: x[i] ~ s * code[i] - *minus_min, codes 0..nmax. Tries 1/s = (nmax + first + step*k) / range
 * for k = 0..steps, each with its least-squares scale and minimum; keeps the smallest sum of w*|err| (absolute) or
 * w*err^2. Constant group: s = 0, codes 0. */
struct qs_affine_search {
    int nmax;
    float first, step;
    int steps;
    int absolute;
};
float qs_search_affine(const struct qs_affine_search *how, int n, const float *x, const float *w, uint8_t *code,
                       float *minus_min);

/* Scales of scales: x[i] >= 0, x[i] ~ s * code[i], codes 0..nmax, weights w; a grid of scales, then coordinate passes.
 * A negative x wraps modulo 256 into its code, as in the reference. Maximum below QS_SEARCH_EPS: s = 0, codes 0. */
float qs_search_positive(int n, int nmax, const float *x, const float *w, uint8_t *code);

#endif
