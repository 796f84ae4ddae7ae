/* test_awq_model.c - a model whose norm channels were scaled up 30 times and the next columns down 30 times: it says
 * the same, those channels are named, its quantized form is bad, and AWQ repairs it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq.h"
#include "core/calib/corpus.h"
#include "core/calib/stream.h"
#include "core/eval/kld.h"
#include "core/model/vocabulary.h"
#include "tests/calib/damage.h"
#include "tests/lib/qs_test.h"

#define CONTEXT 192
#define SAMPLE 256
#define TYPE QS_Q4_0

static const size_t loud[] = { 3, 40, 77, 111, 150, 201 };
#define N_LOUD (sizeof loud / sizeof *loud)

static struct qs_pool *pool;
static struct qs_corpus *corpus;

struct known { struct qs_hessian *h; struct qs_input_stats s; uint64_t count; };

struct bench {
    struct qs_model *m;
    struct qs_engine *x;
    struct qs_inputs *in;
    struct known *known; /* per input */
};

static void check(int rc, const struct qs_err *e)
{
    if (rc != QS_OK)
        fail_msg("%s", e->msg);
}

static struct bench open_bench(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct bench b = { 0 };
    const struct qs_engine_args args = { pool, QS_EXACT, QS_PRIO_JOB, 0, 0 };
    check(qs_model_open(path, &b.m, &e), &e);
    check(qs_engine_new(b.m, &args, &b.x, &e), &e);
    check(qs_inputs_new(b.x, &b.in, &e), &e);
    return b;
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; b->known && i < b->in->n; i++) {
        qs_hessian_free(b->known[i].h);
        qs_free(b->known[i].s.sum2);
        qs_free(b->known[i].s.max);
        qs_free(b->known[i].s.row);
    }
    qs_free(b->known);
    qs_inputs_free(b->in);
    qs_engine_free(b->x);
    qs_model_close(b->m);
}

/* ---- statistics ---- */

static int take(void *ctx, const struct qs_stream_rows *r, struct qs_err *e)
{
    struct bench *b = ctx;
    for (size_t i = 0; i < b->in->n; i++) {
        struct known *k = &b->known[i];
        if (b->in->input[i].layer != r->layer || b->in->input[i].point != r->point)
            continue;
        for (size_t t = 0; t < r->n; t++) {
            const float *x = r->x + t * r->cols;
            for (size_t j = 0; j < r->cols; j++) {
                k->s.sum2[j] += (double)x[j] * (double)x[j];
                k->s.sum[j] += (double)x[j];
                k->s.max[j] = fabsf(x[j]) > k->s.max[j] ? fabsf(x[j]) : k->s.max[j];
            }
            if (k->count++ % 4 == 0 && k->s.n_rows < SAMPLE)
                memcpy(k->s.row + k->s.n_rows++ * r->cols, x, r->cols * sizeof *x);
        }
        return qs_hessian_add(k->h, r->x, NULL, r->n, r->cols, e);
    }
    return QS_OK;
}

static void collect(struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_stream *s;
    const struct qs_stream_args args = { b->x, corpus->token, corpus->n_fit, CONTEXT, 0 };
    b->known = qs_calloc(b->in->n, sizeof *b->known);
    assert_non_null(b->known);
    for (size_t i = 0; i < b->in->n; i++) {
        struct known *k = &b->known[i];
        const size_t cols = b->in->input[i].cols;
        check(qs_hessian_new(cols, false, pool, QS_PRIO_JOB, &k->h, &e), &e);
        k->s = (struct qs_input_stats){ .layer = b->in->input[i].layer, .point = b->in->input[i].point, .cols = cols,
                                        .experts = 1, .count = &k->count, .sum2 = qs_calloc(2 * cols, sizeof(double)),
                                        .max = qs_calloc(cols, sizeof(float)),
                                        .row = qs_calloc(SAMPLE * cols, sizeof(float)) };
        assert_true(k->s.sum2 && k->s.max && k->s.row);
        k->s.sum = k->s.sum2 + cols;
    }
    check(qs_stream_new(&args, &s, &e), &e);
    for (size_t l = 0; l < qs_engine_config(b->x)->n_layer; l++)
        for (int half = QS_HALF_ATTN; half <= QS_HALF_FFN; half++)
            check(qs_stream_half(s, l, (enum qs_half)half, (1u << QS_POINTS) - 1, true, take, b, NULL, &e), &e);
    qs_stream_free(s);
    for (size_t i = 0; i < b->in->n; i++)
        check(qs_hessian_end(b->known[i].h, &e), &e);
}

