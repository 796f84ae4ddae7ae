/* writer.c - carries a plan out: layout, resume, the encode loop, the rename. See writer.h for the design.
 *
 * Owns the part files, the journal and the sink while it runs. Slices are cut by the tensor's shape alone, so that
 * every run of the same plan makes the same pieces with the same bytes, whatever the number of threads.
 */
#include "core/quant/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/quant/bad_weights.h"
#include "core/quant/journal.h"
#include "core/quant/outcheck.h"
#include "core/quant/outfiles.h"
#include "core/quant/sink.h"

#define SLICE_WEIGHTS (UINT64_C(1) << 20) /* encoded per piece: half a second at worst */
#define COPY_BYTES (UINT64_C(4) << 20)    /* copied per piece, in whole blocks */
#define LAYOUT_VERSION 2                  /* grows when tensors are cut in another way */
#define VERIFY_BYTES (UINT64_C(256) << 20)/* of finished output read back when a run goes on */

struct slices {            /* how one tensor is cut */
    uint64_t rows_per;     /* encoded */
    uint64_t bytes_per;    /* of every slice but the last */
    uint64_t n;
    size_t first;          /* index of slice 0 in run.done / run.sums */
};

struct run {
    const struct qs_plan *plan;
    const struct qs_writer_args *args;
    struct qs_pool *pool;
    struct qs_job *job;
    struct qs_outfiles *out;
    struct qs_journal journal;
    struct slices *cut;    /* per tensor */
    bool *done;            /* per slice */
    struct qs_error_sums *sums;
    size_t n_slices;
    char **part;           /* per output file */
    unsigned n_sources;
    int *source;           /* per file of the model: descriptor for copying, -1: not open yet */
    bool committed;        /* every byte was durable: only renaming is left */
    bool renamed;          /* the output stands under its name: the journal has served */
    bool fresh;
    bool hopeless;         /* this run can never be finished: the source, or what became of it, is no number */
    unsigned parts_made;   /* part files this run has made or taken over */
    uint64_t resumed;
    struct qs_encoder *encoder;
    struct qs_sink *sink;
    struct qs_error_sums total;
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* ---- slices ---- */

static struct slices cut_tensor(const struct qs_encoding *enc)
{
    struct slices s = { .bytes_per = COPY_BYTES };
    const struct qs_format *f = qs_format_by_id(enc->type);
    if (enc->copy && f) {
        const uint64_t block = qs_format_row_bytes(f, f->block);
        s.bytes_per = COPY_BYTES / block * block;
    }
    if (!enc->copy) {
        const uint64_t cols = enc->tensor->ne[0];
        s.rows_per = cols >= SLICE_WEIGHTS ? 1 : SLICE_WEIGHTS / cols;
        s.bytes_per = s.rows_per * qs_format_row_bytes(f, (size_t)cols);
    }
    s.n = (enc->bytes + s.bytes_per - 1) / s.bytes_per;
    return s;
}

static uint64_t slice_offset(const struct slices *s, uint64_t i)
{
    return i * s->bytes_per;
}

static uint64_t slice_bytes(const struct qs_encoding *enc, const struct slices *s, uint64_t i)
{
    return min_u64(s->bytes_per, enc->bytes - i * s->bytes_per);
}

/* Progress is counted in weights; tensors of unknown types count what their shape says. */
static uint64_t slice_weights(const struct qs_encoding *enc, const struct slices *s, uint64_t i)
{
    if (!enc->copy)
        return min_u64(s->rows_per, enc->tensor->rows - i * s->rows_per) * enc->tensor->ne[0];
    return i + 1 < s->n ? enc->tensor->n / s->n : enc->tensor->n - enc->tensor->n / s->n * (s->n - 1);
}

static uint64_t largest_slice(const struct qs_plan *plan)
{
    uint64_t most = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const struct slices s = cut_tensor(&plan->enc[i]);
        const uint64_t b = s.n ? slice_bytes(&plan->enc[i], &s, 0) : 0;
        most = b > most ? b : most;
    }
    return most;
}

