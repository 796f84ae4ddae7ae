/* test_regex.c - searches, Unicode, bounds on patterns and on work, sharing by threads. */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "tests/lib/qs_test.h"

/* Compiles, searches once; span in *from, *to. */
static int find(const char *pattern, unsigned flags, const char *text, size_t start, size_t span[2])
{
    struct qs_regex *r;
    struct qs_err e = QS_ERR_INIT;
    if (qs_regex_compile(pattern, flags, &r, &e) != QS_OK)
        fail_msg("%s", e.msg);
    int rc = qs_regex_find(r, text, strlen(text), start, span, &e);
    qs_regex_free(r);
    return rc;
}

static void finds(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        unsigned flags;
        const char *text;
        size_t start;
        int rc;
        size_t from, to;
    } table[] = {
        { "b+", 0, "aabbbc", 0, 1, 2, 5 },
        { "b+", 0, "aabbbc", 3, 1, 3, 5 },
        { "b+", 0, "aabbbc", 5, 0, 0, 0 },
        { "^blk\\.\\d+\\.attn_(q|k)\\.weight$", 0, "blk.12.attn_k.weight", 0, 1, 0, 20 },
        { "^b", 0, "ab", 1, 0, 0, 0 }, /* the text before the start is seen */
        { "(?<=a)b", 0, "ab", 1, 1, 1, 2 },
        { "STRASSE|\xc3\x84", QS_REGEX_ICASE, "x\xc3\xa4", 0, 1, 1, 3 },
        { "\xc3\x84", 0, "\xc3\xa4", 0, 0, 0, 0 },
        { "\\p{L}+", 0, "1\xe4\xbd\xa0\xe5\xa5\xbd!", 0, 1, 1, 7 },
        { "\\w+", 0, "-\xc3\xa9t\xc3\xa9-", 0, 1, 1, 6 },
        { "^.$", 0, "\xf0\x9f\x98\x80", 0, 1, 0, 4 },
        { "", 0, "abc", 3, 1, 3, 3 },
        { "x", 0, "abc", 4, 0, 0, 0 },
        { "", 0, "", 0, 1, 0, 0 },
        { "a\\Kb", 0, "ab", 0, 1, 1, 2 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (unsigned checked = 0; checked < 2; checked++) {
            size_t span[2] = { 0, 0 };
            unsigned flags = table[i].flags | (checked ? QS_REGEX_CHECKED : 0);
            if (find(table[i].pattern, flags, table[i].text, table[i].start, span) != table[i].rc ||
                span[0] != table[i].from || span[1] != table[i].to)
                fail_msg("/%s/ in \"%s\": %zu to %zu", table[i].pattern, table[i].text, span[0], span[1]);
        }
    assert_int_equal(find("b", 0, "abc", 0, NULL), 1);
}

static void bad_patterns_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = { "blk.(", "a[b", "x{2,1}", "\\p{Nope}", "[z-a]", "\xff", "\\C", "*",
                                       "(?<n>a)(?<n>b)" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct qs_regex *r;
        struct qs_err e = QS_ERR_INIT;
        if (qs_regex_compile(bad[i], 0, &r, &e) != QS_EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_null(r);
        assert_non_null(strstr(e.msg, i == 0 ? "offset 5" : "offset "));
        if ((unsigned char)bad[i][0] < 0x80)
            assert_non_null(strstr(e.msg, bad[i]));
    }
}

static void patterns_are_bounded(void **state)
{
    (void)state;
    char text[5000];
    struct qs_regex *r;
    struct qs_err e;
    memset(text, 'a', sizeof text);
    text[4096] = 0;
    assert_int_equal(qs_regex_compile(text, 0, &r, &e), QS_OK);
    qs_regex_free(r);
    text[4096] = 'a';
    text[4097] = 0;
    assert_int_equal(qs_regex_compile(text, 0, &r, &e), QS_ELIMIT);
    assert_null(r);
    memset(text, '(', 1000);
    memset(text + 1000, ')', 1000);
    text[2000] = 0;
    assert_int_equal(qs_regex_compile(text, 0, &r, &e), QS_EINVAL);
    assert_int_equal(qs_regex_compile("(((a{1000}){1000}){1000})", 0, &r, &e), QS_EINVAL);
}

static void work_is_bounded(void **state)
{
    (void)state;
    static char text[200];
    struct qs_regex *r;
    struct qs_err e = QS_ERR_INIT;
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(qs_regex_compile("^(a+)+$", 0, &r, &e), QS_OK);
    assert_int_equal(qs_regex_find(r, text, 199, 0, NULL, &e), 1);
    text[198] = 'b';
    assert_int_equal(qs_regex_find(r, text, 199, 0, NULL, &e), -1);
    assert_int_equal(e.code, QS_ELIMIT);
    assert_true(e.msg[0] != 0);
    qs_regex_free(r);
    /* Deep recursion ends too. */
    char *deep = qs_malloc(1 << 20);
    memset(deep, '(', 1 << 20);
    assert_int_equal(qs_regex_compile("^(\\((?1)*\\))+$", 0, &r, &e), QS_OK);
    assert_int_equal(qs_regex_find(r, deep, 1 << 20, 0, NULL, &e), -1);
    assert_int_equal(e.code, QS_ELIMIT);
    qs_regex_free(r);
    /* Long and simple is fine. */
    memset(deep, 'x', 1 << 20);
    assert_int_equal(qs_regex_compile("\\s+|\\p{L}+|.", 0, &r, &e), QS_OK);
    size_t span[2];
    assert_int_equal(qs_regex_find(r, deep, 1 << 20, 0, span, &e), 1);
    assert_int_equal(span[1], 1 << 20);
    qs_regex_free(r);
    qs_free(deep);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "ab\xff", "\xc0\x80", "x\xed\xa0\x80", "\xf5\x80\x80\x80", "end\xe2\x82" };
    struct qs_regex *r;
    assert_int_equal(qs_regex_compile("zzz", 0, &r, NULL), QS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_regex_find(r, bad[i], strlen(bad[i]), 0, NULL, &e), -1);
        assert_int_equal(e.code, QS_EFORMAT);
        assert_non_null(strstr(e.msg, "UTF-8"));
    }
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_regex_find(r, "\xc3\xa9", 2, 1, NULL, &e), -1);
    assert_int_equal(e.code, QS_EINVAL);
    qs_regex_free(r);
    assert_int_equal(qs_regex_compile("zzz", QS_REGEX_CHECKED, &r, NULL), QS_OK);
    assert_int_equal(qs_regex_find(r, "\xc3\xa9", 2, 1, NULL, &e), -1);
    qs_regex_free(r);
}

