/* edit.c - the text of the line editor and the keys that change it.
 *
 * Keeps `text` terminated, of at most QS_EDIT_MAX bytes, and `at` on the border of a character as people see it. What
 * people type and paste is let in by code point, and only what a terminal can do nothing with but draw.
 */
#include "ui/edit.h"

#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/edit_internal.h"

/* ---- places ---- */

static size_t next_char(const struct qs_edit *ed, size_t at)
{
    return at + qs_utf8_char(ed->text + at, ed->len - at, NULL);
}

/* Borders are found from the start: going back over bytes would not see what combines. */
static size_t char_before(const struct qs_edit *ed, size_t at)
{
    size_t b = 0, next = 0;
    while (next < at) {
        b = next;
        next = next_char(ed, next);
    }
    return b;
}

/* The border at or before a byte. */
static size_t border_before(const struct qs_edit *ed, size_t at)
{
    size_t b = 0;
    while (b < at && next_char(ed, b) <= at)
        b = next_char(ed, b);
    return b;
}

/* The border at or behind a byte. */
static size_t border(const struct qs_edit *ed, size_t at)
{
    size_t b = 0;
    while (b < at && b < ed->len)
        b = next_char(ed, b);
    return b;
}

static bool in_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static size_t word_before(const struct qs_edit *ed)
{
    size_t at = ed->at;
    while (at > 0 && !in_word(ed->text[at - 1]))
        at--;
    while (at > 0 && in_word(ed->text[at - 1]))
        at--;
    return at;
}

static size_t word_behind(const struct qs_edit *ed)
{
    size_t at = ed->at;
    while (at < ed->len && !in_word(ed->text[at]))
        at++;
    while (at < ed->len && in_word(ed->text[at]))
        at++;
    return at;
}

/* ---- changing ---- */

bool qs_edit_replace(struct qs_edit *ed, size_t from, size_t to, const char *text, size_t n)
{
    if (n > QS_EDIT_MAX - (ed->len - (to - from)))
        return false;
    memmove(ed->text + from + n, ed->text + to, ed->len - to + 1);
    memcpy(ed->text + from, text, n);
    ed->len = ed->len - (to - from) + n;
    ed->at = border(ed, from + n);
    return true;
}

static void cut(struct qs_edit *ed, size_t from, size_t to)
{
    qs_edit_replace(ed, from, to, "", 0);
}

void qs_edit_set(struct qs_edit *ed, const char *text)
{
    size_t n = 0;
    const size_t whole = strlen(text);
    qs_edit_offer_end(ed, false);
    qs_edit_recall_end(ed);
    while (n < whole) {
        const size_t k = qs_utf8_char(text + n, whole - n, NULL);
        if (n + k > QS_EDIT_MAX)
            break;
        n += k;
    }
    ed->len = ed->at = ed->left = 0;
    ed->text[0] = 0;
    qs_edit_replace(ed, 0, 0, text, n);
}

/* One code point. */
static void put(struct qs_edit *ed, uint32_t cp)
{
    char b[4];
    size_t n = 0;
    if (cp < 0x80) {
        b[n++] = (char)cp;
    } else {
        const unsigned more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
        b[n++] = (char)((0xFF00u >> (more + 1) & 0xFFu) | cp >> (6 * more));
        for (unsigned i = more; i-- > 0;)
            b[n++] = (char)(0x80 | (cp >> (6 * i) & 0x3F));
    }
    qs_edit_replace(ed, ed->at, ed->at, b, n);
}

/* What of a pasted text may stand here, into `to` (NULL: only counted): one line has blanks for line feeds. */
static size_t let_in(const struct qs_edit *ed, const char *text, size_t n, char *to)
{
    size_t kept = 0;
    for (size_t at = 0; at < n;) {
        const size_t from = at;
        const uint32_t cp = qs_utf8_next(text, n, &at);
        if (cp != '\n' && (!qs_utf8_harmless(cp) || (cp == 0xFFFD && at - from == 1)))
            continue;
        if (to)
            memcpy(to + kept, cp == '\n' && !ed->lines ? " " : text + from, at - from);
        kept += at - from;
    }
    return kept;
}

void qs_edit_insert(struct qs_edit *ed, const char *text)
{
    size_t n = strlen(text);
    while (n && !ed->lines && text[n - 1] == '\n')
        n--;
    const size_t kept = let_in(ed, text, n, NULL);
    if (kept > QS_EDIT_MAX - ed->len)
        return;
    memmove(ed->text + ed->at + kept, ed->text + ed->at, ed->len - ed->at + 1);
    let_in(ed, text, n, ed->text + ed->at);
    ed->len += kept;
    ed->at = border(ed, ed->at + kept);
}

void qs_edit_free(struct qs_edit *ed)
{
    qs_edit_offer_end(ed, false);
    qs_edit_recall_end(ed);
}

/* ---- keys ---- */

