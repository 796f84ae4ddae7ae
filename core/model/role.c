/* role.c - what a tensor is for: one table from GGUF names to roles.
 *
 * Owns nothing. Knows the tensor names of llama.cpp at commit 0c1e57098 (src/llama-arch.cpp); every other name is
 * QS_ROLE_OTHER, a bias or a norm by its ending. Pure functions.
 */
#include <stdlib.h>
#include <string.h>

#include "core/model/role.h"

static const char *const roles[QS_ROLE_COUNT] = {
    [QS_ROLE_OTHER] = "other", /* something this program has no special name for */
    [QS_ROLE_TOKEN_EMBD] = "token_embd", /* token embedding: one row for each token of the vocabulary */
    [QS_ROLE_OUTPUT] = "output", /* output projection: from the last hidden state to logits */
    [QS_ROLE_OUTPUT_NORM] = "output_norm", /* norm before the output projection */
    [QS_ROLE_ROPE] = "rope", /* frequencies of the rotary position embedding */
    [QS_ROLE_ATTN_NORM] = "attn_norm", /* norm before attention */
    [QS_ROLE_ATTN_Q] = "attn_q", /* attention query projection */
    [QS_ROLE_ATTN_K] = "attn_k", /* attention key projection */
    [QS_ROLE_ATTN_V] = "attn_v", /* attention value projection */
    [QS_ROLE_ATTN_QKV] = "attn_qkv", /* attention query, key and value projections in one */
    [QS_ROLE_ATTN_OUTPUT] = "attn_output", /* attention output projection */
    [QS_ROLE_ATTN_Q_A] = "attn_q_a", /* latent attention: query compression */
    [QS_ROLE_ATTN_Q_B] = "attn_q_b", /* latent attention: query expansion */
    [QS_ROLE_ATTN_KV_A] = "attn_kv_a", /* latent attention: key and value compression */
    [QS_ROLE_ATTN_KV_B] = "attn_kv_b", /* latent attention: key and value expansion */
    [QS_ROLE_ATTN_K_B] = "attn_k_b", /* latent attention: key expansion */
    [QS_ROLE_ATTN_V_B] = "attn_v_b", /* latent attention: value expansion */
    [QS_ROLE_ATTN_GATE] = "attn_gate", /* gate on the attention output */
    [QS_ROLE_ATTN_SINKS] = "attn_sinks", /* attention sinks */
    [QS_ROLE_ATTN_AUX_NORM] = "attn_aux_norm", /* norm inside or after attention */
    [QS_ROLE_FFN_NORM] = "ffn_norm", /* norm before the feed-forward part */
    [QS_ROLE_FFN_GATE] = "ffn_gate", /* feed-forward gate projection */
    [QS_ROLE_FFN_UP] = "ffn_up", /* feed-forward up projection */
    [QS_ROLE_FFN_DOWN] = "ffn_down", /* feed-forward down projection */
    [QS_ROLE_FFN_AUX_NORM] = "ffn_aux_norm", /* norm inside or after the feed-forward part */
    [QS_ROLE_FFN_ROUTER] = "ffn_router", /* router: which experts a token goes to */
    [QS_ROLE_FFN_GATE_EXPS] = "ffn_gate_exps", /* gate projections of the experts */
    [QS_ROLE_FFN_UP_EXPS] = "ffn_up_exps", /* up projections of the experts */
    [QS_ROLE_FFN_DOWN_EXPS] = "ffn_down_exps", /* down projections of the experts */
    [QS_ROLE_FFN_GATE_UP_EXPS] = "ffn_gate_up_exps", /* gate and up projections of the experts in one */
    [QS_ROLE_FFN_GATE_SHEXP] = "ffn_gate_shexp", /* gate projection of the shared expert */
    [QS_ROLE_FFN_UP_SHEXP] = "ffn_up_shexp", /* up projection of the shared expert */
    [QS_ROLE_FFN_DOWN_SHEXP] = "ffn_down_shexp", /* down projection of the shared expert */
    [QS_ROLE_SSM] = "ssm", /* state-space, recurrent or short convolution part */
    [QS_ROLE_BIAS] = "bias", /* added after a projection */
    [QS_ROLE_NORM_OTHER] = "norm_other", /* a norm elsewhere */
};

const char *qs_role_name(enum qs_role r)
{
    return (unsigned)r < QS_ROLE_COUNT ? roles[r] : "other";
}

