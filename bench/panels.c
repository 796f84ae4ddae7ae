/* panels.c - the ladder of panels: how fast each type's panels are multiplied, beside what one thread of this machine can do.
 *
 *     bench/panels [--json] [--rows N] [--cols N] [--seconds S] [--memory MIB] [TYPE...]
 *
 * For every type with panels, on one thread and in processor time: N rows (default 128, so that they lie in a cache) of N
 * columns (default 2048) with 1, 4, 8, 64 and 512 tokens, as a share of the peak of the widest loop of int8 products; then
 * with 1 and 4 tokens panels of 512 MiB, more than caches hold, as a share of how fast the same bytes are read; the same of rows (dot.h) with 1 and 64
 * tokens; packing and unpacking in MB of rows a second. Work and limits are measured in turns, the best of each is told.
 * Exit code 0, or 2 for wrong usage.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/level.h"
#include "kernels/limits.h"

enum { TOKENS = 512, TRIES = 5 };
static const size_t counts[] = { 1, 4, 8, 64, TOKENS };
enum { COUNTS = sizeof counts / sizeof *counts };

struct bench {
    size_t rows, cols, memory; /* memory: bytes that are streamed */
    double seconds;          /* of a try */
    const struct qs_limit_loop *int8, *read;
    double peak;             /* best so far: products of the loop a second */
    uint8_t *big, *x, *packed;
    float *out;
    void *local;
};

static void stop(const char *why)
{
    fprintf(stderr, "panels: %s\n", why);
    exit(1);
}

static void *room(size_t n)
{
    void *p = aligned_alloc(2 << 20, (n + (2 << 20) - 1) / (2 << 20) * (2 << 20));
    if (!p)
        stop("not enough memory");
    madvise(p, n, MADV_HUGEPAGE);
    memset(p, 0, n);
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- limits: the best loops of all levels here */

static double products_a_second(const struct qs_limit_loop *l)
{
    const size_t rounds = 1 << 16;
    const double start = now();
    l->work(rounds);
    return (double)rounds * l->per_round / (now() - start);
}

static double bytes_a_second(const struct qs_limit_loop *l, const uint8_t *p, size_t bytes)
{
    static volatile uint64_t kept;
    const double start = now();
    kept = l->read(p, bytes / QS_LIMIT_PIECE * QS_LIMIT_PIECE);
    (void)kept;
    return (double)(bytes / QS_LIMIT_PIECE * QS_LIMIT_PIECE) / (now() - start);
}

static void look(struct bench *b, const struct qs_limit_loop *l, double *read)
{
    const double v = l->what == QS_LIMIT_INT8   ? products_a_second(l)
                     : l->what == QS_LIMIT_READ ? bytes_a_second(l, b->big, b->memory)
                                                : 0;
    if (l->what == QS_LIMIT_INT8 && v > b->peak) {
        b->peak = v;
        b->int8 = l;
    }
    if (l->what == QS_LIMIT_READ && v > *read) {
        *read = v;
        b->read = l;
    }
}

static void find_limits(struct bench *b)
{
    const struct qs_limit_giver *giver;
    const size_t levels = qs_limit_givers(&giver);
    double read = 0;
    for (int k = 0; k < TRIES; k++)
        for (size_t g = 0; g < levels; g++) {
            const struct qs_limit_loop *l;
            const size_t n = qs_level_available(giver[g].level) ? giver[g].loops(&l) : 0;
            for (size_t i = 0; i < n; i++)
                look(b, &l[i], &read);
        }
    if (!b->int8 || !b->read)
        stop("this machine has no loop to compare with");
}

/* ---- work */

typedef void work_fn(const struct bench *b, const struct qs_format *f, size_t n);

static void by_panels(const struct bench *b, const struct qs_format *f, size_t tokens)
{
    const enum qs_act a = qs_dot_ops(f->id)->act;
    qs_panel_ops(f->id)->product(&(struct qs_panel_job){ b->packed, b->rows, b->cols, b->x, qs_act_bytes(a, b->cols), tokens,
                                                          b->out, b->rows, b->local });
}

static void by_rows(const struct bench *b, const struct qs_format *f, size_t tokens)
{
    const struct qs_dot_ops *ops = qs_dot_ops(f->id);
    ops->quant(&(struct qs_dot){ b->big, qs_format_row_bytes(f, b->cols), b->rows, b->cols, b->x, qs_act_bytes(ops->act, b->cols),
                                 tokens, b->out, b->rows });
}

static void do_pack(const struct bench *b, const struct qs_format *f, size_t unpack)
{
    const struct qs_panel_ops *ops = qs_panel_ops(f->id);
    const size_t row = qs_format_row_bytes(f, b->cols);
    for (size_t r = 0; r < b->rows; r += QS_PANEL_ROWS)
        if (unpack)
            ops->unpack(b->packed + r * row, QS_PANEL_ROWS, b->cols, b->big + r * row, row);
        else
            ops->pack(b->big + r * row, row, QS_PANEL_ROWS, b->cols, b->packed + r * row);
}

/* Seconds of one piece of work, the best of all tries; the peak is looked at beside. */
static double time_of(struct bench *b, const struct qs_format *f, work_fn *work, size_t n)
{
    double best = 1e9;
    for (int k = 0; k < TRIES; k++) {
        size_t runs = 0;
        const double start = now();
        double v = 0;
        for (; v < b->seconds; v = now() - start, runs++)
            work(b, f, n);
        best = v / (double)runs < best ? v / (double)runs : best;
        v = products_a_second(b->int8);
        b->peak = v > b->peak ? v : b->peak;
    }
    return best;
}

static void activations(struct bench *b, enum qs_act a)
{
    float *x = malloc(b->cols * sizeof *x);
    const size_t bytes = qs_act_bytes(a, b->cols);
    uint32_t s = 1;
    if (!x)
        stop("not enough memory");
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < b->cols; i++) {
            s = s * 1664525 + 1013904223;
            x[i] = (float)(s >> 8) / (1 << 24) - 0.5f;
        }
        qs_row_ops()->quantize[a](x, b->cols, b->x + t * bytes);
    }
    free(x);
}

