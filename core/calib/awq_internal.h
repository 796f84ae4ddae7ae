/* awq_internal.h - what the searches of AWQ share: rows through a type and back, the output error that this makes. */
#ifndef QS_CALIB_AWQ_INTERNAL_H
#define QS_CALIB_AWQ_INTERNAL_H

#include "core/calib/awq.h"
#include "kernels/format.h"

#define QS_AWQ_PANEL 32 /* rows that a thread takes at a time: fixed, so that sums do not depend on threads */

/* Working memory of one thread. */
struct qs_awq_room {
    float *x, *made, *product; /* QS_AWQ_PANEL * cols each */
    uint8_t *bytes;            /* packed rows */
    void *scratch;             /* of the encoder */
};
struct qs_awq_rooms { struct qs_awq_room *room; unsigned n; void *memory; };

/* For rows of at most `cols` in type f. QS_EUNSUPPORTED: it cannot be encoded, or is stored in several components. */
int qs_awq_rooms_new(const struct qs_format *f, size_t cols, const struct qs_pool *pool, struct qs_awq_rooms *out,
                     struct qs_err *e);
void qs_awq_rooms_free(struct qs_awq_rooms *r);

/* room->x (n rows) encoded with column weights, decoded into room->made. */
void qs_awq_there_and_back(const struct qs_format *f, const struct qs_awq_room *room, size_t n, size_t cols,
                           const float *weight);
/* d H d^T of each of n rows in room->made, into error. */
void qs_awq_row_errors(const float *h, const struct qs_awq_room *room, size_t n, size_t cols, double *error);

/* Importance of columns scaled by `scale` (NULL: 1): diag(H) / s^2, never 0 (encoders look for a largest weight). */
void qs_awq_importance(const struct qs_hessian *h, const float *scale, float *out);

#endif
