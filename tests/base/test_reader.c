/* test_reader.c - the bounded reader: values, windows, bounds, hostile lengths, files that change. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/reader.h"
#include "tests/lib/qs_test.h"

static const uint8_t sample[] = { 0x01, 0x02, 0x03, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4, 5, 6, 7, 0x88,
                                  0,    0,    0,    0,    0,    0,    0x04, 0xC0, 'e', 'n', 'd' };

static void check_sample(struct qs_reader *r)
{
    const uint8_t *p = qs_reader_bytes(r, 3, "a");
    assert_non_null(p);
    assert_memory_equal(p, "\1\2\3", 3);
    assert_int_equal(qs_reader_u32(r, "c"), 0x44332211);
    assert_true(qs_reader_u64(r, "d") == 0x8807060504030201u);
    assert_true(qs_reader_f64(r, "f") < -2.49);
    p = qs_reader_bytes(r, 3, "g");
    assert_non_null(p);
    assert_memory_equal(p, "end", 3);
    assert_int_equal(r->err.code, QS_OK);
    assert_false(qs_reader_has(r, 1));
    assert_true(qs_reader_has(r, 0));
    assert_int_equal(qs_reader_u32(r, "the field past the end"), 0);
    assert_int_equal(r->err.code, QS_EFORMAT);
    assert_non_null(strstr(r->err.msg, "the field past the end"));
    char offset[40];
    (void)snprintf(offset, sizeof offset, "offset %zu", sizeof sample);
    assert_non_null(strstr(r->err.msg, offset));
    struct qs_err first = r->err;
    assert_int_equal(qs_reader_fail(r, QS_EIO, "later"), QS_EFORMAT);
    assert_int_equal(qs_reader_u32(r, "x"), 0);
    assert_null(qs_reader_bytes(r, 0, "x"));
    assert_string_equal(r->err.msg, first.msg);
}

static void values_from_memory_and_file(void **state)
{
    (void)state;
    struct qs_reader r;
    struct qs_err e;
    qs_reader_open_mem(&r, sample, sizeof sample);
    check_sample(&r);
    assert_null(qs_reader_take(&r));
    qs_reader_close(&r);
    int fd = open(qs_test_file("sample", sample, sizeof sample), O_RDONLY | O_CLOEXEC);
    assert_int_equal(qs_reader_open_fd(&r, fd, 0, &e), QS_OK);
    check_sample(&r);
    assert_int_equal(r.bytes_read, sizeof sample);
    uint8_t *window = qs_reader_take(&r);
    assert_memory_equal(window, sample, sizeof sample);
    qs_free(window);
    qs_reader_close(&r);
    close(fd);
}

/* A file of 3 MiB whose 4-byte words count up. */
static int open_large(void)
{
    static uint32_t words[3 << 18];
    for (uint32_t i = 0; i < 3 << 18; i++)
        words[i] = i;
    int fd = open(qs_test_file("large", words, sizeof words), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void the_window_grows_in_steps(void **state)
{
    (void)state;
    struct qs_reader r;
    struct qs_err e;
    int fd = open_large();
    assert_int_equal(qs_reader_open_fd(&r, fd, 0, &e), QS_OK);
    assert_int_equal(r.bytes_read, 0);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(qs_reader_u32(&r, "word"), i);
    assert_int_equal(r.bytes_read, 64 << 10);
    for (uint32_t i = 5000; i < 3 << 18; i++)
        if (qs_reader_u32(&r, "word") != i)
            fail_msg("word %u", i);
    assert_int_equal(r.bytes_read, 3 << 20);
    qs_reader_close(&r);
    /* Moving on reads nothing; what comes behind is right; going back inside the window is free. */
    assert_int_equal(qs_reader_open_fd(&r, fd, 0, &e), QS_OK);
    r.pos = (2 << 20) + 4;
    assert_int_equal(r.bytes_read, 0);
    assert_int_equal(qs_reader_u32(&r, "word"), (2 << 18) + 1);
    r.pos = 400;
    assert_int_equal(qs_reader_u32(&r, "word"), 100);
    qs_reader_close(&r);
    close(fd);
}

static void the_limit_holds(void **state)
{
    (void)state;
    struct qs_reader r;
    struct qs_err e;
    int fd = open_large();
    assert_int_equal(qs_reader_open_fd(&r, fd, 1002, &e), QS_OK);
    assert_int_equal(r.limit, 1002);
    assert_int_equal(r.size, 3 << 20);
    assert_non_null(qs_reader_bytes(&r, 1000, "head"));
    assert_int_equal(r.bytes_read, 1002);
    assert_false(qs_reader_has(&r, 3));
    assert_true(qs_reader_has(&r, 2));
    assert_int_equal(qs_reader_u32(&r, "count"), 0);
    assert_int_equal(r.err.code, QS_ELIMIT);
    assert_non_null(strstr(r.err.msg, "count"));
    assert_non_null(strstr(r.err.msg, "1002"));
    assert_non_null(strstr(r.err.msg, "offset 1000"));
    qs_reader_close(&r);
    assert_int_equal(qs_reader_open_fd(&r, fd, UINT64_MAX, &e), QS_OK);
    assert_int_equal(r.limit, 3 << 20);
    qs_reader_close(&r);
    close(fd);
}

static void hostile_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 8, (uint64_t)1 << 63, 23,
                                        SIZE_MAX / 2 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct qs_reader r;
        uint64_t count = qs_mem_count();
        qs_reader_open_mem(&r, sample, sizeof sample);
        qs_reader_u64(&r, "head");
        assert_false(qs_reader_has(&r, lengths[i]));
        assert_int_equal(r.err.code, QS_OK);
        assert_null(qs_reader_bytes(&r, lengths[i], "length"));
        assert_int_equal(r.err.code, QS_EFORMAT);
        assert_int_equal(r.pos, 8);
        assert_int_equal(qs_mem_count(), count); /* nothing is allocated for it */
        qs_reader_close(&r);
    }
    struct qs_reader r;
    qs_reader_open_mem(&r, sample, sizeof sample);
    r.pos = UINT64_MAX - 2; /* a cursor set from a hostile offset */
    assert_int_equal(qs_reader_u64(&r, "far"), 0);
    assert_int_equal(r.err.code, QS_EFORMAT);
    qs_reader_close(&r);
    qs_reader_open_mem(&r, NULL, 0);
    assert_non_null(qs_reader_bytes(&r, 0, "nothing"));
    assert_int_equal(qs_reader_u32(&r, "byte"), 0);
    assert_int_equal(r.err.code, QS_EFORMAT);
    qs_reader_close(&r);
}

