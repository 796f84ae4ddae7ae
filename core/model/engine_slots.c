/* engine_slots.c - which tensors a forward pass takes: names, shapes, and when they must be there, as one table.
 *
 * Names are llama.cpp's (src/llama-arch.cpp at 0c1e57098). Refuses tensors of another shape, missing ones, tensors
 * inside blocks that no slot takes, and those that do not fit each other. Owns nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/engine_internal.h"

/* A dimension, by what it counts. */
enum dim { D_ONE, D_EMBD, D_VOCAB, D_Q, D_K, D_V, D_QKV, D_O, D_FF, D_FF_OR_TWO, D_DK_OR_Q, D_DK_OR_K, D_HEADS,
           D_EXPERTS, D_FF_EXPERT, D_FF_EXPERT_TWO, D_FF_SHARED, D_ROT };

/* When a tensor must be there. */
enum need { OPTIONAL, ALWAYS, PRE_NORM, POST_NORM, QK_NORM, SINKS, SPLIT_QKV, DENSE, EXPERTS, SPLIT_EXPERTS, SHARED };

static const struct rule {
    const char *name; /* behind "blk.N." for slots of blocks */
    enum qs_slot slot;
    enum need need;
    enum dim ne[3];   /* columns, rows, experts */
} rules[] = {
    {"attn_norm.weight", QS_SLOT_ATTN_NORM, PRE_NORM, {D_EMBD}},
    {"attn_q.weight", QS_SLOT_Q, SPLIT_QKV, {D_EMBD, D_Q}},
    {"attn_k.weight", QS_SLOT_K, SPLIT_QKV, {D_EMBD, D_K}},
    {"attn_v.weight", QS_SLOT_V, SPLIT_QKV, {D_EMBD, D_V}},
    {"attn_qkv.weight", QS_SLOT_QKV, OPTIONAL, {D_EMBD, D_QKV}},
    {"attn_q.bias", QS_SLOT_Q_BIAS, OPTIONAL, {D_Q}},
    {"attn_k.bias", QS_SLOT_K_BIAS, OPTIONAL, {D_K}},
    {"attn_v.bias", QS_SLOT_V_BIAS, OPTIONAL, {D_V}},
    {"attn_qkv.bias", QS_SLOT_QKV_BIAS, OPTIONAL, {D_QKV}},
    {"attn_q_norm.weight", QS_SLOT_Q_NORM, QK_NORM, {D_DK_OR_Q}},
    {"attn_k_norm.weight", QS_SLOT_K_NORM, QK_NORM, {D_DK_OR_K}},
    {"attn_sinks.weight", QS_SLOT_SINKS, SINKS, {D_HEADS}},
    {"attn_output.weight", QS_SLOT_O, ALWAYS, {D_O, D_EMBD}},
    {"attn_output.bias", QS_SLOT_O_BIAS, OPTIONAL, {D_EMBD}},
    {"post_attention_norm.weight", QS_SLOT_ATTN_POST_NORM, POST_NORM, {D_EMBD}},
    {"ffn_norm.weight", QS_SLOT_FFN_NORM, PRE_NORM, {D_EMBD}},
    {"ffn_gate.weight", QS_SLOT_GATE, OPTIONAL, {D_EMBD, D_FF}},
    {"ffn_up.weight", QS_SLOT_UP, DENSE, {D_EMBD, D_FF_OR_TWO}},
    {"ffn_down.weight", QS_SLOT_DOWN, DENSE, {D_FF, D_EMBD}},
    {"ffn_gate.bias", QS_SLOT_GATE_BIAS, OPTIONAL, {D_FF}},
    {"ffn_up.bias", QS_SLOT_UP_BIAS, OPTIONAL, {D_FF_OR_TWO}},
    {"ffn_down.bias", QS_SLOT_DOWN_BIAS, OPTIONAL, {D_EMBD}},
    {"post_ffw_norm.weight", QS_SLOT_FFN_POST_NORM, POST_NORM, {D_EMBD}},
    {"ffn_gate_inp.weight", QS_SLOT_ROUTER, EXPERTS, {D_EMBD, D_EXPERTS}},
    {"ffn_gate_inp.bias", QS_SLOT_ROUTER_BIAS, OPTIONAL, {D_EXPERTS}},
    {"ffn_gate_exps.weight", QS_SLOT_GATE_EXPS, SPLIT_EXPERTS, {D_EMBD, D_FF_EXPERT, D_EXPERTS}},
    {"ffn_up_exps.weight", QS_SLOT_UP_EXPS, SPLIT_EXPERTS, {D_EMBD, D_FF_EXPERT, D_EXPERTS}},
    {"ffn_gate_up_exps.weight", QS_SLOT_GATE_UP_EXPS, OPTIONAL, {D_EMBD, D_FF_EXPERT_TWO, D_EXPERTS}},
    {"ffn_down_exps.weight", QS_SLOT_DOWN_EXPS, EXPERTS, {D_FF_EXPERT, D_EMBD, D_EXPERTS}},
    {"ffn_gate_exps.bias", QS_SLOT_GATE_EXPS_BIAS, OPTIONAL, {D_FF_EXPERT, D_EXPERTS}},
    {"ffn_up_exps.bias", QS_SLOT_UP_EXPS_BIAS, OPTIONAL, {D_FF_EXPERT, D_EXPERTS}},
    {"ffn_down_exps.bias", QS_SLOT_DOWN_EXPS_BIAS, OPTIONAL, {D_EMBD, D_EXPERTS}},
    {"ffn_gate_inp_shexp.weight", QS_SLOT_SHARED_ROUTER, OPTIONAL, {D_EMBD}},
    {"ffn_gate_shexp.weight", QS_SLOT_GATE_SHARED, SHARED, {D_EMBD, D_FF_SHARED}},
    {"ffn_up_shexp.weight", QS_SLOT_UP_SHARED, SHARED, {D_EMBD, D_FF_SHARED}},
    {"ffn_down_shexp.weight", QS_SLOT_DOWN_SHARED, SHARED, {D_FF_SHARED, D_EMBD}},
    {"token_embd.weight", QS_SLOT_EMBED, ALWAYS, {D_EMBD, D_VOCAB}},
    {"output.weight", QS_SLOT_OUTPUT, OPTIONAL, {D_EMBD, D_VOCAB}},
    {"output_norm.weight", QS_SLOT_OUTPUT_NORM, ALWAYS, {D_EMBD}},
    {"rope_freqs.weight", QS_SLOT_ROPE_FREQS, OPTIONAL, {D_ROT}},
    {"rope_factors_long.weight", QS_SLOT_ROPE_LONG, OPTIONAL, {D_ROT}},
    {"rope_factors_short.weight", QS_SLOT_ROPE_SHORT, OPTIONAL, {D_ROT}},
};
#define N_RULES (sizeof rules / sizeof *rules)

