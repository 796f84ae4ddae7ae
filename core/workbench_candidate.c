/* workbench_candidate.c - the candidate of the open document: made when it is wanted, and made anew after edits.
 *
 * One job makes it at a time, from a plan of its own. An edit stops that job; when its end is taken in the next one
 * begins with all that is there: the newest whole candidate, and what the stopped job had made. A plan of which
 * everything is there needs no job. One that is not wanted any more is stopped, and counts as the one job until its end
 * is taken in.
 */
#include "core/workbench_internal.h"

#include "base/file.h"
#include "base/mem.h"

static void changed(struct qs_workbench *w)
{
    struct qs_wb_doc *d = w->doc;
    d->candidate.fresh = d->candidate.candidate && d->candidate_of == d->pub.version;
    d->candidate.version++;
    w->changed = true;
}

void qs_wb_candidate_drop(struct qs_wb_doc *d)
{
    qs_candidate_unref(d->candidate.candidate);
    qs_candidate_unref(d->begun);
    d->candidate.candidate = NULL;
    d->begun = NULL;
}

/* The newest whole one; the reference is taken over. */
static void take(struct qs_wb_doc *d, struct qs_candidate *c, uint64_t version)
{
    qs_wb_candidate_drop(d);
    d->candidate.candidate = c;
    d->candidate_of = version;
}

/* ---- the job ------------------------------------------------------------------------------------------------- */

static int make(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    return qs_candidate_run(j->candidate, j->pool, job, e);
}

static int start(struct qs_workbench *w, struct qs_err *e);

/* Again, where the recipe is another one by now. */
static void go_on(struct qs_workbench *w)
{
    struct qs_wb_doc *d = w->doc;
    d->candidate.err = (struct qs_err)QS_ERR_INIT;
    if (d->candidate_of != d->pub.version || !d->candidate.candidate)
        (void)start(w, &d->candidate.err);
}

static void ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    struct qs_wb_doc *d = w->doc;
    const struct qs_job_status *st = &j->pub.status;
    const bool by_person = st->state == QS_JOB_CANCELLED && !j->passing;
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "the candidate: %s", st->err.msg);
    qs_plan_free(j->plan);
    j->plan = NULL;
    if (!d || d->candidate.job != j->pub.id) /* another document */
        return;
    d->candidate.job = 0;
    if (!d->candidate.wanted) { /* what it made goes with it */
        changed(w);
        return;
    }
    if (st->state == QS_JOB_DONE) {
        take(d, j->candidate, j->version);
    } else {
        qs_candidate_unref(d->begun);
        d->begun = j->candidate;
    }
    j->candidate = NULL;
    if (by_person || (st->state == QS_JOB_FAILED && j->version == d->pub.version))
        d->candidate.err = st->err;
    else
        go_on(w);
    changed(w);
}

static int resume(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e)
{
    (void)j; /* not what it had: the recipe as it is now */
    return w->doc ? qs_workbench_candidate_want(w, true, e) : qs_wb_no_document(e);
}

const struct qs_wb_kind qs_wb_candidate_kind = { .kind = QS_WORK_CANDIDATE, .word = "encoding", .run = make,
                                                 .ended = ended, .resume = resume, .of_document = true };

/* A candidate of the plan as it is now, with all that is there already. */
static int begin(const struct qs_wb_doc *d, struct qs_wb_job *j, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = d->src->imatrix, .allow_requantize = d->pub.allow_requantize,
                                       .store = d->store };
    int rc = qs_plan_make(d->pub.model, d->pub.recipe, &args, &j->plan, e);
    if (!rc)
        rc = qs_candidate_new(j->plan, d->candidate.candidate, &j->candidate, e);
    if (!rc && d->begun)
        rc = qs_candidate_take(j->candidate, d->begun, e);
    j->version = d->pub.version;
    return rc;
}

static int start(struct qs_workbench *w, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    struct qs_str title = QS_STR_INIT;
    struct qs_wb_job *j = qs_wb_job_new(d->src);
    if (!j)
        return qs_fail_mem(e, sizeof *j, "a job");
    int rc = begin(d, j, e);
    if (rc || qs_candidate_whole(j->candidate)) {
        if (!rc)
            take(d, qs_candidate_ref(j->candidate), j->version);
        qs_wb_job_free(j);
        return rc;
    }
    qs_str_addf(&title, "candidate of %s as %s", qs_path_base(d->pub.model->path), d->pub.recipe->preset->name);
    rc = qs_wb_job_start(w, &qs_wb_candidate_kind, j, title.data, e);
    qs_str_free(&title);
    if (!rc)
        d->candidate.job = w->last_id;
    return rc;
}

/* ---- what is wanted ------------------------------------------------------------------------------------------ */

static void stop(struct qs_workbench *w, unsigned id)
{
    struct qs_wb_job *j = qs_wb_job_find(w, id);
    if (!j || !j->job)
        return;
    j->passing = true;
    qs_workbench_job_cancel(w, id);
}

void qs_wb_candidate_changed(struct qs_workbench *w)
{
    struct qs_wb_doc *d = w->doc;
    if (!d->candidate.wanted)
        return;
    if (d->candidate.job)
        stop(w, d->candidate.job); /* the next one begins when it has ended */
    else
        go_on(w);
    changed(w);
}

int qs_workbench_candidate_want(struct qs_workbench *w, bool wanted, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    if (!d)
        return qs_wb_no_document(e);
    d->candidate.wanted = wanted;
    if (!wanted) {
        stop(w, d->candidate.job);
        d->candidate.err = (struct qs_err)QS_ERR_INIT;
        qs_wb_candidate_drop(d);
    } else if (!d->candidate.job) {
        go_on(w);
    }
    changed(w);
    if (d->candidate.err.code && e)
        *e = d->candidate.err;
    return (int)d->candidate.err.code;
}

const struct qs_doc_candidate *qs_workbench_candidate(const struct qs_workbench *w)
{
    return w->doc ? &w->doc->candidate : NULL;
}

int qs_workbench_candidate_need(const struct qs_workbench *w, struct qs_candidate_need *out, struct qs_err *e)
{
    const struct qs_wb_doc *d = w->doc;
    if (!d)
        return qs_wb_no_document(e);
    return qs_candidate_need(d->made.plan, d->candidate.candidate, qs_pool_threads(w->args.pool), out, e);
}

/* ---- the model, for those who run it ------------------------------------------------------------------------- */

struct qs_wb_model *qs_workbench_hold(struct qs_workbench *w)
{
    if (!w->doc)
        return NULL;
    w->doc->src->model->refs++;
    return w->doc->src->model;
}

const struct qs_model *qs_held_model(const struct qs_wb_model *m)
{
    return m->model;
}

void qs_workbench_let_go(struct qs_wb_model *m)
{
    qs_wb_model_unref(m);
}
