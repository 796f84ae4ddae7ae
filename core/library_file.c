/* library_file.c - what one model file of the library is: its parts, its size, the few facts its header begins with.
 *
 * Reads a bounded start of the header with pread; nothing stays open. Everything in it is hostile until checked. Pipes
 * and devices are never waited for. No shared state.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/gguf.h"
#include "core/library_internal.h"
#include "core/quant/preset.h"

/* ---- the header, in pieces --------------------------------------------------------------------------------------- */

#define PIECE 16384u
#define MAX_TEXT 64u /* of a value that is kept */

/* A cursor that skips without reading. The first failure sticks: `stop`. */
struct cursor {
    int fd;
    uint64_t pos, at, size, budget, bytes_read; /* of the cursor; of buf in the file; of the file */
    size_t have;
    bool stop; /* the end of the file or of what may be read */
    uint8_t buf[PIECE];
};

static bool take(struct cursor *c, void *out, size_t n)
{
    uint8_t *to = out;
    while (n > 0 && !c->stop) {
        if (c->pos >= c->at && c->pos - c->at < c->have) {
            const size_t off = (size_t)(c->pos - c->at), some = c->have - off < n ? c->have - off : n;
            memcpy(to, c->buf + off, some);
            to += some;
            n -= some;
            c->pos += some;
            continue;
        }
        const size_t want = c->budget - c->bytes_read < PIECE ? (size_t)(c->budget - c->bytes_read) : PIECE;
        const ssize_t got = want && c->pos < c->size ? pread(c->fd, c->buf, want, (off_t)c->pos) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        c->stop = got <= 0;
        c->at = c->pos;
        c->have = got > 0 ? (size_t)got : 0;
        c->bytes_read += c->have;
    }
    if (n > 0)
        memset(to, 0, n);
    return !c->stop;
}

static uint64_t number(struct cursor *c, size_t bytes)
{
    uint8_t b[8] = { 0 };
    uint64_t v = 0;
    take(c, b, bytes);
    for (size_t i = 8; i-- > 0;)
        v = v << 8 | b[i];
    return v;
}

static void skip(struct cursor *c, uint64_t n)
{
    if (c->stop || n > c->size - c->pos)
        c->stop = true;
    else
        c->pos += n;
}

/* A text with its length in front; what does not fit `cap` is skipped and gives "". */
static void text(struct cursor *c, char *out, size_t cap)
{
    const uint64_t n = number(c, 8);
    out[0] = 0;
    if (n >= cap) {
        skip(c, n);
        return;
    }
    if (take(c, out, (size_t)n))
        out[n] = 0;
    else
        out[0] = 0;
}

/* Walks over a value; arrays of texts one by one, as long as the budget lasts. */
static void skip_value(struct cursor *c, uint64_t type)
{
    uint64_t count = 1, bytes;
    if (type == QS_GGUF_ARRAY) {
        type = number(c, 4);
        count = number(c, 8);
    }
    if (type >= QS_GGUF_TYPES || type == QS_GGUF_ARRAY) { /* arrays of arrays: nobody writes them */
        c->stop = true;
        return;
    }
    if (type != QS_GGUF_STRING) {
        if (qs_mul_u64(count, qs_gguf_type_size((int)type), &bytes))
            skip(c, bytes);
        else
            c->stop = true;
        return;
    }
    for (uint64_t i = 0; i < count && !c->stop; i++)
        skip(c, number(c, 8));
}

struct found { char arch[MAX_TEXT], kind[MAX_TEXT]; int64_t file_type; };

static void read_entries(struct cursor *c, uint64_t n, struct found *f)
{
    for (uint64_t i = 0; i < n && !c->stop && !(f->arch[0] && f->file_type >= 0); i++) {
        char key[MAX_TEXT];
        text(c, key, sizeof key);
        const uint64_t type = number(c, 4);
        if (type == QS_GGUF_STRING && strcmp(key, "general.architecture") == 0)
            text(c, f->arch, sizeof f->arch);
        else if (type == QS_GGUF_STRING && strcmp(key, "general.type") == 0)
            text(c, f->kind, sizeof f->kind);
        else if ((type == QS_GGUF_U32 || type == QS_GGUF_I32) && strcmp(key, "general.file_type") == 0) {
            const uint64_t v = number(c, 4);
            f->file_type = c->stop || v > INT32_MAX ? -1 : (int64_t)v;
        } else
            skip_value(c, type);
    }
}

