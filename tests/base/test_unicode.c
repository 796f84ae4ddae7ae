/* test_unicode.c - validity over every code point, widths, harmless text. */
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "tests/lib/qs_test.h"

/* Encodes without any check: also what must not be. */
static size_t encode(uint32_t cp, size_t len, char out[4])
{
    static const unsigned char lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    if (len == 1) {
        out[0] = (char)cp;
        return 1;
    }
    for (size_t i = len; i-- > 1; cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(lead[len] | cp);
    return len;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x200000; cp++) {
        char b[5] = { 0 };
        size_t shortest = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4, pos = 0;
        bool valid = cp <= 0x10FFFF && !(cp >= 0xD800 && cp < 0xE000);
        for (size_t len = shortest; len <= 4; len++) {
            encode(cp, len, b);
            bool good = valid && len == shortest;
            if (qs_utf8_invalid_at(b, len) != (good ? len : 0))
                fail_msg("U+%X in %zu bytes", cp, len);
            pos = 0;
            uint32_t got = qs_utf8_next(b, len, &pos);
            if (got != (good ? cp : 0xFFFD) || pos != (good ? len : 1))
                fail_msg("U+%X in %zu bytes is read as U+%X", cp, len, got);
            if (good && len > 1 && qs_utf8_invalid_at(b, len - 1) != 0)
                fail_msg("U+%X cut short", cp);
        }
    }
}

static void invalid_at(void **state)
{
    (void)state;
    assert_int_equal(qs_utf8_invalid_at("", 0), 0);
    assert_int_equal(qs_utf8_invalid_at("ab\xc3\xa9" "c", 5), 5);
    assert_int_equal(qs_utf8_invalid_at("ab\xc3", 3), 2);
    assert_int_equal(qs_utf8_invalid_at("ab\x80", 3), 2);
    assert_int_equal(qs_utf8_invalid_at("a\0b\xfe", 4), 3);
    assert_int_equal(qs_utf8_invalid_at("\xf8\x88\x80\x80\x80", 5), 0);
    size_t pos = 5;
    assert_int_equal(qs_utf8_next("abc", 3, &pos), 0xFFFD);
    assert_int_equal(pos, 5);
}

