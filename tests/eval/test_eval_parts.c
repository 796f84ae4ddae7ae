/* test_eval_parts.c - what an evaluation is made of beside the models: intervals and tests, repetition, overlap of
 * texts, files of prompts and tasks, the history. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/eval/history.h"
#include "core/eval/overlap.h"
#include "core/eval/sets.h"
#include "core/eval/stats.h"

static void close_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.17g is not %.17g", got, want);
}

static void test_wilson(void **state)
{
    (void)state;
    double low, high;
    qs_wilson(50, 100, &low, &high); /* Wilson 1927; Newcombe 1998, table I, method 3 */
    close_to(low, 0.4038, 5e-5);
    close_to(high, 0.5962, 5e-5);
    qs_wilson(81, 263, &low, &high);
    close_to(low, 0.2553, 5e-5);
    close_to(high, 0.3662, 5e-5);
    qs_wilson(0, 20, &low, &high);
    close_to(low, 0, 0);
    close_to(high, 0.1611, 5e-5);
    qs_wilson(1, 29, &low, &high);
    close_to(low, 0.0061, 5e-5);
    close_to(high, 0.1718, 5e-5);
    qs_wilson(0, 0, &low, &high);
    assert_true(isnan(low) && isnan(high));
}

static void test_mcnemar(void **state)
{
    (void)state;
    close_to(qs_mcnemar(0, 0), 1, 0);
    close_to(qs_mcnemar(1, 5), 2.0 * (1 + 6) / 64, 1e-12);
    close_to(qs_mcnemar(5, 1), 2.0 * (1 + 6) / 64, 1e-12);
    close_to(qs_mcnemar(0, 10), 2.0 / 1024, 1e-12);
    close_to(qs_mcnemar(3, 3), 1, 1e-12);
    assert_true(qs_mcnemar(1000, 3000) < 1e-100 && qs_mcnemar(1000, 3000) > 0);
    close_to(qs_mcnemar(100000, 100000), 1, 1e-9);
}

static void test_repetition(void **state)
{
    (void)state;
    const int32_t plain[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    const int32_t twice[] = { 1, 2, 3, 4, 5, 1, 2, 3, 4, 5 };   /* 7 runs of four, 2 of them again */
    const int32_t loop[] = { 9, 9, 8, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 };
    const int32_t same[] = { 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7 };
    close_to(qs_repeated4(plain, 10), 0, 0);
    close_to(qs_repeated4(twice, 10), 2.0 / 7, 1e-12);
    close_to(qs_repeated4(plain, 3), 0, 0);
    close_to(qs_repeated4(same, 13), 8.0 / 10, 1e-12);
    assert_int_equal(qs_loop_period(plain, 10), 0);
    assert_int_equal(qs_loop_period(twice, 10), 0);
    assert_int_equal(qs_loop_period(loop, 15), 4);
    assert_int_equal(qs_loop_period(same, 13), 1);
    assert_int_equal(qs_loop_period(same, 12), 0); /* eleven of a kind */
    assert_int_equal(qs_loop_period(same, 0), 0);
}

static void test_overlap(void **state)
{
    (void)state;
    static char a[20000], b[20000], c[20000];
    struct qs_overlap o;
    struct qs_err e = QS_ERR_INIT;
    uint64_t x = 7;
    for (size_t i = 0; i < sizeof a; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        a[i] = (char)('a' + (x >> 33) % 26);
        b[i] = (char)('a' + (x >> 45) % 26);
    }
    assert_int_equal(qs_overlap(a, sizeof a, a, sizeof a, &o, &e), QS_OK);
    close_to(o.share, 1, 0);
    assert_int_equal(o.shingles, sizeof a - QS_SHINGLE + 1);
    assert_int_equal(qs_overlap(a, sizeof a, b, sizeof b, &o, &e), QS_OK);
    assert_int_equal(o.found, 0);
    /* A part of a, 5,000 bytes, at another place of another text, in capitals and with other blanks. */
    memcpy(c, b, sizeof c);
    for (size_t i = 0; i < 5000; i++)
        c[3000 + i] = (char)(a[11000 + i] - 32);
    c[2999] = c[8000] = '0'; /* not one byte more by chance */
    assert_int_equal(qs_overlap(c, sizeof c, a, sizeof a, &o, &e), QS_OK);
    assert_int_equal(o.found, 5000 - QS_SHINGLE + 1);
    assert_false(o.sampled);
    assert_int_equal(qs_overlap(a, 63, a, sizeof a, &o, &e), QS_OK);
    assert_int_equal(o.shingles, 0);
    const char *s = "  one  two\n\nthree four five six seven eight nine ten eleven twelve thirteen fourteen";
    const char *t = "One two Three four\tfive six seven eight nine ten eleven twelve thirteen fourteen";
    assert_int_equal(qs_overlap(s, strlen(s), t, strlen(t), &o, &e), QS_OK);
    assert_true(o.shingles > 0 && o.found == o.shingles);
}

static int prompts(const char *text, struct qs_prompts *p, struct qs_err *e)
{
    return qs_prompts_parse("p.txt", text, strlen(text), p, e);
}
static int tasks(const char *text, struct qs_tasks *t, struct qs_err *e)
{
    return qs_tasks_parse("t.jsonl", text, strlen(text), t, e);
}

static void test_prompts(void **state)
{
    (void)state;
    struct qs_prompts p;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(prompts("Once upon\n\n  \nThe {end\r\nlast", &p, &e), QS_OK);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.item[1].text, "The {end");
    assert_int_equal(p.item[1].line, 4);
    assert_string_equal(p.item[2].text, "last");
    qs_prompts_free(&p);
    assert_int_equal(prompts("{\"text\": \"a\\nb\"}\n{\"prompt\": \"c\"}\n"
                             "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n", &p, &e), QS_OK);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.item[0].text, "a\nb");
    assert_null(p.item[2].text);
    assert_int_equal(qs_json_len(p.item[2].messages), 1);
    qs_prompts_free(&p);
}

