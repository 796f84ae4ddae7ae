/* Answers of the demo model: the same for any number of threads and any cache that was there before, two sides in step,
 * every way an answer can end. */
#include "tests/chat/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/vocab.h"

#define OK(call) do { struct qs_err e = QS_ERR_INIT; if (call) fail_msg("%s: %s", #call, e.msg); } while (0)
#define PROMPT "The old man opened the door and"

static struct qs_pool *one, *two;

static struct qs_chat *new_chat(void)
{
    struct qs_chat *c = NULL;
    OK(qs_chat_new(&c, &e));
    return c;
}

/* ---- one side ------------------------------------------------------------------------------------------------ */

static void test_threads(void **state)
{
    (void)state;
    struct qs_pool *pool[] = { NULL, one, two };
    struct qs_answer *a[3];
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct qs_side *s = bench_side(bench_demo(), pool[i], NULL);
        struct qs_chat *c = new_chat();
        a[i] = bench_run(c, t, s, NULL, false);
        qs_chat_free(c);
        qs_side_free(s);
    }
    assert_true(a[0]->side[0].n > 4);
    assert_true(a[0]->side[0].text_len > 4);
    bench_same_tokens(&a[0]->side[0], &a[1]->side[0]);
    bench_same_tokens(&a[0]->side[0], &a[2]->side[0]);
    for (size_t i = 0; i < 3; i++)
        qs_answer_free(a[i]);
    qs_talk_free(t);
}

/* The second turn goes on from the cache of the first; the same turn from nothing gives the same. */
static void test_reused_prefix(void **state)
{
    (void)state;
    struct qs_side *s = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    struct qs_answer *first = bench_run(c, t, s, NULL, false);
    assert_int_equal(first->side[0].reused, 0);
    assert_int_equal(first->side[0].prefilled, first->side[0].prompt);
    OK(qs_chat_keep(c, t, &e));
    assert_string_equal(qs_talk_last(t, QS_TALK_ASSISTANT)->text, first->side[0].text);
    OK(qs_talk_say(t, "And then?", 9, &e));
    struct qs_answer *warm = bench_run(c, t, s, NULL, false);
    assert_true(warm->side[0].reused >= first->side[0].prompt);
    assert_int_equal(warm->side[0].reused + warm->side[0].prefilled, warm->side[0].prompt);
    struct qs_answer *again = bench_run(c, t, s, NULL, false); /* all but one token of the prompt is there */
    assert_int_equal(again->side[0].prefilled, 1);
    qs_side_forget(s);
    struct qs_answer *cold = bench_run(c, t, s, NULL, false);
    assert_int_equal(cold->side[0].reused, 0);
    bench_same_tokens(&warm->side[0], &cold->side[0]);
    bench_same_tokens(&warm->side[0], &again->side[0]);
    qs_answer_free(first);
    qs_answer_free(warm);
    qs_answer_free(again);
    qs_answer_free(cold);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(s);
}

/* The same seed gives the same answer, the next attempt another one. */
static void test_seed(void **state)
{
    (void)state;
    static const char *const warm[] = { "temperature", "1", "seed", "7", NULL };
    struct qs_side *s = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, warm);
    struct qs_answer *a = bench_run(c, t, s, NULL, false), *b = bench_run(c, t, s, NULL, false);
    assert_int_equal(a->seed, 7);
    bench_same_tokens(&a->side[0], &b->side[0]);
    OK(qs_chat_keep(c, t, &e));
    OK(qs_talk_regenerate(t, &e));
    struct qs_answer *other = bench_run(c, t, s, NULL, false);
    assert_int_equal(other->seed, 8);
    assert_string_not_equal(a->side[0].text, other->side[0].text);
    qs_answer_free(a);
    qs_answer_free(b);
    qs_answer_free(other);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(s);
}

