/* workbench_evaluating.c - evaluations: an order (what was asked for, with copies of all of it), the job that carries
 * it out, and the result of the last one that ended well.
 *
 * The order is shared by the job and the workbench; references are counted on the owner's thread. While the job runs
 * its thread owns the evaluation; what is told meanwhile (points, sizes) is under a lock. A result's engines are given
 * back on the job's thread, before anybody looks at it.
 */
#include "core/workbench_internal.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/need.h"
#include "core/workbench_eval.h"

struct qs_wb_eval {
    unsigned refs;
    struct qs_wb_sources *src;
    struct qs_eval_request q;            /* strings are the order's own */
    char *file, *text, *held_out, *calibration, *name, *title;
    struct qs_recipe *recipe;
    bool allow_requantize;
    struct qs_store *store;        /* calibrated weights; NULL: none */
    struct qs_candidate *known;    /* what the evaluation need not make */
    struct qs_candidate *made;     /* what it made: for the next one */
    struct qs_pool *pool;
    pthread_mutex_t lock;
    struct { struct qs_eval_point *point; size_t n, step, windows, n_ctx; uint64_t tokens, need; bool by_layer; } told;
    struct qs_evaluation *x;
    struct qs_err unremembered;
    struct qs_eval_point *seen;          /* the owner's copy of the points */
};

void qs_wb_eval_unref(struct qs_wb_eval *v)
{
    if (!v || --v->refs > 0)
        return;
    qs_evaluation_free(v->x);
    qs_candidate_unref(v->known);
    qs_candidate_unref(v->made);
    qs_recipe_free(v->recipe);
    qs_store_unref(v->store);
    qs_wb_sources_unref(v->src);
    char *const texts[] = { v->file, v->text, v->held_out, v->calibration, v->name, v->title };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        qs_free(texts[i]);
    qs_free(v->told.point);
    qs_free(v->seen);
    pthread_mutex_destroy(&v->lock);
    qs_free(v);
}

/* ---- on the job's thread ------------------------------------------------------------------------------------- */

static int take_window(void *ctx, size_t windows, const double n[QS_KLD_NUMBERS], struct qs_err *e)
{
    struct qs_wb_eval *v = ctx;
    (void)e;
    pthread_mutex_lock(&v->lock);
    v->told.need = v->x->need;
    if (windows % v->told.step == 0) {
        if (v->told.n == QS_EVAL_POINTS) {
            for (size_t i = 1; i < v->told.n; i += 2)
                v->told.point[i / 2] = v->told.point[i];
            v->told.n /= 2;
            v->told.step *= 2;
        }
        if (windows % v->told.step == 0)
            v->told.point[v->told.n++] = (struct qs_eval_point){
                .windows = windows, .ppl = n[QS_KLD_PPL], .ppl_se = n[QS_KLD_PPL_SE], .base = n[QS_KLD_PPL_BASE],
                .base_se = n[QS_KLD_PPL_BASE_SE], .kld = n[QS_KLD_MEAN], .kld_se = n[QS_KLD_MEAN_SE],
                .same_top = n[QS_KLD_SAME_TOP], .same_top_se = n[QS_KLD_SAME_TOP_SE],
            };
    }
    pthread_mutex_unlock(&v->lock);
    return QS_OK;
}

static struct qs_evaluation_args args_of(struct qs_wb_eval *v)
{
    const char *own = v->src->model->model->path;
    const enum qs_eval_what what = v->q.what;
    return (struct qs_evaluation_args){
        .pair = { .model = what == QS_EVAL_FILE ? v->file : own, .recipe = what == QS_EVAL_CANDIDATE ? v->recipe : NULL,
                  .imatrix = what == QS_EVAL_CANDIDATE ? v->src->imatrix : NULL,
                  .store = what == QS_EVAL_CANDIDATE ? v->store : NULL,
                  .allow_requantize = v->allow_requantize,
                  .reference = what == QS_EVAL_FILE ? own : what == QS_EVAL_AGAINST ? v->file : NULL,
                  .precision = v->q.precision, .prio = QS_PRIO_JOB, .opened = v->src->model->model,
                  .known = v->known },
        .recipe_name = what == QS_EVAL_CANDIDATE ? v->name : NULL, .text = v->text, .held_out = v->held_out,
        .calibration = v->calibration, .n_ctx = v->q.n_ctx, .n_windows = v->q.n_windows, .cache = v->q.cache,
        .layers = what != QS_EVAL_ALONE, .noise = v->q.noise, .memory = qs_machine_memory().available,
        .on_window = take_window, .window_ctx = v,
    };
}

