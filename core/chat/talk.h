/* talk.h - a conversation: messages, the settings it is held with, and the file it is kept in.
 *
 * Knows no model. A message of the assistant may have two texts: what the first side answered, and what the second side
 * answered where it wrote its own (chat_run.h, free mode); each side goes on from its own. Nothing is ever dropped
 * from a conversation by itself.
 *
 * FILE. One JSON object: {"quantscape": "conversation", "version": 1, "system": TEXT, "settings": {KEY: value},
 * "messages": [{"role", "content", "other"}]}; system and settings may be absent. A plain list of messages ([{"role",
 * "content"}], or an object with such a list under "messages") is imported too. At most 64 MiB.
 */
#ifndef QS_CORE_TALK_H
#define QS_CORE_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"
#include "core/text/sampler.h"

#define QS_TALK_MESSAGES 10000          /* most messages of a conversation */
#define QS_TALK_TEXT (16u << 20)        /* most bytes of one message */
#define QS_TALK_TEMPLATE_NAME 64

enum qs_talk_role { QS_TALK_USER, QS_TALK_ASSISTANT };
const char *qs_talk_role_name(enum qs_talk_role r); /* "user", "assistant" */

struct qs_talk_message {
    enum qs_talk_role role;
    char *text;                         /* valid UTF-8 */
    char *other;                        /* the second side's own answer; NULL: the same */
};

/* Several tokens per pass, the same answer (speculate.h). */
enum qs_talk_speculate {
    QS_SPECULATE_AUTO,  /* by a draft model where there is one, else by the text; off where two models are compared */
    QS_SPECULATE_OFF, QS_SPECULATE_NGRAM, QS_SPECULATE_DRAFT
};

struct qs_talk_settings {
    struct qs_sampler_settings sampler;
    size_t max_tokens;                  /* of an answer; 0: until the context is full */
    size_t n_ctx;                       /* tokens; 0: the model's own, at most 4096 */
    int type_k, type_v;                 /* of the cache: QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 */
    bool rotate;                        /* rotate keys and values before they are stored */
    enum qs_talk_speculate speculate;
    char form[QS_TALK_TEMPLATE_NAME];   /* "": the model's own template; "none": raw text, no template at all; "file":
                                         * that of qs_talk_set_template; else a built-in form (core/text/chat.h) */
};

struct qs_talk {                        /* read freely; changed by the functions below */
    char *system;                       /* "": none */
    struct qs_talk_message *message;
    size_t n, cap;
    struct qs_talk_settings settings;
    char *template_source;              /* Jinja, for form "file"; NULL: none */
    unsigned attempt;                   /* how often the last answer was asked for again: added to the seed */
    uint64_t version;                   /* grows with every change */
    uint64_t said;                      /* grows with every change of messages and system prompt */
};

int qs_talk_new(struct qs_talk **out, struct qs_err *e); /* empty, default settings, max_tokens 512 */
void qs_talk_free(struct qs_talk *t);                    /* NULL allowed */

/* All texts: QS_EINVAL for invalid UTF-8 (the byte is named) and for a 0 byte, QS_ELIMIT beyond the bounds above;
 * nothing is changed then. */
int qs_talk_system(struct qs_talk *t, const char *text, size_t n, struct qs_err *e);
/* The person's next message; QS_EINVAL: empty, or the last message is the person's too (unless form is "none"). */
int qs_talk_say(struct qs_talk *t, const char *text, size_t n, struct qs_err *e);
/* The last message of the person said otherwise; everything after it goes. QS_EINVAL: the text is empty, or there is no
 * such message. */
int qs_talk_say_again(struct qs_talk *t, const char *text, size_t n, struct qs_err *e);
/* The answer; other: NULL or the second side's. QS_EINVAL: there is nothing to answer. An empty answer is kept. */
int qs_talk_answer(struct qs_talk *t, const char *text, size_t n, const char *other, size_t n_other, struct qs_err *e);
/* Ready to be answered again: the last answer goes, `attempt` grows. QS_EINVAL: no message yet. */
int qs_talk_regenerate(struct qs_talk *t, struct qs_err *e);
/* The last message of the person and everything after it goes; its text is handed over (qs_free). QS_EINVAL: there is
 * none. */
int qs_talk_take_back(struct qs_talk *t, char **text, struct qs_err *e);
void qs_talk_clear(struct qs_talk *t);                   /* all messages; system prompt and settings stay */
const struct qs_talk_message *qs_talk_last(const struct qs_talk *t, enum qs_talk_role role); /* NULL: none */
int qs_talk_set_template(struct qs_talk *t, const char *source, size_t n, struct qs_err *e); /* and form = "file" */
/* The settings of another one, and the template that they may name. Only QS_ENOMEM: nothing is changed then. */
int qs_talk_settings_of(struct qs_talk *t, const struct qs_talk *from, struct qs_err *e);
int qs_talk_copy(const struct qs_talk *from, struct qs_talk **out, struct qs_err *e); /* all of it */

/* ---- settings by name: /set, options, screens and files are made from one table ---- */
struct qs_talk_setting {
    const char *name, *key;             /* "max-tokens", "max_tokens" */
    const char *help;
};
bool qs_talk_setting_at(size_t i, struct qs_talk_setting *out); /* the sampler's first; false past the end */
/* By name or key; "temp" is temperature too. QS_ENOTFOUND with near names; QS_EINVAL: not a value of it, t is
 * unchanged. */
int qs_talk_set(struct qs_talk *t, const char *name, const char *value, struct qs_err *e);
/* As qs_talk_set reads it; appended. */
void qs_talk_show(const struct qs_talk *t, const char *name, struct qs_str *out);

/* ---- files ---- */
int qs_talk_save(const struct qs_talk *t, const char *path, bool overwrite, struct qs_err *e);
/* QS_EFORMAT names the message or field that is wrong; t is replaced as a whole or not at all. An imported list without
 * settings keeps those of t. */
int qs_talk_load(struct qs_talk *t, const char *path, struct qs_err *e);
struct qs_json *qs_talk_json(const struct qs_talk *t);   /* NULL: out of memory */
int qs_talk_from_json(struct qs_talk *t, const struct qs_json *j, struct qs_err *e);

#endif
