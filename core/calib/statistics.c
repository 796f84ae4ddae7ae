/* statistics.c - what a calibration knows of a model's inputs: made, sealed, looked up; the tables of errors and swaps.
 *
 * Owns the statistics and all in them. Errors are kept sorted by tensor, type and method, swaps as they came. Sealing
 * refuses numbers that are not finite, and means that readers of importance matrices refuse.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/statistics_internal.h"
#include "kernels/half.h"

const char *qs_calib_precision_name(enum qs_calib_precision p)
{
    static const char *const name[] = { "any", "exact", "fast" };
    return (unsigned)p < QS_CALIB_PRECISIONS ? name[p] : "?";
}

enum qs_calib_precision qs_calib_precision_named(const char *name)
{
    int p = QS_CALIB_PRECISIONS - 1;
    while (p > QS_CALIB_ANY && strcmp(qs_calib_precision_name((enum qs_calib_precision)p), name) != 0)
        p--;
    return (enum qs_calib_precision)p;
}

const char *qs_calib_method_name(enum qs_calib_method m)
{
    static const char *const name[QS_CALIB_METHODS] = { "plain", "imatrix", "GPTQ", "AWQ", "AWQ+GPTQ", "HQQ" };
    return (unsigned)m < QS_CALIB_METHODS ? name[m] : "?";
}

/* ---- one input ---- */

int qs_input_stats_alloc(struct qs_input_stats *s, bool sum, bool max, size_t rows, struct qs_err *e)
{
    const size_t n = s->cols * s->experts;
    s->sum2 = qs_calloc(n, sizeof *s->sum2);
    s->count = qs_calloc(s->experts, sizeof *s->count);
    s->sum = sum ? qs_calloc(n, sizeof *s->sum) : NULL;
    s->max = max ? qs_calloc(n, sizeof *s->max) : NULL;
    s->row = rows ? qs_calloc(rows, s->cols * sizeof *s->row) : NULL;
    s->row_expert = rows ? qs_calloc(rows, sizeof *s->row_expert) : NULL;
    const bool ok = s->sum2 && s->count && (s->sum || !sum) && (s->max || !max) && (!rows || (s->row && s->row_expert));
    return ok ? QS_OK : qs_fail_mem(e, (n + rows * s->cols) * 8, "statistics");
}

void qs_input_stats_free(struct qs_input_stats *s)
{
    qs_free(s->sum2);
    qs_free(s->sum);
    qs_free(s->max);
    qs_free(s->count);
    qs_free(s->row);
    qs_free(s->row_expert);
    for (size_t i = 0; i < s->n_tensors; i++)
        qs_free(s->tensor[i]);
    qs_free(s->tensor);
    *s = (struct qs_input_stats){ 0 };
}

int qs_input_stats_name(struct qs_input_stats *s, const char *name, struct qs_err *e)
{
    char **grown = qs_realloc_array(s->tensor, s->n_tensors + 1, sizeof *grown);
    if (grown)
        s->tensor = grown;
    if (!grown || !(grown[s->n_tensors] = qs_strdup(name)))
        return qs_fail_mem(e, strlen(name), "statistics");
    s->n_tensors++;
    return QS_OK;
}

bool qs_input_stats_reads(const struct qs_input_stats *s, const char *tensor)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        if (strcmp(s->tensor[i], tensor) == 0)
            return true;
    return false;
}

uint64_t qs_input_stats_rows(const struct qs_input_stats *s)
{
    uint64_t n = 0;
    for (size_t j = 0; j < s->experts; j++)
        n += s->count[j];
    return n;
}

/* ---- all of them ---- */

int qs_statistics_new(const struct qs_inputs *in, struct qs_statistics **out, struct qs_err *e)
{
    struct qs_statistics *s = qs_calloc(1, sizeof *s);
    int rc = QS_OK;
    *out = NULL;
    if (!s || !(s->input = qs_calloc(in->n + 1, sizeof *s->input)) || !(s->dataset = qs_strdup("")))
        rc = qs_fail_mem(e, in->n * sizeof *s->input, "statistics");
    for (size_t i = 0; rc == QS_OK && i < in->n; i++) {
        const struct qs_input *x = &in->input[i];
        s->input[s->n_inputs++] = (struct qs_input_stats){ .layer = x->layer, .point = x->point, .cols = x->cols,
                                                           .experts = x->experts };
        rc = qs_input_stats_alloc(&s->input[i], true, true, QS_SAMPLE_ROWS, e);
    }
    if (rc == QS_OK)
        *out = s;
    else
        qs_statistics_free(s);
    return rc;
}

void qs_statistics_drop_tables(struct qs_statistics *s)
{
    for (size_t i = 0; i < s->n_errors; i++)
        qs_free(s->error[i].tensor);
    for (size_t i = 0; i < s->n_swaps; i++)
        qs_free(s->swap[i].tensor);
    s->n_errors = s->n_swaps = 0;
}

void qs_statistics_free(struct qs_statistics *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_inputs; i++)
        qs_input_stats_free(&s->input[i]);
    qs_statistics_drop_tables(s);
    qs_free(s->input);
    qs_free(s->error);
    qs_free(s->swap);
    qs_free(s->dataset);
    qs_imatrix_free(s->imatrix);
    qs_free(s);
}

