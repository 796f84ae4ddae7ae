/* test_gguf.c - reading GGUF headers: every value type, versions, look-ups, split models, findings. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/format/gguf.h"
#include "tests/format/tf.h"
#include "tests/model/make_model.h"

/* One entry of every value type, arrays of scalars, strings and arrays, and one tensor. */
static void everything(struct qs_str *s, uint32_t version)
{
    tf_head(s, version, 1, 18);
    tf_text(s, "t.u8"), tf_u32(s, 0), tf_u8(s, 200);
    tf_text(s, "t.i8"), tf_u32(s, 1), tf_u8(s, 0xFE);
    tf_text(s, "t.u16"), tf_u32(s, 2), tf_u16(s, 60000);
    tf_text(s, "t.i16"), tf_u32(s, 3), tf_u16(s, 0x8000);
    tf_text(s, "t.u32"), tf_u32(s, 4), tf_u32(s, 4000000000u);
    tf_text(s, "t.i32"), tf_u32(s, 5), tf_u32(s, 0xFFFFFFFFu);
    tf_text(s, "t.f32"), tf_u32(s, 6), tf_f32(s, 0.5f);
    tf_text(s, "t.true"), tf_u32(s, 7), tf_u8(s, 1);
    tf_text(s, "t.string"), tf_u32(s, 8), tf_bytes(s, "a\0b", 3);
    tf_text(s, "t.u64"), tf_u32(s, 10), tf_u64(s, UINT64_MAX);
    tf_text(s, "t.i64"), tf_u32(s, 11), tf_u64(s, (uint64_t)INT64_MIN);
    tf_text(s, "t.f64"), tf_u32(s, 12), tf_f64(s, -2.25);
    tf_text(s, "a.i16"), tf_u32(s, 9), tf_u32(s, 3), tf_u64(s, 2), tf_u16(s, 5), tf_u16(s, 0xFFFF);
    tf_text(s, "a.string"), tf_u32(s, 9), tf_u32(s, 8), tf_u64(s, 3), tf_text(s, "x"), tf_text(s, ""), tf_text(s, "yz");
    tf_text(s, "a.empty"), tf_u32(s, 9), tf_u32(s, 6), tf_u64(s, 0);
    tf_text(s, "a.nested"), tf_u32(s, 9), tf_u32(s, 9), tf_u64(s, 2);
    tf_u32(s, 0), tf_u64(s, 2), tf_u8(s, 1), tf_u8(s, 2);
    tf_u32(s, 8), tf_u64(s, 1), tf_text(s, "deep");
    tf_kv_u32(s, "general.alignment", 64);
    tf_kv_str(s, "last", "end");
    tf_tensor(s, "w", 2, (uint64_t[]){ 4, 2 }, 0, 0);
    tf_pad(s, 64, 32);
}

static double f64_of(const struct qs_gguf *g, const char *key)
{
    double v = -999;
    assert_true(qs_kv_f64(qs_gguf_kv(g, key), &v));
    return v;
}

static void check_scalars(const struct qs_gguf *g)
{
    assert_true(f64_of(g, "t.u8") == 200);
    assert_true(f64_of(g, "t.i8") == -2);
    assert_true(f64_of(g, "t.u16") == 60000);
    assert_true(f64_of(g, "t.i16") == -32768);
    assert_true(f64_of(g, "t.u32") == 4000000000.0);
    assert_true(f64_of(g, "t.i32") == -1);
    assert_true(f64_of(g, "t.f32") == 0.5);
    assert_true(f64_of(g, "t.true") == 1);
    assert_true(f64_of(g, "t.f64") == -2.25);
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(qs_kv_u64(qs_gguf_kv(g, "t.u64"), &u) && u == UINT64_MAX);
    assert_false(qs_kv_i64(qs_gguf_kv(g, "t.u64"), &i));
    assert_true(qs_kv_i64(qs_gguf_kv(g, "t.i64"), &i) && i == INT64_MIN);
    assert_false(qs_kv_u64(qs_gguf_kv(g, "t.i64"), &u));
    assert_false(qs_kv_u64(qs_gguf_kv(g, "t.f32"), &u));
    assert_false(qs_kv_u64(qs_gguf_kv(g, "a.i16"), &u));
    assert_false(qs_kv_u64(NULL, &u));
    assert_int_equal(qs_gguf_u64(g, "t.i32", 42), 42); /* negative: does not fit */
    assert_int_equal(qs_gguf_u64(g, "t.u16", 42), 60000);
    assert_int_equal(qs_gguf_u64(g, "nothing", 42), 42);
}

