/* codecs.c - how fast this machine decodes and encodes each type, one thread, beside what its memory can do.
 *
 *     bench/codecs [--json] [--million N] [TYPE...]
 *
 * One run measures everything it compares: how fast memory is read (kernels/limits.h) and written (memset), best of
 * all tries, then for every level this CPU has the decoder over N million weights (default 8, more than the caches
 * hold), and the encoders, with and without importance weights, over as many weights as 0.2 seconds take; medians of
 * five. A decoder's limit is memory: its share is the time that reading its bytes and writing its floats would take,
 * over the time it took. An encoder's limit is its own search: what is shown is ns a weight and the gain over plain
 * C. Weights are bell-shaped with 1% of outliers. On a shared machine shares swing, now and then past 100%. Needs
 * kernels/ and base/. Exit code 0, or 2 for wrong usage.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/format.h"
#include "kernels/level.h"
#include "kernels/limits.h"

enum { RUNS = 5, COLS = 4096, ENCODE_SECONDS_X10 = 2 };

struct data {
    float *x, *back, *importance; /* n weights, room for n, COLS */
    uint8_t *bytes;
    void *scratch;
    size_t n, rows;
};

struct figures { /* of one type at one level; 0: not measured */
    double decode, plain, weighted; /* seconds per weight */
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* what others do on the machine meanwhile is not counted */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *need(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p) {
        fputs("codecs: not enough memory; try a smaller --million\n", stderr);
        exit(1);
    }
    memset(p, 0, n);
    return p;
}

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static struct data make_data(size_t million)
{
    struct data d = { .rows = million * 1000000 / COLS };
    uint64_t s = 1;
    d.n = d.rows * COLS;
    d.x = need(d.n * sizeof(float));
    d.back = need(d.n * sizeof(float));
    d.bytes = need(d.n * sizeof(float));
    d.importance = need(COLS * sizeof(float));
    for (size_t i = 0; i < d.n; i++) {
        double sum = -6;
        for (int k = 0; k < 3; k++) /* twelve uniforms of 16 bits */
            for (uint64_t r = next(&s), j = 0; j < 4; j++, r >>= 16)
                sum += (double)(r & 0xffff) / 65536;
        d.x[i] = (float)(sum * (next(&s) % 100 ? 0.02 : 0.2));
    }
    for (size_t i = 0; i < COLS; i++)
        d.importance[i] = (float)(next(&s) % 1000 + 1) * 1e-3f;
    return d;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, RUNS, sizeof *v, by_value);
    return v[RUNS / 2];
}

struct memory { /* bytes per second, one thread, the best met so far */
    double read, write;
    struct qs_limits *limits;
};

static void try_memory(const struct data *d, struct memory *best)
{
    const size_t n = d->n * sizeof(float);
    struct qs_err e = QS_ERR_INIT;
    double now;
    if (qs_limits_look(best->limits, QS_LIMIT_READ, &now, &e) != QS_OK) {
        fprintf(stderr, "codecs: %s\n", e.msg);
        exit(1);
    }
    best->read = qs_limits_best(best->limits, QS_LIMIT_READ);
    for (int i = 0; i < RUNS; i++) {
        const double start = seconds();
        memset(d->back, i, n);
        const double write = (double)n / (seconds() - start);
        best->write = write > best->write ? write : best->write;
    }
}

static double encode(const struct data *d, const struct qs_format *f, const float *weight, size_t rows)
{
    const struct qs_rows in = { d->x, rows, COLS, COLS, weight };
    const struct qs_parts out = { { d->bytes } };
    double start = seconds();
    qs_format_encode(f, &in, &out, d->scratch);
    return (seconds() - start) / (double)(rows * COLS);
}

static double time_encode(const struct data *d, const struct qs_format *f, const float *weight)
{
    double v[RUNS], once = encode(d, f, weight, 1);
    size_t rows = (size_t)(ENCODE_SECONDS_X10 / 10.0 / RUNS / once / COLS) + 1;
    if (rows > d->rows)
        rows = d->rows;
    for (int i = 0; i < RUNS; i++)
        v[i] = encode(d, f, weight, rows);
    return median(v);
}

static double time_decode(const struct data *d, const struct qs_format *f)
{
    const struct qs_const_parts src = { { d->bytes } };
    double v[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = seconds();
        qs_format_ops(f->id)->decode(&src, d->rows, COLS, d->back, COLS);
        v[i] = (seconds() - start) / (double)d->n;
    }
    return median(v);
}

/* Every row of the whole data gets the bytes of the first rows: decoders do the same work for all values. */
static void fill_bytes(const struct data *d, const struct qs_format *f)
{
    const size_t row = qs_format_row_bytes(f, COLS), some = d->rows < 16 ? d->rows : 16;
    (void)encode(d, f, d->importance, some);
    for (size_t r = some; r < d->rows; r++)
        memcpy(d->bytes + r * row, d->bytes + r % some * row, row);
}

