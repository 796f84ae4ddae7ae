/* pager.h - a page of text on the screen: made once for a width, moved over, searched, drawn.
 *
 * DESIGN. A page knows nothing about where its text comes from, nor where on the screen it stands: whoever draws it
 * names the rows. It keeps the line of the last match, so that searching goes on from there (and not from the top of
 * the screen, which cannot follow a match into the last screenful).
 */
#ifndef QS_UI_PAGER_H
#define QS_UI_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/regex.h"
#include "base/str.h"

struct qs_pager_color { size_t from, to; int fg, bg; }; /* of text[from .. to) */

struct qs_pager {
    struct qs_str text;
    size_t *line, n_lines, cap; /* offsets of line starts; one more entry at the end */
    struct qs_pager_color *color; size_t n_colors, color_cap; /* in the order of the text */
    size_t top, left;           /* first line and cell shown */
    size_t match;               /* line of the last match; QS_PAGER_NONE: there is none */
    size_t rows, columns;       /* of the screen, as last told */
};
#define QS_PAGER_NONE ((size_t)-1)

void qs_pager_init(struct qs_pager *p);
void qs_pager_free(struct qs_pager *p);

/* Takes over `text` (lines ended by \n; *text is reset). Its escape sequences that set colours (SGR 30-37, 40-47, 38 and
 * 48, reset by 0 on the same line) become colours, and are no part of what is searched. The place is kept where it still
 * exists. */
void qs_pager_set(struct qs_pager *p, struct qs_str *text);
/* The size of the part of the screen it is drawn on; keeps the place within the text. */
void qs_pager_size(struct qs_pager *p, size_t rows, size_t columns);

void qs_pager_to(struct qs_pager *p, long line);    /* makes `line` the first one shown, as far as that goes */
void qs_pager_down(struct qs_pager *p, long lines); /* negative: up */
void qs_pager_right(struct qs_pager *p, long cells);

/* The first match from the top of the screen on. */
bool qs_pager_find(struct qs_pager *p, const struct qs_regex *re);
/* The next line with a match (step 1), or the one before (-1), counted from the last match if that is on the screen,
 * else from the top of the screen. Scrolls only where the match is not shown. false: there is none, nothing moves. */
bool qs_pager_find_next(struct qs_pager *p, const struct qs_regex *re, int step);

/* Draws on rows y .. y + rows, matches of `re` (NULL: none) marked: reversed, on the line of the last match bold too. */
void qs_pager_draw(const struct qs_pager *p, int y, const struct qs_regex *re);

#endif
