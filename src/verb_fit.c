/* verb_fit.c - `fit`: bytes in, recipe out, with the reasons; proven on held-out text where asked for.
 *
 * Owns all that it opens while it runs. Solver, costs, swaps and proof are core/calib's, the tables
 * core/report/report_fit.c's, the documentation of the keys is fit_keys.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/calib/prove.h"
#include "core/calib/swap.h"
#include "core/model/vocabulary.h"
#include "core/report/report_fit.h"
#include "src/fit_keys.h"
#include "src/recipe_opts.h"

#define FRONTIER 40

static const struct qs_opt options[] = {
    { .name = "recipe-out", .letter = 'o', .kind = QS_OPT_FILE, .arg = "FILE", .help = "write the recipe" },
    { .name = "force", .letter = 'f', .help = "overwrite existing files" },
    { .name = "tie", .help = "one type for q, k and v of a layer, for gate and up, for its experts" },
    { .name = "allow", .many = true, .kind = QS_OPT_TYPE, .arg = "TYPE", .help = "choose among these types alone" },
    { .name = "weighted-only", .help = "count on importance weights alone: the result will be encoded without GPTQ" },
    { .name = "text", .many = true, .kind = QS_OPT_FILE, .arg = "FILE", .help = "text for --swap-windows" },
    { .name = "swap-windows",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .max = 1 << 20,
      .help = "measure what each tensor's error costs, on N windows of --text: the KL divergence when it alone is "
              "changed" },
    { .name = "ctx",
      .letter = 'c',
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 4,
      .max = 1 << 20,
      .help = "tokens of a window (default: 512, or the model's context where that is shorter)" },
    { .name = "memory",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1 << 20,
      .help = "memory for the hidden states of --swap-windows (default: 1 GiB)" },
    { .name = "statistics-out",
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "write the statistics with what was measured" },
    { .name = "frontier", .help = "show the least divergence at every size, and the presets beside it" },
    { .name = "prove", .help = "measure the result against every preset and uniform type of at most its bytes" },
    { .name = "held-out", .kind = QS_OPT_FILE, .arg = "FILE", .help = "text for --prove, not seen before" },
    { .name = "chunks",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .help = "the first N windows of --held-out (default: all)" },
    { .name = "rivals",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .help = "with --prove: the N largest alone (default: all)" },
    { .name = "no-cache", .help = "measure errors of types afresh and store nothing" },
    QS_RECIPE_OPTIONS,
    { .name = NULL }
};

struct work {
    struct qs_cli *cli;
    struct qs_model *model;
    struct qs_engine *engine;       /* NULL: the program cannot run the model */
    struct qs_inputs *inputs;
    struct qs_statistics *statistics;
    struct qs_store *store;
    struct qs_recipe *recipe;
    struct qs_budget budget;
    struct qs_pool *pool;
    struct qs_vocab *vocab;
    struct qs_chat_template *chat;
    struct qs_corpus *corpus;
    struct qs_outputs *outputs;
    struct qs_survey *survey;
    int *type; size_t n_types;      /* --allow */
    struct qs_fit_args args;
    struct qs_fit *fit;
    struct qs_plan *plan;
    struct qs_fit_point point[FRONTIER]; size_t n_points;
    struct qs_fit_preset *preset; size_t n_presets;
    struct qs_proof *proof;
};

static void work_free(struct work *w)
{
    qs_proof_free(w->proof);
    qs_free(w->preset);
    qs_plan_free(w->plan);
    qs_fit_free(w->fit);
    qs_free(w->type);
    qs_survey_free(w->survey);
    qs_outputs_free(w->outputs);
    qs_corpus_free(w->corpus);
    qs_chat_template_free(w->chat);
    qs_vocab_free(w->vocab);
    qs_recipe_free(w->recipe);
    qs_store_unref(w->store);
    qs_statistics_free(w->statistics);
    qs_inputs_free(w->inputs);
    qs_engine_free(w->engine);
    qs_model_close(w->model);
}

/* ---- what goes in -------------------------------------------------------------------------------------------- */

static int parse_budget(struct work *w, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    for (size_t i = 1; i < qs_cli_args(w->cli); i++)
        qs_str_addf(&text, "%s%s", i > 1 ? " " : "", qs_cli_arg(w->cli, i));
    const int rc =
        text.failed ? qs_fail_mem(e, text.len, "the budget") : qs_budget_parse(text.data, w->model, &w->budget, e);
    qs_str_free(&text);
    return rc;
}

