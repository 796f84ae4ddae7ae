/* test_forward.c - the forward pass of every architecture against transformers, on the tiny models of tests/model/tiny.
 *
 * Each model is run in exact precision in one batch, token by token and cut at odd places, with several numbers of threads: the
 * logits are those of the golden to a relative RMS of 1e-4, and the same bits in all these ways. Then each feature that
 * the model has is switched off inside the engine: the golden must not be met any more.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/engine_internal.h"
#include "tests/lib/qs_test.h"
#include "tests/model/tiny.h"

#define CLOSE 1e-4

static struct qs_pool *pool;

static struct qs_session *session_of(struct qs_engine *x, size_t n_ctx)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s;
    const struct qs_session_args args = { n_ctx, QS_F32, QS_F32, false };
    if (qs_session_new(x, &args, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return s;
}

/* Feeds the golden's tokens in pieces of the given sizes (repeated; 0 ends the list). */
static float *logits_of(struct qs_engine *x, const struct tiny_golden *g, const size_t *cut)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s = session_of(x, g->n_ctx);
    float *out = qs_malloc(g->n * g->vocab * sizeof *out);
    assert_non_null(out);
    for (size_t at = 0, i = 0; at < g->n; i++) {
        if (cut[i] == 0)
            i = 0;
        const size_t n = g->n - at < cut[i] ? g->n - at : cut[i];
        if (qs_session_feed(s, g->id + at, n, 0, out + at * g->vocab, &e) != QS_OK)
            fail_msg("%s", e.msg);
        at += n;
    }
    assert_int_equal(qs_session_length(s), g->n);
    qs_session_free(s);
    return out;
}

