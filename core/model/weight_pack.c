/* weight_pack.c - the second layout of stored weights: panels (kernels/panel.h), made once, before the first use.
 *
 * One lock serves all weights: whoever comes second waits, and then has them. Refuses nothing: what cannot be packed is
 * multiplied as it is stored.
 */
#include <pthread.h>

#include "base/mem.h"
#include "core/model/weight.h"
#include "kernels/panel.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t qs_weight_panel_bytes(const struct qs_weight *w)
{
    if (!qs_panel_ops(w->format->id))
        return 0;
    return w->ne[2] * w->ne[3] * qs_panel_count((size_t)w->ne[1]) * qs_panel_bytes(w->format, (size_t)w->ne[0]);
}

struct packing {
    const struct qs_weight *w;
    const struct qs_panel_ops *ops;
    uint8_t *to;
};

static void pack_some(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct packing *p = ctx;
    const size_t cols = (size_t)p->w->ne[0], rows = (size_t)p->w->ne[1], per_matrix = qs_panel_count(rows);
    const size_t row_bytes = qs_format_row_bytes(p->w->format, cols), bytes = qs_panel_bytes(p->w->format, cols);
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i % per_matrix * QS_PANEL_ROWS, n = rows - at < QS_PANEL_ROWS ? rows - at : QS_PANEL_ROWS;
        const struct qs_const_parts from = qs_weight_row(p->w, i / per_matrix * rows + at);
        p->ops->pack(from.p[0], row_bytes, n, cols, p->to + i * bytes);
    }
}

static int pack(struct qs_weight *w, struct qs_pool *pool, enum qs_prio prio, uint64_t bytes, struct qs_err *e)
{
    const struct packing p = { w, qs_panel_ops(w->format->id), qs_alloc_large((size_t)bytes) };
    if (!p.to)
        return qs_fail_mem(e, bytes, "weights in panels");
    qs_pool_run(pool, prio, (size_t)(bytes / qs_panel_bytes(w->format, (size_t)w->ne[0])), 4, pack_some, (void *)&p);
    w->panels = p.to;
    return QS_OK;
}

int qs_weight_pack(struct qs_weight *w, struct qs_pool *pool, enum qs_prio prio, uint64_t most, uint64_t *took, struct qs_err *e)
{
    const uint64_t bytes = qs_weight_panel_bytes(w);
    int rc = QS_OK;
    *took = 0;
    if (bytes == 0)
        return QS_OK;
    pthread_mutex_lock(&lock);
    if (!w->panels && bytes <= most) {
        rc = pack(w, pool, prio, bytes, e);
        *took = rc == QS_OK ? bytes : 0;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
