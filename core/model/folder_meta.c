/* folder_meta.c - the metadata that a folder's model has as a GGUF file.
 *
 * Owns the choice of keys. They are those that the converter of llama.cpp writes for the same folder, in its order;
 * more is written, and why stands beside it, where config.json says what llama.cpp would take otherwise for granted:
 * there the key is one that GGUF has for it, so that this program (and whoever reads it) computes what the model is.
 * What GGUF has no word for is a remark, which `quantscape check` tells.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder_internal.h"

void qs_folder_remark(struct qs_folder *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(&f->remarks, fmt, ap);
    va_end(ap);
    qs_str_addc(&f->remarks, '\n');
}

/* ---- values under the name of the architecture ------------------------------------------------------------------- */

struct out { struct qs_folder *f; struct qs_gguf_meta *m; struct qs_err *e; int rc; };

static const char *key_of(const struct out *o, const char *suffix, char *buf, size_t n)
{
    (void)snprintf(buf, n, "%s.%s", o->f->family->arch, suffix);
    return buf;
}

static void put_u32(struct out *o, const char *suffix, uint64_t v)
{
    char key[128];
    if (!o->rc)
        o->rc = qs_gguf_meta_u32(o->m, key_of(o, suffix, key, sizeof key), (uint32_t)v, o->e);
}

int qs_folder_put_f32(const struct qs_folder *f, struct qs_gguf_meta *m, const char *key, double v, struct qs_err *e)
{
    if (!(fabs(v) <= FLT_MAX))
        return qs_fail(e, QS_EFORMAT, "%s: %g as %s makes no sense", f->dir, v, key);
    const float x = (float)v;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint8_t raw[4] = { (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24) };
    return qs_gguf_meta_raw(m, key, QS_GGUF_F32, raw, sizeof raw, e);
}

static void put_f32(struct out *o, const char *suffix, double v)
{
    char key[128];
    if (!o->rc)
        o->rc = qs_folder_put_f32(o->f, o->m, key_of(o, suffix, key, sizeof key), v, o->e);
}

static void put_bool(struct out *o, const char *suffix, bool v)
{
    char key[128];
    const uint8_t raw = v;
    if (!o->rc)
        o->rc = qs_gguf_meta_raw(o->m, key_of(o, suffix, key, sizeof key), QS_GGUF_BOOL, &raw, 1, o->e);
}

static void put_str(struct out *o, const char *suffix, const char *v)
{
    char key[128];
    if (!o->rc)
        o->rc = qs_gguf_meta_str(o->m, key_of(o, suffix, key, sizeof key), v, o->e);
}

/* config.json's number of that name, if it is one. */
static bool stated(const struct qs_folder *f, const char *name, double *v)
{
    const struct qs_json *x = qs_folder_value(f, name);
    const enum qs_json_type t = qs_json_type(x);
    if (t != QS_JSON_INT && t != QS_JSON_DOUBLE)
        return false;
    *v = qs_json_num(x, 0);
    return isfinite(*v);
}

static double value_or(const struct qs_folder *f, const char *name, double otherwise)
{
    double v;
    return stated(f, name, &v) ? v : otherwise;
}

