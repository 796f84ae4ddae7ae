/* test_recipe_edit.c - edits of recipes and their history: what stays, what is refused, undo and redo. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/recipe.h"
#include "core/quant/recipe_history.h"

/* ---- help --------------------------------------------------------------------------------------------------- */

static struct qs_recipe *parse(const char *text)
{
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_parse("r", text, strlen(text), &r, &e))
        fail_msg("%s", e.msg);
    return r;
}

/* The text is this, and says what the recipe says: read again it prints the same with the same items. */
static void check_print(const struct qs_recipe *r, const char *text)
{
    struct qs_str s = QS_STR_INIT, again = QS_STR_INIT;
    assert_int_equal(qs_recipe_print(r, &s, NULL), QS_OK);
    assert_string_equal(s.data, text);
    struct qs_recipe *back = parse(s.data);
    assert_int_equal(back->n_pins, r->n_pins);
    assert_int_equal(back->n_rules, r->n_rules);
    for (size_t i = 0; i < r->n_pins; i++) {
        assert_string_equal(back->pin[i].pattern, r->pin[i].pattern);
        assert_int_equal(back->pin[i].type, r->pin[i].type);
    }
    for (size_t i = 0; i < r->n_rules; i++) {
        assert_string_equal(back->rule[i].pattern, r->rule[i].pattern);
        assert_int_equal(back->rule[i].type, r->rule[i].type);
    }
    assert_int_equal(qs_recipe_print(back, &again, NULL), QS_OK);
    assert_string_equal(again.data, text);
    qs_recipe_free(back);
    qs_str_free(&s);
    qs_str_free(&again);
}

#define OK(call) do { struct qs_err err_ = QS_ERR_INIT; struct qs_err *why = &err_; \
                      if (call) fail_msg("%s", err_.msg); } while (0)
#define REFUSED(call, part) do { struct qs_err err_ = QS_ERR_INIT; struct qs_err *why = &err_; \
                                 const int rc_ = call; \
                                 if (rc_ != QS_EINVAL || !strstr(err_.msg, part)) \
                                     fail_msg("code %d, %s", rc_, err_.msg); } while (0)

/* ---- settings ----------------------------------------------------------------------------------------------- */

static void test_settings(void **state)
{
    (void)state;
    struct qs_recipe *r = parse("# top\npreset = q4_k_m # why\noutput-type = Q6_K   # head\npin a = Q6_K\n");
    OK(qs_recipe_set_preset(r, "IQ4_XS", why));
    OK(qs_recipe_set_option(r, QS_SET_PURE, 7, why));
    OK(qs_recipe_set_option(r, QS_SET_STRICT, 1, why));
    OK(qs_recipe_set_option(r, QS_SET_TOKEN_EMBD_TYPE, QS_Q8_0, why));
    check_print(r, "# top\npreset = IQ4_XS  # why\noutput-type = Q6_K   # head\npure = yes\nstrict = yes\n"
                   "token-embd-type = Q8_0\npin a = Q6_K\n");
    assert_true(r->pure && r->strict && r->token_embd_type == QS_Q8_0);
    OK(qs_recipe_set_option(r, QS_SET_TOKEN_EMBD_TYPE, QS_TYPE_NONE, why));
    OK(qs_recipe_set_option(r, QS_SET_OUTPUT_TYPE, QS_TYPE_NONE, why));
    OK(qs_recipe_set_option(r, QS_SET_STRICT, 0, why));
    static const char left[] = "# top\npreset = IQ4_XS  # why\n# head\npure = yes\npin a = Q6_K\n";
    check_print(r, left);
    REFUSED(qs_recipe_set_preset(r, "Q4_K_N", why), "unknown preset \"Q4_K_N\"; did you mean");
    REFUSED(qs_recipe_set_preset(r, "COPY", why), "they exclude each other");
    REFUSED(qs_recipe_set_option(r, QS_SET_PRESET, -1, why), "no preset -1");
    REFUSED(qs_recipe_set_option(r, QS_SET_PRESET, 1000, why), "no preset 1000");
    REFUSED(qs_recipe_set_option(r, QS_SET_OUTPUT_TYPE, QS_Q8_K, why), "cannot be written as Q8_K");
    REFUSED(qs_recipe_set_option(r, QS_SET_OUTPUT_TYPE, 900, why), "unknown type number 900");
    REFUSED(qs_recipe_set_option(r, QS_SETTINGS, 1, why), "no setting");
    OK(qs_recipe_set_option(r, QS_SET_LEAVE_OUTPUT, 1, why));
    REFUSED(qs_recipe_set_option(r, QS_SET_OUTPUT_TYPE, QS_Q6_K, why), "leave-output keeps the output tensor");
    OK(qs_recipe_set_option(r, QS_SET_LEAVE_OUTPUT, 0, why));
    check_print(r, left);
    qs_recipe_free(r);
}

