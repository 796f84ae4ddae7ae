/* near.c - words that look alike: edit distance and the few nearest candidates.
 *
 * Owns nothing: candidates are kept by pointer. Pure functions: any thread.
 */
#include "base/near.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define LONGEST 255

static size_t short_length(const char *s)
{
    return strnlen(s, LONGEST);
}

static bool same(char a, char b)
{
    return qs_ascii_lower(a) == qs_ascii_lower(b);
}

unsigned qs_near_distance(const char *a, const char *b)
{
    size_t n = short_length(a), m = short_length(b);
    unsigned row[3][LONGEST + 1]; /* lines i-2, i-1 and i of the table, in turn */
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3], *before = row[(i - 1) % 3], *older = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned d = before[j - 1] + !same(a[i - 1], b[j - 1]);
            d = before[j] + 1 < d ? before[j] + 1 : d;
            d = now[j - 1] + 1 < d ? now[j - 1] + 1 : d;
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) && older[j - 2] + 1 < d)
                d = older[j - 2] + 1;
            now[j] = d;
        }
    }
    return row[n % 3][m];
}

void qs_near_start(struct qs_near *x, const char *word)
{
    size_t n = short_length(word);
    memset(x, 0, sizeof *x);
    x->word = word;
    x->limit = n <= 3 ? 1 : n <= 7 ? 2 : n <= 12 ? 3 : (unsigned)(n / 4);
}

void qs_near_try(struct qs_near *x, const char *candidate)
{
    size_t a = short_length(x->word), b = short_length(candidate);
    const bool beginning = a >= 3 && a < b && qs_ascii_begins(candidate, x->word);
    if ((a > b ? a - b : b - a) > x->limit && !beginning)
        return;
    unsigned d = beginning ? 0 : qs_near_distance(x->word, candidate); /* a word broken off is the best guess */
    if (d > x->limit)
        return;
    unsigned at = x->n;
    while (at > 0 && x->distance[at - 1] > d)
        at--;
    if (at == QS_NEAR_MAX)
        return;
    unsigned last = x->n < QS_NEAR_MAX ? x->n++ : QS_NEAR_MAX - 1;
    for (unsigned i = last; i > at; i--) {
        x->best[i] = x->best[i - 1];
        x->distance[i] = x->distance[i - 1];
    }
    x->best[at] = candidate;
    x->distance[at] = d;
}

const char *qs_near_text(const struct qs_near *x, char *buf, size_t n)
{
    size_t used = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < x->n; i++) {
        const char *gap = i == 0 ? "; did you mean " : i + 1 < x->n ? ", " : " or ";
        int k = snprintf(buf + used, n - used, "%s%s%s", gap, x->best[i], i + 1 == x->n ? "?" : "");
        if (k < 0 || (size_t)k >= n - used) { /* a whole word or none */
            buf[used] = 0;
            return buf;
        }
        used += (size_t)k;
    }
    return buf;
}
