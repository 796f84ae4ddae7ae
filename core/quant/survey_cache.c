/* survey_cache.c - owns the descriptor, the lock and the parsed records of one cache file; see survey_cache.h.
 *
 * Input from disk is hostile until checked: everything is read through the bounded reader, every payload has an exact
 * length, and numbers that could mislead (unknown types, counts beyond an array) make a record not whole.
 */
#include "core/quant/survey_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"

#define FORMAT_VERSION 2
#define HEADER_BYTES 64
#define RECORD_EXTRA 32 /* kind, length, tensor key, checksum */
#define MAX_FILE (UINT64_C(64) << 20)
#define MAX_PAYLOAD 4096
#define LOCK_TRIES 10
#define KEEP_SECONDS (90 * 24 * 3600) /* a cache that nobody opened for that long is removed */
#define SUFFIX ".survey"

enum { KIND_CELL = 1, KIND_STATS = 2 };
enum { CELL_BYTES = 4 + 4 + 8 * 8, STATS_BYTES = 8 * 9 + 8 * 6 + 2 * 4 /* and the channels */, CHANNEL_BYTES = 24 };
_Static_assert(STATS_BYTES + 2 * QS_WORST * CHANNEL_BYTES <= MAX_PAYLOAD, "room for one record");

static const char magic[8] = { 'Q', 'S', 'S', 'U', 'R', 'V', 'E', 'Y' };

struct cell_record { struct qs_cell_id id; struct qs_survey_cell cell; };
struct stats_record { struct qs_key tensor; struct qs_survey_stats stats; };

struct qs_survey_cache {
    int fd;                 /* -1: nothing is stored */
    char *path;
    struct cell_record *cell;   size_t n_cells, cell_cap;
    struct stats_record *stats; size_t n_stats, stats_cap;
    /* Open addressing over n_cells and n_stats: indices + 1, 0 is free. */
    uint32_t *slot; size_t n_slots;
};

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

static uint64_t hash_id(const struct qs_cell_id *id)
{
    struct packer p = { .n = 0 };
    pack_key(&p, id->tensor);
    pack_u32(&p, (uint32_t)id->type);
    pack_u64(&p, id->sample_weights);
    pack_u64(&p, id->seed);
    return qs_hash_bytes(p.bytes, p.n).lo;
}

static bool same_id(const struct qs_cell_id *a, const struct qs_cell_id *b)
{
    return qs_key_equal(a->tensor, b->tensor) && a->type == b->type && a->sample_weights == b->sample_weights &&
           a->seed == b->seed;
}

/* The slot where `id` is, or the free one where it belongs. */
static size_t slot_of(const struct qs_survey_cache *c, const struct qs_cell_id *id)
{
    size_t at = (size_t)hash_id(id) & (c->n_slots - 1);
    while (c->slot[at] && !same_id(&c->cell[c->slot[at] - 1].id, id))
        at = (at + 1) & (c->n_slots - 1);
    return at;
}

static bool grow_slots(struct qs_survey_cache *c)
{
    if (c->n_slots && c->n_cells * 2 < c->n_slots)
        return true;
    const size_t n = c->n_slots ? c->n_slots * 2 : 1024;
    uint32_t *slot = qs_calloc(n, sizeof *slot);
    if (!slot)
        return false;
    qs_free(c->slot);
    c->slot = slot;
    c->n_slots = n;
    for (size_t i = 0; i < c->n_cells; i++)
        c->slot[slot_of(c, &c->cell[i].id)] = (uint32_t)i + 1;
    return true;
}

static void remember_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, const struct qs_survey_cell *cell)
{
    if (!grow_slots(c))
        return;
    const size_t at = slot_of(c, id);
    if (c->slot[at]) {
        c->cell[c->slot[at] - 1].cell = *cell;
        return;
    }
    if (!qs_grow(&c->cell, &c->cell_cap, c->n_cells + 1, sizeof *c->cell))
        return;
    c->cell[c->n_cells] = (struct cell_record){ *id, *cell };
    c->slot[at] = (uint32_t)++c->n_cells;
}

static void remember_stats(struct qs_survey_cache *c, struct qs_key tensor, const struct qs_survey_stats *s)
{
    for (size_t i = 0; i < c->n_stats; i++)
        if (qs_key_equal(c->stats[i].tensor, tensor)) {
            c->stats[i].stats = *s;
            return;
        }
    if (qs_grow(&c->stats, &c->stats_cap, c->n_stats + 1, sizeof *c->stats))
        c->stats[c->n_stats++] = (struct stats_record){ tensor, *s };
}

