/* golden_ggml.h - ggml's own quantizers behind one plain interface, for golden_formats.c and differential runs. */
#ifndef QS_TESTS_ORACLE_GOLDEN_GGML_H
#define QS_TESTS_ORACLE_GOLDEN_GGML_H

#include <stddef.h>
#include <stdint.h>

struct oracle_type {
    int id;
    const char *name;
    int block;
    size_t bytes; /* per block */
    int needs_weights, uses_weights;
};

const struct oracle_type *oracle_types(size_t *n);
void oracle_encode(const struct oracle_type *t, const float *x, size_t rows, size_t cols, const float *w, void *dst);
void oracle_decode(const struct oracle_type *t, const void *src, size_t n, float *dst);

#endif
