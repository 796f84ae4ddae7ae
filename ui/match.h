/* match.h - what a search found, made visible. */
#ifndef QS_UI_MATCH_H
#define QS_UI_MATCH_H

#include <stdbool.h>
#include "base/regex.h"
#include "ui/cells.h"

/* Gives every match of the expression in text that was drawn at (y, x), in at most `cells` cells, the style. Returns
 * whether there was one (also when it lies beyond the cells). re may be NULL: none. */
bool qs_draw_matches(const struct qs_canvas *c, int y, int x, const char *text, int cells, const struct qs_regex *re,
                     struct qs_style style);

#endif
