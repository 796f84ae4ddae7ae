/* test_gguf_write.c - headers out: the bytes others write, sizes that are known, overrides from the command line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/gguf_write.h"
#include "kernels/format.h"
#include "tests/format/tf.h"

/* Tensors of an opened file as a writer wants them. */
static struct qs_gguf_out *outs_of(const struct qs_gguf *g)
{
    struct qs_gguf_out *o = qs_calloc(g->n_tensors + 1, sizeof *o);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_gguf_tensor *t = &g->tensor[i];
        o[i] = (struct qs_gguf_out){ .name = t->name, .n_dims = t->n_dims, .type = t->type, .size = t->size };
        memcpy(o[i].ne, t->ne, sizeof o[i].ne);
    }
    return o;
}

/* Metadata and tensors of a real file, laid out again, are the same header and the same size, byte for byte. */
static void same_header(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    char *bytes;
    size_t n;
    assert_int_equal(qs_file_read(path, 64u << 20, &bytes, &n, &e), QS_OK);
    assert_int_equal(qs_gguf_open_mem(bytes, n, &g, &e), QS_OK);
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    assert_int_equal(qs_gguf_meta_copy(m, g, &e), QS_OK);
    struct qs_gguf_out *o = outs_of(g);
    struct qs_str header = QS_STR_INIT;
    uint64_t size;
    assert_int_equal(qs_gguf_layout(m, o, g->n_tensors, g->alignment, &header, &size, &e), QS_OK);
    assert_int_equal(size, n);
    assert_int_equal(header.len, g->part[0].header_size);
    assert_memory_equal(header.data, bytes, header.len);
    for (size_t i = 0; i < g->n_tensors; i++)
        assert_int_equal(o[i].offset, g->tensor[i].offset);
    qs_str_free(&header);
    qs_free(o);
    qs_gguf_meta_free(m);
    qs_gguf_close(g);
    qs_free(bytes);
}

static void test_same_as_others(void **state)
{
    (void)state;
    const char *imatrix = qs_test_src("tests/format/data/demo-imatrix.gguf"); /* written by llama.cpp */
    same_header(imatrix);
    same_header(qs_test_src("demo/storyteller-9m-f16.gguf")); /* written by gguf-py */
}

/* llama.cpp's Q4_K_M of the demo model has 5,702,016 bytes: half of the value and down projections get six bits. (With
 * an importance matrix, whose file and text are named in the metadata, some 200 bytes more.) */
static void test_known_size(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    const char *demo = qs_test_src("demo/storyteller-9m-f16.gguf");
    assert_int_equal(qs_gguf_open(demo, &g, &e), QS_OK);
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    assert_int_equal(qs_gguf_meta_copy(m, g, &e), QS_OK);
    assert_int_equal(qs_gguf_meta_u32(m, "general.quantization_version", 2, &e), QS_OK);
    assert_int_equal(qs_gguf_meta_u32(m, "general.file_type", 15, &e), QS_OK);
    struct qs_gguf_out *o = outs_of(g);
    for (size_t i = 0; i < g->n_tensors; i++) {
        unsigned layer = 0, layers = 8;
        bool more = sscanf(o[i].name, "blk.%u.", &layer) != 1 || layer < layers / 8 || layer >= 7 * layers / 8 ||
                    (layer - layers / 8) % 3 == 2;
        bool six =
            strstr(o[i].name, "token_embd") || ((strstr(o[i].name, "attn_v") || strstr(o[i].name, "ffn_down")) && more);
        if (o[i].n_dims < 2)
            continue;
        o[i].type = six ? QS_Q6_K : QS_Q4_K;
        o[i].size = qs_format_row_bytes(qs_format_by_id(o[i].type), (size_t)o[i].ne[0]) * o[i].ne[1];
    }
    struct qs_str header = QS_STR_INIT;
    uint64_t size;
    assert_int_equal(qs_gguf_layout(m, o, g->n_tensors, 32, &header, &size, &e), QS_OK);
    assert_int_equal(size, 5702016);
    qs_str_free(&header);
    qs_free(o);
    qs_gguf_meta_free(m);
    qs_gguf_close(g);
}

