/* workbench_imatrix.c - another importance matrix for the document: read by a job, or handed in by one that made it.
 *
 * Another matrix is another survey, of which all is known at once that does not depend on it. What takes time (reading,
 * and the new table) is done on the job's thread, on memory that nobody else sees; the plan is made when it is taken
 * in, because the recipe may have been edited meanwhile.
 */
#include "core/workbench_calibrated.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

int qs_wb_sources_install(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_plans made;
    qs_wb_sources_attach(src, d->src->model);
    const int rc = qs_wb_doc_plan(d, src, d->pub.recipe, d->pub.allow_requantize, true, &made, e);
    if (rc) {
        qs_wb_sources_unref(src);
        return rc;
    }
    struct qs_wb_sources *before = d->src;
    qs_wb_jobs_of_sources_cancel(w, before);
    d->src = src;
    w->seen_survey = 0;
    if (src->imatrix)
        qs_log_add(w->log, QS_LOG_NOTE, "importance matrix %s", src->imatrix_path ? src->imatrix_path : "");
    else
        qs_log_add(w->log, QS_LOG_NOTE, "no importance matrix any more");
    qs_wb_doc_take(w, &made);
    qs_wb_measure_all(w);
    qs_wb_sources_unref(before);
    return QS_OK;
}

/* ---- reading a file ------------------------------------------------------------------------------------------ */

static int read_file(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    qs_job_phase(job, "importance matrix", "", 0);
    const int rc = qs_wb_statistics_read(j->path, j->src, &j->made, e);
    return rc ? rc : qs_job_step(job, 0, e);
}

static void reading_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    struct qs_err e = j->pub.status.err;
    struct qs_wb_sources *made = j->made;
    if (j->pub.id != w->reading) /* another one was asked for meanwhile */
        return;
    w->reading = 0;
    if (j->passing || !w->doc || w->doc->src != j->src) /* another document, or none of a file any more */
        return;
    if (j->pub.status.state == QS_JOB_DONE) {
        e = (struct qs_err)QS_ERR_INIT;
        j->made = NULL;
        (void)qs_wb_sources_install(w, made, &e);
    }
    w->imatrix_error = e;
    if (e.code && e.code != QS_ECANCELLED)
        qs_log_add(w->log, QS_LOG_ERROR, "%s", e.msg);
}

const struct qs_wb_kind qs_wb_imatrix_kind = { .kind = QS_WORK_IMATRIX, .word = "reading", .run = read_file,
                                               .ended = reading_ended, .of_document = true };

static int take_off(struct qs_workbench *w, struct qs_err *e)
{
    struct qs_wb_sources *src;
    const int rc = qs_wb_sources_new(w->doc->src->model->model, NULL, NULL, w->doc->src->survey, &src, e);
    return rc ? rc : qs_wb_sources_install(w, src, e);
}

int qs_workbench_imatrix(struct qs_workbench *w, const char *path, struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    if (!w->doc)
        return qs_wb_no_document(e);
    if (!path)
        return take_off(w, e);
    struct qs_wb_job *j = qs_wb_job_new(w->doc->src);
    if (!j || !(j->path = qs_strdup(path))) {
        qs_wb_job_free(j);
        return qs_fail_mem(e, strlen(path), "a job");
    }
    qs_str_addf(&title, "read %s", qs_path_base(path));
    const unsigned before = w->reading;
    const int rc = qs_wb_job_start(w, &qs_wb_imatrix_kind, j, title.data, e);
    qs_str_free(&title);
    if (rc)
        return rc;
    w->reading = w->last_id;
    w->imatrix_error = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

bool qs_workbench_imatrix_reading(const struct qs_workbench *w)
{
    return w->reading != 0;
}

const struct qs_err *qs_workbench_imatrix_error(const struct qs_workbench *w)
{
    return &w->imatrix_error;
}
