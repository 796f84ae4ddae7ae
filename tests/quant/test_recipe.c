/* test_recipe.c - recipe files, edits, what they decide, and the form llama.cpp reads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/recipe.h"
#include "tests/quant/golden.h"
#include "tests/quant/llama_rules.h"

/* ---- help --------------------------------------------------------------------------------------------------- */

static struct qs_recipe *parse(const char *text)
{
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_parse("r", text, strlen(text), &r, &e))
        fail_msg("%s", e.msg);
    return r;
}

static void check_print(const struct qs_recipe *r, const char *text)
{
    struct qs_str s = QS_STR_INIT;
    assert_int_equal(qs_recipe_print(r, &s, NULL), QS_OK);
    assert_string_equal(s.data, text);
    qs_str_free(&s);
}

static void assert_same(const struct qs_recipe *a, const struct qs_recipe *b)
{
    assert_ptr_equal(a->preset, b->preset);
    assert_int_equal(a->pure, b->pure);
    assert_int_equal(a->leave_output, b->leave_output);
    assert_int_equal(a->strict, b->strict);
    assert_int_equal(a->steady, b->steady);
    assert_int_equal(a->output_type, b->output_type);
    assert_int_equal(a->token_embd_type, b->token_embd_type);
    assert_int_equal(a->n_pins, b->n_pins);
    assert_int_equal(a->n_rules, b->n_rules);
    for (size_t i = 0; i < a->n_pins; i++) {
        assert_string_equal(a->pin[i].pattern, b->pin[i].pattern);
        assert_int_equal(a->pin[i].type, b->pin[i].type);
    }
    for (size_t i = 0; i < a->n_rules; i++) {
        assert_string_equal(a->rule[i].pattern, b->rule[i].pattern);
        assert_int_equal(a->rule[i].type, b->rule[i].type);
    }
}

static void round_trip(const struct qs_recipe *r)
{
    struct qs_str once = QS_STR_INIT, twice = QS_STR_INIT;
    assert_int_equal(qs_recipe_print(r, &once, NULL), QS_OK);
    struct qs_recipe *back = parse(once.data);
    assert_same(r, back);
    assert_int_equal(qs_recipe_print(back, &twice, NULL), QS_OK);
    assert_string_equal(once.data, twice.data);
    qs_recipe_free(back);
    qs_str_free(&once);
    qs_str_free(&twice);
}

#define MAX_TENSORS 16
struct small {
    struct qs_model m;
    struct qs_tensor t[MAX_TENSORS];
};

static void add(struct small *s, const char *name, int type, uint64_t ne0, uint64_t ne1)
{
    struct qs_tensor *t = &s->t[s->m.n_tensors++];
    *t = (struct qs_tensor){ .name = name, .type = type, .format = qs_format_by_id(type), .layer = -1,
                             .n_dims = ne1 > 1 ? 2 : 1, .ne = { ne0, ne1, 1, 1 }, .n = ne0 * ne1, .rows = ne1 };
    s->m.tensor = s->t;
}

static void small_llama(struct small *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->m.hp.arch, sizeof s->m.hp.arch, "llama");
    s->m.hp.n_layer = 2;
    s->m.hp.n_head = s->m.hp.n_head_kv = 4;
    add(s, "token_embd.weight", QS_F16, 256, 64);
    add(s, "output.weight", QS_F16, 256, 64);
    add(s, "blk.0.attn_norm.weight", QS_F32, 256, 1);
    add(s, "blk.0.attn_q.weight", QS_F16, 256, 256);
    add(s, "blk.0.ffn_down.weight", QS_F16, 320, 256);
    add(s, "blk.1.attn_q.weight", QS_F16, 256, 256);
    add(s, "blk.1.ffn_down.weight", QS_F16, 320, 256);
}

/* Resolves text against the small model; returns the code, with the message in e. */
static int resolve(const char *text, bool lenient, struct qs_resolved **x, struct qs_err *e)
{
    struct small s;
    small_llama(&s);
    struct qs_recipe *r = parse(text);
    *x = NULL;
    int rc = qs_recipe_resolve(r, &s.m, false, lenient, x, e);
    qs_recipe_free(r);
    return rc;
}