bool qs_survey_cache_cell(const struct qs_survey_cache *c, const struct qs_cell_id *id, struct qs_survey_cell *out)
{
    if (!c || !c->n_slots)
        return false;
    const struct qs_cell_id whole = { id->tensor, id->type, 0, 0 };
    size_t at = slot_of(c, &whole);
    if (!c->slot[at])
        at = slot_of(c, id);
    if (!c->slot[at])
        return false;
    const struct qs_survey_cell *found = &c->cell[c->slot[at] - 1].cell;
    const uint64_t bytes = out->bytes;
    *out = *found;
    out->bytes = bytes;
    return true;
}

bool qs_survey_cache_stats(const struct qs_survey_cache *c, struct qs_key tensor, struct qs_survey_stats *out)
{
    for (size_t i = 0; c && i < c->n_stats; i++)
        if (qs_key_equal(c->stats[i].tensor, tensor)) {
            *out = c->stats[i].stats;
            return true;
        }
    return false;
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
    const uint32_t how = qs_reader_u32(r, "how");
    id.sample_weights = qs_reader_u64(r, "sample");
    id.seed = qs_reader_u64(r, "seed");
    cell.sample = qs_reader_u64(r, "measured");
    cell.error = qs_reader_f64(r, "error");
    cell.error_se = qs_reader_f64(r, "standard error");
    cell.max_error = qs_reader_f64(r, "largest error");
    cell.weighted = qs_reader_f64(r, "weighted error");
    cell.mean_square = qs_reader_f64(r, "mean square");
    if (!qs_format_by_id(id.type) || (how != QS_HOW_WHOLE && how != QS_HOW_SAMPLED))
        return false;
    cell.how = (enum qs_how)how;
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
    if (ok)
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

struct qs_survey_cache *qs_survey_cache_open_mem(const void *bytes, size_t n, struct qs_key model, struct qs_key imatrix)
{
    struct qs_survey_cache *c = qs_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = -1;
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

struct qs_survey_cache *qs_survey_cache_open(struct qs_key model, struct qs_key imatrix)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_survey_cache *c = qs_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = -1;
    if (!qs_survey_cache_path(model, imatrix, &path) || !(c->path = qs_str_take(&path))) {
        qs_str_free(&path);
        qs_survey_cache_free(c);
        return NULL;
    }
    open_file(c, model, imatrix);
    forget_old(c->path);
    return c;
}

void qs_survey_cache_free(struct qs_survey_cache *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    qs_free(c->path);
    qs_free(c->cell);
    qs_free(c->stats);
    qs_free(c->slot);
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
    if (!c || c->fd < 0 || !cell->known)
        return;
    begin_record(&p, KIND_CELL, CELL_BYTES, id->tensor);
    pack_u32(&p, (uint32_t)id->type);
    pack_u32(&p, (uint32_t)cell->how);
    pack_u64(&p, cell->how == QS_HOW_WHOLE ? 0 : id->sample_weights);
    pack_u64(&p, cell->how == QS_HOW_WHOLE ? 0 : id->seed);
    pack_u64(&p, cell->sample);
    pack_f64(&p, cell->error);
    pack_f64(&p, cell->error_se);
    pack_f64(&p, cell->max_error);
    pack_f64(&p, cell->weighted);
    pack_f64(&p, cell->mean_square);
    append(c, &p);
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
    if (!c || c->fd < 0 || !s->known)
        return;
    const double f[] = { s->mean, s->sd, s->min, s->max, s->kurtosis, s->max_sigma, s->beyond6, s->row_ratio, s->col_ratio };
    const uint64_t u[] = { s->zeros, s->nan, s->inf, s->n, s->outlier_rows, s->outlier_cols };
    begin_record(&p, KIND_STATS, STATS_BYTES + CHANNEL_BYTES * (s->n_rows_worst + s->n_cols_worst), tensor);
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        pack_f64(&p, f[i]);
    for (size_t i = 0; i < sizeof u / sizeof *u; i++)
        pack_u64(&p, u[i]);
    pack_worst(&p, s->row, s->n_rows_worst);
    pack_worst(&p, s->col, s->n_cols_worst);
    append(c, &p);
}