static void check_arrays(const struct qs_gguf *g)
{
    const char *s;
    size_t n;
    double d;
    assert_true(qs_kv_str(qs_gguf_kv(g, "t.string"), &s, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(s, "a\0b", 3);
    const struct qs_kv *a = qs_gguf_kv(g, "a.i16");
    assert_int_equal(a->count, 2);
    assert_int_equal(a->item, QS_GGUF_I16);
    assert_true(qs_kv_array_f64(a, 1, &d) && d == -1);
    assert_false(qs_kv_array_f64(a, 2, &d));
    a = qs_gguf_kv(g, "a.string");
    uint64_t cursor = 0;
    static const char *const want[] = {"x", "", "yz"};
    for (int i = 0; i < 3; i++) {
        assert_true(qs_kv_next_str(a, &cursor, &s, &n));
        assert_int_equal(n, strlen(want[i]));
        assert_memory_equal(s, want[i], n);
    }
    assert_false(qs_kv_next_str(a, &cursor, &s, &n));
    a = qs_gguf_kv(g, "a.nested");
    assert_int_equal(a->item, QS_GGUF_ARRAY);
    assert_int_equal(a->count, 2);
    assert_int_equal(qs_gguf_kv(g, "a.empty")->count, 0);
    assert_true(qs_kv_str(qs_gguf_kv(g, "last"), &s, &n) && n == 3);
}

static void test_every_type(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct qs_str s = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        struct qs_gguf *g;
        everything(&s, version);
        tf_save_corpus("gguf", version == 2 ? "every-type-v2" : "every-type-v3", &s);
        assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &e), QS_OK);
        qs_str_free(&s); /* values belong to the file object */
        assert_int_equal(g->version, version);
        assert_int_equal(g->alignment, 64);
        assert_int_equal(g->n_kv, 18);
        check_scalars(g);
        check_arrays(g);
        const struct qs_gguf_tensor *t = qs_gguf_tensor_by_name(g, "w");
        assert_non_null(t);
        assert_int_equal(t->size, 32);
        assert_int_equal(t->offset % 64, 0);
        assert_int_equal(t->ne[0], 4);
        assert_int_equal(t->ne[3], 1);
        assert_null(qs_gguf_tensor_by_name(g, "v"));
        qs_gguf_close(g);
    }
}

static void test_type_names(void **state)
{
    (void)state;
    assert_string_equal(qs_gguf_type_name(QS_GGUF_U8), "u8");
    assert_string_equal(qs_gguf_type_name(QS_GGUF_STRING), "string");
    assert_string_equal(qs_gguf_type_name(13), "?");
    assert_string_equal(qs_gguf_type_name(-1), "?");
    assert_int_equal(qs_gguf_type_size(QS_GGUF_F64), 8);
    assert_int_equal(qs_gguf_type_size(QS_GGUF_ARRAY), 0);
}

/* Thousands of names are found through the hash table, and only exact ones. */
static void test_many_names(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, N, N);
    char name[32];
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%u", i);
        tf_kv_u32(&s, name, i);
    }
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%u.w", i);
        tf_tensor(&s, name, 1, (uint64_t[]){ 8 }, 0, 32 * i);
    }
    tf_pad(&s, 32, 32 * N);
    assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &e), QS_OK);
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%u", i);
        assert_int_equal(qs_gguf_u64(g, name, N), i);
        snprintf(name, sizeof name, "blk.%u.w", i);
        assert_ptr_equal(qs_gguf_tensor_by_name(g, name), &g->tensor[i]);
    }
    assert_null(qs_gguf_kv(g, "key.5000"));
    assert_null(qs_gguf_kv(g, "key."));
    qs_gguf_close(g);
    qs_str_free(&s);
}

static void test_unknown_tensor_type(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 3, 0);
    tf_tensor(&s, "a", 1, (uint64_t[]){ 8 }, 0, 0);
    tf_tensor(&s, "odd", 2, (uint64_t[]){ 100, 3 }, 777, 32);
    tf_tensor(&s, "b", 1, (uint64_t[]){ 8 }, 0, 128);
    tf_pad(&s, 32, 160);
    tf_save_corpus("gguf", "unknown-type", &s);
    assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, &e), QS_OK);
    assert_int_equal(g->tensor[1].marks, QS_TENSOR_UNKNOWN_TYPE);
    assert_int_equal(g->tensor[1].size, 96); /* the room up to the next tensor */
    assert_int_equal(g->tensor[0].marks, 0);
    assert_int_equal(g->n_findings, 1);
    assert_non_null(strstr(g->finding[0].msg, "777"));
    qs_gguf_close(g);
    qs_str_free(&s);
}

