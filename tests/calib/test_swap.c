/* test_swap.c - the measured KL divergence of one changed tensor against two whole models side by side
 * (core/eval/lockstep); memory, resuming, cancelling, and what is put back. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/swap.h"
#include "core/eval/lockstep.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "core/quant/preset.h"
#include "tests/model/tiny.h"

static struct qs_pool *pool;

struct bench {
    struct qs_model *m;
    struct qs_engine *x;
    struct qs_inputs *in;
    struct qs_statistics *s;
    struct qs_corpus text;
};

/* Random rows at each input; importance is their mean square. */
static void fill_statistics(struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    uint32_t state = 1;
    assert_int_equal(qs_statistics_new(b->in, &b->s, &e), QS_OK);
    for (size_t i = 0; i < b->s->n_inputs; i++) {
        struct qs_input_stats *p = &b->s->input[i];
        p->n_rows = 16;
        for (size_t r = 0; r < p->n_rows; r++)
            for (size_t c = 0; c < p->cols; c++) {
                state = state * 1664525u + 1013904223u;
                const float v = ((float)(state >> 8) / (1 << 24) - 0.5f) * (1 + (float)(c % 13));
                p->row[r * p->cols + c] = v;
                for (size_t x = 0; x < p->experts; x++)
                    p->sum2[x * p->cols + c] += (double)v * (double)v;
            }
        for (size_t r = 0; r < p->n_rows && p->experts > 1; r++)
            p->row_expert[r] = (uint32_t)(r % p->experts);
        for (size_t x = 0; x < p->experts; x++)
            p->count[x] = p->n_rows;
    }
    if (qs_statistics_seal(b->s, b->in, b->m, &e))
        fail_msg("%s", e.msg);
}

static struct bench *setup(const char *path, size_t n_ctx, size_t windows)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = calloc(1, sizeof *b);
    const struct qs_engine_args args = {
        .pool = pool, .precision = QS_EXACT, .prio = QS_PRIO_JOB, .batch = n_ctx > 24 ? 0 : n_ctx
    };
    if (qs_model_open(path, &b->m, &e) || qs_engine_new(b->m, &args, &b->x, &e) || qs_inputs_new(b->x, &b->in, &e))
        fail_msg("%s", e.msg);
    fill_statistics(b);
    b->text = (struct qs_corpus){ .n_ctx = n_ctx, .n_fit = windows, .token = calloc(n_ctx * windows, sizeof(int32_t)) };
    uint32_t state = 7;
    for (size_t i = 0; i < n_ctx * windows; i++) {
        state = state * 1664525u + 1013904223u;
        b->text.token[i] = (int32_t)((state >> 8) % qs_engine_config(b->x)->n_vocab);
    }
    return b;
}

static void teardown(struct bench *b)
{
    free(b->text.token);
    qs_statistics_free(b->s);
    qs_inputs_free(b->in);
    qs_engine_free(b->x);
    qs_model_close(b->m);
    free(b);
}

static struct qs_swap_args args_of(struct bench *b)
{
    return (struct qs_swap_args){ .engine = b->x, .inputs = b->in, .corpus = &b->text, .statistics = b->s,
                                  .type = QS_TYPE_NONE, .pool = pool, .prio = QS_PRIO_JOB };
}

static void run(const struct qs_swap_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_swap_run(a, NULL, &e))
        fail_msg("%s", e.msg);
}

/* ---- the oracle ---------------------------------------------------------------------------------------------- */

struct truth { double kld, se, weights, output; };

/* On all rows of the sample and all rows of a weight this small. */
static double output_error(const struct bench *b, size_t tensor, const struct qs_weight *from, const struct qs_weight *made)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_input *in = qs_inputs_of(b->in, tensor);
    const size_t n = (size_t)(from->rows * from->ne[0]);
    double error = NAN;
    if (!in || n > 1 << 20) /* of larger ones a part of the rows is taken */
        return NAN;
    float *w = malloc(2 * n * sizeof *w);
    assert_int_equal(qs_weight_decode(from, 0, from->rows, w, &e), QS_OK);
    assert_int_equal(qs_weight_decode(made, 0, from->rows, w + n, &e), QS_OK);
    assert_int_equal(qs_output_error(qs_statistics_of(b->s, in->layer, in->point), w, w + n, (size_t)from->rows, &error, &e), QS_OK);
    free(w);
    return error;
}

