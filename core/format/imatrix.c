/* imatrix.c - importance matrices: llama.cpp's two file forms, read from the mapped file or from memory.
 *
 * Owns the entries and their values. A file that begins with "GGUF" is read as GGUF, anything else as the legacy form.
 * Refuses counts that the file cannot hold, entries without their partner, values that are negative, not finite or
 * absurd, names that stand twice. An entry that no tensor of the model wants, or of another size, is the caller's
 * business. Immutable after open.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/reader.h"
#include "core/format/gguf.h"
#include "core/format/imatrix_internal.h"

#define MAX_FILE ((uint64_t)1 << 40)
#define MAX_NAME 1024u
#define MAX_ENTRIES (1u << 20)

void qs_imatrix_free(struct qs_imatrix *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_entries; i++) {
        qs_free(m->entry[i].name);
        qs_free(m->entry[i].value);
        qs_free(m->entry[i].sum2);
        qs_free(m->entry[i].sum);
        qs_free(m->entry[i].counts);
    }
    for (size_t i = 0; i < m->n_sources; i++)
        qs_free(m->source[i]);
    qs_free(m->source);
    qs_free(m->entry);
    qs_free(m->dataset);
    qs_free(m);
}

struct qs_imatrix *qs_imatrix_new(void) { return qs_calloc(1, sizeof(struct qs_imatrix)); }

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

struct qs_imatrix_entry *qs_imatrix_new_entry(struct qs_imatrix *m, const char *name, size_t name_len, size_t n)
{
    if (!qs_grow(&m->entry, &m->cap_entries, m->n_entries + 1, sizeof *m->entry))
        return NULL;
    struct qs_imatrix_entry *x = &m->entry[m->n_entries];
    *x = (struct qs_imatrix_entry){ .name = qs_strndup(name, name_len), .value = qs_calloc(n, sizeof(float)), .n = n,
                                    .experts = 1 };
    m->n_entries++; /* qs_imatrix_free takes half-made entries */
    return x->name && x->value ? x : NULL;
}

bool qs_imatrix_make_raw(struct qs_imatrix_entry *x, size_t experts, bool sum)
{
    x->sum2 = qs_calloc(x->n, sizeof(float));
    x->counts = qs_calloc(experts, sizeof(float));
    x->sum = sum ? qs_calloc(x->n, sizeof(float)) : NULL;
    return x->sum2 && x->counts && (x->sum || !sum);
}

void qs_imatrix_count(struct qs_imatrix_entry *x, float count)
{
    x->count = (double)count < x->count ? (double)count : x->count;
    x->unseen += count < 1;
}

int qs_imatrix_add_source(struct qs_imatrix *m, const char *name, struct qs_err *e)
{
    char *copy = qs_strdup(name);
    if (!copy || !qs_grow(&m->source, &m->cap_sources, m->n_sources + 1, sizeof *m->source)) {
        qs_free(copy);
        return qs_fail_mem(e, strlen(name), "an importance matrix");
    }
    m->source[m->n_sources++] = copy;
    return QS_OK;
}

/* How a file is read. */
struct how { bool raw; uint32_t chunk; };

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

/* Calls become tokens: sums of so many calls of a chunk each. */
static int raw_calls(struct qs_imatrix_entry *x, const uint8_t *p, uint32_t ncall, uint32_t chunk, struct qs_err *e)
{
    if (!qs_imatrix_make_raw(x, 1, false))
        return qs_fail_mem(e, x->n * 4, "an importance matrix");
    x->counts[0] = (float)ncall * (float)chunk;
    for (size_t k = 0; ncall && k < x->n; k++)
        x->sum2[k] = get_f32(p + 4 * k) * (float)chunk;
    return QS_OK;
}

static int read_entry(struct qs_reader *r, uint32_t i, const struct how *how, struct qs_imatrix *m, struct qs_err *e)
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
    struct qs_imatrix_entry *x = qs_imatrix_new_entry(m, name, len, nval);
    if (!x)
        return qs_fail_mem(e, (uint64_t)nval * 4, "an importance matrix");
    const uint8_t *p = qs_reader_bytes(r, (uint64_t)nval * 4, "values");
    x->count = ncall;
    x->unseen = ncall == 0;
    for (uint32_t k = 0; k < nval; k++) /* stored as mean times calls; without calls as it is, as llama.cpp reads it */
        x->value[k] = ncall ? get_f32(p + 4 * (size_t)k) / (float)ncall : get_f32(p + 4 * (size_t)k);
    return how->raw ? raw_calls(x, p, ncall, how->chunk, e) : QS_OK;
}

