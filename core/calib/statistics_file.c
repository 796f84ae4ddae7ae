/* statistics_file.c - statistics in a file that is an importance matrix too.
 *
 * Owns the names of the tensors beside: quantscape.N.max (F32, columns x experts), quantscape.N.rows (F16, columns x
 * rows), quantscape.N.row_scale and quantscape.N.row_expert (F32, rows), N counting the inputs of the facts. Refuses
 * what does not fit the model, and parts of ours that do not fit each other.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "core/calib/statistics_internal.h"
#include "kernels/half.h"

#define MAX_ROWS 65536u

/* ---- out ---- */

enum { MAX, ROWS, ROW_SCALE, ROW_EXPERT, KINDS };
static const char *const kind_name[KINDS] = { "max", "rows", "row_scale", "row_expert" };

struct put { const struct qs_input_stats *s; int kind; };
struct beside { struct qs_gguf_out *tensor; struct put *put; char (*name)[48]; size_t n; };

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static int fill(void *ctx, size_t i, void *dst, struct qs_err *e)
{
    const struct beside *b = ctx;
    const struct qs_input_stats *s = b->put[i].s;
    const int kind = b->put[i].kind;
    uint8_t *p = dst;
    if (kind == MAX)
        for (size_t k = 0; k < s->cols * s->experts; k++)
            put_u32(p + 4 * k, qs_f32_bits(s->max[k]));
    uint16_t *half = kind == ROWS || kind == ROW_SCALE ? qs_malloc(s->cols * sizeof *half) : NULL;
    if (!half && (kind == ROWS || kind == ROW_SCALE))
        return qs_fail_mem(e, s->cols * sizeof *half, "statistics");
    for (size_t r = 0; kind != MAX && r < s->n_rows; r++) {
        float scale = (float)s->row_expert[r];
        if (half)
            qs_row_pack(s->row + r * s->cols, s->cols, half, &scale);
        if (kind != ROWS)
            put_u32(p + 4 * r, qs_f32_bits(scale));
        for (size_t j = 0; kind == ROWS && j < s->cols; j++) {
            p[2 * (r * s->cols + j)] = (uint8_t)half[j];
            p[2 * (r * s->cols + j) + 1] = (uint8_t)(half[j] >> 8);
        }
    }
    qs_free(half);
    return QS_OK;
}

static void add(struct beside *b, size_t input, const struct qs_input_stats *s, int kind)
{
    const uint64_t ne0 = kind == MAX || kind == ROWS ? s->cols : s->n_rows;
    const uint64_t ne1 = kind == MAX ? s->experts : kind == ROWS ? s->n_rows : 1;
    snprintf(b->name[b->n], sizeof *b->name, "quantscape.%zu.%s", input, kind_name[kind]);
    b->put[b->n] = (struct put){ s, kind };
    b->tensor[b->n] = (struct qs_gguf_out){ .name = b->name[b->n], .n_dims = 2, .ne = { ne0, ne1, 1, 1 },
                                            .type = kind == ROWS ? QS_F16 : QS_F32,
                                            .size = ne0 * ne1 * (kind == ROWS ? 2 : 4) };
    b->n++;
}

static int list_beside(struct beside *b, const struct qs_statistics *s, struct qs_err *e)
{
    const size_t most = KINDS * s->n_inputs + 1;
    b->tensor = qs_calloc(most, sizeof *b->tensor);
    b->put = qs_calloc(most, sizeof *b->put);
    b->name = qs_calloc(most, sizeof *b->name);
    if (!b->tensor || !b->put || !b->name)
        return qs_fail_mem(e, most * sizeof *b->tensor, "statistics");
    for (size_t i = 0; i < s->n_inputs; i++) {
        const struct qs_input_stats *x = &s->input[i];
        if (x->max && qs_input_stats_rows(x))
            add(b, i, x, MAX);
        for (int kind = ROWS; x->n_rows && kind < KINDS; kind++)
            add(b, i, x, kind);
    }
    return QS_OK;
}

