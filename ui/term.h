/* term.h - the terminal: entering and leaving it, signals, waiting, keys. Only one thread may call these. */
#ifndef QS_UI_TERM_H
#define QS_UI_TERM_H

#include <stdbool.h>
#include <wchar.h>
#include "base/err.h"

/* Installs handlers for crashes (SEGV BUS FPE ILL ABRT): they give the terminal back before the program dies. Call
 * before anything is mapped: base/map.c chains to the handler for SIGBUS that it finds. */
void qs_term_guard(void);

/* Full screen, colours off where NO_COLOR says so. QS_EUNSUPPORTED when the terminal cannot do it; it is untouched then.
 * Signals that were ignored (nohup) stay ignored. */
int qs_term_open(struct qs_err *e);
void qs_term_close(void); /* idempotent */

int qs_term_colors(void);           /* how many the terminal has; 0: none, or not wanted (NO_COLOR) */
int qs_term_pair(int fg, int bg);   /* the curses colour pair; 0, the terminal's own colours, where it cannot be had */

/* Waits for a key, a signal, a byte on `fd` (-1: none; bytes are taken) or the time-out (-1: for ever). */
void qs_term_wait(int fd, int timeout_ms);
/* The next key that is there: OK (*c is a character), KEY_CODE_YES (*c is a curses code), ERR: none is there. */
int qs_term_key(wint_t *c);

/* Why the program must end: a signal (TERM, HUP, INT, QUIT), QS_TERM_GONE (the terminal hung up), or 0. */
#define QS_TERM_GONE (-1)
int qs_term_ending(void);

#endif
