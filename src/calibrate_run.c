/* calibrate_run.c - the running half of `calibrate`: statistics, then a recipe for the budget, then encoding, then the
 * file; with --json a line for everything that is news.
 *
 * Works on what verb_calibrate.c has put together. The watch is read on the main thread, about ten times a second.
 */
#include "src/calibrate_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/quant/survey.h"
#include "core/quant/writer.h"
#include "core/report/report_calibrate.h"
#include "kernels/format.h"

void qs_calib_work_free(struct qs_calib_work *w)
{
    qs_calibrate_free(w->x);
    qs_calib_watch_free(w->watch);
    qs_calib_view_free(&w->seen);
    qs_fit_free(w->fit);
    qs_recipe_free(w->recipe);
    qs_model_close(w->model);
    for (size_t i = 0; w->source && i < w->args.text.n_sources; i++)
        qs_free((char *)(uintptr_t)w->source[i].path);
    qs_free(w->source);
    qs_str_free(&w->statistics);
    qs_str_free(&w->store);
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static void put_line(struct qs_cli *cli, struct qs_json *o)
{
    struct qs_str text = QS_STR_INIT;
    if (o && qs_json_print(o, false, &text)) {
        while (text.len && text.data[text.len - 1] == '\n')
            text.data[--text.len] = 0;
        qs_str_addc(&text, '\n');
        if (!text.failed)
            (void)qs_cli_write(cli, text.data, text.len);
    }
    qs_str_free(&text);
    qs_json_free(o);
    qs_cli_flush(cli);
}

static struct qs_json *event(const char *name)
{
    struct qs_json *o = qs_json_object();
    qs_json_add_str(o, "event", name);
    return o;
}

static void put_number(struct qs_json *o, const char *key, double value)
{
    if (isfinite(value))
        qs_json_add_num(o, key, value);
    else
        qs_json_add_null(o, key);
}

static void put_layer(struct qs_calib_work *w, const struct qs_calib_view *now, size_t i)
{
    const struct qs_calib_layer *l = &now->layer[i];
    struct qs_json *o = event("layer");
    if (i + 1 < now->n_layers)
        qs_json_add_uint(o, "layer", i);
    else
        qs_json_add_str(o, "layer", "head");
    qs_json_add_str(o, "state", qs_calib_state_name(l->state));
    put_number(o, "before", l->before);
    put_number(o, "after", l->after);
    put_number(o, "seconds", l->seconds);
    put_line(w->cli, o);
}

static void put_tensor(struct qs_calib_work *w, const struct qs_calib_view *now, size_t i)
{
    const struct qs_calib_tensor *t = &now->tensor[i];
    const struct qs_format *f = t->type == QS_TYPE_NONE ? NULL : qs_format_by_id(t->type);
    struct qs_json *o = event("tensor");
    qs_json_add_str(o, "tensor", w->model->tensor[i].name);
    qs_json_add_str(o, "state", qs_calib_state_name(t->state));
    qs_json_add_str(o, "type", f ? f->name : NULL);
    qs_json_add_str(o, "method", qs_calib_method_name(t->method));
    put_number(o, "before", t->before);
    put_number(o, "after", t->after);
    qs_json_add_str(o, "note", t->note);
    put_line(w->cli, o);
}

/* With something to tell: collecting alone ends for a tensor without. */
static bool has_ended(const struct qs_calib_tensor *t)
{
    return t->state == QS_CALIB_FAILED || (t->state == QS_CALIB_DONE && (t->type != QS_TYPE_NONE || !isnan(t->before)));
}

static void tell_news(struct qs_calib_work *w, const struct qs_calib_view *before, const struct qs_calib_view *now)
{
    const bool first = !before->layer;
    if (first || before->stage != now->stage) {
        struct qs_json *o = event("stage");
        qs_json_add_str(o, "stage", qs_calib_stage_name(now->stage));
        put_line(w->cli, o);
    }
    for (size_t i = 0; i < now->n_tensors; i++)
        if (has_ended(&now->tensor[i]) && (first || !has_ended(&before->tensor[i])))
            put_tensor(w, now, i);
    for (size_t i = 0; i < now->n_layers; i++)
        if (now->layer[i].state != (first ? QS_CALIB_WAITING : before->layer[i].state))
            put_layer(w, now, i);
}

static void tick(void *ctx)
{
    struct qs_calib_work *w = ctx;
    struct qs_calib_view now;
    struct qs_err e = QS_ERR_INIT;
    if ((w->seen.layer && w->seen.version == qs_calib_watch_version(w->watch)) ||
        qs_calib_watch_copy(w->watch, &now, &e))
        return;
    if (w->cli->json)
        tell_news(w, &w->seen, &now);
    qs_calib_view_free(&w->seen);
    w->seen = now;
}

/* ---- one calibration ----------------------------------------------------------------------------------------- */

static int open_it(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_calib_work *w = ctx;
    qs_job_phase(job, "reading", "", 0);
    const int rc = qs_calibrate_open(&w->args, &w->x, e);
    return rc ? rc : qs_calibrate_need(w->x, &w->need, e);
}

static int calibrate(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_calib_work *w = ctx;
    return qs_calibrate_run(w->x, job, e);
}

/* Those behind the first `from`. Returns how many there are. */
static size_t tell_warnings(struct qs_calib_work *w, size_t from)
{
    size_t n = 0;
    const char *const *warning = qs_calibrate_warnings(w->x, &n);
    for (size_t i = from; i < n; i++)
        qs_cli_warn(w->cli, "%s", warning[i]);
    return n;
}

static void tell_need(struct qs_calib_work *w)
{
    char memory[24], time[48], spill[24];
    if (w->cli->json)
        return;
    qs_fmt_seconds(time, sizeof time, w->need.seconds);
    qs_fmt_bytes(memory, sizeof memory, w->need.memory);
    if (w->need.spill)
        qs_cli_note(w->cli, "this takes about %s, %s of memory and %s of scratch files", time, memory,
                    qs_fmt_bytes(spill, sizeof spill, w->need.spill));
    else
        qs_cli_note(w->cli, "this takes about %s and %s of memory", time, memory);
}

static int run_once(struct qs_calib_work *w, struct qs_err *e)
{
    const double start = qs_now();
    size_t told = 0;
    qs_calibrate_free(w->x);
    w->x = NULL;
    int rc = qs_cli_job(w->cli, "read", open_it, w, NULL, e);
    if (rc)
        return rc;
    if (w->dry_run) /* the report has all of it */
        return QS_OK;
    told = tell_warnings(w, 0);
    tell_need(w);
    rc = qs_cli_job_watched(w->cli, "calibrate", calibrate, w, "the same command goes on where this one stopped", tick,
                            w, e);
    tell_warnings(w, told);
    w->seconds = (w->seconds > 0 ? w->seconds : 0) + qs_now() - start;
    return rc;
}

/* ---- a budget ------------------------------------------------------------------------------------------------ */

static const int ladder[] = { QS_Q2_K, QS_Q3_K, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q8_0 };
enum { N_LADDER = sizeof ladder / sizeof *ladder };

struct fitting {
    struct qs_calib_work *w;
    struct qs_recipe *plain; /* where none is given */
    struct qs_imatrix *imatrix;
    struct qs_outputs *outputs;
    struct qs_survey *survey;
};

/* Errors that the statistics do not have are measured on the weights. */
static int measure(struct qs_job *job, struct fitting *f, const struct qs_statistics *s, struct qs_err *e)
{
    const struct qs_survey_args args = { .imatrix = f->imatrix, .errors = true, .types = ladder, .n_types = N_LADDER };
    if (s && s->n_errors)
        return qs_survey_new(f->w->model, &args, &f->survey, e);
    return qs_survey_run(f->w->model, &args, f->w->args.pool, job, &f->survey, e);
}

static struct qs_fit_args fit_args(const struct fitting *f)
{
    const struct qs_calib_work *w = f->w;
    return (struct qs_fit_args){ .model = w->model, .recipe = w->recipe ? w->recipe : f->plain,
                                 .statistics = w->x ? qs_calibrate_statistics(w->x) : NULL, .survey = f->survey,
                                 .budget = w->fitted, .tie = qs_cli_has(w->cli, "tie"),
                                 .imatrix_only = !w->args.methods.gptq };
}

/* Before hours of collecting: of the types whose errors are measured there. */
static int check(const struct fitting *f, struct qs_err *e)
{
    struct qs_fit_args args = fit_args(f);
    if (!f->w->args.statistics_in) {
        args.type = ladder;
        args.n_types = N_LADDER;
    }
    return qs_fit_check(&args, e);
}

static int fit(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct fitting *f = ctx;
    struct qs_calib_work *w = f->w;
    int rc = measure(job, f, qs_calibrate_statistics(w->x), e);
    struct qs_fit_args args = fit_args(f);
    rc = rc ? rc : qs_fit_measure_outputs(&args, w->args.pool, job, &f->outputs, e);
    args.outputs = f->outputs;
    qs_job_phase(job, "fitting", "", 0);
    return rc ? rc : qs_fit_run(&args, &w->fit, e);
}

static void tell_fit(struct qs_calib_work *w)
{
    char size[24];
    const struct qs_fit *f = w->fit;
    qs_fmt_bytes(size, sizeof size, f->bytes);
    qs_cli_note(w->cli, "%s: %s of tensors, %.3f bpw, predicted %s %.6f%s", w->fitted.text, size, f->bpw,
                f->kld ? "KL divergence" : "sum of squared errors", f->predicted,
                f->exact ? ", the least there is" : "");
    if (!w->cli->json)
        return;
    struct qs_json *o = event("fit");
    qs_json_add_str(o, "budget", w->fitted.text);
    qs_json_add_uint(o, "bytes", f->bytes);
    put_number(o, "bpw", f->bpw);
    put_number(o, "predicted", f->predicted);
    put_number(o, "bound", f->bound);
    qs_json_add_bool(o, "exact", f->exact);
    qs_json_add_bool(o, "kld", f->kld);
    put_line(w->cli, o);
}

static int save_recipe(struct qs_calib_work *w, const char *path, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    int rc = qs_recipe_print(w->fit->recipe, &text, e);
    if (!rc)
        rc = text.failed ? qs_fail_mem(e, text.len, "a recipe")
                         : qs_file_write_atomic(path, text.data, text.len, qs_cli_has(w->cli, "force"), e);
    qs_str_free(&text);
    return rc;
}

/* Statistics with errors and swaps, then the recipe, which is encoded next with these statistics. */
static int fit_budget(struct qs_calib_work *w, struct qs_err *e)
{
    const char *recipe_out = qs_cli_str(w->cli, "recipe-out", NULL);
    struct fitting f = { .w = w };
    struct qs_calibrate_args *a = &w->args;
    const struct qs_calibrate_args asked = *a;
    a->recipe = NULL;
    a->errors = a->text.n_sources > 0 && !asked.statistics_in;
    a->swap_windows = asked.swap_windows ? asked.swap_windows : a->errors ? 8 : 0;
    int rc = w->recipe ? QS_OK : qs_recipe_new(NULL, &f.plain, e);
    rc = rc ? rc : check(&f, e);
    rc = rc ? rc : run_once(w, e);
    const char *statistics = asked.statistics_in ? asked.statistics_in : asked.statistics_out;
    if (rc || w->dry_run) {
        qs_recipe_free(f.plain);
        return rc;
    }
    rc = qs_imatrix_open(statistics, &f.imatrix, e);
    rc = rc ? rc : qs_cli_job(w->cli, "fit", fit, &f, NULL, e);
    qs_outputs_free(f.outputs);
    qs_survey_free(f.survey);
    qs_imatrix_free(f.imatrix);
    qs_recipe_free(f.plain);
    if (rc)
        return rc;
    tell_fit(w);
    if (recipe_out)
        rc = save_recipe(w, recipe_out, e);
    *a = asked;
    a->recipe = w->fit->recipe;
    a->statistics_in = statistics;
    a->statistics_out = NULL;
    a->errors = false;
    a->swap_windows = 0;
    return rc;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

struct writing {
    struct qs_calib_work *w;
    struct qs_plan *plan;
    struct qs_writer_args args;
    struct qs_writer_result *result;
};

static int write_it(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct writing *x = ctx;
    return qs_writer_run(x->plan, &x->args, x->w->args.pool, job, &x->result, e);
}

static int write_file(struct qs_calib_work *w, struct qs_err *e)
{
    const char *statistics = w->args.statistics_in ? w->args.statistics_in : w->args.statistics_out;
    struct writing x = { .w = w };
    struct qs_imatrix *imatrix = NULL;
    int rc = statistics ? qs_imatrix_open(statistics, &imatrix, e) : QS_OK;
    const struct qs_plan_args plan = { .imatrix = imatrix, .store = qs_calibrate_store(w->x),
                                       .allow_requantize = w->args.allow_requantize };
    rc = rc ? rc : qs_plan_make(w->model, w->args.recipe, &plan, &x.plan, e);
    for (size_t i = 0; !rc && i < x.plan->n_warnings; i++)
        qs_cli_warn(w->cli, "%s", x.plan->warning[i]);
    x.args = (struct qs_writer_args){
        .path = w->write, .force = qs_cli_has(w->cli, "force"), .restart = w->args.restart, .imatrix_path = statistics
    };
    rc = rc ? rc : qs_cli_job(w->cli, "quantize", write_it, &x, NULL, e);
    qs_writer_result_free(x.result);
    qs_plan_free(x.plan);
    qs_imatrix_free(imatrix);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int show(struct qs_calib_work *w)
{
    size_t n = 0;
    const char *const *warning = qs_calibrate_warnings(w->x, &n);
    const struct qs_corpus *c = qs_calibrate_corpus(w->x);
    const bool data = w->cli->json || w->cli->csv;
    if (w->cli->quiet && !data && !w->dry_run)
        return QS_EXIT_DONE;
    const struct qs_calib_report r = {
        .model = w->model, .view = w->seen.layer ? &w->seen : NULL, .mix = c ? c->mix : NULL, .n_mix = c ? c->n_mix : 0,
        .n_fit = c ? c->n_fit : 0, .n_held = c ? c->n_held : 0, .n_ctx = c ? c->n_ctx : 0, .warning = warning,
        .n_warnings = data || w->dry_run ? n : 0, .need = &w->need,
        .statistics = w->args.statistics_in ? w->args.statistics_in : w->args.statistics_out,
        .store = w->args.recipe ? w->args.store : NULL, .written = w->dry_run ? NULL : w->write,
        .recipe = w->args.recipe ? w->args.recipe->preset->name : NULL, .fit = w->fit,
        .budget = w->fit ? w->fitted.text : NULL, .seconds = w->dry_run ? -1 : w->seconds, .data = data,
        .tensors = data || qs_cli_has(w->cli, "tensors"),
    };
    return qs_cli_show(w->cli, qs_report_calibrate(&r), w->dry_run ? "texts" : "tensors");
}

int qs_calib_work_run(struct qs_calib_work *w)
{
    struct qs_err e = QS_ERR_INIT;
    int rc = QS_OK;
    w->args.watch = w->watch;
    if (w->budget)
        rc = fit_budget(w, &e);
    if (!rc && !(w->budget && w->dry_run))
        rc = run_once(w, &e);
    if (!rc && w->write && !w->dry_run)
        rc = write_file(w, &e);
    return rc ? qs_cli_fail(w->cli, &e) : show(w);
}
