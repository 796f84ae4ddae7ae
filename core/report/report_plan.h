/* report_plan.h - a plan as tables: totals, bytes by type, every tensor with its reason, and the warnings. */
#ifndef QS_CORE_REPORT_PLAN_H
#define QS_CORE_REPORT_PLAN_H

#include "core/quant/writer.h"
#include "core/report/table.h"

/* changes_only: of the tensors only those that are converted. f: what writing it would take; NULL: left out. Returns NULL
 * when out of memory. */
struct qs_report *qs_report_plan(const struct qs_plan *plan, bool changes_only, const struct qs_writer_forecast *f);

/* "4096 x 1024 x 8"; buf of >= 96 bytes. Returns buf. */
const char *qs_shape_text(const struct qs_tensor *t, char *buf, size_t n);

#endif