static uint64_t widest_row(const struct qs_plan *plan)
{
    uint64_t most = 1;
    for (size_t i = 0; i < plan->n; i++)
        if (!plan->enc[i].copy && plan->enc[i].tensor->ne[0] > most)
            most = plan->enc[i].tensor->ne[0];
    return most;
}

static int cut_all(struct run *r, struct qs_err *e)
{
    r->cut = qs_calloc(r->plan->n + 1, sizeof *r->cut);
    if (!r->cut)
        return qs_fail_mem(e, r->plan->n * sizeof *r->cut, "the list of slices");
    for (size_t i = 0; i < r->plan->n; i++) {
        r->cut[i] = cut_tensor(&r->plan->enc[i]);
        r->cut[i].first = r->n_slices;
        r->n_slices += (size_t)r->cut[i].n;
    }
    r->done = qs_calloc(r->n_slices + 1, sizeof *r->done);
    r->sums = qs_calloc(r->n_slices + 1, sizeof *r->sums);
    if (!r->done || !r->sums)
        return qs_fail_mem(e, r->n_slices * sizeof *r->sums, "the list of slices");
    return QS_OK;
}

/* ---- resume ---- */

static int work_key(struct run *r, struct qs_key *out, struct qs_err *e)
{
    struct qs_key model;
    const int rc = qs_model_key(r->plan->model, &model, e);
    if (rc)
        return rc;
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "a hash");
    const uint64_t head[5] = { QS_ENCODER_VERSION, LAYOUT_VERSION, SLICE_WEIGHTS, COPY_BYTES, r->out->n_files };
    qs_hash_add(h, head, sizeof head);
    qs_hash_add(h, &model, sizeof model);
    if (r->plan->imatrix)
        qs_hash_add(h, &r->plan->imatrix->key, sizeof r->plan->imatrix->key);
    for (size_t i = 0; i < r->plan->n; i++) {
        const int32_t enc[3] = { r->plan->enc[i].type, r->plan->enc[i].copy, r->plan->enc[i].importance != NULL };
        qs_hash_add(h, enc, sizeof enc);
    }
    for (unsigned i = 0; i < r->out->n_files; i++)
        qs_hash_add(h, r->out->file[i].header.data, r->out->file[i].header.len);
    *out = qs_hash_end(h);
    return QS_OK;
}

/* Is the record's slice really in the part file? Reads it back. */
static bool slice_is_there(struct run *r, const struct qs_record *rec, int fd, uint8_t *buf)
{
    const struct qs_encoding *enc = &r->plan->enc[rec->tensor];
    const struct slices *s = &r->cut[rec->tensor];
    const struct qs_place *p = &r->out->place[rec->tensor];
    const size_t len = (size_t)slice_bytes(enc, s, rec->slice);
    if (qs_pread_all(fd, buf, len, p->offset + slice_offset(s, rec->slice), r->part[p->file], NULL))
        return false;
    return qs_key_equal(qs_hash_bytes(buf, len), rec->hash);
}

/* Marks what the journal says is done; the newest VERIFY_BYTES of it are read back and must hash to what was written. */
static int believe_journal(struct run *r, struct qs_err *e)
{
    uint8_t *buf = qs_malloc((size_t)largest_slice(r->plan) + 1);
    if (!buf)
        return qs_fail_mem(e, largest_slice(r->plan), "reading back");
    uint64_t verified = 0;
    unsigned file = 0;
    int fd = -1; /* of part `file` */
    for (size_t i = r->journal.n; i-- > 0;) {
        const struct qs_record *rec = &r->journal.record[i];
        if (rec->tensor >= r->plan->n || rec->slice >= r->cut[rec->tensor].n)
            continue;
        const size_t at = r->cut[rec->tensor].first + rec->slice;
        const uint64_t len = slice_bytes(&r->plan->enc[rec->tensor], &r->cut[rec->tensor], rec->slice);
        if (r->done[at])
            continue;
        if (fd < 0 || file != r->out->place[rec->tensor].file) {
            if (fd >= 0)
                close(fd);
            file = r->out->place[rec->tensor].file;
            fd = open(r->part[file], O_RDONLY | O_CLOEXEC);
        }
        if (verified < VERIFY_BYTES && !slice_is_there(r, rec, fd, buf))
            continue;
        verified += len;
        r->done[at] = true;
        r->sums[at] = rec->sums;
        r->resumed += len;
    }
    if (fd >= 0)
        close(fd);
    qs_free(buf);
    return QS_OK;
}

