/* ui.h - the screen: what src/ may ask of it. */
#ifndef QS_UI_H
#define QS_UI_H

#include <stdbool.h>
#include "base/err.h"

/* Opens the model at `path` on the terminal and returns when the person quits; the terminal is left as it was found.
 * path NULL: QS_EINVAL, saying how to name a model. Errors met before the screen is up are returned, not drawn. */
int qs_ui_run(const char *path, struct qs_err *e);

/* One line of the keys of the screen, from the table that dispatches them: for the manual. false: no more. */
bool qs_ui_key(unsigned i, const char **keys, const char **help);

#endif
