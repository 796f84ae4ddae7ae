/* verb_map.c - `map`: the model as a picture, layers across and roles down, as text, SVG, CSV or JSON.
 *
 * Owns model, recipe and survey while it runs. The verb decides about colour, width and characters; the drawing is
 * core/report/map_text.c and map_svg.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/quant/preset.h"
#include "core/quant/recipe.h"
#include "core/quant/survey_types.h"
#include "core/report/report_map.h"
#include "src/color.h"

static const struct qs_opt options[] = {
    { .name = "type", .letter = 't', .kind = QS_OPT_PRESET, .arg = "TYPE",
      .help = "the error each tensor has under this preset or file type (default: " QS_PRESET_DEFAULT ")" },
    { .name = "recipe", .letter = 'r', .kind = QS_OPT_FILE, .arg = "FILE", .help = "the same under a recipe file" },
    { .name = "uniform", .letter = 'u', .kind = QS_OPT_TYPE, .arg = "TYPE",
      .help = "the same with every tensor in one tensor type" },
    { .name = "measure", .kind = QS_OPT_CHOICE, .arg = "WHAT", .choices = "error outliers kurtosis bits output activations kld",
      .help = "what the colours show; bits without a recipe are those of the file; output errors, outlier channels of "
              "inputs, and the KLD of single changes come from the statistics of a calibration (--imatrix)" },
    { .name = "whole", .help = "measure all weights instead of a sample" },
    { .name = "imatrix", .kind = QS_OPT_FILE, .arg = "FILE", .help = "importance matrix used by the encoders" },
    { .name = "log", .help = "logarithmic scale (the default, but for bits)" },
    { .name = "linear", .help = "linear scale" },
    { .name = "svg", .kind = QS_OPT_FILE, .arg = "FILE", .help = "write the picture as SVG instead" },
    { .name = "force", .letter = 'f', .help = "overwrite an existing SVG file" },
    { .name = "width", .kind = QS_OPT_NUM, .arg = "N", .min = 20, .max = 10000,
      .help = "draw for N columns instead of the terminal's (100 where there is none)" },
    { .name = "ascii", .help = "no characters outside of ASCII" },
    QS_COLOR_OPTION,
    { .name = "no-cache", .help = "measure afresh and store nothing" },
    { .name = NULL }
};

struct work {
    struct qs_model *model;
    struct qs_imatrix *imatrix;
    struct qs_statistics *statistics; /* what the same file knows beside; where a measure needs it */
    struct qs_outputs *outputs;
    double *given;                    /* per tensor, of such a measure */
    struct qs_recipe *recipe;
    struct qs_survey *survey;
    struct qs_pool *pool;
    struct qs_survey_args args;
    struct qs_survey_types types;
    struct qs_heat_args heat;
    int uniform;      /* the type of --uniform */
    char what[128];
};

static void work_free(struct work *w)
{
    qs_survey_free(w->survey);
    qs_outputs_free(w->outputs);
    qs_free(w->given);
    qs_statistics_free(w->statistics);
    qs_recipe_free(w->recipe);
    qs_imatrix_free(w->imatrix);
    qs_model_close(w->model);
    qs_survey_types_free(&w->types);
}

/* ---- what is drawn ------------------------------------------------------------------------------------------- */

static int choose_types(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *preset = qs_cli_str(cli, "type", QS_PRESET_DEFAULT), *path = qs_cli_str(cli, "recipe", NULL),
               *one = qs_cli_str(cli, "uniform", NULL);
    const enum qs_map_measure k = w->heat.measure;
    const bool wanted = qs_cli_has(cli, "type") || path || one || k == QS_MAP_ERROR || k == QS_MAP_OUTPUT;
    if (!wanted || k == QS_MAP_OUTLIERS || k == QS_MAP_KURTOSIS || k > QS_MAP_OUTPUT)
        return QS_OK;
    int rc;
    if (one) {
        rc = qs_survey_types_uniform(w->uniform, w->model, &w->types, e);
        snprintf(w->what, sizeof w->what, "%s%s", qs_type_name(w->uniform), w->types.fell_back ? " or its fallback" : "");
    } else {
        rc = path ? qs_recipe_load(path, &w->recipe, e) : qs_recipe_new(preset, &w->recipe, e);
        if (!rc)
            rc = qs_survey_types_recipe(w->recipe, w->model, w->imatrix != NULL, &w->types, e);
        snprintf(w->what, sizeof w->what, "%s", path ? qs_path_base(path) : w->recipe ? w->recipe->preset->name : "");
    }
    qs_survey_types_use(&w->types, &w->args);
    w->heat.type = w->types.type;
    w->heat.what = w->what;
    return rc;
}

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_survey_run(w->model, &w->args, w->pool, job, &w->survey, e);
}

