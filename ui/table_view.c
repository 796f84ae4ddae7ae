/* table_view.c - the lines of a table: which rows, in which order, and moving over them.
 *
 * Owns the order of the rows and the filter's verdict on each, both allocated when a section is set, so that sorting and
 * filtering cannot fail. The section is only read.
 */
#include "ui/table_view.h"

#include <string.h>

#include "base/mem.h"
#include "ui/layout.h"

static size_t rows_of(const struct qs_table_view *v)
{
    return v->section && v->order ? qs_section_rows(v->section) : 0;
}

size_t qs_table_view_row_at(const struct qs_table_view *v, size_t line)
{
    return line < v->list.n ? v->order[line] : QS_NO_ROW;
}

size_t qs_table_view_row(const struct qs_table_view *v)
{
    return qs_table_view_row_at(v, v->list.cursor);
}

size_t qs_table_view_line(const struct qs_table_view *v, size_t row)
{
    for (size_t i = 0; i < v->list.n; i++)
        if (v->order[i] == row)
            return i;
    return QS_NO_ROW;
}

bool qs_table_view_go(struct qs_table_view *v, size_t row)
{
    const size_t line = qs_table_view_line(v, row);
    if (line == QS_NO_ROW)
        return false;
    qs_list_to(&v->list, line);
    return true;
}

/* ---- the order ---- */

/* The row that the cursor stands on, or the next one (else the last before it) that the filter leaves. */
static size_t row_left(const struct qs_table_view *v)
{
    for (size_t i = v->list.cursor; i < v->list.n; i++)
        if (!v->hidden[v->order[i]])
            return v->order[i];
    for (size_t i = v->list.cursor; i-- > 0;)
        if (i < v->list.n && !v->hidden[v->order[i]])
            return v->order[i];
    return QS_NO_ROW;
}

static void put_in_order(struct qs_table_view *v, size_t row)
{
    const size_t all = rows_of(v);
    size_t n = 0;
    for (size_t r = 0; r < all; r++)
        if (!v->hidden[r])
            v->order[n++] = r;
    if (v->sort_column != QS_NO_COLUMN)
        qs_section_order(v->section, v->sort_column, v->sort_down, v->order, v->spare, n);
    qs_list_set(&v->list, n, v->list.shown);
    qs_table_view_go(v, row);
}

static void drop(struct qs_table_view *v)
{
    qs_free(v->order);
    qs_free(v->spare);
    qs_free(v->hidden);
    v->order = v->spare = NULL;
    v->hidden = NULL;
    v->section = NULL;
    v->n_columns = 0;
    v->filtered = v->measured = false;
}

void qs_table_view_free(struct qs_table_view *v)
{
    drop(v);
    *v = (struct qs_table_view)QS_TABLE_VIEW_INIT;
}

/* The column of the new section with the key that the old one was sorted by. */
static size_t sorted_column(const struct qs_table_view *v)
{
    for (size_t c = 0; c < v->n_columns && v->sort_key[0]; c++)
        if (strcmp(qs_section_column(v->section, c)->key, v->sort_key) == 0)
            return c;
    return QS_NO_COLUMN;
}

int qs_table_view_set(struct qs_table_view *v, const struct qs_section *s, struct qs_err *e)
{
    const size_t before = rows_of(v), row = qs_table_view_row(v), columns = v->n_columns;
    const size_t n = s ? qs_section_rows(s) : 0, n_columns = s ? qs_section_columns(s) : 0;
    drop(v);
    if (s) {
        v->order = qs_calloc(n + 1, sizeof *v->order);
        v->spare = qs_calloc(n / 2 + 1, sizeof *v->spare);
        v->hidden = qs_calloc(n + 1, sizeof *v->hidden);
        if (!v->order || !v->spare || !v->hidden) {
            drop(v);
            qs_list_set(&v->list, 0, v->list.shown);
            return qs_fail_mem(e, (n + 1) * sizeof *v->order, "the rows of a table");
        }
    }
    v->section = s;
    v->n_columns = n_columns < QS_TABLE_COLUMNS ? n_columns : QS_TABLE_COLUMNS;
    v->left = v->n_columns == columns ? v->left : 0;
    memset(v->column, 0, sizeof v->column);
    v->sort_column = sorted_column(v);
    if (v->sort_column == QS_NO_COLUMN)
        v->sort_key[0] = 0;
    put_in_order(v, n == before ? row : QS_NO_ROW);
    return QS_OK;
}

