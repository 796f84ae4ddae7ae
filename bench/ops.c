/* ops.c - how fast this machine multiplies stored rows with activations, at every level, beside what it can do.
 *
 *     bench/ops [--json] [--million N] [--threads N] [--runs N] [TYPE...]
 *
 * For every type, precision and level (those with products of their own): a linear layer of N million weights (default
 * 16: more than most caches hold), 4096 columns, as the forward pass runs it (the CPU device on the pool), from panels
 * (kernels/panel.h) where the level has them: with one token, GB/s of stored bytes, which memory limits; with 64 tokens,
 * GMAC/s (10^9 multiply-adds), which arithmetic limits. Medians of N runs (default 5), and as shares of the limits that
 * kernels/limits.h measures after each: reading, and the peak of the unit used. Then attention of one token over 4096
 * keys, by cache type, and of 128 tokens at the end of 8192, by cache type and size of heads, beside the peak of f32.
 * Needs kernels/ and base/. Exit code 0, or 2 for wrong usage.
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
#include "kernels/limits.h"
#include "kernels/op.h"

enum { RUNS_MOST = 1000, COLS = 4096, TOKENS = 64, KEYS = 4096, HEADS = 16, KV_HEADS = 4, DIM = 64,
       PREFILL = 128, CONTEXT = 8192, PREFILL_HEADS = 32, PREFILL_KV = 8 };

struct bench {
    struct qs_pool *pool;
    struct qs_device *dev;
    struct qs_buf *in, *out, *cache;
    uint8_t *bytes, *panels;
    size_t rows, runs;
    struct qs_limits *limits;
    bool bf16; /* the machine has that unit */
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
    double v[RUNS_MOST];
    struct qs_err e = QS_ERR_INIT;
    for (size_t i = 0; i <= b->runs; i++) { /* the first warms up */
        if (b->dev->begin(b->dev, &e) != QS_OK || b->dev->record(b->dev, op, &e) != QS_OK)
            stop(e.msg);
        const double start = qs_now();
        if (b->dev->submit(b->dev, QS_PRIO_JOB, &e) != QS_OK)
            stop(e.msg);
        if (i > 0)
            v[i - 1] = qs_now() - start;
    }
    qsort(v, b->runs, sizeof *v, by_value);
    return v[b->runs / 2];
}

/* Panels of all rows; NULL: this level has none for the type. */
static const uint8_t *make_panels(struct bench *b, const struct qs_format *f)
{
    const struct qs_panel_ops *ops = qs_panel_ops(f->id);
    const size_t row = qs_format_row_bytes(f, COLS);
    for (size_t r = 0; ops && r < b->rows; r += QS_PANEL_ROWS)
        ops->pack(b->bytes + r * row, row, b->rows - r < QS_PANEL_ROWS ? b->rows - r : QS_PANEL_ROWS, COLS,
                  b->panels + r * row);
    return ops ? b->panels : NULL;
}

static double time_linear(struct bench *b, const struct qs_format *f, enum qs_precision p, size_t n, size_t rows,
                          const uint8_t *panels)
{
    struct qs_op op = { .kind = QS_OP_LINEAR, .n = n };
    op.u.linear.precision = p;
    op.u.linear.in = (struct qs_view){ b->in, 0, COLS };
    op.u.linear.n_mats = 1;
    op.u.linear.mat[0] = (struct qs_mat){ f, { { b->bytes } }, rows, COLS, 1, panels };
    op.u.linear.out[0] = (struct qs_view){ b->out, 0, b->rows };
    return time_op(b, &op);
}

static double limit_now(struct bench *b, enum qs_limit what)
{
    struct qs_err e = QS_ERR_INIT;
    double now;
    if (qs_limits_look(b->limits, what, &now, &e) != QS_OK)
        stop(e.msg);
    return now;
}

static void line(struct bench *b, const struct qs_format *f, enum qs_precision p, double one, double many,
                 size_t many_rows, bool json, bool *comma)
{
    static const char *const names[] = { "exact", "fast" }, *const units[] = { "read", "int8", "bf16", "f32" };
    const enum qs_limit unit = qs_limit_unit(f->id, p == QS_FAST, b->bf16);
    const double read = (double)(b->rows * qs_format_row_bytes(f, COLS)) / one;
    const double macs = (double)many_rows * COLS * TOKENS / many;
    const double read_share = read / limit_now(b, QS_LIMIT_READ), share = 2 * macs / limit_now(b, unit);
    if (json)
        printf("%s\n{\"type\": \"%s\", \"precision\": \"%s\", \"level\": \"%s\", \"read_gb_s\": %.3f, "
               "\"read_share\": %.4f, \"gmac_s\": %.3f, \"unit\": \"%s\", \"unit_share\": %.4f}",
               *comma ? "," : "", f->name, names[p], qs_level_name(qs_level_now()), read * 1e-9, read_share,
               macs * 1e-9, units[unit], share);
    else
        printf("%-8s %-5s %-10s %8.2f %5.0f%% %9.2f %5.1f%% of %s\n", f->name, names[p],
               qs_level_name(qs_level_now()), read * 1e-9, 100 * read_share, macs * 1e-9, 100 * share, units[unit]);
    *comma = true;
    fflush(stdout);
}

