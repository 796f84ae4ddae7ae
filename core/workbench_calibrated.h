/* workbench_calibrated.h - what a calibration leaves, on its way into the document; for the workbench's files alone. */
#ifndef QS_CORE_WORKBENCH_CALIBRATED_H
#define QS_CORE_WORKBENCH_CALIBRATED_H

#include "core/quant/store.h"
#include "core/workbench_internal.h"

struct qs_wb_left {
    struct qs_wb_sources *made;   /* with its statistics as importance matrix; NULL: none */
    struct qs_store *store;       /* NULL: nothing was encoded */
    char *store_path;
};

/* The rest runs on a job's thread, on memory that nobody else sees: sources like `like`'s, but with the importance
 * matrix in the file, and, where it is one of ours, all that it knows beside. */
int qs_wb_statistics_read(const char *path, struct qs_wb_sources *like, struct qs_wb_sources **out, struct qs_err *e);
int qs_wb_left_read(struct qs_wb_left *l, const char *statistics, struct qs_wb_sources *like, struct qs_err *e);

/* On the owner's: into the document, where it is still of that model. Failing is logged. */
void qs_wb_left_install(struct qs_workbench *w, struct qs_wb_left *l, const struct qs_wb_model *of);
void qs_wb_left_free(struct qs_wb_left *l);

#endif
