/* encode.c - owns the per-thread scratch; turns rows of a stored tensor into rows of another type on all cores.
 *
 * Work is cut into chunks of whole rows whose size follows from the rows and columns of the call, never from the number of
 * threads; each row's sums go into its chunk's, in row order, and the chunks' into the total, in order. So the numbers of
 * a call have the same bits for any thread count (those of one tensor, when every run cuts it into the same calls; bytes
 * do not depend on cuts at all). A tensor that already has the wanted type is copied, with no error by definition. Refuses
 * to make formats that are stored in several components. Not for concurrent use: one encoder serves one caller.
 */
#include "core/quant/encode.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/rows.h"

#define CHUNK_WEIGHTS 32768    /* per work item, at most: small enough to share and to give the lease back soon */
#define CHUNK_WEIGHTS_MIN 2048 /* and at least: big enough to forget the hand-out */
#define CHUNKS_WANTED 32       /* of one call, so that a small sample keeps all cores busy too */
#define BATCH_PER_THREAD 4

struct qs_encoder {
    struct qs_pool *pool;
    unsigned threads;
    uint64_t max_cols;
    size_t weights;     /* capacity of x and back, per thread */
    size_t per_thread;
    uint8_t *memory;
    struct qs_error_sums *chunk; /* one per chunk of the call, grown */
    size_t chunk_cap;
};

struct region {
    struct qs_encoder *x;
    const struct qs_weight *src;
    const struct qs_weight *made; /* where the result's rows are already; NULL: they are to be made */
    const struct qs_format *to;
    uint64_t row, n, rows_per_chunk;
    uint64_t first_chunk;    /* of the batch now running */
    const float *importance; /* of the expert these rows belong to, or NULL */
    uint8_t *dst;
    size_t dst_row_bytes;
    bool sums;
    struct qs_error_sums *per_row;
};

static size_t capacity_for(uint64_t max_cols)
{
    const uint64_t w = max_cols > CHUNK_WEIGHTS ? max_cols : CHUNK_WEIGHTS;
    return (size_t)((w + 255) / 256 * 256);
}

static size_t codec_scratch(size_t weights)
{
    size_t most = 0;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const size_t n = qs_format_scratch(qs_format_at(i), 1, weights);
        if (n > most)
            most = n;
    }
    return (most + 127) / 64 * 64;
}

static size_t bytes_per_thread(uint64_t max_cols)
{
    const size_t w = capacity_for(max_cols);
    return 2 * w * sizeof(float) + codec_scratch(w);
}

uint64_t qs_encoder_memory(unsigned threads, uint64_t max_cols)
{
    return sizeof(struct qs_encoder) + (uint64_t)threads * bytes_per_thread(max_cols);
}

int qs_encoder_new(struct qs_pool *pool, uint64_t max_cols, struct qs_encoder **out, struct qs_err *e)
{
    if (max_cols > UINT64_C(1) << 32)
        return qs_fail(e, QS_ELIMIT, "rows of %llu weights are longer than this program encodes", (unsigned long long)max_cols);
    struct qs_encoder *x = qs_calloc(1, sizeof *x);
    if (!x)
        return qs_fail_mem(e, sizeof *x, "an encoder");
    x->pool = pool;
    x->threads = qs_pool_threads(pool);
    x->max_cols = max_cols;
    x->weights = capacity_for(max_cols);
    x->per_thread = bytes_per_thread(max_cols);
    x->memory = qs_alloc_aligned(64, x->per_thread * x->threads);
    if (!x->memory) {
        const uint64_t asked = (uint64_t)x->per_thread * x->threads;
        qs_free(x);
        return qs_fail_mem(e, asked, "the encoders' scratch");
    }
    *out = x;
    return QS_OK;
}

void qs_encoder_free(struct qs_encoder *x)
{
    if (!x)
        return;
    qs_free(x->memory);
    qs_free(x->chunk);
    qs_free(x);
}

void qs_error_sums_add(struct qs_error_sums *to, const struct qs_error_sums *more)
{
    to->err2 += more->err2;
    to->ref2 += more->ref2;
    to->werr2 += more->werr2;
    to->wref2 += more->wref2;
    if (more->max_abs > to->max_abs)
        to->max_abs = more->max_abs;
    to->n += more->n;
    to->nonfinite += more->nonfinite;
}

double qs_error_rms(const struct qs_error_sums *s)
{
    if (s->n == s->nonfinite)
        return NAN;
    if (!(s->ref2 > 0))
        return s->err2 > 0 ? INFINITY : 0;
    return sqrt(s->err2 / s->ref2);
}

static void row_error(const float *w, const float *back, const float *imp, size_t cols, struct qs_error_sums *s)
{
    struct qs_row_distance d;
    qs_row_ops()->measure.distance(w, back, imp, cols, &d);
    *s = (struct qs_error_sums){ d.err2, d.ref2, d.werr2, d.wref2, d.max_abs, cols, d.nonfinite };
}

