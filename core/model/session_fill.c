/* session_fill.c - a long timeline without computing it, to measure what comes behind: keys and values are made up.
 *
 * Goes the way of the forward pass, the operation that appends to the cache, so that the cache looks as it always does.
 */
#include <string.h>

#include "base/mem.h"
#include "core/model/session_internal.h"

/* Rows of small numbers that differ, in the buffer where keys and values are computed. */
static int make_up(struct qs_session *s, size_t n, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const size_t floats = n * s->b.qkv.stride;
    float *x = qs_malloc(floats * sizeof *x);
    uint32_t state = 1;
    if (!x)
        return qs_fail_mem(e, floats * sizeof *x, "made-up keys and values");
    for (size_t i = 0; i < floats; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = (float)(state >> 8) / 0x1p24f - 0.5f;
    }
    const int rc = d->buf_write(d, s->b.qkv.buf, s->b.qkv.at * sizeof *x, x, floats * sizeof *x, e);
    qs_free(x);
    return rc;
}

static int append(struct qs_session *s, size_t n, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_config *c = s->x->config;
    int rc = d->begin(d, e);
    for (size_t l = 0; rc == QS_OK && l < c->n_layer; l++) {
        struct qs_view k = s->b.qkv, v = s->b.qkv;
        v.at += c->layer[l].n_kv * c->dk;
        const struct qs_op op = { .kind = QS_OP_APPEND, .n = n,
                                  .u.append = { k, v, s->kc[l], s->vc[l], c->layer[l].n_kv, c->dk, c->dv, s->length } };
        rc = d->record(d, &op, e);
    }
    return rc == QS_OK ? d->submit(d, s->x->args.prio, e) : rc;
}

int qs_session_fill(struct qs_session *s, size_t n, struct qs_err *e)
{
    const size_t before = s->length, most = s->x->args.batch;
    if (n > s->args.n_ctx - s->length)
        return qs_fail(e, QS_ELIMIT, "the context is full: %zu of %zu tokens are used, %zu more do not fit", s->length,
                       s->args.n_ctx, n);
    int rc = n ? make_up(s, n < most ? n : most, e) : QS_OK;
    for (size_t at = 0; rc == QS_OK && at < n; at += most) {
        const size_t now = n - at < most ? n - at : most;
        rc = append(s, now, e);
        memset(s->token + s->length, 0, now * sizeof *s->token);
        s->length += now;
    }
    if (rc != QS_OK)
        s->length = before;
    return rc;
}
