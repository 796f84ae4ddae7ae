/* test_folder_config.c - what config.json may say otherwise than the tiny models of test_folder_golden.c do, and what
 * becomes of it in metadata: each test changes the text of one of them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "tests/lib/qs_test.h"

static const char *place(const char *dir, const char *name)
{
    static char path[4][700];
    static unsigned next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static char *read_file(const char *path, size_t *n)
{
    struct qs_err e = QS_ERR_INIT;
    char *text;
    if (qs_file_read(path, 1 << 22, &text, n, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return text;
}

/* Every `from` becomes `to`; it must be there. */
static void replace(struct qs_str *out, const char *text, size_t n, const char *from, const char *to)
{
    const size_t len = strlen(from);
    bool found = false;
    qs_str_clear(out);
    for (size_t i = 0; i < n;) {
        const bool here = len > 0 && n - i >= len && memcmp(text + i, from, len) == 0;
        found |= here;
        if (here)
            qs_str_add(out, to);
        else
            qs_str_addc(out, text[i]);
        i += here ? len : 1;
    }
    if (len && !found)
        fail_msg("%s is not there", from);
    assert_false(out->failed);
}

/* The tiny model of that name as folder "changed": in its config.json and in the names of its tensors pairs of texts
 * are replaced (NULL: none). */
static const char *changed(const char *name, const char *const config[][2], const char *const tensors[2])
{
    char from[700], dir[600];
    struct qs_str s = QS_STR_INIT, t = QS_STR_INIT;
    size_t n;
    (void)snprintf(dir, sizeof dir, "%s", qs_test_tmp_path("changed"));
    (void)snprintf(from, sizeof from, "%s/tests/model/tiny/%s", qs_test_src("."), name);
    qs_test_mkdirs(dir);
    char *text = read_file(place(from, "config.json"), &n);
    qs_str_addn(&s, text, n);
    qs_free(text);
    for (; config && (*config)[0]; config++) {
        replace(&t, s.data, s.len, (*config)[0], (*config)[1]);
        qs_str_clear(&s);
        qs_str_addn(&s, t.data, t.len);
    }
    qs_test_write(place(dir, "config.json"), s.data, s.len);
    text = read_file(place(from, "model.safetensors"), &n);
    uint64_t header = 0;
    memcpy(&header, text, 8);
    replace(&t, text + 8, (size_t)header, tensors ? tensors[0] : "", tensors ? tensors[1] : "");
    qs_str_clear(&s);
    for (int i = 0; i < 8; i++)
        qs_str_addc(&s, (char)(uint8_t)((uint64_t)t.len >> (8 * i)));
    qs_str_addn(&s, t.data, t.len);
    qs_str_addn(&s, text + 8 + header, n - 8 - (size_t)header);
    qs_test_write(place(dir, "model.safetensors"), s.data, s.len);
    qs_free(text);
    qs_str_free(&s);
    qs_str_free(&t);
    return qs_test_tmp_path("changed");
}

static struct qs_model *open_model(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static double number(const struct qs_model *m, const char *key)
{
    double v;
    if (!qs_kv_f64(qs_model_kv(m, key), &v))
        fail_msg("%s is missing", key);
    return v;
}

static void is_number(const struct qs_model *m, const char *key, double want)
{
    if (fabs(number(m, key) - want) > fabs(want) * 1e-6)
        fail_msg("%s is %g, not %g", key, number(m, key), want);
}

static void is_text(const struct qs_model *m, const char *key, const char *want)
{
    const char *s;
    size_t n;
    if (!qs_kv_str(qs_model_kv(m, key), &s, &n) || n != strlen(want) || memcmp(s, want, n) != 0)
        fail_msg("%s is not %s", key, want);
}

/* An array of truths, as "1101". */
static void is_pattern(const struct qs_model *m, const char *key, const char *want)
{
    const struct qs_kv *kv = qs_model_kv(m, key);
    if (!kv || kv->item != QS_GGUF_BOOL || kv->count != strlen(want))
        fail_msg("%s is no pattern of %zu layers", key, strlen(want));
    for (size_t i = 0; i < strlen(want); i++)
        assert_int_equal(kv->raw[12 + i], want[i] - '0');
}

static bool remarked(const struct qs_model *m, const char *words)
{
    for (size_t i = 0; i < m->gguf->n_findings; i++)
        if (strstr(m->gguf->finding[i].msg, words))
            return true;
    return false;
}

#define CHANGES(...) ((const char *const[][2]){ __VA_ARGS__, { NULL, NULL } })

static void test_yarn(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("llama", CHANGES({ "\"rope_type\": \"llama3\"", "\"type\": \"yarn\"" },
        { "\"high_freq_factor\": 4.0", "\"attention_factor\": 1.5, \"beta_fast\": 20" }), NULL));
    is_text(m, "llama.rope.scaling.type", "yarn");
    is_number(m, "llama.rope.scaling.factor", 8);
    is_number(m, "llama.rope.scaling.original_context_length", 32);
    is_number(m, "llama.rope.scaling.yarn_attn_factor", 1.5);
    is_number(m, "llama.rope.scaling.yarn_beta_fast", 20);
    assert_null(qs_model_kv(m, "llama.rope.scaling.yarn_beta_slow"));
    assert_null(qs_model_find(m, "rope_freqs.weight"));
    qs_model_close(m);
}

