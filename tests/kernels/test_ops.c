/* test_ops.c - the operations of the CPU device against double precision; the same bits at every level, thread count and
 * cut; requests that do not fit refused; buffers, memory, failing allocations. (Attention: test_attend.c.)
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
#include "tests/lib/qs_test.h"

enum { N = 17 };

static void near(float got, double want, double error, const char *what, size_t at)
{
    if (!(fabs((double)got - want) <= error))
        fail_msg("%s: value %zu is %.9g, not %.9g", what, at, got, want);
}

static void add_buffer(struct rig *r, int i, size_t floats, float scale, uint64_t seed)
{
    seed = seed * 977 + (uint64_t)i;
    r->floats[i] = floats;
    r->data[i] = random_floats(floats, scale, &seed);
}

/* A stored matrix and its weights as floats. */
struct matrix {
    struct qs_mat m;
    uint8_t *bytes;
    float *w;
};

static struct matrix make_matrix(int type, size_t rows, size_t cols, size_t stack, uint64_t seed)
{
    const struct qs_format *f = qs_format_by_id(type);
    float *x = random_floats(rows * cols * stack, 0.1f, &seed);
    struct matrix a = { .bytes = stored_rows(f, x, rows * stack, cols), .w = x };
    qs_format_ops(type)->decode(&(struct qs_const_parts){ { a.bytes } }, rows * stack, cols, x, cols);
    a.m = (struct qs_mat){ f, { { a.bytes } }, rows, cols, stack, NULL };
    return a;
}

static void free_matrix(struct matrix *a)
{
    free(a->bytes);
    free(a->w);
}

static double product(const float *w, const float *x, size_t cols, double *size)
{
    double sum = 0;
    *size = 0;
    for (size_t k = 0; k < cols; k++) {
        sum += (double)w[k] * (double)x[k];
        *size += fabs((double)w[k] * (double)x[k]);
    }
    return sum;
}

/* ---- linear */

/* Three matrices of different types; results against the exact product. fast: the error that rounding each activation by
 * half a step can make, at most: blocks have a largest value of at most `most`. */
static void linear(int a, int b, int c, enum qs_precision p, size_t n, size_t cols)
{
    const size_t rows[3] = { 70, 33, 5 }, stride = 200;
    const int types[3] = { a, b, c };
    struct matrix m[3];
    struct rig r = { 0 };
    uint64_t seed = 5;
    float *bias = random_floats(100, 1, &seed);
    char name[60];
    snprintf(name, sizeof name, "linear %s %s %s, %s, %zu", qs_type_name(a), qs_type_name(b), qs_type_name(c),
             p == QS_FAST ? "fast" : "exact", n);
    add_buffer(&r, 0, n * (cols + 5), 1, 3);
    add_buffer(&r, 1, n * stride + 7, 1, 4);
    r.op = (struct qs_op){ QS_OP_LINEAR, n, { .linear = { .precision = p, .in = rig_view(0, 3, cols + 5), .n_mats = 3 } } };
    size_t at = 7;
    for (int i = 0; i < 3; i++) {
        m[i] = make_matrix(types[i], rows[i], cols, 1, (uint64_t)i + 1);
        r.op.u.linear.mat[i] = m[i].m;
        r.op.u.linear.bias[i] = i == 1 ? NULL : bias;
        r.op.u.linear.out[i] = rig_view(1, at, stride);
        at += rows[i];
    }
    rig_run(&r);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0, o = 7; i < 3; o += rows[i++])
            for (size_t k = 0; k < rows[i]; k++) {
                const float *x = r.data[0] + 3 + t * (cols + 5), *w = m[i].w + k * cols;
                double size, most = 0, weights = 0;
                const double want = product(w, x, cols, &size) + (i == 1 ? 0 : bias[k]);
                for (size_t j = 0; j < cols; j++) {
                    most = fmax(most, fabs(x[j]));
                    weights += fabs(w[j]);
                }
                const bool quant = p == QS_FAST && qs_dot_ops(types[i])->act != QS_ACT_F32;
                near(r.want[1][o + t * stride + k], want, size * 2e-6 + 1e-6 + (quant ? weights * most / 254 * 1.001 : 0), name,
                     k);
            }
    rig_same(&r, name);
    for (size_t k = 0; k < n * stride; k++) /* between the outputs nothing is touched */
        if (k % stride >= 108)
            assert_true(r.want[1][7 + k] == r.data[1][7 + k]);
    for (int i = 0; i < 3; i++)
        free_matrix(&m[i]);
    free(bias);
    rig_free(&r);
}

