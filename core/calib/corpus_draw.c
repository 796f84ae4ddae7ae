/* corpus_draw.c - which windows are taken of each source, and which of them are held out. Whole numbers and one
 * generator: the same arguments draw the same everywhere. */
#include <math.h>

#include "base/mem.h"
#include "core/calib/corpus_internal.h"

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t n) { return (size_t)(next(state) % n); }

/* The windows one by one to the source that has the least of its share (Sainte-Lague's way: as near to the weights as
 * whole windows can be); sources that have no more fall out, and the others share what they leave. */
static void share_out(const struct qs_corpus_source *source, const size_t *have, size_t n, size_t want, size_t *take)
{
    for (size_t left = want; left > 0; left--) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (take[i] < have[i] && (best == n || source[i].weight / (2 * (double)take[i] + 1) >
                                                       source[best].weight / (2 * (double)take[best] + 1)))
                best = i;
        if (best == n)
            return;
        take[best]++;
    }
}

int qs_corpus_draw(const struct qs_corpus_source *source, const size_t *have, size_t n_sources, size_t want,
                   uint64_t seed, struct qs_corpus_pick **out, size_t *n, struct qs_err *e)
{
    uint64_t state = seed;
    size_t all = 0;
    *out = NULL;
    *n = 0;
    for (size_t i = 0; i < n_sources; i++)
        all += have[i];
    want = want < all ? want : all;
    size_t *take = qs_calloc(n_sources, sizeof *take);
    struct qs_corpus_pick *p = qs_calloc(want + 1, sizeof *p);
    if (!take || !p) {
        qs_free(take);
        qs_free(p);
        return qs_fail_mem(e, want * sizeof *p, "the windows of a text");
    }
    share_out(source, have, n_sources, want, take);
    for (size_t i = 0; i < n_sources; i++)
        for (size_t k = 0; k < take[i]; k++) { /* one out of each stretch of the source */
            const size_t from = (size_t)((uint64_t)have[i] * k / take[i]),
                         to = (size_t)((uint64_t)have[i] * (k + 1) / take[i]);
            p[(*n)++] = (struct qs_corpus_pick){ (uint32_t)i, false, from + below(&state, to - from) };
        }
    qs_free(take);
    *out = p;
    return QS_OK;
}

static void swap(struct qs_corpus_pick *a, struct qs_corpus_pick *b)
{
    const struct qs_corpus_pick t = *a;
    *a = *b;
    *b = t;
}

static void shuffle(struct qs_corpus_pick *p, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--)
        swap(&p[i - 1], &p[below(state, i)]);
}

size_t qs_corpus_part(struct qs_corpus_pick *p, size_t n, double share, uint64_t seed)
{
    uint64_t state = ~seed;
    size_t held = (size_t)floor(share * (double)n + 0.5), fit = 0;
    if (share > 0 && held == 0 && n >= 4)
        held = 1;
    if (held >= n)
        held = n > 0 ? n - 1 : 0;
    const size_t phase = n ? below(&state, n) : 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t k = (i + phase) % n;
        p[i].held = (k + 1) * held / n > k * held / n;
    }
    for (size_t i = 0; i < n; i++)
        if (!p[i].held)
            swap(&p[fit++], &p[i]);
    shuffle(p, fit, &state);
    shuffle(p + fit, n - fit, &state);
    return held;
}
