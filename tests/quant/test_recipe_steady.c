/* test_recipe_steady.c - `steady = yes`: what is chosen for one tensor leaves the others alone, exported as well. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/quant/recipe.h"
#include "tests/model/make_model.h"
#include "tests/quant/llama_rules.h"

enum { LAYERS = 32 };

/* Dense; with experts (whose presets number by name, but for the lowest); of 8, whose mixes differ; rows that do not
 * fit blocks of 256. */
static const struct mm_spec shape[] = {
    { .layers = LAYERS, .embd = 256, .ff = 512, .vocab = 64, .untied = true, .fill = MM_SPARSE },
    { .layers = LAYERS, .embd = 256, .ff = 256, .vocab = 64, .experts = 4, .fill = MM_SPARSE },
    { .layers = LAYERS, .embd = 256, .ff = 256, .vocab = 64, .experts = 8, .dense_layers = 3, .fill = MM_SPARSE },
    { .layers = LAYERS, .embd = 256, .ff = 320, .vocab = 64, .heads = 2, .kv_heads = 2, .fill = MM_SPARSE },
};
enum { SHAPES = sizeof shape / sizeof *shape };

/* Behind the preset; ffn_down has the same beginning in dense layers and in those of experts. */
static const char *const choices[] = {
    "pin blk.3.attn_v.weight = Q8_0\n",
    "pin blk.0.attn_v.weight = F16\npin blk.31.attn_v.weight = Q5_0\n",
    "rule ^blk\\.(0|3|17)\\.ffn_down = Q8_0\n",
    "rule blk\\.1\\d\\.(attn_v|ffn_down|ffn_up) = Q5_1\npin blk.5.attn_q.weight = Q8_0\n",
    "rule ffn_down = Q8_0\npin blk.1.attn_v.weight = Q8_0\nleave-output = yes\n",
    "rule ffn_(up|gate)(_exps)?\\.weight$ = Q4_0\ntoken-embd-type = Q8_0\npin token_embd.weight = Q5_0\n",
};
enum { CHOICES = sizeof choices / sizeof *choices };

