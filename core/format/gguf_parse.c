/* gguf_parse.c - one GGUF header: magic, counts, metadata, tensor table, and where the tensors must lie.
 *
 * Everything read is hostile until checked: counts against the bytes that are left before anything is allocated for
 * them, lengths against bounds, products for overflow. What is wrong becomes a finding; parsing goes on as long as the
 * place of the next field is known. One thread at a time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/format/gguf_internal.h"
#include "kernels/format.h"

/* ---- findings ---- */

/* Copies text without cutting a UTF-8 sequence in two. */
static void copy_cut(char *out, size_t cap, const char *text)
{
    size_t n = strlen(text);
    if (n >= cap) {
        n = cap - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
    }
    memcpy(out, text, n);
    out[n] = 0;
}

static void clean_to(char *out, size_t cap, const char *s, size_t n)
{
    struct qs_str text = QS_STR_INIT;
    if (n > 4096)
        n = 4096; /* nothing longer is ever shown */
    qs_utf8_clean(&text, s, n, 0);
    copy_cut(out, cap, text.failed ? "(out of memory)" : text.data);
    qs_str_free(&text);
}

void qs_gguf_label(char *out, size_t cap, const char *what, const char *name, size_t name_len, const char *suffix)
{
    char clean[72]; /* leaves room for what and suffix in a field of 96 bytes */
    clean_to(clean, sizeof clean, name, name_len);
    char line[160];
    snprintf(line, sizeof line, "%s %s%s%s", what, clean, suffix ? ": " : "", suffix ? suffix : "");
    copy_cut(out, cap, line);
}

void qs_gguf_find(struct qs_gguf *g, enum qs_finding_kind kind, enum qs_code code, unsigned part, uint64_t offset,
                  const char *field, const char *fmt, ...)
{
    struct qs_finding f = { .kind = kind, .part = part, .offset = offset };
    char line[2 * sizeof f.msg];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(line, sizeof line, fmt, ap) < 0)
        line[0] = 0;
    va_end(ap);
    copy_cut(f.field, sizeof f.field, field);
    copy_cut(f.msg, sizeof f.msg, line);

    struct qs_gguf_store *s = g->store;
    if (kind == QS_FINDING_FATAL && s->fatal_code == QS_OK) {
        s->fatal = f;
        s->fatal_code = code;
    }
    if (g->n_findings == QS_GGUF_MAX_FINDINGS)
        return;
    if (g->n_findings == QS_GGUF_MAX_FINDINGS - 1 && kind != QS_FINDING_FATAL) {
        snprintf(f.field, sizeof f.field, "file");
        snprintf(f.msg, sizeof f.msg, "there is more to say: only the first %u findings are kept",
                 QS_GGUF_MAX_FINDINGS);
    }
    if (!qs_grow(&g->finding, &s->finding_cap, g->n_findings + 1, sizeof *g->finding)) {
        s->out_of_memory = true;
        return;
    }
    g->finding[g->n_findings++] = f;
}

/* ---- the parser's state ---- */

struct parser {
    struct qs_gguf *g;
    struct qs_reader *r;
    struct qs_gguf_part *p;
    unsigned part;
    char field[96]; /* what is being read, for messages */
    bool stop;      /* a fatal finding after which nothing can be found in the file */
};

/* Ends the parse of this part: what comes next in the file is unknown. Returns false. */
static bool fatal(struct parser *ps, enum qs_code code, uint64_t offset, const char *fmt, ...) QS_PRINTF(4, 5);

static bool fatal(struct parser *ps, enum qs_code code, uint64_t offset, const char *fmt, ...)
{
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(msg, sizeof msg, fmt, ap) < 0)
        msg[0] = 0;
    va_end(ap);
    qs_gguf_find(ps->g, QS_FINDING_FATAL, code, ps->part, offset, ps->field, "%s", msg);
    ps->stop = true;
    return false;
}