/* What cos and sin are multiplied by, with such words in place of the last of Llama's scaling: transformers' rules. */
static double magnitude(const char *words, enum qs_code code)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_config *c;
    struct qs_model *m = open_model(changed("llama", CHANGES({ "\"rope_type\": \"llama3\"", "\"type\": \"yarn\"" },
        { "\"high_freq_factor\": 4.0", words }), NULL));
    assert_int_equal(qs_config_new(m, &c, &e), code);
    const double out = code ? 0 : c->rope[0].magnitude;
    qs_config_free(c);
    qs_model_close(m);
    return out;
}

static void is_close(double is, double want)
{
    if (!(fabs(is - want) < 1e-6))
        fail_msg("the magnitude is %g, should be %g", is, want);
}

static void test_yarn_magnitude(void **state)
{
    (void)state;
    const double usual = 0.1 * log(8) + 1;
    is_close(magnitude("\"beta_fast\": 20", QS_OK), usual);
    is_close(magnitude("\"attention_factor\": 1.5", QS_OK), 1.5);
    is_close(magnitude("\"attention_factor\": 1.0", QS_OK), 1);
    is_close(magnitude("\"attn_factor\": 1.5", QS_OK), usual); /* unknown to transformers */
    is_close(magnitude("\"mscale\": 0.5, \"mscale_all_dim\": 2", QS_OK),
             (0.05 * log(8) + 1) / (0.2 * log(8) + 1));
    is_close(magnitude("\"extrapolation_factor\": 1", QS_OK), usual);
    magnitude("\"extrapolation_factor\": 0.5", QS_EUNSUPPORTED);
    magnitude("\"attention_factor\": -1", QS_EFORMAT);
}

/* What is left out means what transformers takes; a name apart stands for architectures. */
static void test_defaults(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("llama", CHANGES({ "\"rms_norm_eps\": 1e-05,", "" }, { "\"head_dim\": 16,",
                                                                                                   "" },
        { "\"max_position_embeddings\": 128,", "" }, { "\"architectures\"", "\"others\"" },
        { "\"rope_theta\": 10000.0", "\"unused\": null" }), NULL));
    is_number(m, "llama.attention.layer_norm_rms_epsilon", 1e-6);
    is_number(m, "llama.attention.key_length", 16);
    is_number(m, "llama.context_length", 2048);
    is_number(m, "llama.rope.freq_base", 10000);
    qs_model_close(m);
}

static void test_windows(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("mistral", CHANGES({ "\"sliding_window\": 16", "\"sliding_window\": null"
                                                                 }), NULL));
    assert_null(qs_model_kv(m, "llama.attention.sliding_window"));
    assert_false(remarked(m, "sliding_window"));
    qs_model_close(m);
    m = open_model(changed("mistral", NULL, NULL));
    is_number(m, "llama.attention.sliding_window", 16);
    assert_true(remarked(m, "llama.cpp knows no window in models of MistralForCausalLM"));
    qs_model_close(m);
    m = open_model(changed("qwen3moe", CHANGES({ "\"use_sliding_window\": false", "\"use_sliding_window\": true" },
        { "\"sliding_window\": null", "\"sliding_window\": 8, \"max_window_layers\": 1" }), NULL));
    is_number(m, "qwen3moe.attention.sliding_window", 8);
    is_pattern(m, "qwen3moe.attention.sliding_window_pattern", "01");
    qs_model_close(m);
    m = open_model(changed("olmo2", CHANGES({ "Olmo2ForCausalLM", "Olmo3ForCausalLM" },
        { "\"rope_scaling\": null", "\"sliding_window\": 24" }), NULL));
    is_number(m, "olmo2.attention.sliding_window", 24);
    is_pattern(m, "olmo2.attention.sliding_window_pattern", "11");
    qs_model_close(m);
}

