/* test_role.c - from GGUF names to roles and layers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/model/role.h"

static const struct { const char *name; enum qs_role role; int layer, known; } cases[] = {
    {"token_embd.weight", QS_ROLE_TOKEN_EMBD, -1, 1},
    {"output.weight", QS_ROLE_OUTPUT, -1, 1},
    {"output_norm.weight", QS_ROLE_OUTPUT_NORM, -1, 1},
    {"rope_freqs.weight", QS_ROLE_ROPE, -1, 1},
    {"blk.0.attn_norm.weight", QS_ROLE_ATTN_NORM, 0, 1},
    {"blk.17.attn_q.weight", QS_ROLE_ATTN_Q, 17, 1},
    {"blk.17.attn_q.bias", QS_ROLE_BIAS, 17, 1},
    {"blk.17.attn_q.lora_a", QS_ROLE_OTHER, 17, 0},
    {"blk.3.attn_k.weight", QS_ROLE_ATTN_K, 3, 1},
    {"blk.3.attn_v.weight", QS_ROLE_ATTN_V, 3, 1},
    {"blk.3.attn_qkv.weight", QS_ROLE_ATTN_QKV, 3, 1},
    {"blk.3.attn_output.weight", QS_ROLE_ATTN_OUTPUT, 3, 1},
    {"blk.3.attn_q_a.weight", QS_ROLE_ATTN_Q_A, 3, 1},
    {"blk.3.attn_q_a_norm.weight", QS_ROLE_ATTN_AUX_NORM, 3, 1},
    {"blk.3.attn_kv_a_mqa.weight", QS_ROLE_ATTN_KV_A, 3, 1},
    {"blk.3.attn_k_b.weight", QS_ROLE_ATTN_K_B, 3, 1},
    {"blk.3.attn_sinks.weight", QS_ROLE_ATTN_SINKS, 3, 1},
    {"blk.3.attn_q_norm.weight", QS_ROLE_ATTN_AUX_NORM, 3, 1},
    {"blk.3.post_attention_norm.weight", QS_ROLE_ATTN_AUX_NORM, 3, 1},
    {"blk.9.ffn_gate.weight", QS_ROLE_FFN_GATE, 9, 1},
    {"blk.9.ffn_up.weight", QS_ROLE_FFN_UP, 9, 1},
    {"blk.9.ffn_down.weight", QS_ROLE_FFN_DOWN, 9, 1},
    {"blk.9.ffn_gate_inp.weight", QS_ROLE_FFN_ROUTER, 9, 1},
    {"blk.9.ffn_gate_exps.weight", QS_ROLE_FFN_GATE_EXPS, 9, 1},
    {"blk.9.ffn_gate_up_exps.weight", QS_ROLE_FFN_GATE_UP_EXPS, 9, 1},
    {"blk.9.ffn_down_shexp.weight", QS_ROLE_FFN_DOWN_SHEXP, 9, 1},
    {"blk.9.ffn_down.12.weight", QS_ROLE_FFN_DOWN_EXPS, 9, 1},
    {"blk.9.ffn_down.x.weight", QS_ROLE_OTHER, 9, 0},
    {"blk.9.exp_probs_b.bias", QS_ROLE_BIAS, 9, 1},
    {"blk.9.post_ffw_norm.weight", QS_ROLE_FFN_AUX_NORM, 9, 1},
    {"blk.1.ssm_a", QS_ROLE_SSM, 1, 1},
    {"blk.1.time_mix_w1.weight", QS_ROLE_SSM, 1, 1},
    {"blk.1.nextn.enorm.weight", QS_ROLE_NORM_OTHER, 1, 1},
    {"enc.blk.2.attn_o.weight", QS_ROLE_ATTN_OUTPUT, 2, 1},
    {"dec.blk.2.attn_q.weight", QS_ROLE_ATTN_Q, 2, 1},
    {"blk.2.some_norm.weight", QS_ROLE_NORM_OTHER, 2, 0},
    {"blk.2.unheard_of.bias", QS_ROLE_BIAS, 2, 0},
    {"v.patch_embd.weight", QS_ROLE_OTHER, -1, 0},
    {"blk.attn_q.weight", QS_ROLE_OTHER, -1, 0},
    {"blk.1234567890123.attn_q.weight", QS_ROLE_OTHER, -1, 0},
    {"blk.-1.attn_q.weight", QS_ROLE_OTHER, -1, 0},
    {"", QS_ROLE_OTHER, -1, 0},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int layer = -2;
        enum qs_role r = qs_role_of(cases[i].name, &layer);
        if (r != cases[i].role || layer != cases[i].layer || !qs_role_known(cases[i].name) != !cases[i].known)
            fail_msg("%s: %s in layer %d", cases[i].name, qs_role_name(r), layer);
        assert_int_equal(qs_role_of(cases[i].name, NULL), r);
    }
}

/* A name of 300 bytes fits no buffer and no role. */
static void test_long_name(void **state)
{
    (void)state;
    char name[301];
    memset(name, 'a', 300);
    name[300] = 0;
    assert_int_equal(qs_role_of(name, NULL), QS_ROLE_OTHER);
    memcpy(name + 295, ".bias", 5);
    assert_int_equal(qs_role_of(name, NULL), QS_ROLE_BIAS);
    assert_false(qs_role_known(name));
}

/* Every role has a name of its own. */
static void test_labels(void **state)
{
    (void)state;
    for (int a = 0; a < QS_ROLE_COUNT; a++) {
        assert_non_null(qs_role_name((enum qs_role)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(qs_role_name((enum qs_role)a), qs_role_name((enum qs_role)b));
    }
    assert_string_equal(qs_role_name(QS_ROLE_ATTN_Q), "attn_q");
    assert_string_equal(qs_role_name((enum qs_role)999), "other");
}

/* The table is searched by bisection: a name out of order would not be found. These are its ends and neighbours. */
static void test_table_order(void **state)
{
    (void)state;
    static const char *const names[] = {
        "altup_correct_coef.weight",
        "attn_k.weight",
        "attn_k_b.weight",
        "attn_kv.weight",
        "cls.weight",
        "cls.output.weight",
        "cls.norm.weight",
        "conv1d.weight",
        "d2t.weight",
        "enc.output_norm.weight",
        "ffn.act",
        "ffn_act_none_such",
        "hrm.z_l_init",
        "indexer.proj.weight",
        "indexer_compressor_ape.weight",
        "nextn.eh_proj.weight",
        "proj.weight",
        "shortconv.conv.weight",
        "token_types.weight",
        "vis_up.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(qs_role_known(names[i]) != 0, strcmp(names[i], "ffn_act_none_such") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_long_name), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_table_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
