/* map_draw.c - draws the map: title, legend, layer numbers, grid, and what is said about the tensor under the cursor.
 *
 * Every cell carries a level digit, a value or a type besides its colour; where two rows share a line of half blocks, colour
 * and the read-out tell, and terminals without enough colours never get them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/workbench_eval.h"
#include "kernels/format.h"
#include "ui/chart.h"
#include "ui/config.h"
#include "ui/layout.h"
#include "ui/map_internal.h"
#include "ui/recipe_fit.h"

enum { LABEL_MAX = 16, CELL_MAX = 8, SIDE = 46, BOTTOM = 9, BOTTOM_LEAST = 3 };

/* ---- one cell ---- */

static double shown_value(const struct qs_heat *h, double v)
{
    return h->unit == QS_UNIT_PERCENT ? 100 * v : v;
}

/* As many decimals as fit, at most two; "~" before what was sampled where there is room. */
static void value_text(const struct qs_heat *h, const struct qs_heat_cell *c, int width, char *buf, size_t n)
{
    for (int decimals = 2; decimals >= 0; decimals--)
        if (snprintf(buf, n, "%.*f", decimals, shown_value(h, c->value)) <= width) {
            char text[32];
            if (c->how == QS_HOW_SAMPLED && (int)strlen(buf) < width) {
                snprintf(text, sizeof text, "~%s", buf);
                snprintf(buf, n, "%s", text);
            }
            return;
        }
    snprintf(buf, n, "%u", qs_heat_level(h, c->value));
}

/* "Q4_K" where it fits, else "4K". */
static void type_text(int type, int width, char *buf, size_t n)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (!f || (int)strlen(f->name) <= width) {
        snprintf(buf, n, "%s", f ? f->name : "?");
        return;
    }
    size_t k = 0;
    for (const char *p = f->name; *p && k + 1 < n && k < (size_t)width; p++)
        if (*p != '_' && !(*p == 'Q' && k == 0))
            buf[k++] = *p;
    buf[k] = 0;
}

static void cell_text(const struct qs_map *m, const struct qs_heat_cell *c, int width, char *buf, size_t n)
{
    const struct qs_heat *h = m->heat;
    if (m->show == QS_SHOW_TYPES)
        type_text(c->type, width, buf, n);
    else if (isnan(c->value))
        snprintf(buf, n, "%s", c->gap == QS_GAP_OVERFLOW ? "!" : "?");
    else if (h->measure == QS_MAP_ERROR && c->value == 0) /* kept as it is */
        snprintf(buf, n, "=");
    else if (m->show == QS_SHOW_VALUES || (m->show == QS_SHOW_AUTO && width >= 4))
        value_text(h, c, width, buf, n);
    else
        snprintf(buf, n, "%u", qs_heat_level(h, c->value));
}

static struct qs_style cell_style(struct qs_app *a, const struct qs_map *m, const struct qs_heat_cell *c)
{
    const struct qs_heat *h = m->heat;
    if (isnan(c->value))
        return qs_app_look(a, QS_LOOK_UNKNOWN);
    if (h->measure == QS_MAP_ERROR && c->value == 0)
        return qs_app_look(a, QS_LOOK_KEPT);
    return qs_theme_heat(qs_app_theme(a), qs_heat_position(h, c->value));
}

static bool changed(struct qs_app *a, const struct qs_heat_cell *c)
{
    const struct qs_doc *d = qs_app_doc(a);
    const size_t i = qs_model_index(d->model, c->tensor);
    return d->baseline && d->baseline->enc[i].type != d->plan->enc[i].type;
}

static bool cursor_on(const struct qs_map *m, size_t line, size_t layer)
{
    return line == m->line && (qs_map_single(m, line) || layer == m->layer);
}

/* The cursor stands out from every colour of the ramp. */
static struct qs_style cursor_style(struct qs_app *a)
{
    struct qs_style style = qs_app_look(a, QS_LOOK_TEXT);
    style.attr = QS_BOLD | QS_REVERSE;
    return style;
}

