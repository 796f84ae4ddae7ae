/* test_edits.c - the document and its edits: plan, pins, undo, recipe files, importance matrix, permission. */
#include "tests/workbench/desk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

static int type_now(const struct desk *d, size_t tensor)
{
    return qs_workbench_doc(d->w)->plan->enc[tensor].type;
}

static struct qs_recipe *preset_recipe(const char *name)
{
    struct qs_recipe *r;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_recipe_new(name, &r, &e), QS_OK);
    return r;
}

/* The desk of most tests: a small quantized model is not measured by itself, so nothing runs. */
static void start_quiet(struct desk *d)
{
    struct qs_err e = QS_ERR_INIT;
    desk_start(d, NULL);
    desk_open(d, desk_model("quiet.gguf", QS_Q8_0));
    assert_int_equal(desk_job(d, QS_WORK_SURVEY), 0);
    assert_int_equal(qs_workbench_requantize(d->w, true, &e), QS_OK);
}

static void test_opened_is_the_preset(void **state)
{
    (void)state;
    struct desk d;
    struct qs_plan *plan;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, "Q5_K_S");
    assert_null(qs_workbench_doc(d.w));
    assert_false(qs_workbench_busy(d.w));
    assert_true(isnan(qs_workbench_error(d.w).rms));
    assert_int_equal(qs_workbench_set(d.w, (size_t[]){ 0 }, 1, QS_Q6_K, NULL, &e), QS_EINVAL);
    desk_open(&d, desk_demo());
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    struct qs_recipe *r = preset_recipe("Q5_K_S");
    assert_int_equal(qs_plan_make(doc->model, r, &(struct qs_plan_args){ 0 }, &plan, &e), QS_OK);
    assert_int_equal(doc->plan->bytes, plan->bytes);
    assert_int_equal(doc->baseline->bytes, plan->bytes);
    for (size_t i = 0; i < plan->n; i++)
        assert_int_equal(doc->type[i], plan->enc[i].copy ? QS_TYPE_NONE : plan->enc[i].type);
    assert_false(doc->recipe_changed);
    assert_null(doc->recipe_path);
    assert_int_equal(doc->undos + doc->redos, 0);
    qs_plan_free(plan);
    qs_recipe_free(r);
    desk_end(&d);
}

static void test_steps_and_undo(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    size_t changed;
    start_quiet(&d);
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight");
    char *const start = desk_recipe(&d);
    const uint64_t bytes = qs_workbench_doc(d.w)->plan->bytes, version = qs_workbench_doc(d.w)->version;
    assert_int_equal(type_now(&d, t), QS_Q4_K);
    assert_int_equal(qs_workbench_step(d.w, &t, 1, +1, &changed, &e), QS_OK);
    assert_int_equal(changed, 1);
    assert_int_equal(type_now(&d, t), QS_Q5_K);
    char *const up = desk_recipe(&d);
    assert_true(qs_workbench_doc(d.w)->plan->bytes > bytes);
    assert_int_equal(qs_workbench_doc(d.w)->baseline->bytes, bytes);
    assert_true(qs_workbench_doc(d.w)->version > version);
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    assert_int_equal(qs_workbench_doc(d.w)->undos, 1);
    assert_int_equal(qs_workbench_step(d.w, &t, 1, -1, &changed, &e), QS_OK);
    char *text = desk_recipe(&d); /* the preset gives it anyway: the pin goes */
    assert_string_equal(text, start);
    qs_free(text);
    assert_string_equal(qs_workbench_undo(d.w, NULL), "blk.0.attn_q.weight = Q4_K");
    text = desk_recipe(&d);
    assert_string_equal(text, up);
    qs_free(text);
    assert_string_equal(qs_workbench_undo(d.w, NULL), "blk.0.attn_q.weight = Q5_K");
    assert_null(qs_workbench_undo(d.w, &e));
    assert_int_equal(e.code, QS_ENOTFOUND);
    text = desk_recipe(&d);
    assert_string_equal(text, start);
    qs_free(text);
    assert_int_equal(qs_workbench_doc(d.w)->plan->bytes, bytes);
    assert_false(qs_workbench_doc(d.w)->recipe_changed);
    assert_int_equal(qs_workbench_doc(d.w)->redos, 2);
    assert_non_null(qs_workbench_redo(d.w, NULL));
    text = desk_recipe(&d);
    assert_string_equal(text, up);
    qs_free(text);
    assert_int_equal(type_now(&d, t), QS_Q5_K);
    assert_non_null(qs_workbench_redo(d.w, NULL));
    assert_null(qs_workbench_redo(d.w, NULL));
    qs_free(start);
    qs_free(up);
    desk_end(&d);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    size_t all[64], n = 0, changed;
    start_quiet(&d);
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    for (size_t i = 0; i < doc->model->n_tensors && n < 64; i++)
        if (doc->model->tensor[i].n_dims == 2)
            all[n++] = i;
    assert_int_equal(qs_workbench_set(d.w, all, n, QS_Q6_K, &changed, &e), QS_OK);
    doc = qs_workbench_doc(d.w);
    size_t already = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(type_now(&d, all[i]), QS_Q6_K);
        already += doc->baseline->enc[all[i]].type == QS_Q6_K;
    }
    assert_int_equal(changed, n - already);
    assert_true(already > 0); /* or the next line shows nothing */
    assert_true(doc->recipe->n_pins < n);
    char label[64];
    snprintf(label, sizeof label, "%zu tensors = Q6_K", changed);
    assert_int_equal(doc->undos, 1);
    assert_int_equal(qs_workbench_set(d.w, all, n, QS_Q6_K, &changed, &e), QS_OK); /* nothing to do: no step */
    assert_int_equal(changed, 0);
    assert_int_equal(qs_workbench_doc(d.w)->undos, 1);
    assert_int_equal(qs_workbench_step(d.w, all, n, -1, &changed, &e), QS_OK);
    assert_int_equal(changed, n);
    assert_non_null(strstr(qs_workbench_undo(d.w, NULL), "tensors one step down"));
    assert_int_equal(qs_workbench_set(d.w, all, n, QS_TYPE_NONE, &changed, &e), QS_OK);
    assert_int_equal(changed, n - already);
    assert_int_equal(qs_workbench_doc(d.w)->recipe->n_pins, 0);
    assert_non_null(qs_workbench_undo(d.w, NULL));
    assert_string_equal(qs_workbench_undo(d.w, NULL), label);
    desk_end(&d);
}

