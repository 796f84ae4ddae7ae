/* report_calibrate.h - a calibration: texts and warnings, what it takes, errors by role, by layer and by tensor. */
#ifndef QS_CORE_REPORT_CALIBRATE_H
#define QS_CORE_REPORT_CALIBRATE_H

#include "core/calib/calibrate.h"
#include "core/calib/fit.h"
#include "core/report/table.h"

struct qs_calib_roles { /* output errors of the tensors of a role */
    enum qs_role role;
    size_t tensors, done, better;      /* better: the chosen method is better than the weighted fit */
    double before, after;              /* rms over its tensors that are done; NaN: none is */
};
/* Of roles with a matrix that the calibration has to do with, in the order of roles; `out` of QS_ROLE_COUNT entries. */
size_t qs_calib_by_role(const struct qs_model *m, const struct qs_calib_view *v, struct qs_calib_roles *out);

struct qs_calib_report {               /* what there is; the rest NULL or 0 */
    const struct qs_model *model;
    const struct qs_calib_view *view;
    const struct qs_corpus_mix *mix; size_t n_mix;
    size_t n_fit, n_held, n_ctx;
    const char *const *warning; size_t n_warnings;
    const struct qs_calibrate_need *need;
    const char *statistics, *store, *written, *recipe;
    const struct qs_fit *fit; const char *budget;
    double seconds;                    /* that it took; negative: it did not run */
    bool data;                         /* for programs: every row and number */
    bool tensors;                      /* with the table of them */
};
/* NULL: out of memory. Facts "calibration", tables "texts", "roles", "layers", "tensors", "warnings". */
struct qs_report *qs_report_calibrate(const struct qs_calib_report *x);
/* The table "tensors" alone, for the screen. */
struct qs_report *qs_report_calibrate_tensors(const struct qs_calib_report *x);

#endif