/* ---- pins --------------------------------------------------------------------------------------------------- */

static void test_pins(void **state)
{
    static const char before[] = "# top\npin b = Q6_K # keep\n# of c\npin c = Q5_K\npin\td = q8_0\n# tail\nrule x = Q8_0\n";
    (void)state;
    struct qs_recipe *r = parse(before);
    const struct qs_pin list[] = {
        { "z", QS_Q8_0 }, { "c", QS_TYPE_NONE }, { "b", QS_Q8_0 }, { "y", QS_Q4_K }, { "d", QS_Q8_0 },
        { "nobody", QS_TYPE_NONE }, { "z", QS_Q6_K }, { "w", QS_Q4_K }, { "w", QS_TYPE_NONE },
    };
    OK(qs_recipe_pin_all(r, list, sizeof list / sizeof *list, why));
    check_print(r, "# top\npin  b = Q8_0  # keep\n# of c\npin\td = q8_0\npin  y = Q4_K\npin  z = Q6_K\n# tail\nrule x = Q8_0\n");
    assert_int_equal(r->pin[0].line, 0);
    assert_int_equal(r->pin[1].line, 5); /* not touched: what its line says */
    const struct qs_pin back[] = { { "b", QS_Q6_K }, { "y", QS_TYPE_NONE }, { "z", QS_TYPE_NONE } };
    OK(qs_recipe_pin_all(r, back, 3, why));
    check_print(r, "# top\npin b = Q6_K # keep\n# of c\npin\td = q8_0\n# tail\nrule x = Q8_0\n");
    const struct qs_pin none[] = { { "b", QS_TYPE_NONE }, { "d", QS_TYPE_NONE }, { "e", QS_F16 } };
    OK(qs_recipe_pin_all(r, none, 3, why));
    check_print(r, "# top\n# of c\npin  e = F16\n# tail\nrule x = Q8_0\n");
    OK(qs_recipe_pin_all(r, NULL, 0, why));
    OK(qs_recipe_pin(r, "e", QS_TYPE_NONE, why));
    OK(qs_recipe_pin(r, "f", QS_F16, why));
    check_print(r, "# top\n# of c\n# tail\npin  f = F16\nrule x = Q8_0\n");
    qs_recipe_free(r);
}

static void test_pins_refused(void **state)
{
    static const char text[] = "pin a = Q6_K\npin b = Q5_K\n";
    (void)state;
    struct qs_recipe *r = parse(text);
    const struct qs_pin bad_type[] = { { "a", QS_TYPE_NONE }, { "c", QS_Q8_0 }, { "b", QS_Q8_1 } };
    const struct qs_pin bad_name[] = { { "a", QS_Q8_0 }, { "c\n", QS_Q8_0 } };
    const struct qs_pin c1[] = { { "a", QS_Q8_0 }, { "c\xc2\x9b", QS_Q8_0 } }; /* the reader takes none either */
    REFUSED(qs_recipe_pin_all(r, bad_type, 3, why), "Q8_1");
    REFUSED(qs_recipe_pin_all(r, bad_name, 2, why), "control character");
    REFUSED(qs_recipe_pin_all(r, c1, 2, why), "control character");
    check_print(r, text);
    qs_recipe_free(r);
}