/* Marked cells have a '*', those of the range a '+' right before their text; cells one wide have it in its place. */
static void draw_cell(struct qs_app *a, const struct qs_canvas *c, int y, int x, int w, size_t line, size_t layer)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *cell = qs_map_cell(m, line, layer);
    const bool cursor = cursor_on(m, line, layer);
    const char *sign = qs_map_selected(m, line, layer) ? "+"
                       : cell && qs_marked(a, qs_model_index(qs_app_doc(a)->model, cell->tensor)) ? "*" : "";
    char text[32] = "", signed_text[40];
    struct qs_style style = cell ? cell_style(a, m, cell) : qs_app_look(a, QS_LOOK_TEXT);
    const int room = w - (int)strlen(sign) - (w > 2 ? 1 : 0); /* a blank parts wide cells; the cursor's bracket takes it */
    if (cell && room > 0)
        cell_text(m, cell, room, text, sizeof text);
    snprintf(signed_text, sizeof signed_text, "%s%s", sign, text);
    if (cell && changed(a, cell))
        style.attr |= QS_UNDERLINE | QS_BOLD;
    if (*sign)
        style.attr |= QS_BOLD;
    if (cursor)
        style = cursor_style(a);
    qs_draw_fit(c, y, x, style, signed_text, w - (w > 2 && cursor ? 1 : 0), QS_FIT_RIGHT);
    if (cursor && w > 2) {
        qs_draw_text(c, y, x, style, "[", 1);
        qs_draw_text(c, y, x + w - 1, style, "]", 1);
    } else if (cursor && w == 2 && !*sign) {
        qs_draw_text(c, y, x, style, ">", 1);
    }
}

/* Two rows in one line of the screen: colours above and below. */
static void draw_half(struct qs_app *a, const struct qs_canvas *c, int y, int x, int w, size_t line, size_t layer)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *pair[2] = { qs_map_cell(m, line, layer), NULL };
    const bool two = line + 1 < qs_map_lines(m) && qs_map_single(m, line) == qs_map_single(m, line + 1);
    pair[1] = two ? qs_map_cell(m, line + 1, layer) : NULL;
    struct qs_style style = qs_app_look(a, QS_LOOK_TEXT);
    const char *glyph = "▀";
    for (int i = 0; i < 2; i++) {
        const qs_color color = pair[i] ? cell_style(a, m, pair[i]).bg : QS_COLOR_DEFAULT;
        *(i ? &style.bg : &style.fg) = color;
    }
    style.attr = 0;
    if (!pair[0]) {
        glyph = pair[1] ? "▄" : " ";
        style.fg = style.bg;
        style.bg = qs_app_look(a, QS_LOOK_TEXT).bg;
    }
    if (cursor_on(m, line, layer) || (two && cursor_on(m, line + 1, layer))) {
        style = cursor_style(a);
        glyph = cursor_on(m, line, layer) ? "▲" : "▼";
    } else if (qs_map_selected(m, line, layer) || (two && qs_map_selected(m, line + 1, layer))) {
        style = qs_app_look(a, QS_LOOK_MARK);
        glyph = "*";
    }
    for (int i = 0; i < w; i++)
        qs_draw_glyph(c, y, x + i, style, glyph);
}

/* ---- the grid ---- */

static int label_width(const struct qs_map *m)
{
    int n = 6;
    for (size_t i = 0; i < qs_map_lines(m); i++) {
        const int w = (int)strlen(qs_map_row(m, i)->label) + 1;
        n = w > n ? w : n;
    }
    return n < LABEL_MAX ? n : LABEL_MAX;
}

static size_t block_places(const struct qs_map *m)
{
    return m->half ? (m->heat->n_rows + 1) / 2 : m->heat->n_rows;
}

size_t qs_map_places(const struct qs_map *m)
{
    const size_t singles = m->half ? (m->heat->n_singles + 1) / 2 : m->heat->n_singles;
    return block_places(m) + m->gap + singles;
}

