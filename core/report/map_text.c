/* map_text.c - the map as text: numbers where they fit, else a level digit a cell, on colours where the caller has them.
 *
 * Writes only to the caller's string. Colour is chosen by the caller and never the only sign. Escape sequences are set and
 * reset within each cell, so that a line cut short leaves no colour behind. With eight colours there are four steps, of
 * which each stands for two or three levels; the text on them is black or white as it reads better.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/color.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/ramp.h"
#include "core/report/report_map.h"
#include "core/report/table_internal.h"

#define INDENT 2
#define MAX_LABEL 20
#define SUMMARY 17 /* "  12.3%  at 123" at the right of each row */
#define MAX_NUMBER 9

struct layout {
    const struct qs_heat *h;
    const struct qs_heat_style *style;
    size_t width, label;
    size_t cell;       /* terminal cells per column */
    size_t per_column; /* layers per column: 1 unless there is no room */
    size_t columns;
    bool numbers;      /* cells hold numbers, not levels */
};

/* Harmless text of at most `width` cells (0: all of it), the middle left out where it is longer. */
static void put_clean(struct qs_str *out, const char *text, size_t width, bool ascii)
{
    struct qs_str clean = QS_STR_INIT;
    qs_text_clean(&clean, text, ascii);
    if (width)
        qs_text_shorten(out, clean.data, width, ascii);
    else
        qs_str_addn(out, clean.data, clean.len);
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

static void put_left(struct qs_str *out, const char *text, size_t width, bool ascii)
{
    const size_t from = out->len;
    put_clean(out, text, width, ascii);
    const size_t n = qs_utf8_width(out->data + from, out->len - from);
    qs_text_blanks(out, width > n ? width - n : 0);
}

static void put_right(struct qs_str *out, const char *text, size_t width)
{
    const size_t n = strlen(text);
    qs_text_blanks(out, width > n ? width - n : 0);
    qs_str_add(out, text);
}

/* ---- cells --------------------------------------------------------------------------------------------------- */

/* The number without its percent sign: the title says what it is. */
static void number_text(const struct qs_heat *h, const struct qs_heat_cell *c, char *buf, size_t n)
{
    struct qs_str s = QS_STR_INIT;
    if (!c->tensor || isnan(c->value)) {
        snprintf(buf, n, "%s", c->tensor ? "?" : "");
        return;
    }
    qs_fmt_num(&s, c->value, h->unit, 0);
    snprintf(buf, n, "%s%.*s", c->how == QS_HOW_SAMPLED ? "~" : "", (int)strcspn(s.data, "%"), s.data);
    qs_str_free(&s);
}

static void color_on(struct qs_str *out, const struct layout *l, double value)
{
    uint8_t rgb[3];
    const unsigned level = qs_heat_level(l->h, value);
    if (l->style->color == QS_HEAT_8) {
        const struct qs_ramp_ansi step = qs_ramp_ansi(level * QS_RAMP_ANSI_STEPS / QS_RAMP_LEVELS, false);
        qs_str_addf(out, "\x1b[%u;%um", step.dark_text ? 30u : 37u, 40u + step.color);
        return;
    }
    if (l->style->color == QS_HEAT_RGB) {
        /* The middle of the level, so that cells with the same digit have the same colour. */
        qs_ramp_rgb(l->numbers ? qs_heat_position(l->h, value) : (level + 0.5) / QS_RAMP_LEVELS, rgb);
        qs_str_addf(out, "\x1b[48;2;%u;%u;%um", (unsigned)rgb[0], (unsigned)rgb[1], (unsigned)rgb[2]);
    } else {
        qs_color_palette(qs_ramp_256(level), rgb);
        qs_str_addf(out, "\x1b[48;5;%um", (unsigned)qs_ramp_256(level));
    }
    const bool light = qs_color_lightness(rgb) >= 0.6;
    qs_str_add(out, l->style->color == QS_HEAT_RGB ? (light ? "\x1b[38;2;0;0;0m" : "\x1b[38;2;255;255;255m")
                                                   : (light ? "\x1b[38;5;16m" : "\x1b[38;5;231m"));
}

static const char *shade(const struct layout *l, unsigned level)
{
    static const char *const ascii[QS_RAMP_LEVELS] = { " ", ".", ":", "-", "=", "+", "*", "%", "#", "@" };
    static const char *const block[QS_RAMP_LEVELS] = { " ", " ", "\u2591", "\u2591", "\u2592", "\u2592",
                                                       "\u2593", "\u2593", "\u2588", "\u2588" };
    return (l->style->ascii ? ascii : block)[level];
}

/* One cell of exactly `width` terminal cells. */
static void put_cell(struct qs_str *out, const struct layout *l, const struct qs_heat_cell *c, size_t width, bool numbers)
{
    char text[32] = "";
    const bool filled = c->tensor && !isnan(c->value), zero = filled && !(c->value > 0), color = l->style->color != QS_HEAT_PLAIN;
    if (numbers)
        number_text(l->h, c, text, sizeof text);
    else if (c->tensor)
        snprintf(text, sizeof text, "%c", !filled ? '?' : zero ? '.' : (char)('0' + qs_heat_level(l->h, c->value)));
    if (!filled || zero || (!color && numbers)) {
        put_right(out, text, width);
        return;
    }
    if (color) {
        color_on(out, l, c->value);
        put_right(out, text, width);
        qs_str_add(out, "\x1b[0m");
        return;
    }
    const unsigned level = qs_heat_level(l->h, c->value);
    for (size_t i = 1; i < width; i++) /* a gap in front where there is room for one */
        qs_str_add(out, width > 2 && i == 1 ? " " : shade(l, level));
    qs_str_add(out, text);
}

/* The worst of the layers that share a column. */
static struct qs_heat_cell column_cell(const struct layout *l, const struct qs_heat_row *row, size_t column)
{
    struct qs_heat_cell worst = { .tensor = NULL, .value = NAN };
    for (size_t i = column * l->per_column; i < (column + 1) * l->per_column && i < l->h->n_layers; i++)
        if (row->cell[i].tensor && (!worst.tensor || qs_heat_worse(l->h, &row->cell[i], &worst)))
            worst = row->cell[i];
    return worst;
}

/* ---- layout -------------------------------------------------------------------------------------------------- */

static size_t widest_number(const struct qs_heat *h)
{
    size_t most = 0;
    char text[32];
    for (size_t i = 0; i < h->n_items; i++) {
        number_text(h, &h->item[i], text, sizeof text);
        most = strlen(text) > most ? strlen(text) : most;
    }
    return most;
}

static size_t widest_label(const struct qs_heat *h)
{
    size_t most = 5;
    for (size_t i = 0; i < h->n_rows + h->n_singles; i++) {
        const char *label = (i < h->n_rows ? &h->row[i] : &h->single[i - h->n_rows])->label;
        const size_t n = qs_utf8_width(label, strlen(label));
        most = n > most ? n : most;
    }
    return most < MAX_LABEL ? most : MAX_LABEL;
}

static struct layout make_layout(const struct qs_heat *h, const struct qs_heat_style *style)
{
    struct layout l = { .h = h, .style = style, .width = style->width ? style->width : 100, .per_column = 1 };
    l.label = widest_label(h);
    const size_t fixed = INDENT + l.label + 1 + SUMMARY, room = l.width > fixed + 8 ? l.width - fixed : 8;
    const size_t number = widest_number(h) + 1, layers = h->n_layers ? h->n_layers : 1;
    l.numbers = number <= MAX_NUMBER && layers * number <= room;
    if (l.numbers) {
        l.cell = number;
    } else {
        l.cell = room / layers > 3 ? 3 : room / layers;
        if (!l.cell) {
            l.cell = 1;
            l.per_column = (layers + room - 1) / room;
        }
    }
    l.columns = (layers + l.per_column - 1) / l.per_column;
    return l;
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

static void print_head(struct qs_str *out, const struct layout *l)
{
    size_t at = 0;
    qs_text_blanks(out, INDENT);
    put_left(out, "layer", l->label, true);
    qs_text_blanks(out, 1);
    for (size_t i = 0; i < l->columns; i++) {
        char text[24];
        const size_t n = (size_t)snprintf(text, sizeof text, "%zu", i * l->per_column), end = (i + 1) * l->cell;
        if (end < n + at + (at > 0) || (l->cell < 3 && i % 5 != 0 && l->columns > 10))
            continue;
        put_right(out, text, end - at);
        at = end;
    }
    qs_text_blanks(out, l->columns * l->cell - at);
    qs_str_add(out, l->h->measure == QS_MAP_BITS ? "   lowest at" : "    worst at");
    qs_text_end_line(out);
}

static void print_summary(struct qs_str *out, const struct layout *l, const struct qs_heat_row *row)
{
    const struct qs_heat_cell *worst = NULL;
    struct qs_str s = QS_STR_INIT;
    for (size_t i = 0; i < l->h->n_layers; i++)
        if (row->cell[i].tensor && !isnan(row->cell[i].value) && (!worst || qs_heat_worse(l->h, &row->cell[i], worst)))
            worst = &row->cell[i];
    if (worst) {
        qs_fmt_num(&s, worst->value, l->h->unit, 0);
        qs_text_blanks(out, s.len < 9 ? 9 - s.len : 1);
        qs_str_add(out, s.data);
        qs_str_addf(out, " %2d", worst->tensor->layer);
    }
    qs_str_free(&s);
}

static void put_label(struct qs_str *out, const struct layout *l, const struct qs_heat_row *row)
{
    qs_text_blanks(out, INDENT);
    put_left(out, row->label, l->label, l->style->ascii);
    qs_text_blanks(out, 1);
}

/* A role: its tensors in all layers. */
static void print_row(struct qs_str *out, const struct layout *l, const struct qs_heat_row *row)
{
    put_label(out, l, row);
    for (size_t i = 0; i < l->columns; i++) {
        const struct qs_heat_cell c = column_cell(l, row, i);
        put_cell(out, l, &c, l->cell, l->numbers);
    }
    print_summary(out, l, row);
    qs_text_end_line(out);
}

/* A tensor outside of the layers. */
static void print_single(struct qs_str *out, const struct layout *l, const struct qs_heat_row *row)
{
    const struct qs_heat_cell *c = &row->cell[0];
    const struct qs_format *f = qs_format_by_id(c->type);
    put_label(out, l, row);
    put_cell(out, l, c, l->cell, l->numbers);
    if (!l->numbers) {
        char text[32];
        number_text(l->h, c, text, sizeof text);
        qs_str_addf(out, " %s%s", text, l->h->unit == QS_UNIT_PERCENT && text[0] != '?' ? "%" : "");
    }
    if (l->h->what[0] && f)
        qs_str_addf(out, "  %s", f->name);
    qs_text_end_line(out);
}

/* A cell as a tensor of this level has it. */
static void put_level(struct qs_str *out, const struct layout *l, unsigned level, size_t width)
{
    /* From the middle of the level, so that rounding cannot move it to the next. */
    const double a = qs_heat_level_from(l->h, level), b = qs_heat_level_from(l->h, level + 1);
    const struct qs_heat_cell c = { .tensor = l->h->item[0].tensor, .value = l->h->log ? sqrt(a * b) : (a + b) / 2 };
    const size_t cells = l->cell == 1 && l->style->color == QS_HEAT_PLAIN ? 1 : width - 1;
    qs_text_blanks(out, width - cells);
    put_cell(out, l, &c, cells, false);
}

/* The levels and below each the value it begins at, on as many pairs of lines as it takes. */
static void print_legend(struct qs_str *out, const struct layout *l)
{
    struct qs_str text[QS_RAMP_LEVELS];
    size_t width = 0;
    if (isnan(l->h->low) || (l->numbers && l->style->color == QS_HEAT_PLAIN))
        return;
    for (unsigned i = 0; i < QS_RAMP_LEVELS; i++) {
        text[i] = (struct qs_str)QS_STR_INIT;
        qs_fmt_num(&text[i], qs_heat_level_from(l->h, i), l->h->unit, 3);
        width = text[i].len + 1 > width ? text[i].len + 1 : width;
    }
    const unsigned per_line = l->width > 8 + width ? (unsigned)((l->width - 8) / width) : 1;
    for (unsigned from = 0; from < QS_RAMP_LEVELS; from += per_line) {
        const unsigned to = from + per_line < QS_RAMP_LEVELS ? from + per_line : QS_RAMP_LEVELS;
        qs_str_add(out, "  level ");
        for (unsigned i = from; i < to; i++)
            put_level(out, l, i, width);
        qs_text_end_line(out);
        qs_str_add(out, "  from  ");
        for (unsigned i = from; i < to; i++)
            put_right(out, text[i].data, width);
        qs_text_end_line(out);
    }
    for (unsigned i = 0; i < QS_RAMP_LEVELS; i++) {
        out->failed |= text[i].failed;
        qs_str_free(&text[i]);
    }
}

/* One remark below the picture, on as many lines as it takes; the text is emptied. */
static void put_note(struct qs_str *out, const struct layout *l, struct qs_str *text)
{
    qs_text_blanks(out, INDENT);
    qs_text_wrap(out, text->data, INDENT, INDENT, l->width, l->style->ascii);
    out->failed |= text->failed;
    qs_str_clear(text);
}

static void print_scale(struct qs_str *out, const struct layout *l, struct qs_str *note)
{
    const struct qs_heat *h = l->h;
    if (qs_heat_no_range(h)) {
        qs_str_add(note, qs_heat_no_range(h));
        put_note(out, l, note);
        return;
    }
    qs_str_addf(note, "%s scale from ", h->log ? "log" : "linear");
    qs_fmt_num(note, h->low, h->unit, 3);
    qs_str_add(note, " to ");
    qs_fmt_num(note, h->high, h->unit, 3);
    if (h->kept && !l->numbers)
        qs_str_add(note, "; . is 0: kept as in the file");
    put_note(out, l, note);
}

static void print_notes(struct qs_str *out, const struct layout *l)
{
    const struct qs_heat *h = l->h;
    struct qs_str note = QS_STR_INIT;
    char bytes[32];
    if (!isnan(h->total)) {
        qs_str_addf(&note, "over all %zu matrices: %s", h->n_items, h->total_sampled ? "~" : "");
        qs_fmt_num(&note, h->total, h->unit, 3);
        qs_str_addf(&note, "%s, %s", h->measure == QS_MAP_BITS ? " bpw" : "", qs_fmt_bytes(bytes, sizeof bytes, h->bytes));
        put_note(out, l, &note);
    }
    print_scale(out, l, &note);
    if (l->per_column > 1) {
        qs_str_addf(&note, "each column is %zu layers, the worst of them shown", l->per_column);
        put_note(out, l, &note);
    }
    char folded[160];
    if (*qs_heat_folded_note(h, folded, sizeof folded)) {
        qs_str_add(&note, folded);
        put_note(out, l, &note);
    }
    if (h->sampled) {
        qs_str_addf(&note, "~ %u of %zu values measured on a sample of rows", h->sampled, h->n_items);
        put_note(out, l, &note);
    }
    if (h->unknown) {
        qs_str_addf(&note, "? %u tensors cannot have the type, or were not measured", h->unknown);
        put_note(out, l, &note);
    }
    if (h->not_drawn) {
        qs_str_addf(&note, "not drawn: %u tensors of one dimension (norms, biases) or unknown type", h->not_drawn);
        put_note(out, l, &note);
    }
    if (h->without_row) {
        qs_str_addf(&note, "%u tensors have no row: the picture is full (they count in the line above and in the data)",
                    h->without_row);
        put_note(out, l, &note);
    }
    qs_str_free(&note);
}

void qs_heat_mark(const struct qs_heat *h, const struct qs_heat_style *style, double value, struct qs_str *out)
{
    const struct layout l = { .h = h, .style = style, .cell = 1 };
    const struct qs_heat_cell c = { .tensor = h->item[0].tensor, .value = value };
    put_cell(out, &l, &c, 1, false);
}

void qs_heat_legend(const struct qs_heat *h, const struct qs_heat_style *style, struct qs_str *out)
{
    const struct layout l = { .h = h, .style = style, .width = style->width ? style->width : 100, .cell = 1 };
    print_legend(out, &l);
}

void qs_heat_text(const struct qs_heat *h, const struct qs_heat_style *style, struct qs_str *out)
{
    const struct layout l = make_layout(h, style);
    struct qs_str title = QS_STR_INIT;
    qs_str_addf(&title, "%s%s", h->title, h->unit == QS_UNIT_PERCENT ? ", %" : "");
    qs_text_wrap(out, title.data, 0, INDENT, l.width, style->ascii);
    out->failed |= title.failed;
    qs_str_free(&title);
    if (!h->n_items) {
        qs_str_add(out, "  (no tensors to draw)\n");
        return;
    }
    if (h->n_rows)
        print_head(out, &l);
    for (size_t r = 0; r < h->n_rows; r++)
        print_row(out, &l, &h->row[r]);
    for (size_t r = 0; r < h->n_singles; r++)
        print_single(out, &l, &h->single[r]);
    print_legend(out, &l);
    print_notes(out, &l);
}