/* Many at once, and against the same done one at a time. */
static void test_many_pins(void **state)
{
    enum { N = 5000 };
    static char name[N][24];
    static struct qs_pin list[N];
    struct qs_recipe *r = parse("pin  t00007 = Q2_K\npin  t00009 = Q2_K\nrule x = Q8_0\n"), *one = parse("");
    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(name[i], sizeof name[i], "t%05d", i);
        list[i] = (struct qs_pin){ name[i], i % 2 ? QS_Q6_K : QS_Q5_K };
    }
    OK(qs_recipe_pin_all(r, list, N, why));
    assert_int_equal(r->n_pins, N);
    assert_string_equal(r->pin[0].pattern, "t00007");
    assert_int_equal(r->pin[0].type, QS_Q6_K);
    assert_string_equal(r->pin[2].pattern, "t00000");
    for (int i = 0; i < N; i++)
        list[i].type = i % 3 ? QS_TYPE_NONE : QS_Q8_0;
    OK(qs_recipe_pin_all(r, list, N, why));
    assert_int_equal(r->n_pins, (N + 2) / 3);
    for (int i = 0; i < 60; i++)
        OK(qs_recipe_pin(one, name[i], QS_Q8_0, why));
    for (int i = 0; i < 60; i++)
        OK(i % 3 ? qs_recipe_pin(one, name[i], QS_TYPE_NONE, why) : QS_OK);
    assert_int_equal(one->n_pins, 20);
    check_print(one, "pin  t00000 = Q8_0\npin  t00003 = Q8_0\npin  t00006 = Q8_0\npin  t00009 = Q8_0\npin  t00012 = Q8_0\n"
                     "pin  t00015 = Q8_0\npin  t00018 = Q8_0\npin  t00021 = Q8_0\npin  t00024 = Q8_0\npin  t00027 = Q8_0\n"
                     "pin  t00030 = Q8_0\npin  t00033 = Q8_0\npin  t00036 = Q8_0\npin  t00039 = Q8_0\npin  t00042 = Q8_0\n"
                     "pin  t00045 = Q8_0\npin  t00048 = Q8_0\npin  t00051 = Q8_0\npin  t00054 = Q8_0\npin  t00057 = Q8_0\n");
    qs_recipe_free(one);
    qs_recipe_free(r);
}

/* ---- rules -------------------------------------------------------------------------------------------------- */

static const char four[] = "# top\n# of a\nrule a = Q8_0 # 1\n# of b\nrule b = Q6_K # 2\nrule\tc = q5_k\n# of d\n"
                           "rule d = Q4_K # 4\n# end\n";

static void test_rules(void **state)
{
    (void)state;
    struct qs_recipe *r = parse(four);
    OK(qs_recipe_insert_rule(r, 1, "a2", QS_F16, why));
    OK(qs_recipe_insert_rule(r, 0, "first", QS_F16, why));
    OK(qs_recipe_insert_rule(r, 6, "last", QS_F16, why));
    check_print(r, "# top\n# of a\nrule first = F16\nrule a = Q8_0 # 1\nrule a2 = F16\n# of b\nrule b = Q6_K # 2\n"
                   "rule\tc = q5_k\n# of d\nrule d = Q4_K # 4\n# end\nrule last = F16\n");
    OK(qs_recipe_remove_rule(r, 6, why));
    OK(qs_recipe_remove_rule(r, 0, why));
    OK(qs_recipe_remove_rule(r, 1, why));
    check_print(r, four);
    OK(qs_recipe_replace_rule(r, 0, "a+", QS_Q8_0, why)); /* another pattern, another type, neither */
    OK(qs_recipe_replace_rule(r, 1, "b", QS_Q8_0, why));
    OK(qs_recipe_replace_rule(r, 2, "c", QS_Q5_K, why));
    check_print(r, "# top\n# of a\nrule a+ = Q8_0  # 1\n# of b\nrule b = Q8_0  # 2\nrule\tc = q5_k\n# of d\n"
                   "rule d = Q4_K # 4\n# end\n");
    assert_int_equal(r->rule[0].line, 0);
    assert_int_equal(r->rule[2].line, 6);
    for (int i = 0; i < 4; i++)
        OK(qs_recipe_remove_rule(r, 0, why));
    OK(qs_recipe_insert_rule(r, 0, "again", QS_Q8_0, why));
    check_print(r, "# top\n# of a\n# of b\n# of d\n# end\nrule again = Q8_0\n");
    qs_recipe_free(r);
}

