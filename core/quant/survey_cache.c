/* survey_cache.c - owns the descriptor, the lock and the parsed records of each cache file, and the list of those that this
 * process has open; see survey_cache.h.
 *
 * Input from disk is hostile until checked: everything is read through the bounded reader, every payload has an exact
 * length, and numbers that could mislead (unknown types, counts beyond an array) make a record not whole.
 */
#include "core/quant/survey_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"

#define FORMAT_VERSION 3
#define HEADER_BYTES 64
#define RECORD_EXTRA 32 /* kind, length, tensor key, checksum */
#define MAX_FILE (UINT64_C(64) << 20)
#define MAX_PAYLOAD 4096
#define LOCK_TRIES 10
#define KEEP_SECONDS (90 * 24 * 3600) /* a cache that nobody opened for that long is removed */
#define SUFFIX ".survey"

enum { KIND_CELL = 1, KIND_STATS = 2 };
enum { CELL_BYTES = 6 * 4 + 16 + 8 * 8, STATS_BYTES = 2 * 4 + 8 * 9 + 8 * 6 + 2 * 4 /* and the channels */, CHANNEL_BYTES = 24 };
_Static_assert(STATS_BYTES + 2 * QS_WORST * CHANNEL_BYTES <= MAX_PAYLOAD, "room for one record");

static const char magic[8] = { 'Q', 'S', 'S', 'U', 'R', 'V', 'E', 'Y' };

struct cell_record { struct qs_cell_id id; struct qs_survey_cell cell; };
struct stats_record { struct qs_key tensor; struct qs_survey_stats stats; };

/* Open addressing over records numbered from 0: slots hold the number + 1, 0 is free. */
struct index {
    uint32_t *slot; size_t n_slots; /* a power of two, at most half of them taken */
    uint64_t *hash; size_t hash_cap; /* of every record */
    size_t n;
};

struct qs_survey_cache {
    pthread_mutex_t lock;   /* of all that follows */
    int fd;                 /* -1: nothing is stored */
    char *path;
    struct cell_record *cell;   size_t cell_cap;   struct index cells;
    struct stats_record *stats; size_t stats_cap;  struct index distributions;
    unsigned users;                 /* these two under the lock of the list */
    struct qs_survey_cache *next;
};

/* The caches that this process stores to, for a second user of the same file would not get its lock. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct qs_survey_cache *open_caches;

/* ---- writing numbers ----------------------------------------------------------------------------------------- */

struct packer { uint8_t bytes[MAX_PAYLOAD + RECORD_EXTRA]; size_t n; };

static void pack_u32(struct packer *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p->bytes[p->n++] = (uint8_t)(v >> 8 * i);
}

static void pack_u64(struct packer *p, uint64_t v)
{
    pack_u32(p, (uint32_t)v);
    pack_u32(p, (uint32_t)(v >> 32));
}

static void pack_f64(struct packer *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    pack_u64(p, bits);
}

static void pack_key(struct packer *p, struct qs_key k)
{
    pack_u64(p, k.lo);
    pack_u64(p, k.hi);
}

static void make_header(struct packer *p, struct qs_key model, struct qs_key imatrix)
{
    p->n = 0;
    memcpy(p->bytes, magic, sizeof magic);
    p->n = sizeof magic;
    pack_u32(p, FORMAT_VERSION);
    pack_u32(p, HEADER_BYTES);
    pack_key(p, model);
    pack_key(p, imatrix);
    pack_u32(p, QS_ENCODER_VERSION);
    pack_u32(p, 0);
    pack_u64(p, qs_hash_bytes(p->bytes, p->n).lo);
}

/* ---- look-up ------------------------------------------------------------------------------------------------- */

typedef bool same_fn(const struct qs_survey_cache *c, size_t record, const void *id);

