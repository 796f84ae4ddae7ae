/* kquant.c - `fit` of Q2_K .. Q6_K by NEON: kernels/lanes/kquant_text.h with the vectors of this folder. */
#include "kernels/arm_neon/vec.h"

#include "kernels/arm_neon/fits.h"
#include "kernels/lanes/kquant_text.h"
