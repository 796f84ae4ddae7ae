/* make_folder.c - make_folder MODEL DIR: a Hugging Face folder of the same weights as a GGUF file, for tests of
 * folders.
 *
 * MODEL is a llama with a byte-level tokenizer. DIR, which must not exist, gets config.json, tokenizer.json,
 * tokenizer_config.json and model.safetensors as transformers would write them: weights decoded to F32, rows of Q
 * and K in the order of LlamaForCausalLM (the halves of a head rotate together), names of that class. The
 * pre-tokenizer is the one of SmolLM2, so any other is refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/model/model.h"
#include "core/text/vocab.h"

enum { HF_NAME = 128 };

static void die(const char *what)
{
    fprintf(stderr, "make_folder: %s\n", what);
    exit(1);
}

/* ---- names ---- */

static const struct { const char *gguf, *hf; } names[] = {
    { "token_embd.weight", "model.embed_tokens.weight" }, { "output_norm.weight", "model.norm.weight" },
    { "output.weight", "lm_head.weight" },
};
static const struct { const char *gguf, *hf; } block_names[] = {
    { "attn_norm.weight", "input_layernorm.weight" }, { "ffn_norm.weight", "post_attention_layernorm.weight" },
    { "attn_q.weight", "self_attn.q_proj.weight" },   { "attn_k.weight", "self_attn.k_proj.weight" },
    { "attn_v.weight", "self_attn.v_proj.weight" },   { "attn_output.weight", "self_attn.o_proj.weight" },
    { "ffn_gate.weight", "mlp.gate_proj.weight" },    { "ffn_up.weight", "mlp.up_proj.weight" },
    { "ffn_down.weight", "mlp.down_proj.weight" },
};

static const char *hf_name(const struct qs_tensor *t, char buf[HF_NAME])
{
    const char *rest = t->layer >= 0 ? strchr(t->name + 4, '.') : NULL;
    for (size_t i = 0; i < sizeof block_names / sizeof *block_names && rest; i++)
        if (strcmp(rest + 1, block_names[i].gguf) == 0) {
            snprintf(buf, HF_NAME, "model.layers.%d.%s", t->layer, block_names[i].hf);
            return buf;
        }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(t->name, names[i].gguf) == 0)
            return names[i].hf;
    fprintf(stderr, "make_folder: %s has no name in LlamaForCausalLM\n", t->name);
    exit(1);
}

/* ---- weights ---- */

/* The row of GGUF that is row r of Hugging Face; heads 0: rows lie in the same order. */
static uint64_t gguf_row(uint64_t r, uint64_t rows, uint64_t heads)
{
    if (heads == 0)
        return r;
    const uint64_t width = rows / heads, i = r % width, half = width / 2;
    return r - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

static uint64_t heads_of(const struct qs_model *m, const struct qs_tensor *t)
{
    return t->role == QS_ROLE_ATTN_Q ? m->hp.n_head : t->role == QS_ROLE_ATTN_K ? m->hp.n_head_kv : 0;
}

static void put_tensor(FILE *f, const struct qs_model *m, const struct qs_tensor *t)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    float *row = qs_malloc((size_t)t->ne[0] * sizeof *row);
    if (!row || qs_model_weight(m, t, &w, &e))
        die(row ? e.msg : "not enough memory for a row");
    for (uint64_t r = 0; r < t->rows; r++)
        if (qs_weight_decode(w, gguf_row(r, t->rows, heads_of(m, t)), 1, row, &e) ||
            fwrite(row, sizeof *row, (size_t)t->ne[0], f) != t->ne[0])
            die(e.msg[0] ? e.msg : "the weights cannot be written");
    qs_weight_unref(w);
    qs_free(row);
}