static struct truth lockstep(const struct bench *b, size_t tensor, int type)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_engine *other;
    struct qs_encoder *enc;
    struct qs_weight *w;
    struct qs_parts parts;
    struct qs_error_sums sums;
    const struct qs_imatrix_entry *importance;
    struct qs_lockstep *l;
    double n[QS_KLD_NUMBERS];
    const struct qs_engine_args args = { .precision = QS_EXACT, .prio = QS_PRIO_JOB };
    const struct qs_weight *from = qs_engine_weight(b->x, tensor);
    assert_int_equal(qs_engine_new(b->m, &args, &other, &e), QS_OK);
    assert_int_equal(qs_encoder_new(pool, from->ne[0], &enc, &e), QS_OK);
    assert_int_equal(qs_weight_heap(qs_format_by_id(type), from->ne, &w, &parts, &e), QS_OK);
    assert_int_equal(qs_importance_for(b->s->imatrix, &b->m->tensor[tensor], &importance, &e), QS_OK);
    assert_int_equal(
        qs_encode_rows(enc, QS_PRIO_JOB, from, 0, from->rows, type, importance, parts.p[0], &sums, NULL, &e), QS_OK);
    assert_int_equal(qs_engine_set(other, tensor, w, &e), QS_OK);
    const struct qs_lockstep_args la = { .model = other, .base = b->x, .token = b->text.token, .prio = QS_PRIO_JOB,
                                         .n_tokens = b->text.n_ctx * b->text.n_fit, .n_ctx = b->text.n_ctx, .bos = -1,
                                         .cache = QS_SESSION_ARGS_INIT };
    assert_int_equal(qs_lockstep_run(&la, NULL, &l, &e), QS_OK);
    qs_kld_numbers(&l->kld, n);
    struct truth t = { n[QS_KLD_MEAN], n[QS_KLD_MEAN_SE], importance ? sqrt(sums.werr2 / sums.wref2) : qs_error_rms(&sums), NAN };
    t.output = output_error(b, tensor, from, w);
    qs_lockstep_free(l);
    qs_weight_unref(w);
    qs_encoder_free(enc);
    qs_engine_free(other);
    return t;
}

static void check_cell(struct bench *b, size_t i, int type)
{
    const char *name = b->m->tensor[i].name;
    const struct qs_swap_cell *c = qs_statistics_swap(b->s, name);
    const struct truth t = lockstep(b, i, type);
    if (!c)
        fail_msg("%s: no swap", name);
    assert_int_equal(c->type, type);
    assert_int_equal(c->windows, b->text.n_fit);
    if (!(fabs(c->kld - t.kld) <= 1e-9) || !(fabs(c->kld_se - t.se) <= 1e-9) || !(t.kld > 0))
        fail_msg("%s: %.12g +- %.12g, two models side by side give %.12g +- %.12g", name, c->kld, c->kld_se, t.kld,
                 t.se);
    assert_true(c->error > 0 && c->error < 1);
    if (!qs_inputs_of(b->in, i)) /* rows are looked up: the weights' own error */
        assert_true(fabs(c->error / t.weights - 1) < 1e-9);
    else if (fabs(c->error / t.output - 1) > 1e-6)
        fail_msg("%s: an output error of %.9g, not %.9g", name, c->error, t.output);
}

static void all_of(const char *name, uint64_t memory, size_t windows)
{
    struct bench *b = setup(tiny_path(name, ""), 24, windows);
    struct qs_swap_args a = args_of(b);
    size_t n = 0;
    a.memory = memory;
    const uint64_t generation_before = qs_engine_generation(b->x);
    run(&a);
    assert_true(qs_engine_generation(b->x) > generation_before);
    for (size_t i = 0; i < b->m->n_tensors; i++) {
        const struct qs_tensor *t = &b->m->tensor[i];
        if (!qs_preset_settable(b->m, t) || !qs_engine_weight(b->x, i))
            continue;
        check_cell(b, i, t->ne[0] % 256 ? QS_Q4_0 : QS_Q3_K);
        n++;
    }
    assert_int_equal(n, b->s->n_swaps);
    teardown(b);
}

