/* recipe_fit.h - budgets on the Recipe screen: asked for, drawn, explained (screen_recipe_fit.c). */
#ifndef QS_UI_RECIPE_FIT_H
#define QS_UI_RECIPE_FIT_H

#include "ui/app.h"

struct qs_recipe_fit {
    bool hidden, tie;
    unsigned told_job, told_proof, number;
    char budget[128];           /* asked for, and waiting for an answer or for statistics that are read; "": none */
    bool reading;
}; /* part of the Recipe screen's state */
struct qs_recipe_fit *qs_recipe_fit_of(struct qs_app *a);

bool qs_recipe_fit_shown(struct qs_app *a);
/* Budget, frontier, points, and why `tensor` (of the model; SIZE_MAX: none) has its type. */
void qs_recipe_fit_draw(struct qs_app *a, const struct qs_canvas *c, size_t tensor);
bool qs_recipe_fit_poll(struct qs_app *a);

/* "Q4_K by GPTQ: ... Q5_K costs 12 KiB and saves 0.0012"; false: nothing is known of it, or the recipe is another one. */
bool qs_recipe_fit_why(struct qs_app *a, size_t tensor, struct qs_str *out);

/* screen_recipe_prove.c: the proof in words, appended; its end told once. */
void qs_recipe_prove_words(struct qs_app *a, struct qs_str *out);
bool qs_recipe_prove_poll(struct qs_app *a);

/* Of the table of operations. */
void qs_recipe_fit_ask(struct qs_app *a, const char *arg);
void qs_recipe_fit_bpw(struct qs_app *a, const char *arg);
void qs_recipe_fit_apply(struct qs_app *a, const char *arg);
void qs_recipe_fit_tie(struct qs_app *a, const char *arg);
void qs_recipe_fit_prove(struct qs_app *a, const char *arg);
void qs_recipe_fit_toggle(struct qs_app *a, const char *arg);

#endif