/* What a type is multiplied with at a level: one that has all of this from the level below is left out. */
struct products {
    qs_dot_fn *f32, *floats, *quant;
    qs_decode_fn *decode;
    void (*panels)(const struct qs_panel_job *job);
};

static struct products products_now(int type)
{
    const struct qs_panel_ops *p = qs_panel_ops(type);
    return (struct products){ qs_dot_ops(type)->f32, qs_dot_ops(QS_F32)->f32, qs_dot_ops(type)->quant,
                              qs_format_ops(type)->decode, p ? p->product : NULL };
}

static bool same_products(const struct products *a, const struct products *b)
{
    return a->f32 == b->f32 && a->floats == b->floats && a->quant == b->quant && a->decode == b->decode
           && a->panels == b->panels;
}

static void measure(struct bench *b, const struct qs_format *f, bool json, bool *comma)
{
    const enum qs_level most = qs_level_now();
    struct products below = { NULL, NULL, NULL, NULL, NULL };
    fill(b, f);
    for (int l = QS_LEVEL_REF; l <= (int)most; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        const struct products now = products_now(f->id);
        const bool again = same_products(&below, &now);
        const size_t most_rows = l == QS_LEVEL_REF ? 32 : 512, some = b->rows < most_rows ? b->rows : most_rows;
        const uint8_t *panels = again ? NULL : make_panels(b, f);
        below = now;
        for (int p = QS_EXACT; !again && p <= QS_FAST; p++) {
            if (p == QS_FAST && qs_dot_ops(f->id)->act == QS_ACT_F32)
                continue;
            const double one = time_linear(b, f, (enum qs_precision)p, 1, b->rows, panels);
            const double many = time_linear(b, f, (enum qs_precision)p, TOKENS, some, panels);
            line(b, f, (enum qs_precision)p, one, many, some, json, comma);
        }
    }
    qs_level_limit(most);
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

/* PREFILL tokens that end a context, heads of `dim`; the cache holds what its memory holds: zeros. */
static double time_prefill(struct bench *b, int type, size_t dim)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_buf *cache = NULL, *out = NULL;
    const size_t row = qs_format_row_bytes(qs_format_by_id(type), PREFILL_KV * dim), width = PREFILL_HEADS * dim;
    if (b->dev->buf_new(b->dev, 2 * CONTEXT * row, &cache, &e) != QS_OK ||
        b->dev->buf_new(b->dev, PREFILL * width * sizeof(float), &out, &e) != QS_OK)
        stop(e.msg);
    struct qs_op op = { .kind = QS_OP_ATTEND, .n = PREFILL };
    op.u.attend.q = (struct qs_view){ b->in, 0, width };
    op.u.attend.out = (struct qs_view){ out, 0, width };
    op.u.attend.kc = (struct qs_cache){ cache, 0, row, type };
    op.u.attend.vc = (struct qs_cache){ cache, CONTEXT * row, row, type };
    op.u.attend.n_head = PREFILL_HEADS;
    op.u.attend.n_kv = PREFILL_KV;
    op.u.attend.dk = op.u.attend.dv = dim;
    op.u.attend.pos = CONTEXT - PREFILL;
    op.u.attend.scale = 0.125f;
    const double t = time_op(b, &op);
    b->dev->buf_free(b->dev, cache);
    b->dev->buf_free(b->dev, out);
    return t;
}

static void prefill(struct bench *b, bool json)
{
    static const int types[] = { QS_F16, QS_Q8_0 };
    struct qs_err e = QS_ERR_INIT;
    for (size_t dim = 64; dim <= 128; dim *= 2)
        for (size_t i = 0; i < 2; i++) {
            double limit;
            if (qs_limits_look(b->limits, QS_LIMIT_F32, &limit, &e) != QS_OK)
                stop(e.msg);
            const double t = time_prefill(b, types[i], dim), keys = CONTEXT - (PREFILL - 1) / 2.0; /* those that are seen */
            const double speed = 2 * keys * PREFILL * PREFILL_HEADS * 2 * (double)dim / t;
            if (json)
                printf(",\n{\"attend\": \"%s\", \"keys\": %d, \"tokens\": %d, \"dim\": %zu, \"seconds\": %.9f, "
                       "\"of_f32\": %.4f}", qs_type_name(types[i]), CONTEXT, PREFILL, dim, t, speed / limit);
            else
                printf("attention of the last %d of %d tokens, %d heads (%d with keys) of %zu in %s: %.1f ms, %.0f GFLOPS, "
                       "%.0f%% of float multiply-adds\n", PREFILL, CONTEXT, PREFILL_HEADS, PREFILL_KV, dim,
                       qs_type_name(types[i]), t * 1e3, speed * 1e-9, 100 * speed / limit);
        }
}

