/* writer.c - carries a plan out: the part files, the loop over all slices, the end, the rename. See writer.h for the
 * design.
 *
 * Owns the part files, the journal and the sink while it runs (struct qs_writing, writer_internal.h). One thread, the
 * caller's; the sink has another.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/outcheck.h"
#include "core/quant/writer_internal.h"

/* ---- the files ---- */

/* The model must still be the files that were opened: same file, same size, not written to since. */
static int source_unchanged(const struct qs_writing *r, struct qs_err *e)
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
            return qs_fail_advise(e, QS_EIO, QS_ADVISE_RESTART, "%s was replaced or changed while it was read",
                                  p->path);
    }
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
            return qs_fail_errno(e, errno, "cannot make %s %llu bytes long", file->part,
                                 (unsigned long long)file->size);
    }
    if (ftruncate(fd, (off_t)file->size))
        return errno == EFBIG ? qs_fail_file_size(e, file->part, file->size)
                              : qs_fail_errno(e, errno, "cannot make %s %llu bytes long", file->part,
                                              (unsigned long long)file->size);
    return qs_pwrite_all(fd, file->header.data, file->header.len, 0, file->part, e);
}

static int make_part(const struct qs_writing *r, unsigned f, struct qs_err *e)
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
static int refuse_foreign_parts(const struct qs_writing *r, struct qs_err *e)
{
    for (unsigned f = 0; r->fresh && !r->args->restart && f < r->out->n_files; f++) {
        struct qs_file_stat old;
        if (!qs_file_stat(r->part[f], &old, NULL) && old.size > 0)
            return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD, "%s exists and no journal says that it is ours",
                                  r->part[f]);
    }
    return QS_OK;
}

static int make_parts(struct qs_writing *r, struct qs_err *e)
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

static int make_slice(struct qs_writing *r, size_t tensor, uint64_t i, const struct qs_weight *w, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const struct qs_slices *s = &r->cut[tensor];
    struct qs_piece *p;
    int rc = qs_sink_take(r->sink, &p, e);
    if (rc)
        return rc;
    memset(&p->sums, 0, sizeof p->sums);
    p->file = r->out->place[tensor].file;
    p->offset = r->out->place[tensor].offset + qs_slice_offset(s, i);
    p->tensor = (uint32_t)tensor;
    p->slice = (uint32_t)i;
    rc = qs_writing_fill_slice(r, tensor, i, w, p, e);
    if (rc)
        return rc; /* the piece was taken but never put: the sink ends without it */
    r->sums[s->first + i] = p->sums;
    qs_error_sums_add(&r->total, &p->sums);
    qs_sink_put(r->sink, p);
    if (r->total.n)
        qs_job_error(r->job, qs_error_rms(&r->total));
    return qs_job_step(r->job, qs_slice_weights(enc, s, i), e);
}

/* What is at work, with the error of this tensor so far. */
static void publish_item(struct qs_writing *r, const struct qs_encoding *enc, const struct qs_error_sums *sums)
{
    if (enc->copy)
        qs_job_item(r->job, "%s (copied)", enc->tensor->name);
    else if (sums->n)
        qs_job_item(r->job, "%s -> %s %.2f%%", enc->tensor->name, qs_type_name(enc->type), 100 * qs_error_rms(sums));
    else
        qs_job_item(r->job, "%s -> %s", enc->tensor->name, qs_type_name(enc->type));
}

/* ---- one tensor ---- */

static uint64_t bytes_done(const struct qs_writing *r, size_t tensor)
{
    const struct qs_slices *s = &r->cut[tensor];
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < s->n; i++)
        if (r->done[s->first + i])
            bytes += qs_slice_bytes(&r->plan->enc[tensor], s, i);
    return bytes;
}

/* Tells the watcher how a tensor stands. */
static void publish_state(struct qs_writing *r, size_t tensor, struct qs_writer_watched *now, uint64_t bytes)
{
    const uint64_t all = r->plan->enc[tensor].bytes;
    now->done = all ? (double)bytes / (double)all : 1;
    qs_writer_watch_set(r->args->watch, tensor, now);
}

/* What an earlier run left, before the first slice is made. */
static void publish_resumed(struct qs_writing *r)
{
    for (size_t i = 0; r->args->watch && i < r->plan->n; i++) {
        const struct qs_slices *s = &r->cut[i];
        const uint64_t bytes = bytes_done(r, i);
        struct qs_writer_watched now = { .state = QS_WRITER_WAITING };
        uint64_t n = 0;
        while (n < s->n && r->done[s->first + n])
            qs_error_sums_add(&now.sums, &r->sums[s->first + n++]);
        if (n == s->n && (n || r->committed))
            now.state = QS_WRITER_RESUMED;
        if (bytes || r->committed)
            publish_state(r, i, &now, bytes);
    }
}

/* Slice i of a tensor of which *bytes are done: made, or passed over where an earlier run has it. */
static int next_slice(struct qs_writing *r, size_t tensor, uint64_t i, struct qs_weight **w,
                      struct qs_writer_watched *now,
                      uint64_t *bytes, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const struct qs_slices *s = &r->cut[tensor];
    int rc = QS_OK;
    if (r->done[s->first + i]) {
        qs_error_sums_add(&r->total, &r->sums[s->first + i]);
        qs_job_skip(r->job, qs_slice_weights(enc, s, i));
    } else {
        if (now->state != QS_WRITER_WORKING) {
            now->state = QS_WRITER_WORKING;
            publish_state(r, tensor, now, *bytes);
        }
        if ((!enc->copy || enc->tensor->made) && !*w)
            rc = qs_model_weight(r->plan->model, enc->tensor, w, e);
        if (!rc)
            rc = make_slice(r, tensor, i, *w, e);
        *bytes += qs_slice_bytes(enc, s, i);
    }
    if (rc)
        return rc;
    qs_error_sums_add(&now->sums, &r->sums[s->first + i]);
    publish_item(r, enc, &now->sums);
    if (now->state == QS_WRITER_WORKING && i + 1 < s->n)
        publish_state(r, tensor, now, *bytes);
    return QS_OK;
}

