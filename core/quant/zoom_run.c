/* zoom_run.c - owns the measuring of one tensor: slices of whole rows, encoded, decoded and summed up.
 *
 * A slice lies within one tile row. Its rows are encoded (encode.h, whose sums are the rows' and the total's); then items
 * of rows are decoded and counted, then items of tile columns summed up, each the only one to touch its columns and tile.
 * What is summed and in which order follows from the shape alone, so the bits do not depend on the threads; counts of
 * histograms are kept per thread, for they add up to the same in any order.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/bad_weights.h"
#include "core/quant/encode.h"
#include "core/quant/stats.h"
#include "core/quant/zoom_internal.h"

#define ITEM_WEIGHTS 4096 /* rows of an item of decoding, at least one */
#define STRIDE 8          /* every so many tile rows first */

struct tally { struct qs_zoom_histogram weights[QS_ZOOM_SCALES], decoded[QS_ZOOM_SCALES]; uint64_t zeros, decoded_zeros; };

struct scale { double low, high, per_unit; bool any; }; /* of a histogram */

struct tile_sum { double err2, ref2, abs; uint64_t n, finite, nonfinite; }; /* finite: weights; nonfinite: differences */

struct runner {
    struct qs_zoom *z;
    struct qs_pool *pool;
    struct qs_job *job;
    struct qs_encoder *encoder;
    struct qs_weight rows;       /* the rows looked at; borrowed from the tensor's weight */
    struct qs_imatrix_entry own; /* the chosen expert's importance */
    const struct qs_imatrix_entry *importance;
    const struct qs_format *type;
    struct scale scale[QS_ZOOM_SCALES];
    uint64_t slice_rows;
    float *x, *back;             /* the slice: weights, and what became of them (the same where nothing did) */
    uint8_t *dst;
    struct qs_error_sums *per_row;
    uint64_t *bad;               /* weights of each row of the slice that are not finite */
    double *sum[3];              /* err2, ref2, |w| of each column of the slice */
    struct tile_sum *tile;       /* of the tile row at work */
    struct tally *tally;         /* one per thread */
    uint64_t row, n;             /* the slice: first row and how many */
    uint64_t rows_per_item;
    bool checked;                /* something in the slice is not finite */
};

static uint64_t slice_rows(const struct qs_zoom *z)
{
    const uint64_t most = z->cols >= QS_ZOOM_SLICE ? 1 : QS_ZOOM_SLICE / z->cols;
    return most < z->rows ? most : z->rows;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static void count(struct qs_zoom_histogram *h, const struct scale *s, double v)
{
    if (v < s->low) {
        h->below++;
    } else if (v > s->high) {
        h->above++;
    } else {
        const double at = s->per_unit > 0 ? (v - s->low) * s->per_unit : QS_ZOOM_BINS / 2;
        h->count[at < QS_ZOOM_BINS ? (unsigned)at : QS_ZOOM_BINS - 1]++;
    }
}

static void count_row(const struct runner *r, const float *x, struct qs_zoom_histogram h[QS_ZOOM_SCALES], uint64_t *zeros)
{
    for (uint64_t c = 0; c < r->z->cols; c++) {
        const double v = x[c];
        *zeros += fpclassify(v) == FP_ZERO;
        for (int k = 0; k < QS_ZOOM_SCALES; k++)
            if (!isfinite(v))
                h[k].nonfinite++;
            else if (r->scale[k].any)
                count(&h[k], &r->scale[k], v);
    }
}

static void look_at_row(const struct runner *r, uint64_t i)
{
    const float *x = r->x + i * r->z->cols;
    float most = 0;
    uint64_t bad = 0;
    for (uint64_t c = 0; c < r->z->cols; c++) {
        const float a = fabsf(x[c]);
        bad += !isfinite(a);
        most = isfinite(a) && a > most ? a : most;
    }
    const struct qs_error_sums *s = &r->per_row[i];
    const uint64_t n = s->n - s->nonfinite, row = r->row + i;
    float *const *channel = r->z->channel[QS_ROWS];
    r->bad[i] = bad;
    channel[QS_ZOOM_MAX_ABS][row] = bad < s->n ? most : NAN;
    channel[QS_ZOOM_RMS][row] = n ? (float)sqrt(s->ref2 / (double)n) : NAN;
    channel[QS_ZOOM_ERROR][row] = (float)qs_error_rms(s);
}

static void look_at_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct runner *r = ctx;
    const size_t cols = (size_t)r->z->cols;
    struct tally *t = &r->tally[thread];
    for (uint64_t i = begin * r->rows_per_item; i < end * r->rows_per_item && i < r->n; i++) {
        float *x = r->x + i * cols, *back = r->back + i * cols;
        const struct qs_const_parts from = qs_weight_row(&r->rows, r->row + i),
                                    made = { .p = { r->dst + i * qs_format_row_bytes(r->type, cols) } };
        qs_format_ops(r->rows.format->id)->decode(&from, 1, cols, x, cols);
        if (back != x)
            qs_format_ops(r->type->id)->decode(&made, 1, cols, back, cols);
        look_at_row(r, i);
        count_row(r, x, t->weights, &t->zeros);
        if (back != x)
            count_row(r, back, t->decoded, &t->decoded_zeros);
    }
}

