/* gguf_write.h - GGUF headers out: metadata is collected, then laid out for a list of tensors.
 *
 * Owns no file: it produces the exact header bytes and the offset of every tensor; core/quant/writer puts them on disk.
 */
#ifndef QS_CORE_GGUF_WRITE_H
#define QS_CORE_GGUF_WRITE_H

#include "core/format/gguf.h"
#include "base/str.h"

struct qs_gguf_meta; /* ordered set of metadata entries being built */

struct qs_gguf_meta *qs_gguf_meta_new(void); /* NULL: out of memory */
void qs_gguf_meta_free(struct qs_gguf_meta *m);
int qs_gguf_meta_copy(struct qs_gguf_meta *m, const struct qs_gguf *from, struct qs_err *e); /* all entries, raw */
/* Set or replace (in place when the key exists). */
int qs_gguf_meta_raw(struct qs_gguf_meta *m, const char *key, int type, const void *raw, size_t raw_len,
                     struct qs_err *e);
int qs_gguf_meta_u32(struct qs_gguf_meta *m, const char *key, uint32_t v, struct qs_err *e);
int qs_gguf_meta_str(struct qs_gguf_meta *m, const char *key, const char *v, struct qs_err *e);
bool qs_gguf_meta_remove(struct qs_gguf_meta *m, const char *key); /* false: was not there */
bool qs_gguf_meta_has(const struct qs_gguf_meta *m, const char *key);
int qs_gguf_meta_type(const struct qs_gguf_meta *m, const char *key); /* enum qs_gguf_type; -1: not there */
/* "key=type:value" as llama.cpp's --override-kv: int, float, bool, str; also u8..f64 by our names. Numbers must fit. */
int qs_gguf_meta_override(struct qs_gguf_meta *m, const char *text, struct qs_err *e);

#define QS_GGUF_OUT_ALIGNMENT_MIN 8u /* files with less can be read, and are not written */
#define QS_GGUF_OUT_ALIGNMENT 32u    /* what is written then, and everywhere by default */

struct qs_gguf_out { /* one tensor of the file to be written */
    const char *name;
    unsigned n_dims;
    uint64_t ne[QS_MAX_DIMS];
    int32_t type;
    uint64_t size;   /* bytes */
    uint64_t offset; /* filled by layout: absolute offset in the file */
};

/* Header bytes (magic, version 3, metadata, tensor table, padding) for these tensors, whose data follow in this order,
 * each aligned. `alignment`: power of two >= QS_GGUF_OUT_ALIGNMENT_MIN. Fills tensor[i].offset and *file_size. */
int qs_gguf_layout(const struct qs_gguf_meta *m, struct qs_gguf_out *tensor, size_t n, uint32_t alignment,
                   struct qs_str *header, uint64_t *file_size, struct qs_err *e);

#endif
