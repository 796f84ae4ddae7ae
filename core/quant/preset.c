/* preset.c - the presets, and the type each one gives to every tensor of a model.
 *
 * Follows llama.cpp at commit 0c1e57098: tensors are visited in its order (by block number, then by name), running
 * numbers of attn_v and ffn_down advance only where the mix itself decides (not where a pin, a rule or an option does),
 * and types that do not fit the row length fall back as there. `steady`, which llama.cpp does not know, lets the
 * running numbers advance at pins and rules as well. The exceptions themselves are tables (preset_rules.c).
 * Where llama.cpp stops with an error, so does this, naming the tensor; where an option forces a type onto rows it
 * cannot have, llama.cpp writes a damaged file or stops half-way, and this refuses beforehand.
 * Constant data; no state between calls: any thread.
 */
#include "core/quant/preset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/quant/preset_rules.h"

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(name_, alias_, ft, base_, text) \
    { .name = #name_, .alias = (alias_), .file_type = (ft), .base = QS_##base_, .about = (text) }

/* From many bits to few. */
static const struct qs_preset presets[] = {
    ROW(F32, NULL, 0, F32, "32 bpw: plain floats, nothing lost"),
    ROW(BF16, NULL, 32, BF16, "16 bpw: originals trained in bfloat16 lose nothing"),
    ROW(F16, NULL, 1, F16, "16 bpw: originals trained in float16 lose nothing"),
    ROW(Q8_0, NULL, 7, Q8_0, "8.5 bpw: next to lossless"),
    ROW(Q6_K, NULL, 18, Q6_K, "6.6 bpw: hard to tell from the original"),
    ROW(Q5_K_M, "Q5_K", 17, Q5_K, "5.7 bpw: Q5_K, half of attn_v and ffn_down Q6_K"),
    ROW(Q5_K_S, NULL, 16, Q5_K, "5.5 bpw: Q5_K, output Q6_K"),
    ROW(Q5_1, NULL, 9, Q5_1, "6 bpw: older block type; prefer Q5_K_M where rows allow it"),
    ROW(Q5_0, NULL, 8, Q5_0, "5.5 bpw: older block type; prefer Q5_K_S where rows allow it"),
    ROW(Q4_K_M, "Q4_K", 15, Q4_K, "4.8 bpw: the usual choice; Q4_K, half of attn_v and ffn_down Q6_K"),
    ROW(Q4_K_S, NULL, 14, Q4_K, "4.6 bpw: Q4_K, a few early layers Q5_K"),
    ROW(Q4_1, NULL, 3, Q4_1, "5 bpw: older block type with minima"),
    ROW(Q4_0, NULL, 2, Q4_0, "4.5 bpw: older block type, fast everywhere"),
    ROW(IQ4_NL, NULL, 25, IQ4_NL, "4.5 bpw: non-linear levels, blocks of 32"),
    ROW(IQ4_XS, NULL, 30, IQ4_XS, "4.3 bpw: close to Q4_K_S, smaller"),
    ROW(MXFP4_MOE, NULL, 38, MXFP4, "experts in MXFP4, everything else Q8_0"),
    ROW(Q3_K_L, NULL, 13, Q3_K, "4.2 bpw: Q3_K, attn_v, attn_output and ffn_down Q5_K"),
    ROW(Q3_K_M, "Q3_K", 12, Q3_K, "3.9 bpw: Q3_K, attn_v, attn_output and ffn_down Q4_K"),
    ROW(Q3_K_S, NULL, 11, Q3_K, "3.5 bpw: Q3_K, output Q6_K"),
    ROW(IQ3_M, NULL, 27, IQ3_S, "3.7 bpw: IQ3_S, attn_v and attn_output Q4_K"),
    ROW(IQ3_S, NULL, 26, IQ3_S, "3.4 bpw: better than Q3_K_S at the same size"),
    ROW(IQ3_XS, NULL, 22, IQ3_S, "3.3 bpw: IQ3_S, attn_q, attn_k and middle layers IQ3_XXS"),
    ROW(IQ3_XXS, NULL, 23, IQ3_XXS, "3.1 bpw: large models in little memory"),
    ROW(Q2_K, NULL, 10, Q2_K, "2.9 bpw: Q2_K, attn_output and ffn_down Q3_K"),
    ROW(Q2_K_S, NULL, 21, Q2_K, "2.7 bpw: Q2_K nearly throughout"),
    ROW(IQ2_M, NULL, 29, IQ2_S, "2.7 bpw: IQ2_S, attn_output IQ3_S"),
    ROW(IQ2_S, NULL, 28, IQ2_XS, "2.5 bpw: IQ2_XS, attn_output IQ3_S"),
    ROW(IQ2_XS, NULL, 20, IQ2_XS, "2.3 bpw: large models in very little memory"),
    ROW(IQ2_XXS, NULL, 19, IQ2_XXS, "2.1 bpw: very large models only"),
    ROW(Q2_0, NULL, 41, Q2_0, "2.25 bpw: models trained to four levels"),
    ROW(TQ2_0, NULL, 37, TQ2_0, "2.06 bpw: models trained to three levels, fast"),
    ROW(TQ1_0, NULL, 36, TQ1_0, "1.69 bpw: models trained to three levels, smallest"),
    ROW(IQ1_M, NULL, 31, IQ1_M, "1.75 bpw: very large models only"),
    ROW(IQ1_S, NULL, 24, IQ1_S, "1.56 bpw: very large models only"),
    ROW(Q1_0, NULL, 40, Q1_0, "1.125 bpw: models trained to one bit"),
    { .name = "COPY", .alias = NULL, .file_type = -1, .base = QS_TYPE_NONE,
      .about = "every tensor as it is: change metadata, split or join files" },
};

enum { FT_MXFP4_MOE = 38 };

size_t qs_preset_count(void)
{
    return sizeof presets / sizeof *presets;
}

const struct qs_preset *qs_preset_at(size_t i)
{
    return i < qs_preset_count() ? &presets[i] : NULL;
}

const struct qs_preset *qs_preset_by_file_type(int file_type)
{
    for (size_t i = 0; file_type >= 0 && i < qs_preset_count(); i++)
        if (presets[i].file_type == file_type)
            return &presets[i];
    return NULL;
}

/* Up to three digits and nothing else; -1: no number. */
static int small_number(const char *s)
{
    int v = 0;
    size_t n = strlen(s);
    if (n == 0 || n > 3)
        return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        v = v * 10 + (*s - '0');
    }
    return v;
}

