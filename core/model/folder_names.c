/* folder_names.c - from the tensors that lie in the files to those that the model has.
 *
 * Owns the table of names. Every tensor that config.json asks for must be there in the shape that follows from it, and
 * every tensor that is there must be asked for: a weight that nobody uses would be a model half understood. Refuses
 * types that are no plain floats (but for the blocks of MXFP4). What is written down here is how each tensor comes
 * about; nothing is read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder_internal.h"

/* Lengths that follow from config.json. */
enum length {
    NONE, ONE, EMBD, VOCAB, Q, KV, QKV, FF, FF2, FF_EXPERT, FF_SHARED, EXPERTS, HEADS, HEAD_DIM, LENGTHS
};

static uint64_t length_of(const struct qs_folder_numbers *n, enum length l)
{
    const uint64_t q = n->n_head * n->head_dim, kv = n->n_head_kv * n->head_dim; /* each below 2^60 */
    const uint64_t is[LENGTHS] = {
        [ONE] = 1, [EMBD] = n->n_embd, [VOCAB] = n->n_vocab, [Q] = q, [KV] = kv, [QKV] = q + 2 * kv, [FF] = n->n_ff,
        [FF2] = 2 * n->n_ff, [FF_EXPERT] = n->n_ff_expert, [FF_SHARED] = n->n_ff_shared, [EXPERTS] = n->n_expert,
        [HEADS] = n->n_head, [HEAD_DIM] = n->head_dim,
    };
    return is[l];
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum {
    OPTIONAL = 1, BIAS = 2 /* may have one */, BIAS_QKV = 4 /* has one where the family says so */, NORM = 8,
    HEADS_Q = 16, HEADS_KV = 32, BARE = 64 /* no ".weight" behind the name */, BIAS_ALWAYS = 128
};

struct row {
    const char *hf, *gguf;
    enum length out, in; /* in NONE: a vector */
    unsigned flags;
    unsigned with, without; /* of families with one of these (0: of all), and none of those */
};

#define NO_DENSE (QS_FOLDER_EXPERTS | QS_FOLDER_FUSED)

static const struct row before[] = {
    { "model.embed_tokens", "token_embd", VOCAB, EMBD, 0, 0, 0 },
};

static const struct row block[] = {
    { "input_layernorm", "attn_norm", EMBD, NONE, NORM, 0, QS_FOLDER_NO_PRE_NORM },
    { "self_attn.qkv_proj", "attn_qkv", QKV, EMBD, 0, QS_FOLDER_FUSED, 0 },
    { "self_attn.q_proj", "attn_q", Q, EMBD, HEADS_Q | BIAS | BIAS_QKV, 0, QS_FOLDER_FUSED },
    { "self_attn.q_norm", "attn_q_norm", HEAD_DIM, NONE, NORM, QS_FOLDER_QK_NORM, 0 },
    { "self_attn.q_norm", "attn_q_norm", Q, NONE, NORM, QS_FOLDER_QK_NORM_ROW, 0 },
    { "self_attn.k_proj", "attn_k", KV, EMBD, HEADS_KV | BIAS | BIAS_QKV, 0, QS_FOLDER_FUSED },
    { "self_attn.k_norm", "attn_k_norm", HEAD_DIM, NONE, NORM, QS_FOLDER_QK_NORM, 0 },
    { "self_attn.k_norm", "attn_k_norm", KV, NONE, NORM, QS_FOLDER_QK_NORM_ROW, 0 },
    { "self_attn.v_proj", "attn_v", KV, EMBD, BIAS | BIAS_QKV, 0, QS_FOLDER_FUSED },
    { "self_attn.sinks", "attn_sinks", HEADS, NONE, BARE, QS_FOLDER_GPT_OSS, 0 },
    { "self_attn.o_proj", "attn_output", EMBD, Q, BIAS, 0, 0 },
    { "post_attention_layernorm", "ffn_norm", EMBD, NONE, NORM, 0, QS_FOLDER_POST_ATTN },
    { "post_attention_layernorm", "post_attention_norm", EMBD, NONE, NORM, QS_FOLDER_POST_ATTN, 0 },
    { "pre_feedforward_layernorm", "ffn_norm", EMBD, NONE, NORM, QS_FOLDER_PRE_FFW, 0 },
    { "mlp.gate_proj", "ffn_gate", FF, EMBD, BIAS, 0, NO_DENSE },
    { "mlp.up_proj", "ffn_up", FF, EMBD, BIAS, 0, NO_DENSE },
    { "mlp.down_proj", "ffn_down", EMBD, FF, BIAS, 0, NO_DENSE },
    { "mlp.gate_up_proj", "ffn_up", FF2, EMBD, 0, QS_FOLDER_FUSED, 0 },
    { "mlp.down_proj", "ffn_down", EMBD, FF, 0, QS_FOLDER_FUSED, 0 },
    { "post_feedforward_layernorm", "post_ffw_norm", EMBD, NONE, NORM, QS_FOLDER_POST_FFW, 0 },
    { "block_sparse_moe.gate", "ffn_gate_inp", EXPERTS, EMBD, 0, QS_FOLDER_MIXTRAL, 0 },
    { "mlp.gate", "ffn_gate_inp", EXPERTS, EMBD, 0, QS_FOLDER_QWEN_MOE, 0 },
    { "mlp.router", "ffn_gate_inp", EXPERTS, EMBD, BIAS | BIAS_ALWAYS, QS_FOLDER_GPT_OSS, 0 },
    { "mlp.shared_expert_gate", "ffn_gate_inp_shexp", ONE, EMBD, 0, QS_FOLDER_SHARED, 0 },
    { "mlp.shared_expert.gate_proj", "ffn_gate_shexp", FF_SHARED, EMBD, 0, QS_FOLDER_SHARED, 0 },
    { "mlp.shared_expert.up_proj", "ffn_up_shexp", FF_SHARED, EMBD, 0, QS_FOLDER_SHARED, 0 },
    { "mlp.shared_expert.down_proj", "ffn_down_shexp", EMBD, FF_SHARED, 0, QS_FOLDER_SHARED, 0 },
};

static const struct row after[] = {
    { "model.norm", "output_norm", EMBD, NONE, NORM, 0, 0 },
    { "lm_head", "output", VOCAB, EMBD, OPTIONAL, 0, QS_FOLDER_TIED },
};

static bool has_row(const struct qs_folder_family *f, const struct row *r)
{
    return (r->with == 0 || f->flags & r->with) && !(f->flags & r->without);
}

/* ---- finding and checking ---------------------------------------------------------------------------------------- */

static int by_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct qs_folder_found *)item)->name);
}

