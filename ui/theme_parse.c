/* theme_parse.c - reads theme files: "key = value" lines, each bad one told by file, line, key and what is allowed.
 *
 * The text may come from anywhere: its size and number of stops are bounded, nothing in it is followed, and what
 * messages quote of it is short and harmless. Keeps nothing, allocates for messages only. Any thread.
 */
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/near.h"
#include "base/unicode.h"
#include "ui/theme_internal.h"

#define QUOTED_CELLS 40
#define WORDS_MAX 24

struct word { const char *at; size_t n; };

struct line {
    const char *file;
    unsigned number;
    struct word key, word[WORDS_MAX];
    size_t words;
};

static bool is(struct word w, const char *text)
{
    return w.n == strlen(text) && memcmp(w.at, text, w.n) == 0;
}

/* "FILE:LINE: key 'KEY': 'WORD' WHY"; without a word or key (n == 0) that part is left out. */
static int bad(const struct line *l, struct word key, struct word word, const char *why, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    if (key.n) {
        qs_str_add(&s, "key '");
        qs_utf8_clean(&s, key.at, key.n, QUOTED_CELLS);
        qs_str_add(&s, "': ");
    }
    if (word.n) {
        qs_str_add(&s, "'");
        qs_utf8_clean(&s, word.at, word.n, QUOTED_CELLS);
        qs_str_add(&s, "' ");
    }
    const int rc = qs_fail(e, QS_EINVAL, "%s:%u: %s%s", l->file, l->number, s.data, why);
    qs_str_free(&s);
    return rc;
}

#define NO_WORD ((struct word){ NULL, 0 })

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts a line into key and words; a '#' before a blank or the end begins a comment, as colours do not. */
static int split(struct line *l, const char *p, const char *end, struct qs_err *e)
{
    bool value = false;
    l->key = NO_WORD;
    l->words = 0;
    while (p < end) {
        if (blank(*p)) {
            p++;
            continue;
        }
        if (*p == '#' && (l->key.n == 0 || p + 1 == end || blank(p[1])))
            break;
        if (*p == '=' && l->key.n && !value) {
            value = true;
            p++;
            continue;
        }
        struct word w = { p, 0 };
        while (p < end && !blank(*p) && (value || *p != '='))
            p++;
        w.n = (size_t)(p - w.at);
        if (w.n == 0)
            return bad(l, NO_WORD, NO_WORD, "a line is 'key = value'; a key is missing", e);
        if (l->key.n == 0)
            l->key = w;
        else if (!value)
            return bad(l, l->key, NO_WORD, "a '=' must follow; a line is 'key = value'", e);
        else if (l->words == WORDS_MAX)
            return bad(l, l->key, NO_WORD, "too many words", e);
        else
            l->word[l->words++] = w;
    }
    if (l->key.n && l->words == 0)
        return bad(l, l->key, NO_WORD, "a value is missing; a line is 'key = value'", e);
    return QS_OK;
}

/* ---- values ---- */