static int check_model(const struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, struct qs_err *e)
{
    bool same = in->n == s->n_inputs;
    for (size_t i = 0; same && i < in->n; i++)
        for (size_t k = 0; same && k < in->input[i].n_tensors; k++)
            same = qs_input_stats_reads(&s->input[i], m->tensor[in->input[i].tensor[k]].name);
    return same ? QS_OK : qs_fail(e, QS_EINVAL, "these statistics are of another model than %s", m->path);
}

static int save_gguf(const struct qs_statistics *s, const char *path, bool overwrite, struct qs_err *e)
{
    struct beside b = { 0 };
    struct qs_str text[3] = { QS_STR_INIT, QS_STR_INIT, QS_STR_INIT };
    const char *const key[3] = { QS_STATISTICS_FACTS, QS_STATISTICS_ERRORS, QS_STATISTICS_SWAPS };
    int rc = list_beside(&b, s, e);
    if (rc == QS_OK)
        rc = qs_statistics_facts_text(s, &text[0], e);
    if (rc == QS_OK)
        rc = qs_statistics_errors_text(s, &text[1], e);
    if (rc == QS_OK)
        rc = qs_statistics_swaps_text(s, &text[2], e);
    const char *const data[3] = { text[0].data, text[1].data, text[2].data };
    const struct qs_imatrix_beside beside = { b.tensor, b.n, fill, &b, key, data, 3 };
    if (rc == QS_OK)
        rc = qs_imatrix_write(s->imatrix, &beside, path, overwrite, e);
    for (int i = 0; i < 3; i++)
        qs_str_free(&text[i]);
    qs_free(b.tensor);
    qs_free(b.put);
    qs_free(b.name);
    return rc;
}

int qs_statistics_save(const struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, const char *path,
                       bool legacy, bool overwrite, struct qs_err *e)
{
    if (!s->imatrix)
        return qs_fail(e, QS_EINVAL, "statistics that were not sealed are not written");
    const int rc = in && m ? check_model(s, in, m, e) : QS_OK;
    if (rc != QS_OK)
        return rc;
    return legacy ? qs_imatrix_write_dat(s->imatrix, path, overwrite, e) : save_gguf(s, path, overwrite, e);
}

/* ---- in: importance ---- */

static int other_model(struct qs_err *e, const struct qs_imatrix_entry *x, const struct qs_input_stats *s)
{
    return qs_fail(e, QS_EINVAL, "tensor %s: the file has %zu values for %u expert%s, the model %zu columns and %zu expert%s: it "
                   "belongs to another model", x->name, x->n, x->experts, x->experts == 1 ? "" : "s", s->cols, s->experts,
                   s->experts == 1 ? "" : "s");
}

/* Sums and counts of the first tensor that the file has; all that it has must fit. */
static int take_importance(struct qs_input_stats *s, const struct qs_imatrix *im, struct qs_err *e)
{
    const struct qs_imatrix_entry *first = NULL;
    uint64_t n;
    if (!qs_mul_u64(s->cols, s->experts, &n))
        return qs_fail(e, QS_EFORMAT, "layer %d, %s: %zu columns of %zu experts cannot be", s->layer, qs_point_name(s->point),
                       s->cols, s->experts);
    for (size_t k = 0; k < s->n_tensors; k++) {
        const struct qs_imatrix_entry *x = qs_imatrix_find(im, s->tensor[k]);
        if (x && (x->n != n || (x->experts != 1 && x->experts != s->experts)))
            return other_model(e, x, s);
        first = first ? first : x;
    }
    int rc = qs_input_stats_alloc(s, first && first->sum, false, 0, e);
    for (size_t k = 0; rc == QS_OK && first && k < first->n; k++) {
        s->sum2[k] = (double)first->sum2[k];
        if (s->sum)
            s->sum[k] = (double)first->sum[k];
    }
    for (size_t j = 0; rc == QS_OK && first && j < s->experts; j++)
        s->count[j] = (uint64_t)first->counts[first->experts == 1 ? 0 : j];
    return rc;
}

