/* chat_internal.h - the insides of sides and chats, for core/chat alone. */
#ifndef QS_CORE_CHAT_INTERNAL_H
#define QS_CORE_CHAT_INTERNAL_H

#include <pthread.h>

#include "base/file.h"
#include "core/chat/answer_internal.h"
#include "core/chat/chat_run.h"
#include "core/chat/talk_internal.h"
#include "core/text/chat.h"
#include "core/text/vocab.h"

/* ---- sides ---- */

/* A file that was opened, for all the sides that speak through it. One thread. */
struct qs_side_source {
    struct qs_model *own;        /* NULL: the model is somebody else's */
    const struct qs_model *model;
    struct qs_vocab *vocab;
    int refs;
};

struct qs_side {
    struct qs_side_source *source;
    struct qs_engine *engine, *own_engine;
    struct qs_chat_template *template; /* the model's own; NULL: template_error says why */
    char label[QS_ANSWER_LABEL], template_error[QS_ERR_MAX];
    const char *guess;
    struct qs_session *session;  /* NULL: none yet */
    struct qs_session_args args; /* of it */
    uint64_t generation;         /* of the engine, when the cache was filled */
};

/* tokens an answer will have room for */
size_t qs_side_context(const struct qs_side *s, const struct qs_talk_settings *t);
/* Ready to be fed: a session with these settings, emptied where its cache was made with other weights. */
int qs_side_ready(struct qs_side *s, const struct qs_talk_settings *t, size_t n_ctx, struct qs_err *e);
/* The tokens that the side is given for this conversation; which: 0 or 1, whose answers are used. no_template: it
 * failed since the model's own template could not be used. */
int qs_side_tokens(const struct qs_side *s, const struct qs_talk *t, int which, struct qs_tokens *out,
                   bool *no_template, struct qs_err *e);
/* The token by which a built-in form ends an answer; QS_NO_TOKEN: none. */
int32_t qs_side_stop_token(const struct qs_side *s, const struct qs_talk_settings *t);

/* ---- chats ---- */

struct qs_chat {
    pthread_mutex_t lock;        /* guards front and job; held for copies and small additions alone */
    struct qs_answer *front;
    struct qs_job *job;
    /* of the answer that runs or ran last; touched by the job alone while it runs */
    struct qs_talk *talk;
    struct qs_side *side[QS_ANSWER_SIDES];
    size_t n;
    bool follow;
    struct qs_side *draft;       /* NULL: none */
    struct qs_answer *tape;      /* what is replayed; NULL: an answer is made */
    double speed;
    double began;                /* qs_now() */
};

/* How tokens of that side are guessed with these settings. */
enum qs_talk_speculate qs_chat_speculates(const struct qs_chat *c, const struct qs_talk_settings *t, size_t n_sides,
                                          size_t k);

qs_job_fn qs_chat_generate, qs_chat_play; /* ctx: the chat */

struct qs_answer *qs_chat_lock(struct qs_chat *c);   /* the answer, to be changed until: */
void qs_chat_unlock(struct qs_chat *c);              /* a new version; the time is noted */
/* The end: every side that has not ended stops for this reason; e: what went wrong, NULL: nothing did. */
void qs_chat_end(struct qs_chat *c, enum qs_answer_stop why, const struct qs_err *e);

#endif
