/* writer_fill.c - one slice of the output: copied from the source or encoded, and looked at before it may be written.
 *
 * Refuses weights and scales that are NaN or infinite, in the source or made so by the type, and says where they are;
 * then the run is hopeless. Owns nothing; the descriptors of the source belong to the run.
 */
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/map.h"
#include "core/quant/bad_weights.h"
#include "core/quant/writer_internal.h"

/* Descriptor of one of the model's files, for copying; checked to be the file that was opened. */
static int open_source(struct qs_writing *r, unsigned part, struct qs_err *e)
{
    unsigned n_parts;
    const struct qs_gguf_part *p = &qs_model_parts(r->plan->model, &n_parts)[part];
    struct stat st;
    if (r->source[part] >= 0)
        return QS_OK;
    r->source[part] = open(p->path, O_RDONLY | O_CLOEXEC);
    if (r->source[part] < 0 || fstat(r->source[part], &st))
        return qs_fail_errno(e, errno, "cannot open %s", p->path);
    if ((uint64_t)st.st_dev != p->dev || (uint64_t)st.st_ino != p->ino)
        return qs_fail_advise(e, QS_EIO, QS_ADVISE_RESTART, "%s was replaced while it was read", p->path);
    return QS_OK;
}

/* Read from the file, or out of the weight where no file has its bytes as they are. */
static int copy_slice(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i,
                      const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    unsigned n_parts;
    const unsigned part = enc->tensor->part;
    p->len = (size_t)qs_slice_bytes(enc, s, i);
    if (enc->tensor->made) {
        memcpy(p->data, w->parts.p[0] + qs_slice_offset(s, i), p->len); /* formats of files have one component */
        return QS_OK;
    }
    const int rc = open_source(r, part, e);
    if (rc)
        return rc;
    return qs_pread_all(r->source[part], p->data, p->len, enc->tensor->offset + qs_slice_offset(s, i),
                        qs_model_parts(r->plan->model, &n_parts)[part].path, e);
}

static int encode_slice(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i,
                        const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    const uint64_t row = i * s->rows_per, n = qs_min_u64(s->rows_per, enc->tensor->rows - row);
    p->len = (size_t)qs_slice_bytes(enc, s, i);
    if (w->map && row + n < enc->tensor->rows) { /* let the system read the next slice meanwhile */
        const uint8_t *next = qs_weight_row(w, row + n).p[0]; /* mapped weights have one component */
        qs_map_advise(w->map, (uint64_t)(next - qs_map_data(w->map)), n * (w->bytes / w->rows), true);
    }
    return qs_encode_rows(r->encoder, QS_PRIO_JOB, w, row, n, enc->type, enc->importance, p->data, &p->sums, NULL, e);
}

/* Bytes that were made beforehand. Those that are only true together with other tensors (AWQ) are no approximation of the
 * source's tensor alone: nothing is summed. */
int qs_writing_made_sums(struct qs_writing *r, size_t tensor, uint64_t row, uint64_t n, const struct qs_weight *w,
                         const struct qs_weight *made, uint8_t *dst, struct qs_error_sums *sums, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    return qs_encode_made(r->encoder, QS_PRIO_JOB, w, made, row, n, enc->importance, dst, enc->stored->group ? NULL : sums, e);
}

static int stored_slice(struct qs_writing *r, size_t tensor, const struct qs_slices *s, uint64_t i,
                        const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    struct qs_weight *made;
    const uint64_t row = i * s->rows_per, n = qs_min_u64(s->rows_per, enc->tensor->rows - row);
    p->len = (size_t)qs_slice_bytes(enc, s, i);
    int rc = qs_store_weight(r->plan->store, enc->stored, &made, e);
    if (rc)
        return rc;
    rc = qs_writing_made_sums(r, tensor, row, n, w, made, p->data, &p->sums, e);
    qs_weight_unref(made);
    return rc;
}

/* Slices are made of one component: those of files have no more, and the encoder refuses to make others. */
static void scan_slice(const struct qs_writing *r, const struct qs_format *f, const struct qs_piece *p, double limit,
                       struct qs_scan *out)
{
    const struct qs_const_parts parts = { .p = { p->data } };
    const uint64_t blocks = p->len / f->component[0].bytes_per_block;
    if (limit > 0)
        qs_scan_values(r->pool, f, parts, blocks, limit, out);
    else
        qs_scan_stored(r->pool, f, parts, blocks, out);
}

