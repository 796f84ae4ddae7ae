/* cmocka.h - a small stand-in for cmocka, so that base and kernels can be tested with nothing but a C compiler.
 *
 * Used by `configure --enable-kernels-only` alone; the same names, the same behaviour as far as the tests of base and
 * kernels use it: asserts that end the test, groups with set-up and tear-down, one line per test, exit status = failures.
 * No mocks, no leak checks. Not for several threads: asserts only on the thread that runs the test.
 */
#ifndef QS_TESTS_SMALL_CMOCKA_H
#define QS_TESTS_SMALL_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(f) { #f, f, NULL, NULL, NULL }
#define cmocka_unit_test_setup_teardown(f, setup, teardown) { #f, f, setup, teardown, NULL }
#define cmocka_unit_test_setup(f, setup) { #f, f, setup, NULL, NULL }
#define cmocka_unit_test_teardown(f, teardown) { #f, f, NULL, teardown, NULL }
#define cmocka_unit_test_prestate(f, state) { #f, f, NULL, NULL, state }
#define cmocka_run_group_tests(group, setup, teardown) \
    _cmocka_run_group_tests(#group, group, sizeof(group) / sizeof((group)[0]), setup, teardown)
#define cmocka_run_group_tests_name(name, group, setup, teardown) \
    _cmocka_run_group_tests(name, group, sizeof(group) / sizeof((group)[0]), setup, teardown)

/* One copy for the whole program: tests/lib includes this header too. */
__attribute__((weak)) jmp_buf small_cmocka_return;
__attribute__((weak)) int small_cmocka_skipped;

__attribute__((weak, noreturn, format(printf, 3, 4))) void small_cmocka_fail(const char *file, int line, const char *fmt, ...);
__attribute__((weak, noreturn, format(printf, 3, 4))) void small_cmocka_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("[  ERROR   ] %s:%d: ", file, line);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    longjmp(small_cmocka_return, 1);
}

__attribute__((weak, noreturn)) void small_cmocka_skip(void);
__attribute__((weak, noreturn)) void small_cmocka_skip(void)
{
    small_cmocka_skipped = 1;
    longjmp(small_cmocka_return, 2);
}

static inline int small_cmocka_within(unsigned long long v, unsigned long long lo, unsigned long long hi)
{
    return lo <= v && v <= hi;
}

#define SMALL_FAIL(...) small_cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SMALL_COMPARE(type, format, a, op, b) do { \
        type small_a = (type)(a); \
        type small_b = (type)(b); \
        if (!(small_a op small_b)) \
            SMALL_FAIL("%s " #op " %s does not hold: " format " and " format, #a, #b, small_a, small_b); \
    } while (0)

#define skip() small_cmocka_skip()
#define fail() SMALL_FAIL("fail()")
#define fail_msg(...) SMALL_FAIL(__VA_ARGS__)
#define print_message(...) printf(__VA_ARGS__)
#define print_error(...) fprintf(stderr, __VA_ARGS__)
#define assert_true(c) do { if (!(c)) SMALL_FAIL("not true: %s", #c); } while (0)
#define assert_false(c) do { if (c) SMALL_FAIL("not false: %s", #c); } while (0)
#define assert_null(p) do { if ((p) != NULL) SMALL_FAIL("not NULL: %s", #p); } while (0)
#define assert_non_null(p) do { if ((p) == NULL) SMALL_FAIL("NULL: %s", #p); } while (0)
#define assert_ptr_equal(a, b) SMALL_COMPARE(const void *, "%p", a, ==, b)
#define assert_ptr_not_equal(a, b) SMALL_COMPARE(const void *, "%p", a, !=, b)
#define assert_int_equal(a, b) SMALL_COMPARE(long long, "%lld", a, ==, b)
#define assert_int_not_equal(a, b) SMALL_COMPARE(long long, "%lld", a, !=, b)
#define assert_in_range(v, lo, hi) do { \
        if (!small_cmocka_within((unsigned long long)(v), (unsigned long long)(lo), (unsigned long long)(hi))) \
            SMALL_FAIL("%s = %llu is not in [%s, %s]", #v, (unsigned long long)(v), #lo, #hi); \
    } while (0)
#define assert_float_equal(a, b, eps) do { \
        float small_d = (float)(a) - (float)(b); \
        if (!((small_d < 0 ? -small_d : small_d) <= (float)(eps))) \
            SMALL_FAIL("%s and %s differ: %g and %g", #a, #b, (double)(a), (double)(b)); \
    } while (0)
#define assert_string_equal(a, b) do { \
        const char *small_a = (a), *small_b = (b); \
        if (strcmp(small_a, small_b) != 0) SMALL_FAIL("\"%s\" is not \"%s\"", small_a, small_b); \
    } while (0)
#define assert_string_not_equal(a, b) do { \
        const char *small_a = (a); \
        if (strcmp(small_a, (b)) == 0) SMALL_FAIL("equal: \"%s\"", small_a); \
    } while (0)
#define assert_memory_equal(a, b, n) do { \
        if (memcmp((a), (b), (n)) != 0) SMALL_FAIL("%s and %s differ in memory", #a, #b); \
    } while (0)
#define assert_memory_not_equal(a, b, n) do { \
        if (memcmp((a), (b), (n)) == 0) SMALL_FAIL("%s and %s are equal in memory", #a, #b); \
    } while (0)

/* 0 passed, 1 failed, 2 skipped */
__attribute__((weak)) int small_cmocka_one(const struct CMUnitTest *t, void *group_state);
__attribute__((weak)) int small_cmocka_one(const struct CMUnitTest *t, void *group_state)
{
    void *state = t->initial_state ? t->initial_state : group_state;
    int ended = 0;
    if (t->setup_func && t->setup_func(&state) != 0) {
        printf("[  ERROR   ] %s: set-up failed\n", t->name);
        return 1;
    }
    small_cmocka_skipped = 0;
    ended = setjmp(small_cmocka_return);
    if (ended == 0)
        t->test_func(&state);
    if (t->teardown_func && t->teardown_func(&state) != 0)
        return 1;
    return ended;
}

__attribute__((weak)) int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
                                                  CMFixtureFunction setup, CMFixtureFunction teardown);
__attribute__((weak)) int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
                                                  CMFixtureFunction setup, CMFixtureFunction teardown)
{
    static const char *const verdict[] = { "      OK ", "  FAILED ", " SKIPPED " };
    void *state = NULL;
    int failed = 0;
    printf("[==========] %s: %zu test(s)\n", name, n);
    if (setup && setup(&state) != 0) {
        printf("[  FAILED ] the group's set-up\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        int ended = small_cmocka_one(&tests[i], state);
        printf("[%s] %s\n", verdict[ended], tests[i].name);
        failed += ended == 1;
    }
    if (teardown && teardown(&state) != 0)
        failed++;
    printf("[==========] %d of %zu failed\n", failed, n);
    return failed;
}

#endif
