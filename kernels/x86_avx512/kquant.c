/* kquant.c - `fit` of Q2_K .. Q6_K at AVX-512: kernels/lanes/kquant_text.h with the vectors of this folder. */
#include "kernels/x86_avx512/vec.h"

#include "kernels/x86_avx512/kquant.h"
#include "kernels/lanes/kquant_text.h"
