/* test_work.c - jobs of the workbench: opening, measuring and what goes first, writing, zoom, and the list of them all.
 * */
#include "tests/workbench/desk.h"

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/report/report_map.h"
#include "core/workbench.h"

/* ---- measuring ----------------------------------------------------------------------------------------------- */

static const char *small_model(const char *name)
{
    const struct mm_spec s = { .layers = 2, .embd = 256, .ff = 256, .vocab = 64, .untied = true };
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path(name);
    assert_int_equal(mm_file(path, &s, &e), QS_OK);
    return path;
}

/* Cells of matrices that are known, under the recipe or beside it, leaving out one tensor (SIZE_MAX: none). */
static size_t count_known(const struct desk *d, bool recipe, size_t but, size_t *of)
{
    const struct qs_doc *doc = qs_workbench_doc(d->w);
    size_t known = 0;
    *of = 0;
    for (size_t i = 0; i < doc->model->n_tensors; i++)
        for (size_t k = 0; k < doc->survey->n_types; k++) {
            const int type = doc->survey->type[k];
            const struct qs_tensor *t = &doc->model->tensor[i];
            struct qs_survey_cell c;
            if (t->n_dims < 2 || i == but || type == t->type || (doc->plan->enc[i].type == type) != recipe)
                continue;
            const bool is_known = qs_survey_cell(doc->survey, t, type, &c);
            if (is_known && type == QS_F32)
                continue; /* holds the weights: known without measuring */
            known += is_known;
            *of += is_known || c.gap == QS_GAP_NOT_MEASURED;
        }
    return known;
}

/* What has been measured beside the recipe tells that the recipe's cells were there before. */
static bool recipe_first(const struct desk *d, const void *ctx)
{
    (void)ctx;
    size_t rest, all;
    const size_t beside = count_known(d, false, SIZE_MAX, &rest), recipe = count_known(d, true, SIZE_MAX, &all);
    assert_true(rest > all && all > 0);
    assert_true(beside == 0 || recipe == all);
    return beside == rest;
}

static double map_total(const struct desk *d)
{
    const struct qs_doc *doc = qs_workbench_doc(d->w);
    const struct qs_heat_args args = { .measure = QS_MAP_ERROR, .type = doc->type, .scale = -1 };
    struct qs_heat *h;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_heat_make(doc->model, doc->survey, &args, &h, &e), QS_OK);
    const double total = h->total;
    qs_heat_free(h);
    return total;
}

static const char *last_line(const struct desk *d)
{
    const struct qs_log *l = qs_workbench_log(d->w);
    return qs_log_at(l, qs_log_count(l) - 1)->text;
}

static void test_measures_by_itself(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    struct hold *h = desk_hold(d.pool);
    desk_open(&d, small_model("self.gguf"));
    assert_true(desk_job(&d, QS_WORK_SURVEY) != 0);
    assert_true(qs_workbench_busy(d.w));
    assert_true(isnan(qs_workbench_error(d.w).rms));
    desk_release(h);
    desk_wait(&d, recipe_first, NULL);
    desk_wait(&d, desk_idle, NULL);
    assert_false(qs_workbench_poll(d.w)); /* nothing moves any more */
    assert_false(qs_workbench_busy(d.w));
    const struct qs_total_error total = qs_workbench_error(d.w);
    assert_int_equal(total.known, total.tensors);
    assert_true(total.tensors > 10 && total.rms > 0 && total.rms < 0.2);
    assert_true(fabs(total.rms - map_total(&d)) < 1e-12);
    /* an edit asks only for what it changed, and the total follows: all of it is known here */
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight");
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q2_K, NULL, &e), QS_OK);
    assert_int_equal(desk_job(&d, QS_WORK_SURVEY), 0);
    assert_true(qs_workbench_error(d.w).rms > total.rms);
    assert_non_null(qs_workbench_undo(d.w, NULL));
    assert_true(qs_workbench_error(d.w).rms == total.rms);
    desk_end(&d);
}

