/* journal.c - owns the journal's descriptor, its lock and the records read from it.
 *
 * Believes nothing by its name: a file that does not begin as this program writes it is left alone, as is whatever a
 * symbolic link leads to. One thread at a time.
 */
#include "core/quant/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define HEAD_BYTES 48
#define RECORD_BYTES 96
static const char magic[8] = "QSJRNL01";

static uint64_t checksum(const uint8_t *p, size_t n)
{
    return qs_hash_bytes(p, n).lo;
}

static void put_head(uint8_t *p, struct qs_key key)
{
    memset(p, 0, HEAD_BYTES);
    memcpy(p, magic, sizeof magic);
    memcpy(p + 8, &key.lo, 8);
    memcpy(p + 16, &key.hi, 8);
    const uint64_t sum = checksum(p, HEAD_BYTES - 8);
    memcpy(p + HEAD_BYTES - 8, &sum, 8);
}

static void put_record(uint8_t *p, const struct qs_record *r)
{
    memset(p, 0, RECORD_BYTES);
    memcpy(p, &r->tensor, 4);
    memcpy(p + 4, &r->slice, 4);
    memcpy(p + 8, &r->hash.lo, 8);
    memcpy(p + 16, &r->hash.hi, 8);
    const struct qs_error_sums *s = &r->sums;
    const double d[5] = { s->err2, s->ref2, s->werr2, s->wref2, s->max_abs };
    memcpy(p + 24, d, sizeof d);
    memcpy(p + 64, &s->n, 8);
    memcpy(p + 72, &s->nonfinite, 8);
    const uint64_t sum = checksum(p, RECORD_BYTES - 8);
    memcpy(p + RECORD_BYTES - 8, &sum, 8);
}

static bool get_record(const uint8_t *p, struct qs_record *r)
{
    uint64_t sum;
    double d[5];
    memcpy(&sum, p + RECORD_BYTES - 8, 8);
    if (sum != checksum(p, RECORD_BYTES - 8))
        return false;
    memcpy(&r->tensor, p, 4);
    memcpy(&r->slice, p + 4, 4);
    memcpy(&r->hash.lo, p + 8, 8);
    memcpy(&r->hash.hi, p + 16, 8);
    memcpy(d, p + 24, sizeof d);
    r->sums = (struct qs_error_sums){ .err2 = d[0], .ref2 = d[1], .werr2 = d[2], .wref2 = d[3], .max_abs = d[4] };
    memcpy(&r->sums.n, p + 64, 8);
    memcpy(&r->sums.nonfinite, p + 72, 8);
    return true;
}

static int read_records(struct qs_journal *j, uint64_t size, struct qs_err *e)
{
    uint64_t at = HEAD_BYTES;
    for (; at + RECORD_BYTES <= size; at += RECORD_BYTES) {
        uint8_t raw[RECORD_BYTES];
        struct qs_record r;
        const int rc = qs_pread_all(j->fd, raw, sizeof raw, at, j->path, e);
        if (rc)
            return rc;
        if (!get_record(raw, &r))
            break;
        if (!qs_grow(&j->record, &j->cap, j->n + 1, sizeof *j->record))
            return qs_fail_mem(e, (j->n + 1) * sizeof *j->record, "journal records");
        j->record[j->n++] = r;
    }
    if (at < size && ftruncate(j->fd, (off_t)at))
        return qs_fail_errno(e, errno, "%s: cannot cut off its torn end", j->path);
    return QS_OK;
}

enum head { HEAD_NONE, HEAD_OURS, HEAD_OTHER_WORK, HEAD_FOREIGN };

/* What the head of an existing file says. HEAD_NONE: it is empty, or holds the beginning of the head we would write, as
 * after a run that was killed at once. */
