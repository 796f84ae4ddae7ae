/* tokenize.c - text to ids: special tokens in the text are found first, what lies between them goes to spm.c or bpe.c.
 *
 * Owns the working memory of one call. Of overlapping special tokens the longer wins, wherever it begins; of equally
 * long ones the one with the lower id; then the one further left, as if each token in turn were searched for in what is
 * left of the text.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/text/vocab_internal.h"

#define TEXT_MAX ((size_t)1 << 30)

void qs_tokens_free(struct qs_tokens *t)
{
    qs_free(t->id);
    *t = (struct qs_tokens){ 0 };
}

int qs_tokens_add(struct qs_tokens *t, int32_t id, struct qs_err *e)
{
    if (!qs_grow(&t->id, &t->cap, t->n + 1, sizeof *t->id))
        return qs_fail_mem(e, (t->n + 1) * sizeof *t->id, "token ids");
    t->id[t->n++] = id;
    return QS_OK;
}

/* --- special tokens in the text ----------------------------------------------------------------------------------- */

struct found { size_t at, len; int32_t token; size_t to; /* with the white space that belongs to it */ };
struct finds { struct found *item; size_t n, cap; };

static bool find_all(const struct qs_vocab *v, const char *text, size_t n, unsigned flags, struct finds *f)
{
    for (size_t at = 0; at < n; at++) {
        if (!v->trie_first[(unsigned char)text[at]])
            continue;
        int32_t node = 0;
        for (size_t i = at; i < n; i++) {
            int32_t child = v->trie[node].child;
            while (child >= 0 && v->trie[child].byte != (unsigned char)text[i])
                child = v->trie[child].sibling;
            if ((node = child) < 0)
                break;
            int32_t id = v->trie[node].token;
            if (id < 0 || (!(flags & QS_TOKENIZE_PARSE_SPECIAL) && (v->attr[id] & (QS_ATTR_CONTROL | QS_ATTR_UNKNOWN))))
                continue;
            if (!qs_grow(&f->item, &f->cap, f->n + 1, sizeof *f->item))
                return false;
            f->item[f->n++] = (struct found){ at, i + 1 - at, id, i + 1 };
        }
    }
    return true;
}

static int longer_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool free_between(const unsigned char *taken, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (taken[i >> 3] >> (i & 7) & 1)
            return false;
    return true;
}

/* Keeps those that stay, in the order of the text. */
static bool choose(const struct qs_vocab *v, const char *text, size_t n, struct finds *f)
{
    unsigned char *taken = qs_calloc(n / 8 + 1, 1);
    if (!taken)
        return false;
    qsort(f->item, f->n, sizeof *f->item, longer_first);
    size_t kept = 0;
    for (size_t k = 0; k < f->n; k++) {
        struct found m = f->item[k];
        if (!free_between(taken, m.at, m.to))
            continue;
        while ((v->attr[m.token] & QS_ATTR_RSTRIP) && m.to < n && blank(text[m.to]) &&
               free_between(taken, m.to, m.to + 1))
            m.to++;
        for (size_t i = m.at; i < m.to; i++)
            taken[i >> 3] |= (unsigned char)(1u << (i & 7));
        f->item[kept++] = m;
    }
    f->n = kept;
    qsort(f->item, f->n, sizeof *f->item, by_place);
    qs_free(taken);
    return true;
}

/* --- pieces between them ------------------------------------------------------------------------------------------ */

/* Blanks as U+2581, with one before where `prefix`. */
static void escape(struct qs_str *out, const char *text, size_t n, bool prefix)
{
    qs_str_clear(out);
    if (prefix)
        qs_str_add(out, "\xE2\x96\x81");
    for (size_t from = 0; from < n;) {
        const char *next = memchr(text + from, ' ', n - from);
        size_t to = next ? (size_t)(next - text) : n;
        qs_str_addn(out, text + from, to - from);
        if (next)
            qs_str_add(out, "\xE2\x96\x81");
        from = to + (next != NULL);
    }
}