static bool focus_first(const struct desk *d, const void *ctx)
{
    const struct qs_doc *doc = qs_workbench_doc(d->w);
    const size_t focus = *(const size_t *)ctx;
    size_t rest, open = 0;
    const size_t beside = count_known(d, false, focus, &rest);
    for (size_t k = 0; k < doc->survey->n_types; k++) {
        struct qs_survey_cell c;
        open += !qs_survey_cell(doc->survey, &doc->model->tensor[focus], doc->survey->type[k], &c) &&
                c.gap == QS_GAP_NOT_MEASURED;
    }
    assert_true(beside == 0 || open == 0);
    return open == 0;
}

static void test_focus_goes_first(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d, NULL);
    struct hold *h = desk_hold(d.pool);
    desk_open(&d, small_model("focus.gguf"));
    const size_t last = desk_tensor(&d, "blk.1.ffn_up.weight"), other = desk_tensor(&d, "blk.1.attn_k.weight");
    qs_workbench_focus(d.w, other);
    qs_workbench_focus(d.w, last); /* takes its place */
    const unsigned one = desk_job(&d, QS_WORK_SURVEY);
    desk_release(h);
    desk_wait(&d, focus_first, &last);
    qs_workbench_job_cancel(d.w, one);
    desk_wait(&d, desk_ended, &one);
    desk_end(&d);
}

static size_t count_type(const struct desk *d, int type)
{
    size_t n = 0;
    for (size_t i = 0; i < qs_workbench_doc(d->w)->model->n_tensors; i++)
        n += desk_known(d, i, type);
    return n;
}

/* A model that is quantized already is measured for what is asked for alone. */
static void test_measures_what_is_asked(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_survey_cell c;
    struct qs_survey_stats x;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("asked.gguf", QS_Q8_0));
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    const size_t q = desk_tensor(&d, "blk.0.attn_q.weight"), k = desk_tensor(&d, "blk.0.attn_k.weight");
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_survey_counts(doc->survey).measured, 0);
    qs_workbench_focus(d.w, q);
    assert_true(desk_job(&d, QS_WORK_SURVEY) != 0);
    desk_wait(&d, desk_idle, NULL);
    assert_true(desk_known(&d, q, QS_Q4_K) && desk_known(&d, q, QS_Q2_K));
    assert_false(desk_known(&d, k, QS_Q4_K));
    qs_workbench_want_type(d.w, QS_Q3_K);
    desk_wait(&d, desk_idle, NULL);
    assert_true(count_type(&d, QS_Q3_K) > 10);
    assert_int_equal(count_type(&d, QS_Q6_K), 1);
    assert_int_equal(qs_workbench_requantize(d.w, true, &e), QS_OK);
    assert_int_equal(qs_workbench_set(d.w, &k, 1, QS_Q6_K, NULL, &e), QS_OK); /* an edit asks for its tensor */
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(count_type(&d, QS_Q6_K), 2);
    qs_workbench_want_whole(d.w, k, QS_Q5_0);
    qs_workbench_want_stats(d.w);
    desk_wait(&d, desk_idle, NULL);
    doc = qs_workbench_doc(d.w);
    assert_true(qs_survey_cell(doc->survey, &doc->model->tensor[k], QS_Q5_0, &c));
    assert_int_equal(c.how, QS_HOW_WHOLE);
    assert_true(qs_survey_stats(doc->survey, &doc->model->tensor[q], &x));
    assert_int_equal(count_type(&d, QS_Q5_0), 2); /* q was in focus */
    const size_t jobs = qs_workbench_jobs(d.w);
    qs_workbench_want_stats(d.w); /* once */
    qs_workbench_focus(d.w, q);   /* known */
    assert_int_equal(qs_workbench_jobs(d.w), jobs);
    desk_end(&d);
}