/* True when an earlier run had everything durable and was stopped between its renames. */
static bool was_committed(const struct run *r)
{
    unsigned commits = 0;
    for (size_t i = 0; i < r->journal.n; i++)
        commits += r->journal.record[i].tensor == QS_JOURNAL_COMMIT;
    if (commits < r->out->n_files)
        return false;
    for (unsigned i = 0; i < r->out->n_files; i++) {
        struct qs_file_stat st;
        const char *there = qs_file_exists(r->out->file[i].part) ? r->out->file[i].part : r->out->file[i].final;
        if (qs_file_stat(there, &st, NULL) || st.size != r->out->file[i].size)
            return false;
    }
    return true;
}

/* Sums of finished slices, when nothing is left but renaming. */
static void believe_commit(struct run *r)
{
    for (size_t i = 0; i < r->journal.n; i++) {
        const struct qs_record *rec = &r->journal.record[i];
        if (rec->tensor >= r->plan->n || rec->slice >= r->cut[rec->tensor].n)
            continue;
        r->sums[r->cut[rec->tensor].first + rec->slice] = rec->sums;
    }
    r->resumed = r->out->bytes;
}

/* ---- the files ---- */

/* The model must still be the files that were opened: same file, same size, not written to since. */
static int source_unchanged(const struct run *r, struct qs_err *e)
{
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(r->plan->model, &n_parts);
    for (unsigned i = 0; i < n_parts; i++) {
        const struct qs_gguf_part *p = &part[i];
        struct qs_file_stat st;
        const int rc = qs_file_stat(p->path, &st, e);
        if (rc)
            return rc;
        if (st.dev != p->dev || st.ino != p->ino || st.size != p->file_size || st.mtime_ns != p->mtime_ns)
            return qs_fail(e, QS_EIO, "%s was replaced or changed while it was read: start again with --restart", p->path);
    }
    return QS_OK;
}

/* Descriptor of one of the model's files, for copying; checked to be the file that was opened. */
static int open_source(struct run *r, unsigned part, struct qs_err *e)
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
        return qs_fail(e, QS_EIO, "%s was replaced while it was read: start again with --restart", p->path);
    return QS_OK;
}

/* Claims the room on the disk, so that a full disk is met now and not in the middle, and writes the header. */
static int fill_part(const struct qs_outfile *file, int fd, struct qs_err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return qs_fail_errno(e, errno, "cannot look at %s", file->part);
    if (!S_ISREG(st.st_mode))
        return qs_fail(e, QS_EINVAL, "%s exists and is no regular file", file->part);
    const uint64_t held = (uint64_t)st.st_blocks * 512;
    if (fallocate(fd, 0, 0, (off_t)file->size)) {
        if (errno == ENOSPC || errno == EDQUOT)
            return qs_outcheck_no_space(file->part, file->size > held ? file->size - held : 0, e);
        if (errno == EFBIG)
            return qs_fail_file_size(e, file->part, file->size);
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
            return qs_fail_errno(e, errno, "cannot make %s %llu bytes long", file->part, (unsigned long long)file->size);
    }
    if (ftruncate(fd, (off_t)file->size))
        return errno == EFBIG ? qs_fail_file_size(e, file->part, file->size)
                              : qs_fail_errno(e, errno, "cannot make %s %llu bytes long", file->part,
                                              (unsigned long long)file->size);
    return qs_pwrite_all(fd, file->header.data, file->header.len, 0, file->part, e);
}