/* ---- in: ours ---- */

struct file { const uint8_t *bytes; struct qs_gguf *g; struct qs_statistics *facts; };

static float get_f32(const uint8_t *p)
{
    return qs_bits_f32((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

/* NULL: it is not there. */
static const struct qs_gguf_tensor *ours(const struct file *f, size_t input, int kind)
{
    char name[48];
    snprintf(name, sizeof name, "quantscape.%zu.%s", input, kind_name[kind]);
    return qs_gguf_tensor_by_name(f->g, name);
}

static int damaged(struct qs_err *e, const struct qs_gguf_tensor *t)
{
    return qs_fail(e, QS_EFORMAT, "statistics: tensor %s has a shape, type or value that cannot be (offset %" PRIu64 ")", t->name,
                   t->offset);
}

static int read_max(const struct file *f, size_t i, struct qs_input_stats *s, struct qs_err *e)
{
    const struct qs_gguf_tensor *t = ours(f, i, MAX);
    const size_t n = s->cols * s->experts;
    if (!t)
        return QS_OK;
    if (t->type != QS_F32 || t->size != n * 4)
        return damaged(e, t);
    if (!(s->max = qs_malloc(n * sizeof *s->max)))
        return qs_fail_mem(e, n * sizeof *s->max, "statistics");
    for (size_t k = 0; k < n; k++) {
        s->max[k] = get_f32(f->bytes + t->offset + 4 * k);
        if (!(s->max[k] >= 0 && isfinite(s->max[k])))
            return damaged(e, t);
    }
    return QS_OK;
}

static int read_row(const struct file *f, const struct qs_gguf_tensor *const t[KINDS], size_t r, uint16_t *half,
                    struct qs_input_stats *s, struct qs_err *e)
{
    const float scale = get_f32(f->bytes + t[ROW_SCALE]->offset + 4 * r);
    const float expert = get_f32(f->bytes + t[ROW_EXPERT]->offset + 4 * r);
    const uint8_t *p = f->bytes + t[ROWS]->offset + 2 * r * s->cols;
    float *row = s->row + r * s->cols;
    if (!(scale >= 0x1p-101f && scale <= 0x1p101f))
        return damaged(e, t[ROW_SCALE]);
    if (!(expert >= 0 && expert < (float)s->experts))
        return damaged(e, t[ROW_EXPERT]);
    s->row_expert[r] = (uint32_t)expert;
    for (size_t j = 0; j < s->cols; j++)
        half[j] = (uint16_t)(p[2 * j] | p[2 * j + 1] << 8);
    qs_row_unpack(half, s->cols, scale, row);
    return qs_row_finite(row, s->cols) ? QS_OK : damaged(e, t[ROWS]);
}

static int read_rows(const struct file *f, size_t i, struct qs_input_stats *s, struct qs_err *e)
{
    const struct qs_gguf_tensor *const t[KINDS] = { NULL, ours(f, i, ROWS), ours(f, i, ROW_SCALE), ours(f, i, ROW_EXPERT) };
    if (!t[ROWS])
        return QS_OK;
    const uint64_t n = t[ROWS]->ne[1];
    if (t[ROWS]->type != QS_F16 || t[ROWS]->ne[0] != s->cols || n == 0 || n > MAX_ROWS || t[ROWS]->size != n * s->cols * 2)
        return damaged(e, t[ROWS]);
    for (int kind = ROW_SCALE; kind < KINDS; kind++)
        if (!t[kind] || t[kind]->type != QS_F32 || t[kind]->size != n * 4)
            return damaged(e, t[kind] ? t[kind] : t[ROWS]);
    uint16_t *half = qs_malloc(s->cols * sizeof *half);
    s->row = qs_calloc((size_t)n, s->cols * sizeof *s->row);
    s->row_expert = qs_calloc((size_t)n, sizeof *s->row_expert);
    int rc = half && s->row && s->row_expert ? QS_OK : qs_fail_mem(e, n * s->cols * 4, "statistics");
    for (size_t r = 0; rc == QS_OK && r < n; r++)
        rc = read_row(f, t, r, half, s, e);
    s->n_rows = (size_t)n;
    qs_free(half);
    return rc;
}

/* The part of ours of one input, where the file has it. */
static int take_ours(const struct file *f, struct qs_input_stats *s, struct qs_err *e)
{
    for (size_t i = 0; f->facts && i < f->facts->n_inputs; i++) {
        const struct qs_input_stats *x = &f->facts->input[i];
        bool same = false;
        for (size_t k = 0; k < x->n_tensors && !same; k++)
            same = qs_input_stats_reads(s, x->tensor[k]);
        if (!same)
            continue;
        if (x->cols != s->cols || x->experts != s->experts)
            return qs_fail(e, QS_EINVAL, "tensor %s: the statistics are of %zu columns and %zu experts, the model has %zu and %zu: "
                           "they belong to another model", x->tensor[0], x->cols, x->experts, s->cols, s->experts);
        s->nonfinite = x->nonfinite;
        s->bad_window = x->bad_window;
        s->n_massive = x->n_massive;
        memcpy(s->massive, x->massive, sizeof s->massive);
        const int rc = read_max(f, i, s, e);
        return rc == QS_OK ? read_rows(f, i, s, e) : rc;
    }
    return QS_OK;
}

/* ---- in: which inputs ---- */

static enum qs_point point_of(enum qs_role r)
{
    switch (r) {
    case QS_ROLE_ATTN_Q: case QS_ROLE_ATTN_K: case QS_ROLE_ATTN_V: case QS_ROLE_ATTN_QKV: return QS_POINT_ATTN_IN;
    case QS_ROLE_ATTN_OUTPUT: return QS_POINT_ATTN_OUT;
    case QS_ROLE_FFN_GATE: case QS_ROLE_FFN_UP: case QS_ROLE_FFN_GATE_SHEXP: case QS_ROLE_FFN_UP_SHEXP: return QS_POINT_FFN_IN;
    case QS_ROLE_FFN_DOWN: return QS_POINT_FFN_DOWN;
    case QS_ROLE_FFN_DOWN_SHEXP: return QS_POINT_SHARED_DOWN;
    case QS_ROLE_FFN_GATE_EXPS: case QS_ROLE_FFN_UP_EXPS: case QS_ROLE_FFN_GATE_UP_EXPS: return QS_POINT_EXPERTS_IN;
    case QS_ROLE_FFN_DOWN_EXPS: return QS_POINT_EXPERTS_DOWN;
    case QS_ROLE_OUTPUT: case QS_ROLE_TOKEN_EMBD: return QS_POINT_HEAD;
    default: return QS_POINT_BLOCK;
    }
}

/* Room for one more input. */
static struct qs_input_stats *next(struct qs_statistics *s, struct qs_input_stats is)
{
    s->input[s->n_inputs] = is;
    return &s->input[s->n_inputs++];
}

static int inputs_of_model(struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, struct qs_err *e)
{
    int rc = QS_OK;
    if (!(s->input = qs_calloc(in->n + 1, sizeof *s->input)))
        return qs_fail_mem(e, in->n * sizeof *s->input, "statistics");
    for (size_t i = 0; rc == QS_OK && i < in->n; i++) {
        const struct qs_input *y = &in->input[i];
        struct qs_input_stats *x = next(s, (struct qs_input_stats){ .layer = y->layer, .point = y->point, .cols = y->cols,
                                                                    .experts = y->experts });
        for (size_t k = 0; rc == QS_OK && k < y->n_tensors; k++)
            rc = qs_input_stats_name(x, m->tensor[y->tensor[k]].name, e);
    }
    return rc;
}

/* Whether the file has importance for an input of the facts. */
static bool has_entry(const struct qs_input_stats *x, const struct qs_imatrix *im)
{
    bool has = false;
    for (size_t k = 0; k < x->n_tensors && !has; k++)
        has = qs_imatrix_find(im, x->tensor[k]) != NULL;
    return has;
}

/* Those of the facts that have entries, then every entry that none of them has, by itself. */
static int inputs_of_file(struct qs_statistics *s, const struct file *f, const struct qs_imatrix *im, struct qs_err *e)
{
    const size_t n = f->facts ? f->facts->n_inputs : 0;
    int rc = QS_OK;
    if (!(s->input = qs_calloc(n + im->n_entries + 1, sizeof *s->input)))
        return qs_fail_mem(e, (n + im->n_entries) * sizeof *s->input, "statistics");
    for (size_t i = 0; rc == QS_OK && i < n; i++) {
        const struct qs_input_stats *y = &f->facts->input[i];
        if (!has_entry(y, im))
            continue;
        struct qs_input_stats *x = next(s, (struct qs_input_stats){ .layer = y->layer, .point = y->point, .cols = y->cols,
                                                                    .experts = y->experts });
        for (size_t k = 0; rc == QS_OK && k < y->n_tensors; k++)
            rc = qs_input_stats_name(x, y->tensor[k], e);
    }
    const size_t of_facts = s->n_inputs;
    for (size_t i = 0; rc == QS_OK && i < im->n_entries; i++) {
        const struct qs_imatrix_entry *y = &im->entry[i];
        bool known = false;
        for (size_t k = 0; k < of_facts && !known; k++)
            known = qs_input_stats_reads(&s->input[k], y->name);
        if (known)
            continue;
        struct qs_input_stats *x = next(s, (struct qs_input_stats){ .cols = y->n / y->experts, .experts = y->experts });
        x->point = point_of(qs_role_of(y->name, &x->layer));
        rc = qs_input_stats_name(x, y->name, e);
    }
    return rc;
}

/* ---- in: the whole ---- */

static int text_of(const struct qs_gguf *g, const char *key,
                   int (*read)(const char *, size_t, struct qs_statistics *, struct qs_err *), struct qs_statistics *s,
                   struct qs_err *e)
{
    const struct qs_kv *kv = qs_gguf_kv(g, key);
    const char *text;
    size_t n;
    if (!kv)
        return QS_OK;
    if (!qs_kv_str(kv, &text, &n))
        return qs_fail(e, QS_EFORMAT, "statistics: %s is no text", key);
    const int rc = read(text, n, s, e);
    return rc == QS_EINVAL ? qs_fail(e, QS_EFORMAT, "statistics: %s is damaged", key) : rc;
}

static int read_ours(struct file *f, size_t n, struct qs_err *e)
{
    if (n < 4 || memcmp(f->bytes, "GGUF", 4) != 0)
        return QS_OK;
    int rc = qs_gguf_open_mem(f->bytes, n, &f->g, e);
    if (rc != QS_OK || !qs_gguf_kv(f->g, QS_STATISTICS_FACTS))
        return rc;
    if (!(f->facts = qs_calloc(1, sizeof *f->facts)))
        return qs_fail_mem(e, sizeof *f->facts, "statistics");
    return text_of(f->g, QS_STATISTICS_FACTS, qs_statistics_read_facts, f->facts, e);
}

/* What the file says as a whole; of a plain imatrix as far as its counts tell. */
static int take_facts(struct qs_statistics *s, const struct file *f, const struct qs_imatrix *im, struct qs_err *e)
{
    s->windows = im->chunks;
    s->n_ctx = im->chunk;
    if (f->facts) {
        s->model = f->facts->model;
        s->corpus = f->facts->corpus;
        s->tokens = f->facts->tokens;
        s->windows = f->facts->windows;
        s->n_ctx = f->facts->n_ctx;
        s->precision = f->facts->precision;
    }
    for (size_t i = 0; !f->facts && i < s->n_inputs; i++)
        if (s->input[i].experts == 1 && s->input[i].count[0] > s->tokens)
            s->tokens = s->input[i].count[0];
    s->dataset = qs_strdup(im->dataset);
    int rc = s->dataset ? QS_OK : qs_fail_mem(e, 0, "statistics");
    if (rc == QS_OK && f->facts)
        rc = text_of(f->g, QS_STATISTICS_ERRORS, qs_statistics_read_errors, s, e);
    if (rc == QS_OK && f->facts)
        rc = text_of(f->g, QS_STATISTICS_SWAPS, qs_statistics_read_swaps, s, e);
    return rc;
}

static int fill_inputs(struct qs_statistics *s, const struct file *f, const struct qs_imatrix *im, struct qs_err *e)
{
    int rc = QS_OK;
    bool any = false;
    for (size_t i = 0; rc == QS_OK && i < s->n_inputs; i++) {
        rc = take_importance(&s->input[i], im, e);
        if (rc == QS_OK)
            rc = take_ours(f, &s->input[i], e);
        any = any || (rc == QS_OK && qs_input_stats_rows(&s->input[i]));
    }
    if (rc == QS_OK && !any)
        rc = qs_fail(e, QS_EINVAL, "the file has no counts for any matrix of this model (its first entry is %s)",
                     im->entry[0].name);
    return rc;
}

struct how { const struct qs_inputs *in; const struct qs_model *m; uint32_t chunk; };

static int open_mem(const void *bytes, size_t n, const struct how *how, struct qs_statistics **out, struct qs_err *e)
{
    struct file f = { .bytes = bytes };
    struct qs_statistics *s = qs_calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return qs_fail_mem(e, sizeof *s, "statistics");
    int rc = qs_imatrix_open_raw_mem(bytes, n, how->chunk, &s->imatrix, e);
    if (rc == QS_OK)
        rc = read_ours(&f, n, e);
    if (rc == QS_OK)
        rc = how->in && how->m ? inputs_of_model(s, how->in, how->m, e) : inputs_of_file(s, &f, s->imatrix, e);
    if (rc == QS_OK)
        rc = fill_inputs(s, &f, s->imatrix, e);
    if (rc == QS_OK)
        rc = take_facts(s, &f, s->imatrix, e);
    if (rc == QS_OK)
        rc = qs_statistics_make_key(s, e);
    qs_gguf_close(f.g);
    qs_statistics_free(f.facts);
    if (rc == QS_OK)
        *out = s;
    else
        qs_statistics_free(s);
    return rc;
}

static int open_file(const char *path, const struct how *how, struct qs_statistics **out, struct qs_err *e)
{
    struct qs_map *map;
    *out = NULL;
    int rc = qs_map_open(path, &map, e);
    if (rc != QS_OK)
        return rc;
    rc = open_mem(qs_map_data(map), (size_t)qs_map_size(map), how, out, e);
    if (rc != QS_OK)
        qs_err_prefix(e, "%s", path);
    else if ((rc = qs_map_check(map, e)) != QS_OK) {
        qs_statistics_free(*out);
        *out = NULL;
    }
    qs_map_unref(map);
    return rc;
}

int qs_statistics_open_mem(const void *bytes, size_t n, const struct qs_inputs *in, const struct qs_model *m,
                           struct qs_statistics **out, struct qs_err *e)
{
    return open_mem(bytes, n, &(struct how){ in, m, 0 }, out, e);
}

int qs_statistics_open(const char *path, const struct qs_inputs *in, const struct qs_model *m, struct qs_statistics **out,
                       struct qs_err *e)
{
    return open_file(path, &(struct how){ in, m, 0 }, out, e);
}

int qs_statistics_open_alone(const char *path, uint32_t chunk, struct qs_statistics **out, struct qs_err *e)
{
    return open_file(path, &(struct how){ NULL, NULL, chunk }, out, e);
}
