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

struct qs_encoding {             /* one tensor of the result */
    const struct qs_tensor *tensor;
    int type, wanted;            /* wanted != type: a shape fallback happened */
    enum qs_why why;
    char reason[96];
    bool copy;                   /* bytes are copied as they are */
    const struct qs_imatrix_entry *importance; /* NULL: none for this tensor */
    uint64_t bytes;              /* in the result */
};

struct qs_plan_args {
    const struct qs_imatrix *imatrix;  /* may be NULL */
    bool allow_requantize;             /* sources below Q8_0 */
    bool foretell;                     /* missing importance weights and sources below Q8_0 block the plan instead of
                                        * refusing it: all of it can be looked at, and nobody writes it */
};

struct qs_plan {
    const struct qs_model *model;
    struct qs_recipe *recipe;          /* own copy */
    const struct qs_imatrix *imatrix;
    struct qs_encoding *enc;           /* same order as model->tensor */
    size_t n;
    struct qs_resolved *resolved;
    char **warning;  size_t n_warnings, cap_warnings; /* one line each */
    uint64_t bytes;                    /* tensor data */
    uint64_t source_bytes;
    double bpw;                        /* 8 * bytes / weights */
    int file_type;
    struct qs_err blocker;             /* why this plan must not be carried out, the first such reason; QS_OK: none */
};

/* Errors (before any work): types that need importance weights and have none (tensor named), sources below Q8_0 without
 * allow_requantize, importance of the wrong size, strict fallbacks, rules that match nothing. With args->foretell the
 * first two are warnings ("quantize would stop: ...") and stand in plan->blocker. */
int qs_plan_make(const struct qs_model *m, const struct qs_recipe *r, const struct qs_plan_args *args,
                 struct qs_plan **out, struct qs_err *e);
void qs_plan_free(struct qs_plan *p);

/* Adds a warning, one line, for those who know more than the plan (where the result goes, for one). */
int qs_plan_warn(struct qs_plan *p, struct qs_err *e, const char *fmt, ...) QS_PRINTF(3, 4);

#endif
