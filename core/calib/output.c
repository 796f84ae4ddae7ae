/* output.c - owns the table of output errors, and the measuring of one cell of it.
 *
 * Weight rows are chosen evenly over the tensor, encoded with the importance of the same statistics, decoded, and
 * multiplied with the activation rows in single precision; sums are in double, in a fixed order. One lock around the
 * table, held for copies alone.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/output.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "core/quant/preset.h"
#include "kernels/blas.h"

#define DEFAULT_SAMPLE 65536u
#define MIN_ROWS 8
#define SLICE_WEIGHTS (1u << 20)
#define PANEL 32 /* weight rows of one product */

struct cell { bool known; struct qs_output is; };

struct qs_outputs {
    const struct qs_model *model;
    const struct qs_statistics *statistics;
    const struct qs_input_stats **input; /* per tensor, NULL: none */
    double *activation;                  /* per tensor */
    struct cell *cell;                   /* per tensor and format, in the order of qs_format_at */
    size_t n_types;
    pthread_mutex_t lock;
    _Atomic uint64_t version;
};

/* ---- what is known at once ---- */

static void look_up(struct qs_outputs *o, size_t i)
{
    const struct qs_tensor *t = &o->model->tensor[i];
    const struct qs_statistics *s = o->statistics;
    for (size_t k = 0; k < s->n_inputs && !o->input[i]; k++)
        for (size_t j = 0; j < s->input[k].n_tensors && !o->input[i]; j++)
            if (strcmp(s->input[k].tensor[j], t->name) == 0 && s->input[k].cols == t->ne[0] &&
                s->input[k].experts == t->ne[2])
                o->input[i] = &s->input[k];
    for (size_t k = 0; k < o->n_types; k++) {
        struct cell *c = &o->cell[i * o->n_types + k];
        const int type = qs_format_at(k)->id;
        const struct qs_error_cell *x = qs_statistics_error(s, t->name, type, QS_CALIB_IMATRIX);
        if (type == t->type)
            *c = (struct cell){ true, { 0, 0, QS_HOW_EXACT, 0 } };
        else if (x && isfinite(x->error))
            *c = (struct cell){ true, { x->error, 0, QS_HOW_WHOLE, 0 } };
    }
}

int qs_outputs_new(const struct qs_model *m, const struct qs_statistics *s, struct qs_outputs **out, struct qs_err *e)
{
    struct qs_outputs *o = qs_calloc(1, sizeof *o);
    *out = NULL;
    if (!o)
        return qs_fail_mem(e, sizeof *o, "output errors");
    *o = (struct qs_outputs){ .model = m, .statistics = s, .n_types = qs_format_count() };
    pthread_mutex_init(&o->lock, NULL);
    o->input = qs_calloc(m->n_tensors + 1, sizeof *o->input);
    o->activation = qs_calloc(m->n_tensors + 1, sizeof *o->activation);
    o->cell = qs_calloc(m->n_tensors + 1, o->n_types * sizeof *o->cell);
    if (!o->input || !o->activation || !o->cell) {
        qs_outputs_free(o);
        return qs_fail_mem(e, m->n_tensors * qs_format_count() * sizeof(struct cell), "output errors");
    }
    for (size_t i = 0; i < m->n_tensors; i++) {
        struct qs_channel_facts f = { .outlier_ratio = NAN };
        look_up(o, i);
        for (size_t k = 0; k < i && o->input[i]; k++) /* q, k and v read one input */
            if (o->input[k] == o->input[i])
                f.outlier_ratio = o->activation[k];
        if (o->input[i] && isnan(f.outlier_ratio))
            qs_channel_facts(o->input[i], s->tokens, &f);
        o->activation[i] = f.outlier_ratio;
    }
    *out = o;
    return QS_OK;
}

void qs_outputs_free(struct qs_outputs *o)
{
    if (!o)
        return;
    pthread_mutex_destroy(&o->lock);
    qs_free(o->input);
    qs_free(o->activation);
    qs_free(o->cell);
    qs_free(o);
}

/* ---- reading ---- */

bool qs_outputs_can(const struct qs_outputs *o, size_t tensor, int type)
{
    const struct qs_tensor *t = &o->model->tensor[tensor];
    const struct qs_format *f = qs_format_by_id(type);
    return o->input[tensor] && o->input[tensor]->n_rows && t->format && qs_format_ops(t->format->id)->decode && !t->marks && f &&
           !(f->flags & (QS_NO_ENCODE | QS_INTERNAL)) && f->n_components == 1 && t->ne[0] % f->block == 0 &&
           qs_preset_quantizes(o->model, t);
}