static void test_survey_is_cancelled(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    struct hold *h = desk_hold(d.pool);
    desk_open(&d, small_model("stopped.gguf"));
    const unsigned first = desk_job(&d, QS_WORK_SURVEY);
    assert_int_equal(qs_workbench_job_resume(d.w, first, &e), QS_EINVAL); /* it runs */
    qs_workbench_job_pause(d.w, first, true);
    desk_release(h);
    desk_wait(&d, desk_paused, &first);
    assert_true(qs_workbench_job_by_id(d.w, first)->pause_wanted);
    assert_false(qs_workbench_busy(d.w));
    qs_workbench_want_type(d.w, QS_Q3_K); /* forgotten by what follows */
    qs_workbench_want_stats(d.w);
    qs_workbench_job_cancel(d.w, first);
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_workbench_job_by_id(d.w, first)->status.state, QS_JOB_CANCELLED);
    assert_true(count_type(&d, QS_Q3_K) <= 1);
    const size_t t = desk_tensor(&d, "blk.1.attn_v.weight");
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q5_1, NULL, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_true(desk_known(&d, t, QS_Q5_1));
    assert_true(count_type(&d, QS_Q3_K) <= 1);
    qs_workbench_want_stats(d.w); /* not done yet: it can be asked for again */
    assert_true(desk_job(&d, QS_WORK_SURVEY) != 0);
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_workbench_job_resume(d.w, first, &e), QS_OK);
    const unsigned again = desk_job(&d, QS_WORK_SURVEY);
    assert_true(again > first);
    desk_wait(&d, desk_idle, NULL);
    assert_true(count_type(&d, QS_Q3_K) > 10);
    desk_end(&d);
}

/* What is asked for when the job has looked for the last time, and nobody has noticed its end yet. */
static void test_asked_too_late(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("late.gguf", QS_Q8_0));
    struct qs_survey *const survey = qs_workbench_doc(d.w)->survey;
    const size_t q = desk_tensor(&d, "blk.0.attn_q.weight"), k = desk_tensor(&d, "blk.0.attn_k.weight");
    struct hold *h = desk_hold(d.pool);
    qs_workbench_focus(d.w, q);
    const unsigned first = desk_job(&d, QS_WORK_SURVEY);
    desk_release(h);
    while (!desk_known(&d, q, QS_Q6_K) || qs_survey_measure(survey, NULL, 0, NULL, NULL, d.pool, NULL, &e) == QS_EBUSY)
        sched_yield();
    qs_workbench_focus(d.w, k);
    assert_int_equal(desk_job(&d, QS_WORK_SURVEY), first); /* as far as anybody knows */
    desk_wait(&d, desk_idle, NULL);
    assert_true(desk_known(&d, k, QS_Q6_K));
    assert_true(qs_workbench_job(d.w, 0)->id > first);
    /* the same between cancelling and its effect */
    h = desk_hold(d.pool);
    qs_workbench_want_type(d.w, QS_Q6_K);
    const unsigned second = desk_job(&d, QS_WORK_SURVEY);
    qs_workbench_job_cancel(d.w, second);
    qs_workbench_focus(d.w, desk_tensor(&d, "blk.1.attn_k.weight"));
    desk_release(h);
    desk_wait(&d, desk_idle, NULL);
    assert_true(desk_known(&d, desk_tensor(&d, "blk.1.attn_k.weight"), QS_Q5_K));
    assert_false(desk_known(&d, desk_tensor(&d, "blk.1.ffn_up.weight"), QS_Q6_K));
    desk_end(&d);
}

