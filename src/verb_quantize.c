/* verb_quantize.c - `quantize`: carries a recipe out and writes the file.
 *
 * Owns model, recipe, importance matrix, plan and pool while it runs; the work itself is core/quant/writer. Standard
 * output carries the report, standard error the progress and the plan's warnings.
 */
#include <string.h>

#include "core/format/gguf_write.h"
#include "core/model/model.h"
#include "core/quant/plan.h"
#include "core/quant/writer.h"
#include "core/report/report_quantize.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "src/recipe_opts.h"

static const struct qs_opt options[] = {
    { .name = "output",
      .letter = 'o',
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "file to write (default: MODEL.TYPE.gguf beside the model)" },
    QS_RECIPE_OPTIONS,
    { .name = "force", .letter = 'f', .help = "overwrite an existing output" },
    { .name = "restart", .help = "discard what an earlier, unfinished run left" },
    { .name = "split-max-size",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1,
      .help = "write parts of at most SIZE (4GiB, 800MiB)" },
    { .name = "override-kv",
      .many = true,
      .kind = QS_OPT_STR,
      .arg = "KEY=TYPE:VALUE",
      .help = "set metadata; TYPE: int, float, bool, str, or u8 ... f64" },
    { .name = "remove-kv", .many = true, .kind = QS_OPT_STR, .arg = "KEY", .help = "leave metadata out" },
    { .name = "modelfile", .help = "write an Ollama Modelfile beside the output" },
    { .name = "tensors", .help = "list every tensor with its error in the text output (--json and --csv always do)" },
    { .name = NULL }
};

struct work {
    struct qs_model *model;
    struct qs_recipe *recipe;
    struct qs_imatrix *imatrix;
    struct qs_store *store;
    struct qs_plan *plan;
    struct qs_pool *pool;
    struct qs_writer_args args;
    struct qs_writer_result *result;
    struct qs_file_input input[3];
    const char **override_kv, **remove_kv;
    struct qs_str path;
};

static void work_free(struct work *w)
{
    qs_writer_result_free(w->result);
    qs_plan_free(w->plan);
    qs_model_close(w->model);
    qs_imatrix_free(w->imatrix);
    qs_store_unref(w->store);
    qs_recipe_free(w->recipe);
    qs_free((void *)w->override_kv);
    qs_free((void *)w->remove_kv);
    qs_str_free(&w->path);
}

static int writing(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_writer_run(w->plan, &w->args, w->pool, job, &w->result, e);
}

/* The values of an option that may be given many times, as an array. */
static int collect(struct qs_cli *cli, const char *name, const char ***out, size_t *n, struct qs_err *e)
{
    *n = qs_cli_count(cli, name);
    *out = qs_calloc(*n + 1, sizeof **out);
    if (!*out)
        return qs_fail_mem(e, *n * sizeof **out, "options");
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = qs_cli_nth(cli, name, i);
    return QS_OK;
}

static int name_output(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *given = qs_cli_str(cli, "output", qs_cli_arg(cli, 1));
    int rc = QS_OK;
    if (given)
        qs_str_add(&w->path, given);
    else
        rc = qs_writer_default_name(w->model, w->recipe, &w->path, e);
    if (!rc && w->path.failed)
        rc = qs_fail_mem(e, w->path.len, "a file name");
    w->args.path = w->path.data;
    return rc;
}

/* Are the edits of the metadata well-formed, and is there one for each key only? */
static int check_edits(struct qs_cli *cli)
{
    const size_t n_set = qs_cli_count(cli, "override-kv"), n = n_set + qs_cli_count(cli, "remove-kv");
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    struct qs_err e = QS_ERR_INIT;
    int exit_code = QS_EXIT_DONE;
    if (!m) {
        qs_fail_mem(&e, 0, "metadata");
        return qs_cli_fail(cli, &e);
    }
    for (size_t i = 0; i < n && exit_code == QS_EXIT_DONE; i++) {
        const char *text = i < n_set ? qs_cli_nth(cli, "override-kv", i) : qs_cli_nth(cli, "remove-kv", i - n_set);
        const int len = (int)(i < n_set ? strcspn(text, "=") : strlen(text));
        const size_t bad = qs_utf8_invalid_at(text, strlen(text));
        if (i >= n_set && bad < strlen(text))
            exit_code = qs_cli_usage(cli, "--remove-kv: no valid UTF-8 at byte %zu of KEY", bad + 1);
        if (i < n_set && qs_gguf_meta_override(m, text, &e) != QS_OK)
            exit_code = e.code == QS_ENOMEM ? qs_cli_fail(cli, &e) : qs_cli_usage(cli, "--override-kv %s", e.msg);
        for (size_t k = 0; k < i && exit_code == QS_EXIT_DONE; k++) {
            const char *before =
                k < n_set ? qs_cli_nth(cli, "override-kv", k) : qs_cli_nth(cli, "remove-kv", k - n_set);
            if ((int)(k < n_set ? strcspn(before, "=") : strlen(before)) == len && !strncmp(before, text, (size_t)len))
                exit_code = qs_cli_usage(cli,
                                         i < n_set   ? "--override-kv sets %.*s twice"
                                         : k < n_set ? "%.*s is both set by --override-kv and left out by --remove-kv"
                                                     : "--remove-kv names %.*s twice",
                                         len, text);
        }
    }
    qs_gguf_meta_free(m);
    return exit_code;
}

