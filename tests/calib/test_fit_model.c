/* test_fit_model.c - budgets as people say them, and a small model under them: bytes, pins, ties, costs and their
 * origin. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "core/calib/fit.h"
#include "core/model/need.h"
#include "core/quant/writer.h"
#include "tests/model/make_model.h"

static struct qs_model *open_spec(const struct mm_spec *s, const char *name)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    const char *path = qs_test_tmp_path(name);
    if (mm_file(path, s, &e) || qs_model_open(path, &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

/* ---- budgets ------------------------------------------------------------------------------------------------- */

static struct qs_budget parsed(const char *text, const struct qs_model *m)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_budget b;
    if (qs_budget_parse(text, m, &b, &e))
        fail_msg("%s: %s", text, e.msg);
    return b;
}

static void refused(const char *text, const struct qs_model *m, int code, const char *word)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_budget b;
    const int rc = qs_budget_parse(text, m, &b, &e);
    if (rc != code || !strstr(e.msg, word))
        fail_msg("'%s' gave %d: %s", text, rc, e.msg);
}

static void test_budgets(void **state)
{
    (void)state;
    const struct mm_spec s = { .layers = 8, .embd = 256, .heads = 4, .kv_heads = 2, .ctx = 16384, .fill = MM_SPARSE };
    struct qs_model *m = open_spec(&s, "budgets.gguf");
    const struct qs_budget file = parsed("900 MiB", m), memory = parsed("fits in 8 GiB with 8k context", m);
    const uint64_t kv = qs_need_kv_cache(m, 8192, QS_F16);
    const uint64_t work = 512 * 4 * (m->hp.n_vocab + 2 * m->hp.n_ff + 4 * m->hp.n_embd);
    assert_int_equal(file.bytes + file.overhead, (uint64_t)900 << 20);
    assert_true(file.kv == 0 && file.overhead > 1024);
    assert_int_equal(parsed("900MiB", m).bytes, file.bytes);
    assert_int_equal(parsed("5000000", m).bytes + file.overhead, 5000000);
    assert_int_equal(parsed("0.5GiB", m).bytes + file.overhead, (uint64_t)512 << 20);
    assert_int_equal(parsed("bpw 4.5", m).bytes, (uint64_t)(4.5 * (double)m->n_weights / 8));
    assert_int_equal(parsed("4.5 bpw", m).bytes, parsed("4.5bpw", m).bytes);
    assert_true(fabs(parsed("4.5 BPW", m).bpw - 4.5) < 1e-4);
    assert_int_equal(memory.kv, kv);
    assert_int_equal(memory.overhead, work);
    assert_int_equal(memory.bytes, ((uint64_t)8 << 30) - kv - work);
    assert_int_equal(parsed("fits in 8GiB with q8_0 cache and 8k context", m).kv, qs_need_kv_cache(m, 8192, QS_Q8_0));
    assert_int_equal(parsed("fits in 8 GiB of memory, 1000 tokens of context", m).kv,
                     qs_need_kv_cache(m, 1000, QS_F16));
    assert_int_equal(parsed("fits in 8 GiB", m).kv, qs_need_kv_cache(m, 4096, QS_F16));
    assert_non_null(strstr(memory.text, "8192 tokens"));
    refused("fits in 8 GiB with 32k context", m, QS_EINVAL, "16384");
    refused("fits in 8 GiB with Q4_K cache", m, QS_EINVAL, "Q8_0");
    refused("fits in 8 GiB with bells", m, QS_EINVAL, "bells");
    refused("fits in a box", m, QS_EINVAL, "size");
    refused("fits in 1 MiB", m, QS_ELIMIT, "KV cache");
    refused("100", m, QS_EINVAL, "100 bpw");
    refused("100 bpw", m, QS_EINVAL, "bits");
    refused("-3 bpw", m, QS_EINVAL, "budget");
    refused("small", m, QS_EINVAL, "4.2GiB");
    refused("", m, QS_EINVAL, "budget");
    qs_model_close(m);
}

/* ---- a model ------------------------------------------------------------------------------------------------- */

static const int ladder[] = { QS_Q2_K, QS_Q3_K, QS_IQ4_XS, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q8_0 };
#define LADDER (sizeof ladder / sizeof *ladder)

struct bench {
    struct qs_model *m;
    struct qs_statistics s;
    struct qs_error_cell error[1024];
    struct qs_swap_cell swap[256];
    struct qs_recipe *recipe;
};