/* What is said of each token is true: probabilities are ordered, the greedy token is the likeliest, texts join. */
static void test_tokens(void **state)
{
    (void)state;
    struct qs_side *s = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    struct qs_answer *a = bench_run(c, t, s, NULL, false);
    struct qs_str joined = QS_STR_INIT;
    double before = 0;
    for (size_t i = 0; i < a->side[0].n; i++) {
        const struct qs_answer_token *x = &a->side[0].token[i];
        size_t n;
        const char *text = qs_answer_text(&a->side[0], i, &n);
        qs_str_addn(&joined, text, n);
        assert_int_equal(x->n_best, QS_ANSWER_BEST);
        assert_int_equal(x->token, x->best[0].token);
        assert_true(x->p == x->best[0].p);
        for (unsigned k = 1; k < QS_ANSWER_BEST; k++)
            assert_true(x->best[k].p <= x->best[k - 1].p && x->best[k].p > 0);
        assert_true(isnan(x->kld));
        assert_true(x->seconds >= before);
        assert_true(*qs_answer_piece(a, x->piece) != 0);
        before = x->seconds;
    }
    assert_string_equal(joined.data, a->side[0].text);
    assert_int_equal(a->side[0].decoded + 1, a->side[0].n);
    assert_true(qs_answer_decode_rate(&a->side[0]) > 0 && qs_answer_prefill_rate(&a->side[0]) > 0);
    assert_int_equal(a->side[0].stop, QS_STOP_LIMIT);
    assert_int_equal(a->side[0].used, a->side[0].prompt + a->side[0].decoded);
    assert_true(a->side[0].memory.mapped > 1000000 && a->side[0].memory.cache > 1000);
    qs_str_free(&joined);
    qs_answer_free(a);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(s);
}

/* ---- two sides ----------------------------------------------------------------------------------------------- */

static void test_follow_itself(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_demo(), two, a);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    assert_ptr_equal(qs_side_model(a), qs_side_model(b)); /* opened once */
    struct qs_answer *x = bench_run(c, t, a, b, true);
    assert_int_equal(x->sum.n, x->side[0].n);
    assert_int_equal(x->sum.same_top, x->sum.n);
    assert_true(x->sum.mean_kld == 0 && x->sum.max_kld == 0);
    bench_same_tokens(&x->side[0], &x->side[1]);
    assert_int_equal(x->shared.mapped, x->side[0].memory.mapped);
    qs_answer_free(x);
    x = bench_run(c, t, a, b, false); /* free: they never part, and the divergence is known to the end */
    assert_true(x->parted == QS_ANSWER_NONE);
    assert_int_equal(x->sum.n, x->side[0].n);
    assert_true(x->sum.max_kld == 0);
    qs_answer_free(x);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* Free against the Q2_K: they part at the first token that differs, alone each would have written the same. */
static void test_each_writes(void **state)
{
    (void)state;
    static const char *const more[] = { "max-tokens", "48", NULL };
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, a);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, more);
    struct qs_answer *x = bench_run(c, t, a, b, false);
    assert_int_equal(x->shared.mapped, 0);
    qs_side_forget(a);
    qs_side_forget(b);
    struct qs_answer *alone_a = bench_run(c, t, a, NULL, false), *alone_b = bench_run(c, t, b, NULL, false);
    bench_same_tokens(&x->side[0], &alone_a->side[0]);
    bench_same_tokens(&x->side[1], &alone_b->side[0]);
    size_t i = 0;
    while (i < x->side[0].n && i < x->side[1].n && x->side[0].token[i].token == x->side[1].token[i].token)
        i++;
    assert_true(i < x->side[0].n); /* Q2_K cannot write 48 tokens as F16 does */
    assert_int_equal(x->parted, i);
    assert_int_equal(x->sum.n, i + 1);
    assert_true(isnan(x->side[1].token[i + 1].kld) && x->side[1].token[i].kld > 0);
    assert_true(x->side[1].token[i].flip);
    qs_answer_free(x);
    qs_answer_free(alone_a);
    qs_answer_free(alone_b);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* Follow against the Q2_K: the original's answer stays what it is alone; the summary is that of the tokens. */
