/* chat_replay.c - shows a kept answer again: the same tokens through the same watching, at a chosen pace, without
 * models.
 *
 * Between tokens the counters of time are interpolated; at the end every number is that of the recording.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/chat/chat_internal.h"

#define NAP 0.01 /* seconds */

struct play {
    struct qs_chat *c;
    struct qs_job *job;
    double at;   /* seconds of the recording */
};

/* Until the recording's time `until`; pauses do not count. */
static int wait_for(struct play *p, double until, struct qs_err *e)
{
    int rc = qs_job_step(p->job, 0, e);
    while (!rc && p->c->speed > 0 && p->at < until) {
        const double left = (until - p->at) / p->c->speed, nap = left < NAP ? left : NAP;
        const struct timespec ts = { .tv_nsec = (long)(nap * 1e9) };
        nanosleep(&ts, NULL);
        p->at += nap * p->c->speed;
        rc = qs_job_step(p->job, 0, e);
    }
    return rc;
}

static void begin(struct play *p)
{
    const struct qs_answer *tape = p->c->tape;
    struct qs_answer *a = qs_chat_lock(p->c);
    a->state = QS_ANSWER_PREFILL;
    a->replayed = true;
    a->seed = tape->seed;
    a->shared = tape->shared;
    for (size_t k = 0; k < tape->n_sides; k++) {
        struct qs_answer_side *s = &a->side[k];
        const struct qs_answer_side *t = &tape->side[k];
        snprintf(s->label, sizeof s->label, "%s", t->label);
        snprintf(s->precision, sizeof s->precision, "%s", t->precision);
        s->state = QS_ANSWER_PREFILL;
        s->prompt = t->prompt;
        s->reused = s->used = t->reused;
        s->context = t->context;
        s->memory = t->memory;
    }
    qs_chat_unlock(p->c);
}

static int copy_piece(struct qs_answer *a, const struct qs_answer *tape, uint32_t *piece, struct qs_err *e)
{
    const char *text = qs_answer_piece(tape, *piece);
    return qs_answer_add_piece(a, text, strlen(text), piece, e);
}

/* Token i of side k, with what it changes. */
static int show(struct play *p, size_t k, size_t i, struct qs_err *e)
{
    const struct qs_answer *tape = p->c->tape;
    const struct qs_answer_side *from = &tape->side[k];
    struct qs_answer_token t = from->token[i];
    size_t n;
    const char *text = qs_answer_text(from, i, &n);
    struct qs_answer *a = qs_chat_lock(p->c);
    struct qs_answer_side *s = &a->side[k];
    int rc = copy_piece(a, tape, &t.piece, e);
    for (unsigned b = 0; !rc && b < t.n_best; b++)
        rc = copy_piece(a, tape, &t.best[b].piece, e);
    if (!rc)
        rc = qs_answer_add_text(s, text, n, e);
    if (!rc)
        rc = qs_answer_add_token(s, &t, e);
    if (!rc && k == 1)
        qs_answer_count(a, i);
    if (!rc)
        qs_answer_part(a);
    const double share = from->n > 1 ? (double)i / (double)(from->n - 1) : 1;
    a->state = s->state = QS_ANSWER_DECODING;
    s->prefilled = from->prefilled;
    s->prefill_seconds = from->prefill_seconds;
    s->decoded = (size_t)((double)from->decoded * share);
    s->decode_seconds = from->decode_seconds * share;
    s->drafted = (size_t)((double)from->drafted * share);
    s->accepted = (size_t)((double)from->accepted * share);
    s->used = from->prompt + i < from->used ? from->prompt + i : from->used;
    a->seconds = t.seconds;
    qs_chat_unlock(p->c);
    return rc;
}

/* All is as it was when the recording ended. */
static void end(struct play *p)
{
    const struct qs_answer *tape = p->c->tape;
    struct qs_answer *a = qs_chat_lock(p->c);
    for (size_t k = 0; k < tape->n_sides; k++) {
        struct qs_answer_side *s = &a->side[k];
        const struct qs_answer_side *t = &tape->side[k];
        s->state = QS_ANSWER_ENDED;
        s->stop = t->stop;
        s->prefilled = t->prefilled;
        s->prefill_seconds = t->prefill_seconds;
        s->decoded = t->decoded;
        s->decode_seconds = t->decode_seconds;
        s->used = t->used;
        s->drafted = t->drafted;
        s->accepted = t->accepted;
    }
    a->seconds = tape->seconds;
    snprintf(a->message, sizeof a->message, "%s", tape->message);
    a->state = QS_ANSWER_ENDED;
    qs_chat_unlock(p->c);
}

/* The side whose next token comes first; n_sides: no more. */
static size_t next_side(const struct qs_answer *tape, const size_t *at)
{
    size_t best = tape->n_sides;
    for (size_t k = 0; k < tape->n_sides; k++) {
        const struct qs_answer_side *s = &tape->side[k];
        if (at[k] < s->n && (best == tape->n_sides ||
                             s->token[at[k]].seconds < tape->side[best].token[at[best]].seconds))
            best = k;
    }
    return best;
}

int qs_chat_play(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct play p = { .c = ctx, .job = job };
    const struct qs_answer *tape = p.c->tape;
    size_t at[QS_ANSWER_SIDES] = { 0 }, total = 0;
    for (size_t k = 0; k < tape->n_sides; k++)
        total += tape->side[k].n;
    qs_job_phase(job, "replay", "tokens", total);
    begin(&p);
    int rc = QS_OK;
    for (size_t k; !rc && (k = next_side(tape, at)) < tape->n_sides; at[k]++) {
        rc = wait_for(&p, tape->side[k].token[at[k]].seconds, e);
        if (!rc)
            rc = show(&p, k, at[k], e);
        if (!rc)
            rc = qs_job_step(job, 1, e);
    }
    if (!rc)
        rc = wait_for(&p, tape->seconds, e);
    if (rc)
        qs_chat_end(p.c, rc == QS_ECANCELLED ? QS_STOP_CANCELLED : QS_STOP_FAILED, rc == QS_ECANCELLED ? NULL : e);
    else
        end(&p);
    return rc;
}
