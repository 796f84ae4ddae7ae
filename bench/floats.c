/* floats.c - the ladder of products of float rows: every level, beside what one thread of this machine can do.
 *
 *     bench/floats [--cols N]
 *
 * For every level and type, on one thread and in processor time: 256 rows of N columns (default 2048) with 512 tokens, in the
 * blocks that the forward pass makes, as a share of the peak of the unit (float32, or bfloat16 where both sides are and the
 * level has it); then 512 MiB of rows with one token, as a share of how fast memory is read. Last, sums of outer products, as
 * Hessians are made of. Limits are measured between the runs, the best of each is told. Exit code 0, or 2 for wrong usage.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/level.h"
#include "kernels/limits.h"

enum { ROWS = 256, TOKENS = 512, CHUNK = 64 /* rows */, X_BYTES = 128 << 10, STREAM = 512 << 20, TRIES = 7 };

struct bench {
    size_t cols;
    uint8_t *w, *x;
    float *out;
};

struct product {
    qs_dot_fn *dot;
    size_t w_stride, x_stride;
};

static void stop(const char *why)
{
    fprintf(stderr, "floats: %s\n", why);
    exit(1);
}

static void *room(size_t n)
{
    void *p = aligned_alloc(2 << 20, (n + (2 << 20) - 1) / (2 << 20) * (2 << 20));
    if (!p)
        stop("not enough memory");
    memset(p, 0, n);
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- limits: the loops of every level here, by the same clock as the work */

static double by_loop(const struct qs_limit_loop *l, const uint8_t *p)
{
    static volatile uint64_t kept;
    const size_t rounds = 1 << 16;
    const double start = now();
    if (l->work)
        l->work(rounds);
    else
        kept = l->read(p, STREAM);
    (void)kept;
    return (l->work ? (double)rounds * l->per_round : STREAM) / (now() - start);
}

static double limit_now(const struct bench *b, enum qs_limit what)
{
    const struct qs_limit_giver *levels;
    const size_t n_levels = qs_limit_givers(&levels);
    double best = 0;
    for (size_t i = 0; i < n_levels; i++) {
        const struct qs_limit_loop *l = NULL;
        const size_t n = qs_level_available(levels[i].level) ? levels[i].loops(&l) : 0;
        for (size_t k = 0; k < n; k++)
            if (l[k].what == what) {
                const double v = by_loop(&l[k], b->w);
                best = v > best ? v : best;
            }
    }
    return best;
}

/* ---- work */

static double many(const struct bench *b, const struct product *p)
{
    const size_t block = X_BYTES / p->x_stride < 24 ? 12 : X_BYTES / p->x_stride / 12 * 12;
    const double start = now();
    for (size_t r = 0; r < ROWS; r += CHUNK)
        for (size_t t = 0; t < TOKENS; t += block)
            p->dot(&(struct qs_dot){ b->w + r * p->w_stride, p->w_stride, CHUNK, b->cols, b->x + t * p->x_stride, p->x_stride,
                                     TOKENS - t < block ? TOKENS - t : block, b->out + t * ROWS + r, ROWS });
    return 2.0 * ROWS * TOKENS * (double)b->cols / (now() - start);
}

static double one(const struct bench *b, const struct product *p)
{
    const size_t rows = STREAM / p->w_stride;
    const double start = now();
    for (size_t r = 0; r < rows; r += CHUNK)
        p->dot(&(struct qs_dot){ b->w + r * p->w_stride, p->w_stride, rows - r < CHUNK ? rows - r : CHUNK, b->cols, b->x,
                                 p->x_stride, 1, b->out, ROWS });
    return (double)(rows * p->w_stride) / (now() - start);
}

static double outer(const struct bench *b, const struct product *p)
{
    const size_t pairs = TOKENS / 2, stride = pairs + 1;
    const double start = now();
    (void)p;
    for (size_t i = 0; i < TOKENS; i += 2)
        qs_row_ops()->pair((const float *)b->x + i * b->cols, (const float *)b->x + (i + 1) * b->cols, b->cols,
                           (uint32_t *)b->w + i / 2 * QS_PAIR_COLS, stride);
    qs_row_ops()->outer((uint32_t *)b->w, (uint32_t *)b->w, pairs, stride, ROWS, b->cols, b->out, b->cols);
    return 2.0 * ROWS * TOKENS * (double)b->cols / (now() - start);
}

typedef double measure_fn(const struct bench *b, const struct product *p);

/* The best of some tries beside the best of a limit. */
static void tell(const struct bench *b, measure_fn *fn, const struct product *p, enum qs_limit what)
{
    double best = 0, limit = 0;
    for (int i = 0; i < TRIES; i++) {
        const double v = fn(b, p), l = limit_now(b, what);
        best = v > best ? v : best;
        limit = l > limit ? l : limit;
    }
    printf(" %8.1f %4.0f%%", best * 1e-9, limit > 0 ? 100 * best / limit : 0);
    fflush(stdout);
}

static void product_line(const struct bench *b, int type, enum qs_act act)
{
    const struct qs_dot_ops *ops = qs_dot_ops(type);
    const struct qs_format *f = qs_format_by_id(type);
    const size_t apart = type == QS_F32 ? 64 : 0; /* as decoded rows lie: of float32 there are hardly others */
    const struct product p = { act == QS_ACT_F32 ? ops->f32 : ops->quant, qs_format_row_bytes(f, b->cols) + apart,
                               qs_act_bytes(act, b->cols) };
    const bool unit = act == QS_ACT_BF16 && qs_level_now() == QS_LEVEL_AVX512BF16;
    printf("%-11s %-5s x %-4s", qs_level_name(qs_level_now()), f->name, act == QS_ACT_F32 ? "F32" : "BF16");
    tell(b, many, &p, unit ? QS_LIMIT_BF16 : QS_LIMIT_F32);
    printf(unit ? " of bf16 " : " of f32  ");
    tell(b, one, &p, QS_LIMIT_READ);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct bench b = { .cols = 2048 };
    char *end = NULL;
    if (argc == 3 && strcmp(argv[1], "--cols") == 0)
        b.cols = strtoul(argv[2], &end, 10);
    if ((argc != 1 && !end) || (end && *end) || b.cols < 32 || b.cols > 16384) {
        fprintf(stderr, "usage: floats [--cols N], from 32 to 16384\n");
        return 2;
    }
    b.w = room(STREAM);
    b.x = room(TOKENS * (b.cols + 64) * sizeof(float));
    b.out = room(TOKENS * (b.cols > ROWS ? b.cols : ROWS) * sizeof(float));
    printf("%zu columns, one thread     512 tokens: GFLOPS       one token: GB/s\n", b.cols);
    for (int l = QS_LEVEL_REF + 1; /* plain C takes minutes */ l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        product_line(&b, QS_F32, QS_ACT_F32);
        product_line(&b, QS_F16, QS_ACT_F32);
        product_line(&b, QS_BF16, QS_ACT_F32);
        product_line(&b, QS_BF16, QS_ACT_BF16);
        if (qs_row_ops()->outer) {
            printf("%-11s outer products", qs_level_name(qs_level_now()));
            tell(&b, outer, NULL, QS_LIMIT_BF16);
            puts(" of bf16");
        }
    }
    free(b.w);
    free(b.x);
    free(b.out);
    return ferror(stdout) ? 1 : 0;
}