static int usage(const char *why, const char *word)
{
    fprintf(stderr, "ops: %s \"%s\"; usage: ops [--json] [--million N] [--threads N] [--runs N] [TYPE...]\n", why, word);
    return 2;
}

static void open_bench(struct bench *b, size_t million, unsigned threads)
{
    struct qs_err e = QS_ERR_INIT;
    uint64_t s = 2;
    float *x = malloc(PREFILL * COLS * sizeof *x);
    b->rows = million * 1000000 / COLS;
    b->bytes = aligned_alloc(64, b->rows * COLS * sizeof(float));
    b->panels = aligned_alloc(64, (b->rows + QS_PANEL_ROWS) * COLS * sizeof(float));
    if (!x || !b->bytes || !b->panels)
        stop("not enough memory; try a smaller --million");
    memset(b->bytes, 1, b->rows * COLS * sizeof(float));
    for (size_t i = 0; i < PREFILL * COLS; i++)
        x[i] = small(&s);
    const size_t cache = (size_t)KEYS * KV_HEADS * DIM * sizeof(float);
    if (qs_pool_new(threads, &b->pool, &e) != QS_OK || qs_cpu_device_new(b->pool, &b->dev, &e) != QS_OK ||
        b->dev->buf_new(b->dev, PREFILL * COLS * sizeof *x, &b->in, &e) != QS_OK ||
        b->dev->buf_write(b->dev, b->in, 0, x, PREFILL * COLS * sizeof *x, &e) != QS_OK ||
        b->dev->buf_new(b->dev, TOKENS * b->rows * sizeof *x, &b->out, &e) != QS_OK ||
        b->dev->buf_new(b->dev, cache, &b->cache, &e) != QS_OK ||
        qs_limits_new(b->pool, QS_LIMIT_BUFFER, &b->limits, &e) != QS_OK)
        stop(e.msg);
    b->bf16 = qs_limits_have(b->limits, QS_LIMIT_BF16);
    free(x);
}

static void close_bench(struct bench *b)
{
    b->dev->buf_free(b->dev, b->in);
    b->dev->buf_free(b->dev, b->out);
    b->dev->buf_free(b->dev, b->cache);
    b->dev->free(b->dev);
    qs_limits_free(b->limits);
    qs_pool_free(b->pool);
    free(b->bytes);
    free(b->panels);
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
    size_t million = 16, threads = 0, runs = 5;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        char *end = NULL;
        if (strcmp(argv[at], "--help") == 0) {
            puts("ops [--json] [--million N] [--threads N] [--runs N] [TYPE...]: times products and attention; bench/ops.c says "
                 "how");
            return 0;
        }
        if (strcmp(argv[at], "--json") == 0) {
            json = true;
        } else if ((strcmp(argv[at], "--million") == 0 || strcmp(argv[at], "--threads") == 0 ||
                    strcmp(argv[at], "--runs") == 0) && at + 1 < argc) {
            size_t *to = argv[at][2] == 'm' ? &million : argv[at][2] == 't' ? &threads : &runs;
            *to = strtoul(argv[++at], &end, 10);
            if (*end || *to < 1 || *to > RUNS_MOST)
                return usage("1 to 1000, not", argv[at]);
        } else {
            return usage("there is no option", argv[at]);
        }
    }
    for (int i = at; i < argc; i++)
        if (!qs_format_by_name(argv[i]))
            return usage("there is no type", argv[i]);
    struct bench b = { .runs = runs };
    open_bench(&b, million, (unsigned)threads);
    if (json)
        printf("{\"version\": 1, \"threads\": %u, \"products\": [", qs_pool_threads(b.pool));
    else
        printf("%u threads\n                            one token            64 tokens\n"
               "type     prec. level          GB/s  read    GMAC/s  share\n", qs_pool_threads(b.pool));
    for (size_t i = 0; i < qs_format_count(); i++)
        if (wanted(qs_format_at(i), argc - at, argv + at))
            measure(&b, qs_format_at(i), json, &comma);
    attention(&b, json, comma);
    prefill(&b, json);
    if (json)
        printf("\n], \"read_bytes_per_second\": %.0f}\n", qs_limits_best(b.limits, QS_LIMIT_READ));
    else
        printf("memory: %.1f GB/s read\n", qs_limits_best(b.limits, QS_LIMIT_READ) * 1e-9);
    close_bench(&b);
    return ferror(stdout) ? 1 : 0;
}
