/* draw.h - text on the screen: clipped lines, bars, names cut to fit. Only the thread that owns the terminal may call. */
#ifndef QS_UI_DRAW_H
#define QS_UI_DRAW_H

#include <stddef.h>
#include "base/str.h"

/* Cells `left` and on of s[0 .. n), at most `cells` of them, from the cell (y, x) on. A wide character that would be
 * cut is left out. The attributes are those set before. Returns the cells taken up. */
size_t qs_draw_text(int y, int x, const char *s, size_t n, size_t left, size_t cells);

/* A reversed line over the whole width: `start` from the left, `end` at the right edge where both fit (else only
 * `start`, cut at the edge). */
void qs_draw_bar(int y, const char *start, const char *end);

/* Appends s (clean text), of which at most `cells` cells: the end is kept, "..." stands for what is left out. */
void qs_draw_tail(struct qs_str *out, const char *s, size_t cells);

/* Appends words on lines of at most `width` cells, of which the first is begun already up to cell `indent` and the others
 * are indented as far; ends with a line feed. ASCII. */
void qs_draw_wrapped(struct qs_str *out, const char *text, size_t indent, size_t width);

#endif
