/* stream.c - owns the hidden states of all windows between two halves of blocks, the session that they go through, and
 * the rows that taps see of one window; see stream.h.
 *
 * One thread. A half that should go on and failed on its way leaves states of both sides of it: the stream then refuses
 * to be run again.
 */
#include "core/calib/stream.h"

#include <string.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/calib/inputs.h"

enum { ALIGN = 64 };

struct qs_stream {
    struct qs_stream_args args;
    const struct qs_config *config;
    struct qs_session *session;
    float *memory;            /* of windows [0, kept) */
    size_t kept;
    struct qs_map *map;       /* of the others; NULL: there are none */
    float *mapped;
    float *batch;             /* states on their way */
    char *looks; size_t used; /* room of what taps see, from the first look on */
    bool spoilt;
};

/* ---- sizes ---- */

static uint64_t window_bytes(const struct qs_stream_args *a)
{
    return (uint64_t)a->n_ctx * qs_engine_config(a->engine)->n_embd * sizeof(float);
}

static size_t windows_kept(const struct qs_stream_args *a)
{
    const uint64_t one = window_bytes(a), fit = a->memory && one ? a->memory / one : a->n_windows;
    return fit < a->n_windows ? (size_t)fit : a->n_windows;
}

uint64_t qs_stream_spill(const struct qs_stream_args *a)
{
    return (a->n_windows - windows_kept(a)) * window_bytes(a);
}

/* Keys and values are kept as they are: what is calibrated is the weights. */
static struct qs_session_args session_args(const struct qs_stream_args *a)
{
    return (struct qs_session_args){ a->n_ctx, QS_F32, QS_F32, false };
}

/* Experts that a token goes through at a point, 0: the point is not one of routed experts. */
static size_t routes_of(const struct qs_config *c, enum qs_point p)
{
    return p == QS_POINT_EXPERTS_IN || p == QS_POINT_EXPERTS_DOWN ? c->n_expert_used : 0;
}

/* Bytes that a look at a point takes for one window. Rows of EXPERTS_IN are those of FFN_IN. */
static uint64_t tap_bytes(const struct qs_engine *x, int layer, enum qs_point p, size_t n_ctx)
{
    const size_t cols = qs_engine_point_cols(x, layer, p), used = routes_of(qs_engine_config(x), p);
    if (used == 0 || cols == 0)
        return (uint64_t)n_ctx * cols * sizeof(float);
    return (uint64_t)n_ctx * used * (2 * sizeof(uint32_t) + (p == QS_POINT_EXPERTS_DOWN ? cols * sizeof(float) : 0));
}

static uint64_t looks_bytes(const struct qs_stream_args *a)
{
    const size_t n_layer = qs_engine_config(a->engine)->n_layer;
    uint64_t most = 0;
    for (size_t l = 0; l <= n_layer; l++) {
        uint64_t half[3] = { 0 };
        for (int p = 0; p < QS_POINTS; p++)
            half[qs_point_half((enum qs_point)p)] += tap_bytes(a->engine, (int)l, (enum qs_point)p, a->n_ctx);
        for (size_t i = 0; i < 3; i++)
            most = half[i] > most ? half[i] : most;
    }
    return most + 3 * QS_POINTS * ALIGN;
}

uint64_t qs_stream_need(const struct qs_stream_args *a)
{
    const struct qs_session_args s = session_args(a);
    const uint64_t batch = qs_engine_batch(a->engine) * qs_engine_config(a->engine)->n_embd * sizeof(float);
    return sizeof(struct qs_stream) + qs_session_need(a->engine, &s) + windows_kept(a) * window_bytes(a) + batch +
           looks_bytes(a);
}

/* ---- life ---- */

static float *states(const struct qs_stream *s, size_t window)
{
    const size_t floats = s->args.n_ctx * s->config->n_embd;
    return window < s->kept ? s->memory + window * floats : s->mapped + (window - s->kept) * floats;
}

static int spill_new(struct qs_stream *s, uint64_t bytes, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    uint8_t *data = NULL;
    int rc = qs_scratch_dir(&dir, e);
    if (rc == QS_OK)
        rc = qs_map_scratch(dir.data, bytes, &s->map, &data, e);
    s->mapped = (float *)(void *)data;
    qs_str_free(&dir);
    return rc;
}

