/* test_stream.c - windows on their way through tiny models: rows and hidden states bit for bit those of a plain feed,
 * whatever the batch, the threads and the memory; two streams side by side; what was left half done is refused. */
#include "tests/lib/qs_test.h"

#include <string.h>

#include "base/mem.h"
#include "core/calib/inputs.h"
#include "core/calib/stream.h"
#include "tests/model/tiny.h"

#define WINDOWS 5
#define CONTEXT 23
#define LAYERS 9 /* more than the tiny models have */

static int32_t token[WINDOWS * CONTEXT];

/* All that was seen, by layer and point: rows of all windows behind each other, pairs with the window's number of rows
 * counted on. */
struct seen { float *x; size_t n, cap_x, cols; uint32_t *pair; size_t n_pairs, cap_pairs; };
struct book { struct seen at[LAYERS + 1][QS_POINTS]; };

static void book_free(struct book *b)
{
    for (size_t l = 0; l <= LAYERS; l++)
        for (size_t p = 0; p < QS_POINTS; p++) {
            qs_free(b->at[l][p].x);
            qs_free(b->at[l][p].pair);
        }
    qs_free(b);
}

static void note(struct book *b, int layer, enum qs_point p, const float *x, size_t n, size_t cols, const uint32_t *row,
                 const uint32_t *expert, size_t n_pairs)
{
    struct seen *s = &b->at[layer][p];
    assert_true(qs_grow(&s->x, &s->cap_x, (s->n + n) * cols, sizeof *s->x));
    memcpy(s->x + s->n * cols, x, n * cols * sizeof *x);
    assert_true(qs_grow(&s->pair, &s->cap_pairs, 2 * (s->n_pairs + n_pairs) + 1, sizeof *s->pair));
    for (size_t i = 0; i < n_pairs; i++) {
        s->pair[2 * (s->n_pairs + i)] = (uint32_t)s->n + row[i];
        s->pair[2 * (s->n_pairs + i) + 1] = expert[i];
    }
    s->n += n;
    s->n_pairs += n_pairs;
    s->cols = cols;
}

static void same(const struct book *a, const struct book *b)
{
    for (size_t l = 0; l <= LAYERS; l++)
        for (size_t p = 0; p < QS_POINTS; p++) {
            const struct seen *x = &a->at[l][p], *y = &b->at[l][p];
            if (x->n != y->n || x->n_pairs != y->n_pairs || (x->n && memcmp(x->x, y->x, x->n * x->cols * sizeof *x->x)) ||
                (x->n_pairs && memcmp(x->pair, y->pair, 2 * x->n_pairs * sizeof *x->pair)))
                fail_msg("layer %zu, %s: %zu rows, %zu pairs and %zu rows, %zu pairs differ", l, qs_point_name((enum qs_point)p),
                         x->n, x->n_pairs, y->n, y->n_pairs);
        }
}

/* ---- a plain feed ---- */

static struct qs_engine *engine_of(const struct qs_model *m, struct qs_pool *pool, size_t batch)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_engine *x = NULL;
    const struct qs_engine_args args = { .pool = pool, .precision = QS_EXACT, .prio = QS_PRIO_JOB, .batch = batch };
    if (qs_engine_new(m, &args, &x, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < WINDOWS * CONTEXT; i++)
        token[i] = (int32_t)((i * i * 31 + i * 7 + 3) % qs_engine_config(x)->n_vocab);
    return x;
}

static size_t taps_of(const struct qs_engine *x, struct qs_tap_point *tap)
{
    const struct qs_config *c = qs_engine_config(x);
    size_t n = 0;
    for (size_t l = 0; l <= c->n_layer; l++)
        for (int p = 0; p < QS_POINTS; p++) {
            const size_t cols = qs_engine_point_cols(x, (int)l, (enum qs_point)p);
            const bool routed = p == QS_POINT_EXPERTS_IN || p == QS_POINT_EXPERTS_DOWN;
            if (cols == 0)
                continue;
            struct qs_tap_point *t = &tap[n++];
            *t = (struct qs_tap_point){ (int)l, (enum qs_point)p, { .kind = routed ? QS_TAP_ROUTES : QS_TAP_ROWS, .cols = cols } };
            t->tap.max_rows = CONTEXT * (routed ? c->n_expert_used : 1);
            t->tap.rows = qs_calloc(t->tap.max_rows, cols * sizeof(float));
            t->tap.pair_row = qs_calloc(t->tap.max_rows, sizeof(uint32_t));
            t->tap.pair_expert = qs_calloc(t->tap.max_rows, sizeof(uint32_t));
        }
    return n;
}

