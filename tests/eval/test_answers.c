/* test_answers.c - prompts and tasks on the demo model: answers against plain greedy steps, a model against itself,
 * scores against sums of log-probabilities, what is passed over and refused. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/eval/evaluation_internal.h"

static struct qs_pool *pool;
static struct qs_recipe *kept; /* lives as long as the evaluation */
static char demo[512];
static const char *const prompts_text = "{\"text\": \"The captain looked\"}\n{\"text\": \"Once upon a time\"}\n"
                                        "{\"messages\": [{\"role\": \"user\", \"content\": \"It was dark\"}]}\n";
static const char *const tasks_text =
    "{\"question\": \"The sun rose and the birds began to\", \"choices\": [\"sing\", \"zebra tax\"], \"answer\": 0}\n"
    "{\"question\": \"He opened the door and\", \"choices\": [\"qq\", \"went in\", \"went out of it\"], \"answer\": "
    "\"C\"}\n";

static struct qs_evaluation *open_and_run(const char *preset, const char *against, const char *prompts,
                                          const char *tasks, struct qs_err *e)
{
    struct qs_evaluation *x = NULL;
    struct qs_evaluation_args a = { .answer_tokens = 12, .cache = QS_SESSION_ARGS_INIT };
    qs_recipe_free(kept);
    kept = NULL;
    if (preset)
        assert_int_equal(qs_recipe_new(preset, &kept, e), QS_OK);
    a.pair = (struct qs_pair_args){ .model = demo, .recipe = kept, .reference = against, .precision = QS_EXACT,
                                    .prio = QS_PRIO_JOB };
    a.prompts = prompts ? qs_test_file("prompts", prompts, strlen(prompts)) : NULL;
    a.tasks = tasks ? qs_test_file("tasks", tasks, strlen(tasks)) : NULL;
    qs_sampler_defaults(&a.sampler);
    a.sampler.temperature = 0;
    if (qs_evaluation_open(&a, pool, &x, e))
        return NULL;
    if (qs_evaluation_run(x, NULL, e)) {
        qs_evaluation_free(x);
        return NULL;
    }
    return x;
}

static struct qs_evaluation *must_run(const char *preset, const char *against, const char *prompts, const char *tasks)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_evaluation *x = open_and_run(preset, against, prompts, tasks, &e);
    if (!x)
        fail_msg("%s", e.msg);
    return x;
}

