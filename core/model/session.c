/* session.c - one timeline of a running model: tokens, KV cache, working buffers; steps, and a step in pieces.
 *
 * Owns all memory of one device that a step needs, made once. Refuses tokens outside the vocabulary and feeds that do
 * not fit the context before anything is computed; after a failure the timeline is what it was (cache rows behind its
 * end mean nothing).
 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/session_internal.h"

#define CONTEXT_DEFAULT_MAX 4096
#define HEAD_ROWS 32 /* logits computed together */

/* ---- sizes ---- */

static size_t context_of(const struct qs_engine *x, const struct qs_session_args *args)
{
    const size_t own = x->config->n_ctx_train;
    return args->n_ctx ? args->n_ctx : own < CONTEXT_DEFAULT_MAX ? own : CONTEXT_DEFAULT_MAX;
}

static size_t two_power_in(size_t n) { return n & (~n + 1); }

/* Floats of each buffer's row, in the order of struct qs_forward_buffers. */
enum { B_X, B_H, B_Y, B_Z, B_QKV, B_A, B_FF, B_G, B_ANGLE0, B_ANGLE1, B_COUNT };

static void row_floats(const struct qs_config *c, size_t out[B_COUNT])
{
    const size_t ff = c->max_ff > c->ff_shared ? c->max_ff : c->ff_shared;
    out[B_X] = out[B_H] = out[B_Y] = c->n_embd;
    out[B_Z] = c->n_expert ? c->n_embd : 0;
    out[B_QKV] = c->max_head * c->dk + c->max_kv * (c->dk + c->dv);
    out[B_A] = c->max_head * c->dv;
    out[B_FF] = 2 * ff;
    out[B_G] = c->n_expert ? 1 : 0;
    out[B_ANGLE0] = out[B_ANGLE1] = c->rope[0].n_rot;
}

static uint64_t buffer_floats(const struct qs_engine *x)
{
    size_t row[B_COUNT];
    uint64_t sum = 0;
    row_floats(x->config, row);
    for (size_t i = 0; i < B_COUNT; i++)
        sum += row[i];
    const size_t head = x->args.batch < HEAD_ROWS ? x->args.batch : HEAD_ROWS;
    return sum * x->args.batch + (uint64_t)x->config->n_vocab * head;
}

static uint64_t cache_bytes(const struct qs_engine *x, size_t layer, int type, size_t head, size_t n_ctx)
{
    const struct qs_format *f = qs_format_by_id(type);
    return (uint64_t)n_ctx * qs_format_row_bytes(f, x->config->layer[layer].n_kv * head);
}

static int check_type(const struct qs_engine *x, int type, size_t head, const char *what, struct qs_err *e)
{
    if (type != QS_F32 && type != QS_F16 && type != QS_Q8_0 && type != QS_Q4_0)
        return qs_fail(e, QS_EINVAL, "the KV cache can be kept in F32, F16, Q8_0 or Q4_0, not in %s", qs_type_name(type));
    const unsigned block = qs_format_by_id(type)->block;
    if (head % block != 0)
        return qs_fail(e, QS_EINVAL, "%s: %s of heads of %zu floats cannot be cached in %s (blocks of %u): take F16",
                       x->model->path, what, head, qs_type_name(type), block);
    return QS_OK;
}

uint64_t qs_session_need(const struct qs_engine *x, const struct qs_session_args *args)
{
    const struct qs_config *c = x->config;
    const size_t n_ctx = context_of(x, args);
    uint64_t bytes = buffer_floats(x) * sizeof(float) + n_ctx * sizeof(int32_t);
    if (!qs_format_by_id(args->type_k) || !qs_format_by_id(args->type_v))
        return bytes;
    for (size_t l = 0; l < c->n_layer; l++)
        bytes += cache_bytes(x, l, args->type_k, c->dk, n_ctx) + cache_bytes(x, l, args->type_v, c->dv, n_ctx);
    return bytes;
}

/* ---- making ---- */

