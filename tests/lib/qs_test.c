/* qs_test.c - what the tests of every room share. See qs_test.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/lib/qs_test.h"

#define TRIALS_MAX 2000

static char *next_buffer(void)
{
    static char ring[16][PATH_MAX];
    static unsigned turn;
    return ring[turn++ % 16];
}

static const char *join(const char *dir, const char *rel)
{
    char *out = next_buffer();
    (void)snprintf(out, PATH_MAX, "%s/%s", dir, rel);
    return out;
}

const char *qs_test_src(const char *rel)
{
    const char *dir = getenv("QS_SRCDIR");
    return join(dir && dir[0] ? dir : ".", rel);
}

static const char *data_path(const char *rel)
{
    const char *dir = getenv("QS_TEST_DATA");
    if (dir && dir[0])
        return join(dir, rel);
    char beside[PATH_MAX]; /* a path of its own: what is joined must not lie in the ring that takes the result */
    (void)snprintf(beside, sizeof beside, "%s", qs_test_src("../shared"));
    return join(beside, rel);
}

bool qs_test_has_data(const char *rel)
{
    return access(data_path(rel), R_OK) == 0;
}

const char *qs_test_data(const char *rel)
{
    const char *path = data_path(rel), *ci = getenv("CI");
    if (access(path, R_OK) == 0)
        return path;
    bool must = ci && strcmp(ci, "true") == 0;
    (void)fprintf(stderr, "%s: test data '%s' is missing\n", must ? "FAILED" : "skipped", path);
    exit(must ? 1 : 77);
}

static char tmp_dir[PATH_MAX];
static pid_t tmp_owner;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_tmp(void)
{
    if (getpid() == tmp_owner) /* not in a child */
        (void)nftw(tmp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *qs_test_tmp(void)
{
    if (tmp_owner)
        return tmp_dir;
    const char *base = getenv("TMPDIR");
    (void)snprintf(tmp_dir, sizeof tmp_dir, "%s/qs-test.XXXXXX", base && base[0] == '/' ? base : "/tmp");
    if (!mkdtemp(tmp_dir)) {
        (void)fprintf(stderr, "cannot make a temporary folder '%s': %s\n", tmp_dir, strerror(errno));
        exit(99);
    }
    tmp_owner = getpid();
    (void)atexit(remove_tmp);
    return tmp_dir;
}

const char *qs_test_tmp_path(const char *name)
{
    return join(qs_test_tmp(), name);
}

bool qs_test_home(void)
{
    static const char *const homes[] = {
        "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"
    };
    static const char *const gone[] = {
        "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE"
    };
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        setenv(homes[i], qs_test_tmp(), 1);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        unsetenv(gone[i]);
    return chdir(qs_test_tmp()) == 0;
}

void qs_test_write(const char *path, const void *data, size_t n)
{
    const char *p = data;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        assert_true(put > 0);
        p += put;
        n -= (size_t)put;
    }
    assert_int_equal(close(fd), 0);
}

const char *qs_test_file(const char *name, const void *data, size_t n)
{
    const char *path = qs_test_tmp_path(name);
    qs_test_write(path, data, n);
    return path;
}

void qs_test_mkdirs(const char *path)
{
    char part[PATH_MAX];
    const size_t n = strlen(path);
    assert_true(n < sizeof part);
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || !path[i]) {
            memcpy(part, path, i);
            part[i] = 0;
            assert_true(mkdir(part, 0777) == 0 || errno == EEXIST);
        }
}

void qs_test_each_alloc(qs_test_body *body, void *ctx)
{
    struct qs_err e = QS_ERR_INIT;
    /* The first run may fill caches that live on; the second is the one that is measured. */
    for (int run = 0; run < 2; run++)
        if (body(ctx, &e) != QS_OK)
            fail_msg("without failing allocations: %s", e.msg);
    uint64_t held = qs_mem_in_use(), count = qs_mem_count();
    assert_int_equal(body(ctx, &e), QS_OK);
    count = qs_mem_count() - count;
    assert_true(count > 0);
    uint64_t step = count / TRIALS_MAX + 1, refused = 0;
    for (uint64_t nth = 1; nth <= count; nth += step) {
        e = (struct qs_err)QS_ERR_INIT;
        qs_mem_fail_after(nth);
        int rc = body(ctx, &e);
        qs_mem_fail_after(0);
        if (rc != QS_OK && rc != QS_ENOMEM)
            fail_msg("allocation %llu of %llu failing: code %s, \"%s\"", (unsigned long long)nth,
                     (unsigned long long)count, qs_code_name((enum qs_code)rc), e.msg);
        if (rc == QS_ENOMEM && (e.code != QS_ENOMEM || e.msg[0] == 0))
            fail_msg("allocation %llu of %llu failing: no message", (unsigned long long)nth, (unsigned long long)count);
        if (qs_mem_in_use() != held)
            fail_msg("allocation %llu of %llu failing: %lld bytes are left behind", (unsigned long long)nth,
                     (unsigned long long)count, (long long)(qs_mem_in_use() - held));
        refused += rc == QS_ENOMEM;
    }
    assert_true(refused > 0);
}
