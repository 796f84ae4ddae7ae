/* test_statistics.c - statistics made, sealed, kept in a file, read, merged; channel facts and output errors against
 * plain double precision. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/statistics.h"
#include "core/format/gguf.h"
#include "kernels/format.h"
#include "tests/model/tiny.h"

struct bench { struct qs_model *m; struct qs_engine *x; struct qs_inputs *in; };

static struct bench open_bench(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench b = { 0 };
    const struct qs_engine_args args = { NULL, QS_EXACT, QS_PRIO_JOB, 8, 0 };
    if (qs_model_open(path, &b.m, &e) != QS_OK || qs_engine_new(b.m, &args, &b.x, &e) != QS_OK ||
        qs_inputs_new(b.x, &b.in, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return b;
}

static void close_bench(struct bench *b)
{
    qs_inputs_free(b->in);
    qs_engine_free(b->x);
    qs_model_close(b->m);
}

static uint64_t seed;

static double uniform(void) /* splitmix64, in [-1, 1) */
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

/* n rows into one input as a collector would put them: channel c is (c % 7 + 1) wide; expert r % experts, but the last
 * one sees nothing where there are several. */
static void put_rows(struct qs_input_stats *s, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        const size_t x = s->experts > 1 ? r % (s->experts - 1) : 0;
        s->count[x]++;
        for (size_t c = 0; c < s->cols; c++) {
            const float v = (float)(uniform() * (double)(c % 7 + 1));
            const size_t k = x * s->cols + c;
            s->sum2[k] += (double)v * (double)v;
            s->sum[k] += (double)v;
            s->max[k] = fabsf(v) > s->max[k] ? fabsf(v) : s->max[k];
            if (r < QS_SAMPLE_ROWS)
                s->row[r * s->cols + c] = v;
        }
        if (r < QS_SAMPLE_ROWS) {
            s->row_expert[r] = (uint32_t)x;
            s->n_rows = r + 1;
        }
    }
}

