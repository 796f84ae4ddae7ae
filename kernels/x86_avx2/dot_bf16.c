/* dot_bf16.c - products of BF16 rows with BF16 activations, and the making of those, by AVX2 and FMA.
 *
 * There is no instruction for them here: a pair of bfloat16 is two fused multiply-adds on a CPU that is told to flush
 * subnormals, which is what dot.h wants. Tiles are functions of their own between two writes of the control register; the
 * sixteen partial sums of each product leave them by memory and are added up outside. Tiles of 2 rows x 3 tokens; single
 * tokens take 4 rows at a time. The last group of a row that is not whole is copied out and filled with zeros.
 */
#include <string.h>

#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/x86_avx2/dots.h"

enum { GROUP = 64 /* bytes of 32 values */, ROWS = 4, TOKENS = 3 };

QS_INLINE __m256 load(const uint8_t *at) { return _mm256_loadu_ps((const float *)at); }
QS_INLINE __m256 odd(const uint8_t *at) { return _mm256_and_ps(load(at), _mm256_castsi256_ps(_mm256_set1_epi32(-65536))); }
QS_INLINE __m256 even(const uint8_t *at) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(load(at)), 16)); }

/* Sums of a tile: [row][token][partial]. */
typedef float tile_sums[ROWS][TOKENS][16];
typedef void tile_fn(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from, size_t to, tile_sums sums);