/* Names without "blk.N." and ".weight", in byte order (searched by bisection). */
static const struct known { const char *name; enum qs_role role; } known[] = {
    {"altup_correct_coef", QS_ROLE_OTHER}, {"altup_correct_scale", QS_ROLE_OTHER},
    {"altup_predict_coef", QS_ROLE_OTHER}, {"altup_proj", QS_ROLE_OTHER}, {"altup_router", QS_ROLE_OTHER},
    {"altup_router_norm", QS_ROLE_NORM_OTHER}, {"altup_unembd_proj", QS_ROLE_OTHER},
    {"attn_compressor_ape", QS_ROLE_OTHER}, {"attn_compressor_gate", QS_ROLE_OTHER},
    {"attn_compressor_kv", QS_ROLE_OTHER}, {"attn_compressor_norm", QS_ROLE_ATTN_AUX_NORM},
    {"attn_conv_base", QS_ROLE_OTHER}, {"attn_conv_proj", QS_ROLE_OTHER}, {"attn_gate", QS_ROLE_ATTN_GATE},
    {"attn_k", QS_ROLE_ATTN_K}, {"attn_k_b", QS_ROLE_ATTN_K_B}, {"attn_k_norm", QS_ROLE_ATTN_AUX_NORM},
    {"attn_kv", QS_ROLE_ATTN_KV_A}, {"attn_kv_a_mqa", QS_ROLE_ATTN_KV_A}, {"attn_kv_a_norm", QS_ROLE_ATTN_AUX_NORM},
    {"attn_kv_b", QS_ROLE_ATTN_KV_B}, {"attn_norm", QS_ROLE_ATTN_NORM}, {"attn_norm_2", QS_ROLE_ATTN_AUX_NORM},
    {"attn_o", QS_ROLE_ATTN_OUTPUT}, {"attn_output", QS_ROLE_ATTN_OUTPUT}, {"attn_output_a", QS_ROLE_ATTN_OUTPUT},
    {"attn_output_b", QS_ROLE_ATTN_OUTPUT}, {"attn_output_norm", QS_ROLE_ATTN_AUX_NORM}, {"attn_q", QS_ROLE_ATTN_Q},
    {"attn_q_a", QS_ROLE_ATTN_Q_A}, {"attn_q_a_norm", QS_ROLE_ATTN_AUX_NORM}, {"attn_q_b", QS_ROLE_ATTN_Q_B},
    {"attn_q_norm", QS_ROLE_ATTN_AUX_NORM}, {"attn_qkv", QS_ROLE_ATTN_QKV}, {"attn_rel_b", QS_ROLE_OTHER},
    {"attn_res_score", QS_ROLE_OTHER}, {"attn_rot_embd", QS_ROLE_ROPE}, {"attn_sinks", QS_ROLE_ATTN_SINKS},
    {"attn_sub_norm", QS_ROLE_ATTN_AUX_NORM}, {"attn_v", QS_ROLE_ATTN_V}, {"attn_v_b", QS_ROLE_ATTN_V_B},
    {"channel_mix_key", QS_ROLE_SSM}, {"channel_mix_lerp_k", QS_ROLE_SSM}, {"channel_mix_lerp_r", QS_ROLE_SSM},
    {"channel_mix_receptance", QS_ROLE_SSM}, {"channel_mix_value", QS_ROLE_SSM}, {"cls", QS_ROLE_OTHER},
    {"cls.norm", QS_ROLE_NORM_OTHER}, {"cls.output", QS_ROLE_OTHER}, {"conf_proj", QS_ROLE_OTHER},
    {"conv1d", QS_ROLE_OTHER}, {"cross_attn_k", QS_ROLE_OTHER}, {"cross_attn_norm", QS_ROLE_NORM_OTHER},
    {"cross_attn_o", QS_ROLE_OTHER}, {"cross_attn_q", QS_ROLE_OTHER}, {"cross_attn_rel_b", QS_ROLE_OTHER},
    {"cross_attn_v", QS_ROLE_OTHER}, {"d2t", QS_ROLE_OTHER}, {"dec.output_norm", QS_ROLE_OUTPUT_NORM},
    {"dense_2", QS_ROLE_OTHER}, {"dense_3", QS_ROLE_OTHER}, {"enc.output_norm", QS_ROLE_OUTPUT_NORM},
    {"exp_probs_b", QS_ROLE_BIAS}, {"exp_probs_b_vl", QS_ROLE_BIAS}, {"fc", QS_ROLE_OTHER},
    {"ffn.act", QS_ROLE_OTHER}, {"ffn_conv_base", QS_ROLE_OTHER}, {"ffn_conv_proj", QS_ROLE_OTHER},
    {"ffn_down", QS_ROLE_FFN_DOWN}, {"ffn_down_chexps", QS_ROLE_OTHER}, {"ffn_down_exps", QS_ROLE_FFN_DOWN_EXPS},
    {"ffn_down_shexp", QS_ROLE_FFN_DOWN_SHEXP}, {"ffn_gate", QS_ROLE_FFN_GATE}, {"ffn_gate_chexps", QS_ROLE_OTHER},
    {"ffn_gate_exps", QS_ROLE_FFN_GATE_EXPS}, {"ffn_gate_inp", QS_ROLE_FFN_ROUTER},
    {"ffn_gate_inp_shexp", QS_ROLE_FFN_ROUTER}, {"ffn_gate_shexp", QS_ROLE_FFN_GATE_SHEXP},
    {"ffn_gate_tid2eid", QS_ROLE_OTHER}, {"ffn_gate_up_exps", QS_ROLE_FFN_GATE_UP_EXPS},
    {"ffn_latent_down", QS_ROLE_OTHER}, {"ffn_latent_up", QS_ROLE_OTHER}, {"ffn_norm", QS_ROLE_FFN_NORM},
    {"ffn_norm_exps", QS_ROLE_FFN_AUX_NORM}, {"ffn_res_score", QS_ROLE_OTHER}, {"ffn_routed_down", QS_ROLE_OTHER},
    {"ffn_routed_norm", QS_ROLE_FFN_AUX_NORM}, {"ffn_routed_up", QS_ROLE_OTHER},
    {"ffn_sub_norm", QS_ROLE_FFN_AUX_NORM}, {"ffn_up", QS_ROLE_FFN_UP}, {"ffn_up_chexps", QS_ROLE_OTHER},
    {"ffn_up_exps", QS_ROLE_FFN_UP_EXPS}, {"ffn_up_shexp", QS_ROLE_FFN_UP_SHEXP}, {"hc_attn_base", QS_ROLE_OTHER},
    {"hc_attn_down", QS_ROLE_OTHER}, {"hc_attn_fn", QS_ROLE_OTHER}, {"hc_attn_inject", QS_ROLE_OTHER},
    {"hc_attn_norm", QS_ROLE_NORM_OTHER}, {"hc_attn_scale", QS_ROLE_OTHER}, {"hc_attn_up", QS_ROLE_OTHER},
    {"hc_ffn_base", QS_ROLE_OTHER}, {"hc_ffn_down", QS_ROLE_OTHER}, {"hc_ffn_fn", QS_ROLE_OTHER},
    {"hc_ffn_inject", QS_ROLE_OTHER}, {"hc_ffn_norm", QS_ROLE_NORM_OTHER}, {"hc_ffn_scale", QS_ROLE_OTHER},
    {"hc_ffn_up", QS_ROLE_OTHER}, {"hrm.z_l_init", QS_ROLE_OTHER}, {"indexer.attn_k", QS_ROLE_OTHER},
    {"indexer.attn_q_b", QS_ROLE_OTHER}, {"indexer.k_norm", QS_ROLE_NORM_OTHER}, {"indexer.k_proj", QS_ROLE_OTHER},
    {"indexer.proj", QS_ROLE_OTHER}, {"indexer.q_norm", QS_ROLE_NORM_OTHER}, {"indexer.q_proj", QS_ROLE_OTHER},
    {"indexer_compressor_ape", QS_ROLE_OTHER}, {"indexer_compressor_gate", QS_ROLE_OTHER},
    {"indexer_compressor_kv", QS_ROLE_OTHER}, {"indexer_compressor_norm", QS_ROLE_NORM_OTHER},
    {"inp_gate", QS_ROLE_OTHER}, {"laurel_l", QS_ROLE_OTHER}, {"laurel_post_norm", QS_ROLE_NORM_OTHER},
    {"laurel_r", QS_ROLE_OTHER}, {"layer_output_norm", QS_ROLE_FFN_AUX_NORM}, {"layer_output_scale", QS_ROLE_OTHER},
    {"markov_w1", QS_ROLE_OTHER}, {"markov_w2", QS_ROLE_OTHER}, {"masked_embd_centroids", QS_ROLE_OTHER},
    {"masked_embd_ordering", QS_ROLE_OTHER}, {"nextn.eh_proj", QS_ROLE_OTHER}, {"nextn.embed_tokens", QS_ROLE_OTHER},
    {"nextn.enorm", QS_ROLE_NORM_OTHER}, {"nextn.hnorm", QS_ROLE_NORM_OTHER},
    {"nextn.post_projection", QS_ROLE_OTHER}, {"nextn.pre_projection", QS_ROLE_OTHER},
    {"nextn.shared_head_head", QS_ROLE_OTHER}, {"nextn.shared_head_norm", QS_ROLE_NORM_OTHER},
    {"output", QS_ROLE_OUTPUT}, {"output_hc_base", QS_ROLE_OTHER}, {"output_hc_down", QS_ROLE_OTHER},
    {"output_hc_fn", QS_ROLE_OTHER}, {"output_hc_norm", QS_ROLE_NORM_OTHER}, {"output_hc_scale", QS_ROLE_OTHER},
    {"output_hc_up", QS_ROLE_OTHER}, {"output_norm", QS_ROLE_OUTPUT_NORM}, {"output_res_score", QS_ROLE_OTHER},
    {"per_layer_model_proj", QS_ROLE_OTHER}, {"per_layer_proj_norm", QS_ROLE_NORM_OTHER},
    {"per_layer_token_embd", QS_ROLE_OTHER}, {"ple_conv1d", QS_ROLE_OTHER}, {"ple_key", QS_ROLE_OTHER},
    {"ple_norm_conv", QS_ROLE_OTHER}, {"ple_norm_key", QS_ROLE_OTHER}, {"ple_norm_query", QS_ROLE_OTHER},
    {"ple_value", QS_ROLE_OTHER}, {"position_embd", QS_ROLE_OTHER}, {"post_attention_norm", QS_ROLE_ATTN_AUX_NORM},
    {"post_ffw_norm", QS_ROLE_FFN_AUX_NORM}, {"post_ffw_norm_1", QS_ROLE_FFN_AUX_NORM},
    {"post_ffw_norm_2", QS_ROLE_FFN_AUX_NORM}, {"post_norm", QS_ROLE_NORM_OTHER},
    {"pre_ffw_norm_2", QS_ROLE_FFN_AUX_NORM}, {"proj", QS_ROLE_OTHER}, {"rope_factors_long", QS_ROLE_ROPE},
    {"rope_factors_short", QS_ROLE_ROPE}, {"rope_freqs", QS_ROLE_ROPE}, {"selector_hidden", QS_ROLE_OTHER},
    {"selector_predecessor", QS_ROLE_OTHER}, {"selector_successor", QS_ROLE_OTHER}, {"shortconv.conv", QS_ROLE_SSM},
    {"shortconv.in_proj", QS_ROLE_SSM}, {"shortconv.out_proj", QS_ROLE_SSM}, {"ssm_a", QS_ROLE_SSM},
    {"ssm_alpha", QS_ROLE_SSM}, {"ssm_b_norm", QS_ROLE_SSM}, {"ssm_ba", QS_ROLE_SSM}, {"ssm_beta", QS_ROLE_SSM},
    {"ssm_c_norm", QS_ROLE_SSM}, {"ssm_conv1d", QS_ROLE_SSM}, {"ssm_conv1d_k", QS_ROLE_SSM},
    {"ssm_conv1d_q", QS_ROLE_SSM}, {"ssm_conv1d_v", QS_ROLE_SSM}, {"ssm_d", QS_ROLE_SSM}, {"ssm_dt", QS_ROLE_SSM},
    {"ssm_dt_norm", QS_ROLE_SSM}, {"ssm_f_a", QS_ROLE_SSM}, {"ssm_f_b", QS_ROLE_SSM}, {"ssm_g", QS_ROLE_SSM},
    {"ssm_g_a", QS_ROLE_SSM}, {"ssm_g_b", QS_ROLE_SSM}, {"ssm_in", QS_ROLE_SSM}, {"ssm_norm", QS_ROLE_SSM},
    {"ssm_out", QS_ROLE_SSM}, {"ssm_x", QS_ROLE_SSM}, {"time_mix_a0", QS_ROLE_SSM}, {"time_mix_a1", QS_ROLE_SSM},
    {"time_mix_a2", QS_ROLE_SSM}, {"time_mix_decay", QS_ROLE_SSM}, {"time_mix_decay_w1", QS_ROLE_SSM},
    {"time_mix_decay_w2", QS_ROLE_SSM}, {"time_mix_first", QS_ROLE_SSM}, {"time_mix_g1", QS_ROLE_SSM},
    {"time_mix_g2", QS_ROLE_SSM}, {"time_mix_gate", QS_ROLE_SSM}, {"time_mix_k_a", QS_ROLE_SSM},
    {"time_mix_k_k", QS_ROLE_SSM}, {"time_mix_key", QS_ROLE_SSM}, {"time_mix_lerp_fused", QS_ROLE_SSM},
    {"time_mix_lerp_g", QS_ROLE_SSM}, {"time_mix_lerp_k", QS_ROLE_SSM}, {"time_mix_lerp_r", QS_ROLE_SSM},
    {"time_mix_lerp_v", QS_ROLE_SSM}, {"time_mix_lerp_w", QS_ROLE_SSM}, {"time_mix_lerp_x", QS_ROLE_SSM},
    {"time_mix_ln", QS_ROLE_SSM}, {"time_mix_output", QS_ROLE_SSM}, {"time_mix_r_k", QS_ROLE_SSM},
    {"time_mix_receptance", QS_ROLE_SSM}, {"time_mix_v0", QS_ROLE_SSM}, {"time_mix_v1", QS_ROLE_SSM},
    {"time_mix_v2", QS_ROLE_SSM}, {"time_mix_value", QS_ROLE_SSM}, {"time_mix_w0", QS_ROLE_SSM},
    {"time_mix_w1", QS_ROLE_SSM}, {"time_mix_w2", QS_ROLE_SSM}, {"token_embd", QS_ROLE_TOKEN_EMBD},
    {"token_embd_norm", QS_ROLE_NORM_OTHER}, {"token_types", QS_ROLE_OTHER}, {"vis_attn_output", QS_ROLE_OTHER},
    {"vis_attn_qkv", QS_ROLE_OTHER}, {"vis_down", QS_ROLE_OTHER}, {"vis_gate", QS_ROLE_OTHER},
    {"vis_up", QS_ROLE_OTHER},
};

