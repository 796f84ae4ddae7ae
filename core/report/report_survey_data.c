/* report_survey_data.c - the survey's tables for programs: one row per tensor, one row per tensor and type. The last column of each
 * is there only with statistics. */
#include "core/report/report_choice.h"
#include "core/report/report_survey_internal.h"

struct qs_survey_cell qs_survey_cell_at(const struct qs_survey *s, size_t row, size_t type)
{
    struct qs_survey_cell c;
    qs_survey_cell(s, s->tensor[row], s->type[type], &c);
    return c;
}

void qs_survey_put_error(struct qs_section *t, size_t column, const struct qs_survey_cell *c, double value)
{
    if (!c->known)
        return;
    qs_cell_num(t, column, value);
    qs_cell_how(t, column, c->how, c->error_se);
}

void qs_survey_add_tensors(struct qs_report *r, const struct qs_survey *s, const struct qs_outputs *o)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "" }, { .key = "role", .title = "" }, { .key = "layer", .title = "" },
        { .key = "type", .title = "" }, { .key = "shape", .title = "" }, { .key = "weights", .title = "" },
        { .key = "bytes", .title = "" }, { .key = "mean", .title = "" }, { .key = "sd", .title = "" },
        { .key = "min", .title = "" }, { .key = "max", .title = "" }, { .key = "max_abs", .title = "" },
        { .key = "kurtosis", .title = "" }, { .key = "max_sigma", .title = "" }, { .key = "beyond6", .title = "" },
        { .key = "row_ratio", .title = "" }, { .key = "col_ratio", .title = "" }, { .key = "worst_row", .title = "" },
        { .key = "worst_col", .title = "" }, { .key = "outlier_rows", .title = "" }, { .key = "outlier_cols", .title = "" },
        { .key = "zeros", .title = "" }, { .key = "nan", .title = "" }, { .key = "inf", .title = "" },
        { .key = "activation_ratio", .title = "" },
    };
    struct qs_section *t = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns - !o);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct qs_tensor *x = s->tensor[i];
        struct qs_survey_stats d;
        char shape[96];
        qs_shape_text(x, shape, sizeof shape);
        qs_row(t);
        qs_cell_str(t, 0, x->name);
        qs_cell_str(t, 1, qs_role_name(x->role));
        if (x->layer >= 0)
            qs_cell_int(t, 2, x->layer);
        qs_cell_str(t, 3, x->format->name);
        qs_cell_str(t, 4, shape);
        qs_cell_int(t, 5, (int64_t)x->n);
        qs_cell_int(t, 6, (int64_t)x->size);
        if (o)
            qs_cell_num(t, 24, qs_outputs_activation(o, qs_model_index(s->model, x)));
        if (!qs_survey_stats(s, x, &d))
            continue;
        const double num[] = { d.mean, d.sd, d.min, d.max, d.max_abs, d.kurtosis, d.max_sigma, d.beyond6,
                               d.row_ratio, d.col_ratio };
        for (size_t k = 0; k < sizeof num / sizeof *num; k++)
            qs_cell_num(t, 7 + k, num[k]);
        if (d.n_rows_worst)
            qs_cell_int(t, 17, (int64_t)d.row[0].index);
        if (d.n_cols_worst)
            qs_cell_int(t, 18, (int64_t)d.col[0].index);
        qs_cell_int(t, 19, (int64_t)d.outlier_rows);
        qs_cell_int(t, 20, (int64_t)d.outlier_cols);
        qs_cell_int(t, 21, (int64_t)d.zeros);
        qs_cell_int(t, 22, (int64_t)d.nan);
        qs_cell_int(t, 23, (int64_t)d.inf);
    }
}

static void put_output(struct qs_section *t, const struct qs_survey *s, const struct qs_outputs *o, size_t row, int type)
{
    struct qs_output x;
    if (!o || !qs_outputs_get(o, qs_model_index(s->model, s->tensor[row]), type, &x))
        return;
    qs_cell_num(t, 9, x.error);
    qs_cell_how(t, 9, x.how, x.error_se);
}

void qs_survey_add_cells(struct qs_report *r, const struct qs_survey *s, const struct qs_outputs *o)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "" }, { .key = "type", .title = "" }, { .key = "bpw", .title = "" },
        { .key = "bytes", .title = "" }, { .key = "error", .title = "" }, { .key = "max_error", .title = "" },
        { .key = "weighted_error", .title = "" }, { .key = "measured", .title = "" }, { .key = "gap", .title = "" },
        { .key = "output_error", .title = "" },
    };
    struct qs_section *t = qs_report_table(r, "cells", "Cells", columns, sizeof columns / sizeof *columns - !o);
    for (size_t i = 0; i < s->n_tensors; i++)
        for (size_t k = s->n_types; k-- > 0;) {
            const struct qs_survey_cell c = qs_survey_cell_at(s, i, k);
            const struct qs_format *f = qs_format_by_id(s->type[k]);
            qs_row(t);
            qs_cell_str(t, 0, s->tensor[i]->name);
            qs_cell_str(t, 1, f->name);
            qs_cell_num(t, 2, qs_format_bpw(f));
            if (c.bytes)
                qs_cell_int(t, 3, (int64_t)c.bytes);
            put_output(t, s, o, i, f->id);
            if (!c.known) {
                qs_cell_str(t, 8, qs_gap_text(c.gap));
                continue;
            }
            qs_survey_put_error(t, 4, &c, c.error);
            qs_cell_num(t, 5, c.max_error);
            qs_cell_num(t, 6, c.weighted);
            qs_cell_int(t, 7, (int64_t)c.sample);
        }
}
