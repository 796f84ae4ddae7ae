/* workbench_internal.h - the inside of the workbench, shared by its files; nobody else includes it.
 *
 * OWNERSHIP. A document's recipe, plan and undo belong to the owner's thread alone. What jobs read (model, importance
 * matrix, survey) is a `struct qs_wb_sources`, immutable once made but for the survey, which locks itself, and the
 * agenda, which has a lock. References are counted, without a lock: they are taken and given back on the owner's
 * thread, when a job starts and when its end is taken in. Another importance matrix makes other sources of the same
 * model.
 */
#ifndef QS_CORE_WORKBENCH_INTERNAL_H
#define QS_CORE_WORKBENCH_INTERNAL_H

#include <pthread.h>
#include "core/quant/recipe_history.h"
#include "base/hash.h"
#include "core/workbench.h"

/* ---- what jobs share ----------------------------------------------------------------------------------------- */

struct qs_wb_model { unsigned refs; struct qs_model *model; };

/* What is measured before the rest; a list each, the first goes first. */
enum qs_wb_lane {
    QS_WB_LANE_FOCUS,  /* all types of the tensor that the cursor rests on */
    QS_WB_LANE_WHOLE,  /* cells on all weights */
    QS_WB_LANE_RECIPE, /* what edits have changed */
    QS_WB_LANE_TYPE,   /* one type of every tensor */
    QS_WB_LANE_STATS,  /* distributions */
    QS_WB_LANES
};

struct qs_wb_wants { struct qs_survey_want *want; size_t n, at /* handed out so far */, cap; };

struct qs_wb_sources {
    unsigned refs;
    struct qs_wb_model *model;
    struct qs_imatrix *imatrix;
    char *imatrix_path;
    struct qs_inputs *inputs;         /* of the model, where there are statistics */
    struct qs_statistics *statistics; /* what the matrix's file knows beside; NULL: nothing */
    struct qs_outputs *outputs;       /* output errors, from the statistics; NULL: they keep no activation rows */
    bool outputs_failed;              /* measuring them: nothing but a person starts it again */
    struct qs_survey *survey;
    bool stats_wanted;             /* once */
    bool failed;                   /* measuring: it would again, so nothing starts it but a person or a change */
    pthread_mutex_t lock;          /* of the lanes: the measuring thread takes from them */
    struct qs_wb_wants lane[QS_WB_LANES];
};

/* On any thread, as nobody knows them yet. The matrix belongs to the sources then; it and its path may be NULL. known
 * (may be NULL): a survey of which all is taken over that stays true. On failure nothing is taken over. The owner
 * attaches them to the model that they are of. */
int qs_wb_sources_new(const struct qs_model *m, struct qs_imatrix *imatrix, const char *imatrix_path,
                      const struct qs_survey *known, struct qs_wb_sources **out, struct qs_err *e);
void qs_wb_sources_attach(struct qs_wb_sources *s, struct qs_wb_model *m);
struct qs_wb_sources *qs_wb_sources_ref(struct qs_wb_sources *s);
void qs_wb_sources_unref(struct qs_wb_sources *s); /* NULL allowed */

/* ---- the document -------------------------------------------------------------------------------------------- */

struct qs_wb_plans { /* what is made anew by an edit */
    struct qs_plan *plan, *baseline;
    bool keep_baseline; /* that of the plans before */
    int *type;
};

struct qs_wb_doc {
    struct qs_doc pub;
    struct qs_wb_sources *src;
    struct qs_history *history;
    struct qs_wb_plans made;
    struct qs_recipe *draft;   /* an open edit */
    struct qs_doc_candidate candidate;
    uint64_t candidate_of;     /* version of the document that it is of */
    struct qs_store *store; char *store_path; /* calibrated weights; NULL: none */
    struct qs_candidate *begun; /* newer than it and not whole: what is made of it stays; NULL: none */
    struct qs_total_error error; /* as of these two versions */
    uint64_t error_survey, error_doc;
};

/* All of a document: reads headers and makes the plan of the preset. Runs on a job's thread. */
int qs_wb_doc_open(const char *path, const char *preset, struct qs_job *job, struct qs_wb_doc **out, struct qs_err *e);
void qs_wb_doc_free(struct qs_wb_doc *d); /* NULL allowed */
/* Plan and types of a recipe; the plan of the preset alone where `baseline` says so or the preset is another. On
 * failure nothing is made. */
int qs_wb_doc_plan(const struct qs_wb_doc *d, const struct qs_wb_sources *src, const struct qs_recipe *r,
                   bool allow_requantize,
                bool baseline, struct qs_wb_plans *out, struct qs_err *e);
