/* gguf_write.c - GGUF headers out.
 *
 * Owns the set of metadata entries being built, nothing else: no file is touched. The layout is what llama.cpp and
 * gguf-py write: version 3, entries in order, tensor table, padding, then every tensor padded to the alignment (the
 * last one too), so that file sizes come out equal. Refuses names, values and sums that cannot be stored.
 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/gguf_internal.h"
#include "core/format/gguf_write.h"

struct entry { char *key; uint32_t key_len; int type; uint8_t *raw; size_t raw_len; };

struct qs_gguf_meta {
    struct entry *entry;
    size_t n, cap;
};

struct qs_gguf_meta *qs_gguf_meta_new(void)
{
    return qs_calloc(1, sizeof(struct qs_gguf_meta));
}

void qs_gguf_meta_free(struct qs_gguf_meta *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        qs_free(m->entry[i].key);
        qs_free(m->entry[i].raw);
    }
    qs_free(m->entry);
    qs_free(m);
}

static struct entry *find(const struct qs_gguf_meta *m, const char *key, size_t len)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entry[i].key_len == len && memcmp(m->entry[i].key, key, len) == 0)
            return &m->entry[i];
    return NULL;
}

static int append(struct qs_gguf_meta *m, const char *key, size_t len, int type, const void *raw, size_t raw_len,
                  struct qs_err *e)
{
    bool room = qs_grow(&m->entry, &m->cap, m->n + 1, sizeof *m->entry);
    char *k = qs_strndup(key, len);
    uint8_t *r = qs_malloc(raw_len);
    if (!room || !k || !r) {
        qs_free(k);
        qs_free(r);
        return qs_fail_mem(e, len + raw_len, "a metadata entry");
    }
    memcpy(r, raw, raw_len);
    m->entry[m->n++] = (struct entry){ k, (uint32_t)len, type, r, raw_len };
    return QS_OK;
}

int qs_gguf_meta_copy(struct qs_gguf_meta *m, const struct qs_gguf *from, struct qs_err *e)
{
    bool fresh = m->n == 0; /* keys of one file are unique: nothing to look for */
    for (size_t i = 0; i < from->n_kv; i++) {
        const struct qs_kv *kv = &from->kv[i];
        int rc = fresh ? append(m, kv->key, kv->key_len, kv->type, kv->raw, (size_t)kv->raw_len, e)
                       : qs_gguf_meta_raw(m, kv->key, kv->type, kv->raw, (size_t)kv->raw_len, e);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

int qs_gguf_meta_raw(struct qs_gguf_meta *m, const char *key, int type, const void *raw, size_t raw_len,
                     struct qs_err *e)
{
    size_t len = strlen(key);
    if (len == 0 || len > QS_GGUF_MAX_KEY)
        return qs_fail(e, QS_EINVAL, "a metadata key must have 1 to %u bytes", QS_GGUF_MAX_KEY);
    if (type < 0 || type >= QS_GGUF_TYPES || (qs_gguf_type_size(type) && raw_len != qs_gguf_type_size(type)))
        return qs_fail(e, QS_EINVAL, "metadata %s: %zu bytes are no value of type %s", key, raw_len,
                       qs_gguf_type_name(type));
    struct entry *have = find(m, key, len);
    if (!have)
        return append(m, key, len, type, raw, raw_len, e);
    uint8_t *r = qs_malloc(raw_len);
    if (!r)
        return qs_fail_mem(e, raw_len, "a metadata entry");
    memcpy(r, raw, raw_len);
    qs_free(have->raw);
    have->raw = r;
    have->raw_len = raw_len;
    have->type = type;
    return QS_OK;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

int qs_gguf_meta_u32(struct qs_gguf_meta *m, const char *key, uint32_t v, struct qs_err *e)
{
    uint8_t raw[4];
    put_u32(raw, v);
    return qs_gguf_meta_raw(m, key, QS_GGUF_U32, raw, sizeof raw, e);
}

int qs_gguf_meta_str(struct qs_gguf_meta *m, const char *key, const char *v, struct qs_err *e)
{
    size_t n = strlen(v);
    uint8_t *raw = qs_malloc(n + 8);
    if (!raw)
        return qs_fail_mem(e, n + 8, "a metadata entry");
    put_u64(raw, n);
    memcpy(raw + 8, v, n);
    int rc = qs_gguf_meta_raw(m, key, QS_GGUF_STRING, raw, n + 8, e);
    qs_free(raw);
    return rc;
}

bool qs_gguf_meta_remove(struct qs_gguf_meta *m, const char *key)
{
    struct entry *x = find(m, key, strlen(key));
    if (!x)
        return false;
    qs_free(x->key);
    qs_free(x->raw);
    size_t at = (size_t)(x - m->entry);
    memmove(x, x + 1, (m->n - at - 1) * sizeof *x);
    m->n--;
    return true;
}

bool qs_gguf_meta_has(const struct qs_gguf_meta *m, const char *key)
{
    return find(m, key, strlen(key)) != NULL;
}

int qs_gguf_meta_type(const struct qs_gguf_meta *m, const char *key)
{
    const struct entry *x = find(m, key, strlen(key));
    return x ? x->type : -1;
}

/* ---- layout ---- */

static void add_u32(struct qs_str *s, uint32_t v)
{
    uint8_t b[4];
    put_u32(b, v);
    qs_str_addn(s, b, sizeof b);
}

static void add_u64(struct qs_str *s, uint64_t v)
{
    uint8_t b[8];
    put_u64(b, v);
    qs_str_addn(s, b, sizeof b);
}

static void add_meta(const struct qs_gguf_meta *m, struct qs_str *s)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *x = &m->entry[i];
        add_u64(s, x->key_len);
        qs_str_addn(s, x->key, x->key_len);
        add_u32(s, (uint32_t)x->type);
        qs_str_addn(s, x->raw, x->raw_len);
    }
}

