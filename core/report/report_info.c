/* report_info.c - what a model is, as facts and tables. Computes sums over the tensor table and asks need.c; reads no
 * tensor data. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/unicode.h"
#include "core/model/engine.h"
#include "core/quant/preset.h"
#include "core/report/report_info.h"

static double bpw(uint64_t bytes, uint64_t weights)
{
    return weights ? 8.0 * (double)bytes / (double)weights : 0;
}

/* What is not stated: a null for programs, nothing for people. */
static void unknown(struct qs_section *s, bool data, const char *key, const char *label)
{
    if (data)
        qs_fact_str(s, key, label, NULL);
}

/* A positive number, else not stated. */
static void fact_count(struct qs_section *s, bool data, const char *key, const char *label, uint64_t v,
                       enum qs_unit unit)
{
    if (v > 0 && v <= INT64_MAX)
        qs_fact_int(s, key, label, (int64_t)v, unit);
    else
        unknown(s, data, key, label);
}

/* ---- the file ---- */

/* Whether chat and evaluation can run it; if not, why: for programs a value, for people a remark. */
static void fact_runs(struct qs_section *s, const struct qs_model *m, bool data)
{
    struct qs_err e = QS_ERR_INIT;
    const bool runs = qs_engine_can(m, &e) == QS_OK;
    const size_t n = strlen(m->path);
    const char *why = strncmp(e.msg, m->path, n) == 0 && strncmp(e.msg + n, ": ", 2) == 0 ? e.msg + n + 2 : e.msg;
    qs_fact_bool(s, "can_run", "can be run", runs);
    if (data)
        qs_fact_str(s, "cannot_run", "why not", runs ? NULL : why);
    else if (!runs)
        qs_section_note(s, "Cannot be run: %s.", why);
}

static void add_model(struct qs_report *r, const struct qs_model *m, bool data)
{
    struct qs_section *s = qs_report_facts(r, "model", "Model");
    uint64_t file_bytes = 0;
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(m, &n_parts);
    unsigned n_weights = 0;
    for (unsigned i = 0; i < n_parts; i++) {
        file_bytes += part[i].file_size;
        n_weights += !part[i].beside;
    }
    const struct qs_preset *p = m->file_type >= 0 ? qs_preset_by_file_type(m->file_type) : NULL;
    char type[32];
    snprintf(type, sizeof type, m->file_type < 0 ? "not stated" : "number %d", (int)m->file_type);
    qs_fact_str(s, "name", "name", m->hp.name[0] ? m->hp.name : "(no name)");
    qs_fact_str(s, "architecture", "architecture", m->hp.arch[0] ? m->hp.arch : "(not stated)");
    qs_fact_str(s, "file", "file", m->path);
    qs_fact_str(s, "format", "format", m->is_folder ? "Hugging Face folder" : "GGUF");
    fact_count(s, data, "parts", "parts", n_weights, QS_UNIT_COUNT);
    qs_fact_str(s, "file_type", "file type", p ? p->name : type);
    if (m->gguf && !m->is_folder) {
        qs_fact_int(s, "gguf_version", "GGUF version", m->gguf->version, QS_UNIT_NONE);
        qs_fact_int(s, "alignment", "alignment", m->gguf->alignment, QS_UNIT_NONE);
    } else {
        unknown(s, data, "gguf_version", "GGUF version");
        unknown(s, data, "alignment", "alignment");
    }
    size_t n_kv;
    (void)qs_model_metadata(m, &n_kv);
    qs_fact_int(s, "metadata_entries", "metadata entries", (int64_t)n_kv, QS_UNIT_COUNT);
    qs_fact_int(s, "tensors", "tensors", (int64_t)m->n_tensors, QS_UNIT_COUNT);
    qs_fact_int(s, "weights", "weights", (int64_t)m->n_weights, QS_UNIT_WEIGHTS);
    if (m->hp.n_expert)
        qs_fact_int(s, "active_weights", "used per token", (int64_t)qs_need_active_weights(m), QS_UNIT_WEIGHTS);
    else
        unknown(s, data, "active_weights", "used per token");
    qs_fact_int(s, "bytes", "tensor data", (int64_t)m->bytes, QS_UNIT_BYTES);
    qs_fact_int(s, "file_bytes", "file size", (int64_t)file_bytes, QS_UNIT_BYTES);
    qs_fact_num(s, "bpw", "bits per weight", bpw(m->bytes, m->n_weights), QS_UNIT_BPW, QS_HOW_EXACT);
    fact_runs(s, m, data);
    if (m->gguf && m->gguf->n_findings)
        qs_section_note(s, "%zu remark%s about the file: quantscape check tells.", m->gguf->n_findings,
                        m->gguf->n_findings == 1 ? "" : "s");
}

