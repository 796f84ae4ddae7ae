/* stream.h - all windows of a corpus on their way through a model, half a block at a time.
 *
 * A stream holds the hidden state of every token of every window between two halves of blocks, in memory up to a limit
 * and in a scratch file beyond it. Each half may be run any number of times to look at the inputs of its matrices
 * (rows), and once to go on. Windows begin with an empty cache. Precision is the engine's.
 * The same bits for any thread count, batch of the engine, memory limit.
 */
#ifndef QS_CALIB_STREAM_H
#define QS_CALIB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/job/job.h"
#include "core/model/engine.h"

struct qs_stream;

struct qs_stream_args {
    struct qs_engine *engine;
    const int32_t *token;     /* n_windows * n_ctx, outlives the stream */
    size_t n_windows, n_ctx;
    uint64_t memory;          /* bytes of hidden states kept in memory; beyond: a scratch file. 0: all in memory */
};

int qs_stream_new(const struct qs_stream_args *a, struct qs_stream **out, struct qs_err *e); /* embeds */
void qs_stream_free(struct qs_stream *s); /* NULL allowed */
uint64_t qs_stream_need(const struct qs_stream_args *a);      /* private bytes */
uint64_t qs_stream_spill(const struct qs_stream_args *a);     /* bytes of the scratch file; 0: none */

/* Rows that come into the matrices at one point, of one window, in the order of its tokens. */
struct qs_stream_rows {
    int layer;
    enum qs_point point;
    size_t window;
    size_t n, cols;           /* rows */
    const float *x;           /* n * cols */
    const float *state;       /* n_ctx rows of n_embd: the hidden state before this half; NULL: the half went on */
    /* With routed experts, at their points: pairs of (row, expert), rows ascending. QS_POINT_EXPERTS_IN has the rows of
     * QS_POINT_FFN_IN, QS_POINT_EXPERTS_DOWN a row of its own for every pair. 0 otherwise: every row goes into the one
     * matrix. */
    size_t n_pairs;
    const uint32_t *pair_row, *pair_expert;
};
typedef int qs_stream_fn(void *ctx, const struct qs_stream_rows *rows, struct qs_err *e);

/* Runs one half of block `layer` over every window (or the head's norm: layer == n_layer) and hands the rows of the
 * points in the mask (1 << point) to fn, window by window. With `go` the hidden states become the result. For two
 * streams of the same windows (original and quantized) see qs_stream_pair. The job (may be NULL) counts tokens. */
int qs_stream_half(struct qs_stream *s, size_t layer, enum qs_half half, unsigned points, bool go, qs_stream_fn *fn,
                   void *ctx, struct qs_job *job, struct qs_err *e);

/* The same half of both, window after window; fn gets the rows of both (b: of the second stream; routed each as it routes).
 * Either may go on. The job counts tokens of each. */
typedef int qs_stream_pair_fn(void *ctx, const struct qs_stream_rows *a, const struct qs_stream_rows *b, struct qs_err *e);
int qs_stream_pair(struct qs_stream *a, struct qs_stream *b, size_t layer, enum qs_half half, unsigned points, bool go_a,
                   bool go_b, qs_stream_pair_fn *fn, void *ctx, struct qs_job *job, struct qs_err *e);

#endif
