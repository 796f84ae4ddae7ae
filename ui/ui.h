/* ui.h - the screen: what src/ may ask of it. */
#ifndef QS_UI_H
#define QS_UI_H

#include <stdbool.h>
#include "base/err.h"

struct qs_ui_args {
    const char *path; /* the model */
    unsigned threads; /* that compute; 0: as many as there are cores */
};

/* Opens a model on the terminal and returns when the person quits; the terminal is left as it was found. Without a
 * path: QS_EINVAL, saying how to name a model. Errors met before the screen is up are returned, not drawn; QS_EIO when
 * the terminal went away. A signal that asks the program to end kills it from here, after the terminal is itself again. */
int qs_ui_run(const struct qs_ui_args *args, struct qs_err *e);

/* One line of the keys of the screen, from the table that dispatches them: for the manual. false: no more. */
bool qs_ui_key(unsigned i, const char **keys, const char **help);

#endif
