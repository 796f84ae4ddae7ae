/* test_calibrate.c - calibrations from text to encoded weights: what they gain, that they go on to the same bits after
 * they were stopped anywhere, and what they refuse. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "core/eval/lockstep.h"
#include "core/model/vocabulary.h"
#include "core/quant/candidate.h"
#include "tests/model/make_model.h"

static struct qs_pool *pool[4]; /* by threads */
static char demo_path[512], small_path[512], text_path[512], other_path[512];

static struct qs_model *open_model(const char *path)
{
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_model_open(path, &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

static struct qs_recipe *recipe_of(const char *text)
{
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_parse("r", text, strlen(text), &r, &e))
        fail_msg("%s", e.msg);
    return r;
}

/* Few and short windows: what is asked of them is asked of many, too. */
struct bench {
    struct qs_model *model;
    struct qs_recipe *recipe;
    struct qs_corpus_source source;
    struct qs_calibrate_args args;
    char store[512];
};

static struct bench *bench_of(const char *model, const char *recipe, const char *store, size_t windows)
{
    struct bench *b = qs_calloc(1, sizeof *b);
    const struct qs_calib_methods methods = QS_CALIB_METHODS_INIT;
    assert_non_null(b);
    b->model = open_model(model);
    b->recipe = recipe_of(recipe);
    b->source = (struct qs_corpus_source){ text_path, 1 };
    snprintf(b->store, sizeof b->store, "%s", qs_test_tmp_path(store));
    b->args = (struct qs_calibrate_args){
        .model = b->model,
        .pool = pool[2],
        .prio = QS_PRIO_JOB,
        .recipe = b->recipe,
        .store = b->store,
        .methods = methods,
        .text = { .source = &b->source,
                  .n_sources = 1,
                  .n_ctx = 32,
                  .n_windows = windows,
                  .held_out = 0.25,
                  .seed = 1 },
    };
    return b;
}

static void bench_free(struct bench *b)
{
    qs_recipe_free(b->recipe);
    qs_model_close(b->model);
    qs_free(b);
}

static struct qs_calibration *opened(const struct bench *b)
{
    struct qs_calibration *c = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_calibrate_open(&b->args, &c, &e))
        fail_msg("%s", e.msg);
    return c;
}

static struct qs_store *calibrated(const struct bench *b)
{
    struct qs_calibration *c = opened(b);
    struct qs_err e = QS_ERR_INIT;
    if (qs_calibrate_run(c, NULL, &e))
        fail_msg("%s", e.msg);
    struct qs_store *s = qs_store_ref(qs_calibrate_store(c));
    qs_calibrate_free(c);
    return s;
}

static void same_files(const char *a, const char *b)
{
    char *x, *y;
    size_t n, m;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_file_read(a, 1 << 28, &x, &n, &e), QS_OK);
    assert_int_equal(qs_file_read(b, 1 << 28, &y, &m, &e), QS_OK);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    qs_free(x);
    qs_free(y);
}

/* ---- what it gains ---- */

static double mean_kld(const struct bench *b, const struct qs_plan_args *args)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_engine_args engine = { .pool = pool[2], .precision = QS_EXACT, .prio = QS_PRIO_JOB };
    struct qs_engine *made = NULL, *base = NULL;
    struct qs_plan *plan = NULL;
    struct qs_candidate *c = NULL;
    struct qs_vocab *vocab = NULL;
    struct qs_tokens tokens = { 0 };
    struct qs_lockstep *x = NULL;
    char *text = NULL;
    size_t n = 0;
    double number[QS_KLD_NUMBERS];
    if (qs_engine_new(b->model, &engine, &made, &e) || qs_engine_new(b->model, &engine, &base, &e) ||
        qs_plan_make(b->model, b->recipe, args, &plan, &e) || qs_candidate_new(plan, NULL, &c, &e) ||
        qs_candidate_run(c, pool[2], NULL, &e) || qs_candidate_apply(c, made, NULL, &e) ||
        qs_model_vocab(b->model, &vocab, &e) || qs_file_read(other_path, 1 << 28, &text, &n, &e) ||
        qs_tokenize(vocab, text, 40000, QS_TOKENIZE_REPLACE, &tokens, &e))
        fail_msg("%s", e.msg);
    const struct qs_lockstep_args lockstep = { .model = made,
                                               .base = base,
                                               .pool = pool[2],
                                               .prio = QS_PRIO_JOB,
                                               .token = tokens.id,
                                               .n_tokens = tokens.n,
                                               .n_ctx = 256,
                                               .n_windows = 20,
                                               .bos = -1,
                                               .cache = QS_SESSION_ARGS_INIT };
    if (qs_lockstep_run(&lockstep, NULL, &x, &e))
        fail_msg("%s", e.msg);
    qs_kld_running(&x->kld, number);
    qs_lockstep_free(x);
    qs_free(text);
    qs_tokens_free(&tokens);
    qs_vocab_free(vocab);
    qs_candidate_unref(c);
    qs_plan_free(plan);
    qs_engine_free(made);
    qs_engine_free(base);
    return number[QS_KLD_MEAN];
}

