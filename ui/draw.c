/* draw.c - text on the screen: clipped lines, bars, names cut to fit.
 *
 * Owns nothing; draws into curses' standard screen. One thread.
 */
#include "ui/draw.h"

#include <string.h>

#include <ncurses.h>

#include "base/unicode.h"

size_t qs_draw_text(int y, int x, const char *s, size_t n, size_t left, size_t cells)
{
    size_t at = 0, column = 0, used = 0;
    move(y, x);
    while (at < n) {
        const size_t from = at;
        const unsigned w = qs_utf8_width_cp(qs_utf8_next(s, n, &at));
        if (column + w > left + cells)
            break;
        if (column >= left) {
            addnstr(s + from, (int)(at - from));
            used += w;
        }
        column += w;
    }
    return used;
}

void qs_draw_bar(int y, const char *start, const char *end)
{
    const size_t width = (size_t)COLS, n = qs_utf8_width(start, strlen(start)), m = qs_utf8_width(end, strlen(end));
    attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
    qs_draw_text(y, 0, start, strlen(start), 0, width);
    if (m && n + m <= width)
        qs_draw_text(y, (int)(width - m), end, strlen(end), 0, m);
    attroff(A_REVERSE);
}

void qs_draw_tail(struct qs_str *out, const char *s, size_t cells)
{
    const size_t n = strlen(s), width = qs_utf8_width(s, n);
    size_t at = 0, skipped = 0;
    if (width > cells) {
        if (cells < 4)
            return; /* nothing of use */
        while (at < n && width - skipped > cells - 3)
            skipped += qs_utf8_width_cp(qs_utf8_next(s, n, &at));
        qs_str_add(out, "...");
    }
    qs_str_addn(out, s + at, n - at);
}

void qs_draw_wrapped(struct qs_str *out, const char *text, size_t indent, size_t width)
{
    for (size_t at = indent; *text;) {
        const size_t n = strcspn(text, " ");
        if (at > indent && at + 1 + n > width) {
            qs_str_addf(out, "\n%*s", (int)indent, "");
            at = indent;
        }
        at += n + (at > indent);
        qs_str_addf(out, "%s%.*s", at > indent + n ? " " : "", (int)n, text);
        text += n + (text[n] == ' ');
    }
    qs_str_addc(out, '\n');
}