#define NOTE(ps, kind, offset, ...) qs_gguf_find((ps)->g, kind, QS_OK, (ps)->part, offset, (ps)->field, __VA_ARGS__)

/* False when the reader failed; a damaged file becomes a finding, memory and disk trouble stay in the reader. */
static bool reading(struct parser *ps)
{
    struct qs_reader *r = ps->r;
    if (r->err.code == QS_OK)
        return !ps->stop;
    if (ps->stop || r->err.code == QS_ENOMEM || r->err.code == QS_EIO)
        return false;
    char text[QS_ERR_MAX];
    snprintf(text, sizeof text, "%s", r->err.msg);
    char *tail = strstr(text, " (at offset ");
    if (tail)
        *tail = 0; /* the finding carries the offset itself */
    const size_t n = strlen(ps->field);
    const char *what = strncmp(text, ps->field, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
    return fatal(ps, r->err.code, r->pos, "%s%s", what, r->err.code == QS_EFORMAT ? " (cut short: fetch it again)" : "");
}

static char *keep_name(struct parser *ps, const char *s, size_t n)
{
    struct qs_gguf_store *st = ps->g->store;
    if (!st->names || st->names->cap - st->names->used < n + 1) {
        size_t cap = n + 1 > 16384 ? n + 1 : 16384;
        struct qs_gguf_chunk *c = qs_malloc(sizeof *c + cap);
        if (!c) {
            st->out_of_memory = true;
            return NULL;
        }
        c->next = st->names;
        c->used = 0;
        c->cap = cap;
        st->names = c;
    }
    char *out = st->names->data + st->names->used;
    memcpy(out, s, n);
    out[n] = 0;
    st->names->used += n + 1;
    return out;
}

/* A length-prefixed string of at most `max` bytes; NULL when it cannot be had. Valid until the next read. */
static const char *read_string(struct parser *ps, uint64_t max, size_t *len, const char *what)
{
    uint64_t at = ps->r->pos;
    uint64_t n = qs_reader_u64(ps->r, what);
    if (!reading(ps))
        return NULL;
    if (n > max) {
        fatal(ps, QS_EFORMAT, at, "%s of %" PRIu64 " bytes: at most %" PRIu64 " are allowed", what, n, max);
        return NULL;
    }
    const uint8_t *s = qs_reader_bytes(ps->r, n, what);
    if (!reading(ps))
        return NULL;
    *len = (size_t)n;
    return (const char *)s;
}

static bool has_controls(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F)
            return true;
    return false;
}

/* Names are shown, matched and written everywhere: what could do harm there is refused. */
static const char *name_fault(const char *s, size_t n)
{
    if (n == 0)
        return "the name is empty";
    if (n > 255)
        return "the name is longer than 255 bytes";
    for (size_t pos = 0; pos < n;) {
        const uint32_t c = qs_utf8_next(s, n, &pos);
        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            return "the name contains control characters";
    }
    return NULL;
}

static void judge_name(struct parser *ps, uint64_t at, const char *s, size_t n)
{
    const size_t bad = qs_utf8_invalid_at(s, n);
    const char *fault = bad < n ? NULL : name_fault(s, n);
    if (bad < n)
        qs_gguf_find(ps->g, QS_FINDING_FATAL, QS_EFORMAT, ps->part, at, ps->field, "the name is not valid UTF-8 (byte %zu)", bad);
    else if (fault)
        qs_gguf_find(ps->g, QS_FINDING_FATAL, QS_EFORMAT, ps->part, at, ps->field, "%s", fault);
    else if (n >= 64)
        NOTE(ps, QS_FINDING_WARNING, at, "the name has %zu bytes: llama.cpp takes at most 63", n);
}

static void remark_text(struct parser *ps, uint64_t at, const char *what, const char *s, size_t n, bool controls_too)
{
    size_t bad = qs_utf8_invalid_at(s, n);
    if (bad < n)
        NOTE(ps, QS_FINDING_WARNING, at, "%s is not valid UTF-8 (byte %zu)", what, bad);
    else if (controls_too && has_controls(s, n))
        NOTE(ps, QS_FINDING_WARNING, at, "%s contains control characters", what);
}

