/* gptq_oracle.h - GPTQ as the paper has it, in plain double precision: the inverse, one column at a time. And what
 * tests of it share: matrices made of a seed.
 */
#ifndef QS_TESTS_CALIB_GPTQ_ORACLE_H
#define QS_TESTS_CALIB_GPTQ_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/lattice.h"

/* Uniform in [-1, 1); and a sum of twelve of them, about normal with deviation 2. */
double gptq_uniform(uint64_t *seed);
double gptq_bell(uint64_t *seed);

/* Correlated activations of n rows: few hidden causes, channels of very different size; dead: columns that are zero. */
void gptq_inputs(uint64_t seed, size_t n, size_t cols, size_t causes, size_t dead, float *x);
/* X^T X / n, both triangles. */
void gptq_gram(const float *x, size_t n, size_t cols, float *h);
/* tr(D H D^T) */
double gptq_energy(const float *d, const float *h, size_t rows, size_t cols);

/* A^-1 of a symmetric positive definite matrix, by Gauss and Jordan; both n * n. */
void gptq_invert(const double *a, size_t n, double *out);

/* Rounds `target` (rows * cols) on the grid in scale and offset, columns by falling diag(h) or as they stand. margin:
 * how far, in steps, each decision was from a tie (of a line; tables: from the nearest other level). */
void gptq_oracle(const struct qs_lattice *l, const float *scale, const float *offset, const float *target, size_t rows,
                 size_t cols, const float *h, double damp, int natural, uint8_t *code, double *margin);

#endif