static void widths(void **state)
{
    (void)state;
    static const struct { uint32_t cp; unsigned width; } table[] = {
        { 'a', 1 }, { ' ', 1 }, { 0, 0 }, { '\n', 0 }, { 0x7F, 0 }, { 0x9B, 0 }, { 0xE9, 1 }, { 0x301, 0 },
        { 0x4F60, 2 },
        { 0xAC00, 2 }, { 0x1F600, 2 }, { 0x200D, 0 }, { 0x2588, 1 }, { 0xFF21, 2 }, { 0x110000, 1 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (qs_utf8_width_cp(table[i].cp) != table[i].width)
            fail_msg("U+%X: %u cells", table[i].cp, qs_utf8_width_cp(table[i].cp));
    assert_int_equal(qs_utf8_width("e\xcc\x81\xe4\xbd\xa0\xff", 7), 4);
}

static void expect_clean(const char *text, size_t n, size_t cells, const char *clean)
{
    struct qs_str s = QS_STR_INIT;
    qs_utf8_clean(&s, text, n, cells);
    assert_false(s.failed);
    assert_string_equal(s.data, clean);
    if (cells)
        assert_true(qs_utf8_width(s.data, s.len) <= cells);
    qs_str_free(&s);
}

static void text_made_harmless(void **state)
{
    (void)state;
    static const struct { const char *text, *clean; } table[] = {
        { "plain caf\xc3\xa9 \xe4\xbd\xa0", "plain caf\xc3\xa9 \xe4\xbd\xa0" },
        { "a\nb\tc\rd", "a\\nb\\tc\\rd" },
        { "\x1b[31m\x07\x7f", "\\x1B[31m\\x07\\x7F" },
        { "\xc2\x9b" "2J\xc2\x85", "\\u{9B}2J\\u{85}" },
        { "\xe2\x80\xae" "abc\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f", "\\u{202E}abc\\u{2066}\\u{61C}\\u{200F}" },
        { "\xe2\x80\xa8\xef\xbb\xbf\xf3\xa0\x81\x81", "\\u{2028}\\u{FEFF}\\u{E0041}" },
        { "\xff\xc3(\xed\xa0\x80", "\\xFF\\xC3(\\xED\\xA0\\x80" },
        { "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb" },
        { "e\xcc\x81", "e\xcc\x81" },
        { "\\n", "\\n" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_clean(table[i].text, strlen(table[i].text), 0, table[i].clean);
    expect_clean("a\0b", 3, 0, "a\\x00b");
    /* Nothing a terminal could act on is left of any two bytes. */
    for (unsigned v = 0; v < 0x10000; v++) {
        char two[2] = { (char)(v >> 8), (char)v };
        struct qs_str s = QS_STR_INIT;
        qs_utf8_clean(&s, two, 2, 0);
        assert_int_equal(qs_utf8_invalid_at(s.data, s.len), s.len);
        for (size_t i = 0; i < s.len; i++) {
            unsigned char c = (unsigned char)s.data[i], next = (unsigned char)s.data[i + 1];
            if (c < 0x20 || c == 0x7F || (c == 0xC2 && next < 0xA0))
                fail_msg("%04X", v);
        }
        qs_str_free(&s);
    }
}

static void towers_of_marks_are_cut(void **state)
{
    (void)state;
    struct qs_str in = QS_STR_INIT, s = QS_STR_INIT;
    qs_str_addc(&in, 'a');
    for (int i = 0; i < 100000; i++)
        qs_str_add(&in, "\xcc\x81");
    qs_utf8_clean(&s, in.data, in.len, 20);
    assert_true(s.len < 100);
    assert_true(qs_utf8_width(s.data, s.len) <= 20);
    qs_str_free(&in);
    qs_str_free(&s);
}

static void cut_to_cells(void **state)
{
    (void)state;
    static const struct { const char *text; size_t cells; const char *clean; } table[] = {
        { "abcdef", 6, "abcdef" },
        { "abcdef", 5, "abcd\xe2\x80\xa6" },
        { "abcdef", 1, "\xe2\x80\xa6" },
        { "\xe4\xbd\xa0\xe5\xa5\xbd", 4, "\xe4\xbd\xa0\xe5\xa5\xbd" },
        { "\xe4\xbd\xa0\xe5\xa5\xbd", 3, "\xe4\xbd\xa0\xe2\x80\xa6" },
        { "\xe4\xbd\xa0\xe5\xa5\xbd", 2, "\xe2\x80\xa6" },
        { "\xe4\xbd\xa0", 1, "\xe2\x80\xa6" },
        { "ab\x1b", 5, "ab\xe2\x80\xa6" },
        { "ab\x1b", 6, "ab\\x1B" },
        { "abe\xcc\x81", 3, "abe\xcc\x81" },
        { "abe\xcc\x81" "d", 3, "ab\xe2\x80\xa6" },
        { "", 3, "" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_clean(table[i].text, strlen(table[i].text), table[i].cells, table[i].clean);
    struct qs_str s = QS_STR_INIT;
    qs_str_add(&s, "before: ");
    qs_utf8_clean(&s, "abcdef", 6, 3);
    assert_string_equal(s.data, "before: ab\xe2\x80\xa6");
    qs_str_free(&s);
}

static int clean(void *ctx, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    qs_utf8_clean(&s, ctx, strlen(ctx), 300);
    int rc = s.failed ? qs_fail_mem(e, s.len, "text") : QS_OK;
    qs_str_free(&s);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    char text[] = "some text that has to be cleaned \x1b[0m\n and more of it \xff";
    qs_test_each_alloc(clean, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),   cmocka_unit_test(invalid_at),
        cmocka_unit_test(widths),             cmocka_unit_test(text_made_harmless),
        cmocka_unit_test(towers_of_marks_are_cut), cmocka_unit_test(cut_to_cells),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
