/* hessian.c - owns the sums of outer products and the rows that wait for a whole chunk; see hessian.h.
 *
 * Leaves out rows that are not finite and counts them. The rows of a chunk and the tiles that a chunk is added in are of
 * fixed size, and each tile is one product of OpenBLAS on one thread, so that neither the cut of rows into calls nor the
 * number of threads changes a bit. One thread calls.
 */
#include "core/calib/hessian.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/finite.h"
#include "base/mem.h"
#include "kernels/blas.h"
#include "kernels/rows.h"

#define TILE 240        /* rows and columns of H that one product fills: a multiple of what outer does at a time (48) */
#define STRIP 48        /* rows of a tile on the diagonal that end at the same column */
#define PAIRS (QS_HESSIAN_CHUNK / 2 + 1) /* pairs of rows that panels lie apart: one more than they have, for the cache's sake */
#define ENERGY_ROWS 64  /* weight errors that one product takes over H */

static size_t tiles_of(size_t cols) { return (cols + TILE - 1) / TILE; }
static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* ---- life ---- */

/* buffer: rows as they came, then the same transposed. buffer0: differences to the original's rows, transposed;
 * buffer_drift: those of the hidden states. */
static uint64_t buffer_floats(size_t cols, bool cross)
{
    return (uint64_t)QS_HESSIAN_CHUNK * cols * (cross ? 3 : 2);
}

uint64_t qs_hessian_need(size_t cols, bool cross)
{
    const uint64_t square = (uint64_t)cols * cols * (cross ? 2 : 1);
    return sizeof(struct qs_hessian) + (square + buffer_floats(cols, cross)) * sizeof(float);
}

int qs_hessian_new(size_t cols, bool cross, struct qs_pool *pool, enum qs_prio prio, struct qs_hessian **out, struct qs_err *e)
{
    if (cols == 0 || cols > INT32_MAX / TILE)
        return qs_fail(e, QS_ELIMIT, "a Hessian of %zu columns: it takes 1 to %d", cols, INT32_MAX / TILE);
    struct qs_hessian *h = qs_calloc(1, sizeof *h);
    if (!h)
        return qs_fail_mem(e, sizeof *h, "a Hessian");
    const size_t chunk = QS_HESSIAN_CHUNK * cols;
    *h = (struct qs_hessian){ .cols = cols, .pool = pool, .prio = prio };
    h->h = qs_calloc(cols, cols * sizeof *h->h);
    h->buffer = qs_calloc(2, chunk * sizeof *h->buffer);
    if (cross) {
        h->cross = qs_calloc(cols, cols * sizeof *h->cross);
        h->buffer0 = qs_calloc(1, chunk * sizeof *h->buffer0);
    }
    if (!h->h || !h->buffer || (cross && (!h->cross || !h->buffer0))) {
        qs_hessian_free(h);
        return qs_fail_mem(e, qs_hessian_need(cols, cross), "a Hessian");
    }
    *out = h;
    return QS_OK;
}

void qs_hessian_free(struct qs_hessian *h)
{
    if (!h)
        return;
    qs_free(h->h);
    qs_free(h->cross);
    qs_free(h->buffer);
    qs_free(h->buffer0);
    qs_free(h->drift);
    qs_free(h->buffer_drift);
    qs_free(h);
}

int qs_hessian_follow(struct qs_hessian *h, size_t width, struct qs_err *e)
{
    if (h->rows || h->held || h->drift || width == 0)
        return qs_fail(e, QS_EINVAL, "a Hessian follows hidden states of at least one float, once, and from its first row on");
    h->drift = qs_calloc(width, h->cols * sizeof *h->drift);
    h->buffer_drift = qs_calloc(width, QS_HESSIAN_CHUNK * sizeof *h->buffer_drift);
    if (!h->drift || !h->buffer_drift)
        return qs_fail_mem(e, (uint64_t)width * (h->cols + QS_HESSIAN_CHUNK) * sizeof(float), "the drift of hidden states");
    h->width = width;
    return QS_OK;
}

/* ---- adding ---- */

struct flush { struct qs_hessian *h; size_t tiles; atomic_int rc; };

/* H itself comes from outer products in bfloat16 where the CPU has an instruction for them (rows.h): inputs are rounded to 8
 * bits, sums are not. Where it has none, or rows are shorter than a panel, by the library. */
static bool in_pairs(const struct qs_hessian *h) { return qs_row_ops()->outer && h->cols >= QS_PAIR_COLS; }

const char *qs_hessian_inputs(void) { return qs_row_ops()->outer ? "bfloat16" : "float32"; }

/* The panel that begins with this column. They take less than the transposed rows that could lie there, and begin with a line of
 * the cache. */
static uint32_t *pairs_of(const struct qs_hessian *h, size_t column)
{
    const uintptr_t at = (uintptr_t)(h->buffer + QS_HESSIAN_CHUNK * h->cols);
    return (uint32_t *)((at + 63) / 64 * 64) + column * PAIRS;
}