bool qs_outputs_any(const struct qs_outputs *o)
{
    bool any = false;
    for (size_t i = 0; i < o->model->n_tensors; i++)
        any = any || (o->input[i] && o->input[i]->n_rows);
    return any;
}

bool qs_outputs_get(const struct qs_outputs *o, size_t tensor, int type, struct qs_output *out)
{
    const size_t k = qs_format_index(type);
    struct cell c = { .known = false };
    if (k < o->n_types && tensor < o->model->n_tensors) {
        pthread_mutex_t *lock = (pthread_mutex_t *)&o->lock;
        pthread_mutex_lock(lock);
        c = o->cell[tensor * o->n_types + k];
        pthread_mutex_unlock(lock);
    }
    *out = c.is;
    return c.known;
}

double qs_outputs_activation(const struct qs_outputs *o, size_t tensor) { return o->activation[tensor]; }

uint64_t qs_outputs_version(const struct qs_outputs *o) { return atomic_load(&o->version); }

/* ---- measuring one cell ---- */

struct row_sums { double err2, ref2; };

struct bench {
    struct qs_outputs *o;
    const struct qs_output_args *a;
    struct qs_encoder *encoder;
    const struct qs_tensor *tensor;
    struct qs_weight *source;
    float *x_t;                 /* cols * n_x: activation rows of one expert, transposed */
    size_t n_x, cols;
    float *w, *made, *y;        /* a slice of weights, what was made of them, products of each panel */
    uint8_t *bytes;
    struct row_sums *row;       /* of all rows chosen */
    size_t n_rows;
    size_t at;                  /* first row of the slice in them */
    size_t slice;               /* rows in it */
    _Atomic bool failed;
};

/* Activation rows of one expert (dense: all), transposed. */
static void gather_rows(struct bench *b, const struct qs_input_stats *s, size_t expert)
{
    b->n_x = 0;
    for (size_t r = 0; r < s->n_rows; r++)
        b->n_x += s->experts == 1 || s->row_expert[r] == expert;
    for (size_t r = 0, i = 0; r < s->n_rows; r++) {
        if (s->experts > 1 && s->row_expert[r] != expert)
            continue;
        for (size_t j = 0; j < s->cols; j++)
            b->x_t[j * b->n_x + i] = s->row[r * s->cols + j];
        i++;
    }
}

static double square_sum(const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)y[i] * (double)y[i];
    return sum;
}

/* Panels of a slice: both products and their rows' sums. made has become the difference. */
static void multiply(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct bench *b = ctx;
    (void)thread;
    for (size_t p = begin; p < end; p++) {
        const size_t first = p * PANEL, n = b->slice - first < PANEL ? b->slice - first : PANEL;
        float *y = b->y + first * b->n_x;
        for (int error = 0; error < 2; error++) {
            const float *w = (error ? b->made : b->w) + first * b->cols;
            if (qs_blas_gemm_f32(n, b->n_x, b->cols, 1, w, b->cols, b->x_t, b->n_x, 0, y, b->n_x, NULL) != QS_OK)
                b->failed = true;
            for (size_t i = 0; i < n; i++)
                *(error ? &b->row[b->at + first + i].err2 : &b->row[b->at + first + i].ref2) =
                    square_sum(y + i * b->n_x, b->n_x);
        }
    }
}