static void put_weights(const char *path, const struct qs_model *m)
{
    struct qs_json *head = qs_json_object();
    struct qs_str text = QS_STR_INIT;
    uint64_t at = 0;
    char name[HF_NAME];
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_json *one = qs_json_add_object(head, hf_name(t, name)), *shape, *range;
        qs_json_add_str(one, "dtype", "F32");
        shape = qs_json_add_array(one, "shape");
        for (unsigned d = t->n_dims; d-- > 0;)
            qs_json_add_uint(shape, NULL, t->ne[d]);
        range = qs_json_add_array(one, "data_offsets");
        qs_json_add_uint(range, NULL, at);
        qs_json_add_uint(range, NULL, at += 4 * t->n);
    }
    if (!qs_json_print(head, false, &text))
        die("not enough memory for the header");
    while (text.len % 8 != 0)
        qs_str_addc(&text, ' ');
    const uint64_t len = text.len; /* little-endian, as every machine that this project knows */
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(&len, 8, 1, f) != 1 || fwrite(text.data, 1, text.len, f) != text.len)
        die("the weights cannot be written");
    for (size_t i = 0; i < m->n_tensors; i++)
        put_tensor(f, m, &m->tensor[i]);
    if (fclose(f) != 0)
        die("the weights cannot be written");
    qs_str_free(&text);
    qs_json_free(head);
}

/* ---- the rest ---- */

static void put_json(const char *dir, const char *name, struct qs_json *v)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT, text = QS_STR_INIT;
    qs_path_join(dir, name, &path);
    if (!qs_json_print(v, true, &text))
        die("not enough memory for JSON");
    if (qs_file_write_atomic(path.data, text.data, text.len, false, &e))
        die(e.msg);
    qs_str_free(&path);
    qs_str_free(&text);
    qs_json_free(v);
}

static double number(const struct qs_model *m, const char *key)
{
    double v = 0;
    if (!qs_kv_f64(qs_model_kv(m, key), &v)) {
        fprintf(stderr, "make_folder: the model does not state %s\n", key);
        exit(1);
    }
    return v;
}

static void put_config(const char *dir, const struct qs_model *m, const struct qs_vocab_data *v)
{
    struct qs_json *c = qs_json_object();
    qs_json_add_str(qs_json_add_array(c, "architectures"), NULL, "LlamaForCausalLM");
    qs_json_add_str(c, "model_type", "llama");
    qs_json_add_str(c, "hidden_act", "silu");
    qs_json_add_uint(c, "hidden_size", m->hp.n_embd);
    qs_json_add_uint(c, "intermediate_size", m->hp.n_ff);
    qs_json_add_uint(c, "num_hidden_layers", m->hp.n_layer);
    qs_json_add_uint(c, "num_attention_heads", m->hp.n_head);
    qs_json_add_uint(c, "num_key_value_heads", m->hp.n_head_kv);
    qs_json_add_uint(c, "max_position_embeddings", m->hp.n_ctx);
    qs_json_add_uint(c, "vocab_size", v->n_tokens);
    qs_json_add_num(c, "rms_norm_eps", number(m, "llama.attention.layer_norm_rms_epsilon"));
    qs_json_add_num(c, "rope_theta", number(m, "llama.rope.freq_base"));
    qs_json_add_null(c, "rope_scaling");
    qs_json_add_bool(c, "tie_word_embeddings", !qs_model_find(m, "output.weight"));
    qs_json_add_bool(c, "attention_bias", false);
    qs_json_add_str(c, "torch_dtype", "float32");
    qs_json_add_int(c, "bos_token_id", v->special[QS_SPECIAL_BOS]);
    qs_json_add_int(c, "eos_token_id", v->special[QS_SPECIAL_EOS]);
    put_json(dir, "config.json", c);
}

/* SmolLM2's: digits one by one, then GPT-2's expression. */
static void put_pre_tokenizer(struct qs_json *t)
{
    struct qs_json *pre = qs_json_add_object(t, "pre_tokenizer"), *steps, *step;
    qs_json_add_str(pre, "type", "Sequence");
    steps = qs_json_add_array(pre, "pretokenizers");
    step = qs_json_add_object(steps, NULL);
    qs_json_add_str(step, "type", "Digits");
    qs_json_add_bool(step, "individual_digits", true);
    step = qs_json_add_object(steps, NULL);
    for (int i = 0; i < 2; i++) {
        qs_json_add_str(step, "type", "ByteLevel");
        qs_json_add_bool(step, "add_prefix_space", i != 0);
        qs_json_add_bool(step, "trim_offsets", true);
        qs_json_add_bool(step, "use_regex", true);
        step = i == 0 ? qs_json_add_object(t, "decoder") : NULL;
    }
}

