/* cpu_rows.c - operations on rows by themselves: embed, norm, rope, rotate, append, glu, add, softcap.
 *
 * Each does one token, by the row operations in force (rows.h); who deals them out to the threads is cpu_fuse.c.
 */
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/ref/funcs.h"

void qs_cpu_embed(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    const struct qs_mat *m = &op->u.embed.mat;
    (void)c, (void)thread;
    struct qs_const_parts at = m->parts;
    float *y = qs_cpu_row(&op->u.embed.out, t);
    for (size_t i = 0; i < m->format->n_components; i++)
        at.p[i] += (size_t)op->u.embed.tokens[t] * (m->cols / m->format->block * m->format->component[i].bytes_per_block);
    qs_format_ops(m->format->id)->decode(&at, 1, m->cols, y, m->cols);
    for (size_t k = 0; k < m->cols; k++)
        y[k] *= op->u.embed.scale;
}

void qs_cpu_norm(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    const struct qs_row_ops *rows = qs_row_ops();
    const size_t dim = op->u.norm.dim;
    (void)c, (void)thread;
    for (size_t g = 0; g < op->u.norm.groups; g++) {
        const float *x = qs_cpu_row(&op->u.norm.in, t) + g * dim;
        float *y = qs_cpu_row(&op->u.norm.out, t) + g * dim;
        if (op->u.norm.kind == QS_NORM_RMS)
            rows->norm_rms(x, dim, op->u.norm.weight, op->u.norm.eps, y);
        else
            rows->norm_layer(x, dim, op->u.norm.weight, op->u.norm.bias, op->u.norm.eps, y);
    }
}

void qs_cpu_rope(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    const struct qs_row_ops *rows = qs_row_ops();
    void (*rotate)(float *, const float *, size_t) = op->u.rope.kind == QS_ROPE_NORM ? rows->rope_norm : rows->rope_neox;
    (void)c, (void)thread;
    for (size_t h = 0; h < op->u.rope.heads; h++)
        rotate(qs_cpu_row(&op->u.rope.x, t) + h * op->u.rope.dim, qs_cpu_row(&op->u.rope.angle, t), op->u.rope.n_rot);
}

void qs_cpu_rotate(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    const size_t width = op->u.rotate.heads * op->u.rotate.dim;
    (void)c, (void)thread;
    for (size_t at = 0; at < width; at += op->u.rotate.block)
        qs_row_ops()->hadamard(qs_cpu_row(&op->u.rotate.x, t) + at, op->u.rotate.block);
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

void qs_cpu_append(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    store_row(qs_cpu_row(&op->u.append.k, t), op->u.append.n_kv * op->u.append.dk, &op->u.append.kc, op->u.append.pos + t,
              qs_cpu_local(c, thread));
    store_row(qs_cpu_row(&op->u.append.v, t), op->u.append.n_kv * op->u.append.dv, &op->u.append.vc, op->u.append.pos + t,
              qs_cpu_local(c, thread));
}

void qs_cpu_append_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    const size_t k = qs_format_scratch(qs_format_by_id(op->u.append.kc.type), 1, op->u.append.n_kv * op->u.append.dk);
    const size_t v = qs_format_scratch(qs_format_by_id(op->u.append.vc.type), 1, op->u.append.n_kv * op->u.append.dv);
    need->local = k > v ? k : v;
}

/* ---- gates and sums */

void qs_cpu_glu(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    (void)c, (void)thread;
    qs_row_ops()->glu[op->u.glu.kind](qs_cpu_row(&op->u.glu.gate, t), qs_cpu_row(&op->u.glu.up, t), op->u.glu.cols,
                                      op->u.glu.alpha, op->u.glu.limit, qs_cpu_row(&op->u.glu.out, t));
}

void qs_cpu_add(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    (void)c, (void)thread;
    float scale = op->u.add.scale;
    if (op->u.add.gate.buf)
        scale *= qs_sigmoid(*qs_cpu_row(&op->u.add.gate, t));
    qs_row_ops()->add(qs_cpu_row(&op->u.add.x, t), qs_cpu_row(&op->u.add.y, t), op->u.add.cols, scale);
}

void qs_cpu_softcap(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread)
{
    (void)c, (void)thread;
    qs_row_ops()->softcap(qs_cpu_row(&op->u.softcap.x, t), op->u.softcap.cols, op->u.softcap.cap, op->u.softcap.scale);
}
