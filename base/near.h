/* near.h - words that look alike, for messages that help. */
#ifndef QS_BASE_NEAR_H
#define QS_BASE_NEAR_H

#include <stddef.h>

/* Edits between two words (insert, delete, replace, swap neighbours), case ignored; at most 255 bytes of each count. */
unsigned qs_near_distance(const char *a, const char *b);

/* Collects the candidates nearest to a word: a few slips away from it, or beginning with it (from 3 bytes on). */
#define QS_NEAR_MAX 3
struct qs_near {
    const char *word;
    unsigned limit;                   /* farther ones do not count */
    const char *best[QS_NEAR_MAX];    /* nearest first; earlier ones first among equals */
    unsigned distance[QS_NEAR_MAX];
    unsigned n;
};
void qs_near_start(struct qs_near *x, const char *word);
void qs_near_try(struct qs_near *x, const char *candidate);
/* "; did you mean A, B or C?", or "" when nothing is near. buf is always terminated. Returns buf. */
const char *qs_near_text(const struct qs_near *x, char *buf, size_t n);

#endif
