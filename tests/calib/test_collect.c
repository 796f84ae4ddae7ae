/* test_collect.c - statistics against a plain feed with taps, errors of types against plainly written ones; what is not
 * finite and what stands out is named. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/lattice.h"
#include "tests/calib/collect_bench.h"
#include "tests/model/make_model.h"
#include "tests/model/tiny.h"

/* ---- rows of a plain feed ---- */

struct rows { float *x; size_t n, cols, used; uint32_t *expert; /* of each row; used of a token */ };

/* What enters the matrices at one point, of all windows; with routed experts a row for every pair. */
static struct rows rows_at(const struct bench *b, int layer, enum qs_point p)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s = NULL;
    const struct qs_config *c = qs_engine_config(b->x);
    const size_t windows = b->corpus.n_fit + b->corpus.n_held, cols = qs_engine_point_cols(b->x, layer, p);
    const bool routed = p == QS_POINT_EXPERTS_IN || p == QS_POINT_EXPERTS_DOWN;
    const size_t used = routed ? c->n_expert_used : 1, all = windows * CONTEXT * used;
    struct rows r = { qs_calloc(all, cols * sizeof(float)), all, cols, used, qs_calloc(all, sizeof(uint32_t)) };
    uint32_t *row = qs_calloc(all, sizeof *row);
    struct qs_tap_point tap = { layer, p, { .kind = routed ? QS_TAP_ROUTES : QS_TAP_ROWS, .cols = cols, .rows = r.x, .max_rows = all,
                                            .pair_row = row, .pair_expert = r.expert } };
    float *logits = qs_calloc(CONTEXT, c->n_vocab * sizeof *logits);
    const struct qs_session_args sa = { CONTEXT, QS_F32, QS_F32, false };
    assert_int_equal(qs_session_new(b->x, &sa, &s, &e), QS_OK);
    assert_int_equal(qs_session_taps(s, &tap, 1, &e), QS_OK);
    for (size_t w = 0; w < windows; w++) {
        qs_session_keep(s, 0);
        assert_int_equal(qs_session_feed(s, b->token + w * CONTEXT, CONTEXT, 0, logits, &e), QS_OK);
    }
    assert_int_equal(tap.tap.n_rows, all);
    qs_session_free(s);
    qs_free(logits);
    qs_free(row);
    return r;
}

static void rows_free(struct rows *r)
{
    qs_free(r->x);
    qs_free(r->expert);
}

static size_t fit_rows(const struct bench *b, const struct rows *r) { return b->corpus.n_fit * CONTEXT * r->used; }

/* ---- statistics ---- */

static void check_sums(const struct qs_input_stats *s, const struct rows *r, size_t n)
{
    const size_t all = s->experts * s->cols;
    double *sum2 = qs_calloc(all, sizeof *sum2), *sum = qs_calloc(all, sizeof *sum), *size = qs_calloc(all, sizeof *size);
    float *max = qs_calloc(all, sizeof *max);
    uint64_t *count = qs_calloc(s->experts, sizeof *count);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < s->cols; j++) {
            const size_t at = r->expert[i] * s->cols + j;
            const float v = r->x[i * s->cols + j];
            count[r->expert[i]] += j == 0;
            sum2[at] += (double)v * (double)v;
            sum[at] += (double)v;
            size[at] += fabs((double)v);
            max[at] = fmaxf(max[at], fabsf(v));
        }
    for (size_t x = 0; x < s->experts; x++)
        assert_int_equal(s->count[x], count[x]);
    for (size_t at = 0; at < all; at++) {
        assert_true(fabs(s->sum2[at] - sum2[at]) <= 1e-7 * sum2[at]); /* rounded to single precision by sealing */
        assert_true(fabs(s->sum[at] - sum[at]) <= 1e-7 * size[at]);
        assert_true(!(s->max[at] < max[at]) && !(s->max[at] > max[at]));
    }
    qs_free(sum2);
    qs_free(sum);
    qs_free(size);
    qs_free(max);
    qs_free(count);
}

/* Each row of the sample is a row of the text, further on than the one before it; none lies more than twice the usual
 * distance from its neighbour. */
