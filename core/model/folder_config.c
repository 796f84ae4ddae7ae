/* folder_config.c - which family a config.json is of, and the numbers that shapes follow from.
 *
 * Owns the table of families. Refuses architectures that are not in it, quantized weights, and numbers that are
 * missing, too large or do not go together. Defaults are those of the configuration classes of transformers 4.57: a
 * config.json that leaves a number out means them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder_internal.h"

#define MAX_NUMBER (1u << 30)

#define LLAMA (QS_FOLDER_PERMUTE | QS_FOLDER_LLAMA_KEYS)
#define GEMMA (QS_FOLDER_NORM_PLUS_1 | QS_FOLDER_POST_ATTN | QS_FOLDER_PRE_FFW | QS_FOLDER_POST_FFW)
#define GEMMA3 (GEMMA | QS_FOLDER_GEMMA3 | QS_FOLDER_QK_NORM)
#define OLMO (QS_FOLDER_OLMO | QS_FOLDER_NO_PRE_NORM | QS_FOLDER_POST_ATTN | QS_FOLDER_POST_FFW | QS_FOLDER_QK_NORM_ROW)

static const struct qs_folder_family families[] = {
    { .hf = "LlamaForCausalLM", .model_type = "llama", .arch = "llama", .flags = LLAMA | QS_FOLDER_HEAD_DIM,
      .n_ctx = 2048, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "MistralForCausalLM", .model_type = "mistral", .arch = "llama",
      .flags = LLAMA | QS_FOLDER_HEAD_DIM | QS_FOLDER_WINDOW, .n_ctx = 131072, .n_head_kv = 8, .rope_theta = 1e4,
      .eps = 1e-6 },
    { .hf = "MixtralForCausalLM", .model_type = "mixtral", .arch = "llama",
      .flags = LLAMA | QS_FOLDER_WINDOW | QS_FOLDER_MIXTRAL, .n_ctx = 131072, .n_head_kv = 8, .n_expert = 8,
      .n_expert_used = 2, .rope_theta = 1e6, .eps = 1e-5 },
    { .hf = "SmolLM3ForCausalLM", .model_type = "smollm3", .arch = "smollm3", .flags = LLAMA | QS_FOLDER_SMOLLM3,
      .n_ctx = 32768, .n_head_kv = 4, .rope_theta = 2e6, .eps = 1e-6 },
    { .hf = "GraniteForCausalLM", .model_type = "granite", .arch = "granite",
      .flags = LLAMA | QS_FOLDER_GRANITE | QS_FOLDER_NO_HEAD_DIM, .n_ctx = 2048, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Qwen2ForCausalLM", .model_type = "qwen2", .arch = "qwen2", .flags = QS_FOLDER_QKV_BIAS, .n_ctx = 32768,
      .n_head_kv = 32, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Qwen2MoeForCausalLM", .model_type = "qwen2_moe", .arch = "qwen2moe",
      .flags = QS_FOLDER_QKV_BIAS | QS_FOLDER_QWEN_MOE | QS_FOLDER_SHARED, .n_ctx = 32768, .n_head_kv = 16,
      .n_expert = 60, .n_expert_used = 4, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Qwen3ForCausalLM", .model_type = "qwen3", .arch = "qwen3", .flags = QS_FOLDER_QK_NORM, .n_ctx = 32768,
      .n_head_kv = 32, .head_dim = 128, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Qwen3MoeForCausalLM", .model_type = "qwen3_moe", .arch = "qwen3moe",
      .flags = QS_FOLDER_QK_NORM | QS_FOLDER_QWEN_MOE, .n_ctx = 32768, .n_head_kv = 4, .n_expert = 128,
      .n_expert_used = 8, .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Gemma2ForCausalLM", .model_type = "gemma2", .arch = "gemma2",
      .flags = GEMMA | QS_FOLDER_GEMMA2 | QS_FOLDER_TIED, .n_ctx = 8192, .n_head_kv = 4, .head_dim = 256,
      .rope_theta = 1e4, .eps = 1e-6 },
    { .hf = "Gemma3ForCausalLM", .model_type = "gemma3_text", .arch = "gemma3", .flags = GEMMA3, .n_ctx = 131072,
      .n_head = 8, .n_head_kv = 4, .head_dim = 256, .rope_theta = 1e6, .eps = 1e-6 },
    { .hf = "Gemma3ForConditionalGeneration", .model_type = "gemma3", .arch = "gemma3", .flags = GEMMA3,
      .n_ctx = 131072, .n_head = 8, .n_head_kv = 4, .head_dim = 256, .rope_theta = 1e6, .eps = 1e-6 },
    { .hf = "Phi3ForCausalLM", .model_type = "phi3", .arch = "phi3", .flags = QS_FOLDER_FUSED, .n_ctx = 4096,
      .rope_theta = 1e4, .eps = 1e-5 },
    { .hf = "Olmo2ForCausalLM", .model_type = "olmo2", .arch = "olmo2", .flags = OLMO, .n_ctx = 2048,
      .rope_theta = 1e4, .eps = 1e-5 },
    { .hf = "Olmo3ForCausalLM", .model_type = "olmo3", .arch = "olmo2", .flags = OLMO | QS_FOLDER_WINDOW,
      .n_ctx = 2048, .rope_theta = 1e4, .eps = 1e-5 },
    { .hf = "GptOssForCausalLM", .model_type = "gpt_oss", .arch = "gpt-oss",
      .flags = QS_FOLDER_GPT_OSS | QS_FOLDER_POST_ATTN, .n_ctx = 131072, .n_head_kv = 8, .head_dim = 64,
      .n_expert = 128, .n_expert_used = 4, .rope_theta = 15e4, .eps = 1e-5 },
};

const char *qs_folder_architecture(size_t i)
{
    return i < sizeof families / sizeof *families ? families[i].hf : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static const struct qs_json *value_in(const struct qs_json *obj, const char *key)
{
    const struct qs_json *v = qs_json_get(obj, key);
    return qs_json_type(v) == QS_JSON_NULL ? NULL : v;
}

const struct qs_json *qs_folder_value(const struct qs_folder *f, const char *key)
{
    const struct qs_json *v = value_in(f->text, key);
    return v ? v : value_in(f->config, key);
}

const struct qs_json *qs_folder_rope(const struct qs_folder *f, const char *key)
{
    const struct qs_json *p = qs_folder_value(f, "rope_parameters"), *v;
    if (!p)
        p = qs_folder_value(f, "rope_scaling");
    const struct qs_json *full = value_in(p, "full_attention");
    v = value_in(full ? full : p, key);
    return v ? v : qs_folder_value(f, key);
}

const char *qs_folder_rope_type(const struct qs_folder *f)
{
    const struct qs_json *p = qs_folder_value(f, "rope_parameters");
    if (!p)
        p = qs_folder_value(f, "rope_scaling");
    const struct qs_json *full = value_in(p, "full_attention");
    p = full ? full : p;
    return qs_json_str(value_in(p, "rope_type"), qs_json_str(value_in(p, "type"), "default"));
}

/* ---- the family -------------------------------------------------------------------------------------------------- */

