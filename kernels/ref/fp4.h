/* fp4.h - what MXFP4 and NVFP4 weights are made of, for their codecs and products. */
#ifndef QS_KERNELS_REF_FP4_H
#define QS_KERNELS_REF_FP4_H

#include <stdint.h>

#include "kernels/half.h"

extern const int8_t qs_e2m1[16]; /* E2M1 values, doubled; scales are halved in return */

/* Half of 2^(e - 127). */
static inline float qs_e8m0_half(uint8_t e) { return qs_bits_f32(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23); }

#endif
