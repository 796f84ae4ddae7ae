/* verb_bench.c - `bench`: how fast this machine runs models, quantizes and calibrates, as a share of what it can do.
 *
 * Owns options and lists while it runs; the work is core/eval/bench*.c, the tables are core/report/report_bench.c.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eval/bench.h"
#include "core/model/need.h"
#include "core/quant/preset.h"
#include "core/report/report_bench.h"
#include "src/bench_calibration.h"
#include "src/bench_keys.h"
#include "src/verb.h"

enum { LIST_MAX = 64 };

static const char *part_word(size_t i) { return i < QS_BENCH_PARTS ? qs_bench_part_name((enum qs_bench_part)i) : NULL; }

static const struct qs_opt options[] = {
    { .name = "shape", .kind = QS_OPT_STR, .arg = "NAME", .words = qs_bench_shape_name,
      .help = "a model of this shape with made-up weights (default: llama-1.1b)" },
    { .name = "type", .letter = 't', .many = true, .kind = QS_OPT_PRESET, .arg = "TYPE",
      .help = "type or preset of the made-up model (default: Q4_K_M); given again: one more model" },
    { .name = "only", .kind = QS_OPT_STR, .arg = "PART,...", .words = part_word,
      .help = "measure these parts alone" },
    { .name = "prefill", .kind = QS_OPT_STR, .arg = "N,...", .help = "tokens of prompts (default: 128,512,2048,8192)" },
    { .name = "context", .kind = QS_OPT_STR, .arg = "N,...", .help = "contexts to decode behind (default: 0,2048,8192)" },
    { .name = "types", .kind = QS_OPT_STR, .arg = "TYPE,...",
      .help = "types to encode (default: Q4_K,Q6_K,Q8_0,IQ4_XS,IQ3_S,IQ2_XS)" },
    { .name = "cache-type", .kind = QS_OPT_CHOICE, .arg = "TYPE", .choices = "F32 F16 Q8_0 Q4_0",
      .help = "type of the KV cache (default: F16)" },
    { .name = "precision", .kind = QS_OPT_CHOICE, .arg = "WORD", .choices = "exact fast",
      .help = "activations in float32, or as the fast kernels take them (default: fast)" },
    { .name = "batch", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 4096,
      .help = "tokens that go through the blocks together (default: as in chat)" },
    { .name = "seconds", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 3600,
      .help = "about so long for each number (default: 3)" },
    { .name = "compare", .help = "two saved runs (--json) side by side" },
    { .name = NULL }
};

struct work {
    struct qs_bench_args args;
    struct qs_bench *result;
    struct qs_bench_hessians hessians;
    size_t prefill[LIST_MAX], context[LIST_MAX];
    int type[LIST_MAX];
    const char *preset[LIST_MAX], *model[LIST_MAX];
};

static int measure(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_bench_run(&w->args, job, &w->result, e);
}

/* ---- lists ---- */

/* The next word of a list, and what follows it; 0: there is none. */
static size_t next_word(const char **text, char *word, size_t room)
{
    const size_t n = strcspn(*text, ",");
    snprintf(word, room, "%.*s", (int)n, *text);
    *text += n + ((*text)[n] == ',');
    return n;
}

static int take_numbers(struct qs_cli *cli, const char *option, size_t least, const char *otherwise, size_t *out,
                        size_t *n)
{
    const char *text = qs_cli_str(cli, option, otherwise);
    char word[32], *end;
    for (*n = 0; *text && *n < LIST_MAX;) {
        const size_t len = next_word(&text, word, sizeof word);
        const unsigned long v = strtoul(word, &end, 10);
        if (len == 0 || len >= sizeof word || *end || word[0] < '0' || word[0] > '9' || v < least || v > 1 << 20)
            return qs_cli_usage(cli, "--%s: \"%s\" is no number of tokens from %zu to 1048576", option, word, least);
        out[(*n)++] = v;
    }
    return *n && !*text ? QS_EXIT_DONE : qs_cli_usage(cli, "--%s: 1 to %d numbers are expected", option, LIST_MAX);
}

