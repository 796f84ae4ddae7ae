/* limits.c - measuring what limits.h promises: the lines, the buffer that is read, and a start in step.
 *
 * Owns one buffer at a time, in pages of either kind. Threads wait for each other before they begin, for a while only:
 * a thread that comes too late finds nothing left to do. Refuses nothing that fits into the memory allowed.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "kernels/limits.h"

enum {
    LINES_MAX = 256, TRIES_MAX = 255,
    HUGE_PAGE = 2 << 20, SLACK = 1 << 16, /* prefetches run ahead of what is read */
    PIECE = 1 << 20,                      /* bytes that a thread takes at once */
    LOOK_TRIES = 4 /* at least */
};
#define TRY_SECONDS 0.002  /* of a loop that multiplies */
#define FIRST_SECONDS 0.03 /* of a line that was not measured before a look */
#define LOOK_SECONDS 0.05  /* reads go on that long: a passing disturbance is no limit */
#define LATE_SECONDS 0.02  /* how long threads wait for each other */

struct line {
    struct qs_limit_line told;
    const struct qs_limit_loop *loop; /* NULL: the fastest reader, once that is known */
    double rate[TRIES_MAX];
    double rounds;                    /* that take about TRY_SECONDS; 0: not known */
};

struct qs_limits {
    struct qs_pool *pool;
    unsigned threads;
    uint64_t most, bytes; /* allowed; of the buffer */
    uint8_t *buffer;
    bool huge;
    uint64_t granted;
    struct line *line;
    size_t n;
    size_t turn[QS_LIMITS]; /* of looks */
};

/* ---- the lines ---- */

size_t qs_limit_givers(const struct qs_limit_giver **out)
{
    static const struct qs_limit_giver givers[] = {
        { QS_LEVEL_REF, qs_ref_limits },
#ifdef QS_HAVE_AVX2
        { QS_LEVEL_AVX2, qs_avx2_limits },
#endif
#ifdef QS_HAVE_AVXVNNI
        { QS_LEVEL_AVXVNNI, qs_avxvnni_limits },
#endif
#ifdef QS_HAVE_AVX512
        { QS_LEVEL_AVX512, qs_avx512_limits },
#endif
#ifdef QS_HAVE_AVX512BF16
        { QS_LEVEL_AVX512BF16, qs_avx512bf16_limits },
#endif
#ifdef QS_HAVE_NEON
        { QS_LEVEL_NEON, qs_neon_limits },
#endif
    };
    *out = givers;
    return sizeof givers / sizeof *givers;
}

static void add_line(struct qs_limits *l, const struct qs_limit_loop *loop, enum qs_level level, unsigned threads,
                     bool huge)
{
    if (l->n == LINES_MAX)
        return;
    const enum qs_limit what = loop ? loop->what : QS_LIMIT_READ;
    l->line[l->n++] = (struct line){
        .loop = loop,
        .told = { .what = what, .loop = loop ? loop->name : "the fastest of these", .level = level,
                  .threads = threads, .huge = huge && what == QS_LIMIT_READ },
    };
}

static void add_loops(struct qs_limits *l, bool reads)
{
    const struct qs_limit_giver *giver;
    const size_t levels = qs_limit_givers(&giver);
    for (size_t g = 0; g < levels; g++) {
        const struct qs_limit_loop *loop;
        const size_t n = qs_level_available(giver[g].level) ? giver[g].loops(&loop) : 0;
        for (size_t i = 0; i < n; i++)
            if ((loop[i].what == QS_LIMIT_READ) == reads)
                add_line(l, &loop[i], giver[g].level, l->threads, true);
    }
}

/* Up to eight threads each number, then powers of two, at last all. */
static unsigned more_threads(unsigned n, unsigned all)
{
    const unsigned next = n < 8 ? n + 1 : 2 * n;
    return n >= all ? 0 : next < all ? next : all;
}

int qs_limits_new(struct qs_pool *pool, uint64_t most, struct qs_limits **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_limits *l = qs_calloc(1, sizeof *l);
    if (l)
        l->line = qs_calloc(LINES_MAX, sizeof *l->line);
    if (!l || !l->line) {
        qs_limits_free(l);
        return qs_fail_mem(e, LINES_MAX * sizeof *l->line, "the measuring of limits");
    }
    l->pool = pool;
    l->threads = qs_pool_threads(pool);
    l->most = most < QS_LIMIT_BUFFER ? most : QS_LIMIT_BUFFER;
    add_loops(l, true);
    for (unsigned t = 1; t && t < l->threads; t = more_threads(t, l->threads))
        add_line(l, NULL, QS_LEVEL_REF, t, true);
    for (unsigned t = 1; t; t = more_threads(t, l->threads))
        add_line(l, NULL, QS_LEVEL_REF, t, false);
    add_loops(l, false);
    *out = l;
    return QS_OK;
}

