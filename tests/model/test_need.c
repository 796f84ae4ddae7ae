/* test_need.c - memory for weights and KV cache, and weights used per token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/cpus.h"
#include "base/file.h"
#include "core/model/need.h"
#include "tests/format/tf.h"
#include "tests/model/make_model.h"

static struct qs_model *open_spec(const struct mm_spec *s)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    const char *path = qs_test_tmp_path("need.gguf");
    if (mm_file(path, s, &e) != QS_OK || qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

/* llama.cpp says of such a model: "KV buffer size = 2.00 MiB" (512 cells, 8 layers, F16). */
static void test_dense(void **state)
{
    (void)state;
    struct mm_spec s = { .layers = 8, .embd = 256, .heads = 4, .kv_heads = 2, .fill = MM_SPARSE };
    struct qs_model *m = open_spec(&s);
    assert_int_equal(qs_need_kv_cache(m, 512, QS_F16), 2 << 20);
    assert_int_equal(qs_need_kv_cache(m, 512, QS_Q8_0), (2 << 20) / 64 * 34);
    assert_int_equal(qs_need_kv_cache(m, 512, QS_Q4_0), (2 << 20) / 64 * 18);
    assert_int_equal(qs_need_kv_cache(m, 0, QS_F16), 0);
    assert_int_equal(qs_need_kv_cache(m, UINT64_MAX, QS_F16), 0); /* overflows: not known */
    assert_int_equal(qs_need_kv_cache(m, 512, 12345), 0);
    assert_int_equal(qs_need_active_weights(m), m->n_weights);
    qs_model_close(m);
}

static void test_latent(void **state)
{
    (void)state;
    const char *meta[] = { "deepseek2.attention.key_length=u32:576", "deepseek2.attention.value_length=u32:512",
                           "deepseek2.attention.key_length_mla=u32:192", "deepseek2.attention.head_count_kv=u32:1",
                           NULL };
    struct mm_spec s = { .arch = "deepseek2", .layers = 3, .meta = meta, .fill = MM_SPARSE };
    struct qs_model *m = open_spec(&s);
    assert_int_equal(qs_need_kv_cache(m, 100, QS_F16), 100 * 3 * 576 * 2);
    qs_model_close(m);
}

/* Only layers with keys of their own count; the number of heads may differ from layer to layer. */
static void test_hybrid(void **state)
{
    (void)state;
    const struct mm_tensor t[] = {
        { "blk.0.ssm_in.weight", 2, { 64, 64, 1, 1 }, QS_F16 }, { "blk.1.attn_k.weight", 2, { 64, 32, 1, 1 }, QS_F16 },
        { "blk.2.attn_qkv.weight", 2, { 64, 96, 1, 1 }, QS_F16 },
    };
    struct mm_spec s = {
        .layers = 3, .embd = 64, .heads = 4, .kv_heads = 2, .extra = t, .n_extra = 3, .only_extra = true
    };
    struct qs_model *m = open_spec(&s);
    assert_int_equal(qs_need_kv_cache(m, 10, QS_F16), 10 * 2 * (2 * 16 * 2) * 2);
    qs_model_close(m);
}

static void test_experts(void **state)
{
    (void)state;
    struct mm_spec s = {
        .layers = 2, .embd = 64, .ff = 128, .vocab = 32, .experts = 8, .experts_used = 2, .shared_expert = true
    };
    struct qs_model *m = open_spec(&s);
    uint64_t experts = 2 * 3 * 8 * 64 * 128;
    assert_int_equal(qs_need_active_weights(m), m->n_weights - experts / 8 * 6);
    qs_model_close(m);
}

static void test_nothing_stated(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    const char *path = qs_test_tmp_path("bare.gguf");
    tf_head(&s, 3, 0, 0);
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_int_equal(qs_need_kv_cache(m, 512, QS_F16), 0);
    assert_int_equal(qs_need_active_weights(m), 0);
    qs_model_close(m);
    qs_str_free(&s);
}

static void test_machine(void **state)
{
    (void)state;
    struct qs_machine_memory mem = qs_machine_memory();
    assert_true(mem.total > 16u << 20);
    assert_true(mem.available <= mem.total);
}

/* Limits of our own group and of those around it count; that of a group beside it does not. */
static void test_cgroups(void **state)
{
    (void)state;
    static const struct { const char *name, *text; } files[] = {
        { "self", "1:name=systemd:/x\n0::/user.slice/mine.scope\n" },
        { "fs/user.slice/memory.max", "8000\n" }, { "fs/user.slice/memory.current", "7000\n" },
        { "fs/user.slice/mine.scope/memory.max", "5000\n" }, { "fs/user.slice/mine.scope/memory.current", "1000\n" },
        { "fs/user.slice/other.scope/memory.max", "10\n" }, { "fs/memory.max", "max\n" },
    };
    uint64_t limit, left;
    qs_test_mkdirs(qs_test_tmp_path("fs/user.slice/mine.scope"));
    qs_test_mkdirs(qs_test_tmp_path("fs/user.slice/other.scope"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        qs_test_file(files[i].name, files[i].text, strlen(files[i].text));
    qs_cgroup_memory(qs_test_tmp_path("self"), qs_test_tmp_path("fs"), &limit, &left);
    assert_int_equal(limit, 5000);
    assert_int_equal(left, 1000);
    qs_cgroup_memory(qs_test_tmp_path("nothing"), qs_test_tmp_path("fs"), &limit, &left);
    assert_int_equal(limit, 0);
    assert_int_equal(left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),   cmocka_unit_test(test_latent),         cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_experts), cmocka_unit_test(test_nothing_stated), cmocka_unit_test(test_machine),
        cmocka_unit_test(test_cgroups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