static int new_buffers(struct qs_session *s, struct qs_err *e)
{
    const struct qs_engine *x = s->x;
    const size_t batch = x->args.batch;
    const uint64_t floats = buffer_floats(x);
    size_t row[B_COUNT], at = 0;
    int rc = x->device->buf_new(x->device, (size_t)floats * sizeof(float), &s->b.buf, e);
    if (rc != QS_OK)
        return rc;
    s->bytes += floats * sizeof(float);
    row_floats(x->config, row);
    struct qs_view *const view[B_COUNT] = { &s->b.x, &s->b.h, &s->b.y, &s->b.z, &s->b.qkv, &s->b.a, &s->b.ff, &s->b.g,
                                            &s->b.angle[0], &s->b.angle[1] };
    for (size_t i = 0; i < B_COUNT; i++) {
        *view[i] = (struct qs_view){ s->b.buf, at, row[i] };
        at += row[i] * batch;
    }
    s->b.logits = (struct qs_view){ s->b.buf, at, x->config->n_vocab };
    s->b.head_rows = batch < HEAD_ROWS ? batch : HEAD_ROWS;
    s->angles = qs_malloc(batch * x->config->rope[0].n_rot * sizeof(float));
    s->token = qs_malloc(s->args.n_ctx * sizeof *s->token);
    return s->angles && s->token ? QS_OK : qs_fail_mem(e, s->args.n_ctx * sizeof *s->token, "the tokens of a session");
}

static int new_cache(struct qs_session *s, size_t layer, struct qs_err *e)
{
    const struct qs_engine *x = s->x;
    const struct { struct qs_cache *c; int type; size_t head; } kv[] = {
        { &s->kc[layer], s->args.type_k, x->config->dk }, { &s->vc[layer], s->args.type_v, x->config->dv } };
    for (size_t i = 0; i < 2; i++) {
        const uint64_t bytes = cache_bytes(x, layer, kv[i].type, kv[i].head, s->args.n_ctx);
        int rc = bytes > SIZE_MAX / 2 ? qs_fail_mem(e, bytes, "a KV cache")
                                      : x->device->buf_new(x->device, (size_t)bytes, &kv[i].c->buf, e);
        if (rc != QS_OK)
            return rc;
        kv[i].c->type = kv[i].type;
        kv[i].c->row_bytes = (size_t)(bytes / s->args.n_ctx);
        s->bytes += bytes;
    }
    return QS_OK;
}

static struct qs_forward step_of(const struct qs_session *s, size_t pos, size_t n)
{
    return (struct qs_forward){ s->x, &s->b, s->kc, s->vc, s->rotate_k, s->rotate_v, s->tap, s->n_taps, pos, n };
}

/* Which divisors of RoPE's frequencies are in force: those for long contexts, once the session is longer than the
 * model's original one. */
static void choose_factors(struct qs_session *s)
{
    const struct qs_engine *x = s->x;
    const bool far = s->args.n_ctx > x->config->rope[0].n_ctx_orig;
    const float *freqs = qs_engine_place(x, 0, QS_SLOT_ROPE_FREQS)->vec;
    s->factor[0] = freqs ? freqs : qs_engine_place(x, 0, far ? QS_SLOT_ROPE_LONG : QS_SLOT_ROPE_SHORT)->vec;
    s->factor[1] = x->config->arch->flags & QS_ARCH_WINDOW_PLAIN_ROPE ? NULL : s->factor[0];
}

/* A whole step is recorded, and forgotten: the device refuses now what it cannot run, and claims now what a step of the
 * widest batch at the end of the context needs. */
static int rehearse(struct qs_session *s, struct qs_err *e)
{
    const struct qs_engine *x = s->x;
    struct qs_device *d = x->device;
    const uint64_t before = d->memory(d);
    const size_t n = x->args.batch < s->args.n_ctx ? x->args.batch : s->args.n_ctx;
    const size_t rows = n < s->b.head_rows ? n : s->b.head_rows;
    const struct qs_forward f = step_of(s, s->args.n_ctx - n, n);
    int rc = d->begin(d, e);
    if (rc == QS_OK)
        rc = qs_forward_embed(&f, s->token, e);
    for (size_t l = 0; rc == QS_OK && l < x->config->n_layer; l++)
        rc = qs_forward_block(&f, l, e);
    if (rc == QS_OK)
        rc = qs_forward_head(&f, 0, rows, e);
    s->bytes += d->memory(d) - before;
    struct qs_err ignored;
    const int back = d->begin(d, rc == QS_OK ? e : &ignored);
    return rc == QS_OK ? back : rc;
}