void qs_limits_free(struct qs_limits *l)
{
    if (!l)
        return;
    qs_free(l->buffer);
    qs_free(l->line);
    qs_free(l);
}

size_t qs_limits_count(const struct qs_limits *l) { return l->n; }
const struct qs_limit_line *qs_limits_line(const struct qs_limits *l, size_t i) { return &l->line[i].told; }

/* ---- all threads at once ---- */

struct start {
    struct qs_limits *l;
    unsigned threads;
    atomic_uint here;
    atomic_bool gone;                 /* one has begun, so all do */
    double begin;                     /* when that was */
    const struct qs_limit_loop *loop;
    size_t rounds;
    size_t pieces;
    atomic_size_t next;
    atomic_uint_fast64_t sum;         /* what was read must be used */
};

static void wait_for_all(struct start *s)
{
    const double late = qs_now() + LATE_SECONDS;
    bool last = atomic_fetch_add(&s->here, 1) + 1 == s->threads;
    while (!last && !atomic_load_explicit(&s->gone, memory_order_relaxed)) {
        sched_yield();
        last = qs_now() > late;
    }
    if (last && !atomic_exchange(&s->gone, true))
        s->begin = qs_now();
}

static void work(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct start *s = ctx;
    (void)begin, (void)end, (void)thread;
    wait_for_all(s);
    if (!s->loop->read) {
        s->loop->work(s->rounds);
        return;
    }
    uint64_t sum = 0;
    for (size_t i; (i = atomic_fetch_add(&s->next, 1)) < s->pieces;)
        sum += s->loop->read(s->l->buffer + i * PIECE, PIECE);
    atomic_fetch_add(&s->sum, sum);
}

/* Bytes or operations a second, of one try. */
static double once(struct qs_limits *l, const struct qs_limit_loop *loop, unsigned threads, size_t rounds,
                   double *seconds)
{
    struct start s = { .l = l, .threads = threads, .loop = loop, .rounds = rounds,
                       .pieces = (size_t)(l->bytes / PIECE) };
    qs_pool_run(l->pool, QS_PRIO_JOB, threads, 1, work, &s);
    *seconds = qs_now() - s.begin;
    *seconds = *seconds > 1e-9 ? *seconds : 1e-9;
    const double done = loop->read ? (double)s.pieces * PIECE : loop->per_round * (double)rounds * threads;
    return done / *seconds;
}

/* ---- the buffer ---- */

static void touch(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct qs_limits *l = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        memset(l->buffer + i * PIECE, (int)(i % 251) + 1, PIECE);
}

/* Bytes of the buffer that lie in huge pages, as the system tells it (Linux; 0 elsewhere). */
static uint64_t granted(const struct qs_limits *l)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char text[512];
    bool ours = false;
    uint64_t kib = 0;
    while (f && fgets(text, sizeof text, f)) {
        unsigned long long from, to, n;
        if (sscanf(text, "%llx-%llx ", &from, &to) == 2)
            ours = from < (uintptr_t)l->buffer + l->bytes && to > (uintptr_t)l->buffer;
        else if (ours && sscanf(text, "AnonHugePages: %llu kB", &n) == 1)
            kib += n;
    }
    if (f)
        fclose(f);
    return kib * 1024 < l->bytes ? kib * 1024 : l->bytes;
}

