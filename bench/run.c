/* run.c - how fast this machine runs a model, beside what its memory can do.
 *
 *     bench/run [--json] [--threads N] [--prompt N] [--decode N] [--runs N] MODEL.gguf
 *
 * For each precision: prefill, a prompt of N tokens (default 512) fed at once into an empty context, and decode, N
 * tokens (default 64) fed one by one into an empty context, each with its logits. The median of some runs (default 3)
 * counts, the best is told beside it. Between the runs the memory is read (kernels/limits.h), on as many threads: a
 * token that is decoded passes through every weight once, so that reading them is what it takes at least; the share
 * is that time over the time it took. (Weights that stay in a cache make shares above 100%; on a shared machine
 * shares swing.) Token ids are made up: the time does not depend on them. Needs base, kernels and engine alone. Exit
 * code 0, 1 when the model cannot be run, 2 for wrong usage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/engine.h"
#include "kernels/limits.h"

enum { RUNS_MAX = 99 };

struct args {
    const char *path;
    bool json;
    size_t threads, prompt, decode, runs;
};

struct speed { /* tokens per second */
    double median, best;
};

static void die(const char *why)
{
    fprintf(stderr, "run: %s\n", why);
    exit(1);
}

/* ---- the model ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct speed summary(double *seconds, size_t runs, size_t tokens)
{
    qsort(seconds, runs, sizeof *seconds, by_value);
    return (struct speed){ (double)tokens / seconds[runs / 2], (double)tokens / seconds[0] };
}

/* Seconds that n tokens take, `step` of them at a time, from an empty context; the last of each step has logits. */
static double once(struct qs_session *s, const int32_t *id, size_t n, size_t step, float *logits)
{
    struct qs_err e = QS_ERR_INIT;
    qs_session_keep(s, 0);
    const double start = qs_now();
    for (size_t i = 0; i < n; i += step)
        if (qs_session_feed(s, id + i, step, step - 1, logits, &e))
            die(e.msg);
    return qs_now() - start;
}

struct figures { struct speed prefill, decode; };

static struct figures measure(const struct args *a, struct qs_engine *x, struct qs_limits *limits)
{
    const size_t n_vocab = qs_engine_config(x)->n_vocab, most = a->prompt > a->decode ? a->prompt : a->decode;
    const struct qs_session_args sizes = { most, QS_F16, QS_F16, false };
    double prefill[RUNS_MAX], decode[RUNS_MAX];
    struct qs_session *s;
    struct qs_err e = QS_ERR_INIT;
    float *logits = qs_malloc(n_vocab * sizeof *logits);
    int32_t *id = qs_malloc(most * sizeof *id);
    if (!logits || !id)
        die("not enough memory");
    if (qs_session_new(x, &sizes, &s, &e))
        die(e.msg);
    for (size_t i = 0; i < most; i++)
        id[i] = (int32_t)(i * 7919 % n_vocab);
    once(s, id, 1, 1, logits); /* the weights come into memory */
    for (size_t i = 0; i < a->runs; i++) {
        prefill[i] = once(s, id, a->prompt, a->prompt, logits);
        decode[i] = once(s, id, a->decode, 1, logits);
        double now;
        if (qs_limits_look(limits, QS_LIMIT_READ, &now, &e))
            die(e.msg);
    }
    qs_session_free(s);
    qs_free(logits);
    qs_free(id);
    return (struct figures){ summary(prefill, a->runs, a->prompt), summary(decode, a->runs, a->decode) };
}

/* ---- what is told ---- */

static const char *const precision_name[] = { "exact", "fast" };

static void print_text(const struct args *a, const struct qs_model *model, const struct figures f[2], unsigned threads,
                       uint64_t bytes, double read)
{
    printf("%s: %.1f MiB of weights a token; %u thread%s; memory read at %.1f GB/s\n"
           "            prefill of %zu         decode of %zu\n"
           "precision   tokens/s     best     tokens/s     best   of the memory's speed\n",
           model->path, (double)bytes / 0x1p20, threads, threads == 1 ? "" : "s", read * 1e-9, a->prompt, a->decode);
    for (int p = 1; p >= 0; p--)
        printf("%-9s %10.1f %8.1f   %10.1f %8.1f   %5.1f%%\n", precision_name[p], f[p].prefill.median,
               f[p].prefill.best, f[p].decode.median, f[p].decode.best,
               100 * f[p].decode.median * (double)bytes / read);
}

