/* bpe.c - BPE with merges by rank, over bytes in GPT-2's alphabet or, for the raw kind, over UTF-8 characters.
 *
 * Owns the merges in numbers: the texts of all merges are numbered once ("parts"), so that merging looks up pairs of
 * numbers. Words come from the pre-tokenizer (pre.h). A symbol that is no token is given byte by byte, as far as the
 * bytes have tokens.
 */
#include <string.h>

#include "base/mem.h"
#include "core/text/vocab_internal.h"

void qs_bpe_free(struct qs_bpe *b)
{
    qs_free(b->pair);
    qs_free(b->token);
    qs_free(b->texts);
    qs_textmap_free(&b->parts);
    *b = (struct qs_bpe){ 0 };
}

static size_t pair_home(const struct qs_bpe *b, uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key >> 32) & (b->room - 1);
}

static struct qs_bpe_pair *pair_of(const struct qs_bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = pair_home(b, key);
    while (b->pair[at].key != key && b->pair[at].key != UINT64_MAX)
        at = (at + 1) & (b->room - 1);
    return &b->pair[at];
}

/* --- building ----------------------------------------------------------------------------------------------------- */

/* The number of a part's text, a new one where it has none yet; -1: out of memory. */
static int32_t part_of(struct qs_vocab *v, size_t *cap, const char *text, size_t n)
{
    struct qs_bpe *b = &v->bpe;
    int32_t part = qs_textmap_put(&b->parts, text, n, (int32_t)b->n_parts);
    if (part != (int32_t)b->n_parts)
        return part;
    if (!qs_grow(&b->token, cap, b->n_parts + 1, sizeof *b->token))
        return -1;
    b->token[b->n_parts++] = qs_textmap_get(&v->ids, text, n);
    return part;
}

static int add_merge(struct qs_vocab *v, size_t *cap, size_t rank, size_t *used)
{
    struct qs_bpe *b = &v->bpe;
    const struct qs_vocab_merge *m = &v->data->merge[rank];
    const char *blank = m->len > 1 ? memchr(m->text + 1, ' ', m->len - 1) : NULL;
    if (!blank)
        return QS_OK; /* no merge of anything */
    size_t left_len = (size_t)(blank - m->text), right_len = m->len - left_len - 1;
    int32_t left = part_of(v, cap, m->text, left_len);
    int32_t right = left < 0 ? -1 : part_of(v, cap, blank + 1, right_len);
    char *joined = b->texts + *used;
    memcpy(joined, m->text, left_len);
    memcpy(joined + left_len, blank + 1, right_len);
    int32_t result = right < 0 ? -1 : part_of(v, cap, joined, left_len + right_len);
    if (result < 0)
        return QS_ENOMEM;
    *used += left_len + right_len;
    struct qs_bpe_pair *p = pair_of(b, left, right);
    if (p->key == UINT64_MAX) /* the first of equal merges counts */
        *p = (struct qs_bpe_pair){ (uint64_t)(uint32_t)left << 32 | (uint32_t)right, (uint32_t)rank, result };
    return QS_OK;
}

static void find_bytes(struct qs_vocab *v)
{
    struct qs_bpe *b = &v->bpe;
    for (unsigned i = 0; i < 256; i++) {
        char letter[2];
        unsigned n = qs_byte_letter((unsigned char)i, letter);
        b->byte_part[i] = v->raw ? -1 : qs_textmap_get(&b->parts, letter, n);
        b->byte_token[i] = v->raw ? v->byte_id[i] : qs_textmap_get(&v->ids, letter, n);
    }
}

int qs_bpe_build(struct qs_vocab *v, struct qs_err *e)
{
    struct qs_bpe *b = &v->bpe;
    size_t n = v->data->n_merges, bytes = 1, used = 0, cap = 0;
    b->room = 16;
    while (b->room < 2 * n)
        b->room *= 2;
    for (size_t i = 0; i < n; i++)
        bytes += v->data->merge[i].len;
    b->pair = qs_malloc(b->room * sizeof *b->pair);
    b->texts = qs_malloc(bytes);
    if (!b->pair || !b->texts || !qs_textmap_init(&b->parts, n + 256))
        return qs_fail_mem(e, b->room * sizeof *b->pair + bytes, "the merges of a vocabulary");
    memset(b->pair, 0xFF, b->room * sizeof *b->pair);
    for (size_t i = 0; i < n; i++)
        if (add_merge(v, &cap, i, &used) != QS_OK)
            return qs_fail_mem(e, bytes, "the merges of a vocabulary");
    find_bytes(v);
    if (!v->raw) {
        qs_textmap_free(&b->parts);
        qs_free(b->texts);
        b->texts = NULL;
    }
    return QS_OK;
}

