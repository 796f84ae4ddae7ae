/* fuzzy.h - how well a few typed letters fit a text. */
#ifndef QS_UI_FUZZY_H
#define QS_UI_FUZZY_H

#include <stddef.h>

#define QS_FUZZY_LETTERS 64 /* bytes of a pattern that count; blanks do not */
#define QS_FUZZY_TEXT 512   /* bytes of a text that are looked at */
#define QS_FUZZY_NONE (-1)

/* The best way to find all letters of the pattern (ASCII in any case, no blanks) in the text in this order: letters at
 * the start of words and next to each other count more, gaps less. QS_FUZZY_NONE: it cannot be done; 0: empty pattern.
 * at (may be NULL): QS_FUZZY_LETTERS entries, set to the byte of each letter; *n_at: how many. Pure. */
int qs_fuzzy(const char *pattern, const char *text, size_t *at, size_t *n_at);

#endif
