/* codes.c - the inner loops of GPTQ (codes.h) with sixteen lanes: the vectors of AVX-512. */
#include "kernels/x86_avx512/vec.h"

#include "kernels/lanes/codes_text.h"
