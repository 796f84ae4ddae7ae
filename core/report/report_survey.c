/* report_survey.c - turns a survey into tables; computes nothing but sums over tensors. Of a survey that is
 * being filled each row shows what was there when it was reached. */
#include "core/report/report_survey.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/report/report_choice.h"
#include "core/report/report_survey_internal.h"

#define SHORT_OUTLIERS 10

static void type_key(int type, char *buf, size_t n)
{
    snprintf(buf, n, "error_%s", qs_format_by_id(type)->name);
    for (char *p = buf; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
}

/* ---- what was done ------------------------------------------------------------------------------------------- */

static void add_facts(struct qs_report *r, const struct qs_survey *s, bool data)
{
    char title[160];
    uint64_t weights = 0;
    snprintf(title, sizeof title, "Survey of %s", qs_path_base(s->model->path));
    struct qs_section *f = qs_report_facts(r, "survey", title);
    for (size_t i = 0; i < s->n_tensors; i++)
        weights += s->tensor[i]->n;
    qs_fact_str(f, "file", "file", s->model->path);
    qs_fact_str(f, "architecture", "architecture", s->model->hp.arch);
    qs_fact_int(f, "tensors", "tensors", (int64_t)s->n_tensors, QS_UNIT_COUNT);
    qs_fact_int(f, "weights", "weights", (int64_t)weights, QS_UNIT_WEIGHTS);
    if (s->sample_weights || data)
        qs_fact_int(f, "sample_weights", "sample per tensor", (int64_t)s->sample_weights, QS_UNIT_WEIGHTS);
    else
        qs_fact_str(f, "sample_weights", "measured", "all weights");
    qs_fact_int(f, "seed", "seed", (int64_t)s->seed, QS_UNIT_COUNT);
    qs_fact_bool(f, "importance", "importance matrix", s->weighted);
    qs_section_note(f, "Errors are relative RMS errors, sqrt(sum (w - w')^2 / sum w^2), against the weights of this file%s.",
                    qs_model_is_quantized(s->model) ? ", which are already quantized" : "");
}

/* ---- types --------------------------------------------------------------------------------------------------- */

struct type_sum {
    double err2, ref2, var;
    uint64_t bytes;
    unsigned measured, impossible, overflows, sampled;
    const struct qs_tensor *worst;
    struct qs_survey_cell worst_cell;
};

static struct type_sum sum_type(const struct qs_survey *s, size_t type)
{
    struct type_sum sum = { 0 };
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct qs_tensor *x = s->tensor[i];
        const struct qs_survey_cell c = qs_survey_cell_at(s, i, type);
        enum qs_how how;
        const double ms = qs_survey_mean_square(s, x, &how);
        const bool matrix = x->n_dims >= 2;
        sum.bytes += c.bytes && matrix ? c.bytes : x->size;
        sum.impossible += matrix && (c.gap == QS_GAP_SHAPE || c.gap == QS_GAP_OVERFLOW);
        sum.overflows += matrix && c.gap == QS_GAP_OVERFLOW;
        if (!matrix || !c.known || isnan(ms) || isnan(c.error))
            continue;
        const double ref2 = ms * (double)x->n, d = 2 * c.error * c.error_se * ref2;
        sum.measured++;
        sum.sampled += c.how == QS_HOW_SAMPLED;
        sum.err2 += c.error * c.error * ref2;
        sum.ref2 += ref2;
        sum.var += d * d;
        if (!sum.worst || c.error > sum.worst_cell.error) {
            sum.worst = x;
            sum.worst_cell = c;
        }
    }
    return sum;
}

