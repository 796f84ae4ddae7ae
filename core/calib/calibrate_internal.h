/* calibrate_internal.h - what the files of a calibration share: the run, what an input showed, what became of a matrix.
 *
 * calibrate.c opens and runs the stages, calibrate_need.c foretells, calibrate_encode.c goes through the layers,
 * calibrate_look.c collects what an input shows in both models, calibrate_tensor.c encodes one tensor,
 * calibrate_judge.c measures on the held-out rows, calibrate_keep.c knows the store.
 */
#ifndef QS_CALIB_CALIBRATE_INTERNAL_H
#define QS_CALIB_CALIBRATE_INTERNAL_H

#include "core/calib/calibrate.h"
#include "core/calib/gptq.h"
#include "core/text/chat.h"

#define QS_HELD_ROWS 2048       /* held-out rows that an input is judged by */
#define QS_HELD_EXPERT_ROWS 512 /* and an expert */
#define QS_HELD_LEAST 16        /* fewer tell nothing */
#define QS_CALIB_VERSION 1      /* grows when the same work gives other bytes */

struct qs_calibration {
    struct qs_calibrate_args args;
    struct qs_vocab *vocab;
    struct qs_chat_template *chat;
    struct qs_corpus *corpus;
    struct qs_engine *origin, *made;       /* made: with what is encoded so far; NULL without a recipe */
    struct qs_inputs *inputs;
    struct qs_resolved *types;             /* of the recipe; NULL */
    struct qs_statistics *statistics;
    struct qs_store *store;
    char *facts;                           /* of the store */
    struct qs_key key;
    struct qs_stream *stream[2];           /* of origin, of made; while encoding */
    struct qs_calib_trial *trial;          /* tensors go there and not into the store; NULL */
    struct qs_job *job;
    uint64_t memory;                       /* cap */
    struct { double swap, encode; } foretold; /* seconds; 0: none, or nobody asked yet */
    bool finished_before;                  /* the store was whole already */
    char **warning; size_t n_warnings, cap_warnings;
};

int qs_calibrate_warn(struct qs_calibration *c, struct qs_err *e, const char *fmt, ...) QS_PRINTF(3, 4);

/* The type tensor i gets, QS_TYPE_NONE: it stays as it is. */
int qs_calibrate_type(const struct qs_calibration *c, size_t i);
/* Of a tensor that the forward pass reads by rows alone (an untied embedding): no input, encoded plainly. */
static inline bool qs_calibrate_plain(const struct qs_calibration *c, size_t i)
{
    return qs_calibrate_type(c, i) != QS_TYPE_NONE && !qs_inputs_of(c->inputs, i);
}

/* ---- what an input shows ---- */

struct qs_calib_slice {         /* of a dense input, or of one expert */
    struct qs_hessian *h;       /* of the windows to fit, in the model made so far; NULL: none */
    float *importance;          /* cols; NULL: none */
    float *x0, *x;              /* held-out rows of both models, side by side: cols * n_held */
    float *lost;                /* what the hidden states have lost, times pull: width * n_held; NULL */
    size_t n_held, room;
    uint64_t rows;              /* to fit */
    uint64_t seen;              /* held-out rows that came */
    bool few;                   /* fewer rows than columns: no Hessian of its own can be trusted */
    struct qs_gptq_factor *factor;
    char note[80];              /* why there is none */
};
struct qs_calib_look {
    struct qs_calibration *c;
    const struct qs_input *input;
    size_t first, n;            /* experts; 0, 1 */
    size_t width;               /* of the hidden state that is followed; 0: none */
    double pull;
    struct qs_calib_slice *slice;
    double *pooled;             /* sums of squares over all experts of the layer */
    uint64_t pooled_rows;
    size_t every;               /* of the held-out rows one in so many is kept */
    float *row0;                /* of experts: rows put together */
};

/* Lets both streams show the input, experts [first, first + n). The hidden states stay. */
int qs_calib_look_new(struct qs_calibration *c, const struct qs_input *in, size_t first, size_t n,
                      struct qs_calib_look *out, struct qs_err *e);
/* The same from statistics alone: importance and the sample of rows. */
int qs_calib_look_statistics(struct qs_calibration *c, const struct qs_input *in, struct qs_calib_look *out,
                             struct qs_err *e);
