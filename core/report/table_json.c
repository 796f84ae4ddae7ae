/* table_json.c - a report for programs: JSON and CSV with raw values under stable keys.
 *
 * Nothing is kept. Numbers are plain (bytes, shares 0..1, seconds) and print in the shortest form that reads back to the
 * same double. How a number was obtained, and its standard error, stand beside it under KEY_how and KEY_se.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/report/table_internal.h"

/* What stands beside the values of a column; the same for every row, so that keys are stable within a table. */
struct beside { bool how, se; };

static struct beside beside_of(const struct qs_section *s, size_t column)
{
    struct beside b = { false, false };
    for (size_t r = 0; r < s->n_rows; r++) {
        const struct qs_cell *c = &s->cell[r * s->n_columns + column];
        b.how |= c->how != QS_HOW_EXACT;
        b.se |= c->how == QS_HOW_SAMPLED && !s->facts;
    }
    return b;
}

static bool is_none(const struct qs_cell *c)
{
    return c->type == QS_CELL_NONE || (c->type == QS_CELL_NUM && !isfinite(c->num));
}

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

static bool add_value(struct qs_json *o, const char *key, const struct qs_cell *c)
{
    switch (c->type) {
    case QS_CELL_STR: return qs_json_add_str(o, key, c->str);
    case QS_CELL_INT: return qs_json_add_int(o, key, c->i);
    case QS_CELL_BOOL: return qs_json_add_bool(o, key, c->i != 0);
    case QS_CELL_NUM: return isfinite(c->num) ? qs_json_add_num(o, key, c->num) : qs_json_add_null(o, key);
    case QS_CELL_NONE: break;
    }
    return qs_json_add_null(o, key);
}

static bool add_beside(struct qs_json *o, const char *key, const struct qs_cell *c, struct beside b)
{
    struct qs_str k = QS_STR_INIT;
    bool ok = true;
    if (b.se) {
        qs_str_addf(&k, "%s_se", key);
        ok = ok && (is_none(c) || !isfinite(c->std_error) ? qs_json_add_null(o, k.data)
                                                          : qs_json_add_num(o, k.data, c->std_error));
    }
    if (b.how) {
        qs_str_clear(&k);
        qs_str_addf(&k, "%s_how", key);
        ok = ok && (is_none(c) ? qs_json_add_null(o, k.data) : qs_json_add_str(o, k.data, qs_how_name(c->how)));
    }
    ok = ok && !k.failed;
    qs_str_free(&k);
    return ok;
}

static bool add_row(struct qs_json *o, const struct qs_section *s, size_t row, const struct beside *b)
{
    for (size_t c = 0; c < s->n_columns; c++) {
        const struct qs_cell *cell = &s->cell[row * s->n_columns + c];
        if (!add_value(o, s->column[c].key, cell) || !add_beside(o, s->column[c].key, cell, b[c]))
            return false;
    }
    return true;
}

static bool add_section(struct qs_json *root, const struct qs_section *s)
{
    struct beside *b = qs_calloc(s->n_columns + 1, sizeof *b);
    if (!b)
        return false;
    bool ok = true;
    for (size_t c = 0; c < s->n_columns; c++)
        b[c] = beside_of(s, c);
    if (s->facts) {
        struct qs_json *o = s->key[0] ? qs_json_add_object(root, s->key) : root;
        ok = o && add_row(o, s, 0, b);
    } else {
        struct qs_json *rows = qs_json_add_array(root, s->key);
        ok = rows != NULL;
        for (size_t r = 0; ok && r < s->n_rows; r++) {
            struct qs_json *o = qs_json_add_object(rows, NULL);
            ok = o && add_row(o, s, r, b);
        }
    }
    qs_free(b);
    return ok;
}

static bool add_notes(struct qs_json *root, const struct qs_report *r)
{
    struct qs_json *list = NULL;
    for (size_t i = 0; i < r->n_sections; i++)
        for (size_t k = 0; k < r->section[i]->n_notes; k++) {
            if (!list)
                list = qs_json_add_array(root, "notes");
            if (!list || !qs_json_add_str(list, NULL, r->section[i]->note[k]))
                return false;
        }
    return true;
}

