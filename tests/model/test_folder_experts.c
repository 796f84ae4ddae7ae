/* test_folder_experts.c - expert tensors in all the forms that folders have them in: one file tensor for each expert,
 * all in one, gate and up fused, gpt-oss interleaved and transposed or in MXFP4 blocks; and what is refused of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/model.h"
#include "tests/format/make_st.h"
#include "tests/lib/qs_test.h"

enum { EMBD = 64, FF = 32, EXPERTS = 3, VOCAB = 40 };

#define NUMBERS "\"num_hidden_layers\":1,\"hidden_size\":64,\"intermediate_size\":32,\"num_attention_heads\":2," \
                "\"num_key_value_heads\":1,\"vocab_size\":40,\"num_local_experts\":3,\"num_experts_per_tok\":2"
#define ROOM 40

struct tensors { struct st_tensor t[ROOM]; size_t n; char name[ROOM][96]; };

static struct st_tensor *add(struct tensors *x, const char *dtype, unsigned seed, uint64_t a, uint64_t b, uint64_t c,
                             const char *name)
{
    struct st_tensor *t = &x->t[x->n];
    assert_true(x->n < ROOM);
    (void)snprintf(x->name[x->n], sizeof x->name[0], "%s", name);
    *t = (struct st_tensor){ x->name[x->n++], dtype, { a, b, c }, seed };
    return t;
}

#define L "model.layers.0."

static void attention(struct tensors *x, bool oss)
{
    const uint64_t kv = oss ? 64 : 32, q = oss ? 128 : 64;
    x->n = 0;
    add(x, "BF16", 1, VOCAB, EMBD, 0, "model.embed_tokens.weight");
    add(x, "BF16", 2, EMBD, 0, 0, "model.norm.weight");
    add(x, "BF16", 3, EMBD, 0, 0, L "input_layernorm.weight");
    add(x, "BF16", 4, EMBD, 0, 0, L "post_attention_layernorm.weight");
    add(x, "BF16", 5, q, EMBD, 0, L "self_attn.q_proj.weight");
    add(x, "BF16", 6, kv, EMBD, 0, L "self_attn.k_proj.weight");
    add(x, "BF16", 7, kv, EMBD, 0, L "self_attn.v_proj.weight");
    add(x, "BF16", 8, EMBD, q, 0, L "self_attn.o_proj.weight");
    if (!oss)
        return;
    add(x, "BF16", 9, 2, 0, 0, L "self_attn.sinks");
    add(x, "BF16", 10, EXPERTS, EMBD, 0, L "mlp.router.weight");
    add(x, "BF16", 11, EXPERTS, 0, 0, L "mlp.router.bias");
    add(x, "BF16", 12, EXPERTS, 2 * FF, 0, L "mlp.experts.gate_up_proj_bias");
    add(x, "BF16", 13, EXPERTS, EMBD, 0, L "mlp.experts.down_proj_bias");
}

static const char *put(const char *dir, const char *config, const struct tensors *x)
{
    static char path[2][700];
    qs_test_mkdirs(qs_test_tmp_path(dir));
    (void)snprintf(path[0], sizeof path[0], "%s/config.json", qs_test_tmp_path(dir));
    qs_test_write(path[0], config, strlen(config));
    (void)snprintf(path[1], sizeof path[1], "%s/model.safetensors", qs_test_tmp_path(dir));
    st_write(path[1], x->t, x->n);
    return qs_test_tmp_path(dir);
}

static struct qs_model *open_model(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static void refused(const char *path, enum qs_code code, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    const int rc = qs_model_open(path, &m, &e);
    if (rc != (int)code || !strstr(e.msg, words))
        fail_msg("%d \"%s\", not %d \"%s\"", rc, e.msg, (int)code, words);
}

/* The bytes of a file tensor, as st_make wrote them: freed by the caller. */
static char *stored(const struct st_tensor *t, char **file)
{
    struct qs_str s = QS_STR_INIT;
    st_make(&s, t, 1, 0);
    const size_t n = (size_t)st_bytes(t);
    *file = s.data;
    return s.data + s.len - n;
}