static void refuse_resolve(const char *text, const char *part)
{
    struct qs_resolved *x;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(resolve(text, false, &x, &e), QS_EINVAL);
    if (!strstr(e.msg, part))
        fail_msg("\"%s\" is not in: %s", part, e.msg);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static const char full[] =
    "# a recipe\n"
    "preset = q5_k_m   # the base\n"
    "\n"
    "pure = no\n"
    "  output-type =Q6_K\n"
    "token-embd-type= q8_0\n"
    "# pins\n"
    "pin\tblk.3.ffn_down.weight = Q6_K # from the map\n"
    "pin \"a b # c\"\"d\" = f16\n"
    "rule blk\\.(0|1)\\.attn_v\\.weight = Q8_0\n"
    "rule x{1}=y = IQ4_XS\n"
    "strict = yes\n";

static void test_parse(void **state)
{
    (void)state;
    struct qs_recipe *r = parse(full);
    assert_string_equal(r->preset->name, "Q5_K_M");
    assert_false(r->pure);
    assert_true(r->strict);
    assert_int_equal(r->output_type, QS_Q6_K);
    assert_int_equal(r->token_embd_type, QS_Q8_0);
    assert_int_equal(r->n_pins, 2);
    assert_string_equal(r->pin[0].pattern, "blk.3.ffn_down.weight");
    assert_int_equal(r->pin[0].line, 8);
    assert_string_equal(r->pin[1].pattern, "a b # c\"d");
    assert_int_equal(r->pin[1].type, QS_F16);
    assert_int_equal(r->n_rules, 2);
    assert_string_equal(r->rule[1].pattern, "x{1}=y");
    assert_int_equal(r->rule[1].line, 11);
    check_print(r, full);
    round_trip(r);
    qs_recipe_free(r);

    r = parse("");
    assert_string_equal(r->preset->name, "Q4_K_M");
    check_print(r, "");
    qs_recipe_free(r);

    r = parse("\xef\xbb\xbfpreset = Q2_K\r\n# end\r");
    assert_string_equal(r->preset->name, "Q2_K");
    check_print(r, "preset = Q2_K\n# end\n");
    qs_recipe_free(r);
}

static void test_refused(void **state)
{
    static const struct { const char *text, *part; enum qs_code code; } cases[] = {
        { "presett = Q4_K_M", "r:1: unknown word \"presett\"; did you mean preset?", QS_EINVAL },
        { "\npreset = Q4_K_N", "r:2: unknown preset \"Q4_K_N\"; did you mean Q4_K_M", QS_EINVAL },
        { "preset", "\"preset = NAME\" is expected", QS_EINVAL },
        { "preset Q4_K_M", "\"preset = NAME\" is expected", QS_EINVAL },
        { "pure yes # all", "\"pure = yes\" is expected", QS_EINVAL },
        { "output-type Q6_K", "\"output-type = TYPE\" is expected", QS_EINVAL },
        { "prset Q4_K_M", "unknown word \"prset\"; did you mean preset?", QS_EINVAL },
        { "preset =  # nothing", "\"preset = NAME\" is expected", QS_EINVAL },
        { "pure = maybe", "\"maybe\" is neither yes nor no", QS_EINVAL },
        { "pure = yes\n\npure = no", "r:3: pure is set in line 1 already", QS_EINVAL },
        { "output-type = Q9_K", "unknown type \"Q9_K\"; did you mean", QS_EINVAL },
        { "output-type = Q4_K_M", "Q4_K_M is a preset, not a type", QS_EINVAL },
        { "output-type = Q8_K", "tensors cannot be written as Q8_K", QS_EINVAL },
        { "output-type = I32", "tensors cannot be written as I32", QS_EINVAL },
        { "pin blk.0.x", "\"pin NAME = TYPE\" is expected", QS_EINVAL },
        { "pin = Q4_K", "\"pin NAME = TYPE\" is expected", QS_EINVAL },
        { "pin", "\"pin NAME = TYPE\" is expected", QS_EINVAL },
        { "pin a =", "\"pin NAME = TYPE\" is expected", QS_EINVAL },
        { "pin \"a = Q4_K", "the quoted name has no end", QS_EINVAL },
        { "pin \"a\" b = Q4_K", "is expected", QS_EINVAL },
        { "pin \"\" = Q4_K", "empty tensor name", QS_EINVAL },
        { "rule \"a\"", "\"rule REGEX = TYPE\" is expected", QS_EINVAL },
        { "rule a( = Q4_K", "r:1:", QS_EINVAL },
        { "rule a #b = Q4_K", "is expected", QS_EINVAL },
        { "pinn a = Q4_K", "did you mean pin?", QS_EINVAL },
        { "pin a = Q4_K\npin b = Q4_K\npin a = Q6_K", "r:3: a is pinned in line 1 already", QS_EINVAL },
        { "leave-output = yes\n\noutput-type = Q8_0", "r:3: leave-output keeps", QS_EINVAL },
        { "output-type = Q8_0\npure = yes\nleave-output = yes", "another type (line 1): they exclude each", QS_EINVAL },
        { "pure = on\npreset = COPY", "r:2: pure gives every tensor", QS_EINVAL },
        { "# \xff", "no valid UTF-8 at byte 3", QS_EFORMAT },
        { "# \x1b[31m", "control character at byte 3", QS_EFORMAT },
        { "# \xc2\x9b", "control character at byte 3", QS_EFORMAT },
        { "preset = Q4_K_M\rpure = yes", "control character", QS_EFORMAT },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_recipe *r = NULL;
        struct qs_err e = QS_ERR_INIT;
        int rc = qs_recipe_parse("r", cases[i].text, strlen(cases[i].text), &r, &e);
        if (rc != (int)cases[i].code || !strstr(e.msg, cases[i].part))
            fail_msg("case %zu: code %d, %s", i, rc, e.msg);
        assert_null(r);
    }
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_recipe_parse("r", "pure = yes\0", 11, &r, &e), QS_EFORMAT);
}