static int make_part(const struct run *r, unsigned f, struct qs_err *e)
{
    const struct qs_outfile *file = &r->out->file[f];
    const int fd = open(file->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (r->fresh ? O_TRUNC : 0), 0666);
    if (fd < 0)
        return qs_fail_errno(e, errno, "cannot create %s", file->part);
    const int rc = fill_part(file, fd, e);
    close(fd);
    return rc;
}

/* A part that no journal of ours tells of may be anybody's. */
static int refuse_foreign_parts(const struct run *r, struct qs_err *e)
{
    for (unsigned f = 0; r->fresh && !r->args->restart && f < r->out->n_files; f++) {
        struct qs_file_stat old;
        if (!qs_file_stat(r->part[f], &old, NULL) && old.size > 0)
            return qs_fail(e, QS_EEXISTS, "%s exists and no journal says that it is ours: --restart discards it", r->part[f]);
    }
    return QS_OK;
}

static int make_parts(struct run *r, struct qs_err *e)
{
    int rc = refuse_foreign_parts(r, e);
    if (!rc)
        rc = qs_outcheck_room(r->out, e);
    for (unsigned f = 0; !rc && f < r->out->n_files; f++) {
        r->parts_made = f + 1;
        rc = make_part(r, f, e);
    }
    return rc;
}

/* ---- the loop ---- */

static int copy_slice(struct run *r, const struct qs_encoding *enc, const struct slices *s, uint64_t i, struct qs_piece *p,
                      struct qs_err *e)
{
    unsigned n_parts;
    const unsigned part = enc->tensor->part;
    const int rc = open_source(r, part, e);
    if (rc)
        return rc;
    p->len = (size_t)slice_bytes(enc, s, i);
    return qs_pread_all(r->source[part], p->data, p->len, enc->tensor->offset + slice_offset(s, i),
                        qs_model_parts(r->plan->model, &n_parts)[part].path, e);
}

static int encode_slice(struct run *r, const struct qs_encoding *enc, const struct slices *s, uint64_t i,
                        const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    const uint64_t row = i * s->rows_per, n = min_u64(s->rows_per, enc->tensor->rows - row);
    p->len = (size_t)slice_bytes(enc, s, i);
    if (w->map && row + n < enc->tensor->rows) { /* let the system read the next slice meanwhile */
        const uint8_t *next = qs_weight_row(w, row + n).p[0]; /* mapped weights have one component */
        qs_map_advise(w->map, (uint64_t)(next - qs_map_data(w->map)), n * (w->bytes / w->rows), true);
    }
    return qs_encode_rows(r->encoder, QS_PRIO_JOB, w, row, n, enc->type, enc->importance, p->data, &p->sums, NULL, e);
}