static void add_hparams(struct qs_report *r, const struct qs_model *m, bool data)
{
    const struct qs_hparams *h = &m->hp;
    struct qs_section *s = qs_report_facts(r, "shape", "Shape");
    fact_count(s, data, "layers", "layers", h->n_layer, QS_UNIT_COUNT);
    fact_count(s, data, "width", "width", h->n_embd, QS_UNIT_COUNT);
    fact_count(s, data, "feed_forward", "feed-forward", h->n_ff, QS_UNIT_COUNT);
    fact_count(s, data, "heads", "heads", h->n_head, QS_UNIT_COUNT);
    fact_count(s, data, "kv_heads", "KV heads", h->n_head_kv, QS_UNIT_COUNT);
    fact_count(s, data, "head_dim_k", "head width, keys", h->head_dim_k, QS_UNIT_COUNT);
    fact_count(s, data, "head_dim_v", "head width, values", h->head_dim_v, QS_UNIT_COUNT);
    fact_count(s, data, "experts", "experts", h->n_expert, QS_UNIT_COUNT);
    fact_count(s, data, "experts_used", "experts per token", h->n_expert_used, QS_UNIT_COUNT);
    fact_count(s, data, "context", "context", h->n_ctx, QS_UNIT_COUNT);
    fact_count(s, data, "sliding_window", "sliding window", h->sliding_window, QS_UNIT_COUNT);
    fact_count(s, data, "vocabulary", "vocabulary", h->n_vocab, QS_UNIT_COUNT);
    if (m->n_tensors)
        qs_fact_bool(s, "tied_embeddings", "tied embeddings", !qs_model_find(m, "output.weight"));
    if (h->varied)
        qs_section_note(s, "Differs between layers, the largest is shown:%s%s%s.",
                        h->varied & QS_VARIED_FF ? " feed-forward" : "", h->varied & QS_VARIED_HEAD ? " heads" : "",
                        h->varied & QS_VARIED_HEAD_KV ? " KV heads" : "");
}

/* ---- sums by role and by type ---- */

struct sum { uint64_t tensors, weights, bytes; };

static void count(struct sum *x, const struct qs_tensor *t)
{
    x->tensors++;
    x->weights += t->n;
    x->bytes += t->size;
}

static const struct qs_column sum_columns[] = {
    { .key = "role", .title = "role", .left = true },
    { .key = "tensors", .title = "tensors", .unit = QS_UNIT_COUNT },
    { .key = "weights", .title = "weights", .unit = QS_UNIT_WEIGHTS },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "share", .title = "share", .unit = QS_UNIT_PERCENT, .digits = -1 },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 4 },
    { .key = "types", .title = "types", .left = true },
};

static void put_sum(struct qs_section *s, const char *name, const struct sum *x, const struct qs_model *m)
{
    qs_row(s);
    qs_cell_str(s, 0, name);
    qs_cell_int(s, 1, (int64_t)x->tensors);
    qs_cell_int(s, 2, (int64_t)x->weights);
    qs_cell_int(s, 3, (int64_t)x->bytes);
    qs_cell_num(s, 4, m->bytes ? (double)x->bytes / (double)m->bytes : 0);
    qs_cell_num(s, 5, bpw(x->bytes, x->weights));
}