static void test_tasks(void **state)
{
    (void)state;
    struct qs_tasks t;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(tasks("{\"question\": \"q\", \"choices\": [\"x\", \"y z\"], \"answer\": 1}\n"
                           "{\"prompt\": \"q\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": \"C\"}\n"
                           "{\"prompt\": \"q\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": \"y\"}\n",
                           &t, &e),
                     QS_OK);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.item[0].choice[1], "y z");
    assert_int_equal(t.item[0].answer, 1);
    assert_int_equal(t.item[1].answer, 2);
    assert_int_equal(t.item[2].answer, 1);
    qs_tasks_free(&t);
}

static void test_bad_sets(void **state)
{
    (void)state;
    static const struct { const char *text, *says;
    } bad_prompts[] = {
        { "", "no prompt" }, { "\n \n", "no prompt" }, { "{\"text\": \"a\"}\nplain\n", "line 2" },
        { "{\"text\": 3}", "\"text\" has to be" }, { "{\"x\": 3}", "needs \"text\"" },
        { "{\"messages\": []}", "messages" },
        { "{\"messages\": [{\"role\": \"user\"}]}", "content" }, { "{\"text\": \"\"}", "not empty" },
        { "ok\nbad\xff\n", "line 2: no valid UTF-8" }, { "{\"text\": \"a\\u0000b\"}", "zero" },
    }, bad_tasks[] = {
        { "", "no task" }, { "[1]", "no JSON object" }, { "{\"question\": \"q\"}", "choices" },
        { "{\"choices\": [\"a\", \"b\"], \"answer\": 0}", "question" },
        { "{\"question\": \"q\", \"choices\": [\"a\"], \"answer\": 0}", "2 to 26" },
        { "{\"question\": \"q\", \"choices\": [\"a\", 3], \"answer\": 0}", "choices" },
        { "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 2}", "answer" },
        { "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": -1}", "answer" },
        { "{\"question\": \"q\", \"choices\": [\"a\", \"b\"]}", "answer" },
        { "{\"question\": \"q\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "choices" },
        { "{\"question\": ", "line 1" },
    };
    struct qs_prompts p;
    struct qs_tasks t;
    for (size_t i = 0; i < sizeof bad_prompts / sizeof *bad_prompts; i++) {
        struct qs_err e = QS_ERR_INIT;
        assert_int_not_equal(prompts(bad_prompts[i].text, &p, &e), QS_OK);
        if (!strstr(e.msg, bad_prompts[i].says) || !strstr(e.msg, "p.txt"))
            fail_msg("'%s' does not say '%s'", e.msg, bad_prompts[i].says);
        assert_int_equal(p.n, 0);
    }
    for (size_t i = 0; i < sizeof bad_tasks / sizeof *bad_tasks; i++) {
        struct qs_err e = QS_ERR_INIT;
        assert_int_not_equal(tasks(bad_tasks[i].text, &t, &e), QS_OK);
        if (!strstr(e.msg, bad_tasks[i].says) || !strstr(e.msg, "t.jsonl"))
            fail_msg("'%s' does not say '%s'", e.msg, bad_tasks[i].says);
    }
}

static int sets_body(void *ctx, struct qs_err *e)
{
    struct qs_prompts p;
    struct qs_tasks t;
    (void)ctx;
    int rc = prompts("{\"text\": \"a\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n", &p, e);
    if (rc)
        return rc;
    qs_prompts_free(&p);
    rc = tasks("{\"question\": \"q\", \"choices\": [\"x\", \"y z\"], \"answer\": 1}\n", &t, e);
    if (!rc)
        qs_tasks_free(&t);
    return rc;
}
static void test_sets_memory(void **state) { (void)state; qs_test_each_alloc(sets_body, NULL); }

/* ---- history ---- */

static void fill(struct qs_eval_history_run *r, const char *recipe, const char *text, double kld)
{
    *r = (struct qs_eval_history_run){
        .model = (char *)"m.gguf", .model_key = (char *)"11", .recipe = (char *)recipe, .recipe_key = (char *)recipe,
        .reference = (char *)"m.gguf", .reference_key = (char *)"11", .text = (char *)text, .text_key = (char *)text,
        .bytes = 1000, .tokens = 300, .n_ctx = 128, .windows = 2, .scored = 126, .precision = (char *)"exact",
        .cache = (char *)"F16/F16",
    };
    for (int i = 0; i < QS_KLD_NUMBERS; i++)
        r->number[i] = (double)NAN;
    r->number[QS_KLD_MEAN] = kld;
    r->number[QS_KLD_PPL] = 1.0 / 3;
}

static void test_history(void **state)
{
    (void)state;
    struct qs_eval_history *h;
    struct qs_eval_history_run r;
    const struct qs_eval_history_run *found, *there, *here;
    struct qs_err e = QS_ERR_INIT;
    assert_true(qs_test_home());
    assert_int_equal(qs_eval_history_load(&h, &e), QS_OK);
    assert_int_equal(h->n, 0);
    assert_int_equal(qs_eval_history_find(h, "last", &found, &e), QS_ENOTFOUND);
    qs_eval_history_free(h);
    static const struct { const char *recipe, *text; double kld; } runs[] = {
        { "A", "calibration", 0.010 }, { "A", "held out", 0.020 },
        { "B", "calibration", 0.008 }, { "B", "held out", 0.030 }, /* better there, worse here */
        { "C", "calibration", 0.009 }, { "C", "held out", 0.019 }, /* better in both */
        { "D", "held out", 0.001 },
    };
    char last[9] = "";
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        fill(&r, runs[i].recipe, runs[i].text, runs[i].kld);
        assert_int_equal(qs_eval_history_append(&r, &e), QS_OK);
        memcpy(last, r.id, sizeof last);
    }
    assert_int_equal(qs_eval_history_load(&h, &e), QS_OK);
    assert_int_equal(h->n, 7);
    assert_int_equal(h->unread, 0);
    assert_int_equal(strlen(h->run[0].date), 20);
    assert_true(h->run[1].number[QS_KLD_MEAN] >= 0.02 && h->run[1].number[QS_KLD_MEAN] <= 0.02);
    close_to(h->run[1].number[QS_KLD_PPL], 1.0 / 3, 0); /* all digits come back */
    assert_true(isnan(h->run[1].number[QS_KLD_MAX]));
    assert_string_equal(h->run[3].recipe, "B");
    assert_int_equal(h->run[3].windows, 2);
    assert_int_equal(qs_eval_history_find(h, "last", &found, &e), QS_OK);
    assert_string_equal(found->id, last);
    assert_int_equal(qs_eval_history_find(h, last, &found, &e), QS_OK);
    assert_ptr_equal(found, &h->run[6]);
    assert_int_equal(qs_eval_history_find(h, "2", &found, &e), QS_OK);
    assert_ptr_equal(found, &h->run[1]);
    assert_int_equal(qs_eval_history_find(h, "zzz", &found, &e), QS_ENOTFOUND);
    assert_null(qs_eval_history_unlike(&h->run[0], &h->run[2]));
    assert_string_equal(qs_eval_history_unlike(&h->run[0], &h->run[1]), "the text");
    const size_t at = qs_eval_history_rank_change(h, 0, &h->run[0], &h->run[1], &there, &here);
    assert_true(at < h->n);
    assert_string_equal(here->recipe, "B");
    assert_string_equal(there->text, "calibration");
    assert_int_equal(qs_eval_history_rank_change(h, at + 1, &h->run[0], &h->run[1], &there, &here), h->n);
    qs_eval_history_free(h);
}

