/* term.h - the terminal: entering and leaving it, signals, waiting, events, and showing a grid of cells.
 *
 * Only one thread may call these. The terminal is left as it was found after qs_term_close, after a signal that ends the
 * program, after a crash, and while the program is stopped (Ctrl-Z). What libraries write to standard error meanwhile does
 * not reach the screen: it is kept and handed out by qs_term_stray (where it would go to a terminal; 2>file gets its own).
 */
#ifndef QS_UI_TERM_H
#define QS_UI_TERM_H

#include <stdbool.h>
#include "base/err.h"
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"

/* Installs handlers for crashes (SEGV BUS FPE ILL ABRT): they give the terminal back before the program dies. Call
 * before anything is mapped: base/map.c chains to the handler for SIGBUS that it finds. */
void qs_term_guard(void);

struct qs_term_args {
    int tier;          /* enum qs_tier as the person wants it; -1: as found (COLORTERM, terminfo; NO_COLOR means mono) */
    bool mouse;
    bool sync;         /* frames in synchronized-output brackets (mode 2026) */
};

/* Full screen. QS_EUNSUPPORTED when the terminal cannot do it; it is untouched then. Signals that were ignored (nohup) stay
 * ignored. */
int qs_term_open(const struct qs_term_args *args, struct qs_err *e);
void qs_term_close(void); /* idempotent */

enum qs_tier qs_term_tier(void);
void qs_term_size(unsigned *rows, unsigned *cols);
void qs_term_mouse(bool on);   /* take the mouse, or let go of it so that the terminal selects text */
void qs_term_suspend(void);    /* as Ctrl-Z of other programs; returns when continued, with the screen to be shown anew */

/* Shows the grid: what differs from what is there, in one go; nothing is written where nothing differs. all: the terminal
 * may have been disturbed, every cell is written; it is by itself after a stop or a change of size, so call this after each
 * wait, also when the grid is as before. cursor: where the typing cursor stands (negative: hidden). */
void qs_term_show(const struct qs_cells *c, bool all, int cursor_row, int cursor_col);

/* Waits for an event, a signal, a byte on `fd` (-1: none; bytes are taken) or the time-out (-1: for ever). */
void qs_term_wait(int fd, int timeout_ms);
/* The next event that is there; false: none is. A changed size needs no event: ask qs_term_size before each frame. */
bool qs_term_event(struct qs_event *out);
/* Bytes of the terminal that have become events so far (or nothing): with it a test knows that a program which says it is
 * idle has seen its keys. */
unsigned long long qs_term_taken(void);

/* Text that a library wrote to standard error since the last call, clean lines, each whole; "" mostly. What is left goes to
 * standard error when the terminal is closed. Valid until the next call. */
const char *qs_term_stray(void);

/* Text to the clipboard of the terminal by OSC 52 (it may ignore it: say "sent", never "copied"). False: too long. */
bool qs_term_clipboard(const char *text);

/* Why the program must end: a signal (TERM, HUP, INT, QUIT), QS_TERM_GONE (the terminal hung up), or 0. Ctrl-C is a key. */
#define QS_TERM_GONE (-1)
int qs_term_ending(void);

#endif