/* ---- columns and tiles --------------------------------------------------------------------------------------- */

/* One row of a tile into the sums of the columns; where all is finite nothing has to be asked. */
static void add_finite(const struct runner *r, const float *x, const float *back, uint64_t from, uint64_t to)
{
    double *const err = r->sum[0], *const ref = r->sum[1], *const size = r->sum[2];
    float *const most = r->z->channel[QS_COLS][QS_ZOOM_MAX_ABS];
    for (uint64_t c = from; c < to; c++) {
        const double v = x[c], d = v - back[c];
        const float a = fabsf(x[c]);
        err[c] += d * d;
        ref[c] += v * v;
        size[c] += a;
        most[c] = most[c] >= a ? most[c] : a; /* NaN at first */
    }
}

/* The same rules as encode.h's: a difference that is not finite is counted and left out. */
static void add_checked(const struct runner *r, const float *x, const float *back, uint64_t from, uint64_t to,
                        struct tile_sum *t)
{
    float *const most = r->z->channel[QS_COLS][QS_ZOOM_MAX_ABS];
    for (uint64_t c = from; c < to; c++) {
        const double v = x[c], d = v - back[c];
        const float a = fabsf(x[c]);
        if (isfinite(d)) {
            r->sum[0][c] += d * d;
            r->sum[1][c] += v * v;
        } else {
            r->z->column[c].nonfinite++;
            t->nonfinite++;
        }
        if (isfinite(a)) {
            r->sum[2][c] += a;
            most[c] = most[c] >= a ? most[c] : a;
        } else {
            t->finite--;
        }
    }
}

static void sum_tiles(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct runner *r = ctx;
    const uint64_t cols = r->z->cols, *edge = r->z->now->axis[QS_COLS].tile_from;
    (void)thread;
    for (size_t j = begin; j < end; j++) {
        const uint64_t from = edge[j], to = edge[j + 1];
        struct tile_sum *t = &r->tile[j];
        for (int k = 0; k < 3; k++)
            memset(r->sum[k] + from, 0, (size_t)(to - from) * sizeof *r->sum[k]);
        t->n += r->n * (to - from);
        t->finite += r->n * (to - from);
        for (uint64_t i = 0; i < r->n; i++) {
            const float *x = r->x + i * cols, *back = r->back + i * cols;
            if (r->checked)
                add_checked(r, x, back, from, to, t);
            else
                add_finite(r, x, back, from, to);
        }
        for (uint64_t c = from; c < to; c++) {
            r->z->column[c].err2 += r->sum[0][c];
            r->z->column[c].ref2 += r->sum[1][c];
            t->err2 += r->sum[0][c];
            t->ref2 += r->sum[1][c];
            t->abs += r->sum[2][c];
        }
    }
}

/* ---- slices -------------------------------------------------------------------------------------------------- */

/* Finite weights that are finite no more. As in the survey nothing is said of a row of a block type that had others before,
 * for one NaN makes its block NaN. */
static bool has_lost(const struct runner *r, uint64_t i)
{
    const uint64_t before = r->bad[i], after = r->per_row[i].nonfinite;
    return after > before && (before == 0 || r->type->block == 1);
}

static int run_slice(struct runner *r, struct qs_err *e)
{
    struct qs_zoom_view *v = r->z->now;
    int rc = qs_encode_rows(r->encoder, QS_PRIO_JOB, &r->rows, r->row, r->n, r->type->id, r->importance, r->dst, NULL,
                            r->per_row, e);
    if (rc)
        return rc;
    qs_pool_run(r->pool, QS_PRIO_JOB, (size_t)((r->n + r->rows_per_item - 1) / r->rows_per_item), 1, look_at_rows, r);
    r->checked = false;
    for (uint64_t i = 0; i < r->n; i++) {
        qs_error_sums_add(&v->total, &r->per_row[i]);
        r->checked |= r->bad[i] || r->per_row[i].nonfinite;
        v->overflow |= has_lost(r, i);
    }
    qs_pool_run(r->pool, QS_PRIO_JOB, v->axis[QS_COLS].n_tiles, 1, sum_tiles, r);
    qs_job_error(r->job, qs_error_rms(&v->total));
    return qs_job_step(r->job, r->n * r->z->cols, e);
}