static void type_label(int type, char *buf, size_t n)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (f)
        snprintf(buf, n, "%s", f->name);
    else
        snprintf(buf, n, "unknown (%d)", type);
}

/* Types of one role, in the order met: "Q4_K 6, Q6_K 2". At most 8 kinds are named. */
static void role_types(const struct qs_model *m, enum qs_role role, char *buf, size_t cap)
{
    struct { int type; unsigned n; } seen[8];
    unsigned kinds = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        if (m->tensor[i].role != role)
            continue;
        unsigned k = 0;
        while (k < kinds && seen[k].type != m->tensor[i].type)
            k++;
        if (k == 8)
            continue;
        if (k == kinds) {
            seen[k].type = m->tensor[i].type;
            seen[kinds++].n = 0;
        }
        seen[k].n++;
    }
    size_t at = 0;
    buf[0] = 0;
    for (unsigned k = 0; k < kinds && at < cap; k++) {
        char name[32];
        type_label(seen[k].type, name, sizeof name);
        int n = kinds == 1 ? snprintf(buf + at, cap - at, "%s", name)
                           : snprintf(buf + at, cap - at, "%s%s x%u", k ? ", " : "", name, seen[k].n);
        at += n > 0 ? (size_t)n : 0;
    }
}

static void add_roles(struct qs_report *r, const struct qs_model *m)
{
    struct sum sum[QS_ROLE_COUNT] = { { 0 } };
    for (size_t i = 0; i < m->n_tensors; i++)
        count(&sum[m->tensor[i].role], &m->tensor[i]);
    struct qs_section *s =
        qs_report_table(r, "roles", "By role", sum_columns, sizeof sum_columns / sizeof *sum_columns);
    for (int k = 1; k <= QS_ROLE_COUNT; k++) { /* "other" last */
        enum qs_role role = (enum qs_role)(k % QS_ROLE_COUNT);
        char types[200];
        if (!sum[role].tensors)
            continue;
        put_sum(s, qs_role_name(role), &sum[role], m);
        role_types(m, role, types, sizeof types);
        qs_cell_str(s, 6, types);
    }
}

static void add_types(struct qs_report *r, const struct qs_model *m)
{
    struct qs_column columns[6];
    memcpy(columns, sum_columns, sizeof columns);
    columns[0].key = columns[0].title = "type";
    struct qs_section *s = qs_report_table(r, "types", "By type", columns, 6);
    struct sum unknown = { 0 };
    for (size_t k = 0; k < qs_format_count(); k++) {
        const struct qs_format *f = qs_format_at(k);
        struct sum sum = { 0 };
        for (size_t i = 0; i < m->n_tensors; i++)
            if (m->tensor[i].format == f)
                count(&sum, &m->tensor[i]);
        if (sum.tensors)
            put_sum(s, f->name, &sum, m);
    }
    for (size_t i = 0; i < m->n_tensors; i++)
        if (!m->tensor[i].format)
            count(&unknown, &m->tensor[i]);
    if (unknown.tensors)
        put_sum(s, "unknown", &unknown, m);
}

/* ---- what it takes to run ---- */

static const struct qs_column need_columns[] = {
    { .key = "context", .title = "context", .unit = QS_UNIT_COUNT },
    { .key = "cache_type", .title = "KV cache as", .left = true },
    { .key = "weights_bytes", .title = "weights", .unit = QS_UNIT_BYTES },
    { .key = "cache_bytes", .title = "KV cache", .unit = QS_UNIT_BYTES },
    { .key = "total_bytes", .title = "together", .unit = QS_UNIT_BYTES },
    { .key = "fits", .title = "fits", .left = true },
};

