/* reader.c - the bounded reader every file format is parsed with.
 *
 * Owns the window: bytes [0, have) of the file, grown by pread in pieces of 64 KiB, later up to 1 MiB. Refuses any
 * read that ends beyond `limit`, before anything is allocated for it. The first failure sticks. One reader belongs to
 * one thread at a time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/reader.h"

#define CHUNK_MIN (64u << 10)
#define CHUNK_MAX (1u << 20)

int qs_reader_open_fd(struct qs_reader *r, int fd, uint64_t limit, struct qs_err *e)
{
    memset(r, 0, sizeof *r);
    r->fd = fd;
    r->owns_buf = true;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return qs_fail_errno(e, errno, "cannot examine the file");
    if (!S_ISREG(st.st_mode))
        return qs_fail(e, QS_EINVAL, "not a regular file");
    r->size = (uint64_t)st.st_size;
    r->limit = limit == 0 || limit > r->size ? r->size : limit;
    return QS_OK;
}

void qs_reader_open_mem(struct qs_reader *r, const void *bytes, size_t n)
{
    memset(r, 0, sizeof *r);
    r->fd = -1;
    r->buf = (uint8_t *)(uintptr_t)bytes; /* never written through: owns_buf is false */
    r->size = r->limit = r->have = r->cap = n;
}

void qs_reader_close(struct qs_reader *r)
{
    if (r->owns_buf)
        qs_free(r->buf);
    r->buf = NULL;
    r->have = r->cap = 0;
    r->limit = r->size = r->pos = 0;
}

uint8_t *qs_reader_take(struct qs_reader *r)
{
    if (!r->owns_buf)
        return NULL;
    uint8_t *p = r->buf;
    r->buf = NULL;
    r->have = r->cap = 0;
    return p;
}

static bool in_bounds(const struct qs_reader *r, uint64_t n, uint64_t end)
{
    return r->pos <= end && n <= end - r->pos;
}

bool qs_reader_has(struct qs_reader *r, uint64_t n)
{
    return r->err.code == QS_OK && in_bounds(r, n, r->limit);
}

int qs_reader_fail(struct qs_reader *r, enum qs_code code, const char *fmt, ...)
{
    if (r->err.code != QS_OK)
        return (int)r->err.code;
    char line[QS_ERR_MAX - 48]; /* the offset always fits behind it */
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(line, sizeof line, fmt, ap) < 0)
        line[0] = 0;
    va_end(ap);
    return qs_fail(&r->err, code, "%s (at offset %" PRIu64 ")", line, r->pos);
}

/* Checks that n bytes at the cursor may be read at all. */
static bool check(struct qs_reader *r, uint64_t n, const char *field)
{
    if (r->err.code != QS_OK)
        return false;
    if (in_bounds(r, n, r->limit))
        return true;
    if (!in_bounds(r, n, r->size))
        qs_reader_fail(r, QS_EFORMAT, "%s: needs %" PRIu64 " bytes, but the file ends at %" PRIu64, field, n, r->size);
    else
        qs_reader_fail(r, QS_ELIMIT, "%s: needs %" PRIu64 " bytes, but nothing beyond %" PRIu64 " may be read here",
                       field, n, r->limit);
    return false;
}

/* Reads the file until the window reaches `target` (<= limit). */
static bool fill(struct qs_reader *r, uint64_t target, const char *field)
{
    uint64_t step = r->have < CHUNK_MIN ? CHUNK_MIN : r->have > CHUNK_MAX ? CHUNK_MAX : r->have;
    uint64_t want = r->limit - r->have > step ? r->have + step : r->limit;
    if (want < target)
        want = target;
    if (want > r->cap) {
        uint64_t cap = r->cap > r->limit / 2 ? r->limit : r->cap * 2;
        if (cap < want)
            cap = want;
        uint8_t *grown = cap > SIZE_MAX ? NULL : qs_realloc(r->buf, (size_t)cap);
        if (!grown) {
            qs_reader_fail(r, QS_ENOMEM, "%s: out of memory: %" PRIu64 " bytes for the file's header", field, cap);
            return false;
        }
        r->buf = grown;
        r->cap = cap;
    }
    while (r->have < want) {
        uint64_t left = want - r->have;
        size_t ask = left > CHUNK_MAX ? CHUNK_MAX : (size_t)left;
        ssize_t got = pread(r->fd, r->buf + r->have, ask, (off_t)r->have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int why = errno;
            struct qs_err text;
            int code = qs_fail_errno(&text, why, "%s: read failed", field);
            qs_reader_fail(r, (enum qs_code)code, "%s", text.msg);
            return false;
        }
        if (got == 0) {
            if (r->have >= target)
                return true; /* only the read-ahead is missing; who needs it will be told */
            qs_reader_fail(r, QS_EIO, "%s: the file was cut short to %" PRIu64 " bytes while it was read", field,
                           r->have);
            return false;
        }
        r->have += (uint64_t)got;
        r->bytes_read += (uint64_t)got;
    }
    return true;
}

const uint8_t *qs_reader_bytes(struct qs_reader *r, uint64_t n, const char *field)
{
    static const uint8_t nothing[1];
    if (!check(r, n, field))
        return NULL;
    if (n == 0)
        return nothing;
    if (r->pos + n > r->have && !fill(r, r->pos + n, field))
        return NULL;
    const uint8_t *p = r->buf + r->pos;
    r->pos += n;
    return p;
}

/* `bytes` (4 or 8) little-endian bytes as a number. */
static uint64_t number(struct qs_reader *r, unsigned bytes, const char *field)
{
    const uint8_t *p = qs_reader_bytes(r, bytes, field);
    uint64_t v = 0;
    for (unsigned i = 0; p && i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint32_t qs_reader_u32(struct qs_reader *r, const char *field)
{
    return (uint32_t)number(r, 4, field);
}

uint64_t qs_reader_u64(struct qs_reader *r, const char *field)
{
    return number(r, 8, field);
}

double qs_reader_f64(struct qs_reader *r, const char *field)
{
    uint64_t bits = qs_reader_u64(r, field);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
