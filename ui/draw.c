/* draw.c - what screens draw with: text, text made to fit, lines, frames, gauges, paragraphs.
 *
 * Everything goes into cells through qs_glyph_put (cells.c), which clips; nothing here looks at the grid. Owns nothing;
 * the only allocation is that of a name shortened in its middle, and where it fails the end is cut instead. One thread.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/unicode.h"
#include "ui/cells_internal.h"

/* Draws n bytes of text on at most `limit` cells; half a wide character at the limit becomes a blank. */
static int draw(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, size_t n, int limit)
{
    int used = 0;
    for (size_t at = 0; at < n && used < limit;) {
        struct qs_glyph g;
        char more;
        at += qs_glyph_make(text + at, n - at, c->ascii, &g, &more);
        g.style = style;
        if (used + g.width > limit)
            g = (struct qs_glyph){ .text = " ", .width = 1, .style = style };
        qs_glyph_put(c, y, x + used, &g);
        used += g.width;
        if (more && used < limit)
            qs_glyph_put(c, y, x + used++, &(struct qs_glyph){ .text = { more }, .width = 1, .style = style });
    }
    return used;
}

/* Cells from x to the right edge, or fewer. */
static int room(const struct qs_canvas *c, int x, int cells)
{
    const int64_t left = (int64_t)c->at.cols - x;
    const int all = left > 0 ? left < INT32_MAX ? (int)left : INT32_MAX : 0;
    return cells >= 0 && cells < all ? cells : all;
}

int qs_draw_text(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, int cells)
{
    return draw(c, y, x, style, text, strlen(text), room(c, x, cells));
}

int qs_draw_textf(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *fmt, ...)
{
    char text[4 * QS_CELLS_MAX];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return 0;
    /* Text that was cut may end within a character. */
    const size_t kept = (size_t)n < sizeof text ? (size_t)n : qs_utf8_invalid_at(text, sizeof text - 1);
    return draw(c, y, x, style, text, kept, room(c, x, -1));
}

/* ---- text made to fit ---- */

/* Cells that text takes on this canvas. */
static int width_of(const struct qs_canvas *c, const char *text, size_t n)
{
    int64_t width = 0;
    for (size_t at = 0; at < n && width < INT32_MAX / 2;) {
        struct qs_glyph g;
        char more;
        at += qs_glyph_make(text + at, n - at, c->ascii, &g, &more);
        width += g.width + (more != 0);
    }
    return (int)width;
}

/* Where the last part of text begins that takes at most `cells` cells of its `width`. */
static size_t tail_of(const struct qs_canvas *c, const char *text, size_t n, int width, int cells)
{
    size_t at = 0;
    while (at < n && width > cells) {
        struct qs_glyph g;
        char more;
        at += qs_glyph_make(text + at, n - at, c->ascii, &g, &more);
        width -= g.width + (more != 0);
    }
    return at;
}

/* Too long text: an ellipsis says so, where there is room for one beside a character. */
static void draw_cut(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, int width,
                     int cells, enum qs_text_fit fit)
{
    const size_t n = strlen(text);
    const int mark = cells <= (c->ascii ? 3 : 1) ? 0 : c->ascii ? 2 : 1;
    if (fit == QS_FIT_RIGHT) {
        const size_t from = tail_of(c, text, n, width, cells - mark);
        const int tail = width_of(c, text + from, n - from);
        if (mark)
            draw(c, y, x + cells - tail - mark, style, "\xE2\x80\xA6", 3, mark);
        draw(c, y, x + cells - tail, style, text + from, n - from, tail);
        return;
    }
    const int used = draw(c, y, x, style, text, n, cells - mark);
    if (mark)
        draw(c, y, x + used, style, "\xE2\x80\xA6", 3, mark);
}

void qs_draw_fit(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, int cells,
                 enum qs_text_fit fit)
{
    if (cells <= 0)
        return;
    const size_t n = strlen(text);
    const int width = width_of(c, text, n);
    qs_draw_fill(c, (struct qs_rect){ y, x, 1, cells }, style);
    if (width <= cells) {
        const int left = fit == QS_FIT_RIGHT ? cells - width : fit == QS_FIT_CENTER ? (cells - width) / 2 : 0;
        draw(c, y, x + left, style, text, n, width);
        return;
    }
    struct qs_str s = QS_STR_INIT;
    if (fit == QS_FIT_MIDDLE)
        qs_text_shorten(&s, text, (size_t)cells, c->ascii);
    if (fit == QS_FIT_MIDDLE && !s.failed)
        draw(c, y, x, style, s.data, s.len, cells);
    else
        draw_cut(c, y, x, style, text, width, cells, fit);
    qs_str_free(&s);
}

/* ---- lines ---- */