/* Puts them in place of those before and asks for what is to be measured now. Cannot fail. */
void qs_wb_doc_take(struct qs_workbench *w, struct qs_wb_plans *p);
void qs_wb_doc_refresh(struct qs_wb_doc *d); /* what stands in `pub`, from the rest */
void qs_wb_plans_free(struct qs_wb_plans *p);
int qs_wb_no_document(struct qs_err *e);

/* Why a tensor cannot have a type, whatever the recipe; NULL: it can. */
const char *qs_wb_refusal(const struct qs_wb_doc *d, const struct qs_tensor *t, int type);

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

struct qs_wb_order {              /* a file to be written; shared by a job and the one that resumes it */
    unsigned refs;
    struct qs_plan *plan;
    char *path, *recipe_path, *imatrix_path;
    struct qs_file_input input[2];
    struct qs_writer_args args;
};

struct qs_wb_zoom { unsigned refs; struct qs_zoom *zoom; struct qs_wb_sources *src; };

struct qs_wb_eval;                /* an evaluation: workbench_evaluating.c */
struct qs_wb_calib;               /* a calibration: workbench_calibrating.c */
struct qs_wb_stopped;             /* what one was asked for that was killed: workbench_stopped.c */
struct qs_wb_fit;                 /* a budget: workbench_fitting.c */

struct qs_wb_job {
    struct qs_work pub;
    struct qs_job *job;        /* NULL: its end has been taken in */
    struct qs_pool *pool;
    struct qs_wb_sources *src;    /* NULL while opening */
    bool ending;               /* its end is being taken in */
    bool guest;                /* `job` is somebody else's */
    bool passing;              /* leaves the list when it ends, whatever the end */
    const struct qs_wb_kind *kind;
    /* by kind */
    char *path, *preset; struct qs_wb_doc *opened;     /* QS_WORK_OPEN; the path QS_WORK_IMATRIX too */
    struct qs_wb_sources *made;                        /* QS_WORK_IMATRIX */
    struct qs_wb_wants wants; struct qs_survey_counts before; /* QS_WORK_SURVEY */
    struct qs_wb_zoom *zoom;                           /* QS_WORK_ZOOM */
    struct qs_wb_order *order; bool goes_on;           /* QS_WORK_WRITE */
    struct qs_writer_watch *watch;
    struct qs_writer_result *result;
    struct qs_plan *plan; struct qs_candidate *candidate; uint64_t version; /* QS_WORK_CANDIDATE */
    struct qs_wb_eval *eval;                           /* QS_WORK_EVALUATE */
    struct qs_wb_calib *calib;                         /* QS_WORK_CALIBRATE */
    struct qs_store *store;                            /* calibrated weights that are read */
    struct qs_wb_fit *fit;                             /* a budget that is fitted */
    qs_job_fn *fn; void *ctx; void (*free_ctx)(void *ctx); /* QS_WORK_OTHER */
};

struct qs_wb_kind {            /* all that the list of jobs knows of a kind of work; functions but run may be NULL */
    enum qs_work_kind kind;
    const char *word;          /* NULL: each has its own */
    qs_job_fn *run;            /* on the job's thread, ctx is the qs_wb_job; the others on the owner's */
    void (*ended)(struct qs_workbench *w, struct qs_wb_job *j);     /* take in what it made, tell the log */
    void (*cancelled)(struct qs_workbench *w, struct qs_wb_job *j); /* by a person, before the job hears of it */
    int (*resume)(struct qs_workbench *w, struct qs_wb_job *j, struct qs_err *e); /* one that ended, not well */
    bool of_document;          /* nobody looks at it once the sources of the document are others */
    bool keeps_sources;        /* beyond its end */
    bool stays;                /* in the list although it ended well, and longer than others where it did not */
};
extern const struct qs_wb_kind qs_wb_open_kind, qs_wb_imatrix_kind, qs_wb_survey_kind, qs_wb_zoom_kind,
                               qs_wb_write_kind, qs_wb_candidate_kind, qs_wb_eval_kind, qs_wb_calib_kind;