/* What slice `i`, now in p, and those behind it became holds NaN or infinities: counts them. */
static int tell_overflow(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i,
                         const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    const uint64_t cols = enc->tensor->ne[0];
    struct qs_scan bad, row;
    scan_slice(r, qs_format_by_id(enc->type), p, DBL_MAX, &bad);
    bad.first += i * s->rows_per * cols;
    bad.n = p->sums.nonfinite;
    qs_scan_values(NULL, w->format, qs_weight_row(w, bad.first / cols), cols / w->format->block, DBL_MAX, &row);
    int rc = qs_weight_intact(w, e);
    for (uint64_t k = i + 1; !rc && k < s->n; k++) {
        memset(&p->sums, 0, sizeof p->sums);
        rc = encode_slice(r, enc, s, k, w, p, e);
        bad.n += p->sums.nonfinite;
        if (!rc)
            rc = qs_job_step(r->job, 0, e);
    }
    return rc ? rc : qs_bad_result(enc->tensor, enc->type, &bad, "would be NaN or infinite", row.largest,
                                   enc->importance,
                                   e);
}

/* Says where the first bad weight is, and how many there are in the whole tensor. */
static int tell_bad_weights(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i,
                            const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    unsigned n_parts;
    const struct qs_tensor *t = enc->tensor;
    struct qs_scan bad;
    int rc = qs_scan_weight(w, r->pool, r->job, 0, false, &bad, e);
    if (!rc && bad.n)
        rc = qs_bad_source(t, qs_model_parts(r->plan->model, &n_parts)[t->part].path, &bad, e);
    if (!rc && enc->copy)
        rc = qs_fail_advise(e, QS_EIO, QS_ADVISE_RESTART, "tensor %s was changed while it was read", t->name);
    if (rc)
        return rc;
    if (p->sums.nonfinite)
        return tell_overflow(r, enc, s, i, w, p, e);
    rc = qs_scan_weight(w, r->pool, r->job, QS_BAD_TOO_LARGE, false, &bad, e);
    return rc ? rc : qs_bad_result(t, enc->type, &bad, "would be lost", bad.largest, enc->importance, e);
}

/* Made beforehand: what is no number stands in the source or in the store, and is not made anew. */
static int check_stored(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_weight *w,
                        const struct qs_piece *p, struct qs_err *e)
{
    unsigned n_parts;
    struct qs_scan bad;
    scan_slice(r, qs_format_by_id(enc->type), p, DBL_MAX, &bad);
    if (!bad.n && !p->sums.nonfinite)
        return QS_OK;
    r->hopeless = true;
    if (bad.n)
        return qs_fail(e, QS_EFORMAT, "%s: the calibrated tensor holds %llu weights that are NaN or infinite", enc->tensor->name,
                       (unsigned long long)bad.n);
    const int rc = qs_scan_weight(w, r->pool, r->job, 0, false, &bad, e);
    return rc ? rc : qs_bad_source(enc->tensor, qs_model_parts(r->plan->model, &n_parts)[enc->tensor->part].path, &bad, e);
}

/* Is the slice in p fit to be written? Copied: no scale or weight is NaN or infinite; encoded: nor lost by its size. */
static bool slice_is_good(const struct qs_writing *r, const struct qs_encoding *enc, const struct qs_piece *p)
{
    struct qs_scan bad = { 0 };
    if (!enc->copy)
        return !p->sums.nonfinite && !qs_bad_lost(qs_format_by_id(enc->type), p->sums.max_abs);
    if (enc->tensor->format)
        scan_slice(r, enc->tensor->format, p, 0, &bad);
    return !bad.n;
}

static int check_slice(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i,
                       const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    if (slice_is_good(r, enc, p))
        return QS_OK;
    struct qs_weight *own = NULL; /* of a copied tensor: that is not read through a mapping */
    int rc = w ? QS_OK : qs_model_weight(r->plan->model, enc->tensor, &own, e);
    if (!rc)
        rc = tell_bad_weights(r, enc, s, i, w ? w : own, p, e);
    qs_weight_unref(own);
    r->hopeless = rc == QS_EFORMAT;
    return rc;
}

int qs_writing_fill_slice(struct qs_writing *r, size_t tensor, uint64_t i, const struct qs_weight *w,
                          struct qs_piece *p, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const struct qs_slices *s = &r->cut[tensor];
    if (enc->stored) {
        const int rc = stored_slice(r, tensor, s, i, w, p, e);
        return rc ? rc : check_stored(r, enc, w, p, e);
    }
    const int rc = enc->copy ? copy_slice(r, enc, s, i, w, p, e) : encode_slice(r, enc, s, i, w, p, e);
    return rc ? rc : check_slice(r, enc, s, i, w, p, e);
}