static int read_dat(const void *bytes, size_t n, const struct how *how, struct qs_imatrix *m, struct qs_err *e)
{
    m->legacy = true;
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
    for (uint32_t i = 0; i < count; i++) {
        int rc = read_entry(&r, i, how, m, e);
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
    char *copy = qs_strndup(name, len);
    int rc = copy ? len ? qs_imatrix_add_source(m, copy, e) : QS_OK : qs_fail_mem(e, len, "an importance matrix");
    qs_free(copy);
    return rc;
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
                      const struct how *how, struct qs_imatrix_entry *x, struct qs_err *e)
{
    uint64_t experts = counts->size / 4, cols = x->n / experts;
    x->experts = (unsigned)experts;
    x->count = INFINITY;
    if (how->raw && !qs_imatrix_make_raw(x, experts, false))
        return qs_fail_mem(e, x->n * 4, "an importance matrix");
    for (uint64_t j = 0; j < experts; j++) {
        float stored = get_f32(bytes + counts->offset + 4 * j);
        if (!(stored >= 0 && stored < 9e15f))
            return qs_fail(e, QS_EFORMAT,
                           "importance matrix: tensor %s: count %" PRIu64 " is negative or no number (offset %" PRIu64
                           ")",
                           counts->name, j, counts->offset + 4 * j);
        float count = roundf(stored);
        qs_imatrix_count(x, count);
        if (how->raw)
            x->counts[j] = count;
        for (uint64_t i = 0; i < cols; i++) {
            const uint64_t k = j * cols + i;
            const float sum2 = get_f32(bytes + sum->offset + 4 * k);
            x->value[k] = qs_imatrix_mean(sum2, count);
            if (how->raw && count >= 1)
                x->sum2[k] = sum2;
        }
    }
    return QS_OK;
}

/* Sums of the values themselves, where the file has them. */
static int read_sums(const uint8_t *bytes, const struct qs_gguf *g, size_t len, struct qs_imatrix_entry *x, struct qs_err *e)
{
    const struct qs_gguf_tensor *sum = partner(g, x->name, len, ".in_sum");
    if (!sum)
        return QS_OK;
    if (sum->type != 0 || sum->size != x->n * 4)
        return qs_fail(e, QS_EFORMAT, "importance matrix: tensor %s is not as large as its sums of squares (offset %" PRIu64
                       ")", sum->name, sum->offset);
    if (!(x->sum = qs_calloc(x->n, sizeof(float))))
        return qs_fail_mem(e, x->n * 4, "an importance matrix");
    const size_t cols = x->n / x->experts;
    for (size_t k = 0; k < x->n; k++) {
        const float v = get_f32(bytes + sum->offset + 4 * k);
        if (!isfinite(v))
            return qs_fail(e, QS_EFORMAT, "importance matrix: tensor %s: value %zu is no finite number (offset %" PRIu64 ")",
                           sum->name, k, sum->offset + 4 * k);
        x->sum[k] = x->counts[k / cols] < 1 ? 0.0f : v;
    }
    return QS_OK;
}

static int read_pair(const uint8_t *bytes, const struct qs_gguf *g, const struct qs_gguf_tensor *sum, size_t len,
                     const struct how *how, struct qs_imatrix *m, struct qs_err *e)
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
    struct qs_imatrix_entry *x = qs_imatrix_new_entry(m, sum->name, len, (size_t)n);
    if (!x)
        return qs_fail_mem(e, n * 4, "an importance matrix");
    rc = read_means(bytes, sum, counts, how, x, e);
    return rc == QS_OK && how->raw ? read_sums(bytes, g, len, x, e) : rc;
}

static int read_dataset(const struct qs_gguf *g, struct qs_imatrix *m, struct qs_err *e)
{
    const struct qs_kv *kv = qs_gguf_kv(g, "imatrix.datasets");
    uint64_t cursor = 0;
    const char *s;
    size_t n;
    int rc = QS_OK;
    while (rc == QS_OK && qs_kv_next_str(kv, &cursor, &s, &n)) {
        char *copy = qs_strndup(s, n);
        rc = copy ? qs_imatrix_add_source(m, copy, e) : qs_fail_mem(e, n, "an importance matrix");
        qs_free(copy);
    }
    m->chunks = qs_gguf_u64(g, "imatrix.chunk_count", 0);
    const uint64_t chunk = qs_gguf_u64(g, "imatrix.chunk_size", 0);
    m->chunk = chunk <= UINT32_MAX ? (uint32_t)chunk : 0;
    return rc;
}

