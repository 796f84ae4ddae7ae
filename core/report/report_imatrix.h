/* report_imatrix.h - what an importance matrix or statistics file knows: totals, entries, outlier channels, massive
 * tokens. */
#ifndef QS_CORE_REPORT_IMATRIX_H
#define QS_CORE_REPORT_IMATRIX_H

#include "core/calib/statistics.h"
#include "core/report/table.h"

struct qs_imatrix_view {
    const char *path;               /* as given, for people */
    const struct qs_model *model;   /* its matrices without an entry are listed; NULL: not asked */
    bool data;                      /* for programs: all tables, also those that are only of use there */
    bool totals_only;
    const char *sort;               /* column of the entries; leading '-' for descending; NULL: file order */
};

/* QS_EINVAL: no such column, or the file belongs to another model. */
int qs_report_imatrix(const struct qs_statistics *s, const struct qs_imatrix_view *v, struct qs_report **out, struct qs_err *e);

#endif
