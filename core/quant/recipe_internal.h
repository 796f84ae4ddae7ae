/* recipe_internal.h - inside core/quant: the lines of a recipe file, and what recipe*.c share. */
#ifndef QS_CORE_RECIPE_INTERNAL_H
#define QS_CORE_RECIPE_INTERNAL_H

#include "core/quant/recipe.h"

#define QS_RECIPE_ITEMS_MAX 100000 /* pins, and as many rules */

enum qs_recipe_line_kind { QS_LINE_TEXT /* blank or comment */, QS_LINE_SETTING, QS_LINE_PIN, QS_LINE_RULE };

struct qs_recipe_line {
    enum qs_recipe_line_kind kind;
    enum qs_recipe_setting setting; /* of QS_LINE_SETTING */
    size_t item;                    /* of QS_LINE_PIN and QS_LINE_RULE: index among pins or rules */
    char *raw;                      /* the line as read; NULL: made by program */
    char *comment;                  /* at the end of it, from '#' on; NULL: none */
    int value;                      /* what `raw` says: type, 0/1, or the preset's place in the table */
};

int qs_recipe_value(const struct qs_recipe *r, enum qs_recipe_setting s);   /* in the form of line.value */
void qs_recipe_set(struct qs_recipe *r, enum qs_recipe_setting s, int value);
int qs_recipe_default(enum qs_recipe_setting s);
/* Why two settings, *a and *b, cannot both be meant; NULL: they can. */
const char *qs_recipe_contradiction(const struct qs_recipe *r, enum qs_recipe_setting *a, enum qs_recipe_setting *b);

/* Of the file, or "recipe": messages about a line begin with NAME:LINE. */
const char *qs_recipe_name(const struct qs_recipe *r);

/* An empty recipe with the default preset and no lines. */
struct qs_recipe *qs_recipe_empty(void);
/* Room for so many more. QS_ELIMIT, QS_ENOMEM; nothing a reader could see has changed. */
int qs_recipe_reserve(struct qs_recipe *r, size_t pins, size_t rules, size_t lines, struct qs_err *e);
/* Adds at the end; the copies belong to the recipe. */
int qs_recipe_add_item(struct qs_recipe *r, bool pin, const char *pattern, size_t n, int type, unsigned line,
                       struct qs_err *e);
/* Inserts a line before `at`; takes over nothing but copies raw and comment (either may be NULL). */
int qs_recipe_insert_line(struct qs_recipe *r, size_t at, const struct qs_recipe_line *line, struct qs_err *e);
/* What a pin or rule may look like, whoever made it. */
int qs_recipe_check_pattern(bool pin, const char *pattern, size_t n, struct qs_err *e);

/* The same, and a rule's pattern has to compile. */
int qs_recipe_check_item(bool pin, const char *pattern, size_t n, struct qs_err *e);

/* Prints as qs_recipe_print does and gives every item the number of the line that it stands in now. */
int qs_recipe_print_numbered(struct qs_recipe *r, struct qs_str *out, struct qs_err *e);


#endif
