/* verb_plan.c - `plan`: what quantize would do, tensor by tensor, without writing anything.
 *
 * Owns model, recipe, plan and survey while it runs; the table is core/report/report_choice.c.
 */
#include "core/model/model.h"
#include "core/quant/plan.h"
#include "core/quant/survey_types.h"
#include "core/quant/writer.h"
#include "core/report/report_plan.h"
#include "src/recipe_opts.h"

static const struct qs_opt options[] = {
    QS_RECIPE_OPTIONS,
    { .name = "split-max-size",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1,
      .help = "parts of at most SIZE (4GiB, 800MiB)" },
    { .name = "changes-only", .help = "list only the tensors that are converted" },
    { .name = "measure",
      .help = "measure first: the error of each tensor at its type on a sample of rows, its kurtosis "
              "and outliers on all weights" },
    { .name = "no-cache", .help = "with --measure: measure afresh and store nothing" },
    { .name = NULL }
};

struct work {
    struct qs_model *model;
    struct qs_recipe *recipe;
    struct qs_imatrix *imatrix;
    struct qs_store *store;
    struct qs_plan *plan;
    struct qs_pool *pool;
    struct qs_survey_args args;
    struct qs_survey_types types;
    struct qs_survey *survey; /* NULL: nothing is measured */
};

static void work_free(struct work *w)
{
    qs_survey_free(w->survey);
    qs_survey_types_free(&w->types);
    qs_plan_free(w->plan);
    qs_imatrix_free(w->imatrix);
    qs_store_unref(w->store);
    qs_recipe_free(w->recipe);
    qs_model_close(w->model);
}

/* For quantize, which names its output with -o. */
static const char *advice_words(enum qs_advice a)
{
    static char buf[QS_ADVICE_MAX]; /* one thread */
    return qs_cli_advice(a, "-o", buf, sizeof buf);
}

/* What quantize would come to and stumble over with the name it takes without -o. */
static int foretell(struct qs_cli *cli, struct qs_plan *plan, const char *path, struct qs_writer_forecast *f,
                    struct qs_err *e)
{
    const struct qs_writer_args args = { .path = path, .imatrix_path = qs_cli_str(cli, "imatrix", NULL),
                                         .split_max_bytes = qs_cli_num(cli, "split-max-size", 0) };
    const int rc = qs_writer_forecast(plan, &args, cli->threads ? cli->threads : qs_cpu_count(), f, e);
    if (rc || !f->refusal.code)
        return rc;
    return qs_plan_warn(plan, e, "quantize without -o would stop: %s%s", f->refusal.msg,
                        advice_words(f->refusal.advice));
}

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_survey_run(w->model, &w->args, w->pool, job, &w->survey, e);
}

/* What is known of each tensor at its type: sampled errors, and the shape of its distribution. */
static int survey(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    w->args = (struct qs_survey_args){ .errors = true, .stats = true, .imatrix = w->imatrix,
                                       .no_cache = qs_cli_has(cli, "no-cache") };
    int rc = qs_survey_types_plan(w->plan, &w->types, e);
    qs_survey_types_use(&w->types, &w->args);
    if (!rc)
        rc = qs_cli_pool(cli, &w->pool, e);
    if (!rc && qs_model_is_quantized(w->model))
        qs_cli_note(cli, "the model is quantized already: errors are against this file, not the original");
    if (!rc)
        rc = qs_cli_job(cli, "plan", measure, w,
                        w->args.no_cache ? NULL : "the same command goes on where this one stopped", e);
    return rc;
}

static int make(struct qs_cli *cli, struct work *w, struct qs_writer_forecast *f, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    const struct qs_plan_args args = {
        .imatrix = w->imatrix,
        .store = w->store,
        .allow_requantize = qs_cli_has(cli, "allow-requantize"),
        .foretell = true,
    };
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w->model, e);
    if (!rc)
        rc = qs_writer_default_name(w->model, w->recipe, &path, e);
    if (!rc)
        rc = qs_plan_make(w->model, w->recipe, &args, &w->plan, e);
    if (!rc) {
        qs_cli_warn_split(cli, w->plan);
        rc = qs_plan_put_advice(w->plan, advice_words, e);
    }
    if (!rc)
        rc = foretell(cli, w->plan, path.data, f, e);
    if (!rc && qs_cli_has(cli, "measure"))
        rc = survey(cli, w, e);
    qs_str_free(&path);
    return rc;
}

