/* test_str.c - growing strings with a sticky failure; sizes and durations in words. */
#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/lib/qs_test.h"

static void appends(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    assert_string_equal(s.data, "");
    qs_str_add(&s, "abc");
    qs_str_addn(&s, "d\0e", 3);
    qs_str_addc(&s, 'f');
    qs_str_addf(&s, "-%d-%s", 42, "x");
    assert_int_equal(s.len, 12);
    assert_memory_equal(s.data, "abcd\0ef-42-x", 13);
    qs_str_clear(&s);
    assert_string_equal(s.data, "");
    assert_int_equal(s.len, 0);
    for (int i = 0; i < 1000; i++)
        qs_str_addf(&s, "%04d", i);
    assert_int_equal(s.len, 4000);
    assert_memory_equal(s.data + 4 * 777, "0777", 4);
    qs_str_free(&s);
    assert_string_equal(s.data, "");
}

static void appends_itself(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    qs_str_add(&s, "0123456");
    for (int i = 0; i < 8; i++)
        qs_str_addn(&s, s.data, s.len);
    assert_int_equal(s.len, 7 * 256);
    for (size_t i = 0; i < s.len; i++)
        assert_int_equal(s.data[i], '0' + (char)(i % 7));
    qs_str_addf(&s, "%s", s.data);
    assert_int_equal(s.len, 7 * 512);
    qs_str_free(&s);
}

static void long_formats(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    for (int width = 250; width < 262; width++) { /* around the size of the buffer on the stack */
        qs_str_clear(&s);
        qs_str_addf(&s, "%*d", width, 1);
        assert_int_equal(s.len, width);
    }
    qs_str_free(&s);
}

static void take_hands_over(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    char *p = qs_str_take(&s);
    assert_string_equal(p, "");
    qs_free(p);
    qs_str_add(&s, "mine");
    p = qs_str_take(&s);
    assert_string_equal(p, "mine");
    assert_int_equal(s.len, 0);
    assert_string_equal(s.data, "");
    qs_free(p);
}

static void failure_sticks(void **state)
{
    (void)state;
    uint64_t held = qs_mem_in_use();
    struct qs_str s = QS_STR_INIT;
    qs_str_add(&s, "start");
    qs_mem_fail_after(1);
    qs_str_addf(&s, "%300d", 1);
    qs_mem_fail_after(0);
    assert_true(s.failed);
    assert_string_equal(s.data, "start");
    qs_str_add(&s, "more");
    assert_string_equal(s.data, "start");
    assert_null(qs_str_take(&s));
    assert_false(s.failed);
    assert_int_equal(qs_mem_in_use(), held);
    qs_str_add(&s, "x");
    qs_str_addn(&s, "y", SIZE_MAX);
    assert_true(s.failed);
    qs_str_free(&s);
}

static void sizes_in_words(void **state)
{
    (void)state;
    static const struct { unsigned long long bytes; const char *text; } table[] = {
        { 0, "0 B" },                      { 812, "812 B" },
        { 1023, "1023 B" },                { 1024, "1.00 KiB" },
        { 5704253, "5.44 MiB" },           { 10ull << 20, "10.0 MiB" },
        { 800ull << 20, "800 MiB" },       { (1ull << 20) - 1, "1.00 MiB" },
        { 4563402752ull, "4.25 GiB" },     { 1048064, "1.00 MiB" },
        { 10485759, "10.0 MiB" },          { 18446744073709551615ull, "16.0 EiB" },
        { 1023ull << 30, "1023 GiB" },
    };
    char buf[24];
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it exists: no comma may come in */
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_string_equal(qs_fmt_bytes(buf, sizeof buf, table[i].bytes), table[i].text);
    setlocale(LC_ALL, "C");
}

static void sizes_from_words(void **state)
{
    (void)state;
    static const struct { const char *text; unsigned long long bytes; } good[] = {
        { "1024", 1024 },           { "4.25GiB", 4563402752ull }, { "800 MiB", 800ull << 20 }, { "8G", 8ull << 30 },
        { "8g", 8ull << 30 },       { "1KB", 1000 },              { "1.5 kb", 1500 },          { "2T", 2ull << 40 },
        { "512B", 512 },            { ".5K", 512 },               { "0", 0 },
        { "3 TB", 3000000000000ull },
        { "1.000000001G", (1ull << 30) + 1 }, { " 7 MiB", 7ull << 20 },
    };
    static const char *const bad[] = { "", "G", "4.2.5G", "-1", "12 parsecs", "1e9", ".", "5 GiBs", "0x10",
                                       "99999999999999999999999", "18446744073709551615K", "16777216T" };
    struct qs_err e;
    unsigned long long v;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        v = 99;
        assert_int_equal(qs_parse_bytes(good[i].text, &v, &e), QS_OK);
        assert_true(v == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        v = 99;
        assert_int_equal(qs_parse_bytes(bad[i], &v, &e), QS_EINVAL);
        assert_true(v == 99);
        assert_true(e.msg[0] != 0);
    }
}

