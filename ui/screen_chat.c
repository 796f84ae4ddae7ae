/* screen_chat.c - talking to the model, or to it and another side by side: the table of what can be done, keys,
 * mouse.
 *
 * Two states: keys act on the screen, or what is typed goes into the field below. Enter leads into the field, Esc
 * out of it, so that digits and letters mean what they mean on every screen until somebody wants to write.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/chat.h"
#include "ui/layout.h"

struct chat *chat_of(struct qs_app *a)
{
    return qs_app_state(a, &qs_screen_chat);
}

/* ---- typing ---- */

static void write_message(struct qs_app *a, const char *arg)
{
    (void)arg;
    chat_of(a)->typing = true;
}

static void send(struct qs_app *a, const char *arg)
{
    chat_send(a, arg);
}

static void accept(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    char *text = qs_strdup(c->edit.text);
    if (!text) {
        qs_app_warn(a, "out of memory");
        return;
    }
    qs_edit_set(&c->edit, "");
    if (*text)
        chat_send(a, text);
    qs_free(text);
}

static const char *not_running(struct qs_app *a)
{
    return chat_runs(chat_of(a)) || chat_of(a)->wanted ? NULL : "no answer is being written";
}

static const char *running(struct qs_app *a)
{
    return chat_runs(chat_of(a)) ? "an answer is being written: x stops it" : NULL;
}

static void stop(struct qs_app *a, const char *arg)
{
    (void)arg;
    chat_of(a)->wanted = false;
    qs_chat_stop(chat_of(a)->run);
}

/* Keys of the screen that go on working while one types. */
static bool passes(uint32_t key)
{
    return key == QS_KEY_PAGE_UP || key == QS_KEY_PAGE_DOWN || key == (QS_CTRL | 'l') || key == (QS_CTRL | 't') ||
           (key >= QS_KEY_F1 && key <= QS_KEY_F12);
}

/* What is typed stays there, but for a message that was only to be said otherwise. */
static void leave_field(struct chat *c)
{
    if (c->editing)
        qs_edit_set(&c->edit, "");
    c->editing = 0;
    c->typing = false;
}

static bool typed(struct qs_app *a, const struct qs_event *ev)
{
    struct chat *c = chat_of(a);
    if (ev->kind == QS_EVENT_KEY && passes(ev->key))
        return false;
    if (ev->kind == QS_EVENT_KEY && (ev->key & ~QS_SHIFT) == QS_KEY_TAB && c->edit.text[0] != '/')
        return false; /* the next screen */
    switch (qs_edit_event(&c->edit, ev)) {
    case QS_EDIT_ACCEPTED: accept(a); break;
    case QS_EDIT_CANCELLED: leave_field(c); break;
    case QS_EDIT_GOES_ON:
    case QS_EDIT_IGNORED: break;
    }
    return true;
}

/* ---- the view ---- */

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct chat *c = chat_of(a);
    const size_t page = c->shown > 1 ? c->shown - 1 : 1, half = c->shown > 1 ? c->shown / 2 : 1;
    const size_t up[] = { [QS_LIST_UP] = 1, [QS_LIST_HALF_UP] = half, [QS_LIST_PAGE_UP] = page };
    c->token = QS_ANSWER_NONE;
    chat_rows_again(a);
    switch (m) {
    case QS_LIST_UP:
    case QS_LIST_HALF_UP:
    case QS_LIST_PAGE_UP:
        c->top = c->top > up[m] ? c->top - up[m] : 0;
        c->behind = true;
        break;
    case QS_LIST_DOWN: c->top += 1; break;
    case QS_LIST_HALF_DOWN: c->top += half; break;
    case QS_LIST_PAGE_DOWN: c->top += page; break;
    case QS_LIST_HOME:
        c->top = 0;
        c->behind = true;
        break;
    case QS_LIST_END: c->behind = false; break;
    case QS_LIST_STAY: break;
    }
    if (c->top + c->shown >= c->rows.n)
        c->behind = false;
}

