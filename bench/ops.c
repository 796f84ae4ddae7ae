/* ops.c - how fast this machine multiplies stored rows with activations, beside how fast its memory is read.
 *
 *     bench/ops [--json] [--million N] [--threads N] [TYPE...]
 *
 * For every type and precision: a linear layer of N million weights (default 16: more than the caches hold), 4096
 * columns, as the forward pass runs it (the CPU device on the pool): with one token, GB/s of stored bytes, which memory
 * limits; with 64 tokens, GMAC/s (10^9 multiply-adds), which arithmetic limits. Medians of five. The reading speed is
 * that of a sum by the same threads, the best of all tries of this run. Then attention of one token over 4096 keys, by
 * cache type. Needs kernels/ and base/. Exit code 0, or 2 for wrong usage.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pool.h"
#include "kernels/dot.h"
#include "kernels/level.h"
#include "kernels/op.h"

enum { RUNS = 5, COLS = 4096, TOKENS = 64, KEYS = 4096, HEADS = 16, KV_HEADS = 4, DIM = 64 };

struct bench {
    struct qs_pool *pool;
    struct qs_device *dev;
    struct qs_buf *in, *out, *cache;
    uint8_t *bytes;
    size_t rows;
    double read; /* bytes per second, the best so far */
};

static void stop(const char *why)
{
    fprintf(stderr, "ops: %s\n", why);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float small(uint64_t *state) { return (float)(next(state) & 0xffff) / 65536 - 0.5f; }

/* ---- reading */

struct sums {
    const uint64_t *x;
    uint64_t kept[64];
};

static void sum_part(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct sums *s = ctx;
    uint64_t sum[8] = { 0 };
    for (size_t i = begin; i + 8 <= end; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += s->x[i + k];
    s->kept[thread % 64] += sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static void try_memory(struct bench *b)
{
    static volatile uint64_t kept; /* the sum must be made */
    const size_t n = b->rows * COLS * sizeof(float) / 8;
    for (int i = 0; i < RUNS; i++) {
        struct sums s = { (const uint64_t *)(const void *)b->bytes, { 0 } };
        const double start = qs_now();
        qs_pool_run(b->pool, QS_PRIO_JOB, n, 1 << 16, sum_part, &s);
        kept = s.kept[0];
        const double speed = (double)(n * 8) / (qs_now() - start);
        b->read = speed > b->read ? speed : b->read;
    }
    (void)kept;
}

/* ---- layers */

/* The first rows are encoded, the others get their bytes. */
static void fill(struct bench *b, const struct qs_format *f)
{
    static float x[8 * COLS], weight[COLS];
    const size_t row = qs_format_row_bytes(f, COLS);
    uint64_t s = 1;
    for (size_t i = 0; i < 8 * COLS; i++)
        x[i] = small(&s);
    for (size_t i = 0; i < COLS; i++)
        weight[i] = 1;
    void *scratch = aligned_alloc(64, (qs_format_scratch(f, 8, COLS) + 127) / 64 * 64);
    if (!scratch)
        stop("not enough memory");
    qs_format_encode(f, &(struct qs_rows){ x, 8, COLS, COLS, weight }, &(struct qs_parts){ { b->bytes } }, scratch);
    free(scratch);
    for (size_t r = 8; r < b->rows; r++)
        memcpy(b->bytes + r * row, b->bytes + r % 8 * row, row);
}

static double time_op(struct bench *b, const struct qs_op *op)
{
    double v[RUNS];
    struct qs_err e = QS_ERR_INIT;
    for (int i = -1; i < RUNS; i++) {
        if (b->dev->begin(b->dev, &e) != QS_OK || b->dev->record(b->dev, op, &e) != QS_OK)
            stop(e.msg);
        const double start = qs_now();
        if (b->dev->submit(b->dev, QS_PRIO_JOB, &e) != QS_OK)
            stop(e.msg);
        if (i >= 0)
            v[i] = qs_now() - start;
    }
    qsort(v, RUNS, sizeof *v, by_value);
    return v[RUNS / 2];
}

static double time_linear(struct bench *b, const struct qs_format *f, enum qs_precision p, size_t n, size_t rows)
{
    struct qs_op op = { .kind = QS_OP_LINEAR, .n = n };
    op.u.linear.precision = p;
    op.u.linear.in = (struct qs_view){ b->in, 0, COLS };
    op.u.linear.n_mats = 1;
    op.u.linear.mat[0] = (struct qs_mat){ f, { { b->bytes } }, rows, COLS, 1, NULL };
    op.u.linear.out[0] = (struct qs_view){ b->out, 0, b->rows };
    return time_op(b, &op);
}

static void line(const struct bench *b, const struct qs_format *f, enum qs_precision p, double one, double many,
                 size_t many_rows, bool json, bool *comma)
{
    const double stored = (double)(b->rows * qs_format_row_bytes(f, COLS));
    const double macs = (double)many_rows * COLS * TOKENS;
    static const char *const names[] = { "exact", "fast" };
    if (json)
        printf(
            "%s\n{\"type\": \"%s\", \"precision\": \"%s\", \"level\": \"%s\", \"read_gb_s\": %.3f, \"gmac_s\": %.3f}",
            *comma ? "," : "", f->name, names[p], qs_level_name(qs_level_now()), stored / one * 1e-9,
            macs / many * 1e-9);
    else
        printf("%-8s %-5s %-5s %8.2f %5.0f%% %9.2f\n", f->name, names[p], qs_level_name(qs_level_now()),
               stored / one * 1e-9, 100 * stored / one / b->read, macs / many * 1e-9);
    *comma = true;
    fflush(stdout);
}

static void measure(struct bench *b, const struct qs_format *f, bool json, bool *comma)
{
    fill(b, f);
    for (int p = QS_EXACT; p <= QS_FAST; p++) {
        if (p == QS_FAST && qs_dot_ops(f->id)->act == QS_ACT_F32)
            continue;
        const size_t some = b->rows < 512 ? b->rows : 512;
        const double one = time_linear(b, f, (enum qs_precision)p, 1, b->rows);
        const double many = time_linear(b, f, (enum qs_precision)p, TOKENS, some);
        line(b, f, (enum qs_precision)p, one, many, some, json, comma);
    }
}

static void attention(struct bench *b, bool json, bool comma)
{
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    for (size_t i = 0; i < 4; i++) {
        const size_t row = qs_format_row_bytes(qs_format_by_id(types[i]), KV_HEADS * DIM);
        const struct qs_cache c = { b->cache, 0, row, types[i] };
        struct qs_op op = { .kind = QS_OP_ATTEND, .n = 1 };
        op.u.attend.q = (struct qs_view){ b->in, 0, HEADS * DIM };
        op.u.attend.out = (struct qs_view){ b->out, 0, HEADS * DIM };
        op.u.attend.kc = op.u.attend.vc = c;
        op.u.attend.n_head = HEADS;
        op.u.attend.n_kv = KV_HEADS;
        op.u.attend.dk = op.u.attend.dv = DIM;
        op.u.attend.pos = KEYS - 1;
        op.u.attend.scale = 0.125f;
        const double t = time_op(b, &op);
        if (json)
            printf("%s\n{\"attend\": \"%s\", \"keys\": %d, \"seconds\": %.9f}", comma || i > 0 ? "," : "",
                   qs_type_name(types[i]), KEYS, t);
        else
            printf("attention of %d heads (%d with keys) of %d over %d keys in %s: %.3f ms\n", HEADS, KV_HEADS, DIM,
                   KEYS, qs_type_name(types[i]), t * 1e3);
    }
}

static int usage(const char *why, const char *word)
{
    fprintf(stderr, "ops: %s \"%s\"; usage: ops [--json] [--million N] [--threads N] [TYPE...]\n", why, word);
    return 2;
}

static void open_bench(struct bench *b, size_t million, unsigned threads)
{
    struct qs_err e = QS_ERR_INIT;
    uint64_t s = 2;
    float *x = malloc(TOKENS * COLS * sizeof *x);
    b->rows = million * 1000000 / COLS;
    b->bytes = aligned_alloc(64, b->rows * COLS * sizeof(float));
    if (!x || !b->bytes)
        stop("not enough memory; try a smaller --million");
    memset(b->bytes, 1, b->rows * COLS * sizeof(float));
    for (size_t i = 0; i < TOKENS * COLS; i++)
        x[i] = small(&s);
    const size_t cache = (size_t)KEYS * KV_HEADS * DIM * sizeof(float);
    if (qs_pool_new(threads, &b->pool, &e) != QS_OK || qs_cpu_device_new(b->pool, &b->dev, &e) != QS_OK ||
        b->dev->buf_new(b->dev, TOKENS * COLS * sizeof *x, &b->in, &e) != QS_OK ||
        b->dev->buf_write(b->dev, b->in, 0, x, TOKENS * COLS * sizeof *x, &e) != QS_OK ||
        b->dev->buf_new(b->dev, TOKENS * b->rows * sizeof *x, &b->out, &e) != QS_OK ||
        b->dev->buf_new(b->dev, cache, &b->cache, &e) != QS_OK)
        stop(e.msg);
    free(x);
}

static void close_bench(struct bench *b)
{
    b->dev->buf_free(b->dev, b->in);
    b->dev->buf_free(b->dev, b->out);
    b->dev->buf_free(b->dev, b->cache);
    b->dev->free(b->dev);
    qs_pool_free(b->pool);
    free(b->bytes);
}

static bool wanted(const struct qs_format *f, int n, char **name)
{
    if (!qs_format_ops(f->id)->fit || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
        return false;
    for (int i = 0; i < n; i++)
        if (qs_format_by_name(name[i]) == f)
            return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    bool json = false, comma = false;
    size_t million = 16, threads = 0;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        char *end = NULL;
        if (strcmp(argv[at], "--help") == 0) {
            puts("ops [--json] [--million N] [--threads N] [TYPE...]: times products and attention; bench/ops.c says "
                 "how");
            return 0;
        }
        if (strcmp(argv[at], "--json") == 0) {
            json = true;
        } else if ((strcmp(argv[at], "--million") == 0 || strcmp(argv[at], "--threads") == 0) && at + 1 < argc) {
            size_t *to = argv[at][2] == 'm' ? &million : &threads;
            *to = strtoul(argv[++at], &end, 10);
            if (*end || *to < 1 || *to > 1000)
                return usage("1 to 1000, not", argv[at]);
        } else {
            return usage("there is no option", argv[at]);
        }
    }
    for (int i = at; i < argc; i++)
        if (!qs_format_by_name(argv[i]))
            return usage("there is no type", argv[i]);
    struct bench b = { 0 };
    open_bench(&b, million, (unsigned)threads);
    try_memory(&b);
    if (json)
        printf("{\"version\": 1, \"threads\": %u, \"products\": [", qs_pool_threads(b.pool));
    else
        printf("%u threads; memory is read at %.1f GB/s\n                     one token       64 tokens\n"
               "type     prec. level     GB/s  read    GMAC/s\n", qs_pool_threads(b.pool), b.read * 1e-9);
    for (size_t i = 0; i < qs_format_count(); i++)
        if (wanted(qs_format_at(i), argc - at, argv + at)) {
            measure(&b, qs_format_at(i), json, &comma);
            try_memory(&b);
        }
    attention(&b, json, comma);
    if (json)
        printf("\n], \"read_bytes_per_second\": %.0f}\n", b.read);
    else
        printf("memory: %.1f GB/s read\n", b.read * 1e-9);
    close_bench(&b);
    return ferror(stdout) ? 1 : 0;
}
