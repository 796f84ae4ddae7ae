/* test_near.c - words that look alike: how far apart, which are offered, and in what words. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "base/near.h"

static void distances(void **state)
{
    static const struct { const char *a, *b; unsigned d; } table[] = {
        { "", "", 0 },           { "abc", "ABC", 0 },        { "abc", "acb", 1 },      { "abc", "ab", 1 },
        { "", "abc", 3 },        { "kitten", "sitting", 3 }, { "iq4_xs", "IQ4_XS", 0 }, { "ab", "ba", 1 },
        { "abcd", "badc", 2 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(qs_near_distance(table[i].a, table[i].b), table[i].d);
        assert_int_equal(qs_near_distance(table[i].b, table[i].a), table[i].d);
    }
}

static void long_words(void **state)
{
    char a[400], b[400];
    (void)state;
    memset(a, 'x', sizeof a);
    memset(b, 'y', sizeof b);
    a[399] = b[399] = 0;
    assert_int_equal(qs_near_distance(a, b), 255);
    b[0] = 0;
    assert_int_equal(qs_near_distance(a, b), 255);
}

static void offer(const char *word, const char *const *candidates, const char *text)
{
    char buf[200];
    struct qs_near n;
    qs_near_start(&n, word);
    for (; *candidates; candidates++)
        qs_near_try(&n, *candidates);
    assert_string_equal(qs_near_text(&n, buf, sizeof buf), text);
}

static void offers(void **state)
{
    static const char *const roles[] = { "ffn_down", "attn_kv", "attn_k", "attn_v", "attn_", "attn_output", NULL };
    static const char *const presets[] = { "Q4_K_M", "IQ2_M", "IQ2_S", "IQ3_S", "MXFP4_MOE", NULL };
    (void)state;
    offer("attn_q", roles, "; did you mean attn_k, attn_v or attn_?");
    offer("fnn_down", roles, "; did you mean ffn_down?");
    offer("token_embd", roles, "");
    offer("ATTN_O", roles, "; did you mean attn_output, attn_k or attn_v?");
    offer("iq2", presets, "; did you mean IQ2_M or IQ2_S?"); /* a beginning */
    offer("iq", presets, "");                                /* too short to be one */
    offer("mxfp4", presets, "; did you mean MXFP4_MOE?");
}

static void text_is_cut_at_words(void **state)
{
    char buf[32];
    struct qs_near n;
    (void)state;
    qs_near_start(&n, "attn_q");
    qs_near_try(&n, "attn_k");
    qs_near_try(&n, "attn_v");
    assert_string_equal(qs_near_text(&n, buf, 20), "");
    assert_string_equal(qs_near_text(&n, buf, 26), "; did you mean attn_k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_words),
        cmocka_unit_test(offers),
        cmocka_unit_test(text_is_cut_at_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