/* ---- magic and version ---- */

static const struct { uint8_t n; const char *bytes, *says; } other_files[] = {
    {4, "tjgg", "this is an old GGML file (ggjt); convert the original model to GGUF"},
    {4, "fmgg", "this is an old GGML file (ggmf); convert the original model to GGUF"},
    {4, "lmgg", "this is an old GGML file (ggml); convert the original model to GGUF"},
    {4, "algg", "this is an old GGML adapter (ggla); convert the original to GGUF"},
    {4, "PK\003\004", "this is a zip archive (perhaps a PyTorch checkpoint), not GGUF"},
    {4, "<!DO", "this is a web page, not a model: the download went wrong"},
    {4, "<htm", "this is a web page, not a model: the download went wrong"},
    {4, "vers", "this looks like a Git LFS pointer, not the model itself: fetch it with 'git lfs pull'"},
    {2, "\037\213", "this is a gzip archive: unpack it first"},
};

static bool read_magic(struct parser *ps)
{
    snprintf(ps->field, sizeof ps->field, "magic");
    if (ps->r->size == 0)
        return fatal(ps, QS_EFORMAT, 0, "the file is empty");
    const uint8_t *m = qs_reader_bytes(ps->r, 4, "magic");
    if (!reading(ps))
        return false;
    if (memcmp(m, "GGUF", 4) == 0)
        return true;
    for (size_t i = 0; i < sizeof other_files / sizeof *other_files; i++)
        if (memcmp(m, other_files[i].bytes, other_files[i].n) == 0)
            return fatal(ps, QS_EFORMAT, 0, "%s", other_files[i].says);
    return fatal(ps, QS_EFORMAT, 0, "not a GGUF file: it begins with %02x %02x %02x %02x, not with \"GGUF\"", m[0],
                 m[1], m[2], m[3]);
}

static bool read_version(struct parser *ps)
{
    snprintf(ps->field, sizeof ps->field, "version");
    uint32_t v = qs_reader_u32(ps->r, "version");
    if (!reading(ps))
        return false;
    uint32_t swapped = v >> 24 | (v >> 8 & 0xFF00) | (v << 8 & 0xFF0000) | v << 24;
    if (v > 0xFFFF && swapped >= 1 && swapped <= 0xFFFF)
        return fatal(ps, QS_EUNSUPPORTED, 4,
                     "big-endian GGUF, version %" PRIu32 " (made for s390x and the like): convert it with "
                     "gguf_convert_endian.py of the Python package gguf, or take the little-endian file", swapped);
    ps->p->version = v;
    if (v == 1)
        return fatal(ps, QS_EUNSUPPORTED, 4,
                     "GGUF version 1 is no longer read by anybody: convert the original model again");
    if (v != 2 && v != 3)
        return fatal(ps, QS_EUNSUPPORTED, 4, "GGUF version %" PRIu32 " is not known (2 and 3 are)", v);
    return true;
}

/* Smallest entries there can be: key length, one byte of key, type, one byte; name length, dimensions, type, offset. */
#define MIN_KV_BYTES 14u
#define MIN_TENSOR_BYTES 24u

static bool read_count(struct parser *ps, const char *what, uint64_t each, uint64_t *out)
{
    snprintf(ps->field, sizeof ps->field, "%s", what);
    uint64_t at = ps->r->pos;
    uint64_t n = qs_reader_u64(ps->r, what);
    if (!reading(ps))
        return false;
    if (n > (ps->r->size - ps->r->pos) / each && n <= QS_GGUF_MAX_ENTRIES)
        return fatal(ps, QS_EFORMAT, at, "%" PRIu64 " of them do not fit into what is left of the file: %" PRIu64 " B "
                     "(cut short: fetch it again)", n, ps->r->size - ps->r->pos);
    if (n > (ps->r->size - ps->r->pos) / each)
        return fatal(ps, QS_EFORMAT, at, "%" PRIu64 " cannot be: the file has only %" PRIu64 " B left", n,
                     ps->r->size - ps->r->pos);
    if (n > QS_GGUF_MAX_ENTRIES)
        return fatal(ps, QS_ELIMIT, at, "%" PRIu64 " is more than this program takes (%u)", n, QS_GGUF_MAX_ENTRIES);
    *out = n;
    return true;
}

