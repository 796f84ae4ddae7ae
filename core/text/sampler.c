/* sampler.c - the next token from logits: penalties, top-k, top-p, min-p, temperature, a draw.
 *
 * Owns the random numbers and the working memory of one session. Never sorts the vocabulary: a heap of k for top-k, a
 * heap that is taken apart only as far as top-p needs. Refuses NaN and +Inf: a model that gives them is broken, and the
 * person must know.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/sampler.h"

struct entry { float logit; int32_t id; };

struct qs_sampler {
    struct qs_sampler_settings set;
    uint64_t state[4];
    struct entry *entry;  /* what is left to choose from */
    double *p;            /* its probabilities */
    uint32_t *count;      /* by token; all zero between picks */
    size_t cap, left;
};

/* --- random numbers ----------------------------------------------------------------------------------------------- */

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = *x += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* In [0, 1), 53 bits. */
static double draw(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int qs_sampler_new(const struct qs_sampler_settings *set, struct qs_sampler **out, struct qs_err *e)
{
    *out = NULL;
    int rc = qs_sampler_check(set, e);
    if (rc)
        return rc;
    struct qs_sampler *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a sampler");
    s->set = *set;
    qs_sampler_restart(s, set->seed);
    *out = s;
    return QS_OK;
}

void qs_sampler_free(struct qs_sampler *s)
{
    if (!s)
        return;
    qs_free(s->entry);
    qs_free(s->p);
    qs_free(s->count);
    qs_free(s);
}

void qs_sampler_restart(struct qs_sampler *s, int64_t seed)
{
    uint64_t x = (uint64_t)seed;
    s->set.seed = seed;
    for (int i = 0; i < 4; i++)
        s->state[i] = splitmix64(&x);
}

int qs_sampler_change(struct qs_sampler *s, const struct qs_sampler_settings *to, struct qs_err *e)
{
    int rc = qs_sampler_check(to, e);
    if (rc)
        return rc;
    bool other = to->seed != s->set.seed;
    s->set = *to;
    if (other)
        qs_sampler_restart(s, to->seed);
    return QS_OK;
}

static bool room(struct qs_sampler *s, size_t n)
{
    if (n <= s->cap)
        return true;
    struct entry *entry = qs_realloc_array(s->entry, n, sizeof *entry);
    s->entry = entry ? entry : s->entry;
    double *p = entry ? qs_realloc_array(s->p, n, sizeof *p) : NULL;
    s->p = p ? p : s->p;
    uint32_t *count = p ? qs_calloc(n, sizeof *count) : NULL;
    if (!count)
        return false;
    qs_free(s->count);
    s->count = count;
    s->cap = n;
    return true;
}

/* --- heaps -------------------------------------------------------------------------------------------------------- */

/* Likelier: the larger logit, of equal ones the lower id. */
static bool before(struct entry a, struct entry b)
{
    return a.logit > b.logit || (!(a.logit < b.logit) && a.id < b.id);
}

/* Restores the heap below i: every entry comes after (or, if least_first, before) those under it. */
static void sift(struct entry *h, size_t n, size_t i, bool least_first)
{
    struct entry e = h[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(h[child + 1], h[child]) != least_first)
            child++;
        if (before(h[child], e) == least_first)
            break;
        h[i] = h[child];
    }
    h[i] = e;
}

static void heapify(struct entry *h, size_t n, bool least_first)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(h, n, i, least_first);
}

/* The k first of h, in order, to its front. */
static void select_first(struct entry *h, size_t n, size_t k)
{
    heapify(h, k, true);
    for (size_t i = k; i < n; i++) {
        if (!before(h[i], h[0]))
            continue;
        h[0] = h[i];
        sift(h, k, 0, true);
    }
    for (size_t m = k; m > 1; m--) { /* the last of them goes to the end */
        struct entry last = h[0];
        h[0] = h[m - 1];
        h[m - 1] = last;
        sift(h, m - 1, 0, true);
    }
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */

static int check_logits(const float *logits, size_t n, struct qs_err *e)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (isnan(logits[i]) || (isinf(logits[i]) && logits[i] > 0))
            return qs_fail(e, QS_EFORMAT, "the model gave %s as the logit of token %zu: its weights are damaged",
                           isnan(logits[i]) ? "NaN" : "infinity", i);
        any |= !isinf(logits[i]);
    }
    return any ? QS_OK : qs_fail(e, QS_EFORMAT, "the model gave no finite logit for any of %zu tokens", n);
}

static void penalize(struct qs_sampler *s, size_t n_vocab, const int32_t *recent, size_t n)
{
    const struct qs_sampler_settings *set = &s->set;
    size_t last = set->repeat_last_n < 0 || (uint64_t)set->repeat_last_n > n ? n : (size_t)set->repeat_last_n;
    for (size_t i = n - last; i < n; i++)
        if (recent[i] >= 0 && (size_t)recent[i] < n_vocab)
            s->count[recent[i]]++;
    for (size_t i = n - last; i < n; i++) {
        if (recent[i] < 0 || (size_t)recent[i] >= n_vocab || s->count[recent[i]] == 0)
            continue;
        float *logit = &s->entry[recent[i]].logit;
        double v = *logit > 0 ? *logit / set->repeat_penalty : *logit * set->repeat_penalty;
        *logit = (float)(v - s->count[recent[i]] * set->frequency_penalty - set->presence_penalty);
        s->count[recent[i]] = 0;
    }
}

static void top_k(struct qs_sampler *s)
{
    size_t k = (size_t)s->set.top_k;
    if (k == 0 || k >= s->left)
        return;
    select_first(s->entry, s->left, k);
    s->left = k;
}

