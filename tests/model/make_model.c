/* make_model.c - models for tests. Owns nothing beyond a call. */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/model/make_model.h"

/* ---- defaults ---- */

static unsigned or_else(unsigned v, unsigned otherwise)
{
    return v ? v : otherwise;
}

static struct mm_spec filled(const struct mm_spec *from)
{
    struct mm_spec s = *from;
    s.arch = s.arch ? s.arch : "llama";
    s.name = s.name ? s.name : "test model";
    s.layers = or_else(s.layers, 2);
    s.embd = or_else(s.embd, 256);
    s.ff = or_else(s.ff, 2 * s.embd);
    s.heads = or_else(s.heads, 4);
    s.kv_heads = or_else(s.kv_heads, s.heads > 1 ? s.heads / 2 : 1);
    s.vocab = or_else(s.vocab, 512);
    s.ctx = or_else(s.ctx, 512);
    s.head_dim = or_else(s.head_dim, s.embd / s.heads);
    s.expert_ff = or_else(s.expert_ff, s.ff);
    s.experts_used = or_else(s.experts_used, s.experts ? 2 : 0);
    if (s.type == 0 && !s.type_set)
        s.type = QS_F16;
    s.alignment = or_else(s.alignment, 32);
    s.parts = or_else(s.parts, 1);
    return s;
}

/* ---- the table of tensors ---- */

struct table { struct mm_tensor *t; size_t n, cap; const struct mm_spec *s; bool failed; };

static void add(struct table *x, const char *name, unsigned layer, int type, uint64_t a, uint64_t b, uint64_t c)
{
    if (!qs_grow(&x->t, &x->cap, x->n + 1, sizeof *x->t)) {
        x->failed = true;
        return;
    }
    struct mm_tensor *t = &x->t[x->n++];
    *t = (struct mm_tensor){ .n_dims = c ? 3 : b ? 2 : 1, .ne = { a, b ? b : 1, c ? c : 1, 1 }, .type = type };
    if (layer == UINT32_MAX)
        snprintf(t->name, sizeof t->name, "%s", name);
    else
        snprintf(t->name, sizeof t->name, "blk.%u.%s", layer, name);
}

static void add_attention(struct table *x, unsigned l)
{
    const struct mm_spec *s = x->s;
    uint64_t q = (uint64_t)s->heads * s->head_dim, kv = (uint64_t)s->kv_heads * s->head_dim;
    add(x, "attn_norm.weight", l, QS_F32, s->embd, 0, 0);
    if (s->fused_qkv) {
        add(x, "attn_qkv.weight", l, -1, s->embd, q + 2 * kv, 0);
        if (s->biases)
            add(x, "attn_qkv.bias", l, QS_F32, q + 2 * kv, 0, 0);
    } else {
        const struct { const char *w, *b; uint64_t rows; } p[] = {
            { "attn_q.weight", "attn_q.bias", q },
            { "attn_k.weight", "attn_k.bias", kv },
            { "attn_v.weight", "attn_v.bias", kv },
        };
        for (int i = 0; i < 3; i++) {
            add(x, p[i].w, l, -1, s->embd, p[i].rows, 0);
            if (s->biases)
                add(x, p[i].b, l, QS_F32, p[i].rows, 0, 0);
        }
    }
    if (s->qk_norms) {
        add(x, "attn_q_norm.weight", l, QS_F32, s->head_dim, 0, 0);
        add(x, "attn_k_norm.weight", l, QS_F32, s->head_dim, 0, 0);
    }
    add(x, "attn_output.weight", l, -1, q, s->embd, 0);
    if (s->post_norms)
        add(x, "post_attention_norm.weight", l, QS_F32, s->embd, 0, 0);
}

