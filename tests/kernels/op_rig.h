/* op_rig.h - runs one recorded operation in every way that must not change its bits: levels, threads, cuts of the batch.
 *
 * A case owns up to three buffers of floats; the operation's views point into them. Include after cmocka.h.
 */
#ifndef QS_TESTS_KERNELS_OP_RIG_H
#define QS_TESTS_KERNELS_OP_RIG_H

#include "kernels/op.h"

enum { RIG_BUFFERS = 3 };

struct rig {
    struct qs_op op;                 /* its views and caches have buf = rig_buf(i) */
    float *data[RIG_BUFFERS];        /* what the buffers hold before; NULL: none */
    size_t floats[RIG_BUFFERS];
    float *want[RIG_BUFFERS];        /* what they hold after (rig_run) */
};

/* Stands for buffer i in a view until the rig runs. */
struct qs_buf *rig_buf(int i);
struct qs_view rig_view(int buf, size_t at, size_t stride);

/* Runs the case at the plain level, on one thread, in one batch: fills `want`. */
void rig_run(struct rig *r);
/* Runs it at every level, with 0 (no pool) to 5 threads, cut in several ways; fails unless all bits are those of `want`. */
void rig_same(const struct rig *r, const char *name);
void rig_free(struct rig *r);

/* The result of recording the operation (and nothing else). */
int rig_refused(const struct rig *r);

#endif
