/* vocab_data.c - what a tokenizer is: the struct, and how it is read from GGUF metadata.
 *
 * Owns the texts (copied: the header they came from may be closed). Refuses kinds of tokenizers that this program has
 * not, arrays of other types than the specification's, counts that disagree, texts longer than QS_TOKEN_TEXT_MAX. What
 * is merely odd (ids out of range, empty texts) is mended and said in `warning`.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/vocab_build.h"

#define CHUNK 65536u

struct chunk { struct chunk *next; char bytes[]; };
struct qs_vocab_store { struct chunk *first; size_t used, room; };

static const struct { const char *name, *key; } specials[QS_SPECIALS] = {
    [QS_SPECIAL_BOS] = { "bos", "tokenizer.ggml.bos_token_id" },
    [QS_SPECIAL_EOS] = { "eos", "tokenizer.ggml.eos_token_id" },
    [QS_SPECIAL_EOT] = { "eot", "tokenizer.ggml.eot_token_id" },
    [QS_SPECIAL_EOM] = { "eom", "tokenizer.ggml.eom_token_id" },
    [QS_SPECIAL_UNK] = { "unk", "tokenizer.ggml.unknown_token_id" },
    [QS_SPECIAL_SEP] = { "sep", "tokenizer.ggml.seperator_token_id" },
    [QS_SPECIAL_PAD] = { "pad", "tokenizer.ggml.padding_token_id" },
    [QS_SPECIAL_MASK] = { "mask", "tokenizer.ggml.mask_token_id" },
    [QS_SPECIAL_FIM_PRE] = { "fim_pre", "tokenizer.ggml.fim_pre_token_id" },
    [QS_SPECIAL_FIM_SUF] = { "fim_suf", "tokenizer.ggml.fim_suf_token_id" },
    [QS_SPECIAL_FIM_MID] = { "fim_mid", "tokenizer.ggml.fim_mid_token_id" },
    [QS_SPECIAL_FIM_PAD] = { "fim_pad", "tokenizer.ggml.fim_pad_token_id" },
    [QS_SPECIAL_FIM_REP] = { "fim_rep", "tokenizer.ggml.fim_rep_token_id" },
    [QS_SPECIAL_FIM_SEP] = { "fim_sep", "tokenizer.ggml.fim_sep_token_id" },
};

/* Older names of the same. */
static const struct { const char *key; enum qs_special special; } old_keys[] = {
    { "tokenizer.ggml.prefix_token_id", QS_SPECIAL_FIM_PRE },
    { "tokenizer.ggml.suffix_token_id", QS_SPECIAL_FIM_SUF },
    { "tokenizer.ggml.middle_token_id", QS_SPECIAL_FIM_MID },
};

const char *qs_special_name(enum qs_special s)
{
    return (unsigned)s < QS_SPECIALS ? specials[s].name : "?";
}

const char *qs_special_key(enum qs_special s)
{
    return (unsigned)s < QS_SPECIALS ? specials[s].key : "?";
}

/* --- building ----------------------------------------------------------------------------------------------------- */

void qs_vocab_data_free(struct qs_vocab_data *d)
{
    if (!d)
        return;
    for (struct chunk *c = d->store ? d->store->first : NULL; c;) {
        struct chunk *next = c->next;
        qs_free(c);
        c = next;
    }
    qs_free(d->store);
    qs_free(d->token);
    qs_free(d->merge);
    qs_free(d->eog);
    qs_free(d->chat_template);
    qs_free(d);
}

struct qs_vocab_data *qs_vocab_data_start(enum qs_vocab_kind kind, const char *model, struct qs_err *e)
{
    struct qs_vocab_data *d = qs_calloc(1, sizeof *d);
    struct qs_vocab_store *store = qs_calloc(1, sizeof *store);
    if (!d || !store) {
        qs_free(d);
        qs_free(store);
        (void)qs_fail_mem(e, sizeof *d, "a vocabulary");
        return NULL;
    }
    d->store = store;
    d->kind = kind;
    snprintf(d->model, sizeof d->model, "%s", model);
    for (int s = 0; s < QS_SPECIALS; s++)
        d->special[s] = QS_NO_TOKEN;
    d->add_bos = d->add_eos = d->add_sep = QS_UNSTATED;
    d->add_space_prefix = d->remove_extra_whitespaces = d->ignore_merges = QS_UNSTATED;
    return d;
}

