/* collect.h - one pass of the original model over the corpus, layer by layer: statistics, and, with the Hessians while
 * they last, what every type would cost each tensor. */
#ifndef QS_CALIB_COLLECT_H
#define QS_CALIB_COLLECT_H

#include "core/calib/statistics.h"
#include "core/calib/stream.h"
#include "core/calib/watch.h"

struct qs_collect_args {
    struct qs_engine *engine;         /* of the original model, of either precision */
    const struct qs_inputs *inputs;
    const struct qs_corpus *corpus;
    struct qs_pool *pool;
    enum qs_prio prio;
    uint64_t memory;                  /* bytes we may take for hidden states and Hessians; 0: half of what is free */
    const int *type; size_t n_types;  /* errors of these types with imatrix and GPTQ, measured on the held-out windows; 0: none */
    unsigned sweeps;                  /* of GPTQ's coordinate descent */
    const char *journal;              /* path of the journal that lets it go on after a kill; NULL: none */
    struct qs_calib_watch *watch;     /* may be NULL */
};
struct qs_collect_need { uint64_t memory, spill, work /* tokens * weights, for the time */; };
int qs_collect_need(const struct qs_collect_args *a, struct qs_collect_need *out, struct qs_err *e);
/* Finished layers are in the journal, whose head names all that they depend on (QS_EEXISTS: of other work, with the difference named); the
 * result has the same bits. The journal stays, and a later run takes all of it: whoever has kept the result forgets it. */
int qs_collect_run(const struct qs_collect_args *a, struct qs_job *job, struct qs_statistics **out, struct qs_err *e);
/* Removes the journal of a collection whose statistics are kept. NULL, and one that is not there: nothing. */
void qs_collect_forget(const char *journal);

#endif