static bool is_norm_input(const struct qs_input *in)
{
    return in->point == QS_POINT_ATTN_IN || in->point == QS_POINT_FFN_IN;
}

/* How many inputs behind norms name exactly the damaged channels as their worst. */
static size_t named(const struct bench *b, size_t *of)
{
    size_t n = 0;
    *of = 0;
    for (size_t i = 0; i < b->in->n; i++) {
        struct qs_channel_facts f;
        size_t found = 0;
        if (!is_norm_input(&b->in->input[i]))
            continue;
        qs_channel_facts(&b->known[i].s, b->known[i].count, &f);
        for (size_t k = 0; k < N_LOUD; k++)
            for (size_t c = 0; c < N_LOUD; c++)
                found += f.worst[k] == loud[c];
        n += found == N_LOUD;
        ++*of;
    }
    return n;
}

/* ---- quantizing ---- */

static float *floats_of(const struct bench *b, size_t tensor)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_weight *w = qs_engine_weight(b->x, tensor);
    float *out = qs_malloc(w->rows * w->ne[0] * sizeof *out);
    assert_non_null(out);
    check(qs_weight_decode(w, 0, w->rows, out, &e), &e);
    return out;
}

/* All matrices but the head, by the weighted fit. */
static void quantize(struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_format *f = qs_format_by_id(TYPE);
    for (size_t i = 0; i < b->in->n; i++) {
        const struct qs_input *in = &b->in->input[i];
        float *weight = qs_malloc(in->cols * sizeof *weight);
        for (size_t j = 0; j < in->cols; j++)
            weight[j] = b->known[i].h->h[j * (in->cols + 1)];
        for (size_t t = 0; in->point != QS_POINT_HEAD && t < in->n_tensors; t++) {
            const struct qs_weight *w = qs_engine_weight(b->x, in->tensor[t]);
            struct qs_weight *made;
            struct qs_parts to;
            float *x = floats_of(b, in->tensor[t]);
            void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, w->rows, in->cols));
            assert_non_null(scratch);
            check(qs_weight_heap(f, w->ne, &made, &to, &e), &e);
            qs_format_encode(f, &(struct qs_rows){ x, w->rows, in->cols, in->cols, weight }, &to, scratch);
            check(qs_engine_set(b->x, in->tensor[t], made, &e), &e);
            qs_weight_unref(made);
            qs_free(scratch);
            qs_free(x);
        }
        qs_free(weight);
    }
}

/* Scales of every input behind a norm, folded. */
static void scale(struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    for (size_t i = 0; i < b->in->n; i++) {
        const struct qs_input *in = &b->in->input[i];
        struct qs_awq_fold f;
        struct qs_awq_matrix m[8];
        struct qs_awq_result r;
        float *x[8], *s = qs_malloc(in->cols * sizeof *s);
        check(qs_awq_fold_of(b->x, in, &f, &e), &e);
        if (!is_norm_input(in)) {
            qs_free(s);
            continue;
        }
        for (size_t t = 0; t < in->n_tensors; t++) {
            x[t] = floats_of(b, in->tensor[t]);
            m[t] = (struct qs_awq_matrix){ x[t], (size_t)b->m->tensor[in->tensor[t]].ne[1], QS_TYPE_NONE, NULL };
        }
        const struct qs_awq_search a = { &b->known[i].s, 0, b->known[i].h, TYPE, true, pool, QS_PRIO_JOB };
        check(qs_awq_scales(&a, m, in->n_tensors, in->cols, 1, 1, s, &r, &e), &e);
        assert_true(r.after < r.before);
        check(qs_awq_fold_engine(b->x, &f, s, &e), &e);
        qs_awq_rescale_hessian(b->known[i].h, s);
        for (size_t t = 0; t < in->n_tensors; t++)
            qs_free(x[t]);
        qs_free(s);
    }
}

