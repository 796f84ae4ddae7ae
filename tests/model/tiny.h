/* tiny.h - the tiny models of tests/model/tiny and what they must give, for tests. */
#ifndef QS_TESTS_MODEL_TINY_H
#define QS_TESTS_MODEL_TINY_H

#include <stddef.h>
#include <stdint.h>

struct tiny_golden {        /* golden.bin: see tests/model/tiny/README.md */
    size_t n, vocab, layers, width;
    size_t n_ctx;           /* n: what a session needs */
    int32_t *id;            /* n */
    float *logits;          /* n x vocab */
    float *hidden;          /* (layers + 1) x width, of the last position */
};

extern const char *const tiny_names[];   /* ends with NULL */
const char *tiny_path(const char *name, const char *file); /* in a ring of buffers (qs_test_src) */
void tiny_read(const char *name, const char *file, struct tiny_golden *out); /* fails the test when it cannot */
void tiny_free(struct tiny_golden *g);
double tiny_rms(const float *logits, const struct tiny_golden *g); /* relative RMS of n x vocab logits */

#endif
