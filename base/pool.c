/* pool.c - the one compute pool, its leases, and the clock.
 *
 * Owns the worker threads and the turn-taking of those who want them. A region's items are dealt out in chunks by an
 * atomic counter; the thread that asked works too, as thread 0 of the region, and returns when every chunk is done and
 * no worker is inside any more. Refuses nothing at run time: where threads cannot be had, fewer do the work. Lock
 * order: one mutex per pool, never held while work runs.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/mem.h"
#include "base/pool.h"

#define PRIOS 3
#define SPINS 4000             /* a few microseconds: how long the end of a region is awaited without sleeping */
#define STACK_SIZE (2u << 20)  /* the system's 8 MiB would count against a limit on private memory, per thread */

struct region {
    qs_work_fn *fn;
    void *ctx;
    size_t n, grain, chunks;
};

struct worker {
    struct qs_pool *pool;
    pthread_t thread;
    unsigned index;
};

struct qs_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* workers sleep here between regions */
    pthread_cond_t done;     /* the region's owner, until the last worker is out */
    pthread_cond_t lease;    /* who waits for a turn */
    struct worker *workers;  /* threads - 1 of them, `started` alive */
    unsigned threads, started;
    bool tried, stop, may_spin;

    bool leased, open;       /* open: workers may still enter the region */
    uint64_t generation;
    struct region region;
    _Atomic size_t next;     /* next chunk */
    _Atomic unsigned inside; /* workers in the region */

    uint64_t ticket[PRIOS], serving[PRIOS]; /* turns within a priority */
    _Atomic unsigned waiting[PRIOS];
};

/* The region the calling thread is in, if any; regions of different pools may nest. */
struct frame {
    const struct qs_pool *pool;
    unsigned index;
    const struct frame *outer;
};

static _Thread_local const struct frame *current;

double qs_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes chunks until none is left. */
static void work_on(struct qs_pool *p, const struct region *r, unsigned index)
{
    struct frame frame = { p, index, current };
    current = &frame;
    for (;;) {
        size_t c = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (c >= r->chunks)
            break;
        size_t begin = c * r->grain;
        size_t end = r->n - begin > r->grain ? begin + r->grain : r->n;
        r->fn(r->ctx, begin, end, index);
    }
    current = frame.outer;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct qs_pool *p = w->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && (!p->open || p->generation == seen))
            pthread_cond_wait(&p->work, &p->lock);
        if (p->stop)
            break;
        seen = p->generation;
        struct region r = p->region;
        atomic_fetch_add_explicit(&p->inside, 1, memory_order_relaxed);
        pthread_mutex_unlock(&p->lock);
        work_on(p, &r, w->index);
        pthread_mutex_lock(&p->lock);
        if (atomic_fetch_sub_explicit(&p->inside, 1, memory_order_release) == 1 && !p->open)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Starts the workers, once; the caller holds the lock. Fewer than wished for is fine. */