static void add_ffn(struct table *x, unsigned l)
{
    const struct mm_spec *s = x->s;
    bool moe = s->experts > 0 && l >= s->dense_layers;
    add(x, "ffn_norm.weight", l, QS_F32, s->embd, 0, 0);
    if (moe) {
        add(x, "ffn_gate_inp.weight", l, QS_F32, s->embd, s->experts, 0);
        if (!s->no_gate)
            add(x, "ffn_gate_exps.weight", l, -1, s->embd, s->expert_ff, s->experts);
        add(x, "ffn_down_exps.weight", l, -1, s->expert_ff, s->embd, s->experts);
        add(x, "ffn_up_exps.weight", l, -1, s->embd, s->expert_ff, s->experts);
    }
    const char *tail = moe ? "_shexp.weight" : ".weight";
    if (!moe || s->shared_expert) {
        uint64_t rows = moe ? s->expert_ff : s->ff;
        char name[40];
        if (!s->no_gate) {
            snprintf(name, sizeof name, "ffn_gate%s", tail);
            add(x, name, l, -1, s->embd, rows, 0);
        }
        snprintf(name, sizeof name, "ffn_down%s", tail);
        add(x, name, l, -1, rows, s->embd, 0);
        snprintf(name, sizeof name, "ffn_up%s", tail);
        add(x, name, l, -1, s->embd, rows, 0);
    }
    if (s->post_norms)
        add(x, "post_ffw_norm.weight", l, QS_F32, s->embd, 0, 0);
}

int mm_tensors(const struct mm_spec *from, struct mm_tensor **out, size_t *n, struct qs_err *e)
{
    struct mm_spec s = filled(from);
    struct table x = { .s = &s };
    if (!s.only_extra) {
        add(&x, "token_embd.weight", UINT32_MAX, -1, s.embd, s.vocab, 0);
        for (unsigned l = 0; l < s.layers; l++) {
            add_attention(&x, l);
            add_ffn(&x, l);
        }
        add(&x, "output_norm.weight", UINT32_MAX, QS_F32, s.embd, 0, 0);
        if (s.untied)
            add(&x, "output.weight", UINT32_MAX, -1, s.embd, s.vocab, 0);
    }
    for (size_t i = 0; i < s.n_extra; i++) {
        add(&x, "", UINT32_MAX, -1, 1, 0, 0);
        if (!x.failed)
            x.t[x.n - 1] = s.extra[i];
    }
    for (size_t i = 0; !x.failed && i < x.n; i++) {
        if (x.t[i].type < 0)
            x.t[i].type = s.type_of ? s.type_of(s.ctx_arg, x.t[i].name, s.type) : s.type;
    }
    if (x.failed) {
        qs_free(x.t);
        return qs_fail_mem(e, 0, "a table of tensors");
    }
    *out = x.t;
    *n = x.n;
    return QS_OK;
}

/* ---- metadata ---- */

static int set_hp(struct qs_gguf_meta *m, const char *arch, const char *key, const char *type, double v,
                  struct qs_err *e)
{
    char text[200];
    snprintf(text, sizeof text, "%s.%s=%s:%.9g", arch, key, type, v);
    return qs_gguf_meta_override(m, text, e);
}

static void raw_u32(struct qs_str *s, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        qs_str_addc(s, (char)(v >> (8 * i)));
}

static void raw_u64(struct qs_str *s, uint64_t v)
{
    raw_u32(s, (uint32_t)v);
    raw_u32(s, (uint32_t)(v >> 32));
}

static int set_raw(struct qs_gguf_meta *m, const char *key, int type, struct qs_str *raw, struct qs_err *e)
{
    int rc = raw->failed ? qs_fail_mem(e, raw->len, key) : qs_gguf_meta_raw(m, key, type, raw->data, raw->len, e);
    qs_str_free(raw);
    return rc;
}

