/* test_model.c - the table of tensors, hyper-parameters, names that are refused, keys, and the check of all data. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/model/scan.h"
#include "tests/format/tf.h"
#include "tests/model/make_model.h"

static struct qs_model *open_spec(const char *path, const struct mm_spec *s)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    if (mm_file(path, s, &e) != QS_OK || qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static void test_table(void **state)
{
    (void)state;
    struct mm_spec s = {
        .layers = 3, .embd = 64, .ff = 96, .vocab = 40, .experts = 4, .untied = true, .type = QS_Q8_0
    };
    struct qs_model *m = open_spec(qs_test_tmp_path("t.gguf"), &s);
    uint64_t bytes = 0, n = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        assert_ptr_equal(qs_model_find(m, t->name), t);
        assert_int_equal(qs_model_index(m, t), i);
        assert_int_equal(t->n, t->ne[0] * t->rows);
        assert_non_null(t->format);
        bytes += t->size;
        n += t->n;
    }
    assert_int_equal(m->bytes, bytes);
    assert_int_equal(m->n_weights, n);
    const struct qs_tensor *x = qs_model_find(m, "blk.2.ffn_down_exps.weight");
    assert_int_equal(x->role, QS_ROLE_FFN_DOWN_EXPS);
    assert_int_equal(x->layer, 2);
    assert_int_equal(x->ne[2], 4);
    assert_int_equal(x->rows, 64 * 4);
    assert_int_equal(qs_tensor_bytes_as(x, QS_Q8_0), x->size);
    assert_int_equal(qs_tensor_bytes_as(x, QS_F16), 2 * x->n);
    assert_int_equal(qs_tensor_bytes_as(x, QS_Q4_0), x->n / 32 * 18);
    assert_int_equal(qs_tensor_bytes_as(x, QS_Q4_K), 0); /* rows of 96 */
    assert_int_equal(qs_tensor_bytes_as(x, QS_TYPE_NONE), 0);
    assert_null(qs_model_find(m, "blk.3.attn_q.weight"));
    assert_int_equal(m->file_type, 7);
    qs_model_close(m);
}

static void test_hparams(void **state)
{
    (void)state;
    struct mm_spec s = { .arch = "qwen3moe",
                         .name = "two\nlines \x1b[31m",
                         .layers = 2,
                         .embd = 128,
                         .ff = 256,
                         .heads = 8,
                         .kv_heads = 2,
                         .head_dim = 32,
                         .vocab = 48,
                         .ctx = 4096,
                         .experts = 8,
                         .experts_used = 3 };
    struct qs_model *m = open_spec(qs_test_tmp_path("h.gguf"), &s);
    const struct qs_hparams *h = &m->hp;
    assert_string_equal(h->arch, "qwen3moe");
    assert_null(strchr(h->name, '\n'));
    assert_null(strchr(h->name, 0x1b));
    assert_int_equal(h->n_layer, 2);
    assert_int_equal(h->n_embd, 128);
    assert_int_equal(h->n_ff, 256);
    assert_int_equal(h->n_head, 8);
    assert_int_equal(h->n_head_kv, 2);
    assert_int_equal(h->head_dim_k, 32);
    assert_int_equal(h->head_dim_v, 32);
    assert_int_equal(h->n_ctx, 4096);
    assert_int_equal(h->n_vocab, 48);
    assert_int_equal(h->n_expert, 8);
    assert_int_equal(h->n_expert_used, 3);
    assert_int_equal(h->varied, 0);
    qs_model_close(m);
}

static void u32_array(struct qs_str *s, const char *key, const uint32_t *v, uint64_t n)
{
    tf_text(s, key), tf_u32(s, 9), tf_u32(s, 4), tf_u64(s, n);
    for (uint64_t i = 0; i < n; i++)
        tf_u32(s, v[i]);
}

