/* workbench_stopped.h - calibrations that a killed process has left unfinished; for the workbench's files alone. */
#ifndef QS_CORE_WORKBENCH_STOPPED_H
#define QS_CORE_WORKBENCH_STOPPED_H

#include "core/workbench_calib.h"
#include "core/workbench_internal.h"

struct qs_wb_stopped {
    struct qs_calib_stopped pub;
    struct qs_calib_request q;        /* strings are its own */
    struct qs_corpus_source *source;
    char *text[4];                    /* evaluation, statistics in and out, store */
    struct qs_recipe *recipe;
    bool allow_requantize;
};

/* Keeps what was asked for beside other state of this person, a file per model, until it is removed; the workbench
 * forgets what it had of a stopped one of that model. Paths become absolute. recipe NULL: nothing is encoded. Failing is
 * logged. A private workbench keeps, reads and removes nothing. */
void qs_wb_stopped_keep(struct qs_workbench *w, const struct qs_wb_sources *src, const struct qs_calib_request *q,
                        const struct qs_recipe *recipe, bool allow_requantize);
void qs_wb_stopped_remove(const struct qs_workbench *w, const char *model);
/* From its start to its end the file is locked: others see that it runs. */
void qs_wb_stopped_unlock(struct qs_workbench *w);
/* QS_EBUSY: another process calibrates this model. */
int qs_wb_stopped_elsewhere(const struct qs_workbench *w, const char *model, struct qs_err *e);
/* What is kept of the document's model becomes the workbench's, in place of what it had. A file that cannot be used is
 * told to the log and passed over. */
void qs_wb_stopped_look(struct qs_workbench *w);
void qs_wb_stopped_free(struct qs_wb_stopped *s); /* NULL allowed */

#endif
