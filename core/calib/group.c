/* group.c - plain group grids: their numbers, by range and by a weighted search of it.
 *
 * Owns the rows of codes, scales and zeros. Refuses grids that no checkpoint has and weights that are not finite.
 */
#include "core/calib/group.h"

#include "base/mem.h"
#include "core/calib/group_internal.h"

#define SHRINKS 80 /* shares of the range that are tried: 1, 0.99 ... 0.21 */
#define REFITS 4

static size_t width_of(const struct qs_group_grid *g, size_t cols) { return g->group ? g->group : cols; }

static int check_grid(const struct qs_group_grid *g, size_t cols, struct qs_err *e)
{
    const size_t n = g->group;
    if (g->bits != 2 && g->bits != 3 && g->bits != 4 && g->bits != 8)
        return qs_fail(e, QS_EINVAL, "a group grid has 2, 3, 4 or 8 bits, not %u", g->bits);
    if (n && n != 32 && n != 64 && n != 128 && n != 256 && n != 512)
        return qs_fail(e, QS_EINVAL, "a group has 32, 64, 128, 256 or 512 columns, or is a row (0), not %zu", n);
    if (g->symmetric && g->float_zero)
        return qs_fail(e, QS_EINVAL, "a symmetric grid has no real zeros");
    if (cols == 0 || cols % width_of(g, cols) != 0)
        return qs_fail(e, QS_EINVAL, "rows of %zu columns do not fill groups of %zu: take a smaller group, or 0 for a "
                       "row", cols, n);
    return QS_OK;
}

int qs_group_rows_new(const struct qs_group_grid *g, size_t rows, size_t cols, struct qs_group_rows **out,
                      struct qs_err *e)
{
    *out = NULL;
    const int rc = check_grid(g, cols, e);
    if (rc != QS_OK)
        return rc;
    struct qs_group_rows *r = qs_calloc(1, sizeof *r);
    if (r) {
        *r = (struct qs_group_rows){ .rows = rows, .cols = cols, .groups = cols / width_of(g, cols) };
        r->scale = qs_calloc(rows * r->groups + 1, sizeof *r->scale);
        r->zero = qs_calloc(rows * r->groups + 1, sizeof *r->zero);
        r->code = qs_calloc(rows * cols + 1, sizeof *r->code);
    }
    if (!r || !r->scale || !r->zero || !r->code) {
        qs_group_rows_free(r);
        return qs_fail_mem(e, rows * cols * sizeof *r->code, "the codes of a matrix");
    }
    *out = r;
    return QS_OK;
}

void qs_group_rows_free(struct qs_group_rows *r)
{
    if (!r)
        return;
    qs_free(r->scale);
    qs_free(r->zero);
    qs_free(r->code);
    qs_free(r);
}

int qs_group_check(const struct qs_group_grid *g, const struct qs_group_rows *r, const float *w, struct qs_err *e)
{
    const int rc = check_grid(g, r->cols, e);
    if (rc != QS_OK)
        return rc;
    if (r->groups != r->cols / width_of(g, r->cols))
        return qs_fail(e, QS_EINVAL, "rows made for %zu groups cannot take a grid of %zu", r->groups,
                       r->cols / width_of(g, r->cols));
    for (size_t i = 0; i < r->rows * r->cols; i++)
        if (!isfinite(w[i]))
            return qs_fail(e, QS_EFORMAT, "weight %zu of row %zu is %s", i % r->cols, i / r->cols,
                           isnan(w[i]) ? "NaN" : "infinite");
    return QS_OK;
}

/* ---- one group ---- */

void qs_group_limits(const float *w, size_t n, float *least, float *most)
{
    *least = *most = w[0];
    for (size_t j = 1; j < n; j++) {
        *least = w[j] < *least ? w[j] : *least;
        *most = w[j] > *most ? w[j] : *most;
    }
}

void qs_group_range(const struct qs_group_grid *g, float least, float most, bool whole, float *scale, float *zero)
{
    const float top = qs_group_top(g);
    const bool real = g->float_zero && !whole;
    /* Integer zeros lie on the grid; real ones far outside of it would lose their low bits in float16. */
    if (!real || (g->half_scale && fabsf(least) * top > 256 * (most - least))) {
        least = least < 0 ? least : 0;
        most = most > 0 ? most : 0;
    }
    if (g->symmetric) {
        most = -least > most ? -least : most;
        least = -most;
    }
    if (!(most > least)) { /* constant: exact with a zero of its own, or nothing but zeros */
        *scale = 1;
        *zero = qs_group_zero(g, -least, whole);
        return;
    }
    *scale = qs_group_scale(g, (most - least) / top);
    *zero = qs_group_zero(g, -least / *scale, whole);
}