static void add_types(struct qs_report *r, const struct qs_survey *s, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "type", .title = "type", .left = true },
        { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 5 },
        { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
        { .key = "worst_error", .title = "worst", .unit = QS_UNIT_PERCENT },
        { .key = "worst_tensor", .title = "in", .left = true },
        { .key = "tensors", .title = "fits", .optional = true },
        { .key = "impossible", .title = "does not", .optional = true },
    };
    struct qs_section *t = qs_report_table(r, "types", "Every tensor at one type", columns, sizeof columns / sizeof *columns);
    bool needs_matrix = false, some_impossible = false, some_overflow = false;
    for (size_t i = s->n_types; i-- > 0;) {
        const struct qs_format *f = qs_format_by_id(s->type[i]);
        const struct type_sum sum = sum_type(s, i);
        if (!sum.measured && !sum.overflows)
            continue;
        const double error = sum.ref2 > 0 ? sqrt(sum.err2 / sum.ref2) : 0;
        const bool unweighted = (f->flags & QS_RULE_IMATRIX) && !s->weighted;
        char name[48];
        snprintf(name, sizeof name, "%s%s", f->name, unweighted && !data ? " *" : "");
        needs_matrix |= unweighted;
        some_impossible |= sum.impossible > sum.overflows;
        some_overflow |= sum.overflows > 0;
        qs_row(t);
        qs_cell_str(t, 0, name);
        qs_cell_num(t, 1, qs_format_bpw(f));
        qs_cell_int(t, 2, (int64_t)sum.bytes);
        qs_cell_int(t, 6, sum.measured);
        qs_cell_int(t, 7, sum.impossible);
        if (!sum.measured)
            continue;
        qs_cell_num(t, 3, error);
        qs_cell_how(t, 3, sum.sampled ? QS_HOW_SAMPLED : QS_HOW_WHOLE,
                    error > 0 ? sqrt(sum.var) / sum.ref2 / (2 * error) : 0);
        qs_survey_put_error(t, 4, &sum.worst_cell, sum.worst_cell.error);
        qs_cell_str(t, 5, sum.worst->name);
    }
    if (data)
        return;
    qs_section_note(t, "size: all matrices in this type where their shape allows it, the rest as they are.");
    if (some_impossible)
        qs_section_note(t, "Not every matrix can have every type (rows that are no multiple of the block): errors are over those "
                           "that can.");
    if (some_overflow)
        qs_section_note(t, "Weights of some matrices are too large for some types (their scales would be infinite): counted under "
                           "\"does not\".");
    if (needs_matrix)
        qs_section_note(t, "* measured here without importance weights (--imatrix FILE); without them only embeddings and the "
                           "output tensor are written in it, where the encoder can (quantscape types).");
}

/* ---- tensors, for people ------------------------------------------------------------------------------------- */

static bool shown_by_default(int type)
{
    static const int known[] = { QS_Q8_0, QS_Q6_K, QS_Q5_K, QS_Q4_K, QS_Q3_K, QS_Q2_K, QS_IQ4_XS, QS_IQ3_S, QS_IQ2_S };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == type)
            return true;
    return false;
}

/* What a column of a type shows of a tensor. */
static void put_cell(struct qs_section *t, size_t column, const struct qs_survey *s, size_t row, size_t type,
                     const struct qs_outputs *o, bool *no_shape)
{
    const struct qs_survey_cell cell = qs_survey_cell_at(s, row, type);
    struct qs_output x;
    *no_shape |= cell.gap == QS_GAP_SHAPE;
    if (!o) {
        qs_survey_put_error(t, column, &cell, cell.error);
        if (cell.gap == QS_GAP_OVERFLOW)
            qs_cell_str(t, column, "overflows");
    } else if (qs_outputs_get(o, qs_model_index(s->model, s->tensor[row]), s->type[type], &x)) {
        qs_cell_num(t, column, x.error);
        qs_cell_how(t, column, x.how, x.error_se);
    }
}

