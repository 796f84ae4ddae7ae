/* cpu_device.c - the CPU as a device: buffers, recording, scratch memory, submit.
 *
 * Owns the list of recorded operations and the scratch memory, which grows to the largest need met when operations are
 * recorded; submit allocates nothing. Recording refuses operations whose parts do not fit together (cpu_check.c). What
 * the operations do is in cpu_rows.c, cpu_linear.c, cpu_attend.c, cpu_experts.c, cpu_tap.c; what goes together, cpu_fuse.c.
 */
#include <string.h>

#include "base/mem.h"
#include "kernels/cpu_device.h"

#define WORTH_A_REGION 30e3 /* float operations: about what waking the other threads costs */

static const struct {
    qs_cpu_run_fn *run;   /* NULL: its steps are all there is to do */
    qs_cpu_need_fn *need; /* NULL: no scratch memory */
} runners[QS_OP_KINDS] = {
    [QS_OP_LINEAR] = { qs_cpu_linear, qs_cpu_linear_need },
    [QS_OP_APPEND] = { NULL, qs_cpu_append_need },
    [QS_OP_ATTEND] = { qs_cpu_attend, qs_cpu_attend_need },
    [QS_OP_EXPERTS] = { qs_cpu_experts, qs_cpu_experts_need },
    [QS_OP_TAP] = { qs_cpu_tap, NULL },
};

static struct qs_cpu *cpu_of(struct qs_device *d) { return (struct qs_cpu *)d; }

void qs_cpu_run(const struct qs_cpu *c, size_t n, size_t grain, double work, qs_work_fn *fn, void *ctx)
{
    if (!c->pool || c->threads < 2 || n <= grain || work < WORTH_A_REGION)
        fn(ctx, 0, n, 0);
    else
        qs_pool_run(c->pool, c->prio, n, grain, fn, ctx);
}

/* ---- buffers */

static int buf_new(struct qs_device *d, size_t bytes, struct qs_buf **out, struct qs_err *e)
{
    struct qs_buf *b = qs_calloc(1, sizeof *b);
    *out = NULL;
    if (b)
        b->p = qs_alloc_large(bytes ? bytes : 1);
    if (!b || !b->p) {
        qs_free(b);
        return qs_fail_mem(e, bytes, "a buffer of the forward pass");
    }
    memset(b->p, 0, bytes);
    b->bytes = bytes;
    cpu_of(d)->buffers += bytes;
    *out = b;
    return QS_OK;
}

static void buf_free(struct qs_device *d, struct qs_buf *b)
{
    if (!b)
        return;
    cpu_of(d)->buffers -= b->bytes;
    qs_free(b->p);
    qs_free(b);
}

static int check_range(const struct qs_buf *b, size_t at, size_t bytes, struct qs_err *e)
{
    if (b && at <= b->bytes && bytes <= b->bytes - at)
        return QS_OK;
    return qs_fail(e, QS_EINVAL, "bytes %zu to %zu are not all in a buffer of %zu", at, at + bytes, b ? b->bytes : 0);
}

static int buf_write(struct qs_device *d, struct qs_buf *b, size_t at, const void *from, size_t bytes, struct qs_err *e)
{
    (void)d;
    int rc = check_range(b, at, bytes, e);
    if (rc == QS_OK && bytes > 0)
        memcpy(b->p + at, from, bytes);
    return rc;
}

static int buf_read(struct qs_device *d, const struct qs_buf *b, size_t at, void *to, size_t bytes, struct qs_err *e)
{
    (void)d;
    int rc = check_range(b, at, bytes, e);
    if (rc == QS_OK && bytes > 0)
        memcpy(to, b->p + at, bytes);
    return rc;
}

/* ---- recording */

static int begin(struct qs_device *d, struct qs_err *e)
{
    (void)e;
    cpu_of(d)->n_ops = 0;
    return QS_OK;
}

/* Replaces *p by `bytes` fresh bytes when it has fewer; what it held is lost. */
static int enlarge(uint8_t **p, size_t *have, size_t bytes, size_t times, struct qs_err *e)
{
    uint64_t all;
    if (bytes <= *have)
        return QS_OK;
    uint8_t *fresh = qs_mul_u64(bytes, times, &all) ? qs_alloc_large((size_t)all) : NULL;
    if (!fresh)
        return qs_fail_mem(e, bytes, "the forward pass");
    qs_free(*p);
    *p = fresh;
    *have = bytes;
    return QS_OK;
}

static int record(struct qs_device *d, const struct qs_op *op, struct qs_err *e)
{
    struct qs_cpu *c = cpu_of(d);
    struct qs_cpu_need need = { 0, 0 };
    int rc = qs_cpu_check(op, e);
    if (rc != QS_OK)
        return rc;
    if (runners[op->kind].need)
        runners[op->kind].need(op, &need);
    rc = enlarge(&c->area, &c->area_bytes, qs_cpu_round(need.area), 1, e);
    if (rc == QS_OK)
        rc = enlarge(&c->local, &c->local_bytes, qs_cpu_round(need.local), c->threads, e);
    if (rc != QS_OK)
        return rc;
    if (!qs_grow(&c->op, &c->cap_ops, c->n_ops + 1, sizeof *c->op))
        return qs_fail_mem(e, (c->n_ops + 1) * sizeof *c->op, "the list of operations");
    c->op[c->n_ops++] = *op;
    return QS_OK;
}

static int submit(struct qs_device *d, enum qs_prio prio, struct qs_err *e)
{
    struct qs_cpu *c = cpu_of(d);
    (void)e;
    c->prio = prio;
    const bool entered = qs_pool_enter(c->pool, prio);
    for (size_t i = 0; i < c->n_ops;) {
        const size_t steps = qs_cpu_fits(&c->op[i], c->n_ops - i);
        if (steps > 0)
            qs_cpu_steps(c, &c->op[i], steps);
        i += steps > 0 ? steps : 1;
        if (runners[c->op[i - 1].kind].run)
            runners[c->op[i - 1].kind].run(c, &c->op[i - 1]);
    }
    qs_pool_leave(c->pool, entered);
    c->n_ops = 0;
    return QS_OK;
}

static uint64_t memory(const struct qs_device *d)
{
    const struct qs_cpu *c = (const struct qs_cpu *)d;
    return sizeof *c + c->buffers + c->area_bytes + (uint64_t)c->local_bytes * c->threads + c->cap_ops * sizeof *c->op;
}

static void free_device(struct qs_device *d)
{
    struct qs_cpu *c = cpu_of(d);
    if (!c)
        return;
    qs_free(c->area);
    qs_free(c->local);
    qs_free(c->op);
    qs_free(c);
}

int qs_cpu_device_new(struct qs_pool *pool, struct qs_device **out, struct qs_err *e)
{
    struct qs_cpu *c = qs_calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return qs_fail_mem(e, sizeof *c, "the CPU device");
    c->base = (struct qs_device){ "cpu", buf_new, buf_free, buf_write, buf_read, begin, record, submit, memory,
                                  free_device };
    c->pool = pool;
    c->threads = qs_pool_threads(pool);
    *out = &c->base;
    return QS_OK;
}