/* ---- metadata ---- */

#define PLAUSIBLE_COUNT (UINT64_C(1) << 24) /* the largest vocabularies have a million tokens; beyond it is damage */

static bool read_array(struct parser *ps, struct qs_kv *kv, unsigned depth);

static void remark_bool(struct parser *ps, uint64_t at, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] > 1) {
            NOTE(ps, QS_FINDING_WARNING, at + i, "a bool is stored as %u: 0 or 1 is expected, it counts as true", p[i]);
            return;
        }
    }
}

/* Elements of an array whose type and count were read. */
static bool read_items(struct parser *ps, int item, uint64_t count, unsigned depth)
{
    size_t size = qs_gguf_type_size(item);
    uint64_t at = ps->r->pos, left = ps->r->size - ps->r->pos;
    uint64_t least = size ? size : item == QS_GGUF_STRING ? 8 : 12;
    if (count > left / least)
        return fatal(ps, QS_EFORMAT, at - 8,
                     "an array of %" PRIu64 " x %s cannot be: the file has only %" PRIu64 " B left%s", count,
                     qs_gguf_type_name(item), left, count <= PLAUSIBLE_COUNT ? " (cut short: fetch it again)" : "");
    if (size) {
        const uint8_t *p = qs_reader_bytes(ps->r, count * size, "array");
        if (!reading(ps))
            return false;
        if (item == QS_GGUF_BOOL)
            remark_bool(ps, at, p, count);
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        size_t n;
        if (item == QS_GGUF_ARRAY ? !read_array(ps, NULL, depth + 1)
                                  : !read_string(ps, QS_GGUF_MAX_HEADER, &n, "array string"))
            return false;
    }
    return true;
}

static bool read_array(struct parser *ps, struct qs_kv *kv, unsigned depth)
{
    uint64_t at = ps->r->pos;
    uint32_t item = qs_reader_u32(ps->r, "array type");
    uint64_t count = qs_reader_u64(ps->r, "array length");
    if (!reading(ps))
        return false;
    if (item >= QS_GGUF_TYPES)
        return fatal(ps, QS_EUNSUPPORTED, at, "array of unknown value type %" PRIu32 ": what follows cannot be found",
                     item);
    if (depth >= QS_GGUF_MAX_DEPTH)
        return fatal(ps, QS_ELIMIT, at, "arrays nested deeper than %u", QS_GGUF_MAX_DEPTH);
    if (kv) {
        kv->item = (int)item;
        kv->count = count;
    }
    return read_items(ps, (int)item, count, depth);
}

static bool read_value(struct parser *ps, struct qs_kv *kv)
{
    uint64_t at = ps->r->pos;
    if (kv->type == QS_GGUF_ARRAY)
        return read_array(ps, kv, 0);
    if (kv->type == QS_GGUF_STRING) {
        size_t n;
        const char *s = read_string(ps, QS_GGUF_MAX_HEADER, &n, "string");
        if (s)
            remark_text(ps, at + 8, "the text", s, n, false);
        return s != NULL;
    }
    const uint8_t *p = qs_reader_bytes(ps->r, qs_gguf_type_size(kv->type), "value");
    if (!reading(ps))
        return false;
    if (kv->type == QS_GGUF_BOOL)
        remark_bool(ps, at, p, 1);
    return true;
}

