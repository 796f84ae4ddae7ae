/* lattice_search.c - the super-block that comes nearest to wished scales.
 *
 * The miss as a function of d is ragged, as the integers follow d by rounding. So d is tried where the largest value
 * gets each of the upper half of the integers, in steps of a half, and from each start improved by least squares on the
 * integers it implies, once rounded as the file stores it. Sums in double, in order.
 */
#include "kernels/ref/lattice_search.h"

#include <math.h>

struct trial { double miss; float d; int16_t code[16]; };

static double round_on(const struct qs_scales_store *how, const double *v, const double *w, float d, int16_t *code)
{
    double miss = 0;
    for (int j = 0; j < how->n; j++) {
        double q = d != 0 ? rint(v[j] / (double)d) : 0;
        q = q < how->lo ? how->lo : q > how->hi ? how->hi : q;
        code[j] = (int16_t)q;
        const double diff = v[j] - (double)(d * (float)code[j]);
        miss += w[j] * diff * diff;
    }
    return miss;
}

static float least_squares(const struct qs_scales_store *how, const double *v, const double *w, const int16_t *code)
{
    double lx = 0, l2 = 0;
    for (int j = 0; j < how->n; j++) {
        lx += w[j] * v[j] * code[j];
        l2 += w[j] * code[j] * code[j];
    }
    return l2 > 0 ? (float)(lx / l2) : 0;
}

static void consider(const struct qs_scales_store *how, const double *v, const double *w, float d, struct trial *best)
{
    struct trial t;
    for (int step = 0; step < 2; step++) {
        t.d = how->stored(d);
        if (!isfinite(t.d) || (t.d < 0 && !how->negative))
            return;
        t.miss = round_on(how, v, w, t.d, t.code);
        if (t.miss < best->miss)
            *best = t;
        d = least_squares(how, v, w, t.code);
    }
}

float qs_scales_search(const struct qs_scales_store *how, const float *v, const float *w, int16_t *code)
{
    double x[16] = { 0 }, weight[16] = { 0 }, largest = 0;
    struct trial best = { .miss = HUGE_VAL };
    for (int j = 0; j < how->n; j++) {
        x[j] = isfinite(v[j]) ? (double)v[j] : 0;
        weight[j] = !w ? 1 : isfinite(w[j]) && w[j] > 0 ? (double)w[j] : 0;
        if (fabs(x[j]) > fabs(largest) && (x[j] > 0 || how->negative || how->lo < 0))
            largest = x[j];
    }
    if (how->lo == how->hi) {
        code[0] = (int16_t)how->lo;
        return how->stored((float)x[0]);
    }
    consider(how, x, weight, 0, &best);
    for (int half = how->hi - 1; largest != 0 && half <= 2 * how->hi + 2; half++) {
        consider(how, x, weight, (float)(largest * 2 / half), &best);
        if (how->negative)
            consider(how, x, weight, (float)(-largest * 2 / half), &best);
    }
    for (int j = 0; j < how->n; j++)
        code[j] = best.code[j];
    return best.d;
}
