/* workbench.h - the open document and the work on it, without a screen.
 *
 * DESIGN. One thread, the owner's, calls; jobs run on threads of their own and publish. An open model is a document:
 * model, importance matrix, recipe with its undo, plan, survey. A job holds a reference to what it works on, so another
 * model can be opened while it still ends; nobody ever waits for a job except qs_workbench_free. The owner calls
 * qs_workbench_poll after every wake-up through `wake_fd`, and about ten times a second while work runs: there,
 * finished jobs are taken in. Every edit makes a new plan at once, so what is shown is what would be written. A call
 * that fails leaves everything as it was.
 *
 * MEASURING. Of a model that holds no quantized matrix (qs_model_is_quantized) what the recipe needs is measured first,
 * by a job that starts by itself; then every type of every tensor, on a sample of rows, unless that comes to more than
 * QS_WORKBENCH_CELLS cells. A model that is quantized already has errors against itself only, and is measured only for
 * what is asked for. Whatever is asked for, by the functions below or by an edit (the tensors whose type it changed),
 * goes before the rest, in this order: the tensor in focus, whole cells, edits, one type everywhere, distributions;
 * where nothing runs, a job starts for it. A survey that is cancelled by a person forgets what was asked for until
 * then. After one that failed none starts by itself, as it would fail again: only an edit, another importance matrix,
 * qs_workbench_want_whole and qs_workbench_job_resume start another.
 */
#ifndef QS_CORE_WORKBENCH_H
#define QS_CORE_WORKBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/job/job.h"
#include "core/job/log.h"
#include "core/model/model.h"
#include "core/quant/candidate.h"
#include "core/quant/plan.h"
#include "core/quant/recipe.h"
#include "core/quant/survey.h"
#include "core/quant/writer.h"
#include "core/quant/zoom.h"

#define QS_WORKBENCH_CELLS 20000    /* most cells measured without being asked for, besides those of the recipe */
#define QS_WORKBENCH_ZOOM_BINS 1024 /* of a zoom's channel profiles */

struct qs_workbench;
struct qs_statistics;
struct qs_outputs;
struct qs_store;

struct qs_workbench_args {
    struct qs_pool *pool;  /* outlives the workbench */
    int wake_fd;           /* gets a byte when a job has news; -1: none */
    const char *preset;    /* of new documents; NULL: QS_PRESET_DEFAULT */
    bool private;          /* what calibrations were asked for is not kept among this person's state, nor read */
};

int qs_workbench_new(const struct qs_workbench_args *args, struct qs_workbench **out, struct qs_err *e);
void qs_workbench_free(struct qs_workbench *w); /* cancels what runs and waits for it */

/* Takes in what jobs have done. True: something to look at has changed. */
bool qs_workbench_poll(struct qs_workbench *w);
bool qs_workbench_busy(const struct qs_workbench *w); /* a job runs that is not paused, or its end is to be taken in */
struct qs_log *qs_workbench_log(struct qs_workbench *w);
/* The preset of documents that are opened from now on; an unknown one changes nothing. */
int qs_workbench_preset(struct qs_workbench *w, const char *name, struct qs_err *e);

/* ---- the document -------------------------------------------------------------------------------------------- */

struct qs_total_error {     /* of all tensors under the recipe */
    double rms;             /* relative RMS error, as the map's total: sqrt(sum e^2 m n / sum m n), m the mean square of
                             * a tensor's n weights, over tensors whose error is known, kept ones (e = 0) included. NaN:
                             * not known for half of the weights to be encoded */
    double std_error;       /* of it, 0 when nothing is sampled */
    size_t known, tensors;  /* encoded tensors whose error is known, and all of them */
    bool sampled;
};

