/* report_diff.c - turns a comparison into tables; computes nothing but totals of the tensors that match. */
#include "core/report/report_diff.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"

static const char *state_name(enum qs_diff_state s)
{
    static const char *const name[] = {
        [QS_DIFF_SAME] = "same", [QS_DIFF_VALUES] = "values", [QS_DIFF_SHAPE] = "shape", [QS_DIFF_ONLY_A] = "only a",
        [QS_DIFF_ONLY_B] = "only b",
    };
    return (size_t)s < sizeof name / sizeof *name ? name[s] : "?";
}

static const char *type_name(const struct qs_tensor *t, char *buf, size_t n)
{
    if (!t)
        return NULL;
    if (t->format)
        return t->format->name;
    snprintf(buf, n, "type %d", t->type);
    return buf;
}

struct totals { struct qs_error_sums sums; uint64_t bytes_a, bytes_b, state[QS_DIFF_ONLY_B + 1]; };

static void add_facts(struct qs_report *r, const struct qs_model *a, const struct qs_model *b, const struct qs_diff *d,
                      const struct totals *t, bool headers_only, bool data)
{
    struct qs_section *f = qs_report_facts(r, "diff", "Comparison");
    qs_fact_str(f, "a", "a", a->path);
    qs_fact_str(f, "b", "b", b->path);
    qs_fact_bool(f, "headers_only", "headers only", headers_only);
    qs_fact_int(f, "bytes_a", "tensors of a", (int64_t)t->bytes_a, QS_UNIT_BYTES);
    qs_fact_int(f, "bytes_b", "tensors of b", (int64_t)t->bytes_b, QS_UNIT_BYTES);
    qs_fact_int(f, "same", headers_only ? "same type and shape" : "same bytes", (int64_t)t->state[QS_DIFF_SAME], QS_UNIT_COUNT);
    qs_fact_int(f, "values", headers_only ? "other type" : "other bytes", (int64_t)t->state[QS_DIFF_VALUES], QS_UNIT_COUNT);
    qs_fact_int(f, "shape", "other shape", (int64_t)t->state[QS_DIFF_SHAPE], QS_UNIT_COUNT);
    qs_fact_int(f, "only_a", "only in a", (int64_t)t->state[QS_DIFF_ONLY_A], QS_UNIT_COUNT);
    qs_fact_int(f, "only_b", "only in b", (int64_t)t->state[QS_DIFF_ONLY_B], QS_UNIT_COUNT);
    qs_fact_int(f, "metadata", "metadata that differ", (int64_t)d->n_kv, QS_UNIT_COUNT);
    if (headers_only && !data)
        return;
    qs_fact_num(f, "error", "error of b against a", t->sums.n ? qs_error_rms(&t->sums) : (double)NAN, QS_UNIT_PERCENT,
                QS_HOW_WHOLE);
    qs_fact_num(f, "max_error", "largest difference", t->sums.n ? t->sums.max_abs : (double)NAN, QS_UNIT_NONE, QS_HOW_WHOLE);
    if (t->sums.nonfinite || data)
        qs_fact_int(f, "nonfinite", "not finite, left out", (int64_t)t->sums.nonfinite, QS_UNIT_WEIGHTS);
    if (!headers_only)
        qs_section_note(f, "error: relative RMS, sqrt(sum (a - b)^2 / sum a^2), over all weights that both have.");
}

static void add_metadata(struct qs_report *r, const struct qs_diff *d)
{
    static const struct qs_column columns[] = {
        { .key = "key", .title = "key", .left = true },
        { .key = "a", .title = "a", .left = true },
        { .key = "b", .title = "b", .left = true },
    };
    struct qs_section *t = qs_report_table(r, "metadata", "Metadata that differ", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < d->n_kv; i++) {
        qs_row(t);
        qs_cell_str(t, 0, d->kv[i].key);
        qs_cell_str(t, 1, d->kv[i].a);
        qs_cell_str(t, 2, d->kv[i].b);
    }
}

