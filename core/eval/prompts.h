/* prompts.h - two models answer the same prompts, and one follows the other's answers.
 *
 * Of each prompt three things are done. *Free*: the reference, then the model, each writes an answer of its own, with
 * the same sampler settings and seed (greedy unless told otherwise), until a token ends it or `n_tokens` are written.
 * *Follow*: both are fed prompt and the reference's answer, and compared at every token of that answer: KL divergence,
 * top tokens, and the cosine between their hidden states after the last block. *Repetition* of both answers (stats.h).
 */
#ifndef QS_CORE_PROMPTS_H
#define QS_CORE_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/eval/kld.h"
#include "core/eval/sets.h"
#include "core/job/job.h"
#include "core/model/engine.h"
#include "core/text/chat.h"
#include "core/text/sampler.h"
#include "core/text/vocab.h"

struct qs_prompt_answer {
    char *text;                 /* UTF-8 */
    size_t n;                   /* tokens, with the one that ended it */
    bool ended;                 /* by such a token, not by the limit */
    double repeated;            /* share of 4-grams that stood in it before */
    size_t loop;                /* period of the loop it ends in; 0: none */
};

struct qs_prompt_result {
    size_t prompt;              /* index */
    char *text;                 /* of the prompt, as fed */
    size_t n_prompt;            /* its tokens; 0: passed over, too long for the context */
    struct qs_prompt_answer model, base;
    size_t same;                /* tokens from the start that are equal */
    bool parted;                /* the answers differ, at token `same` */
    double agreement;           /* same / tokens of the longer answer */
    double kld, kld_max;        /* over the tokens of the reference's answer */
    double same_top, cosine;    /* shares, means; NaN: none were compared */
    uint64_t bad, bad_base;     /* tokens without comparison: something was not finite */
};

struct qs_prompts_args {
    struct qs_engine *model, *base;   /* two engines */
    const struct qs_vocab *vocab;     /* of both; only its tokens count (qs_vocab_rows) */
    const struct qs_chat_template *chat; /* for prompts with messages; NULL: such are refused (QS_EINVAL) */
    struct qs_pool *pool;
    enum qs_prio prio;
    const struct qs_prompts *prompts;
    size_t most;                      /* prompts; 0: all */
    size_t n_tokens;                  /* of an answer */
    struct qs_session_args cache;     /* n_ctx 0: the model's own, at most 4096 */
    struct qs_sampler_settings sampler;
    int64_t now;                      /* for templates, seconds since 1970 */
};

struct qs_prompts_result {
    struct qs_prompt_result *item;    /* worst first: largest mean KLD; those passed over last */
    size_t n, passed_over;
    double agreement, kld, same_top, cosine; /* means over prompts; the last three over tokens of answers */
    size_t parted, tokens;            /* prompts whose answers part; tokens compared */
    double length, length_base;       /* mean tokens of an answer */
    double repeated, repeated_base;
    size_t loops, loops_base;         /* answers that end in a loop */
    uint64_t bad, bad_base;
};

/* The job counts prompts. */
int qs_prompts_run(const struct qs_prompts_args *a, struct qs_job *job, struct qs_prompts_result **out,
                   struct qs_err *e);
void qs_prompts_result_free(struct qs_prompts_result *x); /* NULL allowed */

#endif