/* ---- edits -------------------------------------------------------------------------------------------------- */

static void test_edits(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    struct qs_recipe *r =
        parse("# top\npreset = Q4_K_M # why\npin a = Q6_K # keep\npin b = Q5_K\n# tail\nrule x = Q8_0\n");
    assert_int_equal(qs_recipe_pin(r, "a", QS_Q6_K, &e), QS_OK);
    assert_int_equal(r->pin[0].line, 3); /* what that line says */
    assert_int_equal(qs_recipe_pin(r, "a", QS_Q8_0, &e), QS_OK);
    assert_int_equal(r->pin[0].line, 0); /* no longer */
    assert_int_equal(qs_recipe_pin(r, "b", QS_TYPE_NONE, &e), QS_OK);
    assert_int_equal(qs_recipe_pin(r, "nobody", QS_TYPE_NONE, &e), QS_OK);
    assert_int_equal(qs_recipe_pin(r, "c d", QS_F16, &e), QS_OK);
    assert_int_equal(qs_recipe_pin(r, " c", QS_F16, &e), QS_OK);
    assert_int_equal(qs_recipe_add_rule(r, "y$", QS_IQ4_NL, &e), QS_OK);
    r->preset = qs_preset_by_name("Q2_K");
    r->strict = true;
    r->output_type = QS_Q6_K;
    check_print(r,
                "# top\npreset = Q2_K  # why\nstrict = yes\noutput-type = Q6_K\npin  a = Q8_0  # keep\npin  c d = F16\n"
                "pin  \" c\" = F16\n# tail\nrule x = Q8_0\nrule y$ = IQ4_NL\n");
    round_trip(r);
    assert_int_equal(qs_recipe_pin(r, "a", QS_Q8_1, &e), QS_EINVAL);
    assert_int_equal(qs_recipe_pin(r, "a\n", QS_Q8_0, &e), QS_EINVAL);
    assert_int_equal(qs_recipe_pin(r, "", QS_Q8_0, &e), QS_EINVAL);
    assert_int_equal(qs_recipe_pin(r, "a", 77, &e), QS_EINVAL);
    assert_int_equal(qs_recipe_add_rule(r, "(", QS_Q8_0, &e), QS_EINVAL);
    struct qs_recipe *c = NULL;
    assert_int_equal(qs_recipe_copy(r, &c, &e), QS_OK);
    assert_same(r, c);
    assert_int_equal(qs_recipe_pin(c, "a", QS_TYPE_NONE, &e), QS_OK);
    assert_int_equal(r->n_pins, 3);
    round_trip(c);
    qs_recipe_free(c);
    qs_recipe_free(r);

    assert_int_equal(qs_recipe_new("q3_k", &r, &e), QS_OK);
    check_print(r, "preset = Q3_K_M\n");
    assert_int_equal(qs_recipe_pin(r, "a", QS_Q8_0, &e), QS_OK);
    r->output_type = QS_Q8_0;
    round_trip(r);
    qs_recipe_free(r);
    assert_int_equal(qs_recipe_new("q3_z", &r, &e), QS_EINVAL);
}