static void encode_chunk(const struct region *g, uint64_t chunk, uint8_t *scratch)
{
    const size_t cols = (size_t)g->src->ne[0];
    const uint64_t first = chunk * g->rows_per_chunk;
    const size_t rows = (size_t)(first + g->rows_per_chunk > g->n ? g->n - first : g->rows_per_chunk);
    float *x = (float *)scratch, *back = x + g->x->weights;
    void *codec = back + g->x->weights;
    uint8_t *dst = g->dst + first * g->dst_row_bytes;
    const struct qs_const_parts from = qs_weight_row(g->src, g->row + first);

    qs_format_ops(g->src->format->id)->decode(&from, rows, cols, x, cols);
    const struct qs_rows in = { .x = x, .rows = rows, .cols = cols, .stride = cols, .weight = g->importance };
    const struct qs_parts to = { .p = { dst } };
    qs_format_encode(g->to, &in, &to, codec);
    if (!g->sums)
        return;
    const struct qs_const_parts made = { .p = { dst } };
    qs_format_ops(g->to->id)->decode(&made, rows, cols, back, cols);
    struct qs_error_sums *total = &g->x->chunk[chunk];
    for (size_t r = 0; r < rows; r++) {
        struct qs_error_sums one;
        row_error(x + r * cols, back + r * cols, g->importance, cols, &one);
        qs_error_sums_add(total, &one);
        if (g->per_row)
            g->per_row[first + r] = one;
    }
}

/* Same type: bytes as they are; the weights are still summed, so that relative errors of a whole file are right. */
static void copy_chunk(const struct region *g, uint64_t chunk, uint8_t *scratch)
{
    const size_t cols = (size_t)g->src->ne[0];
    const uint64_t first = chunk * g->rows_per_chunk;
    const size_t rows = (size_t)(first + g->rows_per_chunk > g->n ? g->n - first : g->rows_per_chunk);
    const struct qs_const_parts from = qs_weight_row(g->src, g->row + first);

    memcpy(g->dst + first * g->dst_row_bytes, from.p[0], rows * g->dst_row_bytes);
    const struct qs_format_ops *ops = qs_format_ops(g->to->id);
    if (!g->sums || !ops->decode)
        return;
    float *x = (float *)scratch;
    ops->decode(&from, rows, cols, x, cols);
    for (size_t r = 0; r < rows; r++) {
        struct qs_error_sums one;
        row_error(x + r * cols, x + r * cols, g->importance, cols, &one);
        qs_error_sums_add(&g->x->chunk[chunk], &one);
        if (g->per_row)
            g->per_row[first + r] = one;
    }
}

/* Made before: bytes as they are, and how far they are from the source. */
static void made_chunk(const struct region *g, uint64_t chunk, uint8_t *scratch)
{
    const size_t cols = (size_t)g->src->ne[0];
    const uint64_t first = chunk * g->rows_per_chunk;
    const size_t rows = (size_t)(first + g->rows_per_chunk > g->n ? g->n - first : g->rows_per_chunk);
    const struct qs_const_parts from = qs_weight_row(g->src, g->row + first), made = qs_weight_row(g->made, g->row + first);
    float *x = (float *)scratch, *back = x + g->x->weights;

    if (g->dst)
        memcpy(g->dst + first * g->dst_row_bytes, made.p[0], rows * g->dst_row_bytes);
    if (!g->sums)
        return;
    qs_format_ops(g->src->format->id)->decode(&from, rows, cols, x, cols);
    qs_format_ops(g->to->id)->decode(&made, rows, cols, back, cols);
    for (size_t r = 0; r < rows; r++) {
        struct qs_error_sums one;
        row_error(x + r * cols, back + r * cols, g->importance, cols, &one);
        qs_error_sums_add(&g->x->chunk[chunk], &one);
    }
}

static void region_work(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct region *g = ctx;
    uint8_t *scratch = g->x->memory + g->x->per_thread * thread;
    const bool same = g->src->format->id == g->to->id;
    for (size_t c = begin; c < end; c++)
        (g->made ? made_chunk : same ? copy_chunk : encode_chunk)(g, g->first_chunk + c, scratch);
}

static int check_request(const struct qs_encoder *x, const struct qs_weight *src, uint64_t row, uint64_t n,
                         const struct qs_format *to, struct qs_err *e)
{
    const uint64_t cols = src->ne[0];
    if (!to)
        return qs_fail(e, QS_EUNSUPPORTED, "encoding to an unknown type was asked for");
    if (row > src->rows || n > src->rows - row || cols > x->max_cols)
        return qs_fail(e, QS_EINVAL, "rows %llu to %llu are outside the tensor", (unsigned long long)row,
                       (unsigned long long)(row + n));
    const struct qs_format *stored = src->format->id == to->id ? src->format : to; /* whose bytes dst gets */
    if (stored->n_components != 1)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s is stored in %u separate components: only types of a single one are "
                       "made here", stored->name, (unsigned)stored->n_components);
    if (src->format->id == to->id)
        return QS_OK;
    if (!qs_format_ops(to->id)->fit)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s cannot be encoded", to->name);
    if (!qs_format_ops(src->format->id)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "type %s cannot be decoded", src->format->name);
    if (cols % to->block)
        return qs_fail(e, QS_EINVAL, "rows of %llu weights are no multiple of %s's block of %u", (unsigned long long)cols,
                       to->name, (unsigned)to->block);
    return QS_OK;
}