static struct qs_statistics *collected(const struct bench *b, uint64_t from, size_t rows, const char *dataset)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s;
    seed = from;
    if (qs_statistics_new(b->in, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < s->n_inputs; i++)
        put_rows(&s->input[i], rows);
    qs_free(s->dataset);
    s->dataset = qs_strdup(dataset);
    s->tokens = rows;
    s->windows = 4;
    s->n_ctx = 32;
    s->model = (struct qs_key){ 0x0123456789abcdef, 7 };
    s->corpus = qs_hash_bytes(dataset, strlen(dataset));
    s->input[1].massive[0] = (struct qs_massive){ 2, 31, 17, 812.5f, 41.25 };
    s->input[1].n_massive = 1;
    s->input[2].nonfinite = 3;
    s->input[2].bad_window = 1;
    if (qs_statistics_seal(s, b->in, b->m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return s;
}

static void put_tables(struct qs_statistics *s, const struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    char *name = (char *)b->m->tensor[b->in->input[0].tensor[0]].name;
    char *other = (char *)b->m->tensor[b->in->input[1].tensor[0]].name;
    const struct qs_error_cell errors[] = {
        { name, QS_Q4_K, QS_CALIB_GPTQ, 0.03125, 0.025, 1.5 }, { name, QS_Q4_K, QS_CALIB_IMATRIX, 1.0 / 3, 0.3, 0.25 },
        { other, QS_Q2_K, QS_CALIB_PLAIN, 0.2, NAN, 0 }, { name, QS_Q4_K, QS_CALIB_GPTQ, 0.0625, 0.05, 2 },
    };
    const struct qs_swap_cell swaps[] = { { name, QS_Q3_K, QS_CALIB_IMATRIX, 0.01, 0.001, 16, 0.1 },
                                          { other, QS_Q3_K, QS_CALIB_IMATRIX, 0.02, 0.002, 16, 0.2 },
                                          { name, QS_Q4_0, QS_CALIB_IMATRIX, 0.03, 0.003, 8, 0.3 } };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(qs_statistics_put_error(s, &errors[i], &e), QS_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(qs_statistics_put_swap(s, &swaps[i], &e), QS_OK);
}

static void check_tables(const struct qs_statistics *s, const struct bench *b)
{
    const char *name = b->m->tensor[b->in->input[0].tensor[0]].name, *other = b->m->tensor[b->in->input[1].tensor[0]].name;
    assert_int_equal(s->n_errors, 3);
    assert_true(qs_statistics_error(s, name, QS_Q4_K, QS_CALIB_GPTQ)->error == 0.0625); /* the later one */
    assert_true(qs_statistics_error(s, name, QS_Q4_K, QS_CALIB_IMATRIX)->error == 1.0 / 3);
    assert_true(isnan(qs_statistics_error(s, other, QS_Q2_K, QS_CALIB_PLAIN)->fitted));
    assert_null(qs_statistics_error(s, name, QS_Q4_K, QS_CALIB_AWQ));
    assert_null(qs_statistics_error(s, "zzz", QS_Q4_K, QS_CALIB_GPTQ));
    assert_int_equal(s->n_swaps, 3);
    assert_int_equal(qs_statistics_swap(s, name)->type, QS_Q4_0);
    assert_int_equal(qs_statistics_swap(s, other)->windows, 16);
    assert_null(qs_statistics_swap(s, "zzz"));
}

static void same_input(const struct qs_input_stats *a, const struct qs_input_stats *b)
{
    const size_t n = a->cols * a->experts;
    assert_int_equal(a->layer, b->layer);
    assert_int_equal(a->point, b->point);
    assert_int_equal(a->cols, b->cols);
    assert_int_equal(a->experts, b->experts);
    assert_memory_equal(a->sum2, b->sum2, n * sizeof *a->sum2);
    assert_memory_equal(a->sum, b->sum, n * sizeof *a->sum);
    assert_memory_equal(a->max, b->max, n * sizeof *a->max);
    assert_memory_equal(a->count, b->count, a->experts * sizeof *a->count);
    assert_int_equal(a->n_rows, b->n_rows);
    assert_memory_equal(a->row, b->row, a->n_rows * a->cols * sizeof *a->row);
    assert_memory_equal(a->row_expert, b->row_expert, a->n_rows * sizeof *a->row_expert);
    assert_int_equal(a->nonfinite, b->nonfinite);
    assert_int_equal(a->bad_window, b->bad_window);
    assert_int_equal(a->n_massive, b->n_massive);
    for (unsigned i = 0; i < a->n_massive; i++)
        assert_true(a->massive[i].window == b->massive[i].window && a->massive[i].pos == b->massive[i].pos &&
                    a->massive[i].token == b->massive[i].token && a->massive[i].max == b->massive[i].max &&
                    a->massive[i].ratio == b->massive[i].ratio);
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++)
        assert_string_equal(a->tensor[i], b->tensor[i]);
}

static void same_imatrix(const struct qs_imatrix *a, const struct qs_imatrix *b)
{
    assert_int_equal(a->n_entries, b->n_entries);
    assert_string_equal(a->dataset, b->dataset);
    assert_true(qs_key_equal(a->key, b->key));
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct qs_imatrix_entry *x = &a->entry[i], *y = &b->entry[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->n, y->n);
        assert_int_equal(x->experts, y->experts);
        assert_int_equal(x->unseen, y->unseen);
        assert_true(x->count == y->count && x->zero == y->zero);
        assert_memory_equal(x->value, y->value, x->n * sizeof *x->value);
    }
}

static struct qs_statistics *reopen(const struct bench *b, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s;
    if (qs_statistics_open(path, b ? b->in : NULL, b ? b->m : NULL, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return s;
}

static const char *saved(const struct qs_statistics *s, const struct bench *b, const char *name, bool legacy)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path(name);
    if (qs_statistics_save(s, b->in, b->m, path, legacy, true, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return path;
}

static void read_all(const char *path, char **bytes, size_t *n)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_file_read(path, (size_t)1 << 30, bytes, n, &e) != QS_OK)
        fail_msg("%s", e.msg);
}

static void same_file(const char *a, const char *b)
{
    char *x, *y;
    size_t n, k;
    read_all(a, &x, &n);
    read_all(b, &y, &k);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
    qs_free(x);
    qs_free(y);
}

/* A file says all that was known, bit for bit; written again it is the same file; it is an importance matrix for
 * everybody. */
static void test_file(void **state)
{
    (void)state;
    static const char *const names[] = { "llama", "qwen2moe", "gpt-oss" };
    for (size_t i = 0; i < 3; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct bench b = open_bench(tiny_path(names[i], ""));
        struct qs_statistics *a = collected(&b, i, 300, "books, code"), *s, *alone;
        struct qs_imatrix *im;
        put_tables(a, &b);
        const char *path = saved(a, &b, "a.gguf", false);
        s = reopen(&b, path);
        assert_int_equal(s->n_inputs, b.in->n);
        for (size_t k = 0; k < s->n_inputs; k++)
            same_input(&s->input[k], &a->input[k]);
        check_tables(s, &b);
        assert_true(qs_key_equal(s->key, a->key) && qs_key_equal(s->model, a->model) && qs_key_equal(s->corpus, a->corpus));
        assert_true(s->tokens == 300 && s->windows == 4 && s->n_ctx == 32);
        assert_string_equal(s->dataset, "books, code");
        same_imatrix(s->imatrix, a->imatrix);
        if (qs_imatrix_open(path, &im, &e) != QS_OK)
            fail_msg("%s", e.msg);
        same_imatrix(im, a->imatrix);
        const char *again = saved(s, &b, "b.gguf", false);
        same_file(path, again);
        alone = reopen(NULL, path);
        for (size_t k = 0; k < alone->n_inputs; k++)
            same_input(&alone->input[k], &a->input[k]);
        assert_true(qs_key_equal(alone->key, a->key));
        assert_int_equal(qs_statistics_save(a, b.in, b.m, path, false, false, &e), QS_EEXISTS);
        qs_imatrix_free(im);
        qs_statistics_free(alone);
        qs_statistics_free(s);
        qs_statistics_free(a);
        close_bench(&b);
    }
}

static void test_unseen_expert_stays_unseen(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("qwen3moe", ""));
    struct qs_statistics *a = collected(&b, 5, 300, "x");
    const char *path = saved(a, &b, "unseen.gguf", false);
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *im;
    size_t seen = 0;
    if (qs_imatrix_open_raw(path, 0, &im, &e) != QS_OK)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < im->n_entries; i++) {
        const struct qs_imatrix_entry *x = &im->entry[i];
        if (x->experts == 1)
            continue;
        seen++;
        assert_int_equal(x->unseen, 1);
        assert_true(x->counts[x->experts - 1] == 0 && x->counts[0] > 0);
        assert_true(x->sum2[x->n - 1] == 0 && x->value[x->n - 1] == 1.0f);
    }
    assert_true(seen > 0);
    qs_imatrix_free(im);
    qs_statistics_free(a);
    close_bench(&b);
}

