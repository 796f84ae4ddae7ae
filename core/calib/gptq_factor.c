/* gptq_factor.c - the triangular factor that GPTQ works with.
 *
 * Refuses a Hessian that is not finite or zero throughout. In double precision up to QS_GPTQ_DOUBLE_COLS columns,
 * beyond in single (a Hessian with damping is tame enough: its condition is at most about a hundred times its columns).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_internal.h"
#include "kernels/blas.h"

/* ---- the diagonal */

static int check_finite(const struct qs_hessian *h, struct qs_err *e)
{
    for (size_t i = 0; i < h->cols * h->cols; i++)
        if (!isfinite(h->h[i]))
            return qs_fail(e, QS_EINVAL, "the Hessian holds a %s at column %zu, row %zu: the inputs it was made of are "
                           "not finite", isnan(h->h[i]) ? "NaN" : "infinity", i % h->cols, i / h->cols);
    return QS_OK;
}

static double mean_diagonal(const struct qs_hessian *h)
{
    double sum = 0;
    for (size_t i = 0; i < h->cols; i++)
        sum += (double)h->h[i * h->cols + i];
    return sum / (double)h->cols;
}

/* ---- the order */

struct turn { float h; size_t at; };

static int by_falling_h(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->h != y->h)
        return x->h > y->h ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

static int order_columns(const struct qs_hessian *h, bool natural, size_t *order, struct qs_err *e)
{
    struct turn *t = qs_malloc(h->cols * sizeof *t);
    if (!t)
        return qs_fail_mem(e, h->cols * sizeof *t, "the order of columns");
    for (size_t i = 0; i < h->cols; i++)
        t[i] = (struct turn){ h->h[i * h->cols + i], i };
    if (!natural)
        qsort(t, h->cols, sizeof *t, by_falling_h);
    for (size_t i = 0; i < h->cols; i++)
        order[i] = t[i].at;
    qs_free(t);
    return QS_OK;
}

/* ---- the factor: the Cholesky factor of the matrix turned upside down is V turned upside down */

struct tries { const struct qs_hessian *h; struct qs_gptq_factor *f; double damp; /* absolute */ };

#define FACTOR(name, real, cholesky)                                                                                   \
    static int name(const struct tries *t, real *a, struct qs_err *e)                                                  \
    {                                                                                                                  \
        const size_t n = t->f->cols, *order = t->f->order;                                                             \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const float *row = t->h->h + order[n - 1 - i] * n;                                                         \
            for (size_t k = 0; k <= i; k++)                                                                            \
                a[i * n + k] = (real)row[order[n - 1 - k]];                                                            \
            a[i * n + i] += (real)t->damp;                                                                             \
        }                                                                                                              \
        int rc = cholesky(n, a, n, NULL, e);                                                                           \
        for (size_t m = 0; rc == QS_OK && m < n; m++) {                                                                \
            const double v = (double)a[m * n + m];                                                                     \
            t->f->pivot[n - 1 - m] = v * v;                                                                            \
            if (!(v > 0) || !isfinite(v))                                                                              \
                rc = qs_fail(e, QS_EINVAL, "a pivot is %g", v);                                                        \
        }                                                                                                              \
        return rc;                                                                                                     \
    }                                                                                                                  \
    static void name##_ratio(struct qs_gptq_factor *f, const real *a)                                                  \
    {                                                                                                                  \
        const size_t n = f->cols;                                                                                      \
        for (size_t k = 0; k < n; k++) { /* V_km is L at (n-1-k, n-1-m) */                                             \
            const real *row = a + (n - 1 - k) * n;                                                                     \
            for (size_t m = 0; m < n; m++)                                                                             \
                f->ratio[k * n + m] = m > k ? (float)(row[n - 1 - m] / a[(n - 1 - m) * (n + 1)]) : 0;                  \
        }                                                                                                              \
    }
FACTOR(factor_f64, double, qs_blas_cholesky)
FACTOR(factor_f32, float, qs_blas_cholesky_f32)

static int factor_once(const struct tries *t, void *room, struct qs_err *e)
{
    return t->f->cols <= QS_GPTQ_DOUBLE_COLS ? factor_f64(t, room, e) : factor_f32(t, room, e);
}

