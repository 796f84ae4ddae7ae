/* test_fit.c - budgets: the solver against every combination, its bounds and refusals; sizes as people say them; the
 * types of a model under a budget. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "core/calib/fit.h"

/* ---- the solver ---------------------------------------------------------------------------------------------- */

static uint64_t state_of_random = 1;

static uint32_t random_below(uint32_t n)
{
    state_of_random = state_of_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state_of_random >> 33) % n);
}

static double random_unit(void) { return (double)random_below(1u << 30) / (1u << 30); }

#define GROUPS 7
#define OPTIONS 5

struct instance {
    struct qs_fit_option option[GROUPS][OPTIONS];
    struct qs_fit_group group[GROUPS];
    size_t n;
    uint64_t least, most;
};

enum kind { ANY, FALLING, EQUAL_BYTES, ZERO_COSTS, TIES, LIKE_TYPES, KINDS };

/* Cost falls with bytes only where the kind says so: the solver must not rely on it. */
static struct qs_fit_option make_option(enum kind kind, size_t k, double scale)
{
    static const double bits[OPTIONS] = { 2.625, 3.4375, 4.5, 5.5, 6.5625 };
    struct qs_fit_option o = { .type = (int)k };
    switch (kind) {
    case FALLING:
        o.bytes = 10 + 20 * k + random_below(20);
        o.cost = 10.0 - 2 * (double)k + random_unit();
        break;
    case EQUAL_BYTES:
        o.bytes = 100;
        o.cost = random_unit();
        break;
    case ZERO_COSTS:
        o.bytes = random_below(100);
        o.cost = random_below(2) ? 0 : random_unit();
        break;
    case TIES:
        o.bytes = random_below(5);
        o.cost = random_below(4);
        break;
    case LIKE_TYPES:
        o.bytes = (uint64_t)(bits[k] / 8 * 1024 * (1 + scale * 8));
        o.cost = exp2(-2 * bits[k]) * scale * (0.8 + 0.4 * random_unit());
        break;
    default:
        o.bytes = random_below(1000);
        o.cost = random_unit();
    }
    return o;
}

static int by_bytes(const void *a, const void *b)
{
    const struct qs_fit_option *x = a, *y = b;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static void make(struct instance *x, enum kind kind)
{
    *x = (struct instance){ .n = 1 + random_below(GROUPS) };
    for (size_t i = 0; i < x->n; i++) {
        const size_t n = 1 + random_below(OPTIONS);
        const double scale = random_unit();
        for (size_t k = 0; k < n; k++)
            x->option[i][k] = make_option(kind, k, scale);
        qsort(x->option[i], n, sizeof x->option[i][0], by_bytes);
        x->group[i] = (struct qs_fit_group){ x->option[i], n };
        x->least += x->option[i][0].bytes;
        x->most += x->option[i][n - 1].bytes;
    }
}

/* Every combination. Infinite: none fits. */
static double brute(const struct instance *x, size_t i, uint64_t bytes, double cost, uint64_t budget)
{
    double best = INFINITY;
    if (bytes > budget)
        return INFINITY;
    if (i == x->n)
        return cost;
    for (size_t k = 0; k < x->group[i].n; k++)
        best = fmin(best, brute(x, i + 1, bytes + x->option[i][k].bytes, cost + x->option[i][k].cost, budget));
    return best;
}

static void check_against_brute(const struct instance *x, uint64_t budget)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_result r;
    const double best = brute(x, 0, 0, 0, budget);
    const int rc = qs_fit_solve(x->group, x->n, budget, &r, &e);
    if (isinf(best)) {
        assert_int_equal(rc, QS_ELIMIT);
        char need[40];
        snprintf(need, sizeof need, "%llu bytes", (unsigned long long)x->least);
        assert_non_null(strstr(e.msg, need));
        return;
    }
    assert_int_equal(rc, QS_OK);
    double cost = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < x->n; i++) {
        assert_true(r.choice[i] < x->group[i].n);
        cost += x->option[i][r.choice[i]].cost;
        bytes += x->option[i][r.choice[i]].bytes;
    }
    assert_true(bytes <= budget && bytes == r.bytes);
    assert_true(r.exact);
    if (!(fabs(r.cost - best) <= 1e-12 * (1 + fabs(best))) || fabs(r.cost - cost) > 1e-12 * (1 + fabs(cost)))
        fail_msg("cost %.17g, best of all %.17g", r.cost, best);
    assert_true(r.bound <= best + 1e-12 * (1 + fabs(best)));
    qs_fit_result_free(&r);
}

static void test_against_brute(void **state)
{
    struct instance x;
    (void)state;
    for (int i = 0; i < 1200; i++) {
        make(&x, (enum kind)(i % KINDS));
        for (int k = 0; k < 3; k++)
            check_against_brute(&x, x.least + random_below((uint32_t)(x.most - x.least + 2)));
        if (x.least)
            check_against_brute(&x, x.least - 1);
        check_against_brute(&x, x.least);
        check_against_brute(&x, UINT64_C(1) << 60);
    }
}