int qs_session_new(struct qs_engine *x, const struct qs_session_args *args, struct qs_session **out, struct qs_err *e)
{
    *out = NULL;
    const struct qs_config *c = x->config;
    int rc = check_type(x, args->type_k, c->dk, "keys", e);
    if (rc == QS_OK)
        rc = check_type(x, args->type_v, c->dv, "values", e);
    if (rc == QS_OK && args->n_ctx > INT32_MAX)
        rc = qs_fail(e, QS_EINVAL, "a context of %zu tokens is too long", args->n_ctx);
    if (rc != QS_OK)
        return rc;
    struct qs_session *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a session");
    s->x = x;
    s->args = *args;
    s->args.n_ctx = context_of(x, args);
    if (args->rotate) {
        s->rotate_k = two_power_in(c->dk);
        s->rotate_v = two_power_in(c->dv);
    }
    s->kc = qs_calloc(c->n_layer, sizeof *s->kc);
    s->vc = qs_calloc(c->n_layer, sizeof *s->vc);
    rc = s->kc && s->vc ? new_buffers(s, e) : qs_fail_mem(e, c->n_layer * sizeof *s->kc, "a KV cache");
    for (size_t l = 0; rc == QS_OK && l < c->n_layer; l++)
        rc = new_cache(s, l, e);
    choose_factors(s);
    if (rc == QS_OK)
        rc = rehearse(s, e);
    if (rc != QS_OK)
        qs_session_free(s);
    else
        *out = s;
    return rc;
}

void qs_session_free(struct qs_session *s)
{
    if (!s)
        return;
    struct qs_device *d = s->x->device;
    for (size_t l = 0; l < s->x->config->n_layer; l++) {
        if (s->kc)
            d->buf_free(d, s->kc[l].buf);
        if (s->vc)
            d->buf_free(d, s->vc[l].buf);
    }
    d->buf_free(d, s->b.buf);
    qs_free(s->kc);
    qs_free(s->vc);
    qs_free(s->token);
    qs_free(s->angles);
    qs_free(s->hidden);
    qs_free(s);
}

/* ---- asking ---- */

size_t qs_session_context(const struct qs_session *s) { return s->args.n_ctx; }
size_t qs_session_length(const struct qs_session *s) { return s->length; }
const int32_t *qs_session_tokens(const struct qs_session *s) { return s->token; }
uint64_t qs_session_memory(const struct qs_session *s) { return s->bytes; }
struct qs_engine *qs_session_engine(const struct qs_session *s) { return s->x; }

void qs_session_keep(struct qs_session *s, size_t n)
{
    if (n < s->length)
        s->length = n;
}

void qs_session_watch(struct qs_session *s, qs_hidden_fn *fn, void *ctx)
{
    s->watch = fn;
    s->watch_ctx = ctx;
}

int qs_session_taps(struct qs_session *s, struct qs_tap_point *tap, size_t n, struct qs_err *e)
{
    for (size_t i = 0; i < n; i++) {
        const size_t cols = qs_engine_point_cols(s->x, tap[i].layer, tap[i].point);
        if (cols == 0 || cols != tap[i].tap.cols)
            return qs_fail(e, QS_EINVAL, "a tap of %zu columns does not fit layer %d, whose point has %zu", tap[i].tap.cols,
                           tap[i].layer, cols);
        const bool routed = qs_point_routed(tap[i].point);
        if (routed != (tap[i].tap.kind == QS_TAP_ROUTES))
            return qs_fail(e, QS_EINVAL, "layer %d: routed experts are tapped with their routes, and nothing else is",
                           tap[i].layer);
        for (size_t k = 0; routed && k < i; k++)
            if (tap[k].layer == tap[i].layer && tap[k].point == tap[i].point)
                return qs_fail(e, QS_EINVAL, "layer %d: one tap shows the routes of a point, not two", tap[i].layer);
    }
    s->tap = n ? tap : NULL;
    s->n_taps = n;
    return QS_OK;
}

/* ---- a step ---- */

static int check_tokens(const struct qs_session *s, const int32_t *token, size_t n, struct qs_err *e)
{
    for (size_t i = 0; i < n; i++)
        if (token[i] < 0 || (size_t)token[i] >= s->x->config->n_vocab)
            return qs_fail(e, QS_EINVAL, "token %zu is %" PRId32 ", the vocabulary has %zu", i, token[i],
                           s->x->config->n_vocab);
    return QS_OK;
}