int qs_vocab_data_room(struct qs_vocab_data *d, size_t n, struct qs_err *e)
{
    if (n == 0 || n > QS_VOCAB_MAX)
        return qs_fail(e, n ? QS_ELIMIT : QS_EFORMAT, "the vocabulary has %zu tokens: 1 to %u are possible", n,
                       QS_VOCAB_MAX);
    d->token = qs_calloc(n, sizeof *d->token);
    if (!d->token)
        return qs_fail_mem(e, n * sizeof *d->token, "a vocabulary");
    d->n_tokens = n;
    for (size_t i = 0; i < n; i++) {
        d->token[i].text = "";
        d->token[i].type = QS_TOKEN_NORMAL;
    }
    return QS_OK;
}

char *qs_vocab_data_keep(struct qs_vocab_data *d, const void *bytes, size_t n, struct qs_err *e)
{
    struct qs_vocab_store *s = d->store;
    if (!s->first || s->room - s->used < n + 1) {
        size_t room = n + 1 > CHUNK ? n + 1 : CHUNK;
        struct chunk *c = qs_malloc(sizeof *c + room);
        if (!c) {
            (void)qs_fail_mem(e, room, "the texts of a vocabulary");
            return NULL;
        }
        c->next = s->first;
        s->first = c;
        s->used = 0;
        s->room = room;
    }
    char *to = s->first->bytes + s->used;
    if (n)
        memcpy(to, bytes, n);
    to[n] = 0;
    s->used += n + 1;
    return to;
}

int qs_vocab_data_text(struct qs_vocab_data *d, size_t id, const char *text, size_t n, struct qs_err *e)
{
    if (n > QS_TOKEN_TEXT_MAX)
        return qs_fail(e, QS_ELIMIT, "token %zu has a text of %zu bytes, more than %u", id, n, QS_TOKEN_TEXT_MAX);
    const char *kept = qs_vocab_data_keep(d, text, n, e);
    if (!kept)
        return QS_ENOMEM;
    d->token[id].text = kept;
    d->token[id].len = (uint32_t)n;
    return QS_OK;
}

int qs_vocab_data_merge(struct qs_vocab_data *d, size_t *cap, const char *text, size_t n, struct qs_err *e)
{
    if (n > 2 * QS_TOKEN_TEXT_MAX)
        return qs_fail(e, QS_ELIMIT, "merge %zu has %zu bytes, more than %u", d->n_merges, n, 2 * QS_TOKEN_TEXT_MAX);
    if (d->n_merges >= 4 * (size_t)QS_VOCAB_MAX)
        return qs_fail(e, QS_ELIMIT, "the vocabulary has more than %u merges", 4 * QS_VOCAB_MAX);
    if (!qs_grow(&d->merge, cap, d->n_merges + 1, sizeof *d->merge))
        return qs_fail_mem(e, (d->n_merges + 1) * sizeof *d->merge, "the merges of a vocabulary");
    const char *kept = qs_vocab_data_keep(d, text, n, e);
    if (!kept)
        return QS_ENOMEM;
    d->merge[d->n_merges++] = (struct qs_vocab_merge){ kept, (uint32_t)n };
    return QS_OK;
}

int qs_vocab_data_eog(struct qs_vocab_data *d, int32_t id, struct qs_err *e)
{
    for (size_t i = 0; i < d->n_eog; i++)
        if (d->eog[i] == id)
            return QS_OK;
    int32_t *more = qs_realloc_array(d->eog, d->n_eog + 1, sizeof *more);
    if (!more)
        return qs_fail_mem(e, sizeof *more, "a vocabulary");
    d->eog = more;
    d->eog[d->n_eog++] = id;
    return QS_OK;
}

void qs_vocab_data_warn(struct qs_vocab_data *d, const char *fmt, ...)
{
    size_t at = strlen(d->warning), room = sizeof d->warning - at;
    char text[sizeof d->warning];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (strlen(text) + 3 < room)
        snprintf(d->warning + at, room, "%s%s", at ? "; " : "", text);
}

int qs_vocab_data_finish(struct qs_vocab_data *d, struct qs_err *e)
{
    size_t empty = 0;
    for (size_t i = 0; i < d->n_tokens; i++) {
        char text[32];
        int rc = QS_OK;
        if (!isfinite(d->token[i].score))
            d->token[i].score = -1e30f;
        if (d->token[i].len)
            continue;
        int n = snprintf(text, sizeof text, "[EMPTY_%zu]", i);
        if ((rc = qs_vocab_data_text(d, i, text, (size_t)n, e)) != QS_OK)
            return rc;
        empty++;
    }
    if (empty)
        qs_vocab_data_warn(d, "%zu tokens have no text", empty);
    for (int s = 0; s < QS_SPECIALS; s++)
        if (d->special[s] >= 0 && (size_t)d->special[s] >= d->n_tokens) {
            qs_vocab_data_warn(d, "the id of %s, %" PRId32 ", lies beyond the vocabulary and is not used",
                               specials[s].name, d->special[s]);
            d->special[s] = QS_NO_TOKEN;
        }
    size_t kept = 0;
    for (size_t i = 0; i < d->n_eog; i++)
        if (d->eog[i] >= 0 && (size_t)d->eog[i] < d->n_tokens)
            d->eog[kept++] = d->eog[i];
    d->n_eog = kept;
    return QS_OK;
}