static void test_linear(void **state)
{
    (void)state;
    static const size_t counts[] = { 1, 2, 3, 5, 8, N };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const size_t n = counts[i];
        linear(QS_F32, QS_F16, QS_BF16, QS_EXACT, n, 67);
        linear(QS_Q4_1, QS_Q8_0, QS_F16, QS_FAST, n, 576);
        linear(QS_Q4_K, QS_Q6_K, QS_Q8_0, QS_FAST, n, 512);
        linear(QS_Q4_K, QS_IQ2_S, QS_Q4_0, QS_EXACT, n, 256);
    }
}

static void test_linear_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!can_be_made(f))
            continue;
        const size_t cols = f->block == 1 ? 33 : 3u * f->block;
        linear(f->id, f->id, QS_F32, QS_EXACT, 5, cols);
        linear(f->id, f->id, QS_F32, QS_FAST, 6, cols);
    }
}

static void test_linear_large(void **state) /* more than one block of tokens, and of decoded rows */
{
    (void)state;
    linear(QS_Q4_0, QS_F16, QS_F32, QS_EXACT, 40, 1280);
    linear(QS_Q4_0, QS_Q6_K, QS_IQ4_XS, QS_FAST, 90, 1280);
}

static void test_linear_random(void **state)
{
    (void)state;
    uint64_t s = 21;
    for (int i = 0; i < 12; i++) {
        int types[3];
        size_t unit = 1;
        for (int k = 0; k < 3;) {
            const struct qs_format *f = qs_format_at(golden_next(&s) % qs_format_count());
            if (!can_be_made(f))
                continue;
            types[k++] = f->id;
            unit = f->block > unit ? f->block : unit; /* blocks are powers of two */
        }
        const size_t blocks = unit == 1 ? 1 + golden_next(&s) % 90 : 1 + golden_next(&s) % (1024 / unit);
        linear(types[0], types[1], types[2], golden_next(&s) % 2 ? QS_FAST : QS_EXACT, 1 + golden_next(&s) % 30, blocks * unit);
    }
}

/* ---- rows */

static void test_embed(void **state)
{
    (void)state;
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q6_K, QS_IQ3_S };
    for (size_t i = 0; i < 5; i++) {
        int32_t tokens[40];
        struct matrix m = make_matrix(types[i], 50, 512, 1, i);
        struct rig r = { 0 };
        for (int k = 0; k < 40; k++)
            tokens[k] = k * 7 % 50;
        add_buffer(&r, 0, 40 * 515, 1, i);
        r.op = (struct qs_op){ QS_OP_EMBED, 40, { .embed = { tokens, m.m, 1.5f, rig_view(0, 1, 515) } } };
        rig_run(&r);
        for (size_t t = 0; t < 40; t++)
            for (size_t k = 0; k < 512; k++)
                assert_true(r.want[0][1 + t * 515 + k] == 1.5f * m.w[(size_t)tokens[t] * 512 + k]);
        rig_same(&r, "embed");
        rig_free(&r);
        free_matrix(&m);
    }
}

