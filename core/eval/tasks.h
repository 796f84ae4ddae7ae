/* tasks.h - multiple choice by log-likelihood, one model or two.
 *
 * METHOD, as lm-evaluation-harness has it for multiple choice. Question and each choice, a blank between them unless
 * one is there, are tokenized as one text; the tokens that the question alone has too (from the start) are the context,
 * the rest, at least one token, is the choice. Its score is the sum of ln p of its tokens; normalised, that sum divided
 * by the bytes of the choice as it stands in the file. The highest score (of equal ones the first) is the answer. Two
 * accuracies come of that: `sum` ("acc") and `normalised` ("acc_norm"), each with Wilson's interval and, for two
 * models, McNemar's exact test.
 */
#ifndef QS_CORE_TASKS_H
#define QS_CORE_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/eval/sets.h"
#include "core/job/job.h"
#include "core/model/engine.h"
#include "core/text/vocab.h"

struct qs_task_score {            /* one model on one task */
    double ln_p[QS_SET_CHOICES];  /* sums; NaN: something was not finite */
    size_t by_sum, by_normalised; /* the answer; SIZE_MAX: none, nothing was finite */
};
struct qs_task_result { size_t task; bool passed_over; struct qs_task_score model, base; };

struct qs_task_totals {           /* of one way to score */
    uint64_t right, right_base, only_model, only_base;
    double accuracy, low, high, accuracy_base, low_base, high_base;
    double p;                     /* McNemar's; NaN without a reference */
};
struct qs_tasks_result {
    struct qs_task_result *item;
    size_t n, passed_over;        /* too long for the context */
    struct qs_task_totals sum, normalised;
    uint64_t bad, bad_base;       /* choices without a score */
    double chance;                /* mean of 1 / choices */
};

struct qs_tasks_args {
    struct qs_engine *model, *base; /* base NULL: one model */
    const struct qs_vocab *vocab;
    const struct qs_tasks *tasks;
    size_t most;                    /* tasks; 0: all */
    struct qs_session_args cache;   /* n_ctx 0: the model's own, at most 4096 */
};

/* The job counts tasks. */
int qs_tasks_run(const struct qs_tasks_args *a, struct qs_job *job, struct qs_tasks_result **out, struct qs_err *e);
void qs_tasks_result_free(struct qs_tasks_result *x); /* NULL allowed */

#endif
