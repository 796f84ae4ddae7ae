/* test_experts.c - mixtures of experts against double precision: both ways of weighting, ties, biases, fused matrices, more
 * tokens than one slice of the work; the same bits at every level, thread count and cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/dot.h"
#include "kernels/level.h"
#include "tests/kernels/dot_data.h"
#include "tests/kernels/op_rig.h"

enum { COLS = 64, FF = 96, EXPERTS = 6 };

struct shape {
    const char *name;
    size_t n, used;
    int type, down_type;
    enum qs_precision precision;
    bool fused, bias, after, normalise, ties;
    float scale;
    enum qs_glu_kind glu;
};

struct matrix {
    uint8_t *bytes;
    float *w;
};

struct mixture {
    struct shape s;
    struct rig r;
    struct matrix router, gate, up, down; /* gate: unused when fused */
    float *router_bias, *gate_bias, *up_bias, *down_bias;
};

static struct matrix make_matrix(int type, size_t rows, size_t cols, float scale, uint64_t *seed)
{
    const struct qs_format *f = qs_format_by_id(type);
    struct matrix m = { .w = random_floats(rows * cols, scale, seed) };
    m.bytes = stored_rows(f, m.w, rows, cols);
    qs_format_ops(type)->decode(&(struct qs_const_parts){ { m.bytes } }, rows, cols, m.w, cols);
    return m;
}

static struct qs_mat mat_of(const struct matrix *m, int type, size_t rows, size_t cols, size_t stack)
{
    return (struct qs_mat){ qs_format_by_id(type), { { m->bytes } }, rows, cols, stack, NULL };
}

static struct mixture make(const struct shape *s)
{
    uint64_t seed = 9 + s->n;
    struct mixture x = { .s = *s };
    const size_t wide = s->fused ? 2 * FF : FF;
    x.router = make_matrix(QS_F32, EXPERTS, COLS, 0.2f, &seed);
    if (s->ties) /* experts 1, 3, 4 are alike */
        for (int i = 3; i < 5; i++)
            memcpy(x.router.bytes + (size_t)i * COLS * 4, x.router.bytes + COLS * 4, COLS * 4);
    memcpy(x.router.w, x.router.bytes, EXPERTS * COLS * 4);
    x.gate = make_matrix(s->type, EXPERTS * FF, COLS, 0.1f, &seed);
    x.up = make_matrix(s->type, EXPERTS * wide, COLS, 0.1f, &seed);
    x.down = make_matrix(s->down_type, EXPERTS * COLS, FF, 0.1f, &seed);
    x.router_bias = random_floats(EXPERTS, 0.3f, &seed);
    if (s->ties)
        x.router_bias[3] = x.router_bias[4] = x.router_bias[1];
    x.gate_bias = random_floats(EXPERTS * FF, 0.3f, &seed);
    x.up_bias = random_floats(EXPERTS * wide, 0.3f, &seed);
    x.down_bias = random_floats(EXPERTS * COLS, 0.3f, &seed);
    x.r.floats[0] = s->n * (COLS + 2);
    x.r.data[0] = random_floats(x.r.floats[0], 1, &seed);
    x.r.floats[1] = s->n * COLS;
    x.r.data[1] = random_floats(x.r.floats[1], 1, &seed);
    x.r.op = (struct qs_op){ QS_OP_EXPERTS, s->n, { .experts = {
        .precision = s->precision, .in = rig_view(0, 1, COLS + 2), .out = rig_view(1, 0, COLS),
        .router = mat_of(&x.router, QS_F32, EXPERTS, COLS, 1), .up = mat_of(&x.up, s->type, wide, COLS, EXPERTS),
        .down = mat_of(&x.down, s->down_type, COLS, FF, EXPERTS), .n_expert = EXPERTS, .n_used = s->used, .cols = COLS,
        .ff = FF, .softmax_after = s->after, .normalise = s->normalise, .scale = s->scale, .glu = s->glu,
        .alpha = 1.702f, .limit = 7 } } };
    if (!s->fused)
        x.r.op.u.experts.gate = mat_of(&x.gate, s->type, FF, COLS, EXPERTS);
    if (s->bias) {
        x.r.op.u.experts.router_bias = x.router_bias;
        x.r.op.u.experts.gate_bias = s->fused ? NULL : x.gate_bias;
        x.r.op.u.experts.up_bias = x.up_bias;
        x.r.op.u.experts.down_bias = x.down_bias;
    }
    return x;
}