static struct qs_engine *engine_of(const struct qs_model *m, struct qs_pool *p, enum qs_precision precision, size_t batch)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_engine *x;
    const struct qs_engine_args args = { p, precision, QS_PRIO_JOB, batch, 0 };
    if (qs_engine_new(m, &args, &x, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return x;
}

static void same_bits(const char *what, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: value %zu is %.9g, not %.9g", what, i, (double)b[i], (double)a[i]);
}

/* ---- features, one by one ---- */

static void no_vec(struct qs_engine *x, enum qs_slot s)
{
    for (size_t l = 0; l < (s < QS_SLOT_BLOCK ? x->config->n_layer : 1); l++) {
        struct qs_slot_place *p = qs_engine_place(x, l, s);
        qs_weight_unref(p->weight);
        qs_free(p->vec);
        *p = (struct qs_slot_place){ 0 };
    }
}

static void plain_vec(struct qs_engine *x, enum qs_slot s) /* a norm's weights as if 1 */
{
    for (size_t l = 0; l < (s < QS_SLOT_BLOCK ? x->config->n_layer : 1); l++) {
        struct qs_slot_place *p = qs_engine_place(x, l, s);
        for (uint64_t i = 0; p->vec && i < p->weight->ne[0]; i++)
            p->vec[i] = 1;
    }
}

static bool has_vec(const struct qs_engine *x, enum qs_slot s) { return qs_engine_place(x, 0, s)->vec != NULL; }

static bool windowed(const struct qs_engine *x)
{
    for (size_t l = 0; l < x->config->n_layer; l++)
        if (x->config->layer[l].window)
            return true;
    return false;
}

static void each_layer(struct qs_engine *x, void (*fn)(struct qs_layer_config *))
{
    for (size_t l = 0; l < x->config->n_layer; l++)
        fn(&x->config->layer[l]);
}

static void layer_no_window(struct qs_layer_config *l) { l->window = 0; }
static void layer_rope(struct qs_layer_config *l) { l->rope = true; }
static void layer_set0(struct qs_layer_config *l) { l->rope_set = 0; }
static void layer_no_rope(struct qs_layer_config *l) { l->rope = false; }

static bool set1_differs(const struct qs_engine *x)
{
    const struct qs_rope_config *r = x->config->rope;
    return windowed(x) && (fabs(r[0].base - r[1].base) > 0 || fabs(r[0].freq_scale - r[1].freq_scale) > 0);
}

static bool some_without_rope(const struct qs_engine *x)
{
    for (size_t l = 0; l < x->config->n_layer; l++)
        if (!x->config->layer[l].rope)
            return true;
    return false;
}

#define FEATURES(X)                                                                                                    \
    X(window, windowed(x), each_layer(x, layer_no_window))                                                             \
    X(layers without RoPE, some_without_rope(x), each_layer(x, layer_rope))                                            \
    X(RoPE, true, each_layer(x, layer_no_rope))                                                                        \
    X(RoPE of windows, set1_differs(x), each_layer(x, layer_set0))                                                     \
    X(linear scaling, !c->rope[0].yarn && c->rope[0].freq_scale < 1, c->rope[0].freq_scale = 1)                        \
    X(YaRN, c->rope[0].yarn, c->rope[0].yarn = c->rope[1].yarn = false)                                                \
    X(magnitude, c->rope[0].magnitude > 1, c->rope[0].magnitude = c->rope[1].magnitude = 1)                            \
    X(smooth YaRN, c->rope[0].yarn && c->rope[0].smooth, c->rope[0].smooth = c->rope[1].smooth = false)                \
    X(RoPE factors, has_vec(x, QS_SLOT_ROPE_FREQS), no_vec(x, QS_SLOT_ROPE_FREQS))                                     \
    X(long RoPE factors, has_vec(x, QS_SLOT_ROPE_LONG), no_vec(x, QS_SLOT_ROPE_LONG))                                  \
    X(partial rotation, c->rope[0].n_rot < c->dk, c->rope[0].n_rot = c->rope[1].n_rot = c->dk / 2)                     \
    X(attention cap, c->attn_softcap > 0, c->attn_softcap = 0)                                                         \
    X(logit cap, c->final_softcap > 0, c->final_softcap = 0)                                                           \
    X(embedding scale, c->embed_scale > 1, c->embed_scale = 1)                                                         \
    X(residual scale, c->residual_scale < 1, c->residual_scale = 1)                                                    \
    X(logit scale, c->logit_scale < 1, c->logit_scale = 1)                                                             \
    X(attention scale, c->arch->flags & QS_ARCH_ROPE_SWITCH, c->attn_scale = 0.25f)                                    \
    X(sinks, has_vec(x, QS_SLOT_SINKS), no_vec(x, QS_SLOT_SINKS))                                                      \
    X(query norm, has_vec(x, QS_SLOT_Q_NORM), no_vec(x, QS_SLOT_Q_NORM))                                               \
    X(key norm, has_vec(x, QS_SLOT_K_NORM), no_vec(x, QS_SLOT_K_NORM))                                                 \
    X(query norm weights, has_vec(x, QS_SLOT_Q_NORM), plain_vec(x, QS_SLOT_Q_NORM))                                    \
    X(key norm weights, has_vec(x, QS_SLOT_K_NORM), plain_vec(x, QS_SLOT_K_NORM))                                      \
    X(attention norm weights, has_vec(x, QS_SLOT_ATTN_NORM), plain_vec(x, QS_SLOT_ATTN_NORM))                          \
    X(feed-forward norm weights, has_vec(x, QS_SLOT_FFN_NORM), plain_vec(x, QS_SLOT_FFN_NORM))                         \
    X(last norm weights, true, plain_vec(x, QS_SLOT_OUTPUT_NORM))                                                      \
    X(norm after attention, has_vec(x, QS_SLOT_ATTN_POST_NORM), no_vec(x, QS_SLOT_ATTN_POST_NORM))                     \
    X(norm after feed-forward, has_vec(x, QS_SLOT_FFN_POST_NORM), no_vec(x, QS_SLOT_FFN_POST_NORM))                    \
    X(query bias, has_vec(x, QS_SLOT_Q_BIAS), no_vec(x, QS_SLOT_Q_BIAS))                                               \
    X(key bias, has_vec(x, QS_SLOT_K_BIAS), no_vec(x, QS_SLOT_K_BIAS))                                                 \
    X(value bias, has_vec(x, QS_SLOT_V_BIAS), no_vec(x, QS_SLOT_V_BIAS))                                               \
    X(output bias, has_vec(x, QS_SLOT_O_BIAS), no_vec(x, QS_SLOT_O_BIAS))                                              \
    X(gate bias, has_vec(x, QS_SLOT_GATE_BIAS), no_vec(x, QS_SLOT_GATE_BIAS))                                          \
    X(up bias, has_vec(x, QS_SLOT_UP_BIAS), no_vec(x, QS_SLOT_UP_BIAS))                                                \
    X(down bias, has_vec(x, QS_SLOT_DOWN_BIAS), no_vec(x, QS_SLOT_DOWN_BIAS))                                          \
    X(router bias, has_vec(x, QS_SLOT_ROUTER_BIAS), no_vec(x, QS_SLOT_ROUTER_BIAS))                                    \
    X(experts gate bias, has_vec(x, QS_SLOT_GATE_EXPS_BIAS), no_vec(x, QS_SLOT_GATE_EXPS_BIAS))                        \
    X(experts up bias, has_vec(x, QS_SLOT_UP_EXPS_BIAS), no_vec(x, QS_SLOT_UP_EXPS_BIAS))                              \
    X(experts down bias, has_vec(x, QS_SLOT_DOWN_EXPS_BIAS), no_vec(x, QS_SLOT_DOWN_EXPS_BIAS))                        \
    X(second expert, c->n_expert_used > 1, c->n_expert_used = 1)                                                       \
    X(router normalisation, c->n_expert && !(c->arch->flags & QS_ARCH_EXPERT_SOFTMAX_AFTER),                           \
      c->expert_normalise = !c->expert_normalise)                                                                      \
    X(swiglu limit, c->arch->glu == QS_GLU_OAI, c->glu_limit = 1e30f)                                                  \
    X(swiglu alpha, c->arch->glu == QS_GLU_OAI, c->glu_alpha = 1)                                                      \
    X(shared expert, c->n_expert && qs_engine_place(x, 0, QS_SLOT_DOWN_SHARED)->weight,                                \
      no_vec(x, QS_SLOT_DOWN_SHARED))                                                                                  \
    X(gate of the shared expert, qs_engine_place(x, 0, QS_SLOT_SHARED_ROUTER)->weight, no_vec(x, QS_SLOT_SHARED_ROUTER))

/* Applies feature number i; its name, NULL when this model does not have it, "" past the last. */
static const char *switch_off(struct qs_engine *x, int i)
{
    struct qs_config *c = x->config;
    int at = 0;
#define X(name, there, off)                                                                                            \
    if (at++ == i) {                                                                                                   \
        if (!(there))                                                                                                  \
            return NULL;                                                                                               \
        off;                                                                                                           \
        return #name;                                                                                                  \
    }
    FEATURES(X)
#undef X
    return "";
}

static int features_matter(const struct qs_model *m, const struct tiny_golden *g, const char *name)
{
    int tried = 0;
    for (int i = 0;; i++) {
        struct qs_engine *x = engine_of(m, pool, QS_EXACT, 0);
        const char *feature = switch_off(x, i);
        if (feature && *feature) {
            float *logits = logits_of(x, g, (const size_t[]){ 96, 0 });
            const double rms = tiny_rms(logits, g);
            if (!(rms > 100 * CLOSE))
                fail_msg("%s: without %s the golden is still met (%.2g)", name, feature, rms);
            qs_free(logits);
            tried++;
        }
        qs_engine_free(x);
        if (feature && !*feature)
            return tried;
    }
}

/* ---- one model ---- */

static void check_model(const struct qs_model *m, const struct tiny_golden *g, const char *name)
{
    const struct { size_t batch; size_t cut[4]; } way[] = { { 256, { 96, 0 } }, { 256, { 1, 0 } }, { 256, { 7, 30, 2, 0 } },
                                                            { 5, { 96, 0 } } };
    float *first = NULL;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        for (unsigned threads = 1; threads <= (i == 0 ? 3u : 1u); threads++) {
            struct qs_err e = QS_ERR_INIT;
            struct qs_pool *p;
            assert_int_equal(qs_pool_new(threads, &p, &e), QS_OK);
            struct qs_engine *x = engine_of(m, p, QS_EXACT, way[i].batch);
            float *logits = logits_of(x, g, way[i].cut);
            if (first)
                same_bits(name, first, logits, g->n * g->vocab);
            const double rms = tiny_rms(logits, g);
            if (!(rms < CLOSE))
                fail_msg("%s: relative RMS %.3g", name, rms);
            if (first)
                qs_free(logits);
            else {
                first = logits;
                print_message("%-14s relative RMS %.2g\n", name, rms);
            }
            qs_engine_free(x);
            qs_pool_free(p);
        }
    qs_free(first);
}

static void test_models(void **state)
{
    (void)state;
    int features = 0;
    for (size_t i = 0; tiny_names[i]; i++) {
        struct qs_err e = QS_ERR_INIT;
        struct tiny_golden g;
        struct qs_model *m;
        tiny_read(tiny_names[i], "golden.bin", &g);
        if (qs_model_open(tiny_path(tiny_names[i], ""), &m, &e) != QS_OK)
            fail_msg("%s", e.msg);
        check_model(m, &g, tiny_names[i]);
        features += features_matter(m, &g, tiny_names[i]);
        qs_model_close(m);
        tiny_free(&g);
    }
    print_message("%d features switched off\n", features);
    assert_true(features > 100);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_pool_new(2, &pool, &e) != QS_OK)
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_models) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_pool_free(pool);
    return failed;
}