size_t qs_map_place(const struct qs_map *m, size_t line)
{
    if (!qs_map_single(m, line))
        return m->half ? line / 2 : line;
    const size_t i = line - m->heat->n_rows;
    return block_places(m) + m->gap + (m->half ? i / 2 : i);
}

bool qs_map_line_at(const struct qs_map *m, size_t place, size_t *line)
{
    const size_t blocks = block_places(m);
    if (place < blocks)
        *line = m->half ? 2 * place : place;
    else if (place < blocks + m->gap || place >= qs_map_places(m))
        return false;
    else
        *line = m->heat->n_rows + (m->half ? 2 : 1) * (place - blocks - m->gap);
    return true;
}

/* How large cells are and which are in view. */
static void fit(struct qs_app *a, struct qs_map *m, int rows, int cols)
{
    const unsigned setting = qs_settings_choice(qs_app_config(a), QS_CONF_CELLS);
    const enum qs_tier tier = qs_app_theme(a)->tier;
    const size_t layers = m->heat->n_layers ? m->heat->n_layers : 1, lines = qs_map_lines(m);
    m->label = label_width(m) < cols / 2 ? label_width(m) : cols / 2;
    const int room = cols - m->label;
    const int w = (int)((size_t)(room > 0 ? room : 1) / layers);
    m->cell = w < 1 ? 1 : w > CELL_MAX ? CELL_MAX : w;
    m->shown_layers = room / m->cell > 0 ? room / m->cell : 1;
    const bool can_half = !qs_app_ascii(a) && tier >= QS_TIER_256;
    m->half = can_half && (setting == QS_CONF_CELLS_HALF || (setting == QS_CONF_CELLS_AUTO && lines > (size_t)rows));
    m->gap = !m->half && m->heat->n_singles && m->heat->n_rows && lines < (size_t)rows;
    m->shown_lines = m->half ? rows * 2 : rows;
    const size_t shown = (size_t)(rows > 0 ? rows : 1), places = qs_map_places(m),
                 at = lines ? qs_map_place(m, m->line) : 0;
    if (at < m->top)
        m->top = at;
    if (at >= m->top + shown)
        m->top = at - shown + 1;
    if (m->top + shown > places)
        m->top = places > shown ? places - shown : 0;
    if (m->layer < m->left)
        m->left = m->layer;
    if (m->layer >= m->left + (size_t)m->shown_layers)
        m->left = m->layer - (size_t)m->shown_layers + 1;
    if (m->left + (size_t)m->shown_layers > layers)
        m->left = layers > (size_t)m->shown_layers ? layers - (size_t)m->shown_layers : 0;
}

/* Layer numbers, as many as fit; a mark above the cursor's column. */
static void draw_axis(struct qs_app *a, const struct qs_canvas *c, int y)
{
    const struct qs_map *m = qs_map_of(a);
    char text[16];
    int free_from = m->label, own = -1, own_end = -1;
    qs_draw_fit(c, y, 0, qs_app_look(a, QS_LOOK_MUTED), "layer", m->label - 1, QS_FIT_LEFT);
    if (!qs_map_single(m, m->line)) { /* the cursor's own layer always stands there, others make room */
        const int w = snprintf(text, sizeof text, "%zu", m->layer), x = m->label + (int)(m->layer - m->left) * m->cell;
        own = x + (m->cell > w ? m->cell - w : 0);
        own = own + w > qs_canvas_cols(c) ? qs_canvas_cols(c) - w : own;
        own_end = own + w;
        qs_draw_text(c, y, own, qs_app_look(a, QS_LOOK_TITLE), text, w);
    }
    for (size_t i = m->left; i < m->heat->n_layers && i < m->left + (size_t)m->shown_layers; i++) {
        const int w = snprintf(text, sizeof text, "%zu", i), x = m->label + (int)(i - m->left) * m->cell;
        const int at = x + (m->cell > w ? m->cell - w : 0);
        if (at >= free_from && at + w <= qs_canvas_cols(c) && (at > own_end || at + w < own)) {
            qs_draw_text(c, y, at, qs_app_look(a, QS_LOOK_MUTED), text, w);
            free_from = at + w + 1;
        }
    }
}