static const struct qs_tap *tap_at(const struct qs_tap_point *tap, size_t n, int layer, enum qs_point p)
{
    for (size_t i = 0; i < n; i++)
        if (tap[i].layer == layer && tap[i].point == p)
            return &tap[i].tap;
    fail();
    return NULL;
}

/* What the taps of one window saw. */
static void note_taps(struct book *b, struct qs_tap_point *tap, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct qs_tap *t = &tap[i].tap;
        const bool routed = t->kind == QS_TAP_ROUTES, in = tap[i].point == QS_POINT_EXPERTS_IN;
        const struct qs_tap *rows = in ? tap_at(tap, n, tap[i].layer, QS_POINT_FFN_IN) : t;
        for (size_t r = 0; routed && r < t->n_rows; r++) {
            if (in) /* the row that is kept for a pair is the row of the part's input */
                assert_memory_equal(t->rows + r * t->cols, rows->rows + t->pair_row[r] * t->cols, t->cols * sizeof(float));
            else
                t->pair_row[r] = (uint32_t)r;
        }
        note(b, tap[i].layer, tap[i].point, rows->rows, rows->n_rows, t->cols, t->pair_row, t->pair_expert,
             routed ? t->n_rows : 0);
    }
    for (size_t i = 0; i < n; i++)
        tap[i].tap.n_rows = tap[i].tap.count = 0;
}

static struct book *by_feed(const struct qs_model *m)
{
    static struct qs_tap_point tap[(LAYERS + 1) * QS_POINTS];
    struct qs_err e = QS_ERR_INIT;
    struct book *b = qs_calloc(1, sizeof *b);
    struct qs_engine *x = engine_of(m, NULL, 0);
    struct qs_session *s = NULL;
    const struct qs_session_args args = { CONTEXT, QS_F32, QS_F32, false };
    const size_t n = taps_of(x, tap), vocab = qs_engine_config(x)->n_vocab;
    float *logits = qs_calloc(CONTEXT, vocab * sizeof *logits);
    assert_true(qs_engine_config(x)->n_layer <= LAYERS);
    assert_int_equal(qs_session_new(x, &args, &s, &e), QS_OK);
    assert_int_equal(qs_session_taps(s, tap, n, &e), QS_OK);
    for (size_t w = 0; w < WINDOWS; w++) {
        qs_session_keep(s, 0);
        assert_int_equal(qs_session_feed(s, token + w * CONTEXT, CONTEXT, 0, logits, &e), QS_OK);
        note_taps(b, tap, n);
    }
    for (size_t i = 0; i < n; i++) {
        qs_free(tap[i].tap.rows);
        qs_free(tap[i].tap.pair_row);
        qs_free(tap[i].tap.pair_expert);
    }
    qs_free(logits);
    qs_session_free(s);
    qs_engine_free(x);
    return b;
}

/* ---- the stream ---- */

struct watcher { struct book *book; size_t calls, fail_at, window; };

static int look(void *ctx, const struct qs_stream_rows *r, struct qs_err *e)
{
    struct watcher *w = ctx;
    if (++w->calls == w->fail_at)
        return qs_fail(e, QS_ELIMIT, "the watcher has seen enough");
    assert_true(r->window >= w->window); /* window by window */
    w->window = r->window;
    note(w->book, r->layer, r->point, r->x, r->n, r->cols, r->pair_row, r->pair_expert, r->n_pairs);
    return QS_OK;
}

static int look_away(void *ctx, const struct qs_stream_rows *r, struct qs_err *e)
{
    (void)ctx;
    (void)r;
    (void)e;
    return QS_OK;
}

#define ALL ((1u << QS_POINTS) - 1)

