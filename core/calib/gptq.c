/* gptq.c - encoding a matrix: fit, GPTQ, descent, refits and searches, each kept row by row only where it lowered the
 * error.
 *
 * Owns the rooms of the threads. Rows go in strips of a size that depends on the matrix alone; sums are taken strip by
 * strip in order. Refuses types without a lattice, weights that are not finite, sizes that do not fit each other.
 */
#include "core/calib/gptq.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_internal.h"
#include "kernels/blas.h"

enum stage { STAGE_FIT, STAGE_GPTQ, STAGE_DESCENT, STAGE_REFIT, STAGES };

/* What one thread works in; one allocation. */
struct room {
    struct qs_strip strip;
    uint8_t *grid, *code_kept, *grid_kept, *code_fit;
    float *scale_kept, *offset_kept;
    struct qs_row_error *error, *error_now;
};

struct work {
    const struct qs_gptq_args *a;
    const struct qs_format *format;
    const struct qs_lattice *lattice;
    struct qs_rounder round;
    const float *target, *importance;
    size_t rows, cols, strip;  /* rows of a strip */
    uint8_t *dst;
    char *memory;              /* of all rooms */
    struct room *room;
    struct sums { double norm, error[STAGES]; uint64_t changed; unsigned sweeps; int rc; struct qs_err e; } *sum;
};

/* ---- memory */

static size_t strip_rows(size_t rows)
{
    return rows >= 512 ? QS_GPTQ_STRIP : rows >= 256 ? QS_GPTQ_STRIP / 2 : QS_GPTQ_STRIP / 4;
}

/* Lays a room out in memory (NULL: only measures). */
static size_t room_layout(struct room *r, char *memory, const struct work *w)
{
    const size_t n = w->strip * w->cols, subs = n / w->lattice->sub;
    const size_t grids = n / w->format->block * w->format->grid_bytes;
    size_t used = 0;
    *r = (struct room){ .strip = { .cols = w->cols, .sub = w->lattice->sub, .round = &w->round } };
    r->strip.diff = qs_gptq_part(memory, &used, n * sizeof(float));
    r->strip.push = qs_gptq_part(memory, &used, n * sizeof(float));
    r->strip.scale = qs_gptq_part(memory, &used, subs * sizeof(float));
    r->strip.offset = qs_gptq_part(memory, &used, subs * sizeof(float));
    r->strip.step = qs_gptq_part(memory, &used, w->strip * QS_GPTQ_BLOCK * sizeof(float));
    r->strip.block = qs_gptq_part(memory, &used, (size_t)QS_GPTQ_BLOCK * QS_GPTQ_BLOCK * sizeof(float));
    r->strip.code = qs_gptq_part(memory, &used, n);
    r->grid = qs_gptq_part(memory, &used, grids);
    r->code_kept = qs_gptq_part(memory, &used, n);
    r->code_fit = qs_gptq_part(memory, &used, n);
    r->grid_kept = qs_gptq_part(memory, &used, grids);
    r->error = qs_gptq_part(memory, &used, w->strip * sizeof(struct qs_row_error));
    r->error_now = qs_gptq_part(memory, &used, w->strip * sizeof(struct qs_row_error));
    return used;
}

uint64_t qs_gptq_need(size_t cols, size_t rows, unsigned threads)
{
    /* The types with most numbers to a weight decide. */
    struct work w = { .format = qs_format_by_id(QS_Q2_K), .lattice = qs_lattice_of(QS_Q2_K), .cols = cols };
    struct room r;
    w.strip = strip_rows(rows);
    const uint64_t run = threads * (uint64_t)room_layout(&r, NULL, &w);
    const uint64_t kept = (uint64_t)cols * cols * sizeof(float) + cols * 16 + qs_gptq_blocks_room(cols);
    return kept + (run > qs_gptq_factor_room(cols) ? run : qs_gptq_factor_room(cols)) + (uint64_t)cols * 4;
}

