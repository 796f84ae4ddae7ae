/* test_file.c - whole reads, atomic writes, renames, locks, free space, paths, XDG places. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/lib/qs_test.h"

static unsigned names_in(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *one; (one = readdir(d));)
        n += one->d_name[0] != '.';
    closedir(d);
    return n;
}

static void expect_content(const char *path, const char *text)
{
    char *data;
    size_t n;
    struct qs_err e;
    assert_int_equal(qs_file_read(path, 1 << 20, &data, &n, &e), QS_OK);
    assert_int_equal(n, strlen(text));
    assert_string_equal(data, text);
    qs_free(data);
}

static void reads_whole_files(void **state)
{
    (void)state;
    char *data;
    size_t n;
    struct qs_err e;
    const char *path = qs_test_file("small", "0123456789", 10);
    assert_int_equal(qs_file_read(path, 10, &data, &n, &e), QS_OK);
    assert_int_equal(n, 10);
    assert_memory_equal(data, "0123456789", 11);
    qs_free(data);
    assert_int_equal(qs_file_read(path, 9, &data, &n, &e), QS_ELIMIT);
    assert_null(data);
    assert_int_equal(qs_file_read(qs_test_file("empty", "", 0), 0, &data, &n, &e), QS_OK);
    assert_int_equal(n, 0);
    assert_string_equal(data, "");
    qs_free(data);
    assert_int_equal(qs_file_read(qs_test_tmp_path("none"), 9, &data, &n, &e), QS_ENOTFOUND);
    assert_non_null(strstr(e.msg, "none"));
    assert_int_equal(qs_file_read(qs_test_tmp(), 9, &data, &n, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "is a folder"));
    /* Files that do not know their size. */
    assert_int_equal(qs_file_read("/proc/self/status", 1 << 20, &data, &n, &e), QS_OK);
    assert_true(n > 100 && strlen(data) == n);
    qs_free(data);
    assert_int_equal(qs_file_read("/proc/self/status", 50, &data, &n, &e), QS_ELIMIT);
    assert_int_equal(qs_file_read_any("/dev/zero", 100000, &data, &n, &e), QS_ELIMIT);
}

