/* test_gguf_hostile.c - headers that lie: each gives one message with the field and the offset, nothing crashes, and
 * nothing large is allocated for what the file only claims. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/gguf.h"
#include "tests/format/tf.h"

typedef void make_fn(struct qs_str *s);

static void one_tensor(struct qs_str *s, unsigned n_dims, const uint64_t *ne, uint32_t type, uint64_t offset,
                       size_t data)
{
    tf_head(s, 3, 1, 0);
    tf_tensor(s, "w", n_dims, ne, type, offset);
    tf_pad(s, 32, data);
}

static void two_tensors(struct qs_str *s, const char *a, const char *b, uint64_t off_b)
{
    tf_head(s, 3, 2, 0);
    tf_tensor(s, a, 1, (uint64_t[]){ 16 }, 0, 0);
    tf_tensor(s, b, 1, (uint64_t[]){ 16 }, 0, off_b);
    tf_pad(s, 32, 128);
}

static void m_magic(struct qs_str *s) { qs_str_addn(s, "GGUX\3\0\0\0", 8); }
static void m_zip(struct qs_str *s) { qs_str_addn(s, "PK\3\4....", 8); }
static void m_old(struct qs_str *s) { qs_str_addn(s, "tjgg\3\0\0\0", 8); }
static void m_lfs(struct qs_str *s) { qs_str_add(s, "version https://git-lfs.github.com/spec/v1\n"); }
static void m_v0(struct qs_str *s) { tf_head(s, 0, 0, 0); }
static void m_v1(struct qs_str *s) { tf_head(s, 1, 0, 0); }
static void m_v4(struct qs_str *s) { tf_head(s, 4, 0, 0); }
static void m_big_endian(struct qs_str *s) { tf_head(s, 0x03000000, 0, 0); }
static void m_n_kv(struct qs_str *s) { tf_head(s, 3, 0, (uint64_t)1 << 60); tf_pad(s, 1, 64); }
static void m_n_tensors(struct qs_str *s) { tf_head(s, 3, (uint64_t)1 << 60, 0); tf_pad(s, 1, 64); }
static void m_key_long(struct qs_str *s) { tf_head(s, 3, 0, 1); tf_u64(s, 70000); tf_pad(s, 1, 80000); }
static void m_key_huge(struct qs_str *s) { tf_head(s, 3, 0, 1); tf_u64(s, UINT64_MAX); tf_pad(s, 1, 64); }
static void m_key_empty(struct qs_str *s) { tf_head(s, 3, 0, 1); tf_u64(s, 0); tf_pad(s, 1, 64); }
static void m_value_type(struct qs_str *s) { tf_head(s, 3, 0, 1); tf_text(s, "k"); tf_u32(s, 13); tf_pad(s, 1, 64); }
static void m_string(struct qs_str *s)
{
    tf_head(s, 3, 0, 1);
    tf_text(s, "k");
    tf_u32(s, 8);
    tf_u64(s, 1000);
    tf_pad(s, 1, 64);
}

static void array(struct qs_str *s, uint32_t item, uint64_t count)
{
    tf_head(s, 3, 0, 1);
    tf_text(s, "k"), tf_u32(s, 9), tf_u32(s, item), tf_u64(s, count);
    tf_pad(s, 1, 256);
}

static void m_array_u64(struct qs_str *s) { array(s, 10, (uint64_t)1 << 61); } /* 2^64 bytes: the product wraps to 0 */
static void m_array_u8(struct qs_str *s) { array(s, 0, UINT64_MAX); }
static void m_array_str(struct qs_str *s) { array(s, 8, (uint64_t)1 << 61); }
static void m_array_array(struct qs_str *s) { array(s, 9, (uint64_t)1 << 61); }
static void m_array_type(struct qs_str *s) { array(s, 99, 1); }

static void m_deep(struct qs_str *s)
{
    tf_head(s, 3, 0, 1);
    tf_text(s, "k"), tf_u32(s, 9);
    for (int i = 0; i < 20000; i++)
        tf_u32(s, 9), tf_u64(s, 1);
}

