/* gptq_descent.c - coordinate descent of codes on a fixed grid, block by block.
 *
 * A code moves only when that lowers the error of its row. Within a block all is settled before the other columns hear
 * of it. Owns no memory.
 */
#include <string.h>

#include "core/calib/gptq_descent.h"
#include "kernels/blas.h"

enum { BLOCK = QS_GPTQ_BLOCK, PASSES = 4 };

/* Moves weight k where that lowers the error. */
static bool move(const struct qs_strip *s, const struct qs_block_row *b, size_t k, float *level)
{
    const float h = s->diagonal[k], scale = b->scale[k / s->sub], offset = b->offset[k / s->sub];
    const float now = offset + scale * *level;
    const uint8_t code = qs_rounder_code(s->round, (now - b->push[k] / h - offset) / scale);
    const float step = offset + scale * s->round->level[code] - now;
    if (!((double)step * (2.0 * (double)b->push[k] + (double)step * (double)h) < 0))
        return false;
    b->code[k] = code;
    *level = s->round->level[code];
    b->step[k] += step;
    qs_row_ops()->codes.combine(b->push, s->block + k * BLOCK, BLOCK, &step, 1, BLOCK);
    return true;
}

unsigned qs_descend_block(const struct qs_strip *s, const struct qs_block_row *b)
{
    const struct qs_code_ops *ops = &qs_row_ops()->codes;
    float level[BLOCK];
    const struct qs_code_row r = { s->round, b->width, s->sub, b->scale, b->offset, level, b->push, s->diagonal };
    unsigned moved = 0;
    for (size_t k = 0; k < b->width; k++)
        level[k] = s->round->level[b->code[k]];
    for (unsigned pass = 0, last = 1; pass < PASSES && last; pass++) {
        last = 0;
        for (size_t k = ops->mover(&r, 0); k < b->width; k = ops->mover(&r, k + 1))
            last += move(s, b, k, &level[k]);
        moved += last;
    }
    return moved;
}

/* Few steps: row by row; many: one product. Which of them is a matter of the numbers alone. */
static int spread_steps(struct qs_strip *s, const struct qs_hessian *h, size_t at, size_t width, struct qs_err *e)
{
    const struct qs_code_ops *ops = &qs_row_ops()->codes;
    const size_t n = s->cols;
    size_t count = 0;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t k = 0; k < width; k++)
            count += s->step[r * BLOCK + k] != 0;
    if (count * 8 > s->rows * width || n % 16 != 0 || at % 16 != 0 || width % 16 != 0)
        return qs_strip_spread(s, h, at, width, e);
    for (size_t r = 0; count > 0 && r < s->rows; r++) {
        float *push = s->push + r * n;
        for (size_t k = 0; k < width; k++) {
            const float step = s->step[r * BLOCK + k], *row = h->h + (at + k) * n;
            if (step == 0)
                continue;
            ops->combine(push, row, n, &step, 1, at);
            ops->combine(push + at + width, row + at + width, n, &step, 1, n - at - width);
        }
    }
    return QS_OK;
}

int qs_strip_blocks(struct qs_strip *s, const struct qs_hessian *h, qs_block_fn *fn, void *ctx, uint64_t *changed,
                    struct qs_err *e)
{
    const size_t n = s->cols, subs = n / s->sub;
    float push[BLOCK];
    int rc = QS_OK;
    for (size_t at = 0; rc == QS_OK && at < n; at += BLOCK) {
        const size_t width = n - at < BLOCK ? n - at : BLOCK;
        uint64_t moved = 0;
        qs_strip_load(s, h, at, width);
        memset(s->step, 0, s->rows * BLOCK * sizeof *s->step);
        memset(push, 0, sizeof push);
        for (size_t r = 0; r < s->rows; r++) {
            struct qs_block_row b = { .row = r, .at = at, .width = width, .push = push, .step = s->step + r * BLOCK };
            b.code = s->code + r * n + at;
            b.scale = s->scale + r * subs + at / s->sub;
            b.offset = s->offset + r * subs + at / s->sub;
            memcpy(push, s->push + r * n + at, width * sizeof *push);
            const unsigned m = fn(s, &b, ctx);
            moved += m;
            for (size_t k = 0; m > 0 && k < width; k++)
                s->diff[r * n + at + k] = b.offset[k / s->sub] + b.scale[k / s->sub] * s->round->level[b.code[k]] -
                                          s->target[r * n + at + k];
            memcpy(s->push + r * n + at, push, width * sizeof *push);
        }
        *changed += moved;
        if (moved > 0)
            rc = spread_steps(s, h, at, width, e);
    }
    return rc;
}

static unsigned descend(struct qs_strip *s, const struct qs_block_row *b, void *ctx)
{
    (void)ctx;
    return qs_descend_block(s, b);
}

int qs_strip_descend(struct qs_strip *s, const struct qs_hessian *h, uint64_t *changed, struct qs_err *e)
{
    return qs_strip_blocks(s, h, descend, NULL, changed, e);
}