/* n weight rows (numbers in `pick`, of one expert) in b->w: encoded, decoded, multiplied. */
static int measure_slice(struct bench *b, int type, const struct qs_imatrix_entry *importance, const uint64_t *pick, size_t n,
                         struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(type);
    const uint64_t ne[4] = { b->cols, n, 1, 1 };
    const size_t expert = (size_t)(pick[0] / b->tensor->ne[1]);
    struct qs_imatrix_entry own = importance ? *importance : (struct qs_imatrix_entry){ .name = NULL };
    struct qs_weight *sample;
    struct qs_parts parts;
    int rc = qs_weight_heap(qs_format_by_id(QS_F32), ne, &sample, &parts, e);
    if (rc != QS_OK)
        return rc;
    if (importance) { /* this expert's alone */
        own.value += expert * b->cols;
        own.n = b->cols;
        own.experts = 1;
    }
    for (size_t i = 0; rc == QS_OK && i < n; i++)
        rc = qs_weight_decode(b->source, pick[i], 1, (float *)(void *)parts.p[0] + i * b->cols, e);
    if (rc == QS_OK) {
        memcpy(b->w, parts.p[0], n * b->cols * sizeof *b->w);
        rc = qs_encode_rows(b->encoder, b->a->prio, sample, 0, n, type, importance ? &own : NULL, b->bytes, NULL, NULL, e);
    }
    qs_weight_unref(sample);
    if (rc != QS_OK)
        return rc;
    const struct qs_const_parts from = { { b->bytes } };
    qs_format_ops(f->id)->decode(&from, n, b->cols, b->made, b->cols);
    for (size_t k = 0; k < n * b->cols; k++)
        b->made[k] = b->w[k] - b->made[k];
    b->slice = n;
    qs_pool_run(b->a->pool, b->a->prio, (n + PANEL - 1) / PANEL, 1, multiply, b);
    return b->failed ? qs_fail(e, QS_ELIMIT, "tensor %s is too large to be multiplied", b->tensor->name) : QS_OK;
}

/* The error of the rows and its standard error (Cochran, as of a survey's cells). Left out are rows with NaN or Inf, and those of
 * experts that the sample does not show at work; NaN: none is left. */
static void conclude(const struct bench *b, uint64_t all_rows, struct qs_output *out)
{
    double err2 = 0, ref2 = 0, s2 = 0;
    size_t k = 0;
    for (size_t i = 0; i < b->n_rows; i++) {
        if (!isfinite(b->row[i].err2) || !isfinite(b->row[i].ref2))
            continue;
        err2 += b->row[i].err2;
        ref2 += b->row[i].ref2;
        k++;
    }
    const double ratio = err2 / ref2, mean = k ? ref2 / (double)k : 0;
    out->error = ref2 > 0 ? sqrt(ratio) : err2 > 0 || !k ? (double)NAN : 0;
    out->error_se = 0;
    out->how = b->n_rows < all_rows ? QS_HOW_SAMPLED : QS_HOW_WHOLE;
    out->sample = b->n_rows * b->cols;
    for (size_t i = 0; i < b->n_rows; i++) {
        const double d = b->row[i].err2 - ratio * b->row[i].ref2;
        s2 += isfinite(d) ? d * d : 0;
    }
    if (k > 1 && b->n_rows < all_rows && ratio > 0)
        out->error_se = sqrt((1 - (double)k / (double)all_rows) / (double)k * s2 / (double)(k - 1)) / mean / (2 * sqrt(ratio));
}

static int need_room(struct bench *b, const struct qs_input_stats *s, size_t slice_rows, int type, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(type);
    b->x_t = qs_calloc(s->n_rows, s->cols * sizeof *b->x_t);
    b->w = qs_calloc(slice_rows, s->cols * sizeof *b->w);
    b->made = qs_calloc(slice_rows, s->cols * sizeof *b->made);
    b->y = qs_calloc(slice_rows, s->n_rows * sizeof *b->y);
    b->bytes = qs_malloc(slice_rows * qs_format_row_bytes(f, s->cols));
    b->row = qs_calloc(b->n_rows, sizeof *b->row);
    return b->x_t && b->w && b->made && b->y && b->bytes && b->row
               ? QS_OK
               : qs_fail_mem(e, slice_rows * (s->cols + s->n_rows) * 8, "an output error");
}

static void leave_room(struct bench *b)
{
    qs_free(b->x_t);
    qs_free(b->w);
    qs_free(b->made);
    qs_free(b->y);
    qs_free(b->bytes);
    qs_free(b->row);
}

static uint64_t rows_of(const struct qs_tensor *t, uint64_t sample_weights)
{
    const uint64_t weights = sample_weights ? sample_weights : DEFAULT_SAMPLE;
    const uint64_t k = weights / t->ne[0] + (weights % t->ne[0] != 0), least = k < MIN_ROWS ? MIN_ROWS : k;
    return least < t->rows ? least : t->rows;
}

