/* test_attend.c - append and attend against softmax in double: cache types, grouped heads, windows, caps, sinks; the
 * same bits at every level, thread count and cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/level.h"
#include "tests/kernels/dot_data.h"
#include "tests/kernels/op_rig.h"

struct shape {
    size_t n, pos, n_head, n_kv, dk, dv, window;
    float scale, softcap;
    bool sinks;
    int ktype, vtype;
};

static size_t row_bytes(int type, size_t cols) { return qs_format_row_bytes(qs_format_by_id(type), cols); }

/* Buffer 0: queries, keys, values, one after the other; 1: the two caches; 2: output. */
struct attention {
    struct shape s;
    struct rig append, attend;
    float *k, *v;      /* rows as the cache gives them back */
    float sinks[16];
};

static struct qs_cache cache(int type, size_t at, size_t heads, size_t dim)
{
    return (struct qs_cache){ rig_buf(1), at, (row_bytes(type, heads * dim) + 7) / 8 * 8 + 8, type };
}

/* The plain cache rows of all positions, from random keys and values. */
static void fill_cache(struct attention *a, const struct qs_cache *c, size_t dim, float *rows, uint8_t *mem, uint64_t *seed)
{
    const size_t cols = a->s.n_kv * dim;
    for (size_t p = 0; p < a->s.pos + a->s.n; p++) {
        float *x = random_floats(cols, 1, seed);
        uint8_t *b = stored_rows(qs_format_by_id(c->type), x, 1, cols);
        memcpy(mem + c->at + p * c->row_bytes, b, row_bytes(c->type, cols));
        qs_format_ops(c->type)->decode(&(struct qs_const_parts){ { b } }, 1, cols, rows + p * cols, cols);
        free(x);
        free(b);
    }
}

static struct attention make(const struct shape *s, uint64_t seed)
{
    struct attention a = { .s = *s };
    const size_t all = s->pos + s->n, q = s->n_head * s->dk, o = s->n_head * s->dv;
    const struct qs_cache kc = cache(s->ktype, 16, s->n_kv, s->dk);
    const struct qs_cache vc = cache(s->vtype, 16 + all * kc.row_bytes + 8, s->n_kv, s->dv);
    a.attend.data[0] = random_floats(s->n * (q + 3), 1.5f, &seed);
    a.attend.floats[0] = s->n * (q + 3);
    a.attend.floats[1] = (vc.at + all * vc.row_bytes + 3) / 4;
    a.attend.data[1] = need(a.attend.floats[1] * 4);
    a.attend.floats[2] = s->n * (o + 1);
    a.attend.data[2] = need(a.attend.floats[2] * 4);
    a.k = need(all * s->n_kv * s->dk * 4);
    a.v = need(all * s->n_kv * s->dv * 4);
    fill_cache(&a, &kc, s->dk, a.k, (uint8_t *)a.attend.data[1], &seed);
    fill_cache(&a, &vc, s->dv, a.v, (uint8_t *)a.attend.data[1], &seed);
    for (int i = 0; i < 16; i++)
        a.sinks[i] = golden_bell(&seed);
    a.attend.op = (struct qs_op){ QS_OP_ATTEND, s->n, { .attend = { rig_view(0, 2, q + 3), rig_view(2, 0, o + 1), kc, vc,
        s->n_head, s->n_kv, s->dk, s->dv, s->pos, s->window, s->scale, s->softcap, NULL } } };
    return a;
}

/* One output row in double. */
static void expected(const struct attention *a, size_t t, size_t h, double *out)
{
    const struct shape *s = &a->s;
    const size_t kv = h / (s->n_head / s->n_kv), p = s->pos + t;
    const float *q = a->attend.data[0] + 2 + t * (s->n_head * s->dk + 3) + h * s->dk;
    float x[128]; /* the query as it meets the keys */
    for (size_t k = 0; k < s->dk; k++)
        x[k] = q[k] * s->scale;
    if (s->ktype >= QS_Q4_0) {
        _Alignas(32) int8_t row[512];
        qs_row_ops()->attend.query(x, s->dk, row);
        for (size_t k = 0; k < s->dk; k++) {
            const float exact = x[k];
            x[k] = qs_query_scales(row, s->dk)[k / 32] * (float)(256 * row[k] + row[s->dk + k]);
            if (!(fabsf(x[k] - exact) <= 3e-4f)) /* of queries below about 15: half a 32512th of the largest */
                fail_msg("value %zu of a query became %g, not %g", k, x[k], exact);
        }
    }
    double max = s->sinks ? a->sinks[h] : -INFINITY, sum = 0, *w = need((p + 1) * sizeof *w);
    const size_t from = s->window && p + 1 > s->window ? p + 1 - s->window : 0;
    for (size_t i = from; i <= p; i++) {
        for (size_t k = 0; k < s->dk; k++)
            w[i] += (double)x[k] * (double)a->k[(i * s->n_kv + kv) * s->dk + k];
        w[i] = s->softcap > 0 ? s->softcap * tanh(w[i] / s->softcap) : w[i];
        max = fmax(max, w[i]);
    }
    for (size_t i = from; i <= p; i++)
        sum += w[i] = exp(w[i] - max);
    sum += s->sinks ? exp(a->sinks[h] - max) : 0;
    for (size_t d = 0; d < s->dv; d++) {
        out[d] = 0;
        for (size_t i = from; i <= p; i++)
            out[d] += w[i] / sum * (double)a->v[(i * s->n_kv + kv) * s->dv + d];
    }
    free(w);
}

