/* imatrix.h - importance matrices: llama.cpp's two file forms, read.
 *
 * Legacy .dat: count, then per entry name, ncall, nval, nval floats (sums already divided and scaled by ncall), then
 * optionally the chunk count and the dataset's name. GGUF form (general.type = "imatrix"): tensors
 * NAME.in_sum2 and NAME.counts, optionally NAME.in_sum. An entry gives one value per input column and expert:
 * the mean of squared activations, at most QS_IMATRIX_MAX. An expert that was never seen gets 1 for every column, as llama.cpp does, and is
 * counted in `unseen`.
 */
#ifndef QS_CORE_IMATRIX_H
#define QS_CORE_IMATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"

/* Values above this are refused: sums of the encoders, which multiply them with each other in single precision, overflow
 * from about 1e18 on and choose badly without a word. Real values are below 1e10. */
#define QS_IMATRIX_MAX 1e16f

struct qs_imatrix_entry {
    char *name;        /* GGUF tensor name, "blk.0.attn_q.weight" */
    float *value;      /* n values: experts * columns */
    size_t n;
    unsigned experts;  /* 1 when dense (or unknown: legacy form, where n may be experts * columns) */
    unsigned unseen;   /* experts without any token (legacy: 1 where there was no call) */
    bool zero;         /* every value is 0: it says nothing */
    double count;      /* tokens (legacy: calls), the smallest over the experts */
};

struct qs_imatrix {
    struct qs_imatrix_entry *entry;
    size_t n_entries;
    char *dataset;     /* may be empty */
    uint64_t chunks;   /* 0: unknown */
    struct qs_key key; /* hash of the file */
};

int qs_imatrix_open(const char *path, struct qs_imatrix **out, struct qs_err *e);
int qs_imatrix_open_mem(const void *bytes, size_t n, struct qs_imatrix **out, struct qs_err *e); /* fuzzing, tests */
void qs_imatrix_free(struct qs_imatrix *m);
const struct qs_imatrix_entry *qs_imatrix_find(const struct qs_imatrix *m, const char *tensor_name);

#endif
