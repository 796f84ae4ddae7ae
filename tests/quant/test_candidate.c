/* test_candidate.c - the candidate in memory: the bytes that the writer writes, and what an edit makes anew. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/candidate.h"
#include "core/quant/writer.h"
#include "tests/model/make_model.h"

static struct qs_pool *pool;

static const char *model_of(const char *name, const struct mm_spec *s)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path(name);
    if (!qs_file_exists(path))
        assert_int_equal(mm_file(path, s, &e), QS_OK);
    return path;
}

/* Rows of 256 and more; experts in one of them. */
static const char *dense_model(void)
{
    static const struct mm_spec s = { .layers = 2, .embd = 256, .ff = 512, .vocab = 300, .untied = true };
    return model_of("dense.gguf", &s);
}

static const char *expert_model(void)
{
    static const struct mm_spec s = { .layers = 2, .embd = 256, .ff = 256, .vocab = 64, .experts = 4,
                                      .experts_used = 2 };
    return model_of("experts.gguf", &s);
}

/* In the legacy form; values differ by column, tensor and `seed`. */
static struct qs_imatrix *imatrix_for(const struct qs_model *m, unsigned seed)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *im = NULL;
    int32_t n = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        n += m->tensor[i].n_dims >= 2;
    qs_str_addn(&s, &n, sizeof n);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const int32_t len = (int32_t)strlen(t->name), calls = 1,
                      values = (int32_t)(t->ne[0] * (t->n_dims > 2 ? t->ne[2] : 1));
        if (t->n_dims < 2)
            continue;
        qs_str_addn(&s, &len, sizeof len);
        qs_str_addn(&s, t->name, (size_t)len);
        qs_str_addn(&s, &calls, sizeof calls);
        qs_str_addn(&s, &values, sizeof values);
        for (int32_t k = 0; k < values; k++) {
            const float v = 0.5f + (float)((unsigned)k * 7919u % (11u + (unsigned)i + seed));
            qs_str_addn(&s, &v, sizeof v);
        }
    }
    assert_false(s.failed);
    if (qs_imatrix_open_mem(s.data, s.len, &im, &e))
        fail_msg("%s", e.msg);
    qs_str_free(&s);
    return im;
}

static struct qs_plan *plan_of(const struct qs_model *m, const char *recipe, const struct qs_imatrix *im)
{
    const struct qs_plan_args args = { .imatrix = im };
    struct qs_recipe *r = NULL;
    struct qs_plan *p = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_parse("r", recipe, strlen(recipe), &r, &e) || qs_plan_make(m, r, &args, &p, &e))
        fail_msg("%s: %s", recipe, e.msg);
    qs_recipe_free(r);
    return p;
}

static struct qs_candidate *candidate_of(const struct qs_plan *p, const struct qs_candidate *before)
{
    struct qs_candidate *c = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_candidate_new(p, before, &c, &e) || qs_candidate_run(c, pool, NULL, &e))
        fail_msg("%s", e.msg);
    assert_true(qs_candidate_whole(c));
    return c;
}

