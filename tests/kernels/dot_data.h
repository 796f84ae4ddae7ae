/* dot_data.h - random rows for the tests of products and operations. */
#ifndef QS_TESTS_KERNELS_DOT_DATA_H
#define QS_TESTS_KERNELS_DOT_DATA_H

#include <math.h>
#include <stdlib.h>

#include "kernels/format.h"
#include "tests/kernels/golden_input.h"

/* Exactly n bytes, so that a sanitizer sees every step outside. */
static inline void *need(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0, (n + 63) / 64 * 64);
    return p;
}

static inline float *random_floats(size_t n, float scale, uint64_t *seed)
{
    float *x = need(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * golden_bell(seed) * (golden_next(seed) % 50 ? 1.0f : 8.0f);
    return x;
}

/* Rows stored as `f`; malloc, so that their end is the end of the memory. */
static inline uint8_t *stored_rows(const struct qs_format *f, const float *x, size_t rows, size_t cols)
{
    uint8_t *bytes = malloc(rows * qs_format_row_bytes(f, cols));
    void *scratch = need(qs_format_scratch(f, rows, cols) + 64);
    float *weight = need(cols * sizeof *weight);
    for (size_t k = 0; k < cols; k++)
        weight[k] = 1.0f + (float)(k % 3);
    const struct qs_rows in = { x, rows, cols, cols, weight };
    const struct qs_parts out = { { bytes } };
    assert_non_null(bytes);
    qs_format_encode(f, &in, &out, scratch);
    free(scratch);
    free(weight);
    return bytes;
}

/* Integers, read-only formats and activations are not weights that a test can make. */
static inline bool can_be_made(const struct qs_format *f)
{
    return qs_format_ops(f->id)->fit && !(f->flags & (QS_NO_ENCODE | QS_INTERNAL));
}

#endif
