/* test_plan.c - plans: what is refused before the start, what is warned about, and the totals. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/imatrix.h"
#include "core/model/model.h"
#include "core/quant/plan.h"
#include "core/quant/writer.h"
#include "core/report/report_plan.h"
#include "core/report/report_recipe.h"
#include "tests/model/make_model.h"

/* ---- help --------------------------------------------------------------------------------------------------- */

struct bench {
    struct qs_model *m;
    struct qs_recipe *r;
    struct qs_plan *p;
    struct qs_imatrix *im;
    struct qs_err e;
};

static struct bench open_bench(const struct mm_spec *spec, const char *recipe)
{
    static unsigned count;
    char name[32];
    struct bench b = { NULL, NULL, NULL, NULL, QS_ERR_INIT };
    snprintf(name, sizeof name, "m%u.gguf", count++);
    const char *path = qs_test_tmp_path(name);
    if (mm_file(path, spec, &b.e) || qs_model_open(path, &b.m, &b.e) ||
        qs_recipe_parse("r", recipe, strlen(recipe), &b.r, &b.e))
        fail_msg("%s", b.e.msg);
    return b;
}

static int make(struct bench *b, struct qs_plan_args args)
{
    args.imatrix = b->im;
    b->e = (struct qs_err)QS_ERR_INIT;
    return qs_plan_make(b->m, b->r, &args, &b->p, &b->e);
}

static void close_bench(struct bench *b)
{
    qs_plan_free(b->p);
    qs_recipe_free(b->r);
    qs_imatrix_free(b->im);
    qs_model_close(b->m);
}

static bool warned(const struct qs_plan *p, const char *part)
{
    for (size_t i = 0; i < p->n_warnings; i++)
        if (strstr(p->warning[i], part))
            return true;
    for (size_t i = 0; i < p->n_warnings; i++)
        print_message("warning: %s\n", p->warning[i]);
    return false;
}

static void refuse(struct bench *b, struct qs_plan_args args, int code, const char *part)
{
    int rc = make(b, args);
    if (rc != code || !strstr(b->e.msg, part))
        fail_msg("code %d, %s", rc, b->e.msg);
    assert_null(b->p);
}

static void accept(struct bench *b, struct qs_plan_args args)
{
    if (make(b, args))
        fail_msg("%s", b->e.msg);
}

/* An importance matrix in the older form: ones for the tensors whose name holds `part`, `cols_factor` times as many
 * values as columns. */
static void give_imatrix(struct bench *b, const char *part, size_t factor, bool stranger)
{
    struct qs_str s = QS_STR_INIT;
    int32_t n = stranger;
    for (size_t i = 0; i < b->m->n_tensors; i++)
        n += strstr(b->m->tensor[i].name, part) != NULL;
    qs_str_addn(&s, &n, 4);
    for (size_t i = 0; i < b->m->n_tensors + stranger; i++) {
        const char *name = i < b->m->n_tensors ? b->m->tensor[i].name : "blk.99.nobody.weight";
        if (i < b->m->n_tensors && !strstr(name, part))
            continue;
        size_t cols = i < b->m->n_tensors ? (size_t)(b->m->tensor[i].ne[0] * b->m->tensor[i].ne[2]) : 32;
        int32_t len = (int32_t)strlen(name), one = 1, values = (int32_t)(cols * factor);
        float x = 1.0f;
        qs_str_addn(&s, &len, 4);
        qs_str_addn(&s, name, (size_t)len);
        qs_str_addn(&s, &one, 4);
        qs_str_addn(&s, &values, 4);
        for (int32_t k = 0; k < values; k++)
            qs_str_addn(&s, &x, 4);
    }
    if (qs_imatrix_open_mem(s.data, s.len, &b->im, &b->e))
        fail_msg("%s", b->e.msg);
    qs_str_free(&s);
}

/* ---- totals ------------------------------------------------------------------------------------------------- */