/* The file was changed underneath: it is measured no more until something changes, or a person asks. */
static void test_failing_is_not_repeated(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    static const struct timespec past[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    desk_start(&d, NULL);
    desk_open(&d, desk_model("changed.gguf", QS_Q8_0));
    const size_t q = desk_tensor(&d, "blk.0.attn_q.weight"), k = desk_tensor(&d, "blk.0.attn_k.weight");
    struct qs_log *const log = qs_workbench_log(d.w);
    assert_int_equal(utimensat(AT_FDCWD, qs_workbench_doc(d.w)->model->path, past, 0), 0);
    qs_workbench_focus(d.w, q);
    desk_wait(&d, desk_idle, NULL);
    const size_t jobs = qs_workbench_jobs(d.w);
    const uint64_t logged = qs_log_version(log);
    const struct qs_work failed = *qs_workbench_job(d.w, 0);
    assert_int_equal(failed.status.state, QS_JOB_FAILED);
    assert_true(failed.resumable);
    assert_string_equal(failed.word, "measuring");
    qs_workbench_focus(d.w, k);
    qs_workbench_want_type(d.w, QS_Q3_K);
    qs_workbench_want_stats(d.w);
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_workbench_jobs(d.w), jobs);
    assert_int_equal(qs_log_version(log), logged);
    assert_int_equal(qs_workbench_requantize(d.w, true, &e), QS_OK);
    assert_int_equal(qs_workbench_set(d.w, &k, 1, QS_Q5_1, NULL, &e), QS_OK); /* once for an edit */
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_workbench_jobs(d.w), jobs + 1);
    qs_workbench_focus(d.w, q);
    assert_int_equal(desk_job(&d, QS_WORK_SURVEY), 0);
    assert_int_equal(qs_workbench_job_resume(d.w, failed.id, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_int_equal(qs_workbench_jobs(d.w), jobs + 2);
    desk_end(&d);
}

/* ---- work of others ------------------------------------------------------------------------------------------ */

struct other { unsigned freed; int rc; };

/* Goes on until it is cancelled, or at once with a result. */
static int others_work(struct qs_job *job, void *ctx, struct qs_err *e)
{
    const struct other *o = ctx;
    if (o->rc)
        return qs_fail(e, (enum qs_code)o->rc, "there is nothing there");
    qs_job_phase(job, "look", "files", 0);
    int rc = QS_OK;
    while (!rc)
        rc = qs_job_step(job, 1, e);
    return rc;
}

static void others_end(void *ctx)
{
    ((struct other *)ctx)->freed++;
}

static void test_work_of_others(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct other o = { 0 }, fails = { .rc = QS_ENOTFOUND };
    unsigned id = 0, second = 0;
    desk_start(&d, NULL);
    assert_int_equal(qs_workbench_start(d.w, "looking", "a\x1btitle", others_work, &o, others_end, &id, &e), QS_OK);
    const struct qs_work *x = qs_workbench_job_by_id(d.w, id);
    assert_int_equal(x->kind, QS_WORK_OTHER);
    assert_string_equal(x->word, "looking");
    assert_null(strchr(x->status.title, 0x1b));
    qs_workbench_job_pause(d.w, id, true);
    desk_wait(&d, desk_paused, &id);
    assert_int_equal(o.freed, 0);
    qs_workbench_job_cancel(d.w, id);
    desk_wait(&d, desk_ended, &id);
    x = qs_workbench_job_by_id(d.w, id);
    assert_int_equal(x->status.state, QS_JOB_CANCELLED);
    assert_false(x->resumable);
    assert_int_equal(qs_workbench_job_resume(d.w, id, &e), QS_EUNSUPPORTED);
    assert_int_equal(o.freed, 1);
    assert_int_equal(qs_workbench_start(d.w, "looking", "once more", others_work, &fails, others_end, &second, &e),
                     QS_OK);
    desk_wait(&d, desk_ended, &second);
    assert_int_equal(qs_workbench_job_by_id(d.w, second)->status.state, QS_JOB_FAILED);
    assert_non_null(strstr(last_line(&d), "once more: there is nothing there"));
    assert_int_equal(fails.freed, 1);
    assert_int_equal(qs_workbench_start(d.w, "looking", "to the end", others_work, &o, others_end, NULL, &e), QS_OK);
    desk_end(&d);
    assert_int_equal(o.freed, 2);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* What the writer makes of the plan as it is now, without a workbench. */
static const char *written_directly(const struct desk *d, const char *name)
{
    const struct qs_doc *doc = qs_workbench_doc(d->w);
    const char *path = qs_test_tmp_path(name);
    const struct qs_writer_args args = { .path = path, .imatrix_path = doc->imatrix_path };
    struct qs_writer_result *x;
    struct qs_err e = QS_ERR_INIT;
    if (qs_writer_run(doc->plan, &args, d->pool, NULL, &x, &e))
        fail_msg("%s", e.msg);
    qs_writer_result_free(x);
    return path;
}

static void test_write_while_editing(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    unsigned id;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("edit.gguf", QS_F16));
    const size_t t = desk_tensor(&d, "blk.0.ffn_up.weight");
    const char *direct = written_directly(&d, "direct.gguf"), *path = qs_test_tmp_path("job.gguf");
    const struct qs_write_request q = { .path = path };
    struct hold *h = desk_hold(d.pool);
    assert_int_equal(qs_workbench_write(d.w, &q, &id, &e), QS_OK);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, NULL, &e), QS_OK);
    const struct qs_work *x = qs_workbench_job_by_id(d.w, id);
    assert_int_equal(x->kind, QS_WORK_WRITE);
    assert_string_equal(x->path, path);
    assert_int_equal(x->plan->enc[t].type, QS_Q4_K);
    assert_non_null(x->watch);
    assert_null(x->result);
    desk_release(h);
    desk_wait(&d, desk_ended, &id);
    x = qs_workbench_job_by_id(d.w, id);
    assert_int_equal(x->status.state, QS_JOB_DONE);
    assert_int_equal(x->result->bytes, qs_workbench_job_by_id(d.w, id)->result->bytes);
    desk_same_files(direct, path);
    struct qs_writer_totals totals;
    qs_writer_watch_totals(x->watch, &totals);
    assert_int_equal(totals.n[QS_WRITER_DONE] + totals.n[QS_WRITER_COPIED], x->plan->n);
    assert_int_equal(qs_workbench_write(d.w, &q, &id, &e), QS_EEXISTS); /* at once, without a job */
    const struct qs_write_request over = { .path = qs_workbench_doc(d.w)->model->path, .overwrite = true };
    assert_int_equal(qs_workbench_write(d.w, &over, &id, &e), QS_EINVAL);
    desk_end(&d);
}

