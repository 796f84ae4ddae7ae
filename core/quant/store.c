/* store.c - owns the descriptor, the lock, the mapping and the list of tensors of a store; see store.h.
 *
 * Appends whole records and makes each durable; believes of an unfinished file what is whole, with its bytes, and cuts
 * off the rest; of a finished one nothing when a part is not. Refuses what another process has, and what is of other
 * work. One thread writes; any thread may read a store that is no longer written.
 */
#include "core/quant/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

/* ---- the list ---- */

/* Where the name is in by_name, or belongs; *there: it is. */
static size_t place_of(const struct qs_store *s, const char *name, bool *there)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(s->item[s->by_name[mid]]->t.name, name);
        if (order == 0) {
            *there = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *there = false;
    return lo;
}

int qs_store_add_item(struct qs_store *s, const struct qs_stored *t, bool checked, struct qs_err *e)
{
    bool there;
    const size_t at = place_of(s, t->name, &there);
    if (s->n >= QS_STORE_MOST)
        return qs_fail(e, QS_ELIMIT, "%s: more than %u tensors", s->path, QS_STORE_MOST);
    struct qs_store_item *x = qs_calloc(1, sizeof *x);
    if (!x || !qs_grow(&s->item, &s->cap, s->n + 1, sizeof *s->item) ||
        !qs_grow(&s->by_name, &s->cap_by_name, s->n + 1, sizeof *s->by_name)) {
        qs_free(x);
        return qs_fail_mem(e, (s->n + 1) * sizeof *x, "the list of calibrated tensors");
    }
    *x = (struct qs_store_item){ .t = *t, .checked = checked };
    memmove(s->by_name + at + 1, s->by_name + at, (s->n - at) * sizeof *s->by_name);
    s->by_name[at] = s->n;
    s->item[s->n++] = x;
    return QS_OK;
}

size_t qs_store_count(const struct qs_store *s)
{
    return s->n;
}

const struct qs_stored *qs_store_at(const struct qs_store *s, size_t i)
{
    return i < s->n ? &s->item[i]->t : NULL;
}

const struct qs_stored *qs_store_find(const struct qs_store *s, const char *name)
{
    bool there;
    const size_t at = place_of(s, name, &there);
    return there ? &s->item[s->by_name[at]]->t : NULL;
}

const char *qs_store_path(const struct qs_store *s)
{
    return s->path;
}

const char *qs_store_facts(const struct qs_store *s)
{
    return s->facts;
}

struct qs_key qs_store_key(const struct qs_store *s)
{
    return s->key;
}

/* ---- life ---- */

static struct qs_store *new_store(const char *path, const char *tail, struct qs_err *e)
{
    struct qs_store *s = qs_calloc(1, sizeof *s);
    struct qs_str name = QS_STR_INIT;
    qs_str_addf(&name, "%s%s", path, tail);
    if (s) {
        pthread_mutex_init(&s->lock, NULL);
        s->refs = 1;
        s->fd = -1;
        s->final = qs_strdup(path);
        s->path = qs_str_take(&name);
    } else {
        qs_str_free(&name);
    }
    if (s && s->final && s->path)
        return s;
    qs_store_unref(s);
    qs_fail_mem(e, strlen(path), "a store of tensors");
    return NULL;
}

