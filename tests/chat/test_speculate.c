/* test_speculate.c - guesses change no token: with every drafter, greedy and sampled, on many architectures, to the end
 * of the context, an answer is what it is without; and what is counted is what happened.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/speculate.h"
#include "core/text/sampler.h"
#include "tests/chat/bench.h"
#include "tests/model/tiny.h"

#define OK(call) do { struct qs_err e = QS_ERR_INIT; if (call) fail_msg("%s: %s", #call, e.msg); } while (0)

enum { CONTEXT = 96, PROMPT = 12 };

static double ticks(void) /* every batch takes as long as any other */
{
    static double t;
    return t += 1;
}

/* ---- a model and its session ---- */

struct bed { struct qs_model *m; struct qs_engine *x; struct qs_session *s; size_t n_vocab; };

static void lay(struct bed *b, const char *path, size_t batch, size_t n_ctx)
{
    const struct qs_engine_args engine = { .precision = QS_FAST, .prio = QS_PRIO_JOB, .batch = batch };
    const struct qs_session_args session = { n_ctx, QS_F16, QS_F16, false };
    OK(qs_model_open(path, &b->m, &e));
    OK(qs_engine_new(b->m, &engine, &b->x, &e));
    OK(qs_session_new(b->x, &session, &b->s, &e));
    b->n_vocab = qs_engine_config(b->x)->n_vocab;
}

static void strip(struct bed *b)
{
    qs_session_free(b->s);
    qs_engine_free(b->x);
    qs_model_close(b->m);
}

/* ---- drafters that know the answer ---- */

struct knowing {
    struct qs_drafter base;
    const int32_t *answer;      /* of a whole timeline */
    size_t n;
    int wrong;                  /* every how many-th guess is another token; 1: all, 0: none */
    size_t n_vocab, calls;
    bool fails;
};

static int guess(struct qs_drafter *d, const int32_t *history, size_t n_history, size_t n, int32_t *out, size_t *got,
                 unsigned *kind, struct qs_err *e)
{
    struct knowing *k = (struct knowing *)d;
    (void)history;
    *kind = 3;
    *got = 0;
    k->calls++;
    if (k->fails)
        return qs_fail(e, QS_EIO, "no guesses today");
    for (; *got < n && n_history + *got < k->n; ++*got) {
        const size_t at = n_history + *got;
        out[*got] = k->answer[at];
        if (k->wrong && at % (size_t)k->wrong == 0)
            out[*got] = (int32_t)(((size_t)k->answer[at] + 1) % k->n_vocab);
    }
    return QS_OK;
}

static void let_be(struct qs_drafter *d) { (void)d; }

static struct knowing knower(const struct bed *b, const int32_t *answer, size_t n, int wrong)
{
    return (struct knowing){ .base = { guess, let_be, true }, .answer = answer, .n = n, .wrong = wrong,
                             .n_vocab = b->n_vocab };
}

/* ---- an answer ---- */

struct made { int32_t token[CONTEXT]; size_t n; uint64_t bits; struct qs_speculate_counts counts; };

static void mix(uint64_t *h, const float *logits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &logits[i], sizeof u);
        *h = (*h ^ u) * 0x100000001b3u;
    }
}

/* A timeline of up to `limit` tokens: PROMPT of `seed`, then what the sampler chooses. The session begins empty. */
static bool told = true; /* feeds are told how many tokens are still wanted */

