/* blockwise.h - from functions on one block to functions on rows.
 *
 * A format whose codes are one byte per weight and whose blocks are independent once the grid is fixed writes five
 * small functions and lets QS_BLOCKWISE make the public ones:
 *     static void decode_<name>(const struct qs_block_<name> *b, float *y);
 *     static void fit_<name>(const float *x, size_t cols, const float *w, struct qs_grid_<name> *g, uint8_t *code); (a row)
 *     static void round_<name>(const float *x, const struct qs_grid_<name> *g, uint8_t *code);
 *     static void pack_<name>(const struct qs_grid_<name> *g, const uint8_t *code, struct qs_block_<name> *b);
 *     static bool bad_<name>(const struct qs_block_<name> *b);   (scale fields are not finite)
 */
#ifndef QS_KERNELS_REF_BLOCKWISE_H
#define QS_KERNELS_REF_BLOCKWISE_H

#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/ref/grids.h"
#include "kernels/ref/ref.h"

static inline bool qs_f16_is_bad(uint16_t h) { return (h & 0x7c00) == 0x7c00; }

/* A scale as stored. All NaN become one: their sign depends on the order in which a compiler takes operands. */
static inline uint16_t qs_f16_scale(float d) { return d == d ? qs_f32_to_f16(d) : 0x7e00; }

/* Truncation towards zero as x86 does it: what does not fit (or is NaN) gives INT32_MIN, so that code made from it is
 * defined, and the same as the reference's on that machine. */
static inline int32_t qs_trunc_int(float x)
{
    return x >= -2147483648.0f && x < 2147483648.0f ? (int32_t)x : INT32_MIN;
}

#define QS_BLOCKWISE_READ(name, BLOCK)                                                                                 \
    void qs_ref_##name##_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)  \
    {                                                                                                                  \
        const struct qs_block_##name *b = (const void *)src->p[0];                                                     \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t i = 0; i < cols / (BLOCK); i++)                                                                \
                decode_##name(b++, dst + r * stride + i * (BLOCK));                                                    \
    }                                                                                                                  \
    size_t qs_ref_##name##_scan(const struct qs_const_parts *src, size_t rows, size_t cols)                             \
    {                                                                                                                  \
        const struct qs_block_##name *b = (const void *)src->p[0];                                                     \
        size_t bad = 0;                                                                                                \
        for (size_t n = rows * (cols / (BLOCK)); n > 0; n--)                                                           \
            bad += bad_##name(b++);                                                                                    \
        return bad;                                                                                                    \
    }

#define QS_BLOCKWISE(name, BLOCK)                                                                                      \
    QS_BLOCKWISE_READ(name, BLOCK)                                                                                     \
    void qs_ref_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                        \
    {                                                                                                                  \
        for (size_t r = 0; r < in->rows; r++)                                                                          \
            fit_##name(in->x + r * in->stride, in->cols, in->weight,                                                   \
                       (struct qs_grid_##name *)grid + r * (in->cols / (BLOCK)), (uint8_t *)codes + r * in->cols);     \
    }                                                                                                                  \
    void qs_ref_##name##_round(const struct qs_rows *in, const void *grid, void *codes)                                \
    {                                                                                                                  \
        const struct qs_grid_##name *g = grid;                                                                         \
        uint8_t *code = codes;                                                                                         \
        for (size_t r = 0; r < in->rows; r++)                                                                          \
            for (size_t i = 0; i < in->cols / (BLOCK); i++, code += (BLOCK))                                           \
                round_##name(in->x + r * in->stride + i * (BLOCK), g++, code);                                         \
    }                                                                                                                  \
    void qs_ref_##name##_pack(size_t rows, size_t cols, const void *grid, const void *codes,                           \
                              const struct qs_parts *dst)                                                              \
    {                                                                                                                  \
        const struct qs_grid_##name *g = grid;                                                                         \
        const uint8_t *code = codes;                                                                                   \
        struct qs_block_##name *b = (void *)dst->p[0];                                                                 \
        for (size_t n = rows * (cols / (BLOCK)); n > 0; n--, code += (BLOCK))                                          \
            pack_##name(g++, code, b++);                                                                               \
    }

#endif
