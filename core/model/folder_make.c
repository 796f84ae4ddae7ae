/* folder_make.c - the bytes of a tensor that does not lie in the files as GGUF has it.
 *
 * Owns nothing beyond the call: a new weight, in memory or, if large, in a scratch file, filled from the mapped
 * files. Which source row goes where is in the tensor's recipe (folder_internal.h), checked when the folder was
 * opened; here are only the loops. Any thread.
 */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/folder_internal.h"

#define MXFP4_BYTES 16u /* of 32 weights, without their scale */

/* Row r of a head of `width` rows whose halves rotate together, where ggml's "norm" rope has its neighbours: rows 0,
 * 1, 2, 3 ... are 0, width/2, 1, width/2 + 1 ... of the file. */
static uint64_t norm_order(uint64_t r, uint64_t width)
{
    const uint64_t i = r % width;
    return r - i + i % 2 * (width / 2) + i / 2;
}

static uint64_t source_row(const struct qs_folder_recipe *r, uint64_t row)
{
    return r->first + r->step * (r->heads ? norm_order(row, r->rows / r->heads) : row);
}

static int source(const struct qs_model *m, const struct qs_folder_found *x, const uint8_t **out, struct qs_map **map,
                  struct qs_err *e)
{
    const int rc = qs_model_map(m, x->part, map, e);
    if (!rc)
        /* inside: checked when the header was read, and the map has that size */
        *out = qs_map_data(*map) + x->t->offset;
    return rc;
}

/* n numbers of a plain type as floats, plus a constant. */
static void to_floats(const struct qs_st_dtype *type, const uint8_t *src, uint64_t n, float add, float *dst)
{
    if (type->type == QS_F64) {
        for (uint64_t i = 0; i < n; i++) {
            double v;
            memcpy(&v, src + i * sizeof v, sizeof v);
            dst[i] = (float)v;
        }
    } else {
        const struct qs_const_parts parts = { .p = { src } };
        qs_format_ops(type->type)->decode(&parts, 1, (size_t)n, dst, (size_t)n);
    }
    if (add > 0)
        for (uint64_t i = 0; i < n; i++)
            dst[i] += add;
}

/* One row, from numbers that lie `gap` numbers apart. */
static void gather(const uint8_t *src, uint64_t n, uint64_t gap, size_t width, uint8_t *dst)
{
    for (uint64_t i = 0; i < n; i++)
        memcpy(dst + i * width, src + i * gap * width, width);
}

/* A sheet of rows. `row`: room for one row of the source where it lies scattered. */
static void fill_rows(const struct qs_folder_tensor *t, const uint8_t *src, uint8_t *row, uint8_t *dst)
{
    const struct qs_folder_recipe *r = &t->r;
    const struct qs_st_dtype *type = r->src[0]->t->dtype;
    const size_t width = type->bits / 8, row_bytes = (size_t)r->cols * width;
    const size_t dst_bytes = (size_t)r->cols * (t->type == QS_F32 ? 4 : 2);
    for (uint64_t i = 0; i < r->rows; i++) {
        const uint64_t from = source_row(r, i);
        const uint8_t *at = src + from * row_bytes;
        if (r->transpose) {
            gather(src + from * width, r->cols, r->src_rows, width, row);
            at = row;
        }
        if (type->type == t->type && !(r->add > 0))
            memcpy(dst + i * dst_bytes, at, dst_bytes);
        else
            /* F32 alone is converted to */
            to_floats(type, at, r->cols, r->add, (float *)(void *)(dst + i * dst_bytes));
    }
}

static int make_rows(const struct qs_folder_tensor *t, const struct qs_model *m, uint8_t *dst, struct qs_err *e)
{
    const struct qs_folder_recipe *r = &t->r;
    const size_t width = r->src[0]->t->dtype->bits / 8;
    const uint64_t src_sheet = r->src_rows * r->cols * width, dst_sheet = t->size / r->sheets;
    uint8_t *row = qs_malloc((size_t)r->cols * width);
    if (!row)
        return qs_fail_mem(e, r->cols * width, "a row of weights");
    int rc = QS_OK;
    for (uint64_t s = 0; s < r->sheets && !rc; s++) {
        const uint8_t *src;
        struct qs_map *map;
        rc = source(m, r->src[r->n_src > 1 ? s : 0], &src, &map, e);
        if (rc)
            break;
        fill_rows(t, src + (r->n_src > 1 ? 0 : s * src_sheet), row, dst + s * dst_sheet);
        rc = qs_map_check(map, e);
    }
    qs_free(row);
    return rc;
}

/* 32 weights: in the file byte j holds 2j in its low half and 2j + 1 in its high one; GGUF has j and j + 16. */
static void repack_mxfp4(const uint8_t *src, uint8_t scale, uint8_t *dst)
{
    uint8_t code[2 * MXFP4_BYTES];
    for (size_t j = 0; j < MXFP4_BYTES; j++) {
        code[2 * j] = src[j] & 0x0F;
        code[2 * j + 1] = src[j] >> 4;
    }
    dst[0] = scale;
    for (size_t j = 0; j < MXFP4_BYTES; j++)
        dst[1 + j] = (uint8_t)(code[j] | code[j + MXFP4_BYTES] << 4);
}

static int make_mxfp4(const struct qs_folder_tensor *t, const struct qs_model *m, uint8_t *dst, struct qs_err *e)
{
    const struct qs_folder_recipe *r = &t->r;
    const uint64_t blocks = r->cols / 32;
    const uint8_t *code, *scale;
    struct qs_map *map[2];
    int rc = source(m, r->src[0], &code, &map[0], e);
    if (!rc)
        rc = source(m, r->src[1], &scale, &map[1], e);
    if (rc)
        return rc;
    for (uint64_t s = 0; s < r->sheets; s++)
        for (uint64_t i = 0; i < r->rows; i++) {
            const uint64_t first = (s * r->src_rows + source_row(r, i)) * blocks;
            for (uint64_t b = 0; b < blocks; b++, dst += 1 + MXFP4_BYTES)
                repack_mxfp4(code + (first + b) * MXFP4_BYTES, scale[first + b], dst);
        }
    rc = qs_map_check(map[0], e);
    return rc ? rc : qs_map_check(map[1], e);
}

/* Where the weight will lie: large ones in a scratch file, since all of a model may be held at once. */
static int room_for(const struct qs_folder_tensor *t, struct qs_weight **out, struct qs_parts *parts, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(t->type);
    struct qs_str dir = QS_STR_INIT;
    if (t->size <= QS_MADE_HEAP_MOST)
        return qs_weight_heap(f, t->ne, out, parts, e);
    int rc = qs_scratch_dir(&dir, e);
    if (!rc)
        rc = qs_weight_scratch(f, t->ne, dir.data, out, parts, e);
    qs_str_free(&dir);
    return rc;
}

int qs_folder_make(const struct qs_folder_tensor *t, const struct qs_model *m, struct qs_weight **out,
                   struct qs_err *e)
{
    struct qs_parts parts;
    int rc = room_for(t, out, &parts, e);
    if (rc)
        return rc;
    if (t->r.how == QS_FOLDER_VALUES)
        memcpy(parts.p[0], t->r.value, (size_t)t->size);
    else
        rc = t->r.how == QS_FOLDER_MXFP4 ? make_mxfp4(t, m, parts.p[0], e) : make_rows(t, m, parts.p[0], e);
    if (!rc)
        rc = qs_weight_intact(*out, e);
    if (rc) {
        qs_weight_unref(*out);
        *out = NULL;
    }
    return rc;
}