static bool row_norm(const struct qs_config *c) { return (c->arch->flags & QS_ARCH_QK_NORM_ROW) != 0; }

/* How long a dimension is, and how long it may be instead (0: no other). */
static uint64_t length(const struct qs_config *c, size_t l, enum dim d, uint64_t *other)
{
    const struct qs_layer_config *x = &c->layer[l < c->n_layer ? l : 0];
    const uint64_t q = x->n_head * c->dk, k = x->n_kv * c->dk, v = x->n_kv * c->dv;
    *other = 0;
    switch (d) {
    case D_ONE: return 1;
    case D_EMBD: return c->n_embd;
    case D_VOCAB: return c->n_vocab;
    case D_Q: return q;
    case D_K: return k;
    case D_V: return v;
    case D_QKV: return q + k + v;
    case D_O: return x->n_head * c->dv;
    case D_FF: return x->ff;
    case D_FF_OR_TWO: *other = 2 * x->ff; return x->ff;
    case D_DK_OR_Q: return row_norm(c) ? q : c->dk;
    case D_DK_OR_K: return row_norm(c) ? k : c->dk;
    case D_HEADS: return x->n_head;
    case D_EXPERTS: return c->n_expert;
    case D_FF_EXPERT: return c->ff_expert;
    case D_FF_EXPERT_TWO: return 2 * c->ff_expert;
    case D_FF_SHARED: return c->ff_shared;
    case D_ROT: return c->rope[0].n_rot / 2;
    }
    return 0;
}