static void test_norm(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        const bool layer = kind & 1, plain = kind & 2;
        const size_t groups = plain ? 1 : 3, dim = plain ? 700 : 161, stride = groups * dim + 4;
        struct rig r = { 0 };
        uint64_t seed = 2;
        float *w = random_floats(dim, 1, &seed), *b = random_floats(dim, 1, &seed);
        add_buffer(&r, 0, N * stride, 3, 1);
        add_buffer(&r, 1, N * stride, 3, 2);
        r.op = (struct qs_op){ QS_OP_NORM, N, { .norm = { layer ? QS_NORM_LAYER : QS_NORM_RMS, rig_view(0, 4, stride),
            plain ? rig_view(0, 4, stride) : rig_view(1, 0, stride), groups, dim, plain ? NULL : w, plain ? NULL : b, 0.1f } } };
        rig_run(&r);
        const float *out = plain ? r.want[0] + 4 : r.want[1];
        for (size_t v = 0; v < N * groups; v++) {
            const float *x = r.data[0] + 4 + v / groups * stride + v % groups * dim;
            double mean = 0, var = 0;
            for (size_t k = 0; k < dim; k++)
                mean += layer ? (double)x[k] / (double)dim : 0;
            for (size_t k = 0; k < dim; k++)
                var += (x[k] - mean) * (x[k] - mean) / (double)dim;
            for (size_t k = 0; k < dim; k++) {
                const double want = (x[k] - mean) / sqrt(var + (double)0.1f) * (plain ? 1.0 : (double)w[k]) +
                                    (layer && !plain ? (double)b[k] : 0);
                near(out[v / groups * stride + v % groups * dim + k], want, 1e-5 + 1e-6 * fabs(want), "norm", k);
            }
        }
        rig_same(&r, "norm");
        rig_free(&r);
        free(w);
        free(b);
    }
}

static void test_rope(void **state)
{
    (void)state;
    for (int neox = 0; neox < 2; neox++) {
        const size_t heads = 5, dim = 70, n_rot = 64, stride = heads * dim + 1;
        struct rig r = { 0 };
        add_buffer(&r, 0, N * stride, 1, 1);
        add_buffer(&r, 1, N * n_rot, 1, 2);
        r.op = (struct qs_op){ QS_OP_ROPE, N, { .rope = { neox ? QS_ROPE_NEOX : QS_ROPE_NORM, rig_view(0, 0, stride),
                                                            rig_view(1, 0, n_rot), heads, dim, n_rot } } };
        rig_run(&r);
        for (size_t t = 0; t < N; t++)
            for (size_t h = 0; h < heads; h++) {
                const float *x = r.data[0] + t * stride + h * dim, *y = r.want[0] + t * stride + h * dim;
                const float *angle = r.data[1] + t * n_rot;
                for (size_t i = 0; i < n_rot / 2; i++) {
                    const size_t a = neox ? i : 2 * i, b = neox ? i + n_rot / 2 : 2 * i + 1;
                    const double cos = angle[2 * i], sin = angle[2 * i + 1];
                    near(y[a], x[a] * cos - x[b] * sin, 1e-5, "rope", a);
                    near(y[b], x[a] * sin + x[b] * cos, 1e-5, "rope", b);
                }
                for (size_t k = n_rot; k < dim; k++)
                    assert_true(x[k] == y[k]);
            }
        rig_same(&r, "rope");
        rig_free(&r);
    }
}

static void test_rotate(void **state)
{
    (void)state;
    const size_t heads = 3, dim = 96, block = 32, stride = heads * dim;
    struct rig r = { 0 };
    add_buffer(&r, 0, N * stride, 1, 1);
    r.op = (struct qs_op){ QS_OP_ROTATE, N, { .rotate = { rig_view(0, 0, stride), heads, dim, block } } };
    rig_run(&r);
    for (size_t i = 0; i < N * stride; i++) {
        double want = 0;
        for (size_t k = 0; k < block; k++)
            want += (__builtin_popcountll(i & k & (block - 1)) & 1 ? -1.0 : 1.0) * r.data[0][i / block * block + k];
        near(r.want[0][i], want / sqrt(32.0), 1e-5, "rotate", i);
    }
    rig_same(&r, "rotate");
    rig_free(&r);
}

static double glu(enum qs_glu_kind kind, double g, double u)
{
    switch (kind) {
    case QS_GLU_SILU: return g / (1 + exp(-g)) * u;
    case QS_GLU_GELU: return g / 2 * (1 + tanh(0.79788456080286535588 * (g + 0.044715 * g * g * g))) * u;
    case QS_GLU_GELU_ERF: return g / 2 * (1 + erf(g / sqrt(2))) * u;
    default:
        g = fmin(g, 2);
        u = fmax(fmin(u, 2), -2);
        return g / (1 + exp(-1.702 * g)) * (u + 1);
    }
}

