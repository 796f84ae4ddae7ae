/* pool.c - the one compute pool, its leases, and the clock.
 *
 * Owns the worker threads and the turn-taking of those who want them. A region's items are dealt out in chunks by an
 * atomic counter; the thread that asked works too, as thread 0 of the region, and returns when every chunk is done and
 * no worker is inside any more. Refuses nothing at run time: where threads cannot be had, fewer do the work.
 *
 * WAITING. One word, `state`, says which region there is, whether it may be entered, and how many are inside: a region
 * is opened, entered, left and closed by one atomic operation each. Who waits for that word to change looks at it for
 * SPIN_NS, then sleeps on a condition; who changes it looks for sleepers afterwards. (Both in the one order of
 * memory_order_seq_cst: either the sleeper sees the change or the other sees the sleeper.) Nobody spins where the pool
 * has more threads than there are cores, nor for REST_NS after somebody lost the core in the middle of a spin, which
 * says that others want it. Lock order: one mutex per pool, never held while work runs.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/mem.h"
#include "base/pool.h"

#define PRIOS 3
#define SPIN_NS 50000          /* how long a change is awaited without sleeping: some wakes' worth */
#define LOST_NS 250000         /* between two looks at the clock while spinning: the core was given to somebody else */
#define REST_NS 20000000
#define POLLS 16               /* looks at the word between two looks at the clock */
#define STACK_SIZE (2u << 20)  /* the system's 8 MiB would count against a limit on private memory, per thread */
#define LINE 64                /* bytes that caches hand around together */

/* The bits of `state`. */
#define INSIDE  0xffffu        /* workers in the region */
#define OPEN    (1u << 16)     /* it may be entered */
#define CLOSELY (1u << 17)     /* between enter and leave: the next region is near */
#define REGION  (1u << 18)     /* one region; the bits above count them */

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
    char before[LINE];
    _Atomic uint64_t state;  /* with the region in one line: who comes in has all it needs */
    _Atomic size_t next;     /* next chunk */
    struct region region;    /* written by the lease's holder while nobody is inside */
    char behind[LINE];

    _Atomic unsigned sleepers;   /* workers on `work`, or about to be */
    _Atomic bool owner_sleeps;   /* the region's owner is on `done`, or about to be */
    _Atomic uint64_t rest_until; /* nobody spins before */
    bool may_spin;

    pthread_mutex_t lock;
    pthread_cond_t work;     /* workers sleep here between regions */
    pthread_cond_t done;     /* the region's owner, until the last worker is out */
    pthread_cond_t lease;    /* who waits for a turn */
    struct worker *workers;  /* threads - 1 of them, `started` alive */
    unsigned threads, started;
    bool tried, stop, leased;

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
static _Thread_local const struct qs_pool *entered; /* whose lease the calling thread keeps between regions */

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

/* ---- waiting */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What is waited for: by a worker that was last in region `seen`, and by the owner of a region. */
static inline bool can_enter(uint64_t state, uint64_t seen) { return (state & OPEN) && state / REGION != seen; }
static inline bool goes_on(uint64_t state, uint64_t seen) { return can_enter(state, seen) || !(state & CLOSELY); }
static inline bool nobody_inside(uint64_t state, uint64_t unused) { (void)unused; return (state & INSIDE) == 0; }

/* Looks at the state until it is as wished for, but not for long. */
static inline void spin(struct qs_pool *p, bool (*met)(uint64_t state, uint64_t arg), uint64_t arg)
{
    uint64_t start = 0, last = 0;
    const uint64_t rest = atomic_load_explicit(&p->rest_until, memory_order_relaxed);
    if (!p->may_spin || (rest && now_ns() < rest))
        return;
    for (;;) {
        for (int i = 0; i < POLLS; i++) {
            if (met(atomic_load_explicit(&p->state, memory_order_acquire), arg))
                return;
            relax();
        }
        const uint64_t now = now_ns();
        if (last && now - last > LOST_NS)
            atomic_store_explicit(&p->rest_until, now + REST_NS, memory_order_relaxed);
        if (!start)
            start = now;
        else if (now - start > SPIN_NS)
            return;
        last = now;
    }
}

/* Goes into the open region, unless it is the one that was seen. */
static bool try_enter(struct qs_pool *p, uint64_t *seen)
{
    uint64_t state = atomic_load(&p->state);
    while (can_enter(state, *seen))
        if (atomic_compare_exchange_weak(&p->state, &state, state + 1)) {
            *seen = state / REGION;
            return true;
        }
    return false;
}