static void test_totals(void **state)
{
    const struct mm_spec spec = { .layers = 8, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    uint64_t bytes = 0, weights = 0;
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_int_equal(b.p->n, b.m->n_tensors);
    for (size_t i = 0; i < b.p->n; i++) {
        const struct qs_encoding *x = &b.p->enc[i];
        const struct qs_format *f = qs_format_by_id(x->type);
        assert_int_equal(x->bytes, x->tensor->n / f->block * f->component[0].bytes_per_block);
        assert_int_equal(x->copy, x->type == x->tensor->type);
        bytes += x->bytes;
        weights += x->tensor->n;
    }
    assert_int_equal(b.p->bytes, bytes);
    assert_true(fabs(b.p->bpw - 8.0 * (double)bytes / (double)weights) < 1e-12);
    assert_int_equal(b.p->source_bytes, b.m->bytes);
    assert_int_equal(b.p->file_type, 15);
    assert_int_equal(b.p->n_warnings, 0);
    assert_ptr_not_equal(b.p->recipe, b.r);
    close_bench(&b);
}

/* Sizes of the files that llama-quantize (llama.cpp 0c1e57098) makes of the demo model, without importance matrix. */
static void test_demo_file_sizes(void **state)
{
    static const struct { const char *preset; uint64_t bytes;
    } known[] = {
        { "F32", 35765632 },   { "BF16", 17939840 },  { "F16", 17939840 },      { "Q8_0", 9584000 },
        { "Q6_K", 7425408 },   { "Q5_K_M", 6537600 }, { "Q5_K_S", 6380928 },    { "Q5_1", 6872448 },
        { "Q5_0", 6380928 },   { "Q4_K_M", 5702016 }, { "Q4_K_S", 5447040 },    { "Q4_1", 5889408 },
        { "Q4_0", 5397888 },   { "IQ4_NL", 5430656 }, { "IQ4_XS", 5193088 },    { "Q3_K_L", 5096832 },
        { "Q3_K_M", 4744576 }, { "Q3_K_S", 4353408 }, { "IQ3_M", 4492672 },     { "IQ3_S", 4353408 },
        { "Q2_K", 3847552 },   { "Q2_0", 3186048 },   { "TQ2_0", 3001728 },     { "TQ1_0", 2633088 },
        { "Q1_0", 2080128 },   { "COPY", 17939840 },  { "MXFP4_MOE", 9584000 },
    };
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    uint64_t header = 0;
    (void)state;
    if (qs_model_open(qs_test_src("demo/storyteller-9m-f16.gguf"), &m, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct qs_recipe *r = NULL;
        struct qs_plan *p = NULL;
        const struct qs_plan_args args = { 0 };
        if (qs_recipe_new(known[i].preset, &r, &e) || qs_plan_make(m, r, &args, &p, &e))
            fail_msg("%s", e.msg);
        /* The rest is headers and padding: small, and the same for every preset. */
        assert_true(known[i].bytes > p->bytes);
        if (header == 0)
            header = known[i].bytes - p->bytes;
        if (known[i].bytes - p->bytes != header)
            fail_msg("%s: tensors of %llu bytes in a file of %llu", known[i].preset, (unsigned long long)p->bytes,
                     (unsigned long long)known[i].bytes);
        qs_plan_free(p);
        qs_recipe_free(r);
    }
    assert_true(header < 200000);
    qs_model_close(m);
}

/* ---- importance --------------------------------------------------------------------------------------------- */

static void test_needs_importance(void **state)
{
    const struct mm_spec spec = { .layers = 2, .untied = true };
    struct bench b = open_bench(&spec, "preset = IQ2_XS\n");
    (void)state;
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL,
           ".weight as IQ2_XS needs importance weights, as do others");
    assert_int_equal(b.e.advice, QS_ADVISE_IMATRIX);
    accept(&b, (struct qs_plan_args){ .foretell = true }); /* all of it can be looked at, and is not written */
    assert_true(warned(b.p, "quantize would stop: "));
    assert_int_equal(b.p->n, b.m->n_tensors);
    assert_true(b.p->bytes > 0 && b.p->blocker.code == QS_EINVAL);
    struct qs_writer_result *result = NULL;
    const struct qs_writer_args where = { .path = qs_test_tmp_path("blocked.gguf") };
    assert_int_equal(qs_writer_run(b.p, &where, NULL, NULL, &result, &b.e), QS_EINVAL);
    assert_non_null(strstr(b.e.msg, "IQ2_XS needs importance weights, as do others"));
    assert_int_equal(b.e.advice, QS_ADVISE_IMATRIX);
    assert_false(qs_file_exists(where.path));
    qs_plan_free(b.p);
    b.p = NULL;
    give_imatrix(&b, "ffn_", 1, false);
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL, "the importance matrix has none for it");
    qs_imatrix_free(b.im);
    give_imatrix(&b, "blk.", 1, true);
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "1 of ")); /* the stranger, and entries of norms are none */
    close_bench(&b);
}

