/* make_st.h - safetensors files for tests: a list of tensors, written as the format wants them or a little
 * otherwise. */
#ifndef QS_TESTS_MAKE_ST_H
#define QS_TESTS_MAKE_ST_H

#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

struct st_tensor {
    const char *name, *dtype; /* "F32", "F16", "BF16", "U8", "F8_E4M3" */
    uint64_t shape[4];        /* 0 ends it */
    unsigned seed;            /* of the bytes */
};

/* The file in memory: `header` (its length is put before it) and n bytes of data. */
void st_raw(struct qs_str *out, const char *header, const void *data, size_t n);
/* The whole file; floats are small and finite. The data begin at a multiple of 8, `odd` bytes behind one. */
void st_make(struct qs_str *out, const struct st_tensor *t, size_t n, unsigned odd);
void st_write(const char *path, const struct st_tensor *t, size_t n);
uint64_t st_bytes(const struct st_tensor *t);

#endif
