/* table.c - owns the cells and strings of a report: building, reading back, sorting.
 *
 * A facts section is a table of one row whose columns are made as the facts come, so that both print through the same
 * code. Memory that runs out while building sets a flag in the report; every later call does nothing. A report belongs
 * to one thread at a time.
 */
#include "core/report/table_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* ---- building ------------------------------------------------------------------------------------------------ */

static void fail(struct qs_section *s)
{
    s->report->failed = true;
}

static char *copy(struct qs_report *r, const char *text)
{
    char *c = qs_strdup(text ? text : "");
    if (!c)
        r->failed = true;
    return c;
}

struct qs_report *qs_report_new(const char *kind)
{
    struct qs_report *r = qs_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->kind = qs_strdup(kind);
    if (!r->kind) {
        qs_free(r);
        return NULL;
    }
    return r;
}

static void section_free(struct qs_section *s)
{
    for (size_t i = 0; i < s->n_cells; i++)
        if (s->cell[i].type == QS_CELL_STR)
            qs_free((char *)(uintptr_t)s->cell[i].str);
    for (size_t i = 0; i < s->n_columns; i++) {
        qs_free((char *)(uintptr_t)s->column[i].key);
        qs_free((char *)(uintptr_t)s->column[i].title);
    }
    for (size_t i = 0; i < s->n_notes; i++)
        qs_free(s->note[i]);
    qs_free(s->cell);
    qs_free(s->column);
    qs_free(s->note);
    qs_free(s->key);
    qs_free(s->title);
    qs_free(s);
}

void qs_report_free(struct qs_report *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_sections; i++)
        section_free(r->section[i]);
    qs_free(r->section);
    qs_free(r->kind);
    qs_free(r);
}

bool qs_report_failed(const struct qs_report *r)
{
    return !r || r->failed;
}

static struct qs_section *section_new(struct qs_report *r, const char *key, const char *title, bool facts)
{
    if (!r || r->failed)
        return NULL;
    struct qs_section *s = qs_calloc(1, sizeof *s);
    if (!s || !qs_grow(&r->section, &r->section_cap, r->n_sections + 1, sizeof *r->section)) {
        qs_free(s);
        r->failed = true;
        return NULL;
    }
    s->report = r;
    s->facts = facts;
    s->key = copy(r, key);
    s->title = copy(r, title);
    r->section[r->n_sections++] = s;
    return s;
}

static bool add_column(struct qs_section *s, const struct qs_column *c)
{
    if (!qs_grow(&s->column, &s->column_cap, s->n_columns + 1, sizeof *s->column)) {
        fail(s);
        return false;
    }
    struct qs_column own = *c;
    own.key = copy(s->report, c->key);
    own.title = copy(s->report, c->title);
    s->column[s->n_columns++] = own;
    return !s->report->failed;
}

static struct qs_cell *add_cells(struct qs_section *s, size_t n)
{
    if (!qs_grow(&s->cell, &s->cell_cap, s->n_cells + n, sizeof *s->cell)) {
        fail(s);
        return NULL;
    }
    struct qs_cell *c = s->cell + s->n_cells;
    memset(c, 0, n * sizeof *c);
    s->n_cells += n;
    return c;
}

struct qs_section *qs_report_facts(struct qs_report *r, const char *key, const char *title)
{
    struct qs_section *s = section_new(r, key, title, true);
    if (s)
        s->n_rows = 1;
    return s;
}

static struct qs_cell *add_fact(struct qs_section *s, const char *key, const char *label, enum qs_unit unit, bool left)
{
    if (!s || s->report->failed)
        return NULL;
    const struct qs_column c = { .key = key, .title = label, .unit = unit, .left = left };
    return add_column(s, &c) ? add_cells(s, 1) : NULL;
}

static void put_str(struct qs_section *s, struct qs_cell *c, const char *value)
{
    if (!value)
        return;
    c->str = copy(s->report, value);
    if (c->str)
        c->type = QS_CELL_STR;
}

void qs_fact_str(struct qs_section *s, const char *key, const char *label, const char *value)
{
    struct qs_cell *c = add_fact(s, key, label, QS_UNIT_NONE, true);
    if (c)
        put_str(s, c, value);
}

void qs_fact_int(struct qs_section *s, const char *key, const char *label, int64_t value, enum qs_unit unit)
{
    struct qs_cell *c = add_fact(s, key, label, unit, false);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_INT, .i = value };
}

