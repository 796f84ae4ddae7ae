/* cli.c - what every verb shares: its options, the pool, jobs with progress, output and messages.
 *
 * Owns the pool made on demand (main releases it). Results go to standard output, messages to standard error.
 * A write to standard output whose reader has gone is quiet; any other failed write is told once, by main. One thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/model/model.h"
#include "src/progress.h"
#include "src/terminal.h"
#include "src/verb.h"

size_t qs_cli_args(const struct qs_cli *cli)
{
    return cli->args.n_args;
}

const char *qs_cli_arg(const struct qs_cli *cli, size_t i)
{
    return i < cli->args.n_args ? cli->args.arg[i] : NULL;
}

bool qs_cli_has(const struct qs_cli *cli, const char *name)
{
    return qs_args_find(&cli->args, name) != NULL;
}

const char *qs_cli_str(const struct qs_cli *cli, const char *name, const char *otherwise)
{
    const struct qs_opt_value *v = qs_args_find(&cli->args, name);
    return v ? v->text : otherwise;
}

uint64_t qs_cli_num(const struct qs_cli *cli, const char *name, uint64_t otherwise)
{
    const struct qs_opt_value *v = qs_args_find(&cli->args, name);
    return v ? v->num : otherwise;
}

size_t qs_cli_count(const struct qs_cli *cli, const char *name)
{
    size_t n = 0;
    while (qs_args_nth(&cli->args, name, n))
        n++;
    return n;
}

const char *qs_cli_nth(const struct qs_cli *cli, const char *name, size_t i)
{
    const struct qs_opt_value *v = qs_args_nth(&cli->args, name, i);
    return v ? v->text : NULL;
}

int qs_cli_pool(struct qs_cli *cli, struct qs_pool **out, struct qs_err *e)
{
    if (!cli->pool) {
        int rc = qs_pool_new(cli->threads, &cli->pool, e);
        if (rc)
            return rc;
    }
    *out = cli->pool;
    return QS_OK;
}

int qs_cli_job(struct qs_cli *cli, const char *title, qs_job_fn *fn, void *ctx, const char *resume, struct qs_err *e)
{
    return qs_cli_job_watched(cli, title, fn, ctx, resume, NULL, NULL, e);
}

int qs_cli_job_watched(struct qs_cli *cli, const char *title, qs_job_fn *fn, void *ctx, const char *resume,
                       void (*tick)(void *tick_ctx), void *tick_ctx, struct qs_err *e)
{
    struct qs_job *job = NULL;
    int rc = qs_job_start(title, fn, ctx, -1, &job, e);
    if (rc)
        return rc;
    qs_progress_watch_with(job, cli->quiet, tick, tick_ctx);
    rc = qs_job_wait(job, e);
    qs_job_free(job);
    if (rc == QS_ECANCELLED && resume)
        rc = qs_fail(e, QS_ECANCELLED, "cancelled: %s", resume);
    return rc;
}

/* ---- advice ------------------------------------------------------------------------------------------------- */

/* What goes behind a message, so that the two are one sentence; between the halves goes the option that names the
 * output. */
static const struct { const char *text, *more; } advice[] = {
    [QS_ADVISE_NONE] = { "", NULL },
    [QS_ADVISE_OVERWRITE] = { ": --force overwrites it", NULL },
    [QS_ADVISE_OVERWRITE_OR_OTHER] = { ": --force overwrites it, ", " names another output" },
    [QS_ADVISE_OTHER_OUTPUT] = { "; name another output with ", "" },
    [QS_ADVISE_DISCARD] = { ": --restart discards it, ", " names another output" },
    [QS_ADVISE_RESTART] = { ": start again with --restart", NULL },
    [QS_ADVISE_REQUANTIZE] = { ", or allow it with --allow-requantize", NULL },
    [QS_ADVISE_IMATRIX] = { ": give an importance matrix with --imatrix, or take another preset", NULL },
    [QS_ADVISE_SMALLER_PARTS] = { ", or write smaller parts (--split-max-size)", NULL },
};

const char *qs_cli_advice(enum qs_advice a, const char *option, char *buf, size_t n)
{
    const bool known = (size_t)a < sizeof advice / sizeof *advice;
    snprintf(buf, n, "%s%s%s", known ? advice[a].text : "", known && advice[a].more ? option : "",
             known && advice[a].more ? advice[a].more : "");
    return buf;
}

/* Makes the advice part of the message, for an output that another option names than -o. */
static void put_advice(struct qs_err *e, const char *option)
{
    char more[QS_ADVICE_MAX];
    if (e && e->advice)
        qs_fail(e, e->code, "%s%s", e->msg, qs_cli_advice(e->advice, option, more, sizeof more));
}

int qs_cli_output(struct qs_cli *cli, const char *path, const char *option, const struct qs_model *m,
                  const struct qs_file_input *in, size_t n, struct qs_err *e)
{
    unsigned n_parts = 0;
    const struct qs_gguf_part *part = m ? qs_model_parts(m, &n_parts) : NULL;
    int rc = qs_file_refuse_inputs(path, in, n, e);
    for (unsigned i = 0; !rc && i < n_parts; i++) {
        const struct qs_file_input model = { part[i].path, "the model" };
        rc = qs_file_refuse_inputs(path, &model, 1, e);
    }
    if (!rc)
        rc = qs_file_check_output(path, qs_cli_has(cli, "force"), e);
    if (rc)
        put_advice(e, option);
    return rc;
}

/* ---- output ------------------------------------------------------------------------------------------------- */

