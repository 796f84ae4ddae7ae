/* gptq_internal.h - what the files of GPTQ share: the factor, grids as numbers, the state of some rows under work.
 *
 * All work is on *strips* of at most QS_GPTQ_STRIP rows, one strip on one thread. Products of strips with H are
 * OpenBLAS's. Within blocks of QS_GPTQ_BLOCK columns all is done by kernels/codes.h, and what it means for the
 * other columns afterwards at once: the same numbers (but for rounding) as column by column.
 */
#ifndef QS_CALIB_GPTQ_INTERNAL_H
#define QS_CALIB_GPTQ_INTERNAL_H

#include "core/calib/gptq.h"
#include "kernels/lattice.h"
#include "kernels/rows.h"

enum { QS_GPTQ_STRIP = 128, QS_GPTQ_BLOCK = 256, QS_GPTQ_LANES = 16 };
enum { QS_GPTQ_DOUBLE_COLS = 6144 }; /* factors of more columns are made in single precision */

/* P (H + damping) P^T = V V^T with V upper triangular and P the order of the columns. Rounding column m at its turn so
 * that it makes up for the errors of the columns before it means: target_m - sum over k < m of error_k * V_km / V_mm.
 * That is the Cholesky factor of the inverse at work, without an inverse. */
struct qs_gptq_factor {
    size_t cols;
    float ridge;     /* that is in H here, and belongs in all else that is decided */
    size_t *order;   /* column of the matrix at each turn */
    float *ratio;    /* cols * cols by turns: V_km / V_mm for k < m; the rest is not used */
    struct qs_gptq_block *block; /* of the columns as they stand, QS_GPTQ_BLOCK at a time: gptq_search.c's */
    double *pivot;   /* V_mm squared, by turns: what an error counts when all later columns make up for it */
};

/* The next n bytes of a room in `memory` (NULL: only counts them), of which *used are given away. */
static inline void *qs_gptq_part(char *memory, size_t *used, size_t n)
{
    char *p = memory ? memory + *used : NULL;
    *used += (n + 63) / 64 * 64;
    return p;
}

size_t qs_gptq_factor_room(size_t cols); /* bytes needed while it is made, besides itself */

void qs_rounder_init(struct qs_rounder *r, const float *level, int n);

/* Rows of a grid as numbers. Codes are in the order of the weights. */
struct qs_strip {
    size_t rows, cols, sub;
    float ridge;           /* added to diag(H) wherever errors are weighed */
    const struct qs_rounder *round;
    const float *target;   /* rows * cols */
    float *scale, *offset; /* rows * (cols / sub) */
    uint8_t *code;         /* rows * cols */
    float *diff;           /* rows * cols: value - target */
    float *push;           /* rows * cols: diff * H (or what rounding has to make up for) */
    float *step;           /* rows * QS_GPTQ_BLOCK: changes within a block */
    float *block;          /* QS_GPTQ_BLOCK squared: the part of H that belongs to a block */
    float diagonal[QS_GPTQ_BLOCK]; /* of it */
};

/* What a row's differences cost: with the ridge, by which all is decided; under H alone, which is told. */
struct qs_row_error { double decides, told; };

/* diff from codes. Then push = diff * (H + ridge), and errors of the rows (may be NULL). */
void qs_strip_diff(struct qs_strip *s);
int qs_strip_error(struct qs_strip *s, const struct qs_hessian *h, struct qs_row_error *error, struct qs_err *e);
/* Copies H's block at column `at` (of *width columns, the rest zero). */
void qs_strip_load(struct qs_strip *s, const struct qs_hessian *h, size_t at, size_t width);
/* push += step * H's rows of the block, for all columns outside of it. */
int qs_strip_spread(struct qs_strip *s, const struct qs_hessian *h, size_t at, size_t width, struct qs_err *e);

/* GPTQ: fills code and diff; push is spoilt. */
int qs_strip_gptq(struct qs_strip *s, const struct qs_gptq_factor *f, struct qs_err *e);
/* One sweep of coordinate descent; push is diff * H before and after. *changed: codes (counted up). */
int qs_strip_descend(struct qs_strip *s, const struct qs_hessian *h, uint64_t *changed, struct qs_err *e);
/* One sweep over blocks that are rounded anew in several orders; push is diff * H before and after. *changed: codes. */
size_t qs_gptq_blocks_room(size_t cols); /* bytes */
int qs_gptq_blocks_new(const struct qs_hessian *h, double damp, struct qs_gptq_block **out, struct qs_err *e);
int qs_strip_search(struct qs_strip *s, const struct qs_gptq_factor *f, const struct qs_hessian *h, uint64_t *changed,
                    struct qs_err *e);
/* One sweep over the stored scales and offsets, with codes that follow them. *changed: super-blocks (counted
 * up). grid: of the rows. */
int qs_strip_refit(struct qs_strip *s, const struct qs_lattice *l, void *grid, const struct qs_hessian *h,
                   uint64_t *changed, struct qs_err *e);

#endif