static int read_header(struct cursor *c, struct qs_library_peek *out, struct qs_err *e)
{
    struct found f = { .file_type = -1 };
    char magic[4];
    if (c->size == 0)
        return qs_fail(e, QS_EFORMAT, "the file is empty");
    take(c, magic, sizeof magic);
    if (memcmp(magic, "vers", 4) == 0)
        return qs_fail(e, QS_EFORMAT, "a Git LFS pointer, not the model itself: fetch it with 'git lfs pull'");
    if (memcmp(magic, "GGUF", 4) != 0)
        return qs_fail(e, QS_EFORMAT, "not a GGUF file");
    const uint64_t version = number(c, 4);
    if (version != 2 && version != 3)
        return qs_fail(e, QS_EFORMAT, c->stop ? "the file is cut short" : "GGUF of a version that is not read here");
    skip(c, 8);
    const uint64_t n = number(c, 8);
    if (c->stop)
        return qs_fail(e, QS_EFORMAT, "the file is cut short");
    read_entries(c, n, &f);
    qs_library_clean(out->arch, sizeof out->arch, f.arch);
    const struct qs_preset *p = f.file_type >= 0 ? qs_preset_by_file_type((int)f.file_type) : NULL;
    if (p)
        (void)snprintf(out->type, sizeof out->type, "%s", p->name);
    if (strcmp(f.kind, "imatrix") == 0)
        return qs_fail(e, QS_EFORMAT, "an importance matrix, not a model");
    if (strcmp(f.kind, "adapter") == 0)
        return qs_fail(e, QS_EFORMAT, "an adapter (LoRA), not a model");
    return QS_OK;
}

