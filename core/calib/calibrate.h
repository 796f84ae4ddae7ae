/* calibrate.h - one calibration from text to encoded weights; what the screen and the verb both run.
 *
 * STAGES: text (corpus), collect (statistics; errors of types), swap (measured KLD of single tensors), encode (tensor by
 * tensor, layers in turn, the quantized ones in place). Each is asked for by itself; statistics may be given instead of collected.
 *
 * ENCODE. For each block, in the order in which inputs are reached (attn_in, attn_out, ffn_in, ffn_down; then the head):
 * the Hessian of the input in the model as quantized so far, and, with `correct`, its product with the difference to the
 * original's input; the candidates of methods; the one with the lowest output error on the held-out windows wins and is put into
 * the engine. Everything that is made goes into a store (core/quant/store.h), which is at once the resume journal.
 */
#ifndef QS_CALIB_CALIBRATE_H
#define QS_CALIB_CALIBRATE_H

#include "core/calib/collect.h"
#include "core/calib/corpus.h"
#include "core/calib/watch.h"
#include "core/quant/plan.h"
#include "core/quant/store.h"

struct qs_calib_methods {
    bool imatrix, gptq, awq, hqq;   /* which may be tried; the weighted fit always is */
    double damp;                    /* GPTQ; 0: 0.01 */
    bool natural_order;             /* columns as they stand instead of act-order */
    unsigned sweeps, refits;        /* coordinate descent, scales anew; defaults 4, 1 */
    bool correct; double strength;  /* correction for quantized predecessors; default on, 1 */
    double pull;                    /* share of the hidden state's loss that attn_output and ffn_down make up for; default 0.5; not
                                     * where a norm stands behind them */
    bool head;                      /* output or tied embedding too; default on */
};
#define QS_CALIB_METHODS_INIT { true, true, false, false, 0.01, false, 4, 1, true, 1.0, 0.5, true }

struct qs_calibrate_args {
    struct qs_model *model;
    struct qs_pool *pool;
    enum qs_prio prio;
    struct qs_corpus_args text;     /* n_sources 0: none; then statistics must do */
    const char *statistics_in;      /* path; NULL: collect */
    const char *statistics_out;     /* path; NULL: not kept */
    bool errors;                    /* errors of all types of the ladder while collecting */
    enum qs_calib_precision precision; /* of collecting; all else is exact */
    size_t swap_windows;            /* measured KLD of single tensors on so many windows; 0: not */
    const struct qs_recipe *recipe; /* to encode; NULL: no encode stage */
    const char *store;              /* path of NAME.qscal; needed with recipe */
    bool restart, overwrite, allow_requantize;
    struct qs_calib_methods methods;
    uint64_t memory;                /* cap in bytes; 0: half of what is free */
    struct qs_calib_watch *watch;   /* may be NULL */
};

struct qs_calibrate_need {          /* before the start */
    uint64_t memory, spill, disk;   /* bytes: private at most, scratch, results */
    double seconds;                 /* predicted; from a short measurement of this machine (how: predicted) */
    uint64_t tokens, windows;
};

struct qs_calibration;
/* Opens text and plan, checks everything that can be checked: what an unfinished run of other settings has left in the
 * store's place is refused here (QS_EEXISTS, the difference is named), before anything is collected or written. Strings and recipe live as long as it. */
int qs_calibrate_open(const struct qs_calibrate_args *a, struct qs_calibration **out, struct qs_err *e);
int qs_calibrate_need(struct qs_calibration *c, struct qs_calibrate_need *out, struct qs_err *e);
const struct qs_corpus *qs_calibrate_corpus(const struct qs_calibration *c); /* NULL: none */
int qs_calibrate_run(struct qs_calibration *c, struct qs_job *job, struct qs_err *e); /* inside a job */
const struct qs_statistics *qs_calibrate_statistics(const struct qs_calibration *c);  /* after its stage */
struct qs_store *qs_calibrate_store(struct qs_calibration *c);   /* when encoded; not a new reference */
const char *const *qs_calibrate_warnings(const struct qs_calibration *c, size_t *n);
void qs_calibrate_free(struct qs_calibration *c);

#endif