static void print_json(const struct args *a, const struct figures f[2], unsigned threads, uint64_t bytes, double read)
{
    printf("{\"version\": 1, \"threads\": %u, \"bytes_per_token\": %llu, \"read_bytes_per_second\": %.0f, "
           "\"prompt\": %zu, \"decode\": %zu, \"runs\": [", threads, (unsigned long long)bytes, read, a->prompt,
           a->decode);
    for (int p = 1; p >= 0; p--)
        printf("%s\n{\"precision\": \"%s\", \"prefill_tokens_per_second\": %.2f, \"prefill_best\": %.2f, "
               "\"decode_tokens_per_second\": %.2f, \"decode_best\": %.2f, \"decode_share\": %.4f}", p ? "" : ",",
               precision_name[p], f[p].prefill.median, f[p].prefill.best, f[p].decode.median, f[p].decode.best,
               f[p].decode.median * (double)bytes / read);
    puts("\n]}");
}

static int usage(const char *why, const char *word)
{
    fprintf(stderr, "run: %s \"%s\"; usage: run [--json] [--threads N] [--prompt N] [--decode N] [--runs N] "
            "MODEL.gguf\n", why, word);
    return 2;
}

/* 0: go on; else the exit code plus 1. */
static int read_args(int argc, char **argv, struct args *a)
{
    const struct { const char *name; size_t *value; unsigned long max; } number[] = {
        { "--threads", &a->threads, 1024 }, { "--prompt", &a->prompt, 65536 }, { "--decode", &a->decode, 65536 },
        { "--runs", &a->runs, RUNS_MAX },
    };
    for (int at = 1; at < argc; at++) {
        size_t k = 0;
        while (k < sizeof number / sizeof *number && strcmp(argv[at], number[k].name) != 0)
            k++;
        if (strcmp(argv[at], "--help") == 0) {
            puts("run [--json] [--threads N] [--prompt N] [--decode N] [--runs N] MODEL.gguf: times prefill and "
                 "decode; bench/run.c says how");
            return 1;
        } else if (strcmp(argv[at], "--json") == 0) {
            a->json = true;
        } else if (k < sizeof number / sizeof *number) {
            char *end = (char *)"?";
            const char *text = at + 1 < argc ? argv[++at] : "";
            const unsigned long v = strtoul(text, &end, 10);
            if (*text < '0' || *text > '9' || *end || v < 1 || v > number[k].max)
                return 1 + usage("options take numbers from 1, not too large, not", text);
            *number[k].value = v;
        } else if (argv[at][0] == '-' || a->path) {
            return 1 + usage("there is no option", argv[at]);
        } else {
            a->path = argv[at];
        }
    }
    return a->path ? 0 : 1 + usage("which model is missing:", "");
}

int main(int argc, char **argv)
{
    struct args a = { .prompt = 512, .decode = 64, .runs = 3 };
    struct qs_limits *limits;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *model;
    struct qs_pool *pool;
    struct figures f[2];
    uint64_t bytes = 0;
    const int stop = read_args(argc, argv, &a);
    if (stop)
        return stop - 1;
    if (qs_model_open_gguf(a.path, &model, &e) || qs_pool_new((unsigned)a.threads, &pool, &e) ||
        qs_limits_new(pool, QS_LIMIT_BUFFER, &limits, &e))
        die(e.msg);
    for (int p = 0; p < 2; p++) {
        const struct qs_engine_args args = { pool, (enum qs_precision)p, QS_PRIO_JOB, 0, 0 };
        struct qs_engine *x;
        if (qs_engine_new(model, &args, &x, &e))
            die(e.msg);
        bytes = qs_engine_bytes_per_token(x);
        f[p] = measure(&a, x, limits);
        qs_engine_free(x);
    }
    if (a.json)
        print_json(&a, f, qs_pool_threads(pool), bytes, qs_limits_best(limits, QS_LIMIT_READ));
    else
        print_text(&a, model, f, qs_pool_threads(pool), bytes, qs_limits_best(limits, QS_LIMIT_READ));
    qs_limits_free(limits);
    qs_pool_free(pool);
    qs_model_close(model);
    return ferror(stdout) ? 1 : 0;
}
