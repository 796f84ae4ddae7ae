/* preset_rules.c - the exceptions of the presets, and the names they are tied to, as tables.
 *
 * Facts of llama.cpp at commit 0c1e57098 (src/llama-quant.cpp, MIT licence); order and conditions are part of the
 * facts. Constant data and pure functions: any thread.
 */
#include "core/quant/preset_rules.h"

#include <stdio.h>
#include <string.h>

#include "kernels/format.h"

/* ---- file types as bits ------------------------------------------------------------------------------------- */

#define P(n) (UINT64_C(1) << (n))
enum {
    FT_Q4_0 = 2, FT_Q8_0 = 7, FT_Q5_0 = 8, FT_Q2_K = 10, FT_Q3_K_S = 11, FT_Q3_K_M = 12, FT_Q3_K_L = 13, FT_Q4_K_S = 14,
    FT_Q4_K_M = 15, FT_Q5_K_M = 17, FT_IQ2_XXS = 19, FT_IQ2_XS = 20, FT_Q2_K_S = 21, FT_IQ3_XS = 22, FT_IQ3_XXS = 23,
    FT_IQ1_S = 24, FT_IQ4_NL = 25, FT_IQ3_S = 26, FT_IQ3_M = 27, FT_IQ2_S = 28, FT_IQ2_M = 29, FT_IQ4_XS = 30,
    FT_IQ1_M = 31, FT_TQ1_0 = 36, FT_TQ2_0 = 37, FT_MXFP4_MOE = 38, FT_Q2_0 = 41
};

#define LOW_1 (P(FT_IQ1_S) | P(FT_IQ1_M))
#define LOW_2X (P(FT_IQ2_XXS) | P(FT_IQ2_XS))
#define LOW_2S (P(FT_IQ2_S) | P(FT_IQ2_M))
#define LOW (LOW_1 | LOW_2X | LOW_2S)
#define IQ4 (P(FT_IQ4_NL) | P(FT_IQ4_XS))
#define ANY (~UINT64_C(0))
/* Mixes whose attn_output rises in a model of 8 experts. */
#define RISE_8X                                                                                                        \
    (P(FT_Q2_K) | P(FT_IQ3_XS) | P(FT_IQ3_XXS) | P(FT_Q3_K_S) | P(FT_Q3_K_M) | IQ4 | P(FT_Q4_K_S) | P(FT_Q4_K_M) |     \
     P(FT_IQ3_S) | P(FT_IQ3_M))

const uint64_t qs_mix_low_presets = LOW;

/* ---- the exceptions ----------------------------------------------------------------------------------------- */

#define GQA4 QS_IF_GQA4
#define X4 QS_IF_EXPERTS4
#define X8 QS_IF_EXPERTS8
#define FALCON QS_IF_FALCON
#define NOT_FALCON QS_IF_NOT_FALCON
#define IMATRIX QS_IF_IMATRIX
#define NO_IMATRIX QS_IF_NO_IMATRIX
#define EIGHTH QS_IF_FIRST_8TH
#define SIXTEENTH QS_IF_FIRST_16TH
#define MIDDLE QS_IF_MIDDLE
#define MORE QS_IF_MORE_BITS

static const char r_output[] = "output tensor";
static const char r_embd[] = "token embeddings";
static const char r_v_gqa[] = "attn_v shared by 4 or more query heads";
static const char r_v_x4[] = "attn_v of a model with 4 or more experts";
static const char r_v[] = "attn_v";
static const char r_x8[] = "attention of a model with 8 experts";
static const char r_more[] = "first and last eighth, and every third layer";
static const char r_eighth[] = "first eighth of the layers";
static const char r_down[] = "ffn_down";
static const char r_out[] = "attn_output";
static const char r_qk[] = "attn_q and attn_k go lower";
static const char r_middle[] = "middle layers go lower";
static const char r_guard[] = "first eighth of the layers, guarded against the importance matrix";

