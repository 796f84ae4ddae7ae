/* verb_plan.c - `plan`: what quantize would do, tensor by tensor, without writing anything. */
#include "core/model/model.h"
#include "core/quant/plan.h"
#include "core/quant/writer.h"
#include "core/report/report_plan.h"
#include "src/recipe_opts.h"

static const struct qs_opt options[] = {
    QS_RECIPE_OPTIONS,
    { .name = "split-max-size", .kind = QS_OPT_SIZE, .arg = "SIZE", .min = 1, .help = "parts of at most SIZE (4GiB, 800MiB)" },
    { .name = "changes-only", .help = "list only the tensors that are converted" },
    { .name = NULL }
};

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
    return qs_plan_warn(plan, e, "quantize without -o would stop: %s%s", f->refusal.msg, advice_words(f->refusal.advice));
}

static int show(struct qs_cli *cli, struct qs_plan *plan, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_writer_forecast f;
    qs_cli_warn_split(cli, plan);
    if (qs_plan_put_advice(plan, advice_words, &e) || foretell(cli, plan, path, &f, &e))
        return qs_cli_fail(cli, &e);
    struct qs_report *r = qs_report_plan(plan, qs_cli_has(cli, "changes-only"), &f);
    if (!r) {
        qs_fail_mem(&e, 0, "the report");
        return qs_cli_fail(cli, &e);
    }
    int rc = qs_cli_print(cli, r, "tensors");
    qs_report_free(r);
    return rc;
}

static int make(struct qs_cli *cli, const struct qs_model *m, const struct qs_recipe *recipe,
                const struct qs_imatrix *im)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_plan *plan = NULL;
    struct qs_str path = QS_STR_INIT;
    int rc = qs_writer_default_name(m, recipe, &path, &e);
    const struct qs_plan_args args = {
        .imatrix = im,
        .allow_requantize = qs_cli_has(cli, "allow-requantize"),
        .foretell = true,
    };
    if (!rc)
        rc = qs_plan_make(m, recipe, &args, &plan, &e);
    const int exit_code = rc ? qs_cli_fail(cli, &e) : show(cli, plan, path.data);
    qs_plan_free(plan);
    qs_str_free(&path);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    struct qs_recipe *recipe = NULL;
    struct qs_imatrix *im = NULL;
    int rc = qs_cli_recipe(cli, &recipe);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_imatrix(cli, &im);
    if (rc == QS_EXIT_DONE && qs_model_open(qs_cli_arg(cli, 0), &m, &e))
        rc = qs_cli_fail(cli, &e);
    if (rc == QS_EXIT_DONE)
        rc = make(cli, m, recipe, im);
    qs_model_close(m);
    qs_imatrix_free(im);
    qs_recipe_free(recipe);
    return rc;
}

static const struct qs_key_doc keys[] = {
    { "plan.source", "file name of the source" },
    { "plan.preset", "preset of the recipe" },
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
    { "tensors[].shape", "columns x rows x experts" },
    { "tensors[].from", "type in the source" },
    { "tensors[].to", "type in the result" },
    { "tensors[].bytes", "bytes in the result" },
    { "tensors[].bpw", "bits per weight in the result" },
    { "tensors[].why", "base, preset, pin, rule, option, kept, same or copy" },
    { "tensors[].fallback", "whether the row length forced another type than wanted" },
    { "tensors[].importance", "whether importance weights are used; null without --imatrix" },
    { "tensors[].reason", "the same for people" },
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
        "the "
        "result, the memory and the disk it needs, and whatever should be minded: also what would keep quantize from "
        "starting (missing importance weights, a source that is quantized already, a pin or rule that cannot be), as a warning. Nothing is written; only headers are read, so weights that are NaN show up in check and quantize "
        "only.\n\n"
        "Presets follow llama.cpp's choice tensor by tensor. Pins beat the options for output and embeddings, these "
        "beat "
        "rules, rules beat the preset.",
    .examples = "quantscape plan model.gguf -t Q4_K_M\twhat the preset gives\n"
                "quantscape plan model.gguf -t IQ3_M --rule 'blk\\.[0-3]\\.=Q6_K'\tfirst layers better\n"
                "quantscape plan model.gguf --recipe my.recipe --json\tfor programs\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