static int check_shape(const struct qs_model *m, const struct qs_config *c, const struct rule *r, const struct qs_tensor *t,
                       struct qs_err *e)
{
    bool ok = t->ne[3] == 1;
    uint64_t want[3], other;
    for (int d = 0; d < 3; d++) {
        want[d] = length(c, t->layer < 0 ? 0 : (size_t)t->layer, r->ne[d], &other);
        if (other && t->ne[d] == other)
            want[d] = other;
        ok = ok && t->ne[d] == want[d];
    }
    if (!ok)
        return qs_fail(e, QS_EFORMAT,
                       "%s: tensor %s is %" PRIu64 " x %" PRIu64 " x %" PRIu64 ", by the metadata it should be %" PRIu64
                       " x %" PRIu64 " x %" PRIu64, m->path, t->name, t->ne[0], t->ne[1], t->ne[2], want[0], want[1],
                       want[2]);
    if (!t->format || !qs_format_ops(t->format->id)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %s is of a type that cannot be decoded (%d)", m->path, t->name,
                       t->type);
    if (t->marks)
        return qs_fail(e, QS_EFORMAT, "%s: tensor %s is damaged (see quantscape check)", m->path, t->name);
    return QS_OK;
}

/* Whether this architecture has the part at all. */
static bool possible(const struct qs_config *c, enum need n)
{
    const unsigned f = c->arch->flags;
    switch (n) {
    case PRE_NORM: return !(f & QS_ARCH_NO_PRE_NORM);
    case POST_NORM: return (f & QS_ARCH_POST_NORM) != 0;
    case QK_NORM: return (f & (QS_ARCH_QK_NORM_HEAD | QS_ARCH_QK_NORM_ROW)) != 0;
    case SINKS: return (f & QS_ARCH_SINKS) != 0;
    default: return true;
    }
}

int qs_slot_of(const struct qs_model *m, const struct qs_config *c, const struct qs_tensor *t, int *slot, struct qs_err *e)
{
    *slot = -1;
    const char *name = t->name;
    if (t->layer >= 0) {
        const char *dot = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
        if (!dot)
            return QS_OK;
        name = dot + 1;
        if ((size_t)t->layer >= c->n_layer)
            return qs_fail(e, QS_EFORMAT, "%s: tensor %s belongs to no block: there are %zu", m->path, t->name,
                           c->n_layer);
        if (strcmp(name, "rope_freqs.weight") == 0 || strcmp(name, "attn_rot_embd.weight") == 0)
            return QS_OK; /* old files repeat frequencies that the metadata states */
    }
    const bool oss = (c->arch->flags & QS_ARCH_FFN_NORM_IS_POST_ATTN) != 0;
    for (size_t i = 0; i < N_RULES; i++) {
        const struct rule *r = &rules[i];
        if ((t->layer >= 0) != (r->slot < QS_SLOT_BLOCK) || strcmp(name, r->name) != 0)
            continue;
        const bool moved = oss && r->slot == QS_SLOT_ATTN_POST_NORM;
        if (!moved && !possible(c, r->need))
            break;
        *slot = moved ? QS_SLOT_FFN_NORM : (int)r->slot;
        return check_shape(m, c, r, t, e);
    }
    if (t->layer >= 0)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %s is nothing that models of architecture '%s' are known to have: "
                       "the model cannot be run", m->path, t->name, c->arch->name);
    return QS_OK;
}

static bool needed(const struct qs_config *c, const struct rule *r, const struct qs_tensor *const *has)
{
    const bool block = r->slot < QS_SLOT_BLOCK;
    const bool experts = block && c->n_expert > 0 && (has[QS_SLOT_ROUTER] || !has[QS_SLOT_UP]);
    switch (r->need) {
    case OPTIONAL: return false;
    case ALWAYS: return true;
    case PRE_NORM:
    case POST_NORM:
    case QK_NORM:
    case SINKS: return possible(c, r->need);
    case SPLIT_QKV: return !has[QS_SLOT_QKV];
    case DENSE: return !experts;
    case EXPERTS: return experts;
    case SPLIT_EXPERTS: return experts && !has[QS_SLOT_GATE_UP_EXPS];
    case SHARED: return has[QS_SLOT_GATE_SHARED] || has[QS_SLOT_UP_SHARED] || has[QS_SLOT_DOWN_SHARED];
    }
    return false;
}

