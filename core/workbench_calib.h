/* workbench_calib.h - calibrations of the open document and budgets fitted to it, as jobs of the workbench.
 *
 * One calibration is begun at a time. It works on the model and the recipe as they were then, and goes on while the
 * document is edited. What it shows meanwhile is a copy of its watch (core/calib/watch.h). When it ends well, and the
 * model is still open, its statistics become the importance matrix of the document and its store the place where plan,
 * candidate, chat, evaluation and writer find calibrated weights. One that was cancelled or failed is gone on with by
 * qs_workbench_job_resume, from the last chunk or tensor that was finished.
 */
#ifndef QS_CORE_WORKBENCH_CALIB_H
#define QS_CORE_WORKBENCH_CALIB_H

#include "core/calib/calibrate.h"
#include "core/calib/fit.h"
#include "core/calib/prove.h"
#include "core/workbench.h"

/* ---- a calibration ------------------------------------------------------------------------------------------- */

struct qs_calib_request {                /* as in qs_calibrate_args; strings are copied */
    const struct qs_corpus_source *source; size_t n_sources;
    size_t n_ctx, n_windows;
    double held_out;
    uint64_t seed;
    bool special;
    const char *evaluation;
    const char *statistics_in;           /* NULL: collected from the text */
    const char *statistics_out, *store;  /* NULL: where qs_workbench_calib_places says */
    bool errors;
    enum qs_calib_precision precision;
    size_t swap_windows;
    bool encode;                         /* what the recipe says now */
    struct qs_calib_methods methods;
    uint64_t memory;
    bool restart, overwrite;
};

struct qs_calib_told {                   /* known once text and plan are opened */
    struct qs_calibrate_need need;
    struct qs_corpus_mix *mix; size_t n_mix;
    size_t n_fit, n_held, n_ctx;
    char **warning; size_t n_warnings;
};

/* MODEL-STEM.imatrix.gguf and MODEL-STEM.RECIPE.qscal beside the model; where nothing can be written there, in the
 * cache folder. Either may be NULL. */
int qs_workbench_calib_places(const struct qs_workbench *w, struct qs_str *statistics, struct qs_str *store,
                              struct qs_err *e);

/* Finds out what it would take, by a job; takes the place of the one before. */
int qs_workbench_calib_look(struct qs_workbench *w, const struct qs_calib_request *q, struct qs_err *e);
struct qs_calib_outlook {
    bool looking;
    const struct qs_calib_told *told;    /* NULL: not known */
    struct qs_err err;                   /* why not; code QS_OK otherwise */
};
/* What it points to is valid until the next call that looks or polls. */
void qs_workbench_calib_outlook(const struct qs_workbench *w, struct qs_calib_outlook *out);

/* Refused at once: QS_EINVAL, no document, neither text nor statistics; QS_EBUSY, one runs; QS_EEXISTS, the store that it
 * would write is there and overwrite is false. All else the job finds out; statistics that are there and are not of the
 * same text are QS_EEXISTS too. *id may be NULL. */
int qs_workbench_calib_start(struct qs_workbench *w, const struct qs_calib_request *q, unsigned *id, struct qs_err *e);

struct qs_calibrating {
    unsigned job;                        /* of the newest calibration; 0: none was begun, or it was dismissed */
    bool runs;                           /* it has not ended; it may be paused */
    bool ended_well;
    const struct qs_calib_request *request; /* NULL: none was begun */
    const char *title;
    const char *statistics, *store;      /* where it writes; NULL: it does not */
    struct qs_err err;                   /* why it ended, where that was not well */
    const struct qs_calib_told *told;    /* NULL: not known yet */
    const struct qs_calib_view *view;    /* NULL: none was begun. Tensors in the order of the model */
    const struct qs_model *model;        /* it is of, for names; NULL: none was begun */
    bool of_document;
};
/* What it points to is valid until the next call that starts, polls or asks. */
void qs_workbench_calib(struct qs_workbench *w, struct qs_calibrating *out);

/* One of the document's model that neither ended well nor was ended by this workbench: its process was killed, or was
 * left. What was asked for is kept in a file (core/calib/places.h) from its start until one of that model ends well. */
struct qs_calib_stopped {
    const struct qs_calib_request *request; /* paths are absolute */
    const struct qs_recipe *recipe;         /* as it was then; NULL: nothing was to be encoded */
};
/* NULL: there is none, or one of the model was begun since. Valid until the next call that starts, polls or opens. */
const struct qs_calib_stopped *qs_workbench_calib_stopped(const struct qs_workbench *w);
/* Starts it again from the last chunk or tensor that was finished: the same request, recipe and so the same bytes.
 * Refused as a start is; QS_ENOTFOUND, there is none. */
