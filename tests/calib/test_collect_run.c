/* test_collect_run.c - collections: the same bits in any memory, with any number of threads and after any interruption; caps
 * that hold; journals of other work named; what is shown meanwhile. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/calib/collect_bench.h"
#include "tests/model/tiny.h"

/* ---- the same bits ---- */

static void same(const struct qs_statistics *a, const struct qs_statistics *b)
{
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_errors, b->n_errors);
    assert_true(qs_key_equal(a->key, b->key));
    for (size_t i = 0; i < a->n_inputs; i++) {
        const struct qs_input_stats *x = &a->input[i], *y = &b->input[i];
        const size_t n = x->experts * x->cols;
        assert_memory_equal(x->sum2, y->sum2, n * sizeof *x->sum2);
        assert_memory_equal(x->sum, y->sum, n * sizeof *x->sum);
        assert_memory_equal(x->max, y->max, n * sizeof *x->max);
        assert_memory_equal(x->count, y->count, x->experts * sizeof *x->count);
        assert_int_equal(x->n_rows, y->n_rows);
        assert_memory_equal(x->row, y->row, x->n_rows * x->cols * sizeof *x->row);
        assert_memory_equal(x->row_expert, y->row_expert, x->n_rows * sizeof *x->row_expert);
        assert_int_equal(x->n_massive, y->n_massive);
    }
    for (size_t i = 0; i < a->n_errors; i++) {
        const struct qs_error_cell *x = &a->error[i], *y = &b->error[i];
        assert_string_equal(x->tensor, y->tensor);
        assert_true(x->type == y->type && x->method == y->method);
        assert_memory_equal(&x->error, &y->error, sizeof x->error);
        assert_memory_equal(&x->fitted, &y->fitted, sizeof x->fitted);
    }
}

static void test_bits(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++) {
        const char *path = m == 0 ? wide_model() : tiny_path(m == 1 ? "qwen2moe" : "gpt-oss", "");
        struct bench *b = bench_of(path, FIT, HELD, 1, 0);
        struct qs_collect_args a = with_types(b, 1);
        struct qs_statistics *want = collected(&a);
        for (unsigned threads = 2; threads <= 3; threads++) {
            struct bench *c = bench_of(path, FIT, HELD, threads, threads == 2 ? 7 : 100);
            struct qs_collect_args d = with_types(c, threads);
            struct qs_collect_need need;
            struct qs_err e = QS_ERR_INIT;
            assert_int_equal(qs_collect_need(&d, &need, &e), QS_OK);
            assert_int_equal(need.spill, 0);
            d.memory = 1;
            assert_int_equal(qs_collect_need(&d, &need, &e), QS_ELIMIT);
            for (d.memory = 4096; qs_collect_need(&d, &need, &e) == QS_ELIMIT;) /* about the least that will do */
                d.memory += d.memory / 64;
            assert_true(need.spill > 0 && need.memory <= d.memory);
            struct qs_statistics *got = collected(&d);
            same(want, got);
            qs_statistics_free(got);
            bench_free(c);
        }
        qs_statistics_free(want);
        bench_free(b);
    }
}

/* ---- memory ---- */

/* First of all tests: the peak is the program's. */
static void test_cap(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(wide_model(), FIT, HELD, 3, 0);
    struct qs_collect_args a = with_types(b, 3);
    uint64_t previous = 0;
    for (uint64_t cap = (uint64_t)8 << 20; cap <= (uint64_t)128 << 20; cap *= 2) {
        struct qs_collect_need need;
        a.memory = cap;
        if (qs_collect_need(&a, &need, &e))
            continue;
        const uint64_t before = qs_mem_in_use();
        struct qs_statistics *s = collected(&a);
        const uint64_t took = qs_mem_peak() - before;
        assert_true(need.memory <= cap && took <= cap);
        if (took > previous && took > need.memory + need.memory / 16)
            fail_msg("%llu bytes were told, %llu taken", (unsigned long long)need.memory, (unsigned long long)took);
        previous = took;
        qs_statistics_free(s);
    }
    assert_true(previous > 0);
    bench_free(b);
}

/* ---- the journal ---- */

static void journal_path(char *to, size_t n) { snprintf(to, n, "%s", qs_test_tmp_path("collect.journal")); }

/* A run that dies at its n-th allocation, if it takes so many. */
static int die_at(const struct qs_collect_args *a, uint64_t n, struct qs_statistics **out, struct qs_err *e)
{
    qs_mem_fail_after(n);
    const int rc = qs_collect_run(a, NULL, out, e);
    qs_mem_fail_after(0);
    return rc;
}

