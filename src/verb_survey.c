/* verb_survey.c - `survey`: every tensor's error at every type, and the shape of its distribution.
 *
 * Owns the model and the importance matrix while it runs; the measuring is core/quant/survey.c, the tables are
 * core/report/report_survey.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/survey.h"
#include "core/report/report_survey.h"
#include "src/verb.h"

#define MAX_TYPES 64

static const struct qs_opt options[] = {
    { .name = "types", .letter = 't', .kind = QS_OPT_STR, .arg = "LIST",
      .help = "measure these types (Q4_K,Q6_K) instead of all that can be written" },
    { .name = "sample", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = UINT64_C(1) << 40,
      .help = "measure whole rows of about N weights of each tensor instead of 65536" },
    { .name = "whole", .help = "measure all weights instead of a sample" },
    { .name = "seed", .kind = QS_OPT_NUM, .arg = "N", .help = "choose other rows for the sample" },
    { .name = "match", .letter = 'm', .kind = QS_OPT_STR, .arg = "RE", .help = "only tensors whose name matches" },
    { .name = "imatrix", .kind = QS_OPT_FILE, .arg = "FILE", .help = "importance matrix used by the encoders" },
    { .name = "no-stats", .help = "errors only; do not read every weight for the distributions" },
    { .name = "no-errors", .help = "distributions only" },
    { .name = "outliers", .help = "list all outlier rows and columns (up to 64 of each per tensor) instead of the worst ten" },
    { .name = "no-cache", .help = "measure afresh and store nothing" },
    { .name = "sort", .kind = QS_OPT_STR, .arg = "KEY", .help = "sort tensors by a column; -KEY: largest first" },
    { .name = "worst", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 1000000, .help = "show the N worst tensors" },
    { .name = NULL }
};

struct work {
    struct qs_model *model;
    struct qs_survey_args args;
    struct qs_pool *pool;
    struct qs_survey *survey;
    struct qs_statistics *statistics; /* what the importance matrix's file knows beside; NULL: it was not given */
    struct qs_outputs *outputs;
};

/* Of all that the survey shows, where the statistics keep activation rows. */
static int measure_outputs(const struct work *w, struct qs_job *job, struct qs_err *e)
{
    const struct qs_survey *s = w->survey;
    const struct qs_output_args args = { .sample_weights = w->args.whole ? UINT64_MAX : w->args.sample_weights, .pool = w->pool,
                                         .prio = QS_PRIO_JOB, .job = job };
    struct qs_output_want *want = qs_calloc(s->n_tensors * s->n_types + 1, sizeof *want);
    size_t n = 0;
    if (!want)
        return qs_fail_mem(e, s->n_tensors * s->n_types * sizeof *want, "output errors");
    for (size_t i = 0; i < s->n_tensors; i++)
        for (size_t k = 0; k < s->n_types; k++)
            want[n++] = (struct qs_output_want){ qs_model_index(w->model, s->tensor[i]), s->type[k] };
    const int rc = qs_outputs_measure(w->outputs, want, n, &args, e);
    qs_free(want);
    return rc;
}

/* The file's other part, where it has one. */
static int open_statistics(struct work *w, const char *path, struct qs_err *e)
{
    const int rc = qs_statistics_open_alone(path, 0, &w->statistics, e);
    return rc ? rc : qs_outputs_new(w->model, w->statistics, &w->outputs, e);
}

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    const int rc = qs_survey_run(w->model, &w->args, w->pool, job, &w->survey, e);
    return rc || !w->outputs || !w->args.errors ? rc : measure_outputs(w, job, e);
}