/* Numbers layer by layer give their maximum; what is absent is derived or 0. */
static void test_hparams_by_layer(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("layers.gguf");
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    tf_head(&s, 3, 1, 6);
    tf_kv_str(&s, "general.architecture", "deci");
    tf_kv_u32(&s, "deci.block_count", 3);
    tf_kv_u32(&s, "deci.embedding_length", 64);
    u32_array(&s, "deci.feed_forward_length", (uint32_t[]){ 128, 512, 256 }, 3);
    u32_array(&s, "deci.attention.head_count", (uint32_t[]){ 4, 4, 4 }, 3);
    u32_array(&s, "deci.attention.head_count_kv", (uint32_t[]){ 0, 2, 1 }, 3);
    tf_tensor(&s, "token_embd.weight", 2, (uint64_t[]){ 64, 7 }, 0, 0);
    tf_pad(&s, 32, 64 * 7 * 4);
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_int_equal(m->hp.n_ff, 512);
    assert_int_equal(m->hp.n_head, 4);
    assert_int_equal(m->hp.n_head_kv, 2);
    assert_int_equal(m->hp.varied, QS_VARIED_FF | QS_VARIED_HEAD_KV);
    assert_int_equal(m->hp.head_dim_k, 16);
    assert_int_equal(m->hp.n_vocab, 7); /* rows of the embedding */
    assert_int_equal(m->hp.n_ctx, 0);
    assert_int_equal(m->file_type, -1);
    qs_model_close(m);
    qs_str_free(&s);
}

static void test_names_refused(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, 'n', 256);
    longest[256] = 0;
    const struct { const char *name, *says; } bad[] = {
        { "a\x1b[31m", "control characters" }, { "a\nb", "control characters" }, { "a\x7f", "control characters" },
        { "a\xc2\x9b", "control characters" }, { "caf\xe9", "not valid UTF-8" }, { "", "is empty" },
        { longest, "longer than 255" },
    };
    const char *path = qs_test_tmp_path("names.gguf");
    struct qs_model *m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct qs_str s = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        tf_head(&s, 3, 1, 0);
        tf_tensor(&s, bad[i].name, 1, (uint64_t[]){ 8 }, 0, 0);
        tf_pad(&s, 32, 32);
        qs_test_write(path, s.data, s.len);
        assert_int_equal(qs_model_open(path, &m, &e), QS_EFORMAT);
        assert_null(m);
        if (!strstr(e.msg, bad[i].says) || !strstr(e.msg, path) || !strstr(e.msg, "offset"))
            fail_msg("%s", e.msg);
        for (const char *c = e.msg; *c; c++)
            assert_true((unsigned char)*c >= 0x20);
        qs_str_free(&s);
    }
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    longest[255] = 0; /* 255 bytes, and letters of any script, are fine */
    tf_head(&s, 3, 2, 0);
    tf_tensor(&s, longest, 1, (uint64_t[]){ 8 }, 0, 0);
    tf_tensor(&s, "\xe5\xb1\x82.0", 1, (uint64_t[]){ 8 }, 0, 32);
    tf_pad(&s, 32, 64);
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    qs_model_close(m);
    qs_str_free(&s);
}

/* A part whose end is missing, one whose type is unknown: shown, never read. */
static void test_weights(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_weight *w;
    const char *path = qs_test_tmp_path("unknown.gguf");
    tf_head(&s, 3, 1, 0);
    tf_tensor(&s, "odd", 1, (uint64_t[]){ 8 }, 999, 0);
    tf_pad(&s, 32, 32);
    qs_test_write(path, s.data, s.len);
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_null(m->tensor[0].format);
    assert_int_equal(m->tensor[0].size, 32);
    assert_int_equal(qs_model_weight(m, &m->tensor[0], &w, &e), QS_EUNSUPPORTED);
    assert_null(w);
    qs_model_close(m);
    qs_str_free(&s);

    struct mm_spec spec = { .layers = 1, .embd = 64, .vocab = 32, .parts = 2, .type_set = true }; /* F32 */
    assert_int_equal(mm_file(qs_test_tmp_path("p"), &spec, &e), QS_OK);
    assert_int_equal(qs_model_open(qs_test_tmp_path("p-00001-of-00002.gguf"), &m, &e), QS_OK);
    for (size_t i = 0; i < m->n_tensors; i++) { /* both parts deliver the data that were written */
        const struct qs_tensor *t = &m->tensor[i];
        float want[128], have[128];
        assert_true(t->ne[0] <= 128);
        assert_int_equal(qs_model_weight(m, t, &w, &e), QS_OK);
        mm_random_row(&spec, t->name, t->rows - 1, t->ne[0], want);
        assert_int_equal(qs_weight_decode(w, t->rows - 1, 1, have, &e), QS_OK);
        assert_memory_equal(want, have, t->ne[0] * sizeof(float));
        qs_weight_unref(w);
    }
    qs_model_close(m);
}

