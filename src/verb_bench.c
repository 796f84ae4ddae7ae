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
#include "core/report/report_bench.h"
#include "src/verb.h"

enum { LIST_MAX = 64 };

static const struct qs_opt options[] = {
    { .name = "shape", .kind = QS_OPT_STR, .arg = "NAME", .words = qs_bench_shape_name,
      .help = "a model of this shape with made-up weights, instead of a file" },
    { .name = "type", .letter = 't', .many = true, .kind = QS_OPT_PRESET, .arg = "TYPE",
      .help = "type or preset of the made-up model (default: Q4_K_M); more than one: a model of each" },
    { .name = "only", .kind = QS_OPT_STR, .arg = "PART,...",
      .help = "measure these alone: limits, startup, prefill, decode, attention, encode, calibrate" },
    { .name = "prefill", .kind = QS_OPT_STR, .arg = "N,...", .help = "tokens of prompts (default: 128,512,2048,8192)" },
    { .name = "context", .kind = QS_OPT_STR, .arg = "N,...", .help = "contexts to decode behind (default: 0,2048,8192)" },
    { .name = "cache-type", .kind = QS_OPT_CHOICE, .arg = "TYPE", .choices = "F32 F16 Q8_0 Q4_0",
      .help = "type of the KV cache (default: F16)" },
    { .name = "precision", .kind = QS_OPT_CHOICE, .arg = "WORD", .choices = "exact fast",
      .help = "activations in float32, or as the fast kernels take them (default: fast)" },
    { .name = "batch", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 4096,
      .help = "tokens that go through the blocks together (default: as in chat)" },
    { .name = "seconds", .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 3600,
      .help = "about so long for each number (default: 3)" },
    { .name = NULL }
};

struct work {
    struct qs_bench_args args;
    struct qs_bench *result;
    size_t prefill[LIST_MAX], context[LIST_MAX];
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
            return qs_cli_usage(cli, "--only: there is no part \"%s\"; there are limits, startup, prefill, decode, "
                                     "attention, encode, calibrate", word);
        *parts |= 1u << p;
    }
    return *parts ? QS_EXIT_DONE : qs_cli_usage(cli, "--only: which parts?");
}

static int take_models(struct qs_cli *cli, struct work *w)
{
    struct qs_bench_args *a = &w->args;
    const char *shape = qs_cli_str(cli, "shape", NULL);
    for (size_t i = 0; i < qs_cli_args(cli) && i < LIST_MAX; i++)
        w->model[a->n_models++] = qs_cli_arg(cli, i);
    if (shape && a->n_models)
        return qs_cli_usage(cli, "bench takes a MODEL or a --shape, not both");
    if (shape && !(a->shape = qs_bench_shape_find(shape)))
        return qs_cli_usage(cli, "--shape: there is no \"%s\"; bench --help lists them", shape);
    if (!a->shape && qs_cli_has(cli, "type"))
        return qs_cli_usage(cli, "--type is for a made-up model: name its --shape");
    if (!a->shape && !a->n_models)
        a->shape = qs_bench_shape_find("llama-1.1b");
    w->preset[a->n_presets++] = "Q4_K_M";
    for (size_t i = 0; i < qs_cli_count(cli, "type") && i < LIST_MAX; i++)
        w->preset[(a->n_presets = i + 1) - 1] = qs_cli_nth(cli, "type", i);
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

static int run(struct qs_cli *cli)
{
    struct work w = { .result = NULL };
    struct qs_err e = QS_ERR_INIT;
    int exit_code = take_args(cli, &w);
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    int rc = qs_cli_pool(cli, &w.args.pool, &e);
    rc = rc ? rc : qs_cli_job(cli, "bench", measure, &w, NULL, &e);
    const bool some = w.result && (rc == QS_OK || (rc == QS_ECANCELLED && (w.result->n_limits || w.result->n_numbers)));
    if (some)
        exit_code = qs_cli_show(cli, qs_report_bench(w.result, cli->json || cli->csv), "numbers");
    qs_cli_flush(cli);
    if (rc && some)
        cli->error_shown = true; /* one JSON document: the report, which says that it was stopped */
    if (rc)
        exit_code = qs_cli_fail(cli, &e);
    qs_bench_free(w.result);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "bench.machine", "the processor" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_bench = {
    .name = "bench",
    .args = "[MODEL...]",
    .min_args = 0,
    .max_args = UINT_MAX,
    .summary = "how fast this machine runs models, as a share of what it can do",
    .description = "Measures.",
    .opts = options,
    .keys = keys,
    .run = run,
};
