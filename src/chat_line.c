/* chat_line.c - line input for a chat on a plain terminal: lines that begin with '/' are commands, all others messages.
 *
 * The table of commands is the source of /help. Owns nothing beyond the chat it is given.
 */
#include "src/chat_line.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "core/report/report_chat.h"

enum after { GO_ON, ANSWER, QUIT };

struct command {
    const char *name, *args, *help;
    enum after (*run)(struct qs_chat_line *l, const char *rest);
};

extern const struct command qs_chat_commands[];

/* Tells what went wrong; the chat goes on. */
static enum after fails(struct qs_chat_line *l, const struct qs_err *e)
{
    qs_cli_fail(l->cli, e);
    l->cli->error_shown = false;
    return GO_ON;
}

/* "4 messages" */
static const char *messages(const struct qs_chat_line *l, char *buf, size_t n)
{
    snprintf(buf, n, "%zu message%s", l->talk->n, l->talk->n == 1 ? "" : "s");
    return buf;
}

static void put(struct qs_chat_line *l, struct qs_str *text)
{
    qs_cli_write(l->cli, text->data, text->len);
    qs_cli_flush(l->cli);
    qs_str_free(text);
}

/* ---- commands ------------------------------------------------------------------------------------------------ */

static enum after run_help(struct qs_chat_line *l, const char *rest)
{
    struct qs_str text = QS_STR_INIT;
    (void)rest;
    for (const struct command *c = qs_chat_commands; c->name; c++)
        qs_str_addf(&text, "/%s%s%-*s  %s\n", c->name, *c->args ? " " : "",
                    (int)(18 - strlen(c->name) - (*c->args ? 1 : 0)), c->args, c->help);
    qs_str_add(&text, "//TEXT               a message that begins with '/'\n");
    put(l, &text);
    return GO_ON;
}

static enum after run_system(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_talk_system(l->talk, rest, strlen(rest), &e))
        return fails(l, &e);
    qs_cli_note(l->cli, *rest ? "the system prompt is set" : "no system prompt any more");
    return GO_ON;
}

static enum after run_clear(struct qs_chat_line *l, const char *rest)
{
    char said[32];
    (void)rest;
    qs_cli_note(l->cli, "%s forgotten", messages(l, said, sizeof said));
    qs_talk_clear(l->talk);
    return GO_ON;
}

static enum after run_regen(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    (void)rest;
    return qs_talk_regenerate(l->talk, &e) ? fails(l, &e) : ANSWER;
}

static enum after run_edit(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_talk_message *last = qs_talk_last(l->talk, QS_TALK_USER);
    char *old = NULL;
    if (last && !*rest) {
        struct qs_str text = QS_STR_INIT;
        qs_str_addf(&text, "/edit %s\n", last->text);
        put(l, &text);
        return GO_ON;
    }
    if (qs_talk_take_back(l->talk, &old, &e))
        return fails(l, &e);
    qs_free(old);
    return qs_talk_say(l->talk, rest, strlen(rest), &e) ? fails(l, &e) : ANSWER;
}

static enum after save(struct qs_chat_line *l, const char *path, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    char said[32];
    if (!*path) {
        qs_fail(&e, QS_EINVAL, "/save needs the name of a file");
    } else if (qs_talk_save(l->talk, path, overwrite, &e) == QS_OK) {
        qs_cli_note(l->cli, "saved %s: %s", path, messages(l, said, sizeof said));
        return GO_ON;
    }
    e.advice = QS_ADVISE_NONE; /* its words are those of options */
    if (e.code == QS_EEXISTS)
        qs_fail(&e, QS_EEXISTS, "%s exists already: /save! %s overwrites it", path, path);
    return fails(l, &e);
}

static enum after run_save(struct qs_chat_line *l, const char *rest)
{
    return save(l, rest, false);
}

static enum after run_save_over(struct qs_chat_line *l, const char *rest)
{
    return save(l, rest, true);
}

static enum after run_load(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    char said[32];
    if (!*rest) {
        qs_fail(&e, QS_EINVAL, "/load needs the name of a file");
    } else if (qs_talk_load(l->talk, rest, &e) == QS_OK) {
        qs_cli_note(l->cli, "loaded %s: %s", rest, messages(l, said, sizeof said));
        return GO_ON;
    }
    return fails(l, &e);
}

static enum after list_settings(struct qs_chat_line *l)
{
    struct qs_str text = QS_STR_INIT;
    struct qs_talk_setting s;
    for (size_t i = 0; qs_talk_setting_at(i, &s); i++) {
        struct qs_str value = QS_STR_INIT;
        qs_talk_show(l->talk, s.name, &value);
        qs_str_addf(&text, "%-18s %-10s %s\n", s.name, value.data, s.help);
        qs_str_free(&value);
    }
    put(l, &text);
    return GO_ON;
}

