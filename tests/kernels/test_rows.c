/* test_rows.c - exp and tanh against libm in double, softmax of a tile, and the bits of every operation on rows at
 * every level, whatever the length and the values.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/ref/funcs.h"
#include "tests/kernels/dot_data.h"

/* Distance of x from the true value, in units of the last place of x (of subnormals at the bottom). */
static double ulps(float x, double want)
{
    const double size = fabs(want) < 0x1p-126 ? 0x1p-126 : fabs(want);
    return fabs((double)x - want) / (exp2(floor(log2(size))) * 0x1p-23);
}

static void test_exp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t u = 0; u < 0xff000000u; u += 4099) {
        const float x = qs_bits_f32(u);
        if (!(x > -103.9f && x < 88.72f))
            continue;
        const double d = ulps(qs_exp(x), exp((double)x));
        worst = d > worst ? d : worst;
    }
    assert_true(worst <= 2);
    assert_true(qs_exp(0) == 1);
    assert_true(qs_exp(-0.0f) == 1);
    assert_true(qs_exp(88.73f) == INFINITY && qs_exp(INFINITY) == INFINITY && qs_exp(3e38f) == INFINITY);
    assert_true(qs_exp(-104) == 0 && qs_exp(-INFINITY) == 0 && qs_exp(-3e38f) == 0);
    assert_true(qs_exp(-103.0f) > 0);
    assert_true(isnan(qs_exp(NAN)) && isnan(qs_exp(-NAN)));
}

static void test_tanh(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t u = 0; u < 0x7f800000u; u += 4099) {
        const float x = qs_bits_f32(u);
        const double d = ulps(qs_tanh(x), tanh((double)x));
        worst = d > worst ? d : worst;
        assert_true(qs_tanh(-x) == -qs_tanh(x));
    }
    assert_true(worst <= 2);
    assert_true(qs_tanh(INFINITY) == 1 && qs_tanh(-INFINITY) == -1 && isnan(qs_tanh(NAN)));
}

/* ---- levels */

enum { MAX = 200 };

struct row {
    float x[MAX], y[MAX], w[MAX], out[MAX], more[2];
};

/* What value i of an input of this kind is. */
static float value(int kind, uint64_t *s)
{
    static const float odd[] = { 0.0f, -0.0f, 1e-42f, -1e-45f, 3e38f, -3e38f, 88.7f, -103.5f };
    const uint64_t r = golden_next(s);
    switch (kind) {
    case 0: return golden_bell(s);
    case 1: return golden_bell(s) * 30;
    case 2: return odd[r % 8];
    case 3: return r % 31 ? golden_bell(s) : NAN;
    case 4: return r % 31 ? golden_bell(s) : r & 64 ? INFINITY : -INFINITY;
    default: return qs_bits_f32((uint32_t)r);
    }
}

typedef void apply_fn(const struct qs_row_ops *ops, struct row *r, size_t n);

static void do_rms(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->norm_rms(r->x, n, r->w, 1e-5f, r->out); }
static void do_rms_plain(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->norm_rms(r->x, n, NULL, 1e-5f, r->x); }
static void do_layer(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    ops->norm_layer(r->x, n, r->w, r->y, 1e-5f, r->out);
}
static void do_rope_norm(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->rope_norm(r->x, r->y, n / 2 * 2); }
static void do_rope_neox(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->rope_neox(r->x, r->y, n / 2 * 2); }
static void do_hadamard(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    size_t p = 1;
    while (2 * p <= n)
        p *= 2;
    ops->hadamard(r->x, p);
}
static void do_silu(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->glu[0](r->x, r->y, n, 0, 0, r->out); }
static void do_gelu(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->glu[1](r->x, r->y, n, 0, 0, r->x); }
static void do_erf(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->glu[2](r->x, r->y, n, 0, 0, r->out); }
static void do_oai(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->glu[3](r->x, r->y, n, 1.702f, 7, r->out); }
static void do_add(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->add(r->x, r->y, n, 0.3f); }
static void do_cap(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->softcap(r->x, n, 30, 0.7f); }
static void do_scale(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->softcap(r->x, n, 0, 0.7f); }
/* Attention of MAX / 64 queries: logits of 20 or fewer values, a range of keys that starts anywhere. */
static void do_softmax(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    const size_t to = n < 64 ? n : 64, from = n > 100 ? n % 64 : 0;
    float sum[3] = { 0, 1, 2 }, scale[3] = { 5, 5, 5 };
    ops->attend.softmax(&(struct qs_softmax){ r->x, 3, from, to > from ? to : from + 1, r->w, sum, scale });
    memset(r->x, 0, from * 4);
    for (size_t i = 0; i < MAX; i++)
        r->x[i] = i % 64 < from || i % 64 >= (to > from ? to : from + 1) ? 0 : r->x[i];
    memcpy(r->out, sum, sizeof sum);
    memcpy(r->out + 3, scale, sizeof scale);
}

