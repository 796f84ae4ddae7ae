/* verb_calibrate.c - `calibrate`: learns from text which weights count, and encodes them with measured error.
 *
 * Owns options and what they name; the work is core/calib/calibrate.c, driven by calibrate_run.c, the tables are
 * core/report/report_calibrate.c, the documentation of the keys is calibrate_keys.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/calib/places.h"
#include "src/calibrate_run.h"
#include "src/recipe_opts.h"

static const struct qs_opt options[] = {
    { .name = "text",
      .many = true,
      .kind = QS_OPT_FILE,
      .arg = "FILE[:WEIGHT]",
      .help = "learn from this text: plain, or lines of JSON with \"text\" or \"messages\"" },
    { .name = "windows",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .help = "windows, held-out ones included (default: 160)" },
    { .name = "ctx",
      .letter = 'c',
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 4,
      .max = 1 << 20,
      .help = "tokens of a window (default: 512, at most the model's context)" },
    { .name = "seed", .kind = QS_OPT_NUM, .arg = "N", .help = "draw other windows" },
    { .name = "held-out",
      .kind = QS_OPT_STR,
      .arg = "SHARE",
      .help = "share of windows that methods are judged on: 0.1, 10% (default: 10%)" },
    { .name = "special", .help = "marks of special tokens in plain text are such tokens" },
    { .name = "evaluation", .kind = QS_OPT_FILE, .arg = "FILE", .help = "warn where the text stands in this one too" },
    { .name = "type",
      .letter = 't',
      .kind = QS_OPT_PRESET,
      .arg = "TYPE",
      .help = "encode what this preset makes of MODEL" },
    QS_RECIPE_OWN_OPTIONS,
    { .name = "fit",
      .kind = QS_OPT_STR,
      .arg = "BUDGET",
      .help = "find the recipe for a budget and encode it: 4.2GiB, \"4.5 bpw\", \"fits in 8 GiB with 8k context\"" },
    { .name = "tie", .help = "with --fit: q k v, gate and up, and experts of a layer get one type each" },
    { .name = "recipe-out", .kind = QS_OPT_FILE, .arg = "FILE", .help = "with --fit: save the recipe that was found" },
    { .name = "methods",
      .kind = QS_OPT_STR,
      .arg = "LIST",
      .help = "methods that may be tried: imatrix,gptq,awq,hqq (default: imatrix,gptq)" },
    { .name = "effort",
      .kind = QS_OPT_STR,
      .arg = "LEVEL",
      .help = "of GPTQ: quick (2 sweeps, no refits: the fastest), normal (4, 1), best (6, 2: the slowest) (default: normal)" },
    { .name = "no-correct", .help = "do not make up for what tensors before have lost: faster, and a measure of that step" },
    { .name = "statistics-out",
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "keep the statistics here (default: MODEL.imatrix.gguf beside the model)" },
    { .name = "statistics", .kind = QS_OPT_FILE, .arg = "FILE", .help = "use these instead of collecting" },
    { .name = "output",
      .letter = 'o',
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "encoded tensors go here (default: beside the model, MODEL.TYPE.qscal; a hash tells recipes apart)" },
    { .name = "write", .kind = QS_OPT_FILE, .arg = "OUT.gguf", .help = "write the quantized model as well" },
    { .name = "errors", .help = "measure what each type would cost each tensor" },
    { .name = "precision",
      .kind = QS_OPT_CHOICE,
      .arg = "WORD",
      .choices = "exact fast",
      .help = "of the activations that statistics are taken of (default: fast, and exact with --errors)" },
    { .name = "swap-windows",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .help = "measure the KL divergence of single tensors on N windows (--fit: 8)" },
    { .name = "memory",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1 << 20,
      .help = "take at most SIZE of memory; hidden states beyond go to scratch files (default: half of what is free)" },
    { .name = "allow-requantize", .help = "accept a source that is quantized below Q8_0 already" },
    { .name = "force", .letter = 'f', .help = "overwrite existing results" },
    { .name = "restart", .help = "discard what an earlier, unfinished run left" },
    { .name = "dry-run", .help = "tell what it would take and of what the text is mixed, and stop" },
    { .name = "tensors", .help = "list every tensor in the text output (--json and --csv always do)" },
    { .name = NULL }
};

/* ---- options ------------------------------------------------------------------------------------------------- */

