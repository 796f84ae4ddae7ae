/* chat_steps.h - an answer being made: what choosing tokens (chat_steps.c) and feeding them (chat_feed.c) share. */
#ifndef QS_CORE_CHAT_STEPS_H
#define QS_CORE_CHAT_STEPS_H

#include "core/chat/chat_internal.h"
#include "core/chat/speculate.h"

struct qs_chat_lane {                 /* one side at work */
    struct qs_side *side;
    struct qs_tokens prompt;
    struct qs_sampler *sampler;
    struct qs_detok detok;
    struct qs_speculate *ahead; /* feeds, once the prompt is in; the session may hold guesses behind its length */
    float *logits;            /* of the next token: n_vocab of the engine */
    double lse;
    int32_t stop;             /* one more token that ends an answer, or QS_NO_TOKEN */
    bool done;
    size_t n;                 /* tokens of the answer so far */
    int32_t next;             /* chosen, not fed yet */
};

struct qs_chat_steps {
    struct qs_chat *c;
    struct qs_job *job;
    struct qs_chat_lane lane[QS_ANSWER_SIDES];
    size_t n_vocab;           /* tokens that count, in all sides */
    bool together;            /* all sides have seen the same tokens so far */
    struct qs_err bad;        /* the first side that failed by itself (NaN) */
};

/* The prompts of all sides, and what guesses ahead from then on. */
int qs_chat_prefill(struct qs_chat_steps *r, struct qs_err *e);
/* Feeds the token that was chosen for side k; the logits of the next one come back. What was guessed right took no time
 * now. */
int qs_chat_feed(struct qs_chat_steps *r, size_t k, struct qs_err *e);

#endif