/* A setting taken back leaves its comment. */
static void test_setting_taken_back(void **state)
{
    (void)state;
    struct qs_recipe *r = parse("output-type = Q6_K  # because\nstrict = yes\n");
    r->output_type = QS_TYPE_NONE;
    r->strict = false;
    check_print(r, "# because\nstrict = no\n");
    round_trip(r);
    qs_recipe_free(r);
}

/* ---- applied to a model ------------------------------------------------------------------------------------- */

static void test_resolve(void **state)
{
    struct qs_resolved *x;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(resolve("preset = Q8_0\n"
                             "pin blk.0.attn_q.weight = Q6_K\n"
                             "rule attn_q = Q5_K\n"
                             "rule attn = F16\n"
                             "rule ffn_down = Q5_1\n", false, &x, &e), QS_OK);
    assert_int_equal(x->choice[3].type, QS_Q6_K);
    assert_int_equal(x->choice[3].why, QS_WHY_PIN);
    assert_string_equal(x->choice[3].reason, "pinned in line 2");
    assert_int_equal(x->choice[5].type, QS_Q5_K);
    assert_int_equal(x->choice[5].why, QS_WHY_RULE);
    assert_string_equal(x->choice[5].reason, "rule of line 3: attn_q");
    assert_int_equal(x->choice[4].type, QS_Q5_1);
    assert_int_equal(x->choice[2].why, QS_WHY_KEPT); /* a norm, though a rule matches it */
    assert_int_equal(x->match[0].matched, 1);
    assert_int_equal(x->match[1].matched, 2);
    assert_int_equal(x->match[1].decided, 1);
    assert_int_equal(x->match[2].matched, 3);
    assert_int_equal(x->match[2].decided, 0); /* all decided before */
    assert_int_equal(x->match[3].decided, 2);
    assert_int_equal(x->by[3], 0);
    assert_int_equal(x->by[5], 1);
    assert_int_equal(x->by[0], -1);
    qs_resolved_free(x);
}

/* A pin on one ffn_down moves the others' numbers, as in llama.cpp; the resolved recipe says so. */
static void test_shift(void **state)
{
    static const struct { const char *text; size_t n; const char *first; } cases[] = {
        { "preset = Q4_K_M", 0, NULL },
        { "preset = Q4_K_M\npin blk.0.ffn_down.weight = Q6_K", 4, "blk.1.ffn_down.weight" },
        { "preset = Q4_K_M\npin blk.0.attn_q.weight = Q6_K", 0, NULL },
        { "preset = Q4_K_M\nrule ffn_down = Q5_K", 0, NULL },
        { "preset = Q4_K_M\npure = yes\npin blk.0.ffn_down.weight = Q6_K", 0, NULL },
        { "preset = Q8_0\npin blk.0.ffn_down.weight = Q6_K", 0, NULL },
    };
    char path[700];
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    snprintf(path, sizeof path, "%s/demo/storyteller-9m-f16.gguf", getenv("QS_SRCDIR") ? getenv("QS_SRCDIR") : ".");
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_recipe *r = parse(cases[i].text);
        struct qs_resolved *x = NULL;
        assert_int_equal(qs_recipe_resolve(r, m, false, false, &x, &e), QS_OK);
        assert_int_equal(x->n_shifted, cases[i].n);
        assert_int_equal(x->shifted != NULL, cases[i].first != NULL);
        assert_int_equal(x->shift_text[0] != 0, cases[i].first != NULL);
        if (cases[i].first) {
            const struct qs_tensor *down = qs_model_find(m, "blk.6.ffn_down.weight");
            assert_string_equal(x->shifted->name, cases[i].first);
            assert_non_null(strstr(x->shift_text, "4 other tensors get another type than with the preset alone"));
            assert_non_null(strstr(x->shift_text, "blk.1.ffn_down.weight first: Q6_K instead of Q4_K"));
            assert_int_equal(x->choice[down - m->tensor].type, QS_Q4_K);
            down = qs_model_find(m, "blk.7.ffn_down.weight");
            assert_int_equal(x->choice[down - m->tensor].type, QS_Q6_K);
            assert_non_null(strstr(x->choice[down - m->tensor].reason, "not counting 1 forced"));
        }
        qs_resolved_free(x);
        qs_recipe_free(r);
    }
    qs_model_close(m);
}