static int add_tokenizer(struct qs_gguf_meta *m, const struct mm_spec *s, struct qs_err *e)
{
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    struct qs_str tokens = QS_STR_INIT, scores = QS_STR_INIT, kinds = QS_STR_INIT;
    raw_u32(&tokens, QS_GGUF_STRING);
    raw_u64(&tokens, s->vocab);
    raw_u32(&scores, QS_GGUF_F32);
    raw_u64(&scores, s->vocab);
    raw_u32(&kinds, QS_GGUF_I32);
    raw_u64(&kinds, s->vocab);
    for (unsigned i = 0; i < s->vocab; i++) {
        char text[16];
        float score = -(float)i;
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        const bool byte = s->byte_tokens && i >= 3 && i < 3 + 256;
        snprintf(text, sizeof text, byte ? "<0x%02X>" : "t%u", byte ? i - 3 : i);
        const char *t = i < 3 ? special[i] : text;
        raw_u64(&tokens, strlen(t));
        qs_str_add(&tokens, t);
        raw_u32(&scores, bits);
        raw_u32(&kinds, i == 0 ? 2u : i < 3 ? 3u : byte ? 6u : 1u);
    }
    int rc = qs_gguf_meta_str(m, "tokenizer.ggml.model", "llama", e);
    int a = set_raw(m, "tokenizer.ggml.tokens", QS_GGUF_ARRAY, &tokens, e);
    int b = set_raw(m, "tokenizer.ggml.scores", QS_GGUF_ARRAY, &scores, e);
    int c = set_raw(m, "tokenizer.ggml.token_type", QS_GGUF_ARRAY, &kinds, e);
    return rc ? rc : a ? a : b ? b : c;
}