static float *logits_of(const struct bench *b)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s;
    const struct qs_session_args args = { CONTEXT, QS_F32, QS_F32, false };
    const size_t vocab = qs_engine_config(b->x)->n_vocab;
    float *out = qs_malloc(corpus->n_held * CONTEXT * vocab * sizeof *out);
    assert_non_null(out);
    check(qs_session_new(b->x, &args, &s, &e), &e);
    for (size_t i = 0; i < corpus->n_held; i++) {
        qs_session_keep(s, 0);
        const int32_t *token = corpus->token + (corpus->n_fit + i) * CONTEXT;
        check(qs_session_feed(s, token, CONTEXT, 0, out + i * CONTEXT * vocab, &e), &e);
    }
    qs_session_free(s);
    return out;
}

static double kld_of(const struct bench *b, const float *base)
{
    const size_t vocab = qs_engine_config(b->x)->n_vocab, n = corpus->n_held * CONTEXT;
    float *now = logits_of(b);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        struct qs_kld_row r;
        qs_kld_row(base + i * vocab, now + i * vocab, vocab, 0, &r);
        sum += r.kld / (double)n;
    }
    qs_free(now);
    return sum;
}

/* Held-out divergence of the quantized model from `base`; *same: of the model as it is. */
static double quantized(const char *path, const float *base, bool awq, double *same, size_t *names, size_t *of)
{
    struct bench b = open_bench(path);
    *same = kld_of(&b, base);
    collect(&b);
    *names = named(&b, of);
    if (awq)
        scale(&b);
    const double folded = kld_of(&b, base);
    assert_true(folded < 1e-6);
    quantize(&b);
    const double out = kld_of(&b, base);
    close_bench(&b);
    return out;
}

static void test_repair(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    const char *good = qs_test_src("demo/storyteller-9m-f16.gguf");
    char bad[512];
    struct bench b = open_bench(good);
    (void)snprintf(bad, sizeof bad, "%s", qs_test_tmp_path("damaged.gguf"));
    check(damage_model(b.m, bad, loud, N_LOUD, 30, &e), &e);
    float *base = logits_of(&b);
    close_bench(&b);
    double same, moved, same_awq;
    size_t names, of, names_bad, of_bad;
    good = qs_test_src("demo/storyteller-9m-f16.gguf");
    const double was = quantized(good, base, false, &same, &names, &of);
    const double broken = quantized(bad, base, false, &moved, &names_bad, &of_bad);
    const double mended = quantized(bad, base, true, &same_awq, &names_bad, &of_bad);
    const double better = quantized(good, base, true, &same, &names, &of);
    print_message("%s: KLD undamaged %.5f (AWQ %.5f), damaged %.5f, repaired %.5f; unquantized %.1e; the damaged "
                  "channels are the worst of %zu of %zu inputs (undamaged: %zu)\n", qs_type_name(TYPE), was, better,
                  broken, mended, moved, names_bad, of_bad, names);
    assert_true(moved < 1e-7);
    assert_true(names_bad == of_bad && names == 0);
    assert_true(broken > 1.5 * was && mended < 1.1 * was);
    qs_free(base);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_vocab *v;
    const struct qs_corpus_source source = { qs_test_data("text/books-calibration.txt"), 1 };
    const struct qs_corpus_args args = { .source = &source, .n_sources = 1, .n_ctx = CONTEXT, .n_windows = 16,
                                         .held_out = 0.25, .seed = 1 };
    if (qs_pool_new(0, &pool, &e) != QS_OK ||
        qs_model_open(qs_test_src("demo/storyteller-9m-f16.gguf"), &m, &e) != QS_OK ||
        qs_model_vocab(m, &v, &e) != QS_OK || qs_corpus_open(&args, v, NULL, &corpus, &e) != QS_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_repair) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_corpus_free(corpus);
    qs_vocab_free(v);
    qs_model_close(m);
    qs_pool_free(pool);
    return failed;
}
