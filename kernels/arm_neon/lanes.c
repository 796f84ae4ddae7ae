/* lanes.c - the scale searches with eight groups of weights at a time: kernels/lanes/search.h with the vectors of NEON. */
#include "kernels/arm_neon/vec.h"

#include "kernels/lanes/search_text.h"
