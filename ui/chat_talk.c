/* chat_talk.c - what is said and answered: messages and commands, the answer that runs and its end.
 *
 * An answer that is wanted starts as soon as those who answer are there (chat_seats.c); polls look after both.
 * Nothing here waits.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/chat.h"

bool chat_runs(struct chat *c)
{
    return c->run && qs_chat_running(c->run);
}

/* ---- answers ---- */

void chat_job_leaves(struct qs_app *a)
{
    qs_workbench_unwatch(qs_app_bench(a), chat_of(a)->job);
    chat_of(a)->job = 0;
}

void chat_job_stands(struct qs_app *a, const char *word)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_watch(qs_app_bench(a), word, qs_chat_job(c->run), &c->job, &e))
        qs_app_fail(a, &e);
}

/* Without a template of its own a model has to be spoken to in another form, and a person knows which. */
static void form_chosen(struct qs_app *a, size_t answer, void *ctx)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    const char *form = answer == 0 ? "none" : ctx;
    if (qs_talk_set(c->talk, "template", form, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    qs_app_go(a, &qs_screen_chat);
    c->wanted = true;
    (void)chat_poll(a);
}

/* true: the person was asked, nothing starts now. */
static bool ask_form(struct qs_app *a, const struct qs_side *side)
{
    static struct qs_app_answer answers[] = { { 'r', "raw text" }, { 'b', "built-in form" } };
    struct chat *c = chat_of(a);
    const char *why = qs_side_template_error(side), *guess = qs_side_template_guess(side);
    struct qs_str text = QS_STR_INIT;
    if (c->talk->settings.form[0] || !why)
        return false;
    qs_str_addf(&text, "%s\nRaw text: the model goes on with what is typed. Built-in form: \"%s\" fits this vocabulary "
                "best; /set template NAME takes another.\n", why, guess);
    if (text.failed)
        qs_app_warn(a, "out of memory");
    else
        qs_app_ask(a, "No chat template", text.data, answers, 2, form_chosen, (void *)(uintptr_t)guess);
    qs_str_free(&text);
    return true;
}

void chat_note(struct chat *c, const char *text)
{
    (void)snprintf(c->note, sizeof c->note, "%s", text);
    c->rows_talk = UINT64_MAX;
}

static void start(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct qs_side *side[QS_ANSWER_SIDES] = { c->seat[c->at[0]].side, chat_two(c) ? c->seat[c->at[1]].side : NULL };
    struct qs_err e = QS_ERR_INIT;
    c->wanted = false;
    if (ask_form(a, side[0]))
        return;
    if (chat_too_much(a, side, chat_two(c) ? 2 : 1, &e)) {
        chat_note(c, e.msg);
        qs_app_fail(a, &e);
        return;
    }
    chat_job_leaves(a);
    if (qs_chat_draft(c->run, c->draft ? c->seat[c->draft].side : NULL, &e) ||
        qs_chat_start(c->run, c->talk, side, chat_two(c) ? 2 : 1, chat_two(c) && c->follow, qs_app_wake_fd(a), &e)) {
        qs_app_fail(a, &e);
        return;
    }
    chat_job_stands(a, "answering");
    c->replay = false;
    c->answer_at = c->talk->n;
    c->token = QS_ANSWER_NONE;
    c->behind = false;
}

void chat_want(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    c->wanted = true;
    c->replay = false;
    c->behind = false;
    chat_note(c, "");
    (void)chat_poll(a);
}

/* A template that is missing or fails: which one to take, in the words of this screen. */
static void tell_template(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    const struct qs_answer *x = c->answer;
    const bool failed = x->no_template || (x->code && x->code != QS_ENOMEM && !x->side[0].prompt &&
                                           strcmp(c->talk->settings.form, "file") == 0);
    const struct qs_side *side = c->seat[c->at[0]].side;
    char text[256];
    if (!failed || !side)
        return;
    (void)snprintf(text, sizeof text, "To go on: /set template %s (/set template none: raw text), then r answers. "
                   "p lists all templates.", qs_side_template_guess(side));
    chat_note(c, text);
}

/* What has ended becomes part of the conversation, once. */
static void take_answer(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    const struct qs_answer *x = c->answer;
    struct qs_err e = QS_ERR_INIT;
    if (x->state != QS_ANSWER_ENDED || x->number == c->kept || x->replayed || chat_runs(c))
        return;
    c->kept = x->number;
    if (x->message[0]) {
        struct qs_err told = { .code = x->code ? x->code : QS_EINVAL };
        (void)snprintf(told.msg, sizeof told.msg, "%s", x->message);
        qs_app_fail(a, &told);
        tell_template(a);
    }
    if (c->answer_at == c->talk->n && !qs_chat_keep(c->run, c->talk, &e))
        return;
    if (e.code && (x->side[0].n || x->side[1].n)) { /* what has no token was told above */
        qs_err_prefix(&e, "the answer is not a part of the conversation");
        qs_app_fail(a, &e);
    }
    c->answer_at = c->answer_at < c->talk->n ? c->answer_at : SIZE_MAX;
}

bool chat_poll(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    const uint64_t seen = c->answer->version, number = c->answer->number;
    struct qs_err e = QS_ERR_INIT;
    bool changed = chat_seats_poll(a);
    changed |= chat_files_poll(a);
    if (qs_chat_look(c->run, c->answer, &e))
        qs_app_fail(a, &e);
    changed |= c->answer->version != seen || c->answer->number != number;
    take_answer(a);
    if ((c->wanted || c->preparing) && !chat_runs(c)) {
        const int ready = chat_seats_ready(a);
        c->wanted &= ready >= 0;
        c->preparing &= ready == 0;
        if (ready > 0 && c->wanted)
            start(a);
        changed |= ready != 0;
    }
    chat_seats_sweep(a);
    return changed;
}

/* ---- commands ---- */

/* What stands behind '/': a command of this screen without its "chat-", or any that ':' knows. */
static void command(struct qs_app *a, const char *line)
{
    const size_t n = strcspn(line, " ");
    struct qs_str own = QS_STR_INIT;
    bool ours = false;
    qs_str_addf(&own, "chat-%s", line);
    for (const struct qs_action *t = qs_screen_chat.actions; t->name && !ours; t++)
        ours = strncmp(t->name, own.data, n + 5) == 0 && !t->name[n + 5];
    if (own.failed)
        qs_app_warn(a, "out of memory");
    else
        qs_app_run(a, ours ? own.data : line);
    qs_str_free(&own);
}

void chat_send(struct qs_app *a, const char *text)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    if (text[0] == '/' && text[1] != '/') {
        command(a, text + 1);
        return;
    }
    text += text[0] == '/'; /* "//" begins a message with one */
    if (chat_runs(c) || c->wanted) {
        qs_app_warn(a, "an answer is being written: x (/stop) stops it");
        qs_edit_set(&c->edit, text);
        return;
    }
    const bool again = c->editing && c->editing == c->talk->said;
    if (again ? qs_talk_say_again(c->talk, text, strlen(text), &e) : qs_talk_say(c->talk, text, strlen(text), &e)) {
        qs_app_fail(a, &e);
        qs_edit_set(&c->edit, text);
        return;
    }
    c->editing = 0;
    c->answer_at = c->answer_at < c->talk->n ? c->answer_at : SIZE_MAX;
    chat_want(a);
}

