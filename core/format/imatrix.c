/* imatrix.c - importance matrices: llama.cpp's two file forms, read.
 *
 * Owns the entries and their values. A file that begins with "GGUF" is read as GGUF, anything else as the legacy form.
 * Refuses counts that the file cannot hold, entries without their partner, values that are negative, not finite or absurd,
 * names that stand twice. An entry that no tensor of the model wants, or of another size, is the caller's business.
 * Immutable after open.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/reader.h"
#include "core/format/gguf.h"
#include "core/format/imatrix.h"

#define MAX_FILE ((size_t)2 << 30) /* the largest known (thousands of experts) are about 1 GiB */
#define MAX_NAME 1024u
#define MAX_ENTRIES (1u << 20)

void qs_imatrix_free(struct qs_imatrix *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_entries; i++) {
        qs_free(m->entry[i].name);
        qs_free(m->entry[i].value);
    }
    qs_free(m->entry);
    qs_free(m->dataset);
    qs_free(m);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qs_imatrix_entry *)a)->name, ((const struct qs_imatrix_entry *)b)->name);
}

const struct qs_imatrix_entry *qs_imatrix_find(const struct qs_imatrix *m, const char *tensor_name)
{
    size_t low = 0, high = m->n_entries;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(tensor_name, m->entry[mid].name);
        if (c == 0)
            return &m->entry[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* A new entry with room for n values, already counted in m; NULL: out of memory. */
static struct qs_imatrix_entry *new_entry(struct qs_imatrix *m, size_t *cap, const char *name, size_t name_len,
                                          size_t n)
{
    if (!qs_grow(&m->entry, cap, m->n_entries + 1, sizeof *m->entry))
        return NULL;
    struct qs_imatrix_entry *x = &m->entry[m->n_entries];
    *x = (struct qs_imatrix_entry){ .name = qs_strndup(name, name_len), .value = qs_calloc(n, sizeof(float)), .n = n,
                                    .experts = 1 };
    m->n_entries++; /* qs_imatrix_free takes half-made entries */
    return x->name && x->value ? x : NULL;
}

static int check_name(const char *s, size_t n, uint64_t at, struct qs_err *e)
{
    bool ok = n > 0 && n <= MAX_NAME;
    for (size_t i = 0; ok && i < n; i++)
        ok = (unsigned char)s[i] >= 0x20 && s[i] != 0x7F;
    return ok ? QS_OK
              : qs_fail(e, QS_EFORMAT,
                        "importance matrix: the name of an entry is empty, too long or has control "
                        "characters (offset %" PRIu64 ")",
                        at);
}

/* ---- the legacy form ---- */

static float get_f32(const uint8_t *p)
{
    uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static int from_reader(const struct qs_reader *r, struct qs_err *e)
{
    return qs_fail(e, r->err.code, "importance matrix: %s", r->err.msg);
}

static int read_entry(struct qs_reader *r, uint32_t i, struct qs_imatrix *m, size_t *cap, struct qs_err *e)
{
    uint64_t start = r->pos;
    uint32_t len = qs_reader_u32(r, "name length");
    if (r->err.code == QS_OK && (len == 0 || len > MAX_NAME))
        return qs_fail(e, QS_EFORMAT,
                       "importance matrix: entry %" PRIu32 ": a name of %" PRIu32 " bytes: 1 to %u are possible "
                       "(offset %" PRIu64 ")",
                       i, len, MAX_NAME, start);
    const char *name = (const char *)qs_reader_bytes(r, len, "name");
    uint32_t ncall = qs_reader_u32(r, "calls"), nval = qs_reader_u32(r, "values");
    if (r->err.code != QS_OK)
        return from_reader(r, e);
    int rc = check_name(name, len, start, e);
    if (rc != QS_OK)
        return rc;
    if (nval == 0 || nval > INT32_MAX || ncall > INT32_MAX || !qs_reader_has(r, (uint64_t)nval * 4))
        return qs_fail(e, QS_EFORMAT,
                       "importance matrix: entry %.*s: %" PRIu32 " values in %" PRIu32 " calls cannot be: the file "
                       "has %" PRIu64 " bytes left (offset %" PRIu64 ")",
                       (int)len, name, nval, ncall, r->size - r->pos, r->pos - 8);
    struct qs_imatrix_entry *x = new_entry(m, cap, name, len, nval);
    if (!x)
        return qs_fail_mem(e, (uint64_t)nval * 4, "an importance matrix");
    const uint8_t *p = qs_reader_bytes(r, (uint64_t)nval * 4, "values");
    x->count = ncall;
    x->unseen = ncall == 0;
    for (uint32_t k = 0; k < nval; k++) /* stored as mean times calls; without calls as it is, as llama.cpp reads it */
        x->value[k] = ncall ? get_f32(p + 4 * (size_t)k) / (float)ncall : get_f32(p + 4 * (size_t)k);
    return QS_OK;
}

static int read_dat(const void *bytes, size_t n, struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_reader r;
    qs_reader_open_mem(&r, bytes, n);
    uint32_t count = qs_reader_u32(&r, "entry count");
    if (r.err.code != QS_OK)
        return from_reader(&r, e);
    if (count == 0 || count > MAX_ENTRIES || count > (n - 4) / 17)
        return qs_fail(e, QS_EFORMAT,
                       "importance matrix: %" PRIu32 " entries cannot be in a file of %zu bytes: it is no importance "
                       "matrix of llama.cpp (offset 0)",
                       count, n);
    size_t cap = 0;
    for (uint32_t i = 0; i < count; i++) {
        int rc = read_entry(&r, i, m, &cap, e);
        if (rc != QS_OK)
            return rc;
    }
    if (r.pos == r.size)
        return QS_OK; /* older files end here */
    m->chunks = qs_reader_u32(&r, "chunk count");
    uint32_t len = qs_reader_u32(&r, "length of the dataset's name");
    const char *name = r.err.code == QS_OK ? (const char *)qs_reader_bytes(&r, len, "the dataset's name") : NULL;
    if (!name)
        return from_reader(&r, e);
    m->dataset = qs_strndup(name, len);
    return m->dataset ? QS_OK : qs_fail_mem(e, len, "an importance matrix");
}

/* ---- the GGUF form ---- */

static bool strip(const char *name, const char *tail, size_t *len)
{
    size_t n = strlen(name), t = strlen(tail);
    *len = n - t;
    return n > t && strcmp(name + n - t, tail) == 0;
}

static const struct qs_gguf_tensor *partner(const struct qs_gguf *g, const char *name, size_t len, const char *tail)
{
    char other[MAX_NAME + 16];
    if (len + strlen(tail) >= sizeof other)
        return NULL;
    memcpy(other, name, len);
    memcpy(other + len, tail, strlen(tail) + 1);
    return qs_gguf_tensor_by_name(g, other);
}

/* Sums and counts into means: value = sum / count for every expert; 1 where an expert saw no token. */
static int read_means(const uint8_t *bytes, const struct qs_gguf_tensor *sum, const struct qs_gguf_tensor *counts,
                      struct qs_imatrix_entry *x, struct qs_err *e)
{
    uint64_t experts = counts->size / 4, cols = x->n / experts;
    x->experts = (unsigned)experts;
    x->count = INFINITY;
    for (uint64_t j = 0; j < experts; j++) {
        float stored = get_f32(bytes + counts->offset + 4 * j);
        if (!(stored >= 0 && stored < 9e15f))
            return qs_fail(e, QS_EFORMAT,
                           "importance matrix: tensor %s: count %" PRIu64 " is negative or no number (offset %" PRIu64
                           ")",
                           counts->name, j, counts->offset + 4 * j);
        float count = roundf(stored);
        x->count = (double)count < x->count ? (double)count : x->count;
        x->unseen += count < 1;
        for (uint64_t i = 0; i < cols; i++) {
            uint64_t k = j * cols + i;
            x->value[k] = count < 1 ? 1.0f : get_f32(bytes + sum->offset + 4 * k) / count;
        }
    }
    return QS_OK;
}

static int read_pair(const uint8_t *bytes, const struct qs_gguf *g, const struct qs_gguf_tensor *sum, size_t len,
                     struct qs_imatrix *m, size_t *cap, struct qs_err *e)
{
    const struct qs_gguf_tensor *counts = partner(g, sum->name, len, ".counts");
    int rc = check_name(sum->name, len, sum->offset, e);
    if (rc != QS_OK)
        return rc;
    if (!counts)
        return qs_fail(e, QS_EFORMAT, "importance matrix: tensor %s has no counts beside it (offset %" PRIu64 ")",
                       sum->name, sum->offset);
    if (sum->type != 0 || counts->type != 0)
        return qs_fail(e, QS_EFORMAT, "importance matrix: tensor %s: sums and counts must be F32 (offset %" PRIu64 ")",
                       sum->name, sum->offset);
    uint64_t n = sum->size / 4, experts = counts->size / 4;
    if (experts == 0 || experts > UINT32_MAX || n % experts != 0)
        return qs_fail(e, QS_EFORMAT,
                       "importance matrix: tensor %s: %" PRIu64 " values for %" PRIu64 " counts (offset %" PRIu64 ")",
                       sum->name, n, experts, sum->offset);
    struct qs_imatrix_entry *x = new_entry(m, cap, sum->name, len, (size_t)n);
    return x ? read_means(bytes, sum, counts, x, e) : qs_fail_mem(e, n * 4, "an importance matrix");
}

/* All datasets' names, separated by ", ". */
static int read_dataset(const struct qs_gguf *g, struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    const struct qs_kv *kv = qs_gguf_kv(g, "imatrix.datasets");
    uint64_t cursor = 0;
    const char *s;
    size_t n;
    while (qs_kv_next_str(kv, &cursor, &s, &n)) {
        qs_str_add(&text, text.len ? ", " : "");
        qs_str_addn(&text, s, n);
    }
    if (text.len || text.failed) {
        m->dataset = qs_str_take(&text);
        if (!m->dataset)
            return qs_fail_mem(e, 0, "an importance matrix");
    }
    m->chunks = qs_gguf_u64(g, "imatrix.chunk_count", 0);
    return QS_OK;
}

static int read_gguf(const void *bytes, size_t n, struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_gguf *g;
    int rc = qs_gguf_open_mem(bytes, n, &g, e);
    if (rc != QS_OK)
        return rc;
    const char *type;
    size_t len;
    if (!qs_kv_str(qs_gguf_kv(g, "general.type"), &type, &len) || len != 7 || memcmp(type, "imatrix", 7) != 0)
        rc = qs_fail(e, QS_EFORMAT, "this GGUF file is no importance matrix: its general.type is not \"imatrix\"");
    size_t cap = 0, sums = 0, counts = 0;
    for (size_t i = 0; rc == QS_OK && i < g->n_tensors; i++) {
        if (strip(g->tensor[i].name, ".counts", &len))
            counts++;
        if (!strip(g->tensor[i].name, ".in_sum2", &len))
            continue;
        sums++;
        rc = read_pair(bytes, g, &g->tensor[i], len, m, &cap, e);
    }
    if (rc == QS_OK && (sums == 0 || counts != sums))
        rc = qs_fail(e, QS_EFORMAT,
                     "importance matrix: %zu sums and %zu counts: the file has no entries or is incomplete", sums,
                     counts);
    if (rc == QS_OK)
        rc = read_dataset(g, m, e);
    qs_gguf_close(g);
    return rc;
}

/* ---- both ---- */

/* Looks at the values: notes an entry of zeros alone. */
static int check_values(struct qs_imatrix_entry *x, struct qs_err *e)
{
    x->zero = true;
    for (size_t k = 0; k < x->n; k++) {
        if (!(x->value[k] >= 0 && x->value[k] <= 3.4e38f))
            return qs_fail(e, QS_EFORMAT, "importance matrix: entry %s: value %zu is negative or no finite number",
                           x->name, k);
        if (x->value[k] > QS_IMATRIX_MAX)
            return qs_fail(e, QS_EFORMAT,
                           "importance matrix: entry %s: value %zu is %.3g: values above %g make encoders overflow, and "
                           "no mean of squared activations is that large",
                           x->name, k, (double)x->value[k], (double)QS_IMATRIX_MAX);
        x->zero &= !(x->value[k] > 0);
    }
    return QS_OK;
}

static int check_entries(struct qs_imatrix *m, struct qs_err *e)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        struct qs_imatrix_entry *x = &m->entry[i];
        if (i > 0 && strcmp(x[-1].name, x->name) == 0)
            return qs_fail(e, QS_EFORMAT, "importance matrix: entry %s stands twice", x->name);
        const int rc = check_values(x, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

int qs_imatrix_open_mem(const void *bytes, size_t n, struct qs_imatrix **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_imatrix *m = qs_calloc(1, sizeof *m);
    if (!m)
        return qs_fail_mem(e, sizeof *m, "an importance matrix");
    int rc = n >= 4 && memcmp(bytes, "GGUF", 4) == 0 ? read_gguf(bytes, n, m, e) : read_dat(bytes, n, m, e);
    if (rc == QS_OK && m->n_entries)
        qsort(m->entry, m->n_entries, sizeof *m->entry, by_name);
    if (rc == QS_OK)
        rc = check_entries(m, e);
    if (rc == QS_OK && !m->dataset && !(m->dataset = qs_strdup("")))
        rc = qs_fail_mem(e, 1, "an importance matrix");
    if (rc != QS_OK) {
        qs_imatrix_free(m);
        return rc;
    }
    m->key = qs_hash_bytes(bytes, n);
    *out = m;
    return QS_OK;
}

int qs_imatrix_open(const char *path, struct qs_imatrix **out, struct qs_err *e)
{
    char *bytes;
    size_t n;
    *out = NULL;
    int rc = qs_file_read(path, MAX_FILE, &bytes, &n, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_imatrix_open_mem(bytes, n, out, e);
    qs_free(bytes);
    if (rc != QS_OK)
        qs_err_prefix(e, "%s", path);
    return rc;
}
