/* chat_settings.c - the settings of the conversation: by name, in a list, and what a context that is chosen comes to.
 *
 * Refuses an answer for which there is no memory, before anything of it is taken.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "core/model/need.h"
#include "core/text/chat.h"
#include "ui/chat.h"

/* ---- what a context comes to ---- */

enum { CONTEXT_UNLESS_ASKED = 4096 }; /* tokens: the setting's help says so */

/* The models that answer, as far as they are known. */
static size_t models(struct qs_app *a, const struct qs_model *out[QS_ANSWER_SIDES])
{
    const struct chat *c = chat_of(a);
    size_t n = 0;
    for (int i = 0; i < QS_ANSWER_SIDES; i++) {
        const struct qs_side *side = c->at[i] == CHAT_NOBODY ? NULL : c->seat[c->at[i]].side;
        if (c->at[i] != CHAT_NOBODY && c->at[i] < CHAT_FILES && qs_app_doc(a))
            out[n++] = qs_app_doc(a)->model;
        else if (side)
            out[n++] = qs_side_model(side);
    }
    return n;
}

void chat_context_remark(struct qs_app *a, const struct qs_talk_settings *s, struct qs_str *out)
{
    const struct qs_model *m[QS_ANSWER_SIDES];
    const size_t n = models(a, m);
    struct qs_chat_need need;
    size_t trained = 0;
    char size[24];
    for (size_t i = 0; i < n; i++)
        if (m[i]->hp.n_ctx && (!trained || m[i]->hp.n_ctx < trained))
            trained = m[i]->hp.n_ctx;
    if (!s->n_ctx || !n)
        return;
    if (trained && s->n_ctx > trained)
        qs_str_addf(out, "trained with %zu tokens, beyond it may make no sense; ", trained);
    else if (trained && s->n_ctx < trained && s->n_ctx < CONTEXT_UNLESS_ASKED)
        qs_str_addf(out, "less than it could be (ctx 0 takes %zu); ",
                    trained < CONTEXT_UNLESS_ASKED ? trained : CONTEXT_UNLESS_ASKED);
    qs_chat_need_models(m, n, s, &need);
    qs_str_addf(out, "the cache takes %s", qs_fmt_bytes(size, sizeof size, need.side[0].cache + need.side[1].cache));
}

int chat_too_much(struct qs_app *a, struct qs_side *const *side, size_t n, struct qs_err *e)
{
    const struct chat *c = chat_of(a);
    const struct qs_machine_memory machine = qs_machine_memory();
    struct qs_chat_need need;
    char size[24], room[24];
    const int rc = qs_chat_need(side, n, &c->talk->settings, &need, e);
    if (rc)
        return rc;
    uint64_t takes = 0, there = machine.available;
    for (size_t i = 0; i < n; i++) {
        takes += need.side[i].cache;
        there += c->answer->side[i].memory.cache; /* of the answer before: it is used again, or given back first */
    }
    if (!machine.available || takes <= there)
        return QS_OK;
    return qs_fail(e, QS_ENOMEM, "context and buffers of this answer take %s, and this machine has %s to give: a "
                   "shorter context (/set ctx 4096) or a smaller cache (/set cache-type-k Q8_0) takes less; then r",
                   qs_fmt_bytes(size, sizeof size, takes), qs_fmt_bytes(room, sizeof room, there));
}

/* ---- settings ---- */

const char *chat_set_refused(struct qs_app *a)
{
    return chat_runs(chat_of(a)) ? "an answer is being written: x stops it" : NULL;
}

/* A context says what it comes to, and it is a warning where it goes beyond what the model knows. */
static void tell_value(struct qs_app *a, const char *name, const char *value)
{
    const struct chat *c = chat_of(a);
    struct qs_str remark = QS_STR_INIT;
    if (strcmp(name, "ctx") == 0)
        chat_context_remark(a, &c->talk->settings, &remark);
    if (!remark.failed && remark.len)
        qs_app_warn(a, "%s = %s: %s", name, value, remark.data);
    else
        qs_app_say(a, "%s = %s", name, value);
    qs_str_free(&remark);
}