static struct made make(struct bed *b, struct qs_drafter *d, double temperature, int64_t seed, size_t limit)
{
    struct qs_sampler_settings set;
    struct qs_sampler *sampler;
    struct qs_speculate *s;
    struct made out = { .n = PROMPT, .bits = 14695981039346656037u };
    float *logits = qs_malloc(b->n_vocab * sizeof *logits);
    qs_sampler_defaults(&set);
    set.temperature = temperature;
    set.seed = seed;
    set.repeat_penalty = seed % 2 ? 1.3 : 1.0;
    for (size_t i = 0; i < PROMPT; i++)
        out.token[i] = (int32_t)(((size_t)seed * 7 + i % 5 * 3 + 1) % b->n_vocab);
    qs_session_keep(b->s, 0);
    OK(qs_session_feed(b->s, out.token, PROMPT, PROMPT - 1, logits, &e));
    OK(qs_sampler_new(&set, &sampler, &e));
    OK(qs_speculate_new(b->s, d, ticks, &s, &e));
    for (;;) {
        mix(&out.bits, logits, b->n_vocab);
        const int32_t id = qs_sampler_pick(sampler, logits, b->n_vocab, qs_session_tokens(b->s),
                                           qs_speculate_length(s), NULL);
        assert_true(id >= 0);
        out.token[out.n++] = id;
        if (out.n == limit)
            break;
        OK(qs_speculate_feed(s, id, told ? limit - out.n : SIZE_MAX, logits, &e));
        assert_int_equal(qs_speculate_length(s), out.n);
        assert_memory_equal(qs_session_tokens(b->s), out.token, out.n * sizeof *out.token);
    }
    out.counts = qs_speculate_counts(s);
    qs_speculate_free(s);
    assert_int_equal(qs_session_length(b->s), out.n - 1); /* no guess is left behind */
    qs_sampler_free(sampler);
    qs_free(logits);
    return out;
}

static void same(const struct made *a, const struct made *b, const char *what)
{
    if (a->n != b->n || memcmp(a->token, b->token, a->n * sizeof *a->token) != 0 || a->bits != b->bits)
        fail_msg("another answer with %s", what);
}

static void every_drafter(struct bed *b, double temperature, int64_t seed)
{
    const struct made plain = make(b, NULL, temperature, seed, CONTEXT);
    assert_int_equal(plain.counts.drafted, 0);
    for (int wrong = 0; wrong < 5; wrong++) {
        struct knowing k = knower(b, plain.token, plain.n, wrong);
        k.base.cheap = wrong != 4;
        const struct made with = make(b, &k.base, temperature, seed, CONTEXT);
        same(&plain, &with, wrong == 1 ? "wrong guesses" : wrong ? "some wrong guesses" : "right guesses");
        assert_true(with.counts.drafted > 0 && with.counts.accepted <= with.counts.drafted);
        assert_true(wrong != 0 || with.counts.accepted == with.counts.drafted);
        assert_true(wrong != 1 || with.counts.accepted == 0);
    }
    struct qs_drafter *ngram;
    OK(qs_drafter_ngram(&ngram, &e));
    const struct made with = make(b, ngram, temperature, seed, CONTEXT);
    same(&plain, &with, "guesses from the text");
}

/* Windows, softcaps, experts, sinks: taking guesses back leaves nothing of them anywhere. */
static void every_architecture(void **state)
{
    (void)state;
    for (size_t i = 0; tiny_names[i]; i++) {
        struct bed b;
        lay(&b, tiny_path(tiny_names[i], ""), 5, CONTEXT); /* a draft is cut in two */
        every_drafter(&b, 0, (int64_t)i);
        every_drafter(&b, 1, (int64_t)i + 1);
        strip(&b);
    }
}

static void many_seeds(void **state)
{
    (void)state;
    struct bed b;
    lay(&b, tiny_path("llama", ""), 0, CONTEXT);
    for (int64_t seed = 0; seed < 30; seed++)
        every_drafter(&b, seed % 3 ? 0.8 : 0, seed);
    strip(&b);
}

