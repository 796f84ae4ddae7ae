/* chat_run.c - owns the running answer: its job, and the copy that watchers see. One lock, held no longer than a copy
 * or a small addition. The order of locks: a chat's, then a job's.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/chat_internal.h"

int qs_chat_new(struct qs_chat **out, struct qs_err *e)
{
    struct qs_chat *c = qs_calloc(1, sizeof *c);
    if (!c)
        return qs_fail_mem(e, sizeof *c, "a chat");
    const int rc = qs_answer_new(&c->front, e);
    if (rc) {
        qs_free(c);
        return rc;
    }
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return QS_OK;
}

/* What the last answer was made from. No job runs. */
static void forget_run(struct qs_chat *c)
{
    pthread_mutex_lock(&c->lock);
    struct qs_job *job = c->job;
    c->job = NULL;
    pthread_mutex_unlock(&c->lock);
    qs_job_free(job);
    qs_talk_free(c->talk);
    qs_answer_free(c->tape);
    c->talk = NULL;
    c->tape = NULL;
}

void qs_chat_free(struct qs_chat *c)
{
    if (!c)
        return;
    qs_chat_stop(c);
    qs_chat_wait(c, -1);
    forget_run(c);
    qs_answer_free(c->front);
    pthread_mutex_destroy(&c->lock);
    qs_free(c);
}

/* ---- starting ------------------------------------------------------------------------------------------------ */

