/* report_choice.h - what is chosen for each tensor and what is known of it: the table of the Tensors screen and of the
 * verb plan.
 */
#ifndef QS_CORE_REPORT_CHOICE_H
#define QS_CORE_REPORT_CHOICE_H

#include "core/quant/plan.h"
#include "core/quant/survey.h"
#include "core/report/table.h"

struct qs_choice_view {
    const struct qs_survey *survey; /* of the plan's model, only read, may be filled meanwhile; NULL: without the columns
                                     * error, kurtosis and outliers */
    bool changes_only;              /* only tensors that are converted; else row i is tensor i of the plan */
    bool brief;                     /* for a table to move over: the reason gives way first where there is no room, and
                                     * what it says in words has no columns of its own (why, fallback, importance) */
};

/* Adds the table "tensors" to the report. The error is that of the type in the result, not known of what is copied;
 * where a problem keeps the plan from being carried out it stands in the place of the reason. */
void qs_report_choice(struct qs_report *r, const struct qs_plan *p, const struct qs_choice_view *v);

/* "4096 x 1024 x 8"; buf of >= 96 bytes. Returns buf. */
const char *qs_shape_text(const struct qs_tensor *t, char *buf, size_t n);

#endif
