/* verb_eval.c - `eval`: how good a model, or a recipe carried out in memory, still is.
 *
 * Owns options, recipe and importance matrix while it runs; the work is core/eval/evaluation.c, the tables are
 * core/report/report_eval*.c, the documentation of the keys is eval_keys.c.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "core/eval/evaluation.h"
#include "core/model/need.h"
#include "core/report/report_eval.h"
#include "src/eval_keys.h"
#include "src/recipe_opts.h"

static const struct qs_opt options[] = {
    { .name = "text", .kind = QS_OPT_FILE, .arg = "FILE", .help = "measure on this text" },
    { .name = "against",
      .letter = 'a',
      .kind = QS_OPT_FILE,
      .arg = "REF",
      .help = "the reference (default with a recipe: MODEL as it is; without: none, perplexity alone)" },
    { .name = "ctx",
      .letter = 'c',
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 4,
      .max = 1 << 20,
      .help = "tokens of a window (default: 512, or the model's context where that is shorter)" },
    { .name = "chunks",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .help = "the first N windows of the text (default: all)" },
    { .name = "bytes",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1,
      .help = "the first SIZE bytes of the text (default: all)" },
    { .name = "precision",
      .kind = QS_OPT_CHOICE,
      .arg = "WORD",
      .choices = "exact fast",
      .help = "activations in float32, or as the fast kernels take them (default: exact)" },
    { .name = "cache-type",
      .kind = QS_OPT_CHOICE,
      .arg = "TYPE",
      .choices = "F32 F16 Q8_0 Q4_0",
      .help = "type of the KV cache of both models (default: F16)" },
    { .name = "rotate", .help = "rotate keys and values before they are stored in the cache" },
    { .name = "tokens", .help = "list every scored token with its log-probability" },
    { .name = "layers", .help = "compare the hidden states after each block" },
    { .name = "calibration", .kind = QS_OPT_FILE, .arg = "FILE", .help = "warn where the text stands in this one too" },
    { .name = "held-out",
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "measure on this text too, and warn where candidates change ranks between both" },
    { .name = "prompts",
      .kind = QS_OPT_FILE,
      .arg = "FILE",
      .help = "compare answers to these prompts (lines, or JSONL)" },
    { .name = "n-prompts", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .help = "the first N prompts (default: all)" },
    { .name = "answer",
      .kind = QS_OPT_NUM,
      .arg = "N",
      .min = 1,
      .max = 65536,
      .help = "tokens of an answer (default: 64)" },
    { .name = "sample",
      .many = true,
      .kind = QS_OPT_STR,
      .arg = "NAME=VALUE",
      .help = "sampler of the answers: temperature, top-k, top-p, min-p, seed ... (default: greedy)" },
    { .name = "tasks", .kind = QS_OPT_FILE, .arg = "FILE", .help = "multiple choice by log-likelihood (JSONL)" },
    { .name = "n-tasks", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .help = "the first N tasks (default: all)" },
    { .name = "reference",
      .kind = QS_OPT_CHOICE,
      .arg = "WORD",
      .choices = "itself q8_0",
      .help = "the reference itself, or a stand-in of it in Q8_0 made in memory (default: itself)" },
    { .name = "by-layer", .help = "run block by block over many windows, for models larger than memory" },
    { .name = "memory",
      .kind = QS_OPT_SIZE,
      .arg = "SIZE",
      .min = 1 << 20,
      .help = "as if the machine had SIZE of memory free: larger models run block by block" },
    { .name = "no-noise", .help = "do not measure what the arithmetic alone changes" },
    { .name = "no-history", .help = "do not write this run into the history" },
    { .name = "history", .help = "list past runs" },
    { .name = "compare", .help = "compare two past runs: their names, numbers in the list, or \"last\"" },
    { .name = "type",
      .letter = 't',
      .kind = QS_OPT_PRESET,
      .arg = "TYPE",
      .help = "measure the candidate that this preset makes of MODEL, in memory" },
    QS_RECIPE_MORE_OPTIONS,
    { .name = NULL }
};

struct work {
    struct qs_recipe *recipe;
    struct qs_imatrix *imatrix;
    struct qs_store *store;
    struct qs_evaluation *x;
    struct qs_str name;          /* of the recipe */
};

