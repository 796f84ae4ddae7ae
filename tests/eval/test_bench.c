/* test_bench.c - the bench: what is counted for limits against numbers written out by hand, made-up models, a run on a
 * tiny one, saved runs. How fast anything was is not judged. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "core/eval/bench.h"
#include "core/report/report_bench.h"

static struct qs_pool *pool;

static struct qs_model *made(const char *preset, char path[512])
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    snprintf(path, 512, "%s/%s.gguf", qs_test_tmp(), preset);
    if (qs_bench_model_write(qs_bench_shape_find("llama-tiny"), preset, path, NULL, &e) || qs_model_open(path, &m, &e))
        fail_msg("%s: %s", preset, e.msg);
    return m;
}

static struct qs_engine *engine_of(const struct qs_model *m, enum qs_precision p)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_engine_args args = { .pool = pool, .precision = p, .prio = QS_PRIO_JOB };
    struct qs_engine *x;
    if (qs_engine_new(m, &args, &x, &e))
        fail_msg("%s", e.msg);
    return x;
}

/* llama-tiny: 2 layers, width 256, ff 768, 4 heads of 64 with 2 of keys, vocabulary 512. */
enum {
    LAYER_WEIGHTS = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 768, /* q, o; k, v; gate, up, down */
    HEAD_WEIGHTS = 256 * 512, NORMS = 5 * 256,
};

static void test_decode_bytes(void **state)
{
    (void)state;
    char path[512];
    struct qs_model *m = made("Q8_0", path);
    struct qs_engine *x = engine_of(m, QS_FAST);
    const struct qs_session_args f16 = QS_SESSION_ARGS_INIT;
    struct qs_session_args q8 = f16;
    struct qs_bench_work w = { { 0 } };
    q8.type_k = QS_Q8_0;
    /* 34 bytes for 32 weights; norms are float32; of the embeddings one row. */
    const double stored = (2.0 * LAYER_WEIGHTS + HEAD_WEIGHTS + 256) / 32 * 34 + NORMS * 4;
    assert_int_equal(qs_engine_bytes_per_token(x), (uint64_t)stored);
    /* Position 9: ten rows of 128 keys and 128 values in each layer. */
    qs_bench_work_decode(x, &f16, 9, &w);
    assert_true(w.need[QS_LIMIT_READ] == stored + 2 * 10 * (128 * 2 + 128 * 2));
    qs_bench_work_decode(x, &q8, 0, &w); /* is added */
    assert_true(w.need[QS_LIMIT_READ] == 2 * stored + 2 * 10 * 512 + 2 * (128 / 32 * 34 + 128 * 2));
    assert_true(w.need[QS_LIMIT_INT8] == 0 && w.need[QS_LIMIT_F32] == 0);
    qs_engine_free(x);
    qs_model_close(m);
}

static void test_prefill_operations(void **state)
{
    (void)state;
    char path[512];
    struct qs_model *m = made("Q8_0", path);
    struct qs_engine *x = engine_of(m, QS_FAST);
    struct qs_bench_work w = { { 0 } }, exact = { { 0 } }, bf16 = { { 0 } };
    qs_bench_work_prefill(x, 100, 1, QS_FAST, true, &w);
    assert_true(w.need[QS_LIMIT_INT8] == 2.0 * (2 * LAYER_WEIGHTS * 100.0 + HEAD_WEIGHTS));
    assert_true(w.need[QS_LIMIT_READ] == 0 && w.need[QS_LIMIT_BF16] == 0 && w.need[QS_LIMIT_F32] == 0);
    qs_bench_work_prefill(x, 100, 0, QS_EXACT, true, &exact);
    assert_true(exact.need[QS_LIMIT_F32] == 2.0 * 2 * LAYER_WEIGHTS * 100 && exact.need[QS_LIMIT_INT8] == 0);
    qs_engine_free(x);
    qs_model_close(m);
    m = made("BF16", path);
    x = engine_of(m, QS_FAST);
    qs_bench_work_prefill(x, 3, 2, QS_FAST, true, &bf16);
    qs_bench_work_prefill(x, 1, 0, QS_FAST, false, &bf16);
    assert_true(bf16.need[QS_LIMIT_BF16] == 2.0 * (2 * LAYER_WEIGHTS * 3 + HEAD_WEIGHTS * 2));
    assert_true(bf16.need[QS_LIMIT_F32] == 2.0 * 2 * LAYER_WEIGHTS);
    qs_engine_free(x);
    qs_model_close(m);
}