static bool read_kv(struct parser *ps, uint64_t i, struct qs_kv *kv)
{
    snprintf(ps->field, sizeof ps->field, "metadata entry %" PRIu64, i);
    *kv = (struct qs_kv){ .offset = ps->r->pos, .item = -1, .count = 1 };
    size_t n;
    const char *key = read_string(ps, QS_GGUF_MAX_KEY, &n, "key");
    if (!key)
        return false;
    if (n == 0)
        return fatal(ps, QS_EFORMAT, kv->offset, "the key is empty");
    kv->key = keep_name(ps, key, n);
    kv->key_len = (uint32_t)n;
    if (!kv->key)
        return false;
    qs_gguf_label(ps->field, sizeof ps->field, "metadata", kv->key, n, NULL);
    remark_text(ps, kv->offset + 8, "the key", kv->key, n, true);
    uint32_t type = qs_reader_u32(ps->r, "value type");
    if (!reading(ps))
        return false;
    if (type >= QS_GGUF_TYPES)
        return fatal(ps, QS_EUNSUPPORTED, ps->r->pos - 4,
                     "unknown value type %" PRIu32 ": what follows cannot be found", type);
    kv->type = (int)type;
    uint64_t start = ps->r->pos;
    if (!read_value(ps, kv))
        return false;
    kv->raw_len = ps->r->pos - start;
    return true;
}

void qs_gguf_resolve(struct qs_gguf_kvs *kvs, const uint8_t *window)
{
    for (size_t i = 0; i < kvs->n; i++)
        kvs->kv[i].raw = window + kvs->kv[i].offset + 8 + kvs->kv[i].key_len + 4;
}

const struct qs_kv *qs_gguf_kvs_get(const struct qs_gguf_kvs *kvs, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < kvs->n; i++)
        if (kvs->kv[i].key_len == n && memcmp(kvs->kv[i].key, key, n) == 0)
            return &kvs->kv[i];
    return NULL;
}

static bool read_metadata(struct parser *ps, struct qs_gguf_kvs *kvs)
{
    for (uint64_t i = 0; i < ps->p->n_kv; i++) {
        if (!qs_grow(&kvs->kv, &kvs->cap, kvs->n + 1, sizeof *kvs->kv)) {
            ps->g->store->out_of_memory = true;
            return false;
        }
        if (!read_kv(ps, i, &kvs->kv[kvs->n]))
            return false;
        kvs->n++;
    }
    return true;
}

static bool read_alignment(struct parser *ps, struct qs_gguf_kvs *kvs)
{
    ps->p->alignment = QS_GGUF_DEFAULT_ALIGNMENT;
    qs_gguf_resolve(kvs, ps->r->buf);
    const struct qs_kv *kv = qs_gguf_kvs_get(kvs, "general.alignment");
    if (!kv)
        return true;
    snprintf(ps->field, sizeof ps->field, "metadata general.alignment");
    uint64_t v;
    if (!qs_kv_u64(kv, &v) || kv->type == QS_GGUF_BOOL)
        return fatal(ps, QS_EFORMAT, kv->offset, "must be a u32, but is a %s", qs_gguf_type_name(kv->type));
    if (v == 0 || (v & (v - 1)) != 0 || v > QS_GGUF_MAX_ALIGNMENT)
        return fatal(ps, QS_EFORMAT, kv->offset, "%" PRIu64 " is not a power of two from 1 to %u", v,
                     QS_GGUF_MAX_ALIGNMENT);
    if (kv->type != QS_GGUF_U32)
        NOTE(ps, QS_FINDING_WARNING, kv->offset, "is a %s: llama.cpp only takes a u32", qs_gguf_type_name(kv->type));
    if (v % 8 != 0)
        NOTE(ps, QS_FINDING_WARNING, kv->offset, "%" PRIu64 " is not a multiple of 8, as the specification asks", v);
    ps->p->alignment = (uint32_t)v;
    return true;
}

/* ---- tensors ---- */

