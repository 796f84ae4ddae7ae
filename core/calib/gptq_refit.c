/* gptq_refit.c - scales and offsets anew, under H.
 *
 * Works on what the format stores: the integers of a sub-block and their neighbours are tried with codes that settle on
 * the trial's grid, then d and dmin of the super-block by least squares with codes as they are. What is kept is only
 * what lowers the error, computed from the exact floats before and after. Owns no memory.
 */
#include <math.h>
#include <string.h>

#include "core/calib/gptq_descent.h"

enum { BLOCK = QS_GPTQ_BLOCK };

struct refit { const struct qs_lattice *l; uint8_t *grid; size_t supers; /* of a row */ };

/* One sub-block under trial. */
struct trial {
    struct qs_code_trials t;
    int scale[QS_TRIALS], min[QS_TRIALS]; /* the integers of each */
    float value[QS_TRIAL_SUB];
};

/* The integers of sub-block j and their neighbours. */
static void list_grids(struct trial *t, const struct qs_lattice *l, const struct qs_lattice_super *p, int j)
{
    const int far = l->scale_hi < 16 ? 2 : 1; /* coarse steps: two of them may be worth it where one is not */
    for (int ds = -far; ds <= far; ds++)
        for (int dm = l->offset ? -far : 0; dm <= (l->offset ? far : 0); dm++) {
            const int sc = p->scale[j] + ds, mc = p->min[j] + dm;
            if (ds * dm < 0 || sc < l->scale_lo || sc > l->scale_hi || mc < 0 || mc > l->scale_hi ||
                p->d * (float)sc == 0)
                continue; /* wider and lower belong together */
            t->scale[t->t.count] = sc;
            t->min[t->t.count] = mc;
            t->t.scale[t->t.count] = p->d * (float)sc;
            t->t.offset[t->t.count++] = l->offset ? -(p->dmin * (float)mc) : -0.0f;
        }
    for (size_t i = t->t.count; i < QS_TRIALS; i++) {
        t->t.scale[i] = 1;
        t->t.offset[i] = 0;
    }
}

/* The first of the best that gains; count: none does. */
static size_t best_grid(const struct qs_code_trials *t, double least)
{
    size_t best = t->count;
    for (size_t i = 0; i < t->count; i++)
        if (t->gain[i] < least) {
            least = t->gain[i];
            best = i;
        }
    return best;
}

/* Scale and minimum of sub-block j and their neighbours. True: something better was found; it is in p, codes, steps. */
static bool refit_sub(const struct qs_lattice *l, const struct qs_strip *s, const struct qs_block_row *b, size_t at,
                      struct qs_lattice_super *p, int j)
{
    struct trial t;
    t.t.round = s->round;
    t.t.n = l->sub;
    t.t.count = 0;
    t.t.h = s->block + at * (BLOCK + 1);
    t.t.stride = BLOCK;
    t.t.value = t.value;
    t.t.push = b->push + at;
    const float scale = b->scale[at / l->sub], offset = b->offset[at / l->sub];
    double size = 0;
    for (size_t k = 0; k < l->sub; k++) {
        t.value[k] = offset + scale * l->level[b->code[at + k]];
        size += fabs((double)t.value[k] * (double)b->push[at + k]);
    }
    list_grids(&t, l, p, j);
    qs_row_ops()->codes.settle(&t.t);
    const size_t best = best_grid(&t.t, -1e-7 * size);
    if (best == t.t.count)
        return false;
    float step[QS_TRIAL_SUB];
    for (size_t k = 0; k < l->sub; k++) {
        b->code[at + k] = qs_rounder_code(s->round, t.t.level[k][best]);
        b->step[at + k] += step[k] = t.t.step[k][best];
    }
    qs_row_ops()->codes.combine(b->push, s->block + at * BLOCK, BLOCK, step, l->sub, BLOCK);
    p->scale[j] = (int16_t)t.scale[best];
    p->min[j] = (int16_t)t.min[best];
    b->scale[at / l->sub] = p->d * (float)p->scale[j];
    b->offset[at / l->sub] = l->offset ? -(p->dmin * (float)p->min[j]) : -0.0f;
    return true;
}