/* A new, empty answer in front. */
static int begin(struct qs_chat *c, size_t n, bool follow, const char *prompt, struct qs_err *e)
{
    pthread_mutex_lock(&c->lock);
    struct qs_answer *a = c->front;
    int rc = qs_answer_reset(a, e);
    a->number++;
    a->version++;
    if (!rc)
        rc = qs_answer_set_prompt(a, prompt, e);
    if (!rc) {
        a->state = QS_ANSWER_WAITING;
        a->follow = follow;
        a->n_sides = n;
        for (size_t i = 0; i < n; i++)
            a->side[i].state = QS_ANSWER_WAITING;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static int launch(struct qs_chat *c, const char *title, qs_job_fn *fn, int wake_fd, struct qs_err *e)
{
    struct qs_job *job = NULL;
    c->began = qs_now();
    const int rc = qs_job_start(title, fn, c, wake_fd, &job, e);
    if (rc) {
        qs_chat_end(c, QS_STOP_FAILED, e);
        return rc;
    }
    pthread_mutex_lock(&c->lock);
    c->job = job;
    pthread_mutex_unlock(&c->lock);
    return QS_OK;
}

int qs_chat_draft(struct qs_chat *c, struct qs_side *draft, struct qs_err *e)
{
    if (qs_chat_running(c))
        return qs_fail(e, QS_EBUSY, "an answer is being written: stop it first");
    c->draft = draft;
    return QS_OK;
}

enum qs_talk_speculate qs_chat_speculates(const struct qs_chat *c, const struct qs_talk_settings *t, size_t n_sides,
                                          size_t k)
{
    switch (t->speculate) {
    case QS_SPECULATE_AUTO:
        return n_sides > 1 ? QS_SPECULATE_OFF : c->draft ? QS_SPECULATE_DRAFT : QS_SPECULATE_NGRAM;
    case QS_SPECULATE_DRAFT:
        return k == 0 ? QS_SPECULATE_DRAFT : QS_SPECULATE_OFF; /* its one session goes one way */
    default:
        return t->speculate;
    }
}

static int check_draft(const struct qs_chat *c, const struct qs_talk_settings *t, struct qs_side *const *side, size_t n,
                       struct qs_err *e)
{
    if (qs_chat_speculates(c, t, n, 0) != QS_SPECULATE_DRAFT)
        return QS_OK;
    if (!c->draft)
        return qs_fail(e, QS_EINVAL, "speculate is 'draft', and there is no draft model: name one, or take 'ngram'");
    for (size_t i = 0; i < n; i++)
        if (c->draft == side[i])
            return qs_fail(e, QS_EINVAL, "a side cannot guess for itself: it has one cache. Open the model twice");
    return qs_side_can_draft(c->draft, side[0], e);
}

static int check_start(struct qs_chat *c, const struct qs_talk *t, struct qs_side *const *side, size_t n, bool follow,
                       struct qs_err *e)
{
    if (n == 0 || n > QS_ANSWER_SIDES || (follow && n < 2))
        return qs_fail(e, QS_EINVAL, follow ? "to follow takes two models" : "a chat has one side or two, not %zu", n);
    if (qs_chat_running(c))
        return qs_fail(e, QS_EBUSY, "an answer is being written: stop it first");
    if (t->n == 0 || t->message[t->n - 1].role != QS_TALK_USER)
        return qs_fail(e, QS_EINVAL, "there is no message that waits for an answer");
    if (n == 2 && side[0] == side[1])
        return qs_fail(e, QS_EINVAL, "a side cannot be compared with itself: it has one cache. Open the model twice");
    const int rc = check_draft(c, &t->settings, side, n, e);
    if (rc)
        return rc;
    if (n == 2 && qs_side_engine(side[0]) == qs_side_engine(side[1]))
        return QS_OK;
    return n == 2 ? qs_sides_comparable(side[0], side[1], e) : QS_OK;
}

int qs_chat_start(struct qs_chat *c, const struct qs_talk *t, struct qs_side *const *side, size_t n, bool follow,
                  int wake_fd, struct qs_err *e)
{
    char title[2 * QS_ANSWER_LABEL + 16];
    int rc = check_start(c, t, side, n, follow, e);
    if (rc)
        return rc;
    forget_run(c);
    rc = qs_talk_copy(t, &c->talk, e);
    if (!rc)
        rc = begin(c, n, follow, t->message[t->n - 1].text, e);
    if (rc)
        return rc;
    struct qs_answer *a = qs_chat_lock(c);
    for (size_t i = 0; i < n; i++) {
        c->side[i] = side[i];
        snprintf(a->side[i].label, sizeof a->side[i].label, "%s", side[i]->label);
    }
    a->seed = t->settings.sampler.seed + (int64_t)t->attempt;
    qs_chat_unlock(c);
    c->n = n;
    c->follow = follow;
    snprintf(title, sizeof title, n == 2 ? "%s beside %s" : "%s", side[0]->label, n == 2 ? side[1]->label : "");
    return launch(c, title, qs_chat_generate, wake_fd, e);
}

int qs_chat_replay(struct qs_chat *c, const struct qs_answer *a, double speed, int wake_fd, struct qs_err *e)
{
    if (qs_chat_running(c))
        return qs_fail(e, QS_EBUSY, "an answer is being written: stop it first");
    if (a->n_sides == 0 || a->state != QS_ANSWER_ENDED)
        return qs_fail(e, QS_EINVAL, "there is no whole answer to replay");
    if (!(speed >= 0) || isinf(speed))
        return qs_fail(e, QS_EINVAL, "the speed of a replay is a number from 0 on");
    forget_run(c);
    int rc = qs_answer_copy(a, &c->tape, e);
    if (!rc)
        rc = begin(c, a->n_sides, a->follow, a->prompt, e);
    if (rc)
        return rc;
    c->speed = speed;
    return launch(c, "replay", qs_chat_play, wake_fd, e);
}

/* ---- while it runs ------------------------------------------------------------------------------------------- */

struct qs_answer *qs_chat_lock(struct qs_chat *c)
{
    pthread_mutex_lock(&c->lock);
    return c->front;
}

void qs_chat_unlock(struct qs_chat *c)
{
    c->front->version++;
    pthread_mutex_unlock(&c->lock);
}

void qs_chat_end(struct qs_chat *c, enum qs_answer_stop why, const struct qs_err *e)
{
    struct qs_answer *a = qs_chat_lock(c);
    for (size_t i = 0; i < a->n_sides; i++) {
        struct qs_answer_side *s = &a->side[i];
        if (s->state == QS_ANSWER_ENDED)
            continue;
        s->state = QS_ANSWER_ENDED;
        s->stop = why;
    }
    if (e && e->code && !a->code) {
        a->code = e->code;
        snprintf(a->message, sizeof a->message, "%s", e->msg);
    }
    a->state = QS_ANSWER_ENDED;
    qs_chat_unlock(c);
}

void qs_chat_stop(struct qs_chat *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->job)
        qs_job_cancel(c->job);
    pthread_mutex_unlock(&c->lock);
}

void qs_chat_pause(struct qs_chat *c, bool paused)
{
    pthread_mutex_lock(&c->lock);
    if (c->job)
        qs_job_pause(c->job, paused);
    pthread_mutex_unlock(&c->lock);
}

bool qs_chat_running(struct qs_chat *c)
{
    struct qs_job_status st = { .state = QS_JOB_DONE };
    pthread_mutex_lock(&c->lock);
    if (c->job)
        qs_job_status(c->job, &st);
    pthread_mutex_unlock(&c->lock);
    return st.state == QS_JOB_RUNNING || st.state == QS_JOB_PAUSED;
}

/* Called by the thread that starts answers: nobody else replaces the job. */
bool qs_chat_wait(struct qs_chat *c, double seconds)
{
    if (!c->job)
        return true;
    if (seconds >= 0)
        return qs_job_wait_for(c->job, seconds);
    while (!qs_job_wait_for(c->job, 3600))
        ;
    return true;
}

struct qs_job *qs_chat_job(struct qs_chat *c)
{
    pthread_mutex_lock(&c->lock);
    struct qs_job *job = c->job;
    pthread_mutex_unlock(&c->lock);
    return job;
}

int qs_chat_look(struct qs_chat *c, struct qs_answer *a, struct qs_err *e)
{
    pthread_mutex_lock(&c->lock);
    const int rc = qs_answer_update(c->front, a, e);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int qs_chat_keep(struct qs_chat *c, struct qs_talk *t, struct qs_err *e)
{
    if (qs_chat_running(c))
        return qs_fail(e, QS_EBUSY, "the answer is still being written");
    const struct qs_answer *a = c->front; /* nobody changes it now */
    const struct qs_answer_side *s = a->side;
    if (a->n_sides == 0 || a->replayed || (s[0].n == 0 && s[1].n == 0))
        return qs_fail(e, QS_EINVAL, "nothing was answered");
    if (t->n == 0 || strcmp(t->message[t->n - 1].text, a->prompt) != 0)
        return qs_fail(e, QS_EINVAL, "the answer belongs to another message");
    const bool two = a->n_sides == 2 && !a->follow;
    return qs_talk_answer(t, s[0].text, s[0].text_len, two ? s[1].text : NULL, two ? s[1].text_len : 0, e);
}