static struct qs_folder_found *find(struct qs_folder *f, const char *name)
{
    struct qs_folder_found *x = f->n_found ? bsearch(name, f->found, f->n_found, sizeof *f->found, by_name) : NULL;
    if (x)
        x->used = true;
    return x;
}

static int missing(const struct qs_folder *f, const char *name, struct qs_err *e)
{
    return qs_fail(e, QS_EFORMAT, "%s: tensor %s is missing: a %s of %" PRIu64 " layers (config.json) has it", f->dir,
                   name, f->family->hf, f->n.n_layer);
}

static void shape_text(char *buf, size_t cap, const uint64_t *shape, unsigned n)
{
    size_t at = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < n && at < cap; i++)
        at += (size_t)snprintf(buf + at, cap - at, "%s%" PRIu64, i ? " x " : "", shape[i]);
    if (n == 0)
        (void)snprintf(buf, cap, "a single number");
}

static int check_shape(const struct qs_folder *f, const struct qs_folder_found *x, unsigned n_dims,
                       const uint64_t *want, struct qs_err *e)
{
    bool same = x->t->n_dims == n_dims;
    for (unsigned i = 0; same && i < n_dims; i++)
        same = x->t->shape[i] == want[i];
    if (same)
        return QS_OK;
    char have[128], need[128];
    shape_text(have, sizeof have, x->t->shape, x->t->n_dims);
    shape_text(need, sizeof need, want, n_dims);
    return qs_fail(e, QS_EFORMAT, "%s: tensor %.120s is %s, but by config.json it is %s", f->dir, x->name, have, need);
}

