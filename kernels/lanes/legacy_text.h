/* legacy_text.h - `fit` of Q4_0, Q4_1, Q5_0, Q5_1 with importance, one block per lane: common text, compiled once per
 * level (legacy.c of its folder, after its vec.h).
 *
 * The searches are those of search.h, in the order of operations of kernels/ref/legacy.c, so the results are the same
 * bits. Blocks in which a lane left the ground that search.h covers are done again by the plain code. Without
 * importance these formats have little to search and stay plain.
 *
 * Works through batches of 2 * LANES blocks, across rows; a short last batch is filled up with its last member. Owns
 * nothing, allocates nothing (about 20 KiB of stack), thread-safe.
 */
#include <string.h>

#include "kernels/lanes/search.h"
#include "kernels/ref/blockwise.h"
#include "kernels/ref/legacy.h"

enum { BLOCK = 32, BATCH = 2 * LANES };

struct batch {
    int n;                     /* blocks that count; the arrays are always full */
    const float *x[BATCH], *w[BATCH];
    float mean_square[BATCH];  /* of the row that the block is in */
    uint16_t *grid[BATCH];     /* scale and minimum, float16 */
    uint8_t *codes[BATCH];
};
typedef void fit_batch_fn(const struct batch *b, int top);

/* ---- what both searches share */

static float row_mean_square(const float *x, size_t cols)
{
    float sum = 0;
    for (size_t i = 0; i < cols; i++)
        sum += x[i] * x[i];
    return sum / (float)cols;
}

static void finish(struct batch *b, fit_batch_fn *fit, int top)
{
    for (int i = b->n; i < BATCH; i++) {
        b->x[i] = b->x[b->n - 1];
        b->w[i] = b->w[b->n - 1];
        b->mean_square[i] = b->mean_square[b->n - 1];
    }
    fit(b, top);
    b->n = 0;
}

/* Grids of the four formats are two float16, codes a byte per weight. */
static void fit_rows(const struct qs_rows *in, void *grid, void *codes, fit_batch_fn *fit, int top)
{
    struct batch b = {.n = 0};
    uint16_t *g = grid;
    uint8_t *c = codes;
    for (size_t row = 0; row < in->rows; row++) {
        const float *x = in->x + row * in->stride, mean_square = row_mean_square(x, in->cols);
        for (size_t col = 0; col + BLOCK <= in->cols; col += BLOCK, g += 2, c += BLOCK) {
            b.x[b.n] = x + col;
            b.w[b.n] = in->weight + col;
            b.mean_square[b.n] = mean_square;
            b.grid[b.n] = g;
            b.codes[b.n] = c;
            if (++b.n == BATCH)
                finish(&b, fit, top);
        }
    }
    if (b.n)
        finish(&b, fit, top);
}

/* Weights and their importances w * sqrt(mean square + x^2) of LANES blocks, transposed. */
static void load_set(const struct batch *b, int set, vf *x, vf *w)
{
    const vf mean_square = v_load(b->mean_square + set * LANES);
    for (size_t i = 0; i < BLOCK; i += LANES) {
        v_transpose(b->x + set * LANES, i, x + i);
        v_transpose(b->w + set * LANES, i, w + i);
    }
    for (int i = 0; i < BLOCK; i++)
        w[i] = v_mul(w[i], v_sqrt(v_add(mean_square, v_mul(x[i], x[i]))));
}

/* code = clamp(round(inv * (x - low)), lo, hi) - lo */
static void store_codes(const float *x, float inv, float low, int lo, int hi, uint8_t *code)
{
    const vf v = v_all(inv), m = v_all(low);
    const vi least = i_all(lo), most = i_all(hi);
    for (int k = 0; k < BLOCK; k += LANES) {
        vi q = v_nearest_any(v_mul(v, v_sub(v_load(x + k), m)));
        i_store_bytes(code + k, i_sub(i_max(i_min(q, most), least), least));
    }
}

static void store_grid(uint16_t *grid, float d, float m)
{
    grid[0] = qs_f16_scale(d);
    grid[1] = qs_f16_scale(m);
}

/* ---- Q4_1, Q5_1 */

static void fit_affine(const struct batch *b, int top)
{
    const struct qs_affine_search how = QS_LEGACY_SEARCH(top);
    vf x[2][BLOCK], w[2][BLOCK], code[2][BLOCK];
    struct qs_lanes_affine r[2];
    for (int set = 0; set < 2; set++) {
        load_set(b, set, x[set], w[set]);
        r[set] = (struct qs_lanes_affine){.x = x[set], .w = w[set], .code = code[set]};
    }
    QS_LANES(affine)(&how, BLOCK, &r[0], &r[1]);
    for (int i = 0; i < b->n; i++) {
        const struct qs_lanes_affine *s = &r[i / LANES];
        const int lane = i % LANES;
        float scale[LANES], min[LANES], inv[LANES], low[LANES];
        if (s->suspect >> lane & 1) {
            float m, d = qs_legacy_affine(b->x[i], b->w[i], b->mean_square[i], top, b->codes[i], &m);
            store_grid(b->grid[i], d, m);
            continue;
        }
        v_store(scale, s->scale);
        v_store(min, s->min);
        v_store(inv, s->inv);
        v_store(low, s->low);
        store_grid(b->grid[i], scale[lane], -min[lane]);
        if (s->flat >> lane & 1)
            memset(b->codes[i], 0, BLOCK);
        else
            store_codes(b->x[i], inv[lane], low[lane], 0, top, b->codes[i]);
    }
}

/* ---- Q4_0, Q5_0 */

static void fit_symmetric(const struct batch *b, int half)
{
    for (int set = 0; set * LANES < b->n; set++) {
        vf x[BLOCK], w[BLOCK];
        struct qs_lanes_symmetric s = {.x = x, .w = w};
        float scale[LANES], inv[LANES];
        load_set(b, set, x, w);
        QS_LANES(symmetric)(BLOCK, half, &s);
        v_store(scale, s.scale);
        v_store(inv, s.inv);
        for (int i = set * LANES; i < b->n && i < (set + 1) * LANES; i++) {
            const int lane = i % LANES;
            if (s.suspect >> lane & 1) {
                float d = qs_legacy_symmetric(b->x[i], b->w[i], b->mean_square[i], half, b->codes[i]);
                store_grid(b->grid[i], d, 0);
                continue;
            }
            store_grid(b->grid[i], scale[lane], 0);
            if (s.zero >> lane & 1)
                memset(b->codes[i], 0, BLOCK);
            else
                store_codes(b->x[i], inv[lane], 0, -half, half - 1, b->codes[i]);
        }
    }
}

#define WEIGHTED(name, search, top)                                                                                    \
    void QS_LEVEL(name##_fit)(const struct qs_rows *in, void *grid, void *codes)                                       \
    {                                                                                                                  \
        if (in->weight)                                                                                                \
            fit_rows(in, grid, codes, search, top);                                                                    \
        else                                                                                                           \
            qs_ref_##name##_fit(in, grid, codes);                                                                      \
    }

WEIGHTED(q4_0, fit_symmetric, 8)
WEIGHTED(q5_0, fit_symmetric, 16)
WEIGHTED(q4_1, fit_affine, 15)
WEIGHTED(q5_1, fit_affine, 31)

