/* dots.c - products of BF16 rows with BF16 activations by the instruction for it. */
#include "kernels/level.h"

void qs_avx512bf16_dots(struct qs_dot_ops *ops) { (void)ops; }
