/* cells_svg.c - the grid as a standalone SVG 1.1 picture.
 *
 * A cell is 8 x 16 units, so that halves, quarters and eighths of it are whole numbers: block elements, box-drawing
 * lines and braille dots are drawn as shapes, without the seams that fonts leave. Text is text, each word at its cell
 * and stretched to its cells, whatever monospace font the viewer has. No scripts, no fonts, nothing from outside.
 * Numbers are integers, so that the locale has no say. Owns nothing; one thread.
 */
#include <string.h>

#include "base/color.h"
#include "base/unicode.h"
#include "ui/cells_internal.h"

enum { W = 8, H = 16, MARGIN = 8 };

struct look { qs_color fg, bg; unsigned attr; }; /* RGB */

struct picture {
    const struct qs_cells *cells;
    struct qs_str *out;
    qs_color fg, bg; /* of the terminal */
};

static qs_color rgb_of(qs_color c, qs_color otherwise)
{
    uint8_t rgb[3];
    if (c == QS_COLOR_DEFAULT)
        return otherwise & 0xFFFFFF;
    if (c >> 24 == 1)
        return c & 0xFFFFFF;
    qs_color_palette((uint8_t)c, rgb);
    return (qs_color)rgb[0] << 16 | (qs_color)rgb[1] << 8 | rgb[2];
}

/* So many twelfths of a, the rest of b. */
static qs_color mix(qs_color a, qs_color b, unsigned twelfths)
{
    qs_color out = 0;
    for (unsigned shift = 0; shift < 24; shift += 8)
        out |= (twelfths * (a >> shift & 0xFF) + (12 - twelfths) * (b >> shift & 0xFF)) / 12 << shift;
    return out;
}

/* Colours as they appear: reversed, dimmed towards the background. */
static struct look look_of(const struct picture *p, const struct qs_style *s)
{
    struct look l = { rgb_of(s->fg, p->fg), rgb_of(s->bg, p->bg), s->attr & (QS_BOLD | QS_UNDERLINE | QS_ITALIC) };
    if (s->attr & QS_REVERSE) {
        const qs_color fg = l.fg;
        l.fg = l.bg;
        l.bg = fg;
    }
    if (s->attr & QS_DIM)
        l.fg = mix(l.fg, l.bg, 8);
    return l;
}

static void rect(const struct picture *p, int x, int y, int w, int h, qs_color fill)
{
    qs_str_addf(p->out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\"/>\n", x, y, w, h,
                (unsigned)fill);
}

/* ---- characters as shapes ---- */

/* A rectangle of a cell. */
struct part { int x, y, w, h; };

/* U+2580..U+2590 and U+2594, U+2595: one rectangle each. */
static bool block_part(uint32_t cp, struct part *out)
{
    if (cp == 0x2580)
        *out = (struct part){ 0, 0, W, H / 2 };
    else if (cp >= 0x2581 && cp <= 0x2588) { /* lower eighths */
        const int h = (int)(cp - 0x2580) * H / 8;
        *out = (struct part){ 0, H - h, W, h };
    } else if (cp >= 0x2589 && cp <= 0x258F) /* left eighths, falling */
        *out = (struct part){ 0, 0, (int)(0x2590 - cp) * W / 8, H };
    else if (cp == 0x2590)
        *out = (struct part){ W / 2, 0, W / 2, H };
    else if (cp == 0x2594)
        *out = (struct part){ 0, 0, W, H / 8 };
    else if (cp == 0x2595)
        *out = (struct part){ W - W / 8, 0, W / 8, H };
    else
        return false;
    return true;
}

static void quadrants(const struct picture *p, int x, int y, uint32_t cp, qs_color fill)
{
    /* U+2596..U+259F: upper left 1, upper right 2, lower left 4, lower right 8 */
    static const uint8_t set[] = { 4, 8, 1, 13, 9, 7, 11, 2, 6, 14 };
    const unsigned bits = set[cp - 0x2596];
    for (int i = 0; i < 4; i++)
        if (bits >> i & 1)
            rect(p, x + i % 2 * (W / 2), y + i / 2 * (H / 2), W / 2, H / 2, fill);
}

