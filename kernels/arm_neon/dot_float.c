/* dot_float.c - products of F32, F16 and BF16 rows with float32 activations by NEON, and this level's table.
 *
 * The sixteen partial sums of dot.h are two pairs of vectors. Tiles of 2 rows x 3 tokens keep them in registers; single tokens
 * take 4 rows at a time. A group of 16 that the row does not fill is copied out and filled with zeros: nothing outside the
 * rows is read.
 */
#include <string.h>

#include "kernels/arm_neon/dots.h"
#include "kernels/arm_neon/vec.h"
#include "kernels/level.h"

enum { SUMS = 6 /* of a tile, at most */, ROWS = 4, TOKENS = 3 };

typedef vf load_fn(const uint8_t *row, size_t k); /* weights k .. k + 7 */

QS_INLINE vf load_f32(const uint8_t *row, size_t k) { return v_bits(i_load(row + 4 * k)); }

QS_INLINE vf load_f16(const uint8_t *row, size_t k)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(row + 2 * k));
    return (vf){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}

QS_INLINE vf load_bf16(const uint8_t *row, size_t k)
{
    const uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(row + 2 * k));
    return (vf){ vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)) };
}

/* The last cols % 16 weights of a row, filled up with zeros: 16 of them, as floats. */
QS_INLINE const uint8_t *load_tail(load_fn *load, size_t size, const uint8_t *row, size_t cols, float out[16])
{
    uint8_t raw[64] = { 0 };
    const size_t full = cols / 16 * 16;
    memcpy(raw, row + full * size, (cols - full) * size);
    v_store(out, load(raw, 0));
    v_store(out + 8, load(raw, 8));
    return (const uint8_t *)out;
}

/* R rows times T tokens, columns k to k + 15; s[row * T + token]. */
QS_INLINE void step(const int R, const int T, load_fn *load, const uint8_t *const w[ROWS], const uint8_t *const x[TOKENS],
                    size_t k, vf s[SUMS][2])
{
    QS_UNROLL for (int half = 0; half < 2; half++) {
        vf row[ROWS];
        QS_UNROLL for (int r = 0; r < R; r++)
            row[r] = load(w[r], k + 8 * (size_t)half);
        QS_UNROLL for (int t = 0; t < T; t++) {
            const vf v = load_f32(x[t], k + 8 * (size_t)half);
            QS_UNROLL for (int r = 0; r < R; r++)
                s[r * T + t][half] = v_fused(row[r], v, s[r * T + t][half]);
        }
    }
}

/* out[row * T + token]. */
QS_INLINE void tile(const int R, const int T, load_fn *load, size_t size, const uint8_t *const w[ROWS],
                    const uint8_t *const x[TOKENS], size_t cols, float out[SUMS])
{
    const size_t full = cols / 16 * 16;
    vf s[SUMS][2];
    QS_UNROLL for (int i = 0; i < R * T; i++)
        s[i][0] = s[i][1] = v_all(0);
    for (size_t k = 0; k < full; k += 16)
        step(R, T, load, w, x, k, s);
    if (full < cols) {
        float buffer[ROWS + TOKENS][16];
        const uint8_t *tail_w[ROWS], *tail_x[TOKENS];
        for (int r = 0; r < R; r++)
            tail_w[r] = load_tail(load, size, w[r], cols, buffer[r]);
        for (int t = 0; t < T; t++)
            tail_x[t] = load_tail(load_f32, 4, x[t], cols, buffer[ROWS + t]);
        step(R, T, load_f32, tail_w, tail_x, 0, s);
    }
    QS_UNROLL for (int i = 0; i < R * T; i++)
        out[i] = v_sum8(v_add(s[i][0], s[i][1]));
}

/* Tokens [from, to), T at a time. Where a tile hangs over the edge, its last row is done again and the results are dropped. */
QS_INLINE void tiles(const int R, const int T, const struct qs_dot *j, load_fn *load, size_t size, size_t from, size_t to)
{
    for (size_t r = 0; r < j->rows; r += (size_t)R) {
        const size_t n = j->rows - r < (size_t)R ? j->rows - r : (size_t)R;
        const uint8_t *w[ROWS], *x[TOKENS];
        float sums[SUMS];
        for (size_t i = 0; i < (size_t)R; i++)
            w[i] = j->w + (r + (i < n ? i : n - 1)) * j->w_stride;
        for (size_t t = from; t < to; t += (size_t)T) {
            for (size_t i = 0; i < (size_t)T; i++)
                x[i] = j->x + (t + i) * j->x_stride;
            tile(R, T, load, size, w, x, j->cols, sums);
            for (size_t i = 0; i < (size_t)T; i++)
                for (size_t k = 0; k < n; k++)
                    j->out[(t + i) * j->out_stride + r + k] = sums[k * (size_t)T + i];
        }
    }
}

QS_INLINE void products(const struct qs_dot *j, load_fn *load, size_t size)
{
    const size_t triples = j->tokens / 3 * 3;
    if (triples > 0)
        tiles(2, 3, j, load, size, 0, triples);
    if (triples < j->tokens)
        tiles(4, 1, j, load, size, triples, j->tokens);
}

static void dot_f32(const struct qs_dot *j) { products(j, load_f32, 4); }
static void dot_f16(const struct qs_dot *j) { products(j, load_f16, 2); }
static void dot_bf16(const struct qs_dot *j) { products(j, load_bf16, 2); }

void qs_neon_dots(struct qs_dot_ops *ops)
{
    ops[qs_format_index(QS_F32)].f32 = dot_f32;
    ops[qs_format_index(QS_F16)].f32 = dot_f16;
    ops[qs_format_index(QS_BF16)].f32 = dot_bf16;
    qs_neon_dots_of_blocks(ops);
    qs_neon_dots_of_super_blocks(ops);
    qs_neon_dots_of_bf16(ops);
}
