/* report_imatrix.c - tables of an importance matrix or statistics file. Owns nothing; reads statistics and a model's
 * headers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/quant/importance.h"
#include "core/quant/preset.h"
#include "core/report/report_imatrix.h"
#include "kernels/format.h"

static const char *input_name(const struct qs_input_stats *x, char *buf, size_t n)
{
    if (x->point == QS_POINT_BLOCK) /* a tensor whose place is not known */
        return "";
    if (x->layer < 0 || x->point == QS_POINT_HEAD)
        return "head";
    snprintf(buf, n, "%d %s", x->layer, qs_point_name(x->point));
    return buf;
}

static uint64_t counted(const struct qs_input_stats *x, uint64_t *least, uint64_t *most)
{
    uint64_t all = 0;
    *least = UINT64_MAX;
    *most = 0;
    for (size_t j = 0; j < x->experts; j++) {
        all += x->count[j];
        *least = x->count[j] < *least ? x->count[j] : *least;
        *most = x->count[j] > *most ? x->count[j] : *most;
    }
    return all;
}

/* ---- entries ---- */

enum { E_NAME, E_INPUT, E_COLS, E_EXPERTS, E_ROWS, E_LEAST, E_MEAN_SQUARE, E_MEAN, E_LARGEST, E_RATIO, E_SALIENT, E_DEAD, E_UNSEEN,
       E_RARE, E_NEEDED, E_SAMPLE, E_NONFINITE };

static const struct qs_column entry_columns[] = {
    { .key = "name", .title = "tensor", .left = true },
    { .key = "input", .title = "input", .left = true, .optional = true },
    { .key = "columns", .title = "columns", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "experts", .title = "experts", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "rows", .title = "rows", .unit = QS_UNIT_COUNT },
    { .key = "least_rows", .title = "fewest", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "mean_square", .title = "mean x^2" },
    { .key = "mean", .title = "mean x", .optional = true },
    { .key = "largest", .title = "largest |x|" },
    { .key = "outlier_ratio", .title = "outlier" },
    { .key = "salient", .title = "salient", .unit = QS_UNIT_PERCENT },
    { .key = "dead", .title = "dead", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "unseen", .title = "unseen", .unit = QS_UNIT_COUNT },
    { .key = "rare", .title = "rare", .unit = QS_UNIT_COUNT },
    { .key = "tokens_needed", .title = "tokens needed", .unit = QS_UNIT_COUNT },
    { .key = "sample", .title = "sample", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "nonfinite", .title = "NaN, Inf", .unit = QS_UNIT_COUNT, .optional = true },
};

static void put_sums(struct qs_section *t, const struct qs_input_stats *x, uint64_t rows)
{
    double sum2 = 0, sum = 0, most = 0;
    for (size_t k = 0; k < x->cols * x->experts; k++) {
        const double largest = x->max ? (double)x->max[k] : 0;
        sum2 += x->sum2[k];
        sum += x->sum ? x->sum[k] : 0;
        most = largest > most ? largest : most;
    }
    const double n = (double)rows * (double)x->cols;
    qs_cell_num(t, E_MEAN_SQUARE, rows ? sum2 / n : NAN);
    qs_cell_num(t, E_MEAN, rows && x->sum ? sum / n : NAN);
    qs_cell_num(t, E_LARGEST, x->max ? most : NAN);
}

static void put_entry(struct qs_section *t, const struct qs_input_stats *x, const char *name, const struct qs_channel_facts *f)
{
    char input[64];
    uint64_t least, most;
    const uint64_t rows = counted(x, &least, &most);
    qs_row(t);
    qs_cell_str(t, E_NAME, name);
    qs_cell_str(t, E_INPUT, input_name(x, input, sizeof input));
    qs_cell_int(t, E_COLS, (int64_t)x->cols);
    qs_cell_int(t, E_EXPERTS, (int64_t)x->experts);
    qs_cell_int(t, E_ROWS, (int64_t)rows);
    qs_cell_int(t, E_LEAST, (int64_t)least);
    put_sums(t, x, rows);
    qs_cell_num(t, E_RATIO, f->outlier_ratio);
    qs_cell_num(t, E_SALIENT, f->salient);
    qs_cell_int(t, E_DEAD, (int64_t)f->dead);
    qs_cell_int(t, E_UNSEEN, (int64_t)f->unseen);
    qs_cell_int(t, E_RARE, (int64_t)f->rare);
    qs_cell_int(t, E_NEEDED, (int64_t)(f->tokens_needed < INT64_MAX ? f->tokens_needed : INT64_MAX));
    qs_cell_int(t, E_SAMPLE, (int64_t)x->n_rows);
    qs_cell_int(t, E_NONFINITE, (int64_t)x->nonfinite);
}