static int factor_damped(struct tries *t, double damp, double mean, void *room, struct qs_gptq_factor_facts *facts,
                         struct qs_err *e)
{
    for (facts->tries = 1;; facts->tries++, damp = fmin(damp * 10, 1)) {
        t->damp = damp * mean + (double)t->f->ridge;
        facts->damp = damp;
        const int rc = factor_once(t, room, e);
        if (rc == QS_OK)
            break;
        if (rc != QS_EINVAL)
            return rc;
        if (damp >= 1)
            return qs_fail(e, QS_EINVAL, "the Hessian of %zu columns does not factor, even with damping as large as "
                           "its mean diagonal (%g)", t->f->cols, mean);
    }
    if (t->f->cols <= QS_GPTQ_DOUBLE_COLS)
        factor_f64_ratio(t->f, room);
    else
        factor_f32_ratio(t->f, room);
    return QS_OK;
}

size_t qs_gptq_factor_room(size_t cols)
{
    return cols * cols * (cols <= QS_GPTQ_DOUBLE_COLS ? sizeof(double) : sizeof(float));
}

/* Of the mean diagonal. How much an H of few tokens promises beyond what other tokens keep was measured: half of the
 * gain at two tokens to a column, little at a hundred. */
static double choose_ridge(const struct qs_hessian *h, double asked)
{
    if (asked != 0 || h->rows == 0)
        return asked > 0 ? asked : 0;
    return fmin(0.5, 2.0 * (double)h->cols / (double)h->rows);
}

static int factor_alloc(size_t cols, struct qs_gptq_factor **out, struct qs_err *e)
{
    struct qs_gptq_factor *f = qs_calloc(1, sizeof *f);
    if (f) {
        f->cols = cols;
        f->order = qs_malloc(cols * sizeof *f->order);
        f->pivot = qs_malloc(cols * sizeof *f->pivot);
        f->ratio = qs_alloc_aligned(64, cols * cols * sizeof *f->ratio);
    }
    if (!f || !f->order || !f->pivot || !f->ratio) {
        qs_gptq_factor_free(f);
        return qs_fail_mem(e, cols * cols * sizeof(float), "the factor of a Hessian");
    }
    *out = f;
    return QS_OK;
}

int qs_gptq_factor_new(const struct qs_hessian *h, const struct qs_gptq_factor_args *a, struct qs_gptq_factor **out,
                       struct qs_gptq_factor_facts *facts, struct qs_err *e)
{
    struct qs_gptq_factor_facts none, *fact = facts ? facts : &none;
    struct tries t = { .h = h };
    *fact = (struct qs_gptq_factor_facts){ 0 };
    *out = NULL;
    int rc = check_finite(h, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < h->cols; i++)
        fact->dead += h->h[i * h->cols + i] == 0;
    const double mean = mean_diagonal(h), damp = a && a->damp > 0 ? a->damp : 0.01;
    if (!(mean > 0))
        return qs_fail(e, QS_EINVAL, "the Hessian is zero: no input of these %zu columns was ever other than zero",
                       h->cols);
    if (!isfinite(mean))
        return qs_fail(e, QS_EINVAL, "the Hessian's diagonal is too large for single precision");
    void *room = qs_alloc_aligned(64, qs_gptq_factor_room(h->cols));
    if (!room)
        return qs_fail_mem(e, qs_gptq_factor_room(h->cols), "factoring a Hessian");
    rc = factor_alloc(h->cols, &t.f, e);
    fact->ridge = choose_ridge(h, a ? a->ridge : 0);
    if (rc == QS_OK)
        t.f->ridge = (float)(fact->ridge * mean);
    if (rc == QS_OK)
        rc = order_columns(h, a && a->natural_order, t.f->order, e);
    if (rc == QS_OK)
        rc = factor_damped(&t, fmin(damp, 1), mean, room, fact, e);
    qs_free(room);
    if (rc == QS_OK)
        rc = qs_gptq_blocks_new(h, t.damp, &t.f->block, e);
    if (rc)
        qs_gptq_factor_free(t.f);
    else
        *out = t.f;
    return rc;
}

void qs_gptq_factor_free(struct qs_gptq_factor *f)
{
    if (!f)
        return;
    qs_free(f->order);
    qs_free(f->pivot);
    qs_free(f->block);
    qs_free(f->ratio);
    qs_free(f);
}