/* Output errors of the types that the map shows. */
static int measure_outputs(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    const struct qs_output_args args = { .sample_weights = w->args.whole ? UINT64_MAX : 0, .pool = w->pool,
                                         .prio = QS_PRIO_JOB, .job = job };
    struct qs_output_want *want = qs_calloc(w->model->n_tensors + 1, sizeof *want);
    if (!want)
        return qs_fail_mem(e, w->model->n_tensors * sizeof *want, "output errors");
    for (size_t i = 0; i < w->model->n_tensors; i++)
        want[i] = (struct qs_output_want){ i, w->types.type[i] };
    const int rc = qs_outputs_measure(w->outputs, want, w->model->n_tensors, &args, e);
    qs_free(want);
    return rc;
}

/* Outlier channels of what a tensor reads, or the divergence when it alone is changed. */
static int take_given(struct work *w, struct qs_err *e)
{
    if (!(w->given = qs_calloc(w->model->n_tensors + 1, sizeof *w->given)))
        return qs_fail_mem(e, w->model->n_tensors * sizeof *w->given, "a map");
    for (size_t i = 0; i < w->model->n_tensors; i++) {
        const struct qs_swap_cell *x = qs_statistics_swap(w->statistics, w->model->tensor[i].name);
        w->given[i] = w->heat.measure == QS_MAP_ACTIVATIONS ? qs_outputs_activation(w->outputs, i) : x ? x->kld : (double)NAN;
    }
    w->heat.given = w->given;
    return QS_OK;
}

/* What statistics tell; a plain importance matrix knows channels alone, by their RMS. */
static int prepare_outputs(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *path = qs_cli_str(cli, "imatrix", "");
    int rc = qs_statistics_open_alone(path, 0, &w->statistics, e);
    if (!rc)
        rc = qs_outputs_new(w->model, w->statistics, &w->outputs, e);
    if (rc)
        return rc;
    if (w->heat.measure == QS_MAP_SWAP && w->statistics->n_swaps == 0)
        return qs_fail(e, QS_EINVAL, "%s keeps no measured changes of single tensors: a calibration makes them where it is asked",
                       path);
    if (w->heat.measure != QS_MAP_OUTPUT)
        return take_given(w, e);
    if (!qs_outputs_any(w->outputs))
        return qs_fail(e, QS_EINVAL, "%s keeps no activation rows of this model's inputs: output errors need the statistics of a "
                       "calibration of it", path);
    w->heat.outputs = w->outputs;
    rc = qs_cli_pool(cli, &w->pool, e);
    return rc ? rc : qs_cli_job(cli, "map", measure_outputs, w, NULL, e);
}

static enum qs_map_measure measure_of(struct qs_cli *cli, const struct qs_model *m)
{
    const char *name = qs_cli_str(cli, "measure", NULL);
    for (enum qs_map_measure k = QS_MAP_ERROR; name && k < QS_MAP_MEASURES; k++)
        if (strcmp(name, qs_map_measure_name(k)) == 0)
            return k;
    const bool target = qs_cli_has(cli, "type") || qs_cli_has(cli, "recipe") || qs_cli_has(cli, "uniform");
    return target || !qs_model_is_quantized(m) ? QS_MAP_ERROR : QS_MAP_BITS;
}

