/* places.h - where what a calibration leaves goes when nobody says otherwise. */
#ifndef QS_CALIB_PLACES_H
#define QS_CALIB_PLACES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* MODEL-STEM.imatrix.gguf beside the model; where nothing can be written there, in the cache folder (calibrations/,
 * made if need be), which all models share: there a hash of the absolute path stands behind the stem. Of a split
 * model the number of the part is left out. Replaces `out`. */
int qs_calib_statistics_place(const char *model, struct qs_str *out, struct qs_err *e);
/* MODEL-STEM.NAME.qscal, likewise; name is that of the preset or recipe. */
int qs_calib_store_place(const char *model, const char *name, struct qs_str *out, struct qs_err *e);
/* What a calibration of this model was asked for while it is not done: calibrations/MODEL-STEM-HASH.json among this
 * person's state. make: the folder too. */
int qs_calib_request_place(const char *model, bool make, struct qs_str *out, struct qs_err *e);

#endif