bool qs_report_json(const struct qs_report *r, struct qs_str *out)
{
    if (qs_report_failed(r))
        return false;
    struct qs_json *root = qs_json_object();
    bool ok = root && qs_json_add_str(root, "report", r->kind) && qs_json_add_int(root, "version", 1);
    for (size_t i = 0; ok && i < r->n_sections; i++)
        ok = add_section(root, r->section[i]);
    ok = ok && add_notes(root, r) && qs_json_print(root, true, out);
    qs_json_free(root);
    return ok && !out->failed;
}

/* ---- CSV ----------------------------------------------------------------------------------------------------- */

/* RFC 4180: quoted where needed. Control characters become visible escapes first: a table may end on a terminal. */
static void csv_text(struct qs_str *out, const char *text)
{
    struct qs_str clean = QS_STR_INIT;
    qs_utf8_clean(&clean, text, strlen(text), 0);
    const bool quote = strpbrk(clean.data, ",\"") != NULL || clean.data[0] == ' ' ||
                       (clean.len && clean.data[clean.len - 1] == ' ');
    if (quote)
        qs_str_addc(out, '"');
    for (const char *p = clean.data; *p; p++) {
        if (*p == '"')
            qs_str_addc(out, '"');
        qs_str_addc(out, *p);
    }
    if (quote)
        qs_str_addc(out, '"');
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

/* The shortest decimal form that reads back to the same double. */
static void csv_number(struct qs_str *out, double v)
{
    char buf[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        const double back = strtod(buf, NULL);
        if (!(back < v || back > v))
            break;
    }
    qs_str_add(out, buf);
}

static void csv_cell(struct qs_str *out, const struct qs_cell *c)
{
    if (is_none(c))
        return;
    switch (c->type) {
    case QS_CELL_STR: csv_text(out, c->str); break;
    case QS_CELL_INT: qs_str_addf(out, "%lld", (long long)c->i); break;
    case QS_CELL_NUM: csv_number(out, c->num); break;
    case QS_CELL_BOOL: qs_str_add(out, c->i ? "true" : "false"); break;
    case QS_CELL_NONE: break;
    }
}

static void csv_head(struct qs_str *out, const struct qs_section *s, const struct beside *b)
{
    for (size_t c = 0; c < s->n_columns; c++) {
        const char *key = s->column[c].key;
        if (c)
            qs_str_addc(out, ',');
        csv_text(out, key);
        if (b[c].se)
            qs_str_addf(out, ",%s_se", key);
        if (b[c].how)
            qs_str_addf(out, ",%s_how", key);
    }
    qs_str_add(out, "\r\n");
}

static void csv_row(struct qs_str *out, const struct qs_section *s, size_t row, const struct beside *b)
{
    for (size_t c = 0; c < s->n_columns; c++) {
        const struct qs_cell *cell = &s->cell[row * s->n_columns + c];
        if (c)
            qs_str_addc(out, ',');
        csv_cell(out, cell);
        if (b[c].se) {
            qs_str_addc(out, ',');
            if (!is_none(cell) && isfinite(cell->std_error))
                csv_number(out, cell->std_error);
        }
        if (b[c].how)
            qs_str_addf(out, ",%s", is_none(cell) ? "" : qs_how_name(cell->how));
    }
    qs_str_add(out, "\r\n");
}

int qs_report_csv(const struct qs_report *r, const char *key, struct qs_str *out, struct qs_err *e)
{
    const struct qs_section *s = NULL;
    if (qs_report_failed(r))
        return qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    for (size_t i = 0; i < r->n_sections && !s; i++)
        if (!r->section[i]->facts && (!key || strcmp(r->section[i]->key, key) == 0))
            s = r->section[i];
    if (!s)
        return qs_fail(e, QS_EINVAL, "the report '%s' has no table%s%s to print as CSV", r->kind, key ? " " : "", key ? key : "");
    struct beside *b = qs_calloc(s->n_columns + 1, sizeof *b);
    if (!b)
        return qs_fail_mem(e, (s->n_columns + 1) * sizeof *b, "a table");
    for (size_t c = 0; c < s->n_columns; c++)
        b[c] = beside_of(s, c);
    csv_head(out, s, b);
    for (size_t row = 0; row < s->n_rows; row++)
        csv_row(out, s, row, b);
    qs_free(b);
    return out->failed ? qs_fail(e, QS_ENOMEM, "out of memory while printing a table") : QS_OK;
}
