/* interrupt.h - Ctrl-C and its kin, while something runs that can be stopped in good order. */
#ifndef QS_SRC_INTERRUPT_H
#define QS_SRC_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum { QS_INTERRUPT_MAX = 3 };

struct qs_interrupt {
    int signal[QS_INTERRUPT_MAX];
    struct sigaction before[QS_INTERRUPT_MAX];
    size_t n;
};

/* From here on the first of these signals (at most QS_INTERRUPT_MAX) is counted, a second one ends the program at once.
 * What is ignored stays so: nohup stays nohup. One at a time. */
void qs_interrupt_begin(struct qs_interrupt *w, const int *signals, size_t n);
bool qs_interrupted(void); /* since then */
/* The handlers of before. */
void qs_interrupt_end(const struct qs_interrupt *w);

#endif
