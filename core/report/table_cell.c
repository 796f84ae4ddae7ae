/* table_cell.c - one cell of a report as text, the same on paper and on the screen.
 *
 * Keeps nothing; writes only to the caller's string. Text becomes harmless here. Any thread.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "core/report/table_internal.h"

void qs_cell_text(struct qs_str *out, const struct qs_column *col, const struct qs_cell *c, int decimals, bool ascii)
{
    if (c->type == QS_CELL_NONE || (c->type == QS_CELL_NUM && isnan(c->num))) {
        qs_str_add(out, col->left ? "" : "-");
        return;
    }
    if (c->how == QS_HOW_SAMPLED)
        qs_str_addc(out, '~');
    else if (c->how == QS_HOW_PREDICTED)
        qs_str_addc(out, '^');
    char buf[QS_FMT_MAX];
    switch (c->type) {
    case QS_CELL_STR: qs_text_clean(out, c->str, ascii); break;
    case QS_CELL_INT: qs_fmt_int(out, c->i, col->unit); break;
    case QS_CELL_NUM:
        if (decimals == QS_DECIMALS_EACH)
            qs_fmt_num(out, c->num, col->unit, col->digits > 0 ? col->digits : 0);
        else
            qs_str_add(out, col->unit == QS_UNIT_PERCENT ? qs_fmt_percent(buf, sizeof buf, c->num, decimals)
                                                         : qs_fmt_fixed(buf, sizeof buf, c->num, decimals));
        break;
    case QS_CELL_BOOL: qs_str_add(out, c->i ? "yes" : "no"); break;
    case QS_CELL_NONE: break;
    }
}

int qs_section_decimals(const struct qs_section *s, size_t column, size_t most_rows)
{
    const struct qs_column *col = &s->column[column];
    struct qs_str text = QS_STR_INIT;
    int most = 0, least = 99;
    if (col->digits < 0)
        return -col->digits;
    if (col->unit == QS_UNIT_BPW)
        return col->digits ? col->digits - 1 : 2;
    if (col->unit == QS_UNIT_BYTES || col->unit == QS_UNIT_SECONDS || s->facts)
        return QS_DECIMALS_EACH;
    const size_t step = !most_rows || s->n_rows <= most_rows ? 1 : s->n_rows / most_rows + 1;
    for (size_t r = 0; r < s->n_rows; r += step) {
        const struct qs_cell *c = &s->cell[r * s->n_columns + column];
        if (c->type != QS_CELL_NUM || !isfinite(c->num) || !(c->num < 0 || c->num > 0))
            continue;
        qs_str_clear(&text);
        qs_cell_text(&text, col, c, QS_DECIMALS_EACH, true);
        const char *point = strchr(text.data, '.');
        const int n = point ? (int)strspn(point + 1, "0123456789") : 0;
        if (strpbrk(text.data, "e,"))
            least = -99; /* never near */
        most = n > most ? n : most;
        least = n < least ? n : least;
    }
    qs_str_free(&text);
    return least == 99 || most - least > (most > 3 ? 1 : 2) ? QS_DECIMALS_EACH : most;
}
