/* gguf.c - opening GGUF files: descriptors, parts of a split model, look-up by name.
 *
 * Owns the qs_gguf and all memory behind it (header bytes of each part, an arena of names, two hash tables). Reads
 * headers only, with pread; no descriptor stays open. Refuses a file with the first fatal finding; qs_gguf_check keeps
 * what could be parsed instead. Immutable after open: any number of threads may look things up.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "core/format/gguf_internal.h"

void qs_gguf_close(struct qs_gguf *g)
{
    if (!g)
        return;
    struct qs_gguf_store *s = g->store;
    for (unsigned i = 0; i < g->n_parts; i++) {
        qs_free(g->part[i].path);
        if (s && s->window)
            qs_free(s->window[i]);
    }
    if (s) {
        while (s->names) {
            struct qs_gguf_chunk *next = s->names->next;
            qs_free(s->names);
            s->names = next;
        }
        qs_free(s->window);
        qs_free(s->by_key.slot);
        qs_free(s->by_name.slot);
    }
    qs_free(s);
    qs_free(g->part);
    qs_free(g->kv);
    qs_free(g->tensor);
    qs_free(g->finding);
    qs_free(g);
}

static struct qs_gguf *new_gguf(void)
{
    struct qs_gguf *g = qs_calloc(1, sizeof *g);
    struct qs_gguf_store *s = qs_calloc(1, sizeof *s);
    if (!g || !s) {
        qs_free(g);
        qs_free(s);
        return NULL;
    }
    g->store = s;
    return g;
}

/* Room for one more part; its path is copied. */
static int add_part(struct qs_gguf *g, const char *path, struct qs_err *e)
{
    struct qs_gguf_part *p = qs_realloc_array(g->part, g->n_parts + 1u, sizeof *p);
    if (p)
        g->part = p;
    uint8_t **w = qs_realloc_array(g->store->window, g->n_parts + 1u, sizeof *w);
    if (w)
        g->store->window = w;
    char *copy = qs_strdup(path);
    if (!p || !w || !copy) {
        qs_free(copy);
        return qs_fail_mem(e, sizeof *p + strlen(path), "a part of a GGUF file");
    }
    p[g->n_parts] = (struct qs_gguf_part){ .path = copy };
    w[g->n_parts] = NULL;
    g->n_parts++;
    return QS_OK;
}

/* ---- hash tables ---- */

static uint64_t hash_name(const char *s, size_t n)
{
    return qs_hash_bytes(s, n).lo;
}

/* The name of entry i of either table. */
typedef const char *name_of_fn(const struct qs_gguf *g, size_t i, size_t *n);

static const char *key_of(const struct qs_gguf *g, size_t i, size_t *n)
{
    *n = g->kv[i].key_len;
    return g->kv[i].key;
}

static const char *tensor_name_of(const struct qs_gguf *g, size_t i, size_t *n)
{
    *n = g->tensor[i].name_len;
    return g->tensor[i].name;
}

/* Entry number + 1 of that name, or 0; *free_slot is where it would go. */
static uint32_t find_slot(const struct qs_gguf *g, const struct qs_gguf_index *x, name_of_fn *name_of, const char *s,
                          size_t n, size_t *free_slot)
{
    size_t at = (size_t)hash_name(s, n) & x->mask;
    for (; x->slot[at]; at = (at + 1) & x->mask) {
        size_t len;
        const char *have = name_of(g, x->slot[at] - 1, &len);
        if (len == n && memcmp(have, s, n) == 0)
            return x->slot[at];
    }
    *free_slot = at;
    return 0;
}

static int build_index(struct qs_gguf *g, struct qs_gguf_index *x, size_t n, name_of_fn *name_of, const char *what,
                       struct qs_err *e)
{
    size_t size = 16;
    while (size < 2 * n) /* n <= 2^20 per part, and parts are bounded by what was allocated for them */
        size *= 2;
    x->slot = qs_calloc(size, sizeof *x->slot);
    if (!x->slot)
        return qs_fail_mem(e, size * sizeof *x->slot, "the index of a GGUF file");
    x->mask = size - 1;
    for (size_t i = 0; i < n; i++) {
        size_t len, at = 0;
        const char *name = name_of(g, i, &len);
        uint32_t twin = find_slot(g, x, name_of, name, len, &at);
        if (!twin) {
            x->slot[at] = (uint32_t)(i + 1);
            continue;
        }
        bool is_tensor = name_of == tensor_name_of;
        char field[96];
        qs_gguf_label(field, sizeof field, what, name, len, NULL);
        qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, is_tensor ? g->tensor[i].part : 0,
                     is_tensor ? g->tensor[i].offset : g->kv[i].offset, field,
                     "the same name stands twice (entries %u and %zu)", twin - 1, i);
    }
    return QS_OK;
}

