/* forward.c - the forward pass of decoder models, from the embedding to the logits. Records operations, computes nothing.
 *
 * One pass serves every architecture of arch.c: blocks of attention and a gated feed-forward part (or experts), each with
 * a norm before or after it, added to the hidden state. Shapes in comments: n tokens, E = n_embd, H heads of dk (queries, keys)
 * and dv (values) floats, K heads of keys and values, F = width of the feed-forward part.
 */
#include "core/model/forward.h"

static const struct qs_slot_place *slot(const struct qs_forward *f, size_t layer, enum qs_slot s)
{
    return qs_engine_place(f->x, layer, s);
}

static bool has(const struct qs_forward *f, size_t layer, enum qs_slot s) { return slot(f, layer, s)->weight != NULL; }

static struct qs_mat mat(const struct qs_slot_place *p)
{
    const struct qs_weight *w = p->weight;
    if (!w)
        return (struct qs_mat){ 0 };
    const uint8_t *copy = qs_weight_copy(w);
    const struct qs_const_parts parts = copy ? (struct qs_const_parts){ { copy } } : w->parts;
    return (struct qs_mat){ w->format, parts, (size_t)w->ne[1], (size_t)w->ne[0], (size_t)w->ne[2],
                            qs_weight_panels(w) };
}

static struct qs_view shifted(struct qs_view v, size_t floats)
{
    v.at += floats;
    return v;
}

static int record(const struct qs_forward *f, const struct qs_op *op, struct qs_err *e)
{
    return f->x->device->record(f->x->device, op, e);
}

/* ---- small steps ---- */

static int norm(const struct qs_forward *f, struct qs_view in, struct qs_view out, size_t groups, size_t dim,
                const float *weight, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const struct qs_op op = { .kind = QS_OP_NORM, .n = f->n, .u.norm = { c->norm, in, out, groups, dim, weight, NULL,
                                                                         c->eps } };
    return record(f, &op, e);
}

static int add(const struct qs_forward *f, struct qs_view y, struct qs_view gate, float scale, struct qs_view to,
               struct qs_err *e)
{
    const struct qs_op op = { .kind = QS_OP_ADD, .n = f->n,
                              .u.add = { to, y, gate, f->x->config->n_embd, scale } };
    return record(f, &op, e);
}

/* Up to three matrices of a block on one input; those that are not there are left out. */
struct product { enum qs_slot s, bias; struct qs_view out; };

static int linear(const struct qs_forward *f, size_t layer, struct qs_view in, const struct product *p, size_t n,
                  struct qs_err *e)
{
    struct qs_op op = { .kind = QS_OP_LINEAR, .n = f->n, .u.linear = { .precision = f->x->args.precision, .in = in } };
    for (size_t i = 0; i < n; i++) {
        if (!has(f, layer, p[i].s))
            continue;
        const size_t to = op.u.linear.n_mats++;
        op.u.linear.mat[to] = mat(slot(f, layer, p[i].s));
        op.u.linear.bias[to] = p[i].bias < QS_SLOTS ? slot(f, layer, p[i].bias)->vec : NULL;
        op.u.linear.out[to] = p[i].out;
    }
    return record(f, &op, e);
}

size_t qs_engine_point_cols(const struct qs_engine *x, int layer, enum qs_point point)
{
    const struct qs_config *c = x->config;
    if (layer < 0 || (size_t)layer > c->n_layer || ((size_t)layer == c->n_layer) != (point == QS_POINT_HEAD))
        return 0;
    const size_t l = (size_t)layer;
    const bool routed = point != QS_POINT_HEAD && qs_engine_place(x, l, QS_SLOT_ROUTER)->weight;
    switch (point) {
    case QS_POINT_ATTN_OUT: return c->layer[l].n_head * c->dv;
    case QS_POINT_FFN_DOWN: return routed ? 0 : c->layer[l].ff;
    case QS_POINT_SHARED_DOWN: return qs_engine_place(x, l, QS_SLOT_DOWN_SHARED)->weight ? c->ff_shared : 0;
    case QS_POINT_ATTN_IN:
    case QS_POINT_FFN_IN:
    case QS_POINT_BLOCK:
    case QS_POINT_HEAD: return c->n_embd;
    case QS_POINT_EXPERTS_IN: return routed ? c->n_embd : 0;
    case QS_POINT_EXPERTS_DOWN: return routed ? c->ff_expert : 0;
    case QS_POINTS: break;
    }
    return 0;
}

