/* spm.c - SentencePiece's BPE: of all neighbours whose joined text is a token, the pair with the best score becomes one
 * symbol (the left one first where scores are equal), until none is left. Characters that are no token become bytes.
 * Also the queue of merges and the merging itself, which bpe.c shares. Owns the working memory in struct qs_tokenizing.
 */
#include "base/mem.h"
#include "core/text/vocab_internal.h"

/* Whether a comes before b: higher score or lower rank, then further left. */
static bool before(const struct qs_merge_try *a, const struct qs_merge_try *b)
{
    if (a->score > b->score || a->score < b->score)
        return a->score > b->score;
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return a->left < b->left;
}

bool qs_heap_push(struct qs_tokenizing *t, struct qs_merge_try m)
{
    if (!qs_grow(&t->heap, &t->heap_cap, t->n_heap + 1, sizeof *t->heap))
        return false;
    size_t at = t->n_heap++;
    while (at > 0 && before(&m, &t->heap[(at - 1) / 2])) {
        t->heap[at] = t->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    t->heap[at] = m;
    return true;
}

static bool heap_pop(struct qs_tokenizing *t, struct qs_merge_try *out)
{
    if (t->n_heap == 0)
        return false;
    *out = t->heap[0];
    const struct qs_merge_try last = t->heap[--t->n_heap];
    size_t at = 0, n = t->n_heap;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(&t->heap[child + 1], &t->heap[child]))
            child++;
        if (!before(&t->heap[child], &last))
            break;
        t->heap[at] = t->heap[child];
    }
    if (n)
        t->heap[at] = last;
    return true;
}

bool qs_merge_all(struct qs_tokenizing *t, const char *text, qs_try_pair_fn *try_pair)
{
    struct qs_merge_try m;
    t->n_heap = 0;
    for (size_t i = 1; i < t->n_symbols; i++)
        if (!try_pair(t, text, (int32_t)i - 1, (int32_t)i))
            return false;
    while (heap_pop(t, &m)) {
        struct qs_symbol *left = &t->symbol[m.left], *right = &t->symbol[m.right];
        if (left->len == 0 || right->len == 0 || left->len + right->len != m.len)
            continue; /* one of them has become part of something else since */
        left->len = m.len;
        left->part = m.result;
        right->len = 0;
        left->next = right->next;
        if (right->next >= 0)
            t->symbol[right->next].prev = m.left;
        if (!try_pair(t, text, left->prev, m.left) || !try_pair(t, text, m.left, left->next))
            return false;
    }
    return true;
}

/* Queues the merge of two neighbours where there is a token for it. */
static bool try_pair(struct qs_tokenizing *t, const char *text, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return true;
    const struct qs_symbol *a = &t->symbol[left], *b = &t->symbol[right];
    size_t len = (size_t)a->len + b->len;
    if (len > t->v->longest)
        return true;
    int32_t id = qs_textmap_get(&t->v->ids, text + a->at, len);
    if (id < 0)
        return true;
    return qs_heap_push(t, (struct qs_merge_try){ .score = t->v->data->token[id].score, .left = left, .right = right,
                                                  .result = id, .len = (uint32_t)len });
}

static int out_of_memory(struct qs_tokenizing *t)
{
    return qs_fail_mem(t->e, t->n_heap * sizeof *t->heap + t->n_symbols * sizeof *t->symbol, "tokenizing a text");
}

/* One symbol for each character. */
static bool characters(struct qs_tokenizing *t, const char *text, size_t n)
{
    t->n_symbols = 0;
    for (size_t at = 0; at < n;) {
        size_t end = at + 1;
        while (end < n && ((unsigned char)text[end] & 0xC0) == 0x80)
            end++;
        if (!qs_grow(&t->symbol, &t->symbol_cap, t->n_symbols + 1, sizeof *t->symbol))
            return false;
        int32_t i = (int32_t)t->n_symbols++;
        t->symbol[i] = (struct qs_symbol){ i - 1, end < n ? i + 1 : -1, -1, (uint32_t)at, (uint32_t)(end - at) };
        at = end;
    }
    return true;
}

int qs_spm_tokenize(struct qs_tokenizing *t, const char *text, size_t n)
{
    t->n_heap = 0;
    if (n == 0)
        return QS_OK;
    if (!characters(t, text, n))
        return out_of_memory(t);
    if (!qs_merge_all(t, text, try_pair))
        return out_of_memory(t);
    for (int32_t i = 0; i >= 0; i = t->symbol[i].next) {
        const struct qs_symbol *s = &t->symbol[i];
        int32_t id = s->part >= 0 ? s->part : qs_textmap_get(&t->v->ids, text + s->at, s->len);
        int rc = id >= 0 ? qs_tokens_add(t->out, id, t->e) : QS_OK;
        for (uint32_t k = 0; id < 0 && rc == QS_OK && k < s->len; k++) {
            int32_t byte = t->v->byte_id[(unsigned char)text[s->at + k]];
            if (byte >= 0)
                rc = qs_tokens_add(t->out, byte, t->e);
        }
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}