/* ---- leaving ---- */

static void leave(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    (void)arg;
    if (c->token == QS_ANSWER_NONE)
        qs_app_back(a);
    c->token = QS_ANSWER_NONE;
    c->behind = false;
}

/* ---- the conversation ---- */

static const char *nothing_said(struct qs_app *a)
{
    return running(a) ? running(a) : chat_of(a)->talk->n ? NULL : "nothing has been said yet";
}

static void regenerate(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    const bool answered = c->talk->message[c->talk->n - 1].role == QS_TALK_ASSISTANT;
    if (answered && qs_talk_regenerate(c->talk, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    c->answer_at = c->answer_at < c->talk->n ? c->answer_at : SIZE_MAX;
    chat_want(a);
}

/* Nothing is lost by it: the message and its answer go when the new one is sent. */
static void edit_last(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    const struct qs_talk_message *last = qs_talk_last(c->talk, QS_TALK_USER);
    struct qs_str text = QS_STR_INIT;
    (void)arg;
    if (!last) {
        qs_app_warn(a, "there is no message to edit");
        return;
    }
    qs_str_add(&text, last->text[0] == '/' ? "/" : ""); /* as it is typed, so that it is no command */
    qs_str_add(&text, last->text);
    if (text.failed) {
        qs_app_warn(a, "out of memory");
    } else {
        qs_edit_set(&c->edit, text.data);
        c->editing = c->talk->said;
        c->token = QS_ANSWER_NONE;
        c->typing = true;
        c->wanted = c->replay = false;
    }
    qs_str_free(&text);
}

static void system_typed(struct qs_app *a, const char *text, void *ctx)
{
    struct qs_err e = QS_ERR_INIT;
    (void)ctx;
    if (qs_talk_system(chat_of(a)->talk, text, strlen(text), &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, *text ? "the system prompt counts from the next answer on" : "no system prompt");
}

static void system_prompt(struct qs_app *a, const char *arg)
{
    if (arg)
        system_typed(a, arg, NULL);
    else
        qs_app_prompt(a, "system prompt: ", chat_of(a)->talk->system, QS_ARG_TEXT, NULL, system_typed, NULL);
}

static void clear_answered(struct qs_app *a, size_t answer, void *ctx)
{
    struct chat *c = chat_of(a);
    (void)answer, (void)ctx;
    qs_talk_clear(c->talk);
    chat_note(c, "");
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
    c->wanted = c->replay = c->behind = false;
}

static void clear(struct qs_app *a, const char *arg)
{
    static const struct qs_app_answer answers[] = { { 'f', "forget" } };
    (void)arg;
    qs_app_ask(a, "Forget the conversation",
               "All messages go; system prompt and settings stay. :chat-save FILE keeps them.", answers, 1,
               clear_answered, NULL);
}

/* ---- who answers ---- */

static void put(struct qs_app *a, int side, int seat)
{
    struct chat *c = chat_of(a);
    char name[QS_ANSWER_LABEL];
    if (seat == c->at[!side]) { /* they change places */
        c->at[!side] = c->at[side];
        if (c->at[0] == CHAT_NOBODY)
            c->at[0] = CHAT_ORIGINAL;
    }
    c->asked = false;
    c->at[side] = seat;
    if (c->at[0] == c->at[1])
        c->at[1] = CHAT_NOBODY;
    if (seat != CHAT_NOBODY) {
        chat_seat_name(a, seat, name, sizeof name);
        qs_app_say(a, side ? "beside it: %s" : "answers: %s", name);
    }
    c->preparing = chat_two(c);
    chat_seats_alone(a);
}

/* "original", "candidate", "none", or a file. */
static void put_named(struct qs_app *a, int side, const char *name)
{
    static const struct { const char *word; int seat; } words[] = {
        { "original", CHAT_ORIGINAL }, { "candidate", CHAT_CANDIDATE }, { "none", CHAT_NOBODY },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].word) == 0 && (side || words[i].seat != CHAT_NOBODY)) {
            put(a, side, words[i].seat);
            return;
        }
    const int seat = chat_seat_for(chat_of(a), name);
    if (seat == CHAT_NOBODY)
        qs_app_warn(a, "there is room for %d files beside the model that is open", CHAT_SEATS - CHAT_FILES);
    else
        put(a, side, seat);
}

static void beside(struct qs_app *a, const char *arg) { put_named(a, 1, arg); }
static void instead(struct qs_app *a, const char *arg) { put_named(a, 0, arg); }

static void side_by_side(struct qs_app *a, const char *arg)
{
    (void)arg;
    struct chat *c = chat_of(a);
    const int next = chat_two(c) ? CHAT_NOBODY : chat_seat_next(a, CHAT_NOBODY);
    if (next == CHAT_NOBODY && !chat_two(c))
        qs_app_warn(a, "there is no second model: :beside FILE opens one");
    else
        put(a, 1, c->at[0] == CHAT_ORIGINAL && !chat_two(c) && qs_app_doc(a) ? CHAT_CANDIDATE : next);
    c->replay = false;
}

static void swap(struct qs_app *a, const char *arg)
{
    (void)arg;
    const int next = chat_seat_next(a, chat_of(a)->at[1]);
    if (next == CHAT_NOBODY)
        qs_app_warn(a, "there is no third model: :beside FILE opens one");
    else
        put(a, 1, next);
}

static void follow(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    c->follow = arg ? strcmp(arg, "on") == 0 : !c->follow;
    qs_app_say(a, c->follow ? "follow: the second model is fed the first one's tokens (r answers again)"
                            : "free: each writes its own answer (r answers again)");
}

static void precision(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    const enum qs_precision p = strcmp(arg, "exact") == 0 ? QS_EXACT : QS_FAST;
    if (p == c->precision)
        return;
    c->precision = p;
    for (int i = 0; i < CHAT_SEATS; i++)
        chat_seat_retire(a, i);
    qs_app_say(a, p == QS_EXACT ? "exact: activations stay in single precision"
                                : "fast: integer products where the type has them");
}

static const char *no_answer(struct qs_app *a)
{
    return chat_runs(chat_of(a)) ? "an answer is being written: x stops it"
           : chat_of(a)->answer->n_sides ? NULL : "there is no answer to save yet";
}

/* ---- mouse and keys ---- */

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct chat *c = chat_of(a);
    if (ev->kind == QS_EVENT_MOUSE) {
        if (ev->mouse == QS_MOUSE_WHEEL_UP || ev->mouse == QS_MOUSE_WHEEL_DOWN)
            for (int i = 0; i < 3; i++)
                move(a, ev->mouse == QS_MOUSE_WHEEL_UP ? QS_LIST_UP : QS_LIST_DOWN);
        return ev->mouse == QS_MOUSE_PRESS && ev->button == 1 ? chat_click(a, ev) : true;
    }
    if (ev->kind == QS_EVENT_KEY && ev->key == (QS_CTRL | 'c') && !not_running(a)) {
        stop(a, NULL); /* it means quit, or leave the field, when nothing runs */
        return true;
    }
    if (ev->kind == QS_EVENT_PASTE)
        c->typing = true; /* it can only be meant for the field */
    return c->typing && typed(a, ev);
}

