/* preset_rules.h - inside core/quant: the tables behind preset.c.
 *
 * A preset is a base type and a list of exceptions. Each exception is one row: which kind of tensor, which presets,
 * under which conditions, which type. Rows are tried in order and the first that fits decides.
 */
#ifndef QS_CORE_PRESET_RULES_H
#define QS_CORE_PRESET_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of tensors as the presets see them. Broader and cruder than roles: they are found by parts of the name, as
 * llama.cpp finds them, and must stay that way for the choices to agree. */
enum qs_mix_kind {
    QS_MIX_OTHER, QS_MIX_TOKEN_EMBD, QS_MIX_OUTPUT,
    QS_MIX_ATTN_V /* also fused attn_qkv and attn_kv_b */, QS_MIX_ATTN_K, QS_MIX_ATTN_Q, QS_MIX_ATTN_OUTPUT,
    QS_MIX_FFN_UP, QS_MIX_FFN_GATE, QS_MIX_FFN_DOWN,
    QS_MIX_KINDS
};

/* Conditions; all that are set must hold. i is the running number of the tensor among its kind (of models with experts:
 * its block), n how many blocks (attn_v: how many such tensors) there are. */
enum {
    QS_IF_GQA4 = 1u << 0,        /* at least 4 query heads for each key-value head */
    QS_IF_EXPERTS4 = 1u << 1,    /* at least 4 experts */
    QS_IF_EXPERTS8 = 1u << 2,    /* exactly 8 experts */
    QS_IF_FALCON = 1u << 3,      /* architecture falcon */
    QS_IF_NOT_FALCON = 1u << 4,
    QS_IF_IMATRIX = 1u << 5,     /* an importance matrix is given */
    QS_IF_NO_IMATRIX = 1u << 6,
    QS_IF_FIRST_8TH = 1u << 7,   /* i < n/8 */
    QS_IF_FIRST_16TH = 1u << 8,  /* i < n/16 */
    QS_IF_MIDDLE = 1u << 9,      /* n/8 <= i < 7n/8 */
    QS_IF_MORE_BITS = 1u << 10,  /* first and last eighth, and every third between */
    QS_IF_BELOW_2 = 1u << 11,    /* i < 2 */
    QS_IF_BELOW_4 = 1u << 12,    /* i < 4 */
    QS_IF_RAGGED = 1u << 13,     /* rows no multiple of the base type's block */
    QS_IF_PLACE = QS_IF_FIRST_8TH | QS_IF_FIRST_16TH | QS_IF_MIDDLE | QS_IF_MORE_BITS | QS_IF_BELOW_2 | QS_IF_BELOW_4
};

struct qs_mix_rule {
    enum qs_mix_kind kind;
    uint64_t presets;   /* bits: 1 << file type */
    unsigned conditions;
    int type;           /* QS_TYPE_NONE: stays the base type, and no later row is tried */
    const char *reason; /* for people */
};

extern const struct qs_mix_rule qs_mix_rules[];
extern const size_t qs_mix_n_rules;

/* Presets that number ffn_down by a running count even in models with experts, and that take no part in the
 * corrections for 70B models: those of 1 and 2 bits. */
extern const uint64_t qs_mix_low_presets;

enum qs_mix_kind qs_mix_kind_of(const char *name);

/* NULL when a preset of this architecture may change the tensor; else why it never does ("norm", "router" ...). */
const char *qs_mix_kept(const char *arch, const char *name);

/* "Q8_0, Q4_0, F16 ...": encodable types whose block divides the row length. buf is always terminated. */
void qs_mix_types_for(uint64_t cols, char *buf, size_t n);

#endif