static void test_follow(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, a);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    struct qs_answer *alone = bench_run(c, t, a, NULL, false), *x = bench_run(c, t, a, b, true);
    double sum = 0, max = 0;
    size_t same = 0;
    bench_same_tokens(&x->side[0], &alone->side[0]);
    assert_int_equal(x->side[1].n, x->side[0].n);
    assert_string_equal(x->side[1].text, x->side[0].text);
    for (size_t i = 0; i < x->side[1].n; i++) {
        const struct qs_answer_token *y = &x->side[1].token[i];
        assert_true(y->kld > 0);
        assert_int_equal(y->flip, y->best[0].token != x->side[0].token[i].best[0].token);
        sum += y->kld;
        max = y->kld > max ? y->kld : max;
        same += !y->flip;
    }
    assert_true(fabs(sum / (double)x->sum.n - x->sum.mean_kld) < 1e-12);
    assert_true(x->sum.max_kld == max && x->side[1].token[x->sum.max_at].kld == max);
    assert_int_equal(x->sum.same_top, same);
    /* A third takes the place of the second, and comes back with its cache. */
    struct qs_side *third = bench_side(bench_demo(), two, a);
    struct qs_answer *y = bench_run(c, t, a, third, true), *back = bench_run(c, t, a, b, true);
    assert_true(y->sum.max_kld == 0);
    assert_int_equal(back->side[1].prefilled, 1);
    assert_true(back->sum.mean_kld == x->sum.mean_kld);
    qs_side_free(third);
    qs_answer_free(y);
    qs_answer_free(back);
    qs_answer_free(alone);
    qs_answer_free(x);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* A weight that somebody swaps between two answers is used by the next one, from the beginning. */
static void test_swapped_weight(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    const struct qs_model *from = qs_side_model(b);
    struct qs_answer *before = bench_run(c, t, a, NULL, false);
    for (size_t i = 0; i < from->n_tensors; i++) {
        struct qs_weight *w = NULL;
        const struct qs_tensor *to = qs_model_find(qs_side_model(a), from->tensor[i].name);
        OK(qs_model_weight(from, &from->tensor[i], &w, &e));
        OK(qs_engine_set(qs_side_engine(a), qs_model_index(qs_side_model(a), to), w, &e));
        qs_weight_unref(w);
    }
    struct qs_answer *after = bench_run(c, t, a, NULL, false), *whole = bench_run(c, t, b, NULL, false);
    assert_int_equal(after->side[0].reused, 0);
    bench_same_tokens(&after->side[0], &whole->side[0]);
    assert_string_not_equal(before->side[0].text, after->side[0].text);
    struct qs_answer *next = bench_run(c, t, a, NULL, false);
    assert_int_equal(next->side[0].prefilled, 1); /* nothing was swapped since */
    qs_answer_free(next);
    qs_answer_free(before);
    qs_answer_free(after);
    qs_answer_free(whole);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(a);
    qs_side_free(b);
}

static void test_need(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_demo(), two, a),
                   *small = bench_side(bench_small(), two, a);
    struct qs_side *same[] = { a, b }, *other[] = { a, small };
    struct qs_talk *t = bench_talk(NULL, NULL);
    struct qs_chat_need n, m;
    OK(qs_chat_need(same, 2, &t->settings, &n, &e));
    OK(qs_chat_need(other, 2, &t->settings, &m, &e));
    assert_true(n.side[0].mapped > 15000000 && n.side[0].mapped == n.shared.mapped);
    assert_true(n.side[0].heap == n.shared.heap); /* packed once for both */
    assert_int_equal(n.total, n.side[0].mapped + n.side[0].heap + n.side[0].cache + n.side[1].cache);
    assert_int_equal(m.shared.mapped, 0);
    assert_int_equal(m.total, m.side[0].mapped + m.side[1].mapped + m.private_bytes);
    OK(qs_talk_set(t, "ctx", "64", &e));
    OK(qs_chat_need(other, 2, &t->settings, &n, &e));
    assert_true(n.private_bytes < m.private_bytes);
    /* the same by headers, but for the buffers: of a file beside itself, and beside another */
    const struct qs_model *headers[] = { qs_side_model(a), qs_side_model(b) };
    assert_ptr_equal(headers[0], headers[1]);
    OK(qs_chat_need(same, 2, &t->settings, &n, &e));
    qs_chat_need_models(headers, 2, &t->settings, &m);
    assert_int_equal(m.shared.mapped, headers[0]->bytes);
    assert_true(m.side[0].cache > 0 && m.private_bytes == 2 * m.side[0].cache && m.private_bytes <= n.private_bytes);
    assert_int_equal(m.total, m.private_bytes + headers[0]->bytes);
    headers[1] = qs_side_model(small);
    qs_chat_need_models(headers, 2, &t->settings, &m);
    assert_int_equal(m.shared.mapped, 0);
    assert_int_equal(m.total, m.private_bytes + headers[0]->bytes + headers[1]->bytes);
    qs_talk_free(t);
    qs_side_free(small);
    qs_side_free(b);
    qs_side_free(a);
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static struct qs_answer *failing(struct qs_side *s, const struct qs_talk *t, int code, const char *words)
{
    struct qs_chat *c = new_chat();
    int rc = 0;
    OK(qs_chat_start(c, t, &s, 1, false, -1, &e));
    struct qs_answer *a = bench_answer(c, &rc);
    assert_int_equal(rc, code);
    assert_int_equal(a->code, code);
    if (!strstr(a->message, words))
        fail_msg("'%s' does not say '%s'", a->message, words);
    qs_chat_free(c);
    return a;
}

