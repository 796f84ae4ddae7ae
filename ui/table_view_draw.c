/* table_view_draw.c - a table as it is seen: which columns there is room for, and the lines in view.
 *
 * Columns are measured once per section, on an even sample of the rows and on what must be widest: the longest string, the
 * extreme numbers. A number that is wider all the same widens its column when it comes into view: numbers are never cut.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/unicode.h"
#include "ui/layout.h"
#include "ui/match.h"
#include "ui/table_view.h"

#define GAP 2
#define SAMPLE 500      /* rows that are formatted to measure a column */
#define LEAST_NAME 16   /* names are not made shorter as long as columns can be left out */
#define LEAST_STRING 8
#define WIDE 24         /* from here on there is room for both signs before a line */
#define NARROW 4        /* below there is room for none */

/* ---- measuring ---- */

static void measure_cell(struct qs_table_view *v, size_t row, size_t c, struct qs_str *text)
{
    qs_str_clear(text);
    const struct qs_cell *cell = qs_section_cell(v->section, row, c);
    qs_cell_text(text, qs_section_column(v->section, c), cell, v->column[c].decimals, v->ascii);
    const size_t w = qs_utf8_width(text->data, text->len < QS_CELLS_MAX ? text->len : QS_CELLS_MAX);
    if ((int)w > v->column[c].width)
        v->column[c].width = (int)w;
}

/* Sizes that make text long: of strings their bytes, of numbers how large, how small, how near to nothing. */
enum { LONG, HIGH, LOW, NEAR, EXTREMES };
static void weigh(const struct qs_cell *cell, double size[EXTREMES])
{
    const double x = cell->type == QS_CELL_NUM ? cell->num : cell->type == QS_CELL_INT ? (double)cell->i : (double)NAN;
    const bool finite = isfinite(x);
    size[LONG] = cell->type == QS_CELL_STR ? (double)strlen(cell->str) : -1;
    size[HIGH] = finite ? x : (double)NAN;
    size[LOW] = finite ? -x : (double)NAN;
    size[NEAR] = finite && (x < 0 || x > 0) ? -fabs(x) : (double)NAN;
}

static void measure_column(struct qs_table_view *v, size_t c, struct qs_str *text)
{
    const struct qs_section *s = v->section;
    struct qs_table_column *col = &v->column[c];
    const size_t n = qs_section_rows(s), step = n / SAMPLE + 1;
    size_t at[EXTREMES] = { 0 };
    double most[EXTREMES] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    qs_str_clear(text);
    qs_text_clean(text, qs_section_column(s, c)->title, v->ascii);
    col->title = (int)qs_utf8_width(text->data, text->len < QS_CELLS_MAX ? text->len : QS_CELLS_MAX);
    col->width = col->title > 0 ? col->title : 1;
    col->decimals = qs_section_decimals(s, c, SAMPLE);
    col->empty = n > 0;
    for (size_t r = 0; r < n; r++) {
        const struct qs_cell *cell = qs_section_cell(s, r, c);
        double size[EXTREMES];
        weigh(cell, size);
        col->empty &= cell->type == QS_CELL_NONE || (cell->type == QS_CELL_STR && !cell->str[0]) ||
                      (cell->type == QS_CELL_NUM && isnan(cell->num));
        for (int k = 0; k < EXTREMES; k++)
            if (size[k] > most[k]) {
                most[k] = size[k];
                at[k] = r;
            }
        if (r % step == 0)
            measure_cell(v, r, c, text);
    }
    for (int k = 0; k < EXTREMES && n; k++)
        measure_cell(v, at[k], c, text);
}

static void measure(struct qs_table_view *v, bool ascii)
{
    struct qs_str text = QS_STR_INIT;
    v->ascii = ascii;
    for (size_t c = 0; c < v->n_columns; c++)
        measure_column(v, c, &text);
    v->measured = true;
    qs_str_free(&text);
}

static void widen_for_numbers(struct qs_table_view *v)
{
    struct qs_str text = QS_STR_INIT;
    for (size_t i = v->list.top; i < v->list.n && i - v->list.top < v->list.shown; i++)
        for (size_t c = 0; c < v->n_columns; c++)
            if (!qs_section_column(v->section, c)->left)
                measure_cell(v, v->order[i], c, &text);
    qs_str_free(&text);
}

/* ---- choosing columns ---- */

static bool is_name(const struct qs_table_view *v, size_t c)
{
    return qs_section_column(v->section, c)->left;
}

static int total(const struct qs_table_view *v)
{
    int sum = 0;
    for (size_t c = 0; c < v->n_columns; c++)
        sum += v->column[c].shown ? v->column[c].shown + (sum ? GAP : 0) : 0;
    return sum;
}