/* ---- from memory: panels as many as fit into `memory` bytes, and the same bytes read, in turns */

static void stream(struct bench *b, const struct qs_format *f, size_t tokens, double *rate, double *read)
{
    const size_t row = qs_format_row_bytes(f, b->cols), rows = b->memory / row / QS_PANEL_ROWS * QS_PANEL_ROWS;
    const struct qs_panel_job j = { b->big, rows, b->cols, b->x, qs_act_bytes(qs_dot_ops(f->id)->act, b->cols), tokens,
                                    b->out, rows, b->local };
    *rate = *read = 0;
    for (int k = 0; k < 2 * TRIES; k++) {
        double v = bytes_a_second(b->read, b->big, b->memory);
        *read = v > *read ? v : *read;
        const double start = now();
        qs_panel_ops(f->id)->product(&j);
        v = (double)(rows * row) / (now() - start);
        *rate = v > *rate ? v : *rate;
    }
}

static void measure(struct bench *b, const struct qs_format *f, bool json, bool *comma)
{
    const size_t row = qs_format_row_bytes(f, b->cols);
    const double products = 2.0 * (double)b->rows * (double)b->cols, megabytes = (double)(b->rows * row) * 1e-6;
    double share[COUNTS], rate[2], read[2], by_row[2];
    for (size_t i = 0; i < b->memory; i++)
        b->big[i] = (uint8_t)(i * 2654435761u >> 13 & 0x3b); /* float16 scales that are numbers */
    activations(b, qs_dot_ops(f->id)->act);
    do_pack(b, f, 0);
    for (size_t i = 0; i < COUNTS; i++)
        share[i] = products * (double)counts[i] / time_of(b, f, by_panels, counts[i]) / b->peak;
    for (size_t i = 0; i < 2; i++)
        by_row[i] = products * (i ? 64 : 1) / time_of(b, f, by_rows, i ? 64 : 1) / b->peak;
    const double pack = megabytes / time_of(b, f, do_pack, 0), unpack = megabytes / time_of(b, f, do_pack, 1);
    for (size_t i = 0; i < 2; i++)
        stream(b, f, i ? 4 : 1, &rate[i], &read[i]);
    if (json) {
        printf("%s\n{\"type\": \"%s\", \"level\": \"%s\", \"peak\": [", *comma ? "," : "", f->name, qs_level_name(qs_level_now()));
        for (size_t i = 0; i < COUNTS; i++)
            printf("%s%.4f", i ? ", " : "", share[i]);
        printf("], \"rows_peak\": [%.4f, %.4f], \"read_gb_s\": [%.3f, %.3f], \"read_share\": [%.4f, %.4f], "
               "\"pack_mb_s\": %.1f, \"unpack_mb_s\": %.1f}",
               by_row[0], by_row[1], rate[0] * 1e-9, rate[1] * 1e-9, rate[0] / read[0], rate[1] / read[1], pack, unpack);
    } else {
        printf("%-8s", f->name);
        for (size_t i = 0; i < COUNTS; i++)
            printf(" %4.0f%%", 100 * share[i]);
        printf("  %4.0f%% %4.0f%%  %6.1f %4.0f%% %6.1f %4.0f%%  %6.0f %6.0f\n", 100 * by_row[0], 100 * by_row[1], rate[0] * 1e-9,
               100 * rate[0] / read[0], rate[1] * 1e-9, 100 * rate[1] / read[1], pack, unpack);
    }
    *comma = true;
    fflush(stdout);
}