unsigned qs_cli_width(void)
{
    return qs_terminal_width(STDOUT_FILENO);
}

/* Main tells about a failed write, once and at the end: buffered text may fail as late as that. */
int qs_cli_write(struct qs_cli *cli, const char *text, size_t n)
{
    errno = 0;
    if (fwrite(text, 1, n, stdout) == n)
        return QS_EXIT_DONE;
    if (cli->write_errno == 0)
        cli->write_errno = errno ? errno : EIO;
    return cli->write_errno == EPIPE ? QS_EXIT_DONE : QS_EXIT_FAILED;
}

void qs_cli_flush(struct qs_cli *cli)
{
    errno = 0;
    if (fflush(stdout) != 0 && cli->write_errno == 0)
        cli->write_errno = errno ? errno : EIO;
}

/* Line breaks of JSON stand between its words only. */
static void one_line(struct qs_str *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] != '\n') {
            text->data[n++] = text->data[i];
            continue;
        }
        text->data[n++] = ' ';
        while (i + 1 < text->len && text->data[i + 1] == ' ')
            i++;
    }
    while (n && text->data[n - 1] == ' ')
        n--;
    text->len = n;
    if (text->data)
        text->data[n] = 0;
    qs_str_addc(text, '\n');
}

int qs_cli_print(struct qs_cli *cli, const struct qs_report *r, const char *csv_key)
{
    struct qs_str text = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    int rc = QS_OK;
    if (qs_report_failed(r))
        rc = qs_fail(&e, QS_ENOMEM, "out of memory while making the report");
    else if (cli->csv)
        rc = qs_report_csv(r, csv_key, &text, &e);
    else if (!cli->json)
        qs_report_text(r, &(struct qs_text_style){ .width = qs_cli_width(), .ascii = !qs_locale_utf8() }, &text);
    else if (!qs_report_json(r, &text))
        rc = qs_fail(&e, QS_ENOMEM, "out of memory while printing the report");
    if (rc == QS_OK && text.failed)
        rc = qs_fail(&e, QS_ENOMEM, "out of memory while printing the report");
    if (cli->json && cli->lines)
        one_line(&text);
    int exit_code = rc ? qs_cli_fail(cli, &e) : qs_cli_write(cli, text.data, text.len);
    qs_str_free(&text);
    return exit_code;
}

int qs_cli_show(struct qs_cli *cli, struct qs_report *r, const char *csv_key)
{
    struct qs_err e = QS_ERR_INIT;
    if (!r) {
        qs_fail_mem(&e, 0, "the report");
        return qs_cli_fail(cli, &e);
    }
    const int exit_code = qs_cli_print(cli, r, csv_key);
    qs_report_free(r);
    return exit_code;
}

/* ---- messages ----------------------------------------------------------------------------------------------- */

/* One line, whatever file names and arguments hold; on a terminal broken between words, never within one. */
static void say(const char *kind, const char *msg)
{
    struct qs_str line = QS_STR_INIT;
    const size_t width = qs_terminal_width(STDERR_FILENO);
    qs_str_addf(&line, "quantscape: %s", kind);
    qs_text_clean(&line, msg, !qs_locale_utf8());
    const char *text = line.failed ? msg : line.data;
    for (size_t indent = 0; *text; indent = 2) {
        const size_t n = qs_text_line(text, !width ? 0 : width > indent ? width - indent : 1, false);
        fprintf(stderr, "%*s%.*s\n", (int)indent, "", (int)n, text);
        text += n + strspn(text + n, " ");
    }
    qs_str_free(&line);
}

static void error_object(struct qs_cli *cli, const char *code, const char *msg)
{
    struct qs_json *root = qs_json_object();
    struct qs_json *error = qs_json_add_object(root, "error");
    struct qs_str text = QS_STR_INIT;
    qs_json_add_str(error, "code", code);
    qs_json_add_str(error, "message", msg);
    if (root && error && qs_json_print(root, !cli->lines, &text)) {
        if (cli->lines)
            one_line(&text);
        qs_cli_write(cli, text.data, text.len);
    }
    qs_str_free(&text);
    qs_json_free(root);
}

int qs_cli_fail(struct qs_cli *cli, const struct qs_err *e)
{
    char more[QS_ADVICE_MAX], msg[QS_ERR_MAX + QS_ADVICE_MAX];
    snprintf(msg, sizeof msg, "%s%s", e->msg[0] ? e->msg : "failed without a message (please report this)",
             qs_cli_advice(e->advice, "-o", more, sizeof more));
    if (cli->json && !cli->error_shown)
        error_object(cli, qs_code_name(e->code), msg);
    cli->error_shown = true;
    say("", msg);
    return QS_EXIT_FAILED;
}

int qs_cli_usage(struct qs_cli *cli, const char *fmt, ...)
{
    char msg[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (cli->json && !cli->error_shown)
        error_object(cli, "usage", msg);
    cli->error_shown = true;
    say("", msg);
    return QS_EXIT_USAGE;
}

static void remark(const struct qs_cli *cli, const char *kind, const char *fmt, va_list ap) QS_PRINTF(3, 0);
static void remark(const struct qs_cli *cli, const char *kind, const char *fmt, va_list ap)
{
    char msg[QS_ERR_MAX];
    vsnprintf(msg, sizeof msg, fmt, ap);
    if (!cli->quiet)
        say(kind, msg);
}

void qs_cli_warn(struct qs_cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    remark(cli, "warning: ", fmt, ap);
    va_end(ap);
}

void qs_cli_note(struct qs_cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    remark(cli, "", fmt, ap);
    va_end(ap);
}
