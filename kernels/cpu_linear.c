/* cpu_linear.c - products of matrices with a batch of tokens, as one region.
 *
 * The tokens are brought into the form that the weights want (once for all matrices of that form: a step of
 * cpu_fuse.c), then rows are dealt out in chunks. A chunk is multiplied in one of three ways: from panels (panel.h), where the level has them and they were made, or
 * where so many tokens come that making them by the way pays; from rows as they are stored; or, where a type has no
 * product of its own, from rows that are decoded, a few at a time. Neither the way, nor the cut into chunks, nor the blocks
 * of tokens show in the results: every product is by itself (dot.h).
 */
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/panel.h"

enum {
    DECODE_FLOATS = 16384, /* decoded at a time: they stay in the first caches */
    DECODE_MAX = 32,       /* rows */
    DECODE_APART = 16,     /* floats between decoded rows, so that they do not fall on the sets of a cache that tokens do */
    X_BYTES = 128 << 10,   /* of activations that go along with a chunk of rows */
    CHUNK_MAX = 128,       /* rows; eight chunks for each thread, if there are enough */
    FEW = 4,               /* tokens that are read for, not computed for: memory is fast in long pieces, */
    CHUNK_FEW = 1024,      /* so chunks are larger, and two for each thread */
    CHUNK_UNIT = 32,       /* rows: two panels share what they load */
    PACK_FROM = 48         /* tokens that are worth packing rows for */
};

enum qs_act qs_cpu_act(const struct qs_format *f, enum qs_precision p)
{
    return p == QS_FAST ? qs_dot_ops(f->id)->act : QS_ACT_F32;
}

static size_t decoded_rows(const struct qs_mat *m)
{
    size_t n = DECODE_FLOATS / m->cols;
    return n < 4 ? 4 : n > DECODE_MAX ? DECODE_MAX : n;
}

static bool is_decoded(const struct qs_mat *m, enum qs_act act)
{
    return act == QS_ACT_F32 && !qs_dot_ops(m->format->id)->f32;
}

/* How panels are multiplied; NULL: this product goes by rows. */
static const struct qs_panel_ops *panels_of(const struct qs_mat *m, enum qs_act act, size_t tokens)
{
    return act != QS_ACT_F32 && (m->panels || tokens >= PACK_FROM) ? qs_panel_ops(m->format->id) : NULL;
}

static size_t pack_room(const struct qs_mat *m)
{
    return m->panels ? 0 : qs_cpu_round(CHUNK_UNIT / QS_PANEL_ROWS * qs_panel_bytes(m->format, m->cols));
}

size_t qs_cpu_product_local(const struct qs_mat *m, enum qs_act act, size_t tokens)
{
    const struct qs_panel_ops *ops = panels_of(m, act, tokens);
    if (ops)
        return pack_room(m) + (ops->local ? ops->local(m->cols) : 0);
    return is_decoded(m, act) ? decoded_rows(m) * (m->cols + DECODE_APART) * sizeof(float) : 0;
}

/* Where row r (of the whole stack) begins. */
static struct qs_const_parts row_at(const struct qs_mat *m, size_t r)
{
    struct qs_const_parts at = m->parts;
    for (size_t i = 0; i < m->format->n_components; i++)
        at.p[i] += r * (m->cols / m->format->block * m->format->component[i].bytes_per_block);
    return at;
}

/* All tokens, in blocks that stay in a cache. */
static void by_blocks(qs_dot_fn *dot, struct qs_dot j, const struct qs_cpu_product *p)
{
    size_t block = p->n > 1 ? X_BYTES / p->x_stride / 12 * 12 : 1;
    block = block < 12 ? 12 : block;
    for (size_t t = 0; t < p->n; t += block) {
        j.tokens = p->n - t < block ? p->n - t : block;
        j.x = p->x + t * p->x_stride;
        j.out = p->out + t * p->out_stride;
        dot(&j);
    }
}