const struct qs_preset *qs_preset_by_name(const char *name)
{
    for (size_t i = 0; i < qs_preset_count(); i++)
        if (qs_ascii_equal(presets[i].name, name) || (presets[i].alias && qs_ascii_equal(presets[i].alias, name)))
            return &presets[i];
    return qs_preset_by_file_type(small_number(name));
}

const char *qs_why_name(enum qs_why w)
{
    static const char *const name[] = {
        [QS_WHY_BASE] = "base",     [QS_WHY_PRESET] = "preset", [QS_WHY_PIN] = "pin",   [QS_WHY_RULE] = "rule",
        [QS_WHY_OPTION] = "option", [QS_WHY_KEPT] = "kept",     [QS_WHY_SAME] = "same", [QS_WHY_COPY] = "copy",
    };
    return name[w];
}

/* ---- properties of types and tensors ------------------------------------------------------------------------ */

int qs_preset_fallback(int type)
{
    switch (type) {
    case QS_IQ1_S: case QS_IQ1_M: case QS_IQ2_XXS: case QS_IQ2_XS: case QS_IQ2_S: case QS_IQ3_XXS: case QS_IQ3_S:
    case QS_IQ4_XS:
        return QS_IQ4_NL;
    case QS_Q2_0: case QS_Q2_K: case QS_Q3_K: case QS_TQ1_0: case QS_TQ2_0:
        return QS_Q4_0;
    case QS_Q4_K:
        return QS_Q5_0;
    case QS_Q5_K:
        return QS_Q5_1;
    case QS_Q6_K:
        return QS_Q8_0;
    case QS_Q4_0: case QS_Q4_1: case QS_Q5_0: case QS_Q5_1: case QS_Q8_0: case QS_IQ4_NL: case QS_MXFP4:
        return QS_F16;
    default:
        return QS_TYPE_NONE;
    }
}

