/* dots.c - products of float rows at AVX-512. */
#include "kernels/level.h"

void qs_avx512_dots(struct qs_dot_ops *ops) { (void)ops; }