/* --- from GGUF ---------------------------------------------------------------------------------------------------- */

struct source { const struct qs_kv *kv; size_t n; };

static const struct qs_kv *find(const struct source *s, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < s->n; i++)
        if (s->kv[i].key_len == len && memcmp(s->kv[i].key, key, len) == 0)
            return &s->kv[i];
    return NULL;
}

/* A short text; empty where it is missing, no string, or too long. */
static void short_text(const struct source *s, const char *key, char *out, size_t room)
{
    const struct qs_kv *kv = find(s, key);
    const char *text;
    size_t n;
    out[0] = 0;
    if (kv && qs_kv_str(kv, &text, &n) && n < room && !memchr(text, 0, n)) {
        memcpy(out, text, n);
        out[n] = 0;
    }
}

static int8_t flag(const struct source *s, const char *key)
{
    const struct qs_kv *kv = find(s, key);
    uint64_t v;
    return kv && qs_kv_u64(kv, &v) ? (v ? 1 : 0) : QS_UNSTATED;
}

static int bad_array(const char *key, const struct qs_kv *kv, const char *wanted, struct qs_err *e)
{
    if (kv->type != QS_GGUF_ARRAY)
        return qs_fail(e, QS_EFORMAT, "metadata %s: it is %s, not an array of %s", key, qs_gguf_type_name(kv->type),
                       wanted);
    return qs_fail(e, QS_EFORMAT, "metadata %s: an array of %s, not of %s", key, qs_gguf_type_name(kv->item), wanted);
}

static bool array_of(const struct qs_kv *kv, int a, int b)
{
    return kv->type == QS_GGUF_ARRAY && (kv->item == a || kv->item == b);
}

static int read_texts(const struct source *s, struct qs_vocab_data *d, struct qs_err *e)
{
    static const char key[] = "tokenizer.ggml.tokens";
    const struct qs_kv *kv = find(s, key);
    if (!kv)
        return qs_fail(e, QS_EFORMAT, "metadata %s is missing: there is a tokenizer, but no tokens", key);
    if (!array_of(kv, QS_GGUF_STRING, QS_GGUF_STRING))
        return bad_array(key, kv, "strings", e);
    uint64_t cursor = 0;
    const char *text;
    size_t n, i = 0;
    int rc = qs_vocab_data_room(d, kv->count > SIZE_MAX ? SIZE_MAX : (size_t)kv->count, e);
    while (rc == QS_OK && i < d->n_tokens && qs_kv_next_str(kv, &cursor, &text, &n))
        rc = qs_vocab_data_text(d, i++, text, n, e);
    return rc;
}

/* An array of numbers with an entry for each token at least; NULL in *out: there is none. */
static int numbers(const struct source *s, const char *key, size_t n, bool floats, const struct qs_kv **out,
                   struct qs_err *e)
{
    const struct qs_kv *kv = find(s, key);
    *out = kv;
    if (!kv)
        return QS_OK;
    if (!array_of(kv, floats ? QS_GGUF_F32 : QS_GGUF_I32, floats ? QS_GGUF_I32 : QS_GGUF_U32))
        return bad_array(key, kv, floats ? "f32" : "i32", e);
    if (kv->count < n)
        return qs_fail(e, QS_EFORMAT, "metadata %s: %" PRIu64 " entries for %zu tokens", key, kv->count, n);
    return QS_OK;
}

static int read_numbers(const struct source *s, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_kv *scores, *types;
    int rc = numbers(s, "tokenizer.ggml.scores", d->n_tokens, true, &scores, e);
    if (rc == QS_OK)
        rc = numbers(s, "tokenizer.ggml.token_type", d->n_tokens, false, &types, e);
    if (rc != QS_OK)
        return rc;
    d->has_scores = scores != NULL;
    d->has_types = types != NULL;
    for (size_t i = 0; i < d->n_tokens; i++) {
        double v;
        if (scores && qs_kv_array_f64(scores, i, &v))
            d->token[i].score = (float)v;
        if (types && qs_kv_array_f64(types, i, &v)) /* what is none of the six is never text, as in llama.cpp */
            d->token[i].type = v >= 1 && v <= 6 ? (uint8_t)v : QS_TOKEN_UNUSED;
    }
    return QS_OK;
}

