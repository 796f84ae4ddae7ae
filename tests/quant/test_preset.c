/* test_preset.c - every preset against llama.cpp's own choice (snapshots/), and what the snapshots cannot say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "core/quant/preset.h"
#include "tests/quant/golden.h"

/* ---- snapshots ---------------------------------------------------------------------------------------------- */

struct tally {
    size_t runs, tensors, stops, wrong;
};

static int *forced_by_rules(const struct qs_model *m, const struct qs_golden_run *run)
{
    if (!run->n_rules || qs_format_by_id(run->args.preset->base) == NULL ||
        qs_format_by_id(run->args.preset->base)->kind == QS_KIND_FLOAT)
        return NULL; /* llama.cpp ignores rules where the base type is plain */
    int *forced = malloc(m->n_tensors * sizeof *forced);
    assert_non_null(forced);
    for (size_t i = 0; i < m->n_tensors; i++)
        forced[i] = QS_TYPE_NONE;
    for (unsigned j = 0; j < run->n_rules; j++) {
        struct qs_regex *re = NULL;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_regex_compile(run->rule[j].pattern, 0, &re, &e), QS_OK);
        for (size_t i = 0; i < m->n_tensors; i++)
            if (forced[i] == QS_TYPE_NONE &&
                qs_regex_find(re, m->tensor[i].name, strlen(m->tensor[i].name), 0, NULL, &e) == 1)
                forced[i] = run->rule[j].type;
        qs_regex_free(re);
    }
    return forced;
}

static void compare(void *ctx, const struct qs_model *m, const struct qs_golden_run *run)
{
    struct tally *tally = ctx;
    struct qs_preset_args args = run->args;
    struct qs_err e = QS_ERR_INIT;
    struct qs_choice *c = calloc(m->n_tensors, sizeof *c);
    int *forced = forced_by_rules(m, run);
    assert_non_null(c);
    args.forced = forced;
    int rc = qs_preset_choose(m, &args, c, &e);
    tally->runs++;
    if (run->stops) {
        tally->stops++;
        assert_int_equal(rc, QS_EINVAL);
        if (strncmp(e.msg, run->stops, strlen(run->stops)) != 0)
            fail_msg("%s: stops at %s there, here: %s", run->text, run->stops, e.msg);
    } else if (rc) {
        fail_msg("%s: %s", run->text, e.msg);
    }
    for (size_t i = 0; !rc && i < m->n_tensors; i++) {
        tally->tensors++;
        if (c[i].type != run->type[i] && tally->wrong++ < 20)
            print_error("%s: %s: %s expected, %s found (%s)\n", run->text, m->tensor[i].name,
                        qs_format_by_id(run->type[i])->name, qs_format_by_id(c[i].type)->name, c[i].reason);
        assert_true(c[i].reason[0] != 0);
        if (c[i].wanted == c[i].type && c[i].why == QS_WHY_SAME)
            assert_int_equal(c[i].type, m->tensor[i].type);
    }
    free(forced);
    free(c);
}

static void test_dry_run(void **state)
{
    struct tally t = { 0 };
    (void)state;
    qs_golden_each("dryrun-", compare, &t);
    print_message("%zu runs of llama-quantize, %zu types, %zu stops\n", t.runs, t.tensors, t.stops);
    assert_int_equal(t.wrong, 0);
    assert_true(t.runs > 2000 && t.stops >= 10);
}

static void test_schema(void **state)
{
    struct tally t = { 0 };
    (void)state;
    qs_golden_each("schema-", compare, &t);
    print_message("%zu presets of real models, %zu types\n", t.runs, t.tensors);
    assert_int_equal(t.wrong, 0);
    assert_int_equal(t.runs, 12 * 33);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(qs_preset_by_name("q4_k")->name, "Q4_K_M");
    assert_string_equal(qs_preset_by_name("Q3_K")->name, "Q3_K_M");
    assert_string_equal(qs_preset_by_name("q5_K")->name, "Q5_K_M");
    assert_string_equal(qs_preset_by_name("15")->name, "Q4_K_M");
    assert_string_equal(qs_preset_by_name("0")->name, "F32");
    assert_string_equal(qs_preset_by_name("41")->name, "Q2_0");
    assert_string_equal(qs_preset_by_name("copy")->name, "COPY");
    assert_null(qs_preset_by_name("4"));
    assert_null(qs_preset_by_name("-1"));
    assert_null(qs_preset_by_name("15x"));
    assert_null(qs_preset_by_name(""));
    assert_null(qs_preset_by_name("Q4_K_X"));
    assert_null(qs_preset_by_file_type(-1));
    assert_null(qs_preset_by_file_type(33));
    assert_null(qs_preset_at(qs_preset_count()));
    assert_int_equal(qs_preset_count(), 36);
    for (size_t i = 0; i < qs_preset_count(); i++) {
        const struct qs_preset *p = qs_preset_at(i);
        assert_ptr_equal(qs_preset_by_name(p->name), p);
        if (p->file_type >= 0)
            assert_ptr_equal(qs_preset_by_file_type(p->file_type), p);
        assert_true(p->about[0] != 0);
    }
}

