/* test_progress.c - the progress line, and the life of a job under qs_progress_watch. */
#include "tests/lib/qs_test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "src/progress.h"

static struct qs_job_status status(void)
{
    struct qs_job_status s;
    memset(&s, 0, sizeof s);
    s.state = QS_JOB_RUNNING;
    memcpy(s.phase, "encode", 7);
    memcpy(s.unit, "weights", 8);
    snprintf(s.item, sizeof s.item, "blk.3.ffn_down.weight -> Q6_K");
    s.done = 3910000;
    s.total = 8900000;
    s.rate = 12.3e6;
    s.eta = 4;
    s.memory = 45u << 20;
    s.error = 0.0312;
    return s;
}

static void expect(const struct qs_job_status *s, unsigned width, const char *part)
{
    struct qs_str line = QS_STR_INIT;
    qs_progress_line(s, width, false, &line);
    assert_false(line.failed);
    if (!strstr(line.data, part))
        fail_msg("\"%s\" is not in \"%s\"", part, line.data);
    qs_str_free(&line);
}

static void test_line(void **state)
{
    struct qs_job_status s = status();
    (void)state;
    expect(&s, 200, "encode  44%  3.91 M of 8.90 M weights  12.3 M weights/s  ETA 4.0 s  memory 45.0 MiB  "
                    "error so far 3.12%  blk.3.ffn_down.weight -> Q6_K");
    expect(&s, 119, "encode  44%  3.91 M of 8.90 M  12.3 M weights/s  ETA 4.0 s  memory 45.0 MiB  "
                    "error so far 3.12%  blk.3.ffn_down Q6_K");
    s.state = QS_JOB_PAUSED;
    expect(&s, 200, "paused");
    s.done = 9000000; /* never more than all */
    expect(&s, 200, "100%");
    s.total = 0;
    expect(&s, 200, "paused  9.00 M weights");
    memcpy(s.unit, "bytes", 6);
    s.done = 3u << 20;
    expect(&s, 200, "3.00 MiB");
}

static void expect_whole(const struct qs_job_status *s, unsigned width, const char *want)
{
    struct qs_str line = QS_STR_INIT;
    qs_progress_line(s, width, true, &line);
    assert_string_equal(line.data, want);
    qs_str_free(&line);
}

static void expect_line(unsigned width, const char *want)
{
    const struct qs_job_status s = status();
    expect_whole(&s, width, want);
}

/* Short words, then a shorter name, then whole parts: nothing is cut in the middle but a name. */
static void test_narrow(void **state)
{
    (void)state;
    expect_line(110, "encode  44%  12.3 M weights/s  ETA 4.0 s  memory 45.0 MiB  error so far 3.12%  blk.3.ffn_down.weight -> Q6_K");
    expect_line(81, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%  blk.3.ffn_down Q6_K");
    expect_line(79, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%  blk.3...down Q6_K");
    expect_line(72, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%");
    expect_line(58, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB");
    expect_line(45, "encode 44%  12.3 M weights/s  ETA 4.0 s");
    expect_line(30, "encode 44%  12.3 M weights/s");
    expect_line(20, "encode 44%");
}

/* The item of a tensor that is being written says its own error, which goes before the name is cut. */
static void test_item_with_error(void **state)
{
    struct qs_job_status s = status();
    (void)state;
    snprintf(s.item, sizeof s.item, "blk.3.ffn_down.weight -> Q6_K 7.17%%");
    expect_whole(&s, 119, "encode  44%  12.3 M weights/s  ETA 4.0 s  memory 45.0 MiB  error so far 3.12%  "
                          "blk.3.ffn_down.weight -> Q6_K 7.17%");
    expect_whole(&s, 87, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%  blk.3.ffn_down Q6_K 7.17%");
    expect_whole(&s, 86, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%  blk.3.ffn_down Q6_K");
    expect_whole(&s, 79, "encode 44%  12.3 M weights/s  ETA 4.0 s  45.0 MiB  err 3.12%  blk.3...down Q6_K");
    s.eta = 700; /* no room for ten characters of the name: none of it */
    expect_whole(&s, 79, "encode 44%  12.3 M weights/s  ETA 11 min 40 s  45.0 MiB  err 3.12%");
    s.error = 0.00001;
    expect_whole(&s, 200, "encode  44%  3.91 M of 8.90 M weights  12.3 M weights/s  ETA 11 min 40 s  memory 45.0 MiB  "
                          "error so far <0.01%  blk.3.ffn_down.weight -> Q6_K 7.17%");
}

/* Whatever allocation fails, the line is whole or says that it is not. */
static void test_no_memory(void **state)
{
    const struct qs_job_status s = status();
    struct qs_str whole = QS_STR_INIT;
    bool failed = true;
    (void)state;
    qs_progress_line(&s, 79, true, &whole);
    for (unsigned n = 1; failed; n++) {
        struct qs_str line = QS_STR_INIT;
        qs_mem_fail_after(n);
        qs_progress_line(&s, 79, true, &line);
        qs_mem_fail_after(0);
        failed = line.failed;
        assert_true(n > 1 || failed);
        if (!failed)
            assert_string_equal(line.data, whole.data);
        qs_str_free(&line);
    }
    qs_str_free(&whole);
}

static void test_width(void **state)
{
    struct qs_job_status s = status();
    (void)state;
    memcpy(s.item, "caf\xc3\xa9 \xe6\xa8\xa1\xe5\x9e\x8b \x1b[31m", 19);
    for (unsigned width = 1; width < 140; width++) {
        struct qs_str line = QS_STR_INIT;
        qs_progress_line(&s, width, width % 2, &line);
        assert_true(qs_utf8_width(line.data, line.len) <= width);
        assert_int_equal(qs_utf8_invalid_at(line.data, line.len), line.len);
        assert_null(strchr(line.data, '\x1b'));
        for (const char *p = line.data; width % 2 && *p; p++)
            assert_true((unsigned char)*p < 0x80);
        qs_str_free(&line);
    }
}

/* Work without end that presses Ctrl-C itself, once the watcher listens. */
static int endless(struct qs_job *job, void *ctx, struct qs_err *e)
{
    const struct timespec pause = { 0, 1000000 };
    struct sigaction now;
    int rc = QS_OK;
    (void)ctx;
    qs_job_phase(job, "turn", "turns", 0);
    do {
        nanosleep(&pause, NULL);
        sigaction(SIGINT, NULL, &now);
    } while (now.sa_handler == SIG_DFL);
    assert_int_equal(kill(getpid(), SIGINT), 0);
    while (rc == QS_OK) {
        nanosleep(&pause, NULL);
        rc = qs_job_step(job, 1, e);
    }
    return rc;
}

static void test_interrupt(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_job *job = NULL;
    struct sigaction now;
    (void)state;
    signal(SIGINT, SIG_DFL);
    assert_int_equal(qs_job_start("turn", endless, NULL, -1, &job, &e), QS_OK);
    qs_progress_watch(job, true);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    sigaction(SIGINT, NULL, &now);
    assert_true(now.sa_handler == SIG_DFL); /* put back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line), cmocka_unit_test(test_narrow), cmocka_unit_test(test_item_with_error),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_width), cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
