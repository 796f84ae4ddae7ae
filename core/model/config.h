/* config.h - the numbers a forward pass runs by, read from a model's metadata, and the table of architectures.
 *
 * qs_hparams (model.h) is what any file says of itself; a config exists only for architectures that can be run, and
 * everything in it has been checked. Keys and defaults follow llama.cpp 0c1e57098 (llama-model.cpp, src/models/).
 */
#ifndef QS_CORE_CONFIG_H
#define QS_CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/model/model.h"
#include "kernels/op.h"

/* What an architecture does that others do not. */
enum {
    QS_ARCH_EMBED_SCALE = 1 << 0,   /* embeddings times sqrt(n_embd) */
    QS_ARCH_NO_PRE_NORM = 1 << 1,   /* blocks read the hidden state as it is (post norms only) */
    QS_ARCH_POST_NORM = 1 << 2,     /* a norm behind attention and behind the feed-forward, before what is added */
    QS_ARCH_QK_NORM_HEAD = 1 << 3,  /* q and k: RMS norm of each head */
    QS_ARCH_QK_NORM_ROW = 1 << 4,   /* q and k: RMS norm of the whole row */
    QS_ARCH_SINKS = 1 << 5,         /* attention sinks */
    QS_ARCH_EXPERT_SOFTMAX_AFTER = 1 << 6, /* router: softmax over the chosen experts only */
    QS_ARCH_EXPERT_NORMALISE = 1 << 7,     /* the chosen experts' weights are divided by their sum */
    QS_ARCH_FFN_NORM_IS_POST_ATTN = 1 << 8,/* the feed-forward's norm is named post_attention_norm (gpt-oss) */
    QS_ARCH_WINDOW_PLAIN_ROPE = 1 << 9,    /* layers with a window rotate without scaling */
    QS_ARCH_YARN_SMOOTH = 1 << 10,         /* the ends of YaRN's ramp are not rounded to whole dimensions */
    QS_ARCH_ROPE_SWITCH = 1 << 11,         /* rope.scaling.finetuned = false means no RoPE at all */
};

struct qs_arch {
    const char *name;               /* general.architecture */
    const char *people;             /* whose: "Llama, Mistral, ..." */
    unsigned flags;                 /* QS_ARCH_* */
    enum qs_rope_kind rope;
    enum qs_glu_kind glu;
    unsigned window_every;          /* sliding window pattern where the file states none: every n-th layer is full;
                                     * 0: all layers have the window, if there is one; 1: none has */
    unsigned window;                /* where the file states none; 0: none */
    double window_rope_base;        /* of layers with a window where the file states none; 0: as the others */
    unsigned no_rope_every;         /* every n-th layer (l + 1 divisible by n) has no RoPE; 0: all have */
    unsigned wide_layers;           /* models of so many layers scale attention by the share of n_embd, not by a head */
    float attn_softcap, final_softcap; /* where the file states none; 0: none */
    bool expert;                    /* routed experts are expected */
};

const struct qs_arch *qs_arch_find(const char *name); /* NULL: cannot be run */
const struct qs_arch *qs_arch_at(size_t i);           /* the table; NULL past its end */

struct qs_rope_config {
    double base;
    double freq_scale;              /* 1 / linear factor */
    bool yarn, smooth;              /* YaRN; its ramp's ends are not rounded */
    double magnitude;               /* cos and sin are multiplied by it */
    double beta_fast, beta_slow;
    size_t n_rot;
    size_t n_ctx_orig;
};

struct qs_layer_config {
    size_t n_head, n_kv, ff;
    size_t window;                  /* 0: attends to everything */
    bool rope;
    unsigned rope_set;              /* which of config.rope */
};

struct qs_config {
    const struct qs_arch *arch;
    size_t n_layer, n_embd, n_vocab, n_ctx_train;
    size_t dk, dv;                  /* of a head */
    size_t max_head, max_kv, max_ff;
    size_t n_expert, n_expert_used, ff_expert, ff_shared;
    struct qs_layer_config *layer;  /* n_layer */
    struct qs_rope_config rope[2];  /* [0] of layers that see everything, [1] of layers with a window */
    enum qs_norm_kind norm;
    float eps;
    float embed_scale, residual_scale, attn_scale, logit_scale;
    float attn_softcap, final_softcap; /* 0: none */
    float expert_scale;
    bool expert_normalise;
    float glu_alpha, glu_limit;
};

/* From the metadata. QS_EUNSUPPORTED: an architecture, or a feature of one, that cannot be run, named; QS_EFORMAT: a
 * number that is missing or makes no sense, named by its key. */
int qs_config_new(const struct qs_model *m, struct qs_config **out, struct qs_err *e);
void qs_config_free(struct qs_config *c);

/* cos and sin (times the magnitude factor) of every pair for position pos: out[2i], out[2i+1], i < n_rot/2, computed in
 * double. factor: n_rot/2 divisors of the frequencies (rope_freqs, rope_factors_*), NULL: none. */
void qs_rope_angles(const struct qs_rope_config *r, const float *factor, size_t pos, float *out);

#endif