static const char *fits(uint64_t need, const struct qs_machine_memory *mem)
{
    if (mem->total == 0)
        return "unknown";
    if (need > mem->total)
        return "no";
    return mem->available && need > mem->available ? "when memory is freed" : "yes";
}

/* Weights that lie in the files otherwise than they are run. */
static void note_made(struct qs_section *s, const struct qs_model *m)
{
    char made[24], large[24];
    uint64_t scratch;
    const uint64_t all = qs_model_made_bytes(m, &scratch);
    if (all)
        qs_section_note(s, "Of the weights %s are made when the model is run: %s of them in scratch files, the rest in "
                        "memory.", qs_fmt_bytes(made, sizeof made, all), qs_fmt_bytes(large, sizeof large, scratch));
}

static void add_need(struct qs_report *r, const struct qs_model *m, const struct qs_machine_memory *mem)
{
    static const int caches[] = {QS_F16, QS_Q8_0, QS_Q4_0};
    uint64_t full = m->hp.n_ctx ? m->hp.n_ctx : 8192, contexts[3] = {2048, 8192, full};
    if (m->n_tensors == 0 || qs_need_kv_cache(m, 1, QS_F16) == 0)
        return;
    struct qs_section *s =
        qs_report_table(r, "memory", "Memory to run it", need_columns, sizeof need_columns / sizeof *need_columns);
    for (int c = 0; c < 3; c++) {
        if (contexts[c] > full || (c < 2 && contexts[c] == full))
            continue;
        for (int k = 0; k < 3; k++) {
            uint64_t cache = qs_need_kv_cache(m, contexts[c], caches[k]);
            qs_row(s);
            qs_cell_int(s, 0, (int64_t)contexts[c]);
            qs_cell_str(s, 1, qs_format_by_id(caches[k])->name);
            qs_cell_int(s, 2, (int64_t)m->bytes);
            qs_cell_int(s, 3, (int64_t)cache);
            qs_cell_int(s, 4, (int64_t)(m->bytes + cache));
            qs_cell_str(s, 5, fits(m->bytes + cache, mem));
        }
    }
    note_made(s, m);
    char total[24], free_now[24];
    if (mem->total)
        qs_section_note(
            s, "This machine: %s of memory, %s of it free. Working memory of the program that runs it comes on top.",
            qs_fmt_bytes(total, sizeof total, mem->total), qs_fmt_bytes(free_now, sizeof free_now, mem->available));
    if (m->hp.sliding_window)
        qs_section_note(
            s, "Layers with a sliding window are counted with the whole context: programs that use it need less.");
}

/* ---- tokenizer and metadata ---- */

static void fact_text(struct qs_section *s, const struct qs_model *m, bool data, const char *key, const char *label,
                      const char *meta)
{
    const struct qs_kv *kv = qs_model_kv(m, meta);
    struct qs_str text = QS_STR_INIT;
    if (!kv) {
        unknown(s, data, key, label);
        return;
    }
    qs_kv_text(kv, 60, &text);
    qs_fact_str(s, key, label, text.data);
    qs_str_free(&text);
}

/* "2 (</s>)" */
static void fact_token(struct qs_section *s, const struct qs_model *m, bool data, const char *key, const char *label,
                       const char *meta)
{
    const struct qs_kv *tokens = qs_model_kv(m, "tokenizer.ggml.tokens");
    uint64_t id, cursor = 0;
    const char *t = NULL;
    size_t n = 0;
    if (!qs_kv_u64(qs_model_kv(m, meta), &id)) {
        unknown(s, data, key, label);
        return;
    }
    struct qs_str text = QS_STR_INIT;
    qs_str_addf(&text, "%" PRIu64, id);
    bool found = tokens && id < tokens->count;
    for (uint64_t i = 0; found && i <= id; i++)
        found = qs_kv_next_str(tokens, &cursor, &t, &n);
    if (found && t) {
        qs_str_add(&text, " (");
        qs_utf8_clean(&text, t, n, 40);
        qs_str_addc(&text, ')');
    }
    qs_fact_str(s, key, label, text.data);
    qs_str_free(&text);
}