const struct qs_kv *qs_gguf_kv(const struct qs_gguf *g, const char *key)
{
    size_t unused;
    uint32_t i = g->store->by_key.slot ? find_slot(g, &g->store->by_key, key_of, key, strlen(key), &unused) : 0;
    return i ? &g->kv[i - 1] : NULL;
}

const struct qs_gguf_tensor *qs_gguf_tensor_by_name(const struct qs_gguf *g, const char *name)
{
    size_t unused;
    uint32_t i =
        g->store->by_name.slot ? find_slot(g, &g->store->by_name, tensor_name_of, name, strlen(name), &unused) : 0;
    return i ? &g->tensor[i - 1] : NULL;
}

/* ---- one part ---- */

static int open_file(const char *path, int *fd, struct stat *st, struct qs_err *e)
{
    *fd = -1;
    if (!path[0])
        return qs_fail(e, QS_EINVAL, "the name of the model is an empty word");
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe is refused, not waited for */
    if (*fd < 0)
        return qs_fail_errno(e, errno, "cannot open %s", path);
    int rc = QS_OK;
    if (fstat(*fd, st) != 0)
        rc = qs_fail_errno(e, errno, "cannot examine %s", path);
    else if (S_ISDIR(st->st_mode))
        rc = qs_fail(e, QS_EINVAL, "%s is a folder: name the .gguf file in it", path);
    else if (!S_ISREG(st->st_mode))
        rc = qs_fail(e, QS_EINVAL, "%s is not a regular file", path);
    if (rc != QS_OK)
        close(*fd);
    return rc;
}

/* Parses part `i` from an open reader and keeps its header bytes. */
static int parse_part(struct qs_gguf *g, unsigned i, struct qs_reader *r, struct qs_gguf_kvs *kvs, struct qs_err *e)
{
    g->part[i].file_size = r->size;
    if (r->limit > QS_GGUF_MAX_HEADER)
        r->limit = QS_GGUF_MAX_HEADER;
    int rc = qs_gguf_parse(g, r, i, kvs, e);
    if (rc != QS_OK)
        return rc;
    if (r->owns_buf) {
        g->store->window[i] = qs_reader_take(r);
    } else {
        size_t n = (size_t)(r->pos < r->size ? r->pos : r->size);
        g->store->window[i] = qs_malloc(n);
        if (!g->store->window[i])
            return qs_fail_mem(e, n, "a GGUF header");
        if (n > 0)
            memcpy(g->store->window[i], r->buf, n);
    }
    qs_gguf_resolve(kvs, g->store->window[i]);
    return QS_OK;
}

static int load_part(struct qs_gguf *g, const char *path, struct qs_gguf_kvs *kvs, struct qs_err *e)
{
    int fd;
    struct stat st;
    int rc = open_file(path, &fd, &st, e);
    if (rc != QS_OK)
        return rc;
    rc = add_part(g, path, e);
    if (rc == QS_OK) {
        struct qs_gguf_part *p = &g->part[g->n_parts - 1];
        p->dev = (uint64_t)st.st_dev;
        p->ino = (uint64_t)st.st_ino;
        p->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        struct qs_reader r;
        rc = qs_reader_open_fd(&r, fd, 0, e);
        if (rc == QS_OK)
            rc = parse_part(g, g->n_parts - 1, &r, kvs, e);
        if (rc == QS_OK || rc == QS_ENOMEM)
            ;
        else
            qs_err_prefix(e, "%s", path);
        qs_reader_close(&r);
    }
    close(fd);
    return rc;
}

/* ---- split models ---- */

struct split { uint64_t no, count; int64_t tensors; /* -1: not stated */ };

static struct split read_split(const struct qs_gguf_kvs *kvs)
{
    struct split s = { 0, 1, -1 };
    qs_kv_u64(qs_gguf_kvs_get(kvs, "split.no"), &s.no);
    qs_kv_u64(qs_gguf_kvs_get(kvs, "split.count"), &s.count);
    if (!qs_kv_i64(qs_gguf_kvs_get(kvs, "split.tensors.count"), &s.tensors) || s.tensors < 0)
        s.tensors = -1;
    return s;
}