static struct qs_weight *weight(const struct qs_model *m, const char *name)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w = NULL;
    const struct qs_tensor *t = qs_model_find(m, name);
    if (!t || qs_model_weight(m, t, &w, &e) != QS_OK)
        fail_msg("%s: %s", name, e.msg);
    return w;
}

#define MIXTRAL "{\"model_type\":\"mixtral\"," NUMBERS "}"

static void singles(struct tensors *x)
{
    static const struct { const char *name; uint64_t rows, cols; } w[] = { { "w1", FF, EMBD }, { "w2", EMBD, FF },
                                                                           { "w3", FF, EMBD } };
    attention(x, false);
    add(x, "BF16", 20, EXPERTS, EMBD, 0, L "block_sparse_moe.gate.weight");
    for (unsigned e = 0; e < EXPERTS; e++)
        for (unsigned k = 0; k < 3; k++) {
            char name[96];
            (void)snprintf(name, sizeof name, L "block_sparse_moe.experts.%u.%s.weight", e, w[k].name);
            add(x, "BF16", 30 + 3 * e + k, w[k].rows, w[k].cols, 0, name);
        }
}

/* One file tensor for each expert: they follow each other. */
static void test_single(void **state)
{
    (void)state;
    static const struct { const char *gguf; unsigned k; } made[] = { { "blk.0.ffn_gate_exps.weight", 0 },
                                                                     { "blk.0.ffn_down_exps.weight", 1 },
                                                                     { "blk.0.ffn_up_exps.weight", 2 } };
    struct tensors x;
    singles(&x);
    struct qs_model *m = open_model(put("single", MIXTRAL, &x));
    for (size_t i = 0; i < 3; i++) {
        struct qs_weight *w = weight(m, made[i].gguf);
        assert_int_equal(w->ne[2], EXPERTS);
        assert_int_equal(w->ne[0], made[i].k == 1 ? FF : EMBD);
        for (unsigned e = 0; e < EXPERTS; e++) {
            char *file, *want = stored(&x.t[9 + 3 * e + made[i].k], &file);
            assert_memory_equal(w->parts.p[0] + e * EMBD * FF * 2, want, EMBD * FF * 2);
            qs_free(file);
        }
        qs_weight_unref(w);
    }
    qs_model_close(m);
    x.t[9 + 4].dtype = "F16";
    refused(put("single", MIXTRAL, &x), QS_EUNSUPPORTED, "experts.1.w2.weight is stored as F16, the experts beside it "
            "as BF16");
    x.t[9 + 4].dtype = "BF16";
    x.t[9 + 5].shape[0] = EMBD;
    x.t[9 + 5].shape[1] = FF;
    refused(put("single", MIXTRAL, &x), QS_EFORMAT, "experts.1.w3.weight is 64 x 32, but by config.json it is 32 x 64");
    x.n--;
    x.t[9 + 5] = (struct st_tensor){ x.name[9 + 5], "BF16", { FF, EMBD }, 1 };
    refused(put("single", MIXTRAL, &x), QS_EFORMAT, "experts.2.w3.weight is missing");
}