/* Slices are made of one component: those of files have no more, and the encoder refuses to make others. */
static void scan_slice(const struct run *r, const struct qs_format *f, const struct qs_piece *p, double limit,
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
static int tell_overflow(struct run *r, const struct qs_encoding *enc, const struct slices *s, uint64_t i,
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
    return rc ? rc : qs_bad_result(enc->tensor, enc->type, &bad, "would be NaN or infinite", row.largest, enc->importance,
                                   e);
}

/* Says where the first bad weight is, and how many there are in the whole tensor. */
static int tell_bad_weights(struct run *r, const struct qs_encoding *enc, const struct slices *s, uint64_t i,
                            const struct qs_weight *w, struct qs_piece *p, struct qs_err *e)
{
    unsigned n_parts;
    const struct qs_tensor *t = enc->tensor;
    struct qs_scan bad;
    int rc = qs_scan_weight(w, r->pool, r->job, 0, false, &bad, e);
    if (!rc && bad.n)
        rc = qs_bad_source(t, qs_model_parts(r->plan->model, &n_parts)[t->part].path, &bad, e);
    if (!rc && enc->copy)
        rc = qs_fail(e, QS_EIO, "tensor %s was changed while it was read: start again with --restart", t->name);
    if (rc)
        return rc;
    if (p->sums.nonfinite)
        return tell_overflow(r, enc, s, i, w, p, e);
    rc = qs_scan_weight(w, r->pool, r->job, QS_BAD_TOO_LARGE, false, &bad, e);
    return rc ? rc : qs_bad_result(t, enc->type, &bad, "would be lost", bad.largest, enc->importance, e);
}

/* Is the slice in p fit to be written? Copied: no scale or weight is NaN or infinite; encoded: nor lost by its size. */
static bool slice_is_good(const struct run *r, const struct qs_encoding *enc, const struct qs_piece *p)
{
    struct qs_scan bad = { 0 };
    if (!enc->copy)
        return !p->sums.nonfinite && !qs_bad_lost(qs_format_by_id(enc->type), p->sums.max_abs);
    if (enc->tensor->format)
        scan_slice(r, enc->tensor->format, p, 0, &bad);
    return !bad.n;
}

static int check_slice(struct run *r, const struct qs_encoding *enc, const struct slices *s, uint64_t i,
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

static int make_slice(struct run *r, size_t tensor, uint64_t i, const struct qs_weight *w, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const struct slices *s = &r->cut[tensor];
    struct qs_piece *p;
    int rc = qs_sink_take(r->sink, &p, e);
    if (rc)
        return rc;
    memset(&p->sums, 0, sizeof p->sums);
    p->file = r->out->place[tensor].file;
    p->offset = r->out->place[tensor].offset + slice_offset(s, i);
    p->tensor = (uint32_t)tensor;
    p->slice = (uint32_t)i;
    rc = enc->copy ? copy_slice(r, enc, s, i, p, e) : encode_slice(r, enc, s, i, w, p, e);
    if (!rc)
        rc = check_slice(r, enc, s, i, w, p, e);
    if (rc)
        return rc; /* the piece was taken but never put: the sink ends without it */
    r->sums[s->first + i] = p->sums;
    qs_error_sums_add(&r->total, &p->sums);
    qs_sink_put(r->sink, p);
    if (r->total.n)
        qs_job_error(r->job, qs_error_rms(&r->total));
    return qs_job_step(r->job, slice_weights(enc, s, i), e);
}

/* What is at work, with the error of this tensor so far. */
static void publish_item(struct run *r, const struct qs_encoding *enc, const struct qs_error_sums *sums)
{
    if (enc->copy)
        qs_job_item(r->job, "%s (copied)", enc->tensor->name);
    else if (sums->n)
        qs_job_item(r->job, "%s -> %s %.2f%%", enc->tensor->name, qs_type_name(enc->type), 100 * qs_error_rms(sums));
    else
        qs_job_item(r->job, "%s -> %s", enc->tensor->name, qs_type_name(enc->type));
}

static int write_tensor(struct run *r, size_t tensor, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const struct slices *s = &r->cut[tensor];
    struct qs_error_sums sums = { 0 };
    struct qs_weight *w = NULL;
    int rc = QS_OK;
    if (s->n > 1 || tensor == 0) /* a small tensor is done at once: the error of the one before stays to be read */
        publish_item(r, enc, &sums);
    for (uint64_t i = 0; !rc && i < s->n; i++) {
        if (r->done[s->first + i]) {
            qs_error_sums_add(&r->total, &r->sums[s->first + i]);
            qs_job_skip(r->job, slice_weights(enc, s, i));
        } else {
            if (!enc->copy && !w)
                rc = qs_model_weight(r->plan->model, enc->tensor, &w, e);
            if (!rc)
                rc = make_slice(r, tensor, i, w, e);
        }
        qs_error_sums_add(&sums, &r->sums[s->first + i]);
        if (!rc)
            publish_item(r, enc, &sums);
    }
    qs_weight_unref(w);
    return rc;
}

static int write_all(struct run *r, struct qs_err *e)
{
    qs_job_phase(r->job, "encode", "weights", r->plan->model->n_weights);
    int rc = qs_encoder_new(r->pool, widest_row(r->plan), &r->encoder, e);
    if (!rc)
        rc = qs_sink_new(r->part, &r->journal, (size_t)largest_slice(r->plan) + 1, r->args->sync_bytes, &r->sink, e);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < r->plan->n; i++)
        rc = write_tensor(r, i, e);
    struct qs_err late = QS_ERR_INIT;
    const int end = qs_sink_end(r->sink, &late);
    r->sink = NULL;
    if (end && (!rc || rc == QS_ECANCELLED)) { /* a full disk is worth more words than a cancel that came first */
        rc = end;
        if (e)
            *e = late;
    }
    if (rc == QS_ENOSPACE)
        qs_err_prefix(e, "no room left; what is done is kept and the same command goes on from there");
    return rc;
}

/* ---- the end ---- */

static int commit(struct run *r, struct qs_err *e)
{
    int durable = source_unchanged(r, e);
    for (unsigned f = 0; !durable && f < r->out->n_files; f++) {
        const int fd = open(r->part[f], O_RDWR | O_CLOEXEC);
        if (fd < 0 || fsync(fd))
            durable = qs_fail_errno(e, errno, "cannot make %s durable", r->part[f]);
        if (fd >= 0)
            close(fd);
    }
    if (durable)
        return durable;
    for (unsigned f = 0; f < r->out->n_files; f++) {
        const struct qs_record rec = { .tensor = QS_JOURNAL_COMMIT, .slice = f };
        const int rc = qs_journal_append(&r->journal, &rec, 1, e);
        if (rc)
            return rc;
    }
    return qs_journal_sync(&r->journal, e);
}

static int rename_all(const struct run *r, struct qs_err *e)
{
    for (unsigned i = r->out->n_files; i-- > 0;) { /* the first file last: it is what a person opens */
        const struct qs_outfile *f = &r->out->file[i];
        if (r->committed && !qs_file_exists(f->part))
            continue; /* an earlier run had got this far */
        const int rc = qs_file_rename(f->part, f->final, r->args->force, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static int write_modelfile(const struct run *r, struct qs_err *e)
{
    const char *name = qs_path_base(r->out->modelfile), *model = qs_path_base(r->out->file[0].final);
    struct qs_str text = QS_STR_INIT;
    qs_str_addf(&text, "# Ollama: ollama create %.*s -f %s\n", (int)(strlen(name) - strlen(".Modelfile")), name, name);
    qs_str_add(&text, "# Ollama takes the chat template from the GGUF where it knows it; add a TEMPLATE line otherwise.\n");
    qs_str_addf(&text, "FROM ./%s\n", model);
    if (r->plan->model->hp.n_ctx)
        qs_str_addf(&text, "PARAMETER num_ctx %llu\n", (unsigned long long)min_u64(r->plan->model->hp.n_ctx, 8192));
    const int rc = text.failed ? qs_fail_mem(e, text.len, "the Modelfile")
                               : qs_file_write_atomic(r->out->modelfile, text.data, text.len, r->args->force, e);
    qs_str_free(&text);
    return rc;
}

static int fill_result(struct run *r, double started, struct qs_writer_result **out, struct qs_err *e)
{
    struct qs_writer_result *x = qs_calloc(1, sizeof *x);
    if (!x)
        return qs_fail_mem(e, sizeof *x, "the result");
    x->file = qs_calloc(r->out->n_files, sizeof *x->file);
    x->tensor = qs_calloc(r->plan->n + 1, sizeof *x->tensor);
    bool ok = x->file && x->tensor;
    for (unsigned f = 0; ok && f < r->out->n_files; f++) {
        x->n_files = f + 1;
        ok = (x->file[f] = qs_strdup(r->out->file[f].final)) != NULL;
    }
    if (!ok) {
        qs_writer_result_free(x);
        return qs_fail_mem(e, r->plan->n * sizeof *x->tensor, "the result");
    }
    x->bytes = r->out->bytes;
    for (size_t i = 0; i < r->plan->n; i++) {
        x->tensor[i].copied = r->plan->enc[i].copy;
        for (uint64_t k = 0; k < r->cut[i].n; k++)
            qs_error_sums_add(&x->tensor[i].sums, &r->sums[r->cut[i].first + k]);
        qs_error_sums_add(&x->total, &x->tensor[i].sums);
    }
    x->seconds = qs_now() - started;
    x->resumed_bytes = r->resumed;
    *out = x;
    return QS_OK;
}

/* ---- the whole ---- */

static int prepare(struct run *r, struct qs_err *e)
{
    struct qs_key key;
    int rc = qs_outfiles_make(r->plan, r->args, &r->out, e);
    if (!rc)
        rc = qs_outcheck_places(r->plan, r->args, r->out, e);
    if (!rc)
        rc = cut_all(r, e);
    if (!rc)
        rc = work_key(r, &key, e);
    if (rc)
        return rc;
    r->part = qs_calloc(r->out->n_files, sizeof *r->part);
    (void)qs_model_parts(r->plan->model, &r->n_sources);
    r->source = qs_calloc(r->n_sources, sizeof *r->source);
    if (!r->part || !r->source)
        return qs_fail_mem(e, r->out->n_files * sizeof *r->part, "the output files");
    for (unsigned f = 0; f < r->out->n_files; f++)
        r->part[f] = r->out->file[f].part;
    for (unsigned i = 0; i < r->n_sources; i++)
        r->source[i] = -1;
    if (!qs_file_exists(r->out->journal)) { /* do not even leave a journal beside a file that must not be touched */
        rc = qs_outcheck_existing(r->args, r->out, e);
        if (rc)
            return rc;
    }
    return qs_journal_open(r->out->journal, key, r->args->restart, &r->journal, &r->fresh, e);
}

static int carry_out(struct run *r, struct qs_err *e)
{
    int rc = QS_OK;
    r->committed = !r->fresh && was_committed(r);
    if (r->committed) {
        believe_commit(r);
    } else {
        rc = qs_outcheck_existing(r->args, r->out, e);
        if (!rc)
            rc = make_parts(r, e);
        if (!rc && !r->fresh)
            rc = believe_journal(r, e);
        if (!rc)
            rc = write_all(r, e);
        if (!rc)
            rc = commit(r, e);
    }
    if (!rc)
        rc = rename_all(r, e);
    r->renamed = rc == QS_OK;
    return rc;
}

/* A run that failed before anything was durable, or that can never be finished, leaves nothing behind. */
static bool nothing_kept(const struct run *r)
{
    return r->hopeless || (r->fresh && r->journal.n == 0);
}

static void clean_up(struct run *r)
{
    const bool leave_nothing = nothing_kept(r);
    for (unsigned f = 0; leave_nothing && !r->renamed && f < r->parts_made; f++)
        unlink(r->part[f]);
    for (unsigned i = 0; r->source && i < r->n_sources; i++)
        if (r->source[i] >= 0)
            close(r->source[i]);
    qs_journal_close(&r->journal, r->renamed || leave_nothing);
    qs_encoder_free(r->encoder);
    qs_outfiles_free(r->out);
    qs_free(r->cut);
    qs_free(r->done);
    qs_free(r->sums);
    qs_free(r->source);
    qs_free(r->part);
}

int qs_writer_run(const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_writer_result **out, struct qs_err *e)
{
    const double started = qs_now();
    struct run r = { .plan = plan, .args = args, .pool = pool, .job = job, .journal = { .fd = -1 } };
    if (args->modelfile && args->split_max_bytes)
        return qs_fail(e, QS_EUNSUPPORTED, "--modelfile: Ollama reads single files only, not split output");
    if (plan->blocker.code)
        return qs_fail(e, plan->blocker.code, "%s", plan->blocker.msg);
    int rc = prepare(&r, e);
    if (!rc) {
        rc = carry_out(&r, e);
        if (!rc && args->modelfile)
            rc = write_modelfile(&r, e);
        if (!rc)
            rc = fill_result(&r, started, out, e);
        if (rc == QS_ECANCELLED && !nothing_kept(&r))
            qs_fail(e, QS_ECANCELLED, "cancelled; what is done is kept in %s%s and the same command goes on from there",
                    r.part[0], r.out->n_files > 1 ? " and the parts behind it" : "");
    }
    clean_up(&r);
    return rc;
}

void qs_writer_result_free(struct qs_writer_result *x)
{
    if (!x)
        return;
    for (unsigned f = 0; x->file && f < x->n_files; f++)
        qs_free(x->file[f]);
    qs_free(x->file);
    qs_free(x->tensor);
    qs_free(x);
}

const struct qs_encoding *qs_writer_too_large(const struct qs_plan *plan, uint64_t split_max_bytes)
{
    for (size_t i = 0; split_max_bytes && i < plan->n; i++)
        if (plan->enc[i].bytes > split_max_bytes)
            return &plan->enc[i];
    return NULL;
}

/* What the encoders and the sink take, and what is held all the while. */
static uint64_t predict_memory(const struct qs_plan *plan, const struct qs_outfiles *o, unsigned threads)
{
    uint64_t held = 0;
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(plan->model, &n_parts);
    for (unsigned i = 0; i < n_parts; i++)
        held += part[i].header_size;
    for (unsigned f = 0; f < o->n_files; f++)
        held += 2 * o->file[f].header.len; /* the second: its metadata while it is made */
    for (size_t i = 0; plan->imatrix && i < plan->imatrix->n_entries; i++)
        held += plan->imatrix->entry[i].n * sizeof(float);
    held += plan->n * (sizeof *plan->enc + sizeof *plan->resolved->choice);
    return held + qs_encoder_memory(threads ? threads : 1, widest_row(plan)) + QS_SINK_PIECES * largest_slice(plan);
}

static uint64_t free_disk(const char *path)
{
    struct qs_str dir = QS_STR_INIT;
    uint64_t space = 0;
    qs_path_dir(path, &dir);
    if (dir.failed || qs_file_free_space(dir.data, &space, NULL))
        space = 0;
    qs_str_free(&dir);
    return space;
}

int qs_writer_forecast(const struct qs_plan *plan, const struct qs_writer_args *args, unsigned threads,
                       struct qs_writer_forecast *out, struct qs_err *e)
{
    struct qs_outfiles *o;
    int rc = qs_outfiles_make(plan, args, &o, e);
    if (rc)
        return rc;
    *out = (struct qs_writer_forecast){ .bytes = o->bytes, .claim = qs_outcheck_claim(o), .n_files = o->n_files,
                                        .memory = predict_memory(plan, o, threads),
                                        .free_disk = args->path ? free_disk(args->path) : 0 };
    rc = args->path ? qs_outcheck_places(plan, args, o, &out->refusal) : QS_OK;
    if (!rc && args->path && !qs_file_exists(o->journal)) /* an unfinished run goes on */
        rc = qs_outcheck_existing(args, o, &out->refusal);
    if (!rc && args->path)
        (void)qs_outcheck_room(o, &out->refusal);
    qs_outfiles_free(o);
    return QS_OK;
}

int qs_writer_default_name(const struct qs_model *m, const struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    const char *base = qs_path_base(m->path);
    size_t len = strlen(base);
    unsigned no, count;
    int used = 0;
    if (len > 5 && !strcmp(base + len - 5, ".gguf"))
        len -= 5;
    if (len > 15 && sscanf(base + len - 15, "-%5u-of-%5u%n", &no, &count, &used) == 2 && used == 15)
        len -= 15; /* NAME-00001-of-00003 */
    struct qs_str dir = QS_STR_INIT, name = QS_STR_INIT;
    qs_path_dir(m->path, &dir);
    qs_str_addn(&name, base, len);
    qs_str_addf(&name, ".%s.gguf", r->preset->name);
    qs_path_join(dir.data, name.data, out);
    const bool failed = dir.failed || name.failed || out->failed;
    qs_str_free(&dir);
    qs_str_free(&name);
    return failed ? qs_fail_mem(e, len, "a file name") : QS_OK;
}