void chat_set(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    char name[64];
    struct qs_err e = QS_ERR_INIT;
    struct qs_str shown = QS_STR_INIT;
    const size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    (void)snprintf(name, sizeof name, "%.*s", (int)n, arg);
    if (*value && qs_talk_set(c->talk, name, value, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    qs_talk_show(c->talk, name, &shown);
    if (shown.failed)
        qs_app_warn(a, "out of memory");
    else
        tell_value(a, name, shown.len ? shown.data : "(nothing)");
    qs_str_free(&shown);
}

static void setting_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    struct qs_talk_setting s;
    struct qs_str value = QS_STR_INIT;
    (void)ctx;
    if (!qs_talk_setting_at(i, &s))
        return;
    qs_talk_show(chat_of(a)->talk, s.name, &value);
    (void)snprintf(out->label, sizeof out->label, "%s", s.name);
    (void)snprintf(out->detail[0], sizeof out->detail[0], "%s", value.len ? value.data : "-");
    (void)snprintf(out->detail[1], sizeof out->detail[1], "%s", s.help);
    qs_str_free(&value);
}

static void pick_setting(struct qs_app *a, size_t first);

static void setting_typed(struct qs_app *a, const char *text, void *ctx)
{
    const size_t i = (size_t)(uintptr_t)ctx;
    struct qs_talk_setting s;
    struct qs_err e = QS_ERR_INIT;
    if (!qs_talk_setting_at(i, &s))
        return;
    if (qs_talk_set(chat_of(a)->talk, s.name, text, &e))
        qs_app_fail(a, &e);
    pick_setting(a, i);
    if (!e.code)
        tell_value(a, s.name, text);
}

/* The forms of a template: the model's own, none, that of a file, and the built-in ones. false: past the last. */
static bool form_at(const struct qs_talk *t, size_t i, const char **name, const char **help)
{
    static const char *const first[][2] = {
        { "model", "the model's own template" },
        { "none", "raw text: the model goes on with what is typed" },
        { "file", "the template that the conversation brought along" },
    };
    const size_t n_first = t && t->template_source ? 3 : 2;
    size_t n;
    const struct qs_chat_builtin *b = qs_chat_builtins(&n);
    if (i >= n_first + n)
        return false;
    *name = i < n_first ? first[i][0] : b[i - n_first].name;
    *help = i < n_first ? first[i][1] : b[i - n_first].help;
    return true;
}

static void form_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    const struct qs_talk *t = chat_of(a)->talk;
    const char *name, *help;
    (void)ctx;
    if (!form_at(t, i, &name, &help))
        return;
    (void)snprintf(out->label, sizeof out->label, "%s", name);
    (void)snprintf(out->detail[0], sizeof out->detail[0], "%s", help);
    out->current = strcmp(*t->settings.form ? t->settings.form : "model", name) == 0;
}

static void form_picked(struct qs_app *a, size_t i, void *ctx)
{
    const char *name, *help;
    if (form_at(chat_of(a)->talk, i, &name, &help))
        setting_typed(a, name, ctx);
}

static void pick_form(struct qs_app *a, size_t setting)
{
    const struct qs_talk *t = chat_of(a)->talk;
    const char *name, *help;
    size_t n = 0, now = 0;
    for (; form_at(t, n, &name, &help); n++)
        now = strcmp(t->settings.form, name) == 0 ? n : now;
    qs_app_pick(a, &(struct qs_app_list){ .title = "Template of the conversation", .n = n, .first = now,
                                          .label_head = "template", .head = { "what it is" }, .keep_order = true },
                form_item, form_picked, (void *)(uintptr_t)setting);
}

void chat_offer_values(const char *setting, const char *typed, struct qs_candidates *out)
{
    const char *name, *help;
    for (size_t i = 0; strcmp(setting, "template") == 0 && form_at(NULL, i, &name, &help); i++)
        if (strncmp(name, typed, strlen(typed)) == 0)
            qs_candidates_add(out, name, help);
}

static void setting_picked(struct qs_app *a, size_t i, void *ctx)
{
    char label[64];
    struct qs_talk_setting s;
    struct qs_str value = QS_STR_INIT;
    (void)ctx;
    if (!qs_talk_setting_at(i, &s))
        return;
    if (strcmp(s.name, "template") == 0) {
        pick_form(a, i);
        return;
    }
    qs_talk_show(chat_of(a)->talk, s.name, &value);
    (void)snprintf(label, sizeof label, "%s: ", s.name);
    qs_app_prompt(a, label, value.data, QS_ARG_TEXT, NULL, setting_typed, (void *)(uintptr_t)i);
    qs_str_free(&value);
}

static void pick_setting(struct qs_app *a, size_t first)
{
    struct qs_talk_setting s;
    size_t n = 0;
    while (qs_talk_setting_at(n, &s))
        n++;
    qs_app_pick(a, &(struct qs_app_list){ .title = "Settings of the conversation", .n = n, .first = first,
                                          .label_head = "setting", .head = { "value", "what it does" },
                                          .keep_order = true },
                setting_item, setting_picked, NULL);
}

void chat_settings(struct qs_app *a, const char *arg)
{
    (void)arg;
    pick_setting(a, 0);
}
