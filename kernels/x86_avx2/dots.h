/* dots.h - between the files of this folder that make products. */
#ifndef QS_KERNELS_X86_AVX2_DOTS_H
#define QS_KERNELS_X86_AVX2_DOTS_H

#include "kernels/dot.h"

#endif
