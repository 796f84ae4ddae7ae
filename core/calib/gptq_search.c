/* gptq_search.c - a way out of the minima that descent ends in: GPTQ within one block, in several orders of its
 * columns.
 *
 * With all other columns as they are, the columns of a block are rounded anew towards the best values that a block of
 * real numbers would have, each making up for those before it, and descend; the best of all orders is taken where it
 * is better than what there was. Factors of blocks belong to the factor of the Hessian. Owns no other memory.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq_descent.h"
#include "kernels/blas.h"

enum { BLOCK = QS_GPTQ_BLOCK, WAYS = 8 };

struct way { uint16_t order[BLOCK]; float ratio[BLOCK * BLOCK]; };
struct qs_gptq_block { size_t width; float inverse[BLOCK * BLOCK]; struct way way[WAYS]; };

struct key { double h; uint16_t at; };

static int by_falling_key(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->h != y->h)
        return x->h > y->h ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

/* By falling diag(H); from the second way on, as it looks through a glass that blurs it by a factor of up to 2.7. */
static void order_block(const double *a, size_t n, unsigned way, uint16_t *order)
{
    struct key key[BLOCK];
    uint64_t seed = way;
    for (size_t k = 0; k < n; k++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double blur = way ? (double)(seed >> 11) / (double)(1ull << 52) - 1 : 0;
        key[k] = (struct key){ a[k * (n + 1)] * exp(blur), (uint16_t)k };
    }
    qsort(key, n, sizeof *key, by_falling_key);
    for (size_t k = 0; k < n; k++)
        order[k] = key[k].at;
}

/* V of P A P^T = V V^T over its diagonal, as in gptq_factor.c. room: n * n. */
static int make_way(const double *a, size_t n, double *room, struct way *w, struct qs_err *e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++)
            room[i * n + k] = a[w->order[n - 1 - i] * n + w->order[n - 1 - k]];
    int rc = qs_blas_cholesky(n, room, n, NULL, e);
    memset(w->ratio, 0, sizeof w->ratio);
    for (size_t k = 0; rc == QS_OK && k < n; k++)
        for (size_t m = k + 1; m < n; m++)
            w->ratio[k * BLOCK + m] = (float)(room[(n - 1 - k) * n + n - 1 - m] / room[(n - 1 - m) * (n + 1)]);
    return rc;
}

static int make_inverse(double *a, size_t n, double *room, float *inverse, struct qs_err *e)
{
    memset(room, 0, n * n * sizeof *room);
    memset(inverse, 0, BLOCK * BLOCK * sizeof *inverse);
    for (size_t i = 0; i < n; i++)
        room[i * (n + 1)] = 1;
    int rc = qs_blas_cholesky(n, a, n, NULL, e);
    if (rc == QS_OK)
        rc = qs_blas_solve(n, n, a, n, false, room, n, e);
    if (rc == QS_OK)
        rc = qs_blas_solve(n, n, a, n, true, room, n, e);
    for (size_t i = 0; rc == QS_OK && i < n; i++)
        for (size_t k = 0; k < n; k++)
            inverse[i * BLOCK + k] = (float)room[i * n + k];
    return rc;
}

size_t qs_gptq_blocks_room(size_t cols) { return (cols + BLOCK - 1) / BLOCK * sizeof(struct qs_gptq_block); }

int qs_gptq_blocks_new(const struct qs_hessian *h, double damp, struct qs_gptq_block **out, struct qs_err *e)
{
    const size_t n = h->cols, count = (n + BLOCK - 1) / BLOCK;
    struct qs_gptq_block *b = qs_malloc(count * sizeof *b);
    double *a = qs_malloc(2 * BLOCK * BLOCK * sizeof *a), *room = a ? a + BLOCK * BLOCK : NULL;
    int rc = b && a ? QS_OK : qs_fail_mem(e, count * sizeof *b, "the factors of blocks of a Hessian");
    for (size_t i = 0; rc == QS_OK && i < count; i++) {
        const size_t at = i * BLOCK, width = n - at < BLOCK ? n - at : BLOCK;
        b[i].width = width;
        for (size_t k = 0; k < width * width; k++)
            a[k] = (double)h->h[(at + k / width) * n + at + k % width] + (k % (width + 1) == 0 ? damp : 0);
        for (unsigned way = 0; rc == QS_OK && way < WAYS; way++) {
            order_block(a, width, way, b[i].way[way].order);
            rc = make_way(a, width, room, &b[i].way[way], e);
        }
        if (rc == QS_OK)
            rc = make_inverse(a, width, room, b[i].inverse, e);
    }
    qs_free(a);
    if (rc)
        qs_free(b);
    *out = rc ? NULL : b;
    return rc;
}

