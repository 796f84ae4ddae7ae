/* kquant.h - the K encoders of this level. Same contract and same bits as qs_ref_<type>_fit. */
#ifndef QS_KERNELS_X86_AVX512_KQUANT_H
#define QS_KERNELS_X86_AVX512_KQUANT_H

#include "kernels/format.h"

qs_fit_fn qs_avx512_q2_k_fit, qs_avx512_q3_k_fit, qs_avx512_q4_k_fit, qs_avx512_q5_k_fit, qs_avx512_q6_k_fit;

/* Put them into `ops`, which is indexed like qs_format_at(); for qs_avx512_formats(). The rows are found by
 * their ids. */
void qs_avx512_kquant_formats(struct qs_format_ops *ops);

#endif