static struct qs_model *open_shape(size_t i)
{
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    char name[32];
    snprintf(name, sizeof name, "shape%zu.gguf", i);
    if (mm_file(qs_test_tmp_path(name), &shape[i], &e) || qs_model_open(qs_test_tmp_path(name), &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

static struct qs_recipe *parse(const char *preset, const char *more, const char *steady)
{
    struct qs_recipe *r = NULL;
    struct qs_str text = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    qs_str_addf(&text, "preset = %s\n%ssteady = %s\n", preset, more, steady);
    if (qs_recipe_parse("r", text.data, text.len, &r, &e))
        fail_msg("%s", e.msg);
    qs_str_free(&text);
    return r;
}

static struct qs_resolved *resolve(const struct qs_recipe *r, const struct qs_model *m, bool imatrix)
{
    struct qs_resolved *x = NULL;
    struct qs_err e = QS_ERR_INIT;
    return qs_recipe_resolve(r, m, imatrix, false, &x, &e) ? NULL : x;
}

/* Presets that number tensors, and that this model can have. */
static bool mixes(const struct qs_model *m, const struct qs_preset *p)
{
    const struct qs_format *base = qs_format_by_id(p->base);
    if (!base || base->kind == QS_KIND_FLOAT)
        return false;
    struct qs_recipe *alone = parse(p->name, "", "no");
    struct qs_resolved *x = resolve(alone, m, false);
    const bool can = x != NULL;
    qs_resolved_free(x);
    qs_recipe_free(alone);
    return can;
}

typedef void each_fn(const struct qs_model *m, const struct qs_preset *p, const char *more, bool imatrix);

static void each(each_fn *fn)
{
    for (size_t s = 0; s < SHAPES; s++) {
        struct qs_model *m = open_shape(s);
        for (size_t p = 0; p < qs_preset_count(); p++)
            for (size_t c = 0; c < CHOICES && mixes(m, qs_preset_at(p)); c++)
                for (int imatrix = 0; imatrix < 2; imatrix++)
                    fn(m, qs_preset_at(p), choices[c], imatrix);
        qs_model_close(m);
    }
}

static size_t compared, moved;

/* The settings count as the preset's: what pins and rules do is looked at. */
static void others_stay(const struct qs_model *m, const struct qs_preset *p, const char *more, bool imatrix)
{
    struct qs_recipe *r = parse(p->name, more, "yes"), *loose = parse(p->name, more, "no");
    struct qs_recipe *alone = parse(p->name, "", "no");
    alone->leave_output = r->leave_output;
    struct qs_resolved *x = resolve(r, m, imatrix), *y = resolve(alone, m, imatrix), *z = resolve(loose, m, imatrix);
    assert_true(x && y && z);
    assert_int_equal(x->n_shifted, 0);
    assert_string_equal(x->shift_text, "");
    for (size_t i = 0; i < m->n_tensors; i++) {
        if (x->forced[i] != QS_TYPE_NONE)
            assert_int_equal(x->choice[i].type, x->forced[i]);
        else if (x->choice[i].type != y->choice[i].type)
            fail_msg("%s, %s%s: %s instead of %s", p->name, more, m->tensor[i].name, qs_type_name(x->choice[i].type),
                     qs_type_name(y->choice[i].type));
        assert_null(strstr(x->choice[i].reason, "not counting"));
    }
    compared++;
    moved += z->n_shifted > 0;
    qs_resolved_free(x);
    qs_resolved_free(y);
    qs_resolved_free(z);
    qs_recipe_free(r);
    qs_recipe_free(loose);
    qs_recipe_free(alone);
}

static void test_others_stay(void **state)
{
    (void)state;
    compared = moved = 0;
    each(others_stay);
    print_message("%zu recipes, %zu of them move others when they are not steady\n", compared, moved);
    assert_true(moved > 100); /* or nothing was shown */
}

static void exported(const struct qs_recipe *r, const struct qs_model *m, bool imatrix, struct qs_str *file,
                     struct qs_str *args)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_export_llama(r, m, imatrix, file, args, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(strstr(args->data, "--imatrix IMATRIX ") != NULL, imatrix);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    while (text && (text = strchr(text, '\n')) != NULL)
        text++, n++;
    return n;
}

static void same_in_llama(const struct qs_model *m, const struct qs_preset *p, const char *more, bool imatrix)
{
    struct qs_recipe *r = parse(p->name, more, "yes");
    struct qs_resolved *x = resolve(r, m, imatrix);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_choice *c = calloc(m->n_tensors, sizeof *c);
    assert_true(x && c);
    exported(r, m, imatrix, &file, &args);
    llama_rules_types(m, file.data, args.data, c);
    for (size_t i = 0; i < m->n_tensors; i++)
        if (c[i].type != x->choice[i].type)
            fail_msg("%s, %s%s: %s here, %s there (%s)", p->name, more, m->tensor[i].name,
                     qs_type_name(x->choice[i].type), qs_type_name(c[i].type), file.data);
    compared++;
    moved += count_lines(file.data) > r->n_pins + r->n_rules;
    free(c);
    qs_str_free(&file);
    qs_str_free(&args);
    qs_resolved_free(x);
    qs_recipe_free(r);
}

static void test_export(void **state)
{
    (void)state;
    compared = moved = 0;
    each(same_in_llama);
    print_message("%zu recipes exported, %zu with more pins than they have\n", compared, moved);
    assert_true(moved > 100);
}

/* The first four attn_v of those that are not forced rise there: all from the fifth on need pins. None where the number
 * of no other tensor depends on it, or nothing is numbered. */
static void test_exported_pins(void **state)
{
    struct qs_model *m = open_shape(0);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_recipe *r = parse("Q4_K_S", "pin blk.1.attn_v.weight = Q8_0\n", "yes");
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    exported(r, m, false, &file, &args);
    assert_int_equal(count_lines(file.data), 1 + LAYERS - 4);
    assert_non_null(strstr(file.data, "^blk\\.4\\.attn_v\\.weight$=Q4_K\n"));
    assert_true(r->steady && r->n_pins == 1);
    assert_int_equal(qs_recipe_pin(r, "blk.1.attn_v.weight", QS_TYPE_NONE, &e), QS_OK);
    assert_int_equal(qs_recipe_pin(r, "blk.31.attn_v.weight", QS_Q8_0, &e), QS_OK);
    qs_str_clear(&file);
    qs_str_clear(&args);
    exported(r, m, false, &file, &args);
    assert_string_equal(file.data, "^blk\\.31\\.attn_v\\.weight$=Q8_0\n");
    r->pure = true;
    assert_int_equal(qs_recipe_pin(r, "blk.1.attn_v.weight", QS_Q8_0, &e), QS_OK);
    qs_str_clear(&file);
    qs_str_clear(&args);
    exported(r, m, false, &file, &args);
    assert_int_equal(count_lines(file.data), 2);
    qs_str_free(&file);
    qs_str_free(&args);
    qs_recipe_free(r);
    qs_model_close(m);
}

/* On the way to the same types a tensor may meet a fallback, which the recipe itself never does. */
static void test_strict(void **state)
{
    static const char strict[] = "strict = yes\nrule blk\\.[0-3]\\.ffn_down = Q8_0\n";
    struct qs_model *m = open_shape(3);
    const struct qs_preset *p = qs_preset_by_name("IQ4_NL");
    struct qs_recipe *r = parse("IQ4_NL", "strict = yes\n", "yes"), *loose = parse("IQ4_NL", strict, "no");
    (void)state;
    assert_null(resolve(r, m, false));
    assert_null(resolve(loose, m, false));
    same_in_llama(m, p, strict, false);
    qs_recipe_free(r);
    qs_recipe_free(loose);
    qs_model_close(m);
}

/* In a model with experts a name that does not tell its block is refused by the preset, but need not be when pinned. */
static void test_pinned_anyway(void **state)
{
    const struct mm_tensor odd = { .name = "odd.ffn_down.weight", .n_dims = 2, .ne = { 256, 256, 1, 1 }, .type = -1 };
    const struct mm_spec s = { .experts = 4, .fill = MM_SPARSE, .extra = &odd, .n_extra = 1 };
    struct qs_recipe *r = parse("Q4_K_M", "", "yes");
    struct qs_resolved *x = NULL;
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    if (mm_file(qs_test_tmp_path("odd.gguf"), &s, &e) || qs_model_open(qs_test_tmp_path("odd.gguf"), &m, &e))
        fail_msg("%s", e.msg);
    assert_null(resolve(r, m, false));
    assert_int_equal(qs_recipe_pin(r, odd.name, QS_Q6_K, &e), QS_OK);
    e = (struct qs_err)QS_ERR_INIT;
    assert_int_equal(qs_recipe_resolve(r, m, false, false, &x, &e), QS_OK);
    assert_int_equal(e.code, QS_OK);
    qs_resolved_free(x);
    qs_recipe_free(r);
    qs_model_close(m);
}

static int export_again(void *ctx, struct qs_err *e)
{
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_recipe *r = NULL;
    int rc = qs_recipe_parse("r", ctx, strlen(ctx), &r, e);
    struct qs_model *m = NULL;
    if (!rc)
        rc = qs_model_open(qs_test_tmp_path("few.gguf"), &m, e);
    if (!rc)
        rc = qs_recipe_export_llama(r, m, false, &file, &args, e);
    qs_model_close(m);
    qs_recipe_free(r);
    qs_str_free(&file);
    qs_str_free(&args);
    return rc;
}

static void test_no_memory(void **state)
{
    static char text[] = "preset = Q4_K_S\nsteady = yes\npin blk.1.attn_v.weight = Q8_0\n";
    const struct mm_spec s = { .layers = 6, .vocab = 8, .no_tokenizer = true, .fill = MM_SPARSE };
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(mm_file(qs_test_tmp_path("few.gguf"), &s, &e), QS_OK);
    qs_test_each_alloc(export_again, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_stay),   cmocka_unit_test(test_export), cmocka_unit_test(test_exported_pins),
        cmocka_unit_test(test_strict),        cmocka_unit_test(test_pinned_anyway),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