static int read_merges(const struct source *s, struct qs_vocab_data *d, struct qs_err *e)
{
    static const char key[] = "tokenizer.ggml.merges";
    const struct qs_kv *kv = find(s, key);
    if (d->kind != QS_VOCAB_BPE)
        return QS_OK;
    if (!kv && strcmp(d->pre, "kimi-k2") == 0)
        return QS_OK; /* llama.cpp takes it without any */
    if (!kv)
        return qs_fail(e, QS_EFORMAT, "metadata %s is missing: a '%s' tokenizer needs merges", key, d->model);
    if (!array_of(kv, QS_GGUF_STRING, QS_GGUF_STRING))
        return bad_array(key, kv, "strings", e);
    uint64_t cursor = 0;
    const char *text;
    size_t n, cap = 0;
    int rc = QS_OK;
    while (rc == QS_OK && qs_kv_next_str(kv, &cursor, &text, &n))
        rc = qs_vocab_data_merge(d, &cap, text, n, e);
    return rc;
}

static void read_id(const struct source *s, const char *key, int32_t *id, struct qs_vocab_data *d)
{
    const struct qs_kv *kv = find(s, key);
    uint64_t v;
    if (!kv)
        return;
    if (!qs_kv_u64(kv, &v) || v >= d->n_tokens)
        qs_vocab_data_warn(d, "metadata %s is no id of the vocabulary and is not used", key);
    else
        *id = (int32_t)v;
}

static int read_template(const struct source *s, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_kv *kv = find(s, "tokenizer.chat_template");
    const char *text;
    size_t n;
    if (!kv || !qs_kv_str(kv, &text, &n))
        return QS_OK;
    d->chat_template = qs_strndup(text, n);
    return d->chat_template ? QS_OK : qs_fail_mem(e, n, "the chat template");
}

static int read_all(const struct source *s, struct qs_vocab_data *d, struct qs_err *e)
{
    short_text(s, "tokenizer.ggml.pre", d->pre, sizeof d->pre);
    short_text(s, "general.architecture", d->arch, sizeof d->arch);
    short_text(s, "general.name", d->name, sizeof d->name);
    int rc = read_texts(s, d, e);
    if (rc == QS_OK)
        rc = read_numbers(s, d, e);
    if (rc == QS_OK)
        rc = read_merges(s, d, e);
    if (rc == QS_OK)
        rc = read_template(s, d, e);
    if (rc != QS_OK)
        return rc;
    for (size_t i = 0; i < sizeof old_keys / sizeof *old_keys; i++)
        read_id(s, old_keys[i].key, &d->special[old_keys[i].special], d);
    for (int k = 0; k < QS_SPECIALS; k++)
        read_id(s, specials[k].key, &d->special[k], d);
    d->add_bos = flag(s, "tokenizer.ggml.add_bos_token");
    d->add_eos = flag(s, "tokenizer.ggml.add_eos_token");
    d->add_sep = flag(s, "tokenizer.ggml.add_sep_token");
    d->add_space_prefix = flag(s, "tokenizer.ggml.add_space_prefix");
    d->remove_extra_whitespaces = flag(s, "tokenizer.ggml.remove_extra_whitespaces");
    return qs_vocab_data_finish(d, e);
}

static const struct { const char *model; enum qs_vocab_kind kind; } kinds[] = {
    { "llama", QS_VOCAB_SPM }, { "gpt2", QS_VOCAB_BPE }, { "gemma4", QS_VOCAB_BPE },
};

int qs_vocab_data_kv(const struct qs_kv *kv, size_t n, struct qs_vocab_data **out, struct qs_err *e)
{
    const struct source s = { kv, n };
    char model[64];
    *out = NULL;
    short_text(&s, "tokenizer.ggml.model", model, sizeof model);
    if (!model[0] || strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0)
        return qs_fail(e, QS_ENOTFOUND, "there is no tokenizer in the file (metadata tokenizer.ggml.model)");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].model, model) != 0)
            continue;
        struct qs_vocab_data *d = qs_vocab_data_start(kinds[i].kind, model, e);
        if (!d)
            return QS_ENOMEM;
        int rc = read_all(&s, d, e);
        if (rc == QS_OK)
            *out = d;
        else
            qs_vocab_data_free(d);
        return rc;
    }
    return qs_fail(e, QS_EUNSUPPORTED, "a tokenizer of the kind '%s' (tokenizer.ggml.model) cannot be used yet: only "
                   "'llama', 'gpt2' and 'gemma4' can", model);
}
