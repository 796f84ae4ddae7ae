/* verb_tokenize.c - `tokenize`: the ids and pieces of a text, or of a chat after its template. Reads headers only.
 *
 * Owns the text, the messages and the vocabulary while it runs.
 */
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/model/vocabulary.h"
#include "core/report/report_tokens.h"
#include "core/text/chat.h"
#include "core/text/vocab.h"
#include "src/verb.h"

#define TEXT_MAX ((size_t)1 << 30)
#define MESSAGES_MAX ((size_t)64 << 20)

static const struct qs_opt options[] = {
    { .name = "file", .letter = 'f', .kind = QS_OPT_FILE, .arg = "FILE",
      .help = "read the text from FILE ('-': standard input)" },
    { .name = "ids", .help = "print the ids alone, as a list in one line" },
    { .name = "no-bos", .help = "put no BOS token before the text, and no EOS behind it" },
    { .name = "no-parse-special", .help = "read control tokens in the text as plain text" },
    { .name = "chat", .help = "put the text through the model's chat template first, as a prompt" },
    { .name = "system", .kind = QS_OPT_STR, .arg = "TEXT", .help = "a system message before it (with --chat)" },
    { .name = "messages", .kind = QS_OPT_FILE, .arg = "FILE",
      .help = "a whole chat instead: JSON, an array of {\"role\", \"content\"}" },
    { .name = "template", .kind = QS_OPT_STR, .arg = "NAME", .words = qs_chat_builtin_name,
      .help = "a built-in chat template instead of the model's own" },
    { .name = NULL }
};

struct work {
    struct qs_vocab *vocab;
    char *text;
    size_t n;
    bool chat;
    struct qs_chat_template *template; /* the one asked for, or the model's */
    struct qs_tokens tokens;
};

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
    int rc = qs_model_open(path, &m, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_model_vocab(m, out, e);
    qs_model_close(m);
    return rc;
}

/* ---- chats ---------------------------------------------------------------------------------------------------- */

static bool has_token(const void *vocabulary, const char *token)
{
    return qs_vocab_find(vocabulary, token, strlen(token)) >= 0;
}

/* The template to take; what a person can do where there is none, or a bad one, is part of the message. */
static int find_template(struct work *w, struct qs_err *e)
{
    const char *source = qs_vocab_source(w->vocab)->chat_template;
    if (w->template)
        return QS_OK;
    const char *fits = qs_chat_template_guess(has_token, w->vocab);
    if (!source)
        return qs_fail(e, QS_ENOTFOUND, "the model has no chat template: name a built-in one (--template %s fits)",
                       fits);
    int rc = qs_chat_template_new(source, strlen(source), &w->template, e);
    return rc == QS_OK ? rc
                       : qs_fail(e, (enum qs_code)rc, "%s (--template %s goes on with a built-in one)", e->msg, fits);
}

/* What every template needs. A message with more than a role (calls of tools ...) may do without content. */
static int check_message(const struct qs_json *m, size_t number, struct qs_err *e)
{
    if (!qs_json_str(qs_json_get(m, "role"), NULL))
        return qs_fail(e, QS_EFORMAT, "message %zu is no object with a \"role\"", number);
    if (!qs_json_get(m, "content") && qs_json_len(m) == 1)
        return qs_fail(e, QS_EFORMAT, "content of message %zu is missing", number);
    return QS_OK;
}

