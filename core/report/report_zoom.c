/* report_zoom.c - a look at one tensor as tables. Owns nothing; the report owns copies of all strings. Computes nothing but
 * shares. */
#include "core/report/report_zoom.h"

#include <math.h>
#include <stdio.h>

#include "core/report/report_choice.h"

static const char *const axis_name[2] = { [QS_ROWS] = "row", [QS_COLS] = "column" };

static void put_num(struct qs_section *s, size_t column, double value)
{
    qs_cell_num(s, column, value);
    qs_cell_how(s, column, QS_HOW_WHOLE, 0);
}

/* ---- channels named ------------------------------------------------------------------------------------------ */

static void add_largest(struct qs_report *r, const struct qs_zoom_view *v, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "axis", .title = "axis", .left = true }, { .key = "index", .title = "number" },
        { .key = "max_abs", .title = "largest |w|" }, { .key = "max_sigma", .title = "in sd", .unit = QS_UNIT_SIGMA },
        { .key = "ratio", .title = "times the median one" },
    };
    const struct qs_survey_stats *s = &v->stats;
    const struct qs_worst *const list[2] = { s->row, s->col };
    const unsigned n[2] = { s->n_rows_worst, s->n_cols_worst };
    struct qs_section *t = qs_report_table(r, "largest", "Rows and columns with the largest weights", columns, 5);
    for (int a = 0; a < 2; a++)
        for (unsigned i = 0; i < n[a] && (data || i < QS_WORST_LEAST); i++) {
            qs_row(t);
            qs_cell_str(t, 0, axis_name[a]);
            qs_cell_int(t, 1, (int64_t)list[a][i].index);
            put_num(t, 2, list[a][i].max_abs);
            put_num(t, 3, s->sd > 0 ? list[a][i].max_abs / s->sd : (double)NAN);
            put_num(t, 4, list[a][i].ratio);
        }
    qs_section_note(t, "Rows without the outlier columns, columns without the outlier rows; an outlier has %g times the median "
                    "or more: %llu rows, %llu columns. Numbers count from 0.", QS_OUTLIER_RATIO,
                    (unsigned long long)s->outlier_rows, (unsigned long long)s->outlier_cols);
}

static void add_worst(struct qs_report *r, const struct qs_zoom_view *v, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "axis", .title = "axis", .left = true }, { .key = "index", .title = "number" },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT }, { .key = "ratio", .title = "times the median one" },
    };
    if (v->as_stored)
        return;
    struct qs_section *t = qs_report_table(r, "worst", "Rows and columns with the largest error", columns, 4);
    for (int a = 0; a < 2; a++)
        for (unsigned i = 0; i < v->axis[a].n_worst && (data || i < QS_WORST_LEAST); i++) {
            const struct qs_zoom_worst *w = &v->axis[a].worst[i];
            qs_row(t);
            qs_cell_str(t, 0, axis_name[a]);
            qs_cell_int(t, 1, (int64_t)w->index);
            put_num(t, 2, w->error);
            put_num(t, 3, w->ratio);
        }
}

/* ---- for programs -------------------------------------------------------------------------------------------- */

static void add_tiles(struct qs_report *r, const struct qs_zoom_view *v)
{
    static const struct qs_column columns[] = {
        { .key = "first_row", .title = "first row" }, { .key = "last_row", .title = "last row" },
        { .key = "first_col", .title = "first column" }, { .key = "last_col", .title = "last column" },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT }, { .key = "mean_abs", .title = "mean |w|" },
    };
    const struct qs_zoom_axis *row = &v->axis[QS_ROWS], *col = &v->axis[QS_COLS];
    struct qs_section *t = qs_report_table(r, "tiles", "Tiles", columns, 6);
    for (unsigned i = 0; i < row->n_tiles; i++)
        for (unsigned j = 0; j < col->n_tiles; j++) {
            const struct qs_zoom_tile *x = &v->tile[(size_t)i * col->n_tiles + j];
            qs_row(t);
            qs_cell_int(t, 0, (int64_t)row->tile_from[i]);
            qs_cell_int(t, 1, (int64_t)row->tile_from[i + 1] - 1);
            qs_cell_int(t, 2, (int64_t)col->tile_from[j]);
            qs_cell_int(t, 3, (int64_t)col->tile_from[j + 1] - 1);
            put_num(t, 4, x->error);
            put_num(t, 5, x->mean_abs);
        }
}