static int compare_known(const void *key, const void *entry)
{
    return strcmp(key, ((const struct known *)entry)->name);
}

/* Behind a leading "N." the rest; NULL when there is no number. */
static const char *take_number(const char *s, int *number)
{
    int n = 0, digits = 0;
    while (s[digits] >= '0' && s[digits] <= '9' && digits < 9)
        n = n * 10 + (s[digits++] - '0');
    if (digits == 0 || s[digits] != '.')
        return NULL;
    *number = n;
    return s + digits + 1;
}

static const char *strip_block(const char *name, int *layer)
{
    static const char *const heads[] = {"blk.", "dec.blk.", "enc.blk."};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = strlen(heads[i]);
        if (strncmp(name, heads[i], n) == 0) {
            const char *rest = take_number(name + n, layer);
            return rest ? rest : name;
        }
    }
    return name;
}

static int ends_with(const char *s, size_t n, const char *tail)
{
    size_t t = strlen(tail);
    return n >= t && memcmp(s + n - t, tail, t) == 0;
}

/* Old files keep every expert in a tensor of its own: ffn_gate.12.weight. */
static const struct known single_experts[] = {
    {"ffn_gate.", QS_ROLE_FFN_GATE_EXPS}, {"ffn_up.", QS_ROLE_FFN_UP_EXPS}, {"ffn_down.", QS_ROLE_FFN_DOWN_EXPS},
};

