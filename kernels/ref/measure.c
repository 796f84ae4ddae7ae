/* measure.c - measure.h in plain C: what the other levels are held to. */
#include <math.h>

#include "kernels/half.h"
#include "kernels/measure.h"

enum { SUMS = 4 };

void qs_ref_distance(const float *x, const float *y, const float *weight, size_t n, struct qs_row_distance *out)
{
    double err[SUMS] = { 0 }, ref[SUMS] = { 0 }, werr[SUMS] = { 0 }, wref[SUMS] = { 0 };
    *out = (struct qs_row_distance){ 0 };
    for (size_t k = 0; k < n; k++) {
        const double v = (double)x[k], d = v - (double)y[k];
        if (!isfinite(d)) {
            out->nonfinite++;
            continue;
        }
        const double d2 = d * d, v2 = v * v, w = weight ? (double)weight[k] : 0;
        err[k % SUMS] += d2;
        ref[k % SUMS] += v2;
        werr[k % SUMS] += weight ? w * d2 : 0;
        wref[k % SUMS] += weight ? w * v2 : 0;
        out->max_abs = fabs(d) > out->max_abs ? fabs(d) : out->max_abs;
    }
    for (size_t i = 0; i < SUMS; i++) {
        out->err2 += err[i];
        out->ref2 += ref[i];
        out->werr2 += werr[i];
        out->wref2 += wref[i];
    }
}

/* As integers, magnitudes have the order of numbers; those that are none are above all. */
static float largest(const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t k = 0; k < n; k++) {
        const uint32_t bits = qs_f32_bits(x[k]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most < 0x7f800000u ? qs_bits_f32(most) : NAN;
}

void qs_ref_measure(struct qs_measure_ops *ops) { *ops = (struct qs_measure_ops){ qs_ref_distance, largest }; }