/* A file that is replaced after opening is not read as if it were the same. */
static void test_replaced(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    const char *path = qs_test_tmp_path("r.gguf"), *other = qs_test_tmp_path("other.gguf");
    struct mm_spec a = { .layers = 1, .embd = 64, .vocab = 32 }, b = { .layers = 1, .embd = 64, .vocab = 64 };
    struct qs_model *m = open_spec(path, &a);
    assert_int_equal(mm_file(other, &b, &e), QS_OK);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(qs_model_weight(m, &m->tensor[0], &w, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "changed or replaced"));
    qs_model_close(m);
}

static struct qs_key key_of(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_key k, again;
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_int_equal(qs_model_key(m, &k, &e), QS_OK);
    assert_int_equal(qs_model_key(m, &again, &e), QS_OK);
    assert_true(qs_key_equal(k, again));
    qs_model_close(m);
    return k;
}

static void set_mtime(const char *path)
{
    struct timespec t[2] = { { 1000000, 5 }, { 1000000, 5 } };
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void poke(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(0x55, f), 0x55);
    assert_int_equal(fclose(f), 0);
}

/* The key follows content and time, not the name. */
static void test_key(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    const char *a = qs_test_tmp_path("k1.gguf"), *b = qs_test_tmp_path("k2.gguf");
    struct mm_spec s = { .layers = 1, .embd = 64, .vocab = 32 };
    assert_int_equal(mm_file(a, &s, &e), QS_OK);
    assert_int_equal(mm_file(b, &s, &e), QS_OK);
    set_mtime(a);
    set_mtime(b);
    struct qs_key k = key_of(a);
    assert_true(qs_key_equal(k, key_of(b)));
    struct qs_model *m;
    assert_int_equal(qs_model_open(b, &m, &e), QS_OK);
    long at = (long)m->tensor[2].offset;
    qs_model_close(m);
    poke(b, at);
    set_mtime(b);
    assert_false(qs_key_equal(k, key_of(b))); /* other data, same time */
    assert_int_equal(utimensat(AT_FDCWD, a, NULL, 0), 0);
    assert_false(qs_key_equal(k, key_of(a))); /* same data, other time */
}

static struct qs_key content_of(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_key k;
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_int_equal(qs_model_content_key(m, &k, &e), QS_OK);
    qs_model_close(m);
    return k;
}

/* Of what the model computes: not of name, place or time; of weights, first to last, and of metadata. */
static void test_content_key(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    const char *a = qs_test_tmp_path("c1.gguf"), *b = qs_test_tmp_path("c2.gguf");
    struct mm_spec s = { .layers = 1, .embd = 64, .vocab = 32 };
    struct qs_model *m;
    assert_int_equal(mm_file(a, &s, &e), QS_OK);
    assert_int_equal(mm_file(b, &s, &e), QS_OK);
    set_mtime(b);
    const struct qs_key k = content_of(a);
    assert_true(qs_key_equal(k, content_of(b)));
    assert_int_equal(qs_model_open(b, &m, &e), QS_OK);
    const long first = (long)m->tensor[2].offset, last = first + (long)m->tensor[2].size - 1;
    qs_model_close(m);
    poke(b, first);
    set_mtime(b);
    const struct qs_key other = content_of(b);
    assert_false(qs_key_equal(k, other));
    poke(b, last);
    assert_false(qs_key_equal(other, content_of(b)));
    s.vocab = 33;
    assert_int_equal(mm_file(b, &s, &e), QS_OK);
    assert_false(qs_key_equal(k, content_of(b)));
}

/* ---- all data ---- */

struct seen { unsigned n; char text[4][300]; uint64_t count[4]; };

static void see(void *ctx, const struct qs_tensor *t, const char *field, uint64_t count, const char *msg)
{
    struct seen *s = ctx;
    if (s->n < 4) {
        snprintf(s->text[s->n], sizeof s->text[0], "%s: %s: %s", t->name, field, msg);
        s->count[s->n] = count;
    }
    s->n++;
}

