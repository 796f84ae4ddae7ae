/* test_hash.c - content keys: known values, streaming, hexadecimal. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "tests/lib/qs_test.h"

static void known_values(void **state)
{
    (void)state;
    char hex[33];
    /* XXH3 with 128 bits and seed 0 of nothing, as its specification and `xxhsum -H2` give it. */
    qs_key_hex(qs_hash_bytes(NULL, 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    qs_key_hex(qs_hash_bytes("abc", 3), hex);
    assert_string_equal(hex, "06b05ab6733a618578af5f94892f3950");
}

static void streams_equal_one_piece(void **state)
{
    (void)state;
    static unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 31 + (i >> 8));
    uint64_t held = qs_mem_in_use();
    for (size_t n = 0; n <= sizeof data; n += 1 + n / 7) {
        for (size_t piece = 1; piece < 600; piece = piece * 3 + 1) {
            struct qs_hash *h = qs_hash_new();
            assert_non_null(h);
            for (size_t at = 0; at < n; at += piece)
                qs_hash_add(h, data + at, n - at < piece ? n - at : piece);
            assert_true(qs_key_equal(qs_hash_end(h), qs_hash_bytes(data, n)));
        }
    }
    assert_int_equal(qs_mem_in_use(), held);
    struct qs_key whole = qs_hash_bytes(data, sizeof data);
    data[4321] ^= 1;
    assert_false(qs_key_equal(whole, qs_hash_bytes(data, sizeof data)));
}

static void hexadecimal(void **state)
{
    (void)state;
    char hex[33];
    qs_key_hex((struct qs_key){ .lo = 0x0123456789abcdef, .hi = 0xfedcba9876543210 }, hex);
    assert_string_equal(hex, "fedcba98765432100123456789abcdef");
    assert_false(qs_key_equal((struct qs_key){ 1, 2 }, (struct qs_key){ 1, 3 }));
    assert_false(qs_key_equal((struct qs_key){ 1, 2 }, (struct qs_key){ 0, 2 }));
}

static void memory_runs_out(void **state)
{
    (void)state;
    qs_mem_fail_after(1);
    assert_null(qs_hash_new());
    qs_mem_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(streams_equal_one_piece),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
