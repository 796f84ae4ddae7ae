/* imatrix.h - importance matrices: llama.cpp's two file forms, read and written.
 *
 * Legacy .dat: count, then per entry name, ncall, nval, nval floats (sums already divided and scaled by ncall), then
 * optionally the chunk count and the dataset's name. GGUF form (general.type = "imatrix"): tensors
 * NAME.in_sum2 and NAME.counts, optionally NAME.in_sum. An entry gives one value per input column and expert:
 * the mean of squared activations, at most QS_IMATRIX_MAX. An expert that was never seen gets 1 for every column, as
 * llama.cpp does, and is counted in `unseen`. Opened raw, an entry has its sums and counts too, of which files are
 * merged, continued and written: there an expert that was never seen has count 0, in the GGUF form also on disk.
 */
#ifndef QS_CORE_IMATRIX_H
#define QS_CORE_IMATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/format/gguf_write.h"

/* Values above this are refused: sums of the encoders, which multiply them with each other in single precision,
 * overflow from about 1e18 on and choose badly without a word. Real values are below 1e10. */
#define QS_IMATRIX_MAX 1e16f

struct qs_imatrix_entry {
    char *name;        /* GGUF tensor name, "blk.0.attn_q.weight" */
    float *value;      /* n values: experts * columns */
    size_t n;
    unsigned experts;  /* 1 when dense (or unknown: legacy form, where n may be experts * columns) */
    unsigned unseen;   /* experts without any token (legacy: 1 where there was no call) */
    bool zero;         /* every value is 0: it says nothing */
    double count;      /* tokens (legacy: calls), the smallest over the experts */
    /* opened raw, else NULL */
    float *sum2;       /* n: sums of squares; 0 where the count is 0 */
    float *sum;        /* n: sums; NULL where the file has none */
    float *counts;     /* experts: rows */
};

struct qs_imatrix {
    struct qs_imatrix_entry *entry;
    size_t n_entries, cap_entries;
    char *dataset;     /* all of them, separated by ", "; may be empty */
    char **source; size_t n_sources, cap_sources; /* one by one */
    uint64_t chunks;   /* 0: unknown */
    uint32_t chunk;    /* tokens of a chunk; 0: unknown */
    bool legacy;       /* read from the .dat form */
    struct qs_key key; /* of entries, dataset and chunks: the same for the same content, however it is stored */
};

#define QS_IMATRIX_CHUNK 512 /* tokens, where no file says */

int qs_imatrix_open(const char *path, struct qs_imatrix **out, struct qs_err *e);
int qs_imatrix_open_mem(const void *bytes, size_t n, struct qs_imatrix **out, struct qs_err *e); /* fuzzing, tests */
/* With sums and counts. The .dat form counts calls of `chunk` tokens each (0: QS_IMATRIX_CHUNK). */
int qs_imatrix_open_raw(const char *path, uint32_t chunk, struct qs_imatrix **out, struct qs_err *e);
int qs_imatrix_open_raw_mem(const void *bytes, size_t n, uint32_t chunk, struct qs_imatrix **out, struct qs_err *e);
void qs_imatrix_free(struct qs_imatrix *m);
const struct qs_imatrix_entry *qs_imatrix_find(const struct qs_imatrix *m, const char *tensor_name);

/* ---- making one ---- */
struct qs_imatrix *qs_imatrix_new(void); /* NULL: out of memory */
/* A new entry: sum2 and counts are zero and to be filled in, sum too where it is asked for. The name must not be there
 * yet. */
struct qs_imatrix_entry *qs_imatrix_add(struct qs_imatrix *m, const char *name, size_t cols, unsigned experts,
                                        bool sum); /* NULL: out of memory */
int qs_imatrix_add_source(struct qs_imatrix *m, const char *name, struct qs_err *e);
/* Sorts the entries, makes values, dataset and key of them: what reading the written file would give, bit for bit.
 * QS_EFORMAT: values that are refused on reading too. Pointers to entries are no longer valid. */
int qs_imatrix_seal(struct qs_imatrix *m, struct qs_err *e);
/* to += more, entry by entry; those that it has not are added. QS_EINVAL: the same name with another size; nothing is
 * changed then. Needs qs_imatrix_seal. */
int qs_imatrix_merge(struct qs_imatrix *to, const struct qs_imatrix *more, struct qs_err *e);

/* Tensors and texts that readers of importance matrices pass over: names that end neither in .in_sum2 nor in .counts.
 */
struct qs_imatrix_beside {
    const struct qs_gguf_out *tensor; size_t n;   /* name, shape, type, size; shorter than 64 bytes is the name */
    int (*fill)(void *ctx, size_t i, void *dst, struct qs_err *e); /* makes the size bytes of tensor i */
    void *ctx;
    const char *const *key, *const *text; size_t n_texts; /* metadata */
};
/* Of a raw one that is sealed. path appears only when whole; QS_EEXISTS without overwrite. beside may be NULL. Entries
 * without any count are left out (they would be read as 1 everywhere); QS_EINVAL: then there is none. */
int qs_imatrix_write(const struct qs_imatrix *m, const struct qs_imatrix_beside *beside, const char *path, bool overwrite,
                     struct qs_err *e);
int qs_imatrix_write_dat(const struct qs_imatrix *m, const char *path, bool overwrite, struct qs_err *e);

#endif
