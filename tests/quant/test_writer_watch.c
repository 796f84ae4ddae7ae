/* test_writer_watch.c - watching a run of the writer: states, shares and errors, during the run, after it, and of runs that
 * go on. The disk is made to fail at a counted call of fdatasync, so that every run ends at the same place. */
#include "tests/lib/qs_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "core/quant/writer.h"
#include "tests/model/make_model.h"

static atomic_int syncs, sync_limit = -1; /* calls so far, and how many succeed; -1: all */

int fdatasync(int fd)
{
    const int n = atomic_fetch_add(&syncs, 1), limit = atomic_load(&sync_limit);
    if (limit >= 0 && n >= limit) {
        errno = EIO;
        return -1;
    }
    return fsync(fd);
}

struct bench {
    struct qs_model *model;
    struct qs_recipe *recipe;
    struct qs_plan *plan;
    struct qs_pool *pool;
    struct qs_writer_watch *watch;
    struct qs_writer_args args;
    struct qs_writer_result *result;
    char out[512];
};

static char source[512]; /* its embeddings are three slices, encoded */

static int setup(void **state)
{
    static struct bench b;
    static const char recipe[] = "preset = Q8_0\npin blk.0.attn_q.weight = F16\n";
    const struct qs_plan_args args = { 0 };
    struct qs_err e = QS_ERR_INIT;
    memset(&b, 0, sizeof b);
    snprintf(b.out, sizeof b.out, "%s", qs_test_tmp_path("out.gguf"));
    if (qs_model_open(source, &b.model, &e) || qs_recipe_parse("r", recipe, sizeof recipe - 1, &b.recipe, &e) ||
        qs_plan_make(b.model, b.recipe, &args, &b.plan, &e) || qs_pool_new(2, &b.pool, &e) ||
        qs_writer_watch_new(b.plan->n, &b.watch, &e)) {
        print_error("%s\n", e.msg);
        return 1;
    }
    b.args = (struct qs_writer_args){ .path = b.out, .watch = b.watch, .sync_bytes = 1 };
    atomic_store(&sync_limit, -1);
    atomic_store(&syncs, 0);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    qs_writer_result_free(b->result);
    qs_writer_watch_free(b->watch);
    qs_pool_free(b->pool);
    qs_plan_free(b->plan);
    qs_recipe_free(b->recipe);
    qs_model_close(b->model);
    unlink(b->out);
    return 0;
}

static int run(struct bench *b, int limit)
{
    struct qs_err e = QS_ERR_INIT;
    atomic_store(&syncs, 0);
    atomic_store(&sync_limit, limit);
    qs_writer_result_free(b->result);
    b->result = NULL;
    const int rc = qs_writer_run(b->plan, &b->args, b->pool, NULL, &b->result, &e);
    if (rc && limit < 0)
        fail_msg("%s", e.msg);
    return rc;
}

static struct qs_writer_watched get(const struct bench *b, size_t i)
{
    struct qs_writer_watched x;
    assert_true(qs_writer_watch_get(b->watch, i, &x));
    return x;
}

/* The watch says what the result says, to the last bit. */
static void check_end(const struct bench *b)
{
    struct qs_writer_totals t;
    size_t n[QS_WRITER_STATES] = { 0 };
    for (size_t i = 0; i < b->plan->n; i++) {
        const struct qs_writer_watched x = get(b, i);
        assert_memory_equal(&x.sums, &b->result->tensor[i].sums, sizeof x.sums);
        assert_true(x.done == 1);
        n[x.state]++;
    }
    qs_writer_watch_totals(b->watch, &t);
    assert_memory_equal(&t.sums, &b->result->total, sizeof t.sums);
    assert_memory_equal(t.n, n, sizeof n);
    assert_int_equal(n[QS_WRITER_WAITING] + n[QS_WRITER_WORKING], 0);
}

static void test_whole_run(void **state)
{
    struct bench *b = *state;
    struct qs_writer_totals t;
    struct qs_writer_watched x;
    qs_writer_watch_totals(b->watch, &t);
    assert_int_equal(t.n[QS_WRITER_WAITING], b->plan->n);
    const uint64_t version = t.version;
    assert_int_equal(run(b, -1), QS_OK);
    check_end(b);
    qs_writer_watch_totals(b->watch, &t);
    assert_true(t.version > version + b->plan->n);
    for (size_t i = 0; i < b->plan->n; i++)
        assert_int_equal(get(b, i).state, b->plan->enc[i].copy ? QS_WRITER_COPIED : QS_WRITER_DONE);
    assert_true(b->result->total.n > 0 && b->plan->enc[0].tensor->n > 3000000);
    assert_false(qs_writer_watch_get(b->watch, b->plan->n, &x));
}