static void bad_shape(struct parser *ps, struct qs_gguf_tensor *t, uint64_t at, const char *why)
{
    t->marks |= QS_TENSOR_BAD_SHAPE;
    qs_gguf_find(ps->g, QS_FINDING_FATAL, QS_EFORMAT, ps->part, at, ps->field, "%s", why);
}

/* Bytes of the tensor from its shape and type; marks what cannot be. */
static void measure(struct parser *ps, struct qs_gguf_tensor *t, uint64_t at)
{
    uint64_t n = 1;
    char text[160];
    for (unsigned d = 0; d < t->n_dims; d++) {
        if (t->ne[d] == 0) {
            bad_shape(ps, t, at, "a dimension is 0");
            return;
        }
        if (!qs_mul_u64(n, t->ne[d], &n) || n > INT64_MAX) {
            bad_shape(ps, t, at, "the product of the dimensions overflows");
            return;
        }
    }
    const struct qs_format *f = qs_format_by_id(t->type);
    if (!f || f->n_components != 1) {
        t->marks |= QS_TENSOR_UNKNOWN_TYPE;
        NOTE(ps, QS_FINDING_WARNING, at, "tensor type %" PRId32 " is not known here: it can be copied, nothing else",
             t->type);
        return;
    }
    if (t->ne[0] % f->block != 0) {
        snprintf(text, sizeof text, "rows of %" PRIu64 " weights are no multiple of the block of %s (%u)", t->ne[0],
                 f->name, (unsigned)f->block);
        bad_shape(ps, t, at, text);
        return;
    }
    if (!qs_mul_u64(n / f->block, f->component[0].bytes_per_block, &t->size) || t->size > INT64_MAX) {
        t->size = 0;
        bad_shape(ps, t, at, "the size in bytes overflows");
    }
}

static bool read_tensor(struct parser *ps, uint64_t i, struct qs_gguf_tensor *t)
{
    snprintf(ps->field, sizeof ps->field, "tensor entry %" PRIu64, i);
    uint64_t start = ps->r->pos;
    *t = (struct qs_gguf_tensor){ .part = ps->part, .ne = { 1, 1, 1, 1 } };
    size_t n;
    const char *name = read_string(ps, QS_GGUF_MAX_KEY, &n, "name");
    if (!name || !(t->name = keep_name(ps, name, n)))
        return false;
    t->name_len = (uint32_t)n;
    qs_gguf_label(ps->field, sizeof ps->field, "tensor", t->name, n, NULL);
    judge_name(ps, start + 8, t->name, n);

    uint64_t at = ps->r->pos;
    t->n_dims = qs_reader_u32(ps->r, "dimensions");
    if (!reading(ps))
        return false;
    if (t->n_dims > QS_MAX_DIMS)
        return fatal(ps, QS_EFORMAT, at, "%u dimensions: at most %d are possible", t->n_dims, QS_MAX_DIMS);
    for (unsigned d = 0; d < t->n_dims; d++)
        t->ne[d] = qs_reader_u64(ps->r, "shape");
    t->type = (int32_t)qs_reader_u32(ps->r, "type");
    t->offset = qs_reader_u64(ps->r, "offset"); /* relative to the data until qs_gguf_place */
    if (!reading(ps))
        return false;
    measure(ps, t, at);
    return true;
}

static bool read_tensors(struct parser *ps)
{
    struct qs_gguf *g = ps->g;
    for (uint64_t i = 0; i < ps->p->n_tensors; i++) {
        if (!qs_grow(&g->tensor, &g->store->tensor_cap, g->n_tensors + 1, sizeof *g->tensor)) {
            g->store->out_of_memory = true;
            return false;
        }
        if (!read_tensor(ps, i, &g->tensor[g->n_tensors]))
            return false;
        g->n_tensors++;
    }
    return true;
}

