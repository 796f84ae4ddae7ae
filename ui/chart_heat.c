/* chart_heat.c - scales, the heat grid, its legend. Pure drawing. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "ui/chart_internal.h"

/* ---- scale ---- */

#define LOG_SPAN 1e-6 /* where the low end of a logarithmic scale is not positive, it lies this far below the high end */

struct qs_scale qs_scale_of(const double *value, size_t n, bool log)
{
    struct qs_scale s = { INFINITY, -INFINITY, log };
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(value[i]) || (log && value[i] <= 0))
            continue;
        s.low = value[i] < s.low ? value[i] : s.low;
        s.high = value[i] > s.high ? value[i] : s.high;
    }
    if (s.low > s.high)
        return (struct qs_scale){ log ? 0.1 : 0, 1, log };
    if (s.low < s.high)
        return s;
    if (log) {
        s.low /= 2;
        s.high *= 2;
    } else {
        const double by = s.low < 0 || s.low > 0 ? fabs(s.low) / 2 : 0.5;
        s.low -= by;
        s.high += by;
    }
    return s;
}

static double log_low(const struct qs_scale *s)
{
    return s->low > 0 ? s->low : s->high > 0 ? s->high * LOG_SPAN : 0.1;
}

double qs_scale_position(const struct qs_scale *s, double value)
{
    double p;
    if (isnan(value))
        return value;
    if (s->log) {
        const double low = log_low(s), span = log(s->high > low ? s->high : low) - log(low);
        p = value > 0 ? (log(value) - log(low)) / span : 0;
    } else {
        p = (value / 2 - s->low / 2) / (s->high / 2 - s->low / 2); /* halves: the difference might overflow */
    }
    return p > 0 ? p < 1 ? p : 1 : 0; /* a scale without extent gives NaN: 0 */
}

double qs_scale_value(const struct qs_scale *s, double p)
{
    if (!s->log)
        return s->low * (1 - p) + s->high * p;
    const double low = log_low(s), high = s->high > low ? s->high : low;
    return p <= 0 ? low : p >= 1 ? high : exp(log(low) * (1 - p) + log(high) * p);
}

unsigned qs_scale_level(const struct qs_scale *s, double value)
{
    const double p = qs_scale_position(s, value);
    return p >= 0.9 ? 9 : p > 0 ? (unsigned)(p * 10) : 0;
}

/* ---- cells ---- */

static bool has_color(const struct qs_theme *t)
{
    return t->tier != QS_TIER_MONO && t->ramp_steps > 0;
}

/* One value: fills w cells from (y, x). */
static void value_cell(const struct qs_canvas *c, const struct qs_theme *t, int y, int x, int w, const struct qs_scale *s,
                       double value, enum qs_grid_sign sign)
{
    const bool unknown = isnan(value), color = has_color(t);
    const struct qs_style style = unknown ? qs_look(t, QS_LOOK_UNKNOWN)
                                : color ? qs_theme_heat(t, qs_scale_position(s, value)) : qs_look(t, QS_LOOK_TEXT);
    qs_draw_fill(c, (struct qs_rect){ y, x, 1, w }, style);
    if (unknown) {
        qs_draw_glyph(c, y, x, style, "?");
    } else if (sign == QS_GRID_DIGITS || (!color && sign == QS_GRID_COLOR)) {
        const char digit[2] = { (char)('0' + qs_scale_level(s, value)), 0 };
        qs_draw_glyph(c, y, x + (w - 1) / 2, style, digit);
    } else if (!color) {
        for (int i = 0; i < w; i++)
            qs_draw_glyph(c, y, x + i, style, qs_theme_density(qs_scale_level(s, value), c->ascii));
    }
}

/* Two values in one cell: the upper and the lower half. */
static void half_cell(const struct qs_canvas *c, const struct qs_theme *t, int y, int x, int w, const struct qs_grid *h,
                      double upper, double lower)
{
    const bool up = !isnan(upper), down = !isnan(lower);
    const qs_color none = qs_look(t, QS_LOOK_UNKNOWN).bg;
    if (!up && !down) {
        value_cell(c, t, y, x, w, &h->scale, upper, h->sign);
        return;
    }
    const qs_color high = up ? qs_theme_heat_color(t, qs_scale_position(&h->scale, upper)) : none;
    const qs_color low = down ? qs_theme_heat_color(t, qs_scale_position(&h->scale, lower)) : none;
    const struct qs_style style = up ? (struct qs_style){ high, low, 0 } : (struct qs_style){ low, high, 0 };
    for (int i = 0; i < w; i++)
        qs_draw_glyph(c, y, x + i, style, up ? "\u2580" : "\u2584");
}