/* 2^-bits, scaled tensor by tensor; a little off the power so that types are not all on one curve. */
static double error_of(size_t tensor, int type)
{
    return (0.8 + 0.05 * (double)(tensor % 7)) * exp2(-qs_format_bpw(qs_format_by_id(type))) * (1 + 0.02 * (type % 3));
}

static double kld_of(size_t tensor) { return 0.001 * (double)(1 + tensor * tensor % 23); }

static void add_error(struct bench *b, size_t i, int type, enum qs_calib_method method, double error)
{
    b->error[b->s.n_errors++] =
        (struct qs_error_cell){ (char *)(uintptr_t)b->m->tensor[i].name, type, method, error, NAN, 0 };
}

static void add_swap(struct bench *b, size_t i, double kld)
{
    b->swap[b->s.n_swaps++] = (struct qs_swap_cell){
        (char *)(uintptr_t)b->m->tensor[i].name, QS_Q3_K, QS_CALIB_IMATRIX, kld, 0, 30, error_of(i, QS_Q3_K)
    };
}

static struct bench *setup(const struct mm_spec *spec, bool swaps)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = calloc(1, sizeof *b);
    b->m = open_spec(spec, "fit.gguf");
    b->s.error = b->error;
    b->s.swap = b->swap;
    for (size_t i = 0; i < b->m->n_tensors; i++) {
        if (!qs_preset_settable(b->m, &b->m->tensor[i]))
            continue;
        for (size_t k = 0; k < LADDER; k++)
            add_error(b, i, ladder[k], QS_CALIB_IMATRIX, error_of(i, ladder[k]));
        if (swaps)
            add_swap(b, i, kld_of(i));
    }
    assert_int_equal(qs_recipe_new(NULL, &b->recipe, &e), QS_OK);
    return b;
}

static void teardown(struct bench *b)
{
    qs_recipe_free(b->recipe);
    qs_model_close(b->m);
    free(b);
}

static struct qs_fit_args args_of(const struct bench *b, const char *budget)
{
    return (
        struct qs_fit_args){ .model = b->m, .recipe = b->recipe, .statistics = &b->s, .budget = parsed(budget, b->m) };
}

static struct qs_fit *fitted(const struct qs_fit_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit *f;
    if (qs_fit_run(a, &f, &e))
        fail_msg("%s", e.msg);
    return f;
}

static struct qs_plan *plan_of(const struct bench *b, const struct qs_recipe *r)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_plan *p;
    const struct qs_plan_args args = { .imatrix = NULL };
    if (qs_plan_make(b->m, r, &args, &p, &e))
        fail_msg("%s", e.msg);
    return p;
}

static int type_of(const struct bench *b, const struct qs_fit *f, const char *name)
{
    const struct qs_tensor *t = qs_model_find(b->m, name);
    assert_non_null(t);
    return f->choice[qs_model_index(b->m, t)].type;
}

static const struct mm_spec small = { .layers = 4, .fill = MM_SPARSE };

/* The recipe gives the types; its sum is the one of the parts, by hand; what no change of one or two tensors betters.
 */
static void test_fit(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_fit_args a = args_of(b, "4.5 bpw");
    struct qs_fit *f = fitted(&a);
    struct qs_plan *p = plan_of(b, f->recipe);
    double sum = 0;
    (void)state;
    assert_true(f->exact && f->kld && f->bytes == p->bytes && f->bytes <= a.budget.bytes);
    assert_true(f->bytes > a.budget.bytes - 64 * 1024);
    for (size_t i = 0; i < p->n; i++) {
        const struct qs_fit_choice *c = &f->choice[i];
        assert_int_equal(p->enc[i].type, c->type);
        if (!qs_preset_settable(b->m, &b->m->tensor[i])) {
            assert_true(c->up == QS_TYPE_NONE && !c->pinned);
            continue;
        }
        const double r = error_of(i, c->type) / error_of(i, QS_Q3_K);
        assert_true(fabs(c->cost / (kld_of(i) * r * r) - 1) < 1e-12);
        assert_int_equal(c->how, QS_FIT_SWAP);
        assert_int_equal(c->method, QS_CALIB_IMATRIX);
        sum += c->cost;
        if (c->up != QS_TYPE_NONE) { /* else everything would have been raised */
            const double up = error_of(i, c->up) / error_of(i, QS_Q3_K);
            assert_true(c->up_saves > 0 && fabs(c->up_saves / (c->cost - kld_of(i) * up * up) - 1) < 1e-9);
            assert_true(f->bytes + c->up_bytes > a.budget.bytes);
        }
    }
    assert_true(fabs(f->predicted / sum - 1) < 1e-12 && f->bound <= f->predicted && f->bound > 0.95 * f->predicted);
    assert_true(fabs(qs_fit_predict(&a, p) / sum - 1) < 1e-12);
    qs_plan_free(p);
    qs_fit_free(f);
    teardown(b);
}