static void test_rule_moves(void **state)
{
    static const char *const pattern[] = { "a", "b", "c", "d" };
    (void)state;
    struct qs_recipe *r = parse(four);
    OK(qs_recipe_move_rule(r, 0, 2, why));
    check_print(r, "# top\n# of a\n# of b\nrule b = Q6_K # 2\nrule\tc = q5_k\nrule a = Q8_0 # 1\n# of d\n"
                   "rule d = Q4_K # 4\n# end\n");
    OK(qs_recipe_move_rule(r, 3, 0, why));
    check_print(r, "# top\n# of a\n# of b\nrule d = Q4_K # 4\nrule b = Q6_K # 2\nrule\tc = q5_k\nrule a = Q8_0 # 1\n"
                   "# of d\n# end\n");
    OK(qs_recipe_move_rule(r, 1, 1, why));
    qs_recipe_free(r);
    for (size_t from = 0; from < 4; from++)
        for (size_t to = 0; to < 4; to++) {
            const char *want[4];
            size_t n = 0;
            r = parse(four);
            OK(qs_recipe_move_rule(r, from, to, why));
            for (size_t i = 0; i < 4; i++) { /* the others in their order, the moved one at `to` */
                if (n == to)
                    want[n++] = pattern[from];
                if (i != from)
                    want[n++] = pattern[i];
            }
            if (n == to)
                want[n++] = pattern[from];
            for (size_t i = 0; i < 4; i++)
                assert_string_equal(r->rule[i].pattern, want[i]);
            struct qs_str s = QS_STR_INIT;
            assert_int_equal(qs_recipe_print(r, &s, NULL), QS_OK);
            check_print(r, s.data); /* what is read back has them in the same order */
            assert_int_equal(s.len, strlen(four));
            qs_str_free(&s);
            qs_recipe_free(r);
        }
}

static void test_rules_refused(void **state)
{
    (void)state;
    struct qs_recipe *r = parse(four);
    REFUSED(qs_recipe_insert_rule(r, 0, "(", QS_Q8_0, why), "");
    REFUSED(qs_recipe_insert_rule(r, 5, "x", QS_Q8_0, why), "no rule 6: the recipe has 4");
    REFUSED(qs_recipe_insert_rule(r, 0, "x", QS_Q8_K, why), "Q8_K");
    REFUSED(qs_recipe_replace_rule(r, 0, "x)", QS_Q8_0, why), "");
    REFUSED(qs_recipe_replace_rule(r, 0, "x", QS_TYPE_NONE, why), "unknown type");
    REFUSED(qs_recipe_replace_rule(r, 4, "x", QS_Q8_0, why), "no rule 5");
    REFUSED(qs_recipe_remove_rule(r, 4, why), "no rule 5");
    REFUSED(qs_recipe_move_rule(r, 0, 4, why), "no rule 5");
    REFUSED(qs_recipe_move_rule(r, 4, 0, why), "no rule 5");
    REFUSED(qs_recipe_insert_rule(r, 0, "", QS_Q8_0, why), "empty");
    check_print(r, four);
    qs_recipe_free(r);
}

/* Every allocation of every edit fails in turn: the recipe stays as it was. */
static void test_edits_out_of_memory(void **state)
{
    const struct qs_pin list[] = { { "p", QS_TYPE_NONE }, { "x", QS_Q8_0 }, { "y", QS_Q8_0 } };
    const char *text = "pin p = Q8_0 # why\npin q = Q8_0\nrule a = Q8_0\nrule b = Q6_K\nrule c = Q6_K\n";
    unsigned failed = 0;
    (void)state;
    for (int edit = 0; edit < 5; edit++)
        for (uint64_t k = 1;; k++) {
            struct qs_recipe *r = parse(text);
            struct qs_err err = QS_ERR_INIT, *e = &err;
            qs_mem_fail_after(k);
            const int rc = edit == 0   ? qs_recipe_pin_all(r, list, 3, e)
                           : edit == 1 ? qs_recipe_insert_rule(r, 1, "new", QS_F16, e)
                           : edit == 2 ? qs_recipe_replace_rule(r, 1, "other", QS_F16, e)
                           : edit == 3 ? qs_recipe_remove_rule(r, 1, e)
                                       : qs_recipe_move_rule(r, 0, 2, e);
            qs_mem_fail_after(0);
            if (rc == QS_OK) {
                qs_recipe_free(r);
                break;
            }
            failed++;
            assert_int_equal(rc, QS_ENOMEM);
            assert_int_equal(r->rule[1].line, 4);
            check_print(r, text);
            qs_recipe_free(r);
        }
    assert_true(failed >= 6);
}

/* ---- history ------------------------------------------------------------------------------------------------ */

