/* engine.h - running a model: references to weights of any mix of formats, and one forward pass that can be run in
 * pieces.
 *
 * An *engine* holds what does not change from token to token: weights, the configuration of the architecture,
 * precision, the device. A *session* is one timeline: the tokens so far, a KV cache that can be rebuilt from them,
 * working buffers. Several sessions may share an engine; one thread at a time uses an engine or any of its sessions.
 * Results do not depend on thread count or on how tokens are cut into calls (kernels/op.h).
 *
 * PRECISION. QS_EXACT: activations are float32 and weights are decoded: references, goldens, evaluation. QS_FAST:
 * integer products where the weight's type has them. Whoever shows a number names the precision it was made with.
 *
 * FULL CONTEXT. Nothing is ever dropped or shifted by itself: a feed that does not fit is refused (QS_ELIMIT) before
 * anything is computed. Callers cut the timeline with qs_session_keep, or make a session with a longer context.
 */
#ifndef QS_CORE_ENGINE_H
#define QS_CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "kernels/op.h"

struct qs_engine;
struct qs_session;

struct qs_engine_args {
    struct qs_pool *pool;          /* outlives the engine; NULL: the caller's thread alone */
    enum qs_precision precision;
    enum qs_prio prio;
    size_t batch;                  /* tokens that go through the blocks together; 0: 512 */
    uint64_t pack;                 /* fast precision: bytes that panels of the weights may take (kernels/panel.h); 0: what
                                    * qs_engine_pack_limit said; QS_PACK_NONE: none, work from the stored bytes */
};
#define QS_PACK_NONE UINT64_MAX

/* Whether the model can be run: QS_EUNSUPPORTED says what is missing (architecture, tokenizer aside), QS_EFORMAT which
 * tensor is missing or has the wrong shape. Reads headers only. */
int qs_engine_can(const struct qs_model *m, struct qs_err *e);

/* The model outlives the engine. Weights are mapped, norms and biases decoded; nothing is converted, but for what is
 * `made` of a folder's files (QS_ENOSPACE: no room for its scratch files). In fast precision matrices are packed into
 * panels, in the order of the file, as long as they fit into args->pack; their values, and all results, are the same. */
int qs_engine_new(const struct qs_model *m, const struct qs_engine_args *args, struct qs_engine **out, struct qs_err *e);
void qs_engine_free(struct qs_engine *x); /* after its sessions; NULL allowed */

const struct qs_config *qs_engine_config(const struct qs_engine *x);
const struct qs_model *qs_engine_model(const struct qs_engine *x);
enum qs_precision qs_engine_precision(const struct qs_engine *x);
size_t qs_engine_batch(const struct qs_engine *x);

/* From the next step on tensor `tensor` (index of the model) is this weight (the engine takes a reference of its
 * own), or, NULL, the model's own again. QS_EINVAL: another shape, or a format without decoder. Tied embeddings
 * change in both of their uses. Sessions that already hold tokens keep their cache: made with the weight before, it
 * stays valid memory but is stale; qs_session_keep(s, 0) and feed again. */
int qs_engine_set(struct qs_engine *x, size_t tensor, struct qs_weight *w, struct qs_err *e);
/* The weight in use; not a new reference. NULL: the forward pass does not use that tensor. */
const struct qs_weight *qs_engine_weight(const struct qs_engine *x, size_t tensor);
uint64_t qs_engine_generation(const struct qs_engine *x); /* grows with every qs_engine_set */

/* For engines that are made with pack 0 from now on; 0, as at the start: half of what the machine has free just then. */
void qs_engine_pack_limit(uint64_t bytes);
uint64_t qs_engine_packed(const struct qs_engine *x); /* private bytes that the weights in use were packed into */

/* Bytes of stored weights a token passes through (experts: those used), for speeds as a share of bandwidth. */
uint64_t qs_engine_bytes_per_token(const struct qs_engine *x);

/* ---- sessions ---- */

struct qs_session_args {
    size_t n_ctx;        /* tokens; 0: the model's own context, at most 4096 */
    int type_k, type_v;  /* QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 */
    bool rotate;         /* Hadamard rotation of keys and values (and queries) before they are stored; exact up to rounding */
};
#define QS_SESSION_ARGS_INIT { 0, QS_F16, QS_F16, false }

/* Private bytes that a session would take (cache, buffers), the device's working memory aside; for plans. */
uint64_t qs_session_need(const struct qs_engine *x, const struct qs_session_args *args);
/* QS_EINVAL: a head's dimension is no multiple of the cache type's block, or an unknown type; QS_ENOMEM says how
 * much. Errors of the device, where it cannot run the model. A feed claims no more memory, taps aside. */
