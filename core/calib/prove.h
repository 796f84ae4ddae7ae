/* prove.h - a recipe against every preset and uniform type of at most the same bytes, measured on held-out text. */
#ifndef QS_CALIB_PROVE_H
#define QS_CALIB_PROVE_H

#include "core/calib/calibrate.h"
#include "core/calib/fit.h"

struct qs_rival { char name[32]; uint64_t bytes; double bpw, kld, kld_se, ppl, predicted; bool ours, done; char note[80]; };
struct qs_proof { struct qs_rival *rival; size_t n; /* [0] is ours */
                  size_t best; bool better; /* ours is better than every other by more than the error bar */
                  double predicted, measured; };
struct qs_prove_args {
    struct qs_model *model; struct qs_pool *pool; enum qs_prio prio;
    const struct qs_recipe *recipe; struct qs_store *store; /* may be NULL */
    const struct qs_imatrix *imatrix; double predicted;
    const char *text; size_t n_ctx, n_windows; bool allow_requantize;
    size_t most;                    /* rivals; 0: all of at most the bytes */
};
int qs_prove_run(const struct qs_prove_args *a, struct qs_job *job, struct qs_proof **out, struct qs_err *e);
void qs_proof_free(struct qs_proof *p);

#endif