static const float *importance_of(const struct qs_imatrix_entry *imp, const struct qs_weight *src, uint64_t row)
{
    const uint64_t cols = src->ne[0];
    if (!imp)
        return NULL;
    const uint64_t expert = imp->n > cols ? row / src->ne[1] : 0;
    return (expert + 1) * cols <= imp->n ? imp->value + expert * cols : NULL;
}

/* By the shape of the call alone, never by the number of threads: chunks decide the order in which sums are added. */
static uint64_t rows_per_chunk(uint64_t rows, uint64_t cols)
{
    uint64_t weights = rows * cols / CHUNKS_WANTED;
    weights = weights < CHUNK_WEIGHTS_MIN ? CHUNK_WEIGHTS_MIN : weights > CHUNK_WEIGHTS ? CHUNK_WEIGHTS : weights;
    return weights > cols ? weights / cols : 1;
}

/* All n rows behind `row`. */
static int run_rows(struct qs_encoder *x, enum qs_prio prio, const struct qs_weight *src, const struct qs_weight *made,
                    uint64_t row, uint64_t n, const struct qs_format *to, const struct qs_imatrix_entry *importance,
                    uint8_t *dst, struct qs_error_sums *sums, struct qs_error_sums *per_row, struct qs_err *e)
{
    const uint64_t cols = src->ne[0];
    struct region g = {
        .x = x, .src = src, .made = made, .to = to, .rows_per_chunk = rows_per_chunk(n, cols),
        .dst_row_bytes = qs_format_row_bytes(to, (size_t)cols), .sums = sums || per_row,
    };
    /* One region per expert, so that the importance weights of a region are one vector. */
    for (uint64_t done = 0; done < n;) {
        const uint64_t left_in_expert = src->ne[1] - (row + done) % src->ne[1];
        g.row = row + done;
        g.n = n - done < left_in_expert ? n - done : left_in_expert;
        g.dst = dst ? dst + done * g.dst_row_bytes : NULL;
        g.per_row = per_row ? per_row + done : NULL;
        g.importance = importance_of(importance, src, g.row);
        const uint64_t chunks = (g.n + g.rows_per_chunk - 1) / g.rows_per_chunk;
        if (!qs_grow(&x->chunk, &x->chunk_cap, (size_t)chunks, sizeof *x->chunk))
            return qs_fail_mem(e, chunks * sizeof *x->chunk, "error sums");
        memset(x->chunk, 0, (size_t)chunks * sizeof *x->chunk);
        /* In batches, so that a person waiting for a token gets the lease soon. */
        const uint64_t batch = (uint64_t)x->threads * BATCH_PER_THREAD * (1 + CHUNK_WEIGHTS / (g.rows_per_chunk * cols));
        for (g.first_chunk = 0; g.first_chunk < chunks; g.first_chunk += batch) {
            const uint64_t left = chunks - g.first_chunk;
            qs_pool_run(x->pool, prio, (size_t)(left < batch ? left : batch), 1, region_work, &g);
        }
        for (uint64_t c = 0; sums && c < chunks; c++)
            qs_error_sums_add(sums, &x->chunk[c]);
        done += g.n;
    }
    return qs_weight_intact(src, e);
}

int qs_encode_rows(struct qs_encoder *x, enum qs_prio prio, const struct qs_weight *src, uint64_t row, uint64_t n, int type,
                   const struct qs_imatrix_entry *importance, uint8_t *dst, struct qs_error_sums *sums,
                   struct qs_error_sums *per_row, struct qs_err *e)
{
    const struct qs_format *to = qs_format_by_id(type);
    const int rc = check_request(x, src, row, n, to, e);
    return rc ? rc : run_rows(x, prio, src, NULL, row, n, to, importance, dst, sums, per_row, e);
}

int qs_encode_made(struct qs_encoder *x, enum qs_prio prio, const struct qs_weight *src, const struct qs_weight *made,
                   uint64_t row, uint64_t n, const struct qs_imatrix_entry *importance, uint8_t *dst,
                   struct qs_error_sums *sums, struct qs_err *e)
{
    const uint64_t cols = src->ne[0];
    if (memcmp(made->ne, src->ne, sizeof src->ne) != 0 || row > src->rows || n > src->rows - row || cols > x->max_cols)
        return qs_fail(e, QS_EINVAL, "rows %llu to %llu are outside the tensor, or it has another shape",
                       (unsigned long long)row, (unsigned long long)(row + n));
    if (made->format->n_components != 1 || !qs_format_ops(made->format->id)->decode || !qs_format_ops(src->format->id)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "types %s and %s cannot be compared", src->format->name, made->format->name);
    const int rc = run_rows(x, prio, src, made, row, n, made->format, importance, dst, sums, NULL, e);
    return rc ? rc : qs_weight_intact(made, e);
}