int qs_gguf_parse(struct qs_gguf *g, struct qs_reader *r, unsigned part, struct qs_gguf_kvs *kvs, struct qs_err *e)
{
    struct parser ps = { .g = g, .r = r, .p = &g->part[part], .part = part };
    size_t first = g->n_tensors;
    ps.p->alignment = QS_GGUF_DEFAULT_ALIGNMENT;
    bool whole = read_magic(&ps) && read_version(&ps) &&
                 read_count(&ps, "tensor count", MIN_TENSOR_BYTES, &ps.p->n_tensors) &&
                 read_count(&ps, "metadata count", MIN_KV_BYTES, &ps.p->n_kv) && read_metadata(&ps, kvs) &&
                 read_alignment(&ps, kvs) && read_tensors(&ps);
    ps.p->bytes_read += r->bytes_read;
    if (r->err.code == QS_ENOMEM || r->err.code == QS_EIO)
        return qs_fail(e, r->err.code, "%s: %s", ps.field, r->err.msg);
    if (g->store->out_of_memory)
        return qs_fail_mem(e, 0, "the headers of a GGUF file");
    ps.p->header_size = r->pos;
    if (!whole) {
        g->n_tensors = first; /* without the end of the table nobody knows where the data begin */
        return QS_OK;
    }
    uint64_t mask = ps.p->alignment - 1;
    ps.p->data_offset = (r->pos + mask) & ~mask; /* no overflow: pos <= 256 MiB */
    ps.p->header_size = ps.p->data_offset < r->size ? ps.p->data_offset : r->size;
    return qs_gguf_place(g, part, first, e);
}

/* ---- where tensors lie ---- */

struct span { uint64_t begin, end; size_t i; };

static int by_begin(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

/* Absolute offsets; marks tensors whose first byte is misplaced or beyond the end. */
static void place_starts(struct qs_gguf *g, unsigned part, size_t first)
{
    const struct qs_gguf_part *p = &g->part[part];
    char field[96];
    for (size_t i = first; i < g->n_tensors; i++) {
        struct qs_gguf_tensor *t = &g->tensor[i];
        uint64_t relative = t->offset;
        qs_gguf_label(field, sizeof field, "tensor", t->name, t->name_len, "offset");
        if (!qs_add_u64(relative, p->data_offset, &t->offset) || t->offset > INT64_MAX) {
            t->offset = p->data_offset;
            t->marks |= QS_TENSOR_BAD_RANGE;
            qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, part, QS_GGUF_NO_OFFSET, field,
                         "%" PRIu64 " lies far outside of the file of %" PRIu64 " bytes", relative, p->file_size);
        } else if (relative % p->alignment != 0) {
            t->marks |= QS_TENSOR_BAD_RANGE;
            qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, part, t->offset, field,
                         "%" PRIu64 " is not a multiple of the alignment (%" PRIu32 ")", relative, p->alignment);
        }
    }
}

/* Tensors that end behind the end of the file: one finding for all of them (a broken download has hundreds). */
static void place_ends(struct qs_gguf *g, unsigned part, size_t first)
{
    const struct qs_gguf_part *p = &g->part[part];
    uint64_t need = 0;
    size_t n = 0, worst = 0;
    for (size_t i = first; i < g->n_tensors; i++) {
        struct qs_gguf_tensor *t = &g->tensor[i];
        uint64_t end;
        if (t->marks & (QS_TENSOR_BAD_RANGE | QS_TENSOR_BAD_SHAPE))
            continue;
        if (!qs_add_u64(t->offset, t->size ? t->size : 1, &end))
            end = UINT64_MAX;
        if (end <= p->file_size)
            continue;
        t->marks |= QS_TENSOR_BAD_RANGE;
        if (n++ == 0)
            worst = i;
        need = end > need ? end : need;
    }
    if (n == 0)
        return;
    const struct qs_gguf_tensor *t = &g->tensor[worst];
    char field[96];
    qs_gguf_label(field, sizeof field, "tensor", t->name, t->name_len, "data");
    qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, part, t->offset, field,
                 "%zu of %zu tensors %s beyond the end of the file: it has %" PRIu64 " bytes and needs %" PRIu64
                 " (cut short: fetch it again)", n, g->n_tensors - first, n == 1 ? "reaches" : "reach", p->file_size, need);
}