static void test_glu(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const size_t cols = 333;
            struct rig r = { 0 };
            add_buffer(&r, 0, N * 2 * cols, 3, 1);
            add_buffer(&r, 1, N * cols, 3, 2);
            r.op = (struct qs_op){ QS_OP_GLU, N, { .glu = { (enum qs_glu_kind)kind, rig_view(0, 0, 2 * cols),
                rig_view(0, cols, 2 * cols), in_place ? rig_view(0, 0, 2 * cols) : rig_view(1, 0, cols), cols, 1.702f, 2 } } };
            rig_run(&r);
            for (size_t i = 0; i < N * cols; i++) {
                const size_t at = i / cols * 2 * cols + i % cols;
                const double want = glu((enum qs_glu_kind)kind, r.data[0][at], r.data[0][at + cols]);
                near(in_place ? r.want[0][at] : r.want[1][i], want, 1e-5 + 2e-6 * fabs(want), "glu", i);
            }
            rig_same(&r, "glu");
            rig_free(&r);
        }
}

static void test_add(void **state)
{
    (void)state;
    for (int gated = 0; gated < 2; gated++) {
        const size_t cols = 2001;
        struct rig r = { 0 };
        add_buffer(&r, 0, N * cols, 1, 1);
        add_buffer(&r, 1, N * cols, 1, 2);
        add_buffer(&r, 2, N, 1, 3);
        r.op = (struct qs_op){ QS_OP_ADD, N, { .add = { rig_view(0, 0, cols), rig_view(1, 0, cols),
                                                          gated ? rig_view(2, 0, 1) : (struct qs_view){ 0 }, cols, 0.4f } } };
        rig_run(&r);
        for (size_t i = 0; i < N * cols; i++) {
            const double g = gated ? 1 / (1 + exp(-(double)r.data[2][i / cols])) : 1;
            near(r.want[0][i], r.data[0][i] + 0.4 * r.data[1][i] * g, 1e-5, "add", i);
        }
        rig_same(&r, "add");
        rig_free(&r);
    }
}

static void test_softcap(void **state)
{
    (void)state;
    for (int capped = 0; capped < 2; capped++) {
        const size_t cols = 1001;
        struct rig r = { 0 };
        add_buffer(&r, 0, N * cols, 20, 1);
        r.op = (struct qs_op){ QS_OP_SOFTCAP, N, { .softcap = { rig_view(0, 0, cols), cols, capped ? 30.0f : 0, 0.5f } } };
        rig_run(&r);
        for (size_t i = 0; i < N * cols; i++) {
            const double x = r.data[0][i] * 0.5;
            near(r.want[0][i], capped ? 30 * tanh(x / 30) : x, 1e-5, "softcap", i);
        }
        rig_same(&r, "softcap");
        rig_free(&r);
    }
}

/* ---- taps */

static void run_tap(struct qs_pool *pool, struct qs_tap *tap, const float *x, size_t n, size_t cut)
{
    struct qs_device *d;
    struct qs_buf *b;
    assert_int_equal(qs_cpu_device_new(pool, &d, NULL), QS_OK);
    assert_int_equal(d->buf_new(d, n * tap->cols * 4, &b, NULL), QS_OK);
    assert_int_equal(d->buf_write(d, b, 0, x, n * tap->cols * 4, NULL), QS_OK);
    for (size_t t = 0; t < n; t += cut) {
        const struct qs_op op = { QS_OP_TAP, n - t < cut ? n - t : cut,
                                  { .tap = { { b, t * tap->cols, tap->cols }, tap->cols, tap } } };
        assert_int_equal(d->record(d, &op, NULL), QS_OK);
    }
    assert_int_equal(d->submit(d, QS_PRIO_JOB, NULL), QS_OK);
    d->buf_free(d, b);
    d->free(d);
}

