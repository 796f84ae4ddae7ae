/* gguf_internal.h - what the files of the GGUF reader share; nobody else includes it. */
#ifndef QS_CORE_GGUF_INTERNAL_H
#define QS_CORE_GGUF_INTERNAL_H

#include "base/reader.h"
#include "core/format/gguf.h"

/* Bounds on what one header may ask of us. The largest real ones have some 50,000 tensors (one per expert), 100
 * metadata entries and 30 MiB. */
#define QS_GGUF_MAX_HEADER (256u << 20)
#define QS_GGUF_MAX_ENTRIES (1u << 20)
#define QS_GGUF_MAX_KEY 65535u
#define QS_GGUF_MAX_DEPTH 8
#define QS_GGUF_MAX_ALIGNMENT (16u << 20)
#define QS_GGUF_MAX_PARTS 65535u
#define QS_GGUF_MAX_FINDINGS 1000u
#define QS_GGUF_DEFAULT_ALIGNMENT 32u
#define QS_GGUF_NO_OFFSET UINT64_MAX

struct qs_gguf_chunk { /* arena of names: pointers into it stay where they are */
    struct qs_gguf_chunk *next;
    size_t used, cap;
    char data[];
};

struct qs_gguf_index { /* open addressing; slot = entry number + 1, 0 = empty */
    uint32_t *slot;
    size_t mask;
};

struct qs_gguf_store {
    uint8_t **window; /* header bytes of each part */
    struct qs_gguf_chunk *names;
    struct qs_gguf_index by_key, by_name;
    size_t tensor_cap, finding_cap;
    struct qs_finding fatal; /* the first fatal finding */
    enum qs_code fatal_code; /* QS_OK: there was none */
    bool out_of_memory;
};

/* Notes a finding; the field is cleaned for terminals. Memory trouble is remembered in the store. */
void qs_gguf_find(struct qs_gguf *g, enum qs_finding_kind kind, enum qs_code code, unsigned part, uint64_t offset,
                  const char *field, const char *fmt, ...) QS_PRINTF(7, 8);

/* "tensor NAME: suffix" or "metadata KEY" into `out`, made harmless and cut to fit. */
void qs_gguf_label(char *out, size_t cap, const char *what, const char *name, size_t name_len, const char *suffix);

/* Parses the header of one part. Appends its tensors; `kv` receives its metadata (grown by qs_grow, the caller frees
 * the array). Fatal findings are noted, not returned; returned are only memory and reading trouble. */
struct qs_gguf_kvs { struct qs_kv *kv; size_t n, cap; };
int qs_gguf_parse(struct qs_gguf *g, struct qs_reader *r, unsigned part, struct qs_gguf_kvs *kvs, struct qs_err *e);
/* Points the raw values of `kvs` into the header bytes that start at `window`. */
void qs_gguf_resolve(struct qs_gguf_kvs *kvs, const uint8_t *window);
const struct qs_kv *qs_gguf_kvs_get(const struct qs_gguf_kvs *kvs, const char *key); /* linear */

/* Where tensors lie: range, overlap, gaps, order. After the tensor table of the part was read. */
int qs_gguf_place(struct qs_gguf *g, unsigned part, size_t first_tensor, struct qs_err *e);

/* Remarks that only a person wants (gguf_check.c). */
void qs_gguf_lint(struct qs_gguf *g);
void qs_gguf_lint_numbers(struct qs_gguf *g); /* part of it (gguf_numbers.c) */

static inline uint32_t qs_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t qs_le64(const uint8_t *p)
{
    return (uint64_t)qs_le32(p) | (uint64_t)qs_le32(p + 4) << 32;
}

#endif
