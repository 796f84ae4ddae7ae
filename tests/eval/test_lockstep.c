/* test_lockstep.c - the demo model over a few windows of prose: numbers as llama.cpp's llama-perplexity has them
 * (stated with the case), bits that no cut of the work changes, layers, weights that are not finite. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/eval/lockstep.h"
#include "core/eval/pair.h"
#include "core/eval/text.h"

static struct qs_pool *pool;
static char demo[512];
static struct qs_eval_text text;

static void setup_text(const struct qs_vocab *v, size_t bytes)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_eval_text_read(qs_test_data("text/books.txt"), bytes, &text, &e) || qs_eval_text_tokenize(&text, v, &e))
        fail_msg("%s", e.msg);
}

static struct qs_pair *open_pair(const char *preset, bool stand_in)
{
    struct qs_pair *p;
    struct qs_recipe *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (preset)
        assert_int_equal(qs_recipe_new(preset, &r, &e), QS_OK);
    const struct qs_pair_args args = { .model = demo, .recipe = r, .stand_in = stand_in, .precision = QS_EXACT,
                                       .prio = QS_PRIO_JOB };
    if (qs_pair_open(&args, pool, &p, &e) || qs_pair_make(p, NULL, &e))
        fail_msg("%s", e.msg);
    qs_recipe_free(r);
    if (!text.token.n)
        setup_text(p->vocab, 8000);
    return p;
}

static struct qs_lockstep_args args_of(const struct qs_pair *p, size_t n_ctx, size_t windows)
{
    return (struct qs_lockstep_args){
        .model = p->engine,
        .base = p->base,
        .pool = pool,
        .prio = QS_PRIO_JOB,
        .token = text.token.id,
        .n_tokens = text.token.n,
        .n_ctx = n_ctx,
        .n_windows = windows,
        .bos = qs_vocab_special(p->vocab, QS_SPECIAL_BOS),
        .cache = QS_SESSION_ARGS_INIT,
    };
}

static struct qs_lockstep *run(const struct qs_lockstep_args *a)
{
    struct qs_lockstep *x;
    struct qs_err e = QS_ERR_INIT;
    if (qs_lockstep_run(a, NULL, &x, &e))
        fail_msg("%s", e.msg);
    return x;
}

/* llama-perplexity (0c1e57098) -c 128 -b 128 over the first 8,000 bytes: 51.5746 after two windows. */
static void test_perplexity(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair(NULL, false);
    struct qs_lockstep_args a = args_of(p, 128, 2);
    struct qs_lockstep *x = run(&a);
    double n[QS_KLD_NUMBERS];
    qs_kld_numbers(&x->kld, n);
    assert_int_equal(x->windows, 2);
    assert_int_equal(x->kld.n, 2 * 63);
    if (!(fabs(n[QS_KLD_PPL] / 51.5746 - 1) < 1e-3))
        fail_msg("perplexity %.4f", n[QS_KLD_PPL]);
    assert_true(isnan(n[QS_KLD_MEAN]) && x->bad.n == 0 && !x->layer);
    qs_lockstep_free(x);
    qs_pair_free(p);
}