/* Of the tensors that were encoded so many have a lower held-out output error than the weighted fit gives them. */
#define SHARE_THAT_GAINS 0.6

static const char *const four_layers = "preset = F16\nrule blk\\.[0-3]\\.(attn|ffn)_.*\\.weight = Q3_K\n";

static void test_it_gains(void **state)
{
    (void)state;
    if (QS_TEST_SANITIZED)
        skip(); /* minutes there; the rest goes the same ways */
    struct bench *b = bench_of(demo_path, four_layers, "gain.qscal", 16);
    b->args.text.n_ctx = 128;
    struct qs_calibration *c = opened(b);
    struct qs_calibrate_need need;
    struct qs_calib_watch *watch;
    struct qs_calib_view view;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_calibrate_need(c, &need, &e), QS_OK);
    assert_true(need.memory > 0 && need.seconds > 0 && need.windows == 16 && need.tokens == 16 * 128);
    assert_int_equal(qs_calib_watch_new(b->model->hp.n_layer, b->model->n_tensors, &watch, &e), QS_OK);
    qs_calibrate_free(c);
    b->args.watch = watch;
    c = opened(b);
    if (qs_calibrate_run(c, NULL, &e))
        fail_msg("%s", e.msg);
    struct qs_store *s = qs_calibrate_store(c);
    assert_int_equal(qs_calib_watch_copy(watch, &view, &e), QS_OK);
    assert_int_equal(view.stage, QS_STAGE_DONE);
    size_t better = 0, n = 0;
    for (size_t i = 0; i < qs_store_count(s); i++) {
        const struct qs_stored *t = qs_store_at(s, i);
        const struct qs_calib_tensor *now = &view.tensor[qs_model_index(b->model, qs_model_find(b->model, t->name))];
        assert_int_equal(now->state, QS_CALIB_DONE);
        assert_true(now->after == t->after && now->before == t->before);
        assert_true(t->after <= t->before * (1 + 1e-12));
        better += t->after < t->before && strstr(t->method, "GPTQ");
        n++;
    }
    assert_int_equal(n, 4 * 7);
    if ((double)better < SHARE_THAT_GAINS * (double)n)
        fail_msg("only %zu of %zu tensors gain", better, n);
    for (size_t l = 0; l < 4; l++)
        assert_true(view.layer[l].state == QS_CALIB_DONE && view.layer[l].after < view.layer[l].before);
    const struct qs_plan_args plain = { .imatrix = qs_calibrate_statistics(c)->imatrix };
    const struct qs_plan_args stored = { .imatrix = plain.imatrix, .store = s };
    const double without = mean_kld(b, &plain), with = mean_kld(b, &stored);
    if (!(with < 0.9 * without))
        fail_msg("mean KL divergence %g with the calibration, %g with importance weights alone", with, without);
    qs_calib_view_free(&view);
    qs_calibrate_free(c);
    qs_calib_watch_free(watch);
    bench_free(b);
}

/* ---- the same bits ---- */

/* Seven tensors each of two layers, of one layer. Where instrumented code runs they are narrow, and of a type for that. */
static char two_layers[128], one_layer[128];

static int make_small(struct qs_err *e)
{
    const bool narrow = getenv("QS_REDUCED") != NULL;
    const unsigned width = narrow ? 64 : 256;
    const struct mm_spec small = { .layers = 4, .embd = width, .ff = width, .vocab = 300, .byte_tokens = true };
    snprintf(small_path, sizeof small_path, "%s", qs_test_tmp_path("small.gguf"));
    snprintf(two_layers, sizeof two_layers, "preset = F16\nrule blk\\.[03]\\.(attn|ffn)_.*\\.weight = %s\n",
             narrow ? "Q4_0" : "Q4_K");
    snprintf(one_layer, sizeof one_layer, "preset = F16\nrule blk\\.0\\.(attn|ffn)_.*\\.weight = %s\n",
             narrow ? "Q4_0" : "Q3_K");
    return mm_file(small_path, &small, e);
}