const struct qs_mix_rule qs_mix_rules[] = {
    /* The output tensor; token_embd too where it serves as output. */
    { QS_MIX_OUTPUT, P(FT_MXFP4_MOE), 0, QS_Q8_0, r_output },
    { QS_MIX_OUTPUT, ANY, FALCON, QS_Q8_0, "output tensor of falcon" },
    { QS_MIX_OUTPUT, ANY, QS_IF_RAGGED, QS_Q8_0, "output tensor with rows that do not fit the base type" },
    { QS_MIX_OUTPUT, LOW | P(FT_IQ3_XXS), 0, QS_Q5_K, r_output },
    { QS_MIX_OUTPUT, ~P(FT_Q8_0), 0, QS_Q6_K, r_output },

    { QS_MIX_TOKEN_EMBD, LOW_1 | LOW_2X, 0, QS_Q2_K, r_embd },
    { QS_MIX_TOKEN_EMBD, LOW_2S | P(FT_IQ3_XXS), 0, QS_IQ3_S, r_embd },
    { QS_MIX_TOKEN_EMBD, P(FT_TQ1_0) | P(FT_TQ2_0) | P(FT_Q2_0), 0, QS_Q4_K, r_embd },

    { QS_MIX_ATTN_V, LOW, GQA4, QS_Q4_K, r_v_gqa },
    { QS_MIX_ATTN_V, LOW, X4, QS_Q4_K, r_v_x4 },
    { QS_MIX_ATTN_V, LOW_2S, 0, QS_IQ3_S, r_v },
    { QS_MIX_ATTN_V, LOW, 0, QS_Q2_K, r_v },
    { QS_MIX_ATTN_V, ANY, X8, QS_Q8_0, r_x8 },
    { QS_MIX_ATTN_V, P(FT_Q2_K) | P(FT_Q2_K_S) | P(FT_IQ3_XXS) | P(FT_IQ3_XS) | P(FT_IQ3_S), GQA4, QS_Q4_K, r_v_gqa },
    { QS_MIX_ATTN_V, P(FT_Q2_K), 0, QS_Q3_K, r_v },
    { QS_MIX_ATTN_V, P(FT_IQ3_XXS), NO_IMATRIX, QS_IQ3_S, "attn_v without an importance matrix" },
    { QS_MIX_ATTN_V, P(FT_IQ3_M), 0, QS_Q4_K, r_v },
    { QS_MIX_ATTN_V, P(FT_Q3_K_M), QS_IF_BELOW_2, QS_Q5_K, "attn_v of the first two layers" },
    { QS_MIX_ATTN_V, P(FT_Q3_K_M), 0, QS_Q4_K, r_v },
    { QS_MIX_ATTN_V, P(FT_Q3_K_L), 0, QS_Q5_K, r_v },
    { QS_MIX_ATTN_V, IQ4, GQA4, QS_Q5_K, r_v_gqa },
    { QS_MIX_ATTN_V, P(FT_Q4_K_M) | P(FT_Q5_K_M), MORE, QS_Q6_K, r_more },
    { QS_MIX_ATTN_V, P(FT_Q4_K_S), QS_IF_BELOW_4, QS_Q5_K, "attn_v of the first four layers" },

    { QS_MIX_ATTN_K, LOW, X8, QS_Q4_K, r_x8 },
    { QS_MIX_ATTN_K, ~LOW, X8, QS_Q8_0, r_x8 },
    { QS_MIX_ATTN_K, P(FT_IQ3_XS), 0, QS_IQ3_XXS, r_qk },
    { QS_MIX_ATTN_K, P(FT_IQ3_XXS), 0, QS_IQ2_S, r_qk },

    { QS_MIX_ATTN_Q, P(FT_IQ3_XS), 0, QS_IQ3_XXS, r_qk },
    { QS_MIX_ATTN_Q, P(FT_IQ3_XXS), 0, QS_IQ2_S, r_qk },

    { QS_MIX_FFN_DOWN, LOW_2S, EIGHTH, QS_IQ3_S, r_eighth },
    { QS_MIX_FFN_DOWN, LOW, EIGHTH, QS_Q2_K, r_eighth },
    { QS_MIX_FFN_DOWN, P(FT_Q2_K), 0, QS_Q3_K, r_down },
    { QS_MIX_FFN_DOWN, P(FT_Q2_K_S), EIGHTH, QS_Q4_K, r_eighth },
    { QS_MIX_FFN_DOWN, P(FT_IQ3_XXS), NO_IMATRIX | EIGHTH, QS_Q4_K, r_eighth },
    { QS_MIX_FFN_DOWN, P(FT_IQ3_XXS), NO_IMATRIX, QS_Q3_K, "ffn_down without an importance matrix" },
    { QS_MIX_FFN_DOWN, P(FT_Q3_K_M), SIXTEENTH, QS_Q5_K, "first sixteenth of the layers" },
    { QS_MIX_FFN_DOWN, P(FT_Q3_K_M), NOT_FALCON, QS_Q4_K, r_down },
    { QS_MIX_FFN_DOWN, P(FT_Q3_K_M), MORE, QS_Q4_K, r_more },
    { QS_MIX_FFN_DOWN, P(FT_IQ3_M), EIGHTH, QS_Q4_K, r_eighth },
    { QS_MIX_FFN_DOWN, P(FT_IQ3_M), X8 | MORE, QS_Q4_K, r_more },
    { QS_MIX_FFN_DOWN, P(FT_Q3_K_L), FALCON, QS_Q4_K, "ffn_down of falcon" },
    { QS_MIX_FFN_DOWN, P(FT_Q3_K_L), 0, QS_Q5_K, r_down },
    { QS_MIX_FFN_DOWN, P(FT_Q4_K_M), FALCON | SIXTEENTH, QS_Q6_K, "first sixteenth of falcon's layers" },
    { QS_MIX_FFN_DOWN, P(FT_Q4_K_M), FALCON | MORE, QS_Q5_K, r_more },
    { QS_MIX_FFN_DOWN, P(FT_Q4_K_M), NOT_FALCON | MORE, QS_Q6_K, r_more },
    { QS_MIX_FFN_DOWN, P(FT_Q5_K_M), MORE, QS_Q6_K, r_more },
    { QS_MIX_FFN_DOWN, P(FT_Q4_K_S), NOT_FALCON | EIGHTH, QS_Q5_K, r_eighth },
    { QS_MIX_FFN_DOWN, IQ4, NO_IMATRIX | EIGHTH, QS_Q5_K, r_eighth },
    { QS_MIX_FFN_DOWN, P(FT_Q4_0), IMATRIX | EIGHTH, QS_Q4_1, r_guard },
    { QS_MIX_FFN_DOWN, P(FT_Q5_0), IMATRIX | EIGHTH, QS_Q5_1, r_guard },

    { QS_MIX_ATTN_OUTPUT, LOW, X8, QS_Q5_K, r_x8 },
    { QS_MIX_ATTN_OUTPUT, LOW_1, 0, QS_IQ2_XXS, r_out },
    { QS_MIX_ATTN_OUTPUT, LOW_2S, 0, QS_IQ3_S, r_out },
    { QS_MIX_ATTN_OUTPUT, P(FT_Q3_K_L), FALCON, QS_Q4_K, "attn_output of falcon" },
    { QS_MIX_ATTN_OUTPUT, ANY, FALCON, QS_TYPE_NONE, NULL },
    { QS_MIX_ATTN_OUTPUT, RISE_8X, X8, QS_Q5_K, r_x8 },
    { QS_MIX_ATTN_OUTPUT, ANY, X8, QS_TYPE_NONE, NULL },
    { QS_MIX_ATTN_OUTPUT, P(FT_Q2_K), 0, QS_Q3_K, r_out },
    { QS_MIX_ATTN_OUTPUT, P(FT_IQ3_XXS), 0, QS_IQ3_S, r_out },
    { QS_MIX_ATTN_OUTPUT, P(FT_Q3_K_M) | P(FT_IQ3_M), 0, QS_Q4_K, r_out },
    { QS_MIX_ATTN_OUTPUT, P(FT_Q3_K_L), 0, QS_Q5_K, r_out },

    { QS_MIX_FFN_GATE, P(FT_IQ3_XS), MIDDLE, QS_IQ3_XXS, r_middle },
    { QS_MIX_FFN_UP, P(FT_IQ3_XS), MIDDLE, QS_IQ3_XXS, r_middle },
};