static void free_mixture(struct mixture *x)
{
    struct matrix *m[] = { &x->router, &x->gate, &x->up, &x->down };
    float *f[] = { x->router_bias, x->gate_bias, x->up_bias, x->down_bias };
    for (int i = 0; i < 4; i++) {
        free(m[i]->bytes);
        free(m[i]->w);
        free(f[i]);
    }
    rig_free(&x->r);
}

static double glu(const struct shape *s, double g, double u)
{
    if (s->glu == QS_GLU_SILU)
        return g / (1 + exp(-g)) * u;
    g = fmin(g, 7);
    u = fmax(fmin(u, 7), -7);
    return g / (1 + exp(-1.702 * g)) * (u + 1);
}

static double product(const float *w, const double *x, size_t cols)
{
    double sum = 0;
    for (size_t k = 0; k < cols; k++)
        sum += (double)w[k] * x[k];
    return sum;
}

/* What enters down of expert e. */
static void inner(const struct mixture *x, const double *in, size_t e, double *h)
{
    const struct shape *s = &x->s;
    const size_t wide = s->fused ? 2 * FF : FF;
    for (size_t i = 0; i < FF; i++) {
        const float *gate = s->fused ? x->up.w + (e * wide + i) * COLS : x->gate.w + (e * FF + i) * COLS;
        const size_t up = e * wide + (s->fused ? FF + i : i);
        const double g = product(gate, in, COLS) +
                         (!s->bias ? 0 : (double)(s->fused ? x->up_bias[e * wide + i] : x->gate_bias[e * FF + i]));
        h[i] = glu(s, g, product(x->up.w + up * COLS, in, COLS) + (s->bias ? (double)x->up_bias[up] : 0));
    }
}

static void one_expert(const struct mixture *x, const double *in, size_t e, double weight, double *out)
{
    const struct shape *s = &x->s;
    double h[FF];
    inner(x, in, e, h);
    for (size_t i = 0; i < COLS; i++)
        out[i] += weight * (product(x->down.w + (e * COLS + i) * FF, h, FF) + (s->bias ? (double)x->down_bias[e * COLS + i] : 0));
}

/* The very logits of the router, so that ties are ties, and who is in use. */
static void choice(const struct mixture *x, const float *in, float *logits, bool *use)
{
    const struct shape *s = &x->s;
    const struct qs_dot j = { x->router.bytes, COLS * 4, EXPERTS, COLS, (const uint8_t *)in, 0, 1, logits, EXPERTS };
    qs_dot_ops(QS_F32)->f32(&j);
    for (size_t e = 0; e < EXPERTS; e++) {
        logits[e] += s->bias ? x->router_bias[e] : 0;
        use[e] = false;
    }
    for (size_t u = 0; u < s->used; u++) {
        size_t best = EXPERTS;
        for (size_t e = 0; e < EXPERTS; e++)
            if (!use[e] && (best == EXPERTS || logits[e] > logits[best]))
                best = e;
        use[best] = true;
    }
}

static void expected(const struct mixture *x, size_t t, double *out)
{
    const struct shape *s = &x->s;
    const float *in = x->r.data[0] + 1 + t * (COLS + 2);
    float logits[EXPERTS];
    double input[COLS], weight[EXPERTS], sum = 0, chosen = 0;
    bool use[EXPERTS];
    choice(x, in, logits, use);
    for (size_t k = 0; k < COLS; k++) {
        input[k] = in[k];
        out[k] = 0;
    }
    for (size_t e = 0; e < EXPERTS; e++) {
        weight[e] = exp((double)logits[e]);
        sum += s->after && !use[e] ? 0 : weight[e];
        chosen += use[e] ? weight[e] : 0;
    }
    for (size_t e = 0; e < EXPERTS; e++)
        if (use[e])
            one_expert(x, input, e, weight[e] / (s->normalise ? chosen : sum) * (double)s->scale, out);
}

