/* fits.h - between the files of this folder that encode: their entries. */
#ifndef QS_KERNELS_ARM_NEON_FITS_H
#define QS_KERNELS_ARM_NEON_FITS_H

#include "kernels/format.h"

qs_fit_fn qs_neon_q4_0_fit, qs_neon_q4_1_fit, qs_neon_q5_0_fit, qs_neon_q5_1_fit, qs_neon_q8_0_fit;
qs_fit_fn qs_neon_q2_k_fit, qs_neon_q3_k_fit, qs_neon_q4_k_fit, qs_neon_q5_k_fit, qs_neon_q6_k_fit;
qs_fit_fn qs_neon_iq2_xxs_fit, qs_neon_iq2_xs_fit, qs_neon_iq2_s_fit, qs_neon_iq3_xxs_fit, qs_neon_iq3_s_fit;

void qs_neon_kquant_formats(struct qs_format_ops *ops);

#endif
