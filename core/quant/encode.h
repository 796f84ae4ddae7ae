/* encode.h - rows of a stored tensor to rows of another type, in slices, on all cores.
 *
 * The one place where decode, importance weights and encode meet; survey, writer and candidate go through it. Rows of
 * different experts get their own importance vectors. Memory: a scratch per thread, made once (qs_encoder_new), for
 * rows of at most max_cols weights.
 */
#ifndef QS_CORE_ENCODE_H
#define QS_CORE_ENCODE_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/format/imatrix.h"
#include "core/model/weight.h"

#define QS_ENCODER_VERSION 1 /* grows whenever any encoder's bits change: part of every key of encoded bytes */

struct qs_encoder; /* scratch of all threads of a pool, for rows up to max_cols */

int qs_encoder_new(struct qs_pool *pool, uint64_t max_cols, struct qs_encoder **out, struct qs_err *e);
void qs_encoder_free(struct qs_encoder *x);
uint64_t qs_encoder_memory(unsigned threads, uint64_t max_cols); /* bytes qs_encoder_new would take: for plans */

struct qs_error_sums {      /* of the same calls: the same bits for any thread count */
    double err2, ref2;      /* sum (w - w^)^2, sum w^2 over finite weights */
    double werr2, wref2;    /* the same times importance; 0 without */
    double max_abs;         /* largest |w - w^| */
    uint64_t n, nonfinite;  /* weights, and those not finite */
};
void qs_error_sums_add(struct qs_error_sums *to, const struct qs_error_sums *more);
double qs_error_rms(const struct qs_error_sums *s); /* relative RMS; 0 when ref2 is 0 and err2 is 0, NaN when nothing counted */

/* Encodes rows [row, row+n) of `src` to `type`; dst gets n rows. QS_EUNSUPPORTED: no encoder, no decoder of the source,
 * or `type` is stored in several components, which one dst cannot hold. sums may be NULL (then nothing is decoded back).
 * importance: columns of each expert, or NULL. per_row, if not NULL: n sums, one per row. */
int qs_encode_rows(struct qs_encoder *x, enum qs_prio prio, const struct qs_weight *src, uint64_t row, uint64_t n, int type,
                   const struct qs_imatrix_entry *importance, uint8_t *dst, struct qs_error_sums *sums,
                   struct qs_error_sums *per_row, struct qs_err *e);
/* The same of rows that were made before: those of `made`, of the same shape, are copied to dst (NULL: they are not) and
 * measured against src. */
int qs_encode_made(struct qs_encoder *x, enum qs_prio prio, const struct qs_weight *src, const struct qs_weight *made,
                   uint64_t row, uint64_t n, const struct qs_imatrix_entry *importance, uint8_t *dst,
                   struct qs_error_sums *sums, struct qs_err *e);

#endif
