/* stats_pass.h - looks at all weights of one tensor, on all cores: chunks of whole rows, decoded, in any order.
 *
 * The size of a chunk depends on the row length alone, so that results kept per chunk and joined in chunk order have the
 * same bits for any thread count. A look is cut into slices of some ms, each one region of the pool and one step of the
 * job.
 */
#ifndef QS_CORE_STATS_PASS_H
#define QS_CORE_STATS_PASS_H

#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/weight.h"

struct qs_pass {
    const struct qs_weight *w;
    struct qs_pool *pool;
    struct qs_job *job;             /* may be NULL */
    size_t cols;
    uint64_t rows, rows_per_chunk, n_chunks;
    uint64_t counted;               /* weights told to the job so far */
    const struct qs_format_ops *ops; /* from here on private */
    uint64_t chunks_per_slice;
    size_t per_thread;
    float *scratch;
};

/* All memory a look takes. QS_EUNSUPPORTED: the format has no decoder. Closed whether it worked or not. */
int qs_pass_open(struct qs_pass *p, const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_err *e);
void qs_pass_close(struct qs_pass *p);

size_t qs_pass_chunk_rows(const struct qs_pass *p, uint64_t chunk); /* the last one may have fewer */

/* skip: chunks that need not be decoded; NULL: none. read: x holds the chunk's rows one after the other; col_max is the
 * thread's own, one float per column, zero at first, for maxima that qs_pass_join_columns joins. Both on any thread. */
typedef bool qs_pass_skip_fn(const void *ctx, uint64_t chunk);
typedef void qs_pass_read_fn(void *ctx, uint64_t chunk, const float *x, float *col_max);

/* worth: how many weights the whole look counts as done. */
int qs_pass_look(struct qs_pass *p, qs_pass_skip_fn *skip, qs_pass_read_fn *read, void *ctx, uint64_t worth, struct qs_err *e);

/* The largest of all threads' column maxima; the threads' own are zero again. */
void qs_pass_join_columns(struct qs_pass *p, float *col_max);

#endif