/* What was written is read back, at any alignment; offsets are absolute and aligned, the last tensor is padded too. */
static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
        struct qs_err e = QS_ERR_INIT;
        struct qs_gguf *g;
        struct qs_gguf_meta *m = qs_gguf_meta_new();
        assert_int_equal(qs_gguf_meta_u32(m, "general.alignment", alignment, &e), QS_OK);
        assert_int_equal(qs_gguf_meta_str(m, "general.name", "tv\xc3\xa5", &e), QS_OK);
        struct qs_gguf_out o[] = {
            { .name = "a", .n_dims = 1, .ne = { 3 }, .type = QS_F32, .size = 12 },
            { .name = "b", .n_dims = 2, .ne = { 32, 5 }, .type = QS_Q8_0, .size = 170 },
            { .name = "c", .n_dims = 3, .ne = { 2, 3, 4 }, .type = QS_F16, .size = 48 },
        };
        struct qs_str file = QS_STR_INIT;
        uint64_t size;
        assert_int_equal(qs_gguf_layout(m, o, 3, alignment, &file, &size, &e), QS_OK);
        assert_int_equal(size % alignment, 0);
        while (file.len < size)
            qs_str_addc(&file, 0);
        assert_int_equal(qs_gguf_open_mem(file.data, file.len, &g, &e), QS_OK);
        assert_int_equal(g->alignment, alignment);
        assert_int_equal(g->n_findings, 0);
        for (int i = 0; i < 3; i++) {
            assert_string_equal(g->tensor[i].name, o[i].name);
            assert_int_equal(g->tensor[i].offset, o[i].offset);
            assert_int_equal(g->tensor[i].size, o[i].size);
            assert_int_equal(o[i].offset % alignment, 0);
        }
        qs_gguf_close(g);
        qs_str_free(&file);
        qs_gguf_meta_free(m);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    struct qs_str h = QS_STR_INIT;
    uint64_t size;
    struct qs_gguf_out huge[] = {
        { .name = "a", .n_dims = 1, .ne = { 1 }, .size = UINT64_MAX - 10 },
        { .name = "b", .n_dims = 1, .ne = { 1 }, .size = 64 },
    };
    struct qs_gguf_out deep = { .name = "a", .n_dims = 5, .size = 4 };
    assert_int_equal(qs_gguf_layout(m, huge, 2, 32, &h, &size, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_layout(m, &deep, 1, 32, &h, &size, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_layout(m, NULL, 0, 4, &h, &size, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_layout(m, NULL, 0, 48, &h, &size, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_meta_u32(m, "", 1, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_meta_raw(m, "k", QS_GGUF_U16, "1234", 4, &e), QS_EINVAL);
    assert_int_equal(qs_gguf_meta_raw(m, "k", 13, "1234", 4, &e), QS_EINVAL);
    qs_str_free(&h);
    qs_gguf_meta_free(m);
}

static void test_set_and_remove(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    assert_int_equal(qs_gguf_meta_u32(m, "a", 1, &e), QS_OK);
    assert_int_equal(qs_gguf_meta_str(m, "b", "two", &e), QS_OK);
    assert_int_equal(qs_gguf_meta_str(m, "a", "one", &e), QS_OK); /* in place, of another type */
    assert_true(qs_gguf_meta_has(m, "a"));
    assert_false(qs_gguf_meta_has(m, "aa"));
    assert_true(qs_gguf_meta_remove(m, "b"));
    assert_false(qs_gguf_meta_remove(m, "b"));
    assert_int_equal(qs_gguf_meta_u32(m, "c", 3, &e), QS_OK);
    struct qs_str h = QS_STR_INIT;
    uint64_t size;
    struct qs_gguf *g;
    assert_int_equal(qs_gguf_layout(m, NULL, 0, 32, &h, &size, &e), QS_OK);
    assert_int_equal(qs_gguf_open_mem(h.data, h.len, &g, &e), QS_OK);
    assert_int_equal(g->n_kv, 2);
    assert_string_equal(g->kv[0].key, "a");
    assert_int_equal(g->kv[0].type, QS_GGUF_STRING);
    assert_int_equal(qs_gguf_u64(g, "c", 0), 3);
    qs_gguf_close(g);
    qs_str_free(&h);
    qs_gguf_meta_free(m);
}

static const struct { const char *text; int type; double value; const char *str; } good[] = {
    {"k=int:42", QS_GGUF_U32, 42, NULL},          {"k=float:0.5", QS_GGUF_F32, 0.5, NULL},
    {"k=bool:true", QS_GGUF_BOOL, 1, NULL},       {"k=bool:false", QS_GGUF_BOOL, 0, NULL},
    {"k=str:a=b:c", QS_GGUF_STRING, 0, "a=b:c"},  {"k=str:", QS_GGUF_STRING, 0, ""},
    {"k=u8:255", QS_GGUF_U8, 255, NULL},          {"k=i8:-128", QS_GGUF_I8, -128, NULL},
    {"k=u16:65535", QS_GGUF_U16, 65535, NULL},    {"k=i16:-1", QS_GGUF_I16, -1, NULL},
    {"k=u32:4294967295", QS_GGUF_U32, 4294967295.0, NULL}, {"k=i32:-2147483648", QS_GGUF_I32, -2147483648.0, NULL},
    {"k=u64:9007199254740992", QS_GGUF_U64, 9007199254740992.0, NULL}, {"k=i64:-5", QS_GGUF_I64, -5, NULL},
    {"k=f64:1e300", QS_GGUF_F64, 1e300, NULL},    {"k=string:x", QS_GGUF_STRING, 0, "x"},
};

static const char *const bad[] = {
    "k", "=int:1", "k=int", "k=long:1", "k=int:", "k=int:1x", "k=int:-1", "k=int:4294967296", "k=u8:256", "k=i8:128",
    "k=i8:-129", "k=u64:18446744073709551616", "k=i64:9223372036854775808", "k=float:abc", "k=float:1e39",
    "k=float:nan", "k=float:inf", "k=f64:1e999", "k=bool:1", "k=bool:", "k=float:1 ", "k=array:1", "k=i32:0x10",
};

static void test_override(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct qs_gguf_meta *m = qs_gguf_meta_new();
        struct qs_str h = QS_STR_INIT;
        uint64_t size;
        struct qs_gguf *g;
        assert_int_equal(qs_gguf_meta_override(m, good[i].text, &e), QS_OK);
        assert_int_equal(qs_gguf_layout(m, NULL, 0, 32, &h, &size, &e), QS_OK);
        assert_int_equal(qs_gguf_open_mem(h.data, h.len, &g, &e), QS_OK);
        const struct qs_kv *kv = qs_gguf_kv(g, "k");
        assert_int_equal(kv->type, good[i].type);
        double v;
        const char *s;
        size_t n;
        if (good[i].str)
            assert_true(qs_kv_str(kv, &s, &n) && n == strlen(good[i].str) && memcmp(s, good[i].str, n) == 0);
        else
            assert_true(qs_kv_f64(kv, &v) && v == good[i].value);
        qs_gguf_close(g);
        qs_str_free(&h);
        qs_gguf_meta_free(m);
    }
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct qs_err e = QS_ERR_INIT;
        if (qs_gguf_meta_override(m, bad[i], &e) != QS_EINVAL || !strstr(e.msg, bad[i]))
            fail_msg("%s: \"%s\"", bad[i], e.msg);
    }
    assert_false(qs_gguf_meta_has(m, "k"));
    qs_gguf_meta_free(m);
}

static void test_failing_memory(void **state)
{
    (void)state;
    uint64_t held = qs_mem_in_use();
    for (uint64_t i = 1;; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct qs_str h = QS_STR_INIT;
        struct qs_gguf_out o = { .name = "a", .n_dims = 1, .ne = { 3 }, .size = 12 };
        uint64_t size;
        qs_mem_fail_after(i);
        struct qs_gguf_meta *m = qs_gguf_meta_new();
        int rc = m ? QS_OK : QS_ENOMEM;
        for (int k = 0; rc == QS_OK && k < 20; k++) {
            char text[40];
            snprintf(text, sizeof text, "key.%d=str:value %d", k, k);
            rc = qs_gguf_meta_override(m, text, &e);
        }
        if (rc == QS_OK)
            rc = qs_gguf_layout(m, &o, 1, 32, &h, &size, &e);
        qs_mem_fail_after(0);
        qs_gguf_meta_free(m);
        qs_str_free(&h);
        assert_int_equal(qs_mem_in_use(), held);
        if (rc == QS_OK)
            break;
        assert_int_equal(rc, QS_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_others), cmocka_unit_test(test_known_size),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_set_and_remove), cmocka_unit_test(test_override),
        cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
