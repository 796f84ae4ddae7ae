/* gguf_check.c - remarks about a well-formed header: what a reader of the file will miss or stumble over.
 *
 * Owns nothing: looks at a parsed file and adds notes and warnings. Nothing here is fatal; what is fatal is found while
 * parsing. Names of tensors are judged above, where roles are known (core/report/report_check.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/format/gguf_internal.h"
#include "kernels/format.h"

static void say(struct qs_gguf *g, enum qs_finding_kind kind, const struct qs_kv *kv, const char *field,
                const char *msg)
{
    qs_gguf_find(g, kind, QS_OK, 0, kv ? kv->offset : QS_GGUF_NO_OFFSET, field, "%s", msg);
}

static bool str_is(const struct qs_kv *kv, const char *word)
{
    const char *s;
    size_t n;
    return qs_kv_str(kv, &s, &n) && n == strlen(word) && memcmp(s, word, n) == 0;
}

/* ---- the model's numbers ---- */

const char *const *qs_gguf_needed_keys(void)
{
    static const char *const needed[] = { "block_count", "context_length", "embedding_length", NULL };
    return needed;
}

static void lint_arch(struct qs_gguf *g)
{
    const struct qs_kv *kv = qs_gguf_kv(g, "general.architecture");
    const char *s;
    size_t n;
    if (!kv) {
        say(g, QS_FINDING_WARNING, NULL, "metadata general.architecture", "is missing: no program can run the file");
        return;
    }
    if (!qs_kv_str(kv, &s, &n) || n == 0 || n > 63) {
        say(g, QS_FINDING_WARNING, kv, "metadata general.architecture",
            "is not a short text: no program can run the file");
        return;
    }
    for (const char *const *needed = qs_gguf_needed_keys(); *needed; needed++) {
        char key[160];
        snprintf(key, sizeof key, "%.*s.%s", (int)n, s, *needed);
        if (qs_gguf_kv(g, key))
            continue;
        char field[96];
        qs_gguf_label(field, sizeof field, "metadata", key, strlen(key), NULL);
        say(g, QS_FINDING_WARNING, NULL, field, "is missing: llama.cpp needs it to load a model");
    }
}

