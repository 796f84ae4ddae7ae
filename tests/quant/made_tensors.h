/* made_tensors.h - small F32 GGUF models for tests of the survey, the comparison and the map. */
#ifndef QS_TESTS_QUANT_MADE_TENSORS_H
#define QS_TESTS_QUANT_MADE_TENSORS_H

#include <stddef.h>
#include <stdint.h>

struct made_tensor {
    const char *name;
    uint64_t ne[4];   /* 0 ends the dimensions */
    float *x;         /* ne[0]*ne[1]*... floats, freed by made_free; NULL: filled by made_fill */
};

/* A generator with a fixed sequence: uniform in [0,1), and Gaussian. */
double made_uniform(uint64_t *state);
double made_gauss(uint64_t *state);

uint64_t made_weights(const struct made_tensor *t);
/* Gaussian weights of deviation 0.05, with a few heavy ones, different for every tensor and seed. */
void made_fill(struct made_tensor *t, size_t n, uint64_t seed);
void made_free(struct made_tensor *t, size_t n);
/* Writes the file into the test's temporary folder; returns its path (see qs_test_tmp_path). */
const char *made_file(const char *file, const struct made_tensor *t, size_t n);

#endif
