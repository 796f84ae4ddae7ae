/* test_map.c - mapped files cut short under their readers; SIGBUS that is not ours. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "tests/lib/qs_room.h"
#include "tests/lib/qs_test.h"

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A file of `pages` pages of 'x' and `more` bytes; returns its path. */
static const char *make_file(const char *name, size_t pages, size_t more)
{
    size_t n = pages * page_size() + more;
    char *data = malloc(n + 1);
    assert_non_null(data);
    memset(data, 'x', n);
    const char *path = qs_test_file(name, data, n);
    free(data);
    return path;
}

/* Counts the bytes that are 'x'; everything else has to be 0. */
static size_t count_x(const struct qs_map *m)
{
    const volatile uint8_t *p = qs_map_data(m);
    size_t n = 0;
    for (uint64_t i = 0; i < qs_map_size(m); i++) {
        uint8_t v = p[i];
        n += v == 'x';
        assert_true(v == 'x' || v == 0);
    }
    return n;
}

static void maps_a_file(void **state)
{
    (void)state;
    struct qs_map *m;
    struct qs_err e;
    uint64_t held = qs_mem_in_use();
    assert_int_equal(qs_map_open(make_file("whole", 5, 17), &m, &e), QS_OK);
    assert_int_equal(qs_map_size(m), 5 * page_size() + 17);
    assert_int_equal(count_x(m), 5 * page_size() + 17);
    assert_false(qs_map_damaged(m));
    assert_int_equal(qs_map_check(m, &e), QS_OK);
    assert_ptr_equal(qs_map_ref(m), m);
    qs_map_unref(m);
    assert_int_equal(qs_map_data(m)[0], 'x');
    qs_map_unref(m);
    qs_map_unref(NULL);
    assert_int_equal(qs_mem_in_use(), held);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    struct qs_map *m;
    struct qs_err e;
    assert_int_equal(qs_map_open(qs_test_tmp_path("none"), &m, &e), QS_ENOTFOUND);
    assert_null(m);
    assert_int_equal(qs_map_open(qs_test_tmp(), &m, &e), QS_EINVAL);
    assert_int_equal(qs_map_open(qs_test_file("empty", "", 0), &m, &e), QS_OK);
    assert_int_equal(qs_map_size(m), 0);
    assert_non_null(qs_map_data(m));
    assert_int_equal(qs_map_check(m, &e), QS_OK);
    assert_int_equal(qs_map_resident(m, 0, 10), 0);
    qs_map_advise(m, 0, 10, true);
    qs_map_unref(m);
}

static void a_cut_file_reads_as_zeros(void **state)
{
    (void)state;
    struct qs_map *m, *other;
    struct qs_err e;
    size_t page = page_size();
    const char *path = make_file("cut", 300, 100);
    assert_int_equal(qs_map_open(path, &m, &e), QS_OK);
    assert_int_equal(qs_map_open(make_file("untouched", 3, 0), &other, &e), QS_OK);
    assert_int_equal(qs_map_data(m)[200 * page], 'x');
    assert_int_equal(truncate(path, (off_t)(10 * page + 50)), 0);
    assert_int_equal(count_x(m), 10 * page + 50);
    assert_true(qs_map_damaged(m));
    assert_int_equal(qs_map_check(m, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "cut"));
    assert_non_null(strstr(e.msg, path));
    assert_int_equal(truncate(path, (off_t)(300 * page + 100)), 0); /* grown back: damaged all the same */
    assert_true(qs_map_damaged(m));
    qs_map_unref(m);
    assert_false(qs_map_damaged(other));
    assert_int_equal(count_x(other), 3 * page);
    qs_map_unref(other);
    /* A slot used before starts clean. */
    assert_int_equal(qs_map_open(path, &m, &e), QS_OK);
    assert_false(qs_map_damaged(m));
    qs_map_unref(m);
}

static void a_cut_inside_the_last_page_is_seen(void **state)
{
    (void)state;
    struct qs_map *m;
    struct qs_err e;
    const char *path = make_file("tail", 2, 200);
    assert_int_equal(qs_map_open(path, &m, &e), QS_OK);
    assert_int_equal(truncate(path, (off_t)(2 * page_size() + 100)), 0);
    assert_int_equal(count_x(m), 2 * page_size() + 100);
    assert_int_equal(qs_map_check(m, &e), QS_EIO);
    qs_map_unref(m);
}

