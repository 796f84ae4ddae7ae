/* match.c - the matches of a search in a line that was drawn. Keeps nothing. */
#include "ui/match.h"

#include <string.h>

#include "base/unicode.h"

/* Cells of the first n bytes, as they are drawn (ASCII canvases draw an ellipsis as two points). */
static int cells_of(const struct qs_canvas *c, const char *s, size_t n)
{
    int cells = 0;
    for (size_t at = 0; at < n;) {
        unsigned width;
        const size_t k = qs_utf8_char(s + at, n - at, &width);
        const bool two = c->ascii && k == 3 && memcmp(s + at, "\xE2\x80\xA6", 3) == 0;
        cells += two ? 2 : (int)width;
        at += k;
    }
    return cells;
}

bool qs_draw_matches(const struct qs_canvas *c, int y, int x, const char *text, int cells, const struct qs_regex *re,
                     struct qs_style style)
{
    const size_t n = strlen(text);
    bool any = false;
    size_t span[2];
    if (!re)
        return false;
    for (size_t from = 0; from <= n && qs_regex_find(re, text, n, from, span, NULL) == 1;) {
        any = true;
        const int start = cells_of(c, text, span[0]), end = cells_of(c, text, span[1]);
        if (start < cells && end > start)
            qs_draw_style(c, (struct qs_rect){ y, x + start, 1, (end < cells ? end : cells) - start }, style);
        if (start >= cells)
            break;
        from = span[1];
        if (span[1] == span[0]) { /* nothing was matched: go on behind the next character */
            if (from >= n)
                break;
            from += qs_utf8_char(text + from, n - from, NULL);
        }
    }
    return any;
}
