/* Names of keys: the table, both ways for every key, what is no key. */
#include "tests/lib/qs_test.h"

#include <string.h>

#include "ui/event.h"

static void names_of(void **state)
{
    (void)state;
    static const struct { uint32_t key; const char *name; } table[] = {
        { 'q', "q" }, { 'G', "G" }, { '-', "-" }, { '+', "+" }, { '#', "#" }, { ' ', "Space" }, { QS_KEY_TAB, "Tab" },
        { QS_SHIFT | QS_KEY_TAB, "Shift-Tab" }, { QS_CTRL | 'r', "Ctrl-R" }, { QS_CTRL | ' ', "Ctrl-Space" },
        { QS_CTRL | '-', "Ctrl--" }, { QS_CTRL | '\\', "Ctrl-\\" }, { QS_KEY_PAGE_DOWN, "PgDn" }, { QS_KEY_F1, "F1" },
        { QS_KEY_F12, "F12" }, { QS_CTRL | QS_SHIFT | QS_KEY_LEFT, "Ctrl-Shift-Left" }, { 0xE9, "\u00E9" },
        { 0x6A21, "\u6A21" }, { 0x1F600, "\U0001F600" }, { 0x301, "U+0301" }, { 0xA0, "U+00A0" }, { 0x202E, "U+202E" },
        { 0x1B - 1, "U+001A" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char buf[24];
        assert_string_equal(qs_key_name(table[i].key, buf, sizeof buf), table[i].name);
        assert_int_equal(qs_key_parse(table[i].name), table[i].key);
    }
    char buf[24];
    assert_string_equal(qs_key_name(QS_KEY_NONE, buf, sizeof buf), "none");
    assert_string_equal(qs_key_name(0x1FFFFF, buf, sizeof buf), "none");
}

static void other_names(void **state)
{
    (void)state;
    static const struct { const char *name; uint32_t key; } table[] = {
        { "C-r", QS_CTRL | 'r' }, { "ctrl-r", QS_CTRL | 'r' }, { "CTRL-R", QS_CTRL | 'r' }, { "S-Tab", QS_SHIFT | QS_KEY_TAB },
        { "shift-TAB", QS_SHIFT | QS_KEY_TAB }, { "pagedown", QS_KEY_PAGE_DOWN }, { "escape", QS_KEY_ESC },
        { "return", QS_KEY_ENTER }, { "delete", QS_KEY_DELETE }, { "insert", QS_KEY_INSERT }, { "f10", QS_KEY_F1 + 9 },
        { "C-i", QS_KEY_TAB }, { "C-m", QS_KEY_ENTER }, { "C-[", QS_KEY_ESC }, { "u+0071", 'q' },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(qs_key_parse(table[i].name), table[i].key);
}

static void no_names(void **state)
{
    (void)state;
    static const char *const table[] = {
        "", "qq", "Shift-", "Ctrl-", "C-", "Shift-q", "F0", "F13", "F1x", "U+", "U+D800", "U+110000", "U+00zz", "Alt-x", "\xff",
        "\xC3", "none", "Ctrl-Ctrl-x",
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(qs_key_parse(table[i]), QS_KEY_NONE);
}

static void round_trip(uint32_t key)
{
    char name[24];
    qs_key_name(key, name, sizeof name);
    if (strlen(name) >= sizeof name - 1 || qs_key_parse(name) != key)
        fail_msg("key %#x is called '%s', which is %#x", (unsigned)key, name, (unsigned)qs_key_parse(name));
}

static void every_key(void **state)
{
    (void)state;
    for (uint32_t key = 1; key <= 0x10FFFF; key++)
        if (key < 0xD800 || key > 0xDFFF)
            round_trip(key);
    for (uint32_t key = QS_KEY_UP; key <= QS_KEY_F12; key++) {
        round_trip(key);
        round_trip(QS_CTRL | key);
        round_trip(QS_SHIFT | key);
        round_trip(QS_CTRL | QS_SHIFT | key);
    }
    for (uint32_t key = ' '; key < 127; key++)
        if (!(key >= 'A' && key <= 'Z') && !strchr("im[", (int)key))
            round_trip(QS_CTRL | key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of),
        cmocka_unit_test(other_names),
        cmocka_unit_test(no_names),
        cmocka_unit_test(every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