static int evaluate(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_evaluation_run(w->x, job, e);
}

/* ---- the history ---- */

static int run_history(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_eval_history *h;
    const struct qs_eval_history_run *a, *b;
    const struct qs_eval_view view = { .data = cli->json || cli->csv, .csv = cli->csv };
    const bool compare = qs_cli_has(cli, "compare");
    if (compare && qs_cli_args(cli) != 2)
        return qs_cli_usage(cli, "eval --compare needs two runs; eval --history lists them");
    if (!compare && qs_cli_args(cli))
        return qs_cli_usage(cli, "eval --history lists all runs and takes no model");
    if (qs_eval_history_load(&h, &e))
        return qs_cli_fail(cli, &e);
    int exit_code;
    if (!compare)
        exit_code = qs_cli_show(cli, qs_report_eval_history(h, &view), "runs");
    else if (qs_eval_history_find(h, qs_cli_arg(cli, 0), &a, &e) || qs_eval_history_find(h, qs_cli_arg(cli, 1), &b, &e))
        exit_code = qs_cli_fail(cli, &e);
    else
        exit_code = qs_cli_show(cli, qs_report_eval_compare(a, b, &view), "numbers");
    qs_eval_history_free(h);
    return exit_code;
}

/* ---- a run ---- */

static int take_sampler(struct qs_cli *cli, struct qs_sampler_settings *s)
{
    const char *text;
    qs_sampler_defaults(s);
    s->temperature = 0;
    for (size_t i = 0; (text = qs_cli_nth(cli, "sample", i)) != NULL; i++) {
        struct qs_err e = QS_ERR_INIT;
        char name[64];
        const char *eq = strchr(text, '=');
        if (!eq || eq == text || (size_t)(eq - text) >= sizeof name)
            return qs_cli_usage(cli, "--sample %s: NAME=VALUE is expected", text);
        snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
        if (qs_sampler_set(s, name, eq + 1, &e))
            return qs_cli_usage(cli, "--sample %s: %s", text, e.msg);
    }
    return QS_EXIT_DONE;
}

/* "Q4_K_M", "my.recipe", with what else was asked for. */
static int name_recipe(struct qs_cli *cli, struct work *w)
{
    struct qs_err e = QS_ERR_INIT;
    const char *file = qs_cli_str(cli, "recipe", NULL);
    const size_t more = qs_cli_count(cli, "pin") + qs_cli_count(cli, "rule");
    qs_str_add(&w->name, file ? file : w->recipe->preset->name);
    if (qs_cli_has(cli, "pure"))
        qs_str_add(&w->name, ", pure");
    if (more)
        qs_str_addf(&w->name, ", %zu more rules", more);
    if (w->imatrix)
        qs_str_addf(&w->name, ", imatrix %s", qs_path_base(qs_cli_str(cli, "imatrix", "")));
    if (w->store)
        qs_str_addf(&w->name, ", calibrated %s", qs_path_base(qs_cli_str(cli, "calibrated", "")));
    if (!w->name.failed)
        return QS_EXIT_DONE;
    qs_fail_mem(&e, w->name.len, "a name");
    return qs_cli_fail(cli, &e);
}

static int take_recipe(struct qs_cli *cli, struct work *w)
{
    if (!qs_cli_has_recipe(cli)) {
        if (qs_cli_has(cli, "imatrix") || qs_cli_has(cli, "calibrated"))
            return qs_cli_usage(cli, "--%s is for a candidate: name its preset with -t",
                                qs_cli_has(cli, "imatrix") ? "imatrix" : "calibrated");
        return QS_EXIT_DONE;
    }
    int exit_code = qs_cli_recipe(cli, &w->recipe);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_imatrix(cli, &w->imatrix);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_store(cli, &w->store);
    return exit_code == QS_EXIT_DONE ? name_recipe(cli, w) : exit_code;
}

