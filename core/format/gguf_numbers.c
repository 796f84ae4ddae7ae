/* gguf_numbers.c - remarks about the numbers that describe a model: do they agree with its tensors and each other?
 *
 * Owns nothing: looks at a parsed file and adds warnings, where llama.cpp (0c1e57098) would refuse the file or compute
 * nonsense. Architectures differ; what is said here holds for every one that names its tensors blk.N.* and states the
 * number at all. What is missing altogether is told by gguf_check.c.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/format/gguf_internal.h"

struct numbers {
    struct qs_gguf *g;
    char arch[64];
};

static const struct qs_kv *number_of(const struct numbers *x, const char *suffix, char key[160])
{
    snprintf(key, 160, "%s.%s", x->arch, suffix);
    return qs_gguf_kv(x->g, key);
}

static void warn(const struct numbers *x, const struct qs_kv *kv, const char *key, const char *msg)
{
    char field[192];
    qs_gguf_label(field, sizeof field, "metadata", key, strlen(key), NULL);
    qs_gguf_find(x->g, QS_FINDING_WARNING, QS_OK, 0, kv->offset, field, "%s", msg);
}

/* Counts and widths: llama.cpp reads them as 32 bits without sign. Arrays (one value a layer) are left alone. */
static void judge_range(const struct numbers *x)
{
    static const char *const counts[] = { "block_count", "context_length", "embedding_length", "feed_forward_length",
                                          "attention.head_count", "attention.head_count_kv", "expert_count",
                                          "expert_used_count", "vocab_size" };
    char key[160], msg[120];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct qs_kv *kv = number_of(x, counts[i], key);
        uint64_t v;
        if (!kv || kv->type == QS_GGUF_ARRAY)
            continue;
        if (!qs_kv_u64(kv, &v))
            warn(x, kv, key, "is not a count: a whole number that is not negative is needed");
        else if (v > INT32_MAX) {
            snprintf(msg, sizeof msg, "%" PRIu64 " cannot be: it counts as not stated", v);
            warn(x, kv, key, msg);
        }
    }
}

/* Layers by the names of the tensors: one more than the largest N of blk.N.; 0: no such names. */
static uint64_t layers_named(const struct qs_gguf *g)
{
    uint64_t most = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const char *s = g->tensor[i].name;
        uint64_t n = 0;
        size_t digits = 0;
        if (strncmp(s, "blk.", 4) != 0)
            continue;
        for (s += 4; *s >= '0' && *s <= '9' && digits < 9; s++, digits++)
            n = n * 10 + (uint64_t)(*s - '0');
        if (digits && *s == '.' && n + 1 > most)
            most = n + 1;
    }
    return most;
}

static void judge_layers(const struct numbers *x)
{
    char key[160], msg[120];
    const struct qs_kv *kv = number_of(x, "block_count", key);
    const uint64_t named = layers_named(x->g);
    uint64_t v;
    if (!kv || !named || !qs_kv_u64(kv, &v) || v == named || v > INT32_MAX)
        return;
    snprintf(msg, sizeof msg, "says %" PRIu64 " layers, the tensors are of %" PRIu64, v, named);
    warn(x, kv, key, msg);
}

static void judge_widths(const struct numbers *x)
{
    const struct qs_gguf_tensor *embd = qs_gguf_tensor_by_name(x->g, "token_embd.weight");
    const struct qs_gguf_tensor *q = qs_gguf_tensor_by_name(x->g, "blk.0.attn_q.weight");
    char key[160], msg[120];
    uint64_t v;
    const struct qs_kv *kv = number_of(x, "embedding_length", key);
    if (kv && embd && qs_kv_u64(kv, &v) && v != embd->ne[0]) {
        snprintf(msg, sizeof msg, "says %" PRIu64 ", rows of token_embd.weight have %" PRIu64 " weights", v, embd->ne[0]);
        warn(x, kv, key, msg);
    }
    kv = number_of(x, "attention.head_count", key);
    if (kv && q && qs_kv_u64(kv, &v) && (v == 0 || q->ne[1] % v != 0)) {
        snprintf(msg, sizeof msg, "says %" PRIu64 ", blk.0.attn_q.weight has %" PRIu64 " rows: they cannot be shared out", v,
                 q->ne[1]);
        warn(x, kv, key, msg);
    }
}

static void judge_reals(const struct numbers *x)
{
    static const char *const positive[] = { "rope.freq_base", "attention.layer_norm_rms_epsilon",
                                            "attention.layer_norm_epsilon" };
    char key[160];
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++) {
        const struct qs_kv *kv = number_of(x, positive[i], key);
        double v;
        if (kv && kv->type != QS_GGUF_ARRAY && (!qs_kv_f64(kv, &v) || !isfinite(v) || v <= 0))
            warn(x, kv, key, "is not a positive number");
    }
}

static void judge_tokens(const struct numbers *x)
{
    static const char *const ids[] = { "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id",
                                       "tokenizer.ggml.padding_token_id", "tokenizer.ggml.separator_token_id" };
    const struct qs_kv *tokens = qs_gguf_kv(x->g, "tokenizer.ggml.tokens");
    char msg[120];
    if (!tokens || tokens->type != QS_GGUF_ARRAY)
        return;
    if (!qs_gguf_kv(x->g, "tokenizer.ggml.model"))
        warn(x, tokens, "tokenizer.ggml.model", "is missing, although there are tokens: llama.cpp needs it");
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct qs_kv *kv = qs_gguf_kv(x->g, ids[i]);
        uint64_t v;
        if (!kv || !qs_kv_u64(kv, &v) || v < tokens->count || v == UINT32_MAX) /* -1: there is none */
            continue;
        snprintf(msg, sizeof msg, "says %" PRIu64 ", but there are %" PRIu64 " tokens, counted from 0", v, tokens->count);
        warn(x, kv, ids[i], msg);
    }
}

void qs_gguf_lint_numbers(struct qs_gguf *g)
{
    struct numbers x = { .g = g };
    const char *s;
    size_t n;
    if (!qs_kv_str(qs_gguf_kv(g, "general.architecture"), &s, &n) || n >= sizeof x.arch)
        return;
    memcpy(x.arch, s, n);
    judge_range(&x);
    judge_layers(&x);
    judge_widths(&x);
    judge_reals(&x);
    judge_tokens(&x);
}
