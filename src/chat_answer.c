/* chat_answer.c - one answer on a plain terminal or a pipe: streamed as it comes, stopped by Ctrl-C, printed.
 *
 * Owns the handler of SIGINT while an answer of one side runs. On a terminal everything it could act on but line ends
 * and tabs is shown as an escape; a pipe gets the text as it is.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/report_chat.h"
#include "src/chat_line.h"
#include "src/progress.h"

#define LOOK_SECONDS 0.02

static volatile sig_atomic_t interrupts;

static void on_signal(int sig)
{
    interrupts = interrupts + 1;
    if (interrupts < 2)
        return;
    signal(sig, SIG_DFL); /* delivered again, and then deadly, when this handler returns */
    raise(sig);
}

/* Text for a terminal: line ends and tabs stay. */
static void add_clean(struct qs_str *out, const char *text, size_t n)
{
    const bool ascii = !qs_locale_utf8();
    for (size_t at = 0; at < n;) {
        size_t len = 0;
        while (at + len < n && text[at + len] != '\n' && text[at + len] != '\t')
            len++;
        char *part = qs_strndup(text + at, len);
        if (part)
            qs_text_clean(out, part, ascii);
        out->failed |= part == NULL;
        qs_free(part);
        at += len;
        if (at < n)
            qs_str_addc(out, text[at++]);
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
    fflush(stdout);
    *from = s->text_len;
    qs_str_free(&out);
}

static bool streams(const struct qs_chat_line *l)
{
    return l->n_sides < 2 && !l->cli->json && !l->cli->csv;
}

static int stream(struct qs_chat_line *l, struct qs_err *e)
{
    struct sigaction act, before;
    size_t shown = 0;
    bool stopped = false;
    int rc = QS_OK;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigemptyset(&act.sa_mask);
    interrupts = 0;
    sigaction(SIGINT, &act, &before);
    for (bool ended = false; !ended && !rc;) {
        ended = qs_chat_wait(l->chat, LOOK_SECONDS);
        rc = qs_chat_look(l->chat, l->answer, e);
        if (!rc)
            put_new(l, &shown);
        if (interrupts && !stopped) {
            stopped = true;
            qs_chat_stop(l->chat);
        }
    }
    sigaction(SIGINT, &before, NULL);
    if (shown)
        qs_cli_write(l->cli, "\n", 1);
    fflush(stdout);
    return rc;
}

int qs_chat_line_wait(struct qs_chat_line *l, struct qs_err *e)
{
    int rc = QS_OK;
    if (streams(l))
        rc = stream(l, e);
    else
        qs_progress_watch(qs_chat_job(l->chat), l->cli->quiet);
    const int ended = qs_job_wait(qs_chat_job(l->chat), e);
    if (!rc)
        rc = qs_chat_look(l->chat, l->answer, e);
    return rc ? rc : ended;
}

int qs_chat_line_print(struct qs_chat_line *l)
{
    struct qs_cli *cli = l->cli;
    const struct qs_chat_report view = { .data = cli->json || cli->csv };
    struct qs_str text = QS_STR_INIT;
    int exit_code = QS_EXIT_DONE;
    if (streams(l))
        return QS_EXIT_DONE;
    if (!view.data) {
        qs_chat_text(l->answer, qs_cli_width(), !qs_locale_utf8(), &text);
        exit_code = qs_cli_write(cli, text.data, text.len);
        qs_str_free(&text);
    }
    struct qs_report *r = exit_code == QS_EXIT_DONE ? qs_report_chat(l->answer, &view) : NULL;
    if (!r) {
        struct qs_err e = QS_ERR_INIT;
        qs_fail_mem(&e, 0, "the report");
        return exit_code == QS_EXIT_DONE ? qs_cli_fail(cli, &e) : exit_code;
    }
    exit_code = qs_cli_print(cli, r, "tokens");
    qs_report_free(r);
    return exit_code;
}

/* What a person should know about how it ended. */
static void remark(struct qs_chat_line *l)
{
    const struct qs_answer *a = l->answer;
    if (*a->message && !a->code)
        qs_cli_warn(l->cli, "%s", a->message);
    else if (a->side[0].stop == QS_STOP_LIMIT)
        qs_cli_note(l->cli, "stopped after %zu tokens, as --max-tokens (/set max-tokens) says", a->side[0].n);
}

/* The model's own template does not work: how to go on here. */
static void remark_template(struct qs_chat_line *l)
{
    for (size_t k = 0; k < l->n_sides; k++)
        if (!*l->talk->settings.form && strstr(l->answer->message, "without a template")) {
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
    if (!any || qs_chat_keep(l->chat, l->talk, &e))
        take_back(l);
    return exit_code;
}