static int tap(const struct qs_forward *f, size_t layer, enum qs_point point, struct qs_view in, size_t cols, size_t n,
               struct qs_err *e)
{
    for (size_t i = 0; i < f->n_taps; i++) {
        struct qs_tap_point *t = &f->tap[i];
        if (t->layer < 0 || (size_t)t->layer != layer || t->point != point)
            continue;
        const struct qs_op op = { .kind = QS_OP_TAP, .n = n, .u.tap = { in, cols, &t->tap } };
        int rc = record(f, &op, e);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

/* The routes that somebody wants to see: session.c lets one tap to each such point. */
static struct qs_tap *routes(const struct qs_forward *f, size_t layer, enum qs_point point)
{
    for (size_t i = 0; i < f->n_taps; i++)
        if (f->tap[i].layer >= 0 && (size_t)f->tap[i].layer == layer && f->tap[i].point == point)
            return &f->tap[i].tap;
    return NULL;
}

/* ---- attention ---- */

/* Queries and keys: norm, RoPE, rotation; then keys and values go into the cache. q: n x H dk, k: n x K dk, v: n x K dv. */
static int place(const struct qs_forward *f, size_t layer, struct qs_view q, struct qs_view k, struct qs_view v,
                 struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const struct qs_layer_config *l = &c->layer[layer];
    const bool rows = (c->arch->flags & QS_ARCH_QK_NORM_ROW) != 0;
    const struct { struct qs_view x; size_t heads; enum qs_slot norm; } qk[] = { { q, l->n_head, QS_SLOT_Q_NORM },
                                                                                 { k, l->n_kv, QS_SLOT_K_NORM } };
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < 2; i++) {
        const size_t heads = qk[i].heads;
        if (has(f, layer, qk[i].norm))
            rc = norm(f, qk[i].x, qk[i].x, rows ? 1 : heads, rows ? heads * c->dk : c->dk, slot(f, layer, qk[i].norm)->vec,
                      e);
        const struct qs_op rope = { .kind = QS_OP_ROPE, .n = f->n,
                                    .u.rope = { c->arch->rope, qk[i].x, f->b->angle[l->rope_set], heads, c->dk,
                                                c->rope[l->rope_set].n_rot } };
        if (rc == QS_OK && l->rope)
            rc = record(f, &rope, e);
        const struct qs_op rotate = { .kind = QS_OP_ROTATE, .n = f->n, .u.rotate = { qk[i].x, heads, c->dk, f->rotate_k } };
        if (rc == QS_OK && f->rotate_k)
            rc = record(f, &rotate, e);
    }
    const struct qs_op rotate = { .kind = QS_OP_ROTATE, .n = f->n, .u.rotate = { v, l->n_kv, c->dv, f->rotate_v } };
    if (rc == QS_OK && f->rotate_v)
        rc = record(f, &rotate, e);
    const struct qs_op append = { .kind = QS_OP_APPEND, .n = f->n,
                                  .u.append = { k, v, f->kc[layer], f->vc[layer], l->n_kv, c->dk, c->dv, f->pos } };
    return rc == QS_OK ? record(f, &append, e) : rc;
}

/* y = O attention(h): n x E. */
static int attention(const struct qs_forward *f, size_t layer, struct qs_view h, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const struct qs_layer_config *l = &c->layer[layer];
    const struct qs_forward_buffers *b = f->b;
    const struct qs_view q = b->qkv, k = shifted(q, l->n_head * c->dk), v = shifted(k, l->n_kv * c->dk);
    const struct product in[] = { { QS_SLOT_Q, QS_SLOT_Q_BIAS, q }, { QS_SLOT_K, QS_SLOT_K_BIAS, k },
                                  { QS_SLOT_V, QS_SLOT_V_BIAS, v } };
    const struct product fused = { QS_SLOT_QKV, QS_SLOT_QKV_BIAS, q };
    const struct product out = { QS_SLOT_O, QS_SLOT_O_BIAS, b->y };
    int rc = tap(f, layer, QS_POINT_ATTN_IN, h, c->n_embd, f->n, e);
    if (rc == QS_OK)
        rc = has(f, layer, QS_SLOT_QKV) ? linear(f, layer, h, &fused, 1, e) : linear(f, layer, h, in, 3, e);
    if (rc == QS_OK)
        rc = place(f, layer, q, k, v, e);
    const struct qs_op attend = { .kind = QS_OP_ATTEND, .n = f->n,
                                  .u.attend = { q, b->a, f->kc[layer], f->vc[layer], l->n_head, l->n_kv, c->dk, c->dv,
                                                f->pos, l->window, c->attn_scale, c->attn_softcap,
                                                slot(f, layer, QS_SLOT_SINKS)->vec } };
    if (rc == QS_OK)
        rc = record(f, &attend, e);
    const struct qs_op back = { .kind = QS_OP_ROTATE, .n = f->n, .u.rotate = { b->a, l->n_head, c->dv, f->rotate_v } };
    if (rc == QS_OK && f->rotate_v)
        rc = record(f, &back, e);
    if (rc == QS_OK)
        rc = tap(f, layer, QS_POINT_ATTN_OUT, b->a, l->n_head * c->dv, f->n, e);
    return rc == QS_OK ? linear(f, layer, b->a, &out, 1, e) : rc;
}

/* ---- feed-forward ---- */

static int glu(const struct qs_forward *f, size_t width, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const struct qs_view gate = f->b->ff;
    const struct qs_op op = { .kind = QS_OP_GLU, .n = f->n,
                              .u.glu = { c->arch->glu, gate, shifted(gate, width), gate, width, c->glu_alpha,
                                         c->glu_limit } };
    return record(f, &op, e);
}

/* out = down(glu(gate h, up h)): n x E. */
static int dense(const struct qs_forward *f, size_t layer, struct qs_view h, struct qs_view out, bool shared,
                 struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const size_t width = shared ? c->ff_shared : c->layer[layer].ff;
    const bool fused = !shared && !has(f, layer, QS_SLOT_GATE); /* one matrix: gate rows, then up rows */
    const struct qs_view gate = f->b->ff, up = fused ? gate : shifted(gate, width);
    const struct product in[] = { { shared ? QS_SLOT_GATE_SHARED : QS_SLOT_GATE, shared ? QS_SLOTS : QS_SLOT_GATE_BIAS, gate },
                                  { shared ? QS_SLOT_UP_SHARED : QS_SLOT_UP, shared ? QS_SLOTS : QS_SLOT_UP_BIAS, up } };
    const struct product down = { shared ? QS_SLOT_DOWN_SHARED : QS_SLOT_DOWN, shared ? QS_SLOTS : QS_SLOT_DOWN_BIAS, out };
    int rc = linear(f, layer, h, in, 2, e);
    if (rc == QS_OK)
        rc = glu(f, width, e);
    if (rc == QS_OK)
        rc = tap(f, layer, shared ? QS_POINT_SHARED_DOWN : QS_POINT_FFN_DOWN, gate, width, f->n, e);
    return rc == QS_OK ? linear(f, layer, gate, &down, 1, e) : rc;
}

/* The shared expert, weighted by a sigmoid of its own router where there is one: y += ... */
static int shared_expert(const struct qs_forward *f, size_t layer, struct qs_view h, struct qs_err *e)
{
    const struct qs_forward_buffers *b = f->b;
    const struct product router = { QS_SLOT_SHARED_ROUTER, QS_SLOTS, b->g };
    const bool gated = has(f, layer, QS_SLOT_SHARED_ROUTER);
    int rc = dense(f, layer, h, b->z, true, e);
    if (rc == QS_OK && gated)
        rc = linear(f, layer, h, &router, 1, e);
    return rc == QS_OK ? add(f, b->z, gated ? b->g : (struct qs_view){ 0 }, 1, b->y, e) : rc;
}

static int experts(const struct qs_forward *f, size_t layer, struct qs_view h, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const bool fused = has(f, layer, QS_SLOT_GATE_UP_EXPS);
    const struct qs_op op = {
        .kind = QS_OP_EXPERTS, .n = f->n,
        .u.experts = { .precision = f->x->args.precision, .in = h, .out = f->b->y,
                       .router = mat(slot(f, layer, QS_SLOT_ROUTER)),
                       .gate = mat(slot(f, layer, QS_SLOT_GATE_EXPS)),
                       .up = mat(slot(f, layer, fused ? QS_SLOT_GATE_UP_EXPS : QS_SLOT_UP_EXPS)),
                       .down = mat(slot(f, layer, QS_SLOT_DOWN_EXPS)),
                       .router_bias = slot(f, layer, QS_SLOT_ROUTER_BIAS)->vec,
                       .gate_bias = slot(f, layer, QS_SLOT_GATE_EXPS_BIAS)->vec,
                       .up_bias = slot(f, layer, QS_SLOT_UP_EXPS_BIAS)->vec,
                       .down_bias = slot(f, layer, QS_SLOT_DOWN_EXPS_BIAS)->vec,
                       .n_expert = c->n_expert, .n_used = c->n_expert_used, .cols = c->n_embd, .ff = c->ff_expert,
                       .softmax_after = (c->arch->flags & QS_ARCH_EXPERT_SOFTMAX_AFTER) != 0,
                       .normalise = c->expert_normalise, .scale = c->expert_scale,
                       .glu = c->arch->glu, .alpha = c->glu_alpha, .limit = c->glu_limit,
                       .tap_in = routes(f, layer, QS_POINT_EXPERTS_IN),
                       .tap_down = routes(f, layer, QS_POINT_EXPERTS_DOWN) } };
    int rc = record(f, &op, e);
    return rc == QS_OK && has(f, layer, QS_SLOT_DOWN_SHARED) ? shared_expert(f, layer, h, e) : rc;
}

/* ---- the block ---- */

/* What a part of the block reads: the hidden state, normalised where there is a norm before it. */
static int part_input(const struct qs_forward *f, size_t layer, enum qs_slot weight, struct qs_view *h, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    *h = f->b->x;
    if (!has(f, layer, weight))
        return QS_OK;
    *h = f->b->h;
    return norm(f, f->b->x, f->b->h, 1, c->n_embd, slot(f, layer, weight)->vec, e);
}

/* x += scale * (norm of) y. */
static int part_result(const struct qs_forward *f, size_t layer, enum qs_slot weight, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    int rc = QS_OK;
    if (has(f, layer, weight))
        rc = norm(f, f->b->y, f->b->y, 1, c->n_embd, slot(f, layer, weight)->vec, e);
    return rc == QS_OK ? add(f, f->b->y, (struct qs_view){ 0 }, c->residual_scale, f->b->x, e) : rc;
}

int qs_forward_attn(const struct qs_forward *f, size_t layer, struct qs_err *e)
{
    struct qs_view h;
    int rc = part_input(f, layer, QS_SLOT_ATTN_NORM, &h, e);
    if (rc == QS_OK)
        rc = attention(f, layer, h, e);
    return rc == QS_OK ? part_result(f, layer, QS_SLOT_ATTN_POST_NORM, e) : rc;
}

int qs_forward_ffn(const struct qs_forward *f, size_t layer, struct qs_err *e)
{
    struct qs_view h;
    int rc = part_input(f, layer, QS_SLOT_FFN_NORM, &h, e);
    if (rc == QS_OK)
        rc = tap(f, layer, QS_POINT_FFN_IN, h, f->x->config->n_embd, f->n, e);
    if (rc == QS_OK)
        rc = has(f, layer, QS_SLOT_ROUTER) ? experts(f, layer, h, e) : dense(f, layer, h, f->b->y, false, e);
    if (rc == QS_OK)
        rc = part_result(f, layer, QS_SLOT_FFN_POST_NORM, e);
    return rc == QS_OK ? tap(f, layer, QS_POINT_BLOCK, f->b->x, f->x->config->n_embd, f->n, e) : rc;
}

int qs_forward_block(const struct qs_forward *f, size_t layer, struct qs_err *e)
{
    int rc = qs_forward_attn(f, layer, e);
    return rc == QS_OK ? qs_forward_ffn(f, layer, e) : rc;
}

/* ---- the ends ---- */

int qs_forward_embed(const struct qs_forward *f, const int32_t *token, struct qs_err *e)
{
    const struct qs_op op = { .kind = QS_OP_EMBED, .n = f->n,
                              .u.embed = { token, mat(slot(f, 0, QS_SLOT_EMBED)), f->x->config->embed_scale, f->b->x } };
    return record(f, &op, e);
}

int qs_forward_last_norm(const struct qs_forward *f, size_t first, size_t n, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    struct qs_forward some = *f;
    some.n = n;
    int rc = norm(&some, shifted(f->b->x, first * f->b->x.stride), f->b->h, 1, c->n_embd,
                  slot(f, 0, QS_SLOT_OUTPUT_NORM)->vec, e);
    return rc == QS_OK ? tap(f, c->n_layer, QS_POINT_HEAD, f->b->h, c->n_embd, n, e) : rc;
}

int qs_forward_head(const struct qs_forward *f, size_t first, size_t n, struct qs_err *e)
{
    const struct qs_config *c = f->x->config;
    const struct qs_slot_place *own = slot(f, 0, QS_SLOT_OUTPUT);
    int rc = qs_forward_last_norm(f, first, n, e);
    const struct qs_op head = { .kind = QS_OP_LINEAR, .n = n,
                                .u.linear = { .precision = f->x->args.precision, .in = f->b->h, .n_mats = 1,
                                              .mat = { mat(own->weight ? own : slot(f, 0, QS_SLOT_EMBED)) },
                                              .out = { f->b->logits } } };
    if (rc == QS_OK)
        rc = record(f, &head, e);
    const struct qs_op cap = { .kind = QS_OP_SOFTCAP, .n = n,
                               .u.softcap = { f->b->logits, c->n_vocab, c->final_softcap, c->logit_scale } };
    if (rc == QS_OK && (c->final_softcap > 0 || c->logit_scale > 1 || c->logit_scale < 1))
        rc = record(f, &cap, e);
    return rc;
}
