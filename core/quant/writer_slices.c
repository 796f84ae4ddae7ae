/* writer_slices.c - how tensors are cut into the pieces that are made, written and journalled one by one.
 *
 * Pure but for the lists of a run: the shape of a tensor and its type decide, so that every run of the same plan makes
 * the same pieces with the same bytes, whatever the number of threads.
 */
#include "base/mem.h"
#include "core/quant/writer_internal.h"

struct qs_slices qs_slices_of(const struct qs_encoding *enc)
{
    struct qs_slices s = { .bytes_per = QS_COPY_BYTES };
    const struct qs_format *f = qs_format_by_id(enc->type);
    if (enc->copy && f) {
        const uint64_t block = qs_format_row_bytes(f, f->block);
        s.bytes_per = QS_COPY_BYTES / block * block;
    }
    if (!enc->copy) {
        const uint64_t cols = enc->tensor->ne[0];
        s.rows_per = cols >= QS_SLICE_WEIGHTS ? 1 : QS_SLICE_WEIGHTS / cols;
        s.bytes_per = s.rows_per * qs_format_row_bytes(f, (size_t)cols);
    }
    s.n = (enc->bytes + s.bytes_per - 1) / s.bytes_per;
    return s;
}

uint64_t qs_slice_offset(const struct qs_slices *s, uint64_t i)
{
    return i * s->bytes_per;
}

uint64_t qs_slice_bytes(const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i)
{
    return qs_min_u64(s->bytes_per, enc->bytes - i * s->bytes_per);
}

/* Progress is counted in weights; tensors of unknown types count what their shape says. */
uint64_t qs_slice_weights(const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i)
{
    if (!enc->copy)
        return qs_min_u64(s->rows_per, enc->tensor->rows - i * s->rows_per) * enc->tensor->ne[0];
    return i + 1 < s->n ? enc->tensor->n / s->n : enc->tensor->n - enc->tensor->n / s->n * (s->n - 1);
}

uint64_t qs_slices_largest(const struct qs_plan *plan)
{
    uint64_t most = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const struct qs_slices s = qs_slices_of(&plan->enc[i]);
        const uint64_t b = s.n ? qs_slice_bytes(&plan->enc[i], &s, 0) : 0;
        most = b > most ? b : most;
    }
    return most;
}

uint64_t qs_slices_widest_row(const struct qs_plan *plan)
{
    uint64_t most = 1;
    for (size_t i = 0; i < plan->n; i++)
        if (!plan->enc[i].copy && plan->enc[i].tensor->ne[0] > most)
            most = plan->enc[i].tensor->ne[0];
    return most;
}

int qs_writing_cut(struct qs_writing *r, struct qs_err *e)
{
    r->cut = qs_calloc(r->plan->n + 1, sizeof *r->cut);
    if (!r->cut)
        return qs_fail_mem(e, r->plan->n * sizeof *r->cut, "the list of slices");
    for (size_t i = 0; i < r->plan->n; i++) {
        r->cut[i] = qs_slices_of(&r->plan->enc[i]);
        r->cut[i].first = r->n_slices;
        r->n_slices += (size_t)r->cut[i].n;
    }
    r->done = qs_calloc(r->n_slices + 1, sizeof *r->done);
    r->sums = qs_calloc(r->n_slices + 1, sizeof *r->sums);
    if (!r->done || !r->sums)
        return qs_fail_mem(e, r->n_slices * sizeof *r->sums, "the list of slices");
    return QS_OK;
}
