/* rows.h - the plain row operations, for the other levels: they finish the ends of rows that fill no whole vector. */
#ifndef QS_KERNELS_REF_ROWS_H
#define QS_KERNELS_REF_ROWS_H

#include "kernels/rows.h"

#define QS_GELU_A 1.5957691216057308f /* 2 * sqrt(2 / pi) */
#define QS_GELU_B 0.044715f

void qs_ref_norm_layer(const float *x, size_t n, const float *weight, const float *bias, float eps, float *y);
void qs_ref_rope_norm(float *x, const float *angle, size_t n_rot);
void qs_ref_rope_neox(float *x, const float *angle, size_t n_rot);
void qs_ref_hadamard(float *x, size_t n);
void qs_ref_glu_silu(const float *gate, const float *up, size_t n, float alpha, float limit, float *out);
void qs_ref_glu_gelu(const float *gate, const float *up, size_t n, float alpha, float limit, float *out);
void qs_ref_glu_gelu_erf(const float *gate, const float *up, size_t n, float alpha, float limit, float *out);
void qs_ref_glu_oai(const float *gate, const float *up, size_t n, float alpha, float limit, float *out);
void qs_ref_add(float *x, const float *y, size_t n, float scale);
void qs_ref_softcap(float *x, size_t n, float cap, float scale);
void qs_ref_moments(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max);
void qs_ref_merge(float *x, float a, const float *y, float b, size_t n);

#endif
