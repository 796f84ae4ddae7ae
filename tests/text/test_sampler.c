/* test_sampler.c - the sampler: settings, each step against plainly computed probabilities, determinism, bad logits. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/sampler.h"

enum { N = 8 };
static const float eight[N] = { 2.0f, 1.0f, 0.5f, 0.0f, -0.5f, 1.5f, -3.0f, 0.25f };

/* All steps off: plain draws. */
static struct qs_sampler_settings plain(void)
{
    return (struct qs_sampler_settings){
        .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64, .seed = 7
    };
}

static struct qs_sampler *make(const struct qs_sampler_settings *set)
{
    struct qs_sampler *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_sampler_new(set, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

/* 20,000 draws against p: chi-square below 40 (nine in ten million fail at 7 degrees of freedom; the seed is fixed),
 * and nothing where p is 0. */
static void drawn_as(const struct qs_sampler_settings *set, const float *logits, const int32_t *recent, size_t n_recent,
                     const double p[N])
{
    enum { DRAWS = 20000 };
    struct qs_sampler *s = make(set);
    struct qs_token_chance c[N];
    size_t count[N] = { 0 }, left;
    double chi = 0;
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = qs_sampler_pick(s, logits, N, recent, n_recent, NULL);
        assert_in_range(id, 0, N - 1);
        count[id]++;
    }
    size_t n = qs_sampler_candidates(s, c, N, &left);
    assert_int_equal(n, left);
    for (size_t i = 0; i < n; i++) {
        assert_true(fabs(c[i].p - p[c[i].token]) < 1e-9);
        assert_true(i == 0 || c[i - 1].p >= c[i].p);
    }
    for (int i = 0; i < N; i++) {
        if (p[i] <= 0)
            assert_int_equal(count[i], 0);
        else
            chi += pow((double)count[i] - DRAWS * p[i], 2) / (DRAWS * p[i]);
    }
    assert_true(chi < 40);
    qs_sampler_free(s);
}

/* exp(logit / t) of those that are kept, as shares. */
static void shares(const float *logits, const bool keep[N], double t, double p[N])
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += p[i] = keep[i] ? exp(logits[i] / t) : 0;
    for (int i = 0; i < N; i++)
        p[i] /= sum;
}

static const bool everything[N] = { true, true, true, true, true, true, true, true };

static void temperature(void **state)
{
    double p[N];
    struct qs_sampler_settings set = plain();
    (void)state;
    for (int i = 1; i <= 4; i++) {
        set.temperature = i * 0.5;
        shares(eight, everything, set.temperature, p);
        drawn_as(&set, eight, NULL, 0, p);
    }
}

static void top_k(void **state)
{
    double p[N];
    struct qs_sampler_settings set = plain();
    (void)state;
    set.top_k = 3;
    set.temperature = 0.7;
    shares(eight, (const bool[N]){ [0] = true, [5] = true, [1] = true }, 0.7, p);
    drawn_as(&set, eight, NULL, 0, p);
    set.top_k = N + 5;
    shares(eight, everything, 0.7, p);
    drawn_as(&set, eight, NULL, 0, p);
}

/* The set is chosen at temperature 1, as the order of the steps says. */
static void top_p(void **state)
{
    double p[N], all[N];
    struct qs_sampler_settings set = plain();
    (void)state;
    shares(eight, everything, 1, all);
    set.temperature = 2;
    set.top_p = all[0] + all[5] + 0.001; /* needs a third */
    shares(eight, (const bool[N]){ [0] = true, [5] = true, [1] = true }, 2, p);
    drawn_as(&set, eight, NULL, 0, p);
    set.top_p = all[0] + all[5] - 0.001;
    shares(eight, (const bool[N]){ [0] = true, [5] = true }, 2, p);
    drawn_as(&set, eight, NULL, 0, p);
    set.top_p = 0;
    drawn_as(&set, eight, NULL, 0, (const double[N]){ 1 });
}

static void min_p(void **state)
{
    double p[N];
    struct qs_sampler_settings set = plain();
    (void)state;
    set.min_p = exp(-1.5) * 0.999; /* logits from 0.5 on */
    shares(eight, (const bool[N]){ [0] = true, [5] = true, [1] = true, [2] = true }, 1, p);
    drawn_as(&set, eight, NULL, 0, p);
    set.min_p = 1;
    drawn_as(&set, eight, NULL, 0, (const double[N]){ 1 });
}

