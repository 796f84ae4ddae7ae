/* zoom_text.c - one tensor as text: histograms drawn with block characters, tiles as level digits on colours.
 *
 * Writes only to the caller's string, from a view alone. Bars are scaled to the tallest of their own picture, whose height
 * stands at the axis; any bin that is not empty shows at least the smallest mark. Any thread.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/report/report_zoom.h"
#include "core/report/table_internal.h"

#define HEIGHT 8      /* lines of a histogram */
#define PARTS 8       /* of a line that block characters tell apart */
#define LABEL 13      /* cells before a picture: a number and the axis */
#define LOG_FLOOR 0.5 /* weights at the foot of a logarithmic axis, so that one weight can be seen */
#define MIN_WIDTH 40

static size_t width_of(const struct qs_heat_style *s)
{
    return !s->width ? 80 : s->width < MIN_WIDTH ? MIN_WIDTH : s->width;
}

unsigned qs_zoom_text_tiles(unsigned width)
{
    const struct qs_heat_style s = { .width = width };
    const size_t room = width_of(&s) - LABEL - 1;
    return room < 128 ? (unsigned)room : 128;
}

static void put_right(struct qs_str *out, const char *text, size_t width)
{
    const size_t n = strlen(text);
    qs_text_blanks(out, width > n ? width - n : 0);
    qs_str_add(out, text);
}

/* Emptied. */
static void put_line(struct qs_str *out, struct qs_str *text, size_t indent, const struct qs_heat_style *s)
{
    qs_text_blanks(out, indent);
    qs_text_wrap(out, text->data, indent, 2, width_of(s), s->ascii);
    out->failed |= text->failed;
    qs_str_clear(text);
}

/* ---- histograms ---------------------------------------------------------------------------------------------- */

struct bars {
    const struct qs_zoom_style *style;
    uint64_t count[QS_ZOOM_BINS], most; /* columns of the picture, each of several bins */
    unsigned n;
};

static struct bars make_bars(const struct qs_zoom_histogram *h, const struct qs_zoom_style *style)
{
    static const unsigned char columns[] = { QS_ZOOM_BINS, 63, 27, 21 }; /* whole numbers of bins each */
    struct bars b = { .style = style };
    for (size_t i = 0; i < sizeof columns && !b.n; i++)
        if (LABEL + columns[i] + 1u <= width_of(&style->heat) || columns[i] == 21)
            b.n = columns[i];
    for (unsigned i = 0; i < QS_ZOOM_BINS; i++)
        b.count[i / (QS_ZOOM_BINS / b.n)] += h->count[i];
    for (unsigned i = 0; i < b.n; i++)
        b.most = b.count[i] > b.most ? b.count[i] : b.most;
    return b;
}

/* Height in parts of a line. */
static unsigned height_of(const struct bars *b, uint64_t count)
{
    if (!count)
        return 0;
    const double share = b->style->log ? log((double)count / LOG_FLOOR) / log((double)b->most / LOG_FLOOR)
                                       : (double)count / (double)b->most;
    const unsigned parts = (unsigned)(share * HEIGHT * PARTS + 0.5);
    return parts ? parts : 1;
}

static void put_bar(struct qs_str *out, const struct bars *b, unsigned parts)
{
    static const char *const block[PARTS + 1] = { " ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587",
                                                  "\u2588" };
    static const char *const ascii[PARTS + 1] = { " ", ".", ".", ".", ":", ":", ":", "#", "#" };
    qs_str_add(out, (b->style->heat.ascii ? ascii : block)[parts > PARTS ? PARTS : parts]);
}

/* The count at the upper edge of the first and the middle line. */
static void put_count(struct qs_str *out, const struct bars *b, unsigned line)
{
    struct qs_str text = QS_STR_INIT;
    const double most = (double)b->most;
    if (b->most && line == HEIGHT)
        qs_fmt_int(&text, (int64_t)b->most, QS_UNIT_COUNT);
    else if (b->most > 3 && line == HEIGHT / 2)
        qs_fmt_int(&text, llround(b->style->log ? sqrt(most * LOG_FLOOR) : most / 2), QS_UNIT_COUNT);
    put_right(out, text.data, LABEL - 2);
    out->failed |= text.failed;
    qs_str_free(&text);
    qs_str_add(out, " |");
}