static int find_known(const char *rest, enum qs_role *role)
{
    char base[64];
    size_t n = strlen(rest);
    if (ends_with(rest, n, ".weight"))
        n -= 7;
    if (n >= sizeof base)
        return 0;
    memcpy(base, rest, n);
    base[n] = 0;
    const struct known *k = bsearch(base, known, sizeof known / sizeof *known, sizeof *known, compare_known);
    if (k) {
        *role = k->role;
        return 1;
    }
    for (size_t i = 0; i < sizeof single_experts / sizeof *single_experts; i++) {
        size_t head = strlen(single_experts[i].name);
        if (strncmp(base, single_experts[i].name, head) == 0 && n > head &&
            strspn(base + head, "0123456789") == n - head) {
            *role = single_experts[i].role;
            return 1;
        }
    }
    return 0;
}

enum qs_role qs_role_of(const char *gguf_name, int *layer)
{
    int block = -1;
    const char *rest = strip_block(gguf_name, &block);
    if (layer)
        *layer = block;
    size_t n = strlen(rest);
    enum qs_role role;
    if (ends_with(rest, n, ".bias"))
        return QS_ROLE_BIAS;
    if (find_known(rest, &role))
        return role;
    if (ends_with(rest, n, "norm.weight") || ends_with(rest, n, "norm"))
        return QS_ROLE_NORM_OTHER;
    return QS_ROLE_OTHER;
}

int qs_role_known(const char *gguf_name)
{
    int block = -1;
    const char *rest = strip_block(gguf_name, &block);
    size_t n = strlen(rest);
    enum qs_role role;
    if (ends_with(rest, n, ".bias")) {
        char base[64];
        if (n - 5 >= sizeof base)
            return 0;
        memcpy(base, rest, n - 5);
        base[n - 5] = 0;
        return find_known(base, &role);
    }
    return find_known(rest, &role);
}
