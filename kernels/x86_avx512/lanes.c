/* lanes.c - the scale searches with sixteen groups of weights at a time: kernels/lanes/search.h with the vectors of
 * AVX-512. */
#include "kernels/x86_avx512/vec.h"

#include "kernels/lanes/search_text.h"