static int run_half(struct qs_stream *s, struct book *b, size_t layer, enum qs_half half, struct qs_err *e)
{
    struct watcher w = { .book = b };
    int rc = qs_stream_half(s, layer, half, ALL, false, look_away, NULL, NULL, e); /* to look changes nothing */
    return rc == QS_OK ? qs_stream_half(s, layer, half, ALL, true, look, &w, NULL, e) : rc;
}

static struct book *by_stream(const struct qs_model *m, struct qs_pool *pool, size_t batch, uint64_t memory)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_engine *x = engine_of(m, pool, batch);
    const struct qs_config *c = qs_engine_config(x);
    const struct qs_stream_args args = { x, token, WINDOWS, CONTEXT, memory };
    struct book *b = qs_calloc(1, sizeof *b);
    struct qs_stream *s = NULL;
    const uint64_t window = CONTEXT * c->n_embd * sizeof(float), kept = memory ? memory / window : WINDOWS;
    assert_int_equal(qs_stream_spill(&args), (WINDOWS - (kept < WINDOWS ? kept : WINDOWS)) * window);
    if (qs_stream_new(&args, &s, &e))
        fail_msg("%s", e.msg);
    for (size_t l = 0; l < c->n_layer; l++)
        if (run_half(s, b, l, QS_HALF_ATTN, &e) || run_half(s, b, l, QS_HALF_FFN, &e))
            fail_msg("layer %zu: %s", l, e.msg);
    assert_int_equal(run_half(s, b, c->n_layer, QS_HALF_HEAD, &e), QS_OK);
    qs_stream_free(s);
    qs_engine_free(x);
    return b;
}

static const char *const models[] = { "llama", "gemma2", "qwen2moe", "gpt-oss" };
#define MODELS (sizeof models / sizeof *models)

static struct qs_model *open_model(size_t i)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    if (qs_model_open(tiny_path(models[i], ""), &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

static void test_bits(void **state)
{
    const struct { unsigned threads; size_t batch, windows; } run[] = { { 1, 0, 0 }, { 3, 7, 2 }, { 2, 64, 0 }, { 1, 1, 4 } };
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct qs_model *m = open_model(i);
        struct book *want = by_feed(m);
        for (size_t k = 0; k < sizeof run / sizeof *run; k++) {
            struct qs_err e = QS_ERR_INIT;
            struct qs_pool *pool = NULL;
            assert_int_equal(qs_pool_new(run[k].threads, &pool, &e), QS_OK);
            const uint64_t window = CONTEXT * m->hp.n_embd * sizeof(float);
            struct book *got = by_stream(m, pool, run[k].batch, run[k].windows * window);
            same(want, got);
            book_free(got);
            got = by_stream(m, pool, run[k].batch, 1); /* nothing stays in memory */
            same(want, got);
            book_free(got);
            qs_pool_free(pool);
        }
        book_free(want);
        qs_model_close(m);
    }
}

/* ---- two streams ---- */

static int look_pair(void *ctx, const struct qs_stream_rows *a, const struct qs_stream_rows *b, struct qs_err *e)
{
    struct watcher *w = ctx;
    assert_true(a->point == b->point && a->layer == b->layer && a->window == b->window && a->cols == b->cols);
    const int rc = look(&w[0], a, e);
    return rc == QS_OK ? look(&w[1], b, e) : rc;
}

static void test_pair(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct qs_model *m = open_model(i);
        struct qs_engine *x[2] = { engine_of(m, NULL, 0), engine_of(m, NULL, 5) };
        struct qs_stream *s[2];
        struct watcher w[2] = { { qs_calloc(1, sizeof(struct book)), 0, 0, 0 }, { qs_calloc(1, sizeof(struct book)), 0, 0, 0 } };
        for (size_t k = 0; k < 2; k++) {
            const struct qs_stream_args args = { x[k], token, WINDOWS, CONTEXT, k * 5000 };
            assert_int_equal(qs_stream_new(&args, &s[k], &e), QS_OK);
        }
        const size_t n_layer = qs_engine_config(x[0])->n_layer;
        for (size_t l = 0; l < n_layer; l++)
            for (int h = 0; h < 2; h++) {
                w[0].window = w[1].window = 0;
                assert_int_equal(qs_stream_pair(s[0], s[1], l, (enum qs_half)h, ALL, true, true, look_pair, w, NULL, &e), QS_OK);
            }
        w[0].window = w[1].window = 0;
        assert_int_equal(qs_stream_pair(s[0], s[1], n_layer, QS_HALF_HEAD, ALL, false, false, look_pair, w, NULL, &e), QS_OK);
        struct book *want = by_feed(m);
        same(want, w[0].book);
        same(want, w[1].book);
        for (size_t k = 0; k < 2; k++) {
            qs_stream_free(s[k]);
            qs_engine_free(x[k]);
            book_free(w[k].book);
        }
        book_free(want);
        qs_model_close(m);
    }
}

