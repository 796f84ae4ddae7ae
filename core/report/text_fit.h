/* text_fit.h - making text fit: words to a line, names shortened in the middle, ASCII where the locale has no more.
 *
 * Pure functions of their arguments, but for qs_locale_utf8, which reads the environment. Small, and in a header because
 * the progress line uses them without the reports.
 */
#ifndef QS_CORE_TEXT_FIT_H
#define QS_CORE_TEXT_FIT_H

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/str.h"
#include "base/unicode.h"

/* Whether text may hold more than ASCII. As POSIX does it: the first of these that is set and not empty says it. */
static inline bool qs_locale_utf8(void)
{
    static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return strcasestr(v, "UTF-8") || strcasestr(v, "UTF8");
    }
    return false;
}

/* Harmless text (base/unicode.h); in ASCII mode what is not ASCII becomes \u{...}, and an ellipsis two points. */
static inline void qs_text_clean(struct qs_str *out, const char *s, bool ascii)
{
    struct qs_str clean = QS_STR_INIT;
    qs_utf8_clean(ascii ? &clean : out, s, strlen(s), 0);
    for (size_t at = 0; at < clean.len;) {
        const uint32_t cp = qs_utf8_next(clean.data, clean.len, &at);
        if (cp < 0x80)
            qs_str_addc(out, (char)cp);
        else if (cp == 0x2026)
            qs_str_add(out, "..");
        else
            qs_str_addf(out, "\\u{%X}", (unsigned)cp);
    }
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

/* The longest start of clean text that takes at most `cells` cells, in bytes. */
static inline size_t qs_text_start(const char *s, size_t n, size_t cells)
{
    size_t at = 0, used = 0;
    while (at < n) {
        size_t next = at;
        used += qs_utf8_width_cp(qs_utf8_next(s, n, &next));
        if (used > cells)
            break;
        at = next;
    }
    return at;
}

/* Appends clean text of at most `cells` cells: both ends are kept, the start more of it, a mark stands for the middle. */
static inline void qs_text_shorten(struct qs_str *out, const char *s, size_t cells, bool ascii)
{
    const char *const mark = ascii ? ".." : "\xE2\x80\xA6";
    const size_t n = strlen(s), width = qs_utf8_width(s, n), mark_cells = ascii ? 2 : 1;
    if (width <= cells || cells <= mark_cells) {
        qs_str_addn(out, s, qs_text_start(s, n, cells));
        return;
    }
    const size_t kept = cells - mark_cells, head = kept - kept * 2 / 5;
    size_t tail = qs_text_start(s, n, width - (kept - head));
    if (qs_utf8_width(s + tail, n - tail) > kept - head) /* a wide character stands over the cut */
        (void)qs_utf8_next(s, n, &tail);
    qs_str_addn(out, s, qs_text_start(s, n, head));
    qs_str_add(out, mark);
    qs_str_addn(out, s + tail, n - tail);
}

/* Bytes of the first line of clean text broken at blanks to `width` cells (0: no limit); a word that is wider than a
 * line is cut there if `split`, else it stands alone, too wide. At least one character where there is one. */
static inline size_t qs_text_line(const char *text, size_t width, bool split)
{
    size_t n = 0;
    for (;;) {
        const size_t gap = strspn(text + n, " "), word = strcspn(text + n + gap, " ");
        if (!word)
            return n;
        if (width && qs_utf8_width(text, n + gap + word) > width) {
            if (n)
                return n;
            if (!split)
                return gap + word;
            n = qs_text_start(text, strlen(text), width);
            if (!n)
                (void)qs_utf8_next(text, strlen(text), &n);
            return n;
        }
        n += gap + word;
    }
}

#endif
