/* workbench_fitting.c - a budget becomes a recipe: the solver as a job, its result as one step of undo, and the
 * frontier with presets and saved recipes as points.
 *
 * The job works on copies and on what jobs share (sources); a result belongs to the workbench once it is taken in. It
 * is put into the recipe on the owner's thread, because that may have been edited meanwhile.
 */
#include "core/workbench_internal.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/workbench_calib.h"

enum { FRONTIER = 48, FILES_MOST = 32 };

struct qs_wb_fit {
    struct qs_wb_sources *src;
    struct qs_recipe *recipe;
    struct qs_budget budget;
    bool tie, allow_requantize;
    struct qs_outputs *outputs;   /* of this job */
    struct qs_fit *fit;
    struct qs_fit_point *point; size_t n_points;
    struct qs_fit_mark *mark; size_t n_marks, cap_marks;
};

void qs_wb_fit_free(struct qs_wb_fit *f)
{
    if (!f)
        return;
    qs_fit_free(f->fit);
    qs_outputs_free(f->outputs);
    qs_recipe_free(f->recipe);
    qs_wb_sources_unref(f->src);
    qs_free(f->point);
    qs_free(f->mark);
    qs_free(f);
}

void qs_wb_fit_forget(struct qs_workbench *w)
{
    qs_wb_fit_free(w->fit);
    w->fit = NULL;
}

/* ---- on the job's thread ------------------------------------------------------------------------------------- */

static struct qs_fit_args args_of(const struct qs_wb_fit *f)
{
    return (struct qs_fit_args){ .model = f->src->model->model, .recipe = f->recipe, .statistics = f->src->statistics,
                                 .outputs = f->outputs, .survey = f->src->survey, .budget = f->budget, .tie = f->tie };
}

/* A point of the plan that a recipe makes; none where it cannot be carried out, or a tensor's cost is not known. */
static int add_mark(struct qs_wb_fit *f, const struct qs_recipe *r, const char *name, bool file, struct qs_err *e)
{
    const struct qs_plan_args plan = { .imatrix = f->src->imatrix, .allow_requantize = f->allow_requantize,
                                       .foretell = true };
    const struct qs_fit_args args = args_of(f);
    struct qs_plan *p = NULL;
    int rc = qs_plan_make(args.model, r, &plan, &p, e);
    const double predicted = rc || p->blocker.code ? (double)NAN : qs_fit_predict(&args, p);
    if (!rc && !isnan(predicted)) {
        if (!qs_grow(&f->mark, &f->cap_marks, f->n_marks + 1, sizeof *f->mark))
            rc = qs_fail_mem(e, sizeof *f->mark, "the points of a frontier");
        else
            f->mark[f->n_marks++] = (struct qs_fit_mark){ .bytes = p->bytes, .bpw = p->bpw, .predicted = predicted,
                                                          .file = file };
        if (!rc)
            snprintf(f->mark[f->n_marks - 1].name, sizeof f->mark->name, "%s", name);
    }
    qs_plan_free(p);
    return rc;
}

static int mark_presets(struct qs_wb_fit *f, struct qs_job *job, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < qs_preset_count(); i++) {
        struct qs_recipe *r = NULL;
        struct qs_err why = QS_ERR_INIT;
        if (qs_recipe_new(qs_preset_at(i)->name, &r, &why))
            continue;
        rc = add_mark(f, r, qs_preset_at(i)->name, false, e);
        qs_recipe_free(r);
        rc = rc ? rc : qs_job_step(job, 1, e);
    }
    return rc;
}

