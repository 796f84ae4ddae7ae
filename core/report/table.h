/* table.h - one table per screen: the screen draws it, the verb prints it.
 *
 * A report is a list of sections; a section is either facts (key, label, value, unit, how obtained) or a table (columns
 * with key, title, unit; rows of cells). The same report gives text for people, JSON and CSV for programs. Keys are
 * stable and documented in the manual; titles may change. Every value knows its unit and how it was obtained.
 */
#ifndef QS_CORE_TABLE_H
#define QS_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"
#include "core/how.h"

enum qs_cell_type { QS_CELL_NONE, QS_CELL_STR, QS_CELL_INT, QS_CELL_NUM, QS_CELL_BOOL };
enum qs_unit {
    QS_UNIT_NONE,
    QS_UNIT_BYTES /* printed as KiB/MiB/GiB in text, plain bytes in JSON/CSV */,
    QS_UNIT_BPW,
    QS_UNIT_PERCENT /* value 0..1 */,
    QS_UNIT_SECONDS,
    QS_UNIT_WEIGHTS,
    QS_UNIT_SIGMA,
    QS_UNIT_COUNT,
    QS_UNIT_ID /* a number that names something: its digits, nothing between them */
};

struct qs_column {
    const char *key;    /* stable, lower_case */
    const char *title;  /* for people, short */
    enum qs_unit unit;
    signed char digits; /* significant digits of numbers in text; 0: 3; negative: so many decimals in every row.
                         * bpw: one less decimals in every row (0: 2). */
    bool left;          /* strings: left-aligned */
    bool optional;      /* dropped first when the text is too wide */
};

struct qs_report;  /* owns all its strings */
struct qs_section;

struct qs_report *qs_report_new(const char *kind); /* "info": becomes {"report": "info", "version": 1, ...} */
void qs_report_free(struct qs_report *r);
bool qs_report_failed(const struct qs_report *r);  /* memory ran out while building: nothing must be printed */

/* Facts: `key` names the JSON object, title heads the text. */
struct qs_section *qs_report_facts(struct qs_report *r, const char *key, const char *title);
void qs_fact_str(struct qs_section *s, const char *key, const char *label, const char *value);
void qs_fact_int(struct qs_section *s, const char *key, const char *label, int64_t value, enum qs_unit unit);
void qs_fact_num(struct qs_section *s, const char *key, const char *label, double value, enum qs_unit unit,
                 enum qs_how how);
void qs_fact_bool(struct qs_section *s, const char *key, const char *label, bool value);
/* A remark under the facts or table ("sizes in MiB are 2^20 bytes"). */
void qs_section_note(struct qs_section *s, const char *fmt, ...) QS_PRINTF(2, 3);

/* Tables: columns are copied. Cells are set for the row last begun. */
struct qs_section *qs_report_table(struct qs_report *r, const char *key, const char *title,
                                   const struct qs_column *columns, size_t n_columns);
void qs_row(struct qs_section *s);
void qs_cell_str(struct qs_section *s, size_t column, const char *value);
void qs_cell_int(struct qs_section *s, size_t column, int64_t value);
void qs_cell_num(struct qs_section *s, size_t column, double value); /* NaN prints as "-" and null */
void qs_cell_bool(struct qs_section *s, size_t column, bool value);
void qs_cell_how(struct qs_section *s, size_t column, enum qs_how how, double std_error); /* of the cell just set */

/* Reading it back (screens, sorting). A facts section reads as one row: a column per fact, titled by its label. */
struct qs_cell { enum qs_cell_type type; const char *str; int64_t i; double num; enum qs_how how; double std_error; };
size_t qs_report_sections(const struct qs_report *r);
struct qs_section *qs_report_section(const struct qs_report *r, size_t i);
size_t qs_section_rows(const struct qs_section *s);
size_t qs_section_columns(const struct qs_section *s);
const struct qs_column *qs_section_column(const struct qs_section *s, size_t i);
const struct qs_cell *qs_section_cell(const struct qs_section *s, size_t row, size_t column);
/* Stable sort by the column with that key; descending with a leading '-'. QS_EINVAL lists the keys there are. */
int qs_section_sort(struct qs_section *s, const char *key, struct qs_err *e);
/* The same without touching the section: sorts n row numbers, stable. tmp: room for n / 2 of them. */
void qs_section_order(const struct qs_section *s, size_t column, bool down, size_t *row, size_t *tmp, size_t n);
/* Drops all rows after the first n_rows ("the N worst", after a sort). */
void qs_section_keep(struct qs_section *s, size_t n_rows);

/* Printing. width: cells available for text (0: no limit). All text is made harmless for terminals. Numbers of a column
 * have as many decimals, unless their sizes lie far apart. Columns of strings that are empty in all rows are left out.
 * Where a table is too wide, optional columns go first (the last one first); then strings of several words are wrapped,
 * those of the last column, where it would get too narrow, on lines of their own below the row; then names are
 * shortened in the middle; then more columns go, the last one first. What was left out is said below the table. Sampled
 * values carry "~", predicted ones "^", with a legend. */
struct qs_text_style { unsigned width; bool ascii; /* nothing but ASCII: other characters become \u{...} */ };
void qs_report_text(const struct qs_report *r, const struct qs_text_style *style, struct qs_str *out);
/* {"report": kind, "version": 1, SECTION: {fact: value} or [{column: value}], "notes": [...]}. Raw values: bytes,
 * shares 0..1. In columns where some cell has a how other than exact, each row has COLUMN_how (and COLUMN_se where some
 * cell has a standard error) too, also in CSV. A section with an empty key puts its facts into the root. */
bool qs_report_json(const struct qs_report *r, struct qs_str *out);
/* CSV of one table (the first, or the one with that key); RFC 4180, header line of keys. QS_EINVAL: none. */
int qs_report_csv(const struct qs_report *r, const char *key, struct qs_str *out, struct qs_err *e);

/* One number as people read it: significant digits (0: as suits the unit), thousands separated, with its unit except
 * bpw, sd and counts, whose unit stands in the title. NaN gives "-". */
void qs_fmt_num(struct qs_str *out, double value, enum qs_unit unit, int digits);
void qs_fmt_int(struct qs_str *out, int64_t value, enum qs_unit unit);

/* One cell as printed: clean, with the "~" or "^" of how it was obtained; what is not known is "-", or nothing in
 * columns of text. decimals: as from qs_section_decimals. */
#define QS_DECIMALS_EACH (-1) /* each number has its significant digits */
void qs_cell_text(struct qs_str *out, const struct qs_column *column, const struct qs_cell *c, int decimals,
                  bool ascii);
/* Decimals that the numbers of a column share, so that their points stand below each other; QS_DECIMALS_EACH where
 * their sizes lie too far apart for that. Looks at about most_rows rows, evenly spread (0: all). */
int qs_section_decimals(const struct qs_section *s, size_t column, size_t most_rows);

#endif
