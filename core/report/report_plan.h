/* report_plan.h - a plan as tables: totals, bytes by type, every tensor with its reason, and the warnings. */
#ifndef QS_CORE_REPORT_PLAN_H
#define QS_CORE_REPORT_PLAN_H

#include "core/quant/writer.h"
#include "core/report/report_choice.h"

/* v: the table of tensors. f: what writing it would take; NULL: left out. Returns NULL when out of memory. */
struct qs_report *qs_report_plan(const struct qs_plan *plan, const struct qs_choice_view *v,
                                 const struct qs_writer_forecast *f);

#endif
