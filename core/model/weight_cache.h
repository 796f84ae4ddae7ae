/* weight_cache.h - weights that are made, not mapped: each is made once for all that hold a reference at one time.
 *
 * A slot holds no reference of its own: the bytes die with their last reader, and are made again when asked for later.
 * Any thread.
 */
#ifndef QS_CORE_WEIGHT_CACHE_H
#define QS_CORE_WEIGHT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "core/model/weight.h"

struct qs_weight_cache;

struct qs_weight_cache *qs_weight_cache_new(size_t slots); /* NULL: out of memory */
void qs_weight_cache_free(struct qs_weight_cache *c);      /* NULL allowed; weights that came out of it may live on */

/* A reference to the weight of slot i; where nobody holds one, `make` is called, on this thread, and others who want
 * the same slot wait for it. What make returns is returned. */
typedef int qs_weight_make_fn(void *ctx, size_t i, struct qs_weight **out, struct qs_err *e);
int qs_weight_cache_get(struct qs_weight_cache *c, size_t i, qs_weight_make_fn *make, void *ctx,
                        struct qs_weight **out, struct qs_err *e);

/* Whether somebody holds the weight of slot i just now. */
bool qs_weight_cache_holds(struct qs_weight_cache *c, size_t i);

/* weight.c: the last reference to w is gone. */
void qs_weight_cache_forget(struct qs_weight_cache *c, const struct qs_weight *w);

#endif