int qs_workbench_calib_go_on(struct qs_workbench *w, bool overwrite, unsigned *id, struct qs_err *e);

/* Throws away what is left of it, or of the newest one where that was cancelled or failed: half a store, layers that were
 * collected; statistics that are whole stay. QS_ENOTFOUND: there is none; QS_EBUSY: it runs, here or elsewhere. */
int qs_workbench_calib_forget(struct qs_workbench *w, struct qs_err *e);
/* Another process calibrated the document's model when it was opened, or one was to be started. */
bool qs_workbench_calib_elsewhere(const struct qs_workbench *w);

/* Starts reading a store of encoded tensors (NAME.qscal) for the document; NULL: none any more, at once. As
 * qs_workbench_imatrix: a job, of several the last one counts, no undo. */
int qs_workbench_calibration(struct qs_workbench *w, const char *path, struct qs_err *e);
bool qs_workbench_calibration_reading(const struct qs_workbench *w);
const struct qs_err *qs_workbench_calibration_error(const struct qs_workbench *w); /* code QS_OK: none */

/* Relative output error of a tensor as the document has it, measured on held-out text: of the weighted fit and of the
 * method that was chosen; from the running calibration, else from the store. */
struct qs_made_output {
    double before, after, plain;
    enum qs_calib_state state;
    bool running;
    int type;
    char method[16], note[80];
};
bool qs_workbench_output(struct qs_workbench *w, size_t tensor, struct qs_made_output *out); /* false: nothing is known */
/* Measures the output errors of the types that the plan gives, from the statistics' sample of activation rows, where they are
 * not known yet: what the map of outputs shows. A job; nothing where one runs or there is nothing to measure. asked: by a
 * person, so that it is tried again after a failure or where it was cancelled. */
void qs_workbench_want_outputs(struct qs_workbench *w, bool asked);
uint64_t qs_workbench_output_version(struct qs_workbench *w); /* another number where any of them may be another */

/* Activation outliers of what a tensor reads, from the document's statistics. False: they do not know. */
bool qs_workbench_channels(const struct qs_workbench *w, size_t tensor, struct qs_channel_facts *out);

/* ---- a budget ------------------------------------------------------------------------------------------------ */

struct qs_fit_mark { char name[64]; uint64_t bytes; double bpw, predicted; bool file; }; /* a preset; a recipe's file */

struct qs_fit_state {
    bool runs;
    unsigned job;
    struct qs_err err;                   /* of the last one that ended not well; code QS_OK: none */
    const struct qs_fit *fit;            /* the last one that was found; NULL: none. Of the open document */
    struct qs_budget budget;             /* of it */
    const struct qs_fit_point *point; size_t n_points; /* the frontier, ascending bytes */
    const struct qs_fit_mark *mark; size_t n_marks;
    bool applied;                        /* the recipe gives every tensor the type that it chose */
    unsigned number;                     /* grows with every result */
};
/* Finds a recipe for a budget ("4.2GiB", "4.5 bpw", "fits in 8 GiB with 8k context") by a job, and makes it the
 * document's as one step of undo. QS_EINVAL: no document, or a budget that cannot be read. */
int qs_workbench_fit(struct qs_workbench *w, const char *budget, bool tie, struct qs_err *e);
void qs_workbench_fit_state(struct qs_workbench *w, struct qs_fit_state *out);
/* The recipe that was found becomes the document's (again): one step of undo. */
int qs_workbench_fit_apply(struct qs_workbench *w, struct qs_err *e);

/* ---- a proof of it ------------------------------------------------------------------------------------------- */

enum { QS_PROVE_WINDOWS = 24, QS_PROVE_RIVALS = 6 };
struct qs_proof_state {
    bool runs;
    unsigned job;
    struct qs_err err;                   /* of the last one that ended not well */
    const struct qs_proof *proof;        /* of what was found last; NULL: none */
};
/* Measures what was found on the first QS_PROVE_WINDOWS windows of a held-out text, against the QS_PROVE_RIVALS largest
 * presets and uniform types of at most its bytes. A job; QS_ENOTFOUND: nothing was found yet. */
int qs_workbench_prove(struct qs_workbench *w, const char *text, struct qs_err *e);
void qs_workbench_proof(struct qs_workbench *w, struct qs_proof_state *out);

#endif
