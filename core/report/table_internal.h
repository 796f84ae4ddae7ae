/* table_internal.h - the insides of a report, for table.c, table_text.c and table_json.c alone. */
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

#endif
