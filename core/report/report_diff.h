/* report_diff.h - two model files compared, as a report. */
#ifndef QS_CORE_REPORT_DIFF_H
#define QS_CORE_REPORT_DIFF_H

#include "core/quant/diff.h"
#include "core/report/table.h"

struct qs_diff_view {
    bool data;          /* for programs: every tensor; else only those that differ */
    bool headers_only;  /* as qs_diff_run was asked */
    const char *match;  /* regular expression on names, NULL: all */
};

int qs_report_diff(const struct qs_model *a, const struct qs_model *b, const struct qs_diff *d, const struct qs_diff_view *v,
                   struct qs_report **out, struct qs_err *e);

#endif
