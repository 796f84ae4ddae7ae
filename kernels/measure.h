/* measure.h - how far a row is from another, and how large a row is: what surveys and calibration look at.
 *
 * One table per level of instructions, a part of rows.h. All give the same bits. Nothing allocates.
 */
#ifndef QS_KERNELS_MEASURE_H
#define QS_KERNELS_MEASURE_H

#include <stddef.h>
#include <stdint.h>

struct qs_row_distance {
    double err2, ref2;   /* sums of (x - y)^2 and x^2 */
    double werr2, wref2; /* the same times weight; 0 without */
    double max_abs;      /* the largest |x - y| */
    uint64_t nonfinite;  /* places where x - y is no number; they are left out of all else */
};

struct qs_measure_ops {
    /* Of y to x, n floats, all in double: place k goes into sum k % 4, those are added in order. weight may be NULL. */
    void (*distance)(const float *x, const float *y, const float *weight, size_t n, struct qs_row_distance *out);
    /* The largest |x[k]|, 0 of none; NaN where any is not finite. */
    float (*largest)(const float *x, size_t n);
};

/* Fill the tables of the levels. */
void qs_ref_measure(struct qs_measure_ops *ops);
void qs_avx2_measure(struct qs_measure_ops *ops);

/* The plain one, for rows that have more than numbers. */
void qs_ref_distance(const float *x, const float *y, const float *weight, size_t n, struct qs_row_distance *out);

#endif