static void m_twin_keys(struct qs_str *s) { tf_head(s, 3, 0, 2); tf_kv_u32(s, "k", 1); tf_kv_u32(s, "k", 2); }
static void alignment(struct qs_str *s, uint32_t v) { tf_head(s, 3, 0, 1); tf_kv_u32(s, "general.alignment", v); }
static void m_align_0(struct qs_str *s) { alignment(s, 0); }
static void m_align_3(struct qs_str *s) { alignment(s, 24); }
static void m_align_big(struct qs_str *s) { alignment(s, 1u << 31); }
static void m_align_str(struct qs_str *s) { tf_head(s, 3, 0, 1); tf_kv_str(s, "general.alignment", "32"); }
static void m_dims(struct qs_str *s) { one_tensor(s, 5, (uint64_t[]){ 1, 1, 1, 1, 1 }, 0, 0, 64); }
static void m_zero(struct qs_str *s) { one_tensor(s, 2, (uint64_t[]){ 16, 0 }, 0, 0, 64); }
static void m_product(struct qs_str *s)
{
    one_tensor(s, 2, (uint64_t[]){ (uint64_t)1 << 33, (uint64_t)1 << 33 }, 0, 0, 64);
}
static void m_negative(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ (uint64_t)1 << 63 }, 0, 0, 64); }
static void m_bytes(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ (uint64_t)1 << 62 }, 0, 0, 64); }
static void m_block(struct qs_str *s) { one_tensor(s, 2, (uint64_t[]){ 48, 4 }, 8, 0, 512); }
static void m_misaligned(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ 8 }, 0, 4, 64); }
static void m_beyond(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ 8 }, 0, 4096, 64); }
static void m_far(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ 8 }, 0, UINT64_MAX - 31, 64); }
static void m_half(struct qs_str *s) { one_tensor(s, 1, (uint64_t[]){ 64 }, 0, 0, 128); }
static void m_name_long(struct qs_str *s) { tf_head(s, 3, 1, 0); tf_u64(s, 70000); tf_pad(s, 1, 80000); }
static void m_overlap(struct qs_str *s) { two_tensors(s, "a", "b", 32); }
static void m_same_place(struct qs_str *s) { two_tensors(s, "a", "b", 0); }
static void m_twin_tensors(struct qs_str *s) { two_tensors(s, "a", "a", 64); }
static void m_ends_in_table(struct qs_str *s) { tf_head(s, 3, 1, 0); tf_text(s, "w"); tf_u32(s, 4); tf_u64(s, 1); }