static void *read_cut(void *arg)
{
    const struct qs_map *m = arg;
    const volatile uint8_t *p = qs_map_data(m);
    size_t page = page_size(), wrong = 0;
    uint64_t x = (uintptr_t)&wrong;
    for (int i = 0; i < 3000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)((x >> 33) % qs_map_size(m));
        uint8_t expected = at < 4 * page ? 'x' : 0;
        wrong += p[at] != expected;
    }
    return (void *)(uintptr_t)wrong;
}

static atomic_bool stop_churning;

/* Maps and unmaps other files, whole and cut, all the while. */
static void *churn(void *arg)
{
    const char *path = arg;
    size_t wrong = 0;
    while (!atomic_load(&stop_churning)) {
        struct qs_map *m;
        if (qs_map_open(path, &m, NULL) != QS_OK)
            return (void *)(uintptr_t)1;
        const volatile uint8_t *p = qs_map_data(m);
        wrong += p[0] != 'x' || p[qs_map_size(m) - 1] != 'x' || qs_map_damaged(m);
        qs_map_unref(m);
    }
    return (void *)(uintptr_t)wrong;
}

static void many_threads_fault_at_once(void **state)
{
    (void)state;
    struct qs_map *m;
    struct qs_err e;
    char other[4096], *path = other;
    strncpy(other, make_file("threads-other", 2, 0), sizeof other - 1);
    other[sizeof other - 1] = 0;
    for (int round = 0; round < 5; round++) {
        const char *cut = make_file("threads", 500, 0);
        assert_int_equal(qs_map_open(cut, &m, &e), QS_OK);
        assert_int_equal(truncate(cut, (off_t)(4 * page_size())), 0);
        pthread_t readers[4], churner;
        void *wrong;
        atomic_store(&stop_churning, false);
        assert_int_equal(pthread_create(&churner, NULL, churn, path), 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&readers[i], NULL, read_cut, m), 0);
        for (int i = 0; i < 4; i++) {
            pthread_join(readers[i], &wrong);
            assert_null(wrong);
        }
        atomic_store(&stop_churning, true);
        pthread_join(churner, &wrong);
        assert_null(wrong);
        assert_true(qs_map_damaged(m));
        qs_map_unref(m);
    }
}

static void residence_is_told(void **state)
{
    (void)state;
    struct qs_map *m;
    struct qs_err e;
    size_t page = page_size();
    const char *path = qs_test_file("sparse", "", 0);
    assert_int_equal(truncate(path, (off_t)(64 << 20)), 0);
    assert_int_equal(qs_map_open(path, &m, &e), QS_OK);
    assert_int_equal(qs_map_resident(m, 0, UINT64_MAX), 0); /* opening touches no page */
    assert_int_equal(qs_map_resident(m, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(((const volatile uint8_t *)qs_map_data(m))[40 << 20], 0);
    uint64_t now = qs_map_resident(m, 0, UINT64_MAX);
    assert_true(now >= page && now < 64 << 20);
    assert_int_equal(qs_map_resident(m, (40 << 20) + 100, 50), 50);
    assert_int_equal(qs_map_resident(m, (40 << 20) + 100, page) >= page - 100, 1);
    qs_map_advise(m, 40 << 20, page, false);
    qs_map_advise(m, 100, UINT64_MAX, true);
    qs_map_advise(m, UINT64_MAX, 1, true);
    assert_int_equal(((const volatile uint8_t *)qs_map_data(m))[40 << 20], 0);
    assert_false(qs_map_damaged(m));
    qs_map_unref(m);
}

/* --- SIGBUS that is not ours, each in a child of its own ---------------------------------------------------------- */

static void on_foreign_info(int sig, siginfo_t *info, void *context)
{
    (void)context;
    _exit(sig == SIGBUS && info->si_addr ? 42 : 1);
}

static void on_foreign_plain(int sig)
{
    _exit(sig == SIGBUS ? 43 : 1);
}

static void fault_elsewhere(void)
{
    const char *path = qs_test_tmp_path("foreign");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 8192) != 0)
        _exit(9);
    const volatile char *p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    if ((const volatile void *)p == MAP_FAILED || ftruncate(fd, 0) != 0)
        _exit(9);
    _exit(p[4096] == 0 ? 8 : 7);
}

static void foreign_info(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_foreign_info;
    a.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &a, NULL);
}

static void foreign_plain(void)
{
    (void)signal(SIGBUS, on_foreign_plain);
}

static void foreign_default(void)
{
    (void)signal(SIGBUS, SIG_DFL);
}

static void foreign_ignored(void)
{
    (void)signal(SIGBUS, SIG_IGN);
}