static void pack_tiles(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct flush *f = ctx;
    const size_t cols = f->h->cols, n = f->h->held, from = begin * TILE, width = least(end * TILE, cols) - from;
    const float *rows = f->h->buffer + from;
    (void)thread;
    for (size_t i = 0; i < n; i += 2)
        qs_row_ops()->pair(rows + i * cols, i + 1 < n ? rows + (i + 1) * cols : NULL, width,
                           pairs_of(f->h, from) + i / 2 * QS_PAIR_COLS, PAIRS);
}

static void add_pairs(const struct qs_hessian *h, size_t i, size_t j)
{
    const size_t cols = h->cols, from = j * TILE;
    for (size_t at = i * TILE; at < least((i + 1) * TILE, cols); at += STRIP) {
        const size_t height = least(STRIP, cols - at), end = i == j ? at + height : least(from + TILE, cols);
        qs_row_ops()->outer(pairs_of(h, at), pairs_of(h, from), (h->held + 1) / 2, PAIRS, height, end - from,
                            h->h + at * cols + from, cols);
    }
}

static void transpose_tiles(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct flush *f = ctx;
    const size_t cols = f->h->cols, n = f->h->held;
    const float *rows = f->h->buffer;
    float *to = f->h->buffer + QS_HESSIAN_CHUNK * cols;
    (void)thread;
    for (size_t j = begin * TILE; j < least(end * TILE, cols); j++)
        for (size_t i = 0; i < n; i++)
            to[j * QS_HESSIAN_CHUNK + i] = rows[i * cols + j];
}

/* A tile of c (`height` rows) += (left transposed: height x chunk) * rows. */
static int add_tile(const struct qs_hessian *h, const float *left, size_t height, size_t i, size_t j, float *c)
{
    const size_t cols = h->cols, at = i * TILE, from = j * TILE;
    return qs_blas_gemm_f32(least(TILE, height - at), least(TILE, cols - from), h->held, 1, left + at * QS_HESSIAN_CHUNK,
                            QS_HESSIAN_CHUNK, h->buffer + from, cols, 1, c + at * cols + from, cols, NULL);
}

/* Tiles of H (those that touch the lower triangle), then those of the cross product, then those of the drift. */
static void add_tiles(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct flush *f = ctx;
    const struct qs_hessian *h = f->h;
    const size_t n = f->tiles, crosses = h->cross ? n : 0;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        const size_t i = t / n, j = t % n;
        if (i < n && j > i)
            continue;
        if (i < n && in_pairs(h)) {
            add_pairs(h, i, j);
            continue;
        }
        const int rc = i < n             ? add_tile(h, h->buffer + QS_HESSIAN_CHUNK * h->cols, h->cols, i, j, h->h)
                       : i < n + crosses ? add_tile(h, h->buffer0, h->cols, i - n, j, h->cross)
                                         : add_tile(h, h->buffer_drift, h->width, i - n - crosses, j, h->drift);
        if (rc != QS_OK)
            atomic_store(&f->rc, rc);
    }
}

static int flush_rows(struct qs_hessian *h, struct qs_err *e)
{
    struct flush f = { .h = h, .tiles = tiles_of(h->cols) };
    if (h->held == 0)
        return QS_OK;
    qs_pool_run(h->pool, h->prio, f.tiles, 1, in_pairs(h) ? pack_tiles : transpose_tiles, &f);
    const size_t heights = f.tiles * (h->cross ? 2 : 1) + (h->drift ? tiles_of(h->width) : 0);
    qs_pool_run(h->pool, h->prio, f.tiles * heights, 1, add_tiles, &f);
    h->held = 0;
    return f.rc ? qs_fail(e, QS_ELIMIT, "a Hessian of %zu columns is too large for the algebra library", h->cols) : QS_OK;
}

int qs_hessian_add(struct qs_hessian *h, const float *x, const float *x0, size_t n, size_t stride, struct qs_err *e)
{
    return qs_hessian_add_states(h, x, x0, NULL, NULL, n, stride, e);
}

static int check_rows(const struct qs_hessian *h, const float *x0, const float *state, const float *state0, size_t stride,
                      struct qs_err *e)
{
    if (!h->buffer)
        return qs_fail(e, QS_EINVAL, "rows for a Hessian that was ended");
    if (stride < h->cols || (x0 != NULL) != (h->cross != NULL))
        return qs_fail(e, QS_EINVAL, "a Hessian of %zu columns got rows of %zu%s", h->cols, stride,
                       stride < h->cols ? "" : h->cross ? ", without the original's" : ", with an original's that it does not compare");
    if ((state != NULL) != (h->drift != NULL) || (state0 != NULL) != (h->drift != NULL))
        return qs_fail(e, QS_EINVAL, "a Hessian that %s hidden states", h->drift ? "follows got no" : "does not follow got");
    return QS_OK;
}

/* Keeps a row until the chunk is whole; false: something in it is not finite. */
static bool hold_row(struct qs_hessian *h, const float *x, const float *x0, const float *state, const float *state0)
{
    const size_t cols = h->cols;
    if (!qs_finite_row(x, cols) || (x0 && !qs_finite_row(x0, cols)) ||
        (state && (!qs_finite_row(state, h->width) || !qs_finite_row(state0, h->width))))
        return false;
    memcpy(h->buffer + h->held * cols, x, cols * sizeof *x);
    for (size_t j = 0; x0 && j < cols; j++)
        h->buffer0[j * QS_HESSIAN_CHUNK + h->held] = x0[j] - x[j];
    for (size_t j = 0; state && j < h->width; j++)
        h->buffer_drift[j * QS_HESSIAN_CHUNK + h->held] = state0[j] - state[j];
    return true;
}

