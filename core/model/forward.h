/* forward.h - the forward pass of decoder models, recorded as operations of kernels/op.h. For session.c. */
#ifndef QS_CORE_FORWARD_H
#define QS_CORE_FORWARD_H

#include "core/model/engine_internal.h"

/* Working memory for up to `batch` tokens: each a view whose rows are that many floats wide. */
struct qs_forward_buffers {
    struct qs_buf *buf;        /* one buffer holds all */
    struct qs_view x;          /* hidden state: n_embd */
    struct qs_view h;          /* normalised input of a part: n_embd */
    struct qs_view y;          /* result of a part, before it is added: n_embd */
    struct qs_view z;          /* of the shared expert: n_embd */
    struct qs_view qkv;        /* queries, keys, values of a token behind each other */
    struct qs_view a;          /* attention's result: max_head * dv */
    struct qs_view ff;         /* gate and up behind each other */
    struct qs_view g;          /* gate of the shared expert: 1 */
    struct qs_view angle[2];   /* RoPE: n_rot floats, for rope set 0 and 1 */
    struct qs_view logits;     /* n_vocab, for head_rows tokens */
    size_t head_rows;
};

/* What a step is about. */
struct qs_forward {
    const struct qs_engine *x;
    const struct qs_forward_buffers *b;
    const struct qs_cache *kc, *vc;     /* one of each per layer */
    size_t rotate_k, rotate_v;          /* block of the Hadamard rotation, 0: none */
    struct qs_tap_point *tap;
    size_t n_taps;
    size_t pos, n;                      /* first position, tokens */
};

int qs_forward_embed(const struct qs_forward *f, const int32_t *token, struct qs_err *e);
int qs_forward_block(const struct qs_forward *f, size_t layer, struct qs_err *e);
/* The block's halves: attention, then the feed-forward part. */
int qs_forward_attn(const struct qs_forward *f, size_t layer, struct qs_err *e);
int qs_forward_ffn(const struct qs_forward *f, size_t layer, struct qs_err *e);
/* The final norm of rows [first, first + n) of b->x into b->h, and the tap on the head's input. */
int qs_forward_last_norm(const struct qs_forward *f, size_t first, size_t n, struct qs_err *e);
/* Logits of rows [first, first + n) of b->x into b->logits; n at most head_rows. */
int qs_forward_head(const struct qs_forward *f, size_t first, size_t n, struct qs_err *e);

#endif
