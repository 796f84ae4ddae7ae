/* test_imatrix.c - importance matrices in both forms, real ones and hostile ones.
 *
 * data/demo-imatrix.{dat,gguf} were written by llama-imatrix of llama.cpp 0c1e57098 for the demo model:
 * 3 chunks of 512 tokens of the first 30,000 bytes of books-calibration.txt, once per --output-format.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/gguf_write.h"
#include "core/format/imatrix.h"
#include "tests/format/tf.h"

static struct qs_imatrix *open_data(const char *name)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m = NULL;
    const char *path = qs_test_src(name);
    if (qs_imatrix_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static void test_two_forms_agree(void **state)
{
    (void)state;
    struct qs_imatrix *a = open_data("tests/format/data/demo-imatrix.dat");
    struct qs_imatrix *b = open_data("tests/format/data/demo-imatrix.gguf");
    assert_int_equal(a->n_entries, 56); /* 7 matrices in 8 layers */
    assert_int_equal(b->n_entries, 56);
    assert_int_equal(a->chunks, 2); /* llama-imatrix counts 510 tokens a chunk and rounds down */
    assert_int_equal(b->chunks, 2);
    assert_string_equal(a->dataset, "calib.txt");
    assert_string_equal(b->dataset, "calib.txt");
    assert_false(qs_key_equal(a->key, b->key));
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct qs_imatrix_entry *x = &a->entry[i], *y = qs_imatrix_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->n, strstr(x->name, "ffn_down") ? 1024 : 256);
        assert_int_equal(y->n, x->n);
        assert_int_equal(x->experts, 1);
        assert_int_equal(y->experts, 1);
        assert_int_equal(y->unseen, 0);
        assert_true(y->count == 1530); /* tokens */
        assert_true(x->count == 3);    /* calls */
        for (size_t k = 0; k < x->n; k++)
            assert_true(fabs((double)x->value[k] - (double)y->value[k]) <= 4e-7 * (double)y->value[k]);
    }
    assert_null(qs_imatrix_find(a, "token_embd.weight"));
    assert_null(qs_imatrix_find(a, "zzz"));
    assert_null(qs_imatrix_find(a, ""));
    qs_imatrix_free(a);
    qs_imatrix_free(b);
}

static void entry(struct qs_str *s, const char *name, uint32_t calls, uint32_t n, float first)
{
    tf_u32(s, (uint32_t)strlen(name));
    qs_str_add(s, name);
    tf_u32(s, calls);
    tf_u32(s, n);
    for (uint32_t i = 0; i < n; i++)
        tf_f32(s, first + (float)i);
}

static void test_legacy_values(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m;
    tf_u32(&s, 2);
    entry(&s, "b", 4, 3, 8);
    entry(&s, "a", 0, 2, 5); /* no calls: taken as it is */
    tf_save_corpus("imatrix", "old", &s);
    assert_int_equal(qs_imatrix_open_mem(s.data, s.len, &m, &e), QS_OK); /* no trailer: an old file */
    assert_int_equal(m->chunks, 0);
    assert_string_equal(m->dataset, "");
    assert_true(qs_imatrix_find(m, "b")->value[0] == 2.0f && qs_imatrix_find(m, "b")->value[2] == 2.5f);
    assert_true(qs_imatrix_find(m, "a")->value[1] == 6.0f);
    assert_int_equal(qs_imatrix_find(m, "a")->unseen, 1);
    assert_int_equal(qs_imatrix_find(m, "b")->unseen, 0);
    assert_false(qs_imatrix_find(m, "a")->zero);
    qs_imatrix_free(m);
    qs_str_free(&s);
}

