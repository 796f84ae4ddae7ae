/* weight_cache.c - weights that are made, shared while somebody holds them.
 *
 * Owns the slots, and lives until the last weight that came out of it is gone. Holds its lock for a look, never while a
 * weight is made.
 */
#include <pthread.h>

#include "base/mem.h"
#include "core/model/weight_cache.h"

struct slot {
    struct qs_weight *w; /* no reference; a dying one is still here until forget() has the lock */
    bool making;
};

struct qs_weight_cache {
    pthread_mutex_t lock;
    pthread_cond_t made;
    size_t refs; /* the owner's, and one of each living weight */
    size_t n;
    struct slot slot[];
};

struct qs_weight_cache *qs_weight_cache_new(size_t slots)
{
    struct qs_weight_cache *c;
    if (slots > (SIZE_MAX - sizeof *c) / sizeof c->slot[0] ||
        !(c = qs_calloc(1, sizeof *c + slots * sizeof c->slot[0])))
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->made, NULL);
    c->refs = 1;
    c->n = slots;
    return c;
}

/* With the lock held; gives it back. */
static void drop(struct qs_weight_cache *c)
{
    const bool last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    pthread_cond_destroy(&c->made);
    pthread_mutex_destroy(&c->lock);
    qs_free(c);
}

void qs_weight_cache_free(struct qs_weight_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    drop(c);
}

bool qs_weight_cache_holds(struct qs_weight_cache *c, size_t i)
{
    pthread_mutex_lock(&c->lock);
    const bool held = c->slot[i].w != NULL;
    pthread_mutex_unlock(&c->lock);
    return held;
}

void qs_weight_cache_forget(struct qs_weight_cache *c, const struct qs_weight *w)
{
    pthread_mutex_lock(&c->lock);
    if (c->slot[w->slot].w == w)
        c->slot[w->slot].w = NULL;
    drop(c);
}

/* One more reference, unless the last one was just given back. */
static bool revive(struct qs_weight *w)
{
    int refs = __atomic_load_n(&w->refs, __ATOMIC_RELAXED);
    while (refs > 0)
        if (__atomic_compare_exchange_n(&w->refs, &refs, refs + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
    return false;
}

int qs_weight_cache_get(struct qs_weight_cache *c, size_t i, qs_weight_make_fn *make, void *ctx,
                        struct qs_weight **out, struct qs_err *e)
{
    struct slot *s = &c->slot[i];
    *out = NULL;
    pthread_mutex_lock(&c->lock);
    while (s->making)
        pthread_cond_wait(&c->made, &c->lock);
    if (s->w && revive(s->w)) {
        *out = s->w;
        pthread_mutex_unlock(&c->lock);
        return QS_OK;
    }
    s->w = NULL;
    s->making = true;
    pthread_mutex_unlock(&c->lock);
    const int rc = make(ctx, i, out, e);
    pthread_mutex_lock(&c->lock);
    s->making = false;
    if (rc == QS_OK) {
        (*out)->cache = c;
        (*out)->slot = i;
        s->w = *out;
        c->refs++;
    }
    pthread_cond_broadcast(&c->made);
    pthread_mutex_unlock(&c->lock);
    return rc;
}
