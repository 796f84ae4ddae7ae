/* lockstep.h - one model, or a model and its reference side by side, over a text: perplexity, KL divergence, layers.
 *
 * WINDOWS are llama.cpp's: the text's tokens are cut into windows of n_ctx, the rest at the end is left out; in each
 * window the first token is replaced by BOS where the vocabulary adds one; its first half is context alone, positions
 * n_ctx/2 ... n_ctx-2 are scored, each against the token that follows it. A window starts with an empty cache.
 *
 * ORDER. A group of windows goes through block after block (qs_session_block), both models in turn, then through the
 * head in batches of rows: hidden states and rows are all that is kept, and the states after each block can be compared
 * as they arise. With by_layer the groups are as large as `memory` allows, so that a model larger than the machine's
 * memory is read from its file once a group and not once a window. Results have the same bits with any group, memory
 * and thread count, and those of qs_session_feed.
 */
#ifndef QS_CORE_LOCKSTEP_H
#define QS_CORE_LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/eval/kld.h"
#include "core/job/job.h"
#include "core/model/engine.h"

/* Of the hidden state after a block (or after the embedding), model against reference, over all positions of all
 * windows. */
struct qs_layer_stat {
    uint64_t n;                   /* positions compared: finite in both, the reference's not all zero */
    double error, cosine;         /* means of |h - b| / |b| and of the cosine */
    double error_worst, cosine_worst;
    uint64_t worst_at;            /* position in the text of the worst error */
    uint64_t bad, bad_base;       /* positions with a NaN or an infinity, of the model, of the reference */
};

struct qs_lockstep_token {        /* one scored position */
    uint64_t at;                  /* of the token that follows, in the text's tokens */
    int32_t token;
    struct qs_kld_row row;
};

/* Each on the thread of qs_lockstep_run. A result other than QS_OK ends the run with it. */
typedef int qs_lockstep_token_fn(void *ctx, const struct qs_lockstep_token *t, struct qs_err *e);
typedef int qs_lockstep_window_fn(void *ctx, size_t windows, const double running[QS_KLD_NUMBERS], struct qs_err *e);

struct qs_lockstep_args {
    struct qs_engine *model;
    struct qs_engine *base;       /* NULL: perplexity alone. Another engine than `model` */
    struct qs_pool *pool;         /* for the rows; NULL: the caller's thread */
    enum qs_prio prio;
    const int32_t *token;
    size_t n_tokens;
    size_t n_ctx;                 /* tokens of a window, at least 4 */
    size_t n_windows;             /* at most so many; 0: all */
    int32_t bos;                  /* -1: windows keep their first token */
    size_t n_vocab;               /* ids that count (qs_vocab_rows), of both models; 0: all rows, as many in both */
    struct qs_session_args cache; /* its n_ctx counts for nothing */
    bool layers;                  /* compare hidden states; needs base */
    bool by_layer;
    uint64_t memory;              /* bytes for hidden states and rows of logits together; 0: 64 MiB */
    qs_lockstep_token_fn *on_token;
    qs_lockstep_window_fn *on_window;
    void *ctx;
};

struct qs_bad_place {
    int layer;
    uint64_t at, n;
}; /* first layer with something that is not finite: -1 the embedding, n_layer
    * the logits; its first position in the text; positions. n 0: none */
struct qs_lockstep {
    struct qs_kld kld;
    size_t windows, group;        /* done; windows that went through a block together */
    uint64_t tokens;              /* that went through the model */
    struct qs_layer_stat *layer;  /* n_layer + 1: [0] after the embedding; NULL without args.layers */
    size_t n_layers;              /* entries */
    struct qs_bad_place bad, bad_base;
    double seconds, seconds_base; /* in the forward passes */
};

/* The need of private memory beside the engines: sessions, hidden states, rows. */
uint64_t qs_lockstep_need(const struct qs_lockstep_args *a);
/* The job (may be NULL) counts tokens and tells the running values. QS_EINVAL: vocabularies or widths of the two
 * differ, a window that is too short, fewer tokens than one window; QS_EIO: a file was cut short. */
int qs_lockstep_run(const struct qs_lockstep_args *a, struct qs_job *job, struct qs_lockstep **out, struct qs_err *e);
void qs_lockstep_free(struct qs_lockstep *x); /* NULL allowed */

#endif