/* Presets number ffn_down and, where the recipe is not steady, pass over those that are pinned: what is asked for comes
 * out all the same. */
static void test_numbered_tensors(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec s = { .layers = 16, .embd = 256, .ff = 256, .vocab = 64, .type = QS_Q8_0, .type_set = true };
    size_t down[16];
    char name[64];
    assert_int_equal(mm_file(qs_test_tmp_path("deep.gguf"), &s, &e), QS_OK);
    desk_start(&d, NULL);
    desk_open(&d, qs_test_tmp_path("deep.gguf"));
    assert_int_equal(qs_recipe_set_option(qs_workbench_edit(d.w, &e), QS_SET_STEADY, false, &e), QS_OK);
    assert_int_equal(qs_workbench_commit(d.w, "steady = no", &e), QS_OK);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", i);
        down[i] = desk_tensor(&d, name);
    }
    for (int type = QS_Q4_K; type <= QS_Q6_K; type++) {
        assert_int_equal(qs_workbench_set(d.w, down, 16, type, NULL, &e), QS_OK);
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(type_now(&d, down[i]), type);
    }
    desk_end(&d);
}

/* A document that is made new is steady: one cell is one cell. */
static void test_others_stay(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec s = { .layers = 32, .embd = 256, .ff = 256, .vocab = 64, .fill = MM_SPARSE };
    static const char file[] = "preset = Q4_K_M\n";
    size_t changed;
    assert_int_equal(mm_file(qs_test_tmp_path("steady.gguf"), &s, &e), QS_OK);
    desk_start(&d, "Q4_K_M");
    desk_open(&d, qs_test_tmp_path("steady.gguf"));
    char *text = desk_recipe(&d);
    assert_string_equal(text, "preset = Q4_K_M\nsteady = yes\n");
    qs_free(text);
    const size_t t = desk_tensor(&d, "blk.3.attn_v.weight");
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    assert_false(doc->recipe_changed || doc->baseline->recipe->steady);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, &changed, &e), QS_OK);
    assert_int_equal(changed, 1);
    doc = qs_workbench_doc(d.w);
    for (size_t i = 0; i < doc->plan->n; i++)
        assert_int_equal(doc->plan->enc[i].type, i == t ? QS_Q8_0 : doc->baseline->enc[i].type);
    struct qs_recipe *r = qs_workbench_edit(d.w, &e); /* another preset keeps it */
    assert_int_equal(qs_recipe_set_preset(r, "Q5_K_M", &e), QS_OK);
    assert_int_equal(qs_workbench_commit(d.w, "preset", &e), QS_OK);
    text = desk_recipe(&d);
    assert_string_equal(text, "preset = Q5_K_M\nsteady = yes\npin  blk.3.attn_v.weight = Q8_0\n");
    qs_free(text);
    assert_int_equal(qs_workbench_recipe_load(d.w, qs_test_file("own.recipe", file, sizeof file - 1), &e), QS_OK);
    assert_false(qs_workbench_doc(d.w)->recipe->steady); /* a file says what it says */
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, &changed, &e), QS_OK);
    assert_true(qs_workbench_doc(d.w)->plan->resolved->n_shifted > 0);
    desk_end(&d);
}