bool qs_preset_needs_importance(const struct qs_preset *p, const char *name, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    const unsigned ever = QS_NEEDS_IMATRIX | QS_RULE_IMATRIX;
    if (type != QS_Q2_K && !(f && (f->flags & ever))) /* most types, without a look at names */
        return false;
    const enum qs_mix_kind kind = qs_mix_kind_of(name);
    if (kind == QS_MIX_TOKEN_EMBD || kind == QS_MIX_OUTPUT)
        return f && (f->flags & QS_NEEDS_IMATRIX); /* the encoder has no way without */
    return (f && (f->flags & QS_RULE_IMATRIX)) || (type == QS_Q2_K && p && strcmp(p->name, "Q2_K_S") == 0);
}

/* ggml counts dimensions without trailing ones. */
static unsigned real_dims(const struct qs_tensor *t)
{
    unsigned n = QS_MAX_DIMS;
    while (n > 1 && t->ne[n - 1] <= 1)
        n--;
    return n;
}

static const char *why_kept(const char *arch, const struct qs_tensor *t)
{
    return real_dims(t) < 2 ? "a single row" : qs_mix_kept(arch, t->name);
}

bool qs_preset_quantizes(const struct qs_model *m, const struct qs_tensor *t)
{
    return !why_kept(m->hp.arch, t);
}

/* Floats and blocks of floats; not integers, doubles, or types unknown to us. */
static bool convertible(const struct qs_tensor *t)
{
    return t->format && t->format->kind != QS_KIND_INT && t->type != QS_F64;
}

bool qs_preset_settable(const struct qs_model *m, const struct qs_tensor *t)
{
    return convertible(t) && qs_preset_quantizes(m, t);
}

static bool fits(const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f && t->ne[0] % f->block == 0;
}

static const char *type_name(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f ? f->name : "?";
}

/* ---- the model as the mixes see it -------------------------------------------------------------------------- */

/* What the names of a model's tensors say: found out once, and kept with the model, because plans are made at every
 * edit and models may have tens of thousands of tensors. */
struct names {
    struct name { unsigned char kind; const char *kept; int block; /* -1: none */ } *of; /* per tensor */
    uint32_t *order; /* tensors by block and name, as llama.cpp walks through them */
};

struct mix {
    const struct qs_model *m;
    const struct names *names;
    const struct qs_preset_args *a;
    struct qs_err *e;
    uint64_t preset_bit;
    unsigned facts;             /* QS_IF_* that hold for the whole model */
    bool tied, is_70b, experts, glm5, bailing3;
    int n_blocks, n_attn_v;     /* n of the conditions */
    int i_attn_v, i_ffn_down, i_ffn_gate, i_ffn_up;
    unsigned forced[QS_MIX_KINDS]; /* tensors so far that a pin or rule decided: the running numbers pass them over */
};

static uint64_t arch_u64(const struct qs_model *m, const char *key, uint64_t otherwise)
{
    char full[128];
    uint64_t v;
    snprintf(full, sizeof full, "%s.%s", m->hp.arch, key);
    return qs_kv_u64(qs_model_kv(m, full), &v) ? v : otherwise;
}

/* Block number of "blk.N..."; false when there is none. Numbers too large to be blocks count as none. */
static bool block_of(const char *name, int *block)
{
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9')
        return false;
    char *end;
    long v = strtol(name + 4, &end, 10);
    if (v < 0 || v > 1000000)
        return false;
    *block = (int)v;
    return true;
}

/* Models of 70B with shared attn_v, as llama.cpp recognises them. */
static bool is_70b(const struct qs_model *m, uint64_t n_head_kv)
{
    static const struct { const char *arch; uint64_t layers; } known[] = {
        { "llama", 80 }, { "llama-embed", 80 }, { "qwen2", 80 }, { "deci", 80 }, { "olmo", 80 }, { "jais2", 68 },
    };
    uint64_t layers = m->hp.n_layer - arch_u64(m, "nextn_predict_layers", 0);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(m->hp.arch, known[i].arch) != 0 || layers != known[i].layers)
            continue;
        return strncmp(known[i].arch, "llama", 5) != 0 || (m->hp.n_head != n_head_kv && m->hp.n_expert != 8);
    }
    return false;
}