static int write_angles(struct qs_session *s, size_t pos, size_t n, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_config *c = s->x->config;
    const size_t width = c->rope[0].n_rot;
    int rc = QS_OK;
    for (size_t set = 0; rc == QS_OK && set < 2; set++) {
        for (size_t t = 0; t < n; t++)
            qs_rope_angles(&c->rope[set], s->factor[set], pos + t, s->angles + t * width);
        rc = d->buf_write(d, s->b.buf, s->b.angle[set].at * sizeof(float), s->angles, n * width * sizeof(float), e);
    }
    return rc;
}

static int submit(struct qs_session *s, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    return d->submit(d, s->x->args.prio, e);
}

static int read_hidden(struct qs_session *s, size_t n, float *to, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    return d->buf_read(d, s->b.buf, s->b.x.at * sizeof(float), to, n * s->x->config->n_embd * sizeof(float), e);
}

/* Shows the watcher what lies in the hidden state, after what was recorded has been carried out, and goes on
 * recording. */
static int show(struct qs_session *s, const struct qs_forward *f, int layer, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    if (!s->watch)
        return QS_OK;
    if (!s->hidden)
        s->hidden = qs_malloc(s->x->args.batch * s->x->config->n_embd * sizeof(float));
    int rc = s->hidden ? submit(s, e) : qs_fail_mem(e, 0, "the hidden state");
    if (rc == QS_OK)
        rc = read_hidden(s, f->n, s->hidden, e);
    if (rc != QS_OK)
        return rc;
    s->watch(s->watch_ctx, layer, f->pos, f->n, s->hidden);
    return d->begin(d, e);
}

/* Logits of rows [first, n) of the hidden state; what is recorded so far goes along. */
static int heads(struct qs_session *s, const struct qs_forward *f, size_t first, float *logits, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const size_t vocab = s->x->config->n_vocab;
    int rc = QS_OK;
    if (first >= f->n)
        return submit(s, e);
    for (size_t at = first; rc == QS_OK && at < f->n; at += s->b.head_rows) {
        const size_t n = f->n - at < s->b.head_rows ? f->n - at : s->b.head_rows;
        if (at > first)
            rc = d->begin(d, e);
        if (rc == QS_OK)
            rc = qs_forward_head(f, at, n, e);
        if (rc == QS_OK)
            rc = submit(s, e);
        if (rc == QS_OK)
            rc = d->buf_read(d, s->b.buf, s->b.logits.at * sizeof(float), logits + (at - first) * vocab,
                             n * vocab * sizeof(float), e);
    }
    return rc;
}

/* One batch: n tokens at the end of the timeline, logits of rows [first, n). */
static int batch(struct qs_session *s, const int32_t *token, size_t n, size_t first, float *logits, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_forward f = step_of(s, s->length, n);
    int rc = write_angles(s, s->length, n, e);
    if (rc == QS_OK)
        rc = d->begin(d, e);
    if (rc == QS_OK)
        rc = qs_forward_embed(&f, token, e);
    if (rc == QS_OK)
        rc = show(s, &f, -1, e);
    for (size_t l = 0; rc == QS_OK && l < s->x->config->n_layer; l++) {
        rc = qs_forward_block(&f, l, e);
        if (rc == QS_OK)
            rc = show(s, &f, (int)l, e);
    }
    return rc == QS_OK ? heads(s, &f, first, logits, e) : rc;
}

int qs_session_feed(struct qs_session *s, const int32_t *token, size_t n, size_t from, float *logits, struct qs_err *e)
{
    const size_t before = s->length, most = s->x->args.batch, vocab = s->x->config->n_vocab;
    if (n > s->args.n_ctx - s->length)
        return qs_fail(e, QS_ELIMIT, "the context is full: %zu of %zu tokens are used, %zu more do not fit", s->length,
                       s->args.n_ctx, n);
    int rc = check_tokens(s, token, n, e);
    for (size_t at = 0; rc == QS_OK && at < n; at += most) {
        const size_t now = n - at < most ? n - at : most;
        const size_t first = from <= at ? 0 : from - at < now ? from - at : now;
        rc = batch(s, token + at, now, first, first < now ? logits + (at + first - from) * vocab : NULL, e);
        if (rc != QS_OK)
            break;
        memcpy(s->token + s->length, token + at, now * sizeof *token);
        s->length += now;
    }
    if (rc == QS_OK)
        rc = qs_engine_intact(s->x, e);
    if (rc != QS_OK)
        s->length = before;
    return rc;
}

/* ---- pieces ---- */