/* Rows [begin, end) from panels that were made before, or that are made of two panels' rows at a time. */
static void by_panels(const struct qs_cpu_product *p, const struct qs_panel_ops *ops, size_t begin, size_t end, uint8_t *local)
{
    const struct qs_mat *m = p->mat;
    const size_t bytes = qs_panel_bytes(m->format, m->cols), step = m->panels ? end - begin : CHUNK_UNIT;
    const size_t row_bytes = qs_format_row_bytes(m->format, m->cols);
    struct qs_panel_job j = { .cols = m->cols, .x = p->x, .x_stride = p->x_stride, .tokens = p->n, .out_stride = p->out_stride,
                              .local = ops->local ? local + pack_room(m) : NULL };
    for (size_t r = begin; r < end; r += step) {
        j.rows = end - r < step ? end - r : step;
        j.out = p->out + r;
        j.panels = m->panels ? m->panels + (p->index * qs_panel_count(m->rows) + r / QS_PANEL_ROWS) * bytes : local;
        for (size_t k = 0; !m->panels && k < j.rows; k += QS_PANEL_ROWS)
            ops->pack(row_at(m, p->index * m->rows + r + k).p[0], row_bytes,
                      j.rows - k < QS_PANEL_ROWS ? j.rows - k : QS_PANEL_ROWS, m->cols, local + k / QS_PANEL_ROWS * bytes);
        ops->product(&j);
    }
}

static void by_rows(const struct qs_cpu_product *p, size_t begin, size_t end, float *local)
{
    const struct qs_mat *m = p->mat;
    const struct qs_dot_ops *ops = qs_dot_ops(m->format->id);
    const size_t base = p->index * m->rows, step = decoded_rows(m);
    struct qs_dot j = { .cols = m->cols, .x_stride = p->x_stride, .out_stride = p->out_stride };
    struct qs_cpu_product at = *p;
    if (!is_decoded(m, p->act)) {
        j.w = row_at(m, base + begin).p[0];
        j.w_stride = qs_format_row_bytes(m->format, m->cols);
        j.rows = end - begin;
        at.out += begin;
        by_blocks(p->act == QS_ACT_F32 ? ops->f32 : ops->quant, j, &at);
        return;
    }
    for (size_t r = begin; r < end; r += step) {
        const struct qs_const_parts src = row_at(m, base + r);
        j.rows = end - r < step ? end - r : step;
        qs_format_ops(m->format->id)->decode(&src, j.rows, m->cols, local, m->cols + DECODE_APART);
        j.w = (const uint8_t *)local;
        j.w_stride = (m->cols + DECODE_APART) * sizeof *local;
        at.out = p->out + r;
        by_blocks(qs_dot_ops(QS_F32)->f32, j, &at);
    }
}

void qs_cpu_product(const struct qs_cpu_product *p, size_t begin, size_t end, void *local)
{
    const struct qs_panel_ops *ops = panels_of(p->mat, p->act, p->n);
    if (ops)
        by_panels(p, ops, begin, end, local);
    else
        by_rows(p, begin, end, local);
    for (size_t t = 0; p->bias && t < p->n; t++)
        for (size_t r = begin; r < end; r++)
            p->out[t * p->out_stride + r] += p->bias[r];
}

/* ---- many products, one region */

struct region {
    const struct qs_cpu *c;
    const struct qs_cpu_product *list;
    size_t n, chunk;
};

static void do_chunks(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct region *g = ctx;
    size_t first = 0;
    for (size_t i = 0; i < g->n && first < end; i++) {
        const size_t rows = g->list[i].mat->rows, chunks = (rows + g->chunk - 1) / g->chunk;
        for (size_t k = begin > first ? begin - first : 0; k < chunks && first + k < end; k++) {
            const size_t from = k * g->chunk, to = rows - from < g->chunk ? rows : from + g->chunk;
            qs_cpu_product(&g->list[i], from, to, qs_cpu_local(g->c, thread));
        }
        first += chunks;
    }
}

