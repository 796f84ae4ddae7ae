/* test_inputs.c - every matrix of the forward pass that can be quantized reads exactly one input, of its own width;
 * checked against a list by names, written apart from the program's. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "core/calib/inputs.h"
#include "core/quant/preset.h"
#include "tests/model/tiny.h"

static const struct { const char *part; enum qs_point point; } expected[] = {
    { "attn_q.weight", QS_POINT_ATTN_IN }, { "attn_k.weight", QS_POINT_ATTN_IN }, { "attn_v.weight", QS_POINT_ATTN_IN },
    { "attn_qkv.weight", QS_POINT_ATTN_IN }, { "attn_output.weight", QS_POINT_ATTN_OUT },
    { "ffn_gate.weight", QS_POINT_FFN_IN }, { "ffn_up.weight", QS_POINT_FFN_IN }, { "ffn_down.weight", QS_POINT_FFN_DOWN },
    { "ffn_gate_shexp.weight", QS_POINT_FFN_IN }, { "ffn_up_shexp.weight", QS_POINT_FFN_IN },
    { "ffn_down_shexp.weight", QS_POINT_SHARED_DOWN }, { "ffn_gate_exps.weight", QS_POINT_EXPERTS_IN },
    { "ffn_up_exps.weight", QS_POINT_EXPERTS_IN }, { "ffn_gate_up_exps.weight", QS_POINT_EXPERTS_IN },
    { "ffn_down_exps.weight", QS_POINT_EXPERTS_DOWN },
};

static enum qs_point wanted(const struct qs_model *m, const struct qs_tensor *t)
{
    const bool tied = !qs_model_find(m, "output.weight");
    if (strcmp(t->name, tied ? "token_embd.weight" : "output.weight") == 0)
        return QS_POINT_HEAD;
    for (size_t i = 0; t->layer >= 0 && i < sizeof expected / sizeof *expected; i++)
        if (strcmp(strchr(t->name + 4, '.') + 1, expected[i].part) == 0)
            return expected[i].point;
    return QS_POINTS;
}

static void check_table(const struct qs_model *m, const struct qs_inputs *in, size_t n_layer)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const enum qs_point want = wanted(m, t);
        size_t times = 0;
        for (size_t k = 0; k < in->n; k++)
            for (size_t j = 0; j < in->input[k].n_tensors; j++)
                times += in->input[k].tensor[j] == i;
        if (times != (want != QS_POINTS))
            fail_msg("%s: %s is in %zu inputs", m->path, t->name, times);
        const struct qs_input *x = qs_inputs_of(in, i);
        assert_int_equal(x != NULL, want != QS_POINTS);
        if (!x)
            continue;
        assert_true(qs_preset_quantizes(m, t));
        assert_int_equal(x->point, want);
        assert_int_equal(x->layer, want == QS_POINT_HEAD ? (int)n_layer : t->layer);
        assert_int_equal(x->cols, t->ne[0]);
        assert_int_equal(x->experts, t->ne[2]);
    }
}

static void check_order(const struct qs_inputs *in)
{
    for (size_t k = 0; k < in->n; k++) {
        assert_true(in->input[k].n_tensors > 0);
        for (size_t j = 1; j < in->input[k].n_tensors; j++)
            assert_true(in->input[k].tensor[j - 1] < in->input[k].tensor[j]);
        if (k == 0)
            continue;
        const struct qs_input *a = &in->input[k - 1], *b = &in->input[k];
        assert_true(a->layer <= b->layer);
        if (a->layer == b->layer) {
            assert_true(a->point != b->point);
            assert_true(qs_point_half(a->point) <= qs_point_half(b->point));
        }
    }
    assert_int_equal(in->input[in->n - 1].point, QS_POINT_HEAD);
}

static void check_model(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_engine *x = NULL;
    struct qs_inputs *in = NULL;
    const struct qs_engine_args args = { NULL, QS_EXACT, QS_PRIO_JOB, 8, 0 };
    if (qs_model_open(path, &m, &e) != QS_OK || qs_engine_new(m, &args, &x, &e) != QS_OK ||
        qs_inputs_new(x, &in, &e) != QS_OK)
        fail_msg("%s", e.msg);
    check_table(m, in, qs_engine_config(x)->n_layer);
    check_order(in);
    qs_inputs_free(in);
    qs_engine_free(x);
    qs_model_close(m);
}

static void test_tiny(void **state)
{
    (void)state;
    for (size_t i = 0; tiny_names[i]; i++)
        check_model(tiny_path(tiny_names[i], ""));
}

static void test_names(void **state)
{
    (void)state;
    for (int a = 0; a < QS_POINTS; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(qs_point_name((enum qs_point)a), qs_point_name((enum qs_point)b));
    assert_string_equal(qs_point_name(QS_POINT_ATTN_IN), "attn_in");
    assert_int_equal(qs_point_half(QS_POINT_ATTN_OUT), QS_HALF_ATTN);
    assert_int_equal(qs_point_half(QS_POINT_EXPERTS_DOWN), QS_HALF_FFN);
    assert_int_equal(qs_point_half(QS_POINT_HEAD), QS_HALF_HEAD);
}

static int make(void *ctx, struct qs_err *e)
{
    struct qs_inputs *in = NULL;
    int rc = qs_inputs_new(ctx, &in, e);
    if (rc == QS_OK)
        qs_inputs_free(in);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_engine *x = NULL;
    const struct qs_engine_args args = { NULL, QS_EXACT, QS_PRIO_JOB, 8, 0 };
    if (qs_model_open(tiny_path("qwen2moe", ""), &m, &e) != QS_OK || qs_engine_new(m, &args, &x, &e) != QS_OK)
        fail_msg("%s", e.msg);
    qs_test_each_alloc(make, x);
    qs_engine_free(x);
    qs_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tiny), cmocka_unit_test(test_names),
                                        cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