/* Recipes that were saved beside the model; those that cannot be read are none. */
static int mark_files(struct qs_wb_fit *f, struct qs_err *e)
{
    const char *model = f->src->model->model->path;
    struct qs_str dir = QS_STR_INIT, path = QS_STR_INIT;
    int rc = QS_OK, n = 0;
    qs_str_addn(&dir, model, (size_t)(qs_path_base(model) - model));
    if (!dir.len)
        qs_str_add(&dir, "./");
    DIR *d = dir.failed ? NULL : opendir(dir.data);
    for (struct dirent *x; d && !rc && n < FILES_MOST && (x = readdir(d)) != NULL;) {
        struct qs_recipe *r = NULL;
        struct qs_err why = QS_ERR_INIT;
        if (!qs_path_ends(x->d_name, ".recipe"))
            continue;
        qs_str_clear(&path);
        qs_str_addf(&path, "%s%s", dir.data, x->d_name);
        if (!path.failed && qs_recipe_load(path.data, &r, &why) == QS_OK)
            rc = add_mark(f, r, x->d_name, true, e);
        qs_recipe_free(r);
        n++;
    }
    if (d)
        closedir(d);
    qs_str_free(&dir);
    qs_str_free(&path);
    return rc;
}

static int fit(struct qs_job *job, void *ctx, struct qs_err *e)
{
    const struct qs_wb_job *j = ctx;
    struct qs_wb_fit *f = j->fit;
    struct qs_fit_args args = args_of(f);
    struct qs_err none = QS_ERR_INIT;
    qs_job_phase(job, "measuring", "", 0);
    int rc = qs_fit_measure_outputs(&args, j->pool, job, &f->outputs, e);
    args.outputs = f->outputs;
    rc = rc ? rc : qs_fit_measure_survey(&args, f->src->survey, j->pool, job, e);
    qs_job_phase(job, "fitting", "", 0);
    rc = rc ? rc : qs_fit_run(&args, &f->fit, e);
    rc = rc ? rc : qs_job_step(job, 0, e);
    f->point = rc ? NULL : qs_calloc(FRONTIER, sizeof *f->point);
    if (!rc && !f->point)
        rc = qs_fail_mem(e, FRONTIER * sizeof *f->point, "the frontier");
    if (!rc && qs_fit_frontier(&args, FRONTIER, f->point, &f->n_points, &none)) /* a result without it is one too */
        f->n_points = 0;
    qs_job_phase(job, "presets", "presets", qs_preset_count());
    rc = rc ? rc : mark_presets(f, job, e);
    return rc ? rc : mark_files(f, e);
}

/* ---- on the owner's ------------------------------------------------------------------------------------------ */

/* Pins of the draft that the other does not have go, those it has come. */
static int take_pins(struct qs_recipe *draft, const struct qs_recipe *to, struct qs_err *e)
{
    const size_t before = draft->n_pins;
    struct qs_pin *pin = qs_calloc(before + to->n_pins + 1, sizeof *pin);
    struct qs_str names = QS_STR_INIT;
    size_t *at = qs_calloc(before + 1, sizeof *at);
    if (!pin || !at) {
        qs_free(pin);
        qs_free(at);
        return qs_fail_mem(e, before * sizeof *pin, "pins");
    }
    for (size_t i = 0; i < before; i++) { /* their names may go with them */
        at[i] = names.len;
        qs_str_addn(&names, draft->pin[i].pattern, strlen(draft->pin[i].pattern) + 1);
    }
    for (size_t i = 0; i < before; i++)
        pin[i] = (struct qs_pin){ names.data + at[i], QS_TYPE_NONE };
    for (size_t i = 0; i < to->n_pins; i++)
        pin[before + i] = (struct qs_pin){ to->pin[i].pattern, to->pin[i].type };
    const int rc = names.failed ? qs_fail_mem(e, names.len, "pins")
                                : qs_recipe_pin_all(draft, pin, before + to->n_pins, e);
    qs_str_free(&names);
    qs_free(pin);
    qs_free(at);
    return rc;
}

static int take_rules(struct qs_recipe *draft, const struct qs_recipe *to, struct qs_err *e)
{
    bool same = draft->n_rules == to->n_rules;
    int rc = QS_OK;
    for (size_t i = 0; same && i < to->n_rules; i++)
        same = draft->rule[i].type == to->rule[i].type && strcmp(draft->rule[i].pattern, to->rule[i].pattern) == 0;
    while (!same && !rc && draft->n_rules)
        rc = qs_recipe_remove_rule(draft, draft->n_rules - 1, e);
    for (size_t i = 0; !same && !rc && i < to->n_rules; i++)
        rc = qs_recipe_add_rule(draft, to->rule[i].pattern, to->rule[i].type, e);
    return rc;
}