static int read_gguf(const void *bytes, size_t n, const struct how *how, struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_gguf *g;
    int rc = qs_gguf_open_mem(bytes, n, &g, e);
    if (rc != QS_OK)
        return rc;
    const char *type;
    size_t len;
    if (!qs_kv_str(qs_gguf_kv(g, "general.type"), &type, &len) || len != 7 || memcmp(type, "imatrix", 7) != 0)
        rc = qs_fail(e, QS_EFORMAT, "this GGUF file is no importance matrix: its general.type is not \"imatrix\"");
    size_t sums = 0, counts = 0;
    for (size_t i = 0; rc == QS_OK && i < g->n_tensors; i++) {
        if (strip(g->tensor[i].name, ".counts", &len))
            counts++;
        if (!strip(g->tensor[i].name, ".in_sum2", &len))
            continue;
        sums++;
        rc = read_pair(bytes, g, &g->tensor[i], len, how, m, e);
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

/* All datasets' names, separated by ", ". */
static int join_sources(struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    for (size_t i = 0; i < m->n_sources; i++) {
        qs_str_add(&text, text.len ? ", " : "");
        qs_str_add(&text, m->source[i]);
    }
    const bool empty = !text.len && !text.failed;
    qs_free(m->dataset);
    m->dataset = empty ? qs_strdup("") : qs_str_take(&text);
    qs_str_free(&text);
    return m->dataset ? QS_OK : qs_fail_mem(e, 0, "an importance matrix");
}

static int make_key(struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "an importance matrix");
    qs_hash_add(h, m->dataset, strlen(m->dataset) + 1);
    qs_hash_add(h, &m->chunks, sizeof m->chunks);
    for (size_t i = 0; i < m->n_entries; i++) {
        const struct qs_imatrix_entry *x = &m->entry[i];
        const uint64_t size[2] = { x->n, x->experts };
        qs_hash_add(h, x->name, strlen(x->name) + 1);
        qs_hash_add(h, size, sizeof size);
        qs_hash_add(h, &x->count, sizeof x->count);
        qs_hash_add(h, x->value, x->n * sizeof *x->value);
    }
    m->key = qs_hash_end(h);
    return QS_OK;
}

int qs_imatrix_finish(struct qs_imatrix *m, struct qs_err *e)
{
    if (m->n_entries)
        qsort(m->entry, m->n_entries, sizeof *m->entry, by_name);
    int rc = check_entries(m, e);
    if (rc == QS_OK)
        rc = join_sources(m, e);
    return rc == QS_OK ? make_key(m, e) : rc;
}

static int open_mem(const void *bytes, size_t n, struct how how, struct qs_imatrix **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_imatrix *m = qs_imatrix_new();
    if (!m)
        return qs_fail_mem(e, sizeof *m, "an importance matrix");
    how.chunk = how.chunk ? how.chunk : QS_IMATRIX_CHUNK;
    int rc = n >= 4 && memcmp(bytes, "GGUF", 4) == 0 ? read_gguf(bytes, n, &how, m, e) : read_dat(bytes, n, &how, m, e);
    if (rc == QS_OK)
        rc = qs_imatrix_finish(m, e);
    if (rc != QS_OK) {
        qs_imatrix_free(m);
        return rc;
    }
    *out = m;
    return QS_OK;
}

static int open_file(const char *path, struct how how, struct qs_imatrix **out, struct qs_err *e)
{
    struct qs_map *map;
    *out = NULL;
    int rc = qs_map_open(path, &map, e);
    if (rc != QS_OK)
        return rc;
    if (qs_map_size(map) > MAX_FILE)
        rc = qs_fail(e, QS_ELIMIT, "%s: no importance matrix is so large", path);
    else if ((rc = open_mem(qs_map_data(map), (size_t)qs_map_size(map), how, out, e)) != QS_OK)
        qs_err_prefix(e, "%s", path);
    if (rc == QS_OK && (rc = qs_map_check(map, e)) != QS_OK) {
        qs_imatrix_free(*out);
        *out = NULL;
    }
    qs_map_unref(map);
    return rc;
}

int qs_imatrix_open_mem(const void *bytes, size_t n, struct qs_imatrix **out, struct qs_err *e)
{
    return open_mem(bytes, n, (struct how){ false, 0 }, out, e);
}

int qs_imatrix_open(const char *path, struct qs_imatrix **out, struct qs_err *e)
{
    return open_file(path, (struct how){ false, 0 }, out, e);
}

int qs_imatrix_open_raw(const char *path, uint32_t chunk, struct qs_imatrix **out, struct qs_err *e)
{
    return open_file(path, (struct how){ true, chunk }, out, e);
}

int qs_imatrix_open_raw_mem(const void *bytes, size_t n, uint32_t chunk, struct qs_imatrix **out, struct qs_err *e)
{
    return open_mem(bytes, n, (struct how){ true, chunk }, out, e);
}