/* A step of one tensor up pays less per byte than a step of any other down costs, or it would have been taken. */
static void test_no_better_pair(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_fit_args a = args_of(b, "3.7 bpw");
    struct qs_fit *f = fitted(&a);
    (void)state;
    for (size_t i = 0; i < b->m->n_tensors; i++)
        for (size_t k = 0; k < b->m->n_tensors; k++) {
            const struct qs_fit_choice *up = &f->choice[i], *down = &f->choice[k];
            if (i == k || up->up == QS_TYPE_NONE || down->down == QS_TYPE_NONE)
                continue;
            if (f->bytes + up->up_bytes - down->down_bytes <= a.budget.bytes)
                assert_true(up->up_saves <= down->down_costs * (1 + 1e-12));
        }
    qs_fit_free(f);
    teardown(b);
}

static void test_file(void **state)
{
    struct bench *b = setup(&small, true);
    (void)state;
    static const char *const sizes[] = { "860000", "900KiB", "1 MiB", "1.4MiB" };
    for (size_t i = 0; i < 4; i++) {
        unsigned long long size;
        struct qs_err e = QS_ERR_INIT;
        struct qs_fit_args a = args_of(b, sizes[i]);
        struct qs_fit *f = fitted(&a);
        struct qs_plan *p = plan_of(b, f->recipe);
        struct qs_writer_forecast w;
        const struct qs_writer_args args = { .path = NULL };
        assert_int_equal(qs_parse_bytes(sizes[i], &size, &e), QS_OK);
        assert_int_equal(qs_writer_forecast(p, &args, 1, &w, &e), QS_OK);
        assert_true(w.bytes <= size);
        assert_true(f->exact);
        qs_plan_free(p);
        qs_fit_free(f);
    }
    teardown(b);
}

static void test_pins(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_args a = args_of(b, "4 bpw");
    (void)state;
    assert_int_equal(qs_recipe_pin(b->recipe, "blk.1.ffn_up.weight", QS_Q8_0, &e), QS_OK);
    assert_int_equal(qs_recipe_add_rule(b->recipe, "blk\\.2\\.attn_[qk]", QS_Q2_K, &e), QS_OK);
    assert_int_equal(qs_recipe_set_option(b->recipe, QS_SET_TOKEN_EMBD_TYPE, QS_Q6_K, &e), QS_OK);
    struct qs_fit *f = fitted(&a);
    struct qs_plan *p = plan_of(b, f->recipe);
    assert_int_equal(type_of(b, f, "blk.1.ffn_up.weight"), QS_Q8_0);
    assert_int_equal(type_of(b, f, "blk.2.attn_q.weight"), QS_Q2_K);
    assert_int_equal(type_of(b, f, "token_embd.weight"), QS_Q6_K);
    for (size_t i = 0; i < p->n; i++)
        assert_int_equal(p->enc[i].type, f->choice[i].type);
    assert_true(f->choice[qs_model_index(b->m, qs_model_find(b->m, "blk.1.ffn_up.weight"))].pinned);
    assert_true(p->bytes <= a.budget.bytes);
    qs_plan_free(p);
    qs_fit_free(f);
    teardown(b);
}

static void test_recipe_text(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_args a = args_of(b, "4 bpw");
    struct qs_fit *f = fitted(&a);
    struct qs_str text = QS_STR_INIT;
    struct qs_recipe *again = NULL;
    (void)state;
    assert_int_equal(qs_recipe_print(f->recipe, &text, &e), QS_OK);
    assert_true(strncmp(text.data, "# fitted to 4 bits per weight", 29) == 0);
    assert_non_null(strstr(text.data, "steady = yes"));
    assert_non_null(strstr(text.data, "KL divergence"));
    assert_int_equal(qs_recipe_parse("again", text.data, text.len, &again, &e), QS_OK);
    assert_int_equal(again->n_pins, f->recipe->n_pins);
    assert_ptr_equal(again->preset, f->recipe->preset);
    assert_true(again->n_pins < 30); /* the preset gives some */
    qs_recipe_free(again);
    qs_str_free(&text);
    qs_fit_free(f);
    teardown(b);
}