const struct qs_input_stats *qs_statistics_of(const struct qs_statistics *s, int layer, enum qs_point point)
{
    for (size_t i = 0; i < s->n_inputs; i++)
        if (s->input[i].layer == layer && s->input[i].point == point)
            return &s->input[i];
    return NULL;
}

/* ---- sealing ---- */

static int take_names(struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, struct qs_err *e)
{
    if (in->n != s->n_inputs)
        return qs_fail(e, QS_EINVAL, "statistics of %zu inputs do not belong to a model with %zu", s->n_inputs, in->n);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < in->n; i++) {
        if (s->input[i].cols != in->input[i].cols || s->input[i].experts != in->input[i].experts)
            return qs_fail(e, QS_EINVAL, "statistics of the %s of layer %d belong to another model",
                           qs_point_name(in->input[i].point), in->input[i].layer);
        for (size_t k = 0; rc == QS_OK && s->input[i].n_tensors < in->input[i].n_tensors; k++)
            rc = qs_input_stats_name(&s->input[i], m->tensor[in->input[i].tensor[k]].name, e);
    }
    return rc;
}

/* A row times a power of two that puts its largest value below 2^15 and at or above 2^14, also after rounding: packing
 * what was unpacked changes nothing. */
void qs_row_pack(const float *row, size_t n, uint16_t *half, float *scale)
{
    float most = 0;
    int exponent = 0;
    for (size_t j = 0; j < n; j++)
        most = fabsf(row[j]) > most ? fabsf(row[j]) : most;
    if (most > 0)
        (void)frexpf(most, &exponent);
    exponent = most > 0 ? 15 - exponent : 0;
    exponent = exponent > 100 ? 100 : exponent < -100 ? -100 : exponent;
    if (qs_f16_to_f32(qs_f32_to_f16(ldexpf(most, exponent))) >= 0x1p15f)
        exponent--;
    *scale = ldexpf(1.0f, exponent);
    for (size_t j = 0; j < n; j++)
        half[j] = qs_f32_to_f16(row[j] * *scale);
}

void qs_row_unpack(const uint16_t *half, size_t n, float scale, float *row)
{
    for (size_t j = 0; j < n; j++)
        row[j] = qs_f16_to_f32(half[j]) / scale;
}

bool qs_row_finite(const float *row, size_t n)
{
    bool ok = true;
    for (size_t j = 0; j < n; j++)
        ok = ok && isfinite(row[j]);
    return ok;
}

/* To what the file can hold. */
static int round_input(struct qs_input_stats *s, struct qs_err *e)
{
    const size_t n = s->cols * s->experts;
    uint16_t *half = qs_malloc(s->cols * sizeof *half);
    int rc = half ? QS_OK : qs_fail_mem(e, s->cols * sizeof *half, "statistics");
    for (size_t j = 0; j < s->experts; j++)
        s->count[j] = (uint64_t)(float)s->count[j];
    for (size_t k = 0; rc == QS_OK && k < n; k++) {
        const float a = (float)s->sum2[k], b = s->sum ? (float)s->sum[k] : 0;
        if (!isfinite(a) || !isfinite(b) || (s->max && !isfinite(s->max[k])))
            rc = qs_fail(e, QS_EFORMAT, "layer %d, %s: the sums of channel %zu are no finite numbers", s->layer,
                         qs_point_name(s->point), k % s->cols);
        s->sum2[k] = (double)a;
        if (s->sum)
            s->sum[k] = (double)b;
    }
    for (size_t r = 0; rc == QS_OK && r < s->n_rows; r++) {
        float scale, *row = s->row + r * s->cols;
        if (!qs_row_finite(row, s->cols)) {
            rc = qs_fail(e, QS_EFORMAT, "layer %d, %s: row %zu of the sample has a value that is no finite number", s->layer,
                         qs_point_name(s->point), r);
            break;
        }
        qs_row_pack(row, s->cols, half, &scale);
        qs_row_unpack(half, s->cols, scale, row);
    }
    qs_free(half);
    return rc;
}

static int put_entry(struct qs_imatrix *im, const struct qs_input_stats *s, const char *name, struct qs_err *e)
{
    struct qs_imatrix_entry *x = qs_imatrix_add(im, name, s->cols, (unsigned)s->experts, s->sum != NULL);
    if (!x)
        return qs_fail_mem(e, s->cols * s->experts * 8, "an importance matrix");
    for (size_t j = 0; j < s->experts; j++)
        x->counts[j] = (float)s->count[j];
    for (size_t k = 0; k < x->n; k++) {
        const bool seen = s->count[k / s->cols] > 0;
        x->sum2[k] = seen ? (float)s->sum2[k] : 0;
        if (x->sum)
            x->sum[k] = seen ? (float)s->sum[k] : 0;
    }
    return QS_OK;
}

