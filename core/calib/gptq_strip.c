/* gptq_strip.c - strips of rows: rounding to levels, differences and their errors under H, and GPTQ itself.
 *
 * Owns no memory. Inner loops run over QS_GPTQ_LANES rows at once, so that the compiler has loops of a known length.
 */
#include <math.h>
#include <string.h>

#include "core/calib/gptq_internal.h"
#include "kernels/blas.h"

enum { LANES = QS_GPTQ_LANES, TURNS = 128 /* columns of GPTQ between two updates of all later ones */ };

void qs_rounder_init(struct qs_rounder *r, const float *level, int n)
{
    *r = (struct qs_rounder){ .level = level, .n = n, .line = true };
    for (int i = 1; i < n; i++)
        r->line = r->line && level[i] == level[0] + (float)i;
    if (r->line)
        return;
    int count = 0;
    for (int i = 0; i < n; i++) { /* sorted, the first of equals kept */
        int at = count;
        bool twice = false;
        for (int k = 0; k < count; k++)
            twice = twice || level[r->place[k]] == level[i];
        if (twice)
            continue;
        for (; at > 0 && level[r->place[at - 1]] > level[i]; at--)
            r->place[at] = r->place[at - 1];
        r->place[at] = (uint8_t)i;
        count++;
    }
    r->cuts = count - 1;
    for (int i = 0; i < count; i++)
        r->sorted[i] = level[r->place[i]];
    for (int i = 0; i < r->cuts; i++)
        r->cut[i] = (level[r->place[i]] + level[r->place[i + 1]]) / 2;
}

void qs_strip_diff(struct qs_strip *s)
{
    const size_t subs = s->cols / s->sub;
    for (size_t i = 0; i < s->rows * subs; i++) {
        const float scale = s->scale[i], offset = s->offset[i];
        const size_t at = i * s->sub;
        for (size_t k = at; k < at + s->sub; k++)
            s->diff[k] = offset + scale * s->round->level[s->code[k]] - s->target[k];
    }
}

int qs_strip_error(struct qs_strip *s, const struct qs_hessian *h, struct qs_row_error *error, struct qs_err *e)
{
    const size_t n = s->cols;
    int rc = qs_blas_gemm_f32(s->rows, n, n, 1, s->diff, n, h->h, n, 0, s->push, n, e);
    for (size_t r = 0; rc == QS_OK && r < s->rows; r++) {
        double row = 0, square = 0;
        for (size_t k = r * n; k < (r + 1) * n; k++) {
            row += (double)s->diff[k] * (double)s->push[k];
            square += (double)s->diff[k] * (double)s->diff[k];
            s->push[k] += s->ridge * s->diff[k];
        }
        if (error)
            error[r] = (struct qs_row_error){ row + (double)s->ridge * square, row };
    }
    return rc;
}

void qs_strip_load(struct qs_strip *s, const struct qs_hessian *h, size_t at, size_t width)
{
    for (size_t i = 0; i < QS_GPTQ_BLOCK; i++) {
        float *to = s->block + i * QS_GPTQ_BLOCK;
        const size_t have = i < width ? width : 0;
        memcpy(to, h->h + (at + (have ? i : 0)) * h->cols + at, have * sizeof *to);
        memset(to + have, 0, (QS_GPTQ_BLOCK - have) * sizeof *to);
        if (have)
            to[i] += s->ridge;
        s->diagonal[i] = to[i];
    }
}

int qs_strip_spread(struct qs_strip *s, const struct qs_hessian *h, size_t at, size_t width, struct qs_err *e)
{
    const size_t n = s->cols, end = at + width;
    const float *rows = h->h + at * n;
    int rc = QS_OK;
    if (at > 0)
        rc = qs_blas_gemm_f32(s->rows, at, width, 1, s->step, QS_GPTQ_BLOCK, rows, n, 1, s->push, n, e);
    if (rc == QS_OK && end < n)
        rc = qs_blas_gemm_f32(s->rows, n - end, width, 1, s->step, QS_GPTQ_BLOCK, rows + end, n, 1, s->push + end, n,
                              e);
    return rc;
}

/* ---- GPTQ: push collects, by turns, what the errors made so far ask of the columns to come */

struct turns {
    struct qs_strip *s;
    const struct qs_gptq_factor *f;
    size_t begin, end;     /* turns of this block */
    size_t row, lanes;     /* rows of this group */
    float ask[TURNS][LANES];
};

/* One column of the group's rows: codes, and errors into error[]. */
static void round_column(struct turns *t, size_t turn, float *restrict error)
{
    struct qs_strip *s = t->s;
    const size_t col = t->f->order[turn], subs = s->cols / s->sub, sub = col / s->sub;
    const float *ask = t->ask[turn - t->begin];
    for (size_t i = 0; i < LANES; i++) {
        if (i >= t->lanes) {
            error[i] = 0;
            continue;
        }
        const size_t row = t->row + i, at = row * s->cols + col;
        const float scale = s->scale[row * subs + sub], offset = s->offset[row * subs + sub];
        if (scale != 0)
            s->code[at] = qs_rounder_code(s->round, (s->target[at] - ask[i] - offset) / scale);
        error[i] = offset + scale * s->round->level[s->code[at]] - s->target[at];
        s->diff[at] = error[i];
        s->step[row * QS_GPTQ_BLOCK + (turn - t->begin)] = error[i];
    }
}

static void round_group(struct turns *t)
{
    const size_t n = t->s->cols;
    for (size_t k = t->begin; k < t->end; k++)
        for (size_t i = 0; i < LANES; i++)
            t->ask[k - t->begin][i] = i < t->lanes ? t->s->push[(t->row + i) * n + k] : 0;
    for (size_t k = t->begin; k < t->end; k++) {
        float error[LANES];
        round_column(t, k, error);
        qs_row_ops()->codes.feed(t->ask + (k + 1 - t->begin), error, t->f->ratio + k * n + k + 1, t->end - k - 1);
    }
}

int qs_strip_gptq(struct qs_strip *s, const struct qs_gptq_factor *f, struct qs_err *e)
{
    const size_t n = s->cols;
    struct turns t = { .s = s, .f = f };
    int rc = QS_OK;
    memset(s->push, 0, s->rows * n * sizeof *s->push);
    for (t.begin = 0; rc == QS_OK && t.begin < n; t.begin = t.end) {
        t.end = n - t.begin < TURNS ? n : t.begin + TURNS;
        for (t.row = 0; t.row < s->rows; t.row += LANES) {
            t.lanes = s->rows - t.row < LANES ? s->rows - t.row : LANES;
            round_group(&t);
        }
        if (t.end < n)
            rc = qs_blas_gemm_f32(s->rows, n - t.end, t.end - t.begin, 1, s->step, QS_GPTQ_BLOCK,
                                  f->ratio + t.begin * n + t.end, n, 1, s->push + t.end, n, e);
    }
    return rc;
}
