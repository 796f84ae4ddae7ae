/* survey_lab.h - measures one cell, one distribution or one mean square; knows neither table nor cache.
 *
 * A lab keeps the tensor it worked on last, its sample as floats and scratch that grows to the largest tensor met, so
 * that several types of one tensor in a row cost one look at the file. Numbers depend on the weights, the seed and what
 * is asked, never on threads or order. One thread at a time.
 */
#ifndef QS_CORE_SURVEY_LAB_H
#define QS_CORE_SURVEY_LAB_H

#include "core/quant/survey.h"

struct qs_lab;

/* The model, pool and job (NULL allowed) have to outlive it. */
int qs_lab_new(const struct qs_model *m, uint64_t seed, struct qs_pool *pool, struct qs_job *job, struct qs_lab **out,
               struct qs_err *e);
void qs_lab_free(struct qs_lab *l); /* NULL allowed */

/* Weights of t that a sample of about `sample_weights` has; 0 stands for all, as everywhere below. */
uint64_t qs_lab_weights(const struct qs_tensor *t, uint64_t sample_weights);
/* Whether that are all of them. */
bool qs_lab_is_whole(const struct qs_tensor *t, uint64_t sample_weights);

/* Fills *out, but for its bytes; the job steps by qs_lab_weights. importance: NULL for the encoder's own weighting. */
int qs_lab_cell(struct qs_lab *l, const struct qs_tensor *t, int type, const struct qs_imatrix_entry *importance,
                uint64_t sample_weights, struct qs_survey_cell *out, struct qs_err *e);
/* The job steps by all weights. */
int qs_lab_stats(struct qs_lab *l, const struct qs_tensor *t, struct qs_survey_stats *out, struct qs_err *e);
/* The mean square alone, as a cell of the tensor's own type. counted: the job has been told of these weights, and
 * steps. */
int qs_lab_square(struct qs_lab *l, const struct qs_tensor *t, uint64_t sample_weights, bool counted,
                  struct qs_survey_cell *out, struct qs_err *e);

#endif