static void test_too_long(void **state)
{
    (void)state;
    static const char *const tight[] = { "ctx", "8", NULL };
    struct qs_side *s = bench_side(bench_demo(), two, NULL);
    struct qs_talk *t = bench_talk("A prompt that has more tokens than eight, whatever the tokenizer makes of it",
                                   tight);
    struct qs_answer *a = failing(s, t, QS_ELIMIT, "a context of 8 leaves room for");
    assert_int_equal(a->side[0].n, 0);
    assert_int_equal(a->side[0].stop, QS_STOP_FAILED);
    qs_answer_free(a);
    qs_talk_free(t);
    qs_side_free(s);
}

static void test_context_full(void **state)
{
    (void)state;
    static const char *const tight[] = { "ctx", "40", "max-tokens", "0", "template", "none", NULL };
    struct qs_side *s = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, tight);
    struct qs_answer *a = bench_run(c, t, s, NULL, false);
    assert_int_equal(a->side[0].stop, QS_STOP_CONTEXT);
    assert_int_equal(a->side[0].used, 40);
    assert_int_equal(a->side[0].prompt + a->side[0].n, 41); /* the last one is known, and has no room any more */
    assert_non_null(strstr(a->message, "nothing was dropped"));
    qs_answer_free(a);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(s);
}

static void test_nan(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_demo(), two, a), *side[] = { b, a };
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    const struct qs_model *m = qs_side_model(a);
    const struct qs_tensor *norm = qs_model_find(m, "output_norm.weight");
    struct qs_weight *w = NULL;
    struct qs_parts parts;
    int rc;
    OK(qs_weight_heap(norm->format, norm->ne, &w, &parts, &e));
    float *x = (float *)(void *)parts.p[0];
    for (uint64_t i = 0; i < norm->n; i++)
        x[i] = i == 3 ? NAN : 1;
    OK(qs_engine_set(qs_side_engine(a), qs_model_index(m, norm), w, &e));
    qs_weight_unref(w);
    struct qs_answer *bad = failing(a, t, QS_EFORMAT, "computes NaN after");
    assert_int_equal(bad->side[0].stop, QS_STOP_NAN);
    qs_answer_free(bad);
    for (int follow = 0; follow < 2; follow++) { /* beside a healthy one, that one goes on */
        OK(qs_chat_start(c, t, side, 2, follow, -1, &e));
        bad = bench_answer(c, &rc);
        assert_int_equal(rc, QS_EFORMAT);
        assert_int_equal(bad->side[0].stop, QS_STOP_LIMIT);
        assert_int_equal(bad->side[0].n, 24);
        assert_int_equal(bad->side[1].stop, QS_STOP_NAN);
        assert_int_equal(bad->side[1].n, 0);
        assert_int_equal(bad->sum.n, 0);
        qs_answer_free(bad);
    }
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* A side beside the engine of somebody else's model, of the same file: one model. A changed file is another one. */
static void test_one_file(void **state)
{
    (void)state;
    struct qs_model *m = NULL;
    struct qs_engine *x = NULL;
    struct qs_side *a = NULL;
    const struct qs_engine_args engine = { .pool = two };
    const struct qs_side_args args = { 0 };
    OK(qs_model_open(bench_small(), &m, &e));
    OK(qs_engine_new(m, &engine, &x, &e));
    OK(qs_side_new(x, &args, &a, &e));
    struct qs_side *b = bench_side(bench_small(), two, a), *c = bench_side(bench_demo(), two, a);
    assert_ptr_equal(qs_side_model(b), m);
    assert_ptr_not_equal(qs_side_engine(b), x);
    assert_ptr_not_equal(qs_side_model(c), m);
    qs_side_free(c);
    qs_side_free(a);
    assert_int_equal(qs_vocab_size(qs_side_vocab(b)), qs_engine_config(x)->n_vocab);
    qs_side_free(b);
    qs_engine_free(x);
    qs_model_close(m);
}