static void add_tokenizer(struct qs_report *r, const struct qs_model *m, bool data)
{
    const struct qs_kv *tokens = qs_model_kv(m, "tokenizer.ggml.tokens"),
                       *merges = qs_model_kv(m, "tokenizer.ggml.merges");
    const char *text;
    size_t n = 0;
    if (!data && !tokens && !qs_model_kv(m, "tokenizer.ggml.model"))
        return;
    struct qs_section *s = qs_report_facts(r, "tokenizer", "Tokenizer");
    fact_text(s, m, data, "model", "kind", "tokenizer.ggml.model");
    fact_text(s, m, data, "pre", "pre-tokenizer", "tokenizer.ggml.pre");
    if (tokens)
        qs_fact_int(s, "tokens", "tokens", (int64_t)tokens->count, QS_UNIT_COUNT);
    else
        unknown(s, data, "tokens", "tokens");
    if (merges)
        qs_fact_int(s, "merges", "merges", (int64_t)merges->count, QS_UNIT_COUNT);
    else
        unknown(s, data, "merges", "merges");
    fact_token(s, m, data, "bos", "begin of text", "tokenizer.ggml.bos_token_id");
    fact_token(s, m, data, "eos", "end of text", "tokenizer.ggml.eos_token_id");
    fact_token(s, m, data, "eot", "end of turn", "tokenizer.ggml.eot_token_id");
    uint64_t add_bos;
    if (qs_kv_u64(qs_model_kv(m, "tokenizer.ggml.add_bos_token"), &add_bos))
        qs_fact_bool(s, "add_bos", "adds begin of text", add_bos != 0);
    else
        unknown(s, data, "add_bos", "adds begin of text");
    bool chat = qs_kv_str(qs_model_kv(m, "tokenizer.chat_template"), &text, &n);
    qs_fact_bool(s, "chat_template", "chat template", chat);
    if (chat)
        qs_fact_int(s, "chat_template_bytes", "chat template size", (int64_t)n, QS_UNIT_BYTES);
    else
        unknown(s, data, "chat_template_bytes", "chat template size");
}

static const struct qs_column metadata_columns[] = {
    { .key = "key", .title = "key", .left = true },
    { .key = "type", .title = "type", .left = true },
    { .key = "value", .title = "value", .left = true },
};

static void add_metadata(struct qs_report *r, const struct qs_model *m)
{
    struct qs_section *s = qs_report_table(r, "metadata", "Metadata", metadata_columns, 3);
    size_t n;
    const struct qs_kv *all = qs_model_metadata(m, &n);
    for (size_t i = 0; i < n; i++) {
        const struct qs_kv *kv = &all[i];
        struct qs_str key = QS_STR_INIT, value = QS_STR_INIT;
        qs_utf8_clean(&key, kv->key, kv->key_len, 200);
        qs_kv_text(kv, 80, &value);
        qs_row(s);
        qs_cell_str(s, 0, key.data);
        qs_cell_str(s, 1, qs_gguf_type_name(kv->type));
        qs_cell_str(s, 2, value.data);
        qs_str_free(&key);
        qs_str_free(&value);
    }
}

struct qs_report *qs_report_info(const struct qs_model *m, const struct qs_info_args *args)
{
    struct qs_report *r = qs_report_new("info");
    if (!r)
        return NULL;
    add_model(r, m, args->data);
    add_hparams(r, m, args->data);
    if (m->n_tensors) {
        add_roles(r, m);
        add_types(r, m);
    }
    add_need(r, m, &args->memory);
    add_tokenizer(r, m, args->data);
    if (args->metadata)
        add_metadata(r, m);
    return r;
}