/* "FILE:2"; a file that is really called so is meant by its name. */
static int take_text(struct qs_cli *cli, const char *text, struct qs_corpus_source *out)
{
    struct qs_err e = QS_ERR_INIT;
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    const double w = colon && colon != text && !qs_file_exists(text) ? strtod(colon + 1, &end) : 0;
    const bool weighted = end && end != colon + 1 && !*end;
    if (weighted && !(w > 0 && isfinite(w)))
        return qs_cli_usage(cli, "--text %s: the weight has to be above 0", text);
    out->weight = weighted ? w : 1;
    out->path = weighted ? qs_strndup(text, (size_t)(colon - text)) : qs_strdup(text);
    if (out->path)
        return QS_EXIT_DONE;
    qs_fail_mem(&e, strlen(text), "a file name");
    return qs_cli_fail(cli, &e);
}

static int take_texts(struct qs_cli *cli, struct qs_calib_work *w)
{
    const size_t n = qs_cli_count(cli, "text");
    struct qs_err e = QS_ERR_INIT;
    int exit_code = QS_EXIT_DONE;
    w->source = qs_calloc(n + 1, sizeof *w->source);
    if (!w->source) {
        qs_fail_mem(&e, n * sizeof *w->source, "texts");
        return qs_cli_fail(cli, &e);
    }
    for (size_t i = 0; i < n && exit_code == QS_EXIT_DONE; i++) {
        exit_code = take_text(cli, qs_cli_nth(cli, "text", i), &w->source[i]);
        w->args.text.n_sources += exit_code == QS_EXIT_DONE;
    }
    w->args.text.source = w->source;
    return exit_code;
}

static int take_methods(struct qs_cli *cli, struct qs_calib_methods *m)
{
    const char *list = qs_cli_str(cli, "methods", NULL);
    *m = (struct qs_calib_methods)QS_CALIB_METHODS_INIT;
    if (!list)
        return QS_EXIT_DONE;
    const struct { const char *name; bool *on; } known[] = {
        { "imatrix", &m->imatrix }, { "gptq", &m->gptq }, { "awq", &m->awq }, { "hqq", &m->hqq },
    };
    m->imatrix = m->gptq = m->awq = m->hqq = false;
    while (*list) {
        const size_t n = strcspn(list, ",");
        size_t k = 0;
        while (k < 4 && (strlen(known[k].name) != n || strncmp(known[k].name, list, n) != 0))
            k++;
        if (k == 4)
            return qs_cli_usage(cli, "--methods: %.*s is none of imatrix, gptq, awq, hqq", (int)n, list);
        *known[k].on = true;
        list += n + (list[n] == ',');
    }
    return QS_EXIT_DONE;
}

static int take_effort(struct qs_cli *cli, struct qs_calib_methods *m)
{
    static const struct { const char *name; unsigned sweeps, refits; } level[] = {
        { "quick", 2, 0 }, { "normal", 4, 1 }, { "best", 6, 2 },
    };
    const char *name = qs_cli_str(cli, "effort", "normal");
    size_t i = 0;
    while (i < 3 && strcmp(level[i].name, name) != 0)
        i++;
    if (i == 3)
        return qs_cli_usage(cli, "--effort: %s is none of quick, normal, best", name);
    m->sweeps = level[i].sweeps;
    m->refits = level[i].refits;
    if (qs_cli_has(cli, "no-correct")) {
        m->correct = false;
        m->pull = 0;
    }
    return QS_EXIT_DONE;
}

