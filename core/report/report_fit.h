/* report_fit.h - a fitted recipe as tables: each tensor's type with its reason and next steps, the frontier, the proof;
 * and the frontier as a picture of characters.
 */
#ifndef QS_CORE_REPORT_FIT_H
#define QS_CORE_REPORT_FIT_H

#include "core/calib/fit.h"
#include "core/calib/prove.h"
#include "core/report/table.h"

struct qs_fit_preset { const char *name; uint64_t bytes; double bpw, predicted; }; /* a point beside the frontier */

struct qs_fit_view {
    const struct qs_model *model;
    const struct qs_fit *fit;
    const struct qs_plan *plan;              /* of its recipe */
    const struct qs_budget *budget;
    const struct qs_fit_point *point; size_t n_points;   /* 0: no frontier */
    const struct qs_fit_preset *preset; size_t n_presets;
    const struct qs_proof *proof;            /* NULL: not proven */
    const char *recipe_path;                 /* where it was written; NULL: nowhere */
};

/* Returns NULL when out of memory. */
struct qs_report *qs_report_fit(const struct qs_fit_view *v);
/* Size across, predicted divergence (a power of ten each line or so) upwards: "*" the frontier, letters presets, "@"
 * the fitted recipe; below it what the letters mean. width: cells, at least 40. Appended; nothing where there are fewer
 * than two points. */
void qs_fit_plot(const struct qs_fit_view *v, unsigned width, struct qs_str *out);
/* What came of the proof, one sentence; "" without one. Appended. */
void qs_fit_verdict(const struct qs_fit_view *v, struct qs_str *out);

#endif
