/* report_choice.c - the table of what is chosen for each tensor.
 *
 * Owns nothing; the report owns copies of all strings. Any thread.
 */
#include "core/report/report_choice.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    C_NAME, C_ROLE, C_LAYER, C_SHAPE, C_FROM, C_TO, C_BYTES, C_BPW, C_ERROR, C_KURTOSIS, C_OUTLIERS, C_WHY, C_FALLBACK,
    C_IMPORTANCE, C_REASON, COLUMNS
};

/* In the brief table: as in the full one, absent, never left out for want of room, left out first. */
enum in_brief { SAME, ABSENT, STAYS, GOES };

static const struct { struct qs_column column; bool measured; enum in_brief brief; } columns[COLUMNS] = {
    [C_NAME] = { .column = { .key = "name", .title = "tensor", .left = true } },
    [C_ROLE] = { .column = { .key = "role", .title = "role", .left = true, .optional = true } },
    [C_LAYER] = { .column = { .key = "layer", .title = "layer", .optional = true } },
    [C_SHAPE] = { .column = { .key = "shape", .title = "shape", .left = true, .optional = true } },
    [C_FROM] = { .column = { .key = "from", .title = "from", .left = true } },
    [C_TO] = { .column = { .key = "to", .title = "to", .left = true } },
    [C_BYTES] = { .column = { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES } },
    [C_BPW] = { .column = { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 4, .optional = true }, .brief = STAYS },
    [C_ERROR] = { .column = { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT }, .measured = true },
    [C_KURTOSIS] = { .column = { .key = "kurtosis", .title = "kurtosis", .optional = true }, .measured = true },
    [C_OUTLIERS] = { .column = { .key = "outliers", .title = "outliers", .unit = QS_UNIT_COUNT, .optional = true },
                     .measured = true },
    [C_WHY] = { .column = { .key = "why", .title = "why", .left = true, .optional = true }, .brief = ABSENT },
    [C_FALLBACK] = { .column = { .key = "fallback", .title = "fallback", .optional = true }, .brief = ABSENT },
    [C_IMPORTANCE] = { .column = { .key = "importance", .title = "imatrix", .optional = true }, .brief = ABSENT },
    [C_REASON] = { .column = { .key = "reason", .title = "reason", .left = true }, .brief = GOES },
};

struct table {
    struct qs_section *s;
    size_t at[COLUMNS]; /* where a column stands; of one that is left out: where the next one stands */
    const struct qs_plan *plan;
    const struct qs_choice_view *view;
};

const char *qs_shape_text(const struct qs_tensor *t, char *buf, size_t n)
{
    size_t used = 0;
    buf[0] = 0;
    for (unsigned d = 0; d < t->n_dims && used < n; d++) {
        int k = snprintf(buf + used, n - used, "%s%" PRIu64, d ? " x " : "", t->ne[d]);
        used += k > 0 ? (size_t)k : 0;
    }
    return buf;
}

static struct table begin(struct qs_report *r, const struct qs_plan *p, const struct qs_choice_view *v)
{
    struct table t = { .plan = p, .view = v };
    struct qs_column chosen[COLUMNS];
    size_t n = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        t.at[i] = n;
        if ((columns[i].measured && !v->survey) || (columns[i].brief == ABSENT && v->brief))
            continue;
        chosen[n] = columns[i].column;
        if (v->brief && columns[i].brief != SAME)
            chosen[n].optional = columns[i].brief == GOES;
        n++;
    }
    t.s = qs_report_table(r, "tensors", v->changes_only ? "Tensors that are converted" : "Tensors", chosen, n);
    return t;
}

static void put_choice(const struct table *x, const struct qs_encoding *enc)
{
    char shape[96];
    const struct qs_tensor *t = enc->tensor;
    qs_cell_str(x->s, x->at[C_NAME], t->name);
    qs_cell_str(x->s, x->at[C_ROLE], qs_role_name(t->role));
    if (t->layer >= 0)
        qs_cell_int(x->s, x->at[C_LAYER], t->layer);
    qs_cell_str(x->s, x->at[C_SHAPE], qs_shape_text(t, shape, sizeof shape));
    qs_cell_str(x->s, x->at[C_FROM], qs_type_name(t->type));
    qs_cell_str(x->s, x->at[C_TO], qs_type_name(enc->type));
    qs_cell_int(x->s, x->at[C_BYTES], (int64_t)enc->bytes);
    qs_cell_num(x->s, x->at[C_BPW], t->n ? 8.0 * (double)enc->bytes / (double)t->n : NAN);
    qs_cell_str(x->s, x->at[C_REASON], enc->problem ? enc->problem : enc->reason);
}

static void put_in_full(const struct table *x, const struct qs_encoding *enc)
{
    qs_cell_str(x->s, x->at[C_WHY], qs_why_name(enc->why));
    qs_cell_bool(x->s, x->at[C_FALLBACK], enc->wanted != enc->type);
    if (x->plan->imatrix && !enc->copy)
        qs_cell_bool(x->s, x->at[C_IMPORTANCE], enc->importance != NULL);
}

static void put_measured(const struct table *x, const struct qs_encoding *enc)
{
    struct qs_survey_cell cell;
    struct qs_survey_stats stats;
    if (!enc->copy && qs_survey_cell(x->view->survey, enc->tensor, enc->type, &cell)) {
        qs_cell_num(x->s, x->at[C_ERROR], cell.error);
        qs_cell_how(x->s, x->at[C_ERROR], cell.how, cell.error_se);
    }
    if (qs_survey_stats(x->view->survey, enc->tensor, &stats)) {
        qs_cell_num(x->s, x->at[C_KURTOSIS], stats.kurtosis);
        qs_cell_int(x->s, x->at[C_OUTLIERS], (int64_t)(stats.outlier_rows + stats.outlier_cols));
    }
}

void qs_report_choice(struct qs_report *r, const struct qs_plan *p, const struct qs_choice_view *v)
{
    const struct table x = begin(r, p, v);
    for (size_t i = 0; i < p->n; i++) {
        if (v->changes_only && p->enc[i].copy)
            continue;
        qs_row(x.s);
        put_choice(&x, &p->enc[i]);
        if (!v->brief)
            put_in_full(&x, &p->enc[i]);
        if (v->survey)
            put_measured(&x, &p->enc[i]);
    }
}