static int add_entries(struct qs_report *r, const struct qs_statistics *s, const char *sort, struct qs_err *e)
{
    struct qs_section *t = qs_report_table(r, "entries", "Entries", entry_columns, sizeof entry_columns / sizeof *entry_columns);
    bool rms = false;
    for (size_t i = 0; i < s->n_inputs; i++) {
        const struct qs_input_stats *x = &s->input[i];
        struct qs_channel_facts f;
        uint64_t least, most;
        if (!counted(x, &least, &most))
            continue;
        qs_channel_facts(x, s->tokens, &f);
        rms = rms || f.by_rms;
        for (size_t k = 0; k < x->n_tensors; k++)
            put_entry(t, x, x->tensor[k], &f);
    }
    qs_section_note(t, "outlier: largest channel over the median one, by %s; salient: share of channels at %g times the median "
                    "and above; rare: experts with fewer rows than columns.", rms ? "RMS (the file keeps no largest values)" :
                    "largest magnitude", QS_SALIENT_RATIO);
    return sort ? qs_section_sort(t, sort, e) : QS_OK;
}

/* ---- channels, tokens ---- */

static void add_channels(struct qs_report *r, const struct qs_statistics *s)
{
    static const struct qs_column columns[] = {
        { .key = "input", .title = "input", .left = true }, { .key = "tensor", .title = "read by", .left = true },
        { .key = "channel", .title = "channel", .unit = QS_UNIT_ID }, { .key = "ratio", .title = "over median" },
    };
    struct qs_section *t = qs_report_table(r, "channels", "Outlier channels", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_inputs; i++) {
        struct qs_channel_facts f;
        char input[64];
        qs_channel_facts(&s->input[i], s->tokens, &f);
        for (unsigned k = 0; k < f.n_worst && f.worst_ratio[k] >= QS_SALIENT_RATIO; k++) {
            qs_row(t);
            qs_cell_str(t, 0, input_name(&s->input[i], input, sizeof input));
            qs_cell_str(t, 1, s->input[i].n_tensors ? s->input[i].tensor[0] : "");
            qs_cell_int(t, 2, (int64_t)f.worst[k]);
            qs_cell_num(t, 3, f.worst_ratio[k]);
        }
    }
    qs_section_note(t, "At most the 8 worst of each input, %g times the median and above.", QS_SALIENT_RATIO);
}

static void add_massive(struct qs_report *r, const struct qs_statistics *s)
{
    static const struct qs_column columns[] = {
        { .key = "input", .title = "input", .left = true }, { .key = "window", .title = "window", .unit = QS_UNIT_ID },
        { .key = "position", .title = "position", .unit = QS_UNIT_ID }, { .key = "token", .title = "token", .unit = QS_UNIT_ID },
        { .key = "largest", .title = "largest |x|" }, { .key = "ratio", .title = "over median row" },
    };
    struct qs_section *t = qs_report_table(r, "massive", "Tokens with massive activations", columns,
                                           sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_inputs; i++) {
        char input[64];
        for (unsigned k = 0; k < s->input[i].n_massive; k++) {
            const struct qs_massive *m = &s->input[i].massive[k];
            qs_row(t);
            qs_cell_str(t, 0, input_name(&s->input[i], input, sizeof input));
            qs_cell_int(t, 1, (int64_t)m->window);
            qs_cell_int(t, 2, (int64_t)m->pos);
            qs_cell_int(t, 3, m->token);
            qs_cell_num(t, 4, (double)m->max);
            qs_cell_num(t, 5, m->ratio);
        }
    }
}

/* ---- the tables of errors and swaps ---- */

