/* workbench_jobs.c - writing as a job: the order (a plan of its own and where it goes), its forecast, end and
 * resumption.
 *
 * An order is shared by a job and by the one that resumes it, so that both mean the same bytes; it changes nothing once
 * it is made. Model and importance matrix are kept alive by the job (src).
 */
#include "core/workbench_internal.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* ---- orders -------------------------------------------------------------------------------------------------- */

void qs_wb_order_unref(struct qs_wb_order *o)
{
    if (!o || --o->refs > 0)
        return;
    qs_plan_free(o->plan);
    qs_free(o->path);
    qs_free(o->recipe_path);
    qs_free(o->imatrix_path);
    qs_free(o);
}

static int copy_text(const char *from, char **to, struct qs_err *e)
{
    if (from && !(*to = qs_strdup(from)))
        return qs_fail_mem(e, strlen(from), "a file name");
    return QS_OK;
}

static int default_path(const struct qs_wb_doc *d, char **out, struct qs_err *e)
{
    struct qs_str name = QS_STR_INIT;
    const int rc = qs_writer_default_name(d->pub.model, d->pub.recipe, &name, e);
    if (rc) {
        qs_str_free(&name);
        return rc;
    }
    *out = qs_str_take(&name);
    return *out ? QS_OK : qs_fail_mem(e, 0, "a file name");
}

/* All but the plan. */
static int order_new(const struct qs_wb_doc *d, const struct qs_write_request *q, struct qs_wb_order **out,
                     struct qs_err *e)
{
    struct qs_wb_order *o = qs_calloc(1, sizeof *o);
    if (!o)
        return qs_fail_mem(e, sizeof *o, "a job");
    o->refs = 1;
    int rc = q->path ? copy_text(q->path, &o->path, e) : default_path(d, &o->path, e);
    if (!rc)
        rc = copy_text(d->pub.recipe_path, &o->recipe_path, e);
    if (!rc)
        rc = copy_text(d->src->imatrix_path, &o->imatrix_path, e);
    if (rc) {
        qs_wb_order_unref(o);
        return rc;
    }
    o->input[0] = (struct qs_file_input){ o->recipe_path, "the recipe" };
    o->input[1] = (struct qs_file_input){ o->imatrix_path, "the importance matrix" };
    o->args = (struct qs_writer_args){ .path = o->path, .force = q->overwrite, .restart = q->restart,
                                       .split_max_bytes = q->split_max_bytes, .modelfile = q->modelfile,
                                       .imatrix_path = o->imatrix_path, .input = o->input, .n_input = 2 };
    *out = o;
    return QS_OK;
}

int qs_workbench_forecast(const struct qs_workbench *w, const struct qs_write_request *q,
                          struct qs_writer_forecast *out,
                          struct qs_str *path, struct qs_err *e)
{
    struct qs_wb_order *o = NULL;
    if (!w->doc)
        return qs_wb_no_document(e);
    int rc = order_new(w->doc, q, &o, e);
    if (!rc)
        rc = qs_writer_forecast(w->doc->pub.plan, &o->args, qs_pool_threads(w->args.pool), out, e);
    if (!rc && w->doc->pub.plan->blocker.code)
        out->refusal = w->doc->pub.plan->blocker;
    if (!rc && path) {
        qs_str_clear(path);
        qs_str_add(path, o->path);
        rc = path->failed ? qs_fail_mem(e, strlen(o->path), "a file name") : QS_OK;
    }
    qs_wb_order_unref(o);
    return rc;
}

/* ---- the job ------------------------------------------------------------------------------------------------- */

static int write_file(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    struct qs_writer_args args = j->order->args;
    args.restart = args.restart && !j->goes_on;
    args.watch = j->watch;
    return qs_writer_run(j->order->plan, &args, j->pool, job, &j->result, e);
}

static bool left_unfinished(const struct qs_wb_order *o)
{
    struct qs_str journal = QS_STR_INIT;
    qs_str_addf(&journal, "%s.part.journal", o->path);
    const bool there = !journal.failed && qs_file_exists(journal.data);
    qs_str_free(&journal);
    return there;
}

