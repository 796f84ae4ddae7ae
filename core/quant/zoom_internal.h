/* zoom_internal.h - the insides of a zoom, for zoom.c and zoom_run.c alone. */
#ifndef QS_CORE_ZOOM_INTERNAL_H
#define QS_CORE_ZOOM_INTERNAL_H

#include <pthread.h>

#include "core/quant/zoom.h"

#define QS_ZOOM_SLICE (1u << 17) /* weights between two looks at the job, at least one row */

struct qs_zoom_column { double err2, ref2; uint64_t nonfinite; }; /* of the rows so far */

struct qs_zoom {
    struct qs_zoom_args args;
    uint64_t first_row;          /* of the tensor: where the chosen expert begins */
    uint64_t rows, cols;
    bool started, have_stats;
    float *channel[2][QS_ZOOM_MEASURES];
    struct qs_zoom_column *column;
    float *sorted;               /* room for the channels of the longer axis */
    struct qs_zoom_view *now;    /* the runner's own */
    pthread_mutex_t lock;        /* guards `front`; held for copies alone */
    struct qs_zoom_view *front;  /* what readers see */
    double next_publish;         /* seconds (qs_now): not before */
};

/* Derives profiles, worst channels and the error of `now`, and shows it to the readers. Unless `always`, only when the last
 * time is long enough ago that this takes a small part of the work. */
void qs_zoom_publish(struct qs_zoom *z, bool always);
/* Readers learn that it ended, and nothing else: `now` may hold half a tile row. */
void qs_zoom_publish_stage(struct qs_zoom *z, enum qs_zoom_stage stage);

#endif