/* ---- search ---- */

struct chat_find { struct chat *c; const struct qs_regex *re; };

static bool matches(void *ctx, size_t line)
{
    const struct chat_find *f = ctx;
    const struct chat_row *r = &f->c->rows.row[line];
    for (int i = 0; i < QS_ANSWER_SIDES; i++)
        if (r->of[i].there &&
            qs_regex_find(f->re, chat_row_text(f->c, r, i) + r->of[i].at, r->of[i].n, 0, NULL, NULL) == 1)
            return true;
    return false;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct chat *c = chat_of(a);
    chat_rows_again(a);
    struct qs_list l = { .n = c->rows.n, .cursor = c->top, .top = c->top, .shown = 1 };
    if (!c->rows.n || !qs_list_find(&l, step, matches, &(struct chat_find){ c, re }))
        return false;
    c->top = l.cursor;
    c->behind = true;
    return true;
}

/* ---- the screen ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    struct chat *c = state;
    (void)a;
    c->at[1] = CHAT_NOBODY;
    c->follow = true;
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
    c->precision = QS_FAST;
    c->rows_talk = UINT64_MAX;
    c->edit.lines = true;
    c->edit.complete = chat_complete;
    c->edit.ctx = a;
    c->edit.history = &c->said;
    int rc = qs_talk_new(&c->talk, e);
    if (!rc)
        rc = qs_chat_new(&c->run, e);
    return rc ? rc : qs_answer_new(&c->answer, e);
}

static void done(void *state)
{
    struct chat *c = state;
    qs_chat_free(c->run);
    chat_seats_free(c);
    qs_talk_free(c->talk);
    qs_answer_free(c->answer);
    chat_file_free(c->loading);
    chat_file_free(c->saving);
    qs_free(c->to_load);
    qs_edit_free(&c->edit);
    qs_typed_free(&c->said);
    qs_free(c->rows.row);
}

static const char *typing(struct qs_app *a)
{
    return !chat_of(a)->typing ? NULL
           : chat_of(a)->editing && not_running(a)
               ? "Enter send in place of the last one  Ctrl-J new line  Esc leave it as it is"
           : not_running(a)    ? "Enter send  Ctrl-J new line  / commands  Up earlier  PgUp PgDn scroll  Esc keys"
                               : "Ctrl-C stop  PgUp PgDn scroll  / commands  Esc keys";
}

/* Until its end has been seen too. */
static bool busy(struct qs_app *a)
{
    const enum qs_answer_state state = chat_of(a)->answer->state;
    return chat_runs(chat_of(a)) || (state != QS_ANSWER_EMPTY && state != QS_ANSWER_ENDED);
}