static void test_resolve_refused(void **state)
{
    struct qs_resolved *x;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    refuse_resolve("pin blk.0.atn_q.weight = Q6_K",
                   "r:1: pin blk.0.atn_q.weight: the model has no such tensor; did you mean blk.0.attn_q.weight");
    refuse_resolve("rule attnq = Q6_K", "r:1: rule attnq: matches none of the 7 tensors");
    refuse_resolve("pin blk.0.ffn_down.weight = Q6_K", "rows of 320 are no multiple of 256; types that fit: F32");
    refuse_resolve("rule ffn = Q4_K", "blk.0.ffn_down.weight cannot be Q4_K");
    refuse_resolve("pin blk.0.attn_norm.weight = F16", "always stays as in the source (F32)");
    refuse_resolve("leave-output = yes\npin output.weight = Q8_0", "leave-output keeps this tensor");
    refuse_resolve("strict = yes", "ffn_down.weight: rows of 320");
    refuse_resolve("output-type = Q4_K\nrule (a+)+$x = Q8_0", "matches none");
    assert_int_equal(resolve("pin nobody = Q6_K\nrule nothing = Q6_K\npin blk.0.attn_norm.weight = F16", true, &x, &e),
                     QS_OK);
    assert_int_equal(x->match[0].matched, 0);
    qs_resolved_free(x);
    assert_int_equal(
        resolve("pin blk.0.attn_norm.weight = F32\nleave-output = yes\npin output.weight = F16", false, &x, &e), QS_OK);
    qs_resolved_free(x);
}

/* Options beat rules as in llama.cpp; pins beat options. */
static void test_options(void **state)
{
    struct qs_resolved *x;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(resolve("output-type = Q8_0\ntoken-embd-type = Q5_K\nrule weight$ = Q5_0", false, &x, &e), QS_OK);
    assert_int_equal(x->choice[0].type, QS_Q5_K);
    assert_int_equal(x->choice[0].why, QS_WHY_OPTION);
    assert_int_equal(x->choice[1].type, QS_Q8_0);
    assert_int_equal(x->match[0].matched, 7);
    assert_int_equal(x->match[0].decided, 4);
    qs_resolved_free(x);
    assert_int_equal(resolve("output-type = Q8_0\ntoken-embd-type = Q5_K\npin token_embd.weight = Q6_K\n"
                             "pin output.weight = Q4_K", false, &x, &e), QS_OK);
    assert_int_equal(x->choice[0].type, QS_Q6_K);
    assert_int_equal(x->choice[0].why, QS_WHY_PIN);
    assert_int_equal(x->choice[1].type, QS_Q4_K);
    qs_resolved_free(x);
}

/* ---- llama.cpp's reading of the exported form --------------------------------------------------------------- */

static void check_export(const char *text, const struct qs_model *m)
{
    struct qs_recipe *r = parse(text);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_resolved *x = NULL;
    struct qs_choice *c = calloc(m->n_tensors, sizeof *c);
    if (qs_recipe_resolve(r, m, false, false, &x, &e) || qs_recipe_export_llama(r, m, false, &file, &args, &e))
        fail_msg("%s: %s", text, e.msg);
    llama_rules_types(m, file.data, args.data, c);
    for (size_t i = 0; i < m->n_tensors; i++)
        if (c[i].type != x->choice[i].type)
            fail_msg("%s%s: %s here, %s there (%s)", text, m->tensor[i].name,
                     qs_format_by_id(x->choice[i].type)->name, qs_format_by_id(c[i].type)->name, file.data);
    free(c);
    qs_resolved_free(x);
    qs_str_free(&file);
    qs_str_free(&args);
    qs_recipe_free(r);
}