/* Weights are plain floats. */
static int check_dtype(const struct qs_folder *f, const struct qs_folder_found *x, struct qs_err *e)
{
    const int type = x->t->dtype->type;
    if (type == QS_F32 || type == QS_F16 || type == QS_BF16 || type == QS_F64)
        return QS_OK;
    return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %.120s is stored as %s: weights in it cannot be opened yet; take "
                   "the model in BF16 or F16", f->dir, x->name, x->t->dtype->name);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static struct qs_folder_tensor *new_tensor(struct qs_folder *f, size_t n_src, struct qs_err *e)
{
    const struct qs_folder_found **src = qs_calloc(n_src ? n_src : 1, sizeof *src);
    if (!src || !qs_grow(&f->tensor, &f->tensor_cap, f->n_tensors + 1, sizeof *f->tensor)) {
        qs_free(src);
        qs_fail_mem(e, sizeof *f->tensor, "the list of tensors");
        return NULL;
    }
    struct qs_folder_tensor *t = &f->tensor[f->n_tensors++];
    *t = (struct qs_folder_tensor){ .ne = { 1, 1, 1, 1 },
                                    .r = { .src = src, .n_src = n_src, .sheets = 1, .step = 1 } };
    return t;
}

/* What llama.cpp wants in F32: vectors, norms, routers, biases. */
static bool wants_f32(const struct qs_folder_tensor *t)
{
    const size_t n = strlen(t->name);
    return t->n_dims <= 1 || strstr(t->name, "_norm.weight") || strstr(t->name, ".ffn_gate_inp") || n < 7 ||
           strcmp(t->name + n - 7, ".weight") != 0;
}

static bool lies_ready(const struct qs_folder_tensor *t)
{
    const struct qs_folder_recipe *r = &t->r;
    const struct qs_st_tensor *src = r->src[0]->t;
    return src->dtype->type == t->type && r->heads == 0 && !r->transpose && r->step == 1 && r->add == 0 && /* exact */
           r->n_src == 1 && (r->sheets == 1 || (r->first == 0 && r->rows == r->src_rows)) &&
           src->offset % (src->dtype->bits / 8) == 0;
}

/* Type, bytes and way, after names, shape and sources are there. */
static int settle(const struct qs_folder *f, struct qs_folder_tensor *t, struct qs_err *e)
{
    struct qs_folder_recipe *r = &t->r;
    const struct qs_st_dtype *dtype = r->src[0]->t->dtype;
    for (size_t i = 0; i < r->n_src; i++) {
        const int rc = check_dtype(f, r->src[i], e);
        if (rc)
            return rc;
        if (r->src[i]->t->dtype != dtype)
            return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %.120s is stored as %s, the experts beside it as %s", f->dir,
                           r->src[i]->name, r->src[i]->t->dtype->name, dtype->name);
    }
    t->type = wants_f32(t) || dtype->type == QS_F64 ? QS_F32 : dtype->type;
    uint64_t n = 1;
    for (unsigned d = 0; d < t->n_dims; d++)
        n *= t->ne[d]; /* no overflow: the sources have as many, and their bytes are in a file */
    t->size = n * (t->type == QS_F32 ? 4 : 2);
    r->how = lies_ready(t) ? QS_FOLDER_MAPPED : QS_FOLDER_ROWS;
    if (r->how == QS_FOLDER_MAPPED)
        r->skip = r->first * r->cols * (dtype->bits / 8);
    return QS_OK;
}

int qs_folder_add_values(struct qs_folder *f, const char *name, float *value, uint64_t n, struct qs_err *e)
{
    struct qs_folder_tensor *t = new_tensor(f, 0, e);
    if (!t) {
        qs_free(value);
        return QS_ENOMEM;
    }
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    t->n_dims = 1;
    t->ne[0] = n;
    t->type = QS_F32;
    t->size = n * sizeof *value;
    t->r.how = QS_FOLDER_VALUES;
    t->r.value = value;
    return QS_OK;
}

/* ---- rows of the table ------------------------------------------------------------------------------------------- */

/* Padded embeddings: what Gemma 3 stores behind the vocabulary is not used. */
static bool may_cut(const struct qs_folder *f, const struct qs_folder_found *x, const struct row *r)
{
    return r->out == VOCAB && f->family->flags & QS_FOLDER_GEMMA3 && x->t->n_dims == 2 &&
           x->t->shape[0] > f->n.n_vocab &&
           x->t->shape[1] == f->n.n_embd;
}