/* "Q4_K,Q6_K" -> numbers. Returns how many; 0 with *bad set to the first name that is none. */
static size_t parse_types(const char *list, int type[MAX_TYPES], char bad[32])
{
    size_t n = 0;
    while (*list) {
        list += strspn(list, ", ");
        const size_t len = strcspn(list, ", ");
        if (!len)
            break;
        snprintf(bad, 32, "%.*s", (int)(len < 31 ? len : 31), list);
        const struct qs_format *f = qs_format_by_name(bad);
        if (!f || n == MAX_TYPES || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
            return 0;
        type[n++] = f->id;
        list += len;
    }
    return n;
}

static int show(struct qs_cli *cli, const struct work *w)
{
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_survey_view view = {
        .data = cli->json || cli->csv, .outliers = qs_cli_has(cli, "outliers"), .all_types = w->args.types != NULL,
        .sort = qs_cli_str(cli, "sort", NULL), .worst = (size_t)qs_cli_num(cli, "worst", 0),
        .outputs = w->outputs,
    };
    const int rc = qs_report_survey(w->survey, &view, &r, &e);
    if (rc)
        return rc == QS_EINVAL ? qs_cli_usage(cli, "--sort: %s", e.msg) : qs_cli_fail(cli, &e);
    const char *table = view.outliers ? "channels" : w->args.errors ? "cells" : "tensors";
    const int exit_code = qs_cli_print(cli, r, table);
    qs_report_free(r);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *imatrix = NULL;
    int type[MAX_TYPES];
    char bad[32] = "";
    struct work w = { .args = {
        .sample_weights = qs_cli_num(cli, "sample", 0), .seed = qs_cli_num(cli, "seed", 0),
        .whole = qs_cli_has(cli, "whole"), .stats = !qs_cli_has(cli, "no-stats"), .errors = !qs_cli_has(cli, "no-errors"),
        .match = qs_cli_str(cli, "match", NULL), .no_cache = qs_cli_has(cli, "no-cache"),
    } };
    if (qs_cli_has(cli, "types")) {
        w.args.types = type;
        w.args.n_types = parse_types(qs_cli_str(cli, "types", ""), type, bad);
        if (!w.args.n_types)
            return qs_cli_usage(cli, "--types: '%s' is not a type that can be written ('quantscape types' lists them)", bad);
    }
    if (w.args.whole && qs_cli_has(cli, "sample"))
        return qs_cli_usage(cli, "--sample and --whole exclude each other");
    if (qs_cli_has(cli, "outliers") && !w.args.stats)
        return qs_cli_usage(cli, "--outliers and --no-stats exclude each other");
    if (!w.args.stats && !w.args.errors)
        return qs_cli_usage(cli, "--no-stats and --no-errors together leave nothing to measure");
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w.model, &e);
    if (!rc && qs_cli_has(cli, "imatrix"))
        rc = qs_imatrix_open(qs_cli_str(cli, "imatrix", ""), &imatrix, &e);
    w.args.imatrix = imatrix;
    if (!rc && imatrix)
        rc = open_statistics(&w, qs_cli_str(cli, "imatrix", ""), &e);
    if (!rc)
        rc = qs_cli_pool(cli, &w.pool, &e);
    if (!rc)
        rc = qs_cli_job(cli, "survey", measure, &w,
                        w.args.no_cache ? NULL : "what was measured is kept, the same command goes on from there", &e);
    const int exit_code = rc ? qs_cli_fail(cli, &e) : show(cli, &w);
    qs_survey_free(w.survey);
    qs_outputs_free(w.outputs);
    qs_statistics_free(w.statistics);
    qs_imatrix_free(imatrix);
    qs_model_close(w.model);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "survey.file", "file as given" },
    { "survey.architecture", "general.architecture" },
    { "survey.tensors", "tensors measured" },
    { "survey.weights", "their weights" },
    { "survey.sample_weights", "weights per tensor that a sample aims at; 0: all were measured" },
    { "survey.seed", "chooses the rows of the sample" },
    { "survey.importance", "whether an importance matrix was used" },
    { "types[].type", "type; not with --no-errors, like all of types[]" },
    { "types[].bpw", "bits per weight, scales and minima included" },
    { "types[].bytes", "all matrices in this type where their shape allows it, the rest as they are" },
    { "types[].error", "relative RMS error over all matrices measured" },
    { "types[].worst_error", "error of the worst tensor" },
    { "types[].worst_tensor", "its name" },
    { "types[].tensors", "matrices measured" },
    { "types[].impossible", "matrices that cannot have the type: rows no multiple of the block, or weights too large for it" },
    { "tensors[].name", "tensor" },
    { "tensors[].role", "what it is for" },
    { "tensors[].layer", "its block; null outside of blocks" },
    { "tensors[].type", "type in the file" },
    { "tensors[].shape", "columns x rows x experts" },
    { "tensors[].weights", "number of weights" },
    { "tensors[].bytes", "bytes in the file" },
    { "tensors[].mean", "mean of the weights" },
    { "tensors[].sd", "standard deviation" },
    { "tensors[].min", "smallest weight" },
    { "tensors[].max", "largest weight" },
    { "tensors[].max_abs", "largest absolute value" },
    { "tensors[].kurtosis", "fourth moment over squared variance: 3 for a Gaussian" },
    { "tensors[].max_sigma", "max_abs over sd" },
    { "tensors[].beyond6", "share of weights more than 6 sd from the mean" },
    { "tensors[].row_ratio", "largest weight of the worst row over that of the median row, without outlier columns" },
    { "tensors[].col_ratio", "the same for columns, over all rows and experts, without outlier rows" },
    { "tensors[].worst_row", "number of the worst row, outlier or not" },
    { "tensors[].worst_col", "number of the worst column" },
    { "tensors[].outlier_rows", "rows with a ratio of 4 or more" },
    { "tensors[].outlier_cols", "columns with a ratio of 4 or more" },
    { "tensors[].zeros", "weights that are 0" },
    { "tensors[].nan", "weights that are NaN" },
    { "tensors[].inf", "weights that are infinite" },
    { "tensors[].activation_ratio", "largest channel of what the tensor reads over the median one, from --imatrix; absent without" },
    { "cells[].name", "tensor" },
    { "cells[].type", "type it was encoded to" },
    { "cells[].bpw", "bits per weight of the type" },
    { "cells[].bytes", "bytes of the whole tensor in this type; null: it cannot have it" },
    { "cells[].error", "relative RMS error against this file; null: see gap" },
    { "cells[].max_error", "largest absolute error among the weights measured" },
    { "cells[].weighted_error", "relative RMS error weighted by importance; null without a matrix" },
    { "cells[].measured", "weights measured" },
    { "cells[].gap", "why there is no error" },
    { "cells[].output_error", "relative error of what the tensor makes of the activation rows that statistics keep (--imatrix); "
                              "absent without them" },
    { "channels[].name", "tensor; outliers only, at most 64 rows and 64 columns of a tensor" },
    { "channels[].axis", "row or column" },
    { "channels[].index", "number of the row or column" },
    { "channels[].max_abs", "its largest weight, crossings with outliers of the other axis left out" },
    { "channels[].max_sigma", "the same in standard deviations of the tensor" },
    { "channels[].ratio", "the same over that of the median row or column" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_survey = {
    .name = "survey",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "measure every tensor at every type, and find outliers",
    .description =
        "Encodes a sample of whole rows of every tensor to every type and compares the result with the weights of the "
        "file: relative RMS error, sqrt(sum (w - w')^2 / sum w^2). Values from a sample are marked with ~ and come with "
        "their standard error in --json and --csv. Every weight is read once for the distributions: deviation, largest "
        "value, kurtosis, and the rows and columns whose largest weight stands out (4 times that of the median one). A "
        "row that stands out only where it crosses an outlier column is not named, nor the other way round; a single large "
        "weight is named by its column.\n\n"
        "Results are kept in the cache ($XDG_CACHE_HOME/quantscape/survey), keyed by the content of the file: an "
        "interrupted survey goes on where it stopped, and a repeated one costs nothing.\n\n"
        "Where the importance matrix is the statistics file of a calibration, output errors are measured too: ||(W - W')X|| / ||WX|| "
        "on the activation rows X that it keeps.\n\n"
        "With --csv the table has one row per tensor and type; with --no-errors one row per tensor; with --outliers one "
        "row per outlier channel.",
    .examples = "quantscape survey model.gguf\tall types on a sample\n"
                "quantscape survey model.gguf -t Q4_K,Q6_K --whole\ttwo types on all weights\n"
                "quantscape survey model.gguf --worst 10\tthe ten worst tensors\n"
                "quantscape survey model.gguf --outliers -m ffn_down\tall outlier channels of some tensors\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
