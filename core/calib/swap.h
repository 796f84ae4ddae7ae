/* swap.h - measured KL divergence of the model when one tensor alone is changed: what one unit of its error costs.
 *
 * Windows go through the original once; for each tensor only the blocks from its own on are run again. Definitions as
 * in eval/kld.h. */
#ifndef QS_CALIB_SWAP_H
#define QS_CALIB_SWAP_H

#include "base/pool.h"
#include "core/calib/statistics.h"
#include "core/calib/watch.h"
#include "core/job/job.h"
#include "core/model/engine.h"

struct qs_swap_args {
    struct qs_engine *engine;       /* of the original model; its weights are swapped meanwhile and put back */
    const struct qs_inputs *inputs;
    const struct qs_corpus *corpus; /* its windows to fit */
    size_t n_windows;
    struct qs_statistics *statistics; /* importance and errors are read, swaps put in */
    const size_t *tensor; size_t n_tensors; /* NULL: all */
    int type;                       /* QS_TYPE_NONE: Q3_K, or Q4_0 where rows are no multiple of 256 */
    uint64_t memory;
    struct qs_pool *pool; enum qs_prio prio;
    struct qs_calib_watch *watch;
};
uint64_t qs_swap_need(const struct qs_swap_args *a, uint64_t *tokens); /* tokens: block passes, for the time */
int qs_swap_run(const struct qs_swap_args *a, struct qs_job *job, struct qs_err *e);

#endif
