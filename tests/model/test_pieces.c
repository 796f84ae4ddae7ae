/* test_pieces.c - halves of blocks, and what taps show of them: on the tiny models of tests/model/tiny, whose weights
 * are decoded here and multiplied out in double precision.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/engine_internal.h"
#include "tests/lib/qs_test.h"
#include "tests/model/tiny.h"

enum { N = 24, CUT = 6 /* tokens of a test, and of a piece of it */ };

static struct qs_pool *pool;

struct run {
    struct qs_model *m;
    struct qs_engine *x;
    struct qs_session *s;
    struct tiny_golden g;
    size_t layers, width;
};

static struct qs_session *session_of(struct qs_engine *x)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s;
    if (qs_session_new(x, &(struct qs_session_args){ 64, QS_F32, QS_F32, false }, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return s;
}

static struct run open_run(const char *name, struct qs_pool *p)
{
    struct qs_err e = QS_ERR_INIT;
    struct run r = { 0 };
    tiny_read(name, "golden.bin", &r.g);
    assert_true(r.g.n >= N);
    const struct qs_engine_args args = { p, QS_EXACT, QS_PRIO_JOB, N, 0 };
    if (qs_model_open(tiny_path(name, ""), &r.m, &e) != QS_OK || qs_engine_new(r.m, &args, &r.x, &e) != QS_OK)
        fail_msg("%s", e.msg);
    r.s = session_of(r.x);
    r.layers = qs_engine_config(r.x)->n_layer;
    r.width = qs_engine_config(r.x)->n_embd;
    return r;
}

static void close_run(struct run *r)
{
    qs_session_free(r->s);
    qs_engine_free(r->x);
    qs_model_close(r->m);
    tiny_free(&r->g);
}

static void half(struct qs_session *s, size_t layer, enum qs_half h, size_t pos, size_t n, float *hidden)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_session_half(s, layer, h, pos, n, hidden, &e) != QS_OK)
        fail_msg("%s", e.msg);
}

/* ---- halves ---- */

/* The head's half leaves the state as it is and shows its tap what the head reads. */
static void check_head(struct run *r, float *hidden)
{
    struct qs_err e = QS_ERR_INIT;
    const size_t floats = N * r->width;
    float *rows = qs_malloc(2 * floats * sizeof *rows), *before = qs_malloc(floats * sizeof *before);
    float *logits = qs_malloc(N * r->g.vocab * sizeof *logits);
    struct qs_tap_point tap = { (int)r->layers,
                                QS_POINT_HEAD,
                                { .kind = QS_TAP_ROWS, .cols = r->width, .rows = rows, .max_rows = 2 * N } };
    memcpy(before, hidden, floats * sizeof *before);
    assert_int_equal(qs_session_taps(r->s, &tap, 1, &e), QS_OK);
    half(r->s, r->layers, QS_HALF_HEAD, 0, N, hidden);
    assert_int_equal(tap.tap.n_rows, N);
    assert_memory_equal(hidden, before, floats * sizeof *before);
    assert_int_equal(qs_session_head(r->s, hidden, N, logits, &e), QS_OK);
    assert_int_equal(tap.tap.n_rows, 2 * N);
    assert_memory_equal(rows, rows + floats, floats * sizeof *rows);
    assert_memory_not_equal(rows, hidden, floats * sizeof *rows);
    assert_int_equal(qs_session_taps(r->s, NULL, 0, &e), QS_OK);
    qs_free(rows);
    qs_free(before);
    qs_free(logits);
}

static void check_refused(struct run *r, float *hidden)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_session_half(r->s, r->layers, QS_HALF_ATTN, 0, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, r->layers, QS_HALF_FFN, 0, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, 0, QS_HALF_HEAD, 0, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, 0, QS_HALF_ATTN, 64, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, 0, QS_HALF_FFN, 0, N + 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, 0, QS_HALF_FFN, 0, 0, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_half(r->s, 0, (enum qs_half)7, 0, 1, hidden, &e), QS_EINVAL);
}

