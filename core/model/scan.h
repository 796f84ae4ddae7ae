/* scan.h - stored weights that are no finite numbers, or too large: how many there are, and where the first one is.
 *
 * The one scanner: `check` tells what is in a file, the writer refuses what llama.cpp would not load. Counts and places are
 * the same for any number of threads.
 */
#ifndef QS_CORE_SCAN_H
#define QS_CORE_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/model/weight.h"

struct qs_job; struct qs_pool; struct qs_tensor;

struct qs_scan {
    uint64_t n;        /* what was found: weights, or blocks of a block type whose scales are */
    uint64_t first;    /* number of the first one's (first) weight, counted from 0 through all rows */
    double largest;    /* by qs_scan_values: size of the largest finite weight seen, 0: none */
};

/* `blocks` blocks that follow each other. The stored form: weights of float types, scales of block types that are NaN or
 * infinite; nothing is found in types without a scan (integers). pool NULL: on the caller's thread. */
void qs_scan_stored(struct qs_pool *pool, const struct qs_format *f, struct qs_const_parts parts, uint64_t blocks,
                    struct qs_scan *out);
/* What they decode to: weights that are NaN or larger than `limit` (DBL_MAX: infinite). The format must have a decoder. */
void qs_scan_values(struct qs_pool *pool, const struct qs_format *f, struct qs_const_parts parts, uint64_t blocks,
                    double limit, struct qs_scan *out);

/* Likewise all of a tensor, in pieces between which the job (may be NULL) can cancel it. limit 0: the stored form, else
 * what it decodes to. count: the job counts the bytes. QS_EIO: the file was cut short meanwhile. */
int qs_scan_weight(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, double limit, bool count,
                   struct qs_scan *out, struct qs_err *e);

/* "2 of 2048 weights are NaN or infinite, the first at row 3, column 17 (counted from 0)": what qs_scan_stored found in a
 * tensor. And the place alone, for other sentences: "expert 1, row 3, column 17". Both return buf. */
#define QS_SCAN_TEXT 256
const char *qs_scan_text(const struct qs_tensor *t, const struct qs_scan *s, char *buf, size_t n);
const char *qs_scan_place(const struct qs_tensor *t, const struct qs_scan *s, char *buf, size_t n);

#endif