static int take_options(struct qs_recipe *draft, const struct qs_recipe *to, struct qs_err *e)
{
    const struct { enum qs_recipe_setting s; int value; } option[] = {
        { QS_SET_PURE, to->pure }, { QS_SET_LEAVE_OUTPUT, to->leave_output }, { QS_SET_STRICT, to->strict },
        { QS_SET_STEADY, to->steady }, { QS_SET_OUTPUT_TYPE, to->output_type },
        { QS_SET_TOKEN_EMBD_TYPE, to->token_embd_type },
    };
    int rc = draft->preset == to->preset ? QS_OK : qs_recipe_set_preset(draft, to->preset->name, e);
    for (size_t i = 0; !rc && i < sizeof option / sizeof *option; i++)
        rc = qs_recipe_set_option(draft, option[i].s, option[i].value, e);
    return rc;
}

int qs_workbench_fit_apply(struct qs_workbench *w, struct qs_err *e)
{
    char label[160];
    if (!w->doc)
        return qs_wb_no_document(e);
    if (!w->fit || w->fit->src->model != w->doc->src->model)
        return qs_fail(e, QS_ENOTFOUND, "no recipe was found for a budget yet");
    struct qs_recipe *draft = qs_workbench_edit(w, e);
    if (!draft)
        return e ? (int)e->code : QS_EBUSY;
    const struct qs_recipe *to = w->fit->fit->recipe;
    int rc = take_options(draft, to, e);
    rc = rc ? rc : take_rules(draft, to, e);
    rc = rc ? rc : take_pins(draft, to, e);
    if (rc) {
        qs_workbench_abandon(w);
        return rc;
    }
    snprintf(label, sizeof label, "fit %.140s", w->fit->budget.text);
    return qs_workbench_commit(w, label, e);
}

static void fit_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_job_status *st = &j->pub.status;
    char size[24];
    w->changed = true;
    if (j->pub.id != w->fit_job || !w->doc || w->doc->src->model != j->fit->src->model)
        return;
    if (st->state != QS_JOB_DONE) {
        w->fit_err = st->err;
        if (st->state == QS_JOB_FAILED)
            qs_log_add(w->log, QS_LOG_ERROR, "fitting a budget: %s", st->err.msg);
        return;
    }
    qs_wb_fit_free(w->fit);
    w->fit = j->fit;
    j->fit = NULL;
    w->fits++;
    if (qs_workbench_fit_apply(w, &e))
        w->fit_err = e;
    qs_log_add(w->log, e.code ? QS_LOG_ERROR : QS_LOG_NOTE, "fit %s: %s of tensors, %.3f bpw, predicted %s %.6f%s%s",
               w->fit->budget.text, qs_fmt_bytes(size, sizeof size, w->fit->fit->bytes), w->fit->fit->bpw,
               w->fit->fit->kld ? "KL divergence" : "sum of squared errors", w->fit->fit->predicted, e.code ? "; " : "",
               e.code ? e.msg : "");
}

static const struct qs_wb_kind fit_kind = { .kind = QS_WORK_OTHER, .word = "fitting", .run = fit, .ended = fit_ended };

/* Pins that the budget before has set, and nobody has touched since, are not a person's choice: they go. */
static int drop_fitted(const struct qs_workbench *w, struct qs_recipe *r, struct qs_err *e)
{
    const struct qs_wb_doc *d = w->doc;
    int rc = QS_OK;
    if (!w->fit || w->fit->src->model != d->src->model)
        return QS_OK;
    for (size_t i = 0; !rc && i < d->pub.model->n_tensors; i++) {
        const struct qs_fit_choice *was = &w->fit->fit->choice[i];
        const char *name = d->pub.model->tensor[i].name;
        bool theirs = false;
        for (size_t k = 0; k < r->n_pins && !theirs; k++)
            theirs = r->pin[k].type == was->type && strcmp(r->pin[k].pattern, name) == 0;
        if (theirs && !was->pinned)
            rc = qs_recipe_pin(r, name, QS_TYPE_NONE, e);
    }
    return rc;
}