static void test_gemma2(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("gemma2", CHANGES({ "\"attn_logit_softcapping\": 6.0,", "" },
        { "\"final_logit_softcapping\": 5.0", "\"final_logit_softcapping\": null" },
        { "\"query_pre_attn_scalar\": 16", "\"query_pre_attn_scalar\": 64" },
        { "\"rope_theta\": 10000.0", "\"rope_theta\": 50000.0" }, { "\"sliding_attention\"", "\"full_attention\"" }),
            NULL));
    is_number(m, "gemma2.attn_logit_softcapping", 50);
    is_number(m, "gemma2.final_logit_softcapping", 0);
    is_number(m, "gemma2.attention.scale", 0.125);
    is_number(m, "gemma2.rope.freq_base", 50000);
    assert_true(remarked(m, "query_pre_attn_scalar 64"));
    const uint64_t n = m->hp.n_layer;
    char want[16] = "0000000000";
    want[n] = 0;
    is_pattern(m, "gemma2.attention.sliding_window_pattern", want);
    qs_model_close(m);
}

/* The text model inside of one that sees: its own level of names, and weights that are not its. */
static void test_gemma3_inside(void **state)
{
    (void)state;
    const char *const names[][2] = { { "\"model.", "\"language_model.model." }, { "\"model.", "\"model.language_model."
                                                                                  } };
    for (int i = 0; i < 2; i++) {
        struct qs_model *m = open_model(changed("gemma3", CHANGES({ "{\n  \"_sliding_window_pattern\": 6,",
            "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], \"text_config\": {" },
            { "\"vocab_size\": 320\n}", "\"vocab_size\": 320}}" }), names[i]));
        struct qs_model *plain = open_model(changed("gemma3", NULL, NULL));
        assert_int_equal(m->n_tensors, plain->n_tensors);
        assert_memory_equal(&m->hp.n_layer, &plain->hp.n_layer, sizeof m->hp - offsetof(struct qs_hparams, n_layer));
        qs_model_close(m);
        qs_model_close(plain);
    }
}

/* transformers 5 keeps the numbers of the rope in one object, by type of layer. */
static void test_rope_parameters(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("gemma3", CHANGES({ "\"rope_local_base_freq\": 10000.0,", "" },
        { "\"rope_theta\": 1000000.0,", "" },
        { "\"rope_scaling\": {", "\"rope_parameters\": {\"sliding_attention\": {\"rope_theta\": 2e4}, "
         "\"full_attention\": {"
          "\"rope_theta\": 3e5," },
        { "\"rope_type\": \"linear\"\n  }", "\"rope_type\": \"linear\"}}" }), NULL));
    is_number(m, "gemma3.rope.freq_base", 3e5);
    is_number(m, "gemma3.rope.freq_base_swa", 2e4);
    is_text(m, "gemma3.rope.scaling.type", "linear");
    is_number(m, "gemma3.rope.scaling.factor", 8);
    qs_model_close(m);
}

static void test_experts(void **state)
{
    (void)state;
    struct qs_model *m = open_model(changed("qwen3moe", CHANGES({ "\"norm_topk_prob\": true",
                                                                  "\"norm_topk_prob\": false" }),
        NULL));
    is_number(m, "qwen3moe.expert_weights_norm", 0);
    assert_true(remarked(m, "norm_topk_prob false"));
    qs_model_close(m);
    m = open_model(changed("qwen3moe", NULL, NULL));
    assert_null(qs_model_kv(m, "qwen3moe.expert_weights_norm"));
    qs_model_close(m);
}

static void test_smollm3_layers(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    const char *dir = changed("smollm3", CHANGES({ "    0\n  ]", "    1\n  ]" }), NULL);
    assert_int_equal(qs_model_open(dir, &m, &e), QS_EUNSUPPORTED);
    assert_non_null(strstr(e.msg, "no_rope_layers: layer 3"));
}

static void test_sampling(void **state)
{
    (void)state;
    static const char text[] = "{\"temperature\": 0.7, \"top_k\": 20, \"top_p\": 0.8, \"repetition_penalty\": 1.05}";
    const char *dir = changed("qwen3moe", NULL, NULL);
    qs_test_write(place(dir, "generation_config.json"), text, sizeof text - 1);
    struct qs_model *m = open_model(dir);
    is_number(m, "general.sampling.temp", 0.7);
    is_number(m, "general.sampling.top_k", 20);
    is_number(m, "general.sampling.top_p", 0.8);
    is_number(m, "general.sampling.penalty_repeat", 1.05);
    assert_null(qs_model_kv(m, "general.sampling.min_p"));
    qs_model_close(m);
    qs_test_write(place(dir, "generation_config.json"), "{", 1);
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_model_open(dir, &m, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "generation_config.json: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yarn),          cmocka_unit_test(test_yarn_magnitude), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_windows),       cmocka_unit_test(test_gemma2),         cmocka_unit_test(test_gemma3_inside),
        cmocka_unit_test(test_rope_parameters), cmocka_unit_test(test_experts),      cmocka_unit_test(test_smollm3_layers),
        cmocka_unit_test(test_sampling),
    };
    return cmocka_run_group_tests_name("config.json of folders", tests, NULL, NULL);
}