/* The legacy form: means agree to rounding, and merging takes its counts as tokens. */
static void test_legacy(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("llama-untied", ""));
    struct qs_statistics *a = collected(&b, 9, 320, "x"), *s;
    const char *path = saved(a, &b, "a.dat", true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *im;
    s = reopen(&b, path);
    assert_true(s->input[0].max == NULL && s->input[0].sum == NULL && s->input[0].n_rows == 0 && s->n_errors == 0);
    for (size_t i = 0; i < s->n_inputs; i++)
        for (size_t k = 0; k < s->input[i].cols; k++) {
            const double want = a->input[i].sum2[k] / (double)a->input[i].count[0];
            assert_true(fabs(s->input[i].sum2[k] / (double)s->input[i].count[0] - want) <= 1e-6 * want);
        }
    if (qs_imatrix_open_raw(path, 32, &im, &e) != QS_OK)
        fail_msg("%s", e.msg);
    assert_true(im->legacy && im->chunks == 4 && im->entry[0].counts[0] == 320);
    qs_imatrix_free(im);
    qs_statistics_free(s);
    qs_statistics_free(a);
    close_bench(&b);
}

/* Two texts, merged, are one text with all rows: sums, counts, largest values. */
static void test_merge(void **state)
{
    (void)state;
    static const char *const names[] = { "llama", "mixtral" };
    for (size_t t = 0; t < 2; t++) {
        struct qs_err e = QS_ERR_INIT;
        struct bench b = open_bench(tiny_path(names[t], ""));
        struct qs_statistics *a = collected(&b, 1, 600, "one"), *c = collected(&b, 2, 200, "two");
        struct qs_statistics *a0 = collected(&b, 1, 600, "one");
        put_tables(a, &b);
        const struct qs_key model = c->model;
        a->model = (struct qs_key){ 1, 2 };
        c->model = (struct qs_key){ 1, 3 };
        assert_int_equal(qs_statistics_merge(a, c, false, &e), QS_EINVAL);
        assert_true(strstr(e.msg, "\"one\"") && strstr(e.msg, "\"two\"") && strstr(e.msg, "different models"));
        assert_true(a->tokens == 600 && a->n_errors > 0); /* nothing was changed */
        struct qs_statistics *both = collected(&b, 1, 600, "one");
        both->model = a->model;
        assert_int_equal(qs_statistics_merge(both, c, true, &e), QS_OK);
        assert_true(both->tokens == 800 && !both->model.lo && !both->model.hi);
        qs_statistics_free(both);
        a->model = c->model = model;
        if (qs_statistics_merge(a, c, false, &e) != QS_OK)
            fail_msg("%s", e.msg);
        assert_string_equal(a->dataset, "one, two");
        assert_true(a->tokens == 800 && a->windows == 8 && a->n_errors == 0 && a->n_swaps == 0);
        assert_false(qs_key_equal(a->key, a0->key));
        for (size_t i = 0; i < a->n_inputs; i++) {
            const struct qs_input_stats *x = &a->input[i], *p = &a0->input[i], *q = &c->input[i];
            size_t of_q = 0;
            for (size_t k = 0; k < x->cols * x->experts; k++) {
                assert_true(x->sum2[k] == (double)(float)(p->sum2[k] + q->sum2[k]));
                assert_true(x->sum[k] == (double)(float)(p->sum[k] + q->sum[k]));
                assert_true(x->max[k] == (p->max[k] > q->max[k] ? p->max[k] : q->max[k]));
            }
            for (size_t j = 0; j < x->experts; j++)
                assert_int_equal(x->count[j], p->count[j] + q->count[j]);
            assert_int_equal(x->n_rows, QS_SAMPLE_ROWS);
            for (size_t r = 0; r < x->n_rows; r++) /* a quarter of the rows are of the second, and whole */
                for (size_t r2 = 0; r2 < q->n_rows; r2++)
                    of_q += memcmp(x->row + r * x->cols, q->row + r2 * x->cols, x->cols * sizeof(float)) == 0;
            assert_int_equal(of_q, 64);
        }
        assert_int_equal(a->input[1].n_massive, 2);
        assert_int_equal(a->input[1].massive[1].window, 6);
        assert_int_equal(a->input[2].nonfinite, 6);
        assert_int_equal(a->input[2].bad_window, 1);
        qs_statistics_free(a0);
        qs_statistics_free(c);
        qs_statistics_free(a);
        close_bench(&b);
    }
}

