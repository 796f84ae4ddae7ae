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

/* ---- several lines (edit_lines.c): rows of the width last drawn ---- */

/* Where the row that holds byte `at` begins and ends (the line feed not counted), and which it is. */
struct qs_edit_row { size_t from, to; int row; };
struct qs_edit_row qs_edit_row_of(const struct qs_edit *ed, size_t at);
bool qs_edit_row_move(struct qs_edit *ed, int direction); /* one row up or down; false: there is none */

#endif