static void penalties(void **state)
{
    const int32_t recent[] = { 6, 0, 0, 4, -1, 99 };
    float changed[N];
    double p[N];
    struct qs_sampler_settings set = plain();
    (void)state;
    set.repeat_penalty = 2;
    set.presence_penalty = 0.5;
    set.frequency_penalty = 0.25;
    memcpy(changed, eight, sizeof changed);
    changed[0] = 2.0f / 2 - 2 * 0.25f - 0.5f;
    changed[4] = -0.5f * 2 - 0.25f - 0.5f;
    changed[6] = -3.0f * 2 - 0.25f - 0.5f;
    shares(changed, everything, 1, p);
    drawn_as(&set, eight, recent, 6, p);
    set.repeat_last_n = 3; /* 4 alone is seen */
    memcpy(changed, eight, sizeof changed);
    changed[4] = -0.5f * 2 - 0.25f - 0.5f;
    shares(changed, everything, 1, p);
    drawn_as(&set, eight, recent, 6, p);
    set.repeat_last_n = 0;
    shares(eight, everything, 1, p);
    drawn_as(&set, eight, recent, 6, p);
}

static void greedy(void **state)
{
    static const float ties[5] = { 1, 3, 3, 2, -INFINITY };
    struct qs_sampler_settings set = plain();
    struct qs_token_chance c[2];
    size_t left;
    (void)state;
    set.temperature = 0;
    set.presence_penalty = 1.5;
    struct qs_sampler *s = make(&set);
    assert_int_equal(qs_sampler_pick(s, ties, 5, NULL, 0, NULL), 1);
    assert_int_equal(qs_sampler_candidates(s, c, 2, &left), 1);
    assert_true(left == 1 && c[0].token == 1 && c[0].p >= 1.0);
    assert_int_equal(qs_sampler_pick(s, ties, 5, (const int32_t[]){ 1 }, 1, NULL), 2);
    assert_int_equal(qs_sampler_pick(s, ties, 5, (const int32_t[]){ 1, 2 }, 2, NULL), 3);
    qs_sampler_free(s);
}

/* Equal logits at the edge of top-k: the lower ids stay. */
static void ties_go_by_id(void **state)
{
    float flat[100];
    struct qs_token_chance c[10];
    size_t left;
    struct qs_sampler_settings set = plain();
    (void)state;
    for (int i = 0; i < 100; i++)
        flat[i] = 1.0f;
    set.top_k = 10;
    struct qs_sampler *s = make(&set);
    qs_sampler_pick(s, flat, 100, NULL, 0, NULL);
    assert_int_equal(qs_sampler_candidates(s, c, 10, &left), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(c[i].token, i);
    set.top_k = 0;
    set.top_p = 0.1;
    assert_int_equal(qs_sampler_change(s, &set, NULL), QS_OK);
    qs_sampler_pick(s, flat, 100, NULL, 0, NULL);
    assert_int_equal(qs_sampler_candidates(s, c, 10, &left), 10);
    assert_in_range(left, 10, 11);
    for (int i = 0; i < 10; i++)
        assert_int_equal(c[i].token, i);
    assert_int_equal(qs_top_tokens(flat, 100, 3, c), 3);
    assert_true(c[0].token == 0 && c[2].token == 2 && fabs(c[2].p - 0.01) < 1e-12);
    qs_sampler_free(s);
}

/* The numbers of xoshiro256** seeded by splitmix64(7), told by which of 1000 equal tokens is drawn: fixed for ever. */
static void same_on_every_machine(void **state)
{
    static const int32_t first[] = { 700, 278, 839, 981, 990, 872, 60, 104 };
    float flat[1000];
    struct qs_sampler_settings set = plain();
    struct qs_sampler *a = make(&set), *b = make(&set);
    (void)state;
    memset(flat, 0, sizeof flat);
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        assert_int_equal(qs_sampler_pick(a, flat, 1000, NULL, 0, NULL), first[i]);
        assert_int_equal(qs_sampler_pick(b, flat, 1000, NULL, 0, NULL), first[i]);
    }
    qs_sampler_restart(a, 7);
    assert_int_equal(qs_sampler_pick(a, flat, 1000, NULL, 0, NULL), first[0]);
    set.seed = 8;
    assert_int_equal(qs_sampler_change(b, &set, NULL), QS_OK);
    assert_int_not_equal(qs_sampler_pick(b, flat, 1000, NULL, 0, NULL), first[0]);
    set.top_k = 500; /* another setting: the numbers go on */
    assert_int_equal(qs_sampler_change(b, &set, NULL), QS_OK);
    qs_sampler_free(a);
    qs_sampler_free(b);
}

