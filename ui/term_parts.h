/* term_parts.h - what the files of the terminal (term*.c) share. Nobody else includes this. */
#ifndef QS_UI_TERM_PARTS_H
#define QS_UI_TERM_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include "ui/cells.h"
#include "ui/term.h"
#include "ui/term_input.h"

/* ---- term.c ---- */

void qs_term_write(const char *bytes, size_t n); /* all of them, past curses */

/* ---- term_caps.c: what the terminal's description says ---- */

/* Looks the terminal up and finds the tier (wanted: enum qs_tier or -1). QS_EUNSUPPORTED when nothing can be drawn. */
int qs_term_caps_look(int wanted, enum qs_tier *tier, struct qs_err *e);
/* newterm with the description as it is, or with one of ours on top of it; `tier` becomes what could be had. False: the
 * terminal cannot be set up. */
bool qs_term_caps_start(enum qs_tier *tier);
/* The keys it names, for the decoder; valid while the screen lives. */
void qs_term_caps_keys(struct qs_input *in);
/* Whether to ask it for its colours: terminals of few colours are old ones, which may print the question. */
bool qs_term_caps_modern(void);
/* What gives the terminal back, for a signal handler: from the description and what we set ourselves. */
size_t qs_term_caps_reset(char *out, size_t n);

/* ---- term_show.c ---- */

enum qs_tier qs_term_show_start(enum qs_tier tier, bool sync); /* after qs_term_caps_start; the tier it shows */
void qs_term_show_end(void);
void qs_term_show_anew(void); /* the terminal was disturbed: the next frame is written whole */
void qs_term_measure(unsigned *rows, unsigned *cols);

/* ---- term_stray.c: standard error while the screen is up ---- */

void qs_stray_start(void);
void qs_stray_end(void);   /* what nobody asked for goes to standard error, clean */
void qs_stray_crash(void); /* the same in a signal handler */
void qs_stray_let_go(int nowhere); /* in a signal handler: in the end it goes there, not to a terminal that is stuck */

#endif
