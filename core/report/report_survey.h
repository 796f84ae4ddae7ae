/* report_survey.h - the survey as a report: what every type costs, every tensor's errors, distributions, outliers. */
#ifndef QS_CORE_REPORT_SURVEY_H
#define QS_CORE_REPORT_SURVEY_H

#include "core/calib/output.h"
#include "core/quant/survey.h"
#include "core/report/table.h"

struct qs_survey_view {
    bool data;          /* for programs: tables "tensors" (with distributions), "cells" (one row per tensor and type) and
                         * "channels" (outliers); else tables for people */
    bool outliers;      /* all outlier channels that are kept (QS_WORST), not only the worst ten */
    bool all_types;     /* text: a column for every type surveyed, not only the well-known ones */
    const char *sort;   /* column key of tensors, cells or distribution, '-' before it for descending; NULL: file order */
    size_t worst;       /* keep that many rows after sorting; 0: all */
    const struct qs_outputs *outputs; /* from statistics of the model: output errors, outlier channels of inputs; NULL: none */
};

/* QS_EINVAL: nothing has the sort key (the message lists the keys). */
int qs_report_survey(const struct qs_survey *s, const struct qs_survey_view *v, struct qs_report **out, struct qs_err *e);

#endif
