/* formats.c - the codecs of AVX-512: which formats this level does better than the one below. */
#include "kernels/level.h"

void qs_avx512_formats(struct qs_format_ops *ops) { (void)ops; }
