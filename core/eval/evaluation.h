/* evaluation.h - all that one evaluation does, from opening files to warnings; what the screen and the verb both run.
 *
 * Order: qs_evaluation_open reads headers and texts and refuses what cannot be done; qs_evaluation_run works inside a
 * job; qs_evaluation_remember writes the history and may add warnings; then the results are looked at and freed.
 */
#ifndef QS_CORE_EVALUATION_H
#define QS_CORE_EVALUATION_H

#include "core/eval/history.h"
#include "core/eval/lockstep.h"
#include "core/eval/overlap.h"
#include "core/eval/pair.h"
#include "core/eval/prompts.h"
#include "core/eval/tasks.h"
#include "core/eval/text.h"

struct qs_evaluation_args {
    struct qs_pair_args pair;
    const char *recipe_name;       /* "Q4_K_M", a recipe file's name: for the history; NULL: none */
    const char *text;              /* path; NULL: no text is measured (prompts or tasks are) */
    const char *held_out;          /* a second text, measured likewise; NULL: none */
    const char *calibration;       /* compared with both texts; NULL: none */
    uint64_t bytes;                /* of each text; 0: all */
    size_t n_ctx, n_windows;       /* 0: 512 (the model's context where that is shorter), all */
    struct qs_session_args cache;
    bool layers, tokens, by_layer;
    bool noise;                    /* measure what the precision alone changes, on the first window */
    uint64_t memory; /* bytes free on the machine (0: unknown): models that are larger together run by_layer,
                      * and hidden states may take an eighth of it, at most 1 GiB */
    const char *prompts, *tasks;   /* paths; NULL: none */
    size_t most_prompts, most_tasks, answer_tokens;
    struct qs_sampler_settings sampler;
    int64_t now;
    qs_lockstep_window_fn *on_window; /* after each window of `text`, on the thread that runs; NULL: none */
    void *window_ctx;
};

#define QS_LAYER_WARN 0.1          /* mean relative error of a layer from which on it is listed */

struct qs_evaluation {
    struct qs_evaluation_args args; /* strings stay the caller's */
    struct qs_pair *pair;
    struct qs_chat_template *chat;  /* NULL: none needed, or none that works */
    struct qs_eval_text text, held_out;
    size_t n_ctx;
    struct qs_lockstep *x, *held;   /* of the texts; NULL: not measured */
    double number[QS_KLD_NUMBERS], held_number[QS_KLD_NUMBERS];
    double noise; /* mean KLD between both precisions of the reference, first window; NaN: not measured */
    bool has_overlap, has_held_overlap;
    struct qs_overlap overlap, held_overlap; /* text in the calibration text; held-out text in both */
    uint64_t need;                  /* as qs_evaluation_need, when the run began */
    struct qs_lockstep_token *token; /* with args.tokens */
    size_t n_tokens, cap_tokens;
    struct qs_prompts prompts;
    struct qs_tasks tasks;
    struct qs_prompts_result *prompts_result;
    struct qs_tasks_result *tasks_result;
    char **warning;
    size_t n_warnings, cap_warnings;
};

/* args->pair.recipe, imatrix and all strings live as long as the evaluation. */
int qs_evaluation_open(const struct qs_evaluation_args *args, struct qs_pool *pool, struct qs_evaluation **out,
                       struct qs_err *e);
/* Private memory that measuring on a text takes beside weights: sessions, hidden states, rows. 0 before the engines are
 * made; what it was after they are gone. */
uint64_t qs_evaluation_need(const struct qs_evaluation *x);
int qs_evaluation_run(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e);
/* Appends what was measured on the texts to the history, and warns of ranks that change between them. */
int qs_evaluation_remember(struct qs_evaluation *x, struct qs_err *e);
void qs_evaluation_free(struct qs_evaluation *x); /* NULL allowed */

const char *qs_precision_name(enum qs_precision p); /* "exact", "fast" */

#endif