/* The last tokens of an answer, and of the context: no guess goes beyond. */
static void every_length(void **state)
{
    (void)state;
    struct bed b;
    lay(&b, tiny_path("gemma3", ""), 0, CONTEXT);
    const struct made whole = make(&b, NULL, 1, 5, CONTEXT);
    for (size_t limit = PROMPT + 1; limit <= CONTEXT; limit++) {
        struct knowing k = knower(&b, whole.token, whole.n, 0);
        const struct made some = make(&b, &k.base, 1, 5, limit);
        assert_int_equal(some.n, limit);
        assert_memory_equal(some.token, whole.token, limit * sizeof *some.token);
        assert_int_equal(some.counts.accepted, some.counts.drafted); /* none in vain */
        told = false; /* it ends for another reason, in the middle of a draft */
        const struct made stopped = make(&b, &k.base, 1, 5, limit);
        told = true;
        assert_memory_equal(stopped.token, whole.token, limit * sizeof *stopped.token);
    }
    strip(&b);
}

/* Right guesses go as far as they may; wrong ones soon are not fed any more. */
static void lengths_follow_success(void **state)
{
    (void)state;
    struct bed b;
    lay(&b, tiny_path("llama", ""), 0, CONTEXT);
    const struct made plain = make(&b, NULL, 0, 2, CONTEXT);
    struct knowing right = knower(&b, plain.token, plain.n, 0), wrong = knower(&b, plain.token, plain.n, 1);
    struct made with = make(&b, &right.base, 0, 2, CONTEXT);
    const size_t least = (CONTEXT - PROMPT - 2 + QS_DRAFT_MAX) / (QS_DRAFT_MAX + 1);
    assert_true(with.counts.batches >= least && with.counts.batches <= least + 3);
    with = make(&b, &wrong.base, 0, 2, CONTEXT);
    assert_true(with.counts.batches >= 2 && with.counts.batches <= 10);
    assert_true(wrong.calls > 60); /* looked at all the same: it costs nothing */
    wrong.base.cheap = false;
    wrong.calls = 0;
    with = make(&b, &wrong.base, 0, 2, CONTEXT);
    assert_true(wrong.calls >= 4 && wrong.calls <= 15); /* asked again after a rest */
    right.fails = true;
    with = make(&b, &right.base, 0, 2, CONTEXT);
    same(&plain, &with, "a drafter that fails");
    assert_int_equal(with.counts.drafted, 0);
    strip(&b);
}

/* The session is filled before, by others; a failing feed leaves it as it was. */
static void full_context(void **state)
{
    (void)state;
    struct bed b;
    struct qs_speculate *s;
    struct qs_drafter *d;
    struct qs_err why = QS_ERR_INIT;
    lay(&b, tiny_path("llama", ""), 0, 8);
    float *logits = qs_malloc(b.n_vocab * sizeof *logits);
    OK(qs_drafter_ngram(&d, &e));
    OK(qs_speculate_new(b.s, d, ticks, &s, &e));
    for (int i = 0; i < 8; i++)
        OK(qs_speculate_feed(s, 3, SIZE_MAX, logits, &e));
    assert_int_equal(qs_speculate_feed(s, 3, SIZE_MAX, logits, &why), QS_ELIMIT);
    assert_int_equal(qs_speculate_length(s), 8);
    assert_true(qs_speculate_counts(s).accepted > 0);
    qs_speculate_free(s);
    qs_session_keep(b.s, 4);
    OK(qs_drafter_ngram(&d, &e));
    OK(qs_speculate_new(b.s, d, ticks, &s, &e));
    assert_int_equal(qs_speculate_feed(s, (int32_t)b.n_vocab, SIZE_MAX, logits, &why), QS_EINVAL);
    assert_int_equal(qs_speculate_length(s), 4);
    OK(qs_speculate_feed(s, 1, SIZE_MAX, logits, &e));
    qs_speculate_free(s);
    assert_int_equal(qs_session_length(b.s), 5);
    qs_free(logits);
    strip(&b);
}

/* ---- drafters ---- */