static void test_ties(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_fit_args a = args_of(b, "4.3 bpw");
    struct qs_fit *loose = fitted(&a);
    a.tie = true;
    struct qs_fit *f = fitted(&a);
    char name[64], other[64];
    (void)state;
    for (int l = 0; l < 4; l++) {
        static const char *const pair[][2] = { { "attn_q", "attn_k" },
                                               { "attn_q", "attn_v" },
                                               { "ffn_gate", "ffn_up" } };
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, pair[k][0]);
            snprintf(other, sizeof other, "blk.%d.%s.weight", l, pair[k][1]);
            assert_int_equal(type_of(b, f, name), type_of(b, f, other));
        }
    }
    assert_true(f->predicted >= loose->predicted && f->bytes <= a.budget.bytes);
    qs_fit_free(f);
    qs_fit_free(loose);
    teardown(b);
}

static void test_frontier(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_args a = args_of(b, "4 bpw");
    struct qs_fit_point point[24];
    size_t n;
    (void)state;
    assert_int_equal(qs_fit_frontier(&a, 24, point, &n, &e), QS_OK);
    assert_true(n > 15);
    for (size_t i = 1; i < n; i++)
        assert_true(point[i].bytes > point[i - 1].bytes && point[i].predicted < point[i - 1].predicted);
    a.budget.bytes = point[n / 2].bytes;
    struct qs_fit *f = fitted(&a);
    assert_true(fabs(f->predicted / point[n / 2].predicted - 1) < 1e-12);
    qs_fit_free(f);
    teardown(b);
}

