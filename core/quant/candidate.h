/* candidate.h - the plan carried out in memory, tensor by tensor: what is spoken to before a byte of the file is
 * written.
 *
 * DESIGN. A candidate is a list of weights, one reference per tensor of the model: those that the plan copies are
 * the model's own mapped bytes, shared with whoever else has the model; those that were made beforehand are the
 * mapped bytes of their store; the others are made by the code that makes
 * the writer's slices (the same bytes, error sums and refusals) into scratch files without a name, which the system
 * may page out; small ones lie on the heap. After an edit the next candidate takes over from the one before, whole
 * or not, what has the same source, type and importance weights, by reference, and makes the rest: the bytes of
 * others die with their last reader. The importance weights are known by their content, so the same matrix read
 * again changes nothing.
 */
#ifndef QS_CORE_CANDIDATE_H
#define QS_CORE_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/job/job.h"
#include "core/model/engine.h"
#include "core/quant/encode.h"
#include "core/quant/plan.h"

struct qs_candidate;

/* An empty one of that plan. before (may be NULL): one of the same model, of which everything is taken over that is
 * still true. Plan and importance matrix live until the last qs_candidate_run has returned, the model as long as the
 * candidate. QS_EINVAL, ...: the plan's blocker, in its words. */
int qs_candidate_new(const struct qs_plan *plan, const struct qs_candidate *before,
                     struct qs_candidate **out, struct qs_err *e);
/* The same from one more, for what is still missing. QS_EINVAL: it is of another model. */
int qs_candidate_take(struct qs_candidate *c, const struct qs_candidate *from, struct qs_err *e);
struct qs_candidate *qs_candidate_ref(struct qs_candidate *c); /* atomic */
void qs_candidate_unref(struct qs_candidate *c);               /* NULL allowed */

/* Makes what is missing, on the caller's thread (inside a job, which counts weights; NULL: none). May be called
 * again after it was cancelled or has failed: what is made stays. Nobody else looks at the candidate meanwhile.
 * QS_EFORMAT: weights that are NaN or infinite, or would be, as the writer tells it; QS_ENOSPACE: no room for the
 * scratch files; QS_EIO: the model's file was cut short. */
int qs_candidate_run(struct qs_candidate *c, struct qs_pool *pool, struct qs_job *job, struct qs_err *e);
bool qs_candidate_whole(const struct qs_candidate *c); /* nothing is missing */

const struct qs_model *qs_candidate_model(const struct qs_candidate *c);
/* The weight of tensor i (index of the model); not a new reference. NULL: not made yet. */
struct qs_weight *qs_candidate_weight(const struct qs_candidate *c, size_t i);
bool qs_candidate_shares(const struct qs_candidate *c, size_t i);  /* it is the model's own */
/* Over what was encoded, as the writer adds it up. */
struct qs_error_sums qs_candidate_error(const struct qs_candidate *c);

/* Gives the engine, which runs the same model, each weight that it does not have yet. *changed (may be NULL): how many:
 * with 0 sessions may go on as they are. QS_EINVAL: another model, or a candidate that is not whole. */
int qs_candidate_apply(const struct qs_candidate *c, struct qs_engine *x, size_t *changed, struct qs_err *e);

/* What a candidate would take, to be told before it is made. */
struct qs_candidate_need {
    uint64_t shared;    /* bytes of the model's own weights, and of a store's */
    uint64_t scratch;   /* bytes in scratch files: on the disk, pageable */
    uint64_t heap;      /* bytes of small weights, private */
    uint64_t working;   /* private while it is made */
    uint64_t to_make;   /* weights that are not taken over from `before` */
    uint64_t free_disk; /* where the scratch files would lie; 0: unknown */
};
int qs_candidate_need(const struct qs_plan *plan, const struct qs_candidate *before, unsigned threads,
                      struct qs_candidate_need *out, struct qs_err *e);

#endif