/* A hundred groups against a table over all sizes. */
static void test_against_table(void **state)
{
    enum { N = 100, K = 8, MOST = 12000 };
    static struct qs_fit_option o[N][K];
    static double best[2][MOST + 1];
    struct qs_fit_group g[N];
    (void)state;
    for (int round = 0; round < 12; round++) {
        uint64_t least = 0;
        for (size_t i = 0; i < N; i++) {
            const double scale = exp(4 * random_unit());
            for (size_t k = 0; k < K; k++)
                o[i][k] = (struct qs_fit_option){ (int)k, 10 * k + 1 + random_below(10),
                                                  scale * exp2(-(double)k) * (1 + (round % 4) * 0.3 * random_unit()) };
            g[i] = (struct qs_fit_group){ o[i], K };
            least += o[i][0].bytes;
        }
        double *now = best[0], *next = best[1];
        for (size_t b = 0; b <= MOST; b++)
            now[b] = 0;
        for (size_t i = 0; i < N; i++) {
            for (size_t b = 0; b <= MOST; b++) {
                next[b] = INFINITY;
                for (size_t k = 0; k < K && o[i][k].bytes <= b; k++)
                    next[b] = fmin(next[b], now[b - o[i][k].bytes] + o[i][k].cost);
            }
            double *swap = now;
            now = next;
            next = swap;
        }
        for (uint64_t b = least; b <= MOST; b += 1 + random_below(600)) {
            struct qs_err e = QS_ERR_INIT;
            struct qs_fit_result r;
            assert_int_equal(qs_fit_solve(g, N, b, &r, &e), QS_OK);
            if (!r.exact || fabs(r.cost / now[b] - 1) > 1e-12)
                fail_msg("%llu bytes: cost %.17g, best of all %.17g", (unsigned long long)b, r.cost, now[b]);
            qs_fit_result_free(&r);
        }
    }
}

/* More bytes never cost more, and the bound of the relaxation is close where there are many groups. */
static void test_more_bytes(void **state)
{
    struct instance x;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    for (int i = 0; i < 50; i++) {
        make(&x, i % 2 ? LIKE_TYPES : FALLING);
        double before = INFINITY;
        for (int k = 0; k <= 40; k++) {
            struct qs_fit_result r;
            assert_int_equal(qs_fit_solve(x.group, x.n, x.least + (x.most - x.least) * (uint64_t)k / 40, &r, &e),
                             QS_OK);
            assert_true(r.cost <= before);
            before = r.cost;
            qs_fit_result_free(&r);
        }
    }
}

/* A thousand tensors with a dozen types each: in under a second, and within a thousandth of what is possible. */
static void large(size_t n, bool coarse, double jitter)
{
    enum { TYPES = 12 };
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_result r;
    struct qs_fit_option *o = calloc(n * TYPES, sizeof *o);
    struct qs_fit_group *g = calloc(n, sizeof *g);
    uint64_t weights = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t size =
            coarse ? 256 * (uint64_t)(1 + random_below(8)) * 4096 : 256 * (uint64_t)(1000 + random_below(30000));
        const double a = exp(4 * random_unit());
        weights += size;
        for (size_t k = 0; k < TYPES; k++) {
            const double bits = 2.0625 + 0.5625 * (double)k;
            o[i * TYPES + k] = (struct qs_fit_option){ (int)k, (uint64_t)(bits * (double)size / 8),
                                                       a * exp2(-2 * bits) * (1 + jitter * random_unit()) };
        }
        g[i] = (struct qs_fit_group){ o + i * TYPES, TYPES };
    }
    for (int k = 0; k < 3; k++) {
        const double bpw[] = { 2.6, 4.5, 6.0 }, start = qs_now();
        assert_int_equal(qs_fit_solve(g, n, (uint64_t)((double)weights * bpw[k] / 8), &r, &e), QS_OK);
        const double took = qs_now() - start;
        if (!(r.cost <= r.bound * (n < 1000 ? 1.01 : 1.001) && r.cost >= r.bound))
            fail_msg("cost %g, bound %g", r.cost, r.bound);
        if (!QS_TEST_SANITIZED && took > 5)
            fail_msg("%zu groups took %.1f s", n, took);
        print_message("%zu groups, %.1f bpw, jitter %.1f: %.3f s, cost over bound - 1 = %.2g, %s\n", n, bpw[k], jitter,
                      took, r.cost / r.bound - 1, r.exact ? "exact" : "not proven");
        qs_fit_result_free(&r);
    }
    free(o);
    free(g);
}

static void test_large(void **state)
{
    (void)state;
    large(60, true, 0.5);
    large(60, false, 0.5);
    large(300, false, 0);
    large(1000, true, 0.5);
    large(1000, false, 0.5);
    large(1000, false, 0);
}

static void test_refusals(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_result r;
    struct qs_fit_option o = { 0, 5, NAN };
    struct qs_fit_group g = { &o, 0 };
    (void)state;
    assert_int_equal(qs_fit_solve(&g, 1, 100, &r, &e), QS_EINVAL);
    g.n = 1;
    assert_int_equal(qs_fit_solve(&g, 1, 100, &r, &e), QS_EINVAL);
    assert_int_equal(qs_fit_solve(NULL, 0, 0, &r, &e), QS_OK);
    assert_true(r.exact && r.bytes == 0);
    qs_fit_result_free(&r);
}

static int solve_body(void *ctx, struct qs_err *e)
{
    struct instance *x = ctx;
    struct qs_fit_result r;
    const int rc = qs_fit_solve(x->group, x->n, (x->least + x->most) / 2, &r, e);
    qs_fit_result_free(&r);
    return rc;
}

static void test_memory(void **state)
{
    struct instance x;
    (void)state;
    do
        make(&x, LIKE_TYPES);
    while (x.n < GROUPS);
    qs_test_each_alloc(solve_body, &x);
}

int main(void)
{
    const struct CMUnitTest solver[] = {
        cmocka_unit_test(test_against_brute), cmocka_unit_test(test_against_table), cmocka_unit_test(test_more_bytes),
        cmocka_unit_test(test_large),         cmocka_unit_test(test_refusals),      cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(solver, NULL, NULL);
}