static void plant(void *ctx, const char *name, uint64_t row, uint64_t cols, float *x)
{
    const struct mm_spec *s = ctx;
    mm_random_row(s, name, row, cols, x);
    if (strcmp(name, "blk.0.attn_k.weight") == 0 && row == 7) {
        x[3] = NAN;
        x[5] = INFINITY;
    }
    if (strcmp(name, "output_norm.weight") == 0)
        x[0] = -INFINITY;
}

static void test_not_numbers(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    assert_int_equal(qs_pool_new(2, &pool, &e), QS_OK);
    struct mm_spec s = { .layers = 1, .embd = 64, .vocab = 32, .fill = MM_CUSTOM, .custom = plant };
    s.ctx_arg = &s;
    struct qs_model *m = open_spec(qs_test_tmp_path("nan.gguf"), &s);
    for (int k = 0; k < 2; k++) { /* with and without a pool */
        struct seen seen = { 0 };
        assert_int_equal(qs_model_check_data(m, k ? pool : NULL, NULL, see, &seen, &e), QS_OK);
        assert_int_equal(seen.n, 2);
        assert_string_equal(seen.text[0], "blk.0.attn_k.weight: weights: 2 of 2048 weights are NaN or infinite, "
                            "the first at row 7, column 3 (counted from 0)");
        assert_int_equal(seen.count[0], 2);
        assert_string_equal(seen.text[1], "output_norm.weight: weights: 1 of 64 weights is NaN or infinite, the "
                            "first at row 0, column 0 (counted from 0)");
    }
    qs_model_close(m);

    s = (struct mm_spec){ .layers = 1, .embd = 64, .vocab = 32, .type = QS_Q8_0 };
    const char *path = qs_test_tmp_path("scale.gguf");
    m = open_spec(path, &s);
    const struct qs_tensor *t = qs_model_find(m, "blk.0.ffn_up.weight");
    long at = (long)t->offset + 34;
    qs_model_close(m);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite("\x00\x7e", 1, 2, f), 2); /* a half that is NaN */
    assert_int_equal(fclose(f), 0);
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    struct seen seen = { 0 };
    assert_int_equal(qs_model_check_data(m, pool, NULL, see, &seen, &e), QS_OK);
    assert_int_equal(seen.n, 1);
    assert_non_null(strstr(seen.text[0], "blk.0.ffn_up.weight: scales: 1 of 256 blocks of Q8_0 has a scale that is NaN or "
                                         "infinite, the first at row 0, column 32 "));
    qs_model_close(m);
    qs_pool_free(pool);
}

/* Counts and places do not depend on the pool; the smallest place wins, though pieces come in any order. */
static void test_scan(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    struct qs_weight *w;
    struct qs_parts parts;
    struct qs_scan s;
    char buf[QS_SCAN_TEXT];
    const uint64_t ne[4] = { 1000, 400, 5, 1 }; /* 8 MB: several pieces, rows across their edges */
    const size_t bad[] = { 1234567, 777003, 1999999 };
    assert_int_equal(qs_pool_new(3, &pool, &e), QS_OK);
    assert_int_equal(qs_weight_heap(qs_format_by_id(QS_F32), ne, &w, &parts, &e), QS_OK);
    float *x = (float *)(void *)parts.p[0];
    for (int k = 0; k < 2; k++) {
        assert_int_equal(qs_scan_weight(w, k ? pool : NULL, NULL, 0, false, &s, &e), QS_OK);
        assert_int_equal(s.n, 0);
    }
    x[bad[0]] = NAN, x[bad[1]] = INFINITY, x[bad[2]] = NAN;
    x[900000] = -3e12f, x[5] = 2e10f;
    for (int k = 0; k < 2; k++) {
        struct qs_pool *p = k ? pool : NULL;
        assert_int_equal(qs_scan_weight(w, p, NULL, 0, false, &s, &e), QS_OK);
        assert_int_equal(s.n, 3);
        assert_int_equal(s.first, bad[1]);
        assert_int_equal(qs_scan_weight(w, p, NULL, 1e10, false, &s, &e), QS_OK);
        assert_int_equal(s.n, 5);
        assert_int_equal(s.first, 5);
        assert_true(s.largest == (double)3e12f);
        qs_scan_values(p, w->format, qs_weight_row(w, 900), 1000, 1e10, &s); /* row 900 alone */
        assert_true(s.n == 1 && s.first == 0);
    }
    const struct qs_tensor t = { .ne = { 1000, 400, 5, 1 }, .format = w->format, .n = 2000000, .rows = 2000 };
    s = (struct qs_scan){ .n = 3, .first = 777003 };
    assert_string_equal(qs_scan_text(&t, &s, buf, sizeof buf),
                        "3 of 2000000 weights are NaN or infinite, the first at expert 1, row 377, column 3 (counted from 0)");
    qs_weight_unref(w);
    qs_pool_free(pool);
}

