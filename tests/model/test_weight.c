/* test_weight.c - references, ranges, rows and decoding of weights. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/weight.h"
#include "tests/format/tf.h"

static const struct qs_format *f32(void)
{
    return qs_format_by_id(QS_F32);
}

static struct qs_map *map_of(const char *name, size_t floats)
{
    float x[64];
    struct qs_err e = QS_ERR_INIT;
    struct qs_map *map;
    assert_true(floats <= 64);
    for (size_t i = 0; i < floats; i++)
        x[i] = (float)i;
    const char *path = qs_test_tmp_path(name);
    qs_test_write(path, x, floats * sizeof *x);
    assert_int_equal(qs_map_open(path, &map, &e), QS_OK);
    return map;
}

static void test_mapped(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_map *map = map_of("w1", 64);
    const uint64_t ne[4] = { 4, 3, 2, 1 };
    assert_int_equal(qs_weight_mapped(f32(), ne, map, 16, &w, &e), QS_OK);
    qs_map_unref(map); /* the weight keeps it alive */
    assert_int_equal(w->rows, 6);
    assert_int_equal(w->bytes, 96);
    float x[8];
    assert_int_equal(qs_weight_decode(w, 4, 2, x, &e), QS_OK);
    for (int i = 0; i < 8; i++)
        assert_true(x[i] == (float)(4 + 16 + i));
    float first;
    memcpy(&first, qs_weight_row(w, 5).p[0], sizeof first);
    assert_true(first == 24.0f);
    assert_int_equal(qs_weight_decode(w, 5, 2, x, &e), QS_EINVAL);
    assert_int_equal(qs_weight_decode(w, UINT64_MAX, 2, x, &e), QS_EINVAL);
    assert_int_equal(qs_weight_intact(w, &e), QS_OK);
    assert_ptr_equal(qs_weight_ref(w), w);
    qs_weight_unref(w);
    assert_int_equal(w->rows, 6); /* one reference is left */
    qs_weight_unref(w);
    qs_weight_unref(NULL);
}

static void test_ranges(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_map *map = map_of("w2", 64);
    const struct { uint64_t ne[4], off; enum qs_code code; } bad[] = {
        { { 64, 1, 1, 1 }, 4, QS_EFORMAT },
        { { 1, 1, 1, 1 }, 256, QS_EFORMAT },
        { { 1, 1, 1, 1 }, UINT64_MAX, QS_EFORMAT },
        { { 0, 1, 1, 1 }, 0, QS_EINVAL },
        { { 1, 0, 1, 1 }, 0, QS_EINVAL },
        { { (uint64_t)1 << 62, 16, 1, 1 }, 0, QS_EINVAL },
        { { (uint64_t)1 << 32, (uint64_t)1 << 32, 1, 1 }, 0, QS_EINVAL },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(qs_weight_mapped(f32(), bad[i].ne, map, bad[i].off, &w, &e), bad[i].code);
        assert_null(w);
    }
    const uint64_t odd[4] = { 33, 1, 1, 1 };
    assert_int_equal(qs_weight_mapped(qs_format_by_id(QS_Q8_0), odd, map, 0, &w, &e), QS_EINVAL);
    const uint64_t all[4] = { 64, 1, 1, 1 };
    assert_int_equal(qs_weight_mapped(f32(), all, map, 0, &w, &e), QS_OK);
    qs_weight_unref(w);
    qs_map_unref(map);
}

static void test_heap(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_parts parts;
    uint64_t held = qs_mem_in_use();
    const uint64_t ne[4] = { 64, 3, 1, 1 };
    assert_int_equal(qs_weight_heap(qs_format_by_id(QS_Q8_0), ne, &w, &parts, &e), QS_OK);
    assert_int_equal(w->bytes, 3 * 68);
    assert_ptr_equal(w->parts.p[0], parts.p[0]);
    assert_int_equal((uintptr_t)parts.p[0] % 64, 0);
    for (int i = 0; i < 3 * 68; i++)
        assert_int_equal(parts.p[0][i], 0);
    float x[64];
    parts.p[0][68 + 1] = 0x3C; /* scale 1 of the second row's first block */
    parts.p[0][68 + 2] = 5;
    assert_int_equal(qs_weight_decode(w, 1, 1, x, &e), QS_OK);
    assert_true(x[0] == 5.0f && x[1] == 0.0f && x[63] == 0.0f);
    qs_weight_unref(w);
    for (uint64_t i = 1; i <= 2; i++) {
        qs_mem_fail_after(i);
        assert_int_equal(qs_weight_heap(f32(), ne, &w, &parts, &e), QS_ENOMEM);
        qs_mem_fail_after(0);
        assert_null(w);
    }
    assert_int_equal(qs_mem_in_use(), held);
}

static void *churn(void *arg)
{
    for (int i = 0; i < 20000; i++)
        qs_weight_unref(qs_weight_ref(arg));
    qs_weight_unref(arg);
    return NULL;
}

/* References from many threads: the bytes die exactly once, with the last one. */
static void test_threads(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_parts parts;
    pthread_t t[4];
    uint64_t held = qs_mem_in_use();
    const uint64_t ne[4] = { 32, 1, 1, 1 };
    assert_int_equal(qs_weight_heap(f32(), ne, &w, &parts, &e), QS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, churn, qs_weight_ref(w)), 0);
    qs_weight_unref(w);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(qs_mem_in_use(), held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
