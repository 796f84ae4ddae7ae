/* test_prove.c - a recipe against presets and uniform types of at most its bytes, on a small model: who takes part,
 * the numbers against an evaluation by itself, and that a recipe which is not better is told so. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/prove.h"
#include "core/eval/lockstep.h"
#include "core/eval/pair.h"
#include "core/eval/text.h"
#include "tests/model/make_model.h"

static struct qs_pool *pool;
static struct qs_model *small;
static char text[512];

#define N_CTX 64
#define WINDOWS 12

static struct qs_prove_args args_of(const struct qs_recipe *r, size_t most)
{
    return (struct qs_prove_args){ .model = small,
                                   .pool = pool,
                                   .prio = QS_PRIO_JOB,
                                   .recipe = r,
                                   .predicted = 0.5,
                                   .text = text,
                                   .n_ctx = N_CTX,
                                   .n_windows = WINDOWS,
                                   .most = most };
}

static struct qs_proof *proof_of(const struct qs_prove_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_proof *p;
    if (qs_prove_run(a, NULL, &p, &e))
        fail_msg("%s", e.msg);
    return p;
}

static struct qs_recipe *recipe(const char *source)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r;
    if (qs_recipe_parse("test", source, strlen(source), &r, &e))
        fail_msg("%s", e.msg);
    return r;
}

/* Per position, as an evaluation by itself gives them. */
struct rows { double kld[N_CTX * WINDOWS]; size_t n; };

static int take(void *ctx, const struct qs_lockstep_token *t, struct qs_err *e)
{
    struct rows *x = ctx;
    (void)e;
    x->kld[x->n++] = t->row.kld;
    return QS_OK;
}

static struct rows evaluated(const struct qs_recipe *r)
{
    struct rows x = { .n = 0 };
    struct qs_err e = QS_ERR_INIT;
    struct qs_pair *p;
    struct qs_eval_text t = { 0 };
    struct qs_lockstep *l;
    const struct qs_pair_args args = { .model = small->path, .recipe = r, .precision = QS_EXACT, .prio = QS_PRIO_JOB,
                                       .opened = small };
    assert_int_equal(qs_pair_open(&args, pool, &p, &e), QS_OK);
    assert_int_equal(qs_pair_make(p, NULL, &e), QS_OK);
    assert_int_equal(qs_eval_text_read(text, 0, &t, &e), QS_OK);
    assert_int_equal(qs_eval_text_tokenize(&t, p->vocab, &e), QS_OK);
    const struct qs_lockstep_args la = { .model = p->engine,
                                         .base = p->base,
                                         .token = t.token.id,
                                         .n_tokens = t.token.n,
                                         .n_ctx = N_CTX,
                                         .n_windows = WINDOWS,
                                         .cache = QS_SESSION_ARGS_INIT,
                                         .pool = pool,
                                         .bos = qs_vocab_adds_bos(p->vocab) ? qs_vocab_special(p->vocab, QS_SPECIAL_BOS)
                                                                            : -1,
                                         .n_vocab = qs_vocab_rows(p->vocab, qs_engine_config(p->base)->n_vocab),
                                         .on_token = take,
                                         .ctx = &x };
    assert_int_equal(qs_lockstep_run(&la, NULL, &l, &e), QS_OK);
    qs_lockstep_free(l);
    qs_eval_text_free(&t);
    qs_pair_free(p);
    return x;
}

