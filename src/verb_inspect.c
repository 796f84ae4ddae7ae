/* verb_inspect.c - `inspect`: one tensor closely: histogram, where its error lies, which channels are worst.
 *
 * Owns model, importance matrix, recipe and the zoom while it runs; the measuring is core/quant/zoom.c, tables and pictures
 * are core/report/report_zoom.c and zoom_text.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/near.h"
#include "base/text.h"
#include "core/quant/importance.h"
#include "core/quant/recipe.h"
#include "core/quant/zoom.h"
#include "core/report/report_zoom.h"
#include "src/color.h"
#include "src/recipe_opts.h"

#define TEXT_ROWS 24 /* tile rows of the text picture */
#define DATA_ROWS 48 /* tiles for programs, whatever the terminal */
#define DATA_COLS 96

static const struct qs_opt options[] = {
    { .name = "type", .letter = 't', .kind = QS_OPT_PRESET, .arg = "TYPE",
      .help = "look at it in this tensor type, or in the type that this preset gives it (default: " QS_PRESET_DEFAULT ")" },
    { .name = "recipe", .letter = 'r', .kind = QS_OPT_FILE, .arg = "FILE", .help = "the same in the type of a recipe file" },
    { .name = "as-stored", .help = "the weights as they are, without errors (the default for quantized models)" },
    { .name = "imatrix", .kind = QS_OPT_FILE, .arg = "FILE", .help = "importance matrix used by the encoder" },
    { .name = "expert", .letter = 'e', .kind = QS_OPT_NUM, .arg = "N", .help = "only the rows of one expert, counted from 0" },
    { .name = "log", .help = "logarithmic axis of the histogram" },
    { .name = "sd", .help = "histogram in standard deviations from the mean, 8 to each side" },
    { .name = "table", .kind = QS_OPT_CHOICE, .arg = "WHAT", .choices = "channels tiles histogram histogram_sd largest worst",
      .help = "which table --csv prints (default: channels)" },
    { .name = "width", .kind = QS_OPT_NUM, .arg = "N", .min = 40, .max = 10000,
      .help = "draw for N columns instead of the terminal's (80 where there is none)" },
    { .name = "ascii", .help = "no characters outside of ASCII" },
    QS_COLOR_OPTION,
    { .name = NULL }
};

struct work {
    struct qs_model *model;
    struct qs_imatrix *imatrix;
    struct qs_recipe *recipe;
    struct qs_resolved *resolved;
    struct qs_pool *pool;
    struct qs_zoom *zoom;
    struct qs_zoom_view *view;
    struct qs_zoom_args args;
    struct qs_zoom_report report;
    char reason[160];
};

static void work_free(struct work *w)
{
    qs_zoom_view_free(w->view);
    qs_zoom_free(w->zoom);
    qs_resolved_free(w->resolved);
    qs_recipe_free(w->recipe);
    qs_imatrix_free(w->imatrix);
    qs_model_close(w->model);
}

static bool has_type(struct qs_cli *cli)
{
    return qs_cli_has(cli, "type") || qs_cli_has(cli, "recipe");
}

/* ---- what is looked at --------------------------------------------------------------------------------------- */

static int find_tensor(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *name = qs_cli_arg(cli, 1);
    char text[400];
    struct qs_near near;
    w->args.tensor = qs_model_find(w->model, name);
    if (w->args.tensor)
        return QS_OK;
    qs_near_start(&near, name);
    for (size_t i = 0; i < w->model->n_tensors; i++)
        qs_near_try(&near, w->model->tensor[i].name);
    qs_near_text(&near, text, sizeof text);
    return qs_fail(e, QS_ENOTFOUND, "the model has no tensor %.200s%s", name,
                   *text ? text : " (quantscape tensors lists those it has)");
}

/* A name that is a tensor type means that type, also where a preset is called the same. */
static int choose_by_name(struct work *w, const char *name, struct qs_err *e)
{
    if (!qs_recipe_type(name, &w->args.type, e))
        return QS_OK;
    return qs_format_by_name(name) ? QS_EINVAL : qs_recipe_new(name, &w->recipe, e);
}

static int choose_by_recipe(struct work *w, const char *called, struct qs_err *e)
{
    const int rc = qs_recipe_resolve(w->recipe, w->model, w->imatrix != NULL, false, &w->resolved, e);
    if (rc)
        return rc;
    const struct qs_choice *c = &w->resolved->choice[qs_model_index(w->model, w->args.tensor)];
    w->args.type = c->type;
    snprintf(w->reason, sizeof w->reason, "%s: %s", called, c->reason);
    return QS_OK;
}

