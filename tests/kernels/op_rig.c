/* op_rig.c - see op_rig.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/level.h"
#include "tests/kernels/op_rig.h"
#include "tests/lib/qs_test.h"

static char stand_in[RIG_BUFFERS];

struct qs_buf *rig_buf(int i) { return (struct qs_buf *)(void *)&stand_in[i]; }

struct qs_view rig_view(int buf, size_t at, size_t stride) { return (struct qs_view){ rig_buf(buf), at, stride }; }

/* The operation on tokens [t, t + n) with the true buffers. */
struct bound {
    struct qs_buf **buf;
    size_t t;
};

static void bind(struct qs_buf **p, const struct bound *b)
{
    if (*p)
        *p = b->buf[(char *)*p - stand_in];
}

static void view(struct qs_view *v, const struct bound *b)
{
    bind(&v->buf, b);
    v->at += b->t * v->stride;
}

static void part_of(struct qs_op *op, const struct bound *b)
{
    switch (op->kind) {
    case QS_OP_EMBED: op->u.embed.tokens += b->t; view(&op->u.embed.out, b); break;
    case QS_OP_NORM: view(&op->u.norm.in, b); view(&op->u.norm.out, b); break;
    case QS_OP_LINEAR:
        view(&op->u.linear.in, b);
        for (size_t i = 0; i < op->u.linear.n_mats && i < QS_LINEAR_MAX; i++)
            view(&op->u.linear.out[i], b);
        break;
    case QS_OP_ROPE: view(&op->u.rope.x, b); view(&op->u.rope.angle, b); break;
    case QS_OP_ROTATE: view(&op->u.rotate.x, b); break;
    case QS_OP_APPEND:
        view(&op->u.append.k, b);
        view(&op->u.append.v, b);
        bind(&op->u.append.kc.buf, b);
        bind(&op->u.append.vc.buf, b);
        op->u.append.pos += b->t;
        break;
    case QS_OP_ATTEND:
        view(&op->u.attend.q, b);
        view(&op->u.attend.out, b);
        bind(&op->u.attend.kc.buf, b);
        bind(&op->u.attend.vc.buf, b);
        op->u.attend.pos += b->t;
        break;
    case QS_OP_GLU: view(&op->u.glu.gate, b); view(&op->u.glu.up, b); view(&op->u.glu.out, b); break;
    case QS_OP_ADD: view(&op->u.add.x, b); view(&op->u.add.y, b); view(&op->u.add.gate, b); break;
    case QS_OP_SOFTCAP: view(&op->u.softcap.x, b); break;
    case QS_OP_EXPERTS: view(&op->u.experts.in, b); view(&op->u.experts.out, b); break;
    case QS_OP_TAP: view(&op->u.tap.in, b); break;
    default: break;
    }
}

static void load(const struct rig *r, struct qs_device *d, struct qs_buf *buf[RIG_BUFFERS])
{
    for (int i = 0; i < RIG_BUFFERS; i++) {
        buf[i] = NULL;
        if (!r->data[i])
            continue;
        assert_int_equal(d->buf_new(d, r->floats[i] * 4, &buf[i], NULL), QS_OK);
        assert_int_equal(d->buf_write(d, buf[i], 0, r->data[i], r->floats[i] * 4, NULL), QS_OK);
    }
}

