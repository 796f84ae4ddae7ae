/* safetensors.h - one safetensors file in: what tensors it holds, and where their bytes are.
 *
 * The layout (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian with the length of the header, the
 * header in JSON - {"NAME": {"dtype", "shape", "data_offsets": [begin, end]}, ..., "__metadata__": {text: text}} - then
 * the data, which the offsets count from and which the tensors must cover without overlap or gap.
 * Opening reads the header only, with pread. Everything in it is hostile until checked.
 */
#ifndef QS_CORE_SAFETENSORS_H
#define QS_CORE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define QS_ST_MAX_HEADER (64u << 20)   /* bytes; the format allows 100 MB, real ones have a few hundred KB */
#define QS_ST_MAX_TENSORS (1u << 20)
#define QS_ST_MAX_DIMS 8

struct qs_st_dtype {
    const char *name;  /* "BF16" */
    unsigned bits;     /* of one number */
    int type;          /* enum qs_type of the same bytes; QS_TYPE_NONE: GGUF has none */
};

struct qs_st_tensor {
    const char *name;  /* valid UTF-8, otherwise not trusted: 1 to 255 bytes */
    const struct qs_st_dtype *dtype;
    unsigned n_dims;   /* 0: a single number */
    uint64_t shape[QS_ST_MAX_DIMS]; /* outermost first, the row length last; absent dimensions are 1 */
    uint64_t n;        /* numbers: product of shape */
    uint64_t offset;   /* in the file */
    uint64_t size;     /* bytes */
};

struct qs_safetensors {
    char *path;        /* as opened */
    uint64_t file_size, header_size /* bytes before the data */, bytes_read;
    int64_t mtime_ns;
    uint64_t dev, ino;
    struct qs_st_tensor *tensor; /* in the order of their bytes */
    size_t n_tensors;
    struct qs_json *root;        /* owns the names */
};

/* QS_EFORMAT: damaged, in words that name the field; QS_ELIMIT: more than the bounds above; QS_EUNSUPPORTED: a dtype
 * that is not known. */
int qs_safetensors_open(const char *path, struct qs_safetensors **out, struct qs_err *e);
/* From the first `n` bytes of a file of file_size bytes (fuzzing, tests). */
int qs_safetensors_open_mem(const void *bytes, size_t n, uint64_t file_size, struct qs_safetensors **out,
                            struct qs_err *e);
void qs_safetensors_close(struct qs_safetensors *s); /* NULL allowed */

#endif
