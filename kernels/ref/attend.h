/* attend.h - plain pieces of attention, for the other levels: they finish rows that fill no whole vector. */
#ifndef QS_KERNELS_REF_ATTEND_H
#define QS_KERNELS_REF_ATTEND_H

#include "kernels/attend.h"

typedef float qs_ref_kv_fn(const uint8_t *row, size_t i); /* value i of a row */
qs_ref_kv_fn qs_ref_kv_f32, qs_ref_kv_f16;

/* A mix (attend.h) of the columns from `first` on. */
void qs_ref_mix_rest(const struct qs_mix *job, size_t first, qs_ref_kv_fn *value);

#endif