static void *search_often(void *arg)
{
    uintptr_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        size_t span[2];
        char text[] = "0000 word";
        text[i % 4] = 'x';
        wrong += qs_regex_find(arg, text, 9, 0, span, NULL) != 1;
        wrong += span[0] != (size_t)(i % 4) || span[1] != span[0] + 1;
    }
    return (void *)wrong;
}

static void threads_share_a_pattern(void **state)
{
    (void)state;
    struct qs_regex *r;
    pthread_t t[4];
    assert_int_equal(qs_regex_compile("(?i)\\p{L}+", 0, &r, NULL), QS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, search_often, r), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    qs_regex_free(r);
    qs_regex_free(NULL);
}

static int compile_and_find(void *ctx, struct qs_err *e)
{
    (void)ctx;
    struct qs_regex *r;
    int rc = qs_regex_compile("(?:[a-z]+(\\d)|x{3,70}y?)*\\1$", QS_REGEX_ICASE, &r, e);
    if (rc)
        return rc;
    rc = qs_regex_find(r, "abc1 def22", 10, 0, NULL, e) < 0 ? (int)e->code : QS_OK;
    qs_regex_free(r);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    qs_test_each_alloc(compile_and_find, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),               cmocka_unit_test(bad_patterns_are_named),
        cmocka_unit_test(patterns_are_bounded), cmocka_unit_test(work_is_bounded),
        cmocka_unit_test(bad_text_is_refused), cmocka_unit_test(threads_share_a_pattern),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
