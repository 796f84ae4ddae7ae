/* folder_internal.h - what the files of the folder reader share; nobody else includes it.
 *
 * Opening goes: files (folder_files.c) -> config.json (folder_config.c) -> tensors (folder_names.c) -> metadata
 * (folder_meta.c, folder_vocab.c) -> a GGUF header in memory and the model over it (folder.c). What is made of the
 * files later, when a weight is asked for, is in folder_make.c.
 */
#ifndef QS_CORE_FOLDER_INTERNAL_H
#define QS_CORE_FOLDER_INTERNAL_H

#include "base/json.h"
#include "core/format/gguf_write.h"
#include "core/format/safetensors.h"
#include "core/model/folder.h"
#include "core/model/model_internal.h"

#define QS_FOLDER_MAX_JSON (32u << 20)    /* config.json and the like */
#define QS_FOLDER_MAX_LAYERS 4096u
#define QS_FOLDER_MAX_EXPERTS 65536u
#define QS_FOLDER_MAX_HEAD 65536u

/* What a family does that others do not. */
enum {
    QS_FOLDER_PERMUTE = 1 << 0,      /* rows of Q and K in the order of ggml's "norm" rope */
    QS_FOLDER_NORM_PLUS_1 = 1 << 1,  /* norms are stored less one */
    QS_FOLDER_LLAMA_KEYS = 1 << 2,   /* vocab_size and rope.dimension_count are stated */
    QS_FOLDER_HEAD_DIM = 1 << 3,     /* key_length and value_length are stated even where config.json does not */
    QS_FOLDER_NO_HEAD_DIM = 1 << 4,  /* head_dim is not believed */
    QS_FOLDER_POST_ATTN = 1 << 5,    /* post_attention_layernorm is what its name says, not the norm of the FFN */
    QS_FOLDER_PRE_FFW = 1 << 6,      /* the norm of the FFN is named pre_feedforward_layernorm */
    QS_FOLDER_POST_FFW = 1 << 7,     /* a norm behind the FFN */
    QS_FOLDER_NO_PRE_NORM = 1 << 8,  /* no norm before attention and FFN */
    QS_FOLDER_TIED = 1 << 9,         /* a stored lm_head is not used */
    QS_FOLDER_FUSED = 1 << 10,       /* qkv_proj and gate_up_proj stay one */
    QS_FOLDER_QKV_BIAS = 1 << 11,    /* Q, K and V have biases always */
    QS_FOLDER_QK_NORM = 1 << 12,     /* a norm of each head of Q and K */
    QS_FOLDER_QK_NORM_ROW = 1 << 13, /* of the whole row of Q and K */
    QS_FOLDER_MIXTRAL = 1 << 14,     /* experts as Mixtral names them */
    QS_FOLDER_QWEN_MOE = 1 << 15,    /* as Qwen does */
    QS_FOLDER_SHARED = 1 << 16,      /* a shared expert beside them */
    QS_FOLDER_GPT_OSS = 1 << 17,     /* sinks, biases, experts interleaved and transposed, or MXFP4 */
    QS_FOLDER_GEMMA3 = 1 << 18,
    QS_FOLDER_GEMMA2 = 1 << 19,
    QS_FOLDER_GRANITE = 1 << 20,
    QS_FOLDER_WINDOW = 1 << 21,      /* Mistral: a window where sliding_window says so */
    QS_FOLDER_OLMO = 1 << 22,
    QS_FOLDER_SMOLLM3 = 1 << 23,
    QS_FOLDER_EXPERTS = QS_FOLDER_MIXTRAL | QS_FOLDER_QWEN_MOE | QS_FOLDER_GPT_OSS,
};

struct qs_folder_family {
    const char *hf;          /* config.json: architectures[0] */
    const char *model_type;  /* where that is missing; NULL: another row's */
    const char *arch;        /* general.architecture */
    unsigned flags;
    /* what transformers takes where config.json says nothing; 0: it must say it, or as told at qs_folder_numbers */
    unsigned n_ctx, n_head, n_head_kv, head_dim, n_expert, n_expert_used;
    double rope_theta, eps;
};

struct qs_folder_numbers {
    uint64_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab, n_ctx;
    uint64_t n_expert, n_expert_used, n_ff_expert, n_ff_shared; /* 0: none */
    bool head_dim_stated;
};

/* A tensor of the files under the name that the table of names knows. */
struct qs_folder_found {
    char *name;
    const struct qs_st_tensor *t;
    unsigned part;
    bool used;
};