/* A few values of up to 64 keys; 1 to 9 queries, cut from a row at different places. */
static void do_logits(const struct qs_row_ops *ops, struct row *r, size_t n, int kind)
{
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    const struct qs_format *f = qs_format_by_id(types[kind]);
    const size_t dim = kind < 2 ? n % 25 + 1 : n % 3 * 32 + 32, keys = n % 70 < 64 ? n % 70 + 1 : 64, queries = n % 9 + 1;
    const size_t act = qs_query_bytes(96);
    _Alignas(64) float room[(64 + 9) * 96];
    _Alignas(64) uint8_t q[9 * 96 * 4];
    float out[9 * 64];
    uint8_t k[64 * 102];
    for (size_t i = 0; i < sizeof k; i += 4) /* as float32 or float16, whatever is read of it */
        if (kind == QS_KV_F32)
            memcpy(k + i, &r->x[i / 4 % MAX], 4);
        else
            memcpy(k + i, (uint16_t[]){ qs_f32_to_f16(r->x[i / 2 % MAX]), qs_f32_to_f16(r->x[i / 2 % MAX + 1]) }, 4);
    for (size_t i = 0; i < queries; i++)
        if (kind < 2)
            memcpy(q + i * dim * 4, r->y + 7 * i, dim * 4);
        else
            ops->attend.query(r->y + 7 * i, dim, q + i * act);
    ops->attend.logits[kind](&(struct qs_logits){ k, qs_format_row_bytes(f, dim), keys, q, kind < 2 ? dim * 4 : act, queries,
                                                  dim, out, { k, n % 3, 64, 96 }, room });
    memcpy(r->out, out + (queries - 1) * 64, keys * 4);
    memcpy(r->out + 64, out + queries / 2 * 64, keys * 4);
}
static void do_logits_f32(const struct qs_row_ops *ops, struct row *r, size_t n) { do_logits(ops, r, n, QS_KV_F32); }
static void do_logits_f16(const struct qs_row_ops *ops, struct row *r, size_t n) { do_logits(ops, r, n, QS_KV_F16); }
static void do_logits_q8_0(const struct qs_row_ops *ops, struct row *r, size_t n) { do_logits(ops, r, n, QS_KV_Q8_0); }
static void do_logits_q4_0(const struct qs_row_ops *ops, struct row *r, size_t n) { do_logits(ops, r, n, QS_KV_Q4_0); }