static int take_parts(struct qs_cli *cli, unsigned *parts)
{
    const char *text = qs_cli_str(cli, "only", NULL);
    char word[32];
    *parts = (1u << QS_BENCH_PARTS) - 1;
    if (!text)
        return QS_EXIT_DONE;
    for (*parts = 0; *text;) {
        enum qs_bench_part p;
        next_word(&text, word, sizeof word);
        if (!qs_bench_part_parse(word, &p))
            return qs_cli_usage(cli, "--only: there is no part \"%s\"; bench --help lists them", word);
        *parts |= 1u << p;
    }
    return *parts ? QS_EXIT_DONE : qs_cli_usage(cli, "--only: which parts?");
}

static int take_types(struct qs_cli *cli, struct work *w)
{
    const char *text = qs_cli_str(cli, "types", "Q4_K,Q6_K,Q8_0,IQ4_XS,IQ3_S,IQ2_XS");
    char word[32];
    while (*text && w->args.n_types < LIST_MAX) {
        next_word(&text, word, sizeof word);
        const struct qs_format *f = qs_format_by_name(word);
        if (!f || f->flags & (QS_NO_ENCODE | QS_INTERNAL) || f->n_components != 1)
            return qs_cli_usage(cli, "--types: '%s' is not a type that can be written ('quantscape types' lists them)",
                                word);
        w->type[w->args.n_types++] = f->id;
    }
    w->args.type = w->type;
    return w->args.n_types && !*text ? QS_EXIT_DONE
                                     : qs_cli_usage(cli, "--types: 1 to %d types are expected", LIST_MAX);
}

static int take_models(struct qs_cli *cli, struct work *w)
{
    struct qs_bench_args *a = &w->args;
    const char *shape = qs_cli_str(cli, "shape", "llama-1.1b"), *preset;
    if (qs_cli_args(cli) > LIST_MAX || qs_cli_count(cli, "type") > LIST_MAX)
        return qs_cli_usage(cli, "bench takes at most %d models", LIST_MAX);
    for (size_t i = 0; i < qs_cli_args(cli); i++)
        w->model[a->n_models++] = qs_cli_arg(cli, i);
    if (a->n_models && (qs_cli_has(cli, "shape") || qs_cli_has(cli, "type")))
        return qs_cli_usage(cli, "--shape and --type are for a made-up model, and a MODEL was named");
    if (!a->n_models && !(a->shape = qs_bench_shape_find(shape)))
        return qs_cli_usage(cli, "--shape: there is no \"%s\"; bench --help lists them", shape);
    while ((preset = qs_cli_nth(cli, "type", a->n_presets)) != NULL) {
        const struct qs_preset *p = qs_preset_by_name(preset);
        if (!p || p->base == QS_TYPE_NONE)
            return qs_cli_usage(cli, "--type: '%s' is no type or preset that a model can be made in", preset);
        w->preset[a->n_presets++] = p->name;
    }
    if (!a->n_presets)
        w->preset[a->n_presets++] = QS_PRESET_DEFAULT;
    a->model = w->model;
    a->preset = w->preset;
    return QS_EXIT_DONE;
}

static int take_args(struct qs_cli *cli, struct work *w)
{
    struct qs_bench_args *a = &w->args;
    const struct qs_session_args cache = QS_SESSION_ARGS_INIT;
    int exit_code = take_parts(cli, &a->parts);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_models(cli, w);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_types(cli, w);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_numbers(cli, "prefill", 1, "128,512,2048,8192", w->prefill, &a->n_prefill);
    if (exit_code == QS_EXIT_DONE)
        exit_code = take_numbers(cli, "context", 0, "0,2048,8192", w->context, &a->n_context);
    a->prefill = w->prefill;
    a->context = w->context;
    a->cache = cache;
    a->cache.type_k = a->cache.type_v = qs_format_by_name(qs_cli_str(cli, "cache-type", "F16"))->id;
    a->precision = strcmp(qs_cli_str(cli, "precision", "fast"), "exact") == 0 ? QS_EXACT : QS_FAST;
    a->batch = (size_t)qs_cli_num(cli, "batch", 0);
    a->seconds = (double)qs_cli_num(cli, "seconds", 3);
    a->memory = qs_machine_memory().available / 2;
    return exit_code;
}

/* ---- saved runs ---- */