/* ---- the search */

struct candidate {
    float push[BLOCK], step[BLOCK];
    uint8_t code[BLOCK];
};

/* The block of a row rounded anew: codes and steps from the present values. best: the real numbers' steps. */
static void round_anew(const struct qs_strip *s, const struct qs_block_row *b, const struct way *w, const float *best,
                       struct candidate *c)
{
    const struct qs_code_ops *ops = &qs_row_ops()->codes;
    float ask[BLOCK] = { 0 };
    memcpy(c->push, b->push, sizeof c->push);
    memset(c->step, 0, sizeof c->step);
    for (size_t m = 0; m < b->width; m++) {
        const size_t k = w->order[m];
        const float scale = b->scale[k / s->sub], offset = b->offset[k / s->sub];
        const float now = offset + scale * s->round->level[b->code[k]];
        c->code[k] = b->code[k];
        if (scale != 0)
            c->code[k] = qs_rounder_code(s->round, (now + best[k] - ask[m] - offset) / scale);
        c->step[k] = offset + scale * s->round->level[c->code[k]] - now;
        const size_t from = m / 16 * 16;
        const float error = c->step[k] - best[k];
        ops->combine(ask + from, w->ratio + m * BLOCK + from, BLOCK, &error, 1, BLOCK - from);
    }
    ops->combine(c->push, s->block, BLOCK, c->step, b->width, BLOCK);
}

/* How the error of the row changes with the candidate, which descends first. */
static double settle(const struct qs_strip *s, const struct qs_block_row *b, struct candidate *c)
{
    struct qs_block_row row = *b;
    double gain = 0;
    row.code = c->code;
    row.push = c->push;
    row.step = c->step;
    qs_descend_block(s, &row);
    for (size_t k = 0; k < b->width; k++)
        gain += (double)c->step[k] * ((double)b->push[k] + (double)c->push[k]);
    return gain;
}

static unsigned install(const struct qs_block_row *b, const struct candidate *c)
{
    unsigned moved = 0;
    for (size_t k = 0; k < b->width; k++) {
        moved += b->code[k] != c->code[k];
        b->step[k] += c->step[k];
    }
    memcpy(b->code, c->code, b->width);
    memcpy(b->push, c->push, sizeof c->push);
    return moved;
}

static unsigned search_row(struct qs_strip *s, const struct qs_block_row *b, void *ctx)
{
    const struct qs_gptq_block *block = (const struct qs_gptq_block *)ctx + b->at / BLOCK;
    float best[BLOCK] = { 0 }, pull[BLOCK];
    struct candidate c[2];
    int kept = -1;
    double gain = 0;
    for (size_t k = 0; k < b->width; k++)
        pull[k] = -b->push[k];
    qs_row_ops()->codes.combine(best, block->inverse, BLOCK, pull, b->width, BLOCK);
    for (size_t k = 0; k < b->width; k++) /* what is lost in rounding is no gain */
        gain -= 1e-6 * fabs((double)best[k] * (double)b->push[k]);
    for (unsigned way = 0; way < WAYS; way++) {
        struct candidate *t = &c[kept == 0];
        round_anew(s, b, &block->way[way], best, t);
        const double now = settle(s, b, t);
        if (now < gain) {
            gain = now;
            kept = kept == 0;
        }
    }
    return kept < 0 ? 0 : install(b, &c[kept]);
}

int qs_strip_search(struct qs_strip *s, const struct qs_gptq_factor *f, const struct qs_hessian *h, uint64_t *changed,
                    struct qs_err *e)
{
    return qs_strip_blocks(s, h, search_row, f->block, changed, e);
}
