/* test_limits.c - the loops that limits are measured with: readers read every byte, lines have figures. */
#include "tests/lib/qs_test.h"

#include <string.h>

#include "base/mem.h"
#include "kernels/limits.h"

/* All give the sum of the 64-bit words, whatever the order: what was left out would show. */
static void test_readers(void **state)
{
    (void)state;
    enum { BYTES = 3 * QS_LIMIT_PIECE, AHEAD = 1 << 16 };
    uint64_t *x = qs_alloc_aligned(64, BYTES + AHEAD), sum = 0, random = 1;
    size_t readers = 0;
    assert_non_null(x);
    for (size_t i = 0; i < BYTES / 8; i++)
        sum += x[i] = random = random * 6364136223846793005u + 1442695040888963407u;
    const struct qs_limit_giver *levels;
    const size_t n_levels = qs_limit_givers(&levels);
    for (size_t l = 0; l < n_levels; l++) {
        const struct qs_limit_loop *loop;
        const size_t n = qs_level_available(levels[l].level) ? levels[l].loops(&loop) : 0;
        for (size_t i = 0; i < n; i++) {
            assert_true(loop[i].name && (loop[i].read != NULL) == (loop[i].what == QS_LIMIT_READ));
            assert_true(loop[i].read ? loop[i].per_round == 0 : loop[i].work && loop[i].per_round > 0);
            if (!loop[i].read)
                continue;
            readers++;
            if (loop[i].read((const uint8_t *)x, BYTES) != sum)
                fail_msg("%s reads something else", loop[i].name);
        }
    }
    assert_true(readers >= 1);
    qs_free(x);
}

static void test_lines(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    struct qs_limits *l;
    double now;
    bool threads[3] = { false }, plain = false;
    assert_int_equal(qs_pool_new(2, &pool, &e), QS_OK);
    assert_int_equal(qs_limits_new(pool, QS_LIMIT_BUFFER_LEAST, &l, &e), QS_OK);
    for (size_t i = 0; i < qs_limits_count(l); i++) {
        const struct qs_limit_line *x = qs_limits_line(l, i);
        assert_int_equal(x->tries, 0);
        assert_int_equal(qs_limits_measure(l, i, 0.001, &e), QS_OK);
        assert_true(x->tries >= 1 && x->median > 0 && x->best >= x->median);
        assert_true(x->threads == 1 || x->threads == 2);
        assert_int_equal(x->buffer, x->what == QS_LIMIT_READ ? QS_LIMIT_BUFFER_LEAST : 0);
        assert_true(x->granted <= x->buffer && (x->huge || x->granted == 0));
        threads[x->threads] = threads[x->threads] || x->what == QS_LIMIT_READ;
        plain = plain || (x->what == QS_LIMIT_READ && !x->huge);
    }
    assert_true(threads[1] && threads[2] && plain);
    for (int u = 0; u < QS_LIMITS; u++) {
        assert_int_equal(qs_limits_look(l, (enum qs_limit)u, &now, &e), QS_OK);
        assert_int_equal(now > 0, qs_limits_have(l, (enum qs_limit)u));
        assert_true(now <= qs_limits_best(l, (enum qs_limit)u));
    }
    assert_true(qs_limits_have(l, QS_LIMIT_READ) && qs_limits_have(l, QS_LIMIT_INT8) && qs_limits_have(l, QS_LIMIT_F32));
    qs_limits_free(l);
    qs_pool_free(pool);
}

/* Without a pool, and a look before anything was measured. */
static void test_alone(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_limits *l;
    double now;
    assert_int_equal(qs_limits_new(NULL, 1, &l, &e), QS_OK);
    assert_true(qs_limits_best(l, QS_LIMIT_READ) == 0);
    assert_int_equal(qs_limits_look(l, QS_LIMIT_READ, &now, &e), QS_OK);
    assert_true(now > 0);
    qs_limits_free(l);
    assert_int_equal(qs_limit_unit(QS_Q4_K, true, true), QS_LIMIT_INT8);
    assert_int_equal(qs_limit_unit(QS_Q4_K, false, true), QS_LIMIT_F32);
    assert_int_equal(qs_limit_unit(QS_BF16, true, true), QS_LIMIT_BF16);
    assert_int_equal(qs_limit_unit(QS_BF16, true, false), QS_LIMIT_F32);
    assert_int_equal(qs_limit_unit(QS_F32, true, true), QS_LIMIT_F32);
}

static int once(void *ctx, struct qs_err *e)
{
    struct qs_limits *l = NULL;
    double now;
    (void)ctx;
    int rc = qs_limits_new(NULL, 1, &l, e);
    rc = rc ? rc : qs_limits_look(l, QS_LIMIT_READ, &now, e);
    qs_limits_free(l);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_readers), cmocka_unit_test(test_lines),
                                        cmocka_unit_test(test_alone), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
