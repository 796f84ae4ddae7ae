/* tables_iq.h - the codebooks of the IQ formats (numbers: tables_iq.c, made by tests/oracle/make_iq_tables.py).
 *
 * A codebook is a list of points; a code names a point by its place in the list. All coordinates of a point are drawn
 * from a few values, so a point is stored as the numbers of its values ("levels"), first weight in the lowest bits:
 * IQ1 and IQ2 have 8 weights of 2 bits (levels 0..2), IQ3 has 4 weights of 3 bits (levels 0..7).
 * IQ1's values are -1, 0, 1; to them the decoder adds the shift, +-0.125.
 */
#ifndef QS_KERNELS_REF_TABLES_IQ_H
#define QS_KERNELS_REF_TABLES_IQ_H

#include <stdint.h>

extern const uint16_t qs_iq1_points[2048];
extern const uint16_t qs_iq2_xxs_points[256], qs_iq2_xs_points[512], qs_iq2_s_points[1024];
extern const uint16_t qs_iq3_xxs_points[256], qs_iq3_s_points[512];
extern const uint8_t qs_iq2_values[3];
extern const uint8_t qs_iq3_xxs_values[8], qs_iq3_s_values[8];
extern const int8_t qs_iq4_values[16]; /* ascending */

#endif
