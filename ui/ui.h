/* ui.h - the screen: what src/ may ask of it. */
#ifndef QS_UI_H
#define QS_UI_H

#include <stdbool.h>
#include "base/err.h"
#include "base/str.h"

struct qs_ui_args {
    const char *path;  /* the model; NULL: the models found are shown */
    unsigned threads;  /* that compute; 0: as many as there are cores */
    const char *theme; /* overrides the settings; NULL */
    const char *color; /* "truecolor", "256", "16", "mono" likewise; NULL */
    bool ascii;        /* nothing but ASCII on the screen */
};

/* For tests, the number of bytes taken from the terminal is written as a line to the descriptor that QS_IDLE_FD names, in
 * the environment, whenever all of them have been acted upon and shown.
 *
 * The screen on the terminal; returns when the person quits, the terminal is left as it was found. Errors met before the
 * screen is up are returned, not drawn; QS_EIO when the terminal went away. A signal that asks the program to end kills it
 * from here, after the terminal is itself again. */
int qs_ui_run(const struct qs_ui_args *args, struct qs_err *e);

/* The same without a terminal, on a screen of that size, driven by a script (text of n bytes; `name` for messages); settings
 * are left alone. `print` lines of the script append the screen to out. QS_EINVAL names the line that is wrong, or that
 * expected what is not there. The language: quantscape(1), "Scripts". */
int qs_ui_play(const struct qs_ui_args *args, const char *name, const char *script, size_t n, unsigned rows, unsigned cols,
               struct qs_str *out, struct qs_err *e);

/* What can be done on the screens, from the tables that dispatch: for the manual. screen: name of the screen it belongs to,
 * "" everywhere; keys: "" by name only. False: no more. */
struct qs_ui_action { const char *screen, *keys, *name, *help; };
bool qs_ui_action_at(unsigned i, struct qs_ui_action *out);

#endif
