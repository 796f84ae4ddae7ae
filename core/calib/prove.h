/* prove.h - a recipe against every preset and uniform type of at most the same bytes, measured on held-out text. */
#ifndef QS_CALIB_PROVE_H
#define QS_CALIB_PROVE_H

#include "core/calib/calibrate.h"
#include "core/calib/fit.h"

struct qs_rival {
    char name[32];                  /* "fitted", "Q4_K_M", "uniform Q4_K" */
    uint64_t bytes; double bpw;
    double kld, kld_se, ppl;        /* measured; NaN: not done */
    double predicted;               /* KLD; NaN: not known */
    double more, more_se; /* its KLD less ours, over the same positions, and the error of that; NaN: ours, not done */
    bool ours, done;
    char note[80];                  /* what came of it, or why it was not measured */
};
#define QS_PROOF_BARS 2.0           /* standard errors of the paired difference that count as a difference */
struct qs_proof { struct qs_rival *rival; size_t n; /* [0] is ours, then by bytes, largest first */
                  size_t best; bool better; /* ours is better than every other by more than the error bar */
                  double predicted, measured;
                  size_t windows; uint64_t scored; };
struct qs_prove_args {
    struct qs_model *model; struct qs_pool *pool; enum qs_prio prio;
    const struct qs_recipe *recipe; struct qs_store *store; /* of ours alone; may be NULL */
    const struct qs_imatrix *imatrix; /* of all; may be NULL */
    double predicted;
    const struct qs_fit_args *costs; /* for the predictions of rivals; may be NULL */
    const char *text; size_t n_ctx /* 0: 512, at most the model's */, n_windows /* 0: all */; bool allow_requantize;
    size_t most;                    /* rivals, the largest; 0: all of at most the bytes */
};
/* Presets and uniform types that give the same types as one before them are passed over; those that cannot be carried
 * out are listed with the reason. The job tells which one is measured. */
int qs_prove_run(const struct qs_prove_args *a, struct qs_job *job, struct qs_proof **out, struct qs_err *e);
void qs_proof_free(struct qs_proof *p); /* NULL allowed */

#endif
