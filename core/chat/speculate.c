/* speculate.c - drafts fed along with a chosen token, and how long they are. Owns the logits of what was fed ahead, and
 * the measurements that decide; the session's timeline is cut back here, and nowhere else, to what was chosen.
 *
 * Refuses nothing of its own: a drafter that fails ends the drafting, not the answer.
 */
#include <string.h>

#include "base/mem.h"
#include "core/chat/speculate.h"

#define LEAST_SURE 0.2    /* guesses that come true less often are not fed */
#define REST 32           /* tokens until guesses that cost something are tried again */
#define WEIGHT 0.125      /* of one more observation in a running mean */
#define LEAST_COST 0.05   /* of one more guess, as a share of a token's time: arithmetic is never free */
#define FORGET 0.995      /* what was measured of other numbers of guesses loses its force with every batch: they are tried again */
#define ALONE 64          /* batches with guesses, after which one token goes alone: what it takes is what guesses are measured by */

struct qs_speculate {
    struct qs_session *session;
    struct qs_drafter *drafter;
    double (*now)(void);
    size_t n_vocab, n_ctx;
    int32_t *seen;        /* timeline and draft: n_ctx + QS_DRAFT_MAX */
    size_t length;        /* of the timeline */
    float *rows;          /* logits of the last batch: QS_DRAFT_MAX + 1 */
    size_t ahead, at;     /* tokens that were fed ahead; those of them that were chosen */
    unsigned kind;        /* of the guesses that were made last */
    bool shadow;          /* a guess that was not fed stands at seen[length]: it is compared all the same */
    size_t since_alone;   /* batches with guesses since a token went alone */
    size_t resting;       /* tokens since guesses were last good enough */
    double sure[QS_DRAFT_KINDS];       /* share of guesses that came true */
    double seconds[QS_DRAFT_MAX + 1];  /* by number of tokens that are fed ahead; 0: not known */
    struct qs_speculate_counts counts;
};

void qs_drafter_free(struct qs_drafter *d)
{
    if (d)
        d->free(d);
}

int qs_speculate_new(struct qs_session *session, struct qs_drafter *drafter, double (*now)(void),
                     struct qs_speculate **out, struct qs_err *e)
{
    struct qs_speculate *s = qs_calloc(1, sizeof *s);
    *out = NULL;
    if (!s) {
        qs_drafter_free(drafter);
        return qs_fail_mem(e, sizeof *s, "drafts");
    }
    s->session = session;
    s->drafter = drafter;
    s->now = now ? now : qs_now;
    s->n_vocab = qs_engine_config(qs_session_engine(session))->n_vocab;
    s->n_ctx = qs_session_context(session);
    s->length = qs_session_length(session);
    for (size_t i = 0; i < QS_DRAFT_KINDS; i++)
        s->sure[i] = i ? 0.25 + 0.08 * (double)i : 0.6; /* until it is known */
    s->seen = qs_malloc((s->n_ctx + QS_DRAFT_MAX) * sizeof *s->seen);
    s->rows = drafter ? qs_malloc((QS_DRAFT_MAX + 1) * s->n_vocab * sizeof *s->rows) : NULL;
    if (!s->seen || (drafter && !s->rows)) {
        const uint64_t bytes = (QS_DRAFT_MAX + 1) * (uint64_t)s->n_vocab * sizeof *s->rows;
        qs_speculate_free(s);
        return qs_fail_mem(e, bytes, "drafts");
    }
    memcpy(s->seen, qs_session_tokens(session), s->length * sizeof *s->seen);
    *out = s;
    return QS_OK;
}

void qs_speculate_free(struct qs_speculate *s)
{
    if (!s)
        return;
    qs_session_keep(s->session, s->length);
    qs_drafter_free(s->drafter);
    qs_free(s->seen);
    qs_free(s->rows);
    qs_free(s);
}

size_t qs_speculate_length(const struct qs_speculate *s) { return s->length; }
struct qs_speculate_counts qs_speculate_counts(const struct qs_speculate *s) { return s->counts; }

/* ---- how long a draft is ---- */

static void observe(struct qs_speculate *s, bool came_true)
{
    double *sure = &s->sure[s->kind];
    *sure += WEIGHT * ((came_true ? 1.0 : 0.0) - *sure);
}

static void count_seconds(struct qs_speculate *s, size_t ahead, double took)
{
    double *t = &s->seconds[ahead];
    *t = *t > 0 ? *t + WEIGHT * (took - *t) : took;
    for (size_t i = 1; i <= QS_DRAFT_MAX; i++) {
        const double shorter = s->seconds[i] * FORGET;
        if (i != ahead && s->seconds[i] > 0)
            s->seconds[i] = shorter > s->seconds[0] ? shorter : s->seconds[0];
    }
}

