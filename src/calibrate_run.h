/* calibrate_run.h - the running half of `calibrate`: jobs, events, the fit of a budget, the written file. */
#ifndef QS_SRC_CALIBRATE_RUN_H
#define QS_SRC_CALIBRATE_RUN_H

#include "core/calib/calibrate.h"
#include "core/calib/fit.h"
#include "core/model/model.h"
#include "src/verb.h"

struct qs_calib_work {
    struct qs_cli *cli;
    struct qs_model *model;
    struct qs_recipe *recipe;            /* of the options; NULL: none */
    struct qs_corpus_source *source;     /* paths are own */
    struct qs_calibrate_args args;
    struct qs_str statistics, store;     /* where they go */
    const char *budget;                  /* NULL: none */
    const char *write;                   /* GGUF to be written; NULL: none */
    bool dry_run;
    /* while it runs */
    struct qs_calibration *x;
    struct qs_calib_watch *watch;
    struct qs_calib_view seen;           /* as of the last event */
    struct qs_calibrate_need need;
    struct qs_fit *fit;
    struct qs_budget fitted;
    double seconds;
};

/* All of it, from opening the text to the report. QS_EXIT_*. */
int qs_calib_work_run(struct qs_calib_work *w);
void qs_calib_work_free(struct qs_calib_work *w);

extern const struct qs_key_doc qs_calibrate_keys[];

#endif