enum qs_folder_how {
    QS_FOLDER_MAPPED,  /* lies there as it should: src[0], from byte `skip` */
    QS_FOLDER_ROWS,    /* rows, copied or converted */
    QS_FOLDER_MXFP4,   /* blocks (src[0]) and scales (src[1]) of rows, repacked */
    QS_FOLDER_VALUES,  /* numbers that config.json states */
};

/* How one tensor of the model comes about. The source is seen as `sheets` matrices of src_rows x cols (x 32 for
 * MXFP4 blocks), one in each src or all in src[0]; row r of a sheet becomes that of src row first + step * at(r),
 * where `heads` (0: none) puts the rows of each head in the order of ggml's "norm" rope. */
struct qs_folder_recipe {
    enum qs_folder_how how;
    const struct qs_folder_found **src;
    size_t n_src;
    uint64_t sheets, rows, cols, src_rows, first, step, heads;
    bool transpose;    /* a sheet lies there as cols x src_rows */
    float add;
    uint64_t skip;     /* mapped: bytes into src[0] */
    float *value;      /* values */
};

struct qs_folder_tensor {
    char name[64];
    unsigned n_dims;
    uint64_t ne[QS_MAX_DIMS];
    int type;
    uint64_t size;
    struct qs_folder_recipe r;
};

struct qs_folder_parts { struct qs_gguf_part *part; size_t n, cap; };

struct qs_folder {
    char *dir;
    struct qs_json *config;
    const struct qs_json *text;       /* config.json's text_config, or config */
    const struct qs_folder_family *family;
    struct qs_folder_numbers n;
    struct qs_safetensors **file;
    size_t n_files, file_cap;
    struct qs_folder_parts weights;   /* the same files */
    struct qs_folder_parts beside;    /* what else was read */
    struct qs_folder_found *found;    /* by name */
    size_t n_found, found_cap;
    struct qs_folder_tensor *tensor;
    size_t n_tensors, tensor_cap;
    struct qs_str remarks;            /* one a line */
};

/* folder_files.c: finds and opens the safetensors files; what they hold. */
int qs_folder_files(struct qs_folder *f, struct qs_err *e);
void qs_folder_free_parts(struct qs_folder_parts *l);
/* Says what the folder is that lacks this file. */
int qs_folder_refuse(const struct qs_folder *f, const char *lacks, struct qs_err *e);
/* Reads a JSON file of the folder; *out is NULL and QS_OK where it does not exist. It becomes one of the parts. */
int qs_folder_json(struct qs_folder *f, const char *name, struct qs_json **out, struct qs_err *e);
/* Notes a file of the folder that is read, where it exists. */
int qs_folder_beside(struct qs_folder *f, const char *name, struct qs_err *e);

/* folder_config.c: family and numbers out of config.json. */
int qs_folder_config(struct qs_folder *f, struct qs_err *e);
/* A value of config.json, text_config first; NULL: absent or null. */
const struct qs_json *qs_folder_value(const struct qs_folder *f, const char *key);
/* The same of rope_parameters or rope_scaling (where those are kept apart by layer type: of full attention), and of the
 * outermost level behind that. */
const struct qs_json *qs_folder_rope(const struct qs_folder *f, const char *key);
/* "default" where none is stated. */
const char *qs_folder_rope_type(const struct qs_folder *f);

/* folder_names.c: every tensor that the model has, from the table of names. */
int qs_folder_tensors(struct qs_folder *f, struct qs_err *e);
/* Adds a tensor of values that config.json states: taken, on failure too. */
int qs_folder_add_values(struct qs_folder *f, const char *name, float *value, uint64_t n, struct qs_err *e);
/* folder_rope.c: the tensors of rope factors. */
int qs_folder_rope_tensors(struct qs_folder *f, struct qs_err *e);
uint64_t qs_folder_rope_dims(const struct qs_folder *f); /* Phi 3: numbers of a head that rotate */

/* folder_meta.c: metadata; remarks about what GGUF cannot say. */
int qs_folder_metadata(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e);
int qs_folder_put_f32(const struct qs_folder *f, struct qs_gguf_meta *m, const char *key, double v, struct qs_err *e);
/* folder_general.c: general.*; general.file_type comes behind the rest, as the converter has it. */
int qs_folder_general(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e);
uint32_t qs_folder_file_type(const struct qs_folder *f);
/* folder_vocab.c: tokenizer.* */
int qs_folder_vocab(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e);
void qs_folder_remark(struct qs_folder *f, const char *fmt, ...) QS_PRINTF(2, 3);

/* folder_make.c: the bytes of a tensor that is not mapped. */
int qs_folder_make(const struct qs_folder_tensor *t, const struct qs_model *m, struct qs_weight **out,
                   struct qs_err *e);

#endif