static int take_share(struct qs_cli *cli, double *out)
{
    const char *text = qs_cli_str(cli, "held-out", NULL);
    char *end;
    *out = -1;
    if (!text)
        return QS_EXIT_DONE;
    double v = strtod(text, &end);
    if (end != text && *end == '%') {
        v /= 100;
        end++;
    }
    if (end == text || *end || !(v >= 0 && v <= 0.5))
        return qs_cli_usage(cli, "--held-out %s: a share from 0 to 0.5 (50%%) is expected", text);
    *out = v;
    return QS_EXIT_DONE;
}

/* What is asked for has to hang together before anything is opened. */
static int check_sense(struct qs_cli *cli)
{
    const bool text = qs_cli_has(cli, "text"), fit = qs_cli_has(cli, "fit");
    const bool encode = fit || qs_cli_has_recipe(cli);
    static const char *const need_text[] = { "errors", "swap-windows" };
    static const char *const need_recipe[] = { "output", "write", "methods", "no-correct", "allow-requantize" };
    static const char *const need_fit[] = { "tie", "recipe-out" };
    if (!text && !qs_cli_has(cli, "statistics"))
        return qs_cli_usage(cli, "calibrate: there is nothing to learn from: give --text FILE, or --statistics FILE");
    if (!text && encode)
        return qs_cli_usage(cli, "calibrate: encoding reads text too: give --text FILE");
    if (!text && !encode)
        return qs_cli_usage(cli, "calibrate: --statistics alone leaves nothing to do: give --text FILE");
    for (size_t i = 0; i < sizeof need_text / sizeof *need_text; i++)
        if (!text && qs_cli_has(cli, need_text[i]))
            return qs_cli_usage(cli, "--%s needs a --text", need_text[i]);
    for (size_t i = 0; i < sizeof need_recipe / sizeof *need_recipe; i++)
        if (!encode && qs_cli_has(cli, need_recipe[i]))
            return qs_cli_usage(cli, "--%s is for encoded tensors: name a preset with -t, or a budget with --fit",
                                need_recipe[i]);
    for (size_t i = 0; i < sizeof need_fit / sizeof *need_fit; i++)
        if (!fit && qs_cli_has(cli, need_fit[i]))
            return qs_cli_usage(cli, "--%s goes with --fit", need_fit[i]);
    if (fit && qs_cli_has(cli, "type"))
        return qs_cli_usage(cli, "--fit chooses the types: -t has no say in it (--pin and --rule have)");
    if (!encode && qs_cli_has(cli, "effort") && !qs_cli_has(cli, "errors"))
        return qs_cli_usage(cli, "--effort is of GPTQ, and nothing is encoded: name a preset with -t, a budget with --fit, "
                                 "or --errors");
    if (qs_cli_has(cli, "statistics") && qs_cli_has(cli, "errors"))
        return qs_cli_usage(cli, "--errors is for collecting: --statistics takes statistics as they are");
    if (qs_cli_has(cli, "statistics") && qs_cli_has(cli, "precision"))
        return qs_cli_usage(cli, "--statistics takes statistics as they are: --precision is for collecting them");
    if (qs_cli_has(cli, "statistics") && qs_cli_has(cli, "statistics-out"))
        return qs_cli_usage(cli, "--statistics takes statistics that are there, --statistics-out keeps new ones: they "
                            "exclude each other");
    return QS_EXIT_DONE;
}

/* ---- places -------------------------------------------------------------------------------------------------- */

