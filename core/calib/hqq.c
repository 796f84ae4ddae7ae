/* hqq.c - half-quadratic quantization: zeros that make the sum of |w - w^|^p small, without any calibration.
 *
 * Half-quadratic splitting takes turns: codes for the zero at hand; the error shrunk by the proximal step of |.|^p; the
 * zero that fits what is left. Owns nothing but scratch. Refuses grids whose zero is fixed.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/group_internal.h"
#include "core/calib/hqq_internal.h"

double qs_hqq_shrunk(double d, double p, double beta)
{
    const double a = fabs(d), left = a > 0 ? a - pow(a, p - 1) / beta : 0;
    return left > 0 ? copysign(left, d) : 0;
}

int qs_hqq_check(const struct qs_hqq_args *a, struct qs_err *e)
{
    if (!(a->p > 0) || a->p > 1 || !(a->beta > 0) || !(a->kappa >= 1))
        return qs_fail(e, QS_EINVAL, "HQQ needs 0 < p <= 1, beta > 0, kappa >= 1, not %g, %g, %g", a->p, a->beta,
                       a->kappa);
    return QS_OK;
}

/* ---- group grids ---- */

struct work { const struct qs_group_grid *g; const struct qs_hqq_args *a; const float *w; struct qs_group_rows *r; };

static double badness(const struct work *x, const float *w, size_t n, float scale, float zero)
{
    const float top = qs_group_top(x->g);
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += pow(fabs((double)((qs_group_code(w[j], scale, zero, top) - zero) * scale - w[j])), x->a->p);
    return sum;
}

/* The zero after one turn. */
static double next_zero(const struct work *x, const float *w, size_t n, float scale, float zero, double beta)
{
    const float top = qs_group_top(x->g);
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        const float q = qs_group_code(w[j], scale, zero, top);
        const double v = (double)w[j], d = v - (double)((q - zero) * scale);
        const double unit = x->a->absolute ? 1 : (double)scale;
        sum += (double)q - (v - unit * qs_hqq_shrunk(d / unit, x->a->p, beta)) / (double)scale;
    }
    return sum / (double)n;
}

static void hqq_group(const struct work *x, const float *w, size_t n, float *scale, float *zero)
{
    const bool whole = x->a->round_zero || !x->g->float_zero;
    float least, most;
    qs_group_limits(w, n, &least, &most);
    qs_group_range(x->g, least, most, whole, scale, zero);
    double lowest = badness(x, w, n, *scale, *zero), beta = x->a->beta;
    float now = *zero;
    for (unsigned i = 0; i < x->a->iterations && most > least; i++, beta *= x->a->kappa) {
        now = qs_group_zero(x->g, (float)next_zero(x, w, n, *scale, now, beta), whole);
        const double sum = badness(x, w, n, *scale, now);
        if (sum < lowest) {
            lowest = sum;
            *zero = now;
        }
    }
}

static void hqq_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct work *x = ctx;
    struct qs_group_rows *r = x->r;
    const size_t n = r->cols / r->groups;
    (void)thread;
    for (size_t i = begin * r->groups; i < end * r->groups; i++) {
        hqq_group(x, x->w + i * n, n, &r->scale[i], &r->zero[i]);
        qs_group_codes(x->g, x->w + i * n, n, r->scale[i], r->zero[i], r->code + i * n);
    }
}

int qs_hqq_fit(const struct qs_group_grid *g, const struct qs_hqq_args *a, const float *w, struct qs_group_rows *r,
               struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    struct work x = { g, a, w, r };
    int rc = qs_hqq_check(a, e);
    if (rc == QS_OK && g->symmetric)
        rc = qs_fail(e, QS_EINVAL, "HQQ moves the zeros of a grid, those of a symmetric one are fixed");
    if (rc == QS_OK)
        rc = qs_group_check(g, r, w, e);
    if (rc != QS_OK)
        return rc;
    qs_pool_run(pool, prio, r->rows, 4, hqq_rows, &x);
    return QS_OK;
}