static void test_too_small(void **state)
{
    struct bench *b = setup(&small, true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_args a = args_of(b, "2 bpw");
    struct qs_fit *f;
    struct qs_fit_point point[2];
    size_t n;
    char need[64];
    (void)state;
    assert_int_equal(qs_fit_run(&a, &f, &e), QS_ELIMIT);
    assert_int_equal(qs_fit_frontier(&a, 2, point, &n, &e), QS_OK);
    snprintf(need, sizeof need, "(%llu bytes)", (unsigned long long)point[0].bytes);
    qs_fit_run(&a, &f, &e);
    assert_non_null(strstr(e.msg, need));
    teardown(b);
}

/* ---- costs --------------------------------------------------------------------------------------------------- */

/* Without its own swap a tensor takes the median of its role, without any of the role that of all (the head 100 times it). */
static void test_medians(void **state)
{
    struct bench *b = setup(&small, false);
    (void)state;
    double of_v[8];
    size_t n_v = 0;
    for (size_t i = 0; i < b->m->n_tensors; i++) {
        const struct qs_tensor *t = &b->m->tensor[i];
        if (t->role != QS_ROLE_ATTN_V || t->layer == 3)
            continue;
        add_swap(b, i, kld_of(i));
        of_v[n_v++] = kld_of(i) / pow(error_of(i, QS_Q3_K), 2);
    }
    assert_int_equal(n_v, 3);
    const char *head = qs_model_find(b->m, "output.weight") ? "output.weight" : "token_embd.weight";
    double median =
        of_v[0] + of_v[1] + of_v[2] - fmax(fmax(of_v[0], of_v[1]), of_v[2]) - fmin(fmin(of_v[0], of_v[1]), of_v[2]);
    struct qs_fit_args a = args_of(b, "4 bpw");
    struct qs_fit *f = fitted(&a);
    for (size_t i = 0; i < b->m->n_tensors; i++) {
        const struct qs_tensor *t = &b->m->tensor[i];
        const struct qs_fit_choice *c = &f->choice[i];
        if (!qs_preset_settable(b->m, t))
            continue;
        const bool v = t->role == QS_ROLE_ATTN_V;
        assert_int_equal(c->how, v && t->layer < 3 ? QS_FIT_SWAP : v ? QS_FIT_ROLE : QS_FIT_ALL);
        const double times = strcmp(t->name, head) == 0 ? 100 : 1;
        if (c->how != QS_FIT_SWAP)
            assert_true(fabs(c->cost / (times * median * pow(error_of(i, c->type), 2)) - 1) < 1e-9);
    }
    qs_fit_free(f);
    b->s.n_swaps = 0;
    f = fitted(&a);
    assert_false(f->kld);
    assert_non_null(strstr(f->base, "no KL divergence"));
    assert_int_equal(f->choice[0].how, QS_FIT_ERROR);
    qs_fit_free(f);
    teardown(b);
}

/* GPTQ's errors at one type alone: the others are converted by the tensor's own ratio, codebooks keep theirs. */
static void test_conversion(void **state)
{
    struct bench *b = setup(&small, true);
    (void)state;
    for (size_t i = 0; i < b->m->n_tensors; i++)
        if (qs_preset_settable(b->m, &b->m->tensor[i])) {
            add_error(b, i, QS_Q4_K, QS_CALIB_GPTQ, error_of(i, QS_Q4_K) * (0.5 + 0.01 * (double)(i % 10)));
            add_error(b, i, QS_IQ3_S, QS_CALIB_IMATRIX, error_of(i, QS_Q3_K) * 0.99);
        }
    struct qs_fit_args a = args_of(b, "5 bpw");
    struct qs_fit *f = fitted(&a);
    assert_non_null(strstr(f->base, "GPTQ"));
    size_t converted = 0, n = 0;
    char words[64];
    for (size_t i = 0; i < b->m->n_tensors; i++) {
        const struct qs_fit_choice *c = &f->choice[i];
        if (!qs_preset_settable(b->m, &b->m->tensor[i]))
            continue;
        n++;
        converted += c->type != QS_Q4_K;
        assert_int_equal(c->method, QS_CALIB_GPTQ);
        assert_true(fabs(c->error / (error_of(i, c->type) * (0.5 + 0.01 * (double)(i % 10))) - 1) < 1e-12);
    }
    snprintf(words, sizeof words, "of %zu of %zu matrices converted", converted, n);
    assert_true(converted > 0 && strstr(f->base, words));
    qs_fit_free(f);
    const int codebook = QS_IQ3_S;
    a.type = &codebook;
    a.n_types = 1;
    f = fitted(&a);
    assert_int_equal(f->choice[0].type, QS_IQ3_S);
    assert_int_equal(f->choice[0].method, QS_CALIB_IMATRIX);
    assert_true(fabs(f->choice[0].error / (error_of(0, QS_Q3_K) * 0.99) - 1) < 1e-12);
    qs_fit_free(f);
    a = args_of(b, "5 bpw");
    a.imatrix_only = true;
    f = fitted(&a);
    assert_null(strstr(f->base, "GPTQ"));
    qs_fit_free(f);
    teardown(b);
}

/* Nothing but the survey; rows that are no multiple of 256 get the older types. */
static void test_survey(void **state)
{
    const struct mm_spec odd = { .layers = 1, .embd = 96, .ff = 288, .heads = 4, .kv_heads = 4 };
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec(&odd, "odd.gguf");
    struct qs_recipe *r;
    struct qs_survey *s;
    struct qs_pool *pool;
    const struct qs_survey_args want = { .errors = true, .no_cache = true };
    (void)state;
    assert_int_equal(qs_recipe_new(NULL, &r, &e), QS_OK);
    assert_int_equal(qs_pool_new(2, &pool, &e), QS_OK);
    if (qs_survey_run(m, &want, pool, NULL, &s, &e))
        fail_msg("%s", e.msg);
    const struct qs_fit_args a = { .model = m, .recipe = r, .survey = s, .budget = parsed("5.2 bpw", m) };
    struct qs_fit *f = fitted(&a);
    bool older = false;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const int t = f->choice[i].type;
        assert_int_equal(m->tensor[i].ne[0] % qs_format_by_id(t)->block, 0);
        older |= t == QS_Q4_0 || t == QS_Q4_1 || t == QS_Q5_0 || t == QS_Q5_1;
    }
    assert_true(older && f->bytes <= a.budget.bytes);
    assert_non_null(strstr(f->base, "errors of the weights"));
    qs_fit_free(f);
    qs_survey_free(s);
    qs_recipe_free(r);
    qs_model_close(m);
    qs_pool_free(pool);
}

static int fit_body(void *ctx, struct qs_err *e)
{
    struct qs_fit *f = NULL;
    const int rc = qs_fit_run(ctx, &f, e);
    qs_fit_free(f);
    return rc;
}

static void test_memory(void **state)
{
    const struct mm_spec one = { .layers = 1, .fill = MM_SPARSE };
    struct bench *b = setup(&one, true);
    struct qs_fit_args a = args_of(b, "4 bpw");
    (void)state;
    qs_test_each_alloc(fit_body, &a);
    teardown(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budgets),  cmocka_unit_test(test_fit),         cmocka_unit_test(test_no_better_pair),
        cmocka_unit_test(test_file),     cmocka_unit_test(test_pins),        cmocka_unit_test(test_recipe_text),
        cmocka_unit_test(test_ties),     cmocka_unit_test(test_frontier),    cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_medians),  cmocka_unit_test(test_conversion),  cmocka_unit_test(test_survey),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
