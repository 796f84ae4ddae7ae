/* cpu_rows.c - operations on rows by themselves: embed, norm, rope, rotate, append, glu, add, softcap.
 *
 * Tokens are dealt out to the threads; each is done by the row operations in force (rows.h).
 */
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/ref/funcs.h"

struct job {
    const struct qs_cpu *c;
    const struct qs_op *op;
};

/* Tokens [begin, end) by fn; `cost`: float operations of one token. */
static void run(const struct qs_cpu *c, const struct qs_op *op, double cost, qs_work_fn *fn)
{
    struct job j = { c, op };
    size_t grain = op->n / (c->threads * 4u) + 1;
    qs_cpu_run(c, op->n, grain, cost * (double)op->n, fn, &j);
}

static void embed(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    const struct qs_mat *m = &op->u.embed.mat;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        struct qs_const_parts at = m->parts;
        float *y = qs_cpu_row(&op->u.embed.out, t);
        for (size_t i = 0; i < m->format->n_components; i++)
            at.p[i] += (size_t)op->u.embed.tokens[t] * (m->cols / m->format->block * m->format->component[i].bytes_per_block);
        qs_format_ops(m->format->id)->decode(&at, 1, m->cols, y, m->cols);
        for (size_t k = 0; k < m->cols; k++)
            y[k] *= op->u.embed.scale;
    }
}

void qs_cpu_embed(const struct qs_cpu *c, const struct qs_op *op) { run(c, op, 2.0 * (double)op->u.embed.mat.cols, embed); }

static void norm(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    const struct qs_row_ops *rows = qs_row_ops();
    const size_t dim = op->u.norm.dim;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        for (size_t g = 0; g < op->u.norm.groups; g++) {
            const float *x = qs_cpu_row(&op->u.norm.in, t) + g * dim;
            float *y = qs_cpu_row(&op->u.norm.out, t) + g * dim;
            if (op->u.norm.kind == QS_NORM_RMS)
                rows->norm_rms(x, dim, op->u.norm.weight, op->u.norm.eps, y);
            else
                rows->norm_layer(x, dim, op->u.norm.weight, op->u.norm.bias, op->u.norm.eps, y);
        }
}

void qs_cpu_norm(const struct qs_cpu *c, const struct qs_op *op)
{
    run(c, op, 4.0 * (double)(op->u.norm.groups * op->u.norm.dim), norm);
}

static void rope(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    const struct qs_row_ops *rows = qs_row_ops();
    void (*rotate)(float *, const float *, size_t) = op->u.rope.kind == QS_ROPE_NORM ? rows->rope_norm : rows->rope_neox;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        for (size_t h = 0; h < op->u.rope.heads; h++)
            rotate(qs_cpu_row(&op->u.rope.x, t) + h * op->u.rope.dim, qs_cpu_row(&op->u.rope.angle, t), op->u.rope.n_rot);
}

void qs_cpu_rope(const struct qs_cpu *c, const struct qs_op *op)
{
    run(c, op, 3.0 * (double)(op->u.rope.heads * op->u.rope.n_rot), rope);
}

static void rotate(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    const size_t width = op->u.rotate.heads * op->u.rotate.dim;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        for (size_t at = 0; at < width; at += op->u.rotate.block)
            qs_row_ops()->hadamard(qs_cpu_row(&op->u.rotate.x, t) + at, op->u.rotate.block);
}

void qs_cpu_rotate(const struct qs_cpu *c, const struct qs_op *op)
{
    run(c, op, 8.0 * (double)(op->u.rotate.heads * op->u.rotate.dim), rotate);
}

/* ---- append */

static void store_row(const float *x, size_t cols, const struct qs_cache *cache, size_t pos, void *scratch)
{
    uint8_t *to = cache->buf->p + cache->at + pos * cache->row_bytes;
    if (cache->type == QS_F32) {
        memcpy(to, x, cols * sizeof *x);
        return;
    }
    const struct qs_rows in = { x, 1, cols, cols, NULL };
    const struct qs_parts dst = { { to } };
    qs_format_encode(qs_format_by_id(cache->type), &in, &dst, scratch);
}

static void append(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    for (size_t t = begin; t < end; t++) {
        store_row(qs_cpu_row(&op->u.append.k, t), op->u.append.n_kv * op->u.append.dk, &op->u.append.kc, op->u.append.pos + t,
                  qs_cpu_local(j->c, thread));
        store_row(qs_cpu_row(&op->u.append.v, t), op->u.append.n_kv * op->u.append.dv, &op->u.append.vc, op->u.append.pos + t,
                  qs_cpu_local(j->c, thread));
    }
}

void qs_cpu_append_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    const size_t k = qs_format_scratch(qs_format_by_id(op->u.append.kc.type), 1, op->u.append.n_kv * op->u.append.dk);
    const size_t v = qs_format_scratch(qs_format_by_id(op->u.append.vc.type), 1, op->u.append.n_kv * op->u.append.dv);
    need->local = k > v ? k : v;
}

void qs_cpu_append(const struct qs_cpu *c, const struct qs_op *op)
{
    const double each = op->u.append.kc.type == QS_F32 || op->u.append.kc.type == QS_F16 ? 1 : 8;
    run(c, op, each * (double)(op->u.append.n_kv * (op->u.append.dk + op->u.append.dv)), append);
}

/* ---- gates and sums */

static void glu(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        qs_row_ops()->glu[op->u.glu.kind](qs_cpu_row(&op->u.glu.gate, t), qs_cpu_row(&op->u.glu.up, t), op->u.glu.cols,
                                          op->u.glu.alpha, op->u.glu.limit, qs_cpu_row(&op->u.glu.out, t));
}

void qs_cpu_glu(const struct qs_cpu *c, const struct qs_op *op) { run(c, op, 8.0 * (double)op->u.glu.cols, glu); }

static void add(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        float scale = op->u.add.scale;
        if (op->u.add.gate.buf)
            scale *= qs_sigmoid(*qs_cpu_row(&op->u.add.gate, t));
        qs_row_ops()->add(qs_cpu_row(&op->u.add.x, t), qs_cpu_row(&op->u.add.y, t), op->u.add.cols, scale);
    }
}

void qs_cpu_add(const struct qs_cpu *c, const struct qs_op *op) { run(c, op, (double)op->u.add.cols, add); }

static void softcap(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ((struct job *)ctx)->op;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        qs_row_ops()->softcap(qs_cpu_row(&op->u.softcap.x, t), op->u.softcap.cols, op->u.softcap.cap, op->u.softcap.scale);
}

void qs_cpu_softcap(const struct qs_cpu *c, const struct qs_op *op) { run(c, op, 8.0 * (double)op->u.softcap.cols, softcap); }
