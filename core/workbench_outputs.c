/* workbench_outputs.c - output errors of the plan's types, measured by a job from the statistics' activation rows.
 *
 * Owns the list of one job. What is known - from the calibration's table or an earlier job - is not measured again. One
 * job at a time; edits meanwhile are for the next one, which whoever looks at the errors asks for.
 */
#include "core/workbench_calibrated.h"

#include "base/mem.h"
#include "core/calib/output.h"
#include "core/workbench_calib.h"

struct list { struct qs_output_want *want; size_t n; };

static void list_free(void *ctx)
{
    struct list *x = ctx;
    if (x)
        qs_free(x->want);
    qs_free(x);
}

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    const struct list *x = j->ctx;
    const struct qs_output_args args = { .pool = j->pool, .prio = QS_PRIO_BACKGROUND, .job = job };
    return qs_outputs_measure(j->src->outputs, x->want, x->n, &args, e);
}

static void ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    j->src->outputs_failed = st->state != QS_JOB_DONE;
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "measuring output errors: %s", st->err.msg);
}

static const struct qs_wb_kind outputs_kind = { .kind = QS_WORK_OTHER, .word = "measuring", .run = measure, .ended = ended,
                                                .of_document = true };

static bool is_measured(const struct qs_workbench *w, const struct qs_wb_sources *src)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->kind == &outputs_kind && w->job[i]->src == src && w->job[i]->job)
            return true;
    return false;
}

/* What the plan gives and is not known. NULL: nothing, or no memory. */
static struct list *list_open(const struct qs_wb_doc *d)
{
    const struct qs_plan *p = d->made.plan;
    const struct qs_outputs *o = d->src->outputs;
    struct list *x = qs_calloc(1, sizeof *x);
    if (!x || !(x->want = qs_calloc(p->n + 1, sizeof *x->want))) {
        qs_free(x);
        return NULL;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct qs_output known;
        if (qs_outputs_can(o, i, p->enc[i].type) && !qs_outputs_get(o, i, p->enc[i].type, &known))
            x->want[x->n++] = (struct qs_output_want){ i, p->enc[i].type };
    }
    if (x->n)
        return x;
    list_free(x);
    return NULL;
}

void qs_workbench_want_outputs(struct qs_workbench *w, bool asked)
{
    struct qs_wb_sources *src = w->doc ? w->doc->src : NULL;
    struct qs_err e = QS_ERR_INIT;
    if (!src || !src->outputs || is_measured(w, src))
        return;
    if (asked)
        src->outputs_failed = false;
    struct list *x = src->outputs_failed ? NULL : list_open(w->doc);
    struct qs_wb_job *j = x ? qs_wb_job_new(src) : NULL;
    if (!j) {
        list_free(x);
        return;
    }
    j->ctx = x;
    j->free_ctx = list_free;
    if (qs_wb_job_start(w, &outputs_kind, j, "measure output errors", &e))
        qs_log_add(w->log, QS_LOG_ERROR, "measuring output errors: %s", e.msg);
}
