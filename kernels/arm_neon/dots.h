/* dots.h - between the files of this folder that make products: entries. */
#ifndef QS_KERNELS_ARM_NEON_DOTS_H
#define QS_KERNELS_ARM_NEON_DOTS_H

#include "kernels/dot.h"

void qs_neon_dots_of_blocks(struct qs_dot_ops *ops);
void qs_neon_dots_of_super_blocks(struct qs_dot_ops *ops);
void qs_neon_dots_of_bf16(struct qs_dot_ops *ops);
void qs_neon_quantize_bf16(const float *x, size_t cols, void *row);

#endif
