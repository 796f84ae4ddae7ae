/* imatrix_write.c - importance matrices made, merged and written, in both of llama.cpp's file forms.
 *
 * Owns nothing but what it is given. Numbers are computed in single precision as llama.cpp does, so that equal sums
 * give equal bytes. Refuses what reading would refuse, and a file without a single count.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/imatrix_internal.h"
#include "kernels/format.h"

struct qs_imatrix_entry *qs_imatrix_add(struct qs_imatrix *m, const char *name, size_t cols, unsigned experts, bool sum)
{
    struct qs_imatrix_entry *x = qs_imatrix_new_entry(m, name, strlen(name), cols * experts);
    if (!x || !qs_imatrix_make_raw(x, experts, sum))
        return NULL;
    x->experts = experts;
    return x;
}

int qs_imatrix_seal(struct qs_imatrix *m, struct qs_err *e)
{
    m->legacy = false;
    for (size_t i = 0; i < m->n_entries; i++) {
        struct qs_imatrix_entry *x = &m->entry[i];
        const size_t cols = x->n / x->experts;
        x->count = INFINITY;
        x->unseen = 0;
        for (unsigned j = 0; j < x->experts; j++)
            qs_imatrix_count(x, x->counts[j]);
        for (size_t k = 0; k < x->n; k++)
            x->value[k] = qs_imatrix_mean(x->sum2[k], x->counts[k / cols]);
    }
    return qs_imatrix_finish(m, e);
}

/* ---- merging ---- */