static void draw_line(struct qs_app *a, const struct qs_canvas *c, int y, size_t line)
{
    const struct qs_map *m = qs_map_of(a);
    const bool single = qs_map_single(m, line);
    const bool here = line == m->line || (m->half && line + 1 == m->line && single == qs_map_single(m, m->line));
    char label[96];
    if (m->half && line + 1 < qs_map_lines(m) && single == qs_map_single(m, line + 1))
        snprintf(label, sizeof label, "%s", qs_map_row(m, here ? m->line : line)->label);
    else
        snprintf(label, sizeof label, "%s", qs_map_row(m, line)->label);
    qs_draw_fit(c, y, 0, qs_app_look(a, here ? QS_LOOK_TITLE : QS_LOOK_TEXT), label, m->label - 1, QS_FIT_MIDDLE);
    if (here)
        qs_draw_text(c, y, m->label - 1, qs_app_look(a, QS_LOOK_TITLE), ">", 1);
    const size_t first = single ? 0 : m->left, n = single ? 1 : m->heat->n_layers;
    for (size_t i = first; i < n && i < first + (size_t)m->shown_layers; i++) {
        const int x = m->label + (int)(i - first) * m->cell, w = m->cell;
        if (m->half)
            draw_half(a, c, y, x, w, line, i);
        else
            draw_cell(a, c, y, x, w, line, i);
    }
}

/* Returns the rows taken. */
static int draw_grid(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_map *m = qs_map_of(a);
    const size_t places = qs_map_places(m);
    int y = 0;
    for (; y < qs_canvas_rows(c) && m->top + (size_t)y < places; y++) {
        size_t line;
        if (qs_map_line_at(m, m->top + (size_t)y, &line))
            draw_line(a, c, y, line);
    }
    return y;
}

/* ---- around it ---- */

/* Of which evaluation; that it is of another recipe is told, not only coloured. */
static void divergence_title(struct qs_app *a, struct qs_str *out)
{
    struct qs_eval_state s;
    qs_workbench_eval(qs_app_bench(a), &s);
    qs_str_addf(out, "%sHidden state after each block, relative error in %%, measured: ",
                s.stale ? "STALE, the recipe was changed since. " : "");
    qs_text_clean(out, s.result && s.of_document ? s.result_title : "no evaluation", qs_app_ascii(a));
}

static void draw_title(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat *h = m->heat;
    char view[96] = "";
    struct qs_str title = QS_STR_INIT;
    if (h->measure == QS_MAP_BITS)
        qs_str_addf(&title, "Bits per weight under %s%s", h->what[0] ? h->what : "the file",
                    qs_model_is_quantized(qs_app_doc(a)->model)
                        ? " (quantized already: m measures errors against the file)"
                        : "");
    else if (h->measure == QS_MAP_DIVERGENCE)
        divergence_title(a, &title);
    else if (h->measure == QS_MAP_ERROR)
        qs_str_addf(&title, "Relative RMS error under %s, in %%", h->what);
    else if (qs_map_of_calibration(h->measure))
        qs_map_given_title(a, h->measure, &title);
    else
        qs_str_add(&title, h->measure == QS_MAP_OUTLIERS ? "Outliers: largest weight, in standard deviations"
                                                         : "Kurtosis of the weights (3: Gaussian)");
    if (h->unknown && h->measure != QS_MAP_DIVERGENCE)
        qs_str_addf(&title, ", %u of %zu not known yet", h->unknown, h->n_items);
    if ((size_t)m->shown_layers < h->n_layers)
        snprintf(view, sizeof view, "layers %zu-%zu of %zu", m->left, m->left + (size_t)m->shown_layers - 1,
                 h->n_layers);
    const size_t rows = (size_t)(m->grid.rows > 0 ? m->grid.rows : 1), places = qs_map_places(m);
    if (places > rows)
        snprintf(view + strlen(view), sizeof view - strlen(view), "%srows to %.0f%%", *view ? ", " : "",
                 100.0 * (double)(m->top + rows < places ? m->top + rows : places) / (double)places);
    if (m->half)
        snprintf(view + strlen(view), sizeof view - strlen(view), "%stwo rows a line", *view ? ", " : "");
    if (m->selecting || qs_marks(a)->n)
        snprintf(view + strlen(view), sizeof view - strlen(view), "%s%s", *view ? ", " : "",
                 m->selecting ? "range" : "");
    if (qs_marks(a)->n && !m->selecting)
        snprintf(view + strlen(view), sizeof view - strlen(view), "%zu marked", qs_marks(a)->n);
    const int n = (int)strlen(view), cols = qs_canvas_cols(c);
    qs_draw_fit(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), title.data, cols - (n ? n + 1 : 0), QS_FIT_LEFT);
    if (n)
        qs_draw_text(c, 0, cols - n, qs_app_look(a, QS_LOOK_MUTED), view, n);
    qs_str_free(&title);
}

