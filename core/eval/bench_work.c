/* bench_work.c - what a piece of work takes at least: bytes and operations, counted from the tensors of a model. */
#include "core/eval/bench.h"

#include "core/model/role.h"

/* Keys or values of a layer up to position pos. */
static double cache_bytes(const struct qs_layer_config *l, int type, size_t head, size_t pos)
{
    const size_t keys = l->window && l->window < pos + 1 ? l->window : pos + 1;
    return (double)keys * (double)qs_format_row_bytes(qs_format_by_id(type), l->n_kv * head);
}

void qs_bench_work_decode(const struct qs_engine *x, const struct qs_session_args *cache, size_t pos,
                          struct qs_bench_work *add)
{
    const struct qs_config *c = qs_engine_config(x);
    double bytes = (double)qs_engine_bytes_per_token(x);
    for (size_t l = 0; l < c->n_layer; l++)
        bytes += cache_bytes(&c->layer[l], cache->type_k, c->dk, pos)
                 + cache_bytes(&c->layer[l], cache->type_v, c->dv, pos);
    add->need[QS_LIMIT_READ] += bytes;
}

/* Rows that logits are made of: a head of its own, else the embeddings. */
static bool is_head(const struct qs_model *m, const struct qs_tensor *t)
{
    if (t->role == QS_ROLE_OUTPUT)
        return true;
    for (size_t i = 0; t->role == QS_ROLE_TOKEN_EMBD && i < m->n_tensors; i++)
        if (m->tensor[i].role == QS_ROLE_OUTPUT)
            return false;
    return t->role == QS_ROLE_TOKEN_EMBD;
}

void qs_bench_work_prefill(const struct qs_engine *x, size_t n, size_t heads, enum qs_precision p, bool bf16,
                           struct qs_bench_work *add)
{
    const struct qs_model *m = qs_engine_model(x);
    const struct qs_config *c = qs_engine_config(x);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const struct qs_weight *w = qs_engine_weight(x, i);
        const bool head = is_head(m, t);
        if (!w || w->rows < 2 || w->ne[1] < 2 || (t->layer < 0 && !head))
            continue; /* vectors; embeddings that are looked up */
        const double used = w->ne[2] > 1 ? (double)c->n_expert_used / (double)w->ne[2] : 1;
        const double weights = (double)(w->ne[0] * w->rows) * used;
        const enum qs_limit unit =
            t->role == QS_ROLE_FFN_ROUTER ? QS_LIMIT_F32 : qs_limit_unit(w->format->id, p == QS_FAST, bf16);
        add->need[unit] += 2 * weights * (double)(head ? heads : n);
    }
}
