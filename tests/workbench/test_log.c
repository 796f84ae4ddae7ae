/* test_log.c - the log: order, the bound, harmless text, lines too long. */
#include "tests/lib/qs_test.h"

#include <string.h>
#include <time.h>

#include "base/unicode.h"
#include "core/job/log.h"

static void test_order_and_bound(void **state)
{
    (void)state;
    struct qs_log *l = qs_log_new();
    assert_non_null(l);
    assert_int_equal(qs_log_count(l), 0);
    assert_null(qs_log_at(l, 0));
    const int64_t before = (int64_t)time(NULL);
    for (int i = 0; i < QS_LOG_LINES + 3; i++)
        qs_log_add(l, i % 2 ? QS_LOG_WARNING : QS_LOG_NOTE, "line %d", i);
    assert_int_equal(qs_log_count(l), QS_LOG_LINES);
    assert_int_equal(qs_log_version(l), QS_LOG_LINES + 3);
    assert_string_equal(qs_log_at(l, 0)->text, "line 3");
    assert_int_equal(qs_log_at(l, 0)->level, QS_LOG_WARNING);
    assert_string_equal(qs_log_at(l, QS_LOG_LINES - 1)->text, "line 2002");
    assert_true(qs_log_at(l, 0)->time >= before);
    assert_null(qs_log_at(l, QS_LOG_LINES));
    qs_log_free(l);
}

static void test_text_is_harmless(void **state)
{
    (void)state;
    char text[2 * QS_ERR_MAX];
    struct qs_log *l = qs_log_new();
    assert_non_null(l);
    qs_log_add(l, QS_LOG_ERROR, "name \033[2J\nof a file %s", "\x9b");
    const char *line = qs_log_at(l, 0)->text;
    for (const char *p = line; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
    assert_non_null(strstr(line, "of a file"));
    memset(text, 'a', sizeof text); /* a character of two bytes lies across the end of the room */
    memcpy(text + QS_ERR_MAX - 2, "\xc3\xa4", 2);
    text[sizeof text - 1] = 0;
    qs_log_add(l, QS_LOG_ERROR, "%s", text);
    line = qs_log_at(l, 1)->text;
    assert_int_equal(strlen(line), QS_ERR_MAX - 2);
    assert_int_equal(qs_utf8_invalid_at(line, strlen(line)), strlen(line));
    qs_log_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_and_bound),
                                       cmocka_unit_test(test_text_is_harmless) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