static const struct { const char *name; make_fn *make; enum qs_code code; const char *says, *also; } cases[] = {
    { "magic", m_magic, QS_EFORMAT, "magic: not a GGUF file: it begins with 47 47 55 58", "(offset 0)" },
    { "zip", m_zip, QS_EFORMAT, "zip archive", "(offset 0)" },
    { "ggjt", m_old, QS_EFORMAT, "old GGML file (ggjt)", "(offset 0)" },
    { "lfs", m_lfs, QS_EFORMAT, "git lfs pull", "(offset 0)" },
    { "version 0", m_v0, QS_EUNSUPPORTED, "version: GGUF version 0 is not known", "(offset 4)" },
    { "version 1", m_v1, QS_EUNSUPPORTED, "version: GGUF version 1 is no longer read", "(offset 4)" },
    { "version 4", m_v4, QS_EUNSUPPORTED, "version: GGUF version 4 is not known", "(offset 4)" },
    { "big-endian", m_big_endian, QS_EUNSUPPORTED, "big-endian GGUF, version 3", "gguf_convert_endian" },
    { "n_kv", m_n_kv, QS_EFORMAT, "metadata count: 1152921504606846976 cannot be", "(offset 16)" },
    { "n_tensors", m_n_tensors, QS_EFORMAT, "tensor count: 1152921504606846976 cannot be", "(offset 8)" },
    { "long key", m_key_long, QS_EFORMAT, "metadata entry 0: key of 70000 bytes", "(offset 24)" },
    { "huge key", m_key_huge, QS_EFORMAT, "metadata entry 0: key of 18446744073709551615 bytes", "(offset 24)" },
    { "empty key", m_key_empty, QS_EFORMAT, "metadata entry 0: the key is empty", "(offset 24)" },
    { "value type", m_value_type, QS_EUNSUPPORTED, "metadata k: unknown value type 13", "(offset 33)" },
    { "string", m_string, QS_EFORMAT, "metadata k: string: needs 1000 bytes", "(offset 45)" },
    { "array of u64", m_array_u64, QS_EFORMAT, "metadata k: an array of 2305843009213693952 x u64 cannot be",
      "(offset 41)" },
    { "array of u8", m_array_u8, QS_EFORMAT, "metadata k: an array of 18446744073709551615 x u8 cannot be",
      "(offset 41)" },
    { "array of strings", m_array_str, QS_EFORMAT, "metadata k: an array of 2305843009213693952 x string",
      "(offset 41)" },
    { "array of arrays", m_array_array, QS_EFORMAT, "metadata k: an array of 2305843009213693952 x array",
      "(offset 41)" },
    { "array type", m_array_type, QS_EUNSUPPORTED, "metadata k: array of unknown value type 99", "(offset 37)" },
    { "depth", m_deep, QS_ELIMIT, "metadata k: arrays nested deeper than 8", "(offset" },
    { "twin keys", m_twin_keys, QS_EFORMAT, "metadata k: the same name stands twice", "(offset 41)" },
    { "alignment 0", m_align_0, QS_EFORMAT, "metadata general.alignment: 0 is not a power of two", "(offset 24)" },
    { "alignment odd", m_align_3, QS_EFORMAT, "metadata general.alignment: 24 is not a power of two", "(offset 24)" },
    { "alignment huge", m_align_big, QS_EFORMAT, "metadata general.alignment: 2147483648 is not", "(offset 24)" },
    { "alignment text", m_align_str, QS_EFORMAT, "metadata general.alignment: must be a u32, but is a string",
      "(offset 24)" },
    { "dimensions", m_dims, QS_EFORMAT, "tensor w: 5 dimensions: at most 4", "(offset 33)" },
    { "zero", m_zero, QS_EFORMAT, "tensor w: a dimension is 0", "(offset 33)" },
    { "product", m_product, QS_EFORMAT, "tensor w: the product of the dimensions overflows", "(offset 33)" },
    { "negative", m_negative, QS_EFORMAT, "tensor w: the product of the dimensions overflows", "(offset 33)" },
    { "bytes", m_bytes, QS_EFORMAT, "tensor w: the size in bytes overflows", "(offset 33)" },
    { "block", m_block, QS_EFORMAT, "tensor w: rows of 48 weights are no multiple of the block of Q8_0 (32)",
      "(offset 33)" },
    { "misaligned", m_misaligned, QS_EFORMAT, "tensor w: offset: 4 is not a multiple of the alignment (32)",
      "(offset 68)" },
    { "beyond", m_beyond, QS_EFORMAT, "tensor w: data: 1 of 1 tensors reaches beyond the end of the file",
      "(offset 4160)" },
    { "far", m_far, QS_EFORMAT, "tensor w: offset: 18446744073709551584 lies far outside", "w" },
    { "half", m_half, QS_EFORMAT, "it has 192 bytes and needs 320", "(offset 64)" },
    { "long name", m_name_long, QS_EFORMAT, "tensor entry 0: name of 70000 bytes", "(offset 24)" },
    { "overlap", m_overlap, QS_EFORMAT, "tensor b: offset: overlaps tensor a, which ends at 160", "(offset 128)" },
    { "same place", m_same_place, QS_EFORMAT, "tensor b: offset: overlaps tensor a", "(offset 96)" },
    { "twin tensors", m_twin_tensors, QS_EFORMAT, "tensor a: the same name stands twice", "(offset 160)" },
    { "table", m_ends_in_table, QS_EFORMAT, "tensor w: shape: needs 8 bytes, but the file ends at 45", "(offset 45)" },
};

