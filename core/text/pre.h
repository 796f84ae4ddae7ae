/* pre.h - inside core/text: pre-tokenizers, which cut text into words before byte-level BPE merges inside each.
 *
 * A pre-tokenizer is a list of stages; each cuts every piece that the stages before it left into the matches of an
 * expression and what lies between them. Names and cuts are those of llama.cpp 0c1e57098 (llama-vocab.cpp,
 * unicode.cpp), where some of the models' own expressions were simplified; \s stands for the same characters as there.
 * Categories are those of the Unicode version that the PCRE2 here knows: characters younger than it are cut otherwise.
 */
#ifndef QS_CORE_PRE_H
#define QS_CORE_PRE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

enum {
    QS_PRE_IGNORE_MERGES = 1, /* a word that is a token needs no merges */
    QS_PRE_ADD_BOS = 2,       /* where the file does not state it */
    QS_PRE_RAW = 4,           /* merges over UTF-8 characters, blanks as U+2581; not over bytes */
    QS_PRE_FORCE_BOS = 8,     /* whatever the file states */
    QS_PRE_NEWLINES = 16,     /* a word of nothing but newlines that is a token needs no merges */
};

enum qs_pre_cut {
    QS_PRE_REGEX,         /* by the expression */
    QS_PRE_THREES,        /* inside and behind its matches, so that they fall into threes of characters counted from
                           * the end; what comes before a match stays with its first part */
    QS_PRE_THREES_INSIDE, /* the same, but not behind, and before where the match is all threes */
};

#define QS_PRE_STAGES 6
struct qs_pre_stage { enum qs_pre_cut cut; const char *pattern; };
struct qs_pre_family { struct qs_pre_stage stage[QS_PRE_STAGES]; }; /* up to the first without a pattern */
struct qs_pre_name { const char *name; const struct qs_pre_family *family; unsigned flags; };

extern const struct qs_pre_name qs_pre_names[]; /* ended by one without a name; "default" is the first */

/* NULL: not known. */
const struct qs_pre_name *qs_pre_find(const char *name);

/* The name for what tokenizer.json does before the merges: the pattern of its last Split (NULL: none), as the file
 * writes it; whether single digits are split off first; ignore_merges of its model. NULL: not known. */
struct qs_pre_hint {
    const char *pattern[QS_PRE_STAGES]; /* of each Split, in order */
    size_t n_patterns;
    bool digits;        /* Digits with individual_digits */
    bool punctuation;   /* Punctuation */
    bool byte_regex;    /* ByteLevel with use_regex */
    bool ignore_merges;
};
const char *qs_pre_guess(const struct qs_pre_hint *h);

struct qs_pre; /* compiled; immutable */
int qs_pre_new(const struct qs_pre_name *name, struct qs_pre **out, struct qs_err *e);
void qs_pre_free(struct qs_pre *p);

/* Cuts text[0, n), valid UTF-8: the end of each word, ascending, the last is n. */
struct qs_pre_words { size_t *end; size_t n, cap; size_t *next; size_t next_cap; };
void qs_pre_words_free(struct qs_pre_words *w);
int qs_pre_cut(const struct qs_pre *p, const char *text, size_t n, struct qs_pre_words *w, struct qs_err *e);

#endif
