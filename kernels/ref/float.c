/* float.c - formats that are arrays of numbers: F32, F16, BF16 (read and written), F64 and integers (read only).
 *
 * A code is the stored bits of one weight, the grid is empty, so fit and round do the same: convert with rounding to
 * nearest even. Values too large for F16 become infinite, as in the reference; scan counts them afterwards. NaN stays
 * NaN. Nothing here needs aligned input: everything is moved by memcpy. Integers and F64 decode to the nearest float.
 */
#include <string.h>

#include "kernels/half.h"
#include "kernels/ref/ref.h"

/* Decode from a stored type T by the expression EXPR of `v`, and count the weights for which BAD is true. */
#define QS_READ(name, T, EXPR, BAD)                                                                                    \
    void qs_ref_##name##_decode(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride)  \
    {                                                                                                                  \
        const uint8_t *p = src->p[0];                                                                                  \
        for (size_t r = 0; r < rows; r++)                                                                              \
            for (size_t c = 0; c < cols; c++, p += sizeof(T)) {                                                        \
                T v;                                                                                                   \
                memcpy(&v, p, sizeof v);                                                                               \
                dst[r * stride + c] = (EXPR);                                                                          \
            }                                                                                                          \
    }                                                                                                                  \
    size_t qs_ref_##name##_scan(const struct qs_const_parts *src, size_t rows, size_t cols)                             \
    {                                                                                                                  \
        const uint8_t *p = src->p[0];                                                                                  \
        size_t bad = 0;                                                                                                \
        for (size_t n = rows * cols; n > 0; n--, p += sizeof(T)) {                                                     \
            T v;                                                                                                       \
            memcpy(&v, p, sizeof v);                                                                                   \
            (void)v;                                                                                                   \
            bad += (BAD) ? 1 : 0;                                                                                      \
        }                                                                                                              \
        return bad;                                                                                                    \
    }

/* Codes of type T from floats by the expression EXPR of `x`. */
#define QS_WRITE(name, T, EXPR)                                                                                        \
    void qs_ref_##name##_round(const struct qs_rows *in, const void *grid, void *codes)                                \
    {                                                                                                                  \
        T *code = codes;                                                                                               \
        (void)grid;                                                                                                    \
        for (size_t r = 0; r < in->rows; r++)                                                                          \
            for (size_t c = 0; c < in->cols; c++) {                                                                    \
                float x = in->x[r * in->stride + c];                                                                   \
                *code++ = (EXPR);                                                                                      \
            }                                                                                                          \
    }                                                                                                                  \
    void qs_ref_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                        \
    {                                                                                                                  \
        qs_ref_##name##_round(in, grid, codes);                                                                        \
    }                                                                                                                  \
    void qs_ref_##name##_pack(size_t rows, size_t cols, const void *grid, const void *codes,                           \
                              const struct qs_parts *dst)                                                              \
    {                                                                                                                  \
        (void)grid;                                                                                                    \
        if (rows * cols > 0)                                                                                           \
            memcpy(dst->p[0], codes, rows * cols * sizeof(T));                                                         \
    }

QS_READ(f32, uint32_t, qs_bits_f32(v), (v & 0x7f800000) == 0x7f800000)
QS_WRITE(f32, uint32_t, qs_f32_bits(x))
QS_READ(f16, uint16_t, qs_f16_to_f32(v), (v & 0x7c00) == 0x7c00)
QS_WRITE(f16, uint16_t, qs_f32_to_f16(x))
QS_READ(bf16, uint16_t, qs_bf16_to_f32(v), (v & 0x7f80) == 0x7f80)
QS_WRITE(bf16, uint16_t, qs_f32_to_bf16(x))

QS_READ(f64, double, (float)v, !(v - v <= 0)) /* x - x is NaN for infinities and NaN */
QS_READ(i8, int8_t, (float)v, false)
QS_READ(i16, int16_t, (float)v, false)
QS_READ(i32, int32_t, (float)v, false)
QS_READ(i64, int64_t, (float)v, false)
