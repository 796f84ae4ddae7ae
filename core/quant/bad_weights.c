/* bad_weights.c - owns nothing; looks at stored rows and says what is no finite number. Any thread. */
#include "core/quant/bad_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/pool.h"

#define ITEM_BYTES 262144u /* of one work item: small enough for all cores to share a piece */
#define ROWS_PER_STEP 4096u

struct scan {
    const struct qs_format *format;
    const uint8_t *data;
    uint64_t blocks, per_item, block_bytes;
    uint64_t found; /* atomic */
};

static void scan_items(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct scan *s = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const uint64_t first = i * s->per_item, left = s->blocks - first;
        const uint64_t n = left < s->per_item ? left : s->per_item;
        const struct qs_const_parts p = { .p = { s->data + first * s->block_bytes } };
        const size_t found = qs_format_ops(s->format->id)->scan(&p, 1, (size_t)n * s->format->block);
        if (found)
            __atomic_add_fetch(&s->found, found, __ATOMIC_RELAXED);
    }
}

uint64_t qs_bad_count(struct qs_pool *pool, const struct qs_format *f, const uint8_t *data, uint64_t bytes)
{
    if (!f || !qs_format_ops(f->id)->scan)
        return 0;
    struct scan s = { .format = f, .data = data, .block_bytes = qs_format_row_bytes(f, f->block) };
    s.blocks = bytes / s.block_bytes;
    s.per_item = ITEM_BYTES / s.block_bytes;
    qs_pool_run(pool, QS_PRIO_JOB, (size_t)((s.blocks + s.per_item - 1) / s.per_item), 1, scan_items, &s);
    return s.found;
}

static uint64_t first_column(const struct qs_weight *w, uint64_t row)
{
    struct qs_const_parts p = qs_weight_row(w, row);
    const size_t block = w->format->block;
    uint64_t col = 0;
    while (col + block < w->ne[0] && !qs_format_ops(w->format->id)->scan(&p, 1, block)) {
        p.p[0] += qs_format_row_bytes(w->format, block);
        col += block;
    }
    return col;
}

int qs_bad_find(const struct qs_weight *w, struct qs_job *job, struct qs_bad_weights *out, struct qs_err *e)
{
    qs_scan_fn *scan = qs_format_ops(w->format->id)->scan;
    *out = (struct qs_bad_weights){ 0 };
    for (uint64_t row = 0; scan && row < w->rows; row++) {
        const struct qs_const_parts p = qs_weight_row(w, row);
        const size_t n = scan(&p, 1, (size_t)w->ne[0]);
        if (n && !out->n) {
            out->row = row;
            out->col = first_column(w, row);
        }
        out->n += n;
        const int rc = row % ROWS_PER_STEP == 0 ? qs_job_step(job, 0, e) : QS_OK;
        if (rc)
            return rc;
    }
    return qs_weight_intact(w, e);
}

bool qs_bad_first(const struct qs_format *f, const uint8_t *data, uint64_t rows, uint64_t cols, struct qs_bad_weights *out)
{
    float x[1024]; /* whole blocks of every type, the longest of which have 256 weights */
    const size_t piece = sizeof x / sizeof *x / f->block * f->block;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c += piece) {
            const size_t n = cols - c < piece ? (size_t)(cols - c) : piece;
            const struct qs_const_parts p = { .p = { data } };
            qs_format_ops(f->id)->decode(&p, 1, n, x, n);
            data += qs_format_row_bytes(f, n);
            for (size_t i = 0; i < n; i++)
                if (!isfinite(x[i])) {
                    *out = (struct qs_bad_weights){ .n = out->n, .row = r, .col = c + i };
                    return true;
                }
        }
    return false;
}

bool qs_bad_lost(const struct qs_format *to, double max_abs_error)
{
    return max_abs_error > QS_BAD_TOO_LARGE && to->kind != QS_KIND_FLOAT && to->kind != QS_KIND_FP4;
}

int qs_bad_find_large(const struct qs_weight *w, struct qs_job *job, struct qs_bad_weights *out, double *largest,
                      struct qs_err *e)
{
    const uint64_t cols = w->ne[0];
    float *x = qs_malloc((size_t)cols * sizeof *x);
    int rc = x ? QS_OK : qs_fail_mem(e, cols * sizeof *x, "a row");
    *out = (struct qs_bad_weights){ 0 };
    *largest = 0;
    for (uint64_t row = 0; !rc && row < w->rows; row++) {
        rc = qs_weight_decode(w, row, 1, x, e);
        for (uint64_t c = 0; !rc && c < cols; c++) {
            const double a = fabs((double)x[c]);
            if (a > QS_BAD_TOO_LARGE && out->n++ == 0) {
                out->row = row;
                out->col = c;
            }
            *largest = a > *largest ? a : *largest;
        }
        if (!rc && row % ROWS_PER_STEP == 0)
            rc = qs_job_step(job, 0, e);
    }
    qs_free(x);
    return rc ? rc : qs_weight_intact(w, e);
}

/* "row 3, column 17" or "expert 2, row 3, column 17". */
static const char *place(const struct qs_tensor *t, const struct qs_bad_weights *bad, char *buf, size_t n)
{
    if (t->ne[2] > 1)
        snprintf(buf, n, "expert %" PRIu64 ", row %" PRIu64 ", column %" PRIu64, bad->row / t->ne[1], bad->row % t->ne[1],
                 bad->col);
    else
        snprintf(buf, n, "row %" PRIu64 ", column %" PRIu64, bad->row, bad->col);
    return buf;
}

int qs_bad_source(const struct qs_tensor *t, const char *path, const struct qs_bad_weights *bad, struct qs_err *e)
{
    char where[96], what[96] = "weights are NaN or infinite";
    uint64_t of = t->n;
    if (t->format->block > 1) {
        of = t->n / t->format->block;
        snprintf(what, sizeof what, "blocks of %s have a scale that is NaN or infinite", t->format->name);
    }
    return qs_fail(e, QS_EFORMAT,
                   "tensor %s: %" PRIu64 " of %" PRIu64 " %s, the first at %s (counted from 0): no program loads such a "
                   "file, so none is written; get %.120s again (quantscape check lists every such tensor)",
                   t->name, bad->n, of, what, place(t, bad, where, sizeof where), path);
}

int qs_bad_result(const struct qs_tensor *t, int type, const struct qs_bad_weights *bad, const char *become,
                  double largest, struct qs_err *e)
{
    char where[96];
    return qs_fail(e, QS_EFORMAT,
                   "tensor %s: %" PRIu64 " of %" PRIu64 " weights %s as %s, the first at %s (counted from 0): weights as "
                   "large as %.3g overflow its range; give this tensor another type (BF16, F32) by a pin, or mend the "
                   "source",
                   t->name, bad->n, t->n, become, qs_type_name(type), place(t, bad, where, sizeof where), largest);
}