/* The size of x rounded up to the alignment; false on overflow. */
static bool padded(uint64_t x, uint32_t alignment, uint64_t *out)
{
    if (!qs_add_u64(x, alignment - 1, out))
        return false;
    *out &= ~(uint64_t)(alignment - 1);
    return true;
}

/* Fills offsets relative to the data, writes the table, returns the bytes of all data. */
static int add_table(struct qs_gguf_out *tensor, size_t n, uint32_t alignment, struct qs_str *s, uint64_t *data,
                     struct qs_err *e)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        struct qs_gguf_out *t = &tensor[i];
        if (t->n_dims > QS_MAX_DIMS)
            return qs_fail(e, QS_EINVAL, "tensor %s: %u dimensions, at most %d are possible", t->name, t->n_dims,
                           QS_MAX_DIMS);
        size_t len = strlen(t->name);
        add_u64(s, len);
        qs_str_addn(s, t->name, len);
        add_u32(s, t->n_dims);
        for (unsigned d = 0; d < t->n_dims; d++)
            add_u64(s, t->ne[d]);
        add_u32(s, (uint32_t)t->type);
        add_u64(s, at);
        t->offset = at;
        uint64_t room;
        if (!padded(t->size, alignment, &room) || !qs_add_u64(at, room, &at) || at > INT64_MAX)
            return qs_fail(e, QS_EINVAL, "tensor %s: the file would be too large", t->name);
    }
    *data = at;
    return QS_OK;
}

int qs_gguf_layout(const struct qs_gguf_meta *m, struct qs_gguf_out *tensor, size_t n, uint32_t alignment,
                   struct qs_str *header, uint64_t *file_size, struct qs_err *e)
{
    static const char zeros[64];
    if (alignment < QS_GGUF_OUT_ALIGNMENT_MIN || (alignment & (alignment - 1)) != 0 || alignment > QS_GGUF_MAX_ALIGNMENT)
        return qs_fail(e, QS_EINVAL, "an alignment of %" PRIu32 " is not a power of two from %u to %u", alignment,
                       QS_GGUF_OUT_ALIGNMENT_MIN, QS_GGUF_MAX_ALIGNMENT);
    qs_str_clear(header);
    qs_str_addn(header, "GGUF", 4);
    add_u32(header, 3);
    add_u64(header, n);
    add_u64(header, m->n);
    add_meta(m, header);
    uint64_t data = 0, start;
    int rc = add_table(tensor, n, alignment, header, &data, e);
    if (rc != QS_OK)
        return rc;
    while (!header->failed && header->len % alignment != 0) {
        size_t pad = alignment - header->len % alignment;
        qs_str_addn(header, zeros, pad < sizeof zeros ? pad : sizeof zeros);
    }
    if (header->failed)
        return qs_fail_mem(e, header->len, "a GGUF header");
    start = header->len;
    if (!qs_add_u64(start, data, file_size) || *file_size > INT64_MAX)
        return qs_fail(e, QS_EINVAL, "the file would be too large");
    for (size_t i = 0; i < n; i++)
        tensor[i].offset += start;
    return QS_OK;
}