static void say_written(struct qs_workbench *w, const struct qs_wb_job *j)
{
    char size[24], took[48], rms[QS_FMT_MAX];
    const struct qs_writer_result *x = j->result;
    qs_fmt_bytes(size, sizeof size, x->bytes);
    qs_fmt_seconds(took, sizeof took, x->seconds);
    if (x->total.n)
        qs_log_add(w->log, QS_LOG_NOTE, "wrote %s: %s in %s, relative RMS error %s", x->file[0], size, took,
                   qs_fmt_percent(rms, sizeof rms, qs_error_rms(&x->total), 2));
    else
        qs_log_add(w->log, QS_LOG_NOTE, "wrote %s: %s in %s, all copied", x->file[0], size, took);
}

static void say_stopped(struct qs_workbench *w, const struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    const bool failed = st->state == QS_JOB_FAILED;
    char took[48];
    qs_fmt_seconds(took, sizeof took, st->elapsed);
    if (left_unfinished(j->order))
        qs_log_add(w->log, failed ? QS_LOG_ERROR : QS_LOG_NOTE,
                   "writing %s %s after %s: %s. What is done is kept in %s.part; resuming the job goes on from there",
                   j->order->path, failed ? "failed" : "stopped", took, st->err.msg, j->order->path);
    else
        qs_log_add(w->log, failed ? QS_LOG_ERROR : QS_LOG_NOTE, "writing %s %s after %s: %s. Nothing is left of it",
                   j->order->path, failed ? "failed" : "stopped", took, failed ? st->err.msg : "cancelled");
}

static void write_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    j->pub.result = j->result;
    if (j->result)
        say_written(w, j);
    else
        say_stopped(w, j);
}

static int go_on(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e);

const struct qs_wb_kind qs_wb_write_kind = { .kind = QS_WORK_WRITE, .word = "writing", .run = write_file,
                                             .ended = write_ended, .resume = go_on,
                                             .keeps_sources = true, /* the plan speaks of the model */
                                             .stays = true };

/* The order's reference goes over to the job, whatever happens. */
static int start(struct qs_workbench *w, struct qs_wb_order *o, struct qs_wb_sources *src, bool goes_on, unsigned *id,
                 struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    struct qs_wb_job *j = qs_wb_job_new(src);
    if (!j) {
        qs_wb_order_unref(o);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    j->order = o;
    j->goes_on = goes_on;
    int rc = qs_writer_watch_new(o->plan->n, &j->watch, e);
    if (rc) {
        qs_wb_job_free(j);
        return rc;
    }
    j->pub.plan = o->plan;
    j->pub.watch = j->watch;
    j->pub.path = o->path;
    qs_str_addf(&title, "write %s", qs_path_base(o->path));
    rc = qs_wb_job_start(w, &qs_wb_write_kind, j, title.data, e);
    qs_str_free(&title);
    if (rc)
        return rc;
    qs_log_add(w->log, QS_LOG_NOTE, "%s %s as %s", goes_on ? "going on with" : "writing", o->path,
               o->plan->recipe->preset->name);
    if (id)
        *id = w->last_id;
    return QS_OK;
}

static int go_on(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e)
{
    j->order->refs++;
    return start(w, j->order, j->src, true, NULL, e);
}

/* What would stop the job at once is an error now. */
static int check(const struct qs_workbench *w, const struct qs_wb_order *o, struct qs_err *e)
{
    struct qs_writer_forecast f;
    const int rc = qs_writer_forecast(o->plan, &o->args, qs_pool_threads(w->args.pool), &f, e);
    if (!rc && f.refusal.code && e)
        *e = f.refusal;
    return rc ? rc : (int)f.refusal.code;
}

int qs_workbench_write(struct qs_workbench *w, const struct qs_write_request *q, unsigned *id, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_order *o = NULL;
    if (!d)
        return qs_wb_no_document(e);
    const struct qs_plan_args args = { .imatrix = d->src->imatrix, .allow_requantize = d->pub.allow_requantize,
                                       .store = d->store };
    int rc = order_new(d, q, &o, e);
    if (!rc)
        rc = qs_plan_make(d->pub.model, d->pub.recipe, &args, &o->plan, e);
    if (!rc)
        rc = check(w, o, e);
    if (rc) {
        qs_wb_order_unref(o);
        return rc;
    }
    return start(w, o, d->src, false, id, e);
}
