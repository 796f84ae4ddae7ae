/* hqq_internal.h - what group grids and GGUF types share of HQQ. */
#ifndef QS_CALIB_HQQ_INTERNAL_H
#define QS_CALIB_HQQ_INTERNAL_H

#include "core/calib/group.h"

/* The proximal step of |.|^p: sign(d) * max(0, |d| - |d|^(p-1) / beta). */
double qs_hqq_shrunk(double d, double p, double beta);
int qs_hqq_check(const struct qs_hqq_args *a, struct qs_err *e); /* QS_EINVAL: numbers that it cannot work with */

#endif