/* Both halves in turn are the block, however the tokens are cut. */
static void test_halves(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    for (size_t i = 0; tiny_names[i]; i++) {
        struct run r = open_run(tiny_names[i], pool);
        struct qs_session *whole = session_of(r.x);
        const size_t bytes = N * r.width * sizeof(float);
        float *want = qs_malloc(bytes), *got = qs_malloc(bytes);
        assert_int_equal(qs_session_embed(whole, r.g.id, N, want, &e), QS_OK);
        memcpy(got, want, bytes);
        for (size_t l = 0; l < r.layers; l++) {
            assert_int_equal(qs_session_block(whole, l, 0, N, want, &e), QS_OK);
            for (size_t at = 0; at < N; at += CUT)
                half(r.s, l, QS_HALF_ATTN, at, CUT, got + at * r.width);
            assert_memory_not_equal(got, want, bytes);
            half(r.s, l, QS_HALF_FFN, 0, N, got);
            assert_memory_equal(got, want, bytes);
        }
        check_head(&r, got);
        check_refused(&r, got);
        qs_free(want);
        qs_free(got);
        qs_session_free(whole);
        close_run(&r);
    }
}

/* ---- what taps show ---- */

/* Matrix k of the stack in a slot, decoded. */
static float *matrix(const struct run *r, size_t layer, enum qs_slot s, size_t k)
{
    const struct qs_weight *w = qs_engine_place(r->x, layer, s)->weight;
    assert_non_null(w);
    const size_t cols = (size_t)w->ne[0], rows = (size_t)w->ne[1], all = rows * (size_t)w->ne[2];
    float *out = qs_malloc(all * cols * sizeof *out);
    qs_format_ops(w->format->id)->decode(&w->parts, all, cols, out, cols);
    memmove(out, out + k * rows * cols, rows * cols * sizeof *out);
    return out;
}

static double product(const float *w, const float *x, size_t n, float bias)
{
    double sum = (double)bias;
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i] * (double)x[i];
    return sum;
}

static double silu(double g, double u) { return g / (1 + exp(-g)) * u; }

static void test_shared_down(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct run r = open_run("qwen2moe", pool);
    const size_t ff = qs_engine_point_cols(r.x, 0, QS_POINT_SHARED_DOWN);
    assert_int_equal(ff, qs_engine_config(r.x)->ff_shared);
    assert_int_equal(qs_engine_point_cols(r.x, (int)r.layers, QS_POINT_SHARED_DOWN), 0);
    float *in = qs_malloc(N * r.width * sizeof *in), *down = qs_malloc(N * ff * sizeof *down);
    struct qs_tap_point tap[] = {
        { 1, QS_POINT_FFN_IN, { .kind = QS_TAP_ROWS, .cols = r.width, .rows = in, .max_rows = N } },
        { 1, QS_POINT_SHARED_DOWN, { .kind = QS_TAP_ROWS, .cols = ff, .rows = down, .max_rows = N } },
    };
    assert_int_equal(qs_session_taps(r.s, tap, 2, &e), QS_OK);
    assert_int_equal(qs_session_feed(r.s, r.g.id, N, N, NULL, &e), QS_OK);
    assert_int_equal(tap[1].tap.count, N);
    float *gate = matrix(&r, 1, QS_SLOT_GATE_SHARED, 0), *up = matrix(&r, 1, QS_SLOT_UP_SHARED, 0);
    for (size_t t = 0; t < N; t++)
        for (size_t i = 0; i < ff; i++) {
            const float *x = in + t * r.width;
            const double want =
                silu(product(gate + i * r.width, x, r.width, 0), product(up + i * r.width, x, r.width, 0));
            if (!(fabs(want - (double)down[t * ff + i]) <= 1e-5 * (1 + fabs(want))))
                fail_msg("token %zu, value %zu: %g, not %g", t, i, (double)down[t * ff + i], want);
        }
    float *const list[] = { in, down, gate, up };
    for (size_t i = 0; i < 4; i++)
        qs_free(list[i]);
    close_run(&r);
    r = open_run("mixtral", pool); /* has no shared expert */
    assert_int_equal(qs_engine_point_cols(r.x, 0, QS_POINT_SHARED_DOWN), 0);
    close_run(&r);
}

/* ---- routed experts ---- */

struct routes {
    size_t n, pairs, width, ff; /* tokens; of the model */
    float *in, *down;           /* n rows, pairs rows */
    uint32_t *row, *expert, *down_row, *down_expert;
    float *logits;
};

