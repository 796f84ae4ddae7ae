/* diff.c - owns the comparison of two model files: pairs tensors by name, compares bytes, and measures decoded weights.
 *
 * Neither file is changed. Tensors whose bytes agree are still decoded once, so that the error over all weights is
 * relative to all of them. Types this program does not know are compared as bytes, read from the files. Sums are kept per
 * chunk of whole rows and added in order: the same bits for any thread count.
 */
#include "core/quant/diff.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/unicode.h"

#define CHUNK_WEIGHTS 32768
#define SLICE_WEIGHTS (1u << 20) /* of one region of the pool, and between two looks at the job: some ms */
#define READ_BYTES (1u << 20)

struct chunk { struct qs_error_sums sums; double dot, aa, bb; bool differs; /* in a byte */ };

struct pass {
    const struct qs_weight *a, *b;
    size_t cols;
    uint64_t rows, rows_per_chunk, first_chunk, slice /* chunks of one region */;
    size_t per_thread;
    float *scratch;
    struct chunk *chunk; /* of the slice */
};

/* ---- weights ------------------------------------------------------------------------------------------------- */

static void compare_rows(const float *a, const float *b, size_t n, struct chunk *c)
{
    double err = 0, dot = 0, aa = 0, bb = 0, most = 0;
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = a[i], y = b[i], d = x - y;
        if (!isfinite(x) || !isfinite(y)) {
            bad++;
            continue;
        }
        err += d * d;
        dot += x * y;
        aa += x * x;
        bb += y * y;
        most = fabs(d) > most ? fabs(d) : most;
    }
    const struct qs_error_sums s = { .err2 = err, .ref2 = aa, .max_abs = most, .n = n, .nonfinite = bad };
    qs_error_sums_add(&c->sums, &s);
    c->dot += dot;
    c->aa += aa;
    c->bb += bb;
}

/* n rows from `a` and `b` on, in the same format, byte by byte. */
static bool same_bytes(const struct qs_weight *w, const struct qs_const_parts *a, const struct qs_const_parts *b, size_t n)
{
    const size_t blocks = n * (size_t)(w->ne[0] / w->format->block);
    bool same = true;
    for (unsigned i = 0; same && i < w->format->n_components; i++)
        same = memcmp(a->p[i], b->p[i], blocks * w->format->component[i].bytes_per_block) == 0;
    return same;
}

static void work(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct pass *p = ctx;
    float *const x = p->scratch + thread * p->per_thread, *const y = x + p->per_thread / 2;
    for (size_t i = begin; i < end; i++) {
        const uint64_t row = (p->first_chunk + i) * p->rows_per_chunk, left = p->rows - row;
        const size_t n = (size_t)(left < p->rows_per_chunk ? left : p->rows_per_chunk);
        const struct qs_const_parts a = qs_weight_row(p->a, row), b = qs_weight_row(p->b, row);
        p->chunk[i] = (struct chunk){ .differs = p->a->format->id != p->b->format->id || !same_bytes(p->a, &a, &b, n) };
        qs_format_ops(p->a->format->id)->decode(&a, n, p->cols, x, p->cols);
        if (p->chunk[i].differs)
            qs_format_ops(p->b->format->id)->decode(&b, n, p->cols, y, p->cols);
        for (size_t r = 0; r < n; r++)
            compare_rows(x + r * p->cols, (p->chunk[i].differs ? y : x) + r * p->cols, p->cols, &p->chunk[i]);
    }
}