/* ---- small models made by hand ------------------------------------------------------------------------------ */

static void set_tensor(struct qs_tensor *t, const char *name, int type, uint64_t ne0, uint64_t ne1)
{
    memset(t, 0, sizeof *t);
    t->name = name;
    t->type = type;
    t->format = qs_format_by_id(type);
    t->n_dims = 2;
    t->ne[0] = ne0;
    t->ne[1] = ne1;
    t->ne[2] = t->ne[3] = 1;
    t->n = ne0 * ne1;
    t->rows = ne1;
    t->layer = -1;
}

static struct qs_preset_args plain(const char *preset)
{
    return (struct qs_preset_args){ .preset = qs_preset_by_name(preset), .output_type = QS_TYPE_NONE,
                                    .token_embd_type = QS_TYPE_NONE };
}

static void small_model(struct qs_model *m, struct qs_tensor *t, uint64_t width)
{
    memset(m, 0, sizeof *m);
    snprintf(m->hp.arch, sizeof m->hp.arch, "llama");
    m->hp.n_layer = 1;
    m->hp.n_head = m->hp.n_head_kv = 4;
    set_tensor(&t[0], "token_embd.weight", QS_F16, width, 64);
    set_tensor(&t[1], "blk.0.attn_q.weight", QS_F16, width, 64);
    set_tensor(&t[2], "output.weight", QS_F16, width, 64);
    m->tensor = t;
    m->n_tensors = 3;
}

static void test_strict(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    small_model(&m, t, 320);
    struct qs_preset_args a = plain("Q4_K_M");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
    assert_int_equal(c[1].type, QS_Q5_0);
    assert_int_equal(c[1].wanted, QS_Q4_K);
    assert_non_null(strstr(c[1].reason, "rows of 320 are no multiple of 256: Q5_0 instead of Q4_K"));
    a.strict = true;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "token_embd.weight"));
    assert_non_null(strstr(e.msg, "Q8_0"));   /* what would fit ... */
    assert_null(strstr(e.msg, "Q6_K"));       /* ... and nothing else */
    a.preset = qs_preset_by_name("Q8_0");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
}

/* llama.cpp writes nonsense or stops half-way when an option names a type that the rows cannot have. */
static void test_option_on_bad_shape(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    small_model(&m, t, 320);
    struct qs_preset_args a = plain("Q8_0");
    a.output_type = QS_Q6_K;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "output.weight"));
    a = plain("Q8_0");
    a.token_embd_type = QS_Q4_K;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "token_embd.weight"));
    a.token_embd_type = QS_I32;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    a = plain("Q8_0");
    a.preset = NULL;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
}

static void test_unknown_and_integer_types(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    small_model(&m, t, 256);
    t[1].type = 9999;
    t[1].format = NULL;
    set_tensor(&t[0], "blk.0.ffn_ids.weight", QS_I32, 256, 64);
    struct qs_preset_args a = plain("Q4_K_M");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
    assert_int_equal(c[1].why, QS_WHY_COPY);
    assert_int_equal(c[1].type, 9999);
    assert_int_equal(c[0].why, QS_WHY_COPY);
    assert_int_equal(c[0].type, QS_I32);
    assert_int_equal(c[2].type, QS_Q6_K);
}

/* Experts whose block cannot be told stop the mixes that count by block, and only those. */
static void test_experts_without_block(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    small_model(&m, t, 256);
    m.hp.n_expert = 4;
    set_tensor(&t[1], "mtp.ffn_down.weight", QS_F16, 256, 64);
    struct qs_preset_args a = plain("Q4_K_M");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "mtp.ffn_down.weight"));
    t[1].name = "blk.7.ffn_down.weight";
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "block 7"));
    a.preset = qs_preset_by_name("IQ2_M");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
    a = plain("Q4_K_M");
    a.pure = true;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
}

static void test_copy_and_plain_bases_with_pins(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    int forced[3] = { QS_TYPE_NONE, QS_Q8_0, QS_TYPE_NONE };
    (void)state;
    small_model(&m, t, 256);
    struct qs_preset_args a = plain("COPY");
    a.forced = forced;
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
    assert_int_equal(c[0].type, QS_F16);
    assert_int_equal(c[0].why, QS_WHY_COPY);
    assert_int_equal(c[1].type, QS_Q8_0);
    a.preset = qs_preset_by_name("BF16");
    assert_int_equal(qs_preset_choose(&m, &a, c, &e), QS_OK);
    assert_int_equal(c[0].type, QS_BF16);
    assert_int_equal(c[1].type, QS_Q8_0);
}