static void histogram_row(struct qs_section *t, double from, double to, uint64_t weights, uint64_t decoded)
{
    qs_row(t);
    qs_cell_num(t, 0, from);
    qs_cell_num(t, 1, to);
    qs_cell_int(t, 2, (int64_t)weights);
    qs_cell_int(t, 3, (int64_t)decoded);
}

/* The first row has what lies below the range, the last one what lies above. */
static void add_histogram(struct qs_report *r, const struct qs_zoom_view *v, int scale)
{
    const enum qs_unit unit = scale == QS_ZOOM_BY_SIGMA ? QS_UNIT_SIGMA : QS_UNIT_NONE;
    const struct qs_column columns[] = {
        { .key = "from", .title = "from", .unit = unit }, { .key = "to", .title = "to", .unit = unit },
        { .key = "weights", .title = "weights", .unit = QS_UNIT_COUNT },
        { .key = "decoded", .title = "after quantizing", .unit = QS_UNIT_COUNT },
    };
    const struct qs_zoom_histogram *w = &v->weights[scale], *d = &v->decoded[scale];
    struct qs_section *t = qs_report_table(r, scale == QS_ZOOM_BY_SIGMA ? "histogram_sd" : "histogram", "Histogram", columns, 4);
    histogram_row(t, NAN, qs_zoom_bin_from(v, scale, 0), w->below, d->below);
    for (unsigned i = 0; i < QS_ZOOM_BINS; i++)
        histogram_row(t, qs_zoom_bin_from(v, scale, i), qs_zoom_bin_from(v, scale, i + 1), w->count[i], d->count[i]);
    histogram_row(t, qs_zoom_bin_from(v, scale, QS_ZOOM_BINS), NAN, w->above, d->above);
}

static void add_channels(struct qs_report *r, const struct qs_zoom *z, const struct qs_zoom_view *v)
{
    static const struct qs_column columns[] = {
        { .key = "axis", .title = "axis", .left = true }, { .key = "index", .title = "number" },
        { .key = "max_abs", .title = "largest |w|" }, { .key = "rms", .title = "RMS of w" },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
    };
    struct qs_section *t = qs_report_table(r, "channels", "Channels", columns, 5);
    for (int a = 0; a < 2; a++)
        for (uint64_t i = 0; i < v->axis[a].n && !qs_report_failed(r); i++) {
            qs_row(t);
            qs_cell_str(t, 0, axis_name[a]);
            qs_cell_int(t, 1, (int64_t)i);
            for (int k = 0; k < QS_ZOOM_MEASURES; k++)
                put_num(t, 2 + (size_t)k, qs_zoom_channels(z, a, k)[i]);
        }
}

/* ---- facts --------------------------------------------------------------------------------------------------- */