/* So many digits that neighbours on the scale differ. */
static int legend_digits(const struct qs_heat *h)
{
    const double ratio = h->low > 0 ? h->high / h->low : 2;
    return ratio < 1.15 ? 4 : ratio < 1.6 ? 3 : 2;
}

/* named: there is no title that says what is shown. */
static void draw_legend(struct qs_app *a, const struct qs_canvas *c, int y, bool named)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat *h = m->heat;
    const struct qs_scale scale = { h->low, h->high, h->log };
    const char *none = qs_heat_no_range(h);
    const char *name = m->type != QS_TYPE_NONE ? qs_format_by_id(m->type)->name : qs_map_measure_name(h->measure);
    if (none)
        qs_draw_text(c, y, 0, qs_app_look(a, QS_LOOK_MUTED), none, -1);
    else
        qs_legend_draw(c, y, 0, qs_canvas_cols(c), qs_app_theme(a), named ? name : "", &scale, h->unit, legend_digits(h),
                       QS_GRID_DIGITS);
}

/* What the file will be made of, where there is room below the grid. */
static void draw_types(struct qs_app *a, const struct qs_canvas *c, int y)
{
    const struct qs_plan *p = qs_app_doc(a)->plan;
    struct { int type; size_t n; uint64_t bytes; } by[64];
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const int type = p->enc[i].copy ? p->enc[i].tensor->type : p->enc[i].type;
        size_t k = 0;
        while (k < n && by[k].type != type)
            k++;
        if (k == 64)
            continue;
        if (k == n) {
            by[n].type = type;
            by[n].n = 0;
            by[n++].bytes = 0;
        }
        by[k].n++;
        by[k].bytes += p->enc[i].bytes;
    }
    if (y + 2 > qs_canvas_rows(c))
        return;
    qs_draw_text(c, y++, 0, qs_app_look(a, QS_LOOK_TITLE), "The file by type", -1);
    while (n && y < qs_canvas_rows(c)) { /* the largest first */
        size_t k = 0;
        for (size_t i = 1; i < n; i++)
            k = by[i].bytes > by[k].bytes ? i : k;
        const struct qs_format *f = qs_format_by_id(by[k].type);
        const double share = (double)by[k].bytes / (double)(p->bytes ? p->bytes : 1);
        char size[24];
        qs_draw_fit(c, y, 0, qs_app_look(a, QS_LOOK_TEXT), f ? f->name : "unknown", 10, QS_FIT_LEFT);
        qs_draw_textf(c, y, 10, qs_app_look(a, QS_LOOK_TEXT), "%6zu tensors", by[k].n);
        qs_draw_fit(c, y, 25, qs_app_look(a, QS_LOOK_TEXT), qs_fmt_bytes(size, sizeof size, by[k].bytes), 11,
                    QS_FIT_RIGHT);
        qs_draw_textf(c, y, 37, qs_app_look(a, QS_LOOK_TEXT), "%3.0f%%", 100 * share);
        const int room = qs_canvas_cols(c) - 44;
        if (room > 8)
            qs_draw_gauge(c, y, 43, room < 40 ? room : 40, share, qs_app_look(a, QS_LOOK_GAUGE),
                          qs_app_look(a, QS_LOOK_GAUGE_REST));
        by[k] = by[--n];
        y++;
    }
}

