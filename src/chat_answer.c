/* chat_answer.c - one answer on a plain terminal or a pipe: streamed as it comes, stopped by Ctrl-C, printed.
 *
 * On a terminal everything it could act on but line ends and tabs is shown as an escape; a pipe gets the text as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/report_chat.h"
#include "src/chat_line.h"
#include "src/interrupt.h"
#include "src/progress.h"

#define LOOK_SECONDS 0.02

/* Text for a terminal: line ends and tabs stay; a 0 byte is an escape like others. */
static void add_clean(struct qs_str *out, const char *text, size_t n)
{
    const bool ascii = !qs_locale_utf8();
    for (size_t at = 0; at < n;) {
        size_t len = 0;
        while (at + len < n && text[at + len] && text[at + len] != '\n' && text[at + len] != '\t')
            len++;
        char *part = qs_strndup(text + at, len);
        if (part)
            qs_text_clean(out, part, ascii);
        out->failed |= part == NULL;
        qs_free(part);
        at += len;
        if (at < n && !text[at])
            qs_str_add(out, "\\x00");
        else if (at < n)
            qs_str_addc(out, text[at]);
        at += at < n;
    }
}

/* What is new of the text since `from` bytes of it. */
static void put_new(struct qs_chat_line *l, size_t *from)
{
    const struct qs_answer_side *s = &l->answer->side[0];
    struct qs_str out = QS_STR_INIT;
    if (s->text_len <= *from)
        return;
    if (isatty(STDOUT_FILENO))
        add_clean(&out, s->text + *from, s->text_len - *from);
    else
        qs_str_addn(&out, s->text + *from, s->text_len - *from);
    qs_cli_write(l->cli, out.data, out.len);
    qs_cli_flush(l->cli);
    *from = s->text_len;
    qs_str_free(&out);
}

static bool is_data(const struct qs_chat_line *l)
{
    return l->cli->json || l->cli->csv;
}

/* One side goes anywhere as it comes; two, and their marks, to a person. */
static bool streams(const struct qs_chat_line *l)
{
    return !is_data(l) && (l->n_sides < 2 || isatty(STDOUT_FILENO));
}

static void put_both(struct qs_chat_line *l, struct qs_chat_stream *text)
{
    struct qs_str out = QS_STR_INIT;
    qs_chat_stream_more(text, l->answer, &out);
    if (out.len) {
        qs_cli_write(l->cli, out.data, out.len);
        qs_cli_flush(l->cli);
    }
    qs_str_free(&out);
}

/* text: of two sides; NULL: there is one. */
static int stream(struct qs_chat_line *l, struct qs_chat_stream *text, struct qs_err *e)
{
    static const int signals[] = { SIGINT };
    struct qs_interrupt watch;
    size_t shown = 0;
    bool stopped = false;
    int rc = QS_OK;
    qs_interrupt_begin(&watch, signals, 1);
    for (bool ended = false; !ended && !rc;) {
        ended = qs_chat_wait(l->chat, LOOK_SECONDS);
        rc = qs_chat_look(l->chat, l->answer, e);
        if (!rc && text)
            put_both(l, text);
        else if (!rc)
            put_new(l, &shown);
        if (qs_interrupted() && !stopped) {
            stopped = true;
            qs_chat_stop(l->chat);
        }
    }
    qs_interrupt_end(&watch);
    if (shown)
        qs_cli_write(l->cli, "\n", 1);
    qs_cli_flush(l->cli);
    return rc;
}

static int stream_both(struct qs_chat_line *l, struct qs_err *e)
{
    struct qs_chat_stream *text = NULL;
    int rc = qs_chat_stream_new(qs_cli_width(), !qs_locale_utf8(), &text, e);
    if (rc)
        qs_chat_stop(l->chat);
    else
        rc = stream(l, text, e);
    qs_chat_stream_free(text);
    return rc;
}

int qs_chat_line_wait(struct qs_chat_line *l, struct qs_err *e)
{
    struct qs_err ending = QS_ERR_INIT;
    int rc = QS_OK;
    if (streams(l))
        rc = l->n_sides < 2 ? stream(l, NULL, e) : stream_both(l, e);
    else
        qs_progress_watch(qs_chat_job(l->chat), l->cli->quiet);
    const int ended = qs_job_wait(qs_chat_job(l->chat), &ending);
    if (!rc)
        rc = qs_chat_look(l->chat, l->answer, e);
    if (!rc && e)
        *e = ending;
    return rc ? rc : ended;
}