static int check_outputs(struct work *w, struct qs_err *e)
{
    static const char *const out[] = { "recipe-out", "statistics-out" };
    struct qs_cli *cli = w->cli;
    const struct qs_file_input in[] = { { qs_cli_str(cli, "held-out", NULL), "the held-out text" },
                                        { qs_cli_str(cli, "calibrated", NULL), "the calibrated tensors" },
                                        { qs_cli_str(cli, "text", NULL), "the text" } };
    for (size_t i = 0; i < 2; i++) {
        char option[32];
        const char *path = qs_cli_str(cli, out[i], NULL);
        (void)snprintf(option, sizeof option, "--%s", out[i]);
        const int rc = path ? qs_cli_output(cli, path, option, w->model, in, sizeof in / sizeof *in, e) : QS_OK;
        if (rc)
            return rc;
    }
    return QS_OK;
}

/* A model that cannot be run has statistics too, by the names of its tensors. */
static int open_statistics(struct work *w, struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = w->pool, .precision = QS_EXACT, .prio = QS_PRIO_JOB };
    const char *path = qs_cli_str(w->cli, "imatrix", NULL);
    struct qs_err why = QS_ERR_INIT;
    int rc = QS_OK;
    if (qs_engine_can(w->model, &why) == QS_OK) {
        rc = qs_engine_new(w->model, &args, &w->engine, e);
        rc = rc ? rc : qs_inputs_new(w->engine, &w->inputs, e);
    } else if (qs_cli_has(w->cli, "swap-windows") || qs_cli_has(w->cli, "prove")) {
        return qs_fail(e, QS_EUNSUPPORTED, "%s", why.msg);
    }
    if (!rc && path)
        rc = qs_statistics_open(path, w->inputs, w->engine ? w->model : NULL, &w->statistics, e);
    else if (!rc && w->inputs && qs_cli_has(w->cli, "swap-windows"))
        rc = qs_statistics_new(w->inputs, &w->statistics, e);
    return rc;
}