static struct routes routes_of(const char *name, struct qs_pool *p, size_t cut)
{
    struct qs_err e = QS_ERR_INIT;
    struct run r = open_run(name, p);
    const struct qs_config *c = qs_engine_config(r.x);
    struct routes o = { .n = N, .pairs = N * c->n_expert_used, .width = r.width, .ff = c->ff_expert };
    o.in = qs_calloc(N * r.width, sizeof *o.in);
    o.down = qs_calloc(o.pairs * o.ff, sizeof *o.down);
    uint32_t **const ids[] = { &o.row, &o.expert, &o.down_row, &o.down_expert };
    for (size_t i = 0; i < 4; i++)
        *ids[i] = qs_calloc(o.pairs, sizeof **ids[i]);
    o.logits = qs_malloc(N * r.g.vocab * sizeof *o.logits);
    struct qs_tap_point tap[] = {
        { 1,
          QS_POINT_EXPERTS_DOWN,
          { .kind = QS_TAP_ROUTES,
            .cols = o.ff,
            .rows = o.down,
            .max_rows = o.pairs,
            .pair_row = o.down_row,
            .pair_expert = o.down_expert } },
        { 1, QS_POINT_FFN_IN, { .kind = QS_TAP_ROWS, .cols = o.width, .rows = o.in, .max_rows = N } },
        { 1,
          QS_POINT_EXPERTS_IN,
          { .kind = QS_TAP_ROUTES, .cols = o.width, .max_rows = o.pairs, .pair_row = o.row, .pair_expert = o.expert } },
    };
    assert_int_equal(qs_engine_point_cols(r.x, 1, QS_POINT_FFN_DOWN), 0);
    assert_int_equal(qs_session_taps(r.s, tap, 3, &e), QS_OK);
    for (size_t at = 0, n; at < N; at += n) {
        n = N - at < cut ? N - at : cut;
        if (qs_session_feed(r.s, r.g.id + at, n, 0, o.logits + at * r.g.vocab, &e) != QS_OK)
            fail_msg("%s", e.msg);
    }
    assert_true(tiny_rms(o.logits, &(struct tiny_golden){ .n = N, .vocab = r.g.vocab, .logits = r.g.logits }) < 1e-4);
    assert_int_equal(tap[0].tap.n_rows, o.pairs);
    assert_int_equal(tap[2].tap.n_rows, o.pairs);
    assert_int_equal(tap[2].tap.count, N);
    close_run(&r);
    return o;
}

static void free_routes(struct routes *o)
{
    void *const list[] = { o->in, o->down, o->row, o->expert, o->down_row, o->down_expert, o->logits };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        qs_free(list[i]);
}

/* The chosen have the largest router logits of their row, each once, in index order. */
static void check_choice(const struct run *r, const struct routes *o, size_t row)
{
    const struct qs_config *c = qs_engine_config(r->x);
    const float *bias = qs_engine_place(r->x, 1, QS_SLOT_ROUTER_BIAS)->vec;
    float *router = matrix(r, 1, QS_SLOT_ROUTER, 0);
    double least = INFINITY, others = -INFINITY;
    for (size_t k = 0, at = row * c->n_expert_used; k < c->n_expert; k++) {
        const double logit = product(router + k * o->width, o->in + row * o->width, o->width, bias ? bias[k] : 0);
        const bool used = at < (row + 1) * c->n_expert_used && o->expert[at] == k;
        least = used ? fmin(least, logit) : least;
        others = used ? others : fmax(others, logit);
        at += used;
        if (k + 1 == c->n_expert)
            assert_int_equal(at, (row + 1) * c->n_expert_used);
    }
    assert_true(least >= others - 1e-5);
    qs_free(router);
}

static double glu_of(const struct qs_config *c, double g, double u)
{
    if (c->arch->glu != QS_GLU_OAI)
        return silu(g, u);
    g = fmin(g, (double)c->glu_limit);
    u = fmax(-(double)c->glu_limit, fmin(u, (double)c->glu_limit));
    return g / (1 + exp(-(double)c->glu_alpha * g)) * (u + 1);
}

