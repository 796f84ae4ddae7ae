/* test_pool.c - regions, priorities, nesting, several users, few threads; counting of processors. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "tests/lib/qs_test.h"

struct tally {
    struct qs_pool *pool;
    size_t n, grain;
    unsigned char *hits; /* one per item */
    _Atomic unsigned inside[64]; /* by thread number: never two at once */
    _Atomic unsigned errors, calls;
};

static void count_items(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct tally *t = ctx;
    if (thread >= qs_pool_threads(t->pool) || begin >= end || end > t->n || end - begin > t->grain)
        atomic_fetch_add(&t->errors, 1);
    else if (atomic_fetch_add(&t->inside[thread], 1) != 0)
        atomic_fetch_add(&t->errors, 1);
    for (size_t i = begin; i < end && i < t->n; i++)
        t->hits[i]++;
    atomic_fetch_add(&t->calls, 1);
    atomic_fetch_sub(&t->inside[thread], 1);
}

/* Runs over n items; every one has to be met exactly once. */
static unsigned run_and_check(struct qs_pool *p, size_t n, size_t grain)
{
    struct tally t = { .pool = p, .n = n, .grain = grain ? grain : 1 };
    t.hits = qs_calloc(n ? n : 1, 1);
    qs_pool_run(p, QS_PRIO_JOB, n, grain, count_items, &t);
    unsigned wrong = atomic_load(&t.errors);
    for (size_t i = 0; i < n; i++)
        wrong += t.hits[i] != 1;
    wrong += atomic_load(&t.calls) != (n + t.grain - 1) / t.grain;
    qs_free(t.hits);
    return wrong;
}

/* Code that takes a pool or none need not ask which. */
static void without_a_pool(void **state)
{
    (void)state;
    assert_int_equal(qs_pool_threads(NULL), 1);
    for (size_t n = 0; n < 30; n++)
        assert_int_equal(run_and_check(NULL, n, n / 4), 0);
}

static void every_item_once(void **state)
{
    (void)state;
    static const unsigned threads[] = { 0, 1, 2, 3, 8 };
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct qs_pool *p;
        struct qs_err e;
        uint64_t held = qs_mem_in_use();
        assert_int_equal(qs_pool_new(threads[i], &p, &e), QS_OK);
        if (threads[i])
            assert_int_equal(qs_pool_threads(p), threads[i]);
        else
            assert_int_equal(qs_pool_threads(p), qs_cpu_count());
        for (size_t n = 0; n < 40; n++)
            for (size_t grain = 0; grain < 5; grain++)
                assert_int_equal(run_and_check(p, n, grain), 0);
        assert_int_equal(run_and_check(p, 100000, 7), 0);
        qs_pool_free(p);
        assert_int_equal(qs_mem_in_use(), held);
    }
    struct qs_pool *p;
    struct qs_err e;
    assert_int_equal(qs_pool_new(1000000, &p, &e), QS_EINVAL);
    assert_null(p);
    qs_pool_free(NULL);
}

static void whole_range(void *ctx, size_t begin, size_t end, unsigned thread)
{
    (void)thread;
    size_t *got = ctx;
    got[0] += begin == 0;
    got[1] += end == SIZE_MAX;
    got[2]++;
}

static void counts_near_the_largest(void **state)
{
    (void)state;
    struct qs_pool *p;
    size_t got[3] = { 0 };
    assert_int_equal(qs_pool_new(1, &p, NULL), QS_OK);
    qs_pool_run(p, QS_PRIO_JOB, SIZE_MAX, SIZE_MAX - 1, whole_range, got);
    assert_true(got[0] == 1 && got[1] == 1 && got[2] == 2);
    qs_pool_free(p);
}

struct nest {
    struct qs_pool *pool;
    _Atomic unsigned items, wrong;
    unsigned outer_thread[64];
};

static void inner(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct nest *n = ctx;
    if (end - begin > 3 || thread >= qs_pool_threads(n->pool))
        atomic_fetch_add(&n->wrong, 1);
    atomic_fetch_add(&n->items, (unsigned)(end - begin));
}

static void outer(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct nest *n = ctx;
    for (size_t i = begin; i < end; i++) {
        n->outer_thread[i] = thread;
        qs_pool_run(n->pool, QS_PRIO_INTERACTIVE, 10, 3, inner, n);
    }
}

