/* layout.h - where things stand, from the size alone. Pure functions; rectangles are relative to what was given, lie inside
 * of it and never overlap; what is promised is at least 1x1, what is absent has no rows or no columns.
 */
#ifndef QS_UI_LAYOUT_H
#define QS_UI_LAYOUT_H

#include <stdbool.h>
#include "ui/cells.h"

enum qs_layout_kind {
    QS_LAYOUT_TOO_SMALL, /* below 40 columns or 10 rows: body is everything, the rest is absent */
    QS_LAYOUT_ONE_PANE,  /* below 80x24: header 1 line, tabs 1 line, body, footer 1 line */
    QS_LAYOUT_FULL       /* header 2 lines (tabs, state), body, footer 1 line; tabs are absent */
};

struct qs_layout { enum qs_layout_kind kind; struct qs_rect header, tabs, body, footer; };
struct qs_layout qs_layout_frame(int rows, int cols);

/* A pane cut in two. both: `side` is there; else main is all of it and side, rule are absent. rule: one line or column for
 * a frame line between them (absent where not asked for). */
struct qs_split { bool both; struct qs_rect main, rule, side; };

/* A side pane at the right: `wanted` columns, or where that is 0 `percent` of the columns; then as much as leaves
 * least_main to the main pane. Left out where it would get less than least_side. (Least sizes count as 1 at least.) */
struct qs_split qs_layout_right(struct qs_rect in, int wanted, int percent, int least_main, int least_side, bool rule);
/* A pane at the bottom of `wanted` rows, likewise. */
struct qs_split qs_layout_bottom(struct qs_rect in, int wanted, int least_main, int least_side, bool rule);

/* A popup of that size in the middle, made smaller where there is no room. Never empty unless `in` is. */
struct qs_rect qs_layout_popup(struct qs_rect in, int rows, int cols);
/* Without its outer line on each side, where it has at least 3 rows and columns; else as it is. */
struct qs_rect qs_layout_inside(struct qs_rect frame);
static inline bool qs_rect_has(struct qs_rect r, int row, int col)
{
    return row >= r.y && row - r.y < r.rows && col >= r.x && col - r.x < r.cols;
}

#endif