static void lint_tokenizer(struct qs_gguf *g)
{
    const struct qs_kv *model = qs_gguf_kv(g, "tokenizer.ggml.model"), *tokens = qs_gguf_kv(g, "tokenizer.ggml.tokens");
    if (!model && !tokens) {
        say(g, QS_FINDING_WARNING, NULL, "metadata tokenizer.ggml.model",
            "the file has no tokenizer: it cannot be run by itself");
        return;
    }
    if (str_is(model, "none") || str_is(model, "no_vocab"))
        return;
    if (!tokens || tokens->type != QS_GGUF_ARRAY || tokens->item != QS_GGUF_STRING) {
        say(g, QS_FINDING_WARNING, tokens, "metadata tokenizer.ggml.tokens", "is missing or no list of texts");
        return;
    }
    static const char *const beside[] = {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"};
    for (size_t i = 0; i < 2; i++) {
        const struct qs_kv *kv = qs_gguf_kv(g, beside[i]);
        char msg[120], field[96];
        if (!kv || kv->type != QS_GGUF_ARRAY || kv->count == tokens->count)
            continue;
        snprintf(msg, sizeof msg, "has %" PRIu64 " values for %" PRIu64 " tokens", kv->count, tokens->count);
        qs_gguf_label(field, sizeof field, "metadata", beside[i], strlen(beside[i]), NULL);
        say(g, QS_FINDING_WARNING, kv, field, msg);
    }
    const struct qs_gguf_tensor *embd = qs_gguf_tensor_by_name(g, "token_embd.weight");
    if (embd && embd->ne[1] != tokens->count)
        qs_gguf_find(g, QS_FINDING_WARNING, QS_OK, embd->part, embd->offset, "tensor token_embd.weight",
                     "has %" PRIu64 " rows for %" PRIu64 " tokens", embd->ne[1], tokens->count);
}

/* ---- general.file_type against what is in the file ---- */

/* Types that a file of that number mostly consists of (llama.h, enum llama_ftype, at llama.cpp 0c1e57098). */
static const struct { int16_t ftype; int16_t type[3]; const char *name; } file_types[] = {
    { 0, { QS_F32, -1, -1 }, "F32" },          { 1, { QS_F16, -1, -1 }, "F16" },
    { 2, { QS_Q4_0, -1, -1 }, "Q4_0" },        { 3, { QS_Q4_1, -1, -1 }, "Q4_1" },
    { 7, { QS_Q8_0, -1, -1 }, "Q8_0" },        { 8, { QS_Q5_0, -1, -1 }, "Q5_0" },
    { 9, { QS_Q5_1, -1, -1 }, "Q5_1" },        { 10, { QS_Q2_K, -1, -1 }, "Q2_K" },
    { 11, { QS_Q3_K, -1, -1 }, "Q3_K_S" },     { 12, { QS_Q3_K, -1, -1 }, "Q3_K_M" },
    { 13, { QS_Q3_K, -1, -1 }, "Q3_K_L" },     { 14, { QS_Q4_K, -1, -1 }, "Q4_K_S" },
    { 15, { QS_Q4_K, -1, -1 }, "Q4_K_M" },     { 16, { QS_Q5_K, -1, -1 }, "Q5_K_S" },
    { 17, { QS_Q5_K, -1, -1 }, "Q5_K_M" },     { 18, { QS_Q6_K, -1, -1 }, "Q6_K" },
    { 19, { QS_IQ2_XXS, -1, -1 }, "IQ2_XXS" }, { 20, { QS_IQ2_XS, -1, -1 }, "IQ2_XS" },
    { 21, { QS_Q2_K, -1, -1 }, "Q2_K_S" },     { 22, { QS_IQ3_S, QS_IQ3_XXS, -1 }, "IQ3_XS" },
    { 23, { QS_IQ3_XXS, -1, -1 }, "IQ3_XXS" }, { 24, { QS_IQ1_S, -1, -1 }, "IQ1_S" },
    { 25, { QS_IQ4_NL, -1, -1 }, "IQ4_NL" },   { 26, { QS_IQ3_S, -1, -1 }, "IQ3_S" },
    { 27, { QS_IQ3_S, -1, -1 }, "IQ3_M" },     { 28, { QS_IQ2_XS, QS_IQ2_S, -1 }, "IQ2_S" },
    { 29, { QS_IQ2_S, -1, -1 }, "IQ2_M" },     { 30, { QS_IQ4_XS, -1, -1 }, "IQ4_XS" },
    { 31, { QS_IQ1_M, -1, -1 }, "IQ1_M" },     { 32, { QS_BF16, -1, -1 }, "BF16" },
    { 36, { QS_TQ1_0, -1, -1 }, "TQ1_0" },     { 37, { QS_TQ2_0, -1, -1 }, "TQ2_0" },
    { 38, { QS_MXFP4, -1, -1 }, "MXFP4_MOE" }, { 39, { QS_NVFP4, -1, -1 }, "NVFP4" },
    { 40, { QS_Q1_0, -1, -1 }, "Q1_0" },       { 41, { QS_Q2_0, -1, -1 }, "Q2_0" },
};

static bool has_type(const struct qs_gguf *g, int type)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensor[i].type == type && (g->tensor[i].n_dims > 1 || type == QS_F32))
            return true;
    return false;
}

/* The type that holds most of the weights. */
static const char *main_type(const struct qs_gguf *g)
{
    double best = -1, sum[64] = { 0 };
    int at = -1;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_gguf_tensor *t = &g->tensor[i];
        if (t->type < 0 || t->type >= 64 || t->marks)
            continue;
        sum[t->type] += (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2] * (double)t->ne[3];
    }
    for (int k = 0; k < 64; k++)
        if (sum[k] > 0 && sum[k] > best) {
            best = sum[k];
            at = k;
        }
    const struct qs_format *f = at >= 0 ? qs_format_by_id(at) : NULL;
    return f ? f->name : "?";
}

