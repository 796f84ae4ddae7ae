/* bench_attention.c - attention of a long prompt, by itself: one layer's heads over a cache of either type.
 *
 * Owns a device of its own. The prompt goes through in batches, as in a model. The operations counted are those of the
 * causal half, two for each number of a key and of a value: values on float32, keys on int8 where the cache is quantized
 * (queries become integers then, kernels/cpu_attend.c), else on float32.
 */
#include "core/eval/bench_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { BATCH = 256 };

struct attention {
    struct qs_bench_run_state *s;
    const struct qs_config *config;
    size_t n_head, n_kv, n;
    struct qs_device *d;
    struct qs_buf *in, *out, *k, *v;
    struct qs_cache kc, vc;
};

static int make_cache(struct attention *a, int type, struct qs_buf **buf, size_t head, struct qs_cache *c,
                      struct qs_err *e)
{
    const size_t row = qs_format_row_bytes(qs_format_by_id(type), a->n_kv * head);
    *c = (struct qs_cache){ .row_bytes = row, .type = type };
    const int rc = a->d->buf_new(a->d, row * a->n, buf, e);
    c->buf = *buf;
    return rc;
}

/* Made-up queries, which keys and values are taken from as well. */
static int make_input(struct attention *a, struct qs_err *e)
{
    const struct qs_config *c = a->config;
    const size_t width = a->n_head * c->dk + a->n_kv * (c->dk + c->dv), floats = BATCH * width;
    float *x = qs_malloc(floats * sizeof *x);
    uint32_t state = 7;
    if (!x)
        return qs_fail_mem(e, floats * sizeof *x, "made-up queries");
    for (size_t i = 0; i < floats; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = (float)(state >> 8) / 0x1p24f - 0.5f;
    }
    int rc = a->d->buf_new(a->d, floats * sizeof *x, &a->in, e);
    rc = rc ? rc : a->d->buf_write(a->d, a->in, 0, x, floats * sizeof *x, e);
    qs_free(x);
    return rc ? rc : a->d->buf_new(a->d, BATCH * a->n_head * c->dv * sizeof *x, &a->out, e);
}

static int run_op(struct attention *a, const struct qs_op *op, struct qs_err *e)
{
    int rc = a->d->begin(a->d, e);
    rc = rc ? rc : a->d->record(a->d, op, e);
    return rc ? rc : a->d->submit(a->d, QS_PRIO_JOB, e);
}

static int fill(struct attention *a, struct qs_err *e)
{
    const struct qs_config *c = a->config;
    const size_t stride = a->n_head * c->dk + a->n_kv * (c->dk + c->dv);
    int rc = QS_OK;
    for (size_t pos = 0; rc == QS_OK && pos < a->n; pos += BATCH) {
        const size_t n = a->n - pos < BATCH ? a->n - pos : BATCH;
        const struct qs_op op = { .kind = QS_OP_APPEND, .n = n,
                                  .u.append = { { a->in, a->n_head * c->dk, stride },
                                                { a->in, a->n_head * c->dk + a->n_kv * c->dk, stride }, a->kc, a->vc,
                                                a->n_kv, c->dk, c->dv, pos } };
        rc = run_op(a, &op, e);
    }
    return rc;
}

static int attend_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct attention *a = ctx;
    const struct qs_config *c = a->config;
    const size_t stride = a->n_head * c->dk + a->n_kv * (c->dk + c->dv);
    const double start = qs_now();
    int rc = QS_OK;
    for (size_t pos = 0; rc == QS_OK && pos < a->n; pos += BATCH) {
        const size_t n = a->n - pos < BATCH ? a->n - pos : BATCH;
        struct qs_op op = { .kind = QS_OP_ATTEND, .n = n };
        op.u.attend.q = (struct qs_view){ a->in, 0, stride };
        op.u.attend.out = (struct qs_view){ a->out, 0, a->n_head * c->dv };
        op.u.attend.kc = a->kc;
        op.u.attend.vc = a->vc;
        op.u.attend.n_head = a->n_head;
        op.u.attend.n_kv = a->n_kv;
        op.u.attend.dk = c->dk;
        op.u.attend.dv = c->dv;
        op.u.attend.pos = pos;
        op.u.attend.scale = 1 / sqrtf((float)c->dk);
        rc = run_op(a, &op, e);
        rc = rc ? rc : qs_job_step(a->s->job, 0, e);
    }
    *seconds = qs_now() - start;
    return rc;
}

static int with_cache(struct attention *a, int type, struct qs_err *e)
{
    const struct qs_config *c = a->config;
    struct qs_bench_number out = { .part = QS_BENCH_ATTENTION, .size = a->n, .unit = "Gop/s" };
    struct qs_bench_try t = { .ctx = a, .once = attend_once };
    const double pairs = (double)a->n * ((double)a->n + 1) / 2 * (double)a->n_head;
    const double of_keys = 2 * pairs * (double)c->dk, of_values = 2 * pairs * (double)c->dv;
    int rc = make_cache(a, type, &a->k, c->dk, &a->kc, e);
    rc = rc ? rc : make_cache(a, type, &a->v, c->dv, &a->vc, e);
    rc = rc ? rc : fill(a, e);
    snprintf(out.subject, sizeof out.subject, "%s", qs_type_name(type));
    snprintf(out.detail, sizeof out.detail, "%zu heads of %zu, %zu of keys", a->n_head, c->dk, a->n_kv);
    snprintf(out.how, sizeof out.how, "one layer, batches of %d tokens, the causal half counted", BATCH);
    t.amount = (of_keys + of_values) * 1e-9;
    t.work.need[QS_LIMIT_F32] = of_values;
    t.work.need[qs_format_by_id(type)->kind == QS_KIND_FLOAT ? QS_LIMIT_F32 : QS_LIMIT_INT8] += of_keys;
    rc = rc ? rc : qs_bench_take(a->s, &t, &out, e);
    a->d->buf_free(a->d, a->k);
    a->d->buf_free(a->d, a->v);
    a->k = a->v = NULL;
    return rc;
}

int qs_bench_attention(struct qs_bench_run_state *s, struct qs_err *e)
{
    struct attention a = { .s = s };
    struct qs_config *config;
    int rc = qs_config_new(s->model, &config, e);
    if (rc != QS_OK)
        return rc;
    a.config = config;
    a.n_head = config->layer[0].n_head;
    a.n_kv = config->layer[0].n_kv;
    for (size_t i = 0; i < s->args->n_prefill; i++)
        a.n = s->args->prefill[i] > a.n ? s->args->prefill[i] : a.n;
    rc = a.n_head ? qs_cpu_device_new(s->args->pool, &a.d, e) : QS_OK;
    if (!rc && a.d) {
        rc = make_input(&a, e);
        rc = rc ? rc : with_cache(&a, QS_F16, e);
        if (!rc && config->dk % 32 == 0 && config->dv % 32 == 0)
            rc = with_cache(&a, QS_Q8_0, e);
        a.d->buf_free(a.d, a.in);
        a.d->buf_free(a.d, a.out);
        a.d->free(a.d);
    }
    qs_config_free(config);
    return rc;
}