static int parse_types(struct work *w, struct qs_err *e)
{
    const char *text;
    w->type = qs_calloc(qs_cli_count(w->cli, "allow") + 1, sizeof *w->type);
    if (!w->type)
        return qs_fail_mem(e, 0, "types");
    for (; (text = qs_cli_nth(w->cli, "allow", w->n_types)) != NULL; w->n_types++) {
        const int rc = qs_recipe_type(text, &w->type[w->n_types], e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static int open_all(struct work *w, struct qs_err *e)
{
    int rc = qs_model_open(qs_cli_arg(w->cli, 0), &w->model, e);
    if (!rc)
        rc = parse_budget(w, e);
    if (!rc)
        rc = parse_types(w, e);
    if (!rc)
        rc = check_outputs(w, e);
    if (!rc)
        rc = qs_cli_pool(w->cli, &w->pool, e);
    if (!rc)
        rc = open_statistics(w, e);
    if (!rc && w->store)
        rc = qs_store_fits(w->store, w->model, e);
    return rc;
}

/* ---- measuring ----------------------------------------------------------------------------------------------- */

static int open_text(struct work *w, struct qs_err *e)
{
    const size_t n = qs_cli_count(w->cli, "text");
    struct qs_corpus_source *source = qs_calloc(n + 1, sizeof *source);
    int rc = source ? qs_model_vocab(w->model, &w->vocab, e) : qs_fail_mem(e, n * sizeof *source, "the text");
    const char *template = rc ? NULL : qs_vocab_source(w->vocab)->chat_template;
    struct qs_err none; /* chats are refused then, with the reason */
    if (template && qs_chat_template_new(template, strlen(template), &w->chat, &none))
        w->chat = NULL;
    for (size_t i = 0; source && i < n; i++)
        source[i] = (struct qs_corpus_source){ qs_cli_nth(w->cli, "text", i), 1 };
    const struct qs_corpus_args args = { .source = source, .n_sources = n, .n_ctx = qs_cli_num(w->cli, "ctx", 0),
                                         .n_windows = qs_cli_num(w->cli, "swap-windows", 0), .bos = true,
                                         .model_ctx = w->model->hp.n_ctx };
    if (!rc)
        rc = qs_corpus_open(&args, w->vocab, w->chat, &w->corpus, e);
    qs_free(source);
    return rc;
}

static int measure_swaps(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    const struct qs_swap_args args = { .engine = w->engine,
                                       .inputs = w->inputs,
                                       .corpus = w->corpus,
                                       .statistics = w->statistics,
                                       .n_windows = w->corpus->n_fit,
                                       .type = QS_TYPE_NONE,
                                       .pool = w->pool,
                                       .prio = QS_PRIO_JOB,
                                       .memory = qs_cli_num(w->cli, "memory", 0) };
    return qs_swap_run(&args, job, e);
}

static int save_statistics(struct work *w, struct qs_err *e)
{
    const char *path = qs_cli_str(w->cli, "statistics-out", NULL);
    if (!path)
        return QS_OK;
    return qs_statistics_save(w->statistics, w->inputs, w->model, path, false, qs_cli_has(w->cli, "force"), e);
}

static int swaps(struct work *w, struct qs_err *e)
{
    if (!qs_cli_has(w->cli, "swap-windows"))
        return QS_OK;
    int rc = open_text(w, e);
    if (!rc && w->corpus->n_fit < qs_cli_num(w->cli, "swap-windows", 0))
        qs_cli_note(w->cli, "the text gives %zu windows of %zu tokens", w->corpus->n_fit, w->corpus->n_ctx);
    if (!rc)
        rc = qs_cli_job(w->cli, "fit", measure_swaps, w,
                        qs_cli_has(w->cli, "statistics-out")
                            ? "what is measured is kept: go on with --imatrix and that file"
                            : NULL,
                        e);
    if (rc == QS_OK)
        return save_statistics(w, e);
    if (rc == QS_ECANCELLED && w->statistics->n_swaps) { /* whole numbers, not all of them */
        struct qs_err kept = QS_ERR_INIT;
        if (save_statistics(w, &kept))
            qs_cli_warn(w->cli, "%s", kept.msg);
    }
    return rc;
}

static struct qs_fit_args fit_args(const struct work *w)
{
    return (struct qs_fit_args){ .model = w->model,
                                 .recipe = w->recipe,
                                 .statistics = w->statistics,
                                 .outputs = w->outputs,
                                 .survey = w->survey,
                                 .budget = w->budget,
                                 .tie = qs_cli_has(w->cli, "tie"),
                                 .imatrix_only = qs_cli_has(w->cli, "weighted-only"),
                                 .type = w->n_types ? w->type : NULL,
                                 .n_types = w->n_types };
}

static int measure_errors(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    static const int ladder[] = { QS_IQ2_XXS, QS_IQ2_XS, QS_IQ2_S,  QS_Q2_K, QS_IQ3_XXS, QS_IQ3_S,
                                  QS_Q3_K,    QS_IQ4_XS, QS_IQ4_NL, QS_Q4_K, QS_Q4_0,    QS_Q4_1,
                                  QS_Q5_0,    QS_Q5_1,   QS_Q5_K,   QS_Q6_K, QS_Q8_0 };
    const struct qs_survey_args args = { .errors = true, .imatrix = w->statistics ? w->statistics->imatrix : NULL,
                                         .no_cache = qs_cli_has(w->cli, "no-cache"),
                                         .types = w->n_types ? w->type : ladder,
                                         .n_types = w->n_types ? w->n_types : sizeof ladder / sizeof *ladder };
    const struct qs_fit_args fit = fit_args(w);
    const int rc = qs_fit_measure_outputs(&fit, w->pool, job, &w->outputs, e);
    return rc ? rc : qs_survey_run(w->model, &args, w->pool, job, &w->survey, e);
}

/* ---- fitting ------------------------------------------------------------------------------------------------- */

static int plan_of(const struct work *w, const struct qs_recipe *r, bool foretell, struct qs_plan **out,
                   struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = w->statistics ? w->statistics->imatrix : NULL,
                                       .allow_requantize = qs_cli_has(w->cli, "allow-requantize"),
                                       .foretell = foretell };
    return qs_plan_make(w->model, r, &args, out, e);
}

/* The presets that could be carried out, by the same costs. */
static int add_presets(struct work *w, struct qs_err *e)
{
    w->preset = qs_calloc(qs_preset_count() + 1, sizeof *w->preset);
    if (!w->preset)
        return qs_fail_mem(e, qs_preset_count() * sizeof *w->preset, "presets");
    for (size_t i = 0; i < qs_preset_count(); i++) {
        const struct qs_format *f = qs_format_by_id(qs_preset_at(i)->base);
        struct qs_recipe *r = NULL;
        struct qs_plan *plan = NULL;
        if (!f || f->kind == QS_KIND_FLOAT)
            continue;
        int rc = qs_recipe_new(qs_preset_at(i)->name, &r, e);
        rc = rc ? rc : plan_of(w, r, true, &plan, e);
        const double predicted = rc || plan->blocker.code ? (double)NAN : qs_fit_predict(&w->args, plan);
        if (!isnan(predicted))
            w->preset[w->n_presets++] =
                (struct qs_fit_preset){ qs_preset_at(i)->name, plan->bytes, plan->bpw, predicted };
        qs_plan_free(plan);
        qs_recipe_free(r);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static int fit(struct work *w, struct qs_err *e)
{
    w->args = fit_args(w);
    int rc = qs_fit_run(&w->args, &w->fit, e);
    if (!rc && !w->fit->kld)
        qs_cli_note(w->cli,
                    "what an error of each tensor costs is not known, so all count alike, and the head 100 times: "
                    "--swap-windows measures it");
    rc = rc ? rc : plan_of(w, w->fit->recipe, false, &w->plan, e);
    if (!rc && qs_cli_has(w->cli, "frontier")) {
        rc = qs_fit_frontier(&w->args, FRONTIER, w->point, &w->n_points, e);
        rc = rc ? rc : add_presets(w, e);
    }
    return rc;
}

static int write_recipe(struct work *w, struct qs_err *e)
{
    const char *path = qs_cli_str(w->cli, "recipe-out", NULL);
    struct qs_str text = QS_STR_INIT;
    if (!path)
        return QS_OK;
    int rc = qs_recipe_print(w->fit->recipe, &text, e);
    if (!rc)
        rc = qs_file_write_atomic(path, text.data, text.len, qs_cli_has(w->cli, "force"), e);
    qs_str_free(&text);
    return rc;
}

/* What the same recipe is predicted to have as it is measured: without a store no tensor is GPTQ's. */
static int prove(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    struct qs_fit_args costs = w->args;
    costs.imatrix_only |= !w->store;
    const struct qs_prove_args args = {
        .model = w->model,
        .pool = w->pool,
        .prio = QS_PRIO_JOB,
        .recipe = w->fit->recipe,
        .store = w->store,
        .imatrix = w->statistics ? w->statistics->imatrix : NULL,
        .predicted = w->fit->kld ? qs_fit_predict(&costs, w->plan) : (double)NAN,
        .costs = w->fit->kld ? &w->args : NULL,
        .text = qs_cli_str(w->cli, "held-out", NULL),
        .n_ctx = qs_cli_num(w->cli, "ctx", 0),
        .n_windows = qs_cli_num(w->cli, "chunks", 0),
        .allow_requantize = qs_cli_has(w->cli, "allow-requantize"),
        .most = qs_cli_num(w->cli, "rivals", 0),
    };
    return qs_prove_run(&args, job, &w->proof, e);
}

/* ---- output -------------------------------------------------------------------------------------------------- */

static int show(struct work *w)
{
    const struct qs_fit_view view = { .model = w->model,
                                      .fit = w->fit,
                                      .plan = w->plan,
                                      .budget = &w->budget,
                                      .point = w->point,
                                      .n_points = w->n_points,
                                      .preset = w->preset,
                                      .n_presets = w->n_presets,
                                      .proof = w->proof,
                                      .recipe_path = qs_cli_str(w->cli, "recipe-out", NULL) };
    struct qs_str plot = QS_STR_INIT;
    int rc = QS_EXIT_DONE;
    if (!w->cli->json && !w->cli->csv)
        qs_fit_plot(&view, qs_cli_width() ? qs_cli_width() : 80, &plot);
    if (plot.len) {
        qs_str_add(&plot, "\n");
        rc = qs_cli_write(w->cli, plot.data, plot.len);
    }
    qs_str_free(&plot);
    return rc == QS_EXIT_DONE ? qs_cli_show(w->cli, qs_report_fit(&view), w->proof ? "rivals" : "tensors") : rc;
}

static int check_options(struct qs_cli *cli)
{
    if (qs_cli_has(cli, "swap-windows") != qs_cli_has(cli, "text"))
        return qs_cli_usage(cli, "--swap-windows and --text go together: how many windows, of which text");
    if (qs_cli_has(cli, "memory") && !qs_cli_has(cli, "swap-windows"))
        return qs_cli_usage(cli, "--memory goes with --swap-windows");
    if (qs_cli_has(cli, "statistics-out") && (!qs_cli_has(cli, "swap-windows") || !qs_cli_has(cli, "imatrix")))
        return qs_cli_usage(cli, "--statistics-out goes with --imatrix and --swap-windows: they are what it writes");
    if (qs_cli_has(cli, "prove") != qs_cli_has(cli, "held-out"))
        return qs_cli_usage(cli, "--prove and --held-out go together: the text must not have been calibrated on");
    if ((qs_cli_has(cli, "chunks") || qs_cli_has(cli, "rivals")) && !qs_cli_has(cli, "prove"))
        return qs_cli_usage(cli, "--chunks and --rivals go with --prove");
    if (qs_cli_has(cli, "calibrated") && !qs_cli_has(cli, "prove"))
        return qs_cli_usage(
            cli, "--calibrated goes with --prove: calibrated tensors are measured, types are chosen before them");
    if (qs_cli_has(cli, "type"))
        return qs_cli_usage(cli, "fit chooses the types: -t has no say in it (--pin and --rule have)");
    if (qs_cli_has(cli, "pure"))
        return qs_cli_usage(cli, "--pure gives every tensor the same type: there is nothing to choose");
    if (qs_cli_has(cli, "force") && !qs_cli_has(cli, "recipe-out") && !qs_cli_has(cli, "statistics-out"))
        return qs_cli_usage(cli, "--force goes with --recipe-out or --statistics-out: nothing else is written");
    return QS_EXIT_DONE;
}

static int work(struct work *w, struct qs_err *e)
{
    int rc = open_all(w, e);
    if (!rc)
        rc = swaps(w, e);
    if (!rc)
        rc = qs_cli_job(w->cli, "fit", measure_errors, w,
                        qs_cli_has(w->cli, "no-cache") ? NULL : "the same command goes on where this one stopped", e);
    if (!rc)
        rc = fit(w, e);
    if (!rc)
        rc = write_recipe(w, e);
    if (!rc && qs_cli_has(w->cli, "prove"))
        rc = qs_cli_job(w->cli, "fit", prove, w, NULL, e);
    return rc;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct work w = { .cli = cli };
    int rc = check_options(cli);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_recipe(cli, &w.recipe);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_store(cli, &w.store);
    if (rc == QS_EXIT_DONE)
        rc = work(&w, &e) ? qs_cli_fail(cli, &e) : show(&w);
    work_free(&w);
    return rc;
}

const struct qs_verb qs_verb_fit = {
    .name = "fit",
    .args = "MODEL BUDGET...",
    .min_args = 2,
    .max_args = 16,
    .summary = "choose the type of every tensor under a budget of bytes",
    .description = "BUDGET is the size of the file (4.2GiB, 900 MiB, 5000000; its header counts), bits per weight of "
                   "the tensors (4.5 bpw), "
                   "or memory to run in: fits in 8 GiB with 8k context (the KV cache, in F16 or as \"q8_0 cache\" "
                   "says, and the working "
                   "memory of 512 tokens count).\n\n"
                   "A tensor at a type costs the square of its error times a, what an error of this tensor costs: the "
                   "KL divergence of the "
                   "model when it alone is changed. The error is the best that is known: of the output, from the "
                   "statistics of quantscape "
                   "calibrate (--imatrix), else of the weights, with importance where there is an importance matrix. a "
                   "comes from the "
                   "statistics too, or is measured here (--swap-windows); tensors without take the median of their "
                   "role, the head 100 times that of all. The choice is the "
                   "least sum under the bytes, with a proof that no other choice has less by these costs. Pins, rules "
                   "and options of "
                   "the recipe are respected.\n\n"
                   "With --prove the result, every preset and every uniform type of at most its bytes are made in "
                   "memory with the same "
                   "importance and measured on --held-out against the model as it is. When the result is not better by "
                   "more than the error "
                   "bar (two standard errors of the paired difference), that is said and the better one is named.",
    .examples =
        "quantscape fit model.gguf 4.2GiB --imatrix im.gguf -o my.recipe\ta recipe for a size\n"
        "quantscape fit model.gguf 4.5 bpw --text some.txt --swap-windows 30\tmeasured, with the "
        "frontier\n"
        "quantscape fit model.gguf fits in 8 GiB with 8k context\tto run in a memory\n"
        "quantscape fit model.gguf 2GiB --imatrix im.gguf --prove --held-out b.txt\tproven\n",
    .opts = options,
    .keys = qs_fit_keys,
    .run = run,
};