static int add_numbers(struct qs_gguf_meta *m, const struct mm_spec *s, struct qs_err *e)
{
    const struct { const char *key, *type; double v; bool absent; } hp[] = {
        {"block_count", "u32", s->layers, false},
        {"context_length", "u32", s->ctx, false},
        {"embedding_length", "u32", s->embd, false},
        {"feed_forward_length", "u32", s->ff, false},
        {"attention.head_count", "u32", s->heads, false},
        {"attention.head_count_kv", "u32", s->kv_heads, false},
        {"attention.key_length", "u32", s->head_dim, s->head_dim == s->embd / s->heads},
        {"attention.value_length", "u32", s->head_dim, s->head_dim == s->embd / s->heads},
        {"attention.layer_norm_rms_epsilon", "f32", 1e-5, false},
        {"rope.dimension_count", "u32", s->head_dim, false},
        {"rope.freq_base", "f32", 10000, false},
        {"expert_count", "u32", s->experts, s->experts == 0},
        {"expert_used_count", "u32", s->experts_used, s->experts == 0},
        {"expert_feed_forward_length", "u32", s->expert_ff, s->experts == 0},
        {"leading_dense_block_count", "u32", s->dense_layers, s->dense_layers == 0},
        {"vocab_size", "u32", s->vocab, false},
    };
    for (size_t i = 0; i < sizeof hp / sizeof *hp; i++) {
        int rc = hp[i].absent ? QS_OK : set_hp(m, s->arch, hp[i].key, hp[i].type, hp[i].v, e);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

/* general.file_type of a plain file of that type, as llama.cpp numbers them. */
static unsigned file_type(int type)
{
    static const struct { int type; unsigned ftype; } map[] = {
        {QS_F32, 0}, {QS_F16, 1}, {QS_Q4_0, 2}, {QS_Q4_1, 3}, {QS_Q8_0, 7}, {QS_Q5_0, 8}, {QS_Q5_1, 9}, {QS_Q2_K, 10},
        {QS_Q3_K, 12}, {QS_Q4_K, 15}, {QS_Q5_K, 17}, {QS_Q6_K, 18}, {QS_BF16, 32}, {QS_IQ4_NL, 25}, {QS_IQ4_XS, 30},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (map[i].type == type)
            return map[i].ftype;
    return 1;
}

static int add_meta(struct qs_gguf_meta *m, const struct mm_spec *s, struct qs_err *e)
{
    int rc = qs_gguf_meta_str(m, "general.architecture", s->arch, e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_str(m, "general.type", "model", e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_str(m, "general.name", s->name, e);
    if (rc == QS_OK)
        rc = qs_gguf_meta_u32(m, "general.file_type", file_type(s->type), e);
    if (rc == QS_OK && s->type > 1 && s->type != QS_BF16)
        rc = qs_gguf_meta_u32(m, "general.quantization_version", 2, e);
    if (rc == QS_OK && s->alignment != 32)
        rc = qs_gguf_meta_u32(m, "general.alignment", s->alignment, e);
    if (rc == QS_OK)
        rc = add_numbers(m, s, e);
    if (rc == QS_OK && !s->no_tokenizer)
        rc = add_tokenizer(m, s, e);
    for (const char *const *x = s->meta; rc == QS_OK && x && *x; x++)
        rc = qs_gguf_meta_override(m, *x, e);
    return rc;
}

static int add_split(struct qs_gguf_meta *m, unsigned part, unsigned parts, size_t n_tensors, struct qs_err *e)
{
    const struct { const char *key, *type; size_t v; } x[] = {
        {"split.no", "u16", part}, {"split.count", "u16", parts}, {"split.tensors.count", "i32", n_tensors},
    };
    for (int i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s=%s:%zu", x[i].key, x[i].type, x[i].v);
        int rc = qs_gguf_meta_override(m, text, e);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

/* ---- data ---- */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void mm_random_row(const struct mm_spec *s, const char *name, uint64_t row, uint64_t cols, float *x)
{
    uint64_t state = 0xCBF29CE484222325u ^ s->seed;
    for (const char *c = name; *c; c++)
        state = (state ^ (unsigned char)*c) * 0x100000001B3u;
    state += row * 0xD1342543DE82EF95u;
    bool norm = strstr(name, "norm.weight") != NULL;
    for (uint64_t i = 0; i < cols; i++) {
        /* sum of four uniforms: near enough to a normal distribution, and the same bits everywhere */
        uint64_t r = next_random(&state);
        int32_t sum =
            (int32_t)(r & 0xFFFF) + (int32_t)(r >> 16 & 0xFFFF) + (int32_t)(r >> 32 & 0xFFFF) + (int32_t)(r >> 48);
        float g = (float)(sum - 131070) * (1.0f / 37837.0f);
        x[i] = norm ? 1.0f + 0.05f * g : 0.02f * g;
    }
}

/* One row: floats, then stored bytes. */
static int encode_row(const struct mm_spec *s, const struct mm_tensor *t, uint64_t row, float *x, uint8_t *dst,
                      struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(t->type);
    if (s->fill == MM_CUSTOM)
        s->custom(s->ctx_arg, t->name, row, t->ne[0], x);
    else
        mm_random_row(s, t->name, row, t->ne[0], x);
    if (t->type == QS_F32) {
        memcpy(dst, x, t->ne[0] * sizeof *x);
        return QS_OK;
    }
    const struct qs_format_ops *ops = qs_format_ops(t->type);
    if (!ops || !ops->pack)
        return qs_fail(e, QS_EUNSUPPORTED, "no encoder for %s", f->name);
    void *scratch = qs_alloc_aligned(16, qs_format_scratch(f, 1, (size_t)t->ne[0]) + 16);
    if (!scratch)
        return qs_fail_mem(e, 0, "an encoder");
    struct qs_rows in = { .x = x, .rows = 1, .cols = (size_t)t->ne[0], .stride = (size_t)t->ne[0] };
    struct qs_parts parts = { { dst } };
    qs_format_encode(f, &in, &parts, scratch);
    qs_free(scratch);
    return QS_OK;
}

static int add_data(const struct mm_spec *s, const struct mm_tensor *t, const struct qs_gguf_out *o, struct qs_str *out,
                    struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(t->type);
    size_t row_bytes = qs_format_row_bytes(f, (size_t)t->ne[0]);
    uint64_t rows = t->ne[1] * t->ne[2] * t->ne[3];
    float *x = qs_calloc((size_t)t->ne[0], sizeof *x);
    uint8_t *bytes = qs_calloc(1, row_bytes);
    int rc = x && bytes ? QS_OK : qs_fail_mem(e, row_bytes, "a row");
    while (out->len < o->offset && !out->failed)
        qs_str_addc(out, 0);
    for (uint64_t r = 0; rc == QS_OK && r < rows; r++) {
        rc = encode_row(s, t, r, x, bytes, e);
        qs_str_addn(out, bytes, row_bytes);
    }
    qs_free(x);
    qs_free(bytes);
    return rc;
}

/* ---- files ---- */

static int lay_out(const struct mm_spec *s, const struct mm_tensor *t, size_t n, unsigned part, size_t n_all,
                   struct qs_gguf_out *o, struct qs_str *header, uint64_t *size, struct qs_err *e)
{
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    int rc = m ? QS_OK : qs_fail_mem(e, 0, "metadata");
    if (rc == QS_OK && part == 0)
        rc = add_meta(m, s, e);
    if (rc == QS_OK && s->parts > 1)
        rc = add_split(m, part, s->parts, n_all, e);
    for (size_t i = 0; rc == QS_OK && i < n; i++) {
        const struct qs_format *f = qs_format_by_id(t[i].type);
        if (!f || t[i].ne[0] % f->block)
            rc = qs_fail(e, QS_EINVAL, "%s: type %d does not suit rows of %" PRIu64, t[i].name, t[i].type, t[i].ne[0]);
        else
            o[i] = (struct qs_gguf_out){ .name = t[i].name, .n_dims = t[i].n_dims, .type = t[i].type,
                                         .ne = { t[i].ne[0], t[i].ne[1], t[i].ne[2], t[i].ne[3] },
                                         .size = t[i].ne[0] / f->block * f->component[0].bytes_per_block * t[i].ne[1] *
                                                 t[i].ne[2] * t[i].ne[3] };
    }
    if (rc == QS_OK)
        rc = qs_gguf_layout(m, o, n, s->alignment, header, size, e);
    qs_gguf_meta_free(m);
    return rc;
}

/* Bytes of one part; sparse: the header alone, *size says how long the file is. */
static int build(const struct mm_spec *s, const struct mm_tensor *t, size_t n, unsigned part, size_t n_all,
                 struct qs_str *out, uint64_t *size, struct qs_err *e)
{
    struct qs_gguf_out *o = qs_calloc(n + 1, sizeof *o);
    if (!o)
        return qs_fail_mem(e, 0, "a table");
    int rc = lay_out(s, t, n, part, n_all, o, out, size, e);
    for (size_t i = 0; rc == QS_OK && s->fill != MM_SPARSE && i < n; i++)
        rc = add_data(s, &t[i], &o[i], out, e);
    while (rc == QS_OK && s->fill != MM_SPARSE && out->len < *size && !out->failed)
        qs_str_addc(out, 0);
    qs_free(o);
    if (rc == QS_OK && out->failed)
        rc = qs_fail_mem(e, *size, "a model");
    return rc;
}

int mm_bytes(const struct mm_spec *from, struct qs_str *out, struct qs_err *e)
{
    struct mm_spec s = filled(from);
    struct mm_tensor *t;
    size_t n;
    uint64_t size;
    int rc = mm_tensors(&s, &t, &n, e);
    if (rc != QS_OK)
        return rc;
    s.parts = 1;
    rc = s.fill == MM_SPARSE ? qs_fail(e, QS_EINVAL, "a sparse model is a file") : build(&s, t, n, 0, n, out, &size, e);
    qs_free(t);
    return rc;
}

static int save(const char *path, const struct qs_str *bytes, uint64_t size, struct qs_err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return qs_fail(e, QS_EIO, "cannot write %s", path);
    int rc = qs_pwrite_all(fd, bytes->data, bytes->len, 0, path, e);
    if (rc == QS_OK && ftruncate(fd, (off_t)size) != 0)
        rc = qs_fail(e, QS_EIO, "cannot make %s long enough", path);
    close(fd);
    return rc;
}

int mm_file(const char *path, const struct mm_spec *from, struct qs_err *e)
{
    struct mm_spec s = filled(from);
    struct mm_tensor *t;
    size_t n;
    int rc = mm_tensors(&s, &t, &n, e);
    if (rc != QS_OK)
        return rc;
    for (unsigned p = 0; rc == QS_OK && p < s.parts; p++) {
        size_t first = n * p / s.parts, end = n * (p + 1) / s.parts;
        struct qs_str bytes = QS_STR_INIT, name = QS_STR_INIT;
        uint64_t size = 0;
        qs_str_add(&name, path);
        if (s.parts > 1)
            qs_str_addf(&name, "-%05u-of-%05u.gguf", p + 1, s.parts);
        rc = build(&s, t ? t + first : NULL, end - first, p, n, &bytes, &size, e);
        if (rc == QS_OK)
            rc = save(name.data, &bytes, size, e);
        qs_str_free(&bytes);
        qs_str_free(&name);
    }
    qs_free(t);
    return rc;
}