static void test_journal(void **state)
{
    char path[512];
    (void)state;
    journal_path(path, sizeof path);
    for (int m = 0; m < 2; m++) {
        struct bench *b = bench_of(m ? tiny_path("qwen2moe", "") : wide_model(), 5, 1, 1, 0);
        struct qs_collect_args a = with_types(b, 1);
        const uint64_t start = qs_mem_count();
        struct qs_statistics *want = collected(&a), *got = NULL;
        const uint64_t all = qs_mem_count() - start;
        struct qs_err e = QS_ERR_INIT;
        unsigned deaths = 0, grown = 0;
        uint64_t last = 0;
        a.journal = path;
        for (uint64_t n = all / 3; die_at(&a, n, &got, &e) != QS_OK; n += all / 16, deaths++) {
            struct qs_file_stat st;
            assert_int_equal(e.code, QS_ENOMEM);
            assert_int_equal(qs_file_stat(path, &st, &e), QS_OK);
            grown += st.size > last;
            last = st.size;
            if (deaths % 2)
                assert_int_equal(truncate(path, (off_t)(st.size - 1 - st.size / 40)), 0); /* a torn tail */
        }
        assert_true(deaths >= 3 && grown >= 2);
        same(want, got);
        qs_statistics_free(got);
        got = collected(&a); /* it stays, whole, until the result is kept: all of it is taken from there */
        same(want, got);
        qs_collect_forget(path);
        assert_false(qs_file_exists(path));
        qs_collect_forget(path);
        qs_collect_forget(NULL);
        qs_test_write(path, "notes that are none of ours", 27);
        qs_collect_forget(path);
        assert_true(qs_file_exists(path));
        unlink(path);
        qs_statistics_free(got);
        qs_statistics_free(want);
        bench_free(b);
    }
}

/* Where a record of a layer has the experts of its first input's sample. */
static size_t experts_at(const struct qs_input *in, size_t rows)
{
    const size_t n = in->cols * in->experts;
    return 6 * 8 + n * (2 * sizeof(double) + sizeof(float)) + in->experts * 8 + rows * in->cols * sizeof(float);
}

/* A journal that is whole, and yet says what cannot be: nothing of it is taken. */
static void test_hostile(void **state)
{
    char path[512], *data;
    size_t n;
    uint64_t head[4], text;
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s = NULL;
    struct bench *b = bench_of(wide_model(), 5, 1, 1, 0);
    struct qs_collect_args a = args_of(b, 1);
    (void)state;
    journal_path(path, sizeof path);
    a.journal = path;
    const uint64_t start = qs_mem_count();
    qs_statistics_free(collected(&a));
    assert_int_equal(die_at(&a, (qs_mem_count() - start) * 3 / 4, &s, &e), QS_ENOMEM);
    assert_int_equal(qs_file_read(path, UINT64_MAX, &data, &n, &e), QS_OK);
    memcpy(&text, data + 8, sizeof text);
    const size_t at = 16 + (size_t)text + 8;
    assert_true(n > at + sizeof head);
    memcpy(head, data + at, sizeof head);
    const uint64_t rows = 5 * CONTEXT < QS_SAMPLE_ROWS ? 5 * CONTEXT : QS_SAMPLE_ROWS;
    const uint32_t expert = 7;
    memcpy(data + at + sizeof head + experts_at(&b->in->input[0], rows), &expert, sizeof expert);
    head[2] = qs_hash_bytes(data + at + sizeof head, (size_t)head[1]).lo;
    head[3] = qs_hash_bytes(head, 3 * sizeof *head).lo;
    memcpy(data + at, head, sizeof head);
    qs_test_write(path, data, n);
    assert_int_equal(qs_collect_run(&a, NULL, &s, &e), QS_EEXISTS);
    assert_non_null(strstr(e.msg, "a layer that is not of this model"));
    unlink(path);
    qs_free(data);
    bench_free(b);
}

static void refused(const struct qs_collect_args *a, const char *a_word, const char *b_word)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s = NULL;
    struct qs_file_stat before, after;
    assert_int_equal(qs_file_stat(a->journal, &before, &e), QS_OK);
    assert_int_equal(qs_collect_run(a, NULL, &s, &e), QS_EEXISTS);
    if (!strstr(e.msg, a_word) || !strstr(e.msg, b_word))
        fail_msg("%s", e.msg);
    assert_int_equal(qs_file_stat(a->journal, &after, &e), QS_OK);
    assert_int_equal(before.size, after.size);
    assert_int_equal(before.mtime_ns, after.mtime_ns);
}