static int compare_weights(struct pass *p, struct qs_pool *pool, struct qs_job *job, struct chunk *total, struct qs_err *e)
{
    const uint64_t n_chunks = (p->rows + p->rows_per_chunk - 1) / p->rows_per_chunk;
    for (p->first_chunk = 0; p->first_chunk < n_chunks; p->first_chunk += p->slice) {
        const uint64_t left = n_chunks - p->first_chunk, n = left < p->slice ? left : p->slice;
        qs_pool_run(pool, QS_PRIO_JOB, (size_t)n, 1, work, p);
        uint64_t weights = 0;
        for (size_t i = 0; i < n; i++) {
            qs_error_sums_add(&total->sums, &p->chunk[i].sums);
            total->dot += p->chunk[i].dot;
            total->aa += p->chunk[i].aa;
            total->bb += p->chunk[i].bb;
            total->differs |= p->chunk[i].differs;
            weights += p->chunk[i].sums.n;
        }
        const int rc = qs_job_step(job, weights, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static int diff_weights(const struct qs_model *ma, const struct qs_model *mb, struct qs_diff_row *row, struct qs_pool *pool,
                        struct qs_job *job, struct qs_err *e)
{
    struct qs_weight *a = NULL, *b = NULL;
    struct chunk total = { 0 };
    int rc = qs_model_weight(ma, row->a, &a, e);
    if (!rc)
        rc = qs_model_weight(mb, row->b, &b, e);
    if (!rc) {
        struct pass p = { .a = a, .b = b, .cols = (size_t)row->a->ne[0], .rows = row->a->rows };
        p.rows_per_chunk = p.cols >= CHUNK_WEIGHTS ? 1 : CHUNK_WEIGHTS / p.cols;
        p.per_thread = 2 * (((size_t)p.rows_per_chunk * p.cols + 63) / 64 * 64);
        p.scratch = qs_calloc(qs_pool_threads(pool), p.per_thread * sizeof *p.scratch);
        p.slice = SLICE_WEIGHTS / (p.rows_per_chunk * p.cols);
        p.slice = p.slice ? p.slice : 1;
        p.chunk = qs_calloc((size_t)p.slice, sizeof *p.chunk);
        if (!p.scratch || !p.chunk)
            rc = qs_fail_mem(e, qs_pool_threads(pool) * p.per_thread * sizeof *p.scratch, "decoded rows");
        else
            rc = compare_weights(&p, pool, job, &total, e);
        row->state = !rc && !total.differs ? QS_DIFF_SAME : QS_DIFF_VALUES;
        qs_free(p.scratch);
        qs_free(p.chunk);
    }
    if (!rc)
        rc = qs_weight_intact(a, e);
    if (!rc)
        rc = qs_weight_intact(b, e);
    qs_weight_unref(a);
    qs_weight_unref(b);
    row->sums = total.sums;
    if (total.aa > 0 && total.bb > 0)
        row->cosine = row->state == QS_DIFF_SAME ? 1 : total.dot / (sqrt(total.aa) * sqrt(total.bb));
    return rc;
}

/* Bytes of tensors that cannot be decoded. */
static int diff_bytes(const struct qs_model *ma, const struct qs_model *mb, struct qs_diff_row *row, struct qs_job *job,
                      struct qs_err *e)
{
    row->state = QS_DIFF_VALUES;
    if (row->a->type != row->b->type || row->a->size != row->b->size)
        return qs_job_step(job, row->a->n, e);
    unsigned parts;
    const char *pa = qs_model_parts(ma, &parts)[row->a->part].path, *pb = qs_model_parts(mb, &parts)[row->b->part].path;
    uint8_t *const buf = qs_malloc(2 * READ_BYTES);
    const int fa = open(pa, O_RDONLY | O_CLOEXEC), fb = open(pb, O_RDONLY | O_CLOEXEC);
    int rc = buf ? QS_OK : qs_fail_mem(e, 2 * READ_BYTES, "reading tensors");
    bool same = true;
    if (!rc && (fa < 0 || fb < 0))
        rc = qs_fail(e, QS_EIO, "cannot open %s again", fa < 0 ? pa : pb);
    for (uint64_t at = 0; !rc && same && at < row->a->size; at += READ_BYTES) {
        const uint64_t left = row->a->size - at;
        const size_t n = (size_t)(left < READ_BYTES ? left : READ_BYTES);
        rc = qs_pread_all(fa, buf, n, row->a->offset + at, pa, e);
        if (!rc)
            rc = qs_pread_all(fb, buf + READ_BYTES, n, row->b->offset + at, pb, e);
        same = !rc && memcmp(buf, buf + READ_BYTES, n) == 0;
        if (!rc)
            rc = qs_job_step(job, 0, e);
    }
    if (fa >= 0)
        close(fa);
    if (fb >= 0)
        close(fb);
    qs_free(buf);
    row->state = same ? QS_DIFF_SAME : QS_DIFF_VALUES;
    return rc ? rc : qs_job_step(job, row->a->n, e);
}

static bool decodable(const struct qs_tensor *t)
{
    return t->format && qs_format_ops(t->format->id)->decode && t->n > 0;
}

static bool readable(const struct qs_tensor *t)
{
    return !(t->marks & (QS_TENSOR_BAD_RANGE | QS_TENSOR_BAD_SHAPE));
}

static int diff_row(const struct qs_model *a, const struct qs_model *b, bool headers_only, struct qs_diff_row *row,
                    struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    if (row->state != QS_DIFF_SAME)
        return QS_OK; /* another shape, or in one file only */
    if (headers_only || !readable(row->a) || !readable(row->b)) {
        row->state = row->a->type == row->b->type && headers_only ? QS_DIFF_SAME : QS_DIFF_VALUES;
        return QS_OK;
    }
    qs_job_item(job, "%s", row->a->name);
    if (decodable(row->a) && decodable(row->b))
        return diff_weights(a, b, row, pool, job, e);
    return diff_bytes(a, b, row, job, e);
}

/* ---- pairing ------------------------------------------------------------------------------------------------- */

static uint64_t pair_tensors(const struct qs_model *a, const struct qs_model *b, struct qs_diff *d)
{
    uint64_t weights = 0;
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct qs_tensor *t = &a->tensor[i];
        struct qs_diff_row *row = &d->row[d->n_rows++];
        *row = (struct qs_diff_row){ .a = t, .b = qs_model_find(b, t->name), .cosine = NAN };
        if (!row->b)
            row->state = QS_DIFF_ONLY_A;
        else if (memcmp(t->ne, row->b->ne, sizeof t->ne) != 0)
            row->state = QS_DIFF_SHAPE;
        else
            weights += t->n;
    }
    for (size_t i = 0; i < b->n_tensors; i++)
        if (!qs_model_find(a, b->tensor[i].name))
            d->row[d->n_rows++] = (struct qs_diff_row){ .b = &b->tensor[i], .state = QS_DIFF_ONLY_B, .cosine = NAN };
    return weights;
}

/* ---- metadata ------------------------------------------------------------------------------------------------ */

/* A value for people; long ones are told by what they are and a hash of their bytes. With its type where that differs. */
static char *print_kv(const struct qs_kv *kv, const struct qs_kv *other)
{
    struct qs_str out = QS_STR_INIT;
    if (kv->type == QS_GGUF_ARRAY) {
        char hex[33];
        qs_key_hex(qs_hash_bytes(kv->raw, (size_t)kv->raw_len), hex);
        qs_str_addf(&out, "%llu x %s, hash %.8s", (unsigned long long)kv->count, qs_gguf_type_name(kv->item), hex);
    } else {
        qs_kv_text(kv, 120, &out);
        if (out.len == 0)
            qs_str_add(&out, "(empty)");
    }
    if (other && other->type != kv->type)
        qs_str_addf(&out, " (%s)", qs_gguf_type_name(kv->type));
    return qs_str_take(&out);
}

static bool same_kv(const struct qs_kv *a, const struct qs_kv *b)
{
    return a && b && a->type == b->type && a->item == b->item && a->raw_len == b->raw_len &&
           memcmp(a->raw, b->raw, (size_t)a->raw_len) == 0;
}

static int add_kv(struct qs_diff *d, size_t *cap, const struct qs_kv *a, const struct qs_kv *b, struct qs_err *e)
{
    struct qs_str key = QS_STR_INIT;
    const struct qs_kv *any = a ? a : b;
    if (!qs_grow(&d->kv, cap, d->n_kv + 1, sizeof *d->kv))
        return qs_fail_mem(e, sizeof *d->kv, "a comparison");
    struct qs_diff_kv *kv = &d->kv[d->n_kv++];
    qs_utf8_clean(&key, any->key, any->key_len, 0);
    *kv = (struct qs_diff_kv){ qs_str_take(&key), a ? print_kv(a, b) : NULL, b ? print_kv(b, a) : NULL };
    if (!kv->key || (a && !kv->a) || (b && !kv->b))
        return qs_fail_mem(e, 128, "a comparison");
    return QS_OK;
}

static int diff_metadata(const struct qs_model *a, const struct qs_model *b, struct qs_diff *d, struct qs_err *e)
{
    size_t cap = 0;
    int rc = QS_OK;
    size_t n_a, n_b;
    const struct qs_kv *of_a = qs_model_metadata(a, &n_a), *of_b = qs_model_metadata(b, &n_b);
    for (size_t i = 0; !rc && i < n_a; i++) {
        const struct qs_kv *other = qs_model_kv(b, of_a[i].key);
        if (!same_kv(&of_a[i], other))
            rc = add_kv(d, &cap, &of_a[i], other, e);
    }
    for (size_t i = 0; !rc && i < n_b; i++)
        if (!qs_model_kv(a, of_b[i].key))
            rc = add_kv(d, &cap, NULL, &of_b[i], e);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

int qs_diff_run(const struct qs_model *a, const struct qs_model *b, bool headers_only, struct qs_pool *pool,
                struct qs_job *job, struct qs_diff **out, struct qs_err *e)
{
    struct qs_diff *d = qs_calloc(1, sizeof *d);
    if (!d)
        return qs_fail_mem(e, sizeof *d, "a comparison");
    d->row = qs_calloc(a->n_tensors + b->n_tensors + 1, sizeof *d->row);
    int rc = d->row ? diff_metadata(a, b, d, e)
                    : qs_fail_mem(e, (a->n_tensors + b->n_tensors) * sizeof *d->row, "a comparison");
    if (!rc) {
        const uint64_t weights = pair_tensors(a, b, d);
        qs_job_phase(job, "compare", "weights", headers_only ? 0 : weights);
    }
    for (size_t i = 0; !rc && i < d->n_rows; i++) {
        rc = diff_row(a, b, headers_only, &d->row[i], pool, job, e);
        qs_error_sums_add(&d->total, &d->row[i].sums);
        if (d->total.ref2 > 0)
            qs_job_error(job, qs_error_rms(&d->total));
    }
    if (rc)
        qs_diff_free(d);
    else
        *out = d;
    return rc;
}

void qs_diff_free(struct qs_diff *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_kv; i++) {
        qs_free(d->kv[i].key);
        qs_free(d->kv[i].a);
        qs_free(d->kv[i].b);
    }
    qs_free(d->kv);
    qs_free(d->row);
    qs_free(d);
}
