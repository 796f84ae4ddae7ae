/* test_engine.c - engines and sessions: what is refused, what stays the same bits, what a swapped weight changes. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/model/engine.h"
#include "tests/lib/qs_room.h"
#include "tests/lib/qs_test.h"
#include "tests/model/make_model.h"

#define N 40 /* tokens of a test */

static struct qs_pool *pool;
static int32_t ids[N];

static struct qs_model *open_spec(const char *name, const struct mm_spec *s)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    const char *path = qs_test_tmp_path(name);
    if (mm_file(path, s, &e) != QS_OK || qs_model_open_gguf(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static struct qs_engine *engine_of(const struct qs_model *m, enum qs_precision precision, size_t batch)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_engine *x;
    const struct qs_engine_args args = { pool, precision, QS_PRIO_JOB, batch, 0 };
    if (qs_engine_new(m, &args, &x, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return x;
}

static struct qs_session *session_of(struct qs_engine *x, struct qs_session_args args)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s;
    if (qs_session_new(x, &args, &s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return s;
}

static void feed(struct qs_session *s, const int32_t *id, size_t n, size_t from, float *logits)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_session_feed(s, id, n, from, logits, &e) != QS_OK)
        fail_msg("%s", e.msg);
}

static size_t vocab_of(const struct qs_session *s) { return qs_engine_config(qs_session_engine(s))->n_vocab; }

static float *all_logits(struct qs_engine *x, struct qs_session_args args)
{
    struct qs_session *s = session_of(x, args);
    float *out = qs_malloc(N * vocab_of(s) * sizeof *out);
    assert_non_null(out);
    feed(s, ids, N, 0, out);
    qs_session_free(s);
    return out;
}

static double rms(const float *a, const float *b, size_t n)
{
    double err = 0, ref = 0;
    for (size_t i = 0; i < n; i++) {
        err += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        ref += (double)b[i] * (double)b[i];
    }
    return sqrt(err / ref);
}

static const struct qs_session_args plain = { 64, QS_F32, QS_F32, false };

/* ---- refusals ---- */

static void refused(const char *name, const struct mm_spec *spec, enum qs_code code, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec(name, spec);
    assert_int_equal(qs_engine_can(m, &e), code);
    if (!strstr(e.msg, words) || !strstr(e.msg, name))
        fail_msg("the message should name %s and say '%s': %s", name, words, e.msg);
    struct qs_engine *x;
    const struct qs_engine_args args = { pool, QS_FAST, QS_PRIO_JOB, 0, 0 };
    assert_int_equal(qs_engine_new(m, &args, &x, &e), code);
    assert_null(x);
    qs_model_close(m);
}

static int not_extra(void *ctx, const char *name, int type) { (void)ctx; (void)name; return type; }

static void test_refusals(void **state)
{
    (void)state;
    const struct mm_tensor odd = { "blk.0.attn_surprise.weight", 1, { 256, 1, 1, 1 }, QS_F32 };
    const struct mm_tensor thin = { "rope_freqs.weight", 1, { 7, 1, 1, 1 }, QS_F32 };
    const char *const no_heads[] = { "llama.attention.head_count=u32:0", NULL };
    const char *const odd_heads[] = { "llama.attention.head_count_kv=u32:3", NULL };
    const char *const wrong_ff[] = { "llama.feed_forward_length=u32:500", NULL };
    const char *const wrong_eps[] = { "llama.attention.layer_norm_rms_epsilon=f32:-1", NULL };
    const char *const no_ctx[] = { "llama.context_length=u32:0", NULL };
    const char *const wrong_rot[] = { "llama.rope.dimension_count=u32:63", NULL };
    const char *const more_layers[] = { "llama.block_count=u32:3", NULL };
    const char *const strange_rope[] = { "llama.rope.scaling.type=str:spiral", NULL };
    refused("falcon.gguf", &(struct mm_spec){ .arch = "falcon" }, QS_EUNSUPPORTED, "architecture 'falcon'");
    refused("people.gguf", &(struct mm_spec){ .arch = "falcon" }, QS_EUNSUPPORTED, "Mixtral, Qwen2");
    refused("odd.gguf", &(struct mm_spec){ .extra = &odd, .n_extra = 1, .type_of = not_extra }, QS_EUNSUPPORTED,
            "attn_surprise");
    refused("thin.gguf", &(struct mm_spec){ .extra = &thin, .n_extra = 1 }, QS_EFORMAT, "rope_freqs.weight is 7 x");
    refused("noheads.gguf", &(struct mm_spec){ .meta = no_heads }, QS_EFORMAT, "head_count");
    refused("oddheads.gguf", &(struct mm_spec){ .meta = odd_heads }, QS_EFORMAT, "cannot share 3 KV heads");
    refused("ff.gguf", &(struct mm_spec){ .meta = wrong_ff }, QS_EFORMAT, "should be");
    refused("eps.gguf", &(struct mm_spec){ .meta = wrong_eps }, QS_EFORMAT, "layer_norm_rms_epsilon");
    refused("ctx.gguf", &(struct mm_spec){ .meta = no_ctx }, QS_EFORMAT, "context_length");
    refused("rot.gguf", &(struct mm_spec){ .meta = wrong_rot }, QS_EFORMAT, "rope.dimension_count");
    refused("layers.gguf", &(struct mm_spec){ .meta = more_layers }, QS_EFORMAT, "no tensor blk.2.");
    refused("rope.gguf", &(struct mm_spec){ .meta = strange_rope }, QS_EUNSUPPORTED, "rope.scaling.type");
    refused("nogate.gguf", &(struct mm_spec){ .no_gate = true }, QS_EFORMAT, "ffn_gate");
    refused("qknorm.gguf", &(struct mm_spec){ .qk_norms = true }, QS_EUNSUPPORTED, "attn_q_norm");
    refused("noqknorm.gguf", &(struct mm_spec){ .arch = "qwen3" }, QS_EFORMAT, "attn_q_norm");
    refused("noexperts.gguf", &(struct mm_spec){ .arch = "qwen3moe", .qk_norms = true }, QS_EFORMAT, "expert_count");
}

/* What an architecture has where the file is silent. */
static void test_defaults(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    static const struct { const char *arch; float attn, final; } want[] = { { "gemma2", 50, 30 }, { "gemma3", 0, 0 } };
    for (size_t i = 0; i < 2; i++) {
        struct qs_config *c;
        struct qs_model *m = open_spec("silent.gguf", &(struct mm_spec){ .arch = want[i].arch });
        assert_int_equal(qs_config_new(m, &c, &e), QS_OK);
        assert_true(c->attn_softcap == want[i].attn && c->final_softcap == want[i].final);
        qs_config_free(c);
        qs_model_close(m);
    }
}

/* Tensors that fit the metadata, but not each other. `gone` leave the table of `base`, `more` come to it. */
static void unlike(const char *name, struct mm_spec base, const char *const *gone, const struct mm_tensor *more,
                   size_t n_more, enum qs_code code, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct mm_tensor *all, table[64];
    size_t n_all, n = 0;
    assert_int_equal(mm_tensors(&base, &all, &n_all, &e), QS_OK);
    for (size_t i = 0; i < n_all; i++) {
        bool keep = true;
        for (size_t k = 0; gone[k]; k++)
            keep = keep && !strstr(all[i].name, gone[k]);
        if (keep)
            table[n++] = all[i];
    }
    for (size_t i = 0; i < n_more; i++)
        table[n++] = more[i];
    base.extra = table;
    base.n_extra = n;
    base.only_extra = true;
    if (code) {
        refused(name, &base, code, words);
    } else {
        struct qs_model *m = open_spec(name, &base);
        struct qs_engine *x = engine_of(m, QS_FAST, 0);
        qs_free(all_logits(x, plain));
        qs_engine_free(x);
        qs_model_close(m);
    }
    qs_free(all);
}

static void test_unlike(void **state)
{
    (void)state;
    const struct mm_spec moe = { .layers = 1, .experts = 4 }, dense = { .layers = 1 };
    const struct mm_spec one = { .layers = 1, .no_gate = true };
    const struct mm_spec many = { .layers = 1, .experts = 80, .experts_used = 65, .expert_ff = 32 };
    const char *const split[] = { "ffn_gate_exps", "ffn_up_exps", NULL }, *const none[] = { NULL };
    const char *const up_only[] = { "ffn_up.weight", NULL };
    const struct mm_tensor fused = { "blk.0.ffn_gate_up_exps.weight", 3, { 256, 1024, 4, 1 }, -1 };
    const struct mm_tensor up_bias = { "blk.0.ffn_up_exps.bias", 2, { 512, 4, 1, 1 }, QS_F32 };
    const struct mm_tensor gate_bias = { "blk.0.ffn_gate_exps.bias", 2, { 512, 4, 1, 1 }, QS_F32 };
    const struct mm_tensor wide = { "blk.0.ffn_up.weight", 2, { 256, 1024, 1, 1 }, -1 };
    const struct mm_tensor short_bias = { "blk.0.ffn_up.bias", 1, { 512, 1, 1, 1 }, QS_F32 };
    const struct mm_tensor long_bias = { "blk.0.ffn_up.bias", 1, { 1024, 1, 1, 1 }, QS_F32 };
    const struct mm_tensor gate = { "blk.0.ffn_gate.bias", 1, { 512, 1, 1, 1 }, QS_F32 };
    const struct mm_tensor qkv = { "blk.0.attn_qkv.weight", 2, { 256, 512, 1, 1 }, -1 };
    const struct mm_tensor v_bias = { "blk.0.attn_v.bias", 1, { 128, 1, 1, 1 }, QS_F32 };
    unlike("fused.gguf", moe, split, (struct mm_tensor[]){ fused }, 1, QS_OK, NULL);
    unlike("fused-up.gguf", moe, split, (struct mm_tensor[]){ fused, up_bias }, 2, QS_EFORMAT, "ffn_up_exps.bias");
    unlike("fused-gate.gguf", moe, split, (struct mm_tensor[]){ fused, gate_bias }, 2, QS_EFORMAT,
           "ffn_gate_exps.bias");
    unlike("both.gguf", moe, none, (struct mm_tensor[]){ fused }, 1, QS_EFORMAT, "ffn_gate_up_exps.weight");
    unlike("split.gguf", moe, none, (struct mm_tensor[]){ up_bias, gate_bias }, 2, QS_OK, NULL);
    unlike("many.gguf", many, none, NULL, 0, QS_EUNSUPPORTED, "65 experts for one token");
    unlike("wide.gguf", one, up_only, (struct mm_tensor[]){ wide, long_bias }, 2, QS_OK, NULL);
    unlike("wide-short.gguf", one, up_only, (struct mm_tensor[]){ wide, short_bias }, 2, QS_EFORMAT,
           "ffn_up.bias is 512");
    unlike("wide-gate.gguf", one, up_only, (struct mm_tensor[]){ wide, gate }, 2, QS_EFORMAT, "ffn_gate.bias");
    unlike("narrow.gguf", dense, none, (struct mm_tensor[]){ short_bias, gate }, 2, QS_OK, NULL);
    unlike("narrow-long.gguf", dense, none, (struct mm_tensor[]){ long_bias }, 1, QS_EFORMAT, "ffn_up.bias is 1024");
    unlike("qkv.gguf", dense, none, (struct mm_tensor[]){ qkv }, 1, QS_EFORMAT, "attn_qkv.weight");
    unlike("qkv-bias.gguf", (struct mm_spec){ .layers = 1, .fused_qkv = true }, none, (struct mm_tensor[]){ v_bias }, 1,
           QS_EFORMAT, "attn_v.bias");
}

static void test_requests(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("requests.gguf", &(struct mm_spec){ .head_dim = 48 });
    struct qs_engine *x = engine_of(m, QS_FAST, 0);
    struct qs_session *s;
    struct qs_session_args args = { 16, QS_Q8_0, QS_Q8_0, false };
    assert_int_equal(qs_session_new(x, &args, &s, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "heads of 48"));
    args.type_k = QS_Q6_K;
    assert_int_equal(qs_session_new(x, &args, &s, &e), QS_EINVAL);
    s = session_of(x, (struct qs_session_args){ 16, QS_F16, QS_F16, false });
    float *logits = qs_malloc(N * vocab_of(s) * sizeof *logits);
    feed(s, ids, 10, 10, NULL);
    assert_int_equal(qs_session_feed(s, ids, 7, 0, logits, &e), QS_ELIMIT);
    assert_non_null(strstr(e.msg, "10 of 16 tokens"));
    assert_int_equal(qs_session_feed(s, (const int32_t[]){ 512 }, 1, 0, logits, &e), QS_EINVAL);
    assert_int_equal(qs_session_feed(s, (const int32_t[]){ -1 }, 1, 0, logits, &e), QS_EINVAL);
    assert_int_equal(qs_session_length(s), 10);
    feed(s, ids, 6, 5, logits);
    assert_int_equal(qs_session_length(s), 16);
    assert_int_equal(qs_session_context(s), 16);
    struct qs_weight *w;
    const uint64_t ne[4] = { 32, 2, 1, 1 };
    assert_int_equal(qs_weight_heap(qs_format_by_id(QS_F32), ne, &w, &(struct qs_parts){ { 0 } }, &e), QS_OK);
    assert_int_equal(qs_engine_set(x, 0, w, &e), QS_EINVAL);
    assert_int_equal(qs_engine_set(x, m->n_tensors, w, &e), QS_EINVAL);
    qs_weight_unref(w);
    qs_free(logits);
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
}

/* ---- the same bits ---- */

static void test_timeline(void **state)
{
    (void)state;
    struct qs_model *m = open_spec("timeline.gguf", &(struct mm_spec){ .type = QS_Q4_K });
    for (int p = QS_EXACT; p <= QS_FAST; p++) {
        struct qs_engine *x = engine_of(m, (enum qs_precision)p, 16);
        float *whole = all_logits(x, plain);
        struct qs_session *s = session_of(x, plain);
        const size_t vocab = vocab_of(s);
        float *row = qs_malloc(vocab * sizeof *row);
        feed(s, ids, 20, 20, NULL);
        feed(s, (const int32_t[]){ 1, 2, 3, 4, 5 }, 5, 5, NULL); /* another way to go on, forgotten again */
        qs_session_keep(s, 20);
        assert_int_equal(qs_session_length(s), 20);
        for (size_t i = 20; i < N; i++) {
            feed(s, ids + i, 1, 0, row);
            assert_memory_equal(row, whole + i * vocab, vocab * sizeof *row);
        }
        assert_memory_equal(qs_session_tokens(s), ids, sizeof ids);
        qs_free(row);
        qs_free(whole);
        qs_session_free(s);
        qs_engine_free(x);
    }
    qs_model_close(m);
}

struct seen { float *hidden; size_t layers, width; int calls; };

static void see(void *ctx, int layer, size_t pos, size_t n, const float *hidden)
{
    struct seen *s = ctx;
    memcpy(s->hidden + ((size_t)(layer + 1) * N + pos) * s->width, hidden, n * s->width * sizeof *hidden);
    s->calls++;
}

/* A watched feed, and the pieces one by one, are the feed. */
static void test_pieces(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("pieces.gguf", &(struct mm_spec){ .layers = 3 });
    struct qs_engine *x = engine_of(m, QS_EXACT, N / 2);
    float *whole = all_logits(x, plain);
    struct qs_session *s = session_of(x, plain);
    const size_t vocab = vocab_of(s), width = 256;
    struct seen seen = { qs_calloc(4 * N * width, sizeof(float)), 3, width, 0 };
    float *logits = qs_malloc(N * vocab * sizeof *logits), *hidden = qs_malloc(N * width * sizeof *hidden);
    qs_session_watch(s, see, &seen);
    feed(s, ids, N, 0, logits);
    assert_int_equal(seen.calls, 8);
    assert_memory_equal(logits, whole, N * vocab * sizeof *logits);
    qs_session_watch(s, NULL, NULL);
    for (size_t at = 0; at < N; at += N / 2)
        assert_int_equal(qs_session_embed(s, ids + at, N / 2, hidden + at * width, &e), QS_OK);
    for (size_t l = 0; l < 3; l++) {
        assert_memory_equal(hidden, seen.hidden + l * N * width, N * width * sizeof *hidden);
        for (size_t at = 0; at < N; at += N / 2)
            assert_int_equal(qs_session_block(s, l, at, N / 2, hidden + at * width, &e), QS_OK);
    }
    for (size_t at = 0; at < N; at += N / 2)
        assert_int_equal(qs_session_head(s, hidden + at * width, N / 2, logits + at * vocab, &e), QS_OK);
    assert_memory_equal(logits, whole, N * vocab * sizeof *logits);
    assert_int_equal(qs_session_block(s, 3, 0, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_block(s, 0, 64, 1, hidden, &e), QS_EINVAL);
    assert_int_equal(qs_session_embed(s, ids, N, hidden, &e), QS_EINVAL);
    qs_free(seen.hidden);
    qs_free(hidden);
    qs_free(logits);
    qs_free(whole);
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
}

/* Taps see every distinct input once, and change nothing. */
static void test_taps(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("taps.gguf", &(struct mm_spec){ 0 });
    struct qs_engine *x = engine_of(m, QS_EXACT, 16);
    float *whole = all_logits(x, plain), *logits = qs_malloc(N * 512 * sizeof *logits);
    struct qs_session *s = session_of(x, plain);
    double sum[512] = { 0 };
    float *rows = qs_calloc(N * 256, sizeof *rows);
    struct qs_tap_point tap[] = {
        { 1, QS_POINT_FFN_DOWN, { .kind = QS_TAP_SUMSQ, .cols = 512, .sum = sum } },
        { 1, QS_POINT_BLOCK, { .kind = QS_TAP_ROWS, .cols = 256, .rows = rows, .max_rows = N } },
        { 0, QS_POINT_ATTN_IN, { .kind = QS_TAP_FINITE, .cols = 256 } },
        { 2, QS_POINT_HEAD, { .kind = QS_TAP_FINITE, .cols = 256 } },
    };
    struct seen seen = { qs_calloc(3 * N * 256, sizeof(float)), 2, 256, 0 };
    assert_int_equal(qs_session_taps(s, tap, 4, &e), QS_OK);
    qs_session_watch(s, see, &seen);
    feed(s, ids, N, 0, logits);
    assert_memory_equal(logits, whole, N * 512 * sizeof *logits);
    assert_int_equal(tap[0].tap.count, N);
    for (size_t i = 0; i < 512; i++)
        assert_true(sum[i] > 0);
    assert_int_equal(tap[1].tap.n_rows, N);
    assert_memory_equal(rows, seen.hidden + 2 * N * 256, N * 256 * sizeof *rows);
    assert_int_equal(tap[2].tap.count, N);
    assert_int_equal(tap[2].tap.nonfinite, 0);
    assert_int_equal(tap[3].tap.count, N);
    tap[0].tap.cols = 256;
    assert_int_equal(qs_session_taps(s, tap, 4, &e), QS_EINVAL);
    tap[0] = (struct qs_tap_point){ 7, QS_POINT_BLOCK, { .kind = QS_TAP_FINITE, .cols = 256 } };
    assert_int_equal(qs_session_taps(s, tap, 4, &e), QS_EINVAL);
    qs_free(seen.hidden);
    qs_free(rows);
    qs_free(logits);
    qs_free(whole);
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
}

/* ---- caches ---- */

static void test_caches(void **state)
{
    (void)state;
    struct qs_model *m = open_spec("caches.gguf", &(struct mm_spec){ .layers = 3 });
    struct qs_engine *x = engine_of(m, QS_EXACT, 16);
    float *exact = all_logits(x, plain);
    const struct { struct qs_session_args args; double most; } way[] = {
        { { 64, QS_F32, QS_F32, true }, 1e-5 },  { { 64, QS_F16, QS_F16, false }, 1e-3 },
        { { 64, QS_F16, QS_F16, true }, 1e-3 },  { { 64, QS_Q8_0, QS_Q8_0, false }, 1e-2 },
        { { 64, QS_Q8_0, QS_Q8_0, true }, 1e-2 }, { { 64, QS_Q4_0, QS_Q4_0, false }, 0.2 },
        { { 64, QS_Q4_0, QS_Q4_0, true }, 0.2 },
    };
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        float *logits = all_logits(x, way[i].args);
        const double far = rms(logits, exact, N * 512);
        if (!(far > 0 && far < way[i].most))
            fail_msg("way %zu: relative RMS %.3g, expected up to %.3g", i, far, way[i].most);
        struct qs_session *s = session_of(x, way[i].args);
        assert_true(qs_session_memory(s) <= qs_session_need(x, &way[i].args));
        assert_true(qs_session_memory(s) + 1024 >= qs_session_need(x, &way[i].args));
        qs_session_free(s);
        qs_free(logits);
    }
    qs_free(exact);
    qs_engine_free(x);
    qs_model_close(m);
}

/* ---- swapping ---- */

static size_t tensor_of(const struct qs_model *m, const char *name)
{
    const struct qs_tensor *t = qs_model_find(m, name);
    assert_non_null(t);
    return qs_model_index(m, t);
}

/* The same weight on the heap gives the same bits, another one others, the model's own the first ones again. */
static void test_swap(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("swap.gguf", &(struct mm_spec){ 0 });
    struct qs_engine *x = engine_of(m, QS_FAST, 0);
    float *first = all_logits(x, plain);
    const char *const names[] = { "blk.1.ffn_down.weight", "token_embd.weight", "blk.0.attn_norm.weight" };
    for (size_t i = 0; i < 3; i++) {
        const size_t at = tensor_of(m, names[i]);
        struct qs_weight *own, *copy;
        struct qs_parts parts;
        assert_int_equal(qs_model_weight(m, &m->tensor[at], &own, &e), QS_OK);
        assert_int_equal(qs_weight_heap(own->format, own->ne, &copy, &parts, &e), QS_OK);
        memcpy(parts.p[0], own->parts.p[0], own->bytes);
        const uint64_t before = qs_engine_generation(x);
        assert_int_equal(qs_engine_set(x, at, copy, &e), QS_OK);
        assert_int_equal(qs_engine_generation(x), before + 1);
        assert_ptr_equal(qs_engine_weight(x, at), copy);
        float *same = all_logits(x, plain);
        assert_memory_equal(same, first, N * 512 * sizeof *same);
        struct qs_weight *other;
        assert_int_equal(qs_weight_heap(own->format, own->ne, &other, &parts, &e), QS_OK);
        memcpy(parts.p[0], own->parts.p[0], own->bytes);
        memset(parts.p[0], 0, own->bytes / 2);
        assert_int_equal(qs_engine_set(x, at, other, &e), QS_OK);
        float *changed = all_logits(x, plain);
        assert_memory_not_equal(changed, first, N * 512 * sizeof *changed);
        assert_int_equal(qs_engine_set(x, at, NULL, &e), QS_OK);
        float *again = all_logits(x, plain);
        assert_memory_equal(again, first, N * 512 * sizeof *again);
        qs_weight_unref(own);
        qs_weight_unref(copy);
        qs_weight_unref(other);
        qs_free(same);
        qs_free(changed);
        qs_free(again);
    }
    qs_free(first);
    qs_engine_free(x);
    qs_model_close(m);
}

static void test_bytes_per_token(void **state)
{
    (void)state;
    struct qs_model *m = open_spec("bytes.gguf", &(struct mm_spec){ .untied = true, .experts = 4 });
    struct qs_engine *x = engine_of(m, QS_FAST, 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        bytes += t->ne[2] > 1 ? t->size / 4 * 2 : strcmp(t->name, "token_embd.weight") == 0 ? t->size / t->ne[1] : t->size;
    }
    assert_int_equal(qs_engine_bytes_per_token(x), bytes);
    qs_engine_free(x);
    qs_model_close(m);
}

/* ---- files cut short ---- */

/* Feeds and pieces, none of which may take weights that were lost for weights. `name`: in the message. */
static void all_fail(struct qs_session *s, const char *name)
{
    struct qs_err e;
    float hidden[256] = { 0 }, logits[512];
    const size_t before = qs_session_length(s);
    for (int way = 0; way < 4; way++) {
        e = (struct qs_err)QS_ERR_INIT;
        const int rc = way == 0   ? qs_session_feed(s, ids, 1, 0, logits, &e)
                       : way == 1 ? qs_session_embed(s, ids, 1, hidden, &e)
                       : way == 2 ? qs_session_block(s, 0, before, 1, hidden, &e)
                                  : qs_session_head(s, hidden, 1, logits, &e);
        if (rc != QS_EIO || !strstr(e.msg, name))
            fail_msg("way %d: %d \"%s\"", way, rc, e.msg);
    }
    assert_int_equal(qs_session_length(s), before);
}

static void test_file_cut_short(void **state)
{
    (void)state;
    struct qs_model *m = open_spec("cut.gguf", &(struct mm_spec){ 0 });
    struct qs_engine *x = engine_of(m, QS_FAST, 0);
    struct qs_session *s = session_of(x, plain);
    feed(s, ids, 3, 3, NULL);
    assert_int_equal(truncate(qs_test_tmp_path("cut.gguf"), 60000), 0);
    all_fail(s, "cut.gguf");
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
}

/* The same of a weight in a scratch file. */
static void test_scratch_cut_short(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("scratch.gguf", &(struct mm_spec){ 0 });
    struct qs_engine *x = engine_of(m, QS_EXACT, 0); /* in fast precision it would be copied */
    struct qs_session *s = session_of(x, plain);
    const size_t at = tensor_of(m, "blk.0.ffn_down.weight");
    struct qs_weight *own, *copy;
    struct qs_parts parts;
    assert_int_equal(qs_model_weight(m, &m->tensor[at], &own, &e), QS_OK);
    assert_int_equal(qs_weight_scratch(own->format, own->ne, qs_test_tmp(), &copy, &parts, &e), QS_OK);
    memcpy(parts.p[0], own->parts.p[0], own->bytes);
    assert_int_equal(qs_engine_set(x, at, copy, &e), QS_OK);
    feed(s, ids, 3, 3, NULL);
    qs_test_room_cut(4096);
    float row[512];
    assert_int_equal(qs_session_feed(s, ids, 1, 0, row, &e), QS_EIO); /* which is when it is seen */
    all_fail(s, qs_test_tmp());
    assert_int_equal(qs_engine_set(x, at, NULL, &e), QS_OK);
    feed(s, ids, 1, 0, row);
    qs_weight_unref(own);
    qs_weight_unref(copy);
    qs_session_free(s);
    qs_engine_free(x);
    qs_model_close(m);
}

/* ---- memory ---- */

/* All that steps need is there when the session is. */
static void test_claimed(void **state)
{
    (void)state;
    struct qs_model *m = open_spec("claimed.gguf", &(struct mm_spec){ .type = QS_Q4_K, .experts = 4 });
    for (int p = QS_EXACT; p <= QS_FAST; p++) {
        struct qs_engine *x = engine_of(m, (enum qs_precision)p, 16);
        struct qs_session *s = session_of(x, plain), *other = session_of(x, plain);
        const uint64_t held = qs_mem_in_use();
        float *logits = qs_malloc(N * vocab_of(s) * sizeof *logits);
        assert_true(qs_session_memory(s) > qs_session_memory(other));
        feed(s, ids, N, 0, logits);
        feed(s, ids, 1, 0, logits);
        feed(other, ids, N, 0, logits);
        qs_free(logits);
        assert_int_equal(qs_mem_in_use(), held);
        qs_session_free(s);
        qs_session_free(other);
        qs_engine_free(x);
    }
    qs_model_close(m);
}

static int run_once(void *ctx, struct qs_err *e)
{
    const struct qs_model *m = ctx;
    struct qs_engine *x;
    struct qs_session *s = NULL;
    float logits[512];
    const struct qs_engine_args args = { NULL, QS_FAST, QS_PRIO_JOB, 8, 0 };
    int rc = qs_engine_new(m, &args, &x, e);
    if (rc == QS_OK)
        rc = qs_session_new(x, &plain, &s, e);
    if (rc == QS_OK)
        rc = qs_session_feed(s, ids, 12, 11, logits, e);
    qs_session_free(s);
    qs_engine_free(x);
    return rc;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_spec("memory.gguf", &(struct mm_spec){ .type = QS_Q8_0 });
    assert_int_equal(run_once(m, &e), QS_OK); /* the mapping is made once and stays */
    qs_test_each_alloc(run_once, m);
    qs_model_close(m);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_pool_new(2, &pool, &e) != QS_OK)
        return 1;
    for (size_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i * 37 % 512);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_unlike),        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_requests),        cmocka_unit_test(test_timeline),      cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_taps),            cmocka_unit_test(test_caches),        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_bytes_per_token), cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_claimed),
        cmocka_unit_test(test_file_cut_short),  cmocka_unit_test(test_scratch_cut_short),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_pool_free(pool);
    return failed;
}