static void check(const struct attention *a, const char *name)
{
    double *want = need(a->s.dv * sizeof *want);
    for (size_t t = 0; t < a->s.n; t++)
        for (size_t h = 0; h < a->s.n_head; h++) {
            const float *got = a->attend.want[2] + t * (a->s.n_head * a->s.dv + 1) + h * a->s.dv;
            expected(a, t, h, want);
            for (size_t d = 0; d < a->s.dv; d++)
                if (!(fabs(got[d] - want[d]) <= 2e-5 * fmax(1, fabs(want[d]))))
                    fail_msg("%s: token %zu, head %zu, value %zu is %g, not %g", name, t, h, d, got[d], want[d]);
        }
    free(want);
}

static void one_shape(const struct shape *s, const char *name)
{
    struct attention a = make(s, 7 + s->n + s->pos);
    if (s->sinks)
        a.attend.op.u.attend.sinks = a.sinks;
    rig_run(&a.attend);
    check(&a, name);
    rig_same(&a.attend, name);
    rig_free(&a.attend);
    free(a.k);
    free(a.v);
}

static void test_attend(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct shape s;
    } shapes[] = {
        { "first token", { 1, 0, 3, 1, 8, 8, 0, 0.3f, 0, false, QS_F32, QS_F32 } },
        { "across the first tile", { 9, 60, 4, 2, 16, 8, 0, 0.3f, 0, false, QS_F32, QS_F32 } },
        { "grouped, F16", { 17, 130, 9, 3, 64, 64, 0, 0.125f, 0, false, QS_F16, QS_F16 } },
        { "Q8_0", { 8, 121, 4, 1, 32, 64, 0, 0.2f, 0, false, QS_Q8_0, QS_Q8_0 } },
        { "Q4_0 and F16", { 5, 64, 2, 2, 32, 20, 0, 0.2f, 0, false, QS_Q4_0, QS_F16 } },
        { "window inside a tile", { 20, 50, 2, 1, 16, 16, 7, 0.3f, 0, false, QS_F32, QS_F16 } },
        { "window of tiles", { 13, 200, 2, 1, 16, 16, 64, 0.3f, 0, false, QS_F16, QS_F32 } },
        { "window of one", { 6, 62, 2, 1, 16, 16, 1, 0.3f, 0, false, QS_F16, QS_F32 } },
        { "cap", { 6, 70, 2, 1, 16, 16, 0, 0.5f, 3.0f, false, QS_F32, QS_F32 } },
        { "sinks, window", { 30, 50, 4, 2, 16, 16, 16, 0.5f, 0, true, QS_F32, QS_F32 } },
        { "sinks, cap, from 0", { 70, 0, 2, 2, 16, 24, 0, 0.5f, 5.0f, true, QS_F16, QS_F16 } },
        { "odd dimensions", { 3, 66, 2, 1, 7, 5, 0, 0.5f, 0, false, QS_F32, QS_F32 } },
        { "several runs, many queries", { 40, 500, 4, 1, 64, 64, 0, 0.125f, 0, false, QS_F16, QS_F16 } },
        { "several runs, Q8_0", { 30, 480, 8, 2, 64, 96, 0, 0.125f, 0, false, QS_Q8_0, QS_Q8_0 } },
        { "several runs, window", { 30, 490, 6, 2, 40, 80, 300, 0.125f, 0, true, QS_F16, QS_F32 } },
        { "far along", { 2, 1500, 3, 1, 64, 64, 0, 0.3f, 0, false, QS_F16, QS_F16 } },
        { "far along, window", { 1, 1500, 6, 1, 64, 64, 700, 0.3f, 0, true, QS_F16, QS_Q8_0 } },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        one_shape(&shapes[i].s, shapes[i].name);
}

