/* report_tensors.h - the table of tensors, filtered and sorted. */
#ifndef QS_CORE_REPORT_TENSORS_H
#define QS_CORE_REPORT_TENSORS_H

#include "base/regex.h"
#include "core/model/model.h"
#include "core/report/table.h"

struct qs_tensors_args {
    const struct qs_regex *match; /* names it is found in; NULL: all */
    int role;                     /* enum qs_role, or -1: all */
    const char *sort;             /* column key, '-' before it for descending; NULL: file order */
};

/* QS_EINVAL: no such column to sort by; QS_ELIMIT: the expression ran into its bounds. */
int qs_report_tensors(const struct qs_model *m, const struct qs_tensors_args *args, struct qs_report **out,
                      struct qs_err *e);

#endif
