/* test_err.c - messages: one line, UTF-8, cut at a character; codes of system errors. */
#include <errno.h>
#include <string.h>

#include "tests/lib/qs_test.h"

static void fills_code_and_text(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_fail(&e, QS_EFORMAT, "tensor '%s' at %d", "a.b", 7), QS_EFORMAT);
    assert_int_equal(e.code, QS_EFORMAT);
    assert_string_equal(e.msg, "tensor 'a.b' at 7");
    assert_int_equal(qs_fail(NULL, QS_EIO, "dropped %d", 1), QS_EIO);
    assert_int_equal(qs_fail(&e, QS_EIO, "again: %s", e.msg), QS_EIO);
    assert_string_equal(e.msg, "again: tensor 'a.b' at 7");
}

static void text_is_harmless(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    qs_fail(&e, QS_EIO, "%s", "a\nb\x1b[31m\x7f caf\xc3\xa9 \xc2\x9b \xff\xc3+\xe2\x82");
    assert_string_equal(e.msg, "a?b?[31m? caf\xc3\xa9 ?? ??+??");
}

static void long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    char text[2 * QS_ERR_MAX];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        qs_fail(&e, QS_EIO, "%s", text);
        size_t n = strlen(e.msg);
        assert_true(n < QS_ERR_MAX && n >= QS_ERR_MAX - 4);
        assert_int_equal((n - shift) % 3, 0);
        assert_null(strchr(e.msg, '?'));
    }
}

static void system_errors_have_codes(void **state)
{
    (void)state;
    static const struct { int errnum; enum qs_code code; } table[] = {
        { ENOSPC, QS_ENOSPACE },   { EDQUOT, QS_ENOSPACE }, { ENOMEM, QS_ENOMEM },
        { ENOENT, QS_ENOTFOUND }, { EACCES, QS_EIO },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_fail_errno(&e, table[i].errnum, "cannot open '%s'", "f"), table[i].code);
        assert_int_equal(e.code, table[i].code);
        assert_int_equal(strncmp(e.msg, "cannot open 'f': ", 17), 0);
        assert_true(strlen(e.msg) > 17);
    }
    assert_int_equal(qs_fail_errno(NULL, ENOSPC, "x"), QS_ENOSPACE);
    /* A path of any length leaves the reason readable. */
    struct qs_err e = QS_ERR_INIT;
    char path[4 * QS_ERR_MAX];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    qs_fail_errno(&e, ENOENT, "cannot open '%s'", path);
    assert_non_null(strstr(e.msg, strerror(ENOENT)));
}

static void prefix_goes_before(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    qs_fail_mem(&e, 123456789012ull, "tensor data");
    assert_int_equal(qs_err_prefix(&e, "%s.gguf", "model"), QS_ENOMEM);
    assert_int_equal(strncmp(e.msg, "model.gguf: ", 12), 0);
    assert_non_null(strstr(e.msg, "123456789012"));
    assert_non_null(strstr(e.msg, "tensor data"));
    assert_int_equal(qs_err_prefix(NULL, "x"), QS_OK);
    for (int i = 0; i < 100; i++)
        qs_err_prefix(&e, "%s", "a prefix that makes it longer and longer");
    assert_true(strlen(e.msg) < QS_ERR_MAX);
}

static void advice_stays_with_its_error(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(e.advice, QS_ADVISE_NONE);
    assert_int_equal(qs_fail_advise(&e, QS_EEXISTS, QS_ADVISE_OVERWRITE, "'%s' exists", "a"), QS_EEXISTS);
    assert_string_equal(e.msg, "'a' exists");
    qs_err_prefix(&e, "here");
    const struct qs_err copy = e;
    assert_string_equal(copy.msg, "here: 'a' exists");
    assert_int_equal(copy.advice, QS_ADVISE_OVERWRITE);
    qs_fail(&e, QS_EIO, "another");
    assert_int_equal(e.advice, QS_ADVISE_NONE);
    assert_int_equal(qs_fail_advise(NULL, QS_EIO, QS_ADVISE_RESTART, "x"), QS_EIO);
}

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int i = QS_OK; i <= QS_ELIMIT; i++)
        for (int j = QS_OK; j < i; j++)
            assert_string_not_equal(qs_code_name((enum qs_code)i), qs_code_name((enum qs_code)j));
    assert_string_equal(qs_code_name(QS_EFORMAT), "format");
    assert_string_equal(qs_code_name(QS_EIO), "io");
    assert_string_equal(qs_code_name((enum qs_code)999), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_code_and_text),      cmocka_unit_test(text_is_harmless),
        cmocka_unit_test(long_text_is_cut_at_a_character), cmocka_unit_test(system_errors_have_codes),
        cmocka_unit_test(prefix_goes_before),       cmocka_unit_test(advice_stays_with_its_error),
        cmocka_unit_test(every_code_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