static void test_cancel_and_resume(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    unsigned id;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("resume.gguf", QS_F16));
    const size_t t = desk_tensor(&d, "blk.0.ffn_up.weight");
    const char *direct = written_directly(&d, "straight.gguf"), *path = qs_test_tmp_path("resumed.gguf");
    struct hold *h = desk_hold(d.pool);
    assert_int_equal(qs_workbench_write(d.w, &(struct qs_write_request){ .path = path }, &id, &e), QS_OK);
    qs_workbench_job_pause(d.w, id, true);
    desk_release(h);
    desk_wait(&d, desk_paused, &id);
    qs_workbench_job_dismiss(d.w, id); /* not while it runs */
    qs_workbench_job_cancel(d.w, id);
    desk_wait(&d, desk_ended, &id);
    assert_int_equal(qs_workbench_job_by_id(d.w, id)->status.state, QS_JOB_CANCELLED);
    assert_false(qs_file_exists(path));
    assert_non_null(strstr(last_line(&d), "resum"));
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, NULL, &e), QS_OK); /* the job keeps its plan */
    assert_int_equal(qs_workbench_job_resume(d.w, id, &e), QS_OK);
    const unsigned again = desk_job(&d, QS_WORK_WRITE);
    assert_true(again > id);
    qs_workbench_job_dismiss(d.w, id); /* the other one does not need it */
    assert_null(qs_workbench_job_by_id(d.w, id));
    desk_wait(&d, desk_ended, &again);
    assert_int_equal(qs_workbench_job_by_id(d.w, again)->status.state, QS_JOB_DONE);
    desk_same_files(direct, path);
    assert_int_equal(qs_workbench_job_resume(d.w, again, &e), QS_EINVAL);
    assert_int_equal(qs_workbench_job_resume(d.w, id, &e), QS_ENOTFOUND);
    desk_end(&d);
}

/* ---- documents that come and go ------------------------------------------------------------------------------ */

