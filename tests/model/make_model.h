/* make_model.h - makes GGUF models for tests: small ones with data, large ones without.
 *
 * A spec with every member zero is a llama of 2 layers, width 256, feed-forward 512, 4 heads, 2 KV heads, 512 tokens,
 * F16, tied embeddings, random data, about 2.6 MB. Set what the test is about:
 *
 *     struct mm_spec s = { .layers = 4, .type = QS_Q8_0, .untied = true };
 *     assert_int_equal(mm_file("m.gguf", &s, &e), QS_OK);
 *
 * The same spec gives the same bytes everywhere. With MM_SPARSE the file has its full size but no data (ftruncate): a
 * 40 GB model takes a few KB on disk. Tensor names, order and metadata are those of llama.cpp's converter.
 * Link with tests/model/libmakemodel.a core/libformat.a kernels/libkernels.a base/libwrap.a base/libbase.a; shell tests
 * use the program tests/model/make_model (run it without arguments for its words).
 */
#ifndef QS_TESTS_MAKE_MODEL_H
#define QS_TESTS_MAKE_MODEL_H

#include "core/format/gguf_write.h"
#include "kernels/format.h"

enum mm_fill {
    MM_RANDOM, /* normally distributed weights of deviation 0.02, norms around 1, from spec.seed and the tensor's name
                */
    MM_SPARSE, /* full size, no data (reads as zeros); files only */
    MM_CUSTOM, /* spec.custom writes every row */
};

/* Row `row` (over all experts) of the tensor as floats; they are then encoded into the tensor's type. */
typedef void mm_fill_fn(void *ctx, const char *name, uint64_t row, uint64_t cols, float *x);

struct mm_tensor { char name[72]; unsigned n_dims; uint64_t ne[4]; int type; }; /* type -1: the spec's type */

struct mm_spec {
    const char *arch, *name;             /* "llama", "test model" */
    unsigned layers, embd, ff, heads, kv_heads, vocab, ctx;
    unsigned head_dim;                   /* 0: embd / heads */
    unsigned experts, experts_used;      /* experts > 0: ffn_*_exps and a router instead of the dense feed-forward */
    unsigned expert_ff;                  /* rows of an expert; 0: ff */
    unsigned dense_layers;               /* with experts: so many leading layers stay dense */
    bool shared_expert;                  /* ffn_*_shexp as well */
    bool untied;                         /* output.weight of its own */
    bool fused_qkv;                      /* attn_qkv in place of q, k, v */
    bool qk_norms, post_norms;           /* as qwen3, gemma2 */
    bool biases;                         /* q, k, v biases as qwen2 */
    bool no_gate;                        /* no ffn_gate (gpt2, phi2 ...) */
    bool no_tokenizer;
    bool byte_tokens;                    /* the vocabulary has a token for every byte, so that any text can be read */
    int type;                            /* of matrices; 0 means F16 unless type_set (QS_F32 is number 0) */
    bool type_set;
    int (*type_of)(void *ctx, const char *name, int type); /* may choose another type; NULL */
    enum mm_fill fill;
    mm_fill_fn *custom;
    void *ctx_arg;                       /* for type_of and custom */
    uint64_t seed;
    uint32_t alignment;                  /* 0: 32, unstated in the metadata */
    unsigned parts;                      /* > 1: mm_file writes PATH-00001-of-0000N.gguf ... (PATH without .gguf) */
    const char *const *meta;             /* NULL-terminated "key=type:value" (qs_gguf_meta_override), set last */
    const struct mm_tensor *extra;       /* appended to the table, or all of it with only_extra */
    size_t n_extra;
    bool only_extra;
};

int mm_file(const char *path, const struct mm_spec *s, struct qs_err *e);
int mm_bytes(const struct mm_spec *s, struct qs_str *out, struct qs_err *e); /* one part, not sparse */
/* The tensors such a model has, in file order; qs_free the table. */
int mm_tensors(const struct mm_spec *s, struct mm_tensor **out, size_t *n, struct qs_err *e);
/* Floats of one row as MM_RANDOM makes them (for tests that compare). */
void mm_random_row(const struct mm_spec *s, const char *name, uint64_t row, uint64_t cols, float *x);

#endif
