/* survey_types.h - the type each tensor would get under a recipe or a plan, or with one type everywhere: what the map and
 * the table of tensors show, and what the survey has to measure for it. */
#ifndef QS_CORE_SURVEY_TYPES_H
#define QS_CORE_SURVEY_TYPES_H

#include "core/quant/plan.h"
#include "core/quant/survey.h"

struct qs_survey_types {
    int *type;                       /* per tensor of the model; QS_TYPE_NONE: none */
    int *distinct; size_t n_distinct; /* each known one once */
    bool fell_back;                  /* uniform: some rows are no multiple of the block */
};

/* Fill *out, to be freed with qs_survey_types_free whether they worked or not. Uniform: one type for every matrix; where
 * rows are no multiple of its block, what llama.cpp falls back to. */
int qs_survey_types_recipe(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix,
                           struct qs_survey_types *out, struct qs_err *e);
int qs_survey_types_plan(const struct qs_plan *p, struct qs_survey_types *out, struct qs_err *e); /* copies: none */
int qs_survey_types_uniform(int type, const struct qs_model *m, struct qs_survey_types *out, struct qs_err *e);
void qs_survey_types_free(struct qs_survey_types *x);

/* Has a survey measure each tensor at its type alone; x has to outlive the run. */
void qs_survey_types_use(const struct qs_survey_types *x, struct qs_survey_args *args);

#endif