static int check_args(const struct qs_stream_args *a, struct qs_err *e)
{
    if (a->n_windows == 0 || a->n_ctx == 0)
        return qs_fail(e, QS_EINVAL, "%zu windows of %zu tokens: there is nothing to go through the model", a->n_windows,
                       a->n_ctx);
    uint64_t bytes = 0;
    if (!qs_mul_u64(window_bytes(a), a->n_windows, &bytes) || bytes > SIZE_MAX / 2)
        return qs_fail(e, QS_ELIMIT, "%zu windows of %zu tokens are more than can be kept", a->n_windows, a->n_ctx);
    return QS_OK;
}

/* Whether the states in the scratch file are what was written. */
static int intact(const struct qs_stream *s, struct qs_err *e) { return s->map ? qs_map_check(s->map, e) : QS_OK; }

static int embed(struct qs_stream *s, struct qs_err *e)
{
    const size_t n_ctx = s->args.n_ctx, most = qs_engine_batch(s->args.engine);
    int rc = QS_OK;
    for (size_t w = 0; rc == QS_OK && w < s->args.n_windows; w++)
        for (size_t pos = 0; rc == QS_OK && pos < n_ctx; pos += most)
            rc = qs_session_embed(s->session, s->args.token + w * n_ctx + pos, n_ctx - pos < most ? n_ctx - pos : most,
                                  states(s, w) + pos * s->config->n_embd, e);
    return rc == QS_OK ? intact(s, e) : rc;
}

static int make(struct qs_stream *s, struct qs_err *e)
{
    const struct qs_session_args session = session_args(&s->args);
    const size_t width = s->config->n_embd * sizeof(float);
    s->memory = qs_calloc(s->kept * s->args.n_ctx, width);
    s->batch = qs_calloc(qs_engine_batch(s->args.engine), width);
    if (!s->memory || !s->batch)
        return qs_fail_mem(e, (uint64_t)s->kept * s->args.n_ctx * width, "the hidden states of all windows");
    int rc = qs_stream_spill(&s->args) ? spill_new(s, qs_stream_spill(&s->args), e) : QS_OK;
    if (rc == QS_OK)
        rc = qs_session_new(s->args.engine, &session, &s->session, e);
    return rc == QS_OK ? embed(s, e) : rc;
}

int qs_stream_new(const struct qs_stream_args *a, struct qs_stream **out, struct qs_err *e)
{
    *out = NULL;
    int rc = check_args(a, e);
    if (rc != QS_OK)
        return rc;
    struct qs_stream *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a stream of windows");
    s->args = *a;
    s->config = qs_engine_config(a->engine);
    s->kept = windows_kept(a);
    rc = make(s, e);
    if (rc == QS_OK)
        *out = s;
    else
        qs_stream_free(s);
    return rc;
}

void qs_stream_free(struct qs_stream *s)
{
    if (!s)
        return;
    qs_session_free(s->session);
    qs_map_unref(s->map);
    qs_free(s->memory);
    qs_free(s->batch);
    qs_free(s->looks);
    qs_free(s);
}

/* ---- looking ---- */

/* The taps of one half of a block, for one window. */
struct look {
    struct qs_tap_point tap[QS_POINTS];
    size_t n;
    unsigned points;          /* those that are handed out */
};

static void look_end(struct qs_stream *s, struct look *k)
{
    if (s->session)
        (void)qs_session_taps(s->session, NULL, 0, NULL);
    k->n = 0;
}

/* The next bytes of the room, which all looks of the stream have in turn: fresh pages would be cleared for each. */
static void *part(struct qs_stream *s, size_t n)
{
    void *p = s->looks + s->used;
    s->used += (n + ALIGN - 1) / ALIGN * ALIGN;
    return p;
}