static int compare(struct qs_cli *cli)
{
    struct qs_bench *a = NULL, *b = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_cli_args(cli) != 2)
        return qs_cli_usage(cli, "bench --compare needs two files that bench --json has printed");
    int rc = qs_bench_read(qs_cli_arg(cli, 0), &a, &e);
    rc = rc ? rc : qs_bench_read(qs_cli_arg(cli, 1), &b, &e);
    rc = rc ? rc : qs_bench_comparable(a, b, &e);
    const int exit_code = rc ? qs_cli_fail(cli, &e)
                             : qs_cli_show(cli, qs_report_bench_compare(a, b, cli->json || cli->csv), "numbers");
    qs_bench_free(a);
    qs_bench_free(b);
    return exit_code;
}

/* ---- a run ---- */

/* What was measured is shown after an interruption too; with --json it says itself that it was stopped. */
static int show(struct qs_cli *cli, const struct qs_bench *b, int rc, const struct qs_err *e)
{
    const bool some = b && (rc == QS_OK || (rc == QS_ECANCELLED && (b->n_limits || b->n_numbers)));
    int exit_code = some ? qs_cli_show(cli, qs_report_bench(b, cli->json || cli->csv), "numbers") : QS_EXIT_DONE;
    if (some && rc)
        cli->error_shown = true;
    qs_cli_flush(cli);
    return rc ? qs_cli_fail(cli, e) : exit_code;
}

static int run(struct qs_cli *cli)
{
    struct work w = { .result = NULL };
    struct qs_err e = QS_ERR_INIT;
    if (qs_cli_has(cli, "compare"))
        return compare(cli);
    int exit_code = take_args(cli, &w);
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    int rc = qs_cli_pool(cli, &w.args.pool, &e);
    w.hessians.pool = w.args.pool;
    w.args.calibration = qs_bench_calibration_of(&w.hessians);
    rc = rc ? rc : qs_cli_job(cli, "bench", measure, &w, NULL, &e);
    exit_code = show(cli, w.result, rc, &e);
    qs_bench_hessians_free(&w.hessians);
    qs_bench_free(w.result);
    return exit_code;
}

const struct qs_verb qs_verb_bench = {
    .name = "bench",
    .args = "[MODEL... | RUN RUN]",
    .min_args = 0,
    .max_args = UINT_MAX,
    .summary = "measure how fast this machine runs, encodes and calibrates models, and what it could do",
    .description =
        "Measures what this machine can do at most (limits: reading memory with every number of threads, with and "
        "without huge pages; multiplying and adding int8, bfloat16 and float32 by every loop that it can run), and "
        "then, for each MODEL or for a made-up model of a named --shape: how long its start takes (startup), "
        "prompts of several lengths (prefill), decoding behind contexts of several lengths (decode), attention of "
        "the longest prompt by itself (attention), the speed of encoders (encode), and the collection of statistics "
        "and Hessians (calibrate).\n\n"
        "Each number is the median of some runs, with the best, the spread (half of the runs lie within that share "
        "of the median) and the share of the limit. A decoded token has to read the stored weights that it passes "
        "through, of embeddings the row that it takes, and the cache before it: its limit is the reading speed. A "
        "prompt has to multiply and add two operations for each weight in the blocks and token, and once the rows "
        "of the head: its limit is the peak of int8 where the weights meet quantized activations, of bfloat16 for "
        "BF16 where the machine has it, else of float32. Limits are measured before and after every run, and a run "
        "is told as a share of the better one: on shared machines they move from one minute to the next. \"of the "
        "best\" is the best run by the best limit.\n\n"
        "Made-up models have random weights of a sensible scale, in the types that a preset chooses, and lie in a "
        "scratch file that is gone at the end. Contexts to decode behind are filled with made-up keys and values. "
        "Ctrl-C ends the run and shows what was measured until then.\n\n"
        "--compare shows two runs that --json has saved side by side: speeds, shares, ratios. Runs with other "
        "threads, precision, cache, batch or models are refused.",
    .examples =
        "quantscape bench\teverything, of a model of 1.1 billion weights in Q4_K_M\n"
        "quantscape bench model.gguf --only limits,prefill,decode\ta model of your own\n"
        "quantscape bench --shape llama-8b -t Q4_K_M -t Q8_0 --json > today.json\ttwo types of a larger shape, saved\n"
        "quantscape bench --compare before.json today.json\twhat has changed\n",
    .opts = options,
    .keys = qs_bench_keys,
    .run = run,
};
