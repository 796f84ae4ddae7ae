/* test_text.c - text made to fit: harmless, shortened in the middle, broken between words; the locale. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tests/lib/qs_test.h"

static void cleans(void **state)
{
    (void)state;
    static const struct { const char *text; bool ascii; const char *want; } table[] = {
        { "plain", true, "plain" },
        { "caf\xc3\xa9 \xe2\x80\xa6", false, "caf\xc3\xa9 \xe2\x80\xa6" },
        { "caf\xc3\xa9 \xe2\x80\xa6", true, "caf\\u{E9} .." },
        { "\xe6\xa8\xa1\n", true, "\\u{6A21}\\n" },
        { "a\x1b[31mb", false, "a\\x1B[31mb" },
        { "a\x1b[31mb", true, "a\\x1B[31mb" },
        { "", true, "" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct qs_str out = QS_STR_INIT;
        qs_text_clean(&out, table[i].text, table[i].ascii);
        assert_string_equal(out.data, table[i].want);
        qs_str_free(&out);
    }
}

static void shortens(void **state)
{
    (void)state;
    static const struct { const char *text; size_t cells; bool ascii; const char *want; } table[] = {
        { "blk.12.attn_output", 18, true, "blk.12.attn_output" },
        { "blk.12.attn_output", 17, true, "blk.12.at..output" },
        { "blk.12.attn_output", 17, false, "blk.12.att\xe2\x80\xa6output" },
        { "blk.22.attn_output.weight", 24, true, "blk.22.attn_output.." },
        { "blk.22.attn_output.weight", 20, true, "blk.22.attn_output.." },
        { "blk.22.attn_output.weight", 17, true, "blk.22.at..output" },
        { "blk.0.attn_q.bias", 12, true, "blk.0...bias" },
        { "abcdef", 3, true, "a.." },
        { "abcdef", 2, true, "ab" },
        { "abcdef", 0, true, "" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct qs_str out = QS_STR_INIT;
        qs_text_shorten(&out, table[i].text, table[i].cells, table[i].ascii);
        assert_string_equal(out.data, table[i].want);
        qs_str_free(&out);
    }
    for (size_t cells = 0; cells < 20; cells++) { /* wide characters are never cut, nor do they take too much */
        struct qs_str out = QS_STR_INIT;
        qs_text_shorten(&out, "a\xe6\xa8\xa1\xe5\x9e\x8b\xe6\xa8\xa1\xe5\x9e\x8b\xe6\xa8\xa1\xe5\x9e\x8bz", cells,
                        false);
        assert_true(qs_utf8_width(out.data, out.len) <= cells);
        assert_int_equal(qs_utf8_invalid_at(out.data, out.len), out.len);
        qs_str_free(&out);
    }
}

static void breaks_lines(void **state)
{
    (void)state;
    static const struct { const char *text; size_t width; bool split; size_t want; } table[] = {
        { "one two three", 0, true, 13 }, { "one two three", 13, true, 13 }, { "one two three", 12, true, 7 },
        { "one two three", 7, true, 7 },  { "one two three", 6, true, 3 },   { "one two three", 2, true, 2 },
        { "one two three", 2, false, 3 }, { "\xe6\xa8\xa1 x", 1, true, 3 },  { "", 5, true, 0 },
        { "one  ", 9, true, 3 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(qs_text_line(table[i].text, table[i].width, table[i].split), table[i].want);
}

/* Every line but the one of a line end takes something, whatever the bytes are. */
static void breaks_any_bytes(void **state)
{
    (void)state;
    static const struct { const char *text; size_t len, width; bool split; size_t want; } table[] = {
        { "\0\0", 2, 5, true, 2 },  { "ab\0cd ef", 8, 6, true, 5 },  { "ab\0cd", 5, 3, true, 3 },
        { "\0", 1, 1, true, 1 },    { "\x1b\x1b\x1b", 3, 2, true, 2 }, { "abc", 2, 5, true, 2 },
        { "     x", 6, 3, true, 3 }, { "  abc", 5, 3, false, 5 },      { "     abc d", 10, 3, false, 8 },
        { "   ", 3, 9, true, 0 },    { "a   b", 5, 2, true, 1 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(qs_text_line_n(table[i].text, table[i].len, table[i].width, table[i].split), table[i].want);
    char *word = malloc(64); /* of a longer one: what lies far behind the line is not looked at */
    memset(word, 'x', 64);
    assert_int_equal(qs_text_line_n(word, (size_t)1 << 40, 40, true), 40);
    free(word);
}

/* By what can be printed, not by a name. */
static void knows_the_locale(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C"));
    assert_false(qs_locale_utf8());
    if (setlocale(LC_CTYPE, "C.UTF-8"))
        assert_true(qs_locale_utf8());
    setlocale(LC_CTYPE, "C");
}

static void tells_of_no_memory(void **state)
{
    (void)state;
    struct qs_str out = QS_STR_INIT;
    qs_mem_fail_after(1);
    qs_text_clean(&out, "caf\xc3\xa9", true);
    qs_mem_fail_after(0);
    assert_true(out.failed);
    qs_str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans),           cmocka_unit_test(shortens),           cmocka_unit_test(breaks_lines), cmocka_unit_test(breaks_any_bytes),
        cmocka_unit_test(knows_the_locale), cmocka_unit_test(tells_of_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
