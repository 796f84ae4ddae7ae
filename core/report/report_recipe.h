/* report_recipe.h - recipes as tables: what one says, what it decides in a model, and how two differ. */
#ifndef QS_CORE_REPORT_RECIPE_H
#define QS_CORE_REPORT_RECIPE_H

#include "core/quant/recipe.h"
#include "core/report/table.h"

/* Settings, pins and rules. NULL: out of memory (as below). */
struct qs_report *qs_report_recipe(const struct qs_recipe *r);

/* The same with match counts, and every tensor with what decided it. */
struct qs_report *qs_report_recipe_resolved(const struct qs_recipe *r, const struct qs_model *m,
                                            const struct qs_resolved *x);

/* Settings, pins and rules that differ; with a model (else NULL for all three) the tensors that get another type, with
 * their bytes, and the totals. *same (may be NULL): nothing differs. */
struct qs_report *qs_report_recipe_diff(const struct qs_recipe *a, const struct qs_recipe *b, const struct qs_model *m,
                                        const struct qs_resolved *xa, const struct qs_resolved *xb, bool *same);

#endif
