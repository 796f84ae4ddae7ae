/* weight.c - immutable, reference-counted tensors of stored bytes.
 *
 * Owns a reference on the mapping underneath (of a model's file, or of a scratch file), or one heap block that holds all
 * components one after the other (each aligned to 64 bytes). Refuses shapes whose bytes overflow, rows that are no multiple
 * of the block, ranges outside of the mapping. Counting references is atomic; everything else is read-only once the weight is
 * shared.
 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/weight.h"
#include "core/model/weight_cache.h"

#define HEAP_ALIGN 64u

/* rows and the bytes of every component; QS_EINVAL for shapes that overflow or are no multiple of the block. */
static int measure(const struct qs_format *f, const uint64_t ne[4], uint64_t *rows, uint64_t bytes[QS_MAX_COMPONENTS],
                   uint64_t *total, struct qs_err *e)
{
    *rows = 1;
    *total = 0;
    if (ne[0] == 0 || ne[0] % f->block != 0)
        return qs_fail(e, QS_EINVAL, "rows of %" PRIu64 " weights are no multiple of the block of %s (%u)", ne[0],
                       f->name, (unsigned)f->block);
    bool ok = true;
    for (int d = 1; d < 4; d++)
        ok = ok && ne[d] > 0 && qs_mul_u64(*rows, ne[d], rows);
    for (unsigned c = 0; ok && c < f->n_components; c++)
        ok = qs_mul_u64(ne[0] / f->block, f->component[c].bytes_per_block, &bytes[c]) &&
             qs_mul_u64(bytes[c], *rows, &bytes[c]) && qs_add_u64(*total, bytes[c], total);
    if (!ok || *total > SIZE_MAX / 2)
        return qs_fail(e, QS_EINVAL,
                       "a tensor of %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64 " in %s is impossible", ne[0],
                       ne[1], ne[2], ne[3], f->name);
    return QS_OK;
}

static int new_weight(const struct qs_format *f, const uint64_t ne[4], uint64_t bytes[QS_MAX_COMPONENTS],
                      struct qs_weight **out, struct qs_err *e)
{
    uint64_t rows, total;
    int rc = measure(f, ne, &rows, bytes, &total, e);
    if (rc != QS_OK)
        return rc;
    struct qs_weight *w = qs_calloc(1, sizeof *w);
    if (!w)
        return qs_fail_mem(e, sizeof *w, "a weight");
    w->format = f;
    memcpy(w->ne, ne, sizeof w->ne);
    w->rows = rows;
    w->bytes = total;
    w->refs = 1;
    *out = w;
    return QS_OK;
}

int qs_weight_mapped(const struct qs_format *f, const uint64_t ne[4], struct qs_map *map, uint64_t off,
                     struct qs_weight **out, struct qs_err *e)
{
    *out = NULL;
    uint64_t bytes[QS_MAX_COMPONENTS] = { 0 };
    if (f->n_components != 1)
        return qs_fail(e, QS_EINVAL, "%s has several components: they are not one range of a file", f->name);
    struct qs_weight *w;
    int rc = new_weight(f, ne, bytes, &w, e);
    if (rc != QS_OK)
        return rc;
    uint64_t size = qs_map_size(map);
    if (off > size || w->bytes > size - off) {
        rc = qs_fail(e, QS_EFORMAT,
                     "a tensor of %" PRIu64 " bytes at %" PRIu64 " does not fit into %" PRIu64 " mapped bytes",
                     w->bytes, off, size);
        qs_free(w);
        return rc;
    }
    w->map = qs_map_ref(map);
    w->parts.p[0] = qs_map_data(map) + off;
    *out = w;
    return QS_OK;
}

int qs_weight_heap(const struct qs_format *f, const uint64_t ne[4], struct qs_weight **out, struct qs_parts *parts,
                   struct qs_err *e)
{
    *out = NULL;
    uint64_t bytes[QS_MAX_COMPONENTS] = { 0 }, room = 0;
    struct qs_weight *w;
    int rc = new_weight(f, ne, bytes, &w, e);
    if (rc != QS_OK)
        return rc;
    for (unsigned c = 0; c < f->n_components; c++)
        room += (bytes[c] + HEAP_ALIGN - 1) & ~(uint64_t)(HEAP_ALIGN - 1); /* bytes <= SIZE_MAX / 2 */
    uint8_t *heap = qs_alloc_aligned(HEAP_ALIGN, (size_t)room);
    if (!heap) {
        qs_free(w);
        return qs_fail_mem(e, room, "a weight");
    }
    memset(heap, 0, (size_t)room);
    w->heap = heap;
    *parts = (struct qs_parts){ { NULL } };
    for (unsigned c = 0; c < f->n_components; c++) {
        parts->p[c] = heap;
        w->parts.p[c] = heap;
        heap += (bytes[c] + HEAP_ALIGN - 1) & ~(uint64_t)(HEAP_ALIGN - 1);
    }
    *out = w;
    return QS_OK;
}

int qs_weight_scratch(const struct qs_format *f, const uint64_t ne[4], const char *dir, struct qs_weight **out,
                      struct qs_parts *parts, struct qs_err *e)
{
    *out = NULL;
    uint64_t bytes[QS_MAX_COMPONENTS] = { 0 };
    struct qs_weight *w;
    uint8_t *data;
    if (f->n_components != 1)
        return qs_fail(e, QS_EINVAL, "%s has several components: they are not one range of a file", f->name);
    int rc = new_weight(f, ne, bytes, &w, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_map_scratch(dir, w->bytes, &w->map, &data, e);
    if (rc) {
        qs_free(w);
        return rc;
    }
    *parts = (struct qs_parts){ { data } };
    w->parts.p[0] = data;
    *out = w;
    return QS_OK;
}

struct qs_weight *qs_weight_ref(struct qs_weight *w)
{
    __atomic_add_fetch(&w->refs, 1, __ATOMIC_RELAXED);
    return w;
}

void qs_weight_unref(struct qs_weight *w)
{
    if (!w || __atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (w->cache)
        qs_weight_cache_forget(w->cache, w);
    qs_weight_unpack(w);
    qs_map_unref(w->map);
    qs_free(w->heap);
    qs_free(w);
}

struct qs_const_parts qs_weight_row(const struct qs_weight *w, uint64_t row)
{
    struct qs_const_parts p = w->parts;
    uint64_t blocks = w->ne[0] / w->format->block;
    for (unsigned c = 0; c < w->format->n_components; c++)
        p.p[c] += row * blocks * w->format->component[c].bytes_per_block;
    return p;
}

int qs_weight_decode(const struct qs_weight *w, uint64_t row, uint64_t n, float *dst, struct qs_err *e)
{
    const struct qs_format_ops *ops = qs_format_ops(w->format->id);
    if (!ops || !ops->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "%s cannot be turned into floats", w->format->name);
    if (row > w->rows || n > w->rows - row)
        return qs_fail(e, QS_EINVAL, "rows %" PRIu64 " to %" PRIu64 " of a tensor of %" PRIu64 " rows", row, row + n,
                       w->rows);
    struct qs_const_parts p = qs_weight_row(w, row);
    ops->decode(&p, (size_t)n, (size_t)w->ne[0], dst, (size_t)w->ne[0]);
    return QS_OK;
}

int qs_weight_intact(const struct qs_weight *w, struct qs_err *e)
{
    return w->map ? qs_map_check(w->map, e) : QS_OK;
}