static int running(struct qs_job *job, void *ctx, struct qs_err *e)
{
    return qs_calibrate_run(ctx, job, e);
}

/* Runs until so many tensors are done, then cancels. */
static void run_until(struct bench *b, size_t done)
{
    struct qs_calib_watch *watch;
    struct qs_err e = QS_ERR_INIT;
    struct qs_job *job;
    assert_int_equal(qs_calib_watch_new(b->model->hp.n_layer, b->model->n_tensors, &watch, &e), QS_OK);
    b->args.watch = watch;
    struct qs_calibration *c = opened(b);
    assert_int_equal(qs_job_start("calibrate", running, c, -1, &job, &e), QS_OK);
    for (size_t n = 0; n < done && !qs_job_wait_for(job, 0.002);) {
        struct qs_calib_view view;
        assert_int_equal(qs_calib_watch_copy(watch, &view, &e), QS_OK);
        n = 0;
        for (size_t i = 0; i < view.n_tensors; i++)
            n += view.stage == QS_STAGE_ENCODE && view.tensor[i].state == QS_CALIB_DONE &&
                 view.tensor[i].type != QS_TYPE_NONE;
        qs_calib_view_free(&view);
    }
    qs_job_cancel(job);
    const int rc = qs_job_wait(job, &e);
    if (rc != QS_OK && rc != QS_ECANCELLED)
        fail_msg("%s", e.msg);
    qs_job_free(job);
    qs_calibrate_free(c);
    qs_calib_watch_free(watch);
    b->args.watch = NULL;
}

static void test_stopped_and_gone_on(void **state)
{
    (void)state;
    static const size_t stops[] = { 5, 1, 9, 13 };
    const size_t n_stops = getenv("QS_REDUCED") ? 1 : sizeof stops / sizeof *stops;
    char whole[512];
    struct bench *b = bench_of(small_path, two_layers, "whole.qscal", 8);
    qs_store_unref(calibrated(b));
    snprintf(whole, sizeof whole, "%s", b->store);
    bench_free(b);
    b = bench_of(small_path, two_layers, "stopped.qscal", 8);
    for (size_t i = 0; i < n_stops; i++)
        run_until(b, stops[i]);
    struct qs_store *s = calibrated(b);
    assert_int_equal(qs_store_count(s), 14);
    qs_store_unref(s);
    same_files(whole, b->store);

    s = calibrated(b); /* once more: it is finished, and taken as it is */
    assert_int_equal(qs_store_count(s), 14);
    qs_store_unref(s);
    bench_free(b);
    b = bench_of(small_path, two_layers, "three.qscal", 8); /* another number of threads, another cut of memory */
    b->args.pool = pool[3];
    qs_store_unref(calibrated(b));
    same_files(whole, b->store);
    bench_free(b);
}

static void test_folded_and_gone_on(void **state)
{
    (void)state;
    char whole[512];
    struct bench *b = bench_of(small_path, one_layer, "awq.qscal", 8);
    b->args.methods.awq = true;
    struct qs_store *s = calibrated(b);
    snprintf(whole, sizeof whole, "%s", b->store);
    size_t folded = 0;
    for (size_t i = 0; i < qs_store_count(s); i++)
        folded += qs_store_at(s, i)->group != 0;
    if (folded) {
        const struct qs_plan_args args = { .store = s };
        struct qs_plan *p;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_plan_make(b->model, b->recipe, &args, &p, &e), QS_OK);
        assert_int_equal(p->n_stored, qs_store_count(s)); /* norms too */
        qs_plan_free(p);
    }
    qs_store_unref(s);
    bench_free(b);
    b = bench_of(small_path, one_layer, "awq-stopped.qscal", 8);
    b->args.methods.awq = true;
    run_until(b, 2);
    run_until(b, 6);
    qs_store_unref(calibrated(b));
    same_files(whole, b->store);
    bench_free(b);
}

/* ---- what is refused ---- */

/* Before anything is collected, and with all that is there as it was. */
static void refused_at_once(const struct bench *b, const char *words)
{
    char part[520];
    struct qs_err e = QS_ERR_INIT;
    struct qs_calibration *c = NULL;
    struct qs_file_stat before, after;
    snprintf(part, sizeof part, "%s.part", b->store);
    assert_int_equal(qs_file_stat(part, &before, &e), QS_OK);
    assert_int_equal(qs_calibrate_open(&b->args, &c, &e), QS_EEXISTS);
    if (!strstr(e.msg, words))
        fail_msg("%s", e.msg);
    assert_int_equal(qs_file_stat(part, &after, &e), QS_OK);
    assert_true(before.size == after.size && before.mtime_ns == after.mtime_ns);
}