/* Cut short between opening and reading: the process lives, the check fails with a sentence. */
static void test_cut_short(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path("cut.gguf");
    struct mm_spec s = { .layers = 2, .embd = 256, .vocab = 512 };
    struct qs_model *m = open_spec(path, &s);
    struct qs_weight *w;
    const struct qs_tensor *last = &m->tensor[m->n_tensors - 1];
    assert_int_equal(qs_model_weight(m, last, &w, &e), QS_OK); /* mapped at full size */
    assert_int_equal(qs_model_intact(m, &e), QS_OK);
    assert_int_equal(truncate(path, 65536), 0);
    struct seen seen = { 0 };
    assert_int_equal(qs_model_check_data(m, NULL, NULL, see, &seen, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "cut short"));
    assert_int_equal(qs_model_intact(m, &e), QS_EIO);
    assert_int_equal(qs_weight_intact(w, &e), QS_EIO);
    assert_int_equal(qs_weight_row(w, 0).p[0][0], 0); /* lost pages read as zeros */
    qs_weight_unref(w);
    qs_model_close(m);
}

static int cancelled(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct seen seen = { 0 };
    qs_job_cancel(job);
    return qs_model_check_data(ctx, NULL, job, see, &seen, e);
}

static void test_cancel(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct mm_spec s = { .layers = 1, .embd = 64, .vocab = 32 };
    struct qs_model *m = open_spec(qs_test_tmp_path("c.gguf"), &s);
    struct qs_job *job;
    assert_int_equal(qs_job_start("check", cancelled, m, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    qs_model_close(m);
}

static void test_failing_memory(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("m.gguf");
    struct qs_err e = QS_ERR_INIT;
    struct mm_spec s = { .layers = 1, .embd = 64, .vocab = 32 };
    assert_int_equal(mm_file(path, &s, &e), QS_OK);
    uint64_t held = qs_mem_in_use();
    for (uint64_t i = 1;; i++) {
        struct qs_model *m;
        struct qs_weight *w = NULL;
        struct qs_key k;
        qs_mem_fail_after(i);
        int rc = qs_model_open(path, &m, &e);
        if (rc == QS_OK)
            rc = qs_model_weight(m, &m->tensor[1], &w, &e);
        if (rc == QS_OK)
            rc = qs_model_key(m, &k, &e);
        qs_mem_fail_after(0);
        qs_weight_unref(w);
        qs_model_close(m);
        assert_int_equal(qs_mem_in_use(), held);
        if (rc == QS_OK)
            break;
        assert_int_equal(rc, QS_ENOMEM);
        assert_true(i < 1000);
    }
}

static void test_demo(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    const char *path = qs_test_src("demo/storyteller-9m-f16.gguf");
    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_int_equal(m->n_tensors, 74);
    assert_int_equal(m->n_weights, 8917248);
    assert_int_equal(m->hp.n_layer, 8);
    assert_int_equal(m->hp.n_head_kv, 2);
    assert_int_equal(m->hp.head_dim_k, 64);
    assert_int_equal(m->file_type, 1);
    struct seen seen = { 0 };
    assert_int_equal(qs_model_check_data(m, NULL, NULL, see, &seen, &e), QS_OK);
    assert_int_equal(seen.n, 0);
    qs_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_hparams),
        cmocka_unit_test(test_hparams_by_layer),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_names_refused),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_content_key),
        cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_failing_memory),
        cmocka_unit_test(test_demo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
