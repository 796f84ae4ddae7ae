/* cpu_fuse.c - steps that do a token by itself go together: residual, norm and the activations of the next product; gate and
 * those; RoPE and the cache.
 *
 * One region does all steps of its tokens, whose rows then lie in the first caches, and threads wait for each other once. Each
 * token sees the same steps in the same order as one operation after the other would give it, hence the same bits. Refuses
 * (starts a new region at) what another number of tokens goes through, and operations whose rows of one buffer are not the
 * same rows: a token must not see what becomes of another.
 */
#include "kernels/cpu_device.h"

enum { SPANS = 5, STEPS_MAX = 16 };

struct span { /* floats [at + t * stride, + width) of a buffer for each token t; stride 0: all of it */
    const struct qs_buf *buf;
    size_t at, stride, width;
};

struct step {
    qs_cpu_step_fn *fn; /* NULL: no step */
    double cost;        /* float operations of a token, about */
    struct span span[SPANS];
};

static struct span span(struct qs_view v, size_t width) { return (struct span){ v.buf, v.at, v.stride, width }; }
static struct span whole(struct qs_buf *b) { return (struct span){ b, 0, 0, 0 }; }

static struct step step_of(const struct qs_op *op)
{
    switch (op->kind) {
    case QS_OP_EMBED: {
        const size_t cols = op->u.embed.mat.cols;
        return (struct step){ qs_cpu_embed, 2.0 * (double)cols, { span(op->u.embed.out, cols) } };
    }
    case QS_OP_NORM: {
        const size_t width = op->u.norm.groups * op->u.norm.dim;
        return (struct step){ qs_cpu_norm, 4.0 * (double)width, { span(op->u.norm.in, width), span(op->u.norm.out, width) } };
    }
    case QS_OP_LINEAR: {
        const size_t cols = op->u.linear.mat[0].cols;
        return (struct step){ qs_cpu_linear_forms, qs_cpu_linear_has_forms(op) ? 2.0 * (double)cols : 0,
                              { span(op->u.linear.in, cols) } };
    }
    case QS_OP_ROPE:
        return (struct step){ qs_cpu_rope, 3.0 * (double)(op->u.rope.heads * op->u.rope.n_rot),
                              { span(op->u.rope.x, op->u.rope.heads * op->u.rope.dim), span(op->u.rope.angle, op->u.rope.n_rot) } };
    case QS_OP_ROTATE: {
        const size_t width = op->u.rotate.heads * op->u.rotate.dim;
        return (struct step){ qs_cpu_rotate, 8.0 * (double)width, { span(op->u.rotate.x, width) } };
    }
    case QS_OP_APPEND: {
        const size_t k = op->u.append.n_kv * op->u.append.dk, v = op->u.append.n_kv * op->u.append.dv;
        const double each = op->u.append.kc.type == QS_F32 || op->u.append.kc.type == QS_F16 ? 1 : 8;
        return (struct step){ qs_cpu_append, each * (double)(k + v), { span(op->u.append.k, k), span(op->u.append.v, v),
                                                                      whole(op->u.append.kc.buf), whole(op->u.append.vc.buf) } };
    }
    case QS_OP_GLU: {
        const size_t cols = op->u.glu.cols;
        return (struct step){ qs_cpu_glu, 8.0 * (double)cols, { span(op->u.glu.gate, cols), span(op->u.glu.up, cols),
                                                                span(op->u.glu.out, cols) } };
    }
    case QS_OP_ADD: {
        const size_t cols = op->u.add.cols;
        return (struct step){ qs_cpu_add, (double)cols, { span(op->u.add.x, cols), span(op->u.add.y, cols),
                                                          span(op->u.add.gate, 1) } };
    }
    case QS_OP_SOFTCAP: {
        const size_t cols = op->u.softcap.cols;
        return (struct step){ qs_cpu_softcap, 8.0 * (double)cols, { span(op->u.softcap.x, cols) } };
    }
    case QS_OP_ATTEND: case QS_OP_EXPERTS: case QS_OP_TAP: case QS_OP_KINDS: break;
    }
    return (struct step){ 0 };
}

/* ---- what fits */

static bool one_row(const struct span *s) { return s->stride > 0 && s->at % s->stride + s->width <= s->stride; }

/* Other memory, or token by token the same row. */
static bool apart(const struct span *a, const struct span *b)
{
    if (!a->buf || a->buf != b->buf)
        return true;
    return one_row(a) && one_row(b) && a->stride == b->stride && a->at / a->stride == b->at / b->stride;
}

static bool all_apart(const struct step *a, const struct step *b)
{
    for (int i = 0; i < SPANS; i++)
        for (int k = 0; k < SPANS; k++)
            if (!apart(&a->span[i], &b->span[k]))
                return false;
    return true;
}

size_t qs_cpu_fits(const struct qs_op *op, size_t left)
{
    struct step step[STEPS_MAX];
    size_t n = 0;
    while (n < left && n < STEPS_MAX && op[n].n == op->n) {
        step[n] = step_of(&op[n]);
        bool fits = step[n].fn != NULL;
        for (size_t i = 0; fits && i < n && op->n > 1; i++) /* one token alone sees no other */
            fits = all_apart(&step[i], &step[n]);
        if (!fits)
            break;
        if (op[n++].kind == QS_OP_LINEAR)
            break;
    }
    return n;
}

/* ---- running */

struct run {
    const struct qs_cpu *c;
    const struct qs_op *op;
    size_t n;
    qs_cpu_step_fn *fn[STEPS_MAX];
};

static void some_tokens(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct run *r = ctx;
    for (size_t t = begin; t < end; t++)
        for (size_t i = 0; i < r->n; i++)
            r->fn[i](r->c, &r->op[i], t, thread);
}

void qs_cpu_steps(const struct qs_cpu *c, const struct qs_op *op, size_t n)
{
    struct run r = { .c = c, .op = op, .n = n };
    double cost = 0;
    for (size_t i = 0; i < n; i++) {
        const struct step s = step_of(&op[i]);
        r.fn[i] = s.fn;
        cost += s.cost;
    }
    if (cost > 0)
        qs_cpu_run(c, op->n, op->n / (c->threads * 4u) + 1, cost * (double)op->n, some_tokens, &r);
}
