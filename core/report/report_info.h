/* report_info.h - what a model is: numbers, sizes by role and by type, run-time need, tokenizer, metadata. */
#ifndef QS_CORE_REPORT_INFO_H
#define QS_CORE_REPORT_INFO_H

#include "core/model/model.h"
#include "core/model/need.h"
#include "core/report/table.h"

struct qs_info_args {
    bool data;                       /* for programs: what the file does not state is null, not left out */
    bool metadata;                   /* list all metadata entries (values abbreviated) */
    struct qs_machine_memory memory; /* of this machine, zeros: leave out whether it fits */
};

/* NULL: out of memory. */
struct qs_report *qs_report_info(const struct qs_model *m, const struct qs_info_args *args);

#endif
