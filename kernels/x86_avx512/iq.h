/* iq.h - the IQ encoders of this level. Same contract and same bits as qs_ref_<type>_fit. */
#ifndef QS_KERNELS_X86_AVX512_IQ_H
#define QS_KERNELS_X86_AVX512_IQ_H

#include "kernels/format.h"

qs_fit_fn qs_avx512_iq2_xxs_fit, qs_avx512_iq2_xs_fit, qs_avx512_iq2_s_fit;
qs_fit_fn qs_avx512_iq3_xxs_fit, qs_avx512_iq3_s_fit;
qs_fit_fn qs_avx512_iq4_nl_fit, qs_avx512_iq4_xs_fit;

#endif