static bool wanted(const struct qs_format *f, int n, char **name)
{
    if (!qs_panel_ops(f->id))
        return false;
    for (int i = 0; i < n; i++)
        if (qs_format_by_name(name[i]) == f)
            return true;
    return n == 0;
}

static int usage(const char *why, const char *word)
{
    fprintf(stderr, "panels: %s \"%s\"; usage: panels [--json] [--rows N] [--cols N] [--seconds S] [--memory MIB] [TYPE...]\n", why, word);
    return 2;
}

/* An option with a number; 0: fine. */
static int option(struct bench *b, const char *name, const char *value)
{
    char *end = NULL;
    const double v = value ? strtod(value, &end) : 0;
    if (!value || *end || !(v > 0))
        return usage("a number above 0 is missing after", name);
    if (strcmp(name, "--seconds") == 0)
        b->seconds = v;
    else if (strcmp(name, "--rows") == 0 && v <= 4096 && (size_t)v % QS_PANEL_ROWS == 0)
        b->rows = (size_t)v;
    else if (strcmp(name, "--cols") == 0 && v <= 16384 && (size_t)v % 256 == 0)
        b->cols = (size_t)v;
    else if (strcmp(name, "--memory") == 0 && v >= 8 && v <= 65536)
        b->memory = (size_t)v << 20;
    else
        return usage("memory is 8 to 65536 MiB, rows are a multiple of 16 up to 4096, columns of 256 up to 16384; there is no", name);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench b = { .rows = 128, .cols = 2048, .memory = (size_t)512 << 20, .seconds = 0.02 };
    bool json = false, comma = false;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0)
            json = true;
        else if (option(&b, argv[at], argv[at + 1]) != 0)
            return 2;
        else
            at++;
    }
    for (int i = at; i < argc; i++)
        if (!qs_format_by_name(argv[i]))
            return usage("there is no type", argv[i]);
    b.big = room(b.memory + (1 << 20));
    b.packed = room(b.rows * b.cols * 4);
    b.x = room(TOKENS * qs_act_bytes(QS_ACT_Q8, b.cols));
    b.out = room((TOKENS * b.rows + b.memory / 16) * sizeof *b.out);
    b.local = room(4 << 20);
    find_limits(&b);
    if (json)
        printf("{\"version\": 1, \"rows\": %zu, \"cols\": %zu, \"panels\": [", b.rows, b.cols);
    else
        printf("one thread; int8 peak %.0f G/s by %s; read by %s\n"
               "         share of peak with tokens     rows          from memory, read       MB/s\n"
               "type        1    4    8   64  512     1    64      1 token       4 tokens     pack unpack\n",
               b.peak * 1e-9, b.int8->name, b.read->name);
    for (size_t i = 0; i < qs_format_count(); i++)
        if (wanted(qs_format_at(i), argc - at, argv + at))
            measure(&b, qs_format_at(i), json, &comma);
    if (json)
        printf("\n], \"int8_peak\": %.0f}\n", b.peak);
    free(b.big);
    free(b.packed);
    free(b.x);
    free(b.out);
    free(b.local);
    return ferror(stdout) ? 1 : 0;
}
