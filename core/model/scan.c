/* scan.c - looks at every stored weight and counts what is no finite number.
 *
 * Owns nothing beyond the call. Rows of stored blocks follow each other, so a tensor is one list of blocks, cut into items
 * of half a MiB for the pool; of a whole tensor into regions of a few items for each thread, so that the pool is given back
 * often and a cancelled job ends soon; after each region the mapping is asked whether it still is whole. Any thread.
 */
#include "core/model/scan.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/model.h"

#define ITEM_BYTES (512u << 10)
#define ITEMS_PER_THREAD 8u
#define PIECE 1024u /* weights decoded at once: whole blocks of every type, the longest of which have 256 */

struct work {
    const struct qs_format *f;
    struct qs_const_parts parts; /* of block 0 */
    uint64_t blocks, per_item;
    double limit;                /* 0: the stored form */
    pthread_mutex_t lock;        /* of total */
    struct qs_scan total;
};

static struct qs_const_parts parts_at(const struct qs_format *f, struct qs_const_parts p, uint64_t block)
{
    for (unsigned c = 0; c < f->n_components; c++)
        p.p[c] += block * f->component[c].bytes_per_block;
    return p;
}

static uint64_t item_blocks(const struct qs_format *f)
{
    const size_t bytes = qs_format_row_bytes(f, f->block);
    return bytes >= ITEM_BYTES ? 1 : ITEM_BYTES / bytes;
}

/* More finds, whose places are counted from weight `at`. Items come in any order: the first place is the smallest. */
static void add(struct qs_scan *to, const struct qs_scan *more, uint64_t at)
{
    if (more->n && (!to->n || at + more->first < to->first))
        to->first = at + more->first;
    to->n += more->n;
    to->largest = more->largest > to->largest ? more->largest : to->largest;
}

static struct qs_scan look_at_stored(const struct qs_format *f, const struct qs_const_parts *p, uint64_t blocks)
{
    qs_scan_fn *const scan = qs_format_ops(f->id)->scan;
    struct qs_scan s = { .n = scan(p, 1, (size_t)blocks * f->block) };
    for (uint64_t b = 0; s.n && b < blocks; b++) {
        const struct qs_const_parts one = parts_at(f, *p, b);
        if (scan(&one, 1, f->block)) {
            s.first = b * f->block;
            break;
        }
    }
    return s;
}

static struct qs_scan look_at_values(const struct qs_format *f, const struct qs_const_parts *p, uint64_t blocks,
                                     double limit)
{
    float x[PIECE];
    struct qs_scan s = { 0 };
    const uint64_t step = PIECE / f->block;
    for (uint64_t b = 0; b < blocks; b += step) {
        const size_t n = (size_t)(blocks - b < step ? blocks - b : step) * f->block;
        const struct qs_const_parts from = parts_at(f, *p, b);
        qs_format_ops(f->id)->decode(&from, 1, n, x, n);
        for (size_t i = 0; i < n; i++) {
            const double a = fabs((double)x[i]);
            if (!(a <= limit) && s.n++ == 0) /* NaN too */
                s.first = b * f->block + i;
            if (a > s.largest && isfinite(a))
                s.largest = a;
        }
    }
    return s;
}

static void scan_items(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct work *w = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const uint64_t first = i * w->per_item, left = w->blocks - first, n = left < w->per_item ? left : w->per_item;
        const struct qs_const_parts p = parts_at(w->f, w->parts, first);
        const struct qs_scan found = w->limit > 0 ? look_at_values(w->f, &p, n, w->limit) : look_at_stored(w->f, &p, n);
        pthread_mutex_lock(&w->lock);
        add(&w->total, &found, first * w->f->block);
        pthread_mutex_unlock(&w->lock);
    }
}

static void scan_blocks(struct qs_pool *pool, const struct qs_format *f, struct qs_const_parts parts, uint64_t blocks,
                        double limit, struct qs_scan *out)
{
    struct work w = { .f = f, .parts = parts, .blocks = blocks, .per_item = item_blocks(f), .limit = limit,
                      .lock = PTHREAD_MUTEX_INITIALIZER };
    const size_t items = (size_t)((blocks + w.per_item - 1) / w.per_item);
    qs_pool_run(pool, QS_PRIO_JOB, items, 1, scan_items, &w);
    pthread_mutex_destroy(&w.lock);
    *out = w.total;
}

void qs_scan_stored(struct qs_pool *pool, const struct qs_format *f, struct qs_const_parts parts, uint64_t blocks,
                    struct qs_scan *out)
{
    *out = (struct qs_scan){ 0 };
    if (qs_format_ops(f->id)->scan)
        scan_blocks(pool, f, parts, blocks, 0, out);
}

void qs_scan_values(struct qs_pool *pool, const struct qs_format *f, struct qs_const_parts parts, uint64_t blocks,
                    double limit, struct qs_scan *out)
{
    scan_blocks(pool, f, parts, blocks, limit, out);
}

int qs_scan_weight(const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, double limit, bool count,
                   struct qs_scan *out, struct qs_err *e)
{
    const struct qs_format *f = w->format;
    const uint64_t blocks = w->rows * (w->ne[0] / f->block), bytes = qs_format_row_bytes(f, f->block);
    const uint64_t region = item_blocks(f) * ITEMS_PER_THREAD * qs_pool_threads(pool);
    *out = (struct qs_scan){ 0 };
    if (limit > 0 ? !qs_format_ops(f->id)->decode : !qs_format_ops(f->id)->scan)
        return QS_OK;
    for (uint64_t b = 0; b < blocks; b += region) {
        const uint64_t n = blocks - b < region ? blocks - b : region;
        struct qs_scan found;
        scan_blocks(pool, f, parts_at(f, w->parts, b), n, limit, &found);
        add(out, &found, b * f->block);
        int rc = qs_weight_intact(w, e);
        if (!rc)
            rc = qs_job_step(job, count ? n * bytes : 0, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

const char *qs_scan_place(const struct qs_tensor *t, const struct qs_scan *s, char *buf, size_t n)
{
    const uint64_t row = s->first / t->ne[0], col = s->first % t->ne[0];
    if (t->ne[2] > 1)
        snprintf(buf, n, "expert %" PRIu64 ", row %" PRIu64 ", column %" PRIu64, row / t->ne[1], row % t->ne[1], col);
    else
        snprintf(buf, n, "row %" PRIu64 ", column %" PRIu64, row, col);
    return buf;
}

const char *qs_scan_text(const struct qs_tensor *t, const struct qs_scan *s, char *buf, size_t n)
{
    char place[96];
    qs_scan_place(t, s, place, sizeof place);
    if (t->format->block == 1)
        snprintf(buf, n, "%" PRIu64 " of %" PRIu64 " weights %s NaN or infinite, the first at %s (counted from 0)", s->n,
                 t->n, s->n == 1 ? "is" : "are", place);
    else
        snprintf(buf, n,
                 "%" PRIu64 " of %" PRIu64 " blocks of %s %s a scale that is NaN or infinite, the first at %s (counted "
                 "from 0)",
                 s->n, t->n / t->format->block, t->format->name, s->n == 1 ? "has" : "have", place);
    return buf;
}