static double mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static size_t find(const struct qs_proof *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->rival[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static void test_better(void **state)
{
    struct qs_recipe *r = recipe("preset = Q6_K\n"), *rival = recipe("preset = Q5_K_M\n");
    const struct qs_prove_args a = args_of(r, 4);
    struct qs_proof *p = proof_of(&a);
    (void)state;
    assert_int_equal(p->n, 5);
    assert_true(p->rival[0].ours && strcmp(p->rival[0].name, "fitted") == 0 && p->better && p->best == 0);
    assert_true(p->predicted == 0.5 && p->measured == p->rival[0].kld && p->windows == WINDOWS);
    assert_int_equal(p->scored, WINDOWS * (N_CTX / 2 - 1));
    for (size_t i = 1; i < p->n; i++) {
        const struct qs_rival *x = &p->rival[i];
        assert_true(!x->ours && x->done && x->bytes <= p->rival[0].bytes && x->kld > 0 && x->kld_se > 0 && x->ppl > 1);
        assert_true(i == 1 || x->bytes <= p->rival[i - 1].bytes);
        assert_true(isnan(x->predicted) && strcmp(x->note, "ours is better") == 0);
    }
    assert_int_equal(find(p, "Q6_K"), SIZE_MAX); /* that is ours */
    assert_int_equal(find(p, "uniform Q6_K"), SIZE_MAX);
    const size_t k = find(p, "Q5_K_M");
    assert_true(k != SIZE_MAX);
    const struct rows ours = evaluated(r), theirs = evaluated(rival);
    double d[N_CTX * WINDOWS], var = 0;
    for (size_t i = 0; i < ours.n; i++)
        d[i] = theirs.kld[i] - ours.kld[i];
    const double more = mean(d, ours.n);
    for (size_t i = 0; i < ours.n; i++)
        var += (d[i] - more) * (d[i] - more);
    const double n = (double)ours.n;
    assert_true(fabs(p->measured / mean(ours.kld, ours.n) - 1) < 1e-9);
    assert_true(fabs(p->rival[k].kld / mean(theirs.kld, theirs.n) - 1) < 1e-9);
    assert_true(fabs(p->rival[k].more / more - 1) < 1e-9);
    assert_true(fabs(p->rival[k].more_se / sqrt(var / n / (n - 1)) - 1) < 1e-9);
    qs_proof_free(p);
    qs_recipe_free(r);
    qs_recipe_free(rival);
}

/* Bytes thrown away where they help least. */
static void test_worse(void **state)
{
    struct qs_recipe *r =
        recipe("preset = Q2_K\nsteady = yes\nrule blk\\..*ffn_gate = Q8_0\nrule blk\\..*ffn_up = Q8_0\n");
    const struct qs_prove_args a = args_of(r, 2);
    struct qs_proof *p = proof_of(&a);
    (void)state;
    assert_false(p->better);
    assert_true(p->best > 0 && p->rival[p->best].kld < p->measured);
    assert_string_equal(p->rival[p->best].note, "better than ours");
    qs_proof_free(p);
    qs_recipe_free(r);
}

/* Types that need importance weights are named, not measured; nothing is smaller than the smallest. */
static void test_left_out(void **state)
{
    struct qs_recipe *r = recipe("preset = Q2_K\n");
    struct qs_prove_args a = args_of(r, 0);
    a.n_windows = 1;
    struct qs_proof *p = proof_of(&a);
    size_t left_out = 0;
    (void)state;
    for (size_t i = 1; i < p->n; i++) {
        left_out += !p->rival[i].done;
        assert_true(p->rival[i].done || strncmp(p->rival[i].note, "left out: ", 10) == 0);
    }
    assert_true(left_out > 3);
    qs_proof_free(p);
    qs_recipe_free(r);
}

static void test_refusals(void **state)
{
    struct qs_recipe *r = recipe("preset = Q6_K\n");
    struct qs_prove_args a = args_of(r, 1);
    struct qs_err e = QS_ERR_INIT;
    struct qs_proof *p;
    (void)state;
    a.text = qs_test_file("short.txt", "a few words", 11);
    assert_int_equal(qs_prove_run(&a, NULL, &p, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "tokens"));
    a.text = "/nowhere/text";
    assert_int_equal(qs_prove_run(&a, NULL, &p, &e), QS_ENOTFOUND);
    qs_recipe_free(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_better),
        cmocka_unit_test(test_worse),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_refusals),
    };
    snprintf(text, sizeof text, "%s", qs_test_data("text/books.txt"));
    const struct mm_spec spec = { .layers = 2, .ff = 256, .vocab = 300, .byte_tokens = true };
    const char *path = qs_test_tmp_path("small.gguf");
    if (qs_pool_new(2, &pool, NULL) || mm_file(path, &spec, NULL) || qs_model_open(path, &small, NULL))
        return 1;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_model_close(small);
    qs_pool_free(pool);
    return failed;
}
