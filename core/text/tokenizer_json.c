/* tokenizer_json.c - tokenizer.json of Hugging Face: tokens, merges, and the pre-tokenizer's name by its expressions.
 *
 * Owns nothing; the parsed file stays the caller's. Vocabularies of byte-level BPE come out as they are. Those of
 * SentencePiece's kind (byte_fallback) get scores that order tokens as the merges do: a token's score is minus the rank
 * of the first merge that makes it, so that both algorithms join the same pairs first. Refuses models that are not BPE,
 * ids beyond the bounds, merges of another form.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "core/text/vocab_build.h"
#include "core/text/vocab_internal.h"

#define MARK "\xE2\x96\x81" /* U+2581: SentencePiece's blank */

static const char *type_of(const struct qs_json *v)
{
    return qs_json_str(qs_json_get(v, "type"), "");
}

/* Calls fn for the thing itself, or for each of its members where it is a Sequence. */
typedef void step_fn(void *ctx, const struct qs_json *step);
static void each_step(const struct qs_json *v, const char *members, step_fn *fn, void *ctx)
{
    const struct qs_json *list = qs_json_get(v, members);
    if (!v || qs_json_type(v) != QS_JSON_OBJECT)
        return;
    if (strcmp(type_of(v), "Sequence") != 0) {
        fn(ctx, v);
        return;
    }
    for (size_t i = 0; i < qs_json_len(list); i++)
        fn(ctx, qs_json_at(list, i));
}

static void note_byte_level(void *ctx, const struct qs_json *step)
{
    bool *found = ctx;
    *found = *found || strcmp(type_of(step), "ByteLevel") == 0;
}

bool qs_tokenizer_json_bytes(const struct qs_json *tokenizer)
{
    bool found = false;
    each_step(qs_json_get(tokenizer, "pre_tokenizer"), "pretokenizers", note_byte_level, &found);
    each_step(qs_json_get(tokenizer, "decoder"), "decoders", note_byte_level, &found);
    return found;
}

/* --- the pre-tokenizer -------------------------------------------------------------------------------------------- */

static void note_step(void *ctx, const struct qs_json *step)
{
    struct qs_pre_hint *h = ctx;
    const char *type = type_of(step);
    if (strcmp(type, "Split") == 0 && h->n_patterns < QS_PRE_STAGES) {
        const struct qs_json *pattern = qs_json_get(step, "pattern");
        h->pattern[h->n_patterns++] =
            qs_json_str(qs_json_get(pattern, "Regex"), qs_json_str(qs_json_get(pattern, "String"), ""));
    }
    h->digits = h->digits ||
                (strcmp(type, "Digits") == 0 && qs_json_bool(qs_json_get(step, "individual_digits"), false));
    h->punctuation = h->punctuation || strcmp(type, "Punctuation") == 0;
    h->byte_regex = h->byte_regex ||
                    (strcmp(type, "ByteLevel") == 0 && qs_json_bool(qs_json_get(step, "use_regex"), true));
}

static void set_pre(const struct qs_json *tokenizer, struct qs_vocab_data *d)
{
    struct qs_pre_hint h = { .ignore_merges = d->ignore_merges == 1 };
    each_step(qs_json_get(tokenizer, "pre_tokenizer"), "pretokenizers", note_step, &h);
    const char *name = qs_pre_guess(&h);
    if (!name)
        qs_vocab_data_warn(d, "the pre-tokenizer of tokenizer.json is not known: taken as 'default', tokens may "
                           "differ");
    snprintf(d->pre, sizeof d->pre, "%s", name ? name : "default");
}

/* Normalizers that change nothing here (byte-level texts are taken as they are, as llama.cpp takes them), or that
 * SentencePiece's blanks stand for. */