/* ---- one strip */

/* Rows whose error is not lower than before go back to what they were; the others are kept. True: some went back. */
static bool keep_better(const struct work *w, struct room *r, double *sum)
{
    const size_t n = w->cols, grids = n / w->format->block * w->format->grid_bytes;
    bool back = false;
    *sum = 0;
    for (size_t i = 0; i < r->strip.rows; i++) {
        const bool better = r->error_now[i].decides < r->error[i].decides;
        uint8_t *code = r->strip.code + i * n, *code_kept = r->code_kept + i * n;
        uint8_t *grid = r->grid + i * grids, *grid_kept = r->grid_kept + i * grids;
        back = back || (!better && (memcmp(code, code_kept, n) != 0 || memcmp(grid, grid_kept, grids) != 0));
        memcpy(better ? code_kept : code, better ? code : code_kept, n);
        memcpy(better ? grid_kept : grid, better ? grid : grid_kept, grids);
        if (better)
            r->error[i] = r->error_now[i];
        *sum += r->error[i].told;
    }
    w->lattice->spread(r->grid, r->strip.rows, n, r->strip.scale, r->strip.offset);
    return back;
}

/* After a stage: its errors, its better rows; diff and diff * H of what was kept. */
static int settle(const struct work *w, struct room *r, double *sum, struct qs_err *e)
{
    qs_strip_diff(&r->strip);
    int rc = qs_strip_error(&r->strip, w->a->h, r->error_now, e);
    if (rc || !keep_better(w, r, sum))
        return rc;
    qs_strip_diff(&r->strip);
    return qs_strip_error(&r->strip, w->a->h, NULL, e);
}

static double told(const struct room *r)
{
    double sum = 0;
    for (size_t i = 0; i < r->strip.rows; i++)
        sum += r->error[i].told;
    return sum;
}

static int fit(const struct work *w, struct room *r, struct sums *sum, struct qs_err *e)
{
    struct qs_strip *s = &r->strip;
    const struct qs_rows in = { s->target, s->rows, w->cols, w->cols, w->importance };
    const size_t bytes = s->rows * w->cols;
    memcpy(s->diff, s->target, bytes * sizeof *s->diff);
    int rc = qs_strip_error(s, w->a->h, r->error, e);
    if (rc)
        return rc;
    sum->norm = told(r);
    qs_format_ops(w->format->id)->fit(&in, r->grid, s->code);
    w->lattice->spread(r->grid, s->rows, w->cols, s->scale, s->offset);
    qs_strip_diff(s);
    memcpy(r->code_fit, s->code, bytes);
    memcpy(r->code_kept, s->code, bytes);
    memcpy(r->grid_kept, r->grid, bytes / w->format->block * w->format->grid_bytes);
    rc = qs_strip_error(s, w->a->h, r->error, e);
    sum->error[STAGE_FIT] = told(r);
    return rc;
}

/* push is diff * H before and after. */
static int descend(const struct work *w, struct room *r, struct sums *sum, double *error, struct qs_err *e)
{
    int rc = QS_OK;
    uint64_t changed = 1;
    for (unsigned i = 0; rc == QS_OK && i < w->a->sweeps && changed > 0; i++) {
        changed = 0;
        rc = qs_strip_descend(&r->strip, w->a->h, &changed, e);
        sum->sweeps = sum->sweeps > i + 1 ? sum->sweeps : i + 1;
    }
    return rc ? rc : settle(w, r, error, e);
}

/* On another grid there may be a better rounding elsewhere: GPTQ once more, then block by block in several orders. */
static int elsewhere(const struct work *w, struct room *r, struct sums *sum, double *error, struct qs_err *e)
{
    uint64_t changed = 0;
    int rc = qs_strip_gptq(&r->strip, w->a->factor, e);
    if (rc == QS_OK)
        rc = qs_strip_error(&r->strip, w->a->h, NULL, e);
    if (rc == QS_OK)
        rc = descend(w, r, sum, error, e);
    if (rc == QS_OK)
        rc = qs_strip_search(&r->strip, w->a->factor, w->a->h, &changed, e);
    return rc ? rc : descend(w, r, sum, error, e);
}