/* The same of a whole number; what is none, or too large for GGUF, counts as `otherwise`. */
static uint64_t whole_or(const struct qs_json *v, uint64_t otherwise)
{
    const uint64_t n = qs_json_uint(v, otherwise);
    return n <= INT32_MAX ? n : otherwise;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* Which layers see a window only, where config.json says so layer by layer. */
static bool layer_slides(const struct qs_folder *f, uint64_t l, bool otherwise)
{
    const char *type = qs_json_str(qs_json_at(qs_folder_value(f, "layer_types"), (size_t)l), NULL);
    return type ? strcmp(type, "sliding_attention") == 0 : otherwise;
}

/* Which layers see a window only, one by one; without `always` where it is not every n-th layer that sees
 * everything, which is what llama.cpp takes for granted. `every` 0: it knows no windows here, and the layers from
 * `first` on have one. */
static void put_pattern(struct out *o, unsigned every, uint64_t first, bool always)
{
    struct qs_folder *f = o->f;
    const uint64_t n = f->n.n_layer;
    const double step = value_or(f, "sliding_window_pattern", value_or(f, "_sliding_window_pattern", every));
    const uint64_t own = step >= 1 && step <= 1e6 ? (uint64_t)step : every;
    uint8_t *raw = qs_malloc(12 + (size_t)n);
    bool usual = every > 0;
    if (!raw) {
        o->rc = o->rc ? o->rc : qs_fail_mem(o->e, n, "the pattern of layers");
        return;
    }
    memset(raw, 0, 12);
    raw[0] = QS_GGUF_BOOL;
    for (unsigned i = 0; i < 4; i++)
        raw[4 + i] = (uint8_t)(n >> (8 * i));
    for (uint64_t l = 0; l < n; l++) {
        raw[12 + l] = layer_slides(f, l, every ? (l + 1) % own != 0 : l >= first);
        usual = usual && raw[12 + l] == ((l + 1) % every != 0);
    }
    char key[128];
    key_of(o, "attention.sliding_window_pattern", key, sizeof key);
    if (!o->rc && (always || !usual))
        o->rc = qs_gguf_meta_raw(o->m, key, QS_GGUF_ARRAY, raw, 12 + (size_t)n, o->e);
    qs_free(raw);
}

/* ---- rope -------------------------------------------------------------------------------------------------------- */

static void put_theta(struct out *o, const char *suffix, double theta)
{
    if (!o->rc && !(theta > 0))
        o->rc = qs_fail(o->e, QS_EFORMAT, "%s/config.json: rope_theta %g is no number above 0", o->f->dir, theta);
    put_f32(o, suffix, theta);
}

/* The magnitude where transformers does not take its default, 0: it does. It reads no "attn_factor". */
static double yarn_magnitude(const struct qs_folder *f)
{
    const double all = qs_json_num(qs_folder_rope(f, "mscale_all_dim"), 0);
    const double own = qs_json_num(qs_folder_rope(f, "mscale"), 0);
    const double more = 0.1 * log(fmax(1, qs_json_num(qs_folder_rope(f, "factor"), 1)));
    const double stated = qs_json_num(qs_folder_rope(f, "attention_factor"), 0);
    return stated > 0 || stated < 0 ? stated : own > 0 && all > 0 ? (own * more + 1) / (all * more + 1) : 0;
}

static void put_yarn(struct out *o)
{
    static const struct { const char *from, *to; } more[] = {
        { "extrapolation_factor", "rope.scaling.yarn_ext_factor" },
        { "beta_fast", "rope.scaling.yarn_beta_fast" },
        { "beta_slow", "rope.scaling.yarn_beta_slow" },
    };
    const double magnitude = yarn_magnitude(o->f);
    const struct qs_json *context = qs_folder_rope(o->f, "original_max_position_embeddings");
    put_str(o, "rope.scaling.type", "yarn");
    put_f32(o, "rope.scaling.factor", qs_json_num(qs_folder_rope(o->f, "factor"), 1));
    put_u32(o, "rope.scaling.original_context_length", whole_or(context, o->f->n.n_ctx));
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const struct qs_json *v = qs_folder_rope(o->f, more[i].from);
        if (v)
            put_f32(o, more[i].to, qs_json_num(v, 0));
    }
    if (magnitude > 0 || magnitude < 0)
        put_f32(o, "rope.scaling.yarn_attn_factor", magnitude);
}

static void put_rope(struct out *o)
{
    struct qs_folder *f = o->f;
    const char *type = qs_folder_rope_type(f);
    const struct qs_json *factor = qs_folder_rope(f, "factor");
    if (strcmp(type, "linear") == 0 && factor) {
        put_str(o, "rope.scaling.type", "linear");
        put_f32(o, "rope.scaling.factor", qs_json_num(factor, 1));
    } else if (strcmp(type, "yarn") == 0 && factor) {
        put_yarn(o);
    } else if (strcmp(type, "su") == 0 || strcmp(type, "longrope") == 0) {
        put_str(o, "rope.scaling.type", "longrope");
    } else if (strcmp(type, "default") != 0 && !(strcmp(type, "llama3") == 0 && f->family->flags & QS_FOLDER_PERMUTE)) {
        qs_folder_remark(f, "config.json: rope scaling \"%.40s\" cannot be said in GGUF: long texts will not be "
                         "understood as by the original", type);
    }
    put_theta(o, "rope.freq_base", qs_json_num(qs_folder_rope(f, "rope_theta"), f->family->rope_theta));
    const struct qs_json *p = qs_json_get(qs_folder_value(f, "rope_parameters"), "sliding_attention");
    const double local = qs_json_num(qs_json_get(p, "rope_theta"), 0);
    if (local > 0 || f->family->flags & QS_FOLDER_GEMMA3)
        put_theta(o, "rope.freq_base_swa", local > 0 ? local : value_or(f, "rope_local_base_freq", 1e4));
}

/* ---- families ---------------------------------------------------------------------------------------------------- */

static void put_sizes(struct out *o)
{
    const struct qs_folder_numbers *n = &o->f->n;
    put_u32(o, "block_count", n->n_layer);
    put_u32(o, "context_length", n->n_ctx);
    put_u32(o, "embedding_length", n->n_embd);
    put_u32(o, "feed_forward_length", n->n_ff);
    put_u32(o, "attention.head_count", n->n_head);
    put_u32(o, "attention.head_count_kv", n->n_head_kv);
}

