/* test_choosing.c - what a tensor can become: the ladder, and the list of all types. */
#include "tests/workbench/desk.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Walks from the lowest bits up; the names, then back down the same. */
static void expect_ladder(const struct desk *d, size_t tensor, const char *want)
{
    const struct qs_tensor *t = &qs_workbench_doc(d->w)->model->tensor[tensor];
    char names[256] = "";
    int type = QS_Q1_0, last = QS_TYPE_NONE, before[32];
    size_t n = 0;
    while ((type = qs_workbench_next_type(d->w, t, type, +1)) != QS_TYPE_NONE) {
        assert_true(n < 32);
        before[n++] = last;
        last = type;
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", n > 1 ? " " : "", qs_type_name(type));
    }
    assert_string_equal(names, want);
    for (; n > 0; n--) {
        assert_int_equal(qs_workbench_next_type(d->w, t, last, -1), before[n - 1]);
        last = before[n - 1];
    }
}

static void test_ladder(void **state)
{
    (void)state;
    static const struct mm_tensor extra[] = {
        { "blk.0.a.weight", 2, { 96, 8, 1, 1 }, QS_F32 }, { "blk.0.b.weight", 2, { 48, 8, 1, 1 }, QS_F16 },
        { "blk.0.c.weight", 2, { 256, 8, 1, 1 }, QS_BF16 },
    };
    const struct mm_spec s = { .type = QS_F16, .extra = extra, .n_extra = 3 };
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    assert_int_equal(mm_file(qs_test_tmp_path("ladder.gguf"), &s, &e), QS_OK);
    desk_open(&d, qs_test_tmp_path("ladder.gguf"));
    const size_t q = desk_tensor(&d, "blk.0.attn_q.weight"), a = desk_tensor(&d, "blk.0.a.weight");
    expect_ladder(&d, q, "Q2_K Q3_K Q4_K Q5_K Q6_K Q8_0 F16");
    expect_ladder(&d, a, "Q4_0 Q5_0 Q8_0 F16 F32");
    expect_ladder(&d, desk_tensor(&d, "blk.0.b.weight"), "F16");
    expect_ladder(&d, desk_tensor(&d, "blk.0.c.weight"), "Q2_K Q3_K Q4_K Q5_K Q6_K Q8_0 BF16");
    expect_ladder(&d, desk_tensor(&d, "blk.0.attn_norm.weight"), "");
    desk_take_imatrix(&d, desk_imatrix(&d, "ladder.dat", 0));
    expect_ladder(&d, q, "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S Q2_K IQ3_XXS IQ3_S IQ4_XS Q4_K Q5_K Q6_K Q8_0 F16");
    expect_ladder(&d, a, "IQ4_NL Q5_0 Q8_0 F16 F32");
    /* from types beside it */
    const struct qs_tensor *t = &qs_workbench_doc(d.w)->model->tensor[q];
    assert_int_equal(qs_workbench_next_type(d.w, t, QS_Q4_1, +1), QS_Q5_K);
    assert_int_equal(qs_workbench_next_type(d.w, t, QS_Q4_1, -1), QS_Q4_K);
    assert_int_equal(qs_workbench_next_type(d.w, t, QS_F32, -1), QS_F16);
    assert_int_equal(qs_workbench_next_type(d.w, t, QS_F32, +1), QS_TYPE_NONE);
    desk_end(&d);
}

static void test_choices(void **state)
{
    (void)state;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    desk_start(&d, NULL);
    desk_open(&d, desk_model("choices.gguf", QS_Q8_0));
    assert_int_equal(qs_workbench_requantize(d.w, true, &e), QS_OK);
    const size_t t = desk_tensor(&d, "blk.0.attn_q.weight"), norm = desk_tensor(&d, "blk.0.attn_norm.weight");
    struct qs_type_choice *c = qs_calloc(qs_format_count(), sizeof *c);
    assert_non_null(c);
    assert_int_equal(qs_workbench_step(d.w, &t, 1, +1, NULL, &e), QS_OK);
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    const size_t n = qs_workbench_choices(d.w, &doc->model->tensor[t], c);
    assert_true(n > 10);
    unsigned now = 0, preset = 0, ladder = 0;
    for (size_t i = 0; i < n; i++) {
        if (i)
            assert_true(c[i].bpw >= c[i - 1].bpw);
        now += c[i].now;
        preset += c[i].preset;
        ladder += c[i].ladder;
        if (c[i].now) {
            assert_int_equal(c[i].type, QS_Q5_K);
            assert_int_equal(c[i].bytes, doc->plan->enc[t].bytes);
            assert_null(c[i].refused);
        }
        if (c[i].preset)
            assert_int_equal(c[i].type, QS_Q4_K);
        if (c[i].type == QS_IQ2_XXS)
            assert_non_null(strstr(c[i].refused, "importance matrix"));
    }
    assert_int_equal(now, 1);
    assert_int_equal(preset, 1);
    assert_int_equal(ladder, 6);
    const size_t k = qs_workbench_choices(d.w, &doc->model->tensor[norm], c);
    for (size_t i = 0; i < k; i++)
        assert_true((c[i].refused == NULL) == (c[i].type == doc->model->tensor[norm].type));
    qs_free(c);
    desk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ladder), cmocka_unit_test(test_choices) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