static bool found(const struct qs_gguf *g, enum qs_finding_kind kind, const char *field, const char *text)
{
    for (size_t i = 0; i < g->n_findings; i++) {
        const struct qs_finding *f = &g->finding[i];
        if (f->kind == kind && strstr(f->field, field) && strstr(f->msg, text))
            return true;
    }
    return false;
}

static void test_lint(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("lint.gguf");
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 2, 2);
    tf_kv_u32(&s, "general.file_type", 15);
    tf_text(&s, "odd.bool"), tf_u32(&s, 7), tf_u8(&s, 3);
    tf_tensor(&s, "a", 1, (uint64_t[]){ 32 }, 8, 0);   /* Q8_0, 34 bytes */
    tf_tensor(&s, "b", 1, (uint64_t[]){ 32 }, 8, 128); /* a gap before it */
    tf_pad(&s, 32, 300);
    tf_save_corpus("gguf", "lint", &s);
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
    assert_true(found(g, QS_FINDING_WARNING, "odd.bool", "stored as 3"));
    assert_true(found(g, QS_FINDING_WARNING, "tensor b", "a gap of"));
    assert_true(found(g, QS_FINDING_NOTE, "file", "follow the last tensor"));
    assert_true(found(g, QS_FINDING_WARNING, "general.architecture", "missing"));
    assert_true(found(g, QS_FINDING_WARNING, "tokenizer.ggml.model", "no tokenizer"));
    assert_true(found(g, QS_FINDING_WARNING, "general.file_type",
                      "says Q4_K_M, but no tensor is of that type: most weights are Q8_0"));
    assert_true(found(g, QS_FINDING_WARNING, "general.quantization_version", "missing"));
    for (size_t i = 0; i < g->n_findings; i++)
        assert_int_not_equal(g->finding[i].kind, QS_FINDING_FATAL);
    qs_gguf_close(g);
    qs_str_free(&s);
}

/* Numbers that contradict the tensors, each other, or sense. */
static void test_lint_numbers(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    tf_head(&s, 3, 3, 10);
    tf_kv_str(&s, "general.architecture", "llama");
    tf_kv_u32(&s, "llama.block_count", 9);
    tf_text(&s, "llama.context_length"), tf_u32(&s, QS_GGUF_U64), tf_u64(&s, UINT64_MAX);
    tf_text(&s, "llama.vocab_size"), tf_u32(&s, QS_GGUF_F32), tf_f32(&s, 2.5f);
    tf_kv_u32(&s, "llama.embedding_length", 5);
    tf_kv_u32(&s, "llama.attention.head_count", 0);
    tf_text(&s, "llama.rope.freq_base"), tf_u32(&s, QS_GGUF_F32), tf_f32(&s, NAN);
    tf_kv_u32(&s, "tokenizer.ggml.bos_token_id", 2);
    tf_kv_u32(&s, "tokenizer.ggml.eos_token_id", 1);
    tf_text(&s, "tokenizer.ggml.tokens"), tf_u32(&s, QS_GGUF_ARRAY), tf_u32(&s, QS_GGUF_STRING), tf_u64(&s, 2);
    tf_text(&s, "a"), tf_text(&s, "b");
    tf_tensor(&s, "token_embd.weight", 2, (uint64_t[]){ 8, 2 }, 0, 0);
    tf_tensor(&s, "blk.0.attn_q.weight", 2, (uint64_t[]){ 8, 8 }, 0, 64);
    tf_tensor(&s, "blk.1.attn_q.weight", 2, (uint64_t[]){ 8, 8 }, 0, 320);
    tf_pad(&s, 32, 576);
    assert_int_equal(qs_gguf_check(qs_test_file("numbers.gguf", s.data, s.len), &g, &e), QS_OK);
    assert_true(found(g, QS_FINDING_WARNING, "llama.block_count", "says 9 layers, the tensors are of 2"));
    assert_true(found(g, QS_FINDING_WARNING, "llama.context_length", "cannot be"));
    assert_true(found(g, QS_FINDING_WARNING, "llama.vocab_size", "is not a count"));
    assert_true(found(g, QS_FINDING_WARNING, "llama.embedding_length", "says 5, rows of token_embd.weight have 8"));
    assert_true(found(g, QS_FINDING_WARNING, "llama.attention.head_count", "says 0"));
    assert_true(found(g, QS_FINDING_WARNING, "llama.rope.freq_base", "not a positive number"));
    assert_true(found(g, QS_FINDING_WARNING, "tokenizer.ggml.bos_token_id", "says 2, but there are 2 tokens"));
    assert_false(found(g, QS_FINDING_WARNING, "tokenizer.ggml.eos_token_id", ""));
    assert_true(found(g, QS_FINDING_WARNING, "tokenizer.ggml.model", "although there are tokens"));
    qs_gguf_close(g);
    qs_str_free(&s);
}