struct qs_workbench {
    struct qs_workbench_args args;
    char *preset;
    struct qs_log *log;
    struct qs_wb_doc *doc;
    struct qs_wb_job **job;       /* oldest first */
    size_t n_jobs, cap_jobs;
    unsigned last_id;
    unsigned opening;          /* id of the latest opening while it runs; 0: none */
    struct qs_err open_error;
    unsigned reading;          /* the same of the latest importance matrix */
    struct qs_err imatrix_error;
    struct qs_wb_zoom *zoom;      /* the one handed out */
    unsigned zoom_job;
    struct qs_wb_eval *eval, *evaluated; /* the newest evaluation, and the newest that ended well */
    unsigned eval_job, evaluations;
    struct qs_key eval_key;    /* what the recipe makes, as of that document and version */
    uint64_t eval_key_of; const struct qs_wb_doc *eval_key_doc;
    struct qs_wb_calib *calib, *look;    /* the newest calibration, and what was last asked for beforehand */
    unsigned calib_job, look_job, storing;
    struct qs_err look_err, store_error;
    struct qs_wb_stopped *stopped;       /* of the document's model, by a process before; NULL: none */
    int calib_lock; bool calib_locked;   /* of the file that keeps what the running one was asked for */
    bool calib_elsewhere;                /* another process calibrates the document's model, as of opening it or of a start */
    struct qs_wb_fit *fit;               /* the newest that was found */
    unsigned fit_job, fits;
    struct qs_proof *proof;              /* workbench_proving.c */
    unsigned prove_job, proof_of;        /* the newest; number of the result that the proof is of */
    struct qs_err prove_err;
    struct qs_err fit_err;
    bool changed;              /* something was taken in, or begun, that the next poll reports */
    uint64_t seen_log, seen_survey, seen_zoom;
};

/* Starts a job on its thread and puts it into the list; takes j over, whatever happens. title: any text. */
int qs_wb_job_start(struct qs_workbench *w, const struct qs_wb_kind *kind, struct qs_wb_job *j, const char *title,
                    struct qs_err *e);
struct qs_wb_job *qs_wb_job_new(struct qs_wb_sources *src); /* NULL: out of memory */
void qs_wb_job_free(struct qs_wb_job *j);                /* cancels and waits where it still runs */
struct qs_wb_job *qs_wb_job_find(const struct qs_workbench *w, unsigned id);
/* Cancels what is of the document (of_document) with these sources: nobody looks at it any more. */
void qs_wb_jobs_of_sources_cancel(struct qs_workbench *w, const struct qs_wb_sources *src);
void qs_wb_order_unref(struct qs_wb_order *o);
void qs_wb_zoom_unref(struct qs_wb_zoom *z);

/* ---- the candidate ------------------------------------------------------------------------------------------- */

void qs_wb_candidate_changed(struct qs_workbench *w); /* the plan is another one */
void qs_wb_candidate_drop(struct qs_wb_doc *d);       /* the weights of a document that ends */
void qs_wb_model_unref(struct qs_wb_model *m);        /* NULL allowed */

/* ---- evaluations --------------------------------------------------------------------------------------------- */

void qs_wb_eval_unref(struct qs_wb_eval *v);      /* NULL allowed */
void qs_wb_eval_forget(struct qs_workbench *w);   /* another document is open: the candidate of the last one */
void qs_wb_eval_free(struct qs_workbench *w);     /* what the workbench has of them, when it ends */

/* ---- calibrations -------------------------------------------------------------------------------------------- */

struct qs_calib_view;
void qs_wb_calib_unref(struct qs_wb_calib *v);    /* NULL allowed */
bool qs_wb_calib_poll(struct qs_workbench *w);    /* true: the newest has more to be looked at */
void qs_wb_calib_free(struct qs_workbench *w);    /* what the workbench has of them, when it ends */
/* What is seen of the newest, where it is of this model; NULL: nothing. */
const struct qs_calib_view *qs_wb_calib_view(const struct qs_workbench *w, const struct qs_wb_model *of, bool *running);
double qs_wb_fit_predict(const struct qs_workbench *w, bool imatrix_only); /* of what was found last */
void qs_wb_proof_free(struct qs_workbench *w);
void qs_wb_fit_free(struct qs_wb_fit *f);         /* NULL allowed */
void qs_wb_fit_forget(struct qs_workbench *w);    /* another document is open */

/* ---- importance matrix --------------------------------------------------------------------------------------- */

/* The open document gets other sources of its model, with a plan and a survey of their own: for jobs that read or make
 * an importance matrix. Takes them over, whatever happens; on failure the document stays as it was. */
int qs_wb_sources_install(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_err *e);

/* ---- measuring ----------------------------------------------------------------------------------------------- */

/* What a document gets measured by itself: the recipe's cells, then all others. Failing is logged. */
void qs_wb_measure_all(struct qs_workbench *w);
/* Plans have changed: before is the one that was, NULL: none. */
void qs_wb_measure_changed(struct qs_workbench *w, const struct qs_plan *before);
/* A job for the lanes alone, where none runs. */
int qs_wb_measure_again(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_err *e);

#endif
