/* stats.c - intervals, tests, repetition. */
#include "core/eval/stats.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

void qs_wilson(uint64_t k, uint64_t n, double *low, double *high)
{
    const double z = 1.959963984540054; /* the normal distribution's 97.5 % */
    if (n == 0) {
        *low = *high = (double)NAN;
        return;
    }
    const double m = (double)n, p = (double)k / m, z2 = z * z;
    const double middle = (p + z2 / (2 * m)) / (1 + z2 / m);
    const double half = z / (1 + z2 / m) * sqrt(p * (1 - p) / m + z2 / (4 * m * m));
    *low = k == 0 ? 0 : fmax(middle - half, 0);
    *high = k == n ? 1 : fmin(middle + half, 1);
}

double qs_mcnemar(uint64_t only_a, uint64_t only_b)
{
    const uint64_t n = only_a + only_b, less = only_a < only_b ? only_a : only_b;
    double ln_term = -(double)n * log(2), sum = 0; /* ln of C(n, i) / 2^n */
    if (n == 0)
        return 1;
    for (uint64_t i = 0; i <= less; i++) {
        sum += exp(ln_term);
        ln_term += log((double)(n - i)) - log((double)(i + 1));
    }
    return fmin(2 * sum, 1);
}

double qs_repeated4(const int32_t *token, size_t n)
{
    size_t seen = 0;
    if (n < 5)
        return 0;
    for (size_t i = 1; i + 4 <= n; i++) {
        bool before = false;
        for (size_t k = 0; k < i && !before; k++)
            before = memcmp(token + k, token + i, 4 * sizeof *token) == 0;
        seen += before;
    }
    return (double)seen / (double)(n - 3);
}

size_t qs_loop_period(const int32_t *token, size_t n)
{
    for (size_t p = 1; p * 3 <= n; p++) {
        size_t same = 0; /* tokens from the end that equal the one a period before */
        while (same + p < n && token[n - 1 - same] == token[n - 1 - same - p])
            same++;
        if (same + p >= 3 * p && same + p >= 12)
            return p;
    }
    return 0;
}