static int hex(char c)
{
    const char low = qs_ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool rgb_of(struct word w, qs_color *out)
{
    unsigned v = 0;
    if (w.n != 7 || w.at[0] != '#')
        return false;
    for (size_t i = 1; i < 7; i++) {
        if (hex(w.at[i]) < 0)
            return false;
        v = v << 4 | (unsigned)hex(w.at[i]);
    }
    *out = QS_COLOR_RGB(0, 0, 0) | v;
    return true;
}

static bool color_of(struct word w, qs_color *out)
{
    if (!is(w, "default"))
        return rgb_of(w, out);
    *out = QS_COLOR_DEFAULT;
    return true;
}

static bool attribute_of(struct word w, unsigned *bits)
{
    static const struct { const char *name; unsigned bit; } known[] = {
        { "plain", 0 }, { "bold", QS_BOLD }, { "dim", QS_DIM },
        { "underline", QS_UNDERLINE }, { "reverse", QS_REVERSE }, { "italic", QS_ITALIC },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is(w, known[i].name))
            return *bits |= known[i].bit, true;
    return false;
}

/* [COLOUR] [on COLOUR] [ATTRIBUTE]... */
static int parse_look(const struct line *l, struct qs_theme_look *look, struct qs_err *e)
{
    static const char allowed[] = "is not allowed here: [COLOUR] [on COLOUR] [bold dim underline reverse italic | plain], "
                                  "a COLOUR is #rrggbb or default";
    size_t i = 0;
    if (look->given)
        return bad(l, l->key, NO_WORD, "stands here a second time", e);
    look->given = true;
    if (i < l->words && color_of(l->word[i], &look->style.fg)) {
        look->has_fg = true;
        i++;
    }
    if (i < l->words && is(l->word[i], "on")) {
        i++;
        if (i == l->words)
            return bad(l, l->key, NO_WORD, "a colour must follow 'on': #rrggbb or default", e);
        if (!color_of(l->word[i], &look->style.bg))
            return bad(l, l->key, l->word[i], "is no colour: #rrggbb or default", e);
        look->has_bg = true;
        i++;
    }
    for (; i < l->words; i++)
        if (!attribute_of(l->word[i], &look->style.attr))
            return bad(l, l->key, l->word[i], allowed, e);
    return QS_OK;
}

/* ---- the keys that are no looks ---- */

static int parse_background(const struct line *l, struct qs_theme_def *d, struct qs_err *e)
{
    if (l->words != 1 || (!is(l->word[0], "light") && !is(l->word[0], "dark")))
        return bad(l, l->key, l->word[0], "is not allowed here: dark or light", e);
    d->light = is(l->word[0], "light");
    return QS_OK;
}

static int parse_one_color(const struct line *l, qs_color *out, struct qs_err *e)
{
    if (l->words != 1 || !rgb_of(l->word[0], out))
        return bad(l, l->key, l->word[0], "is not allowed here: one colour, #rrggbb", e);
    return QS_OK;
}

static int parse_paper(const struct line *l, struct qs_theme_def *d, struct qs_err *e)
{
    d->has_paper = true;
    return parse_one_color(l, &d->paper, e);
}

static int parse_ink(const struct line *l, struct qs_theme_def *d, struct qs_err *e)
{
    d->has_ink = true;
    return parse_one_color(l, &d->ink, e);
}

static int parse_ramp_ink(const struct line *l, struct qs_theme_def *d, struct qs_err *e)
{
    if (l->words != 2 || !rgb_of(l->word[0], &d->ramp_ink[0]) || !rgb_of(l->word[1], &d->ramp_ink[1]))
        return bad(l, l->key, l->word[0], "is not allowed here: two colours #rrggbb, of light and of dark text", e);
    return QS_OK;
}

static int parse_ramp(const struct line *l, struct qs_theme_def *d, struct qs_err *e)
{
    d->no_ramp = l->words == 1 && is(l->word[0], "none");
    if (d->no_ramp)
        return QS_OK;
    if (l->words < 2 || l->words > QS_THEME_STOPS)
        return bad(l, l->key, NO_WORD, "2 to 16 colours #rrggbb from low to high, or none", e);
    for (d->stops = 0; d->stops < l->words; d->stops++) {
        qs_color c;
        if (!rgb_of(l->word[d->stops], &c))
            return bad(l, l->key, l->word[d->stops], "is no colour: #rrggbb", e);
        qs_color_split(c, d->stop[d->stops]);
    }
    return QS_OK;
}

static const struct {
    const char *name;
    int (*parse)(const struct line *l, struct qs_theme_def *d, struct qs_err *e);
} keys[] = {
    { "background", parse_background }, { "paper", parse_paper }, { "ink", parse_ink }, { "ramp", parse_ramp },
    { "ramp-ink", parse_ramp_ink },
};
enum { KEYS = sizeof keys / sizeof keys[0] };

static int unknown(const struct line *l, struct qs_err *e)
{
    struct qs_near near;
    char key[QUOTED_CELLS] = "", help[160], why[256];
    memcpy(key, l->key.at, l->key.n < sizeof key ? l->key.n : sizeof key - 1);
    qs_near_start(&near, key);
    for (unsigned i = 0; i < QS_LOOKS; i++)
        qs_near_try(&near, qs_look_name((enum qs_look)i));
    for (size_t i = 0; i < KEYS; i++)
        qs_near_try(&near, keys[i].name);
    (void)snprintf(why, sizeof why, "is no key of a theme%s; quantscape-theme(5) lists them",
                   qs_near_text(&near, help, sizeof help));
    return bad(l, NO_WORD, l->key, why, e);
}

static int parse_line(const struct line *l, struct qs_theme_def *d, bool seen[KEYS], struct qs_err *e)
{
    for (unsigned i = 0; i < QS_LOOKS; i++)
        if (is(l->key, qs_look_name((enum qs_look)i)))
            return parse_look(l, &d->look[i], e);
    for (size_t i = 0; i < KEYS; i++) {
        if (!is(l->key, keys[i].name))
            continue;
        if (seen[i])
            return bad(l, l->key, NO_WORD, "stands here a second time", e);
        seen[i] = true;
        return keys[i].parse(l, d, e);
    }
    return unknown(l, e);
}

int qs_theme_parse(const char *name, const char *text, size_t n, struct qs_theme_def *out, struct qs_err *e)
{
    static const char order_mark[] = "\xEF\xBB\xBF";
    bool seen[KEYS] = { false };
    struct line l = { .file = name };
    *out = (struct qs_theme_def){ .ramp_ink = { QS_COLOR_RGB(255, 255, 255), QS_COLOR_RGB(0, 0, 0) } };
    if (n > QS_THEME_FILE_MAX)
        return qs_fail(e, QS_ELIMIT, "%s: a theme has at most %d bytes", name, QS_THEME_FILE_MAX);
    size_t at = n >= 3 && memcmp(text, order_mark, 3) == 0 ? 3 : 0;
    while (at < n) {
        const char *const from = text + at, *const found = memchr(from, '\n', n - at);
        const char *const end = found ? found : text + n;
        const size_t length = (size_t)(end - from);
        l.number++;
        if (memchr(from, 0, length) || qs_utf8_invalid_at(from, length) != length)
            return bad(&l, NO_WORD, NO_WORD, "this is no text (UTF-8)", e);
        int rc = split(&l, from, end, e);
        if (!rc && l.key.n)
            rc = parse_line(&l, out, seen, e);
        if (rc)
            return rc;
        at += length + 1;
    }
    return QS_OK;
}
