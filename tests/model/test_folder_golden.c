/* test_folder_golden.c - Hugging Face folders against what llama.cpp's converter makes of them.
 *
 * tests/model/tiny/NAME/gguf.txt (described in tests/oracle/convert_tiny.py) lists metadata and tensors; every
 * difference that is meant stands in the tables below, with its reason. The storyteller is compared with its GGUF file.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/model.h"
#include "tests/lib/qs_test.h"

static struct qs_model *open_model(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

static uint64_t fnv(uint64_t h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

#define FNV_START 0xcbf29ce484222325

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* What is written though the converter does not, and why. "*": any family. */
static const struct { const char *model, *key; } more[] = {
    { "*", "general.type" }, { "*", "general.name" }, { "*", "general.size_label" }, /* not listed: guesses at names */
    { "*", "general.quantization_version" },                                         /* not listed */
    { "*", ".vocab_size" },                       /* where there is no tokenizer to count */
    { "mistral", "llama.attention.sliding_window" }, /* the converter drops the window */
    { "gemma3", "tokenizer.ggml.unknown_token_id" }, /* tokenizer.model has one, the configuration does not name it */
};

/* What the converter writes and we do not: nothing reads it for this kind of tokenizer. */
static const struct { const char *model, *key; } less[] = {
    { "llama", "tokenizer.ggml.add_sep_token" },
};

static bool is_more(const char *model, const char *key)
{
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const size_t n = strlen(more[i].key), len = strlen(key);
        const bool same = more[i].key[0] == '.' ? len > n && strcmp(key + len - n, more[i].key) == 0
                                                : strcmp(key, more[i].key) == 0;
        if (same && (more[i].model[0] == '*' || strcmp(more[i].model, model) == 0))
            return true;
    }
    return false;
}

static void array_text(const struct qs_kv *kv, char *out, size_t cap)
{
    uint64_t h = FNV_START, cursor = 0;
    const char *s;
    size_t n;
    if (kv->item == QS_GGUF_STRING)
        while (qs_kv_next_str(kv, &cursor, &s, &n)) {
            h = fnv(h, s, n);
            h = fnv(h, "", 1);
        }
    else
        h = fnv(h, kv->raw + 12, (size_t)kv->raw_len - 12);
    (void)snprintf(out, cap, "[%" PRIu64 "] %016" PRIx64, kv->count, h);
}

/* The value as the listing writes it. */
static void value_text(const struct qs_kv *kv, char *out, size_t cap)
{
    const char *s;
    size_t n;
    double v;
    uint64_t u;
    out[0] = 0;
    if (kv->type == QS_GGUF_ARRAY) {
        array_text(kv, out, cap);
    } else if (qs_kv_str(kv, &s, &n)) {
        size_t at = 0;
        for (size_t i = 0; i < n && at + 3 < cap; i++) {
            if (s[i] == '\n')
                out[at++] = '\\';
            out[at++] = s[i] == '\n' ? 'n' : s[i];
        }
        out[at] = 0;
    } else if (kv->type == QS_GGUF_BOOL && qs_kv_u64(kv, &u)) {
        (void)snprintf(out, cap, "%s", u ? "true" : "false");
    } else if (qs_kv_f64(kv, &v)) {
        (void)snprintf(out, cap, "%.9g", v);
    }
}

static void compare_value(const struct qs_model *m, const char *name, const char *key, const char *want, bool vocab)
{
    static char have[1 << 16];
    if (strcmp(key, "general.file_type") == 0 && strcmp(want, "0") == 0)
        return; /* the listing is of a file in F32: ours keeps the type of the folder */
    if (!vocab && strncmp(key, "tokenizer.", 10) == 0)
        return;
    for (size_t i = 0; i < sizeof less / sizeof *less; i++)
        if (strcmp(less[i].model, name) == 0 && strcmp(less[i].key, key) == 0)
            return;
    const struct qs_kv *kv = qs_model_kv(m, key);
    if (!kv)
        fail_msg("%s: %s is missing", name, key);
    value_text(kv, have, sizeof have);
    if (strcmp(have, want) != 0)
        fail_msg("%s: %s is %s, not %s", name, key, have, want);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_as(const struct qs_model *m, const struct qs_tensor *t, int type)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    if (qs_model_weight(m, t, &w, &e) != QS_OK)
        fail_msg("%s", e.msg);
    uint64_t h;
    if (type == QS_F32) {
        float *x = qs_malloc((size_t)t->n * sizeof *x);
        assert_non_null(x);
        assert_int_equal(qs_weight_decode(w, 0, w->rows, x, &e), QS_OK);
        h = fnv(FNV_START, x, (size_t)t->n * sizeof *x);
        qs_free(x);
    } else {
        assert_int_equal(t->type, type);
        h = fnv(FNV_START, w->parts.p[0], (size_t)w->bytes);
    }
    qs_weight_unref(w);
    return h;
}