static int read_head(const struct qs_journal *j, uint64_t size, struct qs_key key, enum head *out, struct qs_err *e)
{
    uint8_t want[HEAD_BYTES], have[HEAD_BYTES] = { 0 };
    const size_t n = size < HEAD_BYTES ? (size_t)size : HEAD_BYTES;
    const int rc = qs_pread_all(j->fd, have, n, 0, j->path, e);
    if (rc)
        return rc;
    put_head(want, key);
    uint64_t sum;
    memcpy(&sum, have + HEAD_BYTES - 8, 8);
    if (!memcmp(want, have, n))
        *out = n < HEAD_BYTES ? HEAD_NONE : HEAD_OURS;
    else if (n == HEAD_BYTES && !memcmp(magic, have, sizeof magic) && sum == checksum(have, HEAD_BYTES - 8))
        *out = HEAD_OTHER_WORK;
    else
        *out = HEAD_FOREIGN;
    return QS_OK;
}

static int refuse_others(const char *path, enum head head, struct qs_err *e)
{
    if (head == HEAD_OTHER_WORK)
        return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                              "%s: an unfinished run with another source, recipe, importance matrix or version left this",
                              path);
    if (head == HEAD_FOREIGN)
        return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD, "%s is no journal of ours, or a damaged one", path);
    return QS_OK;
}

static int start_empty(const struct qs_journal *j, struct qs_key key, struct qs_err *e)
{
    uint8_t raw[HEAD_BYTES];
    put_head(raw, key);
    if (ftruncate(j->fd, 0))
        return qs_fail_errno(e, errno, "cannot empty %s", j->path);
    return qs_pwrite_all(j->fd, raw, sizeof raw, 0, j->path, e);
}

int qs_journal_open(const char *path, struct qs_key key, bool restart, struct qs_journal *out, bool *fresh, struct qs_err *e)
{
    struct qs_journal j = { .fd = -1, .path = qs_strdup(path) };
    if (!j.path)
        return qs_fail_mem(e, strlen(path), "a file name");
    uint64_t size = 0;
    enum head head = HEAD_NONE;
    int rc = qs_file_open_locked(path, "journal", &j.fd, &size, e);
    if (!rc)
        rc = read_head(&j, size, key, &head, e);
    if (!rc && !restart)
        rc = refuse_others(path, head, e);
    const bool empty = restart || head != HEAD_OURS, began = rc == QS_OK && empty;
    if (!rc)
        rc = empty ? start_empty(&j, key, e) : read_records(&j, size, e);
    if (rc) { /* what could not be begun holds no record: away with it; what was refused stays */
        struct stat st;
        const bool ours = head == HEAD_NONE || restart;
        qs_journal_close(&j, began && ours && !fstat(j.fd, &st) && st.st_size <= HEAD_BYTES);
        return rc;
    }
    *fresh = empty;
    *out = j;
    return QS_OK;
}

int qs_journal_append(struct qs_journal *j, const struct qs_record *r, size_t n, struct qs_err *e)
{
    if (!qs_grow(&j->record, &j->cap, j->n + n, sizeof *j->record))
        return qs_fail_mem(e, (j->n + n) * sizeof *j->record, "journal records");
    for (size_t i = 0; i < n; i++) {
        uint8_t raw[RECORD_BYTES];
        put_record(raw, &r[i]);
        const int rc = qs_pwrite_all(j->fd, raw, sizeof raw, HEAD_BYTES + (uint64_t)j->n * RECORD_BYTES, j->path, e);
        if (rc)
            return rc;
        j->record[j->n++] = r[i];
    }
    return QS_OK;
}

int qs_journal_sync(struct qs_journal *j, struct qs_err *e)
{
    return fdatasync(j->fd) ? qs_fail_errno(e, errno, "cannot make %s durable", j->path) : QS_OK;
}

void qs_journal_close(struct qs_journal *j, bool remove)
{
    if (remove && j->path)
        unlink(j->path); /* while the lock is still held */
    if (j->fd >= 0)
        close(j->fd);
    qs_free(j->path);
    qs_free(j->record);
    *j = (struct qs_journal){ .fd = -1 };
}