static void test_refusals_change_nothing(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    start_quiet(&d);
    const size_t two[] = { desk_tensor(&d, "blk.0.attn_q.weight"), desk_tensor(&d, "blk.0.attn_norm.weight") };
    const size_t beyond = qs_workbench_doc(d.w)->model->n_tensors;
    char *const before = desk_recipe(&d);
    const uint64_t version = qs_workbench_doc(d.w)->version;
    assert_int_equal(qs_workbench_set(d.w, two, 2, QS_Q6_K, NULL, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "blk.0.attn_norm.weight"));
    assert_int_equal(qs_workbench_set(d.w, two, 1, QS_Q8_K, NULL, &e), QS_EINVAL);
    assert_int_equal(qs_workbench_set(d.w, two, 1, 12345, NULL, &e), QS_EINVAL);
    assert_int_equal(qs_workbench_set(d.w, &beyond, 1, QS_Q6_K, NULL, &e), QS_EINVAL);
    assert_int_equal(qs_workbench_commit(d.w, "nothing", &e), QS_EINVAL);
    char *const after = desk_recipe(&d);
    assert_string_equal(before, after);
    assert_int_equal(qs_workbench_doc(d.w)->version, version);
    size_t changed = 7; /* a step leaves those that have no ladder */
    assert_int_equal(qs_workbench_step(d.w, two + 1, 1, +1, &changed, &e), QS_OK);
    assert_int_equal(changed, 0);
    assert_int_equal(qs_workbench_step(d.w, two, 2, +1, &changed, &e), QS_OK);
    assert_int_equal(changed, 1);
    qs_free(before);
    qs_free(after);
    desk_end(&d);
}