static void repeat(const struct qs_canvas *c, struct qs_rect where, struct qs_style style, const char *glyph)
{
    struct qs_glyph g;
    const int bottom = where.y + where.rows < c->at.rows ? where.y + where.rows : c->at.rows,
              right = where.x + where.cols < c->at.cols ? where.x + where.cols : c->at.cols;
    qs_glyph_make(glyph, strlen(glyph), c->ascii, &g, NULL);
    g.style = style;
    for (int y = where.y > 0 ? where.y : 0; y < bottom; y++)
        for (int x = where.x > 0 ? where.x : 0; x < right; x++)
            qs_glyph_put(c, y, x, &g);
}

void qs_draw_hline(const struct qs_canvas *c, int y, int x, int cells, struct qs_style style)
{
    repeat(c, (struct qs_rect){ y, x, 1, cells }, style, "\u2500");
}

void qs_draw_vline(const struct qs_canvas *c, int y, int x, int cells, struct qs_style style)
{
    repeat(c, (struct qs_rect){ y, x, cells, 1 }, style, "\u2502");
}

void qs_draw_box(const struct qs_canvas *c, struct qs_rect where, struct qs_style frame, const char *title,
                 struct qs_style title_style)
{
    const int bottom = where.y + where.rows - 1, right = where.x + where.cols - 1;
    if (where.rows < 2 || where.cols < 2)
        return;
    qs_draw_hline(c, where.y, where.x + 1, where.cols - 2, frame);
    qs_draw_hline(c, bottom, where.x + 1, where.cols - 2, frame);
    qs_draw_vline(c, where.y + 1, where.x, where.rows - 2, frame);
    qs_draw_vline(c, where.y + 1, right, where.rows - 2, frame);
    qs_draw_glyph(c, where.y, where.x, frame, "\u250C");
    qs_draw_glyph(c, where.y, right, frame, "\u2510");
    qs_draw_glyph(c, bottom, where.x, frame, "\u2514");
    qs_draw_glyph(c, bottom, right, frame, "\u2518");
    if (!title || !title[0] || where.cols < 7)
        return;
    const int width = width_of(c, title, strlen(title)), space = where.cols - 6, taken = width < space ? width : space;
    qs_draw_glyph(c, where.y, where.x + 2, frame, " ");
    qs_draw_fit(c, where.y, where.x + 3, title_style, title, taken, QS_FIT_LEFT);
    qs_draw_glyph(c, where.y, where.x + 3 + taken, frame, " ");
}

void qs_draw_gauge(const struct qs_canvas *c, int y, int x, int cells, double share, struct qs_style full,
                   struct qs_style rest)
{
    static const char *const eighth[] = { "", "\u258F", "\u258E", "\u258D", "\u258C", "\u258B", "\u258A", "\u2589" };
    if (cells <= 0 || cells > QS_CELLS_MAX)
        return;
    const int parts = c->ascii ? 1 : 8, all = cells * parts;
    const double clamped = share > 0 ? share < 1 ? share : 1 : 0;
    int done = (int)(clamped * all + 0.5);
    /* Begun shows, and full means done. */
    if (clamped > 0 && done == 0)
        done = 1;
    if (clamped < 1 && done == all)
        done = all - 1;
    const struct qs_style part = { full.fg, rest.bg, full.attr & ~(unsigned)(QS_REVERSE | QS_UNDERLINE) };
    const int whole = done / parts, begun = done % parts ? 1 : 0;
    repeat(c, (struct qs_rect){ y, x, 1, whole }, part, "\u2588");
    if (begun)
        qs_draw_glyph(c, y, x + whole, part, eighth[done % parts]);
    repeat(c, (struct qs_rect){ y, x + whole + begun, 1, cells - whole - begun }, rest,
           c->ascii ? "-" : rest.bg == QS_COLOR_DEFAULT ? "\u2591" : " ");
}

/* ---- paragraphs ---- */

int qs_draw_wrapped(const struct qs_canvas *c, int y, int skip, int indent, struct qs_style style, const char *text)
{
    const int width = c->at.cols, inset = indent > 0 && indent < width ? indent : 0;
    int lines = 0;
    if (width <= 0)
        return 0;
    for (const char *p = text; *p;) {
        const size_t whole = strcspn(p, "\n");
        size_t at = 0, n = 0;
        do {
            const int left = at ? inset : 0;
            n = qs_text_line(p + at, (size_t)(width - left), true);
            if (lines >= skip)
                draw(c, y + (lines - skip), left, style, p + at, n, width - left);
            lines++;
            at += n;
            at += strspn(p + at, " ");
        } while (n && at < whole);
        p += whole + (p[whole] == '\n');
    }
    return lines;
}
