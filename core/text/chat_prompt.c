/* chat_prompt.c - from messages to the tokens a model is fed: template, special tokens, tokenizer, BOS. Owns nothing.
 * Apart from chat.c, which knows no vocabulary. */
#include <string.h>

#include "core/text/chat.h"
#include "core/text/vocab.h"

/* The text of a special token as the vocabulary spells it; NULL: there is none. */
static const char *special_text(const struct qs_vocab *v, enum qs_special s)
{
    const int32_t id = qs_vocab_special(v, s);
    return id == QS_NO_TOKEN ? NULL : qs_vocab_source(v)->token[id].text;
}

int qs_prompt_tokens(const struct qs_vocab *v, const char *text, size_t n, unsigned flags, struct qs_tokens *out,
                     struct qs_err *e)
{
    const char *bos = special_text(v, QS_SPECIAL_BOS);
    const bool written = bos && *bos && n >= strlen(bos) && memcmp(text, bos, strlen(bos)) == 0;
    const size_t before = out->n;
    int rc = QS_OK;
    if ((flags & QS_TOKENIZE_ADD_SPECIAL) && qs_vocab_adds_bos(v) && !written)
        rc = qs_tokens_add(out, qs_vocab_special(v, QS_SPECIAL_BOS), e);
    rc = rc ? rc : qs_tokenize(v, text, n, flags & ~(unsigned)QS_TOKENIZE_ADD_SPECIAL, out, e);
    if (rc)
        out->n = before;
    return rc;
}

int qs_chat_tokens(const struct qs_chat_template *t, const struct qs_chat_args *a, const struct qs_vocab *v,
                   unsigned flags, struct qs_str *text, struct qs_tokens *out, struct qs_err *e)
{
    struct qs_chat_args args = *a;
    const size_t from = text->len;
    args.bos_token = special_text(v, QS_SPECIAL_BOS);
    args.eos_token = special_text(v, QS_SPECIAL_EOS);
    const int rc = qs_chat_render(t, &args, text, e);
    if (rc && rc != QS_ENOMEM)
        return qs_err_prefix(e, "chat template");
    return rc ? rc : qs_prompt_tokens(v, text->data + from, text->len - from, flags, out, e);
}
