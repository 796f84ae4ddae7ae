/* awq_room.c - owns the working memory of AWQ's searches; refuses types that have no encoder. */
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq_internal.h"
#include "kernels/blas.h"

static size_t rounded(size_t n) { return (n + 63) / 64 * 64; }

int qs_awq_rooms_new(const struct qs_format *f, size_t cols, const struct qs_pool *pool, struct qs_awq_rooms *out,
                     struct qs_err *e)
{
    *out = (struct qs_awq_rooms){ .n = qs_pool_threads(pool) };
    if (!f || f->n_components != 1 || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)) || !qs_format_ops(f->id)->fit)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s cannot be encoded: no scales can be searched for it",
                       f ? f->name : "?");
    if (cols == 0 || cols % f->block != 0)
        return qs_fail(e, QS_EINVAL, "rows of %zu weights do not fill the blocks of %s", cols, f->name);
    const size_t floats = rounded(QS_AWQ_PANEL * cols * sizeof(float));
    const size_t packed = rounded(QS_AWQ_PANEL * qs_format_row_bytes(f, cols));
    const size_t each = 3 * floats + packed + rounded(qs_format_scratch(f, QS_AWQ_PANEL, cols));
    out->room = qs_calloc(out->n, sizeof *out->room);
    out->memory = qs_alloc_aligned(64, out->n * each);
    if (!out->room || !out->memory) {
        qs_fail_mem(e, out->n * each, "a search of scales");
        qs_awq_rooms_free(out);
        return QS_ENOMEM;
    }
    for (unsigned i = 0; i < out->n; i++) {
        uint8_t *at = (uint8_t *)out->memory + i * each;
        out->room[i] = (struct qs_awq_room){ .x = (float *)(void *)at, .made = (float *)(void *)(at + floats),
                                             .product = (float *)(void *)(at + 2 * floats), .bytes = at + 3 * floats,
                                             .scratch = at + 3 * floats + packed };
    }
    return QS_OK;
}

void qs_awq_rooms_free(struct qs_awq_rooms *r)
{
    qs_free(r->room);
    qs_free(r->memory);
    *r = (struct qs_awq_rooms){ 0 };
}

void qs_awq_there_and_back(const struct qs_format *f, const struct qs_awq_room *room, size_t n, size_t cols,
                           const float *weight)
{
    const struct qs_rows in = { room->x, n, cols, cols, weight };
    const struct qs_parts to = { { room->bytes } };
    const struct qs_const_parts from = { { room->bytes } };
    qs_format_encode(f, &in, &to, room->scratch);
    qs_format_ops(f->id)->decode(&from, n, cols, room->made, cols);
}

void qs_awq_row_errors(const float *h, const struct qs_awq_room *room, size_t n, size_t cols, double *error)
{
    /* Sizes were checked when the Hessian was made: they fit. */
    (void)qs_blas_gemm_f32(n, cols, cols, 1, room->made, cols, h, cols, 0, room->product, cols, NULL);
    for (size_t r = 0; r < n; r++) {
        const float *d = room->made + r * cols, *p = room->product + r * cols;
        double sum = 0;
        for (size_t j = 0; j < cols; j++)
            sum += (double)d[j] * (double)p[j];
        error[r] = sum;
    }
}

void qs_awq_importance(const struct qs_hessian *h, const float *scale, float *out)
{
    double mean = 0;
    for (size_t j = 0; j < h->cols; j++) {
        const float s = scale ? scale[j] : 1, d = h->h[j * h->cols + j];
        out[j] = d / (s * s);
        mean += (double)out[j] / (double)h->cols;
    }
    const float least = mean > 0 ? (float)(mean * 1e-6) : 1;
    for (size_t j = 0; j < h->cols; j++)
        if (!(out[j] > least))
            out[j] = least;
}
