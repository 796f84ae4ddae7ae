/* recipe.h - the inside of the Recipe screen: what it keeps, shared by its files; nobody else includes it.
 *
 * screen_recipe.c has the list of lines and the table of what can be done, screen_recipe_draw.c draws, screen_recipe_edit.c
 * changes the recipe, screen_recipe_files.c saves, loads, compares and exports; budgets are screen_recipe_fit.c's.
 */
#ifndef QS_UI_RECIPE_H
#define QS_UI_RECIPE_H

#include "ui/app.h"
#include "ui/facts_view.h"
#include "ui/list.h"
#include "ui/recipe_fit.h"

enum recipe_line {
    RECIPE_PRESET,
    RECIPE_PURE,
    RECIPE_OUTPUT_TYPE,
    RECIPE_EMBD_TYPE,
    RECIPE_LEAVE_OUTPUT,
    RECIPE_STRICT,
    RECIPE_STEADY,
    RECIPE_SETTINGS,
    RECIPE_PIN = RECIPE_SETTINGS,
    RECIPE_RULE,
    RECIPE_ADD_RULE,
    RECIPE_GAP
};

struct recipe_item { enum recipe_line kind; size_t index; };

struct recipe {
    struct qs_list list;
    struct recipe_item *item;
    size_t n, cap;
    uint64_t doc_version;
    bool made;
    struct qs_recipe *other;    /* compared with; NULL: none */
    struct qs_report *compared;
    struct qs_facts_view below;
    char with[256];             /* what it is compared with; "": nothing */
    size_t editing;             /* rule being edited */
    int name_width;             /* of the longest name */
    struct qs_recipe_fit fit;
};

/* Name, value, remark of a line. */
struct recipe_texts { char name[300], value[64], remark[200]; bool problem; };

struct recipe *recipe_of(struct qs_app *a);
const char *recipe_type_or(int type, const char *otherwise);
bool recipe_flag(const struct qs_recipe *r, enum recipe_line kind);
void recipe_item_texts(const struct qs_doc *d, const struct recipe_item *it, struct recipe_texts *out);

void recipe_draw(struct qs_app *a, const struct qs_canvas *c);

/* ---- edits, of the table of operations (screen_recipe_edit.c) ---- */

void recipe_choose_preset(struct qs_app *a, const char *arg);
void recipe_edit(struct qs_app *a, const char *arg);
void recipe_add_rule(struct qs_app *a, const char *arg);
void recipe_remove(struct qs_app *a, const char *arg);
void recipe_rule_up(struct qs_app *a, const char *arg);
void recipe_rule_down(struct qs_app *a, const char *arg);

/* ---- files (screen_recipe_files.c) ---- */

void recipe_save(struct qs_app *a, const char *arg);
void recipe_save_as(struct qs_app *a, const char *arg);
void recipe_save_over(struct qs_app *a, const char *arg);
void recipe_load(struct qs_app *a, const char *arg);
void recipe_compare(struct qs_app *a, const char *arg);
void recipe_compare_anew(struct qs_app *a);             /* with the recipe as it is now, where one is compared */
void recipe_forget_comparison(struct recipe *r);
void recipe_export(struct qs_app *a, const char *arg);
void recipe_export_over(struct qs_app *a, const char *arg);

#endif