static void add_errors(struct qs_report *r, const struct qs_statistics *s)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true }, { .key = "type", .title = "type", .left = true },
        { .key = "method", .title = "method", .left = true },
        { .key = "error", .title = "error held out", .unit = QS_UNIT_PERCENT },
        { .key = "fitted", .title = "error fitted", .unit = QS_UNIT_PERCENT },
        { .key = "seconds", .title = "took", .unit = QS_UNIT_SECONDS },
    };
    struct qs_section *t = qs_report_table(r, "errors", "Output errors", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_errors; i++) {
        const struct qs_error_cell *c = &s->error[i];
        qs_row(t);
        qs_cell_str(t, 0, c->tensor);
        qs_cell_str(t, 1, qs_type_name(c->type));
        qs_cell_str(t, 2, qs_calib_method_name(c->method));
        qs_cell_num(t, 3, c->error);
        qs_cell_num(t, 4, c->fitted);
        qs_cell_num(t, 5, c->seconds);
    }
}

static void add_swaps(struct qs_report *r, const struct qs_statistics *s)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true }, { .key = "type", .title = "type", .left = true },
        { .key = "method", .title = "method", .left = true }, { .key = "kld", .title = "KLD" },
        { .key = "kld_se", .title = "+-" }, { .key = "windows", .title = "windows", .unit = QS_UNIT_COUNT },
        { .key = "error", .title = "its error", .unit = QS_UNIT_PERCENT },
    };
    struct qs_section *t = qs_report_table(r, "swaps", "Tensors changed alone", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < s->n_swaps; i++) {
        const struct qs_swap_cell *c = &s->swap[i];
        qs_row(t);
        qs_cell_str(t, 0, c->tensor);
        qs_cell_str(t, 1, qs_type_name(c->type));
        qs_cell_str(t, 2, qs_calib_method_name(c->method));
        qs_cell_num(t, 3, c->kld);
        qs_cell_num(t, 4, c->kld_se);
        qs_cell_int(t, 5, (int64_t)c->windows);
        qs_cell_num(t, 6, c->error);
    }
}

/* ---- against a model ---- */

/* Whether a preset may quantize the tensor, and the file says nothing of it. */
static int look_for(const struct qs_statistics *s, const struct qs_model *m, size_t i, bool *matrix, bool *missing,
                    struct qs_err *e)
{
    const struct qs_imatrix_entry *x;
    *matrix = qs_preset_quantizes(m, &m->tensor[i]);
    const int rc = *matrix ? qs_importance_for(s->imatrix, &m->tensor[i], &x, e) : QS_OK;
    *missing = *matrix && rc == QS_OK && (!x || x->unseen >= x->experts);
    return rc;
}

static int fact_missing(struct qs_section *f, const struct qs_statistics *s, const struct qs_model *m, size_t *missing,
                        struct qs_err *e)
{
    size_t matrices = 0;
    int rc = QS_OK;
    *missing = 0;
    for (size_t i = 0; rc == QS_OK && m && i < m->n_tensors; i++) {
        bool matrix, none;
        rc = look_for(s, m, i, &matrix, &none, e);
        matrices += matrix;
        *missing += none;
    }
    if (rc != QS_OK || !m)
        return rc;
    qs_fact_int(f, "matrices", "matrices of the model", (int64_t)matrices, QS_UNIT_COUNT);
    qs_fact_int(f, "missing", "of them without an entry", (int64_t)*missing, QS_UNIT_COUNT);
    return QS_OK;
}

static int add_missing(struct qs_report *r, const struct qs_statistics *s, const struct qs_model *m, struct qs_err *e)
{
    static const struct qs_column columns[] = { { .key = "name", .title = "tensor", .left = true },
                                                { .key = "role", .title = "role", .left = true } };
    struct qs_section *t = qs_report_table(r, "missing", "Matrices of the model without an entry", columns, 2);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++) {
        bool matrix, missing;
        rc = look_for(s, m, i, &matrix, &missing, e);
        if (!missing)
            continue;
        qs_row(t);
        qs_cell_str(t, 0, m->tensor[i].name);
        qs_cell_str(t, 1, qs_role_name(m->tensor[i].role));
    }
    return rc;
}

static int fact_model(struct qs_section *f, const struct qs_statistics *s, const struct qs_model *m, struct qs_err *e)
{
    struct qs_key key;
    const bool known = s->model.lo | s->model.hi;
    if (!known || !m)
        return QS_OK;
    const int rc = qs_model_content_key(m, &key, e);
    if (rc == QS_OK)
        qs_fact_bool(f, "same_file", "collected on this very model", qs_key_equal(key, s->model));
    return rc;
}

/* ---- the whole ---- */

