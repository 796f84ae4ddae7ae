/* collect_bench.h - models, texts and arguments that the tests of the collection share. */
#ifndef QS_TESTS_COLLECT_BENCH_H
#define QS_TESTS_COLLECT_BENCH_H

#include "core/calib/collect.h"

#define CONTEXT 24
#define FIT 13      /* 312 tokens: more than the sample */
#define HELD 3

extern struct qs_pool *bench_pool[4]; /* of 1 to 3 threads */
int bench_pools(void);                /* makes them; 1: it did not work */
void bench_pools_free(void);

/* A model, its engine and a text of arbitrary tokens. */
struct bench {
    struct qs_model *m;
    struct qs_engine *x;
    struct qs_inputs *in;
    struct qs_corpus corpus;
    int32_t token[(FIT + HELD) * CONTEXT];
    struct qs_corpus_mix mix;
};

struct bench *bench_of(const char *path, size_t fit, size_t held, unsigned threads, size_t batch);
void bench_free(struct bench *b);

/* Arguments without types, and with the first three of the types. */
#define TYPES 4
extern const int bench_types[TYPES]; /* the last: slow, and without lattice */
struct qs_collect_args args_of(const struct bench *b, unsigned threads);
struct qs_collect_args with_types(const struct bench *b, unsigned threads);
struct qs_statistics *collected(const struct qs_collect_args *a); /* fails the test where that does not work */

/* Two layers of width 256, whose matrices K-quants fit. */
const char *wide_model(void);

#endif