static void do_mix(const struct qs_row_ops *ops, struct row *r, size_t n, int kind)
{
    static const int types[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    const size_t queries = n % 9 + 1, dim = kind < 2 ? n % 90 + 1 : n % 3 * 32 + 32, keys = n < 10 ? n : 10;
    const size_t row = qs_format_row_bytes(qs_format_by_id(types[kind]), dim), from = n % 3 ? 0 : keys / 2;
    uint8_t v[4 * MAX + 10 * 400];
    float y[9 * 96], p[9 * 64];
    for (size_t i = 0; i < sizeof v; i += 2) { /* as float16, whatever is read of it */
        const uint16_t h = qs_f32_to_f16(r->x[i / 2 % MAX]);
        memcpy(v + i, &h, 2);
    }
    for (size_t i = 0; i < 9 * 96; i++)
        y[i] = r->y[i % MAX];
    for (size_t i = 0; i < 9 * 64; i++)
        p[i] = r->w[i % MAX];
    ops->attend.mix[kind](&(struct qs_mix){ p, queries, from, keys, v, row, dim, r->y + 7, y, 96, { v, n % 3, 64, 96 } });
    memcpy(r->out, y + (queries - 1) * 96, 96 * 4);
    memcpy(r->out + 96, y + queries / 2 * 96, 96 * 4);
}
static void do_mix_f32(const struct qs_row_ops *ops, struct row *r, size_t n) { do_mix(ops, r, n, QS_KV_F32); }
static void do_mix_f16(const struct qs_row_ops *ops, struct row *r, size_t n) { do_mix(ops, r, n, QS_KV_F16); }
static void do_mix_q8_0(const struct qs_row_ops *ops, struct row *r, size_t n) { do_mix(ops, r, n, QS_KV_Q8_0); }
static void do_mix_q4_0(const struct qs_row_ops *ops, struct row *r, size_t n) { do_mix(ops, r, n, QS_KV_Q4_0); }
static void do_merge(const struct qs_row_ops *ops, struct row *r, size_t n) { ops->merge(r->x, 0.7f, r->y, 0.4f, n); }
static void do_gram(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    const size_t cols = n / 3 + 1;
    ops->gram(r->x, cols, n / cols, cols / 3, cols, r->out);
}

static void do_moments(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    const size_t cols = n / 3 + 1;
    double two[MAX] = { 0 }, one[MAX] = { 0 };
    ops->moments(r->x, cols, n / cols, cols, two, one, r->out);
    for (size_t i = 0; i < cols; i++) {
        r->y[i] = (float)two[i];
        r->w[i] = (float)one[i];
    }
}

static void do_distance(const struct qs_row_ops *ops, struct row *r, size_t n)
{
    struct qs_row_distance d;
    for (size_t i = 0; i < n; i++)
        r->w[i] = fabsf(r->w[i]);
    for (int weighted = 0; weighted < 2; weighted++) {
        ops->measure.distance(r->x, r->y, weighted ? r->w : NULL, n, &d);
        double all[] = { d.err2, d.ref2, d.werr2, d.wref2, d.max_abs };
        for (size_t i = 0; i < 5; i++)
            all[i] = isnan(all[i]) ? (double)NAN : all[i];
        memcpy(r->out + 10 * weighted, all, sizeof all);
        r->more[weighted] = (float)d.nonfinite;
    }
}

static void do_largest(const struct qs_row_ops *ops, struct row *r, size_t n) { r->more[0] = ops->measure.largest(r->x, n); }

/* NaNs are alike. */
static void plain_nans(struct row *r)
{
    float *f = (float *)r;
    for (size_t i = 0; i < sizeof *r / 4; i++)
        if (f[i] != f[i])
            f[i] = NAN;
}

static struct row run(apply_fn *fn, enum qs_level level, int kind, size_t n)
{
    struct row r;
    uint64_t s = (uint64_t)kind * 1000 + n;
    for (size_t i = 0; i < MAX; i++) {
        r.x[i] = value(kind, &s);
        r.y[i] = value(kind, &s);
        r.w[i] = value(kind, &s);
        r.out[i] = 5;
    }
    r.more[0] = r.more[1] = 5;
    qs_level_limit(level);
    fn(qs_row_ops(), &r, n);
    qs_level_limit(QS_LEVEL_COUNT);
    plain_nans(&r);
    return r;
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        apply_fn *fn;
    } all[] = {
        { "rms", do_rms }, { "rms, no weight, in place", do_rms_plain }, { "layer", do_layer }, { "rope", do_rope_norm },
        { "rope neox", do_rope_neox }, { "hadamard", do_hadamard }, { "silu", do_silu }, { "gelu", do_gelu },
        { "gelu by erf", do_erf }, { "oai", do_oai }, { "add", do_add }, { "cap", do_cap }, { "scale", do_scale },
        { "softmax", do_softmax }, { "logits", do_logits_f32 }, { "logits of float16", do_logits_f16 },
        { "logits of Q8_0", do_logits_q8_0 }, { "logits of Q4_0", do_logits_q4_0 },
        { "mix", do_mix_f32 }, { "mix of float16", do_mix_f16 }, { "mix of Q8_0", do_mix_q8_0 }, { "mix of Q4_0", do_mix_q4_0 },
        { "merge", do_merge }, { "gram", do_gram }, { "moments", do_moments },
        { "distance", do_distance }, { "largest", do_largest },
    };
    for (int l = QS_LEVEL_REF + 1; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            for (int kind = 0; kind < 6; kind++)
                for (size_t n = 1; n <= 180; n += n < 20 ? 1 : 13) {
                    const struct row a = run(all[i].fn, QS_LEVEL_REF, kind, n), b = run(all[i].fn, (enum qs_level)l, kind, n);
                    if (memcmp(&a, &b, sizeof a) != 0)
                        fail_msg("%s of %zu values of kind %d: other bits at %s", all[i].name, n, kind,
                                 qs_level_name((enum qs_level)l));
                }
    }
}

