/* gptq_descent.h - sweeps over blocks of columns, row by row: for codes (gptq_descent.c) and grids (gptq_refit.c). */
#ifndef QS_CALIB_GPTQ_DESCENT_H
#define QS_CALIB_GPTQ_DESCENT_H

#include "core/calib/gptq_internal.h"

/* One row of a block. H of the block is strip->block. Who changes values adds the change to step and what it means to
 * push (QS_GPTQ_BLOCK floats; those beyond width are zero). */
struct qs_block_row {
    size_t row, at, width;
    uint8_t *code;
    float *scale, *offset; /* of the block's sub-blocks */
    float *push, *step;
};
typedef unsigned qs_block_fn(struct qs_strip *s, const struct qs_block_row *b, void *ctx); /* how much it changed */

/* Calls fn for every row of every block and keeps diff and push of all columns true. */
int qs_strip_blocks(struct qs_strip *s, const struct qs_hessian *h, qs_block_fn *fn, void *ctx, uint64_t *changed,
                    struct qs_err *e);
/* Coordinate descent within one block, a few passes; returns how often a code moved. */
unsigned qs_descend_block(const struct qs_strip *s, const struct qs_block_row *b);

#endif