static int prepare(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w->model, e);
    if (!rc && qs_cli_has(cli, "imatrix"))
        rc = qs_imatrix_open(qs_cli_str(cli, "imatrix", ""), &w->imatrix, e);
    if (rc)
        return rc;
    const char *svg = qs_cli_str(cli, "svg", NULL);
    const struct qs_file_input in[] = { { qs_cli_str(cli, "recipe", NULL), "the recipe" },
                                        { qs_cli_str(cli, "imatrix", NULL), "the importance matrix" } };
    if (svg) /* told before the work, not after it */
        rc = qs_cli_output(cli, svg, "--svg", w->model, in, sizeof in / sizeof *in, e);
    if (rc)
        return rc;
    w->heat.measure = measure_of(cli, w->model);
    w->heat.scale = qs_cli_has(cli, "linear") ? 0 : qs_cli_has(cli, "log") ? 1 : -1;
    rc = choose_types(cli, w, e);
    if (rc || w->heat.measure == QS_MAP_BITS)
        return rc;
    w->args.whole = qs_cli_has(cli, "whole");
    if (w->heat.measure >= QS_MAP_OUTPUT)
        return prepare_outputs(cli, w, e);
    w->args.errors = w->heat.measure == QS_MAP_ERROR;
    w->args.stats = !w->args.errors;
    w->args.no_cache = qs_cli_has(cli, "no-cache");
    w->args.imatrix = w->imatrix;
    rc = qs_cli_pool(cli, &w->pool, e);
    if (!rc)
        rc = qs_cli_job(cli, "map", measure, w, w->args.no_cache ? NULL : "the same command goes on where this one stopped", e);
    return rc;
}

/* ---- output -------------------------------------------------------------------------------------------------- */

static int draw(struct qs_cli *cli, const struct qs_heat *h, struct qs_err *e)
{
    struct qs_str out = QS_STR_INIT;
    const char *svg = qs_cli_str(cli, "svg", NULL);
    const unsigned terminal = qs_cli_width();
    const struct qs_heat_style style = { .width = (unsigned)qs_cli_num(cli, "width", terminal), .color = qs_cli_color(cli),
                                         .ascii = qs_cli_has(cli, "ascii") || !qs_locale_utf8() };
    int rc = QS_OK, exit_code = QS_EXIT_DONE;
    if (svg)
        qs_heat_svg(h, &out);
    else
        qs_heat_text(h, &style, &out);
    if (out.failed)
        rc = qs_fail(e, QS_ENOMEM, "out of memory while drawing the map");
    else if (svg)
        rc = qs_file_write_atomic(svg, out.data, out.len, qs_cli_has(cli, "force"), e);
    else
        exit_code = qs_cli_write(cli, out.data, out.len);
    qs_str_free(&out);
    return rc ? qs_cli_fail(cli, e) : exit_code;
}

static int list(struct qs_cli *cli, const struct qs_heat *h, struct qs_err *e)
{
    struct qs_report *r = NULL;
    if (qs_report_map(h, &r, e))
        return qs_cli_fail(cli, e);
    const int exit_code = qs_cli_print(cli, r, "tensors");
    qs_report_free(r);
    return exit_code;
}

/* Options that exclude each other, or that would have no effect. */
static int check_options(struct qs_cli *cli)
{
    const char *measured = qs_cli_str(cli, "measure", "");
    const bool weights_alone = strcmp(measured, "outliers") == 0 || strcmp(measured, "kurtosis") == 0;
    const bool fixed = strcmp(measured, "activations") == 0 || strcmp(measured, "kld") == 0;
    const bool outputs = strcmp(measured, "output") == 0;
    const int targets = qs_cli_has(cli, "type") + qs_cli_has(cli, "recipe") + qs_cli_has(cli, "uniform");
    if (targets > 1)
        return qs_cli_usage(cli, "--type, --recipe and --uniform exclude each other");
    if (targets && weights_alone)
        return qs_cli_usage(cli, "--measure %s looks at the weights alone: --type, --recipe and --uniform have no part in it",
                            measured);
    if (targets && fixed)
        return qs_cli_usage(cli, "--measure %s is of no type chosen here: --type, --recipe and --uniform have no part in it", measured);
    if ((fixed || outputs) && !qs_cli_has(cli, "imatrix"))
        return qs_cli_usage(cli, "--measure %s needs the statistics of a calibration: --imatrix FILE", measured);
    if (qs_cli_has(cli, "whole") && (weights_alone || fixed || strcmp(measured, "bits") == 0))
        return qs_cli_usage(cli, "--whole goes with --measure error and output: nothing is sampled for %s", measured);
    if (qs_cli_has(cli, "log") && qs_cli_has(cli, "linear"))
        return qs_cli_usage(cli, "--log and --linear exclude each other");
    if (qs_cli_has(cli, "svg") && (cli->json || cli->csv))
        return qs_cli_usage(cli, "--svg and --%s exclude each other", cli->json ? "json" : "csv");
    if (qs_cli_has(cli, "force") && !qs_cli_has(cli, "svg"))
        return qs_cli_usage(cli, "--force goes with --svg: nothing else is written");
    return QS_EXIT_DONE;
}

