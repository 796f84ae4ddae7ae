/* prompt.c - from a conversation to the tokens that a side is given: template, special tokens, tokenizer. */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "core/chat/chat_internal.h"

static bool is_raw(const struct qs_talk_settings *s)
{
    return strcmp(s->form, QS_TALK_FORM_NONE) == 0;
}

/* The built-in form of that name; NULL: it is none. */
static const struct qs_chat_builtin *find_builtin(const char *name)
{
    size_t n;
    const struct qs_chat_builtin *b = qs_chat_builtins(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(b[i].name, name) == 0)
            return &b[i];
    return NULL;
}

int32_t qs_side_stop_token(const struct qs_side *s, const struct qs_talk_settings *t)
{
    const struct qs_chat_builtin *b = *t->form ? find_builtin(t->form) : NULL;
    return b && b->stop ? qs_vocab_find(s->source->vocab, b->stop, strlen(b->stop)) : QS_NO_TOKEN;
}

static const char *text_of(const struct qs_talk_message *m, int which)
{
    return which && m->other ? m->other : m->text;
}

/* ---- the text ------------------------------------------------------------------------------------------------ */

static int raw_text(const struct qs_talk *t, int which, struct qs_str *out, struct qs_err *e)
{
    qs_str_add(out, t->system);
    for (size_t i = 0; i < t->n; i++)
        qs_str_add(out, text_of(&t->message[i], which));
    return out->failed ? qs_fail_mem(e, out->len, "the prompt") : QS_OK;
}

static const char *special_text(const struct qs_side *s, enum qs_special which)
{
    const int32_t id = qs_vocab_special(s->source->vocab, which);
    return id == QS_NO_TOKEN ? NULL : qs_vocab_source(s->source->vocab)->token[id].text;
}

static int render(const struct qs_side *s, const struct qs_chat_template *template, const struct qs_talk *t, int which,
                  struct qs_str *out, struct qs_err *e)
{
    struct qs_chat_message *list = qs_calloc(t->n + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return qs_fail_mem(e, t->n * sizeof *list, "the messages");
    if (*t->system)
        list[n++] = (struct qs_chat_message){ "system", t->system };
    for (size_t i = 0; i < t->n; i++)
        list[n++] = (struct qs_chat_message){ qs_talk_role_name(t->message[i].role), text_of(&t->message[i], which) };
    const struct qs_chat_args args = {
        .messages = list, .n_messages = n, .add_generation_prompt = true, .now = (int64_t)time(NULL),
        .bos_token = special_text(s, QS_SPECIAL_BOS), .eos_token = special_text(s, QS_SPECIAL_EOS),
    };
    const int rc = qs_chat_render(template, &args, out, e);
    qs_free(list);
    return rc;
}

/* The way out of a template that does not work. */
static int no_template(const struct qs_side *s, const char *why, int code, struct qs_err *e)
{
    struct qs_err own = QS_ERR_INIT; /* `why` may be the text of e */
    qs_fail(&own, (enum qs_code)code, "%s: %.300s; go on with a built-in form (%s fits this vocabulary best) or "
            "without a template", s->label, why, s->guess);
    if (e)
        *e = own;
    return code;
}

static int template_text(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_str *out,
                         struct qs_err *e)
{
    const char *form = t->settings.form;
    struct qs_chat_template *made = NULL;
    struct qs_err why = QS_ERR_INIT;
    int rc = QS_OK;
    if (!*form && !s->template)
        return no_template(s, s->template_error, QS_EINVAL, e);
    if (strcmp(form, QS_TALK_FORM_FILE) == 0)
        rc = qs_chat_template_new(t->template_source, strlen(t->template_source), &made, &why);
    else if (*form)
        rc = qs_chat_template_builtin(form, &made, &why);
    if (!rc)
        rc = render(s, made ? made : s->template, t, which, out, &why);
    qs_chat_template_free(made);
    return rc && rc != QS_ENOMEM ? no_template(s, why.msg, rc, e) : rc ? qs_fail_mem(e, out->len, "the prompt") : QS_OK;
}

/* ---- the tokens ---------------------------------------------------------------------------------------------- */

int qs_side_tokens(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_str *text,
                   struct qs_tokens *out, struct qs_err *e)
{
    const struct qs_vocab *v = s->source->vocab;
    const int32_t bos = qs_vocab_special(v, QS_SPECIAL_BOS);
    const bool raw = is_raw(&t->settings), own = !*t->settings.form;
    struct qs_tokens list = { 0 };
    const size_t from = text->len;
    int rc = raw ? raw_text(t, which, text, e) : template_text(s, t, which, text, e);
    /* A model's own template writes all its special tokens itself. */
    const char *bos_text = special_text(s, QS_SPECIAL_BOS);
    const bool written = !rc && bos_text && strncmp(text->data + from, bos_text, strlen(bos_text)) == 0;
    if (!rc && !own && bos != QS_NO_TOKEN && qs_vocab_adds_bos(v) && !written)
        rc = qs_tokens_add(&list, bos, e);
    if (!rc)
        rc = qs_tokenize(v, text->data + from, text->len - from, QS_TOKENIZE_PARSE_SPECIAL, &list, e);
    if (!rc && list.n == 0)
        rc = qs_fail(e, QS_EINVAL, "%s: the prompt has no tokens", s->label);
    if (rc)
        qs_tokens_free(&list);
    else
        *out = list;
    return rc;
}

int qs_side_prompt(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_str *text, int32_t **token,
                   size_t *n, struct qs_err *e)
{
    struct qs_tokens list = { 0 };
    const int rc = qs_side_tokens(s, t, which, text, &list, e);
    if (rc)
        return rc;
    *token = list.id;
    *n = list.n;
    return QS_OK;
}