static void test_free_edits(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    start_quiet(&d);
    const size_t t = desk_tensor(&d, "blk.1.attn_k.weight");
    struct qs_recipe *r = qs_workbench_edit(d.w, &e);
    assert_non_null(r);
    assert_null(qs_workbench_edit(d.w, &e));
    assert_int_equal(e.code, QS_EBUSY);
    assert_int_equal(qs_workbench_step(d.w, &t, 1, +1, NULL, &e), QS_EBUSY);
    assert_int_equal(qs_recipe_add_rule(r, "attn_k", QS_Q8_0, &e), QS_OK);
    qs_workbench_abandon(d.w);
    assert_int_equal(qs_workbench_doc(d.w)->recipe->n_rules, 0);
    r = qs_workbench_edit(d.w, &e);
    assert_int_equal(qs_recipe_add_rule(r, "attn_k", QS_Q6_K, &e), QS_OK);
    assert_int_equal(qs_recipe_set_preset(r, "Q3_K_M", &e), QS_OK);
    const uint64_t before = qs_workbench_doc(d.w)->baseline->bytes;
    assert_int_equal(qs_workbench_commit(d.w, "rule added", &e), QS_OK);
    assert_int_equal(type_now(&d, t), QS_Q6_K);
    assert_true(qs_workbench_doc(d.w)->baseline->bytes < before); /* another preset */
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q6_K, NULL, &e), QS_OK); /* the rule gives it */
    assert_int_equal(qs_workbench_doc(d.w)->recipe->n_pins, 0);
    assert_string_equal(qs_workbench_undo(d.w, NULL), "rule added");
    assert_int_equal(qs_workbench_doc(d.w)->baseline->bytes, before);
    assert_non_null(qs_workbench_edit(d.w, &e));
    assert_int_equal(qs_workbench_commit(d.w, "nothing", &e), QS_OK); /* no step: redo is still there */
    assert_int_equal(qs_workbench_doc(d.w)->redos, 1);
    desk_end(&d);
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static void test_recipe_files(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    static const char text[] = "# mine\npreset = Q3_K_M\npin blk.0.attn_q.weight = Q8_0 # because\n";
    start_quiet(&d);
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight");
    char *const before = desk_recipe(&d);
    const char *path = qs_test_file("my.recipe", text, sizeof text - 1), *other = qs_test_tmp_path("other.recipe");
    assert_int_equal(qs_workbench_recipe_load(d.w, qs_test_tmp_path("none.recipe"), &e), QS_ENOTFOUND);
    assert_int_equal(qs_workbench_recipe_load(d.w, path, &e), QS_OK);
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    assert_string_equal(doc->recipe_path, path);
    assert_false(doc->recipe_changed);
    assert_int_equal(type_now(&d, t), QS_Q8_0);
    assert_int_equal(doc->undos, 1);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q6_K, NULL, &e), QS_OK);
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    assert_int_equal(qs_workbench_recipe_save(d.w, path, false, &e), QS_EEXISTS);
    assert_int_equal(qs_workbench_recipe_save(d.w, doc->model->path, true, &e), QS_EINVAL);
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    assert_int_equal(qs_workbench_recipe_save(d.w, other, false, &e), QS_OK);
    doc = qs_workbench_doc(d.w);
    assert_string_equal(doc->recipe_path, other);
    assert_false(doc->recipe_changed);
    char *saved, *now = desk_recipe(&d);
    size_t len;
    assert_int_equal(qs_file_read(other, 10000, &saved, &len, &e), QS_OK);
    assert_string_equal(saved, now);
    assert_non_null(strstr(saved, "Q6_K  # because"));
    assert_non_null(qs_workbench_undo(d.w, NULL));
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    assert_string_equal(qs_workbench_undo(d.w, NULL), "recipe my.recipe loaded");
    char *const after = desk_recipe(&d);
    assert_string_equal(after, before);
    qs_free(before);
    qs_free(after);
    qs_free(saved);
    qs_free(now);
    desk_end(&d);
}

/* Two files one after the other: each step back or forth brings along the file whose text it is, so that saving cannot
 * put one recipe into the other's file. */
static void test_files_follow_undo(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    start_quiet(&d);
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight");
    const char *y = qs_test_tmp_path("y.recipe"), *w = qs_test_tmp_path("w.recipe");
    const char *z = qs_test_file("z.recipe", "preset = Q6_K\n", 14);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, NULL, &e), QS_OK);
    assert_int_equal(qs_workbench_recipe_save(d.w, y, true, &e), QS_OK);
    assert_int_equal(qs_workbench_recipe_load(d.w, z, &e), QS_OK);
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, z);
    assert_non_null(qs_workbench_undo(d.w, &e)); /* the load */
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, y);
    assert_false(qs_workbench_doc(d.w)->recipe_changed);
    assert_non_null(qs_workbench_undo(d.w, &e)); /* the type: y is still its file, which has more */
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, y);
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    assert_non_null(qs_workbench_redo(d.w, &e));
    assert_non_null(qs_workbench_redo(d.w, &e));
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, z);
    assert_false(qs_workbench_doc(d.w)->recipe_changed);
    assert_int_equal(qs_workbench_recipe_save(d.w, w, true, &e), QS_OK); /* no step, and behind the load */
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, y);
    assert_non_null(qs_workbench_redo(d.w, &e));
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, w);
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q5_K, NULL, &e), QS_OK); /* the load is gone for good */
    assert_string_equal(qs_workbench_doc(d.w)->recipe_path, y);
    assert_true(qs_workbench_doc(d.w)->recipe_changed);
    desk_end(&d);
}