/* A usage error (wrong name) is told as such; the rest is a failure. */
static int choose_type(struct qs_cli *cli, struct work *w)
{
    const char *path = qs_cli_str(cli, "recipe", NULL), *name = qs_cli_str(cli, "type", QS_PRESET_DEFAULT);
    struct qs_err e = QS_ERR_INIT;
    w->args.type = QS_TYPE_NONE;
    snprintf(w->reason, sizeof w->reason, "as stored");
    if (qs_cli_has(cli, "as-stored"))
        return QS_EXIT_DONE;
    if (!has_type(cli) && qs_model_is_quantized(w->model)) {
        qs_cli_note(cli, "the model is quantized already: these are its weights as stored; -t TYPE measures errors against "
                         "this file");
        return QS_EXIT_DONE;
    }
    if (path ? qs_recipe_load(path, &w->recipe, &e) : choose_by_name(w, name, &e))
        return e.code == QS_EINVAL && !path ? qs_cli_usage(cli, "--type: %s", e.msg) : qs_cli_fail(cli, &e);
    snprintf(w->reason, sizeof w->reason, "asked for");
    if (w->recipe && choose_by_recipe(w, path ? qs_path_base(path) : w->recipe->preset->name, &e))
        return qs_cli_fail(cli, &e);
    return QS_EXIT_DONE;
}

static int prepare(struct qs_cli *cli, struct work *w)
{
    const bool data = cli->json || cli->csv;
    struct qs_err e = QS_ERR_INIT;
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w->model, &e);
    if (!rc)
        rc = find_tensor(cli, w, &e);
    if (rc)
        return qs_cli_fail(cli, &e);
    rc = qs_cli_imatrix(cli, &w->imatrix);
    if (rc == QS_EXIT_DONE)
        rc = choose_type(cli, w);
    if (rc != QS_EXIT_DONE)
        return rc;
    w->args.expert = qs_cli_num(cli, "expert", QS_ZOOM_ALL);
    w->args.tile_rows = data ? DATA_ROWS : TEXT_ROWS;
    w->args.tile_cols = data ? DATA_COLS : qs_zoom_text_tiles((unsigned)qs_cli_num(cli, "width", qs_cli_width()));
    w->args.bins = 1; /* all channels are listed */
    w->report = (struct qs_zoom_report){ .source = qs_path_base(w->model->path), .reason = w->reason, .data = data,
                                         .quantized = qs_model_is_quantized(w->model) };
    if (qs_importance_for(w->imatrix, w->args.tensor, &w->args.importance, &e) || qs_zoom_new(&w->args, &w->zoom, &e) ||
        qs_zoom_view_new(w->zoom, &w->view, &e) || qs_cli_pool(cli, &w->pool, &e))
        return qs_cli_fail(cli, &e);
    return QS_EXIT_DONE;
}

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_zoom_run(w->zoom, w->model, w->pool, job, e);
}

/* ---- output -------------------------------------------------------------------------------------------------- */

/* Pictures first, then the tables. */
static int draw(struct qs_cli *cli, const struct work *w, const struct qs_report *r)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    const unsigned width = (unsigned)qs_cli_num(cli, "width", qs_cli_width());
    const bool ascii = qs_cli_has(cli, "ascii") || !qs_locale_utf8();
    const struct qs_zoom_style style = { .heat = { .width = width, .color = qs_cli_color(cli), .ascii = ascii },
                                         .log = qs_cli_has(cli, "log"), .sigma = qs_cli_has(cli, "sd") };
    qs_zoom_text(w->view, &style, &out);
    qs_report_text(r, &(struct qs_text_style){ .width = width, .ascii = ascii }, &out);
    int exit_code;
    if (out.failed) {
        qs_fail(&e, QS_ENOMEM, "out of memory while drawing");
        exit_code = qs_cli_fail(cli, &e);
    } else {
        exit_code = qs_cli_write(cli, out.data, out.len);
    }
    qs_str_free(&out);
    return exit_code;
}

static int show(struct qs_cli *cli, const struct work *w)
{
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_report_zoom(w->zoom, w->view, &w->report, &r, &e))
        return qs_cli_fail(cli, &e);
    const int exit_code = w->report.data ? qs_cli_print(cli, r, qs_cli_str(cli, "table", "channels")) : draw(cli, w, r);
    qs_report_free(r);
    return exit_code;
}

/* Options that exclude each other, or that would have no effect. */
static int check_options(struct qs_cli *cli)
{
    static const char *const drawn[] = { "log", "sd", "width", "ascii", "color" };
    if (qs_cli_has(cli, "type") + qs_cli_has(cli, "recipe") + qs_cli_has(cli, "as-stored") > 1)
        return qs_cli_usage(cli, "--type, --recipe and --as-stored exclude each other");
    if (qs_cli_has(cli, "table") && !cli->csv)
        return qs_cli_usage(cli, "--table goes with --csv: everything else prints all tables");
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn && (cli->json || cli->csv); i++)
        if (qs_cli_has(cli, drawn[i]))
            return qs_cli_usage(cli, "--%s has no effect on --%s: nothing is drawn", drawn[i], cli->json ? "json" : "csv");
    return QS_EXIT_DONE;
}