/* Every tensor's bytes are those of the file, and so are the error sums. */
static void compare_with_file(const struct qs_plan *plan, const struct qs_candidate *c)
{
    const char *path = qs_test_tmp_path("written.gguf");
    const struct qs_writer_args args = { .path = path, .force = true };
    struct qs_writer_result *result = NULL;
    struct qs_model *file = NULL;
    struct qs_err e = QS_ERR_INIT;
    size_t encoded = 0;
    if (qs_writer_run(plan, &args, pool, NULL, &result, &e) || qs_model_open(path, &file, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(file->n_tensors, plan->n);
    for (size_t i = 0; i < plan->n; i++) {
        struct qs_weight *want, *got = qs_candidate_weight(c, i);
        const struct qs_tensor *t = qs_model_find(file, plan->enc[i].tensor->name);
        assert_non_null(t);
        assert_int_equal(qs_model_weight(file, t, &want, &e), QS_OK);
        assert_int_equal(got->format->id, want->format->id);
        assert_int_equal(got->bytes, want->bytes);
        assert_memory_equal(got->ne, want->ne, sizeof got->ne);
        assert_memory_equal(got->parts.p[0], want->parts.p[0], (size_t)got->bytes);
        assert_int_equal(qs_candidate_shares(c, i), plan->enc[i].copy);
        encoded += !plan->enc[i].copy;
        qs_weight_unref(want);
    }
    const struct qs_error_sums sums = qs_candidate_error(c);
    assert_memory_equal(&sums, &result->total, sizeof sums);
    assert_true(encoded > 0);
    qs_writer_result_free(result);
    qs_model_close(file);
}

static void test_same_bytes_as_the_file(void **state)
{
    static const struct { const char *recipe; bool weighed; } cases[] = {
        { "preset = Q4_K_M\n", false }, { "preset = Q2_K\n", false }, { "preset = Q8_0\n", false },
        { "preset = Q4_K_M\n", true },  { "preset = IQ2_XS\n", true }, { "preset = IQ4_XS\n", true },
        { "preset = Q4_0\npin token_embd.weight = F16\nrule attn_q = Q6_K\nrule ffn_down = Q5_1\n", true },
        { "preset = BF16\n", false },
    };
    (void)state;
    const char *const models[] = { dense_model(), expert_model() };
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct qs_model *model;
            struct qs_err e = QS_ERR_INIT;
            assert_int_equal(qs_model_open(models[m], &model, &e), QS_OK);
            struct qs_imatrix *im = cases[i].weighed ? imatrix_for(model, 0) : NULL;
            struct qs_plan *plan = plan_of(model, cases[i].recipe, im);
            struct qs_candidate *c = candidate_of(plan, NULL);
            compare_with_file(plan, c);
            qs_candidate_unref(c);
            qs_plan_free(plan);
            qs_imatrix_free(im);
            qs_model_close(model);
        }
}

/* ---- edits --------------------------------------------------------------------------------------------------- */

/* What one edit makes anew; the rest is the same weight, by reference, and outlives the candidate before. */
static void test_update_makes_what_changed(void **state)
{
    (void)state;
    struct qs_model *m;
    struct qs_err e = QS_ERR_INIT;
    struct qs_candidate_need need;
    assert_int_equal(qs_model_open(dense_model(), &m, &e), QS_OK);
    struct qs_plan *a = plan_of(m, "preset = Q4_K_M\n", NULL),
                   *b = plan_of(m, "preset = Q4_K_M\nsteady = on\npin blk.1.ffn_up.weight = Q2_K\n", NULL);
    struct qs_candidate *ca = candidate_of(a, NULL);
    const size_t edited = qs_model_index(m, qs_model_find(m, "blk.1.ffn_up.weight"));
    assert_int_equal(qs_candidate_need(b, ca, 2, &need, &e), QS_OK);
    assert_int_equal(need.to_make, m->tensor[edited].n);
    struct qs_candidate *cb = candidate_of(b, ca);
    for (size_t i = 0; i < m->n_tensors; i++)
        assert_int_equal(qs_candidate_weight(ca, i) == qs_candidate_weight(cb, i), i != edited);
    qs_candidate_unref(ca);
    compare_with_file(b, cb);
    /* back again: only that one */
    ca = candidate_of(a, cb);
    compare_with_file(a, ca);
    assert_int_equal(qs_candidate_need(a, ca, 2, &need, &e), QS_OK);
    assert_int_equal(need.to_make, 0);
    assert_int_equal(need.working, 0);
    qs_candidate_unref(ca);
    qs_candidate_unref(cb);
    qs_plan_free(a);
    qs_plan_free(b);
    qs_model_close(m);
}

/* Importance weights are known by what they say. */
static void test_importance_decides(void **state)
{
    (void)state;
    struct qs_model *m;
    struct qs_err e = QS_ERR_INIT;
    struct qs_candidate_need need;
    assert_int_equal(qs_model_open(dense_model(), &m, &e), QS_OK);
    struct qs_imatrix *im[3] = { imatrix_for(m, 0), imatrix_for(m, 0), imatrix_for(m, 5) };
    struct qs_plan *plan[3];
    for (size_t i = 0; i < 3; i++)
        plan[i] = plan_of(m, "preset = Q4_K_S\n", im[i]);
    struct qs_candidate *c = candidate_of(plan[0], NULL);
    assert_int_equal(qs_candidate_need(plan[1], c, 2, &need, &e), QS_OK);
    assert_int_equal(need.to_make, 0); /* the same values, read again */
    struct qs_candidate *other = candidate_of(plan[2], c);
    size_t kept = 0, made = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (!plan[2]->enc[i].copy)
            *(qs_candidate_weight(c, i) == qs_candidate_weight(other, i) ? &kept : &made) += 1;
    assert_true(made > 10 && kept == 0);
    compare_with_file(plan[2], other);
    qs_candidate_unref(other);
    qs_candidate_unref(c);
    for (size_t i = 0; i < 3; i++) {
        qs_plan_free(plan[i]);
        qs_imatrix_free(im[i]);
    }
    qs_model_close(m);
}

/* ---- in a job ------------------------------------------------------------------------------------------------ */

struct stopping { struct qs_candidate *c; };

static int run_and_stop(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct stopping *s = ctx;
    qs_job_cancel(job); /* the first slice that is made is the last */
    return qs_candidate_run(s->c, pool, job, e);
}

static int run_whole(struct qs_job *job, void *ctx, struct qs_err *e)
{
    return qs_candidate_run(((struct stopping *)ctx)->c, pool, job, e);
}

/* Cancelled, it goes on; and what is not whole can be taken over from too. */
static void test_cancel_and_go_on(void **state)
{
    (void)state;
    struct qs_model *m;
    struct qs_job *job;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_model_open(dense_model(), &m, &e), QS_OK);
    struct qs_plan *plan = plan_of(m, "preset = Q4_K_M\n", NULL);
    struct stopping s = { 0 };
    assert_int_equal(qs_candidate_new(plan, NULL, &s.c, &e), QS_OK);
    assert_false(qs_candidate_whole(s.c));
    assert_null(qs_candidate_weight(s.c, 0));
    assert_int_equal(qs_job_start("stop", run_and_stop, &s, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    assert_false(qs_candidate_whole(s.c));
    struct qs_candidate *part = s.c;
    assert_int_equal(qs_candidate_new(plan, part, &s.c, &e), QS_OK);
    qs_candidate_unref(part);
    assert_int_equal(qs_job_start("whole", run_whole, &s, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_status(job, &st);
    assert_true(st.total > 0 && st.done == st.total && st.error > 0);
    assert_string_equal(st.unit, "weights");
    qs_job_free(job);
    compare_with_file(plan, s.c);
    qs_candidate_unref(s.c);
    qs_plan_free(plan);
    qs_model_close(m);
}

/* ---- what it takes ------------------------------------------------------------------------------------------- */

static void test_need_is_what_it_takes(void **state)
{
    (void)state;
    struct qs_model *m;
    struct qs_err e = QS_ERR_INIT;
    struct qs_candidate_need need;
    assert_int_equal(qs_model_open(dense_model(), &m, &e), QS_OK);
    struct qs_plan *plan = plan_of(m, "preset = Q6_K\n", NULL);
    assert_int_equal(qs_candidate_need(plan, NULL, qs_pool_threads(pool), &need, &e), QS_OK);
    assert_int_equal(need.shared + need.scratch + need.heap, plan->bytes);
    assert_true(need.scratch > 0 && need.shared > 0 && need.working > 0 && need.free_disk > 0);
    qs_candidate_unref(candidate_of(plan, NULL)); /* what the model and the pool keep is there from now on */
    const uint64_t held = qs_mem_in_use();
    struct qs_candidate *c = candidate_of(plan, NULL);
    const uint64_t more = qs_mem_in_use() - held; /* private: what lies in scratch files is not */
    assert_true(more >= need.heap && more < need.heap + 64 * 1024);
    qs_candidate_unref(c);
    assert_int_equal(qs_mem_in_use(), held);
    qs_plan_free(plan);
    qs_model_close(m);
}

static void fill_bad(void *ctx, const char *name, uint64_t row, uint64_t cols, float *x)
{
    (void)ctx;
    for (uint64_t i = 0; i < cols; i++)
        x[i] = 0.01f * (float)(i % 13);
    if (strcmp(name, "blk.1.attn_k.weight") == 0 && row == 3)
        x[17] = NAN;
}

/* In the writer's words; a plan that stands in its own way too. */
static void test_refusals(void **state)
{
    static const struct mm_spec bad = { .layers = 2, .embd = 256, .ff = 256, .vocab = 64, .fill = MM_CUSTOM,
                                        .custom = fill_bad };
    (void)state;
    struct qs_model *m;
    struct qs_candidate *c;
    struct qs_recipe *r;
    struct qs_plan *blocked;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_model_open(model_of("bad.gguf", &bad), &m, &e), QS_OK);
    struct qs_plan *plan = plan_of(m, "preset = Q4_K_M\n", NULL);
    assert_int_equal(qs_candidate_new(plan, NULL, &c, &e), QS_OK);
    assert_int_equal(qs_candidate_run(c, pool, NULL, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "blk.1.attn_k.weight"));
    assert_non_null(strstr(e.msg, "row 3, column 17"));
    assert_false(qs_candidate_whole(c));
    qs_candidate_unref(c);
    qs_plan_free(plan);

    const struct qs_plan_args args = { .foretell = true };
    assert_int_equal(qs_recipe_parse("r", "preset = IQ2_XS\n", 16, &r, &e), QS_OK);
    assert_int_equal(qs_plan_make(m, r, &args, &blocked, &e), QS_OK);
    assert_int_equal(qs_candidate_new(blocked, NULL, &c, &e), QS_EINVAL);
    assert_string_equal(e.msg, blocked->blocker.msg);
    qs_recipe_free(r);
    qs_plan_free(blocked);
    qs_model_close(m);
}

static int begin(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    return qs_pool_new(2, &pool, &e);
}

static int end(void **state)
{
    (void)state;
    qs_pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_as_the_file), cmocka_unit_test(test_update_makes_what_changed),
        cmocka_unit_test(test_importance_decides),     cmocka_unit_test(test_cancel_and_go_on),
        cmocka_unit_test(test_need_is_what_it_takes),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
