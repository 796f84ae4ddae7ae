/* test_codes.c - the inner loops of GPTQ: every level makes the bits of ref, and ref does what codes.h says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"
#include "tests/kernels/golden_input.h"

enum { N = 256, SUB = 32 };

struct data {
    float h[N * N], push[N], level[N], scale[N / 16], offset[N / 16], y[N], a[N];
    uint64_t state;
};

static const float bent[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
static float line[16];

static float real(uint64_t *s) { return (float)((double)(golden_next(s) % 20001) / 10000 - 1); }

/* Levels of a line, and of IQ4_NL. */
static struct qs_rounder rounder(bool straight)
{
    struct qs_rounder r = { .level = straight ? line : bent, .n = 16, .line = straight, .cuts = straight ? 0 : 15 };
    for (int i = 0; i < 16; i++) {
        line[i] = (float)i - 8;
        r.place[i] = (uint8_t)i;
        r.sorted[i] = bent[i];
        if (i < 15)
            r.cut[i] = (bent[i] + bent[i + 1]) / 2;
    }
    return r;
}

static void fill(struct data *d, const struct qs_rounder *r, uint64_t seed)
{
    d->state = seed;
    for (size_t i = 0; i < N * N; i++)
        d->h[i] = real(&d->state) / 8 + (i % (N + 1) == 0 ? 1 : 0);
    for (size_t i = 0; i < N; i++) {
        d->push[i] = real(&d->state) / 50;
        d->level[i] = r->level[golden_next(&d->state) % 16];
        d->y[i] = real(&d->state);
        d->a[i] = i % 5 == 0 ? 0 : real(&d->state);
    }
    for (size_t i = 0; i < N / 16; i++) {
        d->scale[i] = i == 3 ? 0 : real(&d->state) / 20;
        d->offset[i] = i % 2 ? real(&d->state) : -0.0f;
    }
    d->h[7 * (N + 1)] = 0;
}

struct results {
    float combined[N], fed[20][16];
    size_t mover[N];
    struct qs_code_trials t;
};

static void run(enum qs_level level, const struct data *d, const struct qs_rounder *r, size_t sub, size_t trials,
                struct results *out)
{
    float diagonal[N];
    memset(out, 0, sizeof *out);
    qs_level_limit(level);
    const struct qs_code_ops *ops = &qs_row_ops()->codes;
    memcpy(out->combined, d->y, sizeof d->y);
    ops->combine(out->combined, d->h, N, d->a, 37, N - sub);
    memcpy(out->fed, d->h, sizeof out->fed);
    ops->feed(out->fed, d->a, d->push, 20);
    for (size_t i = 0; i < N; i++)
        diagonal[i] = d->h[i * (N + 1)];
    const struct qs_code_row row = { r, N, sub, d->scale, d->offset, d->level, d->push, diagonal };
    for (size_t i = 0; i < N; i++)
        out->mover[i] = ops->mover(&row, i);
    out->t = (struct qs_code_trials){ .round = r, .n = SUB, .count = trials, .h = d->h, .stride = N, .value = d->y,
                                      .push = d->push };
    for (size_t i = 0; i < QS_TRIALS; i++) {
        out->t.scale[i] = (float)(i + 1) / 100;
        out->t.offset[i] = (float)i / 30;
    }
    ops->settle(&out->t);
    qs_level_limit(QS_LEVEL_COUNT);
}

static void test_levels(void **state)
{
    static struct data d;
    static struct results a, b;
    (void)state;
    for (int l = QS_LEVEL_REF + 1; l < QS_LEVEL_COUNT; l++)
        for (unsigned i = 0; i < 24 && qs_level_available((enum qs_level)l); i++) {
            const struct qs_rounder r = rounder(i % 2);
            const size_t sub = i % 3 ? 32 : 16, trials = 1 + i;
            fill(&d, &r, i);
            run(QS_LEVEL_REF, &d, &r, sub, trials, &a);
            run((enum qs_level)l, &d, &r, sub, trials, &b);
            assert_memory_equal(a.combined, b.combined, sizeof a.combined);
            assert_memory_equal(a.fed, b.fed, sizeof a.fed);
            assert_memory_equal(a.mover, b.mover, sizeof a.mover);
            for (size_t k = 0; k < SUB; k++) {
                assert_memory_equal(a.t.level[k], b.t.level[k], trials * sizeof(float));
                assert_memory_equal(a.t.step[k], b.t.step[k], trials * sizeof(float));
            }
            assert_memory_equal(a.t.gain, b.t.gain, trials * sizeof(double));
        }
}

/* What settled has its error changed by as much as is said: d (2 push + H d) for changes d, with a symmetric H. */
static void test_gain(void **state)
{
    static struct data d;
    static struct results a;
    const struct qs_rounder r = rounder(true);
    (void)state;
    fill(&d, &r, 9);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            d.h[i * N + k] = d.h[k * N + i];
    run(QS_LEVEL_COUNT, &d, &r, 16, 5, &a);
    for (size_t t = 0; t < 5; t++) {
        double sum = 0;
        for (size_t i = 0; i < SUB; i++) {
            double hd = 2 * (double)d.push[i];
            for (size_t k = 0; k < SUB; k++)
                hd += (double)d.h[i * N + k] * (double)a.t.step[k][t];
            sum += (double)a.t.step[i][t] * hd;
            const double value = (double)d.y[i] + (double)a.t.step[i][t];
            assert_true(fabs(value - (double)(a.t.offset[t] + a.t.scale[t] * a.t.level[i][t])) < 1e-5);
        }
        if (!(fabs(sum - a.t.gain[t]) < 1e-3 * (1 + fabs(sum))))
            fail_msg("trial %zu: %g, and %g is said", t, sum, a.t.gain[t]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_levels), cmocka_unit_test(test_gain) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
