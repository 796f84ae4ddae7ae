/* awq_fold.c - where the scales of an input can go, and putting them there.
 *
 * Names and shapes are those that the engine runs by (core/model/engine_slots.c). Only what is linear takes a scale: a
 * norm's weight, a row of v (attention is a weighted mean of values), a row of up (the unbent half of a GLU).
 * Refuses, as an answer and not as a failure, inputs that nothing linear stands before. Owns nothing.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq.h"

#define NONE SIZE_MAX

/* Index of a tensor that the forward pass uses; NONE. */
static size_t used(const struct qs_engine *x, const char *name)
{
    const struct qs_model *m = qs_engine_model(x);
    const struct qs_tensor *t = qs_model_find(m, name);
    const size_t i = t ? qs_model_index(m, t) : NONE;
    return t && qs_engine_weight(x, i) ? i : NONE;
}

static size_t of_block(const struct qs_engine *x, int layer, const char *rest)
{
    char name[96];
    (void)snprintf(name, sizeof name, "blk.%d.%s", layer, rest);
    return used(x, name);
}

static void divide(struct qs_awq_fold *f, size_t tensor, size_t first, bool vector)
{
    if (tensor != NONE)
        f->before[f->n_before++] = (struct qs_awq_place){ tensor, first, vector };
}

static void multiply(const struct qs_engine *x, struct qs_awq_fold *f, int layer, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t t = of_block(x, layer, names[i]);
        if (t != NONE)
            f->after[f->n_after++] = t;
    }
}

/* ---- behind a norm ---- */

static void behind_norm(const struct qs_engine *x, struct qs_awq_fold *f, const char *const *names, size_t n, bool attn)
{
    const bool moved = !attn && (qs_engine_config(x)->arch->flags & QS_ARCH_FFN_NORM_IS_POST_ATTN) != 0;
    const char *norm = attn ? "attn_norm.weight" : moved ? "post_attention_norm.weight" : "ffn_norm.weight";
    const int layer = f->input->layer;
    multiply(x, f, layer, names, n);
    divide(f, of_block(x, layer, norm), 0, true);
    if (f->n_before == 0)
        f->refused = "no norm stands before this input that scales could be folded into: the block reads the hidden "
                     "state as it is";
}

static void fold_head(const struct qs_engine *x, struct qs_awq_fold *f)
{
    const size_t head = used(x, "output.weight");
    if (head == NONE) {
        f->refused = "the head is the token embedding: scaling its columns would change the embedding too";
        return;
    }
    f->after[f->n_after++] = head;
    divide(f, used(x, "output_norm.weight"), 0, true);
}

/* ---- behind a matrix ---- */

static void fold_attn_out(const struct qs_engine *x, struct qs_awq_fold *f)
{
    static const char *const names[] = { "attn_output.weight" };
    const struct qs_config *c = qs_engine_config(x);
    const int layer = f->input->layer;
    const struct qs_layer_config *l = &c->layer[layer];
    const size_t fused = of_block(x, layer, "attn_qkv.weight"), first = (l->n_head + l->n_kv) * c->dk;
    multiply(x, f, layer, names, 1);
    divide(f, fused, first, false);
    divide(f, of_block(x, layer, "attn_v.weight"), 0, false);
    divide(f, of_block(x, layer, "attn_qkv.bias"), first, true);
    divide(f, of_block(x, layer, "attn_v.bias"), 0, true);
    f->heads = l->n_head;
    f->kv_heads = l->n_kv;
}

/* kind: "", "_shexp", "_exps". */
static void fold_down(const struct qs_engine *x, struct qs_awq_fold *f, const char *kind)
{
    const struct qs_model *m = qs_engine_model(x);
    const int layer = f->input->layer;
    char name[64];
    if (qs_engine_config(x)->arch->glu == QS_GLU_OAI) {
        f->refused = "the gated unit clamps what comes of up: no scale passes through it unchanged";
        return;
    }
    (void)snprintf(name, sizeof name, "ffn_down%s.weight", kind);
    const char *const down[] = { name };
    multiply(x, f, layer, down, 1);
    char both_name[64], up_name[64], bias_name[64];
    (void)snprintf(both_name, sizeof both_name, "ffn_gate_up%s.weight", kind);
    (void)snprintf(up_name, sizeof up_name, "ffn_up%s.weight", kind);
    (void)snprintf(bias_name, sizeof bias_name, "ffn_up%s.bias", kind);
    const size_t both = of_block(x, layer, both_name), up = both != NONE ? both : of_block(x, layer, up_name);
    /* One matrix for both: rows of the gate, then those of up. */
    const size_t first = up != NONE && m->tensor[up].ne[1] == 2 * f->cols ? f->cols : 0;
    divide(f, up, first, false);
    divide(f, of_block(x, layer, bias_name), first, true);
}

static bool has_experts(const struct qs_engine *x, int layer)
{
    return of_block(x, layer, "ffn_gate_inp.weight") != NONE;
}