static enum after run_set(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    char name[64];
    const size_t n = strcspn(rest, " ");
    if (!*rest)
        return list_settings(l);
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), rest);
    rest += n + strspn(rest + n, " ");
    if (!*rest) {
        qs_fail(&e, QS_EINVAL, "/set needs a name and a value; /set alone lists all");
    } else if (qs_talk_set(l->talk, name, rest, &e) == QS_OK) {
        struct qs_str value = QS_STR_INIT;
        qs_talk_show(l->talk, name, &value);
        qs_cli_note(l->cli, "%s is %s", name, value.data ? value.data : "set");
        qs_str_free(&value);
        return GO_ON;
    }
    return fails(l, &e);
}

static enum after run_stats(struct qs_chat_line *l, const char *rest)
{
    struct qs_err e = QS_ERR_INIT;
    (void)rest;
    if (!l->answer->n_sides) {
        qs_fail(&e, QS_EINVAL, "nothing was answered yet");
        return fails(l, &e);
    }
    struct qs_report *r = qs_report_chat(l->answer, &(struct qs_chat_report){ .data = false });
    if (r)
        qs_cli_print(l->cli, r, NULL);
    qs_cli_flush(l->cli);
    qs_report_free(r);
    return GO_ON;
}

static enum after run_quit(struct qs_chat_line *l, const char *rest)
{
    (void)l;
    (void)rest;
    return QUIT;
}

const struct command qs_chat_commands[] = {
    { "help", "", "this list", run_help },
    { "system", "TEXT", "the system prompt; without TEXT none", run_system },
    { "clear", "", "forget all messages", run_clear },
    { "regen", "", "answer the last message again, with the next seed", run_regen },
    { "edit", "TEXT", "put TEXT in place of the last message; without TEXT show it", run_edit },
    { "save", "FILE", "keep the conversation as JSON", run_save },
    { "save!", "FILE", "the same over a file that is there", run_save_over },
    { "load", "FILE", "go on with a kept conversation, or a list of messages", run_load },
    { "set", "NAME VALUE", "change a setting; without NAME list all", run_set },
    { "stats", "", "speed, guesses, context and memory of the last answer", run_stats },
    { "quit", "", "end", run_quit },
    { NULL, NULL, NULL, NULL }
};

/* ---- lines --------------------------------------------------------------------------------------------------- */

static enum after run_command(struct qs_chat_line *l, const char *line)
{
    const size_t n = strcspn(line, " ");
    struct qs_near near;
    struct qs_err e = QS_ERR_INIT;
    char word[64], text[200];
    snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), line);
    qs_near_start(&near, word);
    for (const struct command *c = qs_chat_commands; c->name; c++) {
        if (strcmp(c->name, word) == 0)
            return c->run(l, line + n + strspn(line + n, " "));
        qs_near_try(&near, c->name);
    }
    qs_near_text(&near, text, sizeof text);
    qs_fail(&e, QS_EINVAL, "there is no command /%s%s", word, *text ? text : "; /help lists those there are");
    return fails(l, &e);
}

static enum after run_line(struct qs_chat_line *l, const char *line, size_t n)
{
    struct qs_err e = QS_ERR_INIT;
    if (n == 0)
        return GO_ON;
    if (line[0] == '/' && line[1] != '/')
        return run_command(l, line + 1);
    if (line[0] == '/')
        line++, n--;
    return qs_talk_say(l->talk, line, n, &e) ? fails(l, &e) : ANSWER;
}

/* One line without its end; false: there are no more. */
static bool read_line(struct qs_str *line)
{
    int ch;
    qs_str_clear(line);
    while ((ch = getc(stdin)) != EOF && ch != '\n')
        if (line->len <= QS_TALK_TEXT) /* more than that is refused, whatever follows */
            qs_str_addc(line, (char)ch);
    if (line->len && line->data[line->len - 1] == '\r')
        line->data[--line->len] = 0;
    return ch != EOF || line->len > 0;
}

int qs_chat_line_loop(struct qs_chat_line *l)
{
    struct qs_str line = QS_STR_INIT;
    enum after next = GO_ON;
    for (;;) {
        if (!l->cli->quiet)
            fputs("> ", stderr);
        if (!read_line(&line))
            break;
        next = run_line(l, line.data, line.len);
        if (next == QUIT)
            break;
        if (next == ANSWER) {
            bool stopped;
            qs_chat_line_answer(l, &stopped);
            l->cli->error_shown = false;
        }
    }
    if (next != QUIT && !l->cli->quiet)
        fputs("\n", stderr);
    qs_str_free(&line);
    return QS_EXIT_DONE;
}
