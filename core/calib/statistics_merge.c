/* statistics_merge.c - statistics of two texts into those of both.
 *
 * Owns nothing. Sums and counts add up in double precision; the sample keeps its size, filled from both in proportion
 * to the rows that were counted. Refuses inputs of different sizes before anything is changed.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/statistics_internal.h"

/* The input of s that some matrix of x reads. */
static struct qs_input_stats *partner(const struct qs_statistics *s, const struct qs_input_stats *x)
{
    for (size_t k = 0; k < x->n_tensors; k++)
        for (size_t i = 0; i < s->n_inputs; i++)
            if (qs_input_stats_reads(&s->input[i], x->tensor[k]))
                return &s->input[i];
    return NULL;
}

static int check(const struct qs_statistics *to, const struct qs_statistics *more, struct qs_err *e)
{
    for (size_t i = 0; i < more->n_inputs; i++) {
        const struct qs_input_stats *y = &more->input[i], *x = partner(to, y);
        if (!y->n_tensors)
            return qs_fail(e, QS_EINVAL, "statistics that were not sealed cannot be merged");
        if (x && x->cols * x->experts != y->cols * y->experts)
            return qs_fail(e, QS_EINVAL, "tensor %s has %zu values in one file and %zu in the other: they belong to different "
                           "models", y->tensor[0], x->cols * x->experts, y->cols * y->experts);
        if (x && x->experts != y->experts && x->experts > 1 && y->experts > 1)
            return qs_fail(e, QS_EINVAL, "tensor %s has %zu experts in one file and %zu in the other: they belong to different "
                           "models", y->tensor[0], x->experts, y->experts);
    }
    return QS_OK;
}

/* Inputs of two models of one shape have nothing in common. */
static int check_models(const struct qs_statistics *to, const struct qs_statistics *more, struct qs_err *e)
{
    const bool known = (to->model.lo | to->model.hi) && (more->model.lo | more->model.hi);
    if (!known || qs_key_equal(to->model, more->model))
        return QS_OK;
    return qs_fail(e, QS_EINVAL, "statistics of \"%.80s\" and of \"%.80s\" were collected on different models: collect both on "
                   "one model", to->dataset, more->dataset);
}

/* One count for all experts (the .dat form) becomes one for each. */
static int spread(struct qs_input_stats *x, size_t experts, struct qs_err *e)
{
    if (x->experts >= experts)
        return QS_OK;
    uint64_t *count = qs_calloc(experts, sizeof *count);
    if (!count)
        return qs_fail_mem(e, experts * sizeof *count, "statistics");
    for (size_t j = 0; j < experts; j++)
        count[j] = x->count[0];
    qs_free(x->count);
    x->count = count;
    x->cols /= experts;
    x->experts = experts;
    return QS_OK;
}

/* ---- the sample ---- */

struct draw { float *row; uint32_t *expert; size_t n, cols; };

/* `take` rows of x, evenly spread. */
static void take_rows(struct draw *d, const struct qs_input_stats *x, size_t take)
{
    for (size_t i = 0; i < take; i++) {
        const size_t at = (2 * i + 1) * x->n_rows / (2 * take);
        memcpy(d->row + d->n * d->cols, x->row + at * d->cols, d->cols * sizeof *d->row);
        d->expert[d->n++] = x->row_expert[at];
    }
}

static int merge_rows(struct qs_input_stats *x, const struct qs_input_stats *y, uint64_t rows_x, uint64_t rows_y,
                      struct qs_err *e)
{
    if (!x->n_rows || !y->n_rows) {
        x->n_rows = 0;
        return QS_OK;
    }
    const size_t most = x->n_rows > y->n_rows ? x->n_rows : y->n_rows, both = x->n_rows + y->n_rows;
    const size_t all = both < QS_SAMPLE_ROWS ? both : most > QS_SAMPLE_ROWS ? most : QS_SAMPLE_ROWS;
    size_t a = (size_t)llround((double)all * (double)rows_x / ((double)rows_x + (double)rows_y));
    a = a > x->n_rows ? x->n_rows : all - a > y->n_rows ? all - y->n_rows : a;
    struct draw d = { qs_calloc(all, x->cols * sizeof *d.row), qs_calloc(all, sizeof *d.expert), 0, x->cols };
    if (!d.row || !d.expert) {
        qs_free(d.row);
        qs_free(d.expert);
        return qs_fail_mem(e, all * x->cols * sizeof *d.row, "statistics");
    }
    take_rows(&d, x, a);
    take_rows(&d, y, all - a);
    qs_free(x->row);
    qs_free(x->row_expert);
    x->row = d.row;
    x->row_expert = d.expert;
    x->n_rows = d.n;
    return QS_OK;
}

