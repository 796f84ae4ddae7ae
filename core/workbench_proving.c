/* workbench_proving.c - the recipe that was found for a budget, measured on held-out text against presets and uniform types
 * of at most its bytes, by a job.
 *
 * Owns the newest proof and which result it is of: another budget's result, or another model, makes it none.
 */
#include "core/workbench_internal.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/workbench_calib.h"

struct proving {
    struct qs_recipe *recipe;
    struct qs_store *store;      /* calibrated weights of the document; NULL: none */
    char *text;
    double predicted;
    bool allow_requantize;
    unsigned number;             /* of the result */
    struct qs_proof *proof;
};

static void proving_free(void *ctx)
{
    struct proving *p = ctx;
    if (!p)
        return;
    qs_recipe_free(p->recipe);
    qs_store_unref(p->store);
    qs_proof_free(p->proof);
    qs_free(p->text);
    qs_free(p);
}

static int prove(struct qs_job *job, void *ctx, struct qs_err *e)
{
    const struct qs_wb_job *j = ctx;
    struct proving *p = j->ctx;
    const struct qs_prove_args args = {
        .model = j->src->model->model, .pool = j->pool, .prio = QS_PRIO_JOB, .recipe = p->recipe, .store = p->store,
        .imatrix = j->src->imatrix, .predicted = p->predicted, .text = p->text, .n_windows = QS_PROVE_WINDOWS,
        .most = QS_PROVE_RIVALS, .allow_requantize = p->allow_requantize,
    };
    return qs_prove_run(&args, job, &p->proof, e);
}

static void prove_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    struct proving *p = j->ctx;
    w->changed = true;
    if (j->pub.id != w->prove_job)
        return;
    if (st->state != QS_JOB_DONE) {
        w->prove_err = st->err;
        if (st->state == QS_JOB_FAILED)
            qs_log_add(w->log, QS_LOG_ERROR, "proving a recipe: %s", st->err.msg);
        return;
    }
    qs_proof_free(w->proof);
    w->proof = p->proof;
    p->proof = NULL;
    w->proof_of = p->number;
    qs_log_add(w->log, QS_LOG_NOTE, "proved on %s: KL divergence %.6f measured, %zu others of at most its bytes%s",
               qs_path_base(p->text), w->proof->measured, w->proof->n - 1,
               w->proof->better ? ", all worse by more than the error bar" : "");
}

static const struct qs_wb_kind prove_kind = { .kind = QS_WORK_OTHER, .word = "proving", .run = prove,
                                              .ended = prove_ended };

static int proving_new(struct qs_workbench *w, const struct qs_fit_state *s, const char *text, struct proving **out,
                       struct qs_err *e)
{
    struct proving *p = qs_calloc(1, sizeof *p);
    if (!p || !(p->text = qs_strdup(text))) {
        proving_free(p);
        return qs_fail_mem(e, sizeof *p, "a proof");
    }
    p->store = w->doc->store ? qs_store_ref(w->doc->store) : NULL;
    p->predicted = s->fit->kld ? qs_wb_fit_predict(w, !p->store) : (double)NAN;
    p->allow_requantize = w->doc->pub.allow_requantize;
    p->number = s->number;
    const int rc = qs_recipe_copy(s->fit->recipe, &p->recipe, e);
    if (rc)
        proving_free(p);
    else
        *out = p;
    return rc;
}

int qs_workbench_prove(struct qs_workbench *w, const char *text, struct qs_err *e)
{
    struct qs_fit_state s;
    struct qs_file_stat st;
    struct proving *p = NULL;
    if (!w->doc)
        return qs_wb_no_document(e);
    qs_workbench_fit_state(w, &s);
    if (!s.fit)
        return qs_fail(e, QS_ENOTFOUND, "no recipe was found for a budget yet");
    int rc = qs_file_stat(text, &st, e);
    rc = rc ? rc : proving_new(w, &s, text, &p, e);
    if (rc)
        return rc;
    struct qs_wb_job *j = qs_wb_job_new(w->doc->src);
    if (!j) {
        proving_free(p);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    j->ctx = p;
    j->free_ctx = proving_free;
    const unsigned before = w->prove_job;
    rc = qs_wb_job_start(w, &prove_kind, j, "prove a recipe", e);
    if (rc)
        return rc;
    w->prove_job = w->last_id;
    w->prove_err = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

void qs_workbench_proof(struct qs_workbench *w, struct qs_proof_state *out)
{
    const struct qs_wb_job *j = qs_wb_job_find(w, w->prove_job);
    struct qs_fit_state s;
    qs_workbench_fit_state(w, &s);
    *out = (struct qs_proof_state){ .job = w->prove_job, .runs = j && j->job, .err = w->prove_err,
                                    .proof = s.fit && w->proof_of == s.number ? w->proof : NULL };
}

void qs_wb_proof_free(struct qs_workbench *w)
{
    qs_proof_free(w->proof);
    w->proof = NULL;
}