static void to_start(struct qs_edit *ed) { ed->at = qs_edit_row_of(ed, ed->at).from; }
static void to_end(struct qs_edit *ed) { ed->at = qs_edit_row_of(ed, ed->at).to; }
static void left(struct qs_edit *ed) { ed->at = char_before(ed, ed->at); }
static void right(struct qs_edit *ed) { ed->at = ed->at < ed->len ? next_char(ed, ed->at) : ed->at; }
static void word_left(struct qs_edit *ed) { ed->at = border_before(ed, word_before(ed)); }
static void word_right(struct qs_edit *ed) { ed->at = border(ed, word_behind(ed)); }
static void rub_out(struct qs_edit *ed) { cut(ed, char_before(ed, ed->at), ed->at); }
static void rub_behind(struct qs_edit *ed) { cut(ed, ed->at, ed->at < ed->len ? next_char(ed, ed->at) : ed->at); }
static void kill_end(struct qs_edit *ed) { cut(ed, ed->at, qs_edit_row_of(ed, ed->at).to); }
static void kill_start(struct qs_edit *ed) { cut(ed, qs_edit_row_of(ed, ed->at).from, ed->at); }
static void kill_word(struct qs_edit *ed) { cut(ed, border_before(ed, word_before(ed)), ed->at); }
static void older(struct qs_edit *ed) { qs_edit_recall(ed, true); }
static void newer(struct qs_edit *ed) { qs_edit_recall(ed, false); }

static void up(struct qs_edit *ed)
{
    if (!ed->lines || !qs_edit_row_move(ed, -1))
        older(ed);
}

static void down(struct qs_edit *ed)
{
    if (!ed->lines || !qs_edit_row_move(ed, 1))
        newer(ed);
}

static void feed(struct qs_edit *ed)
{
    if (ed->lines)
        qs_edit_replace(ed, ed->at, ed->at, "\n", 1);
}

static const struct { uint32_t key; void (*run)(struct qs_edit *ed); } keys[] = {
    { QS_KEY_HOME, to_start },             { QS_CTRL | 'a', to_start },
    { QS_KEY_END, to_end },                { QS_CTRL | 'e', to_end },
    { QS_KEY_LEFT, left },                 { QS_CTRL | 'b', left },
    { QS_KEY_RIGHT, right },               { QS_CTRL | 'f', right },
    { QS_CTRL | QS_KEY_LEFT, word_left },  { QS_CTRL | QS_KEY_RIGHT, word_right },
    { QS_KEY_BACKSPACE, rub_out },         { QS_CTRL | 'h', rub_out },
    { QS_KEY_DELETE, rub_behind },         { QS_CTRL | 'd', rub_behind },
    { QS_CTRL | 'k', kill_end },           { QS_CTRL | 'u', kill_start },
    { QS_CTRL | 'w', kill_word },          { QS_CTRL | 'j', feed },
    { QS_KEY_UP, up },                     { QS_CTRL | 'p', older },
    { QS_KEY_DOWN, down },                 { QS_CTRL | 'n', newer },
};

static enum qs_edit_result accept(struct qs_edit *ed)
{
    qs_edit_offer_end(ed, false);
    qs_edit_recall_end(ed);
    if (ed->history)
        qs_typed_add(ed->history, ed->text);
    return QS_EDIT_ACCEPTED;
}

static enum qs_edit_result cancel(struct qs_edit *ed, bool at_once)
{
    if (ed->found.n && !at_once) {
        qs_edit_offer_end(ed, true);
        return QS_EDIT_GOES_ON;
    }
    qs_edit_offer_end(ed, false);
    qs_edit_recall_end(ed);
    return QS_EDIT_CANCELLED;
}

static enum qs_edit_result key_event(struct qs_edit *ed, uint32_t key)
{
    switch (key) {
    case QS_KEY_ENTER: return accept(ed);
    case QS_KEY_ESC: return cancel(ed, false);
    case QS_CTRL | 'c':
    case QS_CTRL | 'g': return cancel(ed, true);
    case QS_KEY_TAB:
    case QS_SHIFT | QS_KEY_TAB:
        if (!ed->complete)
            return QS_EDIT_IGNORED;
        qs_edit_complete(ed, key != QS_KEY_TAB);
        return QS_EDIT_GOES_ON;
    default: break;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].key == key) {
            qs_edit_offer_end(ed, false);
            keys[i].run(ed);
            return QS_EDIT_GOES_ON;
        }
    if (key < ' ' || key > 0x10FFFF || (key >= 0xD800 && key < 0xE000) || !qs_utf8_harmless(key))
        return QS_EDIT_IGNORED;
    qs_edit_offer_end(ed, false);
    put(ed, key);
    return QS_EDIT_GOES_ON;
}

enum qs_edit_result qs_edit_event(struct qs_edit *ed, const struct qs_event *e)
{
    if (e->kind == QS_EVENT_KEY)
        return key_event(ed, e->key);
    if (e->kind != QS_EVENT_PASTE || !e->text)
        return QS_EDIT_IGNORED;
    qs_edit_offer_end(ed, false);
    qs_edit_insert(ed, e->text);
    return QS_EDIT_GOES_ON;
}
