/* overlap.h - how much of one text stands in another: was the model tested on what it was calibrated with?
 *
 * METHOD. Both texts are read with every run of white space as one blank and ASCII letters in lower case. Every 64
 * bytes of that, at each offset, are a shingle; a rolling hash of 64 bits stands for it. Of both texts the shingles are
 * looked at whose hash falls into the same share of all hashes (all of them in small texts), so that memory is bounded:
 * the share of the text's shingles that occur in the other is exact in small texts and an estimate from at least 65,536
 * of them in larger ones.
 */
#ifndef QS_CORE_OVERLAP_H
#define QS_CORE_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define QS_SHINGLE 64
#define QS_OVERLAP_SHARE 0.01 /* from here on a person is warned */

struct qs_overlap {
    uint64_t shingles, found; /* of the text that were looked at; those of them that the other has */
    bool sampled;
    double share;             /* found / shingles; 0 where the text is shorter than a shingle */
};

int qs_overlap(const char *text, size_t n, const char *other, size_t n_other, struct qs_overlap *out, struct qs_err *e);

#endif