/* Zeros are noted, values that no encoder can work with are refused by name; the largest allowed one is taken. */
static void test_extreme_values(void **state)
{
    static const struct { float first; bool ok; } cases[] = {
        { 0, true }, { QS_IMATRIX_MAX, true }, { 1.01f * QS_IMATRIX_MAX, false }, { 3e38f, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_str s = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        struct qs_imatrix *m = NULL;
        tf_u32(&s, 1);
        entry(&s, "blk.0.a", 1, 1, cases[i].first);
        assert_int_equal(qs_imatrix_open_mem(s.data, s.len, &m, &e), cases[i].ok ? QS_OK : QS_EFORMAT);
        if (cases[i].ok)
            assert_int_equal(m->entry[0].zero, i == 0);
        else
            assert_non_null(strstr(e.msg, "entry blk.0.a: value 0 is "));
        qs_imatrix_free(m);
        qs_str_free(&s);
    }
}

/* ---- the GGUF form, built by hand: four experts of 8 columns ---- */

struct pair { const char *name; uint64_t cols, experts; const float *counts; };

static void build(struct qs_str *s, const char *type, const struct pair *p, size_t n, uint32_t ggml_type)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    struct qs_gguf_out o[8];
    char names[8][80];
    uint64_t size;
    assert_int_equal(qs_gguf_meta_str(m, "general.type", type, &e), QS_OK);
    assert_int_equal(qs_gguf_meta_u32(m, "imatrix.chunk_count", 7, &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        snprintf(names[2 * i], sizeof names[0], "%s.in_sum2", p[i].name);
        snprintf(names[2 * i + 1], sizeof names[0], "%s.counts", p[i].name);
        o[2 * i] = (struct qs_gguf_out){ .name = names[2 * i], .n_dims = 2, .ne = { p[i].cols, p[i].experts },
                                         .type = (int32_t)ggml_type, .size = 4 * p[i].cols * p[i].experts };
        o[2 * i + 1] = (struct qs_gguf_out){
            .name = names[2 * i + 1], .n_dims = 2, .ne = { 1, p[i].experts }, .type = 0, .size = 4 * p[i].experts
        };
    }
    assert_int_equal(qs_gguf_layout(m, o, 2 * n, 32, s, &size, &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        tf_pad(s, 32, 0);
        for (uint64_t k = 0; k < p[i].cols * p[i].experts; k++)
            tf_f32(s, (float)(k + 1));
        tf_pad(s, 32, 0);
        for (uint64_t k = 0; k < p[i].experts; k++)
            tf_f32(s, p[i].counts[k]);
    }
    tf_pad(s, 32, 0);
    qs_gguf_meta_free(m);
}

static void test_experts(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m;
    const struct pair p = { "blk.0.ffn_up_exps.weight", 8, 4, (const float[]){ 2, 0, 4, 1 } };
    build(&s, "imatrix", &p, 1, 0);
    tf_save_corpus("imatrix", "experts", &s);
    assert_int_equal(qs_imatrix_open_mem(s.data, s.len, &m, &e), QS_OK);
    const struct qs_imatrix_entry *x = qs_imatrix_find(m, p.name);
    assert_int_equal(x->experts, 4);
    assert_int_equal(x->n, 32);
    assert_int_equal(x->unseen, 1);
    assert_true(x->count == 0);
    assert_true(x->value[0] == 0.5f && x->value[7] == 4.0f);
    for (int i = 8; i < 16; i++)
        assert_true(x->value[i] == 1.0f); /* the expert without tokens */
    assert_true(x->value[16] == 17.0f / 4);
    assert_int_equal(m->chunks, 7);
    qs_imatrix_free(m);
    qs_str_free(&s);
}

static void refuse(const struct qs_str *s, const char *text)
{
    static unsigned number;
    char name[20];
    snprintf(name, sizeof name, "refused-%02u", number++);
    tf_save_corpus("imatrix", name, s);
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m = (void *)1;
    assert_int_equal(qs_imatrix_open_mem(s->data, s->len, &m, &e), QS_EFORMAT);
    assert_null(m);
    if (!strstr(e.msg, text))
        fail_msg("\"%s\" does not contain \"%s\"", e.msg, text);
}

static void test_hostile_gguf(void **state)
{
    (void)state;
    const struct pair good = { "w", 4, 1, (const float[]){ 3 } };
    const struct { const char *type; struct pair p; uint32_t ggml_type; const char *says; } bad[] = {
        {"model", good, 0, "general.type is not \"imatrix\""},
        {"imatrix", good, 26, "sums and counts must be F32"},
        {"imatrix", { "w", 4, 1, (const float[]){ -3 } }, 0, "count 0 is negative"},
        {"imatrix", { "w", 4, 1, (const float[]){ NAN } }, 0, "count 0 is negative or no number"},
        {"imatrix", { "w\x01", 4, 1, (const float[]){ 1 } }, 0, "control characters"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct qs_str s = QS_STR_INIT;
        build(&s, bad[i].type, &bad[i].p, 1, bad[i].ggml_type);
        refuse(&s, bad[i].says);
        qs_str_free(&s);
    }
    struct qs_str s = QS_STR_INIT; /* sums without counts */
    tf_head(&s, 3, 1, 1);
    tf_kv_str(&s, "general.type", "imatrix");
    tf_tensor(&s, "w.in_sum2", 1, (uint64_t[]){ 4 }, 0, 0);
    tf_pad(&s, 32, 32);
    refuse(&s, "has no counts beside it");
    qs_str_clear(&s); /* counts that do not divide the values */
    tf_head(&s, 3, 2, 1);
    tf_kv_str(&s, "general.type", "imatrix");
    tf_tensor(&s, "w.in_sum2", 1, (uint64_t[]){ 4 }, 0, 0);
    tf_tensor(&s, "w.counts", 1, (uint64_t[]){ 3 }, 0, 32);
    tf_pad(&s, 32, 64);
    refuse(&s, "4 values for 3 counts");
    qs_str_clear(&s);
    tf_head(&s, 3, 0, 1);
    tf_kv_str(&s, "general.type", "imatrix");
    refuse(&s, "has no entries");
    qs_str_free(&s);
}

static void test_hostile_legacy(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    refuse(&s, "entry count: needs 4 bytes");
    tf_u32(&s, 0);
    refuse(&s, "0 entries cannot be");
    qs_str_clear(&s);
    tf_u32(&s, 1u << 30), tf_pad(&s, 1, 100);
    refuse(&s, "1073741824 entries cannot be");
    qs_str_clear(&s);
    tf_u32(&s, 1), tf_u32(&s, 0x7FFFFFFF), tf_pad(&s, 1, 100);
    refuse(&s, "a name of 2147483647 bytes");
    qs_str_clear(&s);
    tf_u32(&s, 1), tf_u32(&s, 1), qs_str_add(&s, "w"), tf_u32(&s, 1), tf_u32(&s, 0x7FFFFFFF), tf_pad(&s, 1, 100);
    refuse(&s, "entry w: 2147483647 values");
    qs_str_clear(&s);
    tf_u32(&s, 1), tf_u32(&s, 1), qs_str_add(&s, "w"), tf_u32(&s, 1), tf_u32(&s, 0xFFFFFFFF), tf_pad(&s, 1, 100);
    refuse(&s, "entry w: 4294967295 values");
    qs_str_clear(&s);
    tf_u32(&s, 2), entry(&s, "w", 1, 2, 1), entry(&s, "w", 1, 2, 1);
    refuse(&s, "entry w stands twice");
    qs_str_clear(&s);
    tf_u32(&s, 1), entry(&s, "w", 1, 2, -1);
    refuse(&s, "value 0 is negative or no finite number");
    qs_str_clear(&s);
    tf_u32(&s, 1), entry(&s, "w", 1, 2, NAN);
    refuse(&s, "value 0 is negative or no finite number");
    qs_str_clear(&s);
    tf_u32(&s, 1), entry(&s, "w", 1, 2, INFINITY);
    refuse(&s, "entry w");
    qs_str_free(&s);
}

/* Any prefix of a real file is refused, or (cut between the entries and the trailer) is an old file. */
static void test_every_prefix(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    tf_u32(&s, 2), entry(&s, "blk.0.attn_q.weight", 1, 5, 1), entry(&s, "b", 1, 2, 1);
    size_t whole = s.len;
    tf_u32(&s, 3), tf_u32(&s, 4), qs_str_add(&s, "text");
    tf_save_corpus("imatrix", "dat", &s);
    for (int form = 0; form < 2; form++) {
        for (size_t n = 0; n < s.len; n++) {
            char *exact = qs_malloc(n);
            memcpy(exact, s.data, n);
            struct qs_err e = QS_ERR_INIT;
            struct qs_imatrix *m;
            int rc = qs_imatrix_open_mem(exact, n, &m, &e);
            if (form == 0 && n == whole)
                assert_int_equal(rc, QS_OK);
            else if (rc != QS_OK || form == 0)
                assert_int_equal(rc, QS_EFORMAT);
            qs_imatrix_free(m);
            qs_free(exact);
        }
        qs_str_clear(&s);
        build(&s, "imatrix", &(struct pair){ "w", 4, 1, (const float[]){ 3 } }, 1, 0);
    }
    qs_str_free(&s);
}

static void test_failing_memory(void **state)
{
    (void)state;
    const char *files[] = {"tests/format/data/demo-imatrix.dat", "tests/format/data/demo-imatrix.gguf"};
    for (int f = 0; f < 2; f++) {
        const char *path = qs_test_src(files[f]);
        struct qs_err e = QS_ERR_INIT;
        struct qs_imatrix *m;
        uint64_t held = qs_mem_in_use(), before = qs_mem_count();
        assert_int_equal(qs_imatrix_open(path, &m, &e), QS_OK);
        qs_imatrix_free(m);
        uint64_t n = qs_mem_count() - before;
        for (uint64_t i = 1; i <= n; i++) {
            qs_mem_fail_after(i);
            assert_int_equal(qs_imatrix_open(path, &m, &e), QS_ENOMEM);
            qs_mem_fail_after(0);
            assert_null(m);
            assert_int_equal(qs_mem_in_use(), held);
        }
    }
}

static void test_missing_file(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m;
    assert_int_equal(qs_imatrix_open(qs_test_tmp_path("none.dat"), &m, &e), QS_ENOTFOUND);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_forms_agree), cmocka_unit_test(test_legacy_values),
        cmocka_unit_test(test_extreme_values),
        cmocka_unit_test(test_experts),         cmocka_unit_test(test_hostile_gguf),
        cmocka_unit_test(test_hostile_legacy),  cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_failing_memory),  cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
