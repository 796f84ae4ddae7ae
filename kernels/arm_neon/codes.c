/* codes.c - the inner loops of GPTQ (codes.h) with eight lanes: the vectors of NEON. */
#include "kernels/arm_neon/vec.h"

#include "kernels/lanes/codes_text.h"