static void nested_regions_run_inline(void **state)
{
    (void)state;
    struct nest n = { 0 };
    assert_int_equal(qs_pool_new(4, &n.pool, NULL), QS_OK);
    qs_pool_run(n.pool, QS_PRIO_JOB, 64, 1, outer, &n);
    assert_int_equal(atomic_load(&n.items), 640);
    assert_int_equal(atomic_load(&n.wrong), 0);
    qs_pool_free(n.pool);
}

static void *use_pool(void *arg)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < 300; i++)
        wrong += run_and_check(arg, 1 + i % 50, 1 + i % 4);
    return (void *)(uintptr_t)wrong;
}

static void several_jobs_share_it(void **state)
{
    (void)state;
    struct qs_pool *p;
    pthread_t t[4];
    assert_int_equal(qs_pool_new(3, &p, NULL), QS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, use_pool, p), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    qs_pool_free(p);
}

/* --- regions in a row --------------------------------------------------------------------------------------------- */

static void enters_once(void *ctx, size_t begin, size_t end, unsigned thread)
{
    (void)begin;
    (void)end;
    (void)thread;
    struct nest *n = ctx;
    if (qs_pool_enter(n->pool, QS_PRIO_INTERACTIVE))
        atomic_fetch_add(&n->wrong, 1);
    atomic_fetch_add(&n->items, 1);
}

static void one_enters_and_leaves(void **state)
{
    (void)state;
    struct nest n = { 0 };
    struct qs_pool *one;
    assert_int_equal(qs_pool_new(1, &one, NULL), QS_OK);
    assert_int_equal(qs_pool_new(3, &n.pool, NULL), QS_OK);
    assert_false(qs_pool_enter(NULL, QS_PRIO_JOB));
    assert_false(qs_pool_enter(one, QS_PRIO_JOB));
    qs_pool_leave(NULL, false);
    for (int i = 0; i < 20; i++) {
        assert_true(qs_pool_enter(n.pool, QS_PRIO_JOB));
        assert_false(qs_pool_enter(n.pool, QS_PRIO_JOB));
        qs_pool_leave(n.pool, false);
        qs_pool_run(n.pool, QS_PRIO_JOB, 30, 1, enters_once, &n);
        assert_int_equal(run_and_check(n.pool, (size_t)i, 2), 0);
        assert_int_equal(run_and_check(one, 5, 1), 0);
        qs_pool_leave(n.pool, true);
        assert_int_equal(run_and_check(n.pool, 40, 1), 0);
    }
    qs_pool_run(n.pool, QS_PRIO_JOB, 30, 1, enters_once, &n);
    assert_int_equal(atomic_load(&n.items), 21 * 30);
    assert_int_equal(atomic_load(&n.wrong), 0);
    qs_pool_free(n.pool);
    qs_pool_free(one);
}

struct row_user {
    struct qs_pool *pool;
    enum qs_prio prio;
    unsigned rows;
    _Atomic bool *go; /* waits for it in the middle of its first row; NULL: not */
};

static void *use_in_rows(void *arg)
{
    struct row_user *u = arg;
    unsigned wrong = 0;
    for (size_t i = 0; i < u->rows; i++) {
        const bool entered = qs_pool_enter(u->pool, u->prio);
        for (size_t k = 0; k < 40 || (u->go && !atomic_load(u->go)); k++)
            wrong += run_and_check(u->pool, 1 + (i + k) % 9, 1 + k % 2);
        qs_pool_leave(u->pool, entered);
    }
    return (void *)(uintptr_t)wrong;
}

