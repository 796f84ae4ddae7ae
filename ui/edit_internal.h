/* edit_internal.h - what the files of the line editor share. */
#ifndef QS_UI_EDIT_INTERNAL_H
#define QS_UI_EDIT_INTERNAL_H

#include "ui/edit.h"

/* Puts `text` in place of the bytes from..to and the cursor behind it. false: it does not fit, nothing changed. */
bool qs_edit_replace(struct qs_edit *ed, size_t from, size_t to, const char *text, size_t n);

void qs_edit_complete(struct qs_edit *ed, bool backwards); /* Tab */
void qs_edit_offer_end(struct qs_edit *ed, bool take_back); /* nothing is offered any more */
void qs_edit_recall(struct qs_edit *ed, bool older);
void qs_edit_recall_end(struct qs_edit *ed);

#endif