static void lint_file_type(struct qs_gguf *g)
{
    const struct qs_kv *kv = qs_gguf_kv(g, "general.file_type");
    uint64_t v;
    char msg[200];
    if (g->n_tensors == 0)
        return;
    if (!qs_kv_u64(kv, &v)) {
        say(g, QS_FINDING_NOTE, kv, "metadata general.file_type", "is missing: programs have to guess the file's type");
        return;
    }
    v &= ~(uint64_t)1024; /* "guessed" */
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++) {
        if (file_types[i].ftype != (int64_t)v)
            continue;
        for (int k = 0; k < 3 && file_types[i].type[k] >= 0; k++)
            if (has_type(g, file_types[i].type[k]))
                return;
        snprintf(msg, sizeof msg, "says %s, but no tensor is of that type: most weights are %s", file_types[i].name,
                 main_type(g));
        say(g, QS_FINDING_WARNING, kv, "metadata general.file_type", msg);
        return;
    }
    snprintf(msg, sizeof msg, "%" PRIu64 " is no file type of llama.cpp; most weights are %s", v, main_type(g));
    say(g, QS_FINDING_NOTE, kv, "metadata general.file_type", msg);
}

static void lint_quantization(struct qs_gguf *g)
{
    const struct qs_kv *kv = qs_gguf_kv(g, "general.quantization_version");
    uint64_t v = 0;
    size_t n = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_format *f = g->tensor[i].marks ? NULL : qs_format_by_id(g->tensor[i].type);
        n += f && f->kind != QS_KIND_FLOAT && f->kind != QS_KIND_INT;
    }
    if (n > 0 && !qs_kv_u64(kv, &v))
        say(g, QS_FINDING_WARNING, kv, "metadata general.quantization_version",
            "is missing, although the file is quantized (2 is current)");
    else if (n > 0 && v != 2)
        say(g, QS_FINDING_WARNING, kv, "metadata general.quantization_version",
            "is not 2: the layout of the blocks may have changed since");
}

static void lint_split(struct qs_gguf *g)
{
    const struct qs_kv *count = qs_gguf_kv(g, "split.count"), *no = qs_gguf_kv(g, "split.no");
    if (g->n_parts > 1 && !qs_gguf_kv(g, "split.tensors.count"))
        say(g, QS_FINDING_WARNING, count, "metadata split.tensors.count",
            "is missing: llama.cpp needs it for split models");
    if (!count && no)
        say(g, QS_FINDING_NOTE, no, "metadata split.no", "stands alone: split.count is missing");
    if (g->n_parts > 1) {
        for (unsigned i = 1; i < g->n_parts; i++)
            if (g->part[i].version && g->part[i].version != g->part[0].version)
                qs_gguf_find(g, QS_FINDING_NOTE, QS_OK, i, 4, "version",
                             "differs from the first part's (%" PRIu32 ", not %" PRIu32 ")", g->part[i].version,
                             g->part[0].version);
    }
}

void qs_gguf_lint(struct qs_gguf *g)
{
    static const char *const not_models[] = {"imatrix", "adapter"};
    const struct qs_kv *type = qs_gguf_kv(g, "general.type");
    for (size_t i = 0; i < sizeof not_models / sizeof *not_models; i++) {
        if (str_is(type, not_models[i])) {
            qs_gguf_find(g, QS_FINDING_NOTE, QS_OK, 0, type->offset, "metadata general.type",
                         "this file is no model but an %s", not_models[i]);
            return;
        }
    }
    lint_arch(g);
    qs_gguf_lint_numbers(g);
    lint_tokenizer(g);
    lint_file_type(g);
    lint_quantization(g);
    lint_split(g);
    if (g->n_tensors == 0)
        say(g, QS_FINDING_NOTE, NULL, "tensor count", "the file holds no tensors (a vocabulary only?)");
    if (g->version == 2)
        say(g, QS_FINDING_NOTE, NULL, "version",
            "2 is readable everywhere, 3 is current; writing the file anew makes it 3");
}