/* ---- failures ---- */

static void test_left_half_done(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_model(0);
    struct qs_engine *x = engine_of(m, NULL, 0);
    const struct qs_stream_args args = { x, token, WINDOWS, CONTEXT, 0 }, none = { x, token, 0, CONTEXT, 0 };
    struct qs_stream *s = NULL;
    struct watcher w = { .book = qs_calloc(1, sizeof(struct book)), .fail_at = 5 };
    (void)state;
    assert_int_equal(qs_stream_new(&none, &s, &e), QS_EINVAL);
    token[30] = -1;
    assert_int_equal(qs_stream_new(&args, &s, &e), QS_EINVAL);
    token[30] = 1;
    assert_int_equal(qs_stream_new(&args, &s, &e), QS_OK);
    assert_int_equal(qs_stream_half(s, 99, QS_HALF_ATTN, ALL, true, look, &w, NULL, &e), QS_EINVAL);
    assert_int_equal(qs_stream_half(s, 0, QS_HALF_HEAD, ALL, true, look, &w, NULL, &e), QS_EINVAL);
    assert_int_equal(qs_stream_half(s, 0, QS_HALF_ATTN, ALL, false, look, &w, NULL, &e), QS_ELIMIT);
    w = (struct watcher){ .book = w.book, .fail_at = 5 };
    assert_int_equal(qs_stream_half(s, 0, QS_HALF_ATTN, ALL, true, look, &w, NULL, &e), QS_ELIMIT); /* to look was harmless */
    assert_int_equal(qs_stream_half(s, 0, QS_HALF_ATTN, ALL, true, look, &w, NULL, &e), QS_EINVAL);
    qs_stream_free(s);
    book_free(w.book);
    qs_engine_free(x);
    qs_model_close(m);
}

struct little { const struct qs_model *m; };

static int with_little_memory(void *ctx, struct qs_err *e)
{
    const struct little *p = ctx;
    struct qs_engine *x = NULL;
    struct qs_stream *s = NULL;
    const struct qs_engine_args ea = { .precision = QS_EXACT };
    int rc = qs_engine_new(p->m, &ea, &x, e);
    const struct qs_stream_args args = { x, token, 2, CONTEXT, 1 };
    if (rc == QS_OK)
        rc = qs_stream_new(&args, &s, e);
    if (rc == QS_OK)
        rc = qs_stream_half(s, 0, QS_HALF_ATTN, ALL, true, look_away, NULL, NULL, e);
    if (rc == QS_OK)
        rc = qs_stream_half(s, 0, QS_HALF_FFN, ALL, true, look_away, NULL, NULL, e);
    qs_stream_free(s);
    qs_engine_free(x);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct qs_model *m = open_model(i);
        struct qs_engine *x = engine_of(m, NULL, 0);
        const struct qs_stream_args args = { x, token, WINDOWS, CONTEXT, 0 };
        struct qs_stream *s = NULL;
        const uint64_t before = qs_mem_in_use();
        assert_int_equal(qs_stream_new(&args, &s, &e), QS_OK);
        const uint64_t held = qs_mem_in_use() - before;
        assert_true(held <= qs_stream_need(&args) + ((uint64_t)128 << 10)); /* sizes rounded up, the device's working memory */
        assert_true(qs_stream_need(&args) <= held + held / 2);
        qs_stream_free(s);
        qs_engine_free(x);
        struct little p = { m };
        if (i % 2 == 0)
            qs_test_each_alloc(with_little_memory, &p);
        qs_model_close(m);
    }
}

int main(void)
{
    qs_test_home();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_left_half_done),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