/* The types are the presets' own, the bits the same every time, the logits numbers. */
static void test_made_up_models(void **state)
{
    (void)state;
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = made("Q4_K_M", path), *again;
    float logits[512];
    struct qs_key one, two;
    assert_int_equal(qs_model_find(m, "output.weight")->type, QS_Q6_K);
    assert_int_equal(qs_model_find(m, "blk.0.attn_q.weight")->type, QS_Q4_K);
    assert_int_equal(qs_model_find(m, "blk.0.attn_norm.weight")->type, QS_F32);
    assert_int_equal(qs_model_content_key(m, &one, &e), QS_OK);
    struct qs_engine *x = engine_of(m, QS_FAST);
    struct qs_session_args sizes = QS_SESSION_ARGS_INIT;
    struct qs_session *s;
    sizes.n_ctx = 600;
    assert_int_equal(qs_session_new(x, &sizes, &s, &e), QS_OK);
    assert_int_equal(qs_session_fill(s, 590, &e), QS_OK);
    assert_int_equal(qs_session_length(s), 590);
    assert_int_equal(qs_session_fill(s, 11, &e), QS_ELIMIT);
    assert_int_equal(qs_session_feed(s, (const int32_t[]){ 1, 2, 3 }, 3, 2, logits, &e), QS_OK);
    for (size_t i = 0; i < 512; i++)
        assert_true(isfinite(logits[i]));
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
    again = made("Q4_K_M", path);
    assert_int_equal(qs_model_content_key(again, &two, &e), QS_OK);
    assert_true(qs_key_equal(one, two));
    qs_model_close(again);
    for (const char *const *p = (const char *const[]){ "IQ2_XS", "F16", "TQ2_0", "IQ1_M", "Q3_K_S", NULL }; *p; p++)
        qs_model_close(made(*p, path));
    assert_int_equal(qs_bench_model_write(qs_bench_shape_find("llama-tiny"), "Q9_K", path, NULL, &e), QS_EINVAL);
    assert_null(qs_bench_shape_find("llama"));
}

static struct qs_bench *run_tiny(unsigned parts)
{
    static const size_t prefill[] = { 16, 1 << 19 }, context[] = { 0, 64 };
    static const int type[] = { QS_Q8_0, QS_IQ2_XS };
    static const char *const preset[] = { "Q4_0" };
    const struct qs_session_args cache = QS_SESSION_ARGS_INIT;
    const struct qs_bench_args a = {
        .parts = parts, .shape = qs_bench_shape_find("llama-tiny"), .preset = preset, .n_presets = 1, .prefill = prefill,
        .n_prefill = 2, .context = context, .n_context = 2, .type = type, .n_types = 2, .cache = cache,
        .precision = QS_FAST, .seconds = 0.02, .memory = 64 << 20, .pool = pool,
    };
    struct qs_bench *b;
    struct qs_err e = QS_ERR_INIT;
    if (qs_bench_run(&a, NULL, &b, &e))
        fail_msg("%s", e.msg);
    return b;
}

static const struct qs_bench_number *number_of(const struct qs_bench *b, enum qs_bench_part p, const char *detail,
                                               uint64_t size)
{
    for (size_t i = 0; i < b->n_numbers; i++)
        if (b->number[i].part == p && b->number[i].size == size && strcmp(b->number[i].detail, detail) == 0)
            return &b->number[i];
    fail_msg("no number of %s, %s, %llu", qs_bench_part_name(p), detail, (unsigned long long)size);
    return NULL;
}

static void test_run(void **state)
{
    (void)state;
    struct qs_bench *b = run_tiny(1u << QS_BENCH_PREFILL | 1u << QS_BENCH_DECODE | 1u << QS_BENCH_ENCODE
                                  | 1u << QS_BENCH_STARTUP);
    const struct qs_bench_number *x = number_of(b, QS_BENCH_PREFILL, "", 16);
    assert_true(x->runs >= 1 && x->median > 0 && x->best >= x->median && x->limit > 0 && x->share > 0);
    assert_string_equal(x->limited_by, "int8");
    assert_string_equal(x->subject, "Q4_0");
    x = number_of(b, QS_BENCH_DECODE, "", 64);
    assert_string_equal(x->limited_by, "read");
    assert_true(x->limit < number_of(b, QS_BENCH_DECODE, "", 0)->limit * 100);
    assert_true(isnan(number_of(b, QS_BENCH_ENCODE, "importance", 0)->share));
    assert_string_equal(number_of(b, QS_BENCH_STARTUP, "all", 0)->unit, "s");
    /* Too long for the model: left out, and said. */
    bool said = false;
    for (size_t i = 0; i < b->n_notes; i++)
        said = said || strstr(b->note[i], "context of 4096");
    assert_true(said && !b->stopped);
    assert_int_equal(b->n_subjects, 1);
    assert_int_equal(b->subject[0].weights, 2 * LAYER_WEIGHTS + 2 * HEAD_WEIGHTS + NORMS);
    qs_bench_free(b);
}