/* Sorted by place: overlaps, rooms of tensors of unknown type, gaps; what follows the last one where all tensors are
 * there (`all`), for else it is part of one that is not. */
static void place_neighbours(struct qs_gguf *g, unsigned part, struct span *s, size_t n, bool all)
{
    const struct qs_gguf_part *p = &g->part[part];
    char field[96];
    uint64_t mask = p->alignment - 1, reached = p->data_offset;
    size_t holder = SIZE_MAX; /* the tensor that reaches furthest so far */
    for (size_t k = 0; k < n; k++) {
        struct qs_gguf_tensor *t = &g->tensor[s[k].i];
        if (t->marks & QS_TENSOR_UNKNOWN_TYPE) {
            t->size = (k + 1 < n ? s[k + 1].begin : p->file_size) - t->offset;
            s[k].end = t->offset + t->size;
        }
        if (s[k].begin < reached && holder != SIZE_MAX) {
            struct qs_gguf_tensor *o = &g->tensor[holder];
            char other[96];
            t->marks |= QS_TENSOR_OVERLAP;
            o->marks |= QS_TENSOR_OVERLAP;
            qs_gguf_label(field, sizeof field, "tensor", t->name, t->name_len, "offset");
            qs_gguf_label(other, sizeof other, "tensor", o->name, o->name_len, NULL);
            qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, part, t->offset, field, "overlaps %s, which ends at %" PRIu64,
                         other, reached);
        } else if (s[k].begin > ((reached + mask) & ~mask)) {
            qs_gguf_label(field, sizeof field, "tensor", t->name, t->name_len, "offset");
            qs_gguf_find(g, QS_FINDING_WARNING, QS_OK, part, reached, field,
                         "a gap of %" PRIu64 " unused bytes lies before it: llama.cpp refuses such files",
                         s[k].begin - reached);
        }
        if (s[k].end > reached || holder == SIZE_MAX) {
            reached = s[k].end > reached ? s[k].end : reached;
            holder = s[k].i;
        }
    }
    uint64_t end = (reached + mask) & ~mask;
    if (n > 0 && all && p->file_size > end)
        qs_gguf_find(g, QS_FINDING_NOTE, QS_OK, part, end, "file",
                     "%" PRIu64 " bytes follow the last tensor: nothing uses them", p->file_size - end);
}

int qs_gguf_place(struct qs_gguf *g, unsigned part, size_t first, struct qs_err *e)
{
    size_t n = 0, count = g->n_tensors - first;
    place_starts(g, part, first);
    place_ends(g, part, first);
    if (count == 0)
        return QS_OK;
    struct span *s = qs_malloc(count * sizeof *s); /* count <= 2^20 */
    if (!s)
        return qs_fail_mem(e, count * sizeof *s, "the tensor table");
    bool ordered = true;
    for (size_t i = first; i < g->n_tensors; i++) {
        const struct qs_gguf_tensor *t = &g->tensor[i];
        if (t->marks & (QS_TENSOR_BAD_RANGE | QS_TENSOR_BAD_SHAPE))
            continue;
        if (n > 0 && t->offset < s[n - 1].begin)
            ordered = false;
        s[n++] = (struct span){ t->offset, t->offset + t->size, i };
    }
    if (!ordered) {
        qsort(s, n, sizeof *s, by_begin);
        qs_gguf_find(g, QS_FINDING_WARNING, QS_OK, part, QS_GGUF_NO_OFFSET, "tensor table",
                     "tensors do not lie in the order of the table: llama.cpp refuses such files");
    }
    place_neighbours(g, part, s, n, n == count);
    qs_free(s);
    return g->store->out_of_memory ? qs_fail_mem(e, 0, "the findings about a file") : QS_OK;
}