static int fill_args(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    int rc = collect(cli, "override-kv", &w->override_kv, &w->args.n_override_kv, e);
    if (!rc)
        rc = collect(cli, "remove-kv", &w->remove_kv, &w->args.n_remove_kv, e);
    if (!rc)
        rc = name_output(cli, w, e);
    w->args.override_kv = w->override_kv;
    w->args.remove_kv = w->remove_kv;
    w->args.force = qs_cli_has(cli, "force");
    w->args.restart = qs_cli_has(cli, "restart");
    w->args.modelfile = qs_cli_has(cli, "modelfile");
    w->args.split_max_bytes = qs_cli_num(cli, "split-max-size", 0);
    w->args.imatrix_path = qs_cli_str(cli, "imatrix", NULL);
    w->input[0] = (struct qs_file_input){ qs_cli_str(cli, "recipe", NULL), "the recipe" };
    w->input[1] = (struct qs_file_input){ w->args.imatrix_path, "the importance matrix" };
    w->input[2] = (struct qs_file_input){ qs_cli_str(cli, "calibrated", NULL), "the calibrated tensors" };
    w->args.input = w->input;
    w->args.n_input = sizeof w->input / sizeof *w->input;
    return rc;
}

static int make_plan(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = w->imatrix, .store = w->store,
                                       .allow_requantize = qs_cli_has(cli, "allow-requantize") };
    const int rc = qs_plan_make(w->model, w->recipe, &args, &w->plan, e);
    for (size_t i = 0; !rc && i < w->plan->n_warnings; i++)
        qs_cli_warn(cli, "%s", w->plan->warning[i]);
    if (!rc)
        qs_cli_warn_split(cli, w->plan);
    return rc;
}

static int print(struct qs_cli *cli, const struct work *w)
{
    if (cli->quiet && !cli->json && !cli->csv)
        return QS_EXIT_DONE;
    const bool tensors = cli->json || cli->csv || qs_cli_has(cli, "tensors");
    return qs_cli_show(cli, qs_report_quantize(w->plan, w->result, tensors), "tensors");
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct work w = { .path = QS_STR_INIT };
    if (qs_cli_has(cli, "output") && qs_cli_args(cli) > 1)
        return qs_cli_usage(cli, "quantize: the output is named twice, by -o and as the second argument");
    int exit_code = check_edits(cli);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_recipe(cli, &w.recipe);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_imatrix(cli, &w.imatrix);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_store(cli, &w.store);
    if (exit_code == QS_EXIT_DONE) {
        int rc = qs_model_open(qs_cli_arg(cli, 0), &w.model, &e);
        if (!rc)
            rc = fill_args(cli, &w, &e);
        if (!rc)
            rc = make_plan(cli, &w, &e);
        if (!rc)
            rc = qs_cli_pool(cli, &w.pool, &e);
        if (!rc)
            rc = qs_cli_job(cli, "quantize", writing, &w, NULL, &e); /* the writer itself says how to go on */
        exit_code = rc ? qs_cli_fail(cli, &e) : print(cli, &w);
    }
    work_free(&w);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "result.file", "the file that was written; of a split output the first part" },
    { "result.files", "how many files" },
    { "result.preset", "preset of the recipe" },
    { "result.calibrated", "file of calibrated tensors; only with --calibrated" },
    { "result.calibrated_tensors", "tensors that were taken from it; only with --calibrated" },
    { "result.bytes", "bytes of all files" },
    { "result.tensor_bytes", "bytes of the result's tensors" },
    { "result.source_bytes", "bytes of the source's tensors" },
    { "result.bpw", "bits per weight of the result's tensors" },
    { "result.error", "relative RMS error over all weights that were encoded, against the source file" },
    { "result.seconds", "time it took" },
    { "result.resumed_bytes", "bytes found done by an earlier run; only where there are any" },
    { "files[].file", "of a split output: every file" },
    { "tensors[].name", "tensor" },
    { "tensors[].from", "type in the source" },
    { "tensors[].to", "type written" },
    { "tensors[].bytes", "bytes written" },
    { "tensors[].error", "relative RMS error, null when copied" },
    { "tensors[].max_error", "largest absolute error" },
    { "tensors[].weighted_error", "the same with importance weights, null without them" },
    { "tensors[].copied", "whether the bytes were copied as they are" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_quantize = {
    .name = "quantize",
    .args = "FILE [OUT]",
    .min_args = 1,
    .max_args = 2,
    .summary = "write a quantized GGUF",
    .description =
        "Applies a preset or a recipe to a model and writes the result. Reading, encoding on all cores and writing "
        "overlap.\n\n"
        "From a Hugging Face folder it makes a GGUF file beside the folder; preset F16, BF16 or F32 converts it and no "
        "more.\n\n"
        "Until it is whole the output is called OUT.part, with a journal OUT.part.journal beside it. A run that was "
        "cancelled, killed or met a full disk goes on where it stopped when the same command is given again, and ends "
        "with the same bytes. The source is never written to; an existing output is kept unless --force is given, and "
        "a file that is read is never written over.\n\n"
        "Weights that are NaN or infinite, and weights so large that they would become so, are an error that names the "
        "tensor: a model with such weights computes NaN.\n\n"
        "Types that need an importance matrix are refused without one, before anything is written. A source that is "
        "quantized already is copied where the type stays the same; from Q8_0 it is converted with a warning, from "
        "lower types only with --allow-requantize. Errors are always against the source file.",
    .examples =
        "quantscape quantize model-f16.gguf -t Q4_K_M\twrites model-f16.Q4_K_M.gguf\n"
        "quantscape quantize Qwen3-0.6B -t Q4_K_M\tfrom a folder: writes Qwen3-0.6B.Q4_K_M.gguf\n"
        "quantscape quantize model-f16.gguf -t IQ3_M --imatrix m.imatrix -o small.gguf\twith importance weights\n"
        "quantscape quantize model-f16.gguf --recipe my.recipe --split-max-size 4GiB\tin parts\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