/* A failure of the model's own template says so by a flag, any other does not. */
static void test_no_template(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk("without a template", NULL);
    int rc;
    t->settings.form[0] = 0; /* the model's own: it has none */
    OK(qs_chat_start(c, t, &a, 1, false, -1, &e));
    struct qs_answer *x = bench_answer(c, &rc);
    assert_int_equal(x->no_template, qs_side_template_error(a) != NULL);
    qs_answer_free(x);
    memcpy(t->settings.form, "file", 5); /* and none was read */
    OK(qs_chat_start(c, t, &a, 1, false, -1, &e));
    x = bench_answer(c, &rc);
    assert_int_equal(rc, QS_EINVAL);
    assert_non_null(strstr(x->message, "none was read"));
    assert_false(x->no_template);
    qs_answer_free(x);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(a);
}

static void test_refusals(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, NULL), *none = NULL;
    struct qs_side *same[] = { a, a };
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(NULL, NULL);
    struct qs_err e = QS_ERR_INIT;
    const struct qs_side_args args = { 0 };
    assert_int_equal(qs_chat_start(c, t, &a, 1, false, -1, &e), QS_EINVAL);
    assert_int_equal(qs_chat_keep(c, t, &e), QS_EINVAL);
    assert_int_equal(qs_talk_say(t, "Hello", 5, &e), QS_OK);
    assert_int_equal(qs_chat_start(c, t, &a, 1, true, -1, &e), QS_EINVAL);
    assert_int_equal(qs_chat_start(c, t, same, 2, true, -1, &e), QS_EINVAL);
    assert_int_equal(qs_side_open("nowhere.gguf", &args, &none, &e), QS_ENOTFOUND);
    assert_null(none);
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* Stopped at any moment, an answer holds what was written, and the next one is what it would have been. */
static void test_cancel(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, NULL), *side[] = { a,
                                                                                                                    b };
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    struct qs_answer *whole = bench_run(c, t, a, b, true), *view = NULL;
    uint64_t random = 88172645463325252u;
    OK(qs_answer_new(&view, &e));
    for (int round = 0; round < (QS_TEST_SANITIZED ? 5 : 12); round++) {
        int rc;
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (round % 3 == 0)
            qs_side_forget(a);
        OK(qs_chat_start(c, t, side, 2, true, -1, &e));
        for (size_t want = random % 24; qs_chat_running(c);) {
            OK(qs_chat_look(c, view, &e)); /* the copy only grows, and is whole at every moment */
            assert_true(view->side[1].n <= view->side[0].n && view->side[0].text[view->side[0].text_len] == 0);
            if (view->side[0].n >= want)
                break;
        }
        qs_chat_stop(c);
        struct qs_answer *x = bench_answer(c, &rc);
        assert_true(rc == QS_ECANCELLED || (rc == QS_OK && x->side[0].n == whole->side[0].n));
        if (rc) /* the first side may have ended by itself while the other one still scored its last token */
            assert_true((x->side[0].stop == QS_STOP_CANCELLED || x->side[0].n == whole->side[0].n) && x->message[0] == 0);
        for (size_t i = 0; i < x->side[1].n; i++)
            assert_true(x->side[1].token[i].kld == whole->side[1].token[i].kld);
        OK(qs_chat_look(c, view, &e));
        bench_same_tokens(&view->side[0], &x->side[0]);
        qs_answer_free(x);
    }
    struct qs_answer *after = bench_run(c, t, a, b, true);
    bench_same_tokens(&after->side[0], &whole->side[0]);
    OK(qs_chat_start(c, t, side, 2, true, -1, &e));
    qs_chat_free(c); /* while it runs */
    qs_answer_free(after);
    qs_answer_free(whole);
    qs_answer_free(view);
    qs_talk_free(t);
    qs_side_free(b);
    qs_side_free(a);
}