/* ---- one input ---- */

static void merge_massive(struct qs_input_stats *x, const struct qs_input_stats *y, uint64_t windows)
{
    for (unsigned i = 0; i < y->n_massive; i++) {
        struct qs_massive t = y->massive[i];
        unsigned at = 0;
        t.window += windows;
        while (at < x->n_massive && x->massive[at].ratio >= t.ratio)
            at++;
        if (at == QS_MASSIVE_TOKENS)
            continue;
        const unsigned kept = x->n_massive < QS_MASSIVE_TOKENS ? x->n_massive : QS_MASSIVE_TOKENS - 1;
        memmove(&x->massive[at + 1], &x->massive[at], (kept - at) * sizeof t);
        x->massive[at] = t;
        x->n_massive = kept + 1;
    }
}

static int merge_input(struct qs_input_stats *x, const struct qs_input_stats *y, uint64_t windows, struct qs_err *e)
{
    int rc = spread(x, y->experts, e);
    const uint64_t rows_x = qs_input_stats_rows(x), rows_y = qs_input_stats_rows(y);
    if (rc == QS_OK && rows_x + rows_y > 0)
        rc = merge_rows(x, y, rows_x, rows_y, e);
    if (rc != QS_OK)
        return rc;
    const size_t n = x->cols * x->experts;
    for (size_t k = 0; k < n; k++)
        x->sum2[k] += y->sum2[k];
    for (size_t k = 0; x->sum && y->sum && k < n; k++)
        x->sum[k] += y->sum[k];
    for (size_t k = 0; x->max && y->max && k < n; k++)
        x->max[k] = x->max[k] > y->max[k] ? x->max[k] : y->max[k];
    for (size_t j = 0; j < x->experts; j++)
        x->count[j] += y->count[y->experts == 1 ? 0 : j];
    if (!y->sum) {
        qs_free(x->sum);
        x->sum = NULL;
    }
    if (!y->max) {
        qs_free(x->max);
        x->max = NULL;
    }
    if (y->nonfinite && !x->nonfinite)
        x->bad_window = y->bad_window + windows;
    x->nonfinite += y->nonfinite;
    merge_massive(x, y, windows);
    return QS_OK;
}

/* An input that `to` has not, or has as nothing known. */
static int copy_input(struct qs_input_stats *x, const struct qs_input_stats *y, uint64_t windows, struct qs_err *e)
{
    const size_t n = y->cols * y->experts;
    *x = (struct qs_input_stats){ .layer = y->layer, .point = y->point, .cols = y->cols, .experts = y->experts,
                                  .nonfinite = y->nonfinite };
    int rc = qs_input_stats_alloc(x, y->sum != NULL, y->max != NULL, y->n_rows, e);
    for (size_t k = 0; rc == QS_OK && k < y->n_tensors; k++)
        rc = qs_input_stats_name(x, y->tensor[k], e);
    if (rc != QS_OK)
        return rc;
    memcpy(x->sum2, y->sum2, n * sizeof *y->sum2);
    memcpy(x->count, y->count, y->experts * sizeof *y->count);
    if (y->sum)
        memcpy(x->sum, y->sum, n * sizeof *y->sum);
    if (y->max)
        memcpy(x->max, y->max, n * sizeof *y->max);
    if (y->n_rows) {
        memcpy(x->row, y->row, y->n_rows * y->cols * sizeof *y->row);
        memcpy(x->row_expert, y->row_expert, y->n_rows * sizeof *y->row_expert);
    }
    x->n_rows = y->n_rows;
    x->bad_window = y->nonfinite ? y->bad_window + windows : 0;
    merge_massive(x, y, windows);
    return QS_OK;
}