/* A model that is quantized already has less to show, and says so. */
static void remark(struct qs_cli *cli, const struct work *w)
{
    if (!qs_model_is_quantized(w->model))
        return;
    if (w->heat.measure == QS_MAP_ERROR)
        qs_cli_note(cli, "the model is quantized already: errors are against this file, not the original");
    else if (w->heat.measure == QS_MAP_BITS && !qs_cli_has(cli, "measure"))
        qs_cli_note(cli, "the model is quantized already: these are its bits per weight; -t PRESET measures errors against "
                         "this file");
}

static int run(struct qs_cli *cli)
{
    struct work w = { 0 };
    struct qs_heat *h = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (check_options(cli) != QS_EXIT_DONE)
        return QS_EXIT_USAGE;
    if (qs_cli_has(cli, "uniform") && qs_recipe_type(qs_cli_str(cli, "uniform", ""), &w.uniform, &e))
        return qs_cli_usage(cli, "--uniform: %s", e.msg);
    int rc = prepare(cli, &w, &e);
    if (!rc)
        rc = qs_heat_make(w.model, w.survey, &w.heat, &h, &e);
    int exit_code = QS_EXIT_DONE;
    if (!rc)
        remark(cli, &w);
    if (rc)
        exit_code = qs_cli_fail(cli, &e);
    else if (cli->json || cli->csv)
        exit_code = list(cli, h, &e);
    else
        exit_code = draw(cli, h, &e);
    qs_heat_free(h);
    work_free(&w);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "map.measure", "error, outliers, kurtosis or bits" },
    { "map.under", "preset, recipe or type the values are for; null: the file as it is" },
    { "map.layers", "number of layers" },
    { "map.bytes", "bytes of the tensors drawn, under that recipe" },
    { "map.total", "error or bits over all tensors drawn; null for the other measures" },
    { "map.scale", "log or linear" },
    { "map.low", "value at the dark end of the colours" },
    { "map.high", "value at the light end" },
    { "map.not_drawn", "tensors of one dimension or unknown type" },
    { "map.without_row", "tensors that a picture has no row for; absent when there are none" },
    { "map.folded", "cells that stand for several tensors (experts stored one by one): the worst known of them" },
    { "map.folded_unknown", "of these, cells with tensors whose value is not known" },
    { "folded[].row", "of such a cell: its row; the table is absent when there is none" },
    { "folded[].layer", "its column; null outside of blocks" },
    { "folded[].worst", "the tensor shown" },
    { "folded[].value", "its value, with value_how and, where sampled, value_se" },
    { "folded[].level", "0 to 9, its colour" },
    { "folded[].tensors", "tensors that the cell stands for" },
    { "folded[].unknown", "of these, tensors whose value is not known" },
    { "folded[].note", "the same in words" },
    { "tensors[].name", "tensor" },
    { "tensors[].row", "row of the map" },
    { "tensors[].layer", "column of the map; null outside of blocks" },
    { "tensors[].type", "type under the recipe" },
    { "tensors[].value", "the measure (errors as shares), with value_how and, where sampled, value_se; null: unknown" },
    { "tensors[].level", "0 to 9, its colour" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_map = {
    .name = "map",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "draw the model: layers across, roles down, coloured by a measure",
    .description =
        "One cell a tensor, coloured by its relative RMS error under a preset, a recipe or one type, by its outliers "
        "(largest weight over standard deviation), its kurtosis, or its bits per weight. Cells show numbers where they "
        "fit and levels from 0 to 9 otherwise, so colour is never the only sign. Errors are measured on a sample of rows "
        "(marked ~) unless --whole is given, and come from the same cache as those of quantscape survey. Of a model that "
        "is quantized already the bits per weight are drawn, unless a preset, recipe or type is given.",
    .examples = "quantscape map model.gguf\terrors under " QS_PRESET_DEFAULT "\n"
                "quantscape map model.gguf --uniform Q2_K --linear\tevery tensor in Q2_K\n"
                "quantscape map model.gguf --measure outliers --svg outliers.svg\ta picture\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
