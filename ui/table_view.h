/* table_view.h - one table of a report to move over: sorted, filtered, marked, searched.
 *
 * DESIGN. A *row* is a row of the section, whose number stays the same however the view is sorted or filtered: marks,
 * looks and the caller's own data go by it. A *line* is where a row now stands (list.cursor is one). The view reads the
 * section, which must outlive it or be replaced by qs_table_view_set, and never changes it. Columns are measured once per
 * section; a frame formats the lines it shows and no others. All text is made clean when it is drawn. The first column
 * always stays; the others are chosen by width: optional ones go first, the last one first; then names are shortened in
 * the middle; what still does not fit is reached by scrolling, as are the optional ones that went. One thread.
 */
#ifndef QS_UI_TABLE_VIEW_H
#define QS_UI_TABLE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/regex.h"
#include "core/report/table.h"
#include "ui/list.h"

#define QS_NO_ROW ((size_t)-1)
#define QS_NO_COLUMN ((size_t)-1)
#define QS_TABLE_COLUMNS 64 /* more are not shown */

struct qs_table_column { /* inside */
    int width, title;       /* cells of the widest text seen, of the title */
    int decimals;
    bool empty;             /* a column of strings without any */
    int shown, x;           /* cells in the last frame (0: not shown), where on its canvas */
};

struct qs_table_view {
    struct qs_list list;                 /* of lines */
    const struct qs_section *section;
    /* What the caller may set at any time; NULL: none. */
    const uint8_t *marks;                /* row r is marked: marks[r / 8] >> r % 8 & 1; as many bits as there are rows */
    enum qs_look (*look)(void *ctx, size_t row); /* QS_LOOK_TEXT: as usual */
    void *look_ctx;
    const struct qs_regex *search;       /* matches are highlighted; must live as long as it is set */
    bool focus;                          /* the cursor line is drawn as the one that keys move */
    /* To be read. */
    size_t sort_column;                  /* QS_NO_COLUMN: in the order of the section */
    bool sort_down;
    size_t left;                         /* columns scrolled out behind the first */
    bool more_left, more_right;          /* columns that the last frame had no room for */
    /* Inside. */
    size_t *order, *spare;               /* line -> row, list.n of them; room for sorting */
    size_t n_columns;
    bool *hidden, filtered;              /* by row: left out */
    bool measured, ascii;                /* the columns are, and for which kind of canvas */
    struct qs_table_column column[QS_TABLE_COLUMNS];
    struct qs_rect head;                 /* where the header line was last drawn */
    char sort_key[64];
};
#define QS_TABLE_VIEW_INIT { .sort_column = QS_NO_COLUMN, .focus = true }

/* Shows this section from now on (NULL: nothing). The sorted column is kept by its key; the cursor keeps its row where the
 * number of rows is the same, else its line; a filter is gone, since it was made for other rows. QS_ENOMEM: nothing is
 * shown. */
int qs_table_view_set(struct qs_table_view *v, const struct qs_section *s, struct qs_err *e);
void qs_table_view_free(struct qs_table_view *v); /* what it allocated; back to QS_TABLE_VIEW_INIT */

size_t qs_table_view_row(const struct qs_table_view *v);            /* under the cursor; QS_NO_ROW: there is none */
size_t qs_table_view_row_at(const struct qs_table_view *v, size_t line);
size_t qs_table_view_line(const struct qs_table_view *v, size_t row); /* QS_NO_ROW: filtered out */
bool qs_table_view_go(struct qs_table_view *v, size_t row);         /* false: filtered out, or no such row */

/* Sorting, stable, as qs_section_sort would; QS_NO_COLUMN: as the section is. The cursor stays with its row. */
void qs_table_view_sort(struct qs_table_view *v, size_t column, bool down);
/* The next (+1) or previous (-1) of the columns that the last frame showed, "unsorted" being one of them. Numbers are
 * sorted largest first, text from A on. */
void qs_table_view_sort_step(struct qs_table_view *v, int step);
void qs_table_view_sort_reverse(struct qs_table_view *v);

/* Leaves the rows for which keep(ctx, row) is true; NULL: all rows again. The cursor stays with its row, or goes to the next
 * one left. keep is only used during the call. */
void qs_table_view_keep(struct qs_table_view *v, bool (*keep)(void *ctx, size_t row), void *ctx);

/* The cursor to the next line (from itself on, itself excluded; itself last of all) in which some string matches. 0: no
 * line matches, 1: found, 2: found after going round the end. */
int qs_table_view_find(struct qs_table_view *v, const struct qs_regex *re, bool backwards);

/* Whole columns to the right (+1) or left (-1). false: nothing more that way. */
bool qs_table_view_scroll(struct qs_table_view *v, int columns);

/* Header line, lines, scroll bar at the right edge where there are more lines than fit. One row of canvas: the cursor's
 * line alone. Left of each line '>' marks the cursor, '*' marked rows. "~" sampled, "^" predicted as in printed reports. */
void qs_table_view_draw(struct qs_table_view *v, const struct qs_canvas *c, const struct qs_theme *t);

/* What a mouse event did: wheel and clicks on lines move (QS_TABLE_MOVED; *line there), a click on the header names its
 * column and does nothing else (QS_TABLE_HEAD). *where may be NULL. */
enum qs_table_hit { QS_TABLE_ELSEWHERE, QS_TABLE_MOVED, QS_TABLE_HEAD };
enum qs_table_hit qs_table_view_mouse(struct qs_table_view *v, const struct qs_event *e, size_t *where);

#endif