static void test_export(void **state)
{
    struct small s;
    (void)state;
    small_llama(&s);
    check_export("preset = Q4_K_M\n", &s.m);
    check_export("preset = Q5_K_M\npure = yes\noutput-type = Q8_0\n", &s.m);
    check_export("pin blk.0.attn_q.weight = Q8_0\nrule blk\\.[01]\\.attn = Q5_K\nrule (?:ffn|attn)_\\w+ = Q5_0\n",
                 &s.m);
    check_export("leave-output = yes\nrule \\d+\\.(attn_q|ffn_down)\\.weight$ = IQ4_NL\n", &s.m);
    check_export("token-embd-type = Q5_K\npin token_embd.weight = Q6_K\n", &s.m);
    check_export("output-type = Q5_K\npin output.weight = Q6_K\nrule .*= F16\n", &s.m);
    s.t[1].name = "per_layer_token_embd.weight"; /* and tied now */
    check_export("token-embd-type = Q5_K\npin token_embd.weight = Q6_K\n", &s.m);
    check_export("output-type = Q5_K\nrule token_embd = Q6_K\n", &s.m);
    check_export("token-embd-type = Q5_K\nrule token_embd = Q6_K\n", &s.m);
    struct qs_recipe *r = parse("pin blk.0.attn_q.weight = Q8_0\nrule ^blk\\.1 = Q5_1\nstrict = no");
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_recipe_export_llama(r, &s.m, false, &file, &args, &e), QS_OK);
    assert_string_equal(file.data, "^blk\\.0\\.attn_q\\.weight$=Q8_0\n^blk\\.1=Q5_1\n");
    assert_string_equal(args.data, "--tensor-type-file RULES IN.gguf OUT.gguf Q4_K_M");
    qs_str_free(&file);
    qs_str_free(&args);
    qs_recipe_free(r);
}

static void test_export_refused(void **state)
{
    static const struct { const char *text, *part; } cases[] = {
        { "rule \\S+attn_q = Q8_0", "upper case" },
        { "rule \"attn_q|a b\" = Q8_0", "white space" },
        { "rule attn_q|a=b = Q8_0", "\"=\"" },
        { "rule attn_q|\xc3\xa4 = Q8_0", "outside of ASCII" },
        { "rule (?i)attn_q = Q8_0", "a group other than" },
        { "rule (?<=attn)_q = Q8_0", "\"=\"" },
        { "rule (?<!x)attn_q = Q8_0", "a group other than" },
        { "rule (?>a)ttn_q = Q8_0", "a group other than" },
        { "rule at++n_q = Q8_0", "this use of" },
        { "rule attn_q|a{,3}b = Q8_0", "this use of" },
        { "rule attn_q|a{ = Q8_0", "this use of" },
        { "rule attn_q|(?!a)*b = Q8_0", "this use of" },
        { "rule attn_q|]a = Q8_0", "bracket" },
        { "rule []a]ttn_q = Q8_0", "kind of [...]" },
        { "rule [[:alpha:]]ttn_q = Q8_0", "kind of [...]" },
        { "rule [\\w-]*attn_q = Q8_0", "kind of [...]" },
        { "rule [-a]ttn_q = Q8_0", "kind of [...]" },
        { "rule attn_q\\z|attn_q = Q8_0", "escape" },
        { "rule \\x61ttn_q = Q8_0", "escape" },
        { "rule (a)\\1|attn_q = Q8_0", "escape" },
        { "preset = F16\nrule attn_q = Q8_0", "ignores pins and rules" },
        { "preset = COPY\npin blk.0.attn_q.weight = Q8_0", "ignores pins and rules" },
        { "pin Attn.weight = Q8_0", "upper case" },
        { "pin \"b k.weight\" = Q8_0", "splits" },
    };
    struct small s;
    (void)state;
    small_llama(&s);
    add(&s, "Attn.weight", QS_F16, 256, 64);
    add(&s, "b k.weight", QS_F16, 256, 64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_recipe *r = parse(cases[i].text);
        struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        int rc = qs_recipe_export_llama(r, &s.m, false, &file, &args, &e);
        if (rc != QS_EUNSUPPORTED || !strstr(e.msg, cases[i].part))
            fail_msg("%s: %d, %s", cases[i].text, rc, e.msg);
        qs_str_free(&file);
        qs_str_free(&args);
        qs_recipe_free(r);
    }
}

/* ---- the same rules through a recipe, against llama-quantize ------------------------------------------------ */

struct tally {
    size_t compared, exported;
};