/* A well-made file has nothing to say about. */
static void test_lint_silent(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("good.gguf");
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    struct mm_spec spec = { .layers = 1, .embd = 64, .vocab = 32, .type = QS_Q8_0, .experts = 4 };
    assert_int_equal(mm_file(path, &spec, &e), QS_OK);
    assert_int_equal(qs_gguf_check(path, &g, &e), QS_OK);
    for (size_t i = 0; i < g->n_findings; i++)
        print_error("%s: %s\n", g->finding[i].field, g->finding[i].msg);
    assert_int_equal(g->n_findings, 0);
    qs_gguf_close(g);
}

/* ---- split models ---- */

static const struct mm_spec split_spec = { .layers = 2, .embd = 64, .vocab = 32, .parts = 3 };

static void test_split(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    assert_int_equal(mm_file(qs_test_tmp_path("sp"), &split_spec, &e), QS_OK);
    static const char *const names[] = {"sp-00001-of-00003.gguf", "sp-00002-of-00003.gguf", "sp-00003-of-00003.gguf"};
    for (int i = 0; i < 3; i++) { /* any part opens all of it */
        assert_int_equal(qs_gguf_open(qs_test_tmp_path(names[i]), &g, &e), QS_OK);
        assert_int_equal(g->n_parts, 3);
        assert_int_equal(g->n_tensors, 20);
        assert_int_equal(g->tensor[0].part, 0);
        assert_int_equal(g->tensor[19].part, 2);
        assert_non_null(qs_gguf_kv(g, "general.architecture"));
        assert_non_null(strstr(g->part[1].path, names[1]));
        const struct qs_gguf_tensor *t = qs_gguf_tensor_by_name(g, "output_norm.weight");
        assert_non_null(t);
        assert_true(t->offset + t->size <= g->part[2].file_size);
        qs_gguf_close(g);
    }
}

static void expect_refusal(const char *path, enum qs_code code, const char *text)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    assert_int_equal(qs_gguf_open(path, &g, &e), code);
    assert_null(g);
    if (!strstr(e.msg, text))
        fail_msg("\"%s\" does not contain \"%s\"", e.msg, text);
}

static void test_split_broken(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(mm_file(qs_test_tmp_path("br"), &split_spec, &e), QS_OK);
    const char *one = qs_test_tmp_path("br-00001-of-00003.gguf"), *two = qs_test_tmp_path("br-00002-of-00003.gguf");
    const char *three = qs_test_tmp_path("br-00003-of-00003.gguf"), *kept = qs_test_tmp_path("kept"), *plain = qs_test_tmp_path("renamed.gguf");
    assert_int_equal(rename(two, kept), 0);
    expect_refusal(one, QS_EFORMAT, "part 2 of 3 is missing: br-00002-of-00003.gguf");
    assert_int_equal(link(three, two), 0); /* the wrong part in its place */
    expect_refusal(one, QS_EFORMAT, "the file calls itself part 3 of 3, but stands as part 2 of 3");
    remove(two);
    assert_int_equal(rename(kept, two), 0);
    struct qs_gguf *g;
    assert_int_equal(qs_gguf_open(one, &g, &e), QS_OK);
    qs_gguf_close(g);
    assert_int_equal(rename(one, plain), 0);
    expect_refusal(plain, QS_EFORMAT, "its name does not end in -00001-of-00003.gguf");
    expect_refusal(three, QS_ENOTFOUND, "br-00001-of-00003.gguf");
}

