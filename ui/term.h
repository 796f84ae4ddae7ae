/* term.h - the terminal: entering and leaving it, signals, waiting. Only one thread may call these. */
#ifndef QS_UI_TERM_H
#define QS_UI_TERM_H

#include <stdbool.h>
#include "base/err.h"

/* Installs handlers for crashes (SEGV BUS FPE ILL ABRT): they give the terminal back before the program dies. Call
 * before anything is mapped: base/map.c chains to the handler for SIGBUS that it finds. */
void qs_term_guard(void);

/* Full screen, colours off where NO_COLOR says so. QS_EUNSUPPORTED when the terminal cannot do it. */
int qs_term_open(struct qs_err *e);
void qs_term_close(void); /* idempotent */

/* Waits for a key, a signal, a byte on `fd` (-1: none; bytes are taken) or the time-out (-1: for ever). */
void qs_term_wait(int fd, int timeout_ms);
/* The signal that asks the program to end (TERM, HUP, INT, QUIT), or 0. */
int qs_term_ending(void);

#endif