static uint64_t blocks_of_model(const struct qs_model *m)
{
    uint64_t n = m->hp.n_layer;
    if (n == 0) { /* not stated: as many as there are */
        for (size_t i = 0; i < m->n_tensors; i++) {
            int b;
            if (block_of(m->tensor[i].name, &b) && (uint64_t)b + 1 > n)
                n = (uint64_t)b + 1;
        }
    }
    if (strcmp(m->hp.arch, "graniteswitch") == 0)
        n = n - arch_u64(m, "nextn_predict_layers", 0) + 1; /* one router block is added on loading */
    else if (strcmp(m->hp.arch, "nanbeige") == 0 && arch_u64(m, "num_loops", 1) > 1)
        n = (n - arch_u64(m, "nextn_predict_layers", 0)) * arch_u64(m, "num_loops", 1);
    return n > 100000 ? 100000 : n;
}

static void look_at_model(struct mix *x)
{
    const struct qs_hparams *hp = &x->m->hp;
    uint64_t kv = hp->n_head_kv ? hp->n_head_kv : hp->n_head;
    bool falcon = strcmp(hp->arch, "falcon") == 0;
    x->n_blocks = (int)blocks_of_model(x->m);
    x->is_70b = is_70b(x->m, kv);
    x->experts = hp->n_expert > 1;
    x->glm5 = strcmp(hp->arch, "glm5-next") == 0;
    x->bailing3 = strcmp(hp->arch, "bailingmoe3") == 0;
    x->facts = falcon ? QS_IF_FALCON : QS_IF_NOT_FALCON;
    x->facts |= x->a->have_imatrix ? QS_IF_IMATRIX : QS_IF_NO_IMATRIX;
    x->facts |= kv && hp->n_head / kv >= 4 ? QS_IF_GQA4 : 0u;
    x->facts |= hp->n_expert >= 4 ? QS_IF_EXPERTS4 : 0u;
    x->facts |= hp->n_expert == 8 ? QS_IF_EXPERTS8 : 0u;
    x->tied = true;
    for (size_t i = 0; i < x->m->n_tensors; i++) {
        const enum qs_mix_kind k = (enum qs_mix_kind)x->names->of[i].kind;
        x->n_attn_v += k == QS_MIX_ATTN_V;
        x->tied &= k != QS_MIX_OUTPUT;
    }
}

/* ---- the mix ------------------------------------------------------------------------------------------------ */

static unsigned place_facts(int i, int n)
{
    unsigned f = 0;
    f |= i < n / 8 ? QS_IF_FIRST_8TH : 0u;
    f |= i < n / 16 ? QS_IF_FIRST_16TH : 0u;
    f |= i >= n / 8 && i < 7 * n / 8 ? QS_IF_MIDDLE : 0u;
    f |= i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2 ? QS_IF_MORE_BITS : 0u;
    f |= i < 2 ? QS_IF_BELOW_2 : 0u;
    f |= i < 4 ? QS_IF_BELOW_4 : 0u;
    return f;
}

/* i of the conditions for the kinds that are numbered; advances the running number. *passed_over: forced tensors that
 * it does not count. */
static int place(struct mix *x, const struct qs_tensor *t, enum qs_mix_kind kind, unsigned *facts, unsigned *passed_over)
{
    int *count = kind == QS_MIX_FFN_DOWN ? &x->i_ffn_down : kind == QS_MIX_FFN_GATE ? &x->i_ffn_gate : &x->i_ffn_up;
    bool low = qs_mix_low_presets & x->preset_bit;
    *passed_over = x->forced[kind];
    if (kind == QS_MIX_ATTN_V) {
        *facts |= place_facts(x->i_attn_v++, x->n_attn_v);
        return QS_OK;
    }
    if (kind != QS_MIX_FFN_DOWN && kind != QS_MIX_FFN_GATE && kind != QS_MIX_FFN_UP)
        return QS_OK;
    int i = (*count)++;
    if (x->experts && !low) { /* experts are not in the order of blocks: the name tells */
        *passed_over = 0;
        if (!block_of(t->name, &i))
            return qs_fail(x->e, QS_EINVAL,
                           "%s: the name does not tell its block, which this preset needs in a model with "
                           "experts",
                           t->name);
        if (i >= x->n_blocks)
            return qs_fail(x->e, QS_EINVAL, "%s: block %d in a model of %d blocks", t->name, i, x->n_blocks);
    }
    *facts |= place_facts(i, x->n_blocks);
    return QS_OK;
}

