/* cpu_tap.c - statistics of activations: sums of squares, Gram matrices, rows, finite or not.
 *
 * Threads share columns (sums) or rows of the matrix, so that every element is added to in the order of the tokens.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu_device.h"

enum { COLUMNS = 256 }; /* of one item */

static void squares(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ctx;
    const size_t cols = op->u.tap.cols, to = end * COLUMNS < cols ? end * COLUMNS : cols;
    double *sum = op->u.tap.tap->sum;
    (void)thread;
    for (size_t t = 0; t < op->n; t++) {
        const float *x = qs_cpu_row(&op->u.tap.in, t);
        for (size_t k = begin * COLUMNS; k < to; k++)
            sum[k] += (double)x[k] * (double)x[k];
    }
}

/* Rows i and cols - 1 - i of the triangle together: items cost the same. */
static void gram(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ctx;
    const size_t cols = op->u.tap.cols;
    const struct qs_view *in = &op->u.tap.in;
    (void)thread;
    for (size_t k = begin; k < end; k++)
        for (int side = 0; side < (2 * k + 1 == cols ? 1 : 2); side++) {
            const size_t i = side ? cols - 1 - k : k;
            qs_row_ops()->gram(qs_cpu_row(in, 0), in->stride, op->n, i, cols, op->u.tap.tap->gram + i * cols);
        }
}

static void keep(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct qs_op *op = ctx;
    const struct qs_tap *tap = op->u.tap.tap;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        memcpy(tap->rows + (tap->n_rows + t) * tap->cols, qs_cpu_row(&op->u.tap.in, t), tap->cols * sizeof(float));
}

static void keep_rows(const struct qs_cpu *c, const struct qs_op *op)
{
    struct qs_tap *tap = op->u.tap.tap;
    const size_t room = tap->max_rows - tap->n_rows, n = op->n < room ? op->n : room;
    qs_cpu_run(c, n, 8, (double)n * (double)tap->cols, keep, (void *)op);
    tap->n_rows += n;
}

static void count_nonfinite(const struct qs_op *op)
{
    struct qs_tap *tap = op->u.tap.tap;
    for (size_t t = 0; t < op->n; t++) {
        const float *x = qs_cpu_row(&op->u.tap.in, t);
        uint64_t found = 0;
        for (size_t k = 0; k < tap->cols; k++)
            found += !isfinite(x[k]);
        if (found > 0 && tap->nonfinite == 0)
            tap->first = tap->count + t;
        tap->nonfinite += found;
    }
}

void qs_cpu_tap(const struct qs_cpu *c, const struct qs_op *op)
{
    struct qs_tap *tap = op->u.tap.tap;
    const double cols = (double)tap->cols, n = (double)op->n;
    switch (tap->kind) {
    case QS_TAP_SUMSQ: qs_cpu_run(c, (tap->cols + COLUMNS - 1) / COLUMNS, 1, cols * n, squares, (void *)op); break;
    case QS_TAP_GRAM: qs_cpu_run(c, (tap->cols + 1) / 2, 1, cols * cols * n, gram, (void *)op); break;
    case QS_TAP_ROWS: keep_rows(c, op); break;
    case QS_TAP_FINITE: count_nonfinite(op); break;
    case QS_TAP_ROUTES: break; /* refused when it is recorded: cpu_experts.c fills them */
    }
    tap->count += op->n;
}