/* --- tokenizing --------------------------------------------------------------------------------------------------- */

static bool try_pair(struct qs_tokenizing *t, const char *text, int32_t left, int32_t right)
{
    (void)text;
    if (left < 0 || right < 0)
        return true;
    const struct qs_symbol *a = &t->symbol[left], *b = &t->symbol[right];
    if (a->part < 0 || b->part < 0)
        return true;
    const struct qs_bpe_pair *p = pair_of(&t->v->bpe, a->part, b->part);
    if (p->key == UINT64_MAX)
        return true;
    return qs_heap_push(t, (struct qs_merge_try){ .rank = p->rank, .left = left, .right = right, .result = p->result,
                                                  .len = a->len + b->len });
}

/* Bytes, or characters for the raw kind. */
static bool symbols(struct qs_tokenizing *t, const char *word, size_t n)
{
    const struct qs_bpe *b = &t->v->bpe;
    t->n_symbols = 0;
    for (size_t at = 0; at < n;) {
        size_t end = at + 1;
        while (t->v->raw && end < n && ((unsigned char)word[end] & 0xC0) == 0x80)
            end++;
        if (!qs_grow(&t->symbol, &t->symbol_cap, t->n_symbols + 1, sizeof *t->symbol))
            return false;
        int32_t part = t->v->raw ? qs_textmap_get(&b->parts, word + at, end - at)
                                 : b->byte_part[(unsigned char)word[at]];
        int32_t i = (int32_t)t->n_symbols++;
        t->symbol[i] = (struct qs_symbol){ i - 1, end < n ? i + 1 : -1, part, (uint32_t)at, (uint32_t)(end - at) };
        at = end;
    }
    return true;
}

static int put_symbol(struct qs_tokenizing *t, const char *word, const struct qs_symbol *s)
{
    const struct qs_bpe *b = &t->v->bpe;
    int32_t id = s->part >= 0 ? b->token[s->part]
                 : t->v->raw  ? qs_textmap_get(&t->v->ids, word + s->at, s->len)
                              : b->byte_token[(unsigned char)word[s->at]];
    if (id >= 0)
        return qs_tokens_add(t->out, id, t->e);
    int rc = QS_OK;
    for (uint32_t k = 0; k < s->len && rc == QS_OK; k++)
        if ((id = b->byte_token[(unsigned char)word[s->at + k]]) >= 0)
            rc = qs_tokens_add(t->out, id, t->e);
    return rc;
}

/* The token that the whole word is; QS_NO_TOKEN: none, or merges are to be made all the same. */
static int32_t whole_word(struct qs_tokenizing *t, const char *word, size_t n)
{
    const struct qs_vocab *v = t->v;
    if (n > v->longest)
        return QS_NO_TOKEN;
    if (v->whole_newlines && !v->ignore_merges && word[0] != '\n')
        return QS_NO_TOKEN; /* a word is all newlines or none */
    if (!v->ignore_merges && !v->whole_newlines)
        return QS_NO_TOKEN;
    if (v->raw)
        return qs_textmap_get(&v->ids, word, n);
    qs_str_clear(&t->letters);
    for (size_t i = 0; i < n; i++) {
        char letter[2];
        qs_str_addn(&t->letters, letter, qs_byte_letter((unsigned char)word[i], letter));
    }
    return t->letters.failed ? QS_NO_TOKEN : qs_textmap_get(&v->ids, t->letters.data, t->letters.len);
}

static int put_word(struct qs_tokenizing *t, const char *word, size_t n)
{
    int32_t whole = whole_word(t, word, n);
    if (whole >= 0)
        return qs_tokens_add(t->out, whole, t->e);
    if (t->letters.failed || !symbols(t, word, n) || !qs_merge_all(t, word, try_pair))
        return qs_fail_mem(t->e, n * sizeof *t->symbol, "tokenizing a text");
    int rc = QS_OK;
    for (int32_t i = 0; i >= 0 && rc == QS_OK; i = t->symbol[i].next)
        rc = put_symbol(t, word, &t->symbol[i]);
    return rc;
}

int qs_bpe_tokenize(struct qs_tokenizing *t, const char *text, size_t n)
{
    if (n == 0)
        return QS_OK;
    int rc = qs_pre_cut(t->v->pre, text, n, &t->words, t->e);
    for (size_t i = 0, from = 0; i < t->words.n && rc == QS_OK; from = t->words.end[i++])
        rc = put_word(t, text + from, t->words.end[i] - from);
    return rc;
}