static void a_file_that_shrinks(void **state)
{
    (void)state;
    struct qs_reader r;
    struct qs_err e;
    int fd = open_large();
    assert_int_equal(qs_reader_open_fd(&r, fd, 0, &e), QS_OK);
    assert_int_equal(qs_reader_u32(&r, "word"), 0);
    assert_int_equal(ftruncate(fd, 100000), 0);
    /* Still there: more than the window has, less than the cut. */
    r.pos = 70000;
    assert_int_equal(qs_reader_u32(&r, "word"), 17500);
    assert_null(qs_reader_bytes(&r, 200000, "metadata value"));
    assert_int_equal(r.err.code, QS_EIO);
    assert_non_null(strstr(r.err.msg, "cut short"));
    assert_non_null(strstr(r.err.msg, "metadata value"));
    qs_reader_close(&r);
    close(fd);
}

static void not_a_file(void **state)
{
    (void)state;
    struct qs_reader r;
    struct qs_err e = QS_ERR_INIT;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(qs_reader_open_fd(&r, ends[0], 0, &e), QS_EINVAL);
    qs_reader_close(&r);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(qs_reader_open_fd(&r, -1, 0, &e), QS_EIO);
    qs_reader_close(&r);
}

static int read_all(void *ctx, struct qs_err *e)
{
    struct qs_reader r;
    int rc = qs_reader_open_fd(&r, *(int *)ctx, 0, e);
    while (!rc && qs_reader_has(&r, 4))
        qs_reader_u32(&r, "word");
    if (!rc && r.err.code) {
        *e = r.err;
        rc = (int)e->code;
    }
    qs_reader_close(&r);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    int fd = open_large();
    qs_test_each_alloc(read_all, &fd);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_from_memory_and_file), cmocka_unit_test(the_window_grows_in_steps),
        cmocka_unit_test(the_limit_holds),             cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(a_file_that_shrinks),         cmocka_unit_test(not_a_file),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
