/* collect_bench.c - see collect_bench.h. */
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/calib/collect_bench.h"
#include "tests/lib/qs_test.h"
#include "tests/model/make_model.h"

struct qs_pool *bench_pool[4];
const int bench_types[TYPES] = { QS_Q4_0, QS_Q4_K, QS_Q8_0, QS_IQ3_S };

int bench_pools(void)
{
    struct qs_err e = QS_ERR_INIT;
    for (unsigned i = 1; i < 4; i++)
        if (qs_pool_new(i, &bench_pool[i], &e))
            return 1;
    return 0;
}

void bench_pools_free(void)
{
    for (unsigned i = 1; i < 4; i++)
        qs_pool_free(bench_pool[i]);
}

struct bench *bench_of(const char *path, size_t fit, size_t held, unsigned threads, size_t batch)
{
    static char name[] = "some/words.txt";
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = qs_calloc(1, sizeof *b);
    const struct qs_engine_args ea = { .pool = bench_pool[threads], .precision = QS_EXACT, .prio = QS_PRIO_JOB, .batch = batch };
    if (qs_model_open(path, &b->m, &e) || qs_engine_new(b->m, &ea, &b->x, &e) || qs_inputs_new(b->x, &b->in, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < (FIT + HELD) * CONTEXT; i++)
        b->token[i] = (int32_t)((i * i * 31 + i * 7 + i / 5) % (qs_engine_config(b->x)->n_vocab - 8));
    b->mix = (struct qs_corpus_mix){ .path = name, .share = 1 };
    b->corpus = (struct qs_corpus){ .mix = &b->mix, .n_mix = 1, .n_ctx = CONTEXT, .n_fit = fit, .n_held = held,
                                    .token = b->token, .key = { 1, 2 } };
    return b;
}

void bench_free(struct bench *b)
{
    qs_inputs_free(b->in);
    qs_engine_free(b->x);
    qs_model_close(b->m);
    qs_free(b);
}

struct qs_collect_args args_of(const struct bench *b, unsigned threads)
{
    return (struct qs_collect_args){ .engine = b->x, .inputs = b->in, .corpus = &b->corpus, .pool = bench_pool[threads],
                                     .prio = QS_PRIO_JOB, .memory = (uint64_t)1 << 30 };
}

struct qs_statistics *collected(const struct qs_collect_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s = NULL;
    if (qs_collect_run(a, NULL, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

const char *wide_model(void)
{
    static char path[512];
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec spec = { .layers = 2, .embd = 256, .ff = 512, .heads = 4, .kv_heads = 2, .vocab = 120, .seed = 5 };
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("wide.gguf"));
    if (!qs_file_exists(path) && mm_file(path, &spec, &e))
        fail_msg("%s", e.msg);
    return path;
}

struct qs_collect_args with_types(const struct bench *b, unsigned threads)
{
    struct qs_collect_args a = args_of(b, threads);
    a.type = bench_types;
    a.n_types = TYPES - 1;
    a.sweeps = 2;
    return a;
}
