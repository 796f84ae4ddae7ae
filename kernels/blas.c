/* blas.c - OpenBLAS behind five operations.
 *
 * Owns the one-time choice of a single thread: OpenBLAS starts its threads when it is loaded and would fight the pool.
 * The symbols are the Fortran ones (LP64: 32-bit integers), column-major. A row-major matrix read that way is its
 * transpose, so a lower triangle becomes an upper one and the sides of products swap; no data is copied. Refuses sizes
 * that do not fit an int. Safe from several threads.
 */
#include "kernels/blas.h"

#include <limits.h>
#include <pthread.h>

/* Fortran passes everything by address. The hidden lengths of character arguments are left out, as C callers of BLAS
 * have always done: every argument here is one character long and OpenBLAS reads no length. */
void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha, const double *a,
            const int *lda, const double *beta, double *c, const int *ldc);
void ssyrk_(const char *uplo, const char *trans, const int *n, const int *k, const float *alpha, const float *a,
            const int *lda, const float *beta, float *c, const int *ldc);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void dtrsm_(const char *side, const char *uplo, const char *transa, const char *diag, const int *m, const int *n,
            const double *alpha, const double *a, const int *lda, double *b, const int *ldb);
void strsm_(const char *side, const char *uplo, const char *transa, const char *diag, const int *m, const int *n,
            const float *alpha, const float *a, const int *lda, float *b, const int *ldb);
void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha,
            const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
            const int *ldc);
void openblas_set_num_threads(int n);

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void one_thread(void)
{
    openblas_set_num_threads(1);
}

/* Sizes and strides as BLAS wants them. Strides of empty matrices may be 0 for our callers, never for BLAS. */
static int to_int(size_t v, int least, int *out, struct qs_err *e)
{
    if (v > INT_MAX)
        return qs_fail(e, QS_ELIMIT, "a matrix of %zu rows or columns is larger than the algebra library takes (%d)", v,
                       INT_MAX);
    *out = (int)v < least ? least : (int)v;
    return QS_OK;
}

struct shape { int m, n, k, lda, ldb, ldc; };

static int to_shape(const size_t v[6], struct shape *s, struct qs_err *e)
{
    int *const out[6] = { &s->m, &s->n, &s->k, &s->lda, &s->ldb, &s->ldc };
    for (int i = 0; i < 6; i++) {
        int rc = to_int(v[i], i < 3 ? 0 : 1, out[i], e);
        if (rc)
            return rc;
    }
    pthread_once(&once, one_thread);
    return QS_OK;
}

/* ---- C = beta C + alpha A^T A: column-major A' is n x k and C' = A' A'^T, its upper triangle --------------------- */

int qs_blas_syrk(size_t n, size_t k, double alpha, const double *a, size_t lda, double beta, double *c, size_t ldc,
                 struct qs_err *e)
{
    struct shape s;
    int rc = to_shape((const size_t[6]){ 0, n, k, lda, 0, ldc }, &s, e);
    if (rc == QS_OK)
        dsyrk_("U", "N", &s.n, &s.k, &alpha, a, &s.lda, &beta, c, &s.ldc);
    return rc;
}

int qs_blas_syrk_f32(size_t n, size_t k, float alpha, const float *a, size_t lda, float beta, float *c, size_t ldc,
                     struct qs_err *e)
{
    struct shape s;
    int rc = to_shape((const size_t[6]){ 0, n, k, lda, 0, ldc }, &s, e);
    if (rc == QS_OK)
        ssyrk_("U", "N", &s.n, &s.k, &alpha, a, &s.lda, &beta, c, &s.ldc);
    return rc;
}

/* ---- A = L L^T: column-major A' = U^T U with U = L^T ------------------------------------------------------------- */

static int cholesky_result(int info, size_t *minor, struct qs_err *e)
{
    if (minor)
        *minor = info > 0 ? (size_t)info : 0;
    if (info == 0)
        return QS_OK;
    return qs_fail(e, QS_EINVAL, "the matrix is not positive definite (leading minor %d)", info);
}

int qs_blas_cholesky(size_t n, double *a, size_t lda, size_t *minor, struct qs_err *e)
{
    struct shape s;
    int info = 0, rc = to_shape((const size_t[6]){ 0, n, 0, lda, 0, 0 }, &s, e);
    if (rc)
        return rc;
    dpotrf_("U", &s.n, a, &s.lda, &info);
    return cholesky_result(info, minor, e);
}

int qs_blas_cholesky_f32(size_t n, float *a, size_t lda, size_t *minor, struct qs_err *e)
{
    struct shape s;
    int info = 0, rc = to_shape((const size_t[6]){ 0, n, 0, lda, 0, 0 }, &s, e);
    if (rc)
        return rc;
    spotrf_("U", &s.n, a, &s.lda, &info);
    return cholesky_result(info, minor, e);
}

/* ---- L X = B: column-major X' U = B' with U = L^T, B' of m x n --------------------------------------------------- */

int qs_blas_solve(size_t n, size_t m, const double *l, size_t ldl, bool transposed, double *b, size_t ldb,
                  struct qs_err *e)
{
    static const double one = 1;
    struct shape s;
    int rc = to_shape((const size_t[6]){ m, n, 0, ldl, ldb, 0 }, &s, e);
    if (rc == QS_OK)
        dtrsm_("R", "U", transposed ? "T" : "N", "N", &s.m, &s.n, &one, l, &s.lda, b, &s.ldb);
    return rc;
}

int qs_blas_solve_f32(size_t n, size_t m, const float *l, size_t ldl, bool transposed, float *b, size_t ldb,
                      struct qs_err *e)
{
    static const float one = 1;
    struct shape s;
    int rc = to_shape((const size_t[6]){ m, n, 0, ldl, ldb, 0 }, &s, e);
    if (rc == QS_OK)
        strsm_("R", "U", transposed ? "T" : "N", "N", &s.m, &s.n, &one, l, &s.lda, b, &s.ldb);
    return rc;
}

/* ---- C = beta C + alpha A B: column-major C' = B' A' ------------------------------------------------------------- */

int qs_blas_gemm_f32(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
                     float beta, float *c, size_t ldc, struct qs_err *e)
{
    struct shape s;
    int rc = to_shape((const size_t[6]){ m, n, k, lda, ldb, ldc }, &s, e);
    if (rc == QS_OK)
        sgemm_("N", "N", &s.n, &s.m, &s.k, &alpha, b, &s.ldb, a, &s.lda, &beta, c, &s.ldc);
    return rc;
}
