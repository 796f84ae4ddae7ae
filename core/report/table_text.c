/* table_text.c - a report as text for people: numbers with units, columns fitted to the width, harmless for terminals.
 *
 * Nothing is cached: cells are formatted once to measure and once to print. Writes only to the caller's string.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/report/table_internal.h"

#define GAP 2           /* blanks between columns */
#define MIN_STRING 8    /* strings are not shortened below this many cells */
#define MIN_WRAP 24     /* a last column of text is wrapped, not shortened, when this much is left for it */
#define INDENT 2

/* ---- numbers ------------------------------------------------------------------------------------------------- */

/* Digits of a whole number with a comma between thousands. */
static void add_thousands(struct qs_str *out, const char *digits)
{
    if (*digits == '-')
        qs_str_addc(out, *digits++);
    const size_t n = strlen(digits);
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            qs_str_addc(out, ',');
        qs_str_addc(out, digits[i]);
    }
}

static void add_significant(struct qs_str *out, double v, int digits)
{
    char buf[64];
    snprintf(buf, sizeof buf, "%.*e", digits - 1, v);
    const char *exp_at = strchr(buf, 'e');
    const int exponent = exp_at ? (exp_at[1] == '-' ? -1 : 1) * (int)(strtoul(exp_at + 2, NULL, 10) % 1000) : 0;
    if (exponent < -4 || exponent > 14) {
        qs_str_add(out, buf);
        return;
    }
    const int decimals = digits - 1 - exponent;
    snprintf(buf, sizeof buf, "%.*f", decimals > 0 ? decimals : 0, v);
    if (decimals > 0)
        qs_str_add(out, buf);
    else
        add_thousands(out, buf);
}

void qs_fmt_int(struct qs_str *out, int64_t value, enum qs_unit unit)
{
    char buf[48];
    if (unit == QS_UNIT_BYTES && value >= 0) {
        qs_str_add(out, qs_fmt_bytes(buf, sizeof buf, (unsigned long long)value));
    } else if (unit == QS_UNIT_PERCENT || unit == QS_UNIT_SECONDS) {
        qs_fmt_num(out, (double)value, unit, 0);
    } else {
        snprintf(buf, sizeof buf, "%lld", (long long)value);
        add_thousands(out, buf);
    }
}

void qs_fmt_num(struct qs_str *out, double value, enum qs_unit unit, int digits)
{
    char buf[48];
    if (isnan(value)) {
        qs_str_add(out, "-");
        return;
    }
    if (isinf(value)) {
        qs_str_add(out, value < 0 ? "-inf" : "inf");
        return;
    }
    const double v = unit == QS_UNIT_PERCENT ? 100 * value : value;
    const bool zero = !(v < 0 || v > 0);
    switch (unit) {
    case QS_UNIT_BYTES:
        if (v >= 0 && v < 0x1p63) {
            qs_str_add(out, qs_fmt_bytes(buf, sizeof buf, (unsigned long long)(v + 0.5)));
            return;
        }
        break;
    case QS_UNIT_SECONDS:
        qs_str_add(out, qs_fmt_seconds(buf, sizeof buf, v));
        return;
    case QS_UNIT_BPW:
        if (!digits) {
            qs_str_addf(out, "%.2f", v);
            return;
        }
        break;
    case QS_UNIT_PERCENT:
        if (zero)
            qs_str_addc(out, '0');
        else
            add_significant(out, v, digits ? digits : 3);
        qs_str_addc(out, '%');
        return;
    default:
        break;
    }
    if (zero)
        qs_str_addc(out, '0');
    else
        add_significant(out, v, digits ? digits : 3);
}

/* ---- cells --------------------------------------------------------------------------------------------------- */

static void add_cell(struct qs_str *out, const struct qs_column *col, const struct qs_cell *c, size_t max_cells)
{
    if (c->type == QS_CELL_NONE || (c->type == QS_CELL_NUM && isnan(c->num))) {
        qs_str_add(out, col->left ? "" : "-");
        return;
    }
    if (c->how == QS_HOW_SAMPLED)
        qs_str_addc(out, '~');
    else if (c->how == QS_HOW_PREDICTED)
        qs_str_addc(out, '^');
    switch (c->type) {
    case QS_CELL_STR: qs_utf8_clean(out, c->str, strlen(c->str), max_cells); break;
    case QS_CELL_INT: qs_fmt_int(out, c->i, col->unit); break;
    case QS_CELL_NUM: qs_fmt_num(out, c->num, col->unit, col->digits); break;
    case QS_CELL_BOOL: qs_str_add(out, c->i ? "yes" : "no"); break;
    case QS_CELL_NONE: break;
    }
}

void qs_text_blanks(struct qs_str *out, size_t n)
{
    while (n-- > 0)
        qs_str_addc(out, ' ');
}

