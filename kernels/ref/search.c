/* search.c - the scale searches shared by the formats of kernels/ref.
 *
 * Owns no state. The float operations stand in the order of the reference implementation on purpose: a sum taken in
 * another order, or x*inv instead of x/d, would change stored bytes now and then. Everything is defined for any input
 * bits; NaN compares false everywhere and so never wins a search.
 */
#include "kernels/ref/search.h"

int qs_nearest_on_line(float x, float d, float m, int lo, int hi)
{
    if (!(fabsf(d) > 0)) /* no scale: all codes decode alike */
        return qs_clamp_int(0, lo, hi);
    float q = (x - m) / d;
    if (!(q > (float)lo)) /* NaN lands here too */
        return q <= (float)lo ? lo : qs_clamp_int(0, lo, hi);
    if (q >= (float)hi)
        return hi;
    int best = (int)lrintf(q);
    double best_err = fabs((double)((float)best * d + m) - (double)x);
    /* The division and the decoder's product are rounded: near a midpoint a neighbour can be closer. */
    for (int l = best - 1, first = best; l <= first + 1; l += 2) {
        if (l < lo || l > hi)
            continue;
        double err = fabs((double)((float)l * d + m) - (double)x);
        if (err < best_err) {
            best_err = err;
            best = l;
        }
    }
    return best;
}

int qs_nearest_of_table(float x, float d, const int8_t *values, int n)
{
    int best = 0;
    double best_err = fabs((double)(d * (float)values[0]) - (double)x);
    for (int i = 1; i < n; i++) {
        double err = fabs((double)(d * (float)values[i]) - (double)x);
        if (err < best_err) {
            best_err = err;
            best = i;
        }
    }
    return best;
}

/* Round x on 1/s = inv, and the two sums whose quotient is the least-squares scale. */
static void symmetric_sums(int n, int nmax, const float *x, const float *w, float inv, float *sumlx, float *suml2)
{
    float lx = 0, l2 = 0;
    for (int i = 0; i < n; i++) {
        float l = (float)qs_clamp_int(qs_nearest_int(inv * x[i]), -nmax, nmax - 1);
        float wi = w ? w[i] : x[i] * x[i];
        lx += wi * x[i] * l;
        l2 += wi * l * l;
    }
    *sumlx = lx;
    *suml2 = l2;
}

static void symmetric_codes(int n, int nmax, const float *x, float inv, uint8_t *code)
{
    for (int i = 0; i < n; i++)
        code[i] = (uint8_t)(nmax + qs_clamp_int(qs_nearest_int(inv * x[i]), -nmax, nmax - 1));
}

float qs_search_symmetric(int n, int nmax, const float *x, const float *w, uint8_t *code)
{
    float max = 0, amax = 0;
    for (int i = 0; i < n; i++) {
        float ax = fabsf(x[i]);
        if (ax > amax) {
            amax = ax;
            max = x[i];
        }
    }
    if (amax < QS_SEARCH_EPS) {
        for (int i = 0; i < n; i++)
            code[i] = 0;
        return 0;
    }
    float inv = (float)-nmax / max, best_inv = inv, sumlx, suml2;
    symmetric_sums(n, nmax, x, w, inv, &sumlx, &suml2);
    float scale = suml2 != 0 ? sumlx / suml2 : 0;
    float best = scale * sumlx;
    for (int k = -9; k <= 9; k++) {
        if (k == 0)
            continue;
        inv = -((float)nmax + 0.1f * (float)k) / max;
        symmetric_sums(n, nmax, x, w, inv, &sumlx, &suml2);
        if (suml2 > 0 && sumlx * sumlx > best * suml2) {
            best_inv = inv;
            scale = sumlx / suml2;
            best = scale * sumlx;
        }
    }
    symmetric_codes(n, nmax, x, best_inv, code);
    return scale;
}

static float affine_error(int n, const float *x, const float *w, const uint8_t *code, float scale, float min,
                          int absolute)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        float diff = scale * (float)code[i] + min - x[i];
        sum += w[i] * (absolute ? fabsf(diff) : diff * diff);
    }
    return sum;
}