static void test_softmax(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 64; n += 7) {
        uint64_t s = n;
        float x[64], before[64], max = -INFINITY, sum = 0, scale;
        double want = 0;
        for (size_t i = 0; i < n; i++)
            before[i] = x[i] = 5 * golden_bell(&s);
        qs_row_ops()->attend.softmax(&(struct qs_softmax){ x, 1, 0, n, &max, &sum, &scale });
        assert_true(scale == 0);
        for (size_t i = 0; i < n; i++) {
            assert_true(before[i] <= max);
            want += exp((double)before[i] - max);
            assert_true(fabs(x[i] - exp((double)before[i] - max)) < 1e-6);
        }
        assert_true(fabs(sum - want) < want * 1e-6);
    }
}

static void test_hadamard(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 128; n *= 2) {
        uint64_t s = n;
        float x[128], y[128];
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] = golden_bell(&s);
        qs_row_ops()->hadamard(y, n);
        for (size_t i = 0; i < n; i++) { /* Sylvester's matrix: the sign is the parity of i & k */
            double want = 0;
            for (size_t k = 0; k < n; k++)
                want += (__builtin_popcountll(i & k) & 1 ? -1.0 : 1.0) * x[k] / sqrt((double)n);
            assert_true(fabs(y[i] - want) < 1e-5);
        }
        qs_row_ops()->hadamard(y, n);
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(y[i] - x[i]) < 1e-5f);
    }
}

/* Outer products, where a level has them: each element is a product of dot.h with one pair in every group of 32 columns. */
static void test_outer(void **state)
{
    (void)state;
    enum { ROWS = 7, PAIRS = 4, STRIDE = 5, M = 21, N = 70, ROOM = 80, COLS = PAIRS * 32 };
    static uint32_t packed[ROOM * STRIDE];
    static float c[M * (N + 1)];
    uint64_t seed = 3;
    const size_t bytes = qs_act_bytes(QS_ACT_BF16, COLS);
    float *x = random_floats(ROWS * ROOM, 1, &seed), *spread = need(COLS * sizeof *spread);
    uint8_t *columns = need(N * bytes); /* as rows of activations */
    x[5] = 1e-40f, x[ROOM + 9] = 1e-30f, x[2 * ROOM + 9] = 1e-20f;
    for (size_t j = 0; j < N; j++) {
        for (size_t r = 0; r < ROWS; r++)
            spread[r / 2 * 32 + r % 2] = x[r * ROOM + j];
        qs_row_ops()->quantize[QS_ACT_BF16](spread, COLS, columns + j * bytes);
    }
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        qs_level_limit((enum qs_level)l);
        const struct qs_row_ops *ops = qs_row_ops();
        if (!ops->outer)
            continue;
        for (size_t r = 0; r < ROWS; r += 2)
            ops->pair(x + r * ROOM, r + 1 < ROWS ? x + (r + 1) * ROOM : NULL, N, packed + r / 2 * QS_PAIR_COLS, STRIDE);
        for (size_t i = 0; i < M * (N + 1); i++)
            c[i] = (float)i;
        ops->outer(packed, packed, PAIRS, STRIDE, M, N, c, N + 1);
        qs_level_limit(QS_LEVEL_REF);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j <= N; j++) {
                float s = 0;
                const struct qs_dot job = { columns + i * bytes, bytes, 1, COLS, columns + j * bytes, bytes, 1, &s, 1 };
                if (j < N)
                    qs_dot_ops(QS_BF16)->quant(&job);
                assert_true(c[i * (N + 1) + j] == (float)(i * (N + 1) + j) + s);
            }
    }
    qs_level_limit(QS_LEVEL_COUNT);
    free(x);
    free(spread);
    free(columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),     cmocka_unit_test(test_tanh),     cmocka_unit_test(test_levels),
        cmocka_unit_test(test_softmax), cmocka_unit_test(test_hadamard),
        cmocka_unit_test(test_outer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