struct qs_doc {             /* read-only for everybody else; valid until the next call that edits, opens or polls */
    struct qs_model *model;
    const struct qs_imatrix *imatrix; const char *imatrix_path; /* NULL: none */
    const struct qs_statistics *statistics; /* what the same file knows beside (core/calib/statistics.h); NULL: nothing */
    struct qs_outputs *outputs;     /* output errors of types, from the statistics (core/calib/output.h); NULL: none */
    struct qs_store *store; const char *store_path; /* calibrated weights that plans use; NULL: none */
    const struct qs_recipe *recipe; /* at first the preset, steady; a file that is loaded says so or does not */
    const struct qs_plan *plan;     /* made with foretell: its problems stand in it */
    struct qs_survey *survey;
    const struct qs_plan *baseline; /* of the preset alone, without pins, rules and options; NULL: it cannot be made.
                                     * Made anew only with the preset, the importance matrix and the permission */
    int *type;                      /* per tensor, under the plan (QS_TYPE_NONE where it is copied as it is) */
    bool allow_requantize;
    const char *recipe_path;        /* where it was loaded from or saved to; NULL: nowhere yet */
    bool recipe_changed;            /* since then */
    size_t undos, redos;            /* steps there are */
    uint64_t version;               /* grows with every edit of recipe, importance matrix, permission */
};

/* NULL: none is open. */
const struct qs_doc *qs_workbench_doc(const struct qs_workbench *w);
/* Starts opening a model, a job too; the document is there when a poll says so, or the log says why not. The one before
 * stays open until then. Of several that are opened at the same time the last one counts. */
int qs_workbench_open(struct qs_workbench *w, const char *path, struct qs_err *e);
bool qs_workbench_opening(const struct qs_workbench *w);
const struct qs_err *qs_workbench_open_error(const struct qs_workbench *w); /* of the last opening; code QS_OK: none */

/* Total error under the recipe, from what the survey knows now. */
struct qs_total_error qs_workbench_error(const struct qs_workbench *w);

/* ---- edits: each is one step of undo, and a new plan --------------------------------------------------------- */

/* Tensors (indices of the model) get a type by pins; where the recipe gives it without a pin, the pin goes.
 * QS_TYPE_NONE: the pins go. QS_EINVAL: the type does not fit one of them (named), nothing is changed then. *changed
 * (may be NULL): of the tensors listed those whose type is another now. Under a recipe that is not steady, pins may
 * change the types of tensors not listed, where the preset numbers them: the plan warns. */
int qs_workbench_set(struct qs_workbench *w, const size_t *tensor, size_t n, int type, size_t *changed,
                     struct qs_err *e);
/* The next type up (+1) or down (-1) on the ladder, for each of them; those that are at its end, or never quantized,
 * stay. */
int qs_workbench_step(struct qs_workbench *w, const size_t *tensor, size_t n, int direction, size_t *changed,
                      struct qs_err *e);
/* Any other edit: change the private copy with recipe.h, then commit (label for undo: "rule 2 removed"), or abandon. A
 * failed commit abandons. One that changed nothing is no step. Meanwhile every other edit, undo and redo are refused.
 * */
struct qs_recipe *qs_workbench_edit(struct qs_workbench *w, struct qs_err *e); /* NULL: failed */
int qs_workbench_commit(struct qs_workbench *w, const char *label, struct qs_err *e);
void qs_workbench_abandon(struct qs_workbench *w);
/* What was undone or redone; valid until the next edit. NULL: nothing, as *e (may be NULL) says: QS_ENOTFOUND, there is
 * nothing more; QS_EBUSY, an edit is open; QS_EINVAL, no document. The file that the recipe belongs to, and whether it
 * has changed since it was saved there, go along: undoing a load gives back the file before. */
const char *qs_workbench_undo(struct qs_workbench *w, struct qs_err *e);
const char *qs_workbench_redo(struct qs_workbench *w, struct qs_err *e);

int qs_workbench_recipe_load(struct qs_workbench *w, const char *path, struct qs_err *e); /* one step of undo */
int qs_workbench_recipe_save(struct qs_workbench *w, const char *path, bool overwrite, struct qs_err *e);
/* Starts reading an importance matrix, a job; the document has it when a poll says so, or the error and the log say why
 * not (QS_EINVAL: it belongs to another model). NULL: none any more, at once. No undo. Of several that are read at the
 * same time the last one counts. Another survey begins, in which stays what does not depend on the matrix; what the
 * cache has of it is there soon. */
int qs_workbench_imatrix(struct qs_workbench *w, const char *path, struct qs_err *e);
bool qs_workbench_imatrix_reading(const struct qs_workbench *w);
const struct qs_err *qs_workbench_imatrix_error(const struct qs_workbench *w); /* of the last one; code QS_OK: none */
int qs_workbench_requantize(struct qs_workbench *w, bool allowed, struct qs_err *e); /* no undo */

/* ---- choosing ------------------------------------------------------------------------------------------------ */