/* Optional columns go, empty ones first, then from the last one on; what fits after all comes back. */
static void drop_optional(struct qs_table_view *v, int room)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t c = v->n_columns; c-- > 1 && total(v) > room;)
            if (qs_section_column(v->section, c)->optional && (pass || v->column[c].empty))
                v->column[c].shown = 0;
    for (size_t c = 1; c < v->n_columns; c++)
        if (!v->column[c].shown && !v->column[c].empty && total(v) + GAP + v->column[c].width <= room)
            v->column[c].shown = v->column[c].width;
}

/* The widest of the names gives way, cell by cell. */
static void narrow(struct qs_table_view *v, int room)
{
    for (int over = total(v) - room; over > 0; over--) {
        size_t widest = v->n_columns;
        for (size_t c = 0; c < v->n_columns; c++) {
            const struct qs_table_column *col = &v->column[c];
            const int least = col->title > LEAST_NAME ? col->title : LEAST_NAME;
            if (col->shown > least && is_name(v, c) && (widest == v->n_columns || col->shown > v->column[widest].shown))
                widest = c;
        }
        if (widest == v->n_columns)
            return;
        v->column[widest].shown--;
    }
}

/* Whether any of the columns that were not left out by choice is wanted: an empty column of text has a title over nothing. */
static bool is_wanted(const struct qs_table_view *v, size_t c)
{
    return !(v->column[c].empty && is_name(v, c)) || c == 0;
}

/* Columns from left to right while there is room; names take what is left. */
static void place(struct qs_table_view *v, int x, int room)
{
    bool full = false;
    int used = 0;
    for (size_t c = 0; c < v->n_columns; c++) {
        struct qs_table_column *col = &v->column[c];
        const int gap = used ? GAP : 0, left = room - used - gap;
        if (col->shown > left || (full && col->shown)) {
            const bool cut = !full && left > 0 && (used == 0 || (is_name(v, c) && left >= LEAST_STRING));
            full = true;
            col->shown = cut ? left : 0;
        }
        if (!col->shown) {
            if (c > v->left || !v->left)
                v->more_right |= is_wanted(v, c) && !col->empty;
            continue;
        }
        col->x = x + used + gap;
        used += gap + col->shown;
    }
}

static void choose(struct qs_table_view *v, int x, int room)
{
    v->more_left = v->left > 0;
    v->more_right = false;
    for (size_t c = 0; c < v->n_columns; c++) {
        const bool gone = c > 0 && c <= v->left;
        v->column[c].shown = gone || !is_wanted(v, c) ? 0 : v->column[c].width;
    }
    if (!v->left) {
        drop_optional(v, room);
        narrow(v, room);
    }
    /* One column at least beside the first, whose names are shortened for it. */
    struct qs_table_column *first = &v->column[0];
    size_t next = 1;
    while (next < v->n_columns && !v->column[next].shown)
        next++;
    const int rest = next < v->n_columns ? room - GAP - v->column[next].shown : room;
    if (is_name(v, 0) && first->shown > rest && rest >= LEAST_STRING)
        first->shown = rest;
    place(v, x, room);
}

/* ---- lines ---- */

struct frame { const struct qs_canvas *c; const struct qs_theme *t; int signs; struct qs_str *text, *brief; };

static void draw_head(const struct qs_table_view *v, const struct frame *f)
{
    const int cols = qs_canvas_cols(f->c);
    struct qs_style style = qs_look(f->t, QS_LOOK_TITLE);
    qs_draw_fill(f->c, (struct qs_rect){ 0, 0, 1, cols }, style);
    for (size_t c = 0; c < v->n_columns; c++) {
        const struct qs_table_column *col = &v->column[c];
        const bool sorted = c == v->sort_column, left = is_name(v, c);
        if (!col->shown)
            continue;
        style.attr = qs_look(f->t, QS_LOOK_TITLE).attr | (sorted ? QS_UNDERLINE : 0);
        qs_str_clear(f->text);
        qs_text_clean(f->text, qs_section_column(v->section, c)->title, f->c->ascii);
        const int width = col->title < col->shown ? col->title : col->shown;
        const int x = left ? col->x : col->x + col->shown - width;
        qs_draw_fit(f->c, 0, x, style, f->text->data, width, QS_FIT_LEFT);
        if (sorted)
            qs_draw_glyph(f->c, 0, x + width, qs_look(f->t, QS_LOOK_TITLE), v->sort_down ? "\u25BC" : "\u25B2");
    }
    if (v->more_left && f->signs)
        qs_draw_glyph(f->c, 0, 0, qs_look(f->t, QS_LOOK_TITLE), "<");
    if (v->more_right)
        qs_draw_glyph(f->c, 0, cols - 1, qs_look(f->t, QS_LOOK_TITLE), ">");
}