static void check_sample(const struct qs_input_stats *s, const struct rows *r, size_t n)
{
    size_t at = 0, before = 0;
    assert_int_equal(s->n_rows, n < QS_SAMPLE_ROWS ? n : QS_SAMPLE_ROWS);
    for (size_t i = 0; i < s->n_rows; i++, at++) {
        for (; at < n; at++) {
            bool same = r->expert[at] == s->row_expert[i];
            float most = 0;
            for (size_t j = 0; j < s->cols; j++)
                most = fmaxf(most, fabsf(r->x[at * s->cols + j]));
            for (size_t j = 0; same && j < s->cols; j++) /* halves after sealing */
                same = fabsf(r->x[at * s->cols + j] - s->row[i * s->cols + j]) <= most / 1000;
            if (same)
                break;
        }
        assert_true(at < n);
        assert_true(at - before <= 2 * (n / s->n_rows + 1) * r->used);
        before = at;
    }
    assert_true(n - before <= 2 * (n / s->n_rows + 1) * r->used);
}

static void test_statistics(void **state)
{
    static const char *const models[] = { "llama", "gemma2", "phi3", "qwen2moe", "gpt-oss" };
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct bench *b = bench_of(tiny_path(models[i], ""), FIT, HELD, 2, 0);
        const struct qs_collect_args a = args_of(b, 2);
        struct qs_statistics *s = collected(&a);
        struct qs_key key;
        assert_int_equal(s->n_inputs, b->in->n);
        assert_int_equal(s->tokens, FIT * CONTEXT);
        assert_int_equal(s->windows, FIT);
        assert_int_equal(s->n_ctx, CONTEXT);
        assert_string_equal(s->dataset, "words.txt 100%");
        assert_int_equal(qs_model_content_key(b->m, &key, NULL), QS_OK);
        assert_true(qs_key_equal(s->model, key) && qs_key_equal(s->corpus, b->corpus.key));
        for (size_t k = 0; k < s->n_inputs; k++) {
            struct rows r = rows_at(b, s->input[k].layer, s->input[k].point);
            check_sums(&s->input[k], &r, fit_rows(b, &r));
            check_sample(&s->input[k], &r, fit_rows(b, &r));
            assert_int_equal(s->input[k].nonfinite, 0);
            rows_free(&r);
            for (size_t t = 0; t < b->in->input[k].n_tensors; t++)
                assert_non_null(qs_imatrix_find(s->imatrix, b->m->tensor[b->in->input[k].tensor[t]].name));
        }
        qs_statistics_free(s);
        bench_free(b);
    }
}

/* Small random weights; token 9 has all it has in one channel, token 7 may be no number at all. */
static void odd_weights(void *ctx, const char *name, uint64_t row, uint64_t cols, float *x)
{
    uint64_t seed = row * 977 + strlen(name) * 31 + (name[4] - '0') * 7919u;
    (void)ctx;
    for (uint64_t j = 0; j < cols; j++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[j] = (float)((double)(seed >> 40) / 16777216.0 - 0.5) * 0.1f;
        if (strstr(name, "norm"))
            x[j] = 1;
        if (strcmp(name, "token_embd.weight") == 0 && row == 9)
            x[j] = j == 33 ? 1 : 0;
        if (strcmp(name, "token_embd.weight") == 0 && row == 7 && ctx)
            x[j] = NAN;
    }
}

static const char *odd_model(const char *name, bool bad)
{
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec spec = { .layers = 2, .embd = 256, .ff = 96, .heads = 4, .kv_heads = 2, .vocab = 60, .fill = MM_CUSTOM,
                                  .custom = odd_weights, .ctx_arg = bad ? &e : NULL, .type = QS_F32, .type_set = true, .untied = true };
    const char *path = qs_test_tmp_path(name);
    if (mm_file(path, &spec, &e))
        fail_msg("%s", e.msg);
    return path;
}

