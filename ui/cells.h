/* cells.h - the screen as a grid of cells, the only thing that screens draw on.
 *
 * DESIGN. Screens draw into a grid in memory; the terminal (term.h) shows it, tests and `:save-screen` read it. A cell
 * holds one character as people see it (a base character and what combines with it) with its style; a wide character
 * takes its cell and the next, which is marked as its rest. A canvas is a rectangle of a grid: coordinates are its own,
 * what falls outside is clipped, half a wide character becomes a blank. Text must be clean (base/text.h): control
 * characters and invalid bytes are drawn as '?', never handed on. Marks that terminals measure differently (the choice
 * between text and picture, a joiner behind an emoji) are left out. Nothing here allocates except making a grid and
 * QS_FIT_MIDDLE (which cuts the end where there is no memory). One thread.
 */
#ifndef QS_UI_CELLS_H
#define QS_UI_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/* A colour as the terminal will be asked for it: the theme (theme.h) has already chosen what its tier can show. */
typedef uint32_t qs_color;
#define QS_COLOR_DEFAULT ((qs_color)0)                               /* the terminal's own */
#define QS_COLOR_PALETTE(i) ((qs_color)(0x02000000u | (i)))          /* entry of the xterm palette, 0-15 the ANSI colours */
#define QS_COLOR_RGB(r, g, b) ((qs_color)(0x01000000u | (uint32_t)(r) << 16 | (uint32_t)(g) << 8 | (uint32_t)(b)))

enum { QS_BOLD = 1, QS_DIM = 2, QS_UNDERLINE = 4, QS_REVERSE = 8, QS_ITALIC = 16 };

struct qs_style { qs_color fg, bg; unsigned attr; };

#define QS_GLYPH_BYTES 20
struct qs_glyph {
    char text[QS_GLYPH_BYTES]; /* UTF-8, terminated; "" in the rest of a wide character */
    uint8_t width;             /* 1 or 2; 0: the rest of the wide character before it */
    struct qs_style style;
};

struct qs_cells { unsigned rows, cols; struct qs_glyph *glyph; }; /* rows * cols, row by row */
#define QS_CELLS_INIT { 0, 0, NULL }
#define QS_CELLS_MAX 1000 /* rows, columns: larger terminals are drawn on in part */

/* All blanks in the default style. What was there is gone, except when memory is out: then nothing has changed. */
int qs_cells_resize(struct qs_cells *c, unsigned rows, unsigned cols, struct qs_err *e);
void qs_cells_free(struct qs_cells *c);
const struct qs_glyph *qs_cells_at(const struct qs_cells *c, unsigned row, unsigned col); /* in range */
bool qs_glyph_equal(const struct qs_glyph *a, const struct qs_glyph *b);

/* ---- what is on it ---- */

/* The text of the rows, blanks at the ends cut, each ended by \n. */
void qs_cells_text(const struct qs_cells *c, struct qs_str *out);
/* With SGR sequences, for terminals and pagers; ends in the default style. */
void qs_cells_ansi(const struct qs_cells *c, struct qs_str *out);
/* A standalone picture; default_fg, default_bg (RGB) stand for the terminal's own colours. */
void qs_cells_svg(const struct qs_cells *c, qs_color default_fg, qs_color default_bg, struct qs_str *out);
/* For tests: one line a cell that is no blank in the default style, "row col width text fg bg attr" (a blank as "SP",
 * colours as "-", "#rrggbb", "@17"; attributes as letters bduri or "-"). The rest of a wide character has no line. */
void qs_cells_dump(const struct qs_cells *c, struct qs_str *out);

/* ---- drawing ---- */

struct qs_rect { int y, x, rows, cols; };

struct qs_canvas {
    struct qs_cells *cells;
    struct qs_rect at; /* in cells; may reach beyond the grid: that part is clipped */
    bool ascii;        /* no other characters may be drawn (lines become - | +, an ellipsis ..) */
};

struct qs_canvas qs_canvas_of(struct qs_cells *c, bool ascii);                  /* all of it */
/* The part of c that `part`, relative to c, covers: its (0, 0) is the first cell that both have. */
struct qs_canvas qs_canvas_part(const struct qs_canvas *c, struct qs_rect part);
static inline int qs_canvas_rows(const struct qs_canvas *c) { return c->at.rows; }
static inline int qs_canvas_cols(const struct qs_canvas *c) { return c->at.cols; }

void qs_draw_fill(const struct qs_canvas *c, struct qs_rect where, struct qs_style style);    /* blanks */
void qs_draw_style(const struct qs_canvas *c, struct qs_rect where, struct qs_style style);   /* keeps the characters */
/* One character (UTF-8, with what combines); returns the cells taken. */
int qs_draw_glyph(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *glyph);
/* Text from (y, x) on, at most `cells` cells (negative: to the edge). Returns the cells taken. */
int qs_draw_text(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, int cells);
int qs_draw_textf(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *fmt, ...) QS_PRINTF(5, 6);
/* Exactly `cells` cells: padded with blanks, too long text shortened as `fit` says. */
/* A cut end or start is told by an ellipsis, where there is room. */
enum qs_text_fit { QS_FIT_LEFT /* end cut */, QS_FIT_RIGHT /* right-aligned, start cut */, QS_FIT_CENTER,
              QS_FIT_MIDDLE /* left-aligned, middle left out, as names of tensors need it (qs_text_shorten) */ };
void qs_draw_fit(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, int cells, enum qs_text_fit fit);
void qs_draw_hline(const struct qs_canvas *c, int y, int x, int cells, struct qs_style style);
void qs_draw_vline(const struct qs_canvas *c, int y, int x, int cells, struct qs_style style);
/* A frame around `where` with a title in its upper edge (NULL: none). */
void qs_draw_box(const struct qs_canvas *c, struct qs_rect where, struct qs_style frame, const char *title, struct qs_style title_style);
/* A bar of `cells` cells filled to `share` (0..1; NaN: 0) in eighths of a cell; ASCII: '#' and '-'. Anything above 0
 * shows, only 1 fills it. The bar is drawn in full.fg on rest.bg; where that is the default, the rest is shaded in
 * rest.fg. */
void qs_draw_gauge(const struct qs_canvas *c, int y, int x, int cells, double share, struct qs_style full, struct qs_style rest);
/* Paragraphs (ended by \n) broken at blanks to the width of the canvas, from row y on; later lines of a paragraph are
 * indented. `skip` lines are left out at the top. Returns how many lines the whole text has. */
int qs_draw_wrapped(const struct qs_canvas *c, int y, int skip, int indent, struct qs_style style, const char *text);

#endif
