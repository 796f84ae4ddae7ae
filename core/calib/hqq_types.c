/* hqq_types.c - HQQ on GGUF types that store a minimum: the offsets of sub-blocks take the place of zeros.
 *
 * Owns the rooms of the threads. Scales and offsets go back through the format's own way of storing them; block by
 * block what lowered the sum of |w - w^|^p is kept, the rest stays as the format's search made it.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_internal.h"
#include "core/calib/group.h"
#include "core/calib/hqq_internal.h"

#define PANEL 8 /* rows that a thread takes at a time */

/* The format's own, and what HQQ made. */
struct side { uint8_t *grid, *code; float *made; };

struct room {
    struct side side[2];
    float *scale, *offset;
    uint8_t *bytes;
};

struct work {
    const struct qs_hqq_args *a;
    const struct qs_format *format;
    const struct qs_lattice *l;
    struct qs_rounder round;
    const float *w, *importance;
    size_t rows, cols;
    uint8_t *dst;
    struct room *room;
    char *memory;
};

static size_t room_layout(struct room *m, char *memory, const struct work *x)
{
    const size_t n = PANEL * x->cols, blocks = n / x->format->block, subs = n / x->l->sub;
    size_t used = 0;
    for (int k = 0; k < 2; k++) {
        m->side[k].grid = qs_gptq_part(memory, &used, blocks * x->format->grid_bytes);
        m->side[k].code = qs_gptq_part(memory, &used, blocks * x->format->codes_per_block * x->format->code_bytes);
        m->side[k].made = qs_gptq_part(memory, &used, n * sizeof(float));
    }
    m->scale = qs_gptq_part(memory, &used, subs * sizeof(float));
    m->offset = qs_gptq_part(memory, &used, subs * sizeof(float));
    m->bytes = qs_gptq_part(memory, &used, PANEL * qs_format_row_bytes(x->format, x->cols));
    return used;
}

static double badness(const float *made, const float *w, size_t n, double p)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += pow(fabs((double)(made[j] - w[j])), p);
    return sum;
}

static float value(const struct work *x, float w, float scale, float offset)
{
    return offset + scale * x->l->level[qs_rounder_code(&x->round, (w - offset) / scale)];
}

static double sub_badness(const struct work *x, const float *w, float scale, float offset)
{
    double sum = 0;
    for (size_t j = 0; j < x->l->sub; j++)
        sum += pow(fabs((double)(value(x, w[j], scale, offset) - w[j])), x->a->p);
    return sum;
}

static float allowed(const struct work *x, double offset)
{
    return x->l->offset_negative && offset > 0 ? 0 : (float)offset;
}

/* The best offset of all turns, the scale as it is. */
static float turns(const struct work *x, const float *w, float scale, float offset)
{
    float now = offset;
    double lowest = sub_badness(x, w, scale, offset), beta = x->a->beta;
    const double unit = x->a->absolute ? 1 : fabs((double)scale);
    for (unsigned i = 0; i < x->a->iterations; i++, beta *= x->a->kappa) {
        double sum = 0;
        for (size_t j = 0; j < x->l->sub; j++) {
            const double v = (double)value(x, w[j], scale, now), d = (double)w[j] - v;
            sum += (double)w[j] - unit * qs_hqq_shrunk(d / unit, x->a->p, beta) - (v - (double)now);
        }
        now = allowed(x, sum / x->l->sub);
        const double bad = sub_badness(x, w, scale, now);
        if (bad < lowest) {
            lowest = bad;
            offset = now;
        }
    }
    return offset;
}

static void unpack(const struct work *x, const struct room *m, const struct side *s, size_t n)
{
    const struct qs_format_ops *ops = qs_format_ops(x->format->id);
    const struct qs_parts to = { { m->bytes } };
    const struct qs_const_parts from = { { m->bytes } };
    ops->pack(n, x->cols, s->grid, s->code, &to);
    ops->decode(&from, n, x->cols, s->made, x->cols);
}