static struct qs_history *begin_history(const char *text)
{
    struct qs_history *h = NULL;
    OK(qs_history_new(parse(text), &h, why));
    return h;
}

static void pin(struct qs_history *h, const char *tensor, int type, const char *label)
{
    struct qs_recipe *d = NULL;
    OK(qs_history_begin(h, &d, why));
    OK(qs_recipe_pin(d, tensor, type, why));
    OK(qs_history_commit(h, label, why));
}

static void check_text(const struct qs_history *h, const char *text)
{
    size_t len;
    assert_string_equal(qs_history_text(h, &len), text);
    assert_int_equal(len, strlen(text));
    check_print(qs_history_current(h), text);
}

static void test_history(void **state)
{
    static const char t0[] = "# top\npreset = q4_k_m # why\npin a = Q6_K # keep\nrule x = Q8_0\n";
    static const char t1[] = "# top\npreset = q4_k_m # why\npin  a = Q8_0  # keep\nrule x = Q8_0\n";
    static const char t2[] = "# top\npreset = q4_k_m # why\npin  a = Q8_0  # keep\npin  b = F16\nrule x = Q8_0\n";
    struct qs_history *h = begin_history(t0);
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *d = NULL;
    const char *label = NULL;
    (void)state;
    assert_int_equal(qs_history_undos(h) + qs_history_redos(h), 0);
    assert_false(qs_history_undo(h, &label, &e));
    assert_int_equal(e.code, QS_ENOTFOUND);
    assert_false(qs_history_changed(h));
    uint64_t version = qs_history_version(h);

    pin(h, "a", QS_Q8_0, "a = Q8_0");
    check_text(h, t1);
    assert_true(qs_history_version(h) > version);
    version = qs_history_version(h);
    pin(h, "a", QS_Q8_0, "nothing"); /* no step */
    assert_int_equal(qs_history_version(h), version);
    assert_int_equal(qs_history_undos(h), 1);
    pin(h, "b", QS_F16, "b = F16");
    check_text(h, t2);
    assert_int_equal(qs_history_current(h)->pin[1].line, 4); /* where it stands now */
    assert_int_equal(qs_history_current(h)->rule[0].line, 5);
    qs_history_mark_saved(h, NULL);
    assert_false(qs_history_changed(h));

    assert_true(qs_history_undo(h, &label, &e));
    assert_string_equal(label, "b = F16");
    check_text(h, t1);
    assert_true(qs_history_changed(h));
    assert_int_equal(qs_history_undos(h), 1);
    assert_int_equal(qs_history_redos(h), 1);
    assert_true(qs_history_undo(h, NULL, &e));
    check_text(h, t0);
    assert_string_equal(qs_history_current(h)->name, "r");
    assert_true(qs_history_redo(h, &label, &e) && qs_history_redo(h, &label, &e));
    assert_string_equal(label, "b = F16");
    check_text(h, t2);
    assert_false(qs_history_changed(h));
    assert_false(qs_history_redo(h, &label, &e));

    assert_true(qs_history_undo(h, NULL, &e)); /* an edit after undo drops what could be redone */
    pin(h, "c", QS_F16, "c = F16");
    assert_int_equal(qs_history_redos(h), 0);
    pin(h, "c", QS_TYPE_NONE, "c as the preset");
    check_text(h, t1);

    assert_int_equal(qs_history_commit(h, "none", &e), QS_EINVAL);
    OK(qs_history_begin(h, &d, why));
    assert_int_equal(qs_history_begin(h, &d, &e), QS_EBUSY);
    assert_false(qs_history_undo(h, NULL, &e));
    assert_int_equal(e.code, QS_EBUSY);
    OK(qs_recipe_remove_rule(d, 0, why));
    qs_history_abandon(h);
    qs_history_abandon(h);
    check_text(h, t1);
    OK(qs_history_begin(h, &d, why));
    d->leave_output = true; /* past the functions that would refuse it: the text could not be read again */
    d->output_type = QS_Q8_0;
    assert_int_equal(qs_history_commit(h, "bad", &e), QS_EINVAL);
    check_text(h, t1);
    qs_history_free(h); /* with the edit open */
    qs_history_free(NULL);
}

