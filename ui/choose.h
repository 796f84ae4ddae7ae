/* choose.h - choosing types for tensors, wherever they are shown: what a tensor is and has, a list of types, one step up or
 * down, set, reset. Screens say which tensors are meant. */
#ifndef QS_UI_CHOOSE_H
#define QS_UI_CHOOSE_H

#include "ui/app.h"

/* Which tensors an action is about: indices of the model. */
struct qs_chosen { size_t *tensor; size_t n, cap; bool failed; /* memory ran out: nothing is done with it */ };
void qs_chosen_add(struct qs_chosen *c, size_t tensor);
void qs_chosen_free(struct qs_chosen *c);

/* Marked tensors: the same ones on every screen. None after another document was opened. */
struct qs_marks { uint8_t *bit; size_t cap, n; };
const struct qs_marks *qs_marks(struct qs_app *a);
bool qs_marked(struct qs_app *a, size_t tensor);
void qs_mark(struct qs_app *a, size_t tensor, bool on);
void qs_marks_clear(struct qs_app *a);

/* The list of types that is open: the app's own. */
struct qs_picking {
    struct qs_chosen chosen;
    struct qs_type_choice *choice;
    size_t n;
    const struct qs_tensor *tensor; /* whose numbers are shown */
    char title[160];
};
void qs_picking_end(struct qs_picking *p);

/* Each tells what it did, or why not; none of them keeps c. */
void qs_choose_step(struct qs_app *a, const struct qs_chosen *c, int direction);
void qs_choose_set(struct qs_app *a, const struct qs_chosen *c, const char *type); /* by name */
void qs_choose_reset(struct qs_app *a, const struct qs_chosen *c);                 /* the pins go */
/* Opens the list of types with bytes, bpw and error for exactly the first of them; what is picked is set for all. */
void qs_choose_pick(struct qs_app *a, const struct qs_chosen *c);

/* "5.43%~", "5.43% ± 0.03%" (long form), or why it is not known. Returns buf. */
const char *qs_choose_error(const struct qs_survey_cell *cell, bool known, bool full, bool ascii, char *buf, size_t n);
/* Everything worth saying of one tensor, wrapped to the canvas: type, why, error and how it was obtained, what one step up
 * costs and saves. Returns the rows wanted. */
int qs_choose_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_tensor *t);
/* The steps of its ladder, the most bits first, with bytes, bpw and error: as many as fit around the one it has. */
void qs_choose_draw_types(struct qs_app *a, const struct qs_canvas *c, const struct qs_tensor *t);

#endif
