/* model.h - an opened model: an index of tensors, whatever files they come from.
 *
 * Opening reads headers only. Tensor bytes are mapped and touched when a weight is asked for. Immutable after open:
 * any number of threads may read it. The source is a GGUF file (split or not), or a Hugging Face folder, which fills
 * the same table: names, shapes, types and metadata are those of the GGUF file that it would be converted to
 * (folder.h).
 */
#ifndef QS_CORE_MODEL_H
#define QS_CORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/format/gguf.h"
#include "core/model/role.h"
#include "core/model/weight.h"
#include "kernels/format.h"

struct qs_tensor {
    const char *name;                /* GGUF name, trusted: valid UTF-8, <= 255 bytes, no control characters */
    enum qs_role role;
    int layer;                       /* -1: not in a block */
    unsigned n_dims;
    uint64_t ne[QS_MAX_DIMS];        /* ne[0] columns (row length), ne[1] rows, ne[2] experts */
    int type;                        /* number in the file */
    const struct qs_format *format;  /* NULL: unknown type (shown, copied through, nothing else) */
    uint64_t offset, size;
    unsigned part;
    bool made;                       /* its bytes are made when asked for, of what lies at offset and elsewhere */
    unsigned marks;
    uint64_t n;                      /* weights: product of ne */
    uint64_t rows;                   /* n / ne[0] */
};

/* Values that a file may state layer by layer. */
enum { QS_VARIED_FF = 1, QS_VARIED_HEAD = 2, QS_VARIED_HEAD_KV = 4 };

/* 0: not stated and not derivable. Values stated layer by layer are given as their maximum, with a bit in `varied` when
 * they differ. Not stated, head_dim_* is n_embd / n_head, n_head_kv is n_head, n_vocab counts tokens or rows of the
 * embedding. */
struct qs_hparams {
    char arch[64];                   /* general.architecture */
    char name[128];                  /* general.name, cleaned */
    uint64_t n_layer, n_embd, n_ff, n_head, n_head_kv, n_expert, n_expert_used, n_ctx, n_vocab;
    uint64_t head_dim_k, head_dim_v;
    uint64_t sliding_window;
    unsigned varied;                 /* QS_VARIED_* */
};

struct qs_model {
    char *path;                      /* as opened */
    struct qs_gguf *gguf;            /* the headers; of a folder as they would be: use the accessors */
    bool is_folder;                  /* a Hugging Face folder, and path is that folder */
    struct qs_hparams hp;
    struct qs_tensor *tensor;        /* file order */
    size_t n_tensors;
    uint64_t n_weights, bytes;       /* sums over tensors */
    int32_t file_type;               /* general.file_type, -1 when absent */
    struct qs_model_maps *maps;      /* lazily made: mappings and the content key */
    struct qs_model_source *source;  /* makes the tensors that are `made`; NULL: there are none */
};

/* Opens a GGUF file, or a Hugging Face folder: its name, or that of its config.json, model.safetensors or
 * model.safetensors.index.json (open.c; what is refused of folders: folder.h). */
int qs_model_open(const char *path, struct qs_model **out, struct qs_err *e);
/* GGUF files alone. Refuses, beyond what qs_gguf_open refuses, tensor names that are empty, longer than 255 bytes, not
 * UTF-8, or contain control characters: names go into recipes, messages and file names, so they are refused rather than
 * rewritten. */
int qs_model_open_gguf(const char *path, struct qs_model **out, struct qs_err *e);
void qs_model_close(struct qs_model *m);

/* Where files made of a model go, and what their names begin with, by default (both replaced): beside the file, by its
 * name without .gguf and the number of a part; beside the folder, by its name; of a folder in the Hugging Face cache
 * (models--ORG--NAME/snapshots/REVISION) the current folder, and NAME. */
void qs_model_stem(const char *path, bool is_folder, struct qs_str *dir, struct qs_str *stem);

const struct qs_tensor *qs_model_find(const struct qs_model *m, const char *name); /* NULL: no such tensor */
size_t qs_model_index(const struct qs_model *m, const struct qs_tensor *t);

/* What a model of any source may have: NULL when there is no metadata entry of that name, no metadata at all (*n is 0
 * then), no file with tensors in it. */