static void test_reset(void **state)
{
    struct qs_history *h = begin_history("preset = Q4_K_M\npin a = Q6_K\n");
    struct qs_recipe *other = NULL;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    pin(h, "b", QS_Q8_0, "b = Q8_0");
    OK(qs_recipe_new("Q2_K", &other, why));
    OK(qs_history_load(h, other, "two", "preset Q2_K", why));
    check_text(h, "preset = Q2_K\n");
    assert_null(qs_history_current(h)->name);
    OK(qs_recipe_parse("file", "rule x = Q8_0", 13, &other, why));
    OK(qs_history_load(h, other, "file", "file loaded", why));
    assert_string_equal(qs_history_current(h)->name, "file");
    const uint64_t version = qs_history_version(h);
    OK(qs_recipe_parse("file", "rule x = Q8_0", 13, &other, why));
    OK(qs_history_load(h, other, "file", "the same again", why));
    assert_int_equal(qs_history_version(h), version);
    assert_true(qs_history_undo(h, NULL, &e));
    assert_null(qs_history_current(h)->name);
    check_text(h, "preset = Q2_K\n");
    assert_true(qs_history_undo(h, NULL, &e));
    assert_string_equal(qs_history_current(h)->name, "r");
    check_text(h, "preset = Q4_K_M\npin a = Q6_K\npin  b = Q8_0\n");
    assert_true(qs_history_redo(h, NULL, &e) && qs_history_redo(h, NULL, &e));
    assert_string_equal(qs_history_current(h)->name, "file");
    check_text(h, "rule x = Q8_0\n");
    qs_history_free(h);
}

/* Ten thousand edits of one pin each among 300, all taken back and done again. */
static void test_long_history(void **state)
{
    enum { PINS = 300, EDITS = 10000 };
    static const int types[] = { QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q8_0, QS_F16 };
    struct qs_str text = QS_STR_INIT;
    char name[64], label[96];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    for (int i = 0; i < PINS; i++)
        qs_str_addf(&text, "pin  blk.%d.ffn_down.weight = Q4_K\n", i);
    const uint64_t held = qs_mem_in_use();
    struct qs_history *h = begin_history(text.data);
    for (unsigned i = 0; i < EDITS; i++) {
        const int type = types[(i / PINS + 1) % 5];
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", i * 7 % PINS);
        snprintf(label, sizeof label, "%s = %s", name, qs_type_name(type));
        pin(h, name, type, label);
    }
    const uint64_t taken = qs_mem_in_use() - held;
    print_message("%u edits hold %.2f MiB\n", EDITS, (double)taken / (1 << 20));
    assert_true(taken < (UINT64_C(4) << 20));
    const struct qs_recipe *now = qs_history_current(h);
    struct qs_str last = QS_STR_INIT;
    assert_int_equal(qs_recipe_print(now, &last, NULL), QS_OK);
    unsigned steps = 0;
    while (steps < 2000 && qs_history_undo(h, NULL, &e))
        steps++;
    assert_int_equal(steps, 2000);
    while (qs_history_redo(h, NULL, &e))
        steps--;
    assert_int_equal(steps, 0);
    assert_string_equal(qs_history_text(h, NULL), last.data);
    qs_str_free(&last);
    qs_history_free(h);
    assert_int_equal(qs_mem_in_use(), held);
    qs_str_free(&text);
}

