/* check.c - reads every stored weight once and counts what is not a number.
 *
 * Owns nothing beyond the call. Work is cut into regions of a few MiB, so that the pool is given back often and a
 * cancelled job ends soon; after each region the mapping is asked whether it still is whole. Pages already read are
 * dropped from our page tables, so that a large model does not look like a large process.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/model.h"

#define PIECE_BYTES (512u << 10)  /* one item of a region */
#define PIECES_PER_THREAD 8u

struct scan {
    const struct qs_weight *w;
    qs_scan_fn *fn;
    uint64_t first, rows, per_item; /* rows of this region; rows per item */
    uint64_t found;                 /* atomic */
};

static void scan_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct scan *s = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        uint64_t row = i * s->per_item;
        uint64_t n = s->rows - row < s->per_item ? s->rows - row : s->per_item;
        struct qs_const_parts p = qs_weight_row(s->w, s->first + row);
        size_t found = s->fn(&p, (size_t)n, (size_t)s->w->ne[0]);
        if (found)
            __atomic_add_fetch(&s->found, found, __ATOMIC_RELAXED);
    }
}

static int scan_weight(const struct qs_model *m, const struct qs_weight *w, qs_scan_fn *fn, struct qs_pool *pool,
                       struct qs_job *job, uint64_t *found, struct qs_err *e)
{
    uint64_t row_bytes = w->bytes / w->rows;
    struct scan s = { .w = w, .fn = fn };
    s.per_item = row_bytes >= PIECE_BYTES ? 1 : PIECE_BYTES / row_bytes;
    uint64_t region = s.per_item * PIECES_PER_THREAD * (pool ? qs_pool_threads(pool) : 1);
    for (s.first = 0; s.first < w->rows; s.first += s.rows) {
        s.rows = w->rows - s.first < region ? w->rows - s.first : region;
        size_t items = (size_t)((s.rows + s.per_item - 1) / s.per_item);
        if (pool)
            qs_pool_run(pool, QS_PRIO_JOB, items, 1, scan_rows, &s);
        else
            scan_rows(&s, 0, items, 0);
        int rc = qs_model_intact(m, e);
        if (rc == QS_OK)
            rc = qs_job_step(job, s.rows * row_bytes, e);
        if (rc != QS_OK)
            return rc;
    }
    *found = s.found;
    return QS_OK;
}

static void tell(const struct qs_tensor *t, uint64_t found, qs_model_check_fn *fn, void *ctx)
{
    char msg[160];
    bool plain = t->format->kind == QS_KIND_FLOAT;
    if (plain)
        snprintf(msg, sizeof msg, "%" PRIu64 " of %" PRIu64 " weights %s NaN or infinite", found, t->n, found == 1 ? "is" : "are");
    else
        snprintf(msg, sizeof msg, "%" PRIu64 " of %" PRIu64 " blocks of %s %s a scale that is NaN or infinite", found,
                 t->n / t->format->block, t->format->name, found == 1 ? "has" : "have");
    fn(ctx, t, plain ? "weights" : "scales", found, msg);
}

static bool readable(const struct qs_tensor *t)
{
    const struct qs_format_ops *ops = t->format && t->marks == 0 ? qs_format_ops(t->format->id) : NULL;
    return ops && ops->scan;
}

int qs_model_check_data(const struct qs_model *m, struct qs_pool *pool, struct qs_job *job, qs_model_check_fn *fn,
                        void *ctx, struct qs_err *e)
{
    uint64_t total = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        total += readable(&m->tensor[i]) ? m->tensor[i].size : 0;
    qs_job_phase(job, "read", "bytes", total);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_weight *w;
        if (!readable(t))
            continue;
        qs_job_item(job, "%s", t->name);
        int rc = qs_model_weight(m, t, &w, e);
        uint64_t found = 0;
        if (rc == QS_OK) {
            rc = scan_weight(m, w, qs_format_ops(t->format->id)->scan, pool, job, &found, e);
            qs_map_advise(w->map, t->offset, t->size, false);
            qs_weight_unref(w);
        }
        if (rc != QS_OK)
            return rc;
        if (found)
            tell(t, found, fn, ctx);
    }
    return QS_OK;
}