static int put_text(struct qs_tokenizing *t, const char *text, size_t n, bool prefix)
{
    if (t->v->data->kind == QS_VOCAB_BPE && !t->v->raw)
        return qs_bpe_tokenize(t, text, n);
    escape(&t->text, text, n, prefix);
    if (t->text.failed)
        return qs_fail_mem(t->e, n, "tokenizing a text");
    return t->v->data->kind == QS_VOCAB_SPM ? qs_spm_tokenize(t, t->text.data, t->text.len)
                                            : qs_bpe_tokenize(t, t->text.data, t->text.len);
}

static int put_all(struct qs_tokenizing *t, const char *text, size_t n, const struct finds *f)
{
    bool prefix = t->v->space_prefix;
    size_t at = 0;
    int rc = QS_OK;
    for (size_t k = 0; k <= f->n && rc == QS_OK; k++) {
        size_t to = k < f->n ? f->item[k].at : n;
        if (to > at) {
            rc = put_text(t, text + at, to - at, prefix);
            prefix = false;
        }
        if (k < f->n && rc == QS_OK) {
            rc = qs_tokens_add(t->out, f->item[k].token, t->e);
            prefix = t->v->space_prefix;
            at = f->item[k].to;
        }
    }
    return rc;
}

/* Invalid bytes as U+FFFD. */
static bool repair(struct qs_str *out, const char *s, size_t n)
{
    while (n > 0) {
        size_t good = qs_utf8_invalid_at(s, n);
        qs_str_addn(out, s, good);
        if (good == n)
            break;
        qs_str_add(out, "\xEF\xBF\xBD");
        s += good + 1;
        n -= good + 1;
    }
    return !out->failed;
}

static int run(struct qs_tokenizing *t, const char *text, size_t n, unsigned flags)
{
    struct finds f = { 0 };
    int rc = QS_OK;
    if (!find_all(t->v, text, n, flags, &f) || (f.n && !choose(t->v, text, n, &f)))
        rc = qs_fail_mem(t->e, f.n * sizeof *f.item, "tokenizing a text");
    if (rc == QS_OK && (flags & QS_TOKENIZE_ADD_SPECIAL) && qs_vocab_adds_bos(t->v))
        rc = qs_tokens_add(t->out, t->v->special[QS_SPECIAL_BOS], t->e);
    if (rc == QS_OK)
        rc = put_all(t, text, n, &f);
    if (rc == QS_OK && (flags & QS_TOKENIZE_ADD_SPECIAL) && qs_vocab_adds_eos(t->v))
        rc = qs_tokens_add(t->out, t->v->special[QS_SPECIAL_EOS], t->e);
    qs_free(f.item);
    return rc;
}

int qs_tokenize(const struct qs_vocab *v, const char *text, size_t n, unsigned flags, struct qs_tokens *out,
                struct qs_err *e)
{
    struct qs_err mine = QS_ERR_INIT;
    struct qs_tokenizing t = { .v = v, .out = out, .text = QS_STR_INIT, .letters = QS_STR_INIT, .e = &mine };
    struct qs_str repaired = QS_STR_INIT;
    const size_t before = out->n;
    int rc = QS_OK;
    if (n >= TEXT_MAX)
        return qs_fail(e, QS_ELIMIT, "the text has %zu bytes, more than can be tokenized at once", n);
    size_t bad = qs_utf8_invalid_at(text, n);
    if (bad < n && !(flags & QS_TOKENIZE_REPLACE))
        return qs_fail(e, QS_EINVAL, "the text is not valid UTF-8: byte 0x%02X at offset %zu",
                       (unsigned)(unsigned char)text[bad], bad);
    if (bad < n && !repair(&repaired, text, n))
        rc = qs_fail_mem(&mine, n, "tokenizing a text");
    else if (bad < n)
        rc = run(&t, repaired.data, repaired.len, flags);
    else
        rc = run(&t, text, n, flags);
    qs_str_free(&repaired);
    qs_str_free(&t.text);
    qs_str_free(&t.letters);
    qs_free(t.symbol);
    qs_free(t.heap);
    qs_pre_words_free(&t.words);
    if (rc != QS_OK) {
        out->n = before;
        if (e)
            *e = mine;
    }
    return rc;
}
