/* engine_internal.h - what the engine's files share: which tensors a forward pass takes, and where they are.
 *
 * A *slot* is one place where the forward pass takes a tensor: slots of matrices hold references to stored weights,
 * slots of vectors (norms, biases, sinks, RoPE factors) hold decoded floats.
 */
#ifndef QS_CORE_ENGINE_INTERNAL_H
#define QS_CORE_ENGINE_INTERNAL_H

#include "core/model/engine.h"

enum qs_slot {
    /* of a block; matrices first */
    QS_SLOT_Q, QS_SLOT_K, QS_SLOT_V, QS_SLOT_QKV, QS_SLOT_O,
    QS_SLOT_GATE, QS_SLOT_UP, QS_SLOT_DOWN,
    QS_SLOT_ROUTER, QS_SLOT_GATE_EXPS, QS_SLOT_UP_EXPS, QS_SLOT_GATE_UP_EXPS, QS_SLOT_DOWN_EXPS,
    QS_SLOT_SHARED_ROUTER, QS_SLOT_GATE_SHARED, QS_SLOT_UP_SHARED, QS_SLOT_DOWN_SHARED,
    QS_SLOT_MATRICES,
    QS_SLOT_ATTN_NORM = QS_SLOT_MATRICES, QS_SLOT_Q_NORM, QS_SLOT_K_NORM, QS_SLOT_SINKS, QS_SLOT_ATTN_POST_NORM,
    QS_SLOT_FFN_NORM, QS_SLOT_FFN_POST_NORM,
    QS_SLOT_Q_BIAS, QS_SLOT_K_BIAS, QS_SLOT_V_BIAS, QS_SLOT_QKV_BIAS, QS_SLOT_O_BIAS,
    QS_SLOT_GATE_BIAS, QS_SLOT_UP_BIAS, QS_SLOT_DOWN_BIAS,
    QS_SLOT_ROUTER_BIAS, QS_SLOT_GATE_EXPS_BIAS, QS_SLOT_UP_EXPS_BIAS, QS_SLOT_DOWN_EXPS_BIAS,
    QS_SLOT_BLOCK,
    /* of the model */
    QS_SLOT_EMBED = QS_SLOT_BLOCK, QS_SLOT_OUTPUT,
    QS_SLOT_OUTPUT_NORM, QS_SLOT_ROPE_FREQS, QS_SLOT_ROPE_LONG, QS_SLOT_ROPE_SHORT,
    QS_SLOTS
};

struct qs_slot_place {          /* nothing in it: the model has no such tensor there */
    struct qs_weight *weight;   /* matrices: a reference */
    float *vec;                 /* vectors: decoded */
};

struct qs_engine {
    const struct qs_model *model;
    struct qs_config *config;
    struct qs_device *device;
    struct qs_engine_args args;
    struct qs_slot_place *block;     /* n_layer * QS_SLOT_BLOCK */
    struct qs_slot_place whole[QS_SLOTS - QS_SLOT_BLOCK];
    struct qs_slot_place **of;       /* per tensor of the model: its slot; NULL: not used */
    struct qs_weight **replaced;     /* per tensor: what qs_engine_set gave; NULL: the model's own */
    uint64_t generation;
    uint64_t pack_most;              /* bytes that the weights in use may be packed into; 0: none is */
};

/* The slot of a block (layer) or of the model as a whole. */
struct qs_slot_place *qs_engine_place(const struct qs_engine *x, size_t layer, enum qs_slot s);

/* QS_EIO when bytes that the engine reads were lost: of the model's files, or under a weight made or given. */
int qs_engine_intact(const struct qs_engine *x, struct qs_err *e);

/* Which slot a tensor fills, -1: none; its shape is checked (QS_EFORMAT names the tensor, what it is and should be).
 * A tensor in a block that the forward pass knows nothing of is QS_EUNSUPPORTED: to leave it out would give other
 * answers. */
int qs_slot_of(const struct qs_model *m, const struct qs_config *c, const struct qs_tensor *t, int *slot, struct qs_err *e);
/* Whether all that the forward pass needs is there: has[layer * QS_SLOT_BLOCK + slot], then those of the model, are the
 * tensors found for the slots, NULL: none. */
int qs_slots_complete(const struct qs_model *m, const struct qs_config *c, const struct qs_tensor *const *has,
                      struct qs_err *e);
/* Whether the tensors of block l fit each other, has[slot]: no matrix both fused and split, every bias as long as its
 * matrix has rows, a gate by itself or in one matrix with up. QS_EFORMAT names the tensor that is wrong. */
int qs_slots_agree(const struct qs_model *m, const struct qs_config *c, size_t l, const struct qs_tensor *const *has,
                   struct qs_err *e);

static inline bool qs_slot_is_matrix(int s)
{
    return s < QS_SLOT_MATRICES || s == QS_SLOT_EMBED || s == QS_SLOT_OUTPUT;
}

#endif