static void say(struct qs_choice *c, enum qs_why why, const char *reason)
{
    const size_t n = strlen(reason), most = sizeof c->reason - 1;
    c->why = why;
    memcpy(c->reason, reason, n < most ? n : most);
    c->reason[n < most ? n : most] = 0;
}

static const struct qs_mix_rule *find_rule(const struct mix *x, enum qs_mix_kind kind, unsigned facts)
{
    for (size_t i = 0; i < qs_mix_n_rules; i++) {
        const struct qs_mix_rule *r = &qs_mix_rules[i];
        if (r->kind == kind && (r->presets & x->preset_bit) && (r->conditions & ~facts) == 0)
            return r;
    }
    return NULL;
}

/* MXFP4_MOE has no table: experts one type, the rest another. */
static void mix_mxfp4(const struct mix *x, const struct qs_tensor *t, enum qs_mix_kind kind, struct qs_choice *c)
{
    bool ffn = kind == QS_MIX_FFN_UP || kind == QS_MIX_FFN_GATE || kind == QS_MIX_FFN_DOWN;
    if (t->ne[2] > 1 && (!x->bailing3 || ffn)) {
        c->type = QS_MXFP4;
        say(c, QS_WHY_BASE, "experts");
    } else {
        c->type = QS_Q8_0;
        say(c, QS_WHY_PRESET, "no expert tensor");
    }
}

static int mix_choose(struct mix *x, const struct qs_tensor *t, enum qs_mix_kind kind, struct qs_choice *c)
{
    const struct qs_preset *p = x->a->preset;
    unsigned facts = x->facts | (fits(t, p->base) ? 0u : QS_IF_RAGGED);
    if (x->glm5 && (strstr(t->name, "attn_q_a") || strstr(t->name, "attn_q_b") || strstr(t->name, "nextn.eh_proj"))) {
        c->type = QS_Q8_0;
        say(c, QS_WHY_PRESET, "never below Q8_0 in glm5-next");
        return QS_OK;
    }
    if (kind == QS_MIX_TOKEN_EMBD && x->tied)
        kind = QS_MIX_OUTPUT;
    if (kind == QS_MIX_OUTPUT && x->a->output_type != QS_TYPE_NONE) {
        c->type = x->a->output_type;
        say(c, QS_WHY_OPTION, "output type (the embeddings serve as output)");
        return QS_OK;
    }
    if (p->file_type == FT_MXFP4_MOE && kind != QS_MIX_OUTPUT) {
        mix_mxfp4(x, t, kind, c);
        return QS_OK;
    }
    unsigned passed_over = 0;
    int rc = place(x, t, kind, &facts, &passed_over);
    if (rc)
        return rc;
    const struct qs_mix_rule *r = find_rule(x, kind, facts);
    if (r && r->type != QS_TYPE_NONE) {
        c->type = r->type;
        say(c, QS_WHY_PRESET, r->reason);
        if (passed_over && (r->conditions & QS_IF_PLACE)) /* then "layers" are those that the preset decides */
            snprintf(c->reason, sizeof c->reason, "%s, not counting %u forced", r->reason, passed_over);
    }
    if (kind == QS_MIX_ATTN_V && x->is_70b && !(qs_mix_low_presets & x->preset_bit) &&
        (c->type == QS_Q3_K || c->type == QS_Q4_K)) {
        c->type = QS_Q5_K;
        say(c, QS_WHY_PRESET, "attn_v of a 70B model");
    }
    return QS_OK;
}

/* ---- one tensor --------------------------------------------------------------------------------------------- */

static int refuse_shape(const struct mix *x, const struct qs_tensor *t, int type, const char *more)
{
    char types[200];
    const struct qs_format *f = qs_format_by_id(type);
    qs_mix_types_for(t->ne[0], types, sizeof types);
    return qs_fail(x->e, QS_EINVAL, "%s: rows of %llu are no multiple of %u, as %s needs%s; types that fit: %s",
                   t->name, (unsigned long long)t->ne[0], f ? f->block : 0u, type_name(type), more, types);
}

