/* calibrate_judge.c - how far the outputs of encoded rows are from the original's, on held-out rows of both models.
 *
 * || W0 X0 + lost - W^ X || against || W0 X0 ||: what really arrives is multiplied by what was really made. In blocks
 * of fixed size, one thread each, sums added in order: the same bits for any thread count on one machine.
 */
#include <string.h>

#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "kernels/blas.h"

#define BLOCK 64 /* rows of a matrix at a time */

struct judging {
    const struct qs_calib_look *k;
    const struct qs_calib_slice *s;
    const struct qs_format *format;
    const float *w;
    size_t rows, cols, n_tries;
    const struct qs_calib_try *t;
    float *room;          /* of each thread: rows decoded, outputs wanted, outputs made */
    size_t per_thread;
    double *sum;          /* per block: norm, then the tries */
    int rc;
};

static double squares(const float *a, const float *b, size_t n)
{
    double lane[4] = { 0 };
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (b ? (double)b[i] : 0);
        lane[i % 4] += d * d;
    }
    return lane[0] + lane[1] + lane[2] + lane[3];
}

static int judge_block(const struct judging *j, size_t block, float *room)
{
    const size_t at = block * BLOCK, n = j->s->n_held, cols = j->cols,
                 rows = j->rows - at < BLOCK ? j->rows - at : BLOCK;
    float *made = room, *want = made + BLOCK * cols, *got = want + BLOCK * n;
    double *sum = j->sum + block * (1 + j->n_tries);
    int rc = qs_blas_gemm_f32(rows, n, cols, 1, j->w + at * cols, cols, j->s->x0, n, 0, want, n, NULL);
    sum[0] = squares(want, NULL, rows * n);
    for (size_t i = 0; j->s->lost && i < rows * n; i++)
        want[i] += j->s->lost[at * n + i];
    for (size_t t = 0; !rc && t < j->n_tries; t++) {
        if (!j->t[t].bytes)
            continue;
        const struct qs_const_parts from = { .p = { j->t[t].bytes + at * qs_format_row_bytes(j->format, cols) } };
        qs_format_ops(j->format->id)->decode(&from, rows, cols, made, cols);
        rc = qs_blas_gemm_f32(rows, n, cols, 1, made, cols, j->s->x, n, 0, got, n, NULL);
        sum[1 + t] = squares(want, got, rows * n);
    }
    return rc;
}

static void judge_blocks(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct judging *j = ctx;
    for (size_t i = begin; i < end; i++)
        if (judge_block(j, i, j->room + thread * j->per_thread))
            j->rc = QS_ELIMIT; /* all threads would say the same */
}

int qs_calib_judge(const struct qs_calib_look *k, const struct qs_calib_slice *s, int type, const float *w, size_t rows,
                   struct qs_calib_try *t, size_t n, double *norm, struct qs_err *e)
{
    const size_t cols = k->input->cols, blocks = (rows + BLOCK - 1) / BLOCK;
    const unsigned threads = qs_pool_threads(k->c->args.pool);
    struct judging j = { .k = k,
                         .s = s,
                         .format = qs_format_by_id(type),
                         .w = w,
                         .rows = rows,
                         .cols = cols,
                         .n_tries = n,
                         .t = t,
                         .per_thread = BLOCK * (cols + 2 * s->n_held) };
    if (s->n_held < QS_HELD_LEAST)
        return QS_OK;
    j.room = qs_malloc(threads * j.per_thread * sizeof *j.room);
    j.sum = qs_calloc(blocks * (1 + n), sizeof *j.sum);
    int rc = j.room && j.sum ? QS_OK : qs_fail_mem(e, threads * j.per_thread * sizeof *j.room, "judging a matrix");
    if (!rc)
        qs_pool_run(k->c->args.pool, k->c->args.prio, blocks, 1, judge_blocks, &j);
    if (!rc && j.rc)
        rc = qs_fail(e, j.rc, "a matrix of %zu columns is too large for the algebra library", cols);
    for (size_t b = 0; !rc && b < blocks; b++) {
        *norm += j.sum[b * (1 + n)];
        for (size_t i = 0; i < n; i++)
            t[i].lost += j.sum[b * (1 + n) + 1 + i];
    }
    qs_free(j.room);
    qs_free(j.sum);
    return rc;
}
