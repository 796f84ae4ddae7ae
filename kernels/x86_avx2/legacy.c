/* legacy.c - `fit` of Q4_0, Q4_1, Q5_0, Q5_1 with importance (one block per lane), and of Q8_0 (AVX2).
 *
 * The searches are those of lanes.h, in the order of operations of kernels/ref/legacy.c, so the results are the same
 * bits. Blocks in which a lane left the ground that lanes.h covers, and Q8_0 blocks that are not finite or nearly zero,
 * are done again by the plain code. Without importance the four searching formats have little to do and stay plain.
 *
 * Works through batches of sixteen blocks, across rows; a short last batch is filled up with its last member. Owns
 * nothing, allocates nothing (about 10 KiB of stack), thread-safe.
 */
#include <math.h>
#include <stdalign.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/legacy.h"
#include "kernels/x86_avx2/lanes.h"
#include "kernels/x86_avx2/legacy.h"

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

/* Weights and their importances w * sqrt(mean square + x^2) of eight blocks, transposed. */
static void load_set(const struct batch *b, int set, __m256 *x, __m256 *w)
{
    const __m256 mean_square = _mm256_loadu_ps(b->mean_square + set * LANES);
    for (size_t i = 0; i < BLOCK; i += LANES) {
        qs_lanes_transpose(b->x + set * LANES, i, x + i);
        qs_lanes_transpose(b->w + set * LANES, i, w + i);
    }
    for (int i = 0; i < BLOCK; i++)
        w[i] = _mm256_mul_ps(w[i], _mm256_sqrt_ps(_mm256_add_ps(mean_square, _mm256_mul_ps(x[i], x[i]))));
}

/* code = clamp(round(inv * (x - low)), lo, hi) - lo */
static void store_codes(const float *x, float inv, float low, int lo, int hi, uint8_t *code)
{
    const __m256 v = _mm256_set1_ps(inv), m = _mm256_set1_ps(low);
    const __m256i least = _mm256_set1_epi32(lo), most = _mm256_set1_epi32(hi);
    for (int k = 0; k < BLOCK; k += LANES) {
        __m256i q = qs_lanes_nearest_any(_mm256_mul_ps(v, _mm256_sub_ps(_mm256_loadu_ps(x + k), m)));
        q = _mm256_sub_epi32(_mm256_max_epi32(_mm256_min_epi32(q, most), least), least);
        __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        _mm_storel_epi64((__m128i *)(void *)(code + k), _mm_packus_epi16(words, words));
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
    __m256 x[2][BLOCK], w[2][BLOCK], code[2][BLOCK];
    struct qs_lanes_affine r[2];
    for (int set = 0; set < 2; set++) {
        load_set(b, set, x[set], w[set]);
        r[set] = (struct qs_lanes_affine){.x = x[set], .w = w[set], .code = code[set]};
    }
    qs_lanes_affine(&how, BLOCK, &r[0], &r[1]);
    for (int i = 0; i < b->n; i++) {
        const struct qs_lanes_affine *s = &r[i / LANES];
        const int lane = i % LANES;
        alignas(32) float scale[LANES], min[LANES], inv[LANES], low[LANES];
        if (s->suspect >> lane & 1) {
            float m, d = qs_legacy_affine(b->x[i], b->w[i], b->mean_square[i], top, b->codes[i], &m);
            store_grid(b->grid[i], d, m);
            continue;
        }
        _mm256_store_ps(scale, s->scale);
        _mm256_store_ps(min, s->min);
        _mm256_store_ps(inv, s->inv);
        _mm256_store_ps(low, s->low);
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
        __m256 x[BLOCK], w[BLOCK];
        struct qs_lanes_symmetric s = {.x = x, .w = w};
        alignas(32) float scale[LANES], inv[LANES];
        load_set(b, set, x, w);
        qs_lanes_symmetric(BLOCK, half, &s);
        _mm256_store_ps(scale, s.scale);
        _mm256_store_ps(inv, s.inv);
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
    void qs_avx2_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                       \
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

/* ---- Q8_0 */

/* roundf: half away from zero. The fraction is exact. */
static __m256i round_away(__m256 v)
{
    const __m256 sign = _mm256_set1_ps(-0.f), whole = _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __m256 fraction = _mm256_andnot_ps(sign, _mm256_sub_ps(v, whole));
    const __m256 up = _mm256_and_ps(_mm256_cmp_ps(fraction, _mm256_set1_ps(0.5f), _CMP_GE_OQ), _mm256_set1_ps(1));
    return _mm256_cvttps_epi32(_mm256_add_ps(whole, _mm256_or_ps(up, _mm256_and_ps(v, sign))));
}

static void fit_q8_0(const float *x, struct qs_grid_q8_0 *grid, uint8_t *code)
{
    const __m256 sign = _mm256_set1_ps(-0.f);
    __m256 v[4], most = _mm256_setzero_ps();
    alignas(32) float lane[LANES];
    bool ordered = true;
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        ordered = ordered && !_mm256_movemask_ps(_mm256_cmp_ps(v[i], v[i], _CMP_UNORD_Q));
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v[i]));
    }
    _mm256_store_ps(lane, most);
    float amax = lane[0];
    for (int i = 1; i < LANES; i++)
        amax = amax > lane[i] ? amax : lane[i];
    if (!ordered || !(amax > 1e-30f && amax < 3e38f)) { /* rare, or with an inverse that may overflow */
        const struct qs_rows one = {x, 1, BLOCK, BLOCK, NULL};
        qs_ref_q8_0_fit(&one, grid, code);
        return;
    }
    const float d = amax / 127;
    const __m256 id = _mm256_set1_ps(1.0f / d);
    __m256i q[4];
    for (int i = 0; i < 4; i++)
        q[i] = round_away(_mm256_mul_ps(v[i], id));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)code, _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)));
    *grid = (struct qs_grid_q8_0){.d = qs_f16_scale(d)};
}

void qs_avx2_q8_0_fit(const struct qs_rows *in, void *grid, void *codes)
{
    struct qs_grid_q8_0 *g = grid;
    uint8_t *code = codes;
    for (size_t row = 0; row < in->rows; row++)
        for (size_t col = 0; col + BLOCK <= in->cols; col += BLOCK, code += BLOCK)
            fit_q8_0(in->x + row * in->stride + col, g++, code);
}