static void tell_sizes(struct qs_wb_eval *v)
{
    const size_t all = v->x->text.token.n / v->x->n_ctx;
    pthread_mutex_lock(&v->lock);
    v->told.windows = v->q.n_windows && v->q.n_windows < all ? v->q.n_windows : all;
    v->told.n_ctx = v->x->n_ctx;
    v->told.tokens = v->x->text.token.n;
    v->told.by_layer = v->x->args.by_layer;
    pthread_mutex_unlock(&v->lock);
}

/* Models of other shapes have no layers to be compared; all else is measured all the same. */
static void drop_layers(struct qs_wb_eval *v)
{
    const struct qs_pair *p = v->x->pair;
    const struct qs_hparams *m = &p->model->hp, *b = p->reference ? &p->reference->hp : NULL;
    if (b && (m->n_layer != b->n_layer || m->n_embd != b->n_embd))
        v->x->args.layers = false;
}

static int evaluate(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_eval *v = ((struct qs_wb_job *)ctx)->eval;
    const struct qs_evaluation_args args = args_of(v);
    qs_job_phase(job, "reading", "", 0);
    int rc = qs_evaluation_open(&args, v->pool, &v->x, e);
    if (rc)
        return rc;
    tell_sizes(v);
    drop_layers(v);
    rc = qs_evaluation_run(v->x, job, e);
    if (!rc && v->q.remember)
        (void)qs_evaluation_remember(v->x, &v->unremembered);
    if (!rc && v->x->pair->candidate)
        v->made = qs_candidate_ref(v->x->pair->candidate);
    qs_pair_unload(v->x->pair);
    return rc;
}

/* ---- the order ----------------------------------------------------------------------------------------------- */

static int copy_text(const char *from, char **to, const char **in, struct qs_err *e)
{
    *in = NULL;
    if (!from || !from[0])
        return QS_OK;
    *in = *to = qs_strdup(from);
    return *to ? QS_OK : qs_fail_mem(e, strlen(from), "a file name");
}

static int take_str(struct qs_str *s, char **out, struct qs_err *e)
{
    *out = qs_str_take(s);
    return *out ? QS_OK : qs_fail_mem(e, 0, "a name");
}

/* "Q4_K_M + 2 pins", "my.recipe, imatrix x.dat": as the history has it. */
static int name_recipe(const struct qs_wb_doc *d, char **out, struct qs_err *e)
{
    const struct qs_recipe *r = d->pub.recipe;
    struct qs_str s = QS_STR_INIT;
    const bool file = d->pub.recipe_path && !d->pub.recipe_changed;
    qs_str_add(&s, file ? qs_path_base(d->pub.recipe_path) : r->preset->name);
    if (!file && r->n_pins)
        qs_str_addf(&s, " + %zu pin%s", r->n_pins, r->n_pins == 1 ? "" : "s");
    if (!file && r->n_rules)
        qs_str_addf(&s, " + %zu rule%s", r->n_rules, r->n_rules == 1 ? "" : "s");
    if (d->store)
        qs_str_addf(&s, ", calibrated %s", qs_path_base(d->store_path));
    else if (d->src->imatrix)
        qs_str_addf(&s, ", imatrix %s", d->src->imatrix_path ? qs_path_base(d->src->imatrix_path) : "");
    return take_str(&s, out, e);
}

static int name_all(struct qs_wb_eval *v, struct qs_err *e)
{
    const char *own = qs_path_base(v->src->model->model->path), *file = v->file ? qs_path_base(v->file) : "";
    struct qs_str s = QS_STR_INIT;
    switch (v->q.what) {
    case QS_EVAL_ALONE: qs_str_add(&s, own); break;
    case QS_EVAL_CANDIDATE: qs_str_addf(&s, "candidate %s of %s against it", v->name, own); break;
    case QS_EVAL_FILE: qs_str_addf(&s, "%s against %s", file, own); break;
    case QS_EVAL_AGAINST: qs_str_addf(&s, "%s against %s", own, file); break;
    }
    qs_str_addf(&s, " on %s", qs_path_base(v->text));
    return take_str(&s, &v->title, e);
}

/* The candidate that the workbench keeps, where it is what the recipe says; else that of the last evaluation of this
 * model, of which an edit has changed little; NULL: none. */
static struct qs_candidate *known_of(const struct qs_workbench *w)
{
    const struct qs_wb_doc *d = w->doc;
    const struct qs_wb_eval *last = w->evaluated;
    const bool made = last && last->made && last->src->model == d->src->model;
    return made && !d->candidate.fresh ? last->made : d->candidate.candidate;
}

