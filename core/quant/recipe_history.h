/* recipe_history.h - a recipe that is being worked on: edits as steps, undo and redo without limit.
 *
 * The history holds the current recipe and its printed text. A step is what two texts do not have in common (their
 * common beginning and end cut off) with a one-line label, so that ten thousand small edits cost no more than their own
 * few bytes each. Undo and redo bring back the exact text. The items of the current recipe have as `line` their line in
 * the current text, not in the file it came from. One thread at a time; the current recipe is valid until the next
 * change, whoever needs it longer copies it.
 */
#ifndef QS_CORE_RECIPE_HISTORY_H
#define QS_CORE_RECIPE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/quant/recipe.h"

struct qs_history;

/* Takes the recipe over (not when it fails), which counts as saved. QS_EINVAL: settings that contradict each other. */
int qs_history_new(struct qs_recipe *r, struct qs_history **out, struct qs_err *e);
void qs_history_free(struct qs_history *h); /* NULL allowed */

const struct qs_recipe *qs_history_current(const struct qs_history *h);
const char *qs_history_text(const struct qs_history *h, size_t *len); /* as saved; valid until the next change */
uint64_t qs_history_version(const struct qs_history *h); /* grows with every change of the current recipe */

/* An edit: begin gives a private copy to be changed with the functions of recipe.h, commit makes it the current recipe
 * (its label, one line, is copied), abandon throws it away. A commit that changed nothing is no step and gives the copy
 * back too. Of a commit that fails (memory; QS_EINVAL: contradicting settings) nothing is left but the open edit. While
 * an edit is open, begin, load, undo and redo are refused (QS_EBUSY). */
int qs_history_begin(struct qs_history *h, struct qs_recipe **draft, struct qs_err *e);
int qs_history_commit(struct qs_history *h, const char *label, struct qs_err *e);
void qs_history_abandon(struct qs_history *h); /* nothing to do when no edit is open */

/* A file that was loaded in place of the current recipe, as one step: from then on the recipe belongs to that file,
 * which has what is loaded. Takes the recipe over (not when it fails). */
int qs_history_load(struct qs_history *h, struct qs_recipe *r, const char *path, const char *label, struct qs_err *e);

/* One step back or forth; true: *label (may be NULL) is that of the step, valid until the next commit, load or free.
 * False: nothing to undo or redo (QS_ENOTFOUND), an open edit, or no memory; the history is as it was. */
bool qs_history_undo(struct qs_history *h, const char **label, struct qs_err *e);
bool qs_history_redo(struct qs_history *h, const char **label, struct qs_err *e);
size_t qs_history_undos(const struct qs_history *h); /* steps there are */
size_t qs_history_redos(const struct qs_history *h);

/* Saved is a text: a recipe that comes to the same text again, by undo or by hand, is not changed since. The file goes
 * with the steps: undoing a load gives back the file before, with what had been saved there; saving under another name
 * is no step, and stays. mark_saved takes the path over (qs_malloc; NULL: the file is the one before). */
void qs_history_mark_saved(struct qs_history *h, char *path);
bool qs_history_changed(const struct qs_history *h);
const char *qs_history_path(const struct qs_history *h); /* NULL: it belongs to none; valid until the next change */

#endif