static int add_found(struct qs_folder *f, const struct qs_folder_found *x, const struct row *r, bool bias,
                     const char *gguf, struct qs_err *e)
{
    const bool matrix = r->in != NONE && !bias;
    const uint64_t want[2] = { length_of(&f->n, r->out), matrix ? length_of(&f->n, r->in) : 1 };
    int rc = may_cut(f, x, r) ? QS_OK : check_shape(f, x, matrix ? 2 : 1, want, e);
    if (rc)
        return rc;
    struct qs_folder_tensor *t = new_tensor(f, 1, e);
    if (!t)
        return QS_ENOMEM;
    (void)snprintf(t->name, sizeof t->name, "%s", gguf);
    t->n_dims = matrix ? 2 : 1;
    t->ne[0] = matrix ? want[1] : want[0];
    t->ne[1] = matrix ? want[0] : 1;
    t->r.src[0] = x;
    t->r.rows = want[0];
    t->r.cols = want[1];
    t->r.src_rows = x->t->shape[0];
    if (f->family->flags & QS_FOLDER_PERMUTE)
        t->r.heads = r->flags & HEADS_Q ? f->n.n_head : r->flags & HEADS_KV ? f->n.n_head_kv : 0;
    if (r->flags & NORM && f->family->flags & QS_FOLDER_NORM_PLUS_1)
        t->r.add = 1;
    return settle(f, t, e);
}

static bool needs(const struct qs_folder *f, const struct row *r, bool bias)
{
    if (bias)
        return r->flags & BIAS_ALWAYS || (r->flags & BIAS_QKV && f->family->flags & QS_FOLDER_QKV_BIAS);
    return !(r->flags & OPTIONAL) || !qs_json_bool(qs_folder_value(f, "tie_word_embeddings"), true);
}

static int add_row(struct qs_folder *f, const struct row *r, const char *hf_prefix, const char *gguf_prefix,
                   struct qs_err *e)
{
    int rc = QS_OK;
    for (int bias = 0; bias <= (r->flags & BIAS ? 1 : 0) && !rc; bias++) {
        char hf[128], gguf[64];
        (void)snprintf(hf, sizeof hf, "%s%s%s", hf_prefix, r->hf, r->flags & BARE ? "" : bias ? ".bias" : ".weight");
        (void)snprintf(gguf, sizeof gguf, "%s%s%s", gguf_prefix, r->gguf, bias ? ".bias" : ".weight");
        const struct qs_folder_found *x = find(f, hf);
        if (x)
            rc = add_found(f, x, r, bias, gguf, e);
        else if (needs(f, r, bias))
            rc = missing(f, hf, e);
    }
    return rc;
}

static int add_rows(struct qs_folder *f, const struct row *row, size_t n, const char *hf_prefix,
                    const char *gguf_prefix, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; i < n && !rc; i++)
        if (has_row(f->family, &row[i]))
            rc = add_row(f, &row[i], hf_prefix, gguf_prefix, e);
    return rc;
}

/* ---- experts ----------------------------------------------------------------------------------------------------- */

enum matrix { GATE, UP, DOWN, MATRICES };
static const char *const gguf_matrix[MATRICES] = { "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps" };

/* The names of one expert's matrices. */
static const struct { unsigned flag; const char *room, *name[MATRICES]; } single[] = {
    { QS_FOLDER_MIXTRAL, "block_sparse_moe.experts", { "w1", "w3", "w2" } },
    { QS_FOLDER_QWEN_MOE, "mlp.experts", { "gate_proj", "up_proj", "down_proj" } },
};

struct experts { unsigned layer; uint64_t rows[MATRICES], cols[MATRICES]; };

static struct qs_folder_tensor *new_stack(struct qs_folder *f, const struct experts *x, enum matrix k, size_t n_src,
                                          struct qs_err *e)
{
    struct qs_folder_tensor *t = new_tensor(f, n_src, e);
    if (!t)
        return NULL;
    (void)snprintf(t->name, sizeof t->name, "blk.%u.%s.weight", x->layer, gguf_matrix[k]);
    t->n_dims = 3;
    t->ne[0] = t->r.cols = x->cols[k];
    t->ne[1] = t->r.rows = t->r.src_rows = x->rows[k];
    t->ne[2] = t->r.sheets = f->n.n_expert;
    return t;
}

