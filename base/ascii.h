/* ascii.h - upper and lower case of ASCII letters, for names of types, presets and units.
 *
 * A locale (Turkish: I and i are two letters) has no say in them. Header only, so that kernels/ stays free of base/.
 */
#ifndef QS_BASE_ASCII_H
#define QS_BASE_ASCII_H

#include <stdbool.h>

static inline char qs_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Upper and lower case alike. */
static inline bool qs_ascii_equal(const char *a, const char *b)
{
    while (*a && qs_ascii_lower(*a) == qs_ascii_lower(*b)) {
        a++;
        b++;
    }
    return qs_ascii_lower(*a) == qs_ascii_lower(*b);
}

/* Likewise. */
static inline bool qs_ascii_begins(const char *s, const char *prefix)
{
    while (*prefix && qs_ascii_lower(*s) == qs_ascii_lower(*prefix)) {
        s++;
        prefix++;
    }
    return !*prefix;
}

#endif
