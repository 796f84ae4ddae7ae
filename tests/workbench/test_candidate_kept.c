/* test_candidate_kept.c - the candidate that the workbench keeps for the recipe: wanted, edited, cancelled,
 * replaced. */
#include "tests/workbench/desk.h"

#include <string.h>

#include "base/file.h"
#include "core/workbench.h"

static const char *wide_model(const char *name)
{
    const struct mm_spec s = { .layers = 2, .embd = 256, .ff = 512, .vocab = 64, .untied = true };
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path(name);
    if (!qs_file_exists(path))
        assert_int_equal(mm_file(path, &s, &e), QS_OK);
    return path;
}

static bool settled(const struct desk *d, const void *ctx)
{
    (void)ctx;
    return qs_workbench_candidate(d->w)->job == 0;
}

static void want(struct desk *d)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_candidate_want(d->w, true, &e))
        fail_msg("%s", e.msg);
}

static const struct qs_doc_candidate *wait_for(struct desk *d)
{
    desk_wait(d, settled, NULL);
    const struct qs_doc_candidate *c = qs_workbench_candidate(d->w);
    if (c->err.code)
        fail_msg("%s", c->err.msg);
    assert_true(c->wanted && c->fresh && qs_candidate_whole(c->candidate));
    return c;
}

static void set(struct desk *d, const char *tensor, int type)
{
    struct qs_err e = QS_ERR_INIT;
    const size_t t = desk_tensor(d, tensor);
    if (qs_workbench_set(d->w, &t, 1, type, NULL, &e))
        fail_msg("%s", e.msg);
}

static int type_of(struct desk *d, const char *tensor)
{
    return qs_candidate_weight(qs_workbench_candidate(d->w)->candidate, desk_tensor(d, tensor))->format->id;
}

/* What is written now has the candidate's bytes. */
static void compare_with_file(struct desk *d)
{
    const struct qs_write_request q = { .path = qs_test_tmp_path("same.gguf"), .overwrite = true };
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    unsigned id;
    assert_int_equal(qs_workbench_write(d->w, &q, &id, &e), QS_OK);
    desk_wait(d, desk_ended, &id);
    if (qs_model_open(q.path, &m, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_weight *have = qs_candidate_weight(qs_workbench_candidate(d->w)->candidate, i);
        struct qs_weight *w;
        assert_int_equal(qs_model_weight(m, &m->tensor[i], &w, &e), QS_OK);
        assert_int_equal(have->format->id, w->format->id);
        assert_memory_equal(have->parts.p[0], w->parts.p[0], (size_t)w->bytes);
        qs_weight_unref(w);
    }
    qs_model_close(m);
}

static void test_kept_for_the_recipe(void **state)
{
    (void)state;
    struct desk d;
    struct qs_candidate_need need;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, "Q4_K_M");
    assert_null(qs_workbench_candidate(d.w));
    assert_int_equal(qs_workbench_candidate_want(d.w, true, &e), QS_EINVAL);
    desk_open(&d, wide_model("kept.gguf"));
    assert_false(qs_workbench_candidate(d.w)->wanted);
    assert_int_equal(qs_workbench_candidate_need(d.w, &need, &e), QS_OK);
    assert_true(need.to_make > 0);
    want(&d);
    assert_true(qs_workbench_candidate(d.w)->job);
    assert_int_equal(desk_job(&d, QS_WORK_CANDIDATE), qs_workbench_candidate(d.w)->job);
    wait_for(&d);
    compare_with_file(&d);
    /* an edit makes that tensor anew; the others are the same weights */
    struct qs_candidate *before = qs_candidate_ref(qs_workbench_candidate(d.w)->candidate);
    set(&d, "blk.1.attn_v.weight", QS_Q8_0);
    assert_false(qs_workbench_candidate(d.w)->fresh);
    assert_ptr_equal(qs_workbench_candidate(d.w)->candidate, before); /* until the next one is whole */
    wait_for(&d);
    const size_t edited = desk_tensor(&d, "blk.1.attn_v.weight");
    for (size_t i = 0; i < qs_workbench_doc(d.w)->model->n_tensors; i++)
        assert_int_equal(qs_candidate_weight(before, i) ==
                         qs_candidate_weight(qs_workbench_candidate(d.w)->candidate, i), i != edited);
    assert_int_equal(type_of(&d, "blk.1.attn_v.weight"), QS_Q8_0);
    compare_with_file(&d);
    qs_candidate_unref(before);
    /* an edit that says nothing new for any tensor needs no job */
    const size_t jobs = qs_workbench_jobs(d.w);
    assert_int_equal(qs_workbench_requantize(d.w, true, &e), QS_OK);
    assert_true(qs_workbench_candidate(d.w)->fresh && qs_workbench_candidate(d.w)->job == 0);
    assert_int_equal(qs_workbench_jobs(d.w), jobs);
    assert_int_equal(qs_workbench_candidate_want(d.w, false, &e), QS_OK);
    assert_null(qs_workbench_candidate(d.w)->candidate);
    desk_end(&d);
}