static void test_taps(void **state)
{
    (void)state;
    enum { ROWS = 30, COLS = 601 };
    uint64_t seed = 1;
    float *x = random_floats(ROWS * COLS, 2, &seed), *rows = need(20 * COLS * 4);
    float *gram = need(COLS * COLS * 4), *first = need(COLS * COLS * 4);
    double *sum = need(COLS * 8), *first_sum = need(COLS * 8);
    for (int way = 0; way < 6; way++) {
        struct qs_pool *pool = NULL;
        const size_t cut = way % 3 == 0 ? ROWS : way % 3 == 1 ? 1 : 7;
        if (way > 0)
            assert_int_equal(qs_pool_new((unsigned)way, &pool, NULL), QS_OK);
        qs_level_limit(way == 0 ? QS_LEVEL_REF : QS_LEVEL_COUNT);
        memset(gram, 0, COLS * COLS * 4);
        memset(sum, 0, COLS * 8);
        struct qs_tap a = { .kind = QS_TAP_SUMSQ, .cols = COLS, .sum = sum };
        struct qs_tap b = { .kind = QS_TAP_GRAM, .cols = COLS, .gram = gram };
        struct qs_tap c = { .kind = QS_TAP_ROWS, .cols = COLS, .rows = rows, .max_rows = 20 };
        run_tap(pool, &a, x, ROWS, cut);
        run_tap(pool, &b, x, ROWS, cut);
        run_tap(pool, &c, x, ROWS, cut);
        assert_true(a.count == ROWS && b.count == ROWS && c.count == ROWS && c.n_rows == 20);
        assert_memory_equal(rows, x, 20 * COLS * 4);
        if (way == 0) {
            memcpy(first, gram, COLS * COLS * 4);
            memcpy(first_sum, sum, COLS * 8);
        }
        assert_memory_equal(first, gram, COLS * COLS * 4);
        assert_memory_equal(first_sum, sum, COLS * 8);
        qs_pool_free(pool);
    }
    for (size_t i = 0; i < COLS; i++)
        for (size_t k = 0; k < COLS; k += 1 + k % 5) {
            double want = 0, size = 0;
            for (size_t t = 0; k >= i && t < ROWS; t++) {
                want += (double)x[t * COLS + i] * (double)x[t * COLS + k];
                size += fabs((double)x[t * COLS + i] * (double)x[t * COLS + k]);
            }
            near(gram[i * COLS + k], want, size * 3e-6, "gram", i * COLS + k); /* below the diagonal: untouched */
            if (i == k)
                assert_true(fabs(sum[i] - want) <= 1e-12 * size);
        }
    free(x);
    free(rows);
    free(gram);
    free(first);
    free(sum);
    free(first_sum);
}

static void test_finite(void **state)
{
    (void)state;
    uint64_t seed = 1;
    float *x = random_floats(12 * 40, 1, &seed);
    struct qs_tap t = { .kind = QS_TAP_FINITE, .cols = 40 };
    run_tap(NULL, &t, x, 12, 12);
    assert_true(t.nonfinite == 0 && t.count == 12);
    x[5 * 40 + 3] = NAN;
    x[5 * 40 + 4] = INFINITY;
    x[9 * 40 + 39] = -INFINITY;
    x[2 * 40] = 3.4e38f;
    run_tap(NULL, &t, x, 12, 5);
    assert_true(t.nonfinite == 3 && t.count == 24 && t.first == 17);
    run_tap(NULL, &t, x, 12, 12);
    assert_true(t.nonfinite == 6 && t.count == 36 && t.first == 17);
    free(x);
}

/* ---- the device */