/* Turkish: 'i' is not the small letter of 'I'. The folds must not follow; the table speaks where no such locale is. */
static void folds_ascii_alone(void **state)
{
    (void)state;
    static const char *const locales[] = { "C", "C.UTF-8", "tr_TR.UTF-8", "tr_TR.ISO-8859-9" };
    unsigned long long v = 0;
    struct qs_err e;
    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++) {
        setlocale(LC_CTYPE, locales[i]);
        for (int c = -128; c < 128; c++) {
            const bool upper = c >= 'A' && c <= 'Z';
            assert_int_equal(qs_ascii_lower((char)c), (char)(upper ? c + 32 : c)); /* char has a sign, or none */
        }
        assert_true(qs_ascii_equal("IQ4_XS", "iq4_xs"));
        assert_true(qs_ascii_equal("", ""));
        assert_false(qs_ascii_equal("IQ4_XS", "IQ4_X"));
        assert_false(qs_ascii_equal("IQ4_X", "IQ4_XS"));
        assert_false(qs_ascii_equal("[", "{")); /* 32 apart, but no letters */
        assert_false(qs_ascii_equal("\xdd", "\xfd"));
        assert_true(qs_ascii_begins("IQ4_XS", "iq4"));
        assert_true(qs_ascii_begins("x", ""));
        assert_false(qs_ascii_begins("iq", "IQ4"));
        assert_int_equal(qs_parse_bytes("3 MIB", &v, &e), QS_OK);
        assert_true(v == 3ull << 20);
    }
    setlocale(LC_ALL, "C");
}

static void durations_in_words(void **state)
{
    (void)state;
    static const struct { double seconds; const char *text; } table[] = {
        { 0, "0.0 s" },          { 3.2, "3.2 s" },           { 59.94, "59.9 s" },        { 59.96, "1 min 00 s" },
        { 250, "4 min 10 s" },   { 3599.6, "1 h 00 min" },   { 7500, "2 h 05 min" },     { 400000, "4 d 15 h" },
        { -1, "-" },             { (double)NAN, "-" },       { (double)INFINITY, "-" },
    };
    char buf[24];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_string_equal(qs_fmt_seconds(buf, sizeof buf, table[i].seconds), table[i].text);
}

static void numbers_in_words(void **state)
{
    (void)state;
    static const struct { double value; int decimals; const char *fixed, *percent; } table[] = {
        { 0.0312, 2, "0.03", "3.12%" },     { 0, 2, "0", "0%" },                      { -0.5, 1, "-0.5", "-50.0%" },
        { 0.00004, 2, "<0.01", "<0.01%" },  { 0.004, 2, "<0.01", "0.40%" },           { 0.4, 0, "<1", "40%" },
        { 12.345, 0, "12", "1234%" },       { 1e300, 2, "1.00e+300", "1.00e+302%" },  { (double)NAN, 2, "-", "-" },
        { (double)INFINITY, 2, "inf", "inf" }, { -(double)INFINITY, 0, "-inf", "-inf" }, { 2.0625, 2, "2.06", "206.25%" },
    };
    char buf[QS_FMT_MAX];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_string_equal(qs_fmt_fixed(buf, sizeof buf, table[i].value, table[i].decimals), table[i].fixed);
        assert_string_equal(qs_fmt_percent(buf, sizeof buf, table[i].value, table[i].decimals), table[i].percent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),         cmocka_unit_test(appends_itself),  cmocka_unit_test(long_formats),
        cmocka_unit_test(take_hands_over), cmocka_unit_test(failure_sticks),  cmocka_unit_test(sizes_in_words),
        cmocka_unit_test(sizes_from_words), cmocka_unit_test(durations_in_words),
        cmocka_unit_test(numbers_in_words), cmocka_unit_test(folds_ascii_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
