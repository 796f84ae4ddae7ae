/* awq_clip.c - cutting the largest weights of a block, where that lowers its part of the output error.
 *
 * Owns the shares that are tried. Every block of a row chooses by itself, under the part of H that is its own; then the
 * row as a whole is kept only where its error under the whole of H fell. Refuses groups that cut through blocks.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq_internal.h"

#define SHARES 10 /* 1, 0.95 ... 0.55 */
#define LANES 8   /* partial sums, added in a fixed order */

struct clip {
    const struct qs_awq_search *a;
    const struct qs_format *f;
    const struct qs_awq_rooms *rooms;
    const float *importance;
    float *w;
    size_t rows, cols, group, groups;
    float *limit;    /* rows * groups: chosen */
    double *least;   /* rows * groups: its error */
    double *error;   /* rows, as they are; then rows, cut */
    atomic_uint_fast64_t cut;
};

static float largest(const float *w, size_t n)
{
    float most = 0;
    for (size_t j = 0; j < n; j++)
        most = fabsf(w[j]) > most ? fabsf(w[j]) : most;
    return most;
}

static float limited(float v, float limit) { return v > limit ? limit : v < -limit ? -limit : v; }

static size_t width_of(const struct clip *c, size_t g)
{
    return c->cols - g * c->group < c->group ? c->cols - g * c->group : c->group;
}

/* d H d^T of one block: columns [at, at + n). */
static double block_error(const float *h, size_t cols, const float *d, size_t at, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = h + (at + i) * cols + at;
        float lane[LANES] = { 0 }, rest = 0;
        size_t j = 0;
        for (; j + LANES <= n; j += LANES)
            for (size_t k = 0; k < LANES; k++)
                lane[k] += row[j + k] * d[j + k];
        for (; j < n; j++)
            rest += row[j] * d[j];
        for (size_t k = 0; k < LANES; k++)
            rest += lane[k];
        sum += (double)rest * (double)d[i];
    }
    return sum;
}

/* n rows from `first` on, each block cut to its limit, encoded; made becomes what is off from the weights before. */
static void off_by(const struct clip *c, const struct qs_awq_room *room, size_t first, size_t n, const float *limit)
{
    const float *w = c->w + first * c->cols;
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < c->cols; j++)
            room->x[r * c->cols + j] = limited(w[r * c->cols + j], limit[r * c->groups + j / c->group]);
    qs_awq_there_and_back(c->f, room, n, c->cols, c->importance);
    for (size_t i = 0; i < n * c->cols; i++)
        room->made[i] -= w[i];
}

/* Tries one share for all blocks of the panel. */
static void try_share(const struct clip *c, const struct qs_awq_room *room, size_t first, size_t n, unsigned k)
{
    float *limit = room->product; /* n * groups of it */
    for (size_t r = 0; r < n; r++)
        for (size_t g = 0; g < c->groups; g++)
            limit[r * c->groups + g] = (1 - (float)k / 20) *
                                       largest(c->w + (first + r) * c->cols + g * c->group, width_of(c, g));
    off_by(c, room, first, n, limit);
    for (size_t r = 0; r < n; r++)
        for (size_t g = 0; g < c->groups; g++) {
            const size_t at = (first + r) * c->groups + g;
            const double now = block_error(c->a->h->h, c->cols, room->made + r * c->cols + g * c->group, g * c->group,
                                           width_of(c, g));
            if (k == 0 || now < c->least[at]) {
                c->least[at] = now;
                c->limit[at] = limit[r * c->groups + g];
            }
        }
    if (k == 0)
        qs_awq_row_errors(c->a->h->h, room, n, c->cols, c->error + first);
}

static void panels(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct clip *c = ctx;
    const struct qs_awq_room *room = &c->rooms->room[thread];
    for (size_t p = begin; p < end; p++) {
        const size_t first = p * QS_AWQ_PANEL, left = c->rows - first, n = left < QS_AWQ_PANEL ? left : QS_AWQ_PANEL;
        for (unsigned k = 0; k < SHARES; k++)
            try_share(c, room, first, n, k);
        off_by(c, room, first, n, c->limit + first * c->groups);
        qs_awq_row_errors(c->a->h->h, room, n, c->cols, c->error + c->rows + first);
        uint64_t cut = 0;
        for (size_t r = first; r < first + n; r++)
            for (size_t j = 0; c->error[c->rows + r] < c->error[r] && j < c->cols; j++) {
                float *w = c->w + r * c->cols + j;
                const float v = limited(*w, c->limit[r * c->groups + j / c->group]);
                cut += fabsf(v) < fabsf(*w);
                *w = v;
            }
        atomic_fetch_add(&c->cut, cut);
    }
}

int qs_awq_clip(const struct qs_awq_search *a, float *w, size_t rows, size_t cols, size_t group, uint64_t *cut,
                struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(a->type);
    if (!a->h || a->h->cols != cols)
        return qs_fail(e, QS_EINVAL, "clipping %zu columns needs a Hessian of that width", cols);
    if (!f || group == 0 || group % f->block != 0)
        return qs_fail(e, QS_EINVAL, "groups of %zu columns cut through the blocks of %s: take a multiple of %u", group,
                       f ? f->name : "?", f ? f->block : 0U);
    struct qs_awq_rooms rooms;
    int rc = qs_awq_rooms_new(f, cols, a->pool, &rooms, e);
    if (rc != QS_OK)
        return rc;
    const size_t groups = (cols + group - 1) / group;
    struct clip c = { .a = a, .f = f, .rooms = &rooms, .w = w, .rows = rows, .cols = cols, .group = group,
                      .groups = groups };
    float *importance = qs_calloc(cols, sizeof *importance);
    c.limit = qs_calloc(rows * groups + 1, sizeof *c.limit);
    c.least = qs_calloc(rows * groups + 1, sizeof *c.least);
    c.error = qs_calloc(2 * rows + 1, sizeof *c.error);
    if (importance && c.limit && c.least && c.error) {
        const size_t n = (rows + QS_AWQ_PANEL - 1) / QS_AWQ_PANEL;
        qs_awq_importance(a->h, NULL, importance);
        c.importance = importance;
        qs_pool_run(a->pool, a->prio, n, 1, panels, &c);
        if (cut)
            *cut = atomic_load(&c.cut);
    } else {
        rc = qs_fail_mem(e, rows * groups * 12 + rows * 16, "a search of limits");
    }
    qs_awq_rooms_free(&rooms);
    qs_free(importance);
    qs_free(c.limit);
    qs_free(c.least);
    qs_free(c.error);
    return rc;
}