static uint64_t hash_cell(const struct qs_cell_id *id)
{
    struct packer p = { .n = 0 };
    pack_key(&p, id->tensor);
    pack_u32(&p, (uint32_t)id->type);
    pack_u32(&p, (uint32_t)id->method);
    pack_key(&p, id->statistics);
    pack_u64(&p, id->sample_weights);
    pack_u64(&p, id->seed);
    pack_u32(&p, id->encoder);
    return qs_hash_bytes(p.bytes, p.n).lo;
}

static bool same_cell(const struct qs_survey_cache *c, size_t record, const void *id)
{
    const struct qs_cell_id *a = &c->cell[record].id, *b = id;
    return qs_key_equal(a->tensor, b->tensor) && a->type == b->type && a->method == b->method &&
           qs_key_equal(a->statistics, b->statistics) && a->sample_weights == b->sample_weights && a->seed == b->seed &&
           a->encoder == b->encoder;
}

static uint64_t hash_tensor(struct qs_key tensor)
{
    struct packer p = { .n = 0 };
    pack_key(&p, tensor);
    return qs_hash_bytes(p.bytes, p.n).lo;
}

static bool same_tensor(const struct qs_survey_cache *c, size_t record, const void *id)
{
    return qs_key_equal(c->stats[record].tensor, *(const struct qs_key *)id);
}

/* The slot where `id` is, or the free one where it belongs. */
static size_t slot_of(const struct qs_survey_cache *c, const struct index *x, uint64_t hash, same_fn *same, const void *id)
{
    size_t at = (size_t)hash & (x->n_slots - 1);
    while (x->slot[at] && (x->hash[x->slot[at] - 1] != hash || !same(c, x->slot[at] - 1, id)))
        at = (at + 1) & (x->n_slots - 1);
    return at;
}

/* Room for one record more. */
static bool grow_index(struct index *x)
{
    if (!qs_grow(&x->hash, &x->hash_cap, x->n + 1, sizeof *x->hash))
        return false;
    if (x->n_slots && x->n * 2 < x->n_slots)
        return true;
    const size_t n = x->n_slots ? x->n_slots * 2 : 1024;
    uint32_t *slot = qs_calloc(n, sizeof *slot);
    if (!slot)
        return false;
    qs_free(x->slot);
    x->slot = slot;
    x->n_slots = n;
    for (size_t i = 0; i < x->n; i++) {
        size_t at = (size_t)x->hash[i] & (n - 1);
        while (slot[at])
            at = (at + 1) & (n - 1);
        slot[at] = (uint32_t)i + 1;
    }
    return true;
}

static void add_to_index(struct index *x, size_t slot, uint64_t hash)
{
    x->hash[x->n] = hash;
    x->slot[slot] = (uint32_t)++x->n;
}

static void remember_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, const struct qs_survey_cell *cell)
{
    const uint64_t hash = hash_cell(id);
    if (!grow_index(&c->cells) || !qs_grow(&c->cell, &c->cell_cap, c->cells.n + 1, sizeof *c->cell))
        return;
    const size_t at = slot_of(c, &c->cells, hash, same_cell, id);
    const size_t record = c->cells.slot[at] ? c->cells.slot[at] - 1 : c->cells.n;
    c->cell[record] = (struct cell_record){ *id, *cell };
    if (record == c->cells.n)
        add_to_index(&c->cells, at, hash);
}

static void remember_stats(struct qs_survey_cache *c, struct qs_key tensor, const struct qs_survey_stats *s)
{
    const uint64_t hash = hash_tensor(tensor);
    if (!grow_index(&c->distributions) || !qs_grow(&c->stats, &c->stats_cap, c->distributions.n + 1, sizeof *c->stats))
        return;
    const size_t at = slot_of(c, &c->distributions, hash, same_tensor, &tensor);
    const size_t record = c->distributions.slot[at] ? c->distributions.slot[at] - 1 : c->distributions.n;
    c->stats[record] = (struct stats_record){ tensor, *s };
    if (record == c->distributions.n)
        add_to_index(&c->distributions, at, hash);
}