static int refit(const struct work *w, struct room *r, struct sums *sum, struct qs_err *e)
{
    int rc = QS_OK;
    for (unsigned i = 0; rc == QS_OK && i < w->a->refits; i++) {
        uint64_t changed = 0;
        rc = qs_strip_refit(&r->strip, w->lattice, r->grid, w->a->h, &changed, e);
        if (rc == QS_OK)
            rc = descend(w, r, sum, &sum->error[STAGE_REFIT], e);
        if (rc == QS_OK && w->a->factor)
            rc = elsewhere(w, r, sum, &sum->error[STAGE_REFIT], e);
    }
    return rc;
}

static int do_strip(const struct work *w, struct room *r, struct sums *sum, struct qs_err *e)
{
    int rc = fit(w, r, sum, e);
    if (rc == QS_OK && !w->a->plain && w->a->factor) {
        rc = qs_strip_gptq(&r->strip, w->a->factor, e);
        if (rc == QS_OK)
            rc = settle(w, r, &sum->error[STAGE_GPTQ], e);
    }
    if (rc == QS_OK && !w->a->plain && w->a->sweeps > 0)
        rc = descend(w, r, sum, &sum->error[STAGE_DESCENT], e);
    if (rc == QS_OK && !w->a->plain && w->a->refits > 0)
        rc = refit(w, r, sum, e);
    for (size_t i = 0; rc == QS_OK && i < r->strip.rows * w->cols; i++)
        sum->changed += r->strip.code[i] != r->code_fit[i];
    return rc;
}

static void strips(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct work *w = ctx;
    struct room *r = &w->room[thread];
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * w->strip, row_bytes = qs_format_row_bytes(w->format, w->cols);
        struct sums *sum = &w->sum[i];
        r->strip.ridge = w->a->factor ? w->a->factor->ridge : 0;
        r->strip.rows = w->rows - at < w->strip ? w->rows - at : w->strip;
        r->strip.target = w->target + at * w->cols;
        sum->rc = do_strip(w, r, sum, &sum->e);
        const struct qs_parts dst = { { w->dst + at * row_bytes } };
        if (sum->rc == QS_OK)
            qs_format_ops(w->format->id)->pack(r->strip.rows, w->cols, r->grid, r->strip.code, &dst);
    }
}

/* ---- the whole */

static int check(const struct work *w, struct qs_err *e)
{
    const struct qs_hessian *h = w->a->h;
    if (!w->lattice || !w->format)
        return qs_fail(e, QS_EUNSUPPORTED, "GPTQ has no way to round weights of %s one by one",
                       qs_type_name(w->a->type));
    if (w->cols != h->cols || w->cols % w->format->block != 0 || (w->a->factor && w->a->factor->cols != w->cols))
        return qs_fail(e, QS_EINVAL, "a matrix of %zu columns, a Hessian of %zu, blocks of %s of %u weights: they do "
                       "not fit together", w->cols, h->cols, w->format->name, w->format->block);
    for (size_t i = 0; i < w->rows * w->cols; i++)
        if (!isfinite(w->target[i]))
            return qs_fail(e, QS_EFORMAT, "weight %zu of row %zu is %s", i % w->cols, i / w->cols,
                           isnan(w->target[i]) ? "NaN" : "infinite");
    for (size_t i = 0; i < w->cols; i++)
        if (!isfinite(h->h[i * w->cols + i]))
            return qs_fail(e, QS_EINVAL, "the Hessian is not finite at column %zu", i);
    return QS_OK;
}