int qs_session_new(struct qs_engine *x, const struct qs_session_args *args, struct qs_session **out, struct qs_err *e);
void qs_session_free(struct qs_session *s); /* NULL allowed */

size_t qs_session_context(const struct qs_session *s);         /* n_ctx */
size_t qs_session_length(const struct qs_session *s);          /* tokens so far */
const int32_t *qs_session_tokens(const struct qs_session *s);  /* valid until the next call */
/* Private bytes it takes, with those that the device's working memory, which all sessions share, grew by for it. */
uint64_t qs_session_memory(const struct qs_session *s);
struct qs_engine *qs_session_engine(const struct qs_session *s);

/* Forgets all tokens but the first n (n >= length: nothing happens). */
void qs_session_keep(struct qs_session *s, size_t n);

/* Appends n tokens and computes. logits: (n - from) rows of config->n_vocab floats, for tokens [from, n) of this
 * call; NULL with from == n: none. Token ids are checked (QS_EINVAL). After a failure the session holds the tokens it
 * held before. QS_EIO: a file, or a scratch file under a weight, was cut short meanwhile. */
int qs_session_feed(struct qs_session *s, const int32_t *token, size_t n, size_t from, float *logits, struct qs_err *e);

/* For measuring speed alone: appends n tokens (id 0) that are not computed, with made-up keys and values. What is fed
 * behind them takes as long as behind real ones and means nothing. Refuses as qs_session_feed. */
int qs_session_fill(struct qs_session *s, size_t n, struct qs_err *e);

/* ---- looking inside ---- */

/* After each block (layer 0 ...) of every feed: n rows of n_embd floats, the hidden state of tokens at positions pos
 * ...; layer -1: after the embedding. NULL: nobody looks, which costs nothing. */
typedef void qs_hidden_fn(void *ctx, int layer, size_t pos, size_t n, const float *hidden);
void qs_session_watch(struct qs_session *s, qs_hidden_fn *fn, void *ctx);

/* Points where matrices take their input: each distinct input once. */
enum qs_point { QS_POINT_ATTN_IN /* q, k, v */, QS_POINT_ATTN_OUT /* attn_output */, QS_POINT_FFN_IN /* gate, up, router */,
                QS_POINT_FFN_DOWN /* ffn_down; not of routed experts */, QS_POINT_BLOCK /* the block's result */,
                QS_POINT_HEAD /* output; layer is n_layer */, QS_POINT_SHARED_DOWN /* ffn_down_shexp */,
                QS_POINT_EXPERTS_IN /* routed gate, up: the rows of FFN_IN with their routes */,
                QS_POINT_EXPERTS_DOWN /* routed down */, QS_POINTS };
struct qs_tap_point { int layer; enum qs_point point; struct qs_tap tap; };
/* Recorded with every feed from now on; the array stays the caller's and must live until it is replaced. n 0: none. The
 * points of routed experts take QS_TAP_ROUTES, one tap each and layer; all others take the other kinds.
 * QS_EINVAL: the columns or the kind do not fit the point. */
int qs_session_taps(struct qs_session *s, struct qs_tap_point *tap, size_t n, struct qs_err *e);
static inline bool qs_point_routed(enum qs_point p) { return p == QS_POINT_EXPERTS_IN || p == QS_POINT_EXPERTS_DOWN; }
size_t qs_engine_point_cols(const struct qs_engine *x, int layer, enum qs_point point); /* 0: no such point */

/* The pieces by themselves, for work that goes layer by layer; at most qs_engine_batch() tokens a call. hidden: n
 * rows of n_embd floats. The block appends to layer l's cache at pos ... and sees positions below; the session's
 * tokens and length are not touched. QS_EIO as qs_session_feed. */
int qs_session_embed(struct qs_session *s, const int32_t *token, size_t n, float *hidden, struct qs_err *e);
int qs_session_block(struct qs_session *s, size_t layer, size_t pos, size_t n, float *hidden, struct qs_err *e);
/* Half of a block: hidden (n rows of n_embd floats) becomes the state behind attention or behind the feed-forward part;
 * both halves in turn are qs_session_block, bit for bit. */
enum qs_half { QS_HALF_ATTN, QS_HALF_FFN, QS_HALF_HEAD /* the final norm alone; the hidden state stays */ };
int qs_session_half(struct qs_session *s, size_t layer, enum qs_half half, size_t pos, size_t n, float *hidden,
                    struct qs_err *e);
int qs_session_head(struct qs_session *s, const float *hidden, size_t n, float *logits, struct qs_err *e);

#endif
