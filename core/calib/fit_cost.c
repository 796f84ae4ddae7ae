/* fit_cost.c - what each type of each tensor costs: sensitivity times squared relative error.
 *
 * Owns the tables. Errors come from the statistics (by method) and from the survey. One kind of error is used for all
 * that a run compares: the best that at least half of the matrices have. Where a tensor lacks it at a type, the next
 * kind stands in, multiplied by the ratio of the two at that tensor's other types, or, where it has none of them, by
 * the median ratio of all tensors. Types that GPTQ cannot write (codebooks, floats) keep the error with importance weights.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/calib/fit_internal.h"
#include "core/quant/importance.h"
#include "kernels/lattice.h"

#define HEAD_COUNTS 100 /* times an inner matrix, where no swap has measured it */

static double *at(double *table, const struct qs_fit_costs *c, size_t tensor, size_t type)
{
    return &table[tensor * c->n_types + type];
}

static bool by_gptq(size_t type) { return qs_lattice_of(qs_format_at(type)->id) != NULL; }

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorts. */
static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n ? (x[(n - 1) / 2] + x[n / 2]) / 2 : NAN;
}

/* ---- what is known ------------------------------------------------------------------------------------------- */

static void take_cell(struct qs_fit_costs *c, const struct qs_error_cell *cell)
{
    const struct qs_tensor *t = qs_model_find(c->a->model, cell->tensor);
    const size_t type = qs_format_index(cell->type);
    const double error = isfinite(cell->error) ? cell->error : cell->fitted;
    if (!t || type == SIZE_MAX || !isfinite(error) || error < 0)
        return;
    const size_t i = qs_model_index(c->a->model, t);
    const enum qs_fit_measure m = cell->method == QS_CALIB_PLAIN     ? QS_FIT_OUTPUT
                                  : cell->method == QS_CALIB_IMATRIX ? QS_FIT_IMATRIX
                                                                     : QS_FIT_GPTQ;
    double *known = at(c->raw[m], c, i, type);
    if (m == QS_FIT_GPTQ && (c->a->imatrix_only || *known <= error))
        return;
    *known = error;
    if (m == QS_FIT_GPTQ)
        c->gptq_method[i * c->n_types + type] = (unsigned char)cell->method;
}

/* With the importance of the same statistics, or without where those have none of the tensor. */
static void take_outputs(struct qs_fit_costs *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct qs_imatrix_entry *entry = NULL;
        const bool weighted = !qs_importance_for(c->a->statistics->imatrix, &c->a->model->tensor[i], &entry, NULL) && entry;
        for (size_t k = 0; k < c->n_types; k++) {
            struct qs_output o;
            double *known = at(c->raw[weighted ? QS_FIT_IMATRIX : QS_FIT_OUTPUT], c, i, k);
            if (isnan(*known) && qs_outputs_get(c->a->outputs, i, qs_format_at(k)->id, &o) && o.how != QS_HOW_EXACT)
                *known = o.error;
        }
    }
}

static void take_survey(struct qs_fit_costs *c)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->n_types; k++) {
            struct qs_survey_cell cell;
            if (!qs_survey_cell(c->a->survey, &c->a->model->tensor[i], qs_format_at(k)->id, &cell))
                continue;
            *at(c->raw[QS_FIT_PLAIN], c, i, k) = cell.error;
            *at(c->raw[QS_FIT_WEIGHTED], c, i, k) = cell.weighted;
        }
}

static bool settable(const struct qs_fit_costs *c, size_t i)
{
    return qs_preset_settable(c->a->model, &c->a->model->tensor[i]);
}

static bool has(const struct qs_fit_costs *c, enum qs_fit_measure m, size_t tensor)
{
    for (size_t k = 0; k < c->n_types; k++)
        if (!isnan(*at(c->raw[m], c, tensor, k)))
            return true;
    return false;
}

static void choose_measure(struct qs_fit_costs *c)
{
    for (size_t i = 0; i < c->n; i++)
        c->n_free += settable(c, i);
    for (c->measure = QS_FIT_GPTQ; c->measure < QS_FIT_PLAIN; c->measure++) {
        size_t n = 0;
        for (size_t i = 0; i < c->n; i++)
            n += settable(c, i) && has(c, c->measure, i);
        if (n && 2 * n >= c->n_free)
            return;
    }
}