static void test_other_number_is_refused(void **state)
{
    struct bench *b = *state;
    struct qs_writer_watch *few = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_writer_watch_new(3, &few, &e), QS_OK);
    b->args.watch = few;
    assert_int_equal(qs_writer_run(b->plan, &b->args, b->pool, NULL, &b->result, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "watched for 3 tensors"));
    assert_false(qs_file_exists(b->out));
    qs_writer_watch_free(few);
    qs_writer_watch_free(NULL);
}

/* Stopped after the second slice of the first tensor, then in the middle, then before the renames: each run says at once
 * what the one before has left. */
static void test_runs_that_go_on(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(b, 2), QS_EIO);
    struct qs_writer_watched x = get(b, 0);
    assert_true(x.done > 0 && (x.state == QS_WRITER_WORKING || x.state == QS_WRITER_DONE));
    assert_int_equal(run(b, -1), QS_OK);
    check_end(b);
    assert_int_equal(get(b, 0).state, QS_WRITER_DONE); /* one slice of it was made now */
    assert_true(b->result->resumed_bytes > 0);
    const int all = atomic_load(&syncs) + 2;
    assert_int_equal(unlink(b->out), 0);

    assert_int_equal(run(b, 6), QS_EIO);
    assert_int_equal(run(b, 0), QS_EIO); /* nothing comes of this run: all it knows is what the first left */
    assert_int_equal(get(b, 0).state, QS_WRITER_RESUMED);
    assert_true(get(b, 0).done == 1 && get(b, 0).sums.n == b->plan->enc[0].tensor->n);
    assert_int_equal(get(b, b->plan->n - 1).state, QS_WRITER_WAITING);
    assert_int_equal(run(b, -1), QS_OK);
    check_end(b);
    struct qs_writer_totals t;
    qs_writer_watch_totals(b->watch, &t);
    assert_true(t.n[QS_WRITER_RESUMED] >= 3 && t.n[QS_WRITER_DONE] > 0 && t.n[QS_WRITER_COPIED] > 0);
    assert_int_equal(unlink(b->out), 0);

    assert_int_equal(run(b, all - 1), QS_EIO); /* the last call of all makes the journal's last word durable */
    assert_int_equal(run(b, -1), QS_OK);
    check_end(b);
    qs_writer_watch_totals(b->watch, &t);
    assert_int_equal(t.n[QS_WRITER_RESUMED], b->plan->n);
}

/* ---- seen from another thread ---- */

struct looker {
    struct bench *b;
    atomic_bool stop;
    unsigned looks, wrong;
};

static void *look(void *arg)
{
    struct looker *l = arg;
    double done[256] = { 0 };
    enum qs_writer_state was[256] = { QS_WRITER_WAITING };
    uint64_t version = 0;
    while (!atomic_load(&l->stop)) {
        struct qs_writer_totals t;
        size_t n = 0;
        qs_writer_watch_totals(l->b->watch, &t);
        for (int s = 0; s < QS_WRITER_STATES; s++)
            n += t.n[s];
        l->wrong += n != l->b->plan->n || t.version < version || t.n[QS_WRITER_WORKING] > 1;
        version = t.version;
        for (size_t i = 0; i < l->b->plan->n && i < 256; i++) {
            struct qs_writer_watched x;
            l->wrong += !qs_writer_watch_get(l->b->watch, i, &x);
            l->wrong += x.done < done[i] || x.done > 1 || x.state < was[i];
            done[i] = x.done;
            was[i] = x.state;
        }
        l->looks++;
    }
    return NULL;
}

static void test_seen_from_another_thread(void **state)
{
    struct looker l = { .b = *state };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look, &l), 0);
    const int rc = run(l.b, -1);
    atomic_store(&l.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(rc, QS_OK);
    assert_true(l.looks > 0);
    assert_int_equal(l.wrong, 0);
    check_end(l.b);
}

static int make_watch(void *ctx, struct qs_err *e)
{
    struct qs_writer_watch *w = NULL;
    (void)ctx;
    const int rc = qs_writer_watch_new(7, &w, e);
    qs_writer_watch_free(w);
    return rc;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(make_watch, NULL);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec spec = { .layers = 2, .vocab = 12000 };
    snprintf(source, sizeof source, "%s", qs_test_tmp_path("source.gguf"));
    if (mm_file(source, &spec, &e)) {
        print_error("%s\n", e.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_number_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runs_that_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seen_from_another_thread, setup, teardown),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
