/* role.h - what a tensor is for, the same for every file format: one table from names to roles. */
#ifndef QS_CORE_ROLE_H
#define QS_CORE_ROLE_H

#include <stddef.h>

enum qs_role {
    QS_ROLE_OTHER = 0,
    QS_ROLE_TOKEN_EMBD, QS_ROLE_OUTPUT, QS_ROLE_OUTPUT_NORM, QS_ROLE_ROPE,
    QS_ROLE_ATTN_NORM, QS_ROLE_ATTN_Q, QS_ROLE_ATTN_K, QS_ROLE_ATTN_V, QS_ROLE_ATTN_QKV, QS_ROLE_ATTN_OUTPUT,
    QS_ROLE_ATTN_Q_A, QS_ROLE_ATTN_Q_B, QS_ROLE_ATTN_KV_A, QS_ROLE_ATTN_KV_B, QS_ROLE_ATTN_K_B, QS_ROLE_ATTN_V_B,
    QS_ROLE_ATTN_GATE, QS_ROLE_ATTN_SINKS, QS_ROLE_ATTN_AUX_NORM, /* q_norm, k_norm, post-attention norm ... */
    QS_ROLE_FFN_NORM, QS_ROLE_FFN_GATE, QS_ROLE_FFN_UP, QS_ROLE_FFN_DOWN, QS_ROLE_FFN_AUX_NORM,
    QS_ROLE_FFN_ROUTER, /* ffn_gate_inp */
    QS_ROLE_FFN_GATE_EXPS, QS_ROLE_FFN_UP_EXPS, QS_ROLE_FFN_DOWN_EXPS, QS_ROLE_FFN_GATE_UP_EXPS,
    QS_ROLE_FFN_GATE_SHEXP, QS_ROLE_FFN_UP_SHEXP, QS_ROLE_FFN_DOWN_SHEXP,
    QS_ROLE_SSM, QS_ROLE_BIAS, QS_ROLE_NORM_OTHER,
    QS_ROLE_COUNT
};

const char *qs_role_name(enum qs_role r);   /* "attn_q": also the row label of the map */
/* From a GGUF tensor name; *layer = block number or -1. Names that fit nothing are QS_ROLE_OTHER. */
enum qs_role qs_role_of(const char *gguf_name, int *layer);
/* Whether llama.cpp knows a tensor of that name (for some architecture). */
int qs_role_known(const char *gguf_name);

#endif