void qs_fact_num(struct qs_section *s, const char *key, const char *label, double value, enum qs_unit unit, enum qs_how how)
{
    struct qs_cell *c = add_fact(s, key, label, unit, false);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_NUM, .num = value, .how = how };
}

void qs_fact_bool(struct qs_section *s, const char *key, const char *label, bool value)
{
    struct qs_cell *c = add_fact(s, key, label, QS_UNIT_NONE, true);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_BOOL, .i = value };
}

void qs_section_note(struct qs_section *s, const char *fmt, ...)
{
    if (!s || s->report->failed)
        return;
    struct qs_str text = QS_STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(&text, fmt, ap);
    va_end(ap);
    if (text.failed || !qs_grow(&s->note, &s->note_cap, s->n_notes + 1, sizeof *s->note)) {
        qs_str_free(&text);
        fail(s);
        return;
    }
    char *line = text.len ? qs_str_take(&text) : copy(s->report, "");
    if (line)
        s->note[s->n_notes++] = line;
    else
        fail(s);
}

struct qs_section *qs_report_table(struct qs_report *r, const char *key, const char *title,
                                   const struct qs_column *columns, size_t n_columns)
{
    struct qs_section *s = section_new(r, key, title, false);
    for (size_t i = 0; s && i < n_columns; i++)
        if (!add_column(s, &columns[i]))
            return NULL;
    return s;
}

void qs_row(struct qs_section *s)
{
    if (s && !s->report->failed && !s->facts && add_cells(s, s->n_columns))
        s->n_rows++;
}

/* The cell of the row last begun, emptied; NULL when there is none. */
static struct qs_cell *cell_of(struct qs_section *s, size_t column)
{
    if (!s || s->report->failed || s->facts || !s->n_rows || column >= s->n_columns)
        return NULL;
    struct qs_cell *c = &s->cell[(s->n_rows - 1) * s->n_columns + column];
    if (c->type == QS_CELL_STR)
        qs_free((char *)(uintptr_t)c->str);
    *c = (struct qs_cell){ QS_CELL_NONE, NULL, 0, 0, QS_HOW_EXACT, 0 };
    return c;
}

void qs_cell_str(struct qs_section *s, size_t column, const char *value)
{
    struct qs_cell *c = cell_of(s, column);
    if (c)
        put_str(s, c, value);
}

void qs_cell_int(struct qs_section *s, size_t column, int64_t value)
{
    struct qs_cell *c = cell_of(s, column);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_INT, .i = value };
}

void qs_cell_num(struct qs_section *s, size_t column, double value)
{
    struct qs_cell *c = cell_of(s, column);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_NUM, .num = value };
}

void qs_cell_bool(struct qs_section *s, size_t column, bool value)
{
    struct qs_cell *c = cell_of(s, column);
    if (c)
        *c = (struct qs_cell){ .type = QS_CELL_BOOL, .i = value };
}

void qs_cell_how(struct qs_section *s, size_t column, enum qs_how how, double std_error)
{
    if (!s || s->report->failed || s->facts || !s->n_rows || column >= s->n_columns)
        return;
    struct qs_cell *c = &s->cell[(s->n_rows - 1) * s->n_columns + column];
    c->how = how;
    c->std_error = std_error;
}

/* ---- reading back -------------------------------------------------------------------------------------------- */

size_t qs_report_sections(const struct qs_report *r)
{
    return r ? r->n_sections : 0;
}

struct qs_section *qs_report_section(const struct qs_report *r, size_t i)
{
    return i < qs_report_sections(r) ? r->section[i] : NULL;
}

size_t qs_section_rows(const struct qs_section *s)
{
    return s ? s->n_rows : 0;
}

size_t qs_section_columns(const struct qs_section *s)
{
    return s ? s->n_columns : 0;
}

const struct qs_column *qs_section_column(const struct qs_section *s, size_t i)
{
    return i < qs_section_columns(s) ? &s->column[i] : NULL;
}

const struct qs_cell *qs_section_cell(const struct qs_section *s, size_t row, size_t column)
{
    if (row >= qs_section_rows(s) || column >= s->n_columns)
        return NULL;
    return &s->cell[row * s->n_columns + column];
}

/* ---- sorting ------------------------------------------------------------------------------------------------- */