/* A line cut short by a full disk, and one of a later version: passed over, the next one stands on a line of its own.
 */
static void test_damaged_history(void **state)
{
    (void)state;
    struct qs_str path = QS_STR_INIT;
    struct qs_eval_history *h;
    struct qs_eval_history_run r;
    struct qs_err e = QS_ERR_INIT;
    char *data;
    size_t n;
    assert_int_equal(qs_eval_history_path(&path, &e), QS_OK);
    assert_int_equal(qs_file_read(path.data, 1 << 20, &data, &n, &e), QS_OK);
    struct qs_str damaged = QS_STR_INIT;
    qs_str_add(&damaged, "{\"version\": 2, \"numbers\": {}}\n\nnot JSON\n");
    qs_str_addn(&damaged, data, n - 40);
    qs_test_write(path.data, damaged.data, damaged.len);
    fill(&r, "E", "held out", 0.5);
    assert_int_equal(qs_eval_history_append(&r, &e), QS_OK);
    assert_int_equal(qs_eval_history_load(&h, &e), QS_OK);
    assert_int_equal(h->n, 7);
    assert_int_equal(h->unread, 3);
    assert_string_equal(h->run[6].recipe, "E");
    qs_eval_history_free(h);
    qs_free(data);
    qs_str_free(&damaged);
    qs_str_free(&path);
}

static int history_body(void *ctx, struct qs_err *e)
{
    struct qs_eval_history *h;
    struct qs_eval_history_run r;
    (void)ctx;
    fill(&r, "F", "held out", 0.5);
    int rc = qs_eval_history_append(&r, e);
    rc = rc ? rc : qs_eval_history_load(&h, e);
    if (!rc)
        qs_eval_history_free(h);
    return rc;
}
static void test_history_memory(void **state)
{
    (void)state;
    struct qs_str path = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_eval_history_path(&path, &e), QS_OK);
    qs_test_write(path.data, "", 0);
    qs_str_free(&path);
    qs_test_each_alloc(history_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson), cmocka_unit_test(test_mcnemar), cmocka_unit_test(test_repetition),
        cmocka_unit_test(test_overlap), cmocka_unit_test(test_prompts), cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_bad_sets), cmocka_unit_test(test_sets_memory), cmocka_unit_test(test_history),
        cmocka_unit_test(test_damaged_history), cmocka_unit_test(test_history_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