static void several_work_in_rows(void **state)
{
    (void)state;
    static const unsigned threads[] = { 2, 3, 8 };
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        struct row_user user[4];
        pthread_t thread[4];
        struct qs_pool *p;
        assert_int_equal(qs_pool_new(threads[t], &p, NULL), QS_OK);
        for (int i = 0; i < 4; i++) {
            user[i] = (struct row_user){ p, (enum qs_prio)(i % 3), 20, NULL };
            assert_int_equal(pthread_create(&thread[i], NULL, i == 3 ? use_pool : use_in_rows,
                                            i == 3 ? (void *)p : (void *)&user[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            void *wrong;
            pthread_join(thread[i], &wrong);
            assert_null(wrong);
        }
        qs_pool_free(p);
    }
}

static void raise_flag(void *ctx, size_t begin, size_t end, unsigned thread)
{
    (void)begin;
    (void)end;
    (void)thread;
    atomic_store((_Atomic bool *)ctx, true);
}

/* Who is in the middle of a row gives way to the more important, and to one's equal. */
static void the_others_get_in_between(void **state)
{
    (void)state;
    for (int prio = QS_PRIO_JOB; prio <= QS_PRIO_INTERACTIVE; prio++) {
        _Atomic bool go = false;
        struct row_user user = { NULL, QS_PRIO_JOB, 1, &go };
        pthread_t t;
        void *wrong;
        assert_int_equal(qs_pool_new(2, &user.pool, NULL), QS_OK);
        assert_int_equal(pthread_create(&t, NULL, use_in_rows, &user), 0);
        qs_pool_run(user.pool, (enum qs_prio)prio, 2, 1, raise_flag, &go);
        pthread_join(t, &wrong);
        assert_null(wrong);
        qs_pool_free(user.pool);
    }
}

/* --- priorities: a region holds the lease until the others have queued up ----------------------------------------- */

struct queue {
    struct qs_pool *pool;
    _Atomic unsigned running, release, turn;
    _Atomic unsigned order[3]; /* by priority: which turn it had */
};

static void hold(void *ctx, size_t begin, size_t end, unsigned thread)
{
    (void)begin;
    (void)end;
    (void)thread;
    struct queue *q = ctx;
    atomic_store(&q->running, 1);
    while (!atomic_load(&q->release))
        sched_yield();
}

static void *holder(void *arg)
{
    struct queue *q = arg;
    qs_pool_run(q->pool, QS_PRIO_BACKGROUND, 1, 1, hold, q);
    return NULL;
}

struct claim {
    struct queue *q;
    enum qs_prio prio;
};

static void take_turn(void *ctx, size_t begin, size_t end, unsigned thread)
{
    (void)begin;
    (void)end;
    (void)thread;
    const struct claim *c = ctx;
    atomic_store(&c->q->order[c->prio], 1 + atomic_fetch_add(&c->q->turn, 1));
}

static void *claimant(void *arg)
{
    struct claim *c = arg;
    qs_pool_run(c->q->pool, c->prio, 1, 1, take_turn, c);
    return NULL;
}

static void the_more_important_goes_first(void **state)
{
    (void)state;
    struct queue q = { 0 };
    struct claim job = { &q, QS_PRIO_JOB }, interactive = { &q, QS_PRIO_INTERACTIVE };
    pthread_t a, b, c;
    assert_int_equal(qs_pool_new(2, &q.pool, NULL), QS_OK);
    assert_int_equal(pthread_create(&a, NULL, holder, &q), 0);
    while (!atomic_load(&q.running))
        sched_yield();
    assert_false(qs_pool_wanted(q.pool, QS_PRIO_BACKGROUND));
    assert_int_equal(pthread_create(&b, NULL, claimant, &job), 0);
    while (!qs_pool_wanted(q.pool, QS_PRIO_BACKGROUND))
        sched_yield();
    assert_false(qs_pool_wanted(q.pool, QS_PRIO_JOB));
    assert_int_equal(pthread_create(&c, NULL, claimant, &interactive), 0);
    while (!qs_pool_wanted(q.pool, QS_PRIO_JOB))
        sched_yield();
    assert_false(qs_pool_wanted(q.pool, QS_PRIO_INTERACTIVE));
    atomic_store(&q.release, 1);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    pthread_join(c, NULL);
    assert_int_equal(atomic_load(&q.order[QS_PRIO_INTERACTIVE]), 1);
    assert_int_equal(atomic_load(&q.order[QS_PRIO_JOB]), 2);
    assert_false(qs_pool_wanted(q.pool, QS_PRIO_BACKGROUND));
    qs_pool_free(q.pool);
}

static void freed_unused_and_used(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct qs_pool *p;
        assert_int_equal(qs_pool_new(4, &p, NULL), QS_OK);
        if (i % 2)
            assert_int_equal(run_and_check(p, 9, 1), 0);
        qs_pool_free(p);
    }
}

/* Where the system gives no threads, the caller does all of it. */
static void works_without_threads(void **state)
{
    (void)state;
    if (QS_TEST_SANITIZED)
        skip(); /* a sanitizer needs the address space that is taken away here */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct qs_pool *p;
        unsigned long pages = 0;
        FILE *f = fopen("/proc/self/statm", "re");
        if (!f || fscanf(f, "%lu", &pages) != 1 || qs_pool_new(8, &p, NULL) != QS_OK)
            _exit(2);
        (void)fclose(f);
        rlim_t room = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (1 << 20); /* a stack needs 2 MiB */
        struct rlimit limit = { room, room };
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(3);
        unsigned wrong = run_and_check(p, 1000, 3) + run_and_check(p, 10, 1);
        qs_pool_free(p);
        _exit(wrong == 0 ? 0 : 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_pool(void *ctx, struct qs_err *e)
{
    (void)ctx;
    struct qs_pool *p;
    int rc = qs_pool_new(2, &p, e);
    if (!rc)
        qs_pool_free(p);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    qs_test_each_alloc(make_pool, NULL);
}

/* --- processors --------------------------------------------------------------------------------------------------- */

static void put(const char *dir, const char *file, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    qs_test_mkdirs(qs_test_tmp_path(dir));
    qs_test_file(path, text, strlen(text));
}

static void siblings_count_once(void **state)
{
    (void)state;
    uint8_t allowed[QS_CPUS_MAX / 8] = { 0xFF }; /* processors 0 to 7 */
    const char *lists[] = { "0,4\n", "1,5\n", "2,6\n", "3,7\n", "0,4\n", "1,5\n", "2,6\n", "3,7\n" };
    for (int i = 0; i < 8; i++) {
        char dir[64];
        (void)snprintf(dir, sizeof dir, "sys/cpu%d/topology", i);
        put(dir, "thread_siblings_list", lists[i]);
    }
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("sys"), allowed), 4);
    allowed[0] = 0x33; /* 0, 1, 4, 5: two cores with both their threads */
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("sys"), allowed), 2);
    allowed[0] = 0x70; /* only second threads: three cores */
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("sys"), allowed), 3);
    allowed[0] = 0xFF;
    allowed[1023] = 0x80; /* a far processor nothing is known about */
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("sys"), allowed), 5);
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("nowhere"), allowed), 9);
    memset(allowed, 0, sizeof allowed);
    assert_int_equal(qs_cpus_physical(qs_test_tmp_path("sys"), allowed), 1);
}