static void add_tensor(struct qs_section *t, const struct qs_diff_row *row, bool measured)
{
    char a[24], b[24];
    qs_row(t);
    qs_cell_str(t, 0, row->a ? row->a->name : row->b->name);
    qs_cell_str(t, 1, state_name(row->state));
    qs_cell_str(t, 2, type_name(row->a, a, sizeof a));
    qs_cell_str(t, 3, type_name(row->b, b, sizeof b));
    if (row->a)
        qs_cell_int(t, 4, (int64_t)row->a->size);
    if (row->b)
        qs_cell_int(t, 5, (int64_t)row->b->size);
    if (!measured || !row->sums.n)
        return;
    qs_cell_num(t, 6, qs_error_rms(&row->sums));
    qs_cell_how(t, 6, QS_HOW_WHOLE, 0);
    qs_cell_num(t, 7, 1 - row->cosine);
    qs_cell_num(t, 8, row->sums.max_abs);
    qs_cell_int(t, 9, (int64_t)row->sums.nonfinite);
}

static int matches(const struct qs_regex *re, const struct qs_diff_row *row, struct qs_err *e)
{
    const char *name = row->a ? row->a->name : row->b->name;
    return re ? qs_regex_find(re, name, strlen(name), 0, NULL, e) : 1;
}

static int add_tensors(struct qs_report *r, const struct qs_diff *d, const struct qs_diff_view *v, struct totals *totals,
                       const struct qs_regex *re, bool print, struct qs_err *e)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true },
        { .key = "state", .title = "differ in", .left = true, .optional = true },
        { .key = "type_a", .title = "a", .left = true },
        { .key = "type_b", .title = "b", .left = true },
        { .key = "bytes_a", .title = "size a", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "bytes_b", .title = "size b", .unit = QS_UNIT_BYTES },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
        { .key = "cosine_distance", .title = "1 - cosine" },
        { .key = "max_error", .title = "largest", .optional = true },
        { .key = "nonfinite", .title = "NaN, Inf", .unit = QS_UNIT_COUNT, .optional = true },
    };
    /* Without measuring, the columns of errors would be empty; for programs they stay, as nulls. */
    struct qs_section *t = print ? qs_report_table(r, "tensors", v->data ? "Tensors" : "Tensors that differ", columns,
                                                   v->headers_only && !v->data ? 6 : sizeof columns / sizeof *columns) : NULL;
    for (size_t i = 0; i < d->n_rows; i++) {
        const struct qs_diff_row *row = &d->row[i];
        const int found = matches(re, row, e);
        if (found < 0)
            return QS_ELIMIT;
        if (!found)
            continue;
        if (print && (v->data || row->state != QS_DIFF_SAME))
            add_tensor(t, row, !v->headers_only);
        totals->state[row->state]++;
        totals->bytes_a += row->a ? row->a->size : 0;
        totals->bytes_b += row->b ? row->b->size : 0;
        qs_error_sums_add(&totals->sums, &row->sums);
    }
    return QS_OK;
}

int qs_report_diff(const struct qs_model *a, const struct qs_model *b, const struct qs_diff *d, const struct qs_diff_view *v,
                   struct qs_report **out, struct qs_err *e)
{
    struct qs_regex *re = NULL;
    struct totals totals = { 0 }, again = { 0 };
    uint64_t matched = 0;
    int rc = v->match ? qs_regex_compile(v->match, 0, &re, e) : QS_OK;
    if (rc)
        return rc;
    struct qs_report *r = qs_report_new("diff");
    rc = add_tensors(r, d, v, &totals, re, false, e);
    for (int s = 0; s <= QS_DIFF_ONLY_B; s++)
        matched += totals.state[s];
    if (!rc && v->match && !matched)
        rc = qs_fail(e, QS_ENOTFOUND, "'%s' matches none of the %zu tensors of %s and %s", v->match, d->n_rows, a->path,
                     b->path);
    if (!rc) {
        add_facts(r, a, b, d, &totals, v->headers_only, v->data);
        if (v->data || d->n_kv)
            add_metadata(r, d);
        if (v->data || totals.state[QS_DIFF_SAME] < d->n_rows)
            rc = add_tensors(r, d, v, &again, re, true, e);
    }
    qs_regex_free(re);
    if (!rc && qs_report_failed(r))
        rc = qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    if (rc)
        qs_report_free(r);
    else
        *out = r;
    return rc;
}