static bool is_added(const struct qs_vocab_token *t)
{
    return t->type == QS_TOKEN_CONTROL || t->type == QS_TOKEN_USER_DEFINED;
}

static void put_added(struct qs_json *list, size_t id, const struct qs_vocab_token *t)
{
    static const char *const off[] = { "single_word", "lstrip", "rstrip", "normalized" };
    struct qs_json *one = qs_json_add_object(list, NULL);
    qs_json_add_uint(one, "id", id);
    qs_json_add_strn(one, "content", t->text, t->len);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        qs_json_add_bool(one, off[i], false);
    qs_json_add_bool(one, "special", t->type == QS_TOKEN_CONTROL);
}

static void put_tokenizer(const char *dir, const struct qs_vocab_data *v)
{
    struct qs_json *t = qs_json_object(), *added, *model, *list;
    qs_json_add_str(t, "version", "1.0");
    qs_json_add_null(t, "truncation");
    qs_json_add_null(t, "padding");
    added = qs_json_add_array(t, "added_tokens");
    qs_json_add_null(t, "normalizer");
    put_pre_tokenizer(t);
    qs_json_add_null(t, "post_processor");
    model = qs_json_add_object(t, "model");
    qs_json_add_str(model, "type", "BPE");
    qs_json_add_bool(model, "byte_fallback", false);
    qs_json_add_bool(model, "ignore_merges", false);
    list = qs_json_add_object(model, "vocab");
    for (size_t i = 0; i < v->n_tokens; i++) {
        qs_json_add_uint(list, v->token[i].text, i);
        if (is_added(&v->token[i]))
            put_added(added, i, &v->token[i]);
    }
    list = qs_json_add_array(model, "merges");
    for (size_t i = 0; i < v->n_merges; i++)
        qs_json_add_strn(list, NULL, v->merge[i].text, v->merge[i].len);
    put_json(dir, "tokenizer.json", t);
}

static void put_tokenizer_config(const char *dir, const struct qs_vocab_data *v)
{
    static const struct { const char *key; enum qs_special special; } tokens[] = {
        { "bos_token", QS_SPECIAL_BOS }, { "eos_token", QS_SPECIAL_EOS }, { "unk_token", QS_SPECIAL_UNK },
        { "pad_token", QS_SPECIAL_PAD },
    };
    struct qs_json *c = qs_json_object();
    qs_json_add_bool(c, "add_prefix_space", false);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        const int32_t id = v->special[tokens[i].special];
        if (id != QS_NO_TOKEN)
            qs_json_add_str(c, tokens[i].key, v->token[id].text);
    }
    if (v->chat_template)
        qs_json_add_str(c, "chat_template", v->chat_template);
    qs_json_add_str(c, "tokenizer_class", "GPT2Tokenizer");
    put_json(dir, "tokenizer_config.json", c);
}

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT;
    struct qs_model *m;
    struct qs_vocab_data *v;
    size_t n_kv;
    if (argc != 3) {
        fputs("usage: make_folder MODEL DIR\n", stderr);
        return 2;
    }
    if (qs_model_open(argv[1], &m, &e))
        die(e.msg);
    const struct qs_kv *kv = qs_model_metadata(m, &n_kv);
    if (qs_vocab_data_kv(kv, n_kv, &v, &e))
        die(e.msg);
    if (strcmp(m->hp.arch, "llama") != 0 || strcmp(v->pre, "smollm") != 0)
        die("only SmolLM and SmolLM2 models can be made into a folder");
    if (mkdir(argv[2], 0777) != 0)
        die(strerror(errno));
    put_config(argv[2], m, v);
    put_tokenizer(argv[2], v);
    put_tokenizer_config(argv[2], v);
    qs_path_join(argv[2], "model.safetensors", &path);
    put_weights(path.data, m);
    qs_str_free(&path);
    qs_vocab_data_free(v);
    qs_model_close(m);
    return 0;
}