static void do_panel(const struct work *x, struct room *m, size_t first, size_t n)
{
    const struct qs_format *f = x->format;
    const struct qs_format_ops *ops = qs_format_ops(f->id);
    const float *w = x->w + first * x->cols;
    const struct qs_rows in = { w, n, x->cols, x->cols, x->importance };
    struct side *own = &m->side[0], *made = &m->side[1];
    ops->fit(&in, own->grid, own->code);
    x->l->spread(own->grid, n, x->cols, m->scale, m->offset);
    for (size_t i = 0; i < n * x->cols / x->l->sub; i++)
        if (m->scale[i] > 0 || m->scale[i] < 0)
            m->offset[i] = turns(x, w + i * x->l->sub, m->scale[i], m->offset[i]);
    memcpy(made->grid, own->grid, n * x->cols / f->block * f->grid_bytes);
    x->l->gather(m->scale, m->offset, NULL, n, x->cols, made->grid);
    ops->round(&in, made->grid, made->code);
    unpack(x, m, own, n);
    unpack(x, m, made, n);
    const size_t codes = (size_t)f->codes_per_block * f->code_bytes;
    for (size_t b = 0; b < n * x->cols / f->block; b++) {
        const size_t at = b * f->block;
        if (!(badness(made->made + at, w + at, f->block, x->a->p) < badness(own->made + at, w + at, f->block, x->a->p)))
            continue;
        memcpy(own->grid + b * f->grid_bytes, made->grid + b * f->grid_bytes, f->grid_bytes);
        memcpy(own->code + b * codes, made->code + b * codes, codes);
    }
    const struct qs_parts dst = { { x->dst + first * qs_format_row_bytes(f, x->cols) } };
    ops->pack(n, x->cols, own->grid, own->code, &dst);
}

static void panels(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct work *x = ctx;
    for (size_t p = begin; p < end; p++)
        do_panel(x, &x->room[thread], p * PANEL, x->rows - p * PANEL < PANEL ? x->rows - p * PANEL : PANEL);
}

static int check(const struct work *x, int type, struct qs_err *e)
{
    if (!x->format || !x->l || !x->l->offset)
        return qs_fail(e, QS_EUNSUPPORTED, "HQQ moves minima, %s has none: Q4_1, Q5_1, Q2_K, Q4_K and Q5_K do",
                       qs_type_name(type));
    if (x->cols == 0 || x->cols % x->format->block != 0)
        return qs_fail(e, QS_EINVAL, "rows of %zu weights do not fill the blocks of %s", x->cols, x->format->name);
    for (size_t i = 0; i < x->rows * x->cols; i++)
        if (!isfinite(x->w[i]))
            return qs_fail(e, QS_EFORMAT, "weight %zu of row %zu is %s", i % x->cols, i / x->cols,
                           isnan(x->w[i]) ? "NaN" : "infinite");
    return qs_hqq_check(x->a, e);
}

int qs_hqq_encode(int type, const struct qs_hqq_args *a, const float *w, size_t rows, size_t cols,
                  const float *importance, uint8_t *dst, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    struct work x = { .a = a, .format = qs_format_by_id(type), .l = qs_lattice_of(type), .w = w,
                      .importance = importance, .rows = rows, .cols = cols, .dst = dst };
    const size_t threads = qs_pool_threads(pool), count = (rows + PANEL - 1) / PANEL;
    struct room measure;
    int rc = check(&x, type, e);
    if (rc != QS_OK)
        return rc;
    const size_t each = room_layout(&measure, NULL, &x);
    qs_rounder_init(&x.round, x.l->level, x.l->n_levels);
    x.room = qs_calloc(threads, sizeof *x.room);
    x.memory = qs_alloc_aligned(64, threads * each);
    if (!x.room || !x.memory)
        rc = qs_fail_mem(e, threads * each, "HQQ");
    for (size_t i = 0; rc == QS_OK && i < threads; i++)
        room_layout(&x.room[i], x.memory + i * each, &x);
    if (rc == QS_OK)
        qs_pool_run(pool, prio, count, 1, panels, &x);
    qs_free(x.room);
    qs_free(x.memory);
    return rc;
}
