/* verb_tokenize.c - `tokenize`: the ids and pieces of a text. Reads headers only.
 *
 * Owns the text and the vocabulary while it runs.
 */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/model.h"
#include "core/report/report_tokens.h"
#include "core/text/vocab.h"
#include "src/verb.h"

#define TEXT_MAX ((size_t)1 << 30)

static const struct qs_opt options[] = {
    { .name = "file", .letter = 'f', .kind = QS_OPT_FILE, .arg = "FILE",
      .help = "read the text from FILE ('-': standard input)" },
    { .name = "ids", .help = "print the ids alone, as a list in one line" },
    { .name = "no-bos", .help = "put no BOS token before the text, and no EOS behind it" },
    { .name = "no-parse-special", .help = "read control tokens in the text as plain text" },
    { .name = NULL }
};

struct work { struct qs_vocab *vocab; char *text; size_t n; struct qs_tokens tokens; };

static int read_text(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *file = qs_cli_str(cli, "file", NULL), *text = qs_cli_arg(cli, 1);
    if (text) {
        w->n = strlen(text);
        w->text = qs_strdup(text);
        return w->text ? QS_OK : qs_fail_mem(e, w->n, "the text");
    }
    return qs_file_read_any(!file || strcmp(file, "-") == 0 ? "/dev/stdin" : file, TEXT_MAX, &w->text, &w->n, e);
}

static int read_vocab(const char *path, struct qs_vocab **out, struct qs_err *e)
{
    struct qs_model *m;
    struct qs_vocab_data *d;
    size_t n;
    int rc = qs_model_open(path, &m, e);
    if (rc != QS_OK)
        return rc;
    const struct qs_kv *kv = qs_model_metadata(m, &n);
    rc = qs_vocab_data_kv(kv, n, &d, e);
    if (rc == QS_OK)
        rc = qs_vocab_new(d, out, e);
    qs_model_close(m);
    return rc == QS_OK ? rc : qs_err_prefix(e, "%s", path);
}

static int print_ids(struct qs_cli *cli, const struct qs_tokens *t)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    qs_str_addc(&s, '[');
    for (size_t i = 0; i < t->n; i++)
        qs_str_addf(&s, "%s%d", i ? ", " : "", t->id[i]);
    qs_str_add(&s, "]\n");
    int exit_code = QS_EXIT_FAILED;
    if (s.failed) {
        qs_fail_mem(&e, t->n, "the ids");
        exit_code = qs_cli_fail(cli, &e);
    } else {
        exit_code = qs_cli_write(cli, s.data, s.len);
    }
    qs_str_free(&s);
    return exit_code;
}

static int print(struct qs_cli *cli, const struct work *w)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_cli_has(cli, "ids"))
        return print_ids(cli, &w->tokens);
    struct qs_report *r = qs_report_tokens(&(struct qs_tokens_report_args){
        .path = qs_cli_arg(cli, 0), .vocab = w->vocab, .tokens = &w->tokens, .bytes = w->n });
    if (!r) {
        qs_fail_mem(&e, 0, "the report");
        return qs_cli_fail(cli, &e);
    }
    int exit_code = qs_cli_print(cli, r, "tokens");
    qs_report_free(r);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct work w = { 0 };
    unsigned flags = (qs_cli_has(cli, "no-bos") ? 0 : QS_TOKENIZE_ADD_SPECIAL) |
                     (qs_cli_has(cli, "no-parse-special") ? 0 : QS_TOKENIZE_PARSE_SPECIAL);
    if (qs_cli_has(cli, "ids") && (cli->json || cli->csv))
        return qs_cli_usage(cli, "--ids: a form of its own, not together with --json or --csv");
    if (qs_cli_arg(cli, 1) && qs_cli_has(cli, "file"))
        return qs_cli_usage(cli, "--file: the text stands on the command line already");
    int rc = read_vocab(qs_cli_arg(cli, 0), &w.vocab, &e);
    for (size_t i = 0; rc == QS_OK && qs_vocab_warning(w.vocab, i); i++)
        qs_cli_warn(cli, "%s", qs_vocab_warning(w.vocab, i));
    if (rc == QS_OK)
        rc = read_text(cli, &w, &e);
    if (rc == QS_OK)
        rc = qs_tokenize(w.vocab, w.text, w.n, flags, &w.tokens, &e);
    int exit_code = rc == QS_OK ? print(cli, &w) : qs_cli_fail(cli, &e);
    qs_tokens_free(&w.tokens);
    qs_vocab_free(w.vocab);
    qs_free(w.text);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "summary.file", "file as given" },
    { "summary.tokenizer", "kind of the tokenizer: llama, gpt2 or gemma4" },
    { "summary.pre", "what cuts the text into words before (tokenizer.ggml.pre)" },
    { "summary.bytes", "bytes of the text" },
    { "summary.tokens", "number of tokens" },
    { "tokens[].index", "place in the text, from 0" },
    { "tokens[].id", "id of the token" },
    { "tokens[].piece", "what it stands for, with U+FFFD for half characters" },
    { "tokens[].kind", "empty, control, added, unknown, byte, unused, or end: ends an answer" },
    { "tokens[].hex", "the bytes of a piece that is not made of whole characters; empty otherwise" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_tokenize = {
    .name = "tokenize",
    .args = "FILE [TEXT]",
    .min_args = 1,
    .max_args = 2,
    .summary = "show the tokens of a text",
    .description =
        "Splits a text into the tokens that the model reads, and prints their ids and pieces. The text is TEXT, or "
        "that of --file, or standard input; it has to be UTF-8. The ids are those of llama.cpp (llama-tokenize).\n\n"
        "Control tokens such as <|im_end|> that stand in the text become their ids, unless --no-parse-special "
        "is given.",
    .examples = "quantscape tokenize model.gguf 'Hello world'\tids and pieces\n"
                "quantscape tokenize model.gguf --ids --file prompt.txt\tids alone\n"
                "quantscape tokenize model.gguf --no-bos --csv < text.txt\tas CSV, no BOS before it\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
