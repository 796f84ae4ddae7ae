/* chart_axes.c - the frame of a chart: numbers at the left, a line and numbers below; what bars are made of. */
#include <string.h>

#include "base/unicode.h"
#include "ui/chart_internal.h"

#define LEAST_COLS 10 /* of the picture beside the numbers */

const char *qs_chart_eighth(int eighths, bool ascii)
{
    static const char *const block[] = { " ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588" };
    static const char *const third[] = { " ", ".", ".", ":", ":", ":", "#", "#", "#" };
    const int e = eighths < 0 ? 0 : eighths > 8 ? 8 : eighths;
    return ascii ? third[e] : block[e];
}

const char *qs_chart_number(char *buf, size_t n, double value, enum qs_unit unit, int digits)
{
    struct qs_str s = QS_STR_INIT;
    qs_fmt_num(&s, value, unit, digits);
    const size_t kept = s.len < n ? s.len : n - 1;
    memcpy(buf, s.data, kept);
    buf[kept] = 0;
    qs_str_free(&s);
    return buf;
}

static int cells_of(const char *text)
{
    return text ? (int)qs_utf8_width(text, strnlen(text, QS_CELLS_MAX)) : 0;
}

/* Numbers at both ends, and what the axis is between them, where there is room. */
static void draw_below(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_axes *a, int y, int x)
{
    const struct qs_style muted = qs_look(t, QS_LOOK_MUTED), text = qs_look(t, QS_LOOK_TEXT);
    const int cols = qs_canvas_cols(c) - x, left = cells_of(a->left), right = cells_of(a->right), name = cells_of(a->name);
    const bool both = left + right + 1 <= cols;
    qs_draw_text(c, y, x, text, a->left, cols);
    if (both)
        qs_draw_text(c, y, x + cols - right, text, a->right, right);
    const int room = cols - left - right - 2;
    if (both && name && room >= 3)
        qs_draw_fit(c, y, x + left + 1, muted, a->name, room, QS_FIT_CENTER);
}

int qs_chart_gutter(const struct qs_axes *a, int cols)
{
    const int top = cells_of(a->top), bottom = cells_of(a->bottom), log = a->log ? 3 : 0;
    int wide = top > bottom ? top : bottom;
    wide = (wide > log ? wide : log) + 1;
    wide = wide > a->gutter ? wide : a->gutter;
    return a->gutter >= 0 && cols >= wide + LEAST_COLS ? wide : 0;
}

struct qs_canvas qs_chart_axes(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_axes *a)
{
    const struct qs_style muted = qs_look(t, QS_LOOK_MUTED), text = qs_look(t, QS_LOOK_TEXT);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), below = rows >= 5 ? 2 : rows >= 3 ? 1 : 0;
    const int gutter = qs_chart_gutter(a, cols);
    const int plot = rows - below;
    if (gutter) {
        qs_draw_fit(c, 0, 0, text, a->top, gutter - 1, QS_FIT_RIGHT);
        if (a->log && plot > 1)
            qs_draw_fit(c, 1, 0, muted, "log", gutter - 1, QS_FIT_RIGHT);
        if (plot > 2 || (plot > 1 && !a->log))
            qs_draw_fit(c, plot - 1, 0, text, a->bottom, gutter - 1, QS_FIT_RIGHT);
    }
    if (below == 2)
        qs_draw_hline(c, plot, gutter, cols - gutter, muted);
    if (below == 2 && a->mark >= 0)
        qs_draw_glyph(c, plot, gutter + (int)(a->mark * (cols - gutter - 1) + 0.5), text, "^");
    if (below)
        draw_below(c, t, a, rows - 1, gutter);
    return qs_canvas_part(c, (struct qs_rect){ 0, gutter, plot, cols - gutter });
}