static void add_distribution(struct qs_section *f, const struct qs_zoom_view *v)
{
    const struct qs_survey_stats *s = &v->stats;
    const double n = (double)s->n;
    qs_fact_num(f, "mean", "mean", s->mean, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "sd", "standard deviation (sd)", s->sd, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "min", "smallest weight", s->min, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "max", "largest weight", s->max, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "max_sigma", "largest |w| in sd", s->max_sigma, QS_UNIT_SIGMA, QS_HOW_WHOLE);
    qs_fact_num(f, "kurtosis", "kurtosis (Gaussian: 3)", s->kurtosis, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "zeros", "weights that are 0", (double)v->zeros / n, QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_num(f, "decoded_zeros", "0 after quantizing", (double)v->decoded_zeros / n, QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_int(f, "nan", "weights that are NaN", (int64_t)s->nan, QS_UNIT_COUNT);
    qs_fact_int(f, "inf", "infinite weights", (int64_t)s->inf, QS_UNIT_COUNT);
}

static void add_errors(struct qs_section *f, const struct qs_zoom_view *v)
{
    const struct qs_error_sums *t = &v->total;
    qs_fact_num(f, "error", "relative RMS error", v->error, QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_num(f, "weighted_error", "weighted by importance", t->wref2 > 0 && v->weighted ? sqrt(t->werr2 / t->wref2) : (double)NAN,
                QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_num(f, "max_error", "largest |w - w'|", t->max_abs, QS_UNIT_NONE, QS_HOW_WHOLE);
    qs_fact_num(f, "row_error", "error of the median row", v->axis[QS_ROWS].median_error, QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_num(f, "col_error", "error of the median column", v->axis[QS_COLS].median_error, QS_UNIT_PERCENT, QS_HOW_WHOLE);
    qs_fact_bool(f, "overflow", "weights too large for the type", v->overflow);
}

static void add_facts(struct qs_report *r, const struct qs_zoom_view *v, const struct qs_zoom_report *how)
{
    const struct qs_tensor *t = v->tensor;
    struct qs_section *f = qs_report_facts(r, "zoom", t->name);
    char text[96];
    qs_fact_str(f, "tensor", "tensor", t->name);
    qs_fact_str(f, "file", "file", how->source);
    qs_fact_str(f, "shape", "columns x rows x experts", qs_shape_text(t, text, sizeof text));
    if (v->expert == QS_ZOOM_ALL)
        qs_fact_str(f, "expert", "expert", "all");
    else
        qs_fact_int(f, "expert", "expert", (int64_t)v->expert, QS_UNIT_COUNT);
    qs_fact_int(f, "weights", "weights looked at", (int64_t)v->stats.n, QS_UNIT_WEIGHTS);
    qs_fact_str(f, "from", "type in the file", t->format->name);
    qs_fact_str(f, "type", "looked at as", qs_type_name(v->type));
    qs_fact_str(f, "reason", "because", how->reason);
    qs_fact_bool(f, "importance", "importance weights used", v->weighted);
    qs_fact_int(f, "bytes", "size in this type", (int64_t)v->bytes, QS_UNIT_BYTES);
    qs_fact_num(f, "bpw", "bits per weight", v->bpw, QS_UNIT_BPW, QS_HOW_EXACT);
    add_errors(f, v);
    add_distribution(f, v);
    qs_section_note(f, "All of it is measured on all of these weights (whole). Relative RMS error: sqrt(sum (w - w')^2 / sum "
                    "w^2), against the weights of this file%s.", how->quantized ? ", which are already quantized" : "");
    if (v->overflow)
        qs_section_note(f, "Weights are too large for %s: what became infinite or NaN is left out of the errors, which mean "
                        "nothing here.", qs_type_name(v->type));
}

int qs_report_zoom(const struct qs_zoom *z, const struct qs_zoom_view *v, const struct qs_zoom_report *how,
                   struct qs_report **out, struct qs_err *e)
{
    struct qs_report *r = qs_report_new("inspect");
    if (!r)
        return qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    add_largest(r, v, how->data);
    add_worst(r, v, how->data);
    if (how->data) {
        add_tiles(r, v);
        add_histogram(r, v, QS_ZOOM_BY_VALUE);
        add_histogram(r, v, QS_ZOOM_BY_SIGMA);
        add_channels(r, z, v);
    }
    add_facts(r, v, how); /* last: what remains on the screen */
    if (qs_report_failed(r)) {
        qs_report_free(r);
        return qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    }
    *out = r;
    return QS_OK;
}
