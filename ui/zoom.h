/* zoom.h - the screen that looks into one tensor. */
#ifndef QS_UI_ZOOM_H
#define QS_UI_ZOOM_H

#include "ui/app.h"

/* Shows tensor i of the model under its type of the recipe; Esc leads back. */
void qs_zoom_into(struct qs_app *a, size_t tensor);

#endif