/* Box-drawing characters as the arms that leave the middle of the cell; 1 light, 2 heavy. */
static const struct box { uint16_t cp; uint8_t left, right, up, down; } boxes[] = {
    { 0x2500, 1, 1, 0, 0 }, { 0x2501, 2, 2, 0, 0 }, { 0x2502, 0, 0, 1, 1 }, { 0x2503, 0, 0, 2, 2 },
    { 0x250C, 0, 1, 0, 1 }, { 0x250F, 0, 2, 0, 2 }, { 0x2510, 1, 0, 0, 1 }, { 0x2513, 2, 0, 0, 2 },
    { 0x2514, 0, 1, 1, 0 }, { 0x2517, 0, 2, 2, 0 }, { 0x2518, 1, 0, 1, 0 }, { 0x251B, 2, 0, 2, 0 },
    { 0x251C, 0, 1, 1, 1 }, { 0x2523, 0, 2, 2, 2 }, { 0x2524, 1, 0, 1, 1 }, { 0x252B, 2, 0, 2, 2 },
    { 0x252C, 1, 1, 0, 1 }, { 0x2533, 2, 2, 0, 2 }, { 0x2534, 1, 1, 1, 0 }, { 0x253B, 2, 2, 2, 0 },
    { 0x253C, 1, 1, 1, 1 }, { 0x254B, 2, 2, 2, 2 },
    { 0x256D, 0, 1, 0, 1 }, { 0x256E, 1, 0, 0, 1 }, { 0x256F, 1, 0, 1, 0 }, { 0x2570, 0, 1, 1, 0 },
    { 0x2574, 1, 0, 0, 0 }, { 0x2575, 0, 0, 1, 0 }, { 0x2576, 0, 1, 0, 0 }, { 0x2577, 0, 0, 0, 1 },
    { 0x2578, 2, 0, 0, 0 }, { 0x2579, 0, 0, 2, 0 }, { 0x257A, 0, 2, 0, 0 }, { 0x257B, 0, 0, 0, 2 },
};

static const struct box *find_box(uint32_t cp)
{
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        if (boxes[i].cp == cp)
            return &boxes[i];
    return NULL;
}

/* Lines are 1 unit wide, heavy ones 3, about the middle of the cell; an arm covers the middle so that corners close.
 * `cells` wide: a run. */
static void lines(const struct picture *p, int x, int y, int cells, const struct box *b, qs_color fill)
{
    const int wide = b->left > b->right ? b->left : b->right, high = b->up > b->down ? b->up : b->down;
    const int reach = (wide > high ? wide : high) - 1, end = x + cells * W, mx = x + W / 2, my = y + H / 2;
    const int from = b->left ? x : mx - reach, to = b->right ? end : mx + reach + 1;
    const int top = b->up ? y : my - reach, bottom = b->down ? y + H : my + reach + 1;
    if (wide)
        rect(p, from, my - (wide - 1), to - from, 2 * wide - 1, fill);
    if (high)
        rect(p, mx - (high - 1), top, 2 * high - 1, bottom - top, fill);
}

static void braille(const struct picture *p, int x, int y, uint32_t cp, qs_color fill)
{
    static const uint8_t row[8] = { 0, 1, 2, 0, 1, 2, 3, 3 }, column[8] = { 0, 0, 0, 1, 1, 1, 0, 1 };
    for (int i = 0; i < 8; i++)
        if (cp >> i & 1)
            rect(p, x + 1 + column[i] * (W / 2), y + 1 + row[i] * (H / 4), 2, 2, fill);
}

static uint32_t code_point(const struct qs_glyph *g)
{
    size_t at = 0;
    return g->text[0] ? qs_utf8_next(g->text, strlen(g->text), &at) : ' ';
}

static bool is_shape(uint32_t cp)
{
    return (cp >= 0x2580 && cp <= 0x259F) || (cp >= 0x2800 && cp <= 0x28FF) || find_box(cp) != NULL;
}

/* Whether cells of the same shape side by side are one wide shape. */
static bool runs_on(uint32_t cp)
{
    return cp <= 0x2588 ? cp >= 0x2580 || cp == 0x2500 || cp == 0x2501 : cp >= 0x2591 && cp <= 0x2594;
}

static void shape(const struct picture *p, int x, int y, int cells, uint32_t cp, const struct look *l)
{
    const struct box *box = find_box(cp);
    struct part part;
    if (box)
        lines(p, x, y, cells, box, l->fg);
    else if (block_part(cp, &part))
        rect(p, x + part.x, y + part.y, part.w + (cells - 1) * W, part.h, l->fg);
    else if (cp >= 0x2591 && cp <= 0x2593) /* a quarter, a half, three quarters, as a plain area: dots have seams */
        rect(p, x, y, cells * W, H, mix(l->fg, l->bg, 3 * (cp - 0x2590)));
    else if (cp >= 0x2596 && cp <= 0x259F)
        quadrants(p, x, y, cp, l->fg);
    else
        braille(p, x, y, cp, l->fg);
}

/* ---- rows ---- */

static bool same_look(struct look a, struct look b)
{
    return a.fg == b.fg && a.bg == b.bg && a.attr == b.attr;
}