/* Cuts of `step` tokens (the first one token shorter or longer), alternating between one submit for all and one each. */
static void run(const struct rig *r, struct qs_pool *pool, size_t step, float *out[RIG_BUFFERS])
{
    struct qs_device *d;
    struct qs_buf *buf[RIG_BUFFERS];
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_cpu_device_new(pool, &d, NULL), QS_OK);
    load(r, d, buf);
    assert_int_equal(d->begin(d, NULL), QS_OK);
    for (size_t t = 0, n; t < r->op.n; t += n) {
        struct qs_op op = r->op;
        const struct bound b = { buf, t };
        n = t == 0 && step > 2 && step < r->op.n ? step - 1 : step;
        n = r->op.n - t < n ? r->op.n - t : n;
        op.n = n;
        part_of(&op, &b);
        if (d->record(d, &op, &e) != QS_OK)
            fail_msg("%s", e.msg);
        if (step % 2) {
            assert_int_equal(d->submit(d, QS_PRIO_JOB, NULL), QS_OK);
            assert_int_equal(d->begin(d, NULL), QS_OK);
        }
    }
    assert_int_equal(d->submit(d, QS_PRIO_INTERACTIVE, NULL), QS_OK);
    const uint64_t held = d->memory(d);
    for (int i = 0; i < RIG_BUFFERS; i++) {
        if (!buf[i])
            continue;
        assert_true(held >= r->floats[i] * 4);
        assert_int_equal(d->buf_read(d, buf[i], 0, out[i], r->floats[i] * 4, NULL), QS_OK);
        d->buf_free(d, buf[i]);
    }
    d->buf_free(d, NULL);
    d->free(d);
}

static void make_room(const struct rig *r, float *out[RIG_BUFFERS])
{
    for (int i = 0; i < RIG_BUFFERS; i++) {
        out[i] = r->data[i] ? malloc(r->floats[i] * 4) : NULL;
        assert_true(out[i] || !r->data[i]);
    }
}

void rig_run(struct rig *r)
{
    make_room(r, r->want);
    qs_level_limit(QS_LEVEL_REF);
    run(r, NULL, r->op.n, r->want);
    qs_level_limit(QS_LEVEL_COUNT);
}

static void compare(const struct rig *r, float *got[RIG_BUFFERS], const char *name, unsigned threads, size_t step)
{
    for (int i = 0; i < RIG_BUFFERS; i++)
        for (size_t k = 0; r->data[i] && k < r->floats[i]; k++)
            if (memcmp(&got[i][k], &r->want[i][k], 4) != 0)
                fail_msg("%s: buffer %d, float %zu is %g at %s with %u threads in steps of %zu, not %g", name, i, k,
                         got[i][k], qs_level_name(qs_level_now()), threads, step, r->want[i][k]);
}

void rig_same(const struct rig *r, const char *name)
{
    static const unsigned threads[] = { 0, 1, 2, 3, 5 };
    const size_t steps[] = { r->op.n, 1, 2, 5, 8 };
    float *got[RIG_BUFFERS];
    make_room(r, got);
    for (int l = QS_LEVEL_COUNT - 1; l >= 0; l--) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        qs_level_limit((enum qs_level)l);
        for (size_t i = 0; i < 5; i++) {
            struct qs_pool *pool = NULL;
            if (QS_TEST_SANITIZED && i % 3 != 0) /* the rest has the same steps, only more of them */
                continue;
            if (threads[i])
                assert_int_equal(qs_pool_new(threads[i], &pool, NULL), QS_OK);
            for (size_t k = 0; k < 5; k++) {
                const size_t step = steps[(k + i) % 5];
                if (k > 1 && (l == QS_LEVEL_REF || QS_TEST_SANITIZED)) /* slow: two cuts for each number of threads */
                    break;
                run(r, pool, step, got);
                compare(r, got, name, threads[i], step);
            }
            qs_pool_free(pool);
        }
    }
    qs_level_limit(QS_LEVEL_COUNT);
    for (int i = 0; i < RIG_BUFFERS; i++)
        free(got[i]);
}

int rig_refused(const struct rig *r)
{
    struct qs_device *d;
    struct qs_buf *buf[RIG_BUFFERS];
    struct qs_err e = QS_ERR_INIT;
    struct qs_op op = r->op;
    assert_int_equal(qs_cpu_device_new(NULL, &d, NULL), QS_OK);
    load(r, d, buf);
    part_of(&op, &(struct bound){ buf, 0 });
    const int rc = d->record(d, &op, &e);
    assert_true(rc == QS_OK || e.msg[0] != '\0');
    for (int i = 0; i < RIG_BUFFERS; i++)
        d->buf_free(d, buf[i]);
    d->free(d);
    return rc;
}

void rig_free(struct rig *r)
{
    for (int i = 0; i < RIG_BUFFERS; i++) {
        free(r->data[i]);
        free(r->want[i]);
    }
}