static int fall_back(const struct mix *x, const struct qs_tensor *t, struct qs_choice *c)
{
    if (fits(t, c->type))
        return QS_OK;
    if (x->a->strict) {
        int rc = refuse_shape(x, t, c->type, ", and a strict recipe takes no other type");
        if (x->a->problem)
            rc = x->a->problem(x->a->problem_ctx, t, NULL, x->e);
        if (rc)
            return rc;
    }
    int to = qs_preset_fallback(c->type);
    if (to == QS_TYPE_NONE)
        return refuse_shape(x, t, c->type, ", and no fallback is defined for it");
    if (!fits(t, to))
        to = QS_F16;
    snprintf(c->reason, sizeof c->reason, "rows of %llu are no multiple of %u: %s instead of %s",
             (unsigned long long)t->ne[0], qs_format_by_id(c->type)->block, type_name(to), type_name(c->type));
    c->type = to;
    return QS_OK;
}

/* Options beat rules, but per_layer_token_embd may be named by a rule. Options take no fallback. */
static bool by_option(const struct mix *x, const struct qs_tensor *t, enum qs_mix_kind kind, int forced,
                      struct qs_choice *c)
{
    const struct qs_preset_args *a = x->a;
    bool named = forced != QS_TYPE_NONE && strcmp(t->name, "per_layer_token_embd.weight") == 0;
    if (kind == QS_MIX_TOKEN_EMBD && a->token_embd_type != QS_TYPE_NONE && !named) {
        c->type = a->token_embd_type;
        say(c, QS_WHY_OPTION, "token embedding type");
        return true;
    }
    if (kind == QS_MIX_OUTPUT && a->output_type != QS_TYPE_NONE) {
        c->type = a->output_type;
        say(c, QS_WHY_OPTION, "output type");
        return true;
    }
    return false;
}

static bool stays(const struct mix *x, const struct qs_tensor *t, int forced, struct qs_choice *c)
{
    const char *kept = x->names->of[t - x->m->tensor].kept;
    c->type = t->type;
    if (!convertible(t))
        say(c, QS_WHY_COPY, t->format ? "integers and doubles are copied" : "unknown type, copied");
    else if (x->a->preset->base == QS_TYPE_NONE && (kept || forced == QS_TYPE_NONE))
        say(c, QS_WHY_COPY, "copied");
    else if (kept)
        say(c, QS_WHY_KEPT, kept);
    else if (x->a->leave_output && strcmp(t->name, "output.weight") == 0)
        say(c, QS_WHY_OPTION, "output left as it is");
    else
        return false;
    c->wanted = c->type;
    return true;
}

/* A forced tensor: passed over by the running numbers or, steady, counted as if the mix had decided it. */
static void count_forced(struct mix *x, const struct qs_tensor *t, enum qs_mix_kind kind, bool mixes)
{
    struct qs_choice unused = { .type = x->a->preset->base };
    struct qs_err ignored = QS_ERR_INIT, *const e = x->e;
    if (!x->a->steady) {
        x->forced[kind]++;
    } else if (mixes) {
        x->e = &ignored; /* what the mix could not decide it need not: the type is given */
        (void)mix_choose(x, t, kind, &unused);
        x->e = e;
    }
}

static int choose_one(struct mix *x, const struct qs_tensor *t, int forced, struct qs_choice *c)
{
    const struct qs_preset *p = x->a->preset;
    const struct qs_format *base = qs_format_by_id(p->base);
    const bool mixes = !x->a->pure && base && base->kind != QS_KIND_FLOAT;
    const enum qs_mix_kind kind = (enum qs_mix_kind)x->names->of[t - x->m->tensor].kind;
    int rc = QS_OK;
    if (stays(x, t, forced, c))
        return QS_OK;
    if (by_option(x, t, kind, forced, c)) {
        c->wanted = c->type;
        return fits(t, c->type) ? QS_OK : refuse_shape(x, t, c->type, "");
    }
    c->type = p->base;
    say(c, QS_WHY_BASE, "base type");
    if (forced != QS_TYPE_NONE) {
        c->type = forced;
        count_forced(x, t, kind, mixes);
        say(c, QS_WHY_RULE, "named by the recipe");
    } else if (mixes) {
        rc = mix_choose(x, t, kind, c);
    }
    c->wanted = c->type;
    if (rc == QS_OK)
        rc = fall_back(x, t, c);
    if (rc == QS_OK && c->type == t->type && c->wanted == c->type && (c->why == QS_WHY_BASE || c->why == QS_WHY_PRESET))
        c->why = QS_WHY_SAME;
    return rc;
}