static void test_cases(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("hostile.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_str s = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        struct qs_gguf *g = (void *)1;
        cases[i].make(&s);
        assert_false(s.failed);
        tf_save_corpus("gguf", cases[i].name, &s);
        uint64_t held = qs_mem_in_use();
        qs_test_write(path, s.data, s.len);
        int rc = qs_gguf_open(path, &g, &e);
        assert_null(g);
        if (rc != (int)cases[i].code || !strstr(e.msg, cases[i].says) || !strstr(e.msg, cases[i].also) ||
            !strstr(e.msg, path))
            fail_msg("%s: %s \"%s\"", cases[i].name, qs_code_name(e.code), e.msg);
        assert_int_equal(qs_mem_in_use(), held);
        assert_true(qs_mem_peak() < held + (8u << 20)); /* claims cost nothing */
        struct qs_err again = QS_ERR_INIT;
        assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &again), rc);
        assert_int_equal(qs_gguf_check(path, &g, &again), QS_OK); /* a check can be made of all of them */
        size_t fatal = 0;
        for (size_t k = 0; k < g->n_findings; k++)
            fatal += g->finding[k].kind == QS_FINDING_FATAL;
        assert_int_equal(fatal, 1);
        qs_gguf_close(g);
        qs_str_free(&s);
    }
}

/* Marks in the table tell which tensors are bad. */
static void test_marks(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("marks.gguf");
    const struct { make_fn *make; unsigned marks; } want[] = {
        {m_zero, QS_TENSOR_BAD_SHAPE}, {m_block, QS_TENSOR_BAD_SHAPE}, {m_misaligned, QS_TENSOR_BAD_RANGE},
        {m_beyond, QS_TENSOR_BAD_RANGE}, {m_far, QS_TENSOR_BAD_RANGE}, {m_overlap, QS_TENSOR_OVERLAP},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct qs_str s = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        struct qs_gguf *g;
        want[i].make(&s);
        qs_test_write(path, s.data, s.len);
        assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
        assert_int_equal(g->tensor[g->n_tensors - 1].marks, want[i].marks);
        qs_gguf_close(g);
        qs_str_free(&s);
    }
}

static void a_good_file(struct qs_str *s)
{
    tf_head(s, 3, 2, 4);
    tf_kv_str(s, "general.architecture", "llama");
    tf_kv_u32(s, "llama.block_count", 1);
    tf_text(s, "a"), tf_u32(s, 9), tf_u32(s, 8), tf_u64(s, 2), tf_text(s, "x"), tf_text(s, "yy");
    tf_text(s, "n"), tf_u32(s, 9), tf_u32(s, 9), tf_u64(s, 1), tf_u32(s, 1), tf_u64(s, 3), tf_u8(s, 1), tf_u8(s, 2),
        tf_u8(s, 3);
    tf_tensor(s, "token_embd.weight", 2, (uint64_t[]){ 32, 2 }, 8, 0);
    tf_tensor(s, "output_norm.weight", 1, (uint64_t[]){ 8 }, 0, 96);
    tf_pad(s, 32, 128);
}

static void test_every_prefix(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    a_good_file(&s);
    tf_save_corpus("gguf", "good", &s);
    assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &e), QS_OK);
    qs_gguf_close(g);
    const char *path = qs_test_tmp_path("cut.gguf");
    for (size_t n = 0; n < s.len; n++) {
        char *exact = qs_malloc(n); /* of exactly that size: reading past the end is seen by the sanitizer */
        memcpy(exact, s.data, n);
        memset(&e, 0, sizeof e);
        int rc = qs_gguf_open_mem(exact, n, &g, &e);
        assert_int_equal(rc, QS_EFORMAT);
        assert_null(g);
        assert_true(strstr(e.msg, "(offset ") != NULL);
        if (n % 16 == 0) {
            qs_test_write(path, exact, n);
            struct qs_err f = QS_ERR_INIT;
            assert_int_equal(qs_gguf_open(path, &g, &f), QS_EFORMAT);
            assert_non_null(strstr(f.msg, path));
            assert_int_equal(qs_gguf_check(path, &g, &f), QS_OK);
            assert_true(g->n_findings > 0);
            qs_gguf_close(g);
        }
        qs_free(exact);
    }
    qs_str_free(&s);
}

