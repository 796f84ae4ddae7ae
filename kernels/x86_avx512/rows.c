/* rows.c - operations on rows (rows.h) at AVX-512. */
#include "kernels/level.h"

void qs_avx512_rows(struct qs_row_ops *ops) { (void)ops; }
