/* speculate.h - several tokens per pass through a model, and the very same answer: drafts, verified by one batch.
 *
 * A drafter guesses which tokens come next. They are fed together with the token that was chosen, as one batch, and
 * the logits behind each are kept. Whoever chooses goes on as if nothing had happened: a token is chosen from logits,
 * fed, and the next logits come back. Where the fed token is the guessed one they are there already; where it is
 * another one, the rest of the guesses is taken back from the timeline. So the sampler sees the same logits, the same
 * tokens before them and the same random numbers as without, one pick a token, and the answer is the same for any
 * drafter, since a logit does not depend on how tokens are cut into batches (kernels/op.h).
 *
 * WHETHER IT PAYS. A batch of a few tokens takes longer than one token: hardly, where reading the weights takes the
 * time, much where arithmetic does. So it is measured: seconds by size of batch, and how often guesses of each kind
 * came true. Drafts are as long as promises the most tokens per second, none where no guess pays; guesses that cost
 * nothing are still compared with what comes, others are tried again after a while. Only the speed depends on it.
 */
#ifndef QS_CORE_SPECULATE_H
#define QS_CORE_SPECULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/model/engine.h"

#define QS_DRAFT_MAX 7    /* tokens of a draft: with the chosen one a batch of eight */
#define QS_DRAFT_KINDS 8  /* of guesses, told apart by how sure they are */

/* Where guesses come from. One session's, and its thread's. */
struct qs_drafter {
    /* Guesses up to n tokens behind history[0 .. n_history), most of it the same as at the last call: *got of them to
     * out, which lies right behind history; *kind: how sure they are, 0 unknown, 1 to QS_DRAFT_KINDS - 1 ever more. */
    int (*draft)(struct qs_drafter *d, const int32_t *history, size_t n_history, size_t n, int32_t *out, size_t *got,
                 unsigned *kind, struct qs_err *e);
    void (*free)(struct qs_drafter *d);
    bool cheap;           /* a guess takes no time worth counting */
};
void qs_drafter_free(struct qs_drafter *d); /* NULL allowed */

/* What followed, somewhere before, on the same two to eight tokens: of the longest such place the latest. */
int qs_drafter_ngram(struct qs_drafter **out, struct qs_err *e);
/* A small model's likeliest tokens. session: of its own, borrowed; its context may be shorter (nothing is guessed
 * beyond); n_vocab: ids that count in both models. */
int qs_drafter_model(struct qs_session *session, size_t n_vocab, struct qs_drafter **out, struct qs_err *e);

struct qs_speculate_counts {
    size_t drafted, accepted; /* tokens that were guessed and fed; those of them that were chosen then */
    size_t batches;           /* that had guesses in them */
};

struct qs_speculate;

/* session: borrowed; what it holds stays. The drafter is taken over, on failure too; NULL: every token by itself. now:
 * a clock, NULL: qs_now. */
int qs_speculate_new(struct qs_session *session, struct qs_drafter *drafter, double (*now)(void),
                     struct qs_speculate **out, struct qs_err *e);
/* The session is left without guesses. NULL allowed. */
void qs_speculate_free(struct qs_speculate *s);

/* Tokens that were fed and chosen; the session may hold guesses behind them. Its first tokens (qs_session_tokens) are
 * they. */
size_t qs_speculate_length(const struct qs_speculate *s);
/* Appends a token; logits (n_vocab of the engine's configuration): of the next one. most: how many more tokens may be
 * chosen after that one (SIZE_MAX: unknown). Errors as of qs_session_feed. */
int qs_speculate_feed(struct qs_speculate *s, int32_t token, size_t most, float *logits, struct qs_err *e);
struct qs_speculate_counts qs_speculate_counts(const struct qs_speculate *s);

#endif