/* All in one file tensor, gate and up behind each other. */
static void test_stacked(void **state)
{
    (void)state;
    static const char config[] = "{\"model_type\":\"qwen3_moe\",\"moe_intermediate_size\":32,\"head_dim\":32,"
                                 "\"norm_topk_prob\":true," NUMBERS "}";
    struct tensors x;
    attention(&x, false);
    add(&x, "BF16", 20, EXPERTS, EMBD, 0, L "mlp.gate.weight");
    add(&x, "BF16", 21, 32, 0, 0, L "self_attn.q_norm.weight");
    add(&x, "BF16", 22, 32, 0, 0, L "self_attn.k_norm.weight");
    const struct st_tensor *gate_up = add(&x, "BF16", 23, EXPERTS, 2 * FF, EMBD, L "mlp.experts.gate_up_proj");
    const struct st_tensor *down = add(&x, "BF16", 24, EXPERTS, EMBD, FF, L "mlp.experts.down_proj");
    struct qs_model *m = open_model(put("stacked", config, &x));
    struct qs_weight *g = weight(m, "blk.0.ffn_gate_exps.weight"), *u = weight(m, "blk.0.ffn_up_exps.weight");
    struct qs_weight *d = weight(m, "blk.0.ffn_down_exps.weight");
    char *file, *want = stored(gate_up, &file);
    const size_t half = FF * EMBD * 2;
    for (unsigned e = 0; e < EXPERTS; e++) {
        assert_memory_equal(g->parts.p[0] + e * half, want + 2 * e * half, half);
        assert_memory_equal(u->parts.p[0] + e * half, want + (2 * e + 1) * half, half);
    }
    qs_free(file);
    want = stored(down, &file);
    assert_memory_equal(d->parts.p[0], want, EXPERTS * half);
    assert_non_null(d->map); /* as it lies */
    qs_free(file);
    qs_weight_unref(g);
    qs_weight_unref(u);
    qs_weight_unref(d);
    qs_model_close(m);
    for (int k = 0; k < 2; k++) { /* some layers without experts */
        char text[600];
        (void)snprintf(text, sizeof text, "%.*s,%s}", (int)sizeof config - 2, config,
                       k ? "\"mlp_only_layers\":[0]" : "\"decoder_sparse_step\":2");
        refused(put("stacked", text, &x), QS_EUNSUPPORTED, "some layers without experts");
    }
}

#define GPT_OSS "{\"model_type\":\"gpt_oss\"," NUMBERS "}"

/* gpt-oss in plain numbers: columns of the file are rows, gate and up in turn. */
static void test_gpt_oss(void **state)
{
    (void)state;
    struct tensors x;
    attention(&x, true);
    for (size_t i = 4, n = x.n; i < n; i++) /* biases of attention */
        if (strstr(x.t[i].name, "self_attn.") && strstr(x.t[i].name, "_proj.weight")) {
            char name[96];
            (void)snprintf(name, sizeof name, "%.*s.bias", (int)(strlen(x.t[i].name) - 7), x.t[i].name);
            add(&x, "BF16", 50 + (unsigned)i, x.t[i].shape[0], 0, 0, name);
        }
    const size_t first = x.n;
    add(&x, "BF16", 40, EXPERTS, EMBD, 2 * FF, L "mlp.experts.gate_up_proj");
    add(&x, "BF16", 41, EXPERTS, FF, EMBD, L "mlp.experts.down_proj");
    struct qs_model *m = open_model(put("oss", GPT_OSS, &x));
    struct qs_weight *g = weight(m, "blk.0.ffn_gate_exps.weight"), *u = weight(m, "blk.0.ffn_up_exps.weight");
    struct qs_weight *d = weight(m, "blk.0.ffn_down_exps.weight"), *b = weight(m, "blk.0.ffn_up_exps.bias");
    char *f1, *f2, *f3;
    const char *both = stored(&x.t[first], &f1), *down = stored(&x.t[first + 1], &f2), *bias = stored(&x.t[11], &f3);
    for (size_t e = 0; e < EXPERTS; e++)
        for (size_t r = 0; r < FF; r++) {
            uint8_t wide[4] = { 0 };
            memcpy(wide + 2, bias + 2 * (e * 2 * FF + 2 * r + 1), 2); /* BF16 as F32 */
            assert_memory_equal(b->parts.p[0] + 4 * (e * FF + r), wide, 4);
            for (size_t c = 0; c < EMBD; c++) {
                const size_t to = 2 * ((e * FF + r) * EMBD + c), from = 2 * ((e * EMBD + c) * 2 * FF + 2 * r);
                assert_memory_equal(g->parts.p[0] + to, both + from, 2);
                assert_memory_equal(u->parts.p[0] + to, both + from + 2, 2);
                const size_t turned = 2 * ((e * EMBD + c) * FF + r);
                assert_memory_equal(d->parts.p[0] + turned, down + 2 * ((e * FF + r) * EMBD + c), 2);
            }
        }
    qs_free(f1);
    qs_free(f2);
    qs_free(f3);
    qs_weight_unref(g);
    qs_weight_unref(u);
    qs_weight_unref(d);
    qs_weight_unref(b);
    qs_model_close(m);
}