int qs_awq_fold_of(const struct qs_engine *x, const struct qs_input *input, struct qs_awq_fold *out, struct qs_err *e)
{
    static const char *const attn[] = { "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_qkv.weight" };
    static const char *const dense[] = { "ffn_gate.weight", "ffn_up.weight" };
    static const char *const expert[] = { "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "ffn_gate_shexp.weight",
                                          "ffn_up_shexp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight",
                                          "ffn_gate_up_exps.weight" };
    *out = (struct qs_awq_fold){ .input = input, .cols = input->cols, .sets = 1, .heads = 1, .kv_heads = 1 };
    switch (input->point) {
    case QS_POINT_ATTN_IN: behind_norm(x, out, attn, 4, true); break;
    case QS_POINT_FFN_IN:
    case QS_POINT_EXPERTS_IN:
        if (has_experts(x, input->layer))
            behind_norm(x, out, expert, 7, false);
        else
            behind_norm(x, out, dense, 2, false);
        break;
    case QS_POINT_ATTN_OUT: fold_attn_out(x, out); break;
    case QS_POINT_FFN_DOWN: fold_down(x, out, ""); break;
    case QS_POINT_SHARED_DOWN: fold_down(x, out, "_shexp"); break;
    case QS_POINT_EXPERTS_DOWN:
        out->sets = input->experts;
        fold_down(x, out, "_exps");
        break;
    case QS_POINT_HEAD: fold_head(x, out); break;
    default: return qs_fail(e, QS_EINVAL, "no matrix of layer %d reads %s", input->layer, qs_point_name(input->point));
    }
    if (!out->refused && (out->n_before == 0 || out->n_after == 0))
        return qs_fail(e, QS_EINVAL, "%s has nothing at %s of layer %d that scales could be folded into",
                       qs_engine_model(x)->path, qs_point_name(input->point), input->layer);
    return QS_OK;
}

/* ---- putting them there ---- */

void qs_awq_scale_columns(float *w, size_t rows, size_t cols, const float *scale)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < cols; j++)
            w[r * cols + j] *= scale[j];
}

/* The column of the output's input that row `row` of v makes first: of the first head on its KV head. */
static size_t column_of(size_t row, size_t rows, size_t heads, size_t kv_heads)
{
    const size_t dim = rows / kv_heads;
    return row / dim * (heads / kv_heads) * dim + row % dim;
}

void qs_awq_divide_rows(float *w, size_t rows, size_t cols, const float *scale, size_t heads, size_t kv_heads)
{
    for (size_t r = 0; r < rows; r++) {
        const float s = scale[column_of(r, rows, heads, kv_heads)];
        for (size_t j = 0; j < cols; j++)
            w[r * cols + j] /= s;
    }
}

void qs_awq_fold_apply(const struct qs_awq_fold *f, const struct qs_model *m, size_t tensor, const float *scale,
                       float *w)
{
    const struct qs_tensor *t = &m->tensor[tensor];
    const size_t cols = (size_t)t->ne[0], rows = (size_t)t->ne[1], sets = (size_t)t->ne[2];
    for (size_t i = 0; i < f->n_after; i++)
        for (size_t k = 0; f->after[i] == tensor && k < sets; k++)
            qs_awq_scale_columns(w + k * rows * cols, rows, cols, scale + (f->sets > 1 ? k * f->cols : 0));
    const size_t divided = f->cols / f->heads * f->kv_heads;
    for (size_t i = 0; i < f->n_before; i++) {
        const struct qs_awq_place *p = &f->before[i];
        const size_t n = p->vector ? rows : sets, wide = p->vector ? 1 : cols, part = p->vector ? cols : rows * cols;
        for (size_t k = 0; p->tensor == tensor && k < n; k++)
            qs_awq_divide_rows(w + k * part + p->first * wide, divided, wide, scale + (f->sets > 1 ? k * f->cols : 0),
                               f->heads, f->kv_heads);
    }
}

static int fold_one(struct qs_engine *x, const struct qs_awq_fold *f, size_t tensor, const float *scale,
                    struct qs_err *e)
{
    const struct qs_weight *w = qs_engine_weight(x, tensor);
    struct qs_weight *made;
    struct qs_parts parts;
    int rc = qs_weight_heap(qs_format_by_id(QS_F32), w->ne, &made, &parts, e);
    if (rc != QS_OK)
        return rc;
    float *to = (float *)(void *)parts.p[0];
    rc = qs_weight_decode(w, 0, w->rows, to, e);
    if (rc == QS_OK) {
        qs_awq_fold_apply(f, qs_engine_model(x), tensor, scale, to);
        rc = qs_engine_set(x, tensor, made, e);
    }
    qs_weight_unref(made);
    return rc;
}

int qs_awq_fold_engine(struct qs_engine *x, const struct qs_awq_fold *f, const float *scale, struct qs_err *e)
{
    if (f->refused)
        return qs_fail(e, QS_EINVAL, "%s of layer %d cannot be scaled: %s", qs_point_name(f->input->point),
                       f->input->layer, f->refused);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < f->n_before; i++)
        rc = fold_one(x, f, f->before[i].tensor, scale, e);
    for (size_t i = 0; rc == QS_OK && i < f->n_after; i++)
        rc = fold_one(x, f, f->after[i], scale, e);
    return rc;
}
