/* map_svg.c - the map as a standalone SVG 1.1 file: valid XML whatever names hold, a tooltip for each cell.
 *
 * Numbers are printed with a point whatever the locale: only integers and our own formatting are used.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "core/report/ramp.h"
#include "core/report/report_map.h"

enum { CELL_H = 22, LEFT = 150, TOP = 64, RIGHT = 24, LEGEND_H = 74, BAR_W = 400, BAR_STEPS = 50 };

/* Text for XML: control characters are made visible first (XML 1.0 has no way to write most of them). */
static void add_text(struct qs_str *out, const char *text)
{
    struct qs_str clean = QS_STR_INIT;
    qs_utf8_clean(&clean, text, strlen(text), 0);
    for (const char *p = clean.data; *p; p++)
        switch (*p) {
        case '<': qs_str_add(out, "&lt;"); break;
        case '>': qs_str_add(out, "&gt;"); break;
        case '&': qs_str_add(out, "&amp;"); break;
        case '"': qs_str_add(out, "&quot;"); break;
        case '\'': qs_str_add(out, "&#39;"); break;
        default: qs_str_addc(out, *p);
        }
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

static void add_label(struct qs_str *out, size_t x, size_t y, const char *attributes, const char *text)
{
    qs_str_addf(out, "<text x=\"%zu\" y=\"%zu\"%s>", x, y, attributes);
    add_text(out, text);
    qs_str_add(out, "</text>\n");
}

static void add_color(struct qs_str *out, double t)
{
    uint8_t rgb[3];
    qs_ramp_rgb(t, rgb);
    qs_str_addf(out, "#%02x%02x%02x", (unsigned)rgb[0], (unsigned)rgb[1], (unsigned)rgb[2]);
}

static void add_cell(struct qs_str *out, const struct qs_heat *h, const struct qs_heat_cell *c, size_t x, size_t y, size_t w)
{
    const struct qs_format *f = qs_format_by_id(c->type);
    struct qs_str value = QS_STR_INIT;
    if (!c->tensor)
        return;
    qs_str_addf(out, "<rect x=\"%zu\" y=\"%zu\" width=\"%zu\" height=\"%d\" fill=\"", x, y, w - 1, CELL_H - 1);
    if (isnan(c->value))
        qs_str_add(out, "url(#unknown)");
    else
        add_color(out, qs_heat_position(h, c->value));
    qs_str_add(out, "\"><title>");
    add_text(out, c->tensor->name);
    qs_fmt_num(&value, c->value, h->unit, 0);
    qs_str_addf(out, ": %s%s", isnan(c->value) ? "unknown" : value.data,
                h->unit == QS_UNIT_BPW ? " bpw" : h->unit == QS_UNIT_SIGMA ? " sd" : "");
    if (c->how == QS_HOW_SAMPLED && !isnan(c->value)) {
        qs_str_clear(&value);
        qs_fmt_num(&value, c->std_error, h->unit, 2);
        qs_str_addf(out, ", sampled, standard error %s", value.data);
    }
    char note[64];
    if (*qs_heat_cell_note(c, note, sizeof note))
        qs_str_addf(out, ", %s", note);
    qs_str_addf(out, ", %s</title></rect>\n", f ? f->name : "?");
    out->failed |= value.failed;
    qs_str_free(&value);
}

static void add_legend(struct qs_str *out, const struct qs_heat *h, size_t y)
{
    struct qs_str value = QS_STR_INIT;
    if (qs_heat_no_range(h)) {
        add_label(out, LEFT, y + 11, "", qs_heat_no_range(h));
        return;
    }
    for (int i = 0; i < BAR_STEPS; i++) {
        qs_str_addf(out, "<rect x=\"%d\" y=\"%zu\" width=\"%d\" height=\"14\" fill=\"", LEFT + i * (BAR_W / BAR_STEPS), y,
                    BAR_W / BAR_STEPS);
        add_color(out, (i + 0.5) / (double)BAR_STEPS);
        qs_str_add(out, "\"/>\n");
    }
    for (unsigned i = 0; i <= QS_RAMP_LEVELS; i += 2) {
        qs_str_clear(&value);
        qs_fmt_num(&value, qs_heat_level_from(h, i), h->unit, 3);
        add_label(out, LEFT + i * (size_t)(BAR_W / QS_RAMP_LEVELS), y + 28, " text-anchor=\"middle\"", value.data);
    }
    add_label(out, LEFT - 8, y + 11, " text-anchor=\"end\"", h->log ? "log scale" : "linear scale");
    qs_str_free(&value);
}

static void add_head(struct qs_str *out, const struct qs_heat *h, size_t width, size_t height)
{
    qs_str_addf(out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
                "width=\"%zu\" height=\"%zu\" viewBox=\"0 0 %zu %zu\" font-family=\"sans-serif\" font-size=\"12\">\n<title>",
                width, height, width, height);
    add_text(out, h->title);
    qs_str_add(out,
               "</title>\n<defs><pattern id=\"unknown\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">"
               "<rect width=\"6\" height=\"6\" fill=\"#ffffff\"/><path d=\"M0 6L6 0\" stroke=\"#888888\"/></pattern></defs>\n"
               "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    add_label(out, 16, 24, " font-size=\"16\"", h->title);
}

void qs_heat_svg(const struct qs_heat *h, struct qs_str *out)
{
    const size_t cell = h->n_layers > 64 ? 14 : h->n_layers > 24 ? 22 : 36, step = cell < 20 ? 5 : 1;
    const size_t grid = h->n_layers * cell, least = BAR_W + 40;
    const size_t width = LEFT + (grid > least ? grid : least) + RIGHT;
    const size_t rows_h = h->n_rows * CELL_H, singles_h = h->n_singles ? h->n_singles * CELL_H + 12 : 0;
    const size_t height = TOP + rows_h + singles_h + LEGEND_H;
    char text[24];
    add_head(out, h, width, height);
    if (h->n_rows)
        add_label(out, LEFT - 8, TOP - 6, " text-anchor=\"end\" font-style=\"italic\"", "layer");
    for (size_t i = 0; i < h->n_layers; i += step) {
        snprintf(text, sizeof text, "%zu", i);
        add_label(out, LEFT + i * cell + cell / 2, TOP - 6, " text-anchor=\"middle\" font-size=\"10\"", text);
    }
    for (size_t r = 0; r < h->n_rows; r++) {
        const size_t y = TOP + r * CELL_H;
        add_label(out, LEFT - 8, y + 15, " text-anchor=\"end\"", h->row[r].label);
        for (size_t i = 0; i < h->n_layers; i++)
            add_cell(out, h, &h->row[r].cell[i], LEFT + i * cell, y, cell);
    }
    for (size_t r = 0; r < h->n_singles; r++) {
        const size_t y = TOP + rows_h + 12 + r * CELL_H;
        add_label(out, LEFT - 8, y + 15, " text-anchor=\"end\"", h->single[r].label);
        add_cell(out, h, &h->single[r].cell[0], LEFT, y, 3 * cell);
    }
    if (h->without_row) {
        char note[80];
        snprintf(note, sizeof note, "%u tensors have no row: the picture is full", h->without_row);
        add_label(out, LEFT, height - 8, "", note);
    }
    add_legend(out, h, TOP + rows_h + singles_h + 20);
    qs_str_add(out, "</svg>\n");
}