static const struct qs_folder_family *find_family(const char *hf, const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (hf ? strcmp(families[i].hf, hf) == 0 : model_type && strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

static int choose_family(struct qs_folder *f, struct qs_err *e)
{
    const struct qs_json *list = value_in(f->config, "architectures");
    const char *hf = qs_json_str(qs_json_at(list, 0), NULL);
    const char *model_type = qs_json_str(value_in(f->config, "model_type"), NULL);
    f->family = find_family(hf, model_type);
    if (f->family)
        return QS_OK;
    if (!hf && !model_type)
        return qs_fail(e, QS_EFORMAT, "%s/config.json: neither \"architectures\" nor \"model_type\" says what the "
                       "model is", f->dir);
    return qs_fail(e, QS_EUNSUPPORTED, "%s: folders of the architecture %.80s cannot be opened yet: convert the folder "
                   "to GGUF (convert_hf_to_gguf.py of llama.cpp)", f->dir, hf ? hf : model_type);
}

/* Weights that were quantized already: all but gpt-oss as it is published. */
static int refuse_quantized(const struct qs_folder *f, struct qs_err *e)
{
    const struct qs_json *q = qs_folder_value(f, "quantization_config");
    const char *method = qs_json_str(value_in(q, "quant_method"), NULL);
    if (!q || (method && strcmp(method, "mxfp4") == 0 && f->family->flags & QS_FOLDER_GPT_OSS))
        return QS_OK;
    return qs_fail(e, QS_EUNSUPPORTED, "%s holds weights quantized by %.60s: such folders cannot be opened yet; take "
                   "the model that was not quantized", f->dir,
                   method ? method : "a method that config.json does not name");
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* The number of that name; `otherwise` where there is none. 0 is no number. */
static int number(const struct qs_folder *f, const char *key, uint64_t otherwise, uint64_t *out, struct qs_err *e)
{
    const struct qs_json *v = qs_folder_value(f, key);
    *out = v ? qs_json_uint(v, 0) : otherwise;
    if (*out >= 1 && *out <= MAX_NUMBER)
        return QS_OK;
    return v ? qs_fail(e, QS_EFORMAT, "%s/config.json: %s is no number from 1 to %u", f->dir, key, MAX_NUMBER)
             : qs_fail(e, QS_EFORMAT, "%s/config.json: %s is missing", f->dir, key);
}

static int limited(const struct qs_folder *f, const char *key, uint64_t v, uint64_t most, struct qs_err *e)
{
    return v <= most ? QS_OK : qs_fail(e, QS_ELIMIT, "%s/config.json: %s %" PRIu64 " is more than %" PRIu64, f->dir,
                                       key, v, most);
}

static int read_attention(struct qs_folder *f, struct qs_err *e)
{
    const struct qs_folder_family *fam = f->family;
    struct qs_folder_numbers *n = &f->n;
    int rc = number(f, "num_attention_heads", fam->n_head, &n->n_head, e);
    if (!rc)
        rc = number(f, "num_key_value_heads", fam->n_head_kv ? fam->n_head_kv : n->n_head, &n->n_head_kv, e);
    if (rc)
        return rc;
    const bool stated = !(fam->flags & QS_FOLDER_NO_HEAD_DIM) && qs_folder_value(f, "head_dim");
    uint64_t derived = fam->head_dim ? fam->head_dim : n->n_embd / n->n_head;
    n->head_dim = derived;
    n->head_dim_stated = stated || fam->head_dim || fam->flags & QS_FOLDER_HEAD_DIM;
    if (stated)
        rc = number(f, "head_dim", derived, &n->head_dim, e);
    if (rc)
        return rc;
    if (n->n_head % n->n_head_kv)
        return qs_fail(e, QS_EFORMAT, "%s/config.json: num_attention_heads %" PRIu64 " is no multiple of "
                       "num_key_value_heads %" PRIu64, f->dir, n->n_head, n->n_head_kv);
    if (n->head_dim == 0 || n->head_dim % 2)
        return qs_fail(e, QS_EFORMAT, "%s/config.json: heads of %" PRIu64 " numbers: an even number is needed "
                       "(hidden_size %" PRIu64 ", num_attention_heads %" PRIu64 ")", f->dir, n->head_dim, n->n_embd,
                       n->n_head);
    return limited(f, "head_dim", n->head_dim, QS_FOLDER_MAX_HEAD, e);
}

/* llama.cpp, and so GGUF, knows these models with experts in every layer. */
static int refuse_dense_layers(const struct qs_folder *f, struct qs_err *e)
{
    const struct qs_json *step = qs_folder_value(f, "decoder_sparse_step");
    if (qs_json_len(qs_folder_value(f, "mlp_only_layers")) == 0 && (!step || qs_json_int(step, 1) == 1))
        return QS_OK;
    return qs_fail(e, QS_EUNSUPPORTED, "%s/config.json: some layers without experts (mlp_only_layers, "
                   "decoder_sparse_step): GGUF has no such %s", f->dir, f->family->arch);
}

static int read_experts(struct qs_folder *f, struct qs_err *e)
{
    const unsigned flags = f->family->flags;
    struct qs_folder_numbers *n = &f->n;
    const bool local = qs_folder_value(f, "num_local_experts") || !(flags & QS_FOLDER_QWEN_MOE);
    int rc = number(f, local ? "num_local_experts" : "num_experts", f->family->n_expert, &n->n_expert, e);
    if (!rc)
        rc = limited(f, "num_experts", n->n_expert, QS_FOLDER_MAX_EXPERTS, e);
    if (!rc)
        rc = number(f, "num_experts_per_tok", f->family->n_expert_used, &n->n_expert_used, e);
    if (!rc && n->n_expert_used > n->n_expert)
        rc = qs_fail(e, QS_EFORMAT, "%s/config.json: num_experts_per_tok %" PRIu64 " of %" PRIu64 " experts", f->dir,
                     n->n_expert_used, n->n_expert);
    n->n_ff_expert = n->n_ff;
    if (!rc && flags & QS_FOLDER_QWEN_MOE)
        rc = number(f, "moe_intermediate_size", 0, &n->n_ff_expert, e);
    if (!rc && flags & QS_FOLDER_SHARED)
        rc = number(f, "shared_expert_intermediate_size", 0, &n->n_ff_shared, e);
    if (!rc && flags & QS_FOLDER_QWEN_MOE)
        rc = refuse_dense_layers(f, e);
    return rc;
}

static int read_numbers(struct qs_folder *f, struct qs_err *e)
{
    struct qs_folder_numbers *n = &f->n;
    int rc = number(f, "num_hidden_layers", 0, &n->n_layer, e);
    if (!rc)
        rc = limited(f, "num_hidden_layers", n->n_layer, QS_FOLDER_MAX_LAYERS, e);
    if (!rc)
        rc = number(f, "hidden_size", 0, &n->n_embd, e);
    if (!rc)
        rc = number(f, "intermediate_size", 0, &n->n_ff, e);
    if (!rc)
        rc = number(f, "vocab_size", f->family->flags & QS_FOLDER_GEMMA3 ? 262208 : 0, &n->n_vocab, e);
    if (!rc)
        rc = number(f, "max_position_embeddings", f->family->n_ctx, &n->n_ctx, e);
    if (!rc)
        rc = read_attention(f, e);
    if (!rc && f->family->flags & QS_FOLDER_EXPERTS)
        rc = read_experts(f, e);
    return rc;
}

static int read_config(struct qs_folder *f, struct qs_err *e)
{
    int rc = qs_folder_json(f, "config.json", &f->config, e);
    if (rc)
        return rc;
    if (!f->config)
        return qs_folder_refuse(f, "config.json", e);
    if (qs_json_type(f->config) != QS_JSON_OBJECT)
        return qs_fail(e, QS_EFORMAT, "%s/config.json: is no JSON object", f->dir);
    const struct qs_json *text = value_in(f->config, "text_config");
    f->text = qs_json_type(text) == QS_JSON_OBJECT ? text : f->config;
    rc = choose_family(f, e);
    return rc ? rc : refuse_quantized(f, e);
}

int qs_folder_config(struct qs_folder *f, struct qs_err *e)
{
    const int rc = read_config(f, e);
    return rc ? rc : read_numbers(f, e);
}

/* "torch.bfloat16", "bfloat16" -> "BF16" */
static const char *type_of(const struct qs_folder *f)
{
    static const struct { const char *dtype, *type; } known[] = {
        { "bfloat16", "BF16" }, { "float16", "F16" }, { "float32", "F32" },
    };
    const struct qs_json *v = qs_folder_value(f, "dtype");
    const char *s = qs_json_str(v ? v : qs_folder_value(f, "torch_dtype"), "");
    if (strncmp(s, "torch.", 6) == 0)
        s += 6;
    if (qs_folder_value(f, "quantization_config")) /* of gpt-oss: others were refused */
        return "MXFP4";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].dtype, s) == 0)
            return known[i].type;
    return "";
}

int qs_folder_peek(const char *dir, struct qs_folder_peek *out, struct qs_err *e)
{
    struct qs_folder f = { .dir = qs_strdup(dir) };
    *out = (struct qs_folder_peek){ .arch = "" };
    const int rc = f.dir ? read_config(&f, e) : qs_fail_mem(e, strlen(dir), "a path");
    if (!rc) {
        (void)snprintf(out->arch, sizeof out->arch, "%s", f.family->arch);
        (void)snprintf(out->type, sizeof out->type, "%s", type_of(&f));
    }
    qs_json_free(f.config);
    qs_folder_free_parts(&f.beside);
    qs_free(f.dir);
    return rc;
}
