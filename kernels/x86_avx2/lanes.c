/* lanes.c - the scale searches with eight groups of weights at a time: kernels/lanes/search.h with the vectors of AVX2. */
#include "kernels/x86_avx2/vec.h"

#include "kernels/lanes/search_text.h"