static void test_other_work(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_calibration *c;
    struct bench *b = bench_of(small_path, two_layers, "stale.qscal", 8);
    run_until(b, 1);
    b->args.methods.sweeps = 2;
    refused_at_once(b, "its methods.sweeps was 4 and is now 2");
    b->args.methods.awq = true; /* then the statistics are facts too, and not collected yet */
    refused_at_once(b, "its methods.awq was false and is now true");
    b->args.methods.awq = false;
    b->args.methods.sweeps = 4;
    b->args.text.seed = 2;
    refused_at_once(b, "its text.key was");
    b->args.memory = 1 << 20;
    b->args.restart = true;
    c = opened(b);
    struct qs_calibrate_need need;
    assert_int_equal(qs_calibrate_need(c, &need, &e), QS_ELIMIT);
    assert_int_equal(qs_calibrate_run(c, NULL, &e), QS_ELIMIT);
    qs_calibrate_free(c);
    b->args.text.n_sources = 0;
    assert_int_equal(qs_calibrate_open(&b->args, &c, &e), QS_EINVAL);
    bench_free(b);
}

/* One weight of the small model becomes NaN, in its file. */
static const char *broken_model(const char *name, const char *tensor)
{
    char *bytes;
    size_t n;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_model(small_path);
    const struct qs_tensor *t = qs_model_find(m, tensor);
    const char *path = qs_test_tmp_path(name);
    assert_non_null(t);
    assert_int_equal(qs_file_read(small_path, 1 << 28, &bytes, &n, &e), QS_OK);
    bytes[t->offset + 200] = 0;
    bytes[t->offset + 201] = 0x7e;
    qs_test_write(path, bytes, n);
    qs_free(bytes);
    qs_model_close(m);
    return path;
}

static void test_not_finite(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(broken_model("nan.gguf", "blk.3.ffn_up.weight"), two_layers, "nan.qscal", 8);
    struct qs_calibration *c = opened(b);
    const int rc = qs_calibrate_run(c, NULL, &e);
    assert_int_equal(rc, QS_EFORMAT);
    if (!strstr(e.msg, "layer 3") && !strstr(e.msg, "blk.3.ffn_up.weight"))
        fail_msg("%s", e.msg);
    assert_true(strstr(e.msg, "window") || strstr(e.msg, "column"));
    qs_calibrate_free(c);
    bench_free(b);
}

/* ---- experts, and statistics alone ---- */

static void test_statistics_alone(void **state)
{
    (void)state;
    struct bench *b = bench_of(small_path, two_layers, "alone.qscal", 8);
    char statistics[512];
    snprintf(statistics, sizeof statistics, "%s", qs_test_tmp_path("s.gguf"));
    b->args.statistics_out = statistics;
    b->args.recipe = NULL;
    struct qs_calibration *c = opened(b);
    struct qs_err e = QS_ERR_INIT;
    if (qs_calibrate_run(c, NULL, &e))
        fail_msg("%s", e.msg);
    qs_calibrate_free(c);
    b->args.statistics_out = NULL;
    b->args.statistics_in = statistics;
    b->args.text.n_sources = 0;
    b->args.recipe = b->recipe;
    struct qs_store *s = calibrated(b);
    assert_int_equal(qs_store_count(s), 14);
    for (size_t i = 0; i < qs_store_count(s); i++) {
        assert_true(!strcmp(qs_store_at(s, i)->method, "imatrix") || !strcmp(qs_store_at(s, i)->method, "plain"));
        assert_true(qs_store_at(s, i)->after > 0 && qs_store_at(s, i)->after < 0.3);
    }
    qs_store_unref(s);
    bench_free(b);
}

/* No room for the statistics: what was collected is in the journal, and the next run takes it from there. */
static void test_statistics_not_kept(void **state)
{
    (void)state;
    char statistics[512], journal[520];
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(small_path, two_layers, "unkept.qscal", 8);
    snprintf(statistics, sizeof statistics, "%s", qs_test_tmp_path("unkept.gguf"));
    snprintf(journal, sizeof journal, "%s.collect", statistics);
    b->args.statistics_out = statistics;
    b->args.recipe = NULL;
    struct qs_calibration *c = opened(b);
    assert_int_equal(mkdir(statistics, 0700), 0);
    assert_int_not_equal(qs_calibrate_run(c, NULL, &e), QS_OK);
    qs_calibrate_free(c);
    assert_true(qs_file_exists(journal));
    assert_int_equal(rmdir(statistics), 0);
    c = opened(b);
    if (qs_calibrate_run(c, NULL, &e))
        fail_msg("%s", e.msg);
    qs_calibrate_free(c);
    assert_true(qs_file_exists(statistics) && !qs_file_exists(journal));
    bench_free(b);
}