/* One file tensor for each expert. */
static int add_single(struct qs_folder *f, const struct experts *x, enum matrix k, size_t naming, struct qs_err *e)
{
    const uint64_t want[2] = { x->rows[k], x->cols[k] };
    struct qs_folder_tensor *t = new_stack(f, x, k, (size_t)f->n.n_expert, e);
    if (!t)
        return QS_ENOMEM;
    for (size_t i = 0; i < t->r.n_src; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "model.layers.%u.%s.%zu.%s.weight", x->layer, single[naming].room, i,
                       single[naming].name[k]);
        t->r.src[i] = find(f, name);
        const int rc = t->r.src[i] ? check_shape(f, t->r.src[i], 2, want, e) : missing(f, name, e);
        if (rc)
            return rc;
    }
    return settle(f, t, e);
}

/* All experts in one file tensor, gate and up in one: behind each other, or (gpt-oss) row by row in turn,
 * transposed. */
static int add_stacked(struct qs_folder *f, const struct experts *x, enum matrix k, const struct qs_folder_found *src,
                       struct qs_err *e)
{
    const bool turned = f->family->flags & QS_FOLDER_GPT_OSS;
    const uint64_t rows = k == DOWN ? x->rows[k] : 2 * x->rows[k];
    const uint64_t want[3] = { f->n.n_expert, turned ? x->cols[k] : rows, turned ? rows : x->cols[k] };
    const int rc = check_shape(f, src, 3, want, e);
    struct qs_folder_tensor *t = rc ? NULL : new_stack(f, x, k, 1, e);
    if (!t)
        return rc ? rc : QS_ENOMEM;
    t->r.src[0] = src;
    t->r.src_rows = rows;
    t->r.transpose = turned;
    if (k != DOWN) {
        t->r.step = turned ? 2 : 1;
        t->r.first = k == GATE ? 0 : turned ? 1 : x->rows[k];
    }
    return settle(f, t, e);
}

/* gpt-oss as it is published: 16 bytes for 32 weights in one tensor, their scale in another. */
static int add_blocks(struct qs_folder *f, const struct experts *x, enum matrix k, const struct qs_folder_found *blocks,
                      const struct qs_folder_found *scales, struct qs_err *e)
{
    const uint64_t rows = k == DOWN ? x->rows[k] : 2 * x->rows[k];
    const uint64_t want[4] = { f->n.n_expert, rows, x->cols[k] / 32, 16 };
    if (x->cols[k] % 32)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %.120s: rows of %" PRIu64 " weights are no multiple of 32",
                       f->dir, blocks->name, x->cols[k]);
    int rc = check_shape(f, blocks, 4, want, e);
    if (!rc)
        rc = check_shape(f, scales, 3, want, e);
    if (!rc && (blocks->t->dtype->bits != 8 || scales->t->dtype->bits != 8))
        rc = qs_fail(e, QS_EFORMAT, "%s: tensors %.120s and its scales are no bytes", f->dir, blocks->name);
    struct qs_folder_tensor *t = rc ? NULL : new_stack(f, x, k, 2, e);
    if (!t)
        return rc ? rc : QS_ENOMEM;
    t->r.src[0] = blocks;
    t->r.src[1] = scales;
    t->r.how = QS_FOLDER_MXFP4;
    t->r.src_rows = rows;
    t->r.step = k == DOWN ? 1 : 2;
    t->r.first = k == UP;
    t->type = QS_MXFP4;
    t->size = f->n.n_expert * x->rows[k] * (x->cols[k] / 32 * 17);
    return QS_OK;
}

/* gpt-oss: a bias of each expert's rows; those of gate and up in turn. */
static int add_expert_bias(struct qs_folder *f, const struct experts *x, enum matrix k, struct qs_err *e)
{
    const uint64_t want[2] = { f->n.n_expert, k == DOWN ? x->rows[k] : 2 * x->rows[k] };
    char name[128];
    (void)snprintf(name, sizeof name, "model.layers.%u.mlp.experts.%s_proj_bias", x->layer,
                   k == DOWN ? "down" : "gate_up");
    const struct qs_folder_found *src = find(f, name);
    const int rc = src ? check_shape(f, src, 2, want, e) : missing(f, name, e);
    struct qs_folder_tensor *t = rc ? NULL : new_tensor(f, 1, e);
    if (!t)
        return rc ? rc : QS_ENOMEM;
    (void)snprintf(t->name, sizeof t->name, "blk.%u.%s.bias", x->layer, gguf_matrix[k]);
    t->n_dims = 2;
    t->ne[0] = t->r.rows = x->rows[k];
    t->ne[1] = t->r.sheets = f->n.n_expert;
    t->r.src[0] = src;
    t->r.cols = 1;
    t->r.src_rows = want[1];
    t->r.step = k == DOWN ? 1 : 2;
    t->r.first = k == UP;
    return settle(f, t, e);
}