static void test_imatrix(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    start_quiet(&d);
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    const struct qs_survey *survey = doc->survey;
    const uint64_t version = doc->version, logged = qs_log_version(qs_workbench_log(d.w));
    assert_int_equal(qs_workbench_imatrix(d.w, desk_imatrix(&d, "wrong.dat", 7), &e), QS_OK);
    assert_true(qs_workbench_imatrix_reading(d.w));
    desk_wait(&d, desk_read, NULL);
    assert_int_equal(qs_workbench_imatrix_error(d.w)->code, QS_EINVAL);
    assert_non_null(strstr(qs_workbench_imatrix_error(d.w)->msg, "another model"));
    assert_int_equal(qs_workbench_imatrix(d.w, qs_test_tmp_path("none.dat"), &e), QS_OK);
    desk_wait(&d, desk_read, NULL);
    assert_int_equal(qs_workbench_imatrix_error(d.w)->code, QS_ENOTFOUND);
    assert_int_equal(qs_log_version(qs_workbench_log(d.w)), logged + 2);
    doc = qs_workbench_doc(d.w);
    assert_null(doc->imatrix);
    assert_ptr_equal(doc->survey, survey);
    assert_int_equal(doc->version, version);
    const char *path = desk_imatrix(&d, "right.dat", 0);
    desk_take_imatrix(&d, path);
    doc = qs_workbench_doc(d.w);
    assert_string_equal(doc->imatrix_path, path);
    assert_ptr_equal(doc->plan->imatrix, doc->imatrix);
    assert_ptr_equal(doc->baseline->imatrix, doc->imatrix);
    assert_true(doc->survey->weighted);
    assert_true(doc->version > version);
    assert_int_equal(qs_workbench_imatrix(d.w, NULL, &e), QS_OK);
    assert_null(qs_workbench_doc(d.w)->imatrix);
    assert_false(qs_workbench_doc(d.w)->survey->weighted);
    desk_end(&d);
}

/* A cell depends on the matrix only where the matrix has its tensor: what is known of the others stays known. */
static void test_imatrix_keeps_the_rest(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("rest.gguf", QS_Q8_0)); /* measured for what is asked for alone */
    const size_t q = desk_tensor(&d, "blk.0.attn_q.weight"), k = desk_tensor(&d, "blk.0.attn_k.weight");
    qs_workbench_want_type(d.w, QS_Q4_K);
    desk_wait(&d, desk_idle, NULL);
    assert_true(desk_known(&d, q, QS_Q4_K) && desk_known(&d, k, QS_Q4_K));
    desk_take_imatrix(&d, desk_imatrix_of(&d, "one.dat", q));
    assert_false(desk_known(&d, q, QS_Q4_K));
    assert_true(desk_known(&d, k, QS_Q4_K));
    assert_int_equal(qs_survey_counts(qs_workbench_doc(d.w)->survey).measured, 0);
    /* of two at the same time the last one counts; none, at once, is later than both */
    const char *all = desk_imatrix(&d, "all.dat", 0);
    assert_int_equal(qs_workbench_imatrix(d.w, qs_test_tmp_path("none.dat"), &e), QS_OK);
    desk_take_imatrix(&d, all);
    assert_string_equal(qs_workbench_doc(d.w)->imatrix_path, all);
    assert_int_equal(qs_workbench_imatrix(d.w, all, &e), QS_OK);
    assert_int_equal(qs_workbench_imatrix(d.w, NULL, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_false(qs_workbench_imatrix_reading(d.w));
    assert_null(qs_workbench_doc(d.w)->imatrix);
    assert_int_equal(qs_workbench_imatrix_error(d.w)->code, QS_OK);
    /* a model that is opened meanwhile has none */
    assert_int_equal(qs_workbench_imatrix(d.w, all, &e), QS_OK);
    desk_open(&d, desk_model("rest2.gguf", QS_Q8_0));
    desk_wait(&d, desk_idle, NULL);
    assert_null(qs_workbench_doc(d.w)->imatrix);
    desk_end(&d);
}

static void test_permission(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("low.gguf", QS_Q5_0));
    assert_int_equal(qs_workbench_doc(d.w)->plan->blocker.code, QS_EINVAL);
    assert_non_null(qs_workbench_doc(d.w)->baseline);
    assert_int_equal(qs_workbench_write(d.w, &(struct qs_write_request){ 0 }, NULL, &e), QS_EINVAL);
    struct qs_writer_forecast f;
    assert_int_equal(qs_workbench_forecast(d.w, &(struct qs_write_request){ 0 }, &f, NULL, &e), QS_OK);
    assert_int_equal(f.refusal.code, QS_EINVAL);
    assert_int_equal(qs_workbench_requantize(d.w, true, &e), QS_OK);
    assert_true(qs_workbench_doc(d.w)->allow_requantize);
    assert_int_equal(qs_workbench_doc(d.w)->plan->blocker.code, QS_OK);
    assert_int_equal(qs_workbench_doc(d.w)->baseline->blocker.code, QS_OK);
    struct qs_str path = QS_STR_INIT;
    assert_int_equal(qs_workbench_forecast(d.w, &(struct qs_write_request){ 0 }, &f, &path, &e), QS_OK);
    assert_int_equal(f.refusal.code, QS_OK);
    assert_true(f.bytes > qs_workbench_doc(d.w)->plan->bytes);
    assert_string_equal(qs_path_base(path.data), "low.Q4_K_M.gguf");
    qs_str_free(&path);
    desk_end(&d);
}