/* Recipes refuse types that do not fit a row, where llama-quantize replaces them: those runs are passed over. */
static void through_recipe(void *ctx, const struct qs_model *m, const struct qs_golden_run *run)
{
    struct tally *tally = ctx;
    const struct qs_format *base = qs_format_by_id(run->args.preset->base);
    if (run->n_rules == 0 || !base || base->kind == QS_KIND_FLOAT || run->stops)
        return;
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_recipe_new(run->args.preset->name, &r, &e), QS_OK);
    r->pure = run->args.pure;
    r->leave_output = run->args.leave_output;
    r->output_type = run->args.output_type;
    r->token_embd_type = run->args.token_embd_type;
    for (unsigned i = 0; i < run->n_rules; i++)
        assert_int_equal(qs_recipe_add_rule(r, run->rule[i].pattern, run->rule[i].type, &e), QS_OK);
    struct qs_resolved *x = NULL;
    int rc = qs_recipe_resolve(r, m, run->args.have_imatrix, true, &x, &e);
    if (rc) {
        assert_non_null(strstr(e.msg, "no multiple"));
        qs_recipe_free(r);
        return;
    }
    for (size_t i = 0; i < m->n_tensors; i++)
        assert_int_equal(x->choice[i].type, run->type[i]);
    tally->compared++;
    qs_resolved_free(x);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    if (!run->args.have_imatrix && qs_recipe_export_llama(r, m, false, &file, &args, &e) == QS_OK) {
        struct qs_choice *c = calloc(m->n_tensors, sizeof *c);
        assert_non_null(c);
        llama_rules_types(m, file.data, args.data, c);
        for (size_t i = 0; i < m->n_tensors; i++)
            assert_int_equal(c[i].type, run->type[i]);
        tally->exported++;
        free(c);
    }
    qs_str_free(&file);
    qs_str_free(&args);
    qs_recipe_free(r);
}

static void test_against_dry_run(void **state)
{
    struct tally t = { 0 };
    (void)state;
    qs_golden_each("dryrun-", through_recipe, &t);
    print_message("%zu runs with rules compared, %zu through the exported form\n", t.compared, t.exported);
    assert_true(t.compared > 100 && t.exported > 60);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static int everything(struct qs_err *e)
{
    struct small s;
    struct qs_recipe *r = NULL, *c = NULL;
    struct qs_resolved *x = NULL;
    struct qs_str text = QS_STR_INIT, file = QS_STR_INIT, args = QS_STR_INIT;
    static const char source[] = "# c\npreset = Q8_0 # d\npin blk.0.attn_q.weight = Q6_K\nrule attn = F16\n";
    small_llama(&s);
    int rc = qs_recipe_parse("r", source, sizeof source - 1, &r, e);
    rc = rc ? rc : qs_recipe_pin(r, "blk.1.attn_q.weight", QS_Q5_K, e);
    rc = rc ? rc : qs_recipe_add_rule(r, "ffn", QS_Q5_0, e);
    rc = rc ? rc : qs_recipe_copy(r, &c, e);
    rc = rc ? rc : qs_recipe_print(c, &text, e);
    rc = rc ? rc : qs_recipe_resolve(c, &s.m, false, false, &x, e);
    rc = rc ? rc : qs_recipe_export_llama(c, &s.m, false, &file, &args, e);
    qs_resolved_free(x);
    qs_recipe_free(r);
    qs_recipe_free(c);
    qs_str_free(&text);
    qs_str_free(&file);
    qs_str_free(&args);
    return rc;
}

static void test_out_of_memory(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(everything(&e), QS_OK);
    uint64_t before = qs_mem_count();
    assert_int_equal(everything(&e), QS_OK);
    uint64_t n = qs_mem_count() - before, held = qs_mem_in_use();
    assert_true(n > 20);
    for (uint64_t i = 1; i <= n; i++) {
        e = (struct qs_err)QS_ERR_INIT;
        qs_mem_fail_after(i);
        int rc = everything(&e);
        qs_mem_fail_after(0);
        if (rc != QS_ENOMEM)
            fail_msg("allocation %u of %u: code %d, %s", (unsigned)i, (unsigned)n, rc, e.msg);
        assert_int_equal(qs_mem_in_use(), held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_setting_taken_back),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_shift), cmocka_unit_test(test_resolve_refused),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_export_refused),
        cmocka_unit_test(test_against_dry_run),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