int qs_workbench_eval_need(const struct qs_workbench *w, struct qs_candidate_need *out, struct qs_err *e)
{
    if (!w->doc)
        return qs_wb_no_document(e);
    return qs_candidate_need(w->doc->made.plan, known_of(w), qs_pool_threads(w->args.pool), out, e);
}

static int fill(const struct qs_workbench *w, const struct qs_eval_request *q, struct qs_wb_eval *v, struct qs_err *e)
{
    const struct qs_wb_doc *d = w->doc;
    v->src = qs_wb_sources_ref(d->src);
    v->q = *q;
    v->pool = w->args.pool;
    v->allow_requantize = d->pub.allow_requantize;
    v->store = d->store ? qs_store_ref(d->store) : NULL;
    v->told.step = 1;
    v->told.point = qs_calloc(QS_EVAL_POINTS, sizeof *v->told.point);
    v->seen = qs_calloc(QS_EVAL_POINTS, sizeof *v->seen);
    if (!v->told.point || !v->seen)
        return qs_fail_mem(e, QS_EVAL_POINTS * sizeof *v->seen, "an evaluation");
    int rc = copy_text(q->file, &v->file, &v->q.file, e);
    rc = rc ? rc : copy_text(q->text, &v->text, &v->q.text, e);
    rc = rc ? rc : copy_text(q->held_out, &v->held_out, &v->q.held_out, e);
    rc = rc ? rc : copy_text(q->calibration, &v->calibration, &v->q.calibration, e);
    rc = rc ? rc : name_recipe(d, &v->name, e);
    rc = rc ? rc : name_all(v, e);
    if (rc || q->what != QS_EVAL_CANDIDATE)
        return rc;
    if (known_of(w))
        v->known = qs_candidate_ref(known_of(w));
    return qs_recipe_copy(d->pub.recipe, &v->recipe, e);
}

static int order_new(const struct qs_workbench *w, const struct qs_eval_request *q, struct qs_wb_eval **out,
                     struct qs_err *e)
{
    struct qs_wb_eval *v = qs_calloc(1, sizeof *v);
    if (!v)
        return qs_fail_mem(e, sizeof *v, "an evaluation");
    v->refs = 1;
    v->unremembered = (struct qs_err)QS_ERR_INIT;
    pthread_mutex_init(&v->lock, NULL);
    const int rc = fill(w, q, v, e);
    if (rc)
        qs_wb_eval_unref(v);
    else
        *out = v;
    return rc;
}

/* ---- on the owner's ------------------------------------------------------------------------------------------ */

static void say_result(struct qs_workbench *w, const struct qs_wb_eval *v)
{
    const double *n = v->x->number;
    if (v->x->x->kld.paired)
        qs_log_add(w->log, QS_LOG_NOTE,
                   "%s: perplexity %.4f, reference %.4f, KL divergence %.6f +- %.6f, same top %.2f%%",
                   v->title, n[QS_KLD_PPL], n[QS_KLD_PPL_BASE], n[QS_KLD_MEAN], n[QS_KLD_MEAN_SE],
                   100 * n[QS_KLD_SAME_TOP]);
    else
        qs_log_add(w->log, QS_LOG_NOTE, "%s: perplexity %.4f +- %.4f", v->title, n[QS_KLD_PPL], n[QS_KLD_PPL_SE]);
    for (size_t i = 0; i < v->x->n_warnings; i++)
        qs_log_add(w->log, QS_LOG_NOTE, "evaluation: %s", v->x->warning[i]);
    if (v->unremembered.code)
        qs_log_add(w->log, QS_LOG_ERROR, "the history was not written: %s", v->unremembered.msg);
}

static void ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    w->changed = true;
    qs_candidate_unref(j->eval->known);
    j->eval->known = NULL;
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "evaluating %s: %s", j->eval->title, st->err.msg);
    if (st->state != QS_JOB_DONE)
        return;
    say_result(w, j->eval);
    qs_wb_eval_unref(w->evaluated);
    j->eval->refs++;
    w->evaluated = j->eval;
    w->evaluations++;
}

const struct qs_wb_kind qs_wb_eval_kind = { .kind = QS_WORK_EVALUATE, .word = "evaluating", .run = evaluate,
                                            .ended = ended };

static bool runs(const struct qs_workbench *w)
{
    const struct qs_wb_job *j = qs_wb_job_find(w, w->eval_job);
    return j && j->job;
}