void qs_calib_look_free(struct qs_calib_look *k);
uint64_t qs_calib_look_need(const struct qs_calibration *c, const struct qs_input *in, size_t experts);
size_t qs_calib_passes(const struct qs_calibration *c, const struct qs_input *in, size_t *experts_at_once);

/* ---- one matrix ---- */

enum { QS_TRIES = 6 };
struct qs_calib_try {           /* one way to encode rows */
    enum qs_calib_method method;
    uint8_t *bytes;             /* of the rows; NULL: not tried */
    double lost;                /* sum of squares of the outputs' errors on the held-out rows */
};
struct qs_calib_made {          /* of a tensor, over its slices so far */
    uint64_t n[QS_CALIB_METHODS]; /* slices that each method won */
    double lost, before, plain, norm; /* sums over held-out rows: chosen, weighted fit, plain search, of the outputs */
    uint64_t few;
    char note[80];
};
/* Rows of one slice of tensor i into dst. */
int qs_calib_encode_slice(struct qs_calib_look *k, struct qs_calib_slice *s, size_t tensor, size_t expert, uint8_t *dst,
                          struct qs_calib_made *made, struct qs_err *e);
uint64_t qs_calib_encode_need(const struct qs_calibration *c, const struct qs_input *in, size_t tensor);
/* The weighted fit of rows of floats, on the pool. weight: cols, or NULL. */
int qs_calib_fit_rows(const struct qs_calibration *c, int type, const float *w, size_t rows, size_t cols,
                      const float *weight, uint8_t *dst, struct qs_err *e);

/* tr of the outputs on the held-out rows: norm of W0 X0, and what each of the tries lost of it. Nothing is judged (0)
 * without enough rows. */
int qs_calib_judge(const struct qs_calib_look *k, const struct qs_calib_slice *s, int type, const float *w, size_t rows,
                   struct qs_calib_try *t, size_t n, double *norm, struct qs_err *e);

/* ---- scales folded through half a block (AWQ) ---- */

/* Half a block in one of two ways, with folded scales or without: nothing of it is kept until the better one is known.
 */
struct qs_calib_trial {
    bool folded;
    struct qs_calib_folds *folds;  /* scales are searched for while the half goes without; NULL: not */
    struct qs_calib_kept { size_t tensor; struct qs_calib_made made; struct qs_weight *weight; } *kept;
    size_t n, cap;
};
int qs_calib_trial_put(struct qs_calibration *c, size_t tensor, const struct qs_calib_made *made, const uint8_t *bytes,
                       struct qs_err *e);
/* What the trial's folds make of an input that was just looked at: its scales. */
int qs_calib_fold_search(struct qs_calibration *c, struct qs_calib_look *k, struct qs_err *e);
/* Half of a block, encoded both ways. */
int qs_calib_encode_folded(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_err *e);
int qs_calib_fold_warn(struct qs_calibration *c, struct qs_err *e); /* before the start */
uint64_t qs_calib_fold_need(const struct qs_calibration *c);

/* ---- encoding ---- */

int qs_calib_encode_inputs(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_err *e);

int qs_calib_encode(struct qs_calibration *c, struct qs_err *e);
/* What stands in the store's place already is of this work, or may go: asked before anything is collected. */
int qs_calib_keep_check(struct qs_calibration *c, struct qs_err *e);
int qs_calib_keep_open(struct qs_calibration *c, struct qs_err *e); /* facts, key, store */
int qs_calib_keep(struct qs_calibration *c, size_t tensor, uint32_t group, const struct qs_calib_made *made,
                  const uint8_t *bytes, struct qs_err *e);
/* Whether tensor i is in the store; then the engine made so far gets it. */
int qs_calib_take_kept(struct qs_calibration *c, size_t tensor, bool *there, struct qs_err *e);

int qs_calib_check_memory(const struct qs_calibration *c, struct qs_err *e); /* QS_ELIMIT: the cap is too low */
uint64_t qs_calib_encode_memory(const struct qs_calibration *c, uint64_t *streams_fixed);

/* The types from which a budget is made, where their errors are asked for: those that are measured while collecting. */
size_t qs_calib_ladder(const struct qs_calibration *c, int *type, size_t most);

#endif