/* One choice left still takes a number, so that sessions stay in step. */
static void one_number_a_pick(void **state)
{
    float flat[1000];
    struct qs_sampler_settings set = plain(), narrow = plain();
    struct qs_sampler *a = make(&set), *b = make(&set);
    (void)state;
    memset(flat, 0, sizeof flat);
    narrow.top_k = 1;
    qs_sampler_pick(a, flat, 1000, NULL, 0, NULL);
    qs_sampler_change(b, &narrow, NULL);
    assert_int_equal(qs_sampler_pick(b, flat, 1000, NULL, 0, NULL), 0);
    qs_sampler_change(b, &set, NULL);
    assert_int_equal(qs_sampler_pick(a, flat, 1000, NULL, 0, NULL), qs_sampler_pick(b, flat, 1000, NULL, 0, NULL));
    qs_sampler_free(a);
    qs_sampler_free(b);
}

/* A large vocabulary: top-k and top-p against a plain sort. */
static int by_logit(const void *x, const void *y)
{
    const struct qs_token_chance *a = x, *b = y;
    return a->p < b->p ? 1 : a->p > b->p ? -1 : (a->token > b->token) - (a->token < b->token);
}

static void large(void **state)
{
    enum { V = 150000 };
    float *logits = qs_malloc(V * sizeof *logits);
    struct qs_token_chance *all = qs_malloc(V * sizeof *all), *got = qs_malloc(V * sizeof *got);
    uint32_t x = 12345;
    double sum = 0, so_far = 0;
    size_t need = 0, left;
    (void)state;
    for (int i = 0; i < V; i++) {
        x = x * 1664525u + 1013904223u;
        logits[i] = (float)(x >> 20) / 256.0f; /* many ties */
        all[i] = (struct qs_token_chance){ i, logits[i] };
    }
    qsort(all, V, sizeof *all, by_logit);
    for (int i = 0; i < V; i++)
        sum += exp(all[i].p - all[0].p);
    while (so_far < 0.5 * sum)
        so_far += exp(all[need++].p - all[0].p);
    for (int round = 0; round < 2; round++) {
        struct qs_sampler_settings set = plain();
        set.top_k = round ? 0 : 200;
        set.top_p = round ? 0.5 : 1;
        struct qs_sampler *s = make(&set);
        assert_true(qs_sampler_pick(s, logits, V, NULL, 0, NULL) >= 0);
        size_t n = qs_sampler_candidates(s, got, 100, &left);
        assert_int_equal(n, 100);
        assert_int_equal(left, round ? need : 200);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(got[i].token, all[i].token);
        qs_sampler_free(s);
    }
    qs_free(got);
    qs_free(all);
    qs_free(logits);
}

static void bad_logits(void **state)
{
    struct qs_sampler_settings set = plain();
    struct qs_sampler *s = make(&set);
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(qs_sampler_pick(s, (const float[]){ 1, NAN, NAN }, 3, NULL, 0, &e), -1);
    assert_int_equal(e.code, QS_EFORMAT);
    assert_non_null(strstr(e.msg, "NaN as the logit of token 1"));
    assert_int_equal(qs_sampler_pick(s, (const float[]){ 1, 2, INFINITY }, 3, NULL, 0, &e), -1);
    assert_non_null(strstr(e.msg, "infinity as the logit of token 2"));
    assert_int_equal(qs_sampler_pick(s, (const float[]){ -INFINITY, -INFINITY }, 2, NULL, 0, &e), -1);
    assert_non_null(strstr(e.msg, "no finite logit"));
    assert_int_equal(qs_sampler_pick(s, eight, 0, NULL, 0, &e), -1);
    assert_int_equal(e.code, QS_EINVAL);
    for (int i = 0; i < 200; i++)
        assert_int_equal(qs_sampler_pick(s, (const float[]){ -INFINITY, 5, -INFINITY }, 3, NULL, 0, &e), 1);
    qs_sampler_free(s);
}