/* What a batch with k guesses takes: between the sizes that were measured, or as the largest of them. */
static double seconds_of(const struct qs_speculate *s, size_t k)
{
    size_t below = k, above = k;
    while (below > 0 && s->seconds[below] <= 0)
        below--;
    while (above <= QS_DRAFT_MAX && s->seconds[above] <= 0)
        above++;
    if (above == below || above > QS_DRAFT_MAX)
        return s->seconds[below];
    return s->seconds[below] + (s->seconds[above] - s->seconds[below]) * (double)(k - below) / (double)(above - below);
}

/* The number of guesses, up to n, that promises the most tokens per second. */
static size_t best_length(const struct qs_speculate *s, double sure, size_t n)
{
    double tokens = 1, chance = 1, best = 0;
    size_t length = 0;
    for (size_t k = 0; k <= n; k++) {
        const double least = s->seconds[0] * (1 + LEAST_COST * (double)k), took = seconds_of(s, k);
        const double rate = tokens / (took > least ? took : least);
        if (rate > best) {
            best = rate;
            length = k;
        }
        chance *= sure;
        tokens += chance;
    }
    return length;
}

/* Guesses behind seen[0 .. n): how many of them are to be fed. */
static size_t draft(struct qs_speculate *s, size_t n, size_t most)
{
    size_t got = 0;
    if (!s->drafter || most == 0)
        return 0;
    if (!s->drafter->cheap) {
        if (s->sure[s->kind] < LEAST_SURE && ++s->resting < REST)
            return 0;
        if (s->resting >= REST)
            s->sure[s->kind] = LEAST_SURE; /* once more */
        most = best_length(s, s->sure[s->kind], most);
        if (most == 0)
            return 0;
        s->resting = 0;
    }
    if (s->drafter->draft(s->drafter, s->seen, n, most, s->seen + n, &got, &s->kind, NULL) != QS_OK) {
        qs_drafter_free(s->drafter);
        s->drafter = NULL;
        return 0;
    }
    const double sure = s->sure[s->kind];
    const size_t length = !s->drafter->cheap ? got : sure < LEAST_SURE ? 0 : best_length(s, sure, got);
    s->shadow = got > 0 && length == 0;
    return length;
}

/* ---- feeding ---- */

/* Room for guesses behind a token at `length`, of which `most` more may be chosen: one of these needs no logits. */
static size_t room(const struct qs_speculate *s, size_t most)
{
    const size_t left = s->n_ctx - s->length, useful = most > 0 ? most - 1 : 0;
    const size_t n = left > 1 ? left - 1 : 0, m = n < useful ? n : useful;
    return m < QS_DRAFT_MAX ? m : QS_DRAFT_MAX;
}

/* The token and guesses behind it, as one batch. */
static int feed_batch(struct qs_speculate *s, int32_t token, size_t most, float *logits, struct qs_err *e)
{
    qs_session_keep(s->session, s->length);
    s->ahead = s->at = 0;
    s->shadow = false;
    s->seen[s->length] = token;
    double start = s->now();
    /* what one token takes is measured first, and now and then again */
    const bool alone = s->seconds[0] <= 0 || s->since_alone >= ALONE;
    const size_t n = s->length < s->n_ctx && !alone ? draft(s, s->length + 1, room(s, most)) : 0;
    if (n == 0)
        start = s->now(); /* guesses that are not fed are none of a token's time */
    float *to = n ? s->rows : logits;
    const int rc = qs_session_feed(s->session, s->seen + s->length, 1 + n, 0, to, e);
    if (rc)
        return rc;
    count_seconds(s, n, s->now() - start);
    s->since_alone = n ? s->since_alone + 1 : 0;
    if (n) {
        memcpy(logits, s->rows, s->n_vocab * sizeof *logits);
        s->counts.drafted += n;
        s->counts.batches++;
    }
    s->ahead = n;
    s->length++;
    return QS_OK;
}

int qs_speculate_feed(struct qs_speculate *s, int32_t token, size_t most, float *logits, struct qs_err *e)
{
    const bool guessed = s->at < s->ahead || s->shadow, right = guessed && s->seen[s->length] == token;
    if (guessed)
        observe(s, right);
    if (!right || s->shadow)
        return feed_batch(s, token, most, logits, e);
    s->at++;
    s->length++;
    s->counts.accepted++;
    memcpy(logits, s->rows + s->at * s->n_vocab, s->n_vocab * sizeof *logits);
    return QS_OK;
}