static int same_numbers(const double *a, const double *b)
{
    for (int i = 0; i < QS_KLD_NUMBERS; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            return 0;
    return 1;
}

/* Groups of windows, memory, and layers being watched change no bit. */
static void test_cuts(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q4_0", false);
    struct qs_lockstep_args a = args_of(p, 32, 5);
    double want[QS_KLD_NUMBERS], got[QS_KLD_NUMBERS];
    struct qs_lockstep *x = run(&a);
    qs_kld_numbers(&x->kld, want);
    assert_int_equal(x->group, 1);
    assert_true(want[QS_KLD_MEAN] > 0 && want[QS_KLD_MEAN] < 0.1);
    assert_true(want[QS_KLD_SAME_TOP] > 0.5 && want[QS_KLD_SAME_TOP] < 1);
    qs_lockstep_free(x);
    for (int i = 0; i < 3; i++) {
        a.by_layer = true;
        a.layers = i == 1;
        a.memory = i == 2 ? 2 * 32 * 2 * 256 * 4 * 3 : 0; /* three windows' states in one half of it */
        x = run(&a);
        qs_kld_numbers(&x->kld, got);
        assert_int_equal(x->group, i == 2 ? 3 : 5);
        assert_int_equal(x->windows, 5);
        assert_true(same_numbers(want, got));
        qs_lockstep_free(x);
    }
    qs_pair_free(p);
}

/* The whole forward pass at once gives the logits that the pieces were scored by. */
static struct { float *logits; size_t rows, n_vocab; uint64_t seen; } fed;
static int check_token(void *ctx, const struct qs_lockstep_token *t, struct qs_err *e)
{
    struct qs_kld_row row;
    (void)ctx;
    (void)e;
    assert_int_equal(t->token, text.token.id[t->at]);
    qs_kld_row(NULL, fed.logits + (t->at - 1) * fed.rows, fed.n_vocab, t->token, &row);
    assert_memory_equal(&row.nll, &t->row.nll, sizeof row.nll);
    assert_int_equal(row.top, t->row.top);
    fed.seen++;
    return QS_OK;
}

static void test_pieces(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair(NULL, false);
    struct qs_lockstep_args a = args_of(p, 96, 1);
    struct qs_session *s;
    struct qs_session_args cache = QS_SESSION_ARGS_INIT;
    struct qs_err e = QS_ERR_INIT;
    int32_t token[96];
    cache.n_ctx = 96;
    fed.rows = fed.n_vocab = qs_engine_config(p->engine)->n_vocab;
    fed.logits = qs_calloc(96 * fed.rows, sizeof(float));
    memcpy(token, text.token.id, sizeof token);
    token[0] = a.bos;
    assert_int_equal(qs_session_new(p->engine, &cache, &s, &e), QS_OK);
    assert_int_equal(qs_session_feed(s, token, 96, 0, fed.logits, &e), QS_OK);
    a.on_token = check_token;
    struct qs_lockstep *x = run(&a);
    assert_int_equal(fed.seen, 47);
    qs_lockstep_free(x);
    /* Of a padded matrix the rows that are tokens count alone. */
    fed.seen = fed.n_vocab = 0;
    for (size_t i = 0; i < text.token.n; i++)
        fed.n_vocab = (size_t)text.token.id[i] >= fed.n_vocab ? (size_t)text.token.id[i] + 1 : fed.n_vocab;
    assert_true(fed.n_vocab < fed.rows);
    a.n_vocab = fed.n_vocab;
    x = run(&a);
    assert_int_equal(fed.seen, 47);
    qs_lockstep_free(x);
    a.n_vocab--; /* the text has a token that is none */
    assert_int_equal(qs_lockstep_run(&a, NULL, &x, &e), QS_EINVAL);
    qs_session_free(s);
    qs_free(fed.logits);
    qs_pair_free(p);
}

/* A model against itself: not a little, nothing at all. */
static void test_itself(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair(NULL, false);
    struct qs_engine *other;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_pair_engine(p, QS_EXACT, &other, &e), QS_OK);
    struct qs_lockstep_args a = args_of(p, 32, 2);
    a.base = other;
    a.layers = true;
    struct qs_lockstep *x = run(&a);
    double n[QS_KLD_NUMBERS];
    qs_kld_numbers(&x->kld, n);
    const double zero = 0, one = 1;
    assert_memory_equal(&n[QS_KLD_MEAN], &zero, sizeof zero);
    assert_memory_equal(&n[QS_KLD_MAX], &zero, sizeof zero);
    assert_memory_equal(&n[QS_KLD_LN_RATIO], &zero, sizeof zero);
    assert_memory_equal(&n[QS_KLD_DP_RMS], &zero, sizeof zero);
    assert_memory_equal(&n[QS_KLD_SAME_TOP], &one, sizeof one);
    assert_int_equal(x->n_layers, 9);
    for (size_t i = 0; i < x->n_layers; i++) {
        assert_int_equal(x->layer[i].n, 64);
        assert_memory_equal(&x->layer[i].error_worst, &zero, sizeof zero);
        assert_memory_equal(&x->layer[i].cosine_worst, &one, sizeof one);
    }
    qs_lockstep_free(x);
    qs_engine_free(other);
    qs_pair_free(p);
}

/* Layers against the states that a session shows to who watches it. */
static float *watched[2];
static size_t watched_width;
static void watch(void *ctx, int layer, size_t pos, size_t n, const float *hidden)
{
    float **to = ctx;
    if (layer == 4)
        memcpy(*to + pos * watched_width, hidden, n * watched_width * sizeof *hidden);
}

static void test_layers(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q2_K", false);
    struct qs_lockstep_args a = args_of(p, 64, 1);
    a.layers = true;
    struct qs_lockstep *x = run(&a);
    struct qs_engine *engine[2] = { p->engine, p->base };
    int32_t token[64];
    memcpy(token, text.token.id, sizeof token);
    token[0] = a.bos;
    watched_width = qs_engine_config(p->engine)->n_embd;
    for (int i = 0; i < 2; i++) {
        struct qs_session *s;
        struct qs_err e = QS_ERR_INIT;
        const struct qs_session_args cache = { 64, QS_F16, QS_F16, false };
        watched[i] = qs_calloc(64 * watched_width, sizeof(float));
        assert_int_equal(qs_session_new(engine[i], &cache, &s, &e), QS_OK);
        qs_session_watch(s, watch, &watched[i]);
        assert_int_equal(qs_session_feed(s, token, 64, 64, NULL, &e), QS_OK);
        qs_session_free(s);
    }
    double error = 0, worst = 0, cosine = 0;
    for (size_t t = 0; t < 64; t++) {
        double dd = 0, bb = 0, hh = 0, hb = 0;
        for (size_t i = 0; i < watched_width; i++) {
            const double h = watched[0][t * watched_width + i], b = watched[1][t * watched_width + i];
            dd += (h - b) * (h - b);
            bb += b * b;
            hh += h * h;
            hb += h * b;
        }
        error += sqrt(dd / bb) / 64;
        worst = fmax(worst, sqrt(dd / bb));
        cosine += hb / sqrt(hh * bb) / 64;
    }
    const struct qs_layer_stat *s = &x->layer[5]; /* [0] is the embedding */
    assert_true(error > 0.01 && fabs(s->error - error) < 1e-12 && fabs(s->error_worst - worst) < 1e-12);
    assert_true(fabs(s->cosine - cosine) < 1e-12 && s->cosine < 1 && s->n == 64);
    assert_true(x->layer[0].error > 0); /* the embedding is quantized too */
    for (int i = 0; i < 2; i++)
        qs_free(watched[i]);
    qs_lockstep_free(x);
    qs_pair_free(p);
}

