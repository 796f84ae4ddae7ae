/* workbench_calib_order.h - what a calibration was asked for, and what came of it; for the workbench's files alone.
 *
 * Shared by the job and the workbench; references are counted on the owner's thread. Strings are the order's own.
 */
#ifndef QS_CORE_WORKBENCH_CALIB_ORDER_H
#define QS_CORE_WORKBENCH_CALIB_ORDER_H

#include <pthread.h>

#include "core/workbench_calib.h"
#include "core/workbench_calibrated.h"
#include "core/workbench_internal.h"

struct qs_wb_calib {
    unsigned refs;
    struct qs_wb_sources *src;
    struct qs_calib_request q;             /* strings are the order's own */
    struct qs_corpus_source *source;
    char *evaluation, *statistics_in, *statistics_out, *store, *title;
    struct qs_recipe *recipe;              /* NULL: nothing is encoded */
    bool allow_requantize, only_look;
    struct qs_pool *pool;
    struct qs_calib_watch *watch;
    pthread_mutex_t lock;
    struct qs_calib_told *told, *first;    /* the newest; the one before it, which may still be looked at */
    struct qs_wb_left left;                /* what it left */
    bool well;
    struct qs_calib_view view;             /* the owner's copy */
};

/* recipe NULL: nothing is encoded. One reference. */
int qs_wb_calib_order(struct qs_workbench *w, const struct qs_calib_request *q, struct qs_wb_sources *src,
                      const struct qs_recipe *recipe, bool allow_requantize, struct qs_wb_calib **out, struct qs_err *e);
void qs_wb_told_free(struct qs_calib_told *t); /* NULL allowed */

#endif