/* What is asked for has to hang together before anything is opened. */
static int check_sense(struct qs_cli *cli)
{
    const bool text = qs_cli_has(cli, "text"), reference = qs_cli_has(cli, "against") || qs_cli_has_recipe(cli);
    static const char *const need_text[] = { "tokens", "layers", "calibration", "held-out" };
    if (qs_cli_args(cli) != 1)
        return qs_cli_usage(cli, "one MODEL is expected; usage: quantscape eval MODEL --text FILE");
    if (!text && !qs_cli_has(cli, "prompts") && !qs_cli_has(cli, "tasks"))
        return qs_cli_usage(cli, "eval: nothing to measure on: give --text, --prompts or --tasks");
    for (size_t i = 0; i < sizeof need_text / sizeof *need_text; i++)
        if (!text && qs_cli_has(cli, need_text[i]))
            return qs_cli_usage(cli, "--%s needs a --text", need_text[i]);
    if (!reference && qs_cli_has(cli, "layers"))
        return qs_cli_usage(cli,
                            "--layers compares two models: name a reference with --against, or a candidate with -t");
    if (!reference && qs_cli_has(cli, "prompts"))
        return qs_cli_usage(cli,
                            "--prompts compares two models: name a reference with --against, or a candidate with -t");
    return QS_EXIT_DONE;
}

static void fill_args(struct qs_cli *cli, struct work *w, struct qs_evaluation_args *a)
{
    const struct qs_session_args cache = QS_SESSION_ARGS_INIT;
    const struct qs_format *f = qs_format_by_name(qs_cli_str(cli, "cache-type", "F16"));
    a->pair = (struct qs_pair_args){
        .model = qs_cli_arg(cli, 0), .recipe = w->recipe, .imatrix = w->imatrix, .store = w->store,
        .allow_requantize = qs_cli_has(cli, "allow-requantize"), .reference = qs_cli_str(cli, "against", NULL),
        .stand_in = strcmp(qs_cli_str(cli, "reference", "itself"), "q8_0") == 0, .prio = QS_PRIO_JOB,
        .precision = strcmp(qs_cli_str(cli, "precision", "exact"), "fast") == 0 ? QS_FAST : QS_EXACT,
    };
    a->recipe_name = w->recipe ? w->name.data : NULL;
    a->text = qs_cli_str(cli, "text", NULL);
    a->held_out = qs_cli_str(cli, "held-out", NULL);
    a->calibration = qs_cli_str(cli, "calibration", NULL);
    a->bytes = qs_cli_num(cli, "bytes", 0);
    a->n_ctx = (size_t)qs_cli_num(cli, "ctx", 0);
    a->n_windows = (size_t)qs_cli_num(cli, "chunks", 0);
    a->cache = cache;
    a->cache.type_k = a->cache.type_v = f->id;
    a->cache.rotate = qs_cli_has(cli, "rotate");
    a->layers = qs_cli_has(cli, "layers");
    a->tokens = qs_cli_has(cli, "tokens");
    a->noise = !qs_cli_has(cli, "no-noise");
    a->by_layer = qs_cli_has(cli, "by-layer");
    a->memory = qs_cli_num(cli, "memory", qs_machine_memory().available);
    a->prompts = qs_cli_str(cli, "prompts", NULL);
    a->tasks = qs_cli_str(cli, "tasks", NULL);
    a->most_prompts = (size_t)qs_cli_num(cli, "n-prompts", 0);
    a->most_tasks = (size_t)qs_cli_num(cli, "n-tasks", 0);
    a->answer_tokens = (size_t)qs_cli_num(cli, "answer", 0);
    a->now = (int64_t)time(NULL);
}

static int show(struct qs_cli *cli, const struct qs_evaluation *x)
{
    const struct qs_eval_view view = { .data = cli->json || cli->csv, .csv = cli->csv };
    const char *csv = x->args.tokens ? "tokens" : x->x ? "numbers" : x->prompts_result ? "prompts" : "tasks";
    return qs_cli_show(cli, qs_report_eval(x, &view), csv);
}

