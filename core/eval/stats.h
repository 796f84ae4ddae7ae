/* stats.h - small statistics: intervals and tests of counts, repetition in a sequence of tokens. Pure arithmetic. */
#ifndef QS_CORE_EVAL_STATS_H
#define QS_CORE_EVAL_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Wilson's score interval of k of n at 95 % (Wilson 1927, J. Am. Stat. Assoc. 22). n 0: NaN. */
void qs_wilson(uint64_t k, uint64_t n, double *low, double *high);

/* McNemar's exact test, two-sided: of pairs where just one of two was right, `only_a` and `only_b` times; the
 * probability of such a split or one more uneven if both were equally good (binomial with one half). 1 without such
 * pairs. */
double qs_mcnemar(uint64_t only_a, uint64_t only_b);

/* Share of the runs of four tokens that stood in the sequence before; 0 with fewer than five tokens. */
double qs_repeated4(const int32_t *token, size_t n);
/* The period of a loop that the sequence ends in: at least 3 rounds and 12 tokens of it; 0: none. */
size_t qs_loop_period(const int32_t *token, size_t n);

#endif
