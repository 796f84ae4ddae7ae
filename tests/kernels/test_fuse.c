/* test_fuse.c - steps that go together give the bits of one operation after the other, whatever memory they share; what
 * belongs together does go together, and what must not does not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu_device.h"
#include "tests/kernels/dot_data.h"
#include "tests/lib/qs_test.h"

enum { N = 40, COLS = 64, STRIDE = 3 * COLS, ROWS = N + 2, FLOATS = ROWS * STRIDE, BUFFERS = 3, MOST = 20 };

struct world {
    struct qs_pool *pool;
    struct qs_device *dev;
    struct qs_buf *buf[BUFFERS], *cache;
    float *start[BUFFERS];
    struct qs_mat mat;
    uint8_t *stored;
};

static void set_up(struct world *w)
{
    struct qs_err e = QS_ERR_INIT;
    uint64_t seed = 11;
    assert_int_equal(qs_pool_new(4, &w->pool, &e), QS_OK);
    assert_int_equal(qs_cpu_device_new(w->pool, &w->dev, &e), QS_OK);
    for (int i = 0; i < BUFFERS; i++) {
        assert_int_equal(w->dev->buf_new(w->dev, FLOATS * sizeof(float), &w->buf[i], &e), QS_OK);
        w->start[i] = random_floats(FLOATS, 1, &seed);
    }
    assert_int_equal(w->dev->buf_new(w->dev, 2 * N * COLS * 4, &w->cache, &e), QS_OK);
    float *x = random_floats(COLS * COLS, 0.1f, &seed);
    w->stored = stored_rows(qs_format_by_id(QS_Q8_0), x, COLS, COLS);
    w->mat = (struct qs_mat){ qs_format_by_id(QS_Q8_0), { { w->stored } }, COLS, COLS, 1, NULL };
    free(x);
}

static void tear_down(struct world *w)
{
    for (int i = 0; i < BUFFERS; i++) {
        w->dev->buf_free(w->dev, w->buf[i]);
        free(w->start[i]);
    }
    w->dev->buf_free(w->dev, w->cache);
    w->dev->free(w->dev);
    qs_pool_free(w->pool);
    free(w->stored);
}

/* A column block of a buffer, from its first, second or third row on. */
static struct qs_view view(struct world *w, int buf, size_t block, size_t row)
{
    return (struct qs_view){ w->buf[buf], row * STRIDE + block * COLS, STRIDE };
}

static struct qs_op add(struct qs_view x, struct qs_view y) { return (struct qs_op){ QS_OP_ADD, N, { .add = { x, y, { 0 }, COLS, 0.5f } } }; }
static struct qs_op norm(struct qs_view in, struct qs_view out)
{
    return (struct qs_op){ QS_OP_NORM, N, { .norm = { QS_NORM_RMS, in, out, 1, COLS, NULL, NULL, 1e-5f } } };
}
static struct qs_op glu(struct qs_view gate, struct qs_view up)
{
    return (struct qs_op){ QS_OP_GLU, N, { .glu = { QS_GLU_SILU, gate, up, gate, COLS, 0, 0 } } };
}
static struct qs_op rope(struct qs_view x, struct qs_view angle)
{
    return (struct qs_op){ QS_OP_ROPE, N, { .rope = { QS_ROPE_NEOX, x, angle, 2, COLS / 2, COLS / 2 } } };
}
static struct qs_op append(struct world *w, struct qs_view k, struct qs_view v)
{
    const struct qs_cache kc = { w->cache, 0, COLS * 4, QS_F32 }, vc = { w->cache, N * COLS * 4, COLS * 4, QS_F32 };
    return (struct qs_op){ QS_OP_APPEND, N, { .append = { k, v, kc, vc, 1, COLS, COLS, 0 } } };
}
static struct qs_op linear(struct world *w, struct qs_view in, struct qs_view out)
{
    struct qs_op op = { QS_OP_LINEAR, N, { .linear = { .precision = QS_FAST, .in = in, .n_mats = 1 } } };
    op.u.linear.mat[0] = w->mat;
    op.u.linear.out[0] = out;
    return op;
}

/* What the buffers and the cache hold after these operations, submitted together or one by one. */
static float *after(struct world *w, const struct qs_op *op, size_t n, bool together)
{
    struct qs_err e = QS_ERR_INIT;
    const size_t cache = 2 * N * COLS;
    float *all = malloc((BUFFERS * FLOATS + cache) * sizeof *all);
    memset(all, 0, cache * sizeof *all);
    assert_int_equal(w->dev->buf_write(w->dev, w->cache, 0, all, cache * sizeof *all, &e), QS_OK);
    for (int i = 0; i < BUFFERS; i++)
        assert_int_equal(w->dev->buf_write(w->dev, w->buf[i], 0, w->start[i], FLOATS * sizeof(float), &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !together)
            assert_int_equal(w->dev->begin(w->dev, &e), QS_OK);
        if (w->dev->record(w->dev, &op[i], &e) != QS_OK)
            fail_msg("operation %zu: %s", i, e.msg);
        if (i == n - 1 || !together)
            assert_int_equal(w->dev->submit(w->dev, QS_PRIO_JOB, &e), QS_OK);
    }
    for (int i = 0; i < BUFFERS; i++)
        assert_int_equal(w->dev->buf_read(w->dev, w->buf[i], 0, all + i * FLOATS, FLOATS * sizeof(float), &e), QS_OK);
    assert_int_equal(w->dev->buf_read(w->dev, w->cache, 0, all + BUFFERS * FLOATS, cache * sizeof *all, &e), QS_OK);
    return all;
}

