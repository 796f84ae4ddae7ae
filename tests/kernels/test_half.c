/* test_half.c - float16 and bfloat16 conversions against their definition, over every 16-bit pattern. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "kernels/half.h"

/* Binary16 by the book. */
static double f16_value(unsigned h)
{
    int exp = (int)(h >> 10 & 31), man = (int)(h & 1023);
    double v = exp == 0 ? ldexp(man, -24) : ldexp(1024 + man, exp - 25);
    return h & 0x8000 ? -v : v;
}

static void f16_decodes_by_the_book(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = qs_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00)
            assert_true(isnan(f) && (qs_f32_bits(f) >> 31) == h >> 15 && (qs_f32_bits(f) & 0x400000));
        else if ((h & 0x7fff) == 0x7c00)
            assert_true(isinf(f) && (f < 0) == (h >> 15 == 1));
        else
            assert_int_equal(qs_f32_bits(f), qs_f32_bits((float)f16_value(h)));
    }
}

static void f16_round_trips(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        unsigned back = qs_f32_to_f16(qs_f16_to_f32((uint16_t)h));
        assert_int_equal(back, (h & 0x7fff) > 0x7c00 ? (h & 0x8000) | 0x7e00 : h);
    }
}

/* Between neighbours: below the midpoint goes down, above goes up, on it goes to the even one. */
static void f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        /* 65536 would be next after the largest, 65504 */
        double mid = (f16_value(h) + (h == 0x7bff ? 65536.0 : f16_value(h + 1))) / 2;
        float m = (float)mid;
        assert_true((double)m == mid);
        unsigned even = h & 1 ? h + 1 : h;
        for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
            float s = sign ? -1.0f : 1.0f;
            assert_int_equal(qs_f32_to_f16(s * m), sign | even);
            assert_int_equal(qs_f32_to_f16(s * nextafterf(m, 0)), sign | h);
            assert_int_equal(qs_f32_to_f16(s * nextafterf(m, INFINITY)), sign | (h + 1));
        }
    }
}

static void f16_limits(void **state)
{
    (void)state;
    assert_int_equal(qs_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(qs_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(qs_f32_to_f16(3.4e38f), 0x7c00);
    assert_int_equal(qs_f32_to_f16(qs_bits_f32(0x7f800001)), 0x7e00);
    assert_int_equal(qs_f32_to_f16(qs_bits_f32(0xffffffff)), 0xfe00);
    assert_int_equal(qs_f32_to_f16(1e-45f), 0);
    assert_int_equal(qs_f32_to_f16(-0.0f), 0x8000);
}

static void bf16_is_the_upper_half_rounded(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = qs_bf16_to_f32((uint16_t)h);
        assert_int_equal(qs_f32_bits(f), h << 16);
        if ((h & 0x7fff) > 0x7f80) {
            assert_int_equal(qs_f32_to_bf16(f), h | 64);
            continue;
        }
        assert_int_equal(qs_f32_to_bf16(f), h);
        if ((h & 0x7fff) == 0x7f80)
            continue;
        assert_int_equal(qs_f32_to_bf16(qs_bits_f32(h << 16 | 0x7fff)), h);
        assert_int_equal(qs_f32_to_bf16(qs_bits_f32(h << 16 | 0x8000)), h + (h & 1));
        assert_int_equal(qs_f32_to_bf16(qs_bits_f32(h << 16 | 0x8001)), h + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_decodes_by_the_book), cmocka_unit_test(f16_round_trips),
        cmocka_unit_test(f16_rounds_to_nearest_even), cmocka_unit_test(f16_limits),
        cmocka_unit_test(bf16_is_the_upper_half_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
