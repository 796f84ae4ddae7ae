/* calibrate.h - the inside of the Calibrate screen: what it keeps, shared by its files; nobody else includes it.
 *
 * screen_calibrate.c has the table of what can be done and takes the events; screen_calibrate_setup.c what is to be
 * done and what it takes, screen_calibrate_draw.c what is seen of a run: layers, roles, and beside them tensors,
 * outliers or the log (screen_calibrate_panes.c). Runs are the workbench's (core/workbench_calib.h).
 */
#ifndef QS_UI_CALIBRATE_H
#define QS_UI_CALIBRATE_H

#include "core/report/report_calibrate.h"
#include "core/workbench_calib.h"
#include "ui/app.h"
#include "ui/list.h"
#include "ui/table_view.h"

enum calibrate_view { CALIBRATE_SETUP, CALIBRATE_PROGRESS, CALIBRATE_TENSORS, CALIBRATE_OUTLIERS, CALIBRATE_LOG,
                      CALIBRATE_VIEWS };

enum calibrate_field { CALIBRATE_WINDOWS, CALIBRATE_CTX, CALIBRATE_HELD_OUT, CALIBRATE_SEED, CALIBRATE_SPECIAL,
                       CALIBRATE_EVALUATION, CALIBRATE_STATISTICS, CALIBRATE_ERRORS, CALIBRATE_PRECISION, CALIBRATE_SWAPS,
                       CALIBRATE_ENCODE, CALIBRATE_GPTQ, CALIBRATE_AWQ, CALIBRATE_HQQ, CALIBRATE_CORRECT, CALIBRATE_HEAD,
                       CALIBRATE_MEMORY, CALIBRATE_OUT, CALIBRATE_STORE, CALIBRATE_FIELDS };

struct calibrate_text { char *path; double weight; };

struct calibrate {
    enum calibrate_view view;
    enum calibrate_view beside;          /* the last of tensors, outliers, log: beside the others in wide windows */
    struct qs_list rows;                 /* texts, "add a text", fields */
    struct calibrate_text *text; size_t n_text, cap_text;
    size_t at;                           /* the text that is asked about */
    struct qs_calib_request q;           /* its strings are those below */
    char *file[4];                       /* evaluation, statistics, out, store */

    bool ask;                            /* what it takes is to be found out anew */
    uint64_t doc;                        /* version of the document that it was found out for */
    unsigned told;                       /* the newest calibration whose end was told */

    struct qs_report *report; uint64_t report_version; const struct qs_model *report_of;
    double report_at;
    struct qs_table_view tensors;
    struct qs_list log;
};

struct calibrate *calibrate_of(struct qs_app *a);

/* ---- what is to be done (screen_calibrate_setup.c) ---- */

size_t calibrate_rows(const struct calibrate *v);
void calibrate_change(struct qs_app *a);                      /* the row under the cursor */
void calibrate_remove(struct qs_app *a);                      /* the text under the cursor */
void calibrate_add_text(struct qs_app *a, const char *arg);   /* "FILE" or "FILE:WEIGHT"; NULL: asks */
void calibrate_set_named(struct qs_app *a, const char *arg);  /* "NAME VALUE" */
const struct qs_calib_request *calibrate_request(struct qs_app *a); /* as it is set up, for the workbench */
void calibrate_start(struct qs_app *a, bool restart);
void calibrate_ask_overwrite(struct qs_app *a, const char *why); /* and starts again */
void calibrate_look(struct qs_app *a);                        /* finds out what it takes, where that is not known */
void calibrate_setup_draw(struct qs_app *a, const struct qs_canvas *c, bool focus);
/* What it would take, the mix and warnings (screen_calibrate_outlook.c). Returns the rows. */
int calibrate_outlook_draw(struct qs_app *a, const struct qs_canvas *c);

/* ---- one that was killed (screen_calibrate_stopped.c) ---- */

#define CALIBRATE_STOPPED "a calibration was stopped: r on Calibrate goes on, :calib-forget drops it"
void calibrate_take_stopped(struct qs_app *a);                /* Setup shows what it was asked for, where there is one */
void calibrate_go_on(struct qs_app *a, bool overwrite);       /* asks where something is there already */

/* ---- a run (screen_calibrate_draw.c) ---- */

void calibrate_draw(struct qs_app *a, const struct qs_canvas *c);
/* Layers a cell each, "letter or error"; returns the rows used. */
int calibrate_layers_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_calib_view *v);

/* ---- beside it (screen_calibrate_panes.c) ---- */

void calibrate_refresh(struct qs_app *a);                     /* the table of tensors, where there is more to be seen */
void calibrate_tensors_draw(struct qs_app *a, const struct qs_canvas *c, bool focus);
void calibrate_outliers_draw(struct qs_app *a, const struct qs_canvas *c);
void calibrate_log_draw(struct qs_app *a, const struct qs_canvas *c);
void calibrate_roles_draw(struct qs_app *a, const struct qs_canvas *c);

#endif