static void put_eps(struct out *o)
{
    put_f32(o, "attention.layer_norm_rms_epsilon", value_or(o->f, "rms_norm_eps", o->f->family->eps));
}

static void put_head_dim(struct out *o)
{
    put_u32(o, "attention.key_length", o->f->n.head_dim);
    put_u32(o, "attention.value_length", o->f->n.head_dim);
}

/* Qwen's experts: whether the weights of the chosen ones are made to add up to one is fixed in llama.cpp. */
static void put_experts(struct out *o)
{
    const struct qs_folder_numbers *n = &o->f->n;
    const unsigned flags = o->f->family->flags;
    put_u32(o, "expert_count", n->n_expert);
    put_u32(o, "expert_used_count", n->n_expert_used);
    if (!(flags & QS_FOLDER_QWEN_MOE))
        return;
    const bool taken = !(flags & QS_FOLDER_SHARED), is = qs_json_bool(qs_folder_value(o->f, "norm_topk_prob"), false);
    if (is != taken) {
        put_bool(o, "expert_weights_norm", is);
        qs_folder_remark(o->f, "config.json: norm_topk_prob %s is not what llama.cpp computes for %s",
                         is ? "true" : "false",
                         o->f->family->arch);
    }
}

/* The scale of attention scores where it is not 1 / sqrt(head_dim), which llama.cpp takes for granted (but in the
 * largest model of each Gemma, where it is 1 / sqrt(hidden_size / heads)). */
static void put_gemma_scale(struct out *o, uint64_t largest)
{
    const struct qs_folder_numbers *n = &o->f->n;
    double scalar;
    const uint64_t taken = n->n_layer == largest ? n->n_embd / n->n_head : n->head_dim;
    if (!stated(o->f, "query_pre_attn_scalar", &scalar) || !(scalar > 0) || fabs(scalar - (double)taken) < 1e-9)
        return;
    put_f32(o, "attention.scale", 1 / sqrt(scalar));
    qs_folder_remark(o->f, "config.json: query_pre_attn_scalar %g is not what llama.cpp computes with (%" PRIu64 ")",
                     scalar, taken);
}

static void put_gemma2(struct out *o)
{
    struct qs_folder *f = o->f;
    put_sizes(o);
    put_eps(o);
    put_head_dim(o);
    const struct { const char *from, *to; double otherwise; } caps[] = {
        { "attn_logit_softcapping", "attn_logit_softcapping", 50 },
        { "final_logit_softcapping", "final_logit_softcapping", 30 },
    };
    for (size_t i = 0; i < 2; i++) /* null says that there is none; llama.cpp would take the usual one: so 0 */
        put_f32(o, caps[i].to, qs_json_get(f->text, caps[i].from) ? value_or(f, caps[i].from, 0) : caps[i].otherwise);
    put_u32(o, "attention.sliding_window", whole_or(qs_folder_value(f, "sliding_window"), 4096));
    put_pattern(o, 2, 0, false);
    const double theta = qs_json_num(qs_folder_rope(f, "rope_theta"), 1e4);
    if (fabs(theta - 1e4) > 1e-3) /* else what is taken for granted */
        put_theta(o, "rope.freq_base", theta);
    put_gemma_scale(o, 46);
}

static void put_phi3(struct out *o)
{
    struct qs_folder *f = o->f;
    const uint64_t context = whole_or(qs_folder_rope(f, "original_max_position_embeddings"), 4096);
    put_u32(o, "context_length", f->n.n_ctx);
    put_u32(o, "rope.scaling.original_context_length", context);
    put_u32(o, "embedding_length", f->n.n_embd);
    put_u32(o, "feed_forward_length", f->n.n_ff);
    put_u32(o, "block_count", f->n.n_layer);
    put_u32(o, "attention.head_count", f->n.n_head);
    put_u32(o, "attention.head_count_kv", f->n.n_head_kv);
    put_eps(o);
    put_u32(o, "rope.dimension_count", qs_folder_rope_dims(f));
    put_theta(o, "rope.freq_base", qs_json_num(qs_folder_rope(f, "rope_theta"), f->family->rope_theta));
    put_u32(o, "attention.sliding_window", whole_or(qs_folder_value(f, "sliding_window"), 0));
    const char *type = qs_folder_rope_type(f);
    const double scale = context ? (double)f->n.n_ctx / (double)context : 1;
    if (!qs_folder_rope(f, "long_factor"))
        return;
    double attn = 1;
    if (scale > 1)
        attn = strcmp(type, "yarn") == 0 ? 0.1 * log(scale) + 1 : sqrt(1 + log(scale) / log((double)context));
    put_f32(o, "rope.scaling.attn_factor", qs_json_num(qs_folder_rope(f, "attention_factor"), attn));
}

