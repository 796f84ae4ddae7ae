/* interrupt.c - the signal handler of the command line. Owns the count of signals; handlers are put back at the end. What comes
 * within a fifth of a second is one wish: timeout(1) and terminals signal a process and its group.
 */
#include "src/interrupt.h"

#include <string.h>
#include <time.h>

static volatile sig_atomic_t interrupts;
static struct timespec first; /* when the first came */

static void on_signal(int sig)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (interrupts == 0) {
        first = now;
        interrupts = 1;
    }
    if ((double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec) < 0.2)
        return;
    signal(sig, SIG_DFL); /* delivered again, and then deadly, when this handler returns */
    raise(sig);
}

void qs_interrupt_begin(struct qs_interrupt *w, const int *signals, size_t n)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART;
    sigemptyset(&act.sa_mask);
    interrupts = 0;
    w->n = n < QS_INTERRUPT_MAX ? n : QS_INTERRUPT_MAX;
    for (size_t i = 0; i < w->n; i++) {
        w->signal[i] = signals[i];
        sigaction(signals[i], NULL, &w->before[i]);
        if (w->before[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &act, NULL);
    }
}

bool qs_interrupted(void)
{
    return interrupts > 0;
}

void qs_interrupt_end(const struct qs_interrupt *w)
{
    for (size_t i = 0; i < w->n; i++)
        sigaction(w->signal[i], &w->before[i], NULL);
}