const size_t qs_mix_n_rules = sizeof qs_mix_rules / sizeof *qs_mix_rules;

/* ---- kinds by name ------------------------------------------------------------------------------------------ */

struct name_part {
    const char *part;
    enum qs_mix_kind kind;
};

/* The first part found decides. */
static const struct name_part kind_parts[] = {
    { "attn_qkv.weight", QS_MIX_ATTN_V },     { "attn_kv_b.weight", QS_MIX_ATTN_V }, { "attn_v.weight", QS_MIX_ATTN_V },
    { "attn_k.weight", QS_MIX_ATTN_K },       { "attn_q.weight", QS_MIX_ATTN_Q },
    { "attn_output.weight", QS_MIX_ATTN_OUTPUT },
    { "ffn_up", QS_MIX_FFN_UP },              { "ffn_gate", QS_MIX_FFN_GATE },       { "ffn_down", QS_MIX_FFN_DOWN },
};

enum qs_mix_kind qs_mix_kind_of(const char *name)
{
    if (strcmp(name, "output.weight") == 0)
        return QS_MIX_OUTPUT;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0)
        return QS_MIX_TOKEN_EMBD;
    for (size_t i = 0; i < sizeof kind_parts / sizeof *kind_parts; i++)
        if (strstr(name, kind_parts[i].part))
            return kind_parts[i].kind;
    return QS_MIX_OTHER;
}