static void one_shape(const struct shape *s)
{
    struct mixture x = make(s);
    double want[COLS], error = 0, size = 0;
    rig_run(&x.r);
    for (size_t t = 0; t < s->n; t++) {
        expected(&x, t, want);
        for (size_t k = 0; k < COLS; k++) {
            const double off = x.r.want[1][t * COLS + k] - want[k];
            if (s->precision == QS_EXACT && !(fabs(off) <= 2e-5))
                fail_msg("%s: token %zu, value %zu is off by %g", s->name, t, k, off);
            error += off * off;
            size += want[k] * want[k];
        }
    }
    if (!(sqrt(error / size) < (s->precision == QS_EXACT ? 1e-5 : 0.04)))
        fail_msg("%s: relative error %g", s->name, sqrt(error / size));
    rig_same(&x.r, s->name);
    free_mixture(&x);
}

static void test_experts(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { "one token", 1, 2, QS_F32, QS_F32, QS_EXACT, false, false, false, true, false, 1, QS_GLU_SILU },
        { "not normalised", 9, 3, QS_F16, QS_F32, QS_EXACT, false, false, false, false, false, 1, QS_GLU_SILU },
        { "softmax after", 12, 2, QS_F32, QS_F16, QS_EXACT, false, true, true, false, false, 2.5f, QS_GLU_OAI },
        { "fused, biases", 7, 2, QS_F32, QS_Q8_0, QS_EXACT, true, true, false, true, false, 1, QS_GLU_SILU },
        { "ties", 11, 2, QS_F32, QS_F32, QS_EXACT, false, true, false, true, true, 1, QS_GLU_SILU },
        { "all of them", 5, EXPERTS, QS_F32, QS_F32, QS_EXACT, false, false, false, false, false, 1, QS_GLU_SILU },
        { "fast", 13, 2, QS_Q8_0, QS_Q8_0, QS_FAST, false, true, false, true, false, 1, QS_GLU_SILU },
        { "fast, fused, two forms", 6, 3, QS_Q8_0, QS_F16, QS_FAST, true, false, true, false, false, 1, QS_GLU_OAI },
        { "MXFP4", 8, 2, QS_MXFP4, QS_MXFP4, QS_FAST, false, true, true, false, false, 1, QS_GLU_OAI },
        { "several slices", 150, 4, QS_F32, QS_F32, QS_EXACT, false, false, false, true, false, 1, QS_GLU_SILU },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        one_shape(&shapes[i]);
}

/* ---- taps ---- */

struct taps {
    struct qs_tap in, down;
    size_t room;
};

static void make_taps(struct taps *t, size_t room)
{
    *t = (struct taps){ { .kind = QS_TAP_ROUTES, .cols = COLS, .max_rows = room },
                        { .kind = QS_TAP_ROUTES, .cols = FF, .max_rows = room }, room };
    for (int i = 0; i < 2; i++) {
        struct qs_tap *tap = i ? &t->down : &t->in;
        tap->rows = calloc(room + 1, tap->cols * sizeof *tap->rows);
        tap->pair_row = calloc(room + 1, sizeof *tap->pair_row);
        tap->pair_expert = calloc(room + 1, sizeof *tap->pair_expert);
        assert_true(tap->rows && tap->pair_row && tap->pair_expert);
    }
}

static void free_taps(struct taps *t)
{
    for (int i = 0; i < 2; i++) {
        free((i ? &t->down : &t->in)->rows);
        free((i ? &t->down : &t->in)->pair_row);
        free((i ? &t->down : &t->in)->pair_expert);
    }
}