/* A string, shortened, its matches shown; where the match lies in what was left out, all of it. */
static void draw_name(const struct qs_table_view *v, const struct frame *f, int y, const struct qs_table_column *col,
                      struct qs_style style)
{
    qs_str_clear(f->brief);
    qs_text_shorten(f->brief, f->text->data, (size_t)col->shown, f->c->ascii);
    qs_draw_text(f->c, y, col->x, style, f->brief->data, col->shown);
    const struct qs_style match = qs_look(f->t, QS_LOOK_MATCH);
    if (v->search && !qs_draw_matches(f->c, y, col->x, f->brief->data, col->shown, v->search, match) &&
        qs_regex_find(v->search, f->text->data, f->text->len, 0, NULL, NULL) == 1)
        qs_draw_style(f->c, (struct qs_rect){ y, col->x, 1, col->shown }, match);
}

static void draw_line(const struct qs_table_view *v, const struct frame *f, int y, size_t line)
{
    const size_t row = v->order[line];
    const bool here = line == v->list.cursor, marked = v->marks && (v->marks[row / 8] >> row % 8 & 1);
    const enum qs_look look = here ? (v->focus ? QS_LOOK_CURSOR : QS_LOOK_CURSOR_AWAY)
                            : marked ? QS_LOOK_MARK : v->look ? v->look(v->look_ctx, row) : QS_LOOK_TEXT;
    const struct qs_style style = qs_look(f->t, look < QS_LOOKS ? look : QS_LOOK_TEXT);
    qs_draw_fill(f->c, (struct qs_rect){ y, 0, 1, qs_canvas_cols(f->c) }, style);
    if (here && f->signs)
        qs_draw_glyph(f->c, y, 0, style, ">");
    if (marked && f->signs)
        qs_draw_glyph(f->c, y, f->signs > 2 ? 1 : 0, style, "*");
    for (size_t c = 0; c < v->n_columns; c++) {
        const struct qs_table_column *col = &v->column[c];
        const struct qs_cell *cell = qs_section_cell(v->section, row, c);
        if (!col->shown)
            continue;
        qs_str_clear(f->text);
        qs_cell_text(f->text, qs_section_column(v->section, c), cell, col->decimals, f->c->ascii);
        if (is_name(v, c))
            draw_name(v, f, y, col, style);
        else
            qs_draw_fit(f->c, y, col->x, look == QS_LOOK_TEXT ? qs_look(f->t, QS_LOOK_NUMBER) : style, f->text->data,
                        col->shown, QS_FIT_RIGHT);
    }
}

static void draw_lines(const struct qs_table_view *v, const struct frame *f, int head)
{
    const int rows = qs_canvas_rows(f->c) - head;
    if (!v->list.n)
        qs_draw_text(f->c, rows > 0 ? head : 0, f->signs, qs_look(f->t, QS_LOOK_MUTED),
                     v->filtered ? "no row matches" : "no rows", -1);
    for (int y = 0; y < rows && v->list.top + (size_t)y < v->list.n; y++)
        draw_line(v, f, head + y, v->list.top + (size_t)y);
}

void qs_table_view_draw(struct qs_table_view *v, const struct qs_canvas *c, const struct qs_theme *t)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), head = rows > 1 ? 1 : 0;
    v->list.at = v->head = (struct qs_rect){ 0 };
    if (rows < 1 || cols < 1)
        return;
    qs_draw_fill(c, (struct qs_rect){ 0, 0, rows, cols }, qs_look(t, QS_LOOK_TEXT));
    if (!v->section)
        return;
    if (!v->measured || v->ascii != c->ascii)
        measure(v, c->ascii);
    qs_list_set(&v->list, v->list.n, (size_t)(rows - head));
    widen_for_numbers(v);
    const bool bar = v->list.n > v->list.shown && cols > NARROW;
    const int signs = cols >= WIDE ? 3 : cols >= NARROW ? 1 : 0;
    /* The cell behind the last column belongs to the sign of its sorting. */
    const int room = cols - signs - (cols > NARROW ? 1 + bar : 0);
    choose(v, signs, room);
    struct qs_str text = QS_STR_INIT, brief = QS_STR_INIT;
    const struct qs_canvas lines = qs_canvas_part(c, (struct qs_rect){ 0, 0, rows, cols - bar });
    const struct frame f = { &lines, t, signs, &text, &brief };
    if (head)
        draw_head(v, &f);
    draw_lines(v, &f, head);
    if (bar) {
        const struct qs_canvas edge = qs_canvas_part(c, (struct qs_rect){ head, cols - 1, rows - head, 1 });
        qs_list_draw_bar(&v->list, &edge, t);
    }
    v->head = (struct qs_rect){ c->at.y, c->at.x, head, lines.at.cols };
    v->list.at = (struct qs_rect){ c->at.y + head, c->at.x, rows - head, lines.at.cols };
    qs_str_free(&text);
    qs_str_free(&brief);
}