static void note_normalizer(void *ctx, const struct qs_json *step)
{
    static const char *const fine[] = { "NFC", "Prepend", "Replace", "" };
    struct qs_vocab_data *d = ctx;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (strcmp(type_of(step), fine[i]) == 0)
            return;
    qs_vocab_data_warn(d, "the normalizer '%.30s' of tokenizer.json is not applied, tokens may differ", type_of(step));
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

/* Whether a token that a file only calls "added" is a control token by its looks. */
static bool looks_special(const char *text)
{
    static const char *const whole[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    static const struct { const char *start, *end; } around[] = {
        { "<|", "|>" }, { "<\xEF\xBD\x9C", "\xEF\xBD\x9C>" }, { "<unused", ">" },
    };
    size_t n = strlen(text);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(text, whole[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        size_t end = strlen(around[i].end);
        if (n >= end && strncmp(text, around[i].start, strlen(around[i].start)) == 0 &&
            strcmp(text + n - end, around[i].end) == 0)
            return true;
    }
    return false;
}

int qs_vocab_data_padded(struct qs_vocab_data *d, size_t n, struct qs_err *e)
{
    char text[32];
    int rc = qs_vocab_data_room(d, n, e);
    for (size_t i = 0; i < n && rc == QS_OK; i++) {
        int len = snprintf(text, sizeof text, "[PAD%zu]", i);
        d->token[i].type = QS_TOKEN_UNUSED;
        d->token[i].score = -10000.0f;
        rc = qs_vocab_data_text(d, i, text, (size_t)len, e);
    }
    return rc;
}

int qs_vocab_data_added(struct qs_vocab_data *d, size_t id, const char *text, bool special, struct qs_err *e)
{
    struct qs_str plain = QS_STR_INIT;
    const bool control = special || looks_special(text);
    for (const char *at = text; *at;) {
        const bool mark = !control && strncmp(at, MARK, sizeof MARK - 1) == 0;
        qs_str_addc(&plain, mark ? ' ' : *at);
        at += mark ? sizeof MARK - 1 : 1;
    }
    d->token[id].type = control ? QS_TOKEN_CONTROL : QS_TOKEN_USER_DEFINED;
    d->token[id].score = d->has_scores ? -1000.0f : 0;
    int rc = plain.failed ? qs_fail_mem(e, strlen(text), "a token")
                          : qs_vocab_data_text(d, id, plain.data, plain.len, e);
    qs_str_free(&plain);
    return rc;
}

/* One more than the highest id, of the vocabulary and of the added tokens. */
static int count_ids(const struct qs_json *vocab, const struct qs_json *added, size_t *n, struct qs_err *e)
{
    const struct qs_json *id = NULL;
    const char *key;
    int64_t top = -1, v;
    for (size_t i = 0; (key = qs_json_key_at(vocab, i, &id)); i++) {
        if ((v = qs_json_int(id, -1)) < 0 || v >= QS_VOCAB_MAX)
            return qs_fail(e, QS_EFORMAT, "model.vocab: the id of '%.60s' is not a number below %u", key, QS_VOCAB_MAX);
        top = v > top ? v : top;
    }
    for (size_t i = 0; i < qs_json_len(added); i++) {
        v = qs_json_int(qs_json_get(qs_json_at(added, i), "id"), -1);
        if (v < 0 || v >= QS_VOCAB_MAX)
            return qs_fail(e, QS_EFORMAT, "added_tokens[%zu].id is not a number below %u", i, QS_VOCAB_MAX);
        top = v > top ? v : top;
    }
    *n = (size_t)(top + 1);
    return QS_OK;
}

static bool is_byte(const char *t)
{
    return strlen(t) == 6 && strncmp(t, "<0x", 3) == 0 && t[5] == '>' && strspn(t + 3, "0123456789abcdefABCDEF") == 2;
}

static int read_vocab(const struct qs_json *vocab, const char *unk, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_json *value = NULL;
    const char *key;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && (key = qs_json_key_at(vocab, i, &value)); i++) {
        size_t id = (size_t)qs_json_int(value, 0);
        if (id >= d->n_tokens)
            continue;
        d->token[id].type = d->kind == QS_VOCAB_SPM && is_byte(key)            ? QS_TOKEN_BYTE
                            : d->kind == QS_VOCAB_SPM && strcmp(key, unk) == 0 ? QS_TOKEN_UNKNOWN
                                                                               : QS_TOKEN_NORMAL;
        d->token[id].score = 0;
        rc = qs_vocab_data_text(d, id, key, strlen(key), e);
    }
    return rc;
}

static int read_added(const struct qs_json *added, struct qs_vocab_data *d, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; i < qs_json_len(added) && rc == QS_OK; i++) {
        const struct qs_json *a = qs_json_at(added, i);
        size_t id = (size_t)qs_json_int(qs_json_get(a, "id"), 0);
        if (id < d->n_tokens && d->token[id].type != QS_TOKEN_UNKNOWN && d->token[id].type != QS_TOKEN_BYTE)
            rc = qs_vocab_data_added(d, id, qs_json_str(qs_json_get(a, "content"), ""),
                                     qs_json_bool(qs_json_get(a, "special"), false), e);
    }
    return rc;
}

/* --- merges ------------------------------------------------------------------------------------------------------- */

/* "LEFT RIGHT"; a blank inside a part (pairs may have one) as GPT-2's alphabet writes it. */
static bool join_pair(const struct qs_json *pair, struct qs_str *out)
{
    qs_str_clear(out);
    for (size_t k = 0; k < 2; k++) {
        const char *part = qs_json_str(qs_json_at(pair, k), NULL);
        if (!part || qs_json_len(pair) != 2)
            return false;
        if (k)
            qs_str_addc(out, ' ');
        for (; *part; part++)
            qs_str_addn(out, *part == ' ' ? "\xC4\xA0" : part, *part == ' ' ? 2 : 1);
    }
    return true;
}

static int read_merges(const struct qs_json *merges, struct qs_vocab_data *d, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    size_t cap = 0;
    int rc = QS_OK;
    for (size_t i = 0; i < qs_json_len(merges) && rc == QS_OK; i++) {
        const struct qs_json *m = qs_json_at(merges, i);
        if (qs_json_type(m) == QS_JSON_STRING)
            rc = qs_vocab_data_merge(d, &cap, qs_json_str(m, ""), qs_json_len(m), e);
        else if (qs_json_type(m) == QS_JSON_ARRAY && join_pair(m, &text))
            rc = text.failed ? qs_fail_mem(e, 1, "a merge") : qs_vocab_data_merge(d, &cap, text.data, text.len, e);
        else
            rc = qs_fail(e, QS_EFORMAT, "model.merges[%zu] is neither a text nor a pair of texts", i);
    }
    qs_str_free(&text);
    return rc;
}

/* Scores in the place of merges; see above. */
static int score_by_merges(struct qs_vocab_data *d, struct qs_err *e)
{
    struct qs_textmap ids;
    struct qs_str joined = QS_STR_INIT;
    bool ok = qs_textmap_init(&ids, d->n_tokens);
    for (size_t i = 0; i < d->n_tokens && ok; i++)
        ok = qs_textmap_put(&ids, d->token[i].text, d->token[i].len, (int32_t)i) >= 0;
    for (size_t i = d->n_merges; i-- > 0 && ok;) { /* the first rank is written last */
        const struct qs_vocab_merge *m = &d->merge[i];
        const char *blank = m->len > 1 ? memchr(m->text + 1, ' ', m->len - 1) : NULL;
        if (!blank)
            continue;
        qs_str_clear(&joined);
        qs_str_addn(&joined, m->text, (size_t)(blank - m->text));
        qs_str_addn(&joined, blank + 1, m->len - 1 - (size_t)(blank - m->text));
        ok = !joined.failed;
        int32_t id = qs_textmap_get(&ids, joined.data, joined.len);
        if (id >= 0 && d->token[id].type == QS_TOKEN_NORMAL)
            d->token[id].score = -(float)(i + 1);
    }
    qs_textmap_free(&ids);
    qs_str_free(&joined);
    qs_free(d->merge);
    d->merge = NULL;
    d->n_merges = 0;
    d->has_scores = true;
    return ok ? QS_OK : qs_fail_mem(e, d->n_tokens, "a vocabulary");
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

struct prefix { bool wanted; };

/* Whether a blank goes before a text: a Prepend of the normalizer, or what Metaspace says. */
static void note_prefix(void *ctx, const struct qs_json *step)
{
    struct prefix *p = ctx;
    const char *type = type_of(step), *scheme = qs_json_str(qs_json_get(step, "prepend_scheme"), NULL);
    if (strcmp(type, "Prepend") == 0)
        p->wanted = true;
    if (strcmp(type, "Metaspace") == 0)
        p->wanted = scheme ? strcmp(scheme, "never") != 0 : qs_json_bool(qs_json_get(step, "add_prefix_space"), true);
}

static int read_spm(const struct qs_json *tokenizer, struct qs_vocab_data *d, struct qs_err *e)
{
    struct prefix p = { false };
    each_step(qs_json_get(tokenizer, "normalizer"), "normalizers", note_prefix, &p);
    each_step(qs_json_get(tokenizer, "pre_tokenizer"), "pretokenizers", note_prefix, &p);
    d->add_space_prefix = p.wanted;
    memcpy(d->pre, "default", sizeof "default");
    return score_by_merges(d, e);
}

static int read_all(const struct qs_json *tokenizer, size_t n_rows, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_json *model = qs_json_get(tokenizer, "model"), *vocab = qs_json_get(model, "vocab");
    const struct qs_json *added = qs_json_get(tokenizer, "added_tokens"), *ignore = qs_json_get(model, "ignore_merges");
    size_t n = 0;
    if (qs_json_type(vocab) != QS_JSON_OBJECT)
        return qs_fail(e, QS_EFORMAT, "model.vocab is missing or no object");
    d->has_types = true;
    if (qs_json_type(ignore) == QS_JSON_BOOL)
        d->ignore_merges = qs_json_bool(ignore, false);
    int rc = count_ids(vocab, added, &n, e);
    if (rc == QS_OK && n_rows && n > n_rows)
        qs_vocab_data_warn(d, "tokens from id %zu on lie beyond the rows of the embedding", n_rows);
    if (rc == QS_OK)
        rc = qs_vocab_data_padded(d, n_rows ? n_rows : n, e);
    if (rc == QS_OK)
        rc = read_vocab(vocab, qs_json_str(qs_json_get(model, "unk_token"), ""), d, e);
    if (rc == QS_OK)
        rc = read_merges(qs_json_get(model, "merges"), d, e);
    if (rc == QS_OK && d->kind == QS_VOCAB_SPM)
        rc = read_spm(tokenizer, d, e);
    else if (rc == QS_OK)
        set_pre(tokenizer, d);
    each_step(qs_json_get(tokenizer, "normalizer"), "normalizers", note_normalizer, d);
    return rc == QS_OK ? read_added(added, d, e) : rc;
}

int qs_tokenizer_json_read(const struct qs_json *tokenizer, size_t n_rows, struct qs_vocab_data **out,
                           struct qs_err *e)
{
    const struct qs_json *model = qs_json_get(tokenizer, "model");
    const char *type = type_of(model);
    const bool bytes = qs_tokenizer_json_bytes(tokenizer);
    *out = NULL;
    if (qs_json_type(model) != QS_JSON_OBJECT)
        return qs_fail(e, QS_EFORMAT, "it has no object 'model'");
    if (strcmp(type, "BPE") != 0 && !(type[0] == 0 && qs_json_get(model, "merges")))
        return qs_fail(e, QS_EUNSUPPORTED, "a tokenizer with a model of type '%.40s' cannot be used yet: only BPE can",
                       type);
    if (!bytes && !qs_json_bool(qs_json_get(model, "byte_fallback"), false))
        return qs_fail(e, QS_EUNSUPPORTED, "a BPE tokenizer that knows neither bytes (ByteLevel) nor byte_fallback "
                       "cannot be used yet");
    struct qs_vocab_data *d = bytes ? qs_vocab_data_start(QS_VOCAB_BPE, "gpt2", e)
                                    : qs_vocab_data_start(QS_VOCAB_SPM, "llama", e);
    if (!d)
        return QS_ENOMEM;
    int rc = read_all(tokenizer, n_rows, d, e);
    if (rc == QS_OK)
        *out = d;
    else
        qs_vocab_data_free(d);
    return rc;
}