static void test_stale(void **state)
{
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(wide_model(), 5, 1, 1, 0), *other = bench_of(tiny_path("llama", ""), 5, 1, 1, 0);
    struct qs_collect_args a = with_types(b, 1), x = with_types(other, 1);
    (void)state;
    journal_path(path, sizeof path);
    a.journal = x.journal = path;
    struct qs_statistics *s = NULL;
    assert_int_equal(die_at(&a, 400, &s, &e), QS_ENOMEM);
    refused(&x, "the model's content is", "there and");
    x = a;
    x.sweeps = 3;
    refused(&x, "sweeps is 2 there", "3 here");
    x = a;
    x.n_types = 1;
    refused(&x, "types is Q4_0 Q4_K", "and Q4_0 here");
    b->token[3]++;
    refused(&a, "its tokens is", "here");
    b->token[3]--;
    b->corpus.n_held = 0;
    refused(&a, "5 and 1 held out", "5 and 0 held out");
    b->corpus.n_held = 1;
    qs_test_write(path, "something else altogether", 25);
    refused(&a, "no journal of ours", path);
    unlink(path);
    bench_free(b);
    bench_free(other);
}

/* ---- what is shown ---- */

static int in_job(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_statistics *s = NULL;
    const int rc = qs_collect_run(ctx, job, &s, e);
    qs_statistics_free(s);
    return rc;
}

static void test_watch(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(wide_model(), 5, 1, 1, 0);
    struct qs_collect_args a = with_types(b, 1);
    struct qs_calib_view v;
    struct qs_job *job = NULL;
    struct qs_job_status st;
    (void)state;
    assert_int_equal(qs_calib_watch_new(2, b->m->n_tensors, &a.watch, &e), QS_OK);
    assert_int_equal(qs_job_start("collect", in_job, &a, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_status(job, &st);
    assert_string_equal(st.phase, "collect");
    assert_string_equal(st.unit, "tokens");
    assert_int_equal(st.done, st.total);
    assert_int_equal(qs_calib_watch_copy(a.watch, &v, &e), QS_OK);
    for (size_t l = 0; l < v.n_layers; l++) {
        assert_int_equal(v.layer[l].state, QS_CALIB_DONE);
        assert_true(v.layer[l].before > 0 && v.layer[l].after > 0 && v.layer[l].seconds > 0);
        assert_true((l == 2) == (v.layer[l].outlier_ratio[QS_POINT_HEAD] >= 1));
        double sum = 0, weights = 0; /* a layer's error is that of its weights */
        for (size_t i = 0; i < v.n_tensors; i++) {
            const struct qs_input *in = qs_inputs_of(b->in, i);
            const double n = in && (size_t)in->layer == l ? (double)b->m->tensor[i].n : 0;
            sum += n > 0 ? n * v.tensor[i].before * v.tensor[i].before : 0;
            weights += n;
        }
        assert_true(fabs(v.layer[l].before / sqrt(sum / weights) - 1) < 1e-12);
    }
    for (size_t i = 0; i < v.n_tensors; i++)
        assert_int_equal(v.tensor[i].state, qs_inputs_of(b->in, i) ? QS_CALIB_DONE : QS_CALIB_WAITING);
    qs_calib_view_free(&v);
    qs_calib_watch_free(a.watch);
    qs_job_free(job);
    bench_free(b);
}

static int with_little_memory(void *ctx, struct qs_err *e)
{
    struct qs_statistics *s = NULL;
    const int rc = qs_collect_run(ctx, NULL, &s, e);
    qs_statistics_free(s);
    return rc;
}

static void test_little_memory(void **state)
{
    struct bench *b = bench_of(tiny_path("qwen2moe", ""), 1, 1, 1, 0);
    struct qs_collect_args a = with_types(b, 1);
    char path[512];
    (void)state;
    journal_path(path, sizeof path);
    a.n_types = 1;
    a.journal = path;
    qs_test_each_alloc(with_little_memory, &a);
    unlink(path);
    bench_free(b);
}

int main(void)
{
    qs_test_home();
    if (bench_pools())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_journal), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_little_memory),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    bench_pools_free();
    return rc;
}
