/* dots.h - between the files of this folder that make products: entries, and pieces that are inlined everywhere. */
#ifndef QS_KERNELS_X86_AVX2_DOTS_H
#define QS_KERNELS_X86_AVX2_DOTS_H

#include <immintrin.h>

#include "kernels/dot.h"
#include "kernels/inline.h"

#define QS_X86_FLUSH 0x8040u /* in MXCSR: subnormals are read and written as zeros */

/* The sum of eight of dot.h. */
QS_INLINE float qs_avx2_sum8(__m256 v)
{
    const __m128 u = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 s = _mm_add_ps(u, _mm_movehl_ps(u, u));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

void qs_avx2_dots_of_blocks(struct qs_dot_ops *ops);
void qs_avx2_dots_of_super_blocks(struct qs_dot_ops *ops);
void qs_avx2_dots_of_bf16(struct qs_dot_ops *ops);
void qs_avx2_quantize_bf16(const float *x, size_t cols, void *row);

/* The entry of one type in a table that is indexed like qs_format_at(). */
static inline struct qs_dot_ops *qs_avx2_dot_entry(struct qs_dot_ops *ops, int id)
{
    return &ops[qs_format_index(id)];
}

#endif