static void settings(void **state)
{
    size_t n;
    const struct qs_sampler_setting *row = qs_sampler_table(&n);
    struct qs_sampler_settings s, before;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    memset(&s, 0xFF, sizeof s);
    qs_sampler_defaults(&s);
    assert_int_equal(n * 8, sizeof s); /* one row a field */
    assert_int_equal(qs_sampler_check(&s, &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        struct qs_str text = QS_STR_INIT;
        assert_true(row[i].min <= row[i].initial && row[i].initial <= row[i].max && *row[i].help);
        before = s;
        qs_sampler_show(&s, &row[i], &text);
        assert_int_equal(qs_sampler_set(&s, i % 2 ? row[i].name : row[i].key, text.data, &e), QS_OK);
        assert_memory_equal(&s, &before, sizeof s);
        qs_str_free(&text);
    }
    assert_int_equal(qs_sampler_set(&s, "temperature", ".25", &e), QS_OK);
    assert_true(fabs(s.temperature - 0.25) < 1e-12);
    assert_int_equal(qs_sampler_set(&s, "top-p", "1.5", &e), QS_EINVAL);
    assert_string_equal(e.msg, "top-p must lie between 0 and 1, not 1.5");
    assert_int_equal(qs_sampler_set(&s, "top-k", "2.5", &e), QS_EINVAL);
    assert_string_equal(e.msg, "top-k needs a whole number, not '2.5'");
    assert_int_equal(qs_sampler_set(&s, "seed", "x", &e), QS_EINVAL);
    assert_int_equal(qs_sampler_set(&s, "temprature", "1", &e), QS_ENOTFOUND);
    assert_string_equal(e.msg, "no sampler setting is named 'temprature'; did you mean temperature?");
    s.min_p = NAN;
    assert_int_equal(qs_sampler_check(&s, &e), QS_EINVAL);
}

static void softmax(void **state)
{
    double want[N];
    struct qs_token_chance c[N];
    (void)state;
    shares(eight, everything, 1, want);
    assert_int_equal(qs_top_tokens(eight, N, N, c), N);
    for (int i = 0; i < N; i++)
        assert_true(fabs(c[i].p - want[c[i].token]) < 1e-14);
    assert_true(fabs(qs_logsumexp((const float[]){ 1000, 1000 }, 2) - 1000 - log(2)) < 1e-12);
    assert_true(isnan(qs_logsumexp((const float[]){ 0, NAN }, 2)));
    assert_int_equal(qs_top_tokens(eight, N, 3, c), 3);
    assert_true(c[0].token == 0 && c[1].token == 5 && c[2].token == 1 && fabs(c[1].p - want[5]) < 1e-14);
    assert_int_equal(qs_top_tokens(eight, 2, 3, c), 2);
    assert_int_equal(qs_top_tokens((const float[]){ 0, NAN }, 2, 2, c), 0);
}

static int everything_once(void *ctx, struct qs_err *e)
{
    struct qs_sampler_settings set = plain();
    struct qs_sampler *s = NULL;
    (void)ctx;
    int rc = qs_sampler_new(&set, &s, e);
    if (!rc && qs_sampler_pick(s, eight, N, NULL, 0, e) < 0)
        rc = (int)e->code;
    qs_sampler_free(s);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(everything_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temperature),
        cmocka_unit_test(top_k),
        cmocka_unit_test(top_p),
        cmocka_unit_test(min_p),
        cmocka_unit_test(penalties),
        cmocka_unit_test(greedy),
        cmocka_unit_test(ties_go_by_id),
        cmocka_unit_test(same_on_every_machine),
        cmocka_unit_test(one_number_a_pick),
        cmocka_unit_test(large),
        cmocka_unit_test(bad_logits),
        cmocka_unit_test(settings),
        cmocka_unit_test(softmax),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