static void quotas_are_honoured(void **state)
{
    (void)state;
    char self[4096], mount[4096];
    put("cg/a/b", "cpu.max", "max 100000\n");
    (void)snprintf(mount, sizeof mount, "%s", qs_test_tmp_path("cg"));
    (void)snprintf(self, sizeof self, "%s", qs_test_file("cgroup", "0::/a/b\n", 8));
    assert_int_equal(qs_cpus_quota(self, mount), 0);
    put("cg/a/b", "cpu.max", "250000 100000\n");
    assert_int_equal(qs_cpus_quota(self, mount), 3);
    put("cg/a", "cpu.max", "200000 100000\n");
    assert_int_equal(qs_cpus_quota(self, mount), 2);
    put("cg", "cpu.max", "1000 100000\n");
    assert_int_equal(qs_cpus_quota(self, mount), 1);
    qs_test_file("cgroup", "12:cpu:/x\n0::/\n", 15);
    assert_int_equal(qs_cpus_quota(self, mount), 1);
    put("cg", "cpu.max", "nonsense");
    assert_int_equal(qs_cpus_quota(self, mount), 0);
    put("cg", "cpu.max", "100 0\n");
    assert_int_equal(qs_cpus_quota(self, mount), 0);
    qs_test_file("cgroup", "12:cpu:/x\n", 10);
    assert_int_equal(qs_cpus_quota(self, mount), 0);
    assert_int_equal(qs_cpus_quota(qs_test_tmp_path("nowhere"), mount), 0);
}

static void affinity_is_honoured(void **state)
{
    (void)state;
    assert_true(qs_cpu_count() >= 1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) != 0)
            _exit(0); /* a machine of more than 1,024 processors */
        int first = 0;
        while (!CPU_ISSET(first, &set))
            first++;
        CPU_ZERO(&set);
        CPU_SET(first, &set);
        _exit(sched_setaffinity(0, sizeof set, &set) == 0 && qs_cpu_count() == 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_clock_runs_forward(void **state)
{
    (void)state;
    double a = qs_now(), b = a;
    for (int i = 0; i < 1000000 && !(b > a); i++)
        b = qs_now();
    assert_true(b > a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once), cmocka_unit_test(without_a_pool), cmocka_unit_test(counts_near_the_largest),
        cmocka_unit_test(nested_regions_run_inline), cmocka_unit_test(several_jobs_share_it),
        cmocka_unit_test(the_more_important_goes_first), cmocka_unit_test(freed_unused_and_used),
        cmocka_unit_test(one_enters_and_leaves), cmocka_unit_test(several_work_in_rows),
        cmocka_unit_test(the_others_get_in_between),
        cmocka_unit_test(works_without_threads),    cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(siblings_count_once),      cmocka_unit_test(quotas_are_honoured),
        cmocka_unit_test(affinity_is_honoured),     cmocka_unit_test(the_clock_runs_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
