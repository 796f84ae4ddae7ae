/* term_caps.c - what the terminal can do: terminfo, the environment, and a description of our own on top of terminfo's.
 *
 * Terminfo knows no 24-bit colours on most systems, and where it does its entries send colours 0 to 7 as ANSI colours. So
 * the entry of the terminal at hand is copied with other colour sequences, in the compiled form (term(5), 32-bit numbers,
 * one extended flag "RGB"), and handed to curses in the variable TERMINFO ("hex:...", terminfo(5)) for one call: no file,
 * no program, and the environment of child processes is as it was. Where curses will not have it, 256 colours remain.
 */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>
#include <term.h>

#include "base/mem.h"
#include "base/str.h"
#include "ui/term_parts.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NAME "quantscape-colors"

/* ---- terminfo ---- */

static const char *cap_text(const char *name)
{
    const char *s = tigetstr(name);
    return s == (const char *)-1 ? NULL : s;
}

static bool variable(const char *name, const char **value)
{
    *value = getenv(name);
    return *value && **value;
}

/* NO_COLOR: no-color.org. COLORTERM: what terminals of 24 bits say by custom. */
static enum qs_tier tier_found(int colors)
{
    const char *v;
    if (variable("NO_COLOR", &v) || colors < 8)
        return QS_TIER_MONO;
    if (variable("COLORTERM", &v) && (strcmp(v, "truecolor") == 0 || strcmp(v, "24bit") == 0))
        return QS_TIER_RGB;
    if (colors > 256 || tigetflag("Tc") == 1 || tigetflag("RGB") == 1)
        return QS_TIER_RGB;
    return colors == 256 ? QS_TIER_256 : QS_TIER_16;
}

int qs_term_caps_look(int wanted, enum qs_tier *tier, struct qs_err *e)
{
    const char *term;
    int found = 0;
    if (!variable("TERM", &term))
        return qs_fail(e, QS_EUNSUPPORTED, "no terminal type is given: set TERM, or use the verbs (quantscape --help)");
    if (setupterm(term, STDOUT_FILENO, &found) == ERR)
        return qs_fail(e, QS_EUNSUPPORTED, "the terminal type %.80s is not known here: set TERM, or use the verbs "
                       "(quantscape --help)", term);
    const bool able = cap_text("cup") && cap_text("clear");
    *tier = wanted < 0 ? tier_found(tigetnum("colors")) : (enum qs_tier)wanted;
    if (!able) { /* curses would take it, and draw rubbish on it */
        del_curterm(cur_term);
        return qs_fail(e, QS_EUNSUPPORTED, "the terminal type %.80s cannot place the cursor: set TERM to another one, "
                       "or use the verbs (quantscape --help)", term);
    }
    return QS_OK;
}

/* ---- a description of our own ---- */

/* Colours of the palette lie above those of 24 bits, so that both can be asked for. */
#define RGB_TEXT(what) "\033[" what "8;%?%p1%{16777216}%<%t2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d" \
                       "%e5;%p1%{16777216}%-%d%;m"
#define INDEX_TEXT(what) "\033[" what "8;5;%p1%dm"

static const struct description { int colors; const char *fg, *bg; } descriptions[] = {
    [QS_TIER_MONO] = { 0 },
    [QS_TIER_16] = { 16, "\033[%?%p1%{8}%<%t3%p1%d%e9%p1%{8}%-%d%;m", "\033[%?%p1%{8}%<%t4%p1%d%e10%p1%{8}%-%d%;m" },
    [QS_TIER_256] = { 256, INDEX_TEXT("3"), INDEX_TEXT("4") },
    [QS_TIER_RGB] = { 0x1000100, RGB_TEXT("3"), RGB_TEXT("4") },
};

static void put16(struct qs_str *s, size_t v)
{
    qs_str_addc(s, (char)(v & 255));
    qs_str_addc(s, (char)(v >> 8 & 255));
}

static const char *new_text(const struct description *d, const char *name)
{
    static const char *const gone[] = { "setf", "setb", "initc", "initp", "scp", "oc" };
    if (strcmp(name, "setaf") == 0)
        return d->fg;
    if (strcmp(name, "setab") == 0)
        return d->bg;
    for (size_t i = 0; i < COUNT(gone); i++)
        if (strcmp(name, gone[i]) == 0)
            return NULL;
    const char *old = cap_text(name);
    return strcmp(name, "op") == 0 && !old ? "\033[39;49m" : old;
}

static int new_number(const struct description *d, const char *name)
{
    if (strcmp(name, "colors") == 0)
        return d->colors;
    if (strcmp(name, "pairs") == 0)
        return 0x10000;
    return tigetnum(name);
}

/* The current entry with other colours; needs setupterm. */
static void compile(const struct description *d, struct qs_str *out)
{
    struct qs_str offset = QS_STR_INIT, text = QS_STR_INIT;
    static const char names[] = NAME "|a terminal with more colours";
    size_t bools = 0, numbers = 0, strings = 0;
    while (boolnames[bools])
        bools++;
    while (numnames[numbers])
        numbers++;
    for (; strnames[strings]; strings++) {
        const char *s = new_text(d, strnames[strings]);
        put16(&offset, s ? text.len : 0xFFFF);
        if (s)
            qs_str_addn(&text, s, strlen(s) + 1);
    }
    const size_t header[] = { 01036, sizeof names, bools, numbers, strings, text.len };
    for (size_t i = 0; i < COUNT(header); i++)
        put16(out, header[i]);
    qs_str_addn(out, names, sizeof names);
    for (size_t i = 0; i < bools; i++)
        qs_str_addc(out, tigetflag(boolnames[i]) == 1 && strcmp(boolnames[i], "ccc") != 0);
    if (out->len % 2)
        qs_str_addc(out, 0);
    for (size_t i = 0; i < numbers; i++) {
        const uint32_t v = (uint32_t)new_number(d, numnames[i]);
        put16(out, v & 0xFFFF);
        put16(out, v >> 16);
    }
    qs_str_addn(out, offset.data, offset.len);
    qs_str_addn(out, text.data, text.len);
    if (out->len % 2)
        qs_str_addc(out, 0);
    /* "RGB": without it curses keeps a table of all 16 million colours. */
    static const size_t extended[] = { 1, 0, 0, 1, sizeof "RGB" };
    if (d->colors > 256) {
        for (size_t i = 0; i < COUNT(extended); i++)
            put16(out, extended[i]);
        qs_str_addn(out, "\1\0\0\0RGB", 8);
    }
    out->failed |= offset.failed || text.failed || text.len > 0x7FFF;
    qs_str_free(&offset);
    qs_str_free(&text);
}