/* ---- sorting ---- */

void qs_table_view_sort(struct qs_table_view *v, size_t column, bool down)
{
    v->sort_column = column < v->n_columns ? column : QS_NO_COLUMN;
    v->sort_down = down && v->sort_column != QS_NO_COLUMN;
    v->sort_key[0] = 0;
    if (v->sort_column != QS_NO_COLUMN) {
        const char *key = qs_section_column(v->section, column)->key;
        const size_t n = strlen(key), kept = n < sizeof v->sort_key ? n : 0; /* a key too long is not remembered */
        memcpy(v->sort_key, key, kept);
        v->sort_key[kept] = 0;
    }
    put_in_order(v, qs_table_view_row(v));
}

void qs_table_view_sort_step(struct qs_table_view *v, int step)
{
    const size_t n = v->n_columns, unsorted = n;
    size_t c = v->sort_column == QS_NO_COLUMN ? unsorted : v->sort_column;
    do
        c = step < 0 ? (c + n) % (n + 1) : (c + 1) % (n + 1);
    while (c != unsorted && !v->column[c].shown);
    qs_table_view_sort(v, c == unsorted ? QS_NO_COLUMN : c, c != unsorted && !qs_section_column(v->section, c)->left);
}

void qs_table_view_sort_reverse(struct qs_table_view *v)
{
    if (v->sort_column != QS_NO_COLUMN)
        qs_table_view_sort(v, v->sort_column, !v->sort_down);
}

/* ---- search and filter ---- */

/* Whether a string in the row matches, as it is seen: clean. */
static bool row_matches(const struct qs_table_view *v, size_t row, const struct qs_regex *re, struct qs_str *text)
{
    for (size_t c = 0; c < v->n_columns; c++) {
        const struct qs_cell *cell = qs_section_cell(v->section, row, c);
        if (cell->type != QS_CELL_STR)
            continue;
        qs_str_clear(text);
        qs_cell_text(text, qs_section_column(v->section, c), cell, QS_DECIMALS_EACH, v->ascii);
        if (qs_regex_find(re, text->data, text->len, 0, NULL, NULL) == 1)
            return true;
    }
    return false;
}

void qs_table_view_keep(struct qs_table_view *v, bool (*keep)(void *ctx, size_t row), void *ctx)
{
    const size_t n = rows_of(v);
    for (size_t r = 0; r < n; r++)
        v->hidden[r] = keep && !keep(ctx, r);
    v->filtered = n && keep;
    put_in_order(v, row_left(v));
}

int qs_table_view_find(struct qs_table_view *v, const struct qs_regex *re, bool backwards)
{
    struct qs_str text = QS_STR_INIT;
    const size_t n = v->list.n, from = v->list.cursor;
    int found = 0;
    for (size_t i = 1; i <= n && re && !found; i++) {
        const size_t line = backwards ? (from + n - i) % n : (from + i) % n;
        if (!row_matches(v, v->order[line], re, &text))
            continue;
        found = backwards ? (line < from ? 1 : 2) : line > from ? 1 : 2;
        qs_list_to(&v->list, line);
    }
    qs_str_free(&text);
    return found;
}

/* ---- mouse, columns ---- */

bool qs_table_view_scroll(struct qs_table_view *v, int columns)
{
    if (columns > 0 ? !v->more_right || v->left + 2 >= v->n_columns : !v->left)
        return false;
    v->left = columns > 0 ? v->left + 1 : v->left - 1;
    return true;
}

enum qs_table_hit qs_table_view_mouse(struct qs_table_view *v, const struct qs_event *e, size_t *where)
{
    size_t ignored;
    where = where ? where : &ignored;
    if (qs_list_mouse(&v->list, e)) {
        *where = v->list.cursor;
        return QS_TABLE_MOVED;
    }
    if (e->kind != QS_EVENT_MOUSE || e->mouse != QS_MOUSE_PRESS || e->button != 1 || !qs_rect_has(v->head, e->row, e->col))
        return QS_TABLE_ELSEWHERE;
    const int x = e->col - v->head.x;
    for (size_t c = 0; c < v->n_columns; c++)
        if (v->column[c].shown && x >= v->column[c].x && x <= v->column[c].x + v->column[c].shown) {
            *where = c;
            return QS_TABLE_HEAD;
        }
    return QS_TABLE_ELSEWHERE;
}
