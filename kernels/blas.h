/* blas.h - the algebra of calibration: the only file that knows OpenBLAS.
 *
 * Double and single precision, row-major, one thread per call (set once, before the first use): the caller spreads
 * panels over the pool. Never used by the forward pass. Debian's OpenBLAS carries no LAPACKE, so the few Fortran
 * symbols are declared in blas.c; a row-major lower triangle is their column-major upper one, which is all the
 * translation there is. Strides (ld...) count elements between rows. Sizes must fit an int (QS_ELIMIT otherwise); NaN in, NaN out.
 *
 * The order of sums inside OpenBLAS depends on the CPU: results agree between machines to rounding, not in bits.
 */
#ifndef QS_KERNELS_BLAS_H
#define QS_KERNELS_BLAS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

/* C (n x n, lower triangle including the diagonal) = beta*C + alpha * A^T A, with A of k rows and n columns: the rank-k
 * update that accumulates a Gram matrix (Hessian) from k activation rows. The upper triangle is not touched. */
int qs_blas_syrk(size_t n, size_t k, double alpha, const double *a, size_t lda, double beta, double *c, size_t ldc,
                 struct qs_err *e);
int qs_blas_syrk_f32(size_t n, size_t k, float alpha, const float *a, size_t lda, float beta, float *c, size_t ldc,
                     struct qs_err *e);

/* In place, A (n x n, symmetric positive definite, lower triangle given) = L L^T; L replaces the lower triangle.
 * QS_EINVAL when a leading minor is not positive: *minor (may be NULL) is its 1-based order, A is then spoilt. */
int qs_blas_cholesky(size_t n, double *a, size_t lda, size_t *minor, struct qs_err *e);
int qs_blas_cholesky_f32(size_t n, float *a, size_t lda, size_t *minor, struct qs_err *e);

/* In place, B (n x m) = L^-1 B, or with `transposed` L^-T B; L (n x n) lower triangular, its diagonal not zero. */
int qs_blas_solve(size_t n, size_t m, const double *l, size_t ldl, bool transposed, double *b, size_t ldb,
                  struct qs_err *e);
int qs_blas_solve_f32(size_t n, size_t m, const float *l, size_t ldl, bool transposed, float *b, size_t ldb,
                      struct qs_err *e);

/* C (m x n) = beta*C + alpha * A B, with A m x k and B k x n. */
int qs_blas_gemm_f32(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
                     float beta, float *c, size_t ldc, struct qs_err *e);

#endif