static void test_another_model_meanwhile(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    unsigned id;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("first.gguf", QS_F16));
    const char *direct = written_directly(&d, "first-direct.gguf"), *path = qs_test_tmp_path("first-job.gguf");
    struct hold *h = desk_hold(d.pool);
    assert_int_equal(qs_workbench_write(d.w, &(struct qs_write_request){ .path = path }, &id, &e), QS_OK);
    qs_workbench_want_stats(d.w);
    const unsigned survey = desk_job(&d, QS_WORK_SURVEY);
    assert_true(survey != 0);
    desk_open(&d, desk_model("second.gguf", QS_Q8_0));
    assert_string_equal(qs_path_base(qs_workbench_doc(d.w)->model->path), "second.gguf");
    assert_non_null(strstr(qs_workbench_job_by_id(d.w, id)->plan->model->path, "first.gguf"));
    desk_release(h);
    desk_wait(&d, desk_idle, NULL);
    assert_null(qs_workbench_job_by_id(d.w, survey)); /* nobody can look at it */
    assert_int_equal(qs_workbench_job_by_id(d.w, id)->status.state, QS_JOB_DONE);
    desk_same_files(direct, path);
    qs_workbench_job_dismiss(d.w, id);
    assert_non_null(qs_workbench_doc(d.w)->plan);
    desk_end(&d);
}

static void test_freed_with_jobs(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    struct hold *h = desk_hold(d.pool);
    desk_open(&d, desk_demo());
    const char *path = qs_test_tmp_path("never.gguf");
    assert_int_equal(qs_workbench_write(d.w, &(struct qs_write_request){ .path = path }, NULL, &e), QS_OK);
    assert_non_null(qs_workbench_zoom(d.w, desk_tensor(&d, "blk.0.attn_q.weight"), QS_Q4_K, 8, 8, &e));
    assert_int_equal(qs_workbench_open(d.w, desk_demo(), &e), QS_OK);
    assert_true(desk_job(&d, QS_WORK_SURVEY) && desk_job(&d, QS_WORK_ZOOM) && desk_job(&d, QS_WORK_WRITE));
    for (size_t i = 0; i < qs_workbench_jobs(d.w); i++)
        if (qs_workbench_job(d.w, i)->kind != QS_WORK_OPEN)
            qs_workbench_job_pause(d.w, qs_workbench_job(d.w, i)->id, true);
    desk_release(h);
    desk_end(&d);
    assert_false(qs_file_exists(path));
}