static void test_other_model(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench b = open_bench(tiny_path("llama", "")), c = open_bench(qs_test_src("demo/storyteller-9m-f16.gguf"));
    struct qs_statistics *a = collected(&b, 3, 50, "x"), *s;
    const char *path = saved(a, &b, "other.gguf", false);
    assert_int_equal(qs_statistics_open(path, c.in, c.m, &s, &e), QS_EINVAL);
    assert_null(s);
    assert_non_null(strstr(e.msg, "blk."));
    assert_non_null(strstr(e.msg, "another model"));
    qs_statistics_free(a);
    close_bench(&b);
    close_bench(&c);
}

/* What llama-imatrix wrote: importance, no more. */
static void test_plain(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench b = open_bench(qs_test_src("demo/storyteller-9m-f16.gguf"));
    struct qs_statistics *s = reopen(&b, qs_test_src("tests/format/data/demo-imatrix.gguf"));
    const struct qs_input_stats *x = qs_statistics_of(s, 3, QS_POINT_FFN_IN);
    const struct qs_imatrix_entry *y = qs_imatrix_find(s->imatrix, "blk.3.ffn_up.weight");
    struct qs_channel_facts f;
    double error;
    assert_true(x->count[0] == 1530 && x->n_tensors == 2 && !x->max && !x->sum && x->n_rows == 0);
    for (size_t k = 0; k < x->cols; k++)
        assert_true((float)x->sum2[k] == y->sum2[k] && y->value[k] == y->sum2[k] / 1530.0f);
    assert_int_equal(qs_statistics_of(s, 8, QS_POINT_HEAD)->count[0], 0); /* llama-imatrix leaves the head out */
    assert_int_equal(s->tokens, 1530);
    assert_string_equal(s->dataset, "calib.txt");
    qs_channel_facts(x, s->tokens, &f);
    assert_true(f.by_rms && f.outlier_ratio > 1);
    assert_int_equal(qs_output_error(x, NULL, NULL, 0, &error, &e), QS_ENOTFOUND);
    qs_statistics_free(s);
    close_bench(&b);
}

