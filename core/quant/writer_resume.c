/* writer_resume.c - what an earlier run of the same work left, and how much of it is believed.
 *
 * Owns nothing. The key says that it is the same work; the newest records are checked against the bytes on disk.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/writer_internal.h"

#define LAYOUT_VERSION 2                  /* grows when tensors are cut in another way */
#define VERIFY_BYTES (UINT64_C(256) << 20)/* of finished output read back when a run goes on */

int qs_writing_key(struct qs_writing *r, struct qs_key *out, struct qs_err *e)
{
    struct qs_key model;
    const int rc = qs_model_key(r->plan->model, &model, e);
    if (rc)
        return rc;
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "a hash");
    const uint64_t head[5] = { QS_ENCODER_VERSION, LAYOUT_VERSION, QS_SLICE_WEIGHTS, QS_COPY_BYTES, r->out->n_files };
    qs_hash_add(h, head, sizeof head);
    qs_hash_add(h, &model, sizeof model);
    if (r->plan->imatrix)
        qs_hash_add(h, &r->plan->imatrix->key, sizeof r->plan->imatrix->key);
    for (size_t i = 0; i < r->plan->n; i++) {
        const int32_t enc[3] = { r->plan->enc[i].type, r->plan->enc[i].copy, r->plan->enc[i].importance != NULL };
        qs_hash_add(h, enc, sizeof enc);
        if (r->plan->enc[i].stored)
            qs_hash_add(h, &r->plan->enc[i].stored->hash, sizeof r->plan->enc[i].stored->hash);
    }
    for (unsigned i = 0; i < r->out->n_files; i++)
        qs_hash_add(h, r->out->file[i].header.data, r->out->file[i].header.len);
    *out = qs_hash_end(h);
    return QS_OK;
}

/* Is the record's slice really in the part file? Reads it back. */
static bool slice_is_there(struct qs_writing *r, const struct qs_record *rec, int fd, uint8_t *buf)
{
    const struct qs_encoding *enc = &r->plan->enc[rec->tensor];
    const struct qs_slices *s = &r->cut[rec->tensor];
    const struct qs_place *p = &r->out->place[rec->tensor];
    const size_t len = (size_t)qs_slice_bytes(enc, s, rec->slice);
    if (qs_pread_all(fd, buf, len, p->offset + qs_slice_offset(s, rec->slice), r->part[p->file], NULL))
        return false;
    return qs_key_equal(qs_hash_bytes(buf, len), rec->hash);
}

/* Marks what the journal says is done; the newest VERIFY_BYTES of it are read back and must hash to what was written. */
int qs_writing_believe(struct qs_writing *r, struct qs_err *e)
{
    uint8_t *buf = qs_malloc((size_t)qs_slices_largest(r->plan) + 1);
    if (!buf)
        return qs_fail_mem(e, qs_slices_largest(r->plan), "reading back");
    uint64_t verified = 0;
    unsigned file = 0;
    int fd = -1; /* of part `file` */
    for (size_t i = r->journal.n; i-- > 0;) {
        const struct qs_record *rec = &r->journal.record[i];
        if (rec->tensor >= r->plan->n || rec->slice >= r->cut[rec->tensor].n)
            continue;
        const size_t at = r->cut[rec->tensor].first + rec->slice;
        const uint64_t len = qs_slice_bytes(&r->plan->enc[rec->tensor], &r->cut[rec->tensor], rec->slice);
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
bool qs_writing_was_committed(const struct qs_writing *r)
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
void qs_writing_believe_commit(struct qs_writing *r)
{
    for (size_t i = 0; i < r->journal.n; i++) {
        const struct qs_record *rec = &r->journal.record[i];
        if (rec->tensor >= r->plan->n || rec->slice >= r->cut[rec->tensor].n)
            continue;
        r->sums[r->cut[rec->tensor].first + rec->slice] = rec->sums;
    }
    memset(r->done, true, r->n_slices * sizeof *r->done);
    r->resumed = r->out->bytes;
}
