/* plan.h - the recipe applied to a model: complete before any work starts.
 *
 * What writing it would take (files, memory, disk) is told by qs_writer_forecast.
 */
#ifndef QS_CORE_PLAN_H
#define QS_CORE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/format/imatrix.h"
#include "core/quant/recipe.h"
#include "core/quant/store.h"

struct qs_encoding {             /* one tensor of the result */
    const struct qs_tensor *tensor;
    int type, wanted;            /* wanted != type: a shape fallback happened */
    enum qs_why why;
    char reason[192];
    bool copy;                   /* bytes are copied as they are */
    const struct qs_stored *stored; /* made beforehand: these bytes are taken; NULL: it is encoded */
    const struct qs_imatrix_entry *importance; /* NULL: none for this tensor */
    uint64_t bytes;              /* in the result */
    const char *problem;         /* why this tensor keeps the plan from being carried out, reasons parted by "; "; NULL: it
                                  * does not. Only with args->foretell; owned by the plan */
    enum qs_advice advice;       /* what would mend the first of its problems for which there is advice */
};

struct qs_plan_args {
    const struct qs_imatrix *imatrix;  /* may be NULL */
    struct qs_store *store;            /* tensors that were made beforehand; may be NULL. The plan takes a reference */
    bool allow_requantize;             /* sources below Q8_0 */
    bool foretell;                     /* a plan is made whatever stands in its way, to be looked at; nobody writes it */
};

struct qs_plan {
    const struct qs_model *model;
    struct qs_recipe *recipe;          /* own copy */
    const struct qs_imatrix *imatrix;
    struct qs_store *store; size_t n_stored; /* tensors that take its bytes */
    struct qs_encoding *enc;           /* same order as model->tensor */
    size_t n;
    struct qs_resolved *resolved;
    char **warning;  size_t n_warnings, cap_warnings; /* one line each */
    enum qs_advice *advice;            /* of each warning; NULL: there are none */
    size_t cap_advice;
    uint64_t bytes;                    /* tensor data */
    uint64_t source_bytes;
    double bpw;                        /* 8 * bytes / weights */
    int file_type;
    char **problem;  size_t n_problems, cap_problems; /* with args->foretell: those that belong to no tensor */
    struct qs_err blocker;             /* why this plan must not be carried out, the first such reason; QS_OK: none */
};

/* A tensor takes the store's bytes where name and shape match, the recipe gives it the type that it was made for, and the
 * same holds for all tensors of its group, norms included; of the others one warning of each kind tells. With a store types
 * are chosen as with an importance matrix, for that is how they were chosen when it was made.
 * Errors (before any work): types that need importance weights and have none (tensor named), sources below Q8_0 without
 * allow_requantize, importance of the wrong size, a store of another model, strict fallbacks, types that a shape cannot have, damaged tensors, pins
 * and rules that match nothing or what always stays as it is. With args->foretell there are none but QS_ENOMEM: each of
 * these stands at its tensor (enc[].problem) or, without one, in plan->problem; of each kind, or pin or rule, one warning
 * ("quantize would stop: ...") tells; and the first is plan->blocker. A tensor that a pin or rule cannot change follows the
 * preset, one that nothing fits stays as it is. */
int qs_plan_make(const struct qs_model *m, const struct qs_recipe *r, const struct qs_plan_args *args,
                 struct qs_plan **out, struct qs_err *e);
void qs_plan_free(struct qs_plan *p);

/* Adds a warning, one line, for those who know more than the plan (where the result goes, for one). */
int qs_plan_warn(struct qs_plan *p, struct qs_err *e, const char *fmt, ...) QS_PRINTF(3, 4);

/* Appends to each warning what would mend it, for those who print them: `words` gives the text that goes behind the
 * warning, "" for none. Afterwards warnings have no advice any more. */
typedef const char *qs_advice_words(enum qs_advice a);
int qs_plan_put_advice(struct qs_plan *p, qs_advice_words *words, struct qs_err *e);

#endif