/* With o: of outputs instead of weights. */
static int add_error_table(struct qs_report *r, const struct qs_survey *s, const struct qs_survey_view *v,
                           const struct qs_outputs *o, struct qs_err *e)
{
    struct qs_column *columns = qs_calloc(s->n_types + 1, sizeof *columns);
    char (*keys)[32] = qs_calloc(s->n_types + 1, sizeof *keys);
    size_t *index = qs_calloc(s->n_types + 1, sizeof *index), n = 1;
    if (!columns || !keys || !index) {
        qs_free(columns);
        qs_free(keys);
        qs_free(index);
        return qs_fail_mem(e, s->n_types * sizeof *columns, "a survey's table");
    }
    columns[0] = (struct qs_column){ .key = "name", .title = "tensor", .left = true };
    /* K types before IQ types, each from many bits to few: the right end goes first when the width is short. */
    for (int iq = 0; iq < 2; iq++)
        for (size_t i = s->n_types; i-- > 0;) {
            const struct qs_format *f = qs_format_by_id(s->type[i]);
            if ((f->kind == QS_KIND_IQ) != (iq == 1) || (!v->all_types && !shown_by_default(f->id)))
                continue;
            type_key(f->id, keys[n], sizeof keys[n]);
            index[n] = i;
            columns[n] = (struct qs_column){ .key = keys[n], .title = f->name, .unit = QS_UNIT_PERCENT, .optional = n > 1 };
            n++;
        }
    bool no_shape = false;
    struct qs_section *t = qs_report_table(r, o ? "outputs" : "errors",
                                           o && v->worst ? "Output error of the worst tensors"
                                           : o           ? "Output error of each tensor"
                                           : v->worst    ? "Error of the worst tensors"
                                                         : "Error of each tensor", columns, n);
    for (size_t i = 0; i < s->n_tensors; i++) {
        if (s->tensor[i]->n_dims < 2)
            continue;
        qs_row(t);
        qs_cell_str(t, 0, s->tensor[i]->name);
        for (size_t c = 1; c < n; c++)
            put_cell(t, c, s, i, index[c], o, &no_shape);
    }
    if (no_shape)
        qs_section_note(t, "-: rows are no multiple of the type's block%s.", o ? ", or nothing is known of what reads them" : "");
    if (o)
        qs_section_note(t, "Output errors are ||(W - W')X|| / ||WX||, X the activation rows that the statistics keep.");
    qs_free(columns);
    qs_free(keys);
    qs_free(index);
    return QS_OK;
}

static void add_distribution(struct qs_report *r, const struct qs_survey *s, bool worst)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true },
        { .key = "sd", .title = "sd", },
        { .key = "max_sigma", .title = "max/sd", .unit = QS_UNIT_SIGMA },
        { .key = "kurtosis", .title = "kurtosis" },
        { .key = "beyond6", .title = "> 6 sd", .unit = QS_UNIT_PERCENT, .digits = 2 },
        { .key = "row_ratio", .title = "row" },
        { .key = "col_ratio", .title = "column" },
        { .key = "outlier_rows", .title = "outl. rows", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "outlier_cols", .title = "columns", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "nonfinite", .title = "NaN, Inf", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "zero_share", .title = "zeros", .unit = QS_UNIT_PERCENT, .optional = true },
        { .key = "mean", .title = "mean", .optional = true },
        { .key = "min", .title = "min", .optional = true },
        { .key = "max", .title = "max", .optional = true },
        { .key = "shape", .title = "shape", .left = true, .optional = true },
        { .key = "type", .title = "type", .left = true, .optional = true },
    };
    struct qs_section *t = qs_report_table(r, "distribution", worst ? "Distribution of the worst tensors"
                                           : "Distribution of each tensor", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_tensors; i++) {
        struct qs_survey_stats x;
        char shape[96];
        if (s->tensor[i]->n_dims < 2 || !qs_survey_stats(s, s->tensor[i], &x))
            continue;
        qs_shape_text(s->tensor[i], shape, sizeof shape);
        qs_row(t);
        qs_cell_str(t, 0, s->tensor[i]->name);
        const double num[] = { x.sd, x.max_sigma, x.kurtosis, x.beyond6, x.row_ratio, x.col_ratio };
        for (size_t k = 0; k < sizeof num / sizeof *num; k++)
            qs_cell_num(t, 1 + k, num[k]);
        qs_cell_int(t, 7, (int64_t)x.outlier_rows);
        qs_cell_int(t, 8, (int64_t)x.outlier_cols);
        qs_cell_int(t, 9, (int64_t)(x.nan + x.inf));
        qs_cell_num(t, 10, (double)x.zeros / (double)x.n);
        qs_cell_num(t, 11, x.mean);
        qs_cell_num(t, 12, x.min);
        qs_cell_num(t, 13, x.max);
        qs_cell_str(t, 14, shape);
        qs_cell_str(t, 15, s->tensor[i]->format->name);
    }
    qs_section_note(t, "kurtosis: 3 for a Gaussian. row, column: largest weight of the worst row or column over that of the "
                       "median one, in rows without the outlier columns and the other way round.");
}

/* ---- activations ----------------------------------------------------------------------------------------------- */

