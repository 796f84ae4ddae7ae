/* chart_profile.c - values over channels as a line or an area: braille dots, blocks, or ASCII. Pure drawing.
 *
 * The picture is made of dots; each kind of characters has its own number of them to a cell. A column of dots shows the
 * least and the largest of its channels, and in lines reaches to the column before it, so that the line holds together.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/chart_internal.h"

static const struct { int across, down; } dots_of[] = {
    [QS_DOTS_BRAILLE] = { 2, 4 }, [QS_DOTS_BLOCKS] = { 1, 8 }, [QS_DOTS_ASCII] = { 1, 3 },
};

struct column { int low, high; bool known; }; /* dots from below; high included */

/* What one column of dots shows, of `columns`, with `down` dots one above the other. */
static struct column column_at(const struct qs_profile *p, size_t columns, size_t i, int down)
{
    size_t from, to;
    double low = INFINITY, high = -INFINITY;
    bool known = false;
    qs_chart_share(p->n, columns, i, &from, &to);
    for (size_t k = from; k < to && k < p->n; k++) {
        if (isnan(p->value[k]))
            continue;
        known = true;
        low = p->value[k] < low ? p->value[k] : low;
        high = p->value[k] > high ? p->value[k] : high;
    }
    if (!known)
        return (struct column){ 0, -1, false };
    struct column c = { (int)(qs_scale_position(&p->scale, low) * (down - 1) + 0.5),
                        (int)(qs_scale_position(&p->scale, high) * (down - 1) + 0.5), true };
    c.low = p->area ? 0 : c.low;
    return c;
}

static void join(struct column *c, const struct column *before)
{
    if (!c->known || !before->known)
        return;
    if (before->high < c->low)
        c->low = before->high + 1;
    else if (before->low > c->high)
        c->high = before->low - 1;
}

/* U+2800 and a bit for each dot. bit[column][row from below]. */
static void braille(char out[4], const struct column *pair, int base)
{
    static const unsigned char bit[2][4] = { { 0x40, 0x04, 0x02, 0x01 }, { 0x80, 0x20, 0x10, 0x08 } };
    unsigned dots = 0;
    for (int x = 0; x < 2; x++)
        for (int y = 0; y < 4; y++)
            if (pair[x].known && base + y >= pair[x].low && base + y <= pair[x].high)
                dots |= bit[x][y];
    if (!dots) { /* a blank, so that copied text has no invisible characters */
        memcpy(out, " ", 2);
        return;
    }
    out[0] = (char)0xE2;
    out[1] = (char)(0xA0 | dots >> 6);
    out[2] = (char)(0x80 | (dots & 0x3F));
    out[3] = 0;
}

/* A cell of one column of blocks or ASCII: `down` dots from `base` on. */
static const char *block(const struct column *c, int base, int down, bool area, bool ascii)
{
    const int low = c->low - base, high = c->high - base;
    if (!c->known || high < 0 || low >= down)
        return " ";
    if (area)
        return qs_chart_eighth(high >= down ? 8 : (high + 1) * 8 / down, ascii);
    if (low <= 0 && high >= down - 1)
        return ascii ? "|" : "\u2502";
    const int middle = (low < 0 ? 0 : low) + (high >= down ? down - 1 : high); /* twice the middle of what is seen here */
    const int third = middle * 3 / (2 * down);
    static const char *const line[2][3] = { { "\u2581", "\u2500", "\u2594" }, { "_", "-", "\"" } };
    return line[ascii][third > 2 ? 2 : third];
}

static void draw_dots(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_profile *p, enum qs_dots kind)
{
    const int across = dots_of[kind].across, down = dots_of[kind].down, rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const size_t columns = (size_t)(cols * across);
    const struct qs_style style = qs_look(t, QS_LOOK_SERIES_1);
    struct column before = { 0, -1, false };
    for (int x = 0; x < cols; x++) {
        struct column now[2];
        for (int i = 0; i < across; i++) {
            const struct column plain = now[i] = column_at(p, columns, (size_t)(x * across + i), rows * down);
            if (!p->area)
                join(&now[i], &before);
            before = plain;
        }
        for (int y = 0; y < rows; y++) {
            const int base = (rows - 1 - y) * down;
            const bool ascii = c->ascii || kind == QS_DOTS_ASCII;
            char dots[4];
            if (kind == QS_DOTS_BRAILLE)
                braille(dots, now, base);
            qs_draw_glyph(c, y, x, style,
                          kind == QS_DOTS_BRAILLE ? dots : block(&now[0], base, down, p->area, ascii));
        }
    }
}

/* "channel, 0.1 to 5.2": the values' own extent, which the scale need not have. */
static void describe(const struct qs_profile *p, char *buf, size_t size)
{
    double low = INFINITY, high = -INFINITY;
    char a[QS_FMT_MAX], b[QS_FMT_MAX];
    for (size_t i = 0; i < p->n; i++) {
        low = p->value[i] < low ? p->value[i] : low;
        high = p->value[i] > high ? p->value[i] : high;
    }
    if (low > high)
        snprintf(buf, size, "%s, nothing known", p->name ? p->name : "");
    else
        snprintf(buf, size, "%s, %s to %s", p->name ? p->name : "", qs_chart_number(a, sizeof a, low, p->unit, 3),
                 qs_chart_number(b, sizeof b, high, p->unit, 3));
}

void qs_profile_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_profile *p)
{
    if (qs_canvas_rows(c) < 1 || qs_canvas_cols(c) < 1 || !p->n)
        return;
    char top[QS_FMT_MAX], bottom[QS_FMT_MAX], last[32], name[128];
    snprintf(last, sizeof last, "%zu", p->n - 1);
    describe(p, name, sizeof name);
    const struct qs_axes axes = {
        .top = qs_chart_number(top, sizeof top, qs_scale_value(&p->scale, 1), p->unit, 3),
        .bottom = qs_chart_number(bottom, sizeof bottom, qs_scale_value(&p->scale, 0), p->unit, 3), .log = p->scale.log,
        .left = "0", .name = name, .right = last,
        .mark = p->mark >= p->n ? -1 : p->n > 1 ? (double)p->mark / (double)(p->n - 1) : 0,
    };
    const struct qs_canvas plot = qs_chart_axes(c, t, &axes);
    draw_dots(&plot, t, p, c->ascii ? QS_DOTS_ASCII : p->dots);
}