static void same(struct world *w, const struct qs_op *op, size_t n, const char *what)
{
    float *a = after(w, op, n, true), *b = after(w, op, n, false);
    if (memcmp(a, b, (BUFFERS * FLOATS + 2 * N * COLS) * sizeof *a) != 0)
        fail_msg("%s: together is not one by one", what);
    free(a);
    free(b);
}

static void test_a_block_goes_together(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    const struct qs_op residual[] = { add(view(&w, 0, 0, 0), view(&w, 1, 0, 0)), norm(view(&w, 0, 0, 0), view(&w, 0, 1, 0)),
                                      linear(&w, view(&w, 0, 1, 0), view(&w, 2, 0, 0)) };
    const struct qs_op place[] = { rope(view(&w, 2, 0, 0), view(&w, 1, 1, 0)), rope(view(&w, 2, 1, 0), view(&w, 1, 1, 0)),
                                   append(&w, view(&w, 2, 1, 0), view(&w, 2, 2, 0)) };
    const struct qs_op gate[] = { glu(view(&w, 0, 0, 0), view(&w, 0, 1, 0)), linear(&w, view(&w, 0, 0, 0), view(&w, 1, 0, 0)),
                                  add(view(&w, 2, 0, 0), view(&w, 1, 0, 0)) };
    assert_int_equal(qs_cpu_fits(residual, 3), 3);
    assert_int_equal(qs_cpu_fits(place, 3), 3);
    assert_int_equal(qs_cpu_fits(gate, 3), 2); /* products end a run */
    same(&w, residual, 3, "residual, norm, product");
    same(&w, place, 3, "RoPE and the cache");
    same(&w, gate, 3, "gate, product, residual");
    tear_down(&w);
}

/* Rows that another token writes, other numbers of tokens, other strides: not in one run. */
static void test_what_must_not(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    struct qs_op op[] = { add(view(&w, 0, 0, 1), view(&w, 1, 0, 0)), norm(view(&w, 0, 0, 0), view(&w, 2, 0, 0)) };
    assert_int_equal(qs_cpu_fits(op, 2), 1);
    same(&w, op, 2, "the row of the next token");
    op[1] = norm(view(&w, 0, 0, 1), view(&w, 2, 0, 0));
    assert_int_equal(qs_cpu_fits(op, 2), 2);
    op[1].n--;
    assert_int_equal(qs_cpu_fits(op, 2), 1);
    op[1].n++;
    op[1].u.norm.in.stride = 2 * COLS;
    assert_int_equal(qs_cpu_fits(op, 2), 1);
    same(&w, op, 2, "another stride");
    op[1].u.norm.in = view(&w, 1, 0, 0);
    op[1].u.norm.in.at += STRIDE - COLS / 2; /* reaches into the next row */
    op[0].u.add.x = view(&w, 1, 2, 0);
    assert_int_equal(qs_cpu_fits(op, 2), 1);
    same(&w, op, 2, "across rows");
    tear_down(&w);
}

static void test_any_list(void **state)
{
    struct world w;
    uint64_t s = 7;
    size_t longest = 0;
    (void)state;
    set_up(&w);
    for (int round = 0; round < 200; round++) {
        struct qs_op op[MOST];
        const size_t n = 2 + golden_next(&s) % (MOST - 1);
        for (size_t i = 0; i < n; i++) {
            struct qs_view v[2];
            const size_t shift = golden_next(&s) % 4; /* most are the same rows */
            const int other = (int)(golden_next(&s) % BUFFERS);
            const size_t block = golden_next(&s) % 3;
            v[0] = view(&w, other, block, shift == 3);
            v[1] = view(&w, (other + (int)(golden_next(&s) % 2)) % BUFFERS, (block + 1) % 3, shift == 2);
            switch (golden_next(&s) % 6) {
            case 0: op[i] = add(v[0], v[1]); break;
            case 1: op[i] = norm(v[0], v[1]); break;
            case 2: op[i] = glu(v[0], v[1]); break;
            case 3: op[i] = rope(v[0], v[1]); break;
            case 4: op[i] = append(&w, v[0], v[1]); break;
            default: op[i] = linear(&w, v[0], view(&w, (other + 1) % BUFFERS, block, 0)); break;
            }
        }
        for (size_t i = 0; i < n; i++)
            longest = qs_cpu_fits(&op[i], n - i) > longest ? qs_cpu_fits(&op[i], n - i) : longest;
        char what[40];
        snprintf(what, sizeof what, "list %d", round);
        same(&w, op, n, what);
    }
    assert_true(longest > 3);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_goes_together),
        cmocka_unit_test(test_what_must_not),
        cmocka_unit_test(test_any_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