/* Runs the mixture with taps, in cuts of `step` tokens. */
static void tapped(const struct mixture *x, struct taps *t, unsigned threads, size_t step)
{
    struct qs_pool *pool = NULL;
    struct qs_device *d;
    struct qs_buf *buf[2];
    struct qs_err e = QS_ERR_INIT;
    float *out = malloc(x->r.floats[1] * sizeof *out);
    if (threads)
        assert_int_equal(qs_pool_new(threads, &pool, NULL), QS_OK);
    assert_int_equal(qs_cpu_device_new(pool, &d, NULL), QS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(d->buf_new(d, x->r.floats[i] * 4, &buf[i], NULL), QS_OK);
        assert_int_equal(d->buf_write(d, buf[i], 0, x->r.data[i], x->r.floats[i] * 4, NULL), QS_OK);
    }
    assert_int_equal(d->begin(d, NULL), QS_OK);
    for (size_t at = 0; at < x->s.n; at += step) {
        struct qs_op op = x->r.op;
        op.n = x->s.n - at < step ? x->s.n - at : step;
        op.u.experts.in = (struct qs_view){ buf[0], op.u.experts.in.at + at * (COLS + 2), COLS + 2 };
        op.u.experts.out = (struct qs_view){ buf[1], at * COLS, COLS };
        op.u.experts.tap_in = &t->in;
        op.u.experts.tap_down = &t->down;
        if (d->record(d, &op, &e) != QS_OK)
            fail_msg("%s", e.msg);
    }
    assert_int_equal(d->submit(d, QS_PRIO_JOB, NULL), QS_OK);
    assert_int_equal(d->buf_read(d, buf[1], 0, out, x->r.floats[1] * 4, NULL), QS_OK);
    assert_memory_equal(out, x->r.want[1], x->r.floats[1] * 4); /* looking changes nothing */
    d->buf_free(d, buf[0]);
    d->buf_free(d, buf[1]);
    d->free(d);
    qs_pool_free(pool);
    free(out);
}

/* Pair by pair: the experts that double precision chooses, the input as it was, and what enters down. */
static void check_taps(const struct mixture *x, const struct taps *t)
{
    const struct shape *s = &x->s;
    double error = 0, size = 0;
    const size_t pairs = s->n * s->used < t->room ? s->n * s->used : t->room;
    assert_int_equal(t->in.n_rows, pairs);
    assert_int_equal(t->down.n_rows, pairs);
    assert_int_equal(t->in.count, s->n);
    assert_int_equal(t->down.count, s->n);
    for (size_t i = 0; i < pairs; i++) {
        const size_t row = i / s->used;
        const float *in = x->r.data[0] + 1 + row * (COLS + 2);
        float logits[EXPERTS];
        bool use[EXPERTS];
        double input[COLS], h[FF];
        size_t e = 0;
        choice(x, in, logits, use);
        for (size_t left = i % s->used; !use[e] || left-- > 0; e++) /* the so-many-th of those in use */
            ;
        assert_int_equal(t->in.pair_row[i], row);
        assert_int_equal(t->in.pair_expert[i], e);
        assert_int_equal(t->down.pair_row[i], row);
        assert_int_equal(t->down.pair_expert[i], e);
        assert_memory_equal(t->in.rows + i * COLS, in, COLS * sizeof *in);
        for (size_t k = 0; k < COLS; k++)
            input[k] = in[k];
        inner(x, input, e, h);
        for (size_t k = 0; k < FF; k++) {
            const double off = (double)t->down.rows[i * FF + k] - h[k];
            if (s->precision == QS_EXACT && !(fabs(off) <= 2e-5 * (1 + fabs(h[k]))))
                fail_msg("%s: pair %zu, value %zu is off by %g", s->name, i, k, off);
            error += off * off;
            size += h[k] * h[k];
        }
    }
    if (!(sqrt(error / size) < (s->precision == QS_EXACT ? 1e-5 : 0.04)))
        fail_msg("%s: relative error %g", s->name, sqrt(error / size));
}

static void same_taps(const struct qs_tap *a, const struct qs_tap *b)
{
    assert_int_equal(a->n_rows, b->n_rows);
    assert_memory_equal(a->pair_row, b->pair_row, a->n_rows * sizeof *a->pair_row);
    assert_memory_equal(a->pair_expert, b->pair_expert, a->n_rows * sizeof *a->pair_expert);
    assert_memory_equal(a->rows, b->rows, a->n_rows * a->cols * sizeof *a->rows);
}

