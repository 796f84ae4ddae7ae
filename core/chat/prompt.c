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

#define FLAGS (QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL)

static int render(const struct qs_side *s, const struct qs_chat_template *template, const struct qs_talk *t, int which,
                  struct qs_str *text, struct qs_tokens *out, struct qs_err *e)
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
    };
    const int rc = qs_chat_tokens(template, &args, s->source->vocab, FLAGS, text, out, e);
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

static int template_tokens(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_str *text,
                           struct qs_tokens *out, struct qs_err *e)
{
    const char *form = t->settings.form;
    struct qs_chat_template *made = NULL;
    struct qs_err why = QS_ERR_INIT;
    int rc = QS_OK;
    if (!*form && !s->template)
        return no_template(s, s->template_error, QS_EINVAL, e);
    if (strcmp(form, QS_TALK_FORM_FILE) == 0 && !t->template_source)
        rc = qs_fail(&why, QS_EINVAL, "the template of a file is asked for, and none was read");
    else if (strcmp(form, QS_TALK_FORM_FILE) == 0)
        rc = qs_chat_template_new(t->template_source, strlen(t->template_source), &made, &why);
    else if (*form)
        rc = qs_chat_template_builtin(form, &made, &why);
    if (!rc)
        rc = render(s, made ? made : s->template, t, which, text, out, &why);
    qs_chat_template_free(made);
    return rc && rc != QS_ENOMEM ? no_template(s, why.msg, rc, e) : rc ? qs_fail_mem(e, text->len, "the prompt") : QS_OK;
}

/* ---- the tokens ---------------------------------------------------------------------------------------------- */

int qs_side_tokens(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_tokens *out,
                   bool *no_template, struct qs_err *e)
{
    struct qs_tokens list = { 0 };
    struct qs_str text = QS_STR_INIT;
    const bool raw = is_raw(&t->settings);
    int rc = raw ? raw_text(t, which, &text, e) : template_tokens(s, t, which, &text, &list, e);
    *no_template = rc && rc != QS_ENOMEM && !*t->settings.form;
    if (!rc && raw)
        rc = qs_prompt_tokens(s->source->vocab, text.data, text.len, FLAGS, &list, e);
    if (!rc && list.n == 0)
        rc = qs_fail(e, QS_EINVAL, "%s: the prompt has no tokens", s->label);
    qs_str_free(&text);
    if (rc)
        qs_tokens_free(&list);
    else
        *out = list;
    return rc;
}