/* ---- from one kind to another -------------------------------------------------------------------------------- */

/* Of the kind `to` over `from` at one tensor: the geometric mean over its types. NaN: no type has both. */
static double ratio_at(const struct qs_fit_costs *c, size_t i, enum qs_fit_measure to, enum qs_fit_measure from)
{
    double sum = 0;
    size_t n = 0;
    for (size_t k = 0; k < c->n_types; k++) {
        const double x = *at(c->raw[to], c, i, k), y = *at(c->raw[from], c, i, k);
        if (x > 0 && y > 0 && !(to == QS_FIT_GPTQ && !by_gptq(k))) {
            sum += log(x / y);
            n++;
        }
    }
    return n ? exp(sum / (double)n) : NAN;
}

static double ratio_of_all(const struct qs_fit_costs *c, enum qs_fit_measure to, enum qs_fit_measure from, double *room)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const double r = ratio_at(c, i, to, from);
        if (!isnan(r))
            room[n++] = r;
    }
    return median(room, n);
}

struct ratios { double all[QS_FIT_MEASURES][QS_FIT_MEASURES]; };

static double ratio(const struct qs_fit_costs *c, const struct ratios *r, size_t i, enum qs_fit_measure to,
                    enum qs_fit_measure from)
{
    double x = to == from ? 1 : ratio_at(c, i, to, from);
    x = isnan(x) ? r->all[to][from] : x;
    return isnan(x) ? 1 : x;
}

static enum qs_fit_measure target(const struct qs_fit_costs *c, size_t type)
{
    return !by_gptq(type) && c->measure == QS_FIT_GPTQ ? QS_FIT_IMATRIX : c->measure;
}

/* One tensor at all types, the best kind first. */
static void fill_tensor(struct qs_fit_costs *c, const struct ratios *r, size_t i)
{
    for (size_t k = 0; k < c->n_types; k++) {
        const enum qs_fit_measure to = target(c, k);
        for (enum qs_fit_measure m = to; m < QS_FIT_MEASURES; m++) {
            const double raw = *at(c->raw[m], c, i, k);
            if (isnan(raw))
                continue;
            *at(c->error, c, i, k) = raw * ratio(c, r, i, to, m);
            c->from[i * c->n_types + k] = (unsigned char)m;
            break;
        }
    }
}

static int fill_errors(struct qs_fit_costs *c, struct qs_err *e)
{
    struct ratios r;
    double *room = qs_calloc(c->n + 1, sizeof *room);
    if (!room)
        return qs_fail_mem(e, c->n * sizeof *room, "the costs of types");
    for (int to = 0; to < QS_FIT_MEASURES; to++)
        for (int from = 0; from < QS_FIT_MEASURES; from++)
            r.all[to][from] = ratio_of_all(c, (enum qs_fit_measure)to, (enum qs_fit_measure)from, room);
    for (size_t i = 0; i < c->n; i++)
        fill_tensor(c, &r, i);
    qs_free(room);
    return QS_OK;
}

/* ---- sensitivities ------------------------------------------------------------------------------------------- */

/* The error that the swap made, in the kind that the tensor's costs go by. */
static double error_of_swap(const struct qs_fit_costs *c, size_t i, const struct qs_swap_cell *s)
{
    const size_t k = qs_format_index(s->type);
    if (k == SIZE_MAX)
        return NAN;
    const double output = *at(c->raw[s->method == QS_CALIB_PLAIN ? QS_FIT_OUTPUT : QS_FIT_IMATRIX], c, i, k);
    if (c->measure <= QS_FIT_OUTPUT && output > 0)
        return output;
    const bool of_weights = c->measure > QS_FIT_OUTPUT || c->from[i * c->n_types + k] > QS_FIT_OUTPUT;
    const double error = *at(c->error, c, i, k);
    return of_weights && error > 0 ? error : s->error;
}