/* Edits follow each other while the first is still made: what comes out is the last, and no job is left over. */
static void test_edits_overtake(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d, "Q4_0");
    desk_open(&d, wide_model("fast.gguf"));
    desk_wait(&d, desk_idle, NULL);
    struct hold *h = desk_hold(d.pool);
    want(&d);
    const unsigned first = qs_workbench_candidate(d.w)->job;
    set(&d, "blk.0.ffn_up.weight", QS_Q5_0);
    set(&d, "blk.0.ffn_up.weight", QS_Q8_0);
    set(&d, "blk.1.ffn_up.weight", QS_Q6_K);
    assert_int_equal(qs_workbench_candidate(d.w)->job, first);
    desk_release(h);
    wait_for(&d);
    assert_int_equal(type_of(&d, "blk.0.ffn_up.weight"), QS_Q8_0);
    assert_int_equal(type_of(&d, "blk.1.ffn_up.weight"), QS_Q6_K);
    assert_null(qs_workbench_job_by_id(d.w, first)); /* nobody looks at it */
    compare_with_file(&d);
    desk_take_imatrix(&d, desk_imatrix(&d, "kept.dat", 0)); /* all weighed ones are others now */
    assert_false(qs_workbench_candidate(d.w)->fresh);
    wait_for(&d);
    compare_with_file(&d);
    desk_end(&d);
}

static void test_stopped_and_gone_on(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, "Q5_K_M");
    desk_open(&d, wide_model("stopped.gguf"));
    desk_wait(&d, desk_idle, NULL);
    struct hold *h = desk_hold(d.pool);
    want(&d);
    const unsigned id = qs_workbench_candidate(d.w)->job;
    qs_workbench_job_cancel(d.w, id);
    desk_release(h);
    desk_wait(&d, settled, NULL);
    assert_int_equal(qs_workbench_candidate(d.w)->err.code, QS_ECANCELLED);
    assert_true(qs_workbench_candidate(d.w)->wanted && !qs_workbench_candidate(d.w)->fresh);
    assert_true(qs_workbench_job_by_id(d.w, id)->resumable);
    assert_int_equal(qs_workbench_job_resume(d.w, id, &e), QS_OK);
    wait_for(&d);
    compare_with_file(&d);
    desk_end(&d);
}

/* A recipe that cannot be carried out leaves the last candidate there, says why, and the next edit mends it. */
static void test_recipe_in_its_own_way(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, "Q4_K_M");
    desk_open(&d, wide_model("blocked.gguf"));
    want(&d);
    wait_for(&d);
    set(&d, "blk.0.attn_q.weight", QS_IQ2_XS);
    desk_wait(&d, settled, NULL);
    const struct qs_doc_candidate *c = qs_workbench_candidate(d.w);
    assert_true(c->err.code == QS_EINVAL && c->candidate && !c->fresh);
    assert_non_null(strstr(c->err.msg, "blk.0.attn_q.weight"));
    assert_int_equal(qs_workbench_candidate_want(d.w, true, &e), QS_EINVAL); /* the same again */
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_true(qs_workbench_candidate(d.w)->fresh); /* all of it was still there */
    assert_int_equal(qs_workbench_candidate(d.w)->err.code, QS_OK);
    desk_end(&d);
}

/* Off and on again: never two jobs, and the one that was stopped does not stand in the way. */
static void test_off_and_on(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, "Q4_K_M");
    desk_open(&d, wide_model("off.gguf"));
    for (int round = 0; round < 3; round++) {
        size_t jobs = 0;
        want(&d);
        assert_int_equal(qs_workbench_candidate_want(d.w, false, &e), QS_OK);
        want(&d);
        for (size_t i = 0; i < qs_workbench_jobs(d.w); i++) {
            const struct qs_work *w = qs_workbench_job(d.w, i);
            jobs += w->kind == QS_WORK_CANDIDATE && w->status.state <= QS_JOB_PAUSED;
        }
        assert_int_equal(jobs, 1);
        wait_for(&d);
        want(&d);
        assert_int_equal(qs_workbench_candidate_want(d.w, false, &e), QS_OK);
        desk_wait(&d, settled, NULL);
        assert_null(qs_workbench_candidate(d.w)->candidate);
        assert_false(qs_workbench_candidate(d.w)->wanted);
    }
    desk_end(&d);
}

static void test_another_document(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d, "Q8_0");
    assert_null(qs_workbench_hold(d.w));
    desk_open(&d, wide_model("one.gguf"));
    struct qs_wb_model *held = qs_workbench_hold(d.w);
    want(&d);
    wait_for(&d);
    struct qs_candidate *kept = qs_candidate_ref(qs_workbench_candidate(d.w)->candidate);
    desk_open(&d, wide_model("two.gguf"));
    assert_false(qs_workbench_candidate(d.w)->wanted);
    assert_null(qs_workbench_candidate(d.w)->candidate);
    /* who held on to them can go on */
    assert_ptr_equal(qs_candidate_model(kept), qs_held_model(held));
    assert_string_equal(qs_path_base(qs_held_model(held)->path), "one.gguf");
    qs_candidate_unref(kept);
    qs_workbench_let_go(held);
    desk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_for_the_recipe),  cmocka_unit_test(test_edits_overtake),
        cmocka_unit_test(test_stopped_and_gone_on),  cmocka_unit_test(test_recipe_in_its_own_way),
        cmocka_unit_test(test_another_document),     cmocka_unit_test(test_off_and_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