/* Byte order, except that runs of digits compare as numbers: blk.2 before blk.10. */
static int natural(const char *a, const char *b)
{
    while (*a && *b) {
        if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            a += strspn(a, "0");
            b += strspn(b, "0");
            const size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
            const int c = na != nb ? (na < nb ? -1 : 1) : memcmp(a, b, na);
            if (c)
                return c;
            a += na;
            b += nb;
        } else if (*a == *b) {
            a++;
            b++;
        } else {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        }
    }
    return (*a != 0) - (*b != 0);
}

static double number_of(const struct qs_cell *c)
{
    return c->type == QS_CELL_NUM ? c->num : c->type == QS_CELL_NONE || c->type == QS_CELL_STR ? NAN : (double)c->i;
}

static bool is_empty(const struct qs_cell *c)
{
    return c->type == QS_CELL_NONE || (c->type == QS_CELL_NUM && isnan(c->num));
}

/* Empty cells come last whatever the direction. */
static int compare(const struct qs_cell *a, const struct qs_cell *b, bool down)
{
    if (is_empty(a) || is_empty(b))
        return is_empty(a) - is_empty(b);
    int c;
    if (a->type == QS_CELL_STR && b->type == QS_CELL_STR) {
        c = natural(a->str, b->str);
    } else if (a->type == QS_CELL_INT && b->type == QS_CELL_INT) {
        c = (a->i > b->i) - (a->i < b->i);
    } else {
        const double x = number_of(a), y = number_of(b);
        c = (x > y) - (x < y);
    }
    return down ? -c : c;
}

void qs_section_order(const struct qs_section *s, size_t column, bool down, size_t *row, size_t *tmp, size_t n)
{
    if (n < 2)
        return;
    const size_t half = n / 2;
    qs_section_order(s, column, down, row, tmp, half);
    qs_section_order(s, column, down, row + half, tmp, n - half);
    memcpy(tmp, row, half * sizeof *row);
    size_t l = 0, r = half, o = 0;
    while (l < half && r < n) {
        const struct qs_cell *a = &s->cell[tmp[l] * s->n_columns + column], *b = &s->cell[row[r] * s->n_columns + column];
        row[o++] = compare(a, b, down) <= 0 ? tmp[l++] : row[r++];
    }
    while (l < half)
        row[o++] = tmp[l++];
}

static int unknown_key(const struct qs_section *s, const char *key, struct qs_err *e)
{
    struct qs_str keys = QS_STR_INIT;
    for (size_t i = 0; i < s->n_columns; i++)
        qs_str_addf(&keys, "%s%s", i ? ", " : "", s->column[i].key);
    const int rc = qs_fail(e, QS_EINVAL, "cannot sort by '%s'; the keys are: %s", key, keys.data);
    qs_str_free(&keys);
    return rc;
}

int qs_section_sort(struct qs_section *s, const char *key, struct qs_err *e)
{
    const bool down = key[0] == '-';
    size_t column = 0;
    if (!s || s->report->failed)
        return qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    while (column < s->n_columns && strcmp(s->column[column].key, key + down) != 0)
        column++;
    if (column == s->n_columns)
        return unknown_key(s, key + down, e);
    if (s->n_rows < 2)
        return QS_OK;
    size_t *order = qs_calloc(s->n_rows, 2 * sizeof *order);
    struct qs_cell *sorted = qs_calloc(s->n_cells, sizeof *sorted);
    if (!order || !sorted) {
        qs_free(order);
        qs_free(sorted);
        return qs_fail_mem(e, s->n_cells * sizeof *sorted, "sorting a table");
    }
    for (size_t i = 0; i < s->n_rows; i++)
        order[i] = i;
    qs_section_order(s, column, down, order, order + s->n_rows, s->n_rows);
    for (size_t i = 0; i < s->n_rows; i++)
        memcpy(sorted + i * s->n_columns, s->cell + order[i] * s->n_columns, s->n_columns * sizeof *sorted);
    memcpy(s->cell, sorted, s->n_cells * sizeof *sorted);
    qs_free(order);
    qs_free(sorted);
    return QS_OK;
}

void qs_section_keep(struct qs_section *s, size_t n_rows)
{
    if (!s || s->facts || n_rows >= s->n_rows)
        return;
    for (size_t i = n_rows * s->n_columns; i < s->n_cells; i++)
        if (s->cell[i].type == QS_CELL_STR)
            qs_free((char *)(uintptr_t)s->cell[i].str);
    s->n_rows = n_rows;
    s->n_cells = n_rows * s->n_columns;
}