static void add_histograms(struct qs_zoom_histogram *to, const struct qs_zoom_histogram *more)
{
    for (int k = 0; k < QS_ZOOM_SCALES; k++) {
        to[k].below += more[k].below;
        to[k].above += more[k].above;
        to[k].nonfinite += more[k].nonfinite;
        for (int i = 0; i < QS_ZOOM_BINS; i++)
            to[k].count[i] += more[k].count[i];
    }
}

/* What the threads counted, into the view; as stored, the decoded weights are the weights. */
static void join_tallies(const struct runner *r)
{
    struct qs_zoom_view *v = r->z->now;
    for (unsigned k = 0; k < qs_pool_threads(r->pool); k++) {
        struct tally *t = &r->tally[k];
        add_histograms(v->weights, t->weights);
        add_histograms(v->decoded, r->back == r->x ? t->weights : t->decoded);
        v->zeros += t->zeros;
        v->decoded_zeros += r->back == r->x ? t->zeros : t->decoded_zeros;
    }
    memset(r->tally, 0, qs_pool_threads(r->pool) * sizeof *r->tally);
}

static int run_tile_row(struct runner *r, unsigned tile_row, struct qs_err *e)
{
    struct qs_zoom_view *v = r->z->now;
    const unsigned n_cols = v->axis[QS_COLS].n_tiles;
    const uint64_t from = v->axis[QS_ROWS].tile_from[tile_row], to = v->axis[QS_ROWS].tile_from[tile_row + 1];
    int rc = QS_OK;
    memset(r->tile, 0, n_cols * sizeof *r->tile);
    for (r->row = from; !rc && r->row < to; r->row += r->n) {
        r->n = to - r->row < r->slice_rows ? to - r->row : r->slice_rows;
        rc = run_slice(r, e);
    }
    if (rc)
        return rc;
    for (unsigned j = 0; j < n_cols; j++) {
        const struct tile_sum *t = &r->tile[j];
        const struct qs_error_sums s = { .err2 = t->err2, .ref2 = t->ref2, .n = t->n, .nonfinite = t->nonfinite };
        v->tile[(size_t)tile_row * n_cols + j] = (struct qs_zoom_tile){
            .error = (float)qs_error_rms(&s), .mean_abs = t->finite ? (float)(t->abs / (double)t->finite) : NAN };
    }
    join_tallies(r);
    v->rows_done += to - from;
    v->overflow |= qs_bad_lost(r->type, v->total.max_abs);
    qs_zoom_publish(r->z, false);
    return QS_OK;
}