static void test_missing_importance(void **state)
{
    const struct mm_spec spec = { .layers = 2, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    give_imatrix(&b, "ffn_", 1, false);
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "no importance weights for 8 tensors (blk.0.attn_"));
    for (size_t i = 0; i < b.p->n; i++) {
        bool ffn = strstr(b.p->enc[i].tensor->name, "ffn_") && !strstr(b.p->enc[i].tensor->name, "norm");
        assert_int_equal(b.p->enc[i].importance != NULL, ffn);
    }
    close_bench(&b);
}

static void test_importance_of_wrong_size(void **state)
{
    const struct mm_spec spec = { .layers = 2, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    give_imatrix(&b, "attn_q.weight", 2, false);
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL,
           "blk.0.attn_q.weight: the importance matrix has 512 values, 256 are");
    qs_imatrix_free(b.im);
    give_imatrix(&b, "token_embd", 2, false); /* recorded by token: passed over */
    accept(&b, (struct qs_plan_args){ 0 });
    close_bench(&b);
}

static void test_unseen_experts(void **state)
{
    const struct mm_spec spec = { .layers = 2, .experts = 4, .experts_used = 2 };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    give_imatrix(&b, "_exps", 1, false);
    b.im->entry[0].unseen = 3;
    b.im->entry[0].experts = 4;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(
        warned(b.p, "1 tensor with experts that the importance matrix never saw (blk.0.ffn_down_exps.weight: 3 of 4)"));
    close_bench(&b);
}

/* Entries that say nothing: counted apart from single experts that were not seen, in models without experts too. */
static void test_idle_importance(void **state)
{
    const struct mm_spec spec = { .layers = 2, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    give_imatrix(&b, "ffn_up", 1, false);
    struct qs_imatrix_entry *last = &b.im->entry[b.im->n_entries - 1];
    last->unseen = 1;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "the importance matrix saw no token for 1 tensor (blk.1.ffn_up.weight): its weights say nothing"));
    assert_false(warned(b.p, "experts"));
    qs_plan_free(b.p);
    b.p = NULL;
    last->unseen = 0;
    last->zero = b.im->entry[0].zero = true;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "saw no token for 2 tensors (blk.0.ffn_up.weight ...)"));
    close_bench(&b);
}

/* A matrix that nothing takes is told. */
static void test_unused_importance(void **state)
{
    static const struct { const char *recipe, *says; } cases[] = {
        { "preset = COPY\n", "the importance matrix is not used: every tensor is copied as it is" },
        { "preset = BF16\n", "the importance matrix is not used: no tensor is converted to a type" },
    };
    const struct mm_spec spec = { .layers = 1, .untied = true };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench b = open_bench(&spec, cases[i].recipe);
        give_imatrix(&b, "ffn_up", 1, false);
        accept(&b, (struct qs_plan_args){ 0 });
        assert_true(warned(b.p, cases[i].says));
        close_bench(&b);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------------ */

static void test_quantized_sources(void **state)
{
    struct mm_spec spec = { .layers = 1, .untied = true, .type = QS_Q8_0 };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "9 tensors are converted from Q8_0 (token_embd.weight): errors are against this file"));
    close_bench(&b);

    b = open_bench(&spec, "preset = Q8_0\n"); /* copied: nothing to say */
    accept(&b, (struct qs_plan_args){ 0 });
    assert_int_equal(b.p->n_warnings, 0);
    assert_int_equal(b.p->bytes, b.p->source_bytes);
    close_bench(&b);

    spec.type = QS_Q4_0;
    b = open_bench(&spec, "preset = Q5_K_M\n");
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL,
           "token_embd.weight is Q4_0 already, as are others: converting it again");
    accept(&b, (struct qs_plan_args){ .foretell = true });
    assert_true(warned(b.p, "quantize would stop: token_embd.weight is Q4_0 already"));
    assert_int_equal(b.p->blocker.code, QS_EINVAL);
    qs_plan_free(b.p);
    b.p = NULL;
    accept(&b, (struct qs_plan_args){ .allow_requantize = true });
    assert_int_equal(b.p->blocker.code, QS_OK);
    assert_true(warned(b.p, "quantized already (token_embd.weight is Q4_0)"));
    assert_true(warned(b.p, "the result is larger than the source"));
    close_bench(&b);
}