static const char *form_of(const struct qs_statistics *s)
{
    bool own = s->corpus.lo | s->corpus.hi | s->model.lo | s->model.hi;
    for (size_t i = 0; i < s->n_inputs && !own; i++)
        own = s->input[i].max || s->input[i].n_rows;
    return s->imatrix->legacy ? "importance matrix (.dat)" : own ? "statistics (GGUF)" : "importance matrix (GGUF)";
}

static int add_facts(struct qs_report *r, const struct qs_statistics *s, const struct qs_imatrix_view *v, size_t *missing,
                     struct qs_err *e)
{
    uint64_t unseen = 0, rare = 0, needed = 0, least, most;
    bool routed = false;
    struct qs_section *f = qs_report_facts(r, "imatrix", v->path);
    for (size_t i = 0; i < s->n_inputs; i++) {
        struct qs_channel_facts c;
        if (!counted(&s->input[i], &least, &most) || s->input[i].experts == 1)
            continue;
        qs_channel_facts(&s->input[i], s->tokens, &c);
        routed = true;
        unseen += c.unseen;
        rare += c.rare;
        needed = c.tokens_needed > needed ? c.tokens_needed : needed;
    }
    qs_fact_str(f, "file", "file", v->path);
    qs_fact_str(f, "form", "form", form_of(s));
    qs_fact_str(f, "dataset", "dataset", s->dataset);
    qs_fact_int(f, "chunks", "chunks", (int64_t)s->windows, QS_UNIT_COUNT);
    qs_fact_int(f, "chunk_size", "tokens of a chunk", (int64_t)s->n_ctx, QS_UNIT_COUNT);
    qs_fact_int(f, "tokens", "tokens", (int64_t)s->tokens, QS_UNIT_COUNT);
    qs_fact_str(f, "precision", "precision", s->precision ? qs_calib_precision_name(s->precision) : "unknown");
    qs_fact_int(f, "entries", "entries", (int64_t)s->imatrix->n_entries, QS_UNIT_COUNT);
    if (v->data || routed) {
        qs_fact_int(f, "unseen", "experts without a row", (int64_t)unseen, QS_UNIT_COUNT);
        qs_fact_int(f, "rare", "experts with fewer rows than columns", (int64_t)rare, QS_UNIT_COUNT);
        qs_fact_int(f, "tokens_needed", "tokens that those still need",
                    (int64_t)(needed < INT64_MAX ? needed : INT64_MAX), QS_UNIT_COUNT);
    }
    qs_fact_int(f, "errors", "output errors kept", (int64_t)s->n_errors, QS_UNIT_COUNT);
    qs_fact_int(f, "swaps", "measured single changes kept", (int64_t)s->n_swaps, QS_UNIT_COUNT);
    if (s->imatrix->legacy)
        qs_section_note(f, "The .dat form counts calls, not tokens, and cannot tell experts that were never seen.");
    const int rc = fact_missing(f, s, v->model, missing, e);
    return rc == QS_OK ? fact_model(f, s, v->model, e) : rc;
}

static bool any_massive(const struct qs_statistics *s)
{
    bool any = false;
    for (size_t i = 0; i < s->n_inputs; i++)
        any = any || s->input[i].n_massive;
    return any;
}

static int add_tables(struct qs_report *r, const struct qs_statistics *s, const struct qs_imatrix_view *v, size_t missing,
                      struct qs_err *e)
{
    int rc = add_entries(r, s, v->sort, e);
    if (rc == QS_OK && v->model && (missing || v->data))
        rc = add_missing(r, s, v->model, e);
    if (rc == QS_OK)
        add_channels(r, s);
    if (rc == QS_OK && (v->data || any_massive(s)))
        add_massive(r, s);
    if (rc == QS_OK && v->data)
        add_errors(r, s);
    if (rc == QS_OK && (v->data || s->n_swaps))
        add_swaps(r, s);
    return rc;
}

int qs_report_imatrix(const struct qs_statistics *s, const struct qs_imatrix_view *v, struct qs_report **out, struct qs_err *e)
{
    struct qs_report *r = qs_report_new("imatrix");
    size_t missing = 0;
    int rc = r ? add_facts(r, s, v, &missing, e) : qs_fail_mem(e, 0, "a report");
    *out = NULL;
    if (rc == QS_OK && !v->totals_only)
        rc = add_tables(r, s, v, missing, e);
    if (rc == QS_OK && qs_report_failed(r))
        rc = qs_fail_mem(e, 0, "a report");
    if (rc == QS_OK)
        *out = r;
    else
        qs_report_free(r);
    return rc;
}