/* A walk through random edits, with undo and redo in between, against a list of all texts. */
static void test_random_walk(void **state)
{
    enum { STEPS = 400 };
    static char *seen[STEPS + 1];
    struct qs_history *h = begin_history("# top\npreset = Q4_K_M\npin t1 = Q6_K # one\nrule t[0-4] = Q8_0 # low\n# end\n");
    struct qs_err e = QS_ERR_INIT;
    unsigned long long x = 88172645463325252ull;
    unsigned at = 0, top = 0;
    (void)state;
    seen[0] = qs_strdup(qs_history_text(h, NULL));
    for (int i = 0; i < 3 * STEPS && top < STEPS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        const unsigned what = (unsigned)(x >> 20) % 8, arg = (unsigned)(x >> 32) % 10;
        char name[8], pattern[16];
        struct qs_recipe *d = NULL;
        if (what < 2) {
            const bool went = what ? qs_history_undo(h, NULL, &e) : qs_history_redo(h, NULL, &e);
            assert_int_equal(went, what ? at > 0 : at < top);
            at = went ? what ? at - 1 : at + 1 : at;
            assert_string_equal(qs_history_text(h, NULL), seen[at]);
            continue;
        }
        snprintf(name, sizeof name, "t%u", arg);
        snprintf(pattern, sizeof pattern, "t[%u-9]", arg);
        OK(qs_history_begin(h, &d, why));
        const size_t n = d->n_rules;
        (void)(what == 2   ? qs_recipe_pin(d, name, arg % 2 ? QS_Q8_0 : QS_TYPE_NONE, &e)
               : what == 3 ? qs_recipe_insert_rule(d, arg % (n + 1), pattern, QS_F16, &e)
               : what == 4 ? qs_recipe_remove_rule(d, arg % 5, &e)
               : what == 5 ? qs_recipe_move_rule(d, arg % 4, (arg + 1) % 3, &e)
               : what == 6 ? qs_recipe_set_option(d, QS_SET_OUTPUT_TYPE, arg % 2 ? QS_Q6_K : QS_TYPE_NONE, &e)
                           : qs_recipe_replace_rule(d, arg % 3, pattern, QS_Q5_K, &e));
        const uint64_t version = qs_history_version(h);
        OK(qs_history_commit(h, name, why));
        if (qs_history_version(h) == version)
            continue;
        for (unsigned k = ++at; k <= top; k++)
            qs_free(seen[k]);
        seen[top = at] = qs_strdup(qs_history_text(h, NULL));
        check_text(h, seen[at]);
    }
    assert_true(top > 50);
    for (unsigned k = 0; k <= top; k++)
        qs_free(seen[k]);
    qs_history_free(h);
}

static void test_history_out_of_memory(void **state)
{
    static const char t0[] = "pin a = Q6_K # keep\nrule x = Q8_0\n", t1[] = "pin  a = Q8_0  # keep\nrule x = Q8_0\n";
    unsigned failed = 0;
    (void)state;
    for (int what = 0; what < 5; what++)
        for (uint64_t k = 1;; k++) {
            const uint64_t held = qs_mem_in_use();
            struct qs_history *h = begin_history(t0);
            struct qs_err e = QS_ERR_INIT;
            struct qs_recipe *d = NULL;
            pin(h, "a", QS_Q8_0, "a = Q8_0");
            if (what == 1)
                assert_true(qs_history_undo(h, NULL, &e));
            const char *text = what == 1 ? t0 : t1;
            if (what == 3) {
                OK(qs_history_begin(h, &d, why));
                OK(qs_recipe_pin(d, "b", QS_Q8_0, why));
            }
            if (what == 4)
                d = parse("preset = Q2_K\n");
            const uint64_t version = qs_history_version(h);
            qs_mem_fail_after(k);
            const bool ok = what == 0   ? qs_history_undo(h, NULL, &e)
                            : what == 1 ? qs_history_redo(h, NULL, &e)
                            : what == 2 ? !qs_history_begin(h, &d, &e)
                            : what == 3 ? !qs_history_commit(h, "b = Q8_0", &e)
                                        : !qs_history_load(h, d, "two", "Q2_K", &e);
            qs_mem_fail_after(0);
            if (!ok) {
                failed++;
                assert_int_equal(e.code, QS_ENOMEM);
                assert_int_equal(qs_history_version(h), version);
                check_text(h, text);
                assert_int_equal(qs_history_undos(h), what != 1);
                assert_int_equal(qs_history_redos(h), what == 1);
                if (what == 3)
                    OK(qs_history_commit(h, "b = Q8_0", why)); /* the edit is still open */
                if (what == 4)
                    qs_recipe_free(d);
            }
            qs_history_free(h);
            assert_int_equal(qs_mem_in_use(), held);
            if (ok)
                break;
        }
    assert_true(failed > 15);
}

static int make_history(void *ctx, struct qs_err *e)
{
    struct qs_history *h = NULL;
    struct qs_recipe *r = NULL;
    (void)ctx;
    int rc = qs_recipe_new("Q4_K_M", &r, e);
    if (!rc && (rc = qs_history_new(r, &h, e)) != QS_OK)
        qs_recipe_free(r);
    qs_history_free(h);
    return rc;
}

static void test_new_out_of_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(make_history, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_pins_refused),
        cmocka_unit_test(test_many_pins),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_rule_moves),
        cmocka_unit_test(test_rules_refused),
        cmocka_unit_test(test_edits_out_of_memory),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_long_history),
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_history_out_of_memory),
        cmocka_unit_test(test_new_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
