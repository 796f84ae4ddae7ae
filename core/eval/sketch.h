/* sketch.h - percentiles of a stream of numbers in memory that does not grow with the stream.
 *
 * METHOD. Up to `keep` values are kept as they are: every percentile is exact. With the next one they move into a
 * histogram with bins of equal width in the logarithm (as in DDSketch, Masson, Rim, Lee 2019, arXiv:1908.10693), one
 * for positive and one for negative values: from then on an order statistic is within QS_SKETCH_ERROR of the true one,
 * relative to it. Values nearer to zero than 1e-12 count as zero, values beyond 1e9 fall into the last bin; smallest
 * and largest stay exact.
 */
#ifndef QS_CORE_SKETCH_H
#define QS_CORE_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define QS_SKETCH_KEEP 1000000
#define QS_SKETCH_ERROR 0.001

struct qs_sketch {
    double *value;      /* the values while n <= keep; NULL afterwards */
    size_t keep, cap;
    bool sorted;
    uint64_t *bin[2];   /* of positive, of negative values; NULL while exact */
    uint64_t zeros;     /* of the histogram */
    uint64_t n;
    double min, max;
};

void qs_sketch_init(struct qs_sketch *s, size_t keep);
void qs_sketch_free(struct qs_sketch *s);
/* x is finite. QS_ENOMEM: the value was not taken. */
int qs_sketch_add(struct qs_sketch *s, double x, struct qs_err *e);
bool qs_sketch_exact(const struct qs_sketch *s);
/* The value at place share * (n - 1) of the sorted values, counted from 0, between two places on the line through both,
 * as llama.cpp's perplexity does; share 0: the smallest, 1: the largest, 0.5: the median. NaN: nothing was added.
 * Sorts. */
double qs_sketch_at(struct qs_sketch *s, double share);

#endif
