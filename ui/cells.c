/* cells.c - the grid of cells, canvases on it, and the one place where a character gets into a cell.
 *
 * Owns the memory of the grid (base/mem.h) from qs_cells_resize to qs_cells_free. Keeps these invariants, whatever is
 * drawn in whatever order: each cell holds one harmless character of one or two cells; the cell behind a wide character
 * is its rest, in the same style; a wide character that lost a half, at an edge or under something else, is a blank.
 * One thread.
 */
#include "ui/cells.h"

#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/cells_internal.h"

static void blank(struct qs_glyph *g, struct qs_style style)
{
    *g = (struct qs_glyph){ .text = " ", .width = 1, .style = style };
}

int qs_cells_resize(struct qs_cells *c, unsigned rows, unsigned cols, struct qs_err *e)
{
    rows = rows < QS_CELLS_MAX ? rows : QS_CELLS_MAX;
    cols = cols < QS_CELLS_MAX ? cols : QS_CELLS_MAX;
    const size_t n = (size_t)rows * cols;
    struct qs_glyph *g = c->glyph;
    if (!g || n != (size_t)c->rows * c->cols) {
        g = qs_calloc(n ? n : 1, sizeof *g);
        if (!g)
            return qs_fail_mem(e, n * sizeof *g, "the screen");
        qs_free(c->glyph);
    }
    *c = (struct qs_cells){ rows, cols, g };
    for (size_t i = 0; i < n; i++)
        blank(&g[i], (struct qs_style){ 0 });
    return QS_OK;
}

void qs_cells_free(struct qs_cells *c)
{
    qs_free(c->glyph);
    *c = (struct qs_cells)QS_CELLS_INIT;
}

const struct qs_glyph *qs_cells_at(const struct qs_cells *c, unsigned row, unsigned col)
{
    return &c->glyph[(size_t)row * c->cols + col];
}

bool qs_glyph_equal(const struct qs_glyph *a, const struct qs_glyph *b)
{
    return a->width == b->width && qs_style_equal(&a->style, &b->style) && strcmp(a->text, b->text) == 0;
}

/* ---- canvases ---- */

static int most(int a, int b)
{
    return a > b ? a : b;
}

/* What both cover. Sums are made in 64 bits: a rectangle may be as large as an int allows. */
static struct qs_rect overlap(struct qs_rect a, struct qs_rect b)
{
    const int64_t ay = (int64_t)a.y + most(a.rows, 0), by = (int64_t)b.y + most(b.rows, 0),
                  ax = (int64_t)a.x + most(a.cols, 0), bx = (int64_t)b.x + most(b.cols, 0);
    const int y = most(a.y, b.y), x = most(a.x, b.x);
    const int64_t rows = (ay < by ? ay : by) - y, cols = (ax < bx ? ax : bx) - x;
    if (rows <= 0 || cols <= 0)
        return (struct qs_rect){ 0, 0, 0, 0 };
    return (struct qs_rect){ y, x, (int)rows, (int)cols };
}

struct qs_canvas qs_canvas_of(struct qs_cells *c, bool ascii)
{
    return (struct qs_canvas){ c, { 0, 0, (int)c->rows, (int)c->cols }, ascii };
}

struct qs_canvas qs_canvas_part(const struct qs_canvas *c, struct qs_rect part)
{
    const struct qs_rect all = { 0, 0, c->at.rows, c->at.cols };
    struct qs_rect r = overlap(part, all);
    r.y += c->at.y;
    r.x += c->at.x;
    return (struct qs_canvas){ c->cells, r, c->ascii };
}

/* The part of a rectangle of the canvas that lies on the canvas and on the grid, in cells of the grid. */
static struct qs_rect on_grid(const struct qs_canvas *c, struct qs_rect where)
{
    const struct qs_rect canvas = { 0, 0, c->at.rows, c->at.cols };
    const struct qs_rect grid = { 0, 0, (int)c->cells->rows, (int)c->cells->cols };
    struct qs_rect r = overlap(where, canvas);
    r.y += c->at.y;
    r.x += c->at.x;
    return overlap(r, grid);
}

/* ---- characters into cells ---- */

/* What ASCII has for the characters that screens use; anything else becomes '?'. */
static const struct { uint16_t from, to; char text[3]; } ascii_for[] = {
    { 0x00A0, 0x00A0, " " }, { 0x00B1, 0x00B1, "~" }, { 0x00B7, 0x00B7, "." }, { 0x00D7, 0x00D7, "x" },
    { 0x2010, 0x2015, "-" }, { 0x2018, 0x2019, "'" }, { 0x201C, 0x201D, "\"" }, { 0x2022, 0x2022, "*" },
    { 0x2026, 0x2026, ".." }, { 0x2190, 0x2190, "<" }, { 0x2191, 0x2191, "^" }, { 0x2192, 0x2192, ">" },
    { 0x2193, 0x2193, "v" }, { 0x2212, 0x2212, "-" }, { 0x2248, 0x2248, "~" }, { 0x2264, 0x2264, "<" },
    { 0x2265, 0x2265, ">" }, { 0x2500, 0x2501, "-" }, { 0x2502, 0x2503, "|" }, { 0x2504, 0x2505, "-" },
    { 0x2506, 0x2507, "|" }, { 0x2508, 0x2509, "-" }, { 0x250A, 0x250B, "|" }, { 0x250C, 0x254B, "+" },
    { 0x2550, 0x2550, "=" }, { 0x2551, 0x2551, "|" }, { 0x2552, 0x2570, "+" }, { 0x2574, 0x2574, "-" },
    { 0x2575, 0x2575, "|" }, { 0x2576, 0x2576, "-" }, { 0x2577, 0x2577, "|" }, { 0x2580, 0x2590, "#" },
    { 0x2591, 0x2591, "." }, { 0x2592, 0x2592, "+" }, { 0x2593, 0x2593, "%" }, { 0x2594, 0x259F, "#" },
    { 0x25B2, 0x25B2, "^" }, { 0x25B6, 0x25B8, ">" }, { 0x25BC, 0x25BC, "v" }, { 0x25C0, 0x25C2, "<" },
    { 0x25CB, 0x25CB, "o" }, { 0x25CF, 0x25CF, "*" }, { 0x2713, 0x2714, "+" }, { 0x2717, 0x2718, "x" },
};

