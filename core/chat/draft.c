/* draft.c - guesses of what comes next: from the text so far, and from a small model. They may be wrong: who asks
 * verifies them.
 */
#include <string.h>

#include "base/mem.h"
#include "core/chat/speculate.h"

/* ---- what followed before ---- */

#define SHORTEST 2        /* tokens that have to agree */
#define LONGEST (SHORTEST + QS_DRAFT_KINDS - 2)
#define LOOK_BACK 32768   /* tokens: a look takes some microseconds */

/* Tokens that agree before a and before b. */
static size_t agreeing(const int32_t *t, size_t a, size_t b)
{
    size_t n = 0;
    while (n < LONGEST && n < a && t[a - 1 - n] == t[b - 1 - n])
        n++;
    return n;
}

static int draft_ngram(struct qs_drafter *d, const int32_t *history, size_t n_history, size_t n, int32_t *out,
                       size_t *got, unsigned *kind, struct qs_err *e)
{
    (void)d;
    (void)e;
    size_t best = 0, place = 0;
    const size_t first = n_history > LOOK_BACK ? n_history - LOOK_BACK : 1;
    for (size_t i = n_history - 1; i >= first && best < LONGEST; i--) { /* first >= 1 */
        const size_t same = agreeing(history, i, n_history);
        if (same > best) {
            best = same;
            place = i;
        }
    }
    *got = best >= SHORTEST ? n : 0;
    *kind = best >= SHORTEST ? (unsigned)(best - SHORTEST + 1) : 0;
    for (size_t k = 0; k < *got; k++) /* out follows history: what repeats itself goes on so */
        out[k] = place + k < n_history ? history[place + k] : out[place + k - n_history];
    return QS_OK;
}

static void free_plain(struct qs_drafter *d) { qs_free(d); }

int qs_drafter_ngram(struct qs_drafter **out, struct qs_err *e)
{
    struct qs_drafter *d = qs_calloc(1, sizeof *d);
    *out = d;
    if (!d)
        return qs_fail_mem(e, sizeof *d, "drafts");
    *d = (struct qs_drafter){ draft_ngram, free_plain, true };
    return QS_OK;
}

/* ---- a small model ---- */

struct by_model {
    struct qs_drafter base;
    struct qs_session *session;
    size_t n_vocab;
    float *logits;
};

static int32_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* Cuts the session to what history has too, one token at least to be fed. */
static size_t cut_back(struct qs_session *s, const int32_t *history, size_t n_history)
{
    const int32_t *old = qs_session_tokens(s);
    size_t n = qs_session_length(s);
    n = n < n_history - 1 ? n : n_history - 1;
    size_t same = 0;
    while (same < n && old[same] == history[same])
        same++;
    qs_session_keep(s, same);
    return same;
}

/* A long text is taken in by batches, one a call, so that nobody waits for all of it. */
static int draft_model(struct qs_drafter *d, const int32_t *history, size_t n_history, size_t n, int32_t *out,
                       size_t *got, unsigned *kind, struct qs_err *e)
{
    struct by_model *m = (struct by_model *)d;
    const size_t most = qs_engine_batch(qs_session_engine(m->session));
    *got = 0;
    *kind = 0;
    if (n_history + n > qs_session_context(m->session))
        return QS_OK;
    const size_t have = cut_back(m->session, history, n_history), missing = n_history - have;
    if (missing > most)
        return qs_session_feed(m->session, history + have, most, most, NULL, e);
    int rc = qs_session_feed(m->session, history + have, missing, missing - 1, m->logits, e);
    while (!rc) {
        out[(*got)++] = likeliest(m->logits, m->n_vocab);
        if (*got == n)
            break;
        rc = qs_session_feed(m->session, out + *got - 1, 1, 0, m->logits, e);
    }
    return rc;
}

static void free_model(struct qs_drafter *d)
{
    qs_free(((struct by_model *)d)->logits);
    qs_free(d);
}

int qs_drafter_model(struct qs_session *session, size_t n_vocab, struct qs_drafter **out, struct qs_err *e)
{
    const size_t rows = qs_engine_config(qs_session_engine(session))->n_vocab;
    struct by_model *m = qs_calloc(1, sizeof *m);
    *out = NULL;
    if (m)
        m->logits = qs_malloc(rows * sizeof *m->logits);
    if (!m || !m->logits) {
        qs_free(m);
        return qs_fail_mem(e, rows * sizeof *m->logits, "drafts");
    }
    m->base = (struct qs_drafter){ draft_model, free_model, false };
    m->session = session;
    m->n_vocab = n_vocab < rows ? n_vocab : rows;
    *out = &m->base;
    return QS_OK;
}