static const struct qs_survey_cell *find_cell(const struct qs_survey_cache *c, const struct qs_cell_id *id)
{
    if (!c->cells.n_slots)
        return NULL;
    const size_t at = slot_of(c, &c->cells, hash_cell(id), same_cell, id);
    return c->cells.slot[at] ? &c->cell[c->cells.slot[at] - 1].cell : NULL;
}

bool qs_survey_cache_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, struct qs_survey_cell *out)
{
    if (!c)
        return false;
    struct qs_cell_id whole = *id;
    whole.sample_weights = whole.seed = 0;
    pthread_mutex_lock(&c->lock);
    const struct qs_survey_cell *found = find_cell(c, &whole);
    found = found ? found : find_cell(c, id);
    if (found) {
        const uint64_t bytes = out->bytes;
        *out = *found;
        out->bytes = bytes;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

bool qs_survey_cache_stats(struct qs_survey_cache *c, struct qs_key tensor, struct qs_survey_stats *out)
{
    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    const size_t slot = c->distributions.n_slots
                            ? c->distributions.slot[slot_of(c, &c->distributions, hash_tensor(tensor), same_tensor, &tensor)]
                            : 0;
    if (slot)
        *out = c->stats[slot - 1].stats;
    pthread_mutex_unlock(&c->lock);
    return slot;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static struct qs_key read_key(struct qs_reader *r)
{
    struct qs_key k;
    k.lo = qs_reader_u64(r, "key");
    k.hi = qs_reader_u64(r, "key");
    return k;
}

static bool read_cell(struct qs_reader *r, struct qs_survey_cache *c, struct qs_key tensor)
{
    struct qs_cell_id id = { .tensor = tensor };
    struct qs_survey_cell cell = { .known = true };
    id.type = (int)qs_reader_u32(r, "type");
    const uint32_t method = qs_reader_u32(r, "method");
    id.encoder = qs_reader_u32(r, "encoder");
    const uint32_t how = qs_reader_u32(r, "how"), gap = qs_reader_u32(r, "gap");
    (void)qs_reader_u32(r, "nothing");
    id.statistics = read_key(r);
    id.sample_weights = qs_reader_u64(r, "sample");
    id.seed = qs_reader_u64(r, "seed");
    cell.sample = qs_reader_u64(r, "measured");
    cell.error = qs_reader_f64(r, "error");
    cell.error_se = qs_reader_f64(r, "standard error");
    cell.max_error = qs_reader_f64(r, "largest error");
    cell.weighted = qs_reader_f64(r, "weighted error");
    cell.mean_square = qs_reader_f64(r, "mean square");
    if (!qs_format_by_id(id.type) || method != QS_METHOD_REFERENCE || (how != QS_HOW_WHOLE && how != QS_HOW_SAMPLED) ||
        (gap != QS_GAP_NONE && gap != QS_GAP_OVERFLOW))
        return false;
    id.method = QS_METHOD_REFERENCE;
    cell.how = (enum qs_how)how;
    cell.gap = (enum qs_gap)gap;
    cell.known = cell.gap == QS_GAP_NONE;
    remember_cell(c, &id, &cell);
    return true;
}

/* As many as *n says. */
static bool read_worst(struct qs_reader *r, struct qs_worst *w, unsigned *n)
{
    *n = qs_reader_u32(r, "channels");
    for (unsigned i = 0; i < *n && i < QS_WORST; i++) {
        w[i].index = qs_reader_u64(r, "channel");
        w[i].max_abs = qs_reader_f64(r, "channel maximum");
        w[i].ratio = qs_reader_f64(r, "channel ratio");
    }
    return *n <= QS_WORST;
}

static bool read_stats(struct qs_reader *r, struct qs_survey_cache *c, struct qs_key tensor, uint32_t len)
{
    struct qs_survey_stats s = { .known = true };
    const uint32_t version = qs_reader_u32(r, "version");
    (void)qs_reader_u32(r, "nothing");
    double *const f[] = { &s.mean, &s.sd, &s.min, &s.max, &s.kurtosis, &s.max_sigma, &s.beyond6, &s.row_ratio, &s.col_ratio };
    uint64_t *const u[] = { &s.zeros, &s.nan, &s.inf, &s.n, &s.outlier_rows, &s.outlier_cols };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        *f[i] = qs_reader_f64(r, "statistic");
    for (size_t i = 0; i < sizeof u / sizeof *u; i++)
        *u[i] = qs_reader_u64(r, "count");
    const double low = s.min < 0 ? -s.min : s.min, high = s.max < 0 ? -s.max : s.max;
    s.max_abs = low > high ? low : high;
    const bool ok = read_worst(r, s.row, &s.n_rows_worst) && read_worst(r, s.col, &s.n_cols_worst) &&
                    len == STATS_BYTES + CHANNEL_BYTES * (s.n_rows_worst + s.n_cols_worst);
    if (ok && version == QS_STATS_VERSION)
        remember_stats(c, tensor, &s);
    return ok;
}

static bool length_can_be(uint32_t kind, uint32_t len)
{
    if (kind == KIND_CELL)
        return len == CELL_BYTES;
    return kind == KIND_STATS && len >= STATS_BYTES && len <= STATS_BYTES + 2 * QS_WORST * CHANNEL_BYTES;
}

/* Bytes of whole records from the start; 0 when the header is not this one. */
static size_t parse(struct qs_survey_cache *c, const uint8_t *bytes, size_t n, struct qs_key model, struct qs_key imatrix)
{
    struct packer want;
    make_header(&want, model, imatrix);
    if (n < HEADER_BYTES || memcmp(bytes, want.bytes, HEADER_BYTES) != 0)
        return 0;
    size_t good = HEADER_BYTES;
    while (n - good >= RECORD_EXTRA) {
        struct qs_reader r;
        qs_reader_open_mem(&r, bytes + good, n - good);
        const uint32_t kind = qs_reader_u32(&r, "kind"), len = qs_reader_u32(&r, "length");
        const struct qs_key tensor = read_key(&r);
        bool ok = length_can_be(kind, len) && qs_reader_has(&r, (uint64_t)len + 8);
        if (ok) {
            struct qs_reader sum;
            qs_reader_open_mem(&sum, bytes + good + 24 + len, 8);
            ok = qs_reader_u64(&sum, "checksum") == qs_hash_bytes(bytes + good, 24 + (size_t)len).lo;
            qs_reader_close(&sum);
        }
        ok = ok && (kind == KIND_CELL ? read_cell(&r, c, tensor) : read_stats(&r, c, tensor, len)) && r.err.code == QS_OK;
        qs_reader_close(&r);
        if (!ok)
            break;
        good += RECORD_EXTRA + len;
    }
    return good;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

bool qs_survey_cache_path(struct qs_key model, struct qs_key imatrix, struct qs_str *out)
{
    struct packer p;
    char hex[33];
    struct qs_str dir = QS_STR_INIT;
    make_header(&p, model, imatrix);
    qs_key_hex(qs_hash_bytes(p.bytes, p.n), hex);
    bool ok = qs_xdg_dir("cache", "survey", &dir, NULL) == QS_OK;
    if (ok) {
        qs_path_join(dir.data, hex, out);
        qs_str_add(out, SUFFIX);
        ok = !out->failed;
    }
    qs_str_free(&dir);
    return ok;
}

static struct qs_survey_cache *new_cache(void)
{
    struct qs_survey_cache *c = qs_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = -1;
    c->users = 1;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

struct qs_survey_cache *qs_survey_cache_open_mem(const void *bytes, size_t n, struct qs_key model, struct qs_key imatrix)
{
    struct qs_survey_cache *c = new_cache();
    if (c)
        parse(c, bytes, n, model, imatrix);
    return c;
}

/* A process that was just killed may hold its lock a moment longer: a short wait, then without storing. */
static bool lock_file(int fd, const char *path)
{
    const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        const int rc = qs_file_lock(fd, path, NULL);
        if (rc != QS_EBUSY)
            return rc == QS_OK;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Caches that were not opened for long, of models that are gone or were changed. */
static void forget_old(const char *path)
{
    struct qs_str folder = QS_STR_INIT;
    const time_t now = time(NULL);
    qs_path_dir(path, &folder);
    DIR *dir = folder.failed ? NULL : opendir(folder.data);
    qs_str_free(&folder);
    for (const struct dirent *d; dir && (d = readdir(dir));) {
        struct stat st;
        const size_t n = strlen(d->d_name), end = sizeof SUFFIX - 1;
        if (n > end && strcmp(d->d_name + n - end, SUFFIX) == 0 &&
            fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            now - st.st_mtime > KEEP_SECONDS)
            unlinkat(dirfd(dir), d->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* Takes the lock, reads what is whole, and leaves the file ready for appending. Any failure: fd = -1. What cannot be
 * read (as opposed to read and found damaged) is left as it is: the next survey may be able to. */
static void open_file(struct qs_survey_cache *c, struct qs_key model, struct qs_key imatrix)
{
    char *data = NULL;
    size_t len = 0, good = 0;
    const int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool ours = fd >= 0 && lock_file(fd, c->path);
    const int rc = qs_file_read(c->path, MAX_FILE, &data, &len, NULL);
    ours = ours && (rc == QS_OK || rc == QS_ELIMIT);
    if (rc == QS_OK)
        good = parse(c, (const uint8_t *)data, len, model, imatrix);
    qs_free(data);
    bool ready = ours && good == len && good > 0;
    if (ours && !ready) { /* new, foreign, damaged at its end, or grown past the bound */
        struct packer p;
        make_header(&p, model, imatrix);
        ready = ftruncate(fd, (off_t)good) == 0 &&
                (good || qs_pwrite_all(fd, p.bytes, p.n, 0, c->path, NULL) == QS_OK);
    }
    if (ready && lseek(fd, 0, SEEK_END) >= 0) {
        (void)futimens(fd, NULL); /* used today */
        c->fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
}

/* One more user of a cache that stores to this file. */
static struct qs_survey_cache *share_open(const char *path)
{
    struct qs_survey_cache *c = open_caches;
    while (c && strcmp(c->path, path) != 0)
        c = c->next;
    if (!c)
        return NULL;
    pthread_mutex_lock(&c->lock);
    const bool stores = c->fd >= 0;
    pthread_mutex_unlock(&c->lock);
    c->users += stores;
    return stores ? c : NULL;
}

struct qs_survey_cache *qs_survey_cache_open(struct qs_key model, struct qs_key imatrix)
{
    struct qs_str path = QS_STR_INIT;
    if (!qs_survey_cache_path(model, imatrix, &path)) {
        qs_str_free(&path);
        return NULL;
    }
    pthread_mutex_lock(&open_lock);
    struct qs_survey_cache *c = share_open(path.data);
    if (!c && (c = new_cache())) {
        c->path = qs_str_take(&path);
        if (c->path) {
            open_file(c, model, imatrix);
            forget_old(c->path);
        }
        if (c->fd >= 0) {
            c->next = open_caches;
            open_caches = c;
        }
    }
    pthread_mutex_unlock(&open_lock);
    qs_str_free(&path);
    return c;
}

void qs_survey_cache_free(struct qs_survey_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&open_lock);
    const bool last = --c->users == 0;
    for (struct qs_survey_cache **at = &open_caches; last && *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    pthread_mutex_unlock(&open_lock);
    if (!last)
        return;
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->lock);
    qs_free(c->path);
    qs_free(c->cell);
    qs_free(c->stats);
    qs_free(c->cells.slot);
    qs_free(c->cells.hash);
    qs_free(c->distributions.slot);
    qs_free(c->distributions.hash);
    qs_free(c);
}

/* ---- storing ------------------------------------------------------------------------------------------------- */

static void begin_record(struct packer *p, uint32_t kind, uint32_t len, struct qs_key tensor)
{
    p->n = 0;
    pack_u32(p, kind);
    pack_u32(p, len);
    pack_key(p, tensor);
}

/* The lock is held. */
static void append(struct qs_survey_cache *c, struct packer *p)
{
    pack_u64(p, qs_hash_bytes(p->bytes, p->n).lo);
    ssize_t n;
    do
        n = write(c->fd, p->bytes, p->n);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)p->n) { /* what was written of it is cut off by the next reader */
        close(c->fd);
        c->fd = -1;
    }
}

void qs_survey_cache_put_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, const struct qs_survey_cell *cell)
{
    struct packer p;
    struct qs_cell_id own = *id;
    if (!c || (!cell->known && cell->gap != QS_GAP_OVERFLOW))
        return;
    if (cell->how == QS_HOW_WHOLE)
        own.sample_weights = own.seed = 0;
    begin_record(&p, KIND_CELL, CELL_BYTES, own.tensor);
    pack_u32(&p, (uint32_t)own.type);
    pack_u32(&p, (uint32_t)own.method);
    pack_u32(&p, own.encoder);
    pack_u32(&p, (uint32_t)cell->how);
    pack_u32(&p, (uint32_t)cell->gap);
    pack_u32(&p, 0);
    pack_key(&p, own.statistics);
    pack_u64(&p, own.sample_weights);
    pack_u64(&p, own.seed);
    pack_u64(&p, cell->sample);
    pack_f64(&p, cell->error);
    pack_f64(&p, cell->error_se);
    pack_f64(&p, cell->max_error);
    pack_f64(&p, cell->weighted);
    pack_f64(&p, cell->mean_square);
    pthread_mutex_lock(&c->lock);
    if (c->fd >= 0) {
        append(c, &p);
        remember_cell(c, &own, cell);
    }
    pthread_mutex_unlock(&c->lock);
}

static void pack_worst(struct packer *p, const struct qs_worst *w, unsigned n)
{
    pack_u32(p, n);
    for (unsigned i = 0; i < n; i++) {
        pack_u64(p, w[i].index);
        pack_f64(p, w[i].max_abs);
        pack_f64(p, w[i].ratio);
    }
}

void qs_survey_cache_put_stats(struct qs_survey_cache *c, struct qs_key tensor, const struct qs_survey_stats *s)
{
    struct packer p;
    if (!c || !s->known)
        return;
    const double f[] = { s->mean, s->sd, s->min, s->max, s->kurtosis, s->max_sigma, s->beyond6, s->row_ratio, s->col_ratio };
    const uint64_t u[] = { s->zeros, s->nan, s->inf, s->n, s->outlier_rows, s->outlier_cols };
    begin_record(&p, KIND_STATS, STATS_BYTES + CHANNEL_BYTES * (s->n_rows_worst + s->n_cols_worst), tensor);
    pack_u32(&p, QS_STATS_VERSION);
    pack_u32(&p, 0);
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        pack_f64(&p, f[i]);
    for (size_t i = 0; i < sizeof u / sizeof *u; i++)
        pack_u64(&p, u[i]);
    pack_worst(&p, s->row, s->n_rows_worst);
    pack_worst(&p, s->col, s->n_cols_worst);
    pthread_mutex_lock(&c->lock);
    if (c->fd >= 0) {
        append(c, &p);
        remember_stats(c, tensor, s);
    }
    pthread_mutex_unlock(&c->lock);
}