static void test_buffers(void **state)
{
    (void)state;
    struct qs_device *d;
    struct qs_buf *b;
    struct qs_err e = QS_ERR_INIT;
    uint8_t in[10] = { 1, 2, 3 }, out[10];
    assert_int_equal(qs_cpu_device_new(NULL, &d, NULL), QS_OK);
    const uint64_t empty = d->memory(d);
    assert_int_equal(d->buf_new(d, 10, &b, NULL), QS_OK);
    assert_true(d->memory(d) == empty + 10);
    assert_int_equal(d->buf_read(d, b, 0, out, 10, NULL), QS_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(out[i], 0);
    assert_int_equal(d->buf_write(d, b, 7, in, 3, NULL), QS_OK);
    assert_int_equal(d->buf_read(d, b, 7, out, 3, NULL), QS_OK);
    assert_memory_equal(in, out, 3);
    assert_int_equal(d->buf_write(d, b, 8, in, 3, &e), QS_EINVAL);
    assert_int_equal(d->buf_read(d, b, SIZE_MAX, out, 3, NULL), QS_EINVAL);
    assert_int_equal(d->buf_write(d, b, 10, NULL, 0, NULL), QS_OK);
    d->buf_free(d, b);
    assert_true(d->memory(d) == empty);
    assert_int_equal(d->buf_new(d, SIZE_MAX / 2, &b, &e), QS_ENOMEM);
    assert_null(b);
    d->free(d);
}

static void test_begin_forgets(void **state)
{
    (void)state;
    struct qs_device *d;
    struct qs_buf *b;
    float x[4] = { 1, 2, 3, 4 };
    assert_int_equal(qs_cpu_device_new(NULL, &d, NULL), QS_OK);
    assert_int_equal(d->buf_new(d, sizeof x, &b, NULL), QS_OK);
    assert_int_equal(d->buf_write(d, b, 0, x, sizeof x, NULL), QS_OK);
    const struct qs_op twice = { QS_OP_SOFTCAP, 1, { .softcap = { { b, 0, 4 }, 4, 0, 2 } } };
    assert_int_equal(d->record(d, &twice, NULL), QS_OK);
    assert_int_equal(d->begin(d, NULL), QS_OK);
    assert_int_equal(d->record(d, &twice, NULL), QS_OK);
    assert_int_equal(d->submit(d, QS_PRIO_JOB, NULL), QS_OK);
    assert_int_equal(d->submit(d, QS_PRIO_JOB, NULL), QS_OK); /* nothing is left */
    assert_int_equal(d->buf_read(d, b, 0, x, sizeof x, NULL), QS_OK);
    assert_true(x[0] == 2 && x[3] == 8);
    d->buf_free(d, b);
    d->free(d);
}

static int device_and_layer(void *ctx, struct qs_err *e)
{
    const struct matrix *m = ctx;
    struct qs_device *d;
    struct qs_buf *b = NULL;
    int rc = qs_cpu_device_new(NULL, &d, e);
    if (rc != QS_OK)
        return rc;
    rc = d->buf_new(d, 4000 * 4, &b, e);
    struct qs_op op = { QS_OP_LINEAR, 2, { .linear = { .precision = QS_FAST, .in = { b, 0, 256 }, .n_mats = 1 } } };
    op.u.linear.mat[0] = m->m;
    op.u.linear.out[0] = (struct qs_view){ b, 1000, 40 };
    for (int exact = 0; rc == QS_OK && exact < 2; exact++) {
        op.u.linear.precision = exact ? QS_EXACT : QS_FAST;
        rc = d->record(d, &op, e);
    }
    if (rc == QS_OK)
        rc = d->submit(d, QS_PRIO_JOB, e);
    d->buf_free(d, b);
    d->free(d);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct matrix m = make_matrix(QS_Q4_K, 40, 256, 1, 1);
    qs_test_each_alloc(device_and_layer, &m);
    free_matrix(&m);
}

static void test_refused(void **state)
{
    (void)state;
    struct matrix m = make_matrix(QS_Q8_0, 10, 64, 1, 1);
    struct rig r = { 0 };
    add_buffer(&r, 0, 5 * 64, 1, 1);
    add_buffer(&r, 1, 5 * 10, 1, 1);
    struct qs_op good = { QS_OP_LINEAR, 5, { .linear = { .in = rig_view(0, 0, 64), .n_mats = 1 } } };
    good.u.linear.mat[0] = m.m;
    good.u.linear.out[0] = rig_view(1, 0, 10);
    r.op = good;
    assert_int_equal(rig_refused(&r), QS_OK);
    static const struct qs_format odd = { .id = 9999, .name = "odd", .block = 32, .n_components = 1 };
#define BAD(change, code)                                                                                              \
    do {                                                                                                               \
        r.op = good;                                                                                                   \
        r.op.change;                                                                                                   \
        assert_int_equal(rig_refused(&r), code);                                                                       \
    } while (0)
    BAD(n = 6, QS_EINVAL);
    BAD(n = 0, QS_EINVAL);
    BAD(kind = QS_OP_KINDS, QS_EUNSUPPORTED);
    BAD(u.linear.n_mats = 0, QS_EINVAL);
    BAD(u.linear.n_mats = 4, QS_EINVAL);
    BAD(u.linear.precision = (enum qs_precision)7, QS_EINVAL);
    BAD(u.linear.in.stride = 63, QS_EINVAL);
    BAD(u.linear.in.at = SIZE_MAX - 3, QS_EINVAL);
    BAD(u.linear.in.stride = SIZE_MAX / 4 + 1, QS_EINVAL);
    BAD(u.linear.out[0].at = 1, QS_EINVAL);
    BAD(u.linear.out[0] = rig_view(0, 2, 64), QS_EINVAL);
    BAD(u.linear.mat[0].cols = 65, QS_EINVAL);
    BAD(u.linear.mat[0].rows = SIZE_MAX / 32, QS_EINVAL);
    BAD(u.linear.mat[0].rows = 0, QS_EINVAL);
    BAD(u.linear.mat[0].stack = 2, QS_EINVAL);
    BAD(u.linear.mat[0].parts.p[0] = NULL, QS_EINVAL);
    BAD(u.linear.mat[0].parts.p[0] += 1, QS_EINVAL);
    BAD(u.linear.mat[0].format = NULL, QS_EINVAL);
    BAD(u.linear.mat[0].format = &odd, QS_EUNSUPPORTED);
    /* Input and output in the columns of one buffer, wherever its rows begin: input has 50..79 and 0..33 of 80. */
    good.u.linear.in = rig_view(0, 50, 80);
    good.n = 3;
    good.u.linear.out[0] = rig_view(0, 114, 80);
    r.op = good;
    assert_int_equal(rig_refused(&r), QS_OK);
    BAD(u.linear.out[0].at = 113, QS_EINVAL);
    BAD(u.linear.out[0].at = 40, QS_OK);
    BAD(u.linear.out[0].at = 41, QS_EINVAL);
    BAD(u.linear.out[0].at = 100, QS_EINVAL);
    BAD(u.linear.out[0].stride = 79, QS_EINVAL);
    good = (struct qs_op){ QS_OP_ROPE, 5, { .rope = { QS_ROPE_NORM, rig_view(0, 0, 64), rig_view(1, 0, 10), 4, 16, 10 } } };
    r.op = good;
    assert_int_equal(rig_refused(&r), QS_OK);
    BAD(u.rope.n_rot = 9, QS_EINVAL);
    BAD(u.rope.n_rot = 12, QS_EINVAL);
    BAD(u.rope.heads = 5, QS_EINVAL);
    BAD(u.rope.heads = SIZE_MAX / 16 + 1, QS_EINVAL);
    good = (struct qs_op){ QS_OP_ROTATE, 5, { .rotate = { rig_view(0, 0, 64), 4, 16, 8 } } };
    r.op = good;
    assert_int_equal(rig_refused(&r), QS_OK);
    BAD(u.rotate.block = 6, QS_EINVAL);
    BAD(u.rotate.block = 32, QS_EINVAL);
    BAD(u.rotate.block = 0, QS_EINVAL);
    free_matrix(&m);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),        cmocka_unit_test(test_linear_types), cmocka_unit_test(test_linear_large),
        cmocka_unit_test(test_linear_random),
        cmocka_unit_test(test_embed),         cmocka_unit_test(test_norm),         cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rotate),        cmocka_unit_test(test_glu),          cmocka_unit_test(test_add),
        cmocka_unit_test(test_softcap),       cmocka_unit_test(test_taps),         cmocka_unit_test(test_finite),
        cmocka_unit_test(test_buffers),       cmocka_unit_test(test_begin_forgets), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
