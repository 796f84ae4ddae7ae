/* table_internal.h - the insides of a report, for table.c, table_text.c, table_json.c and map_text.c alone. */
#ifndef QS_CORE_TABLE_INTERNAL_H
#define QS_CORE_TABLE_INTERNAL_H

#include "core/report/table.h"

struct qs_section {
    struct qs_report *report;
    bool facts;                 /* one row; columns made one by one */
    char *key, *title;
    struct qs_column *column;  size_t n_columns, column_cap; /* keys and titles are ours */
    struct qs_cell *cell;      size_t n_cells, cell_cap;     /* n_rows * n_columns; strings are ours */
    char **note;               size_t n_notes, note_cap;
    size_t n_rows;
};

struct qs_report {
    char *kind;
    struct qs_section **section; size_t n_sections, section_cap;
    bool failed;
};

/* For the text of tables and of the map: n blanks; the end of a line, without blanks before it. */
void qs_text_blanks(struct qs_str *out, size_t n);
void qs_text_end_line(struct qs_str *out);
/* Text made harmless and broken at blanks; the cursor stands at column `at`, later lines start at `indent`. Ends the line. */
void qs_text_wrap(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width, bool ascii);

#endif
