/* test_evaluating.c - evaluations as jobs of the workbench: what they measure, while they run, what makes a result
 * old. */
#include "tests/workbench/desk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "core/workbench_eval.h"

static const char *bundled(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s", desk_demo());
    return path;
}

static const char *story(void)
{
    static const char sentence[] = "Once upon a time there was a little girl named Lily. She loved the park. ";
    char text[24 * sizeof sentence];
    for (size_t i = 0; i < 24; i++)
        memcpy(text + i * (sizeof sentence - 1), sentence, sizeof sentence);
    return qs_test_file("story.txt", text, strlen(text));
}

static struct qs_eval_request request(enum qs_eval_what what)
{
    const struct qs_session_args cache = QS_SESSION_ARGS_INIT;
    return (struct qs_eval_request){ .what = what, .text = story(), .n_ctx = 32, .n_windows = 3, .precision = QS_EXACT,
                                     .cache = cache };
}

static unsigned start(struct desk *d, const struct qs_eval_request *q)
{
    struct qs_err e = QS_ERR_INIT;
    unsigned id = 0;
    if (qs_workbench_eval_start(d->w, q, &id, &e))
        fail_msg("%s", e.msg);
    return id;
}

static struct qs_eval_state state_of(struct desk *d)
{
    struct qs_eval_state s;
    qs_workbench_eval(d->w, &s);
    return s;
}

static struct qs_eval_state evaluate(struct desk *d, const struct qs_eval_request *q)
{
    const unsigned id = start(d, q), before = state_of(d).number;
    desk_wait(d, desk_ended, &id);
    const struct qs_eval_state s = state_of(d);
    if (s.err.code)
        fail_msg("%s", s.err.msg);
    assert_int_equal(s.number, before + 1);
    return s;
}

static void set(struct desk *d, const char *tensor, int type)
{
    struct qs_err e = QS_ERR_INIT;
    const size_t t = desk_tensor(d, tensor);
    if (qs_workbench_set(d->w, &t, 1, type, NULL, &e))
        fail_msg("%s", e.msg);
}