static int measure(struct qs_cli *cli, struct work *w)
{
    struct qs_evaluation_args args = { 0 };
    struct qs_pool *pool;
    struct qs_err e = QS_ERR_INIT;
    fill_args(cli, w, &args);
    const int exit_code = take_sampler(cli, &args.sampler);
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    int rc = qs_cli_pool(cli, &pool, &e);
    rc = rc ? rc : qs_evaluation_open(&args, pool, &w->x, &e);
    if (!rc && w->x->args.by_layer && !qs_cli_has(cli, "by-layer"))
        qs_cli_note(cli, "the models are larger than the memory that is free: they run block by block");
    rc = rc ? rc : qs_cli_job(cli, "evaluate", evaluate, w, NULL, &e);
    if (rc)
        return qs_cli_fail(cli, &e);
    if (!qs_cli_has(cli, "no-history") && qs_evaluation_remember(w->x, &e))
        qs_cli_warn(cli, "the history was not written: %s", e.msg);
    return show(cli, w->x);
}

static int run(struct qs_cli *cli)
{
    struct work w = { .name = QS_STR_INIT };
    if (qs_cli_has(cli, "history") || qs_cli_has(cli, "compare"))
        return run_history(cli);
    int exit_code = check_sense(cli);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_recipe(cli, &w);
    if (exit_code == QS_EXIT_DONE)
        exit_code = measure(cli, &w);
    qs_evaluation_free(w.x);
    qs_imatrix_free(w.imatrix);
    qs_store_unref(w.store);
    qs_recipe_free(w.recipe);
    qs_str_free(&w.name);
    return exit_code;
}

const struct qs_verb qs_verb_eval = {
    .name = "eval",
    .args = "[MODEL | RUN RUN]",
    .min_args = 0,
    .max_args = 2,
    .summary = "measure a model or a candidate: perplexity, KL divergence, layers, prompts, tasks",
    .description =
        "Measures MODEL, or the candidate that a preset or recipe makes of it in memory, against a reference: "
        "--against REF, or MODEL as it is when there is a recipe. Nothing is written but a line in the history.\n\n"
        "On a text (--text) it gives perplexity as llama.cpp defines it (windows of --ctx tokens, the second half of "
        "each is scored) with its error; with a reference, in lock-step and without a file of logits: KL divergence "
        "(mean with error, median, percentiles, largest), the change of the right token's probability likewise, the "
        "share of equal top tokens, and the ratio of the perplexities, as llama-perplexity --kl-divergence defines "
        "them. A model against itself has a divergence of exactly 0. --layers adds how far the hidden state is off "
        "after each block, --tokens a line for every token.\n\n"
        "--prompts lets both models answer, and the candidate follow the reference's answers: agreement, divergence, "
        "repetition, the worst first, side by side. A file has a prompt on each line, or JSON objects with \"text\" or "
        "\"messages\". --tasks is multiple choice by log-likelihood: JSON objects with \"question\", \"choices\" and "
        "\"answer\" (from 0); accuracy of both with Wilson's interval and McNemar's exact test.\n\n"
        "Every number names the precision it was made with. In exact precision (the default) activations are float32. "
        "What the arithmetic alone changes is measured on the first window. Models larger than the memory that is free "
        "run block by block over as many windows as fit, with the same bits; --reference q8_0 takes a stand-in made in "
        "memory instead of the original. The table says which.\n\n"
        "Each run on a text is a line of evaluations.jsonl in the state folder ($XDG_STATE_HOME/quantscape): "
        "--history lists them, --compare shows two side by side, --json and --csv export them.",
    .examples =
        "quantscape eval model.gguf --text wiki.txt\tperplexity\n"
        "quantscape eval model-f16.gguf -t Q4_K_M --text wiki.txt --layers\ta preset against the original, in memory\n"
        "quantscape eval small.gguf --against model-f16.gguf --text wiki.txt\ta file against another\n"
        "quantscape eval model-f16.gguf -t Q2_K --prompts prompts.txt\tanswers side by side\n"
        "quantscape eval --compare 12 last\ttwo past runs\n",
    .opts = options,
    .keys = qs_eval_keys,
    .run = run,
};
