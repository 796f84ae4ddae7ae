/* ask.h - a question with a few answers, each with its key. No memory: the text is the caller's and must stay. */
#ifndef QS_UI_ASK_H
#define QS_UI_ASK_H

#include <stddef.h>
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"

#define QS_ASK_ANSWERS 4

struct qs_ask_answer { uint32_t key; const char *label; }; /* { 'o', "overwrite" } */

struct qs_ask {
    const char *title, *text;                 /* clean; text: paragraphs ended by \n, wrapped */
    struct qs_ask_answer answer[QS_ASK_ANSWERS];  /* the first label that is NULL ends them; Esc (cancel) is always there */
    size_t chosen;                            /* what Enter takes: set the harmless one; beyond them: cancel */
    int skip;                                 /* lines of text scrolled away where it is too long */
    struct qs_rect button[QS_ASK_ANSWERS + 1];/* where the answers, and last cancel, were last drawn */
};

/* Index of the answer, or one of these. */
#define QS_ASK_GOES_ON (-1)
#define QS_ASK_CANCELLED (-2)
int qs_ask_event(struct qs_ask *a, const struct qs_event *e);
void qs_ask_draw(struct qs_ask *a, const struct qs_canvas *c, const struct qs_theme *t);

#endif
