/* sampler.h - which token comes next: penalties, truncation, temperature, a draw.
 *
 * The steps, in llama.cpp's order: penalties, top-k, top-p, min-p, temperature, draw.
 *   1. penalties, for every token among the last `repeat_last_n`, c times in them:
 *      logit > 0 ? logit / repeat_penalty : logit * repeat_penalty, then - c * frequency_penalty - presence_penalty
 *      (repetition: Keskar et al. 2019, arXiv:1909.05858; the other two as in OpenAI's interface)
 *   2. top-k: the k largest logits (0: all)
 *   3. top-p: the fewest of them whose probabilities sum to at least p (Holtzman et al. 2019, arXiv:1904.09751)
 *   4. min-p: those whose probability is at least p times the largest (Nguyen et al. 2024, arXiv:2407.01082)
 *   5. logits / temperature, softmax over what is left, one draw
 * Temperature 0 is greedy: the largest logit after the penalties, nothing is drawn. Equal logits go by the lower id,
 * and at least one token is always left. Probabilities are computed in double.
 *
 * Random numbers are xoshiro256** (Blackman and Vigna 2018, arXiv:1805.01407) seeded through splitmix64: one number a
 * pick (also where one token is left, so that two sessions stay in step; none when greedy). Two samplers with equal
 * settings, fed equal logits, pick the same tokens, on every machine whose exp() rounds alike.
 */
#ifndef QS_TEXT_SAMPLER_H
#define QS_TEXT_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

struct qs_sampler_settings {
    double temperature;       /* 0: greedy */
    int64_t top_k;            /* 0: all */
    double top_p;             /* 1: off */
    double min_p;             /* 0: off */
    double repeat_penalty;    /* 1: off */
    double presence_penalty;  /* 0: off */
    double frequency_penalty; /* 0: off */
    int64_t repeat_last_n;    /* tokens the penalties look back on; 0: none, -1: all that is given */
    int64_t seed;
};

/* One row for each field above, in that order: screens, options and files are made from it. */
struct qs_sampler_setting {
    const char *name;           /* "temperature", "top-k", ...: as an option would be called */
    const char *key;            /* "temperature", "top_k", ...: as a file would call it */
    bool whole;                 /* an int64_t field; otherwise a double */
    double initial, min, max;   /* both ends allowed */
    size_t offset;              /* of the field in struct qs_sampler_settings */
    const char *help;           /* a few words */
};

const struct qs_sampler_setting *qs_sampler_table(size_t *n);
void qs_sampler_defaults(struct qs_sampler_settings *s);
/* QS_EINVAL: which setting, its value and its range. */
int qs_sampler_check(const struct qs_sampler_settings *s, struct qs_err *e);
/* One setting by name (or key) from text; the others stay. QS_ENOTFOUND with near names, QS_EINVAL (not a number, out
 * of range: s is then unchanged). */
int qs_sampler_set(struct qs_sampler_settings *s, const char *name, const char *value, struct qs_err *e);
/* The value of a row as text that qs_sampler_set reads back; appended. */
void qs_sampler_show(const struct qs_sampler_settings *s, const struct qs_sampler_setting *row, struct qs_str *out);

struct qs_sampler; /* belongs to one session; not shared between threads */

/* Checks the settings, and keeps a copy. */
int qs_sampler_new(const struct qs_sampler_settings *s, struct qs_sampler **out, struct qs_err *e);
void qs_sampler_free(struct qs_sampler *s);                    /* NULL allowed */
void qs_sampler_restart(struct qs_sampler *s, int64_t seed);   /* back to the first draw, of this seed */
/* Takes other settings; the state of the random numbers stays unless the seed is another. */
int qs_sampler_change(struct qs_sampler *s, const struct qs_sampler_settings *to, struct qs_err *e);

/* The next token: 0 .. n_vocab-1, or -1 with e filled. logits: n_vocab values, not changed; -Inf: never chosen.
 * recent: the tokens so far, oldest first (NULL with 0); ids outside the vocabulary are passed over. Errors:
 * QS_EFORMAT: a logit is NaN or +Inf, or none is finite (the message names the first id); QS_EINVAL: no vocabulary;
 * QS_ENOMEM. */
int32_t qs_sampler_pick(struct qs_sampler *s, const float *logits, size_t n_vocab, const int32_t *recent,
                        size_t n_recent, struct qs_err *e);

struct qs_token_chance {
    int32_t token;
    double p;
};
/* What the last pick chose from: the k likeliest with the probabilities of the draw, likeliest first (one of 1.0 when
 * greedy). Returns how many were written; *left (may be NULL): how many there were. Valid until the next pick. */
size_t qs_sampler_candidates(const struct qs_sampler *s, struct qs_token_chance *out, size_t k, size_t *left);

/* --- probabilities of plain logits, before any step --------------------------------------------------------------- */

/* log(sum(exp(logits))) in double, largest first taken out; NaN when a logit is NaN. */
double qs_logsumexp(const float *logits, size_t n);
/* The k likeliest tokens (ties: lower id first) with their probabilities. Returns how many were written: min(k, n); 0
 * when a logit is NaN. */
size_t qs_top_tokens(const float *logits, size_t n, size_t k, struct qs_token_chance *out);

#endif