/* Kept in a file and shown again, an answer is what it was. */
static void test_replay(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, NULL);
    for (int follow = 0; follow < 3; follow++) { /* 2: one side alone */
        struct qs_answer *x = bench_run(c, t, a, follow < 2 ? b : NULL, follow == 1), *read = NULL;
        char path[1024];
        int rc;
        snprintf(path, sizeof path, "%s", qs_test_tmp_path("kept.json"));
        OK(qs_answer_save(x, path, true, &e));
        OK(qs_answer_load(path, &read, &e));
        OK(qs_chat_replay(c, read, 0, -1, &e));
        struct qs_answer *y = bench_answer(c, &rc);
        assert_int_equal(rc, QS_OK);
        assert_true(y->replayed && y->follow == x->follow && y->n_sides == x->n_sides && y->parted == x->parted);
        assert_string_equal(y->prompt, PROMPT);
        assert_true(y->seconds == x->seconds && y->sum.n == x->sum.n && y->sum.same_top == x->sum.same_top);
        assert_true(x->sum.n == 0 || (y->sum.mean_kld == x->sum.mean_kld && y->sum.max_at == x->sum.max_at));
        for (size_t k = 0; k < x->n_sides; k++) {
            const struct qs_answer_side *p = &x->side[k], *q = &y->side[k];
            bench_same_tokens(p, q);
            assert_string_equal(p->label, q->label);
            assert_true(p->drafted == q->drafted && p->accepted == q->accepted);
            assert_true(p->stop == q->stop && p->used == q->used && p->decoded == q->decoded &&
                        p->context == q->context);
            assert_true(p->decode_seconds == q->decode_seconds && p->memory.mapped == q->memory.mapped);
            for (size_t i = 0; i < p->n; i++) {
                assert_string_equal(qs_answer_piece(x, p->token[i].piece), qs_answer_piece(y, q->token[i].piece));
                assert_memory_equal(&p->token[i].seconds, &q->token[i].seconds, sizeof(double));
                assert_true(p->token[i].flip == q->token[i].flip && p->token[i].n_best == q->token[i].n_best);
                assert_true(p->token[i].kld == q->token[i].kld || (isnan(p->token[i].kld) && isnan(q->token[i].kld)));
                for (unsigned n = 0; n < p->token[i].n_best; n++)
                    assert_string_equal(qs_answer_piece(x, p->token[i].best[n].piece),
                                        qs_answer_piece(y, q->token[i].best[n].piece));
            }
        }
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_chat_keep(c, t, &e), QS_EINVAL); /* a replay is no answer */
        qs_answer_free(y);
        qs_answer_free(read);
        qs_answer_free(x);
    }
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

/* ---- guesses -------------------------------------------------------------------------------------------------- */

static struct qs_answer *guessed(struct qs_chat *c, const char *how, const char *temperature, struct qs_side *a,
                                 struct qs_side *b, bool follow)
{
    const char *const set[] = { "speculate", how, "temperature", temperature, "seed", "3", "max-tokens", "60", NULL };
    struct qs_talk *t = bench_talk("Once upon a time. Once upon a time. Once upon a time.", set);
    qs_side_forget(a);
    struct qs_answer *x = bench_run(c, t, a, b, follow);
    qs_talk_free(t);
    return x;
}