/* The larger one; what is not known is left out. */
static double larger(double a, double b)
{
    return isnan(a) || b > a ? b : a;
}

int qs_grid_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_grid *h)
{
    const bool halves = h->half && !c->ascii && has_color(t) && h->sign != QS_GRID_DIGITS;
    const int w = h->cell > 1 ? h->cell : 1, cols = qs_canvas_cols(c), per_line = h->half ? 2 : 1;
    const size_t rest = h->first_row < h->rows ? h->rows - h->first_row : 0;
    const size_t lines = (rest + (h->half ? 1 : 0)) / (size_t)per_line;
    for (int y = 0; y < qs_canvas_rows(c) && (size_t)y < lines; y++) {
        const size_t r = h->first_row + (size_t)y * (size_t)per_line;
        for (int x = 0; x < cols; x += w) {
            const size_t k = h->first_col + (size_t)(x / w);
            if (k >= h->cols)
                break;
            const double a = h->value[r * h->cols + k];
            const double b = h->half && r + 1 < h->rows ? h->value[(r + 1) * h->cols + k] : (double)NAN;
            if (halves)
                half_cell(c, t, y, x, w, h, a, b);
            else
                value_cell(c, t, y, x, w, &h->scale, h->half ? larger(a, b) : a, h->sign);
        }
    }
    return lines < INT32_MAX ? (int)lines : INT32_MAX;
}

/* ---- legend ---- */

#define TICKS 6
#define SWATCH_LEAST 3
#define SWATCH_MOST 8

static int text_cells(const char *text)
{
    return (int)qs_utf8_width(text, strnlen(text, QS_CELLS_MAX));
}

/* Numbers at n evenly spread places; the cells that they take with the blanks around them. */
static int ticks(char text[TICKS][QS_FMT_MAX], int n, const struct qs_scale *s, enum qs_unit unit, int digits)
{
    int cells = 2 * (n - 1);
    for (int i = 0; i < n; i++) {
        qs_chart_number(text[i], QS_FMT_MAX, qs_scale_value(s, (double)i / (n - 1)), unit, digits);
        cells += text_cells(text[i]);
    }
    return cells;
}

void qs_legend_draw(const struct qs_canvas *c, int y, int x, int cells, const struct qs_theme *t, const char *title,
                    const struct qs_scale *s, enum qs_unit unit, int digits, enum qs_grid_sign sign)
{
    static const struct qs_scale place = { 0, 1, false };
    const struct qs_style text = qs_look(t, QS_LOOK_TEXT), muted = qs_look(t, QS_LOOK_MUTED);
    char tick[TICKS][QS_FMT_MAX];
    const int end = x + cells, log_cells = s->log ? 4 : 0;
    int head = title && title[0] ? text_cells(title) + 1 : 0, n = TICKS, numbers = ticks(tick, n, s, unit, digits);
    while (n > 2 && head + numbers + (n - 1) * SWATCH_LEAST + log_cells > cells)
        numbers = ticks(tick, --n, s, unit, digits);
    int room = cells - head - numbers - log_cells;
    if (room < SWATCH_LEAST && head) { /* the numbers say more than the title */
        room += head;
        head = 0;
    }
    if (room < SWATCH_LEAST) {
        char both[2 * QS_FMT_MAX + 8];
        snprintf(both, sizeof both, "%s-%s%s", tick[0], tick[n - 1], s->log ? " log" : "");
        qs_draw_text(c, y, x, text, both, cells);
        return;
    }
    const int swatch = room / (n - 1) < SWATCH_MOST ? room / (n - 1) : SWATCH_MOST;
    if (head)
        x += qs_draw_text(c, y, x, muted, title, end - x) + 1;
    for (int i = 0; i < n; i++) {
        x += qs_draw_text(c, y, x, text, tick[i], end - x) + 1;
        for (int k = 0; i < n - 1 && k < swatch; k++, x++)
            value_cell(c, t, y, x, 1, &place, (i + (k + 0.5) / swatch) / (n - 1), sign);
        x += i < n - 1;
    }
    if (s->log)
        x += qs_draw_text(c, y, x, muted, "log", end - x) + 1;
    if (end - x >= 10) {
        qs_draw_glyph(c, y, x + 1, qs_look(t, QS_LOOK_UNKNOWN), "?");
        qs_draw_text(c, y, x + 3, muted, "unknown", end - x - 3);
    }
}