static void own_swaps(struct qs_fit_costs *c)
{
    const struct qs_statistics *s = c->a->statistics;
    for (size_t i = 0; i < c->n; i++)
        c->sensitivity[i] = NAN;
    for (size_t k = 0; s && k < s->n_swaps; k++) { /* the newest last */
        const struct qs_tensor *t = qs_model_find(c->a->model, s->swap[k].tensor);
        const size_t i = t ? qs_model_index(c->a->model, t) : 0;
        const double error = t ? error_of_swap(c, i, &s->swap[k]) : NAN;
        if (!(error > 0) || !isfinite(s->swap[k].kld) || s->swap[k].kld < 0)
            continue;
        c->n_swaps += isnan(c->sensitivity[i]);
        c->sensitivity[i] = s->swap[k].kld / (error * error);
        c->how[i] = QS_FIT_SWAP;
        if (!c->windows || s->swap[k].windows < c->windows)
            c->windows = s->swap[k].windows;
    }
}

/* Of the tensors with a swap of their own: those of a role, or (-1) all. */
static double median_of(const struct qs_fit_costs *c, int role, double *room)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->how[i] == QS_FIT_SWAP && (role < 0 || (int)c->a->model->tensor[i].role == role))
            room[n++] = c->sensitivity[i];
    return median(room, n);
}

/* The matrix whose outputs are the logits: an error there is diluted by nothing. With logits of mean square L a relative
 * error e of them comes to a divergence of about e^2 L / 2, some units; swaps of inner matrices measure some hundredths. */
static bool is_head(const struct qs_fit_costs *c, size_t i)
{
    const char *name = c->a->model->tensor[i].name;
    return strcmp(name, "output.weight") == 0 ||
           (strcmp(name, "token_embd.weight") == 0 && !qs_model_find(c->a->model, "output.weight"));
}