/* Nothing but the speed depends on guesses: from the text, by the model itself, by its Q2_K. */
static void test_guesses(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *twin = bench_side(bench_demo(), two, a);
    struct qs_side *small = bench_side(bench_small(), two, a);
    struct qs_chat *c = new_chat();
    static const char *const temperature[] = { "0", "0.7" };
    for (size_t i = 0; i < 2; i++) {
        struct qs_answer *off = guessed(c, "off", temperature[i], a, NULL, false);
        assert_int_equal(off->side[0].drafted, 0);
        assert_true(isnan(qs_answer_acceptance(&off->side[0])));
        for (size_t k = 0; k < 3; k++) {
            OK(qs_chat_draft(c, k == 0 ? NULL : k == 1 ? twin : small, &e));
            struct qs_answer *x = guessed(c, k % 2 ? "draft" : "auto", temperature[i], a, NULL, false);
            bench_same_tokens(&off->side[0], &x->side[0]);
            assert_int_equal(x->side[0].decoded + 1, x->side[0].n);
            assert_int_equal(x->side[0].used, off->side[0].used);
            assert_true(x->side[0].drafted > 0 || (i == 1 && k == 0));
            assert_true(x->side[0].accepted <= x->side[0].drafted);
            if (i == 0 && k == 1)
                assert_int_equal(x->side[0].accepted, x->side[0].drafted);
            qs_answer_free(x);
        }
        qs_answer_free(off);
    }
    OK(qs_chat_draft(c, NULL, &e));
    qs_side_free(small);
    qs_side_free(twin);
    qs_chat_free(c);
    qs_side_free(a);
}

static void test_guesses_beside(void **state)
{
    (void)state;
    struct qs_side *a = bench_side(bench_demo(), two, NULL), *b = bench_side(bench_small(), two, a);
    struct qs_chat *c = new_chat();
    for (int follow = 0; follow < 2; follow++) {
        struct qs_answer *off = guessed(c, "auto", "0", a, b, follow), *on = guessed(c, "ngram", "0", a, b, follow);
        assert_int_equal(off->side[0].drafted + off->side[1].drafted, 0); /* speeds are compared */
        assert_true(on->side[0].drafted > 0 && on->side[1].drafted > 0);
        for (size_t k = 0; k < 2; k++)
            bench_same_tokens(&off->side[k], &on->side[k]);
        assert_true(off->parted == on->parted && off->sum.n == on->sum.n);
        assert_memory_equal(&off->sum.mean_kld, &on->sum.mean_kld, sizeof(double));
        qs_answer_free(off);
        qs_answer_free(on);
    }
    qs_chat_free(c);
    qs_side_free(b);
    qs_side_free(a);
}

static void test_who_may_guess(void **state)
{
    (void)state;
    static const char *const set[] = { "speculate", "draft", NULL };
    struct qs_side *a = bench_side(bench_demo(), two, NULL);
    struct qs_chat *c = new_chat();
    struct qs_talk *t = bench_talk(PROMPT, set);
    struct qs_err why = QS_ERR_INIT;
    assert_int_equal(qs_chat_start(c, t, &a, 1, false, -1, &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "no draft model"));
    OK(qs_chat_draft(c, a, &e));
    assert_int_equal(qs_chat_start(c, t, &a, 1, false, -1, &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "one cache"));
    assert_int_equal(qs_talk_set(t, "speculate", "maybe", &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "auto, off, ngram or draft"));
    qs_talk_free(t);
    qs_chat_free(c);
    qs_side_free(a);
}

static int setup(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    return qs_pool_new(1, &one, &e) || qs_pool_new(2, &two, &e);
}

static int teardown(void **state)
{
    (void)state;
    qs_pool_free(one);
    qs_pool_free(two);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_reused_prefix), cmocka_unit_test(test_seed),
        cmocka_unit_test(test_tokens),        cmocka_unit_test(test_follow_itself), cmocka_unit_test(test_each_writes),
        cmocka_unit_test(test_follow),        cmocka_unit_test(test_swapped_weight), cmocka_unit_test(test_need),
        cmocka_unit_test(test_too_long),      cmocka_unit_test(test_context_full),  cmocka_unit_test(test_nan),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_cancel),        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_one_file),      cmocka_unit_test(test_no_template),   cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_guesses_beside), cmocka_unit_test(test_who_may_guess),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
