/* test_output.c - output errors of types from the sample of rows: against rows decoded one by one and summed in long
 * double. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/output.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "tests/model/tiny.h"

static struct qs_pool *pool;

struct bench { struct qs_model *m; struct qs_engine *x; struct qs_inputs *in; struct qs_statistics *s; };

static float value(size_t i) /* uneven, the same everywhere */
{
    return (float)(sin((double)i * 0.7) * (1 + (double)(i % 13)));
}

static struct bench open_bench(const char *path, bool rows)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench b = { 0 };
    const struct qs_engine_args args = { NULL, QS_EXACT, QS_PRIO_JOB, 8, 0 };
    if (qs_model_open(path, &b.m, &e) != QS_OK || qs_engine_new(b.m, &args, &b.x, &e) != QS_OK ||
        qs_inputs_new(b.x, &b.in, &e) != QS_OK || qs_statistics_new(b.in, &b.s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < b.s->n_inputs; i++) {
        struct qs_input_stats *s = &b.s->input[i];
        s->n_rows = rows ? 48 : 0;
        for (size_t r = 0; r < 48; r++) {
            const size_t x = r % s->experts;
            s->row_expert[r] = (uint32_t)x;
            s->count[x]++;
            for (size_t j = 0; j < s->cols; j++) {
                const float v = s->row[r * s->cols + j] = value(i * 1000 + r * s->cols + j);
                s->sum2[x * s->cols + j] += (double)v * (double)v;
                s->max[x * s->cols + j] = fabsf(v) > s->max[x * s->cols + j] ? fabsf(v) : s->max[x * s->cols + j];
            }
        }
    }
    b.s->tokens = 48;
    if (qs_statistics_seal(b.s, b.in, b.m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return b;
}

static void close_bench(struct bench *b)
{
    qs_statistics_free(b->s);
    qs_inputs_free(b->in);
    qs_engine_free(b->x);
    qs_model_close(b->m);
}

/* All rows of the tensor, by the shortest way there is. */
static double oracle(const struct bench *b, size_t tensor, int type)
{
    const struct qs_tensor *t = &b->m->tensor[tensor];
    const struct qs_input *in = qs_inputs_of(b->in, tensor);
    const struct qs_input_stats *s = qs_statistics_of(b->s, in->layer, in->point);
    const struct qs_format *f = qs_format_by_id(type);
    const struct qs_imatrix_entry *importance;
    const size_t cols = (size_t)t->ne[0], rows = (size_t)t->rows, each = (size_t)t->ne[1];
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_encoder *encoder;
    float *a = qs_malloc(rows * cols * sizeof *a), *c = qs_malloc(rows * cols * sizeof *c);
    uint8_t *bytes = qs_malloc(rows * qs_format_row_bytes(f, cols));
    long double err = 0, ref = 0;
    assert_true(a && c && bytes);
    if (qs_model_weight(b->m, t, &w, &e) || qs_weight_decode(w, 0, rows, a, &e) || qs_encoder_new(pool, cols, &encoder, &e) ||
        qs_importance_for(b->s->imatrix, t, &importance, &e) ||
        qs_encode_rows(encoder, QS_PRIO_JOB, w, 0, rows, type, importance, bytes, NULL, NULL, &e))
        fail_msg("%s", e.msg);
    const struct qs_const_parts from = { { bytes } };
    qs_format_ops(type)->decode(&from, rows, cols, c, cols);
    for (size_t r = 0; r < s->n_rows; r++)
        for (size_t i = 0; i < rows; i++) {
            long double y = 0, d = 0;
            for (size_t j = 0; j < cols; j++) {
                y += (long double)a[i * cols + j] * s->row[r * cols + j];
                d += ((long double)a[i * cols + j] - c[i * cols + j]) * s->row[r * cols + j];
            }
            if (s->experts == 1 || i / each == s->row_expert[r]) {
                ref += y * y;
                err += d * d;
            }
        }
    qs_encoder_free(encoder);
    qs_weight_unref(w);
    qs_free(a);
    qs_free(c);
    qs_free(bytes);
    return (double)sqrtl(err / ref);
}

static void test_whole(void **state)
{
    (void)state;
    static const char *const names[] = { "llama", "qwen2moe" };
    for (size_t k = 0; k < 2; k++) {
        struct bench b = open_bench(tiny_path(names[k], ""), true);
        struct qs_err e = QS_ERR_INIT;
        struct qs_outputs *o;
        size_t measured = 0;
        if (qs_outputs_new(b.m, b.s, &o, &e) != QS_OK)
            fail_msg("%s", e.msg);
        for (size_t i = 0; i < b.m->n_tensors; i++) {
            const struct qs_output_want want = { i, b.m->tensor[i].ne[0] % 256 ? QS_Q4_0 : QS_Q4_K };
            const struct qs_output_args args = { .sample_weights = UINT64_MAX, .pool = pool, .prio = QS_PRIO_JOB };
            struct qs_output got;
            if (qs_outputs_measure(o, &want, 1, &args, &e) != QS_OK)
                fail_msg("%s", e.msg);
            assert_int_equal(qs_outputs_can(o, i, want.type), qs_inputs_of(b.in, i) && b.m->tensor[i].ne[0] % 32 == 0);
            assert_int_equal(qs_outputs_get(o, i, want.type, &got), qs_outputs_can(o, i, want.type));
            if (!qs_outputs_can(o, i, want.type))
                continue;
            const double wanted = oracle(&b, i, want.type);
            if (!(fabs(got.error - wanted) <= 1e-4 * wanted))
                fail_msg("%s: %.9g, not %.9g", b.m->tensor[i].name, got.error, wanted);
            assert_int_equal(got.how, QS_HOW_WHOLE);
            assert_true(got.error_se == 0 && got.sample == b.m->tensor[i].n);
            measured++;
        }
        assert_true(measured > 5 && qs_outputs_version(o) == measured);
        qs_outputs_free(o);
        close_bench(&b);
    }
}

/* Experts that the sample does not show at work count for nothing: not for an error of 0, and alone for no error at all. */
static void test_unseen(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("qwen2moe", ""), true);
    struct qs_err e = QS_ERR_INIT;
    size_t seen = 0, unseen = 0;
    for (size_t i = 0; i < b.s->n_inputs; i++) {
        struct qs_input_stats *s = &b.s->input[i];
        for (size_t r = 0; s->experts > 1 && r < s->n_rows; r++)
            s->row_expert[r] = (uint32_t)s->experts; /* of none that there is: as if all had gone elsewhere */
    }
    struct qs_outputs *o;
    assert_int_equal(qs_outputs_new(b.m, b.s, &o, &e), QS_OK);
    for (size_t i = 0; i < b.m->n_tensors; i++) {
        const struct qs_output_want want = { i, QS_Q4_0 };
        const struct qs_output_args args = { .sample_weights = UINT64_MAX, .pool = pool, .prio = QS_PRIO_JOB };
        struct qs_output got;
        if (!qs_outputs_can(o, i, QS_Q4_0))
            continue;
        assert_int_equal(qs_outputs_measure(o, &want, 1, &args, &e), QS_OK);
        assert_true(qs_outputs_get(o, i, QS_Q4_0, &got));
        assert_int_equal(isnan(got.error) != 0, b.m->tensor[i].ne[2] > 1);
        seen += !isnan(got.error);
        unseen += isnan(got.error) != 0;
    }
    assert_true(seen > 0 && unseen > 0);
    qs_outputs_free(o);
    close_bench(&b);
}

/* A sample of rows is near the whole, by its own standard error, and the same for any number of threads. */
static void test_sample(void **state)
{
    (void)state;
    struct bench b = open_bench(qs_test_src("demo/storyteller-9m-f16.gguf"), true);
    struct qs_err e = QS_ERR_INIT;
    size_t n = 0, near = 0;
    struct qs_outputs *whole, *some, *again;
    if (qs_outputs_new(b.m, b.s, &whole, &e) || qs_outputs_new(b.m, b.s, &some, &e) || qs_outputs_new(b.m, b.s, &again, &e))
        fail_msg("%s", e.msg);
    struct qs_pool *one;
    assert_int_equal(qs_pool_new(1, &one, &e), QS_OK);
    for (size_t i = 0; i < b.m->n_tensors && n < 24; i++) {
        const struct qs_output_want want = { i, QS_Q3_K };
        const struct qs_output_args all = { UINT64_MAX, pool, QS_PRIO_JOB, NULL }, part = { 16384, pool, QS_PRIO_JOB, NULL },
                                    alone = { 16384, one, QS_PRIO_JOB, NULL };
        struct qs_output a, c, d;
        if (!qs_outputs_can(whole, i, QS_Q3_K))
            continue;
        if (qs_outputs_measure(whole, &want, 1, &all, &e) || qs_outputs_measure(some, &want, 1, &part, &e) ||
            qs_outputs_measure(again, &want, 1, &alone, &e))
            fail_msg("%s", e.msg);
        assert_true(qs_outputs_get(whole, i, QS_Q3_K, &a) && qs_outputs_get(some, i, QS_Q3_K, &c) &&
                    qs_outputs_get(again, i, QS_Q3_K, &d));
        assert_int_equal(c.how, QS_HOW_SAMPLED);
        assert_true(c.error_se > 0 && c.error == d.error && c.error_se == d.error_se);
        near += fabs(c.error - a.error) <= 3 * c.error_se;
        n++;
    }
    assert_int_equal(n, 24);
    assert_true(near >= 23);
    qs_pool_free(one);
    qs_outputs_free(whole);
    qs_outputs_free(some);
    qs_outputs_free(again);
    close_bench(&b);
}

static void test_known_at_once(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("llama", ""), false);
    struct qs_err e = QS_ERR_INIT;
    struct qs_outputs *o;
    struct qs_output got;
    const size_t i = b.in->input[0].tensor[0], k = b.in->input[0].tensor[1];
    const struct qs_error_cell cells[] = { { (char *)b.m->tensor[i].name, QS_Q4_0, QS_CALIB_IMATRIX, 0.125, 0.1, 1 },
                                           { (char *)b.m->tensor[i].name, QS_Q5_0, QS_CALIB_GPTQ, 0.0625, 0.1, 1 } };
    for (size_t c = 0; c < 2; c++)
        assert_int_equal(qs_statistics_put_error(b.s, &cells[c], &e), QS_OK);
    if (qs_outputs_new(b.m, b.s, &o, &e) != QS_OK)
        fail_msg("%s", e.msg);
    assert_true(qs_outputs_get(o, i, QS_Q4_0, &got) && got.error == 0.125 && got.how == QS_HOW_WHOLE);
    assert_false(qs_outputs_get(o, i, QS_Q5_0, &got)); /* of another method */
    assert_true(qs_outputs_get(o, i, b.m->tensor[i].type, &got) && got.error == 0 && got.how == QS_HOW_EXACT);
    assert_false(qs_outputs_any(o) || qs_outputs_can(o, i, QS_Q5_0));
    struct qs_channel_facts f;
    qs_channel_facts(&b.s->input[0], 48, &f);
    assert_true(qs_outputs_activation(o, i) == f.outlier_ratio && qs_outputs_activation(o, k) == f.outlier_ratio);
    const struct qs_output_want want = { i, QS_Q5_0 };
    const struct qs_output_args args = { .pool = pool, .prio = QS_PRIO_JOB };
    assert_int_equal(qs_outputs_measure(o, &want, 1, &args, &e), QS_OK); /* there is nothing to measure with */
    assert_false(qs_outputs_get(o, i, QS_Q5_0, &got));
    qs_outputs_free(o);
    close_bench(&b);
}

static int measure(void *ctx, struct qs_err *e)
{
    struct bench *b = ctx;
    struct qs_outputs *o;
    const struct qs_output_want want = { b->in->input[0].tensor[0], QS_Q4_0 };
    const struct qs_output_args args = { .pool = pool, .prio = QS_PRIO_JOB };
    int rc = qs_outputs_new(b->m, b->s, &o, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_outputs_measure(o, &want, 1, &args, e);
    qs_outputs_free(o);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct bench b = open_bench(tiny_path("llama", ""), true);
    qs_test_each_alloc(measure, &b);
    close_bench(&b);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_unseen), cmocka_unit_test(test_sample),
                                        cmocka_unit_test(test_known_at_once), cmocka_unit_test(test_memory) };
    if (qs_pool_new(2, &pool, &e) != QS_OK)
        return 99;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_pool_free(pool);
    return failed;
}