/* diag(H); columns that were always zero get a thousandth of the mean, so that a block of them has a scale. */
static int own_importance(struct work *w, float **out, struct qs_err *e)
{
    const size_t n = w->cols;
    double mean = 0;
    float *v = *out = qs_malloc(n * sizeof *v);
    if (!v)
        return qs_fail_mem(e, n * sizeof *v, "the importance of columns");
    for (size_t i = 0; i < n; i++)
        mean += (double)w->a->h->h[i * n + i] / (double)n;
    for (size_t i = 0; i < n; i++)
        v[i] = w->a->h->h[i * n + i] > 0 ? w->a->h->h[i * n + i] : (float)(mean * 1e-3);
    w->importance = mean > 0 ? v : NULL;
    return QS_OK;
}

static int rooms(struct work *w, size_t count, unsigned threads, struct qs_err *e)
{
    struct room r;
    const size_t each = room_layout(&r, NULL, w);
    w->sum = qs_calloc(count, sizeof *w->sum);
    w->room = qs_calloc(threads, sizeof *w->room);
    w->memory = qs_alloc_aligned(64, each * threads);
    if (!w->sum || !w->room || !w->memory)
        return qs_fail_mem(e, each * threads, "rounding a matrix");
    for (unsigned i = 0; i < threads; i++)
        room_layout(&w->room[i], w->memory + i * each, w);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < STAGES; k++)
            w->sum[i].error[k] = (double)NAN;
    return QS_OK;
}

static int run(struct work *w, size_t count, unsigned threads, struct qs_job *job, struct qs_err *e)
{
    const size_t wave = 4 * (size_t)threads;
    for (size_t at = 0; at < count; at += wave) {
        struct work part = *w;
        const size_t n = count - at < wave ? count - at : wave, row = at * w->strip;
        part.sum += at;
        part.target += row * w->cols;
        part.dst += row * qs_format_row_bytes(w->format, w->cols);
        part.rows -= row;
        qs_pool_run(w->a->pool, w->a->prio, n, 1, strips, &part);
        for (size_t i = 0; i < n; i++)
            if (part.sum[i].rc)
                return qs_fail(e, part.sum[i].rc, "%s", part.sum[i].e.msg);
        int rc = qs_job_step(job, 0, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static void collect(const struct work *w, size_t count, struct qs_gptq_result *out)
{
    struct qs_gptq_result sum = { 0 };
    for (size_t i = 0; i < count; i++) {
        const struct sums *s = &w->sum[i];
        sum.norm += s->norm;
        sum.fit += s->error[STAGE_FIT];
        sum.gptq += s->error[STAGE_GPTQ];
        sum.descent += s->error[STAGE_DESCENT];
        sum.refit += s->error[STAGE_REFIT];
        sum.changed += s->changed;
        sum.sweeps = sum.sweeps > s->sweeps ? sum.sweeps : s->sweeps;
    }
    *out = sum;
}

int qs_gptq_encode(const struct qs_gptq_args *a, const float *target, size_t rows, size_t cols, uint8_t *dst,
                   struct qs_gptq_result *out, struct qs_job *job, struct qs_err *e)
{
    struct work w = { .a = a, .format = qs_format_by_id(a->type), .lattice = qs_lattice_of(a->type), .target = target,
                      .importance = a->importance, .rows = rows, .cols = cols, .strip = strip_rows(rows), .dst = dst };
    const size_t count = (rows + w.strip - 1) / w.strip;
    const unsigned threads = qs_pool_threads(a->pool);
    float *own = NULL;
    int rc = check(&w, e);
    if (rc)
        return rc;
    qs_rounder_init(&w.round, w.lattice->level, w.lattice->n_levels);
    if (!a->importance)
        rc = own_importance(&w, &own, e);
    if (rc == QS_OK)
        rc = rooms(&w, count, threads, e);
    if (rc == QS_OK)
        rc = run(&w, count, threads, job, e);
    if (rc == QS_OK && out)
        collect(&w, count, out);
    qs_free(own);
    qs_free(w.sum);
    qs_free(w.room);
    qs_free(w.memory);
    return rc;
}
