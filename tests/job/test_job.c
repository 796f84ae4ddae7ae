/* test_job.c - jobs: progress, pause, cancel, results, watchers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "core/job/job.h"

static void nap(double seconds)
{
    const struct timespec t = { .tv_nsec = (long)(seconds * 1e9) };
    nanosleep(&t, NULL);
}

struct count { atomic_uint steps; unsigned want; double each; };

static int counting(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct count *c = ctx;
    qs_job_phase(job, "count", "steps", c->want);
    for (unsigned i = 0; i < c->want; i++) {
        qs_job_item(job, "step %u", i);
        if (c->each > 0)
            nap(c->each);
        atomic_fetch_add(&c->steps, 1);
        const int rc = qs_job_step(job, 1, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static void test_runs_to_the_end(void **state)
{
    (void)state;
    struct count c = { .want = 10 };
    struct qs_job *job;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("count to ten", counting, &c, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_status(job, &st);
    assert_int_equal(st.state, QS_JOB_DONE);
    assert_int_equal(st.done, 10);
    assert_int_equal(st.total, 10);
    assert_string_equal(st.title, "count to ten");
    assert_string_equal(st.phase, "count");
    assert_string_equal(st.unit, "steps");
    assert_string_equal(st.item, "step 9");
    assert_true(qs_job_wait_for(job, 0));
    qs_job_free(job);
}

static void test_pause_holds_and_cancel_ends_it(void **state)
{
    (void)state;
    struct count c = { .want = 1000000, .each = 0.001 };
    struct qs_job *job;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("long", counting, &c, -1, &job, &e), QS_OK);
    while (atomic_load(&c.steps) < 3)
        nap(0.001);
    qs_job_pause(job, true);
    do {
        nap(0.001);
        qs_job_status(job, &st);
    } while (st.state != QS_JOB_PAUSED);
    const unsigned held = atomic_load(&c.steps);
    const double elapsed = st.elapsed;
    nap(0.05);
    qs_job_status(job, &st);
    assert_int_equal(atomic_load(&c.steps), held);
    assert_true(st.elapsed == elapsed); /* pauses are left out */
    assert_false(qs_job_wait_for(job, 0.01));
    qs_job_pause(job, false);
    while (atomic_load(&c.steps) < held + 3)
        nap(0.001);
    qs_job_pause(job, true);
    qs_job_cancel(job); /* also ends a pause */
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    assert_int_equal(e.code, QS_ECANCELLED);
    qs_job_status(job, &st);
    assert_int_equal(st.state, QS_JOB_CANCELLED);
    assert_true(st.done < st.total);
    qs_job_free(job);
}

static int failing(struct qs_job *job, void *ctx, struct qs_err *e)
{
    (void)ctx;
    qs_job_phase(job, "fail", "steps", 0);
    return qs_fail(e, QS_EFORMAT, "file x: field y is wrong");
}

static void test_failure_is_told(void **state)
{
    (void)state;
    struct qs_job *job;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("fails", failing, NULL, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_EFORMAT);
    assert_string_equal(e.msg, "file x: field y is wrong");
    qs_job_status(job, &st);
    assert_int_equal(st.state, QS_JOB_FAILED);
    assert_string_equal(st.err.msg, "file x: field y is wrong");
    qs_job_free(job);
}

static int skipping(struct qs_job *job, void *ctx, struct qs_err *e)
{
    (void)ctx;
    qs_job_phase(job, "resume", "bytes", 1000);
    qs_job_skip(job, 900);
    nap(0.2);
    return qs_job_step(job, 100, e);
}

static int work_of_phases(struct qs_job *job, void *ctx, struct qs_err *e)
{
    (void)ctx;
    qs_job_phase(job, "first", "bytes", 100);
    qs_job_later(job, 1000);
    for (int i = 0; i < 20; i++) {
        const int rc = qs_job_step(job, 1, e);
        if (rc)
            return rc;
        poll(NULL, 0, 5);
    }
    qs_job_pause(job, true);
    return qs_job_step(job, 1, e);
}

/* What was foretold of later phases is a part of the time left. */
static void test_later_work_is_in_the_eta(void **state)
{
    (void)state;
    struct qs_job *job = NULL;
    struct qs_job_status st = { .state = QS_JOB_RUNNING };
    assert_int_equal(qs_job_start("phases", work_of_phases, NULL, -1, &job, NULL), QS_OK);
    while (st.state != QS_JOB_PAUSED) {
        poll(NULL, 0, 2);
        qs_job_status(job, &st);
    }
    assert_true(st.eta > 1000 && st.eta < 1000 + 100);
    qs_job_cancel(job);
    qs_job_free(job);
}

static void test_skipped_work_is_not_in_the_rate(void **state)
{
    (void)state;
    struct qs_job *job;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("resume", skipping, NULL, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_status(job, &st);
    assert_int_equal(st.done, 1000);
    assert_true(st.rate > 0);
    assert_true(st.rate <= 100 / 0.19); /* 100 bytes in at least 0.2 s; with the skipped ones it would be 5000 */
    qs_job_free(job);
}

static void test_watcher_is_woken_at_the_end(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
    struct count c = { .want = 100000 }; /* far more changes than the pipe must hold bytes */
    struct qs_job *job;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("wake", counting, &c, fd[1], &job, &e), QS_OK);
    struct qs_job_status st;
    size_t woken = 0;
    do {
        char b;
        assert_int_equal(read(fd[0], &b, 1), 1); /* blocks for ever if the end does not wake */
        woken++;
        qs_job_status(job, &st);
    } while (st.state == QS_JOB_RUNNING);
    assert_true(woken >= 1);
    assert_true((double)woken <= 40 + 31 * st.elapsed); /* about 30 a second, state changes apart */
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_free(job);
    close(fd[0]);
    close(fd[1]);
}

static void test_free_cancels(void **state)
{
    (void)state;
    struct count c = { .want = UINT32_MAX, .each = 0.001 };
    struct qs_job *job;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("abandoned", counting, &c, -1, &job, &e), QS_OK);
    qs_job_free(job); /* must come back */
    const unsigned now = atomic_load(&c.steps);
    nap(0.02);
    assert_int_equal(atomic_load(&c.steps), now);
}

static void test_no_job_is_fine(void **state)
{
    (void)state;
    qs_job_phase(NULL, "x", "y", 1);
    qs_job_item(NULL, "%d", 1);
    qs_job_error(NULL, 0);
    qs_job_skip(NULL, 1);
    assert_int_equal(qs_job_step(NULL, 1, NULL), QS_OK);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct qs_job *job = NULL;
    struct qs_err e = QS_ERR_INIT;
    qs_mem_fail_after(1);
    const int rc = qs_job_start("x", failing, NULL, -1, &job, &e);
    qs_mem_fail_after(0);
    assert_int_equal(rc, QS_ENOMEM);
    assert_null(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_to_the_end),
        cmocka_unit_test(test_pause_holds_and_cancel_ends_it),
        cmocka_unit_test(test_failure_is_told),
        cmocka_unit_test(test_skipped_work_is_not_in_the_rate),
        cmocka_unit_test(test_later_work_is_in_the_eta),
        cmocka_unit_test(test_watcher_is_woken_at_the_end),
        cmocka_unit_test(test_free_cancels),
        cmocka_unit_test(test_no_job_is_fine),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
