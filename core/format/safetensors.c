/* safetensors.c - the header of one safetensors file, checked.
 *
 * Owns the parsed header (its names are used where they are) and the table. Refuses lengths beyond the file, anything
 * that is not the JSON that the format asks for, names that stand twice, unknown dtypes, shapes whose bytes are not the
 * range that is stated, ranges that overlap, leave gaps or end elsewhere than the file does. Reads by pread, maps
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/unicode.h"
#include "core/format/safetensors.h"
#include "kernels/format.h"

#define LENGTH_BYTES 8u

static const struct qs_st_dtype dtypes[] = {
    { "F32", 32, QS_F32 },           { "F16", 16, QS_F16 },           { "BF16", 16, QS_BF16 },
    { "F64", 64, QS_F64 },           { "I8", 8, QS_I8 },              { "I16", 16, QS_I16 },
    { "I32", 32, QS_I32 },           { "I64", 64, QS_I64 },           { "U8", 8, QS_TYPE_NONE },
    { "U16", 16, QS_TYPE_NONE },     { "U32", 32, QS_TYPE_NONE },     { "U64", 64, QS_TYPE_NONE },
    { "BOOL", 8, QS_TYPE_NONE },     { "F8_E4M3", 8, QS_TYPE_NONE },  { "F8_E5M2", 8, QS_TYPE_NONE },
    { "F8_E8M0", 8, QS_TYPE_NONE },  { "F4", 4, QS_TYPE_NONE },       { "F6_E2M3", 6, QS_TYPE_NONE },
    { "F6_E3M2", 6, QS_TYPE_NONE },  { "C64", 64, QS_TYPE_NONE },
};

static const struct qs_st_dtype *find_dtype(const char *name)
{
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

/* ---- one entry of the header ------------------------------------------------------------------------------------- */

static int bad(const struct qs_safetensors *s, const char *name, const char *why, struct qs_err *e)
{
    return qs_fail(e, QS_EFORMAT, "%s: header: tensor %.120s: %s", s->path, name, why);
}

static int read_shape(const struct qs_safetensors *s, const struct qs_json *v, struct qs_st_tensor *t, struct qs_err *e)
{
    const size_t n = qs_json_len(v);
    if (qs_json_type(v) != QS_JSON_ARRAY)
        return bad(s, t->name, "\"shape\" is no list", e);
    if (n > QS_ST_MAX_DIMS)
        return bad(s, t->name, "more than 8 dimensions", e);
    t->n_dims = (unsigned)n;
    t->n = 1;
    for (size_t i = 0; i < QS_ST_MAX_DIMS; i++) {
        t->shape[i] = 1;
        if (i >= n)
            continue;
        if (qs_json_type(qs_json_at(v, i)) != QS_JSON_INT ||
            (t->shape[i] = qs_json_uint(qs_json_at(v, i), UINT64_MAX)) > INT64_MAX)
            return bad(s, t->name, "a dimension in \"shape\" is no whole number", e);
        if (!qs_mul_u64(t->n, t->shape[i], &t->n))
            return bad(s, t->name, "the product of \"shape\" overflows", e);
    }
    return QS_OK;
}

static int read_range(const struct qs_safetensors *s, const struct qs_json *v, struct qs_st_tensor *t, struct qs_err *e)
{
    uint64_t at[2], bits, end;
    if (qs_json_type(v) != QS_JSON_ARRAY || qs_json_len(v) != 2)
        return bad(s, t->name, "\"data_offsets\" are not two numbers", e);
    for (size_t i = 0; i < 2; i++)
        if (qs_json_type(qs_json_at(v, i)) != QS_JSON_INT ||
            (at[i] = qs_json_uint(qs_json_at(v, i), UINT64_MAX)) == UINT64_MAX)
            return bad(s, t->name, "\"data_offsets\" are not two numbers", e);
    if (at[0] > at[1])
        return bad(s, t->name, "\"data_offsets\" end before they begin", e);
    t->size = at[1] - at[0];
    if (!qs_mul_u64(t->n, t->dtype->bits, &bits) || bits % 8 || bits / 8 != t->size)
        return qs_fail(e, QS_EFORMAT,
                       "%s: header: tensor %.120s: %" PRIu64 " numbers of %s are not the %" PRIu64
                       " bytes that \"data_offsets\" give it", s->path, t->name, t->n, t->dtype->name, t->size);
    if (!qs_add_u64(at[0], s->header_size, &t->offset) || !qs_add_u64(at[1], s->header_size, &end) ||
        end > s->file_size)
        return qs_fail(e, QS_EFORMAT,
                       "%s: tensor %.120s ends %" PRIu64 " bytes into the data, but the file holds %" PRIu64
                       " (cut short: fetch it again)", s->path, t->name, at[1], s->file_size - s->header_size);
    return QS_OK;
}

