/* places.h - where what a calibration leaves goes when nobody says otherwise. */
#ifndef QS_CALIB_PLACES_H
#define QS_CALIB_PLACES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "core/quant/recipe.h"

/* MODEL-STEM.imatrix.gguf beside the model; where nothing can be written there, in the cache folder (calibrations/,
 * made if need be), which all models share: there a hash of the absolute path stands behind the stem. Of a split
 * model the number of the part is left out. Replaces `out`. */
int qs_calib_statistics_place(const char *model, struct qs_str *out, struct qs_err *e);
/* MODEL-STEM.NAME.qscal, likewise; name is that of the preset or recipe. */
int qs_calib_store_place(const char *model, const char *name, struct qs_str *out, struct qs_err *e);
/* That name: of the preset; where pins, rules or options say more, with a hash of the recipe, so that two recipes do not
 * share a place. And of a budget: "fit-4.5bpw". Both append. */
int qs_calib_recipe_name(const struct qs_recipe *r, struct qs_str *out, struct qs_err *e);
void qs_calib_budget_name(const char *budget, struct qs_str *out);
/* What a calibration of this model was asked for while it is not done: calibrations/MODEL-STEM-HASH.json among this
 * person's state. make: the folder too. */
int qs_calib_request_place(const char *model, bool make, struct qs_str *out, struct qs_err *e);

#endif
