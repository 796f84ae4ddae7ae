/* diff_encode.c - encode random rows with ggml's own quantizers and with every level of ours: count blocks that differ,
 * and the time of each. Built and run by diff_encode.sh; not part of "make check".
 *
 * usage: diff_encode MILLIONS FLOATS-FILE|- TYPE...
 * MILLIONS: random weights per type and mode (without and with importance); FLOATS-FILE: raw float32 whose count is a
 * multiple of 256, taken as rows of 256 as well. Exit code 1 when a block or a decoded float differs.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "golden_ggml.h"
#include "kernels/format.h"
#include "kernels/level.h"
#include "tests/kernels/golden_input.h"

enum { ROWS = 16, COLS = 4352, WEIGHTS = ROWS * COLS, KINDS = GOLDEN_KINDS + 8 };

static uint64_t seed = 1;

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Finite weights of every sort: those of the goldens, and stranger ones. */
static float weight_of(int kind, size_t c)
{
    float g = golden_bell(&seed);
    uint64_t r = golden_next(&seed);
    switch (kind - GOLDEN_KINDS) {
    case 0: return g * powf(10, (float)(r % 83) - 45);                                /* any exponent, by chance */
    case 1: return g * powf(10, (float)(c / 16 * 7 % 20) - 15);                       /* another one every 16 */
    case 2: return of_bits((uint32_t)r % 0x7f800000 | ((uint32_t)(r >> 32) & 1u << 31)); /* any finite bits */
    case 3: return of_bits((uint32_t)r & 0x807fffff);                                 /* subnormal */
    case 4: return g * 1e37f;                                                         /* sums overflow */
    case 5: return 0.3f * (1 + g * 1e-6f);                                            /* nearly constant */
    case 6: return r % 20 ? 0 : g;                                                    /* sparse */
    case 7: return (c / 16 % 3 ? 1 : 1e-15f) * g;                                     /* around the zero threshold */
    default: return golden_weight(kind, c, &seed);
    }
}

/* The reference stops with an assertion where such a search meets weights as strange as the last kinds. */
static bool grid_search(const struct oracle_type *t)
{
    return strncmp(t->name, "IQ", 2) == 0 && t->name[2] != '4';
}

static float importance_of(int kind)
{
    float u = golden_uniform(&seed);
    switch (kind % 5) {
    case 0: return u;
    case 1: return u * u * u * 1e6f;
    case 2: return golden_next(&seed) % 10 ? u : 0;
    case 3: return 1;
    default: return u * 1e-20f;
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct tally {
    size_t weights, blocks_differ, floats_differ;
    double theirs, ours[QS_LEVEL_COUNT];
};

static void *need(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p)
        exit(2);
    return p;
}

static void check_decode(const struct oracle_type *t, const uint8_t *bytes, size_t rows, size_t cols, struct tally *out)
{
    const struct qs_const_parts src = {{bytes}};
    float *a = need(rows * cols * 4), *b = need(rows * cols * 4);
    oracle_decode(t, bytes, rows * cols, a);
    qs_format_ops(t->id)->decode(&src, rows, cols, b, cols);
    for (size_t i = 0; i < rows * cols; i++)
        out->floats_differ += memcmp(&a[i], &b[i], 4) != 0 && !(isnan(a[i]) && isnan(b[i]));
    free(a);
    free(b);
}

static bool overflowed(const struct oracle_type *t, const uint8_t *block)
{
    const struct qs_const_parts src = {{block}};
    return qs_format_ops(t->id)->scan(&src, 1, (size_t)t->block) != 0;
}

/* Where scales overflow both sides write rubbish (quantize refuses such weights): its bits, a NaN's sign say, may differ. */
static bool same_block(const struct oracle_type *t, const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, t->bytes) == 0 || (overflowed(t, a) && overflowed(t, b));
}

