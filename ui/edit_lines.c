/* edit_lines.c - the editor of several lines: rows of a given width, moving through them, and how they are seen.
 *
 * A row ends at a line feed or where the next character has no room. Owns nothing; rows are counted anew each time,
 * as the text is short.
 */
#include <string.h>

#include "base/unicode.h"
#include "ui/edit_internal.h"

enum { WIDEST = 1 << 20 }; /* where nothing was drawn yet: line feeds alone make rows */

/* The end of the row that begins at `from`, and in *next where the one behind it begins. */
static size_t row_end(const struct qs_edit *ed, size_t from, int width, size_t *next)
{
    int used = 0;
    size_t at = from;
    while (at < ed->len && ed->text[at] != '\n') {
        unsigned cells;
        const size_t n = qs_utf8_char(ed->text + at, ed->len - at, &cells);
        if (used + (int)cells > width && at > from)
            break;
        used += (int)cells;
        at += n;
    }
    *next = at < ed->len && ed->text[at] == '\n' ? at + 1 : at;
    return at;
}

static int width_of(const struct qs_edit *ed)
{
    return ed->lines && ed->width > 0 ? ed->width : WIDEST;
}

/* A row that is full ends where the next one begins: the cursor stands at the beginning of that one. */
struct qs_edit_row qs_edit_row_of(const struct qs_edit *ed, size_t at)
{
    struct qs_edit_row r = { 0, ed->len, 0 };
    const int width = width_of(ed);
    size_t next;
    if (!ed->lines)
        return r;
    for (;; r.from = next, r.row++) {
        r.to = row_end(ed, r.from, width, &next);
        const bool feed = next > r.to;
        if (next >= ed->len && !(feed && at >= next))
            return r;
        if (at < r.to || (feed && at == r.to))
            return r;
    }
}

/* Cells of text[from, to). */
static int cells_of(const struct qs_edit *ed, size_t from, size_t to)
{
    return (int)qs_utf8_width(ed->text + from, to - from);
}

/* The border nearest to that many cells behind the start of a row. */
static size_t at_column(const struct qs_edit *ed, struct qs_edit_row r, int column)
{
    size_t at = r.from;
    while (at < r.to) {
        unsigned cells;
        const size_t n = qs_utf8_char(ed->text + at, ed->len - at, &cells);
        if (column < (int)cells)
            break;
        column -= (int)cells;
        at += n;
    }
    return at;
}

bool qs_edit_row_move(struct qs_edit *ed, int direction)
{
    const struct qs_edit_row here = qs_edit_row_of(ed, ed->at);
    const int column = cells_of(ed, here.from, ed->at);
    size_t next;
    if (direction < 0) {
        if (here.from == 0)
            return false;
        ed->at = at_column(ed, qs_edit_row_of(ed, here.from - 1), column);
        return true;
    }
    row_end(ed, here.from, width_of(ed), &next);
    if (next >= ed->len && !(next > here.to))
        return false;
    ed->at = at_column(ed, qs_edit_row_of(ed, next), column);
    return true;
}

static int count_rows(const struct qs_edit *ed, int width)
{
    int n = 0;
    size_t at = 0, next;
    do {
        const size_t end = row_end(ed, at, width, &next);
        n++;
        if (next == ed->len && next > end)
            n++; /* the empty row behind the last line feed */
        at = next;
    } while (at < ed->len);
    return n;
}

int qs_edit_rows(const struct qs_edit *ed, int width, int most)
{
    const int n = count_rows(ed, width > 1 ? width - 1 : 1);
    return n < most ? n : most > 0 ? most : 0;
}

static void draw_row(const struct qs_edit *ed, const struct qs_canvas *c, int y, struct qs_style style, size_t from,
                     size_t to)
{
    int x = 0;
    for (size_t at = from; at < to;) {
        unsigned cells;
        char text[64];
        const size_t n = qs_utf8_char(ed->text + at, ed->len - at, &cells);
        const bool plain = n < sizeof text && !(c->ascii && (unsigned char)ed->text[at] >= 0x80);
        memcpy(text, plain ? ed->text + at : "??", plain ? n : 2);
        text[plain ? n : 2] = 0;
        qs_draw_text(c, y, x, style, text, (int)cells);
        x += (int)cells;
        at += n;
    }
}

void qs_edit_draw_lines(struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t, const char *hint,
                        int *row, int *col)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const struct qs_style style = qs_look(t, QS_LOOK_INPUT);
    if (rows < 1 || cols < 1)
        return;
    ed->width = cols > 1 ? cols - 1 : 1; /* the last column is the cursor's */
    const struct qs_edit_row here = qs_edit_row_of(ed, ed->at);
    const int all = count_rows(ed, ed->width), last = all > rows ? all - rows : 0;
    ed->top = ed->top > last ? last : ed->top;
    ed->top = here.row < ed->top ? here.row : here.row >= ed->top + rows ? here.row - rows + 1 : ed->top;
    qs_draw_fill(c, (struct qs_rect){ 0, 0, rows, cols }, style);
    if (!ed->len && hint)
        qs_draw_text(c, 0, 0, qs_look(t, QS_LOOK_HINT), hint, cols);
    size_t at = 0, next;
    for (int y = 0; y < all && y < ed->top + rows; y++, at = next) {
        const size_t end = row_end(ed, at, ed->width, &next);
        if (y >= ed->top)
            draw_row(ed, c, y - ed->top, style, at, end);
    }
    *row = here.row - ed->top;
    *col = cells_of(ed, here.from, ed->at);
    *col = *col < cols ? *col : cols - 1;
}
