/* places.h - where what a calibration leaves goes when nobody says otherwise. */
#ifndef QS_CALIB_PLACES_H
#define QS_CALIB_PLACES_H

#include "base/err.h"
#include "base/str.h"

/* MODEL-STEM.imatrix.gguf beside the model; where nothing can be written there, in the cache folder (calibrations/,
 * made if need be). Of a split model the number of the part is left out. Replaces `out`. */
int qs_calib_statistics_place(const char *model, struct qs_str *out, struct qs_err *e);
/* MODEL-STEM.NAME.qscal, likewise; name is that of the preset or recipe. */
int qs_calib_store_place(const char *model, const char *name, struct qs_str *out, struct qs_err *e);

#endif