int qs_library_peek(const char *path, uint64_t max_bytes, struct qs_library_peek *out, struct qs_err *e)
{
    struct stat st;
    *out = (struct qs_library_peek){ .bytes_read = 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is not waited for */
    if (fd < 0)
        return qs_fail_errno(e, errno, "cannot be read");
    int rc = QS_OK;
    struct cursor *c = qs_malloc(sizeof *c);
    if (!c)
        rc = qs_fail_mem(e, sizeof *c, "the start of a model");
    else if (fstat(fd, &st) != 0)
        rc = qs_fail_errno(e, errno, "cannot be examined");
    else if (!S_ISREG(st.st_mode))
        rc = qs_fail(e, QS_EFORMAT, "not a regular file");
    else {
        c->fd = fd;
        c->pos = c->at = c->bytes_read = c->have = 0;
        c->size = (uint64_t)st.st_size;
        c->budget = max_bytes;
        c->stop = false;
        rc = read_header(c, out, e);
        out->bytes_read = c->bytes_read;
    }
    qs_free(c);
    close(fd);
    return rc;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

size_t qs_library_part(const char *path, unsigned *no, unsigned *count)
{
    static const char form[] = "-00000-of-00000.gguf"; /* 0: any digit */
    const size_t n = sizeof form - 1, len = strlen(qs_path_base(path)), all = strlen(path);
    unsigned v[2] = { 0, 0 };
    if (len <= n)
        return 0;
    const char *tail = path + all - n;
    for (size_t i = 0; i < n; i++) {
        const bool digit = form[i] == '0';
        if (digit ? tail[i] < '0' || tail[i] > '9' : tail[i] != form[i])
            return 0;
        if (digit)
            v[i > 6] = v[i > 6] * 10 + (unsigned)(tail[i] - '0');
    }
    if (v[0] < 1 || v[0] > v[1] || v[1] > QS_LIBRARY_MAX_PARTS)
        return 0;
    *no = v[0];
    *count = v[1];
    return all - n;
}

static bool word_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The longest name of a preset that stands in a file name as a word of its own. */
static const char *type_in_name(const char *name)
{
    const char *best = "";
    for (size_t i = 0; i < qs_preset_count(); i++) {
        const char *type = qs_preset_at(i)->name;
        const size_t n = strlen(type);
        if (n <= strlen(best) || qs_preset_at(i)->base == QS_TYPE_NONE)
            continue;
        for (const char *s = name; *s; s++)
            if (qs_ascii_begins(s, type) && !word_char(s[n]) && (s == name || !word_char(s[-1])))
                best = type;
    }
    return best;
}

/* ---- an entry ---------------------------------------------------------------------------------------------------- */

static void count_file(struct qs_library_entry *entry, const struct stat *st, struct qs_library_id *id)
{
    const int64_t mtime = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    if (id->ino == 0)
        *id = (struct qs_library_id){ (uint64_t)st->st_dev, (uint64_t)st->st_ino };
    entry->bytes += (uint64_t)st->st_size;
    if (mtime > entry->mtime_ns)
        entry->mtime_ns = mtime;
}

/* All parts of a split file; the entry is opened by its first. */
static int count_parts(struct qs_library_entry *entry, const char *path, size_t stem, unsigned count,
                       struct qs_library_id *id, struct qs_err *e)
{
    struct qs_str part = QS_STR_INIT, lost = QS_STR_INIT;
    struct stat st;
    bool first = false;
    for (unsigned i = 1; i <= count; i++) {
        qs_str_clear(&part);
        qs_str_addn(&part, path, stem);
        qs_str_addf(&part, "-%05u-of-%05u.gguf", i, count);
        if (part.failed)
            break;
        if (stat(part.data, &st) == 0 && S_ISREG(st.st_mode)) {
            if (i == 1 || !entry->path[0])
                (void)snprintf(entry->path, sizeof entry->path, "%s", part.data);
            first |= i == 1;
            count_file(entry, &st, id);
        } else if (entry->parts_missing++ < 4)
            qs_str_addf(&lost, "%s%u", lost.len ? ", " : "", i);
    }
    entry->parts = count;
    entry->missing = entry->parts_missing == count;
    entry->openable = first && entry->parts_missing == 0;
    if (entry->parts_missing)
        (void)snprintf(entry->note, sizeof entry->note, "%u of %u parts %s missing: %s%s", entry->parts_missing, count,
                       entry->parts_missing == 1 ? "is" : "are", lost.data, entry->parts_missing > 4 ? " ..." : "");
    if (!entry->path[0])
        (void)snprintf(entry->path, sizeof entry->path, "%s", path);
    const bool failed = part.failed || lost.failed;
    qs_str_free(&part);
    qs_str_free(&lost);
    return failed ? qs_fail_mem(e, strlen(path), "a path") : QS_OK;
}

static void count_one(struct qs_library_entry *entry, const char *path, struct qs_library_id *id)
{
    struct stat st;
    (void)snprintf(entry->path, sizeof entry->path, "%s", path);
    entry->parts = 1;
    if (stat(path, &st) == 0) {
        count_file(entry, &st, id);
        entry->openable = true;
        return;
    }
    entry->missing = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    (void)snprintf(entry->note, sizeof entry->note, "%s",
                   !entry->missing ? "cannot be examined" : qs_file_exists(path) ? "a link to a file that is gone"
                                                                                 : "the file is gone");
}

int qs_library_fill(struct qs_library_entry *entry, const char *path, struct qs_library_id *id, struct qs_err *e)
{
    unsigned no, count;
    struct qs_library_peek peek = { .bytes_read = 0 };
    struct qs_err why = QS_ERR_INIT;
    const size_t stem = qs_library_part(path, &no, &count);
    int rc = QS_OK;
    *id = (struct qs_library_id){ 0, 0 };
    if (stem)
        rc = count_parts(entry, path, stem, count, id, e);
    else
        count_one(entry, path, id);
    if (rc)
        return rc;
    if (!entry->missing && (rc = qs_library_peek(entry->path, QS_LIBRARY_PEEK, &peek, &why)) != QS_OK) {
        if (rc == QS_ENOMEM)
            return qs_fail(e, QS_ENOMEM, "%s", why.msg);
        entry->openable = false;
        qs_library_clean(entry->note, sizeof entry->note, why.msg);
    }
    memcpy(entry->arch, peek.arch, sizeof entry->arch);
    memcpy(entry->type, peek.type, sizeof entry->type);
    if (!entry->type[0] && why.code == QS_OK) {
        const char *type = type_in_name(entry->file[0] ? entry->file : entry->name);
        entry->type_from_name = *type != 0;
        (void)snprintf(entry->type, sizeof entry->type, "%s", type);
    }
    return QS_OK;
}