/* Fewest that make up top_p of the sum: taken off a heap one by one, each to its place at the front. */
static void top_p(struct qs_sampler *s)
{
    struct entry *h = s->entry;
    size_t n = s->left, taken = 0;
    double sum = 0, so_far = 0;
    if (s->set.top_p >= 1.0)
        return;
    heapify(h, n, false);
    const float largest = h[0].logit;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)h[i].logit - largest);
    while (taken < n && (taken == 0 || so_far < s->set.top_p * sum)) {
        struct entry first = h[0]; /* to the end of what is left of the heap */
        so_far += exp((double)first.logit - largest);
        taken++;
        h[0] = h[n - taken];
        h[n - taken] = first;
        sift(h, n - taken, 0, false);
    }
    for (size_t i = 0; i < taken / 2; i++) { /* they lie at the end, the first one last */
        struct entry t = h[n - taken + i];
        h[n - taken + i] = h[n - 1 - i];
        h[n - 1 - i] = t;
    }
    memmove(h, h + n - taken, taken * sizeof *h);
    s->left = taken;
}

static float largest_logit(const struct qs_sampler *s)
{
    float m = s->entry[0].logit;
    for (size_t i = 1; i < s->left; i++)
        m = s->entry[i].logit > m ? s->entry[i].logit : m;
    return m;
}

static void min_p(struct qs_sampler *s, double largest)
{
    size_t kept = 0;
    if (s->set.min_p <= 0.0)
        return;
    const double least = largest + log(s->set.min_p);
    for (size_t i = 0; i < s->left; i++)
        if (s->entry[i].logit >= least || s->entry[i].logit >= largest)
            s->entry[kept++] = s->entry[i];
    s->left = kept;
}

static int32_t choose(struct qs_sampler *s, double largest)
{
    double sum = 0, so_far = 0, at;
    size_t i = 0;
    for (i = 0; i < s->left; i++)
        sum += s->p[i] = exp((s->entry[i].logit - largest) / s->set.temperature);
    at = draw(s->state) * sum;
    for (i = 0; i + 1 < s->left && (so_far += s->p[i]) <= at; i++)
        ;
    while (i > 0 && s->p[i] <= 0) /* rounding led past the last one that can be */
        i--;
    for (size_t k = 0; k < s->left; k++)
        s->p[k] /= sum;
    return s->entry[i].id;
}

int32_t qs_sampler_pick(struct qs_sampler *s, const float *logits, size_t n_vocab, const int32_t *recent,
                        size_t n_recent, struct qs_err *e)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX) {
        qs_fail(e, QS_EINVAL, "a vocabulary of %zu tokens cannot be chosen from", n_vocab);
        return -1;
    }
    if (check_logits(logits, n_vocab, e))
        return -1;
    if (!room(s, n_vocab)) {
        qs_fail_mem(e, n_vocab * (sizeof *s->entry + sizeof *s->p + sizeof *s->count), "the sampler");
        return -1;
    }
    for (size_t i = 0; i < n_vocab; i++)
        s->entry[i] = (struct entry){ logits[i], (int32_t)i };
    penalize(s, n_vocab, recent, n_recent);
    if (s->set.temperature <= 0.0) {
        struct entry best = s->entry[0];
        for (size_t i = 1; i < n_vocab; i++)
            best = s->entry[i].logit > best.logit ? s->entry[i] : best;
        s->entry[0] = best;
        s->p[0] = 1.0;
        s->left = 1;
        return best.id;
    }
    s->left = n_vocab;
    top_k(s);
    top_p(s);
    const double largest = largest_logit(s);
    min_p(s, largest);
    return choose(s, largest);
}

/* --- what was there to choose from, and plain probabilities ------------------------------------------------------- */

static bool likelier(struct qs_token_chance a, struct qs_token_chance b)
{
    return a.p > b.p || (!(a.p < b.p) && a.token < b.token);
}

/* Puts c into the list of at most k, in order. */
static size_t keep_best(struct qs_token_chance *out, size_t n, size_t k, struct qs_token_chance c)
{
    size_t i = n;
    if (n == k && (k == 0 || !likelier(c, out[k - 1])))
        return n;
    i = n < k ? n : k - 1;
    for (; i > 0 && likelier(c, out[i - 1]); i--)
        out[i] = out[i - 1];
    out[i] = c;
    return n < k ? n + 1 : k;
}

size_t qs_sampler_candidates(const struct qs_sampler *s, struct qs_token_chance *out, size_t k, size_t *left)
{
    size_t n = 0;
    for (size_t i = 0; i < s->left; i++)
        n = keep_best(out, n, k, (struct qs_token_chance){ s->entry[i].id, s->p[i] });
    if (left)
        *left = s->left;
    return n;
}

double qs_logsumexp(const float *logits, size_t n)
{
    float largest = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(logits[i]))
            return NAN;
        largest = logits[i] > largest ? logits[i] : largest;
    }
    if (isinf(largest))
        return largest;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

size_t qs_top_tokens(const float *logits, size_t n, size_t k, struct qs_token_chance *out)
{
    const double whole = qs_logsumexp(logits, n);
    size_t kept = 0;
    if (isnan(whole))
        return 0;
    for (size_t i = 0; i < n; i++) /* by logit first: the differences of probabilities may round away */
        kept = keep_best(out, kept, k, (struct qs_token_chance){ (int32_t)i, logits[i] });
    for (size_t i = 0; i < kept; i++)
        out[i].p = exp(out[i].p - whole);
    return kept;
}
