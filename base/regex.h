/* regex.h - regular expressions with bounds; the only file that knows PCRE2 (8 bit, UTF, UCP, JIT, match limits). */
#ifndef QS_BASE_REGEX_H
#define QS_BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct qs_regex; /* immutable after compile: may be shared by threads */

enum {
    QS_REGEX_ICASE = 1,
    /* The caller has checked with qs_utf8_invalid_at that every text it will search is valid UTF-8 (undefined
     * behaviour otherwise). For many searches in one long text, which would be checked whole at each of them. */
    QS_REGEX_CHECKED = 2,
};

/* At most 4096 bytes of pattern. Errors name the pattern and the offset. */
int qs_regex_compile(const char *pattern, unsigned flags, struct qs_regex **out, struct qs_err *e);
void qs_regex_free(struct qs_regex *r);

/* Unanchored search from byte `start`. 1 found, 0 not, -1 limit exceeded or bad UTF-8 (e says which).
 * span (may be NULL): start and end of the match. */
int qs_regex_find(const struct qs_regex *r, const char *s, size_t n, size_t start, size_t span[2], struct qs_err *e);

#endif