int qs_hessian_add_states(struct qs_hessian *h, const float *x, const float *x0, const float *state, const float *state0,
                          size_t n, size_t stride, struct qs_err *e)
{
    int rc = check_rows(h, x0, state, state0, stride, e);
    for (size_t i = 0; rc == QS_OK && i < n; i++) {
        if (!hold_row(h, x + i * stride, x0 ? x0 + i * stride : NULL, state ? state + i * h->width : NULL,
                      state ? state0 + i * h->width : NULL)) {
            if (h->nonfinite++ == 0)
                h->first_bad = h->rows;
            continue;
        }
        h->rows++;
        if (++h->held == QS_HESSIAN_CHUNK)
            rc = flush_rows(h, e);
    }
    return rc;
}

/* ---- the end ---- */

static void end_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct qs_hessian *h = ctx;
    const size_t cols = h->cols;
    const float by = (float)h->rows;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j <= i; j++)
            h->h[i * cols + j] /= by;
    for (size_t i = begin; h->cross && i < end; i++)
        for (size_t j = 0; j < cols; j++)
            h->cross[i * cols + j] /= by;
}

static void end_drift(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct qs_hessian *h = ctx;
    const float by = (float)h->rows;
    (void)thread;
    for (size_t i = begin * h->cols; i < end * h->cols; i++)
        h->drift[i] /= by;
}

static void mirror_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct qs_hessian *h = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        for (size_t j = i + 1; j < h->cols; j++)
            h->h[i * h->cols + j] = h->h[j * h->cols + i];
}

int qs_hessian_end(struct qs_hessian *h, struct qs_err *e)
{
    const int rc = flush_rows(h, e);
    if (rc != QS_OK)
        return rc;
    if (h->rows)
        qs_pool_run(h->pool, h->prio, h->cols, 1, end_rows, h);
    if (h->rows && h->drift)
        qs_pool_run(h->pool, h->prio, h->width, 1, end_drift, h);
    qs_pool_run(h->pool, h->prio, h->cols, 1, mirror_rows, h);
    qs_free(h->buffer); /* nothing more is added */
    qs_free(h->buffer0);
    qs_free(h->buffer_drift);
    h->buffer = h->buffer0 = h->buffer_drift = NULL;
    return QS_OK;
}

/* ---- energy ---- */

struct energy {
    const struct qs_hessian *h;
    const float *d;
    size_t rows;
    double *sum;     /* per group of rows */
    float *scratch;  /* of each thread: ENERGY_ROWS * cols */
    atomic_int rc;
};

static void energy_groups(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct energy *x = ctx;
    const size_t cols = x->h->cols;
    float *y = x->scratch + thread * cols * ENERGY_ROWS;
    for (size_t g = begin; g < end; g++) {
        const size_t at = g * ENERGY_ROWS, n = least(ENERGY_ROWS, x->rows - at);
        const float *d = x->d + at * cols;
        const int rc = qs_blas_gemm_f32(n, cols, cols, 1, d, cols, x->h->h, cols, 0, y, cols, NULL);
        double sum = 0;
        for (size_t i = 0; i < n * cols; i++)
            sum += (double)d[i] * (double)y[i];
        x->sum[g] = sum;
        if (rc != QS_OK)
            atomic_store(&x->rc, rc);
    }
}

int qs_hessian_energy(const struct qs_hessian *h, const float *d, size_t rows, double *out, struct qs_err *e)
{
    const size_t groups = (rows + ENERGY_ROWS - 1) / ENERGY_ROWS;
    const unsigned threads = qs_pool_threads(h->pool);
    struct energy x = { .h = h, .d = d, .rows = rows, .sum = qs_malloc(groups * sizeof(double)),
                        .scratch = qs_malloc(threads * h->cols * ENERGY_ROWS * sizeof(float)) };
    int rc = x.sum && x.scratch ? QS_OK : qs_fail_mem(e, qs_hessian_energy_need(h->cols, rows, threads), "an output error");
    if (rc == QS_OK) {
        double sum = 0;
        qs_pool_run(h->pool, h->prio, groups, 1, energy_groups, &x);
        for (size_t g = 0; g < groups; g++)
            sum += x.sum[g];
        *out = sum;
        rc = x.rc ? qs_fail(e, QS_ELIMIT, "a Hessian of %zu columns is too large for the algebra library", h->cols) : QS_OK;
    }
    qs_free(x.sum);
    qs_free(x.scratch);
    return rc;
}

uint64_t qs_hessian_energy_need(size_t cols, size_t rows, unsigned threads)
{
    return (rows / ENERGY_ROWS + 1) * sizeof(double) + (uint64_t)threads * cols * ENERGY_ROWS * sizeof(float);
}
