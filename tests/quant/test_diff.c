/* test_diff.c - two models compared: states, errors and cosine against plain sums, metadata, headers only. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/quant/diff.h"
#include "tests/quant/made_tensors.h"

static struct made_tensor a_tensors[] = {
    { "token_embd.weight", { 64, 100 }, NULL }, { "blk.0.attn_q.weight", { 256, 300 }, NULL },
    { "blk.0.attn_k.weight", { 64, 64 }, NULL }, { "blk.0.gone.weight", { 32, 4 }, NULL },
    { "blk.0.attn_norm.weight", { 64 }, NULL },
};
static struct made_tensor b_tensors[] = {
    { "blk.0.new.weight", { 32, 2 }, NULL }, { "token_embd.weight", { 64, 100 }, NULL },
    { "blk.0.attn_q.weight", { 256, 300 }, NULL }, { "blk.0.attn_k.weight", { 64, 32 }, NULL },
    { "blk.0.attn_norm.weight", { 64 }, NULL },
};

static struct qs_model *model_a, *model_b;
static struct qs_pool *pool;

static const struct qs_diff_row *row_of(const struct qs_diff *d, const char *name)
{
    for (size_t i = 0; i < d->n_rows; i++)
        if (strcmp((d->row[i].a ? d->row[i].a : d->row[i].b)->name, name) == 0)
            return &d->row[i];
    fail_msg("no row for %s", name);
    return NULL;
}

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-10 * fabs(want)))
        fail_msg("%.17g is not %.17g", got, want);
}

static void test_values(void **state)
{
    (void)state;
    struct qs_diff *d = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_diff_run(model_a, model_b, false, pool, NULL, &d, &e), QS_OK);
    assert_int_equal(d->n_rows, 6);
    assert_int_equal(row_of(d, "token_embd.weight")->state, QS_DIFF_SAME);
    assert_int_equal(row_of(d, "blk.0.attn_norm.weight")->state, QS_DIFF_SAME);
    assert_int_equal(row_of(d, "blk.0.attn_k.weight")->state, QS_DIFF_SHAPE);
    assert_int_equal(row_of(d, "blk.0.gone.weight")->state, QS_DIFF_ONLY_A);
    assert_int_equal(row_of(d, "blk.0.new.weight")->state, QS_DIFF_ONLY_B);
    assert_true(row_of(d, "token_embd.weight")->cosine >= 1);
    assert_true(isnan(row_of(d, "blk.0.gone.weight")->cosine));

    const float *x = a_tensors[1].x, *y = b_tensors[2].x;
    double err = 0, aa = 0, bb = 0, ab = 0, most = 0;
    for (size_t i = 0; i < 256 * 300; i++) {
        if (!isfinite(y[i]))
            continue;
        const double p = x[i], q = y[i];
        err += (p - q) * (p - q);
        aa += p * p;
        bb += q * q;
        ab += p * q;
        most = fmax(most, fabs(p - q));
    }
    const struct qs_diff_row *q = row_of(d, "blk.0.attn_q.weight");
    assert_int_equal(q->state, QS_DIFF_VALUES);
    close_to(q->sums.err2, err);
    close_to(q->sums.ref2, aa);
    close_to(q->sums.max_abs, most);
    close_to(q->cosine, ab / sqrt(aa * bb));
    assert_int_equal(q->sums.n, 256 * 300);
    assert_int_equal(q->sums.nonfinite, 1);
    const struct qs_diff_row *same = row_of(d, "token_embd.weight");
    assert_true(same->sums.ref2 > 0 && !(same->sums.err2 > 0)); /* counted: the total is relative to all weights */
    assert_int_equal(d->total.n, 256 * 300 + 6400 + 64);
    close_to(d->total.err2, err);
    qs_diff_free(d);
}

static void test_headers_only(void **state)
{
    (void)state;
    struct qs_diff *d = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_diff_run(model_a, model_b, true, pool, NULL, &d, &e), QS_OK);
    assert_int_equal(row_of(d, "blk.0.attn_q.weight")->state, QS_DIFF_SAME); /* same type and shape */
    assert_int_equal(row_of(d, "blk.0.attn_k.weight")->state, QS_DIFF_SHAPE);
    assert_int_equal(d->total.n, 0);
    qs_diff_free(d);
}

static void test_metadata(void **state)
{
    (void)state;
    struct qs_diff *d = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_diff_run(model_a, model_b, true, pool, NULL, &d, &e), QS_OK);
    assert_int_equal(d->n_kv, 1); /* the files differ in general.name alone */
    assert_string_equal(d->kv[0].key, "general.name");
    assert_string_equal(d->kv[0].a, "a.gguf");
    assert_string_equal(d->kv[0].b, "b.gguf");
    qs_diff_free(d);
    assert_int_equal(qs_diff_run(model_a, model_a, false, pool, NULL, &d, &e), QS_OK);
    assert_int_equal(d->n_kv, 0);
    for (size_t i = 0; i < d->n_rows; i++)
        assert_int_equal(d->row[i].state, QS_DIFF_SAME);
    qs_diff_free(d);
}

static int body(void *ctx, struct qs_err *e)
{
    struct qs_diff *d = NULL;
    (void)ctx;
    const int rc = qs_diff_run(model_a, model_b, false, pool, NULL, &d, e);
    if (!rc)
        qs_diff_free(d);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_headers_only), cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_failing_memory),
    };
    struct qs_err e = QS_ERR_INIT;
    made_fill(a_tensors, 5, 1);
    made_fill(b_tensors, 5, 2);
    memcpy(b_tensors[1].x, a_tensors[0].x, 6400 * sizeof(float));
    memcpy(b_tensors[4].x, a_tensors[4].x, 64 * sizeof(float));
    for (size_t i = 0; i < 256 * 300; i++)
        b_tensors[2].x[i] = a_tensors[1].x[i] * 1.01f + (i % 3 ? 0 : 0.001f);
    b_tensors[2].x[1000] = NAN;
    const char *a = made_file("a.gguf", a_tensors, 5), *b = made_file("b.gguf", b_tensors, 5);
    if (qs_model_open(a, &model_a, &e) || qs_model_open(b, &model_b, &e) || qs_pool_new(2, &pool, &e))
        return 1;
    const int rc = cmocka_run_group_tests_name("diff", tests, NULL, NULL);
    qs_pool_free(pool);
    qs_model_close(model_a);
    qs_model_close(model_b);
    made_free(a_tensors, 5);
    made_free(b_tensors, 5);
    return rc;
}
