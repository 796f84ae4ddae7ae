/* stats.h - the shape of one tensor's distribution, in double, the same bits for any thread count.
 *
 * Moments are taken around the mean of fixed chunks of whole rows and merged in row order (Chan, Golub, LeVeque 1979;
 * Pébay 2008 for the third and fourth). Weights beyond 6 standard deviations need the final mean and deviation: a second
 * look is taken at just those chunks whose extremes reach that far. NaN and Inf are counted and left out of the rest.
 *
 * A channel (row or column) is an outlier when its largest weight is QS_OUTLIER_RATIO times that of the median channel or
 * more, channels of nothing but zeros not counted; what stands out only where it crosses an outlier of the other axis is
 * none. How they are told apart: outliers.h.
 */
#ifndef QS_CORE_STATS_H
#define QS_CORE_STATS_H

#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/weight.h"
#include "core/quant/survey.h"

/* All rows of w. A row is one output channel (rows of all experts are numbered through), a column one input channel (its
 * largest weight over all rows and experts). Deviation: sqrt(M2 / n). Kurtosis: n M4 / M2^2; NaN when all weights are
 * equal. Job steps add up to the number of weights: half of it for the first look, the rest in equal parts for the looks
 * that may follow (at most ten), those not needed at the end. The pool is held for some ms at a time, and the job is asked
 * as often, also while outliers are told apart. QS_EUNSUPPORTED: the format has no decoder. */
int qs_stats_run(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_survey_stats *out,
                 struct qs_err *e);

/* The mean square of the finite weights alone, in one look; NaN: there are none. counted: job steps add up to the number
 * of weights, else to 0. */
int qs_stats_mean_square(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, bool counted, double *out,
                         struct qs_err *e);

#endif