static void test_massive(void **state)
{
    (void)state;
    struct bench *b = bench_of(odd_model("odd.gguf", false), FIT, HELD, 2, 0);
    for (size_t i = 0; i < (FIT + HELD) * CONTEXT; i++)
        b->token[i] = (int32_t)(i % 5);
    b->token[3 * CONTEXT + 17] = b->token[12 * CONTEXT] = 9;
    b->token[(FIT + 2) * CONTEXT] = 9; /* held out: not looked at */
    const struct qs_collect_args a = args_of(b, 2);
    struct qs_statistics *s = collected(&a);
    const struct qs_input_stats *first = qs_statistics_of(s, 0, QS_POINT_ATTN_IN);
    assert_int_equal(first->n_massive, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct qs_massive *m = &first->massive[i];
        assert_int_equal(m->window, i ? 12 : 3);
        assert_int_equal(m->pos, i ? 0 : 17);
        assert_int_equal(m->token, 9);
        assert_true(fabsf(m->max - 16) < 0.1f && m->ratio > 8 && m->ratio < 16); /* all of 256 channels in one */
    }
    struct qs_channel_facts facts;
    qs_channel_facts(first, s->tokens, &facts);
    assert_int_equal(facts.worst[0], 33);
    qs_statistics_free(s);
    bench_free(b);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench *b = bench_of(odd_model("bad.gguf", true), FIT, HELD, 1, 0);
    for (size_t i = 0; i < (FIT + HELD) * CONTEXT; i++)
        b->token[i] = (int32_t)(i % 5);
    b->token[4 * CONTEXT + 10] = 7;      /* from there on the window is spoilt: 14 rows */
    b->token[(FIT + 1) * CONTEXT] = 7;   /* and the whole of one that is held out */
    struct qs_collect_args a = args_of(b, 1);
    struct qs_statistics *s = collected(&a);
    const struct qs_input_stats *first = qs_statistics_of(s, 0, QS_POINT_ATTN_IN), *then = qs_statistics_of(s, 0, QS_POINT_ATTN_OUT);
    assert_int_equal(first->nonfinite, 2);
    assert_int_equal(first->bad_window, 4);
    assert_int_equal(first->count[0], FIT * CONTEXT - 1);
    assert_int_equal(then->nonfinite, CONTEXT - 10 + CONTEXT);
    assert_int_equal(then->count[0], FIT * CONTEXT - (CONTEXT - 10));
    for (size_t i = 0; i < then->n_rows * then->cols; i++)
        assert_true(isfinite(then->row[i]));
    qs_statistics_free(s);
    for (size_t w = 0; w < FIT + HELD; w++)
        b->token[w * CONTEXT] = 7;
    b->corpus.n_fit = 5;
    assert_int_equal(qs_collect_run(&a, NULL, &s, &e), QS_EFORMAT);
    if (!strstr(e.msg, "layer 0, attn_out") || !strstr(e.msg, "window 1"))
        fail_msg("%s", e.msg);
    bench_free(b);
}

/* ---- errors ---- */

/* Sums of one expert. */
static double *hessian_of(const struct rows *r, size_t from, size_t to, size_t expert)
{
    double *h = qs_calloc(r->cols * r->cols, sizeof *h);
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; r->expert[i] == expert && j < r->cols; j++)
            for (size_t k = 0; k < r->cols; k++)
                h[j * r->cols + k] += (double)r->x[i * r->cols + j] * (double)r->x[i * r->cols + k];
    return h;
}

static double energy(const double *h, const float *d, size_t rows, size_t cols)
{
    double sum = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < cols; j++)
            for (size_t k = 0; k < cols; k++)
                sum += (double)d[r * cols + j] * h[j * cols + k] * (double)d[r * cols + k];
    return sum;
}

/* The weighted fit's error, and the weights, under both Hessians, added to sums. */
struct oracle { double fit, held, fit_all, held_all; };

static void add_expert(const struct bench *b, size_t tensor, size_t expert, const float *importance, const double *fit,
                       const double *held, int type, struct oracle *to)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_tensor *t = &b->m->tensor[tensor];
    const struct qs_format *f = qs_format_by_id(type);
    const size_t rows = (size_t)t->ne[1], cols = (size_t)t->ne[0];
    float *w = qs_calloc(rows * cols, sizeof *w), *made = qs_calloc(rows * cols, sizeof *made);
    uint8_t *bytes = qs_calloc(rows, qs_format_row_bytes(f, cols));
    void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, rows, cols));
    assert_int_equal(qs_weight_decode(qs_engine_weight(b->x, tensor), expert * rows, rows, w, &e), QS_OK);
    const struct qs_rows in = { w, rows, cols, cols, importance };
    const struct qs_parts parts = { .p = { bytes } };
    const struct qs_const_parts from = { .p = { bytes } };
    qs_format_encode(f, &in, &parts, scratch);
    qs_format_ops(type)->decode(&from, rows, cols, made, cols);
    for (size_t i = 0; i < rows * cols; i++)
        made[i] -= w[i];
    to->fit += energy(fit, made, rows, cols);
    to->held += energy(held, made, rows, cols);
    to->fit_all += energy(fit, w, rows, cols);
    to->held_all += energy(held, w, rows, cols);
    qs_free(w);
    qs_free(made);
    qs_free(bytes);
    qs_free(scratch);
}

