/* workbench_eval.h - evaluations of the open document, or of a file beside it, as jobs of the workbench.
 *
 * One evaluation is begun at a time. It works on the model, the importance matrix and the recipe as they were then, and
 * goes on while the document is edited or another one is opened. What it finds stays until another one has ended well;
 * whether it is of the recipe as it is now is told with it. Weights of the candidate that the workbench keeps, or that
 * the last evaluation made, are used as they are: after an edit only what it changed is made.
 */
#ifndef QS_CORE_WORKBENCH_EVAL_H
#define QS_CORE_WORKBENCH_EVAL_H

#include "core/eval/evaluation.h"
#include "core/workbench.h"

enum qs_eval_what {
    QS_EVAL_ALONE,     /* the document's model: perplexity */
    QS_EVAL_CANDIDATE, /* what the recipe makes of it, against it */
    QS_EVAL_FILE,      /* `file`, against it */
    QS_EVAL_AGAINST    /* it, against `file` */
};

struct qs_eval_request {
    enum qs_eval_what what;
    const char *file;                    /* NULL where `what` needs none */
    const char *text;
    const char *held_out, *calibration;  /* as in qs_evaluation_args; NULL: none */
    size_t n_ctx, n_windows;             /* 0: as in qs_evaluation_args */
    enum qs_precision precision;
    struct qs_session_args cache;
    bool noise;
    bool remember;                       /* as a line of the history */
};

struct qs_eval_point {                   /* as of so many windows; numbers of no reference are NaN */
    size_t windows;
    double ppl, ppl_se, base, base_se, kld, kld_se, same_top, same_top_se;
};
#define QS_EVAL_POINTS 2048              /* at most: beyond, every second one is dropped, again and again */

struct qs_eval_state {
    unsigned job;                        /* of the newest evaluation; 0: none was begun, or it was dismissed */
    bool runs;                           /* it has not ended; it may be paused */
    const struct qs_eval_request *request; /* of it; NULL: none was begun */
    const char *title;                   /* "candidate Q4_K_M of x.gguf against it on wiki.txt" */
    struct qs_err err;                   /* why it ended, where that was not well; code QS_OK otherwise */
    size_t windows, n_ctx;               /* what there is to do; 0: not known yet */
    uint64_t tokens;                     /* of the text */
    uint64_t need;                       /* private bytes beside weights; 0: not known before the first window */
    bool by_layer;                       /* the models are larger than the memory that is free */
    const struct qs_eval_point *point;   /* every `step`-th window, oldest first */
    size_t n_points, step;
    /* Of the newest that ended well: */
    const struct qs_evaluation *result;  /* NULL: none has. Engines are gone */
    const struct qs_eval_request *result_request;
    const char *result_title;
    struct qs_err unremembered;          /* why the history does not have it; code QS_OK: it has, or was not asked to */
    bool of_document;                    /* the document's model is the one that it was begun with */
    bool stale;                          /* of a candidate that the recipe does not make any more */
    unsigned number;                     /* grows with every result */
};

/* Refused at once: QS_EINVAL, no document, no text, no file; QS_EBUSY, one runs. All else the job finds out. Strings
 * are copied. *id may be NULL. */
int qs_workbench_eval_start(struct qs_workbench *w, const struct qs_eval_request *q, unsigned *id, struct qs_err *e);
/* What the candidate would take beyond what is there. */
int qs_workbench_eval_need(const struct qs_workbench *w, struct qs_candidate_need *out, struct qs_err *e);
/* What it points to is valid until the next call that starts, polls or asks. */
void qs_workbench_eval(struct qs_workbench *w, struct qs_eval_state *out);
/* Hidden states of the result by layer: their mean relative error after block l, NaN where it is not known. Returns how
 * many layers; 0: there is no result of the document's model with layers. */
size_t qs_workbench_eval_layers(struct qs_workbench *w, const struct qs_layer_stat **after_block,
                                const struct qs_layer_stat **embedding);

#endif
