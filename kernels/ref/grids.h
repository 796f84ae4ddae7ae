/* grids.h - what `fit` hands to `round` and `pack`, per block of every format; and the shape of its codes.
 *
 * A grid holds the scales and minima exactly as the file stores them (float16 bits, small integers), nothing more than
 * pack and round need. Sizes are multiples of 4. The two numbers after a struct say how many codes a block has and how
 * many bytes one code takes; format.c builds its table from here. Each struct belongs to the file that implements the
 * format (legacy.c, kquant.c, iq*.c, ...): nobody else looks inside.
 */
#ifndef QS_KERNELS_REF_GRIDS_H
#define QS_KERNELS_REF_GRIDS_H

#include <stdint.h>

/* Plain floats: codes are the stored bits, there is no grid (one code per weight, block 1). */
enum { QS_CODES_F32 = 1, QS_CODE_BYTES_F32 = 4, QS_CODES_F16 = 1, QS_CODE_BYTES_F16 = 2 };
enum { QS_CODES_BF16 = 1, QS_CODE_BYTES_BF16 = 2 };

/* legacy.c: one byte per weight, the stored number without its offset removed (Q4_0: 0..15 means -8..7);
 * Q8_0: the stored int8 plus 128. */
struct qs_grid_q4_0 { uint16_t d, unused; };
struct qs_grid_q4_1 { uint16_t d, m; };
struct qs_grid_q5_0 { uint16_t d, unused; };
struct qs_grid_q5_1 { uint16_t d, m; };
struct qs_grid_q8_0 { uint16_t d, unused; };
enum { QS_CODES_Q4_0 = 32, QS_CODE_BYTES_Q4_0 = 1, QS_CODES_Q4_1 = 32, QS_CODE_BYTES_Q4_1 = 1 };
enum { QS_CODES_Q5_0 = 32, QS_CODE_BYTES_Q5_0 = 1, QS_CODES_Q5_1 = 32, QS_CODE_BYTES_Q5_1 = 1 };
enum { QS_CODES_Q8_0 = 32, QS_CODE_BYTES_Q8_0 = 1 };

/* ternary.c: 0, 1, 2 mean -d, 0, +d. */
struct qs_grid_tq1_0 { uint16_t d, unused; };
struct qs_grid_tq2_0 { uint16_t d, unused; };
enum { QS_CODES_TQ1_0 = 256, QS_CODE_BYTES_TQ1_0 = 1, QS_CODES_TQ2_0 = 256, QS_CODE_BYTES_TQ2_0 = 1 };

/* fp4.c: the E2M1 bits (sign 8, exponent 6, mantissa 1). */
struct qs_grid_mxfp4 { uint8_t e, unused[3]; };
struct qs_grid_nvfp4 { uint8_t d[4]; };
enum { QS_CODES_MXFP4 = 32, QS_CODE_BYTES_MXFP4 = 1, QS_CODES_NVFP4 = 64, QS_CODE_BYTES_NVFP4 = 1 };

/* bit.c: Q1_0 0 or 1 means -d or +d; Q2_0 0..3 means -d, 0, d, 2d. */
struct qs_grid_q1_0 { uint16_t d, unused; };
struct qs_grid_q2_0 { uint16_t d, unused; };
enum { QS_CODES_Q1_0 = 128, QS_CODE_BYTES_Q1_0 = 1, QS_CODES_Q2_0 = 64, QS_CODE_BYTES_Q2_0 = 1 };

/* kquant_*.c: one byte per weight, the stored number (Q3_K: 0..7 means -4..3; Q6_K: 0..63 means -32..31). */
struct qs_grid_k8 { uint16_t d, dmin; uint8_t scale[8], min[8]; };   /* eight sub-blocks of 32 */
struct qs_grid_k16 { uint16_t d, unused; int8_t scale[16]; };        /* sixteen sub-blocks of 16 */
struct qs_grid_q2_k { uint16_t d, dmin; uint8_t scale[16], min[16]; };
struct qs_grid_q3_k { struct qs_grid_k16 k; };
struct qs_grid_q4_k { struct qs_grid_k8 k; };
struct qs_grid_q5_k { struct qs_grid_k8 k; };
struct qs_grid_q6_k { struct qs_grid_k16 k; };
enum { QS_CODES_Q2_K = 256, QS_CODE_BYTES_Q2_K = 1, QS_CODES_Q3_K = 256, QS_CODE_BYTES_Q3_K = 1 };
enum { QS_CODES_Q4_K = 256, QS_CODE_BYTES_Q4_K = 1, QS_CODES_Q5_K = 256, QS_CODE_BYTES_Q5_K = 1 };
enum { QS_CODES_Q6_K = 256, QS_CODE_BYTES_Q6_K = 1 };

/* iq1.c, iq2.c, iq3.c: a code is a group of weights: place of a point in the codebook, and sign bits above it.
 * IQ1_S    8 weights  place (11 bits); the shift is part of the grid: bit 3 of scale (3 bits)
 * IQ1_M    8 weights  place (11), shift (1)
 * IQ2_XXS  8 weights  place (8), signs (7: the eighth makes their number even)
 * IQ2_XS   8 weights  place (9), signs (7), as stored
 * IQ2_S    8 weights  place (10), signs (8)
 * IQ3_XXS  8 weights  places of both halves (8, 8), signs (7)
 * IQ3_S    4 weights  place (9), signs (4)
 * iq4.c: one byte per weight, the place in the table of 16 values; IQ4_XS scales are stored 0..63, 32 means 0. */
struct qs_grid_iq1_s { uint16_t d, unused; uint8_t scale[8]; };
struct qs_grid_iq1_m { uint16_t d, unused; uint8_t scale[16]; };
struct qs_grid_iq2_xxs { uint16_t d, unused; uint8_t scale[8]; };
struct qs_grid_iq2_xs { uint16_t d, unused; uint8_t scale[16]; };
struct qs_grid_iq2_s { uint16_t d, unused; uint8_t scale[16]; };
struct qs_grid_iq3_xxs { uint16_t d, unused; uint8_t scale[8]; };
struct qs_grid_iq3_s { uint16_t d, unused; uint8_t scale[8]; };
struct qs_grid_iq4_nl { uint16_t d, unused; };
struct qs_grid_iq4_xs { uint16_t d, unused; uint8_t scale[8]; };
enum { QS_CODES_IQ1_S = 32, QS_CODE_BYTES_IQ1_S = 2, QS_CODES_IQ1_M = 32, QS_CODE_BYTES_IQ1_M = 2 };
enum { QS_CODES_IQ2_XXS = 32, QS_CODE_BYTES_IQ2_XXS = 2, QS_CODES_IQ2_XS = 32, QS_CODE_BYTES_IQ2_XS = 2 };
enum { QS_CODES_IQ2_S = 32, QS_CODE_BYTES_IQ2_S = 4 };
enum { QS_CODES_IQ3_XXS = 32, QS_CODE_BYTES_IQ3_XXS = 4, QS_CODES_IQ3_S = 64, QS_CODE_BYTES_IQ3_S = 2 };
enum { QS_CODES_IQ4_NL = 32, QS_CODE_BYTES_IQ4_NL = 1, QS_CODES_IQ4_XS = 256, QS_CODE_BYTES_IQ4_XS = 1 };

#endif