/* The likeliest token again and again. */
static void greedy(struct qs_engine *engine, const struct qs_vocab *v, const char *text, size_t n, int32_t *out)
{
    struct qs_session *s;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_session_args args = { 64, QS_F16, QS_F16, false };
    const size_t rows = qs_engine_config(engine)->n_vocab, n_vocab = qs_vocab_rows(v, rows);
    struct qs_tokens t = { 0 };
    float *logits = qs_calloc(rows, sizeof *logits);
    assert_int_equal(qs_tokenize(v, text, strlen(text), QS_TOKENIZE_ADD_SPECIAL, &t, &e), QS_OK);
    assert_int_equal(qs_session_new(engine, &args, &s, &e), QS_OK);
    assert_int_equal(qs_session_feed(s, t.id, t.n, t.n - 1, logits, &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        for (size_t k = 1; k < n_vocab; k++)
            best = logits[k] > logits[best] ? k : best;
        out[i] = (int32_t)best;
        assert_int_equal(qs_session_feed(s, &out[i], 1, 0, logits, &e), QS_OK);
    }
    qs_session_free(s);
    qs_tokens_free(&t);
    qs_free(logits);
}

static void test_prompts(void **state)
{
    (void)state;
    struct qs_evaluation *x = must_run("Q2_K", NULL, prompts_text, NULL);
    const struct qs_prompts_result *r = x->prompts_result;
    int32_t token[2][12];
    assert_int_equal(r->n, 3);
    assert_int_equal(r->passed_over, 0);
    for (size_t i = 0; i < 3; i++) { /* the worst first; the means are those of the rows */
        const struct qs_prompt_result *p = &r->item[i];
        assert_true(p->kld > 0 && p->kld_max >= p->kld && p->cosine > 0.5 && p->cosine < 1);
        assert_true(i == 0 || p->kld <= r->item[i - 1].kld);
        assert_true(p->model.n > 0 && p->model.n <= 12 && (p->model.ended || p->model.n == 12));
        assert_true(p->agreement >= 0 && p->agreement <= 1 && p->parted == (p->agreement < 1));
        if (p->prompt != 1)
            continue;
        struct qs_str text = QS_STR_INIT;
        greedy(x->pair->base, x->pair->vocab, "Once upon a time", 12, token[1]);
        greedy(x->pair->engine, x->pair->vocab, "Once upon a time", 12, token[0]);
        size_t same = 0;
        while (same < 12 && token[0][same] == token[1][same])
            same++;
        assert_int_equal(p->same, same);
        qs_detokenize(x->pair->vocab, token[1], p->base.n, QS_DETOK_MIDDLE, &text);
        assert_string_equal(p->base.text, text.data);
        assert_string_equal(p->text, "Once upon a time");
        qs_str_free(&text);
    }
    size_t seen = 0;
    for (size_t i = 0; i < 3; i++)
        if (r->item[i].prompt == 2)
            seen += strstr(r->item[i].text, "<|user|>") && strstr(r->item[i].text, "It was dark") &&
                    strstr(r->item[i].text, "<|assistant|>");
    assert_int_equal(seen, 1); /* through the model's own chat template */
    assert_int_equal(r->tokens, r->item[0].base.n + r->item[1].base.n + r->item[2].base.n);
    qs_evaluation_free(x);
}

static void test_itself(void **state)
{
    (void)state;
    struct qs_evaluation *x = must_run(NULL, demo, prompts_text, tasks_text);
    const struct qs_prompts_result *r = x->prompts_result;
    const double zero = 0;
    assert_memory_equal(&r->kld, &zero, sizeof zero);
    assert_int_equal(r->parted, 0);
    assert_true(r->agreement > 0.999999 && r->same_top > 0.999999 && r->cosine > 0.999999);
    const struct qs_tasks_result *t = x->tasks_result;
    for (size_t i = 0; i < t->n; i++)
        assert_memory_equal(t->item[i].model.ln_p, t->item[i].base.ln_p, sizeof t->item[i].model.ln_p);
    assert_true(t->sum.p > 0.999999 && t->sum.only_model == 0);
    qs_evaluation_free(x);
}

/* The demo's vocabulary, changed. */
static struct qs_vocab *vocabulary(const struct qs_model *m, size_t n_tokens, bool twice)
{
    struct qs_vocab_data *d;
    struct qs_vocab *v;
    struct qs_err e = QS_ERR_INIT;
    size_t n;
    const struct qs_kv *kv = qs_model_metadata(m, &n);
    assert_int_equal(qs_vocab_data_kv(kv, n, &d, &e), QS_OK);
    if (twice)
        d->token[500] = d->token[501];
    for (int s = 0; n_tokens && s < QS_SPECIALS; s++)
        d->special[s] = d->special[s] < (int32_t)n_tokens ? d->special[s] : QS_NO_TOKEN;
    d->n_tokens = n_tokens ? n_tokens : d->n_tokens;
    d->n_eog = n_tokens ? 0 : d->n_eog;
    if (qs_vocab_new(d, &v, &e))
        fail_msg("%s", e.msg);
    return v;
}

/* Rows beyond the vocabulary pad the matrix: nobody picks them, and they have no share of the probability. */
static void test_padded_rows(void **state)
{
    (void)state;
    struct qs_evaluation *x = must_run("Q2_K", NULL, prompts_text, NULL);
    struct qs_vocab *few = vocabulary(x->pair->model, 400, false);
    struct qs_prompts_args a = { .model = x->pair->engine, .base = x->pair->base, .vocab = few, .pool = pool,
                                 .prio = QS_PRIO_JOB, .prompts = &x->prompts, .most = 2, .n_tokens = 12,
                                 .cache = QS_SESSION_ARGS_INIT, .sampler = x->args.sampler };
    struct qs_prompts_result *r;
    struct qs_err e = QS_ERR_INIT;
    int32_t token[12];
    assert_true(qs_engine_config(x->pair->base)->n_vocab > 400);
    if (qs_prompts_run(&a, NULL, &r, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(r->n, 2);
    for (size_t i = 0; i < 2; i++) {
        struct qs_str text = QS_STR_INIT;
        greedy(x->pair->base, few, r->item[i].text, 12, token);
        qs_detokenize(few, token, r->item[i].base.n, QS_DETOK_MIDDLE, &text);
        assert_string_equal(r->item[i].base.text, text.data);
        assert_true(r->item[i].base.n > 0 && r->item[i].kld > 0);
        qs_str_free(&text);
    }
    qs_prompts_result_free(r);
    struct qs_tasks_result *t;
    struct qs_tasks tasks = { 0 };
    assert_int_equal(qs_tasks_parse("tasks", tasks_text, strlen(tasks_text), &tasks, &e), QS_OK);
    const struct qs_tasks_args ta = { .model = x->pair->engine, .vocab = few, .tasks = &tasks,
                                      .cache = QS_SESSION_ARGS_INIT };
    const struct qs_tasks_args whole = { .model = x->pair->engine, .vocab = x->pair->vocab, .tasks = &tasks,
                                         .cache = QS_SESSION_ARGS_INIT };
    double ln_p[2];
    for (int i = 0; i < 2; i++) {
        if (qs_tasks_run(i ? &whole : &ta, NULL, &t, &e))
            fail_msg("%s", e.msg);
        ln_p[i] = t->item[0].model.ln_p[0];
        qs_tasks_result_free(t);
    }
    assert_true(isfinite(ln_p[0]) && (ln_p[0] < ln_p[1] || ln_p[0] > ln_p[1]));
    qs_tasks_free(&tasks);
    qs_vocab_free(few);
    qs_evaluation_free(x);
}

/* What is odd about the vocabulary is said of an evaluation too. */
static void test_vocab_warning(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    (void)state;
    assert_int_equal(qs_model_open(demo, &m, &e), QS_OK);
    struct qs_pair p = { .model = m, .vocab = vocabulary(m, 0, true) };
    struct qs_evaluation x = { .pair = &p };
    assert_int_equal(qs_evaluation_judge(&x, &e), QS_OK);
    assert_int_equal(x.n_warnings, 1);
    assert_non_null(strstr(x.warning[0], qs_vocab_warning(p.vocab, 0)));
    assert_true(strncmp(x.warning[0], demo, strlen(demo)) == 0);
    qs_free(x.warning[0]);
    qs_free(x.warning);
    qs_vocab_free(p.vocab);
    qs_model_close(m);
}

/* A score is the sum of ln p over the tokens of the choice, by one feed of the whole. */
static void test_tasks(void **state)
{
    (void)state;
    struct qs_evaluation *x = must_run(NULL, NULL, NULL, tasks_text);
    const struct qs_tasks_result *t = x->tasks_result;
    const size_t n_vocab = qs_engine_config(x->pair->engine)->n_vocab;
    assert_int_equal(t->n, 2);
    assert_int_equal(t->item[0].model.by_sum, 0);
    assert_int_equal(t->item[0].model.by_normalised, 0);
    assert_true(isnan(t->sum.p) && isnan(t->sum.accuracy_base));
    assert_true(fabs(t->chance - (0.5 + 1.0 / 3) / 2) < 1e-12);
    const char *whole = "He opened the door and went in", *question = "He opened the door and";
    struct qs_tokens all = { 0 }, first = { 0 };
    struct qs_session *s;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_session_args args = { 64, QS_F16, QS_F16, false };
    assert_int_equal(qs_tokenize(x->pair->vocab, whole, strlen(whole), QS_TOKENIZE_ADD_SPECIAL, &all, &e), QS_OK);
    assert_int_equal(qs_tokenize(x->pair->vocab, question, strlen(question), QS_TOKENIZE_ADD_SPECIAL, &first, &e),
                     QS_OK);
    float *logits = qs_calloc(all.n * n_vocab, sizeof *logits);
    assert_int_equal(qs_session_new(x->pair->engine, &args, &s, &e), QS_OK);
    assert_int_equal(qs_session_feed(s, all.id, all.n, 0, logits, &e), QS_OK);
    double sum = 0;
    for (size_t i = first.n; i < all.n; i++)
        sum +=
            (double)logits[(i - 1) * n_vocab + (size_t)all.id[i]] - qs_logsumexp(logits + (i - 1) * n_vocab, n_vocab);
    assert_true(all.n > first.n && fabs(t->item[1].model.ln_p[1] - sum) < 1e-9);
    /* By sum a short choice wins over a longer one of equal quality; divided by bytes the length counts no more. */
    assert_true(t->item[1].model.ln_p[1] > t->item[1].model.ln_p[2]);
    qs_session_free(s);
    qs_tokens_free(&all);
    qs_tokens_free(&first);
    qs_free(logits);
    qs_evaluation_free(x);
}

static void test_too_long(void **state)
{
    (void)state;
    char *text = qs_calloc(1, 8001);
    struct qs_str lines = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    for (size_t i = 0; i < 4000; i++)
        memcpy(text + 2 * i, "x ", 2);
    qs_str_addf(&lines, "Once\n%s\n", text);
    struct qs_evaluation *x = must_run("Q8_0", NULL, lines.data, NULL);
    assert_int_equal(x->prompts_result->passed_over, 1);
    assert_int_equal(x->prompts_result->item[1].n_prompt, 0); /* at the end of the list */
    assert_true(x->n_warnings >= 1);
    qs_evaluation_free(x);
    qs_str_clear(&lines);
    qs_str_addf(&lines, "{\"question\": \"%s\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n", text);
    assert_null(open_and_run(NULL, NULL, NULL, lines.data, &e));
    assert_int_equal(e.code, QS_EINVAL);
    assert_non_null(strstr(e.msg, "none of the 1 tasks fits"));
    qs_str_free(&lines);
    qs_free(text);
}

static void test_refused(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    assert_null(open_and_run(NULL, NULL, "Once\n", NULL, &e));
    assert_non_null(strstr(e.msg, "no reference"));
    assert_null(open_and_run("Q8_0", NULL, "\n", NULL, &e));
    assert_non_null(strstr(e.msg, "no prompt"));
    assert_null(open_and_run("Q8_0", "missing.gguf", "Once\n", NULL, &e));
    assert_int_equal(e.code, QS_ENOTFOUND);
}

/* Another candidate was measured on the same two texts before: better on the first, worse on the second. */
static void test_ranks(void **state)
{
    (void)state;
    struct qs_evaluation *x = NULL;
    struct qs_eval_history *h;
    struct qs_recipe *recipe;
    struct qs_err e = QS_ERR_INIT;
    char first[512], second[512];
    assert_true(qs_test_home());
    struct qs_str text = QS_STR_INIT;
    for (int i = 0; i < 8; i++)
        qs_str_addf(&text, "Once upon a time there was a captain of %d ships. ", i);
    snprintf(first, sizeof first, "%s", qs_test_file("first.txt", text.data, text.len));
    qs_str_add(&text, "The sun rose.");
    snprintf(second, sizeof second, "%s", qs_test_file("second.txt", text.data + 20, text.len - 20));
    qs_str_free(&text);
    assert_int_equal(qs_recipe_new("Q4_0", &recipe, &e), QS_OK);
    const struct qs_evaluation_args a = {
        .pair = { .model = demo, .recipe = recipe, .precision = QS_EXACT, .prio = QS_PRIO_JOB }, .recipe_name = "Q4_0",
        .text = first, .held_out = second, .n_ctx = 16, .n_windows = 3, .cache = QS_SESSION_ARGS_INIT,
    };
    for (int round = 0; round < 2; round++) {
        if (qs_evaluation_open(&a, pool, &x, &e) || qs_evaluation_run(x, NULL, &e) || qs_evaluation_remember(x, &e))
            fail_msg("%s", e.msg);
        size_t ranks = 0, known = 0;
        for (size_t i = 0; i < x->n_warnings; i++) {
            ranks += strstr(x->warning[i], "ranks change") && strstr(x->warning[i], "behind OTHER");
            known += strstr(x->warning[i], "not held out") != NULL;
        }
        assert_int_equal(ranks, round);
        assert_int_equal(known, 1); /* most of the second text stands in the first */
        qs_evaluation_free(x);
        assert_int_equal(qs_eval_history_load(&h, &e), QS_OK);
        assert_int_equal(h->n, round ? 6 : 2);
        for (size_t i = 0; i < 2 && !round; i++) { /* the other one: its runs are made up of these */
            struct qs_eval_history_run r = h->run[i];
            r.recipe = (char *)"OTHER";
            r.recipe_key = (char *)"77";
            r.number[QS_KLD_MEAN] *= i ? 2 : 0.5;
            assert_int_equal(qs_eval_history_append(&r, &e), QS_OK);
        }
        qs_eval_history_free(h);
    }
    qs_recipe_free(recipe);
}

/* What is said of answers that loop, repeat, collapse or are not finite, and of those that do not. */
static void test_judged(void **state)
{
    (void)state;
    static const char *const said[] = { "3 of 10 answers end in a loop", "repeat themselves", "collapse",
                                        "NaN or infinity" };
    struct qs_prompts_result r = { .n = 10,
                                   .loops = 3,
                                   .loops_base = 1,
                                   .repeated = 0.3,
                                   .repeated_base = 0.1,
                                   .length = 4,
                                   .length_base = 20,
                                   .bad = 2 };
    struct qs_evaluation x = { .prompts_result = &r };
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_evaluation_judge(&x, &e), QS_OK);
    assert_int_equal(x.n_warnings, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(strstr(x.warning[i], said[i]));
        qs_free(x.warning[i]);
    }
    qs_free(x.warning);
    r = (struct qs_prompts_result){
        .n = 10, .loops = 1, .loops_base = 1, .repeated = 0.1, .repeated_base = 0.1, .length = 19, .length_base = 20
    };
    x = (struct qs_evaluation){ .prompts_result = &r };
    assert_int_equal(qs_evaluation_judge(&x, &e), QS_OK);
    assert_int_equal(x.n_warnings, 0);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    snprintf(demo, sizeof demo, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    if (qs_pool_new(2, &pool, &e))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts), cmocka_unit_test(test_itself), cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_refused), cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_judged), cmocka_unit_test(test_padded_rows), cmocka_unit_test(test_vocab_warning),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    qs_recipe_free(kept);
    qs_pool_free(pool);
    return rc;
}
