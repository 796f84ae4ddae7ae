/* pair.h - what is measured, and what it is measured against: files, recipes carried out in memory, engines.
 *
 * The model measured is a file as it is, or the candidate that a recipe makes of it. The reference is another file, or
 * the same file as it is, or, where asked for, a stand-in: that file with every tensor in Q8_0 (of the preset Q8_0),
 * made in memory like a candidate, for originals that do not fit. What both share is mapped once.
 */
#ifndef QS_CORE_PAIR_H
#define QS_CORE_PAIR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/job/job.h"
#include "core/model/engine.h"
#include "core/quant/candidate.h"
#include "core/text/vocab.h"

struct qs_pair_args {
    const char *model;                 /* path */
    const struct qs_recipe *recipe;    /* NULL: the model as it is */
    const struct qs_imatrix *imatrix;  /* for the recipe; may be NULL */
    struct qs_store *store;            /* calibrated tensors for the recipe; may be NULL */
    bool allow_requantize;
    const char *reference;             /* path; NULL: the model's own file when there is a recipe, none otherwise */
    bool stand_in;                     /* the reference in Q8_0 */
    enum qs_precision precision;
    enum qs_prio prio;
    /* For those who have the model open already; all may be NULL. They live as long as the pair. */
    struct qs_model *opened;           /* stands for every path that is its own */
    const struct qs_candidate *known; /* a whole one of `opened`: what it has and the recipe says is not made */
};

struct qs_pair {
    struct qs_model *model, *reference;  /* the same one where they are; reference NULL: none */
    struct qs_vocab *vocab;              /* of the model, the same as the reference's */
    struct qs_plan *plan, *stand_in;     /* NULL: as it is */
    struct qs_candidate *candidate, *stand_in_candidate;
    struct qs_engine *engine, *base;     /* after qs_pair_make; base NULL: no reference */
    struct qs_model *opened;             /* the caller's */
    const struct qs_candidate *known;
    struct qs_pool *pool;
    enum qs_precision precision;
    enum qs_prio prio;
};

/* Opens, plans and checks: headers alone. QS_EINVAL: the vocabularies differ (where is said), a stand-in without
 * reference; errors of qs_engine_can, of plans. args->recipe and imatrix live as long as the pair. */
int qs_pair_open(const struct qs_pair_args *args, struct qs_pool *pool, struct qs_pair **out, struct qs_err *e);
/* Makes candidates and engines; inside a job, which counts weights. */
int qs_pair_make(struct qs_pair *p, struct qs_job *job, struct qs_err *e);
/* Engines and candidates go, with their memory: what was measured can still be told. */
void qs_pair_unload(struct qs_pair *p);
void qs_pair_free(struct qs_pair *p); /* NULL allowed */

/* One more engine of the reference's weights (of the model's without one) in another precision: what its arithmetic
 * alone changes. */
int qs_pair_engine(const struct qs_pair *p, enum qs_precision precision, struct qs_engine **out, struct qs_err *e);

/* Types and how many tensors have them, most first: "Q4_K 36, Q6_K 9, F32 17". Appended. */
void qs_pair_mix(const struct qs_pair *p, struct qs_str *out);
/* Bytes of the measured model's tensors. */
uint64_t qs_pair_bytes(const struct qs_pair *p);
/* Hash of the recipe as it came out: each tensor's type and importance weights; of a model as it is, 0. */
struct qs_key qs_pair_recipe_key(const struct qs_pair *p);
/* The same of a plan by itself; NULL: 0. */
struct qs_key qs_pair_plan_key(const struct qs_plan *plan);

#endif