struct qs_store *qs_store_ref(struct qs_store *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void qs_store_unref(struct qs_store *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (s->fd >= 0 && s->fresh && !s->n)
        unlink(s->path); /* nothing was put in; while the lock is still held */
    if (s->fd >= 0)
        close(s->fd);
    for (size_t i = 0; i < s->n; i++)
        qs_free(s->item[i]);
    qs_free(s->item);
    qs_free(s->by_name);
    qs_map_unref(s->map);
    pthread_mutex_destroy(&s->lock);
    qs_free(s->facts);
    qs_free(s->final);
    qs_free(s->path);
    qs_free(s);
}

/* ---- beginning, or going on ---- */

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

static void put_f64(uint8_t *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_u64(p, bits);
}

static void put_key(uint8_t *p, struct qs_key k)
{
    put_u64(p, k.lo);
    put_u64(p + 8, k.hi);
}

/* Head and facts as they stand in the file, *n bytes. */
static uint8_t *make_head(struct qs_key key, const char *facts, size_t *n)
{
    const size_t len = strlen(facts);
    *n = (size_t)qs_store_aligned(QS_STORE_HEAD + len);
    uint8_t *p = qs_calloc(1, *n);
    if (!p)
        return NULL;
    memcpy(p, "QSCALIB1", 8);
    put_u32(p + 8, QS_STORE_VERSION);
    put_u32(p + 12, (uint32_t)len);
    put_key(p + 16, key);
    put_key(p + 32, qs_hash_bytes(facts, len));
    put_u64(p + 56, qs_store_sum(p, 56));
    memcpy(p + QS_STORE_HEAD, facts, len);
    return p;
}

static int begin(struct qs_store *s, const uint8_t *head, size_t n, struct qs_err *e)
{
    s->fresh = true;
    s->end = n;
    if (ftruncate(s->fd, 0))
        return qs_fail_errno(e, errno, "cannot empty %s", s->path);
    const int rc = qs_pwrite_all(s->fd, head, n, 0, s->path, e);
    return !rc && fdatasync(s->fd) ? qs_fail_errno(e, errno, "cannot make %s durable", s->path) : rc;
}

static int go_on(struct qs_store *s, uint64_t size, size_t head, struct qs_err *e)
{
    bool end_mark;
    s->end = head;
    const int rc = qs_store_read_records(s, s->fd, size, true, &end_mark, e);
    if (!rc && size != s->end && ftruncate(s->fd, (off_t)s->end))
        return qs_fail_errno(e, errno, "%s: cannot cut off its torn end", s->path);
    return rc;
}

/* Whether the file holds no more than the beginning of the head we would write: as after a run that was killed at once.
 */
static int is_beginning(const struct qs_store *s, uint64_t size, const uint8_t *head, size_t n, bool *out,
                        struct qs_err *e)
{
    *out = size == 0;
    if (size == 0 || size >= n)
        return QS_OK;
    uint8_t *have = qs_malloc((size_t)size);
    if (!have)
        return qs_fail_mem(e, size, "a store's head");
    const int rc = qs_pread_all(s->fd, have, (size_t)size, 0, s->path, e);
    *out = !rc && !memcmp(have, head, (size_t)size);
    qs_free(have);
    return rc;
}

static int take_over(struct qs_store *s, uint64_t size, bool restart, const uint8_t *head, size_t n, struct qs_err *e)
{
    struct qs_key key;
    char *facts = NULL;
    bool nothing;
    int rc = is_beginning(s, size, head, n, &nothing, e);
    if (!rc && (nothing || restart))
        return begin(s, head, n, e);
    if (!rc)
        rc = qs_store_read_head(s->fd, size, s->path, &key, &facts, e);
    if (rc == QS_EFORMAT || rc == QS_EUNSUPPORTED)
        return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                              "%s is no unfinished calibration of ours, or a damaged one", s->path);
    if (!rc && (!qs_key_equal(key, s->key) || strcmp(facts, s->facts)))
        rc = qs_store_refuse_other(s->path, facts, s->facts, e);
    qs_free(facts);
    return rc ? rc : go_on(s, size, n, e);
}

int qs_store_create(const char *path, struct qs_key key, const char *facts_json, bool restart, struct qs_store **out,
                    struct qs_err *e)
{
    *out = NULL;
    if (strlen(facts_json) > QS_STORE_FACTS_MOST)
        return qs_fail(e, QS_ELIMIT, "%s: too much is said about it", path);
    struct qs_store *s = new_store(path, ".part", e);
    if (!s)
        return QS_ENOMEM;
    size_t n = 0;
    uint8_t *head = make_head(key, facts_json, &n);
    s->key = key;
    s->facts = qs_strdup(facts_json);
    uint64_t size = 0;
    int rc = head && s->facts ? QS_OK : qs_fail_mem(e, n, "a store's head");
    if (!rc)
        rc = qs_file_open_locked(s->path, "store", &s->fd, &size, e);
    if (!rc)
        rc = take_over(s, size, restart, head, n, e);
    qs_free(head);
    if (rc)
        qs_store_unref(s);
    else
        *out = s;
    return rc;
}

