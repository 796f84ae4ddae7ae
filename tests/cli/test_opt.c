/* test_opt.c - the option parser: every form of giving a value, every way of getting it wrong. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "src/opt.h"

static const struct qs_opt own[] = {
    { .name = "type", .letter = 't', .kind = QS_OPT_STR, .arg = "TYPE", .help = "a text" },
    { .name = "force", .letter = 'f', .help = "a flag" },
    { .name = "set", .many = true, .kind = QS_OPT_STR, .arg = "KEY", .help = "many" },
    { .name = "split", .kind = QS_OPT_SIZE, .arg = "SIZE", .help = "a size" },
    { .name = "part", .kind = QS_OPT_SIZE, .arg = "SIZE", .min = 1024, .max = 1 << 20, .help = "a size with limits" },
    { .name = "by", .kind = QS_OPT_CHOICE, .arg = "WORD", .choices = "error bits", .help = "a choice" },
    { .name = NULL }
};
static const struct qs_opt common[] = {
    { .name = "threads", .letter = 'j', .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 64, .help = "a number" },
    { .name = "verbose", .letter = 'v', .help = "a flag" },
    { .name = NULL }
};
static const struct qs_opt *const tables[] = { own, common };

#define WORDS_MAX 16

/* Parses words separated by blanks; the copies live until the next call. */
static int parse(const char *line, bool stop, struct qs_args *a, int *used, struct qs_err *e)
{
    static char text[256];
    static char *words[WORDS_MAX];
    int n = 0;
    assert_true(strlen(line) < sizeof text);
    memcpy(text, line, strlen(line) + 1);
    for (char *p = text; *p && n < WORDS_MAX; ) {
        words[n++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
    }
    return qs_args_parse(tables, 2, n, words, stop, a, used, e);
}

static void test_forms(void **state)
{
    static const char *const lines[] = { "--type X -f a", "--type=X a --force", "-tX a -f", "-t X -f a", "a -ft X",
                                         "-vftX a", "-f --type Y -t X a", "-t=X -f a" };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct qs_args a;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(parse(lines[i], false, &a, NULL, &e), QS_OK);
        assert_string_equal(qs_args_find(&a, "type")->text, "X");
        assert_non_null(qs_args_find(&a, "force"));
        assert_null(qs_args_find(&a, "set"));
        assert_int_equal(a.n_args, 1);
        assert_string_equal(a.arg[0], "a");
        qs_args_free(&a);
    }
}

static void test_values(void **state)
{
    struct qs_args a;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(parse("--set a --split 4GiB --set=b --by bits -j8 - -- -f --set", false, &a, NULL, &e), QS_OK);
    assert_string_equal(qs_args_nth(&a, "set", 0)->text, "a");
    assert_string_equal(qs_args_nth(&a, "set", 1)->text, "b");
    assert_null(qs_args_nth(&a, "set", 2));
    assert_true(qs_args_find(&a, "split")->num == 4ull << 30);
    assert_true(qs_args_find(&a, "threads")->num == 8);
    assert_int_equal(a.n_args, 3); /* "-" and what stands after "--" */
    assert_string_equal(a.arg[1], "-f");
    qs_args_free(&a);
}

static void test_limits(void **state)
{
    static const struct { const char *line; uint64_t bytes; } cases[] = { { "--part 1KiB", 1024 }, { "--part 1M", 1 << 20 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_args a;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(parse(cases[i].line, false, &a, NULL, &e), QS_OK);
        assert_true(qs_args_find(&a, "part")->num == cases[i].bytes);
        qs_args_free(&a);
    }
}

static void test_stop(void **state)
{
    struct qs_args a;
    struct qs_err e = QS_ERR_INIT;
    int used = -1;
    (void)state;
    assert_int_equal(parse("-v --threads 2 verb --unknown", true, &a, &used, &e), QS_OK);
    assert_int_equal(used, 3);
    assert_int_equal(a.n_args, 0);
    qs_args_free(&a);
}

static void test_refusals(void **state)
{
    static const struct { const char *line, *says; } cases[] = {
        { "--tpye X", "did you mean --type" }, { "--thr 2", "did you mean --threads" },
        { "--zzzzzz", "--help lists" }, { "-z", "unknown option -z" }, { "-fz", "unknown option -z" },
        { "--type", "needs a value" }, { "-t", "needs a value" }, { "--force=1", "takes no value" },
        { "--threads 0", "from 1 to 64" }, { "--threads 65", "from 1 to 64" }, { "--threads -1", "from 1 to 64" },
        { "--threads 1x", "from 1 to 64" }, { "--threads 99999999999999999999999", "from 1 to 64" },
        { "--by worth", "error bits" }, { "--by err", "error bits" }, { "--split big", "--split" },
        { "--part 0", "at least 1.00 KiB, not \"0\"" }, { "--part 1023", "at least 1.00 KiB" },
        { "--part 1.1MiB", "at most 1.00 MiB" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_args a;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(parse(cases[i].line, false, &a, NULL, &e), QS_EINVAL);
        if (!strstr(e.msg, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].line, e.msg, cases[i].says);
        qs_args_free(&a);
    }
}

static void test_suggestions(void **state)
{
    static const char *const verbs[] = { "info", "check", "tensors", "types", "survey", "quantize", NULL };
    (void)state;
    assert_string_equal(qs_did_you_mean("typs", verbs), "types");
    assert_string_equal(qs_did_you_mean("quantise", verbs), "quantize");
    assert_string_equal(qs_did_you_mean("tens", verbs), "tensors"); /* a beginning */
    assert_string_equal(qs_did_you_mean("ifno", verbs), "info");    /* neighbours swapped */
    assert_null(qs_did_you_mean("chat", (const char *const[]){ "quantize", "survey", NULL }));
    assert_null(qs_did_you_mean("x", verbs));
}

static int parse_body(void *ctx, struct qs_err *e)
{
    struct qs_args a;
    int rc = parse(ctx, false, &a, NULL, e);
    qs_args_free(&a);
    return rc;
}

static void test_memory(void **state)
{
    static char line[] = "--type X --set a b c";
    (void)state;
    qs_test_each_alloc(parse_body, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_values), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_suggestions), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