/* A pipe that nobody writes to: who may not wait is refused, the other one reads what comes, to its end. */
static void waits_for_nobody_unless_asked_to(void **state)
{
    (void)state;
    char *data;
    size_t n;
    struct qs_err e;
    const char *fifo = qs_test_tmp_path("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(qs_file_read(fifo, 9, &data, &n, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "not a regular file"));
    assert_null(data);
    assert_int_equal(qs_file_read("/dev/zero", 9, &data, &n, &e), QS_EINVAL);
    const int end = open(fifo, O_RDWR | O_CLOEXEC);
    assert_true(end >= 0);
    assert_int_equal(write(end, "0123456789", 10), 10);
    char through[64]; /* the descriptor itself, whose writing end stays open: too much is found all the same */
    (void)snprintf(through, sizeof through, "/proc/self/fd/%d", end);
    assert_int_equal(qs_file_read_any(through, 9, &data, &n, &e), QS_ELIMIT);
    close(end);
}

static void writes_whole_or_not_at_all(void **state)
{
    (void)state;
    struct qs_err e;
    const char *dir = qs_test_tmp_path("atomic");
    qs_test_mkdirs(dir);
    const char *path = qs_test_tmp_path("atomic/file");
    assert_int_equal(qs_file_write_atomic(path, "one", 3, false, &e), QS_OK);
    expect_content(path, "one");
    assert_int_equal(qs_file_write_atomic(path, "two", 3, false, &e), QS_EEXISTS);
    expect_content(path, "one");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(qs_file_write_atomic(path, "three", 5, true, &e), QS_OK);
    expect_content(path, "three");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(qs_file_write_atomic(path, NULL, 0, true, &e), QS_OK);
    expect_content(path, "");
    assert_int_equal(names_in(dir), 1);
    assert_int_equal(qs_file_write_atomic(qs_test_tmp_path("atomic/no/file"), "x", 1, true, &e), QS_ENOTFOUND);
    assert_non_null(strstr(e.msg, "atomic/no' does not exist"));
    assert_null(strstr(e.msg, ".tmp."));
    assert_int_equal(qs_file_write_atomic(qs_test_tmp_path("atomic/file/x"), "x", 1, true, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "no folder"));
    assert_int_equal(qs_file_write_atomic(dir, "x", 1, true, &e), QS_EINVAL);
    assert_int_equal(qs_file_write_atomic(dir, "x", 1, false, &e), QS_EINVAL);
    assert_int_equal(names_in(dir), 1);
}

/* What is no regular file is never replaced, not even behind a link. */
static void special_files_are_kept(void **state)
{
    (void)state;
    struct qs_err e;
    struct stat st;
    const char *pipe_name = qs_test_tmp_path("pipe"), *name = qs_test_tmp_path("to-pipe");
    assert_int_equal(mkfifo(pipe_name, 0600), 0);
    assert_int_equal(symlink(pipe_name, name), 0);
    for (int k = 0; k < 4; k++) {
        const char *path = k & 1 ? name : pipe_name;
        assert_int_equal(qs_file_write_atomic(path, "x", 1, k & 2, &e), QS_EINVAL);
        assert_non_null(strstr(e.msg, "not a regular file"));
        assert_int_equal(qs_file_check_output(path, k & 2, &e), QS_EINVAL);
        assert_int_equal(e.advice, QS_ADVISE_OTHER_OUTPUT);
    }
    assert_int_equal(stat(pipe_name, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
}

static void inputs_are_refused_by_any_name(void **state)
{
    (void)state;
    struct qs_err e;
    char read[300], hard[300], soft[300], other[300];
    snprintf(read, sizeof read, "%s", qs_test_file("read", "x", 1));
    snprintf(other, sizeof other, "%s", qs_test_file("other", "x", 1));
    snprintf(hard, sizeof hard, "%s", qs_test_tmp_path("read-hard"));
    snprintf(soft, sizeof soft, "%s", qs_test_tmp_path("read-soft"));
    assert_int_equal(link(read, hard), 0);
    assert_int_equal(symlink(hard, soft), 0);
    const struct qs_file_input in[] = { { NULL, "nothing" }, { "no/such/file", "nothing" }, { read, "the recipe" } };
    const char *const same[] = { read, hard, soft };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(qs_file_refuse_inputs(same[i], in, 3, &e), QS_EINVAL);
        assert_non_null(strstr(e.msg, "the recipe that is read"));
        assert_int_equal(e.advice, QS_ADVISE_OTHER_OUTPUT);
    }
    assert_int_equal(qs_file_refuse_inputs(other, in, 3, &e), QS_OK);
    assert_int_equal(qs_file_refuse_inputs("no/such/file", in, 3, &e), QS_OK);
}

static void new_files_follow_the_umask(void **state)
{
    (void)state;
    struct qs_err e;
    struct stat st;
    mode_t old = umask(027);
    const char *path = qs_test_tmp_path("masked");
    assert_int_equal(qs_file_write_atomic(path, "x", 1, true, &e), QS_OK);
    umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void links_stay_links(void **state)
{
    (void)state;
    struct qs_err e;
    struct stat st;
    const char *target = qs_test_file("target", "old", 3), *name = qs_test_tmp_path("link");
    assert_int_equal(symlink(target, name), 0);
    assert_int_equal(qs_file_write_atomic(name, "new", 3, true, &e), QS_OK);
    assert_int_equal(lstat(name, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_content(target, "new");
}

/* A write that the system refuses halfway (here: a bound on the size of files) leaves the old file and no scraps. */
static void failed_writes_leave_nothing(void **state)
{
    (void)state;
    const char *dir = qs_test_tmp_path("full"), *path = qs_test_tmp_path("full/file");
    struct qs_err e;
    qs_test_mkdirs(dir);
    assert_int_equal(qs_file_write_atomic(path, "kept", 4, true, &e), QS_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char big[1 << 20];
        struct rlimit limit = { 100000, 100000 };
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        int rc = qs_file_write_atomic(path, big, sizeof big, true, &e);
        _exit(rc == QS_ENOSPACE && strstr(e.msg, "97.7 KiB at most") && strstr(e.msg, "ulimit -f") ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect_content(path, "kept");
    assert_int_equal(names_in(dir), 1);
}

static void renames(void **state)
{
    (void)state;
    struct qs_err e;
    const char *a = qs_test_file("a", "A", 1), *b = qs_test_file("b", "B", 1), *c = qs_test_tmp_path("c");
    assert_int_equal(qs_file_rename(a, b, false, &e), QS_EEXISTS);
    expect_content(a, "A");
    expect_content(b, "B");
    assert_int_equal(qs_file_rename(a, c, false, &e), QS_OK);
    assert_false(qs_file_exists(a));
    expect_content(c, "A");
    assert_int_equal(qs_file_rename(c, b, true, &e), QS_OK);
    expect_content(b, "A");
    assert_int_equal(qs_file_rename(a, c, false, &e), QS_ENOTFOUND);
    assert_int_equal(qs_file_rename(a, c, true, &e), QS_ENOTFOUND);
    assert_int_equal(unlink(b), 0);
    /* A link to nowhere is a name that is taken. */
    const char *dangling = qs_test_tmp_path("dangling");
    assert_int_equal(symlink("nowhere", dangling), 0);
    assert_true(qs_file_exists(dangling));
    assert_int_equal(qs_file_write_atomic(dangling, "x", 1, false, &e), QS_EEXISTS);
}

static void reads_and_writes_at_offsets(void **state)
{
    (void)state;
    struct qs_err e;
    char buf[8];
    const char *path = qs_test_file("offsets", "0123456789", 10);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(qs_pread_all(fd, buf, 4, 3, path, &e), QS_OK);
    assert_memory_equal(buf, "3456", 4);
    assert_int_equal(qs_pwrite_all(fd, "xy", 2, 9, path, &e), QS_OK);
    expect_content(path, "012345678xy");
    assert_int_equal(qs_pread_all(fd, buf, 8, 7, path, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "offset 11"));
    assert_int_equal(qs_pread_all(fd, buf, 1, UINT64_MAX, path, &e), QS_EIO);
    assert_int_equal(qs_pwrite_all(fd, buf, 1, UINT64_MAX, path, &e), QS_EIO);
    assert_int_equal(qs_pread_all(fd, buf, 0, UINT64_MAX, path, &e), QS_OK);
    close(fd);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        assert_int_equal(qs_pwrite_all(fd, "x", 1, 0, "/dev/full", &e), QS_ENOSPACE);
        close(fd);
    }
}

static void stats(void **state)
{
    (void)state;
    struct qs_err e;
    struct qs_file_stat st, other;
    const char *path = qs_test_file("stat", "12345", 5);
    assert_int_equal(qs_file_stat(path, &st, &e), QS_OK);
    assert_int_equal(st.size, 5);
    assert_true(!st.is_dir && st.mtime_ns > 0);
    assert_int_equal(qs_file_stat(qs_test_tmp(), &other, &e), QS_OK);
    assert_true(other.is_dir && other.ino != st.ino);
    assert_int_equal(qs_file_stat(qs_test_tmp_path("none"), &st, &e), QS_ENOTFOUND);
}

static void locks_keep_others_out(void **state)
{
    (void)state;
    struct qs_err e;
    const char *path = qs_test_file("lock", "", 0);
    int fd = open(path, O_RDWR | O_CLOEXEC), second = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(qs_file_lock(fd, path, &e), QS_OK);
    assert_int_equal(qs_file_lock(fd, path, &e), QS_OK); /* again by the same holder */
    assert_int_equal(qs_file_lock(second, path, &e), QS_EBUSY);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int mine = open(path, O_RDWR | O_CLOEXEC);
        _exit(qs_file_lock(mine, path, &e) == QS_EBUSY && strstr(e.msg, "lock") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
    assert_int_equal(qs_file_lock(second, path, &e), QS_OK);
    close(second);
    assert_int_equal(qs_file_lock(-1, path, &e), QS_EIO);
}

static void free_space_of_places_to_be(void **state)
{
    (void)state;
    struct qs_err e;
    uint64_t here = 0, there = 0;
    assert_int_equal(qs_file_free_space(qs_test_tmp(), &here, &e), QS_OK);
    assert_true(here > 0);
    assert_int_equal(qs_file_free_space(qs_test_tmp_path("not/yet//there.gguf"), &there, &e), QS_OK);
    assert_true(there > 0);
    assert_int_equal(qs_file_free_space("no-such-file-here", &there, &e), QS_OK);
    assert_int_equal(qs_file_free_space(qs_test_file("plain", "", 0), &there, &e), QS_OK);
    assert_int_equal(qs_file_free_space(qs_test_tmp_path("plain/below"), &there, &e), QS_EIO);
}

static void paths(void **state)
{
    (void)state;
    static const struct { const char *path, *dir, *base; } table[] = {
        { "a/b", "a", "b" }, { "b", ".", "b" },   { "/b", "/", "b" },     { "a//b", "a", "b" },
        { "a/", "a", "" },   { "//b", "/", "b" }, { "/a/b/c", "/a/b", "c" }, { "", ".", "" },
    };
    struct qs_str s = QS_STR_INIT;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        qs_path_dir(table[i].path, &s);
        assert_string_equal(s.data, table[i].dir);
        assert_string_equal(qs_path_base(table[i].path), table[i].base);
    }
    qs_path_join("a", "b", &s);
    assert_string_equal(s.data, "a/b");
    qs_path_join(s.data, "c", &s);
    assert_string_equal(s.data, "a/b/c");
    qs_path_join("a/", "b", &s);
    assert_string_equal(s.data, "a/b");
    qs_path_join("", "b", &s);
    assert_string_equal(s.data, "b");
    qs_path_join("a", "/b", &s);
    assert_string_equal(s.data, "/b");
    qs_str_free(&s);
}

static void folders(void **state)
{
    (void)state;
    struct qs_err e;
    struct qs_str dir = QS_STR_INIT;
    assert_int_equal(setenv("XDG_CACHE_HOME", qs_test_tmp_path("x"), 1), 0);
    assert_int_equal(qs_xdg_dir("cache", "y//z/", &dir, &e), QS_OK);
    assert_int_equal(qs_xdg_dir("cache", "y/z", &dir, &e), QS_OK);
    assert_true(qs_file_exists(qs_test_tmp_path("x/quantscape/y/z")));
    qs_test_file("x/quantscape/plain", "", 0);
    assert_int_equal(qs_xdg_dir("cache", "plain", &dir, &e), QS_EIO);
    assert_int_equal(qs_xdg_dir("cache", "plain/below", &dir, &e), QS_EIO);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    qs_str_free(&dir);
}

static void xdg_places(void **state)
{
    (void)state;
    struct qs_err e;
    struct qs_str s = QS_STR_INIT;
    static const struct { const char *kind, *variable, *place; } table[] = {
        { "config", "XDG_CONFIG_HOME", ".config" },
        { "cache", "XDG_CACHE_HOME", ".cache" },
        { "state", "XDG_STATE_HOME", ".local/state" },
        { "data", "XDG_DATA_HOME", ".local/share" },
    };
    char home[4096], elsewhere[4096], expected[8300];
    (void)snprintf(home, sizeof home, "%s", qs_test_tmp_path("home"));
    (void)snprintf(elsewhere, sizeof elsewhere, "%s", qs_test_tmp_path("elsewhere"));
    setenv("HOME", home, 1);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        unsetenv(table[i].variable);
        (void)snprintf(expected, sizeof expected, "%s/%s/quantscape", home, table[i].place);
        assert_int_equal(qs_xdg_dir(table[i].kind, NULL, &s, &e), QS_OK);
        assert_string_equal(s.data, expected);
        struct stat st;
        assert_int_equal(stat(s.data, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        /* Relative and empty values are ignored, as the specification asks. */
        setenv(table[i].variable, "relative/place", 1);
        assert_int_equal(qs_xdg_dir(table[i].kind, "", &s, &e), QS_OK);
        assert_string_equal(s.data, expected);
        setenv(table[i].variable, "", 1);
        assert_int_equal(qs_xdg_dir(table[i].kind, NULL, &s, &e), QS_OK);
        assert_string_equal(s.data, expected);
        setenv(table[i].variable, elsewhere, 1);
        assert_int_equal(qs_xdg_dir(table[i].kind, "runs/one", &s, &e), QS_OK);
        (void)snprintf(expected, sizeof expected, "%s/quantscape/runs/one", elsewhere);
        assert_string_equal(s.data, expected);
        assert_true(qs_file_exists(s.data));
    }
    assert_int_equal(qs_xdg_dir("attic", NULL, &s, &e), QS_EINVAL);
    setenv("XDG_DATA_HOME", qs_test_file("in-the-way", "", 0), 1);
    assert_int_equal(qs_xdg_dir("data", NULL, &s, &e), QS_EIO);
    unsetenv("XDG_DATA_HOME");
    qs_str_free(&s);
}

static int write_and_read(void *ctx, struct qs_err *e)
{
    (void)ctx;
    struct qs_str s = QS_STR_INIT;
    char *data = NULL;
    size_t n;
    int rc = qs_xdg_dir("state", "alloc/test", &s, e);
    if (!rc) {
        qs_path_join(s.data, "file", &s);
        rc = s.failed ? qs_fail_mem(e, 0, "a path") : qs_file_write_atomic(s.data, "abc", 3, true, e);
    }
    if (!rc)
        rc = qs_file_read(s.data, 3, &data, &n, e);
    uint64_t space;
    if (!rc)
        rc = qs_file_free_space(s.data, &space, e);
    qs_free(data);
    qs_str_free(&s);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    setenv("XDG_STATE_HOME", qs_test_tmp_path("state"), 1);
    qs_test_each_alloc(write_and_read, NULL);
    unsetenv("XDG_STATE_HOME");
    assert_int_equal(names_in(qs_test_tmp_path("state/quantscape/alloc/test")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_whole_files),
        cmocka_unit_test(waits_for_nobody_unless_asked_to),        cmocka_unit_test(writes_whole_or_not_at_all),
        cmocka_unit_test(special_files_are_kept),
        cmocka_unit_test(inputs_are_refused_by_any_name),
        cmocka_unit_test(new_files_follow_the_umask), cmocka_unit_test(links_stay_links),
        cmocka_unit_test(failed_writes_leave_nothing), cmocka_unit_test(renames),
        cmocka_unit_test(reads_and_writes_at_offsets), cmocka_unit_test(stats),
        cmocka_unit_test(locks_keep_others_out),    cmocka_unit_test(free_space_of_places_to_be),
        cmocka_unit_test(paths),                    cmocka_unit_test(folders),
        cmocka_unit_test(xdg_places),               cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