static void test_random_shapes(void **state)
{
    (void)state;
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    uint64_t s = 11;
    for (int i = 0; i < 12; i++) {
        struct shape x = { .n = 1 + golden_next(&s) % 20, .pos = golden_next(&s) % 150, .n_kv = 1 + golden_next(&s) % 3,
                           .scale = 0.2f, .sinks = golden_next(&s) % 2, .softcap = golden_next(&s) % 3 ? 0 : 4.0f,
                           .window = golden_next(&s) % 2 ? 0 : 1 + golden_next(&s) % 90 };
        x.ktype = types[golden_next(&s) % 4];
        x.vtype = types[golden_next(&s) % 4];
        x.n_head = x.n_kv * (1 + golden_next(&s) % 4);
        x.dk = x.ktype >= QS_Q4_0 ? 32 * (1 + golden_next(&s) % 3) : 1 + golden_next(&s) % 70;
        x.dv = x.vtype >= QS_Q4_0 ? 32 * (1 + golden_next(&s) % 3) : 1 + golden_next(&s) % 70;
        char name[40];
        snprintf(name, sizeof name, "random shape %d", i);
        one_shape(&x, name);
    }
}

/* What append stores decodes to the nearest values, at the right places, and touches nothing else. */
static void test_append(void **state)
{
    (void)state;
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    static const float error[] = { 0, 0x1p-11f, 1.0f / 200, 1.0f / 7 }; /* of the largest of a row */
    for (int i = 0; i < 4; i++) {
        const size_t n = 17, pos = 5, n_kv = 3, dk = 64, dv = 32;
        uint64_t seed = 3;
        struct rig r = { .floats = { n * n_kv * (dk + dv), 0, 0 } };
        const struct qs_cache kc = cache(types[i], 8, n_kv, dk), vc = cache(types[3 - i], 40000, n_kv, dv);
        r.data[0] = random_floats(r.floats[0], 1, &seed);
        r.floats[1] = 20000;
        r.data[1] = random_floats(r.floats[1], 1, &seed);
        r.op = (struct qs_op){ QS_OP_APPEND, n, { .append = { rig_view(0, 0, n_kv * (dk + dv)),
            rig_view(0, n_kv * dk, n_kv * (dk + dv)), kc, vc, n_kv, dk, dv, pos } } };
        rig_run(&r);
        rig_same(&r, qs_type_name(types[i]));
        uint8_t *before = (uint8_t *)r.data[1], *after = (uint8_t *)r.want[1];
        const size_t bytes = row_bytes(types[i], n_kv * dk);
        for (size_t t = 0; t < n; t++) {
            const uint8_t *row = after + kc.at + (pos + t) * kc.row_bytes;
            float back[192], most = 0;
            const float *x = r.data[0] + t * n_kv * (dk + dv);
            qs_format_ops(types[i])->decode(&(struct qs_const_parts){ { row } }, 1, 192, back, 192);
            for (size_t k = 0; k < 192; k++)
                most = fmaxf(most, fabsf(x[k]));
            for (size_t k = 0; k < 192; k++)
                assert_true(fabsf(x[k] - back[k]) <= most * error[i]);
            assert_memory_equal(row + bytes, before + (row + bytes - after), kc.row_bytes - bytes);
        }
        assert_memory_equal(before, after, kc.at + pos * kc.row_bytes);
        rig_free(&r);
    }
}

static void test_refused(void **state)
{
    (void)state;
    const struct shape s = { 4, 3, 4, 2, 32, 32, 0, 0.3f, 0, false, QS_F16, QS_Q8_0 };
    struct attention a = make(&s, 1);
    const struct qs_op good = a.attend.op;
    assert_int_equal(rig_refused(&a.attend), QS_OK);
#define BAD(change, code)                                                                                              \
    do {                                                                                                               \
        a.attend.op = good;                                                                                            \
        a.attend.op.change;                                                                                            \
        assert_int_equal(rig_refused(&a.attend), code);                                                                \
    } while (0)
    BAD(u.attend.pos = 4, QS_EINVAL);
    BAD(u.attend.pos = SIZE_MAX - 2, QS_EINVAL);
    BAD(u.attend.n_kv = 3, QS_EINVAL);
    BAD(u.attend.n_kv = 0, QS_EINVAL);
    BAD(u.attend.dv = 33, QS_EINVAL);
    BAD(u.attend.dk = 64, QS_EINVAL);
    BAD(u.attend.kc.row_bytes = 8, QS_EINVAL);
    BAD(u.attend.kc.row_bytes = SIZE_MAX - 1, QS_EINVAL);
    BAD(u.attend.kc.at = 17, QS_EINVAL);
    BAD(u.attend.kc.type = QS_Q4_K, QS_EUNSUPPORTED);
    BAD(u.attend.out = a.attend.op.u.attend.q, QS_EINVAL);
    BAD(u.attend.q.stride = 100, QS_EINVAL);
    BAD(u.attend.q.buf = NULL, QS_EINVAL);
    BAD(n = 0, QS_EINVAL);
    BAD(n = SIZE_MAX, QS_EINVAL);
    rig_free(&a.attend);
    free(a.k);
    free(a.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_attend),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
