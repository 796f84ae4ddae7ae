/* fit_internal.h - for fit_*.c alone: what a model's types cost, and the groups they make. */
#ifndef QS_CALIB_FIT_INTERNAL_H
#define QS_CALIB_FIT_INTERNAL_H

#include "core/calib/fit.h"

/* A tensor's bytes with what stands between it and the next one in a GGUF file. */
uint64_t qs_fit_padded(const struct qs_model *m, uint64_t bytes);

/* ---- costs --------------------------------------------------------------------------------------------------- */

/* Kinds of error, best first: of the output by GPTQ and its kin, with importance weights, without; of the weights,
 * weighted, plain. One of them, that at least half of the tensors have, is the run's; others are converted to it. */
enum qs_fit_measure { QS_FIT_GPTQ, QS_FIT_IMATRIX, QS_FIT_OUTPUT, QS_FIT_WEIGHTED, QS_FIT_PLAIN, QS_FIT_MEASURES };

struct qs_fit_costs {
    const struct qs_fit_args *a;
    size_t n, n_types;              /* tensors of the model, formats there are */
    double *raw[QS_FIT_MEASURES];   /* n * n_types; NaN: not known */
    unsigned char *gptq_method;     /* n * n_types: which of GPTQ's kin */
    enum qs_fit_measure measure;    /* the run's */
    double *error;                  /* n * n_types, as cost goes by it */
    unsigned char *from;            /* n * n_types: the measure it was converted from (or is) */
    double *sensitivity;            /* n: a */
    enum qs_fit_how *how;           /* n */
    size_t n_free;                  /* matrices that can have another type */
    size_t n_swaps, windows;        /* tensors with a swap of their own; of the fewest windows */
};

int qs_fit_costs_new(const struct qs_fit_args *a, struct qs_fit_costs **out, struct qs_err *e);
void qs_fit_costs_free(struct qs_fit_costs *c);
double qs_fit_error_of(const struct qs_fit_costs *c, size_t tensor, int type);  /* NaN: not known */
double qs_fit_cost_of(const struct qs_fit_costs *c, size_t tensor, int type);   /* NaN: not known */
enum qs_calib_method qs_fit_method_of(const struct qs_fit_costs *c, size_t tensor, int type);
/* Appends what they were made from, one sentence; type: the one chosen, per tensor. */
void qs_fit_costs_base(const struct qs_fit_costs *c, const int *type, struct qs_str *out);

/* ---- groups -------------------------------------------------------------------------------------------------- */

struct qs_fit_problem {
    struct qs_fit_costs *costs;
    struct qs_plan *plan;           /* of the recipe as given: what is fixed, and why */
    size_t *group;                  /* per tensor; SIZE_MAX: fixed */
    struct qs_fit_group *g; size_t n_groups;
    struct qs_fit_option *option;   /* of all groups */
    uint64_t fixed, fixed_raw;      /* bytes of fixed tensors, padded; as they are */
    double fixed_cost;
};

/* Whether tensor i could be written as that type, as far as shape, the types allowed and importance go. */
bool qs_fit_may_choose(const struct qs_fit_args *a, size_t i, int type);
/* Bytes of the smallest types, whether errors of them are known or not. */
int qs_fit_least(const struct qs_fit_args *a, uint64_t *bytes, struct qs_err *e);
int qs_fit_problem_new(const struct qs_fit_args *a, struct qs_fit_problem **out, struct qs_err *e);
void qs_fit_problem_free(struct qs_fit_problem *p);
/* Bytes of tensors, without what lies between them. */
uint64_t qs_fit_bytes(const struct qs_fit_problem *p, const struct qs_fit_result *r);

/* ---- the recipe ---------------------------------------------------------------------------------------------- */

/* That gives every free tensor the type of its choice, with the preset that needs the fewest pins. comment: lines that
 * begin with #. */
int qs_fit_recipe(const struct qs_fit_problem *p, const int *type, const char *comment, struct qs_recipe **out,
                  struct qs_plan **plan, struct qs_err *e);

#endif