static int show(struct qs_cli *cli, const struct work *w, const struct qs_writer_forecast *f)
{
    const struct qs_choice_view view = { .survey = w->survey, .changes_only = qs_cli_has(cli, "changes-only") };
    return qs_cli_show(cli, qs_report_plan(w->plan, &view, f), "tensors");
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_writer_forecast f;
    struct work w = { .model = NULL };
    if (qs_cli_has(cli, "no-cache") && !qs_cli_has(cli, "measure"))
        return qs_cli_usage(cli, "--no-cache goes with --measure: nothing else is measured");
    int rc = qs_cli_recipe(cli, &w.recipe);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_imatrix(cli, &w.imatrix);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_store(cli, &w.store);
    if (rc == QS_EXIT_DONE)
        rc = make(cli, &w, &f, &e) ? qs_cli_fail(cli, &e) : show(cli, &w, &f);
    work_free(&w);
    return rc;
}

static const struct qs_key_doc keys[] = {
    { "plan.source", "file name of the source" },
    { "plan.preset", "preset of the recipe" },
    { "plan.calibrated", "file of calibrated tensors; only with --calibrated" },
    { "plan.calibrated_tensors", "tensors that are taken from it; only with --calibrated" },
    { "plan.tensors", "how many tensors" },
    { "plan.weights", "how many weights" },
    { "plan.source_bytes", "bytes of the source's tensors" },
    { "plan.bytes", "bytes of the result's tensors" },
    { "plan.file_bytes", "bytes of the result with headers, all parts" },
    { "plan.files", "how many files" },
    { "plan.bpw", "bits per weight of the result" },
    { "plan.ratio", "bytes of the result over those of the source" },
    { "plan.peak_memory", "private memory that writing needs, predicted, in bytes" },
    { "plan.free_disk", "free bytes where the source lies" },
    { "plan.fits_disk", "whether the result fits there, counting what an unfinished run holds already" },
    { "plan.writable", "false: quantize refuses this plan, whatever the output is called; a warning says why" },
    { "plan.warnings", "how many warnings" },
    { "tensors[].name", "tensor" },
    { "tensors[].role", "what it is for" },
    { "tensors[].layer", "its block; null outside of blocks" },
    { "tensors[].shape", "columns x rows x experts" },
    { "tensors[].from", "type in the source" },
    { "tensors[].to", "type in the result" },
    { "tensors[].bytes", "bytes in the result" },
    { "tensors[].bpw", "bits per weight in the result" },
    { "tensors[].error",
      "relative RMS error in that type, with error_how and, where sampled, error_se; null: copied as it "
      "is, or cannot be measured. Only with --measure, like kurtosis and outliers" },
    { "tensors[].kurtosis", "fourth moment of the weights over squared variance: 3 for a Gaussian" },
    { "tensors[].outliers", "rows and columns whose largest weight is 4 times that of the median one, or more" },
    { "tensors[].why", "base, preset, pin, rule, option, kept, same or copy" },
    { "tensors[].fallback", "whether the row length forced another type than wanted" },
    { "tensors[].importance", "whether importance weights are used; null without --imatrix" },
    { "tensors[].reason", "the same for people, or what keeps the plan from being carried out" },
    { "types[].type", "type in the result" },
    { "types[].tensors", "tensors of this type" },
    { "types[].weights", "weights of this type" },
    { "types[].bytes", "bytes of this type" },
    { "types[].share", "share of all bytes" },
    { "warnings[].warning", "one line for people" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_plan = {
    .name = "plan",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "show what quantize would do with every tensor, and what it would need",
    .description =
        "Applies a preset or a recipe to a model and prints type, bytes and reason of every tensor, with the size of "
        "the result, the memory and the disk it needs, and whatever should be minded: also what would keep quantize "
        "from starting (missing importance weights, a source that is quantized already, a pin or rule that cannot be), "
        "as a warning. Nothing is written; only headers are read, so weights that are NaN show up in check and "
        "quantize only.\n\n"
        "With --measure the weights are read too, and the table has what the screen shows of each tensor: the relative "
        "RMS error of its type, sampled (marked ~), its kurtosis and its outliers. They come from the same cache as "
        "those of quantscape survey.\n\n"
        "Presets follow llama.cpp's choice tensor by tensor. Pins beat the options for output and embeddings, these "
        "beat rules, rules beat the preset.",
    .examples = "quantscape plan model.gguf -t Q4_K_M\twhat the preset gives\n"
                "quantscape plan model.gguf -t IQ3_M --rule 'blk\\.[0-3]\\.=Q6_K'\tfirst layers better\n"
                "quantscape plan model.gguf --measure --csv\twhat the screen shows of each tensor, as a table\n"
                "quantscape plan model.gguf --recipe my.recipe --json\tfor programs\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