static int take_buffer(struct qs_limits *l, bool huge, struct qs_err *e)
{
    if (l->buffer && l->huge == huge)
        return QS_OK;
    qs_free(l->buffer);
    uint64_t bytes = l->most / HUGE_PAGE * HUGE_PAGE;
    if (bytes < QS_LIMIT_BUFFER_LEAST)
        bytes = QS_LIMIT_BUFFER_LEAST;
    while (!(l->buffer = qs_alloc_aligned(HUGE_PAGE, (size_t)bytes + SLACK)) && bytes / 2 >= QS_LIMIT_BUFFER_LEAST)
        bytes = bytes / 2 / HUGE_PAGE * HUGE_PAGE;
    if (!l->buffer)
        return qs_fail_mem(e, bytes, "a buffer whose reading is timed");
    l->bytes = bytes;
    l->huge = huge;
#ifdef MADV_HUGEPAGE
    (void)madvise(l->buffer, (size_t)bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    qs_pool_run(l->pool, QS_PRIO_JOB, (size_t)(bytes / PIECE), 4, touch, l);
    l->granted = granted(l);
    return QS_OK;
}

/* ---- one line ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void keep(struct line *x, double rate)
{
    double sorted[TRIES_MAX];
    x->rate[x->told.tries % TRIES_MAX] = rate; /* the latest ones */
    x->told.tries++;
    const size_t n = x->told.tries < TRIES_MAX ? x->told.tries : TRIES_MAX;
    memcpy(sorted, x->rate, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    x->told.median = sorted[n / 2];
    x->told.best = rate > x->told.best ? rate : x->told.best;
}

static bool on_all(const struct qs_limits *l, const struct line *x, enum qs_limit what)
{
    return x->told.what == what && x->loop && x->told.threads == l->threads
           && (what != QS_LIMIT_READ || x->told.huge);
}

/* The best of its kind on all threads so far; NULL: this machine has none. */
static struct line *best_line(struct qs_limits *l, enum qs_limit what)
{
    struct line *best = NULL;
    for (size_t i = 0; i < l->n; i++)
        if (on_all(l, &l->line[i], what) && (!best || l->line[i].told.best > best->told.best))
            best = &l->line[i];
    return best;
}

/* Rounds that take long enough to be timed. */
static void find_rounds(struct qs_limits *l, struct line *x)
{
    double seconds = 0;
    for (x->rounds = 1000; x->rounds < 1e12 && seconds < TRY_SECONDS / 4; x->rounds *= 4)
        once(l, x->loop, x->told.threads, (size_t)x->rounds, &seconds);
    x->rounds *= TRY_SECONDS / 4 / seconds;
}

static int prepare(struct qs_limits *l, struct line *x, struct qs_err *e)
{
    if (!x->loop) {
        const struct line *fastest = best_line(l, QS_LIMIT_READ);
        x->loop = fastest->loop;
        x->told.loop = fastest->told.loop;
        x->told.level = fastest->told.level;
    }
    if (!x->loop->read && x->rounds == 0)
        find_rounds(l, x);
    if (!x->loop->read)
        return QS_OK;
    const int rc = take_buffer(l, x->told.huge, e);
    x->told.buffer = l->bytes;
    x->told.granted = l->granted;
    return rc;
}

int qs_limits_measure(struct qs_limits *l, size_t i, double seconds, struct qs_err *e)
{
    struct line *x = &l->line[i];
    const int rc = prepare(l, x, e);
    const double end = qs_now() + seconds;
    double took;
    if (rc != QS_OK)
        return rc;
    once(l, x->loop, x->told.threads, (size_t)x->rounds, &took); /* the clock rises, threads wake */
    do
        keep(x, once(l, x->loop, x->told.threads, (size_t)x->rounds, &took));
    while (qs_now() < end);
    return QS_OK;
}

/* One more try; *now becomes the better rate. */
static int try_again(struct qs_limits *l, struct line *x, double *now, struct qs_err *e)
{
    double took;
    const int rc = prepare(l, x, e);
    if (rc != QS_OK)
        return rc;
    const double rate = once(l, x->loop, x->told.threads, (size_t)x->rounds, &took);
    keep(x, rate);
    *now = rate > *now ? rate : *now;
    return QS_OK;
}

int qs_limits_look(struct qs_limits *l, enum qs_limit what, double *now, struct qs_err *e)
{
    struct line *like[LINES_MAX], *best;
    size_t n = 0;
    int rc = QS_OK;
    *now = 0;
    for (size_t i = 0; rc == QS_OK && i < l->n; i++) {
        if (!on_all(l, &l->line[i], what))
            continue;
        like[n++] = &l->line[i];
        if (l->line[i].told.tries == 0)
            rc = qs_limits_measure(l, i, FIRST_SECONDS, e);
    }
    if (n == 0 || rc != QS_OK)
        return rc;
    best = best_line(l, what);
    const double end = qs_now() + LOOK_SECONDS;
    for (int i = 0; rc == QS_OK && (i < LOOK_TRIES || (what == QS_LIMIT_READ && qs_now() < end)); i++)
        rc = try_again(l, best, now, e);
    /* Another one in turn: the best was found in a bad moment, may be. */
    return rc == QS_OK ? try_again(l, like[l->turn[what]++ % n], now, e) : rc;
}

bool qs_limits_have(const struct qs_limits *l, enum qs_limit what)
{
    return best_line((struct qs_limits *)l, what) != NULL;
}

double qs_limits_best(const struct qs_limits *l, enum qs_limit what)
{
    const struct line *x = best_line((struct qs_limits *)l, what);
    return x ? x->told.best : 0;
}

enum qs_limit qs_limit_unit(int type, bool fast, bool bf16)
{
    switch (fast ? qs_dot_ops(type)->act : QS_ACT_F32) {
    case QS_ACT_Q8:
    case QS_ACT_Q8K:
        return QS_LIMIT_INT8;
    case QS_ACT_BF16:
        return bf16 ? QS_LIMIT_BF16 : QS_LIMIT_F32;
    default:
        return QS_LIMIT_F32;
    }
}