/* What a step up would come to for all that a folded cell stands for. */
static void draw_fold(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_heat_cell *cell)
{
    const struct qs_doc *d = qs_app_doc(a);
    uint64_t more = 0;
    char size[24], note[64];
    for (unsigned i = 0; i < cell->tensors; i++) {
        const struct qs_encoding *enc = &d->plan->enc[qs_model_index(d->model, cell->member[i])];
        const int next = enc->copy ? QS_TYPE_NONE : qs_workbench_next_type(qs_app_bench(a), enc->tensor, enc->type, 1);
        if (next != QS_TYPE_NONE)
            more +=
                qs_format_row_bytes(qs_format_by_id(next), (size_t)enc->tensor->ne[0]) * enc->tensor->rows - enc->bytes;
    }
    qs_heat_cell_note(cell, note, sizeof note);
    qs_draw_textf(c, y, 0, qs_app_look(a, QS_LOOK_TITLE), "%s: a step up for all is +%s (E opens the experts)", note,
                  qs_fmt_bytes(size, sizeof size, more));
}

/* The measure is of whole blocks: what is read off it. Returns the rows taken. */
static int draw_divergence(struct qs_app *a, const struct qs_canvas *c, const struct qs_heat_cell *cell)
{
    const struct qs_layer_stat *after, *embedding;
    const size_t n = qs_workbench_eval_layers(qs_app_bench(a), &after, &embedding);
    const int layer = cell->tensor->layer;
    char error[QS_FMT_MAX], worst[QS_FMT_MAX], where[32] = "the embedding";
    const struct qs_layer_stat *s = layer < 0 ? embedding : (size_t)layer < n ? &after[layer] : NULL;
    if (isnan(cell->value) || !s)
        return 0;
    if (layer >= 0)
        snprintf(where, sizeof where, "block %d", layer);
    qs_fmt_percent(error, sizeof error, s->error, 2);
    qs_fmt_percent(worst, sizeof worst, s->error_worst, 1);
    return qs_draw_textf(c, 0, 0, qs_app_look(a, s->error >= QS_LAYER_WARN ? QS_LOOK_WARNING : QS_LOOK_TITLE),
                         "after %s: %s off%s, worst %s", where, error, s->error >= QS_LAYER_WARN ? " (above 10%)" : "", worst) > 0;
}

/* "blk.3.attn_v Q5_K 3.69%": where there is room for a line alone. */
static void draw_line_readout(struct qs_app *a, const struct qs_canvas *c, const struct qs_heat_cell *cell)
{
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_encoding *enc = &d->plan->enc[qs_model_index(d->model, cell->tensor)];
    const struct qs_format *f = enc->copy ? cell->tensor->format : qs_format_by_id(enc->type);
    struct qs_survey_cell x;
    char error[64] = "", text[128];
    if (!enc->copy)
        qs_choose_error(&x, qs_survey_cell(d->survey, cell->tensor, enc->type, &x), false, qs_app_ascii(a), error,
                        sizeof error);
    snprintf(text, sizeof text, " %s %s", f ? f->name : "?", error);
    const int n = (int)strlen(text), cols = qs_canvas_cols(c);
    qs_draw_fit(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), cell->tensor->name, cols > n ? cols - n : 0, QS_FIT_MIDDLE);
    qs_draw_text(c, 0, cols > n ? cols - n : 0, qs_app_look(a, QS_LOOK_TEXT), text, -1);
}