/* PATH up to "-00001-of-00003.gguf" when it says exactly (no, count); 0 otherwise. */
static size_t split_stem(const char *path, uint64_t no, uint64_t count)
{
    char tail[64];
    int n = snprintf(tail, sizeof tail, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", no + 1, count);
    size_t len = strlen(path);
    if (n < 0 || (size_t)n >= len || strcmp(path + len - (size_t)n, tail) != 0)
        return 0;
    return len - (size_t)n;
}

static void find_split(struct qs_gguf *g, unsigned part, const char *field, const char *msg)
{
    qs_gguf_find(g, QS_FINDING_FATAL, QS_EFORMAT, part, QS_GGUF_NO_OFFSET, field, "%s", msg);
}

/* Keys of a text value that two parts of one model cannot disagree about. Later parts may leave them out. */
static void agree_about(struct qs_gguf *g, unsigned part, const char *key, const struct qs_gguf_kvs *first,
                        const struct qs_gguf_kvs *later)
{
    const char *a, *b;
    size_t n, m;
    if (!qs_kv_str(qs_gguf_kvs_get(first, key), &a, &n) || !qs_kv_str(qs_gguf_kvs_get(later, key), &b, &m) ||
        (n == m && memcmp(a, b, n) == 0))
        return;
    char msg[200], field[64];
    snprintf(field, sizeof field, "metadata %s", key);
    snprintf(msg, sizeof msg, "part %u says \"%.*s\", part 1 \"%.*s\": they are parts of different models", part + 1,
             m > 40 ? 40 : (int)m, b, n > 40 ? 40 : (int)n, a);
    find_split(g, part, field, msg);
}

/* What a sibling says about itself must agree with its place and with the first part. */
static void agree(struct qs_gguf *g, unsigned part, const struct split *want, const struct qs_gguf_kvs *first,
                  const struct qs_gguf_kvs *later)
{
    const struct split have_split = read_split(later), *have = &have_split;
    char msg[200];
    agree_about(g, part, "general.architecture", first, later);
    agree_about(g, part, "general.name", first, later);
    if (have->tensors >= 0 && want->tensors >= 0 && have->tensors != want->tensors) {
        snprintf(msg, sizeof msg, "part %u says %" PRId64 " tensors, part 1 %" PRId64 ": they are parts of different models",
                 part + 1, have->tensors, want->tensors);
        find_split(g, part, "metadata split.tensors.count", msg);
    }
    if (have->no != part || have->count != want->count) {
        snprintf(msg, sizeof msg,
                 "the file calls itself part %" PRIu64 " of %" PRIu64 ", but stands as part %u of %" PRIu64,
                 have->no + 1, have->count, part + 1, want->count);
        find_split(g, part, "metadata split.no", msg);
    }
}

/* Part numbers are findings when absent, so that check names all of them; open stops at the first. */
static int load_siblings(struct qs_gguf *g, const char *stem, size_t stem_len, const struct split *s,
                         const struct qs_gguf_kvs *first, struct qs_err *e)
{
    unsigned missing = 0;
    for (unsigned i = 1; i < s->count; i++) {
        struct qs_str path = QS_STR_INIT;
        qs_str_addn(&path, stem, stem_len);
        qs_str_addf(&path, "-%05u-of-%05u.gguf", i + 1, (unsigned)s->count);
        struct qs_err why = QS_ERR_INIT;
        struct qs_gguf_kvs kvs = { 0 };
        int rc = path.failed ? qs_fail_mem(&why, path.len, "the name of a part") : load_part(g, path.data, &kvs, &why);
        if (rc == QS_ENOTFOUND) {
            char msg[250];
            snprintf(msg, sizeof msg, "part %u of %u is missing: %s", i + 1, (unsigned)s->count,
                     qs_path_base(path.data));
            rc = add_part(g, path.data, &why); /* keeps part numbers true */
            find_split(g, i, "split", msg);
            if (++missing == 16)
                i = (unsigned)s->count;
        } else if (rc == QS_OK && g->store->fatal_code == QS_OK) {
            agree(g, i, s, first, &kvs);
        }
        qs_free(kvs.kv);
        qs_str_free(&path);
        if (rc != QS_OK) {
            if (e)
                *e = why;
            return rc;
        }
    }
    return QS_OK;
}

/* A file that stands alone: what it says of parts is not needed, but told. */
static void judge_lone(struct qs_gguf *g, const struct split *s)
{
    if (s->count == 0)
        qs_gguf_find(g, QS_FINDING_WARNING, QS_EFORMAT, 0, QS_GGUF_NO_OFFSET, "metadata split.count",
                     "0 parts: the file is read as a whole model");
    else if (s->count == 1 && s->no != 0)
        qs_gguf_find(g, QS_FINDING_WARNING, QS_EFORMAT, 0, QS_GGUF_NO_OFFSET, "metadata split.no",
                     "part %" PRIu64 " of 1: the file is read as a whole model", s->no + 1);
    else if (s->tensors >= 0 && (uint64_t)s->tensors != g->n_tensors)
        qs_gguf_find(g, QS_FINDING_WARNING, QS_EFORMAT, 0, QS_GGUF_NO_OFFSET, "metadata split.tensors.count",
                     "says %" PRId64 " tensors, but the file holds %zu", s->tensors, g->n_tensors);
}

static int load_split(struct qs_gguf *g, const char *path, const struct split *s, const struct qs_gguf_kvs *kvs,
                      struct qs_err *e)
{
    char msg[200];
    size_t stem = split_stem(path, s->no, s->count);
    if (s->count > QS_GGUF_MAX_PARTS || s->no >= s->count || stem == 0) {
        snprintf(msg, sizeof msg,
                 "the file calls itself part %" PRIu64 " of %" PRIu64 ", but its name does not end in -%05" PRIu64
                 "-of-%05" PRIu64 ".gguf: the other parts cannot be found",
                 s->no + 1, s->count, s->no + 1, s->count);
        find_split(g, 0, "metadata split.count", msg);
        return QS_OK;
    }
    int rc = load_siblings(g, path, stem, s, kvs, e);
    if (rc == QS_OK && s->tensors >= 0 && (uint64_t)s->tensors != g->n_tensors && g->store->fatal_code == QS_OK) {
        snprintf(msg, sizeof msg, "says %" PRId64 " tensors, but the %u parts hold %zu", s->tensors, g->n_parts,
                 g->n_tensors);
        find_split(g, 0, "metadata split.tensors.count", msg);
    }
    return rc;
}

/* The first part's path when PATH is a later one (allocated), else NULL. */
static int first_of(const char *path, const struct split *s, char **first, struct qs_err *e)
{
    *first = NULL;
    size_t stem = s->count > 1 && s->no > 0 && s->no < s->count ? split_stem(path, s->no, s->count) : 0;
    if (stem == 0)
        return QS_OK;
    struct qs_str p = QS_STR_INIT;
    qs_str_addn(&p, path, stem);
    qs_str_addf(&p, "-00001-of-%05" PRIu64 ".gguf", s->count);
    *first = qs_str_take(&p);
    return *first ? QS_OK : qs_fail_mem(e, stem, "the name of a part");
}

/* ---- opening ---- */

static int finish(struct qs_gguf *g, struct qs_gguf_kvs *kvs, struct qs_err *e)
{
    g->kv = kvs->kv;
    g->n_kv = kvs->n;
    g->version = g->part[0].version;
    g->alignment = g->part[0].alignment;
    kvs->kv = NULL;
    int rc = build_index(g, &g->store->by_key, g->n_kv, key_of, "metadata", e);
    if (rc == QS_OK)
        rc = build_index(g, &g->store->by_name, g->n_tensors, tensor_name_of, "tensor", e);
    if (rc == QS_OK && g->store->out_of_memory)
        rc = qs_fail_mem(e, 0, "the findings about a file");
    return rc;
}

/* Loads PATH, or the first part when PATH is a later part, and its siblings. */
static int load(const char *path, bool follow, struct qs_gguf **out, struct qs_err *e)
{
    struct qs_gguf *g = new_gguf();
    if (!g)
        return qs_fail_mem(e, sizeof *g, "a GGUF file");
    struct qs_gguf_kvs kvs = { 0 };
    char *first = NULL;
    int rc = load_part(g, path, &kvs, e);
    if (rc == QS_OK && g->store->fatal_code == QS_OK) {
        struct split s = read_split(&kvs);
        rc = follow ? first_of(path, &s, &first, e) : QS_OK;
        if (rc == QS_OK && !first && s.count > 1)
            rc = load_split(g, path, &s, &kvs, e);
        else if (rc == QS_OK && !first)
            judge_lone(g, &s);
    }
    if (rc == QS_OK && !first)
        rc = finish(g, &kvs, e);
    qs_free(kvs.kv);
    if (rc != QS_OK || first) {
        qs_gguf_close(g);
        if (rc == QS_OK)
            rc = load(first, false, out, e);
        qs_free(first);
        return rc;
    }
    *out = g;
    return QS_OK;
}

/* The first fatal finding as an error: "FILE: FIELD: what is wrong (offset N)". */
static int refuse(const struct qs_gguf *g, struct qs_err *e)
{
    const struct qs_finding *f = &g->store->fatal;
    const char *path = f->part < g->n_parts && g->part[f->part].path[0] ? g->part[f->part].path : "GGUF in memory";
    if (f->offset == QS_GGUF_NO_OFFSET)
        return qs_fail(e, g->store->fatal_code, "%s: %s: %s", path, f->field, f->msg);
    return qs_fail(e, g->store->fatal_code, "%s: %s: %s (offset %" PRIu64 ")", path, f->field, f->msg, f->offset);
}

int qs_gguf_open(const char *path, struct qs_gguf **out, struct qs_err *e)
{
    struct qs_gguf *g = NULL;
    int rc = load(path, true, &g, e);
    if (rc == QS_OK && g->store->fatal_code != QS_OK) {
        rc = refuse(g, e);
        qs_gguf_close(g);
        g = NULL;
    }
    *out = g;
    return rc;
}

/* The one header that lies in memory, into a model that has its parts. */
static int read_memory(struct qs_gguf *g, struct qs_reader *r, struct qs_err *e)
{
    struct qs_gguf_kvs kvs = { 0 };
    int rc = parse_part(g, 0, r, &kvs, e);
    if (rc == QS_OK)
        rc = finish(g, &kvs, e);
    if (rc == QS_OK && g->store->fatal_code != QS_OK)
        rc = refuse(g, e);
    qs_free(kvs.kv);
    return rc;
}

/* Gives it to the caller, or closes it. */
static int hand_over(struct qs_gguf *g, int rc, struct qs_gguf **out)
{
    if (rc != QS_OK)
        qs_gguf_close(g);
    else
        *out = g;
    return rc;
}

int qs_gguf_open_mem(const void *bytes, size_t n, struct qs_gguf **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_gguf *g = new_gguf();
    if (!g)
        return qs_fail_mem(e, sizeof *g, "a GGUF file");
    struct qs_reader r;
    qs_reader_open_mem(&r, bytes, n);
    int rc = add_part(g, "", e);
    if (rc == QS_OK)
        rc = read_memory(g, &r, e);
    qs_reader_close(&r);
    return hand_over(g, rc, out);
}

int qs_gguf_open_made(const void *header, size_t n, uint64_t data_end, const struct qs_gguf_part *part,
                      unsigned n_parts, struct qs_gguf **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_gguf *g = new_gguf();
    if (!g)
        return qs_fail_mem(e, sizeof *g, "a model");
    struct qs_reader r;
    qs_reader_open_mem(&r, header, n);
    r.size = data_end; /* limit stays: nothing behind the header is there to be read */
    int rc = QS_OK;
    for (unsigned i = 0; i < n_parts && !rc; i++)
        rc = add_part(g, part[i].path, e);
    if (rc == QS_OK)
        rc = read_memory(g, &r, e);
    for (unsigned i = 0; i < n_parts && !rc; i++) {
        char *path = g->part[i].path;
        g->part[i] = part[i];
        g->part[i].path = path;
        g->part[i].version = g->version;
        g->part[i].alignment = g->alignment;
    }
    qs_reader_close(&r);
    return hand_over(g, rc, out);
}

int qs_gguf_remark(struct qs_gguf *g, const char *field, const char *msg, struct qs_err *e)
{
    qs_gguf_find(g, QS_FINDING_WARNING, QS_OK, 0, QS_GGUF_NO_OFFSET, field, "%s", msg);
    return g->store->out_of_memory ? qs_fail_mem(e, 0, "the findings about a file") : QS_OK;
}

int qs_gguf_check(const char *path, struct qs_gguf **out, struct qs_err *e)
{
    struct qs_gguf *g = NULL;
    int rc = load(path, true, &g, e);
    if (rc == QS_OK && g->store->fatal_code == QS_OK)
        qs_gguf_lint(g);
    if (rc == QS_OK && g->store->out_of_memory) {
        rc = qs_fail_mem(e, 0, "the findings about a file");
        qs_gguf_close(g);
        g = NULL;
    }
    *out = g;
    return rc;
}