static void add_activations(struct qs_report *r, const struct qs_survey *s, const struct qs_outputs *o)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true }, { .key = "activation_ratio", .title = "over median" },
    };
    struct qs_section *t = qs_report_table(r, "activations", "Outlier channels of inputs", columns, 2);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const double ratio = qs_outputs_activation(o, qs_model_index(s->model, s->tensor[i]));
        if (isnan(ratio))
            continue;
        qs_row(t);
        qs_cell_str(t, 0, s->tensor[i]->name);
        qs_cell_num(t, 1, ratio);
    }
    const size_t all = qs_section_rows(t);
    qs_section_sort(t, "-activation_ratio", NULL);
    qs_section_keep(t, SHORT_OUTLIERS);
    qs_section_note(t, "The largest channel of what a tensor reads, over the median one; the worst %zu of %zu tensors. "
                       "quantscape imatrix names the channels.", qs_section_rows(t), all);
}

/* ---- channels ------------------------------------------------------------------------------------------------ */

static void add_channel_rows(struct qs_section *t, const char *name, const struct qs_survey_stats *x, bool columns)
{
    const struct qs_worst *w = columns ? x->col : x->row;
    const unsigned n = columns ? x->n_cols_worst : x->n_rows_worst;
    for (unsigned i = 0; i < n && w[i].ratio >= QS_OUTLIER_RATIO; i++) {
        qs_row(t);
        qs_cell_str(t, 0, name);
        qs_cell_str(t, 1, columns ? "column" : "row");
        qs_cell_int(t, 2, (int64_t)w[i].index);
        qs_cell_num(t, 3, w[i].max_abs);
        qs_cell_num(t, 4, w[i].max_abs / x->sd);
        qs_cell_num(t, 5, w[i].ratio);
    }
}

/* Norms and biases have no channels. */
static bool find_channels(const struct qs_survey *s, size_t row, struct qs_survey_stats *out)
{
    return qs_survey_stats(s, s->tensor[row], out) && s->tensor[row]->n_dims >= 2;
}

static uint64_t count_outliers(const struct qs_survey *s)
{
    struct qs_survey_stats x;
    uint64_t n = 0;
    for (size_t i = 0; i < s->n_tensors; i++)
        n += find_channels(s, i, &x) ? x.outlier_rows + x.outlier_cols : 0;
    return n;
}

static void add_channels(struct qs_report *r, const struct qs_survey *s, const struct qs_survey_view *v)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true },
        { .key = "axis", .title = "channel", .left = true },
        { .key = "index", .title = "number" },
        { .key = "max_abs", .title = "largest" },
        { .key = "max_sigma", .title = "in sd", .unit = QS_UNIT_SIGMA },
        { .key = "ratio", .title = "over median" },
    };
    const uint64_t all = count_outliers(s);
    struct qs_survey_stats x;
    char more[120] = "";
    struct qs_section *t = qs_report_table(r, v->data ? "channels" : "outliers", "Outlier channels", columns,
                                           sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_tensors; i++)
        for (int c = 0; c < 2; c++)
            if (find_channels(s, i, &x))
                add_channel_rows(t, s->tensor[i]->name, &x, c == 1);
    const size_t listed = qs_section_rows(t);
    if (!v->data) {
        qs_section_sort(t, "-ratio", NULL);
        if (!v->outliers)
            qs_section_keep(t, SHORT_OUTLIERS);
    }
    if (!v->data && !v->outliers && listed > SHORT_OUTLIERS)
        snprintf(more, sizeof more, " Shown are the worst %d of %" PRIu64 "; --outliers lists them.", SHORT_OUTLIERS, all);
    else if (all > listed)
        snprintf(more, sizeof more, " Listed are at most %d rows and %d columns of a tensor; there are %" PRIu64 " more.", QS_WORST,
                 QS_WORST, all - (uint64_t)listed);
    if (!v->data || more[0])
        qs_section_note(t, "Outliers are rows and columns whose largest weight is at least %.0f times that of the median one; a row "
                        "that stands out only where it crosses an outlier column is none, and the other way round. Such crossings are "
                        "left out of \"largest\".%s",
                        QS_OUTLIER_RATIO, more);
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static bool has_column(const struct qs_section *s, const char *key)
{
    for (size_t c = 0; c < qs_section_columns(s); c++)
        if (strcmp(qs_section_column(s, c)->key, key) == 0)
            return true;
    return false;
}