static void test_importance(void **state)
{
    const struct qs_preset *q2ks = qs_preset_by_name("Q2_K_S"), *q2k = qs_preset_by_name("Q2_K");
    (void)state;
    assert_true(qs_preset_needs_importance(q2k, "blk.0.attn_q.weight", QS_IQ2_XS));
    assert_true(qs_preset_needs_importance(q2ks, "blk.0.attn_q.weight", QS_Q2_K));
    assert_false(qs_preset_needs_importance(q2k, "blk.0.attn_q.weight", QS_Q2_K));
    assert_false(qs_preset_needs_importance(q2ks, "token_embd.weight", QS_Q2_K));
    assert_false(qs_preset_needs_importance(q2ks, "output.weight", QS_IQ3_XXS));
    assert_true(qs_preset_needs_importance(q2ks, "output.weight", QS_IQ2_XXS)); /* its encoder cannot do without */
    assert_false(qs_preset_needs_importance(NULL, "blk.0.attn_q.weight", QS_Q4_K));
    /* What `types` and `survey` say of a type is what is refused: the two lists of llama.cpp, and no other type. */
    static const int rule[] = { QS_IQ3_XXS, QS_IQ2_XXS, QS_IQ2_XS, QS_IQ2_S, QS_IQ1_M, QS_IQ1_S };
    static const int encoder[] = { QS_IQ2_XXS, QS_IQ2_XS, QS_IQ1_S };
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        bool by_rule = false, by_encoder = false;
        for (size_t k = 0; k < sizeof rule / sizeof *rule; k++)
            by_rule |= rule[k] == f->id;
        for (size_t k = 0; k < sizeof encoder / sizeof *encoder; k++)
            by_encoder |= encoder[k] == f->id;
        assert_int_equal(!!(f->flags & QS_RULE_IMATRIX), by_rule);
        assert_int_equal(!!(f->flags & QS_NEEDS_IMATRIX), by_encoder);
        assert_int_equal(qs_preset_needs_importance(q2k, "blk.0.attn_q.weight", f->id), by_rule);
        assert_int_equal(qs_preset_needs_importance(q2k, "token_embd.weight", f->id), by_encoder);
    }
}

static void test_what_is_kept(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    (void)state;
    small_model(&m, t, 256);
    static const struct { const char *name; bool quantized; } cases[] = {
        { "blk.0.attn_q.weight", true },      { "blk.0.attn_q.bias", false },   { "blk.0.attn_norm.weight", false },
        { "blk.0.ffn_gate_inp.weight", false }, { "position_embd.weight", false }, { "v.position_embd.weight", false },
        { "blk.0.ssm_conv1d.weight", false }, { "blk.0.ssm_out.weight", true }, { "abcde", true }, { "abcdef", false },
        { "blk.0.time_mix_w1.weight", false }, { "blk.0.time_mix_key.weight", true }, { "weight", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t[0].name = cases[i].name;
        if (qs_preset_quantizes(&m, &t[0]) != cases[i].quantized)
            fail_msg("%s", cases[i].name);
    }
    t[0].name = "blk.0.attn_q.weight";
    t[0].ne[1] = 1;
    assert_false(qs_preset_quantizes(&m, &t[0])); /* one row, whatever the number of dimensions says */
    t[0].ne[2] = 8;
    assert_true(qs_preset_quantizes(&m, &t[0]));
    t[0].name = "blk.0.attn_k_b.weight";
    assert_true(qs_preset_quantizes(&m, &t[0]));
    snprintf(m.hp.arch, sizeof m.hp.arch, "glm5-next");
    assert_false(qs_preset_quantizes(&m, &t[0]));
}

static void test_out_of_memory(void **state)
{
    struct qs_model m;
    struct qs_tensor t[3];
    struct qs_choice c[3];
    struct qs_err e = QS_ERR_INIT;
    struct qs_preset_args a = plain("Q4_K_M");
    (void)state;
    small_model(&m, t, 256);
    qs_mem_fail_after(1);
    int rc = qs_preset_choose(&m, &a, c, &e);
    qs_mem_fail_after(0);
    assert_int_equal(rc, QS_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_option_on_bad_shape),
        cmocka_unit_test(test_unknown_and_integer_types),
        cmocka_unit_test(test_experts_without_block),
        cmocka_unit_test(test_copy_and_plain_bases_with_pins),
        cmocka_unit_test(test_importance),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
