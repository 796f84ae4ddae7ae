/* report_eval.h - an evaluation, and the history of them. */
#ifndef QS_CORE_REPORT_EVAL_H
#define QS_CORE_REPORT_EVAL_H

#include "core/eval/evaluation.h"
#include "core/report/table.h"

struct qs_eval_view {
    bool data; /* for programs: raw numbers, every row; else for people: errors behind their numbers, the worst rows */
    bool csv;       /* with a table "numbers" of all numbers, since facts have no CSV */
};

/* NULL: out of memory. Facts "eval", "perplexity", "divergence", "probability" (with a text), tables "held_out" (with a
 * second text), "layers", "tokens", facts "answers" and table "prompts", facts "accuracy" and table "tasks", table
 * "warnings". */
struct qs_report *qs_report_eval(const struct qs_evaluation *x, const struct qs_eval_view *view);

/* All runs, oldest first: table "runs". */
struct qs_report *qs_report_eval_history(const struct qs_eval_history *h, const struct qs_eval_view *view);
/* Two of them: facts "a", "b", table "numbers"; a note says what makes them unlike. */
struct qs_report *qs_report_eval_compare(const struct qs_eval_history_run *a, const struct qs_eval_history_run *b,
                                         const struct qs_eval_view *view);

#endif
