/* output.h - what types do to the outputs of a model's matrices: ||(W - W^) X|| / ||W X||, from statistics.
 *
 * X is the sample of activation rows that statistics keep of every input. An error is taken from the statistics' own
 * table where a calibration measured it (held out, weighted fit: how QS_HOW_WHOLE), else measured here on a sample of
 * whole weight rows, any type at any time. And per tensor how far the channels of its input stand out.
 *
 * LIVE, as a survey: made empty, filled by qs_outputs_measure on one thread at a time, read by any thread meanwhile.
 */
#ifndef QS_CALIB_OUTPUT_H
#define QS_CALIB_OUTPUT_H

#include "base/pool.h"
#include "core/calib/statistics.h"
#include "core/how.h"
#include "core/job/job.h"

struct qs_output {
    double error, error_se;        /* relative (NaN: it was measured and is no number); standard error where rows were sampled */
    enum qs_how how;               /* QS_HOW_EXACT: it keeps its type */
    uint64_t sample;               /* weights measured; 0: from the table */
};

struct qs_outputs;

/* Knows at once what needs no measuring: types that tensors have already, the statistics' table, activation outliers.
 * Model and statistics outlive it. */
int qs_outputs_new(const struct qs_model *m, const struct qs_statistics *s, struct qs_outputs **out, struct qs_err *e);
void qs_outputs_free(struct qs_outputs *o); /* NULL allowed */

struct qs_output_want { size_t tensor; int type; }; /* index of the model */
struct qs_output_args {
    uint64_t sample_weights;       /* of each tensor; 0: 65536; UINT64_MAX: all */
    struct qs_pool *pool;
    enum qs_prio prio;
    struct qs_job *job;            /* counts weights; NULL: none */
};
/* Measures what is listed, not known yet, and can be measured (qs_outputs_can). QS_EINVAL: the statistics belong to
 * another model. */
int qs_outputs_measure(struct qs_outputs *o, const struct qs_output_want *want, size_t n, const struct qs_output_args *a,
                       struct qs_err *e);
/* Whether the statistics keep a sample of what the tensor reads, and it can be written as that type. */
bool qs_outputs_can(const struct qs_outputs *o, size_t tensor, int type);
bool qs_outputs_any(const struct qs_outputs *o); /* there is a sample of some input */

bool qs_outputs_get(const struct qs_outputs *o, size_t tensor, int type, struct qs_output *out); /* false: not known */
/* Largest channel of the tensor's input over the median one (qs_channel_facts); NaN: not known. */
double qs_outputs_activation(const struct qs_outputs *o, size_t tensor);
uint64_t qs_outputs_version(const struct qs_outputs *o); /* grows with every change */

#endif