/* Keys that are no text are kept as bytes and remarked on; tensors of such names are refused: one finding each, with the
 * place of the name, harmless when shown. */
static void test_strange_names(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 2, 1);
    tf_kv_u32(&s, "bad\xff\x1b[2Jkey", 1);
    tf_tensor(&s, "esc\x1b[31m", 1, (uint64_t[]){ 8 }, 0, 0);
    tf_tensor(&s, "caf\xe9", 1, (uint64_t[]){ 8 }, 0, 32);
    tf_pad(&s, 32, 64);
    tf_save_corpus("gguf", "strange-names", &s);
    assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "the name contains control characters (offset "));
    const char *path = qs_test_tmp_path("names.gguf");
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
    assert_int_equal(g->n_findings, 3);
    assert_string_equal(g->tensor[0].name, "esc\x1b[31m");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(g->finding[i].kind, i ? QS_FINDING_FATAL : QS_FINDING_WARNING);
        if (i)
            assert_memory_equal(s.data + g->finding[i].offset, g->tensor[i - 1].name, g->tensor[i - 1].name_len);
        for (const char *c = g->finding[i].field; *c; c++)
            assert_true((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7F);
    }
    qs_gguf_close(g);
    qs_str_free(&s);
}

/* However much is wrong, the list of findings stays bounded. */
static void test_many_findings(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("many.gguf");
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 5000, 0);
    for (unsigned i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        tf_tensor(&s, name, 1, (uint64_t[]){ 0 }, 0, 0);
    }
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
    assert_int_equal(g->n_findings, 1000);
    qs_gguf_close(g);
    qs_str_free(&s);
}

/* What is there of a tensor that was cut off is not "bytes that nothing uses"; a header that ends early says so. */
static void test_cut_tail(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("tail.gguf");
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 2, 0);
    tf_tensor(&s, "a", 1, (uint64_t[]){ 64 }, 0, 0);
    tf_tensor(&s, "b", 1, (uint64_t[]){ 64 }, 0, 256);
    tf_pad(&s, 32, 512 + 64);
    const size_t whole = s.len - 64;
    for (int cut = 0; cut < 2; cut++) { /* 64 bytes too many, 100 too few */
        qs_test_write(path, s.data, cut ? whole - 100 : s.len);
        assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
        unsigned follow = 0, beyond = 0;
        for (size_t i = 0; i < g->n_findings; i++) {
            follow += strstr(g->finding[i].msg, "follow the last tensor") != NULL;
            beyond += strstr(g->finding[i].msg, "1 of 2 tensors reaches beyond the end") != NULL;
        }
        assert_int_equal(follow, !cut);
        assert_int_equal(beyond, cut);
        qs_gguf_close(g);
    }
    static const size_t lengths[] = { 3, 17, 30, 60 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(&e, 0, sizeof e);
        assert_int_equal(qs_gguf_open_mem(s.data, lengths[i], &g, &e), QS_EFORMAT);
        assert_non_null(strstr(e.msg, "cut short"));
        assert_null(strstr(e.msg, "magic: magic"));
    }
    qs_str_free(&s);
}

static void test_failing_memory(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("memory.gguf");
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    a_good_file(&s);
    qs_test_write(path, s.data, s.len);
    uint64_t before = qs_mem_count();
    assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
    qs_gguf_close(g);
    uint64_t n = qs_mem_count() - before, held = qs_mem_in_use();
    assert_true(n > 5);
    for (uint64_t i = 1; i <= n; i++) {
        qs_mem_fail_after(i);
        int rc = i % 2 ? qs_gguf_check(path, &g, &e) : qs_gguf_open(path, &g, &e);
        qs_mem_fail_after(0);
        if (rc == QS_OK)
            qs_gguf_close(g); /* only text for a finding could not be made */
        else
            assert_int_equal(rc, QS_ENOMEM);
        assert_int_equal(qs_mem_in_use(), held);
    }
    qs_str_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_marks),
        cmocka_unit_test(test_every_prefix),  cmocka_unit_test(test_strange_names), cmocka_unit_test(test_cut_tail),
        cmocka_unit_test(test_many_findings), cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