/* The key by which rows are bad when none was named: Q4_K's error or else the last type's; the largest outlier. */
static const char *default_sort(const struct qs_section *s, char *buf, size_t n)
{
    const size_t last = qs_section_columns(s);
    const char *key = has_column(s, "error_q4_k") ? "error_q4_k" : has_column(s, "error") ? "error"
                    : has_column(s, "max_sigma") ? "max_sigma" : qs_section_column(s, last - 1)->key;
    snprintf(buf, n, "-%s", key);
    return buf;
}

/* Every key that some table of tensors can be sorted by. */
static int no_such_key(struct qs_section *const *table, size_t n, const char *key, struct qs_err *e)
{
    struct qs_str keys = QS_STR_INIT;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < qs_section_columns(table[i]); c++) {
            const char *name = qs_section_column(table[i], c)->key;
            bool twice = false;
            for (size_t k = 0; k < i; k++)
                twice |= has_column(table[k], name);
            if (!twice)
                qs_str_addf(&keys, "%s%s", keys.len ? ", " : "", name);
        }
    const int rc = keys.failed ? qs_fail_mem(e, keys.len, "a message")
                               : qs_fail(e, QS_EINVAL, "nothing to sort by is called \"%.40s\"; there are: %s", key,
                                         keys.len ? keys.data : "none");
    qs_str_free(&keys);
    return rc;
}

/* Sorts every table of tensors that has the key; the others keep the order of the file. */
static int sort_and_cut(struct qs_section *const *table, size_t n, const struct qs_survey_view *v, struct qs_err *e)
{
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        char buf[48];
        const char *key = v->sort ? v->sort : v->worst ? default_sort(table[i], buf, sizeof buf) : NULL;
        if (!key || !has_column(table[i], key + (key[0] == '-')))
            continue;
        const int rc = qs_section_sort(table[i], key, e);
        if (rc)
            return rc;
        found = true;
        if (v->worst)
            qs_section_keep(table[i], v->worst);
    }
    return v->sort && !found ? no_such_key(table, n, v->sort + (v->sort[0] == '-'), e) : QS_OK;
}

static struct qs_section *last_section(const struct qs_report *r)
{
    return qs_report_section(r, qs_report_sections(r) - 1);
}

/* Whether there is a distribution, and an error that is not 0 only because the type keeps the weights. */
static void find_contents(const struct qs_survey *s, bool *errors, bool *stats)
{
    struct qs_survey_stats x;
    *errors = *stats = false;
    for (size_t i = 0; i < s->n_tensors; i++) {
        *stats |= qs_survey_stats(s, s->tensor[i], &x);
        for (size_t k = 0; s->errors && k < s->n_types; k++) {
            const struct qs_survey_cell c = qs_survey_cell_at(s, i, k);
            *errors |= c.gap == QS_GAP_OVERFLOW || (c.known && s->tensor[i]->type != s->type[k]);
        }
    }
}

int qs_report_survey(const struct qs_survey *s, const struct qs_survey_view *v, struct qs_report **out, struct qs_err *e)
{
    struct qs_report *r = qs_report_new("survey");
    struct qs_section *table[3];
    size_t n = 0;
    bool errors, stats;
    int rc = QS_OK;
    find_contents(s, &errors, &stats);
    add_facts(r, s, v->data);
    if (errors)
        add_types(r, s, v->data);
    if (v->data) {
        qs_survey_add_tensors(r, s, v->outputs);
        table[n++] = last_section(r);
        qs_survey_add_cells(r, s, v->outputs);
        table[n++] = last_section(r);
        add_channels(r, s, v);
    } else {
        if (errors && (rc = add_error_table(r, s, v, NULL, e)) == QS_OK)
            table[n++] = last_section(r);
        if (!rc && errors && v->outputs && qs_outputs_any(v->outputs) &&
            (rc = add_error_table(r, s, v, v->outputs, e)) == QS_OK)
            table[n++] = last_section(r);
        if (!rc && v->outputs)
            add_activations(r, s, v->outputs);
        if (!rc && stats) {
            add_distribution(r, s, v->worst > 0);
            table[n++] = last_section(r);
            if (count_outliers(s))
                add_channels(r, s, v);
            else
                qs_section_note(table[n - 1], "No row or column reaches %.0f times the median one: no outlier channels.",
                                QS_OUTLIER_RATIO);
        }
    }
    if (!rc && qs_report_failed(r))
        rc = qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    if (!rc)
        rc = sort_and_cut(table, n, v, e);
    if (rc)
        qs_report_free(r);
    else
        *out = r;
    return rc;
}