static void check_cells(const struct qs_statistics *s, const char *name, int type, const struct oracle *o)
{
    const struct qs_error_cell *c = qs_statistics_error(s, name, type, QS_CALIB_IMATRIX);
    const struct qs_error_cell *g = qs_statistics_error(s, name, type, QS_CALIB_GPTQ);
    const double held = sqrt(o->held / o->held_all), fit = sqrt(o->fit / o->fit_all);
    assert_non_null(c);
    assert_int_equal(g != NULL, qs_lattice_of(type) != NULL);
    if (!(fabs(c->error / held - 1) < 1e-4) || !(fabs(c->fitted / fit - 1) < 1e-4))
        fail_msg("%s as %s: %g, %g; should be %g, %g", name, qs_type_name(type), c->error, c->fitted, held, fit);
    if (g && !(g->fitted < c->fitted && g->fitted > 0 && g->error > 0))
        fail_msg("%s as %s: GPTQ %g, weighted fit %g", name, qs_type_name(type), g->fitted, c->fitted);
}

static void check_errors(const struct bench *b, const struct qs_statistics *s, size_t input, size_t n_types)
{
    const struct qs_input *in = &b->in->input[input];
    struct rows r = rows_at(b, in->layer, in->point);
    static struct oracle o[8][TYPES];
    memset(o, 0, sizeof o);
    for (size_t x = 0; x < in->experts; x++) {
        double *fit = hessian_of(&r, 0, fit_rows(b, &r), x), *held = hessian_of(&r, fit_rows(b, &r), r.n, x);
        for (size_t k = 0; s->input[input].count[x] && k < in->n_tensors; k++) {
            const float *importance = qs_imatrix_find(s->imatrix, b->m->tensor[in->tensor[k]].name)->value + x * in->cols;
            for (size_t i = 0; i < n_types; i++)
                if (in->cols % qs_format_by_id(bench_types[i])->block == 0)
                    add_expert(b, in->tensor[k], x, importance, fit, held, bench_types[i], &o[k][i]);
        }
        qs_free(fit);
        qs_free(held);
    }
    for (size_t k = 0; k < in->n_tensors; k++)
        for (size_t i = 0; i < n_types; i++)
            if (in->cols % qs_format_by_id(bench_types[i])->block == 0)
                check_cells(s, b->m->tensor[in->tensor[k]].name, bench_types[i], &o[k][i]);
    rows_free(&r);
}

static void test_errors(void **state)
{
    (void)state;
    struct bench *b = bench_of(wide_model(), FIT, HELD, 3, 0);
    struct qs_collect_args a = with_types(b, 3);
    a.n_types = TYPES;
    struct qs_statistics *s = collected(&a);
    check_errors(b, s, 0, TYPES);
    check_errors(b, s, b->in->n - 1, TYPES);
    qs_statistics_free(s);
    bench_free(b);
    b = bench_of(tiny_path("qwen2moe", ""), FIT, HELD, 3, 0); /* routed and shared experts */
    const struct qs_collect_args routed = with_types(b, 3);
    s = collected(&routed);
    for (size_t i = 0; i < b->in->n; i++)
        check_errors(b, s, i, routed.n_types);
    qs_statistics_free(s);
    bench_free(b);
    b = bench_of(tiny_path("llama", ""), FIT, 0, 3, 0); /* nothing held out; rows that super-blocks do not fit */
    const struct qs_collect_args small = with_types(b, 3);
    s = collected(&small);
    for (size_t i = 0; i < s->n_errors; i++) {
        assert_true(s->error[i].type == QS_Q4_0 || s->error[i].type == QS_Q8_0);
        assert_true(s->error[i].error > 0 && !(s->error[i].error < s->error[i].fitted) && !(s->error[i].error > s->error[i].fitted));
    }
    assert_true(s->n_errors > 0);
    qs_statistics_free(s);
    bench_free(b);
}

static void test_refusals(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s = NULL;
    struct bench *b = bench_of(tiny_path("llama", ""), 2, 1, 1, 0);
    struct qs_collect_args a = args_of(b, 1);
    const int internal = QS_Q8_K;
    (void)state;
    b->corpus.n_fit = 0;
    assert_int_equal(qs_collect_run(&a, NULL, &s, &e), QS_EINVAL);
    b->corpus.n_fit = 2;
    a.type = &internal;
    a.n_types = 1;
    assert_int_equal(qs_collect_run(&a, NULL, &s, &e), QS_EINVAL);
    bench_free(b);
}

int main(void)
{
    qs_test_home();
    if (bench_pools())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_massive),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_refusals),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    bench_pools_free();
    return rc;
}
