/* talk.c - owns the messages of a conversation: what may follow what, and that every text is UTF-8 within bounds. */
#include "core/chat/talk.h"

#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/chat/talk_internal.h"
#include "kernels/format.h"

#define MAX_TOKENS 512 /* of an answer, unless told otherwise */

const char *qs_talk_role_name(enum qs_talk_role r)
{
    return r == QS_TALK_USER ? "user" : "assistant";
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

int qs_talk_check_text(const char *what, const char *text, size_t n, struct qs_err *e)
{
    if (n > QS_TALK_TEXT)
        return qs_fail(e, QS_ELIMIT, "%s has %zu bytes; the most is %u", what, n, QS_TALK_TEXT);
    const size_t bad = qs_utf8_invalid_at(text, n);
    if (bad < n)
        return qs_fail(e, QS_EINVAL, "%s is not valid UTF-8 at byte %zu", what, bad + 1);
    const char *zero = n ? memchr(text, 0, n) : NULL;
    return zero ? qs_fail(e, QS_EINVAL, "%s has a 0 byte at byte %zu", what, (size_t)(zero - text) + 1) : QS_OK;
}

static int copy_text(const char *what, const char *text, size_t n, char **out, struct qs_err *e)
{
    const int rc = qs_talk_check_text(what, text, n, e);
    if (rc)
        return rc;
    *out = qs_strndup(n ? text : "", n);
    return *out ? QS_OK : qs_fail_mem(e, n, what);
}

int qs_talk_system(struct qs_talk *t, const char *text, size_t n, struct qs_err *e)
{
    char *copy = NULL;
    const int rc = copy_text("the system prompt", text, n, &copy, e);
    if (rc)
        return rc;
    qs_free(t->system);
    t->system = copy;
    t->version++;
    t->said++;
    return QS_OK;
}

int qs_talk_set_template(struct qs_talk *t, const char *source, size_t n, struct qs_err *e)
{
    char *copy = NULL;
    const int rc = copy_text("the chat template", source, n, &copy, e);
    if (rc)
        return rc;
    qs_free(t->template_source);
    t->template_source = copy;
    memcpy(t->settings.form, QS_TALK_FORM_FILE, sizeof QS_TALK_FORM_FILE);
    t->version++;
    return QS_OK;
}

int qs_talk_settings_of(struct qs_talk *t, const struct qs_talk *from, struct qs_err *e)
{
    char *source = from->template_source ? qs_strdup(from->template_source) : NULL;
    if (from->template_source && !source)
        return qs_fail_mem(e, strlen(from->template_source), "the chat template");
    qs_free(t->template_source);
    t->template_source = source;
    t->settings = from->settings;
    t->version++;
    return QS_OK;
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

static void message_free(struct qs_talk_message *m)
{
    qs_free(m->text);
    qs_free(m->other);
}

int qs_talk_add(struct qs_talk *t, enum qs_talk_role role, const char *text, size_t n, const char *other,
                size_t n_other, struct qs_err *e)
{
    struct qs_talk_message m = { .role = role };
    if (t->n >= QS_TALK_MESSAGES)
        return qs_fail(e, QS_ELIMIT, "a conversation has at most %d messages", QS_TALK_MESSAGES);
    int rc = copy_text(role == QS_TALK_USER ? "the message" : "the answer", text, n, &m.text, e);
    if (!rc && other && (n_other != n || memcmp(text, other, n) != 0))
        rc = copy_text("the second answer", other, n_other, &m.other, e);
    if (!rc && !qs_grow(&t->message, &t->cap, t->n + 1, sizeof *t->message))
        rc = qs_fail_mem(e, sizeof *t->message, "a message");
    if (rc) {
        message_free(&m);
        return rc;
    }
    t->message[t->n++] = m;
    t->version++;
    t->said++;
    return QS_OK;
}

int qs_talk_say(struct qs_talk *t, const char *text, size_t n, struct qs_err *e)
{
    const bool raw = strcmp(t->settings.form, QS_TALK_FORM_NONE) == 0;
    if (n == 0)
        return qs_fail(e, QS_EINVAL, "the message is empty: there is nothing to answer");
    if (!raw && t->n && t->message[t->n - 1].role == QS_TALK_USER)
        return qs_fail(e, QS_EINVAL, "the last message has no answer yet: ask for it again, or edit it");
    const int rc = qs_talk_add(t, QS_TALK_USER, text, n, NULL, 0, e);
    if (!rc)
        t->attempt = 0;
    return rc;
}

int qs_talk_answer(struct qs_talk *t, const char *text, size_t n, const char *other, size_t n_other, struct qs_err *e)
{
    if (!t->n || t->message[t->n - 1].role != QS_TALK_USER)
        return qs_fail(e, QS_EINVAL, "there is no message that waits for an answer");
    return qs_talk_add(t, QS_TALK_ASSISTANT, text, n, other, n_other, e);
}

static void drop_last(struct qs_talk *t)
{
    message_free(&t->message[--t->n]);
    t->version++;
    t->said++;
}

int qs_talk_say_again(struct qs_talk *t, const char *text, size_t n, struct qs_err *e)
{
    char *copy = NULL;
    if (n == 0)
        return qs_fail(e, QS_EINVAL, "the message is empty: there is nothing to answer");
    if (!qs_talk_last(t, QS_TALK_USER))
        return qs_fail(e, QS_EINVAL, "there is no message to edit");
    const int rc = copy_text("the message", text, n, &copy, e);
    if (rc)
        return rc;
    while (t->message[t->n - 1].role != QS_TALK_USER)
        drop_last(t);
    qs_free(t->message[t->n - 1].text);
    t->message[t->n - 1].text = copy;
    t->attempt = 0;
    t->version++;
    t->said++;
    return QS_OK;
}

int qs_talk_regenerate(struct qs_talk *t, struct qs_err *e)
{
    if (!qs_talk_last(t, QS_TALK_USER))
        return qs_fail(e, QS_EINVAL, "there is no message to answer again");
    while (t->message[t->n - 1].role != QS_TALK_USER)
        drop_last(t);
    t->attempt++;
    t->version++;
    return QS_OK;
}

int qs_talk_take_back(struct qs_talk *t, char **text, struct qs_err *e)
{
    if (!qs_talk_last(t, QS_TALK_USER))
        return qs_fail(e, QS_EINVAL, "there is no message to edit");
    while (t->message[t->n - 1].role != QS_TALK_USER)
        drop_last(t);
    *text = t->message[t->n - 1].text;
    t->message[t->n - 1].text = NULL;
    drop_last(t);
    t->attempt = 0;
    return QS_OK;
}

void qs_talk_clear(struct qs_talk *t)
{
    while (t->n)
        drop_last(t);
    t->attempt = 0;
    t->version++;
}

const struct qs_talk_message *qs_talk_last(const struct qs_talk *t, enum qs_talk_role role)
{
    for (size_t i = t->n; i > 0; i--)
        if (t->message[i - 1].role == role)
            return &t->message[i - 1];
    return NULL;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

int qs_talk_new(struct qs_talk **out, struct qs_err *e)
{
    struct qs_talk *t = qs_calloc(1, sizeof *t);
    if (t)
        t->system = qs_strdup("");
    if (!t || !t->system) {
        qs_free(t);
        return qs_fail_mem(e, sizeof *t, "a conversation");
    }
    qs_sampler_defaults(&t->settings.sampler);
    t->settings.max_tokens = MAX_TOKENS;
    t->settings.type_k = t->settings.type_v = QS_F16;
    t->version = 1;
    *out = t;
    return QS_OK;
}

void qs_talk_free(struct qs_talk *t)
{
    if (!t)
        return;
    while (t->n)
        drop_last(t);
    qs_free(t->message);
    qs_free(t->system);
    qs_free(t->template_source);
    qs_free(t);
}

int qs_talk_copy(const struct qs_talk *from, struct qs_talk **out, struct qs_err *e)
{
    struct qs_talk *t = NULL;
    int rc = qs_talk_new(&t, e);
    if (!rc)
        rc = qs_talk_system(t, from->system, strlen(from->system), e);
    if (!rc)
        rc = qs_talk_settings_of(t, from, e);
    for (size_t i = 0; !rc && i < from->n; i++) {
        const struct qs_talk_message *m = &from->message[i];
        rc = qs_talk_add(t, m->role, m->text, strlen(m->text), m->other, m->other ? strlen(m->other) : 0, e);
    }
    if (rc) {
        qs_talk_free(t);
        return rc;
    }
    t->attempt = from->attempt;
    t->version = from->version;
    t->said = from->said;
    *out = t;
    return QS_OK;
}