static void check(const struct oracle_type *t, const float *x, size_t rows, size_t cols, const float *w,
                  struct tally *out)
{
    const struct qs_format *f = qs_format_by_id(t->id);
    const size_t blocks = rows * cols / (size_t)t->block;
    uint8_t *theirs = need(blocks * t->bytes), *ours = need(blocks * t->bytes);
    void *scratch = need(qs_format_scratch(f, rows, cols));
    double start = seconds();
    oracle_encode(t, x, rows, cols, w, theirs);
    out->theirs += seconds() - start;
    for (int level = 0; level < QS_LEVEL_COUNT; level++) {
        if (!qs_level_available((enum qs_level)level))
            continue;
        qs_level_limit((enum qs_level)level);
        const struct qs_rows in = {x, rows, cols, cols, w};
        const struct qs_parts dst = {{ours}};
        start = seconds();
        qs_format_encode(f, &in, &dst, scratch);
        out->ours[level] += seconds() - start;
        for (size_t i = 0; i < blocks; i++)
            out->blocks_differ += !same_block(t, theirs + i * t->bytes, ours + i * t->bytes);
        check_decode(t, theirs, rows, cols, out);
    }
    out->weights += rows * cols;
    free(theirs);
    free(ours);
    free(scratch);
}

static float *read_floats(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        exit(2);
    *n = (size_t)ftell(f) / 1024 * 256;
    rewind(f);
    float *x = need(*n * 4);
    if (fread(x, 4, *n, f) != *n)
        exit(2);
    fclose(f);
    return x;
}

static int report(const struct oracle_type *t, const char *what, const struct tally *r)
{
    double n = (double)r->weights / 1e9;
    printf("%-7s %-16s %10zu weights: %zu blocks, %zu floats differ", t->name, what, r->weights, r->blocks_differ,
           r->floats_differ);
    printf("; ns per weight: ggml %.2f", r->theirs / n);
    for (int level = 0; level < QS_LEVEL_COUNT; level++)
        if (qs_level_available((enum qs_level)level))
            printf(", %s %.2f", qs_level_name((enum qs_level)level), r->ours[level] / n);
    puts("");
    fflush(stdout);
    return r->blocks_differ || r->floats_differ;
}

static int run_type(const struct oracle_type *t, size_t millions, const float *file, size_t n)
{
    static float x[WEIGHTS], w[COLS];
    const int kinds = grid_search(t) ? GOLDEN_KINDS : KINDS;
    struct tally plain = {0}, weighted = {0}, file_plain = {0}, file_weighted = {0};
    for (int round = 0; plain.weights < millions * 1000000; round++) {
        for (size_t i = 0; i < WEIGHTS; i++)
            x[i] = weight_of(round % kinds, i % COLS);
        for (size_t i = 0; i < COLS; i++)
            w[i] = importance_of(round + round / kinds); /* each kind meets every sort in turn */
        if (!t->needs_weights)
            check(t, x, ROWS, COLS, NULL, &plain);
        else
            plain.weights += WEIGHTS;
        check(t, x, ROWS, COLS, w, &weighted);
    }
    int bad = report(t, "random", &plain) | report(t, "random, weighted", &weighted);
    if (n) {
        if (!t->needs_weights)
            check(t, file, n / 256, 256, NULL, &file_plain);
        check(t, file, n / 256, 256, w, &file_weighted);
        bad |= report(t, "file", &file_plain) | report(t, "file, weighted", &file_weighted);
    }
    return bad;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: diff_encode MILLIONS FLOATS-FILE|- TYPE...\n", stderr);
        return 2;
    }
    size_t n_types, n = 0;
    const struct oracle_type *types = oracle_types(&n_types);
    float *file = strcmp(argv[2], "-") != 0 ? read_floats(argv[2], &n) : NULL;
    int bad = 0;
    for (int a = 3; a < argc; a++)
        for (size_t i = 0; i < n_types; i++)
            if (strcmp(types[i].name, argv[a]) == 0)
                bad |= run_type(&types[i], strtoul(argv[1], NULL, 10), file, n);
    free(file);
    return bad;
}