const struct qs_kv *qs_model_kv(const struct qs_model *m, const char *key);
const struct qs_kv *qs_model_metadata(const struct qs_model *m, size_t *n);
const struct qs_gguf_part *qs_model_parts(const struct qs_model *m, unsigned *n);
struct qs_gguf_meta; /* core/format/gguf_write.h */
/* All of it, raw; nothing where the model has none. */
int qs_model_copy_metadata(const struct qs_model *m, struct qs_gguf_meta *to, struct qs_err *e);
/* Of tensor data in the source; 32, GGUF's own, where none is stated. */
uint32_t qs_model_alignment(const struct qs_model *m);

/* Bytes of the tensor written as this type: its size in the file for its own; 0: its rows cannot have the type, or the
 * type is unknown. */
uint64_t qs_tensor_bytes_as(const struct qs_tensor *t, int type);

/* A matrix stored in a block format (neither floats nor integers); whether the model has any. */
bool qs_tensor_is_quantized(const struct qs_tensor *t);
bool qs_model_is_quantized(const struct qs_model *m);

/* Bytes of a made tensor that lies in memory; larger ones lie in scratch files. */
#define QS_MADE_HEAP_MOST (UINT64_C(1) << 20)

/* What holding all tensors at once, as running does, takes beside the mapped files: bytes of those that are `made`.
 * *scratch (NULL allowed): how many of them lie in scratch files, which is room on the disk, and pageable. */
uint64_t qs_model_made_bytes(const struct qs_model *m, uint64_t *scratch);
/* QS_ENOSPACE when the folder of scratch files (qs_scratch_dir) has no room for those that nobody holds yet: asked
 * before the first of many is made. */
int qs_model_made_room(const struct qs_model *m, struct qs_err *e);

/* A reference to the tensor's bytes as they lie in the file (mapped); where the tensor is `made`, in memory or in a
 * scratch file (QS_ENOSPACE), made once for all that hold a reference at one time. Release with qs_weight_unref.
 * QS_EFORMAT for tensors marked bad. Thread-safe. */
int qs_model_weight(const struct qs_model *m, const struct qs_tensor *t, struct qs_weight **out, struct qs_err *e);

/* QS_EIO when a file under the mappings was cut short since opening. Look after every piece of work. */
int qs_model_intact(const struct qs_model *m, struct qs_err *e);

/* Content key: hash of header bytes, file sizes, mtimes and 4 KiB samples of each tensor (touches those pages the first
 * time, and is kept). Thread-safe. */
int qs_model_key(const struct qs_model *m, struct qs_key *out, struct qs_err *e);

/* What the model computes, wherever its files lie and however old they are: hash of metadata (but general.* other than
 * the architecture, and split.*), names, shapes and types of tensors, and 8 pages of 4 KiB of each, first and last
 * included. A copy has the same; so has, nearly never, one with other weights. Kept; thread-safe. */
int qs_model_content_key(const struct qs_model *m, struct qs_key *out, struct qs_err *e);

/* One thing that an upper room has found out about the model and keeps with it, freed with it: what presets see in its
 * names. qs_model_keep returns what is kept, which is the note of another thread (and `note` is freed) where that was
 * faster; NULL: this model keeps none, the note stays the caller's. Any thread. */
const void *qs_model_note(const struct qs_model *m); /* NULL: none yet */
const void *qs_model_keep(const struct qs_model *m, void *note, void (*free_note)(void *));

/* Walks all tensor data on the pool (NULL: on the caller's thread): weights of float types and scales of block types
 * that are NaN or Inf (scan.h). fn is called, on the caller's thread, for each tensor with something to say: field
 * "weights" or "scales", how many, and a sentence. The job (may be NULL) counts bytes. QS_EIO: a file was cut short
 * meanwhile. */
typedef void qs_model_check_fn(void *ctx, const struct qs_tensor *t, const char *field, uint64_t count,
                               const char *msg);
struct qs_job; struct qs_pool;
int qs_model_check_data(const struct qs_model *m, struct qs_pool *pool, struct qs_job *job, qs_model_check_fn *fn,
                        void *ctx, struct qs_err *e);

#endif
