/* folder_vocab.c - the tokenizer of a folder as metadata.
 *
 * Owns nothing beyond the call: core/text reads the folder's files, here they become the keys tokenizer.* in the order
 * that the converter of llama.cpp writes them. A folder without a tokenizer is a model that can be shown, quantized and
 * fed with ids: tokenizer.ggml.model is "none" then, and the number of tokens is stated instead.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder_internal.h"
#include "core/text/vocab_data.h"

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static void add_le(struct qs_str *s, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        qs_str_addc(s, (char)(uint8_t)(v >> (8 * i)));
}

static void begin(struct qs_str *s, enum qs_gguf_type item, size_t n)
{
    qs_str_clear(s);
    add_le(s, (uint64_t)item, 4);
    add_le(s, n, 8);
}

static void add_text(struct qs_str *s, const char *text, size_t n)
{
    add_le(s, n, 8);
    qs_str_addn(s, text, n);
}

static int put_array(struct qs_gguf_meta *m, const char *key, const struct qs_str *raw, struct qs_err *e)
{
    return raw->failed ? qs_fail_mem(e, raw->len, "the tokenizer")
                       : qs_gguf_meta_raw(m, key, QS_GGUF_ARRAY, raw->data, raw->len, e);
}

static int put_tokens(const struct qs_vocab_data *d, struct qs_gguf_meta *m, struct qs_str *raw, struct qs_err *e)
{
    begin(raw, QS_GGUF_STRING, d->n_tokens);
    for (size_t i = 0; i < d->n_tokens; i++)
        add_text(raw, d->token[i].text, d->token[i].len);
    int rc = put_array(m, "tokenizer.ggml.tokens", raw, e);
    if (!rc && d->has_scores) {
        begin(raw, QS_GGUF_F32, d->n_tokens);
        for (size_t i = 0; i < d->n_tokens; i++) {
            uint32_t bits;
            memcpy(&bits, &d->token[i].score, sizeof bits);
            add_le(raw, bits, 4);
        }
        rc = put_array(m, "tokenizer.ggml.scores", raw, e);
    }
    if (!rc && d->has_types) {
        begin(raw, QS_GGUF_I32, d->n_tokens);
        for (size_t i = 0; i < d->n_tokens; i++)
            add_le(raw, d->token[i].type, 4);
        rc = put_array(m, "tokenizer.ggml.token_type", raw, e);
    }
    if (!rc && d->n_merges) {
        begin(raw, QS_GGUF_STRING, d->n_merges);
        for (size_t i = 0; i < d->n_merges; i++)
            add_text(raw, d->merge[i].text, d->merge[i].len);
        rc = put_array(m, "tokenizer.ggml.merges", raw, e);
    }
    return rc;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static int put_flags(const struct qs_vocab_data *d, struct qs_gguf_meta *m, struct qs_err *e)
{
    const struct { const char *key; int8_t value; } flag[] = {
        { "tokenizer.ggml.add_bos_token", d->add_bos }, { "tokenizer.ggml.add_eos_token", d->add_eos },
        { "tokenizer.ggml.add_sep_token", d->add_sep }, { "tokenizer.ggml.add_space_prefix", d->add_space_prefix },
        { "tokenizer.ggml.remove_extra_whitespaces", d->remove_extra_whitespaces },
    };
    int rc = QS_OK;
    for (size_t i = 0; i < sizeof flag / sizeof *flag && !rc; i++)
        if (flag[i].value != QS_UNSTATED)
            rc = qs_gguf_meta_raw(m, flag[i].key, QS_GGUF_BOOL, &(uint8_t){ flag[i].value != 0 }, 1, e);
    return rc;
}

static int put_vocab(const struct qs_vocab_data *d, struct qs_gguf_meta *m, struct qs_str *raw, struct qs_err *e)
{
    int rc = qs_gguf_meta_str(m, "tokenizer.ggml.model", d->model, e);
    if (!rc && d->pre[0])
        rc = qs_gguf_meta_str(m, "tokenizer.ggml.pre", d->pre, e);
    if (!rc)
        rc = put_tokens(d, m, raw, e);
    for (int s = 0; s < QS_SPECIALS && !rc; s++)
        if (d->special[s] != QS_NO_TOKEN)
            rc = qs_gguf_meta_u32(m, qs_special_key((enum qs_special)s), (uint32_t)d->special[s], e);
    if (!rc)
        rc = put_flags(d, m, e);
    if (!rc && d->chat_template)
        rc = qs_gguf_meta_str(m, "tokenizer.chat_template", d->chat_template, e);
    return rc;
}

static int put_none(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    char key[80];
    (void)snprintf(key, sizeof key, "%s.vocab_size", f->family->arch);
    qs_folder_remark(f, "there is no tokenizer (tokenizer.json or tokenizer.model): the model cannot be spoken to");
    const int rc = qs_gguf_meta_str(m, "tokenizer.ggml.model", "none", e);
    return rc ? rc : qs_gguf_meta_u32(m, key, (uint32_t)f->n.n_vocab, e);
}

int qs_folder_vocab(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    static const char *const files[] = {
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json",
        "chat_template.jinja", "chat_template.json",
    };
    struct qs_vocab_data *d = NULL;
    struct qs_str raw = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    int rc = QS_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && !rc; i++)
        rc = qs_folder_beside(f, files[i], e);
    if (rc)
        return rc;
    rc = qs_vocab_data_folder(f->dir, (size_t)f->n.n_vocab, &d, &why);
    if (rc == QS_ENOTFOUND)
        return put_none(f, m, e);
    if (rc)
        return qs_fail(e, rc, "%s", why.msg);
    if (d->warning[0])
        qs_folder_remark(f, "%s", d->warning);
    rc = put_vocab(d, m, &raw, e);
    qs_str_free(&raw);
    qs_vocab_data_free(d);
    return rc;
}