/* H times v, both of the block; v is zero outside of [at, at + n). */
static void times_h(const struct qs_strip *s, const float *v, size_t at, size_t n, float *out)
{
    memset(out, 0, BLOCK * sizeof *out);
    qs_row_ops()->codes.combine(out, s->block + at * BLOCK, BLOCK, v + at, n, BLOCK);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

/* What d and dmin should grow by: the least of 2 (u x + v y) + x^2 uu + 2 x y uv + y^2 vv. */
static void best_change(const double *u, const double *v, double uu, double uv, double vv, bool both, double out[2])
{
    const double det = uu * vv - uv * uv;
    out[0] = uu > 0 ? -*u / uu : 0;
    out[1] = 0;
    if (both && det > 1e-6 * uu * vv) {
        out[0] = (*v * uv - *u * vv) / det;
        out[1] = (*u * uv - *v * uu) / det;
    }
}

/* d and dmin of one super-block at column `at` of the block; codes stay. */
static bool refit_super(const struct refit *f, const struct qs_strip *s, const struct qs_block_row *b, size_t at,
                        size_t i, struct qs_lattice_super *p)
{
    const struct qs_lattice *l = f->l;
    float u[BLOCK] = { 0 }, v[BLOCK] = { 0 }, hu[BLOCK], hv[BLOCK], step[BLOCK] = { 0 };
    const size_t n = l->super;
    for (size_t k = at; k < at + n; k++) {
        u[k] = (float)p->scale[(k - at) / l->sub] * l->level[b->code[k]];
        v[k] = l->offset ? -(float)p->min[(k - at) / l->sub] : 0;
    }
    times_h(s, u, at, n, hu);
    times_h(s, v, at, l->offset ? n : 0, hv);
    const double gu = dot(u + at, b->push + at, n), gv = dot(v + at, b->push + at, n);
    double change[2];
    best_change(&gu, &gv, dot(u + at, hu + at, n), dot(u + at, hv + at, n), dot(v + at, hv + at, n), l->offset, change);
    struct qs_lattice_super trial = *p, now;
    trial.d = (float)((double)p->d + change[0]);
    trial.dmin = (float)((double)p->dmin + change[1]);
    if (!isfinite(trial.d) || !isfinite(trial.dmin) || (trial.d < 0 && !l->scale_negative) ||
        (trial.dmin < 0 && l->offset_negative))
        return false;
    l->put(&trial, f->grid, i);
    l->take(f->grid, i, &now);
    for (size_t k = at; k < at + n; k++) {
        const size_t j = (k - at) / l->sub;
        const float offset = l->offset ? -(now.dmin * (float)now.min[j]) : -0.0f;
        step[k] = offset + now.d * (float)now.scale[j] * l->level[b->code[k]] -
                  (b->offset[k / l->sub] + b->scale[k / l->sub] * l->level[b->code[k]]);
    }
    times_h(s, step, at, n, hu);
    const double g = dot(step + at, b->push + at, n), q = dot(step + at, hu + at, n);
    if (!(2 * g + q < -1e-7 * fabs(g))) {
        l->put(p, f->grid, i);
        return false;
    }
    for (size_t k = 0; k < BLOCK; k++)
        b->push[k] += hu[k];
    for (size_t k = at; k < at + n; k++)
        b->step[k] += step[k];
    for (size_t j = 0; j < n / l->sub; j++) {
        b->scale[at / l->sub + j] = now.d * (float)now.scale[j];
        b->offset[at / l->sub + j] = l->offset ? -(now.dmin * (float)now.min[j]) : -0.0f;
    }
    *p = now;
    return true;
}

static unsigned refit_row(struct qs_strip *s, const struct qs_block_row *b, void *ctx)
{
    const struct refit *f = ctx;
    const struct qs_lattice *l = f->l;
    unsigned changed = 0;
    for (size_t at = 0; at < b->width; at += l->super) {
        const size_t i = b->row * f->supers + (b->at + at) / l->super;
        struct qs_lattice_super p;
        l->take(f->grid, i, &p);
        changed += refit_super(f, s, b, at, i, &p);
        bool ints = false;
        for (int j = 0; l->scale_lo < l->scale_hi && j < l->super / l->sub; j++)
            ints = refit_sub(l, s, b, at + (size_t)j * l->sub, &p, j) || ints;
        if (ints) {
            l->put(&p, f->grid, i);
            changed++;
            refit_super(f, s, b, at, i, &p);
        }
    }
    return changed + qs_descend_block(s, b);
}

int qs_strip_refit(struct qs_strip *s, const struct qs_lattice *l, void *grid, const struct qs_hessian *h,
                   uint64_t *changed, struct qs_err *e)
{
    struct refit f = { l, grid, s->cols / l->super };
    return qs_strip_blocks(s, h, refit_row, &f, changed, e);
}