static void offer_settings(struct qs_candidates *out, const char *typed)
{
    struct qs_talk_setting s;
    for (size_t i = 0; qs_talk_setting_at(i, &s); i++)
        if (strncmp(s.name, typed, strlen(typed)) == 0)
            qs_candidates_add(out, s.name, s.help);
}

/* Names, and behind a name its values. */
static void offer_setting(struct qs_candidates *out, const char *line, size_t at)
{
    char name[64];
    const size_t n = strcspn(line + at, " "), value = at + n + strspn(line + at + n, " ");
    if (!line[at + n]) {
        offer_settings(out, line + at);
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), line + at);
    out->start = value;
    chat_offer_values(name, line + value, out);
}

static void offer_commands(struct qs_candidates *out, const char *typed)
{
    for (const struct qs_action *t = qs_screen_chat.actions; t->name; t++) {
        const char *name = strncmp(t->name, "chat-", 5) == 0 ? t->name + 5 : t->name;
        if (strncmp(name, typed, strlen(typed)) == 0)
            qs_candidates_add(out, name, t->help);
    }
}

/* The argument of a command is completed as it is behind ':'. */
static const struct qs_action *named(const char *name, size_t n)
{
    for (const struct qs_action *t = qs_screen_chat.actions; t->name; t++) {
        const char *own = strncmp(t->name, "chat-", 5) == 0 ? t->name + 5 : t->name;
        if (strlen(own) == n && strncmp(own, name, n) == 0)
            return t;
    }
    return NULL;
}

void chat_complete(void *ctx, const char *text, size_t at, struct qs_candidates *out)
{
    struct qs_app *a = ctx;
    struct qs_str typed = QS_STR_INIT;
    out->start = 0;
    qs_str_addn(&typed, text, at);
    if (!typed.failed && typed.data[0] == '/') {
        const size_t n = strcspn(typed.data + 1, " ");
        const size_t skip = 1 + n + strspn(typed.data + 1 + n, " ");
        const struct qs_action *t = named(typed.data + 1, n);
        out->start = typed.data[1 + n] ? skip : 1;
        if (!typed.data[1 + n])
            offer_commands(out, typed.data + 1);
        else if (t && strcmp(t->name, "chat-set") == 0)
            offer_setting(out, typed.data, skip);
        else if (t)
            qs_app_complete_argument(a, t, typed.data + skip, skip, out);
    }
    qs_str_free(&typed);
}
