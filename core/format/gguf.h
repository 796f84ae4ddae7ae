/* gguf.h - GGUF files in: versions 2 and 3, every metadata type, any alignment, split files.
 *
 * Opening reads headers only (pread; no tensor byte is read or mapped). Everything that can be wrong with a file is a
 * *finding* (field, offset, message). qs_gguf_open() fails with the first finding of kind QS_FINDING_FATAL;
 * qs_gguf_check() collects all of them. The specification followed: ggml's docs/gguf.md at llama.cpp 0c1e57098.
 *
 * Names and values point into memory owned by the qs_gguf: they live as long as it does. Strings are byte strings with
 * a length (also 0-terminated); they are not trusted to be valid UTF-8 or free of control characters. Tensor names that are
 * not, that are empty or longer than 255 bytes, are fatal findings.
 */
#ifndef QS_CORE_GGUF_H
#define QS_CORE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

enum qs_gguf_type {
    QS_GGUF_U8 = 0, QS_GGUF_I8, QS_GGUF_U16, QS_GGUF_I16, QS_GGUF_U32, QS_GGUF_I32, QS_GGUF_F32, QS_GGUF_BOOL,
    QS_GGUF_STRING, QS_GGUF_ARRAY, QS_GGUF_U64, QS_GGUF_I64, QS_GGUF_F64, QS_GGUF_TYPES
};

const char *qs_gguf_type_name(int t);  /* "u32", "string", ... "?" */
size_t qs_gguf_type_size(int t);       /* bytes of a scalar; 0 for string, array, unknown */

/* One metadata entry. `raw` is the value exactly as in the file (little-endian, after the type word): raw_len bytes.
 * For arrays raw starts at the element type word. */
struct qs_kv {
    const char *key;
    uint32_t key_len;
    int type;            /* enum qs_gguf_type */
    int item;            /* element type of an array, else -1 */
    uint64_t count;      /* elements of an array, else 1 */
    const uint8_t *raw;
    uint64_t raw_len;
    uint64_t offset;     /* in the file, of the key's length word */
};

enum { QS_TENSOR_UNKNOWN_TYPE = 1, QS_TENSOR_BAD_RANGE = 2, QS_TENSOR_OVERLAP = 4, QS_TENSOR_BAD_SHAPE = 8 };

#define QS_MAX_DIMS 4

struct qs_gguf_tensor {
    const char *name;
    uint32_t name_len;
    unsigned n_dims;
    uint64_t ne[QS_MAX_DIMS]; /* ne[0] is the row length; absent dimensions are 1 */
    int32_t type;             /* ggml number; may be unknown to us */
    uint64_t offset;          /* absolute, in its own file */
    uint64_t size;            /* bytes; for an unknown type: the room up to the next tensor or the end of the file */
    unsigned part;            /* which file of a split model */
    unsigned marks;           /* QS_TENSOR_* */
};

enum qs_finding_kind { QS_FINDING_NOTE, QS_FINDING_WARNING, QS_FINDING_FATAL };

struct qs_finding {
    enum qs_finding_kind kind;
    unsigned part;
    uint64_t offset;   /* file offset, UINT64_MAX when it has none */
    char field[96];    /* "tensor blk.0.attn_q.weight: offset", cleaned for terminals */
    char msg[256];
};

struct qs_gguf_part {
    char *path;
    uint64_t file_size, header_size /* bytes up to the first tensor byte */, data_offset, bytes_read;
    int64_t mtime_ns;
    uint64_t dev, ino;
    uint32_t version, alignment;
    uint64_t n_kv, n_tensors;
    bool beside;              /* read for names and numbers alone (config.json, a tokenizer): it can hold no tensors */
};

struct qs_gguf {
    struct qs_gguf_part *part;
    unsigned n_parts;
    struct qs_kv *kv;               /* of the first part */
    size_t n_kv;
    struct qs_gguf_tensor *tensor;  /* of all parts, in file order */
    size_t n_tensors;
    uint32_t version, alignment;    /* of the first part */
    struct qs_finding *finding;     /* what was noticed, in order; fatal ones only after qs_gguf_check */
    size_t n_findings;
    struct qs_gguf_store *store;    /* memory behind the pointers */
};

/* Opens PATH and, when its metadata says split.count > 1, its sibling parts (NAME-00001-of-0000N.gguf). */
int qs_gguf_open(const char *path, struct qs_gguf **out, struct qs_err *e);
/* From memory (fuzzing, tests). One part. */
int qs_gguf_open_mem(const void *bytes, size_t n, struct qs_gguf **out, struct qs_err *e);
/* What another format's files are in GGUF's terms: `header` as qs_gguf_layout makes it for tensors of data_end - n
 * bytes (which do not follow), and the n_parts (at least 1) files that it was made of, copied. Where the tensors really
 * are - part, offset - is for the caller to fill in. */
int qs_gguf_open_made(const void *header, size_t n, uint64_t data_end, const struct qs_gguf_part *part,
                      unsigned n_parts, struct qs_gguf **out, struct qs_err *e);
/* A remark (a finding of kind warning) about part 0 of such a thing. */
int qs_gguf_remark(struct qs_gguf *g, const char *field, const char *msg, struct qs_err *e);
void qs_gguf_close(struct qs_gguf *g);

/* Everything that is wrong with the headers: returns QS_OK when the check could be made at all; the findings (also
 * fatal ones) are in *out, which holds what could be parsed. Reading tensor data is core/model's check. */
int qs_gguf_check(const char *path, struct qs_gguf **out, struct qs_err *e);

/* Keys behind "ARCHITECTURE." without which llama.cpp loads no model; ends with NULL. */
const char *const *qs_gguf_needed_keys(void);

/* Look-ups by exact key. Numbers convert between integer types when the value fits, else `otherwise`. */
const struct qs_kv *qs_gguf_kv(const struct qs_gguf *g, const char *key);
bool qs_kv_u64(const struct qs_kv *kv, uint64_t *out);            /* scalar integers and bools, non-negative */
bool qs_kv_i64(const struct qs_kv *kv, int64_t *out);
bool qs_kv_f64(const struct qs_kv *kv, double *out);              /* any scalar number */
bool qs_kv_str(const struct qs_kv *kv, const char **s, size_t *n);/* not terminated inside raw: use n */
bool qs_kv_array_f64(const struct qs_kv *kv, uint64_t i, double *out);
/* Walks an array of strings: *cursor starts at 0. False at the end. */
bool qs_kv_next_str(const struct qs_kv *kv, uint64_t *cursor, const char **s, size_t *n);
/* A value for people, abbreviated to about max_cells cells; control characters are made visible. Added to `out`. */
void qs_kv_text(const struct qs_kv *kv, size_t max_cells, struct qs_str *out);
uint64_t qs_gguf_u64(const struct qs_gguf *g, const char *key, uint64_t otherwise);
const struct qs_gguf_tensor *qs_gguf_tensor_by_name(const struct qs_gguf *g, const char *name); /* hashed */

#endif