/* Row i of what enters down, from the row of the input and the weights of its expert. */
static void check_inner(const struct run *r, const struct routes *o, size_t i)
{
    const struct qs_config *c = qs_engine_config(r->x);
    const size_t k = o->expert[i], ff = o->ff, width = o->width;
    const bool fused = qs_engine_place(r->x, 1, QS_SLOT_GATE_UP_EXPS)->weight != NULL;
    float *gate = matrix(r, 1, fused ? QS_SLOT_GATE_UP_EXPS : QS_SLOT_GATE_EXPS, k);
    float *up = fused ? NULL : matrix(r, 1, QS_SLOT_UP_EXPS, k);
    const float *gate_bias = qs_engine_place(r->x, 1, QS_SLOT_GATE_EXPS_BIAS)->vec;
    const float *up_bias = qs_engine_place(r->x, 1, QS_SLOT_UP_EXPS_BIAS)->vec;
    const float *x = o->in + (size_t)o->row[i] * width;
    for (size_t j = 0; j < ff; j++) {
        const double g = product(gate + j * width, x, width, gate_bias ? gate_bias[k * ff + j] : 0);
        const double u =
            product(fused ? gate + (ff + j) * width : up + j * width, x, width, up_bias ? up_bias[k * ff + j] : 0);
        const double want = glu_of(c, g, u), is = (double)o->down[i * ff + j];
        if (!(fabs(want - is) <= 1e-5 * (1 + fabs(want))))
            fail_msg("pair %zu, value %zu: %g, not %g", i, j, is, want);
    }
    qs_free(gate);
    qs_free(up);
}

static void test_routes(void **state)
{
    (void)state;
    static const char *const names[] = { "mixtral", "qwen2moe", "gpt-oss" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct run r = open_run(names[i], NULL);
        struct routes a = routes_of(names[i], NULL, N), b = routes_of(names[i], pool, 5);
        const size_t used = a.pairs / N;
        for (size_t k = 0; k < a.pairs; k++) {
            assert_int_equal(a.row[k], k / used);
            check_inner(&r, &a, k);
        }
        for (size_t t = 0; t < N; t++)
            check_choice(&r, &a, t);
        assert_memory_equal(a.row, a.down_row, a.pairs * sizeof *a.row);
        assert_memory_equal(a.expert, a.down_expert, a.pairs * sizeof *a.expert);
        assert_memory_equal(a.row, b.row, a.pairs * sizeof *a.row);
        assert_memory_equal(a.expert, b.expert, a.pairs * sizeof *a.expert);
        assert_memory_equal(a.in, b.in, N * a.width * sizeof *a.in);
        assert_memory_equal(a.down, b.down, a.pairs * a.ff * sizeof *a.down);
        assert_memory_equal(a.down_row, b.down_row, a.pairs * sizeof *a.row);
        free_routes(&a);
        free_routes(&b);
        close_run(&r);
    }
}

static int taps_of(struct run *r, const struct qs_tap_point *tap, size_t n)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_tap_point own[2];
    memcpy(own, tap, n * sizeof *tap);
    const int rc = qs_session_taps(r->s, own, n, &e);
    assert_true(rc == QS_OK || e.msg[0] != '\0');
    assert_int_equal(qs_session_taps(r->s, NULL, 0, &e), QS_OK);
    return rc;
}

static void test_taps_refused(void **state)
{
    (void)state;
    struct run r = open_run("mixtral", NULL), dense = open_run("llama", NULL);
    const size_t ff = qs_engine_point_cols(r.x, 0, QS_POINT_EXPERTS_DOWN);
    const struct qs_tap_point in = { 0, QS_POINT_EXPERTS_IN, { .kind = QS_TAP_ROUTES, .cols = r.width } };
    const struct qs_tap_point down = { 0, QS_POINT_EXPERTS_DOWN, { .kind = QS_TAP_ROUTES, .cols = ff } };
    const struct qs_tap_point rows = { 0, QS_POINT_EXPERTS_DOWN, { .kind = QS_TAP_ROWS, .cols = ff } };
    const struct qs_tap_point plain = { 0, QS_POINT_FFN_IN, { .kind = QS_TAP_ROUTES, .cols = r.width } };
    assert_int_equal(taps_of(&r, (struct qs_tap_point[]){ in, down }, 2), QS_OK);
    assert_int_equal(taps_of(&r, (struct qs_tap_point[]){ in, in }, 2), QS_EINVAL);
    assert_int_equal(taps_of(&r, &rows, 1), QS_EINVAL);
    assert_int_equal(taps_of(&r, &plain, 1), QS_EINVAL);
    assert_int_equal(taps_of(&dense, &in, 1), QS_EINVAL);
    assert_int_equal(qs_engine_point_cols(dense.x, 0, QS_POINT_EXPERTS_DOWN), 0);
    assert_int_equal(qs_engine_point_cols(r.x, 0, QS_POINTS), 0);
    close_run(&r);
    close_run(&dense);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_pool_new(2, &pool, &e) != QS_OK)
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_halves), cmocka_unit_test(test_shared_down),
                                        cmocka_unit_test(test_routes), cmocka_unit_test(test_taps_refused) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_pool_free(pool);
    return failed;
}
