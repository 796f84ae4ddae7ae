/* gptq.c - how fast this machine encodes a matrix by GPTQ, and what each step is worth.
 *
 *     bench/gptq [--rows N] [--cols N] [--threads N] [TYPE ...]
 *
 * A matrix (default 1024 x 4096) of bell-shaped weights under a made-up Hessian of correlated inputs; all types with one
 * code per weight, or those named. For each: millions of weights a second of the weighted fit, with GPTQ, with descent (4
 * sweeps), with 1 and 2 refits, and the output error of each, of the weighted fit's. Errors of real models differ; see
 * bench/quality. Exit code 0, 1 when it fails, 2 for wrong usage.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq.h"
#include "kernels/blas.h"
#include "kernels/lattice.h"

enum { STEPS = 5 };

struct bench {
    size_t rows, cols, threads;
    struct qs_pool *pool;
    struct qs_hessian h;
    struct qs_gptq_factor *factor;
    float *w;
    uint8_t *dst;
};

static void die(const char *why)
{
    fprintf(stderr, "gptq: %s\n", why);
    exit(1);
}

static double bell(uint64_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*seed >> 11) / (double)(1ull << 52) - 1;
    }
    return sum;
}

/* Inputs that are running sums of noise, some channels larger than others. */
static void make_hessian(struct bench *b)
{
    const size_t n = b->cols, tokens = 2 * n;
    struct qs_err e = QS_ERR_INIT;
    uint64_t seed = 3;
    float *x = qs_malloc(tokens * n * sizeof *x);
    b->h = (struct qs_hessian){ .cols = n, .h = qs_calloc(n * n, sizeof(float)) }; /* rows 0: no ridge */
    if (!x || !b->h.h)
        die("not enough memory");
    for (size_t r = 0; r < tokens; r++) {
        double v = 0;
        for (size_t k = 0; k < n; k++) {
            v = 0.8 * v + bell(&seed);
            x[r * n + k] = (float)(v * (k % 37 == 0 ? 4 : 1));
        }
    }
    if (qs_blas_syrk_f32(n, tokens, 1 / (float)tokens, x, n, 0, b->h.h, n, &e))
        die(e.msg);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            b->h.h[i * n + k] = b->h.h[k * n + i];
    qs_free(x);
}

static void measure(const struct bench *b, int type)
{
    struct qs_err e = QS_ERR_INIT;
    double speed[STEPS], error[STEPS];
    for (unsigned i = 0; i < STEPS; i++) {
        const struct qs_gptq_args a = { .h = &b->h, .factor = b->factor, .type = type, .sweeps = i > 1 ? 4 : 0,
                                        .refits = i > 2 ? i - 2 : 0, .plain = i == 0, .pool = b->pool,
                                        .prio = QS_PRIO_JOB };
        struct qs_gptq_result r;
        const double start = qs_now();
        if (qs_gptq_encode(&a, b->w, b->rows, b->cols, b->dst, &r, NULL, &e))
            die(e.msg);
        speed[i] = (double)(b->rows * b->cols) / (qs_now() - start) * 1e-6;
        error[i] = (i == 0 ? r.fit : i == 1 ? r.gptq : i == 2 ? r.descent : r.refit) / r.fit;
    }
    printf("%-7s", qs_type_name(type));
    for (int i = 0; i < STEPS; i++)
        printf(" %8.2f %5.3f", speed[i], error[i]);
    putchar('\n');
    fflush(stdout);
}

static size_t number(const char *text)
{
    char *end;
    const unsigned long v = text ? strtoul(text, &end, 10) : 0;
    if (!text || *text < '0' || *text > '9' || *end || v < 1 || v > 65536) {
        fprintf(stderr, "gptq: \"%s\" is no number from 1 to 65536\n", text ? text : "");
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    struct bench b = { .rows = 1024, .cols = 4096 };
    struct qs_err e = QS_ERR_INIT;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        size_t *to = strcmp(argv[at], "--rows") == 0 ? &b.rows : strcmp(argv[at], "--cols") == 0 ? &b.cols
                   : strcmp(argv[at], "--threads") == 0 ? &b.threads : NULL;
        if (!to) {
            fprintf(stderr, "gptq: there is no option \"%s\"; usage: gptq [--rows N] [--cols N] [--threads N] [TYPE ...]\n",
                    argv[at]);
            return 2;
        }
        *to = number(argv[at + 1]);
    }
    for (int i = at; i < argc; i++)
        if (!qs_format_by_name(argv[i]) || !qs_lattice_of(qs_format_by_name(argv[i])->id)) {
            fprintf(stderr, "gptq: \"%s\" is no type with one code per weight\n", argv[i]);
            return 2;
        }
    if (qs_pool_new((unsigned)b.threads, &b.pool, &e))
        die(e.msg);
    b.w = qs_malloc(b.rows * b.cols * sizeof *b.w);
    b.dst = qs_malloc(b.rows * b.cols * 2);
    if (!b.w || !b.dst)
        die("not enough memory");
    uint64_t seed = 1;
    for (size_t i = 0; i < b.rows * b.cols; i++)
        b.w[i] = (float)(0.02 * bell(&seed));
    make_hessian(&b);
    const double start = qs_now();
    if (qs_gptq_factor_new(&b.h, NULL, &b.factor, NULL, &e))
        die(e.msg);
    printf("%zu x %zu, %u threads; factor: %.2f s\n        Mweights/s and error, of the weighted fit's:\n"
           "type      weighted fit           GPTQ        descent        1 refit       2 refits\n", b.rows, b.cols,
           qs_pool_threads(b.pool), qs_now() - start);
    for (size_t i = 0; at == argc && i < qs_format_count(); i++)
        if (qs_lattice_of(qs_format_at(i)->id) && b.cols % qs_format_at(i)->block == 0)
            measure(&b, qs_format_at(i)->id);
    for (; at < argc; at++)
        measure(&b, qs_format_by_name(argv[at])->id);
    qs_gptq_factor_free(b.factor);
    qs_pool_free(b.pool);
    qs_free(b.h.h);
    qs_free(b.w);
    qs_free(b.dst);
    return ferror(stdout) ? 1 : 0;
}