static void measure(struct data *d, const struct qs_format *f, struct figures out[QS_LEVEL_COUNT])
{
    d->scratch = need(qs_format_scratch(f, d->rows, COLS) + 64);
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        if (!(f->flags & QS_NEEDS_IMATRIX))
            out[l].plain = time_encode(d, f, NULL);
        if (f->flags & QS_USES_IMATRIX)
            out[l].weighted = time_encode(d, f, d->importance);
        fill_bytes(d, f);
        out[l].decode = time_decode(d, f);
    }
    free(d->scratch);
}

static void print_encode(double t, double ref)
{
    if (t > 0)
        printf(" %9.2f %5.1fx", t * 1e9, ref / t);
    else
        printf(" %9s %6s", "-", "");
}

static void print_text(const struct qs_format *f, const struct figures *x, const struct memory *m)
{
    const double least = qs_format_bpw(f) / 8 / m->read + sizeof(float) / m->write;
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        if (x[l].decode <= 0)
            continue;
        printf("%-8s %7.4f  %-10s %10.0f %5.0f%%", f->name, qs_format_bpw(f), qs_level_name((enum qs_level)l),
               1e-6 / x[l].decode, 100 * least / x[l].decode);
        print_encode(x[l].plain, x[QS_LEVEL_REF].plain);
        print_encode(x[l].weighted, x[QS_LEVEL_REF].weighted);
        putchar('\n');
    }
}

static void print_json(const struct qs_format *f, const struct figures *x, bool *comma)
{
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        if (x[l].decode <= 0)
            continue;
        printf("%s\n{\"type\": \"%s\", \"bpw\": %.4f, \"level\": \"%s\", \"decode_ns\": %.4f", *comma ? "," : "", f->name,
               qs_format_bpw(f), qs_level_name((enum qs_level)l), x[l].decode * 1e9);
        if (x[l].plain > 0)
            printf(", \"encode_ns\": %.4f", x[l].plain * 1e9);
        if (x[l].weighted > 0)
            printf(", \"encode_weighted_ns\": %.4f", x[l].weighted * 1e9);
        putchar('}');
        *comma = true;
    }
}

static bool wanted(const struct qs_format *f, int n, char **name)
{
    if (!qs_format_ops(f->id)->fit || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)) || COLS % f->block != 0)
        return false;
    for (int i = 0; i < n; i++)
        if (qs_format_by_name(name[i]) == f)
            return true;
    return n == 0;
}

static int usage(const char *why, const char *word)
{
    fprintf(stderr, "codecs: %s \"%s\"; usage: codecs [--json] [--million N] [TYPE...]\n", why, word);
    return 2;
}

int main(int argc, char **argv)
{
    bool json = false, comma = false;
    size_t million = 8;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            puts("codecs [--json] [--million N] [TYPE...]: times decoders and encoders; bench/codecs.c says how");
            return 0;
        }
        if (strcmp(argv[at], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[at], "--million") == 0 && at + 1 < argc) {
            char *end;
            million = strtoul(argv[++at], &end, 10);
            if (*end || million < 1 || million > 1000)
                return usage("--million takes 1 to 1000, not", argv[at]);
        } else {
            return usage("there is no option", argv[at]);
        }
    }
    for (int i = at; i < argc; i++)
        if (!qs_format_by_name(argv[i]))
            return usage("there is no type", argv[i]);
    struct data d = make_data(million);
    struct memory m = { 0, 0, NULL };
    struct qs_err e = QS_ERR_INIT;
    if (qs_limits_new(NULL, QS_LIMIT_BUFFER, &m.limits, &e) != QS_OK)
        return fprintf(stderr, "codecs: %s\n", e.msg), 1;
    try_memory(&d, &m);
    if (json)
        printf("{\"version\": 1, \"weights\": %zu, \"codecs\": [", d.n);
    else
        printf("one thread, %zu weights; limit: what reading the bytes and writing the floats takes\n"
               "                                decode         encode           encode, weighted\n"
               "type         bpw  level       M weights/s limit  ns/weight gain   ns/weight gain\n", d.n);
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        struct figures x[QS_LEVEL_COUNT] = { { 0, 0, 0 } };
        if (!wanted(f, argc - at, argv + at))
            continue;
        measure(&d, f, x);
        try_memory(&d, &m);
        if (json)
            print_json(f, x, &comma);
        else
            print_text(f, x, &m);
        fflush(stdout);
    }
    if (json)
        printf("\n], \"read_bytes_per_second\": %.0f, \"write_bytes_per_second\": %.0f}\n", m.read, m.write);
    else
        printf("memory: %.1f GB/s read, %.1f GB/s written\n", m.read * 1e-9, m.write * 1e-9);
    qs_limits_free(m.limits);
    free(d.x);
    free(d.back);
    free(d.bytes);
    free(d.importance);
    return ferror(stdout) ? 1 : 0;
}