/* Why a fitted budget gave the tensor its type, and what the next step would come to. Returns the rows taken. */
static int draw_why(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_heat_cell *cell)
{
    struct qs_str text = QS_STR_INIT;
    int used = 0;
    qs_str_add(&text, "fit: ");
    if (qs_canvas_rows(c) > y && qs_recipe_fit_why(a, qs_model_index(qs_app_doc(a)->model, cell->tensor), &text)) {
        const struct qs_canvas rest = qs_canvas_part(c, (struct qs_rect){ y, 0, qs_canvas_rows(c) - y, qs_canvas_cols(c) });
        used = qs_draw_wrapped(&rest, 0, 0, 2, qs_app_look(a, QS_LOOK_MUTED), text.data);
    }
    qs_str_free(&text);
    return used;
}

static void draw_readout(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *cell = qs_map_cell(m, m->line, m->layer);
    if (!cell) {
        qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "no tensor here", -1);
        return;
    }
    if (qs_canvas_rows(c) < 3) {
        draw_line_readout(a, c, cell);
        return;
    }
    const int head = m->heat->measure == QS_MAP_DIVERGENCE ? draw_divergence(a, c, cell) : qs_map_given_draw(a, c, cell);
    const struct qs_canvas below = qs_canvas_part(c, (struct qs_rect){ head, 0, qs_canvas_rows(c) - head, qs_canvas_cols(c) });
    int rows = head + qs_choose_draw(a, &below, cell->tensor);
    if (cell->tensors > 1)
        draw_fold(a, c, rows++, cell);
    rows += draw_why(a, c, rows, cell);
    if (qs_canvas_rows(c) - rows > 6)
        qs_choose_draw_types(a,
                             &(struct qs_canvas) { c->cells,
                                                   { c->at.y + rows + 1, c->at.x, c->at.rows - rows - 1, c->at.cols },
                                                   c->ascii },
                             cell->tensor);
}

void qs_map_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct qs_map *m = qs_map_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    if (!m->heat) {
        qs_draw_wrapped(c, 1, 0, 0, qs_app_look(a, QS_LOOK_ERROR), m->err.code ? m->err.msg : "nothing to show");
        return;
    }
    const struct qs_rect all = { 0, 0, rows, cols };
    struct qs_split s = qs_layout_right(all, SIDE, 0, 60, SIDE - 6, true);
    const bool side = s.both;
    if (!side)
        s = qs_layout_bottom(all, rows >= 18 ? BOTTOM : rows >= 14 ? BOTTOM_LEAST + 1 : 1, 4, 1, rows >= 10);
    const struct qs_canvas main = qs_canvas_part(c, s.main), rest = qs_canvas_part(c, s.side);
    const int head = qs_canvas_rows(&main) >= 8 ? 3 : qs_canvas_rows(&main) >= 6 ? 2 : 1; /* title and legend; legend; numbers */
    fit(a, m, qs_canvas_rows(&main) - head, qs_canvas_cols(&main));
    m->grid = (struct qs_rect) { s.main.y + head, s.main.x + m->label, qs_canvas_rows(&main) - head,
                                 qs_canvas_cols(&main) - m->label };
    if (head == 3)
        draw_title(a, &main);
    if (head >= 2)
        draw_legend(a, &main, head - 2, head == 2);
    draw_axis(a, &main, head - 1);
    const struct qs_canvas grid =
        qs_canvas_part(&main, (struct qs_rect) { head, 0, qs_canvas_rows(&main) - head, qs_canvas_cols(&main) });
    const int used = draw_grid(a, &grid);
    if (qs_canvas_rows(&grid) - used >= 6)
        draw_types(a, &grid, used + 1);
    if (!s.both)
        return;
    if (s.rule.rows > 1)
        qs_draw_vline(c, s.rule.y, s.rule.x, s.rule.rows, qs_app_look(a, QS_LOOK_FRAME));
    else if (s.rule.cols)
        qs_draw_hline(c, s.rule.y, s.rule.x, s.rule.cols, qs_app_look(a, QS_LOOK_FRAME));
    draw_readout(a, &rest);
}
