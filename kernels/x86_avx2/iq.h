/* iq.h - the IQ encoders of this level, and decoders of IQ1 to IQ3 and the ternary types (iq_decode.c). Same contract and same bits as qs_ref_<type>_fit. */
#ifndef QS_KERNELS_X86_AVX2_IQ_H
#define QS_KERNELS_X86_AVX2_IQ_H

#include "kernels/format.h"

qs_fit_fn qs_avx2_iq1_s_fit, qs_avx2_iq1_m_fit, qs_avx2_iq2_xxs_fit, qs_avx2_iq2_xs_fit, qs_avx2_iq2_s_fit;
qs_fit_fn qs_avx2_iq3_xxs_fit, qs_avx2_iq3_s_fit, qs_avx2_iq4_nl_fit, qs_avx2_iq4_xs_fit;

/* Put them into `ops`, which is indexed like qs_format_at(); for qs_avx2_formats(). The rows are found by their ids. */
void qs_avx2_iq_formats(struct qs_format_ops *ops);
void qs_avx2_iq_decoders(struct qs_format_ops *ops);

#endif