/* Values at the left end, the middle and the right end. */
static void put_ends(struct qs_str *out, const struct bars *b, const struct qs_zoom_view *v, int scale)
{
    const char *const unit = scale == QS_ZOOM_BY_SIGMA ? " sd" : "", *const middle = scale == QS_ZOOM_BY_SIGMA ? "mean" : "0";
    struct qs_str low = QS_STR_INIT, high = QS_STR_INIT;
    qs_fmt_num(&low, qs_zoom_bin_from(v, scale, 0), QS_UNIT_NONE, 3);
    qs_fmt_num(&high, qs_zoom_bin_from(v, scale, QS_ZOOM_BINS), QS_UNIT_NONE, 3);
    qs_str_add(&low, unit);
    qs_str_add(&high, unit);
    qs_text_blanks(out, LABEL);
    qs_str_add(out, low.data);
    const size_t at = b->n / 2 + strlen(middle) / 2 + 1;
    put_right(out, middle, at > low.len ? at - low.len : 1);
    put_right(out, high.data, b->n > at ? b->n - at : 1);
    qs_text_end_line(out);
    out->failed |= low.failed || high.failed;
    qs_str_free(&low);
    qs_str_free(&high);
}

static void put_outside(struct qs_str *out, const struct qs_zoom_histogram *h, const struct qs_zoom_style *style)
{
    struct qs_str note = QS_STR_INIT;
    if (!h->below && !h->above && !h->nonfinite)
        return;
    qs_str_add(&note, "not drawn: ");
    qs_fmt_int(&note, (int64_t)h->below, QS_UNIT_COUNT);
    qs_str_add(&note, " weights below, ");
    qs_fmt_int(&note, (int64_t)h->above, QS_UNIT_COUNT);
    qs_str_add(&note, " above, ");
    qs_fmt_int(&note, (int64_t)h->nonfinite, QS_UNIT_COUNT);
    qs_str_add(&note, " not finite");
    put_line(out, &note, 2, &style->heat);
    qs_str_free(&note);
}