/* Names of accumulators: row, token, half (l: columns 0..15 of a group, h: 16..31). */
#define FETCH(v, r, t) __m256 v##l = load((const uint8_t *)sums[r][t]), v##h = load((const uint8_t *)(sums[r][t] + 8));
#define KEEP(v, r, t)                                                                                                  \
    _mm256_storeu_ps(sums[r][t], v##l);                                                                                \
    _mm256_storeu_ps(sums[r][t] + 8, v##h);

#define PART_2X3(part, half, at)                                                                                       \
    {                                                                                                                  \
        const __m256 w0 = part(wa + (at)), w1 = part(wb + (at));                                                       \
        __m256 v = part(xa + (at));                                                                                    \
        a0##half = _mm256_fmadd_ps(w0, v, a0##half);                                                                   \
        b0##half = _mm256_fmadd_ps(w1, v, b0##half);                                                                   \
        v = part(xb + (at));                                                                                           \
        a1##half = _mm256_fmadd_ps(w0, v, a1##half);                                                                   \
        b1##half = _mm256_fmadd_ps(w1, v, b1##half);                                                                   \
        v = part(xc + (at));                                                                                           \
        a2##half = _mm256_fmadd_ps(w0, v, a2##half);                                                                   \
        b2##half = _mm256_fmadd_ps(w1, v, b2##half);                                                                   \
    }
#define EACH_2X3(M) M(a0, 0, 0) M(a1, 0, 1) M(a2, 0, 2) M(b0, 1, 0) M(b1, 1, 1) M(b2, 1, 2)

static __attribute__((noinline)) void tile_2x3(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from,
                                               size_t to, tile_sums sums)
{
    const uint8_t *const wa = w[0], *const wb = w[1], *const xa = x[0], *const xb = x[1], *const xc = x[2];
    EACH_2X3(FETCH)
    for (size_t k = from; k < to; k += GROUP) {
        PART_2X3(odd, l, k)
        PART_2X3(even, l, k)
        PART_2X3(odd, h, k + 32)
        PART_2X3(even, h, k + 32)
    }
    EACH_2X3(KEEP)
}

#define PART_4X1(part, half, at)                                                                                       \
    {                                                                                                                  \
        const __m256 v = part(xa + (at));                                                                              \
        a##half = _mm256_fmadd_ps(part(wa + (at)), v, a##half);                                                        \
        b##half = _mm256_fmadd_ps(part(wb + (at)), v, b##half);                                                        \
        c##half = _mm256_fmadd_ps(part(wc + (at)), v, c##half);                                                        \
        d##half = _mm256_fmadd_ps(part(wd + (at)), v, d##half);                                                        \
    }
#define EACH_4X1(M) M(a, 0, 0) M(b, 1, 0) M(c, 2, 0) M(d, 3, 0)

static __attribute__((noinline)) void tile_4x1(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from,
                                               size_t to, tile_sums sums)
{
    const uint8_t *const wa = w[0], *const wb = w[1], *const wc = w[2], *const wd = w[3], *const xa = x[0];
    EACH_4X1(FETCH)
    for (size_t k = from; k < to; k += GROUP) {
        PART_4X1(odd, l, k)
        PART_4X1(even, l, k)
        PART_4X1(odd, h, k + 32)
        PART_4X1(even, h, k + 32)
    }
    EACH_4X1(KEEP)
}

/* All columns of a tile of `rows` x `tokens`. */
static void whole_tile(tile_fn *tile, size_t rows, size_t tokens, const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS],
                       size_t cols, tile_sums sums)
{
    const size_t whole = cols / 32 * GROUP, rest = cols % 32 * 2;
    const unsigned was = _mm_getcsr();
    uint8_t tail[ROWS][GROUP] = { { 0 } };
    const uint8_t *w_tail[ROWS], *x_tail[TOKENS];
    memset(sums, 0, sizeof(tile_sums));
    _mm_setcsr(was | QS_X86_FLUSH);
    tile(w, x, 0, whole, sums);
    for (size_t i = 0; rest > 0 && i < rows; i++)
        w_tail[i] = memcpy(tail[i], w[i] + whole, rest);
    for (size_t i = 0; rest > 0 && i < tokens; i++)
        x_tail[i] = x[i] + whole; /* filled up as they are */
    if (rest > 0)
        tile(w_tail, x_tail, 0, GROUP, sums);
    _mm_setcsr(was);
}

/* Where a tile hangs over the edge, its last row is done again and the results are dropped. */
static void products(const struct qs_dot *j, tile_fn *tile, size_t rows, size_t tokens, size_t from, size_t to)
{
    const uint8_t *w[ROWS], *x[TOKENS];
    tile_sums sums;
    for (size_t r = 0; r < j->rows; r += rows) {
        const size_t n = j->rows - r < rows ? j->rows - r : rows;
        for (size_t i = 0; i < rows; i++)
            w[i] = j->w + (r + (i < n ? i : n - 1)) * j->w_stride;
        for (size_t t = from; t < to; t += tokens) {
            for (size_t i = 0; i < tokens; i++)
                x[i] = j->x + (t + i) * j->x_stride;
            whole_tile(tile, rows, tokens, w, x, j->cols, sums);
            for (size_t i = 0; i < n * tokens; i++) {
                const float *s = sums[i / tokens][i % tokens];
                const __m256 eight = _mm256_add_ps(_mm256_loadu_ps(s), _mm256_loadu_ps(s + 8));
                j->out[(t + i % tokens) * j->out_stride + r + i / tokens] = qs_avx2_sum8(eight);
            }
        }
    }
}

static void dot_bf16_bf16(const struct qs_dot *j)
{
    const size_t triples = j->tokens / 3 * 3;
    if (triples > 0)
        products(j, tile_2x3, 2, 3, 0, triples);
    if (triples < j->tokens)
        products(j, tile_4x1, 4, 1, triples, j->tokens);
}

void qs_avx2_dots_of_bf16(struct qs_dot_ops *ops) { qs_avx2_dot_entry(ops, QS_BF16)->quant = dot_bf16_bf16; }

/* ---- activations */

/* Eight of them in the low halves of 32 bits. Integers throughout: nothing depends on the control register. */
QS_INLINE __m256i eight(const float *x)
{
    const __m256i u = _mm256_castps_si256(_mm256_loadu_ps(x)), exponent = _mm256_set1_epi32(0x7f800000);
    const __m256i size = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    const __m256i bit = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_add_epi32(u, _mm256_add_epi32(bit, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i zero = _mm256_xor_si256(u, size);
    __m256i v = _mm256_blendv_epi8(near, nan, _mm256_cmpgt_epi32(size, exponent));
    v = _mm256_blendv_epi8(v, zero, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x800000), size));
    return _mm256_srli_epi32(v, 16);
}

void qs_avx2_quantize_bf16(const float *x, size_t cols, void *row)
{
    uint16_t *h = row;
    size_t k = 0;
    for (; k + 16 <= cols; k += 16) {
        const __m256i v = _mm256_packus_epi32(eight(x + k), eight(x + k + 8));
        _mm256_storeu_si256((void *)(h + k), _mm256_permute4x64_epi64(v, 0xd8));
    }
    for (; k < cols; k++)
        h[k] = qs_f32_bits(x[k]) & 0x7f800000 ? qs_f32_to_bf16(x[k]) : (uint16_t)(qs_f32_bits(x[k]) >> 16 & 0x8000);
    memset(h + cols, 0, (qs_bf16_padded(cols) - cols) * sizeof *h);
}
