/* bench.c - see bench.h. */
#include "tests/chat/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/quant/plan.h"
#include "core/quant/recipe.h"
#include "core/quant/writer.h"

#define OK(call) do { struct qs_err e = QS_ERR_INIT; if (call) fail_msg("%s: %s", #call, e.msg); } while (0)

const char *bench_demo(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    return path;
}

const char *bench_small(void)
{
    static char path[1024];
    struct qs_model *m = NULL;
    struct qs_recipe *r = NULL;
    struct qs_plan *p = NULL;
    struct qs_pool *pool = NULL;
    struct qs_writer_result *result = NULL;
    if (*path)
        return path;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("small.gguf"));
    const struct qs_writer_args args = { .path = path };
    const struct qs_plan_args plan_args = { 0 };
    OK(qs_model_open(bench_demo(), &m, &e));
    OK(qs_recipe_new("Q2_K", &r, &e));
    OK(qs_plan_make(m, r, &plan_args, &p, &e));
    OK(qs_pool_new(2, &pool, &e));
    OK(qs_writer_run(p, &args, pool, NULL, &result, &e));
    qs_writer_result_free(result);
    qs_pool_free(pool);
    qs_plan_free(p);
    qs_recipe_free(r);
    qs_model_close(m);
    return path;
}

struct qs_side *bench_side(const char *path, struct qs_pool *pool, struct qs_side *beside)
{
    struct qs_side *s = NULL;
    const struct qs_side_args args = { .pool = pool, .precision = QS_FAST, .beside = beside };
    OK(qs_side_open(path, &args, &s, &e));
    return s;
}

struct qs_talk *bench_talk(const char *prompt, const char *const *settings)
{
    struct qs_talk *t = NULL;
    OK(qs_talk_new(&t, &e));
    OK(qs_talk_set(t, "temperature", "0", &e));
    OK(qs_talk_set(t, "max-tokens", "24", &e));
    for (; settings && settings[0]; settings += 2)
        OK(qs_talk_set(t, settings[0], settings[1], &e));
    if (prompt)
        OK(qs_talk_say(t, prompt, strlen(prompt), &e));
    return t;
}

struct qs_answer *bench_answer(struct qs_chat *c, int *rc)
{
    struct qs_answer *a = NULL;
    struct qs_err why = QS_ERR_INIT;
    assert_true(qs_chat_wait(c, -1));
    *rc = qs_job_wait(qs_chat_job(c), &why);
    OK(qs_answer_new(&a, &e));
    OK(qs_chat_look(c, a, &e));
    assert_int_equal(a->state, QS_ANSWER_ENDED);
    return a;
}

struct qs_answer *bench_run(struct qs_chat *c, const struct qs_talk *t, struct qs_side *a, struct qs_side *b,
                            bool follow)
{
    struct qs_side *side[] = { a, b };
    int rc = -1;
    OK(qs_chat_start(c, t, side, b ? 2 : 1, follow, -1, &e));
    struct qs_answer *out = bench_answer(c, &rc);
    if (rc)
        fail_msg("the answer failed: %s", out->message);
    return out;
}

void bench_same_tokens(const struct qs_answer_side *a, const struct qs_answer_side *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_int_equal(a->token[i].token, b->token[i].token);
        assert_memory_equal(&a->token[i].p, &b->token[i].p, sizeof a->token[i].p);
        assert_int_equal(a->token[i].text_end, b->token[i].text_end);
    }
    assert_string_equal(a->text, b->text);
}