static void put_histogram(struct qs_str *out, const struct qs_zoom_view *v, const struct qs_zoom_histogram *h,
                          const struct qs_zoom_style *style, const char *what)
{
    const int scale = style->sigma ? QS_ZOOM_BY_SIGMA : QS_ZOOM_BY_VALUE;
    const struct bars b = make_bars(h + scale, style);
    struct qs_str title = QS_STR_INIT;
    qs_str_addf(&title, "%s: weights in each of %u columns, %s axis, each ", what, b.n, style->log ? "log" : "linear");
    qs_fmt_num(&title, (qs_zoom_bin_from(v, scale, 1) - qs_zoom_bin_from(v, scale, 0)) * (QS_ZOOM_BINS / b.n), QS_UNIT_NONE, 3);
    qs_str_addf(&title, "%s wide", style->sigma ? " sd" : "");
    put_line(out, &title, 0, &style->heat);
    for (unsigned line = HEIGHT; line > 0; line--) {
        put_count(out, &b, line);
        for (unsigned i = 0; i < b.n; i++) {
            const unsigned parts = height_of(&b, b.count[i]), below = (line - 1) * PARTS;
            put_bar(out, &b, parts > below ? parts - below : 0);
        }
        qs_text_end_line(out);
    }
    qs_text_blanks(out, LABEL - 1);
    qs_str_addc(out, '+');
    for (unsigned i = 0; i < b.n; i++)
        qs_str_addc(out, '-');
    qs_text_end_line(out);
    put_ends(out, &b, v, scale);
    put_outside(out, h + scale, style);
    qs_text_end_line(out);
    qs_str_free(&title);
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

static double value_of(const struct qs_zoom_view *v, size_t tile)
{
    return v->as_stored ? v->tile[tile].mean_abs : v->tile[tile].error;
}

/* The tiles as a heat without rows: what scale and legend are made from. false: out of memory. */
static bool make_heat(const struct qs_zoom_view *v, struct qs_heat *h)
{
    const size_t n = (size_t)v->axis[QS_ROWS].n_tiles * v->axis[QS_COLS].n_tiles;
    *h = (struct qs_heat){ .measure = QS_MAP_ERROR, .unit = v->as_stored ? QS_UNIT_NONE : QS_UNIT_PERCENT, .n_items = n,
                           .log = true };
    h->item = qs_calloc(n, sizeof *h->item);
    for (size_t i = 0; h->item && i < n; i++)
        h->item[i] = (struct qs_heat_cell){ .tensor = v->tensor, .value = value_of(v, i), .how = QS_HOW_WHOLE };
    if (h->item)
        qs_heat_find_range(h);
    return h->item != NULL;
}

static void put_tile_title(struct qs_str *out, const struct qs_zoom_view *v, const struct qs_heat_style *style)
{
    const struct qs_zoom_axis *row = &v->axis[QS_ROWS], *col = &v->axis[QS_COLS];
    struct qs_str title = QS_STR_INIT;
    qs_str_addf(&title, "%s of each of %u x %u tiles (", v->as_stored ? "Mean |w|" : "Relative RMS error", row->n_tiles,
                col->n_tiles);
    qs_fmt_num(&title, (double)row->n / row->n_tiles, QS_UNIT_COUNT, 3);
    qs_str_add(&title, " rows x ");
    qs_fmt_num(&title, (double)col->n / col->n_tiles, QS_UNIT_COUNT, 3);
    qs_str_add(&title, " columns on average), whole; the first row of each stands at the left");
    put_line(out, &title, 0, style);
    qs_str_free(&title);
}

static void put_columns(struct qs_str *out, const struct qs_zoom_axis *col)
{
    char last[32];
    snprintf(last, sizeof last, "%llu", (unsigned long long)(col->n - 1));
    qs_text_blanks(out, LABEL);
    qs_str_addc(out, '0');
    if (col->n_tiles > strlen(last) + 1)
        put_right(out, last, col->n_tiles - 1);
    qs_str_add(out, "\n");
}

static void put_scale(struct qs_str *out, const struct qs_heat *h, const struct qs_heat_style *style)
{
    struct qs_str note = QS_STR_INIT;
    bool zero = false, unknown = false;
    for (size_t i = 0; i < h->n_items; i++) {
        zero |= h->item[i].value <= 0;
        unknown |= isnan(h->item[i].value);
    }
    qs_heat_legend(h, style, out);
    if (qs_heat_no_range(h)) {
        qs_str_add(&note, qs_heat_no_range(h));
    } else {
        qs_str_add(&note, "log scale from ");
        qs_fmt_num(&note, h->low, h->unit, 3);
        qs_str_add(&note, " to ");
        qs_fmt_num(&note, h->high, h->unit, 3);
    }
    qs_str_add(&note, zero ? "; . is 0" : "");
    qs_str_add(&note, unknown ? "; ? is not measured, or has nothing finite in it" : "");
    put_line(out, &note, 2, style);
    qs_str_free(&note);
}

static void put_tiles(struct qs_str *out, const struct qs_zoom_view *v, const struct qs_heat_style *wanted)
{
    const struct qs_zoom_axis *row = &v->axis[QS_ROWS], *col = &v->axis[QS_COLS];
    struct qs_heat_style style = *wanted;
    struct qs_heat h;
    style.width = (unsigned)width_of(wanted);
    if (!make_heat(v, &h)) {
        out->failed = true;
        return;
    }
    put_tile_title(out, v, &style);
    put_columns(out, col);
    for (unsigned i = 0; i < row->n_tiles; i++) {
        char from[32];
        snprintf(from, sizeof from, "%llu", (unsigned long long)row->tile_from[i]);
        put_right(out, from, LABEL - 1);
        qs_str_addc(out, ' ');
        for (unsigned j = 0; j < col->n_tiles; j++)
            qs_heat_mark(&h, &style, value_of(v, (size_t)i * col->n_tiles + j), out);
        qs_str_addc(out, '\n');
    }
    put_scale(out, &h, &style);
    qs_str_addc(out, '\n');
    qs_free(h.item);
}

void qs_zoom_text(const struct qs_zoom_view *v, const struct qs_zoom_style *style, struct qs_str *out)
{
    char what[320]; /* names have 255 bytes at most */
    snprintf(what, sizeof what, "%s, %s", v->tensor->name, v->tensor->format->name);
    put_histogram(out, v, v->weights, style, what);
    if (!v->as_stored) {
        snprintf(what, sizeof what, "After %s", qs_type_name(v->type));
        put_histogram(out, v, v->decoded, style, what);
    }
    put_tiles(out, v, &style->heat);
}