void qs_text_end_line(struct qs_str *out)
{
    while (out->len && out->data[out->len - 1] == ' ' && !out->failed)
        out->data[--out->len] = 0;
    qs_str_addc(out, '\n');
}

/* Clean text wrapped at blanks; the cursor stands at column `at`, later lines start at `indent`. width 0: one line. */
static void wrap(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width)
{
    bool first = true;
    const size_t most = width > indent + MIN_STRING ? width - indent : MIN_STRING;
    while (*(text += strspn(text, " "))) {
        const size_t n = strcspn(text, " "), cells = qs_utf8_width(text, n);
        if (!first && width && at + 1 + cells > width) {
            qs_text_end_line(out);
            qs_text_blanks(out, indent);
            at = indent;
            first = true;
        }
        if (!first) {
            qs_str_addc(out, ' ');
            at++;
        }
        if (width && cells > most)
            qs_utf8_clean(out, text, n, most);
        else
            qs_str_addn(out, text, n);
        at += cells;
        text += n;
        first = false;
    }
    qs_text_end_line(out);
}

static void wrap_raw(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width)
{
    struct qs_str clean = QS_STR_INIT;
    qs_utf8_clean(&clean, text, strlen(text), 0);
    wrap(out, clean.data, at, indent, width);
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

/* ---- facts --------------------------------------------------------------------------------------------------- */

static void fact_value(struct qs_str *out, const struct qs_column *c, const struct qs_cell *v)
{
    static const char *const suffix[] = { [QS_UNIT_BPW] = " bpw", [QS_UNIT_SIGMA] = " sd", [QS_UNIT_COUNT] = "" };
    add_cell(out, c, v, 0);
    const bool number = v->type == QS_CELL_INT || (v->type == QS_CELL_NUM && isfinite(v->num));
    if (number && c->unit < sizeof suffix / sizeof *suffix && suffix[c->unit])
        qs_str_add(out, suffix[c->unit]);
}

static void print_facts(const struct qs_section *s, unsigned width, struct qs_str *out)
{
    size_t label = 0;
    struct qs_str text = QS_STR_INIT;
    for (size_t i = 0; i < s->n_columns; i++) {
        const size_t n = qs_utf8_width(s->column[i].title, strlen(s->column[i].title));
        label = n > label ? n : label;
    }
    for (size_t i = 0; i < s->n_columns; i++) {
        const char *title = s->column[i].title;
        const size_t at = INDENT + label + GAP;
        qs_text_blanks(out, INDENT);
        qs_str_add(out, title);
        qs_text_blanks(out, at - INDENT - qs_utf8_width(title, strlen(title)));
        qs_str_clear(&text);
        fact_value(&text, &s->column[i], &s->cell[i]);
        wrap(out, text.data, at, at, width && width > at + MIN_STRING ? width : 0);
    }
    out->failed |= text.failed;
    qs_str_free(&text);
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

struct shape { size_t width; bool shown, blank_inside; };

static size_t total_width(const struct shape *w, size_t n)
{
    size_t sum = INDENT, shown = 0;
    for (size_t i = 0; i < n; i++)
        if (w[i].shown) {
            sum += w[i].width;
            shown++;
        }
    return sum + (shown ? (shown - 1) * GAP : 0);
}

static void measure(const struct qs_section *s, struct shape *w)
{
    struct qs_str text = QS_STR_INIT;
    for (size_t c = 0; c < s->n_columns; c++) {
        const char *title = s->column[c].title;
        w[c] = (struct shape){ qs_utf8_width(title, strlen(title)), true, false };
        for (size_t r = 0; r < s->n_rows; r++) {
            qs_str_clear(&text);
            add_cell(&text, &s->column[c], &s->cell[r * s->n_columns + c], 0);
            const size_t n = qs_utf8_width(text.data, text.len);
            if (n > w[c].width)
                w[c].width = n;
            w[c].blank_inside |= strchr(text.data, ' ') != NULL;
        }
    }
    qs_str_free(&text);
}

static size_t title_width(const struct qs_section *s, size_t c)
{
    const size_t n = qs_utf8_width(s->column[c].title, strlen(s->column[c].title));
    return n > MIN_STRING ? n : MIN_STRING;
}

/* Makes the columns fit; returns the column to be wrapped, or n_columns. */
static size_t fit(const struct qs_section *s, struct shape *w, size_t width)
{
    const size_t n = s->n_columns;
    size_t last = n;
    if (!width || total_width(w, n) <= width)
        return n;
    for (size_t c = n; c-- > 0 && total_width(w, n) > width;)
        if (s->column[c].optional)
            w[c].shown = false;
    for (size_t c = 0; c < n; c++)
        if (w[c].shown)
            last = c;
    size_t over = total_width(w, n) > width ? total_width(w, n) - width : 0;
    if (over && last < n && s->column[last].left && w[last].blank_inside && w[last].width >= over + MIN_WRAP) {
        w[last].width -= over;
        return last;
    }
    while (over) { /* the widest string column gives way, one cell at a time */
        size_t widest = n;
        for (size_t c = 0; c < n; c++)
            if (w[c].shown && s->column[c].left && w[c].width > title_width(s, c) &&
                (widest == n || w[c].width > w[widest].width))
                widest = c;
        if (widest == n)
            break;
        w[widest].width--;
        over--;
    }
    return n;
}

static void pad(struct qs_str *out, const char *text, size_t width, bool left)
{
    const size_t n = qs_utf8_width(text, strlen(text)), gap = width > n ? width - n : 0;
    if (!left)
        qs_text_blanks(out, gap);
    qs_str_add(out, text);
    if (left)
        qs_text_blanks(out, gap);
}

static void print_head(const struct qs_section *s, const struct shape *w, struct qs_str *out)
{
    for (int rule = 0; rule < 2; rule++) {
        bool first = true;
        qs_text_blanks(out, INDENT);
        for (size_t c = 0; c < s->n_columns; c++) {
            if (!w[c].shown)
                continue;
            qs_text_blanks(out, first ? 0 : GAP);
            first = false;
            for (size_t i = 0; rule && i < w[c].width; i++)
                qs_str_addc(out, '-');
            if (!rule)
                pad(out, s->column[c].title, w[c].width, s->column[c].left);
        }
        qs_text_end_line(out);
    }
}

static void print_row(const struct qs_section *s, const struct shape *w, size_t row, size_t wrapped, struct qs_str *out)
{
    struct qs_str text = QS_STR_INIT;
    size_t at = INDENT;
    bool first = true;
    qs_text_blanks(out, INDENT);
    for (size_t c = 0; c < s->n_columns; c++) {
        if (!w[c].shown)
            continue;
        qs_text_blanks(out, first ? 0 : GAP);
        at += first ? 0 : GAP;
        first = false;
        qs_str_clear(&text);
        add_cell(&text, &s->column[c], &s->cell[row * s->n_columns + c], c == wrapped ? 0 : w[c].width);
        if (c == wrapped) {
            wrap(out, text.data, at, at, at + w[c].width);
            break;
        }
        pad(out, text.data, w[c].width, s->column[c].left);
        at += w[c].width;
    }
    if (wrapped == s->n_columns)
        qs_text_end_line(out);
    out->failed |= text.failed;
    qs_str_free(&text);
}

static void print_left_out(const struct qs_section *s, const struct shape *w, unsigned width, struct qs_str *out)
{
    struct qs_str text = QS_STR_INIT;
    unsigned n = 0;
    for (size_t c = 0; c < s->n_columns; c++)
        if (!w[c].shown)
            qs_str_addf(&text, "%s%s", n++ ? ", " : "not shown at this width: ", s->column[c].title);
    if (n) {
        qs_text_blanks(out, INDENT);
        wrap_raw(out, text.data, INDENT, INDENT, width);
    }
    out->failed |= text.failed;
    qs_str_free(&text);
}

static void print_table(const struct qs_section *s, unsigned width, struct qs_str *out)
{
    struct shape *w = qs_calloc(s->n_columns + 1, sizeof *w);
    if (!w) {
        out->failed = true;
        return;
    }
    measure(s, w);
    const size_t wrapped = fit(s, w, width);
    print_head(s, w, out);
    for (size_t r = 0; r < s->n_rows; r++)
        print_row(s, w, r, wrapped, out);
    if (!s->n_rows) {
        qs_text_blanks(out, INDENT);
        qs_str_add(out, "(none)\n");
    }
    print_left_out(s, w, width, out);
    qs_free(w);
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static void print_legend(const struct qs_section *s, struct qs_str *out)
{
    bool sampled = false, predicted = false;
    for (size_t i = 0; i < s->n_cells; i++) {
        sampled |= s->cell[i].how == QS_HOW_SAMPLED;
        predicted |= s->cell[i].how == QS_HOW_PREDICTED;
    }
    if (sampled)
        qs_str_add(out, "  ~ measured on a sample of rows\n");
    if (predicted)
        qs_str_add(out, "  ^ predicted from other measurements\n");
}

void qs_report_text(const struct qs_report *r, unsigned width, struct qs_str *out)
{
    bool first = true;
    for (size_t i = 0; !qs_report_failed(r) && i < r->n_sections; i++) {
        const struct qs_section *s = r->section[i];
        if (s->facts && !s->n_columns && !s->n_notes)
            continue;
        if (!first)
            qs_str_addc(out, '\n');
        first = false;
        if (s->title && s->title[0])
            wrap_raw(out, s->title, 0, 0, width);
        if (s->facts)
            print_facts(s, width, out);
        else
            print_table(s, width, out);
        print_legend(s, out);
        for (size_t k = 0; k < s->n_notes; k++) {
            qs_text_blanks(out, INDENT);
            wrap_raw(out, s->note[k], INDENT, INDENT, width);
        }
    }
}
