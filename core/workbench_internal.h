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
    struct qs_survey *survey;
    bool stats_wanted;             /* once */
    pthread_mutex_t lock;          /* of the lanes: the measuring thread takes from them */
    struct qs_wb_wants lane[QS_WB_LANES];
};

/* The file belongs to the sources then; path may be NULL where imatrix is. On failure nothing is taken over. */
int qs_wb_sources_new(struct qs_wb_model *m, struct qs_imatrix *imatrix, const char *imatrix_path,
                      struct qs_wb_sources **out,
                   struct qs_err *e);
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

struct qs_wb_job {
    struct qs_work pub;
    struct qs_job *job;        /* NULL: its end has been taken in */
    struct qs_pool *pool;
    struct qs_wb_sources *src;    /* NULL while opening */
    bool ending;               /* its end is being taken in */
    bool passing;              /* leaves the list when it ends, whatever the end */
    /* by kind */
    char *path, *preset; struct qs_wb_doc *opened;     /* QS_WORK_OPEN */
    struct qs_wb_wants wants; struct qs_survey_counts before; /* QS_WORK_SURVEY */
    struct qs_wb_zoom *zoom;                           /* QS_WORK_ZOOM */
    struct qs_wb_order *order; bool goes_on;           /* QS_WORK_WRITE */
    struct qs_writer_watch *watch;
    struct qs_writer_result *result;
};

struct qs_wb_kind {               /* what a kind of work does; members may be NULL but for run */
    qs_job_fn *run;            /* on the job's thread, ctx is the qs_wb_job */
    void (*ended)(struct qs_workbench *w, struct qs_wb_job *j); /* on the owner's: take in what it made, tell the log */
    bool keep;                 /* stays in the list although it ended well */
};
extern const struct qs_wb_kind qs_wb_open_kind, qs_wb_survey_kind, qs_wb_zoom_kind, qs_wb_write_kind;

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
    struct qs_wb_zoom *zoom;      /* the one handed out */
    unsigned zoom_job;
    bool changed;              /* something was taken in, or begun, that the next poll reports */
    uint64_t seen_log, seen_survey, seen_zoom;
};

/* Starts a job on its thread and puts it into the list; takes j over, whatever happens. title: any text. */
int qs_wb_job_start(struct qs_workbench *w, enum qs_work_kind kind, struct qs_wb_job *j, const char *title,
                    struct qs_err *e);
struct qs_wb_job *qs_wb_job_new(struct qs_wb_sources *src); /* NULL: out of memory */
void qs_wb_job_free(struct qs_wb_job *j);                /* cancels and waits where it still runs */
struct qs_wb_job *qs_wb_job_find(const struct qs_workbench *w, unsigned id);
/* Cancels the survey and the zoom of these sources: nobody looks at them any more. */
void qs_wb_jobs_of_sources_cancel(struct qs_workbench *w, const struct qs_wb_sources *src);
void qs_wb_order_unref(struct qs_wb_order *o);
void qs_wb_zoom_unref(struct qs_wb_zoom *z);

/* ---- measuring ----------------------------------------------------------------------------------------------- */

/* What a document gets measured by itself: the recipe's cells, then all others. Failing is logged. */
void qs_wb_measure_all(struct qs_workbench *w);
/* Plans have changed: before is the one that was, NULL: none. */
void qs_wb_measure_changed(struct qs_workbench *w, const struct qs_plan *before);
/* The same for whoever asks for it; a job for the lanes alone, where none runs. */
int qs_wb_measure_restart(struct qs_workbench *w, struct qs_err *e);
int qs_wb_measure_again(struct qs_workbench *w, struct qs_wb_sources *src, struct qs_err *e);
void qs_wb_lanes_clear(struct qs_wb_sources *s);

#endif
