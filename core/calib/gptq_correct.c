/* gptq_correct.c - target weights for the inputs that really arrive.
 *
 * out = w + (strength * w cross + pull * drift) (H + lambda I)^-1, by a Cholesky factor in double precision (in single beyond
 * QS_GPTQ_DOUBLE_COLS columns), some rows at a time. Refuses a Hessian without cross products, or one that does not factor.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_internal.h"
#include "kernels/blas.h"

enum { ROWS = 64 };

struct correction {
    const struct qs_hessian *h;
    const float *w;
    float *out;
    size_t rows;
    double strength, pull;
    bool wide;           /* double precision */
    void *factor;        /* cols * cols, lower */
    char *room;          /* of each thread: ROWS * cols floats, then as many numbers of the factor's kind */
    size_t room_bytes;
    int *rc;             /* of each piece */
};

static int factor(struct correction *c, double lambda, struct qs_err *e)
{
    const size_t n = c->h->cols;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++) {
            const double v = (double)c->h->h[i * n + k] + (i == k ? lambda : 0);
            if (c->wide)
                ((double *)c->factor)[i * n + k] = v;
            else
                ((float *)c->factor)[i * n + k] = (float)v;
        }
    return c->wide ? qs_blas_cholesky(n, c->factor, n, NULL, e) : qs_blas_cholesky_f32(n, c->factor, n, NULL, e);
}

static int factor_damped(struct correction *c, double damp, struct qs_err *e)
{
    const size_t n = c->h->cols;
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += (double)c->h->h[i * n + i] / (double)n;
    if (!(mean > 0) || !isfinite(mean))
        return qs_fail(e, QS_EINVAL, "nothing can be corrected for inputs whose mean square is %g", mean);
    for (damp = damp > 0 ? damp : 0.01;; damp *= 10) {
        const int rc = factor(c, damp * mean, e);
        if (rc != QS_EINVAL)
            return rc;
        if (damp >= 1)
            return qs_fail(e, QS_EINVAL, "the Hessian of %zu columns does not factor: weights cannot be corrected", n);
    }
}

#define SOLVE(name, real, solve)                                                                                       \
    static int name(const struct correction *c, const float *b, real *t, size_t rows)                                  \
    {                                                                                                                  \
        const size_t n = c->h->cols;                                                                                   \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t k = 0; k < n; k++)                                                                             \
                t[k * rows + r] = (real)b[r * n + k];                                                                  \
        int rc = solve(n, rows, c->factor, n, false, t, rows, NULL);                                                   \
        return rc ? rc : solve(n, rows, c->factor, n, true, t, rows, NULL);                                            \
    }                                                                                                                  \
    static void name##_add(const struct correction *c, const float *w, const real *t, size_t rows, float *out)         \
    {                                                                                                                  \
        const size_t n = c->h->cols;                                                                                   \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t k = 0; k < n; k++)                                                                             \
                out[r * n + k] = (float)((double)w[r * n + k] + (double)t[k * rows + r]);                \
    }
SOLVE(solve_f64, double, qs_blas_solve)
SOLVE(solve_f32, float, qs_blas_solve_f32)

static void correct_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct correction *c = ctx;
    const size_t n = c->h->cols;
    float *b = (float *)(void *)(c->room + thread * c->room_bytes);
    void *t = b + ROWS * n;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * ROWS, rows = c->rows - at < ROWS ? c->rows - at : ROWS;
        const float *w = c->w + at * n;
        int rc = qs_blas_gemm_f32(rows, n, n, (float)c->strength, w, n, c->h->cross, n, 0, b, n, NULL);
        for (size_t k = 0; c->pull > 0 && k < rows * n; k++)
            b[k] += (float)c->pull * c->h->drift[at * n + k];
        if (rc == QS_OK)
            rc = c->wide ? solve_f64(c, b, t, rows) : solve_f32(c, b, t, rows);
        if (rc == QS_OK && c->wide)
            solve_f64_add(c, w, t, rows, c->out + at * n);
        else if (rc == QS_OK)
            solve_f32_add(c, w, t, rows, c->out + at * n);
        c->rc[i] = rc;
    }
}

static int correct(struct correction *c, double damp, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    const size_t n = c->h->cols, pieces = (c->rows + ROWS - 1) / ROWS;
    c->room_bytes = ROWS * n * (sizeof(float) + (c->wide ? sizeof(double) : sizeof(float)));
    c->factor = qs_alloc_aligned(64, n * n * (c->wide ? sizeof(double) : sizeof(float)));
    c->room = qs_alloc_aligned(64, qs_pool_threads(pool) * c->room_bytes);
    c->rc = qs_calloc(pieces, sizeof *c->rc);
    if (!c->factor || !c->room || !c->rc)
        return qs_fail_mem(e, n * n * sizeof(double), "correcting weights");
    int rc = factor_damped(c, damp, e);
    if (rc)
        return rc;
    qs_pool_run(pool, prio, pieces, 1, correct_rows, c);
    for (size_t i = 0; i < pieces; i++)
        if (c->rc[i])
            return qs_fail(e, c->rc[i], "correcting weights: a product of matrices of %zu columns failed", n);
    return QS_OK;
}

int qs_gptq_correct(const struct qs_hessian *h, double damp, double strength, double pull, const float *w, size_t rows,
                    float *out, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    struct correction c = { .h = h, .w = w, .out = out, .rows = rows, .strength = strength, .pull = pull,
                            .wide = h->cols <= QS_GPTQ_DOUBLE_COLS };
    if (!h->cross)
        return qs_fail(e, QS_EINVAL, "the Hessian was made without the products that a correction needs");
    if (pull > 0 && (!h->drift || h->width != rows))
        return qs_fail(e, QS_EINVAL, "the Hessian does not follow a hidden state of %zu floats", rows);
    for (size_t i = 0; i < h->cols * h->cols; i++)
        if (!isfinite(h->cross[i]) || !isfinite(h->h[i]))
            return qs_fail(e, QS_EINVAL, "the Hessian is not finite at column %zu, row %zu", i % h->cols, i / h->cols);
    const int rc = correct(&c, damp, pool, prio, e);
    qs_free(c.factor);
    qs_free(c.room);
    qs_free(c.rc);
    return rc;
}