/* The ladder of a tensor: types in ascending bits, one for each number of bits.
 *     rows that are multiples of 256:  Q2_K Q3_K Q4_K Q5_K Q6_K Q8_0; where the importance matrix has the tensor:
 *                                      IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S Q2_K IQ3_XXS IQ3_S IQ4_XS Q4_K Q5_K Q6_K Q8_0
 *     other multiples of 32:           Q4_0 (IQ4_NL where the importance matrix has it) Q5_0 Q8_0
 * then F16, for F32 sources; the top is the tensor's own type in the source (nothing above it would be better), and
 * types of as many bits or more are left out. So are those that llama.cpp's rules refuse without importance weights. A
 * tensor that is never quantized has no ladder. The result is the nearest step of more (fewer) bits than `type`, which
 * need not be on the ladder; QS_TYPE_NONE: there is none. */
int qs_workbench_next_type(const struct qs_workbench *w, const struct qs_tensor *t, int type, int direction);

struct qs_type_choice {
    int type;
    uint64_t bytes;                /* of the whole tensor */
    double bpw;
    struct qs_survey_cell cell;    /* known or not, with how it was obtained */
    bool now;                      /* what the plan gives it */
    bool preset;                   /* what the preset alone gives it */
    bool ladder;                   /* a step of the ladder */
    const char *refused;           /* why it cannot be had; NULL: it can */
};
/* Every type that can be written, ascending bpw; `out` of at least qs_format_count() entries. Returns how many. */
size_t qs_workbench_choices(const struct qs_workbench *w, const struct qs_tensor *t, struct qs_type_choice *out);

/* ---- measuring ----------------------------------------------------------------------------------------------- */

/* Every tensor as the recipe has it, where that is not known yet: what the map of errors shows. Of a model that is not
 * quantized this is measured by itself. */
void qs_workbench_want_recipe(struct qs_workbench *w);
/* Measures all types of this tensor before the rest (the cursor rests on it); takes the place of the focus before. */
void qs_workbench_focus(struct qs_workbench *w, size_t tensor);
/* Measures one type for every tensor before the rest; takes the place of the type before. */
void qs_workbench_want_type(struct qs_workbench *w, int type);
/* Distributions (outliers, kurtosis) of all tensors: reads every weight. Once. */
void qs_workbench_want_stats(struct qs_workbench *w);
/* One cell on all its weights instead of a sample. */
void qs_workbench_want_whole(struct qs_workbench *w, size_t tensor, int type);
/* Starts zooming into a tensor at a type; replaces the zoom before, which is gone then. NULL on failure. Valid until
 * the next zoom or qs_workbench_zoom_end; it stops where it is when the document or its importance matrix is
 * replaced. */
struct qs_zoom *qs_workbench_zoom(struct qs_workbench *w, size_t tensor, int type, unsigned tile_rows,
                                  unsigned tile_cols,
                                  struct qs_err *e);
void qs_workbench_zoom_end(struct qs_workbench *w);

/* ---- the candidate ------------------------------------------------------------------------------------------- */

/* The recipe carried out in memory (core/quant/candidate.h). Once it is wanted it is kept for the recipe: a job
 * makes it, and after every edit another job makes what the edit changed. Another document, and wanted false, end
 * that. */
struct qs_doc_candidate {
    bool wanted;
    unsigned job;                    /* that makes it, or is being stopped; 0: none runs */
    struct qs_candidate *candidate; /* the newest whole one, to be run; NULL: none yet. Valid until the next poll
                                      * or edit: take a reference */
    bool fresh;                      /* it is what the recipe says now */
    struct qs_err err;               /* why it is not, and no job runs for it; code QS_OK: nothing is known of */
    uint64_t version;                /* grows with every change of the above */
};
const struct qs_doc_candidate *qs_workbench_candidate(const struct qs_workbench *w); /* NULL: no document */
/* true, where it is wanted already: tries again after a failure or a cancelled job. */
int qs_workbench_candidate_want(struct qs_workbench *w, bool wanted, struct qs_err *e);
/* What it would take beyond what is there. */
int qs_workbench_candidate_need(const struct qs_workbench *w, struct qs_candidate_need *out, struct qs_err *e);

/* Keeps the model of the document open until it is let go, on the owner's thread (the workbench may have ended): for
 * those who run it, while other documents come and go. NULL: no document. */