/* The vocabulary of a made model has no words: tokens are drawn instead. */
static struct qs_calibration *with_tokens(const struct bench *b, size_t fit, size_t held)
{
    struct qs_calibration *c = opened(b);
    struct qs_corpus *x = c->corpus;
    uint32_t state = 12345;
    qs_free(x->token);
    qs_free(x->origin);
    x->n_fit = fit;
    x->n_held = held;
    x->token = qs_malloc((fit + held) * x->n_ctx * sizeof *x->token);
    x->origin = qs_calloc(fit + held, sizeof *x->origin);
    assert_true(x->token && x->origin);
    for (size_t i = 0; i < (fit + held) * x->n_ctx; i++) {
        state = state * 1664525 + 1013904223;
        x->token[i] = (int32_t)(3 + (state >> 16) % 590);
    }
    return c;
}

static struct qs_store *run_through(struct qs_calibration *c)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_calibrate_run(c, NULL, &e))
        fail_msg("%s", e.msg);
    struct qs_store *s = qs_store_ref(qs_calibrate_store(c));
    qs_calibrate_free(c);
    return s;
}

static void test_experts(void **state)
{
    (void)state;
    static const struct mm_spec spec = { .arch = "qwen2moe",
                                         .layers = 1,
                                         .embd = 64,
                                         .ff = 64,
                                         .vocab = 600,
                                         .experts = 8,
                                         .experts_used = 3,
                                         .shared_expert = true,
                                         .biases = true,
                                         .untied = true };
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path("experts.gguf");
    if (mm_file(path, &spec, &e))
        fail_msg("%s", e.msg);
    struct bench *b = bench_of(path, "preset = Q4_0\npure = yes\n", "experts.qscal", 24);
    struct qs_store *s = run_through(with_tokens(b, 16, 4)), *again;
    size_t experts = 0;
    for (size_t i = 0; i < qs_store_count(s); i++) {
        const struct qs_stored *t = qs_store_at(s, i);
        experts += t->ne[2] > 1 && !strcmp(t->method, "GPTQ");
        if (strcmp(t->name, "token_embd.weight")) {
            if (!(t->after <= t->before * (1 + 1e-12)))
                fail_msg("%s: %s, %g after %g; %s", t->name, t->method, t->after, t->before, t->note);
        } else
            assert_string_equal(t->method, "plain");
    }
    assert_true(experts > 0);
    qs_store_unref(s);
    char whole[512];
    snprintf(whole, sizeof whole, "%s", b->store);
    snprintf(b->store, sizeof b->store, "%s", qs_test_tmp_path("experts-small.qscal")); /* experts one after another */
    struct qs_calibration *c = with_tokens(b, 16, 4);
    uint64_t streams, most = 1;
    const uint64_t work = qs_calib_encode_memory(c, &streams);
    c->memory = work + 2 * streams;
    for (size_t i = 0; i < c->inputs->n; i++) {
        const size_t passes = qs_calib_passes(c, &c->inputs->input[i], NULL);
        most = passes > most ? passes : most;
    }
    assert_true(most > 1);
    qs_calibrate_free(c);
    b->args.memory = work + 2 * streams;
    again = run_through(with_tokens(b, 16, 4));
    qs_store_unref(again);
    same_files(whole, b->store);
    bench_free(b);
}

static int begin(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    if (make_small(&e))
        return 1;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    for (unsigned i = 1; i < 4; i++)
        if (qs_pool_new(i, &pool[i], &e))
            return 1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 4; i++)
        qs_pool_free(pool[i]);
    return 0;
}

int main(int argc, char **argv)
{
    snprintf(demo_path, sizeof demo_path, "%s", qs_test_data("models/storyteller-9m-f16.gguf"));
    snprintf(text_path, sizeof text_path, "%s", qs_test_data("text/books-calibration.txt"));
    snprintf(other_path, sizeof other_path, "%s", qs_test_data("text/books.txt"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_and_gone_on), cmocka_unit_test(test_folded_and_gone_on),
        cmocka_unit_test(test_other_work),          cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_statistics_alone),
        cmocka_unit_test(test_statistics_not_kept),    cmocka_unit_test(test_experts),
        cmocka_unit_test(test_it_gains),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, begin, end);
}