/* newterm finds `entry` in the environment, which is then as before. */
static bool start_with(const struct qs_str *entry)
{
    struct qs_str hex = QS_STR_INIT;
    const char *now = getenv("TERMINFO");
    char *before = now ? qs_strdup(now) : NULL;
    bool ok = !entry->failed && (before || !now);
    qs_str_add(&hex, "hex:");
    for (size_t i = 0; i < entry->len; i++)
        qs_str_addf(&hex, "%02X", (unsigned char)entry->data[i]);
    ok = ok && !hex.failed && setenv("TERMINFO", hex.data, 1) == 0;
    if (ok) {
        ok = newterm(NAME, stdout, stdin) != NULL;
        if (before)
            setenv("TERMINFO", before, 1);
        else
            unsetenv("TERMINFO");
    }
    qs_free(before);
    qs_str_free(&hex);
    return ok;
}

bool qs_term_caps_start(enum qs_tier *tier)
{
    static const int enough[] = { [QS_TIER_MONO] = -1, [QS_TIER_16] = 8, [QS_TIER_256] = 256, [QS_TIER_RGB] = INT_MAX };
    const int colors = tigetnum("colors");
    TERMINAL *looked_at = cur_term;
    bool ok = false;
    if (colors < enough[*tier] || (colors > 256 && *tier != QS_TIER_MONO)) { /* entries of 24 bits know no palette */
        struct qs_str entry = QS_STR_INIT;
        compile(&descriptions[*tier], &entry);
        ok = start_with(&entry);
        qs_str_free(&entry);
        if (!ok)
            *tier = colors == 256 ? QS_TIER_256 : colors >= 8 && colors < 256 ? QS_TIER_16 : QS_TIER_MONO;
    }
    ok = ok || newterm(NULL, stdout, stdin);
    if (looked_at != cur_term)
        del_curterm(looked_at);
    return ok;
}

/* ---- keys, and giving the terminal back ---- */

void qs_term_caps_keys(struct qs_input *in)
{
    static const struct { const char *cap; uint32_t key; } keys[] = {
        { "kcuu1", QS_KEY_UP }, { "kcud1", QS_KEY_DOWN }, { "kcub1", QS_KEY_LEFT }, { "kcuf1", QS_KEY_RIGHT },
        { "khome", QS_KEY_HOME }, { "kend", QS_KEY_END }, { "kpp", QS_KEY_PAGE_UP }, { "knp", QS_KEY_PAGE_DOWN },
        { "kich1", QS_KEY_INSERT }, { "kdch1", QS_KEY_DELETE }, { "kcbt", QS_SHIFT | QS_KEY_TAB }, { "kent", QS_KEY_ENTER },
        { "kf1", QS_KEY_F1 }, { "kf2", QS_KEY_F1 + 1 }, { "kf3", QS_KEY_F1 + 2 }, { "kf4", QS_KEY_F1 + 3 },
        { "kf5", QS_KEY_F1 + 4 }, { "kf6", QS_KEY_F1 + 5 }, { "kf7", QS_KEY_F1 + 6 }, { "kf8", QS_KEY_F1 + 7 },
        { "kf9", QS_KEY_F1 + 8 }, { "kf10", QS_KEY_F1 + 9 }, { "kf11", QS_KEY_F1 + 10 }, { "kf12", QS_KEY_F12 },
    };
    _Static_assert(COUNT(keys) <= QS_INPUT_KEYS, "room for the keys");
    in->n_known = 0;
    for (size_t i = 0; i < COUNT(keys); i++) {
        const char *s = cap_text(keys[i].cap);
        if (s && s[0] == '\033' && s[1]) {
            in->known[in->n_known].bytes = s;
            in->known[in->n_known++].key = keys[i].key;
        }
    }
}

bool qs_term_caps_modern(void)
{
    const char *v;
    return tigetnum("colors") >= 256 || variable("COLORTERM", &v) ||
           (variable("TERM", &v) && strncmp(v, "xterm", 5) == 0);
}

/* A capability without its padding "$<5>". */
static size_t put_cap(char *out, size_t n, size_t at, const char *cap)
{
    for (const char *s = cap_text(cap); s && *s && at + 1 < n; s++) {
        const char *end = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
        if (end)
            s = end;
        else
            out[at++] = *s;
    }
    return at;
}

size_t qs_term_caps_reset(char *out, size_t n)
{
    static const char modes[] = "\033[?2026l\033[?2004l\033[?1006l\033[?1002l";
    static const char *const caps[] = { "sgr0", "op", "rmacs", "rmkx", "rmcup", "cnorm" };
    size_t at = sizeof modes - 1;
    memcpy(out, modes, at); /* n is far larger */
    for (size_t i = 0; i < COUNT(caps); i++)
        at = put_cap(out, n - 2, at, caps[i]);
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}
