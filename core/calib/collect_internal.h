/* collect_internal.h - what the files of the collection share: statistics of one half of a block, Hessians and errors of
 * its matrices, the journal. */
#ifndef QS_CALIB_COLLECT_INTERNAL_H
#define QS_CALIB_COLLECT_INTERNAL_H

#include "core/calib/collect.h"
#include "core/calib/hessian.h"
#include "core/quant/encode.h"

/* ---- collect_plan.c ---- */

struct qs_collect_plan {
    struct qs_stream_args stream;
    uint64_t tokens;
    uint64_t fixed;     /* bytes beside hidden states and Hessians */
    uint64_t hidden;    /* of states in memory */
    uint64_t budget;    /* for the Hessians of one run over a half */
    uint64_t largest;   /* that any run takes */
};

/* Where the next run over a half begins: an input of it, and an expert of that. */
struct qs_collect_place { size_t input, expert; };

/* The first input of the half at or after i; inputs->n: there is none. */
size_t qs_collect_input_of(const struct qs_collect_args *a, size_t layer, enum qs_half half, size_t i);
/* How many Hessians go along in the run that begins at *p, which moves on behind them; *bytes: what they take. */
size_t qs_collect_next_run(const struct qs_collect_args *a, size_t layer, enum qs_half half, uint64_t budget,
                           struct qs_collect_place *p, uint64_t *bytes);
/* Times that a half is run: once where nothing but statistics is asked for. 0: the head, when nothing reads it. *largest
 * grows to what the Hessians of a run take. */
size_t qs_collect_runs(const struct qs_collect_args *a, size_t layer, enum qs_half half, uint64_t budget,
                       uint64_t *largest);
/* QS_ELIMIT: the memory is too little. */
int qs_collect_plan_of(const struct qs_collect_args *a, struct qs_collect_plan *p, struct qs_err *e);

/* ---- collect_rows.c: statistics of one input from its rows ---- */

struct qs_row_taker {
    const struct qs_collect_args *a;
    struct qs_input_stats *to;
    size_t used;                 /* experts that a token goes through; 1: dense */
    float *largest;              /* of each row to fit: NaN where it is not finite */
    size_t n_largest;            /* rows of it that are filled */
    size_t rows_per_window;      /* of x */
    uint8_t *bad;                /* rows of one window that are not finite */
};

uint64_t qs_row_taker_need(const struct qs_collect_args *a, const struct qs_input *in);
int qs_row_taker_new(const struct qs_collect_args *a, const struct qs_input *in, struct qs_input_stats *to,
                     struct qs_row_taker *out, struct qs_err *e);
void qs_row_taker_free(struct qs_row_taker *t);
void qs_row_taker_add(struct qs_row_taker *t, const struct qs_stream_rows *rows);
/* Tokens with massive activations. QS_EFORMAT: no row to fit was finite (layer, point and window are named). */
int qs_row_taker_end(struct qs_row_taker *t, struct qs_err *e);
uint64_t qs_collect_stats_bytes(const struct qs_collect_args *a); /* of all inputs */

/* ---- collect_errors.c: what types cost ---- */

struct qs_collect_slot {         /* Hessians of one input, or of one expert of it */
    const struct qs_input *input;
    const struct qs_input_stats *stats;
    size_t expert;
    struct qs_hessian *fit, *held; /* held NULL: nothing is held out */
};

struct qs_errors;                /* scratch, and the sums over the experts of each tensor of a half */
int qs_errors_new(const struct qs_collect_args *a, struct qs_errors **out, struct qs_err *e);
void qs_errors_free(struct qs_errors *x);
uint64_t qs_errors_need(const struct qs_collect_args *a); /* private bytes beside the Hessians */
/* Forgets what was summed. The job is to count `steps` while all matrices of `half` of the layer go through. */
void qs_errors_begin(struct qs_errors *x, size_t layer, enum qs_half half, uint64_t steps);
/* Every tensor of the slot at every type. */
int qs_errors_slot(struct qs_errors *x, const struct qs_collect_slot *s, struct qs_job *job, struct qs_err *e);
/* Puts what was summed for the tensors of an input, after the last of its slots. */
int qs_errors_put(struct qs_errors *x, const struct qs_input *in, struct qs_statistics *to, struct qs_err *e);

/* The type whose errors are shown while it runs: Q4_K where it is one of the types, else the first. */
int qs_errors_shown(const struct qs_collect_args *a);

/* ---- collect_journal.c ---- */

struct qs_collect_journal;
/* QS_EEXISTS: of other work. *done: layers that are in it, and in `to` now. */
int qs_collect_journal_open(const struct qs_collect_args *a, struct qs_statistics *to, struct qs_collect_journal **out,
                            size_t *done, struct qs_err *e);
int qs_collect_journal_put(struct qs_collect_journal *j, const struct qs_statistics *from, size_t layer, struct qs_err *e);
void qs_collect_journal_close(struct qs_collect_journal *j); /* NULL allowed */

#endif