struct qs_wb_model;
struct qs_wb_model *qs_workbench_hold(struct qs_workbench *w);
const struct qs_model *qs_held_model(const struct qs_wb_model *m);
void qs_workbench_let_go(struct qs_wb_model *m); /* NULL allowed */

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

enum qs_work_kind { QS_WORK_OPEN, QS_WORK_IMATRIX, QS_WORK_SURVEY, QS_WORK_ZOOM, QS_WORK_WRITE, QS_WORK_CANDIDATE,
                    QS_WORK_EVALUATE, QS_WORK_CALIBRATE, QS_WORK_OTHER };

struct qs_work {
    unsigned id;                     /* from 1, never used again */
    enum qs_work_kind kind;
    const char *word;                /* what it is doing: "opening", "measuring"; of other work as it was started */
    bool resumable;                  /* it has ended, not well, and qs_workbench_job_resume can be asked */
    struct qs_job_status status;     /* as of the last poll */
    bool pause_wanted;
    int64_t started;                 /* seconds since 1970 */
    /* QS_WORK_WRITE: */
    const struct qs_plan *plan;                /* what is written: its own, not the document's */
    struct qs_writer_watch *watch;             /* every tensor's state; to be read */
    const char *path;
    const struct qs_writer_result *result;     /* when done */
};

/* Newest first. Ended ones stay, at most 100 of them, files that can be gone on with longer than others; one that ended
 * well only until the next one with the same word, but for openings and writing; one that nobody can look at any more
 * (its document or zoom was replaced) not at all. A file that was written keeps its model open until it is dismissed.
 * What is returned is valid until the next call that starts, dismisses or polls. */
size_t qs_workbench_jobs(const struct qs_workbench *w);
const struct qs_work *qs_workbench_job(const struct qs_workbench *w, size_t i);
const struct qs_work *qs_workbench_job_by_id(const struct qs_workbench *w, unsigned id); /* NULL: dismissed */
void qs_workbench_job_pause(struct qs_workbench *w, unsigned id, bool paused);
void qs_workbench_job_cancel(struct qs_workbench *w, unsigned id);
/* A write or calibration that was cancelled or failed goes on where it stopped (a new job, with the plan it had); a
 * survey of the open document starts again. */
int qs_workbench_job_resume(struct qs_workbench *w, unsigned id, struct qs_err *e);
void qs_workbench_job_dismiss(struct qs_workbench *w, unsigned id);         /* an ended one leaves the list */
/* Any other work (QS_WORK_OTHER) on a thread of its own: it stands in the list, wakes the owner and is polled, paused
 * and cancelled like the rest; a failure is logged. word: what it is doing, one word that lives as long as the
 * workbench ("looking"). free_ctx (may be NULL): called on the owner's thread once the end has been taken in, with the
 * workbench, or at once where the start fails; without it ctx has to live until then. *id (may be NULL): its status
 * tells its end. */
int qs_workbench_start(struct qs_workbench *w, const char *word, const char *title, qs_job_fn *fn, void *ctx,
                       void (*free_ctx)(void *ctx), unsigned *id, struct qs_err *e);

/* A job that somebody else has started and owns (QS_WORK_OTHER too): it stands in the list while it runs, and is
 * polled, paused and cancelled like the rest. It is taken off the list before its owner frees it, unless the workbench
 * has ended; an id that is not there any more does nothing. */
int qs_workbench_watch(struct qs_workbench *w, const char *word, struct qs_job *job, unsigned *id, struct qs_err *e);
void qs_workbench_unwatch(struct qs_workbench *w, unsigned id);

struct qs_write_request {
    const char *path;            /* NULL: beside the model, MODEL.TYPE.gguf */
    uint64_t split_max_bytes;    /* 0: one file */
    bool overwrite, restart, modelfile;
};
/* What it would come to; forecast.refusal says what stands in the way. *path (may be NULL) gets the name. */
int qs_workbench_forecast(const struct qs_workbench *w, const struct qs_write_request *q,
                          struct qs_writer_forecast *out,
                          struct qs_str *path, struct qs_err *e);
/* Starts writing the plan as it is now; editing goes on meanwhile. *id (may be NULL): the job. What is known to stand
 * in the way is an error at once. */
int qs_workbench_write(struct qs_workbench *w, const struct qs_write_request *q, unsigned *id, struct qs_err *e);

#endif