static int order_new(struct qs_workbench *w, const char *budget, bool tie, struct qs_wb_fit **out, struct qs_err *e)
{
    const struct qs_wb_doc *d = w->doc;
    struct qs_wb_fit *f = qs_calloc(1, sizeof *f);
    if (!f)
        return qs_fail_mem(e, sizeof *f, "a budget");
    f->src = qs_wb_sources_ref(d->src);
    f->tie = tie;
    f->allow_requantize = d->pub.allow_requantize;
    int rc = qs_budget_parse(budget, d->pub.model, &f->budget, e);
    rc = rc ? rc : qs_recipe_copy(d->pub.recipe, &f->recipe, e);
    rc = rc ? rc : drop_fitted(w, f->recipe, e);
    const struct qs_fit_args args = args_of(f);
    rc = rc ? rc : qs_fit_check(&args, e);
    if (rc)
        qs_wb_fit_free(f);
    else
        *out = f;
    return rc;
}

int qs_workbench_fit(struct qs_workbench *w, const char *budget, bool tie, struct qs_err *e)
{
    struct qs_wb_fit *f = NULL;
    if (!w->doc)
        return qs_wb_no_document(e);
    const int made = order_new(w, budget, tie, &f, e);
    if (made)
        return made;
    struct qs_wb_job *j = qs_wb_job_new(w->doc->src);
    if (!j) {
        qs_wb_fit_free(f);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    j->fit = f;
    struct qs_str title = QS_STR_INIT;
    qs_str_addf(&title, "fit %s to %s", qs_path_base(w->doc->pub.model->path), f->budget.text);
    const unsigned before = w->fit_job;
    const int rc = qs_wb_job_start(w, &fit_kind, j, title.failed ? "fit" : title.data, e);
    qs_str_free(&title);
    if (rc)
        return rc;
    w->fit_job = w->last_id;
    w->fit_err = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

double qs_wb_fit_predict(const struct qs_workbench *w, bool imatrix_only)
{
    const struct qs_plan_args plan = { .imatrix = w->fit->src->imatrix, .allow_requantize = true, .foretell = true };
    struct qs_fit_args args = args_of(w->fit);
    struct qs_plan *p = NULL;
    args.imatrix_only = imatrix_only;
    const int rc = qs_plan_make(args.model, w->fit->fit->recipe, &plan, &p, NULL);
    const double predicted = rc ? (double)NAN : qs_fit_predict(&args, p);
    qs_plan_free(p);
    return predicted;
}

static bool is_applied(const struct qs_workbench *w)
{
    const struct qs_fit *x = w->fit->fit;
    for (size_t i = 0; i < w->doc->made.plan->n; i++)
        if (x->choice[i].type != QS_TYPE_NONE && w->doc->made.type[i] != QS_TYPE_NONE &&
            x->choice[i].type != w->doc->made.type[i])
            return false;
    return true;
}

void qs_workbench_fit_state(struct qs_workbench *w, struct qs_fit_state *out)
{
    const struct qs_wb_job *j = qs_wb_job_find(w, w->fit_job);
    *out = (struct qs_fit_state){ .err = w->fit_err, .job = w->fit_job, .runs = j && j->job, .number = w->fits };
    if (!w->fit || !w->doc || w->fit->src->model != w->doc->src->model)
        return;
    out->fit = w->fit->fit;
    out->budget = w->fit->budget;
    out->point = w->fit->point;
    out->n_points = w->fit->n_points;
    out->mark = w->fit->mark;
    out->n_marks = w->fit->n_marks;
    out->applied = is_applied(w);
}
