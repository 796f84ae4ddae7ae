/* chat_run.h - talking to a model, or to two side by side: answers as jobs that others watch.
 *
 * A *side* is a model that can be spoken to: engine, vocabulary, template, and a session of its own whose cache keeps
 * the longest common prefix of tokens between answers. A *chat* answers a conversation (talk.h) with one side or two.
 * Sides do not belong to the chat: a third one takes the place of another between answers, and still has its cache
 * when it comes back. One answer runs at a time; while it does, nobody else uses the engines of its sides.
 *
 * TWO SIDES are stepped in turn, token by token; each one's speed is by its own steps alone. Both sample with the same
 * settings and seed. They must have the same vocabulary.
 *
 * WATCHING. qs_chat_look() copies what is new since the last look: a lock held no longer than that. The answer's tokens
 * and texts only ever grow, until the next answer begins.
 */
#ifndef QS_CORE_CHAT_RUN_H
#define QS_CORE_CHAT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/chat/answer.h"
#include "core/chat/talk.h"
#include "core/job/job.h"
#include "core/model/engine.h"

struct qs_vocab;

/* ---- sides ---- */

struct qs_side;

struct qs_side_args {
    struct qs_pool *pool;          /* outlives the side; NULL: the job's thread alone */
    enum qs_precision precision;
    const char *label;             /* NULL: the file's name; copied */
    struct qs_side *beside;        /* where both have one file, its model serves both (and has to outlive both, where it
                                    * is somebody else's: qs_side_model tells); NULL: none */
};

/* Opens a model: headers, vocabulary, and an engine (qs_engine_new), for which norms and biases are decoded and those
 * tensors of a folder are made that are not in its files as they are; all other weights are mapped and not touched.
 * Errors as of qs_model_open, qs_engine_can; QS_EUNSUPPORTED: it has no tokenizer. */
int qs_side_open(const char *path, const struct qs_side_args *args, struct qs_side **out, struct qs_err *e);
/* Over an engine of somebody else (the candidate's), which outlives the side; pool and precision of args are not
 * used. */
int qs_side_new(struct qs_engine *engine, const struct qs_side_args *args, struct qs_side **out, struct qs_err *e);
void qs_side_free(struct qs_side *s); /* when no answer of it runs; NULL allowed */

const char *qs_side_label(const struct qs_side *s);
struct qs_engine *qs_side_engine(const struct qs_side *s);
const struct qs_model *qs_side_model(const struct qs_side *s);
const struct qs_vocab *qs_side_vocab(const struct qs_side *s);
/* What the tokenizer does otherwise than the model's makers meant it, to be told to people; NULL past the last. */
const char *qs_side_warning(const struct qs_side *s, size_t i);
/* Why the model's own template cannot be used (it has none, or it does not compile); NULL: it can. */
const char *qs_side_template_error(const struct qs_side *s);
const char *qs_side_template_guess(const struct qs_side *s); /* built-in form that fits the vocabulary */
void qs_side_forget(struct qs_side *s);                      /* gives the cache back */

/* QS_EINVAL: the vocabularies differ; the first difference is named. Chat with each alone still works. */
int qs_sides_comparable(const struct qs_side *a, const struct qs_side *b, struct qs_err *e);

/* What an answer of these sides takes, before anything is loaded: each by itself, and what they share (same bytes of
 * the same file, or the same weight). */
struct qs_chat_need {
    struct qs_answer_memory side[QS_ANSWER_SIDES], shared;
    uint64_t private_bytes;        /* heap and caches of all */
    uint64_t total;                /* with file pages, shared once */
};
int qs_chat_need(struct qs_side *const *side, size_t n, const struct qs_talk_settings *s, struct qs_chat_need *out,
                 struct qs_err *e);

/* The same by headers alone, of models that nobody has begun to load: working buffers are not in it. n: 1 or 2. */
void qs_chat_need_models(const struct qs_model *const *m, size_t n, const struct qs_talk_settings *s,
                         struct qs_chat_need *out);

/* ---- answers ---- */

struct qs_chat;

int qs_chat_new(struct qs_chat **out, struct qs_err *e);
void qs_chat_free(struct qs_chat *c);  /* stops and waits; NULL allowed */

/* Starts the answer to the last message of the person. side: n of them, 1 or 2; [0] is the original. follow: with two.
 * wake_fd: as of qs_job_start. The conversation is copied. QS_EBUSY: an answer runs. QS_EINVAL: nothing to answer,
 * different vocabularies. What goes wrong later (a template, a prompt that is too long) is told by the answer. */
int qs_chat_start(struct qs_chat *c, const struct qs_talk *t, struct qs_side *const *side, size_t n, bool follow,
                  int wake_fd, struct qs_err *e);
/* Shows a kept answer instead, at `speed` times its own pace (0: at once); `a` is copied. */
int qs_chat_replay(struct qs_chat *c, const struct qs_answer *a, double speed, int wake_fd, struct qs_err *e);

/* A small model that guesses ahead for side 0 of the answers to come (settings.speculate), and outlives them; NULL:
 * none. QS_EBUSY: an answer runs. Its vocabulary is compared when an answer starts: QS_EINVAL names the first difference. */
int qs_chat_draft(struct qs_chat *c, struct qs_side *draft, struct qs_err *e);
/* QS_EINVAL: it cannot guess for that model, and why. */
int qs_side_can_draft(const struct qs_side *draft, const struct qs_side *side, struct qs_err *e);

void qs_chat_stop(struct qs_chat *c);          /* at the next token; returns at once; any thread */
void qs_chat_pause(struct qs_chat *c, bool paused);
bool qs_chat_running(struct qs_chat *c);
/* Until it has ended or the time is over (negative: no limit); true: it has ended. */
bool qs_chat_wait(struct qs_chat *c, double seconds);
struct qs_job *qs_chat_job(struct qs_chat *c); /* of the last answer, for lists of jobs: valid until the next
                                                * one starts. NULL: none yet */

/* Brings `a` (of qs_answer_new, used for this chat alone) up to date; a->version tells whether anything changed. Any
 * thread, at any time. Only QS_ENOMEM: `a` is then what it was. */
int qs_chat_look(struct qs_chat *c, struct qs_answer *a, struct qs_err *e);

/* After the end: the answer becomes a message of the conversation it was made for (a stopped one too; not one that
 * failed before its first token: QS_EINVAL). In free mode side 1's own text is kept beside. */
int qs_chat_keep(struct qs_chat *c, struct qs_talk *t, struct qs_err *e);

#endif