/* A tensor for which there is no type: told, and left as it is; or the error. */
static int give_up(const struct mix *x, const struct qs_tensor *t, struct qs_choice *c)
{
    const int rc = x->a->problem(x->a->problem_ctx, t, NULL, x->e);
    c->type = t->type;
    say(c, QS_WHY_KEPT, "no type can be given to it");
    return rc;
}

/* ---- all tensors -------------------------------------------------------------------------------------------- */

struct place_in_order {
    const struct qs_tensor *t;
    int block;
};

static int by_block_and_name(const void *va, const void *vb)
{
    const struct place_in_order *a = va, *b = vb;
    if (a->block != b->block)
        return a->block < b->block ? -1 : 1;
    return strcmp(a->t->name, b->t->name);
}

static void names_free(void *p)
{
    struct names *n = p;
    if (n) {
        qs_free(n->of);
        qs_free(n->order);
    }
    qs_free(n);
}

static int names_make(const struct qs_model *m, struct names **out, struct qs_err *e)
{
    const size_t count = m->n_tensors ? m->n_tensors : 1;
    struct names *n = qs_calloc(1, sizeof *n);
    struct place_in_order *place = qs_calloc(count, sizeof *place);
    if (n) {
        n->of = qs_calloc(count, sizeof *n->of);
        n->order = qs_calloc(count, sizeof *n->order);
    }
    if (!n || !n->of || !n->order || !place || m->n_tensors > UINT32_MAX) {
        names_free(n);
        qs_free(place);
        return qs_fail_mem(e, (unsigned long long)count * sizeof *place, "the order of tensors");
    }
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct name *o = &n->of[i];
        o->kind = (unsigned char)qs_mix_kind_of(t->name);
        o->kept = why_kept(m->hp.arch, t);
        if (!block_of(t->name, &o->block))
            o->block = -1;
        place[i] = (struct place_in_order){ t, o->block };
    }
    qsort(place, m->n_tensors, sizeof *place, by_block_and_name);
    for (size_t i = 0; i < m->n_tensors; i++)
        n->order[i] = (uint32_t)(place[i].t - m->tensor);
    qs_free(place);
    *out = n;
    return QS_OK;
}

static bool known_type(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return type == QS_TYPE_NONE || (f && !(f->flags & (QS_NO_ENCODE | QS_INTERNAL)) && f->kind != QS_KIND_INT);
}

int qs_preset_choose(const struct qs_model *m, const struct qs_preset_args *args, struct qs_choice *choice,
                     struct qs_err *e)
{
    struct qs_err own = QS_ERR_INIT; /* problems need their words */
    struct mix x = { .m = m, .a = args, .e = e ? e : &own };
    struct names *own_names = NULL; /* where the model keeps none */
    if (!args->preset)
        return qs_fail(e, QS_EINVAL, "no preset given");
    if (!known_type(args->output_type) || !known_type(args->token_embd_type))
        return qs_fail(e, QS_EINVAL, "the output or token embedding type cannot be written");
    x.preset_bit = args->preset->file_type >= 0 ? UINT64_C(1) << args->preset->file_type : 0;
    x.names = qs_model_note(m);
    if (!x.names) {
        const int rc = names_make(m, &own_names, e);
        if (rc)
            return rc;
        x.names = qs_model_keep(m, own_names, names_free);
        own_names = x.names ? NULL : own_names;
        x.names = x.names ? x.names : own_names;
    }
    look_at_model(&x);

    int rc = QS_OK;
    for (size_t i = 0; i < m->n_tensors && rc == QS_OK; i++) {
        const size_t at = x.names->order[i];
        const struct qs_tensor *t = &m->tensor[at];
        struct qs_choice *c = &choice[at];
        memset(c, 0, sizeof *c);
        rc = choose_one(&x, t, args->forced ? args->forced[at] : QS_TYPE_NONE, c);
        if (rc == QS_EINVAL && args->problem)
            rc = give_up(&x, t, c);
    }
    names_free(own_names);
    return rc;
}