static int write_tensor(struct qs_writing *r, size_t tensor, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[tensor];
    const uint64_t n = r->cut[tensor].n;
    struct qs_writer_watched now = { .state = n ? QS_WRITER_RESUMED : QS_WRITER_WORKING };
    uint64_t bytes = bytes_done(r, tensor);
    struct qs_weight *w = NULL;
    int rc = QS_OK;
    if (n > 1 || tensor == 0) /* a small tensor is done at once: the error of the one before stays to be read */
        publish_item(r, enc, &now.sums);
    for (uint64_t i = 0; !rc && i < n; i++)
        rc = next_slice(r, tensor, i, &w, &now, &bytes, e);
    qs_weight_unref(w);
    if (rc)
        return rc;
    if (now.state == QS_WRITER_WORKING)
        now.state = enc->copy ? QS_WRITER_COPIED : QS_WRITER_DONE;
    publish_state(r, tensor, &now, bytes);
    return QS_OK;
}

/* ---- all of them ---- */

static int write_all(struct qs_writing *r, struct qs_err *e)
{
    qs_job_phase(r->job, "encode", "weights", r->plan->model->n_weights);
    int rc = qs_encoder_new(r->pool, qs_slices_widest_row(r->plan), &r->encoder, e);
    if (!rc)
        rc = qs_sink_new(r->part, &r->journal, (size_t)qs_slices_largest(r->plan) + 1, r->args->sync_bytes, &r->sink,
                         e);
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

static int commit(struct qs_writing *r, struct qs_err *e)
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

static int rename_all(const struct qs_writing *r, struct qs_err *e)
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

static int write_modelfile(const struct qs_writing *r, struct qs_err *e)
{
    const char *name = qs_path_base(r->out->modelfile), *model = qs_path_base(r->out->file[0].final);
    struct qs_str text = QS_STR_INIT;
    qs_str_addf(&text, "# Ollama: ollama create %.*s -f %s\n", (int)(strlen(name) - strlen(".Modelfile")), name, name);
    qs_str_add(&text,
               "# Ollama takes the chat template from the GGUF where it knows it; add a TEMPLATE line otherwise.\n");
    qs_str_addf(&text, "FROM ./%s\n", model);
    if (r->plan->model->hp.n_ctx)
        qs_str_addf(&text, "PARAMETER num_ctx %llu\n", (unsigned long long)qs_min_u64(r->plan->model->hp.n_ctx, 8192));
    const int rc = text.failed ? qs_fail_mem(e, text.len, "the Modelfile")
                               : qs_file_write_atomic(r->out->modelfile, text.data, text.len, r->args->force, e);
    qs_str_free(&text);
    return rc;
}

static int fill_result(struct qs_writing *r, double started, struct qs_writer_result **out, struct qs_err *e)
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

static int prepare(struct qs_writing *r, struct qs_err *e)
{
    struct qs_key key;
    int rc = qs_outfiles_make(r->plan, r->args, &r->out, e);
    if (!rc)
        rc = qs_outcheck_places(r->plan, r->args, r->out, e);
    if (!rc)
        rc = qs_writing_cut(r, e);
    if (!rc)
        rc = qs_writing_key(r, &key, e);
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

static int carry_out(struct qs_writing *r, struct qs_err *e)
{
    int rc = QS_OK;
    r->committed = !r->fresh && qs_writing_was_committed(r);
    if (r->committed) {
        qs_writing_believe_commit(r);
        publish_resumed(r);
    } else {
        rc = qs_outcheck_existing(r->args, r->out, e);
        if (!rc)
            rc = make_parts(r, e);
        if (!rc && !r->fresh)
            rc = qs_writing_believe(r, e);
        if (!rc) {
            publish_resumed(r);
            rc = write_all(r, e);
        }
        if (!rc)
            rc = commit(r, e);
    }
    if (!rc)
        rc = rename_all(r, e);
    r->renamed = rc == QS_OK;
    return rc;
}

/* A run that failed before anything was durable, or that can never be finished, leaves nothing behind. */
static bool nothing_kept(const struct qs_writing *r)
{
    return r->hopeless || (r->fresh && r->journal.n == 0);
}

static void clean_up(struct qs_writing *r)
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

int qs_writer_run(const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_pool *pool,
                  struct qs_job *job, struct qs_writer_result **out, struct qs_err *e)
{
    const double started = qs_now();
    struct qs_writing r = { .plan = plan, .args = args, .pool = pool, .job = job, .journal = { .fd = -1 } };
    if (args->modelfile && args->split_max_bytes)
        return qs_fail(e, QS_EUNSUPPORTED, "no Modelfile can be made for split output: Ollama reads single files only");
    if (plan->blocker.code) {
        if (e)
            *e = plan->blocker;
        return (int)plan->blocker.code;
    }
    int rc = args->watch ? qs_writer_watch_begin(args->watch, plan->n, e) : QS_OK;
    if (!rc)
        rc = prepare(&r, e);
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
