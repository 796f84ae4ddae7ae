/* list.h - movement over n lines of which some are seen: the part that lists, tables and texts have in common.
 *
 * Plain values, no memory, no drawing but the scroll bar. `cursor` is always below n (0 when n is 0) and, after any of
 * these calls, among the lines shown. One thread.
 */
#ifndef QS_UI_LIST_H
#define QS_UI_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"

struct qs_list {
    size_t n;          /* lines there are */
    size_t cursor;
    size_t top;        /* the first line shown */
    size_t shown;      /* lines that fit; at least 1 */
    struct qs_rect at; /* where the lines were last drawn, in cells of the screen: set by who draws them */
};

enum qs_list_move { QS_LIST_UP, QS_LIST_DOWN, QS_LIST_HALF_UP, QS_LIST_HALF_DOWN, QS_LIST_PAGE_UP, QS_LIST_PAGE_DOWN,
                    QS_LIST_HOME, QS_LIST_END, QS_LIST_STAY /* no move */ };

/* New numbers of lines, and of lines that fit (0 counts as 1). The cursor keeps its line where there still is one, and
 * its distance from the top of the view as far as that goes; no empty lines are shown while there are more above. */
void qs_list_set(struct qs_list *l, size_t n, size_t shown);
/* false: nothing changed. A page leaves one line of the old one in view. */
bool qs_list_move(struct qs_list *l, enum qs_list_move move);
/* The cursor to a line (clamped); the view moves as little as it takes, and centres the line when it was out of view. */
bool qs_list_to(struct qs_list *l, size_t line);
/* The view by so many lines (negative: up); the cursor only moves where it would leave the view. */
bool qs_list_scroll(struct qs_list *l, long lines);

/* The move of a key that means it everywhere: arrows, PgUp, PgDn, Home, End. QS_LIST_STAY for all others: letters are a
 * matter of each screen's own table. */
enum qs_list_move qs_list_key(uint32_t key);
/* Whether a mouse event lies on a line; *line: which. */
bool qs_list_hit(const struct qs_list *l, const struct qs_event *e, size_t *line);
/* The wheel over the lines scrolls by 3, a left click puts the cursor there. true: the event was for the list. */
bool qs_list_mouse(struct qs_list *l, const struct qs_event *e);

/* The cursor to the next (1) or previous (-1) line that matches, round the end and, last of all, its own; step 0: to the
 * first from its own on. False: no line matches. */
typedef bool qs_list_match_fn(void *ctx, size_t line);
bool qs_list_find(struct qs_list *l, int step, qs_list_match_fn *match, void *ctx);

/* "12-34 of 291", "no rows"; n >= 72 bytes. Returns buf. */
const char *qs_list_position(const struct qs_list *l, char *buf, size_t n);
/* A scroll bar down the first column of the canvas; nothing when all lines are shown. */
void qs_list_draw_bar(const struct qs_list *l, const struct qs_canvas *c, const struct qs_theme *t);

#endif