void qs_cpu_products(const struct qs_cpu *c, const struct qs_cpu_product *list, size_t n)
{
    struct region g = { c, list, n, 0 };
    size_t rows = 0, chunks = 0;
    double work = 0;
    bool few = true;
    for (size_t i = 0; i < n; i++) {
        few = few && list[i].n <= FEW;
        rows += list[i].mat->rows;
        work += 2.0 * (double)list[i].mat->rows * (double)list[i].mat->cols * (double)list[i].n;
    }
    const size_t most = few ? CHUNK_FEW : CHUNK_MAX;
    g.chunk = rows / (c->threads * (few ? 2u : 8u)) / CHUNK_UNIT * CHUNK_UNIT;
    g.chunk = g.chunk < QS_PANEL_ROWS ? QS_PANEL_ROWS : g.chunk > most ? most : g.chunk;
    for (size_t i = 0; i < n; i++)
        chunks += (list[i].mat->rows + g.chunk - 1) / g.chunk;
    qs_cpu_run(c, chunks, 1, work, do_chunks, &g);
}

/* ---- the operation */

/* The activations of the batch: where each form lies in the area. F32 is the input itself. */
struct forms {
    bool want[QS_ACT_COUNT];
    size_t at[QS_ACT_COUNT], stride[QS_ACT_COUNT], bytes;
};

static struct forms forms_of(const struct qs_op *op)
{
    struct forms f = { 0 };
    for (size_t i = 0; i < op->u.linear.n_mats; i++)
        f.want[qs_cpu_act(op->u.linear.mat[i].format, op->u.linear.precision)] = true;
    for (int a = QS_ACT_F32 + 1; a < QS_ACT_COUNT; a++)
        if (f.want[a]) {
            f.stride[a] = qs_act_bytes((enum qs_act)a, op->u.linear.mat[0].cols);
            f.at[a] = f.bytes;
            f.bytes += qs_cpu_round(op->n * f.stride[a]);
        }
    return f;
}

void qs_cpu_linear_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    need->area = forms_of(op).bytes;
    for (size_t i = 0; i < op->u.linear.n_mats; i++) {
        const struct qs_mat *m = &op->u.linear.mat[i];
        const size_t bytes = qs_cpu_product_local(m, qs_cpu_act(m->format, op->u.linear.precision), op->n);
        need->local = bytes > need->local ? bytes : need->local;
    }
}

bool qs_cpu_linear_has_forms(const struct qs_op *op) { return forms_of(op).bytes > 0; }

void qs_cpu_linear_forms(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    const struct forms f = forms_of(op);
    (void)thread;
    for (int a = QS_ACT_F32 + 1; a < QS_ACT_COUNT; a++)
        if (f.want[a])
            qs_row_ops()->quantize[a](qs_cpu_row(&op->u.linear.in, t), op->u.linear.mat[0].cols,
                                      c->area + f.at[a] + t * f.stride[a]);
}

void qs_cpu_linear(const struct qs_cpu *c, const struct qs_op *op)
{
    const struct forms f = forms_of(op);
    struct qs_cpu_product list[QS_LINEAR_MAX];
    for (size_t i = 0; i < op->u.linear.n_mats; i++) {
        const enum qs_act a = qs_cpu_act(op->u.linear.mat[i].format, op->u.linear.precision);
        const struct qs_view *in = &op->u.linear.in, *out = &op->u.linear.out[i];
        list[i] = (struct qs_cpu_product){ .mat = &op->u.linear.mat[i], .act = a, .n = op->n,
                                           .x = a == QS_ACT_F32 ? (const uint8_t *)qs_cpu_row(in, 0) : c->area + f.at[a],
                                           .x_stride = a == QS_ACT_F32 ? in->stride * sizeof(float) : f.stride[a],
                                           .bias = op->u.linear.bias[i], .out = qs_cpu_row(out, 0),
                                           .out_stride = out->stride };
    }
    qs_cpu_products(c, list, op->u.linear.n_mats);
}