static int look_add(struct qs_stream *s, struct look *k, int layer, enum qs_point p, struct qs_err *e)
{
    const size_t cols = qs_engine_point_cols(s->args.engine, layer, p), used = routes_of(s->config, p);
    if (cols == 0)
        return QS_OK;
    if (!s->looks && !(s->looks = qs_alloc_aligned(ALIGN, looks_bytes(&s->args))))
        return qs_fail_mem(e, looks_bytes(&s->args), "the rows of a window");
    struct qs_tap_point *t = &k->tap[k->n++];
    *t = (struct qs_tap_point){ layer, p, { .kind = used ? QS_TAP_ROUTES : QS_TAP_ROWS, .cols = cols } };
    t->tap.max_rows = s->args.n_ctx * (used ? used : 1);
    if (p != QS_POINT_EXPERTS_IN)
        t->tap.rows = part(s, t->tap.max_rows * cols * sizeof(float));
    if (used) {
        t->tap.pair_row = part(s, t->tap.max_rows * sizeof(uint32_t));
        t->tap.pair_expert = part(s, t->tap.max_rows * sizeof(uint32_t));
    }
    return QS_OK;
}

static int look_new(struct qs_stream *s, size_t layer, enum qs_half half, unsigned points, struct look *k, struct qs_err *e)
{
    int rc = QS_OK;
    *k = (struct look){ .points = points };
    s->used = 0;
    for (int i = 0; rc == QS_OK && i < QS_POINTS; i++) {
        const enum qs_point p = (enum qs_point)i;
        const bool shared = p == QS_POINT_FFN_IN && (points >> QS_POINT_EXPERTS_IN & 1); /* rows of another */
        if (((points >> i & 1) || shared) && qs_point_half(p) == half)
            rc = look_add(s, k, (int)layer, p, e);
    }
    return rc == QS_OK ? qs_session_taps(s->session, k->tap, k->n, e) : rc;
}

static void look_again(struct look *k)
{
    for (size_t i = 0; i < k->n; i++) {
        k->tap[i].tap.n_rows = 0;
        k->tap[i].tap.count = 0;
    }
}

static const struct qs_tap *look_at(const struct look *k, enum qs_point p)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->tap[i].point == p)
            return &k->tap[i].tap;
    return NULL;
}

/* What tap i saw of a window; false: it is not to be handed out. */
static bool look_rows(const struct look *k, size_t i, size_t window, struct qs_stream_rows *out)
{
    const struct qs_tap_point *t = &k->tap[i];
    const struct qs_tap *rows = t->point == QS_POINT_EXPERTS_IN ? look_at(k, QS_POINT_FFN_IN) : &t->tap;
    if (!(k->points >> t->point & 1))
        return false;
    *out = (struct qs_stream_rows){ .layer = t->layer, .point = t->point, .window = window, .n = rows->n_rows,
                                    .cols = rows->cols, .x = rows->rows };
    if (t->tap.pair_row) {
        out->n_pairs = t->tap.n_rows;
        out->pair_row = t->tap.pair_row;
        out->pair_expert = t->tap.pair_expert;
    }
    return true;
}

/* What came into each expert's down matrix has a row for every pair: pairs number these rows, not the tokens. */
static void number_pairs(struct look *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->tap[i].point == QS_POINT_EXPERTS_DOWN)
            for (size_t r = 0; r < k->tap[i].tap.n_rows; r++)
                k->tap[i].tap.pair_row[r] = (uint32_t)r;
}

/* ---- running ---- */

static int run_window(struct qs_stream *s, size_t layer, enum qs_half half, size_t w, bool go, struct look *k,
                      struct qs_job *job, struct qs_err *e)
{
    const size_t n_ctx = s->args.n_ctx, most = qs_engine_batch(s->args.engine), width = s->config->n_embd;
    int rc = QS_OK;
    look_again(k);
    for (size_t pos = 0; rc == QS_OK && pos < n_ctx; pos += most) {
        const size_t n = n_ctx - pos < most ? n_ctx - pos : most;
        float *at = states(s, w) + pos * width;
        memcpy(s->batch, at, n * width * sizeof *at);
        rc = qs_session_half(s->session, layer, half, pos, n, s->batch, e);
        if (rc == QS_OK && go) {
            s->spoilt = true; /* until all are through */
            memcpy(at, s->batch, n * width * sizeof *at);
        }
        if (rc == QS_OK)
            rc = qs_job_step(job, n, e);
    }
    number_pairs(k);
    return rc;
}

