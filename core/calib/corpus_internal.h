/* corpus_internal.h - what the files of the corpus share: a source as it was read, the draw of windows, warnings. */
#ifndef QS_CALIB_CORPUS_INTERNAL_H
#define QS_CALIB_CORPUS_INTERNAL_H

#include "core/calib/corpus.h"

#define QS_CORPUS_LINE_MAX ((size_t)16 << 20) /* bytes of a JSON line */

struct qs_corpus_how { /* how sources become tokens */
    const struct qs_vocab *v;
    const struct qs_chat_template *chat;
    bool special, bos;
};

/* A source: its text and tokens, and what was wrong with it. `text` may point into the bytes it was read from. */
struct qs_corpus_read {
    const char *kind;
    const char *text; /* plain; of JSON lines their texts; of chats as the template writes them */
    size_t n_text;
    struct qs_tokens token;
    uint64_t invalid;               /* bytes that are not UTF-8 and were read as U+FFFD */
    uint64_t lines, bad, first_bad; /* of JSON lines, the empty ones aside */
    char why[200];                  /* of the first bad line */
    bool one_value;                 /* plain text that begins like one JSON value over many lines */
    struct qs_str own;
};

/* QS_EINVAL: nothing in it, or chats without a template; QS_EFORMAT: no text, or no line that can be used. */
int qs_corpus_read(const char *name, const char *data, size_t n, const struct qs_corpus_how *how,
                   struct qs_corpus_read *out, struct qs_err *e);
void qs_corpus_read_free(struct qs_corpus_read *r);

struct qs_corpus_pick {
    uint32_t source;
    bool held;
    size_t at; /* of the source's windows, from 0 */
};

/* Draws *n windows (at most `want`) of sources that have `have[i]`, by weight: ascending by source and place. */
int qs_corpus_draw(const struct qs_corpus_source *source, const size_t *have, size_t n_sources, size_t want,
                   uint64_t seed, struct qs_corpus_pick **out, size_t *n, struct qs_err *e);
/* Sets every k-th apart, then brings those to fit to the front, each part in a random order; how many are held out. */
size_t qs_corpus_part(struct qs_corpus_pick *p, size_t n, double share, uint64_t seed);

/* Adds a warning: one line whatever is in the names. */
int qs_corpus_warn(struct qs_corpus *c, struct qs_err *e, const char *fmt, ...) QS_PRINTF(3, 4);
int qs_corpus_warn_read(struct qs_corpus *c, const char *path, const struct qs_corpus_read *r, struct qs_err *e);
/* The text of a source against that of the evaluation. */
int qs_corpus_warn_overlap(struct qs_corpus *c, const char *path, const struct qs_corpus_read *r,
                           const char *evaluation, const char *text, size_t n, struct qs_err *e);
/* The whole: too little, too short, too uniform. repeated: windows left out since others say the same. */
int qs_corpus_warn_mix(struct qs_corpus *c, const struct qs_corpus_args *a, size_t repeated, struct qs_err *e);

#endif