static const struct qs_folder_found *find_in(struct qs_folder *f, const struct experts *x, const char *room,
                                             enum matrix k, const char *tail)
{
    char name[128];
    (void)snprintf(name, sizeof name, "model.layers.%u.%s.%s_proj%s", x->layer, room, k == DOWN ? "down" : "gate_up",
                   tail);
    return find(f, name);
}

static int add_matrix(struct qs_folder *f, const struct experts *x, enum matrix k, struct qs_err *e)
{
    static const char *const rooms[] = { "mlp.experts", "block_sparse_moe.experts" };
    for (size_t i = 0; i < 2; i++) {
        const struct qs_folder_found *all = find_in(f, x, rooms[i], k, "");
        if (!all)
            all = find_in(f, x, rooms[i], k, ".weight");
        if (all)
            return add_stacked(f, x, k, all, e);
    }
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (f->family->flags & single[i].flag)
            return add_single(f, x, k, i, e);
    const struct qs_folder_found *blocks = find_in(f, x, rooms[0], k, "_blocks");
    const struct qs_folder_found *scales = find_in(f, x, rooms[0], k, "_scales");
    if (blocks && scales)
        return add_blocks(f, x, k, blocks, scales, e);
    char name[128];
    (void)snprintf(name, sizeof name, "model.layers.%u.mlp.experts.%s_proj%s", x->layer, k == DOWN ? "down" : "gate_up",
                   blocks ? "_scales" : "_blocks");
    return missing(f, name, e);
}

static int add_experts(struct qs_folder *f, unsigned layer, struct qs_err *e)
{
    const uint64_t embd = f->n.n_embd, ff = f->n.n_ff_expert;
    const struct experts x = { .layer = layer, .rows = { ff, ff, embd }, .cols = { embd, embd, ff } };
    int rc = QS_OK;
    for (enum matrix k = GATE; k < MATRICES && !rc; k++) {
        rc = add_matrix(f, &x, k, e);
        if (!rc && f->family->flags & QS_FOLDER_GPT_OSS)
            rc = add_expert_bias(f, &x, k, e);
    }
    return rc;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* Constants that old checkpoints carry, and the head that is not used where it is tied. */
static bool not_needed(const struct qs_folder *f, const char *name)
{
    static const char *const tails[] = { ".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias" };
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (n > strlen(tails[i]) && strcmp(name + n - strlen(tails[i]), tails[i]) == 0)
            return true;
    return f->family->flags & QS_FOLDER_TIED && strcmp(name, "lm_head.weight") == 0;
}

static int refuse_strangers(const struct qs_folder *f, struct qs_err *e)
{
    for (size_t i = 0; i < f->n_found; i++)
        if (!f->found[i].used && !not_needed(f, f->found[i].name))
            return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %.120s: a %s of %" PRIu64 " layers "
                           "(config.json) has no such tensor", f->dir, f->found[i].name, f->family->hf, f->n.n_layer);
    return QS_OK;
}

int qs_folder_tensors(struct qs_folder *f, struct qs_err *e)
{
    int rc = add_rows(f, before, sizeof before / sizeof *before, "", "", e);
    for (unsigned l = 0; l < f->n.n_layer && !rc; l++) {
        char hf[40], gguf[24];
        (void)snprintf(hf, sizeof hf, "model.layers.%u.", l);
        (void)snprintf(gguf, sizeof gguf, "blk.%u.", l);
        rc = add_rows(f, block, sizeof block / sizeof *block, hf, gguf, e);
        if (!rc && f->family->flags & QS_FOLDER_EXPERTS)
            rc = add_experts(f, l, e);
    }
    if (!rc)
        rc = add_rows(f, after, sizeof after / sizeof *after, "", "", e);
    return rc ? rc : refuse_strangers(f, e);
}
