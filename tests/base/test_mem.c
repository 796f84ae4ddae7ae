/* test_mem.c - accounting, injected failures, overflow, threads. */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "tests/lib/qs_test.h"

static void counts_what_is_held(void **state)
{
    (void)state;
    uint64_t before = qs_mem_in_use();
    char *p = qs_malloc(1000);
    assert_non_null(p);
    assert_true(qs_mem_in_use() >= before + 1000);
    memset(p, 7, 1000);
    p = qs_realloc(p, 100000);
    assert_non_null(p);
    assert_int_equal(p[999], 7);
    assert_true(qs_mem_in_use() >= before + 100000);
    assert_true(qs_mem_peak() >= qs_mem_in_use());
    qs_free(p);
    assert_int_equal(qs_mem_in_use(), before);
    qs_free(NULL);
}

static void small_and_odd_requests(void **state)
{
    (void)state;
    void *a = qs_malloc(0), *b = qs_malloc(0), *z = qs_calloc(0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_non_null(z);
    qs_free(a);
    qs_free(b);
    qs_free(z);
    unsigned char *c = qs_calloc(33, 7);
    for (size_t i = 0; i < 33 * 7; i++)
        assert_int_equal(c[i], 0);
    qs_free(c);
    for (size_t align = 16; align <= 4096; align *= 2) {
        void *p = qs_alloc_aligned(align, 100);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        qs_free(p);
    }
    assert_null(qs_alloc_aligned(24, 100));
    assert_null(qs_alloc_aligned(8, 100));
    char *s = qs_strdup("hello"), *n = qs_strndup("a\0b", 3);
    assert_string_equal(s, "hello");
    assert_memory_equal(n, "a\0b", 4);
    qs_free(s);
    qs_free(n);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    char *p = qs_malloc(10);
    memcpy(p, "unchanged", 10);
    assert_null(qs_malloc(SIZE_MAX));
    assert_null(qs_malloc(SIZE_MAX / 2));
    assert_null(qs_calloc(SIZE_MAX / 2, 3));
    assert_null(qs_calloc(SIZE_MAX, 1));
    assert_null(qs_realloc(p, SIZE_MAX - 100));
    assert_null(qs_realloc_array(p, SIZE_MAX / 4 + 1, 4)); /* the product wraps to 0 */
    assert_null(qs_alloc_aligned(64, SIZE_MAX - 32));
    assert_null(qs_strndup("x", SIZE_MAX));
    assert_string_equal(p, "unchanged");
    qs_free(p);
}

static void grows_by_doubling(void **state)
{
    (void)state;
    uint32_t *items = NULL;
    size_t cap = 0, moves = 0;
    for (size_t i = 0; i < 10000; i++) {
        size_t old = cap;
        assert_true(qs_grow(&items, &cap, i + 1, sizeof *items));
        assert_true(cap > i);
        moves += cap != old;
        items[i] = (uint32_t)i;
    }
    assert_true(moves < 16);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(items[i], i);
    uint32_t *kept = items;
    size_t kept_cap = cap;
    assert_false(qs_grow(&items, &cap, SIZE_MAX / 2, sizeof *items));
    assert_false(qs_grow(&items, &cap, SIZE_MAX, sizeof *items));
    assert_ptr_equal(items, kept);
    assert_int_equal(cap, kept_cap);
    qs_free(items);
}

static void arithmetic_is_checked(void **state)
{
    (void)state;
    uint64_t v = 42;
    assert_false(qs_mul_u64(UINT64_MAX, 2, &v));
    assert_false(qs_mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &v));
    assert_false(qs_add_u64(UINT64_MAX, 1, &v));
    assert_int_equal(v, 42);
    assert_true(qs_mul_u64(UINT64_MAX, 1, &v) && v == UINT64_MAX);
    assert_true(qs_add_u64(UINT64_MAX - 5, 5, &v) && v == UINT64_MAX);
}

static void failures_can_be_injected(void **state)
{
    (void)state;
    void *p = qs_malloc(16);
    qs_mem_fail_after(2);
    void *first = qs_malloc(8), *second = qs_malloc(8), *third = qs_calloc(1, 8), *fourth = qs_realloc(p, 64);
    qs_mem_fail_after(0);
    void *after = qs_malloc(8);
    assert_non_null(first);
    assert_null(second);
    assert_null(third);
    assert_null(fourth);
    assert_non_null(after);
    qs_free(first);
    qs_free(after);
    qs_free(p);
}

static void *churn(void *arg)
{
    uint64_t x = (uint64_t)(uintptr_t)arg;
    void *held[32] = { 0 };
    for (int i = 0; i < 5000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t slot = x >> 59;
        qs_free(held[slot]);
        held[slot] = qs_malloc(x >> 52 & 1023);
    }
    for (size_t i = 0; i < 32; i++)
        qs_free(held[i]);
    return NULL;
}

static void threads_share_the_counters(void **state)
{
    (void)state;
    uint64_t before = qs_mem_in_use(), count = qs_mem_count();
    pthread_t t[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(qs_mem_in_use(), before);
    assert_int_equal(qs_mem_count() - count, 4 * 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_is_held),      cmocka_unit_test(small_and_odd_requests),
        cmocka_unit_test(absurd_sizes_are_refused), cmocka_unit_test(grows_by_doubling),
        cmocka_unit_test(arithmetic_is_checked),    cmocka_unit_test(failures_can_be_injected),
        cmocka_unit_test(threads_share_the_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