float qs_search_affine(const struct qs_affine_search *how, int n, const float *x, const float *w, uint8_t *code,
                       float *minus_min)
{
    const int nmax = how->nmax;
    float min = x[0], max = x[0], sum_w = w[0], sum_x = sum_w * x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < min)
            min = x[i];
        if (x[i] > max)
            max = x[i];
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    if (min > 0)
        min = 0;
    if (max <= min) {
        for (int i = 0; i < n; i++)
            code[i] = 0;
        *minus_min = -min;
        return 0;
    }
    float inv = (float)nmax / (max - min), scale = 1 / inv;
    for (int i = 0; i < n; i++)
        code[i] = (uint8_t)qs_clamp_int(qs_nearest_int(inv * (x[i] - min)), 0, nmax);
    float best = affine_error(n, x, w, code, scale, min, how->absolute);
    uint8_t trial[QS_SEARCH_MAX];
    for (int k = 0; k <= how->steps; k++) {
        /* `min` is that of the best candidate so far, so later candidates start from it. */
        inv = (how->first + how->step * (float)k + (float)nmax) / (max - min);
        float sum_l = 0, sum_l2 = 0, sum_xl = 0;
        for (int i = 0; i < n; i++) {
            int q = qs_clamp_int(qs_nearest_int(inv * (x[i] - min)), 0, nmax);
            trial[i] = (uint8_t)q;
            float l = (float)q;
            sum_l += w[i] * l;
            sum_l2 += w[i] * l * l;
            sum_xl += w[i] * l * x[i];
        }
        float det = sum_w * sum_l2 - sum_l * sum_l;
        if (!(det > 0))
            continue;
        float s = (sum_w * sum_xl - sum_x * sum_l) / det;
        float m = (sum_l2 * sum_x - sum_l * sum_xl) / det;
        if (m > 0) {
            m = 0;
            s = sum_xl / sum_l2;
        }
        float err = affine_error(n, x, w, trial, s, m, how->absolute);
        if (err < best) {
            memcpy(code, trial, (size_t)n);
            best = err;
            scale = s;
            min = m;
        }
    }
    *minus_min = -min;
    return scale;
}

/* Sum of w * (x - s * code)^2 with codes rounded on inv = 1/s. */
static float positive_error(int n, int nmax, const float *x, const float *w, float inv)
{
    float scale = 1 / inv, sum = 0;
    for (int i = 0; i < n; i++) {
        int l = qs_nearest_int(inv * x[i]);
        float diff = x[i] - scale * (float)(l < nmax ? l : nmax);
        sum += w[i] * diff * diff;
    }
    return sum;
}

/* Move one code at a time to the least-squares optimum that the others imply, as long as the fit improves. */
static float positive_refine(int n, int nmax, const float *x, const float *w, uint8_t *code, float sumlx, float suml2)
{
    for (int pass = 0; pass < 5; pass++) {
        int changed = 0;
        for (int i = 0; i < n; i++) {
            float old = (float)code[i];
            float lx = sumlx - w[i] * x[i] * old;
            float l2 = suml2 - w[i] * old * old;
            if (!(lx > 0 && l2 > 0))
                continue;
            int l = qs_nearest_int(x[i] * l2 / lx);
            l = l < nmax ? l : nmax;
            if (l == code[i])
                continue;
            lx += w[i] * x[i] * (float)l;
            l2 += w[i] * (float)l * (float)l;
            if (lx * lx * suml2 > sumlx * sumlx * l2) {
                code[i] = (uint8_t)l;
                sumlx = lx;
                suml2 = l2;
                changed++;
            }
        }
        if (!changed)
            break;
    }
    return suml2 > 0 ? sumlx / suml2 : 0;
}

float qs_search_positive(int n, int nmax, const float *x, const float *w, uint8_t *code)
{
    float max = 0;
    for (int i = 0; i < n; i++)
        max = max > x[i] ? max : x[i];
    if (max < QS_SEARCH_EPS) {
        for (int i = 0; i < n; i++)
            code[i] = 0;
        return 0;
    }
    float inv = (float)nmax / max, scale = 1 / inv, best = 0;
    for (int i = 0; i < n; i++) {
        /* Through a byte, without the upper bound: so does the reference, here and only here. */
        float diff = x[i] - scale * (float)(uint8_t)qs_nearest_int(inv * x[i]);
        best += w[i] * diff * diff;
    }
    for (int k = -4; k <= 4; k++) {
        if (k == 0)
            continue;
        float trial = (0.1f * (float)k + (float)nmax) / max;
        float err = positive_error(n, nmax, x, w, trial);
        if (err < best) {
            best = err;
            inv = trial;
        }
    }
    float sumlx = 0, suml2 = 0;
    for (int i = 0; i < n; i++) {
        int l = qs_nearest_int(inv * x[i]);
        l = l < nmax ? l : nmax;
        code[i] = (uint8_t)l;
        sumlx += w[i] * x[i] * (float)l;
        suml2 += w[i] * (float)l * (float)l;
    }
    return positive_refine(n, nmax, x, w, code, sumlx, suml2);
}