/* ---- putting in ---- */

static void make_record(uint8_t *p, const struct qs_stored *t)
{
    memset(p, 0, QS_STORE_RECORD);
    memcpy(p, "QSTENSOR", 8);
    memcpy(p + 8, t->name, strlen(t->name));
    memcpy(p + 136, t->method, strlen(t->method));
    memcpy(p + 152, t->note, strlen(t->note));
    put_u32(p + 232, (uint32_t)t->type);
    put_u32(p + 236, t->n_dims);
    for (int d = 0; d < 4; d++)
        put_u64(p + 240 + 8 * d, t->ne[d]);
    put_u32(p + 272, t->group);
    put_f64(p + 280, t->before);
    put_f64(p + 288, t->after);
    put_u64(p + 296, t->bytes);
    put_key(p + 304, t->hash);
    put_u64(p + QS_STORE_RECORD - 8, qs_store_sum(p, QS_STORE_RECORD - 8));
}

int qs_store_put(struct qs_store *s, const struct qs_stored *t, const void *bytes, struct qs_err *e)
{
    uint8_t raw[QS_STORE_RECORD];
    struct qs_stored own = *t;
    if (s->fd < 0 || s->finished)
        return qs_fail(e, QS_EINVAL, "%s is finished: nothing is put into it any more", s->path);
    int rc = qs_store_check(&own, e);
    if (!rc && qs_store_find(s, own.name))
        rc = qs_fail(e, QS_EINVAL, "%s: %s is in it already", s->path, own.name);
    if (rc)
        return rc;
    own.at = s->end + QS_STORE_RECORD;
    own.hash = qs_hash_bytes(bytes, (size_t)own.bytes);
    make_record(raw, &own);
    const uint64_t end = qs_store_aligned(own.at + own.bytes);
    rc = qs_pwrite_all(s->fd, bytes, (size_t)own.bytes, own.at, s->path, e);
    if (!rc)
        rc = qs_pwrite_all(s->fd, raw, sizeof raw, s->end, s->path, e);
    if (!rc && ftruncate(s->fd, (off_t)end))
        rc = qs_fail_errno(e, errno, "cannot make %s longer", s->path);
    if (!rc && fdatasync(s->fd))
        rc = qs_fail_errno(e, errno, "cannot make %s durable", s->path);
    if (!rc)
        rc = qs_store_add_item(s, &own, true, e);
    if (!rc)
        s->end = end;
    return rc;
}

int qs_store_finish(struct qs_store *s, bool overwrite, struct qs_err *e)
{
    uint8_t raw[QS_STORE_END] = "QSCALEND";
    if (s->finished)
        return QS_OK;
    put_u64(raw + 8, s->n);
    put_u64(raw + QS_STORE_END - 8, qs_store_sum(raw, QS_STORE_END - 8));
    int rc = qs_pwrite_all(s->fd, raw, sizeof raw, s->end, s->path, e);
    if (!rc && fsync(s->fd))
        rc = qs_fail_errno(e, errno, "cannot make %s durable", s->path);
    if (!rc)
        rc = qs_file_rename(s->path, s->final, overwrite, e);
    if (rc)
        return rc;
    close(s->fd); /* and the lock */
    s->fd = -1;
    s->finished = true;
    char *was = s->path;
    s->path = qs_strdup(s->final);
    if (!s->path)
        s->path = was;
    else
        qs_free(was);
    return QS_OK;
}

/* ---- reading ---- */

