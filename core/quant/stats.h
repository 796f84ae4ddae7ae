/* stats.h - the shape of one tensor's distribution, in double, the same bits for any thread count.
 *
 * Moments are taken around the mean of fixed chunks of whole rows and merged in row order (Chan, Golub, LeVeque 1979;
 * Pébay 2008 for the third and fourth). Weights beyond 6 standard deviations need the final mean and deviation: a second
 * look is taken at just those chunks whose extremes reach that far. NaN and Inf are counted and left out of the rest.
 *
 * A channel (row or column) is an outlier when its largest weight is QS_OUTLIER_RATIO times that of the median channel or
 * more. A row that stands out only where it crosses an outlier column is none, and the other way round: of the channels
 * that could explain the weights that stand out, those are taken that explain most of them (each weight needs one; of a
 * row and a column that explain as many it is the column, also where a single weight stands out); then rows are judged
 * again without the outlier columns and columns without the outlier rows, until nothing changes (at most 4 times). The
 * first yardstick is the median without the largest eighth of the channels across, for many outliers would hide others.
 */
#ifndef QS_CORE_STATS_H
#define QS_CORE_STATS_H

#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/weight.h"
#include "core/quant/survey.h"

/* All rows of w. A row is one output channel (rows of all experts are numbered through), a column one input channel (its
 * largest weight over all rows and experts). Deviation: sqrt(M2 / n). Kurtosis: n M4 / M2^2; NaN when all weights are
 * equal. Job steps count weights, each once; neither look holds
 * the pool for more than some ms. QS_EUNSUPPORTED: the format has no decoder. */
int qs_stats_run(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_survey_stats *out,
                 struct qs_err *e);

#endif