static void test_channels(void **state)
{
    (void)state;
    enum { COLS = 20, EXPERTS = 3 };
    double sum2[EXPERTS * COLS] = { 0 }, sum[EXPERTS * COLS] = { 0 };
    float max[EXPERTS * COLS] = { 0 };
    uint64_t count[EXPERTS] = { 100, 5, 0 };
    struct qs_input_stats s = { .cols = COLS, .experts = EXPERTS, .sum2 = sum2, .sum = sum, .max = max, .count = count };
    struct qs_channel_facts f;
    for (int c = 2; c < COLS; c++) /* two dead ones; 1, 2, ... of which 9 and 10 are the middle, then a large one */
        max[(c % 2) * COLS + c] = (float)(c - 1);
    max[5] = 95; /* was 4, in another expert */
    qs_channel_facts(&s, 200, &f);
    assert_int_equal(f.dead, 2);
    assert_true(fabs(f.outlier_ratio - 95 / 10.5) < 1e-12); /* 1 2 3 5 ... 18, 95: the middle is 10 and 11 */
    assert_int_equal(f.worst[0], 5);
    assert_int_equal(f.worst[1], 19);
    assert_int_equal(f.n_worst, 8);
    assert_true(fabs(f.salient - 1.0 / COLS) < 1e-12);
    assert_int_equal(f.unseen, 1);
    assert_int_equal(f.rare, 2);
    assert_int_equal(f.tokens_needed, 200 * COLS - 200); /* as if the unseen one had been seen once */
    count[2] = 4;
    qs_channel_facts(&s, 200, &f);
    assert_int_equal(f.tokens_needed, 200 * COLS / 4 - 200);
    count[0] = count[1] = count[2] = COLS;
    qs_channel_facts(&s, 200, &f);
    assert_true(f.rare == 0 && f.unseen == 0 && f.tokens_needed == 0);
    memset(max, 0, sizeof max);
    qs_channel_facts(&s, 200, &f);
    assert_true(f.dead == COLS && isnan(f.outlier_ratio) && isnan(f.salient) && f.n_worst == 0);
}

/* Against the sum written out: Y = X W^T, E = X (W - V)^T, Frobenius norms. */
static void test_output_error(void **state)
{
    (void)state;
    enum { COLS = 24, ROWS = 12, N = 40 };
    float w[ROWS * COLS], v[ROWS * COLS], x[N * COLS];
    uint32_t expert[N];
    struct qs_err e = QS_ERR_INIT;
    double got;
    seed = 11;
    for (int i = 0; i < ROWS * COLS; i++) {
        w[i] = (float)uniform();
        v[i] = w[i] + (float)uniform() * 0.1f;
    }
    for (int i = 0; i < N * COLS; i++)
        x[i] = (float)uniform();
    for (int experts = 1; experts <= 3; experts += 2) {
        long double err = 0, ref = 0;
        for (int r = 0; r < N; r++) {
            expert[r] = (uint32_t)(r * 7 % experts);
            for (int i = 0; i < ROWS; i++) {
                long double a = 0, b = 0;
                for (int j = 0; j < COLS; j++) {
                    a += (long double)w[i * COLS + j] * x[r * COLS + j];
                    b += (long double)v[i * COLS + j] * x[r * COLS + j];
                }
                if (experts == 1 || i / (ROWS / experts) == (int)expert[r]) {
                    err += (a - b) * (a - b);
                    ref += a * a;
                }
            }
        }
        const struct qs_input_stats s = { .cols = COLS, .experts = (size_t)experts, .row = x, .row_expert = expert, .n_rows = N };
        assert_int_equal(qs_output_error(&s, w, v, ROWS, &got, &e), QS_OK);
        assert_true(fabs(got - (double)sqrtl(err / ref)) <= 1e-12 * got);
        assert_int_equal(qs_output_error(&s, w, w, ROWS, &got, &e), QS_OK);
        assert_true(got == 0);
    }
    memset(w, 0, sizeof w);
    const struct qs_input_stats s = { .cols = COLS, .experts = 1, .row = x, .row_expert = expert, .n_rows = N };
    assert_int_equal(qs_output_error(&s, w, w, ROWS, &got, &e), QS_OK);
    assert_true(isnan(got));
}