static int put_input(struct qs_statistics *to, const struct qs_input_stats *y, uint64_t windows, struct qs_err *e)
{
    struct qs_input_stats copy = { 0 };
    int rc = copy_input(&copy, y, windows, e);
    struct qs_input_stats *grown = rc == QS_OK ? qs_realloc_array(to->input, to->n_inputs + 1, sizeof *grown) : NULL;
    if (rc == QS_OK && !grown)
        rc = qs_fail_mem(e, sizeof *grown, "statistics");
    if (rc != QS_OK) {
        qs_input_stats_free(&copy);
        return rc;
    }
    to->input = grown;
    grown[to->n_inputs++] = copy;
    return QS_OK;
}

/* ---- the whole ---- */

static int merge_facts(struct qs_statistics *to, const struct qs_statistics *more, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    qs_str_add(&text, to->dataset);
    qs_str_add(&text, to->dataset[0] && more->dataset[0] ? ", " : "");
    qs_str_add(&text, more->dataset);
    char *dataset = text.len ? qs_str_take(&text) : qs_strdup("");
    qs_str_free(&text);
    if (!dataset)
        return qs_fail_mem(e, 0, "statistics");
    qs_free(to->dataset);
    to->dataset = dataset;
    const struct qs_key both[2] = { to->corpus, more->corpus };
    const bool known = (both[0].lo | both[0].hi) && (both[1].lo | both[1].hi);
    to->corpus = known ? qs_hash_bytes(both, sizeof both) : (struct qs_key){ 0, 0 };
    if (!qs_key_equal(to->model, more->model))
        to->model = (struct qs_key){ 0, 0 };
    to->tokens += more->tokens;
    to->windows += more->windows;
    to->n_ctx = to->n_ctx ? to->n_ctx : more->n_ctx;
    to->precision = to->precision == more->precision ? to->precision : QS_CALIB_ANY;
    return QS_OK;
}

int qs_statistics_merge(struct qs_statistics *to, const struct qs_statistics *more, bool other_models, struct qs_err *e)
{
    int rc = check(to, more, e);
    if (rc == QS_OK && !other_models)
        rc = check_models(to, more, e);
    const size_t before = to->n_inputs;
    const uint64_t windows = to->windows;
    if (rc != QS_OK)
        return rc;
    qs_statistics_drop_tables(to);
    for (size_t i = 0; rc == QS_OK && i < before; i++) {
        struct qs_input_stats *x = &to->input[i];
        const struct qs_input_stats *y = partner(more, x);
        if (!y || !qs_input_stats_rows(y))
            continue;
        if (qs_input_stats_rows(x)) {
            rc = merge_input(x, y, windows, e);
            continue;
        }
        struct qs_input_stats copy = { 0 }; /* nothing was known: all of it is the other's, the names stay */
        rc = copy_input(&copy, y, windows, e);
        if (rc == QS_OK) {
            char **names = copy.tensor;
            const size_t n = copy.n_tensors;
            copy.tensor = x->tensor;
            copy.n_tensors = x->n_tensors;
            copy.layer = x->layer;
            copy.point = x->point;
            x->tensor = names;
            x->n_tensors = n;
            qs_input_stats_free(x);
            *x = copy;
        } else {
            qs_input_stats_free(&copy);
        }
    }
    const size_t known = to->n_inputs;
    for (size_t i = 0; rc == QS_OK && i < more->n_inputs; i++) {
        const struct qs_statistics seen = { .input = to->input, .n_inputs = known };
        if (!partner(&seen, &more->input[i]))
            rc = put_input(to, &more->input[i], windows, e);
    }
    if (rc == QS_OK)
        rc = merge_facts(to, more, e);
    return rc == QS_OK ? qs_statistics_seal(to, NULL, NULL, e) : rc;
}
