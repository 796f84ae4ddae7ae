/* dot_bf16.c - products of BF16 rows with BF16 activations, and the making of those, by NEON.
 *
 * There is no instruction for them here: a pair of bfloat16 is two fused multiply-adds on a CPU that is told to flush
 * subnormals. dot.h wants a result flushed if it is tiny after rounding; this CPU flushes what is tiny before, and tells that
 * it has: such a tile, of which ordinary numbers know nothing, is done again in plain C. Tiles are functions of their own
 * between writes of the control registers; the sixteen partial sums of each product leave them by memory. Tiles of 2 rows x 3
 * tokens; single tokens take 4 rows at a time. The last group of a row that is not whole is copied out and filled with zeros.
 */
#include <stdbool.h>
#include <string.h>

#include "kernels/arm_neon/dots.h"
#include "kernels/arm_neon/vec.h"
#include "kernels/half.h"
#include "kernels/level.h"
#include "kernels/ref/dots.h"

enum { GROUP = 64 /* bytes of 32 values */, ROWS = 4, TOKENS = 3, SUMS = 6 };

static const uint64_t flush = 1 << 24, underflow = 1 << 3; /* in FPCR, FPSR */

/* ---- a tile with subnormals flushed */

QS_INLINE vf load(const uint8_t *at) { return v_bits(i_load(at)); }
QS_INLINE vf part(bool odd, vf pairs)
{
    return v_bits(odd ? i_and(i_bits(pairs), i_all(-65536)) : i_shift_left(i_bits(pairs), 16));
}

typedef float tile_sums[SUMS][16]; /* [row * T + token] */

/* R rows times T tokens, bytes [from, to) of each. */
QS_INLINE void tile(const int R, const int T, const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from,
                    size_t to, tile_sums sums)
{
    vf s[SUMS][2];
    QS_UNROLL for (int i = 0; i < R * T; i++)
        QS_UNROLL for (int half = 0; half < 2; half++)
            s[i][half] = v_load(sums[i] + 8 * half);
    for (size_t k = from; k < to; k += GROUP)
        QS_UNROLL for (int half = 0; half < 2; half++)
            QS_UNROLL for (int odd = 1; odd >= 0; odd--) {
                vf row[ROWS];
                QS_UNROLL for (int r = 0; r < R; r++)
                    row[r] = part(odd, load(w[r] + k + 32 * (size_t)half));
                QS_UNROLL for (int t = 0; t < T; t++) {
                    const vf v = part(odd, load(x[t] + k + 32 * (size_t)half));
                    QS_UNROLL for (int r = 0; r < R; r++)
                        s[r * T + t][half] = v_fused(row[r], v, s[r * T + t][half]);
                }
            }
    QS_UNROLL for (int i = 0; i < R * T; i++)
        QS_UNROLL for (int half = 0; half < 2; half++)
            v_store(sums[i] + 8 * half, s[i][half]);
}

typedef void tile_fn(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from, size_t to, tile_sums sums);

static __attribute__((noinline)) void tile_2x3(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from,
                                               size_t to, tile_sums sums)
{
    tile(2, 3, w, x, from, to, sums);
}
static __attribute__((noinline)) void tile_4x1(const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS], size_t from,
                                               size_t to, tile_sums sums)
{
    tile(4, 1, w, x, from, to, sums);
}

/* All columns of a tile of `rows` x `tokens`; false: something was flushed that may have to stay. */
static bool whole_tile(tile_fn *fn, size_t rows, size_t tokens, const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS],
                       size_t cols, tile_sums sums)
{
    const size_t whole = cols / 32 * GROUP, rest = cols % 32 * 2;
    uint8_t tail[ROWS][GROUP] = { { 0 } };
    const uint8_t *w_tail[ROWS], *x_tail[TOKENS];
    uint64_t control, status, after;
    for (size_t i = 0; rest > 0 && i < rows; i++)
        w_tail[i] = memcpy(tail[i], w[i] + whole, rest);
    for (size_t i = 0; rest > 0 && i < tokens; i++)
        x_tail[i] = x[i] + whole; /* filled up as they are */
    memset(sums, 0, sizeof(tile_sums));
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(status)::"memory");
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" ::"r"(control | flush), "r"(status & ~underflow) : "memory");
    fn(w, x, 0, whole, sums);
    if (rest > 0)
        fn(w_tail, x_tail, 0, GROUP, sums);
    __asm__ volatile("mrs %0, fpsr" : "=r"(after)::"memory");
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" ::"r"(control), "r"(status) : "memory");
    return !(after & underflow);
}

/* ---- all rows and tokens */

/* n rows from r on, of `tokens` from t on. */
static void plain(const struct qs_dot *j, size_t r, size_t n, size_t t, size_t tokens)
{
    struct qs_dot some = *j;
    some.w = j->w + r * j->w_stride;
    some.rows = n;
    some.x = j->x + t * j->x_stride;
    some.tokens = tokens;
    some.out = j->out + t * j->out_stride + r;
    qs_ref_dot_bf16_bf16(&some);
}

/* Where a tile hangs over the edge, its last row is done again and the results are dropped. */
static void products(const struct qs_dot *j, tile_fn *fn, size_t rows, size_t tokens, size_t from, size_t to)
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
            if (!whole_tile(fn, rows, tokens, w, x, j->cols, sums)) {
                plain(j, r, n, t, tokens);
                continue;
            }
            for (size_t i = 0; i < n * tokens; i++)
                j->out[(t + i % tokens) * j->out_stride + r + i / tokens] = v_sum8(v_add(v_load(sums[i]), v_load(sums[i] + 8)));
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

void qs_neon_dots_of_bf16(struct qs_dot_ops *ops) { ops[qs_format_index(QS_BF16)].quant = dot_bf16_bf16; }

/* ---- activations */

/* Four of them in the low halves of 32 bits. Integers throughout: nothing depends on the control register. */
QS_INLINE uint32x4_t four(const float *x)
{
    const uint32x4_t u = vreinterpretq_u32_f32(vld1q_f32(x)), size = vandq_u32(u, vdupq_n_u32(0x7fffffff));
    const uint32x4_t bit = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t near = vaddq_u32(u, vaddq_u32(bit, vdupq_n_u32(0x7fff)));
    const uint32x4_t nan = vorrq_u32(u, vdupq_n_u32(0x400000));
    uint32x4_t v = vbslq_u32(vcgtq_u32(size, vdupq_n_u32(0x7f800000)), nan, near);
    v = vbslq_u32(vcltq_u32(size, vdupq_n_u32(0x800000)), veorq_u32(u, size), v);
    return vshrq_n_u32(v, 16);
}

void qs_neon_quantize_bf16(const float *x, size_t cols, void *row)
{
    uint16_t *h = row;
    size_t k = 0;
    for (; k + 8 <= cols; k += 8)
        vst1q_u16(h + k, vcombine_u16(vmovn_u32(four(x + k)), vmovn_u32(four(x + k + 4))));
    for (; k < cols; k++)
        h[k] = qs_f32_bits(x[k]) & 0x7f800000 ? qs_f32_to_bf16(x[k]) : (uint16_t)(qs_f32_bits(x[k]) >> 16 & 0x8000);
    memset(h + cols, 0, (qs_bf16_padded(cols) - cols) * sizeof *h);
}
