/* fit.h - bytes in, recipe out: the type of every tensor that costs least KL divergence under a budget.
 *
 * Minimise sum over groups of cost(group, type) with sum of bytes(group, type) <= budget; a group is one tensor, or
 * several that are tied. cost(tensor, type) = a(tensor) * e(tensor, type)^2: e the best relative output error that is
 * known (method GPTQ, else imatrix, else the survey's weighted or plain error), a = measured KLD per squared error from
 * one swap, where it was measured; else the median of its role, else of all, else 1 (of the head 100 times that, as
 * nothing dilutes its errors). Lower convex hulls and the multiplier of the relaxation, then states group by group
 * under its bound, which proves the optimum, or ends with what is best of very many.
 */
#ifndef QS_CALIB_FIT_H
#define QS_CALIB_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/calib/output.h"
#include "core/calib/statistics.h"
#include "core/quant/plan.h"
#include "core/quant/recipe.h"
#include "core/quant/survey.h"

/* ---- the solver alone ---- */
struct qs_fit_option { int type; uint64_t bytes; double cost; };
struct qs_fit_group { const struct qs_fit_option *option; size_t n; }; /* ascending bytes */
struct qs_fit_result {
    size_t *choice;
    double cost;
    uint64_t bytes;
    double bound /* no solution costs less */;
    bool exact;
};
int qs_fit_solve(const struct qs_fit_group *g, size_t n, uint64_t budget, struct qs_fit_result *out,
                 struct qs_err *e); /* QS_ELIMIT: even the smallest is larger */
void qs_fit_result_free(struct qs_fit_result *r);

/* Budgets as people say them: "4.2GiB", "900 MiB", "4.5 bpw", "fits in 8 GiB with 8k context" (and cache
 * type). A size is that of the file: its header counts (overhead), with room for a recipe that pins every tensor and for
 * what names importance and calibration. Bits per weight are of tensors alone. To fit in memory the KV cache of the
 * context (kv; F16 unless said otherwise, as "q8_0 cache") and the working memory of 512 tokens at a time (overhead:
 * logits, feed-forward, hidden states) count. text says so for people. QS_EINVAL names the word that is not understood;
 * QS_ELIMIT: nothing is left for weights. */
struct qs_budget { uint64_t bytes /* of tensors */; uint64_t kv, overhead; double bpw; char text[96]; };
int qs_budget_parse(const char *text, const struct qs_model *m, struct qs_budget *out, struct qs_err *e);

/* ---- a model ---- */
enum qs_fit_how {
    QS_FIT_SWAP /* own swap */,
    QS_FIT_ROLE /* median of its role */,
    QS_FIT_ALL,
    QS_FIT_ERROR /* errors alone */
};
struct qs_fit_choice {             /* of one tensor: why */
    int type; double error, cost; enum qs_fit_how how; enum qs_calib_method method; bool pinned;
    int up; uint64_t up_bytes; double up_saves; /* the next step up: type (QS_TYPE_NONE: none), bytes more, KLD less */
    int down; uint64_t down_bytes; double down_costs;
};
struct qs_fit_args {
    const struct qs_model *model;
    const struct qs_recipe *recipe;      /* its pins are respected; its options stay */
    const struct qs_statistics *statistics; /* may be NULL */
    const struct qs_outputs *outputs;    /* output errors beyond those of the statistics' own table; may be NULL */
    const struct qs_survey *survey;
    struct qs_budget budget;
    bool tie;                            /* q k v, gate up, and experts of a layer get one type */
    bool imatrix_only; /* errors of GPTQ and its kin count for nothing: what comes will be encoded without */
    const int *type; size_t n_types;     /* allowed; NULL: the ladder */
};
struct qs_fit {
    struct qs_recipe *recipe;            /* pins for all that differ from what a preset gives */
    struct qs_fit_choice *choice;        /* per model tensor */
    uint64_t bytes; double bpw, predicted, bound; bool exact;
    bool kld; /* predicted is a KL divergence; false: no swap was measured, a sum of squared errors */
    char *base;                          /* what its costs were made from, for people */
};
/* Before anything is measured: QS_ELIMIT, with the size that would do, where not even the smallest of the types allowed
 * fit. Importance is taken to be there. */
int qs_fit_check(const struct qs_fit_args *a, struct qs_err *e);
/* Where the statistics have a sample of rows and no table of errors: the output errors of all types there are to choose
 * from, for args.outputs. *out NULL: there is nothing to measure. */
int qs_fit_measure_outputs(const struct qs_fit_args *a, struct qs_pool *pool, struct qs_job *job,
                           struct qs_outputs **out, struct qs_err *e);
/* Errors of the weights into the survey, of tensors that have no output error; waits while another thread measures it. */
int qs_fit_measure_survey(const struct qs_fit_args *a, struct qs_survey *s, struct qs_pool *pool, struct qs_job *job,
                          struct qs_err *e);
int qs_fit_run(const struct qs_fit_args *a, struct qs_fit **out, struct qs_err *e);
void qs_fit_free(struct qs_fit *f);
struct qs_fit_point { uint64_t bytes; double bpw, predicted; };
int qs_fit_frontier(const struct qs_fit_args *a, size_t n, struct qs_fit_point *out, size_t *made, struct qs_err *e);
/* Predicted KLD of any plan by the same costs; NaN where a tensor's cost is not known. */
double qs_fit_predict(const struct qs_fit_args *a, const struct qs_plan *p);

#endif
