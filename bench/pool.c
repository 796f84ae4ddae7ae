/* pool.c - what a parallel region costs.
 *
 *     bench/pool [--threads N] [--pieces N] [--runs N]
 *
 * Regions of N pieces (default: one per thread) with next to no work, in a row as a forward pass has them (between
 * qs_pool_enter and qs_pool_leave) and each by itself, then with pieces of about 5 and 50 microseconds of arithmetic:
 * microseconds per region beyond the work of the slowest thread, were it dealt out evenly. The best of N short
 * runs (default 300). Needs base/. Exit code 0, or 2 for wrong usage.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pool.h"

enum { REGIONS = 100 };
static unsigned long runs = 300;

struct pieces {
    unsigned turns; /* of arithmetic in each */
    struct { uint64_t x, room[7]; } kept[64];
};

static uint64_t turn_over(uint64_t x, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
}

static void work(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct pieces *w = ctx;
    for (size_t i = begin; i < end; i++)
        w->kept[thread % 64].x += turn_over(i, w->turns);
}

/* Seconds a region, the best of all runs; no pool: the work of one piece. */
static double time_regions(struct qs_pool *p, bool in_a_row, size_t pieces, unsigned turns)
{
    static struct pieces w;
    double best = 1e9;
    w.turns = turns;
    for (unsigned long r = 0; r < runs; r++) {
        const double start = qs_now();
        const bool entered = in_a_row && qs_pool_enter(p, QS_PRIO_JOB);
        for (int i = 0; i < REGIONS; i++)
            qs_pool_run(p, QS_PRIO_JOB, pieces, 1, work, &w);
        qs_pool_leave(p, entered);
        const double t = (qs_now() - start) / REGIONS;
        best = t < best ? t : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const unsigned turns[] = { 1, 4000, 40000 };
    unsigned long threads = 0, pieces = 0;
    for (int i = 1; i < argc; i++) {
        unsigned long *to = !strcmp(argv[i], "--threads") ? &threads : !strcmp(argv[i], "--pieces") ? &pieces :
                            !strcmp(argv[i], "--runs") ? &runs : NULL;
        char *end = NULL;
        if (!to || ++i == argc || (*to = strtoul(argv[i], &end, 10)) > 4096 || *end != '\0' || runs == 0) {
            fprintf(stderr, "usage: bench/pool [--threads N] [--pieces N] [--runs N]\n");
            return 2;
        }
    }
    struct qs_pool *p;
    struct qs_err e = QS_ERR_INIT;
    if (qs_pool_new((unsigned)threads, &p, &e) != QS_OK) {
        fprintf(stderr, "pool: %s\n", e.msg);
        return 1;
    }
    threads = qs_pool_threads(p);
    pieces = pieces ? pieces : threads;
    const size_t busy = threads < qs_cpu_count() ? threads : qs_cpu_count();
    printf("%lu threads, %u cores, %lu pieces a region\n%10s %10s %22s %22s\n", threads, qs_cpu_count(), pieces,
           "piece us", "ideal us", "in a row: us (beyond)", "alone: us (beyond)");
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        const double piece = time_regions(NULL, false, 1, turns[i]);
        const double ideal = piece * (double)((pieces + busy - 1) / busy);
        const double row = time_regions(p, true, pieces, turns[i]), alone = time_regions(p, false, pieces, turns[i]);
        printf("%10.2f %10.2f %10.2f (%9.2f) %10.2f (%9.2f)\n", piece * 1e6, ideal * 1e6, row * 1e6,
               (row - ideal) * 1e6, alone * 1e6, (alone - ideal) * 1e6);
    }
    qs_pool_free(p);
    return 0;
}