static void start_workers(struct qs_pool *p)
{
    p->tried = true;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return;
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    /* Signals meant for the process (Ctrl-C, a resized window) belong to the thread with the terminal; faults of a
     * thread's own making must still reach it. */
    sigset_t most, old;
    sigfillset(&most);
    static const int own[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&most, own[i]);
    pthread_sigmask(SIG_SETMASK, &most, &old);
    while (p->started + 1 < p->threads) {
        struct worker *w = &p->workers[p->started];
        *w = (struct worker){ .pool = p, .index = p->started + 1 };
        if (pthread_create(&w->thread, &attr, worker_main, w) != 0)
            break;
        p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

int qs_pool_new(unsigned threads, struct qs_pool **out, struct qs_err *e)
{
    *out = NULL;
    unsigned cores = qs_cpu_count();
    if (threads == 0)
        threads = cores;
    if (threads > 4096)
        return qs_fail(e, QS_EINVAL, "%u threads are too many (at most 4096)", threads);
    struct qs_pool *p = qs_calloc(1, sizeof *p);
    if (!p)
        return qs_fail_mem(e, sizeof *p, "the thread pool");
    p->threads = threads;
    p->may_spin = threads <= cores;
    p->workers = qs_calloc(threads, sizeof *p->workers);
    if (!p->workers) {
        qs_free(p);
        return qs_fail_mem(e, threads * sizeof *p->workers, "the thread pool");
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    pthread_cond_init(&p->lease, NULL);
    *out = p;
    return QS_OK;
}

void qs_pool_free(struct qs_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->lease);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    qs_free(p->workers);
    qs_free(p);
}

unsigned qs_pool_threads(const struct qs_pool *p)
{
    return p ? p->threads : 1;
}

bool qs_pool_wanted(const struct qs_pool *p, enum qs_prio prio)
{
    for (int i = (int)prio + 1; i < PRIOS; i++)
        if (atomic_load_explicit(&p->waiting[i], memory_order_relaxed))
            return true;
    return false;
}

/* Waits for the turn: nobody has the lease, nobody more important waits, and it is this one's place in the queue. */
static void take_lease(struct qs_pool *p, enum qs_prio prio)
{
    uint64_t mine = p->ticket[prio]++;
    atomic_fetch_add_explicit(&p->waiting[prio], 1, memory_order_relaxed);
    while (p->leased || mine != p->serving[prio] || qs_pool_wanted(p, prio))
        pthread_cond_wait(&p->lease, &p->lock);
    p->serving[prio]++;
    atomic_fetch_sub_explicit(&p->waiting[prio], 1, memory_order_relaxed);
    p->leased = true;
}

static bool anybody_waits(const struct qs_pool *p)
{
    return qs_pool_wanted(p, QS_PRIO_BACKGROUND) || atomic_load_explicit(&p->waiting[0], memory_order_relaxed);
}

static const struct frame *frame_of(const struct qs_pool *p)
{
    const struct frame *f = current;
    while (f && f->pool != p)
        f = f->outer;
    return f;
}

/* Inside a region already: all chunks here, one after the other, under the number this thread has in it. */
static void run_inline(const struct region *r, unsigned index)
{
    for (size_t begin = 0; begin < r->n;) {
        size_t end = r->n - begin > r->grain ? begin + r->grain : r->n;
        r->fn(r->ctx, begin, end, index);
        begin = end;
    }
}

void qs_pool_run(struct qs_pool *p, enum qs_prio prio, size_t n, size_t grain, qs_work_fn *fn, void *ctx)
{
    if (n == 0)
        return;
    struct region r = { .fn = fn, .ctx = ctx, .n = n, .grain = grain ? grain : 1 };
    r.chunks = (n - 1) / r.grain + 1;
    const struct frame *nested = p ? frame_of(p) : NULL;
    if (nested || !p) {
        run_inline(&r, nested ? nested->index : 0);
        return;
    }
    pthread_mutex_lock(&p->lock);
    take_lease(p, prio);
    if (!p->tried && r.chunks > 1)
        start_workers(p);
    bool shared = r.chunks > 1 && p->started > 0;
    p->region = r;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    if (shared) {
        p->generation++;
        p->open = true;
        if (r.chunks > p->started)
            pthread_cond_broadcast(&p->work);
        else
            for (size_t i = 1; i < r.chunks; i++)
                pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    work_on(p, &r, 0);
    if (shared && p->may_spin)
        for (int i = 0; i < SPINS && atomic_load_explicit(&p->inside, memory_order_acquire) != 0; i++)
            relax();
    pthread_mutex_lock(&p->lock);
    p->open = false; /* who wakes only now finds nothing to do and sleeps on */
    while (atomic_load_explicit(&p->inside, memory_order_acquire) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    p->leased = false;
    if (anybody_waits(p))
        pthread_cond_broadcast(&p->lease);
    pthread_mutex_unlock(&p->lock);
}