/* Runs a child that sets a handler up, maps a file through us, and gets a SIGBUS; its wait status. */
static int child_status(void (*prepare)(void), bool sent)
{
    char path[4096];
    strncpy(path, make_file("child", 2, 0), sizeof path - 1);
    path[sizeof path - 1] = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct qs_map *m;
        prepare();
        if (qs_map_open(path, &m, NULL) != QS_OK || truncate(path, 0) != 0)
            _exit(9);
        if (((const volatile uint8_t *)qs_map_data(m))[0] != 0) /* ours is still served */
            _exit(10);
        if (!sent)
            fault_elsewhere();
        kill(getpid(), SIGBUS);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void other_faults_go_to_the_handler_before(void **state)
{
    (void)state;
    int status = child_status(foreign_info, false);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    status = child_status(foreign_plain, false);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 43);
    status = child_status(foreign_plain, true);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 43);
    status = child_status(foreign_default, false);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = child_status(foreign_default, true);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = child_status(foreign_ignored, false);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = child_status(foreign_ignored, true);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int open_and_close(void *ctx, struct qs_err *e)
{
    struct qs_map *m;
    int rc = qs_map_open(ctx, &m, e);
    if (!rc)
        qs_map_unref(m);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    char path[4096];
    strncpy(path, make_file("alloc", 2, 0), sizeof path - 1);
    path[sizeof path - 1] = 0;
    qs_test_each_alloc(open_and_close, path);
}

/* Zero, writable, without a name anywhere, gone with its last reference; one beyond the disk is refused at once. */
static void scratch_files(void **state)
{
    (void)state;
    struct qs_map *m;
    uint8_t *data;
    struct qs_err e;
    const uint64_t held = qs_mem_in_use(), size = 3 * page_size() + 5;
    const char *dir = qs_test_tmp_path("scratch");
    qs_test_mkdirs(dir);
    assert_int_equal(qs_map_scratch(dir, size, &m, &data, &e), QS_OK);
    assert_int_equal(qs_map_size(m), size);
    assert_ptr_equal(qs_map_data(m), data);
    for (uint64_t i = 0; i < size; i++)
        assert_int_equal(data[i], 0);
    memset(data, 'x', size);
    assert_int_equal(count_x(m), size);
    assert_false(qs_map_damaged(m));
    assert_int_equal(rmdir(dir), 0); /* nothing is in it */
    qs_map_unref(m);
    assert_int_equal(qs_mem_in_use(), held);
    assert_int_equal(qs_map_scratch(dir, size, &m, &data, &e), QS_ENOTFOUND);
    assert_int_equal(qs_map_scratch(qs_test_tmp(), 0, &m, &data, &e), QS_EINVAL);
    assert_int_not_equal(qs_map_scratch(qs_test_tmp(), UINT64_C(1) << 60, &m, &data, &e), QS_OK);
    assert_null(m);
    assert_int_equal(qs_mem_in_use(), held);
}

/* Where a file system cannot claim room, a scratch file is made all the same; pages that find none when they are
 * written to are lost, and whoever writes goes on. */
static void scratch_without_room(void **state)
{
    (void)state;
    static const int cannot[] = { EOPNOTSUPP, EINVAL, ENOSYS };
    struct qs_map *m;
    uint8_t *data;
    struct qs_err e;
    for (size_t i = 0; i < sizeof cannot / sizeof *cannot; i++) {
        qs_test_room_error = cannot[i];
        assert_int_equal(qs_map_scratch(qs_test_tmp(), 3 * page_size(), &m, &data, &e), QS_OK);
        memset(data, 'x', 2 * page_size());
        assert_int_equal(count_x(m), 2 * page_size());
        assert_int_equal(qs_map_check(m, &e), QS_OK);
        qs_test_room_cut(page_size());
        memset(data, 'x', 3 * page_size());
        assert_int_equal(qs_map_check(m, &e), QS_EIO);
        assert_non_null(strstr(e.msg, qs_test_tmp()));
        qs_map_unref(m);
    }
    qs_test_room_error = ENOSPC;
    assert_int_equal(qs_map_scratch(qs_test_tmp(), page_size(), &m, &data, &e), QS_ENOSPACE);
    qs_test_room_error = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_a_file), cmocka_unit_test(scratch_files), cmocka_unit_test(scratch_without_room),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(a_cut_file_reads_as_zeros),
        cmocka_unit_test(a_cut_inside_the_last_page_is_seen),
        cmocka_unit_test(many_threads_fault_at_once),
        cmocka_unit_test(residence_is_told),
        cmocka_unit_test(other_faults_go_to_the_handler_before),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