static void backgrounds(const struct picture *p, unsigned row)
{
    const struct qs_cells *c = p->cells;
    for (unsigned col = 0, end; col < c->cols; col = end) {
        const qs_color bg = look_of(p, &qs_cells_at(c, row, col)->style).bg;
        for (end = col + 1; end < c->cols && look_of(p, &qs_cells_at(c, row, end)->style).bg == bg;)
            end++;
        if (bg != (p->bg & 0xFFFFFF))
            rect(p, MARGIN + (int)col * W, MARGIN + (int)row * H, (int)(end - col) * W, H, bg);
    }
}

static void xml_text(struct qs_str *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': qs_str_add(out, "&lt;"); break;
        case '>': qs_str_add(out, "&gt;"); break;
        case '&': qs_str_add(out, "&amp;"); break;
        default: qs_str_addc(out, *text);
        }
}

static void word(const struct picture *p, unsigned row, unsigned col, unsigned end, const struct look *l)
{
    qs_str_addf(p->out, "<text x=\"%d\" y=\"%d\" textLength=\"%d\"", MARGIN + (int)col * W, MARGIN + (int)row * H + 12,
                (int)(end - col) * W);
    if (l->fg != (p->fg & 0xFFFFFF))
        qs_str_addf(p->out, " fill=\"#%06x\"", (unsigned)l->fg);
    qs_str_addf(p->out, "%s%s>", l->attr & QS_BOLD ? " font-weight=\"bold\"" : "",
                l->attr & QS_ITALIC ? " font-style=\"italic\"" : "");
    for (; col < end; col++)
        xml_text(p->out, qs_cells_at(p->cells, row, col)->text);
    qs_str_add(p->out, "</text>\n");
}

/* Latin letters of a monospace font have one width; of anything else a font may not have, or not in that width. */
static bool joins(const struct qs_glyph *g)
{
    return g->width == 1 && !qs_glyph_blank(g) && code_point(g) < 0x250;
}

/* One behind the last cell that is drawn with the one at `col`. */
static unsigned run_end(const struct picture *p, unsigned row, unsigned col, struct look l)
{
    const struct qs_cells *c = p->cells;
    const struct qs_glyph *first = qs_cells_at(c, row, col), *g;
    const uint32_t cp = code_point(first);
    unsigned end = col + first->width;
    for (; end < c->cols; end++) {
        g = qs_cells_at(c, row, end);
        const bool together = is_shape(cp) ? runs_on(cp) && code_point(g) == cp : joins(first) && joins(g);
        if (!together || !same_look(look_of(p, &g->style), l))
            break;
    }
    return end;
}

static void underline(const struct picture *p, unsigned row)
{
    const struct qs_cells *c = p->cells;
    for (unsigned col = 0, end; col < c->cols; col = end) {
        const struct look l = look_of(p, &qs_cells_at(c, row, col)->style);
        for (end = col + 1; end < c->cols && same_look(look_of(p, &qs_cells_at(c, row, end)->style), l);)
            end++;
        if (l.attr & QS_UNDERLINE)
            rect(p, MARGIN + (int)col * W, MARGIN + (int)row * H + 14, (int)(end - col) * W, 1, l.fg);
    }
}

static void characters(const struct picture *p, unsigned row)
{
    const struct qs_cells *c = p->cells;
    for (unsigned col = 0, end; col < c->cols; col = end) {
        const struct qs_glyph *g = qs_cells_at(c, row, col);
        const struct look l = look_of(p, &g->style);
        const uint32_t cp = code_point(g);
        end = col + 1;
        if (g->width == 0 || qs_glyph_blank(g))
            continue;
        end = run_end(p, row, col, l);
        if (is_shape(cp))
            shape(p, MARGIN + (int)col * W, MARGIN + (int)row * H, (int)(end - col), cp, &l);
        else
            word(p, row, col, end, &l);
    }
}

void qs_cells_svg(const struct qs_cells *c, qs_color default_fg, qs_color default_bg, struct qs_str *out)
{
    const struct picture p = { c, out, default_fg, default_bg };
    const unsigned width = c->cols * W + 2 * MARGIN, height = c->rows * H + 2 * MARGIN;
    qs_str_addf(out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
                "width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\">\n<rect width=\"%u\" height=\"%u\" rx=\"6\" "
                "fill=\"#%06x\"/>\n",
                width, height, width, height, width, height, (unsigned)(default_bg & 0xFFFFFF));
    qs_str_add(out, "<g shape-rendering=\"crispEdges\">\n");
    for (unsigned row = 0; row < c->rows; row++)
        backgrounds(&p, row);
    qs_str_addf(out,
                "</g>\n<g shape-rendering=\"crispEdges\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, "
                "Consolas, 'Liberation Mono', monospace\" font-size=\"13.3px\" fill=\"#%06x\">\n",
                (unsigned)(default_fg & 0xFFFFFF));
    for (unsigned row = 0; row < c->rows; row++) {
        characters(&p, row);
        underline(&p, row);
    }
    qs_str_add(out, "</g>\n</svg>\n");
}
