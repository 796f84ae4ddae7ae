/* weight.h - one immutable, reference-counted tensor of stored bytes.
 *
 * Model, candidate, engines and device caches hold references; a swap is a new reference; the bytes die with their last
 * reader. Components point into a mapping (kept alive by the weight), or into memory the weight owns.
 */
#ifndef QS_CORE_WEIGHT_H
#define QS_CORE_WEIGHT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/map.h"
#include "base/pool.h"
#include "kernels/format.h"

struct qs_weight {
    const struct qs_format *format;
    uint64_t ne[4];              /* cols, rows, experts, 1 */
    uint64_t rows;               /* ne[1]*ne[2]*ne[3] */
    struct qs_const_parts parts; /* component 0.. of row 0 */
    uint64_t bytes;              /* all components */
    const uint8_t *panels;       /* the second layout (kernels/panel.h), NULL: not made; set once, read by qs_weight_panels */
    const uint8_t *copy;         /* the stored bytes again, in memory that is read faster; likewise */
    /* private */
    struct qs_map *map;
    void *heap;
    struct qs_arena *arena;      /* where its panels lie; with `packing` under the lock of weight_pack.c */
    bool packing;                /* somebody fills them just now */
    int refs;
    struct qs_weight_cache *cache; /* where others find it meanwhile, and its slot there (weight_cache.h) */
    size_t slot;
};

/* New weight over bytes of `map` at `off` (one component); takes its own reference on the map. Checks the range. */
int qs_weight_mapped(const struct qs_format *f, const uint64_t ne[4], struct qs_map *map, uint64_t off,
                     struct qs_weight **out, struct qs_err *e);
/* New weight with zeroed heap memory of its own; fill it through `parts` before sharing it. */
int qs_weight_heap(const struct qs_format *f, const uint64_t ne[4], struct qs_weight **out, struct qs_parts *parts,
                   struct qs_err *e);
/* The same in a scratch file without a name in the folder `dir` (qs_map_scratch): pageable, for large ones. One
 * component. */
int qs_weight_scratch(const struct qs_format *f, const uint64_t ne[4], const char *dir, struct qs_weight **out,
                      struct qs_parts *parts, struct qs_err *e);
struct qs_weight *qs_weight_ref(struct qs_weight *w);  /* atomic */
void qs_weight_unref(struct qs_weight *w);             /* NULL allowed */

/* Pointers to row `row` of every component. */
struct qs_const_parts qs_weight_row(const struct qs_weight *w, uint64_t row);
/* Rows [row, row+n) as floats, cols per row, stride = cols. QS_EUNSUPPORTED when the format has no decoder. */
int qs_weight_decode(const struct qs_weight *w, uint64_t row, uint64_t n, float *dst, struct qs_err *e);
/* Makes the panels that this level multiplies faster, or, of a mapped weight of a type without panels, a copy, once for all
 * who hold the weight, on the pool's threads. `most`: bytes that they may take; *took: those they took now. QS_OK without either:
 * nothing is faster at this level, or it would take more than `most`.
 * QS_ENOMEM. The stored bytes stay the truth; the panels die with the weight. Any thread. */
int qs_weight_pack(struct qs_weight *w, struct qs_pool *pool, enum qs_prio prio, uint64_t most, uint64_t *took,
                   struct qs_err *e);
uint64_t qs_weight_packed(const struct qs_weight *w); /* bytes that they do take */
static inline const uint8_t *qs_weight_panels(const struct qs_weight *w)
{
    return __atomic_load_n(&w->panels, __ATOMIC_ACQUIRE);
}
static inline const uint8_t *qs_weight_copy(const struct qs_weight *w)
{
    return __atomic_load_n(&w->copy, __ATOMIC_ACQUIRE);
}
/* What freeing a weight does with its panels. */
void qs_weight_unpack(struct qs_weight *w);
/* Bytes that its panels or its copy take or would take at this level; 0: it has none. */
uint64_t qs_weight_panel_bytes(const struct qs_weight *w);

/* QS_EIO when the bytes underneath were lost (file cut short). */
int qs_weight_intact(const struct qs_weight *w, struct qs_err *e);

#endif
