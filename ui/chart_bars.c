/* chart_bars.c - histograms: bars in eighths of a cell. Pure drawing. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "ui/chart_internal.h"

static double count_at(const double *count, size_t i)
{
    return isfinite(count[i]) && count[i] > 0 ? count[i] : 0;
}

/* What a column of the picture shows: the sum of its bins, `each` of them. */
static double column_sum(const double *count, size_t n, size_t each, size_t i)
{
    double sum = 0;
    for (size_t b = i * each; b < n && b < (i + 1) * each; b++)
        sum += count_at(count, b);
    return sum;
}

/* Eighths of a cell; anything above nothing is seen. */
static int height(double v, double most, bool log, int rows)
{
    if (v <= 0)
        return 0;
    const double share = log ? log1p(v) / log1p(most) : v / most;
    const int e = (int)(share * rows * 8 + 0.5);
    return e < 1 ? 1 : e > rows * 8 ? rows * 8 : e;
}

static void draw_bar(const struct qs_canvas *c, const struct qs_theme *t, int x, int w, int eighths)
{
    const int rows = qs_canvas_rows(c);
    for (int y = rows - 1; y >= 0 && eighths > 0; y--, eighths -= 8)
        for (int i = 0; i < w; i++)
            qs_draw_glyph(c, y, x + i, qs_look(t, QS_LOOK_SERIES_1), qs_chart_eighth(eighths, c->ascii));
}

/* The second series: a sign at its height, on the bar or above it. */
static void draw_dot(const struct qs_canvas *c, const struct qs_theme *t, int x, int w, int eighths, int bar)
{
    if (eighths < 1)
        return;
    const struct qs_style one = qs_look(t, QS_LOOK_SERIES_1);
    struct qs_style style = qs_look(t, QS_LOOK_SERIES_2);
    const int level = (eighths - 1) / 8, y = qs_canvas_rows(c) - 1 - level;
    if (bar > level * 8 && !c->ascii) { /* on a full block the sign is cut out of it */
        if (one.fg == style.fg || one.fg == QS_COLOR_DEFAULT)
            style.attr |= QS_REVERSE;
        else
            style.bg = one.fg;
    }
    for (int i = 0; i < w; i++)
        qs_draw_glyph(c, y, x + i, style, "o");
}

static void draw_names(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_histogram *h)
{
    const char *block = qs_chart_eighth(8, c->ascii);
    int x = qs_draw_glyph(c, 0, 0, qs_look(t, QS_LOOK_SERIES_1), block) + 1;
    x += qs_draw_text(c, 0, x, qs_look(t, QS_LOOK_TEXT), h->name, -1) + 2;
    if (!h->after || !h->after_name)
        return;
    x += qs_draw_glyph(c, 0, x, qs_look(t, QS_LOOK_SERIES_2), "o") + 1;
    qs_draw_text(c, 0, x, qs_look(t, QS_LOOK_TEXT), h->after_name, -1);
}

/* How many bins each column adds up: as few as the width allows. */
static size_t bins_each(const struct qs_histogram *h, int cols)
{
    return (h->n + (size_t)cols - 1) / (size_t)cols;
}

/* Counts are whole numbers, mostly. */
static void count_text(char *buf, size_t n, double count)
{
    struct qs_str s = QS_STR_INIT;
    if (count < 1e15 && !(count < floor(count) || count > floor(count)))
        qs_fmt_int(&s, (int64_t)count, QS_UNIT_COUNT);
    else
        qs_fmt_num(&s, count, QS_UNIT_COUNT, 3);
    snprintf(buf, n, "%s", s.data);
    qs_str_free(&s);
}

static double largest(const struct qs_histogram *h, size_t each)
{
    double most = 0;
    for (size_t i = 0; i * each < h->n; i++) {
        const double a = column_sum(h->count, h->n, each, i), b = h->after ? column_sum(h->after, h->n, each, i) : 0;
        most = a > most ? a : most;
        most = b > most ? b : most;
    }
    return most;
}

void qs_histogram_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_histogram *h)
{
    if (qs_canvas_rows(c) < 1 || qs_canvas_cols(c) < 1 || !h->n)
        return;
    const bool names = h->name && qs_canvas_rows(c) >= 6;
    char top[QS_FMT_MAX], left[QS_FMT_MAX], right[QS_FMT_MAX], name[64];
    const struct qs_rect below = { names, 0, qs_canvas_rows(c) - names, qs_canvas_cols(c) };
    const struct qs_canvas chart = qs_canvas_part(c, below);
    snprintf(name, sizeof name, "%.40s%s%s", h->axis ? h->axis : "", h->axis && h->log ? ", " : "",
             h->log ? "counts log" : "");
    struct qs_axes axes = {
        .top = top, .bottom = "0", .log = h->log, .name = name, .mark = -1,
        .left = qs_chart_number(left, sizeof left, h->low, h->unit, 3),
        .right = qs_chart_number(right, sizeof right, h->high, h->unit, 3),
    };
    if (names)
        draw_names(c, t, h);
    /* The largest count is among the numbers at the left, whose width decides how much is left for the columns, which
     * decide the largest count. The width only grows, until there is no room for it at all, so that this ends. */
    int gutter;
    do {
        gutter = axes.gutter;
        count_text(top, sizeof top, largest(h, bins_each(h, qs_canvas_cols(c) - (gutter > 0 ? gutter : 0))));
        axes.gutter = qs_chart_gutter(&axes, qs_canvas_cols(c));
        axes.gutter = axes.gutter ? axes.gutter : -1;
    } while (axes.gutter != gutter);
    const struct qs_canvas plot = qs_chart_axes(&chart, t, &axes);
    const int rows = qs_canvas_rows(&plot), cols = qs_canvas_cols(&plot);
    const size_t each = bins_each(h, cols), columns = (h->n + each - 1) / each;
    const double most = largest(h, each);
    for (size_t i = 0; i < columns && most > 0; i++) {
        const int x = (int)(i * (size_t)cols / columns), next = (int)((i + 1) * (size_t)cols / columns), w = next - x;
        const int bar = height(column_sum(h->count, h->n, each, i), most, h->log, rows);
        draw_bar(&plot, t, x, w, bar);
        if (h->after)
            draw_dot(&plot, t, x, w, height(column_sum(h->after, h->n, each, i), most, h->log, rows), bar);
    }
}