/* ---- fallbacks, options, rules ------------------------------------------------------------------------------ */

static void test_fallbacks(void **state)
{
    const struct mm_spec spec = { .layers = 1, .embd = 320, .ff = 512, .heads = 5, .kv_heads = 5, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_S\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(
        warned(b.p, "cannot be Q4_K: token_embd.weight, rows of 320 are no multiple of 256: Q5_0 instead of Q4_K"));
    close_bench(&b);
    b = open_bench(&spec, "preset = Q4_K_S\nstrict = yes\n");
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL, "a strict recipe takes no other type");
    close_bench(&b);
}

static void test_idle_parts(void **state)
{
    const struct mm_spec spec = { .layers = 1 };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\npure = yes\noutput-type = Q8_0\n"
                                       "rule attn = Q8_0\nrule attn_q = Q6_K\nrule norm = Q4_K\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "output-type has no effect"));
    assert_true(warned(b.p, ":5: rule attn_q decides nothing: it matches 1 tensor, decided before it"));
    assert_true(warned(b.p, ":6: rule norm decides nothing: it matches 3 tensors, "));
    close_bench(&b);
    b = open_bench(&spec, "preset = MXFP4_MOE\nrule nothing = Q8_0\npin nobody = Q8_0\n");
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL, "pin nobody: the model has no such tensor");
    close_bench(&b);
    b = open_bench(&spec, "leave-output = yes\n");
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "leave-output has no effect"));
    close_bench(&b);
    b = open_bench(&spec, "preset = MXFP4_MOE\n");
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "MXFP4_MOE is made for models with experts"));
    close_bench(&b);
}

/* ---- looked at, not carried out ----------------------------------------------------------------------------- */

static const struct qs_encoding *encoding(const struct bench *b, const char *tensor)
{
    for (size_t i = 0; i < b->p->n; i++)
        if (!strcmp(b->p->enc[i].tensor->name, tensor))
            return &b->p->enc[i];
    fail_msg("no %s", tensor);
    return NULL;
}

static void has_problem(const struct bench *b, const char *tensor, const char *part)
{
    const char *problem = encoding(b, tensor)->problem;
    if (!problem || !strstr(problem, part))
        fail_msg("%s: %s", tensor, problem ? problem : "no problem");
}

static size_t count_problems(const struct qs_plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->enc[i].problem != NULL;
    return n;
}

/* Pins and rules that cannot be: the plan is whole, the tensors follow the preset, and each reason stands at its place. */
static void test_foretold_recipe(void **state)
{
    const struct mm_spec spec = { .layers = 2, .embd = 320, .ff = 512, .heads = 5, .kv_heads = 5, .untied = true };
    static const char recipe[] = "preset = Q4_K_S\npin nobody = Q8_0\npin blk.0.attn_q.weight = Q4_K\n"
                                 "pin blk.0.attn_norm.weight = Q8_0\nrule nothing = Q8_0\nrule attn_(k|v) = Q6_K\n"
                                 "rule attn_v = Q8_0\npin blk.1.attn_q.weight = Q8_0\n";
    struct bench b = open_bench(&spec, recipe), plain = open_bench(&spec, "preset = Q4_K_S\n");
    (void)state;
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EINVAL, "r:2: pin nobody: the model has no such tensor");
    accept(&b, (struct qs_plan_args){ .foretell = true });
    accept(&plain, (struct qs_plan_args){ .foretell = true });
    assert_int_equal(count_problems(plain.p) + plain.p->n_problems, 0);
    assert_int_equal(b.p->n, b.m->n_tensors);
    assert_int_equal(b.p->n_problems, 2);
    assert_string_equal(b.p->problem[0], "r:2: pin nobody: the model has no such tensor");
    assert_string_equal(b.p->problem[1], "r:5: rule nothing: matches none of the 21 tensors");
    assert_int_equal(b.p->blocker.code, QS_EINVAL);
    assert_string_equal(b.p->blocker.msg, b.p->problem[0]);
    has_problem(&b, "blk.0.attn_q.weight", "r:3: pin blk.0.attn_q.weight: blk.0.attn_q.weight cannot be Q4_K: rows of 320");
    has_problem(&b, "blk.0.attn_norm.weight", "r:4: pin blk.0.attn_norm.weight: this tensor always stays");
    has_problem(&b, "blk.1.attn_k.weight", "r:6: rule attn_(k|v): blk.1.attn_k.weight cannot be Q6_K");
    assert_int_equal(count_problems(b.p), 6);
    assert_int_equal(encoding(&b, "blk.0.attn_v.weight")->type, QS_Q8_0); /* the next rule that can */
    assert_int_equal(encoding(&b, "blk.1.attn_q.weight")->type, QS_Q8_0);
    assert_int_equal(encoding(&b, "blk.0.attn_q.weight")->type, encoding(&plain, "blk.0.attn_q.weight")->type);
    assert_true(warned(b.p, "quantize would stop: r:2: pin nobody"));
    assert_true(warned(b.p, "quantize would stop: r:3: pin blk.0.attn_q.weight"));
    assert_true(warned(b.p, "blk.0.attn_k.weight cannot be Q6_K"));
    assert_true(warned(b.p, "(and 3 more tensors likewise)"));
    assert_false(warned(b.p, "decides nothing"));
    close_bench(&b);
    close_bench(&plain);
}