int qs_chat_line_print(struct qs_chat_line *l)
{
    struct qs_cli *cli = l->cli;
    const struct qs_chat_report view = { .data = is_data(l) };
    struct qs_str text = QS_STR_INIT;
    int exit_code = QS_EXIT_DONE;
    if (streams(l) && l->n_sides < 2 && !l->stats)
        return QS_EXIT_DONE;
    if (!streams(l) && !view.data) {
        qs_chat_text(l->answer, qs_cli_width(), !qs_locale_utf8(), &text);
        exit_code = qs_cli_write(cli, text.data, text.len);
        qs_str_free(&text);
    }
    return exit_code == QS_EXIT_DONE ? qs_cli_show(cli, qs_report_chat(l->answer, &view), "tokens") : exit_code;
}

/* Who has given --max-tokens knows why the answer is as long as that. */
static bool limit_was_asked_for(const struct qs_chat_line *l)
{
    const char *given = qs_cli_str(l->cli, "max-tokens", NULL);
    return given && strtoull(given, NULL, 10) == l->talk->settings.max_tokens;
}

/* What a person should know about how it ended. */
static void remark(struct qs_chat_line *l)
{
    const struct qs_answer *a = l->answer;
    if (*a->message && !a->code)
        qs_cli_warn(l->cli, "%s", a->message);
    for (size_t k = 0; k < a->n_sides; k++)
        if (a->side[k].stop == QS_STOP_END && !a->side[k].text_len)
            qs_cli_warn(l->cli, "%s ended its answer at once", a->n_sides < 2 ? "the model" : a->side[k].label);
    if (!*a->message && a->side[0].stop == QS_STOP_LIMIT && !limit_was_asked_for(l))
        qs_cli_note(l->cli, "stopped after %zu tokens, as --max-tokens (/set max-tokens) says", a->side[0].n);
}

/* The model's own template does not work: how to go on here. */
static void remark_template(struct qs_chat_line *l)
{
    for (size_t k = 0; k < l->n_sides; k++)
        if (l->answer->no_template && qs_side_template_guess(l->side[k])) {
            qs_cli_note(l->cli, "--template %s takes the built-in form, --no-template none; between lines: "
                        "/set template %s",
                        qs_side_template_guess(l->side[k]), qs_side_template_guess(l->side[k]));
            return;
        }
}

static void take_back(struct qs_chat_line *l)
{
    char *text = NULL;
    if (qs_talk_take_back(l->talk, &text, NULL) == QS_OK)
        qs_free(text);
}

int qs_chat_line_answer(struct qs_chat_line *l, bool *stopped)
{
    struct qs_err e = QS_ERR_INIT;
    int exit_code = QS_EXIT_DONE;
    *stopped = false;
    int rc = qs_chat_start(l->chat, l->talk, l->side, l->n_sides, l->follow, -1, &e);
    if (!rc)
        rc = qs_chat_line_wait(l, &e);
    *stopped = rc == QS_ECANCELLED;
    const bool any = l->answer->state == QS_ANSWER_ENDED && (l->answer->side[0].n || l->answer->side[1].n);
    if (rc && !*stopped) {
        exit_code = qs_cli_fail(l->cli, &e);
        if (!any)
            remark_template(l);
    }
    if (any && (exit_code == QS_EXIT_DONE || !l->cli->json)) {
        const int printed = qs_chat_line_print(l);
        exit_code = exit_code == QS_EXIT_DONE ? printed : exit_code;
    }
    if (!rc)
        remark(l);
    struct qs_err kept = QS_ERR_INIT;
    if (!any) {
        take_back(l);
    } else if (qs_chat_keep(l->chat, l->talk, &kept)) {
        qs_err_prefix(&kept, "the answer is not a part of the conversation, its message was taken back");
        exit_code = exit_code == QS_EXIT_DONE ? qs_cli_fail(l->cli, &kept) : exit_code;
        take_back(l);
    }
    return exit_code;
}

int qs_chat_line_replay(struct qs_chat_line *l)
{
    struct qs_cli *cli = l->cli;
    const char *text = qs_cli_str(cli, "speed", "0");
    struct qs_answer *tape = NULL;
    struct qs_err e = QS_ERR_INIT;
    char *end;
    const double speed = strtod(text, &end);
    if (end == text || *end || !(speed >= 0 && speed <= 1000000))
        return qs_cli_usage(cli, "--speed %s: a number from 0 to 1000000 is expected", text);
    int rc = qs_answer_load(qs_cli_str(cli, "replay", ""), &tape, &e);
    if (!rc) {
        l->n_sides = tape->n_sides;
        l->follow = tape->follow;
        l->stats = qs_cli_has(cli, "stats");
        rc = qs_chat_replay(l->chat, tape, speed, -1, &e);
    }
    if (!rc)
        rc = qs_chat_line_wait(l, &e);
    qs_answer_free(tape);
    return rc ? qs_cli_fail(cli, &e) : qs_chat_line_print(l);
}
