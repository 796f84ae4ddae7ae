/* stats_pass.c - owns the decoded rows and column maxima of each thread; see stats_pass.h. */
#include "core/quant/stats_pass.h"

#include <string.h>

#include "base/mem.h"

#define CHUNK_WEIGHTS 32768
#define SLICE_WEIGHTS (1u << 20)

struct slice {
    struct qs_pass *p;
    qs_pass_skip_fn *skip;
    qs_pass_read_fn *read;
    void *ctx;
    uint64_t first_chunk;
};

int qs_pass_open(struct qs_pass *p, const struct qs_weight *w, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    *p = (struct qs_pass){ .w = w, .pool = pool, .job = job, .cols = (size_t)w->ne[0], .rows = w->rows };
    p->ops = w->format ? qs_format_ops(w->format->id) : NULL;
    if (!p->ops || !p->ops->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s cannot be decoded", w->format ? w->format->name : "?");
    if (!p->cols || !p->rows)
        return qs_fail(e, QS_EFORMAT, "the tensor is empty");
    p->rows_per_chunk = p->cols >= CHUNK_WEIGHTS ? 1 : CHUNK_WEIGHTS / p->cols;
    p->n_chunks = (p->rows + p->rows_per_chunk - 1) / p->rows_per_chunk;
    p->chunks_per_slice = SLICE_WEIGHTS / (p->rows_per_chunk * p->cols);
    p->chunks_per_slice = p->chunks_per_slice ? p->chunks_per_slice : 1;
    p->per_thread = (size_t)(p->rows_per_chunk + 1) * p->cols;
    p->per_thread = (p->per_thread + 63) / 64 * 64; /* no cache line shared by two threads */
    p->scratch = qs_calloc(qs_pool_threads(pool), p->per_thread * sizeof *p->scratch);
    if (!p->scratch)
        return qs_fail_mem(e, qs_pool_threads(pool) * p->per_thread * sizeof *p->scratch, "the scratch of a distribution");
    return QS_OK;
}

void qs_pass_close(struct qs_pass *p)
{
    qs_free(p->scratch);
    p->scratch = NULL;
}

size_t qs_pass_chunk_rows(const struct qs_pass *p, uint64_t chunk)
{
    const uint64_t left = p->rows - chunk * p->rows_per_chunk;
    return (size_t)(left < p->rows_per_chunk ? left : p->rows_per_chunk);
}

static void work(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct slice *s = ctx;
    const struct qs_pass *p = s->p;
    float *const x = p->scratch + thread * p->per_thread, *const col_max = x + p->rows_per_chunk * p->cols;
    for (uint64_t i = s->first_chunk + begin; i < s->first_chunk + end; i++) {
        if (s->skip && s->skip(s->ctx, i))
            continue;
        const struct qs_const_parts from = qs_weight_row(p->w, i * p->rows_per_chunk);
        p->ops->decode(&from, qs_pass_chunk_rows(p, i), p->cols, x, p->cols);
        s->read(s->ctx, i, x, col_max);
    }
}

int qs_pass_look(struct qs_pass *p, qs_pass_skip_fn *skip, qs_pass_read_fn *read, void *ctx, uint64_t worth, struct qs_err *e)
{
    struct slice s = { p, skip, read, ctx, 0 };
    uint64_t told = 0;
    int rc = QS_OK;
    for (; !rc && s.first_chunk < p->n_chunks; s.first_chunk += p->chunks_per_slice) {
        const uint64_t left = p->n_chunks - s.first_chunk, n = left < p->chunks_per_slice ? left : p->chunks_per_slice;
        qs_pool_run(p->pool, QS_PRIO_JOB, (size_t)n, 1, work, &s);
        const uint64_t now = left == n ? worth : (uint64_t)((double)worth * ((double)(s.first_chunk + n) / (double)p->n_chunks));
        rc = qs_job_step(p->job, now - told, e);
        p->counted += now - told;
        told = now;
    }
    return rc;
}

void qs_pass_join_columns(struct qs_pass *p, float *col_max)
{
    memset(col_max, 0, p->cols * sizeof *col_max);
    for (unsigned t = 0; t < qs_pool_threads(p->pool); t++) {
        float *const one = p->scratch + t * p->per_thread + p->rows_per_chunk * p->cols;
        for (size_t c = 0; c < p->cols; c++)
            col_max[c] = one[c] > col_max[c] ? one[c] : col_max[c];
        memset(one, 0, p->cols * sizeof *one);
    }
}