static void test_foretold_shapes(void **state)
{
    const struct mm_spec ragged = { .layers = 1, .embd = 320, .ff = 512, .heads = 5, .kv_heads = 5, .untied = true };
    struct bench b = open_bench(&ragged, "preset = Q4_K_S\nstrict = yes\noutput-type = Q6_K\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ .foretell = true });
    has_problem(&b, "blk.0.attn_q.weight", "a strict recipe takes no other type");
    has_problem(&b, "output.weight", "rows of 320 are no multiple of 256, as Q6_K needs");
    assert_int_equal(encoding(&b, "blk.0.attn_q.weight")->type, QS_Q5_0); /* as without `strict` */
    assert_int_equal(encoding(&b, "output.weight")->type, QS_F16);        /* as in the source */
    assert_true(encoding(&b, "output.weight")->copy);
    assert_null(encoding(&b, "blk.0.ffn_down.weight")->problem);
    assert_int_equal(b.p->n_problems, 0);
    assert_true(warned(b.p, "more tensors likewise)"));
    assert_int_equal(b.p->blocker.code, QS_EINVAL);
    close_bench(&b);

    b = open_bench(&ragged, "preset = Q4_K_S\n");
    b.m->tensor[0].marks = QS_TENSOR_BAD_RANGE;
    accept(&b, (struct qs_plan_args){ .foretell = true });
    assert_string_equal(b.p->enc[0].problem, b.p->blocker.msg);
    assert_int_equal(b.p->blocker.code, QS_EFORMAT);
    assert_true(b.p->enc[0].copy);
    close_bench(&b);
}

/* Importance and sources; two reasons at one tensor stand side by side. */
static void test_foretold_numbers(void **state)
{
    const struct mm_spec spec = { .layers = 2, .untied = true, .type = QS_Q4_0 };
    struct bench b = open_bench(&spec, "preset = IQ2_XS\n");
    (void)state;
    give_imatrix(&b, "attn_q.weight", 2, false);
    accept(&b, (struct qs_plan_args){ .foretell = true });
    has_problem(&b, "blk.0.attn_q.weight", "Q4_0 already: converting it again loses quality twice; ");
    has_problem(&b, "blk.0.attn_q.weight", "the importance matrix has 512 values, 256 are needed");
    has_problem(&b, "blk.0.attn_q.weight", "; IQ2_XS needs importance weights");
    has_problem(&b, "blk.1.ffn_up.weight", "IQ2_XS needs importance weights");
    assert_null(encoding(&b, "blk.1.attn_norm.weight")->problem);
    assert_true(warned(b.p, "quantize would stop: token_embd.weight is Q4_0 already, as are others"));
    assert_true(warned(b.p, "belongs to another model (and 1 more tensor likewise)"));
    assert_true(warned(b.p, "needs importance weights, as do others, and the importance matrix has none for it"));
    assert_non_null(strstr(b.p->blocker.msg, "Q4_0 already"));
    struct qs_writer_result *result = NULL;
    const struct qs_writer_args where = { .path = qs_test_tmp_path("foretold.gguf") };
    assert_int_equal(qs_writer_run(b.p, &where, NULL, NULL, &result, &b.e), QS_EINVAL);
    qs_plan_free(b.p);
    b.p = NULL;
    accept(&b, (struct qs_plan_args){ .foretell = true, .allow_requantize = true });
    assert_null(strstr(encoding(&b, "blk.0.attn_q.weight")->problem, "already"));
    close_bench(&b);
}

static void test_unknown_type(void **state)
{
    const struct mm_spec spec = { .layers = 1 };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\n");
    (void)state;
    b.m->tensor[0].format = NULL; /* as the reader leaves a type it does not know */
    b.m->tensor[0].type = 999;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_true(warned(b.p, "1 tensor of a type unknown here (token_embd.weight: type 999): copied"));
    assert_true(b.p->enc[0].copy);
    assert_int_equal(b.p->enc[0].bytes, b.m->tensor[0].size);
    b.m->tensor[0].marks = QS_TENSOR_BAD_RANGE;
    qs_plan_free(b.p);
    b.p = NULL;
    refuse(&b, (struct qs_plan_args){ 0 }, QS_EFORMAT, "token_embd.weight is damaged");
    close_bench(&b);
}

static void test_copy_keeps_file_type(void **state)
{
    const struct mm_spec spec = { .layers = 1 };
    struct bench b = open_bench(&spec, "preset = COPY\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    assert_int_equal(b.p->file_type, b.m->file_type);
    for (size_t i = 0; i < b.p->n; i++)
        assert_true(b.p->enc[i].copy);
    close_bench(&b);
}

/* ---- reports ------------------------------------------------------------------------------------------------ */

static void check_report(struct qs_report *r, const char *const *parts)
{
    struct qs_str text = QS_STR_INIT, json = QS_STR_INIT;
    assert_non_null(r);
    assert_false(qs_report_failed(r));
    qs_report_text(r, &(struct qs_text_style){ .width = 0 }, &text);
    assert_true(qs_report_json(r, &json));
    for (; *parts; parts++)
        if (!strstr(text.data, *parts) && !strstr(json.data, *parts))
            fail_msg("\"%s\" is not in:\n%s\n%s", *parts, text.data, json.data);
    qs_str_free(&text);
    qs_str_free(&json);
    qs_report_free(r);
}

/* The table that a screen moves over: its columns, what is known without measuring, problems in place of reasons. */
static void check_brief_choice(struct qs_plan *p)
{
    static const char *const keys[] = { "name", "role", "layer", "shape", "from", "to", "bytes", "bpw", "error", "kurtosis",
                                        "outliers", "reason" };
    const struct qs_survey_args args = { .errors = true };
    struct qs_survey *survey = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_survey_new(p->model, &args, &survey, &e), QS_OK);
    p->enc[3].problem = "it cannot be";
    struct qs_report *r = qs_report_new("tensors");
    qs_report_choice(r, p, &(struct qs_choice_view){ .survey = survey, .brief = true });
    assert_false(qs_report_failed(r));
    const struct qs_section *s = qs_report_section(r, 0);
    assert_int_equal(qs_section_rows(s), p->n);
    assert_int_equal(qs_section_columns(s), sizeof keys / sizeof *keys);
    for (size_t c = 0; c < qs_section_columns(s); c++)
        assert_string_equal(qs_section_column(s, c)->key, keys[c]);
    assert_true(qs_section_column(s, 11)->optional && !qs_section_column(s, 7)->optional);
    for (size_t i = 0; i < p->n; i++) {
        assert_string_equal(qs_section_cell(s, i, 0)->str, p->enc[i].tensor->name);
        assert_string_equal(qs_section_cell(s, i, 11)->str, i == 3 ? "it cannot be" : p->enc[i].reason);
        assert_int_equal(qs_section_cell(s, i, 9)->type, QS_CELL_NONE); /* nothing is measured */
        const bool lossless = !p->enc[i].copy && p->enc[i].type == QS_F32;
        assert_int_equal(qs_section_cell(s, i, 8)->type, lossless ? QS_CELL_NUM : QS_CELL_NONE);
    }
    p->enc[3].problem = NULL;
    qs_report_free(r);
    qs_survey_free(survey);
}

static void test_reports(void **state)
{
    const struct mm_spec spec = { .layers = 2, .embd = 320, .ff = 512, .heads = 5, .kv_heads = 5, .untied = true };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\npin blk.0.attn_q.weight = Q8_0\nrule attn_v = F16\n");
    (void)state;
    accept(&b, (struct qs_plan_args){ 0 });
    const struct qs_writer_forecast f = { .bytes = 5000, .claim = 700, .n_files = 2, .memory = 123456, .free_disk = 600 };
    static const char *const all[] = {
        "320 x 320",       "pinned in line 2", "rule of line 3: attn_v", "Q5_0 instead of Q4_K",
        "\"peak_memory\": 123456", "\"warnings\"", "\"report\": \"plan\"", "\"file_bytes\": 5000", "\"files\": 2",
        "\"free_disk\": 600", "\"fits_disk\": false", NULL
    };
    check_report(qs_report_plan(b.p, &(struct qs_choice_view){ .survey = NULL }, &f), all);
    struct qs_report *few = qs_report_plan(b.p, &(struct qs_choice_view){ .changes_only = true }, NULL);
    size_t changed = 0;
    for (size_t i = 0; i < b.p->n; i++)
        changed += !b.p->enc[i].copy;
    assert_int_equal(qs_section_rows(qs_report_section(few, 0)), changed);
    qs_report_free(few);
    check_brief_choice(b.p);
    static const char *const recipe[] = { "\"items\"", "blk.0.attn_q.weight", "as the preset", NULL };
    check_report(qs_report_recipe(b.r), recipe);
    static const char *const resolved[] = { "\"matched\": 2", "\"decided\": 2", "pinned in line 2", NULL };
    check_report(qs_report_recipe_resolved(b.r, b.m, b.p->resolved), resolved);

    struct qs_recipe *other = NULL;
    struct qs_resolved *x = NULL;
    bool same = true;
    static const char changes[] = "preset = Q4_K_M\npure = yes\nrule ffn_up = F16\nrule attn_v = F16\n";
    assert_int_equal(qs_recipe_parse("r", changes, sizeof changes - 1, &other, &b.e), QS_OK);
    assert_int_equal(qs_recipe_resolve(other, b.m, false, false, &x, &b.e), QS_OK);
    static const char *const diff[] = { "ffn_up", "\"pure\"", "\"bytes_a\"", "\"delta\"", "blk.1.ffn_up.weight", NULL };
    check_report(qs_report_recipe_diff(b.r, other, b.m, b.p->resolved, x, &same), diff);
    assert_false(same);
    qs_report_free(qs_report_recipe_diff(other, other, NULL, NULL, NULL, &same));
    assert_true(same);
    qs_resolved_free(x);
    qs_recipe_free(other);
    close_bench(&b);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static bool foretelling;

static int plan_once(void *ctx, struct qs_err *e)
{
    struct bench *b = ctx;
    struct qs_plan *p = NULL;
    const struct qs_plan_args args = { .imatrix = b->im, .foretell = foretelling };
    int rc = qs_plan_make(b->m, b->r, &args, &p, e);
    qs_plan_free(p);
    return rc;
}

static void test_out_of_memory(void **state)
{
    const struct mm_spec spec = { .layers = 1, .embd = 320, .ff = 512, .heads = 5, .kv_heads = 5 };
    struct bench b = open_bench(&spec, "preset = Q4_K_M\npin blk.0.attn_q.weight = Q8_0\nrule attn_q = F16\n");
    (void)state;
    give_imatrix(&b, "ffn_", 1, true);
    qs_test_each_alloc(plan_once, &b);
    close_bench(&b);
    b = open_bench(&spec, "preset = IQ2_XS\nstrict = yes\npin nobody = Q8_0\nrule attn_q = Q4_K\nrule no = F16\n");
    give_imatrix(&b, "ffn_up", 2, true);
    foretelling = true;
    qs_test_each_alloc(plan_once, &b);
    foretelling = false;
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_demo_file_sizes),
        cmocka_unit_test(test_needs_importance),
        cmocka_unit_test(test_missing_importance),
        cmocka_unit_test(test_importance_of_wrong_size),
        cmocka_unit_test(test_unseen_experts),
        cmocka_unit_test(test_idle_importance),
        cmocka_unit_test(test_unused_importance),
        cmocka_unit_test(test_quantized_sources),
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_idle_parts),
        cmocka_unit_test(test_foretold_recipe),
        cmocka_unit_test(test_foretold_shapes),
        cmocka_unit_test(test_foretold_numbers),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_copy_keeps_file_type),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