/* The array of messages out of a file: itself, or the member "messages" of an object. */
static int read_messages(const char *path, struct qs_json **root, const struct qs_json **list, struct qs_err *e)
{
    char *data;
    size_t n;
    int rc = qs_file_read_any(strcmp(path, "-") == 0 ? "/dev/stdin" : path, MESSAGES_MAX, &data, &n, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_json_parse(data, n, root, e);
    qs_free(data);
    *list = qs_json_type(*root) == QS_JSON_OBJECT ? qs_json_get(*root, "messages") : *root;
    if (rc == QS_OK && qs_json_type(*list) != QS_JSON_ARRAY)
        rc = qs_fail(e, QS_EFORMAT, "no array of messages");
    else if (rc == QS_OK && qs_json_len(*list) == 0)
        rc = qs_fail(e, QS_EFORMAT, "the array of messages is empty");
    for (size_t i = 0; rc == QS_OK && i < qs_json_len(*list); i++)
        rc = check_message(qs_json_at(*list, i), i + 1, e);
    return rc == QS_OK ? rc : qs_err_prefix(e, "%s", path);
}

/* The tokens of a chat; what the template makes of the messages takes the place of the text. */
static int tokenize_chat(struct qs_cli *cli, struct work *w, unsigned flags, struct qs_err *e)
{
    const char *file = qs_cli_str(cli, "messages", NULL), *system = qs_cli_str(cli, "system", NULL);
    const struct qs_chat_message two[2] = { { "system", system }, { "user", w->text } };
    struct qs_json *root = NULL;
    struct qs_str text = QS_STR_INIT;
    struct qs_chat_args args = { .messages = system ? two : two + 1, .n_messages = system ? 2 : 1,
                                 .add_generation_prompt = true, .now = (int64_t)time(NULL) };
    int rc = file ? read_messages(file, &root, &args.messages_json, e) : QS_OK;
    if (rc == QS_OK)
        rc = find_template(w, e);
    if (rc == QS_OK)
        rc = qs_chat_tokens(w->template, &args, w->vocab, flags, &text, &w->tokens, e);
    qs_json_free(root);
    if (rc == QS_OK) {
        qs_free(w->text);
        w->n = text.len;
        w->text = text.len ? qs_str_take(&text) : qs_strdup("");
        rc = w->text ? QS_OK : qs_fail_mem(e, w->n, "the chat");
    }
    qs_str_free(&text);
    return rc;
}

/* A word against options that make no sense together; NULL: they do. */
static const char *contradiction(struct qs_cli *cli)
{
    const bool text = qs_cli_arg(cli, 1) != NULL, file = qs_cli_has(cli, "file"), chat = qs_cli_has(cli, "chat");
    if (qs_cli_has(cli, "ids") && (cli->json || cli->csv))
        return "--ids: a form of its own, not together with --json or --csv";
    if (text && file)
        return "--file: the text stands on the command line already";
    if (qs_cli_has(cli, "messages") && (text || file || qs_cli_has(cli, "system")))
        return "--messages: the whole chat comes from its file, without another text";
    if (!chat && !qs_cli_has(cli, "messages") && (qs_cli_has(cli, "system") || qs_cli_has(cli, "template")))
        return qs_cli_has(cli, "system") ? "--system: only with --chat" : "--template: only with --chat or --messages";
    return NULL;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

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
    if (qs_cli_has(cli, "ids"))
        return print_ids(cli, &w->tokens);
    const struct qs_tokens_report_args args = { .path = qs_cli_arg(cli, 0), .vocab = w->vocab, .tokens = &w->tokens,
                                                .bytes = w->n, .chat = w->chat ? w->text : NULL };
    return qs_cli_show(cli, qs_report_tokens(&args), "tokens");
}

static int tokenize(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    unsigned flags = (qs_cli_has(cli, "no-bos") ? 0 : QS_TOKENIZE_ADD_SPECIAL) |
                     (qs_cli_has(cli, "no-parse-special") ? 0 : QS_TOKENIZE_PARSE_SPECIAL);
    int rc = read_vocab(qs_cli_arg(cli, 0), &w->vocab, e);
    for (size_t i = 0; rc == QS_OK && qs_vocab_warning(w->vocab, i); i++)
        qs_cli_warn(cli, "%s", qs_vocab_warning(w->vocab, i));
    if (rc == QS_OK && !qs_cli_has(cli, "messages"))
        rc = read_text(cli, w, e);
    if (rc != QS_OK)
        return rc;
    return w->chat ? tokenize_chat(cli, w, flags, e) : qs_tokenize(w->vocab, w->text, w->n, flags, &w->tokens, e);
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct work w = { .chat = qs_cli_has(cli, "chat") || qs_cli_has(cli, "messages") };
    const char *against = contradiction(cli);
    if (against)
        return qs_cli_usage(cli, "%s", against);
    if (qs_cli_has(cli, "template") && qs_chat_template_builtin(qs_cli_str(cli, "template", ""), &w.template, &e))
        return e.code == QS_ENOMEM ? qs_cli_fail(cli, &e) : qs_cli_usage(cli, "--template: %s", e.msg);
    int exit_code = tokenize(cli, &w, &e) == QS_OK ? print(cli, &w) : qs_cli_fail(cli, &e);
    qs_tokens_free(&w.tokens);
    qs_chat_template_free(w.template);
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
    { "summary.chat", "the text after the chat template; only of a chat" },
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
        "is given.\n\n"
        "With --chat the text is a person's prompt: it goes through the model's chat template first, up to where the "
        "answer begins, as it would in a chat; BOS stands before it once where the model wants one, whether the "
        "template writes it or not. --messages takes a whole chat from a file.",
    .examples = "quantscape tokenize model.gguf 'Hello world'\tids and pieces\n"
                "quantscape tokenize model.gguf --ids --file prompt.txt\tids alone\n"
                "quantscape tokenize model.gguf --no-bos --csv < text.txt\tas CSV, no BOS before it\n"
                "quantscape tokenize model.gguf --chat --system 'Be brief.' 'Hello'\tthe prompt of a chat\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