static int measure_cell(struct bench *b, const struct qs_input_stats *s, int type, struct qs_output *out, struct qs_err *e)
{
    const struct qs_tensor *t = b->tensor;
    const struct qs_imatrix_entry *importance;
    const size_t slice_rows = SLICE_WEIGHTS / b->cols ? SLICE_WEIGHTS / b->cols : 1;
    size_t expert = SIZE_MAX;
    b->n_rows = (size_t)rows_of(t, b->a->sample_weights);
    const size_t room = slice_rows < b->n_rows ? slice_rows : b->n_rows;
    uint64_t *pick = qs_calloc(room, sizeof *pick);
    int rc = pick ? need_room(b, s, room, type, e) : qs_fail_mem(e, room * sizeof *pick, "an output error");
    if (rc == QS_OK)
        rc = qs_importance_for(b->o->statistics->imatrix, t, &importance, e);
    if (rc == QS_OK && importance && importance->experts == 1 && t->ne[2] > 1)
        importance = NULL;
    for (size_t i = 0, n; rc == QS_OK && i < b->n_rows; i += n) {
        const uint64_t first = (uint64_t)((2 * (double)i + 1) * (double)t->rows / (2 * (double)b->n_rows));
        for (n = 0; n < room && i + n < b->n_rows; n++) {
            pick[n] = (uint64_t)((2 * (double)(i + n) + 1) * (double)t->rows / (2 * (double)b->n_rows));
            if (pick[n] / t->ne[1] != first / t->ne[1])
                break;
        }
        if (expert != first / t->ne[1])
            gather_rows(b, s, expert = (size_t)(first / t->ne[1]));
        b->at = i;
        if (b->n_x)
            rc = measure_slice(b, type, importance, pick, n, e);
        for (size_t k = i; !b->n_x && k < i + n; k++) /* no row of the sample goes through this expert */
            b->row[k].err2 = NAN;
        if (rc == QS_OK && b->a->job)
            rc = qs_job_step(b->a->job, n * b->cols, e);
    }
    if (rc == QS_OK)
        conclude(b, t->rows, out);
    leave_room(b);
    qs_free(pick);
    return rc;
}

/* ---- measuring a list ---- */

static void put(struct qs_outputs *o, size_t tensor, int type, const struct qs_output *is)
{
    pthread_mutex_lock(&o->lock);
    o->cell[tensor * o->n_types + qs_format_index(type)] = (struct cell){ true, *is };
    pthread_mutex_unlock(&o->lock);
    atomic_fetch_add(&o->version, 1);
}

static int measure_one(struct qs_outputs *o, const struct qs_output_want *w, const struct qs_output_args *a,
                       struct qs_encoder *encoder, struct qs_err *e)
{
    struct bench b = { .o = o, .a = a, .encoder = encoder, .tensor = &o->model->tensor[w->tensor] };
    struct qs_output is = { .error = NAN };
    b.cols = (size_t)b.tensor->ne[0];
    int rc = qs_model_weight(o->model, b.tensor, &b.source, e);
    if (rc == QS_OK)
        rc = measure_cell(&b, o->input[w->tensor], w->type, &is, e);
    if (rc == QS_OK)
        rc = qs_weight_intact(b.source, e);
    qs_weight_unref(b.source);
    if (rc == QS_OK) /* NaN too: measuring again would find the same */
        put(o, w->tensor, w->type, &is);
    return rc;
}

int qs_outputs_measure(struct qs_outputs *o, const struct qs_output_want *want, size_t n, const struct qs_output_args *a,
                       struct qs_err *e)
{
    struct qs_encoder *encoder = NULL;
    uint64_t total = 0, cols = 0;
    struct qs_output known;
    for (size_t i = 0; i < n; i++) {
        const struct qs_tensor *t = &o->model->tensor[want[i].tensor];
        if (qs_outputs_get(o, want[i].tensor, want[i].type, &known) || !qs_outputs_can(o, want[i].tensor, want[i].type))
            continue;
        total += rows_of(t, a->sample_weights) * t->ne[0];
        cols = t->ne[0] > cols ? t->ne[0] : cols;
    }
    if (!total)
        return QS_OK;
    if (a->job)
        qs_job_phase(a->job, "measuring output errors", "weights", total);
    int rc = qs_encoder_new(a->pool, cols, &encoder, e);
    for (size_t i = 0; rc == QS_OK && i < n; i++)
        if (!qs_outputs_get(o, want[i].tensor, want[i].type, &known) && qs_outputs_can(o, want[i].tensor, want[i].type))
            rc = measure_one(o, &want[i], a, encoder, e);
    qs_encoder_free(encoder);
    return rc;
}