static void test_taps(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { "taps", 11, 2, QS_F32, QS_F32, QS_EXACT, false, true, false, true, true, 1, QS_GLU_SILU },
        { "taps, fused", 7, 3, QS_F16, QS_Q8_0, QS_EXACT, true, true, true, false, false, 2, QS_GLU_OAI },
        { "taps, fast", 13, 2, QS_Q8_0, QS_Q8_0, QS_FAST, false, true, false, true, false, 1, QS_GLU_SILU },
        { "taps, several slices", 150, 4, QS_F32, QS_F32, QS_EXACT, false, false, false, true, false, 1, QS_GLU_SILU },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct mixture x = make(&shapes[i]);
        const size_t n = shapes[i].n, room = n * shapes[i].used;
        struct taps whole, cut;
        rig_run(&x.r);
        make_taps(&whole, room);
        tapped(&x, &whole, 0, n);
        check_taps(&x, &whole);
        for (unsigned threads = 1; threads < 5; threads++) {
            make_taps(&cut, room);
            tapped(&x, &cut, threads, threads % 2 ? 3 : 8);
            same_taps(&whole.in, &cut.in);
            same_taps(&whole.down, &cut.down);
            free_taps(&cut);
        }
        make_taps(&cut, room / 2 + 1); /* the first that come, whatever the cut */
        tapped(&x, &cut, 2, 5);
        check_taps(&x, &cut);
        assert_int_equal(cut.in.pair_expert[room / 2 + 1] | cut.down.pair_row[room / 2 + 1], 0);
        free_taps(&cut);
        free_taps(&whole);
        free_mixture(&x);
    }
}

/* Logits that are no numbers choose somebody, and the result shows it. */
static void test_nan(void **state)
{
    (void)state;
    const struct shape s = { "nan", 3, 3, QS_F32, QS_F32, QS_EXACT, false, false, false, true, false, 1, QS_GLU_SILU };
    struct mixture x = make(&s);
    x.r.data[0][1 + (COLS + 2)] = NAN;
    x.r.data[0][1 + 2 * (COLS + 2)] = INFINITY;
    rig_run(&x.r);
    for (size_t k = 0; k < COLS; k++) {
        assert_true(isfinite(x.r.want[1][k]));
        assert_true(isnan(x.r.want[1][COLS + k]));
    }
    free_mixture(&x);
}

static void test_refused(void **state)
{
    (void)state;
    const struct shape s = { "refused", 3, 2, QS_F32, QS_F32, QS_EXACT, false, false, false, true, false, 1, QS_GLU_SILU };
    struct mixture x = make(&s);
    const struct qs_op good = x.r.op;
    assert_int_equal(rig_refused(&x.r), QS_OK);
#define BAD(change, code)                                                                                              \
    do {                                                                                                               \
        x.r.op = good;                                                                                                 \
        x.r.op.change;                                                                                                 \
        assert_int_equal(rig_refused(&x.r), code);                                                                     \
    } while (0)
    BAD(u.experts.n_used = 0, QS_EINVAL);
    BAD(u.experts.n_used = EXPERTS + 1, QS_EINVAL);
    BAD(u.experts.n_expert = EXPERTS - 1, QS_EINVAL);
    BAD(u.experts.up.stack = EXPERTS - 1, QS_EINVAL);
    BAD(u.experts.down.rows = COLS + 1, QS_EINVAL);
    BAD(u.experts.router.rows = EXPERTS + 1, QS_EINVAL);
    BAD(u.experts.gate.parts.p[0] = NULL, QS_EINVAL); /* then up has to hold both */
    BAD(u.experts.out = x.r.op.u.experts.in, QS_EINVAL);
    BAD(u.experts.ff = FF + 1, QS_EINVAL);
    BAD(u.experts.glu = (enum qs_glu_kind)9, QS_EINVAL);
    uint32_t room[4];
    struct qs_tap tap = { .kind = QS_TAP_ROUTES, .cols = FF, .max_rows = 4, .pair_row = room, .pair_expert = room };
    BAD(u.experts.tap_down = &tap, QS_OK);
    BAD(u.experts.tap_in = &tap, QS_EINVAL); /* another width */
    tap.pair_row = NULL;
    BAD(u.experts.tap_down = &tap, QS_EINVAL);
    tap.max_rows = 0; /* counts only */
    BAD(u.experts.tap_down = &tap, QS_OK);
    tap.kind = QS_TAP_FINITE;
    BAD(u.experts.tap_down = &tap, QS_EINVAL);
    free_mixture(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