/* check names every missing part and still shows what there is */
static void test_split_check(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    assert_int_equal(mm_file(qs_test_tmp_path("ck"), &split_spec, &e), QS_OK);
    remove(qs_test_tmp_path("ck-00002-of-00003.gguf"));
    remove(qs_test_tmp_path("ck-00003-of-00003.gguf"));
    assert_int_equal(qs_gguf_check(qs_test_tmp_path("ck-00001-of-00003.gguf"), &g, &e), QS_OK);
    assert_true(found(g, QS_FINDING_FATAL, "split", "part 2 of 3 is missing"));
    assert_true(found(g, QS_FINDING_FATAL, "split", "part 3 of 3 is missing"));
    assert_int_equal(g->n_tensors, 6);
    qs_gguf_close(g);
}

/* One part of two, without tensors, about a model of this name. */
static const char *part_of_two(const char *file, uint32_t no, const char *name, uint32_t tensors)
{
    struct qs_str s = QS_STR_INIT;
    tf_head(&s, 3, 0, 5);
    tf_kv_str(&s, "general.architecture", "llama");
    tf_kv_str(&s, "general.name", name);
    tf_kv_u32(&s, "split.no", no);
    tf_kv_u32(&s, "split.count", 2);
    tf_kv_u32(&s, "split.tensors.count", tensors);
    const char *path = qs_test_file(file, s.data, s.len);
    qs_str_free(&s);
    return path;
}

static void test_split_of_two_models(void **state)
{
    (void)state;
    struct qs_gguf *g;
    struct qs_err e = QS_ERR_INIT;
    const char *one = part_of_two("mix-00001-of-00002.gguf", 0, "a", 0);
    part_of_two("mix-00002-of-00002.gguf", 1, "a", 0);
    assert_int_equal(qs_gguf_open(one, &g, &e), QS_OK);
    qs_gguf_close(g);
    part_of_two("mix-00002-of-00002.gguf", 1, "b", 0);
    expect_refusal(one, QS_EFORMAT, "part 2 says \"b\", part 1 \"a\": they are parts of different models");
    part_of_two("mix-00002-of-00002.gguf", 1, "a", 7);
    expect_refusal(one, QS_EFORMAT, "part 2 says 7 tensors, part 1 0");
}

static void test_lone_part(void **state)
{
    (void)state;
    struct qs_gguf *g;
    struct qs_err e = QS_ERR_INIT;
    struct qs_str s = QS_STR_INIT;
    tf_head(&s, 3, 0, 2);
    tf_kv_str(&s, "general.architecture", "llama");
    tf_kv_u32(&s, "split.count", 0);
    assert_int_equal(qs_gguf_check(qs_test_file("lone.gguf", s.data, s.len), &g, &e), QS_OK);
    assert_true(found(g, QS_FINDING_WARNING, "metadata split.count", "read as a whole model"));
    qs_gguf_close(g);
    qs_str_free(&s);
}

/* ---- not files ---- */

static void test_not_files(void **state)
{
    (void)state;
    const char *empty = qs_test_tmp_path("empty.gguf"), *dir = qs_test_tmp_path("dir.gguf"), *fifo = qs_test_tmp_path("fifo.gguf");
    qs_test_write(empty, "", 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    expect_refusal(empty, QS_EFORMAT, "the file is empty");
    expect_refusal(dir, QS_EINVAL, "is a folder");
    expect_refusal(fifo, QS_EINVAL, "not a regular file");
    expect_refusal(qs_test_tmp_path("nowhere.gguf"), QS_ENOTFOUND, "nowhere.gguf");
    if (geteuid() != 0) { /* root reads everything */
        const char *locked = qs_test_tmp_path("locked.gguf");
        qs_test_write(locked, "GGUF", 4);
        assert_int_equal(chmod(locked, 0), 0);
        expect_refusal(locked, QS_EIO, "locked.gguf");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),    cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_many_names),    cmocka_unit_test(test_unknown_tensor_type),
        cmocka_unit_test(test_lint),          cmocka_unit_test(test_lint_silent),
        cmocka_unit_test(test_lint_numbers),
        cmocka_unit_test(test_split),         cmocka_unit_test(test_split_broken),
        cmocka_unit_test(test_split_check),   cmocka_unit_test(test_split_of_two_models),
        cmocka_unit_test(test_lone_part),     cmocka_unit_test(test_not_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
