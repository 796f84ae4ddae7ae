/* evaluation_internal.h - between the files of an evaluation. */
#ifndef QS_CORE_EVALUATION_INTERNAL_H
#define QS_CORE_EVALUATION_INTERNAL_H

#include "core/eval/evaluation.h"

/* Adds all warnings that the results give rise to. */
int qs_evaluation_judge(struct qs_evaluation *x, struct qs_err *e);

#endif
