/* event.c - the names of keys, from one table in both directions. Pure functions. */
#include "ui/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/unicode.h"

/* Of several names of a key the first is its name. */
static const struct { uint32_t key; const char *name; } names[] = {
    { QS_KEY_TAB, "Tab" },           { QS_KEY_ENTER, "Enter" },       { QS_KEY_ENTER, "Return" },
    { QS_KEY_ESC, "Esc" },           { QS_KEY_ESC, "Escape" },        { QS_KEY_SPACE, "Space" },
    { QS_KEY_BACKSPACE, "Backspace" }, { QS_KEY_UP, "Up" },           { QS_KEY_DOWN, "Down" },
    { QS_KEY_LEFT, "Left" },         { QS_KEY_RIGHT, "Right" },       { QS_KEY_HOME, "Home" },
    { QS_KEY_END, "End" },           { QS_KEY_PAGE_UP, "PgUp" },      { QS_KEY_PAGE_UP, "PageUp" },
    { QS_KEY_PAGE_DOWN, "PgDn" },    { QS_KEY_PAGE_DOWN, "PageDown" }, { QS_KEY_INSERT, "Ins" },
    { QS_KEY_INSERT, "Insert" },     { QS_KEY_DELETE, "Del" },        { QS_KEY_DELETE, "Delete" },
};
enum { NAMES = sizeof names / sizeof names[0] };

static const struct { uint32_t bit; const char *name, *brief; } modifiers[] = {
    { QS_CTRL, "Ctrl-", "C-" },
    { QS_SHIFT, "Shift-", "S-" },
};

static size_t put_code_point(uint32_t cp, char *out)
{
    if (cp < 0x80)
        return out[0] = (char)cp, 1;
    const size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(lead[n] | cp);
    return n;
}

/* The code points that a screen shows as themselves, each told from any other: a blank or a mark alone is not. */
static bool shown(uint32_t cp)
{
    const bool space = cp <= ' ' || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x202F ||
                       cp == 0x205F || cp == 0x3000;
    return !space && cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF) && qs_utf8_harmless(cp) && qs_utf8_width_cp(cp) > 0;
}

const char *qs_key_name(uint32_t key, char *buf, size_t n)
{
    char text[5] = "", prefix[16] = "";
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++)
        if (key & modifiers[i].bit)
            (void)snprintf(prefix + strlen(prefix), sizeof prefix - strlen(prefix), "%s", modifiers[i].name);
    const bool ctrl = key & QS_CTRL;
    key &= ~(QS_CTRL | QS_SHIFT);
    for (size_t i = 0; i < NAMES; i++)
        if (names[i].key == key)
            return (void)snprintf(buf, n, "%s%s", prefix, names[i].name), buf;
    if (key >= QS_KEY_F1 && key <= QS_KEY_F12) {
        (void)snprintf(buf, n, "%sF%u", prefix, (unsigned)(key - QS_KEY_F1 + 1));
    } else if (shown(key)) {
        if (ctrl && key >= 'a' && key <= 'z')
            key -= 'a' - 'A';
        text[put_code_point(key, text)] = 0;
        (void)snprintf(buf, n, "%s%s", prefix, text);
    } else if (key != QS_KEY_NONE && key <= 0x10FFFF) {
        (void)snprintf(buf, n, "%sU+%04X", prefix, (unsigned)key);
    } else {
        (void)snprintf(buf, n, "none");
    }
    return buf;
}

static uint32_t special_key(const char *name)
{
    for (size_t i = 0; i < NAMES; i++)
        if (qs_ascii_equal(names[i].name, name))
            return names[i].key;
    for (unsigned i = 1; i <= 12; i++) {
        char f[8];
        (void)snprintf(f, sizeof f, "F%u", i);
        if (qs_ascii_equal(f, name))
            return QS_KEY_F1 + i - 1;
    }
    return QS_KEY_NONE;
}

/* One character, or U+ and up to six hexadecimal digits. */
static uint32_t code_point(const char *name)
{
    const size_t n = strlen(name);
    size_t at = 0;
    if (qs_ascii_begins(name, "U+") && n >= 6 && n <= 8 && strspn(name + 2, "0123456789abcdefABCDEF") == n - 2) {
        const uint32_t cp = (uint32_t)strtoul(name + 2, NULL, 16);
        return cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF) ? cp : QS_KEY_NONE;
    }
    if (n == 0 || qs_utf8_invalid_at(name, n) != n)
        return QS_KEY_NONE;
    const uint32_t cp = qs_utf8_next(name, n, &at);
    return at == n ? cp : QS_KEY_NONE;
}

uint32_t qs_key_parse(const char *name)
{
    /* Three keys with control are others to a terminal. */
    static const struct { char letter; uint32_t key; } same[] = {
        { 'i', QS_KEY_TAB }, { 'm', QS_KEY_ENTER }, { '[', QS_KEY_ESC },
    };
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++) {
        const char *const full = modifiers[i].name, *const brief = modifiers[i].brief;
        const char *const found = qs_ascii_begins(name, full) ? full : qs_ascii_begins(name, brief) ? brief : "";
        const size_t skip = strlen(found);
        if (skip) {
            bits |= modifiers[i].bit;
            name += skip;
        }
    }
    const uint32_t special = special_key(name);
    if (special)
        return bits | special;
    uint32_t key = code_point(name);
    if (key == QS_KEY_NONE || bits & QS_SHIFT)
        return QS_KEY_NONE;
    if (bits & QS_CTRL) {
        key = key < 0x80 ? (uint32_t)qs_ascii_lower((char)key) : key;
        for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
            if (key == (uint32_t)same[i].letter)
                return same[i].key;
    }
    return bits | key;
}