/* ---- memory runs out ----------------------------------------------------------------------------------------- */

struct paths { struct desk desk; size_t tensor; char *model, *recipe, *imatrix; };

static int edit_a_little(struct qs_workbench *w, const struct paths *p, struct qs_err *e)
{
    const size_t t = p->tensor;
    const struct qs_doc *doc = qs_workbench_doc(w);
    const uint64_t version = doc->version, bytes = doc->plan->bytes;
    int rc = qs_workbench_step(w, &t, 1, +1, NULL, e);
    if (rc) { /* it is as it was */
        assert_int_equal(qs_workbench_doc(w)->version, version);
        assert_int_equal(qs_workbench_doc(w)->plan->bytes, bytes);
        assert_int_equal(qs_workbench_doc(w)->recipe->n_pins, 0);
        return rc;
    }
    if (!qs_workbench_undo(w, NULL) || !qs_workbench_redo(w, NULL))
        return qs_fail_mem(e, 0, "undo");
    struct desk d = { .w = w, .pool = p->desk.pool, .pipe = { p->desk.pipe[0], p->desk.pipe[1] } };
    rc = qs_workbench_imatrix(w, p->imatrix, e);
    if (!rc)
        desk_wait(&d, desk_read, NULL);
    if (!rc && qs_workbench_imatrix_error(w)->code) {
        *e = *qs_workbench_imatrix_error(w);
        rc = (int)e->code;
    }
    if (!rc)
        rc = qs_workbench_recipe_save(w, p->recipe, true, e);
    if (!rc)
        rc = qs_workbench_recipe_load(w, p->recipe, e);
    struct qs_writer_forecast f;
    if (!rc)
        rc = qs_workbench_forecast(w, &(struct qs_write_request){ 0 }, &f, NULL, e);
    return rc ? rc : f.refusal.code == QS_ENOMEM ? qs_fail_mem(e, 0, "forecast") : QS_OK;
}

static int main_path(void *ctx, struct qs_err *e)
{
    struct paths *p = ctx;
    const struct qs_workbench_args args = { .pool = p->desk.pool, .wake_fd = p->desk.pipe[1] };
    struct desk d = p->desk;
    int rc = qs_workbench_new(&args, &d.w, e);
    if (rc)
        return rc;
    rc = qs_workbench_open(d.w, p->model, e);
    if (!rc)
        desk_wait(&d, desk_opened, NULL);
    if (!rc && qs_workbench_open_error(d.w)->code) {
        *e = *qs_workbench_open_error(d.w);
        rc = (int)e->code;
    }
    if (!rc)
        rc = qs_workbench_requantize(d.w, true, e);
    if (!rc)
        rc = edit_a_little(d.w, p, e);
    qs_workbench_free(d.w);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct paths p;
    start_quiet(&p.desk);
    p.tensor = desk_tensor(&p.desk, "blk.0.attn_q.weight");
    p.model = qs_strdup(qs_workbench_doc(p.desk.w)->model->path);
    p.imatrix = qs_strdup(desk_imatrix(&p.desk, "memory.dat", 0));
    p.recipe = qs_strdup(qs_test_tmp_path("memory.recipe"));
    struct qs_workbench *const own = p.desk.w;
    qs_test_each_alloc(main_path, &p);
    p.desk.w = own;
    qs_free(p.model);
    qs_free(p.imatrix);
    qs_free(p.recipe);
    desk_end(&p.desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opened_is_the_preset), cmocka_unit_test(test_steps_and_undo),
        cmocka_unit_test(test_many_at_once),         cmocka_unit_test(test_numbered_tensors),
        cmocka_unit_test(test_others_stay),
        cmocka_unit_test(test_refusals_change_nothing), cmocka_unit_test(test_free_edits),
        cmocka_unit_test(test_recipe_files), cmocka_unit_test(test_files_follow_undo),
        cmocka_unit_test(test_imatrix), cmocka_unit_test(test_imatrix_keeps_the_rest),
        
        cmocka_unit_test(test_permission),           cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
