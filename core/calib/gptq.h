/* gptq.h - rounding with error feedback on the grid of a format (GPTQ, arXiv:2210.17323), and what comes after it.
 *
 * ROAD. The importance-weighted search of the format fixes the grid (scales and minima); then columns are rounded one by one,
 * those with the largest diag(H) first, each weight to its own sub-block's grid, and the error is spread over the columns
 * that are left, through the upper Cholesky factor of the inverse of H + damping. As the grid is fixed, any order is
 * possible and the file is an ordinary one. Then coordinate descent on the fixed grid (D = what it is now - target;
 * q_j <- nearest to q_j - (D H)_j / H_jj), then, where asked, scales and offsets fitted anew to the codes under H and
 * rounded as the format stores them, and descent again; a step that does not lower the error (with the ridge, see below)
 * is taken back. Errors are tr(D H D^T). Rows are independent: the same bits for any thread count.
 */
#ifndef QS_CALIB_GPTQ_H
#define QS_CALIB_GPTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/calib/hessian.h"
#include "core/job/job.h"

/* What is shared by all matrices and types on one input: order of columns, factor. */
struct qs_gptq_factor;
struct qs_gptq_factor_args {
    double damp;              /* of the mean of diag(H); 0: 0.01. Raised tenfold until it factors, at most to 1 */
    bool natural_order;       /* columns as they stand; otherwise act-order */
    double ridge;             /* of the mean of diag(H), added to H in all that is decided here (not in what is reported):
                               * few tokens make an H that promises too much. 0: twice columns / tokens, at most 0.5;
                               * below 0: none */
};
struct qs_gptq_factor_facts {
    double damp;              /* that worked */
    double ridge;             /* taken */
    unsigned tries;
    size_t dead;              /* columns with diag(H) = 0: their weights are rounded plainly */
};
/* QS_EINVAL: it does not factor with any damping, or H is not finite: the caller falls back to the weighted fit. */
int qs_gptq_factor_new(const struct qs_hessian *h, const struct qs_gptq_factor_args *a, struct qs_gptq_factor **out,
                       struct qs_gptq_factor_facts *facts, struct qs_err *e);
void qs_gptq_factor_free(struct qs_gptq_factor *f);
uint64_t qs_gptq_need(size_t cols, size_t rows, unsigned threads); /* private bytes of factor and of one run together */

struct qs_gptq_args {
    const struct qs_hessian *h;
    const struct qs_gptq_factor *factor;
    int type;                 /* one that has a lattice */
    const float *importance;  /* cols: for the search of the grid; NULL: diag(H) */
    unsigned sweeps;          /* of coordinate descent at most; 0: none */
    unsigned refits;          /* of scales under H; 0: none */
    bool plain;               /* no error feedback: the weighted fit alone (baseline), still with its errors */
    struct qs_pool *pool;
    enum qs_prio prio;
};
struct qs_gptq_result {
    double norm;              /* tr(W H W^T), W the target */
    double fit, gptq, descent, refit; /* tr(D H D^T) after each step; NaN: not done */
    uint64_t changed;         /* codes that differ from the weighted fit's */
    unsigned sweeps;          /* done */
};
/* pool NULL: the caller's thread. target: rows * cols. dst: packed rows of the type (single component).
 * QS_EUNSUPPORTED: the type has no lattice; QS_EFORMAT: weights that are not finite. job (may be NULL) is only asked whether it was cancelled. */
int qs_gptq_encode(const struct qs_gptq_args *a, const float *target, size_t rows, size_t cols, uint8_t *dst,
                   struct qs_gptq_result *out, struct qs_job *job, struct qs_err *e);

/* Correction for quantized predecessors: out = w + (strength * w cross + pull * drift) (H + lambda I)^-1, with cross = (X0 - X)^T X
 * and drift = (S0 - S)^T X as in hessian.h, lambda = damp * mean diag(H): the best weights on the inputs that will really
 * arrive, and, with pull > 0 (rows == width, for what is added to the hidden state), such that the result also makes up for that
 * share of what the hidden state has lost before it. out may be w. */
int qs_gptq_correct(const struct qs_hessian *h, double damp, double strength, double pull, const float *w, size_t rows,
                    float *out, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);

#endif