static const char *unsaved(struct qs_app *a)
{
    return chat_unsaved(chat_of(a)) ? "The conversation is not saved (:chat-save FILE keeps it)." : NULL;
}

static const struct qs_action actions[] = {
    { .name = "chat-write", .keys = "Enter i", .brief = "write", .rank = 1,
      .help = "write a message (Esc: back to the keys)", .run = write_message },
    { .name = "chat-send", .arg = QS_ARG_TEXT, .help = "send this message", .run = send },
    { .name = "chat-stop", .keys = "x", .brief = "stop", .rank = 1,
      .help = "stop the answer; what is there stays (Ctrl-C too, while one runs)", .refuse = not_running, .run = stop },
    { .name = "chat-regenerate", .keys = "r", .brief = "again", .rank = 3,
      .help = "answer the last message again, with the next seed", .refuse = nothing_said, .run = regenerate },
    { .name = "chat-edit", .keys = "e", .brief = "edit", .rank = 4,
      .help = "edit the last message: sent, it takes its place and that of its answer",
      .refuse = nothing_said, .run = edit_last },
    { .name = "chat-system", .keys = "S", .arg = QS_ARG_TEXT, .arg_optional = true,
      .help = "the system prompt", .refuse = running, .run = system_prompt },
    { .name = "chat-settings", .keys = "p", .brief = "settings", .rank = 5,
      .help = "sampler, length, context, cache and template, with their values",
      .refuse = running, .run = chat_settings },
    { .name = "chat-set", .arg = QS_ARG_TEXT,
      .help = "change one of them (NAME VALUE); NAME alone shows it", .refuse = chat_set_refused, .run = chat_set },
    { .name = "side-by-side", .keys = "s", .brief = "two models", .rank = 2,
      .help = "the model and its candidate side by side, or one alone", .refuse = running, .run = side_by_side },
    { .name = "follow", .keys = "f", .brief = "follow", .rank = 3, .arg = QS_ARG_WORDS, .arg_optional = true,
      .words = "on off",
      .help = "feed the second model the first one's tokens, or let each write its own",
      .refuse = running, .run = follow },
    { .name = "beside", .arg = QS_ARG_FILE,
      .help = "who answers beside: a file, candidate, original or none", .refuse = running, .run = beside },
    { .name = "instead", .arg = QS_ARG_FILE,
      .help = "who answers: a file, original or candidate", .refuse = running, .run = instead },
    { .name = "draft", .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "who guesses tokens ahead: a small model, or none", .refuse = running, .run = chat_draft },
    { .name = "swap", .keys = "t", .brief = "third", .rank = 8,
      .help = "the next model takes the place beside", .refuse = running, .run = swap },
    { .name = "token-left", .keys = "h Left",
      .help = "the token before: what both would have said there", .refuse = chat_no_tokens, .run = chat_token_left },
    { .name = "token-right", .keys = "l Right", .brief = "token", .rank = 6,
      .help = "the next token: what both would have said there", .refuse = chat_no_tokens, .run = chat_token_right },
    { .name = "worst-token", .keys = "b", .brief = "worst", .rank = 6,
      .help = "the token where the two are furthest apart", .refuse = chat_not_two, .run = chat_worst_token },
    { .name = "next-flip", .keys = "]",
      .help = "the next token where the likeliest one is another", .refuse = chat_not_two, .run = chat_flip_after },
    { .name = "previous-flip", .keys = "[", .help = "the one before", .refuse = chat_not_two, .run = chat_flip_before },
    { .name = "chat-marks", .keys = "m", .brief = "marks", .rank = 9,
      .help = "a line of marks below the tokens: . : * # by divergence, ! another likeliest token, ^ parted",
      .run = chat_marks },
    { .name = "precision", .arg = QS_ARG_WORDS, .words = "fast exact",
      .help = "fast (integer products) or exact (single precision)", .refuse = running, .run = precision },
    { .name = "chat-copy", .keys = "y", .arg = QS_ARG_WORDS, .arg_optional = true, .words = "answer other prompt all",
      .help = "send the answer, the other one, the prompt or all to the terminal's clipboard", .run = chat_copy },
    { .name = "chat-save", .arg = QS_ARG_FILE, .help = "keep the conversation in a file", .run = chat_save },
    { .name = "chat-save!", .arg = QS_ARG_FILE, .help = "the same, over a file that exists", .run = chat_save_over },
    { .name = "chat-load", .arg = QS_ARG_FILE,
      .help = "a conversation from a file, in place of this one", .refuse = running, .run = chat_load },
    { .name = "chat-clear", .help = "forget the conversation", .refuse = nothing_said, .run = clear },
    { .name = "comparison-save", .arg = QS_ARG_FILE,
      .help = "keep the last answer in a file, token by token", .refuse = no_answer, .run = chat_comparison_save },
    { .name = "comparison-save!", .arg = QS_ARG_FILE,
      .help = "the same, over a file that exists", .refuse = no_answer, .run = chat_comparison_save_over },
    { .name = "replay", .arg = QS_ARG_FILE,
      .help = "show a kept answer again, at its own pace", .refuse = running, .run = chat_replay },
    { .name = "leave-token", .keys = "Esc", .help = "leave the token, or back to where we came from", .run = leave },
    { .name = NULL }
};

const struct qs_screen qs_screen_chat = {
    .name = "Chat",
    .about = "talk to the model, or to it and its candidate side by side",
    .actions = actions,
    .state_size = sizeof(struct chat),
    .init = init,
    .done = done,
    .document = chat_seats_document,
    .draw = chat_draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = chat_poll,
    .typing = typing,
    .busy = busy,
    .unsaved = unsaved,
};
