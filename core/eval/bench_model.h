/* bench_model.h - models to measure speed with: named shapes, filled with made-up weights.
 *
 * Speed depends on shapes and types alone, so that nothing needs to be downloaded to measure it. The weights are random
 * numbers of the scale that trained ones have, the same for the same shape and preset on every machine; few rows are
 * encoded, the others are cut from these, so that a file of any type is made as fast as it is written. There is no
 * vocabulary: such models are fed with token ids.
 */
#ifndef QS_CORE_BENCH_MODEL_H
#define QS_CORE_BENCH_MODEL_H

#include <stddef.h>
#include "base/err.h"
#include "core/job/job.h"

struct qs_bench_shape {
    const char *name, *about;
    unsigned layers, width, ff, heads, kv_heads, head, vocab, context; /* head: floats of one */
};

const struct qs_bench_shape *qs_bench_shape_at(size_t i); /* NULL past the end */
const char *qs_bench_shape_name(size_t i);                /* the same of the name, for help texts */
const struct qs_bench_shape *qs_bench_shape_find(const char *name); /* NULL: none of them */

/* Writes a GGUF file of this shape; `preset` chooses the types as for any model ("Q4_K_M", "BF16"). An existing file is
 * replaced. QS_EINVAL: no such preset, or rows of this shape cannot have its types; QS_ENOSPACE. What fails leaves no
 * file. The job (may be NULL) counts bytes. */
int qs_bench_model_write(const struct qs_bench_shape *shape, const char *preset, const char *path, struct qs_job *job,
                         struct qs_err *e);

#endif