static void test_candidate(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_candidate_need need;
    const struct qs_layer_stat *after, *embedding;
    const struct qs_eval_request q = request(QS_EVAL_CANDIDATE);
    desk_start(&d, "Q2_K");
    desk_open(&d, bundled());
    assert_int_equal(qs_workbench_eval_layers(d.w, &after, &embedding), 0);
    struct qs_eval_state s = evaluate(&d, &q);
    assert_true(s.of_document && !s.stale && !s.runs && s.result && s.number == 1);
    assert_int_equal(s.windows, 3);
    assert_int_equal(s.n_ctx, 32);
    assert_true(s.tokens >= 96 && s.need > 0);
    assert_non_null(strstr(s.result_title, "candidate Q2_K of storyteller-9m-f16.gguf"));
    /* a point for each window, the last one being the result */
    assert_int_equal(s.n_points, 3);
    assert_int_equal(s.step, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(s.point[i].windows, i + 1);
    assert_true(s.point[2].kld == s.result->number[QS_KLD_MEAN] && s.point[2].ppl == s.result->number[QS_KLD_PPL]);
    assert_true(s.point[2].kld > 0.001 && s.point[0].kld != s.point[2].kld);
    /* layers, of this model */
    assert_int_equal(qs_workbench_eval_layers(d.w, &after, &embedding), 8);
    assert_true(embedding->error > 0 && after[7].error > embedding->error);
    assert_ptr_equal(&after[0], &s.result->x->layer[1]);
    /* what it made is used by the next one */
    assert_int_equal(qs_workbench_eval_need(d.w, &need, &e), QS_OK);
    assert_int_equal(need.to_make, 0);
    /* an edit makes the result old, taking it back makes it that of the recipe again */
    set(&d, "blk.3.ffn_down.weight", QS_Q8_0);
    assert_true(state_of(&d).stale && state_of(&d).of_document);
    assert_int_equal(qs_workbench_eval_need(d.w, &need, &e), QS_OK);
    assert_int_equal(need.to_make, qs_workbench_doc(d.w)->model->tensor[desk_tensor(&d, "blk.3.ffn_down.weight")].n);
    const double before = s.result->number[QS_KLD_MEAN];
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_false(state_of(&d).stale);
    assert_non_null(qs_workbench_redo(d.w, &e));
    s = evaluate(&d, &q);
    assert_false(s.stale);
    assert_true(s.result->number[QS_KLD_MEAN] < before); /* more bits for one tensor */
    desk_end(&d);
}

/* The same numbers whether the candidate was made for it or is the one that the workbench keeps. */
static void test_kept_candidate(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_eval_request q = request(QS_EVAL_CANDIDATE);
    desk_start(&d, "Q3_K_S");
    desk_open(&d, bundled());
    struct qs_eval_state s = evaluate(&d, &q);
    const double kld = s.result->number[QS_KLD_MEAN], error = s.result->x->layer[4].error;
    desk_open(&d, bundled()); /* nothing of the last one is there any more */
    assert_false(state_of(&d).of_document);
    assert_int_equal(qs_workbench_candidate_want(d.w, true, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_true(qs_workbench_candidate(d.w)->fresh);
    s = evaluate(&d, &q);
    assert_true(s.of_document);
    assert_true(s.result->number[QS_KLD_MEAN] == kld && s.result->x->layer[4].error == error);
    desk_end(&d);
}

static void test_alone_and_files(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_layer_stat *after, *embedding;
    struct qs_eval_request q = request(QS_EVAL_ALONE);
    desk_start(&d, "Q4_K_M");
    desk_open(&d, bundled());
    struct qs_eval_state s = evaluate(&d, &q);
    const double ppl = s.result->number[QS_KLD_PPL];
    assert_true(ppl > 1 && isnan(s.point[2].kld) && isnan(s.point[2].base));
    assert_int_equal(qs_workbench_eval_layers(d.w, &after, &embedding), 0);
    set(&d, "blk.3.ffn_down.weight", QS_Q8_0);
    assert_false(state_of(&d).stale); /* the recipe has no part in it */
    /* a file that is the model itself */
    q = request(QS_EVAL_FILE);
    assert_int_equal(qs_workbench_eval_start(d.w, &q, NULL, &e), QS_EINVAL);
    q.file = bundled();
    s = evaluate(&d, &q);
    assert_true(s.result->number[QS_KLD_PPL] == ppl && s.result->number[QS_KLD_MEAN] == 0);
    assert_int_equal(qs_workbench_eval_layers(d.w, &after, &embedding), 8);
    assert_true(after[7].error == 0);
    /* one that is another: written from the recipe, it is what the candidate is */
    const struct qs_write_request order = { .path = qs_test_tmp_path("written.gguf"), .overwrite = true };
    unsigned id;
    assert_int_equal(qs_workbench_write(d.w, &order, &id, &e), QS_OK);
    desk_wait(&d, desk_ended, &id);
    q.file = order.path;
    const double kld = evaluate(&d, &q).result->number[QS_KLD_MEAN];
    q = request(QS_EVAL_CANDIDATE);
    assert_true(evaluate(&d, &q).result->number[QS_KLD_MEAN] == kld && kld > 0);
    q = request(QS_EVAL_AGAINST);
    q.file = order.path;
    s = evaluate(&d, &q);
    assert_true(s.result->number[QS_KLD_PPL] == ppl);
    assert_true(s.result->n_warnings > 0); /* the reference is quantized itself */
    desk_end(&d);
}

static void test_pause_cancel_refuse(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_eval_request q = request(QS_EVAL_ALONE);
    desk_start(&d, "Q4_K_M");
    assert_int_equal(qs_workbench_eval_start(d.w, &q, NULL, &e), QS_EINVAL); /* no document */
    desk_open(&d, bundled());
    desk_wait(&d, desk_idle, NULL);
    q.text = NULL;
    assert_int_equal(qs_workbench_eval_start(d.w, &q, NULL, &e), QS_EINVAL);
    q.text = story();
    struct hold *h = desk_hold(d.pool);
    unsigned id = start(&d, &q);
    assert_int_equal(qs_workbench_eval_start(d.w, &q, NULL, &e), QS_EBUSY);
    assert_true(state_of(&d).runs && state_of(&d).job == id);
    assert_int_equal(qs_workbench_job_by_id(d.w, id)->kind, QS_WORK_EVALUATE);
    qs_workbench_job_pause(d.w, id, true);
    desk_release(h);
    desk_wait(&d, desk_paused, &id);
    assert_true(state_of(&d).runs && !state_of(&d).result);
    qs_workbench_job_cancel(d.w, id);
    desk_wait(&d, desk_ended, &id);
    struct qs_eval_state s = state_of(&d);
    assert_true(!s.runs && s.err.code == QS_ECANCELLED && !s.result && s.number == 0);
    /* what the job finds out; the result before stays */
    (void)evaluate(&d, &q);
    q.text = qs_test_file("short.txt", "Too short.", 10);
    id = start(&d, &q);
    desk_wait(&d, desk_ended, &id);
    s = state_of(&d);
    assert_true(s.err.code == QS_EINVAL && s.result && s.number == 1);
    assert_non_null(strstr(s.err.msg, "short.txt"));
    q.text = qs_test_tmp_path("no-such.txt");
    id = start(&d, &q);
    desk_wait(&d, desk_ended, &id);
    assert_true(state_of(&d).err.code == QS_ENOTFOUND);
    /* the document goes while it runs: it goes on, of the model as it was */
    q.text = story();
    h = desk_hold(d.pool);
    id = start(&d, &q);
    const uint64_t number = state_of(&d).number;
    assert_int_equal(qs_workbench_open(d.w, desk_model("other.gguf", QS_F16), &e), QS_OK);
    desk_release(h);
    desk_wait(&d, desk_opened, NULL);
    desk_wait(&d, desk_ended, &id);
    s = state_of(&d);
    assert_true(s.number == number + 1 && !s.of_document && !s.err.code);
    desk_end(&d);
}

/* Many windows: every point stands for as many. */
static void test_points_are_bounded(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec tiny = { .layers = 1, .embd = 32, .ff = 32, .heads = 1, .kv_heads = 1, .vocab = 300,
                                  .type = QS_F32, .type_set = true };
    struct qs_eval_request q = request(QS_EVAL_ALONE);
    static char text[40000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * 7 % 26);
    q.text = qs_test_file("long.txt", text, sizeof text);
    q.n_ctx = 4;
    q.n_windows = QS_EVAL_POINTS + 2;
    assert_int_equal(mm_file(qs_test_tmp_path("tiny.gguf"), &tiny, &e), QS_OK);
    desk_start(&d, "Q4_0");
    desk_open(&d, qs_test_tmp_path("tiny.gguf"));
    const struct qs_eval_state s = evaluate(&d, &q);
    assert_int_equal(s.windows, QS_EVAL_POINTS + 2);
    assert_int_equal(s.step, 2);
    assert_int_equal(s.n_points, QS_EVAL_POINTS / 2 + 1);
    for (size_t i = 0; i < s.n_points; i++)
        assert_int_equal(s.point[i].windows, (i + 1) * s.step);
    desk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidate), cmocka_unit_test(test_kept_candidate), cmocka_unit_test(test_alone_and_files),
        cmocka_unit_test(test_pause_cancel_refuse), cmocka_unit_test(test_points_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
