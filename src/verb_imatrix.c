/* verb_imatrix.c - `imatrix`: what importance matrices and statistics files know; merging them, and one form made of
 * the other.
 *
 * Owns the statistics while it runs; reading, merging and writing are core/calib/statistics*.c, the tables are
 * core/report/report_imatrix.c.
 */
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "core/report/report_imatrix.h"
#include "src/verb.h"

static const struct qs_opt options[] = {
    { .name = "model", .kind = QS_OPT_FILE, .arg = "MODEL",
      .help = "check that it belongs to this model, and list what has no entry" },
    { .name = "output", .letter = 'o', .kind = QS_OPT_FILE, .arg = "OUT",
      .help = "write it, or what several files are together; the form is that of the name (.dat: llama.cpp's older form)" },
    { .name = "form", .kind = QS_OPT_CHOICE, .arg = "FORM", .choices = "gguf dat", .help = "the form to write, whatever the name" },
    { .name = "chunk", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 1 << 24,
      .help = "tokens of a chunk where a .dat file was made with other than 512" },
    { .name = "force", .letter = 'f', .help = "overwrite an existing output" },
    { .name = "sort", .letter = 's', .kind = QS_OPT_STR, .arg = "KEY", .help = "sort entries by a column; -KEY: largest first" },
    { .name = "table", .kind = QS_OPT_CHOICE, .arg = "WHAT", .choices = "entries channels massive errors swaps missing",
      .help = "which table --csv prints (default: entries)" },
    { .name = NULL }
};

static int show(struct qs_cli *cli, const struct qs_statistics *s, const struct qs_model *m, const char *path, bool totals_only)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_report *r;
    const struct qs_imatrix_view view = { .path = path, .model = m, .data = cli->json || cli->csv, .totals_only = totals_only,
                                          .sort = qs_cli_str(cli, "sort", NULL) };
    const int rc = qs_report_imatrix(s, &view, &r, &e);
    if (rc == QS_EINVAL && view.sort && strncmp(e.msg, "cannot sort", 11) == 0)
        return qs_cli_usage(cli, "--sort: %s", e.msg);
    if (rc)
        return qs_cli_fail(cli, &e);
    const int exit_code = qs_cli_print(cli, r, totals_only ? "imatrix" : qs_cli_str(cli, "table", "entries"));
    qs_report_free(r);
    return exit_code;
}

/* All files as one. */
static int read_all(struct qs_cli *cli, struct qs_statistics **out, struct qs_err *e)
{
    const uint32_t chunk = (uint32_t)qs_cli_num(cli, "chunk", 0);
    struct qs_statistics *more = NULL;
    int rc = qs_statistics_open_alone(qs_cli_arg(cli, 0), chunk, out, e);
    for (size_t i = 1; rc == QS_OK && i < qs_cli_args(cli); i++) {
        rc = qs_statistics_open_alone(qs_cli_arg(cli, i), chunk, &more, e);
        if (rc == QS_OK && (rc = qs_statistics_merge(*out, more, false, e)) != QS_OK)
            qs_err_prefix(e, "%s", qs_cli_arg(cli, i));
        qs_statistics_free(more);
        more = NULL;
    }
    return rc;
}

static bool wants_dat(const struct qs_cli *cli, const char *path)
{
    const char *form = qs_cli_str(cli, "form", NULL);
    return form ? strcmp(form, "dat") == 0 : qs_path_ends(path, ".dat");
}

/* What the older form cannot hold. */
static void remark(struct qs_cli *cli, const struct qs_statistics *s)
{
    size_t unseen = 0;
    bool more = s->n_errors || s->n_swaps;
    for (size_t i = 0; i < s->imatrix->n_entries; i++)
        unseen += s->imatrix->entry[i].experts > 1 ? s->imatrix->entry[i].unseen : 0;
    for (size_t i = 0; i < s->n_inputs; i++)
        more = more || s->input[i].max || s->input[i].n_rows;
    if (unseen)
        qs_cli_warn(cli, "the .dat form has no counts of experts: %zu that were never seen are written as 1 everywhere", unseen);
    if (more)
        qs_cli_note(cli, "the .dat form holds importance alone: largest values, samples and measured errors are left out");
}

