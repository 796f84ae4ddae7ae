/* chat.c - chat templates: a compiled template, the variables it sees, and the built-in forms by name.
 *
 * Owns what a template is given: messages, add_generation_prompt, the special tokens, tools and documents (none
 * unless given), and whatever else the caller has. The language is core/text/jinja's, the built-in texts are in
 * chat_builtin.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "core/text/chat.h"
#include "core/text/jinja/jinja.h"

struct qs_chat_template {
    struct qs_jinja *jinja;
};

int qs_chat_template_new(const char *source, size_t n, struct qs_chat_template **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_chat_template *t = qs_calloc(1, sizeof *t);
    if (!t)
        return qs_fail_mem(e, sizeof *t, "a chat template");
    int rc = qs_jinja_compile(source, n, &t->jinja, e);
    if (rc)
        qs_chat_template_free(t);
    else
        *out = t;
    return rc ? qs_err_prefix(e, "chat template") : QS_OK;
}

const char *qs_chat_builtin_name(size_t i)
{
    size_t n;
    const struct qs_chat_builtin *rows = qs_chat_builtins(&n);
    return i < n ? rows[i].name : NULL;
}

const char *qs_chat_builtin_names(char *buf, size_t size)
{
    const char *name;
    size_t at = 0;
    if (size)
        buf[0] = 0;
    for (size_t i = 0; (name = qs_chat_builtin_name(i)) && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", name);
    return buf;
}

int qs_chat_template_builtin(const char *name, struct qs_chat_template **out, struct qs_err *e)
{
    size_t n;
    char buf[200], all[256];
    struct qs_near near;
    const struct qs_chat_builtin *rows = qs_chat_builtins(&n);
    *out = NULL;
    qs_near_start(&near, name);
    for (size_t i = 0; i < n; i++) {
        if (qs_ascii_equal(rows[i].name, name))
            return qs_chat_template_new(rows[i].source, strlen(rows[i].source), out, e);
        qs_near_try(&near, rows[i].name);
    }
    return qs_fail(e, QS_ENOTFOUND, "no built-in chat template is named '%.60s'%s (%s)", name,
                   qs_near_text(&near, buf, sizeof buf), qs_chat_builtin_names(all, sizeof all));
}

void qs_chat_template_free(struct qs_chat_template *t)
{
    if (!t)
        return;
    qs_jinja_free(t->jinja);
    qs_free(t);
}

const char *qs_chat_template_guess(bool (*has)(const void *vocabulary, const char *token), const void *vocabulary)
{
    size_t n;
    const struct qs_chat_builtin *rows = qs_chat_builtins(&n);
    for (size_t i = 0; i < n; i++)
        if (rows[i].mark && has(vocabulary, rows[i].mark))
            return rows[i].name;
    return "plain";
}

/* The variables of ours as one object: NULL when memory is out. */
static struct qs_json *variables(const struct qs_chat_args *a)
{
    struct qs_json *v = qs_json_object();
    bool fine = qs_json_add_bool(v, "add_generation_prompt", a->add_generation_prompt) &&
                qs_json_add_null(v, "tools") && qs_json_add_null(v, "documents");
    if (a->bos_token)
        fine = fine && qs_json_add_str(v, "bos_token", a->bos_token);
    if (a->eos_token)
        fine = fine && qs_json_add_str(v, "eos_token", a->eos_token);
    struct qs_json *list = fine && !a->messages_json ? qs_json_add_array(v, "messages") : NULL;
    for (size_t i = 0; list && i < a->n_messages; i++) {
        struct qs_json *m = qs_json_add_object(list, NULL);
        fine = fine && qs_json_add_str(m, "role", a->messages[i].role) &&
               qs_json_add_str(m, "content", a->messages[i].content);
    }
    if (fine && (list || a->messages_json))
        return v;
    if (v)
        qs_json_free(v);
    return NULL;
}

int qs_chat_render(const struct qs_chat_template *t, const struct qs_chat_args *a, struct qs_str *out, struct qs_err *e)
{
    static const char *const names[] = { "messages", "add_generation_prompt", "bos_token", "eos_token", "tools",
                                         "documents" };
    struct qs_jinja_variable named[sizeof names / sizeof *names];
    struct qs_json *v = variables(a);
    size_t n = 0;
    if (!v)
        return qs_fail(e, QS_ENOMEM, "out of memory for the messages of a chat");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct qs_json *value = i == 0 && a->messages_json ? a->messages_json : qs_json_get(v, names[i]);
        if (value)
            named[n++] = (struct qs_jinja_variable){ names[i], value };
    }
    struct qs_jinja_run run = { .variables = a->extra, .named = named, .n_named = n, .now = a->now };
    int rc = qs_jinja_render(t->jinja, &run, out, e);
    qs_json_free(v);
    return rc;
}