static int run_errors(struct runner *r, struct qs_err *e)
{
    static const unsigned char order[STRIDE] = { 0, 4, 2, 6, 1, 5, 3, 7 };
    const unsigned n = r->z->now->axis[QS_ROWS].n_tiles;
    int rc = QS_OK;
    qs_job_phase(r->job, "errors", "weights", r->rows.rows * r->z->cols);
    for (unsigned k = 0; k < STRIDE; k++)
        for (unsigned i = order[k]; !rc && i < n; i += STRIDE)
            rc = run_tile_row(r, i, e);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static void set_scales(struct runner *r)
{
    const struct qs_survey_stats *s = &r->z->now->stats;
    const double reach[QS_ZOOM_SCALES] = { s->max_abs, QS_ZOOM_SIGMAS * s->sd }, middle[QS_ZOOM_SCALES] = { 0, s->mean };
    for (int k = 0; k < QS_ZOOM_SCALES; k++)
        r->scale[k] = (struct scale){
            .low = middle[k] - reach[k], .high = middle[k] + reach[k],
            .per_unit = reach[k] > 0 ? QS_ZOOM_BINS / (2 * reach[k]) : 0,
            .any = isfinite(reach[k]) && (k == QS_ZOOM_BY_VALUE || reach[k] > 0),
        };
}

/* All but the encoder's. */
static uint64_t slice_memory(const struct qs_zoom *z, unsigned threads)
{
    const uint64_t rows = slice_rows(z), weights = rows * z->cols;
    return (z->now->as_stored ? 1 : 2) * weights * sizeof(float) +
           rows * (qs_format_row_bytes(qs_format_by_id(z->now->type), (size_t)z->cols) + sizeof(struct qs_error_sums) +
                   sizeof(uint64_t)) +
           3 * z->cols * sizeof(double) + z->now->axis[QS_COLS].n_tiles * sizeof(struct tile_sum) +
           threads * sizeof(struct tally);
}

uint64_t qs_zoom_memory(const struct qs_zoom *z, unsigned threads)
{
    const uint64_t most = z->rows > z->cols ? z->rows : z->cols;
    return sizeof *z + 2 * (sizeof *z->now + z->now->block_bytes) + z->cols * sizeof *z->column + most * sizeof *z->sorted +
           QS_ZOOM_MEASURES * (z->rows + z->cols) * sizeof(float) + slice_memory(z, threads) +
           qs_encoder_memory(threads, z->cols);
}

static int allocate(struct runner *r, struct qs_err *e)
{
    const struct qs_zoom *z = r->z;
    const size_t cols = (size_t)z->cols, rows = (size_t)slice_rows(z);
    r->slice_rows = rows;
    r->rows_per_item = cols >= ITEM_WEIGHTS ? 1 : ITEM_WEIGHTS / cols;
    r->x = qs_alloc_aligned(64, rows * cols * sizeof *r->x);
    r->back = z->now->as_stored ? r->x : qs_alloc_aligned(64, rows * cols * sizeof *r->back);
    r->dst = qs_alloc_aligned(64, rows * qs_format_row_bytes(r->type, cols));
    r->per_row = qs_calloc(rows, sizeof *r->per_row);
    r->bad = qs_calloc(rows, sizeof *r->bad);
    r->tile = qs_calloc(z->now->axis[QS_COLS].n_tiles, sizeof *r->tile);
    r->tally = qs_calloc(qs_pool_threads(r->pool), sizeof *r->tally);
    bool ok = r->x && r->back && r->dst && r->per_row && r->bad && r->tile && r->tally;
    for (int k = 0; k < 3; k++)
        ok &= (r->sum[k] = qs_calloc(cols, sizeof *r->sum[k])) != NULL;
    return ok ? QS_OK : qs_fail_mem(e, slice_memory(z, qs_pool_threads(r->pool)), "rows of a tensor looked at");
}

static void release(struct runner *r)
{
    if (r->back != r->x)
        qs_free(r->back);
    qs_free(r->x);
    qs_free(r->dst);
    qs_free(r->per_row);
    qs_free(r->bad);
    qs_free(r->tile);
    qs_free(r->tally);
    for (int k = 0; k < 3; k++)
        qs_free(r->sum[k]);
    qs_encoder_free(r->encoder);
}

/* The rows of the chosen expert, as a weight of their own that lives as long as `w`. */
static void choose_rows(struct runner *r, const struct qs_weight *w)
{
    const struct qs_zoom_args *a = &r->z->args;
    /* What is read only once it is shared; others count references and set panels meanwhile. */
    r->rows = (struct qs_weight){ .format = w->format, .rows = w->rows, .parts = w->parts, .bytes = w->bytes, .map = w->map };
    memcpy(r->rows.ne, w->ne, sizeof w->ne);
    r->importance = a->importance;
    if (a->expert == QS_ZOOM_ALL)
        return;
    r->rows.parts = qs_weight_row(w, r->z->first_row);
    r->rows.ne[2] = r->rows.ne[3] = 1;
    r->rows.rows = r->z->rows;
    if (!a->importance || a->importance->n <= r->z->cols)
        return;
    r->own = *a->importance;
    r->own.value += a->expert * r->z->cols;
    r->own.n = (size_t)r->z->cols;
    r->importance = &r->own;
}

static int measure(struct runner *r, struct qs_err *e)
{
    struct qs_zoom *z = r->z;
    int rc = QS_OK;
    z->now->stage = QS_ZOOM_RUNNING;
    if (!z->have_stats) {
        qs_job_phase(r->job, "distribution", "weights", z->rows * z->cols);
        rc = qs_stats_run(&r->rows, r->pool, r->job, &z->now->stats, e);
    }
    if (rc)
        return rc;
    qs_zoom_publish(z, true);
    z->next_publish = 0; /* the first tiles at once */
    set_scales(r);
    rc = allocate(r, e);
    if (!rc)
        rc = qs_encoder_new(r->pool, z->cols, &r->encoder, e);
    return rc ? rc : run_errors(r, e);
}

int qs_zoom_run(struct qs_zoom *z, const struct qs_model *m, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    struct runner r = { .z = z, .pool = pool, .job = job, .type = qs_format_by_id(z->now->type) };
    struct qs_weight *w = NULL;
    if (z->started)
        return qs_fail(e, QS_EINVAL, "%s was looked at already", z->args.tensor->name);
    z->started = true;
    if (z->now->as_stored)
        qs_job_item(job, "%s", z->args.tensor->name);
    else
        qs_job_item(job, "%s -> %s", z->args.tensor->name, r.type->name);
    int rc = qs_model_weight(m, z->args.tensor, &w, e);
    if (!rc) {
        choose_rows(&r, w);
        rc = measure(&r, e);
    }
    if (!rc)
        rc = qs_weight_intact(w, e);
    release(&r);
    qs_weight_unref(w);
    if (rc) {
        qs_zoom_publish_stage(z, QS_ZOOM_STOPPED);
        return rc;
    }
    z->now->stage = QS_ZOOM_DONE;
    qs_zoom_publish(z, true);
    return QS_OK;
}
