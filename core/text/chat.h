/* chat.h - from messages to the text a model was trained on: chat templates.
 *
 * A template comes with the model (tokenizer.chat_template in GGUF, chat_template in tokenizer_config.json or a file
 * chat_template.jinja) or is one of the built-in forms. Both are run by core/text/jinja, so both behave alike.
 *
 * When the template of a model cannot be compiled or fails on these messages, the error says where (line, column) and
 * why. The caller can then go on with a built-in form: qs_chat_template_guess names the one whose special tokens the
 * vocabulary has, qs_chat_builtins lists all of them for a person to choose from, qs_chat_template_builtin compiles it.
 */
#ifndef QS_TEXT_CHAT_H
#define QS_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

struct qs_tokens;
struct qs_vocab;

struct qs_chat_message {
    const char *role;    /* "system", "user", "assistant" ... */
    const char *content; /* invalid UTF-8 becomes U+FFFD, as in HF's decoder */
};

struct qs_chat_template; /* compiled and immutable: any number of threads may render with it at once */

/* Compiles the Jinja source of a model (not kept). Errors: see qs_jinja_compile; they begin with "chat template: ". */
int qs_chat_template_new(const char *source, size_t n, struct qs_chat_template **out, struct qs_err *e);
/* Compiles a built-in form by its name; QS_ENOTFOUND names near ones, and all. */
int qs_chat_template_builtin(const char *name, struct qs_chat_template **out, struct qs_err *e);
void qs_chat_template_free(struct qs_chat_template *t); /* NULL allowed */

struct qs_chat_builtin {
    const char *name;    /* "chatml", "llama3", "gemma", ... "plain" */
    const char *help;    /* one line: which models */
    const char *mark;    /* a token that tells the form from the others; NULL: none ("plain") */
    const char *stop;    /* the token that ends an answer; NULL: the model's end-of-text token */
    const char *source;  /* Jinja */
};

const struct qs_chat_builtin *qs_chat_builtins(size_t *n);
const char *qs_chat_builtin_name(size_t i);                 /* NULL past the last */
const char *qs_chat_builtin_names(char *buf, size_t size);  /* all, with commas between them: buf */

/* The name of the built-in form that fits a vocabulary: `has` tells whether a special token of this text is in it.
 * "plain" when none fits; never NULL. */
const char *qs_chat_template_guess(bool (*has)(const void *vocabulary, const char *token), const void *vocabulary);

struct qs_chat_args {
    const struct qs_chat_message *messages;
    size_t n_messages;
    const struct qs_json *messages_json; /* instead of messages: an array of objects, passed on as it is (tool calls,
                                            content in parts, reasoning ...); NULL: `messages` */
    bool add_generation_prompt;          /* end with the opening of the assistant's turn */
    const char *bos_token, *eos_token;   /* text of the special tokens; NULL: undefined in the template */
    int64_t now;                         /* seconds since 1970, UTC: what strftime_now tells */
    const struct qs_json *extra;         /* more variables (an object: tools, documents, enable_thinking ...); NULL: no.
                                            They come before all others. tools and documents are none when not given,
                                            as in `transformers` */
};

/* Appends the rendered text to *out; on failure nothing is appended. Errors: see qs_jinja_render; a refusal of the
 * template (raise_exception) is QS_EINVAL and in its own words. */
int qs_chat_render(const struct qs_chat_template *t, const struct qs_chat_args *a, struct qs_str *out,
                   struct qs_err *e);

/* THE PROMPT. What a model is fed is the same wherever a chat is spoken, measured or shown: the text, and before it
 * BOS exactly once where the vocabulary adds one (llama.cpp's rule, 0c1e57098: what the template wrote itself counts),
 * otherwise none but what the template wrote. No EOS behind it: an answer follows. */

/* Messages to tokens: renders with the special tokens of the vocabulary (bos_token and eos_token of `a` count for
 * nothing), appends the text to *text and its ids to *out. flags: of qs_tokenize; ADD_SPECIAL: BOS as told above,
 * PARSE_SPECIAL: marks in the text are control tokens, as a model was trained. Errors: qs_chat_render, qs_tokenize. */
int qs_chat_tokens(const struct qs_chat_template *t, const struct qs_chat_args *a, const struct qs_vocab *v,
                   unsigned flags, struct qs_str *text, struct qs_tokens *out, struct qs_err *e);
/* The second half of it, for text that needs no template: n bytes. */
int qs_prompt_tokens(const struct qs_vocab *v, const char *text, size_t n, unsigned flags, struct qs_tokens *out,
                     struct qs_err *e);

#endif