/* powf of another library: the last bit may differ. */
static bool may_round(const char *name) { return strcmp(name, "rope_freqs.weight") == 0; }

static void compare_tensor(const struct qs_model *m, const char *model, char *line)
{
    char name[80], type[16], type16[16];
    uint64_t ne[4], hash;
    assert_int_equal(sscanf(line, "%79s %15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNx64 " %15s", name,
                            type,
                            &ne[0], &ne[1], &ne[2], &ne[3], &hash, type16), 8);
    const struct qs_tensor *t = qs_model_find(m, name);
    if (!t)
        fail_msg("%s: tensor %s is missing", model, name);
    for (int d = 0; d < 4; d++)
        if (t->ne[d] != ne[d])
            fail_msg("%s: tensor %s: dimension %d is %" PRIu64 ", not %" PRIu64, model, name, d, t->ne[d], ne[d]);
    const int want = qs_format_by_name(type)->id;
    if (strcmp(type16, "F16") != 0 && t->type != qs_format_by_name(type16)->id)
        fail_msg("%s: tensor %s is %s, not %s", model, name, qs_type_name(t->type), type16);
    if (hash_as(m, t, want) != hash && !may_round(name))
        fail_msg("%s: tensor %s has other bytes", model, name);
}

/* ---- one folder -------------------------------------------------------------------------------------------------- */

static bool listed(const char *text, const char *key)
{
    char want[160];
    (void)snprintf(want, sizeof want, "%s = ", key);
    const char *at = strstr(text, want);
    return at && (at == text || at[-1] == '\n');
}

static void compare_folder(const char *name)
{
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    char *text;
    size_t n, tensors = 0;
    (void)snprintf(path, sizeof path, "%s/tests/model/tiny/%s", qs_test_src("."), name);
    struct qs_model *m = open_model(path);
    (void)snprintf(path, sizeof path, "%s/tests/model/tiny/%s/gguf.txt", qs_test_src("."), name);
    assert_int_equal(qs_file_read(path, 1 << 20, &text, &n, &e), QS_OK);
    const bool vocab = strstr(text, "tokenizer.ggml.tokens") != NULL;
    char *copy = qs_strdup(text);
    for (char *line = copy; line && *line;) {
        char *end = strchr(line, '\n'), *is = strstr(line, " = ");
        if (end)
            *end = 0;
        if (is && (!end || is < end)) {
            *is = 0;
            compare_value(m, name, line, is + 3, vocab);
        } else {
            compare_tensor(m, name, line);
            tensors++;
        }
        line = end ? end + 1 : NULL;
    }
    assert_int_equal(m->n_tensors, tensors);
    size_t n_kv;
    const struct qs_kv *kv = qs_model_metadata(m, &n_kv);
    for (size_t i = 0; i < n_kv; i++)
        if (!listed(text, kv[i].key) && !is_more(name, kv[i].key) && (vocab || strncmp(kv[i].key, "tokenizer.", 10)))
            fail_msg("%s: %s is more than the converter writes", name, kv[i].key);
    qs_free(copy);
    qs_free(text);
    qs_model_close(m);
}

#define FOLDER(name, folder) \
    static void test_##name(void **state) \
    { \
        (void)state; \
        compare_folder(folder); \
    }