/* Rows of any size keep 11 bits below their largest value, and sealing twice changes nothing. */
static void test_rows_keep_their_size(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench b = open_bench(tiny_path("llama", ""));
    struct qs_statistics *s;
    const float size[] = { 1e-9f, 3e-5f, 1, 70000, 5e8f, 32767.9f, 2047.99f };
    if (qs_statistics_new(b.in, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    struct qs_input_stats *x = &s->input[0];
    float *was = qs_malloc(7 * x->cols * sizeof *was), *once = qs_malloc(7 * x->cols * sizeof *once);
    assert_true(was && once);
    seed = 3;
    for (size_t r = 0; r < 7; r++)
        for (size_t c = 0; c < x->cols; c++)
            x->row[r * x->cols + c] = was[r * x->cols + c] = c == 0 ? size[r] : (float)uniform() * size[r];
    x->n_rows = 7;
    x->count[0] = 7;
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(qs_statistics_seal(s, b.in, b.m, &e), QS_OK);
        if (!twice)
            memcpy(once, x->row, 7 * x->cols * sizeof *once);
    }
    assert_memory_equal(once, x->row, 7 * x->cols * sizeof *once);
    for (size_t r = 0; r < 7; r++)
        for (size_t c = 0; c < x->cols; c++)
            assert_true(fabsf(once[r * x->cols + c] - was[r * x->cols + c]) <= size[r] * 0x1p-11f);
    x->row[5] = INFINITY;
    assert_int_equal(qs_statistics_seal(s, b.in, b.m, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "attn_in"));
    qs_free(was);
    qs_free(once);
    qs_statistics_free(s);
    close_bench(&b);
}

/* Bits flipped here and there, most of them in the headers, and files cut short: refused or read, never more. */
static void test_hostile(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("qwen2moe", ""));
    struct qs_statistics *a = collected(&b, 4, 20, "x"), *s;
    put_tables(a, &b);
    const char *path = saved(a, &b, "hostile.gguf", false);
    struct qs_err e = QS_ERR_INIT;
    char *bytes;
    size_t n, refused = 0;
    read_all(path, &bytes, &n);
    seed = 77;
    for (size_t i = 0; i < 600; i++) {
        const size_t area = i % 3 == 0 ? n : n < 30000 ? n : 30000; /* headers more often */
        const size_t at = (size_t)((uniform() + 1) / 2 * (double)(area - 1));
        const char was = bytes[at];
        bytes[at] = (char)(was ^ (1 << i % 8));
        const int rc = i % 2 ? qs_statistics_open_mem(bytes, n, b.in, b.m, &s, &e)
                             : qs_statistics_open_mem(bytes, n, NULL, NULL, &s, &e);
        refused += rc != QS_OK;
        assert_true((rc == QS_OK) == (s != NULL));
        if (rc != QS_OK)
            assert_true(e.msg[0] && rc != QS_ENOMEM);
        qs_statistics_free(s);
        bytes[at] = was;
    }
    assert_true(refused > 50);
    for (size_t i = 0; i < 200; i++) {
        assert_int_not_equal(qs_statistics_open_mem(bytes, n * i / 200, b.in, b.m, &s, &e), QS_OK);
        assert_null(s);
    }
    qs_free(bytes);
    qs_statistics_free(a);
    close_bench(&b);
}

static int whole_way(void *ctx, struct qs_err *e)
{
    const struct bench *b = ctx;
    struct qs_statistics *s = NULL, *t = NULL;
    const char *path = qs_test_tmp_path("memory.gguf");
    int rc = qs_statistics_new(b->in, &s, e);
    for (size_t i = 0; rc == QS_OK && i < s->n_inputs; i++) {
        s->input[i].count[0] = 3;
        s->input[i].n_rows = 2;
    }
    if (rc == QS_OK)
        rc = qs_statistics_seal(s, b->in, b->m, e);
    if (rc == QS_OK)
        rc = qs_statistics_save(s, b->in, b->m, path, false, true, e);
    if (rc == QS_OK)
        rc = qs_statistics_open(path, b->in, b->m, &t, e);
    if (rc == QS_OK)
        rc = qs_statistics_merge(s, t, false, e);
    qs_statistics_free(s);
    qs_statistics_free(t);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("mixtral", ""));
    qs_test_each_alloc(whole_way, &b);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file), cmocka_unit_test(test_unseen_expert_stays_unseen), cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_merge), cmocka_unit_test(test_other_model), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_channels), cmocka_unit_test(test_output_error), cmocka_unit_test(test_rows_keep_their_size),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
