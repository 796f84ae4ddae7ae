/* bad_weights.h - weights that are no finite numbers, or would not be: the rules and the words of those who write files.
 *
 * A model with such weights computes NaN (llama.cpp loads it unless told to check its tensors), so the writer refuses to
 * make one. The looking itself is core/model/scan's.
 */
#ifndef QS_CORE_BAD_WEIGHTS_H
#define QS_CORE_BAD_WEIGHTS_H

#include <stdbool.h>
#include "core/format/imatrix.h"
#include "core/model/model.h"
#include "core/model/scan.h"

/* Beyond this the types with half-precision scales hold no weight; some encoders then write zeros. */
#define QS_BAD_TOO_LARGE 1e10
/* Whether the largest absolute error of what was encoded as `f` says that such weights were lost. The one rule for this:
 * the writer refuses to write them, the survey marks the type as overflowing. F32, BF16 and MXFP4 hold every size; what
 * becomes infinite (F16) is counted among the weights that are not finite. */
bool qs_bad_lost(const struct qs_format *f, double max_abs);

/* The messages (QS_EFORMAT). `path`: the file the tensor is in; become: what happens to the weights ("would be NaN or
 * infinite"); largest: size of the largest weight there; importance: what the tensor was encoded with, or NULL: blamed
 * where the weights are too small to be the cause. */
int qs_bad_source(const struct qs_tensor *t, const char *path, const struct qs_scan *bad, struct qs_err *e);
int qs_bad_result(const struct qs_tensor *t, int type, const struct qs_scan *bad, const char *become, double largest,
                  const struct qs_imatrix_entry *importance, struct qs_err *e);

#endif