static void put_window(struct out *o)
{
    struct qs_folder *f = o->f;
    const unsigned flags = f->family->flags;
    const bool asked = qs_json_bool(qs_folder_value(f, "use_sliding_window"), false); /* Qwen, SmolLM3 */
    const uint64_t usual = flags & QS_FOLDER_GPT_OSS ? 128 : flags & (QS_FOLDER_OLMO | QS_FOLDER_GEMMA3) ? 4096 : 0;
    const uint64_t window = whole_or(qs_folder_value(f, "sliding_window"), usual);
    const bool has = flags & (QS_FOLDER_WINDOW | QS_FOLDER_GPT_OSS) || asked ||
                     (flags & QS_FOLDER_GEMMA3 && value_or(f, "sliding_window_pattern", 6) > 1);
    if (!has || window == 0)
        return;
    put_u32(o, "attention.sliding_window", window);
    if (flags & (QS_FOLDER_OLMO | QS_FOLDER_GEMMA3 | QS_FOLDER_GPT_OSS)) {
        put_pattern(o, flags & QS_FOLDER_OLMO ? 4 : flags & QS_FOLDER_GEMMA3 ? 6 : 2, 0, flags & QS_FOLDER_OLMO);
        return;
    }
    if (asked)
        put_pattern(o, 0, whole_or(qs_folder_value(f, "max_window_layers"), 0), true);
    qs_folder_remark(f, "config.json: sliding_window %" PRIu64 ": llama.cpp knows no window in models of %s, and lets "
                     "every layer see everything", window, f->family->hf);
}

static void put_granite(struct out *o)
{
    static const struct { const char *from, *to; } scale[] = {
        { "attention_multiplier", "attention.scale" }, { "embedding_multiplier", "embedding_scale" },
        { "residual_multiplier", "residual_scale" }, { "logits_scaling", "logit_scale" },
    };
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) {
        const double v = value_or(o->f, scale[i].from, 1);
        if (v < 0 || v > 0)
            put_f32(o, scale[i].to, v);
    }
}

/* SmolLM3 leaves the rope out of every fourth layer: GGUF cannot say another pattern. */
static void check_smollm3(struct out *o)
{
    const struct qs_json *list = qs_folder_value(o->f, "no_rope_layers");
    for (uint64_t l = 0; l < qs_json_len(list) && l < o->f->n.n_layer && !o->rc; l++)
        if ((qs_json_int(qs_json_at(list, (size_t)l), 1) != 0) != ((l + 1) % 4 != 0))
            o->rc = qs_fail(o->e, QS_EUNSUPPORTED, "%s/config.json: no_rope_layers: layer %" PRIu64 " is not "
                            "as in SmolLM3, where every fourth has no rope: GGUF cannot say that", o->f->dir, l);
}

static void put_family(struct out *o)
{
    struct qs_folder *f = o->f;
    const unsigned flags = f->family->flags;
    if (flags & QS_FOLDER_GEMMA2) {
        put_gemma2(o);
        return;
    }
    if (flags & QS_FOLDER_FUSED) {
        put_phi3(o);
        return;
    }
    put_sizes(o);
    put_rope(o);
    put_eps(o);
    if (flags & QS_FOLDER_EXPERTS)
        put_experts(o);
    if (f->n.head_dim_stated)
        put_head_dim(o);
    if (flags & QS_FOLDER_LLAMA_KEYS) {
        put_u32(o, "vocab_size", f->n.n_vocab);
        put_u32(o, "rope.dimension_count", f->n.head_dim);
    }
    if (flags & QS_FOLDER_GEMMA3 && value_or(f, "final_logit_softcapping", 0) > 0)
        put_f32(o, "final_logit_softcapping", value_or(f, "final_logit_softcapping", 0));
    if (flags & QS_FOLDER_GEMMA3)
        put_gemma_scale(o, 62);
    put_window(o);
    if (flags & QS_FOLDER_GRANITE)
        put_granite(o);
    if (flags & QS_FOLDER_SMOLLM3)
        check_smollm3(o);
    if (flags & (QS_FOLDER_QWEN_MOE | QS_FOLDER_GPT_OSS))
        put_u32(o, "expert_feed_forward_length", f->n.n_ff_expert);
    if (flags & QS_FOLDER_SHARED)
        put_u32(o, "expert_shared_feed_forward_length", f->n.n_ff_shared);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

int qs_folder_metadata(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    struct out o = { f, m, e, qs_folder_general(f, m, e) };
    put_family(&o);
    if (!o.rc)
        o.rc = qs_gguf_meta_u32(m, "general.file_type", qs_folder_file_type(f), e);
    if (!o.rc)
        o.rc = qs_gguf_meta_u32(m, "general.quantization_version", 2, e);
    return o.rc ? o.rc : qs_folder_vocab(f, m, e);
}