static int read_tensor(const struct qs_safetensors *s, const char *name, const struct qs_json *v,
                       struct qs_st_tensor *t, struct qs_err *e)
{
    const size_t len = strlen(name);
    t->name = name;
    if (len == 0 || len > 255 || qs_utf8_invalid_at(name, len) < len)
        return bad(s, name, "a name has 1 to 255 bytes of UTF-8", e);
    if (qs_json_type(v) != QS_JSON_OBJECT)
        return bad(s, name, "is not described by an object", e);
    const char *dtype = qs_json_str(qs_json_get(v, "dtype"), NULL);
    if (!dtype)
        return bad(s, name, "\"dtype\" is missing", e);
    t->dtype = find_dtype(dtype);
    if (!t->dtype)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: header: tensor %.120s: the dtype %.40s is not known", s->path, name,
                       dtype);
    const int rc = read_shape(s, qs_json_get(v, "shape"), t, e);
    return rc ? rc : read_range(s, qs_json_get(v, "data_offsets"), t, e);
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

/* Members of the outermost object of valid JSON as they are written. The parser keeps the last of two of one name: the
 * difference tells that there were two. */
static size_t written_members(const char *text, size_t n)
{
    size_t members = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ':' && depth == 1) {
            members++;
        }
    }
    return members;
}

static int by_offset(const void *a, const void *b)
{
    const struct qs_st_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Every byte behind the header belongs to one tensor. */
static int check_cover(const struct qs_safetensors *s, struct qs_err *e)
{
    uint64_t reached = s->header_size;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct qs_st_tensor *t = &s->tensor[i];
        if (t->offset < reached)
            return qs_fail(e, QS_EFORMAT, "%s: header: tensors %.100s and %.100s overlap", s->path,
                           i ? s->tensor[i - 1].name : "?", t->name);
        if (t->offset > reached)
            return qs_fail(e, QS_EFORMAT, "%s: header: %" PRIu64 " bytes before tensor %.120s belong to none", s->path,
                           t->offset - reached, t->name);
        reached += t->size;
    }
    if (reached < s->file_size)
        return qs_fail(e, QS_EFORMAT, "%s: %" PRIu64 " bytes behind the last tensor belong to none", s->path,
                       s->file_size - reached);
    return QS_OK;
}

static int read_entries(struct qs_safetensors *s, struct qs_err *e)
{
    const size_t n = qs_json_len(s->root);
    if (n > QS_ST_MAX_TENSORS)
        return qs_fail(e, QS_ELIMIT, "%s: header: more than %u tensors", s->path, QS_ST_MAX_TENSORS);
    s->tensor = qs_calloc(n ? n : 1, sizeof *s->tensor);
    if (!s->tensor)
        return qs_fail_mem(e, n * sizeof *s->tensor, "the table of tensors");
    for (size_t i = 0; i < n; i++) {
        const struct qs_json *v;
        const char *name = qs_json_key_at(s->root, i, &v);
        if (strcmp(name, "__metadata__") == 0)
            continue;
        const int rc = read_tensor(s, name, v, &s->tensor[s->n_tensors], e);
        if (rc)
            return rc;
        s->n_tensors++;
    }
    if (s->n_tensors)
        qsort(s->tensor, s->n_tensors, sizeof *s->tensor, by_offset);
    return check_cover(s, e);
}