static size_t find(const struct qs_imatrix *m, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(m->entry[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* One count for all experts becomes one for each. */
static bool spread(struct qs_imatrix_entry *x, unsigned experts)
{
    float *counts = x->experts == 1 && experts > 1 ? qs_calloc(experts, sizeof *counts) : NULL;
    if (x->experts >= experts)
        return true;
    for (unsigned j = 0; counts && j < experts; j++)
        counts[j] = x->counts[0];
    if (counts) {
        qs_free(x->counts);
        x->counts = counts;
        x->experts = experts;
    }
    return counts != NULL;
}

static bool add_entry(struct qs_imatrix_entry *x, const struct qs_imatrix_entry *y)
{
    if (!spread(x, y->experts))
        return false;
    for (unsigned j = 0; j < x->experts; j++)
        x->counts[j] = (float)((double)x->counts[j] + (double)y->counts[y->experts == 1 ? 0 : j]);
    for (size_t k = 0; k < x->n; k++)
        x->sum2[k] = (float)((double)x->sum2[k] + (double)y->sum2[k]);
    for (size_t k = 0; x->sum && y->sum && k < x->n; k++)
        x->sum[k] = (float)((double)x->sum[k] + (double)y->sum[k]);
    if (!y->sum) {
        qs_free(x->sum); /* not of all that was counted */
        x->sum = NULL;
    }
    return true;
}

static bool copy_entry(struct qs_imatrix *to, const struct qs_imatrix_entry *y)
{
    struct qs_imatrix_entry *x = qs_imatrix_add(to, y->name, y->n / y->experts, y->experts, y->sum != NULL);
    if (!x)
        return false;
    memcpy(x->sum2, y->sum2, y->n * sizeof *y->sum2);
    memcpy(x->counts, y->counts, y->experts * sizeof *y->counts);
    if (y->sum)
        memcpy(x->sum, y->sum, y->n * sizeof *y->sum);
    return true;
}

int qs_imatrix_merge(struct qs_imatrix *to, const struct qs_imatrix *more, struct qs_err *e)
{
    const size_t before = to->n_entries;
    for (size_t i = 0; i < more->n_entries; i++) {
        const struct qs_imatrix_entry *y = &more->entry[i];
        const size_t at = find(to, before, y->name);
        const struct qs_imatrix_entry *x = at == SIZE_MAX ? NULL : &to->entry[at];
        if (x && (x->n != y->n || (x->experts != y->experts && x->experts > 1 && y->experts > 1)))
            return qs_fail(e, QS_EINVAL, "entry %s has %zu values for %u experts in one file and %zu for %u in the other: they "
                           "belong to different models", y->name, x->n, x->experts, y->n, y->experts);
    }
    for (size_t i = 0; i < more->n_entries; i++) {
        const size_t at = find(to, before, more->entry[i].name);
        if (!(at == SIZE_MAX ? copy_entry(to, &more->entry[i]) : add_entry(&to->entry[at], &more->entry[i])))
            return qs_fail_mem(e, more->entry[i].n * 4, "an importance matrix");
    }
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < more->n_sources; i++)
        rc = qs_imatrix_add_source(to, more->source[i], e);
    to->chunks = to->chunks && more->chunks ? to->chunks + more->chunks : 0;
    to->chunk = to->chunk ? to->chunk : more->chunk;
    return rc;
}

/* ---- the GGUF form ---- */

struct part { struct qs_imatrix_entry *x; int what; size_t beside; };
enum { IN_SUM2, COUNTS, IN_SUM, BESIDE };

struct plan {
    const struct qs_imatrix_beside *beside;
    struct qs_gguf_out *tensor;
    struct part *part;
    char **name;
    size_t n;
    struct qs_str header;
    uint64_t size;
};

static bool counted(const struct qs_imatrix_entry *x)
{
    bool any = false;
    for (unsigned j = 0; j < x->experts; j++)
        any = any || x->counts[j] >= 1;
    return any;
}

static int put_part(struct plan *p, struct qs_imatrix_entry *x, int what, struct qs_err *e)
{
    static const char *const tail[] = { ".in_sum2", ".counts", ".in_sum" };
    struct qs_str name = QS_STR_INIT;
    qs_str_add(&name, x->name);
    qs_str_add(&name, tail[what]);
    char *s = qs_str_take(&name);
    if (!s)
        return qs_fail_mem(e, 0, "an importance matrix");
    const uint64_t cols = what == COUNTS ? 1 : x->n / x->experts;
    p->name[p->n] = s;
    p->part[p->n] = (struct part){ x, what, 0 };
    p->tensor[p->n] = (struct qs_gguf_out){ .name = s, .n_dims = 2, .ne = { cols, x->experts, 1, 1 }, .type = QS_F32,
                                            .size = cols * x->experts * 4 };
    p->n++;
    return QS_OK;
}

/* Which tensors the file has, in their order. */
static int list_parts(struct plan *p, const struct qs_imatrix *m, struct qs_err *e)
{
    const size_t beside = p->beside ? p->beside->n : 0, most = 3 * m->n_entries + beside;
    p->tensor = qs_calloc(most + 1, sizeof *p->tensor);
    p->part = qs_calloc(most + 1, sizeof *p->part);
    p->name = qs_calloc(most + 1, sizeof *p->name);
    int rc = p->tensor && p->part && p->name ? QS_OK : qs_fail_mem(e, most * sizeof *p->tensor, "an importance matrix");
    for (size_t i = 0; rc == QS_OK && i < m->n_entries; i++) {
        struct qs_imatrix_entry *x = &m->entry[i];
        for (int what = IN_SUM2; rc == QS_OK && counted(x) && what <= (x->sum ? IN_SUM : COUNTS); what++)
            rc = put_part(p, x, what, e);
    }
    if (rc == QS_OK && p->n == 0)
        rc = qs_fail(e, QS_EINVAL, "nothing was counted: an importance matrix without a single token is not written");
    for (size_t i = 0; rc == QS_OK && i < beside; i++) {
        p->part[p->n] = (struct part){ NULL, BESIDE, i };
        p->tensor[p->n++] = p->beside->tensor[i];
    }
    return rc;
}

static void put_le(struct qs_str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        qs_str_addc(s, (char)(v >> (8 * i) & 0xff));
}

static int put_meta(struct qs_gguf_meta *meta, const struct plan *p, const struct qs_imatrix *m, struct qs_err *e)
{
    struct qs_str list = QS_STR_INIT;
    put_le(&list, QS_GGUF_STRING, 4);
    put_le(&list, m->n_sources, 8);
    for (size_t i = 0; i < m->n_sources; i++) {
        put_le(&list, strlen(m->source[i]), 8);
        qs_str_add(&list, m->source[i]);
    }
    int rc = list.failed ? qs_fail_mem(e, 0, "an importance matrix") : qs_gguf_meta_str(meta, "general.type", "imatrix", e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_raw(meta, "imatrix.datasets", QS_GGUF_ARRAY, list.data, list.len, e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_u32(meta, "imatrix.chunk_count", (uint32_t)(m->chunks < UINT32_MAX ? m->chunks : UINT32_MAX), e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_u32(meta, "imatrix.chunk_size", m->chunk ? m->chunk : QS_IMATRIX_CHUNK, e);
    for (size_t i = 0; rc == QS_OK && p->beside && i < p->beside->n_texts; i++)
        rc = qs_gguf_meta_str(meta, p->beside->key[i], p->beside->text[i], e);
    qs_str_free(&list);
    return rc;
}

static int fill_part(const struct plan *p, size_t i, uint8_t *dst, struct qs_err *e)
{
    const struct part *a = &p->part[i];
    if (a->what == BESIDE)
        return p->beside->fill(p->beside->ctx, a->beside, dst, e);
    const float *from = a->what == IN_SUM2 ? a->x->sum2 : a->what == COUNTS ? a->x->counts : a->x->sum;
    for (size_t k = 0; k < p->tensor[i].size / 4; k++) {
        uint32_t bits;
        memcpy(&bits, &from[k], sizeof bits);
        for (int b = 0; b < 4; b++)
            dst[4 * k + (size_t)b] = (uint8_t)(bits >> (8 * b));
    }
    return QS_OK;
}

static int write_parts(void *ctx, int fd, const char *path, struct qs_err *e)
{
    const struct plan *p = ctx;
    int rc = qs_pwrite_all(fd, p->header.data, p->header.len, 0, path, e);
    for (size_t i = 0; rc == QS_OK && i < p->n; i++) {
        const uint64_t end = i + 1 < p->n ? p->tensor[i + 1].offset : p->size, room = end - p->tensor[i].offset;
        uint8_t *bytes = qs_calloc(1, (size_t)room); /* with what pads it */
        rc = bytes ? fill_part(p, i, bytes, e) : qs_fail_mem(e, room, "an importance matrix");
        if (rc == QS_OK)
            rc = qs_pwrite_all(fd, bytes, (size_t)room, p->tensor[i].offset, path, e);
        qs_free(bytes);
    }
    return rc;
}

int qs_imatrix_write(const struct qs_imatrix *m, const struct qs_imatrix_beside *beside, const char *path, bool overwrite,
                     struct qs_err *e)
{
    struct plan p = { .beside = beside, .header = QS_STR_INIT };
    struct qs_gguf_meta *meta = qs_gguf_meta_new();
    int rc = meta ? list_parts(&p, m, e) : qs_fail_mem(e, 0, "an importance matrix");
    if (rc == QS_OK)
        rc = put_meta(meta, &p, m, e);
    if (rc == QS_OK)
        rc = qs_gguf_layout(meta, p.tensor, p.n, QS_GGUF_OUT_ALIGNMENT, &p.header, &p.size, e);
    if (rc == QS_OK)
        rc = qs_file_write_pieces(path, write_parts, &p, overwrite, e);
    for (size_t i = 0; p.name && i < p.n; i++)
        qs_free(p.name[i]);
    qs_free(p.name);
    qs_free(p.part);
    qs_free(p.tensor);
    qs_str_free(&p.header);
    qs_gguf_meta_free(meta);
    return rc;
}

/* ---- the legacy form ---- */

static void dat_entry(struct qs_str *s, const struct qs_imatrix_entry *x, uint32_t chunk)
{
    const size_t cols = x->n / x->experts;
    float most = 0;
    for (unsigned j = 0; j < x->experts; j++)
        most = x->counts[j] > most ? x->counts[j] : most;
    const uint64_t calls = ((uint64_t)most + chunk - 1) / chunk;
    const uint32_t ncall = calls < INT32_MAX ? (uint32_t)calls : INT32_MAX;
    put_le(s, strlen(x->name), 4);
    qs_str_add(s, x->name);
    put_le(s, ncall, 4);
    put_le(s, x->n, 4);
    for (size_t k = 0; k < x->n; k++) {
        const float v = qs_imatrix_mean(x->sum2[k], x->counts[k / cols]) * (float)ncall;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        put_le(s, bits, 4);
    }
}

int qs_imatrix_write_dat(const struct qs_imatrix *m, const char *path, bool overwrite, struct qs_err *e)
{
    const uint32_t chunk = m->chunk ? m->chunk : QS_IMATRIX_CHUNK;
    const char *last = m->n_sources ? m->source[m->n_sources - 1] : "";
    struct qs_str s = QS_STR_INIT;
    size_t n = 0;
    for (size_t i = 0; i < m->n_entries; i++) {
        n += counted(&m->entry[i]);
        if (m->entry[i].n > INT32_MAX) {
            qs_str_free(&s);
            return qs_fail(e, QS_ELIMIT, "entry %s has %zu values: too many for the .dat form", m->entry[i].name,
                           m->entry[i].n);
        }
    }
    if (n == 0)
        return qs_fail(e, QS_EINVAL, "nothing was counted: an importance matrix without a single token is not written");
    put_le(&s, n, 4);
    for (size_t i = 0; i < m->n_entries; i++)
        if (counted(&m->entry[i]))
            dat_entry(&s, &m->entry[i], chunk);
    put_le(&s, m->chunks < INT32_MAX ? m->chunks : INT32_MAX, 4);
    put_le(&s, strlen(last), 4);
    qs_str_add(&s, last);
    const int rc = s.failed ? qs_fail_mem(e, s.len, "an importance matrix")
                            : qs_file_write_atomic(path, s.data, s.len, overwrite, e);
    qs_str_free(&s);
    return rc;
}