static void test_broken_file(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    assert_int_equal(qs_workbench_open(d.w, qs_test_file("broken.gguf", "GGUF", 4), &e), QS_OK);
    desk_wait(&d, desk_opened, NULL);
    assert_null(qs_workbench_doc(d.w));
    assert_int_equal(qs_workbench_open_error(d.w)->code, QS_EFORMAT);
    desk_open(&d, desk_model("good.gguf", QS_Q8_0)); /* the error is gone */
    const uint64_t bytes = qs_workbench_doc(d.w)->plan->bytes, logged = qs_log_version(qs_workbench_log(d.w));
    assert_int_equal(qs_workbench_open(d.w, qs_test_tmp_path("none.gguf"), &e), QS_OK);
    desk_wait(&d, desk_opened, NULL);
    assert_int_equal(qs_workbench_open_error(d.w)->code, QS_ENOTFOUND);
    assert_int_equal(qs_workbench_doc(d.w)->plan->bytes, bytes);
    assert_int_equal(qs_log_version(qs_workbench_log(d.w)), logged + 1);
    assert_non_null(strstr(last_line(&d), "none.gguf"));
    /* of two at the same time the last one counts */
    assert_int_equal(qs_workbench_open(d.w, desk_demo(), &e), QS_OK);
    assert_int_equal(qs_workbench_open(d.w, desk_model("last.gguf", QS_Q8_0), &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_string_equal(qs_path_base(qs_workbench_doc(d.w)->model->path), "last.gguf");
    desk_end(&d);
}

/* ---- zoom, and the list -------------------------------------------------------------------------------------- */

static void test_zoom(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_zoom_view *v;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("zoom.gguf", QS_Q8_0));
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight"), norm = desk_tensor(&d, "blk.0.attn_norm.weight");
    assert_null(qs_workbench_zoom(d.w, norm, QS_Q4_K, 8, 8, &e));
    assert_int_equal(e.code, QS_EINVAL);
    assert_null(qs_workbench_zoom(d.w, SIZE_MAX, QS_Q4_K, 8, 8, &e));
    struct hold *h = desk_hold(d.pool);
    assert_non_null(qs_workbench_zoom(d.w, t, QS_Q8_0, 8, 8, &e));
    const unsigned first = desk_job(&d, QS_WORK_ZOOM);
    struct qs_zoom *z = qs_workbench_zoom(d.w, t, QS_Q4_K, 8, 8, &e);
    assert_non_null(z);
    desk_release(h);
    desk_wait(&d, desk_idle, NULL);
    assert_null(qs_workbench_job_by_id(d.w, first)); /* replaced */
    assert_int_equal(qs_zoom_view_new(z, &v, &e), QS_OK);
    qs_zoom_copy(z, v);
    assert_int_equal(v->stage, QS_ZOOM_DONE);
    assert_true(v->error > 0 && v->error < 0.2);
    qs_zoom_view_free(v);
    desk_open(&d, desk_model("zoom2.gguf", QS_Q8_0)); /* what was handed out stays */
    assert_true(qs_zoom_version(z) > 0);
    qs_workbench_zoom_end(d.w);
    qs_workbench_zoom_end(d.w);
    desk_end(&d);
}

static void test_the_list(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    unsigned last = 0, unfinished;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("list.gguf", QS_F16));
    struct hold *h = desk_hold(d.pool);
    const struct qs_write_request q = { .path = qs_test_tmp_path("list-out.gguf") };
    assert_int_equal(qs_workbench_write(d.w, &q, &unfinished, &e), QS_OK);
    qs_workbench_job_cancel(d.w, unfinished);
    desk_release(h);
    desk_wait(&d, desk_idle, NULL);
    assert_true(qs_workbench_job_by_id(d.w, unfinished)->resumable);
    for (int i = 0; i < 104; i++) {
        assert_int_equal(qs_workbench_open(d.w, qs_test_tmp_path("none.gguf"), &e), QS_OK);
        desk_wait(&d, desk_idle, NULL);
        assert_true(qs_workbench_job(d.w, 0)->id > last);
        last = qs_workbench_job(d.w, 0)->id;
    }
    const size_t n = qs_workbench_jobs(d.w);
    assert_true(n >= 100 && n <= 101);
    for (size_t i = 1; i < n; i++)
        assert_true(qs_workbench_job(d.w, i)->id < qs_workbench_job(d.w, i - 1)->id);
    assert_null(qs_workbench_job(d.w, n));
    assert_null(qs_workbench_job_by_id(d.w, 1));
    assert_non_null(qs_workbench_job_by_id(d.w, unfinished)); /* it can be gone on with: others leave first */
    qs_workbench_job_dismiss(d.w, last);
    assert_int_equal(qs_workbench_jobs(d.w), n - 1);
    assert_int_equal(qs_workbench_open(d.w, qs_test_tmp_path("none.gguf"), &e), QS_OK);
    assert_true(qs_workbench_job(d.w, 0)->id > last);
    desk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures_by_itself), cmocka_unit_test(test_focus_goes_first),
        cmocka_unit_test(test_measures_what_is_asked), cmocka_unit_test(test_survey_is_cancelled),
        cmocka_unit_test(test_asked_too_late), cmocka_unit_test(test_failing_is_not_repeated),
        cmocka_unit_test(test_work_of_others),
        cmocka_unit_test(test_write_while_editing), cmocka_unit_test(test_cancel_and_resume),
        cmocka_unit_test(test_another_model_meanwhile), cmocka_unit_test(test_freed_with_jobs),
        cmocka_unit_test(test_broken_file), cmocka_unit_test(test_zoom), cmocka_unit_test(test_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
