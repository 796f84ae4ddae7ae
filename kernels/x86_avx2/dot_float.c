/* dot_float.c - products of F32, F16 and BF16 rows with float32 activations (AVX2, FMA, F16C), and this level's table.
 *
 * The sixteen partial sums of dot.h are two vectors. Tiles of 2 rows x 3 tokens keep twelve of them in registers; single
 * tokens take 4 rows at a time. A group of 16 that the row does not fill is copied out and filled with zeros: nothing
 * outside the rows is read.
 */
#include <string.h>

#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/x86_avx2/dots.h"

typedef __m256 load_fn(const uint8_t *row, size_t k); /* weights k .. k + 7 */

QS_INLINE __m256 load_f32(const uint8_t *row, size_t k) { return _mm256_loadu_ps((const float *)(row + 4 * k)); }

QS_INLINE __m256 load_f16(const uint8_t *row, size_t k)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)(row + 2 * k)));
}

QS_INLINE __m256 load_bf16(const uint8_t *row, size_t k)
{
    const __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(row + 2 * k)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

/* The last cols % 16 weights of a row, filled up with zeros: 16 of them, as floats. */
QS_INLINE void load_tail(load_fn *load, size_t size, const uint8_t *row, size_t cols, float out[16])
{
    uint8_t raw[64] = { 0 };
    const size_t full = cols / 16 * 16;
    memcpy(raw, row + full * size, (cols - full) * size);
    _mm256_storeu_ps(out, load(raw, 0));
    _mm256_storeu_ps(out + 8, load(raw, 8));
}

/* Sums of eight accumulators: v##l of columns 0..7 of each 16, v##h of 8..15. */
#define ZERO(v) __m256 v##l = _mm256_setzero_ps(), v##h = _mm256_setzero_ps()
#define SUM(v) qs_avx2_sum8(_mm256_add_ps(v##l, v##h))

#define STEP_2X3(half, load, wa, wb, xa, xb, xc, at)                                                                   \
    do {                                                                                                               \
        const __m256 w0 = load((wa), (at)), w1 = load((wb), (at));                                                     \
        __m256 xv = load_f32((xa), (at));                                                                               \
        a0##half = _mm256_fmadd_ps(w0, xv, a0##half);                                                                   \
        b0##half = _mm256_fmadd_ps(w1, xv, b0##half);                                                                   \
        xv = load_f32((xb), (at));                                                                                      \
        a1##half = _mm256_fmadd_ps(w0, xv, a1##half);                                                                   \
        b1##half = _mm256_fmadd_ps(w1, xv, b1##half);                                                                   \
        xv = load_f32((xc), (at));                                                                                      \
        a2##half = _mm256_fmadd_ps(w0, xv, a2##half);                                                                   \
        b2##half = _mm256_fmadd_ps(w1, xv, b2##half);                                                                   \
    } while (0)

/* Two rows, three tokens; out[row * 3 + token]. */
QS_INLINE void tile_2x3(load_fn *load, size_t size, const uint8_t *const w[2], const uint8_t *const x[3], size_t cols,
                        float out[6])
{
    const size_t full = cols / 16 * 16;
    const uint8_t *const w0p = w[0], *const w1p = w[1], *const x0p = x[0], *const x1p = x[1], *const x2p = x[2];
    ZERO(a0);
    ZERO(a1);
    ZERO(a2);
    ZERO(b0);
    ZERO(b1);
    ZERO(b2);
    for (size_t k = 0; k < full; k += 16) {
        STEP_2X3(l, load, w0p, w1p, x0p, x1p, x2p, k);
        STEP_2X3(h, load, w0p, w1p, x0p, x1p, x2p, k + 8);
    }
    if (full < cols) {
        float t[5][16];
        load_tail(load, size, w[0], cols, t[0]);
        load_tail(load, size, w[1], cols, t[1]);
        for (int i = 0; i < 3; i++)
            load_tail(load_f32, 4, x[i], cols, t[2 + i]);
        const uint8_t *p[5];
        for (int i = 0; i < 5; i++)
            p[i] = (const uint8_t *)t[i];
        STEP_2X3(l, load_f32, p[0], p[1], p[2], p[3], p[4], 0);
        STEP_2X3(h, load_f32, p[0], p[1], p[2], p[3], p[4], 8);
    }
    out[0] = SUM(a0);
    out[1] = SUM(a1);
    out[2] = SUM(a2);
    out[3] = SUM(b0);
    out[4] = SUM(b1);
    out[5] = SUM(b2);
}

#define STEP_4X1(half, load, wa, wb, wc, wd, xa, at)                                                                   \
    do {                                                                                                               \
        const __m256 xv = load_f32((xa), (at));                                                                         \
        a##half = _mm256_fmadd_ps(load((wa), (at)), xv, a##half);                                                       \
        b##half = _mm256_fmadd_ps(load((wb), (at)), xv, b##half);                                                       \
        c##half = _mm256_fmadd_ps(load((wc), (at)), xv, c##half);                                                       \
        d##half = _mm256_fmadd_ps(load((wd), (at)), xv, d##half);                                                       \
    } while (0)

/* Four rows, one token. */
QS_INLINE void tile_4x1(load_fn *load, size_t size, const uint8_t *const w[4], const uint8_t *x, size_t cols, float out[4])
{
    const size_t full = cols / 16 * 16;
    const uint8_t *const w0 = w[0], *const w1 = w[1], *const w2 = w[2], *const w3 = w[3];
    ZERO(a);
    ZERO(b);
    ZERO(c);
    ZERO(d);
    for (size_t k = 0; k < full; k += 16) {
        STEP_4X1(l, load, w0, w1, w2, w3, x, k);
        STEP_4X1(h, load, w0, w1, w2, w3, x, k + 8);
    }
    if (full < cols) {
        float t[5][16];
        for (int i = 0; i < 4; i++)
            load_tail(load, size, w[i], cols, t[i]);
        load_tail(load_f32, 4, x, cols, t[4]);
        const uint8_t *p[5];
        for (int i = 0; i < 5; i++)
            p[i] = (const uint8_t *)t[i];
        STEP_4X1(l, load_f32, p[0], p[1], p[2], p[3], p[4], 0);
        STEP_4X1(h, load_f32, p[0], p[1], p[2], p[3], p[4], 8);
    }
    out[0] = SUM(a);
    out[1] = SUM(b);
    out[2] = SUM(c);
    out[3] = SUM(d);
}

/* Where a tile hangs over the edge, its last row is done again and the results are dropped. */
QS_INLINE void rows_of_one_token(const struct qs_dot *j, load_fn *load, size_t size, size_t t)
{
    const uint8_t *x = j->x + t * j->x_stride;
    float *out = j->out + t * j->out_stride;
    for (size_t r = 0; r < j->rows; r += 4) {
        const size_t n = j->rows - r < 4 ? j->rows - r : 4;
        const uint8_t *w[4];
        float sums[4];
        for (size_t i = 0; i < 4; i++)
            w[i] = j->w + (r + (i < n ? i : n - 1)) * j->w_stride;
        tile_4x1(load, size, w, x, j->cols, sums);
        for (size_t i = 0; i < n; i++)
            out[r + i] = sums[i];
    }
}

QS_INLINE void products(const struct qs_dot *j, load_fn *load, size_t size)
{
    const size_t triples = j->tokens / 3 * 3;
    for (size_t r = 0; triples > 0 && r < j->rows; r += 2) {
        const size_t n = j->rows - r < 2 ? 1 : 2;
        const uint8_t *const w[2] = { j->w + r * j->w_stride, j->w + (r + n - 1) * j->w_stride };
        for (size_t t = 0; t < triples; t += 3) {
            const uint8_t *at = j->x + t * j->x_stride;
            const uint8_t *const x[3] = { at, at + j->x_stride, at + 2 * j->x_stride };
            float sums[6];
            tile_2x3(load, size, w, x, j->cols, sums);
            for (size_t i = 0; i < 3; i++)
                for (size_t k = 0; k < n; k++)
                    j->out[(t + i) * j->out_stride + r + k] = sums[k * 3 + i];
        }
    }
    for (size_t t = triples; t < j->tokens; t++)
        rows_of_one_token(j, load, size, t);
}

static void dot_f32(const struct qs_dot *j) { products(j, load_f32, 4); }
static void dot_f16(const struct qs_dot *j) { products(j, load_f16, 2); }
static void dot_bf16(const struct qs_dot *j) { products(j, load_bf16, 2); }

void qs_avx2_dots(struct qs_dot_ops *ops)
{
    qs_avx2_dot_entry(ops, QS_F32)->f32 = dot_f32;
    qs_avx2_dot_entry(ops, QS_F16)->f32 = dot_f16;
    qs_avx2_dot_entry(ops, QS_BF16)->f32 = dot_bf16;
    qs_avx2_dots_of_blocks(ops);
    qs_avx2_dots_of_super_blocks(ops);
    qs_avx2_dots_of_bf16(ops);
}