/* MXFP4: blocks and scales belong together and have their own shape. */
static void test_mxfp4(void **state)
{
    (void)state;
    struct tensors x;
    attention(&x, true);
    const size_t blocks = x.n;
    struct st_tensor *t = add(&x, "U8", 40, EXPERTS, 2 * FF, EMBD / 32, L "mlp.experts.gate_up_proj_blocks");
    t->shape[3] = 16;
    add(&x, "U8", 41, EXPERTS, 2 * FF, EMBD / 32, L "mlp.experts.gate_up_proj_scales");
    t = add(&x, "U8", 42, EXPERTS, EMBD, FF / 32, L "mlp.experts.down_proj_blocks");
    t->shape[3] = 16;
    add(&x, "U8", 43, EXPERTS, EMBD, FF / 32, L "mlp.experts.down_proj_scales");
    struct qs_model *m = open_model(put("mxfp4", GPT_OSS, &x));
    struct qs_weight *u = weight(m, "blk.0.ffn_up_exps.weight");
    char *f1, *f2;
    const uint8_t *code = (const uint8_t *)stored(&x.t[blocks], &f1);
    const uint8_t *scale = (const uint8_t *)stored(&x.t[blocks + 1], &f2);
    assert_int_equal(u->format->id, QS_MXFP4);
    for (size_t e = 0; e < EXPERTS; e++)
        for (size_t r = 0; r < FF; r++)
            for (size_t k = 0; k < EMBD / 32; k++) {
                const size_t from = (e * 2 * FF + 2 * r + 1) * (EMBD / 32) + k;
                const uint8_t *have = u->parts.p[0] + ((e * FF + r) * (EMBD / 32) + k) * 17;
                assert_int_equal(have[0], scale[from]);
                for (size_t i = 0; i < 32; i++) /* weight i of the block */
                    assert_int_equal(have[1 + i % 16] >> (i / 16 * 4) & 15,
                                     code[from * 16 + i / 2] >> (i % 2 * 4) & 15);
            }
    qs_free(f1);
    qs_free(f2);
    qs_weight_unref(u);
    qs_model_close(m);
    x.t[blocks + 1].shape[2] = 1;
    refused(put("mxfp4", GPT_OSS, &x), QS_EFORMAT, "gate_up_proj_scales is 3 x 64 x 1, but by config.json it is 3 x 64 "
            "x 2");
    x.t[blocks + 1].shape[2] = 2;
    x.t[blocks].dtype = "BF16";
    refused(put("mxfp4", GPT_OSS, &x), QS_EFORMAT, "are no bytes");
    x.t[blocks].dtype = "U8";
    x.n--;
    refused(put("mxfp4", GPT_OSS, &x), QS_EFORMAT, "down_proj_scales is missing");
    x.n = blocks;
    refused(put("mxfp4", GPT_OSS, &x), QS_EFORMAT, "gate_up_proj_blocks is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single), cmocka_unit_test(test_stacked), cmocka_unit_test(test_gpt_oss),
        cmocka_unit_test(test_mxfp4),
    };
    return cmocka_run_group_tests_name("experts of folders", tests, NULL, NULL);
}