int qs_store_open(const char *path, struct qs_store **out, struct qs_err *e)
{
    struct qs_file_stat st;
    bool end_mark = false;
    *out = NULL;
    struct qs_store *s = new_store(path, "", e);
    if (!s)
        return QS_ENOMEM;
    s->finished = true;
    int rc = qs_file_stat(path, &st, e);
    if (!rc && !st.is_regular)
        rc = qs_fail(e, QS_EINVAL, "%s is no regular file", path);
    const int fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (!rc && fd < 0)
        rc = qs_fail_errno(e, errno, "cannot open %s", path);
    if (!rc)
        rc = qs_store_read_head(fd, st.size, path, &s->key, &s->facts, e);
    if (!rc) {
        s->end = qs_store_aligned(QS_STORE_HEAD + strlen(s->facts));
        rc = qs_store_read_records(s, fd, st.size, false, &end_mark, e);
    }
    if (!rc && !end_mark)
        rc = qs_fail(e, QS_EFORMAT,
                     "%s: damaged or unfinished: after %zu tensor%s, at byte %llu, neither another one nor the end "
                     "follows",
                     path, s->n, s->n == 1 ? "" : "s", (unsigned long long)s->end);
    if (fd >= 0)
        close(fd);
    if (rc)
        qs_store_unref(s);
    else
        *out = s;
    return rc;
}

/* A reference to a mapping that reaches to `end`. */
static int map_to(struct qs_store *s, uint64_t end, struct qs_map **out, struct qs_err *e)
{
    if (!s->map || qs_map_size(s->map) < end) {
        struct qs_map *map;
        const int rc = qs_map_open(s->path, &map, e);
        if (rc)
            return rc;
        qs_map_unref(s->map);
        s->map = map;
    }
    *out = qs_map_ref(s->map);
    return QS_OK;
}

static int check_hash(struct qs_store *s, struct qs_store_item *x, const struct qs_weight *w, struct qs_err *e)
{
    if (x->checked)
        return QS_OK;
    const bool same = qs_key_equal(qs_hash_bytes(w->parts.p[0], (size_t)x->t.bytes), x->t.hash);
    const int rc = qs_weight_intact(w, e);
    if (rc || !same)
        return rc ? rc : qs_fail(e, QS_EFORMAT, "%s: the bytes of %s are damaged", s->path, x->t.name);
    x->checked = true;
    return QS_OK;
}

int qs_store_weight(struct qs_store *s, const struct qs_stored *t, struct qs_weight **out, struct qs_err *e)
{
    bool there;
    struct qs_map *map = NULL;
    struct qs_weight *w = NULL;
    const size_t at = place_of(s, t->name, &there);
    *out = NULL;
    if (!there)
        return qs_fail(e, QS_EINVAL, "%s has no tensor %s", s->path, t->name);
    struct qs_store_item *x = s->item[s->by_name[at]];
    pthread_mutex_lock(&s->lock);
    int rc = map_to(s, x->t.at + x->t.bytes, &map, e);
    if (!rc)
        rc = qs_weight_mapped(qs_format_by_id(x->t.type), x->t.ne, map, x->t.at, &w, e);
    if (!rc)
        rc = check_hash(s, x, w, e);
    pthread_mutex_unlock(&s->lock);
    qs_map_unref(map);
    if (rc)
        qs_weight_unref(w);
    else
        *out = w;
    return rc;
}

int qs_store_fits(const struct qs_store *s, const struct qs_model *m, struct qs_err *e)
{
    struct qs_json *facts = NULL;
    struct qs_key key;
    char hex[33];
    int rc = qs_json_parse(s->facts, strlen(s->facts), &facts, e);
    if (rc)
        return qs_err_prefix(e, "%s: what it says of itself", s->path);
    rc = qs_model_content_key(m, &key, e);
    if (!rc) {
        qs_key_hex(key, hex);
        const char *have = qs_json_str(qs_json_get(facts, "model"), "");
        const char *name = qs_json_str(qs_json_get(facts, "name"), "");
        if (strcmp(have, hex))
            rc = qs_fail(e, QS_EINVAL, "%s was calibrated for another model%s%s%s, or the weights of %s were changed since", s->path,
                         *name ? " (" : "", name, *name ? ")" : "", m->path);
    }
    qs_json_free(facts);
    return rc;
}