/* Sleeps until woken, unless a region can be entered now; false: the pool ends. */
static bool sleep_or_enter(struct qs_pool *p, uint64_t *seen, bool *in)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    if (!p->stop && !(*in = try_enter(p, seen)))
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    const bool goes_on = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return goes_on;
}

/* Waits for a region and goes into it; false: the pool ends. */
static bool await_region(struct qs_pool *p, uint64_t *seen)
{
    for (bool in = false; !in;) {
        spin(p, goes_on, *seen);
        in = try_enter(p, seen);
        if (!in && !sleep_or_enter(p, seen, &in))
            return false;
    }
    return true;
}

static void leave_region(struct qs_pool *p)
{
    const uint64_t before = atomic_fetch_sub(&p->state, 1);
    if ((before & INSIDE) != 1 || (before & OPEN) || !atomic_load(&p->owner_sleeps))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->done);
    pthread_mutex_unlock(&p->lock);
}

/* The lease's holder lets workers in, and wakes as many sleepers as there is work for beyond those awake. */
static void open_region(struct qs_pool *p)
{
    const uint64_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
    atomic_store(&p->state, (state + REGION) | OPEN);
    const unsigned sleepers = atomic_load(&p->sleepers), awake = p->started - sleepers;
    const size_t wanted = p->region.chunks - 1;
    if (sleepers == 0 || wanted <= awake)
        return;
    pthread_mutex_lock(&p->lock);
    if (wanted >= p->started)
        pthread_cond_broadcast(&p->work);
    else
        for (size_t i = awake; i < wanted; i++)
            pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

/* Lets nobody in any more (there is nothing left to do) and waits for those inside. */
static void close_region(struct qs_pool *p)
{
    if (((atomic_fetch_and(&p->state, ~(uint64_t)OPEN)) & INSIDE) == 0)
        return;
    spin(p, nobody_inside, 0);
    if (nobody_inside(atomic_load(&p->state), 0))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->owner_sleeps, true);
    while (!nobody_inside(atomic_load(&p->state), 0))
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->owner_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* ---- workers */

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
    while (await_region(p, &seen)) {
        const struct region r = p->region;
        work_on(p, &r, w->index);
        leave_region(p);
    }
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

static void give_lease(struct qs_pool *p)
{
    p->leased = false;
    if (anybody_waits(p))
        pthread_cond_broadcast(&p->lease);
}

/* Between two regions of one who has entered: somebody of this importance or more goes first. */
static void hand_on(struct qs_pool *p, enum qs_prio prio)
{
    if (!qs_pool_wanted(p, prio) && !atomic_load_explicit(&p->waiting[prio], memory_order_relaxed))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_and(&p->state, ~(uint64_t)CLOSELY);
    give_lease(p);
    take_lease(p, prio);
    atomic_fetch_or(&p->state, CLOSELY);
    pthread_mutex_unlock(&p->lock);
}

bool qs_pool_enter(struct qs_pool *p, enum qs_prio prio)
{
    if (!p || p->threads < 2 || entered || frame_of(p))
        return false;
    pthread_mutex_lock(&p->lock);
    take_lease(p, prio);
    atomic_fetch_or(&p->state, CLOSELY);
    pthread_mutex_unlock(&p->lock);
    entered = p;
    return true;
}

void qs_pool_leave(struct qs_pool *p, bool was_entered)
{
    if (!was_entered)
        return;
    entered = NULL;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_and(&p->state, ~(uint64_t)CLOSELY);
    give_lease(p);
    pthread_mutex_unlock(&p->lock);
}

/* One region of the lease's holder. */
static void run_region(struct qs_pool *p, const struct region *r)
{
    p->region = *r;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    const bool shared = r->chunks > 1 && p->started > 0;
    if (shared)
        open_region(p);
    work_on(p, r, 0);
    if (shared)
        close_region(p);
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
    const bool kept = entered == p;
    if (kept) {
        hand_on(p, prio);
    } else {
        pthread_mutex_lock(&p->lock);
        take_lease(p, prio);
        pthread_mutex_unlock(&p->lock);
    }
    if (!p->tried && r.chunks > 1) {
        pthread_mutex_lock(&p->lock);
        start_workers(p);
        pthread_mutex_unlock(&p->lock);
    }
    run_region(p, &r);
    if (!kept) {
        pthread_mutex_lock(&p->lock);
        give_lease(p);
        pthread_mutex_unlock(&p->lock);
    }
}