static int make_imatrix(const struct qs_statistics *s, struct qs_imatrix **out, struct qs_err *e)
{
    struct qs_imatrix *im = qs_imatrix_new();
    int rc = im ? QS_OK : qs_fail_mem(e, sizeof *im, "an importance matrix");
    for (size_t i = 0; rc == QS_OK && i < s->n_inputs; i++)
        for (size_t k = 0; rc == QS_OK && qs_input_stats_rows(&s->input[i]) && k < s->input[i].n_tensors; k++)
            rc = put_entry(im, &s->input[i], s->input[i].tensor[k], e);
    if (rc == QS_OK && s->dataset[0])
        rc = qs_imatrix_add_source(im, s->dataset, e);
    if (rc == QS_OK) {
        im->chunks = s->windows;
        im->chunk = (uint32_t)s->n_ctx;
        rc = qs_imatrix_seal(im, e);
    }
    if (rc == QS_OK)
        *out = im;
    else
        qs_imatrix_free(im);
    return rc;
}

int qs_statistics_make_key(struct qs_statistics *s, struct qs_err *e)
{
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "statistics");
    qs_hash_add(h, &s->imatrix->key, sizeof s->imatrix->key);
    for (size_t i = 0; i < s->n_inputs; i++) {
        const struct qs_input_stats *x = &s->input[i];
        const uint64_t rows = x->n_rows;
        qs_hash_add(h, &rows, sizeof rows);
        qs_hash_add(h, x->row, x->n_rows * x->cols * sizeof *x->row);
        qs_hash_add(h, x->row_expert, x->n_rows * sizeof *x->row_expert);
    }
    s->key = qs_hash_end(h);
    return QS_OK;
}

int qs_statistics_seal(struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, struct qs_err *e)
{
    int rc = in && m ? take_names(s, in, m, e) : QS_OK;
    for (size_t i = 0; rc == QS_OK && i < s->n_inputs; i++)
        rc = round_input(&s->input[i], e);
    struct qs_imatrix *im;
    if (rc == QS_OK && (rc = make_imatrix(s, &im, e)) == QS_OK) {
        qs_imatrix_free(s->imatrix);
        s->imatrix = im;
        rc = qs_statistics_make_key(s, e);
    }
    return rc;
}

/* ---- tables ---- */

static int compare(const struct qs_error_cell *a, const char *tensor, int type, enum qs_calib_method m)
{
    const int c = strcmp(a->tensor, tensor);
    return c ? c : a->type != type ? (a->type < type ? -1 : 1) : (int)a->method - (int)m;
}

/* Where it is or belongs; *there. */
static size_t place_of(const struct qs_statistics *s, const char *tensor, int type, enum qs_calib_method m, bool *there)
{
    size_t low = 0, high = s->n_errors;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (compare(&s->error[mid], tensor, type, m) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *there = low < s->n_errors && compare(&s->error[low], tensor, type, m) == 0;
    return low;
}

int qs_statistics_put_error(struct qs_statistics *s, const struct qs_error_cell *c, struct qs_err *e)
{
    const struct qs_error_cell cell = *c; /* it may be one of ours */
    bool there;
    const size_t at = place_of(s, cell.tensor, cell.type, cell.method, &there);
    if (!there) {
        char *name = qs_strdup(cell.tensor);
        if (!name || !qs_grow(&s->error, &s->cap_errors, s->n_errors + 1, sizeof *s->error)) {
            qs_free(name);
            return qs_fail_mem(e, sizeof cell, "statistics");
        }
        memmove(s->error + at + 1, s->error + at, (s->n_errors - at) * sizeof *s->error);
        s->error[at].tensor = name;
        s->n_errors++;
    }
    char *name = s->error[at].tensor;
    s->error[at] = cell;
    s->error[at].tensor = name;
    return QS_OK;
}

const struct qs_error_cell *qs_statistics_error(const struct qs_statistics *s, const char *tensor, int type,
                                                enum qs_calib_method m)
{
    bool there;
    const size_t at = place_of(s, tensor, type, m, &there);
    return there ? &s->error[at] : NULL;
}

int qs_statistics_put_swap(struct qs_statistics *s, const struct qs_swap_cell *c, struct qs_err *e)
{
    char *name = qs_strdup(c->tensor);
    if (!name || !qs_grow(&s->swap, &s->cap_swaps, s->n_swaps + 1, sizeof *s->swap)) {
        qs_free(name);
        return qs_fail_mem(e, sizeof *c, "statistics");
    }
    const struct qs_swap_cell cell = *c; /* it may be one of ours */
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swap[i].type == cell.type && s->swap[i].method == cell.method && strcmp(s->swap[i].tensor, name) == 0) {
            qs_free(s->swap[i].tensor);
            memmove(s->swap + i, s->swap + i + 1, (s->n_swaps - i - 1) * sizeof *s->swap);
            s->n_swaps--;
            break;
        }
    s->swap[s->n_swaps] = cell;
    s->swap[s->n_swaps++].tensor = name;
    return QS_OK;
}

const struct qs_swap_cell *qs_statistics_swap(const struct qs_statistics *s, const char *tensor)
{
    for (size_t i = s->n_swaps; i > 0; i--)
        if (strcmp(s->swap[i - 1].tensor, tensor) == 0)
            return &s->swap[i - 1];
    return NULL;
}
