/* chat_feed.c - the tokens that go into a model: the prompt in pieces, behind what its cache has of it already; then
 * one chosen token after the other, with guesses ahead where they pay. Counts the time of each side's own steps.
 */
#include "core/chat/chat_steps.h"

#define PREFILL_FIRST 32      /* tokens of the first piece of a prefill */
#define PREFILL_SECONDS 0.25  /* pieces grow while they take less than half of this: a stop is never far */

static size_t common_prefix(const struct qs_session *s, const struct qs_tokens *t)
{
    const size_t have = qs_session_length(s), n = have < t->n ? have : t->n;
    const int32_t *old = qs_session_tokens(s);
    size_t i = 0;
    while (i < n && old[i] == t->id[i])
        i++;
    return i;
}

/* Feeds n tokens of the prompt, the last one's logits kept where wanted, and counts the time for this side. */
static int feed(struct qs_chat_steps *r, size_t k, const int32_t *token, size_t n, bool logits, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    const double from = qs_now();
    const int rc = qs_session_feed(l->side->session, token, n, logits ? n - 1 : n, logits ? l->logits : NULL, e);
    const double took = qs_now() - from;
    if (rc) {
        qs_err_prefix(e, "%s", l->side->label);
        return rc;
    }
    struct qs_answer_side *s = &qs_chat_lock(r->c)->side[k];
    s->prefilled += n;
    s->prefill_seconds += took;
    s->used = qs_session_length(l->side->session);
    qs_chat_unlock(r->c);
    return QS_OK;
}

int qs_chat_feed(struct qs_chat_steps *r, size_t k, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    const size_t limit = r->c->talk->settings.max_tokens;
    const double from = qs_now();
    const int rc = qs_speculate_feed(l->ahead, l->next, limit ? limit - l->n : SIZE_MAX, l->logits, e);
    const double took = qs_now() - from;
    if (rc) {
        qs_err_prefix(e, "%s", l->side->label);
        return rc;
    }
    const struct qs_speculate_counts counts = qs_speculate_counts(l->ahead);
    struct qs_answer_side *s = &qs_chat_lock(r->c)->side[k];
    s->decoded++;
    s->decode_seconds += took;
    s->drafted = counts.drafted;
    s->accepted = counts.accepted;
    s->used = qs_speculate_length(l->ahead);
    qs_chat_unlock(r->c);
    return QS_OK;
}

/* The draft model's session: for as much of the context as it was trained for, with a cache of its own kind. */
static int draft_model(struct qs_chat_steps *r, const struct qs_chat_lane *l, struct qs_drafter **out, struct qs_err *e)
{
    struct qs_side *d = r->c->draft;
    struct qs_talk_settings settings = r->c->talk->settings;
    const size_t trained = qs_engine_config(d->engine)->n_ctx_train, need = qs_session_context(l->side->session);
    settings.type_k = settings.type_v = QS_F16;
    settings.rotate = false;
    const int rc = qs_side_ready(d, &settings, trained && trained < need ? trained : need, e);
    return rc ? rc : qs_drafter_model(d->session, r->n_vocab, out, e);
}

static int look_ahead(struct qs_chat_steps *r, size_t k, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    struct qs_drafter *d = NULL;
    int rc = QS_OK;
    switch (qs_chat_speculates(r->c, &r->c->talk->settings, r->c->n, k)) {
    case QS_SPECULATE_NGRAM: rc = qs_drafter_ngram(&d, e); break;
    case QS_SPECULATE_DRAFT: rc = draft_model(r, l, &d, e); break;
    default: break;
    }
    return rc ? rc : qs_speculate_new(l->side->session, d, NULL, &l->ahead, e);
}

static int prefill_lane(struct qs_chat_steps *r, size_t k, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    struct qs_session *session = l->side->session;
    size_t at = common_prefix(session, &l->prompt), piece = PREFILL_FIRST;
    const size_t batch = qs_engine_batch(l->side->engine);
    at = at < l->prompt.n ? at : l->prompt.n - 1; /* the last token's logits are needed */
    qs_session_keep(session, at);
    struct qs_answer_side *s = &qs_chat_lock(r->c)->side[k];
    s->state = QS_ANSWER_PREFILL;
    s->reused = s->used = at;
    qs_chat_unlock(r->c);
    qs_job_item(r->job, "%s", l->side->label);
    qs_job_skip(r->job, at);
    int rc = qs_job_step(r->job, 0, e);
    while (!rc && at < l->prompt.n) {
        const size_t left = l->prompt.n - at, n = left < piece ? left : piece;
        const double from = qs_now();
        rc = feed(r, k, l->prompt.id + at, n, n == left, e);
        at += n;
        if (qs_now() - from < PREFILL_SECONDS / 2 && piece < batch)
            piece = 2 * piece < batch ? 2 * piece : batch;
        if (!rc)
            rc = qs_job_step(r->job, n, e);
    }
    return rc;
}

int qs_chat_prefill(struct qs_chat_steps *r, struct qs_err *e)
{
    uint64_t total = 0;
    int rc = QS_OK;
    for (size_t k = 0; k < r->c->n; k++)
        total += r->lane[k].prompt.n;
    qs_job_phase(r->job, "prefill", "tokens", total);
    for (size_t k = 0; !rc && k < r->c->n; k++)
        rc = prefill_lane(r, k, e);
    for (size_t k = 0; !rc && k < r->c->n; k++)
        rc = look_ahead(r, k, e);
    if (rc)
        return rc;
    struct qs_answer *a = qs_chat_lock(r->c);
    a->state = QS_ANSWER_DECODING;
    for (size_t k = 0; k < r->c->n; k++)
        a->side[k].state = QS_ANSWER_DECODING;
    qs_chat_unlock(r->c);
    return QS_OK;
}
