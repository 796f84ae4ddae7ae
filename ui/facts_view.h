/* facts_view.h - a whole report as lines to scroll through and search.
 *
 * The text is laid out when the width changes, and not otherwise. The report given must outlive the view or be replaced; it
 * is printed by qs_report_text. One thread.
 */
#ifndef QS_UI_FACTS_VIEW_H
#define QS_UI_FACTS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include "base/regex.h"
#include "base/str.h"
#include "core/report/table.h"
#include "ui/list.h"

struct qs_facts_view {
    const struct qs_regex *search;   /* matches are highlighted; must live as long as it is set; NULL: none */
    /* Inside, to be read: */
    size_t n, top, shown;            /* lines, the first in view, lines that fit */
    size_t found;                    /* line of the last find; n or more: none */
    const struct qs_report *report;
    struct qs_str text;              /* laid out */
    size_t *line; size_t line_cap;   /* where each line starts; line[n] is the end */
    int width; bool ascii;           /* it is laid out for; width -1: not at all */
    struct qs_rect at;
};
#define QS_FACTS_VIEW_INIT { .text = QS_STR_INIT, .width = -1, .found = (size_t)-1 }

void qs_facts_view_set(struct qs_facts_view *v, const struct qs_report *r);       /* keeps its place; NULL: empty */
void qs_facts_view_free(struct qs_facts_view *v);

/* Moves are of the view: there is no cursor. A line at a time for up and down. */
bool qs_facts_view_move(struct qs_facts_view *v, enum qs_list_move move);
bool qs_facts_view_mouse(struct qs_facts_view *v, const struct qs_event *e);      /* the wheel */
/* The next (previous) line that matches, brought into view: 0 none, 1 found, 2 found after going round the end. Needs to
 * have been drawn once: lines are what the width makes of them. */
int qs_facts_view_find(struct qs_facts_view *v, const struct qs_regex *re, bool backwards);

/* The line of the last find has a '>' before it. Memory that runs out is said in the text's place. */
void qs_facts_view_draw(struct qs_facts_view *v, const struct qs_canvas *c, const struct qs_theme *t);

#endif
