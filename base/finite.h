/* finite.h - whether all numbers of a row are finite: what calibration and comparison of layers ask of every row. */
#ifndef QS_BASE_FINITE_H
#define QS_BASE_FINITE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

static inline bool qs_finite_row(const float *x, size_t n)
{
    float sum = 0; /* times 0: NaN as soon as one is not finite */
    for (size_t i = 0; i < n; i++)
        sum += x[i] * 0.0f;
    return !isnan(sum);
}

#endif
