/* journal.c - owns the journal's descriptor, its lock and the records read from it. */
#include "core/quant/journal.h"

#include <errno.h>
#include <fcntl.h>
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

/* Opens and locks; afterwards the path still names what was locked (a finished run removes its journal). */
static int open_locked(const char *path, int *fd_out, struct qs_err *e)
{
    for (int tries = 0; tries < 100; tries++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return qs_fail_errno(e, errno, "cannot open the journal %s", path);
        const int rc = qs_file_lock(fd, path, e);
        if (rc) {
            close(fd);
            return rc;
        }
        struct stat by_fd, by_path;
        if (!fstat(fd, &by_fd) && !stat(path, &by_path) && by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev) {
            *fd_out = fd;
            return QS_OK;
        }
        close(fd);
    }
    return qs_fail(e, QS_EBUSY, "%s: keeps being replaced by another process", path);
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

/* What an existing journal's head says: 1 ours, 0 empty or unreadable, -1 of other work. */
static int read_head(struct qs_journal *j, uint64_t size, struct qs_key key, struct qs_err *e, int *rc)
{
    uint8_t want[HEAD_BYTES], have[HEAD_BYTES];
    if (size < HEAD_BYTES)
        return 0;
    *rc = qs_pread_all(j->fd, have, sizeof have, 0, j->path, e);
    if (*rc)
        return 0;
    put_head(want, key);
    if (!memcmp(want, have, HEAD_BYTES))
        return 1;
    uint64_t sum;
    memcpy(&sum, have + HEAD_BYTES - 8, 8);
    return sum == checksum(have, HEAD_BYTES - 8) ? -1 : 0;
}

int qs_journal_open(const char *path, struct qs_key key, bool restart, struct qs_journal *out, bool *fresh, struct qs_err *e)
{
    struct qs_journal j = { .fd = -1, .path = qs_strdup(path) };
    if (!j.path)
        return qs_fail_mem(e, strlen(path), "a file name");
    struct qs_file_stat st = { 0 };
    int rc = open_locked(path, &j.fd, e);
    if (!rc)
        rc = qs_file_stat(path, &st, e);
    int head = 0;
    if (!rc)
        head = read_head(&j, st.size, key, e, &rc);
    if (!rc && head < 0 && !restart)
        rc = qs_fail(e, QS_EEXISTS, "%s: an unfinished run with another source, recipe, importance matrix or version left "
                     "this; --restart discards it", path);
    const bool empty = head <= 0 || restart;
    if (!rc)
        *fresh = empty;
    if (!rc && empty) {
        uint8_t raw[HEAD_BYTES];
        put_head(raw, key);
        if (ftruncate(j.fd, 0))
            rc = qs_fail_errno(e, errno, "cannot empty %s", path);
        if (!rc)
            rc = qs_pwrite_all(j.fd, raw, sizeof raw, 0, path, e);
    } else if (!rc) {
        rc = read_records(&j, st.size, e);
    }
    if (rc)
        qs_journal_close(&j, false);
    else
        *out = j;
    return rc;
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