static int refuse(const struct qs_workbench *w, const struct qs_eval_request *q, struct qs_err *e)
{
    if (!w->doc)
        return qs_wb_no_document(e);
    if (!q->text || !q->text[0])
        return qs_fail(e, QS_EINVAL, "there is no text to evaluate on: choose one");
    if ((q->what == QS_EVAL_FILE || q->what == QS_EVAL_AGAINST) && (!q->file || !q->file[0]))
        return qs_fail(e, QS_EINVAL, "the other model is missing: choose its file");
    return runs(w) ? qs_fail(e, QS_EBUSY, "an evaluation runs: cancel it, or wait for its end") : QS_OK;
}

int qs_workbench_eval_start(struct qs_workbench *w, const struct qs_eval_request *q, unsigned *id, struct qs_err *e)
{
    struct qs_wb_eval *v = NULL;
    struct qs_str title = QS_STR_INIT;
    int rc = refuse(w, q, e);
    rc = rc ? rc : order_new(w, q, &v, e);
    if (rc)
        return rc;
    struct qs_wb_job *j = qs_wb_job_new(v->src);
    if (!j) {
        qs_wb_eval_unref(v);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    v->refs++;
    j->eval = v;
    qs_str_addf(&title, "evaluate %s", v->title);
    rc = qs_wb_job_start(w, &qs_wb_eval_kind, j, title.failed ? "evaluate" : title.data, e);
    qs_str_free(&title);
    if (rc) {
        qs_wb_eval_unref(v);
        return rc;
    }
    qs_wb_eval_unref(w->eval);
    w->eval = v;
    w->eval_job = w->last_id;
    if (id)
        *id = w->last_id;
    return QS_OK;
}

/* The recipe as it is now, in the words of a result. */
static bool is_stale(struct qs_workbench *w)
{
    const struct qs_wb_eval *v = w->evaluated;
    if (v->q.what != QS_EVAL_CANDIDATE || !w->doc || w->doc->src->model != v->src->model)
        return false;
    if (w->eval_key_of != w->doc->pub.version || w->eval_key_doc != w->doc) {
        w->eval_key = qs_pair_plan_key(w->doc->made.plan);
        w->eval_key_of = w->doc->pub.version;
        w->eval_key_doc = w->doc;
    }
    const struct qs_key was = qs_pair_recipe_key(v->x->pair);
    return memcmp(&was, &w->eval_key, sizeof was) != 0;
}

static void tell_newest(struct qs_workbench *w, struct qs_eval_state *out)
{
    struct qs_wb_eval *v = w->eval;
    const struct qs_wb_job *j = qs_wb_job_find(w, w->eval_job);
    out->job = j ? w->eval_job : 0;
    out->runs = j && j->job;
    if (j && !j->job && j->pub.status.state != QS_JOB_DONE)
        out->err = j->pub.status.err;
    out->request = &v->q;
    out->title = v->title;
    pthread_mutex_lock(&v->lock);
    memcpy(v->seen, v->told.point, v->told.n * sizeof *v->seen);
    out->n_points = v->told.n;
    out->step = v->told.step;
    out->windows = v->told.windows;
    out->n_ctx = v->told.n_ctx;
    out->tokens = v->told.tokens;
    out->need = v->told.need;
    out->by_layer = v->told.by_layer;
    pthread_mutex_unlock(&v->lock);
    out->point = v->seen;
}

void qs_workbench_eval(struct qs_workbench *w, struct qs_eval_state *out)
{
    const struct qs_wb_eval *v = w->evaluated;
    *out = (struct qs_eval_state){ .err = QS_ERR_INIT, .unremembered = QS_ERR_INIT };
    if (w->eval)
        tell_newest(w, out);
    if (!v)
        return;
    out->result = v->x;
    out->result_request = &v->q;
    out->result_title = v->title;
    out->unremembered = v->unremembered;
    out->of_document = w->doc && w->doc->src->model == v->src->model;
    out->stale = is_stale(w);
    out->number = w->evaluations;
}

size_t qs_workbench_eval_layers(struct qs_workbench *w, const struct qs_layer_stat **after_block,
                                const struct qs_layer_stat **embedding)
{
    const struct qs_wb_eval *v = w->evaluated;
    if (!v || !w->doc || w->doc->src->model != v->src->model || !v->x->x->layer)
        return 0;
    *embedding = &v->x->x->layer[0];
    *after_block = &v->x->x->layer[1];
    return v->x->x->n_layers - 1;
}

void qs_wb_eval_forget(struct qs_workbench *w)
{
    if (!w->evaluated)
        return;
    qs_candidate_unref(w->evaluated->made);
    w->evaluated->made = NULL;
}

void qs_wb_eval_free(struct qs_workbench *w)
{
    qs_wb_eval_unref(w->eval);
    qs_wb_eval_unref(w->evaluated);
}
