/* group_gptq.c - GPTQ and coordinate descent on group grids, by the strips of gptq_internal.h: a group is a sub-block
 * whose levels are 0 ... 2^bits - 1.
 *
 * Owns the rooms of the threads. Each step is kept row by row only where it lowered the error.
 */
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_internal.h"
#include "core/calib/group_internal.h"

struct room {
    struct qs_strip strip;
    uint8_t *kept;            /* codes */
    struct qs_row_error *error, *now;
};

struct work {
    const struct qs_hessian *h;
    const struct qs_gptq_factor *f;
    const float *w;
    struct qs_group_rows *r;
    unsigned sweeps;
    size_t strip;             /* rows */
    struct qs_rounder round;
    float level[256];
    struct room *room;
    char *memory;
    struct failed { int rc; struct qs_err e; } *failed; /* of strips */
};

/* Lays a room out in memory (NULL: only measures). */
static size_t room_layout(struct room *m, char *memory, const struct work *x)
{
    const size_t n = x->strip * x->r->cols, subs = x->strip * x->r->groups;
    size_t used = 0;
    *m = (struct room){ .strip = { .cols = x->r->cols, .sub = x->r->cols / x->r->groups, .round = &x->round } };
    m->strip.diff = qs_gptq_part(memory, &used, n * sizeof(float));
    m->strip.push = qs_gptq_part(memory, &used, n * sizeof(float));
    m->strip.scale = qs_gptq_part(memory, &used, subs * sizeof(float));
    m->strip.offset = qs_gptq_part(memory, &used, subs * sizeof(float));
    m->strip.step = qs_gptq_part(memory, &used, x->strip * QS_GPTQ_BLOCK * sizeof(float));
    m->strip.block = qs_gptq_part(memory, &used, (size_t)QS_GPTQ_BLOCK * QS_GPTQ_BLOCK * sizeof(float));
    m->strip.code = qs_gptq_part(memory, &used, n);
    m->kept = qs_gptq_part(memory, &used, n);
    m->error = qs_gptq_part(memory, &used, x->strip * sizeof(struct qs_row_error));
    m->now = qs_gptq_part(memory, &used, x->strip * sizeof(struct qs_row_error));
    return used;
}

/* Rows that did not gain go back to what they were. */
static int settle(const struct work *x, struct room *m, struct qs_err *e)
{
    const size_t n = x->r->cols;
    qs_strip_diff(&m->strip);
    const int rc = qs_strip_error(&m->strip, x->h, m->now, e);
    for (size_t i = 0; rc == QS_OK && i < m->strip.rows; i++) {
        const bool better = m->now[i].decides < m->error[i].decides;
        memcpy(better ? m->kept + i * n : m->strip.code + i * n, better ? m->strip.code + i * n : m->kept + i * n, n);
        if (better)
            m->error[i] = m->now[i];
    }
    return rc;
}

static int descend(const struct work *x, struct room *m, struct qs_err *e)
{
    uint64_t changed = 1;
    qs_strip_diff(&m->strip);
    int rc = qs_strip_error(&m->strip, x->h, NULL, e);
    for (unsigned i = 0; rc == QS_OK && i < x->sweeps && changed > 0; i++) {
        changed = 0;
        rc = qs_strip_descend(&m->strip, x->h, &changed, e);
    }
    return rc == QS_OK ? settle(x, m, e) : rc;
}

static int do_strip(const struct work *x, struct room *m, size_t first, struct qs_err *e)
{
    struct qs_group_rows *r = x->r;
    const size_t n = m->strip.rows * r->cols, at = first * r->cols, group = first * r->groups;
    for (size_t i = 0; i < m->strip.rows * r->groups; i++) {
        m->strip.scale[i] = r->scale[group + i];
        m->strip.offset[i] = -r->zero[group + i] * r->scale[group + i];
    }
    for (size_t i = 0; i < n; i++)
        m->kept[i] = m->strip.code[i] = (uint8_t)r->code[at + i];
    qs_strip_diff(&m->strip);
    int rc = qs_strip_error(&m->strip, x->h, m->error, e);
    if (rc == QS_OK && x->f)
        rc = qs_strip_gptq(&m->strip, x->f, e);
    if (rc == QS_OK && x->f)
        rc = settle(x, m, e);
    if (rc == QS_OK && x->sweeps > 0)
        rc = descend(x, m, e);
    for (size_t i = 0; rc == QS_OK && i < n; i++)
        r->code[at + i] = m->strip.code[i];
    return rc;
}

static void strips(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct work *x = ctx;
    struct room *m = &x->room[thread];
    for (size_t i = begin; i < end; i++) {
        const size_t first = i * x->strip, left = x->r->rows - first;
        m->strip.rows = left < x->strip ? left : x->strip;
        m->strip.ridge = x->f ? x->f->ridge : 0;
        m->strip.target = x->w + first * x->r->cols;
        x->failed[i].rc = do_strip(x, m, first, &x->failed[i].e);
    }
}

static int run(struct work *x, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e)
{
    const size_t count = (x->r->rows + x->strip - 1) / x->strip;
    const unsigned threads = qs_pool_threads(pool);
    struct room measure;
    const size_t each = room_layout(&measure, NULL, x);
    x->room = qs_calloc(threads, sizeof *x->room);
    x->failed = qs_calloc(count + 1, sizeof *x->failed);
    x->memory = qs_alloc_aligned(64, threads * each);
    if (!x->room || !x->failed || !x->memory)
        return qs_fail_mem(e, threads * each, "rounding a matrix");
    for (unsigned i = 0; i < threads; i++)
        room_layout(&x->room[i], x->memory + i * each, x);
    qs_pool_run(pool, prio, count, 1, strips, x);
    for (size_t i = 0; i < count; i++)
        if (x->failed[i].rc != QS_OK)
            return qs_fail(e, (enum qs_code)x->failed[i].rc, "%s", x->failed[i].e.msg);
    return QS_OK;
}

int qs_group_gptq(const struct qs_group_grid *g, const struct qs_hessian *h, const struct qs_gptq_factor *f,
                  const float *w, struct qs_group_rows *r, unsigned sweeps, struct qs_pool *pool, enum qs_prio prio,
                  struct qs_err *e)
{
    struct work x = { .h = h, .f = f, .w = w, .r = r, .sweeps = sweeps };
    int rc = qs_group_check(g, r, w, e);
    if (rc != QS_OK)
        return rc;
    if (h->cols != r->cols || (f && f->cols != r->cols))
        return qs_fail(e, QS_EINVAL, "a matrix of %zu columns cannot be rounded under a Hessian of %zu", r->cols,
                       h->cols);
    x.strip = r->rows >= 1024 ? QS_GPTQ_STRIP : QS_GPTQ_STRIP / 4;
    for (size_t i = 0; i < 256; i++)
        x.level[i] = (float)i;
    qs_rounder_init(&x.round, x.level, 1 << g->bits);
    rc = run(&x, pool, prio, e);
    qs_free(x.room);
    qs_free(x.failed);
    qs_free(x.memory);
    return rc;
}