static int write_out(struct qs_cli *cli, const struct qs_statistics *s, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    const bool dat = wants_dat(cli, path);
    if (qs_statistics_save(s, NULL, NULL, path, dat, qs_cli_has(cli, "force"), &e))
        return qs_cli_fail(cli, &e);
    if (dat)
        remark(cli, s);
    return show(cli, s, NULL, path, true);
}

/* Before any work. */
static int check_output(struct qs_cli *cli, const char *path, const struct qs_model *m, struct qs_err *e)
{
    const size_t n = qs_cli_args(cli);
    struct qs_file_input *in = qs_calloc(n + 1, sizeof *in);
    if (!in)
        return qs_fail_mem(e, n * sizeof *in, "a list of files");
    for (size_t i = 0; i < n; i++)
        in[i] = (struct qs_file_input){ qs_cli_arg(cli, i), "an importance matrix" };
    const int rc = qs_cli_output(cli, path, "-o", m, in, n, e);
    qs_free(in);
    return rc;
}

static int check_options(struct qs_cli *cli)
{
    const bool out = qs_cli_has(cli, "output");
    if (qs_cli_args(cli) > 1 && !out)
        return qs_cli_usage(cli, "several files are merged: name the result with -o");
    if (!out && (qs_cli_has(cli, "form") || qs_cli_has(cli, "force")))
        return qs_cli_usage(cli, "--form and --force go with -o: nothing else is written");
    if (out && (qs_cli_has(cli, "sort") || qs_cli_has(cli, "table")))
        return qs_cli_usage(cli, "--sort and --table are for looking: with -o only totals are shown");
    if (qs_cli_has(cli, "table") && !cli->csv)
        return qs_cli_usage(cli, "--table goes with --csv: everything else prints all tables");
    if (strcmp(qs_cli_str(cli, "table", ""), "missing") == 0 && !qs_cli_has(cli, "model"))
        return qs_cli_usage(cli, "--table missing needs --model");
    return QS_EXIT_DONE;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    struct qs_statistics *s = NULL;
    const char *path = qs_cli_str(cli, "output", NULL), *model = qs_cli_str(cli, "model", NULL);
    int exit_code = check_options(cli);
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    int rc = model ? qs_model_open(model, &m, &e) : QS_OK;
    if (!rc && path)
        rc = check_output(cli, path, m, &e);
    if (!rc)
        rc = read_all(cli, &s, &e);
    if (!rc && path && m) { /* told before it is written */
        struct qs_report *r;
        const struct qs_imatrix_view view = { .path = path, .model = m };
        rc = qs_report_imatrix(s, &view, &r, &e);
        qs_report_free(r);
    }
    if (rc)
        exit_code = qs_cli_fail(cli, &e);
    else
        exit_code = path ? write_out(cli, s, path) : show(cli, s, m, qs_cli_arg(cli, 0), false);
    qs_statistics_free(s);
    qs_model_close(m);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "imatrix.file", "file as given, or the one written" },
    { "imatrix.form", "statistics, or an importance matrix in one of llama.cpp's forms" },
    { "imatrix.dataset", "what it was collected on, as the file says" },
    { "imatrix.chunks", "chunks (windows) of it; 0: unknown" },
    { "imatrix.chunk_size", "tokens of a chunk; 0: unknown" },
    { "imatrix.tokens", "tokens that were counted" },
    { "imatrix.precision", "precision of the activations that were looked at: exact, fast, or unknown" },
    { "imatrix.entries", "tensors with an entry" },
    { "imatrix.unseen", "experts without a row, over all routed inputs" },
    { "imatrix.rare", "experts with fewer rows than columns, those included" },
    { "imatrix.tokens_needed", "about how many more tokens of such text all of them need" },
    { "imatrix.errors", "output errors that the file keeps" },
    { "imatrix.swaps", "measured changes of single tensors that it keeps" },
    { "imatrix.matrices", "with --model: its matrices that presets quantize" },
    { "imatrix.missing", "of them without an entry" },
    { "imatrix.same_file", "with --model: whether it was collected on this very model (a copy of it is the same); absent where that is not known" },
    { "entries[].name", "tensor" },
    { "entries[].input", "what it reads: block and point" },
    { "entries[].columns", "columns of the tensor" },
    { "entries[].experts", "experts; 1: dense" },
    { "entries[].rows", "rows that were counted, of all experts" },
    { "entries[].least_rows", "rows of the expert that saw fewest" },
    { "entries[].mean_square", "mean of the squared values" },
    { "entries[].mean", "mean of the values; null where the file has no sums of them" },
    { "entries[].largest", "largest magnitude; null where the file does not keep it" },
    { "entries[].outlier_ratio", "largest channel over the median one: by largest magnitude, or RMS where that is not kept" },
    { "entries[].salient", "share of channels at 8 times the median and above" },
    { "entries[].dead", "channels that were always 0" },
    { "entries[].unseen", "experts without a row" },
    { "entries[].rare", "experts with fewer rows than columns, those included" },
    { "entries[].tokens_needed", "about how many more tokens of such text they need; unseen ones as if seen once" },
    { "entries[].sample", "activation rows kept" },
    { "entries[].nonfinite", "rows with NaN or infinity, left out" },
    { "channels[].input", "what has the channel; those at 8 times the median and above, at most 8 of each input" },
    { "channels[].tensor", "the first tensor that reads it" },
    { "channels[].channel", "its number" },
    { "channels[].ratio", "over the median channel" },
    { "massive[].input", "where a token has values far above those of others" },
    { "massive[].window", "window of the text" },
    { "massive[].position", "position in it" },
    { "massive[].token", "the token's number" },
    { "massive[].largest", "its largest magnitude" },
    { "massive[].ratio", "over that of the median row" },
    { "errors[].name", "tensor" },
    { "errors[].type", "type it was encoded to" },
    { "errors[].method", "how" },
    { "errors[].error", "relative output error on the windows held out" },
    { "errors[].fitted", "the same on those fitted to" },
    { "errors[].seconds", "what encoding took" },
    { "swaps[].name", "tensor that was changed alone" },
    { "swaps[].type", "to this type" },
    { "swaps[].method", "how" },
    { "swaps[].kld", "KL divergence of the model measured then" },
    { "swaps[].kld_se", "its standard error" },
    { "swaps[].windows", "windows it was measured on" },
    { "swaps[].error", "output error of the tensor" },
    { "missing[].name", "with --model: a matrix that has no entry" },
    { "missing[].role", "what it is for" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_imatrix = {
    .name = "imatrix",
    .args = "FILE...",
    .min_args = 1,
    .max_args = UINT_MAX,
    .summary = "look into importance matrices and statistics, merge and convert them",
    .description =
        "Shows what an importance matrix (llama.cpp's GGUF or .dat form) or a statistics file of a calibration knows: how many "
        "rows each tensor's input had, their mean squares and largest values, channels that stand out, and experts that were "
        "never or rarely seen, with the tokens that they still need.\n\n"
        "With -o the file is written again, or several are merged into one: sums, counts, largest values; samples are drawn anew "
        "from all. The GGUF form is what llama-quantize and llama-imatrix read, whatever else is in it; there an expert that was "
        "never seen stays so. Measured errors belong to the statistics they were measured under and are dropped by merging.",
    .examples = "quantscape imatrix stats.gguf\twhat a file knows\n"
                "quantscape imatrix llama.imatrix.gguf --model model-f16.gguf\tdoes it belong to the model, and what has no entry\n"
                "quantscape imatrix books.gguf code.gguf -o both.gguf\tmerged\n"
                "quantscape imatrix stats.gguf -o stats.dat\tthe older form\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
