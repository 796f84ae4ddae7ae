/* store_read.c - what a store's file says, believed as far as it is whole.
 *
 * Owns nothing. Input is hostile until checked: heads and records are read one by one, of fixed size, through the
 * bounded reader, and a record is whole only when its checksum, its shape and the room for its bytes agree.
 */
#include "core/quant/store_internal.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/unicode.h"

#define HASH_PIECE ((size_t)1 << 20) /* bytes read back at a time */

uint64_t qs_store_sum(const void *p, size_t n)
{
    return qs_hash_bytes(p, n).lo;
}

static struct qs_key read_key(struct qs_reader *r, const char *field)
{
    struct qs_key k;
    k.lo = qs_reader_u64(r, field);
    k.hi = qs_reader_u64(r, field);
    return k;
}

/* ---- the head ---- */

static int read_facts(int fd, uint64_t size, const char *path, uint32_t len, struct qs_key hash, char **out,
                      struct qs_err *e)
{
    if (len > QS_STORE_FACTS_MOST || len > size - QS_STORE_HEAD)
        return qs_fail(e, QS_EFORMAT, "%s: its head tells of %u bytes that are not there", path, (unsigned)len);
    char *text = qs_malloc((size_t)len + 1);
    if (!text)
        return qs_fail_mem(e, len, "a store's head");
    int rc = qs_pread_all(fd, text, len, QS_STORE_HEAD, path, e);
    text[len] = 0;
    if (!rc && (!qs_key_equal(qs_hash_bytes(text, len), hash) || strlen(text) != len))
        rc = qs_fail(e, QS_EFORMAT, "%s: its head is damaged", path);
    if (rc)
        qs_free(text);
    else
        *out = text;
    return rc;
}

int qs_store_read_head(int fd, uint64_t size, const char *path, struct qs_key *key, char **facts, struct qs_err *e)
{
    uint8_t raw[QS_STORE_HEAD];
    struct qs_reader r;
    if (size < QS_STORE_HEAD)
        return qs_fail(e, QS_EFORMAT, "%s is no file of calibrated tensors, or one that was cut short", path);
    int rc = qs_pread_all(fd, raw, sizeof raw, 0, path, e);
    if (rc)
        return rc;
    qs_reader_open_mem(&r, raw, sizeof raw);
    const bool ours = !memcmp(qs_reader_bytes(&r, 8, "magic"), "QSCALIB1", 8);
    const uint32_t version = qs_reader_u32(&r, "version"), len = qs_reader_u32(&r, "length");
    *key = read_key(&r, "key");
    const struct qs_key hash = read_key(&r, "hash");
    (void)qs_reader_u64(&r, "zero");
    const bool whole = qs_reader_u64(&r, "checksum") == qs_store_sum(raw, sizeof raw - 8);
    qs_reader_close(&r);
    if (!ours)
        return qs_fail(e, QS_EFORMAT, "%s is no file of calibrated tensors", path);
    if (!whole)
        return qs_fail(e, QS_EFORMAT, "%s: its head is damaged", path);
    if (version != QS_STORE_VERSION)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: written by another version of this program (form %u)", path,
                       (unsigned)version);
    return read_facts(fd, size, path, len, hash, facts, e);
}

/* ---- records ---- */

