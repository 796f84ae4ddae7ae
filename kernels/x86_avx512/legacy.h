/* legacy.h - the encoders of the blocks of 32 at this level. Same contract and same bits as qs_ref_<type>_fit. */
#ifndef QS_KERNELS_X86_AVX512_LEGACY_H
#define QS_KERNELS_X86_AVX512_LEGACY_H

#include "kernels/format.h"

qs_fit_fn qs_avx512_q4_0_fit, qs_avx512_q4_1_fit, qs_avx512_q5_0_fit, qs_avx512_q5_1_fit;

#endif
