/* history.h - what was measured before: one line of JSON a run, in evaluations.jsonl of the state folder.
 *
 * A line is one object with the keys of qs_eval_history_field below (what was measured on what) and, under "numbers",
 * those of qs_kld_names that are known. Lines are appended whole, under a lock; a line that cannot be read (cut short
 * by a full disk, written by a newer version) is passed over and counted, never changed. Runs are named by `id`, 8
 * hexadecimal digits of the hash of their line.
 */
#ifndef QS_CORE_HISTORY_H
#define QS_CORE_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/eval/kld.h"

struct qs_eval_history_run {
    char id[9];
    char date[24];           /* UTC, "2026-01-31T12:00:00Z" */
    char version[24];        /* of the program */
    char *model, *model_key; /* path, content key (hex) */
    char *recipe, *mix; /* what was carried out on it ("Q4_K_M", a recipe's name; ""), types and how many tensors */
    char *recipe_key;        /* hash of what the plan makes of the model; "" without a recipe */
    char *reference, *reference_key, *stand_in; /* "": none */
    char *text, *text_key;   /* path, content key */
    uint64_t bytes, tokens, n_ctx, windows, scored;
    uint64_t model_bytes;    /* of the tensors */
    char *precision, *cache; /* "exact"; "F16/F16" */
    double number[QS_KLD_NUMBERS];
};

struct qs_eval_history { struct qs_eval_history_run *run; size_t n; size_t unread; };

/* Strings that are NULL are written as "". Sets date, version and id of *r. QS_EBUSY: another process writes for longer
 * than a few seconds. */
int qs_eval_history_append(struct qs_eval_history_run *r, struct qs_err *e);
/* The file that runs are kept in. */
struct qs_str;
int qs_eval_history_path(struct qs_str *out, struct qs_err *e);
/* Oldest first; an absent file is an empty history. */
int qs_eval_history_load(struct qs_eval_history **out, struct qs_err *e);
/* The same of lines in memory. */
int qs_eval_history_parse(const char *data, size_t n, struct qs_eval_history **out, struct qs_err *e);
void qs_eval_history_free(struct qs_eval_history *h); /* NULL allowed */
/* By id, by the beginning of one (QS_EINVAL: of several), "last", or its number from 1. QS_ENOTFOUND. */
int qs_eval_history_find(const struct qs_eval_history *h, const char *name, const struct qs_eval_history_run **out,
                         struct qs_err *e);

/* Whether both numbers were made in the same way: reference, window, windows, text, precision, cache. NULL, or what
 * differs. */
const char *qs_eval_history_unlike(const struct qs_eval_history_run *a, const struct qs_eval_history_run *b);

/* Another candidate that stands before the one of `calibration` and `held_out` (runs of one candidate on two texts) on
 * one of the texts and behind it on the other, by mean KLD (by perplexity without reference). From `i` on; the place
 * where it was found, or h->n. on_calibration, on_held_out: its two runs. */
size_t qs_eval_history_rank_change(const struct qs_eval_history *h, size_t i,
                                   const struct qs_eval_history_run *calibration,
                                   const struct qs_eval_history_run *held_out,
                                   const struct qs_eval_history_run **on_calibration,
                                   const struct qs_eval_history_run **on_held_out);

#endif