FOLDER(llama, "llama")
FOLDER(llama_untied, "llama-untied")
FOLDER(mistral, "mistral")
FOLDER(mixtral, "mixtral")
FOLDER(smollm3, "smollm3")
FOLDER(granite, "granite")
FOLDER(qwen2, "qwen2")
FOLDER(qwen2moe, "qwen2moe")
FOLDER(qwen3, "qwen3")
FOLDER(qwen3moe, "qwen3moe")
FOLDER(gemma2, "gemma2")
FOLDER(gemma3, "gemma3")
FOLDER(phi3, "phi3")
FOLDER(olmo2, "olmo2")
FOLDER(gpt_oss, "gpt-oss")

/* Llama 3's factors, which may differ in the last bit, by the definition. */
static void test_llama3_factors(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_model(qs_test_src("tests/model/tiny/llama"));
    struct qs_weight *w;
    float have[8];
    assert_int_equal(qs_model_weight(m, qs_model_find(m, "rope_freqs.weight"), &w, &e), QS_OK);
    assert_int_equal(qs_weight_decode(w, 0, 1, have, &e), QS_OK);
    for (int i = 0; i < 8; i++) {
        const double wave = 2 * 3.14159265358979323846 * pow(10000, 2 * i / 16.0);
        const double smooth = (32 / wave - 1) / (4 - 1);
        const double want = wave < 8 ? 1 : wave > 32 ? 8 : 1 / ((1 - smooth) / 8 + smooth);
        assert_true(fabs(have[i] - want) <= want * 1e-6);
    }
    qs_weight_unref(w);
    qs_model_close(m);
}

/* ---- the storyteller --------------------------------------------------------------------------------------------- */

/* Matrices byte for byte; norms were rounded to F16 when the folder was made. */
static void test_storyteller(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *a = open_model(qs_test_data("models/storyteller-9m-f16.gguf"));
    struct qs_model *b = open_model(qs_test_data("models/storyteller-hf"));
    assert_true(b->is_folder && !a->is_folder);
    assert_int_equal(a->n_tensors, b->n_tensors);
    assert_int_equal(a->bytes, b->bytes);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct qs_tensor *t = &a->tensor[i], *u = qs_model_find(b, t->name);
        struct qs_weight *v, *w;
        assert_non_null(u);
        assert_int_equal(t->type, u->type);
        assert_memory_equal(t->ne, u->ne, sizeof t->ne);
        assert_int_equal(qs_model_weight(a, t, &v, &e), QS_OK);
        assert_int_equal(qs_model_weight(b, u, &w, &e), QS_OK);
        if (t->type == QS_F16)
            assert_memory_equal(v->parts.p[0], w->parts.p[0], (size_t)t->size);
        for (uint64_t k = 0; t->type == QS_F32 && k < t->n; k++) {
            float x, y;
            memcpy(&x, v->parts.p[0] + 4 * k, 4);
            memcpy(&y, w->parts.p[0] + 4 * k, 4);
            assert_true(fabsf(x - y) <= 0.0005f * fabsf(x) + 1e-7f);
        }
        qs_weight_unref(v);
        qs_weight_unref(w);
    }
    assert_memory_equal(&a->hp.n_layer, &b->hp.n_layer, sizeof a->hp - offsetof(struct qs_hparams, n_layer));
    assert_int_equal(a->file_type, b->file_type);
    qs_model_close(a);
    qs_model_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama), cmocka_unit_test(test_llama_untied), cmocka_unit_test(test_mistral),
        cmocka_unit_test(test_mixtral), cmocka_unit_test(test_smollm3), cmocka_unit_test(test_granite),
        cmocka_unit_test(test_qwen2), cmocka_unit_test(test_qwen2moe), cmocka_unit_test(test_qwen3),
        cmocka_unit_test(test_qwen3moe), cmocka_unit_test(test_gemma2), cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_phi3), cmocka_unit_test(test_olmo2), cmocka_unit_test(test_gpt_oss),
        cmocka_unit_test(test_llama3_factors), cmocka_unit_test(test_storyteller),
    };
    return cmocka_run_group_tests_name("folders against the converter", tests, NULL, NULL);
}