static int check_run(const struct qs_stream *s, size_t layer, enum qs_half half, struct qs_err *e)
{
    const size_t n_layer = s->config->n_layer;
    if (s->spoilt)
        return qs_fail(e, QS_EINVAL, "the hidden states were left in the middle of a layer: begin anew");
    if (half == QS_HALF_HEAD ? layer != n_layer : layer >= n_layer)
        return qs_fail(e, QS_EINVAL, "layer %zu of %zu has no such half", layer, n_layer);
    return QS_OK;
}

int qs_stream_half(struct qs_stream *s, size_t layer, enum qs_half half, unsigned points, bool go, qs_stream_fn *fn,
                   void *ctx, struct qs_job *job, struct qs_err *e)
{
    struct look k = { .n = 0 };
    int rc = check_run(s, layer, half, e);
    if (rc == QS_OK)
        rc = look_new(s, layer, half, points, &k, e);
    for (size_t w = 0; rc == QS_OK && w < s->args.n_windows; w++) {
        rc = run_window(s, layer, half, w, go, &k, job, e);
        for (size_t i = 0; rc == QS_OK && i < k.n; i++) {
            struct qs_stream_rows rows;
            if (look_rows(&k, i, w, &rows)) {
                rows.state = go ? NULL : states(s, w);
                rc = fn(ctx, &rows, e);
            }
        }
    }
    look_end(s, &k);
    if (rc == QS_OK)
        rc = intact(s, e);
    s->spoilt = s->spoilt && rc != QS_OK;
    return rc;
}

static int check_pair(const struct qs_stream *a, const struct qs_stream *b, struct qs_err *e)
{
    if (a->args.n_windows != b->args.n_windows || a->args.n_ctx != b->args.n_ctx || a->config->n_embd != b->config->n_embd)
        return qs_fail(e, QS_EINVAL, "two streams that do not go together: %zu windows of %zu tokens, and %zu of %zu",
                       a->args.n_windows, a->args.n_ctx, b->args.n_windows, b->args.n_ctx);
    return QS_OK;
}

static int hand_pair(const struct look *a, const struct look *b, size_t window, const float *state_a, const float *state_b,
                     qs_stream_pair_fn *fn, void *ctx, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < a->n; i++) {
        struct qs_stream_rows x, y;
        if (i < b->n && look_rows(a, i, window, &x) && look_rows(b, i, window, &y) && x.point == y.point) {
            x.state = state_a;
            y.state = state_b;
            rc = fn(ctx, &x, &y, e);
        }
    }
    return rc;
}

int qs_stream_pair(struct qs_stream *a, struct qs_stream *b, size_t layer, enum qs_half half, unsigned points, bool go_a,
                   bool go_b, qs_stream_pair_fn *fn, void *ctx, struct qs_job *job, struct qs_err *e)
{
    struct look ka = { .n = 0 }, kb = { .n = 0 };
    int rc = check_pair(a, b, e);
    if (rc == QS_OK)
        rc = check_run(a, layer, half, e);
    if (rc == QS_OK)
        rc = check_run(b, layer, half, e);
    if (rc == QS_OK)
        rc = look_new(a, layer, half, points, &ka, e);
    if (rc == QS_OK)
        rc = look_new(b, layer, half, points, &kb, e);
    for (size_t w = 0; rc == QS_OK && w < a->args.n_windows; w++) {
        rc = run_window(a, layer, half, w, go_a, &ka, job, e);
        if (rc == QS_OK)
            rc = run_window(b, layer, half, w, go_b, &kb, job, e);
        if (rc == QS_OK)
            rc = hand_pair(&ka, &kb, w, go_a ? NULL : states(a, w), go_b ? NULL : states(b, w), fn, ctx, e);
    }
    look_end(a, &ka);
    look_end(b, &kb);
    if (rc == QS_OK)
        rc = intact(a, e);
    if (rc == QS_OK)
        rc = intact(b, e);
    a->spoilt = a->spoilt && rc != QS_OK;
    b->spoilt = b->spoilt && rc != QS_OK;
    return rc;
}