static int run(struct qs_cli *cli)
{
    struct work w = { .args = { .type = QS_TYPE_NONE } };
    struct qs_err e = QS_ERR_INIT;
    int exit_code = check_options(cli);
    if (exit_code == QS_EXIT_DONE)
        exit_code = prepare(cli, &w);
    if (exit_code == QS_EXIT_DONE && qs_cli_job(cli, "inspect", measure, &w, NULL, &e))
        exit_code = qs_cli_fail(cli, &e);
    if (exit_code == QS_EXIT_DONE) {
        qs_zoom_copy(w.zoom, w.view);
        exit_code = show(cli, &w);
    }
    work_free(&w);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "zoom.tensor", "tensor" },
    { "zoom.file", "file name of the model" },
    { "zoom.shape", "columns x rows x experts" },
    { "zoom.expert", "the expert looked at, or \"all\"" },
    { "zoom.weights", "weights looked at; all numbers are measured on all of them" },
    { "zoom.from", "type in the file" },
    { "zoom.type", "type it was encoded to; the same as from: as stored" },
    { "zoom.reason", "why this type: asked for, as stored, or what the preset or recipe says" },
    { "zoom.importance", "whether importance weights were used" },
    { "zoom.bytes", "bytes of these weights in this type" },
    { "zoom.bpw", "bits per weight of the type, scales included" },
    { "zoom.error", "relative RMS error against this file, as a share; 0 as stored" },
    { "zoom.weighted_error", "the same weighted by importance; null without" },
    { "zoom.max_error", "largest absolute error of a weight" },
    { "zoom.row_error", "error of the median row that has one" },
    { "zoom.col_error", "error of the median column that has one" },
    { "zoom.overflow", "whether weights are too large for the type; the errors then mean nothing" },
    { "zoom.mean", "mean of the weights" },
    { "zoom.sd", "standard deviation" },
    { "zoom.min", "smallest weight" },
    { "zoom.max", "largest weight" },
    { "zoom.max_sigma", "largest absolute value over sd" },
    { "zoom.kurtosis", "fourth moment over squared variance: 3 for a Gaussian" },
    { "zoom.zeros", "share of weights that are 0" },
    { "zoom.decoded_zeros", "share of weights that are 0 after quantizing" },
    { "zoom.nan", "weights that are NaN" },
    { "zoom.inf", "weights that are infinite" },
    { "largest[].axis", "row or column; all outliers (up to 64 of each), 8 of each in any case" },
    { "largest[].index", "number of the row or column; rows of all experts are numbered through, unless one was chosen" },
    { "largest[].max_abs", "its largest weight, crossings with outliers of the other axis left out" },
    { "largest[].max_sigma", "the same over sd" },
    { "largest[].ratio", "the same over that of the median row or column" },
    { "worst[].axis", "row or column; the 16 of each with the largest error; absent as stored" },
    { "worst[].index", "its number" },
    { "worst[].error", "its relative RMS error" },
    { "worst[].ratio", "the same over that of the median row or column" },
    { "tiles[].first_row", "of a tile (at most 48 x 96 of them): its first row" },
    { "tiles[].last_row", "its last row" },
    { "tiles[].first_col", "its first column" },
    { "tiles[].last_col", "its last column" },
    { "tiles[].error", "relative RMS error over the tile" },
    { "tiles[].mean_abs", "mean absolute weight" },
    { "histogram[].from", "lower end of a bin; null: all below the range" },
    { "histogram[].to", "upper end; null: all above" },
    { "histogram[].weights", "weights in it" },
    { "histogram[].decoded", "weights in it after quantizing" },
    { "histogram_sd[].from", "the same in standard deviations from the mean" },
    { "histogram_sd[].to", "upper end; null: all above" },
    { "histogram_sd[].weights", "weights in it" },
    { "histogram_sd[].decoded", "weights in it after quantizing" },
    { "channels[].axis", "row or column: every one of them" },
    { "channels[].index", "its number" },
    { "channels[].max_abs", "its largest absolute weight" },
    { "channels[].rms", "root of the mean square of its weights" },
    { "channels[].error", "its relative RMS error" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_inspect = {
    .name = "inspect",
    .args = "FILE TENSOR",
    .min_args = 2,
    .max_args = 2,
    .summary = "look at one tensor closely: histogram, error by region, worst channels",
    .description =
        "Encodes all of one tensor to a type and draws the histogram of its weights before and after, the relative RMS error "
        "of each tile of the matrix as levels from 0 to 9, and the rows and columns that stand out by their largest weight or "
        "by their error. All numbers are measured on all weights, never on a sample, and nothing is cached. Of a model that is "
        "quantized already the weights are shown as stored, unless a type is given; so are tensors of one dimension, which no "
        "preset quantizes.\n\n"
        "A name that is both a tensor type and a preset (Q8_0) means the type. With --csv the table has one row per channel; "
        "--table chooses another.",
    .examples = "quantscape inspect model.gguf blk.0.ffn_down.weight\tas " QS_PRESET_DEFAULT " would have it\n"
                "quantscape inspect model.gguf blk.0.ffn_down.weight -t Q2_K --log\tin one type\n"
                "quantscape inspect model.gguf output.weight --csv --table tiles\terrors of the tiles\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
