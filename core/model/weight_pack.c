/* weight_pack.c - the second layout of stored weights: panels (kernels/panel.h), made once, before the first use.
 *
 * Panels are read at the speed of memory only where they lie on huge pages, and most tensors are no multiple of one:
 * so they lie one behind the other in arenas, which die with the last weight that lies there. What has no panels is copied
 * there for the same reason. One lock serves all weights, and is not held while one is packed; whoever wants the same one
 * waits, and then has it. Refuses nothing: what cannot be packed is multiplied as it is stored.
 */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/weight.h"
#include "kernels/panel.h"

#define ARENA_LEAST ((size_t)4 << 20) /* two huge pages; arenas double up to the most */
#define ARENA_MOST ((size_t)32 << 20)

struct qs_arena {
    uint8_t *base;
    size_t size, used, weights;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t packed = PTHREAD_COND_INITIALIZER; /* some weight */
static struct qs_arena *open_arena; /* the one that is filled just now; NULL: none */

static struct qs_arena *new_arena(size_t bytes)
{
    size_t size = open_arena && open_arena->size < ARENA_MOST ? 2 * open_arena->size : open_arena ? ARENA_MOST : ARENA_LEAST;
    size = size < bytes ? (bytes + ARENA_LEAST - 1) / ARENA_LEAST * ARENA_LEAST : size;
    struct qs_arena *a = qs_calloc(1, sizeof *a);
    if (a && (a->base = qs_alloc_large(size)))
        a->size = size;
    else {
        qs_free(a);
        a = NULL;
    }
    return a;
}

/* Room for one weight; the lock is held. */
static uint8_t *take(size_t bytes, struct qs_arena **of)
{
    struct qs_arena *a = open_arena;
    if (!a || a->size - a->used < bytes) {
        a = new_arena(bytes);
        if (!a)
            return NULL;
        if (!open_arena || a->size - bytes > open_arena->size - open_arena->used)
            open_arena = a;
    }
    uint8_t *at = a->base + a->used;
    a->used += (bytes + QS_PANEL_ALIGN - 1) / QS_PANEL_ALIGN * QS_PANEL_ALIGN;
    a->used = a->used < a->size ? a->used : a->size;
    a->weights++;
    *of = a;
    return at;
}

void qs_weight_unpack(struct qs_weight *w)
{
    if (!w->arena)
        return;
    pthread_mutex_lock(&lock);
    struct qs_arena *a = w->arena;
    w->arena = NULL;
    w->panels = w->copy = NULL;
    if (--a->weights == 0) {
        open_arena = open_arena == a ? NULL : open_arena;
        qs_free(a->base);
        qs_free(a);
    }
    pthread_mutex_unlock(&lock);
}

/* Types that are multiplied as they are stored: from a file's mapping, which lies on small pages, a copy is faster. */
static bool worth_a_copy(const struct qs_weight *w)
{
    const struct qs_dot_ops *dots = qs_dot_ops(w->format->id);
    return w->map && (dots->quant || dots->f32);
}

uint64_t qs_weight_panel_bytes(const struct qs_weight *w)
{
    if (!qs_panel_ops(w->format->id))
        return worth_a_copy(w) ? w->bytes : 0;
    return w->ne[2] * w->ne[3] * qs_panel_count((size_t)w->ne[1]) * qs_panel_bytes(w->format, (size_t)w->ne[0]);
}

uint64_t qs_weight_packed(const struct qs_weight *w) { return qs_weight_panels(w) || qs_weight_copy(w) ? qs_weight_panel_bytes(w) : 0; }

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

static void copy_some(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct packing *p = ctx;
    const size_t row_bytes = qs_format_row_bytes(p->w->format, (size_t)p->w->ne[0]);
    (void)thread;
    memcpy(p->to + begin * row_bytes, p->w->parts.p[0] + begin * row_bytes, (end - begin) * row_bytes);
}

/* Fills the room that was taken. */
static void fill(struct qs_weight *w, uint8_t *to, struct qs_pool *pool, enum qs_prio prio, uint64_t bytes)
{
    const struct packing p = { w, qs_panel_ops(w->format->id), to };
    if (p.ops) {
        qs_pool_run(pool, prio, (size_t)(bytes / qs_panel_bytes(w->format, (size_t)w->ne[0])), 4, pack_some, (void *)&p);
        __atomic_store_n(&w->panels, to, __ATOMIC_RELEASE);
    } else {
        qs_pool_run(pool, prio, (size_t)w->rows, 64, copy_some, (void *)&p);
        __atomic_store_n(&w->copy, to, __ATOMIC_RELEASE);
    }
}

int qs_weight_pack(struct qs_weight *w, struct qs_pool *pool, enum qs_prio prio, uint64_t most, uint64_t *took, struct qs_err *e)
{
    const uint64_t bytes = qs_weight_panel_bytes(w);
    uint8_t *to = NULL;
    *took = 0;
    if (bytes == 0)
        return QS_OK;
    pthread_mutex_lock(&lock);
    while (w->packing)
        pthread_cond_wait(&packed, &lock);
    const bool mine = !w->arena && bytes <= most;
    if (mine)
        to = take((size_t)bytes, &w->arena);
    w->packing = to != NULL;
    pthread_mutex_unlock(&lock);
    if (!mine)
        return QS_OK;
    if (!to)
        return qs_fail_mem(e, bytes, "weights in panels");
    fill(w, to, pool, prio, bytes);
    *took = bytes;
    pthread_mutex_lock(&lock);
    w->packing = false;
    pthread_cond_broadcast(&packed);
    pthread_mutex_unlock(&lock);
    return QS_OK;
}