static int check_output(struct qs_cli *cli, struct qs_calib_work *w, const char *path, const char *option)
{
    struct qs_err e = QS_ERR_INIT;
    const size_t n = w->args.text.n_sources;
    struct qs_file_input *in = qs_calloc(n + 3, sizeof *in);
    if (!in) {
        qs_fail_mem(&e, n * sizeof *in, "file names");
        return qs_cli_fail(cli, &e);
    }
    for (size_t i = 0; i < n; i++)
        in[i] = (struct qs_file_input){ w->source[i].path, "a text" };
    in[n] = (struct qs_file_input){ qs_cli_str(cli, "recipe", NULL), "the recipe" };
    in[n + 1] = (struct qs_file_input){ w->args.text.evaluation, "the evaluation text" };
    in[n + 2] = (struct qs_file_input){ w->args.statistics_in, "the statistics" };
    const int rc = qs_cli_output(cli, path, option, w->model, in, n + 3, &e);
    qs_free(in);
    return rc ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

static int name_outputs(struct qs_cli *cli, struct qs_calib_work *w, bool encode)
{
    struct qs_err e = QS_ERR_INIT;
    const char *store = qs_cli_str(cli, "output", NULL), *out = qs_cli_str(cli, "statistics-out", NULL);
    const char *path = qs_cli_arg(cli, 0);
    struct qs_str name = QS_STR_INIT;
    int rc = QS_OK;
    if (w->budget)
        qs_calib_budget_name(w->budget, &name);
    else if (w->recipe)
        rc = qs_calib_recipe_name(w->recipe, &name, &e);
    if (out)
        qs_str_add(&w->statistics, out);
    else if (!rc && !w->args.statistics_in)
        rc = qs_calib_statistics_place(path, &w->statistics, &e);
    if (!rc && store)
        qs_str_add(&w->store, store);
    else if (!rc && encode)
        rc = qs_calib_store_place(path, name.data, &w->store, &e);
    qs_str_free(&name);
    if (!rc && (w->statistics.failed || w->store.failed))
        rc = qs_fail_mem(&e, 0, "a file name");
    if (rc)
        return qs_cli_fail(cli, &e);
    w->args.statistics_out = w->args.statistics_in ? NULL : w->statistics.data;
    w->args.store = encode ? w->store.data : NULL;
    if (w->dry_run)
        return QS_EXIT_DONE;
    int exit_code = encode ? check_output(cli, w, w->store.data, "-o") : QS_EXIT_DONE;
    if (exit_code == QS_EXIT_DONE && w->write)
        exit_code = check_output(cli, w, w->write, "--write");
    return exit_code;
}

/* ---- putting it together ------------------------------------------------------------------------------------- */

static void fill_args(struct qs_cli *cli, struct qs_calib_work *w)
{
    struct qs_calibrate_args *a = &w->args;
    a->model = w->model;
    a->prio = QS_PRIO_JOB;
    a->text.n_ctx = (size_t)qs_cli_num(cli, "ctx", 0);
    a->text.n_windows = (size_t)qs_cli_num(cli, "windows", 0);
    a->text.seed = qs_cli_num(cli, "seed", 0);
    a->text.special = qs_cli_has(cli, "special");
    a->text.bos = true;
    a->text.model_ctx = (size_t)w->model->hp.n_ctx;
    a->text.evaluation = qs_cli_str(cli, "evaluation", NULL);
    a->errors = qs_cli_has(cli, "errors");
    a->precision = qs_calib_precision_named(qs_cli_str(cli, "precision", "any"));
    a->swap_windows = (size_t)qs_cli_num(cli, "swap-windows", 0);
    a->recipe = w->recipe;
    a->restart = qs_cli_has(cli, "restart");
    a->overwrite = qs_cli_has(cli, "force") || w->dry_run;
    a->allow_requantize = qs_cli_has(cli, "allow-requantize");
    a->memory = qs_cli_num(cli, "memory", 0);
}

static int open_model(struct qs_cli *cli, struct qs_calib_work *w)
{
    struct qs_err e = QS_ERR_INIT;
    size_t layers = 0;
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w->model, &e);
    for (size_t i = 0; !rc && i < w->model->n_tensors; i++)
        if (w->model->tensor[i].layer >= 0 && (size_t)w->model->tensor[i].layer >= layers)
            layers = (size_t)w->model->tensor[i].layer + 1;
    rc = rc ? rc : qs_calib_watch_new(layers, w->model->n_tensors, &w->watch, &e);
    rc = rc ? rc : qs_cli_pool(cli, &w->args.pool, &e);
    if (!rc && w->budget)
        rc = qs_budget_parse(w->budget, w->model, &w->fitted, &e);
    return rc ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

static int put_together(struct qs_cli *cli, struct qs_calib_work *w)
{
    const bool recipe = qs_cli_has_recipe(cli);
    w->cli = cli;
    w->budget = qs_cli_str(cli, "fit", NULL);
    w->write = qs_cli_str(cli, "write", NULL);
    w->dry_run = qs_cli_has(cli, "dry-run");
    w->args.statistics_in = qs_cli_str(cli, "statistics", NULL);
    int exit_code = check_sense(cli);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_methods(cli, &w->args.methods);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_effort(cli, &w->args.methods);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_share(cli, &w->args.text.held_out);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_texts(cli, w);
    if (exit_code == QS_EXIT_DONE && recipe)
        exit_code = qs_cli_recipe(cli, &w->recipe);
    if (exit_code == QS_EXIT_DONE)
        exit_code = open_model(cli, w);
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    fill_args(cli, w);
    return name_outputs(cli, w, recipe || w->budget);
}

static int run(struct qs_cli *cli)
{
    struct qs_calib_work w = { .statistics = QS_STR_INIT, .store = QS_STR_INIT };
    cli->lines = true;
    int exit_code = put_together(cli, &w);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_calib_work_run(&w);
    qs_calib_work_free(&w);
    return exit_code;
}

const struct qs_verb qs_verb_calibrate = {
    .name = "calibrate",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .summary = "learn from text which weights count, and encode them with measured error",
    .description =
        "Reads text with MODEL and collects statistics of what enters every matrix: an importance matrix that llama.cpp "
        "reads too, with a sample of rows and the largest activations. Several texts have weights (FILE:3); windows are "
        "drawn over their whole length, and a share of them is held out: methods are judged on text that they were not "
        "fitted to. --errors adds what each type costs each tensor, --swap-windows the KL divergence of the model when "
        "one tensor alone is changed.\n\n"
        "Statistics are sums over thousands of tokens: activations in the formats that products take (--precision fast) leave "
        "them as good as float32 does, in a fraction of the time, so that is usual. Hessians decide single codes: "
        "with --errors the activations are exact, and so is all that encodes. Statistics that lie there of an earlier run "
        "are taken whatever their precision, unless --precision names another.\n\n"
        "With a preset or recipe every tensor is then encoded, layer by layer, with the quantized ones in place: of the "
        "weighted fit, GPTQ, AWQ and HQQ, as far as --methods allows them, the one with the lowest output error on the "
        "held-out windows is taken. The encoded tensors are kept in NAME.qscal, which quantize, chat and eval take by "
        "--calibrated; --write writes the GGUF at once.\n\n"
        "--fit BUDGET finds the recipe first: the type of every tensor that costs least predicted KL divergence under "
        "the budget, from measured errors and swaps.\n\n"
        "A run that was cancelled or killed goes on when the same command is given again, and ends with the same bits. "
        "What is left of other work is refused with the difference; --restart discards it. --dry-run tells the "
        "time, memory and disk that it would take, and the mix of the text with its warnings.\n\n"
        "With --json one object stands on each line: events (stage, layer, tensor, fit) while it runs, and at last the "
        "report.",
    .examples =
        "quantscape calibrate m.gguf --text a.txt --text b.txt:0.5\tan importance matrix that knows more\n"
        "quantscape calibrate m.gguf --text a.txt -t Q4_K_M --write small.gguf\ta calibrated file\n"
        "quantscape calibrate m.gguf --text a.txt --fit 4.2GiB\tthe best recipe for a size, calibrated\n"
        "quantscape calibrate m.gguf --text a.txt --dry-run\twhat it would take\n",
    .opts = options,
    .keys = qs_calibrate_keys,
    .run = run,
};
