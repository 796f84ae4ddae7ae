/* plan_internal.h - inside core/quant: a plan in the making, and how its parts tell what stands in its way. */
#ifndef QS_CORE_PLAN_INTERNAL_H
#define QS_CORE_PLAN_INTERNAL_H

#include "core/quant/plan.h"

struct qs_planning {
    struct qs_plan *p;
    const struct qs_plan_args *args;
    const void *cause;    /* of the problems that are being counted: a pin, a rule, or what stands for the kind */
    struct qs_err first;  /* the first of them; QS_OK: none is waiting */
    size_t n_more;
    struct qs_err *e;
};

/* A warning, one line. All functions that return int: QS_OK, or the code of the error now in g->e. */
int qs_planning_warn(struct qs_planning *g, const char *fmt, ...) QS_PRINTF(2, 3);

/* What keeps the plan from being carried out. With args->foretell it is told and QS_OK, else it is the error. */

/* One sentence for all tensors of a kind. */
int qs_planning_stop(struct qs_planning *g, enum qs_advice advice, const char *fmt, ...) QS_PRINTF(3, 4);
/* One tensor (NULL: none) of those that have this cause, told together once another cause or qs_planning_tell comes. */
int qs_planning_refuse(struct qs_planning *g, const struct qs_tensor *t, const void *cause, const struct qs_err *why);
int qs_planning_tell(struct qs_planning *g);
/* Only writes it down at its tensor, or in the plan's own list. */
int qs_planning_note(struct qs_planning *g, const struct qs_tensor *t, const char *text, enum qs_advice advice);

/* Which tensors take the bytes of the store, and what is said of the others. */
int qs_planning_take_store(struct qs_planning *g);
/* Judges the list of encodings: damage, sources, importance, and what else to mind. */
int qs_planning_check(struct qs_planning *g);

static inline const char *qs_planning_plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static inline bool qs_planning_damaged(const struct qs_tensor *t)
{
    return t->marks & ~(unsigned)QS_TENSOR_UNKNOWN_TYPE;
}

#endif