void qs_group_codes(const struct qs_group_grid *g, const float *w, size_t n, float scale, float zero, uint16_t *code)
{
    const float top = qs_group_top(g);
    for (size_t j = 0; j < n; j++)
        code[j] = (uint16_t)qs_group_code(w[j], scale, zero, top);
}

static double weighted(const struct qs_group_grid *g, const float *w, const float *importance, size_t n, float scale,
                       float zero)
{
    const float top = qs_group_top(g);
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        const float off = (qs_group_code(w[j], scale, zero, top) - zero) * scale - w[j];
        sum += (double)importance[j] * (double)off * (double)off;
    }
    return sum;
}

struct best { double error; float scale, zero; };

static bool keep(struct best *b, double error, float scale, float zero)
{
    if (!(error < b->error))
        return false;
    *b = (struct best){ error, scale, zero };
    return true;
}

/* Scale, and a real zero, that fit best to the codes of the best so far; false when they are not better. */
static bool refit(const struct qs_group_grid *g, const float *w, const float *importance, size_t n, struct best *b)
{
    const float top = qs_group_top(g);
    double s1 = 0, sq = 0, sqq = 0, sw = 0, sqw = 0;
    for (size_t j = 0; j < n; j++) {
        const double q = (double)qs_group_code(w[j], b->scale, b->zero, top) - (g->float_zero ? 0 : (double)b->zero);
        const double k = (double)importance[j], v = (double)w[j];
        s1 += k;
        sq += k * q;
        sqq += k * q * q;
        sw += k * v;
        sqw += k * q * v;
    }
    const double det = g->float_zero ? s1 * sqq - sq * sq : sqq;
    const double slope = (g->float_zero ? s1 * sqw - sq * sw : sqw) / det;
    if (!(det > 0) || !(slope > 0))
        return false;
    const float scale = qs_group_scale(g, (float)slope);
    const double real = (sq * (double)scale - sw) / (s1 * (double)scale);
    const float zero = g->float_zero ? qs_group_zero(g, (float)real, false) : b->zero;
    return keep(b, weighted(g, w, importance, n, scale, zero), scale, zero);
}

static void fit_group(const struct qs_group_grid *g, const float *w, const float *importance, size_t n, float *scale,
                      float *zero)
{
    float least, most;
    qs_group_limits(w, n, &least, &most);
    qs_group_range(g, least, most, false, scale, zero);
    if (!importance || !(most > least))
        return;
    struct best b = { weighted(g, w, importance, n, *scale, *zero), *scale, *zero };
    for (int i = 1; i < SHRINKS; i++) {
        const float p = 1 - (float)i / 100;
        float s, z;
        /* Real zeros: towards the middle of the range; others: towards 0. */
        const float mid = g->float_zero ? (least + most) / 2 : 0;
        qs_group_range(g, mid + p * (least - mid), mid + p * (most - mid), false, &s, &z);
        keep(&b, weighted(g, w, importance, n, s, z), s, z);
    }
    for (int i = 0; i < REFITS && refit(g, w, importance, n, &b); i++)
        ;
    *scale = b.scale;
    *zero = b.zero;
}

/* ---- rows ---- */

struct rows_of { const struct qs_group_grid *g; const float *w, *importance; struct qs_group_rows *r; };

static void fit_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct rows_of *x = ctx;
    struct qs_group_rows *r = x->r;
    const size_t n = r->cols / r->groups;
    (void)thread;
    for (size_t i = begin * r->groups; i < end * r->groups; i++) {
        const size_t col = i % r->groups * n;
        fit_group(x->g, x->w + i * n, x->importance ? x->importance + col : NULL, n, &r->scale[i], &r->zero[i]);
        qs_group_codes(x->g, x->w + i * n, n, r->scale[i], r->zero[i], r->code + i * n);
    }
}

int qs_group_fit(const struct qs_group_grid *g, const float *w, const float *importance, struct qs_group_rows *r,
                 struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    struct rows_of x = { g, w, importance, r };
    const int rc = qs_group_check(g, r, w, e);
    if (rc != QS_OK)
        return rc;
    qs_pool_run(pool, prio, r->rows, 4, fit_rows, &x);
    return QS_OK;
}

void qs_group_decode(const struct qs_group_rows *r, float *out)
{
    const size_t n = r->cols / r->groups;
    for (size_t i = 0; i < r->rows * r->groups; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = ((float)r->code[i * n + j] - r->zero[i]) * r->scale[i];
}