static const char *ascii_text(uint32_t cp)
{
    for (size_t i = 0; i < sizeof ascii_for / sizeof ascii_for[0]; i++)
        if (cp >= ascii_for[i].from && cp <= ascii_for[i].to)
            return ascii_for[i].text;
    return "?";
}

/* Marks that change how many cells a terminal takes, which terminals disagree about: a joiner behind an emoji, and the
 * choice between its text and picture forms. Without them every terminal draws what the grid says. */
static bool disputed(uint32_t cp, unsigned width)
{
    return (cp >= 0xFE00 && cp <= 0xFE0F) || (cp == 0x200D && width == 2);
}

size_t qs_glyph_make(const char *text, size_t n, bool ascii, struct qs_glyph *out, char *more)
{
    unsigned width;
    size_t bytes = qs_utf8_char(text, n, &width), at = 0, used = 0;
    const uint32_t cp = qs_utf8_next(text, bytes, &at);
    *out = (struct qs_glyph){ .width = (uint8_t)width };
    if (more)
        *more = 0;
    /* U+FFFD where there is none stands for an invalid byte. */
    const bool bad = !qs_utf8_harmless(cp) || (cp == 0xFFFD && at == 1);
    if (bad || (ascii && cp >= 0x80)) {
        const char *known = bad ? "?" : ascii_text(cp);
        out->text[0] = known[0];
        out->width = 1;
        if (more)
            *more = known[1] ? known[1] : width == 2 ? known[0] : 0; /* the text behind it stays where it was */
        return bytes;
    }
    if (qs_utf8_width_cp(cp) == 0)
        out->text[used++] = ' '; /* a mark alone */
    for (size_t from = 0; from < bytes && !(ascii && from > 0);) {
        size_t to = from;
        const uint32_t mark = qs_utf8_next(text, bytes, &to);
        if (used + (to - from) >= QS_GLYPH_BYTES)
            break;
        if (from == 0 || !disputed(mark, width)) {
            memcpy(out->text + used, text + from, to - from);
            used += to - from;
        }
        from = to;
    }
    return bytes;
}

/* Writes a cell of the grid; a wide character that loses a half by it becomes a blank. */
static void set_cell(struct qs_cells *c, int row, int col, const struct qs_glyph *g)
{
    struct qs_glyph *const line = c->glyph + (size_t)row * c->cols;
    if (line[col].width == 0 && g->width != 0 && col > 0)
        blank(&line[col - 1], line[col - 1].style);
    if (line[col].width == 2 && col + 1 < (int)c->cols)
        blank(&line[col + 1], line[col + 1].style);
    line[col] = *g;
}

void qs_glyph_put(const struct qs_canvas *c, int y, int x, const struct qs_glyph *g)
{
    const struct qs_rect r = on_grid(c, (struct qs_rect){ y, x, 1, g->width });
    if (r.rows == 0 || r.cols == 0)
        return;
    if (r.cols < g->width) {
        struct qs_glyph half;
        blank(&half, g->style);
        set_cell(c->cells, r.y, r.x, &half);
        return;
    }
    struct qs_glyph rest = { .width = 0, .style = g->style };
    set_cell(c->cells, r.y, r.x, g);
    if (g->width == 2) {
        /* What the second cell held: its other half, if it was the first of a wide character, must go as well. */
        struct qs_glyph *second = c->cells->glyph + (size_t)r.y * c->cells->cols + r.x + 1;
        if (second->width == 2 && r.x + 2 < (int)c->cells->cols)
            blank(&second[1], second[1].style);
        *second = rest;
    }
}

int qs_draw_glyph(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *glyph)
{
    struct qs_glyph g;
    char more;
    const size_t n = strlen(glyph);
    if (n == 0)
        return 0;
    qs_glyph_make(glyph, n, c->ascii, &g, &more);
    g.style = style;
    qs_glyph_put(c, y, x, &g);
    if (!more)
        return g.width;
    qs_glyph_put(c, y, x + 1, &(struct qs_glyph){ .text = { more }, .width = 1, .style = style });
    return 2;
}

/* ---- areas ---- */

void qs_draw_fill(const struct qs_canvas *c, struct qs_rect where, struct qs_style style)
{
    const struct qs_rect r = on_grid(c, where);
    struct qs_glyph g;
    blank(&g, style);
    for (int row = r.y; row < r.y + r.rows; row++)
        for (int col = r.x; col < r.x + r.cols; col++)
            set_cell(c->cells, row, col, &g);
}

void qs_draw_style(const struct qs_canvas *c, struct qs_rect where, struct qs_style style)
{
    const struct qs_rect r = on_grid(c, where);
    for (int row = r.y; row < r.y + r.rows; row++) {
        struct qs_glyph *const line = c->cells->glyph + (size_t)row * c->cells->cols;
        for (int col = r.x; col < r.x + r.cols; col++) {
            if (line[col].width == 0)
                continue; /* goes with the character before it */
            line[col].style = style;
            if (line[col].width == 2)
                line[col + 1].style = style;
        }
    }
}