/* ---- tensors that stay as they are -------------------------------------------------------------------------- */

struct kept {
    const char *part;
    const char *why;
};

static const struct kept kept_parts[] = {
    { "_norm.weight", "norm" },
    { "ffn_gate_inp.weight", "router of the experts" },
    { "ffn_gate_tid2eid.weight", "table from tokens to experts" },
    { "altup", "very small" },
    { "laurel", "very small" },
    { "per_layer_model_proj", "small projection" },
    { "ssm_conv1d", "small convolution" },
    { "shortconv.conv.weight", "small convolution" },
    { "indexer.k_proj.weight", "small indexer projection" },
    { "indexer.q_proj.weight", "small indexer projection" },
    { "time_mix_first.weight", "small RWKV tensor" },
    { "time_mix_w0.weight", "small RWKV tensor" },
    { "time_mix_w1.weight", "small RWKV tensor" },
    { "time_mix_w2.weight", "small RWKV tensor" },
    { "time_mix_v0.weight", "small RWKV tensor" },
    { "time_mix_v1.weight", "small RWKV tensor" },
    { "time_mix_v2.weight", "small RWKV tensor" },
    { "time_mix_a0.weight", "small RWKV tensor" },
    { "time_mix_a1.weight", "small RWKV tensor" },
    { "time_mix_a2.weight", "small RWKV tensor" },
    { "time_mix_g1.weight", "small RWKV tensor" },
    { "time_mix_g2.weight", "small RWKV tensor" },
    { "time_mix_decay_w1.weight", "small RWKV tensor" },
    { "time_mix_decay_w2.weight", "small RWKV tensor" },
    { "time_mix_lerp_fused.weight", "small RWKV tensor" },
    { "attn_rel_b.weight", "relative position bias" },
    { ".position_embd", "position embeddings" },
    { "sam.pos_embd", "vision tensor" },
    { "sam.neck.", "vision tensor" },
    { "sam.net_", "vision tensor" },
    { ".rel_pos", "vision tensor" },
    { ".patch_embd", "vision tensor" },
    { ".patch_merger", "vision tensor" },
    { "a.rvq.codebook", "audio codebook" },
    { "mm.a.code_embd", "audio codebook" },
};

/* Architecture glm5-next alone. */
static const char *const kept_glm5[] = {
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate", "indexer_compressor_ape",
    "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight",
    "attn_k_b.weight", "attn_v_b.weight",
};

/* Names must end with "weight". llama.cpp compares positions that wrap around, so that a name of exactly five
 * characters passes as well. */
static bool named_weight(const char *name)
{
    size_t n = strlen(name);
    return n == 5 || (n >= 6 && strcmp(name + n - 6, "weight") == 0);
}

const char *qs_mix_kept(const char *arch, const char *name)
{
    if (!named_weight(name))
        return "no weight tensor";
    if (strcmp(name, "position_embd.weight") == 0)
        return "position embeddings";
    if (strcmp(name, "token_types.weight") == 0)
        return "token types";
    for (size_t i = 0; i < sizeof kept_parts / sizeof *kept_parts; i++)
        if (strstr(name, kept_parts[i].part))
            return kept_parts[i].why;
    if (strcmp(arch, "glm5-next") == 0)
        for (size_t i = 0; i < sizeof kept_glm5 / sizeof *kept_glm5; i++)
            if (strstr(name, kept_glm5[i]))
                return "kept in glm5-next";
    return NULL;
}

/* ---- what else would fit ------------------------------------------------------------------------------------ */

void qs_mix_types_for(uint64_t cols, char *buf, size_t n)
{
    size_t used = 0;
    buf[0] = 0;
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (f->flags & (QS_NO_ENCODE | QS_INTERNAL) || f->kind == QS_KIND_INT || cols % f->block)
            continue;
        int k = snprintf(buf + used, n - used, "%s%s", used ? ", " : "", f->name);
        if (k < 0 || (size_t)k >= n - used) { /* a whole name or none */
            buf[used] = 0;
            return;
        }
        used += (size_t)k;
    }
}
