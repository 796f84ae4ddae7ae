/* text.c - making text fit a terminal.
 *
 * Owns nothing, keeps nothing; works on the caller's strings. Names may come from hostile files: what goes out has been
 * made harmless by base/unicode.c, or is said to be so by the caller ("clean"). Only qs_locale_utf8 asks the process,
 * for the locale that main has set; the rest depends on arguments alone. Any thread.
 */
#include "base/text.h"

#include <langinfo.h>
#include <string.h>

#include "base/unicode.h"

bool qs_locale_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void qs_text_clean(struct qs_str *out, const char *s, bool ascii)
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
static size_t text_start(const char *s, size_t n, size_t cells)
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

#define COMMON_TAIL ".weight" /* nearly every tensor's name ends so: it tells nobody anything */

void qs_text_shorten(struct qs_str *out, const char *s, size_t cells, bool ascii)
{
    const char *const mark = ascii ? ".." : "\xE2\x80\xA6";
    size_t n = strlen(s), width = qs_utf8_width(s, n);
    const size_t mark_cells = ascii ? 2 : 1, common = sizeof COMMON_TAIL - 1;
    if (width <= cells || cells <= mark_cells) {
        qs_str_addn(out, s, text_start(s, n, cells));
        return;
    }
    if (n > common && strcmp(s + n - common, COMMON_TAIL) == 0) {
        n -= common;
        width -= common;
        if (width + mark_cells <= cells) {
            qs_str_addn(out, s, n);
            qs_str_add(out, mark);
            return;
        }
    }
    const size_t kept = cells - mark_cells, head = kept - kept * 2 / 5;
    size_t tail = text_start(s, n, width - (kept - head));
    if (qs_utf8_width(s + tail, n - tail) > kept - head) /* a wide character stands over the cut */
        (void)qs_utf8_next(s, n, &tail);
    qs_str_addn(out, s, text_start(s, n, head));
    qs_str_add(out, mark);
    qs_str_addn(out, s + tail, n - tail);
}

size_t qs_text_line_n(const char *text, size_t len, size_t width, bool split)
{
    size_t at = 0, used = 0, whole = 0; /* whole: behind the last word that fits */
    while (at < len && text[at] != '\n') {
        unsigned cells = 1;
        const size_t n = qs_utf8_char(text + at, len - at, &cells);
        const bool blank = text[at] == ' ';
        if (blank && at && text[at - 1] != ' ')
            whole = at;
        if (width && used + cells > width) {
            if (whole)
                return whole;
            if (split)
                return at ? at : n;
            while (!blank && at < len && text[at] != ' ' && text[at] != '\n')
                at++;
            if (!blank)
                return at;
        }
        used += cells;
        at += n;
    }
    return at && text[at - 1] != ' ' ? at : whole;
}

size_t qs_text_line(const char *text, size_t width, bool split)
{
    return qs_text_line_n(text, strlen(text), width, split);
}