int qs_slots_complete(const struct qs_model *m, const struct qs_config *c, const struct qs_tensor *const *has,
                      struct qs_err *e)
{
    const struct qs_tensor *const *whole = has + c->n_layer * QS_SLOT_BLOCK;
    for (size_t i = 0; i < N_RULES; i++) {
        const struct rule *r = &rules[i];
        const bool of_block = r->slot < QS_SLOT_BLOCK;
        const bool oss = r->slot == QS_SLOT_FFN_NORM && (c->arch->flags & QS_ARCH_FFN_NORM_IS_POST_ATTN);
        for (size_t l = 0; l < (of_block ? c->n_layer : 1); l++) {
            const struct qs_tensor *const *at = of_block ? has + l * QS_SLOT_BLOCK : whole - QS_SLOT_BLOCK;
            if (at[r->slot] || !needed(c, r, at))
                continue;
            char block[32] = "";
            if (of_block)
                snprintf(block, sizeof block, "blk.%zu.", l);
            return qs_fail(e, QS_EFORMAT, "%s: there is no tensor %s%s, which models of architecture '%s' are run with",
                           m->path, block, oss ? "post_attention_norm.weight" : r->name, c->arch->name);
        }
    }
    return QS_OK;
}

/* ---- tensors beside each other ---- */

/* A fused matrix, and what it stands for: one of them alone is run. */
static const struct { enum qs_slot fused, part; } instead[] = {
    {QS_SLOT_QKV, QS_SLOT_Q}, {QS_SLOT_QKV, QS_SLOT_K}, {QS_SLOT_QKV, QS_SLOT_V},
    {QS_SLOT_GATE_UP_EXPS, QS_SLOT_GATE_EXPS}, {QS_SLOT_GATE_UP_EXPS, QS_SLOT_UP_EXPS},
};

static const struct { enum qs_slot bias, matrix; } added[] = {
    {QS_SLOT_Q_BIAS, QS_SLOT_Q}, {QS_SLOT_K_BIAS, QS_SLOT_K}, {QS_SLOT_V_BIAS, QS_SLOT_V},
    {QS_SLOT_QKV_BIAS, QS_SLOT_QKV}, {QS_SLOT_O_BIAS, QS_SLOT_O}, {QS_SLOT_GATE_BIAS, QS_SLOT_GATE},
    {QS_SLOT_UP_BIAS, QS_SLOT_UP}, {QS_SLOT_DOWN_BIAS, QS_SLOT_DOWN}, {QS_SLOT_ROUTER_BIAS, QS_SLOT_ROUTER},
    {QS_SLOT_GATE_EXPS_BIAS, QS_SLOT_GATE_EXPS}, {QS_SLOT_UP_EXPS_BIAS, QS_SLOT_UP_EXPS},
    {QS_SLOT_DOWN_EXPS_BIAS, QS_SLOT_DOWN_EXPS},
};

static int check_bias(const struct qs_model *m, const struct qs_tensor *bias, const struct qs_tensor *matrix,
                      struct qs_err *e)
{
    if (!matrix)
        return qs_fail(e, QS_EFORMAT, "%s: tensor %s is there without the matrix it belongs to", m->path, bias->name);
    if (bias->ne[0] != matrix->ne[1] || bias->ne[1] != matrix->ne[2])
        return qs_fail(e, QS_EFORMAT,
                       "%s: tensor %s is %" PRIu64 " x %" PRIu64 ", its matrix %s has %" PRIu64 " x %" PRIu64 " rows",
                       m->path, bias->name, bias->ne[0], bias->ne[1], matrix->name, matrix->ne[1], matrix->ne[2]);
    return QS_OK;
}

int qs_slots_agree(const struct qs_model *m, const struct qs_config *c, size_t l, const struct qs_tensor *const *has,
                   struct qs_err *e)
{
    for (size_t i = 0; i < sizeof instead / sizeof *instead; i++)
        if (has[instead[i].fused] && has[instead[i].part])
            return qs_fail(e, QS_EFORMAT, "%s: tensor %s holds what %s holds: one of them is too many", m->path,
                           has[instead[i].fused]->name, has[instead[i].part]->name);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        const struct qs_tensor *bias = has[added[i].bias];
        int rc = bias ? check_bias(m, bias, has[added[i].matrix], e) : QS_OK;
        if (rc != QS_OK)
            return rc;
    }
    const struct qs_tensor *up = has[QS_SLOT_UP];
    const bool gate = has[QS_SLOT_GATE] != NULL, both = up && up->ne[1] == 2 * c->layer[l].ff;
    if (up && gate == both)
        return qs_fail(e, QS_EFORMAT, "%s: tensor %s has %" PRIu64 " rows and there is %s ffn_gate beside it", m->path,
                       up->name, up->ne[1], gate ? "a" : "no");
    return QS_OK;
}