static int parse(struct qs_safetensors *s, struct qs_reader *r, struct qs_err *e)
{
    if (r->size < LENGTH_BYTES + 2)
        return qs_fail(e, QS_EFORMAT, "%s: %" PRIu64 " bytes are no safetensors file", s->path, r->size);
    const uint64_t n = qs_reader_u64(r, "header length");
    if (n > s->file_size - LENGTH_BYTES)
        return qs_fail(e, QS_EFORMAT,
                       "%s: the header is said to have %" PRIu64 " bytes, but the file has %" PRIu64
                       ": it is no safetensors file, or cut short", s->path, n, s->file_size);
    if (n > QS_ST_MAX_HEADER)
        return qs_fail(e, QS_ELIMIT, "%s: a header of %" PRIu64 " bytes: at most %u are read", s->path, n,
                       QS_ST_MAX_HEADER);
    const uint8_t *text = qs_reader_bytes(r, n, "header");
    if (!text)
        return qs_fail(e, r->err.code, "%s: %s", s->path, r->err.msg);
    s->header_size = LENGTH_BYTES + n;
    s->bytes_read = r->bytes_read;
    struct qs_err why = QS_ERR_INIT;
    const int rc = qs_json_parse((const char *)text, (size_t)n, &s->root, &why);
    if (rc)
        return qs_fail(e, rc, "%s: header: %s", s->path, why.msg);
    if (qs_json_type(s->root) != QS_JSON_OBJECT)
        return qs_fail(e, QS_EFORMAT, "%s: header: is no JSON object", s->path);
    if (written_members((const char *)text, (size_t)n) != qs_json_len(s->root))
        return qs_fail(e, QS_EFORMAT, "%s: header: a name stands twice", s->path);
    return read_entries(s, e);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static struct qs_safetensors *new_file(const char *path, uint64_t size, struct qs_err *e)
{
    struct qs_safetensors *s = qs_calloc(1, sizeof *s);
    char *copy = qs_strdup(path);
    if (!s || !copy) {
        qs_free(s);
        qs_free(copy);
        qs_fail_mem(e, sizeof *s, "a safetensors file");
        return NULL;
    }
    s->path = copy;
    s->file_size = size;
    return s;
}

static int open_fd(const char *path, int fd, const struct stat *st, struct qs_safetensors **out, struct qs_err *e)
{
    struct qs_reader r;
    struct qs_safetensors *s = new_file(path, (uint64_t)st->st_size, e);
    if (!s)
        return QS_ENOMEM;
    s->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    s->dev = (uint64_t)st->st_dev;
    s->ino = (uint64_t)st->st_ino;
    int rc = qs_reader_open_fd(&r, fd, 0, e);
    if (rc == QS_OK)
        rc = parse(s, &r, e);
    qs_reader_close(&r);
    if (rc == QS_OK)
        *out = s;
    else
        qs_safetensors_close(s);
    return rc;
}

int qs_safetensors_open(const char *path, struct qs_safetensors **out, struct qs_err *e)
{
    struct stat st;
    int rc;
    *out = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe is refused, not waited for */
    if (fd < 0)
        return qs_fail_errno(e, errno, "cannot open %s", path);
    if (fstat(fd, &st) != 0)
        rc = qs_fail_errno(e, errno, "cannot examine %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = qs_fail(e, QS_EINVAL, "%s is not a regular file", path);
    else
        rc = open_fd(path, fd, &st, out, e);
    close(fd);
    return rc;
}

int qs_safetensors_open_mem(const void *bytes, size_t n, uint64_t file_size, struct qs_safetensors **out,
                            struct qs_err *e)
{
    struct qs_reader r;
    *out = NULL;
    struct qs_safetensors *s = new_file("safetensors in memory", file_size > n ? file_size : n, e);
    if (!s)
        return QS_ENOMEM;
    qs_reader_open_mem(&r, bytes, n);
    const int rc = parse(s, &r, e);
    qs_reader_close(&r);
    if (rc == QS_OK)
        *out = s;
    else
        qs_safetensors_close(s);
    return rc;
}

void qs_safetensors_close(struct qs_safetensors *s)
{
    if (!s)
        return;
    qs_json_free(s->root);
    qs_free(s->tensor);
    qs_free(s->path);
    qs_free(s);
}
