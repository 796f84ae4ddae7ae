/* report_eval_internal.h - between the files that make the report of an evaluation. */
#ifndef QS_CORE_REPORT_EVAL_INTERNAL_H
#define QS_CORE_REPORT_EVAL_INTERNAL_H

#include "core/report/report_eval.h"

void qs_report_eval_layers(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view);
void qs_report_eval_tokens(struct qs_report *r, const struct qs_evaluation *x);
void qs_report_eval_prompts(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view);
void qs_report_eval_tasks(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view);

/* "36.12 +- 0.47", digits as its error suggests; a share as percent. error NaN: alone. */
void qs_eval_text_number(struct qs_str *out, double value, double error, bool share);

#endif