/* A weight of block 3 becomes NaN: the first layer is named, the reference is not blamed, nothing is averaged. */
static void test_nan(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q8_0", false);
    struct qs_err e = QS_ERR_INIT;
    const struct qs_tensor *t = qs_model_find(p->model, "blk.3.ffn_down.weight");
    struct qs_weight *w;
    struct qs_parts parts;
    assert_non_null(t);
    assert_int_equal(qs_weight_heap(qs_format_by_id(QS_F32), t->ne, &w, &parts, &e), QS_OK);
    ((float *)(void *)parts.p[0])[5] = NAN;
    assert_int_equal(qs_engine_set(p->engine, qs_model_index(p->model, t), w, &e), QS_OK);
    qs_weight_unref(w);
    struct qs_lockstep_args a = args_of(p, 32, 2);
    a.layers = true;
    struct qs_lockstep *x = run(&a);
    assert_int_equal(x->bad.layer, 3);
    assert_int_equal(x->bad.at, 0);
    assert_int_equal(x->bad.n, 64);
    assert_int_equal(x->bad_base.n, 0);
    assert_int_equal(x->kld.n, 0);
    assert_int_equal(x->kld.n_bad, 2 * 15);
    assert_int_equal(x->kld.first_bad, 17);
    assert_int_equal(x->layer[3].bad, 0);
    assert_int_equal(x->layer[4].bad, 64);
    qs_lockstep_free(x);
    qs_pair_free(p);
}

/* Against the stand-in the same model is not far, but not at zero. */
static void test_stand_in(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair(NULL, true);
    struct qs_lockstep_args a = args_of(p, 32, 2);
    struct qs_lockstep *x = run(&a);
    assert_true(x->kld.kld.mean > 1e-6 && x->kld.kld.mean < 1e-3);
    qs_lockstep_free(x);
    qs_pair_free(p);
}

static void test_refused(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q8_0", false);
    struct qs_lockstep_args a = args_of(p, 64, 2);
    struct qs_lockstep *x;
    struct qs_err e = QS_ERR_INIT;
    a.n_ctx = 3;
    assert_int_equal(qs_lockstep_run(&a, NULL, &x, &e), QS_EINVAL);
    a.n_ctx = text.token.n + 1;
    assert_int_equal(qs_lockstep_run(&a, NULL, &x, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "one window takes"));
    const int32_t wild[8] = { 1, 2, 3, 4096, 5, 6, 7, 8 };
    a = args_of(p, 4, 2);
    a.token = wild;
    a.n_tokens = 8;
    assert_int_equal(qs_lockstep_run(&a, NULL, &x, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "token 4"));
    qs_pair_free(p);
}

static struct qs_lockstep_args body_args;
static int body(void *ctx, struct qs_err *e)
{
    struct qs_lockstep *x;
    (void)ctx;
    const int rc = qs_lockstep_run(&body_args, NULL, &x, e);
    if (!rc)
        qs_lockstep_free(x);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q8_0", false);
    body_args = args_of(p, 4, 1);
    body_args.layers = true;
    qs_test_each_alloc(body, NULL);
    qs_pair_free(p);
}

static int cancelled(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_lockstep *x;
    qs_job_cancel(job);
    return qs_lockstep_run(ctx, job, &x, e);
}

static void test_cancel(void **state)
{
    (void)state;
    struct qs_pair *p = open_pair("Q8_0", false);
    struct qs_lockstep_args a = args_of(p, 64, 2);
    struct qs_job *job;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_job_start("evaluate", cancelled, &a, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    qs_pair_free(p);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    qs_test_data("text/books.txt");
    snprintf(demo, sizeof demo, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    if (qs_pool_new(2, &pool, &e))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_perplexity), cmocka_unit_test(test_cuts), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_itself), cmocka_unit_test(test_layers), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_stand_in), cmocka_unit_test(test_refused), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_cancel),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    qs_eval_text_free(&text);
    qs_pool_free(pool);
    return rc;
}