static int check_piece(const struct qs_session *s, size_t n, struct qs_err *e)
{
    return n > 0 && n <= s->x->args.batch
               ? QS_OK
               : qs_fail(e, QS_EINVAL, "a piece takes 1 to %zu tokens, not %zu", s->x->args.batch, n);
}

/* What was computed, unless what it was computed of was lost meanwhile. */
static int read_result(struct qs_session *s, size_t n, float *hidden, struct qs_err *e)
{
    int rc = read_hidden(s, n, hidden, e);
    return rc == QS_OK ? qs_engine_intact(s->x, e) : rc;
}

static int write_hidden(struct qs_session *s, size_t n, const float *from, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    return d->buf_write(d, s->b.buf, s->b.x.at * sizeof(float), from, n * s->x->config->n_embd * sizeof(float), e);
}

int qs_session_embed(struct qs_session *s, const int32_t *token, size_t n, float *hidden, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_forward f = step_of(s, 0, n);
    int rc = check_piece(s, n, e);
    if (rc == QS_OK)
        rc = check_tokens(s, token, n, e);
    if (rc == QS_OK)
        rc = d->begin(d, e);
    if (rc == QS_OK)
        rc = qs_forward_embed(&f, token, e);
    if (rc == QS_OK)
        rc = submit(s, e);
    return rc == QS_OK ? read_result(s, n, hidden, e) : rc;
}

/* What is recorded by a part of the forward pass for rows of the hidden state at positions pos ...; they become its
 * result. */
typedef int part_fn(const struct qs_forward *f, size_t layer, struct qs_err *e);

static int piece(struct qs_session *s, part_fn *part, size_t layer, size_t pos, size_t n, float *hidden, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_forward f = step_of(s, pos, n);
    int rc = check_piece(s, n, e);
    if (rc == QS_OK && (layer >= s->x->config->n_layer || pos > s->args.n_ctx || n > s->args.n_ctx - pos))
        rc = qs_fail(e, QS_EINVAL, "layer %zu, positions %zu to %zu: outside of the model or its context", layer, pos,
                     pos + n - 1);
    if (rc == QS_OK)
        rc = write_hidden(s, n, hidden, e);
    if (rc == QS_OK && part != qs_forward_ffn)
        rc = write_angles(s, pos, n, e);
    if (rc == QS_OK)
        rc = d->begin(d, e);
    if (rc == QS_OK)
        rc = part(&f, layer, e);
    if (rc == QS_OK)
        rc = submit(s, e);
    return rc == QS_OK ? read_result(s, n, hidden, e) : rc;
}

int qs_session_block(struct qs_session *s, size_t layer, size_t pos, size_t n, float *hidden, struct qs_err *e)
{
    return piece(s, qs_forward_block, layer, pos, n, hidden, e);
}

/* The final norm, and logits where they are wanted: without, it is there for a tap on the head's input. */
static int head(struct qs_session *s, const float *hidden, size_t n, float *logits, struct qs_err *e)
{
    struct qs_device *d = s->x->device;
    const struct qs_forward f = step_of(s, 0, n);
    int rc = check_piece(s, n, e);
    if (rc == QS_OK)
        rc = write_hidden(s, n, hidden, e);
    if (rc == QS_OK)
        rc = d->begin(d, e);
    if (rc == QS_OK && !logits)
        rc = qs_forward_last_norm(&f, 0, n, e);
    if (rc == QS_OK)
        rc = heads(s, &f, logits ? 0 : n, logits, e);
    return rc == QS_OK ? qs_engine_intact(s->x, e) : rc;
}

int qs_session_half(struct qs_session *s, size_t layer, enum qs_half half, size_t pos, size_t n, float *hidden,
                    struct qs_err *e)
{
    const size_t last = s->x->config->n_layer;
    if ((unsigned)half > QS_HALF_HEAD || (half == QS_HALF_HEAD && layer != last))
        return qs_fail(e, QS_EINVAL, "layer %zu has no half %d (the head's norm is layer %zu)", layer, (int)half, last);
    if (half == QS_HALF_HEAD)
        return head(s, hidden, n, NULL, e);
    return piece(s, half == QS_HALF_ATTN ? qs_forward_attn : qs_forward_ffn, layer, pos, n, hidden, e);
}

int qs_session_head(struct qs_session *s, const float *hidden, size_t n, float *logits, struct qs_err *e)
{
    return head(s, hidden, n, logits, e);
}