/* A job that is cancelled leaves what was measured. */
static int cancelled(struct qs_job *job, void *ctx, struct qs_err *e)
{
    const struct qs_bench_args a = { .parts = 1u << QS_BENCH_LIMITS, .memory = 64 << 20, .pool = pool, .seconds = 0.02 };
    qs_job_cancel(job);
    return qs_bench_run(&a, job, ctx, e);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct qs_bench *b = NULL;
    struct qs_job *job;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("bench", cancelled, &b, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    assert_true(b && b->stopped && b->n_limits == 1 && b->limit[0].tries >= 1 && b->limit[0].best > 0);
    qs_bench_free(b);
}

static struct qs_bench *through_file(const struct qs_bench *b)
{
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    struct qs_str text = QS_STR_INIT;
    struct qs_report *r = qs_report_bench(b, true);
    struct qs_bench *back;
    assert_true(r && qs_report_json(r, &text));
    qs_report_free(r);
    snprintf(path, sizeof path, "%s/run.json", qs_test_tmp());
    qs_test_write(path, text.data, text.len);
    if (qs_bench_read(path, &back, &e))
        fail_msg("%s", e.msg);
    qs_str_free(&text);
    return back;
}

static void test_saved(void **state)
{
    (void)state;
    struct qs_bench *b = run_tiny(1u << QS_BENCH_DECODE);
    struct qs_bench *c = through_file(b);
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(c->n_numbers, b->n_numbers);
    assert_int_equal(c->n_limits, b->n_limits);
    assert_int_equal(c->n_subjects, 1);
    assert_int_equal(c->threads, b->threads);
    for (size_t i = 0; i < b->n_numbers; i++) {
        const struct qs_bench_number *x = &b->number[i], *y = qs_bench_same(c, x);
        assert_non_null(y);
        assert_true(y->median == x->median && y->share == x->share && y->limit == x->limit && y->runs == x->runs);
    }
    assert_int_equal(qs_bench_comparable(b, c, &e), QS_OK);
    c->subject[0].bytes++;
    assert_int_equal(qs_bench_comparable(b, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "the bytes of Q4_0"));
    snprintf(c->cache, sizeof c->cache, "Q8_0/Q8_0");
    assert_int_equal(qs_bench_comparable(b, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "F16/F16 and Q8_0/Q8_0"));
    c->threads++;
    assert_int_equal(qs_bench_comparable(b, c, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "threads"));
    c->number[0].size += 1;
    assert_null(qs_bench_same(c, &b->number[0]));
    qs_bench_free(b);
    qs_bench_free(c);
}

static void test_not_saved(void **state)
{
    (void)state;
    static const struct { const char *text; int code; const char *says; } bad[] = {
        { "{}", QS_EFORMAT, "no saved run of the bench" },
        { "{\"report\": \"bench\", \"bench\": {}, \"numbers\": [{\"part\": \"fly\"}]}", QS_EFORMAT, "\"fly\"" },
        { "{\"report\": \"bench\", \"bench\": {}, \"numbers\": [{\"part\": \"decode\", \"median\": -1}]}", QS_EFORMAT,
          "no value" },
        { "[", QS_EFORMAT, "" },
    };
    char path[512];
    struct qs_bench *b;
    snprintf(path, sizeof path, "%s/bad.json", qs_test_tmp());
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct qs_err e = QS_ERR_INIT;
        qs_test_write(path, bad[i].text, strlen(bad[i].text));
        assert_int_equal(qs_bench_read(path, &b, &e), bad[i].code);
        assert_null(b);
        assert_non_null(strstr(e.msg, bad[i].says));
    }
}

static int start(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    return qs_test_home() ? qs_pool_new(2, &pool, &e) : 1;
}

static int stop(void **state)
{
    (void)state;
    qs_pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_bytes),   cmocka_unit_test(test_prefill_operations),
        cmocka_unit_test(test_made_up_models), cmocka_unit_test(test_run),
        cmocka_unit_test(test_cancelled),      cmocka_unit_test(test_saved),
        cmocka_unit_test(test_not_saved),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
