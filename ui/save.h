/* save.h - what is seen, as a file. */
#ifndef QS_UI_SAVE_H
#define QS_UI_SAVE_H

#include "ui/app.h"

/* The screen as last drawn, as text (.txt), with colours (.ans), as a picture (.svg), or cell by cell for tests (.cells). The
 * file appears under its name when whole. QS_EINVAL: another ending; QS_EEXISTS. */
int qs_save_screen(struct qs_app *a, const char *path, bool overwrite, struct qs_err *e);

#endif
