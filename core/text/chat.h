/* chat.h - from messages to the text a model was trained on: chat templates.
 *
 * A template comes with the model (tokenizer.chat_template in GGUF, chat_template in tokenizer_config.json or a file
 * chat_template.jinja) or is one of the built-in forms. Both are run by core/text/jinja.c, so both behave alike.
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

struct qs_chat_message {
    const char *role;    /* "system", "user", "assistant" ... */
    const char *content; /* invalid UTF-8 becomes U+FFFD, as in HF's decoder */
};

struct qs_chat_template; /* compiled and immutable: any number of threads may render with it at once */

/* Compiles the Jinja source of a model (copied). Errors: see qs_jinja_compile; they begin with "chat template: ". */
int qs_chat_template_new(const char *source, size_t n, struct qs_chat_template **out, struct qs_err *e);
/* Compiles a built-in form by its name; QS_ENOTFOUND names near ones. */
int qs_chat_template_builtin(const char *name, struct qs_chat_template **out, struct qs_err *e);
void qs_chat_template_free(struct qs_chat_template *t); /* NULL allowed */
/* As it was given; n may be NULL; lives as long as t. */
const char *qs_chat_template_source(const struct qs_chat_template *t, size_t *n);

struct qs_chat_builtin {
    const char *name;    /* "chatml", "llama3", "gemma", ... "plain" */
    const char *help;    /* one line: which models */
    const char *mark;    /* a token that tells the form from the others; NULL: none ("plain") */
    const char *stop;    /* the token that ends an answer; NULL: the model's end-of-text token */
    const char *source;  /* Jinja */
};

const struct qs_chat_builtin *qs_chat_builtins(size_t *n);

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
 * template (raise_exception) is QS_EINVAL and in its own words. The text usually begins with bos_token where the
 * template writes it: the tokenizer must not add another. */
int qs_chat_render(const struct qs_chat_template *t, const struct qs_chat_args *a, struct qs_str *out,
                   struct qs_err *e);

#endif