static int fill_sensitivities(struct qs_fit_costs *c, struct qs_err *e)
{
    double by_role[QS_ROLE_COUNT], *room = qs_calloc(c->n + 1, sizeof *room);
    if (!room)
        return qs_fail_mem(e, c->n * sizeof *room, "the sensitivities of tensors");
    for (size_t i = 0; i < c->n; i++)
        c->how[i] = QS_FIT_ERROR;
    own_swaps(c);
    const double all = median_of(c, -1, room);
    for (int r = 0; r < QS_ROLE_COUNT; r++)
        by_role[r] = median_of(c, r, room);
    for (size_t i = 0; i < c->n; i++) {
        const double role = by_role[c->a->model->tensor[i].role];
        if (c->how[i] == QS_FIT_SWAP)
            continue;
        c->sensitivity[i] = !isnan(role) ? role : (!isnan(all) ? all : 1) * (is_head(c, i) ? HEAD_COUNTS : 1);
        c->how[i] = !isnan(role) ? QS_FIT_ROLE : !isnan(all) ? QS_FIT_ALL : QS_FIT_ERROR;
    }
    qs_free(room);
    return QS_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int make_room(struct qs_fit_costs *c, struct qs_err *e)
{
    const size_t n = c->n * c->n_types + 1;
    bool ok = true;
    for (int m = 0; m < QS_FIT_MEASURES; m++)
        ok &= (c->raw[m] = qs_malloc(n * sizeof *c->raw[m])) != NULL;
    ok &= (c->error = qs_malloc(n * sizeof *c->error)) != NULL;
    ok &= (c->from = qs_calloc(n, 1)) != NULL;
    ok &= (c->gptq_method = qs_calloc(n, 1)) != NULL;
    ok &= (c->sensitivity = qs_calloc(c->n + 1, sizeof *c->sensitivity)) != NULL;
    ok &= (c->how = qs_calloc(c->n + 1, sizeof *c->how)) != NULL;
    if (!ok)
        return qs_fail_mem(e, n * sizeof *c->error * (QS_FIT_MEASURES + 1), "the costs of types");
    for (size_t i = 0; i < n; i++) {
        for (int m = 0; m < QS_FIT_MEASURES; m++)
            c->raw[m][i] = NAN;
        c->error[i] = NAN;
    }
    return QS_OK;
}

int qs_fit_costs_new(const struct qs_fit_args *a, struct qs_fit_costs **out, struct qs_err *e)
{
    struct qs_fit_costs *c = qs_calloc(1, sizeof *c);
    if (!c)
        return qs_fail_mem(e, sizeof *c, "the costs of types");
    c->a = a;
    c->n = a->model->n_tensors;
    c->n_types = qs_format_count();
    int rc = make_room(c, e);
    if (!rc) {
        for (size_t i = 0; a->statistics && i < a->statistics->n_errors; i++)
            take_cell(c, &a->statistics->error[i]);
        if (a->outputs && a->statistics)
            take_outputs(c);
        if (a->survey)
            take_survey(c);
        choose_measure(c);
        rc = fill_errors(c, e);
    }
    if (!rc)
        rc = fill_sensitivities(c, e);
    if (rc)
        qs_fit_costs_free(c);
    else
        *out = c;
    return rc;
}

void qs_fit_costs_free(struct qs_fit_costs *c)
{
    if (!c)
        return;
    for (int m = 0; m < QS_FIT_MEASURES; m++)
        qs_free(c->raw[m]);
    qs_free(c->gptq_method);
    qs_free(c->error);
    qs_free(c->from);
    qs_free(c->sensitivity);
    qs_free(c->how);
    qs_free(c);
}

double qs_fit_error_of(const struct qs_fit_costs *c, size_t tensor, int type)
{
    const size_t k = qs_format_index(type);
    return k == SIZE_MAX ? NAN : *at(c->error, c, tensor, k);
}

double qs_fit_cost_of(const struct qs_fit_costs *c, size_t tensor, int type)
{
    const double e = qs_fit_error_of(c, tensor, type);
    return c->sensitivity[tensor] * e * e;
}

enum qs_calib_method qs_fit_method_of(const struct qs_fit_costs *c, size_t tensor, int type)
{
    const size_t k = qs_format_index(type);
    if (k == SIZE_MAX)
        return QS_CALIB_PLAIN;
    const enum qs_calib_method gptq = (enum qs_calib_method)c->gptq_method[tensor * c->n_types + k];
    const enum qs_fit_measure from = (enum qs_fit_measure)c->from[tensor * c->n_types + k];
    if (gptq != QS_CALIB_PLAIN)
        return gptq;
    if (c->measure == QS_FIT_GPTQ && by_gptq(k) && has(c, QS_FIT_GPTQ, tensor))
        return QS_CALIB_GPTQ;
    return from == QS_FIT_IMATRIX || from == QS_FIT_WEIGHTED ? QS_CALIB_IMATRIX : QS_CALIB_PLAIN;
}

void qs_fit_costs_base(const struct qs_fit_costs *c, const int *type, struct qs_str *out)
{
    static const char *const name[QS_FIT_MEASURES] = {
        [QS_FIT_GPTQ] = "output errors after GPTQ", [QS_FIT_IMATRIX] = "output errors with importance weights",
        [QS_FIT_OUTPUT] = "output errors without importance weights",
        [QS_FIT_WEIGHTED] = "importance-weighted errors of the weights", [QS_FIT_PLAIN] = "errors of the weights",
    };
    size_t converted = 0;
    for (size_t i = 0; i < c->n; i++) {
        const size_t k = qs_format_index(type[i]);
        converted += k != SIZE_MAX && settable(c, i) && !isnan(*at(c->error, c, i, k)) &&
                     c->from[i * c->n_types + k] != (unsigned char)target(c, k);
    }
    qs_str_add(out, name[c->measure]);
    if (converted)
        qs_str_addf(out, " (of %zu of %zu matrices converted from another kind of error)", converted, c->n_free);
    if (c->n_swaps)
        qs_str_addf(
            out,
            ", squared, times the measured KL divergence per squared error (%zu of %zu matrices swapped alone, on "
            "%zu windows)",
            c->n_swaps, c->n_free, c->windows);
    else
        qs_str_addf(out, ", squared, all matrices alike (the head %d times): no swap was measured, so the sum is no KL "
                    "divergence", HEAD_COUNTS);
}