static void test_oracle(void **state)
{
    (void)state;
    all_of("llama", 0, 5);
    all_of("llama-untied", 0, 3);
    all_of("gemma2", 0, 3);
    all_of("qwen2moe", 0, 3);
    all_of("gpt-oss", 0, 3);
}

/* Little memory: fewer blocks are kept, windows go in groups, logits are made again. The numbers stay. */
static void test_little_memory(void **state)
{
    (void)state;
    all_of("llama", 1, 5);
    all_of("llama-untied", 1, 3);
    all_of("llama", 60000, 5);
}

static void test_demo(void **state)
{
    struct bench *b = setup(qs_test_data("models/storyteller-9m-f16.gguf"), 64, 4);
    struct qs_swap_args a = args_of(b);
    const char *const names[] = { "blk.0.attn_v.weight", "blk.5.ffn_down.weight", "token_embd.weight" };
    size_t list[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        list[i] = qs_model_index(b->m, qs_model_find(b->m, names[i]));
    a.tensor = list;
    a.n_tensors = 3;
    run(&a);
    assert_int_equal(b->s->n_swaps, 3);
    for (int i = 0; i < 3; i++)
        check_cell(b, list[i], QS_Q3_K);
    a.type = QS_Q2_K;
    a.n_tensors = 1;
    run(&a);
    check_cell(b, list[0], QS_Q2_K);
    teardown(b);
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

/* The error goes by the statistics' table where it has it, else by the sample of rows. */
static void test_error(void **state)
{
    struct bench *b = setup(tiny_path("llama", ""), 24, 2);
    struct qs_err e = QS_ERR_INIT;
    struct qs_swap_args a = args_of(b);
    const size_t i = qs_model_index(b->m, qs_model_find(b->m, "blk.1.attn_q.weight"));
    const int type = b->m->tensor[i].ne[0] % 256 ? QS_Q4_0 : QS_Q3_K;
    const struct qs_error_cell cell = {
        (char *)(uintptr_t)b->m->tensor[i].name, type, QS_CALIB_IMATRIX, 0.125, NAN, 0
    };
    (void)state;
    a.tensor = &i;
    a.n_tensors = 1;
    run(&a);
    const double sampled = qs_statistics_swap(b->s, cell.tensor)->error, weights = lockstep(b, i, type).weights;
    assert_true(sampled > weights / 2 && sampled < weights * 2 && fabs(sampled / weights - 1) > 1e-6);
    qs_free(b->s->swap[0].tensor); /* forgotten, to be measured again */
    b->s->n_swaps = 0;
    assert_int_equal(qs_statistics_put_error(b->s, &cell, &e), QS_OK);
    run(&a);
    assert_true(fabs(qs_statistics_swap(b->s, cell.tensor)->error - 0.125) < 1e-12);
    teardown(b);
}

static void test_resume(void **state)
{
    struct bench *b = setup(tiny_path("llama", ""), 24, 3);
    struct qs_swap_args a = args_of(b);
    uint64_t all, left;
    (void)state;
    assert_true(qs_swap_need(&a, &all) > 0);
    const size_t list[] = { qs_model_index(b->m, qs_model_find(b->m, "blk.0.ffn_up.weight")) };
    a.tensor = list;
    a.n_tensors = 1;
    run(&a);
    const double kld = b->s->swap[0].kld;
    a.tensor = NULL;
    (void)qs_swap_need(&a, &left);
    assert_int_equal(all - left, 3 * 24 * (qs_engine_config(b->x)->n_layer + 1));
    b->s->swap[0].kld = 77; /* not measured again */
    run(&a);
    (void)qs_swap_need(&a, &left);
    assert_int_equal(left, 0);
    assert_true(qs_statistics_swap(b->s, "blk.0.ffn_up.weight")->kld > 76);
    a.n_windows = 2; /* others */
    run(&a);
    const struct qs_swap_cell *c = qs_statistics_swap(b->s, "blk.0.ffn_up.weight");
    assert_true(c->kld < 1 && c->windows == 2 && kld < 1);
    teardown(b);
}

static struct qs_job *running;
static int as_job(struct qs_job *job, void *ctx, struct qs_err *e)
{
    return qs_swap_run(ctx, job, e);
}

/* Steps add up; a job that was cancelled leaves whole numbers and the original's weights. */
static void test_job(void **state)
{
    struct bench *b = setup(tiny_path("qwen3", ""), 24, 3), *c = setup(tiny_path("qwen3", ""), 24, 3);
    struct qs_swap_args a = args_of(b), d = args_of(c);
    struct qs_err e = QS_ERR_INIT;
    struct qs_job_status st;
    uint64_t tokens;
    (void)state;
    (void)qs_swap_need(&a, &tokens);
    assert_int_equal(qs_job_start("swap", as_job, &a, -1, &running, &e), QS_OK);
    assert_int_equal(qs_job_wait(running, &e), QS_OK);
    qs_job_status(running, &st);
    assert_true(st.done == st.total && st.total == tokens);
    qs_job_free(running);
    const struct qs_weight *before = qs_engine_weight(c->x, 1);
    assert_int_equal(qs_job_start("swap", as_job, &d, -1, &running, &e), QS_OK);
    do
        qs_job_status(running, &st);
    while (st.state == QS_JOB_RUNNING && st.done < tokens / 3);
    qs_job_cancel(running);
    const int rc = qs_job_wait(running, &e);
    qs_job_free(running);
    assert_true(rc == QS_ECANCELLED || rc == QS_OK);
    assert_ptr_equal(qs_engine_weight(c->x, 1)->parts.p[0], before->parts.p[0]);
    run(&d);
    assert_int_equal(c->s->n_swaps, b->s->n_swaps);
    for (size_t i = 0; i < b->s->n_swaps; i++)
        assert_true(qs_statistics_swap(c->s, b->s->swap[i].tensor)->kld == b->s->swap[i].kld);
    teardown(b);
    teardown(c);
}

static void test_refusals(void **state)
{
    struct bench *b = setup(tiny_path("llama", ""), 24, 1);
    struct qs_err e = QS_ERR_INIT;
    struct qs_swap_args a = args_of(b);
    const size_t norm = qs_model_index(b->m, qs_model_find(b->m, "output_norm.weight"));
    (void)state;
    a.tensor = &norm;
    a.n_tensors = 1;
    assert_int_equal(qs_swap_run(&a, NULL, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "output_norm"));
    a.tensor = NULL;
    b->text.n_fit = 0;
    assert_int_equal(qs_swap_run(&a, NULL, &e), QS_EINVAL);
    teardown(b);
}

static int swap_body(void *ctx, struct qs_err *e)
{
    struct bench *b = ctx;
    struct qs_swap_args a = args_of(b);
    const size_t i = qs_model_index(b->m, qs_model_find(b->m, "blk.1.ffn_down.weight"));
    struct qs_statistics s = *b->s; /* put_swap's memory is given back below */
    s.swap = NULL;
    s.n_swaps = s.cap_swaps = 0;
    a.statistics = &s;
    a.tensor = &i;
    a.n_tensors = 1;
    const int rc = qs_swap_run(&a, NULL, e);
    for (size_t k = 0; k < s.n_swaps; k++)
        qs_free(s.swap[k].tensor);
    qs_free(s.swap);
    return rc;
}

static void test_memory(void **state)
{
    struct bench *b = setup(tiny_path("llama", ""), 24, 1);
    (void)state;
    qs_test_each_alloc(swap_body, b);
    teardown(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle), cmocka_unit_test(test_little_memory), cmocka_unit_test(test_error),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_job),           cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory),
    };
    const struct CMUnitTest demo[] = { cmocka_unit_test(test_demo) };
    if (qs_pool_new(2, &pool, NULL))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)qs_test_data("models/storyteller-9m-f16.gguf");
    const int more = cmocka_run_group_tests(demo, NULL, NULL);
    qs_pool_free(pool);
    return failed || more;
}