static bool is_text(const char *s, size_t room, bool needed)
{
    const char *end = memchr(s, 0, room);
    if (!end || (needed && end == s) || qs_utf8_invalid_at(s, (size_t)(end - s)) != (size_t)(end - s))
        return false;
    for (const char *p = s; p < end; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            return false;
    return true;
}

int qs_store_check(const struct qs_stored *t, struct qs_err *e)
{
    if (!is_text(t->name, sizeof t->name, true) || !is_text(t->method, sizeof t->method, true) ||
        !is_text(t->note, sizeof t->note, false))
        return qs_fail(e, QS_EINVAL, "a calibrated tensor's name, method or note is no text");
    const struct qs_format *f = qs_format_by_id(t->type);
    if (!f || f->n_components != 1 || (f->flags & QS_INTERNAL) || !qs_format_ops(t->type)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: type %d is none that tensors are stored in", t->name, t->type);
    uint64_t rows = 1, bytes = 0;
    bool ok = t->n_dims >= 1 && t->n_dims <= 4 && t->ne[0] > 0 && t->ne[0] % f->block == 0 &&
              t->ne[0] <= SIZE_MAX / 256;
    for (unsigned d = 0; ok && d < 4; d++)
        ok = t->ne[d] > 0 && (d < t->n_dims || t->ne[d] == 1) && (d == 0 || qs_mul_u64(rows, t->ne[d], &rows));
    ok = ok && qs_mul_u64(rows, qs_format_row_bytes(f, (size_t)t->ne[0]), &bytes) && bytes == t->bytes;
    return ok ? QS_OK : qs_fail(e, QS_EINVAL, "%s: its shape and its %llu bytes do not go together in %s", t->name,
                                (unsigned long long)t->bytes, f->name);
}

static void read_text(struct qs_reader *r, char *to, size_t n, const char *field)
{
    const uint8_t *p = qs_reader_bytes(r, n, field);
    if (p)
        memcpy(to, p, n);
}

/* Whether the raw bytes are a whole record; t->at stays 0. */
static bool read_record(const uint8_t *raw, struct qs_stored *t)
{
    struct qs_reader r;
    memset(t, 0, sizeof *t);
    qs_reader_open_mem(&r, raw, QS_STORE_RECORD);
    const bool ours = !memcmp(qs_reader_bytes(&r, 8, "mark"), "QSTENSOR", 8);
    read_text(&r, t->name, sizeof t->name, "name");
    read_text(&r, t->method, sizeof t->method, "method");
    read_text(&r, t->note, sizeof t->note, "note");
    t->type = (int)qs_reader_u32(&r, "type");
    t->n_dims = qs_reader_u32(&r, "dimensions");
    for (int d = 0; d < 4; d++)
        t->ne[d] = qs_reader_u64(&r, "shape");
    t->group = qs_reader_u32(&r, "group");
    (void)qs_reader_u32(&r, "zero");
    t->before = qs_reader_f64(&r, "error");
    t->after = qs_reader_f64(&r, "error");
    t->bytes = qs_reader_u64(&r, "bytes");
    t->hash = read_key(&r, "hash");
    struct qs_reader sum;
    qs_reader_open_mem(&sum, raw + QS_STORE_RECORD - 8, 8);
    const bool whole = qs_reader_u64(&sum, "checksum") == qs_store_sum(raw, QS_STORE_RECORD - 8);
    qs_reader_close(&sum);
    const bool ok = ours && whole && !r.err.code && qs_store_check(t, NULL) == QS_OK;
    qs_reader_close(&r);
    return ok;
}

static bool is_end(const uint8_t *raw, uint64_t records)
{
    struct qs_reader r;
    qs_reader_open_mem(&r, raw, QS_STORE_END);
    const bool mark = !memcmp(qs_reader_bytes(&r, 8, "mark"), "QSCALEND", 8),
               all = qs_reader_u64(&r, "records") == records;
    (void)qs_reader_bytes(&r, QS_STORE_END - 24, "zero");
    const bool whole = qs_reader_u64(&r, "checksum") == qs_store_sum(raw, QS_STORE_END - 8);
    qs_reader_close(&r);
    return mark && all && whole;
}

/* Do the bytes in the file have this hash? */
static int hash_there(int fd, const struct qs_stored *t, const char *path, bool *same, struct qs_err *e)
{
    uint8_t *buf = qs_malloc(HASH_PIECE);
    struct qs_hash *h = qs_hash_new();
    int rc = buf && h ? QS_OK : qs_fail_mem(e, HASH_PIECE, "reading back a calibrated tensor");
    for (uint64_t at = 0; !rc && at < t->bytes; at += HASH_PIECE) {
        const size_t n = t->bytes - at < HASH_PIECE ? (size_t)(t->bytes - at) : HASH_PIECE;
        rc = qs_pread_all(fd, buf, n, t->at + at, path, e);
        if (!rc)
            qs_hash_add(h, buf, n);
    }
    *same = h && qs_key_equal(qs_hash_end(h), t->hash) && !rc;
    qs_free(buf);
    return rc;
}

/* The next record; *found false: what follows is none that is whole. */
static int next_record(struct qs_store *s, int fd, uint64_t size, bool hashes, struct qs_stored *t, bool *found,
                       struct qs_err *e)
{
    uint8_t raw[QS_STORE_RECORD];
    *found = false;
    if (s->end > size || size - s->end < QS_STORE_RECORD)
        return QS_OK;
    int rc = qs_pread_all(fd, raw, sizeof raw, s->end, s->path, e);
    if (rc || !read_record(raw, t))
        return rc;
    t->at = s->end + QS_STORE_RECORD;
    if (t->bytes > size - t->at || qs_store_find(s, t->name))
        return QS_OK;
    *found = true;
    return hashes ? hash_there(fd, t, s->path, found, e) : QS_OK;
}

int qs_store_read_records(struct qs_store *s, int fd, uint64_t size, bool hashes, bool *end_mark, struct qs_err *e)
{
    struct qs_stored t;
    bool found = true;
    int rc = QS_OK;
    *end_mark = false;
    while (!rc) {
        rc = next_record(s, fd, size, hashes, &t, &found, e);
        if (rc || !found)
            break;
        rc = qs_store_add_item(s, &t, hashes, e);
        if (!rc)
            s->end = qs_store_aligned(t.at + t.bytes);
    }
    uint8_t raw[QS_STORE_END];
    if (rc || s->end > size || size - s->end != QS_STORE_END)
        return rc;
    rc = qs_pread_all(fd, raw, sizeof raw, s->end, s->path, e);
    *end_mark = !rc && is_end(raw, s->n);
    return rc;
}