static void ngrams(void **state)
{
    (void)state;
    static const int32_t text[] = { 1, 2, 3, 4, 5, 9, 2, 3, 7, 2, 3 };
    int32_t t[32];
    struct qs_drafter *d;
    size_t got;
    unsigned kind;
    OK(qs_drafter_ngram(&d, &e));
    memcpy(t, text, sizeof text);
    OK(d->draft(d, t, 11, 4, t + 11, &got, &kind, &e)); /* two agree: the later place */
    assert_int_equal(got, 4);
    assert_int_equal(kind, 1);
    assert_memory_equal(t + 11, ((const int32_t[]){ 7, 2, 3, 7 }), 4 * sizeof *t); /* goes on with itself */
    memcpy(t + 6, (const int32_t[]){ 8, 1, 2, 3 }, 4 * sizeof *t);
    OK(d->draft(d, t, 10, 2, t + 10, &got, &kind, &e)); /* three agree */
    assert_true(got == 2 && kind == 2 && t[10] == 4 && t[11] == 5);
    for (size_t n = 1; n <= 6; n++) {
        OK(d->draft(d, text, n, 4, t, &got, &kind, &e));
        assert_int_equal(got, 0); /* nothing comes twice */
    }
    for (int i = 0; i < 20; i++)
        t[i] = 6;
    OK(d->draft(d, t, 20, 3, t + 20, &got, &kind, &e));
    assert_true(got == 3 && kind == QS_DRAFT_KINDS - 1 && t[22] == 6);
    qs_drafter_free(d);
    qs_drafter_free(NULL);
}

/* The model itself guesses all of a greedy answer; another one some of it, also with a shorter context and small
 * batches; with both the answer is the same. */
static void draft_models(void **state)
{
    (void)state;
    struct bed b, twin, other;
    lay(&b, tiny_path("llama", ""), 0, CONTEXT);
    lay(&twin, tiny_path("llama", ""), 0, CONTEXT);
    lay(&other, tiny_path("llama-untied", ""), 3, CONTEXT / 2);
    for (int64_t seed = 0; seed < 6; seed++) {
        struct qs_drafter *d;
        const double temperature = seed < 3 ? 0 : 1;
        const struct made plain = make(&b, NULL, temperature, seed, CONTEXT);
        OK(qs_drafter_model(twin.s, b.n_vocab, &d, &e));
        const struct made by_twin = make(&b, d, temperature, seed, CONTEXT);
        same(&plain, &by_twin, "its twin guessing");
        assert_true(by_twin.counts.drafted > 0);
        if (seed % 2 == 0 && temperature <= 0) /* no penalties */
            assert_int_equal(by_twin.counts.accepted, by_twin.counts.drafted);
        const size_t n = b.n_vocab < other.n_vocab ? b.n_vocab : other.n_vocab;
        OK(qs_drafter_model(other.s, n, &d, &e));
        const struct made by_other = make(&b, d, temperature, seed, CONTEXT);
        same(&plain, &by_other, "another model guessing");
        assert_true(qs_session_length(other.s) <= CONTEXT / 2);
    }
    strip(&b);
    strip(&twin);
    strip(&other);
}

static int all_of_it(void *ctx, struct qs_err *e)
{
    struct bed *b = ctx;
    struct qs_drafter *d;
    struct qs_speculate *s;
    int rc = qs_drafter_model(b->s, b->n_vocab, &d, e);
    if (rc)
        return rc;
    qs_drafter_free(d);
    rc = qs_drafter_ngram(&d, e);
    if (!rc)
        rc = qs_speculate_new(b->s, d, NULL, &s, e);
    if (!rc)
        qs_speculate_free(s);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct bed b;
    lay(&b, tiny_path("llama", ""), 0, CONTEXT);
    qs_test_each_alloc(all_of_it, &b);
    strip(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture), cmocka_unit_test(many_seeds),    cmocka_unit_test(every_length),
        cmocka_unit_test(lengths_follow_success), cmocka_unit_test(full_context), cmocka_unit_test(ngrams),
        cmocka_unit_test(draft_models), cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
