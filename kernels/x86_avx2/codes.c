/* codes.c - the inner loops of GPTQ (codes.h) with eight lanes: the vectors of AVX2. */
#include "kernels/x86_avx2/vec.h"

#include "kernels/lanes/codes_text.h"
