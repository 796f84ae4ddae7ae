/* legacy.c - `fit` of Q4_0, Q4_1, Q5_0, Q5_1 at AVX-512: kernels/lanes/legacy_text.h with the vectors of this
 * folder. */
#include "kernels/x86_avx512/vec.h"

#include "kernels/x86_avx512/legacy.h"
#include "kernels/lanes/legacy_text.h"
